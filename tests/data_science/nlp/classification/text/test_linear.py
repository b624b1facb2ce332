"""TF-IDF with logistic regression: scripts, lengths and classes, settings, and bad input."""

import numpy as np
import pandas as pd
import pytest
from helpers import SOURCE, module, write_schema
from samples import CLASSES, SCHEMA, table, texts

fitting, hyperparameters, text_model = module("text.fitting"), module("text.hyperparameters"), module("text_model")
core = module("core.modality")
Examples, StepError = core.Examples, module("core.step").StepError


@pytest.fixture
def schema(tmp_path):
    return write_schema(SCHEMA, tmp_path)


def column(tmp_path, **place):
    """Return the schema with another target."""
    return write_schema(SCHEMA | {"columns": SCHEMA["columns"] | {"place": place}}, tmp_path)


def examples(frame, root=SOURCE):
    return Examples(frame, root)


def fit(frame, schema, seed=13, threshold=None, **hyperparameters):
    settings = {"seed": seed, "threshold": threshold, "hyperparameters": hyperparameters}
    return fitting.fit(examples(frame), schema, settings)


def accuracy(trained, frame):
    return float((trained.predict(examples(frame)).values == frame["place"].to_numpy()).mean())


@pytest.mark.parametrize("script", ["latin", "cyrillic", "arabic", "chinese"])
@pytest.mark.parametrize("words", [30, 300])
def test_the_same_settings_learn_any_script_from_short_and_long_texts(schema, script, words):
    trained = fit(table(120, script=script, words=words), schema)
    assert accuracy(trained, table(60, seed=1, script=script, words=words)) > 0.9


@pytest.mark.parametrize("count", [2, 20])
def test_few_and_many_classes_need_no_other_settings(tmp_path, count):
    names = [f"class {place:02}" for place in range(count)]
    labels = names * (240 // count)
    train, test = (pd.DataFrame({"text": texts(labels, seed), "place": labels}) for seed in (0, 1))
    trained = fit(train, column(tmp_path, type="category"))
    assert trained.predict(examples(test)).probabilities.shape == (len(labels), count)
    assert accuracy(trained, test) > 0.8


def test_texts_without_spaces_are_told_apart_by_characters_and_others_by_words_too(schema):
    assert set(fit(table(60, script="chinese"), schema).vectorizers) == {"characters"}
    assert set(fit(table(60), schema).vectorizers) == {"words", "characters"}
    assert set(fit(table(60), schema, analyzer="words").vectorizers) == {"words"}


def test_of_very_many_texts_words_alone_are_taken_and_that_is_said(schema, monkeypatch, capsys):
    monkeypatch.setattr(module("text.linear"), "_MOST_CHARACTERS", 1000)
    assert set(fit(table(60), schema).vectorizers) == {"words"}
    assert "so words alone are taken; training.hyperparameters.analyzer: both would take" in capsys.readouterr().out
    assert set(fit(table(60), schema, analyzer="both").vectorizers) == {"words", "characters"}


def test_no_more_terms_are_kept_than_the_settings_allow(schema):
    for analyzer, most in (("words", 100), ("both", 200)):
        assert fit(table(60), schema, analyzer=analyzer, max_features=100).pipeline[-1].n_features_in_ == most


def test_the_groups_of_words_are_those_of_the_settings(schema):
    known = fit(table(60), schema, analyzer="words", ngrams=[2, 2]).vectorizers["words"].vocabulary_
    assert {len(term.split()) for term in known} == {2}


def test_the_same_texts_give_the_same_model_whatever_the_seed(schema):
    first, again = (fit(table(), schema, seed=seed).predict(examples(table(30, seed=1))) for seed in (1, 2))
    assert (first.probabilities == again.probabilities).all()


def test_balanced_weights_find_more_of_a_rare_class(schema):
    frame = table(300)
    rare = frame[(frame["place"] != CLASSES[2]) | (frame.index < 15)].reset_index(drop=True)
    given = [fit(rare, schema, C=0.1, class_weights=kind) for kind in ("none", "balanced")]
    plain, balanced = (each.predict(examples(frame)).probabilities[:, 2].mean() for each in given)
    assert balanced > plain + 0.1


def test_the_threshold_decides_between_two_classes(tmp_path):
    frame = table(90)
    two = frame[frame["place"] != CLASSES[2]]
    schema = column(tmp_path, type="category", values=list(CLASSES[:2]))
    assert set(fit(two, schema, threshold=0.999).predict(examples(two)).values) == {CLASSES[0]}
    assert set(fit(two, schema, threshold=0.001).predict(examples(two)).values) == {CLASSES[1]}


def test_a_threshold_of_more_than_two_classes_is_refused(schema):
    with pytest.raises(StepError, match=r"training\.threshold: is for two classes"):
        fit(table(), schema, threshold=0.3)


def test_a_class_that_the_schema_lists_and_no_training_text_has_gets_no_probability(schema):
    frame = table(90)
    trained = fit(frame[frame["place"] != CLASSES[1]], schema)
    assert trained.classes == (CLASSES[0], CLASSES[2])
    assert trained.predict(examples(frame)).within(CLASSES).probabilities[:, 1].max() == 0


def test_one_class_is_refused_in_one_line(schema):
    frame = table(30)
    with pytest.raises(StepError, match="place: all training texts have one class: add texts of others"):
        fit(frame.assign(place=CLASSES[0]), schema)


def test_texts_without_a_word_are_refused_in_one_line(schema):
    with pytest.raises(StepError, match=r"^no training text has a word: correct the texts, or set analyzer: charact"):
        fit(table(30).assign(text="...!"), schema)


def test_a_text_of_nothing_known_gets_the_probabilities_of_no_words_at_all(schema):
    trained = fit(table(), schema, analyzer="words")
    given = trained.predict(examples(pd.DataFrame({"text": ["", "Zzzzz!", "\U0001f600"]}))).probabilities
    assert np.allclose(given, given[0])
    assert given.sum(axis=1) == pytest.approx(1)


# --- words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A C++ program's 3 rows", ["a", "c", "program", "s", "3", "rows"]),
        ("naïve Straße", ["naïve", "straße"]),
        ("Привет, мир!", ["привет", "мир"]),
        ("\u0647\u0630\u0627 \u0646\u0635", ["\u0647\u0630\u0627", "\u0646\u0635"]),
        ("\u0928\u092e\u0938\u094d\u0924\u0947", ["\u0928\u092e\u0938\u094d\u0924\u0947"]),  # Hindi, with its marks
        ("\u65b0\u95fb news", ["\u65b0", "\u95fb", "news"]),
        ("ok\U0001f600\U0001f600", ["ok", "\U0001f600", "\U0001f600"]),
        (" .,\n", []),
    ],
)
def test_words_of_any_script(text, words):
    assert text_model.words(text) == words


