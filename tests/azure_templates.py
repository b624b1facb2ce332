"""Templates of Azure Pipelines, expanded as Azure DevOps does before a run, as far as a rendered project uses them."""

import json
import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "boolean": bool,
    "object": (dict, list, str, int, float, bool),
    "stepList": list,
}


class PipelineError(Exception):
    """A pipeline that Azure DevOps refuses, or that does not mean what it says."""


# Expressions.

TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(-?\d+(?:\.\d+)?)(?![\w.])|([A-Za-z_]\w*)|([().,\[\]]))")


@cache
def tokens(text: str) -> list[tuple[str, str]]:
    """The tokens of an expression: string, number, name, sign."""
    found, at = [], 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if not match:
            raise PipelineError(f"unexpected {text[at:][:10]!r} in the expression {text!r}")
        kind = ("string", "number", "name", "sign")[next(i for i in range(4) if match[i + 1] is not None)]
        found.append((kind, match[match.lastindex or 1]))
        at = match.end()
    return [*found, ("end", "")]


class Expression:
    """An expression, evaluated while it is read; functions that ask for results come with the contexts."""

    def __init__(self, text: str, contexts: Mapping[str, Any]) -> None:
        self.text, self.contexts, self.tokens, self.at = text, contexts, tokens(text), 0

    def value(self) -> Any:
        found = self.operand()
        if self.tokens[self.at][0] != "end":
            raise PipelineError(f"unexpected {self.tokens[self.at][1]!r} in the expression {self.text!r}")
        return found

    def next(self, sign: str = "") -> tuple[str, str]:
        token = self.tokens[self.at]
        if sign and token != ("sign", sign):
            raise PipelineError(f"expected {sign!r}, not {token[1]!r}, in the expression {self.text!r}")
        self.at += 1
        return token

    def operand(self) -> Any:
        kind, text = self.next()
        if kind == "string":
            found: Any = text.replace("''", "'")
        elif kind == "number":
            found = float(text) if "." in text else int(text)
        elif kind == "name" and self.tokens[self.at] == ("sign", "("):
            found = self.call(text)
        elif kind == "name" and text.lower() in ("true", "false"):
            found = text.lower() == "true"
        elif kind == "name":
            if text not in self.contexts:
                raise PipelineError(f"{text} is not known here: {self.text!r}")
            found = self.contexts[text]
        else:
            raise PipelineError(f"unexpected {text!r} in the expression {self.text!r}")
        while self.tokens[self.at] in (("sign", "."), ("sign", "[")):
            if self.next()[1] == ".":
                found = member(found, self.next()[1], self.text)
            else:
                found = member(found, self.operand(), self.text)
                self.next("]")
        return found

    def call(self, name: str) -> Any:
        self.next("(")
        values: list[Any] = []
        while self.tokens[self.at] != ("sign", ")"):
            if values:
                self.next(",")
            values.append(self.operand())
        self.next(")")
        function = FUNCTIONS.get(name) or self.contexts.get(f"{name}()")
        if function is None:
            raise PipelineError(f"there is no function {name} here: {self.text!r}")
        return function(*values)


class Known(dict):
    """A mapping without silence: a name that it does not have is an error."""

    def __init__(self, what: str, *values: Any) -> None:
        super().__init__(*values)
        self.what = what

    def __missing__(self, key: str) -> Any:
        raise PipelineError(f"{self.what} {key!r} is not known; there are {sorted(self)}")


def member(holder: Any, key: Any, text: str) -> Any:
    if holder is None:
        raise PipelineError(f"{key!r} of nothing in the expression {text!r}")
    return holder[key] if isinstance(holder, Known | list) else holder.get(key)


def truth(value: Any) -> bool:
    """What a value is as a boolean: of texts, the empty one alone is false."""
    return bool(value)


def as_text(value: Any) -> str:
    return "" if value is None else str(value)  # a boolean is True or False


def equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool):
        return left == truth(right)
    return as_text(left).lower() == as_text(right).lower()


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: all(map(truth, values)),
    "or": lambda *values: any(map(truth, values)),
    "not": lambda value: not truth(value),
    "eq": equal,
    "ne": lambda left, right: not equal(left, right),
    "in": lambda value, *others: any(equal(value, other) for other in others),
    "containsValue": lambda values, value: any(equal(each, value) for each in values),
    "join": lambda separator, values: separator.join(map(as_text, values)),
    "split": lambda text, separator: as_text(text).split(separator),
    "convertToJson": lambda value: json.dumps(value, indent=2),
}


# Templates.

WHOLE = re.compile(r"\$\{\{((?:(?!\}\}).)*)\}\}", re.DOTALL)
DIRECTIVE = re.compile(r"\s*(if|elseif|else|insert)\b(.*)", re.DOTALL)


