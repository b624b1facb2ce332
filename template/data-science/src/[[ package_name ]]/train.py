"""Train the model and write it as an MLflow model."""

import argparse
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
from numpy.typing import NDArray

from . import added_features, conversion
from .core import pipeline_run
from .core.champion import write_fingerprints, write_metadata
from .core.consistency import load_training
from .core.features import project_features
from .core.metrics import scores
from .core.modality import load_examples
from .core.schema import Schema
from .core.split import METADATA, Split
from .core.step import is_main_process, output_folder, run, step_run
from .modality import MODALITY
from .model_output import TEXTS

_MOST_TEXTS = 200


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="train", description=__doc__)
    arguments.add_argument("--train-data", type=Path, required=True, help="folder with the training rows")
    arguments.add_argument("--schema", type=Path, required=True, help="data/schema.yml")
    arguments.add_argument("--settings", type=Path, required=True, help="config/model.yml")
    arguments.add_argument("--overrides", default="", help='"training.seed=7 training.hyperparameters.max_iter=50"')
    arguments.add_argument("--checkpoints", type=Path, help="folder for the state of an interrupted training")
    arguments.add_argument("--model", type=Path, required=True, help="output folder of the MLflow model")
    return arguments


def train(arguments: argparse.Namespace) -> None:
    """Train on all rows of the training data, log parameters and metrics to MLflow, and write the model.

    Of several processes that train together, the first one alone logs and writes.

    Raises:
        StepError: the data or the settings are wrong.
    """
    schema = Schema.load(arguments.schema, MODALITY.tasks)
    training = load_training(MODALITY, schema, arguments.settings, arguments.overrides)
    held_out = Split.read(arguments.train_data)
    examples = load_examples(MODALITY, arguments.train_data, schema)
    if not is_main_process():
        MODALITY.fit(examples, schema, training, arguments.checkpoints)
        return
    rows = len(examples.frame)
    with step_run("train"):
        settings = {key: value for key, value in training.items() if key != "hyperparameters" and value is not None}
        mlflow.log_params({**settings, **training["hyperparameters"]})
        print(f"training on {rows:,} rows with the features {', '.join(schema.features)}", flush=True)
        started = time.perf_counter()
        model = MODALITY.fit(examples, schema, training, arguments.checkpoints)
        seconds = time.perf_counter() - started
        # On the rows that it was trained on: beside the scores of evaluate they show overfitting.
        target = examples.frame[schema.target]
        some = examples.take(_scored(schema, rows))
        found = scores(schema.task, some.frame[schema.target], model.predict(some).within(schema.class_names(target)))
        finite = {f"train_{name}": value for name, value in found.items() if math.isfinite(value)}
        mlflow.log_metrics({"train_rows": rows, "train_seconds": seconds, **finite})
        pipeline_run.log(metrics={"train_seconds": seconds, **finite})
        print(f"trained in {seconds:.1f} s; saving the model", flush=True)
        with output_folder(arguments.model) as folder:
            model.save(examples, folder)
            write_metadata(folder, _metadata(schema, training, held_out))
            write_fingerprints(folder, MODALITY.fingerprints(examples))
    print(f"wrote the model to {arguments.model}", flush=True)


def _scored(schema: Schema, rows: int) -> NDArray[np.bool_]:
    """Return which training rows are scored: all, or some where each prediction is a text, which takes long to make."""
    places = np.arange(rows)
    return places % max(1, -(-rows // _MOST_TEXTS)) == 0 if schema.predicts_texts else places >= 0


def _metadata(schema: Schema, training: Mapping[str, Any], held_out: Split) -> dict[str, Any]:
    """Return what evaluation and scoring need to know of the model besides its signature."""
    metadata: dict[str, Any] = {METADATA: held_out.document(), conversion.METADATA: schema.input_columns()}
    if features := project_features(schema):
        metadata[added_features.METADATA] = features.document()
    if schema.classes:
        metadata["classes"] = list(schema.classes)
    if schema.predicts_texts:
        metadata[TEXTS] = True
    if training.get("threshold") is not None:
        metadata["threshold"] = training["threshold"]
    if schema.files:
        metadata[conversion.FILES] = schema.files
    return metadata


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(train, parser(), argv, MODALITY.threads)


if __name__ == "__main__":
    main()
