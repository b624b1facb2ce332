"""Training on texts: what is learned, what is saved, and which settings are refused."""

import os

# No test asks the hub; read when its library is loaded.
os.environ["HF_HUB_OFFLINE"] = "1"

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from helpers import module, write_schema
from samples import CLASSES, SCHEMA, texts

fitting, hyperparameters = module("text.fitting"), module("text.hyperparameters")
Examples, StepError = module("core.modality").Examples, module("core.step").StepError
model_output = module("model_output")
TINY = {"model": "small_transformer", "layers": 1, "width": 32, "max_tokens": 32, "vocabulary": 600, "batch_size": 16}
COMMIT = "0" * 40


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def schema(tmp_path_factory):
    return write_schema(SCHEMA, tmp_path_factory.mktemp("schema"))


def examples(tmp_path, count=90, seed=0, classes=CLASSES, **options):
    labels = [classes[place % len(classes)] for place in range(count)]
    return Examples(pd.DataFrame({"text": texts(labels, seed, **options), "place": labels}), tmp_path)


def fit(given, schema, folder=None, threshold=None, **hyperparameters):
    training = {"seed": 13, "threshold": threshold, "hyperparameters": {"model": "tfidf", **hyperparameters}}
    return fitting.fit(given, schema, training, folder)


def accuracy(trained, given):
    return float((trained.predict(given).values == given.frame["place"].to_numpy()).mean())


def saved(trained, given, folder):
    """Save a model and load it as the endpoint does."""
    folder.mkdir()
    trained.save(given, folder)
    return mlflow.pyfunc.load_model(str(folder))


@pytest.mark.parametrize(
    "settings", [{}, {"analyzer": "characters"}, {"analyzer": "both"}, {"class_weights": "balanced"}]
)
def test_weights_of_words_tell_unseen_texts_apart_and_are_saved(tmp_path, schema, settings):
    trained = fit(examples(tmp_path), schema, **settings)
    unseen = examples(tmp_path, seed=1)
    assert accuracy(trained, unseen) > 0.9
    model = saved(trained, examples(tmp_path), tmp_path / "model")
    given, expected = model_output.predict(model, unseen.frame[["text"]]), trained.predict(unseen)
    assert given.classes == expected.classes == CLASSES
    assert np.abs(given.probabilities - expected.probabilities).max() < 1e-6
    assert model.predict(unseen.frame[["text"]][:0]).columns.tolist() == ["prediction", *CLASSES]


@pytest.mark.parametrize("script", ["chinese", "arabic", "cyrillic"])
def test_any_script_is_learned_without_a_setting(tmp_path, schema, script):
    trained = fit(examples(tmp_path, script=script), schema)
    assert accuracy(trained, examples(tmp_path, seed=1, script=script)) > 0.9


def test_the_same_texts_give_the_same_model_and_the_order_of_words_does_not_matter(tmp_path, schema):
    given = examples(tmp_path)
    first, again = (fit(given, schema).predict(given).probabilities for _ in range(2))
    assert (first == again).all()


def test_of_two_classes_the_threshold_decides(tmp_path, schema):
    two = examples(tmp_path, classes=CLASSES[:2])
    binary = write_schema(
        {**SCHEMA, "columns": {**SCHEMA["columns"], "place": {"type": "category", "values": list(CLASSES[:2])}}},
        tmp_path,
    )
    often, seldom = (fit(two, binary, threshold=limit).predict(two).values for limit in (0.001, 0.999))
    assert (often == CLASSES[1]).sum() > (seldom == CLASSES[1]).sum()
    with pytest.raises(StepError, match=r"training.threshold: is for two classes"):
        fit(examples(tmp_path), schema, threshold=0.5)


def test_one_class_and_texts_without_words_are_one_line(tmp_path, schema):
    with pytest.raises(StepError, match="all training texts have one class"):
        fit(examples(tmp_path, classes=CLASSES[:1]), schema)
    empty = Examples(pd.DataFrame({"text": ["!!", "??", "--"], "place": CLASSES}), tmp_path)
    with pytest.raises(StepError, match="no training text has a word"):
        fit(empty, schema, analyzer="words")


