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

    def within(self, classes: Sequence[str]) -> "Predictions":
        """Return the same predictions with just these classes as the columns of the probabilities, in this order.

        A class that the model does not know has the probability 0; those of other classes are left out. So a metric
        means the same for models that know different classes.
        """
        if self.probabilities is None or not classes:
            return self
        columns = np.zeros((len(self), len(classes)))
        for place, name in enumerate(classes):
            if name in self.classes:
                columns[:, place] = self.probabilities[:, self.classes.index(name)]
        return Predictions(self.values, columns, tuple(classes))
