"""The whole local loop on this very project, with its own data; `.local` of the user stays untouched."""

import contextlib
import io
import json
import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml
from rendered import HERE

from mlops import definitions
from mlops.errors import UserError
from mlops.lint import Finding
from mlops.local import run as local
from mlops.local.runner import local_folder, local_variables
from mlops.project import Project


@dataclass(frozen=True)
class Loop:
    """The first run and the one right after it, with what each printed."""

    project: Project
    first: local.LocalResult
    first_lines: list[str]
    second: local.LocalResult
    second_lines: list[str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_LOCAL_DIR", str(tmp_path_factory.mktemp("a user's folder") / ".local"))
        yield HERE


@pytest.fixture(scope="module")
def loop(project: Project) -> Loop:
    first, first_lines = run(project)
    second, second_lines = run(project, skip_lint=True)
    return Loop(project, first, first_lines, second, second_lines)


def run(project: Project, **options: Any) -> tuple[local.LocalResult, list[str]]:
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        result = local.run_local(project, **options)
    return result, printed.getvalue().splitlines()


def test_the_first_model_is_registered_and_answers(loop: Loop) -> None:
    assert (loop.first.registered, loop.first.version) == (True, 1)
    assert len(loop.first.predictions) == local.ROWS
    assert loop.first.batch is not None
    assert len(loop.first.batch.read_text(encoding="utf-8").splitlines()) > 1


def test_the_same_model_again_is_not_promoted_and_the_champion_answers(loop: Loop) -> None:
    assert (loop.second.registered, loop.second.version) == (False, 1)
    assert loop.second.predictions == loop.first.predictions
    assert any(line.startswith("model ") and "stays the champion" in line for line in loop.second_lines)


def test_the_report_of_the_latest_run_has_a_fixed_place(loop: Loop) -> None:
    assert loop.second.report == local_folder(loop.project) / "report" / "index.html"
    made = [page.read_bytes() for page in loop.second.run.rglob("report.html")]
    assert made == [loop.second.report.read_bytes()]


def test_each_step_and_what_came_of_it_is_a_line(loop: Loop) -> None:
    names = ["lint", "tracking", *definitions.of(loop.project).pipeline().order()]
    results = ["serve", "scored", "batch", "drift", "model", "run", "report", "done"]
    assert [line.split()[0] for line in loop.first_lines] == names + results
    assert [line.split()[0] for line in loop.second_lines] == names[1:] + results
    assert loop.first_lines[-2].split(maxsplit=1)[1] == str(loop.first.report)


def test_the_steps_runs_are_children_of_one_run_per_pipeline(loop: Loop) -> None:
    uri = local_variables(loop.project)["MLFLOW_TRACKING_URI"]
    client = mlflow.MlflowClient(tracking_uri=uri)
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    parents = {run.info.run_id: run.info for run in runs if "mlflow.parentRunId" not in run.data.tags}
    children = [run.data.tags["mlflow.parentRunId"] for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert {info.run_name for info in parents.values()} == {loop.first.run.name, loop.second.run.name}
    assert {info.status for info in parents.values()} == {"FINISHED"}
    assert set(children) == set(parents)


def test_everything_is_written_below_one_folder(loop: Loop) -> None:
    source = loop.project.root / "data-science"
    assert not [path for path in source.rglob("*") if path.name in {"mlruns", "mlflow.db"}]
    assert sorted(path.name for path in local_folder(loop.project).iterdir()) == [
        "artifacts",
        "lock",
        "lock.txt",
        "mlflow.db",
        "report",
        "runs",
    ]


def test_an_implausible_answer_fails_the_loop(loop: Loop, tmp_path: Path) -> None:
    class Broken:
        url, log = "http://127.0.0.1/score", tmp_path / "server.log"

        def score(self, request: dict[str, Any]) -> dict[str, Any]:
            return {"predictions": [math.nan] * len(request["input_data"]["data"])}

    with pytest.raises(UserError, match=r"the endpoint's answer is wrong: .*server.log"):
        local.query(loop.project, definitions.of(loop.project).pipeline(), Broken())  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"no database at all, and longer than its header" * 99, None])
