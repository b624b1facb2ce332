"""The contract of a type of data: everything that differs between tables, images and texts stands behind it.

The examples of every type are a frame with one row each. In a table the features are its columns; other types have a
column that holds, or names the file of, an image or a text. Target, split, metrics, cohorts, promotion and report need
nothing but that frame; the steps ask the modality for the rest. A project has one, which `modality.py` names.

Beside `modality.py` is `data_file.py`, which `score.py` uses. Azure loads both without their package, so it imports
nothing from there but such files beside it, and only what the environment `inference` has. Its functions raise a
ValueError, in one line, for what cannot be scored:

- `read(path, columns, files)`: the examples in one data file as a frame, one row each, with the inputs of the model as
  an endpoint accepts them. `columns` has the names of the columns that are needed, and `files` says how files are
  written, as `table_file` describes. The index tells the examples apart.
  `Modality.read` should use what it uses, so that training and scoring agree. None if a file has no examples of its
  own, such as the labels of others: a batch passes over it.
- `load(inputs, request)`: what the model takes, from such inputs after their conversion by `conversion.py`; for a table
  the same. A value may name or encode what the model takes, such as an image. `request` says whether they came in one
  request of an endpoint, which may have limits; if not, they came from a file.
- `describe(inputs)`: what Azure collects of the inputs that a model takes, for its monitor: numbers and names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .metrics import Metric
from .panels import Panel
from .predictions import Predictions
from .schema import Column, Schema
from .step import NoRowsError, StepError


@dataclass(frozen=True)
class Examples:
    """Examples of the data.

    Attributes:
        frame: one row per example, with the target and everything else that the schema lists.
        root: the folder that paths in the frame start from.
    """

    frame: pd.DataFrame
    root: Path

    def take(self, rows: NDArray[np.bool_]) -> "Examples":
        """Return some of the examples, by a mask of shape (examples,)."""
        return replace(self, frame=self.frame[rows].reset_index(drop=True))


Predict = Callable[[Examples], Predictions]
"""What a model does."""


class Trained(Protocol):
    """A model that was trained and is not saved yet."""

    def predict(self, examples: Examples) -> Predictions:
        """Return the predictions for the examples."""
        ...

    def save(self, examples: Examples, folder: Path) -> None:
        """Write an MLflow model with a signature, taken from `examples`, into `folder`, which is empty.

        How a model gives probabilities, and an embedding, is in `model_output`.
        """
        ...


class Description(NamedTuple):
    """Examples as a table, for all that compares groups of them.

    Attributes:
        frame: one row per example, with every column that slices and cohorts may name.
        columns: those that drift compares; the frame of production data may lack some.
    """

    frame: pd.DataFrame
    columns: Mapping[str, Column]


class Modality(Protocol):
    """A type of data."""

    @property
    def tasks(self) -> Sequence[str]:
        """The tasks that its models learn: regression, classification, or a name for one that makes texts.

        The metrics of the last it adds to `core.metrics.METRICS`.
        """
        ...

    @property
    def input_column(self) -> str | None:
        """The column that holds, or names the file of, what a model takes; None where every column may be a feature."""
        ...

    @property
    def threads(self) -> int | None:
        """How many threads the numerical libraries of a step may use; None is no limit."""
        ...

    @property
    def rows_at_once(self) -> int | None:
        """How many examples a model is given at a time, where their inputs are large; None is all of them."""
        ...

    @property
    def suffixes(self) -> Sequence[str]:
        """The suffixes of its data files, in lower case and with the dot."""
        ...

    def read(self, folder: Path, schema: Schema) -> Examples:
        """Read the examples in `folder`: raw ones, or what `write` wrote.

        Raises:
            StepError: there are none, or a file cannot be read.
        """
        ...

    def convert(self, examples: Examples, schema: Schema) -> Examples:
        """Return examples with the types that the schema names; what was converted already stays as it is.

        Raises:
            StepError: a column is missing, or a value has another type.
        """
        ...

    def check(self, examples: Examples, schema: Schema) -> Examples:
        """Convert examples and check them against the limits and shares of the schema.

        Only `prep` does that, with all rows: a part of them may miss more values than the whole.

        Raises:
            StepError: the examples do not fit the schema.
        """
        ...

    def write(self, examples: Examples, folder: Path, name: str) -> None:
        """Write examples into `folder`, which is empty; `name` is that of the file."""
        ...

    def fingerprints(self, examples: Examples) -> NDArray[Any]:
        """Return what `alike` recognises examples by, of shape (examples, numbers); with 0 numbers it finds none.

        A model keeps those of its training examples, and later releases of all libraries read them: they are small,
        depend on the example alone, and should not show what is in it.
        """
        ...

    def alike(self, known: NDArray[Any], new: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which new examples are copies of known ones, and only written in another way.

        Exact copies are on one side of a split already, where it is by content.

        Args:
            known: fingerprints.
            new: likewise.

        Returns:
            Of shape (new examples,).
        """
        ...

    def inputs(self, examples: Examples, columns: Sequence[str]) -> pd.DataFrame:
        """Return these columns as a model takes them.

        Raises:
            KeyError: the examples do not have one of them.
        """
        ...

    def request(self, examples: Examples, columns: Sequence[str]) -> pd.DataFrame:
        """Return these columns as an endpoint accepts them: as texts, numbers and booleans.

        Raises:
            KeyError: the examples do not have one of them.
        """
        ...

    def describe(self, examples: Examples, schema: Schema) -> Description:
        """Return the examples as a table; without examples an empty one with the same columns."""
        ...

    def check_hyperparameters(self, given: Mapping[str, Any], schema: Schema) -> list[str]:
        """Return what is wrong with hyperparameters for these data, a line each; an empty list means that they fit.

        Each line begins with `training.hyperparameters.NAME: `, and names the nearest name of one that is unknown. The
        lint and `prep` call it too, so it needs no more than their libraries: none that only training needs. A search
        may call it for each of its candidates. `core.hyperparameters` has what types of data share.
        """
        ...

    def fit(
        self, train: Examples, schema: Schema, training: Mapping[str, Any], checkpoints: Path | None = None
    ) -> Trained:
        """Train a model by the section `training` of the settings.

        Where `torchrun` or Azure ML starts several processes, each calls this and returns the same model.

        Args:
            train: the examples.
            schema: of the data.
            training: the settings.
            checkpoints: a folder to keep the state of a long training in, and to go on from the state in it.

        Raises:
            StepError: a setting has a wrong value, also one that `check_hyperparameters` cannot know to be wrong.
        """
        ...

    def baseline(
        self, name: str, train: Examples, test: Examples, schema: Schema, training: Mapping[str, Any]
    ) -> Predictions | NDArray[Any]:
        """Return what a baseline of this type of data predicts for `test`, with probabilities if it has some.

        `training` is that section of the settings: a baseline may be what a model is before it learns from these data.

        Raises:
            StepError: there is no such baseline; without examples too, and whatever else goes wrong then.
        """
        ...

    def explain(self, predict: Predict, test: Examples, schema: Schema, metric: Metric, seed: int) -> list[Panel]:
        """Return what shows how a model comes to its predictions."""
        ...


