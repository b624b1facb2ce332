"""The definitions of aml-cli-v2: YAML files."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.config import EnvironmentConfig, Sweep
from mlops.definitions.base import Document
from mlops.definitions.values import WORKER_COUNT
from mlops.errors import UserError
from mlops.pipeline import OPTIONAL, Pipeline, is_local, mapping
from mlops.project import Project, load_yaml
from mlops.responsible_ai.components import COMPONENTS

TUNING_FILE = "tuning.yml"

_CANDIDATE = re.compile(r"\$\{\{\s*inputs\.candidate\s*\}\}")
_PATHS = ("path", "code", "component", "trial", "environment", "conda_file")
"""The keys of a pipeline, of a job and of a component whose values can be paths."""


@dataclass(frozen=True)
class YamlDefinitions:
    """The YAML files of a project."""

    project: Project
    notice = ""
    monitor_writes_files = False
    needs_az_extension = True
    monitor_fails_on_drift = False

    def pipeline(self) -> Pipeline:
        """Read the training pipeline.

        Raises:
            UserError: The file is missing, or holds no YAML mapping.
        """
        return Pipeline.load(self.project.definitions / "pipeline.yml", COMPONENTS)

    def tuning(self) -> Pipeline:
        """Read the pipeline that searches hyperparameters; see `Definitions.tuning`.

        Raises:
            UserError: The file is missing, or holds no YAML mapping.
        """
        return Pipeline.load(self.project.definitions / TUNING_FILE)

    def online_deployment(self, config: EnvironmentConfig) -> Document:
        """Read a deployment with the environment that its file refers to; see `Definitions.online_deployment`.

        Raises:
            UserError: A file is missing, or holds no YAML mapping.
        """
        path = self.project.definitions / "online" / "deployment.yml"
        online = config.compute.online
        content = load_yaml(path) | {"instance_type": online.vm_size, "instance_count": online.instance_count}
        variables, requests = mapping(content.get("environment_variables")), mapping(content.get("request_settings"))
        content["environment_variables"] = {**variables, WORKER_COUNT: str(online.workers)}
        content["request_settings"] = {**requests, "max_concurrent_requests_per_instance": online.workers}
        environment = content.get("environment")
        if isinstance(environment, str) and is_local(environment):
            file = path.parent / environment.removeprefix("file:")
            content["environment"] = _moved(load_yaml(file), file.parent, path.parent)
        return Document(path, "onlineDeployment", content)

    def beside_online(self) -> list[Path]:
        """Return the files of batch endpoint and monitor; see `Definitions.beside_online`."""
        folder = self.project.definitions
        return [*sorted((folder / "batch").glob("*.yml")), folder / "monitor.yml"]


def sweep_document(project: Project, sweep: Sweep, config: EnvironmentConfig, folder: Path) -> dict[str, Any]:
    """Return tuning.yml as a file of another folder, with a search, the component of its trials, and where they run.

    Raises:
        UserError: A file is missing, holds no YAML mapping, or has no sweep.
    """
    source = project.definitions / TUNING_FILE
    document = load_yaml(source)
    sweeps = [name for name, job in mapping(document.get("jobs")).items() if mapping(job).get("type") == "sweep"]
    if len(sweeps) != 1:
        raise UserError(f"{source.name}: jobs: one job of type sweep is expected, not {len(sweeps)}")
    document = _moved(document, source.parent, folder)
    job = document["jobs"][sweeps[0]]
    job["trial"] = trial = _moved(*_trial(source, load_yaml(source)["jobs"][sweeps[0]], sweep), folder)
    job["compute"] = f"azureml:{config.compute.training_cluster}"
    if "distribution" in trial:
        trial["resources"] = {**mapping(trial.get("resources")), "instance_count": config.compute.training.nodes}
        trial["distribution"]["process_count_per_instance"] = config.compute.training.processes_per_node
    job["search_space"] = {name: dict(distribution) for name, distribution in sweep.search_space.items()}
    job["objective"] = dict(sweep.objective)
    job["limits"] = {**mapping(job.get("limits")), **sweep.limits}
    job["sampling_algorithm"] = sweep.sampling_algorithm
    job.pop("early_termination", None)
    if sweep.early_termination:
        job["early_termination"] = dict(sweep.early_termination)
    return document


def _trial(source: Path, job: Mapping[str, Any], sweep: Sweep) -> tuple[dict[str, Any], Path]:
    """Return the component of a sweep with an input for each hyperparameter, and the folder of its paths."""
    trial, place = job.get("trial"), source
    if isinstance(trial, str) and is_local(trial):
        place = source.parent / trial.removeprefix("file:")
        trial = load_yaml(place)
    if not isinstance(trial, Mapping) or "candidate" not in mapping(trial.get("inputs")):
        raise UserError(f"{place.name}: inputs: the trial of the sweep needs the input candidate")

    def filled(part: re.Match[str]) -> str:
        return _CANDIDATE.sub(lambda _: sweep.candidate, part[1]) if _CANDIDATE.search(part[1]) else part[0]

    inputs = {name: port for name, port in trial["inputs"].items() if name != "candidate"}
    inputs |= {name: {"type": kind} for name, kind in sweep.inputs.items()}
    command = OPTIONAL.sub(filled, str(trial.get("command", "")))
    kept = {key: value for key, value in trial.items() if key not in ("$schema", "type")}
    return {**kept, "inputs": inputs, "command": command}, place.parent


def _moved(value: Any, old: Path, new: Path) -> Any:
    """Return a part of a document whose relative paths start at another folder."""
    if isinstance(value, list):
        return [_moved(item, old, new) for item in value]
    if not isinstance(value, Mapping):
        return value
    moved = {key: _moved(item, old, new) for key, item in value.items()}
    for key in _PATHS:
        text = moved.get(key)
        if isinstance(text, str) and is_local(text) and "${{" not in text:
            path = Path(os.path.relpath(old / text.removeprefix("file:"), new)).as_posix()
            moved[key] = f"file:{path}" if text.startswith("file:") else path
    return moved
