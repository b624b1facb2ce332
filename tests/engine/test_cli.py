"""The command line: what is offered, how errors are shown, and when it asks before it deletes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from command_line import run
from fake_az import FakeAzure

from mlops import cli, verbs
from mlops.errors import CommandError
from mlops.project import CHANGE_ANSWER, Project

VERBS = [
    "train", "deploy-online", "smoke-test", "shift-traffic", "rollback", "deploy-batch", "promote", "monitor",
    "drift", "teardown", "models", "deliver",
]  # fmt: skip
INFRASTRUCTURE = ["bootstrap", "doctor", "provision"]


def test_help_lists_every_command_with_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for name in ["local", "lint", "serve", "tune", "compare", "ui", *VERBS, *INFRASTRUCTURE]:
        assert f" {name} " in shown
    for command in typer.main.get_command(cli.app).commands.values():  # type: ignore[attr-defined]
        assert "\n" not in (command.help or "\n").strip()


def test_help_is_instant_because_it_loads_nothing_heavy() -> None:
    script = "import sys, mlops.cli; print({'pandas', 'mlflow', 'pydantic', 'azure'} & {*sys.modules})"
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.strip() == "set()"


def test_a_misspelled_verb_is_answered_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("deploy-onlin") == 2
    assert "deploy-online" in capsys.readouterr().err


def test_a_users_error_is_one_line_and_exit_code_1(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--environment", "stage") == 1
    captured = capsys.readouterr()
    assert captured.err == "error: unknown environment 'stage': config/ describes dev, test, prod\n"


TERRAFORM = """\x1b[0m\x1b[1mInitializing the backend...\x1b[0m
\x1b[31m╷\x1b[0m\x1b[0m
\x1b[31m│\x1b[0m \x1b[0m\x1b[1m\x1b[31mError: \x1b[0m\x1b[0m\x1b[1mFailed to query available provider packages\x1b[0m
\x1b[31m│\x1b[0m \x1b[0m
\x1b[31m│\x1b[0m \x1b[0mCould not retrieve the list of available versions
\x1b[31m╵\x1b[0m\x1b[0m
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (TERRAFORM, "Failed to query available provider packages"),
        ("WARNING: old\nERROR: (NotFound) no such group\nat the end", "(NotFound) no such group"),
        ("one\ntwo\n", "two"),
        ("\x1b[31m╷\x1b[0m\n", "exit code 3"),
        ("", "exit code 3"),
    ],
)
def test_the_error_of_another_program_is_its_own_words_without_box_and_colours(output: str, reason: str) -> None:
    command = ("terraform", "-chdir=infrastructure/terraform", "init", "-input=false")
    assert str(CommandError(command, 3, output)) == f"`terraform init` failed: {reason}"


def test_outside_a_project_there_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("deploy-online") == 1
    assert capsys.readouterr().err.startswith("error: no project at")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_accepts_an_environment_and_a_dry_run(
    project: Project, azure: FakeAzure, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"shift-traffic": ["--percent", "20"], "promote": ["--to", "prod"]}.get(verb, [])
    if verb == "deliver":
        assert run(verb, "--environment", "prod", "--dry-run") == 1
        assert run(verb, "--environment", "prod", "--dry-run", "--model-version", "1", "--sha256", "0" * 64) == 0
    capsys.readouterr()
    assert run(verb, "--environment", "test", "--dry-run", *more) == 0, capsys.readouterr().err
    assert azure.log == []
    shown = capsys.readouterr().out
    assert shown.startswith("# Dry run: nothing is run.")
    assert shown.count("Dry run") == 1


@pytest.mark.parametrize("words", [("bootstrap",), ("provision",), ("teardown", "--all"), ("tune", "-e", "dev")])
def test_a_dry_run_begins_with_a_line_that_says_so(
    words: tuple[str, ...], project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*words, "--dry-run")  # the small project has nothing to provision, which is an error after the first line
    shown = capsys.readouterr().out
    assert shown.startswith("# Dry run: nothing is run.")
    assert shown.count("Dry run") == 1
    assert not re.findall(r"^# .*\b(?:Deleted|Created|Started|is gone)\b.*", shown, re.M)


def test_options_reach_the_verb(project: Project, azure: FakeAzure, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("deploy-online", "--model-version", "8", "--hold", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "model=azureml:a-model:8" in shown
    assert "--traffic" not in shown


def test_the_name_of_a_training_and_the_days_of_an_alert_reach_their_verbs(
    project: Project, azure: FakeAzure, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("train", "--job", "a-model-drift-1", "--dry-run") == 0
    assert re.search(r"az ml job create --file \S+ --name a-model-drift-1 ", capsys.readouterr().out)
    assert run("drift", "--days", "3", "--dry-run") == 0
    assert "an alert of the last 3 days" in capsys.readouterr().out
    assert run("drift", "--days", "0") == 2


@pytest.mark.parametrize("percent", ["-1", "101", "half"])
def test_a_share_of_traffic_is_0_to_100(project: Project, percent: str) -> None:
    assert run("shift-traffic", "--percent", percent) == 2


def test_a_pipeline_input_without_a_value_is_refused(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("local", "--set", "raw_data") == 1
    assert "write it as NAME=VALUE" in capsys.readouterr().err


# Before something is deleted.


@pytest.fixture
def deleted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The environments whose teardown was really started."""
    started: list[str] = []
    monkeypatch.setattr(verbs, "teardown", lambda session: started.append(session.config.environment))
    return started


def test_a_teardown_asks_and_accepts_no_for_an_answer(
    project: Project, azure: FakeAzure, deleted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda question: False)
    assert run("teardown") == 1
    monkeypatch.setattr("typer.confirm", lambda question: True)
    assert run("teardown") == 0
    assert deleted == ["dev"]


def test_without_a_terminal_a_teardown_needs_yes(
    project: Project, azure: FakeAzure, deleted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert run("teardown") == 1
    assert run("teardown", "--yes") == 0
    assert deleted == ["dev"]


def test_a_name_of_another_environment_is_an_error_also_where_none_is_needed(
    project: Project, azure: FakeAzure, deleted: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("teardown", "--yes", "--confirm", "prod") == 1
    assert "of dev, and --confirm names prod" in capsys.readouterr().err
    assert deleted == []
    assert run("teardown", "--yes", "--confirm", "") == 0
    assert deleted == ["dev"]


@pytest.mark.parametrize("words", [[], ["--yes"], ["--confirm", "prod"], ["--yes", "--confirm", "dev"]])
def test_prod_is_deleted_only_when_it_is_named(
    project: Project, azure: FakeAzure, deleted: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("teardown", "--environment", "prod", *words) == 1
    assert "--yes --confirm prod" in capsys.readouterr().err
    assert deleted == []
    assert run("teardown", "--environment", "prod", "--yes", "--confirm", "prod") == 0
    assert deleted == ["prod"]


# The infrastructure.


@pytest.mark.parametrize(
    ("words", "environments", "options"),
    [
        ([], ["dev"], {}),
        (["-e", "dev", "-e", "test", "-e", "dev"], ["dev", "test"], {}),
        (["--undo", "--yes"], ["dev"], {"undo": True, "yes": True}),
        (["--create-repository", "--dry-run"], ["dev"], {"create_repository": True, "dry_run": True}),
    ],
)
def test_the_options_of_bootstrap_reach_it(
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    environments: list[str],
    options: dict[str, bool],
) -> None:
    seen: list[tuple[object, ...]] = []
    monkeypatch.setattr("mlops.subscription.bootstrap.bootstrap", lambda *given, **named: seen.append((*given, named)))
    assert run("bootstrap", *words) == 0
    usual = dict.fromkeys(("undo", "create_repository", "yes", "dry_run"), False)
    [(*given, named)] = seen
    assert (given[:2], named) == ([project, environments], usual | options)
    assert [type(choice).__name__ for choice in given[2:]] == ["Terraform", "GitHubActions"]


@pytest.mark.parametrize(
    "words",
    [["bootstrap"], ["bootstrap", "--dry-run"], ["doctor"], ["provision"], ["provision", "--plan"]],
    ids=" ".join,
)
def test_what_is_made_on_azure_waits_for_the_questions_that_were_not_asked(
    project: Project, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    settings = project.root / "pyproject.toml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("[tool.mlops]", '[tool.mlops]\nquestions = "few"'))
    assert run(*words) == 1
    printed = capsys.readouterr()
    assert [line for line in printed.out.splitlines() if not line.startswith("# Dry run:")] == []
    assert printed.err.count("\n") == 1
    assert f"`{CHANGE_ANSWER} questions=all`" in printed.err


@pytest.mark.parametrize("verb", ["local", "train", "tune"])
def test_overrides_without_quotes_are_one_line_that_shows_them_with_quotes(
    project: Project, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(verb, "--overrides", "training.seed=7", "training.test_size=0.3") == 1
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert printed.err.endswith('one pair of quotes: --overrides "training.seed=7 training.test_size=0.3"\n')


@pytest.mark.parametrize("verb", ["doctor", "provision", "teardown"])
def test_an_unknown_environment_is_named_by_every_verb(
    project: Project, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(verb, *(["--all"] if verb == "teardown" else []), "--environment", "stage") == 1
    assert "unknown environment 'stage'" in capsys.readouterr().err


def test_a_teardown_of_all_is_not_one_of_the_endpoints_alone(
    project: Project, azure: FakeAzure, deleted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[str] = []
    monkeypatch.setattr(
        "mlops.subscription.teardown.remove", lambda project, config, *_, **__: removed.append(config.environment)
    )
    assert run("teardown", "--all", "--environment", "test") == 0
    assert (removed, deleted) == (["test"], [])


def test_provision_deletes_nothing(project: Project) -> None:
    assert run("provision", "--destroy") == 2
