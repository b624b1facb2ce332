"""The step drift: data that drifted is a failed run."""

import json
import math

import mlflow
import pytest
from helpers import module
from samples import flights

drift = module("drift")


@pytest.fixture
def measured(folders, tmp_path):
    """Run the step on the rows of the small project and other production data; return drift.json."""
    module("prep").main(folders.arguments("raw-data", "schema", "settings", "train-data", "test-data"))
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
    assert measured.found()["rows"] == {"reference": 141, "production": 200}
    assert "no drift in 200 rows" in capsys.readouterr().out


def test_the_step_fails_on_drift_and_leaves_its_results(measured, capsys):
    with pytest.raises(SystemExit) as stop:
        measured(flights(seed=1).assign(wind=1000.0))
    assert stop.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: 1 of 3 features drifted: wind; see drift.json")
    assert measured.found()["drifted"] == ["wind"]
    assert {each["feature"] for each in measured.found()["results"]} == {"hour", "carrier", "wind"}
    [logged] = mlflow.search_runs(output_format="list")[:1]
    assert logged.data.metrics["drifted_features"] == 1


def test_the_step_passes_over_missing_production_data(measured, capsys):
    measured(None)
    assert measured.found() == {
        "checked": False,
        "rows": {"reference": 141, "production": 0},
        "drifted": [],
        "results": [],
    }
    assert "to compare" in capsys.readouterr().out


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
