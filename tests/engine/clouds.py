"""Azure as the tests of every mlops version see it: one way to steer it, and one form of what is in it.

The Azure CLI is replaced by `fake_az`, the SDKs talk to `fake_azure`. Both keep their Azure in their own form; `state`
brings it into the same one, so that one table says what each verb must leave behind, whatever the version.
"""

import contextlib
import hashlib
import importlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import fake_az
import fake_azure
import yaml
from monitor_fakes import monitor_runs
from small_project import LOADER

from mlops.config import Project, load_environment

State = dict[str, Any]
MODEL, REGISTRY, REGIONS = "a-model", "the-registry", ["westeurope", "northeurope"]
RETRAINING = "a-model-retraining"
MONITOR = "a-model-monitor"

PROBLEMS = {
    "not signed in": "Please run 'az login' to setup account.",
    "login expired": "AADSTS70043: The refresh token has expired or is invalid.",
    "no workspace": "(ParentResourceNotFound) Failed to perform 'read' on resource(s) because "
    "the parent resource '/subscriptions/any/workspaces/mlw-dev' could not be found.",
    "no resource group": "(ResourceGroupNotFound) Resource group 'rg-dev' could not be found.",
    "no rights": "(AuthorizationFailed) The client does not have authorization to perform action 'read' over 'any'.",
}
"""What can be wrong with everything at once, and what the Azure CLI says then."""


class Cloud(Protocol):
    """An Azure with three workspaces, those of the small project."""

    def state(self) -> State:
        """Return what is there: data, jobs, models, registries, online and batch endpoints, schedules."""

    def register(self, *versions: str, **tags: str) -> None:
        """Put versions of the model into the workspace of dev, or give those that are there these tags."""

    def build_registry(self) -> None:
        """Make the registry, as if another user had."""

    def schedule_retraining(self) -> None:
        """Make the schedule of retraining that releases until v0.4.0 made, after a training."""

    def put_file(self, path: str, content: str) -> None:
        """Put a file into the default datastore of dev."""

    def close_storage(self) -> None:
        """Refuse to list the files of the storage from now on."""

    def copies(self, workspace: Path, registry: Path | None = None) -> None:
        """Say which files the model has, and with which ones it arrives in a registry (default: the same)."""

    def next_job(self, status: str = "Completed", **registration: object) -> None:
        """Say how jobs end and what their step `register` writes."""

    def next_search(self, *trials: Mapping[str, Any]) -> None:
        """Say what the trials of searches write: the best one the first."""

    def next_evaluation(self, **metrics: object) -> None:
        """Say what the step `evaluate` of jobs writes into metrics.json."""

    def monitor_ran(self, name: str, time: str, *signals: str, status: str = "Completed", problem: str = "") -> None:
        """Have the monitor of dev run: these signals were above a threshold, or there was a problem with the data."""

    def predict(self, value: object, deployment: str | None = None) -> None:
        """Say what a deployment, or each of them, predicts for every row."""

    def call(self, deployment: str, latency: float | None = 100, late: int = 0, **codes: int) -> None:
        """Say how many requests a minute a deployment answers with each status code ("_500": that many with 500).

        Azure Monitor learns of a minute `late` minutes after its end.
        """

    def hide_metrics(self) -> None:
        """Refuse to tell what Azure Monitor knows."""

    def share_traffic(self, **shares: int) -> None:
        """Give the online endpoint of dev this traffic, as if another user had."""

    def fail(self, operation: str, subject: str = "", *, after: bool = False) -> None:
        """Fail each operation of a kind (on one subject); with `after` only when its work is done."""

    def works_again(self) -> None:
        """Forget all failures."""

    def break_down(self, problem: str) -> None:
        """Bring about one of the PROBLEMS."""

    @property
    def asked(self) -> int:
        """How many times Azure was asked for something."""

    @property
    def shares(self) -> list[str]:
        """What the traffic of the online endpoint was set to, one time after the other, as "blue=90 green=10"."""


