"""Training of a network on images."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..core.consistency import check_training
from ..core.labels import class_numbers
from ..core.modality import Examples
from ..core.predictions import Predictions
from ..core.schema import Schema
from ..model_output import from_probabilities
from ..neural.checkpoints import Checkpoints
from ..neural.loop import (
    Training,
    code_digest,
    digest,
    limit_threads,
    probabilities,
    validation_part,
    without_copies,
)
from ..neural.processes import processes
from . import networks, saving
from .augmentation import DRAWS, augment
from .data import IMAGE, NAME, alike, contents, fingerprints, thumbnails
from .hyperparameters import HOW_FAST, Hyperparameters
from .pictures import Pictures, look


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
        saving.save(self.network, self.backbone, self.classes, self.schema, pictures, folder)

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
            **{key: value for key, value in asdict(settings).items() if key not in HOW_FAST},
            **{"size": network.size, "channels": network.channels, "classes": list(classes), "seed": seed},
            "code": code_digest(Path(__file__).parent),
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
            change=lambda inputs, draws: (augment(inputs[0], draws, settings.augment),),
        ).run()
    threshold = training.get("threshold") or 0.5
    return TrainedNetwork(network, settings.backbone, classes, schema, threshold, examples, pictures)
