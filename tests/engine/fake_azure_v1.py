"""What SDK v1 asks of Azure: its own services in the workspace's region, beside those that all SDKs use."""

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import fake_az
from clouds import MODEL, MONITOR, RETRAINING, HttpCloud, State
from fake_azure import (
    MANAGEMENT,
    REGION,
    SUBSCRIPTION,
    WORKSPACE,
    Blob,
    Call,
    Document,
    FakeAzure,
    RefusedError,
    default_store,
    missing,
)

from mlops.azureml.python_sdk_v1 import REMOVED, workspace
from mlops.config import Project, load_environment
from mlops.definitions.python_sdk_v1 import recurrence

NO_VALUE = "none"

# SDK v1 asks for its tokens under the older name of Azure's management.
assert REGION.audience
REGION.audience += ("https://management.core.windows.net",)


@MANAGEMENT.route("GET", "/subscriptions")
def list_subscriptions(azure: FakeAzure, call: Call) -> object:
    """The subscriptions of the person."""
    return {"value": [{"subscriptionId": SUBSCRIPTION, "displayName": "the subscription", "state": "Enabled"}]}


# Datastores and datasets.

DATASETS = f"/dataset/v1.0{WORKSPACE}/datasets"


@REGION.route("GET", f"/datastore/v1.0{WORKSPACE}/(?:default|datastores/workspaceblobstore)")
def default_datastore(azure: FakeAzure, call: Call) -> object:
    """The default datastore: like all of a workspace without keys it has no credential."""
    store = azure.get(f"{call.workspace}/datastores/workspaceblobstore")
    keys = ("accountName", "containerName", "endpoint", "protocol")
    section = {key: store["properties"][key] for key in keys} | {"credentialType": "None", "isSas": False}
    return {"name": store["name"], "dataStoreType": "AzureBlob", "azureStorageSection": section, "tags": {}}


@REGION.route("GET", DATASETS)
def list_datasets(azure: FakeAzure, call: Call) -> object:
    """The registered datasets, each in its newest version."""
    return {"value": [versions[-1] for versions in registered(azure, call).values()], "continuationToken": None}


@REGION.route("POST", DATASETS)
def register_dataset(azure: FakeAzure, call: Call) -> object:
    """A new version of a dataset: the number after the last one."""
    body = call.json
    with azure.doing("create data", body["name"]):
        versions = registered(azure, call).setdefault(body["name"], [])
        number = str(len(versions) + 1)
        identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{call.workspace}/{body['name']}/{number}"))
        latest = {**body["latest"], "versionId": number, "savedDatasetId": identity}
        store(azure, call, "saved")[identity] = latest["dataflow"]
        versions.append({**body, "datasetId": f"registered-{body['name']}", "latest": latest})
        return versions[-1]


@REGION.route("GET", f"{DATASETS}/query/name={{name}}")
def get_dataset(azure: FakeAzure, call: Call) -> object:
    """One version of a dataset, or the newest."""
    versions = registered(azure, call).get(call.names["name"], [])
    number = int(call.query.get("versionId", len(versions)))
    if not 0 < number <= len(versions):
        raise RefusedError(404, "UserError", f"No dataset {call.names['name']} with version {number}.")
    return versions[number - 1]


@REGION.route("POST", f"/dataset/v1.0{WORKSPACE}/saveddatasets")
def save_dataset(azure: FakeAzure, call: Call) -> object:
    """A dataset without a name."""
    identity = str(uuid.uuid4())
    store(azure, call, "saved")[identity] = call.json["dataflowJson"]
    return {**call.json, "id": identity}


@REGION.route("GET", f"/data/v1.0{WORKSPACE}/dataversion/unregistered-{{identity}}/versions/1")
def get_dataflow(azure: FakeAzure, call: Call) -> object:
    """What a dataset consists of."""
    return {"legacyDataflow": json.loads(item(azure, call, "saved", call.names["identity"]))["meta"]["RsDataflow"]}


def registered(azure: FakeAzure, call: Call) -> dict[str, list[Document]]:
    """Return the datasets of a workspace by name: their versions in order."""
    found: dict[str, list[Document]] = store(azure, call, "datasets")
    return found


def store(azure: FakeAzure, call: Call, kind: str) -> Any:
    """Return what a workspace keeps of a kind for SDK v1, as a dictionary that a route may change."""
    return stored(azure, call.workspace, kind)


