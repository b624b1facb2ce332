"""A model that selects sentences: it learns which ones of a text are most like its summary."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.linear_model import Ridge

from .. import text_model
from ..core.places import spread
from ..core.step import StepError
from ..neural.components import COMPONENTS, FITTED_ON
from . import rouge, saving
from .hyperparameters import Selection
from .lead import usual_sentences

# So many sentences of the training, of as many texts as needed, tell which ones summaries are made of.
_MOST_SENTENCES = 50_000
# Added to each count of a word, so that a rare one does not seem to tell everything.
_PRIOR = 0.5


@dataclass(frozen=True)
class TrainedSelection(saving.TrainedSummarizer):
    """Sentences that a linear model chooses.

    Attributes:
        selector: the model.
    """

    selector: text_model.Selector

    def summaries(self, texts: Sequence[str]) -> list[str]:
        """Return a summary of each text."""
        return self.selector.summaries(texts)

    def write(self, texts: Sequence[str], folder: Path) -> Sequence[str]:
        """Write the model; return the packages that it needs."""
        self.selector.write(folder)
        return ("scikit-learn", "scipy")


def fit(texts: Sequence[str], summaries: Sequence[str], settings: Selection, seed: int) -> TrainedSelection:
    """Fit the model; the same texts and settings give the same one.

    Args:
        texts: of the training.
        summaries: of each.
        settings: of the model.
        seed: of what is random, which is the embedding alone.

    Raises:
        StepError: no text has a word, or none has two sentences.
    """
    vectorizer = text_model.vectorizers({"words": (1, 1)}, max_features=settings.max_features)["words"]
    try:
        weights = vectorizer.fit_transform(texts)
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        raise StepError("no training text has a word: correct the texts") from error
    length = float(np.median([len(text_model.words(summary)) for summary in summaries]))
    count = settings.sentences or usual_sentences(summaries)
    selector = text_model.Selector(
        vectorizer, _usual(vectorizer.get_feature_names_out(), texts, summaries), length, count
    )
    chosen = _with_choice(texts)
    if not chosen:
        raise StepError(
            "each training text has one sentence, so there is nothing to select from: add longer texts; those in "
            "scripts without marks of the end of sentences, as Thai, need an empty line between sentences, or a network"
        )
    sentences = [text_model.sentences(texts[place]) for place in chosen]
    likeness = [_likeness(found, summaries[place]) for found, place in zip(sentences, chosen, strict=True)]
    # What counts is which of the sentences of one text is better than the others of it.
    wanted = np.concatenate([each - each.mean() for each in likeness])
    features = selector.features(sentences, vectorizer.transform([each for found in sentences for each in found]))
    selector.means, selector.scales = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    rows = selector.rows(sentences)
    selector.coefficients = Ridge(settings.alpha, solver="lsqr", fit_intercept=False).fit(rows, wanted).coef_
    some = weights[spread(len(texts), FITTED_ON)]
    components = min(COMPONENTS, *some.shape)
    selector.directions = TruncatedSVD(components, random_state=seed).fit(some).components_.T.astype(np.float32)
    print(
        f"extractive: {count} of the sentences of each text, learned from {rows.shape[0]:,} sentences of "
        f"{len(chosen):,} texts and {len(selector.rarities):,} words",
        flush=True,
    )
    return TrainedSelection(selector)


def _with_choice(texts: Sequence[str]) -> list[int]:
    """Return the places of texts with more than one sentence, about as many as the sentences that are needed."""
    counts = np.array([len(text_model.sentences(text)) for text in texts])
    with_choice = np.flatnonzero(counts > 1)
    if not len(with_choice):
        return []
    enough = max(1, int(_MOST_SENTENCES / counts[with_choice].mean()))
    return [int(with_choice[place]) for place in spread(len(with_choice), enough)]


def _likeness(sentences: Sequence[str], summary: str) -> np.ndarray:
    """Return how like a summary each sentence is, of shape (sentences,)."""
    return rouge.scores("rougeL", np.array([summary] * len(sentences)), np.array(sentences))


def _usual(known: Sequence[str], texts: Sequence[str], summaries: Sequence[str]) -> dict[str, float]:
    """Return for each known word by what factor, as a logarithm, it is more frequent in summaries than in texts."""
    within, outside = _counts(summaries), _counts(texts)
    return {word: float(np.log((within.get(word, 0) + _PRIOR) / (outside.get(word, 0) + 2 * _PRIOR))) for word in known}


def _counts(texts: Sequence[str]) -> dict[str, int]:
    """Return how many texts have each word."""
    counts: dict[str, int] = {}
    for text in texts:
        for word in set(text_model.words(text)):
            counts[word] = counts.get(word, 0) + 1
    return counts
