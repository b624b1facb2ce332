"""The search for hyperparameters: with a model of a known score, and with that of this project."""

import json
import shutil
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import mlflow
import numpy as np
import pandas as pd
import pytest
import samples
import yaml
from helpers import REGRESSION, Folders, Page, module

tune = module("tune")
modality = module("core.modality")
tuning = module("core.tuning")
StepError = module("core.step").StepError
Predictions = module("core.predictions").Predictions

SETTINGS = {
    "training": {"test_size": 0.25, "seed": 13, "hyperparameters": {"rate": 0.9, "deep": {"width": 3}}},
    "evaluation": {"metric": "mae"},
    "promotion": {"floor": 50.0},
}
SPACE = {"rate": {"from": 0.0, "to": 1.0}, "deep.width": {"from": 1, "to": 9}}


class KnownScores:
    """Tables whose model is off by |rate - 0.3| in each row, and in fold k by k more."""

    tasks = ("regression",)
    threads = None
    killed_by = 0.7

    def __init__(self):
        self.fitted = []

    def read(self, folder, schema):
        return modality.Examples(pd.read_json(folder / "rows.json"), folder)

    def convert(self, examples, schema):
        return examples

    def fingerprints(self, examples):
        return np.empty((len(examples.frame), 0))

    def alike(self, known, new):
        return np.zeros(len(new), dtype=bool)

    def check_hyperparameters(self, given, schema):
        return [f"training.hyperparameters.{name}: unknown" for name in given if name not in ("rate", "deep")]

    def fit(self, train, schema, training, checkpoints=None):
        rate = training["hyperparameters"]["rate"]
        self.fitted.append((rate, set(train.frame["id"])))
        if rate == 0.5:
            raise StepError("a rate of 0.5 cannot train")
        if rate == 0.6:
            raise ZeroDivisionError("of a library")
        if rate == self.killed_by:
            raise KeyboardInterrupt
        off = np.nan if rate == 0.8 else abs(rate - 0.3)
        return SimpleNamespace(predict=lambda examples: Predictions(examples.frame["delay"].to_numpy() + off))


@pytest.fixture
def known(tmp_path, monkeypatch):
    """A project of such tables, with a function that searches and returns search.json; without runs and pages."""
    root = tmp_path / "known"
    (root / "train").mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = pd.DataFrame({"id": range(60), "hour": 1, "carrier": "A", "wind": random.random(60), "delay": range(60)})
    rows.to_json(root / "train" / "rows.json", orient="records")
    (root / "schema.yml").write_text(yaml.safe_dump(REGRESSION, sort_keys=False), encoding="utf-8")
    project = SimpleNamespace(modality=KnownScores(), root=root, rows=rows)
    monkeypatch.setattr(tune, "MODALITY", project.modality)
    monkeypatch.setattr(tune, "step_run", lambda name: nullcontext())
    monkeypatch.setattr(tune, "mlflow", MagicMock())
    tune.mlflow.start_run.return_value.__exit__.return_value = False
    monkeypatch.setattr(tune, "build", lambda *given: "")

    def search(*words, state="state", hyperparameters=None, **section):
        section = {"trials": 6, "folds": 3, "space": SPACE, **section}
        settings = {**SETTINGS, "tuning": section}
        if hyperparameters is not None:
            settings["training"] = {**SETTINGS["training"], "hyperparameters": hyperparameters}
        (root / "model.yml").write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")
        paths = {"train-data": "train", "schema": "schema.yml", "settings": "model.yml", "search": "search"}
        arguments = [word for name, path in paths.items() for word in (f"--{name}", str(root / path))]
        arguments += ["--state", str(root / state)] if state else []
        project.modality.fitted.clear()
        tune.main([*arguments, *words])
        return json.loads((root / "search" / "search.json").read_text())

    project.search = search
    return project


@pytest.fixture
def logged(known, folders, monkeypatch):
    """The same, with runs and pages."""
    monkeypatch.setattr(tune, "step_run", module("core.step").step_run)
    monkeypatch.setattr(tune, "mlflow", mlflow)
    monkeypatch.setattr(tune, "build", module("report.search").build)
    return known


