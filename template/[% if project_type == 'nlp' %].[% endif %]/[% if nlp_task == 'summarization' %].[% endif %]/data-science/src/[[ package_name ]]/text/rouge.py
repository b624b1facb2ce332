"""ROUGE: how much of a text another one repeats, by words (Lin, Text Summarization Branches Out, ACL 2004)."""

from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import text_model
from ..core.metrics import Floats, Metric, mean_metric
from ..core.predictions import Predictions

_KINDS = {
    "rougeL": "F1 of the longest common sequence of words",
    "rouge1": "F1 of the common words",
    "rouge2": "F1 of the common pairs of words",
}


class _Words:
    """The words of a text in any script; the tokenizer of the library keeps nothing but a to z and digits."""

    def tokenize(self, text: str) -> list[str]:
        return text_model.words(text)


@cache
def _scorer() -> Any:
    from rouge_score import rouge_scorer  # here: it takes half a second, and `prep` and `score` do not need it

    return rouge_scorer.RougeScorer(list(_KINDS), tokenizer=_Words())


# Each pair is scored for three metrics, and again in the slices that it is in.
@lru_cache(maxsize=50_000)
def _scores(reference: str, text: str) -> tuple[float, ...]:
    found = _scorer().score(reference, text)
    return tuple(float(found[kind].fmeasure) for kind in _KINDS)


def scores(kind: str, references: NDArray[Any], texts: NDArray[Any]) -> Floats:
    """Return the F1 of each text with its reference, of shape (texts,), 0 to 1; that of an empty one is 0.

    Args:
        kind: rouge1, rouge2 or rougeL.
        references: of shape (texts,).
        texts: what is scored.
    """
    place = list(_KINDS).index(kind)
    pairs = zip(references, texts, strict=True)
    return np.array([_scores(str(reference), str(text))[place] for reference, text in pairs], dtype=float)


def _metric(kind: str, label: str) -> Metric:
    def rows(actual: NDArray[Any], predictions: Predictions) -> Floats:
        return scores(kind, actual, predictions.values)

    return mean_metric(kind, label, True, rows)


METRICS = tuple(_metric(kind, label) for kind, label in _KINDS.items())
"""Each is the mean over the rows."""
