"""Back to what served before: the rollback of a version, and the end of a rollout that was not completed."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from mlops.azureml.backend import Deployment, ModelVersion
from mlops.errors import UserError
from mlops.outputs import add_summary, name_run, set_outputs, table
from mlops.verbs import rollout
from mlops.verbs.batch import batch_name, score_files_with
from mlops.verbs.candidate import completion_tag
from mlops.verbs.delivery import summarise
from mlops.verbs.models import (
    check_files,
    choose_model,
    find_version,
    is_set,
    known_hash,
    last_served,
    left_for,
    note_end,
    number,
    obstacle,
    passing_note,
    pinned_versions,
    record_deployment,
    set_pin,
    short_time,
    since,
)
from mlops.verbs.online import Deployed, Endpoint, held_deployment, old_and_new, roll_out, rollback_in_progress
from mlops.verbs.schedules import monitor, monitor_left
from mlops.verbs.session import Session


def rollback(
    session: Session,
    *,
    bad: str | None = None,
    model_version: str | None = None,
    expected: str = "",
    sha256: str = "",
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Go back to the model version that served before, and reject the one that serves, in this environment.

    While two deployments are there, the older one gets all traffic and the newer one is deleted. When a rollout was
    completed and the older one is gone, the version is deployed again by the same safe rollout, only without waiting
    for the canary, and with the scoring code of this checkout. A rejected version is not deployed here again, until
    `mlops models --accept` takes that back. When the version to go back to is named, those between the two are rejected
    with the bad one: the next delivery would bring the newest of them. Of two deployments of the same version the
    scoring code was wrong, not the model: then nothing is rejected. A rollback that broke off is completed by the next
    one, which goes no further back; one that names the bad version can be repeated even after it was completed.

    Args:
        session: The environment.
        bad: The version to go back from; by default the one that serves, or the newer one of two.
        model_version: Where to go back to; by default the version that had all traffic before, or, when the tags do not
            tell, the newest one before the present that may be used.
        expected: The version that it must go to, by whichever rule: the one that was approved.
        sha256: The hash that the files of the version to go back to must have.
        sleep: Waits for some seconds.

    Raises:
        UserError: There is no such version, it cannot be deployed, or it is not the expected one.
    """
    way = _way(session, bad, model_version)
    _check_expected(session, way, expected, sha256)
    changes: list[str] = []
    if way.broken_off:
        changes.append(_complete(session, way))
    elif way.to_older and way.old:
        changes.append(_go_back_to_the_older(session, way.old, way.new))
    served = "" if way.is_silent else way.serving.model_version
    if way.target is not None and way.target.version != served:
        named = model_version is not None
        changes.append(_deploy_again(session, served or way.bad, way.target, sha256, sleep, named=named))
        served = way.target.version
    if not changes:
        session.say(f"Version {served} serves already: there is nothing to go back from.")
    _conclude(session, served, changes, way.bad if way.bad != served else "")


def look(session: Session, *, model_version: str | None = None) -> None:
    """Show from which version to which one a rollback goes, and hand both on; nothing is changed.

    Args:
        session: The environment.
        model_version: Where to go back to, as in `rollback`.

    Raises:
        UserError: There is no way back.
    """
    way = _way(session, None, model_version)
    bad, target = way.bad, way.goal
    model = _known(session, target)
    sha256 = known_hash(session, model)
    label = f"from version {bad} to {target}, sha256 {sha256[:12] or 'unknown'}"
    session.say(f"A rollback of {session.config.environment} goes {label}.")
    set_outputs(bad=bad, model_version=target, sha256=sha256, label=label)
    name_run(f"rollback of {session.config.environment} {label}")
    served = {each.version: short_time(since(session, each)) for each in (_known(session, bad), model)}
    rows = [[f"Version {version} had all traffic since", time or "unknown"] for version, time in served.items()]
    minutes, canary = session.config.rollout.canary_minutes, ""
    if way.target and minutes and _is_watched(session, way.target, named=model_version is not None):
        canary = (
            f"Version {target} never had all traffic in {session.config.environment}: it is a canary for {minutes:g} "
            f"minutes first, in which version {bad} answers the other requests."
        )
        session.say(canary)
    add_summary(f"## {session.config.environment}: a rollback goes {label}\n\n{table(['', ''], rows)}\n{canary}")


