"""checkov finds nothing in the Terraform of a project that is not explained here, and finds what is loosened.

It does not read Bicep well enough to be believed (it passes files that it cannot parse): parity with Terraform
(test_parity.py) and the policy table in test_bicep.py stand in for it there.
"""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from combinations import USERS, add_on_sets
from conftest import Render, run_uv
from resident_terraform import terraform
from terraform_plan import plans
from test_terraform import edit

pytestmark = [pytest.mark.big, pytest.mark.xdist_group("policy")]

CHECKOV = "checkov@3.3.30"
NONE, ALL = add_on_sets()[:2]

STORAGE, LAKE = "azurerm_storage_account.this", "module.data_lake.azurerm_storage_account.this"
REGISTRY, VAULT = "azurerm_container_registry.this", "azurerm_key_vault.this"
WORKSPACE = "azurerm_machine_learning_workspace.this"
CLUSTER = "azurerm_machine_learning_compute_cluster.this"

# Why a finding stays, and for which resources. The first ones are true of the files and not of what they build: checkov
# does not read config/<environment>.yml. Where it reads the values instead, they must be gone.
BY_CONFIG = {
    "CKV_AZURE_35": ("The firewall denies when the private network is chosen.", STORAGE, LAKE),
    "CKV_AZURE_59": ("Public access is off when the private network is chosen.", STORAGE, LAKE),
    "CKV_AZURE_139": ("Public access is off when the private network is chosen.", REGISTRY),
    "CKV_AZURE_189": ("Public access is off when the private network is chosen.", VAULT),
    "CKV2_AZURE_49": ("Public access is off when the private network is chosen.", WORKSPACE),
    "CKV_AZURE_150": ("The fewest nodes come from the config, which has 0.", CLUSTER),
}
EXPLAINED = {
    "CKV2_AZURE_32": ("The private endpoint comes with the add-on private-network.", VAULT),
    "CKV2_AZURE_33": ("It comes with the add-on; checkov loses the data lake between two modules.", STORAGE, LAKE),
    "CKV2_AZURE_50": ("Counts for workspaces of high business impact, which are closed by the add-on.", WORKSPACE),
    "CKV_AZURE_33": ("Means the classic logs of Storage; diagnostic settings took their place.", STORAGE, LAKE),
    "CKV2_AZURE_21": (
        "Means the classic logs of Storage; each read of training data would be a line.",
        "module.data_lake.azurerm_storage_container.data",
    ),
    "CKV_AZURE_163": ("Microsoft Defender scans images; it is bought for a subscription.", REGISTRY),
    "CKV_AZURE_164": ("Azure gives this way of signing up in 2028, and azurerm 5 no longer has the setting.", REGISTRY),
    "CKV_AZURE_165": ("One environment runs in one region.", REGISTRY),
    "CKV_AZURE_166": ("Quarantine waits for a scanner that releases images; none comes with Azure.", REGISTRY),
    "CKV_AZURE_167": ("Premium only, and the images that Azure ML builds are tagged.", REGISTRY),
    "CKV_AZURE_233": ("Azure spreads every registry over zones by itself where a region has them.", REGISTRY),
    "CKV_AZURE_237": ("For firewalls that let single registries through; a private endpoint does that.", REGISTRY),
}

# Looser settings, and the check that must notice each; it knows some arguments by their names in azurerm 4 only.
LOOSENED = {
    "CKV2_AZURE_40": (
        "storage.tf",
        "= local.storage.shared_keys",
        "= true",
    ),
    "CKV_AZURE_244": (
        "storage.tf",
        "local_user_enabled              = false",
        "local_user_enabled              = true",
    ),
    "CKV_AZURE_190": ("storage.tf", "items_to_be_public  = false", "items_to_be_public  = true"),
    "CKV_AZURE_44": ("modules/data-lake/main.tf", "TLS1_2", "TLS1_0"),
    "CKV_AZURE_36": ("storage.tf", '? ["AzureServices"] : ["AzureServices", "Logging", "Metrics"]', "? [] : []"),
    "CKV_AZURE_42": ("main.tf", "= local.config.security.purge_protection", "= false"),
    "CKV_AZURE_137": ("main.tf", "admin_enabled          = false", "admin_enabled          = true"),
    "CKV_AZURE_142": ("workspace.tf", "local_auth_enabled        = false", "local_auth_enabled        = true"),
    "CKV_AZURE_144": ("workspace.tf", "= !local.closed\n\n  # ACR", "= true\n\n  # ACR"),
    "CKV_AZURE_34": ("modules/data-lake/main.tf", '"private"', '"blob"'),
}

