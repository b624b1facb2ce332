"""Texts: the type of data of this project, with a text per example; `task` has what is made of them."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import data_file
from ..core import tables
from ..core.classifier import check_input
from ..core.metrics import Metric
from ..core.modality import Description, Examples, Modality, Panel, Predict, Trained
from ..core.panels import Passage
from ..core.predictions import Predictions
from ..core.schema import Column, Schema
from . import data, explain, hyperparameters, passages, task

# Read when the libraries of Hugging Face are loaded: no telemetry, and no threads that a fork would break.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")

DESCRIBED = {
    name: Column(name, "category" if name == data_file.SCRIPT else "number", description=text)
    for name, text in data_file.DESCRIPTIONS.items()
}

# Of one text of a request that was made from the data: Azure takes requests of at most 1.5 MB.
_SENDABLE = 20_000


class Text:
    """Texts in tables, or in files in class-named folders. See `core.modality.Modality`."""

    tasks = (task.TASK,)
    input_column = data.TEXT
    threads = None
    rows_at_once = 1000
    suffixes = data_file.SUFFIXES

    def read(self, folder: Path, schema: Schema) -> Examples:
        """Read the texts and their targets."""
        check_input(schema, data.TEXT, data.ADDED)
        return Examples(data.read_folder(Path(folder), schema), Path(folder))

    def convert(self, examples: Examples, schema: Schema) -> Examples:
        """Return target and metadata typed."""
        return replace(examples, frame=tables.convert(examples.frame, schema, data.ADDED))

    def check(self, examples: Examples, schema: Schema) -> Examples:
        """Check texts, targets and metadata, and measure each text once."""
        return replace(examples, frame=data.check(examples.frame, schema))

    def write(self, examples: Examples, folder: Path, name: str) -> None:
        """Write a parquet file; the folder has the name."""
        data.write(examples, folder)

    def fingerprints(self, examples: Examples) -> NDArray[np.uint32]:
        """Return what tells each text from others, and shows nothing of it."""
        return data.fingerprints(examples.frame)

    def alike(self, known: NDArray[np.uint32], new: NDArray[np.uint32]) -> NDArray[np.bool_]:
        """Return which new texts are known ones in which next to nothing was changed."""
        return data.alike(known, new)

    def inputs(self, examples: Examples, columns: Sequence[str]) -> pd.DataFrame:
        """Return the column `text`; what is no text, as it may arrive in production, is an empty one."""
        frame = examples.frame[list(columns)]
        texts = [text if isinstance(text, str) else "" for text in frame[data.TEXT]]
        valid = [text.encode("utf-8", "ignore").decode() for text in texts]
        return frame.assign(**{data.TEXT: pd.Series(valid, index=frame.index, dtype=object)})

    def request(self, examples: Examples, columns: Sequence[str]) -> pd.DataFrame:
        """Return the column `text`; of long texts with the beginning, so that some can be sent at once."""
        inputs = self.inputs(examples, columns)
        return inputs.assign(**{data.TEXT: inputs[data.TEXT].str.slice(stop=_SENDABLE)})

    def describe(self, examples: Examples, schema: Schema) -> Description:
        """Return target, metadata and what is measured of each text; drift compares the measures."""
        check_input(schema, data.TEXT, data.ADDED)
        return Description(data.describe(examples.frame, schema), DESCRIBED)

    def check_hyperparameters(self, given: Mapping[str, Any], schema: Schema) -> list[str]:
        """Return what is wrong with hyperparameters."""
        return hyperparameters.check(given)

    def fit(
        self, train: Examples, schema: Schema, training: Mapping[str, Any], checkpoints: Path | None = None
    ) -> Trained:
        """Train the model that the settings name."""
        from . import fitting  # what a network needs takes seconds, and only this step needs it

        return fitting.fit(train, schema, training, checkpoints)

    def baseline(
        self, name: str, train: Examples, test: Examples, schema: Schema, training: Mapping[str, Any]
    ) -> Predictions | NDArray[Any]:
        """Return what a simple model makes of the texts.

        Raises:
            StepError: there is no such model.
        """
        return task.baseline(name, train, test, schema, training)

    def explain(self, predict: Predict, test: Examples, schema: Schema, metric: Metric, seed: int) -> list[Panel]:
        """Return examples of texts, and how the model comes to what it makes of them."""
        return explain.explain(predict, test, schema, metric, seed)

    def labels(self, examples: Examples) -> Sequence[str]:
        """Return the file of each text, and its row there."""
        return passages.names(examples)

    def exhibits(self, examples: Examples, captions: Sequence[str]) -> Sequence[Passage]:
        """Return the beginning of each text; Responsible AI shows some, where the project has it."""
        return passages.passages(examples, captions)


MODALITY: Modality = Text()