@contextlib.contextmanager
def connected(project: Project, az: fake_az.FakeAzure) -> Iterator[Cloud]:
    """Give the cloud that the project's mlops version talks to; `az` is the Azure CLI on PATH."""
    if project.version == "aml-cli-v2":
        yield AzCloud(project, az)
        return
    if project.version == "python-sdk-v1":
        # Imported here because it needs SDK v1.
        with importlib.import_module("fake_azure_v1").connected(project, az) as cloud:
            yield cloud
        return
    azure = fake_azure.FakeAzure()
    with azure.running():
        yield HttpCloud(project, az, azure)


COMMANDS = {
    "create data": "az ml data create",
    "create job": "az ml job create",
    "stream job": "az ml job stream",
    "download output": "az ml job download",
    "tag model": "az ml model update",
    "share model": "az ml model share",
    "create model": "az ml model create",
    "download model": "az ml model download",
    "create registry": "az ml registry create",
    "create endpoint": "az ml online-endpoint create",
    "delete endpoint": "az ml online-endpoint delete",
    "create deployment": "az ml online-deployment create",
    "delete deployment": "az ml online-deployment delete",
    "set traffic": "az ml online-endpoint update",
    "invoke": "az ml online-endpoint invoke",
    "read log": "az ml online-deployment get-logs",
    "create batch endpoint": "az ml batch-endpoint create",
    "delete batch endpoint": "az ml batch-endpoint delete",
    "create batch deployment": "az ml batch-deployment create",
    "delete batch deployment": "az ml batch-deployment delete",
    "create schedule": "az ml schedule create",
    "delete schedule": "az ml schedule delete",
    "read metrics": "az monitor metrics list",
}
"""The commands that do what `Cloud.fail` calls by a neutral name."""

SUBJECTS = {
    "create deployment": "online/deployment.yml --name {}",
    "delete deployment": "az ml online-deployment delete --name {}",
    "set traffic": "--traffic {}",
}
"""How a command names what it works on."""


