"""Single predictions of a classifier that are worth a look: its worst errors, and what it is least certain of."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .panels import Figure, Panel, Passage, Table
from .predictions import Predictions


@dataclass(frozen=True)
class Answer:
    """What a model says about one example.

    Attributes:
        position: of the example.
        name: what people call it.
        probability: of the predicted class.
        others: each class with its probability, the most probable first.
    """

    position: int
    name: str
    truth: str
    prediction: str
    probability: float
    others: Sequence[tuple[str, float]]

    @property
    def right(self) -> bool:
        """Return whether the predicted class is the true one."""
        return self.prediction == self.truth

    @property
    def verdict(self) -> str:
        """Return truth and prediction in words."""
        if self.right:
            return f"{self.prediction} ({self.probability:.1%}), and right"
        return f"{self.truth}, predicted as {self.prediction} ({self.probability:.1%})"

    def record(self, kind: str) -> dict[str, Any]:
        """Return the answer for programs; the key of the name is what an example is called."""
        said = {"truth": self.truth, "prediction": self.prediction, "probability": self.probability}
        return {kind: self.name, **said}


class Effect(NamedTuple):
    """What changing one example in several ways does to its prediction.

    Attributes:
        probability: of the predicted class, unchanged.
        losses: how much of it each change costs, of shape (changes,).
        switches: how many changes switch the predicted class.
    """

    probability: float
    losses: NDArray[np.float64]
    switches: int


@dataclass(frozen=True)
class Answers:
    """The predictions that are worth a look.

    Attributes:
        count: of all predictions.
        wrong: how many of them are errors.
        worst: the errors that the model was most certain of, the worst first.
        unsure: those that are closest to another class.
        threshold: the probability of the last of two classes that decides; one half of others.
        widest: by how much the predicted class of each of `unsure` is more probable than what changes it, at most.
        right: some that are right, of as many classes as possible, chosen by chance.
    """

    count: int
    wrong: int
    worst: Sequence[Answer]
    unsure: Sequence[Answer]
    threshold: float
    widest: float
    right: Sequence[Answer]

    def mixture(self, count: int) -> list[Answer]:
        """Return so many answers, half of them errors if there are as many, to be looked at closer."""
        errors = self.worst[: max(count // 2, count - len(self.right))]
        return [*errors, *self.right[: count - len(errors)]]


def choose_answers(predicted: Predictions, target: pd.Series, names: Sequence[str], shown: int, seed: int) -> Answers:
    """Choose predictions that are worth a look, `shown` of each kind at most; they need probabilities.

    Args:
        predicted: for the examples.
        target: their true classes.
        names: what people call them.
        shown: how many.
        seed: of the choice among the right ones.
    """
    assert predicted.probabilities is not None
    probabilities, classes = predicted.probabilities, predicted.classes
    truth, guess = (np.array([str(label) for label in each], dtype=object) for each in (target, predicted.values))
    places = np.array([classes.index(label) for label in guess], dtype=int)
    certainty = probabilities[np.arange(len(guess)), places]
    threshold = _threshold(probabilities, places)
    margins = _margins(probabilities, threshold)
    closest = np.argsort(margins, kind="stable")[:shown]

    def answers(positions: Iterable[int]) -> list[Answer]:
        return [answer(int(position)) for position in positions]

    def answer(position: int) -> Answer:
        row = probabilities[position]
        others = [(classes[place], float(row[place])) for place in np.argsort(-row, kind="stable")]
        said = truth[position], guess[position], float(certainty[position])
        return Answer(position, str(names[position]), *said, others)

    wrong = np.flatnonzero(guess != truth)
    return Answers(
        count=len(guess),
        wrong=len(wrong),
        worst=answers(wrong[np.argsort(-certainty[wrong], kind="stable")][:shown]),
        unsure=answers(closest),
        threshold=threshold,
        widest=float(margins[closest].max(initial=0.0)),
        right=answers(_of_each_class(np.flatnonzero(guess == truth), guess, seed)[:shown]),
    )


def _threshold(probabilities: NDArray[np.float64], places: NDArray[np.int64]) -> float:
    """Return the probability of the last of two classes that decides, by the predictions; one half where that may be.

    Args:
        probabilities: of shape (examples, classes).
        places: of the predicted classes, of shape (examples,).
    """
    if probabilities.shape[1] != 2:
        return 0.5
    below = float(probabilities[places == 0, 1].max(initial=0.0))
    above = float(probabilities[places == 1, 1].min(initial=1.0))
    return 0.5 if below <= 0.5 <= above else (below + above) / 2


def _margins(probabilities: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """Return by how much each predicted class is more probable than what would change it, of shape (examples,)."""
    if probabilities.shape[1] == 2:
        return np.asarray(2 * np.abs(probabilities[:, 1] - threshold))
    ranked = np.sort(probabilities, axis=1)
    return ranked[:, -1] - ranked[:, -2] if ranked.shape[1] > 1 else ranked[:, -1]


def _of_each_class(positions: NDArray[np.int64], guess: NDArray[Any], seed: int) -> list[int]:
    """Return positions in random order, those first that are each the first of a class."""
    shuffled = np.random.default_rng(seed).permutation(positions)
    first = {guess[position]: int(position) for position in shuffled}
    chosen = set(first.values())
    return [*first.values(), *(int(position) for position in shuffled if int(position) not in chosen)]


def effects(predicted: Predictions, answers: Sequence[Answer], counts: Sequence[int]) -> list[Effect]:
    """Return what changes of examples do.

    Args:
        predicted: for each example, unchanged, and after it for its changed copies; then for the next example.
        answers: for the examples.
        counts: how many changed copies there are of each.
    """
    assert predicted.probabilities is not None
    found, start = [], 0
    for answer, count in zip(answers, counts, strict=True):
        rows = slice(start, start + count + 1)
        start += count + 1
        of_class = predicted.probabilities[rows, predicted.classes.index(answer.prediction)]
        switches = int(np.count_nonzero([str(label) != answer.prediction for label in predicted.values[rows][1:]]))
        found.append(Effect(float(of_class[0]), of_class[0] - of_class[1:], switches))
    return found


def errors_panel(answers: Answers, kind: str, gallery: Sequence[Figure | Passage], look_for: str) -> Panel:
    """Return the panel of the worst errors.

    Args:
        answers: to take them from.
        kind: what an example is called.
        gallery: each of them.
        look_for: what a reader should look for.
    """
    intro = f"None of {answers.count:,} held-out {kind}s is wrong."
    if answers.wrong:
        shown = len(answers.worst)
        which = "These are those" if answers.wrong <= shown else f"These are the {shown}"
        intro = (
            f"{answers.wrong:,} of {answers.count:,} held-out {kind}s are wrong. {which} that the model was most "
            f"certain of, the worst first: look for {look_for}."
        )
    caption = "The most certain errors: the probability is that of the predicted class"
    return _panel("errors", "Worst errors", intro, caption, answers.worst, kind, gallery)


def unsure_panel(answers: Answers, kind: str, gallery: Sequence[Figure | Passage]) -> Panel:
    """Return the panel of the least certain predictions."""
    unsure = answers.unsure
    right = sum(each.right for each in unsure)
    these, points = f"these {len(unsure)}", 100 * answers.widest
    close = f"the two most probable classes of {these} are closest to each other: they differ by {points:.1f}"
    if answers.threshold != 0.5:
        close = f"{these} are closest to the threshold between the classes: it is away by {points / 2:.1f}"
    intro = (
        f"Of all held-out {kind}s, {close} points or less, and {right} of the predictions are right. More {kind}s like "
        "these, with labels, teach a model most."
    )
    caption = "The least certain predictions: the probability is that of the predicted class"
    return _panel("uncertain", "Least certain predictions", intro, caption, unsure, kind, gallery)


def _panel(
    name: str,
    title: str,
    intro: str,
    caption: str,
    answers: Sequence[Answer],
    kind: str,
    gallery: Sequence[Figure | Passage],
) -> Panel:
    rows = [
        (
            each.name,
            each.truth,
            each.prediction,
            f"{each.probability:.1%}",
            f"{dict(each.others).get(each.truth, 0.0):.1%}",
        )
        for each in answers
    ]
    header = (kind, "truth", "prediction", "probability", "of the truth")
    return Panel(
        name=name,
        title=title,
        intro=intro,
        figures=[],
        table=Table(f"the {title.lower()}", caption, header, rows, ("truth", "prediction")),
        records=[each.record(kind) for each in answers],
        gallery=gallery,
        examples=True,
    )