def end_rollback(session: Session, bad: str) -> None:
    """End a rollback that stopped half-way, so that no share of the requests is left between two versions.

    Until the version to go back to has all traffic, the state is as before: the other one gets all traffic again, and
    what was created goes. That takes a minute, where the rest of the rollback would create a deployment, for which a
    run that was cancelled has no time. From then on the rollback is completed: what is left of it is short, and the bad
    version must not come back. The bad one stays rejected, because that was approved. It can be repeated, and does
    nothing where a rollback was completed or had not begun to change anything.

    Args:
        session: The environment.
        bad: The version to go back from.

    Raises:
        UserError: Azure does not do it, or neither of the two versions serves.
    """
    environment, tag = session.config.environment, f"leaving_{session.config.environment}"
    models = session.backend.model_versions(session.registry)
    model = find_version(session, models, bad)
    is_begun = _rejects(session, model) or session.dry_run
    good = model.tags.get(tag, "false") if is_begun else "false"
    endpoint = Endpoint.look(session)
    traffic, again = endpoint.traffic or {}, session.command("rollback", "--from", bad)
    kept, new = rollout.unfinished(traffic, list(endpoint.deployments))
    serving = endpoint.deployments[kept].model_version if kept else ""
    another = endpoint.deployments[new].model_version if new else ""
    if good == "false":
        more = "" if is_begun else f" It is not rejected, so a delivery may bring it: `{again}` goes back from it."
        session.say(f"No rollback from version {bad} is in progress in {environment}.{more}")
    elif kept and serving == good and (traffic.get(kept) == 100 or another not in ("", bad)):
        session.say(f"Version {good} has all traffic: the rest of the rollback follows.")
        leftovers = tuple(each for each in endpoint.deployments.values() if each.model_version == bad)
        way = Way(None, endpoint.deployments[kept], bad, None, broken_off=True, leftovers=leftovers)
        _conclude(session, good, [_complete(session, way)], bad)
    elif kept and serving == bad:
        state = f"{new} is of another run, which decides about the traffic."
        if another in ("", good):
            if traffic.get(kept) != 100:
                session.backend.set_traffic({kept: 100})
            if new:
                session.backend.delete_online_deployment(new)
            state = f"{kept} has all traffic with version {bad}, as before."
        session.backend.tag_model(model, {tag: "false"})
        session.say(f"{state} {_what_stays(session, models, endpoint.deployments[kept], good)}")
    elif kept is None:
        if new and another == good:
            session.backend.delete_online_deployment(new)
        session.backend.tag_model(model, {tag: "false"})
        sha256 = known_hash(session, _known(session, good))
        named = ("--model-version", good, *(("--sha256", sha256) if sha256 else ()))
        deliver = session.command("deliver", *named)
        session.say(f"Nothing serves in {environment}. Version {bad} stays rejected: `{deliver}` brings {good}.")
    else:
        raise UserError(f"neither version {bad} nor {good} has all traffic in {environment}: run `{again}`")


def _what_stays(session: Session, models: list[ModelVersion], serving: Deployment, good: str) -> str:
    """Return in words what a rollback that ended half-way leaves rejected, and how to go on."""
    bad = serving.model_version
    limits = number(ModelVersion(good)), number(ModelVersion(bad))
    rejected = [each for each in sorted(models, key=number) if _rejects(session, each)]
    between = [each.version for each in rejected if limits[0] < number(each) < limits[1]]
    others = f", and so does {' and '.join(between)} in between" if between else ""
    named: tuple[str, ...] = ("--model-version", good)
    with contextlib.suppress(UserError):
        named = () if _target(session, serving, None).version == good else named
    again, accept = session.command("rollback", "--from", bad, *named), session.command("models", "--accept", bad)
    return f"Version {bad} stays rejected{others}: `{again}` goes back once more, and `{accept}` keeps it."


