"""What Azure's landing zones refuse of what both tools would build: landing_zone.yml holds the policies, as a table.

Evaluated offline, over the rows in which parity_table.py describes what Terraform and Bicep request.
"""

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from combinations import ROOT, add_ons
from parity_table import KINDS, Table
from test_parity import TOOLS, Built, built, compared, copies, same  # noqa: F401 - the fixture `built` among them
from test_terraform import edit

pytestmark = pytest.mark.xdist_group("landing zone")  # the tests share what Terraform evaluated

POLICIES: list[dict[str, Any]] = yaml.safe_load((ROOT / "tests" / "landing_zone.yml").read_text(encoding="utf-8"))
EXEMPT = {each["policy"] for each in POLICIES if "refuses" in each}
SETS = [[], *([name] for name in add_ons()), add_ons()]
SUBNET = "/subscriptions/00000000-0000-0000-0000-000000000009/resourceGroups/rg-spoke/providers/Microsoft.Network"
SUBNET += "/virtualNetworks/vnet-spoke/subnets/snet-ml"

# How docs/infrastructure.md says to write the section `network` in a landing zone: two ways.
NETWORKS = {
    "own network": {"nat: true": "nat: false", 'dns: "own"': 'dns: "policy"'},
    "existing subnet": {
        r"address_space: .*\n": f'existing_subnet_id: "{SUBNET}"\n',
        r"  (endpoints|runners)_subnet: .*\n": "",
        'dns: "own"': 'dns: "policy"',
    },
}
# What makes one policy refuse something: an edit of the config or of a file of both tools, or one of each tool.
Edit = tuple[str, str, str]
SEEDS: dict[str, Edit | dict[str, Edit]] = {
    "Deny-PublicIP": ("config/dev.yml", "nat: false", "nat: true"),
    "Deny-Private-DNS-Zones": ("config/dev.yml", 'dns: "policy"', 'dns: "own"'),
    "Deny-MgmtPorts-From-Internet": (
        "infrastructure/shared/private-network.yml",
        'source: VirtualNetwork, port: "443" }\n    deny-in',
        'source: "*", port: "3389" }\n    deny-in',
    ),
    "Deny-Subnet-Without-Nsg": {
        "terraform": (
            "modules/private-network/main.tf",
            "= azurerm_network_security_group.this[subnet.key].id",
            "= null",
        ),
        "bicep": ("modules/private-network.bicep", "            id: securityGroups[i].id\n", "            id: null\n"),
    },
    "Deny-MachineLearning-PublicNetworkAccess": {
        "terraform": (
            "workspace.tf",
            "public_network_access_enabled = !local.closed",
            "public_network_access_enabled = true",
        ),
        "bicep": (
            "modules/workspace.bicep",
            "publicNetworkAccess: closed ? 'Disabled' : 'Enabled'",
            "publicNetworkAccess: 'Enabled'",
        ),
    },
}

Refused = Callable[[tuple[str, ...], str], dict[str, set[str]]]


def refusals(rows: Table) -> set[str]:
    """The policies that refuse one of the resources."""
    return {
        each["policy"]
        for each in POLICIES
        for (kind, _), row in rows.items()
        if kind == each["kind"] and not allowed(each, row)
    }


