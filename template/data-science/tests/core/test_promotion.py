"""The promotion policy: who may serve and who may not, and the metrics it goes by."""

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from samples import module
from sklearn import metrics as reference
from sklearn.metrics import f1_score

# --- The metrics: the values of scikit-learn, on one sample and on many.


METRICS, encode, metric, scores = (getattr(module("metrics"), n) for n in ("METRICS", "encode", "metric", "scores"))
StepError = module("step").StepError

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
def test_a_prediction_that_is_not_finite_gives_a_score_that_is_no_number(bad):
    assert all(math.isnan(value) for value in scores("regression", [1.0, 2.0], [1.0, bad]).values())


def test_no_rows_give_a_score_that_is_no_number():
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
    with pytest.raises(StepError, match="'accuracy' is no regression metric; choose one of mae, rmse, r2"):
        metric("accuracy", "regression")


# --- The promotion policy: who may serve, and who may not.


METRICS, metric = module("metrics").METRICS, module("metrics").metric
StepError = module("step").StepError
promotion = module("promotion")
Interval, Policy, SliceScore = promotion.Interval, promotion.Policy, promotion.SliceScore
Cohorts, Fairness = promotion.Cohorts, promotion.Fairness
decide, paired_bootstrap = promotion.decide, promotion.paired_bootstrap

LOWER = Policy(metric("mae", "regression"), floor=15.0)
HIGHER = Policy(metric("accuracy", "classification"), floor=0.6)
SCORES = st.floats(0.01, 100)
SHARES = st.floats(0.0, 1.0)
NOT_FINITE = [math.nan, math.inf, -math.inf]


def compare(policy, challenger, champion, noise=0.0, slices=(), cohorts=()):
    """Decide between two scores, with an interval of the gain that is `noise` wide on each side."""
    gain = float(policy.metric.gain(challenger, champion))
    return decide(policy, challenger, champion, Interval(gain, gain - noise, gain + noise), slices, cohorts)


def by_carrier(policy, scores, rows=50, **limits):
    """The cohorts 0, 1, 2 ... of carriers with these scores of the policy's metric."""
    parts = tuple(SliceScore("carrier", str(name), rows, score) for name, score in enumerate(scores))
    return Cohorts("carrier", policy.metric, parts, 50, **limits)


def settings(**promotion):
    return {"evaluation": {"metric": "mae"}, "promotion": {"floor": 15.0, **promotion}}


def fairness(task="regression", **section):
    chosen = {"evaluation": {"metric": "mae" if task == "regression" else "accuracy"}, "promotion": {"floor": 0.5}}
    return Policy.from_settings(chosen | {"fairness": section}, task).fairness


# The floor


@given(score=SCORES)
def test_without_a_champion_the_floor_alone_decides(score):
    assert decide(LOWER, score).promote is (score <= 15.0)
    assert decide(HIGHER, score / 100).promote is (score / 100 >= 0.6)


def test_a_score_of_just_the_floor_is_good_enough():
    assert decide(LOWER, 15.0).promote
    assert decide(HIGHER, 0.6).promote


def test_a_model_that_misses_the_floor_loses_even_to_a_worse_champion():
    decision = compare(LOWER, challenger=16.0, champion=30.0)
    assert not decision.promote
    assert decision.reasons == ("the challenger's mae of 16 misses the floor of 15",)


@pytest.mark.parametrize("score", NOT_FINITE)
def test_a_score_that_is_not_finite_never_promotes(score):
    for policy in (LOWER, HIGHER):
        assert not decide(policy, score).promote
        assert not decide(policy, 0.7, score, Interval(1.0, 0.5, 1.5)).promote
        assert not compare(policy, score, 0.5).promote


@pytest.mark.parametrize("end", NOT_FINITE)
def test_an_interval_that_is_not_finite_never_promotes(end):
    assert not decide(LOWER, 5.0, 10.0, Interval(end, 4.0, 6.0)).promote
    assert not decide(LOWER, 5.0, 10.0, Interval(5.0, end, 6.0)).promote


# The champion