# --- settings


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"model": "bert"}, "model: 'bert' is unknown; choose one of tfidf, small_transformer, hub:NAME such as"),
        ({"model": 3}, "model: 3 must be the name of a model"),
        ({"max_feature": 9}, "max_feature: unknown; the nearest is max_features, and known are"),
        ({"C": 0}, "C: 0 must be a number between 1e-06 and 1e+06"),
        ({"ngrams": 2}, "ngrams: 2 must be two integers, the fewest and the most words or characters in a term"),
        ({"ngrams": [2, 1]}, "ngrams: [2, 1] must be two integers from 1 to 8, the smaller one first"),
        ({"analyzer": "word"}, "analyzer: 'word' is unknown; choose one of words, characters, both"),
        ({"epochs": 3}, "epochs: is of small_transformer and hub:NAME, and the model is tfidf; leave it out"),
        ({"model": "small_transformer", "C": 1}, "C: is of tfidf, and the model is small_transformer; leave it out"),
        ({"model": "small_transformer", "width": 100}, "width: 100 must be a multiple of 32"),
        ({"model": "hub:a/b"}, "revision: missing; name the commit of hub:a/b: must be the hash of a commit"),
        ({"model": "hub:a/b", "revision": "main"}, "revision: 'main' must be the hash of a commit"),
    ],
)
def test_a_wrong_hyperparameter_is_one_line(given, line):
    [found] = hyperparameters.check(given)
    assert found.startswith(f"training.hyperparameters.{line}")
    with pytest.raises(StepError):
        hyperparameters.load(given)


def test_a_setting_of_another_model_may_be_null_so_that_an_override_can_leave_it_out():
    assert hyperparameters.load({"model": "small_transformer", "C": None}).model == "small_transformer"


def test_a_learning_rate_that_suits_the_model_is_the_default():
    small, hub = ({"model": "small_transformer"}, {"model": "hub:a/b", "revision": "0" * 40})
    assert hyperparameters.load(small).learning_rate > 10 * hyperparameters.load(hub).learning_rate
    assert hyperparameters.load(hub | {"learning_rate": 0.01}).learning_rate == 0.01


def test_the_hyperparameters_of_the_project_are_valid():
    settings = module("core.settings").load_settings(SOURCE.parents[1] / "config" / "model.yml")
    assert hyperparameters.check(settings["training"]["hyperparameters"]) == []
