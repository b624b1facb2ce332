"""What the step `evaluate` found out, as the page, the documents and the advice take it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from ..core.distances import Drift
from ..core.fairness import Cohorts
from ..core.metrics import SliceScore
from ..core.panels import Panel
from ..core.predictions import Predictions
from ..core.promotion import Decision, Interval, Policy
from ..core.schema import Schema


@dataclass(frozen=True)
class Evaluation:
    """All that `evaluate` found out; the predictions belong to the rows of `actual`.

    Attributes:
        created: date and time in words.
        actual: the targets of the held-out rows.
        predictions: of the challenger, of the champion if it is compared on all rows, and of each baseline, by name; in
            this order.
        scores: the metrics of each of those, by name; those of a champion that is compared on a part of the rows, and
            of the challenger there, are on this part.
        champion: name of the champion's predictions; None if there is none to compare with.
        champion_version: the registered version that was the champion, compared or not; None if there was none.
        champion_note: why there is nothing to compare with, or not all.
        notes: what the challenger says of its training.
        compared_rows: how many held-out rows the champion is compared on; None is all of them.
        interval: the gain over the champion.
        baselines: the gain over each baseline, by the name of its predictions.
        threshold: the probability from which the challenger predicts the last of two classes; None is the usual half.
        cohorts: for each cohort column the deciding metric first, then the outcomes of a classification.
        groups: for each slice column the name of the group that each row belongs to.
        panels: the explanation of the challenger.
        drift: None without production data.
    """

    model_name: str
    created: str
    schema: Schema
    policy: Policy
    decision: Decision
    actual: pd.Series
    predictions: Mapping[str, Predictions]
    scores: Mapping[str, Mapping[str, float]]
    champion: str | None
    champion_note: str
    interval: Interval | None
    slices: Sequence[SliceScore]
    groups: Mapping[str, pd.Series]
    panels: Sequence[Panel]
    drift: Drift | None = None
    cohorts: Sequence[Cohorts] = ()
    seed: int = 0
    champion_version: str | None = None
    notes: Sequence[str] = ()
    compared_rows: int | None = None
    threshold: float | None = None
    baselines: Mapping[str, Interval] = field(default_factory=dict)
