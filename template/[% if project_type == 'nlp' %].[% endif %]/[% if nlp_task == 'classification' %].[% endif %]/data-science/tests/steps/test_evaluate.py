"""The step evaluate on texts: the shared gate promotes a model that is better, and refuses one that is worse."""

import json
import re
import shutil

import mlflow
import numpy as np
import pytest
import yaml
from helpers import module
from samples import SCHEMA, SETTINGS, make_folders, table

prep, evaluate, register = module("prep"), module("evaluate"), module("register")
champion, modality = module("core.champion"), module("modality").MODALITY
NAME = "places"
GATE = {"floor": 0.6, "beat_baselines": True}


def write_model(folders, folder, examples, schema, **hyperparameters):
    settings = SETTINGS["training"]["hyperparameters"] | hyperparameters
    folder.mkdir()
    modality.fit(examples, schema, SETTINGS["training"] | {"hyperparameters": settings}).save(examples, folder)
    held_out = module("core.split").Split.read(folders.train)
    champion.write_metadata(folder, {"split": held_out.document(), "classes": list(schema.classes)})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project after prep, with a model that was trained on all examples and one that learned next to nothing."""
    root = tmp_path_factory.mktemp("project")
    settings = SETTINGS | {
        "promotion": SETTINGS["promotion"] | GATE,
        "evaluation": SETTINGS["evaluation"] | {"slices": ["channel", "words", "script"]},
    }
    made = make_folders(root, SCHEMA, table(300), settings)
    prep.main(made.arguments("raw-data", "schema", "settings", "train-data", "test-data"))
    schema = module("core.schema").Schema.load(made.schema)
    examples = module("core.modality").load_examples(modality, made.train, schema)
    write_model(made, root / "strong", examples, schema)
    write_model(made, root / "weak", examples.take(np.arange(len(examples.frame)) < 9), schema)
    return root


@pytest.fixture
def project(folders, root):
    """The same in the folders of this test."""
    for path in (folders.schema, folders.settings):
        shutil.copyfile(root / path.name, path)
    for path in (folders.train, folders.test):
        shutil.copytree(root / "out" / path.name, path)
    return folders


def judged(project, model):
    """Evaluate a model; return the decision and the report."""
    shutil.copytree(model, project.model, dirs_exist_ok=True)
    names = ("model", "train-data", "test-data", "schema", "settings", "evaluation")
    evaluate.main([*project.arguments(*names), "--model-name", NAME])
    decision = json.loads((project.evaluation / "decision.json").read_text(encoding="utf-8"))
    return decision, (project.evaluation / "report.html").read_text(encoding="utf-8")


def set_champion(folder):
    return register.create_version(mlflow.MlflowClient(), NAME, folder, champion.model_hash(folder))


@pytest.mark.usefixtures("drawn")
def test_the_first_model_is_promoted_by_floor_and_baselines(project, root):
    decision, report = judged(project, root / "strong")
    assert decision["promote"] is True, decision
    assert "so the floor and the baselines decide" in " ".join(decision["reasons"])
    assert "<path" in report
    assert "LATIN" in report


@pytest.mark.parametrize("name", ["naive_bayes", "nearest_centroid"])
def test_a_model_must_be_better_than_a_simple_one_on_the_same_words(project, root, name):
    settings = yaml.safe_load(project.settings.read_text(encoding="utf-8"))
    settings["evaluation"]["baselines"] = [name]
    project.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
    decision, _ = judged(project, root / "weak")
    assert decision["promote"] is False
    assert f"baseline {name}" in " ".join(decision["reasons"])


def test_a_better_model_replaces_the_champion(project, root):
    set_champion(root / "weak")
    decision, _ = judged(project, root / "strong")
    assert (decision["promote"], decision["champion"]) == (True, "champion v1")


def test_a_worse_model_is_refused_and_that_is_no_error(project, root):
    set_champion(root / "strong")
    settings = yaml.safe_load(project.settings.read_text(encoding="utf-8"))
    settings["promotion"] |= {"floor": 0.01, "beat_baselines": False}
    project.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
    decision, _ = judged(project, root / "weak")
    assert decision["promote"] is False
    assert "not significantly above 0" in " ".join(decision["reasons"])


def test_a_model_that_learned_next_to_nothing_misses_the_floor(project, root):
    decision, _ = judged(project, root / "weak")
    assert decision["promote"] is False
    assert "misses the floor" in decision["reasons"][0]


def test_what_a_model_says_of_its_training_is_in_the_report(project, root, tmp_path):
    talking = shutil.copytree(root / "strong", tmp_path / "talking")
    champion.write_metadata(talking, {champion.NOTES: ["3 of 9 training texts are cut"]})
    _, report = judged(project, talking)
    assert "The challenger: 3 of 9 training texts are cut." in report
    metrics = json.loads((project.evaluation / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["notes"] == ["3 of 9 training texts are cut"]
    _, report = judged(project, root / "strong")
    assert "The challenger:" not in report


@pytest.mark.parametrize("shown", [True, False])
def test_no_text_leaves_the_step_where_examples_are_switched_off(project, root, shown, capsys):
    settings = yaml.safe_load(project.settings.read_text(encoding="utf-8"))
    settings["evaluation"]["examples"] = shown
    project.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
    _, report = judged(project, root / "strong")
    metrics = (project.evaluation / "metrics.json").read_text(encoding="utf-8")
    assert ("Worst errors" in report) is shown
    assert ('"errors"' in metrics) is shown
    schema = module("core.schema").Schema.load(project.schema)
    texts = module("core.modality").load_examples(modality, project.test, schema).frame["text"]
    beginnings = [text[:30] for text in texts]
    assert any(text in re.sub("<[^>]+>", "", report) for text in beginnings) is shown
    printed = capsys.readouterr()
    assert not any(text in metrics + printed.out + printed.err for text in beginnings)
