"""What the mlops layer calls: the check of an endpoint's answer."""

from types import SimpleNamespace

import pytest
import yaml
from helpers import CLASSIFICATION, REGRESSION, module, write_schema

endpoint = module("core.endpoint")


def check_response(response, folder, *tasks):
    """Check an answer to two rows; `tasks` are those of the type of data."""
    modality = SimpleNamespace(tasks=tasks or ("regression", "classification"))
    return endpoint.check_response(modality, response, 2, folder / "schema.yml")


@pytest.mark.parametrize("response", [{"predictions": [1.0, -600]}, {"predictions": [0, 1100.0]}])
def test_a_plausible_answer_has_no_problem(tmp_path, response):
    write_schema(REGRESSION, tmp_path)
    assert check_response(response, tmp_path) == []


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
    [problem] = check_response(response, tmp_path)
    assert complaint in problem


def test_a_class_that_the_schema_does_not_list_is_a_problem(tmp_path):
    write_schema(CLASSIFICATION, tmp_path)
    assert check_response({"predictions": ["yes", "no"]}, tmp_path) == []
    [problem] = check_response({"predictions": ["yes", "perhaps"]}, tmp_path)
    assert "not a known class (such as 'perhaps')" in problem


def test_an_answer_is_checked_only_for_a_task_of_the_type_of_data(tmp_path):
    write_schema(CLASSIFICATION, tmp_path)
    with pytest.raises(endpoint.StepError, match="task 'classification' is unknown; choose one of regression"):
        check_response({"predictions": ["yes", "no"]}, tmp_path, "regression")


@pytest.mark.parametrize(
    "probabilities", [[[0.2, 0.8]], [[0.2, 0.9], [0.5, 0.5]], [[1.2, -0.2], [0.5, 0.5]], [[1.0], [0.5, 0.5]], None, 3]
)
def test_probabilities_that_are_not_valid_are_a_problem(tmp_path, probabilities):
    write_schema(CLASSIFICATION, tmp_path)
    answer = {"predictions": ["yes", "no"], "classes": ["no", "yes"]}
    assert check_response(answer | {"probabilities": [[0.2, 0.8], [1.0, 0.0]]}, tmp_path) == []
    [problem] = check_response(answer | {"probabilities": probabilities}, tmp_path)
    assert "the probabilities of" in problem


def test_a_log_shows_numbers_and_classes_and_of_texts_the_length_alone(tmp_path):
    modality = SimpleNamespace(tasks=("regression", "classification", "summarization"))
    schema = tmp_path / "schema.yml"
    write_schema(REGRESSION, tmp_path)
    assert endpoint.shown(modality, [1.23456, -7], schema) == ["1.235", "-7"]
    write_schema(CLASSIFICATION, tmp_path)
    assert endpoint.shown(modality, ["late", "on time"], schema) == ["late", "on time"]
    columns = {"text": {"type": "text"}, "gist": {"type": "text"}}
    texts = {"target": "gist", "task": "summarization", "columns": columns}
    schema.write_text(yaml.safe_dump(texts), encoding="utf-8")
    assert endpoint.shown(modality, ["The seller of Bonn met Ada."], schema) == ["a text of 27 characters"]
