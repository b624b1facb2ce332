"""Places of examples in a table or a list."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def spread(count: int, most: int) -> NDArray[Any]:
    """Return at most `most` of the places 0 to `count`, at equal distances."""
    return np.unique(np.linspace(0, count - 1, most).astype(int))
