"""Azure Machine Learning, by the API of the project's mlops version."""

from typing import Protocol

from mlops.azureml.aml_cli_v2 import AzureCli
from mlops.azureml.backend import Backend
from mlops.azureml.python_sdk_v1 import PythonSdkV1
from mlops.azureml.python_sdk_v2 import PythonSdk
from mlops.config import EnvironmentConfig
from mlops.project import Project, Version


class _Connect(Protocol):
    def __call__(self, project: Project, config: EnvironmentConfig, *, dry_run: bool) -> Backend: ...


_BACKENDS: dict[Version, _Connect] = {
    "aml-cli-v2": AzureCli,
    "python-sdk-v2": PythonSdk,
    "python-sdk-v1": PythonSdkV1,
}


def connect(project: Project, config: EnvironmentConfig, *, dry_run: bool) -> Backend:
    """Return the backend of the project's mlops version; with `dry_run` it shows what it would do and does nothing.

    Raises:
        UserError: A library of the mlops version is not installed.
    """
    return _BACKENDS[project.version](project, config, dry_run=dry_run)
