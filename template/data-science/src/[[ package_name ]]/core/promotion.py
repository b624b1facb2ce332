"""Shall the challenger replace the champion? Pure functions: scores in, decision and reasons out."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .metrics import Metric, encode, metric
from .step import StepError

# Bounds the memory of one block of resamples, in values (16 MB for each array of numbers).
_BLOCK = 2_000_000


@dataclass(frozen=True)
class Fairness:
    """What a challenger must reach in each cohort, whatever its average; a limit that is None is not set.

    Attributes:
        cohorts: the columns whose values are the cohorts; several names together are the cross of these columns.
        worst: the metric must be at least this good in the worst cohort.
        max_gap: the metric may differ by this much between the best and the worst cohort ...
        max_ratio: ... and by this factor, 1 or more; a factor needs scores of 0 or more.
        max_demographic_parity_difference: of a classification: the share of rows that are predicted as the positive
            class (without one: as any class) may differ by this much, 0 to 1.
        max_equal_opportunity_difference: so may the share of positive rows that are found.
        positive: the class that is the good outcome; of two classes, if not named, the last one in sorted order.
        minimum_rows: cohorts with fewer rows are too noisy to judge; they are shown.
    """

    cohorts: tuple[tuple[str, ...], ...] = ()
    worst: float | None = None
    max_gap: float | None = None
    max_ratio: float | None = None
    max_demographic_parity_difference: float | None = None
    max_equal_opportunity_difference: float | None = None
    positive: str | None = None
    minimum_rows: int = 50

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], task: str) -> "Fairness":
        """Read the section `fairness` of the settings; without it there are no cohorts and no limits.

        Raises:
            StepError: the cohorts are missing, a key is unknown or of the other task, or a value is out of range.
        """
        if settings.get("fairness") is None:
            return cls()
        given = {key: value for key, value in _section(settings, "fairness").items() if value is not None}
        rates = ("max_demographic_parity_difference", "max_equal_opportunity_difference")
        if task == "regression" and (wrong := sorted(set(given) & {*rates, "positive"})):
            raise StepError(f"fairness.{wrong[0]}: is for a classification, and this is a regression; leave it out")
        cohorts, positive = _columns(given.pop("cohorts", None)), given.pop("positive", None)
        limits = {
            "worst": (-math.inf, math.inf),
            "max_gap": (0.0, math.inf),
            "max_ratio": (1.0, math.inf),
            "minimum_rows": (0.0, math.inf),
            **dict.fromkeys(rates, (0.0, 1.0)),
        }
        _check("fairness", given, limits, others=("cohorts", "positive"))
        return cls(cohorts=cohorts, positive=None if positive is None else str(positive), **given)


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
    fairness: Fairness = Fairness()

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any], task: str) -> "Policy":
        """Read `evaluation.metric` and the sections `promotion` and `fairness` of the settings.

        Raises:
            StepError: the metric is unknown, the floor is missing, a key is unknown, or a value is out of range.
        """
        given = _section(settings, "promotion")
        limits = {
            "floor": (-math.inf, math.inf),
            "minimum_gain": (0.0, math.inf),
            "confidence": (0.0, 1.0),
            "slice_tolerance": (0.0, math.inf),
            "minimum_slice_rows": (0.0, math.inf),
        }
        _check("promotion", given, limits)
        if "floor" not in given:
            raise StepError("promotion.floor: missing; say how good a model must be before it may serve")
        if given.get("confidence", 0.5) in (0, 1):
            raise StepError("promotion.confidence: must lie between 0 and 1, such as 0.95")
        chosen = _section(settings, "evaluation").get("metric")
        return cls(metric=metric(str(chosen), task), fairness=Fairness.from_settings(settings, task), **given)


@dataclass(frozen=True)
class Interval:
    """The gain of the challenger over the champion: on all rows, and the ends of its bootstrap interval."""

    gain: float
    lower: float
    upper: float


@dataclass(frozen=True)
class SliceScore:
    """The metric of both models on one part of the rows, such as one month; no champion is None."""

    column: str
    value: str
    rows: int
    challenger: float
    champion: float | None = None


@dataclass(frozen=True)
class Cohorts:
    """A metric of the challenger in each cohort of a column, such as each airport, with the limits on it.

    Attributes:
        column: name of the column, or names with slashes between them.
        scores: of all cohorts, in the order of their values.
        minimum_rows: cohorts with fewer rows are not judged.
        worst, max_gap, max_ratio: see `Fairness`.
    """

    column: str
    metric: Metric
    scores: tuple[SliceScore, ...]
    minimum_rows: int
    worst: float | None = None
    max_gap: float | None = None
    max_ratio: float | None = None

    @property
    def judged(self) -> list[SliceScore]:
        """Return the cohorts that are judged, the worst one first; a score that is no number is the worst."""

        def goodness(each: SliceScore) -> float:
            return float(self.metric.gain(each.challenger, 0)) if math.isfinite(each.challenger) else -math.inf

        return sorted((each for each in self.scores if each.rows >= self.minimum_rows), key=goodness)

    def holds(self, each: SliceScore) -> bool:
        """Return whether a cohort is at least as good as the worst one may be; a score that is no number never is."""
        good = math.isfinite(each.challenger) and self.metric.gain(each.challenger, self.worst or 0.0) >= 0
        return self.worst is None or bool(good)

    @property
    def gap(self) -> float:
        """Return how much better the best cohort is than the worst, in units of the metric.

        It is NaN if no cohort is judged, or the score of one is no number; and so is the ratio.
        """
        judged = self.judged
        if not judged or not all(math.isfinite(each.challenger) for each in judged):
            return math.nan
        return float(self.metric.gain(judged[-1].challenger, judged[0].challenger))

    @property
    def ratio(self) -> float:
        """Return the larger one of the best and the worst score by the smaller one; NaN if a score is negative."""
        judged = self.judged
        if not judged or not all(0 <= each.challenger < math.inf for each in judged):
            return math.nan
        low, high = sorted((judged[0].challenger, judged[-1].challenger))
        return high / low if low else math.inf if high else 1.0


@dataclass(frozen=True)
class Decision:
    """Whether to promote, and why: what was met when it is a yes, what was not when it is a no."""

    promote: bool
    reasons: tuple[str, ...]


def _section(settings: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = settings.get(name)
    if not isinstance(section, Mapping):
        raise StepError(f"{name}: this section is missing from the settings, or it has no `key: value` lines")
    return section


def _check(
    section: str, given: Mapping[str, Any], limits: Mapping[str, tuple[float, float]], others: Sequence[str] = ()
) -> None:
    if unknown := sorted(map(str, set(given) - set(limits))):
        raise StepError(f"{section}.{unknown[0]}: unknown; the keys are {', '.join((*others, *limits))}")
    for key, value in given.items():
        low, high = limits[key]
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not low <= value <= high:
            raise StepError(f"{section}.{key}: {value!r} must be a number{_range(low, high)}")


def _columns(cohorts: object) -> tuple[tuple[str, ...], ...]:
    if not isinstance(cohorts, list) or not cohorts or [] in cohorts:
        raise StepError("fairness.cohorts: must be a list of columns, such as [origin, [origin, carrier]]")
    return tuple(tuple(map(str, each)) if isinstance(each, list) else (str(each),) for each in cohorts)


def _range(low: float, high: float) -> str:
    if math.isfinite(high):
        return f" between {low:g} and {high:g}"
    return f" of {low:g} or more" if math.isfinite(low) else ""


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
    return Interval(*(float(value) + 0.0 for value in (gain, lower, upper)))  # + 0.0: a reader of "-0" would wonder


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
    fair = [check for each in cohorts for check in _fair(each)]
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
        f"{'surely' if good else 'not surely'} more than {policy.minimum_gain:.4g}"
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


def _fair(cohorts: Cohorts) -> list[tuple[bool, str]]:
    metric, column, judged = cohorts.metric, cohorts.column, cohorts.judged
    if cohorts.worst is cohorts.max_gap is cohorts.max_ratio is None:
        return []
    if not judged:
        reason = (
            f"no cohort by {column} has the {cohorts.minimum_rows:g} rows that a judgement of its {metric.name} needs"
        )
        return [(False, reason)]
    checks = []
    if cohorts.worst is not None:
        beyond = [each for each in judged if not cohorts.holds(each)]
        checks = [
            (
                not beyond,
                f"cohort {column}={each.value} ({each.rows} rows) has {metric.name} {each.challenger:.4g}, "
                f"{'beyond' if beyond else 'the worst of all, within'} the limit of {cohorts.worst:.4g}",
            )
            for each in beyond or judged[:1]
        ]
    differences = (("by", cohorts.gap, cohorts.max_gap), ("by a factor of", cohorts.ratio, cohorts.max_ratio))
    for how, value, limit in differences:
        if limit is not None:
            good = value <= limit
            reason = (
                f"{metric.name} ({metric.label}) differs {how} {value:.4g} between the cohorts "
                f"{column}={judged[-1].value} ({judged[-1].challenger:.4g}) and {judged[0].value} "
                f"({judged[0].challenger:.4g}), {'within' if good else 'beyond'} the limit of {limit:.4g}"
            )
            checks.append((good, reason))
    return checks
