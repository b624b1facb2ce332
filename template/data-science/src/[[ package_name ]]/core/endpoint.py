"""What the mlops layer calls in this package, besides the steps: everything about a model in service.

The contract, by name and by argument; a project that keeps it can change everything else here:

- `sample_request(modality, schema, folder, rows)`: a request with real examples, for smoke tests.
- `check_response(modality, response, rows, schema)`: what is wrong with an endpoint's answer.
- `shown(modality, predictions, schema)`: predictions as a log may show them.
- `data_files(folder, suffixes)`: the files that a batch endpoint scores; `suffixes` are those of the modality.
- `check_settings(modality, schema, settings, overrides)`: what is wrong with the settings, for the lint, or with
  overrides of them before a run: lines, each with the `key` that it is about.
- `champion(client, name)`: the registered version that serves.
- `model_hash(folder)`: the hash that identifies a model's files.
- `StepError`: what these raise for a mistake of the user; its text is one line.

`modality` is `MODALITY` of this project's `modality.py`.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..conversion import label
from .champion import champion, model_hash
from .consistency import check_settings
from .modality import Modality, data_files, load_examples
from .schema import Column, Schema
from .settings import is_number
from .step import StepError

__all__ = [
    "StepError",
    "champion",
    "check_response",
    "check_settings",
    "data_files",
    "model_hash",
    "sample_request",
    "shown",
]


def sample_request(modality: Modality, schema_path: Path, folder: Path, rows: int) -> dict[str, Any]:
    """Return a request with the features of the first `rows` examples in `folder`, in the form that `score` accepts.

    Raises:
        StepError: the data cannot be read, have values of another type, or have fewer rows.
    """
    schema = Schema.load(schema_path, modality.tasks)
    examples = load_examples(modality, folder, schema)
    inputs = modality.request(replace(examples, frame=examples.frame.head(rows)), schema.inputs)
    if len(inputs) < rows:
        raise StepError(f"{folder}: a request of {rows} rows is too large, there are only {len(inputs)}")
    return {"input_data": json.loads(inputs.to_json(orient="split", double_precision=15))}


def check_response(modality: Modality, response: object, rows: int, schema_path: Path) -> list[str]:
    """Return the problems of an endpoint's answer to `rows` rows; an empty list means that it is valid.

    A number must be finite and within the target's range widened by its width on both sides; a class must be one
    that the schema lists, if it lists them; a text must not be empty; the probabilities of a row, if there are some,
    have the sum 1.

    Raises:
        StepError: the schema cannot be read.
    """
    if not isinstance(response, dict) or not isinstance(response.get("predictions"), list):
        return [f"the answer has no list of predictions: {str(response)[:200]}"]
    predictions = response["predictions"]
    if len(predictions) != rows:
        return [f"{rows} rows were sent and {len(predictions)} predictions came back"]
    schema = Schema.load(schema_path, modality.tasks)
    target = schema.columns[schema.target]
    if schema.task == "classification":
        wrong = [p for p in predictions if not _is_class(p, target)]
        found = [f"{len(wrong)} of {rows} predictions are not a known class (such as {wrong[0]!r})"] if wrong else []
        return found + _check_probabilities(response, rows)
    if schema.predicts_texts:
        wrong = [p for p in predictions if not isinstance(p, str) or not p.strip()]
        return [f"{len(wrong)} of {rows} predictions are no texts (such as {wrong[0]!r})"[:300]] if wrong else []
    wrong = [p for p in predictions if not is_number(p) or not _is_plausible(p, target)]
    return [f"{len(wrong)} of {rows} predictions are not plausible numbers (such as {wrong[0]!r})"] if wrong else []


def shown(modality: Modality, predictions: Sequence[Any], schema_path: Path) -> list[str]:
    """Return predictions as a log may show them: of texts, which may repeat the data, how long they are.

    Raises:
        StepError: the schema cannot be read.
    """
    if Schema.load(schema_path, modality.tasks).predicts_texts:
        return [f"a text of {len(str(each)):,} characters" for each in predictions]
    return [f"{each:.4g}" if isinstance(each, float) else str(each) for each in predictions]


def _check_probabilities(response: dict[str, Any], rows: int) -> list[str]:
    if "probabilities" not in response:
        return []
    given, classes = response["probabilities"], response.get("classes")
    if not isinstance(given, list) or not isinstance(classes, list) or len(given) != rows:
        return [f"the probabilities of {rows} rows are not a list of lists: {str(given)[:200]}"]
    wrong = [row for row in given if not _is_distribution(row, len(classes))]
    return [f"the probabilities of {len(wrong)} rows are not valid (such as {wrong[0]!r})"[:300]] if wrong else []


def _is_distribution(row: object, size: int) -> bool:
    if not isinstance(row, list) or len(row) != size or not all(is_number(p) and 0 <= p <= 1 for p in row):
        return False
    return abs(sum(row) - 1) < 1e-6


def _is_class(value: object, target: Column) -> bool:
    if target.values:
        return label(value) in target.values
    return is_number(value) if target.is_numerical else isinstance(value, str | bool)


def _is_plausible(value: float, target: Column) -> bool:
    if target.minimum is None or target.maximum is None:
        return True
    width = target.maximum - target.minimum
    return target.minimum - width <= value <= target.maximum + width
