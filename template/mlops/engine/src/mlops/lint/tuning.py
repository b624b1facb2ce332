"""Checks of the pipeline that searches hyperparameters: what `mlops tune` needs of it, and the search put in."""

import io
from collections.abc import Iterator

import yaml

from mlops.config import Sweep, load_environment
from mlops.definitions.base import Document, Finding, quiet
from mlops.definitions.yaml_v2 import TUNING_FILE, sweep_document
from mlops.errors import UserError, did_you_mean
from mlops.lint import graph, sdk
from mlops.lint.documents import Catalogue
from mlops.pipeline import Component, Pipeline, binding, mapping
from mlops.project import Project

OUTPUT = "search"
"""The output of the pipeline in which `mlops tune` finds what a search found."""


def check(pipeline: Pipeline, document: Document) -> Iterator[Finding]:
    """Check what `mlops tune` needs of the pipeline: where the search is, and that it can be stopped and go on."""
    jobs = mapping(document.content.get("jobs"))
    sweeps = [name for name, job in jobs.items() if mapping(job).get("type") == "sweep"]
    if OUTPUT not in pipeline.outputs:
        message = f'the output "{OUTPUT}" is missing, in which `mlops tune` finds the result'
        yield document.finding("outputs", message + did_you_mean(OUTPUT, pipeline.outputs))
        return
    writers = [
        (node.name, name)
        for node in pipeline.nodes.values()
        for name, value in node.outputs.items()
        if (found := binding(value)) and found.kind == "output" and found.name == OUTPUT
    ]
    if not writers:
        return  # an output that no job writes is reported for each pipeline
    name, _ = writers[0]
    if sweeps and name not in sweeps:
        yield document.finding(f"outputs.{OUTPUT}", f"the job {name} writes it, not the sweep {sweeps[0]}")
    component = pipeline.nodes[name].component
    is_filled = bool(sweeps) and document.entity is not None  # the candidate of an object is complete
    if isinstance(component, Component) and not is_filled:
        wanted = ("candidate", "state") if sweeps else ("state",)
        yield from _input_findings(component, wanted, document, f"jobs.{name}.{'trial' if sweeps else 'component'}")


def _input_findings(component: Component, wanted: tuple[str, ...], document: Document, where: str) -> Iterator[Finding]:
    uses = {
        "candidate": "a trial gets the hyperparameters in it",
        "state": "a search that was stopped goes on from what is in it",
    }
    for name in wanted:
        port = component.inputs.get(name)
        if port is None:
            yield document.finding(where, f'its component needs the input "{name}": {uses[name]}')
        elif port.type != "string" or not port.optional:
            yield document.finding(where, f'its input "{name}" must be an optional string: {uses[name]}')


def check_files(project: Project, sweep: Sweep) -> list[Finding]:
    """Check the pipeline of aml-cli-v2 with the search of config/model.yml in it, as it goes to Azure ML."""
    path = project.definitions / TUNING_FILE
    if not path.is_file():
        return []  # a project from before v0.8.0 whose user has removed the file: only `mlops tune` misses it
    config = load_environment(project, project.first_environment)
    try:
        content = sweep_document(project, sweep, config, path.parent)
    except UserError as error:
        return [Finding(path, "", str(error).removeprefix(f"{path.name}: "))]
    document = Document(path, "pipelineJob", content)
    catalogue = Catalogue.load(sorted(path.parent.rglob("*.yml")), project.root)
    pipeline = Pipeline.from_dict(content, path)
    with quiet():
        found = [*graph.check(pipeline, document, catalogue), *sdk.check_structure(document)]
    return found or sdk.check(document, io.StringIO(yaml.safe_dump(content)))
