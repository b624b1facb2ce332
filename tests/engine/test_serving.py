"""The local endpoint: Azure ML's inference server with a registered model, on a project of a few lines."""

import builtins
import json
import os
import re
import shutil
import socket
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import mlflow
import pytest
import yaml
from rendered import HERE

from mlops.config import Project, load_environment
from mlops.errors import UserError
from mlops.local import serving
from mlops.local.runner import local_variables

SCORE = """
import json
import os
from pathlib import Path

def init():
    global factor
    (model,) = Path(os.environ["AZUREML_MODEL_DIR"]).rglob("factor.txt")
    factor = float(model.read_text())
    print("loaded", factor)

def run(data):
    if isinstance(data, list):
        return [factor * float(Path(file).read_text()) for file in data]
    rows = json.loads(data)["input_data"]["data"]
    return {"predictions": [factor * row[0] for row in rows]}
"""
ENDPOINT = """
from .champion import champion
from .step import StepError

def sample_request(modality, schema_path, folder, rows):
    assert schema_path.is_file() and folder.is_dir()
    return {"input_data": {"columns": ["x"], "index": list(range(rows)), "data": [[i] for i in range(rows)]}}
"""


PIPELINE = {
    "inputs": {
        "schema": {"type": "uri_file", "path": "../../data/schema.yml"},
        "raw_data": {"type": "uri_folder", "path": "../../data/raw"},
    }
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A project whose model is one number: versions 1 to 11 are registered as 1 to 11, and 11 is rejected."""
    root = tmp_path_factory.mktemp("a project's folder")
    real = HERE
    project = replace(real, root=root, package="tiny_numbers")
    package = root / "data-science" / "src" / "tiny_numbers"
    for folder in (package, project.definitions, root / "data" / "raw", root / ".local"):
        folder.mkdir(parents=True)
    shutil.copytree(real.root / "config", root / "config")
    (package / "__init__.py").touch()
    shutil.copytree(real.root / "data-science" / "src" / real.package / "core", package / "core")
    for name in ("conversion.py", "model_output.py"):  # what core imports besides
        shutil.copy(real.root / "data-science" / "src" / real.package / name, package / name)
    (package / "score.py").write_text(SCORE)
    (package / "modality.py").write_text("MODALITY = None\n")
    (package / "core" / "endpoint.py").write_text(ENDPOINT)
    (root / "data" / "schema.yml").touch()
    (project.definitions / "pipeline.yml").write_text(yaml.safe_dump(PIPELINE))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLOPS_LOCAL_DIR", raising=False)
        patch.syspath_prepend(package.parent)
        register_versions(project)
        yield project


def register_versions(project: Project) -> None:
    client = mlflow.MlflowClient(tracking_uri=local_variables(project)["MLFLOW_TRACKING_URI"])
    name = load_environment(project, "dev").model.name
    client.create_registered_model(name)
    for number in range(1, 12):
        folder = project.root / "models" / str(number)
        folder.mkdir(parents=True)
        (folder / "factor.txt").write_text(str(number))
        client.create_model_version(name, folder.as_uri())
    client.set_model_version_tag(name, "11", "rejected", "true")


def test_the_newest_version_that_was_not_rejected_answers_over_http(project: Project) -> None:
    before = (dict(os.environ), list(sys.path), builtins.print)
    with serving.Endpoint(project) as endpoint:
        assert (dict(os.environ), list(sys.path), builtins.print) == before
        assert endpoint.champion.version == 10
        assert endpoint.url.startswith("http://127.0.0.1:")
        assert endpoint.score({"input_data": {"data": [[1], [2.5]]}}) == {"predictions": [10.0, 25.0]}
        with urllib.request.urlopen(endpoint.url.removesuffix("score")) as answer:
            assert answer.read() == b"Healthy"
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(endpoint.url)


def test_files_are_scored_by_the_same_script_and_model(project: Project, tmp_path: Path) -> None:
    (tmp_path / "three.txt").write_text("3")
    with serving.Endpoint(project) as endpoint:
        assert endpoint.score_files([tmp_path / "three.txt"]) == [30.0]


def test_the_server_is_quiet_and_keeps_a_log(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    with serving.Endpoint(project) as endpoint:
        endpoint.score({"input_data": {"data": [[1]]}})
    assert capfd.readouterr() == ("", "")
    log = endpoint.log.read_text(encoding="utf-8")
    assert "loaded 10.0" in log
    assert "POST /score 200" in log


def test_a_request_that_the_script_cannot_answer_is_an_error_with_the_log(project: Project) -> None:
    with (
        serving.Endpoint(project) as endpoint,
        pytest.raises(UserError, match=r"the endpoint answered 500: .* \(log: .*server.log\)"),
    ):
        endpoint.score({"something": "else"})
    assert "KeyError: 'input_data'" in endpoint.log.read_text(encoding="utf-8")


def test_serve_prints_a_request_that_can_be_sent_as_it_is(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    answers = []

    def call() -> None:
        printed = capsys.readouterr().out
        request, url = re.search(r'--data "@(.+)" (\S+)', printed).groups()  # type: ignore[union-attr]
        call = urllib.request.Request(url, Path(request).read_bytes(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(call) as answer:
            answers.append(json.load(answer))
        raise KeyboardInterrupt

    serving.serve(project, port=0, wait=call)
    assert answers == [{"predictions": [0.0, 10.0, 20.0]}]
    assert capsys.readouterr().out == "stopped\n"


def test_a_port_in_use_is_one_line_with_the_remedy(project: Project) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} is in use or not allowed: choose another one"):
            serving.serve(project, port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_an_impossible_port_is_refused(project: Project, port: int) -> None:
    with pytest.raises(UserError, match="there is no port"):
        serving.serve(project, port)


def test_without_a_registered_model_the_remedy_is_named(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_LOCAL_DIR", str(tmp_path / "empty"))
    with pytest.raises(UserError, match="run `uv run mlops local` first"):
        serving.serve(project, 0)
    assert not (tmp_path / "empty").exists()


def test_a_model_whose_files_are_gone_is_one_line_with_the_remedy(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "copy"
    shutil.copytree(project.root / ".local", local)
    monkeypatch.setenv("MLOPS_LOCAL_DIR", str(local))
    (project.root / "models").rename(project.root / "moved")
    try:
        with pytest.raises(UserError, match=r"cannot be read .* delete that folder and run `uv run mlops local`"):
            serving.serve(project, 0)
    finally:
        (project.root / "moved").rename(project.root / "models")


def test_a_script_that_cannot_load_the_model_is_one_line_with_the_log(project: Project) -> None:
    script = project.root / "data-science" / "src" / "tiny_numbers" / "score.py"
    script.write_text(SCORE.replace("factor.txt", "other.txt"))
    try:
        with pytest.raises(UserError, match=r"score.py cannot serve the model: ValueError: not enough .* \(log: "):
            serving.serve(project, 0)
    finally:
        script.write_text(SCORE)
