"""The fake Azure refuses what Azure refuses, as the real SDK sees it, and lets no request out."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from azure.ai.ml import MLClient
from azure.ai.ml.entities import (
    BatchEndpoint,
    CronTrigger,
    Data,
    JobSchedule,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    Model,
    ModelBatchDeployment,
    Registry,
    RegistryRegionDetails,
)
from azure.core.exceptions import (
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.identity import AzureCliCredential
from azure_ml import RETRIES
from fake_azure import SUBSCRIPTION, FakeAzure, UnknownRequestError, token


@pytest.fixture
def azure() -> Iterator[FakeAzure]:
    """An Azure with two workspaces in one region and one in another."""
    azure = FakeAzure()
    for name, location in {"ws": "westeurope", "neighbour": "westeurope", "far": "northeurope"}.items():
        azure.add_workspace("rg", name, location, cluster="cluster")
    with azure.running():
        yield azure


def client(workspace: str = "ws", **options: str) -> MLClient:
    """The real client of a workspace, or of a registry."""
    options = options or {"workspace_name": workspace}
    return MLClient(AzureCliCredential(), SUBSCRIPTION, "rg", **options, enable_telemetry=False, show_progress=False)


def endpoint(workspace: str = "ws", *, auth_mode: str = "aad_token", **traffic: int) -> None:
    """Create or update an online endpoint."""
    entity = ManagedOnlineEndpoint(name="an-endpoint", auth_mode=auth_mode, traffic=traffic)
    client(workspace).online_endpoints.begin_create_or_update(entity).result()


def register(folder: Path, version: str = "1", workspace: str = "ws", **options: str) -> None:
    """Register a model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text("flavors: {}\n", encoding="utf-8")
    model = Model(name="a-model", version=version, path=folder, type="mlflow_model")
    client(workspace, **options).models.create_or_update(model)


def deploy(name: str = "blue", model: str = "azureml:a-model:1", **options: object) -> None:
    """Create an online deployment."""
    options = {"instance_type": "Standard_D2as_v4", "instance_count": 1, **options}
    entity = ManagedOnlineDeployment(name=name, endpoint_name="an-endpoint", model=model, **options)
    client().online_deployments.begin_create_or_update(entity).result()


def served(folder: Path) -> None:
    """An endpoint whose deployment has all traffic."""
    register(folder)
    endpoint()
    deploy()
    endpoint(blue=100)


def batch(folder: Path) -> None:
    """A batch endpoint with a default deployment."""
    register(folder)
    operations = client().batch_endpoints
    operations.begin_create_or_update(BatchEndpoint(name="a-batch")).result()
    entity = ModelBatchDeployment(name="one", endpoint_name="a-batch", model="azureml:a-model:1", compute="cluster")
    client().batch_deployments.begin_create_or_update(entity).result()
    found = operations.get("a-batch")
    found.defaults = {"deployment_name": "one"}
    operations.begin_create_or_update(found).result()


def scheduled(azure: FakeAzure) -> None:
    """A schedule of a job that has run before."""
    (workspace,) = [item["id"] for item in azure.resources.values() if item["name"] == "ws"]
    job = f"{workspace}/jobs/a-job"
    azure.put(job, {"properties": {"jobType": "Pipeline", "status": "Completed"}})
    trigger = CronTrigger(expression="0 4 * * 1", time_zone="UTC")
    entity = JobSchedule(name="a-schedule", trigger=trigger, create_job=job)
    client().schedules.begin_create_or_update(entity).result()


def registry(name: str, *locations: str) -> None:
    """Create a registry."""
    regions = [RegistryRegionDetails(location=location) for location in locations]
    entity = Registry(name=name, location=locations[0], replication_locations=regions)
    client().registries.begin_create(entity).result()


def share(version: str = "1", workspace: str = "ws") -> None:
    """Copy a model to the registry."""
    options = {"share_with_name": "a-model", "share_with_version": version, "registry_name": "a-registry"}
    client(workspace).models.share("a-model", version, **options)


def refused(error: type[Exception], words: str, action: Callable[[], object]) -> None:
    """Do what must be refused."""
    with pytest.raises(error) as refusal:
        action()
    assert words in str(refusal.value)


# What exists and what does not.


