"""The step evaluate on texts: baselines of the same words, notes of a training, and reports without a text."""

import re
import shutil

import pytest
from helpers import module
from step_runs import change_settings

champion = module("core.champion")


@pytest.mark.parametrize("name", ["naive_bayes", "nearest_centroid"])
def test_a_model_must_be_better_than_a_simple_one_on_the_same_words(gate, name):
    change_settings(gate.folders, "evaluation", baselines=[name])
    decision, report = gate.judge(gate.weak)
    assert decision["promote"] is False
    assert f"baseline {name}" in " ".join(decision["reasons"])
    assert "LATIN" in report


def test_what_a_model_says_of_its_training_is_in_the_report(gate, tmp_path):
    talking = shutil.copytree(gate.strong, tmp_path / "talking")
    champion.write_metadata(talking, {champion.NOTES: ["3 of 9 training texts are cut"]})
    _, report = gate.judge(talking)
    assert "The challenger: 3 of 9 training texts are cut." in report
    assert gate.written("metrics")["notes"] == ["3 of 9 training texts are cut"]
    _, report = gate.judge(gate.strong)
    assert "The challenger:" not in report


@pytest.mark.parametrize("shown", [True, False])
def test_no_text_leaves_the_step_where_examples_are_switched_off(gate, shown, capsys):
    change_settings(gate.folders, "evaluation", examples=shown)
    _, report = gate.judge(gate.strong)
    metrics = (gate.folders.evaluation / "metrics.json").read_text(encoding="utf-8")
    assert ("Worst errors" in report) is shown
    assert ('"errors"' in metrics) is shown
    beginnings = [text[:30] for text in gate.held_out()["text"]]
    assert any(text in re.sub("<[^>]+>", "", report) for text in beginnings) is shown
    printed = capsys.readouterr()
    assert not any(text in metrics + printed.out + printed.err for text in beginnings)
