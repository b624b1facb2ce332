"""ROUGE: how much of a text another one repeats, by words (Lin, Text Summarization Branches Out, ACL 2004)."""

import unicodedata
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
        # A letter with its accent is the same as the two characters.
        return text_model.words(unicodedata.normalize("NFC", text))


@cache
def _scorer() -> Any:
    from rouge_score import rouge_scorer  # here: it takes half a second, and `prep` and `score` do not need it

    return rouge_scorer.RougeScorer(["rouge1", "rouge2"], tokenizer=_Words())


# Each pair is scored for three metrics, and again in the slices that it is in.
@lru_cache(maxsize=50_000)
def _scores(reference: str, text: str) -> tuple[float, ...]:
    found = {kind: float(score.fmeasure) for kind, score in _scorer().score(reference, text).items()}
    one, other = (_Words().tokenize(each) for each in (reference, text))
    found["rougeL"] = 2 * _longest_common(one, other) / max(len(one) + len(other), 1)
    return tuple(found[kind] for kind in _KINDS)


def _longest_common(one: list[str], other: list[str]) -> int:
    """Return the length of the longest common subsequence, with memory that is linear in that of the texts.

    The library keeps a table of all pairs of words, gigabytes for two long texts. Here the bits of an integer are a row
    of the table: those at which it grows are 0 (Hyyrö, Bit-Parallel LCS-length Computation Revisited, 2004).
    """
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    every = row = (1 << len(one)) - 1
    for word in other:
        matches = row & places.get(word, 0)
        row = (row + matches | row - matches) & every
    return len(one) - row.bit_count()


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
