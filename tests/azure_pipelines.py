"""Azure Pipelines of a rendered project: their templates expanded and their steps run, as far as the project uses them.

What Azure DevOps accepts in silence and answers with nothing (an output of a stage that is no dependency, a variable
that is not set, an output of a step that is not there) is an error here.
"""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from workflow_runs import Outcome, Work

SUCCESS = ("Succeeded", "SucceededWithIssues")
TYPES: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "boolean": bool,
    "object": (dict, list, str, int, float, bool),
    "stepList": list,
}
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


class PipelineError(Exception):
    """A pipeline that Azure DevOps refuses, or that does not mean what it says."""


# Expressions.

TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(-?\d+(?:\.\d+)?)(?![\w.])|([A-Za-z_]\w*)|([().,\[\]]))")


def tokens(text: str) -> list[tuple[str, str]]:
    """The tokens of an expression: string, number, name, sign."""
    found, at = [], 0
    while at < len(text.rstrip()):
        match = TOKEN.match(text, at)
        if not match:
            raise PipelineError(f"unexpected {text[at:][:10]!r} in the expression {text!r}")
        kind = ("string", "number", "name", "sign")[next(i for i in range(4) if match[i + 1] is not None)]
        found.append((kind, match[match.lastindex or 1]))
        at = match.end()
    return [*found, ("end", "")]


class Expression:
    """An expression, evaluated while it is read; functions that ask for results come with the contexts."""

    def __init__(self, text: str, contexts: Mapping[str, Any]) -> None:
        self.text, self.contexts, self.tokens, self.at = text, contexts, tokens(text), 0

    def value(self) -> Any:
        found = self.operand()
        if self.tokens[self.at][0] != "end":
            raise PipelineError(f"unexpected {self.tokens[self.at][1]!r} in the expression {self.text!r}")
        return found

    def next(self, sign: str = "") -> tuple[str, str]:
        token = self.tokens[self.at]
        if sign and token != ("sign", sign):
            raise PipelineError(f"expected {sign!r}, not {token[1]!r}, in the expression {self.text!r}")
        self.at += 1
        return token

    def operand(self) -> Any:
        kind, text = self.next()
        if kind == "string":
            found: Any = text.replace("''", "'")
        elif kind == "number":
            found = float(text) if "." in text else int(text)
        elif kind == "name" and self.tokens[self.at] == ("sign", "("):
            found = self.call(text)
        elif kind == "name" and text.lower() in ("true", "false"):
            found = text.lower() == "true"
        elif kind == "name":
            if text not in self.contexts:
                raise PipelineError(f"{text} is not known here: {self.text!r}")
            found = self.contexts[text]
        else:
            raise PipelineError(f"unexpected {text!r} in the expression {self.text!r}")
        while self.tokens[self.at] in (("sign", "."), ("sign", "[")):
            if self.next()[1] == ".":
                found = member(found, self.next()[1], self.text)
            else:
                found = member(found, self.operand(), self.text)
                self.next("]")
        return found

    def call(self, name: str) -> Any:
        self.next("(")
        values = []
        while self.tokens[self.at] != ("sign", ")"):
            if values:
                self.next(",")
            values.append(self.operand())
        self.next(")")
        function = FUNCTIONS.get(name) or self.contexts.get(f"{name}()")
        if function is None:
            raise PipelineError(f"there is no function {name} here: {self.text!r}")
        return function(*values)


class Known(dict):
    """A mapping without silence: a name that it does not have is an error."""

    def __init__(self, what: str, *values: Any) -> None:
        super().__init__(*values)
        self.what = what

    def __missing__(self, key: str) -> Any:
        raise PipelineError(f"{self.what} {key!r} is not known; there are {sorted(self)}")


def member(holder: Any, key: Any, text: str) -> Any:
    if holder is None:
        raise PipelineError(f"{key!r} of nothing in the expression {text!r}")
    return holder[key] if isinstance(holder, Known | list) else holder.get(key)


def truth(value: Any) -> bool:
    """What a value is as a boolean: of texts, the empty one alone is false."""
    return bool(value)


def as_text(value: Any) -> str:
    return "" if value is None else str(value)  # a boolean is True or False


def equal(left: Any, right: Any) -> bool:
    if isinstance(left, bool):
        return left == truth(right)
    return as_text(left).lower() == as_text(right).lower()


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": lambda *values: all(map(truth, values)),
    "or": lambda *values: any(map(truth, values)),
    "not": lambda value: not truth(value),
    "eq": equal,
    "ne": lambda left, right: not equal(left, right),
    "in": lambda value, *others: any(equal(value, other) for other in others),
    "convertToJson": lambda value: json.dumps(value, indent=2),
}


