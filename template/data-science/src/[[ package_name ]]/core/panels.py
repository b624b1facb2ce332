"""What an explanation is made of, for the report and for metrics.json: panels with figures and a table."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A chart, as inline SVG, with the finding that it shows."""

    svg: str
    caption: str


@dataclass(frozen=True)
class Passage:
    """A text whose words have weights, with the finding that they show.

    Attributes:
        parts: the text in pieces, each with what it does for the prediction: -1 speaks most against it, 1 most for it.
        caption: the finding.
    """

    parts: Sequence[tuple[str, float]]
    caption: str


@dataclass(frozen=True)
class Table:
    """A table of text cells; the first cell of a row is its header.

    Attributes:
        title: what it is a table of.
        caption: what its values mean.
        header: the names of the columns.
        rows: as many cells in each as the header has.
        texts: the columns, besides the first, that are words and not numbers.
    """

    title: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Sequence[str] = ()


@dataclass(frozen=True)
class Panel:
    """One part of the explanation of a model.

    Attributes:
        name: one word, unique on the page; metrics.json keeps `records` under it.
        title: the heading.
        intro: how to read it.
        figures: may be empty.
        table: what the figures show, in full.
        records: the same for programs; in metrics.json a number that is not finite is null.
        gallery: single examples: small figures, many side by side, fewer where the drawings have the class `wide`; or
            passages.
        examples: whether it shows single examples, or names them; `evaluation.examples: false` leaves it out.
    """

    name: str
    title: str
    intro: str
    figures: Sequence[Figure]
    table: Table
    records: Sequence[Mapping[str, Any]]
    gallery: Sequence[Figure | Passage] = ()
    examples: bool = False


def number(value: float | None) -> str:
    """Write a number for people: four significant digits, no exponent, and a dash where there is none."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "infinite"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) >= 0.0001 or value == 0 else f"{value:.4f}"