@dataclass(frozen=True)
class Scope:
    """Where a part of a pipeline stands: its file, and what its template expressions can name."""

    file: Path
    contexts: Mapping[str, Any]


ALL_ENVIRONMENTS = "dev test prod"

READING: list[dict[str, str | None]] = []
"""The texts of the files that are read for what will be known; of a file that is not there, nothing."""


def text_of(file: Path) -> str | None:
    """The text of a file, and nothing without one; what is made of it is known while that stays."""
    text = file.read_text(encoding="utf-8") if file.is_file() else None
    for read in READING:
        read[str(file)] = text
    return text


@dataclass(frozen=True)
class Knowledge:
    """What was made of files that name others: projects in many folders have the same ones."""

    found: dict[str, list[tuple[dict[str, str | None], bytes]]] = field(default_factory=dict)

    def recall(self, file: Path, key: str) -> Any:
        """What was made of a file; nothing if that, or a file that it names, is another one than before."""
        folder = str(file.parent)
        for texts, result in self.found.get(f"{file.name} {key}", []):
            if all(text_of(Path(folder + name)) == text for name, text in texts.items()):
                return pickle.loads(result)
        return None

    def of(self, file: Path, key: str, make: Callable[[], Any]) -> Any:
        """What is made of a file; it is made if there is nothing to recall."""
        if (recalled := self.recall(file, key)) is not None:
            return recalled
        READING.append({})
        try:
            made = make()
        finally:
            read = READING.pop()
        texts = {name.removeprefix(str(file.parent)): text for name, text in read.items()}
        known = self.found.setdefault(f"{file.name} {key}", [])
        known[4:] = [(texts, pickle.dumps(made))]  # those of the usual projects, and of the newest one
        return made


EXPANDED = Knowledge()


def expanded(
    file: Path,
    given: Mapping[str, Any] | None = None,
    reason: str = "Manual",
    pool: str = "",
    environments: str = ALL_ENVIRONMENTS,
    building: str = "",
) -> dict[str, Any]:
    """A pipeline as Azure DevOps runs it, with values for its parameters and without templates and their expressions.

    Args:
        file: The pipeline.
        given: Values of parameters; the others have their defaults.
        reason: Why it runs: one of the values of REASONS.
        pool: The variable of that name, for a private network.
        building: The variable `provision_pool`, for a firewall around Terraform's state.
        environments: The variable of that name, once a model may go everywhere; empty for what the project has.
    """
    fixed = {"pool": pool, "environments": environments, "provision_pool": building}
    key = repr((sorted((given or {}).items()), reason, fixed))
    found: dict[str, Any] = EXPANDED.of(file, key, lambda: expand_pipeline(file, given or {}, reason, fixed))
    return found


def expand_pipeline(file: Path, given: Mapping[str, Any], reason: str, fixed: Mapping[str, str]) -> dict[str, Any]:
    document = dict(load(file))
    variables = Known("variable", {"Build.Reason": reason})
    parameters = filled(document.pop("parameters", []), given, file.name)
    scope = Scope(file, {"parameters": parameters, "variables": variables})
    document["variables"] = expand(document.get("variables", []), scope, "variables")
    for variable in document["variables"]:
        if variable.keys() != {"name", "value"}:
            raise PipelineError(f"variables: {variable}: a variable has a name and a value, and comes from no group")
        variable["value"] = fixed.get(variable["name"]) or variable["value"]
        variables[variable["name"]] = variable["value"]
    found: dict[str, Any] = expand(document, scope)
    return found


def load(file: Path) -> dict[str, Any]:
    text = text_of(file)
    if text is None:
        raise PipelineError(f"there is no template {file.name}")
    return parsed(text)


@cache
def parsed(text: str) -> dict[str, Any]:
    """A file, which nothing changes afterwards."""
    document: dict[str, Any] = yaml.load(text, Loader=yaml.CSafeLoader)
    return document


def filled(declared: list[dict[str, Any]], given: Mapping[str, Any], name: str) -> Known:
    """The parameters of a file with their values."""
    known = {each["name"]: each for each in declared}
    if unknown := given.keys() - known.keys():
        raise PipelineError(f"{name} has no parameter {sorted(unknown)[0]}")
    values = Known(f"{name}: parameter")
    for key, each in known.items():
        if key not in given and "default" not in each:
            raise PipelineError(f"{name} needs the parameter {key}")
        value = given.get(key, each.get("default"))
        if not isinstance(value, TYPES[each["type"]]):
            raise PipelineError(f"{name}: {key} is of the type {each['type']}, and {value!r} is not")
        if "values" in each and value not in each["values"]:
            raise PipelineError(f"{name}: {key} is one of {each['values']}, not {value!r}")
        values[key] = value
    return values


