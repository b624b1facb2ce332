"""What else the workflows of a project do in a year: they build infrastructure, and look for updates of the template.

Terraform or Bicep, Copier and Git's own work are not done: `Tool` applies a text, and whether there is a newer release
is known here. What follows from that, when and with whose approval is read from the workflow files, and the issue is
kept by the verb, which asks the `gh` of `Repository`.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

from azure_ml import Azure, Connection, Story
from github_runs import Ended, Machine, Run
from hypothesis import strategies as st
from scripts import Step
from troubles import Trouble
from year import TROUBLES, short
from year_github import YearOnGitHub
from year_story import rule
from year_world import CHAIN, PROTECTED, Result

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


class Repository:
    """What is on GitHub beside the runs: open issues with their texts, branches and pull requests by their branches."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.issues: dict[str, dict[str, str]] = {}
        self.branches: list[str] = []
        self.pulls: list[str] = []

    @property
    def variables(self) -> dict[str, str]:
        """What the `git` and `gh` of a script know, see `scripts.TOOLS`."""
        return {"BRANCHES": " ".join(self.branches), "PULLS": " ".join(self.pulls)}

    def carry_out(self, words: list[str]) -> None:
        """Do what a script asked `git` or `gh` for."""
        if words[:2] == ["git", "push"]:
            self.branches.append(words[-1])
        elif words[:3] == ["gh", "pr", "create"]:
            self.pulls.append(words[words.index("--head") + 1])

    def execute(
        self, command: list[str], folder: Path, variables: Mapping[str, str], *, captured: bool
    ) -> tuple[int, str, str]:
        """Answer the `gh` of the verb that keeps the issue."""
        what, *words = command[2:]
        given = dict(zip(words[::2], words[1::2], strict=False)) if what in ("create", "list") else {}
        if command[:2] != ["gh", "issue"]:
            raise NotImplementedError(command)
        if what == "list":
            return (
                0,
                json.dumps([{"number": int(key), "title": each["title"]} for key, each in self.issues.items()]),
                "",
            )
        if what == "create":
            text = (folder / given["--body-file"]).read_text(encoding="utf-8")
            self.issues[str(len(self.issues) + 7)] = {"title": given["--title"], "text": text}
        elif what == "edit":
            self.issues[words[0]]["text"] = (folder / words[2]).read_text(encoding="utf-8")
        elif what == "close":
            del self.issues[words[0]]
        else:
            raise NotImplementedError(command)
        return 0, "", ""


class YearWithUpkeep(YearOnGitHub):
    """A team whose project has infrastructure of its own, and a template that goes on."""

    def __init__(self) -> None:
        """Begin as every year."""
        self.repository, self.changes, self.released, self.installed = Repository(), 0, 0, 0
        super().__init__()
        patch, story, azure = self.world._patch, self.world, self.azure
        patch.setattr("mlops.infrastructure.of", lambda project: Tool(project, azure, story))
        patch.setattr("mlops.infrastructure.workspace.trains_first", self._trains_first)
        patch.setattr("mlops.shell.shutil", SimpleNamespace(which=lambda program: program))
        patch.setattr("mlops.shell.execute", self.repository.execute)
        self._describe()

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
        wrong = f"a plan for {environment} runs as {plan.environment}"
        world.require(plan.environment == f"{environment}-read", wrong)
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
        world.require(apply.environment == environment, f"{environment} is changed as {apply.environment}")
        world.require(
            apply.group == self._group_of_teardown(environment), f"{environment} is changed beside a teardown"
        )
        if end == "rejected":
            run.end(apply, Ended("failure"))
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

    def _group_of_teardown(self, environment: str) -> str:
        job = self._run("teardown", "workflow_dispatch", environment=environment).next()
        return job.group if job else ""

    @rule(
        released=st.booleans(),
        merged=st.booleans(),
        fails=st.sampled_from(("", "", "issue", "git push", "gh pr create")),
    )
    def look_for_template_update(self, released: bool, merged: bool, fails: str) -> None:
        """Let the weekly workflow look, after a release, after a person merged the pull request, or after neither."""
        world, there = self.world, self.repository
        if merged and there.pulls:
            self.installed = max(int(branch.rpartition("v")[2]) for branch in there.pulls)
        self.released += released
        problem = f"; {fails} fails" if fails else ""
        world.tell(f"the workflow looks for a release: v{self.installed} is here, v{self.released} is out{problem}")
        run = self._run("template-update", "schedule")
        self._work_on_update(run, fails)
        newer = self.released > self.installed
        failed = [place for place, ended in run.ended.items() if ended.result == "failure"]
        world.require(bool(fails) >= bool(failed), f"the workflow that looks for a release fails: {failed}")
        titles = [each["title"] for each in there.issues.values()]
        world.require(len(titles) <= 1, f"{len(titles)} issues are open for an update")
        pulls = {branch: there.pulls.count(branch) for branch in there.pulls}
        world.require(set(pulls.values()) <= {1}, f"pull requests for one release: {pulls}")
        pushed = {branch: there.branches.count(branch) for branch in there.branches}
        world.require(set(pushed.values()) <= {1}, f"the branch of a release is pushed again: {pushed}")
        if "issue" not in failed:
            text = "".join(each["text"] for each in there.issues.values())
            world.require(
                titles == [TITLE] * newer, f"{titles} are open, v{self.installed} of v{self.released} is here"
            )
            world.require(f"v{self.released}" in text or not newer, f"the issue says {text!r}, v{self.released} is out")
        if newer and "pull-request" not in failed:
            branch = f"template-update/v{self.released}"
            world.require(branch in there.pulls, f"there is no pull request for v{self.released}")
        world.told("failed" if failed else "an issue is open" if newer else "nothing is left", effective=True)

    def _work_on_update(self, run: Run, fails: str) -> None:
        """Run the jobs of the workflow; what `fails` says does so."""
        folder = self.world.project.root
        newer = self.released > self.installed

        def mlops(words: list[str]) -> Step:
            if words[0] in ("git", "gh"):
                if " ".join(words).startswith(fails or "nothing"):
                    return Step(1)
                self.repository.carry_out(words)
                return Step(0)
            if words[0] == "issue" == fails:
                return Step(1)
            if words[0] == "issue":
                result: Result = self.world.command(CHAIN[0], words)
                return Step(int(bool(result.error)), result.outputs)
            if words[0] != "template-update":
                raise UserError(f"not a verb of this workflow: {words}")
            file = folder / words[words.index("--file") + 1]
            file.parent.mkdir(exist_ok=True)
            file.write_text(f"v{self.released} is there" if newer else "", encoding="utf-8")
            found = {"update": str(newer).lower(), "version": f"v{self.released}", "clean": str(newer).lower()}
            return Step(0, found)

        while job := run.next():
            self.world.require(job.environment != PROTECTED, f"a look for a release runs as {job.environment}")
            run.end(job, Machine(run, job, folder, mlops, self.repository.variables).work())
