"""The step drift: texts that drifted are a failed run. And the check itself, on the data of this project."""

import pytest
from helpers import write_files
from samples import SCHEMA, SETTINGS, table, texts
from step_runs import prepare_once
from text_samples import write_texts


@pytest.fixture(scope="module")
def prepared_once(store, tmp_path_factory):
    """The small project after prep, with more texts."""
    return prepare_once(write_texts(tmp_path_factory.mktemp("texts"), SCHEMA, table(400), SETTINGS), store)


def check(production, rows):
    rows.to_csv(production.folder / "later.csv", index=False)
    production.check()


def test_the_step_passes_when_production_looks_like_training(production, capsys):
    check(production, table(100, seed=3))
    assert production.found["checked"]
    assert production.found["drifted"] == []
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
def test_texts_of_another_look_are_drift_although_they_have_no_labels(production, capsys, name):
    rows = table(100, seed=3)
    with pytest.raises(SystemExit) as stop:
        check(production, rows.assign(text=[CHANGES[name](text) for text in rows["text"]])[["text"]])
    assert stop.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "columns drifted: " in line
    assert name in production.found["drifted"]


def test_the_step_passes_over_missing_production_data(production, capsys):
    production.check()
    assert production.found["checked"] is False
    assert "to compare" in capsys.readouterr().out


def test_an_empty_text_of_production_is_counted_and_no_drift(production, capsys):
    rows = table(101, seed=3)
    rows.loc[100, "text"] = " "
    check(production, rows)
    assert production.found["drifted"] == []
    assert "1 of 101 texts cannot be used (such as later.csv[100]: it is missing or" in capsys.readouterr().out


def test_texts_that_cannot_be_read_any_more_are_drift(production):
    rows = table(100, seed=3)
    rows.loc[::2, "text"] = ""
    with pytest.raises(SystemExit):
        check(production, rows)
    assert {"words", "script"} <= set(production.found["drifted"])


def test_production_data_may_be_text_files(production):
    files = {f"{place}.txt": text for place, text in enumerate(texts(["sea"] * 40, seed=4, script="arabic"))}
    write_files(production.folder, files)
    with pytest.raises(SystemExit):
        production.check()
    assert "script" in production.found["drifted"]


# --- the data of this project


@pytest.mark.parametrize("count", [50, 200, 905])
def test_at_most_5_percent_of_checks_of_random_texts_report_drift(own_data, count):
    own_data.assert_few_alarms(count, checks=40)


def test_the_measures_of_production_have_hardly_changed_because_its_words_have(own_data):
    if "module" not in own_data.raw:
        pytest.skip("this project has data of its own")
    assert set(own_data.drifted(own_data.raw, own_data.later)) <= {"words", "characters"}