def stored(azure: FakeAzure, workspace: str, kind: str) -> Any:
    """Return the same by the path of the workspace."""
    return azure.kept.setdefault(f"{workspace}/v1/{kind}".lower(), {})


# Pipelines.

AEVA = f"/pipelines/v1.0{WORKSPACE}"


@REGION.route("GET", f"{AEVA}/PipelineEndpoints/Name")
def get_endpoint(azure: FakeAzure, call: Call) -> object:
    """A pipeline endpoint by its name."""
    for endpoint in store(azure, call, "endpoints").values():
        if endpoint["Name"] == call.query["Name"]:
            return endpoint
    raise RefusedError(404, "UserError", "no endpoint")


FILES = (
    "AnyFile",
    "AzureBlobReference",
    "AzureDataLakeGen2Reference",
    "AzureDataLakeReference",
    "AzureFilesReference",
    "AzureMLDataset",
    "AzureMySqlDatabaseReference",
    "AzurePostgresDatabaseReference",
    "AzureSqlDatabaseReference",
    "DBFSReference",
)
TYPES = [
    {"Id": name, "Name": name, "Description": name, "IsDirectory": name not in FILES, "ParentDataTypeIds": []}
    for name in (*FILES, "AnyDirectory")
]


@REGION.route("GET", f"{AEVA}/DataTypes")
def data_types(azure: FakeAzure, call: Call) -> object:
    """What can flow through a port; SDK v1 would add what is missing of it, a request each."""
    return TYPES


@REGION.route("GET", f"{AEVA}/Modules/Hash/{{hash}}")
def find_module(azure: FakeAzure, call: Call) -> object:
    """The module with the same content, which makes another upload needless."""
    for module in store(azure, call, "modules").values():
        if module["Data"]["IdentifierHash"] == call.names["hash"]:
            return module
    raise missing(call.path)


@REGION.route("POST", f"{AEVA}/Modules")
def create_module(azure: FakeAzure, call: Call) -> object:
    """A module of a snapshot that has arrived; Azure reads its ports and parameters out of the interface."""
    body = call.json
    item(azure, call, "snapshots", body["StorageId"])
    interface = body["StructuredInterface"]
    inputs = [{"Name": port["Name"], "DataTypesIds": port["DataTypeIdsList"]} for port in interface["Inputs"]]
    outputs = [{"Name": port["Name"], "DataTypeId": port["DataTypeId"]} for port in interface["Outputs"]]
    named = {"Parameters": interface["Parameters"], "MetadataParameters": interface["MetadataParameters"]}
    module = {"Data": body, "Interface": {**named, "Ports": {"Inputs": inputs, "Outputs": outputs}}}
    kept = keep(azure, call, "modules", module)
    kept["Data"] = {**body, "Id": kept["Id"]}
    return kept["Data"]


@REGION.route("GET", f"/rp/workspaces{WORKSPACE}/computes")
def list_computes(azure: FakeAzure, call: Call) -> object:
    """The compute clusters, with all that SDK v1 wants to hear of one."""
    unset = dict.fromkeys(("provisioningErrors", "description", "resourceId", "isAttachedCompute"))
    machines = dict.fromkeys(("vmSize", "vmPriority", "scaleSettings", "subnet"))
    return {
        "value": [
            {**item, "tags": None, "properties": {**unset, **item["properties"], "properties": machines}}
            for item in azure.children(f"{call.workspace}/computes")
        ]
    }


@REGION.route("GET", f"/content/v1.0{WORKSPACE}/snapshots/latest/metadata")
def latest_snapshot(azure: FakeAzure, call: Call) -> object:
    """The files that were uploaded last: none, so that each snapshot is a whole one."""
    root = {"name": "", "hash": "", "type": "Directory", "timestamp": "2026-01-01T00:00:00", "children": {}}
    return {"id": str(uuid.UUID(int=0)), "root": root}


@REGION.route("POST", f"/content/v2.0{WORKSPACE}/snapshots/getblob")
def snapshot_places(azure: FakeAzure, call: Call) -> object:
    """An address for each file of a snapshot, opened for a while."""
    account = default_store(azure, call.workspace).split("/")[0]
    folder = f"https://{account}.blob.core.windows.net/snapshots/{uuid.uuid4().hex[:8]}"
    return {"fileNodes": [{"fullName": n, "blobUri": f"{folder}/{n}?sig=fake"} for n in call.json["FileNames"]]}


