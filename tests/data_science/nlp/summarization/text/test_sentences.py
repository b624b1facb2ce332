"""Sentences of a text in any script, the first ones of it, and ROUGE."""

import time
import tracemalloc

import numpy as np
import pytest
from helpers import module
from samples import SCHEMA

text_model, lead, rouge = module("text_model"), module("text.lead"), module("text.rouge")
metrics, Predictions = module("core.metrics"), module("core.predictions").Predictions


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One is here. Two is there! Is three?  Yes.", ["One is here.", "Two is there!", "Is three?", "Yes."]),
        ("It costs 3.50 in all, e.g. for two. Next.", ["It costs 3.50 in all, e.g. for two.", "Next."]),
        ('He said "stop." Then he\nwent on.', ['He said "stop."', "Then he went on."]),
        ("A title\n\nWhat it is\nabout", ["A title", "What it is about"]),
        ("Steps:\n- open it\n- close it", ["Steps:", "- open it", "- close it"]),
        ("\u041e\u043d. \u041e\u043d\u0430.", ["\u041e\u043d.", "\u041e\u043d\u0430."]),
        ("\u5b83\u5f88\u5927\u3002\u5b83\u5f88\u5c0f\u3002", ["\u5b83\u5f88\u5927\u3002", "\u5b83\u5f88\u5c0f\u3002"]),
        (
            "\u0645\u0646 \u0647\u0648\u061f \u0647\u0646\u0627",
            ["\u0645\u0646 \u0647\u0648\u061f", "\u0647\u0646\u0627"],
        ),
        (
            "\u092f\u0939 \u0939\u0948\u0964 \u0935\u0939\u093e\u0901",
            ["\u092f\u0939 \u0939\u0948\u0964", "\u0935\u0939\u093e\u0901"],
        ),
        (
            "Mr. Smith met Dr. Jones in the U.S. Senate. They spoke at length.",
            ["Mr. Smith met Dr. Jones in the U.S. Senate.", "They spoke at length."],
        ),
        (
            "\u0432 2020 \u0433. \u043c\u043e\u0441\u043a\u0432\u044b",
            ["\u0432 2020 \u0433. \u043c\u043e\u0441\u043a\u0432\u044b"],
        ),
        (
            "Bald usw. \u00fcber alles. No. 5 is here. No. It is not.",
            ["Bald usw. \u00fcber alles.", "No. 5 is here.", "No.", "It is not."],
        ),
        ("It ends.\n\nthen more", ["It ends.", "then more"]),
        ("\u1200\u1208\u1362 \u1218\u1220\u1362", ["\u1200\u1208\u1362", "\u1218\u1220\u1362"]),
        ("\u1780\u1781\u17d4\u1782", ["\u1780\u1781\u17d4", "\u1782"]),
        ("no end", ["no end"]),
        (">>> \n\n---\n\nWords", ["Words"]),
        (" ... ", ["..."]),
        ("", [""]),
    ],
)
def test_sentences_end_where_a_reader_expects_it(text, sentences):
    assert text_model.sentences(text) == sentences


def test_sentences_of_a_long_text_take_time_in_proportion_to_its_length():
    for text in ("a. B " * 100_000, "\n" * 400_000, " " * 400_000, "." * 400_000, "- \n" * 100_000):
        started = time.perf_counter()
        assert text_model.sentences(text)
        assert time.perf_counter() - started < 5


def test_chosen_sentences_are_joined_as_their_script_is_written():
    assert text_model.joined(["One.", "Two."]) == "One. Two."
    assert (
        text_model.joined(["\u5b83\u5f88\u5927\u3002", "\u5b83\u5f88\u5c0f\u3002"])
        == "\u5b83\u5f88\u5927\u3002\u5b83\u5f88\u5c0f\u3002"
    )