class AzCloud:
    """The cloud behind the fake Azure CLI, which knows command lines: the values in YAML files are looked up here."""

    def __init__(self, project: Project, az: fake_az.FakeAzure) -> None:
        """Keep the project, whose files say what its commands create."""
        self._project, self._az = project, az
        self._built = False
        self._set(closed=load_environment(project, "dev").closed)

    def register(self, *versions: str, **tags: str) -> None:
        models = self._az.load()["models"]
        for version in versions:
            models.setdefault(version, {}).update(tags)
        self._az.save()

    def schedule_retraining(self) -> None:
        self._set(schedules={**self._az.load()["schedules"], RETRAINING: {"enabled": True, "file": ""}})

    def build_registry(self) -> None:
        self._built = True
        self._set(registries={REGISTRY: {}})

    def put_file(self, path: str, content: str) -> None:
        tag = hashlib.sha256(content.encode()).hexdigest()
        file = {"size": len(content), "etag": tag}
        self._set(files={**self._az.load()["files"], f"stdev/azureml-blobstore/{path}": file})

    def close_storage(self) -> None:
        refusal = "This request is not authorized to perform this operation using this permission."
        self._az.fail("az storage blob list", f"{refusal}\nErrorCode:AuthorizationPermissionMismatch")

    def copies(self, workspace: Path, registry: Path | None = None) -> None:
        self._set(copies={"": str(workspace), **({REGISTRY: str(registry)} if registry else {})})

    def next_job(self, status: str = "Completed", **registration: object) -> None:
        self._set(next_status=status, registration=registration)

    def next_search(self, *trials: Mapping[str, Any]) -> None:
        self._set(search=trials[0])

    def next_evaluation(self, **metrics: object) -> None:
        self._set(evaluation=metrics)

    def monitor_ran(self, name: str, time: str, *signals: str, status: str = "Completed", problem: str = "") -> None:
        runs = monitor_runs(MONITOR, name, time, signals, status, problem)
        self._set(runs={**runs, **self._az.load()["runs"]})

    def predict(self, value: object, deployment: str | None = None) -> None:
        if deployment:
            self._set(answers={**self._az.load()["answers"], deployment: value})
        else:
            self._set(prediction=value)

    def call(self, deployment: str, latency: float | None = 100, late: int = 0, **codes: int) -> None:
        self._set(callers={**self._az.load()["callers"], deployment: callers(latency, late, codes)})

    def hide_metrics(self) -> None:
        action = "Microsoft.Insights/metrics/read"
        text = f"(AuthorizationFailed) The client does not have authorization to perform action '{action}' over scope"
        self._az.fail("az monitor metrics list", text)

    def share_traffic(self, **shares: int) -> None:
        self._az.load()["online"]["traffic"] = shares
        self._az.save()

    def fail(self, operation: str, subject: str = "", *, after: bool = False) -> None:
        words = SUBJECTS[operation].format(subject) if subject else COMMANDS[operation]
        self._az.fail(words, after=after)

    def works_again(self) -> None:
        self._az.works_again()

    def break_down(self, problem: str) -> None:
        self._az.fail("az " if problem in ("not signed in", "login expired") else "az ml", PROBLEMS[problem])

    @property
    def asked(self) -> int:
        return len(self._az.log)

    @property
    def shares(self) -> list[str]:
        return [line[line.index("--traffic") + 1] for line in self._az.ran("--traffic")]

    def _set(self, **values: object) -> None:
        self._az.load().update(values)
        self._az.save()

    def state(self) -> State:
        state = self._az.load()
        return {
            "data": state["data"],
            "jobs": [self._job(name, job) for name, job in state["jobs"].items()],
            "models": state["models"],
            "registries": {name: self._registry(name, versions) for name, versions in state["registries"].items()},
            "online": {state["online"]["name"]: self._online(state["online"])} if state["online"] else {},
            "batch": {state["batch"]["name"]: self._batch(state["batch"])} if state["batch"] else {},
            "schedules": {name: self._schedule(name, content) for name, content in state["schedules"].items()},
        }

    def _registry(self, name: str, versions: State) -> State:
        if self._built:
            return {"home": REGIONS[0], "regions": REGIONS, "versions": versions}
        document, _ = self._created("registry", name)
        regions = [item["location"] for item in document["replication_locations"]]
        return {"home": document["location"], "regions": regions, "versions": versions}

    def _job(self, name: str, job: Mapping[str, Any]) -> State:
        return {**self._pipeline(*self._created("job", name)), "status": job["status"]}

    def _pipeline(self, document: Mapping[str, Any], folder: Path) -> State:
        steps, rerun = {}, document["settings"].get("force_rerun") == "true"
        for name, node in document["jobs"].items():
            trial = node.get("trial")
            steps[name] = {
                "inputs": {key: reference(value) for key, value in node["inputs"].items()},
                **spread(trial or node, node.get("compute")),
                **(search(node, trial["command"]) if trial else {}),
                **self._component(trial or node["component"], folder, rerun),
            }
        inputs = {key: reference(value) for key, value in document["inputs"].items()}
        return {
            "experiment": document["experiment_name"],
            "compute": document["settings"]["default_compute"].removeprefix("azureml:"),
            "inputs": inputs,
            "outputs": sorted(document["outputs"]),
            "steps": steps,
        }

    def _component(self, file: str | dict[str, Any], folder: Path, rerun: bool) -> State:
        if isinstance(file, str) and file.startswith("azureml:"):
            return {"runs": file}
        component, place = self._read(folder / file) if isinstance(file, str) else (file, folder)
        return {
            "runs": self._neutral(component["command"].split(" --")[0]),
            "reused": component["is_deterministic"] and not rerun,
            "code": self._code(place / component["code"]),
            "environment": self._environment(place / component["environment"].removeprefix("file:")),
        }

    def _online(self, content: Mapping[str, Any]) -> State:
        document, _ = self._created("online-endpoint", content["name"])
        deployments = {}
        for name in content["deployments"]:
            made, folder = self._created("online-deployment", name)
            collections = made["data_collector"]["collections"]
            deployments[name] = {
                "model": model(made["model"]),
                "generation": made["tags"]["generation"],
                "machines": f"{made['instance_type']} x {made['instance_count']}",
                "at once": int(made["request_settings"]["max_concurrent_requests_per_instance"]),
                "collects": sorted(v["data"]["name"] for v in collections.values() if v["enabled"] == "true"),
                "variables": made.get("environment_variables", {}),
                **self._scoring(made, folder),
            }
        identities = {
            "system_assigned": lambda identity: ["system-assigned"],
            "user_assigned": lambda identity: [item["resource_id"] for item in identity["user_assigned_identities"]],
        }
        return {
            "callers": document["auth_mode"],
            "public": {"enabled": True, "disabled": False}[document["public_network_access"]],
            "identity": identities[document["identity"]["type"]](document["identity"]),
            "traffic": {name: share for name, share in content["traffic"].items() if share},
            "deployments": deployments,
        }

    def _batch(self, content: Mapping[str, Any]) -> State:
        deployments = {}
        for name in content["deployments"]:
            made, folder = self._created("batch-deployment", name)
            settings = made["settings"]
            deployments[name] = {
                "model": model(made["model"]),
                "compute": made["compute"].removeprefix("azureml:"),
                "machines": int(made["resources"]["instance_count"]),
                "files at a time": int(settings["mini_batch_size"]),
                "workers": int(settings["max_concurrency_per_instance"]),
                "writes": settings["output_file_name"],
                "failures allowed": settings["error_threshold"],
                "variables": settings["environment_variables"],
                **self._scoring(made, folder),
            }
        return {"default": content["default"], "deployments": deployments}

    def _scoring(self, document: Mapping[str, Any], folder: Path) -> State:
        configuration = document["code_configuration"]
        return {
            "runs": self._neutral(configuration["scoring_script"]),
            "code": self._code(folder / configuration["code"]),
            "environment": self._environment(folder / document["environment"].removeprefix("file:")),
        }

    def _schedule(self, name: str, content: Mapping[str, Any]) -> State:
        if name == RETRAINING:
            return {"enabled": content["enabled"]}
        document, _ = self._created("schedule", name, content["file"])
        common = {
            "enabled": content["enabled"],
            "cron": document["trigger"]["expression"],
            "time zone": document["trigger"]["time_zone"],
        }
        monitor = document["create_monitor"]
        signals = {}
        for key, signal in monitor["monitoring_signals"].items():
            signals[key] = dict(signal["metric_thresholds"])
            if "features" in signal:
                signals[key]["features"] = signal["features"]
            for side in ("production", "reference"):
                data = signal[f"{side}_data"]
                window = data["data_window"]
                asset = data["input_data"]["path"].split(":")[1]
                signals[key][side] = [asset, window["lookback_window_size"], window["lookback_window_offset"]]
        alerts = monitor.get("alert_notification")
        return {
            **common,
            "watches": monitor["monitoring_target"]["endpoint_deployment_id"].removeprefix("azureml:"),
            "task": monitor["monitoring_target"]["ml_task"],
            "machine": monitor["compute"]["instance_type"],
            "alerts": alerts["emails"] if isinstance(alerts, dict) else alerts,
            "signals": signals,
        }

    def _created(self, command: str, name: str, content: str | None = None) -> tuple[dict[str, Any], Path]:
        """Return the YAML document, with its `--set` values, of what was created last under a name, and its folder."""
        lines = self._az.ran(f"az ml {command} create")
        given = next(found for line in reversed(lines) if (found := fake_az.options(line))["--name"] == [name])
        document, folder = self._read(self._project.root / given["--file"][0])
        document = yaml.load(content, LOADER) if content else document
        for pair in given.get("--set", []):
            assign(document, *pair.split("=", 1))
        return document, folder

    def _read(self, file: Path) -> tuple[dict[str, Any], Path]:
        return yaml.load(file.read_text(encoding="utf-8"), LOADER), file.parent

    def _environment(self, file: Path) -> str:
        document, folder = self._read(file)
        conda, _ = self._read(folder / document["conda_file"])
        return f"{conda['name']} on {document['image']}"

    def _code(self, folder: Path) -> list[str]:
        files = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
        return sorted(self._neutral(file) for file in files)

    def _neutral(self, text: str) -> str:
        return text.replace(self._project.package, "package")


