"""What is deployed beside the model, as one hash: a deployment with another one has to be made anew.

What a delivery sets up beside that deployment has a hash, too: with another one it has to be set up once more.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlops import definitions
from mlops.config import EnvironmentConfig, drift_rules, model_task
from mlops.pipeline import is_local, mapping
from mlops.project import Project, is_ignored, load_yaml

_OWN = ("$schema", "name", "endpoint_name", "model", "tags")
"""The keys of a deployment's definition that the verbs fill in, which say nothing about how it scores."""


def fingerprint(project: Project, config: EnvironmentConfig) -> str:
    """Return a hash of what an environment's online deployment is beside its model: 16 hexadecimal digits.

    It covers the deployment's definition with the probes, the size and the number of its machines; the image and the
    packages of its environment; and each file of the code folder, because any of them may be imported by the scoring
    script. It is the same on each machine, whatever the ends of lines there, and comments in YAML files do not count.

    Raises:
        UserError: The definition cannot be read or built.
    """
    document = definitions.of(project).online_deployment(config)
    content = {key: value for key, value in document.content.items() if key not in _OWN}
    folders = [mapping(content.get("code_configuration")).get("code")]
    if isinstance(environment := content.get("environment"), dict):
        content["environment"] = _described(environment, document.folder)
        folders.append(mapping(environment.get("build")).get("path"))
    total = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode())
    for folder in folders:
        if isinstance(folder, str) and is_local(folder):
            for name, data in sorted(_files(document.folder / folder)):
                total.update(f"{name}\0{len(data)}\0".encode() + data)
    return total.hexdigest()[:16]


def setup_fingerprint(project: Project, config: EnvironmentConfig) -> str:
    """Return a hash of what a delivery sets up beside the online deployment: batch endpoint and monitor.

    It covers their definitions, their sizes and times in the environment's configuration, and what the monitor
    compares by config/model.yml and data/schema.yml. What both run is in the `fingerprint` of the online deployment.

    Raises:
        UserError: There are no thresholds for the monitor, or they are malformed.
    """
    sizes = config.model_dump(mode="json", include={"compute": {"batch"}, "monitor": True, "schedule": True})
    content = [sizes, config.compute.batch_cluster, vars(drift_rules(project)), model_task(project)]
    total = hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode())
    for path in definitions.of(project).beside_online():
        data = _with_ends_of_git(path.read_bytes())
        total.update(f"{path.name}\0{len(data)}\0".encode() + data)
    return total.hexdigest()[:16]


def _described(environment: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return an environment with the content of its conda file, and without the name that azure-ai-ml makes up."""
    conda = environment.get("conda_file")
    described = {**environment, "conda_file": load_yaml(folder / conda) if isinstance(conda, str) else conda}
    if str(environment.get("name")).startswith("CliV2Anonymous"):
        del described["name"], described["version"]
    return {key: value for key, value in described.items() if key != "$schema"}


def _files(root: Path) -> Iterator[tuple[str, bytes]]:
    """Give the files of a folder that go to Azure, by their POSIX paths; of text with the ends of lines of Git."""
    for path in root.rglob("*"):
        name = path.relative_to(root)
        if path.is_file() and not is_ignored(name):
            yield name.as_posix(), _with_ends_of_git(path.read_bytes())


def _with_ends_of_git(data: bytes) -> bytes:
    return data if b"\0" in data else data.replace(b"\r\n", b"\n")
