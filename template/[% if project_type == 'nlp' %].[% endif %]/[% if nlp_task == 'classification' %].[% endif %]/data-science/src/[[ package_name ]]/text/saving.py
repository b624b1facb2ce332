"""A trained model as an MLflow model, for which neither PyTorch nor transformers is needed."""

import json
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow.types import ColSpec, DataType
from numpy.typing import NDArray

from .. import text_model
from ..core.champion import NOTES, write_metadata
from ..core.classifier import has_integer_classes, save_classifier
from ..core.modality import Examples
from ..core.places import spread
from ..core.predictions import Predictions
from ..core.schema import Schema
from ..core.step import StepError
from ..model_output import from_probabilities
from .vocabulary import known_words

# What a model needs where it is loaded.
_REQUIREMENTS = ("mlflow-skinny", "numpy", "pandas")
# The texts of the training that the saved model must give the same probabilities.
_COMPARED = 64
_TOLERANCE = 1e-4


class Written(NamedTuple):
    """What was written of a model.

    Attributes:
        about: what `text_model` needs to know besides its files.
        requirements: the packages that compute it.
    """

    about: Mapping[str, Any]
    requirements: Sequence[str]


@dataclass(frozen=True)
class TrainedText(ABC):
    """A model of texts that was trained; what differs between its kinds is `write` and `probabilities`.

    Attributes:
        classes: their names, in the order of the probabilities.
        schema: of the data.
        threshold: the probability from which the last of two classes is predicted.
    """

    classes: tuple[str, ...]
    schema: Schema
    threshold: float

    def predict(self, examples: Examples) -> Predictions:
        """Return the predictions for the examples."""
        found = self.probabilities(list(examples.frame[text_model.TEXT]))
        return Predictions.of(from_probabilities(found, self.classes, self.schema.classes, self.threshold))

    @abstractmethod
    def probabilities(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the probabilities of the classes, of shape (texts, classes)."""

    def notes(self) -> list[str]:
        """Return what the report should say of the training, as `core.champion.NOTES`."""
        return []

    @abstractmethod
    def write(self, texts: Sequence[str], folder: Path) -> Written:
        """Write the files of the model into `folder`, as `text_model` reads them, with the help of training texts."""

    def save(self, examples: Examples, folder: Path) -> None:
        """Write an MLflow model into `folder`, which is empty; the examples are those of the training.

        Raises:
            StepError: the saved model gives other probabilities than the trained one.
        """
        texts = list(examples.frame[text_model.TEXT])
        with tempfile.TemporaryDirectory() as temporary:
            files = Path(temporary) / "model"
            files.mkdir()
            written = self.write(texts, files)
            about = {"version": 1, **written.about, "classes": list(self.classes)}
            about["integers"] = has_integer_classes(self.schema)
            (files / "model.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            (files / "words.json").write_text(json.dumps(known_words(texts), ensure_ascii=False), encoding="utf-8")
            check_equality(files, self.probabilities, texts)
            needed = sorted((*_REQUIREMENTS, *written.requirements))
            text = ColSpec(DataType.string, text_model.TEXT)
            save_classifier(text_model.__file__, {"model": files}, needed, text, self.schema, self.classes, folder)
            write_metadata(folder, {NOTES: self.notes()})


def check_equality(
    files: Path, probabilities: Callable[[Sequence[str]], NDArray[np.float64]], texts: Sequence[str]
) -> None:
    """Load what was written, and compare its probabilities of training texts with those of the trained model.

    Raises:
        StepError: a probability differs by more than 0.0001.
    """
    chosen = [texts[place] for place in spread(len(texts), _COMPARED)]
    model = text_model.TextClassifier()
    model.load_context(SimpleNamespace(artifacts={"model": str(files)}))
    given = model.predict(None, pd.DataFrame({text_model.TEXT: chosen})).iloc[:, 1:].to_numpy()
    difference = float(np.abs(given - probabilities(chosen)).max(initial=0.0))
    if not difference <= _TOLERANCE:
        raise StepError(
            f"the saved model gives probabilities that differ by {difference:.1e} from the trained one's, so it is not "
            "kept: choose another model, or the releases of its packages in data-science/environment/train.yml"
        )
