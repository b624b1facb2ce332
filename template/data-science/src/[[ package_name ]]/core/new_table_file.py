"""Files of rows that no schema describes yet: which can be read, and how they are written, as they show themselves.

That is the encoding, the delimiter, and where the header is.
"""

import codecs
import csv
import io
import itertools
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePath, PurePosixPath
from typing import Any

from .. import table_file
from ..table_file import DELIMITERS, SUFFIXES, Form
from .modality import data_files
from .schema import TASKS, Schema
from .step import StepError

# A csv file by another name.
_CSV_BY_ANOTHER_NAME = (".tsv", ".tab", ".txt")
_REMEDIES = {
    **dict.fromkeys((".xlsx", ".xls", ".xlsm", ".ods", ".numbers"), "save each sheet as csv, in UTF-8"),
    **dict.fromkeys((".gz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".zip"), "unpack it"),
    ".json": "write one object with the values of a row on each line, as .jsonl",
    **dict.fromkeys(
        (".feather", ".arrow", ".avro", ".orc", ".sas7bdat", ".sav", ".dta", ".rds", ".pkl"), "write it as parquet"
    ),
}
_ARCHIVE = ".zip"
# How files of other kinds begin, which are called csv all the same, such as what a web page gives in place of a table.
_BEGINNINGS = {
    b"PK\x03\x04": ("a workbook or an archive", "save each sheet as csv, in UTF-8, or unpack it"),
    b"\xd0\xcf\x11\xe0": ("a workbook", "save each sheet as csv, in UTF-8"),
    b"\x1f\x8b": ("compressed", "unpack it"),
    b"PAR1": ("a parquet file", "give it the suffix .parquet"),
    b"%PDF": ("a PDF", "save the table as csv"),
    **dict.fromkeys((b"<!doctype", b"<html", b"<table"), ("a web page", "save the table as csv")),
    b"<?xml": ("XML", "save the table as csv"),
    **dict.fromkeys((b"[{", b'{"'), ("JSON", _REMEDIES[".json"])),
}
_UNREADABLE = (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError, ValueError, zlib.error)
_UTF_8 = "utf-8"
# Without a mark, in the order in which they are tried: texts of the west that Windows and spreadsheets write.
_WESTERN = "cp1252"
# Of letters: in a text of another script nearly all are.
_MOST_FOREIGN = 0.4
# So many lines tell the delimiter, and so many may be above the header.
_LINES, _MOST_ABOVE = 200, 20
# Years, which may be names of columns.
_YEARS = range(1900, 2101)


def is_table(path: PurePath) -> bool:
    """Return whether a file is a table by its name."""
    return path.suffix.lower() in SUFFIXES


def tables_below(folder: Path) -> list[Path]:
    """Return the tables in a folder and below, in the order of their names."""
    return data_files(folder, SUFFIXES)


def refuse_others(files: Sequence[Path], given: Sequence[Path]) -> None:
    """Check that all files are tables, or csv files by another name.

    Raises:
        StepError: one is not, or there is none; with the remedy.
    """
    for file in files:
        suffix = file.suffix.lower()
        if suffix not in (*SUFFIXES, *_CSV_BY_ANOTHER_NAME):
            remedy = _REMEDIES.get(suffix, "save it as csv, parquet or jsonl")
            raise StepError(f"{file}: a file with the suffix {suffix or '(none)'} cannot be read: {remedy}")
    if not files:
        raise StepError(f"{given[0]}: there is no csv, parquet or jsonl file: name one")


def written_as(files: Sequence[Path], encoding: str | None) -> dict[str, Any]:
    """Return the section `files` of a schema for these files.

    Raises:
        StepError: how one is written is not clear, or they are written in different ways.
    """
    forms = {file: form_of(file, encoding) for file in files if _is_csv(file)}
    return document(joint_form(forms)) if forms else {}


def _is_csv(file: Path) -> bool:
    return file.suffix.lower() not in (".parquet", ".jsonl")


def schema_of(files: Mapping[str, Any], target: str = "", columns: Mapping[str, Any] | None = None) -> Schema:
    """Return a schema that reads files and knows nothing of their columns."""
    return Schema(target, TASKS[1], dict(columns or {}), files=dict(files))


def places(files: Sequence[Path]) -> dict[Path, str]:
    """Return names for the files in one folder: as they are, and of those that are the same, with a number."""
    names: dict[Path, str] = {}
    for file in files:
        suffix = file.suffix if is_table(file) else ".csv"
        name, number = f"{file.stem}{suffix}", 1
        while name in names.values():
            number += 1
            name = f"{file.stem}-{number}{suffix}"
        names[file] = name
    return names


def about(files: Sequence[Path], rows: int, columns: int, written: Mapping[str, Any]) -> str:
    """Return in a line what the files are."""
    named = files[0].name if len(files) == 1 else f"{len(files)} files ({files[0].name}, ...)"
    text = f"{named}: {rows:,} rows, {columns} columns"
    if any(map(_is_csv, files)):
        form = Form(**{key: value for key, value in written.items() if key != "rename"})
        text += f"; csv with {form.delimiters}, {form.encoding}"
        text += f", {form.skip_lines} lines above the header" if form.skip_lines else ""
    return text


def form_of(path: Path, encoding: str | None = None) -> Form:
    """Return how a csv file is written.

    Args:
        path: the file.
        encoding: if it is known.

    Raises:
        StepError: the encoding is not clear, or the first line has no names.
    """
    content = path.read_bytes()
    _refuse_other_kinds(content, path)
    encoding = encoding or _encoding(content, path)
    try:
        text = content.decode(Form(encoding=encoding).codec)
    except (UnicodeError, LookupError) as error:
        raise StepError(f"{path}: it is not encoded in {encoding}: name another one with --encoding") from error
    if not text.strip():
        raise StepError(f"{path}: it is empty; it needs a header line and rows")
    # As `table_file` reads lines: other breaks, such as those within a cell of a spreadsheet, end none.
    lines = list(itertools.islice(io.StringIO(text.removeprefix("\ufeff"), newline=""), _LINES))
    delimiter, rows = max(
        ((each, _rows(lines, each)) for each in DELIMITERS), key=lambda pair: _agreement(pair[1]), default=(",", [])
    )
    above = _rows_above(rows)
    # A quoted title may have several lines.
    title = csv.reader(lines, delimiter=delimiter)
    for _ in range(above):
        next(title)
    _refuse_values(rows[above], path, title.line_num + 1)
    return Form(delimiter, encoding, title.line_num)


def _refuse_other_kinds(content: bytes, path: Path) -> None:
    start = content[:100].removeprefix(codecs.BOM_UTF8).lstrip().lower()
    for beginning, (kind, remedy) in _BEGINNINGS.items():
        if start.startswith(beginning.lower()):
            raise StepError(f"{path}: it is {kind}, whatever its name says: {remedy}")


def _rows_above(rows: list[list[str]]) -> int:
    """Return how many rows are above the header: titles, a date, empty lines, Excel's `sep=;`."""
    usual = _usual_length(rows)
    most = max(1, usual // 4)
    first = next(([value for value in row if value] for row in rows if sum(map(bool, row)) > most), [])
    # A spreadsheet pads a title to the width of its table. A header that lacks names is as wide, with values below it.
    names = len({*first}) == len(first) and not any(value[0].isdigit() or _is_number(value) for value in first)
    padded = names and usual > 2
    above = 0
    for row in rows[:_MOST_ABOVE]:
        if sum(map(bool, row)) > most or (len(row) == usual and not padded):
            break
        above += 1
    return above if above < len(rows) else 0


def unpacked(given: Path, folder: Path, copies: Path) -> list[Path]:
    """Copy the tables in archives, and return the copies; a name below `copies` is that below `folder`.

    Who reads an archive later says what is wrong with it; here such a one is passed over.

    Args:
        given: an archive, or a folder with archives in it.
        folder: the folder of the archives, or one above.
        copies: where the copies go.
    """
    found = []
    for archive in data_files(given, [_ARCHIVE]) if given.is_dir() else [given]:
        with suppress(*_UNREADABLE), zipfile.ZipFile(archive) as file:
            place = copies / archive.relative_to(folder)
            for item in sorted(file.infolist(), key=lambda each: each.filename):
                name = PurePosixPath(item.filename)
                hidden = any(part[0] == "." or part == "__MACOSX" for part in name.parts)  # what macOS adds
                if is_table(name) and not item.is_dir() and not hidden:
                    found.append(Path(file.extract(item, place)))
    return found


def columns_without_name(files: Sequence[Path], written: Mapping[str, Any], *, named: bool) -> Iterator[str]:
    """Yield what to do about each column that has values and no name, and is not the number of the row.

    Args:
        files: the tables.
        written: how they are written.
        named: whether their names are said, too.
    """
    for file in filter(_is_csv, files):
        for number, values in table_file.unnamed(file, written).items():
            count = sum(map(bool, values.str.strip()))
            if count and not _are_row_numbers(list(values)):
                place = f"{file.name}: column {number}" if named else f"column {number}"
                yield f"{place} has no name and {count:,} values; it is left out: name it in the header"


def first_lines(file: Path, written: Mapping[str, Any], count: int) -> list[str]:
    """Return where the first rows of a file begin, in words: as editors count lines, if it has lines."""
    if not _is_csv(file):
        return [f"row {number}" for number in range(1, count + 1)]
    lines = itertools.islice(table_file.lines_of_rows(file, written), 1, count + 1)
    return [f"line {number}" for number in lines]


def _are_row_numbers(values: list[str]) -> bool:
    return any(values == [str(number) for number in range(first, first + len(values))] for first in (0, 1))


def joint_form(forms: Mapping[Path, Form]) -> Form:
    """Return how several files are written.

    Raises:
        StepError: they are written in different ways.
    """
    first = next(iter(forms))
    other_encodings = {form.encoding for form in forms.values()} - {_UTF_8}
    for path, form in forms.items():
        for key, value in form._asdict().items():
            # A file without other letters is the same in both encodings.
            plain = key == "encoding" and all(_is_ascii(each) for each in forms if forms[each].encoding == _UTF_8)
            if value != getattr(forms[first], key) and not (plain and len(other_encodings) < 2):
                raise StepError(
                    f"{path} has the {key.replace('_', ' ')} {value!r} and {first} {getattr(forms[first], key)!r}: "
                    "save both in the same way"
                )
    return forms[first]._replace(encoding=next(iter(other_encodings), _UTF_8))


def document(form: Form) -> dict[str, Any]:
    """Return the section `files` of a schema: what is not usual."""
    usual = Form()._asdict()
    return {key: value for key, value in form._asdict().items() if value != usual[key]}


def _is_ascii(path: Path) -> bool:
    return path.read_bytes().isascii()


def _encoding(content: bytes, path: Path) -> str:
    marks = {codecs.BOM_UTF32_LE: "utf-32", codecs.BOM_UTF32_BE: "utf-32", codecs.BOM_UTF8: _UTF_8}
    for mark, name in (marks | {codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}).items():
        if content.startswith(mark):
            return name
    start = content[:1000]
    for name, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if zeros.count(0) > len(zeros) / 2:
            return name
    try:
        content.decode(_UTF_8)
    except UnicodeDecodeError:
        pass
    else:
        return _UTF_8
    remedy = "name it with --encoding, such as cp1250, cp1251, mac_roman, shift_jis or gb18030, or save it in UTF-8"
    try:
        letters = [each for each in content.decode(_WESTERN) if each.isalpha() or not each.isascii()]
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        byte = f"line {line} has the byte {content[error.start]:#04x}"
        raise StepError(f"{path}: it is encoded neither in UTF-8 nor in {_WESTERN} ({byte}): {remedy}") from error
    if sum(not each.isascii() for each in letters) > _MOST_FOREIGN * len(letters):
        raise StepError(f"{path}: it is not encoded in UTF-8, and its letters are not those of {_WESTERN}: {remedy}")
    return _WESTERN


def _rows(lines: list[str], delimiter: str) -> list[list[str]]:
    rows = []
    try:
        for row in csv.reader(lines, delimiter=delimiter):
            rows.append([value.strip() for value in row])
    except csv.Error:
        pass
    return rows


def _usual_length(rows: list[list[str]]) -> int:
    counts = Counter(len(row) for row in rows if any(row))
    # Of lengths that are as frequent the larger one: a title stands above a header.
    return max(counts, key=lambda length: (counts[length], length), default=0)


def _agreement(rows: list[list[str]]) -> tuple[bool, float, int]:
    """Return how well a delimiter fits, the best one last: most lines have the usual number of values, above 1.

    The first one should, too: between semicolons there may be decimal commas in each line but the header.
    """
    usual = _usual_length(rows)
    if usual < 2:
        return False, 0.0, 0
    given = [row for row in rows if any(row)]
    share = round(sum(len(row) == usual for row in given) / len(given), 1)
    return share > 0.8 and len(given[0]) == usual, share, usual


def _refuse_values(names: list[str], path: Path, line: int) -> None:
    given = [name for name in names if name]
    numbers = [name for name in given if _is_number(name)]
    if given and 2 * len(numbers) >= len(given):
        some = ", ".join(given[:4])
        raise StepError(
            f"{path}: line {line} has values ({some}) and no names of columns: write the names into a line above it"
        )


def _is_number(text: str) -> bool:
    try:
        return float(text.replace(",", ".")) not in _YEARS
    except ValueError:
        return False
