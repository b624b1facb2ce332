"""Copier as the tests run it: it does the same in a fraction of the time.

`python quick_copier.py update ...` is `copier update ...`. A few tests run Copier as a user does, which is slower:
those of test_update.py in which an owner moved folders or an update is interrupted while it writes files, and those of
bad input.
"""

import contextvars
import copy
import json
import marshal
import os
import pickle
import re
import runpy
import subprocess
import sys
import tempfile
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from hashlib import sha1, sha256
from pathlib import Path
from threading import get_ident
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import copier._main
import copier._subproject
import copier._template
import copier._tools
import copier._vcs
import jinja2
import yaml
from copier._jinja_ext import get_yield_context
from plumbum import local

vars(yaml)["SafeLoader"] = yaml.CSafeLoader  # the same documents, in a tenth of the time

Patch = Callable[[Any, str, Any], None]
# What the code that Jinja compiles depends on, besides its source.
SYNTAX = (
    "block_start_string",
    "block_end_string",
    "variable_start_string",
    "variable_end_string",
    "comment_start_string",
    "comment_end_string",
    "line_statement_prefix",
    "line_comment_prefix",
    "trim_blocks",
    "lstrip_blocks",
    "newline_sequence",
    "keep_trailing_newline",
    "optimized",
    "autoescape",
    "is_async",
)
COMPILED = "COMPILED_TEMPLATES"
"""The variable that names the folder for compiled templates to the processes that tests start."""

CLONES = "CLONES_OF_TEMPLATES"
"""The same for clones."""


def hasten(patch: Patch, folder: Path) -> None:
    """Let Copier do nothing twice in this process; the folder is for clones of templates."""
    folder = folder.resolve()
    # Copier 9.19 starts git once per written file; a fresh temporary folder has no index to ask.
    patch(copier._main, "is_git_available", lambda: False)
    compile_once(patch)
    leave_plain_names(patch)
    clone_once(patch, folder)
    ask_once(patch, folder)
    know_repositories(patch)
    patch(copier._main, "get_git", lambda *folder: Git(copier._vcs.get_git(*folder)))
    render_once(patch, folder)
    read_once(patch)
    patch(copier._main, "subprocess", SimpleNamespace(run=run_task))


def kept(file: Path, make: Callable[[], Any], form: Any = pickle) -> Any:
    """What a file keeps for all processes; it is made if there is none yet."""
    if file.exists():
        return form.loads(file.read_bytes())
    made = make()
    file.parent.mkdir(exist_ok=True)
    part = file.with_suffix(f".{os.getpid()}-{get_ident()}")
    part.write_bytes(form.dumps(made))
    part.replace(file)  # several processes and threads may make it
    return made


def compile_once(patch: Patch) -> None:
    """Each rendering compiles the same few hundred names and files, which takes two fifths of its time."""
    compiled: dict[tuple, Any] = {}
    original = jinja2.Environment.compile

    def compile_new(key: tuple, compile: Callable[[], Any]) -> Any:
        if COMPILED not in os.environ:
            return compile()
        return kept(Path(os.environ[COMPILED], sha256(repr(key).encode()).hexdigest()), compile, marshal)

    def compile(self: jinja2.Environment, source: Any, *names: Any, **options: Any) -> Any:
        if not isinstance(source, str) or options.get("raw"):
            return original(self, source, *names, **options)
        syntax = (getattr(self, name) for name in SYNTAX)
        key = (type(self).__name__, *syntax, *self.extensions, *self.filters, source, *names, *options.items())
        if key not in compiled:
            compiled[key] = compile_new(key, lambda: original(self, source, *names, **options))
        return compiled[key]

    patch(jinja2.Environment, "compile", compile)


def leave_plain_names(patch: Patch) -> None:
    """Copier 9.19 renders each part of each path, and the name of the answers file with each of them.

    That takes half of the time of a rendering, and few names have anything to render.
    """
    worker = copier._main.Worker
    render, answers_file = worker._render_string, vars(worker)["answers_relpath"].fget
    marks: WeakKeyDictionary[jinja2.Environment, re.Pattern[str]] = WeakKeyDictionary()

    def is_plain(self: copier._main.Worker, text: str) -> bool:
        environment = self.jinja_env
        if environment not in marks:
            each = (getattr(environment, name) for name in SYNTAX if name.endswith(("start_string", "prefix")))
            marks[environment] = re.compile("|".join(re.escape(mark) for mark in each if mark))
        context = get_yield_context(environment)  # of the path before
        context.yield_name = context.yield_iterable = None
        return not marks[environment].search(text)

    def render_string(self: copier._main.Worker, string: str, extra_context: dict | None = None) -> str:
        return string if is_plain(self, string) else render(self, string, extra_context)

    def answers_relpath(self: copier._main.Worker) -> Path:
        path = self.answers_file or self.template.answers_relpath
        return Path(path) if is_plain(self, str(path)) else answers_file(self)

    patch(worker, "_render_string", render_string)
    patch(worker, "answers_relpath", property(answers_relpath))