def rates(found):
    return [each["hyperparameters"].get("rate") for each in found["trials"]]


def runs(name="trial"):
    found = mlflow.search_runs(search_all_experiments=True, output_format="list")
    return [each for each in found if each.info.run_name.startswith(name)]


def test_the_settings_are_the_first_candidate_and_a_better_one_is_the_result(known, capsys):
    found = known.search()
    assert [each["number"] for each in found["trials"]] == [1, 2, 3, 4, 5, 6]
    assert found["trials"][0]["hyperparameters"] == {"rate": 0.9, "deep.width": 3}
    assert found["settings"] == {
        "hyperparameters": {"rate": 0.9, "deep": {"width": 3}},
        "score": pytest.approx(0.6),
    }
    best = min(found["trials"], key=lambda each: each["score"])
    assert found["best"]["number"] == best["number"] > 1
    assert found["best"]["hyperparameters"] == best["hyperparameters"]
    assert (found["metric"], found["goal"], found["improved"], found["significant"]) == ("mae", "minimize", True, True)
    assert found["gain"]["lower"] <= found["gain"]["gain"] <= found["gain"]["upper"]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("searching, by random sampling, 6 candidates on 3 folds of 60 training rows; mae, lower")
    assert lines[1].startswith("trial 1: mae 0.6; best 0.6 (trial 1); ")
    assert lines[1].endswith("; the settings")
    assert sum(line.startswith("trial ") for line in lines) == 6
    assert "of the settings, statistically significant over the folds: rate=" in lines[-1]
    assert tuning.overrides(found).startswith("training.hyperparameters.rate=")


def test_the_direction_of_the_metric_decides(known):
    (known.root / "schema.yml").write_text(yaml.safe_dump(REGRESSION, sort_keys=False), encoding="utf-8")
    found = known.search("--overrides", "evaluation.metric=r2")
    assert found["goal"] == "maximize"
    assert found["best"]["score"] == max(each["score"] for each in found["trials"]) > found["settings"]["score"]


def test_each_trial_is_a_run_of_its_own_below_that_of_the_step(logged):
    found = logged.search(trials=3)
    [parent] = runs("tune")
    children = sorted(runs(), key=lambda each: each.info.run_name)
    assert [each.info.run_name for each in children] == ["trial 1", "trial 2", "trial 3"]
    assert {each.data.tags["mlflow.parentRunId"] for each in children} == {parent.info.run_id}
    assert [float(each.data.params["rate"]) for each in children] == rates(found)
    assert {each.data.params["deep.width"] for each in children} == {
        str(each["hyperparameters"]["deep.width"]) for each in found["trials"]
    }
    assert [each.data.metrics["validation_mae"] for each in children] == [each["score"] for each in found["trials"]]
    steps = mlflow.MlflowClient().get_metric_history(children[0].info.run_id, "validation_mae")
    assert sorted(each.step for each in steps) == [1, 2, 3]
    assert "validation_mae_sd" in children[0].data.metrics
    assert parent.data.metrics["validation_mae"] == found["best"]["score"]


def test_a_row_that_scores_does_not_train_and_no_other_rows_are_seen(known):
    known.search(trials=1, state=None)
    trained = [ids for _, ids in known.modality.fitted]
    assert len(trained) == 3
    assert set.union(*trained) == set(known.rows["id"])
    assert set.intersection(*trained) == set()


def test_nothing_better_than_the_settings_is_said(known, capsys):
    found = known.search(hyperparameters={"rate": 0.3}, space={"rate": [0.3, 0.4, 0.45]}, sampling="grid")
    assert (found["improved"], found["significant"], found["gain"]) == (False, None, None)
    assert (found["best"]["hyperparameters"], found["best"]["number"]) == ({"rate": 0.3}, 1)
    assert rates(found) == [0.3, 0.4, 0.45]
    output = capsys.readouterr().out
    assert "the grid has no other candidate" in output
    assert "no candidate of 3 is better than the settings" in output


