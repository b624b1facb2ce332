"""The scoring script: requests online, files in batches."""

import csv
import json
from datetime import date

import numpy as np
import pandas as pd
import pytest
from helpers import CLASSIFICATION, module, write_schema
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mlflow import pyfunc
from samples import flights
from step_runs import collect, load_script, refused

Column, Schema = module("core.schema").Column, module("core.schema").Schema
data, model = module("tabular.data"), module("tabular.model")
conversion, StepError = module("conversion"), module("core.step").StepError
write_metadata = module("core.champion").write_metadata
TRAINING = {"seed": 13, "hyperparameters": {"max_iter": 10}}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder as Azure ML mounts it: the model lies somewhere below."""
    columns = {**CLASSIFICATION["columns"], "late": {"type": "number"}}
    schema = Schema("late", "regression", {name: Column(name, **entry) for name, entry in columns.items()})
    frame = data.validate(flights().assign(late=lambda f: f["delay"]), schema)
    folder = tmp_path_factory.mktemp("azureml") / "flights" / "1" / "model"
    model.save(model.fit(frame, schema, TRAINING), frame, schema, folder)
    return folder


@pytest.fixture(scope="module")
def score(saved):
    """The script with that model."""
    return load_script(saved.parents[1])


@pytest.fixture
def rows():
    return json.loads(flights(5)[["hour", "carrier", "weekend", "wind"]].to_json(orient="split"))


# What a column of a request is in another release than that of `saved`, whose model has no metadata.
COLUMNS = {
    "hour": {"type": "integer", "minimum": 0, "maximum": 23},
    "carrier": {"type": "category", "missing": 1, "values": ["AA", "BB", "CC", 7]},
    "gate": {"type": "category", "missing": 1},
    "weekend": {"type": "boolean"},
    "wind": {"type": "number", "missing": 1, "thousands": ","},
    "left": {"type": "date", "derive": ["month", "hour"], "format": "%d.%m.%Y"},
    "delay": {"type": "number"},
}


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    """The script with a model that records the columns of its requests, and the schema of these."""
    folder = tmp_path_factory.mktemp("described")
    schema = write_schema({"target": "delay", "task": "regression", "columns": COLUMNS}, folder)
    frame = flights().assign(left="05.01.2013", gate=3.0, carrier=lambda f: f["carrier"].replace("CC", 7))
    typed = data.validate(frame, schema)
    model.save(model.fit(typed, schema, TRAINING), typed, schema, folder / "model")
    write_metadata(folder / "model", {conversion.METADATA: schema.input_columns()})
    return load_script(folder), schema


def test_a_request_is_answered_with_what_the_model_predicts(score, saved, rows):
    answer = score.run(json.dumps({"input_data": rows}))
    frame = pd.DataFrame(rows["data"], columns=rows["columns"]).astype({"hour": "int64", "wind": "float64"})
    assert answer == {"predictions": pyfunc.load_model(str(saved)).predict(frame).tolist()}
    json.dumps(answer, allow_nan=False)


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """The script with a model that says who is late, from a probability of 0.9 on."""
    folder = tmp_path_factory.mktemp("late")
    schema = write_schema(CLASSIFICATION, folder)
    frame = data.validate(flights(), schema)
    model.save(model.fit(frame, schema, TRAINING), frame, schema, folder / "model")
    write_metadata(folder / "model", {"classes": ["no", "yes"], "threshold": 0.9})
    return load_script(folder)


def test_the_probabilities_of_all_classes_are_in_the_answer(late, rows):
    answer = late.run(json.dumps({"input_data": rows}))
    assert answer["classes"] == ["no", "yes"]
    assert [sum(row) for row in answer["probabilities"]] == pytest.approx([1.0] * 5)
    assert answer["predictions"] == ["yes" if row[1] >= 0.9 else "no" for row in answer["probabilities"]]
    json.dumps(answer, allow_nan=False)


def test_the_probabilities_of_a_batch_are_columns(late, tmp_path):
    flights(5).to_csv(tmp_path / "flights.csv", index=False)
    table = late.run([str(tmp_path / "flights.csv")])
    assert list(table) == ["file", "row", "prediction", "probability_no", "probability_yes"]
    assert (table["probability_no"] + table["probability_yes"]).tolist() == pytest.approx([1.0] * 5)


def test_a_list_of_records_is_the_same_request(score, rows):
    records = [dict(zip(rows["columns"], row, strict=True)) for row in rows["data"]]
    answer = score.run(json.dumps({"input_data": rows}))
    assert score.run(json.dumps(records)) == answer
    assert score.run(json.dumps({"input_data": records}).encode()) == answer


def test_order_and_further_columns_do_not_matter(score, rows):
    answer = score.run(json.dumps({"input_data": rows}))
    turned = {"columns": [*rows["columns"][::-1], "note"], "data": [[*row[::-1], "x"] for row in rows["data"]]}
    assert score.run(json.dumps({"input_data": turned})) == answer


def test_missing_values_and_integers_are_accepted_where_the_model_knows_them(score):
    record = {"hour": 8.0, "carrier": None, "weekend": 1, "wind": 3}
    [prediction] = score.run(json.dumps([record]))["predictions"]
    assert np.isfinite(prediction)


GOOD = {"hour": 8, "carrier": "AA", "weekend": True, "wind": 3.5}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"hour": "noon"}, "hour: 'noon' is not a finite number"),
        ({"hour": 8.5}, "hour: '8.5' is not an integer"),
        ({"hour": None}, "hour: a value is missing"),
        ({"hour": 2**64}, "hour: '18446744073709551616' is beyond 64 bits"),
        ({"wind": float("inf")}, "wind: 'inf' is not a finite number"),
        ({"wind": 10**309}, "0...' is not a finite number"),
        ({"wind": [1]}, "wind: a list is not a single value"),
        ({"carrier": {"a": 1}}, "carrier: a dict is not a single value"),
        ({"weekend": 2}, "weekend: '2' is not true or false"),
    ],
)
def test_a_value_of_the_wrong_type_is_named(score, change, complaint):
    assert complaint in refused(score.run(json.dumps([GOOD | change])))


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ("{", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        ("3", "send {"),
        ("{}", "send {"),
        ('{"input_data": {"columns": ["hour"]}}', "send {"),
        ("[1, 2]", "send {"),
        ("[]", "there are no rows"),
        ('{"input_data": {"columns": ["hour"], "data": []}}', "there are no rows"),
        ('{"input_data": {"columns": ["hour"], "data": [[1, 2]]}}', "row 0 of data must be a list of 1 values"),
        ('{"input_data": {"columns": ["hour"], "data": [1]}}', "row 0 of data must be a list"),
        ('[{"hour": 8, "wind": 1}]', "missing columns: carrier, weekend (given: hour, wind)"),
        ("[" * 100_000, "nested too deeply"),
        (
            '[{"hour": ' + "[" * 900 + "]" * 900 + ', "carrier": 1, "weekend": 1, "wind": 1}]',
            "hour: a list is not a single",
        ),
        ('[{"hour": ' + "9" * 5000 + ', "carrier": 1, "weekend": 1, "wind": 1}]', "not valid JSON"),
        (
            '{"input_data": {"columns": ["hour", "hour", "carrier", "weekend", "wind"], "data": [[1,2,"A",true,0]]}}',
            "repeated columns: hour",
        ),
    ],
)
def test_a_malformed_request_is_refused_with_the_problem(score, body, complaint):
    assert complaint in refused(score.run(body))


RECORD = {"hour": 8, "carrier": "AA", "gate": 3, "weekend": True, "wind": 1224.5, "left": "2013-01-05"}


@pytest.mark.parametrize(
    "change",
    [
        {"hour": "8", "weekend": "true"},
        {"hour": " 8.0", "weekend": "YES"},
        {"wind": "1,224.5"},
        {"left": "05.01.2013"},
        {"left": "2013-01-05T00:00:00Z"},
        {"carrier": " AA "},
    ],
)
def test_another_spelling_of_a_request_is_the_same_request(described, change):
    script, _ = described
    assert script.run(json.dumps([RECORD | change])) == script.run(json.dumps([RECORD]))


def test_a_category_that_is_a_number_is_not_unknown(described, capsys):
    script, _ = described
    answers = [script.run(json.dumps([RECORD | {"carrier": value}])) for value in (7, 7.0, "7", " 7", "7.0")]
    assert all(answer == answers[0] for answer in answers)
    assert capsys.readouterr().out == ""
    assert answers[0] != script.run(json.dumps([RECORD | {"carrier": "AA"}]))


def test_unknown_categories_are_scored_and_counted_in_the_log(described, capsys):
    script, _ = described
    answer = script.run(json.dumps([RECORD, RECORD | {"carrier": "ZZ"}, RECORD | {"carrier": None}]))
    assert answer["predictions"][1] == answer["predictions"][2]
    assert capsys.readouterr().out == "carrier: 1 of 3 values are unknown to the model (such as 'ZZ')\n"


def test_limits_of_the_schema_are_not_those_of_a_request(described):
    script, _ = described
    assert script.run(json.dumps([RECORD | {"hour": 99}]))["predictions"]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"left": "5 January"}, "left: '5 January' is not a date, written %d.%m.%Y or as 2013-01-31"),
        ({"left": None}, "left: a value is missing, and the model has never seen that"),
        ({"wind": "1,5"}, "wind: '1,5' is not a finite number"),
        ({"weekend": "maybe"}, "weekend: 'maybe' is not true or false"),
    ],
)
def test_a_value_that_the_schema_would_refuse_is_named(described, change, complaint):
    script, _ = described
    assert complaint in refused(script.run(json.dumps([RECORD | change])))


def test_a_file_is_converted_as_a_request(described, tmp_path):
    script, _ = described
    rows = 'left,hour,carrier,gate,weekend,wind\n05.01.2013, 8 ,AA,3.0,yes,"1,224.5"\n'
    (tmp_path / "a.csv").write_text(rows, encoding="utf-8")
    assert (
        script.run([str(tmp_path / "a.csv")])["prediction"].tolist() == script.run(json.dumps([RECORD]))["predictions"]
    )


RAW = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(-9, 9).map(float),
    st.integers(-(2**55), 2**55).map(float),
    st.integers(-(2**65), 2**65).map(str),
    st.floats().map(repr),
    st.dates(min_value=date(1900, 1, 1)).map(lambda day: f"{day:%d.%m.%Y}"),
    st.datetimes().map(str),
    st.sampled_from(["true", "FALSE", "Yes", "no", " 7", "7.0", "1,000", "1,5", "NA", "null", "", " ", "AA", "ZZ"]),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=5),
)


@settings(max_examples=100)
@example(name="gate", value=7.0)
@example(name="gate", value=1e16)
@given(name=st.sampled_from([name for name in COLUMNS if name != "delay"]), value=RAW)
def test_what_training_accepts_the_endpoint_reads_as_the_same_value(described, tmp_path_factory, name, value):
    """As text in a file, and as a value in memory; a number is written as JSON writes it."""
    script, schema = described
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value)
    record = {**RECORD, "delay": 1.0, name: value}
    path = tmp_path_factory.mktemp("raw") / "a.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([list(record), [text if key == name else given for key, given in record.items()]])
    frames = [data.read_folder(path.parent, schema), pd.DataFrame([record], dtype=object)]
    for frame, sent in ((frames[0], text), (frames[0], value), (frames[1], value)):
        try:
            expected = data.validate(frame, schema)[schema.features]
        except StepError:
            continue
        table = script._table(json.dumps([{**RECORD, name: sent}]))
        pd.testing.assert_frame_equal(script._model_inputs(table), expected)


def test_a_mini_batch_of_files_becomes_a_table_of_predictions(score, tmp_path, rows):
    flights(5).to_csv(tmp_path / "a.csv", index=False)
    flights(3, seed=1).to_parquet(tmp_path / "b.parquet")
    flights(5).head(2).to_json(tmp_path / "c.jsonl", orient="records", lines=True, double_precision=15)
    table = score.run([str(tmp_path / name) for name in ("a.csv", "b.parquet", "c.jsonl")])
    assert list(table.columns) == ["file", "row", "prediction"]
    assert table["file"].tolist() == ["a.csv"] * 5 + ["b.parquet"] * 3 + ["c.jsonl"] * 2
    assert table["row"].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 0, 1]
    assert table["prediction"].tolist()[:2] == table["prediction"].tolist()[8:]
    assert table["prediction"].tolist()[:5] == score.run(json.dumps({"input_data": rows}))["predictions"]


def test_a_file_with_a_header_alone_has_no_predictions(score, tmp_path, capsys):
    (tmp_path / "quiet.csv").write_text("hour,carrier\n", encoding="utf-8")
    assert score.run([str(tmp_path / "quiet.csv")]).empty
    assert "quiet.csv: passed over" in capsys.readouterr().out


def test_texts_in_a_file_stay_as_they_are_written(score, tmp_path, monkeypatch):
    content = "hour,carrier,weekend,wind\n8,007,true,3\n"
    (tmp_path / "a.csv").write_text(content, encoding="utf-8")
    seen, predict = [], score.model_output.predict
    monkeypatch.setattr(
        score.model_output, "predict", lambda loaded, rows: seen.extend(rows["carrier"]) or predict(loaded, rows)
    )
    score.run([str(tmp_path / "a.csv")])
    assert seen == ["007"]


@pytest.mark.parametrize("content", ["", "hour,carrier\n1,AA\n", 'hour,carrier\n1,"AA\n'])
def test_a_file_that_cannot_be_scored_is_named_in_one_line(score, tmp_path, content):
    (tmp_path / "bad.csv").write_text(content, encoding="utf-8")
    with pytest.raises(score.RequestError, match=r"^bad\.csv: ") as error:
        score.run([str(tmp_path / "bad.csv")])
    assert "\n" not in str(error.value)


def test_a_bad_row_of_a_file_is_reported_and_the_rest_is_scored(score, tmp_path, monkeypatch):
    rows = "hour,carrier,weekend,wind\n8,AA,true,3\nnoon,AA,true,3\n9,BB,no,1\n"
    (tmp_path / "a.csv").write_text(rows, encoding="utf-8")
    with pytest.raises(score.RequestError, match=r"^a\.csv: hour: 'noon' is not a finite number"):
        score.run([str(tmp_path / "a.csv")])
    monkeypatch.setenv("MLOPS_BAD_FILES", "report")
    table = score.run([str(tmp_path / "a.csv")])
    assert table["row"].tolist() == [1, 0, 2]
    assert table["error"].fillna("").tolist() == ["a.csv: hour: 'noon' is not a finite number", "", ""]
    assert table["prediction"].isna().tolist() == [True, False, False]


def test_inputs_and_outputs_are_collected_together(score, rows, monkeypatch):
    answer, inputs, outputs = collect(score, monkeypatch, lambda: score.run(json.dumps({"input_data": rows})))
    assert inputs["hour"].tolist() == [row[0] for row in rows["data"]]
    assert outputs["prediction"].tolist() == answer["predictions"]


def test_outside_azure_nothing_is_logged_for_each_request(score, rows, capfd, caplog):
    score.run(json.dumps({"input_data": rows}))
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


@pytest.mark.parametrize(("count", "complaint"), [(0, "found 0"), (2, "found 2")])
def test_a_folder_without_exactly_one_model_is_refused(score, tmp_path, monkeypatch, count, complaint):
    for number in range(count):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "MLmodel").write_text("", encoding="utf-8")
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(tmp_path))
    with pytest.raises(RuntimeError, match=complaint):
        score.init()


def test_an_unset_model_folder_is_named(score, monkeypatch):
    monkeypatch.delenv("AZUREML_MODEL_DIR", raising=False)
    with pytest.raises(RuntimeError, match="AZUREML_MODEL_DIR is not set"):
        score.init()
