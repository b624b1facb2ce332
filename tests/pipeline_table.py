"""What each pipeline of a project is, whatever system runs it: a table that both GitHub and Azure DevOps must equal."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from azure_runs import parameter
from azure_templates import connections, depends_on, expanded, jobs, name_of, script, steps
from github_workflows import as_list, expand, short

ENVIRONMENTS = ("dev", "test", "prod")
OPTIONS = ("", "--force", "--hold", "--pin", "--unpin")


@dataclass(frozen=True)
class Stage:
    """One job of a workflow, or one stage of a pipeline.

    Attributes:
        verbs: What it calls.
        minutes: After which it is ended.
        after: The stages that come before it, directly or not.
        identity: What it signs in to Azure as, if it does: one that `reads`, or one that `changes`, after an approval.
        queue: Where it stands in line: with what changes the same `environment`, or with its `own` kind.
        network: Whether it runs in the private network, if there is one.
        token: Whether it may ask the system for something, or tell it something, beside reading the code.
    """

    verbs: tuple[str, ...]
    minutes: int
    after: frozenset[str] = frozenset()
    identity: str = ""
    queue: str = ""
    network: bool = False
    token: bool = False


@dataclass(frozen=True)
class Pipeline:
    """A workflow or a pipeline: what starts it, what a person can choose, and its stages."""

    stages: dict[str, Stage]
    pushes: tuple[str, ...] = ()
    schedule: str = ""
    inputs: tuple[tuple[str, Any, tuple[Any, ...]], ...] = ()


def looks(*verbs: str, after: tuple[str, ...] = (), minutes: int = 15, network: bool = True) -> Stage:
    return Stage(verbs, minutes, frozenset(after), "reads", network=network)


def changes(
    *verbs: str,
    after: tuple[str, ...] = (),
    minutes: int = 120,
    network: bool = True,
    queue: str = "environment",
    token: bool = False,
) -> Stage:
    return Stage(verbs, minutes, frozenset(after), "changes", queue, network, token)


def delivery(*before: str) -> dict[str, Stage]:
    """The stages that deliver, after others."""
    found = {"choose": looks("models", after=before)}
    for environment in ENVIRONMENTS:
        found[f"{environment}_look"] = looks("deliver", after=(*before, *found))
        found[environment] = changes("approval", "deliver", after=(*before, *found), token=True)
    return found


def training(*before: str) -> dict[str, Stage]:
    """The stages that train and deliver, after others."""
    return {"train": changes("lint", "train", after=before)} | delivery(*before, "train")


def upkeep(verb: str, minutes: int) -> dict[str, Stage]:
    return {"check": Stage((verb,), minutes), "issue": Stage(("issue",), 10, frozenset({"check"}), token=True)}


WHERE = ("environment", "dev", ENVIRONMENTS)
VERSION = ("modelVersion", "", ())

TABLE = {
    "deliver": Pipeline(delivery(), inputs=(WHERE, VERSION, ("sha256", "", ()), ("option", "", OPTIONS))),
    "freshness": Pipeline(upkeep("freshness", 60), schedule="37 2 * * *"),
    "infrastructure": Pipeline(
        {
            "plan": looks("provision", minutes=30, network=False),
            "apply": changes("provision", after=("plan",), minutes=240, network=False),
            **training("plan", "apply"),
        },
        pushes=("!config/model.yml", "config", "infrastructure"),
        inputs=(WHERE, ("action", "plan", ("plan", "apply")), ("confirm", "", ())),
    ),
    "monitor": Pipeline(
        {"drift": looks("drift", minutes=30), **training("drift")},
        schedule="37 9 * * *",
        inputs=(("environment", "prod", ENVIRONMENTS),),
    ),
    "pull-request": Pipeline(
        {
            "project": Stage(("lint", "local", "summary"), 30),
            "infrastructure": Stage(("provision",), 15),
            "plan": Stage(("provision",), 20, frozenset({"infrastructure"}), "reads"),
            "comment": Stage(("comment",), 10, frozenset({"project", "infrastructure", "plan"}), token=True),
        },
        pushes=("",),  # and each pull request
    ),
    "rollback": Pipeline(
        {"look": looks("rollback"), "rollback": changes("rollback", after=("look",), queue="own")},
        inputs=(("environment", "prod", ENVIRONMENTS), VERSION),
    ),
    "teardown": Pipeline(
        {"teardown": changes("teardown", minutes=240)},
        inputs=(WHERE, ("everything", False, ()), ("confirm", "", ())),
    ),
    "template-update": Pipeline(
        upkeep("template-update", 20) | {"pull_request": Stage((), 10, frozenset({"check"}), token=True)},
        schedule="41 5 * * 1",
    ),
    "train": Pipeline(
        training(),
        pushes=("config/dev.yml", "config/model.yml", "data", "data-science", "mlops", "uv.lock"),
        schedule="23 3 * * 6",
        inputs=(("overrides", "", ()),),
    ),
}


def verbs(scripts: list[str]) -> tuple[str, ...]:
    """The verbs of a job's scripts; on GitHub one looks for ids that service connections have."""
    found = [verb for text in scripts for verb in re.findall(r"uv run mlops ([\w-]+)", text)]
    return tuple(dict.fromkeys(verb for verb in found if verb != "connected"))


