"""What the real Bicep compiler expands a deployment to, compared with what bicep_eval works out, resource by resource.

`bicep snapshot` uses the engine of Resource Manager: conditions, loops and loadYamlContent() are evaluated, and nothing
is deployed. What only Azure knows, such as the principal of an identity, stays an expression in brackets.
"""

import json
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bicep_eval import NOW, SUBSCRIPTION, TENANT, Resource

FIXED = f"param budgetStart = '{NOW:%Y-%m}-01'\n"
"""A parameter whose default is the date of the machine."""

NESTED = "Microsoft.Resources/deployments"
BESIDE = ("id", "type", "name", "apiVersion", "scope", "dependsOn")
KNOWN_TO_AZURE = re.compile(r"\.properties\b|\bresourceGroup\(\)\.")
"""In a value of bicep_eval: where it would be read from."""


def expand(bicep: str, file: Path) -> dict[str, Any]:
    """The snapshot of a parameter file."""
    place = ("--tenant-id", TENANT, "--subscription-id", SUBSCRIPTION, "--location", "westeurope")
    command = [bicep, "snapshot", file.name, "--mode", "overwrite", *place]
    done = subprocess.run(command, cwd=file.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(file.with_suffix(".snapshot.json").read_text(encoding="utf-8"))
    return found


def differences(snapshot: dict[str, Any], resources: list[Resource]) -> list[str]:
    """Where both disagree: a resource that one of them lacks, a version, or a value, with its path."""
    theirs = [each for each in snapshot["predictedResources"] if each["type"] != NESTED]
    found = [str(each) for each in snapshot.get("diagnostics", ())]
    counts = Counter(key(each) for each in theirs)
    counts.subtract(Counter(each.id.lower() for each in resources))
    found += [f"{name}: {'+' if count > 0 else ''}{count} in the snapshot" for name, count in counts.items() if count]
    bodies = {key(each): each for each in theirs}
    for resource in resources:
        if other := bodies.get(resource.id.lower()):
            if other["apiVersion"] != resource.version:
                found.append(f"{resource.id}: {resource.version}, in the snapshot {other['apiVersion']}")
            body = {name: value for name, value in other.items() if name not in BESIDE}
            found += [f"{resource.id}: {each}" for each in compare(resource.body, body)]
    return found


def key(resource: dict[str, Any]) -> str:
    """What identifies a resource; one whose id only Azure knows has none."""
    return str(resource.get("id") or f"{resource['type']} {resource['name']}").lower()


def compare(ours: Any, theirs: Any, path: str = "") -> Iterator[str]:
    """The values that differ; a property without a value is as good as none."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in sorted(ours.keys() | theirs.keys()):
            yield from compare(ours.get(name), theirs.get(name), f"{path}.{name}" if path else name)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from compare(one, other, f"{path}[{number}]")
    elif not same(ours, theirs):
        yield f"{path}: {ours!r}, in the snapshot {theirs!r}"


def same(ours: Any, theirs: Any) -> bool:
    """Whether two values are one: an expression stands for what Azure alone knows."""
    if isinstance(ours, str) and isinstance(theirs, str):
        if theirs.startswith("[") and not theirs.startswith("[["):
            return bool(KNOWN_TO_AZURE.search(ours))
        if "/subscriptions/" in ours:  # Azure does not distinguish the letters of an id
            return ours.lower() == theirs.lower()
        return ours.rstrip("\n") == theirs.rstrip("\n")  # loadYamlContent() drops the last newline of a block
    return type(ours) is type(theirs) and bool(ours == theirs)
