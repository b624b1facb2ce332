"""Small projects to test with: pictures, as generated files and as a schema and settings that fit them."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from helpers import Folders, small_settings, write_archive
from PIL import Image
from step_runs import change_settings, prepared_examples, write_model

CLASSES = ("left", "middle", "right")
SCHEMA: dict[str, Any] = {
    "target": "place",
    "task": "classification",
    "columns": {
        "image": {"type": "text"},
        "place": {"type": "category", "values": list(CLASSES)},
        "camera": {"type": "category", "role": "ignore"},
    },
}
SETTINGS = small_settings(
    {"backbone": "small_cnn", "epochs": 2, "batch_size": 16, "size": 12}, "accuracy", "most_frequent", "camera"
)
# A hyperparameter that decides much, and a value with which a model learns nothing.
SPACE = {"learning_rate": [0.0000001, 0.01]}
BAD = {"learning_rate": 0.0000001}
# A training that gives the same model, but for rounding, in any number of processes.
NETWORK = {**SETTINGS["training"]["hyperparameters"], "augment": {"rotation": 10}, "class_weights": "balanced"}


def picture(place: int, seed: int, side: int = 12, channels: int = 1) -> Image.Image:
    """Return a picture of dim patches in which one of 20 places, four in a row, is bright; each seed is another one."""
    random = np.random.default_rng([place, seed])
    dim = Image.fromarray(random.integers(20, 120, (5, 4, 3), dtype=np.uint8)).resize((side, side))
    values = np.asarray(dim).astype(int)
    height, width = side // 5, side // 4
    row, column = place // 4 * side // 5, place % 4 * side // 4
    values[row : row + height, column : column + width] += 120
    values = values + random.integers(-10, 10, values.shape)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert("L" if channels == 1 else "RGB")


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """Return a picture as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pictures(count: int = 120, seed: int = 0, **options: Any) -> dict[str, bytes]:
    """Return files of the three classes in turn, by their names."""
    places = [number % len(CLASSES) for number in range(count)]
    return {
        f"{number:04}.png": encoded(picture(place, 10_000 * seed + number, **options))
        for number, place in enumerate(places)
    }


def labels(names: list[str]) -> str:
    """Return the table of such files, as csv; the camera is one of two."""
    rows = [f"{name},{CLASSES[int(name[:4]) % len(CLASSES)]},{'ab'[int(name[:4]) // 3 % 2]}" for name in names]
    return "\n".join(["image,place,camera", *rows]) + "\n"


def make_folders(root: Path, schema: dict, files: Mapping[str, bytes | str], settings: dict = SETTINGS) -> Folders:
    """Write schema, settings and an archive of raw data below `root`."""
    made = Folders.written(root, schema, settings)
    write_archive(made.raw / "pictures.zip", files)
    return made


def labelled(files: Mapping[str, bytes]) -> dict[str, bytes | str]:
    """Return files with the table of their labels."""
    return {"labels.csv": labels(list(files)), **files}


def small_project(root: Path) -> Folders:
    """Write the project of the shared tests: 120 pictures."""
    return make_folders(root, SCHEMA, labelled(pictures()))


def rivals(root: Path) -> Folders:
    """Write the project of the gate: 200 pictures, and two models."""
    made = make_folders(root, SCHEMA, labelled(pictures(200)))
    change_settings(made, "promotion", floor=0.6, beat_baselines=True)
    examples = prepared_examples(made)
    write_model(made, root / "strong", examples, epochs=6, learning_rate=0.01)
    write_model(made, root / "weak", examples, epochs=1, learning_rate=1e-6)
    return made


HOST = "images.blob.core.windows.net"


class Answer(io.BytesIO):
    """What a storage answers; it notes how much was read."""

    def __init__(self, content: bytes, status: int = 200) -> None:
        """Answer with a file."""
        super().__init__(content)
        self.status = status
        self.headers: dict[str, str] = {}


def allowed_storage(monkeypatch: pytest.MonkeyPatch, data_file: ModuleType, content: bytes) -> Any:
    """Let a module read from a storage; return what has the requests, and the answers, of which the last one counts."""
    monkeypatch.setenv("MLOPS_STORAGE_HOSTS", f"other.blob.core.windows.net, {HOST.upper()}")
    monkeypatch.setattr(data_file, "_token", lambda: "secret")
    storage = SimpleNamespace(requests=[], answers=[lambda: Answer(content)])

    @contextmanager
    def opened(request: Any) -> Iterator[Answer]:
        storage.requests.append(request)
        yield storage.answers[-1]()

    monkeypatch.setattr(data_file, "_opened", opened)
    return storage
