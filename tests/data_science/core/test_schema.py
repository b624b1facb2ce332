"""The schema file."""

import json

import pytest
from helpers import CLASSIFICATION, REGRESSION, module, write_schema

Schema = module("core.schema").Schema
StepError = module("core.step").StepError


def test_the_schema_lists_features_in_its_order_without_target_and_ignored_columns(tmp_path):
    schema = write_schema(CLASSIFICATION, tmp_path)
    assert schema.features == ["hour", "carrier", "weekend", "wind"]
    assert schema.numerical == ["hour", "wind"]
    assert schema.categorical == ["carrier", "weekend"]
    assert "id" not in write_schema(REGRESSION, tmp_path).features


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
        ({"columns": {"delay": {"type": "category", "values": ["a", "b", "a"]}}}, "values: 'a' is there twice"),
        ({"columns": {"delay": None}}, "column 'delay': give at least"),
        ({"columns": {"delay": {"type": "category", "minimum": 0}}}, "minimum has no meaning for the type category"),
        (
            {"columns": {"delay": {"type": "category", "thousands": ","}}},
            "thousands has no meaning for the type category",
        ),
        ({"columns": {"delay": {"type": "number", "derive": ["month"]}}}, "derive has no meaning for the type number"),
        (
            {"columns": {"delay": {"type": "number", "thousands": "_"}}},
            "thousands: '_' is unknown; choose one of \",\"",
        ),
        ({"columns": {"delay": {"type": "number", "thousands": "."}}}, "thousands and decimal (if left out, a point)"),
        ({"columns": {"delay": {"type": "number", "values": ["low"]}}}, "values: 'low' is not a finite number"),
        (
            {"columns": {"delay": {"type": "category", "values": ["x", "NA"]}}},
            "values: 'NA' stands for a missing value",
        ),
        ({"columns": {"delay": {"type": "date"}}}, "a date is no feature itself: give either `derive: [month, day"),
        ({"columns": {"delay": {"type": "date", "role": "ignore", "derive": ["month"]}}}, "give either `derive"),
        ({"columns": {"delay": {"type": "date", "derive": ["moon"]}}}, "derive: 'moon' is unknown; choose from year, "),
        (
            {"columns": {"delay": {"type": "date", "role": "ignore", "format": "%d.%m."}}},
            "does not hold day, month and",
        ),
        (
            {"columns": {"delay": {"type": "date", "role": "ignore", "format": "%Y-%d-%m"}}},
            "looks like ISO 8601 and is not",
        ),
        ({"columns": {"delay": {"type": "date", "role": "ignore", "format": "%Q"}}}, "format: '%Q' is not valid"),
        (
            {"columns": {**REGRESSION["columns"], "delay": {"type": "date", "role": "ignore"}}},
            "number or integer, not date",
        ),
        (
            {
                "columns": {
                    **REGRESSION["columns"],
                    "on": {"type": "date", "derive": ["day"]},
                    "on_day": {"type": "text"},
                }
            },
            "column 'on_day': the name is needed for the day of on; rename it",
        ),
    ],
)
def test_a_wrong_schema_is_refused_with_the_problem(tmp_path, change, complaint):
    with pytest.raises(StepError, match=r"schema\.yml") as error:
        write_schema({**REGRESSION, **change}, tmp_path)
    assert complaint in str(error.value)


@pytest.mark.parametrize("text", ["target: [", "just text", "- a list"])
def test_a_schema_that_is_not_a_mapping_is_refused(tmp_path, text):
    (tmp_path / "schema.yml").write_text(text, encoding="utf-8")
    with pytest.raises(StepError, match=r"schema\.yml"):
        Schema.load(tmp_path / "schema.yml")


def load(folder, text):
    (folder / "schema.yml").write_text(text, encoding="utf-8")
    return Schema.load(folder / "schema.yml")


def test_values_and_names_are_read_as_they_are_written(tmp_path):
    schema = load(
        tmp_path,
        """
        target: yes
        task: classification
        positive: no
        columns:
          yes: {type: category, values: [no, yes]}
          time: {type: category, values: [12:30, 007, 1_000, on, 1.0, 2013-01-05, ~x]}
          flag: {type: boolean, values: [true, no]}
          size: {type: integer, values: [1, 2.0]}
        """,
    )
    assert schema.target == "yes"
    assert schema.columns["yes"].values == ("no", "yes")
    assert schema.classes == ("yes", "no")
    # As the conversion writes what the data have.
    assert schema.columns["time"].values == ("12:30", "007", "1_000", "on", "1", "2013-01-05", "~x")
    assert schema.columns["flag"].values == ("True", "False")
    assert schema.columns["size"].values == ("1", "2")


def test_the_positive_class_of_a_boolean_may_be_true(tmp_path):
    text = "{target: late, task: classification, positive: true, columns: {late: {type: boolean}, x: {type: number}}}"
    assert load(tmp_path, text).positive == "True"


def test_limits_are_numbers_although_values_are_texts(tmp_path):
    text = "{target: y, task: regression, columns: {y: {type: number, minimum: -5, maximum: 1e3}, x: {type: number}}}"
    column = load(tmp_path, text).columns["y"]
    assert (column.minimum, column.maximum, column.missing) == (-5, 1000.0, 0.0)


DATES = {
    **REGRESSION,
    "columns": {
        "left": {"type": "date", "derive": ["month", "hour"], "format": "%d.%m.%Y %H:%M"},
        "booked": {"type": "date", "role": "ignore"},
        **REGRESSION["columns"],
    },
}


def test_parts_of_a_date_are_features_in_its_place_and_a_request_has_the_date(tmp_path):
    schema = write_schema(DATES, tmp_path)
    assert schema.features == ["left_month", "left_hour", "hour", "carrier", "wind"]
    assert [schema.columns[name].role for name in schema.features[:2]] == ["calendar", "feature"]
    assert list(schema.columns)[:4] == ["left", "left_month", "left_hour", "booked"]
    assert list(schema.raw_columns)[:3] == ["left", "booked", "id"]
    assert schema.inputs == ["left", "hour", "carrier", "wind"]


def test_the_columns_of_a_request_are_plain_data(tmp_path):
    columns = write_schema(DATES, tmp_path).input_columns()
    assert json.loads(json.dumps(columns)) == columns
    assert columns["left"] == {
        "type": "date",
        "missing": False,
        "format": "%d.%m.%Y %H:%M",
        "derive": ["month", "hour"],
    }
    assert columns["wind"] == {"type": "number", "missing": True}
