"""A project against time: see `year`."""

import importlib
import importlib.util
import os
import re
import shutil
import sys
from collections import Counter
from collections.abc import Iterable
from importlib.abc import Loader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import hypothesis
import pytest
import year_page
from hypothesis import HealthCheck, Phase, reproduce_failure, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from small_project import set_key
from year import Year
from year_azure_devops import YearOnAzureDevOps
from year_bugs import BUGS, Bug
from year_github import YearOnGitHub
from year_world import CHAIN

from mlops.config import Project

SEQUENCES = int(os.environ.get("SEQUENCES", "30"))
PART = os.environ.get("PART", "1/1")
"""Which part of the sequences, or of the seeded errors, this process takes."""

ENOUGH = 120
"""After how many sequences a seeded error must be found."""

DOCS = Path(__file__).parents[2] / "docs"

REPLAY = os.environ.get("REPLAY", "")
"""What the report of a failure names: the sequence that failed."""


@pytest.fixture
def a_project(project: Project) -> Project:
    """A project whose environments form a chain, of which the last one is watched."""
    for environment, following in zip(CHAIN, (*CHAIN[1:], ""), strict=True):
        file = project.root / "config" / f"{environment}.yml"
        set_key(file, "delivery", {"next": following})
        set_key(file, "monitor.enabled", environment == CHAIN[-1])
        set_key(file, "rollout.canary_minutes", 2)
        set_key(file, "rollout.max_latency_ms", 500)
        set_key(file, "rollout.canary_percent", 60 if environment == "test" else 10)
    return project


def live(machine: type[Year], project: Project, sequences: int, number: int, *, shrink: bool = False) -> None:
    """Let the project live through years; their `number` says which."""
    machine.project, machine.begun = project, None
    if REPLAY:
        machine = reproduce_failure(hypothesis.__version__, REPLAY.encode())(machine)
    run_state_machine_as_test(
        seed(number)(machine),
        settings=settings(
            max_examples=sequences,
            stateful_step_count=30,
            derandomize=False,
            database=None,
            deadline=None,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
        ),
    )


BY_PIPELINES = {"github": YearOnGitHub, "azure-devops": YearOnAzureDevOps}


@pytest.mark.parametrize("way", ["memory", "cli", *BY_PIPELINES])
def test_nothing_that_a_year_brings_breaks_a_promise(way: str, a_project: Project) -> None:
    """Without a client most often; by the Azure CLI, and by the pipelines of either system, a tenth of that."""
    part, parts = map(int, PART.split("/"))
    machine = type("AYear", (BY_PIPELINES.get(way, Year),), {"totals": Counter(), "idle": Counter()})
    machine.client = "cli" if way == "cli" else "memory"
    sequences = SEQUENCES if way == "memory" else max(SEQUENCES // 10, 20)
    live(machine, a_project, -(-sequences // parts), part, shrink="SHRINK" in os.environ)
    found = machine.totals
    effective = found["all"] - found["idle"]
    print(f"year by {way}: {found['sequences']} sequences, {found['all']} events, {effective} effective")
    print("Without an effect:", machine.idle.most_common(5))


def test_the_page_shows_a_year(a_project: Project) -> None:
    year_page.AYear.project, Year.begun = a_project, None
    world = year_page.AYear().live()
    written = {"year.svg": year_page.picture(world), "year.md": year_page.page(world)}
    head, mark, _ = (DOCS / "year.md").read_text(encoding="utf-8").partition("<!-- the story -->\n\n")
    written["year.md"] = f"{head}{mark}{written['year.md']}\n"
    for name, text in written.items():
        if os.environ.get("MLOPS_WRITE_YEAR"):
            (DOCS / name).write_text(text, encoding="utf-8")
        assert (DOCS / name).read_text(encoding="utf-8") == text, "MLOPS_WRITE_YEAR=1 make year writes the page anew"


def test_the_page_says_how_many_errors_are_seeded() -> None:
    assert f"{len(BUGS)} seeded into" in (DOCS / "year.md").read_text(encoding="utf-8")


def own_part(names: Iterable[str]) -> list[str]:
    """Return the part of the names that this process takes."""
    part, parts = map(int, PART.split("/"))
    return sorted(names)[part - 1 :: parts]


@pytest.mark.parametrize("name", own_part(BUGS))
def test_a_seeded_error_breaks_a_promise(name: str, a_project: Project) -> None:
    """In a child of this process, because the modules with the error stay where they were imported."""
    bug, (reader, writer) = BUGS[name], os.pipe()
    if child := os.fork():
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as stream:
            found = stream.read()
        os.waitpid(child, 0)
        print(f"{name}: {found.splitlines()[0]}")
        assert found.startswith("broken after"), found[:3000]
        assert bug.breaks in found.splitlines()[0], found[:3000]
        return
    try:
        outcome = found_with(bug, a_project)
    except BaseException as error:
        outcome = f"no violation but {error!r}"
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        stream.write(outcome)
    os._exit(0)


def found_with(bug: Bug, project: Project) -> str:
    """Return the promise that a seeded error breaks."""
    if bug.module.startswith("workflows/"):
        YearOnGitHub.files[bug.module] = bug.in_text(YearOnGitHub.files[bug.module])
        return search(YearOnGitHub, project)
    if bug.module.startswith("pipelines/"):
        folder = shutil.copytree(YearOnAzureDevOps.folder, project.root.parent / "pipelines")
        file = folder.parent / bug.module
        file.write_text(bug.in_text(file.read_text(encoding="utf-8")), encoding="utf-8")
        YearOnAzureDevOps.folder = folder
        return search(YearOnAzureDevOps, project)
    for name in [each for each in sys.modules if re.match(ANEW, each)]:
        del sys.modules[name]
    sys.meta_path.insert(0, Seeded(bug))
    name = ("year_azure_devops", "YearOnAzureDevOps") if "azure_devops" in bug.module else ("year", "Year")
    machine = getattr(importlib.import_module(name[0]), name[1])
    return search(machine, importlib.import_module("mlops.config").Project.load(project.root))


ANEW = r"(mlops|year|year_\w+|azure_ml|troubles|github_runs|scripts|fake_az|clouds|fake_azure|rendered)(\.|$)"
"""The modules that are imported again with the error."""


def search(machine: type[Year], project: Project) -> str:
    """Let years go by until a promise is broken."""
    for number in range(1, 4):
        try:
            live(machine, project, ENOUGH // 3, number)
        except AssertionError as error:
            return f"broken after {machine.totals['sequences'] + 1} sequences: {error}"
    return "nothing is broken"


class Seeded:
    """Imports one module with another text."""

    def __init__(self, bug: Bug) -> None:
        """Keep the error."""
        self._bug, self._name = bug, f"mlops.{bug.module}"

    def find_spec(self, name: str, path: object, target: object = None) -> ModuleSpec | None:
        """Say how to import the module."""
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec
        assert spec.origin
        text = Path(spec.origin).read_text(encoding="utf-8")
        return importlib.util.spec_from_loader(name, Altered(self._bug.in_text(text)))


class Altered(Loader):
    """Gives a module another text."""

    def __init__(self, text: str) -> None:
        """Keep it."""
        self._text = text

    def exec_module(self, module: ModuleType) -> None:
        """Run it."""
        exec(compile(self._text, module.__name__, "exec"), module.__dict__)
