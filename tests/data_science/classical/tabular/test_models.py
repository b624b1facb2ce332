"""The models of models.py: each learns, is checked, saved and searched; one of another package needs a function."""

import sys
from types import ModuleType

import mlflow
import numpy as np
import pytest
import yaml
from helpers import CLASSIFICATION, REGRESSION, module, write_schema
from samples import SETTINGS, flights, make_folders
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.linear_model import SGDRegressor
from step_runs import prepare

data, model, models, recipes = (module(name) for name in ("tabular.data", "tabular.model", "models", "tabular.recipes"))
StepError, MODALITY = module("core.step").StepError, module("modality").MODALITY
tuning, check_settings = module("core.tuning"), module("core.endpoint").check_settings
modality, read_settings = module("core.modality"), module("core.settings").read_settings

TASKS = {"regression": REGRESSION, "classification": CLASSIFICATION}
OF_TASKS = [("boosted_trees", "regression"), ("boosted_trees", "classification")]
OF_TASKS += [("ridge", "regression"), ("logistic_regression", "classification")]


def fitted(task, frame, folder, **hyperparameters):
    schema = write_schema(TASKS[task], folder)
    typed = data.validate(frame, schema)
    return model.fit(typed, schema, {"hyperparameters": hyperparameters, "seed": 13}), typed, schema


def test_each_model_of_the_file_is_tried_here():
    assert {name for name, _ in OF_TASKS} == set(models.MODELS)
    assert [(name, task) for name in models.MODELS for task in TASKS if name in model.model_names(task)] == OF_TASKS


@pytest.mark.parametrize(("name", "task"), OF_TASKS)
def test_a_model_is_far_better_than_a_guess_on_rows_with_missing_and_unknown_values(name, task, tmp_path):
    trained, _, schema = fitted(task, flights(600), tmp_path, model=name)
    rows = data.validate(flights(300, seed=1).assign(carrier=lambda f: f["carrier"].replace("CC", "new")), schema)
    found = trained.predict(rows[schema.features])
    if task == "regression":
        error = np.abs(rows["delay"] - found).mean()
        assert error < 0.5 * np.abs(rows["delay"] - rows["delay"].mean()).mean()
    else:
        assert (found == rows["late"]).mean() > max(rows["late"].value_counts(normalize=True)) + 0.05
        assert trained.predict_proba(rows[schema.features]).sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize(("name", "task"), OF_TASKS)
def test_a_model_that_was_saved_predicts_the_same(name, task, tmp_path):
    trained, frame, schema = fitted(task, flights(), tmp_path, model=name)
    model.save(trained, frame, schema, tmp_path / "model")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert list(loaded.predict(frame[schema.features])) == list(trained.predict(frame[schema.features]))


@pytest.mark.parametrize("name", ["boosted_trees", "ridge"])
def test_the_offset_is_of_every_regression(name, tmp_path):
    schema = write_schema(REGRESSION, tmp_path)
    frame = data.convert(flights(400).assign(delay=lambda f: f["delay"] + 100 * f["hour"]), schema)
    training = {"hyperparameters": {"model": name}, "seed": 1, "offset": "hour"}
    beyond = frame.head(3).assign(hour=1000)
    difference = model.fit(frame, schema, training).predict(beyond[schema.features]).mean()
    assert difference > 1000


@pytest.mark.parametrize(
    ("task", "given", "line"),
    [
        (
            "regression",
            {"model": "ridg"},
            "model: 'ridg' is unknown; choose one of boosted_trees, ridge, or add it to ",
        ),
        ("regression", {"model": "logistic_regression"}, "model: logistic_regression is not for a regression; choose "),
        (
            "classification",
            {"model": "ridge"},
            "model: ridge is not for a classification; choose one of boosted_trees, ",
        ),
        (
            "regression",
            {"model": "ridge", "max_iter": -1},
            "max_iter: must be an int in the range [1, inf) or None. Got",
        ),
        ("regression", {"model": "ridge", "max_leaf_nodes": 6}, "max_leaf_nodes: unknown; known are alpha, copy_X, "),
        ("classification", {"model": "logistic_regression", "C": 0}, "C: must be a float in the range (0.0, inf]"),
        ("regression", {"model": "ridge", "random_state": 1}, "random_state: unknown"),
        ("regression", {"model": "boosted_trees", "categorical_features": [0]}, "categorical_features: unknown"),
    ],
)
def test_a_wrong_model_or_argument_of_it_is_named(task, given, line, tmp_path):
    [found] = MODALITY.check_hyperparameters(given, write_schema(TASKS[task], tmp_path))
    assert found.startswith(f"training.hyperparameters.{line}")


