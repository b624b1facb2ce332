"""An Azure Machine Learning in memory: what is in it, and the rules by which it refuses, each with its source.

It serves the verbs by way of `Memory`, a backend without a client in between, so that thousands of events take seconds.
What it is not asked to know raises NotImplementedError. Sources, the first three lines on
learn.microsoft.com/azure/machine-learning:

- [rollout] how-to-safely-rollout-online-endpoints, [errors] how-to-troubleshoot-online-endpoints,
- [batch] how-to-use-batch-model-deployments, [schedule] how-to-schedule-pipeline-job,
- [assets] how-to-create-data-assets, [registry] how-to-share-models-pipelines-across-workspaces-with-registries,
- [throttling] learn.microsoft.com/azure/azure-resource-manager/management/request-limits-and-throttling,
- [retry] azure.core.pipeline.policies.RetryPolicy (`retry_status`), by which the SDK and `az ml` send their requests,
- [late] hashicorp/terraform-provider-azurerm#18268 (the words of Microsoft's support), Azure/azure-cli#17910,
- [metrics] learn.microsoft.com/azure/azure-monitor/essentials/data-platform-metrics: metrics outlive what they are of,
- [pages] ModelVersions_List in Azure/azure-rest-api-specs: `nextLink`,
- [tags] azure.ai.ml ModelOperations.create_or_update, which sends all tags; `az ml model update --set` reads before.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from quick_year import copied

from mlops.azureml.backend import Deployment, Job, ModelVersion
from mlops.azureml.monitor_runs import Breach, MonitorRun
from mlops.azureml.request_metrics import RequestMetrics
from mlops.azureml.storage import Container, StoredFile
from mlops.config import DriftRules, EnvironmentConfig, Sweep
from mlops.errors import UserError
from mlops.pipeline import DataAsset

Item = TypeVar("Item")

BROKEN = "gives no predictions"
"""What the files of a model say that no smoke test lets through."""

FAILING, SLOW, REFUSING = UNDER_LOAD = "fails under load", "is slow under load", "refuses its callers"
"""What they say of one that only the metrics of requests show."""

GOOD, BAD = 5.0, "not numeric"
"""What a deployment answers for a row: a prediction, or what no smoke test takes for one."""

RETRIES = 3
"""How many times a client repeats a request that Azure throttles, each time after the seconds that it was told [retry].

