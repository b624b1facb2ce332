"""Prepare the Responsible AI analysis: which model, on which rows, and what the score card requires of it.

Azure ML's components are strict: they load the model from the registry by name and version, and they accept no missing
value and no category that the training rows lack. This step meets both conditions for all data that fit the schema.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd

from .core.modality import load_examples
from .core.promotion import Policy
from .core.responsible_ai import newest_model
from .core.schema import Schema
from .core.settings import load_settings
from .core.step import StepError, output_folder, run
from .modality import MODALITY

MISSING = "missing"

# Names of our metrics in the components, and the power of the metric's unit; there is none for balanced_accuracy.
_METRICS = {
    "mae": ("mean_absolute_error", 1),
    "rmse": ("mean_squared_error", 2),
    "r2": ("r2_score", 1),
    "accuracy": ("accuracy_score", 1),
    "f1_macro": ("macro_f1_score", 1),
}

# The component's score card has letters for so many groups of a feature ...
_MOST_GROUPS = 20
# ... and of more features than this it shows those that matter least.
_MOST_FEATURES = 10


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="responsible_ai", description=__doc__)
    for name, text in {
        "--registration": "folder with the registration.json of register",
        "--train-data": "folder with the training rows",
        "--test-data": "folder with the held-out rows",
        "--schema": "data/schema.yml",
        "--settings": "config/model.yml",
        "--model-info": "output folder of model_info.json: name and version of the model to analyse",
        "--train-sample": "output folder of the training rows to analyse",
        "--test-sample": "output folder of the held-out rows to analyse",
        "--score-card": "output file: what the score card shows",
    }.items():
        arguments.add_argument(name, type=Path, required=True, help=text)
    arguments.add_argument("--overrides", default="", help='"training.seed=7 responsible_ai.test_rows=200"')
    return arguments


def responsible_ai(arguments: argparse.Namespace) -> None:
    """Write what the analysis needs: the model's name and version, the rows, and the content of the score card.

    Raises:
        StepError: data or settings are wrong, or no registered model accepts the features of the schema.
    """
    schema = Schema.load(arguments.schema, MODALITY.tasks)
    settings = load_settings(arguments.settings, arguments.overrides)
    train_rows, test_rows = _rows(settings)
    policy, seed = Policy.from_settings(settings, schema.task), settings["training"]["seed"]
    name, version = _model(arguments.registration, schema)
    train, test = (
        load_examples(MODALITY, folder, schema).frame for folder in (arguments.train_data, arguments.test_data)
    )
    train_sample = sample(complete(train, train, schema), train_rows, seed, keep=_labels(schema))
    known = _with_known_labels(complete(test, train, schema), train_sample, _labels(schema))
    test_sample = sample(known, test_rows, seed)
    if test_sample.empty:
        raise StepError("each held-out row has a category that no training row has, so there is nothing to analyse")
    for output, frame in ((arguments.train_sample, train_sample), (arguments.test_sample, test_sample)):
        with output_folder(output) as folder:
            frame.to_parquet(folder / "rows.parquet", index=False)
    with output_folder(arguments.model_info) as folder:
        (folder / "model_info.json").write_text(json.dumps({"id": f"{name}:{version}"}), encoding="utf-8")
    card = score_card(name, schema, policy, test_sample)
    arguments.score_card.write_text(json.dumps(card, indent=2), encoding="utf-8")
    print(f"{name} version {version}, on {len(train_sample):,} training and {len(test_sample):,} held-out rows")


def _rows(settings: Mapping[str, Any]) -> tuple[int, int]:
    section, names = settings.get("responsible_ai"), ("train_rows", "test_rows")
    if not isinstance(section, dict) or set(section) != set(names):
        raise StepError("responsible_ai: the settings need this section, with train_rows and test_rows")
    for name in names:
        if not isinstance(section[name], int) or isinstance(section[name], bool) or section[name] < 10:
            raise StepError(f"responsible_ai.{name}: an integer, 10 or more, is needed, not '{section[name]}'")
    return section["train_rows"], section["test_rows"]


def _model(registration: Path, schema: Schema) -> tuple[str, str]:
    """Return name and version of the model to analyse."""
    version = newest_model(registration)
    name = version.name
    inputs = mlflow.models.get_model_info(f"models:/{name}/{version.version}").signature.inputs.input_names()
    if gone := [column for column in inputs if column not in schema.features]:
        wanted = f"version {version.version} of {name} needs {', '.join(gone)}, no longer a feature of {schema.source}"
        raise StepError(f"{wanted}: tag it rejected=true, so that a model with the new features takes its place")
    return name, str(version.version)


def _labels(schema: Schema) -> list[str]:
    """Return the columns whose values are names: the categories, and the classes of a classification."""
    return [
        name
        for name in (*schema.categorical, *([schema.target] if schema.task == "classification" else []))
        if schema.columns[name].type != "boolean"
    ]


def complete(frame: pd.DataFrame, train: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the features and the target without missing values; both frames have the types of the schema.

    A missing category gets a name, which the model treats as missing too. A missing number becomes the median of the
    training rows; a boolean, which the counterfactuals would turn into text, becomes 1 or 0, if missing the mode.
    """
    columns = {}
    for name in schema.features:
        column, known = schema.columns[name], train[name].dropna()
        if column.type == "boolean":
            usual = known.mode()
            columns[name] = frame[name].fillna(usual.iloc[0] if len(usual) else 0).astype("int64")
        elif column.is_numerical:
            columns[name] = frame[name].fillna(known.median() if len(known) else 0)
        else:
            columns[name] = frame[name].fillna(MISSING)
    return pd.DataFrame({**columns, schema.target: frame[schema.target]})


