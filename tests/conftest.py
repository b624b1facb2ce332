"""Each combination on the menu is rendered once and shared by all checks."""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import copier
import pytest
import yaml
from combinations import AXES, ROOT, choices_in, combinations, flavours, label, part_of_menu, questions
from filelock import FileLock
from hypothesis import settings
from local_wheels import take_local_wheels
from plumbum import local
from quick_copier import CLONES, COMPILED, hasten
from reference_date import EXCLUDE_NEWER

# Whatever a test lets uv resolve, it resolves as of the reference date.
os.environ["UV_EXCLUDE_NEWER"] = EXCLUDE_NEWER

# The repositories of the tests live for seconds: no example hooks, no upkeep, no wait for the disk, no compression.
GIT = {
    "init.templateDir": "",  # see `objects`
    "gc.auto": "0",
    "maintenance.auto": "false",
    "core.fsync": "none",
    "core.compression": "0",
}
GIT_SETTINGS = {"GIT_CONFIG_COUNT": str(len(GIT))}
for number, (name, setting) in enumerate(GIT.items()):
    GIT_SETTINGS |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": setting}
os.environ |= GIT_SETTINGS
local.env.update(GIT_SETTINGS)  # a copy of the environment, made when pytest loaded its plugins

# The same examples in each run, and no deadline: a busy machine is not an error of the code.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

SUFFIX = "a1b2c3"  # the one answer that is random unless given
DEFAULTS = {axis: questions()[axis]["default"] for axis in AXES}


MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one: to the disk, the system would need as long as all of Python."""

ROOM = 6_000_000_000


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Keep the files of the tests in memory until the session ends, where there is enough of it."""
    try:
        part_of_menu(os.environ.get("ONLY", ""))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    # What a script starts in the background ignores Ctrl-C, and so would all that the tests start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if config.option.basetemp or not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return  # a worker has a folder in that of its session
    for left in MEMORY.glob("mlops-template-*"):  # by a session that was killed
        if not Path("/proc", left.name.rpartition("-")[2]).exists():
            shutil.rmtree(left, ignore_errors=True)
    system = os.statvfs(MEMORY)
    if system.f_flag & os.ST_NOEXEC or system.f_bavail * system.f_frsize < ROOM:
        return
    folder = MEMORY / f"mlops-template-{os.getpid()}"
    (folder / "others").mkdir(parents=True)
    config.option.basetemp = str(folder / "session")
    os.environ["TMPDIR"] = local.env["TMPDIR"] = tempfile.tempdir = str(folder / "others")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of choices that `make test ONLY=...` does not name."""
    part = part_of_menu(os.environ.get("ONLY", ""))
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        is_left = all(choice in part.get(axis, {choice}) for axis, choice in choices_of(item))
        (kept if is_left else left_out).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def choices_of(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """The choices of the menu that a test is about, by its parameters and its mark `about`."""
    for mark in item.iter_markers("about"):
        yield from mark.kwargs.items()
    for value in getattr(item, "callspec", SimpleNamespace(params={})).params.values():
        yield from choices_in(value).items()


@pytest.fixture(scope="session", autouse=True)
def quick_copier(shared_folder: Path) -> Iterator[None]:
    """Copier in the processes of the tests does nothing twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(COMPILED, str(shared_folder / "compiled"))
        patch.setenv(CLONES, str(shared_folder / "clones"))
        (shared_folder / "clones").mkdir(exist_ok=True)
        hasten(patch.setattr, shared_folder / "clones")
        yield


@pytest.fixture(scope="session", autouse=True)
def objects(shared_folder: Path) -> Iterator[None]:
    """Repositories of this session share what they hold.

    The projects are much the same: each of their files is written once, by `commit_all`, and Git finds it there when
    it is added to the next repository, also to those of an update.
    """
    template = shared_folder / "git"
    store = template / "store"

    def make(folder: Path) -> None:
        store.mkdir(parents=True)
        (folder / "objects" / "info").mkdir(parents=True)
        (folder / "objects" / "info" / "alternates").write_text(f"{store}\n", encoding="utf-8")

    with pytest.MonkeyPatch.context() as patch, local.env(GIT_CONFIG_VALUE_0=str(template / "template")):
        make_once(template / "template", make)
        patch.setenv("GIT_CONFIG_VALUE_0", str(template / "template"))
        yield


