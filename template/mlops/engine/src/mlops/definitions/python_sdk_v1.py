"""The definitions of python-sdk-v1: the steps of SDK v1 in the plain form that the local runner and the lint know.

The steps are the objects that go to Azure. They are built without a workspace, for the first environment.
"""

import contextlib
import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops import cron
from mlops.config import EnvironmentConfig, load_environment
from mlops.definitions.base import Document, load_module, require, running_in
from mlops.definitions.python_sdk_v2 import folder, online_document
from mlops.errors import UserError
from mlops.pipeline import DataAsset, Pipeline, is_local
from mlops.project import Project

if TYPE_CHECKING:
    from azureml.pipeline.core import ScheduleRecurrence
    from azureml.pipeline.steps import PythonScriptStep

    Steps = list[PythonScriptStep]

NOTICE = (
    "SDK v1 of Azure ML has been out of support since June 2026: to leave it, run `copier update` and answer "
    "mlops_version with python-sdk-v2."
)
FORMS = '"30 4 * * *" (every day), "0 4,16 * * 1-5" (some days of the week), "0 4 1 * *" or "0 4 1 */3 *" (months)'
"""The cron expressions that a recurrence of SDK v1 can express."""

DATASTORES = "azureml://datastores/"
"""How the address of a folder begins that is in Azure: `azureml://datastores/NAME/paths/FOLDER`."""

_DRIVER = re.compile(
    r"^--(client_sdk_version|scoring_module_name|mini_batch_size|error_threshold|output_action|logging_level|output"
    r"|run_invocation_timeout|run_max_try|create_snapshot_at_runtime|allowed_failed_(count|percent)|partition_keys"
    r"|append_row_file_name|process_count_per_node|input(_fds|_ds|_pipeline_param)?_?\d+)$"
)
"""The arguments that ParallelRunStep adds for its own driver."""

_MODES = {"mount": "ro_mount", "download": "download"}
"""How a YAML file names the modes of inputs."""

# No telemetry: azureml.data and azureml.dataprep would report to Microsoft what is done with datasets. They read
# this when they are imported, which is after this module.
os.environ.setdefault("HBI_WORKSPACE_JOB", "true")


@dataclass(frozen=True)
class PythonSdkV1Definitions:
    """The steps of a project."""

    project: Project
    notice = NOTICE
    monitor_writes_files = True
    needs_az_extension = False
    monitor_fails_on_drift = True

    def pipeline(self) -> Pipeline:
        """Build the steps of the training pipeline and bring them into their plain form.

        Raises:
            UserError: They cannot be built, or use what has no plain form.
        """
        return plain_pipeline(self.project, "training")

    def tuning(self) -> Pipeline:
        """Build the steps of the search for hyperparameters; see `Definitions.tuning`.

        Raises:
            UserError: They cannot be built, or use what has no plain form.
        """
        return plain_pipeline(self.project, "tuning", None)

    def online_deployment(self, config: EnvironmentConfig) -> Document:
        """Build a deployment, which has the definitions of SDK v2; see `Definitions.online_deployment`.

        Raises:
            UserError: It cannot be built, or not be written as a document.
        """
        return online_document(self.project, config)

    def beside_online(self) -> list[Path]:
        """Return the files of batch endpoint and monitor, which train, too; see `Definitions.beside_online`."""
        folder = self.project.definitions
        code = [folder / f"{name}.py" for name in ("pipelines", "batch_score", "run_step")]
        return [*code, self.project.root / "data-science" / "environment" / "train.yml"]


def plain_pipeline(project: Project, function: str, *arguments: object) -> Pipeline:
    """Bring the steps of a pipeline into the form that the local runner and the lint know.

    `arguments` are those that its function takes besides the environment and the data.

    Raises:
        UserError: They cannot be built, or use what has no plain form.
    """
    return translate_steps(project, *stand_alone_steps(project, function, *arguments))


