"""What a model of any library predicts, as values and probabilities."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers import module

model_output = module("model_output")
INPUTS = pd.DataFrame({"a": [1, 2, 3]})
SHARES = np.array([[0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])


def model(answer, metadata=None, raw=None):
    """An MLflow model that answers this."""
    return SimpleNamespace(
        metadata=SimpleNamespace(metadata=metadata), get_raw_model=lambda: raw, predict=lambda inputs: answer
    )


def test_an_answer_of_values_has_no_probabilities():
    output = model_output.predict(model([1.5, 2, 3]), INPUTS)
    assert output.values.tolist() == [1.5, 2, 3]
    assert output.probabilities is None


def test_a_model_without_a_raw_one_answers_itself():
    def refuse():
        raise NotImplementedError

    given = model([1.5], raw=None)
    given.get_raw_model = refuse
    assert model_output.predict(given, INPUTS).values.tolist() == [1.5]


def test_a_table_has_the_probabilities_in_the_columns_of_the_classes():
    table = pd.DataFrame(SHARES, columns=["yes", "no"]).assign(prediction=["no", "yes", "yes"])
    output = model_output.predict(model(table), INPUTS)
    assert output.classes == ("yes", "no")
    assert output.probabilities.tolist() == SHARES.tolist()


def test_a_table_of_predictions_alone_has_values_alone():
    output = model_output.predict(model(pd.DataFrame({"prediction": [1, 2, 3]})), INPUTS)
    assert output.values.tolist() == [1, 2, 3]
    assert output.probabilities is None


def test_the_positive_class_is_last_and_predicted_from_the_threshold_on():
    raw = SimpleNamespace(predict_proba=lambda inputs: SHARES, classes_=np.array(["bad", "good"]))
    metadata = {"classes": ["good", "bad"], "threshold": 0.55}
    output = model_output.predict(model(None, metadata, raw), INPUTS)
    assert output.classes == ("good", "bad")
    assert output.probabilities[:, 1].tolist() == [0.2, 0.6, 0.5]
    assert output.values.tolist() == ["good", "bad", "good"]


@pytest.mark.parametrize("classes", [np.array([0, 1]), np.array([False, True]), np.array(["a", "b"], dtype=object)])
def test_a_class_keeps_its_type(classes):
    output = model_output.from_probabilities(SHARES, classes)
    assert output.values.tolist() == [classes[1], classes[0], classes[1]]


def test_of_more_than_two_classes_the_most_probable_one_is_predicted():
    shares = np.array([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]])
    output = model_output.from_probabilities(shares, ["a", "b", "c"], ["c", "a", "b"], threshold=0.9)
    assert output.classes == ("c", "a", "b")
    assert output.values.tolist() == ["b", "a"]
