"""The step drift: data that drifted is a failed run. And the check itself, on the data of this project."""

import json
import math

import mlflow
import numpy as np
import pytest
from helpers import ROOT, module
from samples import flights

drift, distances = module("drift"), module("core.distances")
Schema, load_settings = module("core.schema").Schema, module("core.settings").load_settings
MODALITY = module("modality").MODALITY


@pytest.fixture
def measured(folders, tmp_path):
    """Run the step on rows of the small project and other production data; return drift.json."""
    folders.train.mkdir(parents=True)
    flights(150).to_csv(folders.train / "train.csv", index=False)
    production, output = tmp_path / "production", tmp_path / "drift"
    production.mkdir()
    arguments = [*folders.arguments("train-data", "schema", "settings"), "--production-data", str(production)]

    def measure(frame):
        if frame is not None:
            frame.to_csv(production / "flights.csv", index=False)
        drift.main([*arguments, "--drift", str(output)])

    measure.folders, measure.found = folders, lambda: json.loads((output / "drift.json").read_text(encoding="utf-8"))
    return measure


def test_the_step_passes_when_production_looks_like_training(measured, capsys):
    measured(flights(seed=1))
    assert measured.found()["checked"]
    assert measured.found()["drifted"] == []
    assert measured.found()["rows"] == {"reference": 150, "production": 200}
    assert "no drift in 200 rows" in capsys.readouterr().out


def test_the_step_fails_on_drift_and_leaves_its_results(measured, capsys):
    with pytest.raises(SystemExit) as stop:
        measured(flights(seed=1).assign(wind=1000.0))
    assert stop.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: 1 of 3 columns drifted: wind; see drift.json")
    assert measured.found()["drifted"] == ["wind"]
    assert {each["feature"] for each in measured.found()["results"]} == {"hour", "carrier", "wind"}
    [logged] = mlflow.search_runs(output_format="list")[:1]
    assert logged.data.metrics["drifted_features"] == 1


def test_the_step_passes_over_missing_production_data(measured, capsys):
    measured(None)
    assert measured.found() == {"checked": False, "rows": None, "level": None, "drifted": [], "results": []}
    assert "to compare" in capsys.readouterr().out


def test_the_step_passes_over_a_handful_of_rows(measured, capsys):
    measured(flights(12, seed=1).assign(wind=1000.0))
    assert measured.found()["drifted"] == []
    assert "12 rows are too few to judge; 30 are needed" in capsys.readouterr().out


def test_each_result_has_the_value_and_what_chance_explains(measured):
    measured(flights(seed=1))
    for each in measured.found()["results"]:
        assert 0 < each["p_value"] <= 1
        assert 0 <= each["excess"] <= each["value"]
        assert each["noise"] > 0


def test_columns_of_the_calendar_are_not_compared(measured):
    text = measured.folders.schema.read_text(encoding="utf-8")
    calendar = text.replace("  hour:\n", "  hour:\n    role: calendar\n")
    measured.folders.schema.write_text(calendar, encoding="utf-8")
    measured(flights(seed=1).assign(hour=3))
    assert {each["feature"] for each in measured.found()["results"]} == {"carrier", "wind"}


def test_a_value_that_json_does_not_have_is_left_open(measured):
    text = measured.folders.settings.read_text(encoding="utf-8")
    other = text.replace("jensen_shannon_distance", "normalized_wasserstein_distance", 1)
    measured.folders.settings.write_text(other, encoding="utf-8")
    with pytest.raises(SystemExit):
        measured(flights(seed=1).assign(wind=math.nan))
    assert measured.found()["drifted"] == ["wind"]
    assert [each["value"] for each in measured.found()["results"] if each["feature"] == "wind"] == [None]


def test_the_step_demands_thresholds(measured, capsys):
    text = measured.folders.settings.read_text(encoding="utf-8")
    measured.folders.settings.write_text(text.replace("drift:", "other:"), encoding="utf-8")
    with pytest.raises(SystemExit):
        measured(flights(seed=1))
    assert "there is no threshold under `drift`" in capsys.readouterr().err


@pytest.fixture
def served(trained):
    """The small project with a registered champion."""
    name = ["--model-name", "delays"]
    options = trained.arguments("model", "train-data", "test-data", "schema", "settings", "evaluation")
    module("evaluate").main([*options, *name])
    module("register").main([*trained.arguments("model", "evaluation", "registration"), *name])
    return trained


