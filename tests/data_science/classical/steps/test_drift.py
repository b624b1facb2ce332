"""The step drift: data that drifted is a failed run. And the check itself, on the data of this project."""

import math

import mlflow
import numpy as np
import pytest
from helpers import module
from samples import flights
from step_runs import EVALUATE, MODEL_NAME, Production

MODEL = ["--model-name", MODEL_NAME]


def check(production, frame, *options):
    frame.to_csv(production.folder / "flights.csv", index=False)
    production.check(*options)


def test_the_step_passes_when_production_looks_like_training(production, capsys):
    check(production, flights(seed=1))
    assert production.found["checked"]
    assert production.found["drifted"] == []
    assert production.found["rows"]["production"] == 200
    assert "no drift in 200 rows" in capsys.readouterr().out


def test_the_step_fails_on_drift_and_leaves_its_results(production, capsys):
    with pytest.raises(SystemExit) as stop:
        check(production, flights(seed=1).assign(wind=1000.0))
    assert stop.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: 1 of 3 columns drifted: wind; see drift.json")
    assert production.found["drifted"] == ["wind"]
    assert {each["feature"] for each in production.found["results"]} == {"hour", "carrier", "wind"}
    [logged] = mlflow.search_runs(output_format="list")[:1]
    assert logged.data.metrics["drifted_features"] == 1


def test_the_step_passes_over_missing_production_data(production, capsys):
    production.check()
    assert production.found == {"checked": False, "rows": None, "level": None, "drifted": [], "results": []}
    assert "to compare" in capsys.readouterr().out


def test_the_step_passes_over_a_day_without_requests(production):
    check(production, flights().head(0))
    assert not production.found["checked"]


def test_the_step_passes_over_a_handful_of_rows(production, capsys):
    check(production, flights(12, seed=1).assign(wind=1000.0))
    assert production.found["drifted"] == []
    assert "12 rows are too few to judge; 30 are needed" in capsys.readouterr().out


def test_each_result_has_the_value_and_what_chance_explains(production):
    check(production, flights(seed=1))
    for each in production.found["results"]:
        assert 0 < each["p_value"] <= 1
        assert 0 <= each["excess"] <= each["value"]
        assert each["noise"] > 0


def test_columns_of_the_calendar_are_not_compared(production):
    text = production.folders.schema.read_text(encoding="utf-8")
    calendar = text.replace("  hour:\n", "  hour:\n    role: calendar\n")
    production.folders.schema.write_text(calendar, encoding="utf-8")
    check(production, flights(seed=1).assign(hour=3))
    assert {each["feature"] for each in production.found["results"]} == {"carrier", "wind"}


def test_a_value_that_json_does_not_have_is_left_open(production):
    text = production.folders.settings.read_text(encoding="utf-8")
    other = text.replace("jensen_shannon_distance", "normalized_wasserstein_distance", 1)
    production.folders.settings.write_text(other, encoding="utf-8")
    with pytest.raises(SystemExit):
        check(production, flights(seed=1).assign(wind=math.nan))
    assert production.found["drifted"] == ["wind"]
    assert [each["value"] for each in production.found["results"] if each["feature"] == "wind"] == [None]


def test_the_step_demands_thresholds(production, capsys):
    text = production.folders.settings.read_text(encoding="utf-8")
    production.folders.settings.write_text(text.replace("drift:", "other:"), encoding="utf-8")
    with pytest.raises(SystemExit):
        check(production, flights(seed=1))
    assert "there is no threshold under `drift`" in capsys.readouterr().err


@pytest.fixture
def unserved(trained):
    """The step on the small project after a training, without a champion."""
    return Production(trained)


@pytest.fixture
def served(unserved):
    """The same with a registered champion."""
    trained = unserved.folders
    module("evaluate").main([*trained.arguments(*EVALUATE), *MODEL])
    module("register").main([*trained.arguments("model", "evaluation", "registration"), *MODEL])
    return unserved


def check_with_champion(production, frame):
    check(production, frame, *MODEL, *production.folders.arguments("test-data"))


def test_predictions_of_the_champion_are_compared_like_a_column(served):
    check_with_champion(served, flights(seed=1).drop(columns=["delay", "id"]))
    assert [each["feature"] for each in served.found["results"]] == ["hour", "carrier", "wind", "prediction"]
    assert served.found["drifted"] == []


def test_predictions_that_drifted_fail_the_step(served, capsys):
    with pytest.raises(SystemExit):
        check_with_champion(served, flights(seed=1).assign(hour=23))
    assert "error: 2 of 4 columns drifted: hour, prediction; see" in capsys.readouterr().err


def test_production_rows_that_the_champion_cannot_score_are_compared_without_predictions(served, capsys):
    with pytest.raises(SystemExit):
        check_with_champion(served, flights(seed=1).drop(columns="wind"))
    printed = capsys.readouterr()
    assert "predictions are not compared: data does not fit" in printed.out
    assert "error: 1 of 3 columns drifted: wind; see" in printed.err


def test_without_a_champion_the_columns_are_compared(unserved, capsys):
    check_with_champion(unserved, flights(seed=1))
    assert [each["feature"] for each in unserved.found["results"]] == ["hour", "carrier", "wind"]
    assert "predictions are not compared: no version of a-model is registered yet" in capsys.readouterr().out


def test_a_champion_without_held_out_rows_to_compare_with_is_refused(unserved, capsys):
    with pytest.raises(SystemExit):
        check(unserved, flights(seed=1), *MODEL)
    assert "--model-name needs --test-data" in capsys.readouterr().err


# --- the data of this project


@pytest.mark.parametrize(("count", "checks"), [(100, 40), (200, 40), (500, 20), (2000, 20)])
def test_at_most_5_percent_of_checks_of_random_rows_report_drift(own_data, count, checks):
    own_data.assert_few_alarms(count, checks)


@pytest.fixture
def sample(own_data):
    """The same, if these are the flights that came with the template."""
    if "dep_delay" not in own_data.columns:
        pytest.skip("this project has data of its own")
    return own_data


@pytest.mark.parametrize("count", [200, 500, 2000])
def test_fifteen_minutes_more_delay_at_departure_is_drift(sample, count):
    random = np.random.default_rng(count)
    for _ in range(5):
        past, arrived = sample.split(count, random)
        assert sample.drifted(past, arrived.assign(dep_delay=arrived["dep_delay"] + 15)) == ["dep_delay"]


@pytest.mark.parametrize("count", [100, 2000])
def test_autumn_has_another_weather_than_the_training_data(sample, count):
    found = sample.drifted(sample.raw, sample.later.sample(count, random_state=0))
    assert found == ["temp", "dewp", "pressure"]
