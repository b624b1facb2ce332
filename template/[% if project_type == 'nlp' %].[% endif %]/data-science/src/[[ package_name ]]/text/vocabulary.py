"""The words that a model has seen: all others are new to it, which drift watches."""

from collections import Counter
from collections.abc import Sequence

from .. import text_model

# Of the words of the training: those that are left out are rare, and count as unknown.
_MOST_WORDS = 100_000


def known_words(texts: Sequence[str]) -> list[str]:
    """Return the words of the training, the most frequent ones if there are very many."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text_model.words(text))
        if len(counts) > 10 * _MOST_WORDS:
            counts = Counter(dict(counts.most_common(5 * _MOST_WORDS)))
    return [word for word, _ in counts.most_common(_MOST_WORDS)]
