"""Checks of commands: their placeholders, the scripts and modules they start, and the options these accept."""

import ast
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path

from mlops.definitions.base import Document, Finding
from mlops.errors import did_you_mean
from mlops.pipeline import OPTIONAL, REFERENCE, Component, is_local

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
_SEARCH = re.compile(r"^\s*search_space\.([^\s{}]+?)\s*$")
_LOOKALIKES = re.compile(
    r"(?<!\$)\{\{\s*(?:inputs|outputs)\.\S+|\$\{(?!\{)\s*(?:inputs|outputs)\.\S+|\$\(\s*(?:inputs|outputs)\.\S+"
)
_SEPARATORS = {"&&", "||", ";", "|", "&"}


def check(
    component: Component, document: Document, prefix: str, packages: set[str] | None, search: set[str] | None = None
) -> Iterator[Finding]:
    """Check a component's command.

    `prefix` is put before each place. `packages` are the names that the environment installs, None when they
    cannot be known; `search` are the parameters of a sweep, None outside of one.
    """
    where = f"{prefix}command"
    command = component.command
    if not command.strip():
        if component.document.get("command") is not None:
            yield document.finding(where, "the command is empty")
        return
    yield from _expression_findings(component, document, where, search)
    yield from _bracket_findings(component, document, where)
    try:
        shlex.split(command)
    except ValueError as error:
        yield document.finding(where, f"the quotes do not match: {error}")
    used = {(side, name) for side, name in REFERENCE.findall(command)}
    searched = {match[1] for text in _EXPRESSION.findall(command) if (match := _SEARCH.match(text))}
    for name in component.inputs:
        if ("inputs", name) not in used and name not in searched:
            yield document.finding(f"{prefix}inputs.{name}", "the command never uses this input")
    for name in component.outputs:
        if ("outputs", name) not in used:
            yield document.finding(f"{prefix}outputs.{name}", "the command never writes this output")
    yield from _program_findings(component, document, prefix, packages)


def _expression_findings(
    component: Component, document: Document, where: str, search: set[str] | None
) -> Iterator[Finding]:
    command = component.command
    if command.count("${{") != len(_EXPRESSION.findall(command)):
        yield document.finding(where, "a ${{ has no matching }}")
    for text in dict.fromkeys(_EXPRESSION.findall(command)):
        if match := REFERENCE.fullmatch(f"${{{{{text}}}}}"):
            ports = component.inputs if match[1] == "inputs" else component.outputs
            if match[2] not in ports:
                yield document.finding(
                    where, f"there is no {match[1][:-1]} {match[2]!r}{did_you_mean(match[2], ports)}"
                )
        elif match := _SEARCH.match(text):
            if search is None:
                yield document.finding(where, f"${{{{{text}}}}} works in a sweep only")
            elif match[1] not in search:
                yield document.finding(where, f"search_space has no {match[1]!r}{did_you_mean(match[1], search)}")
        else:
            yield document.finding(where, f"unknown expression ${{{{{text}}}}}: use inputs.<name> or outputs.<name>")
    for text in dict.fromkeys(_LOOKALIKES.findall(command)):
        yield document.finding(where, f"{text!r} is left as it stands: a placeholder is ${{{{inputs.<name>}}}}")


def _bracket_findings(component: Component, document: Document, where: str) -> Iterator[Finding]:
    command = component.command
    if command.count("$[[") != len(OPTIONAL.findall(command)):
        yield document.finding(where, "a $[[ has no matching ]]")
        return
    outside = {name for side, name in REFERENCE.findall(OPTIONAL.sub("", command)) if side == "inputs"}
    for name, port in component.inputs.items():
        if port.optional and name in outside:
            yield document.finding(where, f"{name!r} is optional: put its part of the command in $[[ ]]")
    for part in OPTIONAL.findall(command):
        names = [name for side, name in REFERENCE.findall(part) if side == "inputs" and name in component.inputs]
        if not any(component.inputs[name].optional for name in names) and len(names) == len(REFERENCE.findall(part)):
            yield document.finding(where, f"no input in $[[{part}]] is optional: mark it or drop the brackets")


@dataclass(frozen=True)
class _Program:
    """A script or module that a command starts, with the options given to it."""

    name: str
    is_module: bool
    options: tuple[str, ...]


def _program_findings(
    component: Component, document: Document, prefix: str, packages: set[str] | None
) -> Iterator[Finding]:
    code = component.code
    written = component.document.get("code")
    if code is not None and not code.is_dir():
        yield document.finding(f"{prefix}code", f"no such folder: {written}")
        return
    first = component.command.split()[0]
    if first not in {"python", "python3"} and get_close_matches(first, ["python", "python3"], cutoff=0.8):
        yield document.finding(f"{prefix}command", f'no program "{first}" (did you mean "python"?)')
    for program in _programs(component.command):
        if written is not None and code is None:
            continue  # an asset or a repository: not on this machine
        if program.is_module:
            path, message = _find_module(program.name, code, packages)
        else:
            path, message = _find_script(program.name, code)
        if message:
            yield document.finding(f"{prefix}command", message)
        elif path and path.suffix == ".py":
            yield from _script_findings(program, path, document, f"{prefix}command")