def allowed(policy: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether the policy allows what the resource has in its setting."""
    if "allowed" not in policy:
        return False
    value = row.get(policy["setting"])
    match policy["allowed"]:
        case ["something"]:
            return value is not None
        case ["nothing"]:
            return not value
        case ["7 or more"]:
            return value is not None and value >= 7
        case ["no way in to 22 and 3389"]:
            return not any(opens_management(rule) for rule in value or [])
    return value in policy["allowed"]


def opens_management(rule: list[Any]) -> bool:
    """Whether a rule lets the internet in at a port at which machines are managed."""
    _, _, direction, access, _, source, _, _, port = rule
    outside = source in ("*", "Internet", "0.0.0.0/0")
    return (direction, access) == ("Inbound", "Allow") and outside and port in ("*", "22", "3389")


@pytest.fixture(scope="session")
def tables(built: Built, tools: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Table]]:  # noqa: F811
    """What each tool builds in dev with some add-ons, in one of the networks."""

    @cache
    def find(network: str, *chosen: str) -> dict[str, Table]:
        folders = copies(built(*chosen), tmp_path_factory.mktemp("landing"))
        for folder in folders.values():
            if "private-network" in chosen:
                rewrite(folder / "config" / "dev.yml", NETWORKS[network])
        return dict(zip(TOOLS, compared(folders, tools, ("dev",))["dev"], strict=True))

    return find


def rewrite(path: Path, changes: dict[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in changes.items():
        text, times = re.subn(old, new, text)
        assert times, f"{path.name} has no {old!r} any more"
    path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("chosen", [each for each in SETS if "private-network" in each], ids=len)
def test_a_landing_zone_refuses_nothing_of_a_closed_project(
    tables: Callable[..., dict[str, Table]], chosen: list[str], network: str
) -> None:
    found = tables(network, *chosen)
    same((found["terraform"], found["bicep"]))
    for tool, rows in found.items():
        assert refusals(rows) - EXEMPT == set(), tool


@pytest.mark.parametrize("chosen", [each for each in SETS if "private-network" not in each], ids="+".join)
def test_without_the_private_network_it_refuses_what_is_open_and_nothing_else(
    tables: Callable[..., dict[str, Table]], chosen: list[str]
) -> None:
    opened = {each["policy"] for each in POLICIES if each.get("setting") in ("public access", "firewall", "sku")}
    for tool, rows in tables("open", *chosen).items():
        assert refusals(rows) - EXEMPT == opened, tool


def test_every_exemption_is_needed(tables: Callable[..., dict[str, Table]]) -> None:
    assert refusals(tables("own network", *add_ons())["bicep"]) >= EXEMPT


def test_the_rules_of_the_studio_are_in_the_account_of_the_workspace_alone(
    tables: Callable[..., dict[str, Table]],
) -> None:
    """What the page says to exempt from a policy against CORS rules."""
    rules = [each for each in POLICIES if each["policy"] == "Deny-Storage-CorsRules"]
    assert len(rules) == 2
    for rows in tables("own network", *add_ons()).values():
        accounts = {name: row for (kind, name), row in rows.items() if kind == "storage account"}
        assert len(accounts) == 2
        refused = [name for name, row in accounts.items() for each in rules if not allowed(each, row)]
        [account] = [name for name, row in accounts.items() if not row.get("hierarchical namespace")]
        assert refused == [account, account], accounts.keys()


def test_each_policy_refuses_another_value(tables: Callable[..., dict[str, Table]]) -> None:
    """One that would allow any value would pass each project."""
    rows = tables("own network", *add_ons())["terraform"]
    for each in POLICIES:
        others: dict[str, Any] = {"something": None, "nothing": ["x"], "7 or more": 6}
        open_rule = ["rdp", 100, "Inbound", "Allow", "Tcp", "Internet", "*", "*", "3389"]
        others["no way in to 22 and 3389"] = [open_rule]
        value = others.get(str(each.get("allowed", [""])[0]), "another")
        for (kind, name), row in rows.items():
            if kind == each["kind"]:
                assert each["policy"] in refusals({(kind, name): row | {each.get("setting", ""): value}}), each


def test_every_policy_looks_at_something_that_is_built(tables: Callable[..., dict[str, Table]]) -> None:
    """A kind or a setting that does not exist would never be refused."""
    exempt_settings = {each["setting"] for each in POLICIES if "refuses" in each}
    rows = tables("own network", *add_ons())["terraform"]
    for each in POLICIES:
        kind, setting = each["kind"], each.get("setting")
        if setting is None or setting in exempt_settings or each["policy"] == "Deny-ML-Legacy-Mode":
            assert kind in KINDS, each
        else:
            assert any(setting in row for (name, _), row in rows.items() if name == kind), each


@pytest.mark.parametrize("policy", SEEDS)
def test_what_a_policy_forbids_is_refused_in_each_tool_by_that_policy_alone(
    built: Built,  # noqa: F811
    tools: Path,
    tmp_path: Path,
    policy: str,
) -> None:
    seed = SEEDS[policy]
    folders = copies(built("private-network"), tmp_path)
    for tool, folder in folders.items():
        rewrite(folder / "config" / "dev.yml", NETWORKS["own network"])
        if isinstance(seed, dict):
            file, old, new = seed[tool]
            file = f"infrastructure/{tool}/{file}"
        else:
            file, old, new = seed
        edit(folder / file, {old: new})
    for tool, rows in zip(TOOLS, compared(folders, tools, ("dev",))["dev"], strict=True):
        assert refusals(rows) - EXEMPT == {policy}, tool


def test_the_page_of_the_infrastructure_has_each_policy() -> None:
    page = (ROOT / "template" / "docs" / "infrastructure.md.jinja").read_text(encoding="utf-8")
    assert [each["policy"] for each in POLICIES if f"`{each['policy']}`" not in page] == []
