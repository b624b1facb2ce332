"""The step train on images: a model is written completely or not at all."""

import errno
import json
import os

import mlflow
import numpy as np
import pytest
from helpers import module
from mlflow import MlflowClient

train, MODALITY, load_examples = module("train"), module("modality").MODALITY, module("core.modality").load_examples
Schema, StepError = module("core.schema").Schema, module("core.step").StepError
OPTIONS = ("train-data", "schema", "settings", "model")


def test_the_model_is_complete_pinned_and_logged(trained):
    found = mlflow.models.Model.load(str(trained.model))
    assert found.signature.inputs.to_dict() == [{"type": "binary", "name": "image", "required": True}]
    assert [each.name for each in found.signature.outputs.inputs] == ["prediction", "left", "middle", "right"]
    [parameter] = found.signature.params.params
    assert (parameter.name, parameter.default) == ("embedding", False)
    record = json.loads((trained.test / "_split.json").read_text(encoding="utf-8"))
    assert found.metadata["split"] == record
    assert found.metadata["classes"] == ["left", "middle", "right"]
    assert not [*trained.model.rglob("*.pkl")]
    examples = load_examples(MODALITY, trained.train, Schema.load(trained.schema))
    kept = np.load(trained.model / "fingerprints.npy", allow_pickle=False)
    assert np.array_equal(kept, MODALITY.fingerprints(examples))
    requirements = (trained.model / "requirements.txt").read_text(encoding="utf-8").split()
    assert {line.split("==")[0] for line in requirements} >= {"mlflow-skinny", "onnxruntime", "pillow"}
    assert all("==" in line for line in requirements)
    assert not any(line.startswith("torch") for line in requirements)
    [run] = mlflow.search_runs(filter_string="run_name = 'train'", output_format="list")
    assert run.data.params["backbone"] == "small_cnn"
    assert run.data.metrics["train_rows"] > 60
    assert 0 <= run.data.metrics["train_accuracy"] <= 1
    history = MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [point.step for point in history] == [1, 2]
    assert MlflowClient().list_artifacts(run.info.run_id) == []


def test_a_finished_training_is_not_repeated_when_the_job_starts_again(prepared, tmp_path, monkeypatch, capsys):
    """The job ended while the model was written."""

    def stop(*_):
        raise StepError("the node is gone")

    arguments = [*prepared.arguments(*OPTIONS), "--checkpoints", str(tmp_path / "state")]
    with monkeypatch.context() as first:
        first.setattr(module("vision.saving"), "export", stop)
        with pytest.raises(SystemExit):
            train.main(arguments)
    assert capsys.readouterr().err.splitlines()[-1] == "error: the node is gone"
    train.main(arguments)
    out = capsys.readouterr().out
    assert "nothing is left to train" in out
    assert "epoch 1 of" not in out
    assert (prepared.model / "MLmodel").is_file()


@pytest.mark.parametrize("place", ["shutil.copyfile", "os.fsync"])
def test_a_full_disk_is_one_line_and_leaves_no_half_written_model(prepared, tmp_path, monkeypatch, capsys, place):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(place, full)
    with pytest.raises(SystemExit) as stop:
        train.main([*prepared.arguments(*OPTIONS), "--checkpoints", str(tmp_path / "state")])
    assert stop.value.code == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert "no space left on" in line.lower()
    assert not prepared.model.exists() or not list(prepared.model.iterdir())


def test_a_wrong_hyperparameter_stops_the_step_in_one_line(prepared, capsys):
    with pytest.raises(SystemExit):
        train.main([*prepared.arguments(*OPTIONS), "--overrides", "training.hyperparameters.epoch=3"])
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: training.hyperparameters.epoch: unknown; the nearest is epochs, and known")
