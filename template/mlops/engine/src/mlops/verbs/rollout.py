"""Safe rollout of a deployment as a state machine without side effects.

A new deployment gets no traffic until it has passed a smoke test, then a canary share, then all of it; only after that
the old one goes. Until the new one has all the traffic, any failure sends everything back to the old one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

COLOURS = ("blue", "green")


class Step(StrEnum):
    """What to do next, or how it ended."""

    RESET = "give the old deployment all traffic again"
    CLEAR = "remove what an interrupted rollout left"
    CREATE = "create the new deployment"
    SMOKE_TEST = "test the new deployment without traffic"
    CANARY = "give the new deployment its canary share"
    BAKE = "watch the canary"
    CONFIRM = "test the new deployment again"
    FULL = "give the new deployment all traffic"
    REMOVE_OLD = "remove the old deployment"
    RESTORE = "send all traffic back to the old deployment"
    REMOVE_NEW = "remove the new deployment"
    # Ends.
    DONE = "the new deployment has all traffic"
    HELD = "the new deployment is ready and has no traffic"
    OLD_KEPT = "the new deployment has all traffic, the old one could not be removed"
    FAILED = "the old deployment has all traffic"
    STUCK = "neither forward nor back was possible"


_AFTER_SUCCESS = {
    Step.RESET: Step.CLEAR,
    Step.CLEAR: Step.CREATE,
    Step.CREATE: Step.SMOKE_TEST,
    Step.SMOKE_TEST: Step.CANARY,
    Step.CANARY: Step.BAKE,
    Step.BAKE: Step.CONFIRM,
    Step.CONFIRM: Step.FULL,
    Step.FULL: Step.REMOVE_OLD,
    Step.REMOVE_OLD: Step.DONE,
    Step.RESTORE: Step.REMOVE_NEW,
    Step.REMOVE_NEW: Step.FAILED,
}
_AFTER_FAILURE = {
    Step.RESET: Step.STUCK,
    Step.CLEAR: Step.FAILED,
    # Traffic has not been touched yet, so there is nothing to send back.
    Step.CREATE: Step.REMOVE_NEW,
    Step.SMOKE_TEST: Step.REMOVE_NEW,
    Step.CANARY: Step.RESTORE,
    Step.BAKE: Step.RESTORE,
    Step.CONFIRM: Step.RESTORE,
    Step.FULL: Step.RESTORE,
    # Azure may be deleting the old deployment although the call failed: traffic must not go back to it.
    Step.REMOVE_OLD: Step.OLD_KEPT,
    # The new deployment may still have traffic: deleting it now would lose requests.
    Step.RESTORE: Step.STUCK,
    Step.REMOVE_NEW: Step.STUCK,
}
ENDS = frozenset({Step.DONE, Step.HELD, Step.OLD_KEPT, Step.FAILED, Step.STUCK})


@dataclass(frozen=True)
class Plan:
    """One rollout: from `old` (None for the first deployment) to `new`, clearing `leftovers` first.

    `canary_percent` is the canary's share of the traffic, 1 to 99; `hold` stops before any traffic moves.
    """

    old: str | None
    new: str
    leftovers: tuple[str, ...]
    settled: bool
    canary_percent: int
    hold: bool = False

    def traffic(self, step: Step) -> dict[str, int] | None:
        """Return the traffic in percent that a step sets, or None for a step that does not touch traffic."""
        if step is Step.CANARY and self.old:
            return {self.old: 100 - self.canary_percent, self.new: self.canary_percent}
        if step is Step.FULL:
            return {self.new: 100}
        if step in (Step.RESET, Step.RESTORE):
            return {self.old: 100} if self.old else {self.new: 0}
        return None


def serving_deployment(traffic: Mapping[str, int], deployments: Collection[str]) -> str | None:
    """Return the deployment that gets most of the traffic (the first of equals), or None when there is no traffic."""
    shares = {name: traffic.get(name, 0) for name in deployments}
    best = max(shares, key=lambda name: shares[name], default=None)
    return best if best is not None and shares[best] > 0 else None


def unfinished(traffic: Mapping[str, int], deployments: Sequence[str]) -> tuple[str | None, str | None]:
    """Return the deployment that all requests belong to, and the one of a rollout that was not completed.

    Each is None where there is none. The shares alone do not tell them apart: a canary may have more than half.

    Args:
        traffic: In percent by deployment.
        deployments: Those that are there, in the order of their age, the newest last. When that has all traffic, its
            rollout was completed, whatever is left of the older one; when it has no name of ours, it is none of a
            rollout.
    """
    newest = deployments[-1] if deployments else None
    if newest not in COLOURS or traffic.get(newest, 0) == 100:
        return serving_deployment(traffic, deployments), None
    return serving_deployment(traffic, deployments[:-1]), newest


def plan(traffic: Mapping[str, int], deployments: Sequence[str], *, canary_percent: int, hold: bool = False) -> Plan:
    """Plan a rollout from what is there now; arguments are as in `unfinished`.

    The deployment that all requests belong to stays until the end; another one under one of our names comes from an
    interrupted rollout and is cleared first.
    """
    old, _ = unfinished(traffic, deployments)
    leftovers = tuple(name for name in COLOURS if name in deployments and name != old)
    new = next(name for name in COLOURS if name != old)
    return Plan(old, new, leftovers, old is None or traffic.get(old, 0) == 100, canary_percent, hold)


def first_step(plan: Plan) -> Step:
    """Return the first step of a rollout."""
    return Step.RESET if _applies(plan, Step.RESET) else next_step(plan, Step.RESET, succeeded=True)


def next_step(plan: Plan, step: Step, *, succeeded: bool) -> Step:
    """Return the step after `step`, or the end that it leads to.

    Raises:
        KeyError: `step` is an end.
    """
    if not succeeded:
        return _AFTER_FAILURE[step]
    if step is Step.SMOKE_TEST and plan.hold:
        return Step.HELD
    after = _AFTER_SUCCESS[step]
    while not _applies(plan, after):
        after = _AFTER_SUCCESS[after]
    return after


def _applies(plan: Plan, step: Step) -> bool:
    if step is Step.RESET:
        return not plan.settled
    if step is Step.CLEAR:
        return bool(plan.leftovers)
    # Without an old deployment there are no callers for a canary to protect.
    return step not in (Step.CANARY, Step.BAKE, Step.CONFIRM, Step.REMOVE_OLD) or plan.old is not None
