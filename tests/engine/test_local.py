"""The whole local loop on this very project, with its own data; `.local` of the user stays untouched."""

import contextlib
import errno
import html
import io
import json
import math
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml
from rendered import HERE, without_shapes

from mlops import definitions
from mlops.errors import UserError
from mlops.lint import Finding
from mlops.local import comparison
from mlops.local import run as local
from mlops.local.comparison import compare
from mlops.local.experiments import read_history
from mlops.local.runner import local_folder, local_variables
from mlops.local.store import held
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
    first, first_lines = run(project, shapes=True)
    second, second_lines = run(project, skip_lint=True)
    return Loop(project, first, first_lines, second, second_lines)


@dataclass(frozen=True)
class Experiment:
    """A run that registers nothing, with what it printed."""

    project: Project
    result: local.LocalResult
    lines: list[str]


@pytest.fixture(scope="module")
def experiment(loop: Loop) -> Experiment:
    overrides = "training.hyperparameters.max_iter=50"
    options = {"register": False, "name": "50 trees", "overrides": overrides, "wait": False}
    return Experiment(loop.project, *run(loop.project, skip_lint=True, **options))


def run(project: Project, *, shapes: bool = False, **options: Any) -> tuple[local.LocalResult, list[str]]:
    charts = contextlib.nullcontext() if shapes else without_shapes()
    with contextlib.redirect_stdout(io.StringIO()) as printed, charts:
        result = local.run_local(project, **options)
    return result, printed.getvalue().splitlines()


def test_the_first_model_is_registered_and_answers(loop: Loop) -> None:
    served = loop.first.served
    assert served is not None
    assert (served.registered, served.version) == (True, 1)
    assert len(served.predictions) == local.ROWS
    assert served.batch is not None
    assert len(served.batch.read_text(encoding="utf-8").splitlines()) > 1


def test_the_same_model_again_is_not_promoted_and_the_champion_answers(loop: Loop) -> None:
    assert loop.first.served is not None
    assert loop.second.served == replace(loop.first.served, registered=False, batch=loop.second.run / "predictions.csv")
    assert any(line.startswith("model ") and "stays the champion" in line for line in loop.second_lines)


def test_the_report_of_the_latest_run_has_a_fixed_place(loop: Loop) -> None:
    assert loop.second.report == local_folder(loop.project) / "report" / "index.html"
    made = [page.read_bytes() for page in loop.second.run.rglob("report.html")]
    assert made == [loop.second.report.read_bytes()]


def test_each_step_and_what_came_of_it_is_a_line(loop: Loop) -> None:
    names = ["lint", "tracking", *definitions.of(loop.project).pipeline().order()]
    results = ["drift", "decision", "serve", "scored", "batch", "model", "next", "run", "report", "done"]
    for lines, expected in ((loop.first_lines, names + results), (loop.second_lines, names[1:] + results)):
        assert list(dict.fromkeys(word for line in lines if (word := line.split()[0]) != "-")) == expected


def test_each_reason_and_each_next_step_is_a_line_of_its_own_and_the_same_as_in_the_report(loop: Loop) -> None:
    (file,) = loop.second.run.rglob("decision.json")
    decision = json.loads(file.read_text(encoding="utf-8"))
    reasons = [line.strip().removeprefix("- ") for line in loop.second_lines if line.strip().startswith("- ")]
    assert reasons[: len(decision["reasons"])] == decision["reasons"]
    assert [line.split(maxsplit=1)[1] for line in loop.second_lines if line.startswith("next ")] == decision["next"]
    assert "predicts the same as the champion" in decision["next"][0]
    page = html.unescape(loop.second.report.read_text(encoding="utf-8"))
    for step in decision["next"]:
        shown = re.sub("`(.+?)`", r"<code>\1</code>", step)
        assert f"<li>{shown}</li>" in page


def test_the_charts_of_the_report_have_shapes(loop: Loop) -> None:
    (page,) = loop.first.run.rglob("report.html")
    assert len(re.findall(r"<svg[^>]*>.*?<path ", page.read_text(encoding="utf-8"), re.S)) > 3


def test_no_line_is_cut_where_the_text_is_nowhere_else_and_none_has_an_escape_code(loop: Loop) -> None:
    lines = loop.first_lines + loop.second_lines
    assert [line for line in lines if "\x1b" in line or line.rstrip().endswith("...")] == []
    logs = list(loop.first.run.rglob("log.txt"))
    assert len(logs) == len(definitions.of(loop.project).pipeline().nodes)
    assert [log for log in logs if "\x1b" in log.read_text(encoding="utf-8")] == []
    assert loop.first_lines[-2].split(maxsplit=1)[1] == str(loop.first.report)