@dataclass(frozen=True)
class Way:
    """From where to where a rollback goes.

    Attributes:
        old: The older of two deployments, None when there are not two.
        new: The newer, or only one.
        bad: The version to go back from.
        target: The version to deploy again, None when it is enough that the older one gets all traffic.
        broken_off: An earlier rollback has rejected the bad version and did not reach its end.
        to_older: The older one gets all traffic, and the newer one goes.
        leftovers: Deployments of the bad version that an earlier rollback could not remove.
        is_silent: Nothing serves: that rollback was killed before what it had created got traffic.
    """

    old: Deployment | None
    new: Deployment
    bad: str
    target: ModelVersion | None
    broken_off: bool = False
    to_older: bool = False
    leftovers: tuple[Deployment, ...] = ()
    is_silent: bool = False

    @property
    def goal(self) -> str:
        """The version that serves in the end."""
        return self.target.version if self.target else self.serving.model_version

    @property
    def serving(self) -> Deployment:
        """The deployment that all requests belong to."""
        return self.old or self.new


def _way(session: Session, bad: str | None, model_version: str | None) -> Way:
    """Decide from where to where a rollback goes; arguments are as in `rollback`.

    Raises:
        UserError: There is no way back, or not the one that was named.
    """
    endpoint = Endpoint.look(session)
    old, new = _deployed(session, endpoint)
    serving = old or new
    if bad and not session.dry_run:
        left = _left(session, bad, (old, new), model_version)
    else:
        left = left_for(session, new.model_version) if old is None else None
    if left:
        # A version that a rollback has rejected already: what serves is where that went back to.
        further = _target(session, serving, model_version) if model_version else None
        if old is None and not session.dry_run and not (endpoint.traffic or {}).get(new.name):
            return Way(None, new, left, further or _known(session, new.model_version), is_silent=True)
        return Way(old, new, left, further, broken_off=True)
    is_back = old and (endpoint.traffic or {}).get(new.name) == 100 and not session.dry_run
    if old and is_back and left_for(session, new.model_version) == old.model_version:
        further = _target(session, new, model_version) if model_version else None
        return Way(None, new, old.model_version, further, broken_off=True, leftovers=(old,))
    # The older of two is the bad one: it was named, or a rollback from it broke off before its deployment got traffic.
    if old is None or bad == old.model_version != new.model_version or _is_rejected(session, old):
        return Way(old, new, serving.model_version, _target(session, serving, model_version))
    if model_version == new.model_version != old.model_version:
        raise UserError(f"version {model_version} is what a rollback rejects now: name another one, or none")
    further = _target(session, old, model_version) if model_version else None
    return Way(old, new, new.model_version, further, to_older=True)


def _check_expected(session: Session, way: Way, expected: str, sha256: str) -> None:
    """Check that a rollback goes to the version that was approved, with the hash that this had then.

    Raises:
        UserError: It goes elsewhere, because what is deployed, or what the tags say, has changed since.
    """
    if session.dry_run:
        return
    environment = session.config.environment
    again = session.command("rollback", "--look")
    if expected and way.goal != expected:
        raise UserError(
            f"a rollback of {environment} goes to version {way.goal} by now, and {expected} was approved: nothing was "
            f"changed; `{again}` shows where it goes, and a new run asks for an approval of that"
        )
    known = known_hash(session, _known(session, way.goal)) if sha256 else ""
    if known and known != sha256:
        raise UserError(
            f"version {way.goal} is not the model that was approved: its tag says sha256 {known[:12]}, and --sha256 "
            f"{sha256[:12]}: nothing was changed; `{again}` shows where it goes"
        )


