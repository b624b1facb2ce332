"""The step prep, from raw files to training and test rows, and what all steps share."""

import argparse
import errno
import os
import shutil

import mlflow
import pandas as pd
import pytest
from samples import CLASSIFICATION, flights, make_folders, module

# --- The step prep: from raw files to training and test rows.


prep = module("prep")
step = module("step")
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
    assert "flights.csv is empty" in fails(folders, capsys)


def test_a_missing_schema_file_stops_prep(folders, capsys):
    folders.schema.unlink()
    assert "schema.yml: no such file or folder: check the path" in fails(folders, capsys)


# --- What all steps share: errors in one line, and outputs that are whole or absent.


step = module("step")


def stopped_by(fault, capsys):
    def failing(_):
        raise fault

    with pytest.raises(SystemExit) as stop:
        step.run(failing, argparse.ArgumentParser(), [])
    assert stop.value.code == 1
    return capsys.readouterr().err


def test_a_users_mistake_is_one_line(capsys):
    assert stopped_by(step.StepError("the file is\n   broken"), capsys) == "error: the file is broken\n"


def test_a_full_disk_is_one_line_with_the_cure(capsys):
    line = stopped_by(OSError(errno.ENOSPC, "No space left on device"), capsys)
    assert line.startswith("error: no space left on the disk: free some space")


def test_a_missing_file_is_named(capsys):
    line = stopped_by(FileNotFoundError(errno.ENOENT, "gone", "a.csv"), capsys)
    assert line == "error: a.csv: no such file or folder: check the path\n"


def test_a_full_disk_is_seen_behind_the_exception_of_a_library(capsys):
    fault = RuntimeError("could not be serialized")
    fault.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "no space left" in stopped_by(fault, capsys)


@pytest.mark.parametrize("fault", [KeyError("bug"), OSError(errno.EIO, "broken")])
def test_a_bug_keeps_its_traceback(fault):
    def failing(_):
        raise fault

    with pytest.raises(type(fault)):
        step.run(failing, argparse.ArgumentParser(), [])


def test_wrong_arguments_exit_with_2():
    with pytest.raises(SystemExit) as stop:
        step.run(print, argparse.ArgumentParser(), ["--nope"])
    assert stop.value.code == 2


def test_an_output_is_replaced_as_a_whole(tmp_path):
    (tmp_path / "out" / "old").mkdir(parents=True)
    (tmp_path / "out" / "old.txt").write_text("old", encoding="utf-8")
    with step.staged(tmp_path / "out") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "new.txt").write_text("new", encoding="utf-8")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["sub", "new.txt"]


def test_a_fault_before_the_end_leaves_the_earlier_output(tmp_path):
    (tmp_path / "old.txt").write_text("old", encoding="utf-8")

    def fail_half_way():
        with step.staged(tmp_path) as folder:
            (folder / "new.txt").write_text("new", encoding="utf-8")
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert [path.name for path in tmp_path.iterdir()] == ["old.txt"]


def test_a_disk_that_fills_up_while_copying_leaves_nothing(tmp_path, monkeypatch):
    copy = shutil.copyfile

    def copy_until_full(source, target):
        if source.name == "b":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return copy(source, target)

    def write_three_files():
        with step.staged(tmp_path) as folder:
            for name in "abc":
                (folder / name).write_text("x", encoding="utf-8")

    monkeypatch.setattr(shutil, "copyfile", copy_until_full)
    with pytest.raises(OSError, match="space"):
        write_three_files()
    assert list(tmp_path.iterdir()) == []


def test_a_step_becomes_a_child_of_the_run_of_the_whole_pipeline(folders, monkeypatch):
    parent = mlflow.MlflowClient().create_run("0").info.run_id
    monkeypatch.setenv("MLOPS_PARENT_RUN_ID", parent)
    with step.tracked("train") as active:
        assert active.data.tags["mlflow.parentRunId"] == parent
        assert active.info.run_name == "train"


def test_a_step_joins_the_run_of_its_azure_job(folders, monkeypatch):
    job = mlflow.MlflowClient().create_run("0", run_name="the job").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", job)
    with step.tracked("train") as active:
        assert active.info.run_id == job
    assert mlflow.get_run(job).info.run_name == "the job"


def test_mlflow_reports_its_use_to_nobody():
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
