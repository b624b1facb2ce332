"""Runs Azure Pipelines of a rendered project: conditions, outputs and scripts, as far as the project uses them.

What Azure DevOps accepts in silence and answers with nothing (an output of a stage that is no dependency, a variable
that is not set, an output of a step that is not there) is an error here.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azure_templates import (
    Expression,
    Known,
    PipelineError,
    as_text,
    connections,
    depends_on,
    expanded,
    load,
    name_of,
    script,
    stages,
    steps,
    truth,
)
from workflow_runs import Outcome, Work

SUCCESS = ("Succeeded", "SucceededWithIssues")
PREDEFINED = {
    "Agent.OS": "Linux",
    "Build.BuildId": "20",
    "Build.BuildNumber": "20260102.1",
    "Build.Repository.Name": "flight-delays",
    "Build.SourceBranch": "refs/heads/main",
    "System.CollectionUri": "https://dev.azure.com/organisation/",
    "System.OidcRequestUri": "https://dev.azure.com/oidc",
    "System.StageAttempt": "1",
    "System.TeamProject": "Delays of flights",
}
REASONS = {
    "push": "IndividualCI",
    "manual": "Manual",
    "schedule": "Schedule",
    "pull request": "PullRequest",
    "fork": "PullRequest",
}
RESULTS = {
    "Succeeded": "success",
    "SucceededWithIssues": "success",
    "Failed": "failure",
    "Canceled": "cancelled",
    "Skipped": "skipped",
}


class Outputs(dict):
    """The outputs of a job or a stage; one of a step that is not there is an error, one that was not set is nothing."""

    def __init__(self, values: Mapping[str, str], named: set[str]) -> None:
        super().__init__(values)
        self.named = named

    def get(self, key: str, default: Any = None) -> Any:
        if key.rpartition(".")[0] not in self.named:
            raise PipelineError(f"outputs['{key}'] is of no step; there are {sorted(self.named)}")
        return super().get(key, default)


@dataclass
class JobRun:
    """A job that ran, or did not."""

    result: str
    outputs: Outputs
    environment: str = ""
    connections: list[str] = field(default_factory=list)
    machine: str = ""
    log: str = ""


@dataclass
class PipelineRun:
    """A run of a pipeline."""

    pipeline: dict[str, Any]
    stage_results: dict[str, str] = field(default_factory=dict)
    runs: dict[tuple[str, str], JobRun] = field(default_factory=dict)
    name: str = PREDEFINED["Build.BuildNumber"]
    summaries: list[str] = field(default_factory=list)
    cancelled: bool = False

    @property
    def log(self) -> str:
        """What all steps printed."""
        return "\n".join(run.log for run in self.runs.values())


class Agent:
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
    ) -> PipelineRun:
        """Run an expanded pipeline.

        Args:
            pipeline: As `expanded` returns it.
            event: What started it: one of REASONS.
            cancel: The command in whose midst the run is cancelled.
            variables: Predefined variables with other values.
            broken: A step of the pipeline that does nothing, and ends its job.
            ending: How it does: Failed, or Canceled, together with the whole run.
        """
        shutil.rmtree(self.artifacts, ignore_errors=True)
        self.artifacts.mkdir()
        self.temporary.mkdir(exist_ok=True)
        self.cancel, self.broken, self.ending = cancel, broken, ending
        self.variables: dict[str, Any] = PREDEFINED | {
            "Agent.TempDirectory": str(self.temporary),
            "Build.SourcesDirectory": str(self.work),
            "Build.Reason": REASONS[event],
            "Pipeline.Workspace": str(self.work.parent),
            "System.AccessToken": "secret-token",
            "System.DefaultWorkingDirectory": str(self.work),
            "System.PullRequest.IsFork": {"pull request": "False", "fork": "True"}.get(event, ""),
            **(variables or {}),
        }
        self.variables |= {each["name"]: each["value"] for each in pipeline.get("variables", [])}
        self.done = PipelineRun(pipeline)
        before: list[str] = []
        for stage in stages(pipeline):
            self.run_stage(stage, depends_on(stage, before))
            before.append(stage["stage"])
        return self.done

    def run_stage(self, stage: dict[str, Any], needs: list[str]) -> None:
        results = Known("stage", {name: self.done.stage_results[name] for name in needs})
        contexts = {
            "variables": self.variables,
            "dependencies": Known(
                "dependency", {name: {"result": results[name], "outputs": self.stage_outputs(name)} for name in needs}
            ),
            **self.statuses(self.ancestors(stage, needs)),
        }
        ready = truth(Expression(stage.get("condition", "succeeded()"), contexts).value())
        names = [name_of(job) for job in stage["jobs"]]
        for job in stage["jobs"]:
            self.done.runs[stage["stage"], name_of(job)] = self.run_job(stage, job, needs) if ready else skipped(job)
        found = [self.done.runs[stage["stage"], name].result for name in names]
        worst = [each for each in ("Failed", "Canceled") if each in found]
        self.done.stage_results[stage["stage"]] = worst[0] if worst else "Succeeded" if ready else "Skipped"

    def ancestors(self, stage: dict[str, Any], needs: list[str]) -> dict[str, str]:
        """The results of all stages that one depends on, directly or not."""
        all_stages = stages(self.done.pipeline)
        names = [each["stage"] for each in all_stages]
        found: dict[str, str] = {}
        for name in needs:
            found[name] = self.done.stage_results[name]
            other = all_stages[names.index(name)]
            found |= self.ancestors(other, depends_on(other, names[: names.index(name)]))
        return found

    def statuses(self, results: Mapping[str, str]) -> dict[str, Callable[..., bool]]:
        """The functions that ask for results, for a stage or a job."""

        def among(names: tuple[str, ...]) -> list[str]:
            return [results[name] for name in names] if names else list(results.values())

        return {
            "always()": lambda: True,
            "canceled()": lambda: self.done.cancelled,
            "succeeded()": lambda *names: not self.done.cancelled and all(each in SUCCESS for each in among(names)),
            "failed()": lambda *names: not self.done.cancelled and "Failed" in among(names),
            "succeededOrFailed()": lambda: not self.done.cancelled,
        }

    def stage_outputs(self, name: str) -> Outputs:
        found = {job: run.outputs for (stage, job), run in self.done.runs.items() if stage == name}
        values = {f"{job}.{key}": value for job, outputs in found.items() for key, value in outputs.items()}
        return Outputs(values, {f"{job}.{each}" for job, outputs in found.items() for each in outputs.named})

    def run_job(self, stage: dict[str, Any], job: dict[str, Any], stage_needs: list[str]) -> JobRun:
        needs = depends_on(job, [])
        runs = {name: self.done.runs[stage["stage"], name] for name in needs}
        contexts = {
            "variables": self.variables,
            "dependencies": Known(
                "dependency", {name: {"result": run.result, "outputs": run.outputs} for name, run in runs.items()}
            ),
            "stageDependencies": Known(
                "stage",
                {
                    name: Known(
                        "job",
                        {
                            one: {"result": run.result, "outputs": run.outputs}
                            for (other, one), run in self.done.runs.items()
                            if other == name
                        },
                    )
                    for name in stage_needs
                },
            ),
        }
        conditions = contexts | self.statuses({name: run.result for name, run in runs.items()})
        if not truth(Expression(job.get("condition", "succeeded()"), conditions).value()):
            return skipped(job)
        variables = dict(self.variables)
        for name, value in (job.get("variables") or {}).items():
            found = re.fullmatch(r"\$\[(.*)\]", str(value), re.DOTALL)
            variables[name] = as_text(Expression(found[1], contexts).value()) if found else str(value)
        pool = job["pool"]
        run = skipped(job)
        run.result, run.machine = "Succeeded", pool.get("vmImage") or pool["name"]
        run.environment, run.connections = job.get("environment", ""), connections(job)
        Steps(self, job, run, variables).run()
        return run


def skipped(job: dict[str, Any]) -> JobRun:
    prefix = f"{name_of(job)}." if "deployment" in job else ""
    return JobRun("Skipped", Outputs({}, {prefix + step["name"] for step in steps(job) if "name" in step}))


class Steps:
    """The steps of a job, on an agent."""

    def __init__(self, agent: Agent, job: dict[str, Any], run: JobRun, variables: dict[str, str]) -> None:
        self.agent, self.job, self.job_run, self.variables = agent, job, run, variables
        self.path = f"{agent.programs}:{os.environ['PATH']}"

    def run(self) -> None:
        for step in steps(self.job):
            contexts = {"variables": self.variables} | self.statuses()
            if not truth(Expression(step.get("condition", "succeeded()"), contexts).value()):
                continue
            broken = step is self.agent.broken
            if not broken and self.execute(step):
                continue
            cancelled = broken and self.agent.ending == "Canceled"
            if cancelled or (not broken and self.agent.cancel and self.agent.cancel in self.calls()):
                self.agent.done.cancelled = True
                self.job_run.result = "Canceled"
            elif step.get("continueOnError"):
                self.job_run.result = "SucceededWithIssues"
            else:
                self.job_run.result = "Failed"

    def calls(self) -> list[str]:
        return self.agent.calls.read_text(encoding="utf-8").splitlines()

    def statuses(self) -> dict[str, Callable[[], bool]]:
        result = self.job_run.result
        return {
            "always()": lambda: True,
            "canceled()": lambda: result == "Canceled",
            "failed()": lambda: result == "Failed",
            "succeeded()": lambda: result in SUCCESS,
            "succeededOrFailed()": lambda: result != "Canceled",
        }

    def execute(self, step: dict[str, Any]) -> bool:
        """Run a step; whether it went well."""
        inputs = {key: self.macros(value) for key, value in step.get("inputs", {}).items()}
        if "checkout" in step or "download" in step or step.get("task") == "Cache@2":
            return True
        if "publish" in step:
            return self.publish(Path(self.macros(step["publish"])), step["artifact"])
        if step.get("task") == "DownloadPipelineArtifact@2":
            return self.download(inputs)
        return self.bash(step, inputs)

    def publish(self, path: Path, name: str) -> bool:
        if not path.exists():
            return False
        shutil.copytree(path, self.agent.artifacts / name) if path.is_dir() else self.copy(path, name)
        return True

    def copy(self, path: Path, name: str) -> None:
        (self.agent.artifacts / name).mkdir()
        shutil.copy(path, self.agent.artifacts / name)

    def download(self, inputs: dict[str, str]) -> bool:
        name = inputs.get("artifactName", "")
        source = self.agent.artifacts / name
        if not source.is_dir() or not any(source.iterdir()):
            return False
        shutil.copytree(source, inputs["targetPath"], dirs_exist_ok=True)
        return True

    def bash(self, step: dict[str, Any], inputs: dict[str, str]) -> bool:
        environment = {"PATH": self.path, "HOME": str(self.agent.work.parent), "TF_BUILD": "True"}
        for name, value in self.variables.items():
            if name != "System.AccessToken":  # a secret is handed on where a step asks for it, and nowhere else
                environment[name.upper().replace(".", "_")] = self.macros(value)
        if "task" in step:
            environment |= {f"AZURESUBSCRIPTION_{part}": "id" for part in ("CLIENT_ID", "TENANT_ID")}
            environment["AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"] = inputs["azureSubscription"]
        environment |= {name: self.macros(value) for name, value in step.get("env", {}).items()}
        folder = self.macros(step.get("workingDirectory") or inputs.get("workingDirectory", ""))
        result = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", self.macros(script(step), lenient=True)],
            # In a deployment job, elsewhere than in the code.
            cwd=folder or (self.agent.temporary if "deployment" in self.job else self.agent.work),
            capture_output=True,
            text=True,
            env=environment,
            timeout=60,
        )
        self.job_run.log += result.stdout + result.stderr
        for line in result.stdout.splitlines():
            self.command(line, step.get("name", ""))
        return result.returncode == 0

    def command(self, line: str, step: str) -> None:
        """Do what a line of a script's output tells the agent."""
        found = re.match(r"##vso\[([\w.]+) ?([^\]]*)\](.*)", line)
        if not found:
            return
        command, value = found[1].lower(), found[3]
        given = dict(part.split("=", 1) for part in found[2].rstrip(";").split(";") if part)
        if command == "task.setvariable":
            name = given["variable"]
            self.variables[f"{step}.{name}" if given.get("isOutput") else name] = value
            if given.get("isOutput"):
                prefix = f"{name_of(self.job)}." if "deployment" in self.job else ""
                self.job_run.outputs[f"{prefix}{step}.{name}"] = value
        elif command == "task.prependpath":
            self.path = f"{value}:{self.path}"
        elif command == "build.updatebuildnumber":
            self.agent.done.name = value
        elif command == "task.uploadsummary":
            self.agent.done.summaries.append(Path(value).read_text(encoding="utf-8"))
        elif command != "task.logissue":
            raise PipelineError(f"there is no command {command}: {line}")

    def macros(self, value: Any, *, lenient: bool = False) -> str:
        """A text with the values of the variables that it names; what looks like one in a script may be a command."""

        def one(found: re.Match[str]) -> str:
            if found[1] in self.variables:
                return self.macros(self.variables[found[1]])
            if lenient:
                return found[0]
            raise PipelineError(f"$({found[1]}) is no variable here")

        return re.sub(r"\$\(([\w.]+)\)", one, str(value))


