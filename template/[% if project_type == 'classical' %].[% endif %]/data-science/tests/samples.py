"""The package under test, and small projects to test it with: two schemas, settings, and rows that fit both."""

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import yaml

# --- The package under test: the only one in data-science/src, so that these tests name it nowhere.


ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "data-science" / "src"
PACKAGE = next(path.parent.name for path in SOURCE.glob("*/step.py"))


def module(name: str) -> ModuleType:
    """Import one module of the package, such as "prep" or "tabular.model"."""
    return import_module(f"{PACKAGE}.{name}")


# --- Small projects to test with: two schemas, settings, and rows that fit both schemas.


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
SETTINGS = {
    "training": {"test_size": 0.25, "seed": 13, "hyperparameters": {"max_iter": 20, "min_samples_leaf": 5}},
    "evaluation": {"metric": "mae", "baselines": ["mean"], "slices": ["carrier"]},
    "promotion": {
        "floor": 50.0,
        "minimum_gain": 0.0,
        "confidence": 0.95,
        "slice_tolerance": 0.1,
        "minimum_slice_rows": 20,
    },
    "drift": {"numerical": {"jensen_shannon_distance": 0.2}, "categorical": {"jensen_shannon_distance": 0.2}},
}


def flights(rows: int = 200, seed: int = 0) -> pd.DataFrame:
    """Return rows that fit both schemas; the delay and being late follow hour, carrier and wind."""
    random = np.random.default_rng(seed)
    hour = random.integers(0, 24, rows)
    carrier = random.choice(["AA", "BB", "CC"], rows)
    wind = random.gamma(4, 3, rows).round(1)
    delay = (2 * hour + 10 * (carrier == "AA") + wind + random.normal(0, 3, rows)).round(1)
    return pd.DataFrame(
        {
            "id": [f"{number:04}" for number in range(rows)],
            "hour": hour,
            "carrier": carrier,
            "weekend": random.random(rows) < 0.3,
            "wind": np.where(random.random(rows) < 0.1, np.nan, wind),
            "delay": delay,
            "late": np.where(delay > 40, "yes", "no"),
        }
    )


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

    def arguments(self, *names: str) -> list[str]:
        """Return ``--schema FILE ...`` for the named options of a step."""
        attributes = {"raw-data": "raw", "train-data": "train", "test-data": "test"}
        return [word for name in names for word in (f"--{name}", str(getattr(self, attributes.get(name, name))))]


def make_folders(root: Path, schema: dict, frame: pd.DataFrame, settings: dict = SETTINGS) -> Folders:
    """Write schema, settings and raw data below ``root``."""
    outputs = ("train", "test", "model", "evaluation", "registration")
    made = Folders(root / "schema.yml", root / "model.yml", root / "raw", *(root / "out" / name for name in outputs))
    made.schema.write_text(yaml.safe_dump(schema, sort_keys=False), encoding="utf-8")
    made.settings.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
    made.raw.mkdir()
    frame.to_csv(made.raw / "flights.csv", index=False)
    return made
