"""How fast does a generated project train a model of texts, beside the bare library?

    uv run --project <project folder> python benchmarks/nlp_training.py <project folder> [--rounds N]

Both train TF-IDF with logistic regression on the same texts: the project by `text.fitting`, as its step `train` does,
and a plain pipeline of scikit-learn with the same vectorizer and classifier. They take turns in one process after a
first round that is not counted. The time is that of the training alone. The ratio is the median of the turns' ratios,
because the speed of a shared machine drifts; 0.95 or more is the aim. With one round there are fewer texts.
"""

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from growth import write_texts

TEXTS, FEWER = 10_000, 1_000


def main() -> None:
    """Measure, and print texts per second of both and their ratio."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("project", type=Path, help="folder of a generated project of the type nlp")
    arguments.add_argument("--rounds", type=int, default=5, help="turns of each way; few are too noisy")
    options = arguments.parse_args()
    source = options.project.resolve() / "data-science" / "src"
    sys.path.insert(0, str(source))
    package = next(path.parent.name for path in source.glob("*/score.py"))
    count = FEWER if options.rounds == 1 else TEXTS
    examples, schema = examples_of(package, count)
    ways = (plain, project)
    turns = [[way(package, examples, schema) for way in ways] for _ in range(options.rounds + 1)][1:]
    best = [min(column) for column in zip(*turns, strict=True)]
    ratio = statistics.median(bare / ours for bare, ours in turns)
    print(f"{'texts per second':<20}{'scikit-learn':>14}{'project':>12}{'ratio':>8}")
    print(f"{f'{count:,} texts':<20}{count / best[0]:>14,.0f}{count / best[1]:>12,.0f}{ratio:>8.2f}")


def examples_of(package: str, count: int) -> tuple[Any, Any]:
    """Return generated texts as the project reads them, and their schema."""
    core = __import__(f"{package}.core", fromlist=["modality", "schema"])
    modality = __import__(f"{package}.modality", fromlist=["MODALITY"]).MODALITY
    columns = {"text": core.schema.Column("text", "text"), "label": core.schema.Column("label", "category")}
    schema = core.schema.Schema("label", "classification", columns)
    with tempfile.TemporaryDirectory() as folder:
        write_texts(Path(folder), count)
        return modality.read(Path(folder), schema), schema


def project(package: str, examples: Any, schema: Any) -> float:
    """Seconds that the project needs."""
    fitting = __import__(f"{package}.text.fitting", fromlist=["fit"])
    started = time.perf_counter()
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        fitting.fit(examples, schema, {"seed": 0, "hyperparameters": {"model": "tfidf", "analyzer": "words"}}, None)
    return time.perf_counter() - started


def plain(package: str, examples: Any, schema: Any) -> float:
    """Seconds that scikit-learn needs."""
    import numpy as np
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    word = __import__(f"{package}.text_model", fromlist=["WORD"]).WORD
    weights = TfidfVectorizer(token_pattern=word, sublinear_tf=True, max_features=50_000, dtype=np.float32)
    pipeline = make_pipeline(weights, LogisticRegression(C=50, max_iter=500))
    started = time.perf_counter()
    pipeline.fit(examples.frame["text"].tolist(), examples.frame["label"].tolist())
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
