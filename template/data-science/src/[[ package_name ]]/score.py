"""Score requests and files with the registered model: the script that Azure ML's inference server and batch jobs load.

It is loaded as a lone file, so it imports nothing from its own package; data_file.py beside it reads the files of a
batch.
"""

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

# MLflow sends telemetry on import; this project does not.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# The server scores one request at a time, and batch jobs run one process per core: threads would only wait.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import mlflow
import numpy as np
import pandas as pd
from azureml.ai.monitoring import Collector
from azureml_inference_server_http.api.aml_response import AMLResponse
from mlflow.types import DataType

_NUMBERS = (DataType.double, DataType.float)
_INTEGERS = (DataType.long, DataType.integer)

_model: Any = None
_inputs: Any = None
_outputs: Any = None


class RequestError(Exception):
    """A request that cannot be scored; its text is one line that names the problem."""


def init() -> None:
    """Load the model below the folder that `AZUREML_MODEL_DIR` names.

    Raises:
        RuntimeError: the variable is not set, or there is not exactly one MLflow model.
    """
    global _model, _inputs, _outputs
    folder = os.environ.get("AZUREML_MODEL_DIR")
    if not folder:
        raise RuntimeError("AZUREML_MODEL_DIR is not set; it names the folder that holds the model")
    found = [path.parent for path in Path(folder).rglob("MLmodel")]
    if len(found) != 1:
        raise RuntimeError(f"{folder}: expected one MLflow model (a file MLmodel) and found {len(found)}")
    _model = mlflow.pyfunc.load_model(str(found[0]))
    # Where no collection is enabled, as on a laptop, each collector calls on_error and drops the data.
    _inputs = Collector(name="model_inputs", on_error=_ignore)
    _outputs = Collector(name="model_outputs", on_error=_ignore)


def _ignore(error: Exception) -> None:
    """Continue scoring when a collection is off or full."""


def run(request: str | bytes | list[str]) -> dict[str, list[Any]] | AMLResponse | pd.DataFrame:
    """Score one request (online) or the files of one mini batch (batch).

    Args:
        request: JSON text, either `{"input_data": {"columns": [...], "index": [...], "data": [[...]]}}` or a list of
            records `[{"column": value}]`; or a list of paths of data files.

    Returns:
        Online `{"predictions": [...]}`, or a response with status 400 that names the problem of the request.
        For files, a table with the columns file, row (counted from 0 in its file) and prediction.

    Raises:
        RequestError: a file cannot be scored.
    """
    if isinstance(request, list):
        return _score_files(request)
    try:
        features = _model_inputs(_table(request))
    except RequestError as error:
        return AMLResponse({"error": str(error)}, 400, json_str=True)
    predictions = _predict(features)
    # The inputs' context makes Azure ML join inputs and outputs of one request.
    context = _inputs.collect(features)
    _outputs.collect(pd.DataFrame({"prediction": predictions}), context)
    return {"predictions": predictions}


def _predict(features: pd.DataFrame) -> list[Any]:
    return list(np.asarray(_model.predict(features)).tolist())


def _score_files(paths: list[str]) -> pd.DataFrame:
    data_file = _load_data_file()
    columns = {column.name: column.type.name for column in _columns()}
    tables = []
    for path in map(Path, paths):
        try:
            features = _model_inputs(data_file.read(path, columns))
        except (RequestError, ValueError) as error:
            raise RequestError(f"{path.name}: {str(error).strip().splitlines()[0]}") from error
        print(f"{path.name}: scoring {len(features):,} rows", flush=True)
        tables.append(pd.DataFrame({"file": path.name, "row": features.index, "prediction": _predict(features)}))
    return pd.concat(tables, ignore_index=True)


def _load_data_file() -> ModuleType:
    # By its path: there may be no package to import it from.
    path = Path(__file__).with_name("data_file.py")
    spec = importlib.util.spec_from_file_location("data_file", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _columns() -> list[Any]:
    return list(_model.metadata.get_input_schema().inputs)


def _table(request: str | bytes) -> pd.DataFrame:
    try:
        body = json.loads(request)
    except ValueError as error:
        raise RequestError(f"the request is not valid JSON: {error}") from error
    if isinstance(body, dict):
        body = body.get("input_data")
    if isinstance(body, list) and all(isinstance(record, dict) for record in body):
        # As objects, so that integers stay integers beside missing values.
        return pd.DataFrame.from_records(body).astype(object)
    columns, rows = (body.get("columns"), body.get("data")) if isinstance(body, dict) else (None, None)
    if not isinstance(columns, list) or not isinstance(rows, list):
        raise RequestError('send {"input_data": {"columns": ["a", ...], "data": [[1, ...], ...]}} or a list of records')
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            raise RequestError(f"row {number} of data must be a list of {len(columns)} values, one for each column")
    return pd.DataFrame(rows, columns=[str(column) for column in columns], dtype=object)


def _model_inputs(table: pd.DataFrame) -> pd.DataFrame:
    """Return the model's input columns, in its order and types; other columns are left out."""
    if table.empty:
        raise RequestError("there are no rows to score")
    if missing := [column.name for column in _columns() if column.name not in table]:
        raise RequestError(f"missing columns: {', '.join(missing)}")
    if repeated := sorted(set(table.columns[table.columns.duplicated()])):
        raise RequestError(f"repeated columns: {', '.join(map(str, repeated))}")
    return pd.DataFrame({column.name: _cast(table[column.name], column.type) for column in _columns()})


def _cast(values: pd.Series, kind: DataType) -> np.ndarray:
    # NumPy and not pandas: on the few rows of a request, pandas would take longer than the model.
    given = values.notna().to_numpy()
    if values.dtype == object:
        _refuse(values, np.array([isinstance(value, list | dict) for value in values]), "is not a single value")
    if kind == DataType.string:
        # convert_dtypes writes an integer as "1" also where missing values made the column one of floats.
        texts = values if values.dtype == object else values.convert_dtypes()
        return np.array(
            [str(value) if known else None for value, known in zip(texts, given, strict=True)], dtype=object
        )
    numbers = pd.to_numeric(values, errors="coerce").to_numpy(dtype="float64", na_value=np.nan)
    _refuse(values, given & ~np.isfinite(numbers), "is not a number")
    if kind in _NUMBERS:
        return numbers
    if not given.all():
        raise RequestError(f"{values.name}: a value is missing, and the model has never seen that")
    if kind in _INTEGERS:
        _refuse(values, numbers % 1 != 0, "is not an integer")
        return numbers.astype("int64")
    _refuse(values, ~np.isin(numbers, (0, 1)), "is not true or false")
    return numbers.astype("bool")


def _refuse(values: pd.Series, wrong: np.ndarray, reason: str) -> None:
    if wrong.any():
        raise RequestError(f"{values.name}: '{values[wrong].iloc[0]}' {reason}")
