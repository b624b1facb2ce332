"""The schema file, reading, validation, settings, requests and answers."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import CLASSIFICATION, REGRESSION, ROOT, SETTINGS, flights, module

data = module("data")
StepError = module("step").StepError


def schema_of(document, tmp_path):
    path = tmp_path / "schema.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return data.Schema.load(path)


def column(name, **entry):
    return data.Column(name=name, **entry)


def one_column_schema(**entry):
    return data.Schema("y", "regression", {"x": column("x", **entry), "y": column("y", type="number")})


# --- the schema file


def test_the_schema_lists_features_in_its_order_without_target_and_ignored_columns(tmp_path):
    schema = schema_of(CLASSIFICATION, tmp_path)
    assert schema.features == ["hour", "carrier", "weekend", "wind"]
    assert schema.numerical == ["hour", "wind"]
    assert schema.categorical == ["carrier", "weekend"]
    assert "id" not in schema_of(REGRESSION, tmp_path).features


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"target": "nope"}, "target 'nope' is not one of the columns"),
        ({"task": "guess"}, "task 'guess' is unknown; choose one of regression, classification"),
        ({"target": "carrier"}, "regression needs a target of type number or integer, not category"),
        ({"colums": {}}, "unknown key 'colums'"),
        ({"columns": []}, "give the columns as"),
        ({"columns": {"delay": {"type": "number"}}}, "there is no feature"),
        ({"columns": {"delay": {"type": "float"}}}, "column 'delay': type 'float' is unknown; choose one of integer"),
        ({"columns": {"delay": {"type": "number", "role": "id"}}}, "role 'id' is unknown"),
        ({"columns": {"delay": {"type": "number", "minmum": 0}}}, "unknown key 'minmum'; known are type"),
        ({"columns": {"delay": {"type": "number", "minimum": "low"}}}, "minimum must be a number, not 'low'"),
        ({"columns": {"delay": {"type": "number", "missing": 5}}}, "missing is a share between 0 and 1, not 5"),
        ({"columns": {"delay": {"type": "number", "values": "a"}}}, "values must be a list"),
        ({"columns": {"delay": None}}, "column 'delay': give at least"),
    ],
)
def test_a_wrong_schema_is_refused_with_the_fault(tmp_path, change, complaint):
    with pytest.raises(StepError, match=r"schema\.yml") as fault:
        schema_of({**REGRESSION, **change}, tmp_path)
    assert complaint in str(fault.value)


@pytest.mark.parametrize("text", ["target: [", "just text", "- a list"])
def test_a_schema_that_is_no_mapping_is_refused(tmp_path, text):
    (tmp_path / "schema.yml").write_text(text, encoding="utf-8")
    with pytest.raises(StepError, match=r"schema\.yml"):
        data.Schema.load(tmp_path / "schema.yml")


# --- the settings file


def settings_file(tmp_path, document=SETTINGS):
    path = tmp_path / "model.yml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


def test_overrides_replace_single_settings_with_yaml_values(tmp_path):
    words = "training.seed=7 training.hyperparameters.max_iter=5 evaluation.slices=[hour,carrier]"
    loaded = data.load_settings(settings_file(tmp_path), words)
    assert loaded["training"]["seed"] == 7
    assert loaded["training"]["hyperparameters"] == {"max_iter": 5, "min_samples_leaf": 5}
    assert loaded["evaluation"]["slices"] == ["hour", "carrier"]
    assert loaded["promotion"] == SETTINGS["promotion"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("training.sed=7", "has no setting 'training.sed'"),
        ("training.seed.more=7", "has no setting 'training.seed.more'"),
        ("training.seed", "write it as a.b.c=value"),
        ("training.seed=[", "is not a YAML value"),
        ("training.seed=often", "training.seed is a whole number"),
        ("training.test_size=1.5", "training.test_size is a share between 0 and 1, not '1.5'"),
        ("training.hyperparameters=3", "training.hyperparameters must be"),
    ],
)
def test_a_wrong_override_is_refused_with_the_fault(tmp_path, words, complaint):
    with pytest.raises(StepError) as fault:
        data.load_settings(settings_file(tmp_path), words)
    assert complaint in str(fault.value)


def test_settings_without_a_training_section_are_refused(tmp_path):
    with pytest.raises(StepError, match="the section training needs"):
        data.load_settings(settings_file(tmp_path, {"drift": {}}))


# --- reading


def test_csv_and_parquet_files_are_joined_in_the_order_of_their_names(tmp_path):
    flights(3, seed=1).to_parquet(tmp_path / "b.parquet")
    flights(2, seed=2).to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "notes.txt").write_text("not data", encoding="utf-8")
    frame = data.read_folder(tmp_path)
    assert len(frame) == 5
    assert frame["delay"].tolist() == [*flights(2, seed=2)["delay"], *flights(3, seed=1)["delay"]]


def test_text_columns_keep_their_leading_zeros(tmp_path):
    schema = schema_of(REGRESSION, tmp_path)
    flights(2).to_csv(tmp_path / "a.csv", index=False)
    assert data.read_folder(tmp_path, schema)["id"].tolist() == ["0000", "0001"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "is empty; it needs a header line and rows"),
        (b"hour,carrier\n", "has no rows"),
        (b'hour,carrier\n1,"AA\n', "cannot be read"),
        (b"hour,carrier\n1,AA\n1,2,3,4\n", "cannot be read"),
        (b"hour,carrier\n1,\xff\xfe\n", "cannot be read"),
    ],
)
def test_a_broken_csv_is_named_with_its_fault_in_one_line(tmp_path, content, complaint):
    (tmp_path / "flights.csv").write_bytes(content)
    with pytest.raises(StepError, match=r"flights\.csv") as fault:
        data.read_folder(tmp_path)
    assert complaint in str(fault.value)
    assert "\n" not in str(fault.value)


def test_a_broken_parquet_is_named(tmp_path):
    (tmp_path / "flights.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(StepError, match=r"flights\.parquet cannot be read"):
        data.read_folder(tmp_path)


def test_an_empty_or_absent_folder_is_named(tmp_path):
    with pytest.raises(StepError, match="there is no csv or parquet file"):
        data.read_folder(tmp_path)
    with pytest.raises(StepError, match="no such folder"):
        data.read_folder(tmp_path / "nowhere")


def test_files_with_different_columns_are_refused(tmp_path):
    flights(2).to_csv(tmp_path / "a.csv", index=False)
    flights(2).drop(columns="wind").to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(StepError, match=r"do not have the same columns; only one of them has wind"):
        data.read_folder(tmp_path)


# --- validation


def test_valid_data_come_back_typed_and_in_the_order_of_the_schema(tmp_path):
    schema = schema_of(CLASSIFICATION, tmp_path)
    frame = flights(20).assign(carrier=["AA", None] + ["BB"] * 18)
    typed = data.validate(frame[reversed(frame.columns)], schema)
    assert typed.dtypes.astype(str).to_dict() == {
        "hour": "int64",
        "carrier": "object",
        "weekend": "bool",
        "wind": "float64",
        "late": "object",
    }
    assert typed["carrier"].tolist()[:3] == ["AA", None, "BB"]


BREACHES = [
    ("hour", None, "hour: 1 missing value"),
    ("hour", "noon", "hour: 1 value other than finite numbers (such as 'noon')"),
    ("hour", 3.5, "hour: 1 value with a fraction (such as '3.5')"),
    ("hour", -1, "hour: 1 value below 0 (such as '-1')"),
    ("hour", 24, "hour: 1 value above 23 (such as '24')"),
    ("wind", float("inf"), "wind: 1 value other than finite numbers (such as 'inf')"),
    ("carrier", None, "carrier: 3 missing values, more than the allowed 10.0%"),
    ("weekend", "maybe", "weekend: 1 value other than true or false (such as 'maybe')"),
    ("late", "perhaps", "late: 1 value not listed in the schema (such as 'perhaps')"),
]


@pytest.mark.parametrize(("name", "value", "complaint"), BREACHES)
def test_each_kind_of_breach_is_named_with_column_and_count(tmp_path, name, value, complaint):
    document = {**CLASSIFICATION, "columns": {**CLASSIFICATION["columns"]}}
    document["columns"]["carrier"] = {"type": "category", "missing": 0.1}
    frame = flights(20).astype({name: object})
    frame.loc[: 2 if name == "carrier" else 0, name] = value
    with pytest.raises(StepError) as fault:
        data.validate(frame, schema_of(document, tmp_path))
    assert complaint in str(fault.value)
    assert str(fault.value).startswith(f"data does not fit {tmp_path / 'schema.yml'}: ")


def test_all_breaches_are_told_at_once_in_the_order_of_the_schema(tmp_path):
    frame = flights(20).drop(columns="hour").assign(delay=900.0)
    frame.loc[0, "carrier"] = None
    with pytest.raises(StepError) as fault:
        data.validate(frame, schema_of(REGRESSION, tmp_path))
    told = str(fault.value).split("schema.yml: ")[1]
    assert told == (
        "hour: the column is missing; carrier: 1 missing value; delay: 20 values above 500 (such as '900.0')"
    )


@settings(deadline=None, max_examples=40)
@given(
    values=st.lists(st.floats(min_value=-5, max_value=9) | st.none(), min_size=1, max_size=30),
    limit=st.sampled_from([0.0, 0.25, 0.5]),
)
def test_missing_values_pass_exactly_up_to_the_allowed_share(values, limit):
    schema = one_column_schema(type="number", minimum=-5, maximum=9, missing=limit)
    frame = pd.DataFrame({"x": pd.Series(values, dtype=object), "y": 0.0})
    if values.count(None) / len(values) <= limit:
        assert data.validate(frame, schema)["x"].isna().sum() == values.count(None)
    else:
        with pytest.raises(StepError, match=rf"x: {values.count(None)} missing value"):
            data.validate(frame, schema)


@settings(deadline=None, max_examples=40)
@given(values=st.lists(st.integers(-50, 50), min_size=1, max_size=30))
def test_exactly_the_values_outside_the_range_are_counted(values):
    schema = one_column_schema(type="integer", minimum=-20, maximum=20)
    frame = pd.DataFrame({"x": values, "y": 0.0})
    low, high = sum(value < -20 for value in values), sum(value > 20 for value in values)
    if low or high:
        with pytest.raises(StepError) as fault:
            data.validate(frame, schema)
        assert (f"x: {low} value" in str(fault.value)) == bool(low)
        assert (f"{high} value{'s' * (high != 1)} above 20" in str(fault.value)) == bool(high)
    else:
        assert data.validate(frame, schema)["x"].tolist() == values


def test_whole_numbers_that_may_be_missing_become_floats():
    typed = data.validate(pd.DataFrame({"x": [1, None], "y": 0.0}), one_column_schema(type="integer", missing=0.5))
    assert typed["x"].dtype == "float64"


def test_numbered_categories_read_the_same_from_csv_and_from_parquet():
    schema = one_column_schema(type="category", missing=0.5)
    for values in ([1, 2, 3, 4], [1.0, 2.0, np.nan, 4.0], ["1", "2", None, "4"]):
        assert data.validate(pd.DataFrame({"x": values, "y": 0.0}), schema)["x"].tolist()[::3] == ["1", "4"]


@pytest.mark.parametrize("part", ["raw", "production"])
def test_the_data_of_this_project_fit_its_schema(part):
    schema = data.Schema.load(ROOT / "data" / "schema.yml")
    frame = data.validate(data.read_folder(ROOT / "data" / part, schema), schema)
    assert list(frame.columns) == list(schema.columns)


def test_the_settings_of_this_project_can_be_read():
    assert data.load_settings(ROOT / "config" / "model.yml")["evaluation"]["metric"]


# --- requests and answers


def test_a_sample_request_holds_real_feature_rows_as_json(folders):
    request = data.sample_request(folders.schema, folders.raw, 30)
    table = request["input_data"]
    assert table["columns"] == ["hour", "carrier", "wind"]
    assert len(table["data"]) == len(table["index"]) == 30
    assert [row[:2] for row in table["data"]] == flights()[["hour", "carrier"]].head(30).to_numpy().tolist()
    assert None in [row[2] for row in table["data"]]
    json.dumps(request, allow_nan=False)


def test_a_sample_request_cannot_have_more_rows_than_the_data(folders):
    with pytest.raises(StepError, match="201 rows was asked for, and there are 200"):
        data.sample_request(folders.schema, folders.raw, 201)


@pytest.mark.parametrize("response", [{"predictions": [1.0, -600]}, {"predictions": [0, 1100.0]}])
def test_a_plausible_answer_has_no_fault(tmp_path, response):
    schema_of(REGRESSION, tmp_path)
    assert data.check_response(response, 2, tmp_path / "schema.yml") == []


@pytest.mark.parametrize(
    ("response", "complaint"),
    [
        ("oops", "no list of predictions"),
        ({"error": "x"}, "no list of predictions"),
        ({"predictions": [1.0]}, "2 rows were sent and 1 predictions"),
        ({"predictions": [1.0, float("nan")]}, "1 of 2 predictions are not plausible"),
        ({"predictions": [1.0, None]}, "1 of 2 predictions are not plausible"),
        ({"predictions": ["1", True]}, "2 of 2 predictions are not plausible"),
        ({"predictions": [-701, 1101]}, "2 of 2 predictions are not plausible"),
    ],
)
def test_an_implausible_answer_is_named(tmp_path, response, complaint):
    schema_of(REGRESSION, tmp_path)
    [fault] = data.check_response(response, 2, tmp_path / "schema.yml")
    assert complaint in fault


def test_a_class_that_the_schema_does_not_list_is_a_fault(tmp_path):
    schema_of(CLASSIFICATION, tmp_path)
    assert data.check_response({"predictions": ["yes", "no"]}, 2, tmp_path / "schema.yml") == []
    [fault] = data.check_response({"predictions": ["yes", "perhaps"]}, 2, tmp_path / "schema.yml")
    assert "not a known class (such as 'perhaps')" in fault