def closed(needs: dict[str, list[str]]) -> dict[str, frozenset[str]]:
    """What comes before each stage, directly or not, by what each one waits for."""

    def before(name: str) -> frozenset[str]:
        return frozenset(needs[name]).union(*map(before, needs[name]))

    return {name: before(name) for name in needs}


def commands(scripts: list[str]) -> set[str]:
    """The whole commands."""
    found = re.findall(r"uv run mlops ([^|&\n]+)", "\n".join(" ".join(each.split()) for each in scripts))
    return {" ".join(each.split()) for each in found if not each.startswith("connected")}


# GitHub.


def github_pipeline(project: Path, name: str) -> Pipeline:
    folder = project / ".github"
    started = yaml.safe_load((folder / "workflows" / f"{name}.yml").read_text(encoding="utf-8"))[True]
    jobs = expand(folder, f"{name}.yml")["jobs"]
    names = short({job: job for job in jobs})
    own = {job: name for name, job in names.items()}
    after = closed({own[job]: [own[need] for need in as_list(details.get("needs"))] for job, details in jobs.items()})
    push = started.get("push") or {}
    inputs = ((started.get("workflow_dispatch") or {}).get("inputs") or {}).items()
    return Pipeline(
        {own[job]: github_stage(details, after[own[job]]) for job, details in jobs.items()},
        tuple(sorted(path.removesuffix("/**") for path in push.get("paths", [""]))) if push else (),
        started["schedule"][0]["cron"] if "schedule" in started else "",
        tuple((parameter(key), each.get("default", ""), tuple(each.get("options", ()))) for key, each in inputs),
    )


def github_scripts(job: dict[str, Any]) -> list[str]:
    return [step.get("run", "") for step in job["steps"]]


def github_stage(job: dict[str, Any], after: frozenset[str]) -> Stage:
    environment = str(job.get("environment", ""))
    signs_in = any("azure/login" in step.get("uses", "") for step in job["steps"]) and environment
    identity = ("reads" if environment.endswith("-read") else "changes") if signs_in else ""
    group = (job.get("concurrency") or {}).get("group", "")
    queue = ("own" if group.startswith("rollback-") else "environment") if identity == "changes" and group else ""
    return Stage(
        verbs(github_scripts(job)),
        job["timeout-minutes"],
        after,
        identity,
        queue,
        "vars.MLOPS_RUNNER" in job["runs-on"],
        "GH_TOKEN" in json.dumps(job["steps"]),
    )


# Azure DevOps.


def azure_pipeline(project: Path, name: str) -> Pipeline:
    folder = project / ".azuredevops"
    declared = yaml.safe_load((folder / f"{name}.yml").read_text(encoding="utf-8"))
    inside = azure_stages(folder / f"{name}.yml")
    trigger = declared["trigger"]
    paths = trigger.get("paths", {"include": [""]}) if isinstance(trigger, dict) else {}
    pushes = [*paths.get("include", []), *(f"!{path}" for path in paths.get("exclude", []))]
    return Pipeline(
        inside,
        tuple(sorted(pushes)),
        declared["schedules"][0]["cron"] if "schedules" in declared else "",
        tuple(
            (each["name"], without(each["default"]), tuple(map(without, each.get("values", ()))))
            for each in declared.get("parameters", [])
        ),
    )


def without(value: Any) -> Any:
    """A choice of nothing, which a parameter cannot have, as an input has it."""
    return "" if value == "none" else value


def azure_stages(file: Path) -> dict[str, Stage]:
    pipeline, inside = expanded(file), expanded(file, pool="inside")
    machines = [job["pool"] for _, job in jobs(inside)]
    names: list[str] = []
    needs: dict[str, list[str]] = {}
    for stage, job in jobs(pipeline):
        needs[stage["stage"] or name_of(job)] = depends_on(stage, names) if stage["stage"] else depends_on(job, [])
        names.append(stage["stage"])
    after = closed(needs)
    return {
        name: azure_stage(stage, job, after[name], "name" in machine)
        for name, (stage, job), machine in zip(needs, jobs(pipeline), machines, strict=True)
    }


def azure_scripts(job: dict[str, Any]) -> list[str]:
    return [script(step) for step in steps(job)]


def azure_stage(stage: dict[str, Any], job: dict[str, Any], after: frozenset[str], network: bool) -> Stage:
    signs_in = connections(job)
    identity = ("reads" if signs_in[0].endswith("-read") else "changes") if signs_in else ""
    environment = job.get("environment", "")
    queue = ("environment" if environment == (signs_in or [""])[0] else "own") if environment else ""
    asking = [step for step in steps(job) if "System.AccessToken" in str(step.get("env", {}))]
    signing = ("mlops provision", "mlops teardown")  # for Terraform, which signs in with it
    return Stage(
        verbs(azure_scripts(job)),
        job["timeoutInMinutes"],
        after,
        identity,
        queue if stage.get("lockBehavior") == "sequential" else "",
        network,
        any(not any(verb in script(step) for verb in signing) for step in asking),
    )
