"""A project against time: see `year`."""

import importlib
import importlib.util
import json
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
from typing import Any

import hypothesis
import pytest
import year_page
import year_story
from clouds import MONITOR
from hypothesis import HealthCheck, Phase, reproduce_failure, seed, settings
from hypothesis.stateful import run_state_machine_as_test
from rendered import HERE
from troubles import Trouble
from year import Year
from year_azure_devops import YearOnAzureDevOps
from year_bugs import BUGS, Bug
from year_github import YearOnGitHub
from year_table import EVENTS, PROMISES
from year_training import YearWithTraining
from year_world import PROTECTED

from mlops.config import Project

SEQUENCES = int(os.environ.get("SEQUENCES", "30"))
"""How many there are in all ways together, at least."""

PART = os.environ.get("PART", "1/1")
"""Which part of the sequences, or of the seeded errors, this process takes."""

ENOUGH = 120
"""After how many sequences a seeded error must be found."""

DOCS = Path(__file__).parents[2] / "docs"
STORIES = Path(__file__).with_name("year_bugs.json")
"""For each seeded error what a search has found: it is played first, which takes a moment where a search takes many."""

WRITE = "MLOPS_WRITE_YEAR" in os.environ

REPLAY = os.environ.get("REPLAY", "")
"""What the report of a failure names: the sequence that failed."""


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


PIPELINES = {"github-actions": YearOnGitHub, "azure-devops": YearOnAzureDevOps}
BY_PIPELINES = {
    system.removesuffix("-actions"): PIPELINES[system]
    for system in os.environ.get("SYSTEMS", " ".join(PIPELINES)).split()
}
"""Those of the systems that this process is about."""


