"""A year of one project: what may happen to it, told as events, and what must hold after each of them.

The verbs are the real ones; Azure is `azure_ml`, GitHub is a list of runs that wait for approvals. Hypothesis puts the
events together. What must hold is read from the state of Azure alone, never from what a verb says of itself.
"""

import contextlib
import copy
import io
import itertools
import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from azure_ml import Azure, Memory, Model, Online, Run, Training, Workspace
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from mlops import verbs
from mlops.config import Project, load_environment
from mlops.errors import UserError
from mlops.verbs import Session

CHAIN = ("dev", "test", "prod")
PROTECTED = "prod"
START = datetime(2026, 1, 5, 6, tzinfo=UTC)
BROKEN = "broken"
"""The word in the files of a model that no smoke test lets through."""


class KilledError(BaseException):
    """The machine that ran the verb is gone: nothing of the verb runs any more."""


@dataclass(frozen=True)
class Trouble:
    """What happens to one verb, at which of its calls to Azure."""

    call: int
    kind: str


TROUBLES = {
    "refused": "Azure refuses call {}",
    "lost": "Azure does call {}, and its answer is lost",
    "interrupted": "the run is cancelled at call {}",
    "killed": "the machine is lost before call {}",
    "killed after": "the machine is lost after call {}",
    "signed out": "the login expires at call {}",
    "quota": "there is no quota for another deployment",
}


@dataclass
class Delivery:
    """A run of the workflow Deliver: version and hash, chosen once, and the environment that it has come to."""

    number: int
    version: str
    sha256: str
    at: str
    option: str = ""
    approved: bool = False

    def __str__(self) -> str:
        """Name it as the story does."""
        return f"delivery {self.number} of version {self.version}"


@dataclass
class World:
    """What the story knows beside Azure."""

    time: datetime = START
    data: int = 0
    quality: int = 5
    code: int = 0
    size: int = 1
    qualities: dict[str, int] = field(default_factory=dict)
    deliveries: list[Delivery] = field(default_factory=list)
    failed: list[Delivery] = field(default_factory=list)
    approved: set[str] = field(default_factory=set)
    answered: dict[str, str] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    idle: Counter[str] = field(default_factory=Counter)
    numbers: int = 0


@dataclass
class Result:
    """What came of a verb: its error, "" when it did what it should, and what it handed on."""

    error: str
    outputs: dict[str, str]


