"""`mlops compare` on histories made here: which runs are comparable, what was different, who won and why."""

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import mlflow
import pytest
from command_line import run
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from mlops.config import load_environment
from mlops.errors import UserError
from mlops.hyperparameters import run_name
from mlops.local.comparison import changes, command, compared, lines, verdict
from mlops.local.experiments import Experiment, History, Trial, beginning, create_run, end_run, read_history
from mlops.local.runner import local_folder
from mlops.project import Project

SCORES = {"scores": "mae:lower r2:higher"}


def experiment(number: int, mae: float | None, held_out: str = "same", **more: Any) -> Experiment:
    """A run with a score, if there is one."""
    metrics = {"mae": mae, "r2": 0.5, "test_rows": 1200.0} if mae is not None else {}
    values = {
        "identity": f"id-{number}",
        "name": f"the run {number}",
        "began": datetime(2026, 1, number),
        "status": "FINISHED",
        "params": {"depth": str(number), "held_out": held_out},
        "metrics": metrics,
        "tags": dict(SCORES) if mae is not None else {},
    }
    return Experiment(number=number, **{**values, **more})


def history(*runs: Experiment, champion: int | None = None) -> History:
    return History(runs, champion, f"id-{champion}" if champion else None)


def text(shown: History, metric: str = "") -> str:
    return "\n".join(lines(compared(shown, metric)))


def test_runs_on_the_same_held_out_examples_are_one_table_with_the_best_marked() -> None:
    shown = text(history(experiment(1, 9.0), experiment(2, 7.5), experiment(3, 8.0), champion=1))
    assert "  1 the run 1    9  0.5  champion, version 1" in shown
    assert "* 2 the run 2  7.5  0.5  not promoted" in shown
    assert "all scored on the same 1,200 held-out rows; lower mae is better; * is the best" in shown
    assert "cannot be compared" not in shown


def test_a_name_of_one_long_word_is_cut_within_it() -> None:
    overrides = "training.hyperparameters={'model':'ridge','alpha':3,'solver':'cholesky','fit_intercept':false}"
    name = run_name(overrides)
    assert name == "training.hyperparameters={'model':'ridge','alpha':3,'solv..."
    shown = text(history(experiment(1, 9.0), experiment(2, 7.5, name=name)))
    assert "* 2 training.hyperparameters={'model':'ridg...  7.5" in shown


def test_a_run_that_was_stopped_is_not_said_to_be_as_another() -> None:
    stopped = experiment(2, None, status="KILLED", params={"depth": "1"})
    shown = text(history(experiment(1, 9.0), stopped))
    assert "2 the run 2: stopped" in shown
    assert "2 is as 1" not in shown


@pytest.mark.parametrize(("name", "said"), [("(same as 1)", False), ("(same as 7)", True), ("again", True)])
def test_a_run_without_a_difference_is_said_to_be_as_another_unless_its_name_says_so(name: str, said: bool) -> None:
    again = experiment(2, 9.0, name=name, params={"depth": "1", "held_out": "same"})
    assert ("\n2 is as 1\n" in text(history(experiment(1, 9.0), again))) is said


def test_runs_on_other_held_out_examples_are_said_not_to_be_comparable() -> None:
    compared_runs = compared(history(experiment(1, 5.0, "old"), experiment(2, 7.0), experiment(3, 8.0), champion=1))
    assert [[run.number for run in group.runs] for group in compared_runs.groups] == [[1], [2, 3]]
    shown = "\n".join(lines(compared_runs))
    assert "These cannot be compared with those above: they have other held-out examples, or another metric." in shown
    # The lower error of the first one was reached on other examples.
    assert "best: run 2 the run 2, mae 7\n" in shown
    assert "they were scored on other held-out examples: the best run need not be better" in shown


def test_runs_that_another_metric_decided_are_compared_by_one_that_both_have() -> None:
    runs = experiment(1, 9.0), experiment(2, 7.0, tags={"scores": "r2:higher mae:lower"})
    assert len(compared(history(*runs)).groups) == 2
    (group,) = compared(history(*runs), "mae").groups
    assert (group.best.number, group.scores[0].name) == (2, "mae")


def test_the_direction_of_the_metric_decides_which_is_the_best() -> None:
    runs = [experiment(n, 9.0, metrics={"mae": 9.0, "r2": r2, "test_rows": 5.0}) for n, r2 in ((1, 0.4), (2, 0.6))]
    assert compared(history(*runs), "r2").groups[0].best.number == 2
    assert compared(history(*runs)).groups[0].best.number == 1  # of equals the older one


