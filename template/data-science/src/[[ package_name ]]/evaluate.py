"""Score the challenger against the champion and baselines, decide on promotion, look for drift, write the report."""

import argparse
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.pyfunc import PyFuncModel, load_model

from .core import distances, pipeline_run
from .core.baselines import baselines
from .core.champion import meet_champion, model_embeddings, model_notes, model_predictions
from .core.cohorts import score_cohorts, score_slices, slice_groups
from .core.metrics import scores
from .core.modality import Examples, Predict, arrived_examples, load_examples, unlabelled_examples
from .core.predictions import Predictions
from .core.promotion import REPLACE, Interval, Policy, decide, paired_bootstrap
from .core.schema import Schema
from .core.settings import load_settings, names, shows_examples
from .core.split import Split, bootstrap_units
from .core.step import StepError, output_folder, run, step_run
from .modality import MODALITY
from .report import documents
from .report.evaluation import Evaluation

# One line for each file is enough; MLflow's bars fill the log of a job.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="evaluate", description=__doc__)
    for name, text in {
        "--model": "folder of the challenger, an MLflow model",
        "--train-data": "folder with the rows it was trained on",
        "--test-data": "folder with the held-out rows",
        "--schema": "data/schema.yml",
        "--settings": "config/model.yml",
        "--evaluation": "output folder: metrics.json, decision.json, drift.json, report.html",
    }.items():
        arguments.add_argument(name, type=Path, required=True, help=text)
    arguments.add_argument("--overrides", default="", help='"training.seed=7 training.hyperparameters.max_iter=50"')
    arguments.add_argument("--model-name", required=True, help="name of the registered model, to find the champion")
    arguments.add_argument(
        "--production-data", type=Path, help="folder with rows that arrived after deployment; it may be empty"
    )
    return arguments


def evaluate(arguments: argparse.Namespace) -> None:
    """Evaluate the model; a model that is not promoted is a result, not an error.

    Raises:
        StepError: data, settings or model cannot be used, or there is a champion that cannot be compared.
    """
    schema = Schema.load(arguments.schema, MODALITY.tasks)
    settings = load_settings(arguments.settings, arguments.overrides)
    policy = Policy.from_settings(settings, schema.task)
    train, test = (load_examples(MODALITY, folder, schema) for folder in (arguments.train_data, arguments.test_data))
    arrived = arguments.production_data
    production = None if arrived is None else arrived_examples(MODALITY, arrived, schema)
    with step_run("evaluate"), output_folder(arguments.evaluation) as folder:
        evaluation = _evaluate(arguments, schema, settings, policy, train, test, production)
        documents.write(evaluation, folder)
        documents.log(evaluation, folder)
        held_out = Split.read(arguments.test_data)
        identity = pipeline_run.held_out_identity(test.frame, held_out, schema.target)
        pipeline_run.log({"held_out": identity}, tags=documents.tags(evaluation))
    print(f"report: {arguments.evaluation / 'report.html'}")
    print(documents.summary(evaluation), flush=True)


