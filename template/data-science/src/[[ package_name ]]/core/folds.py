"""Parts of the training rows that score a candidate of a search, which was trained on others of them.

They follow the rule that holds out the test rows: what belongs together is on one side, and by time the rows that score
are newer than those that train. As there, added rows move few of the others.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .modality import Examples, Modality
from .schema import Schema
from .split import SplitRule, hash_shares
from .step import StepError

# One fold alone scores on this part of the rows: a fifth.
_PARTS_OF_ONE = 5

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Fold:
    """Rows that train, and other rows that score: masks of shape (rows,)."""

    train: Mask
    validation: Mask


def folds(modality: Modality, examples: Examples, schema: Schema, count: int) -> list[Fold]:
    """Return the folds of training examples.

    Rows that are near duplicates of those that train score nothing, as `prep` leaves them out of the test rows.

    Args:
        modality: the type of data.
        examples: the training examples.
        schema: of the data.
        count: how many; one alone scores on a fifth of the rows.

    Raises:
        StepError: the rows do not suffice for so many; with what to change.
    """
    rule, frame = schema.split, examples.frame
    classes = schema.target if schema.task == "classification" else None
    made = _forward(frame, rule, count) if rule.by == "time" else _dealt(frame, rule, count, classes)
    fingerprints = modality.fingerprints(examples)
    found, left_out = [], 0
    for place, fold in enumerate(made, 1):
        rows = np.flatnonzero(fold.validation)
        copies = modality.alike(fingerprints[fold.train], fingerprints[rows])
        validation = fold.validation.copy()
        validation[rows[copies]] = False
        left_out += int(copies.sum())
        if not validation.any():
            raise StepError(f"tuning.folds: fold {place} of {count} has no row to score: choose fewer, or add examples")
        if frame.loc[fold.train, schema.target].nunique() < 2:
            raise StepError(
                f"tuning.folds: {schema.target} is the same in all rows that train in fold {place} of {count}: choose "
                "fewer folds, or add examples"
            )
        found.append(Fold(fold.train, validation))
    if left_out:
        print(f"{left_out:,} near duplicates of rows that train score nothing", flush=True)
    return found


def _dealt(frame: pd.DataFrame, rule: SplitRule, count: int, classes: str | None) -> list[Fold]:
    """Deal out groups or keys by a hash; those of each class in turn, so that each fold has its share of them."""
    # Another draw than that of the test rows, because these rows are what it left.
    unit = hash_shares(frame, rule.columns, f"{rule.salt} folds")
    label = frame[classes].astype(str).to_numpy() if classes is not None else np.full(len(frame), "")
    rows = pd.DataFrame({"unit": unit, "label": label})
    rows["frequency"] = rows.groupby("label")["unit"].transform("size")
    # A group may have several classes; the rarest one counts.
    units = rows.sort_values(["frequency", "label", "unit"]).drop_duplicates("unit")
    parts = count if count > 1 else _PARTS_OF_ONE
    if len(units) < parts:
        what = f"groups of {rule.group}" if rule.group is not None else "different rows"
        raise StepError(
            f"tuning.folds: {len(units)} {what} are too few for {parts} parts: choose fewer, or add examples"
        )
    part = pd.Series(np.arange(len(units)) % parts, index=units["unit"])
    # What is alone of its class always trains, because a model cannot predict a class that it never saw.
    alone = rows.groupby("label")["unit"].transform("nunique") == 1
    part[rows.loc[alone, "unit"].unique() if classes is not None else []] = -1
    place = part.loc[list(unit)].to_numpy()
    return [Fold(place != number, place == number) for number in range(count)]


def _forward(frame: pd.DataFrame, rule: SplitRule, count: int) -> list[Fold]:
    """Cut the rows at dates: those before a cut train, those until the next one score."""
    (column,) = rule.columns
    dates = frame[column]
    parts = count + 1 if count > 1 else _PARTS_OF_ONE
    before = dates.value_counts().sort_index().cumsum().shift(fill_value=0)
    shares = np.arange(parts - count, parts) / parts
    cuts = [before.index[int((before - share * len(frame)).abs().to_numpy().argmin())] for share in shares]
    if len({*cuts, before.index[0]}) <= count:
        raise StepError(
            f"tuning.folds: {len(before)} dates in {column}, with very different numbers of rows, are too few for "
            f"{count}: choose fewer folds"
        )
    found = []
    for place, cut in enumerate(cuts):
        train = (dates < cut).to_numpy(dtype=bool)
        last = place + 1 == len(cuts)
        validation = ~train if last else ~train & (dates < cuts[place + 1]).to_numpy(dtype=bool)
        if rule.group is not None:
            train &= ~frame[rule.group].isin(frame.loc[validation, rule.group].unique()).to_numpy()
        found.append(Fold(train, validation))
    return found
