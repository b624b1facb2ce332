"""A trained model as an MLflow model, for which neither PyTorch nor transformers is needed."""

import json
import os
import platform
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import mlflow.pyfunc
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec
from mlflow.types import Schema as Columns
from numpy.typing import NDArray

from .. import text_model
from ..core.places import spread
from ..core.step import StepError

# MLflow shows the copying of small files as progress, unless told otherwise.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

# What a model needs where it is loaded; mlflow would otherwise guess this list in a slow child process.
_REQUIREMENTS = ("mlflow-skinny", "numpy", "pandas")
# Of the words of the training: those that are left out are rare, and count as unknown.
_MOST_WORDS = 100_000
# The texts of the training that the saved model must give the same probabilities.
_COMPARED = 64
_TOLERANCE = 1e-4


class Written(NamedTuple):
    """What was written of a model.

    Attributes:
        about: what `text_model` needs to know besides its files.
        requirements: the packages that compute it.
        probabilities: what the trained model gives texts, of shape (texts, classes).
    """

    about: Mapping[str, Any]
    requirements: Sequence[str]
    probabilities: Callable[[Sequence[str]], NDArray[np.float64]]


def save(
    write: Callable[[Path], Written], texts: Sequence[str], classes: Sequence[str], integers: bool, folder: Path
) -> None:
    """Write an MLflow model into `folder`, which is empty.

    Args:
        write: writes the files of the model into a folder, as `text_model` reads them.
        texts: of the training, for the words that are known and to compare with.
        classes: in the order of the probabilities.
        integers: whether they are integers.
        folder: where to write.

    Raises:
        StepError: the saved model gives other probabilities than the trained one.
    """
    with tempfile.TemporaryDirectory() as temporary:
        files = Path(temporary) / "model"
        files.mkdir()
        written = write(files)
        about = {"version": 1, **written.about, "classes": list(classes), "integers": integers}
        (files / "model.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (files / "words.json").write_text(json.dumps(_known_words(texts), ensure_ascii=False), encoding="utf-8")
        check_equality(files, written.probabilities, texts)
        pinned = [f"{name}=={version(name)}" for name in sorted((*_REQUIREMENTS, *written.requirements))]
        dependencies = [f"python={platform.python_version()}", "pip", {"pip": pinned}]
        with warnings.catch_warnings():
            # An example would be a text of the training, which stays where it is.
            warnings.filterwarnings("ignore", message=".*input example was not provided", category=UserWarning)
            mlflow.pyfunc.save_model(
                str(folder),
                python_model=text_model.__file__,
                artifacts={"model": str(files)},
                signature=_signature(classes, integers),
                conda_env={"name": "model", "channels": ["conda-forge"], "dependencies": dependencies},
            )


def _signature(classes: Sequence[str], integers: bool) -> ModelSignature:
    prediction = ColSpec(DataType.long if integers else DataType.string, "prediction")
    return ModelSignature(
        inputs=Columns([ColSpec(DataType.string, text_model.TEXT)]),
        outputs=Columns([prediction, *(ColSpec(DataType.double, name) for name in classes)]),
        params=ParamSchema([ParamSpec("embedding", DataType.boolean, False)]),
    )


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


def _known_words(texts: Sequence[str]) -> list[str]:
    """Return the words of the training, the most frequent ones if there are very many."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text_model.words(text))
        if len(counts) > 10 * _MOST_WORDS:
            counts = Counter(dict(counts.most_common(5 * _MOST_WORDS)))
    return [word for word, _ in counts.most_common(_MOST_WORDS)]
