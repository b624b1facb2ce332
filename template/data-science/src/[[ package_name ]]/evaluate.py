"""Score the challenger against the champion and baselines, decide on promotion, look for drift, write the report."""

import argparse
import json
import math
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel, load_model

from . import drift, report
from .data import Schema, data_files, load_settings, read_folder, validate
from .metrics import Metric, demographic_parity, equal_opportunity, scores
from .promotion import Cohorts, Fairness, Policy, SliceScore, decide, paired_bootstrap
from .register import champion as find_champion
from .step import StepError, run, staged, tracked
from .tabular.model import permutation_importance

# One line for each file is enough to say; MLflow's bars fill the log of a job.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

# A numerical slice column with more values than this is cut into groups with equally many rows.
_MOST_VALUES = 24
_GROUPS = 5


def parser() -> argparse.ArgumentParser:
    """Return the arguments of the step."""
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
    """Evaluate the model; a model that is not promoted is a result and no fault.

    Raises:
        StepError: data, settings or model cannot be used, or the registry cannot be asked for the champion.
    """
    schema, settings = Schema.load(arguments.schema), load_settings(arguments.settings, arguments.overrides)
    policy = Policy.from_settings(settings, schema.task)
    train, test = (
        validate(read_folder(folder, schema), schema) for folder in (arguments.train_data, arguments.test_data)
    )
    arrived = arguments.production_data and data_files(arguments.production_data)
    production = read_folder(arguments.production_data, schema) if arrived else None
    with tracked("evaluate"), staged(arguments.evaluation) as folder:
        evaluation = _evaluate(arguments, schema, settings, policy, train, test, production)
        _write(evaluation, folder)
        _log(evaluation, folder)
    print(f"report: {arguments.evaluation / 'report.html'}")
    print(_summary(evaluation), flush=True)


def _evaluate(
    arguments: argparse.Namespace,
    schema: Schema,
    settings: Mapping[str, Any],
    policy: Policy,
    train: pd.DataFrame,
    test: pd.DataFrame,
    production: pd.DataFrame | None,
) -> report.Evaluation:
    section = settings["evaluation"]
    seed = settings["training"]["seed"]
    groups = {name: slice_groups(test, name) for name in _names(section, "slices")}
    actual = test[schema.target].to_numpy()

    print(f"scoring {len(test):,} held-out rows", flush=True)
    model = _challenger(arguments.model)
    new = _predict(model, test)
    served, note = _champion(arguments.model_name, test)
    name = next(iter(served), None)
    old = served[name] if name else None
    predictions = {"challenger": new, **served, **_baselines(_names(section, "baselines"), train, test, schema)}

    interval = None if old is None else paired_bootstrap(policy.metric, actual, new, old, policy.confidence, seed)
    slices = [
        each for column, labels in groups.items() for each in _slices(policy.metric, column, labels, actual, new, old)
    ]
    cohorts = _cohorts(policy, schema, test, new)
    scored = {who: scores(schema.task, actual, what) for who, what in predictions.items()}
    best = {who: values[policy.metric.name] for who, values in scored.items()}

    print(f"measuring the importance of {len(schema.features)} features", flush=True)
    return report.Evaluation(
        model_name=arguments.model_name,
        created=f"{datetime.now(UTC):%d %B %Y, %H:%M} UTC",
        schema=schema,
        policy=policy,
        decision=decide(policy, best["challenger"], best[name] if name else None, interval, slices, cohorts),
        test=test,
        predictions=predictions,
        scores=scored,
        champion=name,
        champion_note=note,
        interval=interval,
        slices=slices,
        cohorts=cohorts,
        groups=groups,
        importance=permutation_importance(partial(_predict, model), test, actual, schema.features, policy.metric, seed),
        train=train,
        production=production,
        drift=None if production is None else drift.check(train, production, schema, settings.get("drift") or {}),
        seed=seed,
    )


def _challenger(folder: Path) -> PyFuncModel:
    if not (folder / "MLmodel").is_file():
        raise StepError(f"{folder}: there is no MLflow model here; give the output folder of train")
    return load_model(str(folder))


