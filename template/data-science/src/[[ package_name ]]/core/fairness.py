"""Fairness: how good a model must be in each cohort by itself, whatever its average."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .metrics import Metric, SliceScore
from .settings import check_numbers, section
from .step import StepError


@dataclass(frozen=True)
class Fairness:
    """What a challenger must reach in each cohort, whatever its average; a limit that is None is not set.

    Attributes:
        cohorts: the columns whose values are the cohorts; several names together are the cross of these columns.
        worst: the metric must be at least this good in the worst cohort.
        max_gap: the metric may differ by this much between the best and the worst cohort ...
        max_ratio: ... and by this factor, 1 or more; a factor needs scores of 0 or more.
        max_demographic_parity_difference: for a classification: the share of rows that are predicted as the positive
            class (without one: as any class) may differ by this much, 0 to 1.
        max_equal_opportunity_difference: the same limit on the recall of the positive class (true positive rate).
        positive: the class that is the good outcome; if not named, that of the schema, or of two classes the last one
            in sorted order.
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
        given = {key: value for key, value in section(settings, "fairness").items() if value is not None}
        rates = ("max_demographic_parity_difference", "max_equal_opportunity_difference")
        if task != "classification" and (wrong := sorted(set(given) & {*rates, "positive"})):
            raise StepError(f"fairness.{wrong[0]}: is for a classification, and this is a {task}; leave it out")
        cohorts, positive = _columns(given.pop("cohorts", None)), given.pop("positive", None)
        limits = {
            "worst": (-math.inf, math.inf),
            "max_gap": (0.0, math.inf),
            "max_ratio": (1.0, math.inf),
            "minimum_rows": (0.0, math.inf),
            **dict.fromkeys(rates, (0.0, 1.0)),
        }
        check_numbers("fairness", given, limits, others=("cohorts", "positive"))
        return cls(cohorts=cohorts, positive=None if positive is None else str(positive), **given)


def _columns(cohorts: object) -> tuple[tuple[str, ...], ...]:
    if not isinstance(cohorts, list) or not cohorts or [] in cohorts:
        raise StepError("fairness.cohorts: must be a list of columns, such as [origin, [origin, carrier]]")
    return tuple(tuple(map(str, each)) if isinstance(each, list) else (str(each),) for each in cohorts)


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
    def ranking(self) -> list[SliceScore]:
        """Return the cohorts that are judged, the worst one first; NaN is the worst score."""

        def goodness(each: SliceScore) -> float:
            return float(self.metric.gain(each.challenger, 0)) if math.isfinite(each.challenger) else -math.inf

        return sorted((each for each in self.scores if each.rows >= self.minimum_rows), key=goodness)

    def holds(self, each: SliceScore) -> bool:
        """Return whether a cohort is at least as good as the worst one may be; NaN never is."""
        good = math.isfinite(each.challenger) and self.metric.gain(each.challenger, self.worst or 0.0) >= 0
        return self.worst is None or bool(good)

    @property
    def gap(self) -> float:
        """Return how much better the best cohort is than the worst, in units of the metric.

        It is NaN if no cohort is judged, or the score of one is NaN; and so is the ratio.
        """
        judged = self.ranking
        if not judged or not all(math.isfinite(each.challenger) for each in judged):
            return math.nan
        return float(self.metric.gain(judged[-1].challenger, judged[0].challenger))

    @property
    def ratio(self) -> float:
        """Return the best and the worst score as a factor of 1 or more; NaN if a score is negative."""
        judged = self.ranking
        if not judged or not all(0 <= each.challenger < math.inf for each in judged):
            return math.nan
        low, high = sorted((judged[0].challenger, judged[-1].challenger))
        if low:
            return high / low
        return math.inf if high else 1.0


def check_fairness(cohorts: Cohorts) -> list[tuple[bool, str]]:
    """Return for each limit on cohorts whether it holds, and the reason in words; without limits nothing."""
    metric, column, judged = cohorts.metric, cohorts.column, cohorts.ranking
    if cohorts.worst is cohorts.max_gap is cohorts.max_ratio is None:
        return []
    if not judged:
        reason = (
            f"no cohort by {column} has the {cohorts.minimum_rows:g} rows that are needed to judge its {metric.name}"
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
