"""Where Terraform keeps its state: the storage account that `mlops bootstrap` makes, and who reaches it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mlops.config import EnvironmentConfig, Firewall, TerraformState
from mlops.errors import CommandError, UserError
from mlops.subscription import account as azure
from mlops.subscription.checks import Context, Finding, error, ok, warning
from mlops.subscription.steps import Cloud, RemovableStep, SkippedError, Step, has_bootstrap_tags, tags

ACCOUNTS = "Microsoft.Storage/storageAccounts"
API_VERSION = "api-version=2025-08-01"
SERVICE = "Microsoft.Storage"
"""The service endpoint by which the firewall knows a subnet; of one in another region it ends in `.Global`."""
JOIN = "Microsoft.Network/virtualNetworks/subnets/joinViaServiceEndpoint/action"
"""The right to name a subnet in a firewall; Network Contributor has it."""
BY_POLICY = "a policy takes its public address away: let the policy's owner exempt the account"


def state_of(config: EnvironmentConfig) -> TerraformState:
    """Return where the environment's state is."""
    # `load_environment` refuses a Terraform project without it.
    assert config.terraform_state is not None
    return config.terraform_state


def place_of(state: TerraformState) -> tuple[str, ...]:
    """Return the options of `az` for the account."""
    return ("--name", state.storage_account, "--resource-group", state.resource_group)


def taken(config: EnvironmentConfig) -> UserError:
    """Return that another owner has an account of this name, which is unique in the world."""
    name = state_of(config).storage_account
    return UserError(
        f"the name {name} belongs to another owner's storage account: choose another one for "
        f"terraform_state.storage_account in config/{config.environment}.yml"
    )


@dataclass
class StateAccount(RemovableStep):
    """The storage account of the state: no keys, nothing public."""

    cloud: Cloud
    config: EnvironmentConfig

    @property
    def name(self) -> str:
        """The account's name."""
        return f"storage account {state_of(self.config).storage_account}"

    def done(self) -> bool:
        """Return whether the account exists."""
        return self._find() is not None

    def make(self) -> None:
        """Create the account.

        Raises:
            UserError: Another owner has taken the name in the meantime.
        """
        safe = ["--https-only", "true", "--min-tls-version", "TLS1_2", "--allow-shared-key-access", "false"]
        safe += ("--allow-blob-public-access", "false", "--allow-cross-tenant-replication", "false")
        if self.config.closed_state:  # from its first moment, which a policy may ask for
            safe += ("--default-action", "Deny")
        kind = (
            "--location",
            self.config.location,
            "--kind",
            "StorageV2",
            "--sku",
            f"Standard_{self.config.redundancy}",
        )
        state = state_of(self.config)
        try:
            self._change("create", *place_of(state), *kind, *safe, "--tags", *tags(self.config))
        except CommandError as error:
            if re.search(rf"AlreadyTaken.*\b{re.escape(state.storage_account)}\b", error.output):
                raise taken(self.config) from error
            raise

    def removable(self) -> bool:
        """Return whether `bootstrap` made the account."""
        return has_bootstrap_tags(self._find())

    def remove(self) -> None:
        """Delete the account, and the state in it."""
        self._change("delete", *place_of(state_of(self.config)), "--yes")

    def _find(self) -> Any:
        return self.cloud.find("storage", "account", "show", *place_of(state_of(self.config)))

    def _change(self, *words: str) -> None:
        self.cloud.az("storage", "account", *words)


@dataclass
class StateVersions(Step):
    """Older versions of the state, and a way back for what was deleted."""

    cloud: Cloud
    state: TerraformState

    @property
    def name(self) -> str:
        """The account's name."""
        return f"versions and soft delete in {self.state.storage_account}"

    def done(self) -> bool:
        """Return whether versions and both retention policies are on."""
        found = self.cloud.find(*self._command("show")) or {}
        policies = [found.get(key) or {} for key in ("deleteRetentionPolicy", "containerDeleteRetentionPolicy")]
        return bool(found.get("isVersioningEnabled")) and all(policy.get("enabled") for policy in policies)

    def make(self) -> None:
        """Switch them on."""
        blobs = ["--enable-versioning", "true", "--enable-delete-retention", "true", "--delete-retention-days", "30"]
        blobs += ("--enable-container-delete-retention", "true", "--container-delete-retention-days", "30")
        self.cloud.az(*self._command("update"), *blobs)

    def _command(self, verb: str) -> tuple[str, ...]:
        place = ("--account-name", self.state.storage_account, "--resource-group", self.state.resource_group)
        return ("storage", "account", "blob-service-properties", verb, *place)


@dataclass
class StateContainer(Step):
    """The container of the state; it goes with its account."""

    cloud: Cloud
    state: TerraformState

    @property
    def name(self) -> str:
        """The names of container and account."""
        return f"container {self.state.container} in {self.state.storage_account}"

    def done(self) -> bool:
        """Return whether the container exists."""
        return self.cloud.find(*self._command("show")) is not None

    def make(self) -> None:
        """Create the container."""
        self.cloud.az(*self._command("create"))

    def _command(self, verb: str) -> tuple[str, ...]:
        account = ("--storage-account", self.state.storage_account, "--resource-group", self.state.resource_group)
        return ("storage", "container-rm", verb, "--name", self.state.container, *account)


