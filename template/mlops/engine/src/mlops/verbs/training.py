"""Training on Azure ML."""

import json
import secrets
from datetime import UTC, datetime

from mlops import definitions
from mlops.errors import UserError
from mlops.lint.configuration import check_overrides
from mlops.pipeline import reads_azure
from mlops.verbs.data import ensure_data
from mlops.verbs.schedules import remove_schedules
from mlops.verbs.session import Session

CLOSED_STATUSES = ("Completed", "Failed", "Canceled", "NotResponding")


def train(session: Session, *, overrides: str = "", wait: bool = True) -> bool:
    """Run the training pipeline on Azure ML and print what became of the model.

    A retraining schedule that an earlier release made in Azure ML is deleted: it would train beside the workflow's.

    Returns:
        Whether a new version was registered, as far as it waited for that.

    Raises:
        UserError: An override is wrong, or the job does not complete.
    """
    check_overrides(session.project, overrides)
    remove_schedules(session, session.retraining_name)
    data = ensure_data(session)
    pipeline = definitions.of(session.project).pipeline()
    # What a step read from Azure may have changed, and Azure ML may take the same address for the same data.
    job = session.backend.submit_pipeline(new_job(session), data, overrides, rerun=reads_azure(pipeline))
    say_started(session, job)
    if not wait:
        return False
    wait_for(session, job)
    return _say_registration(session, job)


def new_job(session: Session) -> str:
    """Return a name for a job that starts now."""
    # Two runs may start in the same second.
    return f"{session.config.model.name}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def say_started(session: Session, job: str) -> None:
    """Print where a job can be seen."""
    session.say(f"Started job {job}. {session.backend.job(job).studio}".rstrip())


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


def _say_registration(session: Session, job: str) -> bool:
    folder = session.folder / job
    session.backend.download_output(job, "registration", folder)
    if session.dry_run:
        return False
    found = sorted(folder.rglob("registration.json"))
    if not found:
        raise UserError(f"job {job} completed without a registration.json: see its step register")
    registration = json.loads(found[0].read_text(encoding="utf-8"))
    reasons = "; ".join(registration.get("reasons") or [])
    if registration["registered"]:
        session.say(f"Registered {registration['name']} version {registration['version']}: {reasons}")
    else:
        session.say(f"No new version, the champion stays: {reasons}")
    return bool(registration["registered"])
