"""How raw values become typed ones: one conversion for training, for files and for requests.

The scoring script loads it as a lone file, so it imports nothing from its own package. Columns are plain data, because
a model carries those of its requests in its metadata, under the key `METADATA`. A column has the keys

    type        integer | number | category | boolean | text | date
    missing     whether values may be missing; integers and booleans become floats there, with NaN where one is missing
    thousands   the separator of thousands in numbers that are written as text
    decimal     their decimal separator, if it is not a point
    unit        what may stand before or after them, such as $ or %
    na_values   texts that stand for a missing value, besides those of `MISSING`
    format      how dates are written, besides ISO 8601
    derive      what is computed from a date: the columns `<name>_<part>`, with parts of `PARTS`
    values      the known values

of which only `type` and `missing` are always there.
"""

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

METADATA = "columns"

FILES = "files"
"""The key for how files of rows are written; see `table_file`."""

Columns = Mapping[str, Mapping[str, Any]]

# The texts that pandas reads as missing values.
_MISSING = "NA N/A n/a #N/A #NA <NA> NULL null None NaN nan -NaN -nan 1.#IND -1.#IND 1.#QNAN -1.#QNAN"
MISSING = frozenset(["", "#N/A N/A", *_MISSING.split()])

PARTS: dict[str, Callable[[datetime], int]] = {
    "year": attrgetter("year"),
    "month": attrgetter("month"),
    "day": attrgetter("day"),
    "day_of_week": datetime.isoweekday,
    "day_of_year": lambda moment: moment.timetuple().tm_yday,
    "hour": attrgetter("hour"),
}

_TRUTH = {"true": 1.0, "false": 0.0}
_ANSWERS = {**_TRUTH, "yes": 1.0, "no": 0.0}
# As texts, that is how a float that is an integer is written; one of more digits has an exponent.
_INTEGRAL = re.compile(r"(-?(?:0|[1-9][0-9]{0,15}))\.0+")
_ISO_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# What people write for a separator that a keyboard lacks.
_LOOKALIKES = {" ": " \u00a0\u2009\u202f", "'": "'\u2019"}


class Conversion(NamedTuple):
    """The values of one column after the conversion.

    Attributes:
        values: floats, or texts as objects; NaN or None where a value is missing or wrong.
        wrong: the rows whose value is not of the type, by the reason, such as "is not an integer".
    """

    values: NDArray[Any]
    wrong: dict[str, list[int]]