def callers(latency: float | None, late: int, codes: Mapping[str, int]) -> State:
    """Return what `fake_az.metric` takes of a deployment: `_424_400` is 424 of the endpoint for 400 of the model."""
    found = {code.strip("_").replace("_", " "): number for code, number in codes.items()}
    return {"codes": found, "latency": latency, "late": late}


def assign(document: dict[str, Any], key: str, value: str) -> None:
    """Set a value as `az ... --set key=value` does; the key may lead through mappings and lists that are not there."""
    place: Any = document
    *parents, last = [int(part) if part.isdigit() else part for part in re.findall(r"[^.\[\]]+", key)]
    for depth, part in enumerate(parents):
        following = [*parents, last][depth + 1]
        if isinstance(place, list) and part == len(place):
            place.append({})
        elif isinstance(place, dict) and not isinstance(place.get(part), dict | list):
            place[part] = [] if isinstance(following, int) else {}
        place = place[part]
    place[last] = value


def spread(node: Mapping[str, Any], cluster: str | None) -> State:
    """Return over what a distributed step is spread: the cluster, its nodes, and the processes on each."""
    if not (distribution := node.get("distribution")):
        return {}
    processes = int(distribution["process_count_per_instance"])
    return {"spread": [re.split("[:/]", str(cluster))[-1], int(node["resources"]["instance_count"]), processes]}


