"""The settings of the training loop: which there are, and which values they take. It imports no PyTorch."""

from dataclasses import dataclass

from ..core.hyperparameters import Rules, boolean, choice, integer, number


@dataclass(frozen=True)
class LoopSettings:
    """What `training.hyperparameters` says of the loop, whatever the network; config/model.yml says what it means."""

    epochs: int = 12
    batch_size: int = 64
    learning_rate: float = 0.006
    weight_decay: float = 0.05
    warmup: float = 0.1
    label_smoothing: float = 0.0
    class_weights: str = "none"
    validation: float = 0.1
    patience: int | None = None
    device: str = "auto"
    mixed_precision: bool = True
    checkpoint_every: int = 1


LOOP_RULES: Rules = {
    "epochs": integer(1, 100_000),
    "batch_size": integer(2, 1_000_000),
    "learning_rate": number(1e-7, 10.0),
    "weight_decay": number(0.0, 10.0),
    "warmup": number(0.0, 0.9),
    "label_smoothing": number(0.0, 0.9),
    "class_weights": choice("none", "balanced"),
    "validation": number(0.0, 0.5),
    "patience": integer(1, 100_000),
    "device": choice("auto", "cpu", "gpu"),
    "mixed_precision": boolean,
    "checkpoint_every": integer(1, 100_000),
}

NOT_OF_THE_MODEL = ("device", "checkpoint_every")
"""They decide how fast a model is trained, and not which."""
