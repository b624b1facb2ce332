"""Training of a network on images: epochs, early stopping, checkpoints, on one process or several."""

import copy
import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..core.consistency import check_training
from ..core.modality import Examples
from ..core.predictions import Predictions
from ..core.schema import Schema
from ..core.split import hash_shares
from ..core.step import StepError
from ..model_output import from_probabilities
from . import networks, saving
from .augmentation import DRAWS, augment
from .checkpoints import Checkpoints
from .data import contents, near_duplicates, thumbnails
from .hyperparameters import PLACE, Hyperparameters
from .pictures import Pictures, look, processors
from .processes import Processes, processes

# They decide how fast a model is trained, and not which.
_NOT_OF_THE_MODEL = ("device", "workers", "cache", "checkpoint_every")

# Without that many validation examples their loss says little.
_FEWEST_VALIDATION_EXAMPLES = 10
_ROWS_AT_ONCE = 64
# For batches of fewer pixels, a second thread helps less than it costs to wait for it.
_PIXELS_WORTH_THREADS = 150_000
_SECONDS_BETWEEN_LINES = 30.0


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
        device = self.network.mean.device
        # Filled and not joined: small results between the large arrays of each batch would break up the memory.
        probabilities = np.empty((len(pictures), len(self.classes)))
        parts = list(chunks(len(pictures), _ROWS_AT_ONCE))
        with torch.inference_mode():
            for places, images in zip(parts, pictures.batches(parts), strict=True):
                logits = self.network(torch.from_numpy(images).to(device))
                probabilities[places] = logits.double().softmax(dim=1).cpu().numpy()
        return Predictions.of(from_probabilities(probabilities, self.classes, self.schema.classes, self.threshold))

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
    target = examples.frame[schema.target]
    classes = schema.class_names(target)
    if len(classes) < 2:
        raise StepError(f"{schema.target} has one class, {', '.join(classes)}: add examples of other classes")
    if "prediction" in classes:
        raise StepError(f"{schema.target}: no class can have the name prediction, which a column of the result has")
    if training.get("threshold") is not None and len(classes) != 2:
        raise StepError("training.threshold: is for two classes, and this target has others; leave it out")
    numbers = {name: place for place, name in enumerate(classes)}
    labels = np.array([numbers[str(value)] for value in target], dtype=np.int64)
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
        _limit_threads(settings.batch_size // group.count * network.size**2)
        pictures = Pictures(files, network.size, network.channels, settings.cache, settings.workers)
        validation = validation_part(examples.frame, schema, labels, settings.validation)
        validation = _without_copies(examples, validation)
        identity = {
            **{key: value for key, value in asdict(settings).items() if key not in _NOT_OF_THE_MODEL},
            **{"size": network.size, "channels": network.channels, "classes": list(classes), "seed": seed},
            "examples": _digest(examples.frame, labels, validation),
        }
        state = Checkpoints(checkpoints, identity)
        _Training(group, settings, network, pictures, labels, validation, seed, state).run()
        network.eval()
    threshold = training.get("threshold") or 0.5
    return TrainedNetwork(network, settings.backbone, classes, schema, threshold, examples, pictures)


def _limit_threads(pixels: int) -> None:
    """Choose how many threads PyTorch uses, by the pixels of a batch, unless OMP_NUM_THREADS does."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(processors() if pixels >= _PIXELS_WORTH_THREADS else 1)


def validation_part(frame: pd.DataFrame, schema: Schema, labels: NDArray[np.int64], share: float) -> NDArray[np.bool_]:
    """Return which training examples do not train and tell when to stop, of shape (examples,).

    A hash decides, as for the held-out ones: what belongs together stays together, and examples that are added move no
    others. Examples of a class that would have no others stay in the training. There are none if they would be too few.
    """
    rule = schema.split
    columns = rule.columns if rule.group is None else (rule.group,)
    chosen = hash_shares(frame, columns, f"{rule.salt} validation") < share
    chosen &= np.isin(labels, labels[~chosen])
    return chosen if chosen.sum() >= _FEWEST_VALIDATION_EXAMPLES else np.zeros(len(frame), dtype=bool)


def _without_copies(examples: Examples, validation: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the validation part without copies of examples that train; these train, too."""
    if not validation.any():
        return validation
    small = thumbnails(examples)
    kept = validation.copy()
    kept[validation] = ~near_duplicates(small[~validation], small[validation])
    return kept if kept.sum() >= _FEWEST_VALIDATION_EXAMPLES else np.zeros(len(kept), dtype=bool)


def _digest(frame: pd.DataFrame, labels: NDArray[np.int64], validation: NDArray[np.bool_]) -> str:
    """Return a hash of the examples; the column `image` has the content, or a name that follows from it."""
    total = hashlib.sha256(labels.tobytes() + validation.tobytes())
    for image in frame["image"]:
        total.update(hashlib.sha256(image if isinstance(image, bytes) else str(image).encode()).digest())
    return total.hexdigest()[:16]


def chunks(count: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Yield the places 0 to `count`, at most `size` at a time."""
    for first in range(0, count, size):
        yield np.arange(first, min(first + size, count))


@dataclass
class _Training:
    """A training while it runs; what random numbers there are follow from the seed, the epoch and the batch."""

    group: Processes
    settings: Hyperparameters
    network: networks.Network
    pictures: Pictures
    labels: NDArray[np.int64]
    validation: NDArray[np.bool_]
    seed: int
    checkpoints: Checkpoints

    def __post_init__(self) -> None:
        settings, device = self.settings, self.group.device
        self.train_places = np.flatnonzero(~self.validation)
        self.validation_places = np.flatnonzero(self.validation)
        self.batches = -(-len(self.train_places) // settings.batch_size)
        self.weights = self._class_weights()
        learning = [weight for weight in self.network.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(
            learning, settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        # Half precision of 8 bits for the exponent needs no scaling; older GPUs do not have it.
        self.half = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float16
        self.mixed = settings.mixed_precision and device.type == "cuda"
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.mixed and self.half == torch.float16)
        self.parallel: nn.Module = self.group.parallel(self.network)
        self.epoch = 0
        self.best: dict[str, Any] = {"epoch": 0, "loss": float("inf"), "weights": {}}

    def _class_weights(self) -> Tensor:
        if self.settings.class_weights == "none":
            return torch.ones(self.network.head.out_features)
        counts = np.bincount(self.labels[self.train_places], minlength=self.network.head.out_features)
        return torch.tensor(len(self.train_places) / (len(counts) * np.maximum(counts, 1)), dtype=torch.float32)

    def run(self) -> None:
        """Train; afterwards the network has the weights of the best epoch."""
        finished = self._resume()
        size, device = self.network.size, self.group.device.type
        parts = f"{len(self.train_places):,} train and {len(self.validation_places):,} tell when to stop"
        self._say(f"{self.settings.backbone} on {device}, images of {size} x {size} pixels, {parts}")
        while not finished:
            started = time.perf_counter()
            self.epoch += 1
            values = self._one_epoch()
            images = len(self.train_places) / (time.perf_counter() - started)
            values |= self._validate()
            finished = self._note(values)
            if finished or self.epoch % self.settings.checkpoint_every == 0:
                self._save(finished)
            self._report(values, images)
        if self.best["weights"]:
            self.network.load_state_dict(self.best["weights"])
            self._say(f"the best epoch was {self.best['epoch']}, its validation loss {self.best['loss']:.4f}")

    def _one_epoch(self) -> dict[str, float]:
        """Train on each image once; return the loss and the share of correct predictions on the way."""
        # One generator for what all processes draw alike, and one of this process for layers that draw themselves.
        common = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        torch.manual_seed(self.seed * 1_000_003 + self.epoch + 7_919 * self.group.rank)
        order = self.train_places[torch.randperm(len(self.train_places), generator=common).numpy()]
        # Batches of equal size: a last one of a few images would count as much as the others.
        parts = np.array_split(order, self.batches)
        shares = [self._share(part) for part in parts]
        self.parallel.train()
        totals = torch.zeros(2, dtype=torch.float64, device=self.group.device)
        spoken, done = time.perf_counter(), 0
        for step, images in enumerate(self.pictures.batches(places for places, _ in shares)):
            part, (places, counts) = parts[step], shares[step]
            draws = torch.rand((len(part), DRAWS), generator=common)[self._rows(len(part))]
            weight = self.weights[self.labels[part]].sum()
            totals += self._step(images, draws, self.labels[places], counts, float(weight), step)
            done += len(part)
            if time.perf_counter() - spoken > _SECONDS_BETWEEN_LINES:
                self._say(f"epoch {self.epoch}: {done:,} of {len(order):,} images")
                spoken = time.perf_counter()
        total_loss, total_weight = self.group.total(totals)
        if not np.isfinite(total_loss):
            remedy = f"choose a smaller {PLACE}.learning_rate"
            raise StepError(f"the loss of epoch {self.epoch} is NaN or infinite: {remedy}")
        return {"loss": total_loss / total_weight}

    def _rows(self, count: int) -> NDArray[np.int64]:
        """Return which rows of a batch this process computes; at least one, because each must take part."""
        rows = np.arange(self.group.rank, count, self.group.count)
        return rows if len(rows) else np.arange(1)

    def _share(self, part: NDArray[Any]) -> tuple[NDArray[Any], float]:
        """Return what this process computes of a batch, and whether it counts: 1, or 0 if it is only there to wait."""
        return part[self._rows(len(part))], float(self.group.rank < len(part))

    def _step(
        self,
        images: NDArray[np.uint8],
        draws: Tensor,
        labels: NDArray[np.int64],
        counts: float,
        weight: float,
        step: int,
    ) -> Tensor:
        """Learn from a batch, whose examples have the sum `weight` over all processes; return loss and weight here."""
        device = self.group.device
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(step)
        actual = torch.from_numpy(labels).to(device, non_blocking=True)
        weights = counts * self.weights.to(device)[actual]
        self.optimizer.zero_grad(set_to_none=True)
        changed = augment(self._on_device(images), draws.to(device, non_blocking=True), self.settings.augment)
        with torch.autocast(device.type, self.half, enabled=self.mixed):
            logits = self.parallel(changed)
        losses = functional.cross_entropy(
            logits.float(), actual, reduction="none", label_smoothing=self.settings.label_smoothing
        )
        loss = (losses * weights).sum()
        # The gradients become the mean over the processes, and should be the sum.
        self.scaler.scale(loss * (self.group.count / weight)).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return torch.stack((loss.detach(), weights.sum())).double()

    def _on_device(self, images: NDArray[np.uint8]) -> Tensor:
        tensor = torch.from_numpy(images)
        if self.group.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.group.device, non_blocking=True)

    def _learning_rate(self, step: int) -> float:
        """Return the learning rate of a step: it rises in a straight line and falls as a cosine."""
        total = self.settings.epochs * self.batches
        place = (self.epoch - 1) * self.batches + step + 1
        rise = self.settings.warmup * total
        if place < rise:
            return self.settings.learning_rate * place / rise
        return self.settings.learning_rate * 0.5 * (1 + float(np.cos(np.pi * (place - rise) / (total - rise + 1))))

    def _validate(self) -> dict[str, float]:
        if not len(self.validation_places):
            return {}
        own = self.validation_places[self.group.rank :: self.group.count]
        parts = [own[places] for places in chunks(len(own), _ROWS_AT_ONCE)]
        totals = torch.zeros(2, dtype=torch.float64, device=self.group.device)
        self.network.eval()
        with torch.inference_mode():
            for part, images in zip(parts, self.pictures.batches(parts), strict=True):
                actual = torch.from_numpy(self.labels[part]).to(self.group.device)
                with torch.autocast(self.group.device.type, self.half, enabled=self.mixed):
                    logits = self.network(self._on_device(images))
                loss = functional.cross_entropy(logits.float(), actual, reduction="sum")
                totals += torch.stack((loss, (logits.argmax(dim=1) == actual).sum())).double()
        count = len(self.validation_places)
        total_loss, total_correct = self.group.total(totals)
        return {"validation_loss": total_loss / count, "validation_accuracy": total_correct / count}

    def _note(self, values: Mapping[str, float]) -> bool:
        """Keep the weights of the best epoch; return whether this one was the last."""
        last = self.epoch >= self.settings.epochs
        if "validation_loss" not in values:
            return last
        if values["validation_loss"] < self.best["loss"]:
            weights = copy.deepcopy({key: value.cpu() for key, value in self.network.state_dict().items()})
            self.best = {"epoch": self.epoch, "loss": values["validation_loss"], "weights": weights}
        waited = self.epoch - self.best["epoch"]
        return last or (self.settings.patience is not None and waited >= self.settings.patience)

    def _save(self, finished: bool) -> None:
        if self.group.is_main:
            self.checkpoints.save(
                {
                    "epoch": self.epoch,
                    "finished": finished,
                    "network": self.network.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "scaler": self.scaler.state_dict(),
                    "best": self.best,
                }
            )

    def _resume(self) -> bool:
        """Go on from the checkpoint, if there is one; return whether it is of a finished training."""
        state = self.group.from_main(self.checkpoints.load)
        if state is None:
            return False
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.epoch, self.best = state["epoch"], state["best"]
        done = ", which was the last: nothing is left to train" if state["finished"] else ""
        self._say(f"going on after epoch {self.epoch} of {self.checkpoints.path}{done}")
        return bool(state["finished"])

    def _report(self, values: Mapping[str, float], images: float) -> None:
        """Print a line for the epoch, and log its values to the run of MLflow if there is one."""
        rate = self._learning_rate(self.batches - 1)
        line = f"epoch {self.epoch} of {self.settings.epochs}: loss {values['loss']:.4f}"
        if "validation_loss" in values:
            line += f", validation loss {values['validation_loss']:.4f}"
            line += f", validation accuracy {values['validation_accuracy']:.4f}"
        self._say(f"{line}, learning rate {rate:.2g}, {images:,.0f} images/s")
        if self.group.is_main and mlflow.active_run() is not None:
            mlflow.log_metrics({**values, "learning_rate": rate, "images_per_second": images}, step=self.epoch)

    def _say(self, line: str) -> None:
        if self.group.is_main:
            print(line, flush=True)
