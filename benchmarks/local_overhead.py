"""How much time does the local runner add to the steps of a generated project, and where do the seconds go?

    uv run --project <project folder> python benchmarks/local_overhead.py <project folder> [--rounds N]

In one process it takes turns: the steps called directly, one after the
other, and the same steps through the project's pipeline and the runner. A first turn, which is not counted, loads what
both need (MLflow, scikit-learn, the tracking database) and registers a champion. Before each turn the project's own
modules are forgotten, so that both load them; the runner loads them anew for each step. The overhead is the median of
the turns' ratios, because the speed of a shared machine drifts; processor time is shown beside wall time.

Then it runs the command line as a user does, each time in a new process: `mlops --help`, a first `mlops local` with an
empty `.local` and no compiled module, as in a new environment, and a second one. Of both it prints wall and processor
time phase by phase; a line of the terminal ends a phase. What `uv run` takes to install packages is not in it.

One round shows that the script runs, and its figures compare nothing: the turn that is not counted is the only one of
the runner, and of the command line there are `mlops --help` and one `mlops local`, with what is compiled already.
"""

import argparse
import contextlib
import importlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


def main() -> None:
    """Measure, and print both times and the overhead in percent."""
    if sys.argv[1:2] == ["--stamped"]:
        run_stamped(sys.argv[2:])
        return
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("project", type=Path, help="folder of a generated project")
    arguments.add_argument("--rounds", type=int, default=9, help="turns of each way; few are too noisy")
    options = arguments.parse_args()
    root = options.project.resolve()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        os.environ["MLOPS_LOCAL_DIR"] = temporary
        measure(root, Path(temporary), options.rounds)
    if options.rounds > 1:
        profile(root, min(options.rounds, 3))
    else:
        profile_once(root)


def profile_once(root: Path) -> None:
    """Run `mlops --help` and `mlops local` once, with what is compiled already, and print the time of each phase."""
    print("\none run                 wall  processor")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        variables = os.environ | {"MLOPS_LOCAL_DIR": f"{temporary}/local"}
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        print_phases({f"mlops {word}": [phases(root, variables, word)] for word in ("--help", "local")})


def profile(root: Path, rounds: int) -> None:
    """Run `mlops --help`, a first `mlops local` and a second one, and print the best time of each phase."""
    help_, first, second = [], [], []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
            folders = {"MLOPS_LOCAL_DIR": f"{temporary}/local", "PYTHONPYCACHEPREFIX": f"{temporary}/compiled"}
            variables = os.environ | folders
            variables.pop("PYTHONDONTWRITEBYTECODE", None)
            phases(root, variables, "--help")  # compiles
            help_.append(phases(root, variables, "--help"))
            first.append(phases(root, variables, "local"))
            second.append(phases(root, variables, "local"))
    print(f"\nbest of {rounds}               wall  processor")
    print_phases({"mlops --help": help_, "first mlops local": first, "second mlops local": second})


def print_phases(commands: Mapping[str, Sequence[Mapping[str, tuple[float, float]]]]) -> None:
    """Print the best time of the runs of each command, and of each phase where there are several."""
    for title, runs in commands.items():
        print_times(title, [min(run["all"][i] for run in runs) for i in (0, 1)])
        for name in [name for name in runs[0] if name != "all" and len(runs[0]) > 2]:
            print_times(f"  {name}", [min(run[name][i] for run in runs) for i in (0, 1)])


def phases(root: Path, variables: dict[str, str], *words: str) -> dict[str, tuple[float, float]]:
    """Run a command line; return wall and processor seconds of its phases, and of all of it.

    Raises:
        SystemExit: The command failed.
    """
    before, began = os.times(), time.perf_counter()
    command = [sys.executable, __file__, "--stamped", *words]
    result = subprocess.run(command, cwd=root, env=variables, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"mlops {' '.join(words)} failed: {result.stdout}{result.stderr}")
    after, wall = os.times(), time.perf_counter() - began
    cpu = (after.children_user - before.children_user) + (after.children_system - before.children_system)
    stamps = [line.split("\t")[1:] for line in result.stderr.splitlines() if line.startswith("phase\t")]
    found: dict[str, tuple[float, float]] = {}
    last = (0.0, 0.0)
    for name, *times in stamps:
        now = (float(times[0]), float(times[1]))
        found[name] = (now[0] - last[0], now[1] - last[1])
        last = now
    found["end"] = (wall - last[0], cpu - last[1])
    found["all"] = (wall, cpu)
    return found


def run_stamped(words: list[str]) -> None:
    """Run a command line in this process, and write the time of each line of it to the error stream."""
    began = time.perf_counter()
    from mlops import cli

    def stamp(name: str) -> None:
        used = os.times()
        cpu = used.user + used.system + used.children_user + used.children_system
        print(f"phase\t{name}\t{time.perf_counter() - began}\t{cpu}", file=sys.stderr)

    if words == ["local"]:
        from mlops.local import run, runner

        plain, pending = runner.say, ""

        def say(text: str, end: str = "\n") -> None:
            nonlocal pending
            plain(text, end)
            pending += text + end
            if pending.endswith("\n"):
                stamp(pending.split()[0])
                pending = ""

        stamp("start")
        runner.say = run.say = say
    sys.argv[1:] = words
    cli.main()


def measure(root: Path, folder: Path, rounds: int) -> None:
    """Time both ways by turns in `folder` and print the result."""
    from mlops import definitions
    from mlops.config import load_environment
    from mlops.local import run as local
    from mlops.local import runner
    from mlops.local.experiments import beginning
    from mlops.project import Project

    project = Project.load(root)
    os.environ.update(runner.local_variables(project))
    model = load_environment(project, project.first_environment).model

    def direct() -> None:
        call_steps(project.package, root, Path(tempfile.mkdtemp(dir=folder)), model.name)

    def through_runner() -> None:
        pipeline = runner.with_inputs(definitions.of(project).pipeline(), {"model_name": model.name})
        outputs = runner.new_run_folder(folder / "runs")
        with local.parent_run(folder, model.experiment, beginning(project, outputs)) as variables:
            runner.run_pipeline(pipeline, outputs, environment=variables)

    first = timed(through_runner, project.package)
    os.environ["MLFLOW_EXPERIMENT_NAME"] = model.experiment  # made by the first turn, with its artifacts in `folder`
    if rounds == 1:
        print("one turn, which compares nothing: the first has loaded what both need")
        print(f"{'':<23}  wall  processor")
        print_times("steps by the runner", first)
        print_times("steps called directly", timed(direct, project.package))
        return
    times: dict[Callable[[], None], list[tuple[float, float]]] = {direct: [], through_runner: []}
    for _ in range(rounds):
        for way, results in times.items():
            results.append(timed(way, project.package))
    bare, run = times.values()
    print(f"best of {rounds} turns          wall  processor")
    for name, results in (("steps called directly", bare), ("steps by the runner", run)):
        print_times(name, [min(column) for column in zip(*results, strict=True)])
    pairs = list(zip(bare, run, strict=True))
    wall, cpu = (statistics.median(with_it[i] / without[i] for without, with_it in pairs) - 1 for i in (0, 1))
    print(f"{'overhead (median)':<23}{wall:6.1%}     {cpu:6.1%}")


def print_times(name: str, times: Sequence[float]) -> None:
    """Print wall and processor seconds."""
    print(f"{name:<23}{times[0]:6.2f} s   {times[1]:6.2f} s")


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
