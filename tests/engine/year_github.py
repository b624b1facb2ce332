"""The year of a team whose verbs are run by the project's own GitHub workflows, step by step.

Which job follows which, on what condition, with which inputs, as which environment and beside which other job is read
from the workflow files. What must hold is as in `year`, and more: a job has no more than the rights of its environment,
and a run that a person approved is never dropped.
"""

from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from typing import ClassVar

from github_runs import Ended, Job, Machine, Run, Step, document, files_of
from hypothesis import strategies as st
from hypothesis.stateful import precondition
from rendered import HERE
from troubles import Trouble
from year import SOME, TROUBLES, Year, short
from year_story import rule
from year_world import ADDED, CHAIN, PROTECTED, Delivery, Result

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


def with_added(files: dict[str, str]) -> dict[str, str]:
    """Return the workflows as a person edits them for one more environment before the protected one."""
    edited = {
        name: text.replace("options: [dev, test, prod]", f"options: [dev, test, {ADDED}, prod]")
        for name, text in files.items()
    }
    head, mark, rest = edited["workflows/deliver.yml"].partition("  test:\n")
    job, end, last = rest.partition("\n  prod:\n")
    added = (mark + job).replace("test", ADDED).replace("[choose, dev]", "[choose, dev, test]")
    also = f"needs.dev.outputs.next == '{ADDED}'"
    added = added.replace(also, f"{also} || needs.test.outputs.next == '{ADDED}'")
    last = last.replace("[choose, dev, test]", f"[choose, dev, test, {ADDED}]")
    also = "needs.test.outputs.next == 'prod'"
    last = last.replace(also, f"{also} || needs.{ADDED}.outputs.next == 'prod'")
    return edited | {"workflows/deliver.yml": f"{head}{mark}{job}\n{added}{end}{last}"}


