"""Azure DevOps from within a run: who approves, and the one work item about what has aged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from fake_azure_devops import ACCOUNT, ME, RUN, FakeAzureDevOps
from small_project import create_project, write_yaml

from mlops.orchestration.azure_devops.steps import APPROVAL, BRANCHES, LOCK, Guard
from mlops.project import load_yaml

TITLE = "The project's age"
NAMED = f"{TITLE}: a-project"


@pytest.fixture
def devops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeAzureDevOps:
    """A run of Azure Pipelines in a project with a protected environment prod."""
    fake = FakeAzureDevOps()
    fake.create_project()
    project = create_project(tmp_path / "project")
    settings = project.root / "pyproject.toml"
    text = settings.read_text(encoding="utf-8")
    settings.write_text(text.replace("[tool.mlops]\n", '[tool.mlops]\norchestration = "azure-devops"\n'), "utf-8")
    names = project.root / ".azuredevops" / "templates" / "names.yml"
    names.parent.mkdir(parents=True)
    write_yaml(names, {"variables": [{"name": "project", "value": "a-project"}]})
    prod = project.root / "config" / "prod.yml"
    write_yaml(prod, load_yaml(prod) | {"protected": True})
    monkeypatch.setattr("mlops.orchestration.azure_devops.run.urlopen", fake.urlopen)
    for name, value in RUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project.root)
    return fake


# Who approves?


def guarded(devops: FakeAzureDevOps, name: str, *guards: Guard) -> None:
    """An environment with these checks."""
    number = devops.take_number()
    devops.environments[number] = {"id": number, "name": name, "description": ""}
    for guard in guards:
        settings: dict[str, Any] = dict.fromkeys(
            ("approvers", "minRequiredApprovers", "requesterCannotBeApprover", "instructions")
        )
        settings = {} if guard is LOCK else settings
        if guard is BRANCHES:
            settings = {"definitionRef": {"id": guard.definition}}
        resource = {"type": "environment", "id": str(number), "name": name}
        devops.checks.append({"type": {"id": guard.type}, "settings": settings, "resource": resource})


def test_a_protected_environment_with_an_approval_is_approved(
    devops: FakeAzureDevOps, capsys: pytest.CaptureFixture[str]
) -> None:
    guarded(devops, "a-project-prod", BRANCHES, APPROVAL, LOCK)
    assert run("approval", "--environment", "prod") == 0
    assert capsys.readouterr().out == "a-project-prod has an approval.\n"


def test_without_an_approval_a_protected_environment_is_closed_to_a_run_that_no_user_typed(
    devops: FakeAzureDevOps, capsys: pytest.CaptureFixture[str]
) -> None:
    guarded(devops, "a-project-prod", BRANCHES, LOCK)
    guarded(devops, "a-project-prod-rollback", APPROVAL)
    assert run("approval", "--environment", "prod") == 1
    assert "the environment a-project-prod in Azure DevOps has no approval: run `uv run mlops bootstrap" in (
        capsys.readouterr().err
    )


def test_an_approval_that_is_switched_off_is_none(devops: FakeAzureDevOps, capsys: pytest.CaptureFixture[str]) -> None:
    guarded(devops, "a-project-prod", BRANCHES, APPROVAL, LOCK)
    for each in devops.checks:
        each["isDisabled"] = True
    assert run("approval", "--environment", "prod") == 1
    assert "a-project-prod in Azure DevOps has no approval" in capsys.readouterr().err


def test_an_environment_that_is_not_there_approves_nothing(
    devops: FakeAzureDevOps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("approval", "--environment", "prod") == 1
    assert "has no approval" in capsys.readouterr().err


def test_what_is_not_protected_needs_no_approval_and_no_question(devops: FakeAzureDevOps) -> None:
    assert run("approval", "--environment", "dev") == 0
    assert devops.asked == []


@pytest.mark.parametrize("code", [401, 403, 404])
def test_azure_devops_that_does_not_answer_is_no_approval(
    devops: FakeAzureDevOps, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    guarded(devops, "a-project-prod", APPROVAL)
    devops.refusal = (code, "You need View permissions for this.")
    assert run("approval", "--environment", "prod") == 1
    said = capsys.readouterr().err
    assert "does not say who approves a-project-prod: Azure DevOps refuses it: You need View permissions" in said
    assert "`uv run mlops bootstrap --environment prod`, which lets the pipelines look" in said
    assert said.count("\n") == 1


def test_no_connection_is_no_approval(
    devops: FakeAzureDevOps, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def urlopen(request: object, timeout: float) -> None:
        raise OSError("timed out")

    monkeypatch.setattr("mlops.orchestration.azure_devops.run.urlopen", urlopen)
    assert run("approval", "--environment", "prod") == 1
    assert "Azure DevOps gives no answer: timed out" in capsys.readouterr().err


# What has aged?


def keep(text: str, title: str = TITLE, *options: str) -> int:
    """Keep a work item with this text."""
    Path("issue.md").write_text(text, encoding="utf-8")
    return run("issue", "--title", title, "--file", "issue.md", *options)


def fields(devops: FakeAzureDevOps) -> list[tuple[str, str, str]]:
    """State, title and text of each work item."""
    names = ("System.State", "System.Title", "System.Description")
    return [tuple(each.get(name, "") for name in names) for each in devops.work_items.values()]  # type: ignore[misc]


def test_there_is_one_work_item_as_long_as_there_is_something_to_report(devops: FakeAzureDevOps) -> None:
    assert keep("old\n") == 0
    assert keep("older\n") == 0
    assert fields(devops) == [("To Do", NAMED, "older")]
    (item,) = devops.work_items.values()
    assert item["multilineFieldsFormat/System.Description"] == "Markdown"
    assert keep(" \n") == 0
    assert fields(devops) == [("Done", NAMED, "older")]
    assert item["System.History"] == "Nothing is left of this."
    assert keep("old again\n") == 0
    assert fields(devops) == [("Done", NAMED, "older"), ("To Do", NAMED, "old again")]


def test_the_state_in_which_nothing_is_left_has_the_name_that_the_process_gives_it(devops: FakeAzureDevOps) -> None:
    devops.states = (("New", "Proposed"), ("Active", "InProgress"), ("Closed", "Completed"), ("Removed", "Removed"))
    assert keep("old\n") == keep("") == 0
    assert fields(devops) == [("Closed", NAMED, "old")]


@pytest.mark.parametrize(("title", "author"), [(NAMED, ME), ("another", ACCOUNT)])
def test_another_work_item_is_left_alone(devops: FakeAzureDevOps, title: str, author: str) -> None:
    devops.work_items[7] = {"System.State": "To Do", "System.Title": title, "System.CreatedBy": author}
    assert keep("") == 0
    assert devops.work_items[7]["System.State"] == "To Do"
    assert keep("old\n") == 0
    assert len(devops.work_items) == 2


def test_two_projects_in_a_project_of_azure_devops_keep_one_each(devops: FakeAzureDevOps) -> None:
    assert keep("old\n") == 0
    names = Path(".azuredevops/templates/names.yml")
    first = names.read_text(encoding="utf-8")
    names.write_text(first.replace("a-project", "topics"), encoding="utf-8")
    assert keep("older\n") == 0
    assert keep("") == 0
    other = f"{TITLE}: topics"
    assert fields(devops) == [("To Do", NAMED, "old"), ("Done", other, "older")]


def test_without_anything_to_report_it_says_so(devops: FakeAzureDevOps, capsys: pytest.CaptureFixture[str]) -> None:
    assert keep("") == 0
    assert f"There is nothing to report, and no open issue '{TITLE}'." in capsys.readouterr().out


def test_a_text_that_was_never_written_closes_nothing(
    devops: FakeAzureDevOps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("issue", "--title", TITLE, "--file", "issue.md") == 1
    assert devops.asked == []
    assert "issue.md is missing" in capsys.readouterr().err


def test_a_missing_right_is_one_line_with_what_grants_it(
    devops: FakeAzureDevOps, capsys: pytest.CaptureFixture[str]
) -> None:
    devops.refusal = (403, "TF237111: The current user does not have permissions to save work items under the area.")
    assert keep("old\n") == 1
    said = capsys.readouterr().err
    assert "this run may not keep a work item: Azure DevOps refuses it: TF237111" in said
    assert "`uv run mlops bootstrap` gives the pipelines the right to" in said
    assert said.count("\n") == 1


def test_a_dry_run_only_shows_what_it_would_ask(
    devops: FakeAzureDevOps, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SYSTEM_ACCESSTOKEN")
    assert keep("old\n", TITLE, "--dry-run") == 0
    assert devops.asked == []
    assert "[System.Title] = 'The project''s age: a-project'" in capsys.readouterr().out


def test_outside_of_a_pipeline_it_says_what_is_missing(
    devops: FakeAzureDevOps, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks: list[Callable[[], int]] = [lambda: keep("old\n"), lambda: run("approval", "--environment", "prod")]
    for name in RUN:
        monkeypatch.delenv(name)
    for check in checks:
        assert check() == 1
        assert "SYSTEM_COLLECTIONURI is not set: this runs in Azure Pipelines" in capsys.readouterr().err