@REGION.route("POST", f"/content/v2.0{WORKSPACE}/snapshots/{{identity}}")
def create_snapshot(azure: FakeAzure, call: Call) -> object:
    """A snapshot, when its files have arrived."""
    files = {node["FullName"]: node["BlobUri"] for node in call.json["FileRevisionList"]["FileNodes"]}
    for uri in files.values():
        if azure.storage_place(uri) not in azure.blobs:
            raise missing(uri)
    store(azure, call, "snapshots")[call.names["identity"]] = files
    return {}


@REGION.route("GET", f"{AEVA}/Modules/{{identity}}")
def get_module(azure: FakeAzure, call: Call) -> object:
    """One module."""
    return item(azure, call, "modules", call.names["identity"])


@REGION.route("POST", f"{AEVA}/Pipelines/Create")
def publish_pipeline(azure: FakeAzure, call: Call) -> object:
    """A published pipeline, when all of its modules exist."""
    body = call.json
    with azure.doing("create batch deployment", body["Name"]):
        for node in body["Graph"]["ModuleNodes"]:
            item(azure, call, "modules", node["ModuleId"])
        return keep(azure, call, "pipelines", body)


@REGION.route("GET", f"{AEVA}/Pipelines/{{identity}}")
def get_pipeline(azure: FakeAzure, call: Call) -> object:
    """One published pipeline."""
    return item(azure, call, "pipelines", call.names["identity"])


@REGION.route("PUT", f"{AEVA}/Pipelines/{{identity}}/status")
def set_pipeline_status(azure: FakeAzure, call: Call) -> object:
    """A published pipeline that is switched on or off."""
    pipeline = item(azure, call, "pipelines", call.names["identity"])
    pipeline["EntityStatus"] = call.json
    return pipeline


@REGION.route("POST", f"{AEVA}/PipelineEndpoints/Create")
def create_endpoint(azure: FakeAzure, call: Call) -> object:
    """A pipeline endpoint with its first pipeline."""
    body = call.json
    with azure.doing("create batch endpoint", body["Name"]):
        item(azure, call, "pipelines", body["PipelineId"])
        if body["Name"] in [endpoint["Name"] for endpoint in store(azure, call, "endpoints").values()]:
            raise RefusedError(409, "UserError", "the name of a pipeline endpoint is taken")
        versions = [{"Version": "0", "PipelineId": body["PipelineId"]}]
        return keep(azure, call, "endpoints", {**body, "DefaultVersion": "0", "PipelineVersionList": versions})


@REGION.route("GET", f"{AEVA}/PipelineEndpoints/Id/{{identity}}")
def get_endpoint_by_id(azure: FakeAzure, call: Call) -> object:
    """A pipeline endpoint by its id."""
    return item(azure, call, "endpoints", call.names["identity"])


@REGION.route("PUT", f"{AEVA}/PipelineEndpoints/{{identity}}")
def update_endpoint(azure: FakeAzure, call: Call) -> object:
    """A pipeline endpoint with another name, state, default or list of pipelines."""
    endpoint = item(azure, call, "endpoints", call.names["identity"])
    with azure.doing("set default", endpoint["Name"]):
        endpoint.update(call.json)
        return endpoint


@REGION.route("GET", f"{AEVA}/PipelineEndpoints/{{identity}}/pipelines")
def list_pipelines(azure: FakeAzure, call: Call) -> object:
    """The pipelines behind an endpoint."""
    endpoint = item(azure, call, "endpoints", call.names["identity"])
    pipelines = [item(azure, call, "pipelines", entry["PipelineId"]) for entry in endpoint["PipelineVersionList"]]
    active_only = call.query["activeOnly"] == "true"
    return [pipeline for pipeline in pipelines if not active_only or pipeline["EntityStatus"] == "Active"]


@REGION.route("POST", f"{AEVA}/PipelineRuns/PipelineEndpointSubmit/Id/{{identity}}")
def submit(azure: FakeAzure, call: Call) -> object:
    """A run of an endpoint's default pipeline."""
    body = call.json
    endpoint = item(azure, call, "endpoints", call.names["identity"])
    pipeline = default_pipeline(endpoint)
    with azure.doing("create job", endpoint["Name"]):
        check_parameters(azure, call, pipeline, body)
        return keep(azure, call, "runs", {**body, "PipelineId": pipeline, "status": "NotStarted"})


