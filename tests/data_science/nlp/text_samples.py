"""Words of several scripts, and a project of texts: what both tasks test with."""

from pathlib import Path

import numpy as np
import pandas as pd
from helpers import Folders

LETTERS = {
    "latin": "abcdefghijklmnopqrstuvwxyz\u00e9\u00f1\u00fc",
    "cyrillic": "".join(map(chr, range(0x430, 0x450))),
    "arabic": "".join(map(chr, range(0x628, 0x63B))),
    "chinese": "".join(map(chr, range(0x4E00, 0x4E00 + 600))),
}


def lexicon(script: str, name: object, size: int) -> list[str]:
    """Return so many different words, the same ones for each name; Chinese ones have one or two signs."""
    random = np.random.default_rng(list(f"{script} {name}".encode()))
    shortest, longest = (1, 3) if script == "chinese" else (3, 9)
    found: dict[str, None] = {}
    while len(found) < size:
        length = random.integers(shortest, longest)
        found["".join(LETTERS[script][place] for place in random.integers(0, len(LETTERS[script]), length))] = None
    return list(found)


def write_texts(root: Path, schema: dict, rows: pd.DataFrame, settings: dict) -> Folders:
    """Write schema, settings and a table of raw data below `root`."""
    made = Folders.written(root, schema, settings)
    replace_raw(made, rows)
    return made


def replace_raw(folders: Folders, rows: pd.DataFrame) -> None:
    """Write another table of raw data."""
    rows.to_csv(folders.raw / "texts.csv", index=False)
