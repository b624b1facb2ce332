"""Runs a pipeline on this machine: the definition that goes to Azure ML, step by step, without an account.

A step that is `python -m <module> ...` or `python <script>.py ...` runs inside this interpreter, because importing the
machine-learning libraries anew takes seconds per step. Everything that such a step could change for the next one
(arguments, environment, working directory, import path, its own modules) is put back after it.
"""

import contextlib
import importlib
import importlib.util
import io
import logging
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib import metadata
from importlib.machinery import ModuleSpec
from pathlib import Path
from textwrap import shorten
from types import ModuleType
from typing import Any

from mlops.errors import UserError
from mlops.local.failures import database_failure
from mlops.pipeline import (
    OPTIONAL,
    PATH_TYPES,
    REFERENCE,
    SAMPLES,
    Component,
    Node,
    Pipeline,
    Port,
    binding,
    local_path,
    samples,
)
from mlops.project import Project

KEPT_RUNS = 5
LONGEST_SUMMARY = 100
PYTHON = ("python", "python3")
MOUNTS = ("rw_mount", "mount")

# What only a shell understands, searched outside of quotes; `$` and backticks mean something inside double quotes too.
_SHELL_SYNTAX = re.compile(r"[|&;<>()*?~\n]")
_SHELL_VALUES = re.compile(r"[$`]")
_QUOTED_OR_BARE = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|[^'"]+""")


@dataclass(frozen=True)
class RunResult:
    """Where a finished run left its files.

    `steps` holds the outputs of each step by name, `outputs` those that the pipeline offers as its own.
    """

    folder: Path
    steps: dict[str, dict[str, Path]] = field(default_factory=dict)
    outputs: dict[str, Path] = field(default_factory=dict)


class _StepError(Exception):
    """A step's command ended with an error; the log has the details."""


def say(text: str, end: str = "\n") -> None:
    """Print at once; a letter that the terminal lacks becomes a question mark instead of an error."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "replace").decode(encoding), end=end, flush=True)


def progress(seconds: float, summary: str) -> str:
    """Return the end of a progress line."""
    return f"{seconds:5.1f} s  {summary}".rstrip()


def say_step(name: str, seconds: float, summary: str) -> None:
    """Print the progress line of something that is done, in the form that the steps of a pipeline have."""
    say(f"{name:<10} {progress(seconds, summary)}")


def local_folder(project: Project) -> Path:
    """Return the folder of everything that local commands write; the variable MLOPS_LOCAL_DIR moves it elsewhere."""
    return Path(os.environ.get("MLOPS_LOCAL_DIR") or project.root / ".local").resolve()


def input_path(pipeline: Pipeline, name: str) -> Path:
    """Return where the data of a pipeline's input is on this machine.

    Raises:
        UserError: The pipeline has no such input, or its data is not here.
    """
    path = samples(pipeline).get(name) or local_path(pipeline.inputs.get(name), pipeline)
    if path is None or not path.exists():
        sample = f": keep examples in data/{SAMPLES[name]}" if name in SAMPLES else ""
        raise UserError(f"{pipeline.source.name}: the data of the input {name!r} is not on this machine{sample}")
    return path.resolve()


def local_variables(project: Project) -> dict[str, str]:
    """Return the environment variables of a local run: MLflow keeps all in `.local/mlflow.db`, without telemetry."""
    return {
        "MLFLOW_TRACKING_URI": f"sqlite:///{(local_folder(project) / 'mlflow.db').as_posix()}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "MLFLOW_LOGGING_LEVEL": "WARNING",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    }


def new_run_folder(runs: Path) -> Path:
    """Create a folder named after the current time in `runs`, and delete the oldest so that five remain."""
    runs.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S-%f")
    folder = runs / stamp
    folder.mkdir()
    for old in sorted(path for path in runs.iterdir() if path.is_dir())[:-KEPT_RUNS]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def with_inputs(pipeline: Pipeline, values: Mapping[str, str]) -> Pipeline:
    """Return the pipeline with other values for some of its inputs; a relative path counts from the working directory.

    A name that is no input of the pipeline goes to the steps that offer such an input and leave it open.

    Raises:
        UserError: Neither the pipeline nor a step has an input of a name.
    """
    inputs, nodes = dict(pipeline.inputs), dict(pipeline.nodes)
    for name, value in values.items():
        known = inputs.get(name)
        receivers = [node for node in nodes.values() if name in _open_inputs(node)]
        if isinstance(known, Mapping) and known.get("type") in PATH_TYPES:
            path = value if value.startswith("azureml:") else str(Path(value).resolve())
            inputs[name] = {**known, "path": path}
        elif name in inputs:
            inputs[name] = value
        elif receivers:
            nodes |= {node.name: replace(node, inputs={**node.inputs, name: value}) for node in receivers}
        else:
            open_names = {name for node in nodes.values() for name in _open_inputs(node)}
            raise UserError(f"the pipeline has no input {name!r}: it has {', '.join([*inputs, *sorted(open_names)])}")
    return replace(pipeline, inputs=inputs, nodes=nodes)


def without_output(pipeline: Pipeline, name: str) -> Pipeline:
    """Return the pipeline without the step that writes one of its outputs, and without those that need that step.

    Raises:
        UserError: No step writes it.
    """
    gone = {node.name for node in pipeline.nodes.values() if name in _pipeline_outputs(node)}
    if not gone:
        raise UserError(f"the pipeline has no output {name!r}: bind the output of a step to it")
    order = pipeline.order()
    for node in (pipeline.nodes[each] for each in order):
        if any(
            (bound := binding(value)) and bound.kind == "job" and bound.job in gone for value in node.inputs.values()
        ):
            gone.add(node.name)
    return replace(pipeline, nodes={each: node for each, node in pipeline.nodes.items() if each not in gone})


def _pipeline_outputs(node: Node) -> set[str]:
    return {bound.name for value in node.outputs.values() if (bound := binding(value)) and bound.kind == "output"}


def _open_inputs(node: Node) -> set[str]:
    return set() if isinstance(node.component, str) else node.component.inputs.keys() - node.inputs.keys()


def run_pipeline(
    pipeline: Pipeline,
    folder: Path,
    *,
    isolated: bool = False,
    environment: Mapping[str, str] | None = None,
    announce: Callable[[str], None] = lambda text: say(text, end=""),
    watch: tuple[str, ...] = (),
) -> RunResult:
    """Run every step, each after those it reads from, and write its outputs to `folder/<step>/<output>`.

    Args:
        pipeline: The pipeline.
        folder: Where the outputs go.
        isolated: Whether each step gets an interpreter of its own.
        environment: Variables that are added to the steps' environment.
        announce: Receives pieces of the progress lines; each ends with what the step printed last.
        watch: How those lines of a step begin that are shown at once.

    Raises:
        UserError: An input is not on this machine, or a step fails or leaves out one of its outputs.
    """
    result = RunResult(folder.resolve())
    for name in pipeline.order():
        announce(f"{name:<10} ")
        started = time.perf_counter()
        seen = _Watch(watch, announce)
        try:
            result.steps[name], summary = _run_step(
                pipeline, pipeline.nodes[name], result, isolated, environment or {}, seen
            )
        except BaseException:
            announce("failed\n")
            raise
        summary = summary.replace(f"{result.folder}{os.sep}", "")
        announce(f"{name:<10} " if seen.lines else "")
        whole = f" ... (all of it: {name}/log.txt)"
        announce(progress(time.perf_counter() - started, shorten(summary, LONGEST_SUMMARY, placeholder=whole)) + "\n")
        for output, value in pipeline.nodes[name].outputs.items():
            bound = binding(value)
            if bound and bound.kind == "output" and output in result.steps[name]:
                result.outputs[bound.name] = result.steps[name][output]
    return result


class _Watch:
    """Shows those lines of a running step that begin in one of some ways."""

    def __init__(self, starts: tuple[str, ...], announce: Callable[[str], None]) -> None:
        """Count the lines from here."""
        self.lines = 0
        self._starts, self._announce, self._terminal, self._rest = starts, announce, sys.stdout, ""

    def write(self, text: str) -> None:
        """Take what the step has printed, which need not be whole lines."""
        if not self._starts:
            return
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            if line.startswith(self._starts):
                # What this process prints goes into the log meanwhile. The first line follows the step's name.
                with contextlib.redirect_stdout(self._terminal):
                    self._announce(f"{'' if self.lines else chr(10)}{line.rstrip()}\n")
                self.lines += 1


def _run_step(
    pipeline: Pipeline, node: Node, result: RunResult, isolated: bool, environment: Mapping[str, str], watch: _Watch
) -> tuple[dict[str, Path], str]:
    component = node.component
    if not isinstance(component, Component):
        raise UserError(f"step {node.name}: the component {component} is only in Azure ML, so it cannot run here")
    inputs = _inputs(pipeline, node, component, result)
    outputs = _outputs(component, result.folder / node.name)
    command = _without_missing_options(component.command, inputs)
    values = {f"inputs.{name}": value for name, value in inputs.items()}
    values |= {f"outputs.{name}": str(path) for name, path in outputs.items()}
    cwd = (component.code or result.folder / node.name).resolve()
    log = result.folder / node.name / "log.txt"
    variables = {**environment, **component.environment_variables}
    log.touch()
    try:
        if needs_shell(command):
            summary = _run_process(_shell_command(command, values, node.name), cwd, variables, log, watch)
        else:
            arguments = [_substitute(token, values) for token in shlex.split(_one_line(command))]
            if not isolated and _is_plain_python(arguments):
                summary = _run_here(arguments[1:], cwd, variables, log, watch)
            else:
                summary = _run_process(_with_this_interpreter(arguments), cwd, variables, log, watch)
    except _StepError:
        raise UserError(f"step {node.name} failed: {_error_in(log)} (log: {log})") from None
    for name, path in outputs.items():
        if _mode(pipeline, node, name) in MOUNTS:
            continue  # what a step keeps for itself, such as checkpoints, may be gone when it has succeeded
        if not path.exists() or (path.is_dir() and not any(path.iterdir())):
            raise UserError(f"step {node.name} ended without writing its output {name!r} (log: {log})")
    return outputs, summary


def _mode(pipeline: Pipeline, node: Node, name: str) -> object:
    """Return how an output gets to Azure: uploaded at the end, or written through a mount."""
    value = node.outputs.get(name)
    bound = binding(value)
    given = pipeline.outputs.get(bound.name) if bound else value
    return given.get("mode") if isinstance(given, Mapping) else None


def _inputs(pipeline: Pipeline, node: Node, component: Component, result: RunResult) -> dict[str, str]:
    """Return the text for each `${{inputs.<name>}}` of a step; an optional input without a value is left out."""
    for name in node.inputs.keys() - component.inputs.keys():
        raise UserError(f"step {node.name}: its component has no input {name!r}")
    found = {}
    for name, port in component.inputs.items():
        value, place = node.inputs.get(name), f"step {node.name}: its input {name!r}"
        bound = binding(value)
        if bound and bound.kind == "job":
            try:
                found[name] = str(result.steps[str(bound.job)][bound.name])
            except KeyError:
                raise UserError(f"{place} needs {bound.name!r} of {bound.job!r}, which does not exist") from None
            continue
        if bound:
            if bound.name not in pipeline.inputs:
                raise UserError(f"{place} needs the pipeline's input {bound.name!r}, which does not exist")
            value = pipeline.inputs[bound.name]
        text = _text(value, port, pipeline, place)
        if text is not None:
            found[name] = text
        elif not port.optional:
            raise UserError(f"{place} has no value")
    return found


def _text(value: object, port: Port, pipeline: Pipeline, place: str) -> str | None:
    if port.type in PATH_TYPES:
        if value is None:
            return None
        path = local_path(value, pipeline)
        if path is None:
            raise UserError(f"{place} is {value}, which is not on this machine: set the path of a local copy")
        if not path.exists():
            raise UserError(f"{place} points at {path.resolve()}, which does not exist")
        return str(path.resolve())
    if isinstance(value, Mapping):
        value = value.get("path", value.get("default"))
    value = port.default if value is None else value
    # An empty text cannot be told apart from no value on an Azure ML command line.
    return None if value is None or (port.optional and value == "") else str(value)


def _outputs(component: Component, folder: Path) -> dict[str, Path]:
    folder.mkdir(parents=True)
    outputs = {name: folder / name for name in component.outputs}
    for name, port in component.outputs.items():
        if port.type != "uri_file":
            outputs[name].mkdir()
    return outputs


def _without_missing_options(command: str, inputs: Mapping[str, str]) -> str:
    """Keep a `$[[ ... ]]` part only when every input in it has a value."""

    def part(match: re.Match[str]) -> str:
        names = [name for side, name in REFERENCE.findall(match[1]) if side == "inputs"]
        return match[1] if all(name in inputs for name in names) else ""

    return OPTIONAL.sub(part, command)


def _one_line(command: str) -> str:
    """Return one line without continuations or spaces inside placeholders, so that each stays in one token."""
    return REFERENCE.sub(r"${{\1.\2}}", command.replace("\\\n", " ").strip())


def needs_shell(command: str) -> bool:
    """Whether a command uses what only a shell provides: operators, wildcards, variables, several lines."""
    text = REFERENCE.sub("x", _one_line(command))
    text = re.sub(r"'[^']*'", "", text)
    return bool(_SHELL_VALUES.search(text) or _SHELL_SYNTAX.search(re.sub(r'"[^"]*"', "", text)))


def _substitute(token: str, values: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        key = f"{match[1]}.{match[2]}"
        if key not in values:
            raise UserError(f"the command needs {match[0]}, which has no value")
        return values[key]

    return REFERENCE.sub(value, token)


def _shell_command(command: str, values: Mapping[str, str], step: str) -> list[str]:
    bash = shutil.which("bash")
    if bash is None:
        raise UserError(
            f"step {step}: its command needs a shell and this machine has no bash: install it (on Windows: Git for "
            "Windows) or write the command as one `python -m <module>` call"
        )

    def substitute(part: re.Match[str]) -> str:
        # Inside quotes: close them, put the value in its own, open them again.
        quote = part[0][0] if part[0][0] in "'\"" else ""
        return _substitute(part[0], {key: f"{quote}{shlex.quote(value)}{quote}" for key, value in values.items()})

    return [bash, "-c", _QUOTED_OR_BARE.sub(substitute, _one_line(command))]


def _is_plain_python(arguments: list[str]) -> bool:
    match arguments:
        case [python, "-m", _, *_]:
            return python in PYTHON
        case [python, script, *_]:
            return python in PYTHON and script.endswith(".py")
    return False


def _with_this_interpreter(arguments: list[str]) -> list[str]:
    return [sys.executable, *arguments[1:]] if arguments and arguments[0] in PYTHON else arguments


class _StdoutLog(io.TextIOWrapper):
    """A log file that remembers the end of what was printed, where a step sums up what it did."""

    tail = ""
    watch: _Watch | None = None

    def write(self, text: str) -> int:
        self.tail = (self.tail + text)[-2000:]
        if self.watch:
            self.watch.write(text)
        return super().write(text)


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


class _NoNotebook(ModuleType):
    """Stands for IPython, which is imported once something is wanted that this does not have."""

    def __init__(self, spec: ModuleSpec) -> None:
        super().__init__(spec.name)
        self.__spec__, self.__path__ = spec, list(spec.submodule_search_locations or ())
        # Matplotlib asks for it.
        self.version_info = tuple(int(part) for part in metadata.version("ipython").split(".") if part.isdigit())

    def get_ipython(self) -> None:
        """Answer that this is no notebook."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        del sys.modules["IPython"]
        return getattr(importlib.import_module("IPython"), name)


@contextlib.contextmanager
def _no_notebook() -> Iterator[None]:
    """Answer MLflow without importing IPython, which takes half a second: it asks with each run for a notebook."""
    spec = None if "IPython" in sys.modules else importlib.util.find_spec("IPython")
    if spec is None:
        yield
        return
    stand_in = sys.modules["IPython"] = _NoNotebook(spec)
    try:
        yield
    finally:
        if sys.modules.get("IPython") is stand_in:
            del sys.modules["IPython"]


@contextlib.contextmanager
def without_search_of_packages() -> Iterator[None]:
    """Let MLflow compare the versions of packages without looking through the files of all that are installed.

    It does so to save a model and to load one, for the sake of packages whose metadata are lacking.
    """
    versions: Any = sys.modules.get("mlflow.utils.requirements_utils")
    search = getattr(versions, "_init_packages_to_modules_map", None)
    if search is None:
        yield
        return
    before = versions._PACKAGES_TO_MODULES
    versions._init_packages_to_modules_map, versions._PACKAGES_TO_MODULES = (lambda: None), {}
    try:
        yield
    finally:
        versions._init_packages_to_modules_map, versions._PACKAGES_TO_MODULES = search, before


def _run_here(arguments: list[str], cwd: Path, environment: Mapping[str, str], log: Path, watch: _Watch) -> str:
    """Run `-m module ...` or `script.py ...` in this interpreter; return the last line that it printed."""
    with (
        _StdoutLog(log.open("ab"), encoding="utf-8", line_buffering=True) as out,
        log.open("a", encoding="utf-8", buffering=1) as err,
        preserved_process(cwd),
        _no_notebook(),
        without_search_of_packages(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        out.watch = watch
        os.environ.update(environment)
        os.chdir(cwd)
        try:
            if arguments[0] == "-m":
                sys.argv = arguments[1:]
                sys.path.insert(0, str(cwd))
                runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
            else:
                script = (cwd / arguments[0]).resolve()
                sys.argv = arguments
                sys.path.insert(0, str(script.parent))
                runpy.run_path(str(script), run_name="__main__")
        except SystemExit as stop:
            if isinstance(stop.code, str):
                print(stop.code, file=sys.stderr)
            if stop.code not in (None, 0):
                raise _StepError from None
        except Exception as error:
            traceback.print_exc()
            store = Path(os.environ.get("MLFLOW_TRACKING_URI", "").removeprefix("sqlite:///"))
            if failure := database_failure(error, store):
                print(f"error: {failure}", file=sys.stderr)
            raise _StepError from None
        return _last_line(out.tail)


def _run_process(arguments: list[str], cwd: Path, environment: Mapping[str, str], log: Path, watch: _Watch) -> str:
    """Run a command as a process of its own; return the last line that it printed."""
    # Commands with `python` mean the interpreter that has the project's packages.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    variables = {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1", **environment}
    with log.open("ab", buffering=0) as out:
        try:
            process = subprocess.Popen(
                arguments, cwd=cwd, env=variables, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out
            )
        except OSError as error:
            out.write(f"error: {arguments[0]} cannot be started: {error}\n".encode())
            raise _StepError from None
        last = b""
        with process:
            try:
                for line in process.stdout or ():
                    out.write(line)
                    watch.write(line.decode("utf-8", errors="replace"))
                    last = line if line.strip() else last
            except BaseException:
                # A signal to stop that only this process got; else it would wait for the end of the step.
                process.kill()
                raise
    if process.returncode != 0:
        raise _StepError
    return last.decode("utf-8", errors="replace").strip()


def _error_in(log: Path) -> str:
    """Return the step's own `error: ...` line, or else the last line of its log."""
    with log.open(encoding="utf-8", errors="replace") as lines:
        tail = [line.strip() for line in deque(lines, maxlen=200) if line.strip()]
    own = [line.removeprefix("error: ") for line in tail if line.startswith("error: ")]
    return (own or tail or ["it printed nothing"])[-1]


@contextlib.contextmanager
def preserved_process(code: Path | None = None) -> Iterator[None]:
    """Put back what the code of a step changes in this process.

    These are the arguments, the import path, the environment, the working directory, the handlers of the root logger,
    and the modules imported from the folder `code`: another step may have other modules of the same names.
    """
    argv, path, environment, cwd = sys.argv, list(sys.path), dict(os.environ), Path.cwd()
    known, root = set(sys.modules), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, path
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(cwd)
        root.handlers[:] = handlers
        if root.level != level:  # to set it empties what each of thousands of loggers knows
            root.setLevel(level)
        if code is not None:
            for name in set(sys.modules) - known:
                if _lies_in(sys.modules[name], code):
                    del sys.modules[name]


def _lies_in(module: object, folder: Path) -> bool:
    file = getattr(module, "__file__", None)
    # A code folder may hold the virtual environment, and NumPy cannot be imported twice.
    return isinstance(file, str) and Path(file).is_relative_to(folder) and "site-packages" not in Path(file).parts