# Templates.

WHOLE = re.compile(r"\$\{\{((?:(?!\}\}).)*)\}\}", re.DOTALL)
DIRECTIVE = re.compile(r"\s*(if|elseif|else|insert)\b(.*)", re.DOTALL)


@dataclass(frozen=True)
class Scope:
    """Where a part of a pipeline stands: its file, and what its template expressions can name."""

    file: Path
    contexts: Mapping[str, Any]


def expanded(
    file: Path, given: Mapping[str, Any] | None = None, reason: str = "Manual", pool: str = ""
) -> dict[str, Any]:
    """A pipeline as Azure DevOps runs it, with values for its parameters and without templates and their expressions.

    Args:
        file: The pipeline.
        given: Values of parameters; the others have their defaults.
        reason: Why it runs: one of the values of REASONS.
        pool: The variable of that name, for a private network.
    """
    document = dict(load(file))
    variables = Known("variable", {"Build.Reason": reason})
    parameters = filled(document.pop("parameters", []), given or {}, file.name)
    scope = Scope(file, {"parameters": parameters, "variables": variables})
    document["variables"] = expand(document.get("variables", []), scope, "variables")
    for variable in document["variables"]:
        if variable["name"] == "pool" and pool:
            variable["value"] = pool
        variables[variable["name"]] = variable["value"]
    found: dict[str, Any] = expand(document, scope)
    return found


