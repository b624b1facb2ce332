"""The end of an environment: what is shown before the question, what is deleted in which order, and what stops it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_azure import (
    APART,
    BUILT,
    GROUP,
    HEALTHY,
    IDENTITY,
    LOCKED,
    ML,
    PRINCIPAL,
    TOOLS,
    Recorded,
    Refusal,
    equipped,
    put_registry_apart,
    resource,
)
from small_project import set_key, write_yaml

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
    "az role assignment list --scope": [],
}
ENDPOINTS = [
    "ml schedule disable", "ml schedule delete", "ml online-endpoint delete", "ml batch-endpoint delete",
]  # fmt: skip
SMART_DETECTION = f"resource delete --ids {GROUP}/providers/microsoft.insights/actiongroups"
FIRST = {"terraform": ["terraform -chdir=infrastructure/terraform init"], "bicep": []}
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
    for name in ("ARM_USE_OIDC", "GITHUB_RUN_ID", "BUILD_BUILDID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", "s")

    def run(*words: str) -> int:
        return recorded.run("teardown", "--all", *words)

    return run


DEPLOYMENT = "azurerm_resource_group_template_deployment"

# In a workflow there is no question.
AGREED = ("--yes", "--confirm", "dev")


def changes(recorded: Recorded) -> list[str]:
    """The command lines that change something, without the program az."""
    asks = ("--output json", "show -no-color -json")
    return [line.removeprefix("az ") for line in recorded.ran("") if not line.endswith(asks)]


def test_all_goes_in_an_order_that_works(teardown: Teardown, tool: str, recorded: Recorded) -> None:
    assert teardown(*AGREED) == 0
    expected = [*FIRST[tool], *ENDPOINTS, SMART_DETECTION, *BY_TOOL[tool]]
    done = changes(recorded)
    assert len(done) == len(expected), done
    for line, beginning in zip(done, expected, strict=True):
        assert line.startswith(beginning)


@pytest.mark.parametrize("tool", ["terraform"], indirect=True)
def test_a_machine_that_the_state_refuses_deletes_nothing(
    teardown: Teardown, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.answers[" init "] = Refusal(
        "RESPONSE 403: This request is not authorized\nERROR CODE: AuthorizationFailure"
    )
    assert teardown(*AGREED) == 1
    assert [line.split()[2] for line in changes(recorded)] == ["init"]
    assert "Or its firewall keeps this machine out" in capsys.readouterr().err


# Which run comes after which.

NOTED = "mlops-last-apply"


def as_run(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """What follows is done by a run of this number."""
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://server/")
    monkeypatch.setenv("GITHUB_RUN_ID", str(number))


def test_what_waited_when_an_environment_was_deleted_builds_nothing_afterwards(
    teardown: Teardown,
    tool: str,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    as_run(monkeypatch, 10)
    assert teardown(*AGREED) == 0
    tag, *others = changes(recorded)
    assert tag.startswith(f"tag update --resource-id {IDENTITY} --operation Merge --tags {NOTED}=https://server/#10 ")
    assert others[len(FIRST[tool])].startswith(ENDPOINTS[0])
    assert "warning" not in capsys.readouterr().err
    key, _, value = tag.split()[7].partition("=")
    recorded.answers["az identity show"] = HEALTHY["az identity show"] | {"tags": {key: value}}
    recorded.answers["az resource show --resource-group rg-dev --name mlw-dev"] = None
    recorded.log.clear()
    as_run(monkeypatch, 9)
    assert recorded.run("provision", "--environment", "dev") == 1
    assert capsys.readouterr().err.startswith("error: run 10 is newer than this one, 9, and has changed dev or begun")
    assert changes(recorded) == []


def test_an_older_run_deletes_nothing_that_a_newer_one_has_built(
    teardown: Teardown, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.answers["az identity show"] = HEALTHY["az identity show"] | {"tags": {NOTED: "https://server/#10"}}
    as_run(monkeypatch, 9)
    assert teardown(*AGREED) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: run 10 is newer than this one, 9, and has changed dev or begun to: nothing was")
    assert error.count("\n") == 1
    assert changes(recorded) == []
    assert teardown("--dry-run") == 0
    as_run(monkeypatch, 10)
    assert teardown(*AGREED) == 0  # what failed half-way, again


def test_a_run_that_was_not_confirmed_is_not_noted(
    teardown: Teardown, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_run(monkeypatch, 10)
    assert teardown("--yes", "--confirm", "other") == 1
    assert changes(recorded) == []


def test_a_run_that_may_not_note_itself_deletes_all_and_says_so(
    teardown: Teardown,
    tool: str,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorded.answers["az tag update"] = Refusal("(ScopeLocked) The scope '/x' cannot perform write operation.")
    as_run(monkeypatch, 10)
    assert teardown(*AGREED) == 0
    assert recorded.ran(BY_TOOL[tool][-1])
    assert "it is not noted that this run has changed dev, so an older one" in capsys.readouterr().err


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
        "  microsoft.storage/storageaccounts: storageaccountdev\n",
        "  key vault key-vault-dev: deleted, but protected for 90 days",
        "  resource group rg-state: identity id-deploy-dev",
    ):
        assert text in shown.out
    assert shown.err == "error: nothing was deleted\n"


@pytest.mark.parametrize("name", ["dev", "test", "prod"])
@pytest.mark.parametrize("words", [[], ["--yes"], ["--confirm", "NAME"], ["--yes", "--confirm", "other"]])
def test_without_a_terminal_each_environment_goes_only_when_it_is_named(
    teardown: Teardown, tool: str, recorded: Recorded, name: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = resource(f"mlw-{name}", f"{ML}/workspaces")
    recorded.answers[f"az resource list --resource-group rg-{name}"] = [workspace]
    recorded.answers[f"az resource show --resource-group rg-{name}"] = workspace
    assert teardown("--environment", name, *(name if word == "NAME" else word for word in words)) == 1
    assert capsys.readouterr().err.startswith(f"error: this deletes ALL of this, models and data included, of {name}")
    assert changes(recorded) == []
    assert teardown("--environment", name, "--yes", "--confirm", name) == 0
    assert changes(recorded)[-1].startswith(BY_TOOL[tool][-1])


def test_the_registry_stays_while_another_environment_reads_it(
    teardown: Teardown, tool: str, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = "az resource show --resource-group rg-prod --name mlw-prod"
    recorded.answers[shown] = resource("mlw-prod", f"{ML}/workspaces")
    assert teardown(*AGREED) == 1
    assert changes(recorded) == []
    assert capsys.readouterr().err == (
        "error: the model registry the-registry would go too, with the models of prod: first run "
        "`uv run mlops teardown --environment prod --all`\n"
    )
    recorded.answers[shown] = None
    assert teardown(*AGREED) == 0
    assert changes(recorded)[-1].startswith(BY_TOOL[tool][-1])


def test_an_environment_that_takes_models_from_its_own_workspace_keeps_no_registry(
    teardown: Teardown, recorded: Recorded
) -> None:
    for name in ("test", "prod"):
        document = load_yaml(Path(f"config/{name}.yml"))
        document["model"]["source"] = "workspace"
        write_yaml(Path(f"config/{name}.yml"), document)
        recorded.answers[f"az resource show --resource-group rg-{name}"] = resource(f"mlw-{name}", f"{ML}/workspaces")
    assert teardown(*AGREED) == 0


def role(
    principal: str, kind: str = "ServicePrincipal", scope: str = f"{GROUP}/providers/{ML}/registries/the-registry"
) -> Any:
    """A role assignment as `az role assignment list` shows it."""
    return {"id": f"/assignment/{principal}", "principalId": principal, "principalType": kind, "scope": scope}


def test_the_registry_stays_while_the_identity_of_an_environment_elsewhere_has_a_role_on_it(
    teardown: Teardown, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [role(PRINCIPAL), role("ada", "User"), role("platform", scope="/subscriptions/s")]
    recorded.answers["az role assignment list --scope"] = [*own, role("elsewhere")]
    assert teardown(*AGREED) == 1
    assert changes(recorded) == []
    assert "once these are gone, run `az role assignment delete --ids /assignment/elsewhere`" in capsys.readouterr().err
    recorded.answers["az role assignment list --scope"] = own
    assert teardown(*AGREED) == 0


# The registry in a resource group of its own.


@pytest.fixture
def apart(teardown: Teardown, recorded: Recorded) -> Teardown:
    """The same for a project whose registry is not in the group of dev."""
    put_registry_apart(Path())
    own = [item for item in BUILT if item["name"] != "the-registry"]
    recorded.answers |= {
        "az resource list --resource-group rg-dev": own,
        "az resource list --resource-group rg-shared": APART,
        "az lock list --resource-group rg-shared": LOCKED,
    }
    return teardown


REGISTRY_GOES = {
    "terraform": [
        "terraform -chdir=infrastructure/terraform/model-registry init",
        "terraform -chdir=infrastructure/terraform/model-registry destroy",
    ],
    "bicep": [
        f"lock delete --ids {LOCKED[0]['id']}",
        f"lock delete --ids {LOCKED[1]['id']}",
        f"resource delete --ids {APART[1]['id']}",
        f"resource delete --ids {APART[0]['id']}",
    ],
}


def test_the_registry_goes_last_and_its_locks_before_it(apart: Teardown, tool: str, recorded: Recorded) -> None:
    assert apart(*AGREED) == 0
    done, expected = (
        changes(recorded),
        [*FIRST[tool], *ENDPOINTS, SMART_DETECTION, *BY_TOOL[tool], *REGISTRY_GOES[tool]],
    )
    assert len(done) == len(expected), done
    for line, beginning in zip(done, expected, strict=True):
        assert line.startswith(beginning)


@pytest.mark.parametrize("tool", ["terraform"])
@pytest.mark.parametrize("count", [1, 2])
def test_rules_of_a_managed_network_go_one_by_one_before_the_rest(
    teardown: Teardown, recorded: Recorded, count: int
) -> None:
    """Whether Azure takes two deletions at once is not documented."""
    kinds = ("azurerm_machine_learning_workspace_network_outbound_rule_fqdn.this", f"{DEPLOYMENT}.rule")
    rules = [f'module.private_network.{kind}["a"]' for kind in kinds[:count]]
    others = [f"module.private_network.{kind}" for kind in ("azurerm_virtual_network.this[0]", f"{DEPLOYMENT}.other")]
    resources = [{"address": each, "type": each.split(".")[2], "values": {"name": "a"}} for each in [*rules, *others]]
    show = "terraform -chdir=infrastructure/terraform show -no-color -json"
    recorded.answers[show] = {"values": {"root_module": {"child_modules": [{"resources": resources}]}}}
    assert teardown(*AGREED) == 0
    *first, last = [line for line in recorded.ran("terraform") if " destroy " in line]
    assert "-target" not in last
    assert "-parallelism" not in last
    assert len(first) == count - 1
    for line in first:
        assert " -parallelism=1 " in line
        assert [word.strip("'").removeprefix("-target=") for word in line.split() if "-target=" in word] == rules


@pytest.mark.parametrize("tool", ["terraform"])
def test_a_registry_that_stayed_in_the_group_of_dev_goes_before_that_group(
    apart: Teardown, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("dev", "test", "prod"):
        set_key(Path(f"config/{name}.yml"), "names.registry_resource_group", "rg-dev")
    recorded.answers["az resource list --resource-group rg-dev"] = BUILT
    assert apart(*AGREED) == 0
    destroyed = [line for line in recorded.ran("terraform") if " destroy " in line]
    assert ["model-registry" in line for line in destroyed] == [True, False]
    shown = capsys.readouterr().out
    assert "And last, in resource group" not in shown
    assert ", empty;" not in shown


def test_its_own_group_is_listed_before_the_question_and_stays_empty(
    apart: Teardown, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda question: False)
    assert apart() == 1
    shown = capsys.readouterr().out
    assert "And last, in resource group rg-shared, with the models of all environments:\n" in shown
    assert "  microsoft.machinelearningservices/registries: the-registry\n" in shown
    assert "resource group rg-state: identity id-deploy-dev" in shown
    assert "resource group rg-shared, empty; what connects the workflows with it: `uv run mlops bootstrap" in shown


@pytest.mark.parametrize("name", ["test", "prod"])
def test_no_other_environment_takes_the_registry_along(apart: Teardown, recorded: Recorded, name: str) -> None:
    workspace = resource(f"mlw-{name}", f"{ML}/workspaces")
    recorded.answers[f"az resource list --resource-group rg-{name}"] = [workspace]
    recorded.answers[f"az resource show --resource-group rg-{name}"] = workspace
    assert apart("--environment", name, "--yes", "--confirm", name) == 0
    assert [line for line in recorded.ran("rg-shared", "model-registry") if " role assignment list " not in line] == []


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
@pytest.mark.parametrize("tool", ["bicep"])
def test_the_rights_to_a_registry_go_with_the_environment(apart: Teardown, recorded: Recorded, closed: bool) -> None:
    """Otherwise a deployment would give them to the next identities of these names, which Azure refuses."""
    if not closed:
        file = Path("pyproject.toml")
        file.write_text(file.read_text(encoding="utf-8").replace('"private-network", ', ""), encoding="utf-8")
        for name in ("dev", "test", "prod"):
            for key in ("network", "names.virtual_network"):
                set_key(Path(f"config/{name}.yml"), key, None)
    scope = APART[0]["id"].partition("/providers/")[0]
    recorded.answers["az identity list --resource-group rg-test"] = [{"principalId": "one"}, {"principalId": "two"}]
    rights = [
        {"id": f"{scope}/providers/r/{number}", "scope": scope, "principalId": principal}
        for number, principal in enumerate(("one", "two", PRINCIPAL))
    ]
    recorded.answers[f"az role assignment list --scope {scope} "] = rights
    recorded.answers["az resource list --resource-group rg-test"] = [resource("mlw-test", f"{ML}/workspaces")]
    assert apart("--environment", "test", "--yes", "--confirm", "test") == 0
    done = changes(recorded)
    deleted = " ".join(each["id"] for each in rights[:2])
    assert [line for line in done if line.startswith("role ")] == [f"role assignment delete --ids {deleted}"]
    assert done[-1].startswith("group delete")


def test_a_registry_of_its_own_group_stays_while_another_environment_reads_it(
    apart: Teardown, tool: str, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = "az resource show --resource-group rg-prod --name mlw-prod"
    recorded.answers[shown] = resource("mlw-prod", f"{ML}/workspaces")
    assert apart(*AGREED) == 1
    assert changes(recorded) == []
    assert "first run `uv run mlops teardown --environment prod --all`" in capsys.readouterr().err
    recorded.answers[shown] = None
    recorded.answers["az role assignment list --scope"] = [role("elsewhere", scope=APART[1]["id"])]
    assert apart(*AGREED) == 1
    assert changes(recorded) == []
    assert "identities of other environments have a role on it" in capsys.readouterr().err


@pytest.mark.parametrize("what", ["a lock", "a resource"])
def test_what_another_user_put_beside_the_registry_stops_it(
    apart: Teardown, recorded: Recorded, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if what == "a lock":
        recorded.answers["az lock list --resource-group rg-shared"] = [{"id": "/x", "name": "audit"}, *LOCKED]
    else:
        notes = resource("notes", "Microsoft.Storage/storageAccounts", ours=False)
        recorded.answers["az resource list --resource-group rg-shared"] = [*APART, notes]
    assert apart(*AGREED) == 1
    assert changes(recorded) == []
    assert "error: rg-shared " in capsys.readouterr().err


def test_after_a_failure_at_the_registry_it_goes_on_with_the_registry(
    apart: Teardown, tool: str, recorded: Recorded
) -> None:
    failing = REGISTRY_GOES[tool][-2]
    recorded.answers[failing] = Refusal("(Conflict) not now")
    assert apart(*AGREED) == 1
    del recorded.answers[failing]
    recorded.log.clear()
    # By now the environment is gone, its resource group, too.
    recorded.answers |= {"az resource list --resource-group rg-dev": None, "az group show": None}
    assert apart(*AGREED) == 0
    assert changes(recorded)[-1].startswith(REGISTRY_GOES[tool][-1])
    assert recorded.ran("az ml") == []


def test_a_registry_that_a_promotion_created_in_its_own_group_goes_last_too(
    apart: Teardown, tool: str, recorded: Recorded
) -> None:
    file = Path("pyproject.toml")
    file.write_text(file.read_text(encoding="utf-8").replace('"model-registry", ', ""), encoding="utf-8")
    set_key(Path("config/dev.yml"), "model_registry", None)
    recorded.answers["az resource list --resource-group rg-shared"] = [APART[1] | {"tags": None}]
    recorded.answers["az lock list --resource-group rg-shared"] = LOCKED[1:]
    assert apart(*AGREED) == 0
    lock, registry = f"lock delete --ids {LOCKED[1]['id']}", f"resource delete --ids {APART[1]['id']}"
    assert changes(recorded)[-2:] == [lock, registry]
    assert recorded.ran("terraform/model-registry") == []
    # Terraform built it when the project had the add-on, and would take it to be there still.
    recorded.answers["az deployment group show"] = {"name": "the-registry"}
    assert apart(*AGREED) == 0
    assert changes(recorded)[-1] == "deployment group delete --resource-group rg-shared --name the-registry"


def test_a_lock_that_was_set_by_hand_on_a_registry_in_the_group_of_dev_is_no_obstacle(
    teardown: Teardown, tool: str, recorded: Recorded
) -> None:
    """As docs/infrastructure.md sets it in projects from before the registry had a group of its own."""
    lock = f"{GROUP}/providers/{ML}/registries/the-registry/providers/Microsoft.Authorization/locks/cannot-delete"
    recorded.answers["az lock list"] = [{"id": lock, "name": "cannot-delete"}]
    assert teardown(*AGREED) == 0
    done = changes(recorded)
    assert done.index(f"lock delete --ids {lock}") < done.index(
        next(line for line in done if BY_TOOL[tool][-1] in line)
    )


def test_the_page_of_the_run_shows_what_went_and_what_stays(
    teardown: Teardown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    assert teardown(*AGREED) == 0
    text = page.read_text(encoding="utf-8")
    assert "- deleted endpoint online-dev\n- deleted endpoint batch-dev\n" in text
    assert "dev is gone." in text
    assert "- resource group rg-state: identity id-deploy-dev" in text


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
    assert teardown(*AGREED) == 1
    assert changes(recorded) == []
    error = capsys.readouterr().err
    assert f"did not make: {named}" in error
    assert "storageaccountdev" not in error


def test_a_resource_of_ours_without_a_tag_is_known_by_its_name(teardown: Teardown, recorded: Recorded) -> None:
    # The promotion makes the registry where the infrastructure does not.
    untagged = [item | {"tags": None} if item["name"] == "the-registry" else item for item in BUILT]
    recorded.answers["az resource list --resource-group rg-dev"] = untagged
    assert teardown(*AGREED) == 0


def test_a_lock_that_another_user_set_stops_it(
    teardown: Teardown, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.answers["az lock list"] = [{"id": "/x", "name": "audit"}, *STANDING["az lock list"]]
    assert teardown(*AGREED) == 1
    assert changes(recorded) == []
    assert "locks that this project did not set: audit" in capsys.readouterr().err


@pytest.mark.parametrize("late", [False, True])
def test_after_a_failure_half_way_it_goes_on_from_there(
    teardown: Teardown, tool: str, recorded: Recorded, late: bool
) -> None:
    failing = BY_TOOL[tool][-1] if late else "ml online-endpoint delete"
    recorded.answers[failing] = Refusal("(Conflict) not now")
    assert teardown(*AGREED) == 1
    del recorded.answers[failing]
    recorded.log.clear()
    recorded.answers["az ml schedule list"] = []
    if late:
        # The workspace is gone by now.
        recorded.answers["az resource list --resource-group rg-dev"] = BUILT[2:6]
        recorded.answers["az lock list"] = []
    assert teardown(*AGREED) == 0
    assert changes(recorded)[-1].startswith(BY_TOOL[tool][-1])
    assert [line.split()[2] for line in recorded.ran("az ml") if "delete" in line] == (
        [] if late else ["online-endpoint", "batch-endpoint"]
    )


def test_a_workspace_that_is_gone_but_still_listed_is_not_asked(
    teardown: Teardown, tool: str, recorded: Recorded
) -> None:
    shown = "az resource show --resource-group rg-dev --name mlw-dev"
    recorded.answers |= {shown: None, "az ml": Refusal("(ResourceNotFound) mlw-dev was not found.")}
    assert teardown(*AGREED) == 0
    assert recorded.ran("az ml") == []
    assert changes(recorded)[-1].startswith(BY_TOOL[tool][-1])


def test_when_all_is_gone_there_is_nothing_to_do(
    teardown: Teardown, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.answers["az resource list --resource-group rg-dev"] = None
    assert teardown(*AGREED) == 0
    assert changes(recorded) == []
    assert "nothing: there is no such group" in capsys.readouterr().out


def test_a_group_that_was_left_empty_goes_too(teardown: Teardown, tool: str, recorded: Recorded) -> None:
    recorded.answers |= {"az resource list --resource-group rg-dev": [], "az lock list": []}
    assert teardown(*AGREED) == 0
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
    assert teardown(*AGREED) == 0
    lines = recorded.ran("keyvault purge")
    assert lines == (["az keyvault purge --name key-vault-dev --location westeurope"] if purged else [])


def test_a_registry_that_the_infrastructure_did_not_make_is_deleted_first(
    teardown: Teardown, recorded: Recorded
) -> None:
    file = Path("pyproject.toml")
    file.write_text(file.read_text(encoding="utf-8").replace('"model-registry", ', ""), encoding="utf-8")
    document = load_yaml(Path("config/dev.yml"))
    del document["model_registry"]
    write_yaml(Path("config/dev.yml"), document)
    assert teardown(*AGREED) == 0
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
    assert recorded.run("teardown", "--all", "--yes") == 1
    assert (
        "workspace mlw-dev is not the project's own: run `uv run mlops teardown --environment dev`"
        in capsys.readouterr().err
    )
    assert recorded.log == []