def test_what_failed_was_stopped_or_still_runs_is_named_with_its_reason() -> None:
    failed = experiment(1, None, status="FAILED", tags={"error": "step train failed: no memory"})
    stopped = experiment(2, None, status="KILLED", tags={"error": "stopped by Ctrl-C"})
    running, lost = experiment(3, None, status="RUNNING"), experiment(4, None)
    shown = text(history(failed, stopped, running, lost, experiment(5, 7.0)))
    assert "1 the run 1: failed\n  - step train failed: no memory\n2 the run 2: stopped\n" in shown
    assert "3 the run 3: running\n  - is not at its end yet, or was killed\n" in shown
    assert "4 the run 4: no score\n  - was not evaluated\n" in shown


def test_a_score_that_is_not_finite_is_named_and_not_compared() -> None:
    undefined = experiment(1, 7.0, metrics={"r2": 0.5, "test_rows": 5.0})
    assert "1 the run 1: no score\n  - its mae is missing, or not a finite number" in text(history(undefined))


def test_differences_are_against_the_champion_and_leave_out_what_did_not_come_so_far() -> None:
    params = {"depth": "3", "data": "abc", "code": "x", "held_out": "same"}
    champion = experiment(2, 7.0, params=params, tags={**SCORES, "mlflow.source.git.commit": "aa11"})
    later = {"mlflow.source.git.commit": "aa11", "uncommitted": "true"}
    failed = experiment(3, None, status="FAILED", params={"depth": "3", "rate": "0.1", "code": "y"}, tags=later)
    assert changes(failed, champion) == [
        ("rate", "not set", "0.1"),
        ("code of the steps", "x", "y"),
        ("commit", "aa11", "aa11 with changes"),
    ]
    shown = text(history(experiment(1, 9.0), champion, failed, champion=2))
    assert "3 differs from 2 in\n  rate: not set -> 0.1\n" in shown
    assert "1 differs from 2 in\n  depth: 3 -> 1\n" in shown


def test_many_differences_are_cut_unless_the_runs_are_chosen() -> None:
    many = experiment(2, 7.0, params={f"setting_{n:02}": "1" for n in range(20)})
    both = compared(history(experiment(1, 9.0, params={"held_out": "same"}), many))
    shown = [line for line in lines(both) if (line.startswith("  ") and "setting" in line) or "more" in line]
    assert shown[0] == "  setting_00: not set -> 1"
    assert shown[6:] == ["  and 14 more: `uv run mlops compare 1 2` shows them"]
    assert sum("setting" in line for line in lines(both, whole=True)) == 20


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"promote": "false", "reasons": "the gain is small\nslice x got worse"}, ["the gain is small", "slice x"]),
        ({"promote": "true", "no_register": "true"}, ["it was an experiment with --no-register"]),
        ({"promote": "true", "version": "1"}, ["its version 1 was replaced by a newer one"]),
    ],
)
def test_the_reason_why_the_best_is_not_the_champion_is_told(tags: dict[str, str], reason: list[str]) -> None:
    runs = experiment(1, 7.0, tags={**SCORES, **tags}), experiment(2, 8.0)
    found = dict(verdict(compared(history(*runs, champion=2))))
    because = found["run 1 is not the champion, because"]
    assert all(given.startswith(expected) for given, expected in zip(because, reason, strict=True))


def test_the_best_experiment_comes_with_the_command_that_registers_it() -> None:
    tags = {**SCORES, "promote": "true", "no_register": "true", "overrides": "training.hyperparameters.depth=4"}
    best = experiment(1, 7.0, tags=tags)
    assert command(best) == 'uv run mlops local --overrides "training.hyperparameters.depth=4"'
    assert f"`{command(best)}` runs it again, and registers a model that is promoted" in text(history(best))


def test_a_champion_that_is_the_best_needs_no_reason() -> None:
    assert [line for line, _ in verdict(compared(history(experiment(1, 7.0), experiment(2, 8.0), champion=1)))] == [
        "best: run 1 the run 1, mae 7",
        "champion: version 1, run 1 the run 1",
    ]


def test_trials_of_a_search_are_shown_the_best_first_and_not_compared_with_held_out_scores() -> None:
    trials = [
        Trial(f"trial {n}", {"depth": str(n), "seed": "1"}, score, failed)
        for n, score, failed in ((1, 6.0, False), (2, 5.0, False), (3, None, True))
    ]
    tags = {"search": "mae", "goal": "minimize"}
    searched = experiment(7, None, name="search", tags=tags, trials=trials, params={"depth": "1", "seed": "1"})
    shown = text(history(experiment(1, 7.0), searched))
    first, second = "  trial 2   mae 5  depth=2", "  trial 1   mae 6  the settings"
    assert f"7 search: finished, 3 trials, 1 failed\n{first}\n{second}\n" in shown
    assert "lower is better: not comparable with held-out scores" in shown
    assert "best: run 1" in shown
    higher = experiment(7, None, tags={"search": "mae", "goal": "maximize"}, trials=trials)
    assert text(history(higher)).index("trial 1") < text(history(higher)).index("trial 2")


