"""The hyperparameters of the models for texts: which there are, and which values they take. It imports no PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..core.hyperparameters import Rules, choice, integer, number
from ..core.step import StepError
from ..neural.settings import LOOP_RULES, LoopSettings
from .choices import HUB, check_choice, hub_name, revision_problem, width_problem

TFIDF, SMALL = "tfidf", "small_transformer"


@dataclass(frozen=True)
class Linear:
    """The settings of TF-IDF with logistic regression; config/model.yml says what they mean."""

    model: str = TFIDF
    analyzer: str | None = None
    ngrams: tuple[int, int] | None = None
    max_features: int = 50_000
    C: float = 50.0
    class_weights: str = "none"


@dataclass(frozen=True)
class Transformer(LoopSettings):
    """The settings of a transformer; config/model.yml says what they mean."""

    model: str = SMALL
    revision: str | None = None
    max_tokens: int = 256
    vocabulary: int = 8000
    layers: int = 2
    width: int = 128
    dropout: float = 0.1

    @property
    def hub_name(self) -> str | None:
        """What follows `hub:`; None for the small transformer."""
        return hub_name(self.model)


# What is learned already must not be forgotten in large steps.
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    SMALL: {"epochs": 10, "batch_size": 32, "learning_rate": 0.001},
    HUB: {"epochs": 4, "batch_size": 16, "learning_rate": 5e-5, "weight_decay": 0.01},
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
    if wrong := check(given):
        raise StepError("; ".join(wrong))
    known: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    model = known.get("model", TFIDF)
    if model != TFIDF:
        return Transformer(**{**_DEFAULTS[SMALL if model == SMALL else HUB], **known})
    if "ngrams" in known:
        known["ngrams"] = tuple(known["ngrams"])
    return Linear(**known)
