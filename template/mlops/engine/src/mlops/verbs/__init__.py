"""The verbs: what each does, whatever backend carries it out. All can be repeated; a second run finds nothing to do."""

import hashlib
import json
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mlops import azureml, definitions
from mlops.azureml.backend import Backend, Deployment, ModelVersion, model_files
from mlops.config import EnvironmentConfig, choose, drift_thresholds, load_environment, model_task
from mlops.errors import UserError
from mlops.local.runner import input_path
from mlops.local.serving import sample_request
from mlops.pipeline import DataAsset, data_asset
from mlops.project import Project
from mlops.verbs import rollout
from mlops.verbs.rollout import Step

SMOKE_TEST_ROWS = 5
LOG_LINES = 50
CLOSED_STATUSES = ("Completed", "Failed", "Canceled", "NotResponding")


@dataclass(frozen=True)
class Session:
    """What every verb works with: the project, one environment of it, and the backend for both."""

    project: Project
    config: EnvironmentConfig
    backend: Backend
    dry_run: bool = False

    @classmethod
    def open(cls, environment: str, *, dry_run: bool = False, root: Path | None = None) -> "Session":
        """Open an environment of the project around `root` (default: the working directory)."""
        project = Project.load(root)
        config = load_environment(project, environment)
        session = cls(project, config, azureml.connect(project, config, dry_run=dry_run), dry_run)
        if dry_run:
            session.say("Dry run: nothing is run. The state in Azure is not known, so a usual one is assumed.")
        return session

    def say(self, text: str) -> None:
        """Print a line at once, also into a pipe. In a dry run it is a comment between the commands."""
        print(f"# {text}" if self.dry_run else text, flush=True)

    @property
    def folder(self) -> Path:
        """The local folder for what comes from this environment."""
        return self.project.root / ".local" / "azure" / self.config.environment

    @property
    def monitor_name(self) -> str:
        """The name of the monitor's schedule."""
        return f"{self.config.model.name}-monitor"

    @property
    def retraining_name(self) -> str:
        """The name of the retraining schedule."""
        return f"{self.config.model.name}-retraining"

    def command(self, verb: str, *options: str) -> str:
        """Return a command line of ours that a message can recommend."""
        return " ".join(["uv run mlops", verb, "--environment", self.config.environment, *options])


# Training.


def train(session: Session, *, overrides: str = "", wait: bool = True) -> None:
    """Run the training pipeline on Azure ML and say what became of the model.

    Raises UserError when the job does not complete.
    """
    data = ensure_data(session)
    now = datetime.now(UTC)
    # Two runs may start in the same second.
    job = f"{session.config.model.name}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    job = session.backend.submit_pipeline(job, data, overrides)
    state = session.backend.job(job)
    session.say(f"Started job {job}. {state.studio}".rstrip())
    if not wait:
        return
    problem = ""
    try:
        session.backend.stream_job(job)
    except UserError as error:
        # The stream also ends when only the connection did; the job's own status decides.
        problem = f" ({error})"
    state = session.backend.job(job)
    if state.status not in CLOSED_STATUSES:
        raise UserError(f"job {job} is still {state.status}, only its log was lost: see {state.studio}{problem}")
    if state.status != "Completed":
        raise UserError(f"job {job} ended as {state.status}: see its log at {state.studio or 'the studio'}{problem}")
    _say_registration(session, job)


def _say_registration(session: Session, job: str) -> None:
    folder = session.folder / job
    session.backend.download_output(job, "registration", folder)
    if session.dry_run:
        return
    found = sorted(folder.rglob("registration.json"))
    if not found:
        raise UserError(f"job {job} completed without a registration.json: see its step register")
    registration = json.loads(found[0].read_text(encoding="utf-8"))
    reasons = "; ".join(registration.get("reasons") or [])
    if registration["registered"]:
        session.say(f"Registered {registration['name']} version {registration['version']}: {reasons}")
    else:
        session.say(f"No new version, the champion stays: {reasons}")


