"""What a model predicts: values, and for a classification the probability of each class where the model has them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..model_output import Output


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

    @classmethod
    def of(cls, output: Output) -> "Predictions":
        """Return the output of a model as predictions."""
        return cls(output.values, output.probabilities, output.classes)

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.values)

    def take(self, rows: ArrayLike) -> "Predictions":
        """Return the predictions for some of the examples, by position or as a mask of shape (examples,)."""
        chosen = np.asarray(rows)
        probabilities = None if self.probabilities is None else self.probabilities[chosen]
        return Predictions(self.values[chosen], probabilities, self.classes)

    def ordered(self, classes: Sequence[str]) -> "Predictions":
        """Return the same predictions with these classes last, in this order, as the columns of the probabilities."""
        if self.probabilities is None:
            return self
        names = [*(name for name in self.classes if name not in classes), *(n for n in classes if n in self.classes)]
        columns = self.probabilities[:, [self.classes.index(name) for name in names]]
        return Predictions(self.values, columns, tuple(names))