def _script_findings(program: _Program, path: Path, document: Document, where: str) -> Iterator[Finding]:
    try:
        known = _options(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        yield document.finding(where, f"{path.name} is not valid Python: line {getattr(error, 'lineno', '?')}")
        return
    if known is None:
        return
    for option in program.options:
        if option not in known and option != "--help":
            yield document.finding(where, f"{path.name} has no option {option}{did_you_mean(option, known)}")
    for option, required in known.items():
        if required and option not in program.options:
            yield document.finding(where, f"{path.name} needs the option {option}")


def missing_option(component: Component, option: str) -> str:
    """Return the name of a script of the code folder that knows an option and starts without it; empty if none does."""
    for program in _programs(component.command):
        code = component.code
        path, _ = _find_module(program.name, code, None) if program.is_module else _find_script(program.name, code)
        if path is None or path.suffix != ".py" or option in program.options:
            continue
        try:
            known = _options(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue  # reported with the command
        if known and option in known:
            return path.name
    return ""


def _programs(command: str) -> Iterator[_Program]:
    plain = _EXPRESSION.sub("VALUE", OPTIONAL.sub(r" \1 ", command)).replace("\\\n", " ")
    plain = plain.replace("\n", " ; ").replace(";", " ; ")
    try:
        words = shlex.split(plain)
    except ValueError:
        return  # a quote never closes: reported with the command
    part: list[str] = []
    for word in [*words, ";"]:
        if word not in _SEPARATORS:
            part.append(word)
            continue
        if program := _program(part):
            yield program
        part = []


def _program(words: list[str]) -> _Program | None:
    start = next(
        (index for index, word in enumerate(words) if re.match(r"^(python[\d.]*|bash|sh|Rscript)$", word)), None
    )
    if start is not None:
        rest = words[start + 1 :]
        while rest and rest[0].startswith("-"):
            if rest[0] == "-m" and len(rest) > 1 and words[start].startswith("python"):
                return _Program(rest[1], True, _flags(rest[2:]))
            if rest[0] == "-c":
                return None
            rest = rest[2:] if rest[0] in {"-W", "-X"} else rest[1:]
        words = rest
    script = next((index for index, word in enumerate(words) if re.search(r"\.(py|sh|R)$", word)), None)
    if script is None or words[script].startswith(("/", "VALUE", "-")):
        return None
    return _Program(words[script], False, _flags(words[script + 1 :]))


def _flags(words: list[str]) -> tuple[str, ...]:
    return tuple(word.split("=", 1)[0] for word in words if re.match(r"^--[A-Za-z]", word))


def _find_script(name: str, code: Path | None) -> tuple[Path | None, str]:
    if code is None:
        return None, f"{name} never reaches Azure ML: name its folder under the key code"
    path = code / name
    if path.is_file():
        return path, ""
    return None, f"no script {name} in the code folder{did_you_mean(name, _files(code, '*.py'))}"


def _find_module(name: str, code: Path | None, packages: set[str] | None) -> tuple[Path | None, str]:
    top, *rest = name.split(".")
    if code is not None and ((code / top).is_dir() or (code / f"{top}.py").is_file()):
        base = code.joinpath(top, *rest)
        for path in (base.with_name(f"{base.name}.py"), base / "__main__.py"):
            if path.is_file():
                return path, ""
        near = [".".join([top, *rest[:-1], path.stem]) for path in base.parent.glob("*.py")]
        return None, f"no module {name} in the code folder{did_you_mean(name, near)}"
    installed = packages is None or re.sub(r"[-_.]+", "-", top.lower()) in packages
    own = [path.parent.name for path in code.glob("*/__init__.py")] if code else []
    hint = did_you_mean(top, own)
    if top in sys.stdlib_module_names or (installed and "mean" not in hint):
        return None, ""
    return None, f"no module {name} in the code folder or the environment{hint}"


def _files(folder: Path, pattern: str) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in folder.rglob(pattern)]


@cache
def _options(script: str) -> Mapping[str, bool] | None:
    """Return the long options of a script, and whether each is required; None when they cannot be known.

    Raises:
        SyntaxError: It is not valid Python.
    """
    calls = [
        node
        for node in ast.walk(ast.parse(script))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"
    ]
    options: dict[str, bool] = {}
    for call in calls:
        names = [item.value for item in call.args if isinstance(item, ast.Constant) and isinstance(item.value, str)]
        if len(names) != len(call.args) or any(keyword.arg is None for keyword in call.keywords):
            return None  # built at run time: no use guessing
        required = any(
            keyword.arg == "required" and isinstance(keyword.value, ast.Constant) and keyword.value.value is True
            for keyword in call.keywords
        )
        options |= {name: required for name in names if name.startswith("--")}
    return options or None


def code_findings(component: Component, document: Document, prefix: str) -> Iterator[Finding]:
    """Check `additional_includes`: files that would be uploaded with the code."""
    includes = component.document.get("additional_includes")
    for number, include in enumerate(includes if isinstance(includes, list) else []):
        if isinstance(include, str) and is_local(include) and not (component.source.parent / include).exists():
            yield document.finding(f"{prefix}additional_includes[{number}]", f"no such file or folder: {include}")