def test_the_same_seed_is_the_same_search_and_another_one_is_another(known):
    first, again = (known.search(state=None, trials=4) for _ in range(2))
    assert rates(first) == rates(again)
    assert len(set(rates(first))) == 4
    other = known.search("--overrides", "training.seed=14", state=None, trials=4)
    assert set(rates(other)) & set(rates(first)) == {0.9}


# A search that goes on


def test_a_stopped_search_goes_on_with_others_and_tries_none_twice(known, capsys):
    first = known.search(trials=3)
    capsys.readouterr()
    more = known.search(trials=5)
    assert more["trials"][:3] == first["trials"]
    assert len(set(rates(more))) == 5
    assert len(known.modality.fitted) == 2 * 3
    assert "going on after 3 candidates of this search: 0." in capsys.readouterr().out
    known.search(trials=4)
    assert known.modality.fitted == []


def test_a_trial_that_was_killed_does_not_count(known, monkeypatch):
    space = {"rate": [0.2, 0.7, 0.4]}
    with pytest.raises(KeyboardInterrupt):
        known.search(space=space, sampling="grid")
    monkeypatch.setattr(KnownScores, "killed_by", None)
    found = known.search(space=space, sampling="grid")
    assert sorted(rates(found)) == [0.2, 0.4, 0.7, 0.9]
    assert len({each["number"] for each in found["trials"]}) == 4


def test_what_the_scores_depend_on_begins_another_search(known):
    known.search(trials=2)
    fits = []
    for words, section in [
        ((), {"space": {**SPACE, "deep.width": [1, 2]}}),
        ((), {"folds": 2}),
        (("--overrides", "training.seed=14"), {}),
        (("--overrides", "evaluation.metric=rmse"), {}),
        (("--overrides", "training.hyperparameters.deep.height=2"), {}),
    ]:
        known.search(*words, trials=2, **section)
        fits.append(len(known.modality.fitted))
    later = known.rows.assign(delay=known.rows["delay"] + 1)
    later.to_json(known.root / "train" / "rows.json", orient="records")
    known.search(trials=2)
    assert [*fits, len(known.modality.fitted)] == [6, 4, 6, 6, 6, 6]


def test_the_best_ones_as_settings_go_on_with_the_same_search(known):
    best = known.search(trials=4)["best"]
    own = {"rate": best["hyperparameters"]["rate"], "deep": {"width": best["hyperparameters"]["deep.width"]}}
    found = known.search(trials=4, hyperparameters=own)
    assert known.modality.fitted == []
    assert (found["improved"], found["settings"]["score"]) == (False, best["score"])


def test_a_line_that_was_not_written_to_its_end_loses_no_trial(known):
    before = known.search(trials=3)
    [state] = (known.root / "state").glob("*.log")
    with state.open("ab") as file:
        file.write(b'{"op_code": 5, "wor')
    after = known.search(trials=4)
    assert after["trials"][:3] == before["trials"]
    assert len(known.search(trials=5)["trials"]) == 5


def test_a_damaged_state_is_one_line_with_the_remedy(known, capsys):
    known.search(trials=1)
    [log] = (known.root / "state").glob("*.log")
    log.write_bytes(b"{\n" + log.read_bytes())
    with pytest.raises(SystemExit):
        known.search(trials=1)
    error = capsys.readouterr().err
    assert "the state of the search is damaged; delete this file to start afresh" in error
    assert error.count("\n") == 1


# What goes wrong


def test_a_candidate_that_fails_is_named_and_the_search_goes_on(known, capsys):
    found = known.search(space={"rate": [0.5, 0.6, 0.8, 0.4]}, sampling="grid")
    states = {each["hyperparameters"]["rate"]: (each["state"], each["error"]) for each in found["trials"]}
    assert states[0.5] == ("failed", "a rate of 0.5 cannot train")
    assert states[0.6] == ("failed", "ZeroDivisionError: of a library")
    assert states[0.8][1].startswith("evaluation.metric: mae is nan in fold 1 of 3")
    assert found["best"]["hyperparameters"] == {"rate": 0.4}
    assert "failed: a rate of 0.5 cannot train" in capsys.readouterr().out


