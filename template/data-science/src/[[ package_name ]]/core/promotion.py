"""Should the challenger replace the champion? Pure functions: scores in, decision and reasons out."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from .fairness import Cohorts, Fairness, check_fairness
from .metrics import Floats, Metric, SliceScore, metric
from .predictions import Predictions
from .settings import check_numbers, section
from .step import StepError

# Bounds the memory of one block of resamples, in values (16 MB for each array of numbers).
_BLOCK = 2_000_000

# From here on Student's distribution makes a difference of a few percent at most.
_MANY_UNITS = 50

STOP, REPLACE = "stop", "replace"


@dataclass(frozen=True)
class Policy:
    """What a challenger must reach; scores are in units of `metric`.

    Attributes:
        metric: the metric that decides, with its direction.
        floor: the challenger must be at least this good, champion or not.
        beat_baselines: whether it must beat each baseline, by more than 0 with the same confidence.
        minimum_gain: it must beat the champion by more than this, 0 or more ...
        confidence: ... with this confidence, between 0 and 1: the share of the bootstrap interval, which is central.
            One end of it decides, so the one-sided confidence is larger: 97.5 % for 0.95.
        incomparable_champion: what to do about a champion that cannot be compared: "stop", or "replace" it by a
            challenger that passes all other conditions.
        slice_tolerance: the largest share of the champion's score by which a slice may get worse; a slice whose gain
            may as well be 0, by its interval, did not get worse.
        minimum_slice_rows: slices with fewer rows are too noisy to judge.
        fairness: what it must reach in each cohort by itself.
    """

    metric: Metric
    floor: float
    beat_baselines: bool = True
    minimum_gain: float = 0.0
    confidence: float = 0.95
    incomparable_champion: str = STOP
    slice_tolerance: float = 0.1
    minimum_slice_rows: int = 50
    fairness: Fairness = field(default_factory=Fairness)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], task: str) -> "Policy":
        """Read `evaluation.metric` and the sections `promotion` and `fairness` of the settings.

        Raises:
            StepError: the metric is unknown, the floor is missing, a key is unknown, or a value is out of range.
        """
        given = dict(section(settings, "promotion"))
        others = {"beat_baselines": (True, False), "incomparable_champion": (STOP, REPLACE)}
        chosen_others = {key: given.pop(key) for key in others if key in given}
        for key, value in chosen_others.items():
            if not any(value is choice or (value == choice and isinstance(value, str)) for choice in others[key]):
                choices = " or ".join(str(choice).lower() for choice in others[key])
                raise StepError(f"promotion.{key}: {value!r} must be {choices}")
        limits = {
            "floor": (-math.inf, math.inf),
            "minimum_gain": (0.0, math.inf),
            "confidence": (0.0, 1.0),
            "slice_tolerance": (0.0, math.inf),
            "minimum_slice_rows": (0.0, math.inf),
        }
        check_numbers("promotion", given, limits, others=tuple(others))
        if "floor" not in given:
            raise StepError("promotion.floor: missing; set how good a model must be before it may serve")
        if given.get("confidence", 0.5) in (0, 1):
            raise StepError("promotion.confidence: must lie between 0 and 1, such as 0.95")
        chosen = section(settings, "evaluation").get("metric")
        fairness = Fairness.from_settings(settings, task)
        return cls(metric=metric(str(chosen), task), fairness=fairness, **given, **chosen_others)


@dataclass(frozen=True)
class Interval:
    """The gain of the challenger over another model: on all rows, and the ends of its bootstrap interval."""

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
    challenger: Predictions | ArrayLike,
    champion: Predictions | ArrayLike,
    confidence: float = 0.95,
    seed: int = 0,
    groups: ArrayLike | None = None,
    resamples: int = 1000,
) -> Interval:
    """Return the gain of the challenger with its percentile interval (Efron and Tibshirani 1993, chapter 13).

    Both models are scored on the same resampled rows, so that what is hard for both cancels out. Groups are drawn
    whole (the cluster bootstrap, Davison and Hinkley 1997, section 3.8), because the rows of one share their errors.
    The result is in units of the metric, positive is better; the draws depend on the seed alone.

    Args:
        metric: what the gain is measured in.
        actual: the targets, of shape (rows,).
        challenger: its predictions for these rows.
        champion: those of the other model.
        confidence: the share of the interval, which is central.
        seed: of the draws.
        groups: the group of each row, of shape (rows,); None if each row stands for itself.
        resamples: how many.
    """
    truth = np.asarray(actual)
    if len(truth) == 0:
        return Interval(math.nan, math.nan, math.nan)
    new, old = metric.scorer(truth, challenger), metric.scorer(truth, champion)
    gains = [metric.gain(new(each), old(each)) for each in resample_weights(len(truth), groups, resamples, seed)]
    tail = (1 - confidence) / 2
    # A resample may lack what the metric needs, such as a row of a rare class.
    defined = np.concatenate(gains)
    defined = defined[~np.isnan(defined)]
    lower, upper = np.quantile(defined, [tail, 1 - tail]) if len(defined) else (math.nan, math.nan)
    gain = metric.gain(metric.score(truth, challenger), metric.score(truth, champion))
    wider = _small_sample_factor(len(truth) if groups is None else len(np.unique(np.asarray(groups))), tail)
    lower, upper = gain - wider * (gain - lower), gain + wider * (upper - gain)
    return Interval(*(float(value) + 0.0 for value in (gain, lower, upper)))  # + 0.0: "-0" would puzzle a reader


def _small_sample_factor(units: int, tail: float) -> float:
    """Return by what factor the interval of so few units is to be wider; the bootstrap knows only those few.

    It is that of Student's distribution and of the unbiased variance (Cameron, Gelbach and Miller 2008, Bootstrap-Based
    Improvements for Inference with Clustered Errors); one unit has no variance at all.
    """
    if units < 2:
        return math.nan
    if units >= _MANY_UNITS:
        return 1.0
    return float(stats.t.isf(tail, units - 1) / stats.norm.isf(tail) * math.sqrt(units / (units - 1)))


def resample_weights(rows: int, groups: ArrayLike | None, resamples: int, seed: int) -> Iterator[Floats]:
    """Yield how often each row is drawn, in blocks of shape (some resamples, rows)."""
    codes = None if groups is None else pd.factorize(np.asarray(groups))[0]
    units = rows if codes is None else int(codes.max()) + 1
    random = np.random.default_rng(seed)
    block = max(1, _BLOCK // rows)
    for start in range(0, resamples, block):
        count = min(block, resamples - start)
        drawn = random.integers(units, size=(count, units)) + np.arange(count)[:, np.newaxis] * units
        weights = np.bincount(drawn.ravel(), minlength=count * units).reshape(count, units).astype(float)
        # A group for each row: the codes are the rows, in order.
        yield weights if codes is None or units == rows else weights[:, codes]


def decide(
    policy: Policy,
    challenger: float,
    champion: float | None = None,
    interval: Interval | None = None,
    slices: Sequence[SliceScore] = (),
    cohorts: Sequence[Cohorts] = (),
    baselines: Mapping[str, Interval] | None = None,
) -> Decision:
    """Apply the policy to the scores of both models on the same rows.

    Without a champion the floor, the baselines and the limits on cohorts decide. A tie keeps the champion, and so does
    any score that is not finite.

    Args:
        policy: the conditions.
        challenger: its score.
        champion: its score; None if there is none.
        interval: the gain over the champion.
        slices: the scores in parts of the rows.
        cohorts: the scores in cohorts, with their limits.
        baselines: the gain over each baseline, by name.

    Raises:
        ValueError: there is a champion and no interval of the gain.
    """
    fair = [check for each in cohorts for check in check_fairness(each)]
    beaten = [_beats_baseline(policy, *each) for each in (baselines or {}).items()] if policy.beat_baselines else []
    checks = [_above_floor(policy, challenger), *beaten, *fair]
    if champion is None:
        others = ["the floor", *(["the baselines"] if beaten else []), *(["the limits on cohorts"] if fair else [])]
        alone = f"{', '.join(others[:-1])} and {others[-1]} decide" if len(others) > 1 else "the floor alone decides"
        checks.append((True, f"no champion is compared, so {alone}"))
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


def _beats_baseline(policy: Policy, name: str, interval: Interval) -> tuple[bool, str]:
    good = all(math.isfinite(gain) and gain > 0 for gain in (interval.gain, interval.lower))
    return good, (
        f"the gain in {policy.metric.name} over the {name} is {_interval(policy, interval)}: "
        f"{'' if good else 'not '}significantly above 0"
    )


def _interval(policy: Policy, interval: Interval) -> str:
    return f"{interval.gain:.4g}, {policy.confidence:.0%} interval {interval.lower:.4g} to {interval.upper:.4g}"


def _beats_champion(policy: Policy, champion: float, interval: Interval) -> tuple[bool, str]:
    name = policy.metric.name
    if not math.isfinite(champion):
        return False, f"the champion's {name} is not a finite number: tag that version rejected=true to leave it out"
    good = all(math.isfinite(gain) and gain > policy.minimum_gain for gain in (interval.gain, interval.lower))
    return good, (
        f"the gain in {name} over the champion is {_interval(policy, interval)}: "
        f"{'' if good else 'not '}significantly above {policy.minimum_gain:.4g}"
    )


def _slice_holds(policy: Policy, scores: SliceScore) -> tuple[bool, str]:
    if scores.champion is None:
        return False, f"slice {scores.column}={scores.value} has no score of the champion"
    if math.isnan(scores.challenger) and math.isnan(scores.champion):
        return True, ""  # the metric is undefined there, such as roc_auc in a slice of one class
    if scores.upper_gain is not None and scores.upper_gain >= 0:
        return True, ""  # within the noise of so few rows
    gain = policy.metric.gain(scores.challenger, scores.champion)
    if gain >= -policy.slice_tolerance * abs(scores.champion):
        return True, ""
    return False, (
        f"slice {scores.column}={scores.value} ({scores.rows} rows) got worse: {policy.metric.name} "
        f"{scores.challenger:.4g} after {scores.champion:.4g}, more than the allowed {policy.slice_tolerance:.0%}"
    )
