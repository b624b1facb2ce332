"""Drift: the same world never drifts, another one always does."""

import math

import numpy as np
import pandas as pd
import pytest
from helpers import module
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

Column, Schema = module("core.schema").Column, module("core.schema").Schema
StepError = module("core.step").StepError
distances = module("core.distances")
ALPHA, METRICS, MINIMUM_ROWS, P_VALUES = (
    distances.ALPHA, distances.METRICS, distances.MINIMUM_ROWS, distances.P_VALUES
)
check, prediction_samples = distances.check, distances.prediction_samples

THRESHOLDS = {
    "numerical": {
        "jensen_shannon_distance": 0.2,
        "normalized_wasserstein_distance": 0.2,
        "population_stability_index": 0.2,
        "two_sample_kolmogorov_smirnov_test": 0.001,
    },
    "categorical": {
        "jensen_shannon_distance": 0.2,
        "population_stability_index": 0.2,
        "pearsons_chi_squared_test": 0.001,
    },
}
COLUMNS = {
    "temperature": Column("temperature", "number"),
    "carrier": Column("carrier", "category"),
    "weekend": Column("weekend", "boolean"),
}
NUMBERS = hnp.arrays(float, st.integers(1, 60), elements=st.floats(-1e150, 1e150) | st.just(math.nan))
LABELS = st.lists(st.sampled_from(["", "a", "b", "c", "long name"]), min_size=1, max_size=60).map(
    lambda labels: np.array(labels, dtype=object)
)
SYMMETRIC = [
    (kind, name) for kind, group in METRICS.items() for name in group if name != "normalized_wasserstein_distance"
]


def rows(count=400, seed=0):
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "y": random.normal(size=count),
            "temperature": random.normal(50, 10, count),
            "carrier": random.choice(["AA", "DL", "UA"], count),
            "weekend": random.random(count) < 0.3,
            "note": "never compared",
        }
    )


def drifted(reference, current, thresholds=THRESHOLDS):
    return set(check(reference, current, COLUMNS, thresholds).drifted)


def samples(kind):
    return NUMBERS if kind == "numerical" else LABELS


def test_two_samples_of_the_same_world_do_not_drift():
    assert drifted(rows(seed=0), rows(seed=1)) == set()


def test_every_metric_of_every_feature_is_reported_and_nothing_else():
    results = check(rows(), rows(), COLUMNS, THRESHOLDS).results
    expected = [("temperature", name) for name in METRICS["numerical"]]
    expected += [(feature, name) for feature in ("carrier", "weekend") for name in METRICS["categorical"]]
    assert [(each.feature, each.metric) for each in results] == expected


@pytest.mark.parametrize("metric", METRICS["numerical"])
def test_a_shifted_number_drifts_under_every_metric(metric):
    shifted = rows(seed=1).assign(temperature=lambda frame: frame["temperature"] + 15)
    assert drifted(rows(), shifted, {"numerical": {metric: THRESHOLDS["numerical"][metric]}}) == {"temperature"}


@pytest.mark.parametrize("metric", METRICS["categorical"])
def test_a_shifted_category_drifts_under_every_metric(metric):
    shifted = rows(seed=1).assign(carrier=lambda frame: frame["carrier"].where(frame.index % 2 == 0, "AA"))
    assert drifted(rows(), shifted, {"categorical": {metric: THRESHOLDS["categorical"][metric]}}) == {"carrier"}


@pytest.mark.parametrize("metric", METRICS["categorical"])
def test_a_new_category_drifts_under_every_metric(metric):
    shifted = rows(seed=1).assign(carrier="never seen")
    assert drifted(rows(), shifted, {"categorical": {metric: THRESHOLDS["categorical"][metric]}}) == {"carrier"}


def test_without_its_threshold_a_metric_decides_nothing():
    shifted = rows(seed=1).assign(temperature=1000.0)
    assert drifted(rows(), shifted, {"numerical": {}, "categorical": None}) == set()
    assert drifted(rows(), shifted, {"numerical": {"jensen_shannon_distance": 2.0}}) == set()


