"""The scoring script on texts: requests online, files in batches, and what Azure collects."""

from functools import partial

import pandas as pd
import pytest
from helpers import module, write_archive, write_files
from samples import table
from step_runs import MODALITY, batch, collect, refused, request_of

endpoint, request = module("core.endpoint"), partial(request_of, "text")
TEXTS = table(6, seed=7)["text"].tolist()


def test_each_text_is_answered_with_its_summary(score, trained_once):
    answer = score.run(request(*TEXTS))
    assert list(answer) == ["predictions"]
    assert all(summary and summary in text for summary, text in zip(answer["predictions"], TEXTS, strict=True))
    assert endpoint.check_response(MODALITY, answer, 6, trained_once.schema) == []
    wrong = {"predictions": [*answer["predictions"][:4], " ", 3]}
    [problem] = endpoint.check_response(MODALITY, wrong, 6, trained_once.schema)
    assert problem == "2 of 6 predictions are no texts (such as ' ')"


@pytest.mark.parametrize("text", ["\U0001f600", "\u4f60\u597d", "\u05e9\u05dc\u05d5\u05dd\n\t", "7", "x" * 100_000])
def test_a_text_unlike_those_of_the_training_is_answered(score, text):
    assert score.run(request(text))["predictions"] == [text.strip()]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([TEXTS[0], ""], "text of row 1: it is missing or empty; write something, or leave it out"),
        (["secret\x00"], "text of row 0: it has a NUL byte"),
        (["secret " * 150_000], "text of row 0: it has 1,050,000 characters; divide or shorten it"),
    ],
)
def test_a_request_that_cannot_be_scored_is_refused_with_the_row_and_no_text(score, values, complaint):
    message = refused(score.run(request(*values)))
    assert complaint in message
    assert "secret" not in message


def test_the_length_of_a_summary_is_collected_and_no_text(score, monkeypatch):
    answer, inputs, outputs = collect(score, monkeypatch, lambda: score.run(request(*TEXTS)))
    assert list(inputs) == list(score.data_file.DESCRIPTIONS)
    assert outputs.to_dict("list") == {"prediction_length": [len(text) for text in answer["predictions"]]}


def test_a_batch_of_tables_text_files_and_archives_has_a_line_for_each_summary(score, tmp_path):
    pd.DataFrame({"text": TEXTS}).assign(text=[f'"{text}",\r\n{text}' for text in TEXTS]).to_csv(tmp_path / "a.csv")
    write_files(tmp_path, {"b.txt": TEXTS[0]})
    write_archive(tmp_path / "c.zip", {"2.txt": TEXTS[1], "1.txt": TEXTS[2]})
    found = batch(score, tmp_path)
    assert list(found) == ["file", "row", "prediction"]
    assert found["file"].tolist() == ["a.csv"] * 6 + ["b.txt"] + ["c.zip"] * 2
    assert not any("\n" in summary for summary in found["prediction"])
    assert found["prediction"][6] in TEXTS[0]
