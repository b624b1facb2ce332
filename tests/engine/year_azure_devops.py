"""The year of a team whose verbs are run by the project's own pipelines of Azure DevOps.

A pipeline names environments and service connections. What guards them, and which pipelines may use them, is not in its
files: bootstrap makes that, so its code is asked here.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from azure_runs import LOST, REASONS, Agent, Job, JobRun, PipelineRun, environment_of, parameters_of
from azure_templates import PipelineError, expanded, load, steps
from scripts import Mlops, Step, told
from troubles import Trouble
from year_pipelines import WITHOUT_AZURE, YearByPipelines
from year_world import CHAIN, PROTECTED, World

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
WITH_TOKEN = ("approval",)
"""The verbs that need the token of the run."""


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
    """Carries the steps of a job out: each `uv run mlops ...` of its scripts, and nothing of other programs."""

    def __init__(self, run: Run, job: Job, mlops: Mlops) -> None:
        """Take a job; nothing runs yet."""
        super().__init__(run, job)
        self._world, self._mlops = run.world, mlops
        self._has_code = self._is_cancelled = False

    def work(self) -> JobRun:
        """Run the steps, and say how the job ended."""
        with understood(self._world):
            return super().work()

    def cancel(self) -> None:
        """A person cancels the run in the midst of a step."""
        self._is_cancelled = True

    def execute(self, step: dict[str, Any]) -> str:
        """Carry a step out, and say how it ended."""
        if "checkout" in step or "download" in step:
            self._has_code = self._has_code or "checkout" in step
            return "Succeeded"
        script, code = self.script(step), 0
        for each in told(script, self.environment(step)):
            if isinstance(each, str):
                self.command(each, step.get("name", ""))
                continue
            ended = self._verb(each, step)
            if ended.code is None:
                return LOST
            for name, value in ended.outputs.items():
                self.command(f"##vso[task.setvariable variable={name};isOutput=true]{value}", step.get("name", ""))
            code = ended.code
            if code and "set -o errexit" in script:
                break
        if self._is_cancelled:
            self._is_cancelled = False
            return "Canceled"
        return "Failed" if code else "Succeeded"

    def _verb(self, words: list[str], step: dict[str, Any]) -> Step:
        """Run a verb, if it has what it needs: the code, the token of the run, a sign-in to Azure."""
        begins = "" if "deployment" in self.job.content else SOURCES
        in_code = self._has_code and (self.folder(step) or begins) == SOURCES
        if words[0] in WITHOUT_AZURE:
            has_all = words[0] not in WITH_TOKEN or bool(self.environment(step).get("SYSTEM_ACCESSTOKEN"))
        else:
            has_all = step.get("task", "").startswith("AzureCLI")
        return self._mlops(words) if in_code and has_all else Step(1)


class YearOnAzureDevOps(YearByPipelines):
    """A team, its project, and all that happens to it, by way of its pipelines."""

    folder: ClassVar[Path] = PROJECT.root / ".azuredevops"
    names: ClassVar[Names] = Names(PROJECT)

    def _system(self) -> Mapping[str, str]:
        folder = self.project.root / ".local" / "agent"
        folder.mkdir(parents=True, exist_ok=True)
        return {"TF_BUILD": "True", "AGENT_TEMPDIRECTORY": str(folder)}

    def _begin(self, pipeline: str, event: str, inputs: Mapping[str, str | bool]) -> Run:
        self.people.runs += 1
        reason = REASONS[{"workflow_dispatch": "manual"}.get(event, event)]
        own = {"Build.BuildId": str(self.people.runs), "Build.Reason": reason}
        with understood(self.world):
            parameters = tuple(parameters_of(inputs).items())
            document = document_of(self.folder / f"{pipeline}.yml", parameters, reason)
        return Run(document, FOLDERS | own, file=pipeline, event=event, inputs=inputs, world=self.world)

    def _machine(self, run: Run, job: Job, mlops: Mlops) -> Machine:
        self._check_guards(run, job)
        folder = Path(os.environ["AGENT_TEMPDIRECTORY"])
        shutil.rmtree(folder)
        folder.mkdir()
        return Machine(run, job, mlops)

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
        return "deliver" if delivers else job.key[0]

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

    def add_or_remove_environment(self, trouble: Trouble | None) -> None:
        """Do nothing: the pipelines name the environments, and a person edits them for another one."""

    def _starts_training(self, path: str) -> bool:
        paths = load(self.folder / "train.yml")["trigger"]["paths"]["include"]
        return any(path == each or path.startswith(f"{each}/") for each in paths)


@cache
def document_of(file: Path, parameters: tuple[tuple[str, Any], ...], reason: str) -> dict[str, Any]:
    """Return a pipeline with values for its parameters."""
    return expanded(file, dict(parameters), reason)
