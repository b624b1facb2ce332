"""The rollout's state machine, played against a small model of an endpoint."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.verbs import rollout
from mlops.verbs.rollout import Step

ONE_SERVES = ({"blue": 100}, ["blue"])


class World:
    """An endpoint that refuses what Azure refuses; a step can fail before or after it had its effect."""

    def __init__(self, traffic: dict[str, int], deployments: list[str]) -> None:
        self.traffic, self.deployments = dict(traffic), list(deployments)

    def do(self, plan: rollout.Plan, step: Step) -> None:
        shares = plan.traffic(step)
        if shares is not None:
            assert shares.keys() <= set(self.deployments), "traffic to a deployment that does not exist"
            self.traffic = shares
        elif step is Step.CREATE:
            assert plan.new not in self.deployments
            self.deployments.append(plan.new)
        elif step is Step.CLEAR:
            for name in plan.leftovers:
                self.remove(name)
        elif step is Step.REMOVE_OLD:
            self.remove(str(plan.old))
        elif step is Step.REMOVE_NEW:
            self.remove(plan.new)

    def remove(self, name: str) -> None:
        assert not self.traffic.get(name), "a deployment with traffic was removed"
        self.deployments = [other for other in self.deployments if other != name]

    def check(self) -> None:
        assert sum(self.traffic.values()) in (0, 100)
        assert {name for name, share in self.traffic.items() if share} <= set(self.deployments)


def play(
    world: World, *, fails: dict[Step, str] | None = None, canary: int = 10, hold: bool = False
) -> tuple[Step, list[Step]]:
    """Roll out; `fails` says which steps fail, "before" or "after" they had their effect."""
    plan = rollout.plan(world.traffic, world.deployments, canary_percent=canary, hold=hold)
    step, steps = rollout.first_step(plan), []
    while step not in rollout.ENDS:
        steps.append(step)
        how = (fails or {}).get(step)
        if how != "before":
            world.do(plan, step)
        world.check()
        step = rollout.next_step(plan, step, succeeded=how is None)
    return step, steps


def test_a_rollout_goes_from_smoke_test_to_canary_to_full() -> None:
    world = World(*ONE_SERVES)
    end, steps = play(world)
    assert steps == [
        Step.CREATE,
        Step.SMOKE_TEST,
        Step.CANARY,
        Step.BAKE,
        Step.CONFIRM,
        Step.FULL,
        Step.REMOVE_OLD,
    ]
    assert (end, world.traffic, world.deployments) == (Step.DONE, {"green": 100}, ["green"])


def test_the_first_deployment_needs_no_canary() -> None:
    world = World({}, [])
    end, steps = play(world)
    assert steps == [Step.CREATE, Step.SMOKE_TEST, Step.FULL]
    assert (end, world.traffic, world.deployments) == (Step.DONE, {"blue": 100}, ["blue"])


def test_the_new_deployment_takes_the_free_colour() -> None:
    assert rollout.plan({"green": 100}, ["green"], canary_percent=10).new == "blue"
    assert rollout.plan({"theirs": 100}, ["theirs"], canary_percent=10).new == "blue"


def test_the_canary_gets_its_share_and_the_old_one_the_rest() -> None:
    plan = rollout.plan(*ONE_SERVES, canary_percent=25)
    assert plan.traffic(Step.CANARY) == {"blue": 75, "green": 25}


def test_a_held_rollout_stops_before_traffic_moves() -> None:
    world = World(*ONE_SERVES)
    end, steps = play(world, hold=True)
    assert (end, steps) == (Step.HELD, [Step.CREATE, Step.SMOKE_TEST])
    assert (world.traffic, world.deployments) == ({"blue": 100}, ["blue", "green"])


BEFORE_ALL_TRAFFIC = [Step.CREATE, Step.SMOKE_TEST, Step.CANARY, Step.BAKE, Step.CONFIRM, Step.FULL]


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("step", BEFORE_ALL_TRAFFIC)
def test_whatever_fails_the_old_deployment_has_all_traffic_and_the_new_one_is_gone(step: Step, how: str) -> None:
    world = World(*ONE_SERVES)
    end, _ = play(world, fails={step: how})
    assert (end, world.traffic, world.deployments) == (Step.FAILED, {"blue": 100}, ["blue"])


@pytest.mark.parametrize("how", ["before", "after"])
@pytest.mark.parametrize("step", [Step.CREATE, Step.SMOKE_TEST, Step.FULL])
def test_a_failed_first_deployment_leaves_an_endpoint_without_deployments(step: Step, how: str) -> None:
    world = World({}, [])
    end, _ = play(world, fails={step: how})
    assert end is Step.FAILED
    assert not world.deployments
    assert sum(world.traffic.values()) == 0


def test_traffic_never_goes_back_to_a_deployment_that_azure_may_be_deleting() -> None:
    world = World(*ONE_SERVES)
    end, _ = play(world, fails={Step.REMOVE_OLD: "before"})
    assert (end, world.traffic) == (Step.OLD_KEPT, {"green": 100})


def test_the_new_deployment_stays_when_its_traffic_cannot_be_taken_away() -> None:
    world = World(*ONE_SERVES)
    end, steps = play(world, fails={Step.BAKE: "after", Step.RESTORE: "before"})
    assert end is Step.STUCK
    assert Step.REMOVE_NEW not in steps
    assert world.traffic == {"blue": 90, "green": 10}


def test_an_interrupted_rollout_is_cleared_before_the_next_one() -> None:
    world = World({"blue": 90, "green": 10}, ["blue", "green"])
    end, steps = play(world)
    assert steps[:3] == [Step.RESET, Step.CLEAR, Step.CREATE]
    assert (end, world.traffic, world.deployments) == (Step.DONE, {"green": 100}, ["green"])


def test_a_deployment_that_is_not_ours_is_never_removed_for_being_in_the_way() -> None:
    world = World({"blue": 100}, ["blue", "shadow"])
    play(world)
    assert world.deployments == ["shadow", "green"]


@pytest.mark.parametrize(
    ("traffic", "deployments", "found"),
    [
        ({}, [], (None, None)),
        ({"blue": 100}, ["blue"], ("blue", None)),
        ({"blue": 100}, ["blue", "green"], ("blue", "green")),
        ({"blue": 90, "green": 10}, ["blue", "green"], ("blue", "green")),
        ({"blue": 10, "green": 90}, ["green", "blue"], ("green", "blue")),
        ({"green": 100}, ["blue", "green"], ("green", None)),
        ({"blue": 0}, ["blue"], (None, "blue")),
        ({"theirs": 100}, ["theirs", "blue"], ("theirs", "blue")),
        ({"blue": 100}, ["blue", "theirs"], ("blue", None)),
        ({"blue": 40, "green": 60}, ["blue", "green"], ("blue", "green")),
        ({"blue": 60, "green": 40}, ["green", "blue"], ("green", "blue")),
    ],
)
def test_what_is_left_of_a_rollout_is_the_newest_deployment_of_ours_without_all_traffic(
    traffic: dict[str, int], deployments: list[str], found: tuple[str | None, str | None]
) -> None:
    assert rollout.unfinished(traffic, deployments) == found


@pytest.mark.parametrize("canary", [10, 50, 60, 99])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", [*BEFORE_ALL_TRAFFIC, Step.REMOVE_OLD])
def test_a_rollout_that_was_killed_goes_back_to_the_old_deployment_until_the_new_one_has_all_traffic(
    step: Step, when: str, canary: int
) -> None:
    world = World(*ONE_SERVES)
    plan = rollout.plan(world.traffic, world.deployments, canary_percent=canary)
    current = rollout.first_step(plan)
    while current is not step:
        world.do(plan, current)
        current = rollout.next_step(plan, current, succeeded=True)
    if when == "after":
        world.do(plan, step)
    completed = world.traffic.get("green") == 100
    kept, new = rollout.unfinished(world.traffic, world.deployments)
    assert kept == ("green" if completed else "blue")
    assert new == ("green" if "green" in world.deployments and not completed else None)
    again = rollout.plan(world.traffic, world.deployments, canary_percent=canary)
    assert again.old == kept, "a rollout and the end of one agree on who serves"
    end, _ = play(world, canary=canary)
    assert end is Step.DONE
    assert list(world.traffic.values()) == [100]


worlds = st.sampled_from(
    [
        ({}, []),
        ({"blue": 100}, ["blue"]),
        ({"green": 100, "blue": 0}, ["blue", "green"]),
        ({"blue": 90, "green": 10}, ["blue", "green"]),
        ({"blue": 50, "green": 50}, ["blue", "green"]),
        ({"blue": 40, "green": 60}, ["blue", "green"]),
        ({"theirs": 100}, ["theirs"]),
        ({}, ["blue"]),
        ({"blue": 0}, ["blue", "green"]),
    ]
)
failures = st.dictionaries(
    st.sampled_from([step for step in Step if step not in rollout.ENDS]), st.sampled_from(["before", "after"])
)


@given(worlds, failures, st.integers(1, 99), st.booleans())
def test_no_order_of_failures_leaves_requests_without_an_answer(
    start: tuple[dict[str, int], list[str]], fails: dict[Step, str], canary: int, hold: bool
) -> None:
    world = World(*start)
    old, _ = rollout.unfinished(*start)
    end, steps = play(world, fails=fails, canary=canary, hold=hold)
    assert len(steps) == len(set(steps)), "a step ran twice"
    if old is not None:
        assert sum(world.traffic.values()) == 100
    if end is Step.FAILED and old is not None:
        assert world.traffic.get(old) == 100
        assert old in world.deployments


@given(worlds, st.sampled_from(BEFORE_ALL_TRAFFIC), st.sampled_from(["before", "after"]), st.integers(1, 99))
def test_one_failure_never_leaves_anything_half_way(
    start: tuple[dict[str, int], list[str]], step: Step, how: str, canary: int
) -> None:
    world = World(*start)
    old, _ = rollout.unfinished(*start)
    end, steps = play(world, fails={step: how}, canary=canary)
    if step in steps:
        assert end is Step.FAILED
        assert world.deployments == ([old] if old else [])
        assert world.traffic.get(str(old), 0) == (100 if old else 0)
