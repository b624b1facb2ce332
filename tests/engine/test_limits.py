"""What Azure refuses by its form alone: the lint names it in one line, with what to write in its place."""

from pathlib import Path
from typing import Any

import pytest
from azure.ai.ml.constants import TimeZone
from command_line import run
from rendered import HERE
from small_project import create_project, set_key

from mlops import cron, limits
from mlops.config import Project, load_environment
from mlops.errors import UserError
from mlops.lint.configuration import environment_findings
from mlops.project import load_yaml

USE = "config/dev.yml: {}: Azure does not accept {!r}: use "
REGION = "config/dev.yml: {}: there is no region {!r}"

NAMES = {
    "storage_account": ("st", "x" * 25, "st-mine", "Storage1", "st_1"),
    "key_vault": ("kv", "k" * 25, "1kv", "kv-mine-", "kv--mine", "kv_mine"),
    "container_registry": ("cr12", "c" * 51, "cr-mine"),
    "workspace": ("ml", "m" * 34, "-mlw", "mlw.dev", "mlw dev"),
    "registry": ("ml", "m" * 34, "mlr/a"),
    "resource_group": ("g" * 91, "rg-mine.", "rg mine", "rg/mine"),
    "log_analytics": ("log", "l" * 64, "log-", "-log", "log_mine"),
    "application_insights": ("a" * 261, "appi.", "appi ", "appi/dev", "appi?"),
    "workspace_identity": ("id", "i" * 129, "-id", "id.mine"),
    "compute_identity": ("_id-compute",),
    "endpoint_identity": ("id endpoint",),
    "action_group": ("ag:dev", "ag.", "a+g", "a" * 261),
    "budget": ("b" * 64, "my budget", "budget.dev"),
}

OF_BUILD = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Network/virtualNetworks/vnet/subnets/{}"

