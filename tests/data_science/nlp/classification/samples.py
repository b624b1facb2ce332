"""Small projects to test with: texts in several scripts, with a schema and settings that fit them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from helpers import Folders, small_settings
from step_runs import change_settings, prepared_examples, write_model
from text_samples import lexicon, write_texts

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
SETTINGS = small_settings({"model": "tfidf", "analyzer": "words"}, "accuracy", "most_frequent", "channel")
# A hyperparameter that decides much, and a value with which a model learns little.
SPACE = {"max_features": [100, 5000]}
BAD = {"max_features": 100}
TINY = {"model": "small_transformer", "width": 32, "layers": 1, "vocabulary": 400, "max_tokens": 32}
# A training that gives the same model, but for rounding, in any number of processes.
NETWORK = {**TINY, "epochs": 1, "batch_size": 16, "learning_rate": 0.01, "dropout": 0, "class_weights": "balanced"}


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


def small_project(root: Path) -> Folders:
    """Write the project of the shared tests: 120 texts."""
    return write_texts(root, SCHEMA, table(), SETTINGS)


def rivals(root: Path) -> Folders:
    """Write the project of the gate: 300 texts, a model of them all and one that learned next to nothing."""
    made = write_texts(root, SCHEMA, table(300), SETTINGS)
    change_settings(made, "promotion", floor=0.6, beat_baselines=True)
    change_settings(made, "evaluation", slices=["channel", "words", "script"])
    examples = prepared_examples(made)
    write_model(made, root / "strong", examples)
    write_model(made, root / "weak", examples.take(np.arange(len(examples.frame)) < 9))
    return made
