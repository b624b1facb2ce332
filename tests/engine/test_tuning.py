"""The search for hyperparameters on this machine: what is printed, what is trained, and what config/model.yml keeps."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_line import run
from mlflow import MlflowClient
from small_project import set_key

from mlops import hyperparameters
from mlops.config import Project, load_yaml
from mlops.errors import UserError
from mlops.local import tuning
from mlops.local.runner import RunResult, local_folder
from mlops.local.store import held

BEST = {"rate": 0.05, "kind": "b", "tree.depth": 3}
OVERRIDES = "training.hyperparameters.rate=0.05 training.hyperparameters.kind=b training.hyperparameters.tree.depth=3"


def result(**changes: Any) -> dict[str, Any]:
    """What the step writes."""
    trials = [{"number": 1, "state": "complete", "error": None}, {"number": 2, "state": "failed", "error": "no memory"}]
    document = {
        "metric": "mae",
        "goal": "minimize",
        "settings": {"hyperparameters": {}, "score": 0.75},
        "best": {"number": 1, "hyperparameters": BEST, "score": 0.5, "sd": 0.1},
        "improved": True,
        "trials": trials,
    }
    return document | changes


class Steps:
    """What runs on this machine, without running it: the pipeline of the search, and the loop after it."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = result()
        self.inputs: dict[str, object] = {}
        self.trained: list[str] = []
        self.stops = False

    def search(self, pipeline: Any, folder: Path, **options: Any) -> RunResult:
        if self.stops:
            raise KeyboardInterrupt
        self.inputs = dict(pipeline.nodes["tune"].inputs)
        output = folder / "search"
        output.mkdir()
        (output / "search.json").write_text(json.dumps(self.document), encoding="utf-8")
        (output / "report.html").write_text("the report", encoding="utf-8")
        return RunResult(folder, {}, {"search": output})

    def train(self, project: Project, *, overrides: str, **options: Any) -> None:
        self.trained.append(overrides)


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow, which takes seconds to create."""
    store = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{store.as_posix()}").search_experiments()
    return store


@pytest.fixture
def steps(project: Project, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Steps:
    local_folder(project).mkdir()
    shutil.copy(empty_store, local_folder(project))
    steps = Steps()
    monkeypatch.setattr(tuning, "run_pipeline", steps.search)
    monkeypatch.setattr(tuning, "run_local", steps.train)
    return steps


def test_a_better_candidate_is_trained_and_named(
    project: Project, steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    before = project.settings.read_bytes()
    assert run("tune", "--skip-lint", "--trials", "3", "--overrides", "training.seed=7") == 0
    shown = capsys.readouterr().out
    assert "trials     1 complete, 1 failed" in shown
    assert "rate=0.05 kind=b tree.depth=3 (mae 0.5 in cross-validation; the settings' own: 0.75)" in shown
    assert f"report     {project.root / '.local' / 'report' / 'search.html'}" in shown
    assert '`uv run mlops tune --trials 3 --overrides "training.seed=7" --save`' in shown
    assert steps.trained == [f"training.seed=7 {OVERRIDES}"]
    assert project.settings.read_bytes() == before


def test_a_search_keeps_its_state_where_the_next_one_finds_it(project: Project, steps: Steps) -> None:
    tuning.tune_local(project, overrides="training.seed=7", trials=3, skip_lint=True)
    assert steps.inputs["state"] == str(project.root / ".local" / "tuning")
    assert steps.inputs["overrides"] == "training.seed=7 tuning.trials=3"


def test_without_a_better_candidate_nothing_is_trained_or_saved(
    project: Project, steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.document = result(improved=False)
    before = project.settings.read_bytes()
    tuning.tune_local(project, save=True, skip_lint=True)
    assert "the settings' own hyperparameters stay (mae 0.75 in cross-validation)" in capsys.readouterr().out
    assert steps.trained == []
    assert project.settings.read_bytes() == before


def test_without_a_training_the_best_hyperparameters_can_still_be_saved(project: Project, steps: Steps) -> None:
    tuning.tune_local(project, train=False, save=True, skip_lint=True)
    assert steps.trained == []
    kept = load_yaml(project.settings)["training"]["hyperparameters"]
    assert kept == {"rate": 0.05, "kind": "b", "tree": {"depth": 3}}
    assert hyperparameters.is_kept(project, BEST)


@pytest.mark.parametrize("overrides", ["training.hyperparameters.rate=0.2", "training={}"])
def test_what_was_found_beside_other_hyperparameters_is_not_saved_alone(
    overrides: str, project: Project, steps: Steps
) -> None:
    with pytest.raises(UserError, match="--save: the score would rest on training"):
        tuning.tune_local(project, overrides=f"training.seed=7 {overrides}", save=True, skip_lint=True)
    assert steps.inputs == {}


def test_a_stopped_search_says_how_it_goes_on(
    project: Project, steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    steps.stops = True
    assert run("tune", "--skip-lint") == 130
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1] == "kept       what was tried: `uv run mlops tune` goes on from there"
    assert shown.err == "stopped\n"


def test_a_search_that_does_not_wait_ends_where_another_run_uses_the_folder(
    project: Project, steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    with held(local_folder(project)):
        assert run("tune", "--no-wait") == 1
    assert capsys.readouterr().err.startswith(f"error: the run of process {os.getpid()}, begun at ")
    assert steps.inputs == {}


def test_without_a_section_there_is_a_remedy(project: Project, steps: Steps) -> None:
    set_key(project.settings, "tuning", None)
    with pytest.raises(UserError, match=r"there is no section tuning: write one, docs/operate\.md"):
        tuning.tune_local(project, skip_lint=True)
    with pytest.raises(UserError, match="there is no section tuning"):
        hyperparameters.sweep(project)


def test_a_wrong_override_ends_a_search_before_it_begins(project: Project, steps: Steps) -> None:
    with pytest.raises(UserError, match=r"training\.hyperparameters\.rte: unknown; the nearest is rate"):
        tuning.tune_local(project, overrides="training.hyperparameters.rte=1", skip_lint=True)
    assert steps.inputs == {}


def test_a_finding_of_the_lint_ends_a_search_before_it_begins(project: Project, steps: Steps) -> None:
    set_key(project.settings, "tuning.space.rate", {"from": 2, "to": 3})
    with pytest.raises(UserError, match=r"the lint found \d errors, listed above"):
        tuning.tune_local(project)
    assert steps.inputs == {}


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["--job", "a"], "--job is for a search on Azure ML: name its --environment too"),
        (["--dry-run"], "--dry-run is for a search on Azure ML"),
        (["-e", "dev", "--skip-lint"], "--skip-lint and --port are for a search on this machine"),
    ],
)
def test_an_option_of_the_other_place_is_refused(
    words: list[str], remedy: str, project: Project, steps: Steps, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("tune", *words) == 1
    assert remedy in capsys.readouterr().err


# What a search has written.


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "this is no result of the step tune"),
        ('{"metric": "mae"}', "this is no result of the step tune"),
        (json.dumps(result(best=None)), "no trial of the search was completed: no memory"),
    ],
)
def test_what_is_no_result_is_one_line(text: str, words: str, project: Project, tmp_path: Path) -> None:
    file = tmp_path / "search.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=words) as error:
        hyperparameters.Search.read(project, file)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("goal", "best"), [("minimize", 0.25), ("maximize", 0.75)])
def test_of_several_results_the_best_counts_and_broken_ones_do_not(
    goal: str, best: float, project: Project, tmp_path: Path
) -> None:
    paths = [tmp_path / f"{number}.json" for number in range(3)]
    paths[0].write_text("{", encoding="utf-8")
    for path, score in zip(paths[1:], (0.25, 0.75), strict=True):
        best_trial = {"number": 1, "hyperparameters": BEST, "score": score, "sd": 0.1}
        path.write_text(json.dumps(result(goal=goal, best=best_trial)), encoding="utf-8")
    assert hyperparameters.Search.best_of(project, paths).score == best
    with pytest.raises(UserError, match="no result"):
        hyperparameters.Search.best_of(project, paths[:1])


# The file that keeps what was found.

FILE = """\
# The model.
training:
  seed: 13   # moves no row
  hyperparameters:            # of the trees
    rate: 0.1                 # how fast
    # depth: 3                # commented out
    kind: "a"
    tree:
      depth: 4  # levels

    last: [1,
           2]   # two lines
