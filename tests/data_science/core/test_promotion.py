"""The promotion policy: who may serve, and who may not."""

import math
from dataclasses import replace

import numpy as np
import pytest
from helpers import module
from hypothesis import assume, given
from hypothesis import strategies as st
from sklearn.metrics import f1_score

METRICS, SliceScore = module("core.metrics").METRICS, module("core.metrics").SliceScore
metric = module("core.metrics").metric
Predictions, StepError = module("core.predictions").Predictions, module("core.step").StepError
promotion = module("core.promotion")
Interval, Policy = promotion.Interval, promotion.Policy
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


def settings(**promotion):
    return {"evaluation": {"metric": "mae"}, "promotion": {"floor": 15.0, **promotion}}


# The floor


@given(score=SCORES)
def test_without_a_champion_the_floor_alone_decides(score):
    assert decide(LOWER, score).promote is (score <= 15.0)
    assert decide(HIGHER, score / 100).promote is (score / 100 >= 0.6)


# The baselines


@given(lower=st.floats(-5, 5), width=st.floats(0, 5))
def test_without_a_champion_each_baseline_must_be_beaten_by_the_whole_interval(lower, width):
    interval = Interval(lower + width / 2, lower, lower + width)
    decision = decide(LOWER, 10.0, baselines={"baseline mean": Interval(3.0, 2.0, 4.0), "baseline hour": interval})
    assert decision.promote is (lower > 0)
    if lower <= 0:
        assert decision.reasons[0].startswith("the gain in mae over the baseline hour is ")


def test_a_baseline_must_be_beaten_also_where_the_champion_is():
    worse = {"baseline mean": Interval(-1.0, -2.0, 0.0)}
    gain = Interval(2.0, 1.0, 3.0)
    assert not decide(LOWER, 10.0, 12.0, gain, baselines=worse).promote
    assert decide(replace(LOWER, beat_baselines=False), 10.0, 12.0, gain, baselines=worse).promote


@pytest.mark.parametrize("end", NOT_FINITE)
def test_an_interval_over_a_baseline_that_is_not_finite_never_promotes(end):
    assert not decide(LOWER, 5.0, baselines={"baseline mean": Interval(end, 4.0, 6.0)}).promote
    assert not decide(LOWER, 5.0, baselines={"baseline mean": Interval(5.0, end, 6.0)}).promote


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


def test_a_gain_within_the_noise_keeps_the_champion_and_names_the_reason():
    decision = compare(LOWER, challenger=10.0, champion=11.0, noise=2.0)
    assert not decision.promote
    assert "95% interval -1 to 3: not significantly above 0" in decision.reasons[0]


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


def test_a_champion_without_an_interval_is_an_error_of_the_caller():
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


def test_a_slice_in_which_the_metric_is_undefined_for_both_decides_nothing():
    assert compare(HIGHER, 0.9, 0.8, slices=[SliceScore("month", "1", 80, math.nan, math.nan)]).promote
    assert not compare(HIGHER, 0.9, 0.8, slices=[SliceScore("month", "1", 80, math.nan, 0.7)]).promote


def test_a_slice_that_is_worse_within_its_noise_stops_nothing():
    def decision(upper):
        return compare(HIGHER, 0.9, 0.8, slices=[SliceScore("month", "1", 80, 0.1, 0.7, upper)])

    assert decision(0.01).promote
    assert not decision(-0.01).promote


@pytest.mark.parametrize(("groups", "most"), [(5, 0.06), (20, 0.06)])
def test_a_tie_wins_seldom_also_with_few_groups(groups, most):
    random, wins = np.random.default_rng(0), 0
    for seed in range(200):
        shared = np.repeat(random.normal(0, 1, groups), 20)
        actual, noise = np.zeros(groups * 20), random.normal(0, 1, groups * 20)
        new, old = 10 + shared + noise, np.full(groups * 20, 10.0)
        found = paired_bootstrap(
            LOWER.metric, actual, new, old, seed=seed, groups=np.repeat(np.arange(groups), 20), resamples=200
        )
        wins += found.lower > 0
    assert wins / 200 <= most


def test_one_group_gives_no_interval():
    actual, good, bad = regression_rows()
    assert math.isnan(paired_bootstrap(LOWER.metric, actual, good, bad, groups=np.zeros(300)).lower)


def test_resamples_without_a_row_of_the_rare_class_are_left_out():
    actual = np.array([1] + [0] * 59)
    share = np.linspace(0.99, 0.01, 60)
    better, worse = (
        Predictions(actual, np.stack([1 - each, each], axis=1), ("0", "1")) for each in (share, share[::-1])
    )
    found = paired_bootstrap(metric("roc_auc", "classification"), actual, better, worse)
    assert 0 < found.lower <= found.gain <= 1


def test_a_negative_r2_of_the_champion_still_leaves_a_tolerance_on_the_right_side():
    policy = Policy(metric("r2", "regression"), floor=0.0)
    assert compare(policy, 0.5, 0.4, slices=[SliceScore("month", "1", 50, -0.21, -0.20)]).promote
    assert not compare(policy, 0.5, 0.4, slices=[SliceScore("month", "1", 50, -0.23, -0.20)]).promote


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
    predicted = Predictions(np.roll(actual, 1), np.eye(3)[np.roll(actual, 1)] * 0.7 + 0.1, ("0", "1", "2"))
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
    drawn = np.random.default_rng(5).integers(60, size=(50, 60))
    gains = [
        f1_score(actual[rows], new[rows], average="macro") - f1_score(actual[rows], old[rows], average="macro")
        for rows in drawn
    ]
    assert (found.lower, found.upper) == pytest.approx(tuple(np.quantile(gains, [0.025, 0.975])))


def test_groups_are_drawn_whole_and_single_rows_are_groups_of_one():
    actual, good, bad = regression_rows()
    alone = paired_bootstrap(LOWER.metric, actual, good, bad, groups=np.arange(300))
    single = paired_bootstrap(LOWER.metric, actual, good, bad)
    assert (alone.gain, alone.lower, alone.upper) == pytest.approx((single.gain, single.lower, single.upper))
    # The same rows ten times are no more evidence than once.
    many = [np.repeat(each, 10) for each in (actual, good, bad)]
    grouped = paired_bootstrap(LOWER.metric, *many, groups=np.repeat(np.arange(300), 10))
    assert (grouped.gain, grouped.lower, grouped.upper) == pytest.approx((alone.gain, alone.lower, alone.upper))
    single = paired_bootstrap(LOWER.metric, *many)
    assert single.upper - single.lower < 0.5 * (grouped.upper - grouped.lower)


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
        (settings(beat_baselines="no"), "promotion.beat_baselines: 'no' must be true or false"),
        (settings(incomparable_champion="go"), "promotion.incomparable_champion: 'go' must be stop or replace"),
        (settings(flor=3), "promotion.flor: unknown; the keys are beat_baselines, incomparable_champion, floor"),
        ({"evaluation": {"metric": "mae"}, "promotion": {}}, "promotion.floor: missing"),
        ({"evaluation": {"metric": "mae"}}, "promotion: this section is missing"),
        ({"evaluation": {"metric": "mape"}, "promotion": {"floor": 1}}, "'mape' is not a regression metric"),
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
    with pytest.raises(StepError) as error:
        Policy.from_settings(broken, "regression")
    assert line in str(error.value)
    assert "\n" not in str(error.value)
