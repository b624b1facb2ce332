"""The registered champion behind Azure ML's own inference server, as a live endpoint on this machine.

The server, the scoring script and the JSON are those of the online endpoint in Azure. Only its front is different: the
server's own command listens on all network interfaces, here it is reachable from this machine alone.
"""

import builtins
import faulthandler
import functools
import io
import json
import logging
import os
import shutil
import socket
import sys
import time
import traceback
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mlops import definitions
from mlops.config import load_environment
from mlops.errors import UserError, first_line
from mlops.local import front
from mlops.local.failures import explained, failure
from mlops.local.runner import (
    input_path,
    local_folder,
    local_variables,
    preserved_process,
    say,
    without_search_of_packages,
)
from mlops.local.store import STORE, check, quiet
from mlops.pipeline import Pipeline
from mlops.project import Project

HOST = "127.0.0.1"
DEFAULT_PORT = 5001


class NoChampionError(UserError):
    """No version of the model is registered, or each one was rejected."""


@dataclass(frozen=True)
class Champion:
    """A registered model version, and the folder that holds a copy of its files."""

    name: str
    version: int
    folder: Path


def fetch_champion(project: Project, name: str, models: Path) -> Champion:
    """Copy the newest version of a model that was not rejected from the local registry into the folder `models`.

    Raises:
        NoChampionError: There is none.
        UserError: Its files are gone, or are not those that were registered.
    """
    folder = local_folder(project)
    copy = models / "model"
    with preserved_process():
        os.environ.update(local_variables(project))
        version = _champion_version(project, name)
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir(parents=True)
        import mlflow

        try:
            mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{name}/{version.version}", dst_path=str(copy))
        except (mlflow.MlflowException, OSError) as error:
            raise _unreadable(name, folder, error) from error
    number = int(version.version)
    if not any(copy.iterdir()):
        raise _unreadable(name, folder, f"version {number} has no files")
    registered = version.tags.get("sha256")
    if registered and _hash(project, copy) != registered:
        raise _unreadable(name, folder, f"the files of version {number} are damaged")
    return Champion(name, number, copy)


def _hash(project: Project, copy: Path) -> str | None:
    found = next(copy.rglob("MLmodel"), None)
    if found is None:
        return None
    sha256: str = project.module("core.endpoint").model_hash(found.parent)
    return sha256


def _champion_version(project: Project, name: str) -> Any:
    missing = NoChampionError(f"no version of the model {name!r} is registered here: run `uv run mlops local` first")
    if not (local_folder(project) / STORE).is_file():
        raise missing
    check(local_folder(project) / STORE)
    import mlflow

    endpoint = project.module("core.endpoint")
    try:
        champion = endpoint.champion(mlflow.MlflowClient(), name)
    except mlflow.MlflowException as error:
        raise _unreadable(name, local_folder(project), error) from error
    if champion is None:
        raise missing
    return champion


def _unreadable(name: str, folder: Path, reason: object) -> UserError:
    if isinstance(reason, Exception) and (known := failure(reason, folder / STORE)):
        return UserError(known)
    reason = str(reason).splitlines()[0]
    return UserError(
        f"the model {name!r} cannot be read from {folder} ({reason}): delete that folder and run `uv run mlops local`"
    )