def _evaluate(
    arguments: argparse.Namespace,
    schema: Schema,
    settings: Mapping[str, Any],
    policy: Policy,
    train: Examples,
    test: Examples,
    production: Examples | None,
) -> Evaluation:
    section = settings["evaluation"]
    seed = settings["training"]["seed"]
    held_out = Split.read(arguments.test_data)
    actual = test.frame[schema.target].to_numpy()
    described = MODALITY.describe(test, schema).frame
    groups = {column: slice_groups(described, column) for column in names(section, "slices")}

    print(f"scoring {len(actual):,} held-out rows", flush=True)
    model = _challenger(arguments.model)
    classes = schema.class_names(train.frame[schema.target], test.frame[schema.target])

    challenger = model_predictions(model, MODALITY, test).within(classes)

    def predict(examples: Examples) -> Predictions:
        # Those of all held-out rows are there, and took a while where examples are large.
        return challenger if examples is test else model_predictions(model, MODALITY, examples).within(classes)

    replaceable = policy.incomparable_champion == REPLACE
    met = meet_champion(
        arguments.model_name,
        MODALITY,
        schema,
        held_out,
        test,
        train=train,
        replace=replaceable,
        experiment=pipeline_run.is_experiment(),
    )
    # Champion and challenger are compared where neither was trained; all else is judged on all held-out rows.
    everything = np.arange(len(actual))
    compared = everything if met.unseen is None else np.flatnonzero(met.unseen)
    name, champion = met.name, met.predictions[0].within(classes) if met.predictions else None
    others = baselines(names(section, "baselines"), MODALITY, train, test, schema, settings["training"])
    rivals = {each: given.within(classes) for each, given in others.items()}

    predictions, scored = {"challenger": challenger}, {"challenger": scores(schema.task, actual, challenger)}
    if name is not None and champion is not None:
        scored[name] = scores(schema.task, actual[compared], champion)
        if len(compared) == len(actual):
            predictions[name] = champion
        else:
            part = f"challenger on {len(compared):,} rows"
            scored[part] = scores(schema.task, actual[compared], challenger.take(compared))
    predictions |= rivals
    scored |= {each: scores(schema.task, actual, rival) for each, rival in rivals.items()}

    units = bootstrap_units(test.frame, schema.split)

    def interval_over(rival: Predictions, rows: np.ndarray) -> Interval:
        some = None if units is None else units[rows]
        new = challenger.take(rows)
        return paired_bootstrap(policy.metric, actual[rows], new, rival, policy.confidence, seed, some)

    def interval_within(champion: Predictions, rows: np.ndarray) -> Interval:
        return interval_over(champion.take(rows), compared[rows])

    intervals = {each: interval_over(rival, everything) for each, rival in rivals.items()}
    interval, old_score, over_champion = None, None, None
    if champion is not None:
        interval, old_score = interval_over(champion, compared), policy.metric.score(actual[compared], champion)
        over_champion = partial(interval_within, champion)
    slices = [
        score
        for column, labels in groups.items()
        for score in score_slices(
            policy.metric,
            column,
            labels.iloc[compared],
            actual[compared],
            challenger.take(compared),
            champion,
            over_champion,
        )
    ]
    cohorts = score_cohorts(policy, schema, described, actual, challenger)
    panels = MODALITY.explain(predict, test, schema, policy.metric, seed)
    panels = [panel for panel in panels if shows_examples(settings) or not panel.examples]
    reference, columns = MODALITY.describe(train, schema)
    drift = None
    if production is not None:
        later, thresholds = MODALITY.describe(production, schema).frame, settings.get("drift") or {}
        outputs = _outputs(schema, model, predict, test, production)
        drift = distances.check(reference, later, columns, thresholds, outputs)
    score = policy.metric.score(actual, challenger)
    return Evaluation(
        model_name=arguments.model_name,
        created=f"{datetime.now(UTC):%d %B %Y, %H:%M} UTC",
        schema=schema,
        policy=policy,
        decision=decide(policy, score, old_score, interval, slices, cohorts, intervals),
        actual=test.frame[schema.target],
        predictions=predictions,
        scores=scored,
        champion=name,
        champion_version=met.version,
        champion_note=met.note,
        notes=model_notes(model),
        compared_rows=len(compared),
        interval=interval,
        baselines=intervals,
        slices=slices,
        cohorts=cohorts,
        groups=groups,
        panels=panels,
        drift=drift,
        seed=seed,
        threshold=settings["training"].get("threshold"),
    )


def _outputs(
    schema: Schema, model: PyFuncModel, predict: Predict, test: Examples, production: Examples
) -> list[distances.Samples]:
    """Return what the challenger makes of held-out and production rows: predictions, and embeddings if it has them."""
    try:
        later = unlabelled_examples(MODALITY, production, schema)
        predictions = distances.prediction_samples(schema, predict(test), predict(later))
        before, after = (model_embeddings(model, MODALITY, each) for each in (test, later))
        embeddings = [] if before is None or after is None else distances.embedding_samples(before, after)
        return [predictions, *embeddings]
    # These rows are not checked: they may lack a column, or have values that the model refuses. Drift names these.
    except Exception as error:
        print(f"the production rows cannot be scored, so predictions are not compared: {error}", flush=True)
        return []


def _challenger(folder: Path) -> PyFuncModel:
    if not (folder / "MLmodel").is_file():
        raise StepError(f"{folder}: there is no MLflow model here; give the output folder of train")
    return load_model(str(folder))


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(evaluate, parser(), argv, MODALITY.threads)


if __name__ == "__main__":
    main()
