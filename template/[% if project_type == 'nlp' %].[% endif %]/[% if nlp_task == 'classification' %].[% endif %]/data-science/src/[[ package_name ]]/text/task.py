"""The task of this project, classification: its name, and the simple models that a trained one has to beat."""

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline

from .. import text_model
from ..core import baselines
from ..core.classifier import baseline_predictions
from ..core.modality import Examples
from ..core.predictions import Predictions
from ..core.schema import Schema
from ..core.step import StepError
from . import data

TASK = "classification"

_MOST_WORDS = 50_000


def baseline(
    name: str, train: Examples, test: Examples, schema: Schema, training: Mapping[str, Any]
) -> Predictions | NDArray[Any]:
    """Return what a simple model predicts from the words of the texts, whatever their order.

    Raises:
        StepError: it is neither `naive_bayes` (multinomial, on counts of words) nor `nearest_centroid` (of TF-IDF).
    """
    options = {"analyzer": text_model.words, "max_features": _MOST_WORDS}
    models = {
        "naive_bayes": (CountVectorizer(**options), MultinomialNB()),
        "nearest_centroid": (TfidfVectorizer(**options, sublinear_tf=True), NearestCentroid()),
    }
    if name not in models:
        known = ", ".join((baselines.CONSTANTS[schema.task], *models))
        raise StepError(f"evaluation.baselines: {name!r} is unknown; choose from {known}")
    model = make_pipeline(*models[name])
    model.fit(train.frame[data.TEXT], train.frame[schema.target].to_numpy())
    return baseline_predictions(model, test.frame[data.TEXT])
