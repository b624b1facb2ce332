"""The axes of the menu, read from copier.yml: a choice that enters the menu enters every test."""

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
AXES = ("project_type", "mlops_version", "orchestration", "infrastructure_version")
EXISTING = {
    "infrastructure_version": "existing",
    "existing_workspaces": "rg-ml-dev/mlw-dev, rg-ml-test/mlw-test, rg-ml-prod/mlw-prod",
    "existing_registry": "mlr-shared",
    "existing_cluster": "big-cluster",
}
"""The answers of a project whose workspaces another team runs."""

USERS = "ada=00000000-0000-0000-0000-00000000000a, bob=00000000-0000-0000-0000-00000000000b"


@cache
def questions() -> dict[str, dict]:
    """All questions of the template: name -> details."""
    template = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    return {name: details for name, details in template.items() if not name.startswith("_")}


def combinations() -> list[dict[str, str]]:
    """One dictionary of answers for each cell of the menu."""
    choices = {axis: list(questions()[axis]["choices"].values()) for axis in AXES}
    choices["infrastructure_version"] = tools()  # EXISTING is tested beside them
    return [dict(zip(AXES, cell, strict=True)) for cell in itertools.product(*choices.values())]


def part_of_menu(text: str) -> dict[str, set[str]]:
    """The choices that are left of some axes, from words like `project_type=classical,cv`."""
    part: dict[str, set[str]] = {}
    for word in text.split():
        axis, _, names = word.partition("=")
        known = set(questions()[axis]["choices"].values()) if axis in AXES else set()
        if not known:
            raise ValueError(f"ONLY has {word}: expected one of {', '.join(AXES)} before the =")
        if unknown := set(names.split(",")) - known:
            raise ValueError(f"ONLY has {min(unknown)!r} for {axis}: expected {', '.join(sorted(known))}")
        part[axis] = set(names.split(","))
    return part


def choices_in(value: Any) -> dict[str, str]:
    """The choices that a parameter of a test names: answers, what has answers, or the name of a choice."""
    found = getattr(value, "answers", value)
    if isinstance(found, str):
        return {axis: found for axis in AXES if found in questions()[axis]["choices"].values()}
    return {axis: found[axis] for axis in AXES if axis in found} if isinstance(found, dict) else {}


def tools() -> list[str]:
    """The tools that build infrastructure."""
    return [tool for tool in questions()["infrastructure_version"]["choices"].values() if tool != "existing"]


def flavours() -> list[dict[str, str]]:
    """One dictionary of answers for each project type and mlops version, which decide what a project does when it runs.

    Orchestration and infrastructure are files beside that.
    """
    types, versions = (list(questions()[axis]["choices"].values()) for axis in ("project_type", "mlops_version"))
    return [{"project_type": kind, "mlops_version": version} for kind in types for version in versions]


def summaries() -> list[dict[str, str]]:
    """One dictionary of answers for each mlops version with the second task of texts, which differs as flavours do."""
    of_texts = [each for each in flavours() if each["project_type"] == "nlp"]
    return [{**each, "nlp_task": "summarization"} for each in of_texts]


def add_ons() -> list[str]:
    """All add-ons."""
    return list(questions()["add_ons"]["choices"].values())


def with_add_ons(*chosen: str, **answers: str) -> dict[str, Any]:
    """The answers of a project with these add-ons, with the answers to the questions that come with them."""
    more = {"instance_users": USERS} if "user-with-compute-instance" in chosen else {}
    return {**answers, "add_ons": list(chosen), **more}


def add_on_answers() -> list[dict[str, Any]]:
    """The answers for each set of add-ons below, in each tool."""
    return [with_add_ons(*names, infrastructure_version=tool) for names in add_on_sets() if names for tool in tools()]


def label(answers: dict[str, Any]) -> str:
    """Readable test id, such as classical-aml-cli-v2-github-actions-terraform."""
    axes = ("project_type", "nlp_task", *AXES[1:])
    return "-".join([answers[axis] for axis in axes if axis in answers] + list(answers.get("add_ons", [])))


def add_on_sets() -> list[list[str]]:
    """A few sets of add-ons in which each pair of them occurs in all four ways: both, one, the other, neither."""
    names = list(questions()["add_ons"]["choices"].values())
    cells = [dict(zip(names, chosen, strict=True)) for chosen in itertools.product((False, True), repeat=len(names))]

    def pairs(cell: dict[str, bool]) -> set[tuple]:
        return set(itertools.combinations(cell.items(), 2))

    chosen = [cells[0], cells[-1]]  # none and all, then whatever covers most of the rest
    missing = set().union(*map(pairs, cells)) - pairs(cells[0]) - pairs(cells[-1])
    while missing:
        chosen.append(max(cells, key=lambda cell: len(pairs(cell) & missing)))
        missing -= pairs(chosen[-1])
    return [[name for name in names if cell[name]] for cell in chosen]