def ensure_data(session: Session) -> dict[str, str]:
    """Create the data assets that the pipeline names, unless they exist with the present content.

    Returns the asset ("name:version") for each of the pipeline's inputs. The version is a hash of the content, so the
    same data is never uploaded twice, and going back to older data goes back to its version.
    """
    assets = {}
    pipeline = definitions.of(session.project).pipeline()
    for name, value in pipeline.inputs.items():
        asset = data_asset(value, pipeline)
        if asset is None:
            continue
        version = content_version(asset)
        if version in session.backend.data_versions(asset.name):
            session.say(f"Data {asset.name}: unchanged, version {version}.")
        else:
            session.backend.create_data(asset, version)
            session.say(f"Data {asset.name}: new version {version}.")
        assets[name] = f"{asset.name}:{version}"
    return assets


def content_version(asset: DataAsset) -> str:
    """Return a version for a data asset: a hash of its local files, or of its definition when they are in Azure.

    Raises UserError when there are no files.
    """
    if asset.path is None:
        return hashlib.sha256(asset.source.read_bytes()).hexdigest()[:16]
    content, local = hashlib.sha256(), asset.path.resolve()
    files = sorted(file for file in (local, *local.rglob("*")) if file.is_file())
    if not files:
        raise UserError(f"{asset.source.name} names {local}, where there is no data: put files there")
    for file in files:
        content.update(file.relative_to(local.parent).as_posix().encode())
        with file.open("rb") as stream:
            content.update(hashlib.file_digest(stream, "sha256").digest())
    return content.hexdigest()[:16]


# Which model.


def choose_model(session: Session, version: str | None = None) -> ModelVersion:
    """Return the model version to deploy or promote: the given one, or else the newest that may be used.

    A version tagged `rejected=true` may not be used; one in the registry only after its promotion to this environment.
    """
    config, registry = session.config, _source(session)
    place = f"registry {registry}" if registry else f"workspace {config.names.workspace}"
    models = session.backend.model_versions(registry)
    usable = [model for model in models if _fault(session, model) is None]
    if version is None and usable:
        return max(usable, key=_number)
    if version is None:
        cure = f"uv run mlops promote --to {config.environment}" if registry else session.command("train")
        raise UserError(f"{place} has no usable version of {config.model.name}: run `{cure}`")
    chosen = next((model for model in models if model.version == version), None)
    if session.dry_run and chosen is None:
        return replace(models[0], version=version)
    if chosen is None:
        known = ", ".join(model.version for model in sorted(models, key=_number)) or "none"
        raise UserError(f"{place} has no version {version} of {config.model.name}: it has {known}")
    if fault := _fault(session, chosen):
        raise UserError(f"version {version} of {config.model.name} {fault}")
    return chosen


def _source(session: Session) -> str | None:
    return session.config.names.registry if session.config.model.source == "registry" else None


def _fault(session: Session, model: ModelVersion) -> str | None:
    environment = session.config.environment
    if model.tags.get("rejected") == "true":
        return "was rejected: choose another one"
    if model.registry and f"promoted_{environment}" not in model.tags:
        cure = f"uv run mlops promote --to {environment} --model-version {model.version}"
        return f"was not promoted to {environment}: run `{cure}`"
    return None


def _number(model: ModelVersion) -> int:
    # As numbers: as text, version 9 would be newer than version 10.
    return int(model.version) if model.version.isdigit() else -1


def promote(session: Session, target: str, *, model_version: str | None = None) -> None:
    """Bring a model version, as it is, from the session's environment within reach of the `target` environment.

    Copies it to the registry if it is not there yet, compares the copy with the original by hash, and only then marks
    it for the target. Raises UserError, and rejects the copy, when the hashes differ.
    """
    config = load_environment(session.project, target)
    registry = config.names.registry
    if config.model.source != "registry" or target == session.config.environment:
        raise UserError(f"{target} takes no models from a registry: choose an environment with model.source registry")
    if registry != session.config.names.registry:
        raise UserError(f"config/{target}.yml names another registry than the environment to promote from: use one")
    model = choose_model(session, model_version)
    expected = model.tags.get(f"promoted_{session.config.environment}" if model.registry else "sha256")
    if expected is None:
        raise UserError(f"version {model.version} has no tag sha256: promote one that the pipeline registered")
    if model.registry is None:
        model = _shared(session, model, registry)
    actual = _downloaded_hash(session, model)
    if actual != expected and not session.dry_run:
        session.backend.tag_model(model, {"rejected": "true"})
        raise UserError(
            f"version {model.version} in registry {registry} is not the model that was trained (sha256 {actual[:12]}, "
            f"expected {expected[:12]}): it is rejected and will not be used; train again and promote the new version"
        )
    session.backend.tag_model(model, {f"promoted_{target}": expected})
    name = session.config.model.name
    session.say(f"Promoted {name} version {model.version} to {target}: the same files, sha256 {expected[:12]}.")


