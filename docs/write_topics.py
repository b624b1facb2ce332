"""Write the sample of documentation texts that is committed in the overlay of the project type `nlp`.

    uv run --no-project --python 3.11.7 docs/write_topics.py

The texts are the docstrings of Python's standard library, as `ast` reads them from its source; the topic of each is the
chapter of the library reference that its module is in. Which texts are taken depends on no random generator: where a
topic has too many, a hash of their names decides. The files are the same, byte for byte, with the Python above; another
release has other texts.
"""

import ast
import csv
import hashlib
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DATA = (
    Path(__file__).parents[1]
    / "template"
    / "[% if project_type == 'nlp' %].[% endif %]"
    / "[% if nlp_task == 'classification' %].[% endif %]"
    / "data"
)
# The modules of each topic, for training and for production; a package stands for all that is in it but its tests.
TOPICS = {
    "data types": (
        "_collections_abc bisect calendar collections copy datetime enum heapq pprint types weakref",
        "graphlib reprlib zoneinfo",
    ),
    "numbers": ("_pydecimal random statistics", "fractions numbers"),
    "files": (
        "filecmp fileinput fnmatch genericpath glob ntpath pathlib posixpath stat tempfile gzip tarfile zipfile",
        "bz2 linecache lzma shutil",
    ),
    "operating system": ("_pyio argparse getopt logging os", "ctypes curses getpass optparse platform"),
    "concurrency": ("multiprocessing queue threading", "concurrent sched subprocess"),
    "networking": ("asyncio selectors ssl", "asynchat asyncore socket"),
    "internet data": ("email mailbox", "base64 json mailcap mimetypes quopri"),
    "markup": ("xml.etree xml.parsers xml.sax", "html xml.dom"),
    "internet protocols": (
        "ftplib http imaplib ipaddress poplib smtplib socketserver telnetlib urllib wsgiref",
        "cgi cgitb nntplib uuid webbrowser xmlrpc",
    ),
    "user interface": ("tkinter", "cmd shlex turtle"),
}
PARTS = ("raw/topics.csv", "production/later.csv")
# Of one topic in the first and in the second part.
MOST = (190, 40)
WORDS, CHARACTERS = 6, 2500
# Texts that name a person or have an address of one are left out.
PERSONAL = re.compile(
    r"\w@\w|\b([Ww]ritten|[Cc]ontributed|[Mm]aintained|[Aa]uthors?|[Cc]opyright|[Tt]hanks)\b"
    r"|\b(by|from|of|and|to) [A-Z][a-z]+ [A-Z][a-z]+|\bvan [A-Z]|\b(Aas|Cahill|Clark|Masinter)\b"
)


class Text(NamedTuple):
    """A text, where it stands, and what stands there: module, class, method or function."""

    module: str
    name: str
    kind: str
    text: str


def texts(module: str) -> Iterator[Text]:
    """Yield the docstrings of the public names of a module, or of all modules of a package."""
    library = Path(sysconfig.get_path("stdlib"))
    place = library.joinpath(*module.split("."))
    files = [place.with_suffix(".py")] if place.with_suffix(".py").is_file() else sorted(place.rglob("*.py"))
    for file in files:
        parts = file.relative_to(library).with_suffix("").parts
        if not {"test", "tests"} & set(parts):
            name = ".".join(part for part in parts if part != "__init__")
            yield from _docstrings(ast.parse(file.read_text(encoding="utf-8")), name, "", "module")


def _docstrings(node: ast.AST, module: str, name: str, kind: str) -> Iterator[Text]:
    documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    if documented and (text := ast.get_docstring(node)):
        yield Text(module, name, kind, text)
    if kind in ("function", "method"):
        return
    for child in ast.iter_child_nodes(node):
        own = getattr(child, "name", "")
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not own.startswith("_"):
            found = "class" if isinstance(child, ast.ClassDef) else "method" if kind == "class" else "function"
            yield from _docstrings(child, module, f"{name}.{own}" if name else own, found)


def _rank(each: Text) -> bytes:
    return hashlib.sha256(f"{each.module} {each.name}".encode()).digest()


def main(data: Path = DATA) -> None:
    """Write one table for each part."""
    seen: set[str] = set()
    for place, part in enumerate(PARTS):
        rows: list[tuple[str, str, str, str]] = []
        for topic, modules in TOPICS.items():
            chosen = []
            for each in (each for module in modules[place].split() for each in texts(module)):
                key = " ".join(re.findall(r"\w+", each.text.casefold()))
                fits = len(each.text.split()) >= WORDS and len(each.text) <= CHARACTERS
                # A text that stands at several places, under several topics perhaps, is taken once.
                if fits and key not in seen and not PERSONAL.search(each.text):
                    seen.add(key)
                    chosen.append(each)
            chosen = sorted(sorted(chosen, key=_rank)[: MOST[place]])
            rows += [(each.text, topic, each.kind, each.module) for each in chosen]
            print(f"{part}: {topic}: {len(chosen)} texts", flush=True)
        path = data / part
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["text", "topic", "kind", "module"])
            table.writerows(rows)
        print(f"{part}: {len(rows):,} texts, {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