def convert(table: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    """Return these columns of a table, typed, with the columns that are derived from them; others are left out.

    Types of the result: number float64; integer int64 and boolean bool, or float64 where values may be missing;
    category, text and date texts as objects, with None for missing values. Limits are not looked at.

    Raises:
        ValueError: a column or a value is missing, or a value has another type; in one line.
    """
    if absent := [name for name in columns if name not in table]:
        given = textwrap.shorten(", ".join(map(str, table.columns)), 200, placeholder=" ...")
        raise ValueError(f"missing columns: {', '.join(absent)} (given: {given})")
    typed: dict[str, NDArray[Any]] = {}
    for name, column in columns.items():
        values, wrong = convert_column(table[name], column)
        for reason, rows in wrong.items():
            raise ValueError(f"{name}: {shown(table[name].iloc[rows[0]])} {reason}")
        exact = column["type"] in ("integer", "boolean") or column.get("derive")
        if exact and not column["missing"] and pd.isna(values).any():
            raise ValueError(f"{name}: a value is missing, and the model has never seen that")
        typed |= typed_columns(name, values, column)
    return pd.DataFrame(typed)


def convert_column(values: pd.Series, column: Mapping[str, Any]) -> Conversion:
    """Convert the values of one column, and note which of them are not of its type."""
    kind = column["type"]
    if absent := set(column.get("na_values", ())):
        given = [None if not _is_container(each) and label(each) in absent else each for each in _objects(values)]
        values = pd.Series(given, index=values.index, dtype=object)
    if kind in ("integer", "number", "boolean"):
        return _numbers(values, column)
    if kind == "date":
        parse: Callable[[Any], str | None] = partial(_date, form=column.get("format", ""))
    else:
        # A column of numbers in which some are missing is one of floats.
        parse = _text if kind == "text" and values.dtype.kind not in "iuf" else _category
    texts, wrong = _each(parse, _objects(values))
    return Conversion(np.array(texts, dtype=object), wrong)


def typed_columns(name: str, values: NDArray[Any], column: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """Return converted values with their final type, and after them what is derived from a date."""
    final = {"integer": "int64", "boolean": "bool"}.get(column["type"])
    if final and not column["missing"] and not np.isnan(values).any():
        return {name: values.astype(final)}
    typed = {name: values}
    moments = {text: datetime.fromisoformat(text) for text in set(values) if text} if column.get("derive") else {}
    for part in column.get("derive", ()):
        found = {text: float(PARTS[part](moment)) for text, moment in moments.items()}
        numbers = np.array([found.get(text, np.nan) for text in values], dtype=float)
        whole = not column["missing"] and not np.isnan(numbers).any()
        typed[f"{name}_{part}"] = numbers.astype("int64") if whole else numbers
    return typed


def unknown_values(table: pd.DataFrame, columns: Columns) -> Iterator[str]:
    """Yield a line for each column of a typed table with values that the model does not know, if it lists those."""
    for name, column in columns.items():
        names = set(column.get("values", ()))
        if names and column["type"] in ("category", "text"):
            unknown = [value for value in table[name] if value is not None and value not in names]
            if unknown:
                count = f"{len(unknown)} of {len(table)} values"
                yield f"{name}: {count} are unknown to the model (such as {shown(unknown[0])})"


def label(value: object) -> str:
    """Return a value as the text of a category: 7, 7.0, "7" and " 7.0" are the same, and so are true and "TRUE"."""
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(float(value))
    text = str(value).strip()
    if text.lower() in _TRUTH:
        return text.capitalize()
    integral = _INTEGRAL.fullmatch(text)
    return str(int(integral[1])) if integral else text


def class_name(value: object, kind: str) -> str:
    """Return a converted value as the schema lists it; a boolean is "True" or "False"."""
    return str(bool(value)) if kind == "boolean" else str(value) if kind == "text" else label(value)


def shown(value: object) -> str:
    """Return a value for a message, in one line and not too long."""
    if _is_container(value):
        return f"a {type(value).__name__}"
    text = " ".join(str(value).split())
    return f"'{text}'" if len(text) <= 60 else f"'{text[:60]}...'"


def _numbers(values: pd.Series, column: Mapping[str, Any]) -> Conversion:
    kind = column["type"]
    not_numeric = "is not true or false" if kind == "boolean" else "is not a finite number"
    wrong: dict[str, list[int]] = {}
    numbers = _plain_numbers(values, column)
    if numbers is None:
        words = _ANSWERS if kind == "boolean" else _TRUTH
        writing = tuple(column.get(key, "") for key in ("thousands", "decimal", "unit"))
        found, wrong = _each(partial(_number, reason=not_numeric, words=words, writing=writing), _objects(values))
        numbers = np.array(found, dtype=float)
    # Only comparisons, which NaN and infinity pass without a warning.
    given = ~np.isnan(numbers)
    checks = {not_numeric: given & ~np.isin(numbers, (0, 1)) if kind == "boolean" else np.isinf(numbers)}
    if kind == "integer":
        checks["is not an integer"] = given & (numbers != np.trunc(numbers))
        checks["is beyond 64 bits"] = np.isfinite(numbers) & (np.abs(numbers) >= 2.0**63)
    for reason, mask in checks.items():
        if mask.any():
            wrong.setdefault(reason, []).extend(np.flatnonzero(mask).tolist())
            numbers = np.where(mask, np.nan, numbers)
    return Conversion(numbers, wrong)


def _plain_numbers(values: pd.Series, column: Mapping[str, Any]) -> NDArray[np.float64] | None:
    """Return values as floats, all at once; None if some are not numbers, or are written in another way than Python's.

    That is for speed alone: one after the other, they become the same floats.
    """
    if values.dtype.kind in "iufb":
        return values.to_numpy(dtype="float64", na_value=np.nan)
    kinds = set(map(type, values)) if values.dtype == object else set()
    try:
        if kinds and kinds <= {int, float, type(None)}:
            return values.to_numpy().astype("float64")
        if kinds == {str} and not column.get("decimal") and "_" not in "".join(values):
            missing = [text in MISSING for text in values]
            texts = ["nan" if gone else text for text, gone in zip(values, missing, strict=True)]
            numbers = np.array(texts, dtype=object).astype("float64")
            # Python knows further spellings of NaN.
            return numbers if np.array_equal(np.isnan(numbers), missing) else None
    except (ValueError, OverflowError):
        pass
    return None


def _objects(values: pd.Series) -> list[Any]:
    return list(values.astype(object))


def _each(parse: Callable[[Any], Any], items: list[Any]) -> tuple[list[Any], dict[str, list[int]]]:
    """Apply `parse` to each item; return the results, None for a wrong item, and the rows of these by the reason."""
    if set(map(type, items)) <= {str, type(None)}:
        # Texts repeat. Other values may not share a result: True equals 1.
        known = {item: _attempt(parse, item) for item in set(items)}
        pairs = [known[item] for item in items]
    else:
        pairs = [_attempt(parse, item) for item in items]
    wrong: dict[str, list[int]] = {}
    for row, (_, reason) in enumerate(pairs):
        if reason:
            wrong.setdefault(reason, []).append(row)
    return [result for result, _ in pairs], wrong


def _attempt(parse: Callable[[Any], Any], item: Any) -> tuple[Any, str]:
    if _is_container(item):
        return None, "is not a single value"
    if item is None or item is pd.NA or item != item:
        return None, ""
    try:
        return parse(item), ""
    except ValueError as error:
        return None, str(error)


def _is_container(value: object) -> bool:
    return isinstance(value, list | tuple | dict | set | np.ndarray)


def _number(value: Any, reason: str, words: Mapping[str, float], writing: tuple[str, ...]) -> float | None:
    try:
        if not isinstance(value, str):
            return float(value)
        text = value.strip()
        if text in MISSING:
            return None
        if text.lower() in words:
            return words[text.lower()]
        number = float(_plain_text(text, *writing))
    except OverflowError:
        return np.inf
    except (ValueError, TypeError):
        raise ValueError(reason) from None
    # Python reads "1_0" as 10, and further spellings of "nan".
    if "_" in text or np.isnan(number):
        raise ValueError(reason)
    return number


def _plain_text(text: str, thousands: str, decimal: str, unit: str) -> str:
    """Return a number as Python writes it; thousands must stand in groups of three, so that 1,5 is not read as 15."""
    point = decimal or "."
    if unit:
        sign = text[:1] if text[:1] in "+-" else ""
        text = sign + text.removeprefix(sign).strip().removeprefix(unit).removesuffix(unit).strip()
    if thousands:
        separator = f"[{re.escape(_LOOKALIKES.get(thousands, thousands))}]"
        if re.fullmatch(rf"[+-]?\d{{1,3}}({separator}\d{{3}})+({re.escape(point)}\d*)?", text):
            text = re.sub(separator, "", text)
    if point == ".":
        return text
    if "." in text:
        raise ValueError
    return text.replace(point, ".")


def _category(value: Any) -> str | None:
    text = label(value)
    return None if text in MISSING else text


def _text(value: Any) -> str | None:
    text = str(value)
    return None if text in MISSING else text


def _date(value: Any, form: str) -> str | None:
    """Return a date as ISO 8601 writes it: without the time if that is midnight, and without offset: as UTC."""
    if isinstance(value, date):
        text, form = value.isoformat(), ""
    else:
        text = label(value)
    if text in MISSING:
        return None
    try:
        moment = _moment(text, form)
        if moment.tzinfo is not None:
            moment = moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        written = f"{form} or as 2013-01-31" if form else "as 2013-01-31 or 2013-01-31T18:30"
        raise ValueError(f"is not a date, written {written}") from None
    return moment.isoformat().removesuffix("T00:00:00")


def _moment(text: str, form: str) -> datetime:
    if form:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            if not _ISO_DATE.match(text):
                raise
    return datetime.fromisoformat(text)
