"""The steps of SDK v1 in the plain form that the local runner and the lint know, and what the lint finds in them.

The steps are the objects that go to Azure. They are built without a workspace, for the first environment.
"""

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.azureml.python_sdk_v1 import build, data_assets, recurrence, snapshot
from mlops.azureml.python_sdk_v2 import DefinitionError
from mlops.config import Project, load_environment
from mlops.errors import UserError
from mlops.lint import graph, lint_documents
from mlops.lint.documents import Catalogue, Document, Fault
from mlops.lint.python_sdk_v2 import check_modules
from mlops.pipeline import Pipeline

if TYPE_CHECKING:
    from azureml.pipeline.steps import PythonScriptStep

    Steps = list[PythonScriptStep]

_DRIVER = re.compile(
    r"^--(client_sdk_version|scoring_module_name|mini_batch_size|error_threshold|output_action|logging_level|output"
    r"|run_invocation_timeout|run_max_try|create_snapshot_at_runtime|allowed_failed_(count|percent)|partition_keys"
    r"|append_row_file_name|process_count_per_node|input(_fds|_ds|_pipeline_param)?_?\d+)$"
)
"""The arguments that ParallelRunStep adds for its own driver."""


def plain(project: Project, function: str) -> Pipeline:
    """Bring the steps of a pipeline into the form that the local runner and the lint know.

    Raises UserError when they cannot be built, or use what has no plain form.
    """
    return _translated(project, *_stand_alone(project, function))


def _stand_alone(project: Project, function: str) -> "tuple[Steps, dict[int, str]]":
    """Build the steps of a pipeline with datasets that are in no workspace; return the names of these by identity."""
    from azureml.core import Dataset

    def nowhere(name: str) -> Any:
        return Dataset.File.from_files(f"https://localhost/{name}", validate=False)

    data = {name: nowhere(name) for name in data_assets(project)}
    arguments = (nowhere("files"), "1") if function == "batch" else (data,)
    steps = build(project, function, load_environment(project, project.first_environment), *arguments)
    return steps, {id(dataset): name for name, dataset in data.items()}


def _translated(project: Project, steps: "Steps", names: Mapping[int, str]) -> Pipeline:
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
    """Return a step as a job of a YAML file; what it takes from the pipeline and gives is added to that document."""
    for item in [*step._inputs, *step._outputs]:
        if not hasattr(item, "arg_val"):
            kind = type(item).__name__
            raise UserError(f"pipelines.py: {step.name}: {item.name} is {kind}: use OutputFileDatasetConfig instead")
    starter = project.definition("run_step")
    root, script, words = Path(step._source_directory), step._script_name, _own_arguments(step)
    command, code = ["python", script], root
    if root / script == Path(str(starter.__file__)) and words:
        command, code = ["python", "-m", str(words.pop(0))], starter.CODE
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    ports: dict[str, Any] = {}
    for word in words:
        name, kind, value = _source(step, word, command[-1], root, names, starter.NO_VALUE)
        if not kind:
            command.append(shlex.quote(str(word)))
        elif kind == "output":
            command.append(f"${{{{outputs.{name}}}}}")
            outputs[name] = f"${{{{parent.outputs.{name}}}}}"
            pipeline["outputs"][name] = {"type": "uri_folder", "mode": value}
        else:
            command.append(f"${{{{inputs.{name}}}}}")
            ports[name] = {"type": kind, "optional": value is None}
            if value is None:
                command[-2:] = [f"$[[{' '.join(command[-2:])}]]"]
            elif kind == "bound":
                ports[name], inputs[name] = {"type": "uri_folder"}, value
            else:
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
    return {"compute": f"azureml:{target}", "component": component, "inputs": inputs, "outputs": outputs}


def _own_arguments(step: "PythonScriptStep") -> list[Any]:
    """Return the arguments that a step was given, without those that ParallelRunStep adds for its driver."""
    from azureml.pipeline.steps import ParallelRunStep

    words = list(step._arguments)
    if not isinstance(step, ParallelRunStep):
        return words
    pairs = zip(words[::2], words[1::2], strict=True)
    return [word for option, value in pairs if not _DRIVER.match(str(option)) for word in (option, value)]