@given(challenger=SCORES, champion=SCORES, noise=st.floats(0, 10))
def test_a_worse_model_never_wins(challenger, champion, noise):
    assume(challenger > champion)
    assert not compare(LOWER, challenger, champion, noise).promote


@given(challenger=SHARES, champion=SHARES, noise=st.floats(0, 1))
def test_a_worse_model_never_wins_where_higher_is_better(challenger, champion, noise):
    assume(challenger < champion)
    assert not compare(HIGHER, challenger, champion, noise).promote


@given(challenger=st.floats(0.01, 14), champion=SCORES, minimum=st.floats(0, 5))
def test_a_gain_whose_whole_interval_exceeds_the_minimum_always_wins(challenger, champion, minimum):
    gain = champion - challenger
    assume(gain > minimum + 1e-6)
    policy = replace(LOWER, minimum_gain=minimum)
    assert compare(policy, challenger, champion, noise=(gain - minimum) / 2).promote


@given(score=SCORES, policy=st.sampled_from([LOWER, HIGHER]))
def test_a_tie_keeps_the_champion(score, policy):
    assert not compare(policy, score, score).promote


@given(challenger=SCORES, champion=SCORES, minimum=st.floats(0, 5))
def test_a_gain_of_just_the_minimum_keeps_the_champion(challenger, champion, minimum):
    policy = replace(LOWER, minimum_gain=minimum)
    assert not decide(policy, challenger, champion, Interval(minimum, minimum, minimum)).promote


def test_a_gain_within_the_noise_keeps_the_champion_and_says_so():
    decision = compare(LOWER, challenger=10.0, champion=11.0, noise=2.0)
    assert not decision.promote
    assert "95% interval -1 to 3: not surely more than 0" in decision.reasons[0]


@given(
    challenger=SCORES,
    better_by=st.floats(0, 50),
    champion=SCORES,
    noise=st.floats(0, 5),
    part=st.tuples(SCORES, SCORES),
)
def test_improving_the_challenger_never_turns_a_promotion_into_a_refusal(challenger, better_by, champion, noise, part):
    def decision(score, part_score):
        return compare(LOWER, score, champion, noise, [SliceScore("month", "1", 80, part_score, part[1])])

    if decision(challenger, part[0]).promote:
        assert decision(max(0.0, challenger - better_by), max(0.0, part[0] - better_by)).promote


def test_the_direction_of_the_metric_decides_who_is_better():
    # The same scores, read with the wrong direction, must give the opposite answer.
    flipped = replace(LOWER, metric=replace(LOWER.metric, higher_is_better=True))
    assert compare(LOWER, challenger=10.0, champion=12.0).promote
    assert not compare(flipped, challenger=10.0, champion=12.0).promote


def test_a_champion_without_an_interval_is_a_fault_of_the_caller():
    with pytest.raises(ValueError, match="bootstrap interval"):
        decide(LOWER, 10.0, 12.0)


# Slices


def test_a_slice_that_got_worse_stops_a_model_that_is_better_on_average():
    decision = compare(LOWER, 10.0, 12.0, slices=[SliceScore("carrier", "AA", 60, 13.3, 12.0)])
    assert not decision.promote
    assert "slice carrier=AA (60 rows) got worse" in decision.reasons[0]


@given(rows=st.integers(1, 49), score=st.floats(0, 1e6))
def test_a_slice_with_few_rows_decides_nothing(rows, score):
    assert compare(LOWER, 10.0, 12.0, slices=[SliceScore("carrier", "AA", rows, score, 1.0)]).promote


@given(champion=SCORES, share=st.floats(0, 0.099))
def test_a_slice_may_get_worse_within_the_tolerance(champion, share):
    lower = SliceScore("month", "1", 50, champion * (1 + share), champion)
    higher = SliceScore("month", "1", 50, champion * (1 - share), champion)
    assert compare(LOWER, 10.0, 12.0, slices=[lower]).promote
    assert compare(HIGHER, 0.9, 0.8, slices=[higher]).promote


