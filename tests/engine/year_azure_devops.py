"""The year of a team whose verbs are run by the project's own pipelines of Azure DevOps.

A pipeline names environments and service connections. What guards them, and which pipelines may use them, is not in its
files: bootstrap makes that, so its code is asked here.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import year_upkeep
from azure_runs import LOST, REASONS, Agent, Job, JobRun, PipelineRun, environment_of, parameters_of
from azure_templates import ALL_ENVIRONMENTS, PipelineError, expanded, load, script, steps
from fake_azure_devops import RUN, FakeAzureDevOps
from scripts import AZURE_TOOLS, Mlops, Step, told
from year_pipelines import WITHOUT_AZURE
from year_upkeep import YearWithUpkeep
from year_world import ADDED, CHAIN, PROTECTED, World, replace

from mlops.config import Project
from mlops.orchestration.azure_devops.names import Names
from mlops.orchestration.azure_devops.steps import APPROVAL, LOCK, guards

PROJECT = Project.load(Path(os.environ["MLOPS_TEST_AZURE_DEVOPS"]))
"""A project rendered for Azure DevOps."""

SOURCES = "/agent/s"
FOLDERS = {
    "Agent.TempDirectory": "/agent/temporary",
    "Build.SourcesDirectory": SOURCES,
    "Pipeline.Workspace": "/agent",
    "System.AccessToken": "token",
    "System.DefaultWorkingDirectory": SOURCES,
}
WITHOUT_SIGN_IN = (*WITHOUT_AZURE, "issue", "template-update", "git", "az")
"""The verbs and programs that need no sign-in to Azure."""

TOKENS = {"approval": "SYSTEM_ACCESSTOKEN", "issue": "SYSTEM_ACCESSTOKEN", "az repos": "AZURE_DEVOPS_EXT_PAT"}
"""Those that need the token of the run, and by which variable they get it."""


@contextlib.contextmanager
def understood(world: World) -> Iterator[None]:
    """Break a promise where Azure DevOps would refuse a pipeline, or put nothing in the place of a value."""
    try:
        yield
    except PipelineError as error:
        world.require(False, f"Azure DevOps does not understand the pipeline: {error}")


@dataclass
class Run(PipelineRun):
    """A run of a pipeline, with the name of its file and what started it."""

    file: str = ""
    event: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    world: Any = None
    number: int = 0
    commit: tuple[int, ...] = ()
    folder: Path = Path()  # of its pipelines

    @property
    def attempt(self) -> int:
        """How often the stage that trains has been run."""
        return 1 + self.repeated["train"]

    def next(self) -> Job | None:
        """Return the job that comes next."""
        with understood(self.world):
            return super().next()

    def end_as(self, job: Job, *, ok: bool) -> None:
        """Note how a job ended that is not carried out here; it hands nothing on."""
        ended = job.begun()
        ended.result = "Succeeded" if ok else "Failed"
        self.end(job, ended)


class Machine(Agent):
    """Carries the steps of a job out: each `uv run mlops ...` of its scripts, and of other programs the given tools."""

    def __init__(self, run: Run, job: Job, mlops: Mlops, repository: "Repository | None" = None) -> None:
        """Take a job; nothing runs yet. `repository` is for a job that changes what is there."""
        super().__init__(run, job)
        self._world, self._mlops = run.world, mlops
        self._tools = AZURE_TOOLS if repository else ""
        self._known = repository.variables if repository else {}
        self._has_code = self._may_push = self._is_cancelled = False

    def work(self) -> JobRun:
        """Run the steps, and say how the job ended."""
        with understood(self._world):
            return super().work()

    def cancel(self) -> None:
        """A person cancels the run in the midst of a step."""
        self._is_cancelled = True

    def execute(self, step: dict[str, Any]) -> str:
        """Carry a step out, and say how it ended."""
        if not script(step):
            self._has_code = self._has_code or "checkout" in step
            self._may_push = self._may_push or step.get("persistCredentials", False)
            return "Succeeded"
        text, code = self.script(step), 0
        for each in told(text, {**self.environment(step), **self._known}, self._tools):
            if isinstance(each, str):
                self.command(each, step.get("name", ""))
                continue
            ended = self._verb(each, step)
            if ended.code is None:
                return LOST
            for name, value in ended.outputs.items():
                self.command(f"##vso[task.setvariable variable={name};isOutput=true]{value}", step.get("name", ""))
            code = ended.code
            if code and "set -o errexit" in text:
                break
        if self._is_cancelled:
            self._is_cancelled = False
            return "Canceled"
        return "Failed" if code else "Succeeded"

    def _verb(self, words: list[str], step: dict[str, Any]) -> Step:
        """Run a verb, if it has what it needs: the code, the token of the run, a sign-in to Azure."""
        begins = "" if "deployment" in self.job.content else SOURCES
        in_code = self._has_code and (self.folder(step) or begins) == SOURCES
        if words[0] in WITHOUT_SIGN_IN:
            token = TOKENS.get(" ".join(words[:2]) if words[0] == "az" else words[0])
            has_all = token is None or bool(self.environment(step).get(token))
            has_all = has_all and (self._may_push or words[:2] != ["git", "push"])
        else:
            has_all = step.get("task", "").startswith("AzureCLI")
        return self._mlops(words) if in_code and has_all else Step(1)


class Repository(year_upkeep.Repository):
    """A repository in Azure Repos: a script asks `az`, and the verb that keeps a work item the REST API."""

    commands: ClassVar[Mapping[str, str]] = {"push": "git push", "pull request": "az repos pr create"}

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self.devops = FakeAzureDevOps()
        self.devops.create_project()

    @property
    def issues(self) -> list[tuple[str, str]]:
        """The open work items: their titles and texts."""
        *_, (closed, _) = self.devops.states
        found = [each for each in self.devops.work_items.values() if each["System.State"] != closed]
        return [(each["System.Title"], each["System.Description"]) for each in found]

    def carry_out(self, words: list[str]) -> None:
        """Do what a script asked `git` or `az` for."""
        if words[:2] == ["git", "push"]:
            self.branches.append(words[-1])
        elif words[:4] == ["az", "repos", "pr", "create"]:
            branch = words[words.index("--source-branch") + 1]
            assert branch in self.branches, f"there is no branch {branch}"
            self.pulls.append(branch)
        elif words[0] == "az" and words[1:3] not in (["devops", "configure"], ["extension", "add"]):
            raise NotImplementedError(words)


def with_added(folder: Path) -> None:
    """Edit pipelines as a person does for one more environment before the protected one."""
    for file in folder.glob("*.yml"):
        text = file.read_text(encoding="utf-8")
        values = f"values: [dev, test, {ADDED}, prod]"
        file.write_text(text.replace("values: [dev, test, prod]", values), encoding="utf-8")
    file = folder / "templates" / "delivery.yml"
    begins = "  - template: delivery-environment.yml\n    parameters:\n      environment: {}\n"
    head, mark, rest = file.read_text(encoding="utf-8").partition(begins.format("test"))
    stages, end, last = rest.partition(begins.format("prod"))
    own = after((mark + stages).replace("test", ADDED), "dev", "test", ADDED)
    text = f"{head}{mark}{stages}{own}{end}{after(last, 'test', ADDED, 'prod')}"
    file.write_text(text, encoding="utf-8")


def after(text: str, last: str, added: str, name: str) -> str:
    """Let the stages of an environment, which come after a last one, come after an added one, too."""
    sees = f"eq(dependencies.{{0}}_look.outputs['{{0}}_look.look.next'], '{name}')"
    hands_on = f"eq(dependencies.{{0}}.outputs['{{0}}.{{0}}.deliver.next'], '{name}')"
    for lines in (("{}_look", "{}"), (sees, hands_on)):
        old, more = ([f"- {line.format(each)}" for line in lines] for each in (last, added))
        text, times = re.subn(rf"( +){re.escape(old[0])}\n +{re.escape(old[1])}\n", _followed_by(more), text)
        assert times == 1, old
    return text


def _followed_by(lines: list[str]) -> Callable[[re.Match[str]], str]:
    """What is found, and the lines with its indentation after it."""
    return lambda found: found[0] + "".join(f"{found[1]}{line}\n" for line in lines)


class YearOnAzureDevOps(YearWithUpkeep):
    """A team, its project, and all that happens to it, by way of its pipelines."""

    folder: ClassVar[Path] = PROJECT.root / ".azuredevops"
    names: ClassVar[Names] = Names(PROJECT)
    repository: Repository

    def __init__(self) -> None:
        """Begin as every year."""
        self.pipelines = self.folder
        # The verb that keeps a work item asks the project itself where it runs.
        settings = self.project.root / "pyproject.toml"
        if "\norchestration = " not in settings.read_text(encoding="utf-8"):
            replace(settings, r"\[tool\.mlops\]\n", '[tool.mlops]\norchestration = "azure-devops"\n')
        shutil.copytree(self.folder, self.project.root / ".azuredevops", dirs_exist_ok=True)
        super().__init__()

    def _system(self) -> Mapping[str, str]:
        folder = self.project.root / ".local" / "agent"
        folder.mkdir(parents=True, exist_ok=True)
        run = {name: value for name, value in RUN.items() if name.startswith(("TF_", "SYSTEM_"))}
        return {**run, "AGENT_TEMPDIRECTORY": str(folder)}

    def _repository(self) -> Repository:
        found = Repository()
        self.world._patch.setattr("mlops.orchestration.azure_devops.run.urlopen", found.devops.urlopen)
        return found

    def _begin(self, pipeline: str, event: str, inputs: Mapping[str, str | bool]) -> Run:
        reason = REASONS[{"workflow_dispatch": "manual"}.get(event, event)]
        own = {"Build.BuildId": str(self.people.deliveries), "Build.Reason": reason}
        with understood(self.world):
            parameters = tuple(parameters_of(inputs).items())
            document = document_of(self.pipelines / f"{pipeline}.yml", parameters, reason)
        more = {"file": pipeline, "event": event, "inputs": inputs, "world": self.world, "folder": self.pipelines}
        return Run(document, FOLDERS | own, **more)

    def _machine(self, run: Run, job: Job, mlops: Mlops) -> Machine:
        self._check_guards(run, job)
        folder = Path(os.environ["AGENT_TEMPDIRECTORY"])
        shutil.rmtree(folder)
        folder.mkdir()
        return Machine(run, job, mlops)

    def _machine_with(self, run: Run, job: Job, mlops: Mlops) -> Machine:
        return Machine(run, job, mlops, self.repository)

    def _only_reads_code(self, job: Job) -> bool:
        with understood(self.world):
            values = [value for step in steps(job.content) for value in environment_of(step, job.variables).values()]
        is_kept = any(step.get("persistCredentials") for step in steps(job.content))
        return not (job.identities or job.environment or is_kept or FOLDERS["System.AccessToken"] in values)

    def _check_guards(self, run: Run, job: Job) -> None:
        """Check that a job names what it may use, and that what it changes is approved and locked."""
        identity, environment = self._identity(job), self._environment(job)
        require, name = self.world.require, self._name(job)
        connections = self.names.connections(environment, is_first=environment == CHAIN[0])
        allowed = connections.get(f"{job.variables['project']}-{identity}", ())
        require(run.file in allowed, f"{run.file} may not use the connection of {identity}")
        if self._reads(job):
            require(not job.environment, f"{name} only looks, and waits for the approval of {job.environment}")
            return
        allowed = self.names.environments(environment).get(job.environment, ())
        require(run.file in allowed, f"{name} changes {environment}, and does not wait for its approval")
        approved = environment != PROTECTED or APPROVAL in self._guards(job)
        require(approved, f"{name} changes {environment} without an approval")

    def _guards(self, job: Job) -> tuple[Any, ...]:
        return guards(approved=self._environment(job) != CHAIN[0])

    def _name(self, job: Job) -> str:
        delivers = any(step.get("name") == "deliver" for step in steps(job.content))
        return "deliver" if delivers else job.key[1]

    def _identity(self, job: Job) -> str:
        found = job.identities
        self.world.require(len(found) == 1, f"{job.key[0]} signs in as {found}")
        return found[0]

    def _given(self, job: Job) -> Mapping[str, str]:
        with understood(self.world):
            tasks = [environment_of(step, job.variables) for step in steps(job.content) if "task" in step]
        return {name: value for task in tasks for name, value in task.items()}

    def _group(self, job: Job) -> str:
        return job.environment if LOCK in self._guards(job) else f"run {job.variables['Build.BuildId']}"

    def _is_kept(self, job: Job) -> bool:
        return job.stage.get("lockBehavior") == "sequential"

    def _minutes(self, job: Job) -> int:
        return int(job.content["timeoutInMinutes"])

    def _knows(self, run: Run, environment: str) -> bool:
        return environment != ADDED or run.folder == self.pipelines

    def _edit_pipelines(self, *, added: bool) -> None:
        self.pipelines = self.folder
        if added:
            self.pipelines = self.world.project.root.parent / f"pipelines with {ADDED}"
            if not self.pipelines.exists():
                with_added(shutil.copytree(self.folder, self.pipelines))

    def _starts_training(self, path: str) -> bool:
        paths = load(self.pipelines / "train.yml")["trigger"]["paths"]["include"]
        return any(path == each or path.startswith(f"{each}/") for each in paths)


@cache
def document_of(file: Path, parameters: tuple[tuple[str, Any], ...], reason: str) -> dict[str, Any]:
    """Return a pipeline with values for its parameters."""
    return expanded(file, dict(parameters), reason, environments=f"{ALL_ENVIRONMENTS} {ADDED}")
