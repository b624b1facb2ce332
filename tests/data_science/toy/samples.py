"""A small project to test with: 80 series."""

import json
import shutil
from pathlib import Path

from helpers import ROOT, Folders
from step_runs import prepared_examples, write_model

# A hyperparameter that decides much, and a value with which a model learns little.
SPACE = {"ridge": [1000000.0, 0.001]}
BAD = {"ridge": 1000000.0}


def small_project(root: Path) -> Folders:
    """Write the project of the shared tests."""
    made = Folders.under(root)
    shutil.copy(ROOT / "data" / "schema.yml", made.schema)
    shutil.copy(ROOT / "config" / "model.yml", made.settings)
    made.raw.mkdir()
    lines = [json.dumps({"id": str(n), "series": [n, n + 1.5, n + 2], "next": n + 3.0}) for n in range(80)]
    (made.raw / "series.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return made


def rivals(root: Path) -> Folders:
    """Write the project of the gate: a model of the series, and one that is nearly their mean."""
    made = small_project(root)
    examples = prepared_examples(made)
    write_model(made, root / "strong", examples)
    write_model(made, root / "weak", examples, **BAD)
    return made
