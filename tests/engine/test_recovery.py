"""The end of a rollback that stops half-way: cancelled, failed or killed at any of its calls to Azure."""

import itertools
from collections.abc import Callable, Iterator

import pytest
from command_line import run
from fake_az import FakeAzure
from quick_year import copied
from troubles import Trouble
from year import Year
from year_world import PROTECTED, World

from mlops import verbs
from mlops.azureml.backend import ModelVersion
from mlops.config import Project
from mlops.verbs import Session
from mlops.verbs.models import passed_with, passing_note

# One that is killed after a call is killed before the next one.
PEOPLE_WAIT = {"cancelled", "killed", "refused", "lost"}


@pytest.fixture
def year(a_project: Project) -> Iterator[Year]:
    """Version 10 serves in each environment, version 9 did before."""
    Year.project, Year.begun = a_project, None
    year = Year()
    yield year
    year.world.close()


def completed(year: Year) -> World:
    """The rollout of the bad version is completed."""
    return year.world


def canary(year: Year) -> World:
    """The bad version is the canary of a rollout that was killed."""
    year._push("better data", None)
    (delivery,) = year.people.waiting
    year.people.approved.add(delivery.sha256)
    begun = copied(year.azure.workspaces[PROTECTED])
    for call in itertools.count(1):
        year.azure.workspaces[PROTECTED] = copied(begun)

        def deliver(session: Session) -> None:
            verbs.deliver(session, model_version=delivery.version, sha256=delivery.sha256, sleep=year.world.sleep)

        year.world.run(PROTECTED, deliver, Trouble("killed", call))
        traffic, _ = year.world.online(PROTECTED)
        if len([share for share in traffic.values() if share]) == 2:
            break
    return year.world


def held(year: Year) -> World:
    """The bad version serves, and a newer one is held."""
    year._push("better data", None)
    (delivery,) = year.people.waiting
    year.people.approved.add(delivery.sha256)
    named = {"model_version": delivery.version, "sha256": delivery.sha256}
    year.world.run(PROTECTED, lambda session: verbs.deliver(session, **named, hold=True))
    return year.world


@pytest.mark.parametrize("kind", sorted(PEOPLE_WAIT))
@pytest.mark.parametrize("given", [completed, canary, held])
def test_a_rollback_that_stops_at_any_call_ends_with_one_version_that_has_all_traffic(
    year: Year, given: Callable[[Year], World], kind: str
) -> None:
    world = given(year)
    looked = world.run(PROTECTED, verbs.look).outputs
    bad, good = looked["bad"], looked["model_version"]
    azure, shared = copied(year.azure), year.azure
    ends = set()

    def go_back(session: Session) -> None:
        verbs.rollback(session, bad=bad, sleep=world.sleep)

    def end(session: Session) -> None:
        verbs.end_rollback(session, bad)

    for call in itertools.count(1):
        fresh = copied(azure)
        shared.workspaces, shared.registry = fresh.workspaces, fresh.registry
        before = world.online(PROTECTED)
        before = dict(before[0]), {name: each.version for name, each in before[1].items()}
        world.run(PROTECTED, go_back, Trouble(kind, call))
        if world._calls < call:
            break
        assert not world.run(PROTECTED, end).error
        traffic, deployments = world.online(PROTECTED)
        after = {name: share for name, share in traffic.items() if share}
        versions = {name: each.version for name, each in deployments.items()}
        begun = bad in world.marked(PROTECTED, "rejected")
        if 100 in after.values() and begun and world.version(PROTECTED) == good:
            ends.add("completed")
            assert list(versions.values()) == [good]
            batch = shared.workspaces[PROTECTED].batch
            assert batch is None or batch.default == f"model-{good}"
        elif given is canary:
            # The rollback had changed nothing, or only given all traffic back: the delivery decides about the rest.
            ends.add("as before")
            assert not begun
            assert versions == before[1]
        else:
            ends.add("as before")
            assert world.version(PROTECTED) == bad
            # What was held goes with the begin of a rollout.
            assert set(versions.items()) <= set(before[1].items())
        state = world.snapshot()
        assert not world.run(PROTECTED, end).error
        assert world.snapshot() == state, "an end can be repeated"
        assert not world.run(PROTECTED, go_back).error
        assert world.version(PROTECTED) == good
        assert bad in world.marked(PROTECTED, "rejected")
    assert call > 10
    assert ends == {"as before", "completed"}