# The metric.
evaluation: {metric: mae}
"""
EDITS: dict[str, tuple[dict[str, object], list[tuple[str, str]]]] = {
    "a number": ({"rate": 1e-05}, [("rate: 0.1  ", "rate: 1.0e-05  ")]),
    "a text that looks like a number": ({"kind": "12"}, [('kind: "a"', "kind: '12'")]),
    "true and nothing": ({"rate": True, "kind": None}, [("rate: 0.1", "rate: true"), ('kind: "a"', "kind: null")]),
    "a nested key": ({"tree.depth": 7}, [("depth: 4", "depth: 7")]),
    "a new nested key": ({"tree.width": 7}, [("depth: 4  # levels\n", "depth: 4  # levels\n      width: 7\n")]),
    "a key that is commented out": ({"depth": 5}, [("2]   # two lines\n", "2]   # two lines\n    depth: 5\n")]),
    "a new group": ({"leaf.size": 5}, [("2]   # two lines\n", "2]   # two lines\n    leaf: {size: 5}\n")]),
    "a list": ({"last": [3, 4]}, [("[1,\n           2]", "[3, 4]")]),
    "two new keys": ({"b": 1, "a": 2}, [("2]   # two lines\n", "2]   # two lines\n    b: 1\n    a: 2\n")]),
}


@pytest.mark.parametrize(("values", "changes"), EDITS.values(), ids=EDITS)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_saved_value_changes_its_place_and_nothing_else(
    values: dict[str, object], changes: list[tuple[str, str]], newline: str, mark: str, project: Project
) -> None:
    project.settings.write_bytes((mark + FILE).replace("\n", newline).encode())
    hyperparameters.keep(project, values)
    expected = FILE
    for old, new in changes:
        assert expected.count(old) == 1
        expected = expected.replace(old, new)
    assert project.settings.read_bytes().decode() == (mark + expected).replace("\n", newline)
    assert hyperparameters.is_kept(project, values)


@pytest.mark.parametrize(
    "text",
    [
        "training: {seed: 1, hyperparameters: {}}\n",
        "training:\n  hyperparameters: {rate: 2}  # all\n",
        "training:\n  hyperparameters:\n    # rate: 1\nevaluation: {}\n",
        "training:\n  hyperparameters:\n    rate: 2",
        "training:\n  seed: 1\n",
        "evaluation: {}\n",
        "training:\n  hyperparameters:\n    kind: >-\n      long\n      text\n    rate: 1\n",
    ],
)
def test_hyperparameters_are_saved_into_any_form_of_the_section(text: str, project: Project) -> None:
    project.settings.write_text(text, encoding="utf-8")
    before = yaml.safe_load(text)
    hyperparameters.keep(project, BEST)
    found = load_yaml(project.settings)
    assert hyperparameters.is_kept(project, BEST)
    assert {key: value for key, value in found.items() if key != "training"} == {
        key: value for key, value in before.items() if key != "training"
    }


def test_what_cannot_be_changed_is_left_alone_and_said(project: Project) -> None:
    text = "training:\n  hyperparameters: &all\n    rate: 1\nother: *all\n"
    project.settings.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"cannot be changed here: set rate: 0.5 yourself"):
        hyperparameters.keep(project, {"rate": 0.5})
    assert project.settings.read_text(encoding="utf-8") == text