def clone_once(patch: Patch, folder: Path) -> None:
    """Each update clones the template five times, which takes a third of its time; no update writes to a clone."""
    original = copier._template.clone

    def clone(url: str, ref: str = "HEAD", location: str | None = None) -> str:
        if ref == "HEAD":  # with what is not committed
            return original(url, ref, location)
        tag = Path(url, ".git", "refs", "tags", ref)
        asked = None if tag.is_file() else local["git"]("-C", url, "rev-parse", f"{ref}^{{commit}}")
        commit = (asked or tag.read_text(encoding="utf-8")).strip()
        found = folder / f"{sha256(url.encode()).hexdigest()[:16]}-{commit}"
        if not found.exists():
            part = Path(original(url, ref, tempfile.mkdtemp(dir=folder)))
            with suppress(OSError):  # several processes may clone it
                part.rename(found)
        return str(found)

    patch(copier._template, "clone", clone)


def ask_once(patch: Patch, folder: Path) -> None:
    """Each update asks Git thirty times which release a clone is, and nothing changes a clone of `clone_once`."""
    template = copier._template.Template
    known: dict[Path, Any] = {}

    def ask(name: str) -> None:
        original = vars(template)[name].func

        def answer(self: copier._template.Template) -> Any:
            root = self.local_abspath
            if not root.is_relative_to(folder):
                return original(self)
            file = folder / f"{root.name}.{name}"
            if file not in known:
                known[file] = kept(file, lambda: original(self))
            return known[file]

        answered = cached_property(answer)
        answered.__set_name__(template, name)
        patch(template, name, answered)

    for name in ("commit", "commit_hash", "git_index_modes", "version"):
        ask(name)


def know_repositories(patch: Patch) -> None:
    """What Git says of a repository's folders is plain without it in the repositories of the tests.

    They also have no hooks, for which Copier commits twice.
    """

    def has_git(path: Any) -> bool:
        return Path(path, ".git", "HEAD").is_file()

    def is_root(path: Any, ask: Callable[[Any], bool] = copier._vcs.is_git_repo_root) -> bool:
        return has_git(path) or ask(path)

    def is_in(path: Any, ask: Callable[[Any], bool] = copier._vcs.is_in_git_repo) -> bool:
        return has_git(path) or ask(path)

    def objects_of(path: Path, ask: Callable[[Path], Path] = copier._tools.get_git_objects_dir) -> Path:
        return (path / ".git" / "objects").absolute() if has_git(path) else ask(path)

    def commit(self: copier._main.Worker, message: str = "all") -> None:
        git = copier._main.get_git()
        git("commit", "--quiet", "--allow-empty", "-am", message, "--no-gpg-sign", "--no-verify")

    patch(copier._vcs, "is_git_repo_root", is_root)
    patch(copier._subproject, "is_in_git_repo", is_in)
    patch(copier._tools, "get_git_objects_dir", objects_of)
    patch(copier._main.Worker, "_git_commit", commit)


class Git:
    """Git for Copier, which starts it four times for each file in conflict; of these, the merge alone is left."""

    def __init__(self, command: Any) -> None:
        self.command, self.restored = command, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.command, name)

    def __getitem__(self, words: Any) -> Any:
        return self.command[words]

    def __call__(self, *words: Any, **options: Any) -> Any:
        """Run a command in the working folder, or what stands for it."""
        if "checkout" in words:
            if self.restored:
                return ""
            self.restored = True
            words = (*words[:-1], *(str(path)[: -len(".rej")] for path in Path().rglob("*.rej")))
        elif words[:2] == ("hash-object", "-w") and words[-1].is_file() and Path(".git", "objects").is_dir():
            return write_blob(Path(words[-1]).read_bytes())
        return self.command(*words, **options)


def write_blob(content: bytes) -> str:
    """Write an object of Git, and give its name."""
    blob = b"blob %d\0" % len(content) + content
    name = sha1(blob).hexdigest()
    file = Path(".git", "objects", name[:2], name[2:])
    file.parent.mkdir(exist_ok=True)
    if not file.exists():
        file.write_bytes(zlib.compress(blob, 0))
    return name