@pytest.mark.parametrize("kind", [*sorted(PEOPLE_WAIT), "quota"])
def test_a_rollback_from_what_has_no_traffic_ends_and_is_repeated_at_any_call(year: Year, kind: str) -> None:
    """A person took the traffic away from the bad version, so that nothing serves."""
    world, shared = year.world, year.azure
    world.online(PROTECTED)[0].update(dict.fromkeys(world.online(PROTECTED)[0], 0))
    azure, sha256, ends = copied(shared), world.hash(world.models(PROTECTED)["9"].files), set()

    def go_back(session: Session) -> None:
        verbs.rollback(session, bad="10", sleep=world.sleep)

    def end(session: Session) -> None:
        verbs.end_rollback(session, "10")

    def deliver(session: Session) -> None:
        verbs.deliver(session, model_version="9", sha256=sha256, sleep=world.sleep)

    year.people.approved.add(sha256)
    for call, is_ended in itertools.product(range(1, 99), [True, False]):
        fresh = copied(azure)
        shared.workspaces, shared.registry = fresh.workspaces, fresh.registry
        world.run(PROTECTED, go_back, Trouble(kind, call))
        if world._calls < call:
            break
        if is_ended:
            assert not world.run(PROTECTED, end).error
            versions = {each.version for each in world.online(PROTECTED)[1].values()}
            ends.add(world.version(PROTECTED) or " ".join(sorted(versions)))
            state = world.snapshot()
            assert not world.run(PROTECTED, end).error
            assert world.snapshot() == state, "an end can be repeated"
        again = go_back if world.online(PROTECTED)[1] else deliver
        assert not world.run(PROTECTED, again).error
        assert world.version(PROTECTED) == "9"
        assert list(world.online(PROTECTED)[0].values()) == [100]
        assert "10" in world.marked(PROTECTED, "rejected")
        assert {model.tags.get(f"leaving_{PROTECTED}", "false") for model in world.models(PROTECTED).values()} == {
            "false"
        }
    assert call > 10
    assert ends == ({""} if kind == "quota" else {"10", "", "9"})


def test_the_end_of_a_rollback_names_the_bad_version_and_nothing_else(project: Project, azure: FakeAzure) -> None:
    for words in (
        ["--abort"],
        ["--abort", "--from", "2", "--look"],
        ["--abort", "--from", "2", "--model-version", "1"],
    ):
        assert run("rollback", *words) == 1
    assert azure.log == []


@pytest.mark.parametrize("words", [["--from", "2"], ["--expected", "1"], ["--sha256", "a" * 64]])
def test_a_look_at_a_rollback_refuses_what_it_would_ignore(
    words: list[str], project: Project, azure: FakeAzure, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("rollback", "--look", *words) == 1
    assert "--look shows where a rollback goes" in capsys.readouterr().err
    assert azure.log == []


def test_what_waited_brings_no_older_code_back_after_a_rollback(year: Year) -> None:
    world, sha256 = year.world, year.world.hash(year.world.models(PROTECTED)["9"].files)
    waiting = year._delivery("9", sha256, PROTECTED)
    year.people.approved.add(sha256)
    year.people.change_code()
    world.write()
    newest = world.beside(year.azure.workspaces[PROTECTED])
    assert not world.run(PROTECTED, lambda session: verbs.rollback(session, sleep=world.sleep)).error
    year._deliver(waiting, None)
    [serving] = world.online(PROTECTED)[1].values()
    assert (serving.version, serving.beside) == ("9", newest)


def test_what_a_person_passes_on_at_a_terminal_leaves_the_newest_run_the_newest(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = Session.open(project.first_environment, root=project.root)
    name = session.config.environment
    model = ModelVersion("9", {f"passed_{name}": "before server#20"})
    monkeypatch.setattr("mlops.verbs.models._beside", lambda *_: "after")
    assert passing_note(session, model, session.config) == {f"passed_{name}": "after server#20"}
    assert passed_with(ModelVersion("9", {f"passed_{name}": "after server#20"}), name) == ("after", "server#20")


def an_older_push_waits(year: Year) -> None:
    """The newer of two pushes is approved first."""
    year._push("other code", None)
    year._push("other packages", None)
    year._approve(1, None)


def test_a_push_that_waited_does_not_take_a_newer_one_back(year: Year) -> None:
    an_older_push_waits(year)
    state = year.world.snapshot()
    year._approve(0, None)
    assert year.world.snapshot() == state
    assert "run 4 is newer than this one" in year.world.story[-1]


def test_a_year_sees_a_push_that_takes_a_newer_one_back(year: Year, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.verbs.models.is_newer", lambda run, than: False)
    an_older_push_waits(year)
    with pytest.raises(AssertionError, match="prod went back to the code of delivery 3"):
        year._approve(0, None)
