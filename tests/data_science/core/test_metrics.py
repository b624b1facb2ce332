"""The metrics: the values of scikit-learn, on one sample and on many."""

import math
import warnings

import numpy as np
import pytest
from helpers import module
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as reference

metrics = module("core.metrics")
METRICS, encode, metric, scores = metrics.METRICS, metrics.encode, metrics.metric, metrics.scores
Predictions = module("core.predictions").Predictions
StepError = module("core.step").StepError

FINITE = st.floats(-1e6, 1e6)
PAIRS = hnp.arrays(float, st.tuples(st.just(2), st.integers(2, 40)), elements=FINITE)
LABELS = hnp.arrays(np.int64, st.tuples(st.just(2), st.integers(1, 40)), elements=st.integers(0, 3))


@given(pair=PAIRS)
def test_regression_scores_are_those_of_scikit_learn(pair):
    actual, predicted = pair
    # Of a target that is constant up to rounding, scikit-learn's r2 is a quotient of rounding errors.
    assume(not 0 < np.ptp(actual) < 1e-6 * np.abs(actual).max() and (np.ptp(actual) or np.std(actual) == 0))
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


@st.composite
def probabilities(draw, least=2, most=4):
    """Actual classes, and predictions with probabilities that often tie."""
    size, rows = draw(st.integers(least, most)), draw(st.integers(2, 40))
    actual = draw(hnp.arrays(np.int64, rows, elements=st.integers(0, size - 1)))
    counts = draw(hnp.arrays(np.int64, (rows, size), elements=st.integers(0, 5))) + 0.5
    shares = counts / counts.sum(axis=1, keepdims=True)
    names = tuple(str(each) for each in range(size))
    return actual, Predictions(shares.argmax(axis=1), shares, names)


@given(pair=probabilities(2, 2))
def test_scores_of_two_classes_with_probabilities_are_those_of_scikit_learn(pair):
    actual, predictions = pair
    found, positive = scores("classification", actual, predictions), predictions.probabilities[:, 1]
    assert found["log_loss"] == pytest.approx(reference.log_loss(actual, positive, labels=[0, 1]))
    assert found["brier"] == pytest.approx(np.mean((positive - actual) ** 2))
    if 0 < actual.sum() < len(actual):
        assert found["roc_auc"] == pytest.approx(reference.roc_auc_score(actual, positive))
        assert found["average_precision"] == pytest.approx(reference.average_precision_score(actual, positive))
    else:
        assert math.isnan(found["roc_auc"])
        assert math.isnan(found["average_precision"])


@given(pair=probabilities(3, 4))
def test_scores_of_more_classes_with_probabilities_are_those_of_scikit_learn(pair):
    actual, predictions = pair
    shares = predictions.probabilities
    one_hot = (actual[:, np.newaxis] == np.arange(shares.shape[1])).astype(float)
    found = scores("classification", actual, predictions)
    assert found["log_loss"] == pytest.approx(reference.log_loss(actual, shares, labels=range(shares.shape[1])))
    assert found["brier"] == pytest.approx(np.mean(((shares - one_hot) ** 2).sum(axis=1)))
    # scikit-learn refuses classes without rows; ours leaves them out of the mean.
    present = [each for each in range(shares.shape[1]) if 0 < one_hot[:, each].sum() < len(actual)]
    if present:
        areas = [reference.roc_auc_score(one_hot[:, each], shares[:, each]) for each in present]
        precisions = [reference.average_precision_score(one_hot[:, each], shares[:, each]) for each in present]
        assert found["roc_auc"] == pytest.approx(np.mean(areas))
        assert found["average_precision"] == pytest.approx(np.mean(precisions))


@given(pair=probabilities(), seed=st.integers(0, 99))
def test_many_resamples_at_once_score_as_each_does_alone(pair, seed):
    actual, predictions = pair
    drawn = np.random.default_rng(seed).integers(len(actual), size=(5, len(actual)))
    weights = np.stack([np.bincount(rows, minlength=len(actual)) for rows in drawn]).astype(float)
    for each in METRICS["classification"]:
        alone = [each.score(actual[rows], predictions.take(rows)) for rows in drawn]
        assert each.scorer(actual, predictions)(weights) == pytest.approx(alone, nan_ok=True)


@given(
    pair=hnp.arrays(float, st.tuples(st.just(2), st.integers(2, 40)), elements=st.integers(-99, 99)),
    seed=st.integers(0, 99),
)
def test_many_resamples_of_numbers_score_as_each_does_alone(pair, seed):
    actual, predicted = pair
    drawn = np.random.default_rng(seed).integers(len(actual), size=(5, len(actual)))
    weights = np.stack([np.bincount(rows, minlength=len(actual)) for rows in drawn]).astype(float)
    for each in METRICS["regression"]:
        alone = [each.score(actual[rows], predicted[rows]) for rows in drawn]
        assert each.scorer(actual, predicted)(weights) == pytest.approx(alone, rel=1e-6, abs=1e-6)


@given(pair=probabilities())
def test_the_mean_of_the_row_scores_is_the_score(pair):
    actual, predictions = pair
    means = [each for each in METRICS["classification"] if each.rows is not None]
    assert [each.name for each in means] == ["accuracy", "log_loss", "brier"]
    for each in means:
        assert np.mean(each.rows(actual, predictions)) == pytest.approx(each.score(actual, predictions))


def test_a_metric_of_probabilities_refuses_a_model_that_has_none():
    with pytest.raises(StepError, match="roc_auc needs probabilities, and this model predicts classes only"):
        metric("roc_auc", "classification").score([0, 1], [0, 1])
    assert "roc_auc" not in scores("classification", [0, 1], [0, 1])


def test_a_class_that_the_model_has_never_seen_is_the_worst_surprise():
    predictions = Predictions(np.array(["a", "a"]), np.array([[0.9, 0.1], [0.9, 0.1]]), ("a", "b"))
    found = scores("classification", ["a", "new"], predictions)
    assert found["log_loss"] == pytest.approx((-math.log(0.9) - math.log(1e-15)) / 2)


@pytest.mark.parametrize("task", METRICS)
def test_a_perfect_model_has_the_best_score_of_every_metric(task):
    actual = np.array([0, 1, 1, 0])
    perfect = Predictions(actual, np.eye(2)[actual], ("0", "1")) if task == "classification" else actual
    for each in METRICS[task]:
        assert each.score(actual, perfect) == pytest.approx(each.best)


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
    actual, wrong = np.array([0, 1, 1, 0]), np.array([1, 1, 0, 0])
    good, bad = (Predictions(each, np.eye(2)[each] * 0.8 + 0.1, ("0", "1")) for each in (actual, wrong))
    for each in METRICS[task]:
        assert each.gain(each.score(actual, good), each.score(actual, bad)) > 0


def test_a_metric_of_the_other_task_is_refused_in_one_line():
    with pytest.raises(StepError, match="'accuracy' is not a regression metric; choose one of mae, rmse, r2"):
        metric("accuracy", "regression")