class Endpoint:
    """Context manager: an HTTP endpoint with the champion; only one can be open in a process.

    With `port` 0 it is a free port; the model is the one of the first environment unless named. Where it has several
    `workers`, which are processes of their own, it scores no files. Its log is kept in `folder`, by default one for
    each port in `.local/serving`, so that endpoints of two processes do not share any.
    """

    url: str
    champion: Champion

    def __init__(
        self,
        project: Project,
        port: int = 0,
        model: str | None = None,
        folder: Path | None = None,
        workers: int = 1,
    ) -> None:
        """Remember what to serve; nothing starts before the context is entered."""
        self.project = project
        self.port = port
        self.workers = workers
        self.model = model or load_environment(project, project.first_environment).model.name
        self.folder = folder or local_folder(project) / "serving" / (str(port) if port else "any-port")
        self.log = self.folder / "server.log"
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Load the champion and start to listen.

        Raises:
            UserError: The port is in use, no model is registered, or the scoring script cannot load it.
        """
        check_port(self.port)
        models = self.folder / "models"
        with quiet(), explained(local_folder(self.project) / STORE), ExitStack() as stack:
            # The server has loaded it by the time that it answers.
            stack.callback(shutil.rmtree, models, ignore_errors=True)
            self.champion = fetch_champion(self.project, self.model, models)
            script, folder = _scoring_script(self.project), self.champion.folder
            if self.workers == 1:
                app = stack.enter_context(_inference_app(script, folder, self.log))
                self._run = app.azml_blueprint.user_script.get_run_function()
                worker = front.one_worker(app)
            else:
                self.log.parent.mkdir(parents=True, exist_ok=True)
                self.log.write_text("", encoding="utf-8")
                open_app = functools.partial(_app_of_a_worker, script, folder, self.log)
                worker = stack.enter_context(front.many_workers(self.workers, open_app, _say_of_workers))
            self.url = f"http://{HOST}:{stack.enter_context(_listen(self.port, worker))}/score"
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._open.close()

    def score(self, request: dict[str, Any]) -> Any:
        """Post a request as JSON and return the decoded answer.

        Raises:
            UserError: The answer is an error; the text has the server's message.
        """
        call = urllib.request.Request(
            self.url, json.dumps(request).encode(), {"Content-Type": "application/json"}, method="POST"
        )
        # Without a proxy: a proxy set for the internet cannot reach this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(call, timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            message = " ".join(error.read().decode("utf-8", errors="replace").split())
            raise UserError(f"the endpoint answered {error.code}: {message} (log: {self.log})") from None

    def score_files(self, files: list[Path]) -> Any:
        """Score files the way a batch endpoint does: one call of the loaded script's `run` with their paths.

        Returns:
            What the script returns, a table.

        Raises:
            UserError: The script fails.
        """
        with self.log.open("a", encoding="utf-8") as output, redirect_stdout(output), front.single_thread()():
            try:
                return self._run([str(file) for file in files])
            except Exception as error:
                traceback.print_exc(file=output)
                reason = first_line(error)
                raise UserError(f"batch scoring failed: {reason} (log: {self.log})") from error


def serve(
    project: Project, port: int = DEFAULT_PORT, workers: int | None = None, wait: Callable[[], None] | None = None
) -> None:
    """Keep the endpoint open until Ctrl-C and print how to call it.

    By default it has the workers of the first environment's online endpoint. `wait` returns when it is to close.

    Raises:
        UserError: As in `Endpoint`.
    """
    count = workers or load_environment(project, project.first_environment).compute.online.workers
    with Endpoint(project, port, workers=count) as endpoint:
        request = endpoint.folder / "request.json"
        content = sample_request(project, definitions.of(project).pipeline(), rows=3)
        request.write_text(json.dumps(content, indent=2), encoding="utf-8")
        say(f"endpoint   {endpoint.url} ({endpoint.champion.name} version {endpoint.champion.version})")
        say(f"request    {request}")
        say(f'try        curl -H "Content-Type: application/json" --data "@{request}" {endpoint.url}')
        say(f"log        {endpoint.log}")
        say(f"workers    {count}, each answers one request at a time")
        say("Ctrl-C stops it.")
        try:
            (wait or _forever)()
        except KeyboardInterrupt:
            say("stopped")


def sample_request(project: Project, pipeline: Pipeline, rows: int) -> dict[str, Any]:
    """Return a scoring request with the first rows of the raw data: real ones, and always there.

    Raises:
        UserError: The data cannot be read.
    """
    endpoint, modality = project.module("core.endpoint"), project.module("modality").MODALITY
    schema, folder = input_path(pipeline, "schema"), input_path(pipeline, "raw_data")
    try:
        request: dict[str, Any] = endpoint.sample_request(modality, schema, folder, rows)
    except endpoint.StepError as error:
        raise UserError(str(error)) from None
    return request


def _say_of_workers(text: str) -> None:
    say(f"workers    {text}")


def _forever() -> None:
    while True:
        # Short sleeps: a wait without end cannot be interrupted on Windows.
        time.sleep(0.5)


def _scoring_script(project: Project) -> Path:
    return project.root / "data-science" / "src" / project.package / "score.py"


def check_port(port: int) -> None:
    """Check that a server can be started on a port.

    Raises:
        UserError: It is in use, or there is no such port.
    """
    if not 0 <= port <= 65535:
        raise UserError(f"there is no port {port}: choose one from 1024 to 65535 with --port")
    with socket.socket() as probe:
        probe.settimeout(0.5)
        # Some systems let two servers share a port, so connecting is a better test than trying to bind.
        if port and probe.connect_ex((HOST, port)) == 0:
            raise _port_taken(port)


def _port_taken(port: int) -> UserError:
    return UserError(f"port {port} is in use or not allowed: choose another one with --port (0 is a free one)")


@contextmanager
def _listen(port: int, worker: front.Worker) -> Iterator[int]:
    with ExitStack() as stack:
        try:
            with redirect_stderr(io.StringIO()):
                found = stack.enter_context(front.listen(HOST, port, worker))
        except SystemExit:
            raise _port_taken(port) from None
        yield found


@contextmanager
def _app_of_a_worker(script: Path, model: Path, log: Path) -> Iterator[Any]:
    """Give the application to a process that does nothing else, whose prints go to the log."""
    with log.open("a", encoding="utf-8", buffering=1) as output:
        sys.stdout = sys.stderr = output
        with _inference_app(script, model, log, mode="a") as app:
            yield app


@contextmanager
def _inference_app(script: Path, model: Path, log: Path, mode: str = "w") -> Iterator[Any]:
    """Give the server's Flask application with the script's `init` done; what both print goes to the log."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open(mode, encoding="utf-8", buffering=1) as output:
        try:
            with preserved_process(), redirect_stdout(output), redirect_stderr(output), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                app = _create_app(script, model.parent, log)
            yield app
        finally:
            # The server pointed it at the log, which closes now.
            faulthandler.disable()
            _close_handlers(logging.getLogger("azmlinfsrv"))