def test_the_lead_has_as_many_sentences_as_a_usual_summary():
    assert lead.usual_sentences(["One.", "One. Two.", "One. Two."]) == 2
    assert lead.usual_sentences([]) == 1
    assert lead.lead("One. Two. Three.", 2) == "One. Two."


# By hand: of "the cat sat" and "the cat is here" 2 words of 3 and 4 are common, 1 pair of 2 and 3, and 2 in order.
BY_HAND = [
    ("the cat sat", "the cat is here", {"rouge1": 4 / 7, "rouge2": 2 / 5, "rougeL": 4 / 7}),
    ("the cat sat", "sat cat the", {"rouge1": 1.0, "rouge2": 0.0, "rougeL": 1 / 3}),
    ("the the cat", "the cat", {"rouge1": 4 / 5, "rouge2": 2 / 3, "rougeL": 4 / 5}),
    ("The Cat!", "the, cat", {"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0}),
    ("\u5b83\u5f88\u5927", "\u5b83\u5927", {"rouge1": 4 / 5, "rouge2": 0.0, "rougeL": 4 / 5}),
    (
        "\u043a\u043e\u0442 \u0441\u043f\u0438\u0442",
        "\u043a\u043e\u0442",
        {"rouge1": 2 / 3, "rouge2": 0.0, "rougeL": 2 / 3},
    ),
    ("a", "b", {"rouge1": 0.0, "rouge2": 0.0, "rougeL": 0.0}),
    ("a", "", {"rouge1": 0.0, "rouge2": 0.0, "rougeL": 0.0}),
]


@pytest.mark.parametrize(("reference", "text", "values"), BY_HAND)
def test_rouge_has_the_values_that_follow_by_hand_in_any_script(reference, text, values):
    actual, predicted = np.array([reference], dtype=object), Predictions(np.array([text], dtype=object))
    assert metrics.scores(SCHEMA["task"], actual, predicted) == pytest.approx(values)


def test_rouge_is_the_mean_of_the_rows_so_that_parts_of_them_can_be_resampled():
    actual = np.array([reference for reference, _, _ in BY_HAND], dtype=object)
    predicted = Predictions(np.array([text for _, text, _ in BY_HAND], dtype=object))
    chosen = metrics.metric("rougeL", SCHEMA["task"])
    weights = np.zeros((1, len(actual)))
    weights[0, :2] = 3, 1
    assert chosen.scorer(actual, predicted)(weights)[0] == pytest.approx((3 * 4 / 7 + 1 / 3) / 4)


def test_a_metric_of_another_task_is_refused_with_those_that_there_are():
    with pytest.raises(
        module("core.step").StepError, match="is not a summarization metric; choose one of rougeL, rouge1"
    ):
        metrics.metric("accuracy", SCHEMA["task"])


def test_the_longest_common_sequence_is_that_of_the_library():
    from rouge_score import rouge_scorer

    scorer, draw = rouge_scorer.RougeScorer(["rougeL"], tokenizer=rouge._Words()), np.random.default_rng(0)
    for length in (0, 1, 7, 70):
        one, other = (" ".join(draw.choice(list("abcdef"), size)) for size in (length, 50))
        [found] = rouge.scores("rougeL", np.array([one]), np.array([other]))
        assert found == pytest.approx(scorer.score(one, other)["rougeL"].fmeasure)


def test_the_score_of_long_texts_needs_memory_for_their_words_and_not_for_all_pairs():
    one, other = ([f"word{place * step % 997}" for place in range(3000)] for step in (1, 7))
    tracemalloc.start()
    assert 0 < rouge._longest_common(one, other) < 3000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000  # a table of all pairs has 9,000,000 entries


def test_an_accent_counts_the_same_as_one_character_and_as_two():
    pair = np.array(["caf\u00e9 noir"]), np.array(["cafe\u0301 noir"])
    assert [rouge.scores(kind, *pair)[0] for kind in ("rouge1", "rouge2", "rougeL")] == [1.0, 1.0, 1.0]
