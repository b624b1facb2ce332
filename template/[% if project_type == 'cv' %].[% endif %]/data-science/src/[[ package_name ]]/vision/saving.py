"""A trained network as an MLflow model that ONNX Runtime computes, without PyTorch."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from mlflow.types import ColSpec, DataType

from .. import image_model
from ..core.classifier import has_integer_classes, save_classifier
from ..core.places import spread
from ..core.schema import Schema
from ..core.step import StepError
from ..neural import exporting
from ..neural.components import FITTED_ON
from ..neural.exporting import ROWS_AT_ONCE, Graph
from .data import IMAGE
from .networks import Network
from .pictures import Pictures

# What a model needs where it is loaded.
_REQUIREMENTS = ("mlflow-skinny", "numpy", "onnxruntime", "pandas", "pillow")
_COMPARED = 64
_TOLERANCE = 1e-4


def save(
    network: Network, backbone: str, classes: Sequence[str], schema: Schema, pictures: Pictures, folder: Path
) -> None:
    """Write a network as an MLflow model into `folder`, which is empty.

    Args:
        network: that was trained.
        backbone: its name.
        classes: in the order of its logits.
        schema: of the data.
        pictures: training images, for the embedding and to compare with.
        folder: where to write.

    Raises:
        StepError: ONNX Runtime gives other probabilities than PyTorch.
    """
    network = network.to("cpu").eval()
    places = spread(len(pictures), FITTED_ON)
    graph = Graph(network, pictures.batches(np.array_split(places, -(-len(places) // ROWS_AT_ONCE))))
    about = {
        "version": 1,
        "backbone": backbone,
        "classes": list(classes),
        "integers": has_integer_classes(schema),
        "size": network.size,
        "channels": network.channels,
    }
    with tempfile.TemporaryDirectory() as temporary:
        model, description = Path(temporary) / "model.onnx", Path(temporary) / "model.json"
        export(graph, network.channels, network.size, model)
        check_equality(graph, model, pictures)
        description.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
        artifacts, image = {"model": model, "description": description}, ColSpec(DataType.binary, IMAGE)
        save_classifier(image_model.__file__, artifacts, _REQUIREMENTS, image, schema, classes, folder)


def export(graph: Graph, channels: int, size: int, path: Path) -> None:
    """Write a graph as ONNX; it takes any number of images at a time, of so many channels and pixels a side."""
    example = torch.zeros(2, channels, size, size, dtype=torch.uint8)
    exporting.export(graph, {"images": example}, {0: "images"}, path)


def check_equality(graph: Graph, path: Path, pictures: Pictures) -> None:
    """Compare what ONNX Runtime computes with what PyTorch does, on training images.

    Raises:
        StepError: a probability differs by more than 0.0001.
    """
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for (images,) in pictures.batches([spread(len(pictures), _COMPARED)]):
        with torch.inference_mode():
            expected = graph(torch.from_numpy(images))[0].numpy()
        [given] = session.run(["probabilities"], {"images": images})
        difference = float(np.abs(given - expected).max(initial=0.0))
        if not difference <= _TOLERANCE:
            raise StepError(
                f"ONNX Runtime {onnxruntime.__version__} gives probabilities that differ by {difference:.1e} from "
                "PyTorch's, so the model is not saved: choose another backbone, or another release of torch and onnx"
            )
