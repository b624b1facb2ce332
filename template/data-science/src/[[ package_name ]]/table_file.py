"""How one csv, parquet or JSON lines file becomes rows, in training and in batch scoring.

`data_file.py` may use it where the scoring script loads both without their package, so it imports nothing from there.

A csv file is read strictly: a header, commas, UTF-8, and in each line as many values as the header has names. A JSON
lines file, too: UTF-8, and on each line one object, whose keys are columns. A guess could shift or drop values
unnoticed, and a model would learn that. What differs is said in the section `files` of the schema; a model carries
that in its metadata:

    delimiter    between the values of a csv, if it is not a comma
    encoding     of a csv, by its name in Python, if it is not UTF-8
    skip_lines   how many lines of a csv come before its header
    rename       new names of columns, by those in the files
"""

import csv
import itertools
import json
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import pandas as pd

# Longer values are allowed than the 128 KiB of Python.
csv.field_size_limit(2**31 - 1)

SUFFIXES = (".csv", ".parquet", ".jsonl")

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}


class Form(NamedTuple):
    """How a csv file is written; see the module."""

    delimiter: str = ","
    encoding: str = "utf-8"
    skip_lines: int = 0

    @property
    def codec(self) -> str:
        """The encoding as Python reads it: a mark at the beginning of a file in UTF-8 is no part of a name."""
        return "utf-8-sig" if self.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else self.encoding

    @property
    def delimiters(self) -> str:
        """What stands between the values, in words."""
        return DELIMITERS.get(self.delimiter, f"'{self.delimiter}'")