def test_settings_that_fail_are_improved_by_any_candidate(known, capsys):
    found = known.search(hyperparameters={"rate": 0.5}, space={"rate": [0.5, 0.4]}, sampling="grid")
    assert (found["settings"], found["improved"], found["gain"]) == (None, True, None)
    assert "mae 0.1 after the settings could not be scored: rate=0.4" in capsys.readouterr().out


def test_if_all_candidates_fail_one_line_names_the_first_with_its_error(known, capsys):
    with pytest.raises(SystemExit):
        known.search(hyperparameters={"rate": 0.5}, space={"rate": [0.5, 0.6]}, sampling="grid")
    error = capsys.readouterr().err
    assert error.startswith("error: tune: no candidate of 2 could be scored: rate=0.5: a rate of 0.5 cannot train")
    assert not (known.root / "search" / "search.json").exists()


def test_time_that_is_up_ends_the_search_after_the_settings(known, monkeypatch, capsys):
    minutes = iter(range(1000))
    monkeypatch.setattr(tune.time, "monotonic", lambda: 60.0 * next(minutes))
    found = known.search(minutes=3, trials=100)
    assert 1 <= len(found["trials"]) < 5
    assert found["settings"] is not None
    assert "stopped after 3 minutes (tuning.minutes); the same search goes on next time" in capsys.readouterr().out


def test_a_candidate_below_the_median_is_given_up_but_the_settings_are_not(known, capsys):
    space = {"rate": [0.31, 0.32, 0.33, 0.34, 1.3]}
    section = {"space": space, "sampling": "grid", "early_termination": "median_stopping"}
    found = known.search(**section)
    last = found["trials"][-1]
    assert (last["hyperparameters"], last["state"], last["score"]) == ({"rate": 1.3}, "pruned", None)
    assert len(last["folds"]) == 1
    assert sum(rate == 1.3 for rate, _ in known.modality.fitted) == 1
    assert "given up after fold 1" in capsys.readouterr().out
    assert found["trials"][0]["state"] == "complete"
    # As settings it is scored, although the search had given it up.
    again = known.search(hyperparameters={"rate": 1.3}, **section)
    assert again["settings"]["score"] == pytest.approx(1.0)
    assert known.search(**{**section, "early_termination": "none"}, state="never")["trials"][-1]["state"] == "complete"


def test_without_a_section_or_with_a_wrong_one_a_search_names_the_remedy(known, capsys):
    for section, complaint in (
        ({"space": {"rats": [1, 2]}}, "error: tuning.space.rats: unknown"),
        ({"space": None}, "error: tuning.space: missing; name what is to be searched"),
    ):
        with pytest.raises(SystemExit):
            known.search(**section)
        assert capsys.readouterr().err.startswith(complaint)


def test_several_processes_cannot_search_together(known, monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(SystemExit):
        known.search()
    assert "several processes cannot search together: start it without torchrun" in capsys.readouterr().err
    assert known.search("--candidate", "rate=0.3")["trials"][0]["score"] == pytest.approx(0)
    shutil.rmtree(known.root / "search")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(FileNotFoundError):  # the others train along, and write nothing
        known.search("--candidate", "rate=0.3")
    assert len(known.modality.fitted) == 3


# One candidate, as Azure ML calls it


def test_a_candidate_alone_is_scored_in_the_run_of_the_step_without_optuna(logged, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, module("core.search").__name__, raising=False)
    found = logged.search("--candidate", "rate=0.4000 deep.width=7.0")
    assert found["trials"][0]["hyperparameters"] == found["best"]["hyperparameters"] == {"rate": 0.4, "deep.width": 7}
    assert found["best"]["score"] == pytest.approx(0.1)
    assert (found["settings"], found["improved"]) == (None, None)
    assert not (logged.root / "search" / "report.html").exists()
    [run] = runs("tune")
    assert run.data.metrics["validation_mae"] == pytest.approx(0.1)
    assert run.data.params == {"rate": "0.4", "deep.width": "7"}
    with pytest.raises(SystemExit):
        logged.search(state=None)
    assert "a whole search needs Optuna" in capsys.readouterr().err


@pytest.mark.parametrize(("early_termination", "steps"), [("median_stopping", [1, 2, 3]), ("none", [3])])
def test_azure_ml_sees_the_score_after_each_fold_only_where_it_may_give_a_candidate_up(
    early_termination, steps, logged
):
    logged.search("--candidate", "rate=0.4 deep.width=7", early_termination=early_termination)
    [run] = runs("tune")
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "validation_mae")
    assert sorted(each.step for each in history) == steps


