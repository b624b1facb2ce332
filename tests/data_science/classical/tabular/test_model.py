"""The model of a table: categories and missing values, and what is saved of it."""

from contextlib import nullcontext
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
from helpers import CLASSIFICATION, REGRESSION, module, write_schema
from samples import SETTINGS, flights

data, model = module("tabular.data"), module("tabular.model")
StepError, MODALITY = module("core.step").StepError, module("modality").MODALITY


def fitted(document, frame, tmp_path, hyperparameters=SETTINGS["training"]["hyperparameters"], **training):
    schema = write_schema(document, tmp_path)
    frame = data.validate(frame, schema)
    return model.fit(frame, schema, {"hyperparameters": hyperparameters, "seed": 13} | training), frame, schema


def test_the_model_predicts_unseen_rows_far_better_than_the_mean(tmp_path):
    pipeline, _, schema = fitted(REGRESSION, flights(400), tmp_path)
    fresh = data.validate(flights(200, seed=1), schema)
    error = (fresh["delay"] - pipeline.predict(fresh[schema.features])).abs().mean()
    assert error < 0.5 * (fresh["delay"] - fresh["delay"].mean()).abs().mean()


def test_the_same_seed_gives_the_same_model(tmp_path):
    first, frame, schema = fitted(REGRESSION, flights(), tmp_path)
    again, _, _ = fitted(REGRESSION, flights(), tmp_path)
    assert (first.predict(frame[schema.features]) == again.predict(frame[schema.features])).all()


def test_a_carrier_that_training_never_saw_is_scored(tmp_path):
    pipeline, frame, schema = fitted(REGRESSION, flights(), tmp_path)
    rows = frame[schema.features].head(3).assign(carrier=["ZZ", None, "AA"])
    assert np.isfinite(pipeline.predict(rows)).all()


def test_one_split_can_single_out_any_category_whatever_its_place_in_the_alphabet(tmp_path):
    frame = flights().assign(delay=lambda f: 100.0 * (f["carrier"] == "BB"))
    one_split = {"max_iter": 1, "max_leaf_nodes": 2, "learning_rate": 1.0}
    pipeline, frame, schema = fitted(REGRESSION, frame, tmp_path, one_split)
    assert pipeline.predict(frame[schema.features]) == pytest.approx(frame["delay"], abs=1e-6)


def test_more_categories_than_the_trees_can_tell_apart_are_no_error(tmp_path):
    frame = flights(600)
    pipeline, frame, schema = fitted(REGRESSION, frame.assign(carrier=frame["id"]), tmp_path)
    assert np.isfinite(pipeline.predict(frame[schema.features])).all()


@pytest.mark.parametrize(("most", "grouped"), [(3, None), (2, 2)])
def test_rare_categories_are_looked_for_only_where_the_trees_cannot_tell_all_apart(tmp_path, most, grouped):
    frame = flights().assign(carrier=lambda frame: [f"carrier {place % 3}" for place in range(len(frame))])
    pipeline, frame, schema = fitted(REGRESSION, frame, tmp_path, {"max_bins": most, "max_iter": 2})
    assert pipeline["columns"].named_transformers_["categories"].max_categories == grouped
    assert np.isfinite(pipeline.predict(frame[schema.features])).all()


def test_the_libraries_with_threads_are_looked_for_once(tmp_path, monkeypatch):
    fitted(REGRESSION, flights(), tmp_path)  # what else looks for them, such as scikit-learn, does so once too
    monkeypatch.setattr(model.ThreadpoolController, "__init__", lambda self: pytest.fail("again"))
    fitted(REGRESSION, flights(), tmp_path)


@pytest.mark.parametrize(("rows", "limit"), [(1_000_000, 1), (10, None)], ids=["few rows", "many rows"])
def test_only_many_rows_are_worth_the_threads_of_scikit_learn(tmp_path, monkeypatch, rows, limit):
    found = []
    pools = SimpleNamespace(limit=lambda *, limits: found.append(limits) or nullcontext())
    monkeypatch.setattr(model, "_ROWS_WORTH_THREADS", rows)
    monkeypatch.setattr(model, "_pools", lambda: pools)
    fitted(REGRESSION, flights(), tmp_path)
    assert found == [limit]


@pytest.mark.parametrize(
    ("document", "hyperparameters", "line"),
    [
        (REGRESSION, {"max_itr": 5}, "max_itr: unknown; the nearest is max_iter, and known are early_stopping, "),
        (REGRESSION, {"random_state": 5}, "random_state: unknown; known are "),
        (REGRESSION, {"learning_rate": -1}, "learning_rate: must be a float in the range (0.0, inf). Got -1 instead."),
        (REGRESSION, {"learning_rate": "1e-3"}, "learning_rate: must be a float in the range (0.0, inf). Got '1e-3' "),
        (REGRESSION, {"max_iter": "many"}, "max_iter: must be an int in the range [1, inf). Got 'many' instead."),
        (REGRESSION, {"loss": "log_loss"}, "loss: must be a str among {"),
        (CLASSIFICATION, {"loss": "absolute_error"}, "loss: must be a str among {"),
        (CLASSIFICATION, {"quantile": 0.5}, "quantile: unknown; known are "),
    ],
)
def test_a_wrong_hyperparameter_is_named_before_and_in_training(tmp_path, document, hyperparameters, line):
    schema = write_schema(document, tmp_path)
    [found] = MODALITY.check_hyperparameters({"max_leaf_nodes": 6, **hyperparameters}, schema)
    assert found.startswith(f"training.hyperparameters.{line}")
    with pytest.raises(StepError, match=r"^training\.hyperparameters\."):
        model.fit(pd.DataFrame(), schema, {"hyperparameters": hyperparameters, "seed": 13})


