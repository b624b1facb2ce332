"""The conversion of values, which training, files and requests share."""

import math
import warnings
from datetime import datetime

import numpy as np
import pandas as pd
import pytest
from helpers import module
from hypothesis import given
from hypothesis import strategies as st

conversion = module("conversion")


def converted(value, kind, missing=False, **settings):
    """Return the one value of a column after the conversion, and its type in memory."""
    table = pd.DataFrame({"x": pd.Series([value], dtype=object)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        typed = conversion.convert(table, {"x": {"type": kind, "missing": missing, **settings}})
    return typed["x"].iloc[0], str(typed["x"].dtype)


def problem(value, kind, **settings):
    with pytest.raises(ValueError, match=r"^x: ") as error:
        converted(value, kind, **settings)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix("x: ")


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("integer", [7, 7.0, "7", " 7 ", "7.0", "7e0"], (7, "int64")),
        ("integer", [True, "true", "TRUE", 1, "1"], (1, "int64")),
        ("number", [7.5, "7.5", " 7.5\n", "75e-1"], (7.5, "float64")),
        ("boolean", [True, 1, 1.0, "true", " TRUE ", "yes", "1", "1.0"], (True, "bool")),
        ("boolean", [False, 0, 0.0, "false", "False", "NO", "0"], (False, "bool")),
        ("category", [7, 7.0, "7", " 7", "7.0", "7.00"], ("7", "object")),
        ("category", [True, "true", "TRUE", "True "], ("True", "object")),
        ("category", [-0.0, 0, "-0.0", "0.0"], ("0", "object")),
        ("category", ["007"], ("007", "object")),
        ("category", ["1.10"], ("1.10", "object")),
        ("text", [" 7.0", " 7.0"], (" 7.0", "object")),
        ("date", ["2013-01-05", "20130105", 20130105, 20130105.0, " 2013-01-05 "], ("2013-01-05", "object")),
        ("date", ["2013-01-05T00:00", datetime(2013, 1, 5), pd.Timestamp("2013-01-05")], ("2013-01-05", "object")),
        (
            "date",
            ["2013-01-05T06:30", "2013-01-05 06:30:00", "2013-01-05T08:30+02:00"],
            ("2013-01-05T06:30:00", "object"),
        ),
    ],
)
def test_spellings_of_a_value_are_one_value(kind, values, expected):
    for value in values:
        assert converted(value, kind) == expected, repr(value)


@pytest.mark.parametrize("kind", ["integer", "number", "boolean", "category", "text", "date"])
@pytest.mark.parametrize("value", [None, math.nan, pd.NA, pd.NaT, "", "NA", "null", "nan"])
def test_missing_values_are_missing_in_each_type(kind, value):
    found, memory = converted(value, kind, missing=True)
    assert found is None if memory == "object" else math.isnan(found)


@pytest.mark.parametrize(
    ("value", "kind", "complaint"),
    [
        ("noon", "number", "'noon' is not a finite number"),
        ("", "integer", "a value is missing, and the model has never seen that"),
        (None, "boolean", "a value is missing, and the model has never seen that"),
        (math.inf, "number", "'inf' is not a finite number"),
        ("1e999", "number", "'1e999' is not a finite number"),
        ("NAN", "number", "'NAN' is not a finite number"),
        ("1_0", "number", "'1_0' is not a finite number"),
        ("yes", "number", "'yes' is not a finite number"),
        (10**309, "number", "0...' is not a finite number"),
        (7.5, "integer", "'7.5' is not an integer"),
        (2**63, "integer", "'9223372036854775808' is beyond 64 bits"),
        (-(2**63) - 2**11, "integer", "is beyond 64 bits"),
        (2, "boolean", "'2' is not true or false"),
        ("maybe", "boolean", "'maybe' is not true or false"),
        ([1], "number", "a list is not a single value"),
        ({"a": 1}, "category", "a dict is not a single value"),
        ("5 January", "date", "'5 January' is not a date, written as 2013-01-31 or 2013-01-31T18:30"),
        (True, "date", "'True' is not a date"),
        ("two\nlines", "number", "'two lines' is not a finite number"),
    ],
)
def test_a_value_of_another_type_is_refused_in_one_line(value, kind, complaint):
    assert complaint in problem(value, kind)


