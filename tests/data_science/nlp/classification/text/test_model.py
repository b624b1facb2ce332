"""The model that is saved of texts: the same probabilities, its embedding, and its files."""

import json
from dataclasses import replace

import mlflow
import numpy as np
import pandas as pd
import pytest
from helpers import module, write_schema
from samples import CLASSES, SCHEMA, table
from test_linear import column, examples, fit

saving, linear, model_output = module("text.saving"), module("text.linear"), module("model_output")
vocabulary = module("text.vocabulary")
StepError = module("core.step").StepError


@pytest.fixture(scope="module", params=["words", "both", "characters"])
def saved(request, tmp_path_factory):
    """A trained model, its texts and the folder of its MLflow model."""
    root = tmp_path_factory.mktemp("saved")
    frame = table(90)
    trained = fit(frame, write_schema(SCHEMA, root), analyzer=request.param)
    trained.save(examples(frame), root / "model")
    return trained, frame, root / "model"


def test_the_saved_model_gives_the_probabilities_of_the_trained_one(saved):
    trained, _, folder = saved
    fresh = table(40, seed=1)
    answer = mlflow.pyfunc.load_model(str(folder)).predict(fresh[["text"]])
    expected = trained.predict(examples(fresh))
    assert list(answer) == ["prediction", *CLASSES]
    assert answer.iloc[:, 1:].to_numpy() == pytest.approx(expected.probabilities, abs=1e-6)
    assert (answer["prediction"] == expected.values).all()


def test_the_model_takes_any_number_of_texts_and_none(saved):
    _, frame, folder = saved
    model = mlflow.pyfunc.load_model(str(folder))
    for options in ({}, {"params": {"embedding": True}}):
        tables = [model.predict(frame[["text"]].head(count), **options) for count in (0, 1, 90)]
        assert [len(each) for each in tables] == [0, 1, 90]
        assert len({tuple(each) for each in tables}) == 1


def test_the_embedding_has_the_share_of_new_words_and_the_directions_in_which_texts_differ(saved):
    trained, frame, folder = saved
    model = mlflow.pyfunc.load_model(str(folder))
    given = model_output.embedding(model, frame[["text"]])
    assert list(given) == ["unknown", *(f"embedding {place}" for place in range(1, 9))]
    assert (given["unknown"] == 0).all()
    weights = trained.pipeline[:-1].transform(frame["text"]).toarray()
    lengths = np.linalg.svd(weights, full_matrices=False)[1][:8]
    assert np.linalg.norm(given.iloc[:, 1:]) ** 2 == pytest.approx((lengths**2).sum(), rel=0.05)
    half_new = pd.DataFrame({"text": [" ".join(["qqqq", "wwww", *frame["text"][0].split()[:2]])]})
    assert model_output.embedding(model, half_new)["unknown"].tolist() == [0.5]


def test_the_same_training_gives_the_same_embedding(saved, tmp_path):
    trained, frame, folder = saved
    trained.save(examples(frame), tmp_path / "again")
    models = [mlflow.pyfunc.load_model(str(each)) for each in (folder, tmp_path / "again")]
    first, again = (model_output.embedding(each, frame[["text"]]) for each in models)
    assert first.equals(again)


def test_the_files_of_a_model_are_plain_numbers_and_names(saved):
    _, frame, folder = saved
    files = folder / "artifacts" / "model"
    assert sorted(path.name for path in files.iterdir()) == ["model.json", "terms.json", "weights.npz", "words.json"]
    about = json.loads((files / "model.json").read_text(encoding="utf-8"))
    assert (about["model"], about["classes"], about["integers"]) == ("tfidf", list(CLASSES), False)
    everything = "".join(path.read_text(encoding="utf-8", errors="ignore") for path in folder.rglob("*.*"))
    assert not any(text in everything for text in frame["text"])


def test_a_value_that_is_no_text_is_named_by_its_row(saved):
    model = mlflow.pyfunc.load_model(str(saved[2])).unwrap_python_model()
    with pytest.raises(ValueError, match="row 1: text is missing or no text"):
        model.predict(None, pd.DataFrame({"text": ["a", None]}))


def test_probabilities_that_differ_from_those_of_the_trained_model_are_not_saved(saved, tmp_path):
    trained, frame, _ = saved

    class Wrong(linear.TrainedLinear):
        def probabilities(self, texts):
            return super().probabilities(texts) + 0.01

    wrong = Wrong(**vars(replace(trained)))
    with pytest.raises(StepError, match=r"gives probabilities that differ by 1\.0e-02 from the trained one's"):
        wrong.save(examples(frame), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_class_that_is_an_integer_is_predicted_as_one(tmp_path):
    frame = table(60)
    frame["place"] = frame["place"].map(dict(zip(CLASSES, (3, 10, 2), strict=True)))
    trained = fit(frame, column(tmp_path, type="integer"))
    trained.save(examples(frame), tmp_path / "model")
    model = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    answer = model.predict(frame[["text"]])
    assert answer["prediction"].dtype == np.int64
    assert module("model_output").predict(model, frame[["text"]]).values.tolist() == answer["prediction"].tolist()
    assert set(answer["prediction"]) <= {2, 3, 10}
    assert set(answer) == {"prediction", "2", "3", "10"}


def test_of_very_many_words_the_frequent_ones_are_known(monkeypatch):
    monkeypatch.setattr(vocabulary, "_MOST_WORDS", 2)
    rare = " ".join(f"w{number}" for number in range(50))
    assert vocabulary.known_words([rare, "often often again", "often again"]) == ["often", "again"]