Checked = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def checked(uv: str, tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """The findings of checkov about a folder of Terraform, or about a plan."""
    folder = tmp_path_factory.mktemp("checkov")
    command = ("tool", "run", "--quiet", "--python", "3.11", CHECKOV)
    if (started := run_uv(uv, folder, *command, "--version")).returncode:
        assert "Failed to fetch" in started.stderr or "the network was disabled" in started.stderr, started.stderr
        pytest.skip("no package index can be reached")

    def check(*what: str) -> dict[str, Any]:
        result = run_uv(uv, folder, *command, *what, "--skip-download", "--compact", "--output", "json")
        assert result.returncode in (0, 1), result.stderr
        found: dict[str, Any] = json.loads(result.stdout)
        assert found["summary"]["parsing_errors"] == 0
        assert found["summary"]["resource_count"] > 10
        return found

    return check


@pytest.fixture(scope="session")
def rendered(render: Render) -> Callable[..., Path]:
    """The Terraform of a project with these add-ons; read it, do not write to it."""

    @cache
    def find(*add_ons: str) -> Path:
        project = render(infrastructure_version="terraform", add_ons=list(add_ons), instance_users=USERS)
        return project / "infrastructure" / "terraform"

    return find


@pytest.fixture(scope="session")
def findings(checked: Checked, rendered: Callable[..., Path]) -> dict[str, set[tuple[str, str]]]:
    """Check and resource of each finding, without add-ons and with all of them."""
    names = {"nothing": NONE, "everything": ALL}
    return {
        name: failed(checked("--framework", "terraform", "--directory", str(rendered(*names[name])))) for name in names
    }


def failed(found: dict[str, Any]) -> set[tuple[str, str]]:
    # A resource of a plan carries its key; the files have it once.
    return {(each["check_id"], each["resource"].partition("[")[0]) for each in found["results"]["failed_checks"]}


@pytest.mark.parametrize("add_ons", ["nothing", "everything"])
def test_every_finding_is_explained(findings: dict[str, set[tuple[str, str]]], add_ons: str) -> None:
    explained = {(check, name) for check, (_, *names) in (BY_CONFIG | EXPLAINED).items() for name in names}
    assert findings[add_ons] - explained == set()


def test_every_explanation_is_needed(findings: dict[str, set[tuple[str, str]]]) -> None:
    explained = {(check, name) for check, (_, *names) in (BY_CONFIG | EXPLAINED).items() for name in names}
    assert explained - findings["nothing"] - findings["everything"] == set()


def test_what_the_config_decides_is_no_finding_in_what_is_built(
    checked: Checked, rendered: Callable[..., Path], tools: Path, tmp_path: Path
) -> None:
    project = rendered(*ALL).parents[1]
    for name in ("infrastructure", "config"):
        shutil.copytree(project / name, tmp_path / name)
    module = tmp_path / "infrastructure" / "terraform"
    terraform(module, tools, "init", "-backend=false")
    built = plans(module, ("prod",), lambda *arguments: terraform(module, tools, "test", *arguments).stdout)["prod"]
    resources = [
        {
            "address": each.address,
            "mode": "managed",
            "type": each.type,
            "name": each.address.rpartition(".")[2],
            "values": each.values,
        }
        for each in built.resources
    ]
    plan = {
        "format_version": "1.2",
        "terraform_version": "1.11.0",
        "planned_values": {"root_module": {"resources": resources}},
        "resource_changes": [
            {**each, "change": {"actions": ["create"], "before": None, "after": each["values"], "after_unknown": {}}}
            for each in resources
        ],
        "configuration": {"root_module": {}},
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    found = checked("--framework", "terraform_plan", "--file", str(tmp_path / "plan.json"))
    assert {check for check, _ in failed(found)} & BY_CONFIG.keys() == set()


def test_a_loosened_setting_is_a_finding(
    checked: Checked, rendered: Callable[..., Path], tmp_path: Path, findings: dict[str, set[tuple[str, str]]]
) -> None:
    module = tmp_path / "terraform"
    shutil.copytree(rendered(*ALL), module)
    for file, old, new in LOOSENED.values():
        edit(module / file, {old: new})
    found = failed(checked("--framework", "terraform", "--directory", str(module))) - findings["everything"]
    assert LOOSENED.keys() - {check for check, _ in found} == set()
