"""The step evaluate on summaries: their metrics, the first sentences as a baseline, cohorts, drift by length."""

import json
import re

import pytest
from helpers import Page, module
from samples import SCHEMA, SETTINGS, table
from step_runs import EVALUATE, MODEL_NAME, change_settings, run_prep
from text_samples import LETTERS, write_texts


def test_the_first_model_is_promoted_by_floor_lead_and_cohorts(gate):
    change_settings(gate.folders, "fairness", cohorts=["channel"], worst=0.2, minimum_rows=10)
    decision, report = gate.judge(gate.strong)
    assert decision["promote"] is True, decision
    assert "the floor, the baselines and the limits on cohorts decide" in " ".join(decision["reasons"])
    found = gate.written("metrics")
    assert found["metric"] == "rougeL"
    assert set(found["challenger"]) == {"rouge1", "rouge2", "rougeL"}
    assert found["challenger"]["rougeL"] > found["baselines"]["lead"]["rougeL"]
    assert {each["column"] for each in found["slices"]} == {"channel", "words"}
    page = Page(report)
    assert "Scores of the rows" in page.text("h2")
    assert "Right and wrong classes" not in page.text("h2")
    assert "Summaries by length of the text" in page.text("h2")


def test_a_model_that_is_no_better_than_the_first_sentences_is_refused(gate):
    change_settings(gate.folders, "promotion", floor=0.0)
    decision, _ = gate.judge(gate.weak)
    assert decision["promote"] is False
    assert "over the baseline lead" in " ".join(decision["reasons"])


def test_a_cohort_whose_summaries_are_bad_stops_a_model(gate):
    change_settings(gate.folders, "fairness", cohorts=["channel"], worst=0.99, minimum_rows=10)
    decision, _ = gate.judge(gate.strong)
    assert decision["promote"] is False
    assert "cohort channel=" in " ".join(decision["reasons"])


def test_the_length_of_the_summaries_joins_the_drift(gate, tmp_path):
    production = tmp_path / "production"
    production.mkdir()
    rows = table(80, seed=5)[["text"]]
    rows["text"] = [" ".join(text.split(". ")[0] for text in rows["text"][:9])] * 80
    rows.to_csv(production / "later.csv", index=False)
    gate.judge(gate.strong, "--production-data", str(production))
    found = gate.written("drift")
    assert "length of prediction" in found["drifted"]
    assert "prediction" not in {each["feature"] for each in found["results"]}


@pytest.mark.parametrize("shown", [True, False])
def test_no_text_leaves_the_step_where_examples_are_switched_off(gate, shown, capsys):
    change_settings(gate.folders, "evaluation", examples=shown)
    _, report = gate.judge(gate.strong)
    found = (gate.folders.evaluation / "metrics.json").read_text(encoding="utf-8")
    assert ("Examples of summaries" in report) is shown
    frame = gate.held_out()
    for texts in (frame["text"], frame["gist"]):
        beginnings = [text[:30] for text in texts]
        assert any(text in re.sub("<[^>]+>", "", report) for text in beginnings) is shown
        printed = capsys.readouterr()
        assert not any(text in found + printed.out + printed.err for text in beginnings)


def test_own_texts_in_another_script_need_nothing_but_schema_and_settings(tmp_path, folders):
    names = {"gist": "abstract", "channel": "desk"}
    columns = {names.get(name, name): column for name, column in SCHEMA["columns"].items()}
    settings = SETTINGS | {"promotion": SETTINGS["promotion"] | {"beat_baselines": True}}
    settings["evaluation"] = SETTINGS["evaluation"] | {"slices": ["desk"]}
    schema = {**SCHEMA, "target": "abstract", "columns": columns}
    for script in set(LETTERS) - {"latin"}:
        (tmp_path / script).mkdir()
        made = write_texts(tmp_path / script, schema, table(200, script=script).rename(columns=names), settings)
        run_prep(made)
        module("train").main(made.arguments("train-data", "schema", "settings", "model"))
        module("evaluate").main([*made.arguments(*EVALUATE), "--model-name", MODEL_NAME])
        decision = json.loads((made.evaluation / "decision.json").read_text(encoding="utf-8"))
        assert decision["promote"] is True, (script, decision)
