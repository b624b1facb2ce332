"""What the definitions of every mlops version have in common: how their code runs, and what is found wrong in them."""

import contextlib
import importlib
import importlib.util
import io
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import shorten
from types import ModuleType
from typing import Any, Protocol

from mlops.config import EnvironmentConfig
from mlops.errors import UserError, without_colours
from mlops.pipeline import Pipeline


class Definitions(Protocol):
    """The Azure ML definitions of a project."""

    notice: str
    """A line that each command shows first, unless it is empty."""

    monitor_writes_files: bool
    """Whether the monitor leaves what it found in the storage account, so that its reader needs a role there."""

    needs_az_extension: bool
    """Whether the verbs run `az ml`, which comes with an extension of `az`."""

    monitor_fails_on_drift: bool
    """Whether a run of the monitor fails when it finds drift; otherwise Azure ML sends an e-mail."""

    def pipeline(self) -> Pipeline:
        """Return the training pipeline as it goes to Azure ML.

        Raises:
            UserError: It cannot be read or built.
        """

    def tuning(self) -> Pipeline:
        """Return the pipeline that searches hyperparameters, as it runs on this machine: one step does all trials.

        Raises:
            UserError: It cannot be read or built.
        """

    def online_deployment(self, config: EnvironmentConfig) -> "Document":
        """Return a deployment behind an environment's online endpoint, with all of what it runs in.

        Raises:
            UserError: It cannot be read or built.
        """

    def beside_online(self) -> list[Path]:
        """Return the files that define what a delivery sets up beside the online deployment: batch and monitor."""


@dataclass(frozen=True, order=True)
class Finding:
    """One mistake: the file, the place in it (keys joined by dots, or a line) and what is wrong."""

    path: Path
    where: str
    message: str

    def __str__(self) -> str:
        """Return the line a user sees: `pipeline.yml: jobs.train.inputs.x: no such input`."""
        return ": ".join(part for part in (self.path.as_posix(), self.where, self.message) if part)


@dataclass(frozen=True)
class Document:
    """A definition with its kind, named as in Azure ML's schema addresses (`commandComponent`, `data` ...).

    It is the content of a YAML file, or an object of azure-ai-ml (`entity`) that is defined in a Python file under the
    name `place`; its content then is that of the YAML file that would define the same.
    """

    path: Path
    kind: str
    content: dict[str, Any]
    place: str = ""
    entity: Any = None

    @property
    def folder(self) -> Path:
        """Where the relative paths of the file start."""
        return self.path.parent

    def finding(self, where: str, message: str) -> Finding:
        """Return a finding in this definition."""
        return Finding(self.path, ".".join(part for part in (self.place, where) if part), message)


class DefinitionError(UserError):
    """A definition cannot be built; `finding` is what the lint reports."""

    def __init__(self, finding: Finding) -> None:
        """Make the one line from the file's name, the place in it and the problem."""
        self.finding = finding
        super().__init__(str(replace(finding, path=Path(finding.path.name))))


def require(module: str, package: str) -> None:
    """Check that a library is installed that only some mlops versions need.

    Raises:
        UserError: It is not.
    """
    # Looking for azure.ai.ml imports azure.ai, which may be missing too.
    parts = module.split(".")
    for number in range(len(parts)):
        if importlib.util.find_spec(".".join(parts[: number + 1])) is None:
            raise UserError(f"{package} is not installed: run `uv sync`")


def load_module(folder: Path, name: str) -> ModuleType:
    """Import a Python file of a folder, which finds its neighbours as a script does.

    Raises:
        UserError: There is no such file.
    """
    folder = folder.resolve()
    if not (folder / f"{name}.py").is_file():
        raise UserError(f"{folder / name}.py is missing")
    for known in [path.stem for path in folder.glob("*.py")]:
        # A file of the same name in another project's folder is another module.
        if known in sys.modules and Path(sys.modules[known].__file__ or "").parent != folder:
            del sys.modules[known]
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    return importlib.import_module(name)


@contextlib.contextmanager
def running_in(folder: Path) -> Iterator[None]:
    """Run code of the definitions in a folder: relative paths start there, as they do in YAML files.

    Raises:
        DefinitionError: The code raises an exception.
    """
    try:
        with contextlib.chdir(folder), quiet():
            yield
    except UserError:
        raise
    except Exception as error:
        raise DefinitionError(_finding(error, folder.resolve())) from error


def _finding(error: Exception, folder: Path) -> Finding:
    if isinstance(error, SyntaxError):
        return Finding(Path(error.filename or ""), f"line {error.lineno}", error_line(error))
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).parent == folder] or frames
    return Finding(Path(own[-1].filename), f"line {own[-1].lineno}", error_line(error))


@contextlib.contextmanager
def _no_search_of_callers() -> Iterator[None]:
    """Let azure-ai-ml not read the source of all that calls it before each notice: a third of a lint."""
    notices: Any = sys.modules.get("azure.ai.ml._utils._experimental")
    search = getattr(notices, "_should_skip_warning", None)
    if search is None:
        yield
        return
    notices._should_skip_warning = lambda: True
    try:
        yield
    finally:
        notices._should_skip_warning = search


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the notices of azure-ai-ml (experimental classes, anonymous assets) off the screen."""
    disabled = logging.root.manager.disable
    if disabled >= logging.CRITICAL:  # it is quiet: each change of the level goes through the thousands of loggers
        yield
        return
    logging.disable(logging.CRITICAL)
    try:
        with _no_search_of_callers(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(io.StringIO()):
                yield
    finally:
        logging.disable(disabled)


def error_line(error: Exception) -> str:
    """Return the message of an exception in one line, with its type unless it is one of Azure's."""
    text = line(str(getattr(error, "msg", "") or error))
    return text if type(error).__module__.startswith("azure") else f"{type(error).__name__}: {text}"


def line(text: str) -> str:
    """Return a message of azure-ai-ml or Azure in one line: of a page of text only what is wrong."""
    plain = without_colours(text)
    marked = re.findall(r"^\(x\) (.+)", plain, re.MULTILINE)
    message = "; ".join(marked) or re.split(r"\n\s*(?:Code|Exception Details|Resolutions):", plain)[0]
    words = " ".join(message.split()).replace("Missing data for required field.", "this key is missing")
    return shorten(words or "azure-ai-ml does not say why", 300, placeholder=" ...")
