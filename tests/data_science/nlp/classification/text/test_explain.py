"""What the report shows of a model of texts: errors, doubts, and the words that decide."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import module

explain, answers_of = module("text.explain"), module("core.answers")
Examples, Predictions = module("core.modality").Examples, module("core.predictions").Predictions
Column, Schema = module("core.schema").Column, module("core.schema").Schema
SCHEMA = Schema(
    "tone",
    "classification",
    {"text": Column("text", "text"), "tone": Column("tone", "category", values=("bad", "good"))},
)
ACCURACY = module("core.metrics").metric("accuracy", "classification")


class Tones:
    """A model that counts the words fine and poor; it counts its calls, too."""

    def __init__(self, probabilities=True):
        self.calls, self.probabilities = [], probabilities

    def __call__(self, examples):
        self.calls.append(len(examples.frame))
        words = [text.lower().split() for text in examples.frame["text"]]
        gap = np.array([each.count("fine") + each.count("晴") - each.count("poor") for each in words], dtype=float)
        good = 1 / (1 + np.exp(-2 * gap))
        values = np.where(good > 0.5, "good", "bad").astype(object)
        found = np.column_stack([1 - good, good])
        return Predictions(values, found, ("bad", "good")) if self.probabilities else Predictions(values)


def examples(texts, truth):
    sources = [f"raw.csv row {row}" for row in range(len(texts))]
    return Examples(pd.DataFrame({"text": texts, "tone": truth, "_source": sources}), Path())


def panels(test, model=None):
    return {panel.name: panel for panel in explain.explain(model or Tones(), test, SCHEMA, ACCURACY, 0)}


@pytest.fixture
def mixed():
    """Four texts: two errors, of which the second is the more certain one, and one without a tone."""
    texts = ["a fine day", "a poor day", "a day", "fine, fine and fine again".replace(",", "")]
    return examples(texts, ["good", "good", "bad", "bad"])


def test_the_worst_errors_come_first_and_are_named_by_file_and_row(mixed):
    panel = panels(mixed)["errors"]
    assert panel.intro.startswith("2 of 4 held-out texts are wrong. These are those")
    assert [row[:3] for row in panel.table.rows] == [
        ("raw.csv row 3", "bad", "good"),
        ("raw.csv row 1", "good", "bad"),
    ]
    assert panel.gallery[1].caption.startswith("raw.csv row 1: good, predicted as bad (88.1%); the marked words cost")


def test_the_word_that_decides_gets_the_deepest_mark_and_the_text_stays_whole(mixed):
    passage = panels(mixed)["errors"].gallery[1]
    assert "".join(text for text, _ in passage.parts) == "a poor day"
    assert max(passage.parts, key=lambda part: part[1]) == ("poor", 1.0)
    assert all(abs(weight) < 0.01 for text, weight in passage.parts if text != "poor")


def test_the_text_between_two_classes_is_the_least_certain_one(mixed):
    panel = panels(mixed)["uncertain"]
    assert panel.table.rows[0][0] == "raw.csv row 2"
    assert panel.gallery[0].caption.endswith("it is bad; no word costs a point")


def test_of_a_long_text_the_part_around_what_decides_is_shown(mixed):
    text = " ".join(["day"] * 2000 + ["fine"] + ["day"] * 2000)
    passage = panels(examples([text, "poor"], ["good", "bad"]))["occlusion"].gallery[0]
    shown = "".join(part for part, _ in passage.parts)
    assert "fine" in shown
    assert len(shown) < 1000
    assert (shown[:4], shown[-4:]) == ("... ", " ...")


def test_a_script_without_spaces_is_taken_apart_sign_by_sign():
    places = explain.pieces("天晴 good")
    assert places.tolist() == [[0, 1], [1, 2], [3, 7]]


def test_a_text_without_words_and_one_of_a_million_signs_are_explained():
    found = panels(examples(["!?", "fine " * 40_000], ["bad", "good"]))
    assert len(found["occlusion"].records) == 2
    assert all(0 <= each["largest_loss"] <= 1 for each in found["occlusion"].records)


def test_words_are_of_a_class_only_if_enough_texts_have_them():
    texts = [f"a fine day {number}" for number in range(8)] + ["a poor secret day"] + ["a poor day"] * 6
    test = examples(texts, ["good"] * 8 + ["bad"] * 7)
    panel = panels(test)["words"]
    first, second = panel.records[:2]
    assert {(each["class"], each["word"]) for each in (first, second)} == {("good", "fine"), ("bad", "poor")}
    assert min(first["loss"], second["loss"]) > 0.3
    assert "secret" not in {each["word"] for each in panel.records}
    assert not panel.examples


@pytest.mark.parametrize("word", ["Straße", "νόμος", "FINE"])
def test_a_word_is_left_out_however_its_letters_change_with_the_case(word):
    assert explain._without(f"a {word} day", word.lower()) == "a   day"


def test_all_changed_texts_are_predicted_in_two_calls(mixed):
    model = Tones()
    panels(mixed, model)
    # All texts, and what is left of them; no word is in enough texts to be looked at.
    assert len(model.calls) == 2


def test_panels_with_single_texts_say_so(mixed):
    assert {name for name, panel in panels(mixed).items() if panel.examples} == {"errors", "uncertain", "occlusion"}


def test_a_model_without_probabilities_has_no_panels(mixed):
    assert panels(mixed, Tones(probabilities=False)) == {}
