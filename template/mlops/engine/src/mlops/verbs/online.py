"""The online endpoint: safe rollouts, a smoke test, logs, and manual traffic."""

import contextlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mlops.azureml.backend import Deployment, ModelVersion
from mlops.errors import UserError
from mlops.fingerprint import fingerprint
from mlops.local.runner import input_path
from mlops.local.serving import sample_request
from mlops.verbs import rollout
from mlops.verbs.canary import watch
from mlops.verbs.models import (
    check_model,
    check_named,
    choose_model,
    is_held,
    known_hash,
    left_for,
    record_before,
    record_deployment,
    set_held,
)
from mlops.verbs.rollout import Step
from mlops.verbs.session import Session

SMOKE_TEST_ROWS = 5
LOG_LINES = 50


@dataclass(frozen=True)
class Endpoint:
    """The online endpoint as it is: the traffic in percent by deployment (None: no endpoint), and the deployments.

    The older deployments come first.
    """

    traffic: Mapping[str, int] | None
    deployments: Mapping[str, Deployment]

    @classmethod
    def look(cls, session: Session) -> "Endpoint":
        """Ask Azure for it."""
        traffic = session.backend.online_traffic()
        found = [] if traffic is None else session.backend.online_deployments()
        return cls(traffic, {item.name: item for item in sorted(found, key=lambda item: item.generation)})

    @property
    def serving(self) -> Deployment | None:
        """The deployment that all requests belong to, also while a canary has a share of them."""
        name, _ = rollout.unfinished(self.traffic or {}, list(self.deployments))
        return self.deployments[name] if name else None


@dataclass(frozen=True)
class Deployed:
    """What a rollout came to.

    Attributes:
        serves: Whether the version has all traffic.
        changes: What was changed.
        canary: How the canary did.
        generation: That of the deployment that serves.
        models: The versions of the model, as they were at the end.
    """

    serves: bool
    changes: tuple[str, ...] = ()
    canary: str = ""
    generation: int = 0
    models: Sequence[ModelVersion] = ()


