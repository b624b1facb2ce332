"""The first sentences of a text: what a summary has to be better than."""

from collections.abc import Sequence

import numpy as np

from .. import text_model


def usual_sentences(summaries: Sequence[str]) -> int:
    """Return how many sentences a usual summary has."""
    counts = [len(text_model.sentences(summary)) for summary in summaries]
    return max(1, int(np.median(counts))) if counts else 1


def lead(text: str, count: int) -> str:
    """Return so many sentences at the start of a text."""
    return text_model.joined(text_model.sentences(text)[:count])