class Turns:
    """Two verbs at once: before each call to Azure it is decided which of them goes on."""

    def __init__(self, order: list[bool]) -> None:
        """Take the decisions, in their order; when they are used up, each verb runs to its end."""
        self._order, self._condition = iter(order), threading.Condition()
        self._running, self._now = {0, 1}, 0
        self.calls: list[int] = []

    def run(self, *actions: Callable[[], None]) -> None:
        """Run both to their ends."""
        threads = [threading.Thread(target=self._one, args=(place, each)) for place, each in enumerate(actions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _one(self, place: int, action: Callable[[], None]) -> None:
        threading.current_thread().name = str(place)
        self._wait(place)
        try:
            action()
        finally:
            with self._condition:
                self._running.discard(place)
                self._now = 1 - place
                self._condition.notify_all()

    def pause(self) -> None:
        """Let the other verb go on, if that is decided."""
        place = int(threading.current_thread().name)
        with self._condition:
            if next(self._order, False) and 1 - place in self._running:
                self._now = 1 - place
                self._condition.notify_all()
        self._wait(place)

    def _wait(self, place: int) -> None:
        with self._condition:
            assert self._condition.wait_for(lambda: self._now == place or 1 - place not in self._running, timeout=60)


def place_of(environment: str) -> str:
    """Return the environment before one, "" for the first."""
    return CHAIN[CHAIN.index(environment) - 1] if environment != CHAIN[0] else ""


class Year(RuleBasedStateMachine):
    """A team, its project, and all that happens to it."""

    project: Project
    begun: tuple[Azure, World] | None = None
    totals: Counter[str] = Counter()
    idle: Counter[str] = Counter()
    sequences = 0

    def __init__(self) -> None:
        """Begin with a model that went all the way and one that came after it."""
        super().__init__()
        type(self).sequences += 1
        self.azure, self.world = copy.deepcopy(self.begun) if self.begun else (self._new_azure(), World())
        self.azure.before, self.azure.after, self.azure.pauses = self._before, self._after, self._pause
        self.azure.trains, self.azure.arrives = self._train_stub, self._arrive
        self.turns: Turns | None = None
        self.trouble: Trouble | None = None
        self.calls = 0
        self.outputs: dict[str, str] = {}
        self.rejected: dict[str, set[str]] = {each: set() for each in CHAIN}
        self.served: dict[str, set[str]] = {}
        self.problem = ""
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr("mlops.verbs.models.now", self._tag_time)
        self.patch.setattr("mlops.outputs._append", self._append)
        self.patch.setenv("GITHUB_ACTIONS", "true")
        self.patch.setenv("GITHUB_OUTPUT", "output")
        self.patch.setenv("GITHUB_STEP_SUMMARY", "summary")
        self._write()
        if not self.begun:
            self.push("better data", None)
            assert self.world.deliveries, self.world.story
            self.approve(0, None)
            assert {self.version(each) for each in CHAIN} == {"1"}, self.world.story
            type(self).begun = copy.deepcopy((self._plain(), self.world))
            self.azure.before, self.azure.after, self.azure.pauses = self._before, self._after, self._pause
            self.azure.trains, self.azure.arrives = self._train_stub, self._arrive
        self.world.events.clear()

    def _plain(self) -> Azure:
        nothing = Azure({})
        azure = copy.copy(self.azure)
        for name in ("before", "after", "pauses", "trains", "arrives"):
            setattr(azure, name, getattr(nothing, name))
        return azure

    @staticmethod
    def _new_azure() -> Azure:
        return Azure({each: Workspace(each) for each in CHAIN})

    def teardown(self) -> None:
        """Let the year end in quiet, and take the Azure away."""
        try:
            if not self.problem:
                self._quiet()
        finally:
            self.patch.undo()
            if "STORY" in os.environ:
                print("\n".join(self.world.story), file=sys.__stderr__)
            type(self).totals.update(self.world.events)
            type(self).idle.update(self.world.idle)

    # How Azure behaves while a verb runs.

    def _before(self, operation: str, changes: bool) -> None:
        self._pause()
        trouble = self.trouble
        self.calls += 1
        if trouble is None or self.calls < trouble.call:
            return
        if trouble.kind == "signed out":
            raise UserError("AADSTS70043: the login has expired")
        if self.calls > trouble.call:
            return
        if trouble.kind == "refused":
            raise UserError(f"(Conflict) {operation}: not now")
        if trouble.kind == "interrupted":
            raise KeyboardInterrupt
        if trouble.kind == "killed":
            raise KilledError

    def _after(self, operation: str, changes: bool) -> None:
        trouble = self.trouble
        if changes:
            self._check_each_change()
        if trouble and self.calls == trouble.call:
            if trouble.kind == "lost":
                raise UserError(f"(Timeout) {operation}: no answer")
            if trouble.kind == "killed after":
                raise KilledError

    def _pause(self) -> None:
        if self.turns:
            self.turns.pause()

    def _tag_time(self) -> str:
        self.world.time += timedelta(seconds=1)
        return f"{self.world.time:%Y-%m-%dT%H:%M:%SZ}"

    def _append(self, path: str, text: str) -> None:
        if path == "output":
            name, _, value = text.strip().partition("=")
            self.outputs[name] = value

    def _train_stub(self, workspace: Workspace, training: Training) -> None:
        """Do what the pipeline does: a model as good as its data, registered when it is better than the champion."""
        version = training.data["raw_data"]
        quality = self.world.qualities.setdefault(version, self.world.quality)
        if quality < 0:
            training.status = "Failed"
            return
        champion = self.champion()
        better = champion is None or quality > quality_of(workspace.models[champion].files)
        training.status = "Completed"
        training.registration = {"registered": better, "name": "a-model", "reasons": [f"quality {quality}"]}
        if better:
            number = str(1 + max(map(int, workspace.models), default=0))
            files = f"version {number}, quality {quality}" + (f", {BROKEN}" if quality % 7 == 6 else "")
            sha256 = self.hash(files)
            workspace.models[number] = Model(files, {"sha256": sha256})
            training.registration |= {"version": number, "sha256": sha256}

    def _arrive(self, files: str) -> str:
        """Copy files to the registry, where some do not arrive as they were."""
        return files + ", damaged" if "quality 11" in files else files

    # What is there.

    def online(self, environment: str) -> tuple[dict[str, int], dict[str, Online]]:
        """Return traffic and deployments."""
        endpoint = self.azure.workspaces[environment].online
        return (endpoint.traffic, endpoint.deployments) if endpoint else ({}, {})

    def version(self, environment: str) -> str:
        """Return the version that has all traffic, "" for none."""
        traffic, deployments = self.online(environment)
        return next((deployments[name].version for name, share in traffic.items() if share == 100), "")

    def shares(self, environment: str) -> set[str]:
        """Return the versions that have a share of the traffic."""
        traffic, deployments = self.online(environment)
        return {deployments[name].version for name, share in traffic.items() if share}

    def models(self, environment: str) -> dict[str, Model]:
        """Return the versions, where an environment takes them from."""
        return self.azure.workspaces["dev"].models if environment == "dev" else self.azure.registry or {}

    def marked(self, environment: str, mark: str) -> set[str]:
        """Return the versions that a tag of the environment says "true" of."""
        tag = f"{mark}_{environment}"
        return {version for version, model in self.models(environment).items() if model.tags.get(tag) == "true"}

    def champion(self) -> str | None:
        """Return the version that a new model has to beat, by the rule of the step `register`."""
        models = self.azure.workspaces["dev"].models.items()
        found = [_MlflowVersion(version, model.tags) for version, model in models]
        client = mock.Mock(search_model_versions=lambda *_, **__: _Page(found))
        best = self.project.module("core.endpoint").champion(client, "a-model")
        return best.version if best else None

    def hash(self, files: str) -> str:
        """Return the hash of the files of a model."""
        folder = self.project.root / ".local" / "files"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "MLmodel").write_text(files, encoding="utf-8")
        found: str = self.project.module("core.endpoint").model_hash(folder)
        return found

    def snapshot(self) -> str:
        """Return all of Azure as a text, without times."""
        return repr((self.azure.workspaces, self.azure.registry))

    # What must hold.

    def violated(self, text: str) -> None:
        """End the story with what did not hold."""
        self.problem = text
        lines = "\n".join(f"{number:3}. {line}" for number, line in enumerate(self.world.story, 1))
        raise AssertionError(f"{text}\n\n{lines}\n\nnow: {self.state()}\n")

    def require(self, condition: object, text: str) -> None:
        """Check an invariant."""
        if not condition:
            self.violated(text)

    def state(self) -> str:
        """Return the environments as one line."""
        return " | ".join(f"{each} {self._state_of(each)}" for each in CHAIN)

    def _state_of(self, environment: str) -> str:
        traffic, deployments = self.online(environment)
        parts = [
            f"{name}={each.version}:{traffic.get(name, 0)}%" + ("" if each.works else "!")
            for name, each in deployments.items()
        ]
        return " ".join(parts) or "-"

    def _check_each_change(self) -> None:
        for each in CHAIN:
            traffic, deployments = self.online(each)
            serving = {name for name, share in traffic.items() if share}
            self.require(sum(traffic.values()) in (0, 100), f"{each}: the traffic does not add up")
            self.require(serving <= deployments.keys(), f"{each}: requests go to a deployment that is not there")
            broken = [name for name in serving if not deployments[name].works]
            self.require(not broken, f"{each}: requests go to {broken}, which failed")
            if self.served.get(each) and not serving:
                healthy = [name for name, deployment in deployments.items() if deployment.works]
                self.require(not healthy, f"{each}: requests fail although {healthy} could answer")
            bad = [name for name in serving if BROKEN in deployments[name].files]
            self.require(not bad, f"{each}: requests get no predictions from {bad}")
            back = {deployments[name].version for name in serving} & self.rejected[each]
            self.require(
                back <= self.served.get(each, set()), f"{each}: version {back} is back, although it was rejected"
            )
            if each == PROTECTED:
                hashes = {self.hash(deployments[name].files) for name in serving}
                self.require(hashes <= self.world.approved, f"{each} serves a model that no person approved")

    def _check_kept(self, before: Azure) -> None:
        """Nothing is lost: data, versions, decisions."""
        for each in CHAIN:
            old, new = before.workspaces[each], self.azure.workspaces[each]
            for name, versions in old.data.items():
                self.require(set(versions) <= set(new.data[name]), f"{each}: a data version is gone")
            self.require(old.models.keys() <= new.models.keys(), f"{each}: a model version is gone")
            self.require(old.jobs.keys() <= new.jobs.keys(), f"{each}: a job is gone")
        self.require((before.registry or {}).keys() <= (self.azure.registry or {}).keys(), "a copy is gone")

    # How a verb runs.

    def session(self, environment: str) -> Session:
        """Open an environment, as each run does."""
        config = load_environment(self.project, environment)
        return Session(self.project, config, Memory(self.azure, config))

    def run(self, environment: str, verb: Callable[[Session], object], trouble: Trouble | None = None) -> Result:
        """Run a verb in the middle of what is there."""
        before = self._plain_copy()
        self.rejected = {each: self.marked(each, "rejected") for each in CHAIN}
        self.served = {each: self.shares(each) for each in CHAIN}
        self.trouble, self.calls, self.outputs = trouble, 0, {}
        self.azure.quota = trouble is None or trouble.kind != "quota"
        error = ""
        try:
            with quiet():
                verb(self.session(environment))
        except UserError as problem:
            error = str(problem)
        except KeyboardInterrupt:
            error = "cancelled"
        except KilledError:
            error = "killed"
        self.trouble, self.azure.quota = None, True
        self._check_kept(before)
        if not error or "--accept" not in error:
            for each in CHAIN:
                kept = self.rejected[each] <= self.marked(each, "rejected")
                self.require(kept, f"{each}: a rejection was taken back, which only --accept does")
        return Result(error, self.outputs)

    def _plain_copy(self) -> Azure:
        return copy.deepcopy(self._plain())

    def tell(self, sentence: str, trouble: Trouble | None = None) -> None:
        """Begin an event."""
        more = f"; {TROUBLES[trouble.kind].format(trouble.call)}" if trouble else ""
        self.world.story.append(f"[{self.world.time:%d %b}] {sentence}{more}")
        self.world.events["events"] += 1
        self._mark = self.snapshot()

    def told(self, outcome: str) -> None:
        """End an event: with what came of it, and what serves now."""
        failed = outcome and not outcome.endswith(("done", "stays as it is", "champion stays"))
        self.world.story[-1] += f" -> {outcome}" if outcome else ""
        self.world.story[-1] += f"\n       {self.state()}"
        if self._mark == self.snapshot() and not failed:
            self.world.events["idle"] += 1
            self.world.idle[self.world.story[-1].split("] ")[1].split("\n")[0][:40]] += 1

    # The workflows.

    def _deliver(self, delivery: Delivery, trouble: Trouble | None) -> str:
        """Run the job of one environment, with its last step; return how it ended."""
        environment = delivery.at
        options = {"model_version": delivery.version, "sha256": delivery.sha256}
        flags: dict[str, bool] = {delivery.option[2:]: True} if delivery.option else {}
        if environment == PROTECTED:
            self.world.approved.add(delivery.sha256)
        before = self.version(environment)
        held = len(self.online(environment)[1]) > 1
        result = self.run(environment, lambda session: verbs.deliver(session, **options, **flags), trouble)
        killed = result.error == "killed"
        if result.error and not killed:
            # Its last step, which runs after a failure and after a cancellation.
            aborted = self.run(environment, verbs.abort)
            self.require(not aborted.error, f"{environment}: the last step of a failed run failed: {aborted.error}")
        after = self.version(environment)
        if not killed and before and not flags.get("hold"):
            self.require(after, f"{environment}: after {delivery} no deployment has all traffic")
            self.require(
                after in (before, delivery.version),
                f"{environment}: after {delivery} version {after} serves, before it was {before}",
            )
        if not result.error and not flags.get("hold"):
            number = len(self.online(environment)[1])
            self.require(number <= 1 or held, f"{environment}: {number} deployments after {delivery}")
        if result.error:
            self.world.failed.append(delivery)
            return f"{environment} {result.error[:160]}"
        repeated = self.snapshot()
        if not flags:
            self.run(environment, lambda session: verbs.deliver(session, **options))
            self.require(repeated == self.snapshot(), f"{environment}: the same delivery once more changes something")
        following = result.outputs.get("next", "")
        if following:
            delivery.at, delivery.option = following, ""
            if following == PROTECTED:
                self.world.deliveries.append(delivery)
                return f"{environment} done, waits for the approval of {PROTECTED}"
            return f"{environment} done, " + self._deliver(delivery, None)
        return f"{environment} " + ("done" if result.outputs.get("delivered") == "true" else "stays as it is")

    def _start_delivery(self, version: str, sha256: str, trouble: Trouble | None, environment: str = "dev") -> str:
        self.world.numbers += 1
        return self._deliver(Delivery(self.world.numbers, version, sha256, environment), trouble)

    def _train(self, trouble: Trouble | None, *, job: str = "", trigger: str) -> str:
        """Run the workflow Train, and the delivery that follows it."""
        jobs = set(self.azure.workspaces["dev"].jobs)
        result = self.run("dev", lambda session: verbs.train(session, job=job), trouble)
        started = self.azure.workspaces["dev"].jobs.keys() - jobs
        self.require(len(started) <= 1, f"one run of Train started {len(started)} jobs")
        if result.error:
            return f"training: {result.error[:160]}"
        outputs = result.outputs
        new = outputs.get("registered") == "true" and outputs.get("started") == "true"
        if not outputs.get("model_version") or (trigger != "push" and not new):
            return "the champion stays"
        return self._start_delivery(outputs["model_version"], outputs["sha256"], None)

    # Events.

    troubles = st.none() | st.builds(Trouble, st.integers(1, 40), st.sampled_from(list(TROUBLES)))

    @rule(what=st.sampled_from(("better data", "worse data", "broken data", "code", "size")), trouble=troubles)
    def push(self, what: str, trouble: Trouble | None) -> None:
        """Push new data, new code or another size, which trains and delivers."""
        world = self.world
        self.tell(f"a push with {what}", trouble)
        if what == "code":
            world.code += 1
        elif what == "size":
            world.size = 1 + world.size % 3
        else:
            world.data += 1
            best = max([0, *(quality for quality in world.qualities.values() if quality < 100)])
            world.quality = {"better data": best + 1, "worse data": max(best - 3, 1), "broken data": -1}[what]
        self._write()
        self.told(self._train(trouble, trigger="push"))

    def _write(self) -> None:
        root = self.project.root
        rows = "".join(f"{row},{self.world.data}.5\n" for row in range(9))
        (root / "data" / "raw" / "rows.csv").write_text(f"y,x\n{rows}", encoding="utf-8")
        score = root / "data-science" / "src" / self.project.package / "score.py"
        score.write_text(f"CHANGE = {self.world.code}\n", encoding="utf-8")
        for each in CHAIN:
            file = root / "config" / f"{each}.yml"
            text = file.read_text(encoding="utf-8")
            mark = "instance_count: "
            head, _, tail = text.partition("  online:\n    " + mark)
            if tail:
                file.write_text(f"{head}  online:\n    {mark}{self.world.size}{tail[1:]}", encoding="utf-8")

    @rule(trouble=troubles)
    def saturday(self, trouble: Trouble | None) -> None:
        """Train on schedule."""
        self._pass_time(days=7)
        self.tell("the weekly training", trouble)
        self.told(self._train(trouble, trigger="schedule"))

    @precondition(lambda self: self.world.deliveries)
    @rule(which=st.integers(0, 9), trouble=troubles)
    def approve(self, which: int, trouble: Trouble | None) -> None:
        """Approve a delivery, perhaps late."""
        delivery = self.world.deliveries.pop(which % len(self.world.deliveries))
        self.tell(f"a person approves {delivery}", trouble)
        self.told(self._deliver(delivery, trouble))

    @precondition(lambda self: self.world.deliveries)
    @rule(which=st.integers(0, 9))
    def refuse(self, which: int) -> None:
        """Reject a delivery, or let it expire."""
        delivery = self.world.deliveries.pop(which % len(self.world.deliveries))
        self.tell(f"a person rejects {delivery}")
        self.told("rejected")

    @precondition(lambda self: self.world.failed)
    @rule(which=st.integers(0, 9), trouble=troubles)
    def run_again(self, which: int, trouble: Trouble | None) -> None:
        """Run a failed job again, with its inputs."""
        delivery = self.world.failed.pop(which % len(self.world.failed))
        self.tell(f"{delivery} runs again in {delivery.at}", trouble)
        self.told(self._deliver(delivery, trouble))

    @precondition(lambda self: self.azure.registry)
    @rule(
        environment=st.sampled_from(CHAIN),
        which=st.integers(0, 9),
        option=st.sampled_from(("", "--force", "--hold", "--pin", "--unpin")),
        trouble=troubles,
    )
    def deliver_by_hand(self, environment: str, which: int, option: str, trouble: Trouble | None) -> None:
        """Start the workflow by hand, with a version that is there."""
        models = self.models(environment)
        version = sorted(models, key=int, reverse=True)[which % len(models)]
        tags = models[version].tags
        sha256 = tags.get("sha256", tags.get(f"promoted_{environment}", ""))
        self.world.numbers += 1
        delivery = Delivery(self.world.numbers, version, sha256, environment, option)
        self.tell(f"{delivery} to {environment} by hand {option}".rstrip(), trouble)
        if not sha256:
            self.told("there is no hash: nothing starts")
            return
        self.told(self._deliver(delivery, trouble))

    @precondition(lambda self: any(len(self.online(each)[1]) > 1 for each in CHAIN))
    @rule(action=st.sampled_from(("abort", "shift")))
    def end_hold(self, action: str) -> None:
        """End what was held, or give it all traffic."""
        environment = next(each for each in CHAIN if len(self.online(each)[1]) > 1)
        self.tell(f"{action} in {environment}")
        if action == "abort":
            result = self.run(environment, verbs.abort)
        else:
            new = max(self.online(environment)[1].values(), key=lambda each: int(each.tags["generation"]))
            if environment == PROTECTED:
                self.world.approved.add(self.hash(new.files))
            if BROKEN in new.files or new.version in self.marked(environment, "rejected"):
                result = self.run(environment, verbs.abort)
            else:
                result = self.run(environment, lambda session: verbs.shift_traffic(session, 100))
        self.told(result.error[:160] or "done")

    @rule(environment=st.sampled_from(CHAIN), trouble=troubles)
    def roll_back(self, environment: str, trouble: Trouble | None) -> None:
        """Go back, because what serves is bad."""
        self.tell(f"a rollback in {environment}", trouble)
        before, pairs = self.version(environment), len(self.online(environment)[1])
        result = self.run(environment, verbs.rollback, trouble)
        if not result.error and before and pairs == 1:
            after = self.version(environment)
            self.require(after, f"{environment}: nothing serves after a rollback")
            if after != before:
                self.require(
                    before in self.marked(environment, "rejected"), f"{environment}: {before} is not rejected"
                )
        self.told(result.error[:160] or "done")

    @precondition(lambda self: any(self.marked(each, "rejected") for each in CHAIN))
    @rule(which=st.integers(0, 9))
    def accept(self, which: int) -> None:
        """Take a rejection back."""
        found = [(each, version) for each in CHAIN for version in sorted(self.marked(each, "rejected"))]
        environment, version = found[which % len(found)]
        self.tell(f"version {version} is accepted in {environment} again")
        self.models(environment)[version].tags[f"rejected_{environment}"] = "false"
        self.told("done")

    @precondition(lambda self: self.azure.workspaces[PROTECTED].schedules)
    @rule(kind=st.sampled_from(("drift", "drift", "no drift", "no data", "drift, told late")), trouble=troubles)
    def monitor_runs(self, kind: str, trouble: Trouble | None) -> None:
        """Let the monitor of prod run, and the workflow look at it for two days."""
        self._pass_time(days=30)
        self.tell(f"the monitor of prod finds {kind}", trouble)
        name = f"run-{self.world.time:%Y%m%d}"
        problem = "no data" if kind == "no data" else ""
        drift = kind.startswith("drift")
        run = Run(name, self.world.time, drift, tagged=kind != "drift, told late", problem=problem)
        self.azure.workspaces[PROTECTED].runs.append(run)
        ends, jobs = [], set(self.azure.workspaces["dev"].jobs)
        for _ in range(3):
            self._pass_time(days=1)
            ends.append(self._look(trouble))
            trouble, run.tagged = None, True
        started = self.azure.workspaces["dev"].jobs.keys() - jobs
        self.require(len(started) == int(drift), f"{kind} started {len(started)} trainings")
        self.told("; ".join(ends))

    def _look(self, trouble: Trouble | None) -> str:
        result = self.run(PROTECTED, lambda session: verbs.drift(session, now=self.world.time), trouble)
        if result.error or result.outputs.get("retrain") != "true":
            return result.error[:160] or "no training"
        if self.world.quality > 0:
            self.world.data += 1
            self._write()
        return self._train(None, job=result.outputs["job"], trigger="alert")

    @rule(what=st.sampled_from(("endpoint", "schedule", "model")), environment=st.sampled_from(CHAIN))
    def by_hand(self, what: str, environment: str) -> None:
        """Do in the studio what no verb does."""
        workspace = self.azure.workspaces[environment]
        if what == "endpoint" and workspace.online:
            self.tell(f"a person deletes the online endpoint of {environment}")
            workspace.online = None
        elif what == "schedule" and workspace.schedules:
            self.tell(f"a person deletes the monitor of {environment}")
            workspace.schedules.clear()
        else:
            self.tell("a person registers a model in dev by hand")
            models = self.azure.workspaces["dev"].models
            models[str(1 + max(map(int, models), default=0))] = Model("by hand, quality 0")
        self.told("done")

    @rule(environment=st.sampled_from(CHAIN), trouble=troubles)
    def tear_down(self, environment: str, trouble: Trouble | None) -> None:
        """Delete the endpoints of an environment."""
        self.tell(f"the endpoints of {environment} are torn down", trouble)
        result = self.run(environment, verbs.teardown, trouble)
        if not result.error:
            workspace = self.azure.workspaces[environment]
            left = [workspace.online, workspace.batch, *workspace.schedules]
            self.require(not any(left), f"{environment}: something is left after the teardown")
        self.told(result.error[:160] or "done")

    @precondition(lambda self: self.world.deliveries)
    @rule(order=st.lists(st.booleans(), min_size=10, max_size=60), other=st.sampled_from(("rollback", "delivery")))
    def two_at_once(self, order: list[bool], other: str) -> None:
        """Approve a delivery while a person does something else in the same environment."""
        delivery = self.world.deliveries.pop(0)
        self.tell(f"a person approves {delivery} while another one starts a {other} in {PROTECTED}")
        self.world.approved.add(delivery.sha256)
        options = {"model_version": delivery.version, "sha256": delivery.sha256}
        second: Callable[[Session], object] = verbs.rollback
        if other == "delivery":
            second = lambda session: verbs.deliver(session, **options)  # noqa: E731
        self.rejected = {each: self.marked(each, "rejected") for each in CHAIN}
        self.served = {each: self.shares(each) for each in CHAIN}
        ends: list[str] = ["", ""]
        self.turns = Turns(order)

        def act(place: int, verb: Callable[[Session], object]) -> None:
            try:
                verb(self.session(PROTECTED))
                ends[place] = "done"
            except UserError as error:
                ends[place] = str(error)[:60]
            except AssertionError as error:
                ends[place] = f"violated: {error}"

        with quiet():
            self.turns.run(
                lambda: act(0, lambda session: verbs.deliver(session, **options)), lambda: act(1, second)
            )
        self.turns = None
        for end in ends:
            self.require(not end.startswith("violated"), end)
        if self.problem:
            self.violated(self.problem)
        for end in ends:
            if end != "done":
                self.run(PROTECTED, verbs.abort)
        traffic, _ = self.online(PROTECTED)
        self.require(not traffic or 100 in traffic.values(), f"{PROTECTED}: no deployment has all traffic")
        self.told(" / ".join(ends))

    def _pass_time(self, days: int) -> None:
        self.world.time += timedelta(days=days)

    # The end.

    def _quiet(self) -> None:
        """Whatever happened: one push more and all approvals bring the system where its inputs call for."""
        self.tell("quiet: a last push without a change of the model, and every approval")
        self.world.code += 1
        self.world.quality = 1
        self.world.data += 1
        self._write()
        self.world.deliveries.clear()
        end = self._train(None, trigger="push")
        offered = self.outputs.get("model_version", "")
        for delivery in list(self.world.deliveries):
            self.world.deliveries.remove(delivery)
            end += "; " + self._deliver(delivery, None)
        self.told(end)
        for each in CHAIN:
            _, deployments = self.online(each)
            self.require(len(deployments) <= 1, f"{each}: a deployment is left that nothing needs")
            if f"{each} done" not in end:
                continue
            version = self.version(each)
            self.require(version == offered or version in self.marked(each, "pinned"), f"{each} does not serve it")
            batch = self.azure.workspaces[each].batch
            self.require(batch and batch.default == f"model-{version}", f"{each}: batch scores with another version")
            self.require(len(batch.deployments) == 1, f"{each}: a batch deployment is left")
            schedules = self.azure.workspaces[each].schedules
            self.require(len(schedules) == int(each == PROTECTED), f"{each}: the monitor is not as the config says")


@dataclass(frozen=True)
class _MlflowVersion:
    version: str
    tags: Mapping[str, str]


class _Page(list[_MlflowVersion]):
    token = None


def quality_of(files: str) -> int:
    """Return how good a model is."""
    return int(files.partition("quality ")[2].split(",")[0])


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the lines of thousands of verbs from the report of a test."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