@REGION.route("POST", f"{AEVA}/PipelineRuns/Unsubmitted/CreationInfoWithGraph")
def create_run(azure: FakeAzure, call: Call) -> object:
    """A run of a pipeline that is not published; it waits to be started."""
    body = call.json
    experiment = call.query["experimentName"]
    with azure.doing("create job", experiment):
        for node in body["Graph"]["ModuleNodes"]:
            item(azure, call, "modules", node["ModuleId"])
        pipeline = keep(azure, call, "pipelines", {"Name": "", **body})
        run = {**body["CreationInfo"], "ExperimentName": experiment, "PipelineId": pipeline["Id"]}
        return keep(azure, call, "runs", {**run, "status": "Unsubmitted"})


@REGION.route("POST", f"{AEVA}/PipelineRuns/Submit/{{identity}}")
def start_run(azure: FakeAzure, call: Call) -> object:
    """The start of such a run."""
    run = item(azure, call, "runs", call.names["identity"])
    assert run["status"] == "Unsubmitted"
    run["status"] = "NotStarted"
    return {}


def check_parameters(azure: FakeAzure, call: Call, pipeline: str, values: Document) -> None:
    """Refuse values for parameters that a pipeline has not, and datasets that do not exist."""
    interface = item(azure, call, "pipelines", pipeline)["GraphInterface"]
    known = [entry["Name"] for entry in interface["Parameters"] + interface["DataPathParameterList"]]
    datasets = values.get("DataSetDefinitionValueAssignments") or {}
    if unknown := (set(values.get("ParameterAssignments") or {}) | set(datasets)) - set(known):
        raise RefusedError(400, "UserError", f"the pipeline has no parameter {', '.join(sorted(unknown))}")


def keep(azure: FakeAzure, call: Call, kind: str, document: Document) -> Document:
    """Keep something new under an id of its own."""
    identity = str(uuid.uuid4())
    moment = "2026-01-01T00:00:00Z"
    made = {"Id": identity, "EntityStatus": "Active", "CreatedDate": moment, "LastModifiedDate": moment}
    store(azure, call, kind)[identity] = {**document, **made}
    return store(azure, call, kind)[identity]


def item(azure: FakeAzure, call: Call, kind: str, identity: str) -> Document:
    """Return something of a workspace by its id, or refuse the request."""
    found: Document | None = store(azure, call, kind).get(identity)
    if found is None:
        raise missing(f"{kind}/{identity}")
    return found


# Runs.


@REGION.route("GET", f"{AEVA}/PipelineRuns/{{identity}}")
def get_pipeline_run(azure: FakeAzure, call: Call) -> object:
    """A pipeline run, as the pipelines' service knows it."""
    run = item(azure, call, "runs", call.names["identity"])
    return {**run, "RunHistoryExperimentName": run["ExperimentName"], "Status": {"StatusCode": run["status"]}}


@REGION.route("POST", f"{AEVA}/PipelineRuns/{{identity}}/Graph/Node/StatusCode")
def get_node_status(azure: FakeAzure, call: Call) -> object:
    """How far a step is: like its run."""
    return item(azure, call, "runs", call.names["identity"])["status"]


@REGION.route("GET", f"{AEVA}/PipelineRuns/Schedule/{{identity}}")
def list_schedule_runs(azure: FakeAzure, call: Call) -> object:
    """The runs that a schedule has created."""
    item(azure, call, "schedules", call.names["identity"])
    runs = store(azure, call, "runs").values()
    return [
        {**run, "RunHistoryExperimentName": run["ExperimentName"], "Status": {"StatusCode": run["status"]}}
        for run in runs
        if run.get("ScheduleId") == call.names["identity"]
    ]


HISTORY = f"/history/v1.0{WORKSPACE}/(?:experiments|experimentids)/{{experiment}}"


@REGION.route("GET", HISTORY)
def get_experiment(azure: FakeAzure, call: Call) -> object:
    """An experiment, which is there as soon as it is named."""
    return {"name": call.names["experiment"], "experimentId": call.names["experiment"], "archivedTime": None}


@REGION.route("GET", f"{HISTORY}/runs/{{identity}}")
def get_run(azure: FakeAzure, call: Call) -> object:
    """A run of a pipeline or of one of its steps, as the run history knows it."""
    identity, _, step = call.names["identity"].partition("~")
    return history(item(azure, call, "runs", identity), step)


