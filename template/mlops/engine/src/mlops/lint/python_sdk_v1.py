"""What the lint finds in the datasets and pipelines of SDK v1, and in their schedules."""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from mlops.config import Sweep, load_environment
from mlops.definitions.base import DefinitionError, Document, Finding, require
from mlops.definitions.python_sdk_v1 import (
    DATASTORES,
    data_assets,
    own_arguments,
    recurrence,
    snapshot,
    stand_alone_steps,
    translate_steps,
)
from mlops.definitions.python_sdk_v2 import TUNING
from mlops.errors import UserError
from mlops.lint import graph, tuning
from mlops.lint.checks import lint_documents
from mlops.lint.documents import Catalogue
from mlops.lint.python_sdk_v2 import check_modules
from mlops.project import Project, is_ignored


def check(project: Project) -> list[Finding]:
    """Lint the datasets, the pipelines, the cron expressions, and what the project has of SDK v2's definitions."""
    require("azureml.pipeline.steps", "azureml-pipeline")
    findings = check_modules(project, ("environments", "online", "registry"))
    try:
        findings += _data_findings(project)
        for function, *arguments in (("training",), ("tuning", None), ("drift",), ("batch",)):
            findings += _pipeline_findings(project, str(function), *arguments)
    except DefinitionError as error:
        findings.append(error.finding)
    except UserError as error:
        file, _, text = str(error).partition(": ")
        findings.append(Finding(project.definitions / file, "", text))
    return lint_documents([], project, [*findings, *_cron_findings(project)])


def check_sweep(project: Project, sweep: Sweep) -> list[Finding]:
    """Build the search of config/model.yml, which checks its values."""
    try:
        stand_alone_steps(project, "tuning", sweep)
    except DefinitionError as error:
        return [error.finding]
    return []


def _data_findings(project: Project) -> Iterator[Finding]:
    for asset in data_assets(project).values():
        if not re.fullmatch(r"\w[\w-]*", asset.name):
            yield Finding(asset.source, asset.name, "a name has letters, digits, underscores and dashes only")
        if asset.path is None and not re.fullmatch(rf"{DATASTORES}[^/]+/paths/.+", asset.address):
            yield Finding(asset.source, asset.name, f"{asset.address} is not {DATASTORES}NAME/paths/FOLDER")
        elif asset.path is not None and not asset.path.is_dir():
            yield Finding(asset.source, asset.name, f"no such folder: {asset.path}")


def _pipeline_findings(project: Project, function: str, *arguments: object) -> Iterator[Finding]:
    steps, names = stand_alone_steps(project, function, *arguments)
    pipeline = translate_steps(project, steps, names)
    document = Document(pipeline.source, "pipelineJob", pipeline.document, function)
    data = [Document(asset.source, "data", {"name": asset.name}) for asset in pipeline.data.values()]
    found = list(graph.check(pipeline, document, Catalogue(data, project.root)))
    if function == TUNING:
        found += tuning.check(pipeline, document)
    # The conda file is checked where environments.py names it.
    yield from (finding for finding in found if ".conda_file." not in finding.where)
    for step in steps:
        words = own_arguments(step)
        for option, word in itertools.pairwise(words):
            is_path = isinstance(word, str) and str(option).startswith("--") and re.search(r"/|\.[a-z]{2,5}$", word)
            if is_path and not (Path(step._source_directory) / word).exists():
                yield document.finding(f"jobs.{step.name}.command", f"no such file: {word}")
    package = project.root / "data-science" / "src" / project.package
    modules = [file for file in package.rglob("*") if file.is_file() and not is_ignored(file.relative_to(package))]
    roots = {Path(step._source_directory) for step in steps}
    uploaded = {root: set(snapshot(root)) for root in roots if root.is_dir()}
    for step in steps:
        root = Path(step._source_directory)
        words = [step._script_name, *map(str, step._arguments)]
        needed = {*modules, *(root / word for word in words if (root / word).is_file())}
        for file in sorted(needed - uploaded[root]) if root in uploaded else ():
            message = f"leaves out {file.relative_to(root).as_posix()}, which the step {step.name} needs"
            yield Finding(project.root / ".amlignore", "", message)


def _cron_findings(project: Project) -> Iterator[Finding]:
    for environment in project.environments:
        schedule = load_environment(project, environment).schedule
        try:
            recurrence(schedule.monitor_cron, schedule.time_zone)
        except UserError as error:
            yield Finding(project.root / "config" / f"{environment}.yml", "schedule.monitor_cron", str(error))
