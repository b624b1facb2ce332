"""The trials of a search: how a candidate is scored, and what came of it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import numpy as np
from scipy import stats

from .folds import Fold
from .metrics import Metric
from .modality import Examples, Modality
from .promotion import Interval
from .schema import Schema
from .step import StepError
from .tuning import Candidate, merged

COMPLETE, PRUNED, FAILED = "complete", "pruned", "failed"


@dataclass(frozen=True)
class Trial:
    """A candidate that was tried.

    Attributes:
        number: from 1 on; a trial that was killed leaves a gap.
        candidate: its values for the search space.
        state: complete, pruned (given up early) or failed.
        folds: the score on each fold, as far as they were scored.
        seconds: how long it took.
        error: why it failed.
    """

    number: int
    candidate: Candidate
    state: str
    folds: Sequence[float] = ()
    seconds: float = 0.0
    error: str = ""

    @property
    def score(self) -> float | None:
        """The mean score of all folds; None if not all were scored."""
        return fmean(self.folds) if self.state == COMPLETE else None

    @property
    def sd(self) -> float | None:
        """The standard deviation of the scores of the folds; None of fewer than two."""
        return stdev(self.folds) if len(self.folds) > 1 else None

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "number": self.number,
            "state": self.state,
            "hyperparameters": self.candidate,
            "score": self.score,
            "folds": list(self.folds),
            "seconds": round(self.seconds, 3),
            "error": self.error or None,
        }


@dataclass(frozen=True)
class Judge:
    """Scores candidates, each on the same folds."""

    modality: Modality
    schema: Schema
    training: Mapping[str, Any]
    examples: Examples
    folds: Sequence[Fold]
    metric: Metric

    def scores(self, candidate: Mapping[str, Any]) -> Iterator[float]:
        """Yield the score of a candidate on each fold.

        Raises:
            StepError: its hyperparameters do not fit, its training fails, or the metric is undefined.
        """
        hyperparameters = merged(self.training["hyperparameters"], candidate)
        if wrong := self.modality.check_hyperparameters(hyperparameters, self.schema):
            raise StepError("; ".join(wrong))
        training = {**self.training, "hyperparameters": hyperparameters}
        classes = self.schema.class_names(self.examples.frame[self.schema.target])
        for place, fold in enumerate(self.folds, 1):
            model = self.modality.fit(self.examples.take(fold.train), self.schema, training)
            validation = self.examples.take(fold.validation)
            predicted = model.predict(validation).within(classes)
            score = self.metric.score(validation.frame[self.schema.target].to_numpy(), predicted)
            if not math.isfinite(score):
                raise StepError(
                    f"evaluation.metric: {self.metric.name} is {score} in fold {place} of {len(self.folds)}, whose "
                    f"{fold.validation.sum():,} rows may lack a class: choose fewer tuning.folds or another metric"
                )
            yield score

    @property
    def share(self) -> float:
        """The mean ratio of the rows that score to those that train."""
        return float(np.mean([fold.validation.sum() / fold.train.sum() for fold in self.folds]))


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        metric: of the scores.
        own: the values of the settings for the search space.
        trials: all that have ended, in the order of their numbers.
        share: see `Judge.share`.
        confidence: of the interval of the gain.
    """

    metric: Metric
    own: Candidate
    trials: Sequence[Trial]
    share: float
    confidence: float

    @property
    def settings(self) -> Trial | None:
        """The trial of the settings' own hyperparameters; None if it has no score."""
        return next((each for each in self.trials if each.candidate == self.own and each.score is not None), None)

    @property
    def settings_tried(self) -> bool:
        """Whether the settings' own hyperparameters have a score, or failed."""
        return any(each.candidate == self.own and each.state != PRUNED for each in self.trials)

    @property
    def best(self) -> Trial | None:
        """The trial with the best score, that of the settings if none is better; None if none has a score."""
        own = self.settings
        scored = [each for each in [own, *self.trials] if each is not None and each.score is not None]
        return max(scored, key=lambda trial: float(self.metric.gain(_score(trial), 0)), default=None)

    @property
    def improved(self) -> bool:
        """Whether the best candidate is better than the settings, which may have failed altogether."""
        best, own = self.best, self.settings
        return best is not None and (own is None or best.candidate != own.candidate)

    @property
    def gain(self) -> Interval | None:
        """The gain of the best candidate over the settings, with its interval; None without both or with one fold."""
        best, own = self.best, self.settings
        if best is None or own is None or best == own or len(best.folds) < 2:
            return None
        return gain_interval(self.metric, best.folds, own.folds, self.share, self.confidence)

    @property
    def significant(self) -> bool | None:
        """Whether that gain is statistically significant; None if it is unknown."""
        return None if self.gain is None else self.gain.lower > 0

    def running_means(self, fold: int) -> list[float]:
        """Return the mean score of each trial after so many folds."""
        return [fmean(each.folds[:fold]) for each in self.trials if len(each.folds) >= fold]

    def document(self, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return it as plain data, for search.json; `hyperparameters` are those of the settings."""
        best, own, gain = self.best, self.settings, self.gain
        return {
            "metric": self.metric.name,
            "goal": "maximize" if self.metric.higher_is_better else "minimize",
            "settings": None if own is None else {"hyperparameters": dict(hyperparameters), "score": own.score},
            "best": None
            if best is None
            else {"number": best.number, "hyperparameters": best.candidate, "score": best.score, "sd": best.sd},
            "improved": self.improved,
            "gain": None if gain is None else {"gain": gain.gain, "lower": gain.lower, "upper": gain.upper},
            "significant": self.significant,
            "trials": [each.document() for each in self.trials],
        }


def gain_interval(
    metric: Metric, new: Sequence[float], old: Sequence[float], share: float, confidence: float
) -> Interval:
    """Return the mean gain over the same folds, with its interval by the corrected resampled t-test.

    The folds share rows that train, so their differences vary less than those of independent data; the correction is
    that of Nadeau and Bengio, Machine Learning 52 (2003).

    Args:
        metric: of the scores.
        new: the scores on each fold, two or more.
        old: those of the other candidate.
        share: the ratio of the rows that score to those that train.
        confidence: the share of the interval, which is central.
    """
    gains = np.asarray(metric.gain(new, old), dtype=float)
    error = math.sqrt((1 / len(gains) + share) * float(gains.var(ddof=1)))
    reach = float(stats.t.isf((1 - confidence) / 2, len(gains) - 1)) * error
    mean = float(gains.mean())
    return Interval(mean, mean - reach, mean + reach)


def _score(trial: Trial) -> float:
    assert trial.score is not None
    return trial.score
