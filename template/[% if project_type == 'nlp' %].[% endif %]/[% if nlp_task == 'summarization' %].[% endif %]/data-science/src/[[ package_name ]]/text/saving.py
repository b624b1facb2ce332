"""A trained model as an MLflow model, which makes the same summaries."""

import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
from mlflow.types import ColSpec, DataType

from .. import text_model
from ..core.champion import NOTES, write_metadata
from ..core.classifier import save_model
from ..core.modality import Examples
from ..core.places import spread
from ..core.predictions import Predictions
from ..core.step import StepError
from .vocabulary import known_words

# What a model needs where it is loaded.
_REQUIREMENTS = ("mlflow-skinny", "numpy", "pandas")
# The texts of the training of which the saved model must make the same summaries.
_COMPARED = 16


@dataclass(frozen=True)
class TrainedSummarizer(ABC):
    """A model that makes summaries, and was trained."""

    def predict(self, examples: Examples) -> Predictions:
        """Return a summary of each of the examples."""
        texts = list(examples.frame[text_model.TEXT])
        return Predictions(np.array([*self.summaries(texts), None], dtype=object)[:-1])

    @abstractmethod
    def summaries(self, texts: Sequence[str]) -> list[str]:
        """Return a summary of each text."""

    def notes(self) -> list[str]:
        """Return what the report should say of the training, as `core.champion.NOTES`."""
        return []

    @abstractmethod
    def write(self, texts: Sequence[str], folder: Path) -> Sequence[str]:
        """Write the model into `folder`, as `text_model` reads it, with the help of training texts.

        Returns:
            The packages that it needs where it is loaded.
        """

    def save(self, examples: Examples, folder: Path) -> None:
        """Write an MLflow model into `folder`, which is empty; the examples are those of the training.

        Raises:
            StepError: the saved model makes other summaries than the trained one.
        """
        texts = list(examples.frame[text_model.TEXT])
        with tempfile.TemporaryDirectory() as temporary:
            files = Path(temporary) / "model"
            files.mkdir()
            needed = sorted({*_REQUIREMENTS, *self.write(texts, files)})
            (files / "words.json").write_text(json.dumps(known_words(texts), ensure_ascii=False), encoding="utf-8")
            self._compare(files, [texts[place] for place in spread(len(texts), _COMPARED)])
            text, prediction = (ColSpec(DataType.string, name) for name in (text_model.TEXT, "prediction"))
            save_model(text_model.__file__, {"model": files}, needed, [text], [prediction], folder)
            write_metadata(folder, {NOTES: self.notes()})

    def _compare(self, files: Path, texts: Sequence[str]) -> None:
        model = text_model.TextSummarizer()
        model.load_context(SimpleNamespace(artifacts={"model": str(files)}))
        given = model.predict(None, pd.DataFrame({text_model.TEXT: texts}))["prediction"].tolist()
        different = sum(one != other for one, other in zip(given, self.summaries(texts), strict=True))
        if different:
            raise StepError(
                f"the saved model makes other summaries than the trained one of {different} in {len(texts)} texts, so "
                "it is not kept: choose another model, or the releases of its packages in "
                "data-science/environment/train.yml"
            )
