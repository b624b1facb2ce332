"""What the steps write on the run of the pipeline: settings, data, scores, outcome, so that runs can be compared."""

import mlflow
import pandas as pd
import pytest
from helpers import module
from mlflow.exceptions import MlflowException
from step_runs import MODEL_NAME, prepare

pipeline_run, split = module("core.pipeline_run"), module("core.split")


@pytest.fixture
def parent(folders, monkeypatch):
    """A run of a pipeline, as `mlops local` begins it."""
    made = mlflow.MlflowClient().create_run("0", run_name="a pipeline").info.run_id
    monkeypatch.setenv("MLOPS_PARENT_RUN_ID", made)
    return made


def on(run):
    return mlflow.MlflowClient().get_run(run).data


def test_settings_are_known_before_the_data_are_read(parent, folders):
    for path in folders.raw.iterdir():
        path.unlink()
    with pytest.raises(SystemExit):
        prepare(folders)
    params = on(parent).params
    assert params["training.seed"] == "13"
    assert {"code", "schema", "promotion.floor", "evaluation.metric"} <= params.keys()
    assert "data" not in params


def test_other_data_have_another_identity(parent, folders):
    prepare(folders)
    data = on(parent)
    assert len(data.params["data"]) == 12
    assert data.metrics["train_rows"] + data.metrics["test_rows"] <= data.metrics["raw_rows"]


def test_scores_and_the_decision_are_on_the_run_of_the_pipeline(gate, monkeypatch):
    run = mlflow.MlflowClient().create_run("0").info.run_id
    monkeypatch.setenv("MLOPS_PARENT_RUN_ID", run)
    decision, _ = gate.judge(gate.strong)
    data, metrics = on(run), gate.written("metrics")
    assert {name: data.metrics[name] for name in metrics["challenger"]} == pytest.approx(metrics["challenger"])
    assert data.tags["promote"] == str(decision["promote"]).lower()
    assert data.tags["reasons"].split("\n") == decision["reasons"]
    assert data.tags["scores"].split(":")[0] == metrics["metric"]
    assert data.tags["model"] == MODEL_NAME
    assert len(data.params["held_out"]) == 12


def test_the_job_on_azure_ml_is_the_run_of_the_pipeline(folders, monkeypatch):
    client = mlflow.MlflowClient()
    job, step = (client.create_run("0").info.run_id for _ in range(2))
    monkeypatch.setenv("AZUREML_ROOT_RUN_ID", job)
    monkeypatch.setenv("MLFLOW_RUN_ID", step)
    pipeline_run.log({"depth": 3}, {"mae": 1.5}, {"promote": "true"})
    assert (on(job).params, on(job).metrics) == ({"depth": "3"}, {"mae": 1.5})
    assert on(job).tags["promote"] == "true"
    assert on(step).params == {}
    # A job of one step has what the step logs already.
    monkeypatch.setenv("MLFLOW_RUN_ID", job)
    pipeline_run.log({"other": 1})
    assert "other" not in on(job).params


def test_a_step_by_itself_has_no_pipeline(folders, monkeypatch):
    monkeypatch.delenv("MLOPS_PARENT_RUN_ID", raising=False)
    monkeypatch.setattr(pipeline_run, "MlflowClient", lambda: pytest.fail("MLflow was asked"))
    pipeline_run.log({"depth": 3})


def test_a_server_that_refuses_stops_no_step_and_the_log_says_so(parent, monkeypatch, capsys):
    class Refusing:
        def log_batch(self, *given):
            raise MlflowException("not allowed\nat all")

    monkeypatch.setattr(pipeline_run, "MlflowClient", Refusing)
    pipeline_run.log({"depth": 3})
    assert capsys.readouterr().out == "the run of the pipeline keeps no copy of this: not allowed\n"


def test_more_settings_than_one_request_takes_are_all_kept(parent):
    pipeline_run.log({f"setting {number}": "x" * 900 for number in range(230)}, {"mae": 1.0})
    data = on(parent)
    assert len(data.params) == 230
    assert {len(value) for value in data.params.values()} == {500}
    assert data.metrics == {"mae": 1.0}


def test_hyperparameters_have_their_own_names_and_a_search_says_nothing_about_a_training():
    training = {"seed": 1, "offset": None, "hyperparameters": {"rate": 0.1, "deep": {"width": 3}, "left_out": None}}
    settings = {"training": training, "tuning": {"trials": 3}, "promotion": {"floor": 2}}
    assert pipeline_run.parameters(settings) == {
        "rate": 0.1,
        "deep.width": 3,
        "training.seed": 1,
        "promotion.floor": 2,
    }


FRAME = pd.DataFrame({"id": ["a", "b", "c"], "size": [1.0, 2.0, None], "y": [3.0, 4.0, 5.0]})


def test_the_order_of_examples_does_not_matter_and_each_value_does():
    same = pipeline_run.data_identity([FRAME.iloc[::-1]])
    assert pipeline_run.data_identity([FRAME]) == same
    assert pipeline_run.data_identity([FRAME.iloc[:1], FRAME.iloc[1:]]) == same
    assert pipeline_run.data_identity([FRAME.assign(size=[1.0, 2.0, 0.0])]) != same
    assert pipeline_run.data_identity([FRAME.iloc[:2]]) != same


def test_held_out_examples_are_the_same_whatever_else_is_known_of_them():
    made = split.Split("hash", ("id",), ("text",), "mlops", 0.2)
    same = pipeline_run.held_out_identity(FRAME, made, "y")
    assert pipeline_run.held_out_identity(FRAME.iloc[::-1].assign(more=1), made, "y") == same
    assert pipeline_run.held_out_identity(FRAME.assign(y=[3.0, 4.0, 6.0]), made, "y") != same
    assert pipeline_run.held_out_identity(FRAME.assign(id=["a", "b", "d"]), made, "y") != same


def test_comments_ends_of_lines_and_copies_that_jupyter_makes_change_no_identity(tmp_path):
    (tmp_path / "a.py").write_bytes(b"x = 1\n")
    before = pipeline_run.code_identity(tmp_path)
    (tmp_path / "a.py").write_bytes(b"x = 1\r\n")
    assert pipeline_run.code_identity(tmp_path) == before
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "a-checkpoint.py").write_bytes(b"x = 0\n")
    assert pipeline_run.code_identity(tmp_path) == before
    (tmp_path / "a.py").write_bytes(b"x = 2\n")
    assert pipeline_run.code_identity(tmp_path) != before
    assert pipeline_run.document_identity({"a": 1, "b": 2}) == pipeline_run.document_identity({"b": 2, "a": 1})