@dataclass
class StateFirewall(Step):
    """From where the state is reached, beside the sign-in; it goes with its account."""

    cloud: Cloud
    state: TerraformState
    firewall: Firewall

    @property
    def name(self) -> str:
        """The account's name, and whom it admits."""
        return f"firewall of {self.state.storage_account}: admits {describe(self.firewall.admitted)}"

    def done(self) -> bool:
        """Return whether the account admits these alone; an account of others keeps its firewall."""
        found = self._find()
        if found is None:
            return False
        done = _admitted(found) == self.firewall.admitted
        if not done and not has_bootstrap_tags(found):
            raise SkippedError(
                f"`mlops bootstrap` did not make storage account {self.state.storage_account}, so its owner sets its "
                f"firewall: it is to admit {describe(self.firewall.admitted)}"
            )
        return done

    def make(self) -> None:
        """Replace the rules in one request, so that no half of them ever counts; what Defender wrote stays."""
        found = ((self._find() or {}).get("properties") or {}).get("networkAcls") or {}
        rules = {
            "bypass": found.get("bypass", "AzureServices"),
            "resourceAccessRules": found.get("resourceAccessRules") or [],
            "defaultAction": "Deny" if self.firewall.admitted else "Allow",
            "ipRules": [{"value": each, "action": "Allow"} for each in self.firewall.addresses],
            "ipv6Rules": [],
            "virtualNetworkRules": [{"id": each, "action": "Allow"} for each in self.firewall.subnets],
        }
        group = f"{self.cloud.subscription}/resourceGroups/{self.state.resource_group}"
        url = f"{group}/providers/{ACCOUNTS}/{self.state.storage_account}"
        # Without it no rule counts; `firewall` always has something to admit.
        properties = {"publicNetworkAccess": "Enabled", "networkAcls": rules}
        body = azure.body(self.cloud.shell, "state-firewall", {"properties": properties})
        self.cloud.az("rest", "--method", "patch", "--url", url, "--url-parameters", API_VERSION, *body)
        if (account := self._find()) is not None and _is_closed(account):
            raise SkippedError(
                f"storage account {self.state.storage_account} still admits private endpoints alone: {BY_POLICY}"
            )

    def _find(self) -> Any:
        return self.cloud.find(*_show(self.state))


def describe(admitted: set[str] | None) -> str:
    """Say whom a firewall admits: addresses, and subnets by their names."""
    if admitted is None:
        return "everyone who signs in"
    return f"{', '.join(sorted(each.rpartition('/subnets/')[2] for each in admitted)) or 'private endpoints'} alone"


def _show(state: TerraformState) -> tuple[str, ...]:
    # As Resource Manager has it: `az storage account show` has names of its own for the rules.
    return ("resource", "show", *place_of(state), "--resource-type", ACCOUNTS)


def _is_closed(account: dict[str, Any]) -> bool:
    """Return whether the account has no public address, whatever its rules are."""
    return account["properties"].get("publicNetworkAccess") in ("Disabled", "SecuredByPerimeter")


def _admitted(account: dict[str, Any]) -> set[str] | None:
    """Return the addresses and subnets that an account admits, None where it admits everyone."""
    if _is_closed(account):
        return set()
    rules = account["properties"].get("networkAcls") or {}
    if rules.get("defaultAction", "Allow") == "Allow":
        return None
    networks = [each["id"].casefold() for each in rules.get("virtualNetworkRules") or ()]
    addresses = [each["value"] for key in ("ipRules", "ipv6Rules") for each in rules.get(key) or ()]
    return {*networks, *addresses}


def check_subnets(find: Callable[..., Any], config: EnvironmentConfig) -> Iterator[Finding]:
    """Look whether the firewall can know the subnets that the config names.

    Args:
        find: A function that queries `az`; None is a thing that is not there.
        config: The environment.
    """
    firewall, key = state_of(config).firewall, f"terraform_state.firewall of config/{config.environment}.yml"
    for subnet in firewall.subnets if firewall else ():
        name, network = subnet.rpartition("/")[2], _visible(find, subnet.partition("/subnets/")[0])
        found = _visible(find, subnet)
        if found is None or network is None:
            yield error(
                f"there is no subnet {name}, or you may not see it",
                f"correct {key}, or ask its owner for Reader on the network, and for {JOIN} on the subnet, without "
                "which Azure refuses the rule",
            )
            continue
        services = [each["service"] for each in found["properties"].get("serviceEndpoints") or ()]
        region = network["location"].replace(" ", "").lower()
        if SERVICE not in services and f"{SERVICE}.Global" not in services:
            text = f"subnet {name} has no service endpoint {SERVICE}, by which the firewall of the state knows it"
            yield error(text, f"let its owner add one and grant you {JOIN}, or take it out of {key}")
        elif region != config.location and f"{SERVICE}.Global" not in services:
            text = f"subnet {name} is in {region}, and its service endpoint may lead to accounts of that region alone"
            yield warning(text, f"let its owner choose {SERVICE}.Global in place of {SERVICE}")


def _visible(find: Callable[..., Any], resource: str) -> Any:
    """Return a resource, None where there is none or the right to read it is missing."""
    try:
        return find("resource", "show", "--ids", resource)
    except CommandError as failure:
        if re.search(azure.NO_RIGHT, failure.output):
            return None
        raise


def check_firewall(context: Context) -> Iterator[Finding]:
    """Compare the firewall of the state's account with the config."""
    state, firewall = state_of(context.config), state_of(context.config).firewall
    account, name = context.az(*_show(state)), state.storage_account
    yield from check_subnets(context.az, context.config)
    if account is None:
        yield ok(f"{name} is not there yet")
        return
    admitted = _admitted(account)
    found = describe(admitted)
    if firewall is None or firewall.admitted == admitted:
        yield ok(f"{name} admits {found}")
    else:
        again = context.command("bootstrap")
        if _is_closed(account):
            again += f"; where it stays so, {BY_POLICY}"
        remedy = again if has_bootstrap_tags(account) else "ask its owner, who sets its firewall"
        yield error(f"{name} admits {found}, and is to admit {describe(firewall.admitted)}", remedy)
