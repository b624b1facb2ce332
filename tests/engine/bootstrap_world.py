"""A project without repository and Azure, the clouds of paper that `mlops bootstrap` connects it with, and a start."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_azure_devops import FakeAzureDevOps
from fake_cloud import SUBSCRIPTION, FakeCloud
from rendered import HERE
from small_project import configuration, write_yaml

from mlops import infrastructure, orchestration
from mlops.errors import UserError
from mlops.project import Project
from mlops.subscription import account as azure
from mlops.subscription.bootstrap import bootstrap

SHARED = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-shared"
STATE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-state/providers/Microsoft.Storage/storageAccounts/stdev"

SYSTEMS = ("github-actions", "azure-devops")
both = pytest.mark.parametrize("system", SYSTEMS, indirect=True)
"""For tests of what bootstrap does in the same way wherever the workflows run."""

PIPELINES = (
    "deliver", "freshness", "infrastructure", "monitor", "pull-request", "rollback", "teardown", "template-update",
    "train",
)  # fmt: skip


TEMPLATE = Path(__file__).parents[2] / "template" / ".azuredevops"


def names_file(**values: str) -> str:
    """The names of a project in Azure DevOps, and what its pipelines know of it."""
    known = {
        "project": "a-project",
        "pool": "",
        "provision_pool": "",
        "environments": "dev",
        "infrastructure": "terraform",
        "extension": "ml",
    }
    return yaml.safe_dump({"variables": [{"name": key, "value": value} for key, value in (known | values).items()]})


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """What bootstrap reads of a project: configuration, roles, the workflow of pull requests, the pipelines."""
    here = HERE.root
    found: dict[str, str] = {}
    found["infrastructure/shared/roles.yml"] = (here / "infrastructure/shared/roles.yml").read_text(encoding="utf-8")
    jobs = {name.lower(): {"name": name} for name in ("Project", "Infrastructure", "Plan")}
    found[".github/workflows/pull-request.yml"] = yaml.safe_dump({"jobs": jobs})
    # They are the same in all projects, but for the names.
    for path in TEMPLATE.rglob("*.yml"):
        found[path.relative_to(TEMPLATE.parent).as_posix()] = path.read_text(encoding="utf-8")
    found[".azuredevops/templates/names.yml"] = names_file()
    for name in ("dev", "test", "prod"):
        settings = configuration(name, "workspace" if name == "dev" else "registry")
        settings["terraform_state"] |= {"storage_account": f"st{name}", "container": "tfstate"}
        if name == "prod":  # so that each test of a run that stops half-way has one
            settings["terraform_state"]["firewall"] = {"addresses": ["20.50.7.9"]}
        settings["names"]["registry_resource_group"] = "rg-shared"
        if name == "dev":
            settings["names"]["registry_log_analytics"] = "log-shared"
            settings["model_registry"] = {"locations": ["westeurope"], "public_network_access": True, "log_days": 90}
        found[f"config/{name}.yml"] = yaml.safe_dump(settings)
    return found


@pytest.fixture
def system(request: pytest.FixtureRequest) -> str:
    """Where the workflows run."""
    return str(getattr(request, "param", "github-actions"))


@pytest.fixture
def fresh(tmp_path: Path, files: dict[str, str], system: str) -> Project:
    """A project that was just made, with Terraform, and without repository and Azure."""
    return written(tmp_path, files, system)


def written(root: Path, files: dict[str, str], system: str = "github-actions") -> Project:
    """Write the files of a project."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    order = ("dev", "test", "prod")
    repository = {"github-actions": "ada/a-project", "azure-devops": "my-org/Data Science/a-project"}[system]
    chosen = {"add_ons": ("model-registry",), "repository": repository, "environment_order": order}
    return Project(root, "package", "aml-cli-v2", "terraform", orchestration=system, **chosen)  # type: ignore[arg-type]


@pytest.fixture
def cloud(fresh: Project, monkeypatch: pytest.MonkeyPatch) -> FakeCloud:
    """The clouds, where all programs are installed and no pause is real."""
    cloud = FakeCloud(fresh.root)
    monkeypatch.setattr("mlops.shell.execute", cloud.execute)
    monkeypatch.setattr("mlops.shell.shutil.which", lambda program: program)
    monkeypatch.setattr("mlops.subscription.steps.time.sleep", lambda seconds: None)
    monkeypatch.setattr("yaml.SafeLoader", yaml.CSafeLoader)  # the same files again and again: ten times as fast
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    return cloud


def start(project: Project, *environments: str, **options: bool) -> None:
    """Run bootstrap as in a script: with --yes and --create-repository unless a test says otherwise."""
    choices = infrastructure.of(project), orchestration.of(project)
    bootstrap(project, environments or ("dev",), *choices, **{"create_repository": True, "yes": True, **options})


def fails(project: Project, cloud: FakeCloud, prepare: Callable[[FakeCloud], None], words: str, *, early: bool) -> None:
    """Check that a start is refused in one line with these words, `early` if before any change."""
    prepare(cloud)
    with pytest.raises(UserError) as error:
        start(project)
    assert words in str(error.value)
    assert "\n" not in str(error.value)
    assert early == (cloud.changes == [])


def closed(project: Project) -> Project:
    """The project with a private network around dev."""
    settings = configuration("dev", "workspace")
    settings["names"]["virtual_network"] = "vnet"
    settings["network"] = {
        "address_space": "10.0.0.0/16",
        "endpoints_subnet": "10.0.0.0/24",
        "runners_subnet": "10.0.1.0/24",
        "outbound": "internet",
        "outbound_hosts": [],
    }
    write_yaml(project.root / "config" / "dev.yml", settings)
    return dataclasses.replace(project, add_ons=("private-network",))


def use_pool(project: Project, pool: str) -> None:
    """Let the pipelines run on agents of one's own."""
    name_in_pipelines(project, pool=pool)


def name_in_pipelines(project: Project, **values: str) -> None:
    """Write the file with the names in Azure DevOps, some of them with other values."""
    (project.root / ".azuredevops" / "templates" / "names.yml").write_text(names_file(**values), encoding="utf-8")


def granted(cloud: FakeCloud, principal: str) -> set[tuple[str, str]]:
    """The roles of a principal: name and scope."""
    names = {number: name for name, number in azure.ROLES.items()}
    return {
        (names.get(role["roleDefinitionId"].rsplit("/", 1)[-1], "to preview"), role["scope"])
        for role in cloud.roles
        if role["principalId"] == principal
    }


EMPTY: dict[str, object] = {
    "groups": {},
    "identities": {},
    "credentials": {},
    "accounts": {},
    "roles": [],
    "definitions": {},
    "environments": {},
    "protection": None,
    **FakeAzureDevOps().contents(),
}


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: bool, cloud: FakeCloud) -> list[str]:
    """A user answers; the questions are recorded, each with the changes so far."""
    asked: list[str] = []

    def confirm(question: str) -> bool:
        assert cloud.changes == []
        asked.append(question)
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", confirm)
    return asked


def fail(words: str, message: str) -> Callable[[FakeCloud], None]:
    """A command line with these words says this."""
    return lambda cloud: cloud.failures.update({words: message})


def set_to(**values: Any) -> Callable[[FakeCloud], None]:
    """The cloud has this."""

    def prepare(cloud: FakeCloud) -> None:
        for name, value in values.items():
            setattr(cloud, name, value)

    return prepare


DENIED = (
    "ERROR: (AuthorizationFailed) The client 'ada@example.com' does not have authorization to perform action "
    "'Microsoft.Authorization/roleAssignments/write' over scope '/subscriptions/x'."
)
