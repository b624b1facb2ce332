"""Train the model and write it as an MLflow model."""

import argparse
import time
from pathlib import Path

import mlflow

from .data import Schema, load_settings, read_folder, validate
from .step import run, staged, tracked
from .tabular.model import fit, save


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="train", description=__doc__)
    arguments.add_argument("--train-data", type=Path, required=True, help="folder with the training rows")
    arguments.add_argument("--schema", type=Path, required=True, help="data/schema.yml")
    arguments.add_argument("--settings", type=Path, required=True, help="config/model.yml")
    arguments.add_argument("--overrides", default="", help='"training.seed=7 training.hyperparameters.max_iter=50"')
    arguments.add_argument("--model", type=Path, required=True, help="output folder of the MLflow model")
    return arguments


def train(arguments: argparse.Namespace) -> None:
    """Train on all rows of the training data, log what was done to MLflow, and write the model.

    Raises:
        StepError: the data or the settings are wrong.
    """
    schema = Schema.load(arguments.schema)
    training = load_settings(arguments.settings, arguments.overrides)["training"]
    frame = validate(read_folder(arguments.train_data, schema), schema)
    features, target = frame[schema.features], frame[schema.target]
    with tracked("train"):
        mlflow.log_params({"seed": training["seed"], **training["hyperparameters"]})
        print(f"training on {len(frame):,} rows with {len(schema.features)} features", flush=True)
        started = time.perf_counter()
        model = fit(frame, schema, training["hyperparameters"], training["seed"])
        seconds = time.perf_counter() - started
        # R2 or accuracy on the rows it was trained on: beside the test's score it shows overfitting.
        score = model.score(features, target)
        mlflow.log_metrics({"train_rows": len(frame), "train_seconds": seconds, "train_score": score})
        print(f"trained in {seconds:.1f} s; saving the model", flush=True)
        with staged(arguments.model) as folder:
            save(model, frame, schema, folder)
    print(f"wrote the model to {arguments.model}", flush=True)


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(train, parser(), argv)


if __name__ == "__main__":
    main()
