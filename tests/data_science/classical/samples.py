"""Small projects to test with: tables, as settings and as rows that fit both schemas."""

from pathlib import Path

import numpy as np
import pandas as pd
from helpers import REGRESSION, Folders, small_settings
from step_runs import change_settings, prepared_examples, write_model

SETTINGS = small_settings({"max_iter": 20, "min_samples_leaf": 5}, "mae", "mean", "carrier")
SETTINGS["promotion"] |= {"floor": 50.0, "beat_baselines": True}
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


def rivals(root: Path) -> Folders:
    """Write the project of the gate: 700 rows, a model of 60 trees and one of 3."""
    made = make_folders(root, REGRESSION, flights(700))
    change_settings(made, "promotion", floor=6.0)
    examples = prepared_examples(made)
    write_model(made, root / "strong", examples, max_iter=60)
    write_model(made, root / "weak", examples, max_iter=3)
    return made