@pytest.mark.parametrize(
    ("text", "settings", "expected"),
    [
        ("1,224.55", {"thousands": ","}, 1224.55),
        ("-1,000,000", {"thousands": ","}, -1e6),
        ("12.5", {"thousands": ","}, 12.5),
        ("1.224,55", {"thousands": ".", "decimal": ","}, 1224.55),
        ("0,5", {"decimal": ","}, 0.5),
        ("1'224", {"thousands": "'"}, 1224.0),
        ("1\u2019224", {"thousands": "'"}, 1224.0),
        ("1 224", {"thousands": " "}, 1224.0),
        ("1\u202f224", {"thousands": " "}, 1224.0),
    ],
)
def test_numbers_with_separators_are_read(text, settings, expected):
    assert converted(text, "number", **settings) == (expected, "float64")
    # What is a number already has no separators.
    assert converted(expected, "number", **settings) == (expected, "float64")


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("1,5", {"thousands": ","}),
        ("1,22,455", {"thousands": ","}),
        ("1.5", {"decimal": ","}),
        ("1.22,5", {"thousands": ".", "decimal": ","}),
        ("1,224", {}),
    ],
)
def test_a_number_with_other_separators_is_refused_instead_of_becoming_ten_times_larger(text, settings):
    assert problem(text, "number", **settings) == f"'{text}' is not a finite number"


def test_a_date_in_another_format_is_read_and_iso_stays_valid():
    for text in ("05.01.2013", "2013-01-05", datetime(2013, 1, 5)):
        assert converted(text, "date", format="%d.%m.%Y")[0] == "2013-01-05"
    assert problem("2013/01/05", "date", format="%d.%m.%Y") == (
        "'2013/01/05' is not a date, written %d.%m.%Y or as 2013-01-31"
    )


def test_a_date_has_parts():
    column = {"type": "date", "missing": False, "derive": list(conversion.PARTS)}
    typed = conversion.convert(pd.DataFrame({"d": ["2013-02-03T18:45"]}), {"d": column})
    assert typed.iloc[0].to_dict() == {
        "d": "2013-02-03T18:45:00",
        "d_year": 2013,
        "d_month": 2,
        "d_day": 3,
        "d_day_of_week": 7,
        "d_day_of_year": 34,
        "d_hour": 18,
    }
    assert set(typed.dtypes.iloc[1:].astype(str)) == {"int64"}


def test_the_parts_of_a_date_that_may_be_missing_are_missing_with_it():
    column = {"type": "date", "missing": True, "derive": ["month"]}
    typed = conversion.convert(pd.DataFrame({"d": ["2013-02-03", None]}), {"d": column})
    assert typed["d_month"].tolist()[0] == 2.0
    assert typed["d_month"].isna().tolist() == [False, True]
    with pytest.raises(ValueError, match="d: a value is missing"):
        conversion.convert(pd.DataFrame({"d": [None]}), {"d": column | {"missing": False}})


def test_missing_columns_are_named_and_further_ones_left_out():
    columns = {"a": {"type": "number", "missing": True}, "b": {"type": "number", "missing": True}}
    with pytest.raises(ValueError, match=r"^missing columns: b \(given: a, c\)$"):
        conversion.convert(pd.DataFrame({"a": [1], "c": [1]}), columns)
    assert list(conversion.convert(pd.DataFrame({"c": [1], "b": [1], "a": [1]}), columns)) == ["a", "b"]


def test_values_that_the_model_does_not_know_are_counted():
    columns = {
        "a": {"type": "category", "missing": True, "values": ["x", "7"]},
        "b": {"type": "category", "missing": True},
    }
    typed = conversion.convert(pd.DataFrame({"a": ["x", 7.0, "z", None, "y"], "b": list("abcde")}), columns)
    assert list(conversion.unknown_values(typed, columns)) == [
        "a: 2 of 5 values are unknown to the model (such as 'z')"
    ]
    assert list(conversion.unknown_values(typed.head(2), columns)) == []


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.floats().map(repr),
    st.integers(-(2**70), 2**70).map(str),
    st.dates(datetime(1900, 1, 1).date()).map(str),
    st.sampled_from(["true", "FALSE", "yes", " 7", "7.0", "1,000", "NA", "x"]),
    st.text(max_size=8),
)


@given(
    values=st.lists(VALUES, min_size=1, max_size=5),
    kind=st.sampled_from(["integer", "number", "boolean", "category", "text", "date"]),
)
def test_many_values_are_converted_as_each_alone_and_typed_values_stay(values, kind):
    column = {"type": kind, "missing": True, "thousands": ","}
    together, wrong = conversion.convert_column(pd.Series(values, dtype=object), column)
    alone = [conversion.convert_column(pd.Series([value], dtype=object), column) for value in values]
    assert sorted(row for rows in wrong.values() for row in rows) == [
        row for row, each in enumerate(alone) if each.wrong
    ]
    np.testing.assert_array_equal(together, np.concatenate([each.values for each in alone]))
    again, wrong = conversion.convert_column(pd.Series(together), column)
    assert not wrong
    np.testing.assert_array_equal(again, together)
