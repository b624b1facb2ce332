"""The model: trained, saved whole or not at all, and served by the scoring script."""

import ast
import errno
import importlib.util
import json
import os
import shutil

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow import MlflowClient, pyfunc
from samples import CLASSIFICATION, PACKAGE, REGRESSION, SETTINGS, SOURCE, flights, make_folders, module

# --- The step train: a model that takes categories and missing values, written whole or not at all.


data, model, prep, train = module("data"), module("tabular.model"), module("prep"), module("train")
StepError = module("step").StepError
OPTIONS = ("train-data", "schema", "settings", "model")


def fitted(document, frame, tmp_path, hyperparameters=SETTINGS["training"]["hyperparameters"]):
    path = tmp_path / "schema.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    schema = data.Schema.load(path)
    frame = data.validate(frame, schema)
    return model.fit(frame, schema, hyperparameters, seed=13), frame, schema


def test_the_model_predicts_unseen_rows_far_better_than_the_mean(tmp_path):
    pipeline, _, schema = fitted(REGRESSION, flights(400), tmp_path)
    fresh = data.validate(flights(200, seed=1), schema)
    error = (fresh["delay"] - pipeline.predict(fresh[schema.features])).abs().mean()
    assert error < 0.5 * (fresh["delay"] - fresh["delay"].mean()).abs().mean()


def test_the_same_seed_gives_the_same_model(tmp_path):
    first, frame, schema = fitted(REGRESSION, flights(), tmp_path)
    again, _, _ = fitted(REGRESSION, flights(), tmp_path)
    assert (first.predict(frame[schema.features]) == again.predict(frame[schema.features])).all()


def test_a_carrier_that_training_never_saw_is_scored(tmp_path):
    pipeline, frame, schema = fitted(REGRESSION, flights(), tmp_path)
    rows = frame[schema.features].head(3).assign(carrier=["ZZ", None, "AA"])
    assert np.isfinite(pipeline.predict(rows)).all()


def test_one_split_can_single_out_any_category_whatever_its_place_in_the_alphabet(tmp_path):
    frame = flights().assign(delay=lambda f: 100.0 * (f["carrier"] == "BB"))
    one_split = {"max_iter": 1, "max_leaf_nodes": 2, "learning_rate": 1.0}
    pipeline, frame, schema = fitted(REGRESSION, frame, tmp_path, one_split)
    assert pipeline.predict(frame[schema.features]) == pytest.approx(frame["delay"], abs=1e-6)


def test_more_categories_than_the_trees_can_tell_apart_are_no_fault(tmp_path):
    frame = flights(600)
    pipeline, frame, schema = fitted(REGRESSION, frame.assign(carrier=frame["id"]), tmp_path)
    assert np.isfinite(pipeline.predict(frame[schema.features])).all()


@pytest.mark.parametrize(
    ("hyperparameters", "complaint"),
    [
        ({"max_itr": 5}, "unexpected keyword argument 'max_itr'; known are categorical"),
        ({"learning_rate": -1}, "check training.hyperparameters: The 'learning_rate' parameter"),
        ({"max_iter": "many"}, "check training.hyperparameters: The 'max_iter' parameter"),
    ],
)
def test_a_wrong_hyperparameter_is_named(tmp_path, hyperparameters, complaint):
    with pytest.raises(StepError) as fault:
        fitted(REGRESSION, flights(), tmp_path, hyperparameters)
    assert complaint.replace("; known are categorical", "; known are ") in str(fault.value)


def test_the_saved_model_predicts_what_the_fitted_one_did(tmp_path):
    frame = flights().assign(carrier=lambda f: f["carrier"].where(f.index % 9 > 0))
    pipeline, frame, schema = fitted(CLASSIFICATION, frame, tmp_path)
    model.save(pipeline, frame, schema, tmp_path / "model")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    features = frame[schema.features]
    assert list(loaded.predict(features)) == list(pipeline.predict(features))


def test_the_signature_takes_missing_values_where_the_schema_does(trained):
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


