"""Small projects to test with: tables, as settings and as rows that fit both schemas."""

from pathlib import Path

import numpy as np
import pandas as pd
from helpers import REGRESSION, Folders

SETTINGS = {
    "training": {"test_size": 0.25, "seed": 13, "hyperparameters": {"max_iter": 20, "min_samples_leaf": 5}},
    "evaluation": {"metric": "mae", "baselines": ["mean"], "slices": ["carrier"]},
    "promotion": {
        "floor": 50.0,
        "incomparable_champion": "stop",
        "minimum_gain": 0.0,
        "confidence": 0.95,
        "slice_tolerance": 0.1,
        "minimum_slice_rows": 20,
    },
    "drift": {"numerical": {"jensen_shannon_distance": 0.2}, "categorical": {"jensen_shannon_distance": 0.2}},
}
# A hyperparameter that decides much, and a value with which a model learns little.
SPACE = {"max_iter": [1, 40]}
BAD = {"max_iter": 1}


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


def make_folders(root: Path, schema: dict, frame: pd.DataFrame, settings: dict = SETTINGS) -> Folders:
    """Write schema, settings and raw data below `root`."""
    made = Folders.written(root, schema, settings)
    frame.to_csv(made.raw / "flights.csv", index=False)
    return made


def small_project(root: Path) -> Folders:
    """Write the project of the shared tests: 200 rows for the regression schema."""
    return make_folders(root, REGRESSION, flights())