def test_a_metric_that_no_run_has_is_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no run has the metric 'mea'; the nearest is mae: they have mae, r2"):
        compared(history(experiment(1, 7.0)), "mea")


# --- with a database


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of MLflow, which takes seconds to create."""
    store = tmp_path_factory.mktemp("store") / "mlflow.db"
    MlflowClient(f"sqlite:///{store.as_posix()}").search_experiments()
    return store


Begin = Callable[..., str]


@pytest.fixture
def begin(project: Project, empty_store: Path) -> tuple[MlflowClient, Begin]:
    """MLflow as the project has it, and a function that begins a run."""
    local_folder(project).mkdir()
    shutil.copy(empty_store, local_folder(project))
    uri = f"sqlite:///{(local_folder(project) / 'mlflow.db').as_posix()}"
    client = MlflowClient(uri, uri)
    model = load_environment(project, project.first_environment).model
    made = client.create_experiment(model.experiment, artifact_location=local_folder(project).as_uri())

    def begin(overrides: str = "", **options: Any) -> str:
        return create_run(client, made, beginning(project, project.root / "a-folder", overrides, **options))

    return client, begin


def test_a_run_is_named_by_its_number_and_what_is_different(begin: tuple[MlflowClient, Begin]) -> None:
    client, start = begin
    runs = [
        start(),
        start("training.hyperparameters.depth=4 training.seed=7"),
        start("training.seed=7", name="a name"),
        start("tuning.trials=3", kind="search"),
        start("training.hyperparameters.depth=1 " * 9),
    ]
    names = [client.get_run(identity).info.run_name for identity in runs]
    assert names[:4] == ["1 as in model.yml", "2 depth=4 training.seed=7", "3 a name", "4 search tuning.trials=3"]
    assert names[4].startswith("5 depth=1 depth=1")
    assert len(names[4]) < 70
    # What is too long for the name is whole in a tag.
    assert client.get_run(runs[4]).data.tags["overrides"] == "training.hyperparameters.depth=1 " * 9


def test_a_run_with_the_settings_of_the_files_is_named_by_what_was_edited_since_the_last_one(
    begin: tuple[MlflowClient, Begin],
) -> None:
    client, start = begin

    def ended(params: dict[str, str], overrides: str = "", **options: Any) -> str:
        identity = start(overrides, **options)
        client.log_batch(identity, params=[Param(key, value) for key, value in params.items()])
        end_run(client, identity)
        return str(client.get_run(identity).info.run_name)

    first = {"depth": "3", "promotion.floor": "9", "code": "a", "data": "a", "schema": "a", "held_out": "a"}
    assert ended(first) == "1 as in model.yml"
    assert ended(first) == "2 (same as 1)"
    assert ended(first | {"depth": "5"}, "training.hyperparameters.depth=5") == "3 depth=5"
    assert ended(first, name="mine") == "4 mine"
    assert ended(first) == "5 (same as 4)"
    assert ended(first | {"depth": "4", "promotion.floor": "8"}) == "6 depth=4 promotion.floor=8"
    assert ended({**first, "depth": "4", "promotion.floor": "8"}) == "7 (same as 6)"
    later = {key: value for key, value in first.items() if key != "promotion.floor"} | {"data": "b", "held_out": "b"}
    assert ended(later | {"rate": "1", "code": "b"}) == "8 depth=3 rate=1 other code other data no promotion.floor"
    assert ended({}) == "9 as in model.yml"  # it ended before it had read the settings
    assert ended(later | {f"setting_{n}": "1" for n in range(20)}).endswith("...")


def test_the_last_runs_are_read_with_that_of_the_champion(
    project: Project, begin: tuple[MlflowClient, Begin], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, start = begin
    runs = [start(name=f"the {place}") for place in ("first", "second", "third")]
    for identity in runs:
        client.log_batch(identity, [Metric("mae", 1.0, 0, 0)], [Param("depth", "3")], [RunTag("promote", "true")])
    child = client.create_run(client.get_run(runs[0]).info.experiment_id, tags={"mlflow.parentRunId": runs[0]})
    name = load_environment(project, project.first_environment).model.name
    client.create_registered_model(name)
    client.create_model_version(name, local_folder(project).as_uri(), run_id=child.info.run_id)
    end_run(client, runs[0])
    end_run(client, runs[1], KeyboardInterrupt())
    end_run(client, runs[2], UserError("two\nlines"))
    found = read_history(project, 1)
    assert [(run.title, run.status) for run in found.runs] == [("1 the first", "FINISHED"), ("3 the third", "FAILED")]
    assert (found.champion, found.champion_run) == (1, runs[0])
    assert found.runs[1].problem == "two lines"
    (stopped,) = read_history(project, 1, ["second"]).runs
    assert (stopped.status, stopped.problem) == ("KILLED", "stopped")
    assert [run.number for run in read_history(project, 1, ["3", "1", "the"]).runs] == [1, 2, 3]
    with pytest.raises(UserError, match="there is no run '9': name a number, or a part of a name; the last are 1 the"):
        read_history(project, 1, ["9"])


@pytest.mark.parametrize("registered_by", [None, "a run that is gone"])
def test_a_champion_that_no_run_here_has_registered_is_named_by_its_version(
    project: Project, begin: tuple[MlflowClient, Begin], registered_by: str | None
) -> None:
    client, start = begin
    end_run(client, start())
    name = load_environment(project, project.first_environment).model.name
    client.create_registered_model(name)
    client.create_model_version(name, local_folder(project).as_uri(), run_id=registered_by)
    found = read_history(project, 1)
    assert (found.champion, found.champion_run) == (1, None)
    scored = history(experiment(1, 7.0))
    assert "champion: version 1, its run is not among these" in text(History(scored.runs, 1, None))


def test_trials_are_found_below_the_step_of_their_search(project: Project, begin: tuple[MlflowClient, Begin]) -> None:
    client, start = begin
    search = start(kind="search")
    client.set_tag(search, "search", "mae")
    experiment_id = client.get_run(search).info.experiment_id
    step = client.create_run(experiment_id, tags={"mlflow.parentRunId": search}).info.run_id
    for number in (10, 2):
        tags = {"mlflow.parentRunId": step}
        trial = client.create_run(experiment_id, tags=tags, run_name=f"trial {number}").info.run_id
        client.log_batch(trial, [Metric("validation_mae", number / 2, 0, 0)], [Param("depth", str(number))])
    client.set_terminated(trial, "FAILED")
    (found,) = read_history(project, 1).runs
    assert [(each.name, each.score, each.failed) for each in found.trials] == [
        ("trial 2", 1.0, True),
        ("trial 10", 5.0, False),
    ]


def test_the_options_of_the_command_line_choose_runs_and_metric(
    begin: tuple[MlflowClient, Begin], capsys: pytest.CaptureFixture[str]
) -> None:
    client, start = begin
    for mae, r2 in ((7.0, 0.1), (8.0, 0.2)):
        identity, metrics = start(), [Metric("mae", mae, 0, 0), Metric("r2", r2, 0, 0), Metric("test_rows", 99, 0, 0)]
        tags = [RunTag(*pair) for pair in {**SCORES, "promote": "false", "reasons": "it is worse"}.items()]
        client.log_batch(identity, metrics, [Param("held_out", "same")], tags)
        end_run(client, identity)
    assert run("compare", "--metric", "r2") == 0
    assert "best: run 2 (same as 1), r2 0.2\n" in capsys.readouterr().out
    assert run("compare", "--last", "1") == 0
    shown = capsys.readouterr().out
    assert "scored on 99 held-out rows; lower mae is better\n" in shown
    assert "1 as in model.yml" not in shown
    assert run("compare", "1") == 0
    assert "best: run 1 as in model.yml, mae 7\n" in capsys.readouterr().out


def test_without_a_run_there_is_one_line_with_the_remedy(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    for verb in ("compare", "ui"):
        assert run(verb) == 1
        assert capsys.readouterr().err == "error: no run is recorded yet: run `uv run mlops local` first\n"


def test_a_database_that_cannot_be_read_is_one_line_that_says_how_to_start_over(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    local_folder(project).mkdir()
    (local_folder(project) / "mlflow.db").write_bytes(b"no database at all, and longer than its header" * 99)
    assert run("compare") == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert f"restore it, or delete {local_folder(project)} to start over" in message


def test_an_experiment_needs_no_port(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("local", "--no-register", "--port", "5005") == 1
    assert capsys.readouterr().err == "error: --no-register serves nothing: leave out --port\n"


def test_mlflow_is_left_as_it_was(project: Project, begin: tuple[MlflowClient, Begin]) -> None:
    _, start = begin
    start()
    before = mlflow.get_tracking_uri()
    read_history(project, 1)
    assert mlflow.get_tracking_uri() == before