def test_one_run_with_another_model_leaves_the_hyperparameters_of_the_files_out(tmp_path):
    """The lint says this of such overrides, with quotes that also pass Azure's command line."""
    schema = write_schema(TASKS["regression"], tmp_path)
    settings = tmp_path / "model.yml"
    settings.write_text("training:\n  hyperparameters: {model: boosted_trees, max_leaf_nodes: 6}\n", encoding="utf-8")

    def given(overrides):
        return read_settings(settings, overrides)["training"]["hyperparameters"]

    [line] = MODALITY.check_hyperparameters(given("training.hyperparameters.model=ridge"), schema)
    assert line.startswith("training.hyperparameters.max_leaf_nodes: unknown; known are alpha, ")
    once = given("training.hyperparameters={'model':'ridge','alpha':2.5}")
    assert once == {"model": "ridge", "alpha": 2.5}
    assert MODALITY.check_hyperparameters(once, schema) == []


def test_without_a_name_the_model_is_the_one_of_before(tmp_path):
    frame = flights()
    named, typed, schema = fitted("regression", frame, tmp_path, model="boosted_trees", max_iter=5)
    unnamed, _, _ = fitted("regression", frame, tmp_path, max_iter=5)
    assert (named.predict(typed[schema.features]) == unnamed.predict(typed[schema.features])).all()


# --- one of her own


def test_a_function_in_the_file_is_a_model(tmp_path, monkeypatch):
    def extra_trees():
        return recipes.Model(ExtraTreesRegressor, ExtraTreesClassifier, defaults={"n_estimators": 20})

    monkeypatch.setattr(models, "MODELS", {**models.MODELS, "extra_trees": extra_trees})
    for task in TASKS:
        trained, frame, schema = fitted(task, flights(), tmp_path, model="extra_trees", max_depth=5)
        assert trained["model"].n_estimators == 20
        assert trained["model"].random_state == 13
        folder = tmp_path / task
        model.save(trained, frame, schema, folder)
        mlflow.pyfunc.load_model(str(folder)).predict(frame[schema.features])


def test_a_model_whose_package_is_not_installed_says_how_to_add_it(tmp_path, monkeypatch):
    def not_here():
        import not_there

        return recipes.Model(not_there.Regressor)

    monkeypatch.setattr(models, "MODELS", {**models.MODELS, "not_here": not_here})
    [line] = MODALITY.check_hyperparameters({"model": "not_here"}, write_schema(REGRESSION, tmp_path))
    assert line == (
        "training.hyperparameters.model: not_here needs a package that is not here (No module named 'not_there'): "
        "run `uv add` with its name"
    )
    assert MODALITY.check_hyperparameters({"model": "ridge"}, write_schema(REGRESSION, tmp_path)) == []


def test_the_packages_of_a_model_are_those_of_its_classes_and_of_its_features(tmp_path, monkeypatch):
    package = ModuleType("a_package")
    package.Own = type("Own", (SGDRegressor,), {"__module__": "a_package"})
    monkeypatch.setitem(sys.modules, "a_package", package)
    monkeypatch.setattr(model, "packages_distributions", lambda: {"a_package": ["a-package"], "another": ["another"]})
    monkeypatch.setattr(module("core.champion"), "version", lambda name: "1.2")
    monkeypatch.setattr(models, "MODELS", {**models.MODELS, "own": lambda: recipes.Model(regression=package.Own)})
    features = module("core.features")
    monkeypatch.setattr(features, "PATH", tmp_path / "features.py")
    code = "import another.part\n\n\ndef add_features(frame):\n    return frame.assign(double=2 * frame.hour)\n"
    features.PATH.write_text(code, encoding="utf-8")
    schema = write_schema({**REGRESSION, "features": {"double": {"type": "integer"}}}, tmp_path)
    monkeypatch.setitem(sys.modules, "another", ModuleType("another"))
    monkeypatch.setitem(sys.modules, "another.part", ModuleType("another.part"))
    frame = data.validate(flights(), schema)
    trained = model.fit(frame, schema, {"hyperparameters": {"model": "own"}, "seed": 13})
    model.save(trained, frame, schema, tmp_path / "model")
    environment = yaml.safe_load((tmp_path / "model" / "conda.yaml").read_text(encoding="utf-8"))
    names = [each.split("==")[0] for each in environment["dependencies"][-1]["pip"]]
    assert names == ["mlflow-skinny", "scikit-learn", "skops", "numpy", "pandas", "a-package", "another"]