def sample(frame: pd.DataFrame, rows: int, seed: int, keep: list[str] | None = None) -> pd.DataFrame:
    """Return random rows, the same for the same seed: at most `rows`, and one for each value of the columns `keep`."""
    shuffled = frame.sample(frac=1, random_state=seed)
    first = [shuffled.drop_duplicates(name) for name in keep or []]
    # Each of these rows is the first of its value, so the order of the shuffle is kept for all others.
    ordered = pd.concat([*first, shuffled])
    needed = len(set().union(*(part.index for part in first)))
    return ordered[~ordered.index.duplicated()].head(max(rows, needed))


def _with_known_labels(frame: pd.DataFrame, train: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    for name in labels:
        frame = frame[frame[name].isin(train[name])]
    return frame


def score_card(name: str, schema: Schema, policy: Policy, test: pd.DataFrame) -> dict[str, Any]:
    """Return what the score card shows, in the form of the component: the floor as a threshold, cohorts as groups."""
    metric, power = _METRICS.get(policy.metric.name, ("accuracy_score", 0))
    target, threshold = schema.columns[schema.target], {}
    # The component reads a threshold as a comparison and digits with a point: no sign, no exponent.
    if power and policy.floor >= 0:
        comparison = ">=" if policy.metric.higher_is_better else "<="
        threshold = {"threshold": comparison + np.format_float_positional(policy.floor**power, trim="-")}
    card: dict[str, Any] = {
        "Model": {
            "ModelName": name,
            "ModelType": schema.task.capitalize(),
            "ModelSummary": f"Predicts {target.name}" + (f", in {target.unit}" if target.unit else ""),
        },
        "Metrics": {metric: threshold},
        "Causal": {},
    }
    if len(schema.features) <= _MOST_FEATURES:
        card["FeatureImportance"] = {"top_n": _MOST_FEATURES}
    cohorts = dict.fromkeys(column for columns in policy.fairness.cohorts for column in columns)
    sensitive = [column for column in cohorts if column in _labels(schema) and test[column].nunique() <= _MOST_GROUPS]
    if sensitive:
        card["Fairness"] = {
            "metric": [metric],
            "sensitive_features": sensitive,
            "fairness_evaluation_kind": "difference",
        }
    return card


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(responsible_ai, parser(), argv, MODALITY.threads)


if __name__ == "__main__":
    main()
