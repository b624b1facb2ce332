"""TF-IDF with logistic regression: a linear model of the words of a text, or of groups of its characters."""

import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline

from .. import text_model
from ..core.hyperparameters import PLACE
from ..core.places import spread
from ..core.schema import Schema
from ..core.step import StepError
from . import saving
from .hyperparameters import TFIDF, Linear

# How many words, or characters, make a term, if the settings do not say it.
_WORDS, _CHARACTERS = (1, 1), (1, 3)
# Of all texts together; up to that, words and characters take less than a minute and a gigabyte.
_MOST_CHARACTERS = 20_000_000
# So many texts tell which script the training texts have.
_LOOKED_AT = 500
_MOST_ITERATIONS = 500
# So many training texts give the directions of the embedding.
_FITTED_ON = 2000
_COMPONENTS = 8


@dataclass(frozen=True)
class TrainedLinear(saving.TrainedText):
    """A pipeline that was fitted.

    Attributes:
        pipeline: of scikit-learn.
        vectorizers: the first part of it, by the kind of terms.
        seed: of the embedding.
    """

    pipeline: Pipeline
    vectorizers: Mapping[str, TfidfVectorizer]
    seed: int

    def write(self, texts: Sequence[str], folder: Path) -> saving.Written:
        """Write the pipeline, and the embedding that suits texts of the training, as `text_model.Linear` reads them."""
        classifier = self.pipeline[-1]
        terms = {kind: list(each.get_feature_names_out()) for kind, each in self.vectorizers.items()}
        (folder / "terms.json").write_text(json.dumps(terms, ensure_ascii=False), encoding="utf-8")
        idf = {f"idf {kind}": each.idf_ for kind, each in self.vectorizers.items()}
        np.savez(
            folder / "weights.npz",
            coefficients=classifier.coef_,
            intercept=classifier.intercept_,
            directions=self._directions(texts),
            **idf,
        )
        about = {"model": TFIDF, "terms": {kind: each.ngram_range for kind, each in self.vectorizers.items()}}
        return saving.Written(about, ("scikit-learn",))

    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the probabilities of the classes, of shape (texts, classes)."""
        return np.asarray(self.pipeline.predict_proba(texts), dtype=float)

    def _directions(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the directions in which the weights of training texts differ most, of shape (terms, components)."""
        weights = self.pipeline[:-1].transform([texts[place] for place in spread(len(texts), _FITTED_ON)])
        components = min(_COMPONENTS, *weights.shape)
        return np.asarray(TruncatedSVD(components, random_state=self.seed).fit(weights).components_.T)


def fit(
    texts: Sequence[str],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    schema: Schema,
    settings: Linear,
    threshold: float,
    seed: int,
) -> TrainedLinear:
    """Fit TF-IDF with logistic regression; the same texts and settings give the same model.

    Args:
        texts: of the training.
        labels: the place of the class of each, of shape (texts,).
        classes: their names.
        schema: of the data.
        settings: of the model.
        threshold: the probability from which the last of two classes is predicted.
        seed: of what is random, which is the embedding alone.

    Raises:
        StepError: there is one class only, or no text has a word.
    """
    present = np.unique(labels)
    if len(present) < 2:
        raise StepError(f"{schema.target}: all training texts have one class: add texts of others")
    analyzer = settings.analyzer or _suitable_analyzer(texts)
    vectorizers = text_model.vectorizers(_kinds(settings, analyzer), max_features=settings.max_features)
    weights = None if settings.class_weights == "none" else settings.class_weights
    classifier = LogisticRegression(C=settings.C, class_weight=weights, max_iter=_MOST_ITERATIONS)
    pipeline = text_model.pipeline(vectorizers, classifier)
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ConvergenceWarning)
            pipeline.fit(texts, labels)
    except ValueError as error:
        if "empty vocabulary" not in str(error):
            raise
        raise StepError("no training text has a word: correct the texts, or set analyzer: characters") from error
    terms = pipeline[-1].n_features_in_
    print(f"tfidf of {analyzer}: {terms:,} terms, {len(present)} classes, {len(texts):,} texts", flush=True)
    if any(issubclass(each.category, ConvergenceWarning) for each in caught):
        print(f"it stopped after {_MOST_ITERATIONS} iterations: a smaller {PLACE}.C lets it converge", flush=True)
    names = tuple(classes[place] for place in present)
    return TrainedLinear(names, schema, threshold, pipeline, vectorizers, seed)


def _kinds(settings: Linear, analyzer: str) -> dict[str, Sequence[int]]:
    """Return the kinds of terms, as `text_model.vectorizers` takes them; of both, `ngrams` is about the characters."""
    if analyzer == "words":
        return {"words": settings.ngrams or _WORDS}
    characters = {"characters": settings.ngrams or _CHARACTERS}
    return characters if analyzer == "characters" else {"words": _WORDS, **characters}


def _suitable_analyzer(texts: Sequence[str]) -> str:
    """Return characters if most of the texts are in a script without spaces, else both, or words of very many texts."""
    looked_at = [texts[place] for place in spread(len(texts), _LOOKED_AT)]
    if np.median([text_model.share_without_spaces(text) for text in looked_at]) > 0.5:
        return "characters"
    if (total := sum(map(len, texts))) <= _MOST_CHARACTERS:
        return "both"
    hint = f"{PLACE}.analyzer: both would take ten times as long and four times the memory"
    print(f"the texts have {total:,} characters together, so words alone are taken; {hint}", flush=True)
    return "words"
