"""What models.py describes a model with: its classes, and how the columns of a table become numbers for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from ..core.schema import Schema

# So many bins have boosted trees by default, and so many categories have indicators.
_MOST_CATEGORIES = 255


class Columns(NamedTuple):
    """The names of the features: those that are numbers, and all others."""

    numerical: list[str]
    categorical: list[str]


Prepare = Callable[[pd.DataFrame, Columns, Mapping[str, Any]], ColumnTransformer]
"""Makes the first part of the pipeline from training rows, the names of the features, and hyperparameters."""


def codes(frame: pd.DataFrame, columns: Columns, hyperparameters: Mapping[str, Any]) -> ColumnTransformer:
    """Make a number of each category, and keep what is missing; the categories are the first columns of the result.

    A category that was never seen in training counts as missing; when there are more categories than `max_bins`, the
    rarest are grouped.
    """
    most = hyperparameters.get("max_bins", _MOST_CATEGORIES)
    # To look for rare categories takes longer than all else that is done with the columns.
    several = any(frame[name].nunique() > most for name in columns.categorical)
    encoder = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=np.nan, max_categories=most if several else None
    )
    return ColumnTransformer(
        [("categories", encoder, columns.categorical), ("numbers", "passthrough", columns.numerical)]
    )


def indicators(frame: pd.DataFrame, columns: Columns, hyperparameters: Mapping[str, Any]) -> ColumnTransformer:
    """Make a column of 0 and 1 of each category, and scale numbers, of which the median stands for a missing one.

    One that was never seen in training has 0 in each; the rarest of very many are grouped. Whether a number is missing
    is a column too, if it was in training.
    """
    encoder = OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=_MOST_CATEGORIES)
    numbers = make_pipeline(SimpleImputer(strategy="median", add_indicator=True), StandardScaler())
    return ColumnTransformer([("categories", encoder, columns.categorical), ("numbers", numbers, columns.numerical)])


@dataclass(frozen=True)
class Model:
    """A kind of model.

    Attributes:
        regression: its class for a regression, with the interface of scikit-learn's; None if it has none.
        classification: likewise for a classification, with `predict_proba`.
        columns: how columns become numbers: `codes`, `indicators`, or a function like them.
        defaults: arguments of the class which config/model.yml may set otherwise.
        categories: the argument that takes the places of the categories, if the class has one.
    """

    regression: type[Any] | None = None
    classification: type[Any] | None = None
    columns: Prepare = indicators
    defaults: Mapping[str, Any] = field(default_factory=dict)
    categories: str = ""

    def of_task(self, task: str) -> type[Any] | None:
        """Return its class for a task."""
        return self.regression if task == "regression" else self.classification

    def hyperparameters(self, task: str) -> list[str]:
        """Return the names that config/model.yml may set; what follows from schema and settings is none of them."""
        made = self.estimator(task, {})
        return sorted(name for name in made.get_params() if name not in ("random_state", self.categories))

    def estimator(self, task: str, arguments: Mapping[str, Any]) -> Any:
        """Return a model that is not fitted, without the columns."""
        kind = self.of_task(task)
        assert kind is not None, "`check` refuses it before"
        return kind(**{**self.defaults, **arguments})

    def pipeline(self, frame: pd.DataFrame, schema: Schema, seed: int, hyperparameters: Mapping[str, Any]) -> Pipeline:
        """Return a model that is not fitted, for the features of the schema."""
        columns = Columns(schema.numerical, schema.categorical)
        own: dict[str, Any] = {"random_state": seed}
        if self.categories:
            own[self.categories] = list(range(len(columns.categorical)))
        made = self.estimator(schema.task, hyperparameters)
        made.set_params(**{name: value for name, value in own.items() if name in made.get_params()})
        return Pipeline([("columns", self.columns(frame, columns, hyperparameters)), ("model", made)])
