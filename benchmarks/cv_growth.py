"""How do time and memory of a generated project grow with the number of images?

    uv run --project <project folder> python benchmarks/cv_growth.py <project folder> [--rounds N] [--images N ...]

Generates archives of images, and runs the steps prep and train (one epoch of the small network) on each, in processes
of their own. Prints seconds and peak memory of both, the best of the rounds, and how many times more of them the last
number of images needs than the first. With one round there are fewer images.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import yaml
from cv_training import picture

IMAGES, FEWER = (1_000, 10_000, 50_000), (300, 1_500)
SIDE = 32
STEPS = {
    "prep": ("raw-data", "schema", "settings", "train-data", "test-data"),
    "train": ("train-data", "schema", "settings", "model"),
}


def main() -> None:
    """Measure, and print a line for each number of images."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("project", type=Path, help="folder of a generated project of the type cv")
    arguments.add_argument("--rounds", type=int, default=3, help="runs for each number of images")
    arguments.add_argument("--images", type=int, nargs="+", help="numbers of images")
    options = arguments.parse_args()
    root, counts = options.project.resolve(), options.images or (FEWER if options.rounds == 1 else IMAGES)
    columns = [f"{step} {unit}" for step in STEPS for unit in ("s", "MB")]
    print(f"{'images':>8}" + "".join(f"{name:>10}" for name in columns), flush=True)
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory() as temporary:
            write_project(Path(temporary), root, count)
            runs = [measured(root, Path(temporary)) for _ in range(options.rounds)]
        rows.append([min(column) for column in zip(*runs, strict=True)])
        print(f"{count:>8,}" + "".join(f"{value:>10,.1f}" for value in rows[-1]), flush=True)
    ratios = [last / first for first, last in zip(rows[0], rows[-1], strict=True)]
    print(f"{counts[-1] / counts[0]:>7.1f}x" + "".join(f"{ratio:>9.1f}x" for ratio in ratios))


def write_project(folder: Path, root: Path, count: int) -> None:
    """Write an archive of images, a schema and settings into `folder`."""
    (folder / "raw").mkdir()
    with zipfile.ZipFile(folder / "raw" / "images.zip", "w") as archive:
        for number in range(count):
            archive.writestr(f"class {number % 10}/{number}.png", picture(number, SIDE, 1))
    columns = {"image": {"type": "text"}, "label": {"type": "category"}}
    schema = {"target": "label", "task": "classification", "columns": columns}
    (folder / "schema.yml").write_text(yaml.safe_dump(schema), encoding="utf-8")
    settings = yaml.safe_load((root / "config" / "model.yml").read_text(encoding="utf-8"))
    settings["training"]["hyperparameters"] = {"epochs": 1}
    (folder / "model.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")


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
