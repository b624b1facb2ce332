"""Small projects to test with: texts in several scripts, one sentence of which says what they are about."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from helpers import Folders, module, small_settings
from step_runs import change_settings, prepared_examples, write_model
from text_samples import lexicon, write_texts

SCHEMA: dict[str, Any] = {
    "target": "gist",
    "task": "summarization",
    "columns": {
        "text": {"type": "text"},
        "gist": {"type": "text"},
        "channel": {"type": "category", "role": "ignore"},
    },
}
SETTINGS = small_settings({"model": "extractive"}, "rougeL", "lead", "channel")
# A hyperparameter that decides much, and a value with which a model learns little.
SPACE = {"sentences": [1, 5]}
BAD = {"sentences": 5}
TINY = {"model": "small_seq2seq", "width": 32, "layers": 1, "vocabulary": 400, "max_tokens": 48, "max_new_tokens": 12}
# A training that gives the same model, but for rounding, in any number of processes.
NETWORK = {**TINY, "epochs": 1, "batch_size": 16, "learning_rate": 0.01, "dropout": 0}
STOPS = {"arabic": "\u061f", "chinese": "\u3002"}


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


def small_project(root: Path) -> Folders:
    """Write the project of the shared tests: 120 texts."""
    return write_texts(root, SCHEMA, table(), SETTINGS)


def rivals(root: Path) -> Folders:
    """Write the project of the gate: 300 texts, a model of them and one that learned to take the first sentences."""
    made = write_texts(root, SCHEMA, table(300), SETTINGS)
    change_settings(made, "promotion", floor=0.5, beat_baselines=True)
    change_settings(made, "evaluation", slices=["channel", "words"])
    examples = prepared_examples(made)
    write_model(made, root / "strong", examples)
    first = examples.frame.assign(gist=[text.split(".")[0] for text in examples.frame["text"]])
    write_model(made, root / "weak", replace(examples, frame=first))
    return made


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
