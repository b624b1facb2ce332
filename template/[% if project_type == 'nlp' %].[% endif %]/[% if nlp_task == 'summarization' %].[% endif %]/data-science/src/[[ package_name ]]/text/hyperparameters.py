"""The hyperparameters of the models that summarize: which there are, and what they may be. It imports no PyTorch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..core.hyperparameters import Rules, integer, number
from ..neural.settings import LOOP_RULES
from .choices import HUB, NetworkSettings, check_choice, revision_problem, width_problem
from .choices import load as load_choice

EXTRACTIVE, SMALL = "extractive", "small_seq2seq"


@dataclass(frozen=True)
class Selection:
    """The settings of the selection of sentences; config/model.yml says what they mean."""

    model: str = EXTRACTIVE
    sentences: int | None = None
    alpha: float = 30.0
    max_features: int = 20_000


@dataclass(frozen=True, kw_only=True)
class Generation(NetworkSettings):
    """The settings of an encoder with a decoder; config/model.yml says what they mean."""

    model: str = SMALL
    prefix: str = ""
    max_new_tokens: int = 64
    beams: int = 1
    vocabulary: int = 4000


# What is learned already must not be forgotten in large steps.
_MODELS: Mapping[str, tuple[Callable[..., Selection | Generation], Mapping[str, Any]]] = {
    EXTRACTIVE: (Selection, {}),
    SMALL: (Generation, {"epochs": 10, "batch_size": 16, "learning_rate": 0.001}),
    HUB: (
        Generation,
        {"epochs": 3, "batch_size": 8, "learning_rate": 5e-5, "weight_decay": 0.01, "beams": 4, "max_tokens": 512},
    ),
}


def _prefix_problem(value: object) -> str:
    return "" if isinstance(value, str) and len(value) <= 100 else "must be a text of at most 100 characters"


_LOOP = {key: rule for key, rule in LOOP_RULES.items() if key != "class_weights"}
_NETWORK: Rules = {
    "max_tokens": integer(8, 16_384),
    "max_new_tokens": integer(1, 4096),
    "beams": integer(1, 32),
    **_LOOP,
}
_RULES: Mapping[str, Rules] = {
    EXTRACTIVE: {
        "sentences": integer(1, 1000),
        "alpha": number(1e-6, 1e9),
        "max_features": integer(100, 10_000_000),
    },
    SMALL: {
        "vocabulary": integer(300, 1_000_000),
        "layers": integer(1, 24),
        "width": width_problem,
        "dropout": number(0.0, 0.9),
        **_NETWORK,
    },
    HUB: {"revision": revision_problem, "prefix": _prefix_problem, **_NETWORK},
}


def check(given: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with hyperparameters; see `core.modality.Modality.check_hyperparameters`."""
    return check_choice(given, _RULES, "google-t5/t5-small")


def load(given: Mapping[str, Any]) -> Selection | Generation:
    """Return the settings that are given, the others as they are by default.

    Raises:
        StepError: a setting is unknown, or has a wrong value.
    """
    return load_choice(given, check, _MODELS)
