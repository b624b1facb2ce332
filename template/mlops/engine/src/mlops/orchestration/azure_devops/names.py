"""What the pipelines of a project are called, where its repository is, and what each pipeline may use."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from mlops.errors import UserError
from mlops.project import Project, load_yaml

FOLDER = ".azuredevops"
NAMES = f"{FOLDER}/templates/names.yml"
"""The variables that all pipelines read when they are compiled; `project` begins every name in Azure DevOps."""

CHANGING = ("infrastructure", "train", "deliver", "monitor", "rollback", "teardown")
"""The pipelines that change an environment: they may use its environments, its connection, and its agents."""

BUILDING = ("infrastructure", "teardown")
"""Those that change the resources of an environment, and so Terraform's state."""

READING = tuple(each for each in CHANGING if each != "teardown")
"""Those that look first: they may use the connection that reads, too."""

PLANNING = "pull-request"
"""May use the connection that reads the first environment, and nothing else."""

ROLLBACK = "rollback"
"""Goes through an environment of its own, with a lock of its own, so that it waits for no delivery."""

_NAME = r"[\w-]+"
_PART = r"([^/]+)"
_REMOTES = (
    rf"https://(?:[^@/]+@)?dev\.azure\.com/{_PART}/(?:{_PART}/)?_git/{_PART}/?",
    rf"https://(?:[^@/]+@)?{_PART}\.visualstudio\.com/(?:DefaultCollection/)?(?:{_PART}/)?_git/{_PART}/?",
    rf"(?:ssh://)?git@ssh\.dev\.azure\.com[:/]v3/{_PART}/{_PART}/{_PART}/?",
    rf"(?:ssh://)?[^@/]+@vs-ssh\.visualstudio\.com[:/]v3/{_PART}/{_PART}/{_PART}/?",
)


@dataclass(frozen=True)
class Address:
    """A repository in Azure Repos; the name of a project may have spaces."""

    organisation: str
    project: str
    repository: str

    @classmethod
    def of(cls, remote: str, setting: str) -> "Address":
        """Return the address that the remote `origin` has, or without one pyproject.toml.

        Raises:
            UserError: There is neither, or `origin` is elsewhere.
        """
        if remote:
            for pattern in _REMOTES:
                if found := re.fullmatch(pattern, remote):
                    organisation, project, repository = (unquote(part or "") for part in found.groups())
                    # Azure DevOps leaves out the project where the repository has its name.
                    return cls(organisation, project or repository, repository)
            raise UserError("the remote origin is not a repository of Azure DevOps: see `git remote --verbose`")
        parts = setting.split("/")
        if len(parts) != 3 or not all(parts):
            raise UserError(
                "pyproject.toml: [tool.mlops] repository: write ORGANISATION/PROJECT/REPOSITORY of Azure DevOps"
            )
        return cls(*parts)

    def __str__(self) -> str:
        """Return it as pyproject.toml has it."""
        return f"{self.organisation}/{self.project}/{self.repository}"

    @property
    def organisation_url(self) -> str:
        """The organisation, as the options of `az` and the REST API want it."""
        return f"https://dev.azure.com/{quote(self.organisation)}"

    @property
    def url(self) -> str:
        """The project's part of the REST API."""
        return f"{self.organisation_url}/{quote(self.project)}"

    @property
    def clone_url(self) -> str:
        """What Git clones."""
        return f"{self.url}/_git/{quote(self.repository)}"


