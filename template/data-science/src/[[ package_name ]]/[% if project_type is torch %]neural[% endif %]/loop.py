"""The training loop of a network: epochs, early stopping, checkpoints, on one process or several."""

import copy
import ctypes
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import mlflow
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ..core.hyperparameters import PLACE
from ..core.schema import Schema
from ..core.split import hash_shares
from ..core.step import StepError
from .checkpoints import Checkpoints
from .processes import Processes, processors
from .settings import LoopSettings

# Without that many validation examples their loss says little.
_FEWEST_VALIDATION_EXAMPLES = 10
_ROWS_AT_ONCE = 64
# So many batches of examples of similar length are made together, from examples in random order.
_BATCHES_SORTED = 50
# With fewer numbers of a batch for each thread, another one helps less than it costs to wait for it: a second one makes
# batches of 64 grey images of 28 pixels a quarter faster, and batches of 32 slower.
_NUMBERS_PER_THREAD = 25_000
_SECONDS_BETWEEN_LINES = 30.0
# Parameters of `mallopt` in glibc, and the highest values that it takes on all machines.
_MALLOPT = {"M_TRIM_THRESHOLD": (-1, 2**30), "M_MMAP_THRESHOLD": (-3, 2**25)}

Arrays = tuple[NDArray[Any], ...]
"""A batch as the network takes it: an array for each of its inputs, with a row per example."""


class Source(Protocol):
    """The examples as a network takes them."""

    def batches(self, parts: Iterable[NDArray[Any]]) -> Iterator[Arrays]:
        """Yield the examples at the places of each part; those of the next parts may be under way."""
        ...


def _as_they_are(inputs: tuple[Tensor, ...], draws: Tensor) -> tuple[Tensor, ...]:
    return inputs