def _shared(session: Session, model: ModelVersion, registry: str) -> ModelVersion:
    backend = session.backend
    # That of existing workspaces may be in another subscription, so only its use shows whether it is there.
    if session.config.provisioned and registry not in backend.registries():
        _create_registry(session, registry)
    copies = {copy.version: copy for copy in backend.model_versions(registry)}
    copy = copies.get(model.version)
    if copy is None or session.dry_run:
        copy = ModelVersion(model.version, registry=registry)
        if session.config.closed:
            # Azure shares nothing out of a storage account that is closed to the internet, whatever the registry
            # (Microsoft's how-to-registry-network-isolation), so this machine, which reaches both, carries the files.
            with model_files(backend, model, dry_run=session.dry_run) as folder:
                backend.create_model(copy, folder)
        else:
            backend.share_model(model.version, registry)
        return copy
    if copy.tags.get("rejected") == "true":
        raise UserError(f"version {model.version} was rejected in registry {registry}: train and promote a new version")
    session.say(f"Version {model.version} is in registry {registry} already.")
    return copy


def _create_registry(session: Session, registry: str) -> None:
    configs = [load_environment(session.project, name) for name in session.project.environments]
    builder = next((config.environment for config in configs if config.model_registry), None)
    closed = [config.environment for config in configs if config.closed]
    if session.dry_run and (builder or closed):
        return  # what the infrastructure builds is taken to be there
    if builder:
        raise UserError(f"there is no registry {registry} yet: run `uv run mlops provision --environment {builder}`")
    if closed:
        cure = choose(session.project, "model-registry")
        raise UserError(f"{', '.join(closed)} cannot reach a registry that promote would create: {cure}")
    locations = [session.config.location, *(config.location for config in configs)]
    session.backend.create_registry(registry, list(dict.fromkeys(locations)))
    session.say(f"Created registry {registry}.")


def _downloaded_hash(session: Session, model: ModelVersion) -> str:
    with model_files(session.backend, model, dry_run=session.dry_run) as folder:
        return "" if session.dry_run else str(session.project.module("register").model_hash(folder))


# The online endpoint.