@given(champion=SCORES, share=st.floats(0.101, 5))
def test_a_slice_may_not_get_worse_beyond_the_tolerance(champion, share):
    lower = SliceScore("month", "1", 50, champion * (1 + share), champion)
    higher = SliceScore("month", "1", 50, champion * (1 - share), champion)
    assert not compare(LOWER, 10.0, 12.0, slices=[lower]).promote
    assert not compare(HIGHER, 0.9, 0.8, slices=[higher]).promote


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_slice_score_that_is_not_finite_never_passes(score):
    assert not compare(LOWER, 10.0, 12.0, slices=[SliceScore("month", "1", 50, score, 12.0)]).promote


def test_a_negative_r2_of_the_champion_still_leaves_a_tolerance_on_the_right_side():
    policy = Policy(metric("r2", "regression"), floor=0.0)
    assert compare(policy, 0.5, 0.4, slices=[SliceScore("month", "1", 50, -0.21, -0.20)]).promote
    assert not compare(policy, 0.5, 0.4, slices=[SliceScore("month", "1", 50, -0.23, -0.20)]).promote


# Cohorts


@given(scores=st.lists(SCORES, min_size=1), limit=SCORES, average=SCORES, champion=SCORES, noise=st.floats(0, 1))
def test_a_model_whose_worst_cohort_is_beyond_the_limit_never_wins(scores, limit, average, champion, noise):
    for policy, worst in ((LOWER, max(scores)), (HIGHER, min(scores))):
        cohorts = by_carrier(policy, scores, worst=limit)
        if policy.metric.gain(worst, limit) < 0:
            assert not decide(policy, average, cohorts=[cohorts]).promote
            assert not compare(policy, average, champion, noise, cohorts=[cohorts]).promote


@given(scores=st.lists(SCORES, min_size=1), average=SCORES, champion=SCORES)
def test_cohorts_within_every_limit_change_no_decision(scores, average, champion):
    for policy, worst in ((LOWER, max(scores)), (HIGHER, min(scores))):
        gap = max(scores) - min(scores)
        cohorts = by_carrier(policy, scores, worst=worst, max_gap=gap, max_ratio=max(scores) / min(scores))
        assert decide(policy, average, cohorts=[cohorts]).promote is decide(policy, average).promote
        without = compare(policy, average, champion)
        assert compare(policy, average, champion, cohorts=[cohorts]).promote is without.promote


@given(scores=st.lists(SCORES, min_size=2), share=st.floats(0, 0.99))
def test_cohorts_that_are_further_apart_than_a_limit_never_win(scores, share):
    gap, ratio = max(scores) - min(scores), max(scores) / min(scores)
    assume(gap > 1e-6)
    for policy, perfect in ((LOWER, 0.0), (HIGHER, 1.0)):
        for limit in ({"max_gap": share * gap}, {"max_ratio": 1 + share * (ratio - 1)}):
            assert not decide(policy, perfect, cohorts=[by_carrier(policy, scores, **limit)]).promote


def test_a_refusal_names_each_cohort_beyond_the_limit_its_score_and_the_limit():
    decision = decide(LOWER, 10.0, cohorts=[by_carrier(LOWER, [12.0, 19.0, 18.5], worst=18.0, max_gap=5.0)])
    assert decision.reasons == (
        "cohort carrier=1 (50 rows) has mae 19, beyond the limit of 18",
        "cohort carrier=2 (50 rows) has mae 18.5, beyond the limit of 18",
        "mae (mean absolute error) differs by 7 between the cohorts carrier=0 (12) and 1 (19), beyond the limit of 5",
    )


def test_a_promotion_names_the_worst_cohort():
    decision = decide(HIGHER, 0.9, cohorts=[by_carrier(HIGHER, [0.9, 0.7, 0.8], worst=0.6)])
    assert decision.promote
    assert "cohort carrier=1 (50 rows) has accuracy 0.7, the worst of all, within the limit of 0.6" in decision.reasons
    assert "there is no champion to beat, so the floor and the limits on cohorts decide" in decision.reasons


@pytest.mark.parametrize("score", NOT_FINITE)
@pytest.mark.parametrize("limit", [{"worst": 20.0}, {"max_gap": 20.0}, {"max_ratio": 20.0}])
def test_a_cohort_whose_score_is_not_finite_never_passes(score, limit):
    assert not decide(LOWER, 10.0, cohorts=[by_carrier(LOWER, [10.0, score, 12.0], **limit)]).promote


