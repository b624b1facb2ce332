"""The end of an environment's endpoints and schedules."""

from mlops import outputs
from mlops.verbs.schedules import remove_schedules
from mlops.verbs.session import Session


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
    backend, names, deleted = session.backend, session.config.names, []
    remove_schedules(session, session.retraining_name, session.monitor_name)
    if backend.online_traffic() is not None:
        backend.delete_online_endpoint()
        deleted.append(names.online_endpoint)
        session.say(f"Deleted endpoint {names.online_endpoint}.", f"Will delete endpoint {names.online_endpoint}.")
    if backend.batch_default() is not None:
        backend.delete_batch_endpoint()
        deleted.append(names.batch_endpoint)
        session.say(f"Deleted endpoint {names.batch_endpoint}.", f"Will delete endpoint {names.batch_endpoint}.")
    end = f"{session.config.environment} has no endpoint and no schedule of this project."
    session.say(end, f"{session.config.environment} will have no endpoint and no schedule of this project.")
    if not session.dry_run:
        lines = "".join(f"\n- deleted endpoint {name}" for name in deleted)
        outputs.add_summary(f"## Teardown of {session.config.environment}\n\n{end}\n{lines}")
