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
Predictions, StepError = module("core.predictions").Predictions, module("core.step").StepError
distances = module("core.distances")
ALPHA, METRICS, MINIMUM_ROWS, P_VALUES = (
    distances.ALPHA,
    distances.METRICS,
    distances.MINIMUM_ROWS,
    distances.P_VALUES,
)
check, prediction_samples, embedding_samples = (
    distances.check,
    distances.prediction_samples,
    distances.embedding_samples,
)

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
    assert drifted(rows(), shifted, {"numerical": {"jensen_shannon_distance": 1.0}}) == set()


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
    assert drifted(rows().assign(temperature=20.0), rows().assign(temperature=math.nan), limits) == {"temperature"}
    assert drifted(rows(), rows().drop(columns="temperature"), limits) == {"temperature"}


def test_a_column_that_was_always_empty_is_no_drift():
    empty = rows().assign(temperature=math.nan, carrier=None)
    assert drifted(empty, empty) == set()


def test_a_constant_column_drifts_only_when_its_value_changes():
    constant = rows().assign(temperature=20.0, carrier="AA")
    assert drifted(constant, constant) == set()
    assert drifted(constant, constant.assign(temperature=20.5, carrier="DL")) == {"temperature", "carrier"}


# --- chance


def worlds(count, random):
    """Rows of one world: many rare labels, a heavy tail, values that are nearly always missing, and a constant."""
    return pd.DataFrame(
        {
            "route": random.choice([f"R{number}" for number in range(98)], count, p=np.arange(1, 99) / 4851),
            "delay": random.lognormal(0, 1.5, count),
            "gust": np.where(random.random(count) < 0.9, math.nan, random.normal(20, 5, count)),
            "speed": random.normal(10, 3, count),
            "terminal": "T1",
        }
    )


WORLD = {
    "route": Column("route", "category"),
    "delay": Column("delay", "number"),
    "gust": Column("gust", "number"),
    "speed": Column("speed", "number"),
    "terminal": Column("terminal", "category"),
}


@pytest.mark.parametrize("count", [30, 100, 500])
def test_at_most_5_percent_of_checks_report_drift_where_only_chance_differs(count):
    random = np.random.default_rng(count)
    checks = [check(worlds(600, random), worlds(count, random), WORLD, THRESHOLDS) for _ in range(20)]
    assert sum(bool(each.drifted) for each in checks) <= ALPHA * len(checks)
    # Else there would be nothing to tell apart: most of these samples are beyond a threshold.
    assert count > 100 or all(any(part.value > part.threshold for part in each.results) for each in checks)


@pytest.mark.parametrize(
    ("metric", "scale"), [("jensen_shannon_distance", 8 * math.log(2)), ("population_stability_index", 1)]
)
def test_the_noise_is_what_theory_expects_of_large_samples(metric, scale):
    random = np.random.default_rng(0)
    reference, current = (pd.DataFrame({"x": random.choice(list("abcdefgh"), size)}) for size in (9000, 3000))
    [result] = check(reference, current, {"x": Column("x", "category")}, {"categorical": {metric: 0.2}}).results
    expected = 7 * (1 / 9000 + 1 / 3000) / scale
    assert result.noise ** METRICS["categorical"][metric].order == pytest.approx(expected, rel=0.15)


def test_a_distance_that_chance_explains_has_no_excess_and_a_real_one_keeps_its_size():
    random = np.random.default_rng(1)
    limits = {"categorical": {"jensen_shannon_distance": 0.2}}
    [same] = check(worlds(2000, random), worlds(100, random), {"route": WORLD["route"]}, limits).results
    assert same.value > same.threshold
    assert same.excess < 0.15
    moved = worlds(2000, random).assign(route="R1")
    [other] = check(worlds(2000, random), moved, {"route": WORLD["route"]}, limits).results
    assert other.excess == pytest.approx(other.value, rel=0.01)


def test_a_small_change_is_no_drift_although_it_is_certain_and_chance_adds_to_it():
    random = np.random.default_rng(6)
    reference, current = worlds(2000, random), worlds(300, random)
    current.loc[:19, "route"] = "R1"
    limits = {"categorical": {"jensen_shannon_distance": 0.2}}
    [result] = check(reference, current, {"route": WORLD["route"]}, limits).results
    assert result.p_value < ALPHA
    assert result.excess < result.threshold < result.value
    assert not result.drifted


def test_a_shift_of_a_heavy_tail_drifts_by_its_size_and_not_by_its_shape():
    random = np.random.default_rng(2)
    reference, current = worlds(2000, random), worlds(500, random)
    current["delay"] += reference["delay"].std() / 2
    results = check(reference, current, {"delay": WORLD["delay"]}, THRESHOLDS).results
    verdict = {each.metric: each.drifted for each in results}
    assert verdict["normalized_wasserstein_distance"]
    assert not verdict["jensen_shannon_distance"]


@pytest.mark.parametrize("metric", METRICS["numerical"])
def test_a_sample_without_one_of_the_rare_values_is_no_drift(metric):
    rare = rows().assign(temperature=np.where(np.arange(400) < 8, 20.0, math.nan))
    limits = {"numerical": {metric: THRESHOLDS["numerical"][metric]}}
    assert drifted(rare, rare.head(60).assign(temperature=math.nan), limits) == set()