BAD: list[tuple[str, Any, str]] = [
    *((f"names.{kind}", name, USE.format(f"names.{kind}", name)) for kind, names in NAMES.items() for name in names),
    ("compute.cluster.name", "c", USE.format("compute.cluster.name", "c")),
    ("compute.cluster.name", "cpu_cluster", USE.format("compute.cluster.name", "cpu_cluster")),
    ("compute.cluster.name", "cpu-", USE.format("compute.cluster.name", "cpu-")),
    ("deployer.identity", "id.deploy", USE.format("deployer.identity", "id.deploy")),
    ("deployer.resource_group", "rg.", USE.format("deployer.resource_group", "rg.")),
    ("terraform_state.storage_account", "st-state", USE.format("terraform_state.storage_account", "st-state")),
    ("terraform_state.container", "tf--state", USE.format("terraform_state.container", "tf--state")),
    ("terraform_state.container", "State", USE.format("terraform_state.container", "State")),
    ("location", "westeurop", REGION.format("location", "westeurop") + ' (did you mean "westeurope"?)'),
    ("location", "West Europe", REGION.format("location", "West Europe") + ' (did you mean "westeurope"?)'),
    ("location", "WestEurope", REGION.format("location", "WestEurope") + ' (did you mean "westeurope"?)'),
    ("location", "europe-west4", REGION.format("location", "europe-west4")),
    ("location", "mars", REGION.format("location", "mars") + ": write a name of `az account list-locations"),
    ("location", "chinaeast2", "config/dev.yml: location: 'chinaeast2' is a region of the cloud in China, and"),
    ("location", "usgovvirginia", "config/dev.yml: location: 'usgovvirginia' is a region of the cloud of the US"),
    ("location", "US DoD East", "config/dev.yml: location: 'US DoD East' is a region of the cloud of the US"),
    ("tags", {f"tag{number}": "x" for number in range(51)}, "config/dev.yml: tags: 51 are too many"),
    ("tags", {"n" * 129: "x"}, f"config/dev.yml: tags.{'n' * 40}: a name of 129 characters: use 1 to 128"),
    ("tags", {"cost%": "x"}, "config/dev.yml: tags.cost%: a name of a tag cannot have %: leave it out"),
    ("tags", {"a<b>&c\\d?e/f": "x"}, "config/dev.yml: tags.a<b>&c\\d?e/f: a name of a tag cannot have & / < > ? \\"),
    ("tags", {"owner": "x" * 257}, "config/dev.yml: tags.owner: a value of 257 characters: use 256 at most"),
    ("tags", {"owner": "a", "Owner": "b"}, "config/dev.yml: tags.Owner: the name is there twice"),
    ("tags", {"microsoft-team": "a"}, "config/dev.yml: tags.microsoft-team: Azure keeps names that begin with"),
    ("monitor.alert_emails", ["team"], "config/dev.yml: monitor.alert_emails.0: 'team' is no mail address: write one"),
    ("monitor.alert_emails", ["a@b.com", "a@b.com, c@d.com"], "config/dev.yml: monitor.alert_emails.1: 'a@b.com, "),
    ("monitor.alert_emails", ["a@localhost"], "config/dev.yml: monitor.alert_emails.0: 'a@localhost' is no mail"),
    ("monitor.alert_emails", [".a@b.com"], "config/dev.yml: monitor.alert_emails.0: '.a@b.com' is no mail address"),
    ("monitor.alert_emails", ["a.@b.com"], "config/dev.yml: monitor.alert_emails.0: 'a.@b.com' is no mail address"),
    ("monitor.alert_emails", ["a..b@c.com"], "config/dev.yml: monitor.alert_emails.0: 'a..b@c.com' is no mail address"),
    ("monitor.alert_emails", ["a@-b.com"], "config/dev.yml: monitor.alert_emails.0: 'a@-b.com' is no mail address"),
    ("monitor.alert_emails", ["a@b.com-"], "config/dev.yml: monitor.alert_emails.0: 'a@b.com-' is no mail address"),
    ("monitor.alert_emails", [f"{'a' * 65}@b.com"], "config/dev.yml: monitor.alert_emails.0: 'aaa"),
    ("monitor.alert_emails", [f"a@{'b' * 64}.com"], "config/dev.yml: monitor.alert_emails.0: 'a@bbb"),
    ("monitor.alert_emails", [f"a@{'b' * 60 + '.'}" + "c." * 97 + "com"], "config/dev.yml: monitor.alert_emails.0: "),
    ("schedule.monitor_cron", "0 0 30 2 *", 'config/dev.yml: schedule.monitor_cron: "0 0 30 2 *" never comes: in'),
    ("schedule.monitor_cron", "0 0 31 feb,4-6/2,9,11 0-6", "config/dev.yml: schedule.monitor_cron: "),
    ("compute.instances.start_cron", "0 8 30-31 2 *", "config/dev.yml: compute.instances.start_cron: "),
    ("schedule.monitor_cron", "0 6 * *", 'config/dev.yml: schedule.monitor_cron: "0 6 * *" has 4 fields, but five'),
    ("schedule.monitor_cron", "0 24 * * *", 'config/dev.yml: schedule.monitor_cron: "24" is no hour'),
    ("schedule.monitor_cron", "@daily", "config/dev.yml: schedule.monitor_cron: "),
    ("schedule.time_zone", "Europe/Berlin", 'config/dev.yml: schedule.time_zone: "Europe/Berlin" is no time zone'),
    ("schedule.time_zone", "CET", 'config/dev.yml: schedule.time_zone: "CET" is no time zone of Azure'),
    ("compute.instances.start_cron", "8 o'clock", 'config/dev.yml: compute.instances.start_cron: "8 o\'clock" has 2'),
    ("compute.instances.stop_cron", "0 18 * * 7", 'config/dev.yml: compute.instances.stop_cron: "7" is no day of the'),
    ("compute.instances.time_zone", "Berlin", 'config/dev.yml: compute.instances.time_zone: "Berlin" is no time zone'),
    ("names.resource_group", "RG-state", "config/dev.yml: names.resource_group: RG-state is the group of"),
    *(
        (
            "terraform_state.firewall",
            {"addresses": [text]},
            f"config/dev.yml: terraform_state.firewall.addresses.0: {problem}",
        )
        for text, problem in {
            "20.50.7.300": "'20.50.7.300' is no address: write a public IPv4 address or a range, such as 20.50.7.9 or",
            "build.example.com": "'build.example.com' is no address",
            "2001:db8::1": "'2001:db8::1' is no address",
            "10.0.0.4": "10.0.0.4 is not public: write the address by which those machines go out, or their subnet",
            "172.16.0.0/12": "172.16.0.0/12 is not public",
            "0.0.0.0/0": "0.0.0.0/0 is not public",
            "127.0.0.1": "127.0.0.1 is not public",
            "20.50.7.8/31": "a firewall takes no range of two: write 20.50.7.8 and 20.50.7.9",
            "20.50.7.9/28": "20.50.7.9/28 is within a range and not its start: write 20.50.7.0/28, or one address",
        }.items()
    ),
    (
        "terraform_state.firewall",
        {"addresses": ["20.50.7.9", "20.50.7.9/32"]},
        "config/dev.yml: terraform_state.firewall.addresses: 20.50.7.9 is there twice: remove one",
    ),
    (
        "terraform_state.firewall",
        {"addresses": [f"20.50.{number // 250}.{number % 250}" for number in range(401)]},
        "config/dev.yml: terraform_state.firewall.addresses: list should have at most 400 items after validation, not",
    ),
    (
        "terraform_state.firewall",
        {"subnets": [OF_BUILD.format(number) for number in range(401)]},
        "config/dev.yml: terraform_state.firewall.subnets: list should have at most 400 items after validation, not",
    ),
    (
        "terraform_state.firewall",
        {"subnets": [OF_BUILD.format("build"), OF_BUILD.format("BUILD")]},
        f"config/dev.yml: terraform_state.firewall.subnets: {OF_BUILD.format('build')} is there twice: remove one",
    ),
    (
        "terraform_state.firewall",
        {"subnets": ["snet-build"]},
        "config/dev.yml: terraform_state.firewall.subnets.0: string should match pattern",
    ),
    (
        "terraform_state.firewall",
        {"addresses": ["20.50.7.9"]},
        "config/dev.yml: terraform_state.firewall: test has its state in ststate, too, and another firewall: write the",
    ),
    ("names.registry_resource_group", "rg-state", "config/dev.yml: names.registry_resource_group: rg-state is the"),
]

