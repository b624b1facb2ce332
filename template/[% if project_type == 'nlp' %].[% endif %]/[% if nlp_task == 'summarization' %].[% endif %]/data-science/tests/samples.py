"""Small projects to test with: texts in several scripts, one sentence of which says what they are about."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from helpers import Folders, module

SCHEMA: dict[str, Any] = {
    "target": "gist",
    "task": "summarization",
    "columns": {
        "text": {"type": "text"},
        "gist": {"type": "text"},
        "channel": {"type": "category", "role": "ignore"},
    },
}
SETTINGS: dict[str, Any] = {
    "training": {"test_size": 0.25, "seed": 13, "hyperparameters": {"model": "extractive"}},
    "evaluation": {"metric": "rougeL", "baselines": ["lead"], "slices": ["channel"]},
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
SPACE = {"sentences": [1, 5]}
BAD = {"sentences": 5}
TINY = {"model": "small_seq2seq", "width": 32, "layers": 1, "vocabulary": 400, "max_tokens": 48, "max_new_tokens": 12}
# A training that gives the same model, but for rounding, in any number of processes.
NETWORK = {**TINY, "epochs": 1, "batch_size": 16, "learning_rate": 0.01, "dropout": 0}
LETTERS = {
    "latin": "abcdefghijklmnopqrstuvwxyz\u00e9\u00f1\u00fc",
    "cyrillic": "".join(map(chr, range(0x430, 0x450))),
    "arabic": "".join(map(chr, range(0x628, 0x63B))),
    "chinese": "".join(map(chr, range(0x4E00, 0x4E00 + 600))),
}
STOPS = {"arabic": "\u061f", "chinese": "\u3002"}


def lexicon(script: str, name: str, size: int) -> list[str]:
    """Return so many different words, the same ones for each name; Chinese ones have one or two signs."""
    random = np.random.default_rng(list(f"{script} {name}".encode()))
    shortest, longest = (1, 3) if script == "chinese" else (3, 9)
    found: dict[str, None] = {}
    while len(found) < size:
        length = random.integers(shortest, longest)
        found["".join(LETTERS[script][place] for place in random.integers(0, len(LETTERS[script]), length))] = None
    return list(found)


def table(count: int = 120, seed: int = 0, script: str = "latin", sentences: int = 6) -> pd.DataFrame:
    """Return texts with their summaries: the words of one sentence, which is not the first one, but for two of them.

    Such sentences have words that others have seldom; the channel is one of two.
    """
    common, telling = lexicon(script, "common", 300), lexicon(script, "telling", 12)
    space, stop = ("", "\u3002") if script == "chinese" else (" ", STOPS.get(script, ".") + " ")
    rows = []
    for number in range(count):
        random = np.random.default_rng([seed, number])
        found = [list(random.choice(common, int(random.integers(6, 14)))) for _ in range(sentences)]
        place = int(random.integers(1, sentences))
        found[place] = [*random.choice(telling, 3, replace=False), *random.choice(common, 6)]
        text = stop.join(space.join(words).capitalize() for words in found) + stop.strip()
        rows.append((text, space.join(found[place][:-2]), "ab"[number % 2]))
    return pd.DataFrame(rows, columns=["text", "gist", "channel"])


def make_folders(root: Path, schema: dict, rows: pd.DataFrame, settings: dict = SETTINGS) -> Folders:
    """Write schema, settings and a table of raw data below `root`."""
    made = Folders.written(root, schema, settings)
    rows.to_csv(made.raw / "texts.csv", index=False)
    return made


def small_project(root: Path) -> Folders:
    """Write the project of the shared tests: 120 texts."""
    return make_folders(root, SCHEMA, table())


def load_schema(folder: Path) -> Any:
    """Write the schema, and load it as the steps do."""
    path = folder / "schema.yml"
    path.write_text(yaml.safe_dump(SCHEMA, sort_keys=False), encoding="utf-8")
    return module("core.schema").Schema.load(path, module("modality").MODALITY.tasks)


def fit(frame: pd.DataFrame, schema: Any, checkpoints: Path | None = None, seed: int = 13, **options: Any) -> Any:
    """Train a model on texts."""
    examples = module("core.modality").Examples(frame, Path())
    return module("text.fitting").fit(examples, schema, {"seed": seed, "hyperparameters": options}, checkpoints)


def rouge(trained: Any, frame: pd.DataFrame) -> float:
    """Return the ROUGE-L of the summaries that a model makes of texts."""
    summaries = np.array(trained.summaries(list(frame["text"])), dtype=object)
    return float(module("text.rouge").scores("rougeL", frame["gist"].to_numpy(), summaries).mean())