@given(rows=st.integers(1, 49), score=st.floats(0, 1e6))
def test_a_cohort_with_few_rows_decides_nothing(rows, score):
    large, small = by_carrier(LOWER, [10.0, 12.0], worst=15.0, max_gap=3.0), SliceScore("carrier", "small", rows, score)
    assert decide(LOWER, 10.0, cohorts=[replace(large, scores=(*large.scores, small))]).promote


def test_a_limit_that_no_cohort_is_large_enough_for_refuses_and_says_so():
    decision = decide(LOWER, 10.0, cohorts=[by_carrier(LOWER, [10.0, 12.0], rows=49, worst=15.0)])
    assert decision.reasons == ("no cohort by carrier has the 50 rows that a judgement of its mae needs",)


@given(scores=st.lists(st.floats(allow_nan=True)), rows=st.integers(1, 100))
def test_cohorts_without_a_limit_are_shown_and_decide_nothing(scores, rows):
    assert decide(LOWER, 10.0, cohorts=[by_carrier(LOWER, scores, rows)]) == decide(LOWER, 10.0)


@pytest.mark.parametrize(
    ("scores", "ratio"),
    [([10, 15, 12], 1.5), ([7], 1), ([0, 0], 1), ([0, 2], math.inf), ([-0.1, 0.4], math.nan), ([], math.nan)],
)
def test_the_ratio_is_that_of_the_larger_end_to_the_smaller_one_in_either_direction(scores, ratio):
    for policy in (LOWER, HIGHER):
        assert by_carrier(policy, scores).ratio == pytest.approx(ratio, nan_ok=True)


# The bootstrap


def regression_rows(rows=300, seed=1):
    random = np.random.default_rng(seed)
    actual = random.normal(0, 20, rows)
    return actual, actual + random.normal(0, 5, rows), actual + random.normal(0, 9, rows)


def test_the_bootstrap_depends_on_its_seed_alone():
    rows = regression_rows()
    assert paired_bootstrap(LOWER.metric, *rows, seed=3) == paired_bootstrap(LOWER.metric, *rows, seed=3)
    assert paired_bootstrap(LOWER.metric, *rows, seed=3) != paired_bootstrap(LOWER.metric, *rows, seed=4)


@pytest.mark.parametrize("name", ["mae", "rmse", "r2"])
def test_a_clearly_better_model_has_an_interval_above_zero_and_the_swap_mirrors_it(name):
    actual, good, bad = regression_rows()
    there = paired_bootstrap(metric(name, "regression"), actual, good, bad)
    back = paired_bootstrap(metric(name, "regression"), actual, bad, good)
    assert 0 < there.lower < there.gain < there.upper
    assert (back.gain, back.lower, back.upper) == pytest.approx((-there.gain, -there.upper, -there.lower))


@pytest.mark.parametrize("each", [each for group in METRICS.values() for each in group], ids=lambda each: each.name)
def test_equal_predictions_gain_nothing_under_any_metric(each):
    actual = np.arange(40) % 3
    predicted = np.roll(actual, 1)
    assert paired_bootstrap(each, actual, predicted, predicted) == Interval(0.0, 0.0, 0.0)


def test_more_confidence_makes_the_interval_wider():
    rows = regression_rows()
    narrow, wide = (paired_bootstrap(LOWER.metric, *rows, confidence=share) for share in (0.8, 0.99))
    assert wide.lower < narrow.lower < narrow.upper < wide.upper


def test_the_interval_is_that_of_resampling_row_by_row():
    random = np.random.default_rng(0)
    labels = np.array(["ant", "bee", "cow"], dtype=object)
    actual, new, old = (labels[random.integers(3, size=60)] for _ in range(3))
    found = paired_bootstrap(metric("f1_macro", "classification"), actual, new, old, seed=5, resamples=50)
    drawn = np.random.default_rng(5).integers(60, size=(60, 50)).T
    gains = [
        f1_score(actual[rows], new[rows], average="macro") - f1_score(actual[rows], old[rows], average="macro")
        for rows in drawn
    ]
    assert (found.lower, found.upper) == pytest.approx(tuple(np.quantile(gains, [0.025, 0.975])))