def test_all_wrong_hyperparameters_are_named_at_once(tmp_path):
    given = {"max_itr": 5, "learning_rate": "1e-3", "max_leaf_nodes": 6}
    unknown, wrong = MODALITY.check_hyperparameters(given, write_schema(REGRESSION, tmp_path))
    assert "max_itr" in unknown
    assert wrong.endswith("; YAML takes it for a text, write 1.0e-3")


def test_hyperparameters_that_contradict_each_other_are_one_line(tmp_path):
    with pytest.raises(StepError, match=r"check training\.hyperparameters: quantile must be "):
        fitted(REGRESSION, flights(), tmp_path, {"loss": "quantile"})


def test_the_saved_model_predicts_what_the_fitted_one_did(tmp_path):
    frame = flights().assign(carrier=lambda f: f["carrier"].where(f.index % 9 > 0))
    pipeline, frame, schema = fitted(CLASSIFICATION, frame, tmp_path)
    model.save(pipeline, frame, schema, tmp_path / "model")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    features = frame[schema.features]
    assert list(loaded.predict(features)) == list(pipeline.predict(features))


def test_with_an_offset_the_model_follows_that_column_beyond_what_it_was_trained_on(tmp_path):
    frame = flights(400).assign(delay=lambda f: 10.0 * f["hour"] + f["carrier"].map({"AA": 5, "BB": 0, "CC": -5}))
    schema = write_schema(REGRESSION, tmp_path)
    beyond = data.validate(frame, schema).head(3).assign(hour=100)
    plain, with_offset = (
        fitted(REGRESSION, frame, tmp_path, **given)[0].predict(beyond[schema.features])
        for given in ({}, {"offset": "hour"})
    )
    assert with_offset == pytest.approx(plain + 100 - 23, abs=8)


@pytest.mark.parametrize("size", [1, 1e6, 1e9])
def test_the_offset_leaves_the_trees_their_part_whatever_its_size(tmp_path, size):
    columns = REGRESSION["columns"] | {"meter": {"type": "number"}, "delay": {"type": "number"}}
    frame = flights(400).assign(meter=lambda f: size * (1 + f["hour"]), delay=lambda f: f["meter"] + f["delay"])
    pipeline, frame, schema = fitted(REGRESSION | {"columns": columns}, frame, tmp_path, offset="meter")
    trees = pipeline.named_estimators_["model"].predict(frame[schema.features])
    assert pipeline.predict(frame[schema.features]) - frame["meter"].to_numpy() == pytest.approx(trees, abs=1e-5)


def test_a_threshold_of_more_than_two_classes_is_refused(tmp_path):
    columns = CLASSIFICATION["columns"] | {"late": {"type": "category"}}
    frame = flights().assign(late=["a", "b", "c", "d"] * 50)
    with pytest.raises(StepError, match=r"training\.threshold: is for two classes"):
        fitted(CLASSIFICATION | {"columns": columns}, frame, tmp_path, threshold=0.3)


def test_the_saved_model_with_an_offset_predicts_the_same_and_is_of_scikit_learn_alone(tmp_path):
    pipeline, frame, schema = fitted(REGRESSION, flights(), tmp_path, offset="hour")
    model.save(pipeline, frame.head(99), schema, tmp_path / "with offset")
    features = frame[schema.features].copy()
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "with offset"))
    assert loaded.predict(features) == pytest.approx(pipeline.predict(features))
    trees = pipeline.named_estimators_["model"].predict(features)
    assert pipeline.predict(features) == pytest.approx(trees + features["hour"])


def test_a_feature_without_any_value_is_refused_in_one_line(tmp_path):
    columns = REGRESSION["columns"] | {"wind": {"type": "number", "missing": 1.0}}
    with pytest.raises(StepError, match="wind: missing in each training row; give it the role ignore in "):
        fitted(REGRESSION | {"columns": columns}, flights().assign(wind=None), tmp_path)


@pytest.mark.parametrize(
    ("document", "offset", "message"),
    [
        (REGRESSION, "wind", "'wind' is not a numerical feature without missing values; those are hour"),
        (REGRESSION, "gate", "'gate' is not a numerical feature"),
        (CLASSIFICATION, "hour", "is for a regression, and this is a classification"),
    ],
)
def test_an_offset_that_is_not_suitable_is_refused_in_one_line(tmp_path, document, offset, message):
    with pytest.raises(StepError, match=message):
        fitted(document, flights(), tmp_path, offset=offset)
