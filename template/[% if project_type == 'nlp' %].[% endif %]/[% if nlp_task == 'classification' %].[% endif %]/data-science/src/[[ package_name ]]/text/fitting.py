"""Which model learns from texts: the one that `training.hyperparameters.model` names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import text_model
from ..core.consistency import check_training
from ..core.labels import class_numbers
from ..core.modality import Examples, Trained
from ..core.schema import Schema
from . import hyperparameters


def fit(examples: Examples, schema: Schema, training: Mapping[str, Any], checkpoints: Path | None = None) -> Trained:
    """Train a model of texts; see `core.modality.Modality.fit`.

    Raises:
        StepError: a setting is wrong, or the training fails for a reason that a user can remedy.
    """
    check_training(training, schema)
    settings = hyperparameters.load(training["hyperparameters"])
    classes, labels = class_numbers(examples.frame[schema.target], schema, training)
    if isinstance(settings, hyperparameters.Transformer):
        from . import transformer  # PyTorch and transformers take seconds

        return transformer.fit(examples, labels, classes, schema, settings, training, checkpoints)
    threshold, seed = training.get("threshold") or 0.5, training["seed"]
    from . import linear  # here: only the model that is trained needs its libraries

    texts = list(examples.frame[text_model.TEXT])
    return linear.fit(texts, labels, classes, schema, settings, threshold, seed)
