"""Hyperparameters of several models, one of which is chosen by name, perhaps from the Hugging Face hub.

It imports no PyTorch.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ..core.hyperparameters import PLACE, Rules, integer, problems
from ..core.step import StepError
from ..neural.settings import LoopSettings

Settings = TypeVar("Settings")

HUB = "hub:"
"""What the name of a model of the Hugging Face hub begins with."""


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(LoopSettings):
    """The settings that all networks for texts have; config/model.yml says what they mean."""

    model: str
    revision: str | None = None
    max_tokens: int = 256
    vocabulary: int = 8000
    layers: int = 2
    width: int = 128
    dropout: float = 0.1

    @property
    def hub_name(self) -> str | None:
        """What follows `hub:`; None for a small network."""
        return self.model.removeprefix(HUB) if self.model.startswith(HUB) else None


def load(
    given: Mapping[str, Any],
    check: Callable[[Mapping[str, Any]], list[str]],
    models: Mapping[str, tuple[Callable[..., Settings], Mapping[str, Any]]],
) -> Settings:
    """Return the settings of the chosen model, those that are not given as they are by default.

    Args:
        given: the hyperparameters; None is the same as to leave one out.
        check: returns what is wrong with them.
        models: for each model the class of its settings and what that class has no default for, or another one; the
            first model is the default, and `hub:` stands for all models of the hub.

    Raises:
        StepError: a setting is unknown, or has a wrong value.
    """
    if wrong := check(given):
        raise StepError("; ".join(wrong))
    known = {"model": next(iter(models))} | {key: value for key, value in given.items() if value is not None}
    kind, defaults = models[_kind(known["model"])]
    return kind(**{**defaults, **known})


def _kind(model: str) -> str:
    return HUB if model.startswith(HUB) else model


def width_problem(value: object) -> str:
    """Say what is wrong with the width of a small network; an empty text if nothing is."""
    wrong = integer(32, 4096)(value)
    return wrong or ("" if isinstance(value, int) and value % 32 == 0 else "must be a multiple of 32")


def revision_problem(value: object) -> str:
    """Say what is wrong with the revision of a model of the hub; an empty text if nothing is."""
    if isinstance(value, str) and re.fullmatch("[0-9a-f]{40}", value):
        return ""
    return "must be the hash of a commit, 40 digits and letters a to f: branches and tags move"


def check_choice(given: Mapping[str, Any], rules: Mapping[str, Rules], example: str) -> list[str]:
    """Return what is wrong with hyperparameters; see `core.modality.Modality.check_hyperparameters`.

    Args:
        given: the hyperparameters.
        rules: of each model; the first one is the default, and `hub:` stands for all models of the hub.
        example: of a model of the hub.
    """
    default = next(iter(rules))
    model = given.get("model") or default
    if wrong := _model_problem(model, list(rules), example):
        return [f"{PLACE}.model: {model!r} {wrong}"]
    kind = _kind(model)
    found = []
    for key, value in given.items():
        others = [f"{name}NAME" if name == HUB else name for name, keys in rules.items() if key in keys]
        if key == "model" or (value is None and others):
            continue  # to leave one out is the same as null
        if others and key not in rules[kind]:
            found.append(f"{PLACE}.{key}: is of {' and '.join(others)}, and the model is {model}; leave it out")
        else:
            found += problems({key: value}, {"model": _any, **rules[kind]})
    if kind == HUB and given.get("revision") is None:
        found.append(f"{PLACE}.revision: missing; name the commit of {model}: {revision_problem(None)}")
    return found


def _any(value: object) -> str:
    return ""


def _model_problem(name: object, known: list[str], example: str) -> str:
    if not isinstance(name, str):
        return "must be the name of a model"
    if name != HUB and (name in known or name.startswith(HUB)):
        return ""
    choices = ", ".join(each for each in known if each != HUB)
    return f"is unknown; choose one of {choices}, {HUB}NAME such as {HUB}{example}"