def _deployed(session: Session, endpoint: Endpoint) -> tuple[Deployment | None, Deployment]:
    """Return the deployments as `old_and_new`, without one that is held: what answers no requests is not the bad one.

    Raises:
        UserError: There is none.
    """
    old, new = old_and_new(session, endpoint)
    silent = old and new and not session.dry_run and not (endpoint.traffic or {}).get(new.name)
    if silent and held_deployment(session, endpoint):
        old, new = None, old
    if new is None:
        raise UserError(f"there is no deployment to go back from: run `{session.command('deploy-online')}`")
    return old, new


def _known(session: Session, version: str) -> ModelVersion:
    """Return a version with its tags, as far as Azure tells."""
    with contextlib.suppress(UserError):
        return find_version(session, session.backend.model_versions(session.registry), version)
    return ModelVersion(version, registry=session.registry)


def _is_rejected(session: Session, deployment: Deployment) -> bool:
    models = session.backend.model_versions(session.registry)
    return any(_rejects(session, model) for model in models if model.version == deployment.model_version)


def _rejects(session: Session, model: ModelVersion) -> bool:
    return is_set(model, f"rejected_{session.config.environment}")


def _left(
    session: Session, bad: str, deployments: tuple[Deployment | None, Deployment], model_version: str | None
) -> str | None:
    """Return the version to go back from if an earlier rollback did so already, None while it is deployed.

    Raises:
        UserError: It is not deployed, and no rollback was from it; or a newer one, from which a rollback to the named
            version would go, has come since then.
    """
    there = [each.model_version for each in deployments if each]
    if bad in there:
        return None
    model = find_version(session, session.backend.model_versions(session.registry), bad)
    is_replaced = model_version not in (None, there[0]) and number(ModelVersion(there[0])) > number(model)
    if not _rejects(session, model) or is_replaced:
        raise UserError(
            f"version {bad} does not serve in {session.config.environment}, version {' and '.join(there)} does: "
            f"`{session.command('models')}` shows what serves"
        )
    return bad


def _complete(session: Session, way: Way) -> str:
    bad, good = way.bad, way.serving.model_version
    session.say(f"Version {good} serves already in the place of version {bad}: only the rest of that rollback is done.")
    for each in way.leftovers:
        session.backend.delete_online_deployment(each.name)
    record_deployment(session, find_version(session, session.backend.model_versions(session.registry), good))
    _take_along(session, bad, good)
    note_end(session, bad)
    return f"the rollback from version {bad} to {good}, which broke off, is complete"


def _go_back_to_the_older(session: Session, old: Deployment, new: Deployment) -> str:
    session.backend.set_traffic({old.name: 100})
    # The same version twice means that the scoring script was wrong, not the model.
    other = new.model_version != old.model_version
    if other:
        _reject(session, new.model_version, leaving_for=old.model_version)
    try:
        session.backend.delete_online_deployment(new.name)
    except UserError:
        # Azure may have done it all the same, and then a repeated rollback would go back once more.
        if new.name in Endpoint.look(session).deployments:
            raise
    session.say(
        f"{old.name} has all traffic with version {old.model_version}; {new.name} is deleted.",
        f"{old.name} will have all traffic with version {old.model_version}; {new.name} will be deleted.",
    )
    if other:
        _take_batch_back(session, new.model_version, old.model_version)
        note_end(session, new.model_version)
    return f"all traffic to version {old.model_version}; the deployment of version {new.model_version} is deleted"


