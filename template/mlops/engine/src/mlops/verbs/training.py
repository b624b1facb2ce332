"""Training on Azure ML."""

import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mlops import outputs
from mlops.azureml.backend import Job
from mlops.errors import UserError
from mlops.evaluation import metrics_table
from mlops.lint.configuration import check_overrides
from mlops.pipeline import reads_azure
from mlops.verbs.data import ensure_data
from mlops.verbs.models import check_owner, choose_model, note_owner
from mlops.verbs.schedules import remove_schedules
from mlops.verbs.session import Session

CLOSED_STATUSES = ("Completed", "Failed", "Canceled", "NotResponding")

JOB_NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,249}"
"""What Azure ML accepts as the name of a job, with room for the number of another attempt: 255 characters in all."""


def train(session: Session, *, overrides: str = "", wait: bool = True, job: str = "") -> bool:
    """Run the training pipeline on Azure ML and print what became of the model.

    A retraining schedule that an earlier release made in Azure ML is deleted: it would train beside the workflow's.

    Args:
        session: The environment.
        overrides: Other settings for this run.
        wait: Whether to wait for the end of the job.
        job: A name for it. Of a name there is one job: when it was started before, or is at this moment, no other one
            is, and what comes of that one is reported. Only where that has failed, and a person runs the job of the
            pipeline again, another one is started, with a number behind the name.

    Returns:
        Whether a new version was registered, as far as it waited for that.

    Raises:
        UserError: An override or the name is wrong, or the job does not complete.
    """
    if job and not re.fullmatch(JOB_NAME, job):
        raise UserError(f"--job {job}: use up to 250 letters, digits, dashes and underscores")
    check_overrides(session.project, overrides)
    job, found, following = _last(session, job) if job else ("", None, "")
    started, completed_before = found is None, found is not None and found.status == "Completed"
    if found is None:
        found = _start(session, job or new_job(session), overrides, named=bool(job))
    else:
        session.say(f"{job} was started before and is {found.status}. {found.studio}".rstrip())
        _check_end(session, found, following)
    if not wait:
        return False
    if not completed_before:
        wait_for(session, found.name)
    registration = _registration(session, found.name)
    return registration is not None and _report(session, found, registration, started=started, newest=completed_before)


def _start(session: Session, job: str, overrides: str, *, named: bool) -> Job:
    """Start a training; return its state, or that of the one that another has started under this name meanwhile."""
    backend = session.backend
    check_owner(session)
    remove_schedules(session, session.retraining_name)
    data = ensure_data(session)
    try:
        # What a step read from Azure may have changed, and Azure ML may take the same address for the same data.
        name = backend.submit_pipeline(job, data, overrides, rerun=reads_azure(session.pipeline))
    except UserError:
        found = backend.find_job(job) if named else None
        if found is None:
            raise
        session.say(f"{job} was started by another at the same time and is {found.status}. {found.studio}".rstrip())
        return found
    return say_started(session, name)


def _last(session: Session, name: str) -> tuple[str, Job | None, str]:
    """Return the last job that was started under a name, or with a number behind it after one that failed.

    Where a person repeats what has failed, that is the next one, which was not started yet.

    Returns:
        The name of the job, what is known of it, and the name of the one after it.
    """
    job, found, number = name, session.backend.find_job(name), 2
    while found is not None and _failed(found):
        later = session.backend.find_job(f"{name}-{number}")
        if later is None and outputs.run_attempt() == 1:
            break
        job, found, number = f"{name}-{number}", later, number + 1
    return job, found, f"{name}-{number}"


def _failed(job: Job) -> bool:
    return job.status in CLOSED_STATUSES and job.status != "Completed"


def _check_end(session: Session, found: Job, following: str) -> None:
    """Raise an error if a job that was started before has failed: its name is used up."""
    if _failed(found):
        another = session.command("train", "--job", following)
        raise UserError(
            f"job {found.name} ended as {found.status}: see its log at {found.studio or 'the studio'}; a name is used "
            f"once, so train again under another one: run the job of the pipeline again, or `{another}`"
        )