class Names:
    """The names of what a project has in Azure DevOps, where other projects of the template may be beside it."""

    def __init__(self, project: Project) -> None:
        """Keep the project; its files are read when they are needed."""
        self._project = project

    @cached_property
    def _document(self) -> dict[str, Any]:
        return load_yaml(self._project.root / NAMES)

    @cached_property
    def _variables(self) -> dict[str, str]:
        found = self._document.get("variables")
        pairs = {each.get("name"): each.get("value") for each in found} if isinstance(found, list) else found
        return {str(key): str(value or "") for key, value in (pairs or {}).items()}

    @property
    def prefix(self) -> str:
        """What every name begins with, and the folder of the pipelines.

        Raises:
            UserError: The file does not say.
        """
        if not self._variables.get("project"):
            raise UserError(f"{NAMES}: variables: project: the key is missing: write the project's name there")
        return self._variables["project"]

    def pool(self, name: str) -> str:
        """Return the pool of agents inside the private network of an environment, empty for Microsoft's agents."""
        return self._pool("pool", name)

    def provision_pool(self, name: str) -> str:
        """Return the pool of agents that the firewall of Terraform's state admits, empty for Microsoft's agents."""
        return self._pool("provision_pool", name)

    def pools(self, name: str) -> dict[str, tuple[str, ...]]:
        """Return the pools of an environment, each with the pipelines that run on its agents."""
        pools = {self.provision_pool(name): BUILDING, self.pool(name): CHANGING}
        return {pool: pipelines for pool, pipelines in pools.items() if pool}

    def _pool(self, key: str, name: str) -> str:
        pool = self._variables.get(key)
        return f"{pool}-{name}" if pool else ""

    @property
    def listed(self) -> list[str]:
        """The environments that a model may go to; the stages of all others are left out before a run starts."""
        return self._variables.get("environments", "").split()

    @property
    def misplaced(self) -> bool:
        """Whether there is another list where Azure DevOps allows none."""
        return "environments" in self._document

    @property
    def unknown(self) -> list[str]:
        """What is listed, and is no environment of the project."""
        return [each for each in self.listed if each not in self._project.environments]

    def strange(self, names: Sequence[str]) -> str:
        """Return what is wrong with names that are no environments: no stage is there for them."""
        return f"{NAMES} has {' and '.join(names)} in `environments`, which the project does not have"

    @property
    def misspelt(self) -> bool:
        """Whether the list has other characters than spaces between its names."""
        return any(not re.fullmatch(_NAME, each) for each in self.listed)

    def edit(self, *names: str, without: Sequence[str] = ()) -> str:
        """Return how to let models go to more environments, or to fewer, in the order of the project."""
        return f"{self.value(*names, without=without)}, in a pull request"

    def value(self, *names: str, without: Sequence[str] = ()) -> str:
        """Return the same, for a project that no pull request is for yet."""
        written = (self._variables.get("environments"), self._document.get("environments"))
        meant = {*re.findall(_NAME, str(written)), *names}
        first = self._project.first_environment
        more = [each for each in self._project.environments if each in meant and each not in (first, *without)]
        return f"write `{' '.join((first, *more))}` as `environments` into {NAMES}"

    def environment(self, name: str) -> str:
        """Return what the approvals and the lock of an environment belong to."""
        return f"{self.prefix}-{name}"

    def environments(self, name: str) -> dict[str, tuple[str, ...]]:
        """Return what an environment is called in Azure DevOps, each with the pipelines that go through it."""
        others = tuple(each for each in CHANGING if each != ROLLBACK)
        return {self.environment(name): others, f"{self.environment(name)}-{ROLLBACK}": (ROLLBACK,)}

    def connection(self, name: str, *, reads: bool = False) -> str:
        """Return the service connection of an environment: the one that changes it, or the one that may only read."""
        return f"{self.prefix}-{name}-read" if reads else f"{self.prefix}-{name}"

    def connections(self, name: str, *, is_first: bool) -> dict[str, tuple[str, ...]]:
        """Return the service connections of an environment, each with the pipelines that use it."""
        plans = is_first and "infrastructure" in self.pipelines  # a pull request does
        readers = (*READING, PLANNING) if plans else READING
        return {self.connection(name): CHANGING, self.connection(name, reads=True): readers}

    @cached_property
    def pipelines(self) -> list[str]:
        """The pipelines, each named as its file.

        Raises:
            UserError: There is no file.
        """
        found = sorted(path.stem for path in (self._project.root / FOLDER).glob("*.yml"))
        if not found:
            raise UserError(f"there are no pipelines in {FOLDER}: restore its files from Git")
        return found
