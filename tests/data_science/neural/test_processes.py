"""Several processes that train together: they give the model of one, and the first alone writes."""

import os
import socket
import subprocess
import sys

import mlflow
import pytest
import yaml
from helpers import PACKAGE, SOURCE, module
from samples import NETWORK

train, MODALITY = module("train"), module("modality").MODALITY
Schema, load_examples = module("core.schema").Schema, module("core.modality").load_examples
model_predictions = module("core.champion").model_predictions


@pytest.fixture
def arguments(prepared):
    """The arguments of a training of a network."""
    settings = yaml.safe_load(prepared.settings.read_text(encoding="utf-8"))
    settings["training"]["hyperparameters"] = NETWORK
    prepared.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return prepared.arguments("train-data", "schema", "settings")


@pytest.fixture
def alone(prepared, arguments, capsys):
    """What a training in one process prints, which leaves its model in the project."""
    train.main([*arguments, "--model", str(prepared.model)])
    return capsys.readouterr().out


@pytest.fixture
def second_process(alone, arguments, tmp_path, monkeypatch):
    """The second of two processes, as `torchrun` starts it; this one is the first, which has its libraries already."""
    with socket.socket() as any_port:
        any_port.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(any_port.getsockname()[1]), "WORLD_SIZE": "2"}
    for name, value in {**address, "RANK": "0", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    environment = {**os.environ, "RANK": "1", "LOCAL_RANK": "1", "PYTHONPATH": str(SOURCE), "OMP_NUM_THREADS": "1"}
    environment |= {"MLFLOW_TRACKING_URI": mlflow.get_tracking_uri()}
    command = [sys.executable, "-m", f"{PACKAGE}.train", *arguments, "--model", str(tmp_path / "second")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        yield process
        process.kill()


def test_two_processes_give_the_model_of_one_and_the_first_alone_writes(
    prepared, alone, second_process, arguments, tmp_path, capsys
):
    train.main([*arguments, "--model", str(tmp_path / "two")])
    printed, errors = second_process.communicate(timeout=60)
    assert (second_process.returncode, printed) == (0, ""), errors
    assert not (tmp_path / "second").exists()
    epochs = [[line[:13] for line in out.splitlines() if "epoch " in line] for out in (alone, capsys.readouterr().out)]
    assert epochs[0] == epochs[1] != []
    examples = load_examples(MODALITY, prepared.test, Schema.load(prepared.schema, MODALITY.tasks))
    models = [mlflow.pyfunc.load_model(str(path)) for path in (prepared.model, tmp_path / "two")]
    one, two = (model_predictions(model, MODALITY, examples) for model in models)
    if one.probabilities is None:
        assert two.values.tolist() == one.values.tolist()
    else:
        assert two.probabilities == pytest.approx(one.probabilities, abs=1e-4)
    runs = mlflow.search_runs(experiment_names=["tests"], filter_string="run_name = 'train'", output_format="list")
    losses = [run.data.metrics["loss"] for run in runs]
    assert losses == pytest.approx([losses[0]] * 2, abs=1e-5)
