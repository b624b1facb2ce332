"""Terraform: each step is one command, shown before it runs."""

import os
import re

from mlops.config import EnvironmentConfig, Project, TerraformState
from mlops.errors import CommandError, UserError
from mlops.infrastructure import Action
from mlops.infrastructure.workspace import (
    CURES,
    admit_spark,
    delete_instance,
    existing_instances,
    online_endpoint_exists,
)
from mlops.shell import Shell
from mlops.subscription import account as azure

FOLDER = "infrastructure/terraform"

NO_STATE = "no such host|ResourceNotFound|ContainerNotFound|AuthorizationFailure|AuthorizationPermissionMismatch"
"""What `terraform init` writes without account or container of the state, and without the right to them."""


def provision(
    project: Project, config: EnvironmentConfig, action: Action, *, dry_run: bool, deployer: str | None = None
) -> None:
    """Initialise Terraform for the environment's state, then apply, plan or destroy; a check needs no account."""
    shell = Shell(project.root, dry_run, CURES)
    if action == "check":
        _check(shell)
        return
    variables = _login(shell)
    plan = project.root / ".local" / "terraform" / f"{config.environment}.tfplan"
    plan.parent.mkdir(parents=True, exist_ok=True)

    def terraform(*words: str) -> None:
        shell.run("terraform", f"-chdir={FOLDER}", *words, variables=variables)

    try:
        # -reconfigure: each environment has its own state, and none is ever copied into another's.
        terraform("init", "-input=false", "-reconfigure", *_backend(config))
    except CommandError as error:
        if not re.search(NO_STATE, error.output):
            raise
        state = _state(config)
        raise UserError(
            f"terraform init failed: does the state's container {state.container} in storage account "
            f"{state.storage_account} exist, and have you the role Storage Blob Data Contributor on it? "
            f"`uv run mlops bootstrap --environment {config.environment}` sees to both (details above)"
        ) from error
    # A plan may be cut off, as that of a pull request is by the next push, and its lock would stay and block the next
    # apply (hashicorp/setup-terraform#441).
    lock = "-lock=false" if action == "plan" else "-lock-timeout=10m"
    arguments = ["-input=false", lock, "-var", f"environment={config.environment}"]
    if deployer:
        arguments += ["-var", f"deployer_principal_id={deployer}"]
    if action == "destroy":
        for instance in existing_instances(shell, project, config):
            delete_instance(shell, config, instance)
        terraform("destroy", "-auto-approve", *arguments)
        return
    exists = online_endpoint_exists(shell, project, config)
    arguments += ["-var", f"online_endpoint_exists={str(exists).lower()}"]
    # Terraform starts in its own folder, so the plan's path is seen from there.
    file = f"../../{plan.relative_to(project.root).as_posix()}"
    terraform("plan", *arguments, f"-out={file}")
    if action == "apply":
        # Azure loses rules of a managed network that are made at the same time (Azure/terraform-provider-azapi#453).
        pace = ["-parallelism=1"] if config.closed else []
        # What is applied is the plan that was shown, and no other.
        terraform("apply", "-input=false", lock, *pace, file)
        plan.unlink(missing_ok=True)
        admit_spark(shell, config)


def _check(shell: Shell) -> None:
    """Run what Terraform can say without an account: format, validity, and the project's own tests."""
    for words in (
        ["fmt", "-check", "-recursive"],
        ["init", "-input=false", "-backend=false"],
        ["validate"],
        ["test"],
    ):
        shell.run("terraform", f"-chdir={FOLDER}", *words)


def _state(config: EnvironmentConfig) -> TerraformState:
    # `load_environment` refuses a Terraform project without it.
    assert config.terraform_state is not None
    return config.terraform_state


def _backend(config: EnvironmentConfig) -> list[str]:
    state = _state(config)
    values = {
        "resource_group_name": state.resource_group,
        "storage_account_name": state.storage_account,
        "container_name": state.container,
        "key": state.key,
        "use_azuread_auth": "true",
    }
    if _oidc():
        values["use_oidc"] = "true"
    return [f"-backend-config={key}={value}" for key, value in values.items()]


def _login(shell: Shell) -> dict[str, str]:
    """Return the variables that Terraform needs beside those of the terminal.

    The provider asks for a subscription by name of variable; on a developer's machine that is the one of `az`.
    """
    if _oidc() or os.environ.get("ARM_SUBSCRIPTION_ID"):
        return {}
    if shell.dry_run:
        azure.find(shell, "account", "show")
        return {}
    account = azure.account(shell)
    print(f"# ARM_SUBSCRIPTION_ID={account.subscription} ({account.name})", flush=True)
    return {"ARM_SUBSCRIPTION_ID": account.subscription}


def _oidc() -> bool:
    return os.environ.get("ARM_USE_OIDC", "").lower() in ("true", "1")
