"""A trained network as an MLflow model that ONNX Runtime computes, without PyTorch."""

import json
import os
import platform
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import onnxruntime
import torch
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec
from mlflow.types import Schema as Columns

from .. import image_model
from ..core.places import spread
from ..core.step import StepError
from ..neural import exporting
from ..neural.exporting import FITTED_ON, ROWS_AT_ONCE, Graph
from .networks import Network
from .pictures import Pictures

# MLflow shows the copying of two small files as progress, unless told otherwise.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

# What a model needs where it is loaded; mlflow would otherwise guess this list in a slow child process.
_REQUIREMENTS = ("mlflow-skinny", "numpy", "onnxruntime", "pandas", "pillow")
_COMPARED = 64
_TOLERANCE = 1e-4


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
    places = spread(len(pictures), FITTED_ON)
    graph = Graph(network, pictures.batches(np.array_split(places, -(-len(places) // ROWS_AT_ONCE))))
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
    network = graph.network
    example = torch.zeros(2, network.channels, network.size, network.size, dtype=torch.uint8)
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
