"""Azure Machine Learning, by the API of the project's mlops version."""

import importlib
from types import ModuleType
from typing import cast

from mlops.azureml.backend import Backend
from mlops.config import EnvironmentConfig, Project


def connect(project: Project, config: EnvironmentConfig, *, dry_run: bool) -> Backend:
    """Return the backend of the project's mlops version; with `dry_run` it shows what it would do and does nothing."""
    return cast(Backend, version(project).connect(project, config, dry_run=dry_run))


def version(project: Project) -> ModuleType:
    """Import the module of the project's mlops version.

    It has `connect` (see above), `load_pipeline(project) -> Pipeline`, `check(project) -> list[Fault]`, what the lint
    finds in the definitions, and `NOTICE`, a line that each command shows first unless it is empty.
    """
    return importlib.import_module(f"mlops.azureml.{project.version.replace('-', '_')}")
