"""The scoring script on texts: requests online, files in batches."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers import write_archive, write_files
from mlflow import pyfunc
from samples import CLASSES, table
from step_runs import batch, collect, refused, request_of

request = partial(request_of, "text")
TEXTS = table(6, seed=7)["text"].tolist()


def test_several_texts_are_answered_with_what_the_model_predicts(score, trained_once):
    answer = score.run(request(*TEXTS))
    predicted = pyfunc.load_model(str(trained_once.model)).predict(pd.DataFrame({"text": TEXTS}))
    assert answer["predictions"] == predicted["prediction"].tolist() == list(CLASSES) * 2
    assert answer["classes"] == list(CLASSES)
    assert np.allclose(answer["probabilities"], predicted[list(CLASSES)])
    assert [sum(row) for row in answer["probabilities"]] == pytest.approx([1.0] * 6)
    json.dumps(answer, allow_nan=False)


def test_a_list_of_records_is_the_same_request(score):
    assert score.run(json.dumps([{"text": text, "note": "x"} for text in TEXTS])) == score.run(request(*TEXTS))


@pytest.mark.parametrize("text", ["\U0001f600", "\u4f60\u597d", "\u05e9\u05dc\u05d5\u05dd\n\t", "7", "x" * 100_000])
def test_a_text_unlike_those_of_the_training_is_answered(score, text):
    assert score.run(request(text))["predictions"][0] in CLASSES


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([TEXTS[0], ""], "text of row 1: it is missing or empty; write something, or leave it out"),
        ([None], "text of row 0: it is missing or empty"),
        (["secret\x00"], "text of row 0: it has a NUL byte"),
        (["secret\ud83d"], "text of row 0: it has half of a surrogate pair"),
        (["secret " * 150_000], "text of row 0: it has 1,050,000 characters; divide or shorten it"),
        ([["secret"]], "text: a list is not a single value"),
        (["a"] * 257, "257 texts are too many for one request; send at most 256"),
        ([], "there are no rows to score"),
    ],
)
def test_a_request_that_cannot_be_scored_is_refused_with_the_row_and_no_text(score, values, complaint):
    message = refused(score.run(request(*values)))
    assert complaint in message
    assert "secret" not in message


def test_a_request_without_texts_is_refused(score):
    assert "missing columns: text (given: body)" in refused(score.run('[{"body": "x"}]'))


def test_measures_of_the_texts_are_collected_and_no_text(score, monkeypatch):
    answer, inputs, outputs = collect(score, monkeypatch, lambda: score.run(request(*TEXTS)))
    assert list(inputs) == list(score.data_file.DESCRIPTIONS)
    assert inputs["script"].tolist() == ["LATIN"] * 6
    assert set(inputs.drop(columns="script").dtypes.astype(str)) == {"float64"}
    assert outputs["prediction"].tolist() == answer["predictions"]


# --- batches


def test_tables_text_files_and_archives_become_a_table_of_predictions(score, tmp_path):
    rows = pd.DataFrame({"text": TEXTS})
    rows.assign(text=[f'"{text}",\r\n{text}' for text in TEXTS]).to_csv(tmp_path / "a.csv", index=False)
    rows.to_parquet(tmp_path / "b.parquet")
    rows.to_json(tmp_path / "c.jsonl", orient="records", lines=True)
    write_files(tmp_path, {"d.txt": TEXTS[0]})
    write_archive(tmp_path / "e.zip", {"sea/2.txt": TEXTS[1], "1.txt": TEXTS[2], "notes.md": "no text"})
    found = batch(score, tmp_path)
    assert list(found) == ["file", "row", "prediction", *(f"probability_{name}" for name in CLASSES)]
    names = ["a.csv"] * 6 + ["b.parquet"] * 6 + ["c.jsonl"] * 6 + ["d.txt"] + ["e.zip"] * 2
    assert found["file"].tolist() == names
    assert found["row"].tolist() == [*range(6), *range(6), *range(6), 0, "1.txt", "sea/2.txt"]
    expected = list(CLASSES)
    assert found["prediction"].tolist() == [*(expected * 6), expected[0], expected[2], expected[1]]


BAD = {"b.txt": b"secr\xe9t", "c.jsonl": '{"text": "secret"\n', "d.zip": b"no archive", "e.txt": ""}


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("b.txt", "b.txt: text of row 0: it is not encoded in UTF-8 (the byte 0xe9); save it in UTF-8"),
        ("c.jsonl", "c.jsonl: line 1 cannot be read as JSON (Expecting ',' delimiter"),
        ("d.zip", "d.zip: it cannot be read as a zip archive"),
        ("e.txt", "e.txt: text of row 0: it is missing or empty"),
    ],
)
def test_a_bad_file_stops_a_batch_with_its_name_and_no_text(score, tmp_path, name, complaint):
    write_files(tmp_path, {"a.txt": TEXTS[0], name: BAD[name]})
    with pytest.raises(score.RequestError) as error:
        batch(score, tmp_path)
    assert str(error.value).startswith(complaint)
    assert "secr" not in str(error.value)


def test_bad_files_and_texts_are_reported_and_the_rest_is_scored(score, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLOPS_BAD_FILES", "report")
    write_files(tmp_path, {"a.txt": TEXTS[0], **BAD})
    write_archive(tmp_path / "f.zip", {"1.txt": TEXTS[1], "2.txt": b"secr\xe9t", "3.txt": "", "4.txt": TEXTS[2]})
    found = batch(score, tmp_path)
    scored, bad = found[found["error"].isna()], found[found["error"].notna()]
    assert scored[["file", "row"]].to_numpy().tolist() == [["a.txt", 0], ["f.zip", "1.txt"], ["f.zip", "4.txt"]]
    assert scored["prediction"].tolist() == list(CLASSES)
    assert bad["prediction"].isna().all()
    errors = {(file, row): error for file, row, error in bad[["file", "row", "error"]].fillna("").to_numpy()}
    assert set(errors) == {
        *((name, "") for name in ("b.txt", "c.jsonl", "d.zip", "e.txt")),
        ("f.zip", "2.txt"),
        ("f.zip", "3.txt"),
    }
    assert errors["f.zip", "2.txt"] == (
        "f.zip: text of row 2.txt: it is not encoded in UTF-8 (the byte 0xe9); save it in UTF-8"
    )
    printed = capsys.readouterr().out
    assert printed.count("error: ") == 6
    assert "secr" not in printed


def test_all_mini_batches_of_a_job_have_the_same_columns(score, tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_BAD_FILES", "report")
    good, bad = (write_files(tmp_path / name, {"a.txt": text}) for name, text in (("good", TEXTS[0]), ("bad", "")))
    columns = [list(batch(score, folder)) for folder in (good, bad)]
    assert columns[0] == ["file", "row", "prediction", *(f"probability_{name}" for name in CLASSES), "error"]
    assert columns == [columns[0]] * 2
