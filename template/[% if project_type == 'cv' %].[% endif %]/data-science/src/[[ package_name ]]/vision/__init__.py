"""Images: the type of data of this project, with a picture per example and its class as the target."""

import io
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestCentroid

from .. import data_file, image_model
from ..core import baselines, tables
from ..core.classifier import baseline_predictions, check_input
from ..core.metrics import Metric
from ..core.modality import Description, Examples, Modality, Panel, Predict, Trained
from ..core.panels import Figure
from ..core.predictions import Predictions
from ..core.schema import Column, Schema
from ..core.step import StepError
from . import data, explain, hyperparameters

DESCRIBED = {name: Column(name, "number", description=text) for name, text in data_file.DESCRIPTIONS.items()}


# Of a file, and of the side of a smaller copy in pixels.
_SENDABLE_BYTES, _SENDABLE_SIDE = 150_000, 512


class Vision:
    """Pictures in class-named folders, or with a table that names them. See `core.modality.Modality`."""

    tasks = ("classification",)
    input_column = data.IMAGE
    threads = None
    rows_at_once = 64
    suffixes = data.SUFFIXES

    def read(self, folder: Path, schema: Schema) -> Examples:
        """Find the pictures and their labels; no picture is opened."""
        check_input(schema, data.IMAGE, data.ADDED)
        return Examples(data.read_folder(Path(folder), schema), Path(folder))

    def convert(self, examples: Examples, schema: Schema) -> Examples:
        """Return target and metadata typed."""
        return replace(examples, frame=tables.convert(examples.frame, schema, data.ADDED))

    def check(self, examples: Examples, schema: Schema) -> Examples:
        """Check labels and metadata, and decode each picture once."""
        return replace(examples, frame=data.check(examples, schema))

    def write(self, examples: Examples, folder: Path, name: str) -> None:
        """Write an archive of the pictures and a parquet file of all else; the folder has the name."""
        data.write(examples, folder)

    def fingerprints(self, examples: Examples) -> NDArray[Any]:
        """Return a few numbers for each picture, which change little when it is compressed or scaled again."""
        return data.fingerprints(data.thumbnails(examples))

    def alike(self, known: NDArray[Any], new: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which new pictures are known ones that were compressed or scaled again."""
        return data.alike(known, new)

    def inputs(self, examples: Examples, columns: Sequence[str]) -> pd.DataFrame:
        """Return the column `image` with the bytes of the files."""
        frame = examples.frame[list(columns)]
        files = list(data.contents(examples))
        return frame.assign(**{data.IMAGE: pd.Series(files, index=frame.index, dtype=object)})

    def request(self, examples: Examples, columns: Sequence[str]) -> pd.DataFrame:
        """Return the column `image` with the files as base64 text; of large files with small copies."""
        inputs = self.inputs(examples, columns)
        texts = [data_file.encode(_sendable(content)) for content in inputs[data.IMAGE]]
        return inputs.assign(**{data.IMAGE: pd.Series(texts, index=inputs.index, dtype=object)})

    def describe(self, examples: Examples, schema: Schema) -> Description:
        """Return target, metadata and what is measured of each picture; drift compares the measures."""
        check_input(schema, data.IMAGE, data.ADDED)
        return Description(data.describe(examples, schema), DESCRIBED)

    def check_hyperparameters(self, given: Mapping[str, Any], schema: Schema) -> list[str]:
        """Return what is wrong with the settings of a network, and of its training."""
        return hyperparameters.check(given)

    def fit(
        self, train: Examples, schema: Schema, training: Mapping[str, Any], checkpoints: Path | None = None
    ) -> Trained:
        """Train a network."""
        # Read when PyTorch is loaded. Threads that wait without sleeping make the training ten times slower where
        # another program needs one of their cores.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        # Some microseconds of it save the sleep between two layers, a tenth of the time of small images; the library of
        # GNU, which PyTorch has on Linux, takes a number.
        os.environ.setdefault("GOMP_SPINCOUNT", "2000")
        from . import training as network  # PyTorch, which only this step needs, takes seconds

        return network.fit(train, schema, training, checkpoints)

    def baseline(
        self, name: str, train: Examples, test: Examples, schema: Schema, training: Mapping[str, Any]
    ) -> Predictions | NDArray[Any]:
        """Return what a simple model predicts from the pixels of thumbnails.

        Raises:
            StepError: it is neither `nearest_centroid` nor `linear` (a logistic regression).
        """
        models = {"nearest_centroid": NearestCentroid(), "linear": LogisticRegression(tol=1e-3)}
        if name not in models:
            known = ", ".join((baselines.CONSTANTS[schema.task], *models))
            raise StepError(f"evaluation.baselines: {name!r} is unknown; choose from {known}")
        known_pixels, pixels = (_pixels(each) for each in (train, test))
        with warnings.catch_warnings():
            # A baseline that is nearly fitted is still one.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = models[name].fit(known_pixels, train.frame[schema.target].to_numpy())
        return baseline_predictions(fitted, pixels)

    def explain(self, predict: Predict, test: Examples, schema: Schema, metric: Metric, seed: int) -> list[Panel]:
        """Return pictures of errors, and of what the model looks at."""
        return explain.explain(predict, test, schema, metric, seed)

    def labels(self, examples: Examples) -> Sequence[str]:
        """Return the name of each file in the raw data."""
        return data.names(examples.frame)

    def exhibits(self, examples: Examples, captions: Sequence[str]) -> Sequence[Figure]:
        """Return each picture with its caption; Responsible AI shows some, where the project has it."""
        from . import explain

        return explain.figures(examples, captions)


def _sendable(content: bytes) -> bytes:
    """Return a file, or a copy that is small enough to send some of them: Azure takes requests of at most 1.5 MB."""
    if len(content) <= _SENDABLE_BYTES:
        return content
    copy = image_model.decode(content)
    copy.thumbnail((_SENDABLE_SIDE, _SENDABLE_SIDE))
    file = io.BytesIO()
    copy.save(file, "JPEG", quality=85)
    return file.getvalue()


def _pixels(examples: Examples) -> NDArray[np.float32]:
    small = data.thumbnails(examples)
    return small.reshape(len(small), -1).astype(np.float32) / np.float32(255)


MODALITY: Modality = Vision()