@dataclass
class Training:
    """A training while it runs; what random numbers there are follow from the seed, the epoch and the batch.

    Attributes:
        group: the processes that train.
        settings: of the loop.
        network: gives logits, of shape (examples, classes), of the inputs that `source` yields; or, where
            examples have no class, the loss of each, of shape (examples,).
        source: all examples; their places are those of `labels`.
        labels: the place of the class of each example, of shape (examples,); 0 where it has none.
        classes: how many there are; 0 where examples have none.
        validation: which examples do not train and tell when to stop, of shape (examples,).
        seed: of all that is random.
        checkpoints: where the state is kept.
        title: what the first line says, before the number of examples.
        unit: what the examples are called.
        lengths: of the examples, if a batch is as long as its longest one: those of similar length share a batch then.
        draws: random numbers, 0 to 1, that `change` needs for each example.
        change: makes other inputs of those of a batch, on the device; it gets the random numbers too.
    """

    group: Processes
    settings: LoopSettings
    network: nn.Module
    source: Source
    labels: NDArray[np.int64]
    classes: int
    validation: NDArray[np.bool_]
    seed: int
    checkpoints: Checkpoints
    title: str
    unit: str = "examples"
    lengths: NDArray[np.int64] | None = None
    draws: int = 0
    change: Callable[[tuple[Tensor, ...], Tensor], tuple[Tensor, ...]] = _as_they_are
    epoch: int = field(default=0, init=False)
    best: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        """Prepare optimizer and weights."""
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
        self.best = {"epoch": 0, "loss": float("inf"), "weights": {}}

    def _class_weights(self) -> Tensor:
        if self.settings.class_weights == "none" or not self.classes:
            return torch.ones(max(1, self.classes))
        counts = np.bincount(self.labels[self.train_places], minlength=self.classes)
        return torch.tensor(len(self.train_places) / (self.classes * np.maximum(counts, 1)), dtype=torch.float32)

    def run(self) -> None:
        """Train; afterwards the network has the weights of the best epoch.

        Raises:
            StepError: the training diverges, or a checkpoint is of another training or cannot be written.
        """
        keep_memory()
        finished = self._resume()
        parts = f"{len(self.train_places):,} train and {len(self.validation_places):,} tell when to stop"
        self._say(f"{self.title}, {parts}")
        while not finished:
            started = time.perf_counter()
            self.epoch += 1
            values = self._one_epoch()
            rate = len(self.train_places) / (time.perf_counter() - started)
            values |= self._validate()
            finished = self._note(values)
            if finished or self.epoch % self.settings.checkpoint_every == 0:
                self._save(finished)
            self._report(values, rate)
        if self.best["weights"]:
            self.network.load_state_dict(self.best["weights"])
            self._say(f"the best epoch was {self.best['epoch']}, its validation loss {self.best['loss']:.4f}")
        self.network.eval()

    def _one_epoch(self) -> dict[str, float]:
        """Train on each example once; return the loss on the way."""
        # One generator for what all processes draw alike, and one of this process for layers that draw themselves.
        common = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        torch.manual_seed(self.seed * 1_000_003 + self.epoch + 7_919 * self.group.rank)
        parts = self._parts(common)
        shares = [self._share(part) for part in parts]
        self.parallel.train()
        totals = torch.zeros(2, dtype=torch.float64, device=self.group.device)
        spoken, done = time.perf_counter(), 0
        for step, arrays in enumerate(self.source.batches(places for places, _ in shares)):
            part, (places, counts) = parts[step], shares[step]
            draws = torch.rand((len(part), self.draws), generator=common)[self._rows(len(part))]
            weight = self.weights[self.labels[part]].sum()
            totals += self._step(arrays, draws, self.labels[places], counts, float(weight), step)
            done += len(part)
            if time.perf_counter() - spoken > _SECONDS_BETWEEN_LINES:
                self._say(f"epoch {self.epoch}: {done:,} of {len(self.train_places):,} {self.unit}")
                spoken = time.perf_counter()
        total_loss, total_weight = self.group.total(totals)
        if not np.isfinite(total_loss):
            remedy = f"choose a smaller {PLACE}.learning_rate"
            raise StepError(f"the loss of epoch {self.epoch} is NaN or infinite: {remedy}")
        return {"loss": total_loss / total_weight}

    def _parts(self, generator: torch.Generator) -> list[NDArray[np.int64]]:
        """Return the places of each batch of an epoch.

        Batches have equal size: a last one of a few examples would count as much as the others.
        """
        order = self.train_places[torch.randperm(len(self.train_places), generator=generator).numpy()]
        if self.lengths is None:
            return np.array_split(order, self.batches)
        pool = self.settings.batch_size * _BATCHES_SORTED
        pools = [order[first : first + pool] for first in range(0, len(order), pool)]
        parts = np.array_split(np.concatenate([each[np.argsort(self.lengths[each])] for each in pools]), self.batches)
        return [parts[place] for place in torch.randperm(len(parts), generator=generator).tolist()]

    def _rows(self, count: int) -> NDArray[np.int64]:
        """Return which rows of a batch this process computes; at least one, because each must take part."""
        rows = np.arange(self.group.rank, count, self.group.count)
        return rows if len(rows) else np.arange(1)

    def _share(self, part: NDArray[Any]) -> tuple[NDArray[Any], float]:
        """Return what this process computes of a batch, and whether it counts: 1, or 0 if it is only there to wait."""
        return part[self._rows(len(part))], float(self.group.rank < len(part))

    def _step(
        self, arrays: Arrays, draws: Tensor, labels: NDArray[np.int64], counts: float, weight: float, step: int
    ) -> Tensor:
        """Learn from a batch, whose examples have the sum `weight` over all processes; return loss and weight here."""
        device = self.group.device
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(step)
        actual = torch.from_numpy(labels).to(device, non_blocking=True)
        weights = counts * self.weights.to(device)[actual]
        self.optimizer.zero_grad(set_to_none=True)
        inputs = self.change(tensors(arrays, device), draws.to(device, non_blocking=True))
        with torch.autocast(device.type, self.half, enabled=self.mixed):
            outputs = self.parallel(*inputs)
        loss = (self._losses(outputs.float(), actual, self.settings.label_smoothing) * weights).sum()
        # The gradients become the mean over the processes, and should be the sum.
        self.scaler.scale(loss * (self.group.count / weight)).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return torch.stack((loss.detach(), weights.sum())).double()

    def _losses(self, outputs: Tensor, actual: Tensor, smoothing: float) -> Tensor:
        """Return the loss of each example, of shape (examples,)."""
        if not self.classes:
            return outputs
        return functional.cross_entropy(outputs, actual, reduction="none", label_smoothing=smoothing)

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
            for part, arrays in zip(parts, self.source.batches(parts), strict=True):
                actual = torch.from_numpy(self.labels[part]).to(self.group.device)
                with torch.autocast(self.group.device.type, self.half, enabled=self.mixed):
                    outputs = self.network(*tensors(arrays, self.group.device)).float()
                loss = self._losses(outputs, actual, 0.0).sum()
                right = (outputs.argmax(dim=1) == actual).sum() if self.classes else loss * 0
                totals += torch.stack((loss, right)).double()
        count = len(self.validation_places)
        total_loss, total_correct = self.group.total(totals)
        accuracy = {"validation_accuracy": total_correct / count} if self.classes else {}
        return {"validation_loss": total_loss / count, **accuracy}

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

    def _report(self, values: Mapping[str, float], rate: float) -> None:
        """Print a line for the epoch, and log its values to the run of MLflow if there is one."""
        learning_rate = self._learning_rate(self.batches - 1)
        line = f"epoch {self.epoch} of {self.settings.epochs}: loss {values['loss']:.4f}"
        if "validation_loss" in values:
            line += f", validation loss {values['validation_loss']:.4f}"
        if "validation_accuracy" in values:
            line += f", validation accuracy {values['validation_accuracy']:.4f}"
        self._say(f"{line}, learning rate {learning_rate:.2g}, {rate:,.0f} {self.unit}/s")
        if self.group.is_main and mlflow.active_run() is not None:
            logged = {**values, "learning_rate": learning_rate, f"{self.unit}_per_second": rate}
            mlflow.log_metrics(logged, step=self.epoch)

    def _say(self, line: str) -> None:
        if self.group.is_main:
            print(line, flush=True)


