"""Tables: reading, the check against the schema, and requests with real rows."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import CLASSIFICATION, REGRESSION, ROOT, module, write_schema
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import flights

data, endpoint, conversion = module("tabular.data"), module("core.endpoint"), module("conversion")
Column, Schema = module("core.schema").Column, module("core.schema").Schema
MODALITY = module("modality").MODALITY
Examples, load_examples = module("core.modality").Examples, module("core.modality").load_examples
refuse_constant_target = module("core.modality").refuse_constant_target
StepError = module("core.step").StepError


def column(name, **entry):
    return Column(name=name, **entry)


def one_column_schema(**entry):
    return Schema("y", "regression", {"x": column("x", **entry), "y": column("y", type="number")})


# --- reading


@pytest.fixture
def schema(tmp_path):
    return write_schema(REGRESSION, tmp_path)


@pytest.fixture
def raw(tmp_path):
    """A folder for data files."""
    folder = tmp_path / "raw"
    folder.mkdir()
    return folder


def test_files_of_all_kinds_are_joined_in_the_order_of_their_names(raw, schema):
    flights(3, seed=1).to_parquet(raw / "b.parquet")
    flights(2, seed=2).to_csv(raw / "a.csv", index=False)
    flights(4, seed=3).to_json(raw / "c.jsonl", orient="records", lines=True, double_precision=15)
    (raw / "notes.txt").write_text("not data", encoding="utf-8")
    frame = data.convert(data.read_folder(raw, schema), schema)
    assert frame["delay"].tolist() == [
        delay for rows, seed in ((2, 2), (3, 1), (4, 3)) for delay in flights(rows, seed=seed)["delay"]
    ]


def test_values_of_a_csv_stay_as_they_are_written(raw, schema):
    (raw / "a.csv").write_bytes(b'\xef\xbb\xbfid,hour , carrier\r\n007, 8 ,"A,""A"""\r\n\r\nNA,,x')
    frame = data.read_folder(raw, schema)
    assert frame.to_dict("list") == {"id": ["007", "NA"], "hour": [" 8 ", ""], "carrier": ['A,"A"', "x"]}


def test_a_file_without_rows_is_passed_over_beside_others(raw, schema, capsys):
    (raw / "a.csv").write_text("id,hour\n", encoding="utf-8")
    (raw / "b.csv").write_text("id,hour\n007,8\n", encoding="utf-8")
    assert data.read_folder(raw, schema).to_dict("list") == {"id": ["007"], "hour": ["8"]}
    assert f"passed over {raw / 'a.csv'}: it has no rows" in capsys.readouterr().out


def test_columns_without_a_name_are_left_out(raw, schema):
    (raw / "a.csv").write_text(",id,hour,,\n1,007,8,,\n2,008,9,,\n", encoding="utf-8")
    assert data.read_folder(raw, schema).to_dict("list") == {"id": ["007", "008"], "hour": ["8", "9"]}


def test_a_column_that_pandas_wrote_as_the_index_of_a_parquet_is_a_column(raw, schema):
    flights(3).set_index("hour").to_parquet(raw / "a.parquet")
    assert data.read_folder(raw, schema)["hour"].tolist() == flights(3)["hour"].tolist()


ROWS = "id,hour,carrier\n1,8,AA\n2,9,\u00c5B\n"
NAMES = "(its columns: id, hour, carrier)"
REFUSED = {
    "empty": (b"", "it is empty; it needs a header line and rows"),
    "no rows": (b"id,hour\n", "it has no rows (its columns: id, hour)"),
    # pandas would read the first column as the names of the rows, and each other one under the name of its neighbour.
    "a comma at the end of each line": (
        b"id,hour,carrier\n1,8,AA,\n2,9,BB,\n",
        f"line 2 has 4 values and the header 3 {NAMES}: remove the comma at the end of each line, or end the header",
    ),
    "a value too many in the first row": (
        b"id,hour,carrier\n1,8,A,A\n2,9,BB\n",
        f"line 2 has 4 values and the header 3 {NAMES}: name all columns in the header, and put values that hold",
    ),
    "a value too many in a later row": (
        b"id,hour,carrier\n1,8,AA\n\n2,9,B,B\n",
        f"line 4 has 4 values and the header 3 {NAMES}",
    ),
    "a row that breaks off": (
        b"id,hour,carrier\n1,8,AA\n2\n",
        f"line 3 has 1 value and the header 3 {NAMES}: complete it, with a comma for each empty value",
    ),
    "a quotation mark that is not closed": (
        b'id,hour,carrier\n1,8,"AA\n2,9,BB\n',
        "line 3 cannot be read (unexpected end",
    ),
    "text after a quoted value": (b'id,hour,carrier\n1,8,"A"A\n', "line 2 cannot be read (',' expected"),
    "a repeated column": (
        b"id,hour,carrier,hour\n1,8,AA,9\n",
        "it has the column hour more than once (its columns: id, hour, carrier, hour): rename or delete the others",
    ),
    "semicolons": (
        ROWS.replace(",", ";").encode(),
        f"its values are separated by semicolons {NAMES}: save it with commas",
    ),
    "tabs": (ROWS.replace(",", "\t").encode(), f"its values are separated by tabs {NAMES}: save it with commas"),
    "quoted names between semicolons": (b'"id";"hour"\n1;8\n', "separated by semicolons (its columns: id, hour)"),
    "UTF-16": (ROWS.encode("utf-16"), f"it is encoded in UTF-16 {NAMES}: save it in UTF-8"),
    "UTF-16 without a mark": (ROWS.encode("utf-16-be"), f"it is encoded in UTF-16 {NAMES}: save it in UTF-8"),
    "Latin-1": (
        ROWS.encode("latin-1"),
        f"it is not encoded in UTF-8: line 3 has the byte 0xc5 {NAMES}: save it in UTF-8",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_csv_that_would_not_be_read_as_it_is_is_refused_with_its_columns_and_the_remedy(raw, schema, name):
    content, complaint = REFUSED[name]
    (raw / "flights.csv").write_bytes(content)
    with pytest.raises(StepError, match=r"flights\.csv: ") as error:
        data.read_folder(raw, schema)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_broken_parquet_is_named(raw, schema):
    (raw / "flights.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(StepError, match=r"flights\.parquet: it cannot be read as parquet") as error:
        data.read_folder(raw, schema)
    assert "\n" not in str(error.value)


def test_a_parquet_with_a_repeated_column_is_refused(raw, schema):
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], names=["hour", "hour"]), raw / "flights.parquet")
    with pytest.raises(StepError, match=r"parquet: it has the column hour more than once \(its columns: hour, hour\)"):
        data.read_folder(raw, schema)


