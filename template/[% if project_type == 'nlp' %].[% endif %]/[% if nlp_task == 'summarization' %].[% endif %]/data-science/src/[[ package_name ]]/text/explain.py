"""What a model makes of texts: examples beside reference and first sentences, and how good it is by length."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .. import text_model
from ..core.cohorts import slice_groups
from ..core.metrics import Floats, Metric
from ..core.modality import Examples, Predict
from ..core.panels import Panel, Passage, Table, number
from ..core.schema import Schema
from . import data, rouge
from .lead import lead, usual_sentences
from .passages import names, shortened

# Of the worst, the middle and the best ones.
_SHOWN = 3
_DECIDING = "rougeL"


def explain(predict: Predict, test: Examples, schema: Schema, metric: Metric, seed: int) -> list[Panel]:
    """Return panels of examples, and of how good summaries are by length of the text."""
    texts, references = list(test.frame[data.TEXT]), list(test.frame[schema.target])
    summaries = [str(text) for text in predict(test).values]
    count = usual_sentences(references)
    starts = [lead(text, count) for text in texts]
    chosen = metric if metric.rows else next(each for each in rouge.METRICS if each.name == _DECIDING)
    scores, usual = (rouge.scores(chosen.name, np.array(references), np.array(each)) for each in (summaries, starts))
    return [
        _examples(names(test), texts, references, summaries, starts, scores, usual, chosen),
        _by_length(texts, references, summaries, scores, usual, chosen),
    ]


def _examples(
    names: Sequence[str],
    texts: Sequence[str],
    references: Sequence[str],
    summaries: Sequence[str],
    starts: Sequence[str],
    scores: Floats,
    usual: Floats,
    metric: Metric,
) -> Panel:
    order = np.argsort(scores, kind="stable")
    middle = max(0, len(order) // 2 - _SHOWN // 2)
    parts = {"worst": order[:_SHOWN], "middle": order[middle : middle + _SHOWN], "best": order[::-1][:_SHOWN]}
    places = {int(place): kind for kind, each in reversed(parts.items()) for place in each}
    shown = sorted(places, key=lambda place: (list(parts).index(places[place]), scores[place]))
    gallery = [
        Passage(
            [
                (f"Summary: {shortened(summaries[place])}", 0.0),
                (f"\n\nReference: {shortened(references[place])}", 0.0),
                (f"\n\nFirst sentences: {shortened(starts[place])}", 0.0),
                (f"\n\nText: {shortened(texts[place])}", 0.0),
            ],
            f"{places[place]}: {names[place]}, {metric.name} {number(float(scores[place]))}; "
            f"first sentences {number(float(usual[place]))}",
        )
        for place in shown
    ]
    rows = [(names[place], places[place], number(float(scores[place])), number(float(usual[place]))) for place in shown]
    better, worse = int((scores > usual).sum()), int((scores < usual).sum())
    return Panel(
        name="summaries",
        title="Examples of summaries",
        intro=(
            f"By {metric.name} the summary is better than the first sentences of the text for {better:,} of "
            f"{len(texts):,} held-out texts, and worse for {worse:,}. These are the worst, some in the middle and the "
            "best. The metric counts words, and not whether a summary is true: read them."
        ),
        figures=[],
        table=Table(
            "the examples",
            f"{metric.name} of the summary, and of the first sentences",
            ("text", "which", "summary", "first sentences"),
            rows,
            ("which",),
        ),
        records=[
            {"text": name, "which": which, metric.name: float(scores[place]), "lead": float(usual[place])}
            for place, (name, which, *_) in zip(shown, rows, strict=True)
        ],
        gallery=gallery,
        examples=True,
    )


def _by_length(
    texts: Sequence[str],
    references: Sequence[str],
    summaries: Sequence[str],
    scores: Floats,
    usual: Floats,
    metric: Metric,
) -> Panel:
    counts = pd.DataFrame({"words": [float(len(text_model.words(text))) for text in texts]})
    groups = slice_groups(counts, "words")
    found = pd.DataFrame(
        {
            "score": scores,
            "lead": usual,
            "length": [len(text_model.words(each)) for each in summaries],
            "reference": [len(text_model.words(each)) for each in references],
            "new": [_new_share(*each) for each in zip(texts, summaries, strict=True)],
        }
    )
    records: list[dict[str, Any]] = []
    for name, rows in found.groupby(groups.to_numpy(), sort=False):
        records.append({"words": str(name), "rows": len(rows), **{str(key): rows[key].mean() for key in found}})
    records.sort(key=lambda record: float(record["words"].split(" ")[0]) if record["words"][0].isdigit() else 0.0)
    new = float(found["new"].mean())
    return Panel(
        name="lengths",
        title="Summaries by length of the text",
        intro=(
            f"A summary has {number(float(found['length'].mean()))} words on average, and a reference "
            f"{number(float(found['reference'].mean()))}. {new:.1%} of the words of the summaries are not in the text: "
            "none can be in chosen sentences; a network writes new ones, which may be wrong."
        ),
        figures=[],
        table=Table(
            "summaries by length",
            f"Means of the texts with so many words; the score is {metric.name}",
            ("words", "texts", "score", "first sentences", "words of summary", "of reference", "new words"),
            [
                (
                    each["words"],
                    f"{each['rows']:,}",
                    number(each["score"]),
                    number(each["lead"]),
                    number(each["length"]),
                    number(each["reference"]),
                    f"{each['new']:.1%}",
                )
                for each in records
            ],
        ),
        records=records,
    )


def _new_share(text: str, summary: str) -> float:
    known = frozenset(text_model.words(text))
    return text_model.unknown_share(summary, known)