def test_the_steps_runs_are_children_of_one_run_per_pipeline(loop: Loop) -> None:
    uri = local_variables(loop.project)["MLFLOW_TRACKING_URI"]
    client = mlflow.MlflowClient(tracking_uri=uri)
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    parents = {run.info.run_id: run.info for run in runs if "mlflow.parentRunId" not in run.data.tags}
    children = [run.data.tags["mlflow.parentRunId"] for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert {info.run_name for info in parents.values()} >= {"1 as in model.yml", "2 (same as 1)"}
    assert {info.status for info in parents.values()} == {"FINISHED"}
    assert set(children) == set(parents)


def test_settings_data_and_scores_are_on_the_run_of_the_pipeline(loop: Loop) -> None:
    first, second = read_history(loop.project, 9, ["1", "2"]).runs
    settings = yaml.safe_load(loop.project.settings.read_text(encoding="utf-8"))
    expected = settings["training"]["hyperparameters"] | {"training.seed": settings["training"]["seed"]}
    expected |= {"promotion.floor": settings["promotion"]["floor"]}
    assert {key: first.params[key] for key in expected} == {key: str(value) for key, value in expected.items()}
    assert {"code", "data", "schema", "held_out"} <= first.params.keys()
    assert first.params == second.params
    scored = json.loads(next(loop.first.run.rglob("metrics.json")).read_text(encoding="utf-8"))
    assert first.scores[0].name == scored["metric"]
    assert {name: first.metrics[name] for name in scored["challenger"]} == pytest.approx(scored["challenger"])
    assert first.metrics["test_rows"] == scored["rows"]
    assert (first.tags["promote"], first.tags["version"], second.tags["promote"]) == ("true", "1", "false")
    assert (first.tags["folder"], first.problem) == (loop.first.run.name, "")


def test_an_experiment_scores_a_model_and_leaves_registry_and_champion_alone(experiment: Experiment) -> None:
    names = [line.split()[0] for line in experiment.lines]
    assert not {"register", "serve", "scored", "batch"} & {*names}
    assert {"evaluate", "decision", "report"} <= {*names}
    assert experiment.result.served is None
    uri = local_variables(experiment.project)["MLFLOW_TRACKING_URI"]
    versions = mlflow.MlflowClient(uri, uri).search_model_versions("name = 'flight-delays'")
    assert [int(version.version) for version in versions] == [1]
    assert not list(experiment.result.run.rglob("registration.json"))


def test_an_experiment_with_another_share_of_test_rows_goes_on_and_says_that_it_cannot_be_compared(loop: Loop) -> None:
    # No more rows are held out than from the champion's training, which may have seen them therefore.
    _, printed = run(loop.project, skip_lint=True, register=False, overrides="training.test_size=0.3")
    (line,) = (line for line in printed if "cannot be compared" in line)
    assert "20% held out, and these by" in line
    assert line.endswith("; this is an experiment, and it stays the champion")
    shown = "\n".join(comparison.lines(comparison.compared(read_history(loop.project, 9))))
    assert "These cannot be compared with those above: they have other held-out examples" in shown


def test_a_comparison_tells_what_was_different_what_came_of_it_and_who_is_the_champion(
    experiment: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    page = compare(experiment.project, chosen=["1", "2", "50 trees"], metric="r2")
    shown = capsys.readouterr().out
    assert re.search(r"^[* ] 1 as in model\.yml +[\d.]+ +[\d.]+ +[\d.]+  champion, version 1$", shown, re.M)
    assert re.search(r"^[* ] 2 \(same as 1\) +[\d.]+ +[\d.]+ +[\d.]+  not promoted$", shown, re.M)
    assert re.search(r"^[* ] \d+ 50 trees .*  not registered \(--no-register\)$", shown, re.M)
    assert "all scored on the same 1,741 held-out rows; higher r2 is better" in shown
    assert "2 is as 1" not in shown
    assert re.search(r"^\d+ differs from 1 in\n  max_iter: 200 -> 50\n", shown, re.M)
    assert "\nchampion: version 1, run 1 as in model.yml\n" in shown
    assert page is not None
    assert shown.splitlines()[-1] == f"page: {page}"
    text = page.read_text(encoding="utf-8")
    assert "<svg" in text
    assert "max_<wbr>iter" in text
    assert not re.search(r'(src|href)="https?://', text)


def test_everything_is_written_below_one_folder(loop: Loop) -> None:
    source = loop.project.root / "data-science"
    assert not [path for path in source.rglob("*") if path.name in {"mlruns", "mlflow.db"}]
    assert sorted(path.name for path in local_folder(loop.project).iterdir()) == [
        "artifacts",
        "lock",
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


def test_a_reader_of_the_terminal_that_has_gone_is_no_failure_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), held(tmp_path):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")


def test_a_mistake_in_the_definitions_stops_the_loop_before_anything_runs(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLOPS_LOCAL_DIR", str(tmp_path / "unused"))
    monkeypatch.setattr(local, "lint", lambda project, **_: [Finding(Path("pipeline.yml"), "jobs.x", "no such thing")])
    with pytest.raises(UserError, match="the lint found 1 errors"):
        local.run_local(project)
    assert capsys.readouterr().out == "pipeline.yml: jobs.x: no such thing\n"
    assert not (tmp_path / "unused").exists()


def test_a_run_without_lint_imports_the_code_that_knows_what_comes_before_mlflow(project: Project) -> None:
    code = "\n".join(
        [
            "import sys",
            "from mlops.local.run import import_code",
            "from mlops.project import Project",
            "import_code(Project.load())",
            "names = list(sys.modules)",
            "assert names.index('scipy.special') < names.index('mlflow')",
            "assert 'mlflow.store.tracking.sqlalchemy_store' in names",
        ]
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=project.root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


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
    inputs = {"settings": str(settings_beyond_reach(loop, tmp_path)), "model_name": "another-model"}
    with pytest.raises(UserError, match=r"not good enough to serve: .*floor") as caught:
        run(loop.project, set_inputs=inputs, skip_lint=True)
    assert "champion" not in str(caught.value)


def test_a_champion_of_other_data_that_cannot_answer_is_named_behind_why_the_new_model_does_not_take_its_place(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = yaml.safe_load(loop.project.schema.read_text(encoding="utf-8"))
    schema["split"]["salt"] = "other data"
    (tmp_path / "schema.yml").write_text(yaml.safe_dump(schema, allow_unicode=True), encoding="utf-8")

    def wrong(*_: Any) -> list[Any]:
        raise UserError("the endpoint's answer is wrong")

    monkeypatch.setattr(local, "query", wrong)
    inputs = {"settings": str(settings_beyond_reach(loop, tmp_path)), "schema": str(tmp_path / "schema.yml")}
    overrides = "promotion.incomparable_champion=replace"
    with pytest.raises(UserError, match=r"not good enough .*floor.*other data stays: .* is wrong; .* to start over$"):
        run(loop.project, set_inputs=inputs, overrides=overrides, skip_lint=True)
    with pytest.raises(UserError, match=r"^the endpoint's answer is wrong$"):
        run(loop.project, skip_lint=True)


def settings_beyond_reach(loop: Loop, folder: Path) -> Path:
    """Write settings with a floor that no model reaches."""
    settings = yaml.safe_load(loop.project.settings.read_text(encoding="utf-8"))
    metrics = next(loop.first.run.parent.rglob("metrics.json"))  # of any run: older ones are deleted
    higher_is_better = json.loads(metrics.read_text(encoding="utf-8"))["higher_is_better"]
    settings["promotion"]["floor"] = 1e9 if higher_is_better else 1e-9
    settings["promotion"]["beat_baselines"] = False  # the floor alone decides, of a model that is trained quickly
    settings["training"]["hyperparameters"]["max_iter"] = 5
    (folder / "model.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return folder / "model.yml"


def test_without_production_data_the_loop_goes_on(project: Project, tmp_path: Path) -> None:
    (tmp_path / ".gitkeep").touch()
    result, lines = run(project, skip_lint=True, set_inputs={"production_data": str(tmp_path)})
    assert result.served is not None
    assert result.served.batch is None
    assert any("there is no production data to score" in line for line in lines)


def test_the_line_of_a_batch_counts_the_rows_with_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Scorer:
        """Scores one of two files."""

        def score_files(self, files: list[Path]) -> pd.DataFrame:
            return pd.DataFrame({"file": ["a", "a", "b"], "error": [None, None, "b: not readable"]})

    local._score_batch(HERE, definitions.of(HERE).pipeline(), Scorer(), tmp_path / "predictions.csv")  # type: ignore[arg-type]
    assert "3 rows in" in (line := capsys.readouterr().out)
    assert line.endswith("files, 1 of them with an error: predictions.csv\n")


def test_a_run_that_fails_is_shown_with_its_reason(loop: Loop, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="step prep failed") as caught:
        run(loop.project, set_inputs={"raw_data": str(tmp_path)}, skip_lint=True, name="without data")
    (failed,) = read_history(loop.project, 1, ["without data"]).runs
    assert failed.status == "FAILED"
    assert failed.problem == str(caught.value)
    assert failed.params["max_iter"] == "200"
