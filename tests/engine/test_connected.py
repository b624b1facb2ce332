"""What a pipeline asks before and after its stages: is Azure connected, who approves, what did the local run find."""

import contextlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from small_project import create_project, write_yaml

from mlops.orchestration import github_run
from mlops.project import Project, load_yaml

IDS = ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project in a run of GitHub Actions."""
    for name in (*IDS, "TF_BUILD", "GH_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    project = create_project(tmp_path / "project")
    monkeypatch.chdir(project.root)
    return project.root


def connect(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setenv(name, "x")


def outputs(here: Path) -> str:
    path = here.parent / "output"
    return path.read_text(encoding="utf-8") if path.exists() else ""


# Is Azure connected?


def test_an_environment_with_its_ids_is_connected(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(monkeypatch, *IDS)
    assert run("connected", "--environment", "dev", "--required") == 0
    assert outputs(here) == "azure=true\n"


def test_without_ids_there_is_nothing_to_do_and_the_page_says_how_to_connect(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("connected", "--environment", "test") == 0
    assert outputs(here) == "azure=false\n"
    said = capsys.readouterr().out
    assert said.startswith("::notice title=test is not connected to Azure%2C nothing to do::AZURE_CLIENT_ID, ")
    assert "are missing: run `uv run mlops bootstrap --environment test`, see docs/operate.md" in said


def test_a_run_that_a_user_requested_fails_without_ids(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("connected", "--required") == 1
    assert outputs(here) == ""
    printed = capsys.readouterr()
    assert "error: dev is not connected to Azure: AZURE_CLIENT_ID, AZURE_TENANT_ID" in printed.err
    assert printed.out.startswith("::error title=mlops connected::dev is not connected to Azure")


@pytest.mark.parametrize("missing", IDS)
def test_a_forgotten_id_is_an_error_in_any_run(
    here: Path, missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    connect(monkeypatch, *(name for name in IDS if name != missing))
    monkeypatch.setenv(missing, "")
    assert run("connected") == 1
    assert f"dev is not connected to Azure: {missing} is missing: run" in capsys.readouterr().err


def test_in_azure_pipelines_what_counts_is_whether_they_name_the_environment(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_ACTIONS")
    monkeypatch.delenv("GITHUB_OUTPUT")
    monkeypatch.setenv("TF_BUILD", "True")
    settings = here / "pyproject.toml"
    text = settings.read_text(encoding="utf-8").replace("[tool.mlops]", '[tool.mlops]\norchestration = "azure-devops"')
    settings.write_text(text, encoding="utf-8")
    names = [{"name": "project", "value": "a-project"}, {"name": "environments", "value": "dev test"}]
    (here / ".azuredevops" / "templates").mkdir(parents=True)
    write_yaml(here / ".azuredevops" / "templates" / "names.yml", {"variables": names})
    assert run("connected", "--environment", "test", "--required") == 0
    assert run("connected", "--environment", "prod") == 0  # of a schedule
    remedy = (
        "it is not in `environments` of .azuredevops/templates/names.yml: run `uv run mlops bootstrap --environment "
        "prod`, then write `dev test prod` as `environments` into .azuredevops/templates/names.yml, in a pull request, "
        "see docs/operate.md"
    )
    assert remedy in capsys.readouterr().out
    assert run("connected", "--environment", "prod", "--required") == 1
    assert f"error: prod is not connected to Azure: {remedy}" in capsys.readouterr().err


# Who approves?


def protect(here: Path, protected: bool = True) -> None:
    file = here / "config" / "prod.yml"
    write_yaml(file, load_yaml(file) | {"protected": protected})


def answer(monkeypatch: pytest.MonkeyPatch, found: Any) -> list[Any]:
    """GitHub answers with this, or fails with it; the requests are recorded."""
    asked: list[Any] = []

    def urlopen(request: Any, timeout: float) -> contextlib.AbstractContextManager[io.BytesIO]:
        asked.append(request)
        if isinstance(found, Exception):
            raise found
        return contextlib.nullcontext(io.BytesIO(json.dumps(found).encode()))

    monkeypatch.setattr(github_run, "urlopen", urlopen)
    variables = {"GITHUB_API_URL": "https://api.github.com", "GITHUB_REPOSITORY": "ada/a-project", "GH_TOKEN": "token"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return asked


REVIEWED = {"protection_rules": [{"type": "branch_policy"}, {"type": "required_reviewers", "reviewers": [{}]}]}


def test_a_protected_environment_with_reviewers_is_approved(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protect(here)
    (asked,) = [answer(monkeypatch, REVIEWED)]
    assert run("approval", "--environment", "prod") == 0
    assert [each.full_url for each in asked] == ["https://api.github.com/repos/ada/a-project/environments/prod"]
    assert asked[0].get_header("Authorization") == "Bearer token"


@pytest.mark.parametrize("found", [{"protection_rules": [{"type": "branch_policy"}]}, {}])
def test_without_reviewers_a_protected_environment_is_closed_to_a_run_that_no_user_typed(
    here: Path, found: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    protect(here)
    answer(monkeypatch, found)
    assert run("approval", "--environment", "prod") == 1
    assert "prod is protected, and its environment on GitHub has no required reviewers" in capsys.readouterr().err


def test_what_is_not_protected_needs_no_approval_and_no_question(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protect(here, protected=False)
    asked = answer(monkeypatch, {})
    assert run("approval", "--environment", "prod") == 0
    assert asked == []


def test_github_that_does_not_answer_is_no_approval(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    protect(here)
    answer(monkeypatch, OSError("HTTP Error 403: Forbidden"))
    assert run("approval", "--environment", "prod") == 1
    assert "GitHub does not say who approves prod: HTTP Error 403" in capsys.readouterr().err
    monkeypatch.delenv("GH_TOKEN")
    assert run("approval", "--environment", "prod") == 1
    assert "GH_TOKEN is not set" in capsys.readouterr().err


# What did the newest local run find?

METRICS = {
    "metric": "mae", "higher_is_better": False, "rows": 400, "notes": ["two rows had no outcome"],
    "challenger": {"mae": 8.1234567, "r2": 0.9}, "champion": {"mae": 9.5, "r2": None},
    "baselines": {"mean": {"mae": 20.0, "r2": -8.8e-06}},
}  # fmt: skip
DECISION = {
    "promote": False, "reasons": ["the gain is not significant"], "champion": "champion", "champion_version": 3,
    "note": "version 4 was skipped", "better_baselines": [],
}  # fmt: skip


def leave(here: Path, name: str, metrics: object = METRICS, decision: object = DECISION) -> Path:
    folder = here / ".local" / "runs" / name / "evaluate" / "evaluation"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    (folder / "decision.json").write_text(json.dumps(decision), encoding="utf-8")
    return folder


def test_the_summary_compares_the_model_with_champion_and_baselines_and_has_the_reasons(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    leave(here, "20260101-000000", METRICS | {"champion": None}, DECISION | {"promote": True})
    leave(here, "20260102-000000")
    assert run("summary", "--file", ".local/report/metrics.md") == 0
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    assert lines[2:7] == [
        "| model | mae | r2 |  |",
        "| --- | ---: | ---: | --- |",
        "| this model | 8.123 | 0.9 | ████████ |",
        "| champion, version 3 | 9.5 | - | ██████████ |",
        "| baseline mean | 20 | -8.8e-06 | ████████████████████ |",
    ]
    assert "400 held-out rows; mae decides, lower is better." in lines
    rest = printed.partition("**Do not promote:**\n\n")[2].splitlines()
    assert rest[:3] == ["- the gain is not significant", "- version 4 was skipped", "- two rows had no outcome"]
    assert (here / ".local" / "report" / "metrics.md").read_text(encoding="utf-8") == printed
    assert (here.parent / "summary").read_text(encoding="utf-8").strip() == printed.strip()


def test_without_a_champion_no_row_of_one_is_shown(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(here, "20260101-000000", METRICS | {"champion": None}, DECISION | {"promote": True})
    assert run("summary") == 0
    printed = capsys.readouterr().out
    assert "champion, version" not in printed
    assert "**Promote:**" in printed


def test_a_run_that_is_missing_incomplete_or_older_is_one_line(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("summary") == 1
    assert "error: no local run was evaluated yet: run `uv run mlops local`\n" in capsys.readouterr().err
    folder = leave(here, "20260101-000000", {"challenger": {}})
    assert run("summary") == 1
    assert "is not of this version: run `uv run mlops local` again" in capsys.readouterr().err
    (folder / "metrics.json").write_text('{"metric', encoding="utf-8")
    assert run("summary") == 1
    assert "metrics.json is not complete: run `uv run mlops local` again" in capsys.readouterr().err
    (folder / "metrics.json").unlink()
    assert run("summary") == 1
    assert "metrics.json is missing" in capsys.readouterr().err


def test_a_file_that_cannot_be_written_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    leave(here, "20260101-000000")
    (here / "taken").write_text("x", encoding="utf-8")
    assert run("summary", "--file", "taken/metrics.md") == 1
    assert "cannot be written" in capsys.readouterr().err


def test_the_button_needs_bicep(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert Project.load(here).infrastructure == "terraform"
    assert run("button") == 1
    assert "only a project with Bicep has a button" in capsys.readouterr().err