def deploy_online(
    session: Session,
    *,
    model_version: str | None = None,
    bake_minutes: float | None = None,
    hold: bool = False,
    force: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Put a model version behind the online endpoint by a safe rollout (see `mlops.verbs.rollout`).

    `hold` stops before traffic moves; `force` rolls out also when the version is served already, for a change of the
    scoring script or its environment. Raises UserError when the new deployment is not the one that serves at the end.
    """
    backend, config = session.backend, session.config
    model = choose_model(session, model_version)
    traffic = backend.online_traffic()
    if traffic is None:
        backend.create_online_endpoint()
        session.say(f"Created endpoint {config.names.online_endpoint}.")
    found = [] if traffic is None else backend.online_deployments()
    # Older ones first: when traffic is shared in halves, the older deployment is the one to keep.
    deployments = {item.name: item for item in sorted(found, key=lambda item: item.generation)}
    plan = rollout.plan(traffic or {}, deployments, canary_percent=config.rollout.canary_percent, hold=hold)
    if plan.old and plan.settled and deployments[plan.old].model_version == model.version and not force:
        for name in plan.leftovers:
            backend.delete_online_deployment(name)
            session.say(f"Removed {name}, which had no traffic.")
        session.say(f"{plan.old} already serves version {model.version}: nothing to deploy.")
        return
    minutes = config.rollout.canary_minutes if bake_minutes is None else bake_minutes
    generation = 1 + max((deployment.generation for deployment in deployments.values()), default=0)
    Rollout(session, plan, model, generation, minutes, sleep).run()


@dataclass(frozen=True)
class Rollout:
    """A rollout in progress: does the steps that `mlops.verbs.rollout` decides on."""

    session: Session
    plan: rollout.Plan
    model: ModelVersion
    generation: int
    bake_minutes: float
    sleep: Callable[[float], None]

    def run(self) -> None:
        """Go from step to step until an end. Raises UserError when the end is not the wished one."""
        step, problem = rollout.first(self.plan), ""
        while step not in rollout.ENDS:
            self.session.say(f"-- {self._described(step)}")
            try:
                self._do(step)
                succeeded = True
            except (UserError, KeyboardInterrupt) as error:
                # An interrupted rollout is a failed one: Ctrl-C must not leave a canary behind.
                problem = problem or (str(error) or "interrupted")
                self.session.say(f"   failed: {error or 'interrupted'}")
                succeeded = False
            step = rollout.following(self.plan, step, succeeded=succeeded)
        self._conclude(step, problem)

    def _do(self, step: Step) -> None:
        backend, plan = self.session.backend, self.plan
        shares = plan.traffic(step)
        if shares is not None:
            backend.set_traffic(shares)
        elif step is Step.CLEAR:
            for name in plan.leftovers:
                backend.delete_online_deployment(name)
        elif step is Step.CREATE:
            backend.create_online_deployment(plan.new, self.model, self.generation)
        elif step in (Step.SMOKE_TEST, Step.CONFIRM):
            smoke_test(self.session, deployment=plan.new)
        elif step is Step.BAKE:
            self._bake()
        elif step is Step.REMOVE_OLD and plan.old:
            backend.delete_online_deployment(plan.old)
        elif step is Step.REMOVE_NEW:
            self._remove_new()

    def _bake(self) -> None:
        if self.session.dry_run:
            return
        remaining = self.bake_minutes
        while remaining > 0:
            self.session.say(f"   {remaining:g} minutes to go")
            self.sleep(60 * min(remaining, 1))
            remaining -= 1

    def _remove_new(self) -> None:
        # The creation may have failed so early that there is nothing to remove.
        if self.plan.new in [deployment.name for deployment in self.session.backend.online_deployments()]:
            try:
                self.session.backend.show_log(self.plan.new, LOG_LINES)
            except UserError as error:
                self.session.say(f"   its log cannot be shown: {error}")
            self.session.backend.delete_online_deployment(self.plan.new)

    def _described(self, step: Step) -> str:
        shares = self.plan.traffic(step)
        return step.value + (f": {' '.join(f'{name}={share}' for name, share in shares.items())}" if shares else "")

    def _conclude(self, end: Step, problem: str) -> None:
        plan, version, session = self.plan, self.model.version, self.session
        again = session.command("deploy-online", "--model-version", version)
        shift = session.command("shift-traffic", "--percent", str(plan.canary_percent))
        stays = f"{plan.old} still has all traffic" if plan.old else "the endpoint has no deployment"
        if end is Step.DONE:
            session.say(f"{plan.new} serves version {version} with all traffic. Next: `{session.command('monitor')}`.")
        elif end is Step.HELD:
            session.say(f"{plan.new} is ready with version {version}, without traffic. Next: `{shift}`.")
        elif end is Step.OLD_KEPT:
            raise UserError(
                f"{plan.new} serves version {version}, but {plan.old} could not be removed ({problem}): run `{again}`"
            )
        elif end is Step.FAILED:
            raise UserError(f"version {version} was not deployed, {stays}: {problem}")
        else:
            raise UserError(
                f"version {version} was not deployed, and clearing up failed too ({problem}): "
                f"run `{session.command('rollback')}` when Azure answers again"
            )


def smoke_test(session: Session, *, deployment: str | None = None) -> None:
    """Send real rows to the endpoint, or to one deployment behind it, and check the predictions.

    Raises UserError naming what is wrong with the answer.
    """
    pipeline = definitions.of(session.project).pipeline()
    request = session.folder / "smoke-test.json"
    request.parent.mkdir(parents=True, exist_ok=True)
    rows = sample_request(session.project, pipeline, SMOKE_TEST_ROWS)
    request.write_text(json.dumps(rows), encoding="utf-8")
    answer = session.backend.invoke(request, deployment)
    if session.dry_run:
        return
    schema = input_path(pipeline, "schema")
    if faults := session.project.module("data").check_response(answer, SMOKE_TEST_ROWS, schema):
        target = deployment or session.config.names.online_endpoint
        raise UserError(f"the smoke test of {target} failed: {'; '.join(faults)}")
    session.say(f"Smoke test passed: {SMOKE_TEST_ROWS} rows, {SMOKE_TEST_ROWS} sound predictions.")


def logs(session: Session, *, deployment: str | None = None, lines: int = 200) -> None:
    """Show the end of the log of an online deployment (default: the one that serves)."""
    traffic = session.backend.online_traffic()
    chosen = deployment or rollout.serving(traffic or {}, list(traffic or {}))
    if traffic is None or chosen is None:
        raise UserError(f"there is no deployment with a log: run `{session.command('deploy-online')}` first")
    session.backend.show_log(chosen, lines)


def shift_traffic(session: Session, percent: int) -> None:
    """Give the newer of two deployments `percent` of the traffic, the older one the rest."""
    old, new = _old_and_new(session)
    if old is None or new is None:
        cure = session.command("deploy-online", "--hold")
        raise UserError(f"there are not two deployments to share traffic: run `{cure}`")
    session.backend.set_traffic({old.name: 100 - percent, new.name: percent})
    session.say(f"Version {new.model_version} ({new.name}) has {percent} % of the traffic, {old.name} the rest.")


def rollback(session: Session) -> None:
    """Go back to the older of two deployments: all traffic to it, the newer one away and its model version rejected."""
    old, new = _old_and_new(session)
    if new is None:
        raise UserError(f"there is no deployment to go back from: run `{session.command('deploy-online')}`")
    if old is None:
        raise UserError(_previous_version(session, new))
    session.backend.set_traffic({old.name: 100})
    session.backend.delete_online_deployment(new.name)
    session.say(f"{old.name} has all traffic with version {old.model_version}; {new.name} is deleted.")
    # The same version twice means that the scoring script was at fault, not the model.
    if new.model_version != old.model_version:
        session.backend.tag_model(ModelVersion(new.model_version, registry=_source(session)), {"rejected": "true"})
        session.say(f"Version {new.model_version} is rejected: it will not be deployed again.")


def _previous_version(session: Session, only: Deployment) -> str:
    models = session.backend.model_versions(_source(session))
    earlier = [
        model
        for model in models
        if _number(model) < _number(ModelVersion(only.model_version)) and _fault(session, model) is None
    ]
    text = f"only {only.name} with version {only.model_version} is there, so there is no deployment to go back to"
    if not earlier:
        return f"{text}, and no earlier version of the model either: run `{session.command('train')}`"
    version = max(earlier, key=_number).version
    return f"{text}: run `{session.command('deploy-online', '--model-version', version)}`"


def _old_and_new(session: Session) -> tuple[Deployment | None, Deployment | None]:
    deployments = session.backend.online_deployments() if session.backend.online_traffic() is not None else []
    if session.dry_run:
        deployments = [Deployment("blue", "0"), Deployment("green", "1", 1)]
    ordered = sorted(deployments, key=lambda deployment: deployment.generation)
    if len(ordered) > 2:
        names = ", ".join(deployment.name for deployment in ordered)
        raise UserError(f"there are more than two deployments ({names}): delete those that are not ours first")
    old = ordered[0] if len(ordered) == 2 else None
    return old, ordered[-1] if ordered else None


# The batch endpoint.


def deploy_batch(session: Session, *, model_version: str | None = None) -> None:
    """Make a model version the default of the batch endpoint and remove the deployments of other versions."""
    backend, names = session.backend, session.config.names
    model = choose_model(session, model_version)
    if backend.batch_default() is None:
        backend.create_batch_endpoint()
        session.say(f"Created endpoint {names.batch_endpoint}.")
    name = f"model-{model.version}"
    backend.create_batch_deployment(name, model)
    for deployment in backend.batch_deployments():
        if deployment.name != name and re.fullmatch(r"model-\d+", deployment.name):
            backend.delete_batch_deployment(deployment.name)
            session.say(f"Removed {deployment.name}.")
    session.say(f"{names.batch_endpoint} scores with version {model.version}.")


# Schedules and the end.


def monitor(session: Session) -> None:
    """Create or update the monitor of the deployment that serves, with the thresholds of config/model.yml."""
    traffic = session.backend.online_traffic()
    deployment = rollout.serving(traffic or {}, list(traffic or {}))
    if deployment is None:
        raise UserError(f"there is nothing to watch: run `{session.command('deploy-online')}` first")
    task, thresholds = model_task(session.project), drift_thresholds(session.project)
    if session.backend.monitors_data:
        ensure_data(session)
    session.backend.create_monitor(session.monitor_name, deployment, task, thresholds)
    session.say(f"{session.monitor_name} {_monitor_summary(session, deployment)}.")


def _monitor_summary(session: Session, deployment: str) -> str:
    cron, emails = session.config.schedule.monitor_cron, session.config.monitor.alert_emails
    if session.backend.monitors_data:
        return (
            f"compares the newest data with what the model learned from ({cron}), because SDK v1 cannot watch "
            f"{deployment}; a run that finds drift fails"
        )
    alerts = f"alerts go to {', '.join(emails)}" if emails else "alerts go to Azure Monitor"
    return f"watches {deployment} ({cron}); {alerts}"


def schedule(session: Session, *, enabled: bool = True) -> None:
    """Create or update the schedule of the training pipeline, or switch it off.

    An environment that takes its models from the registry trains none, so it gets no schedule.
    """
    if registry := _source(session):
        session.say(f"{session.config.environment} takes its models from registry {registry}: nothing is trained here.")
        return
    name, existing = session.retraining_name, session.backend.schedules()
    if not enabled:
        if not existing.get(name, session.dry_run):
            session.say(f"{name} is not active: nothing to do.")
            return
        session.backend.enable_schedule(name, False)
        session.say(f"{name} is off.")
        return
    session.backend.create_retraining(name, ensure_data(session))
    if existing.get(name) is False:
        session.backend.enable_schedule(name, True)
    session.say(f"{name} trains at {session.config.schedule.retrain_cron} ({session.config.schedule.time_zone}).")


def remains(session: Session) -> list[str]:
    """Return what `teardown` would delete: the project's schedules and endpoints that are there."""
    backend, names = session.backend, session.config.names
    existing = backend.schedules()
    found = [f"schedule {name}" for name in (session.retraining_name, session.monitor_name) if name in existing]
    if backend.online_traffic() is not None:
        found.append(f"endpoint {names.online_endpoint}")
    if backend.batch_default() is not None:
        found.append(f"endpoint {names.batch_endpoint}")
    return found


def teardown(session: Session) -> None:
    """Delete the environment's endpoints and schedules. Models, data and infrastructure stay."""
    backend, names = session.backend, session.config.names
    existing = backend.schedules()
    for name in (session.retraining_name, session.monitor_name):
        if name in existing or session.dry_run:
            if existing.get(name, True):
                backend.enable_schedule(name, False)
            backend.delete_schedule(name)
            session.say(f"Deleted schedule {name}.")
    if backend.online_traffic() is not None:
        backend.delete_online_endpoint()
        session.say(f"Deleted endpoint {names.online_endpoint}.")
    if backend.batch_default() is not None:
        backend.delete_batch_endpoint()
        session.say(f"Deleted endpoint {names.batch_endpoint}.")
    session.say(f"{session.config.environment} has no endpoint and no schedule of this project.")