def _predict(model: PyFuncModel, frame: pd.DataFrame) -> np.ndarray:
    """Return predictions of shape (rows,), from the columns that this model was trained with.

    Raises:
        KeyError: the frame lacks one of them.
    """
    inputs = model.metadata.get_input_schema()
    predicted = np.asarray(model.predict(frame[inputs.input_names()] if inputs else frame)).ravel()
    if len(predicted) != len(frame):
        raise ValueError(f"the model gave {len(predicted)} predictions for {len(frame)} rows")
    return predicted


def _names(section: Mapping[str, Any], key: str) -> list[str]:
    names = section.get(key) or []
    if not isinstance(names, list):
        raise StepError(f"evaluation.{key}: must be a list, such as [{names}]")
    return [str(name) for name in names]


def _champion(name: str, test: pd.DataFrame) -> tuple[dict[str, np.ndarray], str]:
    """Return the champion's predictions by its name; or nothing, and why."""
    version = find_champion(mlflow.MlflowClient(), name)
    if version is None:
        return {}, f"no version of {name} is registered yet"
    called = f"champion v{version.version}"
    with tempfile.TemporaryDirectory() as temporary:
        # Apart from loading: an unreachable registry must stop the step, or the floor alone would decide by accident.
        source = _fetch(name, str(version.version), temporary)
        # Any library may fail here, in its own way: an old model meets new columns and new packages.
        try:
            return {called: _predict(load_model(source), test)}, ""
        except Exception as fault:
            reason = " ".join(str(fault).split())[:300] or type(fault).__name__
            return {}, f"{called} cannot score these rows, so it is not compared: {reason}"


def _fetch(name: str, version: str, folder: str) -> str:
    fault: object = "its folder has no file MLmodel"
    try:
        source = mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=folder)
        # MLflow gives an empty folder, and no error, for files that are gone.
        if (Path(source) / "MLmodel").is_file():
            return source
    except (MlflowException, OSError) as caught:
        fault = caught
    cure = "bring its files back, or tag the version rejected=true to leave it out"
    raise StepError(f"version {version} of {name} cannot be fetched ({fault}): {cure}")


def _baselines(names: Sequence[str], train: pd.DataFrame, test: pd.DataFrame, schema: Schema) -> dict[str, np.ndarray]:
    """Predict the mean or the most frequent class of the training rows, or the value of a feature."""
    target = train[schema.target]
    regression = schema.task == "regression"
    constant = "mean" if regression else "most_frequent"
    usual = target.mean() if regression else target.mode().iloc[0]
    predictions = {}
    for name in names:
        if name == constant:
            predictions[f"baseline {name}"] = np.full(len(test), usual)
        elif name not in schema.features or (regression and name not in schema.numerical):
            raise StepError(f"evaluation.baselines: {name!r} is neither {constant} nor a fitting feature")
        else:
            predictions[f"baseline {name}"] = test[name].where(test[name].notna(), usual).to_numpy()
    return predictions


def slice_groups(frame: pd.DataFrame, column: str, setting: str = "evaluation.slices") -> pd.Series:
    """Return the name of the group of each row: its value, or its fifth of all rows if there are many numbers.

    Raises:
        StepError: there is no such column; the setting is the one that named it.
    """
    if column not in frame:
        raise StepError(f"{setting}: the data have no column {column!r}")
    values = frame[column]
    if pd.api.types.is_numeric_dtype(values) and values.nunique() > _MOST_VALUES:
        values = pd.qcut(values, _GROUPS, duplicates="drop")
    spell = {value: _spell(value) for value in sorted(values.dropna().unique())}
    names = values.astype(object).map(spell).fillna("missing")
    return names.astype(pd.CategoricalDtype(list(dict.fromkeys([*spell.values(), "missing"])), ordered=True))


def _spell(value: object) -> str:
    return f"{value.left:.4g} to {value.right:.4g}" if isinstance(value, pd.Interval) else str(value)


def _slices(
    metric: Metric, column: str, groups: pd.Series, actual: np.ndarray, new: np.ndarray, old: np.ndarray | None = None
) -> list[SliceScore]:
    results = []
    for value, rows in groups.groupby(groups, observed=True).indices.items():
        before = None if old is None else metric.score(actual[rows], old[rows])
        results.append(SliceScore(column, str(value), len(rows), metric.score(actual[rows], new[rows]), before))
    return results