def tensors(arrays: Arrays, device: torch.device) -> tuple[Tensor, ...]:
    """Return a batch on a device."""
    made = [torch.from_numpy(array) for array in arrays]
    if device.type == "cuda":
        made = [tensor.pin_memory() for tensor in made]
    return tuple(tensor.to(device, non_blocking=True) for tensor in made)


def chunks(count: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Yield the places 0 to `count`, at most `size` at a time."""
    for first in range(0, count, size):
        yield np.arange(first, min(first + size, count))


def probabilities(network: nn.Module, source: Source, count: int, classes: int) -> NDArray[np.float64]:
    """Return the probabilities that a network gives the examples at the places 0 to `count`.

    Returns:
        Of shape (examples, classes).
    """
    device = next(network.parameters()).device
    # Filled and not joined: small results between the large arrays of each batch would break up the memory.
    result = np.empty((count, classes))
    parts = list(chunks(count, _ROWS_AT_ONCE))
    with torch.inference_mode():
        for places, arrays in zip(parts, source.batches(parts), strict=True):
            result[places] = network(*tensors(arrays, device)).double().softmax(dim=1).cpu().numpy()
    return result


def keep_memory() -> None:
    """Let the C library of Linux keep the memory that a batch frees, for the next one.

    Linux would get it back and hand it out page by page, filled with zeros: a tenth to a third of the time of a batch.
    A training uses no more memory so, but holds what it used at most until its process ends.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        for parameter, value in _MALLOPT.values():
            mallopt(parameter, value)


def limit_threads(numbers: int) -> None:
    """Choose how many threads PyTorch uses, by the numbers in a batch, unless OMP_NUM_THREADS does."""
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(processors(), numbers // _NUMBERS_PER_THREAD)))


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


def without_copies(
    validation: NDArray[np.bool_],
    fingerprints: NDArray[Any],
    alike: Callable[[NDArray[Any], NDArray[Any]], NDArray[np.bool_]],
) -> NDArray[np.bool_]:
    """Return the validation part without copies of examples that train; these train, too.

    Args:
        validation: of `validation_part`.
        fingerprints: of the training examples, and
        alike: what compares them; see `core.modality.Modality`.
    """
    kept = validation.copy()
    kept[validation] = ~alike(fingerprints[~validation], fingerprints[validation])
    return kept if kept.sum() >= _FEWEST_VALIDATION_EXAMPLES else np.zeros(len(kept), dtype=bool)


def code_digest(folder: Path) -> str:
    """Return a hash of what computes a training: the sources of this package and in `folder`, and PyTorch's release."""
    total = hashlib.sha256(torch.__version__.encode())
    for path in sorted([*Path(__file__).parent.glob("*.py"), *folder.glob("*.py")]):
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()[:16]


def digest(inputs: Iterable[str | bytes], labels: NDArray[np.int64], validation: NDArray[np.bool_]) -> str:
    """Return a hash of what a training learns from: of the contents of its inputs, bytes or text, and of their use."""
    total = hashlib.sha256(labels.tobytes() + validation.tobytes())
    for value in inputs:
        total.update(hashlib.sha256(value if isinstance(value, bytes) else str(value).encode()).digest())
    return total.hexdigest()[:16]
