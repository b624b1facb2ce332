"""Prepare the data: read, check against the schema, split into training and test rows."""

import argparse
from pathlib import Path

import mlflow
import pandas as pd
from sklearn.model_selection import train_test_split

from .data import Schema, load_settings, read_folder, validate
from .step import StepError, run, staged, tracked

MINIMUM_ROWS = 50


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="prep", description=__doc__)
    arguments.add_argument("--raw-data", type=Path, required=True, help="folder with csv or parquet files")
    arguments.add_argument("--schema", type=Path, required=True, help="data/schema.yml")
    arguments.add_argument("--settings", type=Path, required=True, help="config/model.yml")
    arguments.add_argument("--overrides", default="", help='"training.seed=7 training.hyperparameters.max_iter=50"')
    arguments.add_argument("--train-data", type=Path, required=True, help="output folder of the training rows")
    arguments.add_argument("--test-data", type=Path, required=True, help="output folder of the test rows")
    return arguments


def prepare(arguments: argparse.Namespace) -> None:
    """Write the training and the test rows, each as one parquet file.

    Raises:
        StepError: the data cannot be read, do not fit the schema, or are too few.
    """
    schema = Schema.load(arguments.schema)
    training = load_settings(arguments.settings, arguments.overrides)["training"]
    raw = read_folder(arguments.raw_data, schema)
    print(f"read {len(raw):,} rows from {arguments.raw_data}", flush=True)
    valid = validate(raw, schema)
    labelled = valid.dropna(subset=[schema.target])
    if dropped := len(valid) - len(labelled):
        print(f"left out {dropped:,} rows without {schema.target}", flush=True)
    train, test = split(labelled, schema, training["test_size"], training["seed"])
    with tracked("prep"):
        mlflow.log_params({"test_size": training["test_size"], "seed": training["seed"]})
        mlflow.log_metrics({"raw_rows": len(raw), "train_rows": len(train), "test_rows": len(test)})
        with staged(arguments.train_data) as train_folder, staged(arguments.test_data) as test_folder:
            train.to_parquet(train_folder / "train.parquet", index=False)
            test.to_parquet(test_folder / "test.parquet", index=False)
    print(f"{len(train):,} rows to train, {len(test):,} rows to test", flush=True)


def split(frame: pd.DataFrame, schema: Schema, test_size: float, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Split ``frame`` at random into training and test rows; each class keeps its share in both.

    Args:
        frame: rows that fit the schema, without missing targets.
        schema: says the task and the target.
        test_size: share of the test rows, between 0 and 1.
        seed: the same seed and rows give the same split.

    Raises:
        StepError: there are too few rows, or too few of one class.
    """
    if len(frame) < MINIMUM_ROWS:
        raise StepError(f"{len(frame)} usable rows are too few; give at least {MINIMUM_ROWS}")
    classes = frame[schema.target] if schema.task == "classification" else None
    try:
        train, test = train_test_split(frame, test_size=test_size, random_state=seed, stratify=classes)
    except ValueError as fault:
        raise StepError(f"{schema.target}: the rows cannot be split with test_size {test_size}: {fault}") from fault
    return train.reset_index(drop=True), test.reset_index(drop=True)


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(prepare, parser(), argv)


if __name__ == "__main__":
    main()