def new_job(session: Session) -> str:
    """Return a name for a job that starts now."""
    # Two runs may start in the same second.
    return f"{session.config.model.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def say_started(session: Session, job: str) -> Job:
    """Print where a job can be seen; return its state."""
    state = session.backend.job(job)
    session.say(f"Started job {job}. {state.studio}".rstrip(), f"Will start job {job}.")
    return state


def wait_for(session: Session, job: str) -> None:
    """Show a job's progress until it ends.

    Raises:
        UserError: It does not complete.
    """
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


def _registration(session: Session, job: str) -> dict[str, Any] | None:
    """Return what the step `register` of a job wrote; None in a dry run."""
    found = _output(session, job, "registration", "registration.json")
    if found is None and not session.dry_run:
        raise UserError(f"job {job} completed without a registration.json: see its step register")
    return found


def _output(session: Session, job: str, output: str, file: str) -> dict[str, Any] | None:
    """Return the content of a file of a job's output, None when there is no such file; a job writes it once."""
    folder = session.folder / job / output
    if not sorted(folder.rglob(file)):
        session.backend.download_output(job, output, folder)
    paths = sorted(folder.rglob(file))
    if session.dry_run or not paths:
        return None
    content: dict[str, Any] = json.loads(paths[0].read_text(encoding="utf-8"))
    return content


def _report(session: Session, job: Job, registration: Mapping[str, Any], *, started: bool, newest: bool) -> bool:
    """Print, sum up and hand on what became of the model.

    With `newest` the version that is handed on is the newest usable one, also after a registration: of a job that has
    completed some time ago the version may be an old one by now. `started` is whether this run has started the job.
    """
    registered, reasons = bool(registration["registered"]), registration.get("reasons") or []
    version, sha256 = "", ""
    if registered:
        session.say(f"Registered {registration['name']} version {registration['version']}: {'; '.join(reasons)}")
        version, sha256 = str(registration["version"]), str(registration.get("sha256") or "")
        note_owner(session, version)
    else:
        session.say(f"No new version, the champion stays: {'; '.join(reasons)}")
    if newest or not registered:
        version, sha256 = _newest_usable(session)
    elif not sha256:
        models = session.backend.model_versions(session.registry)
        sha256 = next((model.tags.get("sha256", "") for model in models if model.version == version), "")
    outputs.set_outputs(registered=registered, started=started, model_version=version, sha256=sha256)
    outputs.add_summary(_summary(session, job, registration, version))
    return registered


def _newest_usable(session: Session) -> tuple[str, str]:
    """Return version and hash of the newest version that may be used, empty when there is none."""
    try:
        model = choose_model(session, pins=False)  # a pin is of one environment, and this goes to all
    except UserError as error:
        session.say(f"There is no version to deploy: {error}")
        return "", ""
    return model.version, model.tags.get("sha256", "")


def _summary(session: Session, job: Job, registration: Mapping[str, Any], version: str) -> str:
    """Return what became of the model as Markdown: the decision, its reasons, the metrics and the way to the job."""
    title = f"{session.config.model.name}: "
    if registration["registered"]:
        title += f"version {registration['version']} is registered"
    else:
        title += f"the champion stays, version {version}" if version else "nothing is registered"
    lines = [f"## {title}", "", *(f"- {reason}" for reason in registration.get("reasons") or [])]
    try:
        metrics = _output(session, job.name, "evaluation", "metrics.json")
    except UserError as error:
        # What is registered is so all the same: only the page of the run has no metrics.
        session.say(f"The metrics are left out of the summary: {error}")
        metrics = None
    if metrics:
        lines += ["", metrics_table(metrics)]
    lines += ["", f"Job [{job.name}]({job.studio})" if job.studio else f"Job {job.name}"]
    return "\n".join(lines)
