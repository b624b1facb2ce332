"""The step drift: texts that drifted are a failed run. And the check itself, on the data of this project."""

import json

import numpy as np
import pytest
from helpers import ROOT, module, write_files
from samples import table, texts

drift, distances, prep = module("drift"), module("core.distances"), module("prep")
Schema, load_settings = module("core.schema").Schema, module("core.settings").load_settings
MODALITY, Examples = module("modality").MODALITY, module("core.modality").Examples


@pytest.fixture
def measured(folders, tmp_path):
    """Run the step on the training texts of the small project and other production data; return drift.json."""
    table(400).to_csv(folders.raw / "texts.csv", index=False)
    prep.main(folders.arguments("raw-data", "schema", "settings", "train-data", "test-data"))
    production, output = tmp_path / "production", tmp_path / "drift"
    production.mkdir()
    arguments = [*folders.arguments("train-data", "schema", "settings"), "--production-data", str(production)]

    def measure(rows):
        if rows is not None:
            rows.to_csv(production / "later.csv", index=False)
        drift.main([*arguments, "--drift", str(output)])

    measure.found = lambda: json.loads((output / "drift.json").read_text(encoding="utf-8"))
    return measure


def test_the_step_passes_when_production_looks_like_training(measured, capsys):
    measured(table(100, seed=3))
    assert measured.found()["checked"]
    assert measured.found()["drifted"] == []
    assert "no drift in 100 rows" in capsys.readouterr().out


CHANGES = {
    "words": lambda text: text + " " + text,
    "upper_case": str.upper,
    "digits": lambda text: text + " 2026 12 31 2027",
    "punctuation": lambda text: text.replace(" ", ", "),
    "symbols": lambda text: text + " \U0001f600" * 6,
    "word_length": lambda text: text.replace("a", "aaaaaa").replace("e", "eeeeee").replace("i", "iiiiii"),
    "other_scripts": lambda text: text + " \u043f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440",
    "script": lambda text: "\u043f\u0440\u0438\u0432\u0435\u0442 " * 30,
    "characters": lambda text: text[:60],
}


@pytest.mark.parametrize("name", CHANGES)
def test_texts_of_another_look_are_drift_although_they_have_no_labels(measured, capsys, name):
    rows = table(100, seed=3)
    with pytest.raises(SystemExit) as stop:
        measured(rows.assign(text=[CHANGES[name](text) for text in rows["text"]])[["text"]])
    assert stop.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "columns drifted: " in line
    assert name in measured.found()["drifted"]


def test_the_step_passes_over_missing_production_data(measured, capsys):
    measured(None)
    assert measured.found()["checked"] is False
    assert "to compare" in capsys.readouterr().out


def test_an_empty_text_of_production_is_counted_and_no_drift(measured, capsys):
    rows = table(101, seed=3)
    rows.loc[100, "text"] = " "
    measured(rows)
    assert measured.found()["drifted"] == []
    assert "1 of 101 texts cannot be used (such as later.csv[100]: it is missing or" in capsys.readouterr().out


def test_texts_that_cannot_be_read_any_more_are_drift(measured):
    rows = table(100, seed=3)
    rows.loc[::2, "text"] = ""
    with pytest.raises(SystemExit):
        measured(rows)
    assert {"words", "script"} <= set(measured.found()["drifted"])


def test_production_data_may_be_text_files(measured, folders, tmp_path):
    files = {f"{place}.txt": text for place, text in enumerate(texts(["sea"] * 40, seed=4, script="arabic"))}
    write_files(tmp_path / "production", files)
    with pytest.raises(SystemExit):
        measured(None)
    assert "script" in measured.found()["drifted"]


# --- the data of this project


@pytest.fixture(scope="module")
def project():
    """Everything that the step reads of this project, with its raw and its production data."""
    schema = Schema.load(ROOT / "data" / "schema.yml", MODALITY.tasks)
    raw, later = (
        MODALITY.describe(MODALITY.read(ROOT / "data" / part, schema), schema) for part in ("raw", "production")
    )
    return raw.frame, later.frame, raw.columns, load_settings(ROOT / "config" / "model.yml")["drift"]


def split(frame, count, random):
    """Return a random part of the rows as the past, and others as what arrived."""
    order = random.permutation(len(frame))
    return frame.iloc[order[count:]], frame.iloc[order[:count]]


@pytest.mark.parametrize(("count", "checks"), [(50, 40), (200, 40), (905, 40)])
def test_at_most_5_percent_of_checks_of_random_texts_report_drift(project, count, checks):
    raw, _, columns, thresholds = project
    if len(raw) < 2 * count:
        pytest.skip("this project has fewer texts")
    random = np.random.default_rng(count)
    found = [distances.check(*split(raw, count, random), columns, thresholds).drifted for _ in range(checks)]
    assert sum(map(bool, found)) <= distances.ALPHA * checks


def test_the_measures_of_production_have_hardly_changed_because_its_words_have(project):
    raw, later, columns, thresholds = project
    if "module" not in raw:
        pytest.skip("this project has data of its own")
    found = distances.check(raw, later, columns, thresholds).drifted
    assert set(found) <= {"words", "characters"}
