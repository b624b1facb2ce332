"""A network as a graph that ONNX Runtime computes, with probabilities and an embedding as its outputs."""

import logging
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from .loop import Arrays

OPSET = 18
OUTPUTS = ("probabilities", "embedding")
# So many training examples give the directions of the embedding.
FITTED_ON = 2000
ROWS_AT_ONCE = 64
_COMPONENTS = 8


class Network(Protocol):
    """What can be exported: a body, which turns examples into features, and a head, which turns those into classes."""

    head: nn.Module

    def features(self, *inputs: Tensor) -> Tensor:
        """Return features of shape (examples, features)."""
        ...


class Graph(nn.Module):
    """What is exported: probabilities and an embedding of examples."""

    components: Tensor
    centre: Tensor

    def __init__(self, network: Network, batches: Iterable[Arrays]) -> None:
        """Add an embedding to a network: the directions in which its features of some training examples differ most."""
        super().__init__()
        self.network = network
        components, centre = _principal_components(network, batches)
        self.register_buffer("components", torch.tensor(components, dtype=torch.float32))
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.float32))
        self.eval()

    def forward(self, *inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities, of shape (examples, classes), and the embedding, of shape (examples, components)."""
        features = self.network.features(*inputs)
        return self.network.head(features).softmax(dim=1), (features - self.centre) @ self.components


def export(graph: Graph, inputs: Mapping[str, Tensor], dynamic: Mapping[int, str], path: Path) -> None:
    """Write a graph as ONNX.

    Args:
        graph: to write.
        inputs: examples of its inputs, at least two in each dimension that is dynamic.
        dynamic: the dimensions of each input that may have any size, with their names.
        path: where to write.
    """
    sizes = {place: torch.export.Dim(name) for place, name in dynamic.items()}
    for name in ("onnxscript", "torch.onnx"):  # they tell what other libraries they would know
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own code
        torch.onnx.export(
            graph,
            tuple(inputs.values()),
            str(path),
            input_names=list(inputs),
            output_names=list(OUTPUTS),
            dynamic_shapes={"inputs": tuple(sizes for _ in inputs)},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _principal_components(
    network: Network, batches: Iterable[Arrays]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the directions in which features differ most, and the mean of the features."""
    with torch.inference_mode():
        features = np.concatenate(
            [network.features(*map(torch.from_numpy, arrays)).double().numpy() for arrays in batches]
        )
    centre = features.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov(features - centre, rowvar=False))
    directions = directions[:, ::-1][:, :_COMPONENTS]
    # A direction and its opposite are as good: the largest part of each is positive.
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.sign(directions[largest, np.arange(directions.shape[1])]), centre
