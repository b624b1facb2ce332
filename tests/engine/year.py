"""A year of one project as events in any order, told as a story. Hypothesis puts the events together.

The verbs are the real ones, Azure is `azure_ml`, and GitHub is here: which verb runs after which, with whose approval.
`year_world` has what must hold after each change; what is here must hold after an event, and in the end.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from datetime import time as clock
from typing import Any, ClassVar

from azure_ml import BROKEN, UNDER_LOAD, Azure, Model, Run, Workspace
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition
from troubles import KINDS, Trouble
from year_story import Events, rule
from year_world import ADDED, CHAIN, DAMAGED, PROTECTED, ZONE, Delivery, People, Result, World, copy_of

from mlops import verbs
from mlops.config import Project
from mlops.verbs import Session

PUSHES = {
    "better data": 1,
    "better data, whose model gives no predictions": 1,
    "better data, whose model fails under load": 1,
    "better data, whose model is slow under load": 1,
    "better data, whose model refuses its callers": 1,
    "better data, whose model is damaged on its way": 1,
    "worse data": -3,
    "broken data": 0,
    "other code": 0,
    "more machines": 0,
    "other packages": 0,
    "a newer template": 0,
}
NATURES = (BROKEN, *UNDER_LOAD, DAMAGED)
NEWER, LONG = "drift, and newer data is there", "drift for weeks"
TROUBLES = st.none() | st.builds(Trouble, st.sampled_from(list(KINDS)), st.integers(1, 40))
SOME = st.integers(0, 9)
BY_HAND: dict[str, st.SearchStrategy[Any]] = {
    "environment": st.sampled_from(CHAIN),
    "which": SOME,
    "option": st.sampled_from(("", "--force", "--hold", "--pin", "--unpin")),
    "typed": st.sampled_from(("right", "right", "right", "another hash", "no hash")),
    "trouble": TROUBLES,
}
"""What a person types who starts the workflow Deliver."""


class Year(RuleBasedStateMachine):
    """A team, its project, and all that happens to it."""

    project: Project
    client: str = "memory"
    begun: tuple[Azure, People] | None = None
    totals: ClassVar[Counter[str]] = Counter()
    idle: ClassVar[Counter[str]] = Counter()
    newest: ClassVar["Year"]

    def __init__(self) -> None:
        """Begin with two models that went all the way, one after the other."""
        super().__init__()
        self.done: Events = []
        type(self).newest = self
        azure = Azure({each: Workspace(each) for each in CHAIN})
        begun = copy_of(*self.begun) if self.begun else (azure, People())
        self.world = World(self.project, *begun, self.client, self._system())
        self.people, self.azure = self.world.people, self.world.azure
        self.world.write_chain()
        self.world.write()
        if not self.begun:
            for _ in range(2):
                self._push("better data", None)
                self._approve(0, None)
            assert {self.world.version(each) for each in CHAIN} == {"10"}, self.world.story
            type(self).begun = copy_of(self.azure, self.people)
            for begun in (self.world.story, self.world.moments, self.world.history):
                begun.clear()
            self.world.events.clear()

    def teardown(self) -> None:
        """Let the year end in quiet, and take the Azure away."""
        try:
            if not self.world.violation:
                self._end()
        finally:
            self.world.close()
            type(self).totals.update({"sequences": 1, **self.world.events})
            type(self).idle.update(self.world.idle)
            if "STORY" in os.environ:
                print("\n".join(self.world.story), file=sys.__stderr__)

    def _system(self) -> Mapping[str, str]:
        """Return the environment variables by which a verb knows what runs it."""
        return {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": "output", "GITHUB_STEP_SUMMARY": "summary"}

    # The workflows: which verb follows which.

    def _delivery(self, version: str, sha256: str, environment: str = CHAIN[0], option: str = "") -> Delivery:
        self.people.deliveries += 1
        return Delivery(self.people.deliveries, version, sha256, environment, option, commit=self.world.commit)

    def _typed(self, environment: str, which: int, typed: str) -> tuple[str, str, bool]:
        """Return a version, the newest one first, a hash as a person types it, and whether that is its own."""
        models = self.world.models(environment)
        version = sorted(models, key=int, reverse=True)[which % len(models)]
        hashes = {name: self.world.hash(model.files) for name, model in models.items()}
        sha256 = {"right": hashes[version], "another hash": min(hashes.values()), "no hash": ""}[typed]
        return version, sha256, sha256 == hashes[version]

    def _deliver(self, delivery: Delivery, trouble: Trouble | None) -> str:
        """Run the job of one environment with its last step, and those that follow; return how they ended."""
        with self.world.checkout(delivery):
            traffic, deployments = self.world.online(delivery.at)
            serving = max(deployments, key=lambda name: traffic.get(name, 0), default=None)
            self._beside_before = deployments[serving].beside if serving else ""
            return self._deliver_here(delivery, trouble)

    def _deliver_here(self, delivery: Delivery, trouble: Trouble | None) -> str:
        """Do that in the checkout of its run."""
        world, environment, version = self.world, delivery.at, delivery.version
        before, pins = world.version(environment), world.marked(environment, "pinned")
        answered = world.answering(environment)
        result, moved = self._job(delivery, trouble)
        after = world.version(environment)
        if not result.killed and before:
            world.require(after, f"{environment}: no deployment has all traffic after {delivery}")
            expected = {before, version} if moved == version else {before}
            world.require(after in expected, f"{environment}: version {after} serves after {delivery}, before {before}")
        if after and before and after != before and delivery.option != "--pin":
            world.require(int(after) > int(before), f"{environment} went back to version {after} without a pin")
            pinned = pins - {version} and delivery.option != "--unpin"
            world.require(not pinned, f"{environment} was pinned to {pins}, and version {after} serves")
        if delivery.option == "--hold" and not result.error:
            # What shares the traffic with an unfinished rollout has all of it when that is ended first.
            stays = after == before or (not before and after in answered)
            world.require(stays, f"{environment}: traffic moved although the delivery was held")
        new_pins = world.marked(environment, "pinned") - pins
        kept = f"{environment} is pinned to {new_pins}, and version {after} serves"
        last = after or "".join(self.people.served[environment][-1:])  # where nothing serves any more
        world.require(result.killed or new_pins <= {last}, kept)
        if result.error:
            excuse = (trouble and trouble.excuses) or self._excuse(delivery, answered)
            world.require(excuse, f"{environment}: {delivery} fails although nothing is wrong: {result.error}")
            self.people.failed.append(delivery)
            return f"{environment}: {short(result.error)}"
        return self._delivered(delivery, result.outputs)

    def _job(self, delivery: Delivery, trouble: Trouble | None) -> tuple[Result, str]:
        """Run the job of one environment; return what came of it, and the version that served before its last step."""
        world, environment = self.world, delivery.at
        flags = {delivery.option[2:]: True} if delivery.option else {}
        looked = world.run(environment, lambda session: self._preview(session, delivery, **flags))
        state = world.snapshot()
        result = world.run(environment, lambda session: self._verb(session, delivery, **flags), trouble)
        moved = world.version(environment)
        refused = f"{environment}: a look refuses {delivery}, which is delivered: {looked.error}"
        world.require(result.error or not looked.error, refused)
        if looked.outputs.get("deliver") == "false" and not result.error:
            # No person was asked, so there was nothing to do, and what is handed on comes from the look.
            world.require(state == world.snapshot(), f"{environment}: {delivery} changes what a look called complete")
            for name in ("delivered", "next"):
                world.require(looked.outputs[name] == result.outputs[name], f"{environment}: another {name} was seen")
        if result.error and not result.killed:
            # The last step of the job, which runs after a failure and after a cancellation.
            self._check_last_step(environment, world.run(environment, verbs.abort))
        return result, moved

    def _verb(self, session: Session, delivery: Delivery, **flags: bool) -> None:
        options = {"model_version": delivery.version, "sha256": delivery.sha256}
        verbs.deliver(session, **options, **flags, sleep=self.world.sleep)

    def _preview(self, session: Session, delivery: Delivery, **flags: bool) -> None:
        options = {"model_version": delivery.version, "sha256": delivery.sha256}
        verbs.preview(session, **options, options=verbs.Options(**flags))

    def _check_last_step(self, environment: str, aborted: Result) -> None:
        text = f"{environment}: the last step of a failed run failed: {aborted.error}"
        self.world.require(not aborted.error, text)

    def _following(self, delivery: Delivery, outputs: dict[str, str]) -> str:
        """Return the environment that a delivery goes to next."""
        return outputs["next"]

    def _excuse(self, delivery: Delivery, answered: set[str]) -> bool:
        """Return whether a delivery must fail: for its model, its hash, or what people decided."""
        environment, world = delivery.at, self.world
        model = world.models(environment).get(delivery.version)
        if model is None or "person" in model.files or any(each in model.files for each in NATURES):
            return True
        promoted = environment == CHAIN[0] or f"promoted_{environment}" in model.tags
        # What served there once says how new a run has to be, also after a rollback or a teardown.
        before = {*answered, *self.people.served[environment]}
        known = [model, *(each for version, each in world.models(environment).items() if version in before)]
        runs = [each.tags.get(f"passed_{environment}", "").rpartition("#")[2] for each in known]
        passed = any(run.isdigit() and int(run) > delivery.number for run in runs)
        passed = passed and delivery.option not in ("--pin", "--force")
        older = any(int(delivery.version) < int(each) for each in answered) and delivery.option != "--pin"
        named = delivery.sha256 == world.hash(model.files) or not (delivery.sha256 or environment == PROTECTED)
        rejected = delivery.version in world.marked(environment, "rejected") or model.tags.get("rejected") == "true"
        return not promoted or older or passed or not named or rejected or bool(self._left_rollbacks(environment))

    def _left_rollbacks(self, environment: str) -> list[str]:
        """Return the versions from which a rollback has not reached its end: its run was lost."""
        tags = {version: model.tags for version, model in self.world.models(environment).items()}
        return [each for each in tags if tags[each].get(f"leaving_{environment}", "false") != "false"]

    def _delivered(self, delivery: Delivery, outputs: dict[str, str]) -> str:
        """Check what a delivery without an error left, and go on to the next environment."""
        world, environment = self.world, delivery.at
        if outputs["delivered"] == "true":
            # What a run has left unfinished since then is no reason to refuse what was there before it.
            newest, there = self.people.newest.get(environment, (0, ""))
            # In the first environment a newer run that had nothing to do leaves no trace.
            stale = environment != CHAIN[0] and not delivery.option and delivery.number < newest
            brings = world.beside(self.azure.workspaces[environment])
            same = brings in (there, self._beside_before)
            world.require(not stale or same, f"{environment} went back to the code of {delivery}, before run {newest}")
            if delivery.number >= newest:
                self.people.newest[environment] = (delivery.number, brings)
            traffic, deployments = world.online(environment)
            world.require(world.version(environment) == delivery.version, f"{environment} does not serve {delivery}")
            self._check_promoted(environment, delivery.version)
            serving = max(deployments, key=lambda name: traffic.get(name, 0))
            left = {each.version for name, each in deployments.items() if name != serving}
            # What a newer run holds stays when an older one finds nothing to do.
            held = world.marked(environment, "held")
            world.require(left <= held, f"{environment}: a deployment is left after {delivery}")
            beside, now = deployments[serving].beside, world.beside(self.azure.workspaces[environment])
            world.require(beside == now, f"{environment} has {beside} after {delivery}, and should have {now}")
            self._check_batch(environment)
        if not delivery.option:
            state = world.snapshot()
            world.run(environment, lambda session: self._verb(session, delivery))
            world.require(state == world.snapshot(), f"{environment}: the same delivery once more changes something")
            looked = world.run(environment, lambda session: self._preview(session, delivery)).outputs
            world.require(looked.get("deliver") == "false", f"{environment}: something is to be done after {delivery}")
        if following := self._following(delivery, outputs):
            delivery.at, delivery.option = following, ""
            if following != PROTECTED:
                return f"{environment} done, {self._deliver(delivery, None)}"
            self._wait(delivery)
            return f"{environment} done, waits for an approval"
        return f"{environment} {'done' if outputs['delivered'] == 'true' else 'stays as it is'}"

    def _check_promoted(self, environment: str, version: str) -> None:
        tags = self.world.models(environment)[version].tags
        promoted = environment == CHAIN[0] or f"promoted_{environment}" in tags
        self.world.require(promoted, f"{environment} has version {version}, which was not promoted")

    def _wait(self, delivery: Delivery) -> None:
        """Let a delivery wait for an approval."""
        self.people.waiting.append(delivery)

    def _check_batch(self, environment: str) -> None:
        batch, version = self.azure.workspaces[environment].batch, self.world.version(environment)
        found = batch and (batch.default, list(batch.deployments))
        expected = (f"model-{version}", [f"model-{version}"])
        self.world.require(found == expected, f"{environment} serves version {version}, its batch endpoint {found}")

    def _train(self, trouble: Trouble | None, *, job: str = "", trigger: str) -> str:
        """Run the workflow Train, and the delivery that follows it."""
        jobs = self.world.jobs()
        result = self.world.run("dev", lambda session: verbs.train(session, job=job), trouble)
        self._check_jobs(jobs)
        if result.error:
            return f"training: {short(result.error)}"
        outputs, new = result.outputs, "true"
        if not outputs["model_version"] or (
            trigger in ("schedule", "alert") and not outputs["registered"] == outputs["started"] == new
        ):
            return "the champion stays"
        return self._deliver(self._delivery(outputs["model_version"], outputs["sha256"]), None)

    def _check_jobs(self, before: set[str]) -> None:
        started = self.world.jobs() - before
        self.world.require(len(started) <= 1, f"one run of Train started {len(started)} jobs")

    # What people and machines do.

    @rule(what=st.sampled_from(list(PUSHES)), trouble=TROUBLES)
    def push(self, what: str, trouble: Trouble | None) -> None:
        """Push data, code or sizes, which trains and delivers."""
        self._push(what, trouble)

    def _push(self, what: str, trouble: Trouble | None) -> None:
        people, world = self.people, self.world
        world.tell(f"a push with {what}", trouble)
        if what == "other code":
            people.change_code()
        elif what == "more machines":
            people.machines = 1 + people.machines % 5
        elif what == "other packages":
            people.packages += 1
        elif what == "a newer template":
            people.template += 1
        else:
            people.data += 1
            people.quality = max(self._best() + PUSHES[what], 1) if PUSHES[what] else -1
            people.nature = next((nature for nature in NATURES if nature in what), "")
        world.write()
        world.told(self._train(trouble, trigger="push"))

    def _best(self) -> int:
        """Return how good the best data so far was."""
        return max([0, *self.people.qualities.values()])

    @precondition(lambda self: self.people.undone < 2)  # it is two pushes, and takes as long
    @rule()
    def undo_a_push(self) -> None:
        """Push other code, undo that, and approve what undoes it, while the first delivery waits."""
        world, people, code = self.world, self.people, self.people.code
        people.undone += 1
        self._push("other code", None)
        world.tell("that push is undone by another one")
        people.code = code
        world.write()
        world.told(self._train(None, trigger="push"), effective=True)
        if people.waiting and people.waiting[-1].commit == world.commit:
            self._approve(-1, None)

    @rule(trouble=TROUBLES)
    def train_on_schedule(self, trouble: Trouble | None) -> None:
        """Let a week pass."""
        self.people.time += timedelta(days=7)
        self.world.tell("the weekly training", trouble)
        self.world.told(self._train(trouble, trigger="schedule"))

    @rule(trouble=TROUBLES)
    def train_by_hand(self, trouble: Trouble | None) -> None:
        """Start the workflow that trains."""
        self.world.tell("a training by hand", trouble)
        self.world.told(self._train(trouble, trigger="workflow_dispatch"), effective=True)

    @precondition(lambda self: self.people.waiting)
    @rule(which=SOME, trouble=TROUBLES)
    def approve(self, which: int, trouble: Trouble | None) -> None:
        """Approve a delivery, perhaps late."""
        self._approve(which, trouble)

    def _approve(self, which: int, trouble: Trouble | None) -> None:
        self.world.require(self.people.waiting, "no delivery waits for an approval")
        delivery = self.people.waiting.pop(which % len(self.people.waiting))
        self.world.tell(f"a person approves {delivery}", trouble)
        self.people.approved.add(delivery.sha256)
        self.world.told(self._deliver(delivery, trouble))

    @precondition(lambda self: self.people.waiting)
    @rule(which=SOME, expired=st.booleans())
    def refuse(self, which: int, expired: bool) -> None:
        """Reject a delivery, or let 30 days pass."""
        delivery = self.people.waiting.pop(which % len(self.people.waiting))
        self.people.time += timedelta(days=30 if expired else 0)
        self.world.tell(f"{delivery} is {'not approved in 30 days' if expired else 'rejected by a person'}")
        self.world.told("done", effective=True)

    @precondition(lambda self: self.people.failed)
    @rule(which=SOME, trouble=TROUBLES)
    def run_again(self, which: int, trouble: Trouble | None) -> None:
        """Run a failed job again, with the inputs it had."""
        delivery = self.people.failed.pop(which % len(self.people.failed))
        self.world.tell(f"{delivery} runs again in {delivery.at}", trouble)
        self.world.told(self._deliver(delivery, trouble), effective=True)

    @rule(**BY_HAND)
    def deliver_by_hand(self, environment: str, which: int, option: str, typed: str, trouble: Trouble | None) -> None:
        """Start the workflow with a version that is there, and perhaps with a hash that is not its own."""
        environment = self._near(environment)
        world, (version, sha256, own) = self.world, self._typed(environment, which, typed)
        delivery = self._delivery(version, sha256, environment, option)
        words = ["by hand", *([option] if option else []), *(["with " + typed] if typed != "right" else [])]
        world.tell(f"{delivery} to {environment} {' '.join(words)}", trouble)
        if environment == PROTECTED:
            self.people.approved.add(sha256)
        before, settled = world.snapshot(), self._is_settled(environment)
        world.told(self._deliver(delivery, trouble), effective=True)
        if not own and (sha256 or environment == PROTECTED) and settled:
            world.require(before == world.snapshot(), f"{environment}: a delivery with {typed} changed something")

    def _is_settled(self, environment: str) -> bool:
        """Return whether no run has left a rollout or a pin that the last step of the next failed run ends."""
        pinned = self.world.marked(environment, "pinned")
        return len(self.world.online(environment)[1]) < 2 and pinned <= {self.world.version(environment)}

    @precondition(lambda self: any(map(self.world.version, CHAIN)))
    @rule(which=SOME, lost=st.none() | st.integers(12, 36))
    def leave_unfinished(self, which: int, lost: int | None) -> None:
        """Change the code, and deliver it with what serves: on hold, or until the machine is lost at a call."""
        world = self.world
        serving = [each for each in CHAIN if world.version(each)]
        environment = serving[which % len(serving)]
        world.tell("the scoring code is changed, and no workflow runs")
        self.people.change_code()
        world.write()
        world.told("done", effective=True)
        place = sorted(world.models(environment), key=int, reverse=True).index(world.version(environment))
        trouble = None if lost is None else Trouble("killed", lost)
        self.deliver_by_hand(environment, place, "--hold" if lost is None else "--force", "right", trouble)

    @precondition(lambda self: any(len(self.world.online(each)[1]) > 1 for each in self.people.chain))
    @rule(shift=st.booleans())
    def end_hold(self, shift: bool) -> None:
        """End what is unfinished, or give it all traffic."""
        world = self.world
        environment = next(each for each in self.people.chain if len(world.online(each)[1]) > 1)
        _, deployments = world.online(environment)
        name = max(deployments, key=lambda each: int(deployments[each].tags["generation"]))
        new = deployments[name]
        # A person looks at what is held before all traffic goes there.
        good = (
            new.works
            and not any(each in new.files for each in (BROKEN, *UNDER_LOAD))
            and new.version not in world.marked(environment, "rejected")
        )
        if shift and good:
            world.tell(f"a person gives {name} in {environment} all traffic")
            result = world.run(environment, lambda session: verbs.shift_traffic(session, 100))
            traffic, _ = world.online(environment)
            world.require(result.error or traffic[name] == 100, f"{environment}: {name} has not all traffic")
        else:
            world.tell(f"a person ends the rollout in {environment}")
            unfinished = world.online(environment)[0].get(name) != 100
            result = world.run(environment, lambda session: verbs.abort(session, held=True))
            world.require(not result.error, f"{environment}: {result.error}")
            self._check_repeated(
                f"the end of the rollout in {environment}",
                lambda: world.run(environment, lambda session: verbs.abort(session, held=True)),
            )
            # That of a rollback stays, for the rollback to be completed.
            tags = [model.tags for model in world.models(environment).values()]
            leaving = any(each.get(f"leaving_{environment}") == new.version for each in tags)
            left = len(world.online(environment)[1]) - 1
            world.require(
                not unfinished or not left or leaving,
                f"{environment}: {left} deployments are left after the end of a rollout",
            )
        world.told(short(result.error) or "done")

    @rule(
        environment=st.sampled_from(CHAIN),
        which=SOME,
        part=st.sampled_from(("online", "batch")),
        trouble=TROUBLES,
    )
    def deploy_by_hand(self, environment: str, which: int, part: str, trouble: Trouble | None) -> None:
        """Put a version behind one of the two endpoints alone, past the workflows."""
        environment = self._near(environment)
        world, models = self.world, self.world.models(environment)
        version = sorted(models, key=int, reverse=True)[which % len(models)]
        sha256 = world.hash(models[version].files)
        world.tell(f"version {version} is put behind the {part} endpoint of {environment} by hand", trouble)
        if environment == PROTECTED:
            self.people.approved.add(sha256)
        deploy = verbs.deploy_online if part == "online" else verbs.deploy_batch
        waits = {"sleep": world.sleep} if part == "online" else {}

        def put(session: Session) -> None:
            deploy(session, model_version=version, sha256=sha256, **waits)

        result = world.run(environment, put, trouble)
        batch = self.azure.workspaces[environment].batch
        behind = world.version(environment) if part == "online" else batch and batch.default.removeprefix("model-")
        world.require(result.error or behind == version, f"{environment}: {behind} is behind the {part} endpoint")
        if not result.error:
            self._check_promoted(environment, version)
            self._check_repeated(f"the deployment by hand in {environment}", lambda: world.run(environment, put))
        world.told(short(result.error) or "done", effective=True)

    @rule(environment=st.sampled_from(CHAIN), which=st.none() | st.none() | SOME, trouble=TROUBLES)
    def roll_back(self, environment: str, which: int | None, trouble: Trouble | None) -> None:
        """Go back, because what serves is bad, perhaps to a version that is named; a run that fails is repeated."""
        world, environment = self.world, self._near(environment)
        models = sorted(world.models(environment), key=int, reverse=True)
        target = "" if which is None else models[which % len(models)]
        world.tell(f"a rollback in {environment}{f' to version {target}' if target else ''}", trouble)
        present, rejected = world.version(environment), world.marked(environment, "rejected")
        alone = len(world.online(environment)[1]) == 1
        served = [each for each in self.people.served[environment] if each not in rejected | {present}]

        go_back = self._rollback(environment, target)
        if isinstance(go_back, str):
            world.told(short(go_back))
            return
        result = go_back(trouble)
        outcome = short(result.error) or "done"
        if trouble and world.version(environment):
            result = go_back(None)
            outcome += f"; once more: {short(result.error) or 'done'}"
        goes = present and present not in rejected and alone and not result.error
        if goes and target and target != present:
            after, marked = world.version(environment), world.marked(environment, "rejected")
            world.require(after == target, f"{environment}: back to version {after}, {target} was named")
            between = {each for each in models if int(target) < int(each) <= int(present)}
            world.require(between <= marked, f"{environment}: of {between} only {marked} are rejected")
        if goes and served and not target:
            after = world.version(environment)
            world.require(after == served[-1], f"{environment}: back to version {after}, before it was {served[-1]}")
            marked = world.marked(environment, "rejected")
            world.require(present in marked, f"{environment}: version {present} is not rejected")
            batch = self.azure.workspaces[environment].batch
            behind = batch.default if batch else ""
            world.require(
                behind != f"model-{present}", f"{environment}: version {present} is behind the batch endpoint"
            )
            self._check_repeated(f"the rollback in {environment}", lambda: go_back(None))
        world.told(outcome)

    def _check_repeated(self, what: str, repeat: Callable[[], Result]) -> None:
        """Check that what has reached its end changes nothing when it is done again."""
        state, result = self.world.snapshot(), repeat()
        self.world.require(not result.error, f"{what} fails when it is repeated: {result.error}")
        self.world.require(state == self.world.snapshot(), f"{what} changes something when it is repeated")

    def _rollback(self, environment: str, target: str) -> Callable[[Trouble | None], Result] | str:
        """Look from which version to which one a rollback goes; return the job that goes, or why there is none."""
        world, named = self.world, target or None
        looked = world.run(environment, lambda session: verbs.look(session, model_version=named))
        if environment == PROTECTED and not looked.error:
            self.people.approved.add(looked.outputs["sha256"])  # by the person who has seen where it goes
        begun = self._delivery("", "", environment)  # a run as any other

        def go_back(session: Session) -> None:
            bad, goal, sha256 = (looked.outputs[name] for name in ("bad", "model_version", "sha256"))
            verbs.rollback(session, bad=bad, model_version=named, expected=goal, sha256=sha256, sleep=world.sleep)

        def job(trouble: Trouble | None) -> Result:
            with world.checkout(begun):
                result = world.run(environment, go_back, trouble)
            if result.error and not result.killed:
                bad = looked.outputs["bad"]
                self._check_last_step(
                    environment, world.run(environment, lambda session: verbs.end_rollback(session, bad))
                )
            return result

        return looked.error or job

    @precondition(lambda self: any(self.world.marked(each, "rejected") for each in self.people.chain))
    @rule(which=SOME)
    def accept(self, which: int) -> None:
        """Take a rejection back."""
        world = self.world
        found = [(each, version) for each in self.people.chain for version in sorted(world.marked(each, "rejected"))]
        environment, version = found[which % len(found)]
        world.tell(f"version {version} is accepted in {environment} again")
        world.models(environment)[version].tags[f"rejected_{environment}"] = "false"
        world.told("done")

    @precondition(lambda self: any(self.azure.workspaces[PROTECTED].schedules.values()))
    @rule(
        kind=st.sampled_from(("drift", "drift, told late", NEWER, LONG, "no drift", "no data", "no data")),
        trouble=TROUBLES,
    )
    def monitor_runs(self, kind: str, trouble: Trouble | None) -> None:
        """Let the monitor of prod run on some days at the same time there, and the workflow look at the same in UTC."""
        world, runs = self.world, self.azure.workspaces[PROTECTED].runs
        self.people.time += timedelta(days=30)
        world.tell(f"the monitor of {PROTECTED} finds {kind}", trouble)
        first, days = self.people.time.date() + timedelta(days=1), 25 if kind == LONG else 3
        ends, jobs, drift = [], world.jobs(), kind.startswith("drift")
        if kind == NEWER:
            self.people.data, self.people.quality = self.people.data + 1, 1 + self._best()
            world.write()
        for day in range(days):
            date = first + timedelta(days=day)
            time = datetime.combine(date, clock(7), ZONE).astimezone(UTC)
            late = kind == "drift, told late" and day == 0
            runs.append(Run(f"run-{date:%Y%m%d}", time, drift, not late, "no data" if kind == "no data" else ""))
            self.people.time = datetime.combine(date, clock(9, 37), UTC)
            ends.append(self._look(trouble if day == 0 else None))
            runs[-1].tagged = True
        started = len(world.jobs() - jobs)
        # One for twice the days that the monitor looks back, for as long as there is drift.
        expected = -(-days // 10) if drift else 0
        world.require(started == expected, f"{kind} on {days} days started {started} trainings")
        world.told("; ".join(ends if days == 3 else dict.fromkeys(ends)))

    def _look(self, trouble: Trouble | None) -> str:
        """Run the workflow Monitor, and what follows it."""
        result = self.world.run(PROTECTED, lambda session: verbs.drift(session, now=self.people.time), trouble)
        if result.error or result.outputs["retrain"] != "true":
            return short(result.error) or "no training"
        return self._train(None, job=result.outputs["job"], trigger="alert")

    @rule(which=SOME)
    def act_in_the_studio(self, which: int) -> None:
        """Do without a verb what a person can do."""
        spaces, models = self.azure.workspaces, self.azure.workspaces["dev"].models
        idle = [
            (each, name)
            for each in self.people.chain
            for name, share in self.world.online(each)[0].items()
            if not share  # Azure refuses to delete any other one
        ]
        possible = [
            "model",
            *idle,
            *(each for each in self.people.chain if spaces[each].online),
            *spaces[PROTECTED].schedules,
        ]
        what = possible[which % len(possible)]
        if what == "model":
            self.world.tell("a person registers a model in dev")
            models[str(1 + max(map(int, models)))] = Model("a model of a person, quality 0, fine")
        elif isinstance(what, tuple):
            environment, name = what
            self.world.tell(f"a person deletes the deployment {name} of {environment}, which has no traffic")
            traffic, deployments = self.world.online(environment)
            del traffic[name], deployments[name]
        elif what in self.people.chain:
            self.world.tell(f"a person deletes the online endpoint of {what}")
            spaces[what].online = None
        else:
            self.world.tell(f"a person deletes the monitor of {PROTECTED}")
            spaces[PROTECTED].schedules.clear()
        self.world.told("done")

    @precondition(lambda self: self._built())
    @rule(which=SOME, trouble=TROUBLES)
    def tear_down(self, which: int, trouble: Trouble | None) -> None:
        """Delete the endpoints of an environment that has some."""
        built = self._built()
        environment = built[which % len(built)]
        self.world.tell(f"the endpoints of {environment} are torn down", trouble)
        result = self._teardown(environment, trouble)
        workspace = self.azure.workspaces[environment]
        left = [workspace.online, workspace.batch, *workspace.schedules]
        self.world.require(result.error or not any(left), f"{environment}: something is left after the teardown")
        if not result.error:
            self._check_repeated(f"the teardown of {environment}", lambda: self._teardown(environment, None))
        self.world.told(short(result.error) or "done")

    def _near(self, environment: str) -> str:
        """Return the environment, or for every other delivery and rollback in test the added one, where that is."""
        if environment == "test" and ADDED in self.people.chain and self.world.events["all"] % 2:
            return ADDED
        return environment

    @rule(trouble=TROUBLES)
    def add_or_remove_environment(self, trouble: Trouble | None) -> None:
        """Put an environment before the protected one, or take it away with all that is in it."""
        self._add_or_remove_environment(trouble)

    def _add_or_remove_environment(self, trouble: Trouble | None) -> None:
        world, people, spaces = self.world, self.people, self.azure.workspaces
        outcome = "done"
        if ADDED in people.chain:
            world.tell(f"environment {ADDED} is torn down and removed", trouble)
            result = self._teardown(ADDED, trouble) if ADDED in self._built() else None
            if result and result.error:
                outcome = f"{short(result.error)}; once more: {short(self._teardown(ADDED, None).error) or 'done'}"
            left = [spaces[ADDED].online, spaces[ADDED].batch, *spaces[ADDED].schedules]
            world.require(not any(left), f"{ADDED}: something is left after the teardown")
            people.chain = CHAIN
            del spaces[ADDED]
            people.failed = [each for each in people.failed if each.at != ADDED]
        else:
            world.tell(f"environment {ADDED} is added before {PROTECTED}")
            people.chain = (*CHAIN[:-1], ADDED, PROTECTED)
            spaces[ADDED] = Workspace(ADDED)
            # What is in reach of the protected one stays so.
            people.served[ADDED], people.passed[ADDED] = [], set(people.passed["test"])
        world.write_chain()
        world.write()
        world.told(outcome, effective=True)

    def _built(self) -> list[str]:
        spaces = self.azure.workspaces
        return [
            each for each in self.people.chain if spaces[each].online or spaces[each].batch or spaces[each].schedules
        ]

    def _teardown(self, environment: str, trouble: Trouble | None) -> Result:
        return self.world.run(environment, verbs.teardown, trouble)

    @precondition(lambda self: self.people.waiting)
    @rule(
        changes=st.lists(st.booleans(), min_size=10, max_size=60),
        other=st.sampled_from(("rollback", "delivery", "teardown")),
    )
    def two_at_once(self, changes: list[bool], other: str) -> None:
        """Approve a delivery while a person runs another verb in the same environment."""
        world, delivery = self.world, self.people.waiting.pop(0)
        world.tell(f"a person approves {delivery} while another one runs a {other} in {PROTECTED}")
        self.people.approved.add(delivery.sha256)
        errors = self._two_at_once(delivery, changes, other)
        traffic, deployments = world.online(PROTECTED)
        world.require(not deployments or 100 in traffic.values(), f"{PROTECTED}: no deployment has all traffic")
        world.told(" / ".join(short(error) or "done" for error in errors))

    def _two_at_once(self, delivery: Delivery, changes: list[bool], other: str) -> list[str]:
        """Run both, call by call, and then the last step of what failed; return their errors."""

        def deliver(session: Session) -> None:
            self._verb(session, delivery)

        others: dict[str, Callable[[Session], object]] = {"rollback": verbs.rollback, "teardown": verbs.teardown}
        with self.world.checkout(delivery):
            errors = self.world.run_together(PROTECTED, (deliver, others.get(other, deliver)), changes)
        if any(errors):
            self.world.run(PROTECTED, verbs.abort)
        return errors

    # The end.

    def _end(self) -> None:
        """After whatever happened, one push with better data and its approval bring everything in order."""
        world, people = self.world, self.people
        people.waiting.clear()
        people.change_code()
        for each in people.chain:
            for bad in self._left_rollbacks(each):
                with world.checkout(self._delivery("", "", each)):  # a run as any other
                    world.run(each, lambda session, bad=bad: verbs.rollback(session, bad=bad, sleep=world.sleep))
        for each in self.people.chain:
            for version in world.marked(each, "pinned"):
                world.models(each)[version].tags[f"pinned_{each}"] = "false"
        self._push("better data", None)
        version = max(self.azure.workspaces["dev"].models, key=int)
        world.require(people.waiting, "the last push does not come to an approval")
        self._approve(-1, None)
        for each in self.people.chain:
            _, deployments = world.online(each)
            found = [(deployment.version, deployment.beside) for deployment in deployments.values()]
            expected = [(version, world.beside(self.azure.workspaces[each]))]
            world.require(found == expected, f"{each} has {found} in the end, and should have {expected}")
            self._check_batch(each)
            schedules = self.azure.workspaces[each].schedules
            on = [True] if each == PROTECTED else []
            world.require([*schedules.values()] == on, f"{each} has the monitors {schedules or 'none'} in the end")


def short(text: str) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= 90 else f"{text[:90].rstrip()} ..."
