"""The delivery of one model to an environment, from the comparison of its files to the next environment."""

import contextlib
import time
from collections.abc import Callable
from functools import partial

from mlops.azureml.backend import ModelVersion
from mlops.errors import UserError
from mlops.outputs import add_summary, annotate, in_pipeline, set_outputs, table
from mlops.verbs.batch import score_files_with
from mlops.verbs.candidate import Options, completion_tag, find_candidate
from mlops.verbs.models import RejectedError, check_model, left_for, note_end, passing_note, promote, set_pin
from mlops.verbs.online import Deployed, Endpoint, roll_out, smoke_test
from mlops.verbs.schedules import monitor
from mlops.verbs.session import Session

NOT_DEPLOYED = Deployed(serves=False)


def deliver(
    session: Session,
    *,
    model_version: str | None = None,
    sha256: str = "",
    force: bool = False,
    hold: bool = False,
    pin: bool = False,
    unpin: bool = False,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Bring a model version into an environment: online, batch, monitor, and then within reach of the next one.

    Each step can be repeated, so a delivery that broke off is completed by the next one. What serves already, with the
    same scoring code, environment, definition, size and number of machines, is not deployed again.

    Args:
        session: The environment.
        model_version: The version; by default the pinned one, or else the newest that may be used.
        sha256: The hash that the files of the version must have. A protected environment needs it, and the version.
        force: Roll out also when nothing has changed.
        hold: Stop when the new deployment is ready, before it gets traffic.
        pin: Keep the environment at this version, which may be older than the one that serves: other deliveries change
            nothing there.
        unpin: End such a pin first.
        sleep: Waits for some seconds.

    Raises:
        UserError: The version may not be used, is older than the one that serves, or has other files; or a step failed.
    """
    found = find_candidate(session, model_version, sha256, Options(force=force, hold=hold, pin=pin, unpin=unpin))
    model, expected, pinned = found.model, found.sha256, found.pinned
    finish = partial(_finish, session, model, expected)
    others = [each for each in pinned if each.version != model.version]
    if found.stays:
        annotate("notice", "mlops deliver", found.stays)
        finish(f"nothing was done: the environment is pinned to version {others[0].version}")
        return
    check_model(session, model, sha256)
    if unpin:
        set_pin(session, pinned, on=False)
        session.say(f"{session.config.environment} is not pinned to a version.")
    new_pin = [model] if pin and model.version not in [each.version for each in pinned] else []
    # Before the rollout: if that is killed half-way, the next delivery must not go on to another version.
    set_pin(session, new_pin, on=True)
    try:
        deployed = roll_out(session, model, found.endpoint, models=found.models, hold=hold, force=force, sleep=sleep)
    except UserError:
        _take_back(session, new_pin)
        raise
    if not deployed.serves:
        _say_next(session, model, expected)
        finish("held: the new deployment is ready, without traffic", deployed)
        return
    if pin:
        set_pin(session, others, on=False)
        pin_text = f"pinned to version {model.version}."
        session.say(f"{session.config.environment} is {pin_text}", f"{session.config.environment} will be {pin_text}")
    smoke_test(session)
    _set_up(session, model, deployed)
    passed_on = _pass_on(session, model, expected, deployed)
    finish("delivered" if deployed.changes else "delivered before: nothing to deploy", deployed, passed_on)


def _take_back(session: Session, new_pin: list[ModelVersion]) -> None:
    """End the pin to a version whose rollout failed, unless it serves all the same."""
    for model in new_pin:
        # Where Azure does not answer, the pin stays: other deliveries change nothing until it is clear what serves.
        with contextlib.suppress(UserError):
            serving = Endpoint.look(session).serving
            if serving is None or serving.model_version != model.version:
                set_pin(session, [model], on=False)


def _set_up(session: Session, model: ModelVersion, deployed: Deployed) -> None:
    """Have the batch endpoint and the monitor follow, and note when both are complete: `preview` relies on that."""
    complete = completion_tag(session, deployed.generation)
    for tag, value in complete.items():
        if model.tags.get(tag, "false") not in ("false", value):
            # If this run is killed, what it has set up by then is not what the tag says.
            session.backend.tag_model(model, {tag: "false"})
    score_files_with(session, model)
    monitor(session)
    # Not only with the other tag, which may be there: the generations begin anew where an endpoint was deleted.
    note = passing_note(session, model, session.config)
    if note or not complete.items() <= model.tags.items():
        session.backend.tag_model(model, {**complete, **note})
    if bad := left_for(session, model.version, deployed.models):
        note_end(session, bad)


def _say_next(session: Session, model: ModelVersion, sha256: str) -> None:
    shift, end = session.command("shift-traffic", "--percent", "100"), session.command("deliver", "--abort", "--hold")
    options = ("--model-version", model.version, *(("--sha256", sha256) if sha256 else ()))
    session.say(f"`{shift}` and then `{session.command('deliver', *options)}` complete the delivery; `{end}` ends it.")


def _pass_on(session: Session, model: ModelVersion, sha256: str, deployed: Deployed) -> str:
    """Promote a version to the next environment; return the name of that, "" when the model stays here."""
    environment, target = session.config.environment, session.config.delivery.next
    if not target:
        session.say(f"The model stays in {environment}: config/{environment}.yml names no delivery.next.")
        return ""
    try:
        promote(session, target, model_version=model.version, sha256=sha256, models=deployed.models)
    except RejectedError as error:
        annotate("notice", "mlops deliver", f"The model stays in {environment}: {error}")
        return ""
    return target


def _finish(
    session: Session,
    model: ModelVersion,
    sha256: str,
    decision: str,
    deployed: Deployed = NOT_DEPLOYED,
    passed_on: str = "",
) -> None:
    """Hand on what came of a delivery, and describe it on the page of the run."""
    set_outputs(delivered=deployed.serves, next=passed_on, model_version=model.version, sha256=sha256)
    summarise(
        session, model, sha256, decision, deployed, ["Next environment", passed_on or "none: the model stays here"]
    )


def summarise(
    session: Session,
    model: ModelVersion,
    sha256: str,
    decision: str,
    deployed: Deployed,
    last: list[str],
) -> None:
    """Describe what happened to an environment on the page of the run: the model, the decision, and what changed.

    The `last` row of the table says what follows.
    """
    if not in_pipeline():
        return  # a terminal has the lines, and Azure is not asked for what only the page shows
    rows = [
        ["Model", f"{session.config.model.name} version {model.version}"],
        ["sha256", f"`{sha256}`" if sha256 else "unknown"],
        ["Decision", decision],
        ["Changed", "; ".join(deployed.changes) or "nothing"],
        ["Canary", deployed.canary],
        *_endpoint_rows(session),
        last,
    ]
    add_summary(f"## {session.config.environment}: {decision}\n\n{table(['', ''], [row for row in rows if row[1]])}")


def _endpoint_rows(session: Session) -> list[list[str]]:
    """Describe the online endpoint: what is described is done, so a page that says less turns no run red."""
    try:
        shares, address = session.backend.online_traffic() or {}, session.backend.online_address()
    except UserError as error:
        session.say(f"The endpoint cannot be described: {error}")
        return []
    traffic = ", ".join(f"{name}: {share} %" for name, share in shares.items() if share)
    return [["Traffic", traffic or "none"], ["Endpoint", address]]