def _create_app(script: Path, models: Path, log: Path) -> Any:
    root = log.parent
    (root / "logging.json").write_text(json.dumps(_logging(log)), encoding="utf-8")
    variables = {
        "AML_APP_ROOT": str(root),
        "AZUREML_ENTRY_SCRIPT": str(script),
        "AZUREML_MODEL_DIR": str(models),
        "AML_APP_INSIGHTS_ENABLED": "false",
    }
    os.environ.update(variables)
    from azureml_inference_server_http.log_config import load_logging_config
    from azureml_inference_server_http.server import config, create_app

    # The server reads its environment once per process, so an endpoint opened later has to set what it read.
    config.config.app_root, config.config.entry_script = variables["AML_APP_ROOT"], variables["AZUREML_ENTRY_SCRIPT"]
    load_logging_config(str(root), silent=True)
    ordinary_print = builtins.print
    try:
        with without_search_of_packages():
            return create_app.create()
    except SystemExit as stop:
        error = getattr(stop.__context__, "user_ex", stop.__context__)
        reason = (str(error).splitlines() or [""])[0]
        reason = f"{type(error).__name__}: {reason}"
        raise UserError(f"{script.name} cannot serve the model: {reason} (log: {log})") from None
    finally:
        # The server turns every print of this process into a line of its log.
        builtins.print = ordinary_print


def _logging(log: Path) -> dict[str, Any]:
    """Return the server's logging.json: its own default prints to the terminal and mutes all other loggers."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(message)s"}},
        "handlers": {
            "log": {"class": "logging.FileHandler", "filename": str(log), "encoding": "utf-8", "formatter": "line"}
        },
        "loggers": {"azmlinfsrv": {"level": "INFO", "handlers": ["log"], "propagate": False}},
    }


def _close_handlers(logger: logging.Logger) -> None:
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
