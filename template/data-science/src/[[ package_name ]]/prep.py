"""Prepare the data: read, check against the schema, split into training and test rows."""

import argparse
from dataclasses import replace
from pathlib import Path

import mlflow

from .core import pipeline_run
from .core.consistency import check_threshold, load_training
from .core.modality import refuse_constant_target
from .core.schema import Schema
from .core.settings import load_settings, read_mapping
from .core.split import refuse_poor_test, split
from .core.step import output_folder, run, step_run
from .modality import MODALITY


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="prep", description=__doc__)
    arguments.add_argument("--raw-data", type=Path, required=True, help="folder with the raw data")
    arguments.add_argument("--schema", type=Path, required=True, help="data/schema.yml")
    arguments.add_argument("--settings", type=Path, required=True, help="config/model.yml")
    arguments.add_argument("--overrides", default="", help='"training.test_size=0.3"')
    arguments.add_argument("--train-data", type=Path, required=True, help="output folder of the training rows")
    arguments.add_argument("--test-data", type=Path, required=True, help="output folder of the test rows")
    return arguments


def prepare(arguments: argparse.Namespace) -> None:
    """Write the training and the test rows, each as the type of data stores examples.

    Raises:
        StepError: a setting of the training is wrong, or the data cannot be read, do not fit the schema or are too few.
    """
    schema = Schema.load(arguments.schema, MODALITY.tasks)
    training = load_training(MODALITY, schema, arguments.settings, arguments.overrides)
    settings = pipeline_run.parameters(load_settings(arguments.settings, arguments.overrides))
    identities = {"code": pipeline_run.code_identity(Path(__file__).parent)}
    identities["schema"] = pipeline_run.document_identity(read_mapping(arguments.schema))
    # At first: what a run tried is known of those that fail, too.
    pipeline_run.log(settings | identities)
    raw = MODALITY.read(arguments.raw_data, schema)
    print(f"read {len(raw.frame):,} rows from {arguments.raw_data}", flush=True)
    valid = MODALITY.check(raw, schema)
    labelled = valid.frame.dropna(subset=[schema.target])
    if dropped := len(valid.frame) - len(labelled):
        print(f"left out {dropped:,} rows without {schema.target}", flush=True)
    refuse_constant_target(replace(valid, frame=labelled), schema)
    check_threshold(training, schema, labelled[schema.target])
    classes = schema.target if schema.task == "classification" else None
    train, test, made = split(labelled, schema.split, training["test_size"], classes)
    fingerprints = [MODALITY.fingerprints(replace(valid, frame=each)) for each in (train, test)]
    copies = MODALITY.alike(*fingerprints)
    pipeline_run.log({"data": pipeline_run.data_identity([train, test], fingerprints)})
    if copies.any():
        print(f"left out {copies.sum():,} held-out rows, near duplicates of training rows", flush=True)
        test = test[~copies].reset_index(drop=True)
        refuse_poor_test(train, test, schema.split, training["test_size"], classes, int(copies.sum()))
    with step_run("prep"):
        mlflow.log_params({"test_size": training["test_size"], "split": str(made)})
        rows: dict[str, float] = {"raw_rows": len(raw.frame), "train_rows": len(train), "test_rows": len(test)}
        mlflow.log_metrics(rows)
        pipeline_run.log(metrics=rows)
        with output_folder(arguments.train_data) as train_folder, output_folder(arguments.test_data) as test_folder:
            MODALITY.write(replace(valid, frame=train), train_folder, "train")
            MODALITY.write(replace(valid, frame=test), test_folder, "test")
            made.write(train_folder)
            made.write(test_folder)
    print(f"split {made}", flush=True)
    print(f"{len(train):,} rows to train, {len(test):,} rows to test", flush=True)


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(prepare, parser(), argv, MODALITY.threads)


if __name__ == "__main__":
    main()
