"""Fairness: each cohort is judged by itself, whatever the average."""

import math
from dataclasses import replace

import pytest
from helpers import module
from hypothesis import assume, given
from hypothesis import strategies as st
from test_promotion import HIGHER, LOWER, NOT_FINITE, SCORES, compare, settings

SliceScore = module("core.metrics").SliceScore
Cohorts, Fairness = module("core.fairness").Cohorts, module("core.fairness").Fairness
Policy, decide = module("core.promotion").Policy, module("core.promotion").decide


def by_carrier(policy, scores, rows=50, **limits):
    """The cohorts 0, 1, 2 ... of carriers with these scores of the policy's metric."""
    parts = tuple(SliceScore("carrier", str(name), rows, score) for name, score in enumerate(scores))
    return Cohorts("carrier", policy.metric, parts, 50, **limits)


def fairness(task="regression", **section):
    chosen = {"evaluation": {"metric": "mae" if task == "regression" else "accuracy"}, "promotion": {"floor": 0.5}}
    return Policy.from_settings(chosen | {"fairness": section}, task).fairness


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
    assert "no champion is compared, so the floor and the limits on cohorts decide" in decision.reasons


@pytest.mark.parametrize("score", NOT_FINITE)
@pytest.mark.parametrize("limit", [{"worst": 20.0}, {"max_gap": 20.0}, {"max_ratio": 20.0}])
def test_a_cohort_whose_score_is_not_finite_never_passes(score, limit):
    assert not decide(LOWER, 10.0, cohorts=[by_carrier(LOWER, [10.0, score, 12.0], **limit)]).promote


@given(rows=st.integers(1, 49), score=st.floats(0, 1e6))
def test_a_cohort_with_few_rows_decides_nothing(rows, score):
    large, small = by_carrier(LOWER, [10.0, 12.0], worst=15.0, max_gap=3.0), SliceScore("carrier", "small", rows, score)
    assert decide(LOWER, 10.0, cohorts=[replace(large, scores=(*large.scores, small))]).promote


def test_a_limit_that_no_cohort_is_large_enough_for_refuses_and_names_the_reason():
    decision = decide(LOWER, 10.0, cohorts=[by_carrier(LOWER, [10.0, 12.0], rows=49, worst=15.0)])
    assert decision.reasons == ("no cohort by carrier has the 50 rows that are needed to judge its mae",)


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


def test_settings_without_the_section_know_no_cohorts():
    for absent in ({}, {"fairness": None}):
        assert Policy.from_settings(settings() | absent, "regression").fairness == Fairness()


def test_the_limits_on_cohorts_come_from_the_settings_and_an_empty_one_is_none():
    found = fairness(cohorts=["origin", ["origin", "carrier"]], worst=18, max_gap=None, minimum_rows=20)
    assert found == Fairness((("origin",), ("origin", "carrier")), worst=18, minimum_rows=20)
    found = fairness("classification", cohorts=["sex"], positive=True, max_equal_opportunity_difference=0.1)
    assert found == Fairness((("sex",),), positive="True", max_equal_opportunity_difference=0.1)
