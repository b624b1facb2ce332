"""The step prep: from raw files to training and test rows."""

import mlflow
import pandas as pd
import pytest
from helpers import CLASSIFICATION, module
from samples import flights, make_folders

prep = module("prep")
OPTIONS = ("raw-data", "schema", "settings", "train-data", "test-data")


def run(folders):
    prep.main(folders.arguments(*OPTIONS))
    return pd.read_parquet(folders.train), pd.read_parquet(folders.test)


def fails(folders, capsys):
    with pytest.raises(SystemExit) as stop:
        prep.main(folders.arguments(*OPTIONS))
    assert stop.value.code == 1
    assert not list(folders.train.rglob("*.parquet"))
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    return line


def test_each_row_is_either_for_training_or_for_testing(folders):
    train, test = run(folders)
    assert len(test) == 50
    assert sorted([*train["id"], *test["id"]]) == flights()["id"].tolist()


def test_the_split_is_the_same_each_time_and_follows_the_seed(folders):
    first = run(folders)
    again = run(folders)
    pd.testing.assert_frame_equal(first[1], again[1])
    text = folders.settings.read_text(encoding="utf-8")
    folders.settings.write_text(text.replace("seed: 13", "seed: 14"), encoding="utf-8")
    assert set(run(folders)[1]["id"]) != set(first[1]["id"])


def test_each_class_keeps_its_share(tmp_path, folders):
    frame = pd.concat([flights(190).assign(late="no"), flights(10).assign(late="yes")])
    (tmp_path / "classes").mkdir()
    train, test = run(make_folders(tmp_path / "classes", CLASSIFICATION, frame))
    assert (test["late"] == "yes").sum() in (2, 3)
    assert (train["late"] == "yes").sum() + (test["late"] == "yes").sum() == 10


def test_row_counts_are_logged(folders):
    run(folders)
    [logged] = mlflow.search_runs(output_format="list")
    assert logged.info.run_name == "prep"
    assert logged.data.metrics == {"raw_rows": 200, "train_rows": 150, "test_rows": 50}


def test_rows_without_target_are_left_out_where_the_schema_allows_them(folders, capsys):
    text = folders.schema.read_text(encoding="utf-8")
    folders.schema.write_text(text.replace("minimum: -100", "minimum: -100\n    missing: 0.1"), encoding="utf-8")
    flights().assign(delay=lambda f: f["delay"].where(f.index >= 8)).to_csv(folders.raw / "flights.csv", index=False)
    train, test = run(folders)
    assert len(train) + len(test) == 192
    assert "left out 8 rows without delay" in capsys.readouterr().out


def test_a_breach_of_the_schema_stops_prep(folders, capsys):
    flights().assign(hour=25).to_csv(folders.raw / "flights.csv", index=False)
    assert "hour: 200 values above 23 (such as '25')" in fails(folders, capsys)


def test_too_few_rows_stop_prep(folders, capsys):
    flights(49).to_csv(folders.raw / "flights.csv", index=False)
    assert "49 usable rows are too few; give at least 50" in fails(folders, capsys)


def test_a_class_with_a_single_row_stops_prep(tmp_path, folders, capsys):
    (tmp_path / "classes").mkdir()
    frame = flights().assign(late=["yes"] + ["no"] * 199)
    line = fails(make_folders(tmp_path / "classes", CLASSIFICATION, frame), capsys)
    assert "late: the rows cannot be split" in line


def test_an_empty_csv_stops_prep(folders, capsys):
    (folders.raw / "flights.csv").write_text("", encoding="utf-8")
    assert "flights.csv: it is empty" in fails(folders, capsys)


def test_a_missing_schema_file_stops_prep(folders, capsys):
    folders.schema.unlink()
    assert "schema.yml: no such file or folder: check the path" in fails(folders, capsys)
