"""Texts: reading them and their labels, checking and measuring each once, and near duplicates.

A frame has a row per text, with the text itself in the column `text`: a copy in another file is the same text, so it is
on the same side of the split. `read` adds the column `SOURCE`, which a message names in place of the text: the file, or
its row counted from 0, such as `news.csv[7]`. After `check` these columns are there, too: those of
`data_file.DESCRIPTIONS`, and `FINGERPRINT`, by which a text is found again that was changed a little.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .. import archive_file, conversion, data_file, table_file, text_model
from ..core import tables
from ..core.class_folders import (
    classes_by_folder,
    refuse_missing_labels,
    refuse_nested_folders,
    refuse_two_labels,
    report_unreadable,
)
from ..core.modality import Examples
from ..core.schema import Schema
from ..core.step import StepError

TEXT = data_file.TEXT
SOURCE, FINGERPRINT = "_source", "_fingerprint"
ADDED = (SOURCE, *data_file.DESCRIPTIONS, FINGERPRINT)

# What `write` makes.
EXAMPLES = "examples.parquet"

MOST_OF_A_TARGET = 20_000
"""Characters of a target that is a text: it is compared word by word with what a model makes."""

# Of so many texts or more, the progress of the measuring is printed.
_LONG = 20_000


# --- reading


def read_folder(folder: Path, schema: Schema) -> pd.DataFrame:
    """Return a row for each text: as `write` left it, of the tables, or of the text files in class-named folders.

    Raises:
        StepError: there is no text, or a file cannot be read.
    """
    if not folder.is_dir():
        raise StepError(f"{folder}: no such folder; give the folder that holds the texts")
    if (folder / EXAMPLES).is_file():
        written = tables.read(folder / EXAMPLES, schema)
        if set(ADDED) <= set(written):
            return written
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    names = [path.relative_to(folder).as_posix() for path in paths]
    found = archive_file.visible_names(names, table_file.SUFFIXES)
    plain = archive_file.visible_names(names, (data_file.PLAIN, archive_file.ARCHIVE))
    if not found and not plain:
        raise StepError(f"{folder}: there is no text; the suffixes are {', '.join(data_file.SUFFIXES)}")
    if not found:
        return _by_folders(folder, plain, schema)
    if plain:
        print(f"left out {len(plain):,} files beside the tables (such as {plain[0]})", flush=True)
    paths = [folder / name for name in found]
    return tables.read_all(paths, lambda path: _table(folder, path.relative_to(folder).as_posix(), schema))


def _table(folder: Path, name: str, schema: Schema) -> pd.DataFrame:
    frame = tables.read(folder / name, schema)
    if TEXT not in frame:
        has = f"its columns: {table_file.column_list(frame.columns)}"
        raise StepError(f"{folder / name}: it has no column {TEXT} ({has}); call the column with the texts so")
    return frame.assign(**{SOURCE: [f"{name}[{row}]" for row in range(len(frame))]})


def _by_folders(folder: Path, names: Sequence[str], schema: Schema) -> pd.DataFrame:
    texts: dict[str, str] = {}
    for name in names:
        try:
            if PurePosixPath(name).suffix.lower() == data_file.PLAIN:
                texts[name] = data_file.read_text(folder / name)
            else:
                texts |= {f"{name}/{member}": text for member, text in data_file.read_archive(folder / name).items()}
        except ValueError as error:
            raise StepError(f"{folder / name}: {error}") from error
    if not texts:
        raise StepError(
            f"{folder}: there is no text in the archives; put files with the suffix {data_file.PLAIN} there"
        )
    files = sorted(texts)
    targets = [None] * len(files) if schema.predicts_texts else classes_by_folder(files)
    columns = {TEXT: [texts[name] for name in files], schema.target: targets, SOURCE: files}
    return pd.DataFrame(columns, dtype=object)


# --- checking


def check(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return the rows whose texts can be used, with the columns that the module names.

    Raises:
        StepError: texts are missing, empty, too long or damaged, more than the share that may be missing; the class
            folders are nested; a label is missing or unknown; or a text has two labels.
    """
    if schema.target in frame and not schema.predicts_texts:
        refuse_nested_folders(list(frame[SOURCE]), list(frame[schema.target]), schema)
        refuse_missing_labels(list(frame[SOURCE]), frame[schema.target], "text", schema)
    if TEXT in frame:
        texts, _ = conversion.convert_column(frame[TEXT], schema.columns[TEXT].document())
        bad = {place: reason for place, text in enumerate(texts) if (reason := data_file.problem(text))}
        report_unreadable(list(frame[SOURCE]), bad, TEXT, "text", schema)
        frame = frame.drop(index=frame.index[list(bad)]).reset_index(drop=True)
    if schema.target in frame and schema.predicts_texts:
        frame = frame.assign(**{schema.target: _targets(frame, schema)})
    typed = tables.validate(frame, schema).assign(**{SOURCE: frame[SOURCE].to_numpy()})
    if not schema.predicts_texts:
        refuse_two_labels(typed, TEXT, SOURCE, "text", schema)
    return _with_measures(typed)


