"""Error analysis, explanations and the page: on rows of which the truth is known."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from helpers import Page, module
from hypothesis import given
from hypothesis import strategies as st

errors, explanations, dashboard = (module(f"responsible_ai.{name}") for name in ("errors", "explanations", "dashboard"))
Table, EMBEDDING = module("responsible_ai.table").Table, module("responsible_ai.table").EMBEDDING
StepError = module("core.step").StepError

CHOICES = {"depth": 3, "minimum_rows": 20, "confidence": 0.95}


def rows(count: int = 400, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "paper": random.choice(["white", "grey", "carbon"], count, p=[0.5, 0.3, 0.2]),
            "brightness": random.random(count),
            "contrast": random.normal(0, 1, count),
        }
    )


def embedding(count: int = 400, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3))


def groups(table, wrong, units=None, seed=13, **choices):
    """Return what the error analysis finds in these rows."""
    units = np.arange(len(wrong)) if units is None else units
    return errors.error_cohorts(table, wrong, errors.Halves.of(units, wrong, seed), **(CHOICES | choices))


def chances(probability: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(len(probability)) < probability


# --- the table


def test_categories_missing_values_and_the_embedding_become_numbers() -> None:
    frame = pd.DataFrame(
        {
            "paper": ["white", None, "grey", "white"],
            "width": [8.0, np.nan, 9.0, np.inf],
            "flash": [True, False, True, True],
            "file": ["a", "b", "c", "d"],
            "same": [1, 1, 1, 1],
        }
    )
    table = Table.of(frame.assign(file=[f"{n}" for n in range(4)]), np.ones((4, 2)))
    found = dict(zip(table.conditions, table.values.T.tolist(), strict=True))
    assert found[("paper", "missing")] == [0, 1, 0, 0]
    assert found[("width", None)] == [8, 8.5, 9, 8.5]
    assert found[("width", "missing")] == [0, 1, 0, 1]
    assert found[("flash", "True")] == [1, 0, 1, 1]
    assert ("same", None) not in found
    assert table.blocks[f"{EMBEDDING} (all 2)"] == [len(found) - 2, len(found) - 1]
    assert np.isfinite(table.values).all()


def test_a_text_with_another_value_in_each_row_tells_no_groups_apart() -> None:
    frame = pd.DataFrame({"file": [f"{number}.png" for number in range(50)], "paper": ["white", "grey"] * 25})
    assert list(Table.of(frame, None).blocks) == ["paper"]


# --- error analysis


def test_a_group_with_planted_errors_is_found_named_and_confirmed() -> None:
    frame = rows()
    wrong = chances(np.where(frame["paper"] == "carbon", 0.5, 0.03), 2)
    first, *others = groups(Table.of(frame, embedding()), wrong)
    assert first.rule == "paper is carbon"
    assert first.confirmed
    assert first.lower < first.rate < first.upper
    assert first.others < 0.1 < first.lower
    assert first.share > 0.6
    assert not any(each.confirmed for each in others)
    assert (first.members == (frame["paper"] == "carbon")).all()


def test_a_group_of_two_conditions_is_found() -> None:
    frame = rows(2000)
    planted = (frame["paper"] == "white") & (frame["brightness"] < 0.3)
    first = groups(Table.of(frame, None), chances(np.where(planted, 0.6, 0.02), 3))[0]
    assert first.confirmed
    assert "paper is white" in first.rule
    assert "brightness up to 0." in first.rule
    assert (first.members == planted).mean() > 0.97


@pytest.mark.parametrize("rate", [0.05, 0.3])
def test_random_errors_confirm_a_group_no_more_often_than_the_confidence_allows(rate: float) -> None:
    found = candidates = 0
    for seed in range(60):
        frame = rows(300, seed)
        tried = groups(Table.of(frame, embedding(300, seed)), chances(np.full(300, rate), seed + 1000), seed=seed)
        candidates += bool(tried)
        found += any(each.confirmed for each in tried)
    assert candidates > 40  # the tree does find groups in noise ...
    assert found <= 6  # ... of 60, 3 are expected at most; more than 6 have a probability of 3 %


def test_errors_of_a_few_units_with_many_rows_are_not_taken_for_those_of_a_group() -> None:
    claimed = naive = 0
    for seed in range(40):
        random = np.random.default_rng(seed)
        patients = np.repeat(np.arange(16), 30)
        frame = pd.DataFrame({"camera": random.choice(["old", "new"], 16)[patients], "noise": random.random(480)})
        wrong = (random.random(16) < 0.25)[patients]  # all pictures of a patient, or none
        table = Table.of(frame, None)
        claimed += any(each.confirmed for each in groups(table, wrong, units=patients, seed=seed))
        naive += any(each.confirmed for each in groups(table, wrong, seed=seed))
    assert claimed <= 4
    assert naive > 10  # as if each row stood for itself


def test_rows_of_a_unit_are_in_the_same_half_and_errors_in_both() -> None:
    units, wrong = np.repeat(np.arange(40), 3), np.repeat(np.arange(40) < 6, 3)
    finding = errors.Halves.of(units, wrong, 5).finding
    assert all(len(set(finding[units == unit])) == 1 for unit in range(40))
    assert finding[wrong].mean() == 0.5
    assert (finding != errors.Halves.of(units, wrong, 6).finding).any()


def test_without_errors_or_without_anything_known_there_is_no_group() -> None:
    frame = rows(100)
    assert groups(Table.of(frame, None), np.zeros(100, dtype=bool)) == []
    assert groups(Table.of(frame, None), np.ones(100, dtype=bool)) == []
    assert groups(Table.of(frame[[]], None), chances(np.full(100, 0.3), 1)) == []


def test_few_rows_are_no_error_and_confirm_nothing() -> None:
    frame = rows(6)
    assert not any(each.confirmed for each in groups(Table.of(frame, None), np.arange(6) < 2, minimum_rows=4))


@given(st.integers(1, 60), st.floats(0, 1))
def test_an_interval_holds_its_share(rows: int, share: float) -> None:
    lower, upper = errors.clopper_pearson(share * rows, rows, 0.95)
    assert 0 <= lower <= share + 1e-9
    assert share - 1e-9 <= upper <= 1


def test_the_interval_is_that_of_the_exact_test() -> None:
    from scipy.stats import binomtest

    known = binomtest(3, 20).proportion_ci(0.95, "exact")
    assert errors.clopper_pearson(3, 20, 0.95) == pytest.approx((known.low, known.high))


def test_p_values_are_corrected_for_the_number_of_tests() -> None:
    assert errors.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert errors.holm([0.9, 0.8]) == [1.0, 1.0]
    assert errors.holm([]) == []


def test_the_heat_map_counts_rows_and_errors_of_each_cell() -> None:
    frame = pd.DataFrame({"paper": ["white", "white", "grey", "grey"], "pen": ["blue", "red", "red", "red"]})
    found = errors.heat_map(frame, ("paper", "pen"), np.array([True, False, True, False]))
    assert found.rows == ["grey", "white"]
    assert found.across == ["blue", "red"]
    assert found.cells == [[(0, 0), (2, 1)], [(1, 1), (1, 0)]]
    with pytest.raises(StepError, match=r"responsible_ai\.heat_map: the data have no column 'ink'"):
        errors.heat_map(frame, ("paper", "ink"), np.zeros(4, dtype=bool))


# --- explanations


def surrogates(frame, predicted, wrong, seed=13, vectors=None):
    table, units = Table.of(frame, vectors), np.arange(len(wrong))
    common = (errors.Halves.of(units, wrong, seed), 0.95)
    return (
        explanations.prediction_surrogate(table, predicted, *common),
        explanations.error_surrogate(table, wrong, *common),
    )


def test_what_moves_predictions_and_errors_comes_first_and_the_agreement_is_stated() -> None:
    frame, vectors = rows(600), embedding(600)
    predicted = np.where(vectors[:, 0] > 0, "seven", "one")
    wrong = chances(np.where(frame["paper"] == "carbon", 0.6, 0.02), 4)
    of_predictions, of_errors = surrogates(frame, predicted, wrong, vectors=vectors)
    assert of_predictions.importance[0].block == "embedding (all 3)"
    assert of_predictions.agreement > 0.9 > of_predictions.chance
    assert of_predictions.rows == 300
    assert of_errors.importance[0].block == "paper"
    assert of_errors.agreement > 0.8
    assert of_errors.chance == 0.5
    assert of_errors.gain.lower > 0


def test_a_surrogate_that_agrees_no_more_than_chance_explains_nothing() -> None:
    explained = 0
    for seed in range(10):
        random = np.random.default_rng(seed)
        both = surrogates(rows(200, seed), random.choice(["a", "b"], 200), random.random(200) < 0.3, seed)
        explained += sum(bool(each.importance) for each in both)
        assert all(each.note or each.importance for each in both)
    assert explained <= 3


def test_one_predicted_class_and_a_few_errors_are_said_instead_of_explained() -> None:
    of_predictions, of_errors = surrogates(rows(100), np.full(100, "one"), np.arange(100) < 6)
    assert of_predictions.note == "the model predicts the same class for all rows"
    assert of_errors.note == "3 errors in half of the rows are too few; 5 are needed"
    nearly = surrogates(rows(100), np.full(100, "one"), np.arange(100) < 96)[1]
    assert nearly.note == "2 right predictions in half of the rows are too few; 5 are needed"


def test_typical_rows_are_those_in_the_middle_of_the_chosen_ones() -> None:
    space = np.array([[0.0], [1.0], [2.0], [3.0], [100.0]])
    assert explanations.typical(space, np.array([True, True, True, False, False]), 2).tolist()[0] == 1
    assert len(explanations.typical(space, np.zeros(5, dtype=bool), 2)) == 0


# --- the page

NASTY = "<script>alert('&')</script>"


def insights(**changes):
    frame = rows(400).assign(paper=lambda each: each["paper"].replace("carbon", NASTY))
    wrong = chances(np.where(frame["paper"] == NASTY, 0.5, 0.05), 2)
    of_predictions, of_errors = surrogates(frame, frame["paper"], wrong)
    scores = tuple(
        module("core.metrics").SliceScore("paper", paper, 100, score) for paper, score in (("white", 0.9), (NASTY, 0.4))
    )
    accuracy = module("core.metrics").metric("accuracy", "classification")
    content = {
        "model": "digits version 3",
        "created": "22 November 2026, 02:00 UTC",
        "target": "digit",
        "rows": 500,
        "analysed": 400,
        "errors": int(wrong.sum()),
        "components": 8,
        "minimum_rows": 20,
        "confidence": 0.95,
        "groups": groups(Table.of(frame, None), wrong),
        "heat_map": errors.heat_map(frame, ("paper", "brightness"), wrong),
        "cohorts": [module("core.fairness").Cohorts("paper", accuracy, scores, 50, worst=0.5)],
        "predictions": of_predictions,
        "mistakes": of_errors,
        "typical": [dashboard.Example(NASTY, "7", "1")],
        "exhibits": [],
    }
    return dashboard.Insights(**(content | changes))


def test_the_page_is_one_file_with_every_finding_and_is_well_formed() -> None:
    text = dashboard.build(insights())
    page = Page(text)
    assert "<script" not in text
    assert not [each for tag in ("link", "img", "script", "iframe") for each in page.all(tag)]
    assert page.text("h2") == [
        "✗ Some groups are worse off",
        "Where are the errors?",
        "Typical errors",
        "Fairness by cohort",
        "What moves the predictions",
        "What moves the errors",
    ]
    assert f"paper is {NASTY}" in page.text("h3")
    assert any("beyond the limit of 0.5" in line for line in page.text("li"))
    ids = [each["id"] for name, each, _ in page.elements if "id" in each]
    assert len(ids) == len(set(ids))
    assert len(text) < 500_000


def test_the_page_of_a_model_without_errors_says_so() -> None:
    none = explanations.Surrogate(insights().predictions.metric, 200, note="there is none")
    quiet = {"groups": [], "errors": 0, "heat_map": None, "cohorts": [], "typical": [], "mistakes": none}
    page = Page(dashboard.build(insights(**quiet, components=0)))
    assert page.text("h2")[0] == "✓ No group stands out"
    assert any("No row is wrong." in line for line in page.text("p"))
    assert any("The model has no embedding" in line for line in page.text("p"))


def test_the_json_has_the_numbers_of_the_page() -> None:
    found = insights()
    document = json.loads(json.dumps(dashboard.document(found), allow_nan=True))
    first = document["error_analysis"][0]
    assert first["rule"] == f"paper is {NASTY}"
    assert first["rate"] == found.groups[0].errors / found.groups[0].rows
    assert document["fairness"]["holds"] is False
    assert document["explanations"]["errors"]["importance"][0]["block"] == "paper"
    text = dashboard.build(found)
    assert f"{100 * first['rate']:.1f} %" in text


def test_the_summary_ends_with_everything_in_one_line_of_plain_letters() -> None:
    lines = dashboard.summary(insights(model="zählt version 3")).splitlines()
    assert lines[-1].startswith("z?hlt version 3: ")
    assert lines[-1].endswith("1 group has more errors; 1 of 1 fairness limits broken")
    quiet = dashboard.summary(insights(groups=[], cohorts=[])).splitlines()
    assert quiet[-1].endswith("rows are wrong; no group has more errors")


def test_a_group_without_rows_in_the_other_half_has_no_rate() -> None:
    empty = errors.ErrorCohort("x is y", np.zeros(4, dtype=bool), 0, 0, 0.0, 1.0, math.nan, 0.0, 1.0, False)
    assert math.isnan(empty.rate)
    assert "x is y" in dashboard.build(insights(groups=[empty]))
