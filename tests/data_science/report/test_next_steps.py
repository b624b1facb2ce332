"""What to do next: the outcome decides, and the page, the document and the console say the same."""

import re
from dataclasses import replace

import numpy as np
import pytest
from helpers import Page, module
from test_page import evaluation, report

next_steps = module("report.next_steps").next_steps
documents, promotion = module("report.documents"), module("core.promotion")
SliceScore = module("core.metrics").SliceScore
MANY = 400


def decided(made, **changes):
    """Decide again, after some changes."""
    made = replace(made, **changes)
    name = made.policy.metric.name
    champion = made.scores[made.champion][name] if made.champion else None
    new = made.scores["challenger"][name]
    decision = promotion.decide(made.policy, new, champion, made.interval, made.slices, made.cohorts, made.baselines)
    return replace(made, decision=decision)


def refused(**changes):
    """Return the steps after a refusal for what was changed alone."""
    made = decided(evaluation(production=False, rows=MANY), **changes)
    assert not made.decision.promote
    return next_steps(made)


def interval(gain, lower, upper):
    return promotion.Interval(gain, lower, upper)


def test_a_promoted_model_is_to_be_looked_at_and_delivered():
    made = decided(evaluation(production=False, rows=MANY))
    assert made.decision.promote
    [step] = next_steps(made)
    assert step.startswith("Look at the parts of the data")
    assert "uv run mlops serve" in step


def test_a_promoted_model_that_a_baseline_beats_in_another_metric_needs_a_choice():
    made = evaluation(production=False, rows=MANY)
    scores = {**made.scores, "baseline mean": {**made.scores["baseline mean"], "rmse": 0.01}}
    steps = next_steps(decided(made, scores=scores))
    assert steps[1].startswith("Decide whether rmse matters for your use: there the baseline mean is better.")


def test_below_the_floor_the_model_has_to_improve():
    policy = replace(evaluation().policy, floor=1e-6)
    [step] = refused(policy=policy)
    assert step.startswith("Improve the model until its mae reaches the floor of 0.0000")
    assert "uv run mlops tune" in step
    assert "promotion.floor" in step


def test_a_baseline_that_is_as_good_hints_at_an_error_in_the_data():
    [step] = refused(baselines={"baseline mean": interval(-0.5, -0.9, -0.1)})
    assert step.startswith("Look for an error in data or features first: the baseline mean is at least as good in mae")


@pytest.mark.parametrize(
    ("rival", "changes"),
    [
        ("the baseline mean", {"baselines": {"baseline mean": interval(0.5, -0.1, 1.1)}}),
        ("the champion", {"interval": interval(0.5, -0.1, 1.1)}),
    ],
)
def test_a_gain_that_may_be_luck_needs_more_examples(rival, changes):
    [step] = refused(**changes)
    assert step.startswith(f"Give it more held-out rows: it is better than {rival} by 0.5 in mae, which may be luck")
    assert f"with {MANY} rows" in step


def test_a_worse_model_leaves_the_champion_and_one_that_is_the_same_needs_a_change():
    [worse] = refused(interval=interval(-0.5, -0.9, -0.1))
    assert worse.startswith("Keep the champion, and try something else: `uv run mlops compare`")
    [same] = refused(interval=interval(0.0, 0.0, 0.0))
    assert same.startswith("Change something first: this model predicts the same as the champion.")


def test_a_part_that_got_worse_is_named():
    worse = [SliceScore("carrier", each, 99, 9.0, 1.0) for each in ("AA", "BB", "CC", "DD")]
    [step] = refused(slices=worse)
    assert step.startswith("Look at what is different in carrier=AA, carrier=BB, carrier=CC and 1 more:")


def test_a_score_that_is_not_finite_is_to_be_found_out():
    made = evaluation(production=False, rows=MANY)
    scores = {**made.scores, "challenger": {**made.scores["challenger"], "mae": np.nan}}
    [step] = refused(scores=scores)
    assert step.startswith("Find out why mae is no finite number")


def test_few_held_out_rows_are_said_to_be_few():
    steps = next_steps(decided(evaluation(production=False, rows=120)))
    assert steps[-1].startswith("Collect more examples: 120 held-out rows are few")


def test_drift_asks_for_newer_data_and_few_production_rows_for_patience():
    made = decided(evaluation(rows=MANY))
    steps = next_steps(made)
    assert re.match(r"Train on newer data: \d columns moved since training \(", steps[-1])
    few = replace(made, drift=replace(made.drift, results=[], production_rows=7))
    assert next_steps(few)[-1].startswith("Wait for more production data: 7 rows are too few")


def test_page_document_and_console_say_the_same(monkeypatch):
    made = decided(evaluation(rows=120), interval=interval(0.5, -0.1, 1.1))
    steps = next_steps(made)
    assert len(steps) == 3
    assert documents.documents(made)["decision.json"]["next"] == steps
    assert set(steps) <= set(Page(report.build(made)).text("li"))
    console = documents.summary(made)
    assert all(f"  - {step}" in console for step in steps)