def _deploy_again(
    session: Session, bad: str, target: ModelVersion, sha256: str, sleep: Callable[[float], None], *, named: bool
) -> str:
    if expected := sha256 or known_hash(session, target):
        check_files(session, target, expected)
    # Before the rollout: if that is killed half-way, no delivery brings the bad version back.
    _reject(session, bad, leaving_for=target.version)
    for version in _between(session, target, bad) if named else ():
        _reject(session, version)
    minutes = None if _is_watched(session, target, named=named) else 0
    roll_out(session, target, Endpoint.look(session), bake_minutes=minutes, sleep=sleep)
    # What an older run waits with is not the newest any more.
    if note := passing_note(session, target, session.config):
        session.backend.tag_model(target, note)
    again = f"again, in the place of version {bad}."
    session.say(f"Version {target.version} serves {again}", f"Version {target.version} will serve {again}")
    _take_along(session, bad, target.version)
    note_end(session, bad)
    return f"version {target.version} is deployed again in the place of version {bad}"


def _is_watched(session: Session, target: ModelVersion, *, named: bool) -> bool:
    """Return whether a rollback waits for the canary of the version that it deploys.

    It does not, because the bad version answers most requests until the end; but what never served here is as new as
    any other version. Of an unnamed one that may be unknown: releases until v0.8.0 noted no times.
    """
    return named and not since(session, target) and not session.dry_run


def _between(session: Session, target: ModelVersion, bad: str) -> list[str]:
    """Return the versions that were passed over on the way back: the next delivery would bring the newest of them."""
    models = sorted(session.backend.model_versions(session.registry), key=number)
    limits = number(target), number(ModelVersion(bad))
    return [each.version for each in models if limits[0] < number(each) < limits[1] and not _rejects(session, each)]


def _reject(session: Session, version: str, *, leaving_for: str = "") -> None:
    """Reject a version; `leaving_for` is the one that a rollback goes to, which is noted until that reaches its end."""
    environment = session.config.environment
    tags = {f"rejected_{environment}": "true"}
    if leaving_for:
        tags[f"leaving_{environment}"] = leaving_for
    if version in [model.version for model in pinned_versions(session)]:
        tags[f"pinned_{environment}"] = "false"
    session.backend.tag_model(ModelVersion(version, registry=session.registry), tags)
    accept = session.command("models", "--accept", version)
    end = f"rejected: it will not be deployed in {environment} again, until `{accept}`."
    session.say(f"Version {version} is {end}", f"Version {version} will be {end}")


def _take_along(session: Session, bad: str, good: str) -> None:
    """Have the monitor and the batch endpoint follow."""
    if session.monitor_name in session.backend.schedules():
        monitor(session)
    if not _take_batch_back(session, bad, good) or monitor_left(session):
        return
    # What is noted here only spares an approval, so the rollback does not fail of it.
    with contextlib.suppress(UserError):
        if serving := Endpoint.look(session).serving:
            session.backend.tag_model(_known(session, good), completion_tag(session, serving.generation))


def _take_batch_back(session: Session, bad: str, good: str) -> bool:
    """Put the good version behind the batch endpoint in the place of the bad one; return whether that was there."""
    is_there = _is_behind_batch(session, bad)
    if is_there:
        score_files_with(session, choose_model(session, good))
    return is_there


def _is_behind_batch(session: Session, version: str) -> bool:
    """Return whether a version is behind the batch endpoint, or is still to be removed there after another one came."""
    default, name = session.backend.batch_default(), batch_name(version)
    return bool(default) and name in {default, *(each.name for each in session.backend.batch_deployments())}


def _target(session: Session, serving: Deployment, version: str | None) -> ModelVersion:
    """Return the version to go back to.

    Raises:
        UserError: There is none, or the given one cannot be it.
    """
    present = number(ModelVersion(serving.model_version))
    if version is not None:
        chosen = choose_model(session, version)
        if number(chosen) > present and not since(session, chosen) and not session.dry_run:
            raise UserError(
                f"version {version} is newer than {serving.model_version}, which serves, and never served in "
                f"{session.config.environment}: run `{session.command('deliver', '--model-version', version)}`"
            )
        return chosen
    listed = session.backend.model_versions(session.registry)
    models = [model for model in listed if model.version != serving.model_version and obstacle(session, model) is None]
    tag = f"leaving_{session.config.environment}"
    goals = [each.tags.get(tag) for each in listed if each.version == serving.model_version and _rejects(session, each)]
    # A rollback that broke off goes where it went.
    if goal := next((model for model in models if model.version in goals), None):
        return goal
    if last := last_served(session, models):
        return last
    earlier = [model for model in models if number(model) < present]
    if not earlier:
        raise UserError(
            f"only {serving.name} with version {serving.model_version} is there, and no earlier version of the model "
            f"that may be used: run `{session.command('train')}`"
        )
    return max(earlier, key=number)


