"""The definitions of aml-cli-v2: YAML files."""

from dataclasses import dataclass

from mlops.pipeline import Pipeline
from mlops.project import Project
from mlops.responsible_ai.components import COMPONENTS


@dataclass(frozen=True)
class YamlDefinitions:
    """The YAML files of a project."""

    project: Project
    notice = ""
    needs_az_extension = True
    monitor_fails_on_drift = False

    def pipeline(self) -> Pipeline:
        """Read the training pipeline.

        Raises:
            UserError: The file is missing, or holds no YAML mapping.
        """
        return Pipeline.load(self.project.definitions / "pipeline.yml", COMPONENTS)
