"""Runs Azure Pipelines of a rendered project with their scripts, as far as the project uses them."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from azure_runs import PREDEFINED, REASONS, Agent, Job, PipelineRun, parameters_of
from azure_templates import ALL_ENVIRONMENTS, expanded, load
from workflow_runs import Outcome, Work

RESULTS = {
    "Succeeded": "success",
    "SucceededWithIssues": "success",
    "Failed": "failure",
    "Canceled": "cancelled",
    "Skipped": "skipped",
}


class Machines:
    """Runs a pipeline: conditions, outputs and scripts as Azure DevOps treats them.

    Args:
        work: The folder of the code, with nothing of Git.
        programs: A folder of stand-ins, before all others.
        calls: The file in which they log their calls.
    """

    def __init__(self, work: Path, programs: Path, calls: Path) -> None:
        self.work, self.programs, self.calls = work, programs, calls
        self.temporary = work.parent / "temporary"
        self.artifacts = work.parent / "artifacts"

    def run(
        self,
        pipeline: dict[str, Any],
        event: str,
        *,
        cancel: str = "",
        variables: Mapping[str, str] | None = None,
        broken: dict[str, Any] | None = None,
        ending: str = "Failed",
        until: dict[str, Any] | None = None,
    ) -> PipelineRun:
        """Run an expanded pipeline.

        Args:
            pipeline: As `expanded` returns it.
            event: What started it: one of REASONS.
            cancel: The command in whose midst the run is cancelled.
            variables: Predefined variables with other values.
            broken: A step of the pipeline that does nothing, and ends its job.
            ending: How it does: Failed, or Canceled, together with the whole run.
            until: A job before which it stops.
        """
        shutil.rmtree(self.artifacts, ignore_errors=True)
        self.artifacts.mkdir()
        self.temporary.mkdir(exist_ok=True)
        self.cancel, self.broken, self.ending = cancel, broken, ending
        own = {
            "Agent.TempDirectory": str(self.temporary),
            "Build.SourcesDirectory": str(self.work),
            "Build.Reason": REASONS[event],
            "Pipeline.Workspace": str(self.work.parent),
            "System.AccessToken": "secret-token",
            "System.DefaultWorkingDirectory": str(self.work),
            "System.PullRequest.IsFork": {"pull request": "False", "fork": "True"}.get(event, ""),
        }
        run = PipelineRun(pipeline, own | dict(variables or {}))
        self.go_on(run, until)
        return run

    def go_on(self, run: PipelineRun, until: dict[str, Any] | None = None) -> None:
        """Run what is left of a run, such as after a failure that is no more."""
        while (job := run.next()) and job.content is not until:
            run.end(job, Machine(self, run, job).work())

    def branch_off(self, run: PipelineRun, artifacts: Path, broken: dict[str, Any], ending: str) -> PipelineRun:
        """Run what is left of a run that has stopped, with a step that is broken; it can be done again.

        Args:
            run: The run.
            artifacts: A copy of what it has published.
            broken: As above.
            ending: As above.
        """
        shutil.rmtree(self.artifacts)
        shutil.copytree(artifacts, self.artifacts)
        self.broken, self.ending = broken, ending
        branch = replace(run, ended=dict(run.ended), repeated=run.repeated.copy(), summaries=run.summaries[:])
        self.go_on(branch)
        return branch

    def run_failed_jobs_again(self, run: PipelineRun) -> None:
        """Run what did not succeed again, and what depends on it; nothing is broken any more."""
        self.broken = None
        run.run_failed_jobs_again()
        self.go_on(run)


class Machine(Agent):
    """An agent on this machine, whose scripts really run."""

    def __init__(self, machines: Machines, run: PipelineRun, job: Job) -> None:
        super().__init__(run, job)
        self.machines = machines
        self.path = f"{machines.programs}:{os.environ['PATH']}"

    def execute(self, step: dict[str, Any]) -> str:
        if step is self.machines.broken:
            return self.machines.ending
        if self.succeeds(step):
            return "Succeeded"
        calls = self.machines.calls.read_text(encoding="utf-8").splitlines()
        return "Canceled" if self.machines.cancel and self.machines.cancel in calls else "Failed"

    def succeeds(self, step: dict[str, Any]) -> bool:
        """Run a step; whether it went well."""
        if "checkout" in step or "download" in step or step.get("task") == "Cache@2":
            return True
        if "publish" in step:
            return self.publish(Path(self.macros(step["publish"])), step["artifact"])
        if step.get("task") == "DownloadPipelineArtifact@2":
            return self.download({key: self.macros(value) for key, value in step["inputs"].items()})
        return self.bash(step)

    def publish(self, path: Path, name: str) -> bool:
        if not path.exists():
            return False
        shutil.copytree(path, self.machines.artifacts / name) if path.is_dir() else self.copy(path, name)
        return True

    def copy(self, path: Path, name: str) -> None:
        (self.machines.artifacts / name).mkdir()
        shutil.copy(path, self.machines.artifacts / name)

    def download(self, inputs: dict[str, str]) -> bool:
        source = self.machines.artifacts / inputs.get("artifactName", "")
        if not source.is_dir() or not any(source.iterdir()):
            return False
        shutil.copytree(source, inputs["targetPath"], dirs_exist_ok=True)
        return True

    def bash(self, step: dict[str, Any]) -> bool:
        # In a deployment job, elsewhere than in the code.
        elsewhere = self.machines.temporary if "deployment" in self.job.content else self.machines.work
        environment = {"PATH": self.path, "HOME": str(self.machines.work.parent), "TF_BUILD": "True"}
        result = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", self.script(step)],
            cwd=self.folder(step) or elsewhere,
            capture_output=True,
            text=True,
            env=environment | self.environment(step),
            timeout=60,
        )
        self.job_run.log += result.stdout + result.stderr
        for line in result.stdout.splitlines():
            self.command(line, step.get("name", ""))
        return result.returncode == 0

    def prepend(self, folder: str) -> None:
        self.path = f"{folder}:{self.path}"


class AzureRuns:
    """Runs Azure Pipelines as pipelines of either system are run."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.work = Work(folder, project)
        self.work.stand_in("python3", "curl", "sha256sum", "unzip")
        self.pipelines = project / ".azuredevops"
        names = self.pipelines / "templates" / "names.yml"
        (self.work.work / ".azuredevops" / "templates").mkdir(parents=True)
        shutil.copy(names, self.work.work / ".azuredevops" / "templates")
        shutil.copytree(project / "config", self.work.work / "config", dirs_exist_ok=True)
        variables = load(names)["variables"]
        (self.project,) = [each["value"] for each in variables if each["name"] == "project"]
        self.job = f"{self.project}-{PREDEFINED['Build.BuildId']}"
        self.machines = Machines(self.work.work, self.work.programs, self.work.log)

    def run(
        self,
        pipeline: str,
        event: str = "manual",
        inputs: Mapping[str, Any] | None = None,
        *,
        fail: str = "",
        cancel: str = "",
        outputs: Mapping[str, dict[str, str]] | None = None,
        network: str = "",
        building: str = "",
        attempt: int = 1,
        environments: str = ALL_ENVIRONMENTS,
    ) -> Outcome:
        """Run a pipeline; see `Runs`. `environments` is as in `expanded`."""
        self.work.prepare(fail or cancel, outputs)
        document = self.document(pipeline, event, inputs, network, environments, building)
        if event in ("pull request", "fork"):
            self.merge()
        run = self.machines.run(document, event, cancel=cancel, variables={"System.StageAttempt": str(attempt)})
        return self.outcome(run)

    def document(
        self,
        pipeline: str,
        event: str = "manual",
        inputs: Mapping[str, Any] | None = None,
        network: str = "",
        environments: str = ALL_ENVIRONMENTS,
        building: str = "",
    ) -> dict[str, Any]:
        """What is run."""
        file = self.pipelines / f"{pipeline}.yml"
        return expanded(file, parameters_of(inputs), REASONS[event], network, environments, building)

    def merge(self) -> None:
        """Have the merge of a pull request, whose first parent is the branch that it goes to."""
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        for command in (["init", "--quiet"], *2 * [[*identity, "commit", "--quiet", "--allow-empty", "--message=x"]]):
            subprocess.run(["git", *command], cwd=self.work.work, check=True)

    def outcome(self, run: PipelineRun) -> Outcome:
        """A run in the words of both systems."""
        results, identities, machines = {}, {}, {}
        for (stage, job), one in run.runs.items():
            name = stage or job
            results[name] = RESULTS[one.result]
            if one.machine:
                machines[name] = one.machine
            if one.identities:
                (identities[name],) = one.identities
        return Outcome(results, identities, machines, run.log)
