"""Train the model and write it as an MLflow model."""

import argparse
import time
from pathlib import Path

import mlflow

from .core.metrics import metric
from .core.modality import load_examples
from .core.schema import Schema
from .core.settings import load_settings
from .core.step import output_folder, run, step_run
from .modality import MODALITY


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
    """Train on all rows of the training data, log parameters and metrics to MLflow, and write the model.

    Raises:
        StepError: the data or the settings are wrong.
    """
    schema = Schema.load(arguments.schema, MODALITY.tasks)
    training = load_settings(arguments.settings, arguments.overrides)["training"]
    examples = load_examples(MODALITY, arguments.train_data, schema)
    rows = len(examples.frame)
    with step_run("train"):
        mlflow.log_params({"seed": training["seed"], **training["hyperparameters"]})
        print(f"training on {rows:,} rows with {len(schema.features)} features", flush=True)
        started = time.perf_counter()
        model = MODALITY.fit(examples, schema, training["hyperparameters"], training["seed"])
        seconds = time.perf_counter() - started
        # On the rows that it was trained on: beside the test's score it shows overfitting.
        usual = metric("r2" if schema.task == "regression" else "accuracy", schema.task)
        score = usual.score(examples.frame[schema.target], model.predict(examples))
        mlflow.log_metrics({"train_rows": rows, "train_seconds": seconds, "train_score": score})
        print(f"trained in {seconds:.1f} s; saving the model", flush=True)
        with output_folder(arguments.model) as folder:
            model.save(examples, folder)
    print(f"wrote the model to {arguments.model}", flush=True)


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(train, parser(), argv)


if __name__ == "__main__":
    main()