def _targets(frame: pd.DataFrame, schema: Schema) -> list[Any]:
    """Return targets that are texts, with None for one without a word or sign.

    Raises:
        StepError: one has what no text has, or is too long for what it should be.
    """
    targets = [None if isinstance(target, str) and not target.strip() else target for target in frame[schema.target]]
    for source, target in zip(frame[SOURCE], targets, strict=True):
        if isinstance(target, str):
            reason = data_file.problem(target)
            if not reason and len(target) > MOST_OF_A_TARGET:
                reason = f"it has {len(target):,} characters; shorten it to {MOST_OF_A_TARGET:,}, or leave the row out"
            if reason:
                raise StepError(f"data does not fit {schema.source}: {schema.target} of {source}: {reason}")
    return targets


def _with_measures(frame: pd.DataFrame) -> pd.DataFrame:
    rows: list[tuple[float | str, ...]] = []
    prints: list[bytes] = []
    printed = 0
    for text in frame[TEXT]:
        rows.append(data_file.measures(text))
        prints.append(fingerprint(text).tobytes())
        if len(frame) >= _LONG and (tenths := 10 * len(rows) // len(frame)) > printed:
            printed = tenths
            print(f"measured {len(rows):,} of {len(frame):,} texts", flush=True)
    columns = dict(zip(data_file.DESCRIPTIONS, zip(*rows, strict=True), strict=True)) if rows else {}
    measured = pd.DataFrame(columns, frame.index, list(data_file.DESCRIPTIONS))
    return pd.concat([frame, measured], axis=1).assign(**{FINGERPRINT: pd.Series(prints, frame.index, dtype=object)})


def describe(frame: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Return target, metadata and measures of each text; NaN for one that cannot be used."""
    others = tables.convert_where_possible(frame, schema).drop(columns=TEXT, errors="ignore")
    names = list(data_file.DESCRIPTIONS)
    if set(names) <= set(frame):
        return others.assign(**{name: frame[name] for name in names})
    reasons = {place: reason for place, text in enumerate(frame[TEXT]) if (reason := data_file.problem(text))}
    if reasons:
        place, reason = next(iter(reasons.items()))
        where = frame[SOURCE].iloc[place] if SOURCE in frame else f"row {place}"
        print(f"{len(reasons):,} of {len(frame):,} texts cannot be used (such as {where}: {reason})", flush=True)
    usable = [None if place in reasons else text for place, text in enumerate(frame[TEXT])]
    measured = data_file.describe(pd.DataFrame({TEXT: pd.Series(usable, frame.index, dtype=object)}))
    return pd.concat([others, measured], axis=1)


def write(examples: Examples, folder: Path) -> None:
    """Write all columns into one file."""
    examples.frame.to_parquet(folder / EXAMPLES, index=False)


# --- near duplicates

NUMBERS = 64
"""Of a fingerprint."""

# Two texts are the same, changed a little, if at least so many of the numbers agree: the share of the runs of words
# that they have in common (the Jaccard similarity of their sets) is about 0.8 then. One word of 30 may differ.
_AGREE = 52
_RUN = 3
# Every pair with so many equal numbers has a whole band of them equal, since the others can be in 12 bands only.
_BAND = 4
# So many runs, and so many pairs, are computed at a time.
_RUNS, _PAIRS = 4096, 100_000

_FACTORS, _TERMS = np.frombuffer(hashlib.shake_256(b"fingerprint").digest(16 * NUMBERS), "<u8").reshape(2, NUMBERS, 1)
_FACTORS = _FACTORS | np.uint64(1)


def fingerprint(text: str) -> NDArray[np.uint32]:
    """Return what tells a text from others, of shape (NUMBERS,); the text does not follow from it.

    It is the MinHash (Broder, Compression and Complexity of Sequences, 1997) of all runs of three words, in lower case
    and without punctuation; in a script without spaces each sign is a word. Of two texts, as large a share of the
    numbers is equal as the runs that they have in common are of all that one of them has.
    """
    words = text_model.words(text) or [sign for sign in text if not sign.isspace()]
    codes = np.array([crc32(word.encode("utf-8", "replace")) for word in words], dtype=np.uint64)
    # With nothing around the text, so that the first and the last word are in as many runs as the others.
    padded = np.pad(codes, _RUN - 1)
    runs = padded[: len(codes) + _RUN - 1]
    for place in range(1, _RUN):
        runs = _mixed(runs, padded[place : place + len(runs)])
    runs = np.unique(runs)
    smallest = np.full(NUMBERS, 2**32 - 1, dtype=np.uint32)
    for start in range(0, len(runs), _RUNS):
        hashes = (_FACTORS * runs[start : start + _RUNS] + _TERMS) >> np.uint64(32)
        smallest = np.minimum(smallest, hashes.min(axis=1).astype(np.uint32))
    return smallest


def fingerprints(frame: pd.DataFrame) -> NDArray[np.uint32]:
    """Return the fingerprint of each text, of shape (texts, NUMBERS)."""
    if FINGERPRINT in frame:
        return np.frombuffer(b"".join(frame[FINGERPRINT]), dtype=np.uint32).reshape(-1, NUMBERS)
    return np.array([fingerprint(text) for text in frame[TEXT]], dtype=np.uint32).reshape(-1, NUMBERS)


def alike(known: NDArray[np.uint32], new: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return which new texts are known ones that were changed a little.

    Only pairs with an equal band of numbers are compared: those are all that may be alike, and few others.

    Args:
        known: fingerprints, of shape (texts, NUMBERS).
        new: likewise.

    Returns:
        Of shape (new texts,).
    """
    found = np.zeros(len(new), dtype=bool)
    known = np.unique(known, axis=0) if len(known) else known
    for start in range(0, NUMBERS, _BAND):
        bands = [_joined(each[:, start : start + _BAND]) for each in (known, new)]
        order = np.argsort(bands[0], kind="stable")
        ordered = bands[0][order]
        first, last = np.searchsorted(ordered, bands[1], "left"), np.searchsorted(ordered, bands[1], "right")
        for place in np.flatnonzero((first < last) & ~found):
            for begin in range(first[place], last[place], _PAIRS):
                candidates = known[order[begin : min(begin + _PAIRS, last[place])]]
                if np.any((candidates == new[place]).sum(axis=1) >= _AGREE):
                    found[place] = True
                    break
    return found


def _joined(band: NDArray[np.uint32]) -> NDArray[np.uint64]:
    """Return a hash of each row; equal rows have the same one."""
    joined = np.zeros(len(band), dtype=np.uint64)
    for column in band.T:
        joined = _mixed(joined, column)
    return joined


def _mixed(numbers: NDArray[np.uint64], others: NDArray[Any]) -> NDArray[np.uint64]:
    """Return a hash of each pair."""
    mixed = numbers * np.uint64(0x9E3779B97F4A7C15) + others
    return mixed ^ (mixed >> np.uint64(29))
