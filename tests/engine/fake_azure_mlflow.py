"""What MLflow asks of Azure: the tracking server of a workspace, and the artifacts of its runs, as azureml-mlflow does.

The server knows MLflow 2's requests and no newer ones. To those, such as the ones of logged models, it answers as
Azure's does: 404 with nothing in it.
"""

import re
from typing import Any

from fake_azure import (
    PROVIDER,
    REGION,
    WORKSPACE,
    Answer,
    Call,
    Document,
    FakeAzure,
    RefusedError,
    default_store,
    token,
)

API = f"/mlflow/v2.0{WORKSPACE}/api/2.0/mlflow"
EXPERIMENT, RUN = "an-experiment-id", "a-job"


def job_variables(azure: FakeAzure, workspace: str, run: str = RUN) -> dict[str, str]:
    """Start a job with one run in it and return the variables that Azure sets in its steps."""
    region = azure.get(workspace)["location"]
    uri = f"azureml://{region}.api.azureml.ms/mlflow/v2.0{workspace}"
    info = {"run_id": run, "run_uuid": run, "experiment_id": EXPERIMENT, "status": "RUNNING", "run_name": run}
    info |= {"lifecycle_stage": "active", "artifact_uri": f"{uri}/experiments/{EXPERIMENT}/runs/{run}/artifacts"}
    data: Document = {"metrics": [], "params": [], "tags": []}
    azure.kept.setdefault(f"{workspace}/runs".lower(), {})[run] = {"info": info, "data": data}
    return {
        "MLFLOW_TRACKING_URI": uri,
        "MLFLOW_TRACKING_TOKEN": token("https://ml.azure.com"),
        "MLFLOW_EXPERIMENT_ID": EXPERIMENT,
        "MLFLOW_RUN_ID": run,
    }


class TrackingError(RefusedError):
    """A refusal in the words of MLflow."""

    @property
    def document(self) -> Document:
        return {"error_code": self.code, "message": self.message}


def absent(what: str) -> TrackingError:
    """Return the refusal of a request for what the server does not know."""
    return TrackingError(404, "RESOURCE_DOES_NOT_EXIST", f"{what} was not found")


def tracked(azure: FakeAzure, call: Call, kind: str) -> dict[str, Any]:
    """Return what a workspace tracks of a kind, as a dictionary that a route may change."""
    found: dict[str, Any] = azure.kept.setdefault(f"{call.workspace}/{kind}".lower(), {})
    return found


# Runs.


def run_of(azure: FakeAzure, call: Call) -> Document:
    """Return the run that a request is about."""
    identity = call.query.get("run_id") or call.json.get("run_id") or call.names.get("run", "")
    found: Document | None = tracked(azure, call, "runs").get(identity)
    if found is None:
        raise absent(f"Run {identity}")
    return found


@REGION.route("GET", f"{API}/runs/get")
def get_run(azure: FakeAzure, call: Call) -> object:
    """A run with what was logged."""
    return {"run": run_of(azure, call)}


@REGION.route("POST", f"{API}/runs/update")
def update_run(azure: FakeAzure, call: Call) -> object:
    """A run with another state."""
    run = run_of(azure, call)
    run["info"] |= {key: value for key, value in call.json.items() if key in run["info"]}
    return {"run_info": run["info"]}


@REGION.route("POST", f"{API}/runs/(?P<what>set-tag|log-parameter|log-metric|log-batch)")
def log(azure: FakeAzure, call: Call) -> object:
    """Metrics, parameters and tags of a run; a parameter never changes."""
    single = {"set-tag": "tags", "log-parameter": "params", "log-metric": "metrics"}.get(call.names["what"])
    items = {single: [call.json]} if single else call.json
    data = run_of(azure, call)["data"]
    for kind in ("metrics", "params", "tags"):
        for item in items.get(kind, []):
            old = next((known for known in data[kind] if known["key"] == item["key"]), None)
            if kind == "params" and old and old["value"] != item["value"]:
                raise TrackingError(400, "INVALID_PARAMETER_VALUE", f"Changing param {item['key']} is not allowed.")
            kept = {key: item[key] for key in ("key", "value", "timestamp", "step") if key in item}
            data[kind] = [*(known for known in data[kind] if known is not old), kept]
    return {}


@REGION.route("GET", f"{API}/experiments/get")
def get_experiment(azure: FakeAzure, call: Call) -> object:
    """The experiment of the job."""
    if call.query["experiment_id"] != EXPERIMENT:
        raise absent(f"Experiment {call.query['experiment_id']}")
    return {"experiment": {"experiment_id": EXPERIMENT, "name": "an-experiment", "lifecycle_stage": "active"}}


@REGION.route("POST", f"{API}/logged-models")
def log_model(azure: FakeAzure, call: Call) -> object:
    """Nothing: this request is newer than the server."""
    return Answer(b"", 404)


# Artifacts of a run: the client asks where a file goes, puts it there, and asks for it in the same way.

ARTIFACTS = f"/history/v1.0{WORKSPACE}/experiments/{{experiment}}/runs/{{run}}/artifacts"


