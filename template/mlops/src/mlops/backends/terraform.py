"""Terraform: each step is one command, shown before it runs."""

import json
import os

from mlops import UserError
from mlops.backends import Action, CommandError, Shell
from mlops.config import EnvironmentConfig, Project

FOLDER = "infrastructure/terraform"
CURES = {
    "terraform": "see https://developer.hashicorp.com/terraform/install",
    "az": "see https://learn.microsoft.com/cli/azure/install-azure-cli, then run `az login`",
}


def provision(project: Project, config: EnvironmentConfig, action: Action, *, dry_run: bool) -> None:
    """Initialise Terraform for the environment's state, then apply, plan or destroy."""
    shell = Shell(project.root, dry_run, CURES)
    variables = _login(shell)
    plan = project.root / ".local" / "terraform" / f"{config.environment}.tfplan"
    plan.parent.mkdir(parents=True, exist_ok=True)

    def terraform(*words: str) -> None:
        shell.run("terraform", f"-chdir={FOLDER}", *words, variables=variables)

    try:
        # -reconfigure: each environment has its own state, and none is ever copied into another's.
        terraform("init", "-input=false", "-reconfigure", *_backend(config))
    except CommandError as error:
        state = config.terraform_state
        raise UserError(
            f"terraform init failed: does the state's container {state.container} in storage account "
            f"{state.storage_account} exist, and have you the role Storage Blob Data Contributor on it? (details above)"
        ) from error
    environment = ("-input=false", "-var", f"environment={config.environment}")
    if action == "destroy":
        terraform("destroy", "-auto-approve", *environment)
        return
    # Terraform starts in its own folder, so the plan's path is seen from there.
    file = f"../../{plan.relative_to(project.root).as_posix()}"
    terraform("plan", *environment, f"-out={file}")
    if action == "apply":
        # What is applied is the plan that was shown, and no other.
        terraform("apply", "-input=false", file)
        plan.unlink(missing_ok=True)


def _backend(config: EnvironmentConfig) -> list[str]:
    state = config.terraform_state
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
    try:
        account = shell.read("az", "account", "show", "--output", "json")
    except CommandError as error:
        raise UserError("you are not signed in to Azure: run `az login`") from error
    if shell.dry_run:
        return {}
    subscription = json.loads(account)["id"]
    print(f"# ARM_SUBSCRIPTION_ID={subscription} ({json.loads(account)['name']})", flush=True)
    return {"ARM_SUBSCRIPTION_ID": subscription}


def _oidc() -> bool:
    return os.environ.get("ARM_USE_OIDC", "").lower() in ("true", "1")