def test_what_does_not_exist_is_not_found(azure: FakeAzure) -> None:
    ml = client()
    for action in (
        lambda: ml.online_endpoints.get("an-endpoint"),
        lambda: ml.models.get("a-model", version="1"),
        lambda: ml.jobs.get("a-job"),
        lambda: ml.compute.get("another"),
        lambda: list(ml.data.list(name="some-data")),
    ):
        refused(ResourceNotFoundError, "", action)


def test_a_missing_workspace_and_a_missing_group_are_told_apart(azure: FakeAzure) -> None:
    refused(ResourceNotFoundError, "ResourceNotFound", lambda: client().workspaces.get("no-such"))
    refused(ResourceNotFoundError, "ParentResourceNotFound", lambda: list(client("no-such").online_endpoints.list()))
    azure.groups.clear()
    refused(ResourceNotFoundError, "ResourceGroupNotFound", lambda: client().workspaces.get("ws"))


def test_data_never_changes_under_its_version(azure: FakeAzure, tmp_path: Path) -> None:
    file = tmp_path / "rows.csv"
    for text, expected in {"a": "created", "b": "refused"}.items():
        file.write_text(text, encoding="utf-8")
        entity = Data(name="rows", version="1", path=file, type="uri_file")
        if expected == "created":
            client().data.create_or_update(entity)
        else:
            refused(HttpResponseError, "cannot be changed", lambda data=entity: client().data.create_or_update(data))


# Online endpoints.


def test_the_name_of_an_endpoint_is_the_only_one_in_its_region(azure: FakeAzure) -> None:
    endpoint()
    refused(ResourceExistsError, "is taken", lambda: endpoint("neighbour"))
    endpoint("far")


def test_the_callers_of_an_endpoint_sign_in_as_they_did_at_first(azure: FakeAzure) -> None:
    endpoint()
    refused(HttpResponseError, "authentication mode", lambda: endpoint(auth_mode="key"))


def test_an_endpoint_for_tokens_has_no_keys(azure: FakeAzure) -> None:
    endpoint()
    url = f"https://management.azure.com/subscriptions/{SUBSCRIPTION}/resourceGroups/rg/providers"
    url += "/Microsoft.MachineLearningServices/workspaces/ws/onlineEndpoints/an-endpoint/listKeys"
    answer = requests.post(url, headers={"Authorization": f"Bearer {token('https://management.azure.com')}"}, timeout=1)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("traffic", "words"),
    [({"blue": 90}, "sum to 0 or 100"), ({"blue": 60, "green": 40}, "do not exist: green")],
    ids=["a part", "to no deployment"],
)
def test_traffic_is_shared_among_those_that_are_there(
    azure: FakeAzure, tmp_path: Path, traffic: dict[str, int], words: str
) -> None:
    served(tmp_path / "model")
    refused(HttpResponseError, words, lambda: endpoint(**traffic))
    assert client().online_endpoints.get("an-endpoint").traffic == {"blue": 100}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "azureml:a-model:7"}, "a-model"),
        ({"model": "azureml://registries/nowhere/models/a-model/versions/1"}, "nowhere"),
        ({"environment": "azureml:an-environment:1"}, "an-environment"),
    ],
    ids=["model", "registry", "environment"],
)
def test_a_deployment_needs_what_it_names(
    azure: FakeAzure, tmp_path: Path, options: dict[str, str], words: str
) -> None:
    register(tmp_path / "model")
    endpoint()
    refused(Exception, words, lambda: deploy(**options))
    assert not list(client().online_deployments.list("an-endpoint"))


def test_a_deployment_needs_an_endpoint(azure: FakeAzure, tmp_path: Path) -> None:
    register(tmp_path / "model")
    refused(ResourceNotFoundError, "an-endpoint", deploy)


def test_a_deployment_with_traffic_is_not_deleted(azure: FakeAzure, tmp_path: Path) -> None:
    served(tmp_path / "model")
    delete = client().online_deployments.begin_delete
    refused(HttpResponseError, "with traffic", lambda: delete("blue", endpoint_name="an-endpoint").result())
    endpoint(blue=0)
    delete("blue", endpoint_name="an-endpoint").result()
    assert not list(client().online_deployments.list("an-endpoint"))


