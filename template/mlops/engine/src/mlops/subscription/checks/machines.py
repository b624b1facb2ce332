"""The region, its machine sizes and the quota of cores."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from mlops.config import EnvironmentConfig
from mlops.subscription.checks import Context, Finding, error, ok, warning

QUOTAS = "https://portal.azure.com/#view/Microsoft_Azure_Capacity/QuotaMenuBlade/~/myQuotas"


@dataclass(frozen=True)
class Machines:
    """Machines of one size: their purpose, and how many of them run at most at the same time."""

    purpose: str
    size: str
    count: int
    compute: str = ""


def region(context: Context) -> Iterator[Finding]:
    """Look whether the region exists."""
    location = context.config.location
    known = context.az("account", "list-locations", "--query", "[].name") or []
    if location.casefold() in [name.casefold() for name in known]:
        yield ok(location)
        yield from zones(context.az, context.config)
    else:
        yield error(f"there is no region {location}", f"write one of `az account list-locations` into {context.file}")


def zones(find: Callable[..., Any], config: EnvironmentConfig) -> Iterator[Finding]:
    """Look whether the region has the zones that the storage accounts are to be copied to.

    Args:
        find: A function that queries `az`.
        config: The environment.
    """
    query = f"[?name=='{config.location.casefold()}'].availabilityZoneMappings[]"
    if config.redundancy == "ZRS" and not find("account", "list-locations", "--query", query):
        remedy = f'write storage.redundancy: "LRS" into config/{config.environment}.yml before the account is built'
        yield error(f"{config.location} has no zones, which storage.redundancy ZRS needs", remedy)


def machines(config: EnvironmentConfig) -> list[Machines]:
    """Return the machines of the project that an environment can have at the same time."""
    compute, found = config.compute, []
    for cluster in (compute.cluster, compute.gpu_cluster):
        if cluster and cluster.vm_size and cluster.max_nodes:
            found.append(Machines(f"cluster {cluster.name}", cluster.vm_size, cluster.max_nodes, "AmlCompute"))
    if instances := compute.instances:
        found.append(Machines("compute instances", instances.vm_size, len(instances.users), "ComputeInstance"))
    # A rollout has two deployments side by side, and Azure sets aside a fifth more for updates of the machines.
    count = 2 * math.ceil(1.2 * compute.online.instance_count)
    found.append(Machines("online endpoint during a rollout", compute.online.vm_size, count))
    return found


def sizes(context: Context) -> Iterator[Finding]:
    """Look whether the region has the sizes of the machines."""
    location = context.config.location
    known = _sizes(context)
    remedy = f"choose another vm_size in {context.file}, or another region"
    for each in machines(context.config):
        size = known.get(each.size.casefold())
        if size is None:
            yield error(f"{location} has no {each.size} ({each.purpose})", remedy)
        elif each.compute and each.compute not in size.get("supportedComputeTypes", [each.compute]):
            yield error(f"{each.size} cannot be used for this: {each.purpose}", remedy)
        else:
            yield ok(f"{each.size} ({each.purpose})")
    vm = context.config.monitor.vm
    if vm.casefold() not in known:
        # Spark has a list of its own, which Azure publishes in its documentation only.
        yield warning(f"{location} may have no {vm} (model monitor)", f"choose another monitor.vm in {context.file}")


def quota(context: Context) -> Iterator[Finding]:
    """Compare the cores of all machines with the subscription's limits in the region, for each family and in total."""
    known, needed = _sizes(context), Counter[str]()
    for each in machines(context.config):
        if size := known.get(each.size.casefold()):
            needed[size["family"]] += size["vCPUs"] * each.count
    limits: dict[str, Any] = {}
    for usage in context.rest(f"locations/{context.config.location}/usages"):
        kind = usage["type"].lower().split("/")[-2]
        if kind == "vmfamily":
            limits[_family_key(usage["name"]["value"])] = usage
        elif kind == "dedicatedcores":
            limits["total"] = usage
    for family, cores in needed.items():
        yield _compare(context, family, cores, limits.get(_family_key(family)))
    yield _compare(context, "all families together", sum(needed.values()), limits.get("total"))


def _sizes(context: Context) -> dict[str, dict[str, Any]]:
    found = context.rest(f"locations/{context.config.location}/vmSizes")
    return {item["name"].casefold(): item for item in found}


def _family_key(family: str) -> str:
    """Return the same key for both names: standardDASv4Family, Standard DASv4 Family Cluster Dedicated vCPUs."""
    return re.sub(r"[^a-z0-9]", "", family.lower()).removesuffix("clusterdedicatedvcpus")


def _compare(context: Context, family: str, cores: int, usage: dict[str, Any] | None) -> Finding:
    location = context.config.location
    remedy = f"request more cores at {QUOTAS}, or use smaller or fewer machines in {context.file}"
    if usage is None:
        return warning(f"{family}: {cores} cores needed, and {location} names no limit", remedy)
    limit, used = usage["limit"], usage["currentValue"]
    if limit == -1:
        return ok(f"{family}: {cores} cores, no limit")
    if cores > limit:
        return error(f"{family}: {cores} cores needed, {location} grants {limit}", remedy)
    if cores > limit - used:
        return warning(f"{family}: {cores} cores needed, {used} of {limit} in use now", remedy)
    return ok(f"{family}: {cores} of {limit} cores")
