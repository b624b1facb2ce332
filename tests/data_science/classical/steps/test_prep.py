"""The step prep: from raw files to training and test rows."""

import json

import mlflow
import pandas as pd
import yaml
from helpers import CLASSIFICATION
from samples import flights, make_folders
from step_runs import change_settings, prep_error, run_prep, sides


def test_each_row_is_either_for_training_or_for_testing(folders):
    train, test = run_prep(folders)
    assert 30 < len(test) < 70
    assert sorted([*train["id"], *test["id"]]) == flights()["id"].tolist()


def test_a_wrong_hyperparameter_stops_before_a_row_is_read(folders, capsys):
    change_settings(folders, "training", hyperparameters={"max_itr": 5})
    line = prep_error(folders, capsys)
    assert line.startswith("error: training.hyperparameters.max_itr: unknown; the nearest is max_iter, and known are")


def test_a_threshold_for_classes_of_which_the_data_have_three_stops_before_anything_is_written(folders, capsys):
    change_settings(folders, "training", threshold=0.4)
    columns = CLASSIFICATION["columns"] | {"late": {"type": "category"}}
    folders.schema.write_text(yaml.safe_dump(CLASSIFICATION | {"columns": columns}), encoding="utf-8")
    rows = flights().assign(late=lambda frame: pd.Series(["no", "yes", "very"]).take(frame.index % 3).to_numpy())
    rows.assign(weekend=False).to_csv(folders.raw / "flights.csv", index=False)
    assert prep_error(folders, capsys) == (
        "error: training.threshold: is for two classes, and this target has others; leave it out"
    )
    rows.assign(weekend=False, late=rows["late"].replace("very", "yes")).to_csv(
        folders.raw / "flights.csv", index=False
    )
    assert len(run_prep(folders)[0])


def test_another_seed_other_rows_and_another_order_move_no_row(folders):
    before = sides(folders, "id")
    change_settings(folders, "training", seed=14)
    assert sides(folders, "id") == before
    more = pd.concat([flights(), flights(3, seed=9).assign(id=["a", "b", "c"])]).sample(frac=1, random_state=1)
    more.to_csv(folders.raw / "flights.csv", index=False)
    assert {name: side for name, side in sides(folders, "id").items() if name in before} == before


def test_what_was_held_out_is_recorded_beside_the_rows(folders):
    run_prep(folders)
    for folder in (folders.train, folders.test):
        record = json.loads((folder / "_split.json").read_text(encoding="utf-8"))
        assert record == {
            "by": "hash",
            "columns": ["hour", "carrier", "wind"],
            "types": ["integer", "category", "number"],
            "salt": "mlops",
            "test_size": 0.25,
            "cut": None,
        }


def test_repeated_rows_are_on_one_side(folders):
    pd.concat([flights()] * 3).to_csv(folders.raw / "flights.csv", index=False)
    train, test = run_prep(folders)
    assert not set(train["id"]) & set(test["id"])


def test_row_counts_are_logged(folders):
    run_prep(folders)
    [logged] = mlflow.search_runs(output_format="list")
    assert logged.info.run_name == "prep"
    train, test = logged.data.metrics["train_rows"], logged.data.metrics["test_rows"]
    assert logged.data.metrics == {"raw_rows": 200, "train_rows": train, "test_rows": test}
    assert train + test == 200
    assert (
        logged.data.params["split"]
        == "by a hash of hour, carrier, wind (integer, category, number) with salt 'mlops', 25% held out"
    )


def test_rows_without_target_are_left_out_where_the_schema_allows_them(folders, capsys):
    text = folders.schema.read_text(encoding="utf-8")
    folders.schema.write_text(text.replace("minimum: -100", "minimum: -100\n    missing: 0.1"), encoding="utf-8")
    flights().assign(delay=lambda f: f["delay"].where(f.index >= 8)).to_csv(folders.raw / "flights.csv", index=False)
    train, test = run_prep(folders)
    assert len(train) + len(test) == 192
    assert "left out 8 rows without delay" in capsys.readouterr().out


def test_a_breach_of_the_schema_stops_prep(folders, capsys):
    flights().assign(hour=25).to_csv(folders.raw / "flights.csv", index=False)
    assert "hour: 200 values above 23 (such as '25')" in prep_error(folders, capsys)


def test_too_few_rows_stop_prep(folders, capsys):
    flights(49).to_csv(folders.raw / "flights.csv", index=False)
    assert "49 usable rows are too few; give at least 50" in prep_error(folders, capsys)


def test_a_class_with_a_single_row_stops_prep(tmp_path, folders, capsys):
    (tmp_path / "classes").mkdir()
    frame = flights().assign(late=["yes"] + ["no"] * 199)
    line = prep_error(make_folders(tmp_path / "classes", CLASSIFICATION, frame), capsys)
    assert "class yes of late (1 rows) would have no t" in line


def test_an_empty_csv_stops_prep(folders, capsys):
    (folders.raw / "flights.csv").write_text("", encoding="utf-8")
    assert "flights.csv: it is empty" in prep_error(folders, capsys)


def test_a_missing_schema_file_stops_prep(folders, capsys):
    folders.schema.unlink()
    assert "schema.yml: no such file or folder: check the path" in prep_error(folders, capsys)
