"""The package under test, two schemas, the folders of a small project, and a page to look into."""

import os
import shutil
import sqlite3
import zipfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import yaml
from sqlalchemy import Engine, event

# The rendered project whose code the tests try.
ROOT = Path(os.environ["MLOPS_TEST_PROJECT"]).resolve()
SOURCE = ROOT / "data-science" / "src"
# The only package there, so that these tests name it nowhere.
PACKAGE = next(path.parent.name for path in SOURCE.glob("*/score.py"))


def module(name: str) -> ModuleType:
    """Import one module of the package, such as "prep" or "core.schema"."""
    return import_module(f"{PACKAGE}.{name}")


REGRESSION = {
    "target": "delay",
    "task": "regression",
    "columns": {
        "id": {"type": "text", "role": "ignore"},
        "hour": {"type": "integer", "minimum": 0, "maximum": 23},
        "carrier": {"type": "category"},
        "wind": {"type": "number", "minimum": 0, "missing": 0.5},
        "delay": {"type": "number", "minimum": -100, "maximum": 500},
    },
}
CLASSIFICATION = {
    "target": "late",
    "task": "classification",
    "columns": {
        "hour": {"type": "integer", "minimum": 0, "maximum": 23},
        "carrier": {"type": "category", "missing": 0.2},
        "weekend": {"type": "boolean"},
        "wind": {"type": "number", "minimum": 0, "missing": 0.5},
        "late": {"type": "category", "values": ["no", "yes"]},
    },
}


def write_schema(document: dict[str, Any], folder: Path) -> Any:
    """Write a schema file and load it."""
    path = folder / "schema.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return module("core.schema").Schema.load(path)


DATABASE = "mlflow.db"


def small_settings(hyperparameters: dict[str, Any], metric: str, baseline: str, column: str) -> dict[str, Any]:
    """Return settings of a small project whose models are all promoted, but for what a type of data has besides."""
    return {
        "training": {"test_size": 0.25, "seed": 13, "hyperparameters": hyperparameters},
        "evaluation": {"metric": metric, "baselines": [baseline], "slices": [column]},
        "promotion": {
            "floor": 0.1,
            "incomparable_champion": "stop",
            "beat_baselines": False,
            "minimum_gain": 0.0,
            "confidence": 0.95,
            "slice_tolerance": 0.1,
            "minimum_slice_rows": 20,
        },
        "drift": {"numerical": {"jensen_shannon_distance": 0.2}, "categorical": {"jensen_shannon_distance": 0.2}},
    }


@dataclass
class Folders:
    """The paths of one small project; the output folders do not exist yet."""

    schema: Path
    settings: Path
    raw: Path
    train: Path
    test: Path
    model: Path
    evaluation: Path
    registration: Path

    @classmethod
    def under(cls, root: Path) -> "Folders":
        """Return the paths of the project below `root`."""
        outputs = ("train", "test", "model", "evaluation", "registration")
        return cls(root / "schema.yml", root / "model.yml", root / "raw", *(root / "out" / name for name in outputs))

    @classmethod
    def written(cls, root: Path, schema: dict[str, Any], settings: dict[str, Any]) -> "Folders":
        """Write schema and settings below `root`; raw data are for the caller."""
        made = cls.under(root)
        made.schema.write_text(yaml.safe_dump(schema, sort_keys=False), encoding="utf-8")
        made.settings.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        made.raw.mkdir()
        return made

    @property
    def root(self) -> Path:
        """The folder of the project."""
        return self.schema.parent

    def copy_to(self, root: Path) -> "Folders":
        """Copy the project to another folder, over what is there."""
        shutil.copytree(self.root, root, dirs_exist_ok=True)
        return Folders.under(root)

    def arguments(self, *names: str) -> list[str]:
        """Return `--schema FILE ...` for the named options of a step."""
        attributes = {"raw-data": "raw", "train-data": "train", "test-data": "test"}
        return [word for name in names for word in (f"--{name}", str(getattr(self, attributes.get(name, name))))]


class Store:
    """An MLflow store with one database: opening another one takes long, changing its content does not.

    It waits for no disk, because no test ends with the machine.
    """

    experiment = "tests"

    def __init__(self, folder: Path) -> None:
        """Make the store in a folder, and let MLflow use it."""
        self._folder, self._empty, self.artifacts = folder, folder / "empty", folder / "artifacts"
        event.listen(Engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous = OFF"))
        mlflow.set_tracking_uri(f"sqlite:///{(folder / DATABASE).as_posix()}")
        mlflow.create_experiment(self.experiment, artifact_location=self.artifacts.as_uri())
        mlflow.MlflowClient().search_registered_models()
        self._empty.mkdir()
        self.save(self._empty)

    def save(self, folder: Path) -> None:
        """Keep the runs and the registered models of now in a folder, without their files."""
        self._copy(self._folder, folder)

    def load(self, folder: Path | None = None) -> None:
        """Go back to what was saved in a folder, or to a store without runs."""
        self._copy(folder or self._empty, self._folder)
        shutil.rmtree(self.artifacts, ignore_errors=True)

    def _copy(self, source: Path, target: Path) -> None:
        # SQLite copies pages in a transaction, so that MLflow may keep its connections.
        with closing(sqlite3.connect(source / DATABASE)) as old, closing(sqlite3.connect(target / DATABASE)) as new:
            old.backup(new)


def write_files(folder: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write files below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def write_archive(path: Path, files: Mapping[str, bytes | str]) -> Path:
    """Write files into a zip archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


VOID = {"meta", "link", "br", "img", "input", "hr", "wbr"}


class Page(HTMLParser):
    """The elements of a page, in order; unclosed or crossed elements are an error."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), [name for name, _ in self.open]))
        if tag not in VOID:
            self.open.append((tag, len(self.texts)))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), [name for name, _ in self.open]))

    def handle_endtag(self, tag):
        opened, start = self.open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"
        self.texts.append((tag, "".join(text for name, text in self.texts[start:] if name == "")))

    def handle_data(self, data):
        self.texts.append(("", data))

    def all(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]

    def text(self, tag):
        return [" ".join(text.split()) for name, text in self.texts if name == tag]
