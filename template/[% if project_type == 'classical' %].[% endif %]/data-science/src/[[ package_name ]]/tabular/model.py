"""The model for tables: boosted trees, which handle categories and missing values natively."""

import functools
import io
import json
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.base import BaseEstimator
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor, StackingRegressor
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import ThreadpoolController

from ..core.champion import conda_environment
from ..core.consistency import check_threshold, check_training
from ..core.hyperparameters import PLACE
from ..core.schema import Schema
from ..core.settings import missing_point, unknown_key
from ..core.step import StepError

# What a model needs where it is loaded.
_REQUIREMENTS = ("mlflow-skinny", "scikit-learn", "skops", "numpy", "pandas")

# With fewer rows a second thread gains nothing, and costs most of the time where another program uses its processor:
# threads of OpenMP wait for each other without sleeping. On 2 cores that others used too, 20,000 rows took one thread
# 0.24 to 1.4 seconds and two threads 1.2 to 21; where nothing else ran, 0.25 and 0.19. OMP_NUM_THREADS is a limit.
_ROWS_WORTH_THREADS = 10_000

# What follows from the schema and the settings is no hyperparameter.
_ARGUMENTS_OF_OURS = ("random_state", "categorical_features")
_BOOSTING = {"regression": HistGradientBoostingRegressor, "classification": HistGradientBoostingClassifier}


def check(hyperparameters: Mapping[str, Any], schema: Schema) -> list[str]:
    """Return what is wrong with hyperparameters; see `core.modality.Modality.check_hyperparameters`."""
    boosting = _BOOSTING[schema.task]
    known = [name for name in boosting().get_params() if name not in _ARGUMENTS_OF_OURS]
    found = []
    for name, value in hyperparameters.items():
        if name not in known:
            found.append(f"{PLACE}.{name}: {unknown_key(name, known)}")
            continue
        try:
            boosting(**{name: value})._validate_params()  # what `fit` begins with
        except ValueError as error:
            *_, what = str(error).partition(f"The '{name}' parameter of {boosting.__name__} ")
            found.append(f"{PLACE}.{name}: {what or error}{missing_point(value)}")
    return found


def build(frame: pd.DataFrame, schema: Schema, training: Mapping[str, Any]) -> Pipeline:
    """Return an unfitted pipeline for the features in `frame`, by the section `training` of the settings.

    Categories become numbers that the trees treat as categories. A category that was never seen in training counts as
    missing; when there are more categories than `max_bins`, the rarest are grouped.

    Raises:
        StepError: a hyperparameter is unknown to scikit-learn, or has a value that it refuses.
    """
    hyperparameters = training["hyperparameters"]
    if wrong := check(hyperparameters, schema):
        raise StepError("; ".join(wrong))
    first_columns = list(range(len(schema.categorical)))
    trees = _BOOSTING[schema.task](random_state=training["seed"], categorical_features=first_columns, **hyperparameters)
    most = hyperparameters.get("max_bins", 255)
    # To look for rare categories takes longer than all else that is done with the columns.
    several = any(frame[name].nunique() > most for name in schema.categorical)
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=most if several else None
    )
    columns = ColumnTransformer(
        [("categories", encoder, schema.categorical), ("numbers", "passthrough", schema.numerical)]
    )
    return Pipeline([("columns", columns), ("trees", trees)])


def fit(frame: pd.DataFrame, schema: Schema, training: Mapping[str, Any]) -> BaseEstimator:
    """Train on `frame`, which holds the features and the target as `data.validate` types them.

    With `training.offset` the trees learn the difference between the target and that column, which the model adds to
    their prediction: they cannot extrapolate beyond the targets of the training rows, a sum can.

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


def _with_offset(trees: Pipeline, features: pd.DataFrame, offset: str) -> StackingRegressor:
    """Return the model that adds the column `offset` to the prediction of `trees`.

    It is made of scikit-learn's own classes, so that it loads wherever scikit-learn is. The coefficients of the sum are
    set apart: learned from these rows, a small part would get none beside a large one.
    """
    column = ColumnTransformer([("offset", "passthrough", [offset])])
    one = pd.DataFrame({offset: [0.0, 1.0]})
    itself = Pipeline([("columns", column), ("identity", LinearRegression(fit_intercept=False))]).fit(one, one[offset])
    total = LinearRegression(fit_intercept=False)
    model = StackingRegressor([("trees", trees), ("offset", itself)], final_estimator=total, cv="prefit")
    model.fit(features, features[offset])
    model.final_estimator_ = total.fit(np.eye(2), np.ones(2))
    return model


def save(model: BaseEstimator, frame: pd.DataFrame, schema: Schema, folder: Path) -> None:
    """Write `model` as an MLflow model into `folder`, which is empty.

    The signature is taken from `frame`: integers that may be missing are doubles there, so requests may leave them out.
    """
    import skops.io  # here: it looks through all of scikit-learn and SciPy, and only this step needs it

    features = frame[schema.features]
    with warnings.catch_warnings():
        # MLflow warns about integer columns in the signature; validate() allows them only where nothing may be missing.
        warnings.filterwarnings("ignore", message=".*integer column", category=UserWarning)
        signature = infer_signature(features, model.predict(features.head(100)))
        mlflow.sklearn.save_model(
            model,
            path=str(folder),
            signature=signature,
            input_example=features.head(3),
            conda_env=conda_environment(_REQUIREMENTS),
            skops_trusted_types=_types(skops.io.dumps(model)),
        )


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