def test_memory_is_bounded_without_changing_the_size_of_the_sample(monkeypatch):
    rows = regression_rows()
    monkeypatch.setattr(promotion, "_BLOCK", 1000)
    blocks = paired_bootstrap(LOWER.metric, *rows)
    assert blocks.lower == pytest.approx(paired_bootstrap(LOWER.metric, *rows, seed=9).lower, rel=0.1)


def test_predictions_that_are_not_numbers_give_no_interval():
    actual, good, bad = regression_rows()
    good[0] = math.nan
    assert math.isnan(paired_bootstrap(LOWER.metric, actual, good, bad).lower)
    assert math.isnan(paired_bootstrap(LOWER.metric, [], [], []).gain)


# The settings


def test_the_policy_comes_from_the_settings():
    policy = Policy.from_settings(settings(confidence=0.9, minimum_slice_rows=20), "regression")
    assert policy == replace(LOWER, confidence=0.9, minimum_slice_rows=20)


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        (settings(confidence=1), "promotion.confidence: must lie between 0 and 1"),
        (settings(confidence=1.5), "promotion.confidence: 1.5 must be a number between 0 and 1"),
        (settings(floor="high"), "promotion.floor: 'high' must be a number"),
        (settings(floor=math.nan), "promotion.floor: nan must be a number"),
        (settings(minimum_gain=-1), "promotion.minimum_gain: -1 must be a number of 0 or more"),
        (settings(slice_tolerance=True), "promotion.slice_tolerance: True must be a number of 0 or more"),
        (settings(flor=3), "promotion.flor: unknown; the keys are floor"),
        ({"evaluation": {"metric": "mae"}, "promotion": {}}, "promotion.floor: missing"),
        ({"evaluation": {"metric": "mae"}}, "promotion: this section is missing"),
        ({"evaluation": {"metric": "mape"}, "promotion": {"floor": 1}}, "'mape' is no regression metric"),
        (settings() | {"fairness": ["origin"]}, "fairness: this section is missing from the settings, or it has no"),
        (settings() | {"fairness": {"worst": 18.0}}, "fairness.cohorts: must be a list of columns, such as [origin"),
        (settings() | {"fairness": {"cohorts": "origin"}}, "fairness.cohorts: must be a list of columns"),
        (settings() | {"fairness": {"cohorts": [[]]}}, "fairness.cohorts: must be a list of columns"),
        (settings() | {"fairness": {"cohorts": ["a"], "wurst": 1}}, "fairness.wurst: unknown; the keys are cohorts, "),
        (settings() | {"fairness": {"cohorts": ["a"], "worst": "low"}}, "fairness.worst: 'low' must be a number"),
        (
            settings() | {"fairness": {"cohorts": ["a"], "max_ratio": 0.9}},
            "fairness.max_ratio: 0.9 must be a number of 1",
        ),
        (settings() | {"fairness": {"cohorts": ["a"], "max_gap": -1}}, "fairness.max_gap: -1 must be a number of 0"),
        (settings() | {"fairness": {"cohorts": ["a"], "positive": 1}}, "fairness.positive: is for a classification"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(broken, line):
    with pytest.raises(StepError) as fault:
        Policy.from_settings(broken, "regression")
    assert line in str(fault.value)
    assert "\n" not in str(fault.value)


def test_settings_without_the_section_know_no_cohorts():
    for absent in ({}, {"fairness": None}):
        assert Policy.from_settings(settings() | absent, "regression").fairness == Fairness()


def test_the_limits_on_cohorts_come_from_the_settings_and_an_empty_one_is_none():
    found = fairness(cohorts=["origin", ["origin", "carrier"]], worst=18, max_gap=None, minimum_rows=20)
    assert found == Fairness((("origin",), ("origin", "carrier")), worst=18, minimum_rows=20)
    found = fairness("classification", cohorts=["sex"], positive=True, max_equal_opportunity_difference=0.1)
    assert found == Fairness((("sex",),), positive="True", max_equal_opportunity_difference=0.1)
