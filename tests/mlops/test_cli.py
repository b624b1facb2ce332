"""The command line: what is offered, how faults are shown, and when it asks before it deletes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from fake_az import FakeAzure

from mlops import cli, verbs
from mlops.config import Project

VERBS = [
    "train", "deploy-online", "smoke-test", "shift-traffic", "rollback", "deploy-batch", "promote", "monitor",
    "schedule", "teardown",
]  # fmt: skip


def run(*words: str) -> int:
    """Run a command line and return its exit code."""
    try:
        cli.main(list(words))
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_help_lists_every_command_with_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    for name in ["local", "lint", "serve", *VERBS, "provision"]:
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


def test_a_users_fault_is_one_line_and_exit_code_1(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", "--environment", "stage") == 1
    captured = capsys.readouterr()
    assert captured.err == "error: unknown environment 'stage': config/ describes dev, prod, test\n"


def test_outside_a_project_there_is_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("deploy-online") == 1
    assert capsys.readouterr().err.startswith("error: no project at")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_takes_an_environment_and_a_dry_run(
    project: Project, azure: FakeAzure, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"shift-traffic": ["--percent", "20"], "promote": ["--to", "prod"]}.get(verb, [])
    assert run(verb, "--environment", "test", "--dry-run", *more) == 0, capsys.readouterr().err
    assert azure.log == []


def test_options_reach_the_verb(project: Project, azure: FakeAzure, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("deploy-online", "--model-version", "8", "--hold", "--dry-run") == 0
    shown = capsys.readouterr().out
    assert "model=azureml:a-model:8" in shown
    assert "--traffic" not in shown


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


def test_a_teardown_asks_and_takes_no_for_an_answer(
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


@pytest.mark.parametrize("words", [[], ["--yes"], ["--confirm", "prod"], ["--yes", "--confirm", "dev"]])
@pytest.mark.parametrize("command", [["teardown"], ["provision", "--destroy"]])
def test_prod_is_deleted_only_when_it_is_named(
    project: Project,
    azure: FakeAzure,
    deleted: list[str],
    command: list[str],
    words: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(*command, "--environment", "prod", *words) == 1
    assert "--yes --confirm prod" in capsys.readouterr().err
    assert deleted == []
    assert run("teardown", "--environment", "prod", "--yes", "--confirm", "prod") == 0
    assert deleted == ["prod"]


# provision


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch, azure: FakeAzure) -> list[list[str]]:
    """The terraform commands that were run, each with the variables that it was given."""
    seen: list[list[str]] = []

    def execute(command: list[str], folder: Path, variables: dict[str, str], *, captured: bool) -> tuple[int, str, str]:
        if Path(command[0]).stem == "az":
            return azure.execute(command, folder, variables, captured=captured)
        seen.append([*command[1:], *(f"{key}={value}" for key, value in variables.items())])
        return 0, "", ""

    for name in ("ARM_USE_OIDC", "ARM_SUBSCRIPTION_ID"):
        monkeypatch.delenv(name, raising=False)
    program = azure.folder / "terraform"
    for file in (program, program.with_suffix(".exe")):
        file.touch()
        file.chmod(0o755)
    monkeypatch.setattr("mlops.backends.execute", execute)
    return seen


def test_provision_applies_the_plan_that_it_showed(project: Project, commands: list[list[str]]) -> None:
    assert run("provision", "--environment", "test") == 0
    init, plan, apply = commands
    assert all(command[0] == "-chdir=infrastructure/terraform" for command in commands)
    assert init[1:8] == [
        "init", "-input=false", "-reconfigure", "-backend-config=resource_group_name=rg-state",
        "-backend-config=storage_account_name=st", "-backend-config=container_name=c", "-backend-config=key=k",
    ]  # fmt: skip
    assert "-backend-config=use_azuread_auth=true" in init
    assert "-backend-config=use_oidc=true" not in init
    assert plan[1:6] == ["plan", "-input=false", "-var", "environment=test", "-out=../../.local/terraform/test.tfplan"]
    assert apply[1:4] == ["apply", "-input=false", "../../.local/terraform/test.tfplan"]


def test_provision_uses_the_subscription_of_the_azure_cli(project: Project, commands: list[list[str]]) -> None:
    assert run("provision", "--plan") == 0
    assert all(command[-1] == "ARM_SUBSCRIPTION_ID=00000000-0000-0000-0000-000000000000" for command in commands)


def test_in_a_workflow_terraform_signs_in_without_the_azure_cli(
    project: Project, commands: list[list[str]], azure: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARM_USE_OIDC", "true")
    assert run("provision", "--plan") == 0
    assert azure.log == []
    assert "-backend-config=use_oidc=true" in commands[0]


def test_a_plan_applies_nothing(project: Project, commands: list[list[str]]) -> None:
    assert run("provision", "--plan") == 0
    assert [command[1] for command in commands] == ["init", "plan"]


def test_destroy_does_not_ask_twice(project: Project, commands: list[list[str]]) -> None:
    assert run("provision", "--destroy", "--yes") == 0
    assert [command[1] for command in commands] == ["init", "destroy"]
    assert "-auto-approve" in commands[1]


def test_a_dry_run_of_provision_runs_nothing(
    project: Project, commands: list[list[str]], azure: FakeAzure, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("provision", "--destroy", "--environment", "prod", "--dry-run") == 0
    assert (commands, azure.log) == ([], [])
    assert "terraform -chdir=infrastructure/terraform destroy" in capsys.readouterr().out


def test_plan_and_destroy_exclude_each_other(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("provision", "--plan", "--destroy") == 1
    assert "choose one" in capsys.readouterr().err


def test_a_missing_terraform_is_one_line_with_its_cure(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", "s")
    assert run("provision") == 1
    assert capsys.readouterr().err.startswith("error: terraform is not installed: see https://developer.hashicorp.com")


def test_a_missing_login_is_one_line_with_its_cure(
    project: Project, commands: list[list[str]], azure: FakeAzure, capsys: pytest.CaptureFixture[str]
) -> None:
    azure.fail("account show", "Please run 'az login' to setup account.")
    assert run("provision") == 1
    assert capsys.readouterr().err == "error: you are not signed in to Azure: run `az login`\n"
    assert commands == []


def test_a_missing_state_store_is_named(
    project: Project, commands: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mlops.backends.execute", lambda *_, **__: (1, "", "Error: container not found"))
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", "s")
    assert run("provision") == 1
    assert "container c in storage account st exist" in capsys.readouterr().err
