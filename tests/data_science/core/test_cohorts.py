"""The groups of rows that slices and cohorts are made of."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers import module

cohorts = module("core.cohorts")
Fairness = module("core.fairness").Fairness
StepError = module("core.step").StepError


def test_a_number_with_few_values_is_sliced_by_value_and_one_with_many_into_fifths():
    frame = pd.DataFrame({"month": [2, 10, 1, 2] * 25, "delay": np.arange(100.0)})
    assert list(cohorts.slice_groups(frame, "month").unique().sort_values()) == ["1", "2", "10"]
    assert cohorts.slice_groups(frame, "delay").value_counts().loc[lambda rows: rows > 0].to_list() == [20] * 5


RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize(
    "numbers",
    [
        10 + 90 * RANDOM.random(500),
        RANDOM.integers(10, 120, 500),
        RANDOM.integers(-3_000_000, 9_000_000, 500),
        RANDOM.lognormal(0, 4, 500),
        1e5 + RANDOM.random(500) / 100,
        -(RANDOM.random(500) ** 3),
        np.concatenate([np.zeros(300), np.arange(200)]),
        np.concatenate([np.zeros(400), RANDOM.random(100)]),
    ],
)
def test_the_name_of_a_fifth_is_true_of_all_of_its_numbers_and_of_no_other(numbers):
    groups = cohorts.slice_groups(pd.DataFrame({"x": numbers}), "x")
    ends = {name: [float(end.replace(",", "")) for end in name.split(" to ")] for name in groups.cat.categories[:-1]}
    for name, own in pd.Series(numbers).groupby(groups, observed=True):
        low, high = ends[name][0], ends[name][-1]
        assert low <= own.min() <= own.max() <= high
        others = numbers[(groups != name).to_numpy()]
        assert not ((low < others) & (others <= high)).any()
    assert 1 < groups.nunique() <= 5
    assert list(ends) == sorted(ends, key=ends.get)
    if len(np.unique(numbers)) > 450:
        assert groups.value_counts()[list(ends)].between(94, 106).all()


def test_the_name_of_a_fifth_has_few_digits_and_those_of_integers_do_not_touch():
    numbers = np.linspace(10.0004, 99.98, 200)
    names = cohorts.slice_groups(pd.DataFrame({"x": numbers}), "x").cat.categories
    assert list(names) == ["10 to 28", "28 to 46", "46 to 64", "64 to 82", "82 to 100", "missing"]
    names = cohorts.slice_groups(pd.DataFrame({"x": np.arange(10, 60)}), "x").cat.categories
    assert list(names) == ["10 to 19", "20 to 29", "30 to 39", "40 to 49", "50 to 59", "missing"]


def test_rows_without_a_value_are_a_slice_of_their_own():
    frame = pd.DataFrame({"carrier": ["AA", None, "AA"], "wind": [1.5, np.nan, 2.5]})
    assert cohorts.slice_groups(frame, "carrier").to_list() == ["AA", "missing", "AA"]
    assert cohorts.slice_groups(frame, "wind").to_list() == ["1.5", "missing", "2.5"]
    many = pd.DataFrame({"wind": [np.nan, *np.arange(50.0)]}, index=range(7, 58))
    assert cohorts.slice_groups(many, "wind").iloc[:2].to_list() == ["missing", "0 to 9"]


def test_equal_opportunity_of_three_classes_needs_the_one_that_is_the_good_outcome():
    names, rows = ["a", "b", "c"], np.array(["a", "b", "c"] * 4)
    schema = SimpleNamespace(classes=tuple(names), positive=None)
    limited = Fairness((("carrier",),), max_equal_opportunity_difference=0.1)
    with pytest.raises(StepError, match=r"fairness\.positive: missing; name the good outcome, one of a"):
        cohorts.outcome_measures(limited, schema, rows, rows)
    assert len(cohorts.outcome_measures(replace(limited, positive="b"), schema, rows, rows)) == 2
    without = cohorts.outcome_measures(Fairness((("carrier",),)), schema, rows, rows)
    assert [each.metric.label for each in without] == [f"share of rows predicted as {name}" for name in names]
