"""Write the sample of documentation and summaries that is committed in the overlay of the project type `nlp`.

    uv run --no-project --python 3.11.7 docs/write_summaries.py

They are docstrings of Python's standard library, as `ast` reads them from its source: the first paragraph of each is
its summary, as style guides ask for, and all that follows is the text. Nothing is drawn at random, so the files are the
same, byte for byte, with the Python above; another release has other texts.
"""

import ast
import csv
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from write_topics import PERSONAL

DATA = (
    Path(__file__).parents[1]
    / "template"
    / "[% if project_type == 'nlp' %].[% endif %]"
    / "[% if nlp_task == 'summarization' %].[% endif %]"
    / "data"
)
PARTS = ("raw/summaries.csv", "production/later.csv")
# What is no part of the library itself.
LEFT_OUT = {"__phello__", "ensurepip", "idlelib", "lib2to3", "site-packages", "test", "tests", "turtledemo"}
# The modules of the second part; all others are in the first one.
LATER = frozenset(
    re.findall(
        r"\w+",
        "asynchat asyncore base64 bz2 cgi configparser csv ctypes curses difflib distutils fractions getpass hashlib"
        " hmac html json lzma nntplib optparse platform sched shelve shlex shutil smtpd socket sqlite3 turtle unittest"
        " uuid wave xmlrpc zoneinfo",
    )
)
# Of a summary, and of the text that follows it.
SUMMARY_WORDS, WORDS, CHARACTERS, SENTENCES = (4, 25), 30, 4000, 3
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z`'\"(])|\n\s*\n")


class Text(NamedTuple):
    """A text and its summary, where it stands, and what stands there: module, class or function."""

    text: str
    summary: str
    kind: str
    module: str


def texts() -> Iterator[Text]:
    """Yield the docstrings of the library that have a summary and a text."""
    library = Path(sysconfig.get_path("stdlib"))
    for file in sorted(library.rglob("*.py")):
        parts = file.relative_to(library).with_suffix("").parts
        if LEFT_OUT & set(parts):
            continue
        module = ".".join(part for part in parts if part != "__init__")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                kind = {"Module": "module", "ClassDef": "class"}.get(type(node).__name__, "function")
                summary, _, text = (ast.get_docstring(node) or "").partition("\n\n")
                yield Text(text.strip("\n"), " ".join(summary.split()), kind, module)


def fits(each: Text) -> bool:
    """Return whether a text is long enough, and its summary is one."""
    words = len(each.summary.split())
    long = len(each.text.split()) >= WORDS and len(SENTENCE_END.split(each.text)) >= SENTENCES
    short = SUMMARY_WORDS[0] <= words <= SUMMARY_WORDS[1] and ">>>" not in each.summary
    return long and short and len(each.text) <= CHARACTERS and not PERSONAL.search(f"{each.summary} {each.text}")


def main(data: Path = DATA) -> None:
    """Write one table for each part."""
    seen: set[str] = set()
    rows: tuple[list[Text], list[Text]] = [], []
    for each in filter(fits, texts()):
        key = " ".join(re.findall(r"\w+", each.text.casefold()))
        if key not in seen:  # a text that stands at several places is taken once
            seen.add(key)
            rows[each.module.split(".")[0] in LATER].append(each)
    for part, chosen in zip(PARTS, rows, strict=True):
        path = data / part
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(Text._fields)
            table.writerows(chosen)
        print(f"{part}: {len(chosen):,} texts, {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
