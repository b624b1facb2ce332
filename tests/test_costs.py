"""The table of costs in the documentation counts what is built, and calculates right."""

import re
from pathlib import Path

import pytest
from bicep_eval import evaluate
from combinations import add_on_sets, with_add_ons
from conftest import Render

HOURS, DAYS = 730, 730 / 24
ROW = re.compile(r"^\| (.+) \| (\d+) \| ([\d.]+) (an hour|a day) \| ([\d.]+) \|$", re.MULTILINE)
KINDS = {
    "container registry": "Microsoft.ContainerRegistry/registries",
    "private endpoints in your network": "Microsoft.Network/privateEndpoints",
    "private endpoints of our rules": "Microsoft.MachineLearningServices/workspaces/outboundRules",
    "NAT gateway": "Microsoft.Network/natGateways",
    "public address": "Microsoft.Network/publicIPAddresses",
}
BY_AZURE = ("private endpoints that Azure adds there", "firewall")


@pytest.mark.parametrize("add_ons", add_on_sets(), ids="+".join)
def test_the_costs_of_an_environment_are_those_of_what_is_built(render: Render, add_ons: list[str]) -> None:
    project: Path = render(**with_add_ons(*add_ons, infrastructure_version="bicep"))
    resources = evaluate(project / "infrastructure" / "bicep" / "prod.bicepparam").resources
    rows = ROW.findall((project / "docs" / "infrastructure.md").read_text(encoding="utf-8"))
    assert len(rows) == (7 if "private-network" in add_ons else 1)
    for name, number, price, period, month in rows:
        units = HOURS if period == "an hour" else DAYS
        assert float(month) == pytest.approx(int(number) * float(price) * units, abs=0.011), name
        if not name.startswith(BY_AZURE):
            [kind] = [kind for words, kind in KINDS.items() if name.startswith(words)]
            assert sum(each.type == kind for each in resources) == int(number), name
    text = " ".join((project / "docs" / "infrastructure.md").read_text(encoding="utf-8").split())
    assert "An estimate, no offer: list prices of the region East US in US dollars" in text
    assert re.search(r"pages of third parties, read on \d{4}-\d\d-\d\d", text)
    assert "https://prices.azure.com/api/retail/prices" in text
    assert "armRegionName eq 'westeurope'" in text
    [registry] = [each for each in resources if each.type == KINDS["container registry"]]
    assert f"container registry, {registry.body['sku']['name']}" in {name for name, *_ in rows}
