"""What a registered model predicts, for evaluation, online endpoint and batch alike: values, and probabilities.

The scoring script loads it as a lone file, so it imports nothing from its own package.

A model of scikit-learn gives probabilities if it has `predict_proba`. A model of another library gives them by its
answer: a table with the column `prediction` and a column for each class, named like it, with its probability. Any other
answer is the values alone. The metadata of a model may have `classes`, the order of the classes, and `threshold`, the
probability from which the last of two classes is predicted.

A model whose signature has the parameter `embedding` returns, when that is true, a table with the components of its
embedding instead, `component_1` and so on: how it sees an example, before it decides. A column with another name is
something else that the model knows of an example, such as the share of words that are new to it.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_EMBEDDING = "embedding"

TEXTS = "texts"
"""The key of the metadata of a model whose predictions are texts, and neither numbers nor classes."""


class Output(NamedTuple):
    """Values of shape (rows,); probabilities of shape (rows, classes) or None; the names of the classes."""

    values: NDArray[Any]
    probabilities: NDArray[np.float64] | None = None
    classes: tuple[str, ...] = ()


def predict(model: Any, inputs: pd.DataFrame) -> Output:
    """Return the predictions of an MLflow model for `inputs`, which have the columns of its signature."""
    metadata = model.metadata.metadata or {}
    order, threshold = metadata.get("classes") or (), float(metadata.get("threshold") or 0.5)
    raw = _raw_model(model)
    if hasattr(raw, "predict_proba"):
        return from_probabilities(raw.predict_proba(inputs), raw.classes_, order, threshold)
    answer = model.predict(inputs)
    if isinstance(answer, pd.DataFrame) and "prediction" in answer:
        columns = answer.drop(columns="prediction")
        if not len(columns.columns):
            return Output(answer["prediction"].to_numpy())
        # The names of columns are texts, whatever the classes are.
        integers = pd.api.types.is_integer_dtype(answer["prediction"])
        names = [str(name) for name in columns]
        classes: list[Any] = [int(name) for name in names] if integers else names
        return from_probabilities(columns.to_numpy(), classes, order, threshold)
    return Output(np.asarray(answer).ravel())


def collected(model: Any, output: Output) -> pd.DataFrame:
    """Return what Azure may collect of predictions, for its monitor; of texts how long they are, and nothing else."""
    if (model.metadata.metadata or {}).get(TEXTS):
        return pd.DataFrame({"prediction_length": [len(text) for text in output.values]})
    return pd.DataFrame({"prediction": output.values.tolist()})


def class_names(model: Any) -> tuple[str, ...]:
    """Return the classes of which an MLflow model gives probabilities, in the order of `Output.classes`."""
    order = (model.metadata.metadata or {}).get("classes") or ()
    raw = _raw_model(model)
    if hasattr(raw, "predict_proba"):
        names = [str(each) for each in raw.classes_]
    else:
        answer = model.metadata.get_output_schema()
        names = answer.input_names() if answer is not None and answer.has_input_names() else []
        names = [name for name in names if name != "prediction"] if "prediction" in names else []
    return tuple(names[place] for place in _places(names, order))


def joined(outputs: Sequence[Output]) -> Output:
    """Return the outputs of one model for the parts of a table, one after the other."""
    first = outputs[0]
    probabilities = [each.probabilities for each in outputs if each.probabilities is not None]
    values = np.concatenate([each.values for each in outputs])
    return Output(values, np.concatenate(probabilities) if probabilities else None, first.classes)


def has_embedding(model: Any) -> bool:
    """Return whether an MLflow model can tell how it sees an example."""
    parameters = model.metadata.get_params_schema()
    return parameters is not None and any(each.name == _EMBEDDING for each in parameters.params)


def embedding(model: Any, inputs: pd.DataFrame) -> pd.DataFrame:
    """Return the embedding of each row: components, as `embedding 1` and so on, and what has a name of its own."""
    table = pd.DataFrame(model.predict(inputs, params={_EMBEDDING: True})).astype(float)
    components = [name for name in table if not isinstance(name, str) or name.startswith("component")]
    return table.rename(columns={name: f"{_EMBEDDING} {place}" for place, name in enumerate(components, 1)})


def from_probabilities(
    probabilities: NDArray[Any], classes: Sequence[Any], order: Sequence[str] = (), threshold: float = 0.5
) -> Output:
    """Return the classes that follow from probabilities: the most probable one, or of two what the threshold decides.

    Args:
        probabilities: of shape (rows, classes).
        classes: the class of each column.
        order: names of classes that come last in the result, in this order; the others precede them.
        threshold: the last of two classes is predicted if its probability is at least this, 0 to 1.
    """
    names = [str(each) for each in classes]
    places = _places(names, order)
    columns = np.asarray(probabilities, dtype=float)[:, places]
    chosen = (columns[:, 1] >= threshold).astype(int) if len(places) == 2 else columns.argmax(axis=1)
    values = np.asarray(classes)[places][chosen]
    return Output(values, columns, tuple(names[place] for place in places))


def _raw_model(model: Any) -> Any:
    try:
        return model.get_raw_model()
    except NotImplementedError:  # a flavour without one, such as a Python function
        return None


def _places(names: Sequence[str], order: Sequence[str]) -> list[int]:
    """Return the places of names in their order in the result: those of `order` come last."""
    last = [names.index(name) for name in order if name in names]
    return [place for place in range(len(names)) if place not in last] + last