def test_a_damaged_database_of_runs_is_one_line_with_the_remedy(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    store = tmp_path / "mlflow.db"
    whole = (local_folder(loop.project) / "mlflow.db").read_bytes()
    store.write_bytes(content or whole[:4096] + bytes(reversed(whole[4096:])))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store.as_posix()}")
    complaint = rf"^{re.escape(str(store))} cannot be read \(.+\): restore it, or delete .* to start afresh, without"
    with pytest.raises(UserError, match=complaint) as caught, local.parent_run(tmp_path, "any", "run"):
        pass
    assert "\n" not in str(caught.value)


def test_a_mistake_in_the_definitions_stops_the_loop_before_anything_runs(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_LOCAL_DIR", str(tmp_path / "unused"))
    monkeypatch.setattr(local, "lint", lambda project, **_: [Finding(Path("pipeline.yml"), "jobs.x", "no such thing")])
    with pytest.raises(UserError, match="the lint found 1 errors"):
        local.run_local(project)
    assert capsys.readouterr().out == "pipeline.yml: jobs.x: no such thing\n"
    assert not (tmp_path / "unused").exists()


def test_a_wrong_override_ends_the_loop_before_the_lint(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_LOCAL_DIR", str(tmp_path / "unused"))
    monkeypatch.setattr(local, "lint", lambda project, **_: pytest.fail("the lint began"))
    with pytest.raises(UserError, match=r"^--overrides training\.sed=7: .*has no setting 'training\.sed'"):
        local.run_local(project, overrides="training.sed=7")
    other = yaml.safe_load(project.settings.read_text(encoding="utf-8")) | {"extra": {"key": 1}}
    (tmp_path / "model.yml").write_text(yaml.safe_dump(other), encoding="utf-8")
    settings = {"settings": str(tmp_path / "model.yml")}
    with pytest.raises(UserError, match=r"^--overrides extra\.key=2 promotion\.floor=no: promotion\.floor: "):
        local.run_local(project, overrides="extra.key=2 promotion.floor=no", set_inputs=settings)
    assert not (tmp_path / "unused").exists()


def test_data_that_a_step_refuses_end_the_loop_with_one_line(loop: Loop, tmp_path: Path) -> None:
    before, environment = Path.cwd(), dict(os.environ)
    with pytest.raises(UserError, match=r"^step prep failed: .*\(log: .*log.txt\)$") as caught:
        run(loop.project, set_inputs={"raw_data": str(tmp_path)}, skip_lint=True)
    assert "\n" not in str(caught.value)
    assert (Path.cwd(), dict(os.environ)) == (before, environment)


def test_a_first_model_below_the_floor_is_not_served(loop: Loop, tmp_path: Path) -> None:
    settings = yaml.safe_load(loop.project.settings.read_text(encoding="utf-8"))
    (metrics,) = loop.first.run.rglob("metrics.json")
    higher_is_better = json.loads(metrics.read_text(encoding="utf-8"))["higher_is_better"]
    settings["promotion"]["floor"] = 1e9 if higher_is_better else 1e-9
    (tmp_path / "model.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    inputs = {"settings": str(tmp_path / "model.yml"), "model_name": "another-model"}
    with pytest.raises(UserError, match=r"not good enough to serve: .*floor"):
        run(loop.project, set_inputs=inputs, skip_lint=True)


def test_without_production_data_the_loop_goes_on(project: Project, tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").touch()
    result, lines = run(project, skip_lint=True, set_inputs={"production_data": str(tmp_path)})
    assert result.batch is None
    assert any("there is no production data to score" in line for line in lines)


def test_the_line_of_a_batch_counts_the_rows_with_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Scorer:
        """Scores one of two files."""

        def score_files(self, files: list[Path]) -> pd.DataFrame:
            return pd.DataFrame({"file": ["a", "a", "b"], "error": [None, None, "b: not readable"]})

    local._score_batch(HERE, definitions.of(HERE).pipeline(), Scorer(), tmp_path / "predictions.csv")  # type: ignore[arg-type]
    assert "3 rows in" in (line := capsys.readouterr().out)
    assert line.endswith("files, 1 of them with an error: predictions.csv\n")
