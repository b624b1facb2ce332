"""TF-IDF and logistic regression: weights of the words of a text, or of groups of its characters, and a linear model."""

import copy
import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.decomposition import TruncatedSVD
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline

from .. import text_model
from ..core.hyperparameters import PLACE
from ..core.modality import Examples
from ..core.predictions import Predictions
from ..core.schema import Schema
from ..core.step import StepError
from ..model_output import from_probabilities
from . import saving
from .hyperparameters import Linear

# How many words, or characters, make a term, if the settings do not say it.
_WORDS, _CHARACTERS = (1, 1), (1, 3)
# So many texts tell which script the training texts have.
_LOOKED_AT = 500
_MOST_ITERATIONS = 500
# So many training texts give the directions of the embedding.
_FITTED_ON = 2000
_COMPONENTS = 8


@dataclass(frozen=True)
class TrainedLinear:
    """A pipeline that was fitted.

    Attributes:
        pipeline: its classes are the places of the names in `classes`.
        classes: the names of its classes.
        schema: of the data.
        threshold: the probability from which the last of two classes is predicted.
        seed: of the embedding.
    """

    pipeline: Pipeline
    classes: tuple[str, ...]
    schema: Schema
    threshold: float
    seed: int

    def predict(self, examples: Examples) -> Predictions:
        """Return the predictions for the examples."""
        found = self._probabilities(list(examples.frame[text_model.TEXT]))
        return Predictions.of(from_probabilities(found, self.classes, self.schema.classes, self.threshold))

    def save(self, examples: Examples, folder: Path) -> None:
        """Write an MLflow model into `folder`, which is empty."""
        texts = list(examples.frame[text_model.TEXT])
        integers = self.schema.columns[self.schema.target].type == "integer"
        saving.save(lambda files: self.write(texts, files), texts, self.classes, integers, folder)

    def write(self, texts: Sequence[str], folder: Path) -> saving.Written:
        """Write the pipeline, and the embedding that fits texts of the training, as `text_model.Linear` reads them."""
        terms = [[str(term) for term in each.get_feature_names_out()] for each in text_model.vectorizers(self.pipeline)]
        (folder / "terms.json").write_text(json.dumps(terms, ensure_ascii=False), encoding="utf-8")
        bare = copy.copy(self.pipeline)
        bare.steps = [("terms", copy.deepcopy(self.pipeline[0])), *self.pipeline.steps[1:]]
        for each in text_model.vectorizers(bare):
            each.vocabulary_ = {}  # skops writes some hundred bytes for each term
        skops.io.dump({"pipeline": bare, "directions": self._directions(texts)}, folder / "model.skops")
        return saving.Written({"model": "tfidf"}, ("scikit-learn", "skops"), self._probabilities)

    def _probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return np.asarray(self.pipeline.predict_proba(texts), dtype=float)

    def _directions(self, texts: Sequence[str]) -> TruncatedSVD:
        """Return the directions in which the weights of the terms of training texts differ most."""
        weights = self.pipeline[:-1].transform([texts[place] for place in saving.spread(len(texts), _FITTED_ON)])
        components = min(_COMPONENTS, weights.shape[1], weights.shape[0])
        return TruncatedSVD(components, random_state=self.seed).fit(weights)


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
    pipeline = build(settings, analyzer)
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
    return TrainedLinear(pipeline, tuple(classes[place] for place in present), schema, threshold, seed)


def build(settings: Linear, analyzer: str) -> Pipeline:
    """Return a pipeline that is not fitted; `analyzer` is words, characters or both."""
    options = {"sublinear_tf": True, "max_features": settings.max_features, "dtype": np.float32}
    counters = []
    if analyzer != "characters":
        ngrams = settings.ngrams if analyzer == "words" else None
        words = TfidfVectorizer(token_pattern=text_model.WORD, ngram_range=ngrams or _WORDS, **options)
        counters.append(("words", words))
    if analyzer != "words":
        characters = TfidfVectorizer(analyzer="char_wb", ngram_range=settings.ngrams or _CHARACTERS, **options)
        counters.append(("characters", characters))
    weights = None if settings.class_weights == "none" else settings.class_weights
    return Pipeline(
        [
            ("terms", FeatureUnion(counters) if len(counters) > 1 else counters[0][1]),
            ("classifier", LogisticRegression(C=settings.C, class_weight=weights, max_iter=_MOST_ITERATIONS)),
        ]
    )


def _suitable_analyzer(texts: Sequence[str]) -> str:
    """Return characters if most of the texts are in a script without spaces, else words."""
    looked_at = [texts[place] for place in saving.spread(len(texts), _LOOKED_AT)]
    return "characters" if np.median([text_model.share_without_spaces(text) for text in looked_at]) > 0.5 else "words"
