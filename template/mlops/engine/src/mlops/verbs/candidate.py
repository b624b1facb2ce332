"""What is to come into an environment: the model of a delivery, and what that has still to do there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlops.azureml.backend import Deployment, ModelVersion
from mlops.errors import UserError
from mlops.fingerprint import setup_fingerprint
from mlops.outputs import add_summary, annotate, set_outputs, table
from mlops.verbs.batch import is_behind_batch_alone
from mlops.verbs.models import (
    check_named,
    check_newest,
    check_tag,
    choose_model,
    ended_rollbacks,
    is_last,
    known_hash,
    number,
    pinned_versions,
    promotion,
    short_time,
    since,
)
from mlops.verbs.online import Endpoint, check_no_rollback, held_deployment, rollout_left
from mlops.verbs.schedules import monitor_left
from mlops.verbs.session import Session


@dataclass(frozen=True)
class Options:
    """How a delivery is asked for; see `mlops.verbs.deliver`."""

    force: bool = False
    hold: bool = False
    pin: bool = False
    unpin: bool = False

    @property
    def chosen(self) -> list[str]:
        """Those that are chosen, as one writes them."""
        return [f"--{name}" for name, value in vars(self).items() if value]


PLAIN = Options()


@dataclass(frozen=True)
class Candidate:
    """The model version of a delivery and what is where it goes.

    Attributes:
        model: The version.
        sha256: The hash that its files must have, "" when it is not known.
        models: All versions, where the environment takes them from.
        pinned: Those that the environment is pinned to.
        endpoint: The online endpoint.
        stays: Why the environment keeps another version, "" when it takes this one.
    """

    model: ModelVersion
    sha256: str
    models: Sequence[ModelVersion]
    pinned: Sequence[ModelVersion]
    endpoint: Endpoint
    stays: str


def find_candidate(session: Session, model_version: str | None, sha256: str, options: Options) -> Candidate:
    """Choose the version of a delivery, and refuse what must not be delivered; arguments are as in `deliver`.

    Raises:
        UserError: The version may not be used, its tag says another hash, or it is older than the one that serves.
    """
    check_named(session, "deliver", model_version, sha256)
    for one, other, both in (
        ("--pin", "--unpin", options.pin and options.unpin),
        ("--hold", "--pin", options.hold and options.pin),
    ):
        if both:
            raise UserError(f"{one} and {other} exclude each other: choose one")
    models = session.backend.model_versions(session.registry)
    model = choose_model(session, model_version, pins=not options.unpin, models=models)
    pinned = pinned_versions(session, models)
    others = [each for each in pinned if each.version != model.version]
    stays = _stays(session, others, model) if others and not (options.pin or options.unpin) else ""
    endpoint = Endpoint.look(session)
    if not stays:
        check_no_rollback(session, endpoint, models)
        if endpoint.serving and not options.pin:
            _check_order(session, model, endpoint.serving)
        if not (options.pin or options.force):
            serving = endpoint.serving.model_version if endpoint.serving else ""
            # What served here before counts, too: after a rollback or a teardown an older run is still an older one.
            here = [each for each in models if each.version in (model.version, serving) or since(session, each)]
            check_newest(session, here)
        check_tag(session, model, sha256)
    return Candidate(model, sha256 or known_hash(session, model), models, pinned, endpoint, stays)


def _stays(session: Session, pinned: list[ModelVersion], model: ModelVersion) -> str:
    environment, version = session.config.environment, pinned[0].version
    return (
        f"{environment} is pinned to version {version}, so version {model.version} was not delivered. `mlops deliver "
        f"--environment {environment}` with --unpin delivers it, with --pin pins to it"
    )


def _check_order(session: Session, model: ModelVersion, serving: Deployment) -> None:
    """Check that a delivery does not go back: the run that asked for it may be older than the one that came first.

    Raises:
        UserError: It does.
    """
    served = ModelVersion(serving.model_version)
    if number(model) < number(served):
        back = session.command("rollback", "--model-version", model.version)
        raise UserError(
            f"{session.config.environment} serves version {served.version}, which is newer than {model.version}: if it "
            f"is bad, `{back}` goes back and rejects it; with --pin the older version is delivered, and kept"
        )


def completion_tag(session: Session, generation: int) -> dict[str, str]:
    """Return the tag of a version whose delivery has reached its end: the deployment, and what was set up beside it."""
    made = setup_fingerprint(session.project, session.config)
    return {f"delivered_{session.config.environment}": f"{generation}-{made}"}


def left_to_do(session: Session, found: Candidate) -> list[str]:
    """Return what a delivery without options would change in its environment: nothing where all serves already."""
    model, serving = found.model, found.endpoint.serving
    if found.stays:
        return []
    left = list(rollout_left(session, model, found.endpoint, found.models))
    if left or serving is None:
        return left
    if ended_rollbacks(session, model, found.models) or not is_last(session, model, found.models):
        left.append(f"since when version {model.version} serves is noted")
    if not is_behind_batch_alone(session, model):
        left.append(f"the batch endpoint scores with version {model.version}")
    if monitor_left(session):
        left.append("the monitor is set up as the configuration says")
    if not left and not completion_tag(session, serving.generation).items() <= model.tags.items():
        left.append("batch endpoint and monitor have other definitions or sizes, or were never set up completely")
    return left


def preview(
    session: Session,
    *,
    model_version: str | None = None,
    sha256: str = "",
    options: Options = PLAIN,
) -> None:
    """Show what a delivery would change and what it replaces, and hand on whether there is anything to do.

    Nothing is changed. The files of the version are not compared with the hash, for which a right to read is not
    enough: the delivery itself does that.

    Args:
        session: The environment.
        model_version: The version; by default the pinned one, or else the newest that may be used.
        sha256: The hash that the files of the version must have.
        options: Others of the delivery. With any of them there is something to do.

    Raises:
        UserError: The delivery would be refused.
    """
    found = find_candidate(session, model_version, sha256, options)
    environment, version = session.config.environment, found.model.version
    left = [*(f"{option} is chosen" for option in options.chosen), *left_to_do(session, found)]
    passed_on, promoted = ("", "") if found.stays else promotion(session, found.model, found.sha256, found.models)
    left += [promoted] if promoted else []
    if found.stays:
        annotate("notice", "mlops deliver", found.stays)
    elif not (left or passed_on) and (target := session.config.delivery.next):
        annotate(
            "notice", "mlops deliver", f"The model stays in {environment}: {target} has rejected version {version}"
        )
    set_outputs(
        deliver=bool(left),
        delivered=not left and not found.stays,
        next="" if left else passed_on,
        model_version=version,
        sha256=found.sha256,
    )
    serves = f"version {version} serves already, with all that belongs to it"
    decision = "is delivered next" if left else f"nothing to do: {found.stays or serves}"
    title = f"{environment}: version {version} {decision}" if left else f"{environment}: {decision}"
    session.say(title)
    for each in left:
        session.say(f"To do: {each}.")
    parts = _page(session, found, left)
    if passed_on and not left:
        parts.append(f"{passed_on} has it within reach, and is next.")
    add_summary("\n\n".join([f"## {title}", *parts]))


def _page(session: Session, found: Candidate, left: list[str]) -> list[str]:
    """Return what a person reads before an approval."""
    model, serving = found.model, found.endpoint.serving
    served = next((each for each in found.models if serving and each.version == serving.model_version), None)
    shown = {f"version {model.version}": model}
    if served and served.version != model.version:
        shown |= {f"serves now: version {served.version}": served}
    scores = {name: _scores(each) for name, each in shown.items()}
    names = list(dict.fromkeys(name for each in scores.values() for name in each))
    hashes = [known_hash(session, each)[:12] for each in shown.values()]
    rows = [
        ["sha256", *(f"`{each}`" if each else "unknown" for each in hashes)],
        ["had all traffic since", *(short_time(since(session, each)) or "never" for each in shown.values())],
        *([name, *(each.get(name, "unknown") for each in scores.values())] for name in names),
    ]
    parts = [table(["", *shown], rows).rstrip()]
    if serving is None:
        parts.append("Nothing serves yet.")
    stays = held_deployment(session, found.endpoint, found.models)
    if stays and not any(stays.name in each for each in left):
        parts.append(f"{stays.name} is held with version {stays.model_version}, and stays.")
    if not names:
        parts.append("Their scores are unknown: releases until v0.10.0 noted none with a version.")
    elif len(shown) > 1:
        parts.append("Each scored the held-out rows of its own training; the reasons below compare on the same rows.")
    if left:
        parts.append("What the delivery does:\n\n" + "\n".join(f"- {each}" for each in left))
    if reasons := model.tags.get("reasons"):
        lines = "\n".join(f"- {each}" for each in reasons.split("; "))
        parts.append(f"Why version {model.version} was registered:\n\n{lines}")
    return parts


def _scores(model: ModelVersion) -> Mapping[str, str]:
    """Return the scores that a version had when it was registered."""
    return dict(item.split("=", 1) for item in model.tags.get("metrics", "").split() if "=" in item)