def search(sweep: Mapping[str, Any], command: str) -> State:
    """Return what a sweep of SDK v2 or of a YAML file tries; `command` is that of its trials."""
    space = {}
    for name, distribution in sweep["search_space"].items():
        values = distribution.get("values") or [
            distribution[key] for key in ("min_value", "max_value", "q") if key in distribution
        ]
        space[name] = [distribution["type"], *values]
    policy, limits, sampling = sweep.get("early_termination") or {}, sweep["limits"], sweep["sampling_algorithm"]
    return {
        "search": {
            "space": space,
            "for": f"{sweep['objective']['goal']} {sweep['objective']['primary_metric']}",
            "sampling": sampling if isinstance(sampling, str) else sampling["type"],
            "stops": str(policy.get("type") or policy.get("policy_type")).replace("_", "").lower(),
            "trials": limits["max_total_trials"],
            "at once": limits["max_concurrent_trials"],
            "minutes": limits["timeout"] / 60,
            "candidate": re.sub(r"\$\{\{inputs\.(\w+)\}\}", r"{\1}", command.split('--candidate "')[1].split('"')[0]),
        }
    }


def reference(value: object) -> str:
    """Return where an input of a pipeline or of a step comes from, in one form for YAML files and Azure's answers."""
    if isinstance(value, Mapping):
        value = value.get("value") or value.get("path") or value.get("uri")
    text = str(value)
    if match := re.fullmatch(r"\$\{\{parent\.(?:inputs\.(\w+)|jobs\.(\w+)\.outputs\.(\w+))\}\}", text):
        return match[1] or f"{match[2]}.{match[3]}"
    if match := re.search(r"(?:^azureml:|/data/)([\w-]+)(?::|/versions/)(\w+)$", text):
        return f"{match[1]}:{match[2]}"
    # A file of this machine, or what became of it in the storage.
    return text.rsplit("/", 1)[-1]


def model(address: str) -> str:
    """Return which version of the model an address names: of the workspace, or "registry/version"."""
    registry = re.search(r"registries/([^/]+)/", address)
    version = re.split("[:/]", address)[-1]
    return f"{registry[1]}/{version}" if registry else version