@REGION.route("GET", f"{HISTORY}/runs/{{identity}}/children")
def list_steps(azure: FakeAzure, call: Call) -> object:
    """The steps of a run: running at the first request, ended at the next; below the step of a search its trials."""
    identity, _, step = call.names["identity"].partition("~")
    run = item(azure, call, "runs", identity)
    if step == "tune":
        return {"value": [history(run, "search")]}
    if step == "search":
        return {"value": [history(run, f"trial_{number}") for number, _ in enumerate(azure.kept["trials"])]}
    if step:
        return {"value": []}
    with azure.doing("stream job", run["Id"]):
        if run["status"] == "NotStarted":
            run["status"] = "Running"
        elif run["status"] == "Running":
            end_run(azure, call, run)
        nodes = item(azure, call, "pipelines", run["PipelineId"])["Graph"]["ModuleNodes"]
        names = [item(azure, call, "modules", node["ModuleId"])["Data"]["Name"] for node in nodes]
        return {"value": [history(run, name) for name in names]}


def end_run(azure: FakeAzure, call: Call, run: Document) -> None:
    """Let a run end as the test wants it; a completed one has written its registration, or what its trials found."""
    run["status"] = azure.next_status.replace("Completed", "Finished")
    if run["status"] != "Finished":
        return
    place = f"{default_store(azure, call.workspace)}/dataset/{run['Id']}"
    if item(azure, call, "pipelines", run["PipelineId"])["Name"]:
        if azure.evaluation:
            azure.blobs[f"{place}~evaluate/evaluation/metrics.json"] = Blob(json.dumps(azure.evaluation).encode())
        azure.blobs[f"{place}~register/registration/registration.json"] = Blob(json.dumps(azure.registration).encode())
        return
    for number, found in enumerate(azure.kept.get("trials", [])):
        azure.blobs[f"{place}~trial_{number}/search/search.json"] = Blob(json.dumps(found).encode())


def history(run: Document, step: str = "") -> Document:
    """Return a run, or one of its steps, in the words of the run history."""
    kind = "azureml.StepRun" if step else "azureml.PipelineRun"
    return {
        "runId": f"{run['Id']}~{step}" if step else run["Id"],
        "rootRunId": run["Id"],
        "runNumber": 1,
        "name": step,
        "status": run["status"],
        "runType": kind,
        "properties": {"azureml.runsource": kind},
        "tags": {"azureml.nodeid": step, "azureml.pipeline": run["Id"]},
    }


# Schedules.


@REGION.route("GET", f"{AEVA}/Schedules")
def list_schedules(azure: FakeAzure, call: Call) -> object:
    """The schedules, also those that are off if they are asked for."""
    found = list(store(azure, call, "schedules").values())
    active_only = call.query["activeOnly"] == "true"
    return [schedule for schedule in found if not active_only or schedule["EntityStatus"] == "Active"]


@REGION.route("POST", f"{AEVA}/Schedules/Create")
def create_schedule(azure: FakeAzure, call: Call) -> object:
    """A schedule of a pipeline endpoint, on from the start."""
    body = call.json
    with azure.doing("create schedule", body["Name"]):
        check_schedule(azure, call, body)
        return keep(azure, call, "schedules", {**body, "ProvisioningStatus": "Completed"})


@REGION.route("GET", f"{AEVA}/Schedules/{{identity}}")
def get_schedule(azure: FakeAzure, call: Call) -> object:
    """One schedule."""
    return item(azure, call, "schedules", call.names["identity"])


@REGION.route("PUT", f"{AEVA}/Schedules/{{identity}}")
def update_schedule(azure: FakeAzure, call: Call) -> object:
    """A schedule with other times, values, name or state."""
    schedule, body = item(azure, call, "schedules", call.names["identity"]), call.json
    operation = "create schedule" if schedule["EntityStatus"] == body["EntityStatus"] else "switch schedule"
    with azure.doing("delete schedule" if schedule["Name"] != body["Name"] else operation, schedule["Name"]):
        check_schedule(azure, call, body)
        schedule.update(body)
        return schedule


def check_schedule(azure: FakeAzure, call: Call, schedule: Document) -> None:
    """Refuse a schedule of an endpoint that does not exist, or with values that its pipeline does not take."""
    endpoint = item(azure, call, "endpoints", schedule["PipelineEndpointId"])
    check_parameters(azure, call, default_pipeline(endpoint), schedule["PipelineSubmissionInfo"])


