"""The year of a team whose verbs are run by the project's own pipelines, step by step.

Which job follows which, on what condition, with which inputs, as which environment and beside which other job is read
from the files of the project: `year_github` knows those of GitHub, `year_azure_devops` those of Azure DevOps. What must
hold is as in `year`, and more: a job has no more than the rights of its environment, it ends within its time, a run
that a person approved is never dropped, and a rollback waits for no delivery.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, Protocol

from hypothesis.stateful import precondition
from scripts import Mlops, Step
from troubles import Trouble
from year import BY_HAND, SOME, TROUBLES, Year, short
from year_story import rule
from year_world import ADDED, PROTECTED, Delivery, Result

Done = list[tuple[Result, str]]
"""What came of the verbs of a job, and the version that served after each."""

PLACES = {
    "data": "data/raw/rows.csv",
    "code": "data-science/src/package/score.py",
    "machines": "config/dev.yml",
    "packages": "data-science/environment/inference.yml",
    "template": "mlops/aml-cli-v2/online/deployment.yml",
}
"""Where what a push brings lies."""

WITHOUT_AZURE = {"connected": {"azure": "true"}, "lint": {}, "approval": {}}
"""Verbs that change nothing in Azure ML, and what they hand on."""


class Run(Protocol):
    """A run of a pipeline, whichever system runs it."""

    file: str
    event: str
    inputs: Mapping[str, Any]
    attempt: int
    cancelled: bool
    number: int  # in the order in which runs begin
    commit: tuple[int, ...]  # which it checks out, also when it runs again

    def next(self) -> Any:
        """Return the job that comes next, None at the end of the run."""

    def end(self, job: Any, ended: Any) -> None:
        """Note how a job ended."""

    def end_as(self, job: Any, *, ok: bool) -> None:
        """Note how a job ended that is not carried out here; it hands nothing on."""

    def run_failed_jobs_again(self) -> None:
        """Forget the jobs that did not succeed."""

    def run_all_jobs_again(self) -> None:
        """Forget all jobs."""

    def run_job_again(self, name: str) -> None:
        """Forget one job, also after a success."""


class Machine(Protocol):
    """What carries the steps of a job out."""

    def work(self) -> Any:
        """Run all steps, and say how the job ended."""

    def cancel(self) -> None:
        """A person cancels the run in the midst of a step."""


class YearByPipelines(Year):
    """A team, its project, and all that happens to it, by way of its pipelines."""

    def __init__(self) -> None:
        """Begin as every year."""
        self.failed_runs: list[Run] = []
        self.runs: list[Run] = []
        super().__init__()
        # The runs before the year: only the first year of a process has seen them.
        self.runs, self.failed_runs = [], []

    # What the system knows.

    @abstractmethod
    def _begin(self, pipeline: str, event: str, inputs: Mapping[str, str | bool]) -> Run:
        """Start a pipeline: because of a `push`, on `schedule` or by `workflow_dispatch`."""

    @abstractmethod
    def _machine(self, run: Run, job: Any, mlops: Mlops) -> Machine:
        """Return what carries a job out."""

    @abstractmethod
    def _name(self, job: Any) -> str:
        """Return by what a person knows a job in its run."""

    @abstractmethod
    def _identity(self, job: Any) -> str:
        """Return as whom a job signs in to Azure: `prod`, or `prod-read`, which may only read."""

    @abstractmethod
    def _given(self, job: Any) -> Mapping[str, str]:
        """Return the environment variables of the verbs of a job."""

    @abstractmethod
    def _group(self, job: Any) -> str:
        """Return what no other job of the same group runs beside."""

    @abstractmethod
    def _is_kept(self, job: Any) -> bool:
        """Return whether a job that waits for others of its group is there when they have ended."""

    @abstractmethod
    def _minutes(self, job: Any) -> int:
        """Return the time that a job has."""

    @abstractmethod
    def _starts_training(self, path: str) -> bool:
        """Return whether the push of a file starts a training."""

    @abstractmethod
    def _knows(self, run: Any, environment: str) -> bool:
        """Return whether the pipelines of a run, which are those of its commit, know an environment."""

    @abstractmethod
    def _edit_pipelines(self, *, added: bool) -> None:
        """Edit the pipelines, which name the environments, as a person does for one more before the protected one."""

    def _environment(self, job: Any) -> str:
        return self._identity(job).removesuffix("-read")

    def _reads(self, job: Any) -> bool:
        return self._identity(job).endswith("-read")

    def _run(self, pipeline: str, event: str, **inputs: str | bool) -> Run:
        self.people.deliveries += 1
        run = self._begin(pipeline, event, {key.replace("_", "-"): value for key, value in inputs.items()})
        run.number, run.commit = self.people.deliveries, self.world.commit
        return run

    def _drive(self, run: Run, trouble: Trouble | None, at: str) -> str:
        """Run the jobs of a run until it ends or waits for an approval; the trouble comes to the job `at`."""
        job = run.next()
        if job is None:
            return "ended"
        name, variables = self._name(job), self._given(job)
        mine = trouble if name == at else None
        if {"MODEL_VERSION", "SHA256"} <= variables.keys() and not self._reads(job):
            model = (variables["MODEL_VERSION"], variables["SHA256"])
            self._check_hash(run, job, *model)
            delivery = Delivery(run.number, *model, self._environment(job), variables["OPTION"], run, run.commit)
            if delivery.at == PROTECTED:
                self._wait(delivery)
                return "waits for an approval"
            return self._deliver(delivery, mine)
        done = self._work(run, job, mine)
        errors = [result.error for result, _ in done if result.error]
        if not errors and any(result.outputs.get("deliver") == "true" for result, _ in done):
            following, expected = run.next(), self._environment(job)
            goes = self._identity(following) if following else "the end"
            self.world.require(goes == expected, f"after a look at {expected} a delivery that is needed goes to {goes}")
        if errors:
            self.failed_runs.append(run)
        elif done and "model_version" in done[0][0].outputs and name == "train":
            self._check_delivers(run, done[0][0].outputs)
        rest = self._drive(run, trouble, at)
        return f"{name}: {short(errors[0])}" if errors else rest

    def _check_hash(self, run: Run, job: Any, version: str, sha256: str) -> None:
        """Check that a delivery has the hash that was typed, or that of its version, which one made by hand lacks."""
        found = self.world.models(self._environment(job)).get(version)
        known = bool(found) and "sha256" in found.tags
        self.world.require(sha256 or not known, f"{self._name(job)} gets version {version} without its hash")
        typed = run.inputs.get("sha256") or sha256
        self.world.require(sha256 == typed, f"version {version} would be delivered with another hash than {typed}")

    def _check_delivers(self, run: Run, outputs: Mapping[str, str]) -> None:
        """Check that a model that was trained is delivered, on schedule only a new one, unless it is run again."""
        new = outputs["registered"] == outputs["started"] == "true"
        expected = bool(outputs["model_version"]) and (run.event != "schedule" or run.attempt > 1 or new)
        goes_on = run.next() is not None
        again = ", which runs again," if run.attempt > 1 else ""
        text = f"what a training by {run.event}{again} hands on is {'' if goes_on else 'not '}delivered: {outputs}"
        self.world.require(goes_on == expected, text)

    def _work(self, run: Run, job: Any, trouble: Trouble | None) -> Done:
        """Carry a job out; check that it does no more than its environment may, in the time that it has."""
        world, done = self.world, Done()
        name, environment, begun = self._name(job), self._environment(job), self.people.time
        before = self._rights(job)

        def mlops(words: list[str]) -> Step:
            if words[0] in WITHOUT_AZURE:
                return Step(0, WITHOUT_AZURE[words[0]])
            named = words[words.index("--environment") + 1]
            world.require(named == environment, f"a job of {self._identity(job)} runs a verb in {named}")
            result = world.command(environment, words, None if done else trouble)
            done.append((result, world.version(environment)))
            if world.cancelled:
                machine.cancel()
            return Step(None if result.killed else int(bool(result.error)), result.outputs)

        machine = self._machine(run, job, mlops)
        with world.checkout(run):
            run.end(job, machine.work())
        changed = f"{name} has changed what {self._identity(job)} has no right to"
        world.require(before == self._rights(job), changed)
        took = self.people.time - begun
        world.require(took <= timedelta(minutes=self._minutes(job)), f"{name} takes {took} and is out of time")
        return done

    def _rights(self, job: Any) -> str:
        """Return all that a job may not change: with an identity that may only read, that is everything."""
        spaces = self.azure.workspaces
        if self._reads(job):
            return self.world.snapshot()
        return repr({name: space for name, space in spaces.items() if name != self._identity(job)})

    # The pipelines.

    def _job(self, delivery: Delivery, trouble: Trouble | None) -> tuple[Result, str]:
        run, world = delivery.run, self.world
        assert run
        job = run.next()
        if job is None:
            run.run_failed_jobs_again()
            job = run.next()
        goes_on = job and self._identity(job) == delivery.at
        world.require(goes_on, f"{delivery} does not go on in {delivery.at}")
        found = [self._given(job)[name] for name in ("MODEL_VERSION", "SHA256", "OPTION")]
        told = [delivery.version, delivery.sha256, delivery.option]
        world.require(found == told, f"{delivery.at}: {found} would be delivered, and {told} was approved")
        done = self._work(run, job, trouble)
        world.require(done, f"{delivery.at}: the job of {delivery} ran no verb")
        return self._ended(delivery.at, done)

    def _ended(self, environment: str, done: Done) -> tuple[Result, str]:
        """Check that a job has its last step when it fails, and not otherwise; return what came of it before."""
        (result, moved), *last = done
        needed = bool(result.error) and not result.killed
        text = f"{environment}: {len(last)} last steps after {result.error or 'a success'}"
        self.world.require(len(last) == needed, text)
        for ended, _ in last:
            self._check_last_step(environment, ended)
        return result, moved

    def _wait(self, delivery: Delivery) -> None:
        waiting = [each.version for each in self.people.waiting]
        # Who runs a job again wants it to deliver in any case.
        alone = delivery.run and delivery.run.event == "schedule" and delivery.run.attempt == 1
        asked_twice = alone and delivery.version in waiting
        self.world.require(not asked_twice, f"a person has to approve version {delivery.version} once more")
        super()._wait(delivery)
        self._check_queue(self.people.waiting)

    def _check_queue(self, waiting: list[Delivery]) -> None:
        """Check what becomes of deliveries that wait for one that runs: of a group only the newest may be kept."""
        jobs = [(delivery, delivery.run.next()) for delivery in waiting if delivery.run]
        groups = {self._group(job) for _, job in jobs if job}
        self.world.require(len(groups) < 2, f"deliveries to {PROTECTED} run beside each other: {groups}")
        for delivery, job in jobs[:-1]:
            kept = job and self._is_kept(job)
            self.world.require(kept, f"{delivery} would be dropped for a newer one, once it is approved")

    def _following(self, delivery: Delivery, outputs: dict[str, str]) -> str:
        run, expected = delivery.run, outputs["next"]
        if run and not self._knows(run, expected):
            expected = ""
        job = run.next() if run else None
        # Each environment is looked at first, and where there is nothing to do, no person is asked.
        while run and job and self._reads(job):
            environment = self._environment(job)
            self.world.require(environment == expected, f"{delivery} looks at {environment} and not at {expected!r}")
            looked = self._work(run, job, None)[0][0]
            if looked.error:
                there = replace(delivery, at=environment, option="")
                excuse = self._excuse(there, self.world.answering(environment))
                self.world.require(excuse, f"{environment}: a look refuses {there} although nothing is wrong")
                expected = ""
            elif looked.outputs["deliver"] == "false":
                expected = looked.outputs["next"]
            job = run.next()
        following = self._identity(job) if job else ""
        self.world.require(following == expected, f"{delivery} goes to {following!r}, and should go to {expected!r}")
        return following

    def _train(self, trouble: Trouble | None, *, job: str = "", trigger: str) -> str:
        run, jobs = self._run("train", trigger), self.world.jobs()
        self.runs = [*self.runs[-5:], run]
        outcome = self._drive(run, trouble, "train")
        self._check_jobs(jobs)
        return outcome

    def _look(self, trouble: Trouble | None) -> str:
        return self._drive(self._run("monitor", "schedule"), trouble, "drift")

    def _rollback(self, environment: str, target: str) -> Callable[[Trouble | None], Result] | str:
        run = self._run("rollback", "workflow_dispatch", environment=environment, model_version=target)
        look = run.next()
        assert look
        looked, _ = self._work(run, look, None)[0]

        def go_back(trouble: Trouble | None) -> Result:
            run.run_job_again("rollback")
            job = run.next()
            assert job
            return self._ended(environment, self._work(run, job, trouble))[0]

        return looked.error or go_back

    def _teardown(self, environment: str, trouble: Trouble | None) -> Result:
        inputs = {"environment": environment, "confirm": environment}
        run = self._run("teardown", "workflow_dispatch", **inputs)
        job = run.next()
        assert job
        return self._work(run, job, trouble)[0][0]

    # What people do otherwise.

    def _push(self, what: str, trouble: Trouble | None) -> None:
        place = next(place for word, place in PLACES.items() if word in what)
        self.world.require(self._starts_training(place), f"a push with {what} starts no training")
        super()._push(what, trouble)

    def _add_or_remove_environment(self, trouble: Trouble | None) -> None:
        """Change the pipelines, too; the teardown is a run of one of them."""
        super()._add_or_remove_environment(trouble)
        self._edit_pipelines(added=ADDED in self.people.chain)
        # What could be run again has the pipelines of its commit, and is about what there was then.
        self.failed_runs.clear()
        self.runs.clear()

    @precondition(lambda self: self.failed_runs)
    @rule(which=SOME, trouble=TROUBLES)
    def run_failed_jobs_again(self, which: int, trouble: Trouble | None) -> None:
        """Press the button of a failed run."""
        run, jobs = self.failed_runs.pop(which % len(self.failed_runs)), self.world.jobs()
        self.world.tell(f"the failed jobs of a run of {run.file} run again", trouble)
        run.run_failed_jobs_again()
        job = run.next()
        assert job
        self.world.told(self._drive(run, trouble, self._name(job)), effective=True)
        self._check_jobs(jobs)

    @precondition(lambda self: self._ended_runs())
    @rule(which=SOME, trouble=TROUBLES)
    def run_all_jobs_again(self, which: int, trouble: Trouble | None) -> None:
        """Press the other button, also of a run that did all that it should."""
        ended, jobs = self._ended_runs(), self.world.jobs()
        run = ended[which % len(ended)]
        self.world.tell(f"all jobs of run {run.number} of {run.file} run again", trouble)
        run.run_all_jobs_again()
        self.failed_runs = [each for each in self.failed_runs if each is not run]
        self.people.failed = [each for each in self.people.failed if each.run is not run]
        job = run.next()
        assert job
        self.world.told(self._drive(run, trouble, self._name(job)), effective=True)
        self._check_jobs(jobs)

    def _ended_runs(self) -> list[Run]:
        return [run for run in self.runs if run.next() is None]

    @rule(**BY_HAND)
    def deliver_by_hand(self, environment: str, which: int, option: str, typed: str, trouble: Trouble | None) -> None:
        """Start the workflow with a version that is there; where people approve, it waits for them."""
        environment = self._near(environment)
        world, (version, sha256, own) = self.world, self._typed(environment, which, typed)
        inputs = {"environment": environment, "model_version": version, "sha256": sha256, "option": option}
        run = self._run("deliver", "workflow_dispatch", **inputs)
        self.runs = [*self.runs[-5:], run]
        words = ["by hand", *([option] if option else []), *(["with " + typed] if typed != "right" else [])]
        world.tell(f"version {version} to {environment} {' '.join(words)}", trouble)
        before, settled = world.snapshot(), self._is_settled(environment)
        delivery = Delivery(0, version, sha256, environment, option)
        outcome = self._drive(run, trouble, "deliver")
        if "choose" in outcome:
            excuse = self._excuse(delivery, world.answering(environment))
            world.require(excuse, f"{version} cannot be chosen for {environment} although nothing is wrong: {outcome}")
        world.told(outcome, effective=True)
        if sha256 and not own and settled:
            world.require(before == world.snapshot(), f"{environment}: a delivery with {typed} changed something")

    @precondition(lambda self: len(self.people.waiting) > 1)
    @rule()
    def approve_all(self) -> None:
        """Approve all that waits at once: one begins, the others queue in their group, and none of them may be lost."""
        world, people = self.world, self.people
        chosen, people.waiting = people.waiting, []
        world.tell(f"a person approves {', '.join(map(str, chosen))} at once")
        self._check_queue(chosen)
        outcomes = []
        for delivery in chosen:
            people.approved.add(delivery.sha256)
            outcomes.append(self._deliver(delivery, None))
        world.told("; ".join(outcomes), effective=True)

    def _two_at_once(self, delivery: Delivery, changes: list[bool], other: str) -> list[str]:
        """Let a job wait for another one of its group; those of two groups run beside each other."""
        run, beside = delivery.run, self._beside(delivery, other)
        job, second = run.next(), beside.next()
        if second is None:  # the version cannot be used any more, or serves already
            return [self._deliver(delivery, None)]
        waits = self._group(job) == self._group(second)
        self.world.require(waits or other != "delivery", f"two deliveries to {PROTECTED} run beside each other")
        self.world.require(not waits or other != "rollback", f"a rollback in {PROTECTED} waits for a delivery")
        if other == "delivery":
            again = replace(delivery, number=beside.number, option="", run=beside, commit=beside.commit)
            return [self._deliver(delivery, None), self._deliver(again, None)]
        if waits:
            return [self._deliver(delivery, None), self._teardown(PROTECTED, None).error]
        errors = super()._two_at_once(delivery, changes, other)
        run.end_as(job, ok=not errors[0])
        return errors

    def _beside(self, delivery: Delivery, other: str) -> Run:
        """Return another run, which has come to the job that changes the protected environment."""
        named = {"model_version": delivery.version, "sha256": delivery.sha256} if other == "delivery" else {}
        pipeline = "deliver" if other == "delivery" else other
        run = self._run(pipeline, "workflow_dispatch", environment=PROTECTED, **named)
        while (job := run.next()) and self._reads(job):
            if other == "delivery":
                self._work(run, job, None)
            else:
                run.end_as(job, ok=True)
        return run
