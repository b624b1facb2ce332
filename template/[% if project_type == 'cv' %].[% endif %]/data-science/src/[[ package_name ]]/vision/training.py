"""Training of a network on images."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch

from ..core.consistency import check_training
from ..core.labels import class_numbers
from ..core.modality import Examples
from ..core.predictions import Predictions
from ..core.schema import Schema
from ..core.settings import check_numbers, refuse_unknown_keys
from ..core.step import StepError
from ..model_output import from_probabilities
from ..neural.checkpoints import Checkpoints
from ..neural.loop import (
    PLACE,
    Training,
    digest,
    limit_threads,
    probabilities,
    validation_part,
    without_copies,
)
from ..neural.processes import processes
from . import networks, saving
from .augmentation import DRAWS, Augmentation
from .data import IMAGE, NAME, alike, contents, fingerprints, thumbnails
from .pictures import Pictures, look

_FLIPS = ("flip_left_right", "flip_up_down")
_AUGMENT = {
    "rotation": (0.0, 180.0),
    "shift": (0.0, 0.5),
    "scale": (0.0, 0.9),
    "contrast": (0.0, 1.0),
    "brightness": (0.0, 1.0),
}
_FLOATS = {
    "learning_rate": (1e-7, 10.0),
    "weight_decay": (0.0, 10.0),
    "warmup": (0.0, 0.9),
    "label_smoothing": (0.0, 0.9),
    "validation": (0.0, 0.5),
    "cache": (0.0, 1e7),
}
_INTEGERS = {
    "size": (8, 4096),
    "epochs": (1, 100_000),
    "batch_size": (2, 1_000_000),
    "patience": (1, 100_000),
    "workers": (1, 1024),
    "checkpoint_every": (1, 100_000),
}
_CHOICES = {"class_weights": ("none", "balanced"), "device": ("auto", "cpu", "gpu")}
_BOOLEANS = ("pretrained", "freeze", "mixed_precision")
# They decide how fast a model is trained, and not which.
_NOT_OF_THE_MODEL = ("device", "workers", "cache", "checkpoint_every")


@dataclass(frozen=True)
class Hyperparameters:
    """The settings of `training.hyperparameters`; config/model.yml says what they mean."""

    backbone: str = networks.SMALL
    pretrained: bool = True
    freeze: bool = False
    size: int | None = None
    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 0.006
    weight_decay: float = 0.05
    warmup: float = 0.1
    label_smoothing: float = 0.0
    class_weights: str = "none"
    augment: Augmentation = field(default_factory=Augmentation)
    validation: float = 0.1
    patience: int | None = None
    device: str = "auto"
    mixed_precision: bool = True
    workers: int | None = None
    cache: float = 2000.0
    checkpoint_every: int = 1

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Hyperparameters":
        """Return the settings that are given, the others as they are by default.

        Raises:
            StepError: a setting is unknown, or has a wrong value.
        """
        refuse_unknown_keys(dict(given), tuple(each.name for each in fields(cls)), PLACE)
        known = {key: value for key, value in given.items() if value is not None}
        numbers = _FLOATS | _INTEGERS
        check_numbers(PLACE, {key: known[key] for key in numbers if key in known}, numbers)
        for key in _INTEGERS:
            if not isinstance(known.get(key, 1), int):
                raise StepError(f"{PLACE}.{key}: {known[key]!r} must be an integer")
        for key, choices in _CHOICES.items():
            if known.get(key, choices[0]) not in choices:
                raise StepError(f"{PLACE}.{key}: {known[key]!r} is unknown; choose one of {', '.join(choices)}")
        _check_booleans(PLACE, known, _BOOLEANS)
        if not isinstance(known.get("backbone", ""), str):
            raise StepError(f"{PLACE}.backbone: {known['backbone']!r} must be the name of a network")
        return cls(**{**known, "augment": _augmentation(known.get("augment", {}))})


def _augmentation(given: object) -> Augmentation:
    place = f"{PLACE}.augment"
    if not isinstance(given, Mapping):
        raise StepError(f"{place}: must be `name: value` lines")
    known = {key: value for key, value in given.items() if value is not None}
    check_numbers(place, {key: value for key, value in known.items() if key not in _FLIPS}, _AUGMENT, _FLIPS)
    _check_booleans(place, known, _FLIPS)
    return Augmentation(**known)


def _check_booleans(place: str, given: Mapping[str, Any], names: Sequence[str]) -> None:
    for name in names:
        if not isinstance(given.get(name, False), bool):
            raise StepError(f"{place}.{name}: {given[name]!r} must be true or false")


@dataclass(frozen=True)
class TrainedNetwork:
    """A network that was trained.

    Attributes:
        network: on the device that it was trained on.
        backbone: its name.
        classes: the names of its classes, in the order of the logits.
        schema: of the data.
        threshold: the probability from which the last of two classes is predicted.
        examples: the training examples.
        pictures: their images.
    """

    network: networks.Network
    backbone: str
    classes: tuple[str, ...]
    schema: Schema
    threshold: float
    examples: Examples
    pictures: Pictures

    def predict(self, examples: Examples) -> Predictions:
        """Return the predictions for the examples."""
        pictures = self._pictures(examples)
        found = probabilities(self.network, pictures, len(pictures), len(self.classes))
        return Predictions.of(from_probabilities(found, self.classes, self.schema.classes, self.threshold))

    def save(self, examples: Examples, folder: Path) -> None:
        """Write an MLflow model into `folder`, which is empty."""
        pictures = self._pictures(examples)
        integers = self.schema.columns[self.schema.target].type == "integer"
        saving.save(self.network, self.backbone, self.classes, integers, pictures, folder)

    def _pictures(self, examples: Examples) -> Pictures:
        # Those of the training are decoded already.
        if examples is self.examples:
            return self.pictures
        return Pictures(contents(examples), self.network.size, self.network.channels)


def fit(
    examples: Examples, schema: Schema, training: Mapping[str, Any], checkpoints: Path | None = None
) -> TrainedNetwork:
    """Train a network on images; see `core.modality.Modality.fit`.

    On a processor the same examples, settings and seed give the same model, after an interruption too; several
    processes give the same one but for rounding.

    Raises:
        StepError: a setting is wrong, a checkpoint is of another training or cannot be written, there is no such
            network or device, or the training diverges.
    """
    settings = Hyperparameters.of(training["hyperparameters"])
    check_training(training, schema)
    classes, labels = class_numbers(examples.frame[schema.target], schema, training)
    files = contents(examples)
    with processes(settings.device) as group, torch.random.fork_rng(enabled=True):
        seed = training["seed"]
        torch.manual_seed(seed)
        network = networks.build(
            settings.backbone,
            len(classes),
            lambda size: look(files, size, settings.workers),
            settings.size,
            settings.pretrained,
            settings.freeze,
        ).to(group.device)
        if group.device.type == "cuda":
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # faster in half precision
        limit_threads(settings.batch_size // group.count * network.size**2)
        pictures = Pictures(files, network.size, network.channels, settings.cache, settings.workers)
        validation = validation_part(examples.frame, schema, labels, settings.validation)
        if validation.any():
            validation = without_copies(validation, fingerprints(thumbnails(examples)), alike)
        identity = {
            **{key: value for key, value in asdict(settings).items() if key not in _NOT_OF_THE_MODEL},
            **{"size": network.size, "channels": network.channels, "classes": list(classes), "seed": seed},
            # The column `image` of pictures that were checked is a hash of their content.
            "examples": digest(examples.frame[IMAGE] if NAME in examples.frame else files, labels, validation),
        }
        Training(
            group,
            settings,
            network,
            pictures,
            labels,
            len(classes),
            validation,
            seed,
            Checkpoints(checkpoints, identity),
            f"{settings.backbone} on {group.device.type}, images of {network.size} x {network.size} pixels",
            unit="images",
            draws=DRAWS,
            change=lambda inputs, draws: (settings.augment(inputs[0], draws),),
        ).run()
    threshold = training.get("threshold") or 0.5
    return TrainedNetwork(network, settings.backbone, classes, schema, threshold, examples, pictures)