def stand_alone_steps(project: Project, function: str, *more: object) -> "tuple[Steps, dict[int, str]]":
    """Build the steps of a pipeline with datasets that are in no workspace; return the names of these by identity.

    `more` is what its function takes besides the environment and the data.

    Raises:
        UserError: They cannot be built, or SDK v1 is not installed.
    """
    require("azureml.pipeline.steps", "azureml-pipeline")
    from azureml.core import Dataset

    def nowhere(name: str) -> Any:
        return Dataset.File.from_files(f"https://localhost/{name}", validate=False)

    data = {name: nowhere(name) for name in data_assets(project)}
    arguments = (nowhere("files"), "1") if function == "batch" else (data, *more)
    steps = build(project, function, load_environment(project, project.first_environment), *arguments)
    return steps, {id(dataset): name for name, dataset in data.items()}


def translate_steps(project: Project, steps: "Steps", names: Mapping[int, str]) -> Pipeline:
    """Bring steps into the plain form; `names` has the names of the datasets by identity.

    Raises:
        UserError: They use what has no plain form.
    """
    document: dict[str, Any] = {
        "type": "pipeline",
        "inputs": {},
        "outputs": {},
        "settings": {"continue_on_step_failure": False},
        "jobs": {},
    }
    for step in steps:
        if step.name in document["jobs"]:
            raise UserError(f"pipelines.py: {step.name}: another step has this name too")
        document["jobs"][step.name] = _job(project, step, names, document)
    return Pipeline.from_dict(document, project.definitions / "pipelines.py", data_assets(project))


def _job(project: Project, step: "PythonScriptStep", names: Mapping[int, str], pipeline: dict[str, Any]) -> Any:
    """Return a step as a job of a YAML file; what it reads from the pipeline and writes is added to that document."""
    for item in [*step._inputs, *step._outputs]:
        if not hasattr(item, "arg_val"):
            kind = type(item).__name__
            raise UserError(f"pipelines.py: {step.name}: {item.name} is {kind}: use OutputFileDatasetConfig instead")
    starter = load_module(project.definitions, "run_step")
    root, script, words = Path(step._source_directory), step._script_name, own_arguments(step)
    command, code = ["python", script], root
    if root / script == Path(str(starter.__file__)) and words:
        command, code = ["python", "-m", str(words.pop(0))], starter.CODE
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    ports: dict[str, Any] = {}
    for word in words:
        match _argument(step, word, command[-1], root, names, starter.NO_VALUE):
            case None:
                command.append(shlex.quote(str(word)))
            case _Output(name, mode):
                command.append(f"${{{{outputs.{name}}}}}")
                outputs[name] = f"${{{{parent.outputs.{name}}}}}"
                pipeline["outputs"][name] = {"type": "uri_folder", "mode": mode}
            case _Bound(name, binding):
                command.append(f"${{{{inputs.{name}}}}}")
                ports[name], inputs[name] = {"type": "uri_folder"}, binding
            case _Input(name, kind, None):
                command[-1:] = [f"$[[{command[-1]} ${{{{inputs.{name}}}}}]]"]
                ports[name] = {"type": kind, "optional": True}
            case _Input(name, kind, value):
                command.append(f"${{{{inputs.{name}}}}}")
                ports[name] = {"type": kind, "optional": False}
                inputs[name] = f"${{{{parent.inputs.{name}}}}}"
                pipeline["inputs"][name] = value
    target = step._compute_target[0] if isinstance(step._compute_target, tuple) else step._compute_target
    runs_in = step._runconfig.environment
    component = {
        "type": "command",
        "code": str(code),
        "is_deterministic": step._allow_reuse,
        "command": " ".join(command),
        "environment": {
            "image": runs_in.docker.base_image,
            "conda_file": runs_in.python.conda_dependencies.as_dict(),
        },
        "inputs": ports,
        "outputs": {name: {"type": "uri_folder"} for name in outputs},
    }
    job = {"compute": f"azureml:{target}", "component": component, "inputs": inputs, "outputs": outputs}
    return {**job, **_distribution(step)}


