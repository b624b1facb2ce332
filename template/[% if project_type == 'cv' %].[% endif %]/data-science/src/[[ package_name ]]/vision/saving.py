"""A trained network as an MLflow model that ONNX Runtime computes, without PyTorch."""

import json
import logging
import os
import platform
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import onnxruntime
import torch
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec
from mlflow.types import Schema as Columns
from numpy.typing import NDArray
from torch import Tensor, nn

from .. import image_model
from ..core.step import StepError
from .networks import Network
from .pictures import Pictures

# MLflow shows the copying of two small files as progress, unless told otherwise.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

OPSET = 18
# What a model needs where it is loaded; mlflow would otherwise guess this list in a slow child process.
_REQUIREMENTS = ("mlflow-skinny", "numpy", "onnxruntime", "pandas", "pillow")
_COMPONENTS = 8
# So many training images give the directions of the embedding.
_FITTED_ON = 2000
_ROWS_AT_ONCE = 64
_COMPARED = 64
_TOLERANCE = 1e-4


class Graph(nn.Module):
    """What is exported: probabilities and an embedding of images."""

    components: Tensor
    centre: Tensor

    def __init__(self, network: Network, components: NDArray[np.float64], centre: NDArray[np.float64]) -> None:
        """Add the directions of the embedding, of shape (features, components), around a centre to a network."""
        super().__init__()
        self.network = network
        self.register_buffer("components", torch.tensor(components, dtype=torch.float32))
        self.register_buffer("centre", torch.tensor(centre, dtype=torch.float32))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities, of shape (images, classes), and the embedding, of shape (images, components)."""
        features = self.network.features(images)
        return self.network.head(features).softmax(dim=1), (features - self.centre) @ self.components


def save(
    network: Network, backbone: str, classes: Sequence[str], integers: bool, pictures: Pictures, folder: Path
) -> None:
    """Write a network as an MLflow model into `folder`, which is empty.

    Args:
        network: that was trained.
        backbone: its name.
        classes: in the order of its logits.
        integers: whether the classes are integers.
        pictures: training images, for the embedding and to compare with.
        folder: where to write.

    Raises:
        StepError: ONNX Runtime gives other probabilities than PyTorch.
    """
    network = network.to("cpu").eval()
    graph = Graph(network, *_principal_components(network, pictures)).eval()
    about = {
        "version": 1,
        "backbone": backbone,
        "classes": list(classes),
        "integers": integers,
        "size": network.size,
        "channels": network.channels,
    }
    pinned = [f"{name}=={version(name)}" for name in _REQUIREMENTS]
    dependencies = [f"python={platform.python_version()}", "pip", {"pip": pinned}]
    with tempfile.TemporaryDirectory() as temporary:
        model, description = Path(temporary) / "model.onnx", Path(temporary) / "model.json"
        export(graph, model)
        check_equality(graph, model, pictures)
        description.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        with warnings.catch_warnings():
            # A file as an example would only make the model larger.
            warnings.filterwarnings("ignore", message=".*input example was not provided", category=UserWarning)
            mlflow.pyfunc.save_model(
                str(folder),
                python_model=image_model.__file__,
                artifacts={"model": str(model), "description": str(description)},
                signature=_signature(classes, integers),
                conda_env={"name": "model", "channels": ["conda-forge"], "dependencies": dependencies},
            )


def _signature(classes: Sequence[str], integers: bool) -> ModelSignature:
    prediction = ColSpec(DataType.long if integers else DataType.string, "prediction")
    return ModelSignature(
        inputs=Columns([ColSpec(DataType.binary, "image")]),
        outputs=Columns([prediction, *(ColSpec(DataType.double, name) for name in classes)]),
        params=ParamSchema([ParamSpec("embedding", DataType.boolean, False)]),
    )


def export(graph: Graph, path: Path) -> None:
    """Write a graph as ONNX; it takes any number of images at a time."""
    example = torch.zeros(2, graph.network.channels, graph.network.size, graph.network.size, dtype=torch.uint8)
    for name in ("onnxscript", "torch.onnx"):  # they tell what other libraries they would know
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own code
        torch.onnx.export(
            graph,
            (example,),
            str(path),
            input_names=["images"],
            output_names=["probabilities", "embedding"],
            dynamic_shapes={"images": {0: torch.export.Dim("images")}},
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def check_equality(graph: Graph, path: Path, pictures: Pictures) -> None:
    """Compare what ONNX Runtime computes with what PyTorch does, on training images.

    Raises:
        StepError: a probability differs by more than 0.0001.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for (images,) in pictures.batches([_spread(len(pictures), _COMPARED)]):
        with torch.inference_mode():
            expected = graph(torch.from_numpy(images))[0].numpy()
        [given] = session.run(["probabilities"], {"images": images})
        difference = float(np.abs(given - expected).max(initial=0.0))
        if not difference <= _TOLERANCE:
            raise StepError(
                f"ONNX Runtime {onnxruntime.__version__} gives probabilities that differ by {difference:.1e} from "
                "PyTorch's, so the model is not saved: choose another backbone, or another release of torch and onnx"
            )


def _principal_components(network: Network, pictures: Pictures) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the directions in which the features of training images differ most, and the mean of the features."""
    places = _spread(len(pictures), _FITTED_ON)
    parts = np.array_split(places, -(-len(places) // _ROWS_AT_ONCE))
    with torch.inference_mode():
        features = np.concatenate(
            [network.features(torch.from_numpy(images)).double().numpy() for (images,) in pictures.batches(parts)]
        )
    centre = features.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov(features - centre, rowvar=False))
    directions = directions[:, ::-1][:, :_COMPONENTS]
    # A direction and its opposite are as good: the largest part of each is positive.
    largest = np.abs(directions).argmax(axis=0)
    return directions * np.sign(directions[largest, np.arange(directions.shape[1])]), centre


def _spread(count: int, most: int) -> NDArray[Any]:
    """Return at most `most` of `count` places, at equal distances."""
    return np.unique(np.linspace(0, count - 1, most).astype(int))
