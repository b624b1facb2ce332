"""The online endpoint: safe rollouts, a smoke test, logs, and manual traffic."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from mlops import definitions
from mlops.azureml.backend import Deployment, ModelVersion
from mlops.errors import UserError
from mlops.local.runner import input_path
from mlops.local.serving import sample_request
from mlops.verbs import rollout
from mlops.verbs.models import choose_model, number, obstacle
from mlops.verbs.rollout import Step
from mlops.verbs.session import Session

SMOKE_TEST_ROWS = 5
LOG_LINES = 50


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

    Args:
        session: The environment.
        model_version: The version; by default the newest that may be used.
        bake_minutes: Length of the canary stage; by default that of the configuration.
        hold: Stop before traffic moves.
        force: Roll out also when the version is served already, for a change of the scoring script or its environment.
        sleep: Waits for some seconds.

    Raises:
        UserError: The new deployment is not the one that serves at the end.
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
    """A rollout in progress, which does the steps that `mlops.verbs.rollout` decides on."""

    session: Session
    plan: rollout.Plan
    model: ModelVersion
    generation: int
    bake_minutes: float
    sleep: Callable[[float], None]

    def run(self) -> None:
        """Go from step to step until an end.

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

    def _step_line(self, step: Step) -> str:
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

    Raises:
        UserError: Something is wrong with the answer.
    """
    pipeline = definitions.of(session.project).pipeline()
    request = session.folder / "smoke-test.json"
    request.parent.mkdir(parents=True, exist_ok=True)
    rows = sample_request(session.project, pipeline, SMOKE_TEST_ROWS)
    request.write_text(json.dumps(rows), encoding="utf-8")
    answer = session.backend.invoke(request, deployment)
    if session.dry_run:
        return
    endpoint, modality = session.project.module("core.endpoint"), session.project.module("modality").MODALITY
    if problems := endpoint.check_response(modality, answer, SMOKE_TEST_ROWS, input_path(pipeline, "schema")):
        target = deployment or session.config.names.online_endpoint
        raise UserError(f"the smoke test of {target} failed: {'; '.join(problems)}")
    session.say(f"Smoke test passed: {SMOKE_TEST_ROWS} rows, {SMOKE_TEST_ROWS} valid predictions.")


def logs(session: Session, *, deployment: str | None = None, lines: int = 200) -> None:
    """Show the end of the log of an online deployment (default: the one that serves)."""
    traffic = session.backend.online_traffic()
    chosen = deployment or rollout.serving_deployment(traffic or {}, list(traffic or {}))
    if traffic is None or chosen is None:
        raise UserError(f"there is no deployment with a log: run `{session.command('deploy-online')}` first")
    session.backend.show_log(chosen, lines)


def shift_traffic(session: Session, percent: int) -> None:
    """Give the newer of two deployments `percent` of the traffic, the older one the rest."""
    old, new = _old_and_new(session)
    if old is None or new is None:
        command = session.command("deploy-online", "--hold")
        raise UserError(f"there are not two deployments to share traffic: run `{command}`")
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
    # The same version twice means that the scoring script was wrong, not the model.
    if new.model_version != old.model_version:
        session.backend.tag_model(ModelVersion(new.model_version, registry=session.registry), {"rejected": "true"})
        session.say(f"Version {new.model_version} is rejected: it will not be deployed again.")


def _previous_version(session: Session, only: Deployment) -> str:
    models = session.backend.model_versions(session.registry)
    earlier = [
        model
        for model in models
        if number(model) < number(ModelVersion(only.model_version)) and obstacle(session, model) is None
    ]
    text = f"only {only.name} with version {only.model_version} is there, so there is no deployment to go back to"
    if not earlier:
        return f"{text}, and no earlier version of the model either: run `{session.command('train')}`"
    version = max(earlier, key=number).version
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
