"""The lint of the Azure ML files: everything that can be known to be wrong without an Azure account.

Three layers look at each file: its structure against azure-ai-ml's schemas, our own checks of what these let pass
(the graph of a pipeline, commands, paths, references between files), and azure-ai-ml's loaders and validation.
The last one counts only where the first two find nothing, so that a mistake is reported once.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mlops.definitions.base import Document, Finding, quiet, require
from mlops.definitions.python_sdk_v2 import TUNING
from mlops.definitions.yaml_v2 import TUNING_FILE
from mlops.lint import assets, graph, references, responsible_ai, schedules, sdk, tuning
from mlops.lint.documents import Catalogue
from mlops.pipeline import Component, Pipeline
from mlops.project import Project
from mlops.responsible_ai.components import COMPONENTS


def lint_folder(project: Project) -> list[Finding]:
    """Check every YAML file of the project's Azure ML definitions.

    Raises:
        UserError: azure-ai-ml is not installed.
    """
    return lint_files(sorted(_yaml_files(project.definitions)), project)


def lint_files(paths: Iterable[Path], project: Project | None = None) -> list[Finding]:
    """Check some files. References between files are resolved in the project, or else in the folders of the files.

    Raises:
        UserError: azure-ai-ml is not installed.
    """
    require("azure.ai.ml", "azure-ai-ml")
    chosen = list(dict.fromkeys(path.resolve() for path in paths))
    known = {path.resolve() for path in _yaml_files(project.definitions)} if project else set()
    for path in chosen:
        if path not in known:
            known |= {item.resolve() for item in _yaml_files(path.parent)} | {path}
    catalogue = Catalogue.load(sorted(known), project.root if project else None)
    findings = [finding for finding in catalogue.unreadable if finding.path in chosen]
    documents = [document for document in catalogue.documents if document.path in chosen]
    return _all_findings(documents, catalogue, project, findings)


def lint_documents(documents: Iterable[Document], project: Project, findings: Iterable[Finding] = ()) -> list[Finding]:
    """Check definitions that stand in no YAML files, such as objects of the SDK, and the references between them.

    `findings` are those found while they were made.
    """
    documents = list(documents)
    return _all_findings(documents, Catalogue(documents, project.root), project, findings)


def _all_findings(
    documents: Iterable[Document], catalogue: Catalogue, project: Project | None, findings: Iterable[Finding] = ()
) -> list[Finding]:
    found = [*findings, *(finding for document in documents for finding in _document_findings(document, catalogue))]
    return sorted(relative(finding, project) for finding in dict.fromkeys(found))


def lint_pipeline(pipeline: Pipeline) -> list[Finding]:
    """Check the graph of a pipeline that was not read from files of its own, such as one built with the SDK."""
    folder = pipeline.source.parent
    catalogue = Catalogue.load(sorted(_yaml_files(folder)) if folder.is_dir() else [])
    document = Document(pipeline.source, "pipelineJob", pipeline.document)
    return sorted(set(graph.check(pipeline, document, catalogue)))


def _document_findings(document: Document, catalogue: Catalogue) -> list[Finding]:
    with quiet():
        structure = sdk.check_structure(document)
        own = list(_own_findings(document, catalogue))
    places = {finding.where for finding in own}
    return [*own, *(finding for finding in structure if finding.where not in places)] or sdk.check(document)


def _own_findings(document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    yield from assets.check(document, catalogue)
    if document.kind in {"pipelineJob", "pipelineComponent"}:
        pipeline = Pipeline.from_dict(
            document.content, document.path, components={**COMPONENTS, **catalogue.components}
        )
        yield from graph.check(pipeline, document, catalogue)
        yield from responsible_ai.check(pipeline, document)
        if document.path.name == TUNING_FILE or document.place == TUNING:
            yield from tuning.check(pipeline, document)
    elif document.kind == "commandComponent":
        component = Component.from_dict(document.content, document.path)
        yield from graph.inline_findings(component, document, "", catalogue, is_job=False)
    elif document.kind in {"commandJob", "sweepJob"}:
        yield from graph.job_findings(document, catalogue)
    elif document.kind == "parallelComponent":
        yield from graph.parallel_findings(document, catalogue)
    elif document.kind == "environment":
        yield from references.check(document)
    elif document.kind in {"schedule", "monitor"}:
        yield from schedules.check(document, catalogue)


def _yaml_files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix in {".yml", ".yaml"} and path.is_file())


def relative(finding: Finding, project: Project | None) -> Finding:
    """Return a finding whose path starts at the project's root, if its file is there."""
    path = Path(os.path.normpath(finding.path))
    if project is None or not path.is_relative_to(project.root.resolve()):
        return finding
    return Finding(path.relative_to(project.root.resolve()), finding.where, finding.message)