def deploy_online(
    session: Session,
    *,
    model_version: str | None = None,
    sha256: str = "",
    bake_minutes: float | None = None,
    hold: bool = False,
    force: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Put a model version behind the online endpoint by a safe rollout (see `mlops.verbs.rollout`).

    Args:
        session: The environment.
        model_version: The version; by default the pinned one, or else the newest that may be used.
        sha256: The hash that the files of the version must have. A protected environment needs it, and the version.
        bake_minutes: Length of the canary stage; by default that of the configuration.
        hold: Stop before traffic moves.
        force: Roll out also when nothing has changed since the version was deployed.
        sleep: Waits for some seconds.

    Raises:
        UserError: The version may not be used, or has other files; or the new deployment is not the one that serves at
            the end.
    """
    check_named(session, "deploy-online", model_version, sha256)
    models = session.backend.model_versions(session.registry)
    model = choose_model(session, model_version, models=models)
    check_model(session, model, sha256)
    endpoint = Endpoint.look(session)
    check_no_rollback(session, endpoint, models)
    roll_out(session, model, endpoint, models=models, bake_minutes=bake_minutes, hold=hold, force=force, sleep=sleep)


def roll_out(
    session: Session,
    model: ModelVersion,
    endpoint: Endpoint,
    *,
    models: Sequence[ModelVersion] | None = None,
    bake_minutes: float | None = None,
    hold: bool = False,
    force: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> Deployed:
    """Put a model version behind the online endpoint, unless it is there with all that is deployed beside it.

    Arguments are as in `deploy_online`; `endpoint` is how the endpoint was found; `models` are the versions of the
    model, if they were listed already.

    Raises:
        UserError: The new deployment is not the one that serves at the end.
    """
    backend, config = session.backend, session.config
    models = backend.model_versions(session.registry) if models is None else models
    content = fingerprint(session.project, config)
    if endpoint.traffic is None:
        backend.create_online_endpoint()
        session.say(
            f"Created endpoint {config.names.online_endpoint}.", f"Will create endpoint {config.names.online_endpoint}."
        )
    traffic, deployments = endpoint.traffic or {}, endpoint.deployments
    plan = rollout.plan(traffic, list(deployments), canary_percent=config.rollout.canary_percent, hold=hold)
    old = deployments[plan.old] if plan.old else None
    changes = _changes(old, model, content)
    if old and not changes and not force:
        held = held_deployment(session, endpoint, models)
        if held:
            session.say(f"{held.name} stays as it is: it is held with version {held.model_version}.")
        if not plan.settled and not held:
            backend.set_traffic({old.name: 100})
        for name in () if held else plan.leftovers:
            backend.delete_online_deployment(name)
            session.say(f"Removed {name}, which had no traffic.", f"Will remove {name}, which has no traffic.")
        session.say(f"{plan.old} already serves version {model.version}: nothing to deploy.")
        record_deployment(session, model, models)
        return Deployed(serves=True, generation=old.generation, models=models)
    for change in changes:
        session.say(f"To deploy: {change}.")
    if old:
        record_before(session, old.model_version, models)
    set_held(session, model, on=False)
    minutes = config.rollout.canary_minutes if bake_minutes is None else bake_minutes
    generation = 1 + max((deployment.generation for deployment in deployments.values()), default=0)
    progress = Rollout(session, plan, model, generation, content, minutes, sleep)
    serves = progress.run()
    if serves:
        # A rollout takes a while, in which others have set tags.
        models = backend.model_versions(session.registry)
        record_deployment(session, model, models)
    return Deployed(serves, changes or ("the same once more (--force)",), progress.canary, generation, models)


def rollout_left(
    session: Session, model: ModelVersion, endpoint: Endpoint, models: Sequence[ModelVersion]
) -> tuple[str, ...]:
    """Return what `roll_out` would change, nothing when the version is there with all that is deployed beside it."""
    traffic, deployments = endpoint.traffic or {}, endpoint.deployments
    plan = rollout.plan(traffic, list(deployments), canary_percent=session.config.rollout.canary_percent)
    old = deployments[plan.old] if plan.old else None
    changes = _changes(old, model, fingerprint(session.project, session.config))
    held = held_deployment(session, endpoint, models)
    if held and not changes:
        return ()
    returned = () if plan.settled else (f"all traffic to {plan.old}",)
    removed = [f"{name} is removed: {_what_it_is(endpoint, deployments[name], old, held)}" for name in plan.leftovers]
    return (*changes, *returned, *removed)


def _what_it_is(endpoint: Endpoint, other: Deployment, serving: Deployment | None, held: Deployment | None) -> str:
    """Return in words what a deployment is that a rollout clears."""
    share, version = (endpoint.traffic or {}).get(other.name, 0), other.model_version
    if held and held.name == other.name:
        return f"it is held with version {version}"
    if share:
        return (
            f"it is the canary of version {version}, with {share} % of the traffic; its rollout is in progress, or was "
            "interrupted"
        )
    if serving and other.generation < serving.generation:
        return f"it is what served before, version {version}, without traffic"
    return f"it has version {version} and no traffic; its rollout is in progress, or was interrupted"


def rollback_in_progress(
    session: Session, endpoint: Endpoint, models: Sequence[ModelVersion] | None = None
) -> str | None:
    """Return the version from which a rollback goes whose deployment has not all traffic, None when none does."""
    kept, name = rollout.unfinished(endpoint.traffic or {}, list(endpoint.deployments))
    if name is None or session.dry_run:
        return None
    bad = left_for(session, endpoint.deployments[name].model_version, models)
    # Where another version serves, that rollback is over, and only its end was not noted.
    return bad if kept is None or endpoint.deployments[kept].model_version == bad else None


def check_no_rollback(session: Session, endpoint: Endpoint, models: Sequence[ModelVersion]) -> None:
    """Check that no rollback is in progress, whose deployment a rollout would remove.

    Raises:
        UserError: One is.
    """
    if bad := rollback_in_progress(session, endpoint, models):
        complete, end = (session.command("rollback", *words, "--from", bad) for words in ((), ("--abort",)))
        raise UserError(
            f"a rollback from version {bad} is in progress in {session.config.environment}: nothing was changed; run "
            f"this again after its end, or, if its run is gone, after `{complete}`, which completes it, or `{end}`"
        )


def held_deployment(
    session: Session, endpoint: Endpoint, models: Sequence[ModelVersion] | None = None
) -> Deployment | None:
    """Return the deployment that a rollout with --hold left on purpose, None when there is none."""
    _, name = rollout.unfinished(endpoint.traffic or {}, list(endpoint.deployments))
    if name is None:
        return None
    found = endpoint.deployments[name]
    listed = session.backend.model_versions(session.registry) if models is None else models
    return found if any(is_held(session, each) for each in listed if each.version == found.model_version) else None


def _changes(old: Deployment | None, model: ModelVersion, content: str) -> tuple[str, ...]:
    """Return what a deployment of the model would change."""
    if old is None:
        return (f"version {model.version}, and nothing serves yet",)
    if old.model_version != model.version:
        return (f"version {model.version} in the place of version {old.model_version}",)
    if not old.fingerprint:
        return (
            f"version {model.version} once more, because {old.name} is of a release that did not note what it deployed "
            "beside the model",
        )
    if old.fingerprint != content:
        return ("other scoring code, environment, definition, size or number of machines",)
    return ()


@dataclass
class Rollout:
    """A rollout in progress, which does the steps that `mlops.verbs.rollout` decides on; `canary` is what it saw."""

    session: Session
    plan: rollout.Plan
    model: ModelVersion
    generation: int
    fingerprint: str
    bake_minutes: float
    sleep: Callable[[float], None]
    canary: str = ""
    replaced: bool = False

    def run(self) -> bool:
        """Go from step to step until an end; return whether the new deployment has all traffic then.

        Raises:
            UserError: The rollout does not reach its goal.
        """
        step, problem = rollout.first_step(self.plan), ""
        while step not in rollout.ENDS:
            self.session.say(f"-- {self._step_line(step)}")
            try:
                self._do(step)
                succeeded = True
            except (UserError, KeyboardInterrupt) as error:
                # An interrupted rollout is a failed one: Ctrl-C must not leave a canary behind.
                problem = problem or (str(error) or "interrupted")
                self.session.say(f"   failed: {error or 'interrupted'}")
                succeeded = False
            step = rollout.next_step(self.plan, step, succeeded=succeeded)
        self._conclude(step, problem)
        return step is Step.DONE

    def _do(self, step: Step) -> None:
        backend, plan = self.session.backend, self.plan
        shares = plan.traffic(step)
        if step in (Step.RESTORE, Step.REMOVE_NEW) and self._is_replaced():
            self.session.say(f"   {plan.new} is another rollout's, which decides about the traffic: nothing to do")
        elif shares is not None:
            backend.set_traffic(shares)
        elif step is Step.CLEAR:
            for name in plan.leftovers:
                backend.delete_online_deployment(name)
        elif step is Step.CREATE:
            self._check_free()
            tags = {"generation": str(self.generation), "fingerprint": self.fingerprint}
            backend.create_online_deployment(plan.new, self.model, tags)
        elif step in (Step.SMOKE_TEST, Step.CONFIRM):
            if step is Step.CONFIRM:
                self._check_new()
            smoke_test(self.session, deployment=plan.new)
        elif step is Step.BAKE:
            self.canary = watch(self.session, plan.new, self.bake_minutes, self.sleep, old=plan.old)
        elif step is Step.REMOVE_OLD and plan.old:
            backend.delete_online_deployment(plan.old)
        elif step is Step.REMOVE_NEW:
            self._remove_new()

    def _check_new(self) -> None:
        """Check that what gets all traffic next is what this rollout created, and not what another one made meanwhile.

        Raises:
            UserError: It is not.
        """
        found = self._found()
        if not self.session.dry_run and (found is None or not self._is_own(found)):
            raise UserError(f"another rollout has replaced {self.plan.new} meanwhile: wait for the end of that")

    def _check_free(self) -> None:
        """Check that no other rollout has made a deployment of this name meanwhile.

        Raises:
            UserError: One has.
        """
        if self._found():
            self.replaced = True
            raise UserError(f"another rollout has made {self.plan.new} meanwhile: wait for the end of that")

    def _is_replaced(self) -> bool:
        """Return whether the new deployment is another rollout's, which must lose neither its traffic nor itself."""
        if not self.replaced:
            # Where Azure does not tell, traffic goes back all the same.
            with contextlib.suppress(UserError):
                found = self._found()
                self.replaced = found is not None and not self._is_own(found)
        return self.replaced

    def _found(self) -> Deployment | None:
        """Return what has the name of the new deployment now; None in a dry run."""
        deployments = [] if self.session.dry_run else self.session.backend.online_deployments()
        return next((each for each in deployments if each.name == self.plan.new), None)

    def _is_own(self, found: Deployment) -> bool:
        return (found.generation, found.model_version) == (self.generation, self.model.version)

    def _remove_new(self) -> None:
        # The creation may have failed so early that there is nothing to remove.
        if self.session.dry_run or self._found():
            try:
                self.session.backend.show_log(self.plan.new, LOG_LINES)
            except UserError as error:
                self.session.say(f"   its log cannot be shown: {error}")
            self.session.backend.delete_online_deployment(self.plan.new)

    def _step_line(self, step: Step) -> str:
        shares = self.plan.traffic(step)
        return step.value + (f": {' '.join(f'{name}={share}' for name, share in shares.items())}" if shares else "")

    def _conclude(self, end: Step, problem: str) -> None:
        plan, version, session = self.plan, self.model.version, self.session
        sha256 = known_hash(session, self.model)
        named = ("--model-version", version, *(("--sha256", sha256) if sha256 else ()))
        again = session.command("deploy-online", *named)
        shift = session.command("shift-traffic", "--percent", str(plan.canary_percent))
        stays = f"{plan.old} still has all traffic" if plan.old else "the endpoint has no deployment"
        if end is Step.DONE:
            rest = f"version {version} with all traffic. Next: `{session.command('monitor')}`."
            session.say(f"{plan.new} serves {rest}", f"{plan.new} will serve {rest}")
        elif end is Step.HELD:
            set_held(session, self.model, on=True)
            rest = f"ready with version {version}, without traffic. Next: `{shift}`."
            session.say(f"{plan.new} is {rest}", f"{plan.new} will be {rest}")
        elif end is Step.OLD_KEPT:
            # The next delivery may be of another version, and a rollback of that has to come back to this one.
            with contextlib.suppress(UserError):
                record_deployment(session, self.model)
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

    Raises:
        UserError: Something is wrong with the answer.
    """
    request = session.folder / "smoke-test.json"
    request.parent.mkdir(parents=True, exist_ok=True)
    rows = sample_request(session.project, session.pipeline, SMOKE_TEST_ROWS)
    request.write_text(json.dumps(rows), encoding="utf-8")
    answer = session.backend.invoke(request, deployment)
    if session.dry_run:
        return
    endpoint, modality = session.project.module("core.endpoint"), session.project.module("modality").MODALITY
    schema = input_path(session.pipeline, "schema")
    if problems := endpoint.check_response(modality, answer, SMOKE_TEST_ROWS, schema):
        target = deployment or session.config.names.online_endpoint
        raise UserError(f"the smoke test of {target} failed: {'; '.join(problems)}")
    session.say(
        f"Smoke test passed: {SMOKE_TEST_ROWS} rows, {SMOKE_TEST_ROWS} valid predictions.",
        f"Will check that {SMOKE_TEST_ROWS} rows have {SMOKE_TEST_ROWS} valid predictions.",
    )


def logs(session: Session, *, deployment: str | None = None, lines: int = 200) -> None:
    """Show the end of the log of an online deployment (default: the one that serves)."""
    traffic = session.backend.online_traffic()
    chosen = deployment or rollout.serving_deployment(traffic or {}, list(traffic or {}))
    if traffic is None or chosen is None:
        raise UserError(f"there is no deployment with a log: run `{session.command('deploy-online')}` first")
    session.backend.show_log(chosen, lines)


def shift_traffic(session: Session, percent: int) -> None:
    """Give the newer of two deployments `percent` of the traffic, the older one the rest."""
    old, new = old_and_new(session, Endpoint.look(session))
    if old is None or new is None:
        command = session.command("deploy-online", "--hold")
        raise UserError(f"there are not two deployments to share traffic: run `{command}`")
    session.backend.set_traffic({old.name: 100 - percent, new.name: percent})
    share = f"{percent} % of the traffic, {old.name} the rest."
    begin = f"Version {new.model_version} ({new.name})"
    session.say(f"{begin} has {share}", f"{begin} will have {share}")
    if percent == 100:
        deliver = session.command("deliver", "--model-version", new.model_version)
        session.say(
            f"{old.name} has no traffic and is billed all the same, for `{session.command('rollback')}`: the next "
            f"delivery removes it, such as `{deliver}`."
        )


def old_and_new(session: Session, endpoint: Endpoint) -> tuple[Deployment | None, Deployment | None]:
    """Return the older of two deployments, None when there are not two, and the newer or only one.

    Raises:
        UserError: There are more than two.
    """
    found = list(endpoint.deployments.values())
    if session.dry_run:
        found = [Deployment("blue", "0"), Deployment("green", "1", 1)]
    # What has another name was not made by a rollout.
    ordered = [deployment for deployment in found if deployment.name in rollout.COLOURS] or found
    if len(ordered) > 2:
        names = ", ".join(deployment.name for deployment in ordered)
        raise UserError(f"there are more than two deployments ({names}): delete those that are not needed first")
    old = ordered[0] if len(ordered) == 2 else None
    return old, ordered[-1] if ordered else None
