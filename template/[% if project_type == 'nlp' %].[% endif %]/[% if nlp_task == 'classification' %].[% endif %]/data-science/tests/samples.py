"""Small projects to test with: texts in several scripts, with a schema and settings that fit them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from helpers import Folders

CLASSES = ("field", "sea", "wood")
SCHEMA: dict[str, Any] = {
    "target": "place",
    "task": "classification",
    "columns": {
        "text": {"type": "text"},
        "place": {"type": "category", "values": list(CLASSES)},
        "channel": {"type": "category", "role": "ignore"},
    },
}
SETTINGS: dict[str, Any] = {
    "training": {"test_size": 0.25, "seed": 13, "hyperparameters": {"model": "tfidf", "analyzer": "words"}},
    "evaluation": {"metric": "accuracy", "baselines": ["most_frequent"], "slices": ["channel"]},
    "promotion": {
        "floor": 0.1,
        "incomparable_champion": "stop",
        "beat_baselines": False,
        "minimum_gain": 0.0,
        "confidence": 0.95,
        "slice_tolerance": 0.1,
        "minimum_slice_rows": 20,
    },
    "drift": {"numerical": {"jensen_shannon_distance": 0.2}, "categorical": {"jensen_shannon_distance": 0.2}},
}
# A hyperparameter that decides much, and a value with which a model learns little.
SPACE = {"max_features": [100, 5000]}
BAD = {"max_features": 100}
TINY = {"model": "small_transformer", "width": 32, "layers": 1, "vocabulary": 400, "max_tokens": 32}
# A training that gives the same model, but for rounding, in any number of processes.
NETWORK = {**TINY, "epochs": 1, "batch_size": 16, "learning_rate": 0.01, "dropout": 0, "class_weights": "balanced"}
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


def texts(
    labels: Sequence[object], seed: int = 0, words: int = 30, script: str = "latin", own: float = 0.2
) -> list[str]:
    """Return a text for each label: sentences of words that all have, and a share of words that its label has."""
    common = lexicon(script, "common", 400)
    of_label = {label: lexicon(script, label, 25) for label in set(labels)}
    space, stop = ("", "\u3002") if script == "chinese" else (" ", ". ")
    made = []
    for place, label in enumerate(labels):
        random = np.random.default_rng([seed, place])
        count = int(random.integers(max(2, words // 2), words * 3 // 2 + 1))
        pick, mine = random.random(count), random.random(count) < own
        sources = [of_label[label] if each else common for each in mine]
        chosen = [source[int(share * len(source))] for source, share in zip(sources, pick, strict=True)]
        sentences = [space.join(chosen[start : start + 9]).capitalize() for start in range(0, count, 9)]
        made.append(stop.join(sentences) + stop.strip())
    return made


def table(count: int = 120, seed: int = 0, **options: Any) -> pd.DataFrame:
    """Return texts of the three classes in turn, with their labels; the channel is one of two."""
    places = [CLASSES[number % len(CLASSES)] for number in range(count)]
    channels = ["ab"[number // 3 % 2] for number in range(count)]
    return pd.DataFrame({"text": texts(places, seed, **options), "place": places, "channel": channels})


def make_folders(root: Path, schema: dict, rows: pd.DataFrame, settings: dict = SETTINGS) -> Folders:
    """Write schema, settings and a table of raw data below `root`."""
    made = Folders.written(root, schema, settings)
    rows.to_csv(made.raw / "texts.csv", index=False)
    return made


def small_project(root: Path) -> Folders:
    """Write the project of the shared tests: 120 texts."""
    return make_folders(root, SCHEMA, table())
