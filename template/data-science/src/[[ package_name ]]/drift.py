"""Has the data changed since training? A step that fails when production data have drifted from the training rows."""

import argparse
import json
import os
from pathlib import Path

import mlflow

from .core.champion import meet_champion
from .core.distances import MINIMUM_ROWS, Drift, Samples, check, document, embedding_samples, prediction_samples
from .core.modality import Examples, arrived_examples, load_examples, unlabelled_examples
from .core.schema import Schema
from .core.settings import load_settings
from .core.split import Split
from .core.step import StepError, output_folder, run, step_run
from .modality import MODALITY

# One line for each file is enough; MLflow's bars fill the log of a job.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="drift", description="Has the data changed since training?")
    arguments.add_argument("--train-data", type=Path, required=True, help="folder with the rows of the training")
    arguments.add_argument("--production-data", type=Path, required=True, help="folder with rows that arrived later")
    arguments.add_argument(
        "--model-name", help="name of the registered model, to compare what the champion makes of the rows too"
    )
    arguments.add_argument("--test-data", type=Path, help="with --model-name: folder with the held-out rows")
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
    # Not checked against the schema: production data that no longer fit it are what this step looks for.
    production = arrived_examples(MODALITY, arguments.production_data, schema)
    if production is not None:
        later = MODALITY.describe(production, schema).frame
        found = check(reference, later, columns, thresholds, _outputs(arguments, schema, production))
    with step_run("drift"), output_folder(arguments.drift) as folder:
        mlflow.log_metric("drifted_features", 0 if found is None else len(found.drifted))
        file = folder / "drift.json"
        file.write_text(json.dumps(document(found), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        mlflow.log_artifact(str(file))
    if found is not None and found.drifted:
        share = f"{len(found.drifted)} of {len(found.samples)} columns drifted: {', '.join(found.drifted)}"
        raise StepError(f"{share}; see drift.json, and train again on data like this if it is here to stay")
    print(_verdict(found, arguments.production_data), flush=True)


def _outputs(arguments: argparse.Namespace, schema: Schema, production: Examples) -> list[Samples]:
    """Return the champion's predictions and embeddings for held-out and production rows, if it has them."""
    if arguments.model_name is None:
        return []
    if arguments.test_data is None:
        raise StepError("--model-name needs --test-data, the held-out rows, to compare predictions with")
    test, held_out = load_examples(MODALITY, arguments.test_data, schema), Split.read(arguments.test_data)
    try:
        later = unlabelled_examples(MODALITY, production, schema)
    except StepError as error:
        print(f"predictions are not compared: {error}", flush=True)
        return []
    met = meet_champion(arguments.model_name, MODALITY, schema, held_out, test, later, replace=True, embed=True)
    if met.predictions:
        embeddings = embedding_samples(*met.embeddings) if met.embeddings else []
        return [prediction_samples(schema, *met.predictions), *embeddings]
    reason = f"champion v{met.version} is damaged, cannot score the rows, or was trained on some of those held out"
    print(f"predictions are not compared: {met.note if met.version is None else reason}", flush=True)
    return []


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
