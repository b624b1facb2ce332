"""The step train: a model is written completely or not at all."""

import errno
import json
import os
import shutil
import zipfile

import mlflow
import pandas as pd
import pytest
from helpers import CLASSIFICATION, module
from mlflow import MlflowClient
from samples import SETTINGS, flights, make_folders

prep, train = module("prep"), module("train")
OPTIONS = ("train-data", "schema", "settings", "model")


def test_the_signature_accepts_missing_values_where_the_schema_does(trained):
    inputs = mlflow.models.get_model_info(str(trained.model)).signature.inputs.to_dict()
    assert {column["name"]: column["type"] for column in inputs} == {
        "hour": "long",
        "carrier": "string",
        "wind": "double",
    }


def test_the_model_folder_needs_no_pickle_and_pins_what_it_needs(trained):
    assert (trained.model / "model.skops").is_file()
    assert not [*trained.model.rglob("*.pkl")]
    requirements = (trained.model / "requirements.txt").read_text(encoding="utf-8").split()
    assert {line.split("==")[0] for line in requirements} >= {"mlflow-skinny", "scikit-learn", "skops"}
    assert all("==" in line for line in requirements)


def test_the_model_has_no_line_breaks_which_take_longer_to_write_than_all_else(trained):
    with zipfile.ZipFile(trained.model / "model.skops") as file:
        assert b"\n" not in file.read("schema.json")


def test_parameters_and_metrics_are_logged_and_no_model_is_uploaded(trained):
    [logged] = mlflow.search_runs(filter_string="run_name = 'train'", output_format="list")
    assert logged.data.params == {"test_size": "0.25", "seed": "13", "max_iter": "20", "min_samples_leaf": "5"}
    assert logged.data.metrics["train_rows"] > 100
    assert 0.5 < logged.data.metrics["train_r2"] <= 1
    assert logged.data.metrics["train_mae"] > 0
    assert MlflowClient().list_artifacts(logged.info.run_id) == []


def test_the_model_records_which_rows_were_held_out(trained):
    record = json.loads((trained.test / "_split.json").read_text(encoding="utf-8"))
    assert mlflow.models.Model.load(str(trained.model)).metadata["split"] == record


def test_the_threshold_is_part_of_the_model(tmp_path, folders):
    (tmp_path / "classes").mkdir()
    settings = SETTINGS | {"training": SETTINGS["training"] | {"threshold": 0.9}}
    other = make_folders(tmp_path / "classes", CLASSIFICATION, flights(400), settings)
    prep.main(other.arguments("raw-data", "schema", "settings", "train-data", "test-data"))
    train.main(other.arguments(*OPTIONS))
    metadata = mlflow.models.Model.load(str(other.model)).metadata
    assert (metadata["threshold"], metadata["classes"]) == (0.9, ["no", "yes"])


def test_overrides_reach_the_training(trained):
    train.main([*trained.arguments(*OPTIONS), "--overrides", "training.hyperparameters.max_iter=3"])
    assert mlflow.sklearn.load_model(str(trained.model)).named_steps["model"].n_iter_ == 3


@pytest.mark.parametrize("place", ["skops.io.dump", "shutil.copyfile"])
def test_a_full_disk_leaves_no_half_written_model(trained, monkeypatch, capsys, place):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    shutil.rmtree(trained.model)
    monkeypatch.setattr(place, full)
    with pytest.raises(SystemExit) as stop:
        train.main(trained.arguments(*OPTIONS))
    assert stop.value.code == 1
    assert "no space left on the disk" in capsys.readouterr().err.splitlines()[-1]
    assert not trained.model.exists() or not list(trained.model.iterdir())


def test_training_data_that_are_missing_are_one_line(folders, capsys):
    with pytest.raises(SystemExit):
        train.main(folders.arguments(*OPTIONS))
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {folders.train}: there is no valid _split.json")


def test_a_classification_needs_another_schema_and_no_other_step(tmp_path, folders):
    (tmp_path / "classes").mkdir()
    other = make_folders(tmp_path / "classes", CLASSIFICATION, flights(400))
    prep.main(other.arguments("raw-data", "schema", "settings", "train-data", "test-data"))
    train.main(other.arguments(*OPTIONS))
    schema = module("core.schema").Schema.load(other.schema)
    test = pd.read_parquet(other.test)
    predicted = mlflow.pyfunc.load_model(str(other.model)).predict(test[schema.features])
    assert (predicted == test["late"]).mean() > 0.8
