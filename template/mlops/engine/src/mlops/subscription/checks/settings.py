"""What the environment's file alone shows."""

from collections.abc import Iterator, Mapping

from mlops import definitions
from mlops.config import Network, load_environment
from mlops.subscription.checks import Context, Finding, error, ok, overlap, warning


def network_range(context: Context) -> Iterator[Finding]:
    """Compare the network with those of the project's other environments: ranges, or the zones in one that exists."""
    own = context.config.network
    if own is None:
        return
    found = {name: load_environment(context.project, name).network for name in context.project.environments}
    others = {name: network for name, network in found.items() if network and name != context.config.environment}
    if own.address_space is None:
        yield from _zones_of_one_name(context, own, others)
        return
    ranges = [(name, other.address_space) for name, other in others.items() if other.address_space]
    if clash := overlap(own.address_space, ranges):
        yield error(clash, f"give each environment a range of its own: network.address_space in {context.file}")
    else:
        yield ok(f"{own.address_space} is apart from the other environments")


def _zones_of_one_name(context: Context, own: Network, others: Mapping[str, Network]) -> Iterator[Finding]:
    """Look whether two environments would link zones of their own, which have the same names, to one network."""
    network = _existing(own)
    shared = [name for name, each in others.items() if each.dns == "own" and _existing(each) == network]
    if own.dns == "own" and shared:
        yield error(
            f'dns is "own" here and in {shared[0]}, and a network that both use takes one DNS zone of each name',
            f'write dns: "central" or "policy" into network of {context.file}, or the subnet of another network',
        )
    else:
        yield ok("no other environment links zones of its own to the network")


def _existing(network: Network) -> str | None:
    """Return the network of a subnet that exists; Azure's ids know no case."""
    return network.existing_subnet_id and network.existing_subnet_id.partition("/subnets/")[0].casefold()


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
