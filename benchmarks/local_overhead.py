"""How much time does the local runner add to the steps of a generated project?

    uv run --project <project folder> python benchmarks/local_overhead.py <project folder> [--rounds N]

In one process it takes turns: the steps called directly, one after the
other, and the same steps through the project's pipeline and the runner. A first turn, which is not counted, loads what
both need (MLflow, scikit-learn, the tracking database) and registers a champion. Before each turn the project's own
modules are forgotten, so that both load them; the runner loads them anew for each step. The overhead is the median of
the turns' ratios, because the speed of a shared machine drifts; processor time is shown beside wall time.
"""

import argparse
import contextlib
import importlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path


def main() -> None:
    """Measure, and print both times and the overhead in percent."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("project", type=Path, help="folder of a generated project")
    arguments.add_argument("--rounds", type=int, default=9, help="turns of each way; few are too noisy")
    options = arguments.parse_args()
    root = options.project.resolve()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        os.environ["MLOPS_LOCAL_DIR"] = temporary
        measure(root, Path(temporary), options.rounds)


def measure(root: Path, folder: Path, rounds: int) -> None:
    """Time both ways by turns in `folder` and print the result."""
    from mlops import definitions
    from mlops.config import load_environment
    from mlops.local import run as local
    from mlops.local import runner
    from mlops.project import Project

    project = Project.load(root)
    os.environ.update(runner.local_variables(project))
    model = load_environment(project, project.first_environment).model

    def direct() -> None:
        call_steps(project.package, root, Path(tempfile.mkdtemp(dir=folder)), model.name)

    def through_runner() -> None:
        pipeline = runner.with_inputs(definitions.of(project).pipeline(), {"model_name": model.name})
        with local.parent_run(folder, model.experiment, "benchmark") as variables:
            runner.run_pipeline(pipeline, runner.new_run_folder(folder / "runs"), environment=variables)

    timed(through_runner, project.package)
    os.environ["MLFLOW_EXPERIMENT_NAME"] = model.experiment  # made by the first turn, with its artifacts in `folder`
    times: dict[Callable[[], None], list[tuple[float, float]]] = {direct: [], through_runner: []}
    for _ in range(rounds):
        for way, results in times.items():
            results.append(timed(way, project.package))
    bare, run = times.values()
    print(f"best of {rounds} turns          wall  processor")
    for name, results in (("steps called directly", bare), ("steps by the runner", run)):
        best = [min(column) for column in zip(*results, strict=True)]
        print(f"{name:<23}{best[0]:6.2f} s   {best[1]:6.2f} s")
    pairs = list(zip(bare, run, strict=True))
    wall, cpu = (statistics.median(with_it[i] / without[i] for without, with_it in pairs) - 1 for i in (0, 1))
    print(f"{'overhead (median)':<23}{wall:6.1%}     {cpu:6.1%}")


def timed(way: Callable[[], None], package: str) -> tuple[float, float]:
    """Wall and processor seconds of one turn; what it prints is dropped."""
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        wall, cpu = time.perf_counter(), time.process_time()
        way()
        return time.perf_counter() - wall, time.process_time() - cpu


def call_steps(package: str, root: Path, out: Path, model_name: str) -> None:
    """Call the four steps like functions, with the files that the pipeline gives them."""
    schema = ["--schema", str(root / "data" / "schema.yml")]
    settings = ["--settings", str(root / "config" / "model.yml")]
    train, test, model, evaluation = (str(out / name) for name in ("train", "test", "model", "evaluation"))
    name, production = ["--model-name", model_name], str(root / "data" / "production")
    data = ["--train-data", train, "--test-data", test]
    step(package, "prep", ["--raw-data", str(root / "data" / "raw"), *schema, *settings, *data])
    step(package, "train", ["--train-data", train, *schema, *settings, "--model", model])
    judged = ["--production-data", production, "--evaluation", evaluation]
    step(package, "evaluate", ["--model", model, *name, *data, *schema, *settings, *judged])
    done = ["--evaluation", evaluation, "--registration", str(out / "done")]
    step(package, "register", ["--model", model, *name, *done])


def step(package: str, name: str, arguments: list[str]) -> None:
    """Call one step's main."""
    importlib.import_module(f"{package}.{name}").main(arguments)


if __name__ == "__main__":
    main()