def _conclude(session: Session, version: str, changes: list[str], gone: str) -> None:
    """Hand on which version serves now."""
    # Where Azure does not answer any more, the rollback is done all the same: who repeats it would go back once more.
    model = _known(session, version)
    sha256 = known_hash(session, model)
    set_outputs(model_version=version, sha256=sha256)
    decision = "rolled back" if changes else "nothing to go back from"
    accept = f"version {gone}, until `{session.command('models', '--accept', gone)}`" if gone else ""
    summarise(session, model, sha256, decision, Deployed(serves=True, changes=tuple(changes)), ["Rejected", accept])


def abort(session: Session, *, held: bool = False) -> None:
    """End a rollout that is in progress: all traffic to the older deployment, the newer one away.

    It can be repeated, and does nothing where a rollout was completed or none was begun. What an earlier run holds on
    purpose stays: the run that ends here may be another one.

    Args:
        session: The environment.
        held: Whether a deployment that is held goes, too.

    Raises:
        UserError: Azure does not do it.
    """
    endpoint = Endpoint.look(session)
    if session.dry_run:
        usual = {name: Deployment(name, str(number), number) for number, name in enumerate(rollout.COLOURS)}
        endpoint = Endpoint(dict(zip(rollout.COLOURS, (90, 10), strict=True)), usual)
    traffic = endpoint.traffic or {}
    kept, new = rollout.unfinished(traffic, list(endpoint.deployments))
    if new and not session.dry_run and (left := rollback_in_progress(session, endpoint)):
        # The run that ends here may be another one: traffic must not go back to what was rejected.
        again = session.command("rollback", "--from", left)
        session.say(f"{new} is that of a rollback from version {left}, which `{again}` completes: it stays.")
        return
    waiting = held_deployment(session, endpoint)
    if new is None or (waiting and not held):
        session.say(f"No rollout is in progress in {session.config.environment}.")
        if waiting:
            end = session.command("deliver", "--abort", "--hold")
            session.say(f"{waiting.name} is held with version {waiting.model_version}: `{end}` removes it.")
        if (kept is None or traffic.get(kept) == 100) and not session.dry_run:
            # A delivery with --pin was killed before its rollout, or before it ended the pin to the version before.
            last = None if kept else last_served(session, session.backend.model_versions(session.registry))
            served = endpoint.deployments[kept].model_version if kept else last and last.version
            set_pin(session, [model for model in pinned_versions(session) if model.version != served], on=False)
        return
    if kept is not None and traffic.get(kept) != 100:
        session.backend.set_traffic({kept: 100})
    state = f"{kept} has all traffic" if kept else "no deployment has traffic"
    try:
        session.backend.delete_online_deployment(new)
    except UserError as error:
        again = session.command("deliver", "--abort", *(["--hold"] if waiting else []))
        raise UserError(f"{state}, but {new} could not be removed ({error}): run `{again}` again") from error
    rest = f"{new}, whose rollout was not completed,"
    later = f"{kept} will have all traffic" if kept else "no deployment will have traffic"
    session.say(f"{state}; {rest} is removed.", f"{later}; {rest} will be removed.")
    version = endpoint.deployments[new].model_version
    if kept is None or version != endpoint.deployments[kept].model_version:
        # That of a delivery with --pin, which is set before the rollout.
        set_pin(session, [model for model in pinned_versions(session) if model.version == version], on=False)