class AzureRuns:
    """Runs Azure Pipelines as pipelines of either system are run."""

    def __init__(self, project: Path, folder: Path) -> None:
        self.work = Work(folder, project)
        self.work.stand_in("python3", "curl", "sha256sum", "unzip")
        self.pipelines = project / ".azuredevops"
        variables = load(self.pipelines / "templates" / "names.yml")["variables"]
        (self.project,) = [each["value"] for each in variables if each["name"] == "project"]
        self.job = f"{self.project}-{PREDEFINED['Build.BuildId']}"
        self.agent = Agent(self.work.work, self.work.programs, self.work.log)

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
        attempt: int = 1,
    ) -> Outcome:
        """Run a pipeline; see `Runs`."""
        self.work.prepare(fail or cancel, outputs)
        document = self.document(pipeline, event, inputs, network)
        if event in ("pull request", "fork"):
            self.merge()
        run = self.agent.run(document, event, cancel=cancel, variables={"System.StageAttempt": str(attempt)})
        return self.outcome(run)

    def document(
        self, pipeline: str, event: str = "manual", inputs: Mapping[str, Any] | None = None, network: str = ""
    ) -> dict[str, Any]:
        """What is run."""
        given = {parameter(name): "none" if value == "" else value for name, value in (inputs or {}).items()}
        return expanded(self.pipelines / f"{pipeline}.yml", given, REASONS[event], network)

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
            if one.connections:
                (connection,) = set(one.connections)
                identities[name] = connection.removeprefix(f"{self.project}-")
        return Outcome(results, identities, machines, run.log)


def parameter(name: str) -> str:
    """The name that an input of a workflow has as a parameter, which may have no dashes."""
    first, *others = name.split("-")
    return first + "".join(other.title() for other in others)