def cohort_groups(frame: pd.DataFrame, columns: Sequence[str]) -> pd.Series:
    """Return the name of the cohort of each row: its group in each of the columns, with slashes between them.

    Raises:
        StepError: there is no such column.
    """
    parts = [slice_groups(frame, column, "fairness.cohorts") for column in columns]
    names = pd.Series(["/".join(row) for row in zip(*parts, strict=True)], index=frame.index)
    # In the order of the values and not of their names: month 2 comes before month 10.
    order = np.lexsort([part.cat.codes for part in reversed(parts)])
    return names.astype(pd.CategoricalDtype(names.iloc[order].unique().tolist(), ordered=True))


class _Measure(NamedTuple):
    """A metric that is compared between cohorts, on which rows, with the limits on it."""

    metric: Metric
    rows: np.ndarray
    actual: np.ndarray
    predicted: np.ndarray
    limits: Mapping[str, float | None]


def _cohorts(policy: Policy, schema: Schema, test: pd.DataFrame, predicted: np.ndarray) -> list[Cohorts]:
    fairness, actual, everyone = policy.fairness, test[schema.target].to_numpy(), np.full(len(test), True)
    if not fairness.cohorts:
        return []
    limits = {"worst": fairness.worst, "max_gap": fairness.max_gap, "max_ratio": fairness.max_ratio}
    measures = [_Measure(policy.metric, everyone, actual, predicted, limits)]
    if schema.task == "classification":
        measures += _outcomes(fairness, schema.columns[schema.target].values, actual.astype(str), predicted.astype(str))
    found = []
    for columns in fairness.cohorts:
        column, groups = "/".join(columns), cohort_groups(test, columns)
        for each in measures:
            chosen = groups[each.rows], each.actual[each.rows], each.predicted[each.rows]
            parts = tuple(_slices(each.metric, column, *chosen))
            found.append(Cohorts(column, each.metric, parts, fairness.minimum_rows, **each.limits))
    return found


def _outcomes(fairness: Fairness, known: Sequence[str], actual: np.ndarray, predicted: np.ndarray) -> list[_Measure]:
    """Return what a classification is compared by: the share of rows, and of positive rows, that get a class."""
    classes = sorted({*known, *actual.tolist(), *predicted.tolist()})
    positive = fairness.positive or (classes[1] if len(classes) == 2 else None)
    if positive is None and fairness.max_equal_opportunity_difference is not None:
        raise StepError(f"fairness.positive: missing; name the good outcome, one of {', '.join(classes)}")
    if positive not in (None, *classes):
        raise StepError(f"fairness.positive: {positive!r} is no class; choose one of {', '.join(classes)}")
    parity = {"max_gap": fairness.max_demographic_parity_difference}
    opportunity = {"max_gap": fairness.max_equal_opportunity_difference}
    measures = []
    for each in classes if positive is None else [positive]:
        true, given = (actual == each).astype(float), (predicted == each).astype(float)
        measures.append(_Measure(demographic_parity(each), np.full(len(true), True), true, given, parity))
        if each == positive:
            measures.append(_Measure(equal_opportunity(each), true == 1, true, given, opportunity))
    return measures


def _documents(evaluation: report.Evaluation) -> dict[str, dict[str, Any]]:
    policy = evaluation.policy
    champion = evaluation.scores[evaluation.champion] if evaluation.champion else None
    return {
        "metrics.json": {
            "metric": policy.metric.name,
            "higher_is_better": policy.metric.higher_is_better,
            "rows": len(evaluation.test),
            "challenger": evaluation.scores["challenger"],
            "champion": champion,
            "baselines": {
                name.removeprefix("baseline "): values
                for name, values in evaluation.scores.items()
                if name.startswith("baseline ")
            },
            "gain": asdict(evaluation.interval) | {"confidence": policy.confidence} if evaluation.interval else None,
            "slices": [asdict(each) for each in evaluation.slices],
            "fairness": [_cohorts_document(each) for each in evaluation.cohorts],
            "importance": [asdict(each) for each in evaluation.importance],
        },
        "decision.json": {
            "promote": evaluation.decision.promote,
            "reasons": list(evaluation.decision.reasons),
            "champion": evaluation.champion,
            "note": evaluation.champion_note,
        },
        "drift.json": drift.document(
            evaluation.drift,
            len(evaluation.train),
            0 if evaluation.production is None else len(evaluation.production),
        ),
    }