def _source(
    step: "PythonScriptStep", word: Any, option: str, root: Path, names: Mapping[int, str], no_value: str
) -> tuple[str, str, Any]:
    """Return what an argument of a step stands for: its name, its type and its value.

    The type is empty for what is only text, "output" for what the step writes, and "bound" for what another step has
    written. The value is a binding, that of the pipeline's input, or None for an option that may be left out.
    """
    from azureml.data import OutputFileDatasetConfig
    from azureml.pipeline.core import PipelineParameter

    if isinstance(word, PipelineParameter):
        return word.name, "string", None if word.default_value == no_value else word.default_value
    for written in step._outputs:
        if word == written.arg_val:
            return written.name, "output", written.mode
    for consumed in step._inputs:
        if word != consumed.arg_val:
            continue
        name, dataset = consumed.name, consumed.dataset
        if isinstance(dataset, OutputFileDatasetConfig):
            if dataset._producer is None:
                raise UserError(f"pipelines.py: {step.name}: no step writes {dataset.name}, which it reads")
            return name, "bound", f"${{{{parent.jobs.{dataset._producer.name}.outputs.{dataset.name}}}}}"
        parameter = dataset if isinstance(dataset, PipelineParameter) else None
        if parameter:
            name, dataset = parameter.name, parameter.default_value
        if id(dataset) not in names:
            raise UserError(f"pipelines.py: {step.name}: take the dataset of {name} out of `data`")
        if not parameter and name != names[id(dataset)]:
            cure = f"call it {names[id(dataset)]}, as the dataset: SDK v1 sends the one for the other"
            raise UserError(f"pipelines.py: {step.name}: the input {name} is no parameter, so {cure}")
        if consumed.mode not in ("mount", "download"):
            cure = "use as_mount() or as_download()"
            raise UserError(f"pipelines.py: {step.name}: {name} would be an id and no folder: {cure}")
        path, mode = f"azureml:{names[id(dataset)]}@latest", f"ro_{consumed.mode}".replace("ro_download", "download")
        return name, "uri_folder", {"type": "uri_folder", "path": path, "mode": mode}
    if option.startswith("--") and (root / str(word)).is_file():
        return option[2:].replace("-", "_"), "uri_file", {"type": "uri_file", "path": str(root / str(word))}
    return "", "", None


def check(project: Project) -> list[Fault]:
    """Lint the datasets, the three pipelines, the cron texts, and what the project has of SDK v2's definitions."""
    faults = check_modules(project, ("environments", "online", "registry"))
    try:
        faults += _data_faults(project)
        for function in ("training", "drift", "batch"):
            faults += _pipeline_faults(project, function)
    except DefinitionError as error:
        faults.append(error.fault)
    except UserError as error:
        file, _, text = str(error).partition(": ")
        faults.append(Fault(project.definitions / file, "", text))
    return lint_documents([], project, [*faults, *_cron_faults(project)])


def _data_faults(project: Project) -> Iterator[Fault]:
    for asset in data_assets(project).values():
        if not re.fullmatch(r"\w[\w-]*", asset.name):
            yield Fault(asset.source, asset.name, "a name has letters, digits, underscores and dashes only")
        if asset.path is None or not asset.path.is_dir():
            yield Fault(asset.source, asset.name, f"no such folder: {asset.path}")


def _pipeline_faults(project: Project, function: str) -> Iterator[Fault]:
    steps, names = _stand_alone(project, function)
    pipeline = _translated(project, steps, names)
    document = Document(pipeline.source, "pipelineJob", pipeline.document, function)
    data = [Document(asset.source, "data", {"name": asset.name}) for asset in pipeline.data.values()]
    found = graph.check(pipeline, document, Catalogue(data, project.root))
    # The conda file is checked where environments.py names it.
    yield from (fault for fault in found if ".conda_file." not in fault.where)
    for step in steps:
        words = _own_arguments(step)
        for option, word in itertools.pairwise(words):
            is_path = isinstance(word, str) and str(option).startswith("--") and re.search(r"/|\.[a-z]{2,5}$", word)
            if is_path and not (Path(step._source_directory) / word).exists():
                yield document.fault(f"jobs.{step.name}.command", f"no such file: {word}")
    package = project.root / "data-science" / "src" / project.package
    modules = [file for file in package.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    roots = {Path(step._source_directory) for step in steps}
    uploaded = {root: set(snapshot(root)) for root in roots if root.is_dir()}
    for step in steps:
        root = Path(step._source_directory)
        words = [step._script_name, *map(str, step._arguments)]
        needed = {*modules, *(root / word for word in words if (root / word).is_file())}
        for file in sorted(needed - uploaded[root]) if root in uploaded else ():
            message = f"leaves out {file.relative_to(root).as_posix()}, which the step {step.name} needs"
            yield Fault(project.root / ".amlignore", "", message)


def _cron_faults(project: Project) -> Iterator[Fault]:
    for environment in project.environments:
        schedule = load_environment(project, environment).schedule
        for key in ("retrain_cron", "monitor_cron"):
            try:
                recurrence(getattr(schedule, key), schedule.time_zone)
            except UserError as error:
                yield Fault(project.root / "config" / f"{environment}.yml", f"schedule.{key}", str(error))