@given(shift=st.floats(25, 1e6), seed=st.integers(0, 20))
def test_a_column_that_moved_out_of_its_range_always_drifts(shift, seed):
    reference = rows(100, seed)
    span = reference["temperature"].max() - reference["temperature"].min()
    assert drifted(reference, reference.assign(temperature=lambda frame: frame["temperature"] + span + shift)) == {
        "temperature"
    }


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, group in METRICS.items() for name in group])
@given(data=st.data())
def test_the_same_values_in_any_order_are_no_drift(kind, name, data):
    values = data.draw(samples(kind))
    value = METRICS[kind][name].value(values, np.array(data.draw(st.permutations(list(values))), dtype=values.dtype))
    assert value == pytest.approx(1.0 if name in P_VALUES else 0.0, abs=1e-6)


@pytest.mark.parametrize(("kind", "name"), SYMMETRIC)
@given(data=st.data())
def test_it_does_not_matter_which_sample_comes_first(kind, name, data):
    one, other = data.draw(samples(kind)), data.draw(samples(kind))
    assert METRICS[kind][name].value(one, other) == pytest.approx(METRICS[kind][name].value(other, one), abs=1e-9)


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, group in METRICS.items() for name in group])
@given(data=st.data())
def test_distances_are_never_negative_and_p_values_stay_between_0_and_1(kind, name, data):
    value = METRICS[kind][name].value(data.draw(samples(kind)), data.draw(samples(kind)))
    assert value >= 0
    assert value <= 1 + 1e-9 or name not in P_VALUES | {"jensen_shannon_distance"}


@pytest.mark.parametrize("metric", ["jensen_shannon_distance", "population_stability_index"])
def test_a_column_that_starts_to_miss_values_drifts(metric):
    holes = rows(seed=1)
    holes.loc[holes.index % 2 == 0, ["temperature", "carrier"]] = None
    limits = {kind: {metric: 0.2} for kind in METRICS}
    assert drifted(rows(), holes, limits) == {"temperature", "carrier"}


@pytest.mark.parametrize("metric", METRICS["numerical"])
def test_a_number_that_vanished_drifts_under_every_metric(metric):
    limits = {"numerical": {metric: THRESHOLDS["numerical"][metric]}}
    assert drifted(rows(), rows().assign(temperature=math.nan), limits) == {"temperature"}
    assert drifted(rows(), rows().drop(columns="temperature"), limits) == {"temperature"}


def test_a_column_that_was_always_empty_is_no_drift():
    empty = rows().assign(temperature=math.nan, carrier=None)
    assert drifted(empty, empty) == set()


def test_a_constant_column_drifts_only_when_its_value_changes():
    constant = rows().assign(temperature=20.0, carrier="AA")
    assert drifted(constant, constant) == set()
    assert drifted(constant, constant.assign(temperature=20.5, carrier="DL")) == {"temperature", "carrier"}


@pytest.mark.parametrize("count", [1, MINIMUM_ROWS - 1])
def test_a_handful_of_rows_is_measured_and_never_called_drift(count):
    tiny = rows(count).assign(temperature=1e6)
    drift = check(rows(), tiny, COLUMNS, THRESHOLDS)
    assert len(drift.results) == 10
    assert drift.drifted == []
    assert not drift.enough


def test_the_largest_numbers_there_are_do_not_overflow():
    extreme = rows().assign(temperature=np.where(np.arange(400) % 2, -1.7e308, 1.7e308))
    assert drifted(extreme, extreme) == set()
    assert drifted(extreme, extreme.assign(temperature=1.7e308)) == {"temperature"}


def test_text_that_is_not_a_number_counts_as_missing():
    spoiled = rows().assign(temperature="n/a")
    assert "temperature" in drifted(rows(), spoiled)


def test_booleans_are_the_same_however_they_are_stored():
    reference = rows()
    for stored in (reference["weekend"].astype(float), reference["weekend"].astype(str).str.lower()):
        assert drifted(reference, reference.assign(weekend=stored)) == set()


@pytest.mark.parametrize(
    ("limits", "line"),
    [
        ({"numeric": {}}, "drift.numeric: unknown"),
        ({"numerical": {"pearsons_chi_squared_test": 0.1}}, "pearsons_chi_squared_test: unknown metric; choose from"),
        ({"categorical": {"jensen_shannon_distance": "low"}}, "'low' must be a number"),
    ],
)
def test_wrong_thresholds_are_refused_in_one_line(limits, line):
    with pytest.raises(StepError, match=line):
        check(rows(), rows(), COLUMNS, limits)