def test_parameters_and_metrics_are_logged_and_no_model_is_uploaded(trained):
    [logged] = mlflow.search_runs(filter_string="run_name = 'train'", output_format="list")
    assert logged.data.params == {"seed": "13", "max_iter": "20", "min_samples_leaf": "5"}
    assert logged.data.metrics["train_rows"] == 150
    assert 0.5 < logged.data.metrics["train_score"] <= 1
    assert MlflowClient().list_artifacts(logged.info.run_id) == []


def test_overrides_reach_the_training(trained):
    train.main([*trained.arguments(*OPTIONS), "--overrides", "training.hyperparameters.max_iter=3"])
    assert mlflow.sklearn.load_model(str(trained.model)).named_steps["trees"].n_iter_ == 3


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
    assert line.startswith(f"error: {folders.train}: no such folder")


def test_a_classification_needs_another_schema_and_no_other_step(tmp_path, folders):
    (tmp_path / "classes").mkdir()
    other = make_folders(tmp_path / "classes", CLASSIFICATION, flights(400))
    prep.main(other.arguments("raw-data", "schema", "settings", "train-data", "test-data"))
    train.main(other.arguments(*OPTIONS))
    schema = data.Schema.load(other.schema)
    test = pd.read_parquet(other.test)
    predicted = mlflow.pyfunc.load_model(str(other.model)).predict(test[schema.features])
    assert (predicted == test["late"]).mean() > 0.8


# --- The scoring script: requests online, files in batches.


