"""What the environment's file alone shows."""

from collections.abc import Iterator

from mlops import definitions
from mlops.config import load_environment
from mlops.subscription.checks import Context, Finding, error, ok, overlap, warning


def network_range(context: Context) -> Iterator[Finding]:
    """Compare the network's range with those of the project's other environments."""
    own = context.config.network
    if own is None or own.address_space is None:
        return
    others = {name: load_environment(context.project, name).network for name in context.project.environments}
    del others[context.config.environment]
    ranges = [(name, other.address_space) for name, other in others.items() if other and other.address_space]
    if found := overlap(own.address_space, ranges):
        yield error(found, f"give each environment a range of its own: network.address_space in {context.file}")
    else:
        yield ok(f"{own.address_space} is apart from the other environments")


def alerts(context: Context) -> Iterator[Finding]:
    """Look for a recipient of drift alerts: unlike the other alerts, this one is not an Azure Monitor rule."""
    emails = context.config.monitor.alert_emails
    if "monitoring" not in context.project.add_ons:
        return
    if definitions.of(context.project).monitor_fails_on_drift:
        yield ok("a run of the monitor that finds drift fails, and failed jobs are an alert")
    elif emails:
        yield ok(f"drift is reported to {', '.join(emails)}")
    else:
        yield warning(
            "drift has no recipient, and Azure ML reports it by e-mail alone",
            f"write an address into monitor.alert_emails of {context.file}",
        )