def expand(node: Any, scope: Scope, kind: str = "") -> Any:
    if isinstance(node, dict):
        return {
            str(interpolated(key, scope)): expand(value, scope, key) for key, value in chosen(list(node.items()), scope)
        }
    if isinstance(node, list):
        return list(elements(node, scope, kind))
    return interpolated(node, scope)


def elements(items: list[Any], scope: Scope, kind: str) -> Iterator[Any]:
    """The elements of a list: those of templates and of lists in expressions stand for themselves."""
    pairs = [next(iter(item.items())) if directive(item) else (None, item) for item in items]
    for key, item in chosen(pairs, scope):
        if key is not None:
            raise PipelineError(f"{scope.file.name}: {key} stands for elements of a list")
        if isinstance(item, dict) and "template" in item:
            yield from template(item, scope, kind)
        else:
            value = expand(item, scope)
            yield from value if isinstance(value, list) and isinstance(item, str) else [value]


def directive(item: Any) -> re.Match[str] | None:
    if not isinstance(item, dict) or len(item) != 1 or "${{" not in next(iter(item)):
        return None
    whole = WHOLE.fullmatch(next(iter(item)))
    return DIRECTIVE.fullmatch(whole[1]) if whole else None


def chosen(pairs: list[tuple[Any, Any]], scope: Scope) -> Iterator[tuple[Any, Any]]:
    """The pairs that the conditions among them leave; those below a condition that is true stand in its place."""
    done: bool | None = None
    for key, value in pairs:
        found = directive({key: value}) if isinstance(key, str) else None
        if not found:
            done = None
            yield key, value
            continue
        word, condition = found[1], found[2]
        if word == "insert":
            yield from evaluated(WHOLE.fullmatch(value)[1], scope).items()  # type: ignore[index]
            continue
        if word != "if" and done is None:
            raise PipelineError(f"{scope.file.name}: {word} without an if before it")
        taken = not (done and word != "if") and (word == "else" or truth(evaluated(condition, scope)))
        done = None if word == "else" else taken or (word == "elseif" and bool(done))
        if taken and isinstance(value, dict):
            yield from chosen(list(value.items()), scope)
        elif taken:
            yield from chosen([next(iter(each.items())) if directive(each) else (None, each) for each in value], scope)


def template(item: dict[str, Any], scope: Scope, kind: str) -> Iterator[Any]:
    """The elements that a template stands for."""
    file = scope.file.parent / interpolated(item["template"], scope)
    document = load(file)
    given = expand(item.get("parameters") or {}, scope)
    if kind not in document:
        raise PipelineError(f"{file.name} has no {kind}")
    parameters = filled(document.get("parameters", []), given, file.name)
    yield from expand(document[kind], Scope(file, {**scope.contexts, "parameters": parameters}), kind)


def interpolated(value: Any, scope: Scope) -> Any:
    if not isinstance(value, str) or "${{" not in value:
        return value
    if whole := WHOLE.fullmatch(value):
        return evaluated(whole[1], scope)
    return WHOLE.sub(lambda found: as_text(evaluated(found[1], scope)), value)


def evaluated(text: str, scope: Scope) -> Any:
    try:
        return Expression(text, scope.contexts).value()
    except PipelineError as error:
        raise PipelineError(f"{scope.file.name}: {error}") from error


# Parts of an expanded pipeline.


def stages(pipeline: dict[str, Any]) -> list[dict[str, Any]]:
    """The stages; jobs without one are in a stage without a name."""
    found: list[dict[str, Any]] = pipeline.get("stages") or [{"stage": "", "jobs": pipeline["jobs"]}]
    return found


def jobs(pipeline: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each job, with its stage before it."""
    for stage in stages(pipeline):
        for job in stage["jobs"]:
            yield stage, job


def name_of(job: dict[str, Any]) -> str:
    return str(job.get("job") or job["deployment"])


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    if "deployment" in job and [*job.get("strategy", {})] != ["runOnce"]:
        raise PipelineError(f"{name_of(job)}: a deployment has the strategy runOnce")
    found: list[dict[str, Any]] = job["strategy"]["runOnce"]["deploy"]["steps"] if "deployment" in job else job["steps"]
    return found


def script(step: dict[str, Any]) -> str:
    """The script of a step; empty without one."""
    return str(step.get("bash") or step.get("inputs", {}).get("inlineScript", ""))


def connections(job: dict[str, Any]) -> list[str]:
    """The service connections that a job names."""
    return [step["inputs"]["azureSubscription"] for step in steps(job) if step.get("task", "").startswith("AzureCLI")]


def depends_on(item: dict[str, Any], before: list[str]) -> list[str]:
    """What a stage (or a job, with nothing before it) depends on."""
    found = item.get("dependsOn", before[-1:])
    return [found] if isinstance(found, str) else list(found)
