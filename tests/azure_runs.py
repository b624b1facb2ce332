"""Runs of a project's Azure Pipelines: what is decided between stages, jobs and steps is read from their files.

A run knows which job comes next, with its variables, environment and lock, and an agent knows which step does; who
drives them says what a step is. `azure_pipelines` runs the scripts themselves, `engine/year_azure_devops` their verbs.

What Azure DevOps accepts in silence and answers with nothing (an output of a stage that is no dependency, a variable
that is not set, an output of a step that is not there) is an error here.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
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
    name_of,
    script,
    stages,
    steps,
    truth,
)

SUCCESS = ("Succeeded", "SucceededWithIssues")
LOST = "Lost"
"""How a step ends whose machine is gone: nothing more runs there, and nothing is handed on."""

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
    identities: list[str] = field(default_factory=list)
    machine: str = ""
    log: str = ""


def skipped(job: dict[str, Any]) -> JobRun:
    prefix = output_prefix(job)
    return JobRun("Skipped", Outputs({}, {prefix + step["name"] for step in steps(job) if "name" in step}))


def output_prefix(job: dict[str, Any]) -> str:
    """What the names of a job's outputs begin with: of a deployment, its own name."""
    return f"{name_of(job)}." if "deployment" in job else ""


@dataclass(frozen=True)
class Job:
    """A job that comes next: its stage, its content, and its variables, with the outputs of others in them."""

    stage: dict[str, Any]
    content: dict[str, Any]
    variables: Mapping[str, str]

    @property
    def key(self) -> tuple[str, str]:
        return self.stage["stage"], name_of(self.content)

    @property
    def identities(self) -> list[str]:
        """As what its steps sign in to Azure: `prod`, or `prod-read`, which may only read."""
        prefix = f"{self.variables['project']}-"
        return sorted({each.removeprefix(prefix) for each in connections(self.content)})

    @property
    def environment(self) -> str:
        """The environment in Azure DevOps, to which approvals and a lock belong; empty for a job without one."""
        return str(self.content.get("environment", ""))

    def begun(self) -> JobRun:
        run, pool = skipped(self.content), self.content["pool"]
        run.result, run.machine = "Succeeded", pool.get("vmImage") or pool["name"]
        run.environment, run.identities = self.environment, self.identities
        return run


