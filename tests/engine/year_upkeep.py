"""What else the pipelines of a project do in a year: they build infrastructure, and look for updates of the template.

Terraform or Bicep, Copier and Git's own work are not done: `Tool` applies a text, and whether there is a newer release
is known here. What follows from that, when and with whose approval is read from the files of the project, and the issue
is kept by the verb, which asks what is in `Repository`.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from azure_ml import Connection
from hypothesis import strategies as st
from hypothesis.stateful import precondition
from scripts import Mlops, Step
from troubles import Trouble
from year import SOME, TROUBLES, short
from year_pipelines import Machine, Run, YearByPipelines
from year_story import rule
from year_world import CHAIN, Result

from mlops.config import EnvironmentConfig
from mlops.errors import UserError
from mlops.infrastructure.provisioned import Provisioned
from mlops.project import Project
from mlops.subscription.choices import Action

TITLE = "Update to the newest template"
BUILT, TAGS = "infrastructure", "tags of the identity"
"""Where a workspace keeps which text of the infrastructure was applied, and by which run."""


class Tool(Provisioned):
    """Terraform or Bicep: what is described is one text."""

    def __init__(self, project: Project, connection: Connection) -> None:
        """Sign in."""
        super().__init__(project)
        self._file, self._connection = project.root / "infrastructure" / "terraform" / "main.tf", connection

    def run(
        self, config: EnvironmentConfig, action: Action, *, dry_run: bool, deployer: str | None, confirm: str
    ) -> str:
        """Say what would change, or change it; nothing that a text changes deletes data."""
        kept = self._connection.azure.workspaces[config.environment].kept
        described = self._file.read_text(encoding="utf-8")
        if action == "plan":
            with self._connection.read("plan", late=False):
                return f"{kept.get(BUILT)} becomes {described}"
        if action != "apply":
            raise NotImplementedError(action)
        with self._connection.change("apply"):
            kept[BUILT] = described
        return ""

    def tools(self) -> list[Any]:
        """Return nothing: no doctor asks here."""
        return []

    def scope(self, context: Any) -> str:
        """Return nothing, as above."""
        return ""


def answer(connection: Connection, command: list[str]) -> tuple[int, str, str]:
    """Answer the `az` of the verb that builds: an identity for each environment, and no workspace in the way."""
    given = dict(zip(command[3::2], command[4::2], strict=False))
    if command[1:3] == ["resource", "show"]:
        return 3, "", "ERROR: (ResourceNotFound) it was not found"
    name = (given.get("--name") or given["--resource-id"]).removeprefix("id-deploy-").removesuffix("-read")
    kept = connection.azure.workspaces[name].kept
    if command[1:3] == ["identity", "show"]:
        with connection.read("identity", late=False):
            return 0, json.dumps({"id": f"id-deploy-{name}", "principalId": name, "tags": kept.get(TAGS)}), ""
    if command[1:3] != ["tag", "update"] or given["--operation"] != "Merge":
        raise NotImplementedError(command)
    with connection.change("tag"):
        key, _, value = given["--tags"].partition("=")
        kept[TAGS] = {**kept.get(TAGS, {}), key: value}
    return 0, "", ""


@dataclass
class Change:
    """A run that builds, where it does, and the number of the text that its commit has."""

    run: Any
    environment: str
    number: int


class Repository(ABC):
    """What is in the repository beside the code and the runs: branches, pull requests by their branches, issues."""

    commands: ClassVar[Mapping[str, str]]
    """How the command begins that pushes a branch, and the one that opens a pull request."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.branches: list[str] = []
        self.pulls: list[str] = []

    @property
    @abstractmethod
    def issues(self) -> list[tuple[str, str]]:
        """The open issues: their titles and texts."""

    @property
    def variables(self) -> dict[str, str]:
        """What the programs of a script know, see `scripts.TOOLS` and `scripts.AZURE_TOOLS`."""
        return {"BRANCHES": " ".join(self.branches), "PULLS": " ".join(self.pulls)}

    @abstractmethod
    def carry_out(self, words: list[str]) -> None:
        """Do what a script asked `git` and others for."""

    def execute(
        self, command: list[str], folder: Path, variables: Mapping[str, str], *, captured: bool
    ) -> tuple[int, str, str]:
        """Answer a program that a verb asks about the repository, as `mlops.shell.execute` does."""
        raise NotImplementedError(command)


