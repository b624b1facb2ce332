"""What every verb works with."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlops import azureml, definitions
from mlops.azureml.backend import Backend
from mlops.config import EnvironmentConfig, load_environment
from mlops.pipeline import Pipeline
from mlops.project import Project


@dataclass(frozen=True)
class Session:
    """What every verb works with: the project, one environment of it, and the backend for both."""

    project: Project
    config: EnvironmentConfig
    backend: Backend
    dry_run: bool = False

    @classmethod
    def open(cls, environment: str, *, dry_run: bool = False, root: Path | None = None) -> "Session":
        """Open an environment of the project around `root` (default: the working directory)."""
        project = Project.load(root)
        config = load_environment(project, environment)
        return cls(project, config, azureml.connect(project, config, dry_run=dry_run), dry_run)

    def say(self, text: str, plan: str = "") -> None:
        """Print a line at once, also into a pipe.

        In a dry run it is a comment between the commands, and `plan`, if there is one: nothing has happened by then.
        """
        print(f"# {plan or text}" if self.dry_run else text, flush=True)

    @property
    def registry(self) -> str | None:
        """The registry that the environment takes its models from, or None for those of its own workspace."""
        return self.config.names.registry if self.config.model.source == "registry" else None

    @cached_property
    def owner(self) -> str:
        """What tells this project from others: the online endpoint of its first environment, a name that stays."""
        return load_environment(self.project, self.project.first_environment).names.online_endpoint

    @cached_property
    def pipeline(self) -> Pipeline:
        """The training pipeline of the definitions, built once for all that looks at it.

        Raises:
            UserError: It cannot be read or built.
        """
        return definitions.of(self.project).pipeline()

    @property
    def folder(self) -> Path:
        """The local folder for what comes from this environment."""
        return self.project.root / ".local" / "azure" / self.config.environment

    @property
    def monitor_name(self) -> str:
        """The name of the monitor's schedule."""
        return f"{self.config.model.name}-monitor"

    @property
    def retraining_name(self) -> str:
        """The name of the retraining schedule in Azure ML, which the releases until v0.4.0 made."""
        return f"{self.config.model.name}-retraining"

    def command(self, verb: str, *options: str) -> str:
        """Return an `mlops` command that a message can recommend."""
        return " ".join(["uv run mlops", verb, "--environment", self.config.environment, *options])
