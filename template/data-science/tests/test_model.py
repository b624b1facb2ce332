"""A model of some rows of this project learns from them, and can be saved; it does not know what it should predict."""

import numpy as np
import pandas as pd
import pytest
from conftest import MODALITY, module


def predictions(model, examples):
    """Return what a saved model predicts, as numbers or texts."""
    return module("core.champion").model_predictions(model.loaded, MODALITY, examples)


def assert_same(mine, other):
    """Check that predictions are the same, but for rounding."""
    for one, two in ((mine.values, other.values), (mine.probabilities, other.probabilities)):
        if one is not None and np.issubdtype(np.asarray(one).dtype, np.floating):
            assert np.asarray(one) == pytest.approx(np.asarray(two), rel=1e-3, abs=1e-3)
        elif one is not None:
            assert list(map(str, one)) == list(map(str, two))


def test_it_beats_the_baseline(model, few_train, few_test, schema, settings):
    """The simplest one, in the metric of config/model.yml; `mlops local` compares all rows, with all baselines."""
    if settings["promotion"].get("beat_baselines") is False:
        pytest.skip("config/model.yml has promotion.beat_baselines: false")
    baselines, metrics = module("core.baselines"), module("core.metrics")
    name = baselines.CONSTANTS.get(schema.task) or settings["evaluation"]["baselines"][0]
    found = baselines.baselines([name], MODALITY, few_train, few_test, schema, settings["training"])
    [baseline] = found.values()
    metric = metrics.metric(settings["evaluation"]["metric"], schema.task)
    classes = schema.class_names(few_train.frame[schema.target], few_test.frame[schema.target])
    actual = few_test.frame[schema.target].to_numpy()
    mine, other = (metric.score(actual, each.within(classes)) for each in (model.fitted.predict(few_test), baseline))
    assert metric.gain(mine, other) > 0, f"{metric.name} is {mine:.4g}, and that of {name} is {other:.4g}"


def test_it_does_not_predict_the_same_for_each_row(model, few_test):
    found = model.fitted.predict(few_test)
    answers = found.values if found.probabilities is None else found.probabilities
    assert len({str(each) for each in answers.tolist()}) > 1


def test_once_saved_and_loaded_it_predicts_the_same(model, few_test):
    assert_same(predictions(model, few_test), model.fitted.predict(few_test))


def test_it_predicts_the_same_whatever_the_outcome_is(model, few_test, schema):
    """Otherwise it looks at what it should predict."""
    order = np.random.default_rng(0).permutation(len(few_test.frame))
    other = few_test.frame[schema.target].iloc[order].to_numpy()
    changed = type(few_test)(few_test.frame.assign(**{schema.target: other}), few_test.root)
    assert_same(predictions(model, changed), predictions(model, few_test))
    assert_same(model.fitted.predict(changed), model.fitted.predict(few_test))


def test_what_it_predicts_for_a_row_does_not_depend_on_the_other_rows(model, few_test):
    """Otherwise it predicts something else for the single row of a request."""
    rows = min(10, len(few_test.frame))
    together = predictions(model, few_test).take(np.arange(rows))
    alone = [predictions(model, few_test.take(np.arange(len(few_test.frame)) == place)) for place in range(rows)]
    values = np.array([each.values[0] for each in alone], dtype=together.values.dtype)
    chances = None if together.probabilities is None else np.vstack([each.probabilities for each in alone])
    assert_same(type(together)(values, chances, together.classes), together)
    assert not pd.isna(values).any()
