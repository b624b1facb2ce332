"""Runs of a project's own GitHub workflows: what is decided between jobs and steps is read from their files.

A run knows which job comes next, with its inputs, condition, environment and concurrency group; who drives it carries
the steps out, and says how the job ended. Its expressions are those that the workflows use; `tests/test_workflows.py`
runs the same files by GitHub's own engine. Sources, on docs.github.com/actions:
concepts/workflows-and-actions/concurrency and, below reference/workflows-and-actions, expressions, contexts and
workflow-syntax.
"""

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from scripts import TOOLS, Mlops, Step, told

Context = Mapping[str, Any]
TOKEN = re.compile(r"\s*(?:('(?:[^']|'')*')|([\w.-]+)|(&&|\|\||==|!=|[>!(),]))")
VARIABLES = {
    "AZURE_CLIENT_ID": "client",
    "AZURE_TENANT_ID": "tenant",
    "AZURE_SUBSCRIPTION_ID": "subscription",
    "TEMPLATE_APP_CLIENT_ID": "app",
}


class Expression:
    """An expression, as `evaluate` reads it: from left to right, one token at a time."""

    def __init__(self, text: str, context: Context, functions: Mapping[str, Callable[..., Any]]) -> None:
        """Cut the text into tokens."""
        self._tokens = ["".join(found) for found in TOKEN.findall(text)]
        left = TOKEN.sub("", text).strip()
        if left:
            raise NotImplementedError(f"{left!r} in the expression {text!r}")
        self._context, self._functions = context, functions

    def value(self) -> Any:
        """Return what it comes to."""
        found = self._either()
        if self._tokens:
            raise NotImplementedError(f"{self._tokens} at the end of an expression")
        return found

    def _next(self, *tokens: str) -> str:
        return self._tokens.pop(0) if self._tokens and self._tokens[0] in tokens else ""

    def _either(self) -> Any:
        found = self._both()
        while self._next("||"):
            other = self._both()
            found = found if found or found not in FALSE else other
        return found

    def _both(self) -> Any:
        found = self._equal()
        while self._next("&&"):
            other = self._equal()
            found = other if found not in FALSE else found
        return found

    def _equal(self) -> Any:
        found = self._unary()
        while sign := self._next("==", "!=", ">"):
            pair = comparable(found), comparable(self._unary())
            found = pair[0] > pair[1] if sign == ">" else (pair[0] == pair[1]) == (sign == "==")
        return found

    def _unary(self) -> Any:
        if self._next("!"):
            return self._unary() in FALSE
        if self._next("("):
            found = self._either()
            assert self._next(")")
            return found
        token = self._tokens.pop(0)
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if self._next("("):
            arguments = []
            while not self._next(")"):
                arguments.append(self._either())
                self._next(",")
            return self._functions[token](*arguments)
        if token in ("true", "false"):
            return token == "true"
        if token.isdigit():
            return int(token)
        found: Any = self._context
        for name in token.split("."):
            found = found.get(name, "") if isinstance(found, Mapping) else ""
        return found


FALSE = ("", False, 0, None)


def comparable(value: Any) -> Any:
    """Return what a value is compared by: text without regard to case, anything beside text as a number."""
    return value.lower() if isinstance(value, str) and value else float(value or 0)


def text_of(value: Any) -> str:
    """Return a value as text."""
    return str(value).lower() if isinstance(value, bool) else str("" if value is None else value)


@dataclass
class State:
    """How a job or its steps are going."""

    ok: bool = True
    cancelled: bool = False


class Scope:
    """Where expressions are evaluated: with these contexts, and this state."""

    def __init__(self, context: Context, state: State, folder: Path) -> None:
        """Keep what expressions refer to."""
        self.context, self._folder = context, folder
        self._functions: dict[str, Callable[..., Any]] = {
            "success": lambda: state.ok and not state.cancelled,
            "failure": lambda: not state.ok and not state.cancelled,
            "cancelled": lambda: state.cancelled,
            "always": lambda: True,
            "format": lambda text, *values: re.sub(r"\{(\d+)\}", lambda found: text_of(values[int(found[1])]), text),
            "hashFiles": lambda pattern: "hash" * any(folder.glob(pattern)),
        }

    def with_(self, **more: Any) -> Context:
        """Return the contexts, and more."""
        return {**self.context, **more}

    def evaluate(self, text: str) -> Any:
        """Return what an expression comes to."""
        return Expression(text, self.context, self._functions).value()

    def fill(self, value: Any) -> Any:
        """Return a value of a file with its expressions evaluated; one that is nothing else keeps its type."""
        if isinstance(value, dict):
            return {key: self.fill(each) for key, each in value.items()}
        if not isinstance(value, str):
            return value
        if whole := re.fullmatch(r"\s*\$\{\{((?:(?!\}\}).)*)\}\}\s*", value, re.S):
            return self.evaluate(whole[1])
        return re.sub(r"\$\{\{(.*?)\}\}", lambda found: text_of(self.evaluate(found[1])), value, flags=re.S)

    def holds(self, condition: Any) -> bool:
        """Return whether a condition holds; without one of the status functions it needs a success before."""
        text = re.sub(r"^\s*\$\{\{(.*)\}\}\s*$", r"\1", text_of("true" if condition is None else condition), flags=re.S)
        if not re.search(r"\b(success|failure|always|cancelled)\(", text):
            text = f"success() && ({text})"
        return self.evaluate(text) not in FALSE