def _cohorts_document(cohorts: Cohorts) -> dict[str, Any]:
    scores = {each.value: {"value": each.value, "rows": each.rows, "score": each.challenger} for each in cohorts.scores}
    judged = [each.value for each in cohorts.judged]
    return {
        "column": cohorts.column,
        "metric": cohorts.metric.name,
        "label": cohorts.metric.label,
        "worst": scores[judged[0]] if judged else None,
        "best": scores[judged[-1]] if judged else None,
        "gap": cohorts.gap,
        "ratio": cohorts.ratio,
        "limits": {"worst": cohorts.worst, "gap": cohorts.max_gap, "ratio": cohorts.max_ratio},
        "cohorts": [score | {"judged": value in judged} for value, score in scores.items()],
    }


def _plain(value: Any) -> Any:
    """Replace numbers that JSON does not have by null."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _write(evaluation: report.Evaluation, folder: Path) -> None:
    for name, document in _documents(evaluation).items():
        text = json.dumps(_plain(document), indent=2, allow_nan=False, ensure_ascii=False)
        (folder / name).write_text(text + "\n", encoding="utf-8")
    (folder / "report.html").write_text(report.build(evaluation), encoding="utf-8")


def _log(evaluation: report.Evaluation, folder: Path) -> None:
    names = {"challenger": "", evaluation.champion: "champion_"}
    metrics = {
        f"{names[who]}{name}": value
        for who, values in evaluation.scores.items()
        if who in names
        for name, value in values.items()
        if math.isfinite(value)
    }
    if evaluation.interval and math.isfinite(evaluation.interval.gain):
        metrics["gain"] = evaluation.interval.gain
    metrics |= _cohort_metrics(evaluation)
    if evaluation.drift is not None:
        metrics["drifted_features"] = float(len(drift.drifted_features(evaluation.drift)))
    mlflow.log_metrics(metrics)
    mlflow.set_tag("promote", str(evaluation.decision.promote).lower())
    mlflow.log_artifact(str(folder / "report.html"))


def _cohort_metrics(evaluation: report.Evaluation) -> dict[str, float]:
    """Return the score of the worst cohort, and by how much the outcomes of a classification differ at most."""
    deciding = evaluation.policy.metric
    judged = [each for each in evaluation.cohorts if each.judged]
    worst = [each.judged[0].challenger for each in judged if each.metric == deciding]
    metrics = {f"worst_cohort_{deciding.name}": min(worst, key=lambda score: deciding.gain(score, 0))} if worst else {}
    for each in judged:
        if each.metric != deciding:
            name = f"{each.metric.name}_difference"
            metrics[name] = max(each.gap, metrics.get(name, 0.0))
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _summary(evaluation: report.Evaluation) -> str:
    names = list(evaluation.scores["challenger"])
    width = max(map(len, evaluation.scores))
    cell = max(10, *(len(name) + 2 for name in names))
    lines = [" " * width + "".join(f"{name:>{cell}}" for name in names)]
    for who, values in evaluation.scores.items():
        lines.append(f"{who:<{width}}" + "".join(f"{report.number(value):>{cell}}" for value in values.values()))
    lines += [f"  - {reason}" for reason in evaluation.decision.reasons]
    if evaluation.champion_note:
        lines.append(f"  - {evaluation.champion_note}")
    metric = evaluation.policy.metric.name
    last = f"{metric} {report.number(evaluation.scores['challenger'][metric])}: "
    last += "promote" if evaluation.decision.promote else "do not promote"
    if evaluation.drift is not None:
        drifted = drift.drifted_features(evaluation.drift)
        lines.append(f"drift: {len(drifted)} features" + (f" ({', '.join(drifted)})" if drifted else ""))
        last += f"; {len(drifted)} features drifted"
    lines.append(last)
    # A console of Windows may lack the letters that a user's data has.
    return "\n".join(lines).encode("ascii", "replace").decode("ascii")


def main(argv: list[str] | None = None) -> None:
    """Run the step with command-line arguments."""
    run(evaluate, parser(), argv)


if __name__ == "__main__":
    main()
