"""What the Responsible AI components get: the right model, complete rows, a score card with the project's limits."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import CLASSIFICATION, REGRESSION, Folders, module, write_schema
from mlflow import MlflowClient
from samples import SETTINGS, flights

step = module("responsible_ai")
data = module("tabular.data")

SECTION = {"train_rows": 60, "test_rows": 20}


def decide(folders: Folders, promote: bool, reason: str = "it is good") -> None:
    folders.evaluation.mkdir(parents=True, exist_ok=True)
    met = module("core.champion").champion(mlflow.MlflowClient(), "flights")
    decision = {"promote": promote, "reasons": [reason], "champion_version": met and str(met.version)}
    (folders.evaluation / "decision.json").write_text(json.dumps(decision), encoding="utf-8")
    module("register").main(
        ["--model-name", "flights", *folders.arguments("model", "evaluation", "registration")],
    )


def prepare(folders: Folders, **section: object) -> Path:
    """Run the step with its section of the settings; return the folder of its outputs."""
    settings = {**SETTINGS, "responsible_ai": {**SECTION, **section}}
    folders.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
    output = folders.model.parent
    places = {name: str(output / name) for name in ("model-info", "train-sample", "test-sample", "score-card")}
    options = [word for name, path in places.items() for word in (f"--{name}", path)]
    step.main([*folders.arguments("registration", "train-data", "test-data", "schema", "settings"), *options])
    return output


def error_line(capsys: pytest.CaptureFixture[str], folders: Folders, **section: object) -> str:
    with pytest.raises(SystemExit):
        prepare(folders, **section)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def model_id(output: Path) -> str:
    return json.loads((output / "model-info" / "model_info.json").read_text(encoding="utf-8"))["id"]


def test_the_model_just_promoted_is_analysed(trained: Folders) -> None:
    decide(trained, promote=True)
    decide(trained, promote=True)
    assert model_id(prepare(trained)) == "flights:2"


def test_without_a_promotion_the_champion_is_analysed(trained: Folders) -> None:
    decide(trained, promote=True)
    decide(trained, promote=False)
    assert model_id(prepare(trained)) == "flights:1"


def test_a_rejected_version_is_not_analysed(trained: Folders) -> None:
    decide(trained, promote=True)
    decide(trained, promote=True)
    MlflowClient().set_model_version_tag("flights", "2", "rejected", "true")
    assert model_id(prepare(trained)) == "flights:1"


def test_without_any_model_the_reason_is_given(trained: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    decide(trained, promote=False, reason="mae misses the floor")
    line = error_line(capsys, trained)
    assert line == "error: no version of flights is registered, so there is nothing to analyse: mae misses the floor"


def test_a_champion_of_other_columns_is_named(trained: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    decide(trained, promote=True)
    columns = {**REGRESSION["columns"], "wind": {"type": "number", "role": "ignore"}}
    trained.schema.write_text(yaml.safe_dump({**REGRESSION, "columns": columns}), encoding="utf-8")
    assert "version 1 of flights needs wind, no longer a feature of" in error_line(capsys, trained)


def test_rows_are_complete_bounded_and_the_same_each_time(trained: Folders) -> None:
    decide(trained, promote=True)
    names = ("train-sample", "test-sample")
    first, second = ([pd.read_parquet(prepare(trained) / name) for name in names] for _ in range(2))
    for sample, rows, again in zip(first, SECTION.values(), second, strict=True):
        assert list(sample.columns) == ["hour", "carrier", "wind", "delay"]
        assert len(sample) == rows
        assert sample.notna().all(axis=None)
        pd.testing.assert_frame_equal(sample, again)


def test_a_completed_row_is_predicted_as_before(tmp_path: Path) -> None:
    schema = write_schema(CLASSIFICATION, tmp_path)
    frame = flights(300)
    frame.loc[::7, "carrier"] = None
    frame = data.validate(frame, schema)
    model = module("tabular.model").fit(frame, schema, {"hyperparameters": {"max_iter": 10}, "seed": 0})
    rows = frame[frame["wind"].notna()]
    complete = step.complete(rows, frame, schema)
    assert complete["carrier"].isin(["AA", "BB", "CC", "missing"]).all()
    assert complete["weekend"].dtype == np.int64
    assert (model.predict(complete[schema.features]) == model.predict(rows[schema.features])).all()


def test_a_missing_number_becomes_the_median_of_the_training_rows(tmp_path: Path) -> None:
    schema = write_schema(REGRESSION, tmp_path)
    train = data.validate(flights(100), schema)
    test = train.head(3).assign(wind=np.nan)
    assert (step.complete(test, train, schema)["wind"] == train["wind"].median()).all()


def test_the_training_rows_have_each_category_and_each_class_however_few_they_are() -> None:
    frame = pd.DataFrame({"letter": list("abcdefghij") * 50, "class": ["rare", *["usual"] * 499]})
    chosen = step.sample(frame, 5, 1, keep=["letter", "class"])
    assert set(chosen["letter"]) == set("abcdefghij")
    assert set(chosen["class"]) == {"rare", "usual"}
    assert len(chosen) < 20
    assert len(step.sample(frame, 100, 1, keep=["letter", "class"])) == 100


def test_held_out_rows_of_an_unseen_category_are_left_out(trained: Folders, capsys: pytest.CaptureFixture[str]) -> None:
    decide(trained, promote=True)
    path = next(trained.test.glob("*.parquet"))
    frame = pd.read_parquet(path)
    frame.assign(carrier=np.where(frame["carrier"] == "AA", "ZZ", frame["carrier"])).to_parquet(path)
    assert set(pd.read_parquet(prepare(trained) / "test-sample")["carrier"]) == {"BB", "CC"}
    frame.assign(carrier="ZZ").to_parquet(path)
    assert "each held-out row has a category that no training row has" in error_line(capsys, trained)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ({"test_rows": 0}, "responsible_ai.test_rows: an integer, 10 or more"),
        ({"train_rows": "many"}, "responsible_ai.train_rows: an integer"),
        ({"rows": 5}, "train_rows and test_rows"),
    ],
)
def test_a_wrong_setting_is_one_line(
    section: dict, words: str, trained: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    decide(trained, promote=True)
    assert words in error_line(capsys, trained, **section)


@pytest.mark.parametrize(
    ("metric", "floor", "expected"),
    [
        ("mae", 12.5, {"mean_absolute_error": {"threshold": "<=12.5"}}),
        ("rmse", 3.0, {"mean_squared_error": {"threshold": "<=9"}}),
        ("r2", 0.00001, {"r2_score": {"threshold": ">=0.00001"}}),
        ("r2", -0.5, {"r2_score": {}}),
    ],
)
def test_the_floor_is_the_threshold_of_the_score_card(
    metric: str, floor: float, expected: dict, tmp_path: Path
) -> None:
    settings = {**SETTINGS, "evaluation": {"metric": metric}, "promotion": {**SETTINGS["promotion"], "floor": floor}}
    policy = module("core.promotion").Policy.from_settings(settings, "regression")
    card = step.score_card("m", write_schema(REGRESSION, tmp_path), policy, flights(20))
    assert card["Metrics"] == expected
    assert card["Model"]["ModelType"] == "Regression"
    assert "Fairness" not in card


def test_the_cohorts_of_the_fairness_gate_are_groups_of_the_score_card(tmp_path: Path) -> None:
    settings = {
        **SETTINGS,
        "evaluation": {"metric": "balanced_accuracy"},
        "promotion": {**SETTINGS["promotion"], "floor": 0.5},
        "fairness": {"cohorts": ["hour", ["carrier", "weekend"]], "worst": 0.1},
    }
    policy = module("core.promotion").Policy.from_settings(settings, "classification")
    card = step.score_card("m", write_schema(CLASSIFICATION, tmp_path), policy, flights(50))
    assert card["Metrics"] == {"accuracy_score": {}}
    assert card["Fairness"]["sensitive_features"] == ["carrier"]
    assert card["FeatureImportance"] == {"top_n": 10}


def test_a_long_list_of_features_stays_off_the_score_card(tmp_path: Path) -> None:
    columns = {f"x{number}": {"type": "number"} for number in range(11)}
    document = {"target": "y", "task": "regression", "columns": {**columns, "y": {"type": "number"}}}
    schema = write_schema(document, tmp_path)
    policy = module("core.promotion").Policy.from_settings(SETTINGS, "regression")
    assert "FeatureImportance" not in step.score_card("m", schema, policy, pd.DataFrame())