@dataclass(frozen=True)
class Ended:
    """How a job, or a called workflow, has ended, and what it hands on."""

    result: str
    outputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """A job that comes next: its place in the run, its content, and the contexts around it."""

    place: str
    content: Mapping[str, Any]
    context: Context

    def filled(self, key: str) -> Any:
        """Return a part of it, evaluated."""
        return Scope(self.context, State(), Path()).fill(self.content.get(key))

    @property
    def environment(self) -> str:
        """The GitHub environment, whose identity it has and whose reviewers approve it."""
        return text_of(self.filled("environment"))

    @property
    def group(self) -> str:
        """What no other job of the same group runs beside."""
        concurrency = self.filled("concurrency")
        if concurrency["cancel-in-progress"]:
            raise NotImplementedError("a job that cancels another one")
        return str(concurrency["group"])

    @property
    def variables(self) -> dict[str, str]:
        """The variables of all its steps."""
        return {key: text_of(value) for key, value in (self.filled("env") or {}).items()}


@dataclass
class Run:
    """A run of a workflow; `ended` has the jobs that have ended."""

    files: Mapping[str, str]
    file: str
    event: str
    inputs: Mapping[str, Any] = field(default_factory=dict)
    attempt: int = 1
    cancelled: bool = False
    ended: dict[str, Ended] = field(default_factory=dict)
    number: int = 0
    commit: tuple[int, ...] = ()

    @property
    def _workflow(self) -> str:
        return f"{self.file}.yml"

    def next(self) -> Job | None:
        """Return the job that comes next, None at the end of the run."""
        declared = self._document(self._workflow)[True]
        asked = (
            (declared.get("workflow_dispatch") or {}).get("inputs") or {} if self.event == "workflow_dispatch" else {}
        )
        found = self._walk(self._workflow, self._with_defaults(asked, self.inputs), "")
        return found if isinstance(found, Job) else None

    def end(self, job: Job, ended: Ended) -> None:
        """Note how a job ended."""
        self.ended[job.place] = ended

    def end_as(self, job: Job, *, ok: bool) -> None:
        """Note how a job ended that is not carried out here; it hands nothing on."""
        self.end(job, Ended("success" if ok else "failure"))

    def run_failed_jobs_again(self) -> None:
        """Forget the jobs that did not succeed, as the button does: those that did are not run again."""
        self.ended = {place: ended for place, ended in self.ended.items() if ended.result == "success"}
        self.attempt, self.cancelled = self.attempt + 1, False

    def run_all_jobs_again(self) -> None:
        """Forget all jobs, as the other button does."""
        self.ended = {}
        self.attempt, self.cancelled = self.attempt + 1, False

    def run_job_again(self, place: str) -> None:
        """Forget one job, as its own button does, also after a success."""
        self.ended.pop(place, None)
        self.attempt, self.cancelled = self.attempt + 1, False

    def _document(self, name: str) -> Any:
        return document(self.files[f"workflows/{name}"])

    def _with_defaults(self, declared: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
        assert given.keys() <= declared.keys(), f"{self._workflow} has no input {given.keys() - declared.keys()}"
        missing = [key for key, each in declared.items() if each.get("required") and key not in given]
        assert not missing, f"{self._workflow} needs {missing}"
        return {**{key: each.get("default", "") for key, each in declared.items()}, **given}

    def _walk(self, name: str, inputs: Mapping[str, Any], prefix: str, *, chain: bool = True) -> Job | Ended:
        """Return the next job of a workflow, or how the workflow ended.

        What has no status function in its condition needs a success of all jobs before it, those before the workflow
        that calls this one (`chain`) among them: GitHub counts one that was skipped as none (actions/runner#2205).
        """
        content, results, fine = self._document(name), dict[str, Ended](), dict[str, bool]()
        github = {"event_name": self.event, "run_attempt": self.attempt, "token": "token", "event": {}}
        for key, job in in_order(content["jobs"]):
            before = {each: results[each] for each in needs(job)}
            shown = {each: {"result": end.result, "outputs": end.outputs} for each, end in before.items()}
            fine[key] = all(end.result == "success" and fine[each] for each, end in before.items())
            fine[key] = fine[key] and (chain or not before)
            state = State(fine[key], self.cancelled)
            context = {"github": github, "inputs": inputs, "vars": VARIABLES, "needs": shown}
            scope = Scope(context, state, Path())
            if prefix + key in self.ended:
                results[key] = self.ended[prefix + key]
            elif not scope.holds(job.get("if")):
                results[key] = Ended("skipped")
            elif "uses" not in job:
                return Job(prefix + key, job, context)
            else:
                called = job["uses"].rpartition("/")[2]
                declared = self._document(called)[True]["workflow_call"].get("inputs") or {}
                given = self._with_defaults(declared, scope.fill(job.get("with") or {}))
                found = self._walk(called, given, f"{prefix}{key}/", chain=fine[key])
                if isinstance(found, Job):
                    return found
                results[key] = found
        return Ended(self._result(results), self._outputs(content, results))

    def _result(self, results: Mapping[str, Ended]) -> str:
        ends = [end.result for end in results.values()]
        return next((each for each in ("failure", "cancelled") if each in ends), "success")

    def _outputs(self, content: Any, results: Mapping[str, Ended]) -> dict[str, str]:
        jobs = {key: {"outputs": end.outputs} for key, end in results.items()}
        declared = (content[True].get("workflow_call") or {}).get("outputs") or {}
        scope = Scope({"jobs": jobs}, State(), Path())
        return {key: text_of(scope.fill(each["value"])) for key, each in declared.items()}


def needs(job: Mapping[str, Any]) -> list[str]:
    """Return the jobs that a job waits for."""
    found = job.get("needs", [])
    return [found] if isinstance(found, str) else list(found)


def in_order(jobs: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each job of a workflow after those that it needs, wherever they stand in the file."""
    left = dict(jobs)
    while left:
        key = next(name for name, job in left.items() if not set(needs(job)) & set(left))
        yield key, left.pop(key)


LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@functools.lru_cache(100)
def document(text: str) -> Any:
    """Return what a file says."""
    return yaml.load(text, LOADER)


class Machine:
    """Carries the steps of a job out: each `uv run mlops ...`, `git ...` and `gh ...` of its scripts, and no more."""

    def __init__(
        self, run: Run, job: Job, folder: Path, mlops: Mlops, variables: Mapping[str, str] | None = None
    ) -> None:
        """Take a job; nothing runs yet. `variables` has what `git` and `gh` know, see `scripts.TOOLS`."""
        self._run, self._job, self._folder, self._mlops = run, job, folder, mlops
        self._variables = variables or {}
        self._state = State()
        self._lost = False

    def work(self) -> Ended:
        """Run all steps, and say how the job ended."""
        context = {**self._job.context, "env": self._job.variables}
        steps = self._steps(self._job.content["steps"], context)
        if self._lost:
            return Ended("failure")
        self._run.cancelled = self._run.cancelled or self._state.cancelled
        scope = Scope({**context, "steps": steps}, self._state, self._folder)
        outputs = {key: text_of(scope.fill(value)) for key, value in (self._job.content.get("outputs") or {}).items()}
        return Ended("cancelled" if self._state.cancelled else "success" if self._state.ok else "failure", outputs)

    def cancel(self) -> None:
        """A person cancels the run in the midst of a step."""
        self._state.cancelled = True

    def _steps(self, steps: list[Any], context: Context) -> dict[str, Any]:
        done: dict[str, Any] = {}
        for number, step in enumerate(steps):
            if self._lost:
                break
            scope = Scope({**context, "steps": done}, self._state, self._folder)
            name = step.get("id", f"step {number}")
            if not scope.holds(step.get("if")):
                done[name] = {"outcome": "skipped", "outputs": {}}
                continue
            ended = self._step(step, scope)
            if ended.code is None:
                self._lost = True
            elif ended.code:
                self._state.ok = False
            done[name] = {"outcome": "failure" if ended.code else "success", "outputs": ended.outputs}
        return done

    def _step(self, step: Mapping[str, Any], scope: Scope) -> Step:
        if uses := step.get("uses"):
            given = {key: text_of(value) for key, value in scope.fill(step.get("with") or {}).items()}
            return self._action(uses.partition("@")[0], given, scope)
        own = {key: text_of(value) for key, value in scope.fill(step.get("env") or {}).items()}
        outputs: dict[str, str] = {}
        for words in told(scope.fill(step["run"]), {**scope.context["env"], **own, **self._variables}, TOOLS):
            if isinstance(words, str):
                continue
            ended = self._mlops(words)
            outputs |= ended.outputs
            if ended.code != 0:
                return Step(ended.code, outputs)
        return Step(0, outputs)

    def _action(self, name: str, given: Mapping[str, str], scope: Scope) -> Step:
        if not name.startswith("$/"):
            missing = [key for key in ("client-id", "tenant-id", "subscription-id") if not given.get(key)]
            return Step(int(name == "azure/login" and bool(missing)))
        action = document(self._run.files[f"{name.removeprefix('$/.github/')}/action.yml"])
        declared = action["inputs"]
        assert given.keys() <= declared.keys(), f"{name} has no input {given.keys() - declared.keys()}"
        inputs = {**{key: each.get("default", "") for key, each in declared.items()}, **given}
        was_ok = self._state.ok
        context = scope.with_(inputs=inputs, env={})
        steps = self._steps(action["runs"]["steps"], context)
        inner = Scope({**context, "steps": steps}, self._state, self._folder)
        outputs = {key: text_of(inner.fill(each["value"])) for key, each in (action.get("outputs") or {}).items()}
        return Step(None if self._lost else int(was_ok and not self._state.ok), outputs)


def files_of(project: Path) -> dict[str, str]:
    """Return the texts of a project's workflows and actions."""
    root = project / ".github"
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in root.rglob("*.yml")}