def load(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise PipelineError(f"there is no template {file.name}")
    return parsed(file.read_text(encoding="utf-8"))


@cache
def parsed(text: str) -> dict[str, Any]:
    """A file, which nothing changes afterwards."""
    document: dict[str, Any] = yaml.safe_load(text)
    return document


def filled(declared: list[dict[str, Any]], given: Mapping[str, Any], name: str) -> Known:
    """The parameters of a file with their values."""
    known = {each["name"]: each for each in declared}
    if unknown := given.keys() - known.keys():
        raise PipelineError(f"{name} has no parameter {sorted(unknown)[0]}")
    values = Known(f"{name}: parameter")
    for key, each in known.items():
        if key not in given and "default" not in each:
            raise PipelineError(f"{name} needs the parameter {key}")
        value = given.get(key, each.get("default"))
        if not isinstance(value, TYPES[each["type"]]):
            raise PipelineError(f"{name}: {key} is of the type {each['type']}, and {value!r} is not")
        if "values" in each and value not in each["values"]:
            raise PipelineError(f"{name}: {key} is one of {each['values']}, not {value!r}")
        values[key] = value
    return values


def expand(node: Any, scope: Scope, kind: str = "") -> Any:
    if isinstance(node, dict):
        return {
            str(interpolated(key, scope)): expand(value, scope, key) for key, value in chosen(list(node.items()), scope)
        }
    if isinstance(node, list):
        return list(elements(node, scope, kind))
    return interpolated(node, scope)


def elements(items: list[Any], scope: Scope, kind: str) -> Iterator[Any]:
    """The elements of a list: those of templates and of lists in expressions stand for themselves."""
    pairs = [next(iter(item.items())) if directive(item) else (None, item) for item in items]
    for key, item in chosen(pairs, scope):
        if key is not None:
            raise PipelineError(f"{scope.file.name}: {key} stands for elements of a list")
        if isinstance(item, dict) and "template" in item:
            yield from template(item, scope, kind)
        else:
            value = expand(item, scope)
            yield from value if isinstance(value, list) and isinstance(item, str) else [value]


def directive(item: Any) -> re.Match[str] | None:
    if not isinstance(item, dict) or len(item) != 1:
        return None
    whole = WHOLE.fullmatch(next(iter(item)))
    return DIRECTIVE.fullmatch(whole[1]) if whole else None


def chosen(pairs: list[tuple[Any, Any]], scope: Scope) -> Iterator[tuple[Any, Any]]:
    """The pairs that the conditions among them leave; those below a condition that is true stand in its place."""
    done: bool | None = None
    for key, value in pairs:
        found = directive({key: value}) if isinstance(key, str) else None
        if not found:
            done = None
            yield key, value
            continue
        word, condition = found[1], found[2]
        if word == "insert":
            yield from evaluated(WHOLE.fullmatch(value)[1], scope).items()  # type: ignore[index]
            continue
        if word != "if" and done is None:
            raise PipelineError(f"{scope.file.name}: {word} without an if before it")
        taken = not (done and word != "if") and (word == "else" or truth(evaluated(condition, scope)))
        done = None if word == "else" else taken or (word == "elseif" and bool(done))
        if taken and isinstance(value, dict):
            yield from chosen(list(value.items()), scope)
        elif taken:
            yield from chosen([next(iter(each.items())) if directive(each) else (None, each) for each in value], scope)


def template(item: dict[str, Any], scope: Scope, kind: str) -> Iterator[Any]:
    """The elements that a template stands for."""
    file = scope.file.parent / interpolated(item["template"], scope)
    document = load(file)
    given = expand(item.get("parameters") or {}, scope)
    if kind not in document:
        raise PipelineError(f"{file.name} has no {kind}")
    parameters = filled(document.get("parameters", []), given, file.name)
    yield from expand(document[kind], Scope(file, {**scope.contexts, "parameters": parameters}), kind)


def interpolated(value: Any, scope: Scope) -> Any:
    if not isinstance(value, str):
        return value
    if whole := WHOLE.fullmatch(value):
        return evaluated(whole[1], scope)
    return WHOLE.sub(lambda found: as_text(evaluated(found[1], scope)), value)


def evaluated(text: str, scope: Scope) -> Any:
    try:
        return Expression(text, scope.contexts).value()
    except PipelineError as error:
        raise PipelineError(f"{scope.file.name}: {error}") from error


# Parts of an expanded pipeline.


def stages(pipeline: dict[str, Any]) -> list[dict[str, Any]]:
    """The stages; jobs without one are in a stage without a name."""
    found: list[dict[str, Any]] = pipeline.get("stages") or [{"stage": "", "jobs": pipeline["jobs"]}]
    return found


def jobs(pipeline: dict[str, Any]) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Each job, with its stage before it."""
    for stage in stages(pipeline):
        for job in stage["jobs"]:
            yield stage, job


def name_of(job: dict[str, Any]) -> str:
    return str(job.get("job") or job["deployment"])


def steps(job: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = job["strategy"]["runOnce"]["deploy"]["steps"] if "deployment" in job else job["steps"]
    return found


def script(step: dict[str, Any]) -> str:
    """The script of a step; empty without one."""
    return str(step.get("bash") or step.get("inputs", {}).get("inlineScript", ""))


def connections(job: dict[str, Any]) -> list[str]:
    """The service connections that a job names."""
    return [step["inputs"]["azureSubscription"] for step in steps(job) if step.get("task", "").startswith("AzureCLI")]


def depends_on(item: dict[str, Any], before: list[str]) -> list[str]:
    """What a stage (or a job, with nothing before it) depends on."""
    found = item.get("dependsOn", before[-1:])
    return [found] if isinstance(found, str) else list(found)


# Runs.


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
        self, pipeline: dict[str, Any], event: str, *, cancel: str = "", variables: Mapping[str, str] | None = None
    ) -> PipelineRun:
        """Run an expanded pipeline.

        Args:
            pipeline: As `expanded` returns it.
            event: What started it: one of REASONS.
            cancel: The command in whose midst the run is cancelled.
            variables: Predefined variables with other values.
        """
        shutil.rmtree(self.artifacts, ignore_errors=True)
        self.artifacts.mkdir()
        self.temporary.mkdir(exist_ok=True)
        self.cancel = cancel
        self.variables: dict[str, Any] = PREDEFINED | {
            "Agent.TempDirectory": str(self.temporary),
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
            if self.execute(step):
                continue
            if self.agent.cancel and self.agent.cancel in self.agent.calls.read_text(encoding="utf-8").splitlines():
                self.agent.done.cancelled = True
                self.job_run.result = "Canceled"
            elif step.get("continueOnError"):
                self.job_run.result = "SucceededWithIssues"
            else:
                self.job_run.result = "Failed"

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
            cwd=folder or self.agent.work,
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
        given = {
            parameter(name): value or "none" if name == "option" else value for name, value in (inputs or {}).items()
        }
        document = expanded(self.pipelines / f"{pipeline}.yml", given, REASONS[event], network)
        if event in ("pull request", "fork"):
            self.merge()
        run = self.agent.run(document, event, cancel=cancel, variables={"System.StageAttempt": str(attempt)})
        return self.outcome(run)

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