def artifact_folder(azure: FakeAzure, call: Call) -> str:
    """Return the place of a run's artifacts in the storage."""
    return f"{default_store(azure, call.workspace).split('/')[0]}/azureml/ExperimentRun/dcid.{call.names['run']}"


def artifact_address(azure: FakeAzure, call: Call, path: str) -> Document:
    """Return the address of an artifact, opened for a while."""
    account, _, rest = f"{artifact_folder(azure, call)}/{path}".partition("/")
    container = {"origin": "ExperimentRun", "container": f"dcid.{call.names['run']}", "path": path}
    return {**container, "contentUri": f"https://{account}.blob.core.windows.net/{rest}?sig=fake"}


@REGION.route("POST", f"{ARTIFACTS}/batch/metadata")
def announce_artifacts(azure: FakeAzure, call: Call) -> object:
    """Where the files go."""
    paths = [item["path"] for item in call.json["paths"]]
    return {"artifactContentInformation": {path: artifact_address(azure, call, path) for path in paths}, "errors": {}}


@REGION.route("GET", f"{ARTIFACTS}/contentinfo")
def find_artifact(azure: FakeAzure, call: Call) -> object:
    """Where one file is."""
    if call.query["path"] not in azure.files(artifact_folder(azure, call)):
        raise RefusedError(404, "UserError", f"There is no artifact {call.query['path']}.")
    return artifact_address(azure, call, call.query["path"])


@REGION.route("GET", ARTIFACTS)
def list_artifacts(azure: FakeAzure, call: Call) -> object:
    """The files of a run."""
    return {"value": [{"path": path} for path in azure.files(artifact_folder(azure, call))]}


# Models: those of the workspace, in MLflow's words.


def version_of(model: Document) -> Document:
    """Return a version of a model as MLflow sees it."""
    properties = model["properties"]
    return {
        "name": model["id"].split("/")[-3],
        "version": model["name"],
        "current_stage": "None",
        "status": "READY",
        "source": properties["properties"]["source"],
        "tags": [{"key": key, "value": value} for key, value in properties["tags"].items()],
    }


def versions(azure: FakeAzure, call: Call, name: str) -> list[Document]:
    """Return the versions of a model as Azure keeps them, the newest first."""
    return azure.children(f"{call.workspace}/models/{name}/versions")[::-1]


@REGION.route("GET", f"{API}/registered-models/get")
def get_model(azure: FakeAzure, call: Call) -> object:
    """A model, as soon as it was created."""
    name = call.query["name"]
    if name not in tracked(azure, call, "registered models") and not versions(azure, call, name):
        raise absent(f"Model {name}")
    return {"registered_model": {"name": name}}


@REGION.route("POST", f"{API}/registered-models/create")
def create_model(azure: FakeAzure, call: Call) -> object:
    """A model without versions."""
    tracked(azure, call, "registered models")[call.json["name"]] = True
    return {"registered_model": {"name": call.json["name"]}}


@REGION.route("POST", f"{API}/model-versions/create")
def create_version(azure: FakeAzure, call: Call) -> object:
    """The next version of a model, made of artifacts that a run has logged."""
    name, source = call.json["name"], call.json["source"]
    if name not in tracked(azure, call, "registered models") and not versions(azure, call, name):
        raise absent(f"Model {name}")
    match = re.search("/runs/([^/]+)/artifacts/(.+)", source)
    path = f"ExperimentRun/dcid.{match[1]}/{match[2]}" if match else ""
    store = f"azureml:/{call.workspace}/datastores/workspaceartifactstore".replace(PROVIDER, "")
    if not azure.files(azure.storage_place(f"{store}/paths/{path}")):
        raise TrackingError(400, "INVALID_PARAMETER_VALUE", f"There is nothing at {source}.")
    number = 1 + max((int(item["name"]) for item in versions(azure, call, name)), default=0)
    properties = {"modelUri": f"{store}/paths/{path}", "modelType": "mlflow_model", "flavors": {}, "tags": {}}
    properties["properties"] = {"source": source}
    model = azure.put(f"{call.workspace}/models/{name}/versions/{number}", {"properties": properties})
    return {"model_version": version_of(model)}


@REGION.route("POST", f"{API}/model-versions/set-tag")
def tag_version(azure: FakeAzure, call: Call) -> object:
    """One more tag."""
    model = azure.get(f"{call.workspace}/models/{call.json['name']}/versions/{call.json['version']}")
    model["properties"]["tags"][call.json["key"]] = call.json["value"]
    return {}


@REGION.route("GET", f"{API}/model-versions/search")
def search_versions(azure: FakeAzure, call: Call) -> object:
    """The versions of the model that the filter names."""
    match = re.fullmatch("name ?= ?'([^']+)'", call.query["filter"])
    if match is None:
        raise TrackingError(400, "INVALID_PARAMETER_VALUE", f"The filter {call.query['filter']} is not supported.")
    return {"model_versions": [version_of(item) for item in versions(azure, call, match[1])]}


@REGION.route("GET", f"{API}/model-versions/get-download-uri")
def download_address(azure: FakeAzure, call: Call) -> object:
    """Where the files of a version are, for MLflow."""
    model = azure.get(f"{call.workspace}/models/{call.query['name']}/versions/{call.query['version']}")
    return {"artifact_uri": version_of(model)["source"]}
