"""What a column of raw values seems to be: its type, how its values are written, and what speaks for that.

`conversion` decides whether a guess is right: it must be able to read the values.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import conversion

# So many different values that are not of the type may stand for missing ones, in this share of all values.
_MOST_WORDS, _MOST_WRONG = 5, 0.05
# Words for a missing value that `conversion` takes for a value.
_WORDS_FOR_MISSING = frozenset(
    ["?", "-", "--", ".", "..", "n.a.", "k.A.", "(null)", "(blank)", "#REF!", "#DIV/0!", "#VALUE!", "#N/V"]
)
# Numbers that stand for a missing value where they are far from all others, and repeat.
_NUMBERS_FOR_MISSING = (-99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0, 999999.0)
_SEPARATORS = (("", ""), (",", ""), (".", ","), ("", ","), ("'", ""), (" ", ""), (" ", ","))
_DAYS = [
    *("%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d-%m-%y"),
    *("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y", "%b %d %Y"),
]
_TIMES = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", ", %H:%M", " %H.%M")
_NUMBER = re.compile(r"(\D*?)[+-]?(?=[\d.,])[\d.,'\u2019 \u00a0\u202f\u2009]*\d[.,]?\s*(\D*)")
_CODE = re.compile(r"0\d+")
_PACKED_DATE = re.compile(r"(19|20)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])")
_AMBIGUOUS = re.compile(r"[+-]?\d{1,3}([.,]\d{3})+")
# A sample is enough to choose how numbers and dates are written.
_SAMPLE = 2000
_YES_NO, _ZERO_ONE = frozenset(("true", "false", "yes", "no")), frozenset("01")
# A text has so many words, or letters, on average.
_WORDS_OF_A_TEXT, _LETTERS_OF_A_TEXT = 4, 40

ID = re.compile(r"(^|[\s_.\-])(id|ids|uuid|guid)$|[a-z](ID|Id)$", re.ASCII)
OWNER = re.compile(
    r"^(patient|customer|client|user|member|subject|household|account|session|kunde|kundennr)([\s_.\-]?(nr|no|number))?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Guess:
    """What a column seems to be.

    Attributes:
        name: of the column.
        entry: what the schema says of it, from the type on; empty if the column is left out.
        values: after the conversion, with NaN or None where one is missing.
        reasons: what speaks for the guess, and what a person should look at.
        different: how many values differ.
        writing: of numbers what a sign is for: "comma decimals", "comma thousands", "point decimals"; "" if not sure.
    """

    name: str
    entry: dict[str, Any]
    values: NDArray[Any]
    reasons: tuple[str, ...] = ()
    different: int = 0
    writing: str = ""

    @property
    def type(self) -> str:
        """The type; empty if the column is left out."""
        return str(self.entry.get("type", ""))

    @property
    def missing(self) -> float:
        """The share of missing values."""
        return float(pd.isna(self.values).mean()) if len(self.values) else 0.0

    @property
    def is_number(self) -> bool:
        """Whether the values are numbers, which have an order."""
        return self.type in ("integer", "number")

    @property
    def is_unique(self) -> bool:
        """Whether each row has another value."""
        return self.different == len(self.values)

    def noted(self, *reasons: str, **entry: Any) -> "Guess":
        """Return the guess with further reasons and keys."""
        return replace(self, reasons=(*self.reasons, *reasons), entry={**self.entry, **entry})

    def counts(self) -> dict[str, int]:
        """Return how often each value is there, as the schema lists values, in their order."""
        found = Counter(conversion.class_name(value, self.type) for value in self.values[~pd.isna(self.values)])
        numbers = self.type in ("integer", "number")
        return dict(sorted(found.items(), key=lambda item: (float(item[0]) if numbers else 0.0, item[0])))


def guess(name: str, values: pd.Series, decimal_comma: bool | None = None) -> Guess:
    """Return what a column seems to be.

    Args:
        name: of the column.
        values: as a file has them.
        decimal_comma: whether other columns have decimal commas, where that is known.
    """
    given = values[[not _is_missing(each) for each in values]]
    if given.empty:
        return Guess(name, {}, np.full(len(values), None), ("it is empty in each row: left out",))
    if any(isinstance(each, list | tuple | dict | set | np.ndarray | bytes) for each in given.head(_SAMPLE)):
        return Guess(name, {}, np.full(len(values), None), ("its values are no single values: left out",))
    different = list(dict.fromkeys(given))
    return _typed(name, values, different, decimal_comma)


def _is_missing(value: object) -> bool:
    if isinstance(value, str):
        return value.strip() in conversion.MISSING
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def _typed(name: str, values: pd.Series, different: list[Any], decimal_comma: bool | None) -> Guess:
    if values.dtype.kind == "b" or all(isinstance(each, bool | np.bool_) for each in different):
        return made(name, values, {"type": "boolean"})
    if values.dtype.kind == "M" or all(hasattr(each, "isoformat") for each in different):
        return made(name, values, {"type": "date"})
    texts = [conversion.label(each) for each in different]
    known = {text.lower() for text in texts} - {word.lower() for word in _WORDS_FOR_MISSING}
    if len(known) == 2 and (known <= _YES_NO or known == _ZERO_ONE):
        return made(name, values, {"type": "boolean", **_na(texts, _WORDS_FOR_MISSING)}, "two values")
    if all(_PACKED_DATE.fullmatch(text) for text in texts) and len(texts) > 2:
        packed = made(name, values, {"type": "date"}, "8 digits that are dates")
        if not _wrong(texts, packed.entry):
            return packed
    if any(_CODE.fullmatch(text) for text in texts) and all(re.fullmatch(r"[\d\s-]+", text) for text in texts):
        return made(name, values, {"type": "category"}, "codes: zeros at the beginning stay")
    return (
        _as_numbers(name, values, texts, decimal_comma)
        or _as_dates(name, values, texts)
        or _as_words(name, values, texts)
    )


def made(name: str, values: pd.Series, entry: dict[str, Any], *reasons: str, writing: str = "") -> Guess:
    """Return the guess that a column is as an entry of the schema says."""
    converted, _ = conversion.convert_column(values, {"missing": True, **entry})
    different = len({*converted[~pd.isna(converted)]})
    return Guess(name, entry, converted, reasons, different, writing)


def _na(texts: Iterable[str], words: Iterable[str]) -> dict[str, list[str]]:
    found = sorted({*texts} & {*words})
    return {"na_values": found} if found else {}


def _wrong(texts: Sequence[str], entry: dict[str, Any]) -> list[str]:
    """Return the texts that an entry of the schema cannot read."""
    _, wrong = conversion.convert_column(pd.Series(texts, dtype=object), {"missing": True, **entry})
    return [texts[row] for rows in wrong.values() for row in rows]


def _words(texts: Sequence[str], values: pd.Series, entry: dict[str, Any]) -> tuple[dict[str, Any], str] | None:
    """Return an entry with the words that stand for missing values, and what to say of them; None if they are many."""
    wrong = _wrong(texts, entry)
    if not wrong:
        return entry, ""
    count = int(values.map(lambda each: conversion.label(each) in wrong).sum())
    if len(wrong) > _MOST_WORDS or count > max(_MOST_WRONG * len(values), 1) or len(wrong) >= len(texts) / 2:
        usual = all(word in _WORDS_FOR_MISSING for word in wrong)
        if not usual or len(wrong) >= len(texts):
            return None
    shown = ", ".join(conversion.shown(word) for word in wrong)
    first = int(values.map(lambda each: conversion.label(each) in wrong).to_numpy().argmax()) + 1
    return {**entry, "na_values": wrong}, f"{shown} read as missing ({count:,} times, first in row {first:,})"


def _as_numbers(name: str, values: pd.Series, texts: list[str], decimal_comma: bool | None) -> Guess | None:
    sample = texts[:_SAMPLE]
    if sum(any(sign.isdigit() for sign in text) for text in sample) < 0.5 * len(sample):
        return None
    best: tuple[int, dict[str, Any]] | None = None
    for unit in _units(sample):
        for thousands, decimal in _SEPARATORS:
            entry: dict[str, Any] = {"type": "number", "thousands": thousands, "decimal": decimal, "unit": unit}
            entry = {key: value for key, value in entry.items() if value}
            count = len(_wrong(sample, entry))
            if best is None or count < best[0]:
                best = count, entry
    assert best is not None
    entry, writing = _settled(best[1], texts, decimal_comma)
    found = _words(texts, values, entry)
    if found is None:
        return None
    entry, note = found
    converted = made(name, values, entry).values
    numbers = converted[~pd.isna(converted)].astype(float)
    if not len(numbers):
        return None
    # A schema has 64 bits for an integer, and a float is exact up to 2**53.
    if (numbers == np.trunc(numbers)).all() and "decimal" not in entry:
        if np.abs(numbers).max() > 2**53:
            return made(name, values, {"type": "category"}, "too many digits for a number: kept as they are")
        entry = {**entry, "type": "integer"}
    reasons = [f"a comma is for {writing.split()[1]}"] if writing.startswith("comma") else []
    if "unit" in entry:
        reasons.append(f"written with {entry['unit']}")
    if not writing and ("thousands" in entry or "decimal" in entry):
        said = {"'": "an apostrophe", " ": "a space", ".": "a point", ",": "a comma"}
        reasons += [f"{said[entry['thousands']]} is for thousands"] if "thousands" in entry else []
        reasons += ["a comma is for decimals"] if "decimal" in entry else []
    outlier = _number_for_missing(numbers)
    if outlier is not None:
        label = conversion.label(outlier)
        times = int((numbers == outlier).sum())
        entry = {**entry, "na_values": [*entry.get("na_values", []), label]}
        note = "; ".join(filter(None, [note, f"{label} read as missing ({times:,} times): far from all other numbers"]))
    return made(name, values, entry, *reasons, *filter(None, [note]), writing=writing)


def _units(sample: list[str]) -> list[str]:
    """Return no unit, and those that many numbers are written with: $5, 5 kg, 5kg, and not C0005, which is a code."""
    found: Counter[str] = Counter()
    for text in sample:
        if match := _NUMBER.fullmatch(text):
            before, after = match.groups()
            # A letter at a number is a unit only behind it.
            before = "" if before and before[-1].isalpha() else before
            found.update({part.strip(" +-") for part in (before, after)} - {""})
    usual = [unit for unit, count in found.most_common(2) if len(unit) <= 5 and count > len(sample) / 2]
    return ["", *usual]


def _settled(entry: dict[str, Any], texts: list[str], decimal_comma: bool | None) -> tuple[dict[str, Any], str]:
    """Return an entry for numbers in which it is decided what a comma and a point are for, and how sure that is."""
    plain = [text.removeprefix(entry.get("unit", "")).removesuffix(entry.get("unit", "")).strip() for text in texts]
    commas = [text for text in plain if "," in text]
    points = [text for text in plain if "." in text]
    unclear = all(_AMBIGUOUS.fullmatch(text) for text in (*commas, *points))
    without = {key: value for key, value in entry.items() if key not in ("thousands", "decimal")}
    if commas and not points and unclear:
        if decimal_comma or any(text.lstrip("+-").startswith("0") for text in commas):
            return {**without, "decimal": ","}, ""
        return {**without, "thousands": ","}, ""
    if points and not commas and unclear and decimal_comma and len(points) > 1:
        return {**without, "thousands": "."}, ""
    if entry.get("decimal") == ",":
        return entry, "comma decimals"
    if entry.get("thousands") == "," and points:
        return entry, "comma thousands"
    return entry, "point decimals" if points and not unclear else ""


def _number_for_missing(numbers: NDArray[np.float64]) -> float | None:
    for number in _NUMBERS_FOR_MISSING:
        others = numbers[numbers != number]
        if 2 <= len(numbers) - len(others) < len(numbers) / 2 and len(np.unique(others)) > 1:
            low, high = others.min(), others.max()
            distance = low - number if number < low else number - high
            # Where all others have fewer digits, they would hardly be one more or less.
            if distance > 5 * (high - low) or (number < 0 <= low and distance > 0):
                return number
    return None


def _as_dates(name: str, values: pd.Series, texts: list[str]) -> Guess | None:
    sample = texts[:_SAMPLE]
    if sum(sum(sign.isdigit() for sign in text) >= 3 for text in sample) < 0.9 * len(sample):
        return None
    few = sample[:50]
    fitting = []
    for form in ("", *(f"{day}{time}" for day in _DAYS for time in _TIMES)):
        entry = {"type": "date", **({"format": form} if form else {})}
        if len(_wrong(few, entry)) < len(few) / 2:
            fitting.append((len(_wrong(sample, entry)), entry))
        if not form and fitting == [(0, entry)]:
            break  # each form would read these dates, too
    if not fitting:
        return None
    fewest = min(count for count, _ in fitting)
    # ISO 8601 is read in addition to any format.
    entries = [entry for count, entry in fitting if count == fewest]
    entries = entries if "format" in entries[0] else entries[:1]
    entry = _in_order(entries, values) if len(entries) > 1 else entries[0]
    found = _words(texts, values, entry)
    if found is None:
        return None
    entry, note = found
    form = entry.get("format", "")
    reasons = [f"written as {texts[0]}"] if form else []
    if len(entries) > 1:
        others = " or ".join(each["format"] for each in entries if each["format"] != form)
        reasons.append(f"read as {form}; {others} would fit too")
    return made(name, values, entry, *reasons, *filter(None, [note]))


def _in_order(entries: list[dict[str, Any]], values: pd.Series) -> dict[str, Any]:
    """Return the way of reading dates in which the rows are in the order of their dates, or else the first one."""
    for entry in entries:
        dates = [date for date in made("", values, entry).values if date is not None]
        if dates == sorted(dates) or dates == sorted(dates, reverse=True):
            return entry
    return entries[0]


def _as_words(name: str, values: pd.Series, texts: list[str]) -> Guess:
    given = _na(texts, _WORDS_FOR_MISSING)
    left = [text for text in texts if text not in given.get("na_values", ())]
    entry = {"type": "category", **(given if left else {})}
    reasons = []
    if given and left:
        reasons.append(f"{', '.join(map(conversion.shown, given['na_values']))} read as missing")
    words = sum(len(text.split()) for text in left) / max(1, len(left))
    letters = sum(map(len, left)) / max(1, len(left))
    if words > _WORDS_OF_A_TEXT or letters > _LETTERS_OF_A_TEXT:
        return made(name, values, {"type": "text"}, f"texts of {words:.0f} words on average")
    alike = Counter(text.lower() for text in left)
    if twice := [text for text in left if alike[text.lower()] > 1]:
        same = [text for text in twice if text.lower() == twice[0].lower()]
        reasons.append(f"{' and '.join(same[:3])} are different values: write them alike if they are not")
    return made(name, values, entry, *reasons)