def read(path: Path, columns: Collection[str], files: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return the rows of a file; the values of a csv are texts, as they are written.

    Args:
        path: the file; without the suffix .parquet or .jsonl it is csv.
        columns: names of the columns that are needed; another delimiter is known by them.
        files: how files are written, as the module describes.

    Raises:
        ValueError: the file cannot be read as it is; in one line with the file's columns and the remedy.
    """
    names = (files or {}).get("rename", {})
    suffix = path.suffix.lower()
    if suffix == ".jsonl":
        frame = _json_lines(path)
    elif suffix == ".parquet":
        frame = _parquet(path)
    else:
        former = {new: old for old, new in names.items()}
        frame = _csv(path, [former.get(name, name) for name in columns], _form(files))
    renamed = [names.get(name, name) for name in frame.columns]
    _refuse_repeated(renamed)
    return frame.set_axis(renamed, axis=1)


def unnamed(path: Path, files: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return the columns of a csv file without a name, which `read` leaves out, by their numbers from 1 on.

    Args:
        path: the file, which `read` can read.
        files: how files are written, as the module describes.
    """
    form = _form(files)
    with _below_title(path, form) as file:
        numbers = [number for number, name in enumerate(_names(next(_reader(file, form), [])), 1) if not name]
    # The file is long, and this is rare.
    return _whole_csv(path, (), form)[1][numbers] if numbers else pd.DataFrame()


def lines_of_rows(path: Path, files: Mapping[str, Any] | None = None) -> Iterator[int]:
    """Yield the number of the line on which the header of a csv file begins, and then each row.

    Args:
        path: the file, which `read` can read.
        files: how files are written, as the module describes.
    """
    form = _form(files)
    with _below_title(path, form) as file:
        reader, end = _reader(file, form), 0
        for row in reader:
            begin, end = end + 1, reader.line_num
            if not _is_blank(row):
                yield form.skip_lines + begin


def column_list(names: Iterable[str]) -> str:
    """Return names in one line, as many as fit; without a header, values may stand there, and none is shown whole."""
    short = (textwrap.shorten(str(name), 40, placeholder="...") or "..." for name in names)
    return textwrap.shorten(", ".join(short), 200, placeholder=" ...")


def _has(names: Iterable[str]) -> str:
    return f"its columns: {column_list(names)}"


def _refuse_repeated(names: Sequence[str]) -> None:
    repeated = [name for name in names if name and names.count(name) > 1]
    if repeated:
        raise ValueError(f"it has the column {repeated[0]} more than once ({_has(names)}): rename or delete the others")


@contextmanager
def _parquet_errors() -> Iterator[None]:
    try:
        yield
    # pyarrow's errors are ValueErrors, but for an unreadable page or type.
    except (ValueError, OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno:
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"it cannot be read as parquet ({reason}): write it again") from error


def _parquet(path: Path) -> pd.DataFrame:
    import pyarrow.parquet as pq  # here: an endpoint of pictures, which reads no table, does not have it

    with _parquet_errors():
        names = pq.read_schema(path).names
    _refuse_repeated(names)
    with _parquet_errors():
        frame = pd.read_parquet(path)
    # Columns that pandas wrote as its index are columns like the others.
    if index := [name for name in frame.index.names if name is not None]:
        frame = frame.reset_index(level=index)
    return frame.set_axis([str(name) for name in frame.columns], axis=1)


def _csv(path: Path, columns: Collection[str], form: Form) -> pd.DataFrame:
    header, frame = _whole_csv(path, columns, form)
    # A column without a name: of a spreadsheet that is wider than its table, or the row numbers of R and pandas.
    return frame.set_axis(header, axis=1).loc[:, [name != "" for name in header]]


def _form(files: Mapping[str, Any] | None) -> Form:
    return Form(**{key: value for key, value in (files or {}).items() if key != "rename"})


@contextmanager
def _below_title(path: Path, form: Form) -> Iterator[TextIO]:
    with path.open(encoding=form.codec, newline="") as file:
        for _ in range(form.skip_lines):
            file.readline()
        yield file


def _reader(lines: Iterable[str], form: Form) -> Any:
    return csv.reader(lines, strict=True, delimiter=form.delimiter)


def _names(header: Iterable[str]) -> list[str]:
    return [name.strip().removeprefix("\ufeff") for name in header]


def _whole_csv(path: Path, columns: Collection[str], form: Form) -> tuple[list[str], pd.DataFrame]:
    """Return the header of a csv file, and its rows with the numbers of the columns, from 1 on."""
    try:
        with _below_title(path, form) as file:
            start = file.tell()
            first = file.readline()
            if "\x00" in first:
                raise ValueError(_encoding_problem(path, form))
            _check_delimiter(first, columns, form)
            file.seek(start)
            header = _checked_header(_reader(file, form), form)
            _refuse_repeated(header)
            # pandas counts a quoted title of two lines as one.
            file.seek(start)
            # Without an index and names of its own, it would take a column for the names of the rows, or give it a
            # name.
            frame = pd.read_csv(
                file,
                sep=form.delimiter,
                names=range(1, len(header) + 1),
                header=0,
                index_col=False,
                dtype=str,
                na_filter=False,
            )
    except UnicodeError as error:
        raise ValueError(_encoding_problem(path, form)) from error
    return header, frame


def _checked_header(reader: Any, form: Form) -> list[str]:
    """Return the names in the header of a file whose lines all have as many values."""

    def line() -> str:
        return f"line {form.skip_lines + reader.line_num}"

    header: list[str] = []
    try:
        for row in reader:
            if any("\x00" in value for value in row):
                # pandas would drop the rest of such a value.
                raise ValueError(f"{line()} has a NUL byte ({_has(header)}): write the file again")
            if not header:
                header = _names(row)
            elif len(row) != len(header) and not _is_blank(row):
                raise ValueError(f"{line()} has {_wrong_length(row, header, form)}")
    except csv.Error as error:
        remedy = "write a quotation mark within a quoted value twice, and close each quoted value"
        raise ValueError(f"{line()} cannot be read ({error}; {_has(header)}): {remedy}") from error
    if not header:
        raise ValueError("it is empty; it needs a header line and rows")
    return header


def _is_blank(row: list[str]) -> bool:
    """Return whether a line is empty; pandas leaves it out, too."""
    return len(row) < 2 and not "".join(row).strip()


def _wrong_length(row: list[str], header: list[str], form: Form) -> str:
    one = form.delimiters.removesuffix("s") if form.delimiter in DELIMITERS else form.delimiters
    if len(row) < len(header):
        remedy = f"complete it, with a {one} for each empty value"
    elif len(row) == len(header) + 1 and not row[-1]:
        remedy = f"remove the {one} at the end of each line, or end the header with one too"
    else:
        remedy = f"name all columns in the header, and put values that hold a {one} into quotation marks"
    count = "1 value" if len(row) == 1 else f"{len(row)} values"
    return f"{count} and the header {len(header)} ({_has(header)}): {remedy}"


def _json_lines(path: Path) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if number == 1 and (line.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in line):
                raise ValueError("it is encoded in UTF-16: save it in UTF-8")
            try:
                # A mark may be at the beginning of a file.
                if text := line.decode("utf-8-sig" if number == 1 else "utf-8").strip():
                    rows.append(_json_object(text))
            except UnicodeDecodeError as error:
                byte = f"line {number} has the byte {line[error.start]:#04x}"
                raise ValueError(f"it is not encoded in UTF-8: {byte}: save it in UTF-8") from error
            except ValueError as error:
                remedy = "write one object with the values of a row on each line"
                raise ValueError(f"line {number} cannot be read as JSON ({error}): {remedy}") from error
    if not rows:
        raise ValueError("it is empty; it needs a JSON object on each line")
    names = dict.fromkeys(name for row in rows for name in row)
    # As objects, so that integers stay integers beside missing values.
    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in names})


