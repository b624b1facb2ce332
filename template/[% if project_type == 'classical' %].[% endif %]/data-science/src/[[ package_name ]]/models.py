"""The models that this project can train; `training.hyperparameters.model` in config/model.yml names one.

This file is yours. A model is a function without arguments that returns a `Model`: its classes for a regression and a
classification, how the columns become numbers, and defaults that are not those of the library. Hyperparameters are the
arguments of the class. To add one, write its function and name it in `MODELS`. A package that is new to the project has
to be where it is trained and where it is served: docs/model.md says how, and `uv run mlops lint` which line is missing.
"""

from collections.abc import Callable, Mapping

from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge

from .tabular.recipes import Model, codes, indicators


def boosted_trees() -> Model:
    """Boosted trees of scikit-learn, which know categories and missing values."""
    return Model(
        HistGradientBoostingRegressor, HistGradientBoostingClassifier, codes, categories="categorical_features"
    )


def ridge() -> Model:
    """Linear regression with a penalty on large weights."""
    return Model(regression=Ridge, columns=indicators)


def logistic_regression() -> Model:
    """Its counterpart for classes."""
    return Model(classification=LogisticRegression, columns=indicators, defaults={"max_iter": 1000})


# LightGBM: after `uv add lightgbm`, remove the comment signs here and in `MODELS`.
# def lightgbm() -> Model:
#     """Boosted trees of LightGBM, which know missing values and take categories for numbers."""
#     from lightgbm import LGBMClassifier, LGBMRegressor
#
#     return Model(LGBMRegressor, LGBMClassifier, codes, defaults={"verbosity": -1})


MODELS: Mapping[str, Callable[[], Model]] = {
    "boosted_trees": boosted_trees,  # the one that is trained if config/model.yml names none
    "ridge": ridge,
    "logistic_regression": logistic_regression,
    # "lightgbm": lightgbm,
}