def render_once(patch: Patch, folder: Path) -> None:
    """An update renders each release twice with the same answers, and the tests update many projects with the same.

    What Copier would write is kept, but for the answers file, which names the template, too; whether it may write it,
    it decides each time.
    """
    worker = copier._main.Worker
    calls: list[list[tuple]] = []
    originals = {name: getattr(worker, name) for name in ("_render_template", "_render_file", "_render_allowed")}
    allowed = originals["_render_allowed"]

    def render_template(self: copier._main.Worker) -> None:
        original = originals["_render_template"]
        if not self.template_copy_root.is_relative_to(folder):  # no clone of `clone_once`: it may change
            return original(self)
        answers = {name: answer for name, answer in self.answers.combined.items() if name[0] != "_"}
        exclusions = tuple(dict.fromkeys(self.all_exclusions))  # in an update, some are there twice
        operation = copier._main._operation.get() if "_copier_operation" in "".join(exclusions) else ""
        parts = [self.template.commit_hash, self.answers_relpath, exclusions, operation, answers]
        key = sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
        file = folder / f"{key}.rendered"
        if file.exists():
            for name, arguments, options in pickle.loads(file.read_bytes()):
                write(self, *arguments, **options) if name == "_render_allowed" else originals[name](self, *arguments)
            return None
        calls.append([])
        try:
            original(self)
        finally:
            made = calls.pop()
        kept(file, lambda: made)
        return None

    def render_file(self: copier._main.Worker, source: Path, path: Path, **options: Any) -> None:
        if calls and path == self.answers_relpath:
            calls[-1].append(("_render_file", (source, path), {}))
        originals["_render_file"](self, source, path, **options)

    def render_allowed(self: copier._main.Worker, path: Path, **options: Any) -> bool:
        if calls and path != self.answers_relpath:
            calls[-1].append(("_render_allowed", (path,), options))
        return bool(allowed(self, path, **options))

    def write(self: copier._main.Worker, path: Path, **options: Any) -> None:
        content, mode = options.get("expected_contents", b""), options.get("expected_mode")
        if not allowed(self, path, **options) or self.pretend:
            return
        target = self.subproject.local_abspath / path
        if options.get("is_dir"):
            target.mkdir(parents=True, exist_ok=True)
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink() or isinstance(content, Path):
            target.unlink(missing_ok=True)
        if isinstance(content, Path):
            target.symlink_to(content)
            return
        target.write_bytes(content)
        if mode is not None and target.stat().st_mode != mode:
            target.chmod(mode)

    patch(worker, "_render_template", render_template)
    patch(worker, "_render_file", render_file)
    patch(worker, "_render_allowed", render_allowed)


def read_once(patch: Patch) -> None:
    """Each rendering reads `copier.yml`, for a quarter of a second."""
    configs: dict[bytes, dict[str, Any]] = {}
    original = copier._template.load_template_config

    def load_template_config(conf_path: Path, quiet: bool = False) -> dict[str, Any]:
        text = conf_path.read_bytes()
        if b"!include" in text:
            return original(conf_path, quiet)
        if text not in configs:
            configs[text] = original(conf_path, quiet)
        return copy.deepcopy(configs[text])

    patch(copier._template, "load_template_config", load_template_config)


def run_task(command: list[str] | str, *, shell: bool, check: bool, env: dict[str, str]) -> subprocess.CompletedProcess:
    """Run a task of the template; a Python script, such as a migration, in this process, which has Copier already."""
    if isinstance(command, str) or command[0] != sys.executable:
        return subprocess.run(command, shell=shell, check=check, env=env)
    with as_a_script(command[1:], env):
        # In a context of its own: Copier keeps there what it is doing.
        code = contextvars.Context().run(exit_code, command[1])
    return subprocess.CompletedProcess(command, code)


def exit_code(script: str) -> int:
    """Run a Python script; what `sys.exit` says goes to standard error."""
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except Exception:
        traceback.print_exc()
        return 1
    return 0


@contextmanager
def as_a_script(words: list[str], env: dict[str, str]) -> Iterator[None]:
    """Have the arguments, variables and modules of a Python script, and put back those of before."""
    folder, variables, argv, path = Path(words[0]).parent, dict(os.environ), sys.argv, sys.path[:]
    beside = {file.stem for file in folder.glob("*.py")}
    modules = {name: sys.modules.pop(name) for name in beside & sys.modules.keys()}
    try:
        os.environ.clear()
        os.environ.update(env)
        sys.argv, sys.path[:0] = words, [str(folder)]
        with warnings.catch_warnings():
            yield
    finally:
        os.environ.clear()
        os.environ.update(variables)
        sys.argv, sys.path[:] = argv, path
        for name in beside & sys.modules.keys():
            del sys.modules[name]
        sys.modules.update(modules)


if __name__ == "__main__":
    local.env.update(os.environ)  # a copy of the environment, perhaps made before a fork of this process
    with tempfile.TemporaryDirectory() as clones:
        hasten(setattr, Path(os.environ.get(CLONES, clones)))
        from copier.__main__ import CopierApp

        try:
            CopierApp.run()
        except Exception as error:  # as Python does at its end, which a fork does not reach
            sys.excepthook(type(error), error, error.__traceback__)
            sys.exit(1)
