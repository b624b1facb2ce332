"""The axes of the menu, read from copier.yml: a choice that enters the menu enters every test."""

import itertools
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
AXES = ("project_type", "mlops_version", "orchestration", "infrastructure_version")


def questions() -> dict[str, dict]:
    """All questions of the template: name -> details."""
    template = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    return {name: details for name, details in template.items() if not name.startswith("_")}


def combinations() -> list[dict[str, str]]:
    """One dictionary of answers for each cell of the menu."""
    choices = [list(questions()[axis]["choices"].values()) for axis in AXES]
    return [dict(zip(AXES, cell, strict=True)) for cell in itertools.product(*choices)]


def flavours() -> list[dict[str, str]]:
    """One dictionary of answers for each project type and mlops version, which decide what a project does when it runs.

    Orchestration and infrastructure are files beside that.
    """
    types, versions = (list(questions()[axis]["choices"].values()) for axis in ("project_type", "mlops_version"))
    return [{"project_type": kind, "mlops_version": version} for kind in types for version in versions]


def label(combination: dict[str, str]) -> str:
    """Readable test id, such as classical-aml-cli-v2-github-actions-terraform."""
    return "-".join(combination[axis] for axis in AXES if axis in combination)