def load_examples(modality: Modality, folder: Path, schema: Schema) -> Examples:
    """Read the examples in `folder`, with the types that the schema names; `Modality.check` looks at limits.

    Raises:
        StepError: they cannot be read, or a value has another type.
    """
    return modality.convert(modality.read(folder, schema), schema)


def arrived_examples(modality: Modality, folder: Path, schema: Schema) -> Examples | None:
    """Read what arrived after training, which may be nothing yet: there is no file, or a header without rows.

    Raises:
        StepError: a file cannot be read.
    """
    try:
        return modality.read(folder, schema) if data_files(folder, modality.suffixes) else None
    except NoRowsError:
        return None


def unlabelled_examples(modality: Modality, examples: Examples, schema: Schema) -> Examples:
    """Return examples with the types of the schema that may lack what a request lacks: target and ignored columns.

    Raises:
        StepError: an input is missing, or a value has another type.
    """
    absent = [name for name in schema.raw_columns if name not in examples.frame and name not in schema.inputs]
    return modality.convert(Examples(examples.frame.assign(**dict.fromkeys(absent)), examples.root), schema)


def refuse_constant_target(examples: Examples, schema: Schema) -> None:
    """Check that there is something to learn from examples with a target.

    Raises:
        StepError: all have the same target.
    """
    target = examples.frame[schema.target]
    if len(target) and target.nunique() == 1:
        same = f"{schema.target} is {target.iloc[0]} in each of {len(target):,} rows, so there is nothing to learn"
        raise StepError(f"{same}: add other rows, or choose another target in {schema.source}")


def passed_over(folder: Path, suffixes: Sequence[str]) -> list[str]:
    """Return the names of files in `folder` and below that seem to be data, and have none of these suffixes."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.is_file()]
    others = [name for name in names if Path(name).suffix.lower() not in (*suffixes, ".md", ".py", ".yml")]
    return [name for name in others if not any(part.startswith((".", "_")) for part in Path(name).parts)]


def data_files(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """Return the files with one of these suffixes in `folder` and below, in the order of their names."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)
