"""Score requests and files with the registered model: the script that Azure ML's inference server and batch jobs load.

Azure loads it as a lone file, without the package that it is in. Of the files beside it, conversion.py turns the values
of requests and files into those that the model was trained with, data_file.py reads the files of a batch and loads what
a value names, model_output.py gets predictions and probabilities from the model, and added_features.py runs the
features.py that the model was trained with. They import but each other.
"""

import json
import os
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

# MLflow sends telemetry on import; this project does not.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# The server scores one request at a time, and batch jobs run one process per core: threads would only wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import mlflow
import pandas as pd
from azureml.ai.monitoring import Collector
from azureml_inference_server_http.api.aml_response import AMLResponse
from mlflow.models.model import Model
from mlflow.types import DataType

# The folder as a package, whatever it is called where Azure loads this file: those beside it import each other then.
_FOLDER = ModuleType("_beside_score")
_FOLDER.__path__ = [str(Path(__file__).parent)]
sys.modules[_FOLDER.__name__] = _FOLDER
conversion, data_file, model_output, added_features = (
    import_module(f"{_FOLDER.__name__}.{name}")
    for name in ("conversion", "data_file", "model_output", "added_features")
)

# Files of a batch with few rows are scored together, up to about so many rows.
_ROWS_AT_ONCE = 64

_TYPES = {
    DataType.double: "number",
    DataType.float: "number",
    DataType.long: "integer",
    DataType.integer: "integer",
    DataType.boolean: "boolean",
}

_model: Any = None
_columns: dict[str, dict[str, Any]] = {}
_features: Any = None
_inputs: Any = None
_outputs: Any = None
_not_collected: list[Exception] = []


class RequestError(Exception):
    """A request that cannot be scored; its text is one line that names the problem."""


def init() -> None:
    """Load the model below the folder that `AZUREML_MODEL_DIR` names.

    Raises:
        RuntimeError: the variable is not set, or there is not exactly one MLflow model.
    """
    global _model, _columns, _features, _inputs, _outputs
    folder = os.environ.get("AZUREML_MODEL_DIR")
    if not folder:
        raise RuntimeError("AZUREML_MODEL_DIR is not set; it names the folder that holds the model")
    found = [path.parent for path in Path(folder).rglob("MLmodel")]
    if len(found) != 1:
        raise RuntimeError(f"{folder}: expected one MLflow model (a file MLmodel) and found {len(found)}")
    _model = mlflow.pyfunc.load_model(str(found[0]))
    _columns = _request_columns(_model.metadata)
    _features = added_features.of_metadata(_model.metadata.metadata)
    # Where no collection is enabled, as on a laptop, each collector calls on_error and drops the data.
    _inputs = Collector(name="model_inputs", on_error=_ignore)
    _outputs = Collector(name="model_outputs", on_error=_ignore)


def _request_columns(model: Model) -> dict[str, dict[str, Any]]:
    """Return the columns of a request, as `conversion` describes them: those of the metadata, or of the signature."""
    recorded = (model.metadata or {}).get(conversion.METADATA)
    if recorded:
        return dict(recorded)
    inputs = model.get_input_schema().inputs
    types = {column.name: _TYPES.get(column.type, "text") for column in inputs}
    return {name: {"type": kind, "missing": kind in ("number", "text")} for name, kind in types.items()}


def _ignore(error: Exception) -> None:
    """Continue scoring when a collection is off or full."""
    _not_collected.append(error)


def run(request: str | bytes | list[str]) -> dict[str, Any] | AMLResponse | pd.DataFrame:
    """Score one request (online) or the files of one mini batch (batch).

    Args:
        request: JSON text, either `{"input_data": {"columns": [...], "index": [...], "data": [[...]]}}` or a list of
            records `[{"column": value}]`; or a list of paths of data files.

    Returns:
        Online `{"predictions": [...]}`, or a response with status 400 that names the problem of the request; a model
        that gives probabilities adds `classes` and, for each row, as many `probabilities`; where the request is
        collected, `request_id` is the `correlationid` of what is stored, for `join`. For files, a table with the
        columns file, row (counted from 0 in its file, or its name there) and prediction, and probability_<class> for
        each class.

    Raises:
        RequestError: a file cannot be scored. If MLOPS_BAD_FILES is "report", it is a row with its error instead.
    """
    if isinstance(request, list):
        return _score_files(request)
    try:
        typed = _typed(_table(request))
        features = _loaded(typed, request=True)
    except RequestError as error:
        return AMLResponse({"error": str(error)}, 400, json_str=True)
    output = model_output.predict(_model, features)
    predictions = output.values.tolist()
    # The inputs' context makes Azure ML join inputs and outputs of one request.
    _not_collected.clear()
    context = _inputs.collect(_described(typed, features))
    _outputs.collect(model_output.collected(_model, output), context)
    answer: dict[str, Any] = {"predictions": predictions}
    if output.probabilities is not None:
        answer |= {"classes": list(output.classes), "probabilities": output.probabilities.tolist()}
    return answer if _not_collected else answer | {"request_id": str(context)}