def test_an_empty_or_absent_folder_is_named(raw, schema):
    with pytest.raises(StepError, match="there is no csv, parquet or jsonl file"):
        data.read_folder(raw, schema)
    with pytest.raises(StepError, match="no such folder"):
        data.read_folder(raw / "nowhere", schema)


def test_files_with_different_columns_are_refused(raw, schema):
    flights(2).to_csv(raw / "a.csv", index=False)
    flights(2).drop(columns="wind").to_csv(raw / "b.csv", index=False)
    with pytest.raises(StepError, match=r"do not have the same columns; only one of them has wind"):
        data.read_folder(raw, schema)


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
    ("hour", "noon", "hour: 'noon' is not a finite number (1 value)"),
    ("hour", 3.5, "hour: '3.5' is not an integer (1 value)"),
    ("hour", 2**64, "hour: '18446744073709551616' is beyond 64 bits (1 value)"),
    ("hour", -1, "hour: 1 value below 0 (such as '-1')"),
    ("hour", 24, "hour: 1 value above 23 (such as '24')"),
    ("wind", float("inf"), "wind: 'inf' is not a finite number (1 value)"),
    ("carrier", None, "carrier: 3 missing values, more than the allowed 10.0%"),
    ("weekend", "maybe", "weekend: 'maybe' is not true or false (1 value)"),
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


