"""MLflow's own pages over the runs and models of this machine, until Ctrl-C."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops.errors import UserError
from mlops.local.experiments import require_store
from mlops.local.runner import local_folder, local_variables, say
from mlops.local.serving import HOST, check_port
from mlops.local.store import stoppable
from mlops.project import Project

DEFAULT_PORT = 5000
_SECONDS = 90


def show(project: Project, port: int | None = None, wait: Callable[[], None] | None = None) -> None:
    """Start MLflow's server, print its address, open it if there is a browser, and stop it at Ctrl-C.

    Args:
        project: The project.
        port: Where it listens; by default 5000, or a free one if that is in use.
        wait: Returns when it is to stop; by default at Ctrl-C.

    Raises:
        UserError: No run is recorded yet, the port is in use, or the server does not start.
    """
    require_store(project)
    chosen = _port(port)
    log = local_folder(project) / "ui.log"
    say("MLflow's server is starting, which takes some seconds.")
    url = f"http://{HOST}:{chosen}"
    try:
        with stoppable(), _server(project, chosen, log) as process:
            _await_health(process, url, log)
            say(f"runs       {url}")
            say(f"log        {log}")
            say("Ctrl-C stops it.")
            open_browser(url)
            if wait:
                wait()
            elif code := process.wait():
                raise UserError(f"MLflow's server has ended by itself, with code {code} (log: {log})")
    except KeyboardInterrupt:
        say("stopped")


def _port(wanted: int | None) -> int:
    """Return the port that is wanted, or else the usual one, or a free one where that is in use.

    Raises:
        UserError: The wanted one is in use, or there is no such port.
    """
    port = DEFAULT_PORT if wanted is None else wanted
    try:
        check_port(port)
    except UserError:
        if wanted is not None:
            raise
        port = 0
    if port:
        return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        free = int(probe.getsockname()[1])
    if wanted is None:
        say(f"port {DEFAULT_PORT} is in use, so it is {free}")
    return free


@contextmanager
def _server(project: Project, port: int, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    variables = local_variables(project)
    artifacts = (local_folder(project) / "artifacts").as_uri()
    store = ("--backend-store-uri", variables["MLFLOW_TRACKING_URI"], "--default-artifact-root", artifacts)
    place = ("--host", HOST, "--port", str(port), "--workers", "1")
    command = [sys.executable, "-m", "mlflow", "server", *store, *place]
    # Colours are for a terminal. Programs that the server starts are found beside this Python.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    # Processes for jobs that judge answers of language models would take as long again to start.
    jobs = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    environment = {**jobs, **os.environ, **variables, "NO_COLOR": "1", "PATH": path}
    with log.open("wb") as output:
        # A session of its own, so that all of its processes end together, and none of them by Ctrl-C.
        process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    for stop in ("SIGTERM", "SIGKILL"):
        with contextlib.suppress(ProcessLookupError):
            if os.name == "nt":
                subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True)
            else:
                os.killpg(process.pid, getattr(signal, stop))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
            return


def _await_health(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    # Without a proxy: a proxy set for the internet cannot reach this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with opener.open(f"{url}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    raise UserError(f"MLflow's server did not start: {(lines or ['it printed nothing'])[-1].strip()} (log: {log})")


def open_browser(url: str) -> None:
    """Open a page, where a person has a browser: not in a pipeline, nor on a machine without a screen."""
    screen = (
        os.name == "nt" or sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )
    if screen and sys.stdout.isatty():
        with contextlib.suppress(webbrowser.Error):
            webbrowser.open(url)
