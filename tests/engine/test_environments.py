"""Environments are data: no module of the engine knows their names, and other names and orders work as well.

So are the project's choices: one table for each names what can be chosen, and nothing else compares them.
"""

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from command_line import run
from fake_az import FakeAzure
from recorded_azure import HEALTHY, Recorded
from small_project import rename_environments

import mlops
from mlops import verbs
from mlops.config import load_environment
from mlops.errors import UserError
from mlops.local.serving import Endpoint
from mlops.project import Project
from mlops.verbs import Session

ENGINE = Path(mlops.__file__).parent
# Addresses of Azure DevOps have the word in them, in patterns with their dots escaped, and so has Linux's memory.
NAME = re.compile(r"\b(dev|prod)\b(?!\\?\.azure\\?\.com|/shm/)|^test$|config/test")
OTHER_MEANINGS = {
    ("infrastructure/terraform.py", "test"): "the command `terraform test`",
    ("lint/schedules.py", "test"): "Azure ML's name for data that a monitor compares with",
    ("responsible_ai/local.py", "test"): "the held-out part of the data",
}


def literals(path: Path) -> Iterator[str]:
    """The string literals of a module, pieces of f-strings included, but not its documentation."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def test_no_module_of_the_engine_contains_an_environments_name() -> None:
    found = {
        (path.relative_to(ENGINE).as_posix(), text)
        for path in ENGINE.rglob("*.py")
        for text in literals(path)
        if NAME.search(text)
    }
    assert found == set(OTHER_MEANINGS)


SYSTEM = re.compile(
    r"GitHub|\.github|\bgh |Azure (DevOps|Pipelines|Repos)|\.azuredevops|\baz (pipelines|repos|devops)\b"
)
# Each is said in a project of that system alone.
OF_ONE_SYSTEM = {
    "subscription/account.py": "what to do without `gh`, which only GitHub's modules call",
    "upkeep/template.py": "copies of workflows at the top of a repository, which only GitHub has",
}


def test_what_the_engine_says_in_all_projects_names_neither_system() -> None:
    found = {
        name
        for path in ENGINE.rglob("*.py")
        if not re.match(r"orchestration/(github|monorepo|azure_devops)", name := path.relative_to(ENGINE).as_posix())
        and any(SYSTEM.search(text) for text in literals(path))
    }
    assert found == set(OF_ONE_SYSTEM)


def choices(path: Path) -> Iterator[str]:
    """The choices of the project that a module reads."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and node.attr in ("version", "infrastructure", "orchestration"):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if owner == "project":
                yield node.attr


def test_only_the_tables_look_at_a_choice() -> None:
    found = {(path.relative_to(ENGINE).as_posix(), choice) for path in ENGINE.rglob("*.py") for choice in choices(path)}
    assert found == {
        ("azureml/__init__.py", "version"),
        ("definitions/__init__.py", "version"),
        ("lint/__init__.py", "version"),
        ("infrastructure/__init__.py", "infrastructure"),
        ("config.py", "infrastructure"),  # the table of the sections that a tool reads
        ("orchestration/__init__.py", "orchestration"),
    }


# Other names.


@pytest.fixture
def renamed(project: Project) -> Project:
    """A project with the environments sandbox and live."""
    return rename_environments(project)


