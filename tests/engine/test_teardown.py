"""The end of an environment: what is shown before the question, what is deleted in which order, and what stops it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_azure import BUILT, GROUP, HEALTHY, ML, TOOLS, Recorded, Refusal, equipped, resource
from small_project import write_yaml

from mlops import cli
from mlops.project import load_yaml

Teardown = Callable[..., int]

SCHEDULES = [{"name": "a-model-retraining", "is_enabled": True}]
STANDING = HEALTHY | {
    "az resource list --resource-group rg-dev": BUILT,
    "az resource show --resource-group rg-dev --name mlw-dev": BUILT[0],
    "az ml schedule list": SCHEDULES,
    "az ml online-endpoint list": [{"name": "online-dev", "traffic": {}}],
    "az ml batch-endpoint list": [{"name": "batch-dev"}],
    "az group show": {"name": "rg-dev"},
    "az lock list": [{"id": "/the/lock", "name": "cannot-delete"}],
}
ENDPOINTS = [
    "ml schedule disable", "ml schedule delete", "ml online-endpoint delete", "ml batch-endpoint delete",
]  # fmt: skip
SMART_DETECTION = f"resource delete --ids {GROUP}/providers/microsoft.insights/actiongroups"
BY_TOOL = {
    "terraform": [
        "terraform -chdir=infrastructure/terraform init",
        "terraform -chdir=infrastructure/terraform destroy",
    ],
    "bicep": ["lock delete --ids /the/lock", "rest --method delete", "resource wait --deleted", "group delete"],
}


@pytest.fixture
def recorded() -> Recorded:
    """A whole environment; `log` has the commands."""
    return Recorded(STANDING)


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest) -> str:
    """Each infrastructure that can be tested here."""
    return str(request.param)


@pytest.fixture
def teardown(tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: Recorded) -> Teardown:
    """Run `mlops teardown --all` in a project of each infrastructure; returns the exit code."""
    root = tmp_path / "project"
    equipped(root, tool)
    monkeypatch.chdir(root)
    monkeypatch.delenv("ARM_USE_OIDC", raising=False)
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", "s")

    def run(*words: str) -> int:
        return command(recorded, "teardown", "--all", *words)

    return run


def command(recorded: Recorded, *words: str) -> int:
    """Run a command line against recorded answers and return its exit code."""
    with recorded.in_place():
        try:
            cli.main(list(words))
        except SystemExit as end:
            return int(end.code or 0)
    return 0


def changes(recorded: Recorded) -> list[str]:
    """The command lines that change something, without the program az."""
    return [line.removeprefix("az ") for line in recorded.ran("") if not line.endswith("--output json")]


def test_all_goes_in_an_order_that_works(teardown: Teardown, tool: str, recorded: Recorded) -> None:
    assert teardown("--yes") == 0
    expected = [*ENDPOINTS, SMART_DETECTION, *BY_TOOL[tool]]
    done = changes(recorded)
    assert len(done) == len(expected), done
    for line, beginning in zip(done, expected, strict=True):
        assert line.startswith(beginning)


def test_before_the_question_it_shows_what_goes_and_what_stays(
    teardown: Teardown, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda question: False)
    assert teardown() == 1
    assert changes(recorded) == []
    shown = capsys.readouterr()
    for text in (
        "  schedule a-model-retraining\n  endpoint online-dev\n  endpoint batch-dev\n",
        "  microsoft.storage/storageaccounts: storage_account-dev\n",
        "  key vault key_vault-dev: deleted, but protected for 90 days",
        "  resource group rg-state: identity id-deploy-dev",
        "WARNING: the model registry the-registry is deleted too, and test, prod get their models from it.\n",
    ):
        assert text in shown.out
    assert shown.err == "error: nothing was deleted\n"


@pytest.mark.parametrize("words", [[], ["--yes"], ["--confirm", "prod"], ["--yes", "--confirm", "dev"]])
def test_prod_goes_only_when_it_is_named(teardown: Teardown, tool: str, recorded: Recorded, words: list[str]) -> None:
    workspace = resource("mlw-prod", f"{ML}/workspaces")
    recorded.answers["az resource list --resource-group rg-prod"] = [workspace]
    recorded.answers["az resource show --resource-group rg-prod"] = workspace
    assert teardown("--environment", "prod", *words) == 1
    assert changes(recorded) == []
    assert teardown("--environment", "prod", "--yes", "--confirm", "prod") == 0
    assert changes(recorded)[-1].startswith(BY_TOOL[tool][-1])


@pytest.mark.parametrize(
    ("resources", "named"),
    [
        (
            [resource("notes", "Microsoft.Storage/storageAccounts", ours=False)],
            "notes (microsoft.storage/storageaccounts)",
        ),
        ([resource("pe-other.nic.1", "Microsoft.Network/networkInterfaces", ours=False)], "pe-other.nic.1"),
        ([resource("mlw-dev2", f"{ML}/workspaces", ours=False)], "mlw-dev2"),
    ],
)
def test_what_another_user_put_into_the_group_stops_it(
    teardown: Teardown, recorded: Recorded, resources: list[Any], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.answers["az resource list --resource-group rg-dev"] = [*BUILT, *resources]
    assert teardown("--yes") == 1
    assert changes(recorded) == []
    error = capsys.readouterr().err
    assert f"did not make: {named}" in error
    assert "storage_account-dev" not in error


def test_a_resource_of_ours_without_a_tag_is_known_by_its_name(teardown: Teardown, recorded: Recorded) -> None:
    # The promotion makes the registry where the infrastructure does not.
    untagged = [item | {"tags": None} if item["name"] == "the-registry" else item for item in BUILT]
    recorded.answers["az resource list --resource-group rg-dev"] = untagged
    assert teardown("--yes") == 0


def test_a_lock_that_another_user_set_stops_it(
    teardown: Teardown, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.answers["az lock list"] = [{"id": "/x", "name": "audit"}, *STANDING["az lock list"]]
    assert teardown("--yes") == 1
    assert changes(recorded) == []
    assert "locks that this project did not set: audit" in capsys.readouterr().err


@pytest.mark.parametrize("late", [False, True])
def test_after_a_failure_half_way_it_goes_on_from_there(
    teardown: Teardown, tool: str, recorded: Recorded, late: bool
) -> None:
    failing = BY_TOOL[tool][-1] if late else "ml online-endpoint delete"
    recorded.answers[failing] = Refusal("(Conflict) not now")
    assert teardown("--yes") == 1
    del recorded.answers[failing]
    recorded.log.clear()
    recorded.answers["az ml schedule list"] = []
    if late:
        # The workspace is gone by now.
        recorded.answers["az resource list --resource-group rg-dev"] = BUILT[2:6]
        recorded.answers["az lock list"] = []
    assert teardown("--yes") == 0
    assert changes(recorded)[-1].startswith(BY_TOOL[tool][-1])
    assert [line.split()[2] for line in recorded.ran("az ml") if "delete" in line] == (
        [] if late else ["online-endpoint", "batch-endpoint"]
    )


def test_a_workspace_that_is_gone_but_still_listed_is_not_asked(
    teardown: Teardown, tool: str, recorded: Recorded
) -> None:
    shown = "az resource show --resource-group rg-dev --name mlw-dev"
    recorded.answers |= {shown: None, "az ml": Refusal("(ResourceNotFound) mlw-dev was not found.")}
    assert teardown("--yes") == 0
    assert recorded.ran("az ml") == []
    assert changes(recorded)[-1].startswith(BY_TOOL[tool][-1])


def test_when_all_is_gone_there_is_nothing_to_do(
    teardown: Teardown, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.answers["az resource list --resource-group rg-dev"] = None
    assert teardown("--yes") == 0
    assert changes(recorded) == []
    assert "nothing: there is no such group" in capsys.readouterr().out


def test_a_group_that_was_left_empty_goes_too(teardown: Teardown, tool: str, recorded: Recorded) -> None:
    recorded.answers |= {"az resource list --resource-group rg-dev": [], "az lock list": []}
    assert teardown("--yes") == 0
    assert changes(recorded)[-1].startswith(BY_TOOL[tool][-1])


@pytest.mark.parametrize(
    ("configured", "deleted", "purged"),
    [
        (False, {"properties": {}}, True),
        (False, {"properties": {"purgeProtectionEnabled": True}}, False),
        (False, None, False),
        (True, {"properties": {}}, False),
    ],
)
def test_a_vault_is_purged_only_without_purge_protection(
    teardown: Teardown, recorded: Recorded, configured: bool, deleted: Any, purged: bool
) -> None:
    document = load_yaml(Path("config/dev.yml"))
    document["security"]["purge_protection"] = configured
    write_yaml(Path("config/dev.yml"), document)
    recorded.answers["az keyvault show-deleted"] = deleted
    assert teardown("--yes") == 0
    lines = recorded.ran("keyvault purge")
    assert lines == (["az keyvault purge --name key_vault-dev --location westeurope"] if purged else [])


def test_a_registry_that_the_infrastructure_did_not_make_is_deleted_first(
    teardown: Teardown, recorded: Recorded
) -> None:
    file = Path("pyproject.toml")
    file.write_text(file.read_text(encoding="utf-8").replace('"model-registry", ', ""), encoding="utf-8")
    document = load_yaml(Path("config/dev.yml"))
    del document["model_registry"]
    write_yaml(Path("config/dev.yml"), document)
    assert teardown("--yes") == 0
    assert recorded.ran(f"resource delete --ids {GROUP}/providers/{ML}/registries/the-registry")


def test_a_dry_run_shows_every_step_and_runs_none(
    teardown: Teardown, tool: str, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    assert teardown("--dry-run", "--environment", "prod") == 0
    assert recorded.log == []
    shown = capsys.readouterr().out
    for text in ("az ml online-endpoint delete", BY_TOOL[tool][-1]):
        assert text in shown


def test_another_owners_workspace_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(equipped(tmp_path / "project", "existing", []).root)
    recorded = Recorded(STANDING)
    assert command(recorded, "teardown", "--all", "--yes") == 1
    assert (
        "workspace mlw-dev is not the project's own: run `uv run mlops teardown --environment dev`"
        in capsys.readouterr().err
    )
    assert recorded.log == []
