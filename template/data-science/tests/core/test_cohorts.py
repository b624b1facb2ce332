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


def test_rows_without_a_value_are_a_slice_of_their_own():
    frame = pd.DataFrame({"carrier": ["AA", None, "AA"], "wind": [1.5, np.nan, 2.5]})
    assert cohorts.slice_groups(frame, "carrier").to_list() == ["AA", "missing", "AA"]
    assert cohorts.slice_groups(frame, "wind").to_list() == ["1.5", "missing", "2.5"]


def test_equal_opportunity_of_three_classes_needs_the_one_that_is_the_good_outcome():
    names, rows = ["a", "b", "c"], np.array(["a", "b", "c"] * 4)
    schema = SimpleNamespace(classes=tuple(names), positive=None)
    limited = Fairness((("carrier",),), max_equal_opportunity_difference=0.1)
    with pytest.raises(StepError, match=r"fairness\.positive: missing; name the good outcome, one of a"):
        cohorts.outcome_measures(limited, schema, rows, rows)
    assert len(cohorts.outcome_measures(replace(limited, positive="b"), schema, rows, rows)) == 2
    without = cohorts.outcome_measures(Fairness((("carrier",),)), schema, rows, rows)
    assert [each.metric.label for each in without] == [f"share of rows predicted as {name}" for name in names]