NAMED = ["--model-version", "1", "--sha256", "0" * 64]
VERBS = {
    "train": [],
    "deploy-online": NAMED,
    "smoke-test": [],
    "logs": [],
    "shift-traffic": ["--percent", "20"],
    "rollback": [],
    "models": [],
    "deliver": NAMED,
    "deploy-batch": NAMED,
    "promote": ["--to", "live"],
    "monitor": [],
    "teardown": [],
    "provision": [],
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_works_on_the_first_environment_unless_another_is_named(
    renamed: Project, azure: FakeAzure, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(verb, "--dry-run", *VERBS[verb]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert "sandbox" in shown
    assert not re.search(NAME, shown)
    if verb != "promote":
        assert run(verb, "--dry-run", "--environment", "live", *VERBS[verb]) == 0, capsys.readouterr().err
        assert "sandbox" not in capsys.readouterr().out


def test_a_model_is_trained_and_deployed_in_an_environment_of_any_name(renamed: Project, azure: FakeAzure) -> None:
    azure.load()["registration"] = {"registered": False, "reasons": ["the champion is better"]}
    azure.save()
    session = Session.open(renamed.first_environment, root=renamed.root)
    verbs.train(session)
    azure.load()["models"]["1"] = {}
    azure.save()
    verbs.deploy_online(session)
    assert azure.load()["online"]["traffic"] == {"blue": 100}
    assert not [line for line in azure.log if NAME.search(" ".join(line))]


def test_the_doctor_checks_the_first_environment(renamed: Project, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = Recorded({phrase.replace("dev", "sandbox"): answer for phrase, answer in HEALTHY.items()})
    with recorded.in_place():
        run("doctor")
    assert "sandbox of project" in capsys.readouterr().out


def test_the_local_endpoint_serves_the_model_of_the_first_environment(renamed: Project) -> None:
    file = renamed.root / "config" / "sandbox.yml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    document["model"]["name"] = "the-first"
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert Endpoint(renamed).model == "the-first"


# The order.


@pytest.mark.parametrize("verb", ["train", "bootstrap", "doctor", "teardown"])
def test_without_a_list_no_environment_is_the_default_and_the_error_prints_the_line_to_add(
    renamed: Project, azure: FakeAzure, deleted: list[str], verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    choices = renamed.root / "pyproject.toml"
    lines = choices.read_text(encoding="utf-8").splitlines()
    choices.write_text("\n".join(line for line in lines if not line.startswith("environments")), encoding="utf-8")
    assert run(verb) == 1
    assert capsys.readouterr().err == (
        f"error: {choices}: [tool.mlops] does not order the environments: add the line "
        '`environments = ["live", "sandbox"]`, first the one where models are trained\n'
    )
    assert (azure.log, deleted) == ([], [])
    assert run("teardown", "--environment", "sandbox", "--yes") == 0
    assert deleted == ["sandbox"]


def test_the_only_environment_needs_no_list(renamed: Project) -> None:
    (renamed.root / "config" / "live.yml").unlink()
    assert dataclasses.replace(renamed, environment_order=()).first_environment == "sandbox"


def test_the_list_is_the_order_and_files_outside_it_come_last(renamed: Project) -> None:
    (renamed.root / "config" / "another.yml").touch()
    assert renamed.environments == ["sandbox", "live", "another"]


def test_an_environment_of_the_list_needs_its_file(renamed: Project) -> None:
    (renamed.root / "config" / "live.yml").unlink()
    with pytest.raises(UserError, match=r"\[tool.mlops\] environments: there is no config/live.yml"):
        Project.load(renamed.root)


def test_a_project_without_environments_is_one_line(project: Project) -> None:
    for name in project.environments:
        (project.root / "config" / f"{name}.yml").unlink()
    with pytest.raises(UserError, match="config/ describes no environment"):
        _ = project.first_environment


# Protection.


@pytest.fixture
def deleted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The environments whose teardown was really started."""
    started: list[str] = []
    monkeypatch.setattr(verbs, "teardown", lambda session: started.append(session.config.environment))
    return started


def test_a_protected_environment_is_deleted_only_when_it_is_named(
    renamed: Project, azure: FakeAzure, deleted: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("teardown", "--environment", "live", "--yes") == 1
    error = capsys.readouterr().err
    assert error.endswith("repeat it with --yes --confirm live\n")
    assert run("teardown", "--environment", "live", "--yes", "--confirm", "live") == 0
    assert run("teardown", "--yes") == 0
    assert deleted == ["live", "sandbox"]


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_an_older_file_without_the_key_works_and_is_protected_and_the_error_names_the_key(
    project: Project, azure: FakeAzure, deleted: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = project.root / "config" / f"{name}.yml"
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    del document["protected"]
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    assert load_environment(project, name).protected
    assert run("teardown", "--environment", name, "--yes") == 1
    error = capsys.readouterr().err
    assert f"--yes --confirm {name}; or write `protected: false` into config/{name}.yml" in error
    assert error.count("\n") == 1
    assert deleted == []
    assert run("teardown", "--environment", name, "--yes", "--confirm", name) == 0
