"""The settings file, and overrides of single settings."""

import pytest
import yaml
from helpers import ROOT, module

load_settings = module("core.settings").load_settings
StepError = module("core.step").StepError

SETTINGS = {
    "training": {"test_size": 0.25, "seed": 13, "hyperparameters": {"max_iter": 20, "min_samples_leaf": 5}},
    "evaluation": {"metric": "mae", "slices": ["carrier"]},
    "promotion": {"floor": 50.0},
}


def settings_file(tmp_path, document=SETTINGS):
    path = tmp_path / "model.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def test_overrides_replace_single_settings_with_yaml_values(tmp_path):
    words = "training.seed=7 training.hyperparameters.max_iter=5 evaluation.slices=[hour,carrier]"
    loaded = load_settings(settings_file(tmp_path), words)
    assert loaded["training"]["seed"] == 7
    assert loaded["training"]["hyperparameters"] == {"max_iter": 5, "min_samples_leaf": 5}
    assert loaded["evaluation"]["slices"] == ["hour", "carrier"]
    assert loaded["promotion"] == SETTINGS["promotion"]


@pytest.mark.parametrize(
    ("word", "section", "key", "value"),
    [
        (
            "training.hyperparameters.max_depth=3",
            "training",
            "hyperparameters",
            {**SETTINGS["training"]["hyperparameters"], "max_depth": 3},
        ),
        (
            "training.hyperparameters.change.noise=0.1",
            "training",
            "hyperparameters",
            {**SETTINGS["training"]["hyperparameters"], "change": {"noise": 0.1}},
        ),
        ("training.offset=hour", "training", "offset", "hour"),
        ("training.threshold=0.3", "training", "threshold", 0.3),
        ("promotion.incomparable_champion=replace", "promotion", "incomparable_champion", "replace"),
    ],
)
def test_an_override_may_set_what_the_file_may_lack(tmp_path, word, section, key, value):
    assert load_settings(settings_file(tmp_path), word)[section][key] == value


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("training.threshold=2", "training.threshold is a share between 0 and 1, not '2'"),
        ("training.sed=7", "has no setting 'training.sed'"),
        ("training.hyperparameters.max_iter.more=7", "has no setting 'training.hyperparameters.max_iter.more'"),
        ("tuning.trials=7", "has no setting 'tuning.trials'"),
        ("training.seed.more=7", "has no setting 'training.seed.more'"),
        ("training.seed", "write it as a.b.c=value"),
        ("training.seed=[", "is not a YAML value"),
        ("training.seed=often", "training.seed is an integer"),
        ("training.test_size=1.5", "training.test_size is a share between 0 and 1, not '1.5'"),
        ("training.hyperparameters=3", "training.hyperparameters must be"),
    ],
)
def test_a_wrong_override_is_refused_with_the_problem(tmp_path, words, complaint):
    with pytest.raises(StepError) as error:
        load_settings(settings_file(tmp_path), words)
    assert complaint in str(error.value)


def test_settings_without_a_training_section_are_refused(tmp_path):
    with pytest.raises(StepError, match="the section training needs"):
        load_settings(settings_file(tmp_path, {"drift": {}}))


def test_the_settings_of_this_project_can_be_read():
    assert load_settings(ROOT / "config" / "model.yml")["evaluation"]["metric"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("promotion:\n  floor: 0.9\n  minimum_gain: 0\npromotion:\n  floor: 0.1\n", "line 4: promotion is there twice"),
        ("promotion:\n  floor: 0.9\n  floor: 0.1\n", "line 3: floor is there twice"),
    ],
)
def test_a_key_that_is_there_twice_is_refused_because_yaml_would_drop_the_first(tmp_path, text, complaint):
    path = tmp_path / "model.yml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StepError, match=complaint):
        load_settings(path)
