"""The metrics: the values of scikit-learn, on one sample and on many."""

import math
import warnings

import numpy as np
import pytest
from helpers import module
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as reference

metrics = module("core.metrics")
METRICS, encode, metric, scores = metrics.METRICS, metrics.encode, metrics.metric, metrics.scores
StepError = module("core.step").StepError

FINITE = st.floats(-1e6, 1e6)
PAIRS = hnp.arrays(float, st.tuples(st.just(2), st.integers(2, 40)), elements=FINITE)
LABELS = hnp.arrays(np.int64, st.tuples(st.just(2), st.integers(1, 40)), elements=st.integers(0, 3))


@given(pair=PAIRS)
def test_regression_scores_are_those_of_scikit_learn(pair):
    actual, predicted = pair
    assert scores("regression", actual, predicted) == pytest.approx(
        {
            "mae": reference.mean_absolute_error(actual, predicted),
            "rmse": reference.root_mean_squared_error(actual, predicted),
            "r2": reference.r2_score(actual, predicted),
        }
    )


@given(pair=LABELS)
def test_classification_scores_are_those_of_scikit_learn(pair):
    actual, predicted = pair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = {
            "accuracy": reference.accuracy_score(actual, predicted),
            "balanced_accuracy": reference.balanced_accuracy_score(actual, predicted),
            "f1_macro": reference.f1_score(actual, predicted, average="macro"),
        }
    assert scores("classification", actual, predicted) == pytest.approx(expected)


@given(pair=LABELS, seed=st.integers(0, 99))
def test_many_resamples_at_once_score_as_each_does_alone(pair, seed):
    actual, predicted = pair
    rows = np.random.default_rng(seed).integers(len(actual), size=(len(actual), 5))
    for each in METRICS["classification"]:
        alone = [each.score(actual[column], predicted[column]) for column in rows.T]
        assert each.compute(actual[rows], predicted[rows]) == pytest.approx(alone)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_prediction_that_is_not_finite_gives_the_score_nan(bad):
    assert all(math.isnan(value) for value in scores("regression", [1.0, 2.0], [1.0, bad]).values())


def test_no_rows_give_the_score_nan():
    assert math.isnan(metric("mae", "regression").score([], []))


def test_text_labels_score_like_their_codes():
    text = scores("classification", ["cat", "dog", "dog"], ["cat", "dog", "cat"])
    assert text == scores("classification", [0, 1, 1], [0, 1, 0])


def test_a_label_is_the_same_class_as_text_and_as_a_number():
    first, second = encode(np.array(["1", "2"], dtype=object), np.array([1, 2]))
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("task", METRICS)
def test_a_perfect_model_gains_over_a_wrong_one_under_every_metric(task):
    actual, wrong = np.array([0.0, 1.0, 1.0, 0.0]), np.array([1.0, 1.0, 0.0, 0.0])
    for each in METRICS[task]:
        assert each.gain(each.score(actual, actual), each.score(actual, wrong)) > 0


def test_a_metric_of_the_other_task_is_refused_in_one_line():
    with pytest.raises(StepError, match="'accuracy' is not a regression metric; choose one of mae, rmse, r2"):
        metric("accuracy", "regression")