def _distribution(step: "PythonScriptStep") -> dict[str, Any]:
    """Return how a YAML file says over which nodes and processes a step is spread; nothing of one process.

    Raises:
        UserError: The numbers do not fit each other.
    """
    runs = step._runconfig
    if runs.framework == "Python":
        return {}
    if runs.framework != "PyTorch":
        raise UserError(f"pipelines.py: {step.name}: the framework {runs.framework} is not supported: use PyTorch")
    nodes, processes = runs.node_count, runs.pytorch.process_count
    if runs.pytorch.node_count != nodes:
        problem = f"the run configuration has {nodes} nodes, and its PyTorchConfiguration {runs.pytorch.node_count}"
        raise UserError(f"pipelines.py: {step.name}: {problem}")
    if not isinstance(processes, int) or processes % max(nodes, 1):
        raise UserError(f"pipelines.py: {step.name}: {processes} processes cannot be shared out to {nodes} nodes")
    each = processes // max(nodes, 1)
    return {
        "resources": {"instance_count": nodes},
        "distribution": {"type": "pytorch", "process_count_per_instance": each},
    }


def own_arguments(step: "PythonScriptStep") -> list[Any]:
    """Return the arguments that a step was given, without those that ParallelRunStep adds for its driver."""
    from azureml.pipeline.steps import ParallelRunStep

    words = list(step._arguments)
    if not isinstance(step, ParallelRunStep):
        return words
    pairs = zip(words[::2], words[1::2], strict=True)
    return [word for option, value in pairs if not _DRIVER.match(str(option)) for word in (option, value)]


@dataclass(frozen=True)
class _Output:
    """An argument for what the step writes."""

    name: str
    mode: str


@dataclass(frozen=True)
class _Bound:
    """An argument for what another step has written."""

    name: str
    binding: str


@dataclass(frozen=True)
class _Input:
    """An argument for an input of the pipeline; without a value its option is left out."""

    name: str
    type: str
    value: object


def _argument(
    step: "PythonScriptStep", word: Any, option: str, root: Path, names: Mapping[int, str], no_value: str
) -> _Output | _Bound | _Input | None:
    """Return what an argument of a step stands for, or None for what is only text."""
    from azureml.data import OutputFileDatasetConfig
    from azureml.pipeline.core import PipelineParameter

    if isinstance(word, PipelineParameter):
        return _Input(word.name, "string", None if word.default_value == no_value else word.default_value)
    for output in step._outputs:
        if word == output.arg_val:
            return _Output(output.name, output.mode)
    for consumed in step._inputs:
        if word != consumed.arg_val:
            continue
        name, dataset = consumed.name, consumed.dataset
        if isinstance(dataset, OutputFileDatasetConfig):
            if dataset._producer is None:
                raise UserError(f"pipelines.py: {step.name}: no step writes {dataset.name}, which it reads")
            return _Bound(name, f"${{{{parent.jobs.{dataset._producer.name}.outputs.{dataset.name}}}}}")
        parameter = dataset if isinstance(dataset, PipelineParameter) else None
        if parameter:
            name, dataset = parameter.name, parameter.default_value
        if id(dataset) not in names:
            raise UserError(f"pipelines.py: {step.name}: take the dataset of {name} out of `data`")
        if not parameter and name != names[id(dataset)]:
            remedy = f"call it {names[id(dataset)]}, as the dataset: SDK v1 confuses the two"
            raise UserError(f"pipelines.py: {step.name}: the input {name} is no parameter, so {remedy}")
        if consumed.mode not in _MODES:
            remedy = "use as_mount() or as_download()"
            raise UserError(f"pipelines.py: {step.name}: {name} would be an id and no folder: {remedy}")
        data = {"type": "uri_folder", "path": f"azureml:{names[id(dataset)]}@latest", "mode": _MODES[consumed.mode]}
        return _Input(name, "uri_folder", data)
    if option.startswith("--") and (root / str(word)).is_file():
        file = {"type": "uri_file", "path": str(root / str(word))}
        return _Input(option[2:].replace("-", "_"), "uri_file", file)
    return None


def data_assets(project: Project) -> dict[str, DataAsset]:
    """Return the datasets of the definitions by name.

    Raises:
        UserError: They cannot be read.
    """
    source = project.definitions / "data.py"
    with running_in(project.definitions):
        datasets = getattr(load_module(project.definitions, "data"), "DATASETS", None)
    if not isinstance(datasets, dict) or not all(isinstance(path, str | Path) for path in datasets.values()):
        raise UserError(f"{source.name}: DATASETS must have a folder for each name of a dataset")
    local = {name: project.definitions / path for name, path in datasets.items() if is_local(str(path))}
    return {name: DataAsset(name, local.get(name), source, None, str(path)) for name, path in datasets.items()}