CLOSED: list[tuple[str, Any, str]] = [
    ("tags", {f"tag{number}": "x" for number in range(16)}, "tags: 16 are too many: a private DNS zone has 15 at most"),
    ("tags", {"cost center": "x"}, "tags.cost center: a private DNS zone takes names of"),
    ("tags", {"2nd": "x"}, "tags.2nd: a private DNS zone takes names of"),
    ("names.virtual_network", "v", "names.virtual_network: Azure does not accept 'v': use 2 to 64"),
    ("names.virtual_network", "vnet-", "names.virtual_network: Azure does not accept 'vnet-'"),
    ("network.dns_servers", ["10.0.0.300"], "network.dns_servers.0: input is not a valid IPv4 address"),
    ("network.dns_servers", ["127.0.0.1"], "network.dns_servers: 127.0.0.1 is no address of a DNS server"),
    ("network.dns_servers", [10], "network.dns_servers: 0.0.0.10 is no address of a DNS server"),
    ("network.dns_servers", ["dns.example.com"], "network.dns_servers.0: input is not a valid IPv4 address"),
    ("network.dns_servers", ["fd00::4"], "network.dns_servers.0: input is not a valid IPv4 address"),
    ("network.dns_servers", ["10.0.0.4", "10.0.0.4"], "network.dns_servers: 10.0.0.4 is there twice: remove one"),
    ("network.dns_servers", [f"10.0.0.{n}" for n in range(4, 25)], "network.dns_servers: list should have at most 20"),
    (
        "network.outbound_hosts",
        ["https://index.example.com/"],
        "network.outbound_hosts: 'https://index.example.com/' is no host: write",
    ),
    (
        "network.outbound_hosts",
        ["index.example.com:443"],
        "network.outbound_hosts: 'index.example.com:443' is no host: write its name",
    ),
    ("network.outbound_hosts", ["10.0.0.4/24"], "network.outbound_hosts: '10.0.0.4/24' is no host"),
    ("network.outbound_hosts", ["10.0.0.1"], "network.outbound_hosts: '10.0.0.1' is no host"),
    ("network.outbound_hosts", ["localhost"], "network.outbound_hosts: 'localhost' is no host"),
    ("network.outbound_hosts", ["-a.example.com"], "network.outbound_hosts: '-a.example.com' is no host"),
    ("network.outbound_hosts", ["a_b.example.com"], "network.outbound_hosts: 'a_b.example.com' is no host"),
    ("network.outbound_hosts", ["a.*.example.com"], "network.outbound_hosts: 'a.*.example.com' is no host"),
    ("network.outbound_hosts", [f"{'a' * 64}.com"], f"network.outbound_hosts: '{'a' * 64}.com' is no host"),
    ("network.outbound_hosts", [".".join(["a" * 60] * 5)], "network.outbound_hosts: 'aaa"),
    ("network.outbound_hosts", ["a.com", "b.com", "a.com"], "network.outbound_hosts: a.com is there twice: remove one"),
    (
        "network.outbound_rules",
        {"one": {"service_tag": "Sql", "ports": "1"}, "two": {"service_tag": "sql", "ports": "1"}},
        "network.outbound_rules: another rule has the way of one, and Azure takes one for each: remove one",
    ),
]