data, model = module("data"), module("tabular.model")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder as Azure ML mounts it: the model lies somewhere below."""
    columns = {**CLASSIFICATION["columns"], "late": {"type": "number"}}
    schema = data.Schema("late", "regression", {name: data.Column(name, **entry) for name, entry in columns.items()})
    frame = data.validate(flights().assign(late=lambda f: f["delay"]), schema)
    folder = tmp_path_factory.mktemp("azureml") / "flights" / "1" / "model"
    model.save(model.fit(frame, schema, {"max_iter": 10}, 13), frame, schema, folder)
    return folder


@pytest.fixture(scope="module")
def score(saved):
    """The script, loaded as the inference server does: as a file, outside its package."""
    spec = importlib.util.spec_from_file_location("entry_module", SOURCE / PACKAGE / "score.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AZUREML_MODEL_DIR", str(saved.parents[1]))
        script.init()
    return script


@pytest.fixture
def rows():
    return json.loads(flights(5)[["hour", "carrier", "weekend", "wind"]].to_json(orient="split"))


def refused(response):
    assert response.status_code == 400
    message = json.loads(response.get_data())["error"]
    assert "\n" not in message
    return message


def test_a_request_is_answered_with_what_the_model_predicts(score, saved, rows):
    answer = score.run(json.dumps({"input_data": rows}))
    frame = pd.DataFrame(rows["data"], columns=rows["columns"]).astype({"hour": "int64", "wind": "float64"})
    assert answer == {"predictions": pyfunc.load_model(str(saved)).predict(frame).tolist()}
    json.dumps(answer, allow_nan=False)


def test_a_list_of_records_is_the_same_request(score, rows):
    records = [dict(zip(rows["columns"], row, strict=True)) for row in rows["data"]]
    answer = score.run(json.dumps({"input_data": rows}))
    assert score.run(json.dumps(records)) == answer
    assert score.run(json.dumps({"input_data": records}).encode()) == answer


def test_order_and_further_columns_do_not_matter(score, rows):
    answer = score.run(json.dumps({"input_data": rows}))
    turned = {"columns": [*rows["columns"][::-1], "note"], "data": [[*row[::-1], "x"] for row in rows["data"]]}
    assert score.run(json.dumps({"input_data": turned})) == answer


def test_missing_values_and_whole_numbers_are_taken_where_the_model_knows_them(score):
    record = {"hour": 8.0, "carrier": None, "weekend": 1, "wind": 3}
    [prediction] = score.run(json.dumps([record]))["predictions"]
    assert np.isfinite(prediction)


GOOD = {"hour": 8, "carrier": "AA", "weekend": True, "wind": 3.5}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"hour": "noon"}, "hour: 'noon' is not a number"),
        ({"hour": 8.5}, "hour: '8.5' is not a whole number"),
        ({"hour": None}, "hour: a value is missing"),
        ({"wind": float("inf")}, "wind: 'inf' is not a number"),
        ({"wind": [1]}, "wind: '[1]' is not a single value"),
        ({"carrier": {"a": 1}}, "carrier: '{'a': 1}' is not a single value"),
        ({"weekend": 2}, "weekend: '2' is not true or false"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(score, change, complaint):
    assert complaint in refused(score.run(json.dumps([GOOD | change])))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        ("3", "send {"),
        ("{}", "send {"),
        ('{"input_data": {"columns": ["hour"]}}', "send {"),
        ("[1, 2]", "send {"),
        ("[]", "there are no rows"),
        ('{"input_data": {"columns": ["hour"], "data": []}}', "there are no rows"),
        ('{"input_data": {"columns": ["hour"], "data": [[1, 2]]}}', "row 0 of data must be a list of 1 values"),
        ('{"input_data": {"columns": ["hour"], "data": [1]}}', "row 0 of data must be a list"),
        ('[{"hour": 8, "wind": 1}]', "missing columns: carrier, weekend"),
        (
            '{"input_data": {"columns": ["hour", "hour", "carrier", "weekend", "wind"], "data": [[1,2,"A",true,0]]}}',
            "repeated columns: hour",
        ),
    ],
)
def test_a_malformed_request_is_refused_with_the_fault(score, body, complaint):
    assert complaint in refused(score.run(body))


def test_a_mini_batch_of_files_becomes_a_table_of_predictions(score, tmp_path, rows):
    flights(5).to_csv(tmp_path / "a.csv", index=False)
    flights(3, seed=1).to_parquet(tmp_path / "b.parquet")
    table = score.run([str(tmp_path / "a.csv"), str(tmp_path / "b.parquet")])
    assert list(table.columns) == ["file", "row", "prediction"]
    assert table["file"].tolist() == ["a.csv"] * 5 + ["b.parquet"] * 3
    assert table["row"].tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert table["prediction"].tolist()[:5] == score.run(json.dumps({"input_data": rows}))["predictions"]


@pytest.mark.parametrize("content", ["", "hour,carrier\n1,AA\n", 'hour,carrier\n1,"AA\n', "hour,carrier\n"])
def test_a_file_that_cannot_be_scored_is_named_in_one_line(score, tmp_path, content):
    (tmp_path / "bad.csv").write_text(content, encoding="utf-8")
    with pytest.raises(score.RequestError, match=r"^bad\.csv: ") as fault:
        score.run([str(tmp_path / "bad.csv")])
    assert "\n" not in str(fault.value)


def test_inputs_and_outputs_are_collected_together(score, rows, monkeypatch):
    collected = []

    class Collector:
        def collect(self, frame, context=None):
            collected.append((frame, context))
            return "one request"

    monkeypatch.setattr(score, "_inputs", Collector())
    monkeypatch.setattr(score, "_outputs", Collector())
    answer = score.run(json.dumps({"input_data": rows}))
    [(inputs, none), (outputs, context)] = collected
    assert inputs["hour"].tolist() == [row[0] for row in rows["data"]]
    assert outputs["prediction"].tolist() == answer["predictions"]
    assert (none, context) == (None, "one request")


def test_outside_azure_nothing_is_logged_for_each_request(score, rows, capfd, caplog):
    score.run(json.dumps({"input_data": rows}))
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


@pytest.mark.parametrize(("count", "complaint"), [(0, "found 0"), (2, "found 2")])
def test_a_folder_without_exactly_one_model_is_refused(score, tmp_path, monkeypatch, count, complaint):
    for number in range(count):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "MLmodel").write_text("", encoding="utf-8")
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path))
    with pytest.raises(RuntimeError, match=complaint):
        score.init()


def test_an_unset_model_folder_is_named(score, monkeypatch):
    monkeypatch.delenv("AZUREML_MODEL_DIR", raising=False)
    with pytest.raises(RuntimeError, match="AZUREML_MODEL_DIR is not set"):
        score.init()


def test_the_script_imports_nothing_of_its_package():
    tree = ast.parse((SOURCE / PACKAGE / "score.py").read_text(encoding="utf-8"))
    origins = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not any(node.level for node in origins)
    names = [node.module for node in origins]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert PACKAGE not in {name.split(".")[0] for name in names}
