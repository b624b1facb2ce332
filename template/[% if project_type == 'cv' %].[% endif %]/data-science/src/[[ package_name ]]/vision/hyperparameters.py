"""The hyperparameters of a network: which there are, and which values they take. It imports no PyTorch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.hyperparameters import PLACE, Rules, boolean, integer, number, problems
from ..core.step import StepError
from ..neural.settings import LOOP_RULES, NOT_OF_THE_MODEL, LoopSettings

HOW_FAST = (*NOT_OF_THE_MODEL, "workers", "cache")
"""They decide how fast a model is trained, and not which."""

SMALL = "small_cnn"
LIBRARIES = ("torchvision", "timm")


@dataclass(frozen=True)
class Augmentation:
    """How much images may be changed.

    Attributes:
        rotation: at most so many degrees to either side.
        shift: at most this share of the width, and of the height.
        scale: at most this share larger or smaller.
        contrast: at most this share more or less.
        brightness: at most this share of white more or less.
        flip_left_right: mirrors every second image; digits and letters are other signs then.
        flip_up_down: turns every second image upside down.
    """

    rotation: float = 0.0
    shift: float = 0.0
    scale: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    flip_left_right: bool = False
    flip_up_down: bool = False


@dataclass(frozen=True)
class Hyperparameters(LoopSettings):
    """The settings of `training.hyperparameters`; config/model.yml says what they mean."""

    backbone: str = SMALL
    pretrained: bool = True
    freeze: bool = False
    size: int | None = None
    augment: Augmentation = field(default_factory=Augmentation)
    workers: int | None = None
    cache: float = 2000.0

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Hyperparameters":
        """Return the settings that are given, the others as they are by default.

        Raises:
            StepError: a setting is unknown, or has a wrong value.
        """
        if wrong := check(given):
            raise StepError("; ".join(wrong))
        known = {key: value for key, value in given.items() if value is not None}
        augment = {key: value for key, value in known.get("augment", {}).items() if value is not None}
        return cls(**{**known, "augment": Augmentation(**augment)})


def backbone_problem(name: object) -> str:
    """Say what is wrong with the name of a network, as far as its library need not be asked."""
    if not isinstance(name, str):
        return "must be the name of a network"
    library, _, model = name.partition(":")
    if name == SMALL or (library in LIBRARIES and model):
        return ""
    return f"is unknown; choose one of {SMALL}, torchvision:NAME such as torchvision:resnet18, timm:NAME"


_RULES: Rules = {
    **LOOP_RULES,
    "backbone": backbone_problem,
    "pretrained": boolean,
    "freeze": boolean,
    "size": integer(8, 4096),
    "augment": {
        "rotation": number(0.0, 180.0),
        "shift": number(0.0, 0.5),
        "scale": number(0.0, 0.9),
        "contrast": number(0.0, 1.0),
        "brightness": number(0.0, 1.0),
        "flip_left_right": boolean,
        "flip_up_down": boolean,
    },
    "workers": integer(1, 1024),
    "cache": number(0.0, 1e7),
}


def check(given: Mapping[str, Any]) -> list[str]:
    """Return what is wrong with hyperparameters; see `core.modality.Modality.check_hyperparameters`."""
    found = problems(given, _RULES)
    if given.get("freeze") is True and given.get("backbone") in (None, SMALL):
        found.append(f"{PLACE}.freeze: {SMALL} is not pretrained, so all of it must learn; leave it out")
    return found
