"""Provisioning: the commands of both tools, and the errors that have a remedy of their own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_azure import (
    GROUP,
    HEALTHY,
    IDENTITY,
    ML,
    PERSON,
    PRINCIPAL,
    SUBSCRIPTION,
    TOOLS,
    Recorded,
    Refusal,
    equipped,
    put_registry_apart,
)
from small_project import set_key

from mlops import cli, infrastructure
from mlops.config import load_environment
from mlops.errors import CommandError
from mlops.infrastructure.summary import plan_summary
from mlops.infrastructure.workspace import purge_command
from mlops.project import Project
from mlops.shell import Shell
from mlops.subscription.button import write_button

Provision = Callable[..., int]


@pytest.fixture(autouse=True)
def no_other_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARM_USE_OIDC", "ARM_SUBSCRIPTION_ID", "GITHUB_RUN_ID", "BUILD_BUILDID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def recorded() -> Recorded:
    """What the programs answer; `log` has what they were asked."""
    return Recorded(HEALTHY)


@pytest.fixture
def provision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorded: Recorded) -> Provision:
    """Run `mlops provision` in a project of an infrastructure and with add-ons; returns the exit code."""

    def run(infrastructure: str, *words: str, add_ons: tuple[str, ...] = ()) -> int:
        if infrastructure not in (*TOOLS, "existing"):
            pytest.skip("this project has another infrastructure")
        root = tmp_path / "project"
        if not root.exists():
            equipped(root, infrastructure, list(add_ons))
        monkeypatch.chdir(root)
        with recorded.in_place():
            try:
                cli.main(["provision", *words])
            except SystemExit as end:
                return int(end.code or 0)
        return 0

    return run


# Which run comes after which.

NO_RIGHT = Refusal("(AuthorizationFailed) The client does not have authorization to perform the action.")
IDENTITY_SHOW = "az identity show --name id-deploy-dev --resource-group"
SYSTEMS = {"GITHUB_RUN_ID": "GITHUB_SERVER_URL", "BUILD_BUILDID": "SYSTEM_COLLECTIONURI"}


@pytest.fixture
def by_run(provision: Provision, recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> Provision:
    """Run `mlops provision` as a run of a number, after the last one of another number."""

    def run(infrastructure: str, number: int, last: int, *words: str, variable: str = "GITHUB_RUN_ID") -> int:
        monkeypatch.setenv(SYSTEMS[variable], "https://server/")
        monkeypatch.setenv(variable, str(number))
        tags = {"tags": {"mlops-last-apply": f"https://server/#{last}", "a": "tag of a person's"}} if last else {}
        recorded.answers["az identity show"] = {"principalId": PRINCIPAL, "id": IDENTITY, **tags}
        return provision(infrastructure, *words)

    return run


def changed(recorded: Recorded) -> list[str]:
    """What was changed in Azure, or would be."""
    return recorded.ran(" apply ", "deployment sub create", "tag update")


@pytest.mark.parametrize("variable", SYSTEMS)
@pytest.mark.parametrize("infrastructure", TOOLS)
def test_an_older_run_changes_nothing_after_a_newer_one(
    by_run: Provision,
    recorded: Recorded,
    infrastructure: str,
    variable: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It was approved late, or all its jobs were run again. Before nine was ten, by the text of both."""
    assert by_run(infrastructure, 9, 10, variable=variable) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: run 10 is newer than this one, 9, and has changed dev or begun to: nothing")
    assert error.count("\n") == 1
    assert changed(recorded) == []
    assert by_run(infrastructure, 9, 10, "--plan", variable=variable) == 0  # which changes nothing


@pytest.mark.parametrize("last", [0, 9])
@pytest.mark.parametrize("infrastructure", TOOLS)
def test_a_run_notes_itself_before_it_changes_anything(
    by_run: Provision, recorded: Recorded, infrastructure: str, last: int
) -> None:
    """If it fails half-way, an older run must not come after it, either."""
    assert by_run(infrastructure, 10, last) == 0
    tag, *others = changed(recorded)
    assert tag == (
        f"az tag update --resource-id {IDENTITY} --operation Merge --tags mlops-last-apply=https://server/#10 "
        "--output none"
    )
    assert len(others) == 1
    recorded.log.clear()
    assert by_run(infrastructure, 10, 10) == 0  # its failed jobs again
    assert changed(recorded) == others


