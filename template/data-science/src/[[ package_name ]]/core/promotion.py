"""Should the challenger replace the champion? Pure functions: scores in, decision and reasons out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .fairness import Cohorts, Fairness, check_fairness
from .metrics import Metric, SliceScore, encode, metric
from .settings import check_numbers, section
from .step import StepError

# Bounds the memory of one block of resamples, in values (16 MB for each array of numbers).
_BLOCK = 2_000_000


@dataclass(frozen=True)
class Policy:
    """What a challenger must reach; scores are in units of `metric`.

    Attributes:
        metric: the metric that decides, with its direction.
        floor: the challenger must be at least this good, champion or not.
        minimum_gain: it must beat the champion by more than this, 0 or more ...
        confidence: ... with this confidence, between 0 and 1: the share of the bootstrap interval, which is central.
        slice_tolerance: the largest share of the champion's score by which a slice may get worse.
        minimum_slice_rows: slices with fewer rows are too noisy to judge.
        fairness: what it must reach in each cohort by itself.
    """

    metric: Metric
    floor: float
    minimum_gain: float = 0.0
    confidence: float = 0.95
    slice_tolerance: float = 0.1
    minimum_slice_rows: int = 50
    fairness: Fairness = field(default_factory=Fairness)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], task: str) -> "Policy":
        """Read `evaluation.metric` and the sections `promotion` and `fairness` of the settings.

        Raises:
            StepError: the metric is unknown, the floor is missing, a key is unknown, or a value is out of range.
        """
        given = section(settings, "promotion")
        limits = {
            "floor": (-math.inf, math.inf),
            "minimum_gain": (0.0, math.inf),
            "confidence": (0.0, 1.0),
            "slice_tolerance": (0.0, math.inf),
            "minimum_slice_rows": (0.0, math.inf),
        }
        check_numbers("promotion", given, limits)
        if "floor" not in given:
            raise StepError("promotion.floor: missing; set how good a model must be before it may serve")
        if given.get("confidence", 0.5) in (0, 1):
            raise StepError("promotion.confidence: must lie between 0 and 1, such as 0.95")
        chosen = section(settings, "evaluation").get("metric")
        return cls(metric=metric(str(chosen), task), fairness=Fairness.from_settings(settings, task), **given)


@dataclass(frozen=True)
class Interval:
    """The gain of the challenger over the champion: on all rows, and the ends of its bootstrap interval."""

    gain: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and why: the conditions that were met, or those that were not."""

    promote: bool
    reasons: tuple[str, ...]


def paired_bootstrap(
    metric: Metric,
    actual: ArrayLike,
    challenger: ArrayLike,
    champion: ArrayLike,
    confidence: float = 0.95,
    seed: int = 0,
    resamples: int = 1000,
) -> Interval:
    """Return the gain of the challenger with its percentile interval (Efron and Tibshirani 1993, chapter 13).

    The three arrays have shape (rows,) and belong to the same rows. Both models are scored on the same resampled
    rows, so that what is hard for both cancels out. The result is in units of the metric, positive is better; it
    depends on the seed alone and not on the machine.
    """
    columns = np.stack(encode(actual, challenger, champion))
    rows = columns.shape[1]
    if rows == 0:
        return Interval(math.nan, math.nan, math.nan)
    random = np.random.default_rng(seed)
    gains = []
    block = max(1, _BLOCK // rows)
    for start in range(0, resamples, block):
        drawn = random.integers(rows, size=(rows, min(block, resamples - start)))
        truth, new, old = columns[0][drawn], columns[1][drawn], columns[2][drawn]
        gains.append(metric.gain(metric.compute(truth, new), metric.compute(truth, old)))
    tail = (1 - confidence) / 2
    lower, upper = np.quantile(np.concatenate(gains), [tail, 1 - tail])
    gain = metric.gain(metric.score(actual, challenger), metric.score(actual, champion))
    return Interval(*(float(value) + 0.0 for value in (gain, lower, upper)))  # + 0.0: "-0" would puzzle a reader


def decide(
    policy: Policy,
    challenger: float,
    champion: float | None = None,
    interval: Interval | None = None,
    slices: Sequence[SliceScore] = (),
    cohorts: Sequence[Cohorts] = (),
) -> Decision:
    """Apply the policy to the scores of both models on the same rows.

    Without a champion the floor and the limits on cohorts decide. A tie keeps the champion, and so does any score that
    is not finite.

    Raises:
        ValueError: there is a champion and no interval of the gain.
    """
    fair = [check for each in cohorts for check in check_fairness(each)]
    checks = [_above_floor(policy, challenger), *fair]
    if champion is None:
        alone = "the floor and the limits on cohorts decide" if fair else "the floor alone decides"
        checks.append((True, f"there is no champion to beat, so {alone}"))
    elif interval is None:
        raise ValueError("a champion can only be beaten with the bootstrap interval of the gain")
    else:
        checks.append(_beats_champion(policy, champion, interval))
        checks += [_slice_holds(policy, each) for each in slices if each.rows >= policy.minimum_slice_rows]
    failures = tuple(reason for passed, reason in checks if not passed)
    met = tuple(reason for passed, reason in checks if passed and reason)
    if len(slices) and champion is not None:
        met += (f"no slice got worse by more than {policy.slice_tolerance:.0%}",)
    return Decision(promote=not failures, reasons=failures or met)


# The conditions below are written so that NaN, which compares as false, always fails them.


def _above_floor(policy: Policy, challenger: float) -> tuple[bool, str]:
    name = policy.metric.name
    if not math.isfinite(challenger):
        return False, f"the challenger's {name} is not a finite number"
    good = bool(policy.metric.gain(challenger, policy.floor) >= 0)
    verb = "reaches" if good else "misses"
    return good, f"the challenger's {name} of {challenger:.4g} {verb} the floor of {policy.floor:.4g}"


def _beats_champion(policy: Policy, champion: float, interval: Interval) -> tuple[bool, str]:
    name = policy.metric.name
    if not math.isfinite(champion):
        return False, f"the champion's {name} is not a finite number: tag that version rejected=true to leave it out"
    good = all(math.isfinite(gain) and gain > policy.minimum_gain for gain in (interval.gain, interval.lower))
    return good, (
        f"the gain in {name} over the champion is {interval.gain:.4g}, {policy.confidence:.0%} interval "
        f"{interval.lower:.4g} to {interval.upper:.4g}: "
        f"{'' if good else 'not '}significantly above {policy.minimum_gain:.4g}"
    )


def _slice_holds(policy: Policy, scores: SliceScore) -> tuple[bool, str]:
    if scores.champion is None:
        return False, f"slice {scores.column}={scores.value} has no score of the champion"
    gain = policy.metric.gain(scores.challenger, scores.champion)
    if gain >= -policy.slice_tolerance * abs(scores.champion):
        return True, ""
    return False, (
        f"slice {scores.column}={scores.value} ({scores.rows} rows) got worse: {policy.metric.name} "
        f"{scores.challenger:.4g} after {scores.champion:.4g}, more than the allowed {policy.slice_tolerance:.0%}"
    )