class HttpCloud:
    """The cloud behind the fake HTTP service, which has all that the SDKs have put there."""

    def __init__(self, project: Project, az: fake_az.FakeAzure, azure: fake_azure.FakeAzure) -> None:
        """Make the workspaces of the project's environments; `az` only says which subscription is chosen."""
        self._project, self._az, self.azure = project, az, azure
        self._files: Path | None = None
        self.workspaces = {}
        for environment in project.environments:
            config = load_environment(project, environment)
            group, name, cluster = config.names.resource_group, config.names.workspace, config.compute.cluster.name
            path = azure.add_workspace(group, name, config.location, cluster=cluster, closed=config.closed)
            self.workspaces[environment] = path

    def contents(self) -> dict[str, Any]:
        """Return a copy of all that is in Azure, and of what a test has said of it."""
        return {"files": self._files, "azure": self.azure.contents()}

    def put_back(self, contents: Mapping[str, Any]) -> None:
        """Bring Azure into the state in which it had these contents."""
        self._files = contents["files"]
        self.azure.put_back(contents["azure"])

    def register(self, *versions: str, **tags: str) -> None:
        workspace = self.workspaces["dev"]
        store = f"azureml:/{workspace.replace(fake_azure.PROVIDER, '')}/datastores/workspaceblobstore/paths"
        for version in versions:
            path, place = f"{workspace}/models/{MODEL}/versions/{version}", f"{store}/models/{version}/model"
            old = self.azure.resources.get(path.lower(), {"properties": {"tags": {}}})["properties"]
            properties = {"modelUri": place, "modelType": "mlflow_model", "flavors": {}}
            self.azure.put(path, {"properties": {**properties, "tags": {**old["tags"], **tags}}})
            if self._files:
                self.azure.write_files(self._files, self.azure.storage_place(place))

    def schedule_retraining(self) -> None:
        workspace = self.workspaces["dev"]
        *_, job = self.azure.children(f"{workspace}/jobs")
        trigger = {"triggerType": "Cron", "expression": "0 4 * * 1", "timeZone": "UTC"}
        action = {"actionType": "CreateJob", "jobDefinition": {"jobType": "Pipeline", "sourceJobId": job["id"]}}
        properties = {"isEnabled": True, "trigger": trigger, "action": action}
        self.azure.put(f"{workspace}/schedules/{RETRAINING}", {"properties": properties})

    def build_registry(self) -> None:
        group = self.workspaces["dev"].split("/")[4]
        path = fake_azure.REGISTRY.format(subscription=fake_azure.SUBSCRIPTION, group=group, registry=REGISTRY)
        details = [{"location": region} for region in REGIONS]
        self.azure.put(path, {"location": REGIONS[0], "properties": {"regionDetails": details}})

    def put_file(self, path: str, content: str) -> None:
        place = fake_azure.default_store(self.azure, self.workspaces["dev"])
        self.azure.blobs[f"{place}/{path}"] = fake_azure.Blob(content.encode())

    def close_storage(self) -> None:
        self.azure.readable = False

    def copies(self, workspace: Path, registry: Path | None = None) -> None:
        self._files, self.azure.copied = workspace, registry

    def next_job(self, status: str = "Completed", **registration: object) -> None:
        self.azure.next_status, self.azure.registration = status, registration

    def next_search(self, *trials: Mapping[str, Any]) -> None:
        self.azure.search = dict(trials[0])

    def next_evaluation(self, **metrics: object) -> None:
        self.azure.evaluation = metrics

    def monitor_ran(self, name: str, time: str, *signals: str, status: str = "Completed", problem: str = "") -> None:
        self.azure.runs |= monitor_runs(MONITOR, name, time, signals, status, problem)

    def predict(self, value: object, deployment: str | None = None) -> None:
        if deployment:
            self.azure.answers[deployment] = value
        else:
            self.azure.prediction = value

    def call(self, deployment: str, latency: float | None = 100, late: int = 0, **codes: int) -> None:
        self.azure.callers[deployment] = callers(latency, late, codes)

    def hide_metrics(self) -> None:
        self.azure.watchable = False

    def share_traffic(self, **shares: int) -> None:
        endpoint = self.azure.get(f"{self.workspaces['dev']}/onlineEndpoints/online-dev")
        endpoint["properties"]["traffic"] = shares

    def fail(self, operation: str, subject: str = "", *, after: bool = False) -> None:
        self.azure.fail(operation, subject, after=after)

    def works_again(self) -> None:
        self.azure.works_again()

    def break_down(self, problem: str) -> None:
        if problem in ("not signed in", "login expired"):
            self._az.fail("az account show", PROBLEMS[problem])
            self.azure.login = "missing" if problem == "not signed in" else "expired"
        elif problem == "no rights":
            self.azure.rights = False
        else:
            for workspace in self.workspaces.values():
                self.azure.remove(workspace)
        if problem == "no resource group":
            self.azure.groups.clear()

    @property
    def asked(self) -> int:
        return len(self.azure.calls) + len(self._az.log)

    @property
    def shares(self) -> list[str]:
        return self.azure.shares

    def state(self) -> State:
        return {
            "data": self._data(),
            "jobs": self.jobs(),
            "models": self._versions(self.workspaces["dev"]),
            "registries": self._registries(),
            "online": {item["name"]: self._online(item) for item in self._all("onlineEndpoints")},
            "batch": {item["name"]: self.batch(item) for item in self._all("batchEndpoints")},
            "schedules": self.schedules(),
        }

    def _all(self, kind: str) -> list[dict[str, Any]]:
        return [item for path in self.workspaces.values() for item in self.azure.children(f"{path}/{kind}")]

    def _data(self) -> State:
        data: dict[str, list[str]] = {}
        for key, item in self.azure.resources.items():
            if "/data/" in key and "/modelDataCollector/" not in item["properties"]["dataUri"]:
                data.setdefault(item["id"].split("/")[-3], []).append(item["name"])
        return data

    def _versions(self, place: str) -> State:
        path = f"{place}/models/{MODEL}/versions"
        return {item["name"]: item["properties"]["tags"] for item in self.azure.children(path)}

    def _registries(self) -> State:
        found = {}
        for name, item in fake_azure.registries(self.azure).items():
            regions = [region["location"] for region in item["properties"]["regionDetails"]]
            found[name] = {"home": item["location"], "regions": regions, "versions": self._versions(item["id"])}
        return found

    def jobs(self) -> list[State]:
        """Return the jobs in the order in which they were started."""
        found = []
        for item in self._all("jobs"):
            status = item["properties"]["status"].replace("NotStarted", "Running")
            found.append({**self.pipeline(item["properties"]), "status": status})
        return found

    def pipeline(self, properties: Mapping[str, Any]) -> State:
        """Return a pipeline as it was sent."""
        steps = {}
        for name, node in properties["jobs"].items():
            component = self.azure.get(fake_azure.trial_or_step(node)["componentId"])["properties"]["componentSpec"]
            is_sweep = node.get("type") == "sweep"
            steps[name] = {
                "runs": self._neutral(component["command"].split(" --")[0]),
                "reused": component["is_deterministic"] and not properties["settings"].get("force_rerun", False),
                "inputs": {key: reference(value) for key, value in node["inputs"].items()},
                "code": self._code(component["code"]),
                "environment": self._environment(component["environment"]),
                **spread(component if is_sweep else node, node.get("computeId")),
                **(search(node, component["command"]) if is_sweep else {}),
            }
        return {
            "experiment": properties["experimentName"],
            "compute": properties["settings"]["default_compute"].rsplit("/", 1)[1],
            "inputs": {key: reference(value) for key, value in properties["inputs"].items()},
            "outputs": sorted(properties["outputs"]),
            "steps": steps,
        }

    def _online(self, item: Mapping[str, Any]) -> State:
        deployments = {}
        for found in self.azure.children(f"{item['id']}/deployments"):
            properties = found["properties"]
            collections = properties["dataCollector"]["collections"]
            deployments[found["name"]] = {
                "model": model(properties["model"]),
                "generation": found["tags"]["generation"],
                "machines": f"{properties['instanceType']} x {found['sku']['capacity']}",
                "at once": properties["requestSettings"]["maxConcurrentRequestsPerInstance"],
                "collects": sorted(
                    value["dataId"].split("/")[-3]
                    for value in collections.values()
                    if value["dataCollectionMode"] == "Enabled"
                ),
                "variables": properties.get("environmentVariables") or {},
                **self._scoring(properties),
            }
        return {
            "callers": {"AADToken": "aad_token"}[item["properties"]["authMode"]],
            "public": {"Enabled": True, "Disabled": False}[item["properties"]["publicNetworkAccess"]],
            "identity": list(item["identity"].get("userAssignedIdentities") or ["system-assigned"]),
            "traffic": {name: share for name, share in item["properties"]["traffic"].items() if share},
            "deployments": deployments,
        }

    def batch(self, item: Mapping[str, Any]) -> State:
        """Return a batch endpoint and what is behind it."""
        deployments = {}
        for found in self.azure.children(f"{item['id']}/deployments"):
            properties = found["properties"]
            deployments[found["name"]] = {
                "model": model(properties["model"]["assetId"]),
                "compute": properties["compute"].rsplit("/", 1)[1],
                "machines": properties["resources"]["instanceCount"],
                "files at a time": properties["miniBatchSize"],
                "workers": properties["maxConcurrencyPerInstance"],
                "writes": properties["outputFileName"],
                "failures allowed": properties["errorThreshold"],
                "variables": properties["environmentVariables"],
                **self._scoring(properties),
            }
        defaults = item["properties"].get("defaults") or {}
        return {"default": defaults.get("deploymentName"), "deployments": deployments}

    def _scoring(self, properties: Mapping[str, Any]) -> State:
        return {
            "runs": self._neutral(properties["codeConfiguration"]["scoringScript"]),
            "code": self._code(properties["codeConfiguration"]["codeId"]),
            "environment": self._environment(properties["environmentId"]),
        }

    def schedules(self) -> State:
        """Return the schedules and monitors."""
        return {item["name"]: self._schedule(item["properties"]) for item in self._all("schedules")}

    def _schedule(self, properties: Mapping[str, Any]) -> State:
        common = {
            "enabled": properties["isEnabled"],
            "cron": properties["trigger"]["expression"],
            "time zone": properties["trigger"]["timeZone"],
        }
        action = properties["action"]
        if action["actionType"] == "CreateJob":
            return common
        monitor = action["monitorDefinition"]
        target = monitor["monitoringTarget"]
        _, endpoint, _, deployment = target["deploymentId"].rsplit("/", 3)
        alerts = monitor["alertNotificationSetting"]
        return {
            **common,
            "watches": f"{endpoint}:{deployment}",
            "task": target["taskType"].lower(),
            "machine": monitor["computeConfiguration"]["instanceType"],
            "alerts": (alerts.get("emailNotificationSetting") or {}).get("emails") or "azmonitoring",
            "signals": {name: self._signal(signal) for name, signal in monitor["signals"].items()},
        }

    def _signal(self, signal: Mapping[str, Any]) -> State:
        found: State = {}
        for threshold in signal["metricThresholds"]:
            metric = re.sub("(?<=[a-z])([A-Z])", r"_\1", threshold["metric"]).lower()
            found.setdefault(threshold["dataType"].lower(), {})[metric] = threshold["threshold"]["value"]
        for side in ("production", "reference"):
            data = signal[f"{side}Data"]
            found[side] = [reference(data).split(":")[0], data["windowSize"], data["windowOffset"]]
        if "features" in signal:
            found["features"] = signal["features"].get("features", "all_features")
        return found

    def _environment(self, path: str) -> str:
        properties = self.azure.get(path.removeprefix("azureml:"))["properties"]
        return f"{yaml.load(properties['condaFile'], LOADER)['name']} on {properties['image']}"

    def _code(self, path: str) -> list[str]:
        uri = self.azure.get(path.removeprefix("azureml:"))["properties"]["codeUri"]
        return sorted(self._neutral(file) for file in self.azure.files(self.azure.storage_place(uri)))

    def _neutral(self, text: str) -> str:
        return text.replace(self._project.package, "package")
