"""Networks: a small one in plain PyTorch, and pretrained ones of torchvision and timm by their names.

A network takes images as they are decoded, of the type uint8 and shape (images, channels, size, size), so what is done
to their values is part of it.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..core.step import StepError
from ..neural.fetching import in_one_line, is_unreachable
from .hyperparameters import PLACE, SMALL, backbone_problem

# Where the maps of features are so small, the averages of their quarters are taken.
_SMALLEST_MAP = 7
# A larger image is halved by the first layer, which costs most, until it is not.
_LARGEST_MAP = 56
_NARROWEST, _WIDEST = 16, 256


@dataclass(frozen=True)
class Look:
    """What the training images look like: mean and standard deviation of each channel, 0 to 1."""

    size: int
    channels: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]


class Network(nn.Module):
    """A body, which turns images into features, and a head, which turns features into classes.

    Attributes:
        body: takes normalised images and gives features of shape (images, features).
        head: gives logits of shape (images, classes).
        size: width and height of the images, in pixels.
        channels: 1 for grey, 3 for red, green and blue.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: nn.Module, features: int, classes: int, look: Look, frozen: bool = False) -> None:
        """Join a body with a new head; a frozen body does not learn."""
        super().__init__()
        self.body, self.head = body, nn.Linear(features, classes)
        self.size, self.channels, self.frozen = look.size, look.channels, frozen
        self.register_buffer("mean", 255 * torch.tensor(look.mean).view(1, -1, 1, 1))
        self.register_buffer("deviation", 255 * torch.tensor(look.deviation).view(1, -1, 1, 1))
        if frozen:
            body.requires_grad_(False)

    def features(self, images: Tensor) -> Tensor:
        """Return features of shape (images, features); the values of images are 0 to 255."""
        features: Tensor = self.body((images.float() - self.mean) / self.deviation)
        return features

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of shape (images, classes)."""
        logits: Tensor = self.head(self.features(images))
        return logits

    def train(self, mode: bool = True) -> "Network":
        """Switch between training and use; a frozen body keeps the statistics that it has."""
        super().train(mode)
        if self.frozen:
            self.body.eval()
        return self


def build(
    name: str,
    classes: int,
    look: Callable[[int | None], Look],
    size: int | None = None,
    pretrained: bool = True,
    freeze: bool = False,
) -> Network:
    """Return a network that is not trained for these classes yet.

    Args:
        name: small_cnn, or a library and a name there, such as torchvision:resnet18.
        classes: how many there are.
        look: tells what the images look like at a size; None is one that suits them.
        size: width and height of the images, in pixels; None is what the network, or the data, suggest.
        pretrained: whether a network of a library starts from its published weights.
        freeze: whether only the head learns; all of small_cnn must.

    Raises:
        StepError: there is no such network, its library is missing, its weights cannot be fetched, or the size does not
            suit it.
    """
    if name == SMALL:
        seen = look(size)
        return Network(*_small(seen.size, seen.channels), classes, seen)
    if problem := backbone_problem(name):
        raise StepError(f"{PLACE}.backbone: {name!r} {problem}")
    library, _, model = name.partition(":")
    body, suggested, mean, deviation = _LOADERS[library](_imported(library), model, pretrained)
    given = Look(size or suggested, 3, mean, deviation)
    return Network(body, _features(body, name, given.size), classes, given, freeze)


def _small(size: int, channels: int) -> tuple[nn.Module, int]:
    """Return convolutions that halve the image until little is left of it, and how many features they give.

    Groups are normalised and not batches: so the result does not depend on how a batch is divided between processes.
    """
    layers: list[nn.Module] = []
    width, inputs = _NARROWEST, channels
    while size > _LARGEST_MAP:
        layers += _convolution(inputs, width, stride=2)
        inputs, size = width, -(-size // 2)
    layers += _convolution(inputs, width)
    while size > _SMALLEST_MAP:
        layers += [nn.MaxPool2d(2, ceil_mode=True), *_convolution(width, min(2 * width, _WIDEST))]
        width, size = min(2 * width, _WIDEST), -(-size // 2)
    layers += [*_convolution(width, width), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers), 4 * width


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
    return [convolution, nn.GroupNorm(8, outputs), nn.ReLU(inplace=True)]


def _imported(library: str) -> ModuleType:
    # timm imports torchvision, which must come from the index of PyTorch: pyproject.toml has that for what it names.
    packages = " ".join(dict.fromkeys(("torchvision", library)))
    remedy = f"run `uv add {packages}`, and add them to data-science/environment/train.yml"
    try:
        return import_module(library)
    except ModuleNotFoundError as error:
        raise StepError(f"{PLACE}.backbone: {error.name or library} is not installed: {remedy}") from error
    except Exception as error:  # a build for another PyTorch fails in its own way
        raise StepError(
            f"{PLACE}.backbone: {library} cannot be imported ({in_one_line(error)}); the release and build of "
            f"torchvision must belong to PyTorch {torch.__version__}: {remedy}"
        ) from error


_Loaded = tuple[nn.Module, int, tuple[float, ...], tuple[float, ...]]


def _torchvision(library: Any, name: str, pretrained: bool) -> _Loaded:
    models = library.models
    # Without those that detect or segment: they do not classify.
    _check_name("torchvision", name, models.list_models(module=models))
    weights = models.get_model_weights(name).DEFAULT
    size, mean, deviation = 224, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    if weights is not None:
        images = weights.transforms()
        size, mean, deviation = images.crop_size[0], tuple(images.mean), tuple(images.std)
    model = _fetched(f"torchvision:{name}", lambda: models.get_model(name, weights=weights if pretrained else None))
    _remove_auxiliary_heads(model)
    linear = [place for place, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise StepError(f"{PLACE}.backbone: torchvision:{name} does not end with a linear layer; choose another one")
    parent, _, last = linear[-1].rpartition(".")
    setattr(model.get_submodule(parent), last, nn.Identity())
    return model, size, mean, deviation


def _remove_auxiliary_heads(model: Any) -> None:
    """Leave the last head of a network as its only one: inception_v3 and googlenet give a tuple while they train."""
    if getattr(model, "aux_logits", False):
        model.aux_logits = False
        for name in ("AuxLogits", "aux1", "aux2"):
            if hasattr(model, name):
                setattr(model, name, None)


def _timm(library: Any, name: str, pretrained: bool) -> _Loaded:
    _check_name("timm", name.partition(".")[0], library.list_models())
    model = _fetched(f"timm:{name}", lambda: library.create_model(name, pretrained=pretrained, num_classes=0))
    images: Any = model.pretrained_cfg
    return model, images["input_size"][-1], tuple(images["mean"]), tuple(images["std"])


_LOADERS: dict[str, Callable[[Any, str, bool], _Loaded]] = {"torchvision": _torchvision, "timm": _timm}


def _check_name(library: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, 3, 0.4) or sorted(known)[:3]
        raise StepError(f"{PLACE}.backbone: {library} has no model {name!r}; similar are {', '.join(near)}")


def _fetched(name: str, create: Callable[[], nn.Module]) -> nn.Module:
    try:
        return create()
    except Exception as error:  # libraries wrap the errors of the network, each in its own way
        reason = "their server cannot be reached" if is_unreachable(error) else in_one_line(error)
        raise StepError(
            f"{PLACE}.backbone: the weights of {name} cannot be fetched ({reason}): allow access to where the library "
            "downloads from, put them into its cache (TORCH_HOME, HF_HOME), or start without: pretrained: false"
        ) from error


def _features(body: nn.Module, name: str, size: int) -> int:
    """Return how many features a body gives, by trying it."""
    body.eval()
    try:
        with torch.no_grad():
            found = body(torch.zeros(1, 3, size, size))
    except Exception as error:  # whatever a layer raises that needs another size
        raise StepError(
            f"{PLACE}.size: {name} takes no images of {size} pixels ({in_one_line(error)}); try 224"
        ) from error
    if not isinstance(found, Tensor) or found.ndim != 2:
        raise StepError(f"{PLACE}.backbone: {name} gives no plain features; choose another one")
    return int(found.shape[1])
