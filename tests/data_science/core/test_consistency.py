"""What is wrong with the settings for these data, found before anything trains."""

from types import SimpleNamespace

import pytest
import yaml
from helpers import CLASSIFICATION, REGRESSION, ROOT, module

check_settings = module("core.consistency").check_settings
StepError = module("core.step").StepError

SETTINGS = {
    "training": {"test_size": 0.25, "seed": 13, "hyperparameters": {}},
    "evaluation": {"metric": "mae", "baselines": ["mean", "known"], "slices": ["length"]},
    "promotion": {"floor": 50.0},
    "drift": {"numerical": {"jensen_shannon_distance": 0.2}},
}
CLASSES = {"evaluation": {"metric": "f1_macro"}, "promotion": {"floor": 0.6}}


def describe(examples, schema):
    """Describe examples by their columns and one more, as a type of data may that is not a table."""
    return SimpleNamespace(frame=examples.frame.assign(length=[]))


def baseline(name, train, test, schema, training):
    """Predict what the first example says, which only works if there is one."""
    if name != "known":
        raise StepError(f"evaluation.baselines: {name!r} is unknown")
    return test.frame.iloc[0]


def check_hyperparameters(given, schema):
    """Know one hyperparameter."""
    return [f"training.hyperparameters.{name}: unknown" for name in given if name != "rate"]


MODALITY = SimpleNamespace(
    tasks=("regression", "classification"),
    describe=describe,
    baseline=baseline,
    check_hyperparameters=check_hyperparameters,
)


def problems(folder, changes, schema=REGRESSION, overrides=""):
    """Check the settings with other sections; a change of None removes one."""
    settings = {key: value for key, value in {**SETTINGS, **changes}.items() if value is not None}
    for name, document in (("schema.yml", schema), ("model.yml", settings)):
        (folder / name).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    found = check_settings(MODALITY, folder / "schema.yml", folder / "model.yml", overrides)
    assert all("\n" not in line and line.startswith(str(folder)) for line in found)
    return [line.removeprefix(f"{folder / 'model.yml'}: ") for line in found]


def test_the_settings_of_this_project_fit_its_data():
    modality = module("modality").MODALITY
    assert check_settings(modality, ROOT / "data" / "schema.yml", ROOT / "config" / "model.yml") == []


@pytest.mark.parametrize(("changes", "schema"), [({}, REGRESSION), (CLASSES, CLASSIFICATION)])
def test_settings_that_fit_have_no_problem(tmp_path, changes, schema):
    assert problems(tmp_path, changes, schema) == []


