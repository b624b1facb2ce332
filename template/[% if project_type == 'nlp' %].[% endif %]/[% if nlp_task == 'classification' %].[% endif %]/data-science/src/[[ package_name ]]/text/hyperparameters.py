"""The hyperparameters of the models for texts: which there are, and which values they take. It imports no PyTorch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.hyperparameters import Rules, choice, integer, number
from ..neural.settings import LOOP_RULES
from .choices import HUB, NetworkSettings, check_choice, revision_problem, width_problem
from .choices import load as load_choice

TFIDF, SMALL = "tfidf", "small_transformer"


@dataclass(frozen=True)
class Linear:
    """The settings of TF-IDF with logistic regression; config/model.yml says what they mean."""

    model: str = TFIDF
    analyzer: str | None = None
    ngrams: Sequence[int] | None = None
    max_features: int = 50_000
    C: float = 50.0
    class_weights: str = "none"


@dataclass(frozen=True, kw_only=True)
class Transformer(NetworkSettings):
    """The settings of a transformer; config/model.yml says what they mean."""

    model: str = SMALL


# What is learned already must not be forgotten in large steps.
_MODELS: Mapping[str, tuple[Callable[..., Linear | Transformer], Mapping[str, Any]]] = {
    TFIDF: (Linear, {}),
    SMALL: (Transformer, {"epochs": 10, "batch_size": 32, "learning_rate": 0.001}),
    HUB: (Transformer, {"epochs": 4, "batch_size": 16, "learning_rate": 5e-5, "weight_decay": 0.01}),
}


def _ngrams_problem(value: object) -> str:
    if not isinstance(value, list | tuple) or len(value) != 2 or not all(type(each) is int for each in value):
        return "must be two integers, the fewest and the most words or characters in a term, such as [1, 2]"
    fewest, most = value
    return "" if 1 <= fewest <= most <= 8 else "must be two integers from 1 to 8, the smaller one first"


_RULES: Mapping[str, Rules] = {
    TFIDF: {
        "analyzer": choice("words", "characters", "both"),
        "ngrams": _ngrams_problem,
        "max_features": integer(100, 10_000_000),
        "C": number(1e-6, 1e6),
        "class_weights": LOOP_RULES["class_weights"],
    },
    SMALL: {
        "max_tokens": integer(8, 4096),
        "dropout": number(0.0, 0.9),
        "vocabulary": integer(300, 1_000_000),
        "layers": integer(1, 24),
        "width": width_problem,
        **LOOP_RULES,
    },
    HUB: {
        "revision": revision_problem,
        "max_tokens": integer(8, 4096),
        "dropout": number(0.0, 0.9),
        **LOOP_RULES,
    },
}


def check(given: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with hyperparameters; see `core.modality.Modality.check_hyperparameters`."""
    return check_choice(given, _RULES, "google-bert/bert-base-uncased")


def load(given: Mapping[str, Any]) -> Linear | Transformer:
    """Return the settings that are given, the others as they are by default.

    Raises:
        StepError: a setting is unknown, or has a wrong value.
    """
    return load_choice(given, check, _MODELS)