@pytest.mark.parametrize("way", ["memory", HERE.version, *BY_PIPELINES])
def test_nothing_that_a_year_brings_breaks_a_promise(way: str, a_project: Project) -> None:
    """Without a client most often; by the client of each mlops version, and by the pipelines, in a tenth of all."""
    part, parts = map(int, PART.split("/"))
    machine = type("AYear", (BY_PIPELINES.get(way, Year),), {"totals": Counter(), "idle": Counter()})
    machine.client = way if way == HERE.version else "memory"
    sequences = SEQUENCES * 65 // 100 if way == "memory" else max(SEQUENCES // 10, 20)
    sequences = -(-sequences // 4) if way.startswith("python") else sequences  # SDKs build objects for each call
    live(machine, a_project, -(-sequences // parts), part, shrink="SHRINK" in os.environ)
    found = machine.totals
    effective = found["all"] - found["idle"]
    print(
        f"year by {way.replace('-', '_')}: {found['sequences']} sequences, {found['all']} events, {effective} effective"
    )
    print("Without an effect:", machine.idle.most_common(5))


def test_a_run_again_brings_back_what_a_newer_run_left_when_a_third_one_was_lost(a_project: Project) -> None:
    """The same code was delivered before, and that of the lost run has not reached its end: nothing is wrong."""
    Year.project, Year.begun = a_project, None
    machine = Year()
    machine.push("other code", Trouble("refused", 3))
    machine.deliver_by_hand("test", 0, "", "right", Trouble("refused", 20))
    again = machine.people.failed[-1]
    machine.deliver_by_hand("test", 0, "", "right", None)
    machine.leave_unfinished(1, 20)
    assert again.at == "test"
    machine.run_again(machine.people.failed.index(again), None)
    assert again.at == PROTECTED, "it has not gone on"
    assert machine.people.newest["test"][0] > again.number
    machine.teardown()


def test_a_delivery_with_another_hash_may_end_the_pin_of_a_run_that_was_lost(a_project: Project) -> None:
    Year.project, Year.begun = a_project, None
    machine = Year()
    machine.deliver_by_hand("dev", 1, "--pin", "no hash", Trouble("killed after", 4))
    assert machine.world.marked("dev", "pinned") == {"9"}
    machine.deliver_by_hand("dev", 1, "", "another hash", None)
    assert machine.world.marked("dev", "pinned") == set()
    machine.teardown()


@pytest.mark.parametrize("way", BY_PIPELINES)
def test_a_training_that_failed_is_started_again_by_who_runs_the_job_again(way: str, a_project: Project) -> None:
    BY_PIPELINES[way].project, BY_PIPELINES[way].begun = a_project, None
    machine = BY_PIPELINES[way]()
    machine.push("broken data", None)
    machine.people.qualities.clear()
    machine.people.quality = 5  # which was repaired where it comes from
    before = machine.world.jobs()
    machine.run_failed_jobs_again(0, None)
    assert len(machine.world.jobs() - before) == 1
    assert machine.people.waiting
    machine.teardown()


@pytest.mark.parametrize("way", BY_PIPELINES)
def test_a_run_knows_the_environment_that_was_taken_away_and_came_back_since(way: str, a_project: Project) -> None:
    BY_PIPELINES[way].project, BY_PIPELINES[way].begun = a_project, None
    machine = BY_PIPELINES[way]()
    machine.add_or_remove_environment(None)
    machine.train_on_schedule(None)
    machine.deliver_by_hand("test", 0, "--force", "right", Trouble("refused", 20))
    for _ in range(2):
        machine.add_or_remove_environment(None)
    machine.run_again(0, None)
    assert "runs again in test -> test done, stage done" in machine.world.story[-1]
    machine.teardown()


def test_a_canary_that_another_verb_deletes_has_no_more_requests(a_project: Project) -> None:
    Year.project, Year.begun = a_project, None
    machine = Year()
    machine.push("better data", None)
    turns = [sign == "1" for sign in "011010011110100001011011000010"]
    machine.two_at_once(turns, "rollback")
    machine.teardown()


def test_a_rollback_that_fails_where_nothing_serves_comes_to_its_end(a_project: Project) -> None:
    Year.project, Year.begun = a_project, None
    machine = Year()
    machine.tear_down(0, None)
    machine.deliver_by_hand("dev", 1, "--hold", "right", None)
    machine.roll_back("dev", None, Trouble("quota", 1))
    assert "the endpoint has no deployment" in machine.world.story[-1]
    machine.teardown()


def test_a_rollback_that_is_left_at_the_end_of_a_year_is_completed_by_a_run_older_than_the_last_push(
    a_project: Project,
) -> None:
    YearOnGitHub.project, YearOnGitHub.begun = a_project, None
    machine = YearOnGitHub()
    machine.push("other code", None)
    machine.roll_back("dev", 1, Trouble("killed after", 17))
    assert len(machine.world.answering("dev")) == 2
    machine.teardown()


def test_a_rollback_goes_back_to_what_served_before_though_the_run_that_put_it_there_was_lost(
    a_project: Project,
) -> None:
    Year.project, Year.begun = a_project, None
    machine = Year()
    machine.deploy_by_hand(PROTECTED, 1, "online", Trouble("killed after", 17))
    assert machine.world.version(PROTECTED) == "9"
    machine.push("better data", None)
    machine.approve(0, None)
    assert machine.world.version(PROTECTED) not in ("9", "10")
    machine.roll_back(PROTECTED, None, None)
    assert machine.world.version(PROTECTED) == "9"
    machine.teardown()


def test_a_run_is_older_than_one_that_built_up_again_what_was_deleted(a_project: Project) -> None:
    """The generations of the deployments begin anew there, so that the delivery looks like one that was completed."""
    Year.project, Year.begun = a_project, None
    machine = Year()
    machine.leave_unfinished(0, 15)
    assert machine.people.failed[-1].at == "dev"
    machine.train_by_hand(None)
    machine.people.change_code()
    machine.world.write()
    machine.azure.workspaces["test"].online = None
    machine.deliver_by_hand("test", 1, "--unpin", "no hash", None)
    assert machine.world.version("test") == "9"
    machine.azure.workspaces["test"].online = None
    machine.run_again(0, None)
    assert "is newer than this one" in machine.world.story[-1]
    machine.teardown()


def test_a_delivery_switches_on_the_monitor_that_a_broken_teardown_has_switched_off(a_project: Project) -> None:
    Year.project, Year.begun = a_project, None
    machine = Year()
    machine.tear_down(2, Trouble("killed after", 2))
    assert machine.azure.workspaces[PROTECTED].schedules == {MONITOR: False}
    machine.deliver_by_hand(PROTECTED, 0, "", "right", None)
    assert machine.azure.workspaces[PROTECTED].schedules == {MONITOR: True}
    machine.teardown()


def test_what_breaks_beside_another_verb_is_not_taken_for_a_success(a_project: Project) -> None:
    def breaks(_: object) -> None:
        raise KeyError("what no verb raises")

    Year.project, Year.begun = a_project, None
    machine = Year()
    with pytest.raises(KeyError, match="what no verb raises"):
        machine.world.run_together(PROTECTED, (breaks, lambda _: None), [])
    machine.world.close()


TRAINED = os.environ.get("TRAINED", "")
"""A project in which `mlops local` has trained."""


@pytest.mark.skipif(not TRAINED, reason="test_year.py at the top trains a model before")
def test_a_model_that_was_trained_goes_its_way(a_project: Project) -> None:
    YearWithTraining.project, YearWithTraining.begun = a_project, None
    [YearWithTraining.run] = (Path(TRAINED) / ".local" / "runs").iterdir()
    machine = YearWithTraining()
    world, before = machine.world, machine.world.version(PROTECTED)
    machine.train_really()
    machine.push("better data", None)
    assert world.folders, "nothing was trained"
    [(files, folder)] = world.folders.items()
    machine.approve(0, None)
    [serving] = world.online(PROTECTED)[1].values()
    assert serving.files == files
    assert world.hash(serving.files) == a_project.module("core.endpoint").model_hash(folder)
    machine.monitor_runs("drift", None)
    machine.deliver_by_hand(PROTECTED, 0, "--pin", "right", None)
    machine.deliver_by_hand(PROTECTED, 0, "--unpin", "right", None)
    machine.roll_back(PROTECTED, None, None)
    assert world.version(PROTECTED) == before
    machine.teardown()


def test_the_page_shows_a_year(a_project: Project) -> None:
    year_page.AYear.project, Year.begun = a_project, None
    world = year_page.AYear().live()
    written = {"year.svg": year_page.picture(world), "year.md": year_page.page(world)}
    head, mark, _ = (DOCS / "year.md").read_text(encoding="utf-8").partition("<!-- the story -->\n\n")
    written["year.md"] = f"{head}{mark}{written['year.md']}\n"
    for name, text in written.items():
        if WRITE:
            (DOCS / name).write_text(text, encoding="utf-8")
        assert (DOCS / name).read_text(encoding="utf-8") == text, "MLOPS_WRITE_YEAR=1 make year writes the page anew"


def test_the_page_says_how_many_errors_are_seeded() -> None:
    assert f"{len(BUGS)} seeded into" in (DOCS / "year.md").read_text(encoding="utf-8")


def own_part(names: Iterable[str]) -> list[str]:
    """Return the part of the names that this process takes."""
    part, parts = map(int, PART.split("/"))
    return sorted(names)[part - 1 :: parts]


def way_to(bug: Bug) -> str:
    """Return which way a year has to go to meet an error."""
    if bug.way:
        return bug.way
    if bug.module.startswith("workflows/"):
        return "github"
    return "azure-devops" if bug.module.startswith("pipelines/") or "azure_devops" in bug.module else "memory"


@pytest.mark.parametrize(
    "name", own_part(name for name, bug in BUGS.items() if way_to(bug) in ("memory", *BY_PIPELINES))
)
def test_a_seeded_error_breaks_a_promise(name: str, a_project: Project) -> None:
    """In a child of this process, because the modules with the error stay where they were imported."""
    bug, (reader, writer) = BUGS[name], os.pipe()
    if child := os.fork():
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as stream:
            text = stream.read()
        os.waitpid(child, 0)
        assert text.startswith("{"), text[:3000]
        found = json.loads(text)
        search = f"after {found['after']} sequences, {found['by']}"
        print(f"{name}: broken {search if found['after'] else 'by events that a person wrote'}")
        assert bug.breaks in found["violation"].splitlines()[0], found["violation"][:3000]
        if WRITE:
            kept = json.loads(STORIES.read_text(encoding="utf-8")) | {name: {key: found[key] for key in KEPT}}
            lines = [f"{json.dumps(each)}: {json.dumps(kept[each])}" for each in BUGS if each in kept]
            STORIES.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
        return
    try:
        outcome = json.dumps(found_with(name, a_project))
    except BaseException as error:
        outcome = f"no violation but {error!r}"
    with os.fdopen(writer, "w", encoding="utf-8") as stream:
        stream.write(outcome)
    os._exit(0)


@pytest.mark.parametrize("way", ["memory", *BY_PIPELINES])
def test_each_kind_of_event_has_an_effect(way: str, a_project: Project) -> None:
    machine = BY_PIPELINES.get(way, Year)
    machine.project, machine.begun = a_project, None
    for name in own_part(EVENTS):
        shown = EVENTS[name]
        if shown.by_pipelines == (way in BY_PIPELINES):
            year = machine()
            assert year_story.play(year, shown.events) == 0, f"{name} is not possible"
            assert re.search(shown.says, "\n".join(year.world.story), re.M), f"{name}: {year.world.story}"


def test_both_systems_bring_each_kind_of_event_and_all_that_come_without_them() -> None:
    alone, github, azure_devops = (
        {each.function.__name__ for each in machine.setup_state().rules} for machine in (Year, *PIPELINES.values())
    )
    assert alone < github
    assert github == azure_devops


def test_each_seeded_error_is_met_on_a_way_that_there_is() -> None:
    assert {way_to(bug) for bug in BUGS.values()} <= {"memory", "github", "azure-devops"}


def test_each_promise_has_errors_that_break_it() -> None:
    assert {name for names in PROMISES.values() for name in names} <= BUGS.keys()
    assert all(PROMISES.values())


@pytest.mark.parametrize("way", ["memory", *BY_PIPELINES])
def test_what_shows_a_seeded_error_breaks_nothing_without_it(way: str, a_project: Project) -> None:
    machine = BY_PIPELINES.get(way, Year)
    machine.project, machine.begun = a_project, None
    stories = {name: kept["events"] for name, kept in json.loads(STORIES.read_text(encoding="utf-8")).items()}
    assert stories.keys() == BUGS.keys(), "MLOPS_WRITE_YEAR=1 make year searches for them anew"
    for name in own_part(stories):
        if way_to(BUGS[name]) == way:
            year_story.play(machine(), year_story.read(stories[name]))


Found = dict[str, Any]
KEPT = ("after", "events")
"""What is kept of a seeded error: after how many sequences it was found, and events that show it.

`after` is null where no search finds it soon, and a person wrote the events.
"""


def found_with(name: str, project: Project) -> Found:
    """Return which promise a seeded error breaks, and how."""
    bug = BUGS[name]
    machine = BY_PIPELINES.get(way_to(bug), Year)
    if bug.module.startswith("workflows/"):
        YearOnGitHub.files[bug.module] = bug.in_text(YearOnGitHub.files[bug.module])
    elif bug.module.startswith("pipelines/"):
        folder = shutil.copytree(YearOnAzureDevOps.folder, project.root.parent / "pipelines")
        file = folder.parent / bug.module
        file.write_text(bug.in_text(file.read_text(encoding="utf-8")), encoding="utf-8")
        YearOnAzureDevOps.folder = folder
    else:
        for module in [each for each in sys.modules if re.match(ANEW, each)]:
            del sys.modules[module]
        sys.meta_path.insert(0, Seeded(bug))
        machine = getattr(importlib.import_module(machine.__module__), machine.__name__)
        project = importlib.import_module("mlops.config").Project.load(project.root)
    machine.project, machine.begun = project, None
    stories = json.loads(STORIES.read_text(encoding="utf-8"))
    kept = stories.get(name)
    if kept and not (WRITE and kept["after"]):
        try:
            year_story.play(machine(), year_story.read(kept["events"]))
        except AssertionError as error:
            if bug.breaks in str(error).splitlines()[0]:
                return {**kept, "by": "by what a search kept", "violation": str(error)}
    return search(machine, project, bug)


ANEW = (
    rf"({HERE.package}|mlops|year|year_(?!story)\w+|azure_ml|github_runs|scripts|quick_year|fake_az|clouds|fake_azure|"
    r"rendered)(\.|$)"
)
"""The modules that are imported again with the error."""


def search(machine: type[Year], project: Project, bug: Bug) -> Found:
    """Let years go by until a promise is broken, and find the fewest events that do it."""
    for number in range(1, 4):
        try:
            live(machine, project, ENOUGH // 3, number)
        except AssertionError as error:
            after, violation, events = machine.totals["sequences"] + 1, str(error), machine.newest.done

            def fails(events: year_story.Events) -> bool:
                try:
                    year_story.play(machine(), events)
                except AssertionError as error:
                    return bug.breaks in str(error).splitlines()[0]
                return False

            if WRITE:
                events = year_story.fewer(events, fails)
            kept = year_story.written(events)
            return {"after": after, "by": "by a search", "violation": violation, "events": kept}
    raise LookupError("nothing is broken")


class Seeded:
    """Imports one module with another text."""

    def __init__(self, bug: Bug) -> None:
        """Keep the error."""
        science, _, name = bug.module.rpartition("/")
        self._bug, self._name = bug, f"{HERE.package if science else 'mlops'}.{name}"

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