FAIR = {"cohorts": ["carrier"]}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"evaluation": {"metric": "f1_macro"}}, "evaluation.metric: 'f1_macro' is not a regression metric"),
        (
            {"evaluation": {"metric": "mae", "slices": ["regoin"]}},
            "evaluation.slices: the data have no column 'regoin'",
        ),
        ({"evaluation": {"metric": "mae", "slices": "hour"}}, "evaluation.slices: must be a list, such as [hour]"),
        ({"evaluation": {"metric": "mae", "baselines": ["wnid"]}}, "evaluation.baselines: 'wnid' is unknown"),
        ({"evaluation": {"metric": "mae", "slice": ["hour"]}}, "evaluation: unknown key 'slice'"),
        ({"evaluation": {"metric": "mae", "examples": "no"}}, "evaluation.examples: 'no' must be true or false"),
        ({"evaluation": None}, "evaluation: this section is missing"),
        ({"promotion": {"floor": -1.0}}, "promotion.floor: no model can reach -1, because the best mae is 0"),
        ({"promotion": {"minimum_gain": 0}}, "promotion.floor: missing"),
        ({"promotion": {"floor": 1, "confidence": 95}}, "promotion.confidence: 95 must be a number between 0 and 1"),
        ({"promotion": {"floor": 1, "minimal_gain": 0}}, "promotion.minimal_gain: unknown"),
        ({"fairness": {**FAIR, "worst": -2.0}}, "fairness.worst: no model can reach -2"),
        ({"fairness": {"cohorts": ["airport"]}}, "fairness.cohorts: the data have no column 'airport'"),
        ({"fairness": {"cohorts": [["carrier", "airport"]]}}, "fairness.cohorts: the data have no column 'airport'"),
        ({"fairness": {**FAIR, "positive": "late"}}, "fairness.positive: is for a classification"),
        ({"fairness": {**FAIR, "max_gap": "small"}}, "fairness.max_gap: 'small' must be a number"),
        ({"drift": {"numeric": {}}}, "drift.numeric: unknown; the keys are numerical, categorical"),
        ({"drift": {"numerical": {"distance": 0.2}}}, "drift.numerical.distance: unknown metric"),
        ({"drift": {"categorical": {"jensen_shannon_distance": "low"}}}, "drift.categorical.jensen_shannon_distance"),
        ({"drift": {"numerical": 0.2}}, "drift.numerical: must be `metric: threshold` lines"),
        ({"drift": None}, "drift: this section is missing"),
        (
            {"training": {"test_size": 0.25, "seed": 13}},
            "the section training needs test_size, seed and hyperparameters",
        ),
        ({"training": {**SETTINGS["training"], "seed": "often"}}, "training.seed is an integer"),
        (
            {"training": {**SETTINGS["training"], "offset": "wind"}},
            "training.offset: 'wind' is not a numerical feature",
        ),
        ({"training": {**SETTINGS["training"], "offset": "carrier"}}, "training.offset: 'carrier' is not a numerical"),
        ({"training": {**SETTINGS["training"], "threshold": 0.5}}, "training.threshold: is for two classes"),
        (
            {"training": {**SETTINGS["training"], "hyperparameters": {"rat": 1}}},
            "training.hyperparameters.rat: unknown",
        ),
        ({"training": {**SETTINGS["training"], "test_size": None}}, "training.test_size is a share between 0 and 1"),
        ({"tuning": {"space": {"rat": [0.1, 0.2]}}}, "tuning.space.rat: unknown"),
        ({"tuning": {"trials": 5}}, "tuning.space: missing; name what is to be searched"),
        ({"fairnes": {}}, "unknown key 'fairnes'; known are training, evaluation, promotion, fairness"),
    ],
)
def test_one_mistake_is_one_line_that_names_the_key(tmp_path, changes, complaint):
    [line] = problems(tmp_path, changes)
    assert complaint in line


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"evaluation": {"metric": "mae"}}, "'mae' is not a classification metric"),
        ({"promotion": {"floor": 60}}, "promotion.floor: no model can reach 60, because the best f1_macro is 1"),
        (
            {"fairness": {**FAIR, "positive": "perhaps"}},
            "fairness.positive: 'perhaps' is not a class; choose one of no",
        ),
        ({"training": {**SETTINGS["training"], "offset": "hour"}}, "training.offset: is for a regression"),
        ({"fairness": {**FAIR, "max_demographic_parity_difference": 2}}, "must be a number between 0 and 1"),
    ],
)
def test_a_mistake_with_classes_is_one_line_that_names_the_key(tmp_path, changes, complaint):
    [line] = problems(tmp_path, {**CLASSES, **changes}, CLASSIFICATION)
    assert complaint in line


THREE = {"type": "category", "values": ["no", "yes", "very"]}


@pytest.mark.parametrize(
    ("late", "count"), [(THREE, 1), ({"type": "category"}, 0), (CLASSIFICATION["columns"]["late"], 0)]
)
def test_a_threshold_is_for_two_classes_as_far_as_the_schema_lists_them(tmp_path, late, count):
    schema = CLASSIFICATION | {"columns": CLASSIFICATION["columns"] | {"late": late}}
    training = {**SETTINGS["training"], "threshold": 0.5}
    found = problems(tmp_path, {**CLASSES, "training": training}, schema)
    assert found == ["training.threshold: is for two classes, and this target has others; leave it out"][:count]


