"""What else the pipelines of a project do in a year: they build infrastructure, and look for updates of the template.

Terraform or Bicep, Copier and Git's own work are not done: `Tool` applies a text, and whether there is a newer release
is known here. What follows from that, when and with whose approval is read from the files of the project, and the issue
is kept by the verb, which asks what is in `Repository`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from azure_ml import Azure, Connection, Story
from hypothesis import strategies as st
from scripts import Mlops, Step
from troubles import Trouble
from year import TROUBLES, short
from year_pipelines import Machine, Run, YearByPipelines
from year_story import rule
from year_world import CHAIN, Result

from mlops.config import EnvironmentConfig
from mlops.errors import UserError
from mlops.project import Project

TITLE = "Update to the newest template"
BUILT = "infrastructure"
"""Where a workspace keeps which text of the infrastructure was applied."""


class Tool:
    """Terraform or Bicep: what is described is one text."""

    def __init__(self, project: Project, azure: Azure, story: Story) -> None:
        """Sign in."""
        self._file, self._azure = project.root / "infrastructure" / "terraform" / "main.tf", azure
        self._connection = Connection(azure, story)

    def provision(
        self,
        config: EnvironmentConfig,
        action: str,
        *,
        dry_run: bool,
        deployer: str | None,
        retry_minutes: int,
        confirm: str,
    ) -> str:
        """Say what would change, or change it; nothing that a text changes deletes data."""
        kept, described = self._azure.workspaces[config.environment].kept, self._file.read_text(encoding="utf-8")
        if action == "plan":
            with self._connection.read("plan", late=False):
                return f"{kept.get(BUILT)} becomes {described}"
        if action != "apply":
            raise NotImplementedError(action)
        with self._connection.change("apply"):
            kept[BUILT] = described
        return ""


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


class YearWithUpkeep(YearByPipelines):
    """A team whose project has infrastructure of its own, and a template that goes on."""

    def __init__(self) -> None:
        """Begin as every year."""
        self.changes, self.released, self.installed = 0, 0, 0
        super().__init__()
        patch, story, azure = self.world._patch, self.world, self.azure
        patch.setattr("mlops.infrastructure.of", lambda project: Tool(project, azure, story))
        patch.setattr("mlops.infrastructure.workspace.trains_first", self._trains_first)
        self.repository = self._repository()
        self._describe()

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

    def _describe(self) -> None:
        file = self.world.project.root / "infrastructure" / "terraform" / "main.tf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"change {self.changes}", encoding="utf-8")

    @rule(
        environment=st.sampled_from(CHAIN),
        how=st.sampled_from(("a push", "a plan", "an apply", "an apply")),
        end=st.sampled_from(("approved", "approved", "rejected", "late")),
        trouble=TROUBLES,
    )
    def change_infrastructure(self, environment: str, how: str, end: str, trouble: Trouble | None) -> None:
        """Change what is described, look at the plan, and approve it, also late, or reject it."""
        world = self.world
        self.changes += 1
        self._describe()
        if how == "a push":
            environment, run = CHAIN[0], self._run("infrastructure", "push")
        else:
            inputs = {"environment": environment, "action": how.rpartition(" ")[2]}
            run = self._run("infrastructure", "workflow_dispatch", **inputs)
        world.tell(f"the infrastructure is changed, and {how} for {environment} is {end}", trouble)
        before = world.snapshot()
        plan = run.next()
        assert plan
        identity = self._identity(plan)
        world.require(identity == f"{environment}-read", f"a plan for {environment} runs as {identity}")
        planned = self._work(run, plan, trouble)[0][0]
        world.require(before == world.snapshot(), f"a plan for {environment} changes something")
        excused = not planned.error or (trouble and trouble.excuses)
        world.require(excused, f"a plan for {environment} fails although nothing is wrong: {planned.error}")
        apply = run.next()
        if planned.error or how == "a plan":
            world.require(apply is None, f"{how} for {environment} would be applied")
            world.told(short(planned.error) or "planned", effective=True)
            return
        world.require(apply, f"{how} for {environment} is not applied")
        assert apply
        identity = self._identity(apply)
        world.require(identity == environment, f"{environment} is changed as {identity}")
        teardown = self._run("teardown", "workflow_dispatch", environment=environment).next()
        is_alone = self._group(apply) == self._group(teardown)
        world.require(is_alone, f"{environment} is changed beside a teardown")
        if end == "rejected":
            run.end_as(apply, ok=False)
            world.require(run.next() is None, f"a change of {environment} goes on without its approval")
            world.require(before == world.snapshot(), f"a rejected change of {environment} changes something")
            world.told("rejected", effective=True)
            return
        if end == "late":
            self.changes += 1
            self._describe()
        result = self._work(run, apply, trouble)[0][0]
        outcome = short(result.error) or "applied"
        if result.error:
            excused = trouble and trouble.excuses
            world.require(excused, f"a change of {environment} fails although nothing is wrong: {result.error}")
            run.run_failed_jobs_again()
            apply = run.next()
            assert apply
            again = self._work(run, apply, None)[0][0]
            outcome += f"; once more: {short(again.error) or 'applied'}"
        found = self.azure.workspaces[environment].kept.get(BUILT)
        world.require(found == f"change {self.changes}", f"{environment} has {found} after change {self.changes}")
        world.require(run.next() is None, f"a change of {environment} trains, although there is a model")
        world.told(outcome, effective=True)

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
