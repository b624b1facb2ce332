"""Collected requests and their outcomes become training data, and what does not fit is named."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from azureml.ai.monitoring.payload import PandasFrameData
from helpers import ROOT, module

join, modality = module("join"), module("modality")
StepError = module("core.step").StepError
Column, Schema = module("core.schema").Column, module("core.schema").Schema
OWN = ROOT / "data" / "schema.yml"

TABLES = Schema(
    "late",
    "classification",
    {
        "day": Column("day", "date", role="ignore"),
        "trip": Column("trip", "integer"),
        "line": Column("line", "category", missing=0.2),
        "note": Column("note", "text", role="ignore", missing=1.0),
        "late": Column("late", "category", values=("no", "yes")),
    },
)
TEXTS = Schema("topic", "classification", {"text": Column("text", "text"), "topic": Column("topic", "category")})


def write_events(folder: Path, *requests: tuple[str, list[dict[str, Any]]]) -> Path:
    """Write what the data collector stores of requests: an hour has a folder, an instance a file."""
    file = folder / "2026" / "11" / "29" / "08" / "instance.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as stream:
        for number, rows in requests:
            event = {
                "specversion": "1.0",
                "id": f"event-{number}",
                "type": "azureml.inference.model_inputs",
                "time": "2026-11-29T08:00:00Z",
                "data": json.loads(PandasFrameData(pd.DataFrame(rows)).to_json()),
                "correlationid": number,
                "xrequestid": number,
                "collectdatatype": "pandas.core.frame.DataFrame",
                "contentrange": "bytes 0-116/117",
            }
            stream.write(f"{json.dumps(event)}\n")
    return folder


@pytest.fixture
def collected(tmp_path):
    return write_events(
        tmp_path / "model_inputs",
        ("a", [{"trip": 7, "line": "AA"}, {"trip": 8, "line": None}]),
        ("b", [{"trip": 9, "line": "BB"}]),
    )


def outcomes(*rows: tuple[Any, ...], columns: str = "request_id request_row day late") -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns.split(), dtype=object)


def test_a_request_finds_its_outcome_by_the_id_of_the_answer_and_its_row(collected, capsys):
    known = outcomes(("b", "0", "2026-11-28", "yes"), ("a", "1", "2026-11-28", "no"))
    rows = join.labelled_rows(TABLES, join.read_collected(collected), known)
    assert list(rows.columns) == ["day", "trip", "line", "note", "late"]
    assert rows.drop(columns="note").to_dict("records") == [
        {"day": "2026-11-28", "trip": 8, "line": None, "late": "no"},
        {"day": "2026-11-28", "trip": 9, "line": "BB", "late": "yes"},
    ]
    assert rows["note"].isna().all()
    assert capsys.readouterr().out == "3 collected rows, 2 outcomes, 2 joined\n"


def test_without_the_column_of_the_row_each_request_has_one(collected):
    rows = join.labelled_rows(
        TABLES, join.read_collected(collected), outcomes(("a", "2026-11-28", "no"), columns="request_id day late")
    )
    assert list(rows["trip"]) == [7]


@pytest.mark.parametrize("trip", [9, 9.0, "9", " 9 ", "9.0"])
def test_other_columns_that_both_have_are_keys_whatever_their_form(collected, trip):
    known = outcomes((trip, "2026-11-28", "no"), columns="trip day late")
    rows = join.labelled_rows(TABLES, join.read_collected(collected), known, ["trip"])
    assert list(rows["line"]) == ["BB"]


def test_what_is_not_known_yet_and_what_was_not_collected_is_left_out_and_counted(collected, capsys):
    known = outcomes(("a", 0, "2026-11-28", ""), ("b", 0, "2026-11-28", "yes"), ("c", 0, "2026-11-28", "no"))
    rows = join.labelled_rows(TABLES, join.read_collected(collected), known)
    assert list(rows["trip"]) == [9]
    assert capsys.readouterr().out.splitlines() == [
        "3 collected rows, 3 outcomes, 1 joined",
        "1 of the outcomes are left out: no request with their keys was collected",
        "1 of the rows are left out: their outcome is not known yet",
    ]


def test_of_a_request_that_was_sent_again_the_last_one_counts(collected, capsys):
    write_events(collected, ("d", [{"trip": 9, "line": "CC"}]))
    known = outcomes((9, "2026-11-28", "no"), columns="trip day late")
    rows = join.labelled_rows(TABLES, join.read_collected(collected), known, ["trip"])
    assert list(rows["line"]) == ["CC"]
    assert "1 of the collected rows are left out: a later one has the same keys" in capsys.readouterr().out


def test_two_outcomes_of_one_row_stop_it(collected):
    known = outcomes(("a", 0, "2026-11-28", "no"), ("a", 0, "2026-11-28", "yes"))
    with pytest.raises(StepError, match=r"two outcomes have the same keys .request_id a, request_row 0.: delete one"):
        join.labelled_rows(TABLES, join.read_collected(collected), known)


def test_outcomes_of_a_request_with_several_rows_need_the_place_of_each(collected):
    known = outcomes(("a", "2026-11-28", "no"), ("a", "2026-11-28", "yes"), columns="request_id day late")
    with pytest.raises(StepError, match=r"several outcomes have the request_id a: add the column request_row"):
        join.labelled_rows(TABLES, join.read_collected(collected), known)


def test_a_column_that_the_schema_needs_and_no_side_has_is_named(collected):
    known = outcomes(("a", 0, "no"), columns="request_id request_row late")
    with pytest.raises(StepError, match=r"the collected rows and the outcomes lack day, which .* needs: add it"):
        join.labelled_rows(TABLES, join.read_collected(collected), known)


@pytest.mark.parametrize(
    ("known", "on", "message"),
    [
        (outcomes(("a", 0, "2026-11-28"), columns="request_id request_row day"), None, "lack the column late, the"),
        (outcomes(("2026-11-28", "no"), columns="day late"), None, "the outcomes lack the column request_id, a key"),
        (outcomes(("2026-11-28", "no"), columns="day late"), ["day"], "the collected rows lack the column day, a key"),
        (outcomes(("z", 0, "2026-11-28", "no")), None, "no row is left: compare the keys"),
    ],
    ids=["no target", "no id", "key of one side", "nothing fits"],
)
def test_what_does_not_fit_together_is_one_line(collected, known, on, message):
    with pytest.raises(StepError, match=message):
        join.labelled_rows(TABLES, join.read_collected(collected), known, on)


def test_a_text_or_a_picture_comes_from_the_outcomes_because_only_numbers_about_it_are_collected(tmp_path):
    described = join.read_collected(write_events(tmp_path / "inputs", ("a", [{"words": 12, "question_marks": 0}])))
    without = outcomes(("a", "files"), columns="request_id topic")
    with pytest.raises(StepError, match="outcomes lack text, which"):
        join.labelled_rows(TEXTS, described, without)
    rows = join.labelled_rows(TEXTS, described, without.assign(text="Open a file."))
    assert rows.to_dict("records") == [{"text": "Open a file.", "topic": "files"}]
    # With the input in them, the outcomes are training data by themselves.
    assert join.labelled_rows(TEXTS, None, without.assign(text="Open a file.")).equals(rows)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: this is not valid JSON"),
        ("[]", "line 1: this is no event of the data collector"),
        ('{"data": [{}]}', "line 1: this is no event of the data collector, with `data` and `correlationid`"),
        ('{"trip": 7}', "line 1: this is no event"),
    ],
)
def test_a_file_of_something_else_is_named_with_its_line(tmp_path, line, message):
    (tmp_path / "x.jsonl").write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(StepError, match=message):
        join.read_collected(tmp_path)


def test_an_empty_folder_is_named(tmp_path):
    with pytest.raises(StepError, match=r"has no file that ends in \.jsonl: name the folder model_inputs"):
        join.read_collected(tmp_path)


def test_a_request_that_was_stored_apart_is_counted(collected, capsys):
    with (collected / "large.jsonl").open("w", encoding="utf-8") as stream:
        stream.write('{"dataref": "https://account/blob", "correlationid": "e"}\n')
    assert len(join.read_collected(collected)) == 3
    assert capsys.readouterr().out.startswith("1 of the requests are left out")


# With the schema of this project.


def own_outcomes() -> dict[str, Any]:
    """A row of outcomes that has every column of this project's schema."""
    columns = Schema.load(OWN, modality.MODALITY.tasks).raw_columns.values()
    samples = {"integer": "1", "number": "1", "boolean": "true", "date": "2026-11-28"}
    return {each.name: samples.get(each.type) or (each.values[0] if each.values else "x") for each in columns}