class YearOnGitHub(Year):
    """A team, its project, and all that happens to it, by way of its workflows."""

    files: ClassVar[dict[str, str]] = files_of(HERE.root)

    def __init__(self) -> None:
        """Begin as every year."""
        self.failed_runs: list[Run] = []
        self.workflows = self.files
        super().__init__()

    def _run(self, workflow: str, event: str, **inputs: str | bool) -> Run:
        given = {key.replace("_", "-"): value for key, value in inputs.items()}
        return Run(self.workflows, workflow, event, given)

    def _drive(self, run: Run, trouble: Trouble | None, at: str) -> str:
        """Run the jobs of a run until it ends or waits for an approval; the trouble comes to the job `at`."""
        job = run.next()
        if job is None:
            return "ended"
        mine = trouble if job.place.rpartition("/")[2] == at else None
        variables = job.variables
        if "SHA256" in variables and not job.environment.endswith("-read"):
            model = (variables["MODEL_VERSION"], variables["SHA256"])
            delivery = self._delivery(*model, job.environment, variables["OPTION"])
            delivery.run = run
            if delivery.at == PROTECTED:
                self._wait(delivery)
                return "waits for an approval"
            return self._deliver(delivery, mine)
        done = self._work(run, job, mine)
        errors = [result.error for result, _ in done if result.error]
        if not errors and any(result.outputs.get("deliver") == "true" for result, _ in done):
            following, expected = run.next(), job.environment.removesuffix("-read")
            goes = following.environment if following else "the end"
            self.world.require(goes == expected, f"after a look at {expected} a delivery that is needed goes to {goes}")
        if errors:
            self.failed_runs.append(run)
        rest = self._drive(run, trouble, at)
        return f"{job.place}: {short(errors[0])}" if errors else rest

    def _work(self, run: Run, job: Job, trouble: Trouble | None) -> Done:
        """Carry a job out; check that it does no more than its environment may."""
        world, done = self.world, Done()
        environment = job.environment.removesuffix("-read")
        before = self._rights(job)

        def mlops(words: list[str]) -> Step:
            if words[0] in WITHOUT_AZURE:
                return Step(0, WITHOUT_AZURE[words[0]])
            named = words[words.index("--environment") + 1]
            world.require(named == environment, f"a job of {job.environment} runs a verb in {named}")
            result = world.command(environment, words, None if done else trouble)
            done.append((result, world.version(environment)))
            if world.cancelled:
                machine.cancel()
            return Step(None if result.killed else int(bool(result.error)), result.outputs)

        machine = Machine(run, job, world.project.root, mlops)
        run.end(job, machine.work())
        world.require(before == self._rights(job), f"{job.place} has changed what {job.environment} has no right to")
        return done

    def _rights(self, job: Job) -> str:
        """Return all that a job may not change: with an identity that may only read, that is everything."""
        spaces = self.azure.workspaces
        if job.environment.endswith("-read"):
            return self.world.snapshot()
        return repr({name: space for name, space in spaces.items() if name != job.environment})

    # The workflows.

    def _job(self, delivery: Delivery, trouble: Trouble | None) -> tuple[Result, str]:
        run, world = delivery.run, self.world
        assert run
        job = run.next()
        if job is None:
            run.run_failed_jobs_again()
            job = run.next()
        world.require(job and job.environment == delivery.at, f"{delivery} does not go on in {delivery.at}")
        assert job
        found = [job.variables[name] for name in ("MODEL_VERSION", "SHA256", "OPTION")]
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
        groups = {job.group for _, job in jobs if job}
        self.world.require(len(groups) < 2, f"deliveries to {PROTECTED} run beside each other: {groups}")
        for delivery, job in jobs[:-1]:
            kept = job and job.filled("concurrency").get("queue") == "max"
            self.world.require(kept, f"{delivery} would be dropped for a newer one, once it is approved")

    def _following(self, delivery: Delivery, outputs: dict[str, str]) -> str:
        run, expected = delivery.run, outputs["next"]
        if run and expected == ADDED and run.files is not self.workflows:
            expected = ""  # the workflows of a run are those of its commit, and know nothing of an environment since
        job = run.next() if run else None
        # Each environment is looked at first, and where there is nothing to do, no person is asked.
        while run and job and job.environment.endswith("-read"):
            environment = job.environment.removesuffix("-read")
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
        following = job.environment if job else ""
        self.world.require(following == expected, f"{delivery} goes to {following!r}, and should go to {expected!r}")
        return following

    def _train(self, trouble: Trouble | None, *, job: str = "", trigger: str) -> str:
        run, jobs = self._run("train.yml", trigger), self.world.jobs()
        outcome = self._drive(run, trouble, "train")
        self._check_jobs(jobs)
        return outcome

    def _look(self, trouble: Trouble | None) -> str:
        return self._drive(self._run("monitor.yml", "schedule"), trouble, "drift")

    def _rollback(self, environment: str, target: str) -> Callable[[Trouble | None], Result] | str:
        run = self._run("rollback.yml", "workflow_dispatch", environment=environment, model_version=target)
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
        run = self._run("teardown.yml", "workflow_dispatch", **inputs)
        job = run.next()
        assert job
        return self._work(run, job, trouble)[0][0]

    # What people do otherwise.

    def _add_or_remove_environment(self, trouble: Trouble | None) -> None:
        """Change the workflows, too, which name the environments; the teardown is a run of one of them."""
        super()._add_or_remove_environment(trouble)
        added = ADDED in self.people.chain
        self.workflows = with_added(self.files) if added else self.files
        # What could be run again has the workflows of its commit, and is about what there was then.
        self.failed_runs.clear()

    def _push(self, what: str, trouble: Trouble | None) -> None:
        paths = document(self.files["workflows/train.yml"])[True]["push"]["paths"]
        place = next(place for word, place in PLACES.items() if word in what)
        self.world.require(any(fnmatch(place, each) for each in paths), f"a push with {what} starts no training")
        super()._push(what, trouble)

    @precondition(lambda self: self.failed_runs)
    @rule(which=SOME, trouble=TROUBLES)
    def run_failed_jobs_again(self, which: int, trouble: Trouble | None) -> None:
        """Press the button of a failed run."""
        run, jobs = self.failed_runs.pop(which % len(self.failed_runs)), self.world.jobs()
        self.world.tell(f"the failed jobs of a run of {run.workflow} run again", trouble)
        run.run_failed_jobs_again()
        job = run.next()
        assert job
        self.world.told(self._drive(run, trouble, job.place.rpartition("/")[2]), effective=True)
        self._check_jobs(jobs)

    @rule(
        environment=st.sampled_from(CHAIN),
        which=SOME,
        option=st.sampled_from(("", "--force", "--hold", "--pin", "--unpin")),
        typed=st.sampled_from(("right", "right", "right", "another hash", "no hash")),
        trouble=TROUBLES,
    )
    def deliver_by_hand(self, environment: str, which: int, option: str, typed: str, trouble: Trouble | None) -> None:
        """Start the workflow with a version that is there; where people approve, it waits for them."""
        environment = self._near(environment)
        world, models = self.world, self.world.models(environment)
        version = sorted(models, key=int, reverse=True)[which % len(models)]
        hashes = {name: world.hash(model.files) for name, model in models.items()}
        sha256 = {"right": hashes[version], "another hash": min(hashes.values()), "no hash": ""}[typed]
        inputs = {"environment": environment, "model_version": version, "sha256": sha256, "option": option}
        run = self._run("deliver.yml", "workflow_dispatch", **inputs)
        words = ["by hand", *([option] if option else []), *(["with " + typed] if typed != "right" else [])]
        world.tell(f"version {version} to {environment} {' '.join(words)}", trouble)
        before, settled = world.snapshot(), len(world.online(environment)[1]) < 2
        delivery = Delivery(0, version, sha256, environment, option)
        outcome = self._drive(run, trouble, "deliver")
        if "choose" in outcome:
            excuse = self._excuse(delivery, world.answering(environment))
            world.require(excuse, f"{version} cannot be chosen for {environment} although nothing is wrong: {outcome}")
        world.told(outcome, effective=True)
        if sha256 and sha256 != hashes[version] and settled:
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
        run = delivery.run
        job = run.next() if run else None
        assert run
        assert job
        if other == "delivery":
            second = self._delivery(delivery.version, delivery.sha256, PROTECTED)
            inputs = {"environment": PROTECTED, "model_version": second.version, "sha256": second.sha256}
            second.run = self._run("deliver.yml", "workflow_dispatch", **inputs)
            choose = second.run.next()
            assert choose
            self._work(second.run, choose, None)
            look = second.run.next()
            if look and look.environment.endswith("-read"):
                self._work(second.run, look, None)
            waits = second.run.next()
            if waits is None:  # the version cannot be used any more, or serves already
                return [self._deliver(delivery, None)]
            self.world.require(waits.group == job.group, f"two deliveries to {PROTECTED} run beside each other")
            return [self._deliver(delivery, None), self._deliver(second, None)]
        errors = super()._two_at_once(delivery, changes, other)
        run.end(job, Ended("failure" if errors[0] else "success"))
        return errors
