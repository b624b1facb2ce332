"""How a model of texts comes to its classes: its worst errors, what it is least sure of, and the words that decide."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import text_model
from ..core.answers import Answer, Answers, choose_answers, effects, errors_panel, unsure_panel
from ..core.metrics import Metric
from ..core.modality import Examples, Predict
from ..core.panels import Figure, Panel, Passage, Table
from ..core.predictions import Predictions
from ..core.schema import Schema
from ..report import charts
from . import data, passages
from .passages import CHARACTERS

_SHOWN = 8
_LOOK_FOR = "wrong labels, texts that fit more than one class, and words that mislead"
# A text is taken apart into so many pieces at most, of one word or more, and so much of it is shown.
_PIECES = 60
# The loss of probability that gets the deepest colour, unless a text has a larger one.
_DEEPEST = 0.1
# Words are looked at that so many texts have, so that none shows a single one; so many of each class, in as many
# texts at most.
_TEXTS_WITH_IT, _WORDS_OF_A_CLASS, _TEXTS_PER_WORD = 5, 5, 20
_CLASSES, _BARS = 30, 15
# Added to each count of a word, so that a rare one does not seem to tell everything.
_PRIOR = 0.5


class Occlusion(NamedTuple):
    """What leaving out parts of one text does to its prediction.

    Attributes:
        text: the whole of it.
        places: of the parts, of shape (parts, 2): from a character up to another.
        probability: of the predicted class, with all parts.
        losses: how much of it each part costs, of shape (parts,).
        switches: how many parts switch the predicted class.
    """

    text: str
    places: NDArray[np.int64]
    probability: float
    losses: NDArray[np.float64]
    switches: int


def explain(predict: Predict, test: Examples, schema: Schema, metric: Metric, seed: int) -> list[Panel]:
    """Return panels of the worst errors, of the least certain predictions, and of the words that decide.

    They need the probabilities of the classes; a model without them has none. `metric` plays no part.
    """
    predicted = predict(test)
    if predicted.probabilities is None:
        return []
    answers = choose_answers(predicted, test.frame[schema.target], passages.names(test), _SHOWN, seed)
    some = [*answers.worst, *answers.unsure, *answers.right]
    print(f"leaving out the words of {len(some)} texts, to see which of them decide", flush=True)
    found = {each.position: one for each, one in zip(some, occlusions(predict, test, some), strict=True)}
    labels = np.array([str(label) for label in predicted.values], dtype=object)
    worst = [_passage(each, found[each.position], each.verdict) for each in answers.worst]
    unsure = [_passage(each, found[each.position], f"{each.options}; it is {each.truth}") for each in answers.unsure]
    return [
        errors_panel(answers, "text", worst, _LOOK_FOR),
        unsure_panel(answers, "text", unsure),
        _right_panel(answers, found),
        _words_panel(class_words(predict, test, labels, seed)),
    ]


# --- leaving out


def pieces(text: str) -> NDArray[np.int64]:
    """Return the places of at most `_PIECES` parts of a text, each of one word or of some that follow each other."""
    places = np.array(text_model.word_places(text), dtype=np.int64).reshape(-1, 2)
    if len(places) <= _PIECES:
        return places
    parts = np.array_split(np.arange(len(places)), _PIECES)
    return np.array([(places[part[0], 0], places[part[-1], 1]) for part in parts], dtype=np.int64)


def occlusions(predict: Predict, test: Examples, answers: Sequence[Answer]) -> list[Occlusion]:
    """Leave out each piece of the texts in turn, and predict all that is left at once.

    Source: Li, Monroe and Jurafsky, "Understanding Neural Networks through Representation Erasure", arXiv 1612.08220
    (2016).
    """
    texts = [str(test.frame[data.TEXT].iloc[each.position]) for each in answers]
    places = [pieces(text) for text in texts]
    copies = [
        (answer.position, copy)
        for answer, text, found in zip(answers, texts, places, strict=True)
        for copy in (text, *(f"{text[:start]} {text[end:]}" for start, end in found))
    ]
    if not copies:
        return []
    changed = effects(_predict(predict, test, copies), answers, [len(found) for found in places])
    return [Occlusion(text, found, *each) for text, found, each in zip(texts, places, changed, strict=True)]


def _predict(predict: Predict, test: Examples, copies: Sequence[tuple[int, str]]) -> Predictions:
    """Return the predictions for changed texts; the number is the position of the text that was changed."""
    frame = test.frame.iloc[[position for position, _ in copies]].reset_index(drop=True)
    return predict(replace(test, frame=frame.assign(**{data.TEXT: [text for _, text in copies]})))


# --- words of a class


class Word(NamedTuple):
    """A word of a class.

    Attributes:
        label: the class.
        word: in lower case.
        texts: how many held-out texts of this predicted class have it.
        losses: how much probability of the class leaving it out costs, in some of these texts.
    """

    label: str
    word: str
    texts: int
    losses: NDArray[np.float64]

    @property
    def loss(self) -> float:
        """Return the mean loss."""
        return float(self.losses.mean())


def class_words(predict: Predict, test: Examples, labels: NDArray[Any], seed: int) -> list[Word]:
    """Return words that tell the predicted classes apart, those first that cost most probability when left out.

    Which words are tried is decided by their odds in the texts of a class, against those in all others. Only words are
    looked at that `_TEXTS_WITH_IT` texts or more have.

    Args:
        predict: the model.
        test: the texts.
        labels: their predicted classes, of shape (texts,).
        seed: of the choice of texts.
    """
    texts = test.frame[data.TEXT].astype(str).tolist()
    own = [set(text_model.words(text)) for text in texts]
    total = Counter(word for words in own for word in words)
    sizes = Counter(labels.tolist())
    random, found, copies = np.random.default_rng(seed), [], []
    for label, size in sizes.most_common(_CLASSES):
        within = Counter(word for words, each in zip(own, labels, strict=True) if each == label for word in words)
        enough = sorted(word for word, count in within.items() if count >= _TEXTS_WITH_IT)
        for word in sorted(enough, key=lambda word: -_log_odds(within[word], size, total[word], len(texts)))[
            :_WORDS_OF_A_CLASS
        ]:
            having = [place for place, words in enumerate(own) if labels[place] == label and word in words]
            chosen = sorted(random.permutation(having)[:_TEXTS_PER_WORD].tolist())
            found.append((label, word, within[word], len(chosen)))
            copies += [
                pair for place in chosen for pair in ((place, texts[place]), (place, _without(texts[place], word)))
            ]
    if not found:
        return []
    probabilities = _predict(predict, test, copies)
    assert probabilities.probabilities is not None
    words, start = [], 0
    for label, word, count, rows in found:
        of_class = probabilities.probabilities[start : start + 2 * rows, probabilities.classes.index(label)]
        words.append(Word(label, word, count, of_class[::2] - of_class[1::2]))
        start += 2 * rows
    return sorted(words, key=lambda each: -each.loss)


def _log_odds(within: int, size: int, total: int, count: int) -> float:
    """Return the logarithm of how many times larger the odds of a word are in a class than outside of it."""
    others, rest = total - within, count - size
    return float(
        np.log((within + _PRIOR) / (size - within + _PRIOR)) - np.log((others + _PRIOR) / (rest - others + _PRIOR))
    )


def _without(text: str, word: str) -> str:
    """Return a text in which each place of a word is a space."""
    kept, last = [], 0
    for start, end in text_model.word_places(text):
        if text[start:end].lower() == word:
            kept.append(text[last:start])
            last = end
    return " ".join([*kept, text[last:]])


# --- panels


def _passage(answer: Answer, found: Occlusion, caption: str) -> Passage:
    """Return the part of a text around what decides most, with what each piece does for the prediction."""
    deepest = max(_DEEPEST, float(np.abs(found.losses).max(initial=0.0)))
    strongest = found.places[int(found.losses.argmax())].mean() if len(found.places) else 0
    first = max(0, min(int(strongest) - CHARACTERS // 2, len(found.text) - CHARACTERS))
    last = min(len(found.text), first + CHARACTERS)
    parts, place = [("... ", 0.0)] if first else [], first
    for (start, end), loss in zip(found.places, found.losses, strict=True):
        start, end = max(start, first), min(end, last)
        if start < end:
            parts += [(found.text[place:start], 0.0), (found.text[start:end], float(loss) / deepest)]
            place = end
    rest = [(found.text[place:last], 0.0), *([(" ...", 0.0)] if last < len(found.text) else [])]
    return Passage([part for part in (*parts, *rest) if part[0]], f"{answer.name}: {caption}; {_finding(found)}")


def _finding(found: Occlusion) -> str:
    points = round(100 * float(found.losses.max(initial=0.0)))
    if points < 1:
        return "no word costs a point"
    return f"the marked words cost up to {points} point{'s' if points > 1 else ''}"


def _right_panel(answers: Answers, found: Mapping[int, Occlusion]) -> Panel:
    fragile = sum(bool(found[each.position].switches) for each in answers.right)
    rows = [
        (
            each.name,
            each.prediction,
            f"{each.probability:.1%}",
            f"{100 * found[each.position].losses.max(initial=0.0):.1f}",
            f"{found[each.position].switches} of {len(found[each.position].losses)}",
        )
        for each in answers.right
    ]
    return Panel(
        name="occlusion",
        title="What the model reads",
        intro="Each word, or some that follow each other in a long text, is left out in turn. What costs the predicted "
        "class most of its probability is orange, and blue what raises it. The deepest colour is the largest change, "
        f"or {100 * _DEEPEST:.0f} points if none is as large. These predictions are right; in {fragile} of "
        f"{len(answers.right)} texts a single piece switches the class. A model that reads names, numbers or the form "
        "of a text has learned the wrong thing.",
        figures=[],
        table=Table(
            "what decides in a few texts",
            "Leaving out a piece: the largest loss of probability of the predicted class in points, and how many "
            "pieces switch it",
            ("text", "prediction", "probability", "largest loss", "switches"),
            rows,
            ("prediction",),
        ),
        records=[
            each.record("text")
            | {
                "largest_loss": float(found[each.position].losses.max(initial=0.0)),
                "switches": found[each.position].switches,
            }
            for each in answers.right
        ],
        gallery=[_passage(each, found[each.position], each.verdict) for each in answers.right],
        examples=True,
    )


def _words_panel(words: Sequence[Word]) -> Panel:
    figures = []
    if words:
        first = words[0]
        caption = (
            f"{first.word} decides most for {first.label}: without it the class loses {100 * first.loss:.1f} points in "
            f"the mean of {len(first.losses)} texts."
        )
        bars = [(f"{each.label}: {each.word}", each.loss, float(each.losses.std())) for each in words[:_BARS]]
        figures = [Figure(charts.importance(bars, "loss of probability", caption, "words"), caption)]
    return Panel(
        name="words",
        title="Words of a class",
        intro=f"Words that {_TEXTS_WITH_IT} held-out texts or more of a predicted class have, and that are rarer "
        "elsewhere: how much probability of the class leaving one out costs."
        if words
        else f"No word is in {_TEXTS_WITH_IT} held-out texts of a predicted class.",
        figures=figures,
        table=Table(
            "words of a class",
            f"Loss of probability in points, in the mean of at most {_TEXTS_PER_WORD} texts that have the word",
            ("word", "class", "texts", "loss", "deviation"),
            [
                (
                    each.word,
                    each.label,
                    f"{each.texts:,}",
                    f"{100 * each.loss:.1f}",
                    f"{100 * each.losses.std():.1f}",
                )
                for each in words
            ],
            ("class",),
        ),
        records=[{"word": each.word, "class": each.label, "texts": each.texts, "loss": each.loss} for each in words],
    )
