"""The step prep: texts with their summaries, and what stops it."""

import json

import pandas as pd
import pytest
from helpers import write_files
from samples import SCHEMA, SETTINGS, table
from step_runs import prep_error, run_prep
from text_samples import replace_raw, write_texts


def test_each_text_is_on_one_side_with_its_summary_and_its_measures(folders):
    train, test = run_prep(folders)
    both = pd.concat([train, test])
    assert both.set_index("text")["gist"].to_dict() == table().set_index("text")["gist"].to_dict()
    assert 15 < len(test) < 50
    assert both["words"].min() > 20


def test_texts_and_summaries_may_have_lines_and_quotation_marks(folders):
    rows = table().assign(text=[f'He said:\r\n"{text}",\nand left.' for text in table()["text"]])
    rows["gist"] = [f'"{gist}",\nhe said' for gist in rows["gist"]]
    replace_raw(folders, rows)
    both = pd.concat(run_prep(folders))
    assert set(both["gist"]) == set(rows["gist"])


def test_the_same_text_may_have_two_summaries_which_stay_on_one_side(folders):
    replace_raw(folders, pd.concat([table(), table().assign(gist="in other words")]))
    train, test = run_prep(folders)
    assert len(train) + len(test) == 240
    assert not set(train["text"]) & set(test["text"])


def test_a_missing_summary_stops_prep_with_the_share_that_would_allow_it(folders, capsys):
    replace_raw(folders, pd.concat([table(), table(2, seed=9).assign(gist=None)]))
    assert "gist: 2 missing values (`missing: 0.02` would allow it)" in prep_error(folders, capsys)


def test_texts_without_a_summary_are_left_out_where_the_schema_allows_them(tmp_path, folders, capsys):
    (tmp_path / "some").mkdir()
    columns = {**SCHEMA["columns"], "gist": {"type": "text", "missing": 0.1}}
    rows = pd.concat([table(), table(2, seed=9).assign(gist=[None, " "])])
    train, test = run_prep(write_texts(tmp_path / "some", {**SCHEMA, "columns": columns}, rows, SETTINGS))
    assert len(train) + len(test) == 120
    assert "left out 2 rows without gist" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("column", "value", "complaint"),
    [
        (
            "text",
            "secret " * 150_000,
            "text: 1 of 121 texts cannot be read: texts.csv[120] (it has 1,050,000 characters",
        ),
        ("text", " ", "text: 1 of 121 texts cannot be read: texts.csv[120] (it is missing or empty"),
        ("gist", "secret " * 3000, "gist of texts.csv[120]: it has 21,000 characters; shorten it to 20,000, or leave"),
        ("gist", "secret\x00", "gist of texts.csv[120]: it has a NUL byte"),
    ],
)
def test_what_cannot_be_used_is_named_by_its_row_and_not_shown(folders, capsys, column, value, complaint):
    rows = pd.concat([table(), table(1, seed=9).assign(**{column: value})])
    (folders.raw / "texts.csv").unlink()
    write_files(folders.raw, {"texts.jsonl": rows.to_json(orient="records", lines=True)})
    line = prep_error(folders, capsys).replace("texts.jsonl", "texts.csv")
    assert complaint in line
    assert "secret" not in line


def test_one_summary_for_all_texts_leaves_nothing_to_learn(folders, capsys):
    replace_raw(folders, table().assign(gist="the same"))
    assert "so there is nothing to learn" in prep_error(folders, capsys)


def test_a_target_that_is_no_text_is_refused(tmp_path, folders, capsys):
    (tmp_path / "classes").mkdir()
    columns = {**SCHEMA["columns"], "gist": {"type": "category"}}
    made = write_texts(tmp_path / "classes", {**SCHEMA, "columns": columns}, table(), SETTINGS)
    assert "summarization makes texts; give 'gist' the type text, not category" in prep_error(made, capsys)


def test_text_files_have_no_summaries(folders, capsys):
    (folders.raw / "texts.csv").unlink()
    write_files(folders.raw, {f"{row}.txt": text for row, text in enumerate(table()["text"])})
    assert "gist: 120 missing values" in prep_error(folders, capsys)


def test_a_training_text_with_another_word_leaves_the_test_texts(folders, capsys):
    replace_raw(folders, pd.concat([table(), table(40).assign(text=[f"{text} Word" for text in table(40)["text"]])]))
    train, test = run_prep(folders)
    left_out = 160 - len(train) - len(test)
    assert left_out > 0
    assert f"left out {left_out} held-out rows, near duplicates" in capsys.readouterr().out


def test_what_was_held_out_is_recorded_beside_the_texts(folders):
    run_prep(folders)
    record = json.loads((folders.test / "_split.json").read_text(encoding="utf-8"))
    assert (record["by"], record["columns"], record["types"]) == ("hash", ["text"], ["text"])
