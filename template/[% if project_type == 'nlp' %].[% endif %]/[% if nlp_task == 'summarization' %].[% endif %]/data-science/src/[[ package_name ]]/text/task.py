"""The task of this project, summarization: its name, its metrics, and what a trained model has to beat."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core import metrics
from ..core.modality import Examples
from ..core.predictions import Predictions
from ..core.schema import Schema
from ..core.step import StepError
from . import data, hyperparameters, rouge
from .lead import lead, usual_sentences

TASK = "summarization"

metrics.METRICS[TASK] = rouge.METRICS

_LEAD, _PRETRAINED = "lead", "pretrained"


def baseline(
    name: str, train: Examples, test: Examples, schema: Schema, training: Mapping[str, Any]
) -> Predictions | NDArray[Any]:
    """Return the first sentences of each text, or what a model of the hub writes that has not learned from these data.

    Raises:
        StepError: the name is neither `lead` nor `pretrained`, or the model of the settings is none of the hub.
    """
    if name == _LEAD:
        count = usual_sentences(list(train.frame[schema.target]))
        return np.array([lead(text, count) for text in test.frame[data.TEXT]], dtype=object)
    if name != _PRETRAINED:
        raise StepError(f"evaluation.baselines: {name!r} is unknown; choose from {_LEAD}, {_PRETRAINED}")
    settings = hyperparameters.load(training.get("hyperparameters") or {})
    if not isinstance(settings, hyperparameters.Generation) or settings.hub_name is None:
        raise StepError(
            f"evaluation.baselines: {name!r} is of a model of the hub, and the model is {settings.model}; leave it out"
        )
    texts = list(test.frame[data.TEXT])
    if not texts:
        return np.array([], dtype=object)
    from . import generation  # PyTorch and transformers take seconds

    return generation.untrained(texts, settings)