def test_more_columns_need_stronger_evidence():
    random = np.random.default_rng(3)
    columns = {f"x{number}": Column(f"x{number}", "number") for number in range(120)}
    reference, current = (pd.DataFrame(random.normal(size=(size, 120)), columns=list(columns)) for size in (300, 60))
    limits = {"numerical": {"normalized_wasserstein_distance": 0.1, "two_sample_kolmogorov_smirnov_test": 0.05}}
    assert check(reference, current, columns, limits).drifted == []
    drift = check(reference, current.assign(x7=current["x7"] + 1.5), columns, limits)
    assert drift.drifted == ["x7"]
    assert {each.threshold for each in drift.results} == {0.1, 0.05 / 120}


def test_the_same_samples_give_the_same_result():
    random = np.random.default_rng(4)
    reference, current = worlds(500, random), worlds(200, random)
    assert check(reference, current, WORLD, THRESHOLDS).results == check(reference, current, WORLD, THRESHOLDS).results


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, group in METRICS.items() for name in group])
@given(data=st.data())
def test_the_excess_lies_between_0_and_the_value(kind, name, data):
    column = Column("x", "number" if kind == "numerical" else "category")
    one, other = (pd.DataFrame({"x": data.draw(samples(kind))}) for _ in range(2))
    [result] = check(one, other, {"x": column}, {kind: {name: 0.5}}).results
    assert 0 < result.p_value <= 1
    assert (result.excess is None) == (result.noise is None) == (name in P_VALUES)
    assert result.excess is None or 0 <= result.excess <= result.value


# --- predictions


@pytest.mark.parametrize(
    ("task", "before", "same", "moved"),
    [
        ("regression", np.linspace(0, 9, 300), np.linspace(0, 9, 100), np.linspace(5, 14, 100)),
        ("classification", ["no", "yes", "no"] * 100, ["yes", "no", "no"] * 40, ["yes"] * 100),
        ("classification", np.arange(300) % 2, np.arange(100) % 2, np.zeros(100, dtype=int)),
    ],
)
def test_predictions_drift_like_a_column(task, before, same, moved):
    target = Column("y", "number" if task == "regression" else "category", unit="minutes")
    schema = Schema("y", task, {"y": target, **COLUMNS})
    for after, expected in ((same, []), (moved, ["prediction"])):
        predictions = prediction_samples(schema, Predictions(np.array(before)), Predictions(np.array(after)))
        drift = check(rows(), rows(seed=1), COLUMNS, THRESHOLDS, [predictions])
        assert drift.drifted == expected
        assert [each.feature for each in drift.results][-1] == "prediction"
        assert predictions.column.unit == "minutes"


# --- embeddings


def named(values):
    return pd.DataFrame(values, columns=[f"embedding {place}" for place in range(1, values.shape[1] + 1)])


def embeddings(count, random, components=8):
    """What a network sees in the examples of one world: components of different spread, some of them of two groups."""
    groups = random.random((count, components)) < np.linspace(0, 0.5, components)
    return (random.normal(size=(count, components)) + 3 * groups) * np.linspace(4, 0.5, components)


def embedding_drift(reference, current):
    before, after = (pd.DataFrame(index=range(len(each))) for each in (reference, current))
    return check(before, after, {}, THRESHOLDS, embedding_samples(*map(named, (reference, current))))


def test_at_most_5_percent_of_checks_report_drift_of_an_embedding_that_only_chance_moves():
    random = np.random.default_rng(0)
    checks = [embedding_drift(embeddings(360, random), embeddings(100, random)) for _ in range(20)]
    assert sum(bool(each.drifted) for each in checks) <= ALPHA * len(checks)


@pytest.mark.parametrize("component", [0, 7])
def test_a_component_of_the_embedding_that_moved_drifts_and_the_others_do_not(component):
    random = np.random.default_rng(component)
    reference, current = embeddings(360, random), embeddings(300, random)
    current[:, component] += reference[:, component].std()
    drift = embedding_drift(reference, current)
    assert drift.drifted == [f"embedding {component + 1}"]
    assert [each.column.name for each in drift.samples] == [f"embedding {place}" for place in range(1, 9)]
    assert {each.rows for each in drift.samples} == {"held-out"}


# --- few rows, odd values


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
        (["numerical"], "drift: give thresholds under the keys numerical and categorical"),
        ({"numerical": 0.2}, "drift.numerical: give `metric: threshold` lines; the metrics are jensen"),
        ({"numerical": {"pearsons_chi_squared_test": 0.1}}, "pearsons_chi_squared_test: unknown metric; choose from"),
        ({"categorical": {"jensen_shannon_distance": "low"}}, "'low' must be a number"),
        ({"categorical": {"jensen_shannon_distance": 20}}, "20 must be at least 0 and at most 1"),
        ({"numerical": {"population_stability_index": -1}}, "-1 must be at least 0"),
    ],
)
def test_wrong_thresholds_are_refused_in_one_line(limits, line):
    with pytest.raises(StepError, match=line):
        check(rows(), rows(), COLUMNS, limits)