@dataclass
class PipelineRun:
    """A run of an expanded pipeline; `ended` has the jobs that have ended, `runs` those that were skipped, too."""

    pipeline: dict[str, Any]
    variables: Mapping[str, str]
    ended: dict[tuple[str, str], JobRun] = field(default_factory=dict)
    runs: dict[tuple[str, str], JobRun] = field(default_factory=dict)
    stage_results: dict[str, str] = field(default_factory=dict)
    repeated: Counter[str] = field(default_factory=Counter)
    name: str = PREDEFINED["Build.BuildNumber"]
    summaries: list[str] = field(default_factory=list)
    cancelled: bool = False

    def __post_init__(self) -> None:
        own = {each["name"]: each["value"] for each in self.pipeline.get("variables", [])}
        self.variables = {**PREDEFINED, **self.variables, **own}

    @property
    def log(self) -> str:
        """What all steps printed."""
        return "\n".join(run.log for run in self.runs.values())

    def next(self) -> Job | None:
        """The job that comes next, None at the end of the run."""
        self.runs, self.stage_results = {}, {}
        before: list[str] = []
        for stage in stages(self.pipeline):
            if job := self._next_of(stage, depends_on(stage, before)):
                return job
            before.append(stage["stage"])
        return None

    def end(self, job: Job, ended: JobRun) -> None:
        """Note how a job ended."""
        self.ended[job.key] = ended

    def run_failed_jobs_again(self) -> None:
        """Forget the jobs that did not succeed, as the button does: those that did are not run again."""
        for stage in {stage for (stage, _), run in self.ended.items() if run.result not in SUCCESS}:
            self.repeated[stage] += 1
        self.ended = {key: run for key, run in self.ended.items() if run.result in SUCCESS}
        self.cancelled = False

    def run_all_jobs_again(self) -> None:
        """Forget all stages, as the button of the first one does, on which all others depend."""
        self.repeated.update({stage for stage, _ in self.ended})
        self.ended = {}
        self.cancelled = False

    def run_job_again(self, stage: str) -> None:
        """Forget one stage, as its own button does, also after a success."""
        self.ended = {key: run for key, run in self.ended.items() if key[0] != stage}
        self.repeated[stage] += 1
        self.cancelled = False

    def _next_of(self, stage: dict[str, Any], needs: list[str]) -> Job | None:
        """The job of a stage that comes next; the stage, or a job of it, that has begun is not asked again."""
        name = stage["stage"]
        results = Known("stage", {each: self.stage_results[each] for each in needs})
        dependencies = {each: {"result": results[each], "outputs": self._outputs(each)} for each in needs}
        contexts = {
            "variables": self.variables,
            "dependencies": Known("dependency", dependencies),
            **self._statuses(self._ancestors(needs)),
        }
        ready = truth(Expression(stage.get("condition", "succeeded()"), contexts).value())
        ready = ready or any((name, name_of(job)) in self.ended for job in stage["jobs"])
        for job in stage["jobs"]:
            key = (name, name_of(job))
            if key not in self.ended and ready and (following := self._job(stage, job, needs)):
                return following
            self.runs[key] = self.ended.get(key) or skipped(job)
        found = [self.runs[name, name_of(job)].result for job in stage["jobs"]]
        worst = [each for each in ("Failed", "Canceled") if each in found]
        self.stage_results[name] = worst[0] if worst else "Succeeded" if ready else "Skipped"
        return None

    def _ancestors(self, needs: list[str]) -> dict[str, str]:
        """The results of all stages that one depends on, directly or not."""
        all_stages = stages(self.pipeline)
        names = [each["stage"] for each in all_stages]
        found: dict[str, str] = {}
        for name in needs:
            if name not in found:
                found[name] = self.stage_results[name]
                at = names.index(name)
                found |= self._ancestors(depends_on(all_stages[at], names[:at]))
        return found

    def _statuses(self, results: Mapping[str, str]) -> dict[str, Callable[..., bool]]:
        """The functions that ask for results, for a stage or a job."""

        def among(names: tuple[str, ...]) -> list[str]:
            return [results[name] for name in names] if names else list(results.values())

        return {
            "always()": lambda: True,
            "canceled()": lambda: self.cancelled,
            "succeeded()": lambda *names: not self.cancelled and all(each in SUCCESS for each in among(names)),
            "failed()": lambda *names: not self.cancelled and "Failed" in among(names),
            "succeededOrFailed()": lambda: not self.cancelled,
        }

    def _outputs(self, name: str) -> Outputs:
        """The outputs of a stage."""
        found = {job: run.outputs for (stage, job), run in self.runs.items() if stage == name}
        values = {f"{job}.{key}": value for job, outputs in found.items() for key, value in outputs.items()}
        return Outputs(values, {f"{job}.{each}" for job, outputs in found.items() for each in outputs.named})

    def _job(self, stage: dict[str, Any], job: dict[str, Any], stage_needs: list[str]) -> Job | None:
        """A job with its variables, None if its condition does not hold."""
        runs = {name: self.runs[stage["stage"], name] for name in depends_on(job, [])}
        others = {
            name: {one: shown(run) for (other, one), run in self.runs.items() if other == name} for name in stage_needs
        }
        variables = dict(self.variables)
        attempt = int(variables["System.StageAttempt"]) + self.repeated[stage["stage"]]
        variables["System.StageAttempt"] = str(attempt)
        contexts = {
            "variables": variables,
            "dependencies": Known("dependency", {name: shown(run) for name, run in runs.items()}),
            "stageDependencies": Known("stage", {name: Known("job", jobs) for name, jobs in others.items()}),
        }
        conditions = contexts | self._statuses({name: run.result for name, run in runs.items()})
        if not truth(Expression(job.get("condition", "succeeded()"), conditions).value()):
            return None
        for name, value in (job.get("variables") or {}).items():
            found = re.fullmatch(r"\$\[(.*)\]", str(value), re.DOTALL)
            variables[name] = as_text(Expression(found[1], contexts).value()) if found else str(value)
        return Job(stage, job, variables)


def shown(run: JobRun) -> dict[str, Any]:
    """What expressions see of a job."""
    return {"result": run.result, "outputs": run.outputs}