def test_a_candidate_that_fails_fails_the_step_in_one_line(known, capsys):
    with pytest.raises(SystemExit):
        known.search("--candidate", "rate=0.5")
    assert capsys.readouterr().err == "error: a rate of 0.5 cannot train\n"


# The page


def test_the_page_shows_each_hyperparameter_and_each_trial(logged):
    space = {**SPACE, "deep.width": [1, 2, 3], "rate": {"from": 0.001, "to": 1.0, "log": True}}
    found = logged.search(space=space, trials=7, folds=2, hyperparameters={"rate": 0.5})
    text = (logged.root / "search" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.text("h1") == ["Search for hyperparameters"]
    captions = page.text("figcaption")
    assert len(captions) == 3
    assert captions[0].startswith("The best of 6 scored trials has mae 0.")
    assert "the settings" not in captions[0]
    assert "over deep.width, on average" in captions[2]
    assert "the settings could not be scored" in page.text("li")
    assert [each.info.status for each in runs()].count("FAILED") == 1
    assert len([each for each in page.text("th") if each in map(str, range(1, 8))]) == 7
    assert "http" not in text.replace("http://www.w3.org", "")
    assert f"best, trial {found['best']['number']}" in page.text("dt")


# The model of this project


@pytest.fixture
def project(prepared: Folders, tmp_path: Path):
    """The small project of this type of data after prep, without held-out and raw rows, and a search in it."""
    folders, hidden = prepared, shutil.move(prepared.test, tmp_path / "hidden")
    shutil.rmtree(folders.raw)

    def search(hyperparameters, space, **section):
        settings = yaml.safe_load(folders.settings.read_text(encoding="utf-8"))
        settings["training"]["hyperparameters"] |= hyperparameters
        settings["tuning"] = {"folds": 1, "space": space, "sampling": "grid", **section}
        folders.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
        output = tmp_path / "search"
        tune.main([*folders.arguments("train-data", "schema", "settings"), "--search", str(output)])
        return json.loads((output / "search.json").read_text())

    return SimpleNamespace(search=search, folders=folders, hidden=hidden)


def held_out_score(project, overrides=""):
    folders = project.folders
    own = module("modality").MODALITY
    schema = module("core.schema").Schema.load(folders.schema, own.tasks)
    training = module("core.consistency").load_training(own, schema, folders.settings, overrides)
    train, test = (modality.load_examples(own, Path(folder), schema) for folder in (folders.train, project.hidden))
    name = yaml.safe_load(folders.settings.read_text(encoding="utf-8"))["evaluation"]["metric"]
    metric = module("core.metrics").metric(name, schema.task)
    predicted = own.fit(train, schema, training).predict(test)
    return metric, metric.score(test.frame[schema.target].to_numpy(), predicted)


def test_a_search_improves_bad_hyperparameters_on_held_out_rows_that_it_never_saw(project):
    found = project.search(samples.BAD, samples.SPACE)
    assert found["improved"] is True
    assert found["settings"]["hyperparameters"].items() >= samples.BAD.items()
    metric, before = held_out_score(project)
    _, after = held_out_score(project, tuning.overrides(found))
    assert metric.gain(after, before) > 0


def test_a_search_that_finds_nothing_better_says_so(project, capsys):
    [name] = samples.SPACE
    good = max(samples.SPACE[name], key=lambda value: value != samples.BAD[name])
    found = project.search({name: good}, {name: [good, samples.BAD[name]]})
    assert (found["improved"], found["best"]["hyperparameters"]) == (False, {name: good})
    assert "no candidate of 2 is better than the settings" in capsys.readouterr().out
