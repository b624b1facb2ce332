"""The scoring script on images: requests online, files in batches."""

import base64
import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
from helpers import write_archive, write_files
from mlflow import pyfunc
from samples import CLASSES, HOST, allowed_storage, encoded, labelled, picture, pictures
from step_runs import batch, collect, refused, request_of

request = partial(request_of, "image")
FILES = pictures(5, seed=7)


def text(content):
    return base64.b64encode(content).decode()


def test_several_pictures_are_answered_with_what_the_model_predicts(score, trained_once):
    answer = score.run(request(*map(text, FILES.values())))
    frame = pd.DataFrame({"image": list(FILES.values())}, dtype=object)
    predicted = pyfunc.load_model(str(trained_once.model)).predict(frame)
    assert answer["predictions"] == predicted["prediction"].tolist()
    assert answer["classes"] == list(CLASSES)
    assert np.allclose(answer["probabilities"], predicted[list(CLASSES)])
    assert [sum(row) for row in answer["probabilities"]] == pytest.approx([1.0] * 5)
    json.dumps(answer, allow_nan=False)


def test_a_list_of_records_and_a_data_url_are_the_same_request(score):
    answer = score.run(request(*map(text, FILES.values())))
    records = [{"image": f"data:image/png;base64,{text(content)}", "note": "x"} for content in FILES.values()]
    assert score.run(json.dumps(records)) == answer


def test_pictures_of_other_sizes_and_colours_are_answered(score):
    image = picture(0, 0, 96, channels=3)
    assert len(score.run(request(text(encoded(image, "JPEG")), text(encoded(image, "GIF"))))["predictions"]) == 2


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ([text(FILES["0000.png"]), text(b"no picture")], "image of row 1: it is not a picture in one of the formats"),
        (["no base64!"], "image of row 0: it is not valid base64"),
        ([None], "image of row 0: it is missing or empty"),
        ([["a"]], "image: a list is not a single value"),
        ([text(FILES["0000.png"])] * 65, "65 pictures are too many for one request; send at most 64"),
        ([], "there are no rows to score"),
        (["https://images.example/a.png"], "no host is allowed: MLOPS_STORAGE_HOSTS"),
    ],
)
def test_a_request_that_cannot_be_scored_is_refused_with_the_row(score, monkeypatch, values, complaint):
    monkeypatch.delenv("MLOPS_STORAGE_HOSTS", raising=False)
    assert complaint in refused(score.run(request(*values)))


def test_a_request_may_have_pictures_and_addresses_of_pictures(score, monkeypatch):
    files = list(FILES.values())
    storage = allowed_storage(monkeypatch, score.data_file, files[1])
    answer = score.run(request(text(files[0]), f"https://{HOST}/c/1.png", text(files[2])))
    assert [each.full_url for each in storage.requests] == [f"https://{HOST}/c/1.png"]
    assert answer == score.run(request(*map(text, files[:3])))


def test_a_request_without_pictures_is_refused(score):
    assert "missing columns: image (given: picture)" in refused(score.run('[{"picture": "x"}]'))


def test_numbers_that_describe_the_pictures_are_collected_and_no_picture(score, monkeypatch):
    ask = request(*map(text, FILES.values()))
    answer, inputs, outputs = collect(score, monkeypatch, lambda: score.run(ask))
    assert list(inputs) == list(score.data_file.DESCRIPTIONS)
    assert set(inputs.dtypes.astype(str)) == {"float64"}
    assert outputs["prediction"].tolist() == answer["predictions"]


# --- batches


def test_pictures_and_archives_become_a_table_of_predictions(score, tmp_path, capsys):
    write_files(tmp_path, {"a.png": FILES["0000.png"], "labels.csv": "image,place\na.png,left\n"})
    write_archive(tmp_path / "b.zip", labelled(FILES))
    table = batch(score, tmp_path)
    assert list(table) == ["file", "row", "prediction", *(f"probability_{name}" for name in CLASSES)]
    assert table["file"].tolist() == ["a.png"] + ["b.zip"] * 5
    assert table["row"].tolist() == [0, *FILES]
    answer = score.run(request(*map(text, FILES.values())))
    assert table["prediction"].tolist() == [answer["predictions"][0], *answer["predictions"]]
    assert "labels.csv: passed over, it has no examples of its own" in capsys.readouterr().out


def test_a_mini_batch_of_tables_alone_has_no_rows(score, tmp_path):
    assert batch(score, write_files(tmp_path, {"labels.csv": "image,place\n"})).empty


def test_a_bad_picture_stops_a_batch(score, tmp_path):
    write_files(tmp_path, {"a.png": FILES["0000.png"], "b.png": b""})
    with pytest.raises(score.RequestError, match=r"^b\.png: image of row 0: it is empty \(0 bytes\); write the file"):
        batch(score, tmp_path)


def test_bad_pictures_are_reported_and_the_rest_is_scored(score, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MLOPS_BAD_FILES", "report")
    write_files(tmp_path, {"a.png": FILES["0000.png"], "b.png": b"no picture", "d.zip": b"no archive"})
    write_archive(tmp_path / "c.zip", FILES | {"0001.png": b"", "x/9.png": b"text"})
    table = batch(score, tmp_path)
    scored, bad = table[table["error"].isna()], table[table["error"].notna()]
    assert scored[["file", "row"]].to_numpy().tolist() == [
        ["a.png", 0],
        ["c.zip", "0000.png"],
        ["c.zip", "0002.png"],
        ["c.zip", "0003.png"],
        ["c.zip", "0004.png"],
    ]
    assert scored["prediction"].isin(CLASSES).all()
    assert bad["prediction"].isna().all()
    errors = {(file, row): error for file, row, error in bad[["file", "row", "error"]].fillna("").to_numpy()}
    assert set(errors) == {("b.png", ""), ("c.zip", "0001.png"), ("c.zip", "x/9.png"), ("d.zip", "")}
    assert errors["c.zip", "0001.png"] == "c.zip: image of row 0001.png: it is empty (0 bytes); write the file again"
    assert capsys.readouterr().out.count("error: ") == 4


def test_an_archive_without_a_good_picture_is_one_row(score, tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_BAD_FILES", "report")
    write_archive(tmp_path / "a.zip", {"1.png": b"", "2.png": b""})
    assert len(batch(score, tmp_path)) == 1


def test_all_mini_batches_of_a_job_have_the_same_columns(score, tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_BAD_FILES", "report")
    good = write_files(tmp_path / "good", {"a.png": FILES["0000.png"]})
    bad = write_files(tmp_path / "bad", {"b.png": b"no picture"})
    tables = write_files(tmp_path / "tables", {"labels.csv": "image,place\n"})
    columns = [list(batch(score, folder)) for folder in (good, bad, tables)]
    assert columns[0] == ["file", "row", "prediction", *(f"probability_{name}" for name in CLASSES), "error"]
    assert columns == [columns[0]] * 3