INSTANCES = {
    "vm_size": "Standard_D4as_v4", "idle_minutes": 60, "start_cron": "0 8 * * 1-5", "stop_cron": "0 18 * * 1-5",
    "time_zone": "UTC",
    "users": [{"name": "ada", "object_id": "00000000-0000-0000-0000-00000000000a", "instance": "ci-ada-a1b2c3"}],
}  # fmt: skip


def lines(project: Project) -> list[str]:
    return [str(finding).removeprefix(f"{project.root}/") for finding in environment_findings(project)]


def put(project: Project, key: str, value: object) -> None:
    """Set a key of config/dev.yml, in a section that is there."""
    file = project.root / "config" / "dev.yml"
    if key.startswith("compute.instances"):
        set_key(file, "compute.instances", INSTANCES)
    set_key(file, key, value)


@pytest.mark.parametrize(("key", "value", "expected"), BAD)
def test_what_azure_does_not_accept_is_one_line_of_the_lint(
    project: Project, key: str, value: object, expected: str
) -> None:
    put(project, key, value)
    first = lines(project)[0]
    assert first.startswith(expected)
    assert "\n" not in first
    with pytest.raises(UserError) as refused:
        load_environment(project, "dev")
    assert str(refused.value) == first


@pytest.mark.parametrize(("key", "value", "expected"), CLOSED)
def test_what_azure_does_not_accept_of_a_network_is_one_line_of_the_lint(
    tmp_path: Path, key: str, value: object, expected: str
) -> None:
    project = create_project(tmp_path / "closed", "closed")
    put(project, key, value)
    [line] = lines(project)
    assert line.startswith(f"config/dev.yml: {expected}")
    assert "\n" not in line