def test_the_embedding_begins_with_the_share_of_unknown_words(tmp_path, schema):
    given = examples(tmp_path)
    model = saved(fit(given, schema), given, tmp_path / "model")
    rows = pd.DataFrame({"text": [given.frame["text"][0], "qqq zzz xxx"]})
    table = model.predict(rows, params={"embedding": True})
    assert table.columns.tolist()[:2] == ["unknown", "component_1"]
    assert table["unknown"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model": "tfid"}, "model: 'tfid' is unknown; choose one of tfidf, small_transformer, hub:NAME"),
        ({"model": "tfidf", "epochs": 3}, "epochs: is of small_transformer and hub:NAME, and the model is tfidf"),
        ({"model": "small_transformer", "C": 3}, "C: is of tfidf, and the model is small_transformer; leave it out"),
        ({"model": "tfidf", "ngrams": [3, 1]}, r"ngrams: \[3, 1\] must be two integers from 1 to 8"),
        ({"model": "hub:a/b"}, "revision: missing; name the commit of hub:a/b"),
        ({"model": "hub:a/b", "revision": "main"}, "revision: 'main' must be the hash of a commit"),
        ({"model": "small_transformer", "width": 100}, "width: 100 must be a multiple of 32"),
        ({"model": "tfidf", "max_featurs": 3}, "max_featurs: .*max_features"),
    ],
)
def test_a_wrong_setting_is_one_line(given, message):
    with pytest.raises(StepError, match=f"training.hyperparameters.{message}"):
        hyperparameters.load(given)


# --- transformers


def test_a_small_transformer_learns_and_is_computed_without_torch(tmp_path, schema, capsys):
    given = examples(tmp_path, count=180)
    trained = fit(given, schema, epochs=6, validation=0, learning_rate=0.01, **TINY)
    assert accuracy(trained, given) > 0.8
    assert "training texts" in capsys.readouterr().out
    model = saved(trained, given, tmp_path / "model")
    mixed = pd.DataFrame({"text": [*given.frame["text"][:5], "a", "word " * 400]})
    expected = trained.predict(Examples(mixed.assign(place=CLASSES[0]), tmp_path))
    assert np.abs(model_output.predict(model, mixed).probabilities - expected.probabilities).max() < 1e-4
    assert model.predict(mixed, params={"embedding": True}).shape == (7, 9)
    alone = [model_output.predict(model, mixed[row : row + 1]).probabilities[0] for row in range(len(mixed))]
    assert np.abs(np.array(alone) - expected.probabilities).max() < 1e-4


def test_an_interrupted_training_goes_on_to_the_same_model(tmp_path, schema, monkeypatch):
    given, checkpoints = examples(tmp_path), module("neural.checkpoints").Checkpoints
    whole = fit(given, schema, tmp_path / "whole", epochs=3, **TINY).predict(given).probabilities
    save, calls = checkpoints.save, []

    def interrupted(self, state):
        save(self, state)
        calls.append(state["epoch"])
        if len(calls) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(given, schema, tmp_path / "part", epochs=3, **TINY)
    rest = fit(given, schema, tmp_path / "part", epochs=3, **TINY).predict(given).probabilities
    assert calls == [1, 2, 3]
    assert np.abs(whole - rest).max() < 1e-6
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        fit(given, schema, tmp_path / "other", epochs=3, **TINY)
    with pytest.raises(StepError, match="belongs to another training"):
        fit(given, schema, tmp_path / "other", epochs=4, **TINY)


def test_a_model_of_the_hub_is_trained_at_its_revision_without_its_code(tmp_path, schema):
    given = examples(tmp_path)
    folder = tmp_path / "hub"
    tokenizer = module("text.transformer").train_tokenizer(given.frame["text"], 400)
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]").save_pretrained(folder)
    config = transformers.DistilBertConfig(vocab_size=400, dim=32, hidden_dim=64, n_layers=1, n_heads=2)
    transformers.DistilBertModel(config).save_pretrained(folder)
    hub = {"model": f"hub:{folder}", "revision": COMMIT, "max_tokens": 32}
    trained = fit(given, schema, epochs=2, batch_size=16, **hub)
    model = saved(trained, given, tmp_path / "model")
    expected = trained.predict(given).probabilities
    assert np.abs(model_output.predict(model, given.frame[["text"]]).probabilities - expected).max() < 1e-4
    with pytest.raises(StepError, match=r"max_tokens: .* cannot take 1024 tokens"):
        fit(given, schema, epochs=1, **{**hub, "max_tokens": 1024})


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path, schema):
    with pytest.raises(StepError, match="hub:nobody/nothing cannot be loaded at this revision") as raised:
        fit(examples(tmp_path), schema, model="hub:nobody/nothing", revision=COMMIT)
    assert "HF_HUB_OFFLINE" in str(raised.value)
    assert "\n" not in str(raised.value)
