"""How do time and memory of a generated project grow with the number of images or texts?

    uv run --project <project folder> python benchmarks/growth.py <project folder> [--rounds N] [--examples N ...]

Generates examples of the project's type of data, and runs the steps prep and train on each number of them, in processes
of their own. Images train one epoch of the small network, texts what the settings name. Prints seconds and peak memory
of both steps, the best of the rounds, and how many times more of them the last number of examples needs than the first.
With one round there are 200 examples alone, which shows that it runs.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from cv_training import picture

EXAMPLES, FEWER = (1_000, 10_000, 50_000), (200,)
CLASSES = 10
SIDE = 32  # of an image, in pixels
WORDS, VOCABULARY = 120, 30_000  # of a text, in the mean, and of all
STEPS = {
    "prep": ("raw-data", "schema", "settings", "train-data", "test-data"),
    "train": ("train-data", "schema", "settings", "model"),
}


def main() -> None:
    """Measure, and print a line for each number of examples."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("project", type=Path, help="folder of a generated project of images or texts")
    arguments.add_argument("--rounds", type=int, default=3, help="runs for each number of examples")
    arguments.add_argument("--examples", type=int, nargs="+", help="numbers of examples")
    options = arguments.parse_args()
    root, counts = options.project.resolve(), options.examples or (FEWER if options.rounds == 1 else EXAMPLES)
    columns = [f"{step} {unit}" for step in STEPS for unit in ("s", "MB")]
    print(f"{'examples':>8}" + "".join(f"{name:>10}" for name in columns), flush=True)
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory() as temporary:
            write_project(Path(temporary), root, count)
            runs = [measured(root, Path(temporary)) for _ in range(options.rounds)]
        rows.append([min(column) for column in zip(*runs, strict=True)])
        print(f"{count:>8,}" + "".join(f"{value:>10,.1f}" for value in rows[-1]), flush=True)
    if len(counts) == 1:
        return
    ratios = [last / first for first, last in zip(rows[0], rows[-1], strict=True)]
    print(f"{counts[-1] / counts[0]:>7.1f}x" + "".join(f"{ratio:>9.1f}x" for ratio in ratios))


def write_project(folder: Path, root: Path, count: int) -> None:
    """Write raw data, a schema and settings into `folder`."""
    kind = KINDS[yaml.safe_load((root / ".copier-answers.yml").read_text(encoding="utf-8"))["project_type"]]
    (folder / "raw").mkdir()
    kind.write(folder / "raw", count)
    columns = {kind.column: {"type": "text"}, "label": {"type": "category"}}
    schema = {"target": "label", "task": "classification", "columns": columns}
    (folder / "schema.yml").write_text(yaml.safe_dump(schema), encoding="utf-8")
    settings = yaml.safe_load((root / "config" / "model.yml").read_text(encoding="utf-8"))
    settings["training"]["hyperparameters"] = kind.hyperparameters or settings["training"]["hyperparameters"]
    (folder / "model.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")


def write_images(folder: Path, count: int) -> None:
    """Write an archive of images in class folders."""
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for number in range(count):
            archive.writestr(f"class {number % CLASSES}/{number}.png", picture(number, SIDE, 1))


def write_texts(folder: Path, count: int) -> None:
    """Write a csv file of texts: their words are as frequent as in a language, and some are those of their class."""
    random = np.random.default_rng(0)
    with (folder / "texts.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        for number in range(count):
            label = number % CLASSES
            words = np.minimum(random.zipf(1.3, random.poisson(WORDS) + 1), VOCABULARY)
            own = random.random(len(words)) < 0.1
            text = " ".join(
                f"w{label}x{word % 50}" if mine else f"w{word}" for word, mine in zip(words, own, strict=True)
            )
            rows.writerow([text, f"class {label}"])


class Kind(NamedTuple):
    """How examples of a type of data are generated, and what is trained on them."""

    column: str
    write: Callable[[Path, int], None]
    hyperparameters: dict[str, int]
    """Those of the project if there are none."""


KINDS = {"cv": Kind("image", write_images, {"epochs": 1}), "nlp": Kind("text", write_texts, {})}


def measured(root: Path, folder: Path) -> list[float]:
    """Seconds and megabytes of each step."""
    source = root / "data-science" / "src"
    package = next(path.parent.name for path in source.glob("*/score.py"))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, [str(source), os.environ.get("PYTHONPATH")])),
        "MLFLOW_TRACKING_URI": f"sqlite:///{(folder / 'mlflow.db').as_posix()}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    paths = {"raw-data": "raw", "schema": "schema.yml", "settings": "model.yml"}
    results: list[float] = []
    for step, names in STEPS.items():
        command = [sys.executable, "-m", f"{package}.{step}"]
        command += [word for name in names for word in (f"--{name}", str(folder / paths.get(name, name)))]
        started = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{step} failed")
        kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
        results += [time.perf_counter() - started, kilobytes / 1024]
    return results


if __name__ == "__main__":
    main()
