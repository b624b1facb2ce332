"""The split of the data into training and test rows."""

import pandas as pd
from sklearn.model_selection import train_test_split

from .schema import Schema
from .step import StepError

MINIMUM_ROWS = 50


def split(frame: pd.DataFrame, schema: Schema, test_size: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split `frame` at random into training and test rows; each class keeps its share in both.

    Args:
        frame: rows that fit the schema, without missing targets.
        schema: names the task and the target.
        test_size: share of the test rows, between 0 and 1.
        seed: the same seed and rows give the same split.

    Raises:
        StepError: there are too few rows, or too few of one class.
    """
    if len(frame) < MINIMUM_ROWS:
        raise StepError(f"{len(frame)} usable rows are too few; give at least {MINIMUM_ROWS}")
    classes = frame[schema.target] if schema.task == "classification" else None
    try:
        train, test = train_test_split(frame, test_size=test_size, random_state=seed, stratify=classes)
    except ValueError as error:
        raise StepError(f"{schema.target}: the rows cannot be split with test_size {test_size}: {error}") from error
    return train.reset_index(drop=True), test.reset_index(drop=True)
