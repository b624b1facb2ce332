"""Tables: reading, the check against the schema, and requests with real rows."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers import CLASSIFICATION, REGRESSION, ROOT, module, write_schema
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import flights

data, endpoint = module("tabular.data"), module("core.endpoint")
Column, Schema = module("core.schema").Column, module("core.schema").Schema
MODALITY = module("modality").MODALITY
StepError = module("core.step").StepError


def column(name, **entry):
    return Column(name=name, **entry)


def one_column_schema(**entry):
    return Schema("y", "regression", {"x": column("x", **entry), "y": column("y", type="number")})


# --- reading


def test_csv_and_parquet_files_are_joined_in_the_order_of_their_names(tmp_path):
    flights(3, seed=1).to_parquet(tmp_path / "b.parquet")
    flights(2, seed=2).to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "notes.txt").write_text("not data", encoding="utf-8")
    frame = data.read_folder(tmp_path)
    assert len(frame) == 5
    assert frame["delay"].tolist() == [*flights(2, seed=2)["delay"], *flights(3, seed=1)["delay"]]


def test_text_columns_keep_their_leading_zeros(tmp_path):
    schema = write_schema(REGRESSION, tmp_path)
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
def test_a_broken_csv_is_named_with_its_problem_in_one_line(tmp_path, content, complaint):
    (tmp_path / "flights.csv").write_bytes(content)
    with pytest.raises(StepError, match=r"flights\.csv") as error:
        data.read_folder(tmp_path)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


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
    schema = write_schema(CLASSIFICATION, tmp_path)
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
    with pytest.raises(StepError) as error:
        data.validate(frame, write_schema(document, tmp_path))
    assert complaint in str(error.value)
    assert str(error.value).startswith(f"data does not fit {tmp_path / 'schema.yml'}: ")


def test_all_breaches_are_reported_at_once_in_the_order_of_the_schema(tmp_path):
    frame = flights(20).drop(columns="hour").assign(delay=900.0)
    frame.loc[0, "carrier"] = None
    with pytest.raises(StepError) as error:
        data.validate(frame, write_schema(REGRESSION, tmp_path))
    reported = str(error.value).split("schema.yml: ")[1]
    assert reported == (
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
        with pytest.raises(StepError) as error:
            data.validate(frame, schema)
        assert (f"x: {low} value" in str(error.value)) == bool(low)
        assert (f"{high} value{'s' * (high != 1)} above 20" in str(error.value)) == bool(high)
    else:
        assert data.validate(frame, schema)["x"].tolist() == values


def test_integers_that_may_be_missing_become_floats():
    typed = data.validate(pd.DataFrame({"x": [1, None], "y": 0.0}), one_column_schema(type="integer", missing=0.5))
    assert typed["x"].dtype == "float64"


def test_numbered_categories_read_the_same_from_csv_and_from_parquet():
    schema = one_column_schema(type="category", missing=0.5)
    for values in ([1, 2, 3, 4], [1.0, 2.0, np.nan, 4.0], ["1", "2", None, "4"]):
        assert data.validate(pd.DataFrame({"x": values, "y": 0.0}), schema)["x"].tolist()[::3] == ["1", "4"]


@pytest.mark.parametrize("part", ["raw", "production"])
def test_the_data_of_this_project_fit_its_schema(part):
    schema = Schema.load(ROOT / "data" / "schema.yml")
    frame = data.validate(data.read_folder(ROOT / "data" / part, schema), schema)
    assert list(frame.columns) == list(schema.columns)


# --- requests


def test_a_sample_request_holds_real_feature_rows_as_json(folders):
    request = endpoint.sample_request(MODALITY, folders.schema, folders.raw, 30)
    table = request["input_data"]
    assert table["columns"] == ["hour", "carrier", "wind"]
    assert len(table["data"]) == len(table["index"]) == 30
    assert [row[:2] for row in table["data"]] == flights()[["hour", "carrier"]].head(30).to_numpy().tolist()
    assert None in [row[2] for row in table["data"]]
    json.dumps(request, allow_nan=False)


def test_a_sample_request_cannot_have_more_rows_than_the_data(folders):
    with pytest.raises(StepError, match="201 rows is too large, there are only 200"):
        endpoint.sample_request(MODALITY, folders.schema, folders.raw, 201)
