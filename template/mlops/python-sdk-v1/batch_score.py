"""The entry script of a batch job: it fetches the model and leaves the scoring to the project's own score.py.

Azure ML calls `init` once in each worker, then `run` for each mini batch.
"""

import argparse
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from azureml.core import Model

CODE = Path(__file__).resolve().parents[2] / "data-science" / "src"

_score: ModuleType


def init() -> None:
    """Download the model version that the pipeline names and load it."""
    global _score
    parser = argparse.ArgumentParser()
    parser.add_argument("--package", required=True)
    parser.add_argument("--model-name", required=True)
    parser.add_argument("--model-version", type=int, required=True)
    # Azure ML passes further arguments to its workers.
    arguments, _ = parser.parse_known_args()
    os.environ["AZUREML_MODEL_DIR"] = Model.get_model_path(arguments.model_name, version=arguments.model_version)
    sys.path.insert(0, str(CODE))
    _score = importlib.import_module(f"{arguments.package}.score")
    _score.init()


def run(files: list[str]) -> Any:
    """Score the files of a mini batch; the rows of the table go to predictions.csv."""
    return _score.run(files)
