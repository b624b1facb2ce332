"""The model for tables, one of models.py: checked, trained and saved."""

import functools
import io
import json
import sys
import warnings
import zipfile
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import packages_distributions
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import StackingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from threadpoolctl import ThreadpoolController

from .. import models
from ..core.champion import conda_environment
from ..core.consistency import check_threshold, check_training
from ..core.features import imported_packages, project_features
from ..core.hyperparameters import PLACE
from ..core.schema import Schema
from ..core.settings import missing_point, unknown_key
from ..core.step import StepError
from .recipes import Model

# What a model needs where it is loaded, besides the packages of its classes and of its features.py.
_REQUIREMENTS = ("mlflow-skinny", "scikit-learn", "skops", "numpy", "pandas")

# With fewer rows a second thread gains nothing, and costs most of the time where another program uses its processor:
# threads of OpenMP wait for each other without sleeping. On 2 cores that others used too, 20,000 rows took one thread
# 0.24 to 1.4 seconds and two threads 1.2 to 21; where nothing else ran, 0.25 and 0.19. OMP_NUM_THREADS is a limit.
_ROWS_WORTH_THREADS = 10_000

MODEL, DEFAULT = "model", "boosted_trees"
"""The hyperparameter that names one of models.py, and the one that is trained without it."""


def check(hyperparameters: Mapping[str, Any], schema: Schema) -> list[str]:
    """Return what is wrong with hyperparameters; see `core.modality.Modality.check_hyperparameters`."""
    name, others = _chosen(hyperparameters)
    suitable = model_names(schema.task)
    if name not in models.MODELS:
        return [f"{PLACE}.{MODEL}: {name!r} is unknown; choose one of {', '.join(suitable)}, or add it to models.py"]
    if name not in suitable:
        return [f"{PLACE}.{MODEL}: {name} is not for a {schema.task}; choose one of {', '.join(suitable)}"]
    try:
        model = models.MODELS[name]()
        known = model.hyperparameters(schema.task)
    except ImportError as error:
        return [f"{PLACE}.{MODEL}: {name} needs a package that is not here ({error}): run `uv add` with its name"]
    found = []
    for key, value in others.items():
        if key not in known:
            found.append(f"{PLACE}.{key}: {unknown_key(key, known)}")
            continue
        made = model.estimator(schema.task, {key: value})
        try:
            if hasattr(made, "_parameter_constraints"):
                made._validate_params()  # what `fit` of scikit-learn begins with
        except ValueError as error:
            *_, what = str(error).partition(f"The '{key}' parameter of {type(made).__name__} ")
            found.append(f"{PLACE}.{key}: {what or error}{missing_point(value)}")
    return found


def model_names(task: str) -> list[str]:
    """Return the names of the models for a task; one whose package is not here may be for it."""
    return [name for name, make in models.MODELS.items() if _is_for(make, task)]


def _is_for(make: Callable[[], Model], task: str) -> bool:
    try:
        return make().of_task(task) is not None
    except ImportError:
        return True


