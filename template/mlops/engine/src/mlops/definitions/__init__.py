"""The Azure ML definitions of a project, brought into the plain form that the lint and the local runner know.

Nothing here connects to Azure.
"""

from collections.abc import Callable

from mlops.definitions.base import Definitions
from mlops.definitions.python_sdk_v1 import PythonSdkV1Definitions
from mlops.definitions.python_sdk_v2 import PythonSdkDefinitions
from mlops.definitions.yaml_v2 import YamlDefinitions
from mlops.project import Project, Version

_KINDS: dict[Version, Callable[[Project], Definitions]] = {
    "aml-cli-v2": YamlDefinitions,
    "python-sdk-v2": PythonSdkDefinitions,
    "python-sdk-v1": PythonSdkV1Definitions,
}


def of(project: Project) -> Definitions:
    """Return the definitions of a project in the form of its mlops version."""
    return _KINDS[project.version](project)