def test_all_breaches_are_reported_at_once_with_the_columns_that_the_data_have(tmp_path):
    frame = flights(20).drop(columns=["hour", "weekend", "late"]).assign(delay=900.0)
    frame.loc[0, "carrier"] = None
    with pytest.raises(StepError) as error:
        data.validate(frame, write_schema(REGRESSION, tmp_path))
    reported = str(error.value).split("schema.yml: ")[1]
    assert reported == (
        "missing columns: hour (the data have id, carrier, wind, delay; "
        "`uv run mlops schema` drafts the schema of your data); "
        "carrier: 1 missing value (`missing: 0.05` would allow it); delay: 20 values above 500 (such as '900.0')"
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


# --- the parts that prep writes


def test_a_part_may_miss_more_values_than_the_whole(raw, tmp_path):
    columns = {**REGRESSION["columns"], "wind": {"type": "number", "missing": 0.05}}
    schema = write_schema({**REGRESSION, "columns": columns}, tmp_path)
    frame = flights(1000)
    frame["wind"] = np.where(np.arange(1000) % 20 == 0, np.nan, 1.0)
    frame.to_csv(raw / "flights.csv", index=False)
    valid = MODALITY.check(MODALITY.read(raw, schema), schema)
    more = 0
    for seed in range(20):
        folder = tmp_path / str(seed)
        folder.mkdir()
        part = valid.frame.sample(frac=0.2, random_state=seed).reset_index(drop=True)
        more += part["wind"].isna().mean() > 0.05
        MODALITY.write(replace(valid, frame=part), folder, "part")
        read = load_examples(MODALITY, folder, schema).frame
        pd.testing.assert_frame_equal(read, part)
    assert more


def test_types_survive_the_file_that_prep_writes(raw, tmp_path):
    columns = {
        "none": {"type": "category", "missing": 1},
        "empty_number": {"type": "number", "missing": 1},
        "maybe": {"type": "boolean", "missing": 0.5},
        "sure": {"type": "boolean"},
        "day": {"type": "date", "format": "%d.%m.%Y", "derive": ["day"]},
        "size": {"type": "integer", "thousands": ".", "decimal": ","},
        "y": {"type": "number"},
    }
    schema = write_schema({"target": "y", "task": "regression", "columns": columns}, tmp_path)
    rows = 'none,empty_number,maybe,sure,day,size,y\n,,yes,no,05.01.2013,1.000,1\n,,,yes,01.05.2013,"7,0",2\n'
    (raw / "a.csv").write_text(rows, encoding="utf-8")
    valid = MODALITY.check(MODALITY.read(raw, schema), schema)
    assert valid.frame.dtypes.astype(str).to_dict() == {
        "none": "object",
        "empty_number": "float64",
        "maybe": "float64",
        "sure": "bool",
        "day": "object",
        "day_day": "int64",
        "size": "int64",
        "y": "float64",
    }
    assert valid.frame["day"].tolist() == ["2013-01-05", "2013-05-01"]
    assert valid.frame["size"].tolist() == [1000, 7]
    (tmp_path / "part").mkdir()
    MODALITY.write(valid, tmp_path / "part", "part")
    pd.testing.assert_frame_equal(load_examples(MODALITY, tmp_path / "part", schema).frame, valid.frame)


def test_production_data_are_typed_where_that_is_possible(raw, tmp_path):
    columns = {**REGRESSION["columns"], "left": {"type": "date", "derive": ["hour"]}}
    schema = write_schema({**REGRESSION, "columns": columns}, tmp_path)
    rows = "hour,carrier,wind,left\n 8,7.0,3,2013-01-05T06:30\nnoon,,x,now\n"
    (raw / "a.csv").write_text(rows, encoding="utf-8")
    frame, compared = MODALITY.describe(MODALITY.read(raw, schema), schema)
    assert list(compared) == ["hour", "carrier", "wind", "left_hour"]
    assert frame["hour"].tolist() == [8.0, "noon"]
    assert frame["carrier"].tolist() == ["7", None]
    assert frame["wind"].tolist() == [3.0, "x"]
    assert frame["left_hour"].tolist()[0] == 6
    assert frame["left_hour"].isna().tolist() == [False, True]


def test_a_constant_target_is_refused_only_where_the_whole_data_are_at_hand(tmp_path, schema):
    frame = flights(20).assign(delay=5.0)
    valid = MODALITY.check(Examples(frame, tmp_path), schema)
    with pytest.raises(StepError) as error:
        refuse_constant_target(valid, schema)
    assert str(error.value) == (
        "delay is 5.0 in each of 20 rows, so there is nothing to learn: "
        f"add other rows, or choose another target in {schema.source}"
    )
    refuse_constant_target(Examples(frame.assign(delay=[5.0] * 19 + [6.0]), tmp_path), schema)


def test_listed_values_are_compared_after_the_conversion(raw, tmp_path):
    text = """
    target: y
    task: regression
    columns:
      answer: {type: category, values: [yes, no]}
      gate: {type: category, values: [7, 8]}
      open: {type: category, values: [true, false]}
      y: {type: number}
    """
    (tmp_path / "schema.yml").write_text(text, encoding="utf-8")
    schema = Schema.load(tmp_path / "schema.yml")
    (raw / "a.csv").write_text("answer,gate,open,y\nyes,7.0,TRUE,1\nno, 8,false,2\n", encoding="utf-8")
    frame = data.validate(data.read_folder(raw, schema), schema)
    assert frame["answer"].tolist() == ["yes", "no"]
    assert frame["gate"].tolist() == ["7", "8"]
    assert frame["open"].tolist() == ["True", "False"]


# --- requests


def test_a_sample_request_has_the_date_and_not_what_is_derived_from_it(raw, tmp_path):
    columns = {**REGRESSION["columns"], "left": {"type": "date", "format": "%d.%m.%Y", "derive": ["month"]}}
    schema = write_schema({**REGRESSION, "columns": columns}, tmp_path)
    flights(2).assign(left="31.01.2013").to_csv(raw / "a.csv", index=False)
    table = endpoint.sample_request(MODALITY, schema.source, raw, 2)["input_data"]
    assert table["columns"] == ["hour", "carrier", "wind", "left"]
    assert [row[-1] for row in table["data"]] == ["2013-01-31", "2013-01-31"]
    typed = conversion.convert(pd.DataFrame(table["data"], columns=table["columns"]), schema.input_columns())
    assert typed["left_month"].tolist() == [1, 1]


def test_a_sample_request_needs_no_share_of_missing_values(folders):
    pd.read_csv(folders.raw / "flights.csv").assign(wind=None).to_csv(folders.raw / "flights.csv", index=False)
    assert len(endpoint.sample_request(MODALITY, folders.schema, folders.raw, 3)["input_data"]["data"]) == 3


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
