"""A generated project on a real subscription: from nothing to an endpoint that answers, and everything deleted again.

    python tests/live.py PROJECT [--environment dev] [--keep]

It builds the environment, trains, delivers and scores with the project's own verbs, as the identity that `az` is signed
in as, and then deletes what it built, also after a failure. That identity needs the roles Contributor and Role Based
Access Control Administrator in the subscription. Terraform's state needs a storage account, which `mlops bootstrap`
makes for a user; here it is made and deleted with the rest. Machines are billed while this runs, which takes an hour
or more. The workflow Live runs it for a choice of the menu.
"""

import argparse
import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml


def main() -> None:
    """Run everything, and delete it.

    Raises:
        SystemExit: A command failed; what was built is deleted all the same.
    """
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("project", type=Path, help="folder of a generated project that was never deployed")
    parser.add_argument("--environment", default="dev", help="environment to build; default: %(default)s")
    parser.add_argument("--keep", action="store_true", help="delete nothing, to look at it")
    options = parser.parse_args()
    root, environment = options.project.resolve(), options.environment
    config = yaml.safe_load((root / "config" / f"{environment}.yml").read_text(encoding="utf-8"))
    state = config.get("terraform_state") if (root / "infrastructure" / "terraform").is_dir() else None
    try:
        for command in [*(state_store(root, config, state) if state else []), *verbs(environment)]:
            run(root, command)
    finally:
        if not options.keep:
            delete(root, [*teardown(environment), *([group("delete", state, "--yes")] if state else [])])
    print(f"{environment} was built, trained, served and scored.", flush=True)


def verbs(environment: str) -> list[list[str]]:
    """What a project does in Azure, in order."""
    chosen = ("--environment", environment)
    return [
        mlops("provision", *chosen, "--retry-minutes", "10"),
        mlops("train", *chosen),
        mlops("models", *chosen),
        mlops("deliver", *chosen),
        mlops("smoke-test", *chosen),
        mlops("deliver", *chosen),  # changes nothing the second time
    ]


def teardown(environment: str) -> list[list[str]]:
    """How everything of an environment is deleted."""
    return [mlops("teardown", "--environment", environment, "--all", "--yes")]


def mlops(*words: str) -> list[str]:
    return ["uv", "run", "mlops", *words]


def state_store(root: Path, config: dict[str, Any], state: dict[str, str]) -> list[list[str]]:
    """The commands that make what Terraform keeps its state in, without keys."""
    account = ("--name", state["storage_account"], "--resource-group", state["resource_group"])
    closed = (
        "--allow-shared-key-access",
        "false",
        "--allow-blob-public-access",
        "false",
        "--min-tls-version",
        "TLS1_2",
    )
    signed_in = az(root, "account", "show")
    scope = (
        f"/subscriptions/{signed_in['id']}/resourceGroups/{state['resource_group']}"
        f"/providers/Microsoft.Storage/storageAccounts/{state['storage_account']}"
    )
    kind = "User" if signed_in["user"]["type"] == "user" else "ServicePrincipal"
    own = ("--assignee-object-id", object_id(root), "--assignee-principal-type", kind)
    container = ("--name", state["container"], "--account-name", state["storage_account"], "--auth-mode", "login")
    return [
        group("create", state, "--location", config["location"]),
        ["az", "storage", "account", "create", *account, "--sku", "Standard_LRS", *closed, "--output", "none"],
        ["az", "role", "assignment", "create", "--role", "Storage Blob Data Contributor", "--scope", scope, *own],
        ["az", "storage", "container", "create", *container, "--output", "none"],
    ]


def group(action: str, state: dict[str, str], *options: str) -> list[str]:
    return ["az", "group", action, "--name", state["resource_group"], *options]


def object_id(root: Path) -> str:
    """The object id of the identity that is signed in, from its token: not every identity may read the directory."""
    token = az(root, "account", "get-access-token")["accessToken"]
    payload = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["oid"])


def az(root: Path, *words: str) -> Any:
    """The answer of a command of the Azure CLI that only reads."""
    done = subprocess.run(["az", *words, "--output", "json"], cwd=root, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"error: `az {' '.join(words)}` failed: sign in with `az login`")
    return json.loads(done.stdout)


def run(root: Path, command: list[str]) -> None:
    """Run a command in the project.

    Raises:
        SystemExit: It failed.
    """
    print(f"> {' '.join(command)}", flush=True)
    if subprocess.run(command, cwd=root).returncode:
        sys.exit(f"error: `{' '.join(command)}` failed")


def delete(root: Path, commands: list[list[str]]) -> None:
    """Run each of the commands, whatever becomes of the others.

    Raises:
        SystemExit: One failed, so that something may be left that is billed.
    """
    failed = []
    for command in commands:
        print(f"> {' '.join(command)}", flush=True)
        if subprocess.run(command, cwd=root).returncode:
            failed.append(" ".join(command))
    if failed:
        sys.exit(f"error: something may be left and be billed: run {' and '.join(f'`{each}`' for each in failed)}")


if __name__ == "__main__":
    main()