def with_champion(folders, frame, *options):
    production, output = folders.raw.parent / "production", folders.raw.parent / "drift"
    production.mkdir()
    frame.to_csv(production / "flights.csv", index=False)
    rows = [*folders.arguments("train-data", "schema", "settings"), "--production-data", str(production)]
    drift.main([*rows, "--drift", str(output), "--model-name", "delays", *options])
    return json.loads((output / "drift.json").read_text(encoding="utf-8"))


def test_predictions_of_the_champion_are_compared_like_a_column(served):
    unlabelled = flights(seed=1).drop(columns=["delay", "id"])
    found = with_champion(served, unlabelled, *served.arguments("test-data"))
    assert [each["feature"] for each in found["results"]] == ["hour", "carrier", "wind", "prediction"]
    assert found["drifted"] == []


def test_predictions_that_drifted_fail_the_step(served, capsys):
    with pytest.raises(SystemExit):
        with_champion(served, flights(seed=1).assign(hour=23), *served.arguments("test-data"))
    assert "error: 2 of 4 columns drifted: hour, prediction; see" in capsys.readouterr().err


def test_production_rows_that_the_champion_cannot_score_are_compared_without_predictions(served, capsys):
    with pytest.raises(SystemExit):
        with_champion(served, flights(seed=1).drop(columns="wind"), *served.arguments("test-data"))
    printed = capsys.readouterr()
    assert "predictions are not compared: data does not fit" in printed.out
    assert "error: 1 of 3 columns drifted: wind; see" in printed.err


def test_without_a_champion_the_columns_are_compared(trained, capsys):
    found = with_champion(trained, flights(seed=1), *trained.arguments("test-data"))
    assert [each["feature"] for each in found["results"]] == ["hour", "carrier", "wind"]
    assert "predictions are not compared: no version of delays is registered yet" in capsys.readouterr().out


def test_a_champion_without_held_out_rows_to_compare_with_is_refused(trained, capsys):
    with pytest.raises(SystemExit):
        with_champion(trained, flights(seed=1))
    assert "--model-name needs --test-data" in capsys.readouterr().err


# --- the data of this project


@pytest.fixture(scope="module")
def project():
    """Everything that the step reads of this project, with its raw and its production data."""
    schema = Schema.load(ROOT / "data" / "schema.yml", MODALITY.tasks)
    raw = MODALITY.describe(MODALITY.read(ROOT / "data" / "raw", schema), schema)
    later = MODALITY.describe(MODALITY.read(ROOT / "data" / "production", schema), schema)
    return raw.frame, later.frame, raw.columns, load_settings(ROOT / "config" / "model.yml")["drift"]


def split(frame, count, random):
    """Return a random part of the rows as the past, and others as what arrived."""
    order = random.permutation(len(frame))
    return frame.iloc[order[count:]], frame.iloc[order[:count]]


@pytest.mark.parametrize(("count", "checks"), [(100, 40), (200, 40), (500, 20), (2000, 20)])
def test_at_most_5_percent_of_checks_of_random_rows_report_drift(project, count, checks):
    raw, _, columns, thresholds = project
    if len(raw) < 2 * count:
        pytest.skip("this project has fewer rows")
    random = np.random.default_rng(count)
    found = [distances.check(*split(raw, count, random), columns, thresholds).drifted for _ in range(checks)]
    assert sum(map(bool, found)) <= distances.ALPHA * checks


def sample_only(columns):
    if "dep_delay" not in columns:
        pytest.skip("this project has data of its own")


@pytest.mark.parametrize("count", [200, 500, 2000])
def test_fifteen_minutes_more_delay_at_departure_is_drift(project, count):
    raw, _, columns, thresholds = project
    sample_only(columns)
    random = np.random.default_rng(count)
    for _ in range(5):
        past, arrived = split(raw, count, random)
        moved = arrived.assign(dep_delay=arrived["dep_delay"] + 15)
        assert distances.check(past, moved, columns, thresholds).drifted == ["dep_delay"]


@pytest.mark.parametrize("count", [100, 2000])
def test_autumn_has_another_weather_than_the_training_data(project, count):
    raw, later, columns, thresholds = project
    sample_only(columns)
    found = distances.check(raw, later.sample(count, random_state=0), columns, thresholds).drifted
    assert found == ["temp", "dewp", "pressure"]
