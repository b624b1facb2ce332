"""What Azure ML runs again and again: the monitor of the model. Training is scheduled by the workflow that trains."""

from mlops.config import drift_rules, model_task
from mlops.errors import UserError
from mlops.verbs import rollout
from mlops.verbs.data import data_versions, ensure_data
from mlops.verbs.session import Session


def monitor(session: Session) -> None:
    """Create or update the monitor of the deployment that serves, with the thresholds of config/model.yml.

    Where `monitor.enabled` is false, delete it.

    Raises:
        UserError: Nothing serves.
    """
    if not session.config.monitor.enabled:
        remove_schedules(session, session.monitor_name)
        why = f"monitor.enabled is false in config/{session.config.environment}.yml."
        session.say(f"Nothing is watched: {why}", f"Nothing will be watched: {why}")
        return
    traffic = session.backend.online_traffic()
    deployment = rollout.serving_deployment(traffic or {}, list(traffic or {}))
    if deployment is None:
        raise UserError(f"there is nothing to watch: run `{session.command('deploy-online')}` first")
    task, drift = model_task(session.project), drift_rules(session.project)
    if session.backend.monitors_data:
        ensure_data(session)
    is_on = session.backend.schedules().get(session.monitor_name, True)
    session.backend.create_monitor(session.monitor_name, deployment, task, drift)
    if not is_on:
        # A teardown that broke off has switched it off, and an update leaves it so: Schedule.update of SDK v1.
        session.backend.enable_schedule(session.monitor_name)
    found = _monitor_summary(session, deployment)
    session.say(f"{session.monitor_name} {found}.", f"Will create or update {session.monitor_name}: it {found}.")


def monitor_left(session: Session) -> bool:
    """Return whether `monitor` would create, switch on or delete the monitor, or bring newer data to it."""
    enabled, is_on = session.config.monitor.enabled, session.backend.schedules().get(session.monitor_name)
    if is_on is not (True if enabled else None):
        return True
    return enabled and session.backend.monitors_data and any(not known for *_, known in data_versions(session))


def _monitor_summary(session: Session, deployment: str) -> str:
    cron, emails = session.config.schedule.monitor_cron, session.config.monitor.alert_emails
    if session.backend.monitors_data:
        return (
            f"compares the newest data with what the model learned from ({cron}), because SDK v1 cannot watch "
            f"{deployment}; a run that finds drift fails"
        )
    alerts = f"alerts go to {', '.join(emails)}" if emails else "alerts go to Azure Monitor"
    return f"watches {deployment} ({cron}); {alerts}"


def remove_schedules(session: Session, *names: str) -> None:
    """Delete those of these schedules that are there."""
    existing = session.backend.schedules()
    for name in names:
        if name in existing or session.dry_run:
            if existing.get(name, True):
                session.backend.disable_schedule(name)
            session.backend.delete_schedule(name)
            session.say(f"Deleted schedule {name}.", f"Will delete schedule {name}.")