def default_pipeline(endpoint: Document) -> str:
    """Return the id of the pipeline that an endpoint runs."""
    versions = {entry["Version"]: entry["PipelineId"] for entry in endpoint["PipelineVersionList"]}
    return str(versions[endpoint["DefaultVersion"]])


# The cloud of the tests.

DAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


class V1Cloud(HttpCloud):
    """The cloud behind SDK v1: data, jobs, batch scoring and schedules are its own, the rest is that of SDK v2."""

    def state(self) -> State:
        """Return what is there, in the words of `clouds`."""
        batch = [load_environment(self._project, name).names.batch_endpoint for name in self._project.environments]
        return {
            **super().state(),
            "data": {
                name: [version["tags"]["content"] for version in versions]
                for path in self.workspaces.values()
                for name, versions in stored(self.azure, path, "datasets").items()
            },
            "jobs": [
                {**self._pipeline(path, run["PipelineId"], run), "status": STATUSES[run["status"]]}
                for path, run in self._stored("runs")
            ],
            "batch": {
                endpoint["Name"]: self._batch(path, endpoint)
                for path, endpoint in self._stored("endpoints")
                if endpoint["Name"] in batch and endpoint["EntityStatus"] == "Active"
            },
            "schedules": {
                schedule["Name"]: self._schedule(path, schedule)
                for path, schedule in self._stored("schedules")
                if not schedule["Name"].startswith(REMOVED)
            },
        }

    def next_search(self, *trials: Mapping[str, Any]) -> None:
        """Keep all trials, the best one not first: it is for the project to find out."""
        self.azure.kept["trials"] = list(reversed(trials))

    def monitor_ran(self, name: str, time: str, *signals: str, status: str = "Completed", problem: str = "") -> None:
        """Have the pipeline of the monitor run: it fails on drift, after its step `drift` has written what drifted."""
        path = self.workspaces["dev"]
        [schedule] = [each for each in stored(self.azure, path, "schedules").values() if each["Name"] == MONITOR]
        endpoint = stored(self.azure, path, "endpoints")[schedule["PipelineEndpointId"]]
        status = "Failed" if signals else status.replace("Completed", "Finished")
        run = {"Id": name, "ScheduleId": schedule["Id"], "PipelineId": default_pipeline(endpoint), "status": status}
        run |= {"ExperimentName": schedule["PipelineSubmissionInfo"]["ExperimentName"], "CreatedDate": time}
        stored(self.azure, path, "runs")[name] = {**run, "LastModifiedDate": time, "EntityStatus": "Active"}
        column = {"feature": "x", "metric": "normalized_wasserstein_distance", "value": 0.75, "threshold": 0.2}
        unmoved = {**column, "feature": "y", "drifted": False}
        results = [] if problem else [{**column, "drifted": bool(signals)}, unmoved]
        if signals or status == "Finished":
            place = f"{default_store(self.azure, path)}/dataset/{name}~drift/drift"
            self.azure.blobs[f"{place}/drift.json"] = Blob(json.dumps({"results": results}).encode())

    def schedule_retraining(self) -> None:
        """Make the schedule of retraining that releases until v0.4.0 made, after a training."""
        from azureml.pipeline.core import PipelineEndpoint, Schedule

        config = load_environment(self._project, "dev")
        place, experiment = workspace(config), config.model.experiment
        endpoint = PipelineEndpoint.get(place, name=experiment)
        times = recurrence("0 4 * * 1", "UTC")
        Schedule.create_for_pipeline_endpoint(
            place, RETRAINING, endpoint.id, experiment, times, wait_for_provisioning=True
        )

    def _stored(self, kind: str) -> list[tuple[str, Document]]:
        return [(path, found) for path in self.workspaces.values() for found in stored(self.azure, path, kind).values()]

    def _pipeline(self, path: str, identity: str, values: Document) -> State:
        pipeline = stored(self.azure, path, "pipelines")[identity]
        graph = pipeline["Graph"]
        modules = stored(self.azure, path, "modules")
        names = {node["Id"]: modules[node["ModuleId"]]["Data"]["Name"] for node in graph["ModuleNodes"]}
        sources = {node["Id"]: node["DataSetDefinition"].get("ParameterName", "") for node in graph["DatasetNodes"]}
        flows = {}
        for edge in graph["Edges"]:
            source, target = edge["SourceOutputPort"], edge["DestinationInputPort"]
            giver = names.get(source["NodeId"])
            flows[names[target["NodeId"]], target["PortName"]] = (
                f"{giver}.{source['PortName']}" if giver else sources[source["NodeId"]]
            )
        defaults = {entry["Name"]: entry["DefaultValue"] for entry in pipeline["GraphInterface"]["Parameters"]}
        plain = {**defaults, **(values.get("ParameterAssignments") or {})}
        given = values.get("DataSetDefinitionValueAssignments") or {}
        inputs = {key: self._dataset(path, value["SavedDataSetReference"]["Id"]) for key, value in given.items()}
        # An option of the steps in every other version; SDK v1 knows options of the whole pipeline only.
        overrides = plain.pop("overrides", NO_VALUE)
        steps, outputs = {}, []
        for node in graph["ModuleNodes"]:
            step = names[node["Id"]]
            module, *options = self._arguments(modules[node["ModuleId"]])
            taken = {}
            runs, search = self._search(node)
            for option, value in zip(options[::2], options[1::2], strict=True):
                key = option.removeprefix("--").replace("-", "_")
                if value == "overrides":
                    taken |= {} if overrides == NO_VALUE else {key: overrides}
                elif value.startswith("DatasetConsumptionConfig:"):
                    taken[key] = flows[step, value.partition(":")[2]]
                elif value.startswith("DatasetOutputConfig:"):
                    outputs.append(key)
                elif key == "candidate":
                    search["search"][key] = value
                else:
                    taken[key] = key
                    inputs |= {key: value.rsplit("/", 1)[-1]} if "/" in value else {}
            steps[step] = {
                "runs": f"python -m {self._neutral(module)}",
                "reused": modules[node["ModuleId"]]["Data"]["IsDeterministic"],
                "inputs": taken,
                **self._spread(runs, cluster(node)),
                **self._place(path, node, runs),
                **search,
            }
        return {
            "experiment": values["ExperimentName"],
            "compute": " ".join({cluster(node) for node in graph["ModuleNodes"]}),
            "inputs": {**inputs, **plain},
            "outputs": sorted(outputs),
            "steps": steps,
        }

    def _search(self, node: Document) -> tuple[Document, State]:
        """Return how a step is run, and what it tries if it is a search."""
        if "Runconfig" in node:
            return json.loads(node["Runconfig"]), {}
        found = search_of(node)
        sampling, policy = found["generator_config"], found["policy_config"]["name"]
        space = {
            name.removeprefix("--"): [kind, *(values[0] if kind == "choice" else values)]
            for name, (kind, values) in sampling["parameter_space"].items()
        }
        metric = found["primary_metric_config"]
        search = {
            "space": space,
            "for": f"{metric['goal']} {metric['name']}",
            "sampling": sampling["name"].lower(),
            "stops": policy.lower(),
            "trials": found["max_total_jobs"],
            "at once": found["max_concurrent_jobs"],
            "minutes": found["max_duration_minutes"],
        }
        return found["platform_config"]["Definition"]["Overrides"], {"search": search}

    def _spread(self, runs: Document, compute: str) -> State:
        if runs["framework"] != "PyTorch":
            return {}
        nodes, started = runs["nodeCount"], runs["pytorch"]
        assert started["nodeCount"] == nodes
        return {"spread": [compute, nodes, started["processCount"] / nodes]}

    def _arguments(self, module: Document) -> list[str]:
        return [argument["Value"] for argument in module["Data"]["StructuredInterface"]["Arguments"]]

    def _dataset(self, path: str, identity: str) -> str:
        for name, versions in stored(self.azure, path, "datasets").items():
            for version in versions:
                if version["latest"]["savedDatasetId"] == identity:
                    return f"{name}:{version['tags']['content']}"
        raise AssertionError(f"no dataset {identity}")

    def _place(self, path: str, node: Document, runs: Document) -> State:
        """Return which files of the package a step has, and what it runs in."""
        module = stored(self.azure, path, "modules")[node["ModuleId"]]
        files = stored(self.azure, path, "snapshots")[module["Data"]["StorageId"]]
        start = "data-science/src/"
        environment = runs["environment"]
        conda = environment["python"]["condaDependencies"]["name"]
        return {
            "code": sorted(self._neutral(file.removeprefix(start)) for file in files if file.startswith(start)),
            "environment": f"{conda} on {environment['docker']['baseImage']}",
        }

    def _batch(self, path: str, endpoint: Document) -> State:
        pipelines, modules = stored(self.azure, path, "pipelines"), stored(self.azure, path, "modules")
        deployments = {}
        for entry in endpoint["PipelineVersionList"]:
            pipeline = pipelines[entry["PipelineId"]]
            if pipeline["EntityStatus"] != "Active":
                continue
            [node] = pipeline["Graph"]["ModuleNodes"]
            words = self._arguments(modules[node["ModuleId"]])
            options = dict(zip(words[::2], words[1::2], strict=True))
            assert options["--scoring_module_name"] == "mlops/python-sdk-v1/batch_score.py"
            assert options["--model-name"] == MODEL
            deployments[pipeline["Name"]] = {
                "model": options["--model-version"],
                "compute": parameter(node, "Target"),
                "machines": json.loads(node["Runconfig"])["nodeCount"],
                "files at a time": int(options["--mini_batch_size"]),
                "workers": int(options["--process_count_per_node"]),
                "writes": options["--append_row_file_name"],
                "failures allowed": int(options["--error_threshold"]),
                "variables": {
                    name: value
                    for name, value in json.loads(node["Runconfig"])["environmentVariables"].items()
                    if name.startswith("MLOPS_")
                },
                # batch_score.py hands the files to it.
                "runs": self._neutral(f"{options['--package']}/score.py"),
                **self._place(path, node, json.loads(node["Runconfig"])),
            }
        return {"default": pipelines[default_pipeline(endpoint)]["Name"], "deployments": deployments}

    def _schedule(self, path: str, schedule: Document) -> State:
        times = schedule["Recurrence"]
        hours, minutes = times["Schedule"]["Hours"], times["Schedule"]["Minutes"]
        days = [str(DAYS.index(day)) for day in times["Schedule"].get("WeekDays") or []]
        texts = [",".join(map(str, values)) for values in (minutes, hours)]
        endpoint = stored(self.azure, path, "endpoints")[schedule["PipelineEndpointId"]]
        pipeline = stored(self.azure, path, "pipelines")[default_pipeline(endpoint)]
        common = {
            "enabled": schedule["EntityStatus"] == "Active",
            "cron": f"{' '.join(texts)} * * {','.join(days) or '*'}",
            "time zone": times["TimeZone"],
        }
        if schedule["Name"] == RETRAINING:
            return common
        made = self._pipeline(path, pipeline["Id"], schedule["PipelineSubmissionInfo"])
        newest = [
            node["DataSetDefinition"]["Value"]["DataSetReference"]["Name"] for node in pipeline["Graph"]["DatasetNodes"]
        ]
        return {
            **common,
            "compares the newest": sorted(newest),
            "runs": [step["runs"] for step in made["steps"].values()],
        }


