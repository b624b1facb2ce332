"""The lint of the Azure ML files: everything that can be known to be wrong without an Azure account.

Three layers look at each file: its structure against azure-ai-ml's schemas, our own checks of what these let pass
(the graph of a pipeline, commands, paths, references between files), and azure-ai-ml's loaders and validation.
The last one speaks only where the first two are silent, so that a mistake is reported once.
"""

import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlops import azureml
from mlops.config import Project
from mlops.errors import UserError
from mlops.lint import assets, graph, references, schedules, sdk
from mlops.lint.documents import Catalogue, Document, Fault
from mlops.pipeline import Component, Pipeline, responsible_ai

__all__ = ["Fault", "lint", "lint_documents", "lint_files", "lint_folder", "lint_pipeline"]


def lint(project: Project) -> list[Fault]:
    """Check all of the project's Azure ML definitions; paths in the faults start at the project's root.

    Raises UserError when azure-ai-ml is not installed.
    """
    faults: list[Fault] = azureml.version(project).check(project)
    return faults


def lint_folder(project: Project) -> list[Fault]:
    """Check every YAML file of the project's Azure ML definitions.

    Raises UserError when azure-ai-ml is not installed.
    """
    return lint_files(sorted(_yaml_files(project.definitions)), project)


def lint_files(paths: Iterable[Path], project: Project | None = None) -> list[Fault]:
    """Check some files. References between files are resolved in the project, or else in the folders of the files.

    Raises UserError when azure-ai-ml is not installed.
    """
    if importlib.util.find_spec("azure.ai") is None or importlib.util.find_spec("azure.ai.ml") is None:
        raise UserError("the lint needs azure-ai-ml: run `uv sync`")
    chosen = list(dict.fromkeys(path.resolve() for path in paths))
    known = {path.resolve() for path in _yaml_files(project.definitions)} if project else set()
    for path in chosen:
        if path not in known:
            known |= {item.resolve() for item in _yaml_files(path.parent)} | {path}
    catalogue = Catalogue.load(sorted(known), project.root if project else None)
    faults = [fault for fault in catalogue.unreadable if fault.path in chosen]
    documents = [document for document in catalogue.documents if document.path in chosen]
    return _all_faults(documents, catalogue, project, faults)


def lint_documents(documents: Iterable[Document], project: Project, faults: Iterable[Fault] = ()) -> list[Fault]:
    """Check definitions that stand in no YAML files, such as objects of the SDK, and the references between them.

    ``faults`` are those found while they were made.
    """
    documents = list(documents)
    return _all_faults(documents, Catalogue(documents, project.root), project, faults)


def _all_faults(
    documents: Iterable[Document], catalogue: Catalogue, project: Project | None, faults: Iterable[Fault] = ()
) -> list[Fault]:
    found = [*faults, *(fault for document in documents for fault in _document_faults(document, catalogue))]
    return sorted(_relative(fault, project) for fault in dict.fromkeys(found))


def lint_pipeline(pipeline: Pipeline) -> list[Fault]:
    """Check the graph of a pipeline that was not read from files of its own, such as one built with the SDK."""
    folder = pipeline.source.parent
    catalogue = Catalogue.load(sorted(_yaml_files(folder)) if folder.is_dir() else [])
    document = Document(pipeline.source, "pipelineJob", pipeline.document)
    return sorted(set(graph.check(pipeline, document, catalogue)))


def _document_faults(document: Document, catalogue: Catalogue) -> list[Fault]:
    with sdk.quiet():
        structure = sdk.check_structure(document)
        own = list(_own_faults(document, catalogue))
    places = {fault.where for fault in own}
    return [*own, *(fault for fault in structure if fault.where not in places)] or sdk.check(document)


def _own_faults(document: Document, catalogue: Catalogue) -> Iterator[Fault]:
    yield from assets.check(document, catalogue)
    if document.kind in {"pipelineJob", "pipelineComponent"}:
        pipeline = Pipeline.from_dict(document.content, document.path, components=catalogue.components)
        yield from graph.check(pipeline, document, catalogue)
        if described := responsible_ai():
            yield from described.check(pipeline, document)
    elif document.kind == "commandComponent":
        component = Component.from_dict(document.content, document.path)
        yield from graph.inline_faults(component, document, "", catalogue, is_job=False)
    elif document.kind in {"commandJob", "sweepJob"}:
        yield from graph.job_faults(document, catalogue)
    elif document.kind == "parallelComponent":
        yield from graph.parallel_faults(document, catalogue)
    elif document.kind == "environment":
        yield from references.check(document)
    elif document.kind in {"schedule", "monitor"}:
        yield from schedules.check(document, catalogue)


def _yaml_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix in {".yml", ".yaml"} and path.is_file())


def _relative(fault: Fault, project: Project | None) -> Fault:
    path = Path(os.path.normpath(fault.path))
    if project is None or not path.is_relative_to(project.root.resolve()):
        return fault
    return Fault(path.relative_to(project.root.resolve()), fault.where, fault.message)
