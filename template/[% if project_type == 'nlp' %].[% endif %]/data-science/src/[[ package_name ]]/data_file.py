"""How one file becomes texts, what is read as a text at all, and what is measured of it. See `core.modality`.

The scoring script loads it without its package, so it imports nothing but lone files that are beside it.
"""

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from . import archive_file, table_file, text_model

TEXT = text_model.TEXT
PLAIN = ".txt"
SUFFIXES = (PLAIN, archive_file.ARCHIVE, *table_file.SUFFIXES)

MAXIMUM_CHARACTERS = 500_000
"""Of one text: a short book. What is longer is rather a whole file in one cell, or many texts in one file."""

# A character has at most four bytes in UTF-8.
_MAXIMUM_BYTES = 4 * MAXIMUM_CHARACTERS

# Of one request: as many texts, and as many characters in all of them together.
REQUEST_TEXTS = 256
REQUEST_CHARACTERS = 2_000_000

DESCRIPTIONS = {
    "characters": "how many there are",
    "words": "how many there are; in scripts without spaces between words (Chinese, Japanese, Thai) each sign is one",
    "word_length": "mean length of the words, in characters",
    "upper_case": "share of the letters that are upper case, 0 to 1",
    "digits": "share of the characters that are digits, 0 to 1; spaces do not count here and below",
    "punctuation": "share of the characters that are punctuation, 0 to 1",
    "symbols": "share of the characters that are symbols, such as emoji, 0 to 1",
    "other_scripts": "share of the letters that are of another script than most, 0 to 1",
    "script": "the script of most letters, such as LATIN, CYRILLIC, ARABIC, CJK (Chinese) or JAPANESE",
}
SCRIPT = "script"


