"""The schema file."""

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
        ({"columns": {"delay": None}}, "column 'delay': give at least"),
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