class Agent:
    """Runs the steps of a job that its conditions call for; `execute` says how one is carried out."""

    def __init__(self, run: PipelineRun, job: Job) -> None:
        self.pipeline_run, self.job, self.job_run = run, job, job.begun()
        self.variables: dict[str, str] = dict(job.variables)

    def work(self) -> JobRun:
        """Run the steps, and say how the job ended."""
        for step in steps(self.job.content):
            contexts = {"variables": self.variables} | self.statuses()
            if not truth(Expression(step.get("condition", "succeeded()"), contexts).value()):
                continue
            ended = self.execute(step)
            if ended == LOST:
                self.job_run.result = "Failed"
                self.job_run.outputs.clear()
                break
            if ended == "Canceled":
                self.pipeline_run.cancelled = True
                self.job_run.result = ended
            elif ended == "Failed" and not step.get("continueOnError"):
                self.job_run.result = ended
            elif ended == "Failed" and self.job_run.result == "Succeeded":
                self.job_run.result = "SucceededWithIssues"
        return self.job_run

    def execute(self, step: dict[str, Any]) -> str:
        """Carry a step out, and say how it ended: Succeeded, Failed, Canceled with the whole run, or LOST."""
        raise NotImplementedError

    def statuses(self) -> dict[str, Callable[[], bool]]:
        """The functions that ask how the job is going."""
        result = self.job_run.result
        return {
            "always()": lambda: True,
            "canceled()": lambda: result == "Canceled",
            "failed()": lambda: result == "Failed",
            "succeeded()": lambda: result in SUCCESS,
            "succeededOrFailed()": lambda: result != "Canceled",
        }

    def environment(self, step: dict[str, Any]) -> dict[str, str]:
        """The environment variables of a script."""
        return environment_of(step, self.variables)

    def folder(self, step: dict[str, Any]) -> str:
        """The folder that a script is to run in; empty for the one that the agent begins in."""
        return self.macros(step.get("workingDirectory") or step.get("inputs", {}).get("workingDirectory", ""))

    def command(self, line: str, step: str) -> None:
        """Do what a line of a script's output tells the agent."""
        for command, given, value in logged(line):
            if command == "task.setvariable":
                name = given["variable"]
                self.variables[f"{step}.{name}" if given.get("isOutput") else name] = value
                if given.get("isOutput"):
                    self.job_run.outputs[f"{output_prefix(self.job.content)}{step}.{name}"] = value
            elif command == "task.prependpath":
                self.prepend(value)
            elif command == "build.updatebuildnumber":
                self.pipeline_run.name = value
            elif command == "task.uploadsummary":
                self.pipeline_run.summaries.append(Path(value).read_text(encoding="utf-8"))
            elif command != "task.logissue":
                raise PipelineError(f"there is no command {command}: {line}")

    def prepend(self, folder: str) -> None:
        """Find programs in a folder first."""

    def macros(self, value: Any) -> str:
        """A text with the values of the variables that it names."""
        return filled_in(value, self.variables)

    def script(self, step: dict[str, Any]) -> str:
        """What bash gets: what looks like the name of a variable may be a command."""
        return filled_in(script(step), self.variables, lenient=True)


def filled_in(value: Any, variables: Mapping[str, str], *, lenient: bool = False) -> str:
    """A text with the values of the variables that it names; it is an error if there is none, unless `lenient`."""

    def one(found: re.Match[str]) -> str:
        if found[1] in variables:
            return filled_in(variables[found[1]], variables)
        if lenient:
            return found[0]
        raise PipelineError(f"$({found[1]}) is no variable here")

    return re.sub(r"\$\(([\w.]+)\)", one, str(value))


def environment_of(step: dict[str, Any], variables: Mapping[str, str]) -> dict[str, str]:
    """The environment variables of a script: variables of the job, the sign-in, and what the step sets."""
    found = {
        name.upper().replace(".", "_"): filled_in(value, variables)
        for name, value in variables.items()
        if name != "System.AccessToken"  # a secret is handed on where a step asks for it, and nowhere else
    }
    if "task" in step:
        found |= {f"AZURESUBSCRIPTION_{part}": "id" for part in ("CLIENT_ID", "TENANT_ID")}
        connection = filled_in(step["inputs"]["azureSubscription"], variables)
        found["AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"] = connection
    return found | {name: filled_in(value, variables) for name, value in step.get("env", {}).items()}


def logged(text: str) -> Iterator[tuple[str, dict[str, str], str]]:
    """Each command in what a script printed: its name, its properties, and its value."""
    for found in re.finditer(r"^##vso\[([\w.]+) ?([^\]]*)\](.*)", text, re.MULTILINE):
        given = dict(part.split("=", 1) for part in found[2].rstrip(";").split(";") if part)
        value = found[3].replace("%0D", "\r").replace("%0A", "\n").replace("%AZP25", "%")
        yield found[1].lower(), given, value


def parameters_of(inputs: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters of a pipeline for the inputs of a workflow: a text that a person types is never empty."""
    return {parameter(name): "none" if value == "" else value for name, value in (inputs or {}).items()}


def parameter(name: str) -> str:
    """The name that an input of a workflow has as a parameter, which may have no dashes."""
    first, *others = name.split("-")
    return first + "".join(other.title() for other in others)