STATUSES = {
    "NotStarted": "Running",
    "Finished": "Completed",
    **{name: name for name in ("Running", "Failed", "Canceled")},
}


def search_of(node: Document) -> Document:
    """Return the configuration of the search that a node is."""
    metadata = {entry["Name"]: entry.get("Value") for entry in node["ModuleMetadataParameters"]}
    found: Document = json.loads(metadata["HyperDriveRunConfig"])
    return found


def cluster(node: Document) -> str:
    """Return the compute cluster of a node."""
    if "Runconfig" in node:
        return parameter(node, "Target")
    return str(search_of(node)["platform_config"]["Definition"]["Overrides"]["target"])


def parameter(node: Document, name: str) -> str:
    """Return the value of a parameter of a node."""
    return str(next(entry["Value"] for entry in node["ModuleParameters"] if entry["Name"] == name))


@contextlib.contextmanager
def connected(project: Project, az: fake_az.FakeAzure) -> Iterator[V1Cloud]:
    """Give the cloud that SDK v1 talks to; `az` is the Azure CLI on PATH."""
    from azureml._base_sdk_common.service_discovery import CachedServiceDiscovery
    from azureml._project import file_utilities

    azure, folder = FakeAzure(), str(project.root.parent / "home")
    Path(folder).mkdir()
    with (
        azure.running(),
        mock.patch("mlops.azureml.python_sdk_v1.LOOK", 0),
        # What SDK v1 remembers between two runs would be in the user's own folder.
        mock.patch.object(CachedServiceDiscovery.__init__, "__defaults__", (f"{folder}/.discovery",)),
        mock.patch.object(file_utilities, "get_home_settings_directory", return_value=folder),
    ):
        yield V1Cloud(project, az, azure)