class YearWithUpkeep(YearByPipelines):
    """A team whose project has infrastructure of its own, and a template that goes on."""

    def __init__(self) -> None:
        """Begin as every year."""
        self.changes, self.released, self.installed = 0, 0, 0
        self.waiting_changes: list[Change] = []
        self.ended_changes: list[Change] = []
        self.newest_change: dict[str, int] = {}  # the newest run that was applied, by environment
        super().__init__()
        patch = self.world._patch
        patch.setattr("mlops.infrastructure.of", lambda project: Tool(project, Connection(self.azure, self.world)))
        patch.setattr("mlops.infrastructure.workspace.trains_first", self._trains_first)
        patch.setattr("mlops.shell.shutil", SimpleNamespace(which=lambda program: program))
        patch.setattr("mlops.shell.execute", self._execute)
        self.repository = self._repository()
        self._describe(0)

    # What the system knows.

    @abstractmethod
    def _repository(self) -> Repository:
        """Return a repository without anything, which the verb that keeps an issue asks from then on."""

    @abstractmethod
    def _machine_with(self, run: Any, job: Any, mlops: Mlops) -> Machine:
        """Return what carries a job out, with `git` and what else knows the repository."""

    @abstractmethod
    def _only_reads_code(self, job: Any) -> bool:
        """Return whether a job has no more rights than to read the code: no token, and no sign-in."""

    # What people and machines do.

    def _trains_first(self, project: Project, config: EnvironmentConfig) -> bool:
        return config.model.source == "workspace" and not self.azure.workspaces[config.environment].models

    def _execute(
        self, command: list[str], folder: Path, variables: Mapping[str, str], *, captured: bool
    ) -> tuple[int, str, str]:
        if command[0] == "az":
            return answer(Connection(self.azure, self.world), command)
        return self.repository.execute(command, folder, variables, captured=captured)

    def _describe(self, number: int) -> None:
        """Write a text of the infrastructure."""
        file = self.world.project.root / "infrastructure" / "terraform" / "main.tf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"change {number}", encoding="utf-8")

    def _add_or_remove_environment(self, trouble: Trouble | None) -> None:
        super()._add_or_remove_environment(trouble)
        self.waiting_changes.clear()
        self.ended_changes.clear()

    @rule(
        environment=st.sampled_from(CHAIN),
        how=st.sampled_from(("a push", "a plan", "an apply", "an apply")),
        end=st.sampled_from(("approved", "approved", "rejected", "late")),
        trouble=TROUBLES,
    )
    def change_infrastructure(self, environment: str, how: str, end: str, trouble: Trouble | None) -> None:
        """Change what is described, look at the plan, and approve it, reject it, or let it wait."""
        world = self.world
        self.changes += 1
        if how == "a push":
            environment, run = CHAIN[0], self._run("infrastructure", "push")
        else:
            inputs = {"environment": environment, "action": how.rpartition(" ")[2]}
            run = self._run("infrastructure", "workflow_dispatch", **inputs)
        change = Change(run, environment, self.changes)
        world.tell(f"the infrastructure is changed, and {how} for {environment} is {end}", trouble)
        planned = self._plan(change, trouble)
        if planned.error or how == "a plan":
            world.require(run.next() is None, f"{how} for {environment} would be applied")
            world.told(short(planned.error) or "planned", effective=True)
            return
        if end == "late":
            self.waiting_changes.append(change)
            world.told("waits for an approval", effective=True)
            return
        if end == "rejected":
            before = world.snapshot()
            run.end_as(run.next(), ok=False)
            world.require(run.next() is None, f"a change of {environment} goes on without its approval")
            world.require(before == world.snapshot(), f"a rejected change of {environment} changes something")
            self.ended_changes.append(change)
            world.told("rejected", effective=True)
            return
        world.told(self._apply(change, trouble), effective=True)

    @precondition(lambda self: self.waiting_changes or self.ended_changes)
    @rule(which=SOME, trouble=TROUBLES)
    def apply_later(self, which: int, trouble: Trouble | None) -> None:
        """Approve a change that waits, whatever came after it, or run all jobs of one that has ended again."""
        world, waiting = self.world, self.waiting_changes
        found = [*waiting, *self.ended_changes]
        change = found[which % len(found)]
        run, where = change.run, f"change {change.number} for {change.environment}, of run {change.run.number},"
        if change in waiting:
            waiting.remove(change)
            world.tell(f"{where} is approved late", trouble)
        else:
            self.ended_changes.remove(change)
            world.tell(f"{where} runs again, all its jobs", trouble)
            run.run_all_jobs_again()
            planned = self._plan(change, None)
            if run.next() is None:
                world.told(short(planned.error) or "planned", effective=True)
                return
        world.told(self._apply(change, trouble), effective=True)

    def _plan(self, change: Change, trouble: Trouble | None) -> Result:
        """Run the first job of a run, which has to change nothing and to come to a second one that is alone."""
        world, run, environment = self.world, change.run, change.environment
        before, plan = world.snapshot(), run.next()
        assert plan
        identity = self._identity(plan)
        world.require(identity == f"{environment}-read", f"a plan for {environment} runs as {identity}")
        planned = self._build(change, plan, trouble)
        world.require(before == world.snapshot(), f"a plan for {environment} changes something")
        excused = not planned.error or (trouble and trouble.excuses)
        world.require(excused, f"a plan for {environment} fails although nothing is wrong: {planned.error}")
        expected = not planned.error and run.inputs.get("action") != "plan"
        apply = run.next()
        if not (expected and apply):
            world.require(not expected, f"change {change.number} for {environment} is not applied")
            return planned
        identity = self._identity(apply)
        world.require(identity == environment, f"{environment} is changed as {identity}")
        teardown = self._run("teardown", "workflow_dispatch", environment=environment).next()
        is_alone = self._group(apply) == self._group(teardown)
        world.require(is_alone, f"{environment} is changed beside a teardown")
        return planned

    def _apply(self, change: Change, trouble: Trouble | None) -> str:
        """Run the second job, after its approval, and once more where it fails; return how that ended."""
        world, run, environment, kept = self.world, change.run, change.environment, self._kept_at(change)
        before, newest = kept.get(BUILT), self.newest_change.get(environment, 0)
        result = self._build(change, run.next(), trouble)
        self.ended_changes = [*self.ended_changes[-3:], change]
        if run.number < newest:
            stays = kept.get(BUILT) == before
            world.require(stays, f"{environment} went back from {before} of run {newest} to {kept.get(BUILT)}")
            world.require(result.error, f"{environment}: nothing is said of run {newest} that was applied before")
            return short(result.error)
        outcome = short(result.error) or "applied"
        if result.error:
            excused = trouble and trouble.excuses
            world.require(excused, f"a change of {environment} fails although nothing is wrong: {result.error}")
            run.run_failed_jobs_again()
            apply = run.next()
            assert apply
            again = self._build(change, apply, None)
            outcome += f"; once more: {short(again.error) or 'applied'}"
        self.newest_change[environment] = run.number
        found = kept.get(BUILT)
        world.require(found == f"change {change.number}", f"{environment} has {found} after change {change.number}")
        world.require(run.next() is None, f"a change of {environment} trains, although there is a model")
        return outcome

    def _kept_at(self, change: Change) -> dict[str, Any]:
        return self.azure.workspaces[change.environment].kept

    def _build(self, change: Change, job: Any, trouble: Trouble | None) -> Result:
        """Carry a job out with the text that its commit has."""
        self._describe(change.number)
        try:
            return self._work(change.run, job, trouble)[0][0]
        finally:
            self._describe(self.changes)

    @rule(
        released=st.booleans(),
        merged=st.booleans(),
        fails=st.sampled_from(("", "", "issue", "push", "pull request")),
    )
    def look_for_template_update(self, released: bool, merged: bool, fails: str) -> None:
        """Let the weekly workflow look, after a release, after a person merged the pull request, or after neither."""
        world, there = self.world, self.repository
        if merged and there.pulls:
            self.installed = max(int(branch.rpartition("v")[2]) for branch in there.pulls)
        self.released += released
        problem = f"; {fails} fails" if fails else ""
        world.tell(f"the workflow looks for a release: v{self.installed} is here, v{self.released} is out{problem}")
        failed = self._work_on_update(self._run("template-update", "schedule"), fails)
        newer = self.released > self.installed
        world.require(bool(fails) >= bool(failed), f"the run that looks for a release fails: {failed}")
        pulls = {branch: there.pulls.count(branch) for branch in there.pulls}
        world.require(set(pulls.values()) <= {1}, f"pull requests for one release: {pulls}")
        pushed = {branch: there.branches.count(branch) for branch in there.branches}
        world.require(set(pushed.values()) <= {1}, f"the branch of a release is pushed again: {pushed}")
        if "issue" not in failed:
            titles, text = [title for title, _ in there.issues], "".join(text for _, text in there.issues)
            opened = len(titles) == newer and all(title.startswith(TITLE) for title in titles)
            world.require(opened, f"{titles} are open, v{self.installed} of v{self.released} is here")
            world.require(f"v{self.released}" in text or not newer, f"the issue says {text!r}, v{self.released} is out")
        if newer and "pull-request" not in failed:
            there_is_one = any(branch.endswith(f"v{self.released}") for branch in there.pulls)
            world.require(there_is_one, f"there is no pull request for v{self.released}")
        world.told("failed" if failed else "an issue is open" if newer else "nothing is left", effective=True)

    def _work_on_update(self, run: Run, fails: str) -> list[str]:
        """Run the jobs; what `fails` says does so. Return which jobs failed."""
        world, folder, there = self.world, self.world.project.root, self.repository
        newer, failed = self.released > self.installed, list[str]()

        def mlops(words: list[str]) -> Step:
            command = " ".join(words)
            if words[0] in ("git", "gh", "az"):
                if fails and command.startswith(there.commands.get(fails, "nothing")):
                    return Step(1)
                there.carry_out(words)
                return Step(0)
            if words[0] == "issue" == fails:
                return Step(1)
            if words[0] == "issue":
                result: Result = world.command(CHAIN[0], words)
                return Step(int(bool(result.error)), result.outputs)
            if words[0] != "template-update":
                raise UserError(f"not a verb of this pipeline: {words}")
            world.require(self._only_reads_code(job), "code of a release runs where there is a token or a sign-in")
            file = folder / words[words.index("--file") + 1]
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"v{self.released} is there" if newer else "", encoding="utf-8")
            found = {"update": str(newer).lower(), "version": f"v{self.released}", "clean": str(newer).lower()}
            return Step(0, found)

        while job := run.next():
            ended = self._machine_with(run, job, mlops).work()
            run.end(job, ended)
            if ended.result.lower().startswith("fail"):
                failed.append(self._name(job).replace("_", "-"))
        return failed
