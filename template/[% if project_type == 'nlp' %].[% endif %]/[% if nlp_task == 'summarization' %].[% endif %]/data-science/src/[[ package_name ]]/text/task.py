"""The task of this project, summarization: its name, its metrics, and what a trained model has to beat."""

import numpy as np

from ..core import metrics
from ..core.modality import Examples
from ..core.schema import Schema
from ..core.step import StepError
from . import data, rouge
from .lead import lead, usual_sentences

TASK = "summarization"

metrics.METRICS[TASK] = rouge.METRICS

_LEAD = "lead"


def baseline(name: str, train: Examples, test: Examples, schema: Schema) -> np.ndarray:
    """Return the first sentences of each text, as many as a usual summary of the training has.

    Raises:
        StepError: the name is not `lead`.
    """
    if name != _LEAD:
        raise StepError(f"evaluation.baselines: {name!r} is unknown; choose {_LEAD}")
    count = usual_sentences(list(train.frame[schema.target]))
    return np.array([lead(text, count) for text in test.frame[data.TEXT]], dtype=object)