def copy_template(destination: Path) -> Path:
    """The files of this checkout that Git knows or would know, without its history."""
    listed = local["git"]["-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]()
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # not a link to a folder, such as the environment of another worktree
            (destination / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, destination / name)
    return destination


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A temporary folder that all workers of this session share."""
    folder = tmp_path_factory.getbasetemp()
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template as a plain folder, which Copier renders in place."""
    return copy_template(tmp_path_factory.mktemp("source"))


def make_once(folder: Path, make: Callable[[Path], object]) -> Path:
    """Make a folder, unless a test has made it in this session, in whichever worker; give it.

    It is to be read and not written to, because other tests read it.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    done = folder.with_name(f"{folder.name}.done")
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            done.touch()
    return folder


def short_hash(answers: dict[str, object]) -> str:
    """A name for what is made of these answers."""
    return hashlib.sha256(json.dumps(answers, sort_keys=True).encode()).hexdigest()[:16]


Render = Callable[..., Path]


@pytest.fixture(scope="session")
def render(source: Path, shared_folder: Path) -> Render:
    """Give the folder that the template is rendered to with these answers; an answer to no question is an error."""

    def render(**answers: object) -> Path:
        assert answers.keys() <= questions().keys(), f"no such question: {answers.keys() - questions().keys()}"
        data = {"name_suffix": SUFFIX} | answers

        def make(folder: Path) -> None:
            copier.run_copy(str(source), folder, data=data, defaults=True, quiet=True, unsafe=True)

        return make_once(shared_folder / "renderings" / short_hash(DEFAULTS | data) / "project", make)

    return render


@pytest.fixture(scope="session", params=combinations(), ids=label)
def project(request: pytest.FixtureRequest, render: Render) -> Path:
    """A rendered project of each combination; read it, do not write to it."""
    return render(**request.param)


@pytest.fixture(scope="session", params=flavours(), ids=label)
def flavour(request: pytest.FixtureRequest, render: Render) -> Path:
    """A rendered project of each project type and mlops version; read it, do not write to it."""
    return render(**request.param)


@pytest.fixture(scope="session")
def tools() -> Path:
    """Validators that stand beside this repository on some machines: Terraform provider schema, workflow runner."""
    folder = Path(os.environ.get("MLOPS_TEMPLATE_TOOLS", ROOT.parent / "shared" / "tools"))
    if not folder.is_dir():
        pytest.skip("no validators: set MLOPS_TEMPLATE_TOOLS to their folder")
    return folder


@pytest.fixture(scope="session")
def uv() -> str:
    """The uv that the Makefile uses."""
    found = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".uv" / "bin"))
    assert found, "uv is missing: `make test` installs it"
    return found


def run_uv(uv: str, folder: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess:
    """Run uv in a folder as a user does, not in the environment that runs these tests."""
    env = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONPATH")}
    return subprocess.run([uv, *arguments], cwd=folder, env=env, capture_output=True, text=True, **options)


Run = Callable[..., subprocess.CompletedProcess]


def environment_of(answers: dict[str, Any]) -> dict[str, str]:
    """The answers of the project whose environment a project with these answers runs in; its libraries include theirs.

    `make demo` and test_first_minutes run aml-cli-v2 in an environment of its own. PyTorch is installed once: nlp needs
    all that cv does, and with SDK v1 all that tables do.
    """
    kind, version = answers["project_type"], answers["mlops_version"]
    if kind == "classical" and version != "python-sdk-v1":
        return {"project_type": kind, "mlops_version": {"aml-cli-v2": "python-sdk-v2"}.get(version, version)}
    return {"project_type": "nlp", "mlops_version": "python-sdk-v1"}


EACH_COMMAND = """
import contextlib, io, shlex, sys
from mlops.cli import app

for command in sys.argv[1:]:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            app([*shlex.split(command), "--help"], standalone_mode=False)
    except Exception as error:
        print(f"mlops {command}: {error}")
"""


def refused_commands(project: Path, run_in: Run, commands: set[str]) -> str:
    """Return the commands of `mlops` that its parser refuses; --help comes after the options, so a wrong one fails."""
    result = run_in(project, "-c", EACH_COMMAND, *sorted(commands))
    assert result.returncode == 0, result.stderr
    return result.stdout


def libraries_of(project: Path) -> dict[str, str]:
    """The libraries that a project asks for, as it does, by their names."""
    document = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    return {re.split("[^a-z0-9-]", library)[0]: library for library in document["project"]["dependencies"]}


def add_libraries(project: Path, *others: Path) -> None:
    """Let a project ask for the libraries of others that it does not name, too."""
    own, path = libraries_of(project), project / "pyproject.toml"
    added = {name: library for each in others for name, library in libraries_of(each).items() if name not in own}
    head, start, rest = path.read_text(encoding="utf-8").partition("\ndependencies = [\n")
    lines = [f'    "{library}",\n' for library in added.values()]
    path.write_text("".join([head, start, *lines, rest]), encoding="utf-8")


@pytest.fixture(scope="session")
def python_of(uv: str, render: Render, shared_folder: Path) -> Callable[[Path], Path]:
    """Give the Python that runs a project, in the environment that the projects with such libraries share.

    The projects are not installed into it (an editable install names one folder); their sources are on PYTHONPATH.
    """

    @cache
    def python_of(kind: str, version: str) -> Path:
        environment = ROOT / ".venvs" / (version if kind == "classical" else kind)

        def install(project: Path) -> None:
            environment.parent.mkdir(exist_ok=True)
            # In a copy, because uv writes a lock file.
            shutil.copytree(render(project_type=kind, mlops_version=version), project)
            if kind == "nlp":
                add_libraries(project, render(project_type="nlp", nlp_task="summarization"), render(project_type="cv"))
            command = [uv, "sync", "--quiet", "--no-install-workspace", "--project", str(project)]
            variables = {"UV_PROJECT_ENVIRONMENT": str(environment)} | take_local_wheels(project)
            with FileLock(f"{environment}.lock"):
                subprocess.run(command, check=True, env=os.environ | variables)

        make_once(shared_folder / "locked" / environment.name, install)
        return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    return lambda project: python_of(*environment_of(answers_of(project)).values())


def variables_of(project: Path, python: Path, more: dict[str, str]) -> dict[str, str]:
    """The environment variables of a process that runs a project."""
    path = os.pathsep.join(str(project / folder) for folder in ("mlops/engine/src", "data-science/src"))
    # The projects, which several tests share, stay as they were rendered; a module is compiled once, when needed.
    variables = {"PYTHONPYCACHEPREFIX": str(ROOT / ".venvs" / "compiled"), "PYTHONUTF8": "1"}
    # Each worker of pytest has one core: more threads would wait for each other. `make demo` runs with all of them.
    variables["OMP_NUM_THREADS"] = "1"
    everything = os.environ | {"PYTHONPATH": path, "NO_COLOR": "1", "COLUMNS": "120"} | variables | more
    everything.pop("PYTHONDONTWRITEBYTECODE", None)
    everything["PATH"] = os.pathsep.join([str(python.parent), everything["PATH"]])
    return everything


@pytest.fixture(scope="session")
def run_in(python_of: Callable[[Path], Path]) -> Run:
    """Run a Python module in a project, as a process of its own."""

    def run(
        project: Path, *command: str, timeout: float = 600, cwd: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess:
        python = python_of(project)
        return subprocess.run(
            [str(python), *(command if command[0] == "-c" else ("-m", *command))],
            cwd=cwd or project,
            env=variables_of(project, python, env),
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return run


def greeted(address: Path) -> socket.socket | None:
    """A connection to the process of resident.py that listens on this socket; None if there is none, or it ends."""
    connection = socket.socket(socket.AF_UNIX)
    with suppress(OSError):
        connection.connect(str(address))
        if connection.recv(1):
            return connection
    connection.close()
    return None


def connect(python: Path, address: Path, env: dict[str, str], *kept: Path) -> socket.socket:
    """Connect to the process of resident.py that listens there; start it if there is none, see there for `kept`."""
    address.parent.mkdir(exist_ok=True)
    with FileLock(address.with_suffix(".lock")):
        if connection := greeted(address):
            return connection
        command = [str(python), str(ROOT / "tests" / "resident.py"), str(address), *map(str, kept)]
        # Without the sources of any project, and with what libraries read when they are imported.
        first = {name: value for name, value in env.items() if name != "PYTHONPATH"}
        log = address.with_suffix(".log")
        address.unlink(missing_ok=True)
        with log.open("w") as file:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file}
            process = subprocess.Popen(command, env=first, cwd=address.parent, **streams)
        while not (connection := greeted(address)):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            time.sleep(0.05)
        return connection


@pytest.fixture(scope="session")
def run_with_others(
    python_of: Callable[[Path], Path], shared_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Run]:
    """Run a Python module in a project as `run_in` does, in a process that has the large libraries from the start.

    A local loop takes half of the processor time then.
    """
    with ExitStack() as stack:
        connections: dict[Path, socket.socket] = {}

        def run(
            project: Path, *command: str, timeout: float = 600, cwd: Path | None = None, **env: str
        ) -> subprocess.CompletedProcess:
            python, folder = python_of(project), tmp_path_factory.mktemp("output")
            variables = variables_of(project, python, env)
            address = shared_folder / "residents" / f"{python.parent.parent.name}.socket"
            # A program that is not about how Python starts may do so as a fork, too.
            variables["FORK"] = shlex.join([str(python), "-IS", str(ROOT / "tests" / "fork.py"), str(address)])
            if python not in connections:
                connections[python] = stack.enter_context(connect(python, address, variables))
            files = {"output": folder / "output.txt", "errors": folder / "errors.txt"}
            request = {"command": command, "folder": cwd or project, "env": variables, **files}
            connections[python].sendall(f"{json.dumps(request, default=str)}\n".encode())
            with connections[python].makefile(encoding="utf-8") as answers:
                process = int(answers.readline())
                timer = threading.Timer(timeout, os.kill, (process, signal.SIGKILL))
                timer.start()
                code = int(answers.readline())
                timer.cancel()
            output, errors = (file.read_text(encoding="utf-8") for file in files.values())
            return subprocess.CompletedProcess(command, code, output, errors)

        yield run


def answers_of(project: Path) -> dict[str, Any]:
    """The answers that a project was rendered with."""
    recorded: dict[str, Any] = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    return recorded


def git(folder: Path, *arguments: str, **env: str) -> str:
    """Run git in a folder with an author of its own; give its output."""
    who = ["-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    return local["git"].with_env(**env)("-C", folder, *who, *arguments)


def commit_all(folder: Path, message: str, tag: str | None = None) -> str:
    """Commit everything in a folder, making it a repository first if need be; give the commit."""
    if not (folder / ".git").exists():
        git(folder, "init", "--quiet", "--initial-branch", "main")
    own = folder / ".git" / "objects"
    shared = (own / "info" / "alternates").read_text(encoding="utf-8").splitlines()[0]
    apart = {"GIT_OBJECT_DIRECTORY": shared, "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(own)}
    git(folder, "add", "--all", **apart)
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message, **apart)
    if tag:
        git(folder, "tag", tag)
    return git(folder, "rev-parse", "HEAD").strip()
