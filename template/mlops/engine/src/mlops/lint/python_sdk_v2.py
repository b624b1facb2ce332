"""What the lint finds in the objects of azure-ai-ml that the definitions of python-sdk-v2 make."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mlops.config import Sweep
from mlops.definitions.base import DefinitionError, Document, Finding, require
from mlops.definitions.python_sdk_v2 import MODULES, PythonSdkDefinitions
from mlops.errors import did_you_mean
from mlops.lint.checks import lint_documents
from mlops.project import Project

_PASSED_ON = {"command": "CommandComponent", "parallel_run_function": "ParallelComponent", "spark": "SparkComponent"}
"""Functions that hand what they do not know to a class other than the one they return."""


def check(project: Project) -> list[Finding]:
    """Lint every object of the definitions."""
    return check_modules(project, MODULES)


def check_sweep(project: Project, sweep: Sweep) -> list[Finding]:
    """Lint the pipeline that searches hyperparameters with the search of config/model.yml in it."""
    definitions = PythonSdkDefinitions(project)
    try:
        documents = [definitions.tuning_document(sweep), *definitions.documents("environments")]
        return lint_documents(
            [*documents, *definitions.documents("data"), *definitions.documents("components")], project
        )
    except DefinitionError as error:
        return [error.finding]


def check_modules(project: Project, modules: Iterable[str]) -> list[Finding]:
    """Lint the objects of some modules of mlops/python-sdk-v2, together with what they refer to in the others."""
    require("azure.ai.ml", "azure-ai-ml")
    definitions = PythonSdkDefinitions(project)
    modules = list(modules)
    findings = [finding for module in modules for finding in keyword_findings(definitions.file(module))]
    documents: list[Document] = []
    for module in [] if findings else modules:
        try:
            documents += definitions.documents(module)
        except DefinitionError as error:
            findings.append(error.finding)
    # What refers to something that could not be built would be reported too: first things first.
    return lint_documents([] if findings else documents, project, findings)


def keyword_findings(path: Path) -> Iterator[Finding]:
    """Find keywords that a class or function of azure-ai-ml does not have.

    Many of them accept any keyword, and ignore it or report something else about it.
    """
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return  # reported when it is imported
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    names = {alias.asname or alias.name: (str(node.module), alias.name) for node in imports for alias in node.names}
    for node in ast.walk(tree):
        called = _callee(node.func, names) if isinstance(node, ast.Call) and node.keywords else None
        if called is None or not isinstance(node, ast.Call):
            continue
        known, name = _keywords(called), ast.unparse(node.func)
        for keyword in node.keywords:
            if keyword.arg is not None and keyword.arg not in known:
                message = f'{name} has no keyword "{keyword.arg}"{did_you_mean(keyword.arg, known)}'
                yield Finding(path, f"line {keyword.lineno}", message)


def _callee(function: ast.expr, names: Mapping[str, tuple[str, str]]) -> Any:
    """Return the class or function of azure-ai-ml behind a name, or None."""
    if isinstance(function, ast.Attribute):
        return getattr(_callee(function.value, names), function.attr, None)
    module, name = names.get(getattr(function, "id", ""), ("", ""))
    return getattr(importlib.import_module(module), name, None) if module.startswith("azure.ai.ml") else None


@cache
def _keywords(called: Any) -> set[str]:
    """Return the keywords of a function or class: in its signature, or taken out of `**kwargs` in its code."""
    from azure.ai.ml import entities

    functions, classes = [called], [called]
    if not inspect.isclass(called):
        classes = [inspect.signature(called).return_annotation]
        classes += [getattr(entities, _PASSED_ON[called.__name__])] if called.__name__ in _PASSED_ON else []
    bases = [base for item in classes if inspect.isclass(item) for base in item.__mro__]
    functions += [vars(base)["__init__"] for base in bases if "__init__" in vars(base)]
    found = set()
    for function in map(inspect.unwrap, functions):
        if inspect.isfunction(function):
            found |= set(inspect.signature(function).parameters)
            found |= set(re.findall(r"""kwargs\.(?:get|pop)\(\s*["'](\w+)["']""", inspect.getsource(function)))
    return found