def _chosen(hyperparameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    name = hyperparameters.get(MODEL)
    others = {key: value for key, value in hyperparameters.items() if key != MODEL}
    return DEFAULT if name is None else str(name), others


def build(frame: pd.DataFrame, schema: Schema, training: Mapping[str, Any]) -> Pipeline:
    """Return an unfitted pipeline for the features in `frame`, by the section `training` of the settings.

    Raises:
        StepError: a hyperparameter is unknown to the model, or has a value that it refuses.
    """
    if wrong := check(training["hyperparameters"], schema):
        raise StepError("; ".join(wrong))
    name, others = _chosen(training["hyperparameters"])
    return models.MODELS[name]().pipeline(frame, schema, training["seed"], others)


def fit(frame: pd.DataFrame, schema: Schema, training: Mapping[str, Any]) -> BaseEstimator:
    """Train on `frame`, which holds the features and the target as `data.validate` types them.

    With `training.offset` the model learns the difference between the target and that column, which is added to its
    prediction: trees cannot extrapolate beyond the targets of the training rows, a sum can.

    Raises:
        StepError: a hyperparameter is unknown or has a value that scikit-learn refuses, or the offset is not suitable.
    """
    check_training(training, schema)
    model, offset = build(frame, schema, training), training.get("offset")
    features, target = frame[schema.features], frame[schema.target]
    check_threshold(training, schema, target)
    if empty := [name for name in schema.features if features[name].isna().all()]:
        raise StepError(f"{', '.join(empty)}: missing in each training row; give it the role ignore in {schema.source}")
    if offset is not None:
        target = target - features[offset]
    try:
        with _pools().limit(limits=1 if len(frame) < _ROWS_WORTH_THREADS else None):
            model.fit(features, target)
    except (TypeError, ValueError) as error:
        raise StepError(f"training failed, check training.hyperparameters: {error}") from error
    return model if offset is None else _with_offset(model, features, offset)


@functools.cache
def _pools() -> ThreadpoolController:
    # To find them takes as long as a few trees, and scikit-learn's are loaded by now.
    return ThreadpoolController()


def _with_offset(model: Pipeline, features: pd.DataFrame, offset: str) -> StackingRegressor:
    """Return the model that adds the column `offset` to the prediction of `model`.

    It is made of scikit-learn's own classes, so that it loads wherever scikit-learn is. The coefficients of the sum are
    set apart: learned from these rows, a small part would get none beside a large one.
    """
    column = ColumnTransformer([("offset", "passthrough", [offset])])
    one = pd.DataFrame({offset: [0.0, 1.0]})
    itself = Pipeline([("columns", column), ("identity", LinearRegression(fit_intercept=False))]).fit(one, one[offset])
    total = LinearRegression(fit_intercept=False)
    both = StackingRegressor([("model", model), ("offset", itself)], final_estimator=total, cv="prefit")
    both.fit(features, features[offset])
    both.final_estimator_ = total.fit(np.eye(2), np.ones(2))
    return both


def save(model: BaseEstimator, frame: pd.DataFrame, schema: Schema, folder: Path) -> None:
    """Write `model` as an MLflow model into `folder`, which is empty.

    The signature is taken from `frame`: integers that may be missing are doubles there, so requests may leave them out.
    """
    import skops.io  # here: it looks through all of scikit-learn and SciPy, and only this step needs it

    _write_in_one_line(skops.io._persist)
    features = frame[schema.features]
    with warnings.catch_warnings():
        # MLflow warns about integer columns in the signature; validate() allows them only where nothing may be missing.
        warnings.filterwarnings("ignore", message=".*integer column", category=UserWarning)
        signature = infer_signature(features, model.predict(features.head(100)))
        types = _types(skops.io.dumps(model))
        mlflow.sklearn.save_model(
            model,
            path=str(folder),
            signature=signature,
            input_example=features.head(3),
            conda_env=conda_environment(_requirements(types, schema)),
            skops_trusted_types=types,
        )


def _write_in_one_line(persist: Any) -> None:
    """Let skops write its JSON without line breaks: for those, Python takes an encoder that is three times as slow."""

    def dumps(state: object, indent: int | None = None) -> str:
        return json.dumps(state)

    if hasattr(persist, "json"):
        persist.json = SimpleNamespace(dumps=dumps, loads=json.loads)


def _requirements(types: Sequence[str], schema: Schema) -> list[str]:
    """Return the distributions of all classes in a model, and of what its features.py imports.

    Raises:
        StepError: a class or function is of this project, which the endpoint does not have.
    """
    here = __package__.partition(".")[0]
    if own := [name for name in types if name.partition(".")[0] in (here, "__main__")]:
        raise StepError(
            f"the model holds {own[0]}, code of this project, and an endpoint has none of it: use classes of a "
            "package, and compute columns in features.py"
        )
    features = project_features(schema)
    needed = {name.partition(".")[0] for name in types} | (imported_packages(features.source) if features else set())
    # The largest ones are known: to look through all that are installed takes as long as a small training.
    others = needed - {"sklearn", "numpy", "pandas", "scipy", "skops"} - sys.stdlib_module_names
    found = packages_distributions() if others else {}
    return list(dict.fromkeys([*_REQUIREMENTS, *sorted(found[name][0] for name in others if name in found)]))


def _types(dumped: bytes) -> list[str]:
    """Return the types in a skops file; they are trusted because this process has just trained the model.

    All of them and not only those that this version of skops requires: where the model is loaded, in an image of Azure
    ML for example, an older version may require more.
    """
    found = set()

    def note(node: dict[str, Any]) -> dict[str, Any]:
        if "__class__" in node:
            found.add(f"{node['__module__']}.{node['__class__']}")
        return node

    with zipfile.ZipFile(io.BytesIO(dumped)) as file:
        json.loads(file.read("schema.json"), object_hook=note)
    return sorted(found)
