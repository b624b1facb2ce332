"""The model of a table: categories and missing values, and what is saved of it."""

import mlflow
import numpy as np
import pytest
from helpers import CLASSIFICATION, REGRESSION, module, write_schema
from samples import SETTINGS, flights

data, model = module("tabular.data"), module("tabular.model")
StepError = module("core.step").StepError


def fitted(document, frame, tmp_path, hyperparameters=SETTINGS["training"]["hyperparameters"]):
    schema = write_schema(document, tmp_path)
    frame = data.validate(frame, schema)
    return model.fit(frame, schema, hyperparameters, seed=13), frame, schema


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


@pytest.mark.parametrize(
    ("hyperparameters", "complaint"),
    [
        ({"max_itr": 5}, "unexpected keyword argument 'max_itr'; known are categorical"),
        ({"learning_rate": -1}, "check training.hyperparameters: The 'learning_rate' parameter"),
        ({"max_iter": "many"}, "check training.hyperparameters: The 'max_iter' parameter"),
    ],
)
def test_a_wrong_hyperparameter_is_named(tmp_path, hyperparameters, complaint):
    with pytest.raises(StepError) as error:
        fitted(REGRESSION, flights(), tmp_path, hyperparameters)
    assert complaint.replace("; known are categorical", "; known are ") in str(error.value)


def test_the_saved_model_predicts_what_the_fitted_one_did(tmp_path):
    frame = flights().assign(carrier=lambda f: f["carrier"].where(f.index % 9 > 0))
    pipeline, frame, schema = fitted(CLASSIFICATION, frame, tmp_path)
    model.save(pipeline, frame, schema, tmp_path / "model")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    features = frame[schema.features]
    assert list(loaded.predict(features)) == list(pipeline.predict(features))