def run_step(tmp_path: Path, *more: str, output: str = "new.jsonl") -> Path:
    given = tmp_path / "outcomes.jsonl"
    given.write_text(f"{json.dumps(own_outcomes())}\n", encoding="utf-8")
    words = ["--outcomes", str(given), "--schema", str(OWN), "--output", str(tmp_path / output)]
    join.main([*words, *more])
    return tmp_path / output


def test_the_file_has_the_columns_of_the_schema_and_is_the_same_after_a_second_run(tmp_path, capsys):
    file = run_step(tmp_path)
    text = file.read_text(encoding="utf-8")
    assert [json.loads(line) for line in text.splitlines()] == [own_outcomes()]
    assert capsys.readouterr().out == f"1 rows are in {file}; prep checks them\n"
    assert run_step(tmp_path).read_text(encoding="utf-8") == text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.jsonl", "outcomes.jsonl"]


@pytest.mark.parametrize(
    ("more", "output", "message"),
    [
        ((), "new.txt", "end its name in .jsonl"),
        (("--outcomes", "nowhere.jsonl"), "new.jsonl", "no such file or folder: check the path"),
        (("--collected", "nowhere"), "new.jsonl", "nowhere has no file that ends in .jsonl"),
    ],
    ids=["another suffix", "no outcomes", "no folder"],
)
def test_a_mistake_in_the_arguments_is_one_line_and_writes_nothing(tmp_path, capsys, more, output, message):
    with pytest.raises(SystemExit) as stop:
        run_step(tmp_path, *more, output=output)
    assert stop.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / output).exists()
