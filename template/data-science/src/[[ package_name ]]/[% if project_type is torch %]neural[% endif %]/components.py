"""The directions in which examples differ most, as a network sees them: an embedding of few numbers."""

import numpy as np
from numpy.typing import NDArray

FITTED_ON = 2000
"""So many training examples give the directions."""
COMPONENTS = 8


def principal_components(features: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the directions in which features differ most, and the mean of the features.

    Args:
        features: of shape (examples, features).

    Returns:
        Of shape (features, components), and (features,).
    """
    centre = features.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov(features - centre, rowvar=False))
    directions = directions[:, ::-1][:, :COMPONENTS]
    # A direction and its opposite are as good: the largest part of each is positive.
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.sign(directions[largest, np.arange(directions.shape[1])]), centre