def test_what_a_person_provisions_at_a_terminal_is_no_run(
    by_run: Provision, provision: Provision, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert by_run("bicep", 9, 10) == 1
    monkeypatch.delenv("GITHUB_RUN_ID")
    assert provision("bicep") == 0
    assert not recorded.ran("tag update")
    assert by_run("bicep", 9, 10, "--dry-run") == 0


@pytest.mark.parametrize(
    "answer",
    [
        {IDENTITY_SHOW: None},
        {IDENTITY_SHOW: NO_RIGHT},
        {"az tag update": NO_RIGHT},
        {"az tag update": Refusal("(ScopeLocked) The scope '/x' cannot perform write operation.")},
        {"az tag update": Refusal("(RequestDisallowedByPolicy) Resource 'x' was disallowed by policy.")},
    ],
)
def test_a_run_that_cannot_be_noted_is_applied_and_says_so(
    by_run: Provision, recorded: Recorded, answer: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Who gave the identity fewer rights than bootstrap does can go on."""
    recorded.answers |= answer
    assert by_run("bicep", 9, 0) == 0
    assert recorded.ran("deployment sub create")
    assert "it is not noted that this run has changed dev" in capsys.readouterr().err


def test_a_right_that_takes_effect_while_the_run_is_applied_is_used(
    by_run: Provision, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.answers["az tag update"] = NO_RIGHT
    deploy = "mlops.infrastructure.bicep.enable_serverless_spark"
    monkeypatch.setattr(deploy, lambda *_: recorded.answers.update({"az tag update": ""}))
    assert by_run("bicep", 9, 0) == 0
    assert len(recorded.ran("tag update")) == 2
    assert "not noted" not in "".join(capsys.readouterr())


def test_a_newer_run_that_is_seen_only_after_the_apply_makes_a_warning_of_it(
    by_run: Provision, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    show = {"principalId": PRINCIPAL, "id": IDENTITY, "tags": {"mlops-last-apply": "https://server/#10"}}
    recorded.answers[IDENTITY_SHOW] = NO_RIGHT
    deploy = "mlops.infrastructure.bicep.enable_serverless_spark"
    monkeypatch.setattr(deploy, lambda *_: recorded.answers.update({IDENTITY_SHOW: show}))
    assert by_run("bicep", 9, 0) == 0
    assert "run 10 is newer than this one, 9" in capsys.readouterr().err


def test_a_run_that_is_not_told_which_one_was_the_last_changes_nothing(by_run: Provision, recorded: Recorded) -> None:
    recorded.answers[IDENTITY_SHOW] = Refusal("(InternalServerError) try again")
    assert by_run("bicep", 9, 0) == 1
    assert changed(recorded) == []


# Terraform.


def test_terraform_applies_the_plan_that_it_showed(provision: Provision, recorded: Recorded) -> None:
    assert provision("terraform", "--environment", "test") == 0
    init, plan, show, apply = recorded.ran("terraform")
    assert init.startswith(
        "terraform -chdir=infrastructure/terraform init -input=false -reconfigure "
        "-backend-config=resource_group_name=rg-state "
        "-backend-config=storage_account_name=ststate -backend-config=container_name=tfstate -backend-config=key=test"
    )
    assert "-backend-config=use_azuread_auth=true" in init
    assert "use_oidc" not in init
    variables = "-var environment=test -var online_endpoint_exists=false"
    file = "../../.local/terraform/test.tfplan"
    lock = "-lock-timeout=10m"
    assert plan == f"terraform -chdir=infrastructure/terraform plan -input=false {lock} {variables} -out={file}"
    assert show == f"terraform -chdir=infrastructure/terraform show -no-color -json {file}"
    assert apply == f"terraform -chdir=infrastructure/terraform apply -input=false {lock} {file}"


@pytest.mark.parametrize("address", ["module.model_registry[0]", "module.model_registry"])
def test_terraform_applies_no_plan_that_deletes_the_model_registry(
    provision: Provision, recorded: Recorded, address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As one without the add-on would be, or with another place for the registry."""
    registry = {"address": f"{address}.azurerm_resource_group_template_deployment.this"}
    show = "terraform -chdir=infrastructure/terraform show -no-color -json"
    for actions in (["delete"], ["delete", "create"], ["create", "delete"]):
        recorded.answers[show] = {"resource_changes": [registry | {"change": {"actions": actions}}]}
        assert provision("terraform") == 1
        assert recorded.ran("terraform -chdir=infrastructure/terraform apply") == []
        error = capsys.readouterr().err
        assert error.startswith(
            "error: this would delete the model registry the-registry with its models (module.model"
        )
        assert error.count("\n") == 1
        assert "put the add-on model-registry back (the answer add_ons), or " in error
        assert error.endswith(f"`terraform -chdir=infrastructure/terraform state rm '{address}'`\n")
    for change in (
        registry | {"change": {"actions": ["update"]}},
        {
            "address": "azurerm_resource_group_template_deployment.registry_storage[0]",
            "change": {"actions": ["delete"]},
        },
    ):
        recorded.answers[show] = {"resource_changes": [change]}
        assert provision("terraform") == 0


APART = ("model-registry",)


def test_another_place_for_the_registry_is_to_be_undone_and_terraform_is_to_forget_nothing(
    provision: Provision, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    address = "module.model_registry[0].azurerm_resource_group_template_deployment.this"
    show = "terraform -chdir=infrastructure/terraform show -no-color -json"
    recorded.answers[show] = {"resource_changes": [{"address": address, "change": {"actions": ["delete", "create"]}}]}
    assert provision("terraform", add_ons=APART) == 1
    error = capsys.readouterr().err
    assert error.endswith("undo the change of its name, its place or its group in config/\n")
    assert "state rm" not in error


@pytest.fixture
def apart(provision: Provision, recorded: Recorded, tmp_path: Path) -> Provision:
    """The same in a project whose model registry has a resource group of its own, which is there."""
    recorded.answers["az group show"] = {"name": "rg-shared"}

    def run(infrastructure: str, *words: str) -> int:
        root = tmp_path / "project"
        if not root.exists():
            equipped(root, infrastructure, list(APART))
            put_registry_apart(root)
        return provision(infrastructure, *words, add_ons=APART)

    return run


def test_terraform_builds_the_registry_before_the_environment_and_in_a_state_of_its_own(
    apart: Provision, recorded: Recorded
) -> None:
    assert apart("terraform") == 0
    lines = recorded.ran("terraform")
    first = "terraform -chdir=infrastructure/terraform/model-registry"
    assert [line.removeprefix(f"{first} ").split()[0] for line in lines[:4]] == ["init", "plan", "show", "apply"]
    assert all(line.startswith("terraform -chdir=infrastructure/terraform ") for line in lines[4:])
    assert " -backend-config=container_name=tfstate -backend-config=key=shared.tfstate " in lines[0]
    assert " -backend-config=key=dev " in lines[4]
    assert "-var environment=dev -out=../../../.local/terraform/model-registry.tfplan" in lines[1]
    assert "online_endpoint_exists" not in lines[1]
    assert recorded.ran("az group create") == []


def keep_in_the_group_of_dev(root: Path) -> None:
    """Let the registry stay where a release built it, with a state of its own."""
    for name in ("dev", "test", "prod"):
        set_key(root / "config" / f"{name}.yml", "names.registry_resource_group", "rg-dev")


def test_a_registry_in_the_group_of_dev_is_built_apart_once_its_state_has_moved(
    apart: Provision, recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apart("terraform") == 0
    keep_in_the_group_of_dev(tmp_path / "project")
    recorded.answers["az group show"] = {"name": "rg-dev"}
    assert apart("terraform") == 0
    address = "module.model_registry[0].azurerm_resource_group_template_deployment.this"
    show = "terraform -chdir=infrastructure/terraform show -no-color -json"
    recorded.answers[show] = {"resource_changes": [{"address": address, "change": {"actions": ["delete"]}}]}
    assert apart("terraform") == 1
    assert "move its state first, as docs/infrastructure.md says (Model registry)" in capsys.readouterr().err


def test_without_the_group_of_dev_there_is_no_registry_that_could_stay_in_it(
    apart: Provision, recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apart("terraform") == 0
    keep_in_the_group_of_dev(tmp_path / "project")
    recorded.answers["az group show"] = None
    assert apart("terraform") == 1
    assert "no resource group rg-dev, so no model registry in it that could stay there" in capsys.readouterr().err
    assert recorded.ran("group create") == []


def test_bicep_has_no_state_and_refuses_the_group_of_dev(
    apart: Provision, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert apart("bicep") == 0
    keep_in_the_group_of_dev(tmp_path / "project")
    assert apart("bicep") == 1
    assert "rg-dev is the environment's own group, which a teardown deletes" in capsys.readouterr().err


def test_bicep_deploys_the_registry_before_the_environment(apart: Provision, recorded: Recorded) -> None:
    assert apart("bicep") == 0
    first, second = recorded.ran("deployment sub create")
    assert first == (
        "az deployment sub create --name the-registry --location westeurope --template-file "
        "infrastructure/bicep/model-registry.bicep --parameters environment=dev --output none"
    )
    assert " --name mlw-dev " in second


@pytest.mark.parametrize(
    ("infrastructure", "deployer"),
    [("terraform", f"-var deployer_principal_id={PERSON}"), ("bicep", f"deployerPrincipalId={PERSON}")],
)
def test_who_promotes_models_has_the_registry_too(
    apart: Provision, recorded: Recorded, infrastructure: str, deployer: str
) -> None:
    assert apart(infrastructure, "--deployer", PERSON) == 0
    assert [deployer in line for line in recorded.ran("model-registry plan", "model-registry.bicep")] == [True]


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
def test_only_the_environment_that_builds_the_registry_touches_it(
    apart: Provision, recorded: Recorded, infrastructure: str
) -> None:
    for words in (["--environment", "test"], ["--environment", "prod", "--plan"]):
        assert apart(infrastructure, *words) == 0
    assert recorded.ran("model-registry", "the-registry", "rg-shared") == []


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
def test_a_plan_shows_the_registry_too_and_changes_nothing(
    apart: Provision, recorded: Recorded, infrastructure: str, page: Path
) -> None:
    assert apart(infrastructure, "--plan") == 0
    text = (page / "summary").read_text(encoding="utf-8")
    shown = {
        "terraform": "Plan: 5 to add, 0 to change, 0 to destroy. Plan: 1 to add",
        "bicep": "Resource changes: 1 to",
    }
    assert text.startswith(f"## Infrastructure of dev\n\n{shown[infrastructure]}")
    assert recorded.ran(" apply ", " create ", "az lock") == []


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
def test_without_bootstrap_the_group_of_the_registry_is_made_by_a_change_and_not_by_a_plan(
    apart: Provision, recorded: Recorded, infrastructure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.answers["az group show"] = None
    assert apart(infrastructure, "--plan") == 0
    missing = "Resource group rg-shared and the model registry the-registry in it: to create."
    assert missing in capsys.readouterr().out
    assert plan_summary("dev", f"{missing}\nPlan: 1 to add.").splitlines()[2] == f"{missing} Plan: 1 to add."
    assert recorded.ran("group create", "model-registry", "the-registry") == []
    assert apart(infrastructure) == 0
    [created] = recorded.ran("az group create")
    assert created.startswith("az group create --name rg-shared --location westeurope --tags ")
    assert " environment=shared " in created


def test_the_files_of_the_registry_are_checked_too(apart: Provision, recorded: Recorded) -> None:
    assert apart("terraform", "--check") == 0
    assert recorded.ran("")[4:] == [
        f"terraform -chdir=infrastructure/terraform/model-registry {words}"
        for words in ("fmt -check -recursive", "init -input=false -backend=false", "validate", "test")
    ]


@pytest.mark.parametrize("address", ["https://example.com", ""])
def test_the_button_says_that_the_registry_comes_first(
    apart: Provision, recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    assert apart("bicep", "--check") == 0
    for name in ("main.bicep", "uiFormDefinition.json"):
        file = tmp_path / "project" / "infrastructure" / "bicep" / name
        file.parent.mkdir(exist_ok=True)
        file.touch()
    first = "The model registry comes first, and not by this button: `uv run mlops provision --environment dev` builds"
    with recorded.in_place():
        write_button(Project.load(), tmp_path / "button", address)
    assert first in capsys.readouterr().out
    if address:
        written = (tmp_path / "button" / "README.md").read_text(encoding="utf-8")
        assert written.index(first) < written.index("deploytoazurebutton")
    # In the group of its environment it is a part of the template.
    for name in ("dev", "test", "prod"):
        set_key(Path("config") / f"{name}.yml", "names.registry_resource_group", None)
    for key in ("names.registry_log_analytics", "model_registry.log_days"):
        set_key(Path("config") / "dev.yml", key, None)
    with recorded.in_place():
        write_button(Project.load(), tmp_path / "other", address)
    assert first not in capsys.readouterr().out


def test_the_registrys_bicep_is_compiled_too(apart: Provision, recorded: Recorded) -> None:
    assert apart("bicep", "--check") == 0
    assert recorded.ran("model-registry.bicep") == [
        "az bicep lint --file infrastructure/bicep/model-registry.bicep",
        "az bicep build --file infrastructure/bicep/model-registry.bicep --outfile .local/bicep/model-registry.json",
    ]


def test_terraform_plans_and_applies_nothing(provision: Provision, recorded: Recorded) -> None:
    assert provision("terraform", "--plan") == 0
    assert [line.split()[2] for line in recorded.ran("terraform")] == ["init", "plan", "show", "show"]


def test_a_plan_takes_no_lock_that_would_stay_when_it_is_cut_off(provision: Provision, recorded: Recorded) -> None:
    assert provision("terraform", "--plan") == 0
    [plan] = recorded.ran("terraform -chdir=infrastructure/terraform plan")
    assert " -lock=false " in plan


def test_terraform_gets_the_subscription_of_the_azure_cli(
    provision: Provision, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, str]] = []
    execute = recorded.execute

    def note(command: list[str], folder: Path, variables: dict[str, str], *, captured: bool) -> tuple[int, str, str]:
        if command[0] == "terraform":
            seen.append(dict(variables))
        return execute(command, folder, variables, captured=captured)

    monkeypatch.setattr(recorded, "execute", note)
    assert provision("terraform", "--plan") == 0
    assert seen[:2] == [{"ARM_SUBSCRIPTION_ID": SUBSCRIPTION}] * 2


def test_in_a_workflow_terraform_signs_in_without_the_azure_cli(
    provision: Provision, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARM_USE_OIDC", "true")
    recorded.answers["az resource show"] = Refusal("Please run 'az login' to setup account.")
    assert provision("terraform", "--plan") == 0
    assert len(recorded.ran("az ")) == 1  # a look at the workspace, which may fail
    assert "-backend-config=use_oidc=true" in recorded.ran("init")[0]


RULE = "azurerm_machine_learning_workspace_network_outbound_rule_fqdn"
SHOW = "terraform -chdir=infrastructure/terraform show -no-color -json"


def changes(*kinds: str, actions: tuple[str, ...] = ("create",), **more: Any) -> dict[str, Any]:
    """A plan that changes one resource of each of these types."""
    return {
        "resource_changes": [
            {"address": f"{kind}.r{number}", "type": kind, "change": {"actions": list(actions), **more}}
            for number, kind in enumerate(kinds)
        ]
    }


def test_rules_of_a_managed_network_are_made_one_by_one_and_roles_before_them(
    provision: Provision, recorded: Recorded
) -> None:
    recorded.answers[SHOW] = changes(RULE, RULE, "azurerm_role_assignment", "azurerm_role_assignment")
    assert provision("terraform", add_ons=("private-network",)) == 0
    roles, rest = recorded.ran("terraform -chdir=infrastructure/terraform apply")
    assert "-parallelism" not in roles
    assert " -parallelism=1 " in rest
    plans = recorded.ran("terraform -chdir=infrastructure/terraform plan")
    targets = "-target=azurerm_role_assignment.resources -target=azurerm_role_assignment.workspace"
    assert [targets in plan for plan in plans] == [False, True, False]


@pytest.mark.parametrize("kinds", [(RULE, "azurerm_role_assignment", "azurerm_role_assignment"), ()])
def test_without_two_rules_nothing_is_made_one_by_one(
    provision: Provision, recorded: Recorded, kinds: tuple[str, ...]
) -> None:
    recorded.answers[SHOW] = changes(*kinds)
    assert provision("terraform", add_ons=("private-network",)) == 0
    [apply] = recorded.ran("terraform -chdir=infrastructure/terraform apply")
    assert "-parallelism" not in apply


def test_two_rules_alone_are_made_one_by_one(provision: Provision, recorded: Recorded) -> None:
    recorded.answers[SHOW] = changes(RULE, RULE)
    assert provision("terraform", add_ons=("private-network",)) == 0
    [apply] = recorded.ran("terraform -chdir=infrastructure/terraform apply")
    assert " -parallelism=1 " in apply


def test_rules_that_are_deployments_of_a_template_are_rules_too(provision: Provision, recorded: Recorded) -> None:
    """A service tag or a private endpoint of `network.outbound_rules`, which azurerm has no resource for."""
    deployment = "azurerm_resource_group_template_deployment"
    plan = changes(deployment, deployment)
    for each, name in zip(plan["resource_changes"], ("rule-a", "rule-b"), strict=True):
        each["address"] = f'module.private_network.{deployment}.rule["{name}"]'
    recorded.answers[SHOW] = plan
    assert provision("terraform", add_ons=("private-network",)) == 0
    [apply] = recorded.ran("terraform -chdir=infrastructure/terraform apply")
    assert " -parallelism=1 " in apply


def test_the_rule_of_a_host_under_another_name_goes_before_the_new_one_one_by_one(
    provision: Provision, recorded: Recorded
) -> None:
    """Until v0.13 the rules had numbers. Azure has one rule for a destination."""
    address = f"module.private_network.{RULE}.this"
    plan = []
    for number, host in enumerate(("a.example.com", "b.example.com", "c.example.com")):
        old = {"name": f"host-{number}", "destination_fqdn": host}
        plan.append({"address": f'{address}["host-{number}"]', "change": {"actions": ["delete"], "before": old}})
        if host != "a.example.com":  # it left the list
            new = old | {"name": f"host-{host.replace('.', '_')}"}
            plan.append({"address": f'{address}["{new["name"]}"]', "change": {"actions": ["create"], "after": new}})
    recorded.answers[SHOW] = {"resource_changes": [each | {"type": RULE} for each in plan]}
    assert provision("terraform", add_ons=("private-network",)) == 0
    steps = recorded.ran("terraform -chdir=infrastructure/terraform plan", "infrastructure/terraform apply")
    assert [line.split()[2] for line in steps] == ["plan", "plan", "apply", "plan", "apply"]
    targets = [word.strip("'") for word in steps[1].split() if "-target" in word]
    assert targets == [f'-target={address}["host-{number}"]' for number in (1, 2)]
    assert all(" -parallelism=1 " in line for line in (steps[2], steps[4]))


ENDPOINTS = "module.private_network.azurerm_private_endpoint"


def test_what_goes_while_another_address_makes_the_same_name_goes_first(
    provision: Provision, recorded: Recorded
) -> None:
    """`network.dns` becomes "policy": Terraform would make the endpoint while the old one is still there."""
    kind, keys = "azurerm_private_endpoint", ("blob", "file")
    plan = [
        {
            "address": f'{ENDPOINTS}.{address}["{key}"]',
            "type": kind,
            "change": {"actions": [action], when: {"name": key}},
        }
        for address, action, when in (("policy", "create", "after"), ("this", "delete", "before"))
        for key in keys
    ]
    other = changes("azurerm_private_dns_zone", actions=("delete",), before={"name": "blob"})
    recorded.answers[SHOW] = {"resource_changes": [*plan, *other["resource_changes"]]}
    assert provision("terraform", add_ons=("private-network",)) == 0
    steps = recorded.ran("terraform -chdir=infrastructure/terraform plan", "infrastructure/terraform apply")
    assert [line.split()[2] for line in steps] == ["plan", "plan", "apply", "plan", "apply"]
    targets = [word.strip("'") for word in steps[1].split() if "-target" in word]
    assert targets == [f'-target={ENDPOINTS}.this["{key}"]' for key in keys]
    assert not any("-target" in line for line in (steps[0], *steps[2:]))


# What a plan deletes for good.

HELD = {
    "azurerm_resource_group": "resource group",
    "azurerm_storage_account": "storage account",
    "azurerm_storage_container": "container",
    "azurerm_key_vault": "key vault",
    "azurerm_container_registry": "container registry",
    "azurerm_log_analytics_workspace": "Log Analytics",
    "azurerm_machine_learning_workspace": "workspace",
}


@pytest.mark.parametrize("actions", [("delete",), ("delete", "create"), ("create", "delete")])
@pytest.mark.parametrize("kind", HELD)
def test_a_plan_that_deletes_data_needs_the_name_of_the_environment(
    provision: Provision,
    recorded: Recorded,
    kind: str,
    actions: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorded.answers[SHOW] = changes(kind, actions=actions, before={"name": "mine"})
    assert provision("terraform") == 1
    error = capsys.readouterr().err
    assert error.startswith(f"error: this would delete for good, with all that is in it: {HELD[kind]} mine ({kind}.r0)")
    assert error.endswith("repeat it with `--confirm dev`, in a run of Infrastructure with confirm=dev\n")
    assert error.count("\n") == 1
    assert provision("terraform", "--confirm", "prod") == 1
    assert "--confirm names prod, but this is dev: nothing was changed" in capsys.readouterr().err
    assert recorded.ran(" apply ") == []
    assert provision("terraform", "--confirm", "dev") == 0
    assert len(recorded.ran(" apply ")) == 1


@pytest.mark.parametrize("kind", ["azurerm_role_assignment", "azurerm_monitor_diagnostic_setting", RULE])
def test_what_the_next_apply_would_make_again_needs_no_name(
    provision: Provision, recorded: Recorded, kind: str
) -> None:
    recorded.answers[SHOW] = changes(kind, actions=("delete", "create"), before={"name": "mine"})
    assert provision("terraform") == 0


def test_what_a_failed_creation_left_holds_nothing(provision: Provision, recorded: Recorded) -> None:
    plan = changes("azurerm_machine_learning_workspace", actions=("delete", "create"), before={"name": "mlw"})
    plan["resource_changes"][0]["action_reason"] = "replace_because_tainted"
    recorded.answers[SHOW] = plan
    assert provision("terraform") == 0


def test_who_approves_reads_first_what_would_be_deleted_for_good(
    provision: Provision, recorded: Recorded, page: Path
) -> None:
    recorded.answers[SHOW] = changes("azurerm_storage_account", actions=("delete",), before={"name": "stlake"})
    assert provision("terraform", "--plan") == 0
    line = (page / "summary").read_text(encoding="utf-8").splitlines()[2]
    assert line.startswith("Deletes for good, with all that is in it: storage account stlake. Plan: 1 to add")
    assert recorded.ran(" apply ") == []


INSTANCE = 'module.compute_instance["ada"].azurerm_resource_group_template_deployment.this'


@pytest.mark.parametrize("exists", [True, False])
def test_an_instance_that_left_the_config_is_deleted_as_azure_wants_it_before_terraform_meets_its_record(
    provision: Provision, recorded: Recorded, exists: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = changes("azurerm_resource_group_template_deployment", actions=("delete",), before={"name": "ci-ada"})
    gone["resource_changes"][0]["address"] = INSTANCE
    recorded.answers[SHOW] = gone
    assert provision("terraform") == 1
    assert "compute instance ci-ada" in capsys.readouterr().err
    place = "az resource show --resource-group rg-dev --name ci-ada"
    recorded.answers[place] = {"id": "/computes/ci-ada"} if exists else None
    assert provision("terraform", "--confirm", "dev") == 0
    words = ("az rest --method delete", "az deployment group delete", "terraform -chdir=infrastructure/terraform ")
    lines = [line for line in recorded.ran(*words) if " show " not in line]
    kinds = ["delete"] * exists + ["az deployment group delete --resource-group rg-dev --name ci-ada", "plan", "apply"]
    assert all(word in line for word, line in zip(kinds, lines[-len(kinds) :], strict=True)), lines
    assert [line for line in lines if "underlyingResourceAction=Delete" in line] == lines[-4:-3] * exists


@pytest.mark.parametrize("listed", [True, False], ids=["in the config", "its add-on has left"])
def test_the_end_of_an_environment_deletes_each_instance_of_the_state_once_as_azure_wants_it(
    tmp_path: Path, recorded: Recorded, listed: bool
) -> None:
    """Otherwise `destroy` would ask Azure to delete it without a word on its machine, and fail each time."""
    name = "ci-ada-a1b2c3"
    kind = "azurerm_resource_group_template_deployment"
    machine = {"address": INSTANCE, "type": kind, "values": {"name": name}}
    right = {"address": f"{INSTANCE}.role", "type": "azurerm_role_assignment", "values": {"name": "a-guid"}}
    other = {"address": "module.model_registry[0].x", "type": kind, "values": {"name": "mlr"}}
    modules = [{"resources": [machine, right]}, {"resources": [other]}, {}]
    recorded.answers[SHOW] = {"values": {"root_module": {"resources": [], "child_modules": modules}}}
    recorded.answers["--resource-type computes"] = {"id": "x"}
    with recorded.in_place():
        project = equipped(tmp_path / "project", "terraform", ["user-with-compute-instance"] if listed else [])
        infrastructure.of(project).provision(load_environment(project, "dev"), "destroy")
    deleted = recorded.ran("underlyingResourceAction=Delete", "deployment group delete", " destroy ")
    assert [name in line for line in deleted] == [True, True, False]
    assert " destroy " in deleted[-1]


# A private network for a workspace that is there without one.


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
@pytest.mark.parametrize("words", [[], ["--plan"]])
@pytest.mark.parametrize(
    ("properties", "refused"),
    [
        ({"managedNetwork": {"isolationMode": "Disabled"}}, True),
        ({"publicNetworkAccess": "Enabled"}, True),
        ({"managedNetwork": {"isolationMode": "AllowInternetOutbound"}, "publicNetworkAccess": "Enabled"}, False),
        ({"publicNetworkAccess": "Disabled"}, False),
    ],
)
def test_a_private_network_for_an_open_workspace_is_refused_before_its_cluster_goes(
    provision: Provision,
    recorded: Recorded,
    infrastructure: str,
    words: list[str],
    properties: dict[str, Any],
    refused: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorded.answers["az resource show --resource-group rg-dev --name mlw-dev"] = {"properties": properties}
    assert provision(infrastructure, *words, add_ons=("private-network",)) == int(refused)
    if refused:
        assert "first run `uv run mlops teardown --environment dev --all`" in capsys.readouterr().err
        assert recorded.ran("terraform", "deployment sub") == []


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
@pytest.mark.parametrize("words", [[], ["--plan"]])
@pytest.mark.parametrize(
    ("mode", "public", "refused"),
    [
        ("AllowInternetOutbound", "Disabled", True),
        ("AllowOnlyApprovedOutbound", "Disabled", True),
        ("AllowInternetOutbound", "Enabled", False),
        ("Disabled", "Disabled", False),
        (None, "Enabled", False),
    ],
)
def test_a_closed_workspace_is_not_opened_by_an_answer_less(
    provision: Provision,
    recorded: Recorded,
    infrastructure: str,
    words: list[str],
    mode: str | None,
    public: str,
    refused: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    properties = {"managedNetwork": mode and {"isolationMode": mode}, "publicNetworkAccess": public}
    recorded.answers["az resource show --resource-group rg-dev --name mlw-dev"] = {"properties": properties}
    assert provision(infrastructure, *words) == int(refused)
    if refused:
        assert "put the add-on private-network back" in capsys.readouterr().err
        assert recorded.ran("terraform", "deployment sub") == []


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
@pytest.mark.parametrize(("outbound", "refused"), [("internet", True), ("approved", False)])
def test_the_way_back_from_approved_hosts_is_refused_before_anything_changes(
    provision: Provision,
    recorded: Recorded,
    tmp_path: Path,
    infrastructure: str,
    outbound: str,
    refused: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "project"
    equipped(root, infrastructure, ["private-network"])
    set_key(root / "config" / "dev.yml", "network.outbound", outbound)
    recorded.answers["az rest --method get"] = None
    properties = {"managedNetwork": {"isolationMode": "AllowOnlyApprovedOutbound"}, "publicNetworkAccess": "Disabled"}
    recorded.answers["az resource show --resource-group rg-dev --name mlw-dev"] = {"properties": properties}
    assert provision(infrastructure, add_ons=("private-network",)) == int(refused)
    if refused:
        assert "undo network.outbound in config/dev.yml" in capsys.readouterr().err
        assert recorded.ran("terraform", "deployment sub") == []


KEY = {
    "key_id": "https://v.vault.azure.net/keys/k/0123456789abcdef0123456789abcdef",
    "vault_id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v",
    "identity_id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i",
    "identity_client_id": "00000000-0000-0000-0000-0000000000aa",
}


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
@pytest.mark.parametrize("words", [[], ["--plan"]])
@pytest.mark.parametrize(
    ("workspace", "refused"),
    [
        (None, False),
        ({"properties": {}}, True),
        ({"properties": {"encryption": {"status": "Disabled"}}}, True),
        ({"properties": {"encryption": {"status": "Enabled"}}}, False),
    ],
    ids=["none yet", "without", "off", "with"],
)
def test_a_key_for_a_workspace_that_was_made_without_one_is_refused_before_terraform_replaces_it(
    provision: Provision,
    recorded: Recorded,
    tmp_path: Path,
    infrastructure: str,
    words: list[str],
    workspace: dict[str, Any] | None,
    refused: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "project"
    equipped(root, infrastructure)
    set_key(root / "config" / "dev.yml", "security.customer_key", KEY)
    recorded.answers["az resource show --resource-group rg-dev --name mlw-dev"] = workspace
    assert provision(infrastructure, *words, add_ons=()) == int(refused)
    if refused:
        error = capsys.readouterr().err
        assert "first run `uv run mlops teardown --environment dev --all`" in error
        assert "take security.customer_key out of config/dev.yml" in error
        assert recorded.ran("terraform", "deployment sub") == []


def test_terraform_checks_without_an_account(provision: Provision, recorded: Recorded) -> None:
    assert provision("terraform", "--check") == 0
    prefix = "terraform -chdir=infrastructure/terraform"
    assert recorded.ran("") == [
        f"{prefix} fmt -check -recursive",
        f"{prefix} init -input=false -backend=false",
        f"{prefix} validate",
        f"{prefix} test",
    ]


def test_an_error_of_a_check_is_an_error_of_the_command(provision: Provision, recorded: Recorded) -> None:
    recorded.answers["terraform validate"] = recorded.answers["validate"] = Refusal("Invalid reference")
    assert provision("terraform", "--check") == 1
    assert recorded.ran(" test") == []


# Bicep.


def test_bicep_deploys_the_environments_file_and_shows_the_outputs(
    provision: Provision, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    assert provision("bicep", "--environment", "dev") == 0
    [create] = recorded.ran("deployment sub create")
    assert create == (
        "az deployment sub create --name mlw-dev --location westeurope "
        "--parameters infrastructure/bicep/dev.bicepparam --output none"
    )
    assert 'workspace = "mlw-dev"\n' in capsys.readouterr().out


def test_bicep_shows_what_would_change_and_changes_nothing(provision: Provision, recorded: Recorded) -> None:
    assert provision("bicep", "--plan", "--environment", "prod") == 0
    assert recorded.ran("az deployment") == [
        "az deployment sub what-if --name mlw-prod --location northeurope --parameters "
        "infrastructure/bicep/prod.bicepparam --validation-level ProviderNoRbac"
    ]


def test_bicep_checks_every_environment_without_an_account(provision: Provision, recorded: Recorded) -> None:
    assert provision("bicep", "--check") == 0
    lines = recorded.ran("")
    assert [line.split()[2] for line in lines] == ["lint", "build", "build-params", "build-params", "build-params"]
    assert lines[2] == (
        "az bicep build-params --file infrastructure/bicep/dev.bicepparam --outfile .local/bicep/dev.json"
    )


RULES = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/mlw-dev/outboundRules"


def rule(name: str, category: str = "UserDefined", host: str = "mine.example.com") -> dict[str, Any]:
    """An outbound rule, as Azure lists it."""
    properties = {"category": category, "type": "FQDN", "destination": host}
    return {"id": f"{RULES}/{name}", "name": name, "properties": properties}


def test_bicep_deletes_the_outbound_rules_that_are_no_longer_in_the_config(
    provision: Provision, recorded: Recorded
) -> None:
    """No deployment deletes one, so that a host which was taken off would stay within reach."""
    kept = ["host-a_example_com", "rule-packages", "storage-queue"]
    recorded.answers["az deployment group show"] = [f"{RULES}/{name}" for name in kept] + [
        f"{GROUP}/providers/x/y/host-_example_com"
    ]
    old = ["host-_example_com", "rule-database", "lake-dfs"]
    others = [rule("by-hand"), rule("host-of-mine"), rule("host-7", "Required")]
    recorded.answers["az rest --method get"] = {"value": [*map(rule, [*kept, *old]), *others]}
    assert provision("bicep", add_ons=("private-network",)) == 0
    assert [line.split("/outboundRules/")[1].split()[0] for line in recorded.ran("--method delete")] == old
    assert [line.split("--name ")[1].split()[0] for line in recorded.ran("wait --deleted")] == old


def test_bicep_deletes_the_numbered_rules_of_hosts_before_it_makes_those_with_names(
    provision: Provision, recorded: Recorded, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Until v0.13 the rules had numbers. Azure has one rule for a destination."""
    equipped(tmp_path / "project", "bicep", ["private-network"])
    file = tmp_path / "project" / "config" / "dev.yml"
    set_key(file, "network.outbound", "approved")
    set_key(file, "network.outbound_hosts", ["a.example.com"])
    # Without its host in the config, number 12 is known by the record of the deployment that made it.
    recorded.answers["az deployment group show"] = [f"{RULES}/{name}" for name in ("host-12", "storage-queue")]
    there = [rule("host-0", host="a.example.com"), *map(rule, ["host-12", "host-of-mine", "host-a_example_com"])]
    recorded.answers["az rest --method get"] = {"value": [rule("host-3", "Required"), *there, rule("rule-packages")]}
    assert provision("bicep") == 0
    steps = [line.split("/outboundRules/")[-1] for line in recorded.ran("--method delete", "deployment sub create")]
    assert [step.split()[0] for step in steps][:3] == ["host-0", "host-12", "az"]
    assert "deletes the outbound rules host-0, host-12, minutes for each\n" in capsys.readouterr().out


@pytest.mark.parametrize("record", [None, [f"{RULES}/storage-queue"]], ids=["no record", "a record without it"])
def test_bicep_leaves_a_users_rule_with_a_number_and_names_it(
    provision: Provision,
    recorded: Recorded,
    tmp_path: Path,
    record: list[str] | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    equipped(tmp_path / "project", "bicep", ["private-network"])
    file = tmp_path / "project" / "config" / "dev.yml"
    set_key(file, "network.outbound", "approved")
    set_key(file, "network.outbound_hosts", ["a.example.com"])
    tag = rule("host-6") | {"properties": {"category": "UserDefined", "destination": {"serviceTag": "Sql"}}}
    recorded.answers["az deployment group show"] = record
    recorded.answers["az rest --method get"] = {"value": [rule("host-5"), tag]}
    assert provision("bicep") == 0
    assert recorded.ran("--method delete") == []
    said = "left alone: the outbound rules host-5 (mine.example.com), host-6 ({'serviceTag': 'Sql'})\n"
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("words", [("--plan",), ("--dry-run",)])
def test_a_preview_deletes_no_outbound_rule(provision: Provision, recorded: Recorded, words: tuple[str, ...]) -> None:
    recorded.answers["az deployment group show"] = []
    recorded.answers["az rest --method get"] = {"value": [rule("host-0")]}
    assert provision("bicep", *words, add_ons=("private-network",)) == 0
    assert recorded.ran("--method delete") == []


def test_without_a_record_of_the_deployment_no_rule_is_deleted(provision: Provision, recorded: Recorded) -> None:
    recorded.answers["az rest --method get"] = {"value": [rule("host-0")]}
    assert provision("bicep", add_ons=("private-network",)) == 0
    assert recorded.ran("--method delete") == []


def test_bicep_brings_a_deleted_vault_back_before_it_deploys(provision: Provision, recorded: Recorded) -> None:
    recorded.answers["az keyvault show-deleted"] = {"name": "key-vault-dev"}
    assert provision("bicep") == 0
    assert [" ".join(line.split()[1:3]) for line in recorded.ran("az ")] == [
        "resource show", "account show", "keyvault show-deleted", "group create", "keyvault recover",
        "resource show", "deployment sub", "deployment sub", "resource show",
    ]  # fmt: skip
    assert "--tags managed_by=mlops-template project=a-project" in recorded.ran("group create")[0]


def test_bicep_deploys_also_for_those_who_may_not_look_for_deleted_vaults(
    provision: Provision, recorded: Recorded
) -> None:
    recorded.answers["az keyvault show-deleted"] = Refusal("(AuthorizationFailed) no")
    assert provision("bicep") == 0
    assert recorded.ran("deployment sub create")


def test_bicep_leaves_the_first_day_of_a_budget_as_it_is(provision: Provision, recorded: Recorded) -> None:
    budget = {"properties": {"timePeriod": {"startDate": "2026-03-01T00:00:00Z"}}}
    recorded.answers["--name budget-dev --resource-type Microsoft.Consumption/budgets"] = budget
    for words in (["--plan"], []):
        assert provision("bicep", *words) == 0
    assert len(recorded.ran("--parameters budgetStart=2026-03-01")) == 2


@pytest.mark.parametrize("exists", [False, True])
def test_bicep_leaves_a_compute_instance_that_exists_as_it_is(
    provision: Provision, recorded: Recorded, exists: bool
) -> None:
    recorded.answers["--resource-type computes"] = {"id": "x"} if exists else None
    for words in (["--plan"], []):
        assert provision("bicep", *words, add_ons=("user-with-compute-instance",)) == 0
    assert len(recorded.ran("--parameters existingInstances=['ci-ada-a1b2c3']")) == 2 * exists
    assert recorded.ran("--name ci-ada-a1b2c3") == 2 * [
        "az resource show --resource-group rg-dev --name ci-ada-a1b2c3 --namespace Microsoft.MachineLearningServices "
        "--resource-type computes --parent workspaces/mlw-dev --output json"
    ]


@pytest.mark.parametrize(("environment", "add_ons"), [("dev", ()), ("test", ("user-with-compute-instance",))])
def test_without_a_user_of_a_compute_instance_no_query_looks_for_one(
    provision: Provision, recorded: Recorded, environment: str, add_ons: tuple[str, ...]
) -> None:
    assert provision("bicep", "--environment", environment, add_ons=add_ons) == 0
    assert recorded.ran("computes", "existingInstances") == []


# Both.


@pytest.mark.parametrize(
    ("infrastructure", "shown"),
    [("terraform", "-var online_endpoint_exists=true"), ("bicep", "--parameters onlineEndpointExists=true")],
)
@pytest.mark.parametrize("exists", [False, True])
def test_the_logs_of_the_endpoint_are_collected_once_there_is_one(
    provision: Provision, recorded: Recorded, infrastructure: str, shown: str, exists: bool
) -> None:
    recorded.answers["--resource-type onlineEndpoints"] = {"id": "x"} if exists else None
    assert provision(infrastructure, "--plan", add_ons=("monitoring",)) == 0
    assert bool(recorded.ran(shown)) == exists
    assert recorded.ran("--name online-dev") == [
        "az resource show --resource-group rg-dev --name online-dev --namespace Microsoft.MachineLearningServices "
        "--resource-type onlineEndpoints --parent workspaces/mlw-dev --output json"
    ]


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
@pytest.mark.parametrize("closed", [True, False])
def test_spark_gets_into_the_network_of_a_closed_workspace_once_that_is_built(
    provision: Provision, recorded: Recorded, infrastructure: str, closed: bool, tmp_path: Path
) -> None:
    add_ons = ("private-network",) if closed else ()
    assert provision(infrastructure, "--plan", add_ons=add_ons) == 0
    assert recorded.ran("provisionManagedNetwork") == []
    assert provision(infrastructure) == 0
    command = (
        "az rest --method post --url /subscriptions/{subscriptionId}/resourceGroups/rg-dev/providers/"
        "Microsoft.MachineLearningServices/workspaces/mlw-dev/provisionManagedNetwork --url-parameters "
        "api-version=2026-05-01 --body @.local/azure/provision-network.json"
    )
    assert recorded.ran("provisionManagedNetwork") == [command] * closed
    body = tmp_path / "project" / ".local" / "azure" / "provision-network.json"
    assert body.exists() == closed
    assert not closed or json.loads(body.read_text(encoding="utf-8")) == {"includeSpark": True}


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
def test_without_monitoring_no_query_looks_for_the_endpoint(
    provision: Provision, recorded: Recorded, infrastructure: str
) -> None:
    assert provision(infrastructure, "--plan") == 0
    assert recorded.ran("onlineEndpoints") == []


@pytest.mark.parametrize(
    ("infrastructure", "shown"),
    [("terraform", f"-var deployer_principal_id={PERSON}"), ("bicep", f"deployerPrincipalId={PERSON}")],
)
def test_the_verbs_can_be_meant_for_another_identity(
    provision: Provision, recorded: Recorded, infrastructure: str, shown: str
) -> None:
    assert provision(infrastructure, "--deployer", PERSON) == 0
    assert recorded.ran(shown)


def test_an_identity_is_an_object_id(provision: Provision, capsys: pytest.CaptureFixture[str]) -> None:
    assert provision("bicep", "--deployer", "ada@example.com") == 1
    assert "write an object id" in capsys.readouterr().err


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
@pytest.mark.parametrize("words", [[], ["--plan"], ["--check"]])
def test_a_dry_run_runs_nothing(
    provision: Provision, recorded: Recorded, infrastructure: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert provision(infrastructure, "--dry-run", *words, add_ons=("monitoring",)) == 0
    assert recorded.log == []
    assert f"infrastructure/{infrastructure}" in capsys.readouterr().out


def test_for_another_owners_workspace_there_is_nothing_to_do(
    provision: Provision, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    assert provision("existing", "--check") == 0
    assert capsys.readouterr().out == "Workspace mlw-dev is not the project's own: there is nothing to provision.\n"
    for words in ([], ["--plan"]):
        assert provision("existing", *words) == 1
        assert "there is nothing to provision; `uv run mlops doctor --environment dev`" in capsys.readouterr().err
    assert recorded.log == []


def test_a_plan_is_no_check(provision: Provision, capsys: pytest.CaptureFixture[str]) -> None:
    assert provision("terraform", "--plan", "--check") == 1
    assert "choose one" in capsys.readouterr().err


# In a workflow.


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the outputs and of the page of a run."""
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    (tmp_path / "output").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("infrastructure", "line"),
    [("terraform", "Plan: 1 to add, 0 to change, 0 to destroy."), ("bicep", "Resource changes: 1 to create.")],
)
def test_who_approves_sees_the_plan_on_the_page_of_the_run(
    provision: Provision, page: Path, infrastructure: str, line: str
) -> None:
    assert provision(infrastructure, "--plan", "--summary", ".local/plan.md") == 0
    text = (page / "summary").read_text(encoding="utf-8")
    assert text.startswith(f"## Infrastructure of dev\n\n{line}\n\n<details>")
    assert text.strip() == (page / "project" / ".local" / "plan.md").read_text(encoding="utf-8").strip()


def test_a_long_plan_fits_into_a_comment_and_its_backticks_end_no_block() -> None:
    text = plan_summary("dev", "\x1b[1m+ create\x1b[0m `````\n" * 5000 + "Plan: 5 to add.")
    assert len(text) < 65_536
    assert "\x1b" not in text
    assert text.splitlines()[2] == "Plan: 5 to add."
    assert "\n``````text\n" in text
    assert "the rest is in the log" in text


def test_a_summary_needs_a_plan(provision: Provision, capsys: pytest.CaptureFixture[str]) -> None:
    assert provision("terraform", "--summary", "plan.md") == 1
    assert "--summary is the text of a plan: add --plan" in capsys.readouterr().err


def test_a_plan_of_another_identity_leaves_the_rights_of_the_workflows_as_they_are(
    provision: Provision, recorded: Recorded
) -> None:
    assert provision("terraform", "--plan", "--deployer", "workflows") == 0
    assert recorded.ran(f"-var deployer_principal_id={PRINCIPAL}")
    recorded.answers["az identity show"] = None
    assert provision("terraform", "--plan", "--deployer", "workflows") == 1


def test_new_rights_are_waited_for_and_then_it_goes_on(
    provision: Provision, recorded: Recorded, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pauses: list[float] = []

    def arrive(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            del recorded.answers[" init "]

    recorded.answers[" init "] = Refusal("RESPONSE 403\nERROR CODE: AuthorizationPermissionMismatch")
    monkeypatch.setattr("mlops.infrastructure.provisioned.time.sleep", arrive)
    assert provision("terraform", "--retry-minutes", "10") == 0
    assert pauses == [15, 15, 15]
    assert capsys.readouterr().out.count("A right is missing: new ones need some minutes, 10 at most.") == 1


@pytest.mark.parametrize(("words", "minutes"), [((), 5), (("--retry-minutes", "2"), 5), (("--retry-minutes", "6"), 6)])
@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
def test_the_roles_of_the_workspaces_identity_are_waited_for_in_each_apply(
    provision: Provision,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    infrastructure: str,
    words: tuple[str, ...],
    minutes: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The same apply has granted them, seconds before Azure makes the workspace with them."""
    waited: list[float] = []
    for line in ("apply", "deployment sub create"):
        recorded.answers[line] = Refusal("(FailedIdentityOperation) Identity operation for resource failed")
    monkeypatch.setattr("mlops.infrastructure.provisioned.time.sleep", waited.append)
    assert provision(infrastructure, *words) == 1
    assert sum(waited) == minutes * 60
    assert "a role that has not taken effect yet" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "pauses"), [("ERROR CODE: AuthorizationFailure", 8), ("(SkuNotAvailable) no", 0)], ids=["right", "other"]
)
def test_a_right_that_never_comes_is_named_and_another_error_not_waited_for(
    provision: Provision,
    recorded: Recorded,
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    pauses: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    waited: list[float] = []
    recorded.answers[" init "] = Refusal(said)
    monkeypatch.setattr("mlops.infrastructure.provisioned.time.sleep", waited.append)
    assert provision("terraform", "--retry-minutes", "2") == 1
    assert len(waited) == pauses
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize(
    ("there", "add_ons", "words", "trains"),
    [
        (None, (), (), "train=true\n"),
        ({"name": "model"}, (), (), "train=false\n"),
        (None, (), ("--environment", "test"), "train=false\n"),
        # The runner has to come into the network before.
        (None, ("private-network",), (), "train=false\n"),
        (None, (), ("--plan",), ""),
    ],
    ids=["no model", "a model", "no training here", "closed", "a plan"],
)
def test_a_new_workspace_that_trains_gets_its_first_model(
    provision: Provision,
    recorded: Recorded,
    page: Path,
    there: object,
    add_ons: tuple[str, ...],
    words: tuple[str, ...],
    trains: str,
) -> None:
    recorded.answers["--resource-type models"] = there
    assert provision("terraform", *words, add_ons=add_ons) == 0
    assert (page / "output").read_text(encoding="utf-8") == trains


# Errors.


@pytest.mark.parametrize(("infrastructure", "program"), [("terraform", "terraform"), ("bicep", "az")])
def test_a_missing_program_is_one_line_with_its_remedy(
    provision: Provision, recorded: Recorded, infrastructure: str, program: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.missing = {program}
    assert provision(infrastructure) == 1
    assert capsys.readouterr().err.startswith(f"error: {program} is not installed: see https://")


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
def test_a_missing_login_is_one_line_with_its_remedy(
    provision: Provision, recorded: Recorded, infrastructure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    refusal = Refusal("Please run 'az login' to setup account.")
    recorded.answers |= {"az account": refusal, "az resource": refusal, "az keyvault": refusal}
    del recorded.answers["az account show"], recorded.answers["az resource show"]
    assert provision(infrastructure) == 1
    assert capsys.readouterr().err == "error: you are not signed in to Azure: run `az login`\n"


# What `terraform init` writes.
NO_STATE = [
    'Error: Failed to get existing workspaces: listing blobs: executing request: Get "https://st.example/c": dial tcp: '
    "lookup st.example: no such host",
    "RESPONSE 403: 403 This request is not authorized ...\nERROR CODE: AuthorizationFailure",
    "RESPONSE 404: 404 The specified container does not exist.\nERROR CODE: ContainerNotFound",
    "RESPONSE 403: 403 This request is not authorized ...\nERROR CODE: AuthorizationPermissionMismatch",
    "Error: retrieving Storage Account: unexpected status 404 (404 Not Found) with error: ResourceNotFound: no",
]

REFUSED = "StatusCode=403 -- Original Error: Code=AuthorizationFailure This request is not authorized to perform this"


def test_a_machine_that_the_firewall_of_the_state_refuses_is_told_whom_it_admits(
    provision: Provision, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.answers[" init "] = Refusal(REFUSED)
    assert provision("terraform") == 1
    assert capsys.readouterr().err.endswith("(details above). Or its firewall keeps this machine out\n")
    for path in Path("config").glob("*.yml"):
        if path.stem != "model":
            set_key(path, "terraform_state.firewall", {"addresses": ["20.50.7.9"]})
    assert provision("terraform") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.endswith("(details above). Or its firewall keeps this machine out: it admits 20.50.7.9 alone")
    recorded.answers[" init "] = Refusal(NO_STATE[3])
    assert provision("terraform") == 1
    assert "firewall" not in capsys.readouterr().err  # it lets this machine in, and the role is missing


@pytest.mark.parametrize("said", NO_STATE)
def test_a_missing_state_store_is_named_with_the_verb_that_makes_it(
    provision: Provision, recorded: Recorded, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.answers[" init "] = Refusal(said)
    assert provision("terraform") == 1
    error = capsys.readouterr().err
    assert "container tfstate in storage account ststate exist" in error
    assert "uv run mlops bootstrap --environment dev" in error


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Error: Failed to query available provider packages", "Failed to query available provider packages\n"),
        ("Error: building account: could not acquire access token: please run 'az login'", "run `az login`\n"),
    ],
)
def test_another_error_of_init_is_not_blamed_on_the_state_store(
    provision: Provision, recorded: Recorded, said: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.answers[" init "] = Refusal(said)
    assert provision("terraform") == 1
    error = capsys.readouterr().err
    assert error.endswith(shown)
    assert "container" not in error


@pytest.mark.parametrize("exists", [False, True])
def test_terraform_need_not_delete_a_compute_instance(tmp_path: Path, recorded: Recorded, exists: bool) -> None:
    """It would not say what is to become of the machine, as Azure demands; without the record it does not try."""
    if "terraform" not in TOOLS:
        pytest.skip("this project has another infrastructure")
    recorded.answers["--resource-type computes"] = {"id": "x"} if exists else None
    with recorded.in_place():
        project = equipped(tmp_path / "project", "terraform")
        infrastructure.of(project).provision(load_environment(project, "dev"), "destroy")
    place = "--resource-group rg-dev --name ci-ada-a1b2c3"
    init, *changes, destroy = [line for line in recorded.ran("") if not line.endswith(("--output json", "-json"))]
    assert init.startswith("terraform ")
    assert changes == exists * [
        "az rest --method delete --url /subscriptions/{subscriptionId}/resourceGroups/rg-dev/providers/"
        "Microsoft.MachineLearningServices/workspaces/mlw-dev/computes/ci-ada-a1b2c3 --url-parameters "
        "api-version=2026-05-01 underlyingResourceAction=Delete",
        f"az resource wait --deleted {place} --namespace Microsoft.MachineLearningServices --resource-type computes "
        "--parent workspaces/mlw-dev",
        f"az deployment group delete {place}",
    ]
    assert destroy.startswith(
        "terraform -chdir=infrastructure/terraform destroy -auto-approve -input=false -lock-timeout="
    )


# What Azure writes, and what is shown instead.
ERRORS = {
    "BadRequest: Soft-deleted workspace exists. Please purge or recover it.": "forceToPurge=true",
    "ConflictError: A vault with the same name already exists in deleted state.": "keyvault recover --name",
    "(VaultAlreadyExists) The vault name 'key-vault-dev' is already in use.": "another names.key_vault into config",
    "(StorageAccountAlreadyTaken) The storage account named x is already taken.": "another names.storage_account",
    "(AlreadyInUse) The registry DNS name x.azurecr.io is already in use.": "another names.container_registry",
    "(AuthorizationFailed) The client 'x' does not have authorization to perform action "
    "'Microsoft.Authorization/roleAssignments/write' over scope": "ask for Role Based Access Control Administrator",
    "(AuthorizationFailed) ... action 'Microsoft.Authorization/locks/write'": "ask for the role Locks Contributor",
    "(AuthorizationFailed) The client 'x' does not have authorization to perform action "
    "'Microsoft.Storage/storageAccounts/write'": "ask for Contributor",
    "(ClusterCoreQuotaReached) Operation results in exceeding quota limits.": "the quota of westeurope is too small",
    "QuotaExceeded: not enough quota": "the quota of westeurope is too small",
    "(SkuNotAvailable) The requested size is currently not available": "choose another vm_size",
    "VM size 'Standard_X' is not supported": "choose another vm_size",
    "(MissingSubscriptionRegistration) The subscription is not registered to use namespace 'X'": "mlops doctor",
    "(RequestDisallowedByPolicy) Resource was disallowed by policy.": "a policy of your organisation",
    "Conflict: Data sink '/subscriptions/s/log' is already used in diagnostic setting 'setByPolicy' for category A.": (
        "infrastructure/shared/diagnostics.yml"
    ),
    "(RoleAssignmentUpdateNotPermitted) Tenant ID, application ID, principal ID, and scope are not allowed to be "
    "updated.": "Identity not found",
    "(RoleAssignmentExists) The role assignment already exists.": "az role assignment delete --ids",
    "(BadArgument) underlyingResourceAction is required": "--confirm dev",
    'Error: unable to find the Resource Manager ID for the Key Vault URI "https://kv-hub.vault.azure.net/" in '
    'Subscription (Subscription: "s")': "write a key of a vault there into config/dev.yml",
    "(ResourceNotFound) The Resource 'Microsoft.MachineLearningServices/registries/mlr' was not found": (
        "there is no model registry the-registry that dev could connect to"
    ),
    "(ScopeLocked) The scope cannot perform delete operation": "a lock forbids",
    "(DeploymentActive) Unable to edit or replace deployment": "another run is at work",
    "Error: Error acquiring the state lock": "terraform force-unlock",
}


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
@pytest.mark.parametrize("said", ERRORS)
def test_a_frequent_error_of_azure_is_one_line_with_its_remedy(
    provision: Provision, recorded: Recorded, infrastructure: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for line in ("apply", "deployment sub create"):
        recorded.answers[line] = Refusal(f"{said}\nand many more lines")
    assert provision(infrastructure) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert ERRORS[said] in error


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
def test_an_environment_that_reads_a_registry_elsewhere_is_told_where_to_write_it(
    apart: Provision, recorded: Recorded, infrastructure: str, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = Refusal("(ResourceGroupNotFound) Resource group 'rg-shared' could not be found.")
    recorded.answers |= {" apply ": missing, "deployment sub create": missing}
    assert apart(infrastructure, "--environment", "test") == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "write its id as names.registry_subscription into config/test.yml" in error


def test_an_error_without_a_known_remedy_is_shown_as_it_is(
    provision: Provision, recorded: Recorded, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded.answers["deployment sub create"] = Refusal("(Teapot) I am one")
    assert provision("bicep") == 1
    assert capsys.readouterr().err == "error: `az deployment sub create` failed: (Teapot) I am one\n"


def test_the_command_that_purges_needs_no_ampersand_which_ends_a_command_on_windows(tmp_path: Path) -> None:
    command = purge_command(load_environment(equipped(tmp_path / "project", "bicep"), "dev"))
    assert not [word for word in command if "&" in word]
    assert command[5].endswith(
        f"{GROUP.removeprefix(f'/subscriptions/{SUBSCRIPTION}')}/providers/{ML}/workspaces/mlw-dev"
    )


def test_recorded_answers_fail_as_programs_do(recorded: Recorded) -> None:
    recorded.answers["az x"] = Refusal("no")
    with recorded.in_place(), pytest.raises(CommandError):
        Shell(Path()).read("az", "x")
    with recorded.in_place():
        answer: Any = json.loads(Shell(Path()).read("az", "account", "show"))
    assert answer["id"] == SUBSCRIPTION


@pytest.mark.parametrize("infrastructure", ["terraform", "bicep"])
def test_a_service_that_deploys_names_its_type_because_it_may_grant_to_services_alone(
    provision: Provision, recorded: Recorded, infrastructure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {
        "terraform": "-var deployer_principal_type=ServicePrincipal",
        "bicep": "deployerPrincipalType=ServicePrincipal",
    }
    monkeypatch.delenv("ARM_CLIENT_ID", raising=False)
    assert provision(infrastructure) == 0
    assert not recorded.ran(shown[infrastructure])
    account = recorded.answers["az account show"]
    recorded.answers["az account show"] = account | {"user": {"name": "client", "type": "servicePrincipal"}}
    monkeypatch.setenv("ARM_USE_OIDC", "true")
    monkeypatch.setenv("ARM_SUBSCRIPTION_ID", "s")
    assert provision(infrastructure) == 0
    assert recorded.ran(shown[infrastructure])
    assert provision(infrastructure, "--deployer", PERSON) == 0
    assert len(recorded.ran(shown[infrastructure])) == 1
