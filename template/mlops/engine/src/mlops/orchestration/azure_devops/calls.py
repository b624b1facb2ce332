"""What the files of the pipelines pass to each other's parameters: Azure DevOps compares it before a run."""

import contextlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlops.definitions.base import Finding
from mlops.errors import UserError
from mlops.orchestration.azure_devops.names import FOLDER
from mlops.project import Project, load_yaml

_CHOICE = re.compile(r"\$\{\{\s*(if|elseif|else)\b")


def call_findings(project: Project) -> list[Finding]:
    """Return the templates that get a parameter which they do not declare, or lack one that they require.

    An update joins a block that a team wrote for a template of an older release with the newer template, without a
    conflict.
    """
    root = project.root.resolve()
    documents: dict[Path, dict[str, Any]] = {}
    for path in sorted((root / FOLDER).rglob("*.yml")):
        # What is not valid YAML, Azure DevOps shows in its own words.
        with contextlib.suppress(UserError):
            documents[path] = load_yaml(path)
    found = []
    for path, document in documents.items():
        for call in _calls(document):
            template = documents.get((path.parent / call["template"]).resolve())
            if template is not None and (text := _difference(call, template)):
                given = call.get("parameters") or {}
                place = str(given.get("environment") or given.get("stage") or "")
                found.append(Finding(path.relative_to(root), place, text))
    return found


def _calls(node: object) -> Iterator[dict[str, Any]]:
    """Yield the references to templates in a document."""
    if isinstance(node, dict):
        if isinstance(node.get("template"), str) and isinstance(node.get("parameters") or {}, dict):
            yield node
        for each in node.values():
            yield from _calls(each)
    elif isinstance(node, list):
        for each in node:
            yield from _calls(each)


def _difference(call: Mapping[str, Any], template: Mapping[str, Any]) -> str:
    """Return how what is passed differs from what is declared, with the remedy; empty if it does not."""
    listed = template.get("parameters") or []
    if not isinstance(listed, list):
        return ""
    declared = {each["name"]: "default" in each for each in listed if isinstance(each, dict) and "name" in each}
    given, complete = _given(call.get("parameters") or {})
    more = [f"does not declare {name}" for name in given if name not in declared]
    less = [f"requires {name}" for name, has_default in declared.items() if not has_default and name not in given]
    differences = more + (less if complete else [])
    if not differences:
        return ""
    return (
        f"{call['template']} {' and '.join(differences)}, and Azure DevOps refuses each run: pass the parameters that "
        "are at its top, as other blocks for it do"
    )


def _given(parameters: Mapping[str, Any]) -> tuple[list[str], bool]:
    """Return the names that are passed, under a condition, too, and whether these are all."""
    names: list[str] = []
    complete = True
    for key, value in parameters.items():
        if not str(key).startswith("${{"):
            names.append(str(key))
        elif _CHOICE.match(str(key)) and isinstance(value, dict):
            more, rest = _given(value)
            names += more
            complete = complete and rest
        else:  # a loop, whose names a run knows
            complete = False
    return list(dict.fromkeys(names)), complete