def test_the_command_ends_with_a_code_and_a_line_for_each(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(project, "location", "westeurop")
    put(project, "names.storage_account", "st_dev")
    monkeypatch.chdir(project.root)
    monkeypatch.setattr("mlops.lint.sdk.check", lambda document: [])
    assert run("lint") == 1
    shown = capsys.readouterr()
    assert "Traceback" not in shown.out + shown.err
    found = [line for line in (shown.out + shown.err).splitlines() if "config/dev.yml" in line]
    assert ["location" in found[0], "names.storage_account" in found[1]] == [True, True]


ADDRESSES = ["20.50.7.9", "20.50.8.0/28"]


def test_the_same_firewall_of_two_environments_may_be_written_in_another_order_or_case(project: Project) -> None:
    lists = {"addresses": ADDRESSES, "subnets": [OF_BUILD.format("a"), OF_BUILD.format("b")]}
    turned = {"addresses": ADDRESSES[::-1], "subnets": [OF_BUILD.format("B"), OF_BUILD.format("a")]}
    for name in project.environments:
        set_key(project.root / "config" / f"{name}.yml", "terraform_state.firewall", lists)
    put(project, "terraform_state.firewall", turned)
    assert lines(project) == []
    # What is one blob stays one, however its firewall is written.
    put(project, "terraform_state.key", load_yaml(project.root / "config" / "test.yml")["terraform_state"]["key"])
    [line] = lines(project)
    assert "terraform_state: this is the state of" in line


@pytest.mark.parametrize("other", [None, {}], ids=["its own", "everyone"])
def test_a_firewall_and_one_that_admits_everyone_or_is_left_alone_are_not_the_same(
    project: Project, other: dict[str, list[str]] | None
) -> None:
    for name in project.environments:
        set_key(project.root / "config" / f"{name}.yml", "terraform_state.firewall", {"addresses": ADDRESSES})
    put(project, "terraform_state.firewall", other)
    assert any("too, and another firewall" in line for line in lines(project))


def test_a_region_that_is_newer_than_the_table_is_let_through_by_its_name(tmp_path: Path) -> None:
    project = create_project(tmp_path / "registry", "with a registry")
    put(project, "location", "atlantiscentral")
    put(project, "model_registry.locations", ["atlantiscentral", "westeurop"])
    first, second = lines(project)[:2]
    assert first.startswith(REGION.format("location", "atlantiscentral"))
    assert first.endswith("and one that is newer than this release into new_regions, too")
    assert second.startswith(REGION.format("model_registry.locations.0", "atlantiscentral"))
    put(project, "new_regions", ["atlantiscentral"])
    [line] = [line for line in lines(project) if "no region" in line]
    assert line.startswith(REGION.format("model_registry.locations.1", "westeurop"))


def test_the_registry_is_in_the_region_of_each_workspace(tmp_path: Path) -> None:
    """Azure ML gives its models to workspaces in a region that it has a copy in, and to no others."""
    project = create_project(tmp_path / "registry", "with a registry")
    regions = {name: load_environment(project, name).location for name in project.environments}
    assert regions == {"dev": "westeurope", "test": "northeurope", "prod": "northeurope"}
    start = "config/dev.yml: model_registry.locations: "
    assert lines(project) == [
        f"{start}{name} is in northeurope, where the registry is not: add that region" for name in ("test", "prod")
    ]
    put(project, "model_registry.locations", ["westeurope", "northeurope"])
    assert lines(project) == []
    put(project, "model_registry.locations", ["westeurope", "westeurope"])
    assert lines(project) == [f"{start}westeurope is there twice: remove one"]


GOOD = {
    "resource_group": ("r", "g" * 90, "rg.of(me)_é", "RG-1"),
    "storage_account": ("abc", "0" * 24),
    "key_vault": ("kv1", "K-1", "k" * 24),
    "container_registry": ("cr123", "C" * 50),
    "workspace": ("mlw", "1_-", "M" * 33),
    "log_analytics": ("log1", "l" * 63),
    "application_insights": ("a", "appi (dev)", "x" * 260),
    "action_group": ("a", "ag (dev)_1"),
    "virtual_network": ("v1", "vnet_", "v.1", "v" * 64),
    "budget": ("b", "_" * 63),
    "container": ("abc", "tf-state", "0" * 63),
    "cluster": ("cpu", "c" * 32, "C-1"),
    "workspace_identity": ("id1", "i" * 128, "1__"),
}


@pytest.mark.parametrize("address", ["a@b.co", "first.last+tag@mail.example.com", "o'neil@x-1.org", "a" * 64 + "@b.c"])
def test_a_mail_address_passes(address: str) -> None:
    assert limits.mail_problem(address) == ""


@pytest.mark.parametrize(
    "expression", ["0 0 29 2 *", "0 0 30 2 1", "0 0 31 2,3 *", "0 0 30 4 *", "0 0 28-30 feb *", "0 0 31 */2 *"]
)
def test_a_time_that_comes_passes(expression: str) -> None:
    """29 February comes in some years, and with a day of the week, too, either of the two is enough."""
    assert list(cron.problems(expression)) == []


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, names in GOOD.items() for name in names])
def test_what_azure_accepts_passes(kind: str, name: str) -> None:
    assert limits.name_problem(kind, name) == ""


def test_the_names_of_others_are_as_they_are(tmp_path: Path) -> None:
    project = create_project(tmp_path / "existing", "existing")
    put(project, "names.workspace", "an old workspace")
    put(project, "compute.cluster.name", "k8s")
    put(project, "names.resource_group", "rg-state")
    assert lines(project) == []


@pytest.mark.parametrize("environment", HERE.environments)
def test_this_project_is_within_the_limits(environment: str) -> None:
    assert load_environment(HERE, environment).location in limits.REGIONS


@pytest.mark.parametrize("name", limits.REGIONS)
def test_no_region_of_the_table_is_taken_for_a_misspelt_one(name: str) -> None:
    assert limits.region_problem(name) == ""
    assert name == name.lower().strip()


def test_the_time_zones_are_those_of_azure_ml() -> None:
    assert set(limits.TIME_ZONES) > {zone.value for zone in TimeZone}
    assert limits.time_zone_problem("Volgograd Standard Time") == ""
    assert limits.time_zone_problem("w. europe standard time") == ""


def test_tags_within_the_limits_pass() -> None:
    tags = {"n" * 128: "v" * 256, "cost center": "a/b?<c>", "2nd": ""}
    assert list(limits.tag_problems(tags, zones=False)) == []
    assert list(limits.tag_problems({f"tag_{n}.x-y": "a b/c" for n in range(15)}, zones=True)) == []