It repeats no request that is refused with 404 or 409: what comes of that is for the verb.
"""

CALLS = 10
"""How many requests come in a minute for each percent of the traffic: enough for a canary to be judged by."""

PAGE = 10
"""How many items a request for a list brings at most; how many Azure does is written nowhere."""


@dataclass
class Model:
    """A version of the model: its files, as one text, and its tags."""

    files: str
    tags: dict[str, str] = field(default_factory=dict)


@dataclass
class Online:
    """A deployment behind the online endpoint: the model, and in `beside` what was sent with it.

    One whose creation failed stays, and serves nothing [errors].
    """

    version: str
    files: str
    tags: dict[str, str]
    beside: str = ""
    works: bool = True


@dataclass
class Endpoint:
    """The online endpoint; while an operation on it is in progress, any other one is refused [errors]."""

    traffic: dict[str, int] = field(default_factory=dict)
    deployments: dict[str, Online] = field(default_factory=dict)
    busy: bool = False


@dataclass
class Batch:
    """The batch endpoint: its deployments with the versions of the model behind them."""

    default: str = ""
    deployments: dict[str, str] = field(default_factory=dict)


@dataclass
class Run:
    """A run of the monitor; its tags can come later than its end."""

    name: str
    time: datetime
    drift: bool
    tagged: bool = True
    problem: str = ""


@dataclass
class Training:
    """A job: how it ended, and what its steps wrote."""

    status: str
    data: dict[str, str]
    registration: dict[str, Any] = field(default_factory=dict)


@dataclass
class Workspace:
    """The workspace of an environment."""

    name: str
    data: dict[str, list[str]] = field(default_factory=dict)
    jobs: dict[str, Training] = field(default_factory=dict)
    models: dict[str, Model] = field(default_factory=dict)
    online: Endpoint | None = None
    batch: Batch | None = None
    schedules: dict[str, bool] = field(default_factory=dict)
    runs: list[Run] = field(default_factory=list)
    kept: dict[str, Any] = field(default_factory=dict)
    """What only one client puts there."""


class Story(Protocol):
    """What surrounds Azure in a test: it sees each call, and decides what Azure cannot know."""

    def before(self, operation: str) -> int:
        """A call begins: it can be refused, or throttled, and then this is after how many seconds to ask again."""

    def sleep(self, seconds: float) -> None:
        """A client waits."""

    def after(self, operation: str, *, changed: bool) -> None:
        """A call has done its work."""

    def pause(self) -> None:
        """A call takes long."""

    def may_be_late(self) -> bool:
        """Return whether what a change has made may be known to Azure only some time later."""

    def is_late(self) -> bool:
        """Return whether that is so for this read."""

    def has_quota(self) -> bool:
        """Return whether a deployment gets its machines."""

    def train(self, workspace: "Workspace", training: Training) -> None:
        """Do the work of a job."""

    def copy(self, files: str) -> str:
        """Return what arrives in the registry."""

    def write_model(self, files: str, folder: Path) -> None:
        """Write the files of a model into a folder, which need not be there."""

    def beside(self, workspace: "Workspace") -> str:
        """Return what is sent with a model."""


@dataclass
class Azure:
    """A subscription with a workspace for each environment and one registry, "None" until it is made."""

    workspaces: dict[str, Workspace]
    registry: dict[str, Model] | None = None


class Connection:
    """A login: all calls to Azure go through it. What a call sees is `seen`."""

    def __init__(self, azure: Azure, story: Story) -> None:
        """Keep both."""
        self.azure, self.story = azure, story
        self.seen = self._earlier = azure

    def ask(self, operation: str) -> None:
        """Send a request, and send it again while Azure throttles it [throttling] [retry]."""
        for _ in range(1 + RETRIES):
            if not (seconds := self.story.before(operation)):
                return
            self.story.sleep(seconds)
        raise UserError(f"(TooManyRequests) {operation}: the limit of requests is reached")

    @contextlib.contextmanager
    def read(self, operation: str, *, late: bool = True) -> Iterator[None]:
        """Answer a question; one about what is there can be answered as it was before the last change [late]."""
        self.ask(operation)
        if late and self.story.is_late():
            self.seen = self._earlier
        try:
            yield
        finally:
            self.seen = self.azure
        self.story.after(operation, changed=False)

    @contextlib.contextmanager
    def change(self, operation: str, endpoint: Endpoint | None = None) -> Iterator[None]:
        """Carry out a change, which on an online endpoint excludes others until it is done [errors]."""
        self.ask(operation)
        if self.story.may_be_late():
            self._earlier = copied(self.azure)
        if endpoint:
            refuse(endpoint.busy, "(Conflict) another operation on this endpoint is in progress")
            endpoint.busy = True
        try:
            if endpoint:
                self.story.pause()
            yield
        finally:
            if endpoint:
                endpoint.busy = False
        self.story.after(operation, changed=True)


def answers(requests: int, files: str) -> tuple[int, int, float]:
    """Return how many of a number of requests a model fails, how many it refuses, and how many ms it takes."""
    half = requests // 2
    return half * (FAILING in files), half * (REFUSING in files), 900.0 if SLOW in files else 20.0


def is_bad_under_load(files: str, *, refused: bool = False) -> bool:
    """Return whether the metrics of requests say so of a model; `refused` is whether the old one refuses as much."""
    return any(each in files for each in UNDER_LOAD if not (refused and each == REFUSING))


def refuse(condition: object, message: str) -> None:
    """Refuse what is asked when a condition holds."""
    if condition:
        raise UserError(message)


class Memory:
    """The backend of an environment, straight on the memory. The methods are those of `Backend`."""

    monitors_data = False

    def __init__(self, azure: Azure, story: Story, config: EnvironmentConfig) -> None:
        """Keep the Azure, what surrounds it, and the names."""
        self.connection, self.story = Connection(azure, story), story
        self._names, self._environment = config.names, config.environment
        self.batch_endpoint = config.names.batch_endpoint

    @property
    def _azure(self) -> Azure:
        return self.connection.seen

    @property
    def here(self) -> Workspace:
        """The workspace of the environment, as a call sees it."""
        return self._azure.workspaces[self._environment]

    def listed(self, operation: str, items: Callable[[], Sequence[Item]]) -> list[Item]:
        """Read a list page by page: each is a request, and has what is there by then [pages]."""
        found: list[Item] = []
        while True:
            with self.connection.read(operation):
                there = items()
                found += there[len(found) : len(found) + PAGE]
                if len(found) >= len(there):
                    return found

    # Data, jobs and models.

    def data_versions(self, name: str) -> list[str]:
        return self.listed("list data", lambda: self.here.data.get(name, []))

    def create_data(self, asset: DataAsset, version: str) -> None:
        self.create_version(asset.name, version)

    def create_version(self, name: str, version: str) -> None:
        """Create a version of a data asset, whatever is in it."""
        with self.connection.change("create data"):
            versions = self.here.data.setdefault(name, [])
            refuse(version in versions, f"(UserError) version {version} exists")  # a version never changes [assets]
            versions.append(version)

    def container(self, datastore: str) -> Container | None:
        raise NotImplementedError(datastore)

    def list_files(self, container: Container, path: str) -> list[StoredFile]:
        raise NotImplementedError(path)

    def submit_pipeline(self, job: str, data: Mapping[str, str], overrides: str, *, rerun: bool) -> str:
        with self.connection.change("create job"):
            refuse(job in self.here.jobs, "(UserError) a job with this name exists")
            self.here.jobs[job] = Training("Running", dict(data))
        return job

    def submit_tuning(self, job: str, data: Mapping[str, str], overrides: str, sweep: Sweep, *, rerun: bool) -> str:
        raise NotImplementedError(job)

    def stream_job(self, job: str) -> None:
        with self.connection.read("stream job", late=False):
            training = self.here.jobs[job]
            if training.status == "Running":
                self.story.pause()
            if training.status == "Running":
                self.story.train(self.here, training)
            refuse(training.status != "Completed", "the job failed")

    def job(self, name: str) -> Job:
        found = self.find_job(name)
        if found is None:
            raise UserError(f"(UserError) could not find job {name}")
        return found

    def find_job(self, name: str) -> Job | None:
        with self.connection.read("show job"):
            training = self.here.jobs.get(name)
            return Job(name, training.status) if training else None

    def download_output(self, job: str, output: str, folder: Path) -> None:
        with self.connection.read("download output", late=False):
            refuse(output != "registration", f"(UserError) the job has no output {output}")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{output}.json").write_text(json.dumps(self.here.jobs[job].registration), encoding="utf-8")

    def model_versions(self, registry: str | None) -> list[ModelVersion]:
        found = self.listed("list models", lambda: list(self._models(registry).items())[::-1])
        return [ModelVersion(version, dict(model.tags), registry) for version, model in found]

    def tag_model(self, model: ModelVersion, tags: Mapping[str, str]) -> None:
        with self.connection.change("tag model"):
            there = self._model(model)
            kept = dict(there.tags)
            self.story.pause()  # what another one has tagged meanwhile is lost [tags]
            there.tags = {**kept, **tags}

    def registries(self) -> list[str]:
        with self.connection.read("list registries"):
            return [] if self._azure.registry is None else [self._names.registry]

    def create_registry(self, name: str, locations: list[str]) -> None:
        with self.connection.change("create registry"):
            if self._azure.registry is None:
                self._azure.registry = {}

    def share_model(self, version: str, registry: str) -> None:
        with self.connection.change("share model"):
            models = self._models(registry)
            refuse(version in models, "(Conflict) this version exists in the registry")  # it never changes [registry]
            models[version] = Model(self.story.copy(self._model(ModelVersion(version)).files))

    def create_model(self, model: ModelVersion, folder: Path) -> None:
        with self.connection.change("create model"):
            models = self._models(model.registry)
            refuse(model.version in models, "(Conflict) this version exists")
            models[model.version] = Model((folder / "MLmodel").read_text(encoding="utf-8"))

    def download_model(self, model: ModelVersion, folder: Path) -> None:
        with self.connection.read("download model"):
            self.story.write_model(self._model(model).files, folder)

    def _models(self, registry: str | None) -> dict[str, Model]:
        if registry and self._azure.registry is None:
            raise UserError(f"(RegistryNotFound) {registry}")
        return self._azure.registry if registry else self.here.models  # type: ignore[return-value]

    def _model(self, model: ModelVersion) -> Model:
        models = self._models(model.registry)
        refuse(model.version not in models, f"(UserError) there is no version {model.version}")
        return models[model.version]

    # The online endpoint.

    def online_traffic(self) -> dict[str, int] | None:
        with self.connection.read("show endpoint"):
            return None if self.here.online is None else dict(self.here.online.traffic)

    def online_address(self) -> str:
        with self.connection.read("show endpoint"):
            return f"https://{self._names.online_endpoint}.example.com/score" if self.here.online else ""

    def create_online_endpoint(self) -> None:
        with self.connection.change("create endpoint"):
            refuse(self.here.online, "(Conflict) an endpoint with this name exists")
            self.here.online = Endpoint()

    def _endpoint(self) -> Endpoint:
        if self.here.online is None:
            raise UserError("(UserError) the online endpoint does not exist")
        return self.here.online

    def online_deployments(self) -> list[Deployment]:
        with self.connection.read("list deployments"):
            found = self._endpoint().deployments.items()
            return [Deployment.of(name, f"azureml:m:{each.version}", each.tags) for name, each in found]

    def create_online_deployment(self, name: str, model: ModelVersion, tags: Mapping[str, str]) -> None:
        endpoint = self._endpoint()
        with self.connection.change("create deployment", endpoint):
            refuse(name in endpoint.deployments, f"(Conflict) a deployment {name} exists")
            files, beside = self._model(model).files, self.story.beside(self.here)
            made = Online(model.version, files, dict(tags), beside, works=self.story.has_quota())
            endpoint.deployments[name] = made
            endpoint.traffic.setdefault(name, 0)
            refuse(not made.works, "(OutOfQuota) there are not enough cores for this deployment")

    def delete_online_deployment(self, name: str) -> None:
        endpoint = self._endpoint()
        with self.connection.change("delete deployment", endpoint):
            refuse(name not in endpoint.deployments, f"(UserError) there is no deployment {name}")
            refuse(endpoint.traffic.get(name), f"(BadRequest) {name} has traffic")  # [rollout]
            del endpoint.deployments[name]
            endpoint.traffic.pop(name, None)

    def set_traffic(self, traffic: Mapping[str, int]) -> None:
        endpoint = self._endpoint()
        with self.connection.change("set traffic", endpoint):
            refuse(sum(traffic.values()) not in (0, 100), "(BadRequest) traffic has to be 0 or 100 percent in all")
            unknown = traffic.keys() - endpoint.deployments.keys()
            refuse(unknown, f"(BadRequest) there is no deployment {unknown}")
            failed = [name for name, share in traffic.items() if share and not endpoint.deployments[name].works]
            refuse(failed, f"(BadRequest) {failed} are in a failed state")
            endpoint.traffic = {name: traffic.get(name, 0) for name in endpoint.deployments}

    def invoke(self, request: Path, deployment: str | None) -> object:
        with self.connection.read("invoke", late=False):
            endpoint, rows = self._endpoint(), json.loads(request.read_text(encoding="utf-8"))["input_data"]["data"]
            shares = endpoint.traffic
            name = deployment or max(shares, key=lambda each: shares[each], default="")
            # 404 when nothing has a share, as for a caller [errors].
            refuse(name not in endpoint.deployments or not (deployment or shares[name]), "(404) no deployment")
            found = endpoint.deployments[name]
            refuse(not found.works, f"(ModelNotReady) {name} is in a failed state")
            return {"predictions": [BAD if BROKEN in found.files else GOOD] * len(rows)}

    def request_metrics(self, deployment: str, since: datetime, until: datetime) -> RequestMetrics:
        with self.connection.read("read metrics", late=False):
            endpoint = self._endpoint()
            # Known of are the minutes until three minutes ago.
            known = (until - since).total_seconds() / 60 - 3
            requests = int(max(known, 0) * CALLS * endpoint.traffic.get(deployment, 0))
            # Nothing more is measured of one that is gone, and what was, stays for 93 days [metrics].
            there = endpoint.deployments.get(deployment)
            failed, refused, latency = answers(requests, there.files if there else "")
            return RequestMetrics(requests - refused, failed, latency if requests else None, refused)

    def show_log(self, deployment: str, lines: int) -> None:
        with self.connection.read("read log", late=False):
            refuse(deployment not in self._endpoint().deployments, f"(UserError) there is no deployment {deployment}")

    # The batch endpoint.

    def batch_default(self) -> str | None:
        with self.connection.read("show batch endpoint"):
            return None if self.here.batch is None else self.here.batch.default

    def create_batch_endpoint(self) -> None:
        with self.connection.change("create batch endpoint"):
            self.here.batch = self.here.batch or Batch()

    def _batch(self) -> Batch:
        if self.here.batch is None:
            raise UserError("(UserError) the batch endpoint does not exist")
        return self.here.batch

    def batch_deployments(self) -> list[Deployment]:
        with self.connection.read("list batch deployments"):
            return [Deployment(name, version) for name, version in self._batch().deployments.items()]

    def create_batch_deployment(self, name: str, model: ModelVersion) -> None:
        with self.connection.change("create batch deployment"):
            self._model(model)
            self._batch().deployments[name] = model.version
            self._batch().default = name

    def delete_batch_deployment(self, name: str) -> None:
        with self.connection.change("delete batch deployment"):
            refuse(name == self._batch().default, "(BadRequest) the default deployment cannot be deleted")  # [batch]
            refuse(name not in self._batch().deployments, f"(UserError) there is no deployment {name}")
            del self._batch().deployments[name]

    # Schedules and the monitor.

    def schedules(self) -> dict[str, bool]:
        with self.connection.read("list schedules"):
            return dict(self.here.schedules)

    def create_monitor(self, name: str, deployment: str, task: str, drift: DriftRules) -> None:
        with self.connection.change("create schedule"):
            refuse(deployment not in self._endpoint().deployments, f"(UserError) there is no deployment {deployment}")
            self.here.schedules.setdefault(name, True)  # an update leaves off what is off: SDK v1, `Schedule.update`

    def monitor_runs(self, schedule: str) -> list[MonitorRun]:
        found = self.listed("list runs", lambda: sorted(self.here.runs, key=lambda run: run.time, reverse=True))
        return [MonitorRun(run.name, run.time, "Completed", run.problem) for run in found]

    def breaches(self, run: MonitorRun) -> list[Breach] | None:
        with self.connection.read("show run"):
            found = next(each for each in self.here.runs if each.name == run.name)
            return [Breach("data_drift")] if found.drift and found.tagged else []

    def enable_schedule(self, name: str) -> None:
        with self.connection.change("enable schedule"):
            refuse(name not in self.here.schedules, f"(UserError) there is no schedule {name}")
            self.here.schedules[name] = True

    def disable_schedule(self, name: str) -> None:
        with self.connection.change("disable schedule"):
            self.here.schedules[name] = False

    def delete_schedule(self, name: str) -> None:
        with self.connection.change("delete schedule"):
            refuse(self.here.schedules[name], "(BadRequest) an enabled schedule cannot be deleted")  # [schedule]
            del self.here.schedules[name]

    def delete_online_endpoint(self) -> None:
        with self.connection.change("delete endpoint", self._endpoint()):
            self.here.online = None

    def delete_batch_endpoint(self) -> None:
        with self.connection.change("delete batch endpoint"):
            self._batch()
            self.here.batch = None