def test_a_model_with_code_of_the_project_is_refused_because_the_endpoint_has_none(tmp_path, monkeypatch):
    own = type("Own", (SGDRegressor,), {"__module__": models.__name__})
    monkeypatch.setattr(models, "Own", own, raising=False)
    monkeypatch.setattr(models, "MODELS", {**models.MODELS, "own": lambda: recipes.Model(regression=own)})
    trained, frame, schema = fitted("regression", flights(), tmp_path, model="own")
    with pytest.raises(StepError, match=r"the model holds \w+\.models\.Own, code of this project, and an endpoint has"):
        model.save(trained, frame, schema, tmp_path / "model")


# --- as a baseline


def test_a_model_may_be_a_baseline_that_the_model_has_to_beat(folders):
    settings = yaml.safe_load(folders.settings.read_text(encoding="utf-8"))
    settings["evaluation"]["baselines"] = ["mean", "ridge", "ridg"]
    folders.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
    [line] = check_settings(MODALITY, folders.schema, folders.settings)
    assert "evaluation.baselines: 'ridg' is neither mean, a suitable feature, nor a model of models.py" in line
    prepare(folders)
    schema = module("core.schema").Schema.load(folders.schema)
    train, test = (modality.load_examples(MODALITY, each, schema) for each in (folders.train, folders.test))
    training = settings["training"]
    found = module("core.baselines").baselines(["ridge"], MODALITY, train, test, schema, training)["baseline ridge"]
    actual = test.frame["delay"].to_numpy()
    assert np.abs(found.values - actual).mean() < 0.3 * np.abs(actual - train.frame["delay"].mean()).mean()


# --- the search


SPACES = {
    "boosted_trees": {"max_iter": [1, 40]},
    "ridge": {"alpha": {"from": 0.1, "to": 10.0, "log": True}},
}


@pytest.mark.parametrize(("name", "searched"), [("boosted_trees", ["max_iter"]), ("ridge", ["alpha"])])
def test_the_search_space_is_that_of_the_model(name, searched, tmp_path):
    settings = {**SETTINGS, "tuning": {"space": SPACES}}
    settings["training"] = {**SETTINGS["training"], "hyperparameters": {"model": name}}
    schema = write_schema(REGRESSION, tmp_path)
    assert tuning.problems(settings, schema, MODALITY.check_hyperparameters) == []
    assert list(tuning.Tuning.from_settings(settings).space) == searched
    assert list(tuning.sweep(settings)["search_space"]) == searched


@pytest.mark.parametrize(
    ("name", "space", "line"),
    [
        (
            None,
            SPACES,
            "tuning.space: it is that of boosted_trees, ridge, and training.hyperparameters.model names none",
        ),
        (
            "lasso",
            SPACES,
            "tuning.space: nothing of the model lasso is searched, only boosted_trees, ridge; add `lasso:`",
        ),
        ("ridge", {"ridge": {"alpha": [-1, 1]}}, "tuning.space.ridge.alpha: must be a float in the range [0.0, inf)"),
        ("ridge", {"ridge": {"alpha": {"from": 2}}}, "tuning.space.ridge.alpha: to must be a number"),
        ("ridge", {"boosted_trees": {"max_iter": [1]}, "alpha": [1, 2]}, "tuning.space.boosted_trees.max_iter: give a"),
        (
            "ridge",
            {"max_iter": [5, 9], "ridge": {"alpa": [1, 2]}},
            "tuning.space.ridge.alpa: unknown; the nearest is al",
        ),
    ],
)
def test_what_is_wrong_with_the_search_space_of_a_model_is_named(name, space, line, tmp_path):
    own = {} if name is None else {"model": name}
    settings = {**SETTINGS, "tuning": {"space": space}}
    settings["training"] = {**SETTINGS["training"], "hyperparameters": own}
    found = tuning.problems(settings, write_schema(REGRESSION, tmp_path), MODALITY.check_hyperparameters)
    assert len(found) >= 1
    assert found[0].startswith(line)


def test_a_search_finds_better_arguments_of_another_model(tmp_path, store, monkeypatch):
    store.load()
    monkeypatch.chdir(tmp_path)
    settings = {**SETTINGS, "tuning": {"trials": 4, "folds": 2, "space": {"ridge": {"alpha": [0.1, 1e5]}}}}
    settings["training"] = {**SETTINGS["training"], "hyperparameters": {"model": "ridge", "alpha": 1e5}}
    made = make_folders(tmp_path, REGRESSION, flights(), settings)
    prepare(made)
    arguments = made.arguments("train-data", "schema", "settings")
    module("tune").main([*arguments, "--search", str(tmp_path / "search")])
    found = yaml.safe_load((tmp_path / "search" / "search.json").read_text(encoding="utf-8"))
    assert found["improved"]
    assert found["best"]["hyperparameters"] == {"alpha": 0.1}
