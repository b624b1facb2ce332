"""The scoring script answers what an endpoint is asked, and says in one line what it cannot answer."""

import json

import numpy as np
import pytest
from conftest import MODALITY, RAW, SCHEMA, module
from test_model import predictions

ROWS = 5


@pytest.fixture(scope="module")
def request_of_rows():
    """A request with the first rows of data/raw."""
    return module("core.endpoint").sample_request(MODALITY, SCHEMA, RAW, ROWS)


def refused(answer):
    """Return the line that a request was refused with."""
    assert answer.status_code == 400
    message = json.loads(answer.get_data())["error"]
    assert "\n" not in message
    return message


def test_it_answers_a_request(endpoint, request_of_rows):
    answer = endpoint.run(json.dumps(request_of_rows))
    assert module("core.endpoint").check_response(MODALITY, answer, ROWS, SCHEMA) == []


def test_it_refuses_what_is_not_json(endpoint):
    assert "not valid JSON" in refused(endpoint.run("this is not JSON"))


def test_it_refuses_a_request_without_rows(endpoint, request_of_rows):
    empty = request_of_rows["input_data"] | {"data": [], "index": []}
    assert "no rows" in refused(endpoint.run(json.dumps({"input_data": empty})))


def test_it_names_the_columns_that_a_request_lacks(endpoint):
    other = {"input_data": {"columns": ["no such column"], "data": [[1]]}}
    assert refused(endpoint.run(json.dumps(other))).startswith("missing columns: ")


def test_files_of_a_batch_get_the_predictions_of_the_model(endpoint, model, schema, tmp_path):
    """One row in each file, and without the outcome."""
    raw = MODALITY.check(MODALITY.read(RAW, schema), schema)
    raw = raw.take(np.arange(len(raw.frame)) < ROWS)
    files = []
    for place in range(ROWS):
        row = raw.take(np.arange(ROWS) == place)
        folder = tmp_path / str(place)
        folder.mkdir()
        unknown = type(row)(row.frame.drop(columns=schema.target), row.root)
        MODALITY.write(unknown, folder, "row")
        files += module("core.modality").data_files(folder, MODALITY.suffixes)
    scored = list(endpoint.run(list(map(str, files)))["prediction"])
    expected = list(predictions(model, raw).values)
    if all(isinstance(each, float) for each in expected):
        assert scored == pytest.approx(expected, rel=1e-3, abs=1e-3)
    else:
        assert list(map(str, scored)) == list(map(str, expected))
