"""The selection of sentences: what it learns, in any script, and the model that is saved."""

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from helpers import module
from samples import fit, load_schema, rouge, table
from text_samples import LETTERS

hyperparameters, lead = module("text.hyperparameters"), module("text.lead")
text_model, model_output = module("text_model"), module("model_output")
Examples, StepError = module("core.modality").Examples, module("core.step").StepError


@pytest.fixture
def schema(tmp_path):
    return load_schema(tmp_path)


@pytest.mark.parametrize("script", LETTERS)
def test_it_finds_the_sentence_that_tells_where_the_first_one_does_not(schema, script):
    trained, unseen = fit(table(150, script=script), schema), table(50, seed=1, script=script)
    first = unseen.assign(gist=[lead.lead(text, 1) for text in unseen["text"]])
    assert rouge(trained, unseen) > 0.7
    assert rouge(trained, first) < 0.4


def test_the_same_texts_give_the_same_model_and_their_order_does_not_matter(schema):
    first, again = (fit(table(60), schema).selector for _ in range(2))
    assert np.array_equal(first.coefficients, again.coefficients)
    turned = fit(table(60).iloc[::-1], schema).selector
    assert np.allclose(first.coefficients, turned.coefficients, atol=1e-4)


def test_it_chooses_as_many_sentences_as_a_usual_summary_or_as_the_setting_says_in_their_order(schema):
    frame = table(60)
    two = frame.assign(gist=[f"{gist}. Another one" for gist in frame["gist"]])
    text = frame["text"][0]
    [chosen] = fit(two, schema).summaries([text])
    assert len(text_model.sentences(chosen)) == 2
    places = [text.index(sentence) for sentence in text_model.sentences(chosen)]
    assert places == sorted(places)
    [chosen] = fit(two, schema, sentences=4).summaries([text])
    assert len(text_model.sentences(chosen)) == 4


def test_a_text_of_one_sentence_is_its_own_summary(schema):
    trained = fit(table(60), schema)
    assert trained.summaries(["Just this one.", "\U0001f600", "..."]) == ["Just this one.", "\U0001f600", "..."]


def test_texts_of_one_sentence_leave_nothing_to_learn(schema):
    frame = pd.DataFrame({"text": ["Just this one"] * 60, "gist": ["this"] * 60})
    with pytest.raises(StepError, match="there is nothing to select from: add longer texts"):
        fit(frame, schema)
    with pytest.raises(StepError, match="no training text has a word: correct the texts"):
        fit(frame.assign(text="..."), schema)


def test_what_it_learns_from_is_bounded(schema, monkeypatch, capsys):
    monkeypatch.setattr(module("text.selection"), "_MOST_SENTENCES", 60)
    assert rouge(fit(table(200), schema), table(20, seed=1)) > 0.3
    assert "learned from 60 sentences of 10 texts" in capsys.readouterr().out


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("saved")
    frame = table(90)
    trained = fit(frame, load_schema(root))
    trained.save(Examples(frame, Path()), root / "model")
    return trained, frame, root / "model"


def test_the_saved_model_makes_the_same_summaries(saved):
    trained, frame, folder = saved
    answer = mlflow.pyfunc.load_model(str(folder)).predict(frame[["text"]])
    assert list(answer) == ["prediction"]
    assert answer["prediction"].tolist() == trained.summaries(list(frame["text"]))


def test_without_texts_there_is_an_empty_answer(saved):
    model = mlflow.pyfunc.load_model(str(saved[2]))
    none = pd.DataFrame({"text": pd.Series([], dtype=object)})
    assert model.predict(none)["prediction"].tolist() == []
    assert model_output.embedding(model, none).shape == (0, 9)


def test_the_embedding_tells_another_vocabulary_by_the_share_of_new_words(saved):
    model = mlflow.pyfunc.load_model(str(saved[2]))
    assert model_output.has_embedding(model)
    known, other = (model_output.embedding(model, table(20, seed=2, script=script)) for script in ("latin", "cyrillic"))
    assert list(known) == ["unknown", *(f"embedding {number}" for number in range(1, 9))]
    assert known["unknown"].max() < 0.5
    assert other["unknown"].min() == 1.0


def test_the_saved_model_needs_no_network_and_has_no_pickle_and_no_text(saved):
    _, frame, folder = saved
    needed = (folder / "requirements.txt").read_text(encoding="utf-8")
    assert "scikit-learn" in needed
    assert "torch" not in needed
    assert not list(folder.rglob("*.pkl"))
    content = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file()).decode("utf-8", "ignore")
    assert not any(text[:40] in content for text in frame["text"])


def test_a_saved_model_that_makes_other_summaries_is_not_kept(schema, tmp_path, monkeypatch):
    trained = fit(table(60), schema)
    monkeypatch.setattr(type(trained), "summaries", lambda self, texts: ["another one"] * len(texts))
    with pytest.raises(StepError, match="makes other summaries than the trained one of 16 in 16 texts"):
        trained.save(Examples(table(60), Path()), tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"model": "magic"}, "model: 'magic' is unknown; choose one of extractive, small_seq2seq, hub:NAME such as"),
        ({"model": "hub:"}, "model: 'hub:' is unknown"),
        ({"model": 3}, "model: 3 must be the name of a model"),
        ({"epochs": 3}, "epochs: is of small_seq2seq and hub:NAME, and the model is extractive; leave it out"),
        ({"sentences": 0}, "sentences: 0 must be a number between 1 and 1000"),
        ({"alpha": -1}, "alpha: -1 must be"),
        ({"sentence": 1}, "sentence: unknown; the nearest is sentences"),
        ({"model": "small_seq2seq", "width": 40}, "width: 40 must be a multiple of 32"),
        ({"model": "small_seq2seq", "class_weights": "balanced"}, "class_weights: unknown"),
        ({"model": "small_seq2seq", "beams": 0}, "beams: 0 must be a number between 1 and 32"),
        ({"model": "hub:a/b"}, "revision: missing; name the commit of hub:a/b: must be the hash of a commit"),
        ({"model": "hub:a/b", "revision": "main"}, "revision: 'main' must be the hash of a commit"),
        ({"model": "hub:a/b", "revision": "0" * 40, "prefix": 3}, "prefix: 3 must be a text"),
    ],
)
def test_a_wrong_hyperparameter_is_named_with_the_remedy(given, complaint):
    [line] = hyperparameters.check(given)
    assert line.startswith("training.hyperparameters.")
    assert complaint in line
    with pytest.raises(StepError):
        hyperparameters.load(given)


def test_a_hyperparameter_that_is_null_is_left_out():
    assert hyperparameters.check({"model": None, "epochs": None}) == []
    assert hyperparameters.load({"model": None, "alpha": None}) == hyperparameters.Selection()
    assert json.loads(json.dumps(hyperparameters.load({"model": "small_seq2seq"}).epochs)) == 10
