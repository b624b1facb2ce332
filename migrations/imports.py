"""Find what Python files of a project import by a name that it does not have any more, with its name of today."""

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

# Where code is imported from. Until v0.3.0 the engine was in the last one, and files of the user's own may still be.
ROOTS = ("data-science/src", "data-science/tests", "mlops/engine/src", "mlops/src")


def module(path: str) -> str:
    """Return the dotted name of a Python file below one of the roots; empty for other files."""
    for root in ROOTS:
        if path.startswith(f"{root}/") and path.endswith(".py"):
            return path.removeprefix(f"{root}/").removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return ""


def modules(table: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the table of moved files as one of modules: those of today that are in the project."""
    named = {module(old): [name for name in map(module, new) if name and source(name)] for old, new in table.items()}
    return {old: new for old, new in named.items() if old}


@cache
def source(name: str) -> Path | None:
    """Return the file of a module, or the folder of a package that has no code of its own."""
    for root in ROOTS:
        folder = Path(root, *name.split("."))
        for file in (folder.with_suffix(".py"), folder / "__init__.py"):
            if file.is_file():
                return file
        if any(folder.rglob("*.py")):
            return folder
    return None


def parse(file: Path) -> ast.Module | None:
    """Return the syntax tree of a Python file or a notebook; None if it has no valid one, as in a conflict."""
    try:
        text = file.read_text(encoding="utf-8")
        return ast.parse(code(text) if file.suffix == ".ipynb" else text)
    except (SyntaxError, ValueError):
        return None


def code(notebook: str) -> str:
    """Return the Python code of a notebook, without the commands of Jupyter."""
    cells = json.loads(notebook).get("cells", [])
    texts = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return "\n".join(re.sub(r"(?m)^(\s*)[%!?].*", r"\1pass", text) for text in texts if not text.startswith("%%"))


def statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield the statements of a module that run when it is imported."""
    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            for block in ("body", "handlers", "orelse", "finalbody"):
                yield from statements(getattr(node, block, []))


@cache
def names(name: str) -> dict[str, bool] | None:
    """Return the names in a module, and whether each is defined there, not imported; None if only a run can tell."""
    file = source(name)
    tree = parse(file) if file and file.is_file() else ast.Module([], [])
    if tree is None:
        return None
    found: dict[str, bool] = {}
    for node in statements(tree.body):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {each.asname or each.name.partition(".")[0]: False for each in node.names}
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found[node.name] = True
        else:
            stored = (each for each in ast.walk(node) if isinstance(each, ast.Name))
            found |= {each.id: True for each in stored if isinstance(each.ctx, ast.Store)}
    return None if {"*", "__getattr__"} & found.keys() else found


def references(tree: ast.Module, path: str) -> Iterator[tuple[str, bool]]:
    """Yield the dotted names that a file imports (True), or reaches as attributes of what it imports (False)."""
    local: dict[str, str] = {}
    nodes = list(ast.walk(tree))
    for node in nodes:
        if isinstance(node, ast.Import):
            for each in node.names:
                top = each.name.partition(".")[0]
                local[each.asname or top] = each.name if each.asname else top
                yield each.name, True
        elif isinstance(node, ast.ImportFrom):
            package = absolute(node, path)
            for each in node.names:
                name = package if each.name == "*" else f"{package}.{each.name}"
                local[each.asname or each.name] = name
                yield name, True
    for node in nodes:
        if isinstance(node, ast.Attribute):
            first, *rest = dotted(node)
            if first in local:
                yield ".".join([local[first], *rest]), False


def dotted(node: ast.expr) -> list[str]:
    """Return the words of a dotted name; the first one is empty where it begins with something else than a name."""
    if isinstance(node, ast.Attribute):
        return [*dotted(node.value), node.attr]
    return [node.id if isinstance(node, ast.Name) else ""]


def absolute(node: ast.ImportFrom, path: str) -> str:
    """Return the module that a `from ... import` names, without leading dots."""
    package = module(path).split(".") if node.level else []
    up = node.level - path.endswith("/__init__.py")
    return ".".join([*package[: len(package) - up], *filter(None, [node.module])])


def gone(name: str) -> str:
    """Return the first part of a dotted name that is no module, and no name in the module before it; or nothing."""
    words = name.split(".")
    for end in range(1, len(words) + 1):
        part = ".".join(words[:end])
        if not source(part):
            known = names(".".join(words[: end - 1])) if end > 1 else {}
            there = known is None or words[end - 1] in known or words[end - 1].startswith("__")
            return "" if there else part
    return ""


def today(name: str, table: dict[str, list[str]]) -> tuple[str, str, bool]:
    """Return what is gone of a dotted name, a line on where it is today, and whether that is one certain place."""
    words = name.split(".")
    prefixes = (".".join(words[:end]) for end in range(len(words), 0, -1))
    old = next((prefix for prefix in prefixes if prefix in table), "")
    if not old:
        return gone(name), f"{gone(name)} is gone", False
    new = table[old]
    if len(new) == 1 and new != [old]:
        return old, f"{old} is now {new[0]}", True
    if old == name:
        return old, f"{old} is now {', '.join(new)}" if new else f"{old} is gone", False
    word = words[old.count(".") + 1]
    others = {part for parts in table.values() for part in parts if part.startswith(f"{words[0]}.")}
    homes = [part for part in new if defines(part, word)] or [part for part in others if defines(part, word)]
    if homes and (len(homes) == 1 or homes[0] in new):
        return f"{old}.{word}", f"{old}.{word} is now {homes[0]}.{word}", True
    left = [part for part in new if part != old]
    return f"{old}.{word}", f"{old}.{word} is gone" + (f", and in none of {', '.join(left)}" if left else ""), False


def defines(name: str, word: str) -> bool:
    """Return whether a module defines a name, and does not only import it."""
    return (names(name) or {}).get(word, False)


def outdated(path: str, table: dict[str, list[str]]) -> list[str]:
    """Return a line for each name of the project's own code that a file uses and that is gone, or elsewhere today.

    Args:
        path: A file in the working directory, which is the project.
        table: Where each module of an older release is today, as `modules` returns it.
    """
    tree = parse(Path(path)) if Path(path).suffix in {".py", ".ipynb"} else None
    own = {old.partition(".")[0] for old in table}
    lines: dict[str, str] = {}
    for name, imported in references(tree, path) if tree else ():
        top = name.partition(".")[0]
        beside = Path(path).with_name(f"{top}.py")
        if top in own and gone(name) and (beside == source(top) or not beside.is_file()):
            key, line, certain = today(name, table)
            # A variable may have the name of an imported module: its attributes count only where one is found.
            if imported or certain:
                lines[key] = line
    return [line for key, line in sorted(lines.items()) if not any(other.startswith(f"{key}.") for other in lines)]
