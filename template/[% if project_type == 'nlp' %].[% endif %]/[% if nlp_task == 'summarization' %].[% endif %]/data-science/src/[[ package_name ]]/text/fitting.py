"""Which model learns to summarize: the one that `training.hyperparameters.model` names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import text_model
from ..core.consistency import check_training
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
    if isinstance(settings, hyperparameters.Generation):
        from . import generation  # PyTorch and transformers take seconds

        return generation.fit(examples, schema, settings, training, checkpoints)
    from . import selection  # here: only the model that is trained needs its libraries

    texts, summaries = (list(examples.frame[name]) for name in (text_model.TEXT, schema.target))
    return selection.fit(texts, summaries, settings, training["seed"])
