"""The steps of a job against Azure ML's tracking server: what they log and register arrives, log_model does not."""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import fake_azure_mlflow
import mlflow
import pytest
from azure.ai.ml import MLClient
from azure.identity import AzureCliCredential
from fake_azure import SUBSCRIPTION, FakeAzure
from mlflow.exceptions import MlflowException
from rendered import HERE

PACKAGE = HERE.package


@pytest.fixture
def azure() -> Iterator[FakeAzure]:
    """An Azure with one workspace."""
    azure = FakeAzure()
    azure.add_workspace("rg", "ws", "westeurope", cluster="cluster")
    with azure.running():
        yield azure


@pytest.fixture
def job(azure: FakeAzure, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, object]]:
    """What the run of a job has logged, in whose steps the test runs."""
    (workspace,) = [item["id"] for item in azure.resources.values() if item["name"] == "ws"]
    for name, value in fake_azure_mlflow.job_variables(azure, workspace).items():
        monkeypatch.setenv(name, value)
    run = azure.kept[f"{workspace}/runs".lower()][fake_azure_mlflow.RUN]
    data: dict[str, dict[str, object]] = run["data"]
    return data


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder as MLflow saves models."""
    folder = tmp_path / "model"
    (folder / "data").mkdir(parents=True)
    (folder / "MLmodel").write_text("flavors: {}\n", encoding="utf-8")
    (folder / "data" / "weights.bin").write_bytes(b"weights")
    return folder


def step(name: str) -> ModuleType:
    """Import a module of the data-science package."""
    return importlib.import_module(f"{PACKAGE}.{name}")


def register(model: Path, *, promote: bool = True, met: str | None = None) -> dict[str, object]:
    """Run the step `register` and return what it wrote."""
    evaluation, output = model.parent / "evaluation", model.parent / "registration"
    evaluation.mkdir(exist_ok=True)
    decision = json.dumps({"promote": promote, "reasons": ["it is better"], "champion_version": met})
    (evaluation / "decision.json").write_text(decision, encoding="utf-8")
    folders = ["--model", str(model), "--evaluation", str(evaluation), "--registration", str(output)]
    step("register").main([*folders, "--model-name", "a-model"])
    registration: dict[str, object] = json.loads((output / "registration.json").read_text(encoding="utf-8"))
    return registration


def test_what_a_step_logs_is_in_the_run_of_the_job(azure: FakeAzure, job: dict, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text("a report", encoding="utf-8")
    with step("core.step").step_run("evaluate"):
        mlflow.log_params({"seed": 7})
        mlflow.log_metrics({"mae": 1.5, "rows": 9})
        mlflow.set_tag("promote", "true")
        mlflow.log_artifact(str(report))
    logged = {kind: {item["key"]: item["value"] for item in items} for kind, items in job.items()}
    assert logged == {"params": {"seed": "7"}, "metrics": {"mae": 1.5, "rows": 9}, "tags": {"promote": "true"}}
    assert azure.files("stws/azureml/ExperimentRun/dcid.a-job") == {"report.html": b"a report"}


def test_the_registered_model_is_one_of_the_workspace_with_the_hash_of_its_files(
    job: dict, model: Path, tmp_path: Path
) -> None:
    registration = register(model)
    client = MLClient(AzureCliCredential(), SUBSCRIPTION, "rg", "ws", enable_telemetry=False)
    found = client.models.get("a-model", version=str(registration["version"]))
    client.models.download("a-model", version=found.version, download_path=tmp_path / "downloaded")
    (downloaded,) = (tmp_path / "downloaded").rglob("MLmodel")
    assert found.tags["sha256"] == registration["sha256"] == step("core.endpoint").model_hash(downloaded.parent)


def test_a_model_that_is_not_promoted_is_not_registered(azure: FakeAzure, job: dict, model: Path) -> None:
    assert register(model, promote=False)["registered"] is False
    assert not [path for path in azure.resources if "/models/" in path]


def test_the_champion_is_the_newest_version_that_is_not_rejected(
    azure: FakeAzure, job: dict, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workspace,) = [item["id"] for item in azure.resources.values() if item["name"] == "ws"]
    for met, run in ((None, fake_azure_mlflow.RUN), ("1", "another-job")):
        # Each step is a program of its own; MLflow takes the run's name away once it has seen it.
        fake_azure_mlflow.job_variables(azure, workspace, run)
        monkeypatch.setenv("MLFLOW_RUN_ID", run)
        register(model, met=met)
    client = mlflow.MlflowClient()
    assert step("core.endpoint").champion(client, "a-model").version == "2"
    client.set_model_version_tag("a-model", "2", "rejected", "true")
    champion = step("core.endpoint").champion(client, "a-model")
    assert champion.version == "1"
    folder = mlflow.artifacts.download_artifacts(f"models:/a-model/{champion.version}", dst_path=str(tmp_path / "to"))
    assert Path(folder, "data", "weights.bin").read_bytes() == b"weights"


def test_without_a_model_there_is_no_champion(job: dict) -> None:
    assert step("core.endpoint").champion(mlflow.MlflowClient(), "a-model") is None


def test_log_model_fails_because_azure_does_not_know_its_request(azure: FakeAzure, job: dict) -> None:
    from sklearn.linear_model import LinearRegression

    with step("core.step").step_run("train"), pytest.raises(MlflowException, match=r"logged-models failed.* 404"):
        mlflow.sklearn.log_model(LinearRegression(), name="model", pip_requirements=[])
    assert [status for method, path, status in azure.calls if path.endswith("/logged-models")] == [404]