def test_all_mistakes_are_named_at_once(tmp_path):
    changes = {
        "training": {"test_size": 2, "seed": 13, "offset": "wind", "hyperparameters": {"a": 1, "b": 1, "rate": 1}},
        "evaluation": {"metric": "mea", "slices": ["regoin", "hour"], "baselines": ["wnid"]},
        "promotion": {"floor": "good", "confidence": 95, "slice_tolerance": -1},
        "fairness": {"cohorts": ["airport"], "max_gap": -1, "max_ratio": 0.5},
        "drift": {"numerical": {"distance": 1}, "categorical": {"distance": 1}},
    }
    keys = {line.split(":")[0].split(" ")[0] for line in problems(tmp_path, changes)}
    assert keys == {
        "training.test_size", "training.offset", "training.hyperparameters.a", "training.hyperparameters.b",
        "evaluation.metric", "evaluation.slices", "evaluation.baselines", "promotion.floor", "promotion.confidence",
        "promotion.slice_tolerance", "fairness.cohorts", "fairness.max_gap", "fairness.max_ratio",
        "drift.numerical.distance", "drift.categorical.distance",
    }  # fmt: skip


def test_an_error_in_the_schema_comes_alone(tmp_path):
    [line] = problems(tmp_path, {"evaluation": {"metric": "mea"}}, {**REGRESSION, "task": "clustering"})
    assert line.startswith(f"{tmp_path / 'schema.yml'}: task 'clustering' is unknown")


def test_a_metric_that_only_a_perfect_model_reaches_is_no_mistake(tmp_path):
    assert problems(tmp_path, {"promotion": {"floor": 0.0}}) == []


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        ("training.seed", "override 'training.seed': write it as a.b.c=value"),
        ("training.sed=7", "has no setting 'training.sed'"),
        ("training.seed=often", "training.seed is an integer"),
        ("training.hyperparameters.rat=1", "training.hyperparameters.rat: unknown"),
        ("evaluation.slices=[regoin]", "evaluation.slices: the data have no column 'regoin'"),
        ("promotion.floor=-1", "promotion.floor: no model can reach -1"),
    ],
)
def test_a_wrong_override_is_found_with_the_settings(tmp_path, overrides, complaint):
    [line] = problems(tmp_path, {}, overrides=f"training.hyperparameters.rate=0.5 {overrides}")
    assert complaint in line


def test_an_override_can_correct_the_settings(tmp_path):
    wrong = {"training": {**SETTINGS["training"], "seed": "often"}}
    assert problems(tmp_path, wrong, overrides="training.seed=7") == []


def test_the_section_of_a_step_that_trains_is_checked_for_the_data(tmp_path):
    assert problems(tmp_path, {}) == []
    load_training, schema = module("core.consistency").load_training, module("core.schema").Schema
    files = schema.load(tmp_path / "schema.yml"), tmp_path / "model.yml"
    assert load_training(MODALITY, *files, "training.hyperparameters.rate=0.5")["hyperparameters"] == {"rate": 0.5}
    for words, complaint in (
        ("training.hyperparameters.a=1 training.hyperparameters.b=1", r"\.a: unknown; training\.hyperparameters\.b: "),
        ("training.offset=wind", "'wind' is not a numerical feature"),
        ("training.seed=often", "is an integer"),
    ):
        with pytest.raises(StepError, match=complaint):
            load_training(MODALITY, *files, words)


def test_each_problem_names_the_setting_that_it_is_about(tmp_path):
    space = {"tuning": {"space": {"depth": [1, 2]}}, "promotion": {"floor": "high"}, "unknown": {}}
    problems(tmp_path, space)
    found = check_settings(MODALITY, tmp_path / "schema.yml", tmp_path / "model.yml", "training.seed=-1")
    assert [each.key for each in found] == ["", "training.seed", "tuning.space.depth", "promotion.floor"]
