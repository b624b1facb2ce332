"""The gate, with two models of the type of data of this project: a better one is promoted, a worse one is refused."""

import pytest


@pytest.mark.usefixtures("drawn")
def test_the_first_model_is_promoted_by_the_floor_and_the_baselines_and_has_a_report(gate):
    decision, report = gate.judge(gate.strong)
    assert decision["promote"] is True, decision
    assert "so the floor and the baselines decide" in " ".join(decision["reasons"])
    assert gate.written("metrics")["champion"] is gate.written("metrics")["gain"] is None
    assert "<path" in report


def test_a_better_model_replaces_the_champion(gate):
    gate.set_champion(gate.weak)
    decision, _ = gate.judge(gate.strong)
    assert (decision["promote"], decision["champion"]) == (True, "champion v1"), decision
    assert gate.written("metrics")["gain"]["lower"] > 0


def test_a_worse_model_is_refused_and_that_is_no_error(gate):
    gate.set_champion(gate.strong)
    decision, _ = gate.judge(gate.weak)
    assert decision["promote"] is False
    [reason] = [each for each in decision["reasons"] if "over the champion is -" in each]
    assert reason.endswith("not significantly above 0")


def test_a_model_that_learned_next_to_nothing_misses_the_floor(gate):
    decision, _ = gate.judge(gate.weak)
    assert decision["promote"] is False
    assert "misses the floor" in decision["reasons"][0]