def build(project: Project, function: str, config: EnvironmentConfig, *arguments: object) -> "Steps":
    """Build the steps of a pipeline of the definitions.

    Raises:
        DefinitionError: That fails; the text has the line.
        UserError: They are not steps that start a script.
    """
    from azureml._common.exceptions import AzureMLException
    from azureml.pipeline.core._python_script_step_base import _PythonScriptStepBase
    from azureml.pipeline.steps import HyperDriveStep

    path = list(sys.path)
    try:
        with running_in(project.definitions):
            load_module(folder(project), "environments")
            try:
                steps = getattr(load_module(project.definitions, "pipelines"), function, lambda *_: None)(
                    config, *arguments
                )
            except AzureMLException as error:
                # Its text has several lines and parts for machines.
                raise ValueError(error_line(error)).with_traceback(error.__traceback__) from error
    finally:
        sys.path[:] = path  # ParallelRunStep has put its source directory there
    known = [
        isinstance(step, HyperDriveStep) or (isinstance(step, _PythonScriptStepBase) and step._script_name)
        for step in steps or ()
    ]
    if not known or not all(known):
        kinds = "PythonScriptStep, ParallelRunStep or HyperDriveStep"
        raise UserError(f"pipelines.py: {function} must return a list of {kinds}")
    return list(steps or ())


def snapshot(root: Path) -> "list[Path]":
    """Return the files of a folder that SDK v1 uploads with a step: those that .amlignore leaves in."""
    from azureml._project.ignore_file import get_project_ignore_file

    ignored = get_project_ignore_file(str(root))

    def files(parent: Path) -> Iterator[Path]:
        for item in sorted(parent.iterdir()):
            if not ignored.is_file_excluded(str(item)):
                yield from files(item) if item.is_dir() else [item]

    return list(files(root))


def recurrence(expression: str, time_zone: str) -> "ScheduleRecurrence":
    """Translate a cron expression.

    Raises:
        UserError: It is wrong, or a recurrence of SDK v1 cannot express it.
    """
    from azureml.pipeline.core.schedule import ScheduleRecurrence, TimeZone

    for problem in cron.problems(expression):
        raise UserError(problem)
    minutes, hours, days, months, weekdays = cron.values(expression)
    every_day, every_month, every_weekday = len(days) == 31, len(months) == 12, len(weekdays) == 7
    try:
        zone = TimeZone(time_zone)
    except ValueError:
        raise UserError(f'"{time_zone}" is no time zone of Azure: write a Windows name') from None
    # A start in the past: without one, the first run would start at once.
    start = {"start_time": "2026-01-01T00:00:00", "time_zone": zone}
    if every_day and every_month and every_weekday:
        return ScheduleRecurrence("Day", 1, hours=hours, minutes=minutes, **start)
    if every_day and every_month:
        names = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"]
        chosen = [names[day] for day in weekdays]
        return ScheduleRecurrence("Week", 1, hours=hours, minutes=minutes, week_days=chosen, **start)
    interval = 12 // len(months)
    # A month's recurrence is only its start: one time of one day that each month has.
    once = len(minutes) == len(hours) == len(days) == 1 and days[0] <= 28
    if every_weekday and once and months == list(range(months[0], 13, interval)) and months[0] <= interval:
        start["start_time"] = f"2026-{months[0]:02}-{days[0]:02}T{hours[0]:02}:{minutes[0]:02}:00"
        return ScheduleRecurrence("Month", interval, **start)
    raise UserError(f'SDK v1 has no recurrence for "{expression}"; it has them for {FORMS}')


def error_line(error: Exception) -> str:
    """Return the message of an exception in one line: the one in Azure's answer, where it has one."""
    text = getattr(getattr(error, "response", None), "text", "") or getattr(error, "message", "") or str(error)
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        answer = {key.lower(): value for key, value in json.loads(text).items()}["error"]
        found = {key.lower(): value for key, value in answer.items()}
        text = f"({found['code']}) {found['message']}"
    return " ".join(str(text).split())
