"""Has the data changed since training? A step that fails when production data have drifted from the training rows."""

import argparse
import json
from pathlib import Path

import mlflow

from .core.distances import MINIMUM_ROWS, Drift, check, document
from .core.modality import data_files, load_examples
from .core.schema import Schema
from .core.settings import load_settings
from .core.step import StepError, output_folder, run, step_run
from .modality import MODALITY


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="drift", description="Has the data changed since training?")
    arguments.add_argument("--train-data", type=Path, required=True, help="folder with the rows of the training")
    arguments.add_argument("--production-data", type=Path, required=True, help="folder with rows that arrived later")
    arguments.add_argument("--schema", type=Path, required=True, help="data/schema.yml")
    arguments.add_argument("--settings", type=Path, required=True, help="config/model.yml, with the thresholds")
    arguments.add_argument("--drift", type=Path, required=True, help="output folder of drift.json")
    return arguments


def measure(arguments: argparse.Namespace) -> None:
    """Compare the production data with the training rows and write drift.json.

    Raises:
        StepError: a threshold is crossed, after drift.json was written; or the data or the thresholds cannot be used.
    """
    schema = Schema.load(arguments.schema, MODALITY.tasks)
    thresholds = load_settings(arguments.settings).get("drift")
    if not thresholds:
        raise StepError(f"{arguments.settings}: there is no threshold under `drift`, so nothing could ever drift")
    reference, columns = MODALITY.describe(load_examples(MODALITY, arguments.train_data, schema), schema)
    found = None
    if data_files(arguments.production_data, MODALITY.suffixes):
        # Not checked against the schema: production data that no longer fit it are what this step looks for.
        production, _ = MODALITY.describe(MODALITY.read(arguments.production_data, schema), schema)
        found = check(reference, production, columns, thresholds)
    drifted = [] if found is None else found.drifted
    with step_run("drift"), output_folder(arguments.drift) as folder:
        mlflow.log_metric("drifted_features", len(drifted))
        file = folder / "drift.json"
        file.write_text(json.dumps(document(found), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        mlflow.log_artifact(str(file))
    if drifted:
        share = f"{len(drifted)} of {len(columns)} columns drifted: {', '.join(drifted)}"
        raise StepError(f"{share}; see drift.json, and train again on data like this if it is here to stay")
    print(_verdict(found, arguments.production_data), flush=True)


def _verdict(found: Drift | None, folder: Path) -> str:
    if found is None:
        return f"no files in {folder} to compare"
    if not found.enough:
        return f"{found.production_rows} rows are too few to judge; {MINIMUM_ROWS} are needed"
    return f"no drift in {found.production_rows:,} rows"


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(measure, parser(), argv, MODALITY.threads)


if __name__ == "__main__":
    main()