def read(path: Path, columns: Collection[str], files: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return a text file as one row, the text files in a zip archive as many, or the rows of a table.

    Args:
        path: the file. The index of the texts of an archive is their names in it.
        columns: names of the columns that are needed, for a table; see `table_file`.
        files: how the files are written, likewise.

    Raises:
        ValueError: the file cannot be read, or has no texts; in one line.
    """
    suffix = path.suffix.lower()
    if suffix == PLAIN:
        return pd.DataFrame({TEXT: [read_text(path)]})
    if suffix != archive_file.ARCHIVE:
        return table_file.read(path, columns, files)
    texts = read_archive(path)
    if not texts:
        raise ValueError(f"there is no text in this archive; put files with the suffix {PLAIN} into it")
    return pd.DataFrame({TEXT: texts.values()}, index=list(texts))


def load(inputs: pd.DataFrame, request: bool = False) -> pd.DataFrame:
    """Return the inputs as they are, if each is a text that a model may be given.

    Args:
        inputs: texts in the column `text`.
        request: whether they came in a request: only that has a limit on all of them together.

    Raises:
        ValueError: a text is missing, empty, too long or damaged, or they are too many; names its row.
    """
    if request and len(inputs) > REQUEST_TEXTS:
        raise ValueError(f"{len(inputs):,} texts are too many for one request; send at most {REQUEST_TEXTS}")
    left = REQUEST_CHARACTERS
    for row, text in inputs[TEXT].items():
        if reason := problem(text):
            raise ValueError(f"{TEXT} of row {row}: {reason}")
        left -= len(text)
        if request and left < 0:
            limit = f"{REQUEST_CHARACTERS:,} characters together"
            raise ValueError(f"the texts up to row {row} have more than {limit}; send fewer at once")
    return inputs


def problem(text: object) -> str:
    """Return why a text cannot be used, with the remedy and without any of it; empty if it can."""
    if not isinstance(text, str) or not text.strip().strip("\ufeff\u200b"):
        return "it is missing or empty; write something, or leave it out"
    if len(text) > MAXIMUM_CHARACTERS:
        return f"it has {len(text):,} characters; divide or shorten it, at most {MAXIMUM_CHARACTERS:,} are read"
    # Python keeps a byte that is not UTF-8 as half of a surrogate pair.
    if text.startswith(("\udcff\udcfe", "\udcfe\udcff")):
        return "it is encoded in UTF-16; save it in UTF-8"
    if "\x00" in text:
        return "it has a NUL byte, so it is no text, or encoded in UTF-16; save it in UTF-8"
    if half := re.search("[\ud800-\udfff]", text):
        if "\udc80" <= half[0] <= "\udcff":
            return f"it is not encoded in UTF-8 (the byte {ord(half[0]) - 0xDC00:#04x}); save it in UTF-8"
        return "it has half of a surrogate pair; write it again in UTF-8"
    return ""


# --- files


def read_text(path: Path) -> str:
    """Return the text of a file, in which bytes that are not UTF-8 are what `problem` finds.

    Raises:
        ValueError: there is no such file, or it is too large to be read.
    """
    return _decoded(archive_file.read_file(path, _MAXIMUM_BYTES))


def read_archive(path: Path) -> dict[str, str]:
    """Return the texts of the files in a zip archive by their names, as `read_text` does.

    Raises:
        ValueError: the archive is damaged, or none; or a file in it cannot be read.
    """
    texts = {}
    with archive_file.open_archive(path) as archive:
        for name in archive_file.visible_names(archive.namelist(), (PLAIN,)):
            try:
                texts[name] = _decoded(archive_file.read_member(archive, name, _MAXIMUM_BYTES))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
    return texts


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", errors="surrogateescape").removeprefix("\ufeff")


# --- measures

# Kana belong to Japanese, which has Chinese signs, too. A Chinese text may name something Japanese: kana are at least
# this share of both in a Japanese one.
_KANA, _LEAST_KANA = ("HIRAGANA", "KATAKANA"), 0.05

# What a character is, by its Unicode category: an upper case (U) or another letter (l), a digit (d), punctuation (p), a
# symbol (s), a mark on another character (m), a space, or none of these (-).
_CLASSES = {"Lu": "U", "Lt": "U", "L": "l", "M": "m", "N": "d", "P": "p", "S": "s", "Z": " ", "C": "-"}


class _Table(dict[int, str]):
    """What `str.translate` takes, filled with the characters that occur."""

    def __missing__(self, code: int) -> str:
        """Return the class of a character."""
        character = chr(code)
        category = unicodedata.category(character)
        self[code] = " " if character.isspace() else _CLASSES.get(category, _CLASSES[category[0]])
        return self[code]


_TABLE = _Table()


@functools.cache
def script_of(letter: str) -> str:
    """Return the script of a letter: the first word of its Unicode name, in its usual form."""
    usual = unicodedata.normalize("NFKC", letter)[:1] or letter
    return unicodedata.name(usual, "UNKNOWN").split()[0].split("-")[0]


def describe(inputs: pd.DataFrame) -> pd.DataFrame:
    """Return what is measured of each text: the columns of `DESCRIPTIONS`, floats and the name of the script.

    NaN and None stand for a text that is missing.
    """
    rows = [measures(text) if isinstance(text, str) else _NOTHING for text in inputs[TEXT]]
    frame = pd.DataFrame(rows, index=inputs.index, columns=list(DESCRIPTIONS), dtype=object)
    return frame.astype({name: float for name in DESCRIPTIONS if name != SCRIPT})


_NOTHING = (*(float("nan") for _ in range(len(DESCRIPTIONS) - 1)), None)


def measures(text: str) -> tuple[float | str, ...]:
    """Return what `DESCRIPTIONS` lists of a text; shares of nothing are 0, and the script of no letters is `none`."""
    lengths = [end - start for start, end in text_model.word_places(text)]
    counts = Counter(text.translate(_TABLE))
    letters = counts["U"] + counts["l"]
    visible = sum(count for name, count in counts.items() if name not in " -")
    script, share = _main_script(text, letters)
    return (
        float(len(text)),
        float(len(lengths)),
        sum(lengths) / max(1, len(lengths)),
        counts["U"] / max(1, letters),
        *(counts[name] / max(1, visible) for name in "dps"),
        1 - share,
        script,
    )


def _main_script(text: str, letters: int) -> tuple[str, float]:
    """Return the script of most letters and its share of them."""
    if not letters:
        return "none", 1.0
    if text.isascii():
        return "LATIN", 1.0
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        if _TABLE[ord(character)] in "Ul":
            counts[script_of(character)] += count
    counts["CJK"] += counts.pop("IDEOGRAPHIC", 0)
    kana = sum(counts[name] for name in _KANA)
    if kana and kana >= _LEAST_KANA * (kana + counts["CJK"]):
        counts["JAPANESE"] = sum(counts.pop(name, 0) for name in (*_KANA, "CJK"))
    # Of scripts with as many letters the first one by name.
    script, most = min(counts.items(), key=lambda item: (-item[1], item[0]))
    return script, most / letters