def test_a_request_goes_where_the_traffic_goes(azure: FakeAzure, tmp_path: Path) -> None:
    served(tmp_path / "model")
    deploy("green")
    azure.answers = {"blue": 1, "green": 2}
    request = tmp_path / "request.json"
    request.write_text('{"input_data": {"columns": ["x"], "data": [[1], [2]]}}', encoding="utf-8")
    invoke = client().online_endpoints.invoke
    assert invoke("an-endpoint", request_file=str(request)) == '{"predictions": [1, 1]}'
    assert invoke("an-endpoint", request_file=str(request), deployment_name="green") == '{"predictions": [2, 2]}'


def test_only_a_token_for_azure_ml_opens_the_scoring_address(azure: FakeAzure, tmp_path: Path) -> None:
    served(tmp_path / "model")
    url = "https://an-endpoint.westeurope.inference.ml.azure.com/score"
    headers = {"Authorization": f"Bearer {token('https://management.azure.com')}"}
    assert requests.post(url, json={}, headers=headers, timeout=1).status_code == 401
    assert requests.post(url, json={}, timeout=1).status_code == 401


# Batch endpoints and schedules.


def test_the_default_of_a_batch_endpoint_is_not_deleted(azure: FakeAzure, tmp_path: Path) -> None:
    batch(tmp_path / "model")
    delete = client().batch_deployments.begin_delete
    refused(HttpResponseError, "default deployment", lambda: delete("one", endpoint_name="a-batch").result())


def test_a_batch_endpoint_has_no_default_that_is_not_there(azure: FakeAzure) -> None:
    entity = BatchEndpoint(name="a-batch", defaults={"deployment_name": "two"})
    operation = client().batch_endpoints.begin_create_or_update
    refused(HttpResponseError, "two does not exist", lambda: operation(entity).result())


def test_a_schedule_that_is_on_is_not_deleted(azure: FakeAzure) -> None:
    scheduled(azure)
    schedules = client().schedules
    refused(HttpResponseError, "disable it first", lambda: schedules.begin_delete("a-schedule").result())
    schedules.begin_disable("a-schedule").result()
    assert not list(schedules.list())
    assert [item.name for item in schedules.list(list_view_type="All")] == ["a-schedule"]
    schedules.begin_delete("a-schedule").result()


# Registries.


def test_a_registry_takes_a_version_once_and_its_files_arrive(azure: FakeAzure, tmp_path: Path) -> None:
    register(tmp_path / "model")
    registry("a-registry", "westeurope")
    share()
    refused(Exception, "already exists", share)
    shared = client(registry_name="a-registry").models
    shared.download("a-model", version="1", download_path=tmp_path / "copy")
    (file,) = (tmp_path / "copy").rglob("MLmodel")
    assert file.read_text(encoding="utf-8") == "flavors: {}\n"


def test_a_registry_takes_nothing_from_a_region_that_it_does_not_name(azure: FakeAzure, tmp_path: Path) -> None:
    register(tmp_path / "model", workspace="far")
    registry("a-registry", "westeurope")
    refused(HttpResponseError, "northeurope", lambda: share(workspace="far"))


def test_a_closed_workspace_shares_nothing_but_a_registry_takes_files(azure: FakeAzure, tmp_path: Path) -> None:
    azure.add_workspace("rg", "closed", "westeurope", cluster="cluster", closed=True)
    register(tmp_path / "model", workspace="closed")
    registry("a-registry", "westeurope")
    refused(HttpResponseError, "closed", lambda: share(workspace="closed"))
    register(tmp_path / "model", registry_name="a-registry")
    client(registry_name="a-registry").models.download("a-model", version="1", download_path=tmp_path / "copy")
    assert [file.read_text(encoding="utf-8") for file in (tmp_path / "copy").rglob("MLmodel")] == ["flavors: {}\n"]


def test_a_registry_takes_no_files_without_a_model_among_them(azure: FakeAzure, tmp_path: Path) -> None:
    registry("a-registry", "westeurope")
    register(tmp_path / "above" / "model")
    above = Model(name="a-model", version="1", path=tmp_path / "above", type="mlflow_model")
    models = client(registry_name="a-registry").models
    refused(HttpResponseError, "no MLmodel file", lambda: models.create_or_update(above))


