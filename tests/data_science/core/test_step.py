"""What all steps share: errors in one line, and outputs that are complete or absent."""

import argparse
import errno
import os
import shutil

import mlflow
import pytest
import threadpoolctl
from helpers import module

step = module("core.step")


def stopped_by(error, capsys):
    def failing(_):
        raise error

    with pytest.raises(SystemExit) as stop:
        step.run(failing, argparse.ArgumentParser(), [])
    assert stop.value.code == 1
    return capsys.readouterr().err


def test_a_users_mistake_is_one_line(capsys):
    assert stopped_by(step.StepError("the file is\n   broken"), capsys) == "error: the file is broken\n"


def test_a_full_disk_is_one_line_with_the_remedy(capsys):
    line = stopped_by(OSError(errno.ENOSPC, "No space left on device"), capsys)
    assert line.startswith("error: no space left on the disk: free some space")


def test_a_missing_file_is_named(capsys):
    line = stopped_by(FileNotFoundError(errno.ENOENT, "gone", "a.yml"), capsys)
    assert line == "error: a.yml: no such file or folder: check the path\n"


def test_a_full_disk_is_seen_behind_the_exception_of_a_library(capsys):
    error = RuntimeError("could not be serialized")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert "no space left" in stopped_by(error, capsys)


@pytest.mark.parametrize("error", [KeyError("bug"), OSError(errno.EIO, "broken")])
def test_a_bug_keeps_its_traceback(error):
    def failing(_):
        raise error

    with pytest.raises(type(error)):
        step.run(failing, argparse.ArgumentParser(), [])


def test_wrong_arguments_exit_with_2():
    with pytest.raises(SystemExit) as stop:
        step.run(print, argparse.ArgumentParser(), ["--nope"])
    assert stop.value.code == 2


@pytest.mark.parametrize("threads", [None, 1])
def test_a_step_uses_as_many_threads_as_its_type_of_data_allows(threads):
    def pools():
        return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]

    # Whatever the variables of this process allow.
    with threadpoolctl.threadpool_limits(2):
        usual, found = pools(), []
        assert 2 in usual
        step.run(lambda _: found.extend(pools()), argparse.ArgumentParser(), [], threads)
        assert found == (usual if threads is None else [1] * len(usual))
        assert pools() == usual


def test_an_output_is_replaced_completely(tmp_path):
    (tmp_path / "out" / "old").mkdir(parents=True)
    (tmp_path / "out" / "old.txt").write_text("old", encoding="utf-8")
    with step.output_folder(tmp_path / "out") as folder:
        (folder / "sub").mkdir()
        (folder / "sub" / "new.txt").write_text("new", encoding="utf-8")
    assert [path.name for path in (tmp_path / "out").rglob("*")] == ["sub", "new.txt"]


def test_an_error_before_the_end_leaves_the_earlier_output(tmp_path):
    (tmp_path / "old.txt").write_text("old", encoding="utf-8")

    def fail_half_way():
        with step.output_folder(tmp_path) as folder:
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
        with step.output_folder(tmp_path) as folder:
            for name in "abc":
                (folder / name).write_text("x", encoding="utf-8")

    monkeypatch.setattr(shutil, "copyfile", copy_until_full)
    with pytest.raises(OSError, match="space"):
        write_three_files()
    assert list(tmp_path.iterdir()) == []


def test_a_step_becomes_a_child_of_the_run_of_the_whole_pipeline(folders, monkeypatch):
    parent = mlflow.MlflowClient().create_run("0").info.run_id
    monkeypatch.setenv("MLOPS_PARENT_RUN_ID", parent)
    with step.step_run("train") as active:
        assert active.data.tags["mlflow.parentRunId"] == parent
        assert active.info.run_name == "train"


def test_a_step_joins_the_run_of_its_azure_job(folders, monkeypatch):
    job = mlflow.MlflowClient().create_run("0", run_name="the job").info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", job)
    with step.step_run("train") as active:
        assert active.info.run_id == job
    assert mlflow.get_run(job).info.run_name == "the job"


def test_mlflow_sends_no_telemetry():
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
