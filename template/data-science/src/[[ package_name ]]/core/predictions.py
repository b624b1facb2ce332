"""What a model predicts: values, and for a classification the probability of each class where the model has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Predictions:
    """Predictions for some examples.

    Attributes:
        values: numbers, or classes, of shape (examples,).
        probabilities: of shape (examples, classes), each row with the sum 1; None where a model gives classes only.
        classes: the names of the classes in the order of the columns of `probabilities`; of two, the positive one is
            the last.
    """

    values: NDArray[Any]
    probabilities: NDArray[np.float64] | None = None
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.values)

    def take(self, rows: ArrayLike) -> "Predictions":
        """Return the predictions for some of the examples, by position or as a mask of shape (examples,)."""
        chosen = np.asarray(rows)
        probabilities = None if self.probabilities is None else self.probabilities[chosen]
        return Predictions(self.values[chosen], probabilities, self.classes)


def class_predictions(
    probabilities: NDArray[np.float64], classes: Sequence[str], order: Sequence[str], threshold: float = 0.5
) -> Predictions:
    """Return the classes that follow from probabilities of shape (examples, classes).

    Of two classes it is the last one if its probability reaches the threshold; of more, the most probable one.

    Args:
        probabilities: a column for each class.
        classes: the names of the columns.
        order: the classes that come last in the result, in this order; other classes precede them.
        threshold: 0 to 1.
    """
    names = [*(name for name in classes if name not in order), *(name for name in order if name in classes)]
    columns = probabilities[:, [list(classes).index(name) for name in names]]
    if len(names) == 2:
        chosen = (columns[:, 1] >= threshold).astype(int)
    else:
        chosen = columns.argmax(axis=1)
    return Predictions(np.asarray(names, dtype=object)[chosen], columns, tuple(names))
