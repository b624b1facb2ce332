"""What the mlops layer calls: the check of an endpoint's answer."""

import pytest
from helpers import CLASSIFICATION, REGRESSION, module, write_schema

endpoint = module("core.endpoint")


@pytest.mark.parametrize("response", [{"predictions": [1.0, -600]}, {"predictions": [0, 1100.0]}])
def test_a_plausible_answer_has_no_problem(tmp_path, response):
    write_schema(REGRESSION, tmp_path)
    assert endpoint.check_response(response, 2, tmp_path / "schema.yml") == []


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
    write_schema(REGRESSION, tmp_path)
    [problem] = endpoint.check_response(response, 2, tmp_path / "schema.yml")
    assert complaint in problem


def test_a_class_that_the_schema_does_not_list_is_a_problem(tmp_path):
    write_schema(CLASSIFICATION, tmp_path)
    assert endpoint.check_response({"predictions": ["yes", "no"]}, 2, tmp_path / "schema.yml") == []
    [problem] = endpoint.check_response({"predictions": ["yes", "perhaps"]}, 2, tmp_path / "schema.yml")
    assert "not a known class (such as 'perhaps')" in problem