def _json_object(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line, object_pairs_hook=_without_repeated_keys, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(row, dict):
        raise ValueError("it is not an object")
    try:
        # Escapes can name what no text in UTF-8 has.
        if "\\ud" in line.lower():
            json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise ValueError("it has half of a surrogate pair, which no other file can hold") from None
    return row


def _without_repeated_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError("it has a key more than once")
    return row


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON; a missing value is null")


def _check_delimiter(first: str, columns: Collection[str], form: Form) -> None:
    known = {delimiter: _split(first, delimiter) for delimiter in (form.delimiter, *DELIMITERS)}
    found = {delimiter: len({*names} & {*columns}) for delimiter, names in known.items()}
    best = max(found, key=lambda delimiter: found[delimiter])
    if found[best] > found[form.delimiter]:
        other = f"write `files: {{delimiter: {json.dumps(best)}}}` into data/schema.yml if all files are like that"
        raise ValueError(
            f"its values are separated by {DELIMITERS[best]} ({_has(known[best])}): save it with {form.delimiters}, or "
            f"{other}"
        )


def _split(line: str, delimiter: str) -> list[str]:
    return [name.strip() for name in next(csv.reader([line], delimiter=delimiter), [])]


def _encoding_problem(path: Path, form: Form) -> str:
    if form.codec != "utf-8-sig":
        return f"it is not encoded in {form.encoding}, as files.encoding of the schema says: save it so"
    other = "or name its encoding in data/schema.yml if all files are like that, such as `files: {encoding: %s}`"
    with path.open("rb") as file:
        first = file.readline()
        if first.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in first:
            little = first.startswith(b"\xff\xfe") or first[1:2] == b"\x00"
            text = first.decode("utf-16-le" if little else "utf-16-be", errors="ignore").lstrip("\ufeff")
            names = _has(_split(text, form.delimiter))
            return f"it is encoded in UTF-16 ({names}): save it in UTF-8, {other % 'utf-16'}"
        names = _has(_split(first.decode("latin-1"), form.delimiter))
        for number, line in enumerate(itertools.chain([first], file), 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                byte = f"line {number} has the byte {line[error.start]:#04x}"
                return f"it is not encoded in UTF-8: {byte} ({names}): save it in UTF-8, {other % 'cp1252'}"
    return f"it is not encoded in UTF-8 ({names}): save it in UTF-8"
