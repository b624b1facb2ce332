"""Choices and environments of a project."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from recorded_azure import PRIVATE_NETWORK
from rendered import HERE, TORCH
from small_project import SCHEMA, Kind, configuration, create_project, set_key, write_yaml

from mlops.config import EnvironmentConfig, Project, drift_rules, load_environment, load_yaml
from mlops.errors import UserError

OF_NETWORK = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Network"
SUBNET = f"{OF_NETWORK}/virtualNetworks/vnet-spoke/subnets/snet-ml"
ZONES, BLOB = f"{OF_NETWORK}/privateDnsZones", "privatelink.blob.core.windows.net"


def failure(project: Project, environment: str = "dev") -> str:
    with pytest.raises(UserError) as error:
        load_environment(project, environment)
    assert "\n" not in str(error.value)
    return str(error.value)


def edit(project: Project, path: str, value: object) -> None:
    """Set one key of config/dev.yml; None removes it."""
    set_key(project.root / "config" / "dev.yml", path, value)


def instances(twice: str = "", **changes: str) -> dict[str, Any]:
    """A section compute.instances for one user, or for a second one who shares a key with the first."""
    ada = {"name": "ada", "object_id": "00000000-0000-0000-0000-00000000000a", "instance": "ci-ada-a1b2c3"}
    bob = {"name": "bob", "object_id": "00000000-0000-0000-0000-00000000000b", "instance": "ci-bob-a1b2c3"}
    hours = {"start_cron": "0 8 * * 1-5", "stop_cron": "0 18 * * 1-5", "time_zone": "UTC"}
    return {
        "vm_size": "V",
        "idle_minutes": 60,
        **hours,
        "users": [ada | changes] if not twice else [ada, bob | {twice: ada[twice]}],
    }


@pytest.mark.parametrize("environment", HERE.environments)
def test_every_environment_of_this_project_is_complete(environment: str) -> None:
    assert load_environment(HERE, environment).environment == environment


def test_all_environments_of_this_project_share_one_registry() -> None:
    assert len({load_environment(HERE, environment).names.registry for environment in HERE.environments}) == 1


def test_no_two_environments_share_a_workspace_or_a_state() -> None:
    configs = [load_environment(HERE, environment) for environment in HERE.environments]
    assert len({config.names.workspace for config in configs}) == len(configs)
    states = [config.terraform_state for config in configs if config.terraform_state]
    assert len({(state.storage_account, state.key) for state in states}) == len(states)


def test_the_project_is_found_from_any_folder_in_it(project: Project) -> None:
    assert Project.load(project.root / "mlops" / "aml-cli-v2") == project


def test_outside_a_project_the_error_says_where_to_go(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run mlops in the folder of a generated project"):
        Project.load(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("infrastructure", None, "[tool.mlops] infrastructure: the key is missing"),
        ("infrastructure", "pulumi", "[tool.mlops] infrastructure: input should be 'terraform', 'bicep' or 'existing'"),
        ("version", "aml-cli-v9", "[tool.mlops] version: input should be 'aml-cli-v2', 'python-sdk-v2' or"),
        ("add_ons", "monitoring", "[tool.mlops] add_ons: input should be a valid list"),
        ("add_ons", ["swimming-pool"], "[tool.mlops] add_ons.0: input should be 'private-network', "),
        ("repository", "noslash", "[tool.mlops] repository: string should match pattern"),
        ("versoin", "x", "[tool.mlops] versoin: unknown key"),
    ],
)
def test_a_wrong_choice_is_named_with_its_error(project: Project, key: str, value: object, expected: str) -> None:
    choices: dict[str, Any] = {"package": "p", "version": HERE.version, "infrastructure": "terraform"} | {key: value}
    lines = [f"{name} = {json.dumps(choice)}" for name, choice in choices.items() if choice is not None]
    (project.root / "pyproject.toml").write_text("\n".join(["[tool.mlops]", *lines]), encoding="utf-8")
    with pytest.raises(UserError) as error:
        Project.load(project.root)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("repository", ["", "my-org/flight-delays", "my-org/Data Science/Flight Delays"])
def test_projects_and_repositories_of_azure_devops_have_spaces(project: Project, repository: str) -> None:
    path = project.root / "pyproject.toml"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("repository")]
    path.write_text("\n".join([*lines, f"repository = {json.dumps(repository)}"]), encoding="utf-8")
    assert Project.load(project.root).repository == repository


def test_choices_that_are_no_table_are_one_line(project: Project) -> None:
    (project.root / "pyproject.toml").write_text("[tool]\nmlops = 3\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"\[tool.mlops\] input should be a valid dictionary"):
        Project.load(project.root)


def test_a_version_without_its_folder_is_named(project: Project) -> None:
    shutil.rmtree(project.definitions)
    with pytest.raises(UserError, match=f"version: there is no folder mlops/{HERE.version}"):
        Project.load(project.root)


def test_model_settings_are_no_environment(project: Project) -> None:
    assert project.environments == ["dev", "test", "prod"]


def test_an_unknown_environment_is_answered_with_the_known_ones(project: Project) -> None:
    assert failure(project, "stage") == "unknown environment 'stage': config/ describes dev, test, prod"


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("names.workspace", None, "config/dev.yml: names.workspace: the key is missing"),
        ("names.workspce", "w", "config/dev.yml: names.workspce: unknown key"),
        ("compute.online.instance_count", "two", "compute.online.instance_count: input should be a valid integer"),
        ("rollout.canary_percent", 100, "rollout.canary_percent: input should be less than or equal to 99"),
        ("rollout.max_error_percent", 101, "rollout.max_error_percent: input should be less than or equal to 100"),
        ("rollout.max_latency_ms", 0, "rollout.max_latency_ms: input should be greater than or equal to 1"),
        ("rollout.without_traffic", "fail", "rollout.without_traffic: input should be 'warn' or 'stop'"),
        (
            "rollout.without_traffic",
            "stop",
            'is "stop", but a canary of 0 minutes is not watched: raise rollout.canary_minutes, or choose "warn"',
        ),
        ("model.source", "storage", "model.source: input should be 'workspace' or 'registry'"),
        ("names.online_endpoint", "My_Endpoint", "names.online_endpoint: string should match pattern"),
        ("environment", "prod", "environment: is 'prod', but must be 'dev'"),
        ("budget.monthly_amount", 0, "budget.monthly_amount: input should be greater than or equal to 1"),
        ("storage", {"redundancy": "GRS"}, "storage.redundancy: input should be 'LRS' or 'ZRS'"),
        ("retention.version_days", 0, "retention.version_days: input should be greater than or equal to 1"),
        (
            "retention.collected_days",
            9,
            "retention.collected_days: the monitor compares two times 5 days: keep 10 at least",
        ),
        ("names.key_vault", None, "config/dev.yml: names.key_vault: the key is missing"),
        ("security", None, "config/dev.yml: security: the key is missing"),
        ("terraform_state", None, "config/dev.yml: terraform_state: the key is missing"),
        ("names.data_lake", "stlake", "names.data_lake: the project does not build this: choose the add-on data-lake"),
        ("compute.instances", instances(instance="ci-ada-1"), "a hyphen and a number: ci-ada-1"),
        ("compute.instances", instances(object_id="ada"), "users.0.object_id: string should match"),
        ("compute.instances", instances(twice="instance"), "users: the instance ci-ada-a1b2c3 is there twice"),
        (
            "compute.instances",
            instances(twice="object_id"),
            "users: the object_id 00000000-0000-0000-0000-00000000000a",
        ),
        ("compute.cluster.vm_size", None, "config/dev.yml: compute.cluster.vm_size: the key is missing"),
        ("compute.instances", instances() | {"users": []}, "compute.instances.users: list should have at least 1 item"),
        (
            "compute.training",
            {"nodes": 3},
            "compute.training.nodes: 3 are more than the max_nodes of cluster, 2",
        ),
        ("compute.training", {"nodes": 0}, "compute.training.nodes: input should be greater than or equal to 1"),
        ("compute.training", {"processes_per_node": 0}, "compute.training.processes_per_node: input should be greater"),
        ("compute.training", {"cluster": "gpu"}, "compute.training.cluster: there is no cluster gpu: use cluster"),
        ("compute.batch.cluster", "gpu", "compute.batch.cluster: there is no cluster gpu: use cluster"),
        ("compute.batch.bad_files", "skip", "compute.batch.bad_files: input should be 'report' or 'stop'"),
        ("alerts", {"latency_ms": 1, "error_percent": 1, "failed_jobs": 1}, "'add_ons=[monitoring]'`"),
    ],
)
def test_a_wrong_key_is_named_with_its_error(project: Project, path: str, value: object, expected: str) -> None:
    edit(project, path, value)
    assert expected in failure(project)


def test_a_file_of_an_older_release_trains_in_one_process_and_stops_at_a_bad_file(project: Project) -> None:
    path = project.root / "config" / "dev.yml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    document["compute"].pop("training", None)
    del document["compute"]["batch"]["bad_files"]
    write_yaml(path, document)
    compute = load_environment(project, "dev").compute
    assert (compute.training.nodes, compute.training.processes_per_node) == (1, 1)
    assert (compute.training_cluster, compute.batch_cluster) == ("cluster", "cluster")
    assert compute.batch.bad_files == "stop"


def test_a_file_of_an_older_release_ends_a_canary_for_its_errors_alone(project: Project) -> None:
    assert load_yaml(project.root / "config" / "dev.yml")["rollout"].keys() == {"canary_percent", "canary_minutes"}
    rollout = load_environment(project, "dev").rollout
    assert (rollout.max_error_percent, rollout.max_latency_ms, rollout.without_traffic) == (5, None, "warn")


def test_a_file_of_an_older_release_passes_no_model_on(project: Project) -> None:
    assert "delivery" not in load_yaml(project.root / "config" / "dev.yml")
    assert load_environment(project, "dev").delivery.next == ""


@pytest.mark.parametrize(
    ("environment", "following", "problem"),
    [
        ("dev", "stage", "delivery.next: is 'stage', but the other environments are test, prod"),
        ("dev", "dev", "delivery.next: is 'dev', but the other environments are test, prod"),
        ("test", "dev", "delivery.next: dev takes its models from its own workspace"),
        ("dev", "test", ""),
        ("test", "", ""),
    ],
)
def test_a_model_goes_on_to_another_environment_that_takes_it_from_the_registry(
    project: Project, environment: str, following: str, problem: str
) -> None:
    file = project.root / "config" / f"{environment}.yml"
    write_yaml(file, {**load_yaml(file), "delivery": {"next": following}})
    if not problem:
        assert load_environment(project, environment).delivery.next == following
        return
    with pytest.raises(UserError, match=re.escape(f"config/{environment}.yml: {problem}")):
        load_environment(project, environment)


def test_what_is_wrong_in_the_file_of_the_next_environment_is_reported_for_that_one(project: Project) -> None:
    file = project.root / "config" / "dev.yml"
    write_yaml(file, {**load_yaml(file), "delivery": {"next": "test"}})
    (project.root / "config" / "test.yml").write_text("a: [", encoding="utf-8")
    assert load_environment(project, "dev").delivery.next == "test"


def test_training_and_batch_jobs_run_where_the_configuration_says(project: Project) -> None:
    gpu = {"name": "gpu-cluster", "vm_size": "V", "min_nodes": 0, "max_nodes": 5, "idle_minutes": 15}
    edit(project, "compute.gpu_cluster", gpu)
    edit(project, "compute.training", {"cluster": "gpu-cluster", "nodes": 5})
    edit(project, "compute.batch.cluster", "gpu-cluster")
    choices = project.root / "pyproject.toml"
    choices.write_text(choices.read_text(encoding="utf-8").replace("add_ons = []", 'add_ons = ["gpu-cluster"]'))
    compute = load_environment(Project.load(project.root), "dev").compute
    chosen = (compute.training_cluster, compute.batch_cluster, compute.cluster.name)
    assert chosen == ("gpu-cluster", "gpu-cluster", "cluster")


@pytest.mark.parametrize(
    ("vm_size", "processes", "problem"),
    [
        ("Standard_NC24ads_A100_v4", 1, ""),
        ("Standard_NC24ads_A100_v4", 2, "2 processes, and Standard_NC24ads_A100_v4 of cluster has 1: use one process"),
        ("STANDARD_NC64AS_T4_V3", 4, ""),
        ("STANDARD_NC64AS_T4_V3", 5, "5 processes, and STANDARD_NC64AS_T4_V3 of cluster has 4"),
        ("Standard_ND96isr_H100_v5", 9, "9 processes, and Standard_ND96isr_H100_v5 of cluster has 8"),
        ("Standard_NV6ads_A10_v5", 2, "2 processes, and Standard_NV6ads_A10_v5 of cluster has 1"),
        ("Standard_NC999ads_X1_v9", 64, ""),
        ("Standard_D4as_v4", 4, ""),
    ],
)
def test_more_processes_than_a_node_has_gpus_are_refused_where_their_number_is_known(
    project: Project, vm_size: str, processes: int, problem: str
) -> None:
    edit(project, "compute.cluster.vm_size", vm_size)
    edit(project, "compute.training", {"processes_per_node": processes})
    if problem:
        assert f"config/dev.yml: compute.training.processes_per_node: {problem}" in failure(project)
    else:
        assert load_environment(project, "dev").compute.training.processes_per_node == processes


@pytest.mark.parametrize("kind", ["new", "existing"])
def test_the_host_of_blobs_is_that_of_the_workspaces_own_storage_which_others_do_not_name(kind: Kind) -> None:
    config = EnvironmentConfig.model_validate(configuration("dev", "workspace", kind))
    assert config.storage_hosts == (["storageaccountdev.blob.core.windows.net"] if kind == "new" else [])


@pytest.mark.parametrize("project", ["closed"], indirect=True)
@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("network", None, "config/dev.yml: network: the key is missing, and the add-on private-network needs it"),
        ("names.virtual_network", None, "names.virtual_network: the key is missing, and the add-on private-network"),
        ("network.address_space", "10.80.0.0/33", "network.address_space: "),
        ("network.address_space", "10.80.0.1/16", "network.address_space: "),
        ("network.address_space", "8.8.0.0/16", "network.address_space: 8.8.0.0/16 is no private range"),
        ("network.address_space", "172.16.0.0/12", "network.address_space: 172.16.0.0/12 overlaps 172.17.0.0/16"),
        ("network.endpoints_subnet", "10.81.0.0/24", "endpoints_subnet 10.81.0.0/24 is not inside address_space"),
        ("network.runners_subnet", "10.80.0.0/25", "endpoints_subnet 10.80.0.0/24 overlaps runners_subnet"),
        ("network.outbound", "everything", "network.outbound: input should be 'internet' or 'approved'"),
        ("network.outbound_hosts", ["https://example.com/"], "'https://example.com/' is no host: write its name alone"),
        ("network.endpoints_subnet", "10.80.0.0/28", "10.80.0.0/28 is too small: use a range of /27 or larger"),
        ("network.runners_subnet", "10.80.1.0/30", "10.80.1.0/30 is too small: use a range of /29 or larger"),
        ("network.runners_subnet", None, "network: runners_subnet: the key is missing, and so is existing_subnet_id"),
        ("network.existing_subnet_id", "snet-ml", "network.existing_subnet_id: string should match pattern"),
        ("network.existing_subnet_id", SUBNET, "remove address_space, endpoints_subnet, runners_subnet"),
        ("network.dns", "hub", "network.dns: input should be 'own', 'central' or 'policy'"),
        ("network.dns_zone_ids", [f"{ZONES}/{BLOB}"], 'dns_zone_ids are for dns: "central", and dns is "own"'),
        ("network.outbound_rules", {"sql": {"resource_id": SUBNET}}, "give resource_id and group (a private endpoint)"),
        ("network.outbound_rules", {"sql": {"service_tag": "Sql", "group": "x", "ports": "1"}}, "give resource_id and"),
        ("network.outbound_rules", {"My rule": {"service_tag": "Sql", "ports": "1"}}, "network.outbound_rules"),
    ],
)
def test_a_wrong_network_is_named_with_its_error(project: Project, path: str, value: object, expected: str) -> None:
    edit(project, path, value)
    assert expected in failure(project)


VAULT = "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/KV-company"
KEY = {
    "key_id": f"https://kv-company.vault.azure.net/keys/ml/{'0' * 32}",
    "vault_id": VAULT,
    "identity_id": "/subscriptions/s/resourceGroups/g/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id",
    "identity_client_id": "00000000-0000-0000-0000-00000000000c",
}
GROUP = "00000000-0000-0000-0000-0000000000ab"


@pytest.mark.parametrize("project", ["new"], indirect=True)
@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("security.customer_key", KEY, None),
        (
            "security.customer_key",
            KEY | {"vault_id": f"{VAULT}2"},
            "key_id is of another vault than vault_id, KV-company2",
        ),
        (
            "security.customer_key",
            KEY | {"key_id": "https://kv-company.vault.azure.net/keys/ml"},
            "customer_key.key_id",
        ),
        (
            "security.customer_key",
            KEY | {"identity_id": "id"},
            "security.customer_key.identity_id: string should match",
        ),
        ("retention.log_analytics_id", VAULT, "retention.log_analytics_id: string should match pattern"),
        ("access", {"data_scientists": [GROUP]}, None),
        ("access", {"data_scientists": ["data-scientists"]}, "access.data_scientists.0: string should match pattern"),
        ("access", {"data_scientists": [GROUP.upper(), GROUP]}, "is there twice: remove one"),
    ],
)
def test_what_the_company_gives_is_checked_for_its_form(
    project: Project, path: str, value: object, expected: str | None
) -> None:
    edit(project, path, value)
    if expected:
        assert expected in failure(project)
    else:
        load_environment(project, "dev")


@pytest.mark.parametrize("project", ["closed"], indirect=True)
def test_a_subnet_that_exists_takes_the_place_of_the_ranges(project: Project) -> None:
    network = {"existing_subnet_id": SUBNET, "dns": "policy", "outbound": "internet", "outbound_hosts": []}
    edit(project, "network", network | {"dns_servers": ["10.0.0.4"]})
    assert failure(project).endswith(
        "network: existing_subnet_id is in a network with DNS servers of its own: remove dns_servers"
    )
    edit(project, "network", network)
    config = load_environment(project, "dev")
    assert config.closed
    assert config.network is not None
    assert config.network.existing_subnet_id == SUBNET


@pytest.mark.parametrize("project", ["closed"], indirect=True)
@pytest.mark.parametrize(
    ("zones", "expected"),
    [
        ([BLOB], None),
        ([], f"network.dns_zone_ids: add the id of the zone {BLOB}"),
        ([BLOB, "privatelink.blob.windows.net"], "no private endpoint has a use for privatelink.blob.windows.net"),
        ([BLOB, "privatelink.dfs.core.windows.net"], None),
        ([BLOB, BLOB], f"{BLOB} is there twice"),
    ],
)
def test_central_zones_have_the_names_that_the_endpoints_need(
    project: Project, zones: list[str], expected: str | None
) -> None:
    write_yaml(project.root / "infrastructure" / "shared" / "private-network.yml", PRIVATE_NETWORK)
    edit(project, "network.dns", "central")
    edit(project, "network.dns_zone_ids", [f"{ZONES}/{zone}" for zone in zones])
    if expected:
        assert expected in failure(project)
    else:
        assert load_environment(project, "dev").network


@pytest.mark.parametrize("project", ["existing"], indirect=True)
def test_workspaces_of_others_need_no_settings_of_infrastructure_and_take_none(project: Project) -> None:
    config = load_environment(project, "dev")
    assert (config.provisioned, config.closed) == (False, False)
    edit(project, "budget", {"monthly_amount": 300})
    assert failure(project) == "config/dev.yml: budget: the project does not build this: remove the key"
    edit(project, "budget", None)
    edit(project, "storage", {"redundancy": "ZRS"})
    assert failure(project) == "config/dev.yml: storage: the project does not build this: remove the key"


@pytest.mark.parametrize("project", ["existing"], indirect=True)
def test_of_a_cluster_of_others_only_the_name_is_written_down(project: Project) -> None:
    assert load_environment(project, "dev").compute.cluster.name == "cluster"
    edit(project, "compute.cluster.max_nodes", 4)
    assert (
        failure(project) == "config/dev.yml: compute.cluster.max_nodes: the project does not build this: remove the key"
    )


def test_a_file_from_before_the_keys_of_storage_keeps_what_was_built(project: Project) -> None:
    config = load_environment(project, "dev")
    assert config.storage is None
    assert config.redundancy == "LRS"
    assert config.retention
    assert (config.retention.version_days, config.retention.collected_days) == (30, 90)


def test_terraform_may_leave_a_registry_where_an_older_release_built_it(tmp_path: Path) -> None:
    project = create_project(tmp_path / "registry", "with a registry")
    file = project.root / "config" / "dev.yml"
    set_key(file, "names.registry_resource_group", "RG-dev")
    set_key(file, "names.registry_log_analytics", "log-shared")
    set_key(file, "model_registry.log_days", 90)
    config = load_environment(project, "dev")
    assert config.builds_registry_apart
    assert config.keeps_registry_in_own_group
    set_key(file, "terraform_state", None)  # Bicep has no state that could move
    assert failure(project, "dev").startswith(
        "config/dev.yml: names.registry_resource_group: RG-dev is the environment's own group, which a teardown deletes"
    )


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("retention.log_days", 29, "retention.log_days: input should be greater than or equal to 30"),
        ("retention.log_days", 731, "retention.log_days: input should be less than or equal to 730"),
        ("compute.cluster.min_nodes", 9, "compute.cluster.min_nodes: 9 are more than max_nodes, "),
        (
            "compute.gpu_cluster",
            {"name": "cpu", "vm_size": "Standard_NC4as_T4_v3", "min_nodes": 0, "max_nodes": 1, "idle_minutes": 15},
            "compute.gpu_cluster.name: compute.cluster is cpu, too: use another name",
        ),
        ("names.data_lake", "storagedev", "names.data_lake: is the storage account of the workspace, too"),
    ],
)
def test_what_azure_refuses_in_the_middle_of_a_deployment_is_refused_in_the_config(
    tmp_path: Path, key: str, value: object, problem: str
) -> None:
    project = create_project(tmp_path / "project", "new")
    set_key(project.root / "config" / "dev.yml", "compute.cluster.name", "cpu")
    set_key(project.root / "config" / "dev.yml", "names.storage_account", "storagedev")
    set_key(project.root / "config" / "dev.yml", key, value)
    assert failure(project, "dev").startswith(f"config/dev.yml: {problem}")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, ""),
        ({"names.registry_resource_group": None}, ""),  # a file of an older release
        ({"names.registry_log_analytics": None}, "names.registry_log_analytics: the key is missing"),
        ({"model_registry.log_days": None}, "model_registry.log_days: the key is missing"),
    ],
)
def test_a_registry_is_apart_from_its_environment_and_has_a_log(
    tmp_path: Path, changes: dict[str, str | None], problem: str
) -> None:
    project = create_project(tmp_path / "registry", "with a registry")
    file = project.root / "config" / "dev.yml"
    apart = {"names.registry_resource_group": "rg-shared", "names.registry_log_analytics": "log-shared"}
    for key, value in (apart | {"model_registry.log_days": 90}).items():
        set_key(file, key, value)
    for key, value in changes.items():
        set_key(file, key, value)
    if problem:
        assert failure(project, "dev").startswith(f"config/dev.yml: {problem}")
    else:
        config = load_environment(project, "dev")
        assert config.builds_registry_apart == (not changes)
        assert config.registry_group == ("rg-dev" if changes else "rg-shared")
    assert not load_environment(project, "test").builds_registry_apart


@pytest.mark.parametrize(("project", "closed"), [("new", False), ("closed", True)], indirect=["project"])
def test_an_environment_is_closed_when_it_has_a_network(project: Project, closed: bool) -> None:
    config = load_environment(project, "prod")
    assert (config.provisioned, config.closed) == (True, closed)


def test_broken_yaml_is_named_with_its_line(project: Project) -> None:
    (project.root / "config" / "dev.yml").write_text("environment: dev\ntags: {a\n", encoding="utf-8")
    assert "dev.yml:3: not valid YAML" in failure(project)


def test_a_key_that_is_there_twice_is_named_with_its_line(project: Project) -> None:
    path = project.root / "config" / "dev.yml"
    path.write_text(path.read_text(encoding="utf-8") + "location: elsewhere\n", encoding="utf-8")
    line = len(path.read_text(encoding="utf-8").splitlines())
    assert f"dev.yml:{line}: the key location is there twice: join the two, or delete one" in failure(project)


def test_an_empty_file_is_an_error(project: Project) -> None:
    (project.root / "config" / "dev.yml").write_text("", encoding="utf-8")
    assert "expected keys and values, found NoneType" in failure(project)


def test_a_folder_in_place_of_a_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        load_yaml(tmp_path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.yml is missing"):
        load_yaml(tmp_path / "none.yml")


def test_a_configuration_cannot_be_changed_by_accident(project: Project) -> None:
    config = load_environment(project, "dev")
    with pytest.raises(ValueError, match="frozen"):
        config.location = "elsewhere"  # type: ignore[misc]
    assert config.location == configuration("dev", "workspace")["location"]


# --- what the monitor compares


def test_the_monitor_gets_the_first_metric_of_each_type_because_azure_ml_accepts_one(project: Project) -> None:
    kinds = {
        "numerical": {"normalized_wasserstein_distance": 0.3, "jensen_shannon_distance": 0.1},
        "categorical": {"population_stability_index": 0.4},
    }
    project.settings.write_text(yaml.safe_dump({"drift": kinds}, sort_keys=False), encoding="utf-8")
    rules = drift_rules(project)
    assert rules.thresholds == {
        "numerical": {"normalized_wasserstein_distance": 0.3},
        "categorical": {"population_stability_index": 0.4},
    }
    assert rules.features == "all_features"


def test_the_monitor_compares_added_features_and_not_what_they_are_made_of(project: Project) -> None:
    columns = {**SCHEMA["columns"], "text": {"type": "text", "role": "input"}}
    added = {"load": {"type": "number"}, "weekday": {"type": "category", "role": "calendar"}}
    write_yaml(project.schema, {**SCHEMA, "columns": columns, "features": added})
    assert drift_rules(project).features == ["x", "load"]


def test_the_monitor_leaves_the_calendar_out(project: Project) -> None:
    columns = {
        "y": {"type": "number"},
        "x": {"type": "number"},
        "month": {"type": "integer", "role": "calendar"},
        "day": {"type": "date", "derive": ["month"]},
        "id": {"type": "text", "role": "ignore"},
        "place": {"type": "category", "role": "feature"},
    }
    write_yaml(project.schema, {"target": "y", "task": "regression", "columns": columns})
    assert drift_rules(project).features == ["place", "x"]


@pytest.mark.skipif(not TORCH, reason="the inputs of a table are the columns that the collector records")
def test_the_monitor_of_this_project_names_no_input_that_the_collector_describes_instead() -> None:
    assert drift_rules(HERE).features == "all_features"


def test_thresholds_without_a_metric_are_refused_in_one_line(project: Project) -> None:
    write_yaml(project.settings, {"drift": {"numerical": 0.2}})
    with pytest.raises(UserError, match="drift: give `metric: threshold` lines"):
        drift_rules(project)


def test_a_project_without_thresholds_is_told_where_they_belong(project: Project) -> None:
    write_yaml(project.settings, {"training": {}})
    with pytest.raises(UserError, match=r"config/model\.yml: drift: the key is missing"):
        drift_rules(project)