def _score_files(paths: list[str]) -> pd.DataFrame:
    tables, waiting, rows = [], [], 0
    written = (_model.metadata.metadata or {}).get(conversion.FILES)
    for path in map(Path, paths):
        try:
            table = data_file.read(path, list(_columns), written)
            if table is None or table.empty:
                print(f"{path.name}: passed over, it has no examples of its own", flush=True)
                continue
            features, bad = _readable_rows(table)
        except (RequestError, ValueError) as error:
            reason = f"{path.name}: {_first_line(error)}"
            if not _reports_bad_files():
                raise RequestError(reason) from error
            print(f"error: {reason}", flush=True)
            tables.append(pd.DataFrame({"file": [path.name], "error": [reason]}))
            continue
        for row, reason in bad.items():
            print(f"error: {path.name}: {reason}", flush=True)
            tables.append(pd.DataFrame({"file": [path.name], "row": [row], "error": [f"{path.name}: {reason}"]}))
        print(f"{path.name}: scoring {len(features):,} rows", flush=True)
        waiting.append((path.name, features))
        rows += len(features)
        if rows >= _ROWS_AT_ONCE:
            tables.append(_scored(waiting))
            waiting, rows = [], 0
    if waiting:
        tables.append(_scored(waiting))
    # Without a file that has examples, the table has no rows. All tables of a job have the same columns, because Azure
    # joins them as lines without a header.
    probabilities = [f"probability_{name}" for name in model_output.class_names(_model)]
    columns = ["file", "row", "prediction", *probabilities, *(["error"] if _reports_bad_files() else [])]
    return pd.concat(tables or [pd.DataFrame(columns=["file"])], ignore_index=True).reindex(columns=columns)


def _readable_rows(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[Any, str]]:
    """Return the model's input columns of the rows of a file that can be scored, and why others cannot, by their index.

    Raises:
        RequestError: no row can be scored; or some cannot, and bad files are not reported.
    """
    try:
        return _model_inputs(table), {}
    except RequestError:
        if not _reports_bad_files() or len(table) == 1:
            raise
    good: list[pd.DataFrame] = []
    bad: dict[Any, str] = {}
    for place, name in enumerate(table.index):
        try:
            good.append(_model_inputs(table.iloc[[place]]))
        except RequestError as error:
            bad[name] = _first_line(error)
    return pd.concat(good) if good else _model_inputs(table), bad


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _reports_bad_files() -> bool:
    """Return whether a file or a row that cannot be scored becomes a row with its error, and the rest is scored."""
    return os.environ.get("MLOPS_BAD_FILES", "stop") == "report"


def _scored(files: list[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    features = pd.concat([each for _, each in files])
    output = model_output.predict(_model, features)
    names = [name for name, each in files for _ in range(len(each))]
    # As objects, so that a number stays an integer beside the rows without one.
    table = pd.DataFrame({"file": names, "row": features.index.astype(object), "prediction": output.values})
    if output.probabilities is not None:
        table[[f"probability_{name}" for name in output.classes]] = output.probabilities
    return table


def _table(request: str | bytes) -> pd.DataFrame:
    try:
        body = json.loads(request)
    except ValueError as error:
        raise RequestError(f"the request is not valid JSON: {error}") from error
    except RecursionError as error:
        raise RequestError(
            "the request is nested too deeply; a value is a text, a number, a boolean or null"
        ) from error
    if isinstance(body, dict):
        body = body.get("input_data")
    if isinstance(body, list) and all(isinstance(record, dict) for record in body):
        names = dict.fromkeys(name for record in body for name in record)
        # As objects, so that integers stay integers beside missing values.
        return pd.DataFrame({name: [record.get(name) for record in body] for name in names}, dtype=object)
    columns, rows = (body.get("columns"), body.get("data")) if isinstance(body, dict) else (None, None)
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise RequestError('send {"input_data": {"columns": ["a", ...], "data": [[1, ...], ...]}} or a list of records')
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            raise RequestError(f"row {number} of data must be a list of {len(columns)} values, one for each column")
    return pd.DataFrame(rows, columns=[str(column) for column in columns], dtype=object)


def _model_inputs(table: pd.DataFrame) -> pd.DataFrame:
    """Return the model's input columns, in its order and types; other columns are left out."""
    return _loaded(_typed(table))


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of a request and all that is derived from them, typed."""
    if table.empty:
        raise RequestError("there are no rows to score")
    if repeated := sorted(set(table.columns[table.columns.duplicated()])):
        raise RequestError(f"repeated columns: {', '.join(map(str, repeated))}")
    try:
        typed = conversion.convert(table, _columns)
    except ValueError as error:
        raise RequestError(str(error)) from error
    for line in conversion.unknown_values(typed, _columns):
        print(line, flush=True)
    if _features is not None:
        try:
            typed = _features.add(typed)
        except ValueError as error:
            raise RequestError(f"{added_features.FILE}: {error}") from error
    return typed.set_axis(table.index)


def _loaded(typed: pd.DataFrame, request: bool = False) -> pd.DataFrame:
    try:
        return data_file.load(typed[_model.metadata.get_input_schema().input_names()], request)
    except ValueError as error:
        raise RequestError(str(error)) from error


def _described(typed: pd.DataFrame, features: pd.DataFrame) -> pd.DataFrame:
    """Return what Azure collects of inputs: what features.py read, too, so that `join` makes training data of them."""
    described = data_file.describe(features)
    read = [] if _features is None else [name for name in _columns if name not in described]
    return described.assign(**{name: typed[name] for name in read})
