"""How fast does a generated project train a model of tables, beside scikit-learn alone?

    uv run --project <project folder> python benchmarks/tables_training.py <project folder> [--rounds N]

Both train boosted trees on the same generated rows, of which one column in six is a category: the project by
`tabular.model`, as its step `train` does, and scikit-learn by itself with the same encoder, hyperparameters and its own
number of threads. Neither stops early, so neither keeps validation rows. The project uses one thread for fewer than
10,000 rows, where more gain nothing. OMP_NUM_THREADS=1 compares the rest, which in seconds of the processor was 0.96 to
0.97 for 2,000 rows and 0.97 to 0.98 for 20,000 (best of 9 to 21).

They take turns in one process after a first round that is not counted. The time is that of the training alone. The
ratio is the median of the turns' ratios, because the speed of a shared machine drifts; 0.95 or more is the aim. With
one round there are fewer rows and trees, which shows that it runs: beside another program, the threads of many small
trees would wait for each other.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any

ROWS, FEWER = (2_000, 20_000, 200_000), (2_000,)
NUMBERS, CATEGORIES = 10, 2
TREES, FEWER_TREES = 200, 10
HYPERPARAMETERS = {"learning_rate": 0.1, "max_leaf_nodes": 6, "min_samples_leaf": 5}


def main() -> None:
    """Measure, and print rows per second of both and their ratio."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("project", type=Path, help="folder of a generated project of the type classical")
    arguments.add_argument("--rounds", type=int, default=5, help="turns of each way; few are too noisy")
    options = arguments.parse_args()
    source = options.project.resolve() / "data-science" / "src"
    sys.path.insert(0, str(source))
    package = next(path.parent.name for path in source.glob("*/score.py"))
    print(f"{'rows per second':<20}{'scikit-learn':>14}{'project':>12}{'ratio':>8}")
    few = options.rounds == 1
    hyperparameters = HYPERPARAMETERS | {"max_iter": FEWER_TREES if few else TREES}
    for count in FEWER if few else ROWS:
        frame = rows(count)
        ways = (plain, project)
        turns = [[way(package, frame, hyperparameters) for way in ways] for _ in range(options.rounds + 1)][1:]
        best = [min(column) for column in zip(*turns, strict=True)]
        ratio = "-" if few else f"{statistics.median(bare / ours for bare, ours in turns):.2f}"
        print(f"{f'{count:,} rows':<20}{count / best[0]:>14,.0f}{count / best[1]:>12,.0f}{ratio:>8}", flush=True)


def rows(count: int) -> Any:
    """Return generated rows with a target that depends on all columns."""
    import numpy as np
    import pandas as pd

    draw = np.random.default_rng(0)
    numbers = draw.normal(size=(count, NUMBERS))
    codes = draw.integers(0, 8, size=(count, CATEGORIES))
    frame = pd.DataFrame(numbers, columns=[f"number_{place}" for place in range(NUMBERS)])
    for place in range(CATEGORIES):
        frame[f"category_{place}"] = pd.Series(codes[:, place]).map(lambda code: f"value {code}").astype("str")
    noise = draw.normal(size=count)
    frame["target"] = numbers @ np.linspace(1, 2, NUMBERS) + np.sin(numbers[:, 0]) + codes.sum(axis=1) + noise
    return frame


def project(package: str, frame: Any, hyperparameters: dict[str, Any]) -> float:
    """Seconds that the project needs."""
    schema_module = __import__(f"{package}.core.schema", fromlist=["Schema"])
    model = __import__(f"{package}.tabular.model", fromlist=["fit"])
    kinds = {name: "category" if name.startswith("category") else "number" for name in frame.columns}
    columns = {name: schema_module.Column(name, kind) for name, kind in kinds.items()}
    schema = schema_module.Schema("target", "regression", columns)
    started = time.perf_counter()
    model.fit(frame, schema, {"seed": 0, "hyperparameters": hyperparameters})
    return time.perf_counter() - started


def plain(package: str, frame: Any, hyperparameters: dict[str, Any]) -> float:
    """Seconds that scikit-learn needs."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    names = [name for name in frame.columns if name != "target"]
    categories = [name for name in names if name.startswith("category")]
    encoder = ("categories", OrdinalEncoder(), categories)
    columns = ColumnTransformer([encoder], remainder="passthrough")
    trees = HistGradientBoostingRegressor(
        random_state=0, categorical_features=list(range(len(categories))), **hyperparameters
    )
    started = time.perf_counter()
    make_pipeline(columns, trees).fit(frame[names], frame["target"])
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
