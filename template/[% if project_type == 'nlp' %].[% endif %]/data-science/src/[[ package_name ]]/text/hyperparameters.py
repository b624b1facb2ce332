"""The hyperparameters of the models for texts: which there are, and which values they take. It imports no PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.hyperparameters import Rules, choice, integer, number, problems
from ..core.step import StepError

TFIDF = "tfidf"


@dataclass(frozen=True)
class Linear:
    """The settings of TF-IDF with logistic regression; config/model.yml says what they mean."""

    model: str = TFIDF
    analyzer: str | None = None
    ngrams: tuple[int, int] | None = None
    max_features: int = 50_000
    C: float = 50.0
    class_weights: str = "none"


def _model_problem(name: object) -> str:
    return "" if name == TFIDF else f"is unknown; choose one of {TFIDF}"


def _ngrams_problem(value: object) -> str:
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(type(each) is int for each in value):
        return "must be two integers, the fewest and the most in a group, such as [1, 2]"
    fewest, most = value
    return "" if 1 <= fewest <= most <= 8 else "must be two integers from 1 to 8, the smaller one first"


_LINEAR: Rules = {
    "model": _model_problem,
    "analyzer": choice("words", "characters", "both"),
    "ngrams": _ngrams_problem,
    "max_features": integer(100, 10_000_000),
    "C": number(1e-6, 1e6),
    "class_weights": choice("none", "balanced"),
}


def check(given: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with hyperparameters; see `core.modality.Modality.check_hyperparameters`."""
    return problems(given, _LINEAR)


def load(given: Mapping[str, Any]) -> Linear:
    """Return the settings that are given, the others as they are by default.

    Raises:
        StepError: a setting is unknown, or has a wrong value.
    """
    if wrong := check(given):
        raise StepError("; ".join(wrong))
    known = {key: tuple(value) if key == "ngrams" else value for key, value in given.items() if value is not None}
    return Linear(**known)
