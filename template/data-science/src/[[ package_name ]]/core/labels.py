"""The classes of a target, as a classifier numbers them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .schema import Schema
from .step import StepError


def class_numbers(
    target: pd.Series, schema: Schema, training: Mapping[str, Any]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the names of the classes, and the place of each example's class among them, of shape (examples,).

    Raises:
        StepError: there is one class only, a class has the name of a column of the result, or there are more than the
            two that `training.threshold` is for.
    """
    classes = schema.class_names(target)
    if len(classes) < 2:
        raise StepError(f"{schema.target} has one class, {', '.join(classes)}: add examples of other classes")
    if "prediction" in classes:
        raise StepError(f"{schema.target}: no class can have the name prediction, which a column of the result has")
    if training.get("threshold") is not None and len(classes) != 2:
        raise StepError("training.threshold: is for two classes, and this target has others; leave it out")
    numbers = {name: place for place, name in enumerate(classes)}
    return classes, np.array([numbers[str(value)] for value in target], dtype=np.int64)