def test_a_model_in_a_registry_takes_tags_and_no_other_path(azure: FakeAzure, tmp_path: Path) -> None:
    register(tmp_path / "model")
    registry("a-registry", "westeurope")
    share()
    models = client(registry_name="a-registry").models
    model = models.get("a-model", version="1")
    model.tags = {"promoted_test": "yes"}
    models.create_or_update(model)
    assert models.get("a-model", version="1").tags == {"promoted_test": "yes"}
    model.path = "https://registry.blob.core.windows.net/other/model"
    refused(HttpResponseError, "cannot be changed", lambda: models.create_or_update(model))


def test_an_unknown_registry_is_not_found(azure: FakeAzure) -> None:
    refused(HttpResponseError, "RegistryNotFound", lambda: client(registry_name="nowhere"))


# Failures on demand.


def test_a_failure_before_the_work_leaves_nothing(azure: FakeAzure) -> None:
    azure.fail("create endpoint")
    refused(ResourceExistsError, "not now", endpoint)
    assert not list(client().online_endpoints.list())


def test_a_failure_in_the_background_shows_when_its_end_is_waited_for(azure: FakeAzure) -> None:
    azure.fail("create endpoint", "an-endpoint", after=True)
    poller = client().online_endpoints.begin_create_or_update(ManagedOnlineEndpoint(name="an-endpoint"))
    refused(HttpResponseError, "not now", poller.result)
    assert [item.name for item in client().online_endpoints.list()] == ["an-endpoint"]


def test_a_failure_hits_its_subject_alone_and_ends(azure: FakeAzure) -> None:
    azure.fail("create endpoint", "another-endpoint")
    endpoint()
    azure.fail("set traffic")
    refused(ResourceExistsError, "not now", endpoint)
    azure.works_again()
    endpoint()


def test_a_client_waits_while_it_is_throttled_and_gives_up_in_the_end(azure: FakeAzure, tmp_path: Path) -> None:
    """The rule of `azure_ml.RETRIES`, for reads and for changes."""
    register(tmp_path / "a")
    for act in (lambda: list(client().models.list()), endpoint):
        azure.throttled = RETRIES
        act()
        assert azure.throttled == 0
        azure.throttled = 1 + RETRIES
        with pytest.raises(HttpResponseError, match="TooManyRequests"):
            act()
        assert azure.throttled == 0


def test_a_client_reads_all_pages_of_a_list(azure: FakeAzure, tmp_path: Path) -> None:
    azure.page = 2
    for version in "12345":
        register(tmp_path / version, version)
    before = len(azure.calls)
    assert [model.version for model in client().models.list(name="a-model")] == list("54321")
    assert len([path for _, path, _ in azure.calls[before:] if path.endswith("/versions")]) == 3


@pytest.mark.parametrize("login", ["missing", "expired"])
def test_without_a_login_there_is_no_token(azure: FakeAzure, login: str) -> None:
    azure.login = login
    with pytest.raises(ClientAuthenticationError, match=r"az login|AADSTS70043"):
        list(client().online_endpoints.list())


def test_without_rights_nothing_is_done(azure: FakeAzure) -> None:
    azure.rights = False
    refused(HttpResponseError, "AuthorizationFailed", endpoint)


# Nothing goes out.


@pytest.mark.parametrize(
    "url",
    [
        "https://management.azure.com/subscriptions/any/no/such/route",
        "https://example.com/",
        "https://dc.services.visualstudio.com/v2/track",
    ],
)
def test_what_is_not_faked_fails_by_name_even_when_the_error_is_swallowed(url: str) -> None:
    azure = FakeAzure()

    def swallow() -> None:
        with azure.running():
            try:
                requests.get(url, timeout=1)
            except AssertionError:
                return

    with pytest.raises(UnknownRequestError, match=f"not faked: .*GET {url.removeprefix('https://')}"):
        swallow()


def test_no_other_library_reaches_the_network() -> None:
    azure = FakeAzure()

    def connect() -> None:
        with azure.running():
            socket.create_connection(("192.0.2.1", 80), timeout=1)

    with pytest.raises(UnknownRequestError, match=r"192\.0\.2\.1"):
        connect()
