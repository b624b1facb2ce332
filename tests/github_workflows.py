"""Runs GitHub workflows of a rendered project: their bash steps really run, in the workflow runner that `tools` has."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from filelock import FileLock
from resident_lines import Resident
from workflow_runs import Outcome, Work

AZURE = {"AZURE_CLIENT_ID": "client", "AZURE_TENANT_ID": "tenant", "AZURE_SUBSCRIPTION_ID": "subscription"}
BY_HAND: dict[str, Any] = {"github": {"event_name": "workflow_dispatch"}}
ON_SCHEDULE: dict[str, Any] = {"github": {"event_name": "schedule"}}
PULL_REQUEST: dict[str, Any] = {
    "github": {"event_name": "pull_request", "ref": "refs/pull/1/merge"},
    "event": {"pull_request": {"head": {"repo": {"full_name": "o/r"}}, "user": {"login": "me"}}},
}
FORK: dict[str, Any] = PULL_REQUEST | {
    "event": {"pull_request": {"head": {"repo": {"full_name": "stranger/r"}}, "user": {"login": "stranger"}}}
}
EVENTS: dict[str, dict[str, Any]] = {
    "manual": BY_HAND,
    "manual, of a branch": {"github": {"event_name": "workflow_dispatch", "ref": "refs/heads/mine"}},
    "push": {"github": {"event_name": "push"}},
    "schedule": ON_SCHEDULE,
    "pull request": PULL_REQUEST,
    "fork": FORK,
}
# Whatever the other jobs uploaded.
DOWNLOAD = """
to="$GITHUB_WORKSPACE/$INPUT_PATH"
mkdir -p "$to"
for file in .local/report/metrics.md .local/plan.md; do cp $file "$to" || true; done
"""


def workflow_runner(tools: Path) -> Path:
    """The workflow runner as one file."""
    return bundled(tools / "gha_run.mjs", "workflow-runner", ["yaml@2.9.1", "@actions/expressions@0.3.61"])


def bundled(script: Path, name: str, packages: list[str]) -> Path:
    """A script for Node.js and its packages as one file."""
    npm = shutil.which("npm")
    if not npm:
        pytest.skip("no Node.js, which GitHub's images have: the tools for workflows need it")
    folder = ROOT / ".venvs" / name
    bundle = folder / f"{script.stem}.cjs"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f"{name}.lock"):
        if not bundle.exists():
            shutil.copy2(script, folder)
            command = [npm, "install", "--silent", "--no-fund", *packages, "esbuild@0.28.2"]
            if subprocess.run(command, cwd=folder, check=False).returncode:
                pytest.skip(f"{name} cannot be installed without a network")
            esbuild = str(folder / "node_modules" / ".bin" / "esbuild")
            options = ["--bundle", "--platform=node", "--format=cjs", f"--outfile={bundle}", "--log-level=error"]
            subprocess.run([esbuild, script.name, *options], cwd=folder, check=True)
    return bundle


@cache
def resident(runner: Path) -> Resident:
    """The process that runs workflows, which starts with the first of them."""
    return Resident("node", str(Path(__file__).with_name("resident_runner.cjs")), str(runner))


# The job of a called workflow that the name of the call stands for; the others have theirs behind it.
MAIN = {"deliver-environment.yml": "deliver"}


def expand(github: Path, name: str) -> dict[str, Any]:
    """A workflow with the local action and the called workflows written out, as GitHub runs it.

    The first step of a job prints its name, the machine that it runs on, and its environment.
    """
    workflow = yaml.safe_load((github / "workflows" / name).read_text(encoding="utf-8"))
    workflow["jobs"] = called_jobs(github, workflow)
    for job in workflow["jobs"].values():
        job["steps"] = [inner for step in job["steps"] for inner in local_action(github, step)]
        shown = json.dumps([job.get(key, "") for key in ("name", "runs-on", "environment")])
        job["steps"].insert(0, {"run": f"cat <<'END'\n{shown}\nEND", "shell": "bash"})
    text = json.dumps(workflow, default=str).replace("steps.setup.outputs.azure", "steps.connected.outputs.azure")
    # The workflow runner has no files to hash, so the project answers.
    text = re.sub(r"hashFiles\('([^']+)'\)", lambda found: f"'{'hash' * any(github.parent.glob(found[1]))}'", text)
    expanded: dict[str, Any] = json.loads(text)
    return expanded


def called_jobs(github: Path, workflow: dict[str, Any]) -> dict[str, Any]:
    """The jobs of a workflow, with those of the workflows that it calls, under the id of the call and their own."""
    found: dict[str, Any] = {}
    outputs: dict[str, str] = {}
    members: dict[str, list[str]] = {}
    for job_id, job in workflow["jobs"].items():
        if "uses" not in job:
            found[job_id] = job
            continue
        path = github / "workflows" / job["uses"].rpartition("/")[2]
        declared = yaml.safe_load(path.read_text(encoding="utf-8"))
        inner = called_jobs(github, declared)
        main = next(iter(inner)) if len(inner) == 1 else MAIN.get(path.name)
        names = {each: job_id if each == main else f"{job_id}_{each}" for each in inner}
        text = json.dumps(inner, default=str)
        for each, name in names.items():
            text = re.sub(rf"\bneeds\.{each}\.", f"needs.{name}.", text)
        values = {key: literal(value) for key, value in (job.get("with") or {}).items()}
        inner = json.loads(filled(text, declared[True]["workflow_call"]["inputs"], values))
        needs = as_list(job.get("needs"))
        for each, content in inner.items():
            own_needs = [names[other] for other in as_list(content.get("needs"))]
            conditions = [runs_if(job, needs), runs_if(content, own_needs)]
            found[names[each]] = content | {"needs": [*needs, *own_needs], "if": " && ".join(["always()", *conditions])}
        members[job_id] = list(names.values())
        for key, output in (declared[True]["workflow_call"].get("outputs") or {}).items():
            value = as_expression(output["value"])
            for each, name in names.items():
                value = re.sub(rf"\bjobs\.{each}\.", f"needs.{name}.", value)
            outputs[f"needs.{job_id}.outputs.{key}"] = f"({value})"
    text = json.dumps(found, default=str)
    for old, new in outputs.items():
        text = re.sub(rf"\b{re.escape(old)}\b", new, text)
    jobs_found: dict[str, Any] = json.loads(text)
    for job in jobs_found.values():
        job["needs"] = [each for need in as_list(job.get("needs")) for each in members.get(need, [need])]
    return jobs_found


def runs_if(job: dict[str, Any], needs: list[str]) -> str:
    """When a job runs: after a success of what it needs, unless its condition says otherwise."""
    condition = as_expression(job.get("if", "true"))
    if re.search(r"\b(cancelled|always|failure|success)\(", condition):
        return f"({condition})"
    return " && ".join([*(f"needs.{each}.result == 'success'" for each in needs), f"({condition})"])


def as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value] if value else []


def as_expression(value: object) -> str:
    text = str(value).strip()
    return text[3:-2].strip() if text.startswith("${{") and text.endswith("}}") else text


def local_action(github: Path, step: dict[str, Any]) -> list[dict[str, Any]]:
    if not step.get("uses", "").startswith("$/"):
        return [step]
    # Unlike those of a workflow, all inputs of an action are texts.
    values = {key: f"format('{{0}}', {literal(value)})" for key, value in (step.get("with") or {}).items()}
    path = github.parent / step["uses"].removeprefix("$/") / "action.yml"
    steps: list[dict[str, Any]] = with_inputs(path, values)["runs"]["steps"]
    return steps


def with_inputs(path: Path, values: dict[str, str]) -> dict[str, Any]:
    """An action in which each input is replaced by its value, or else by its default."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    replaced: dict[str, Any] = json.loads(filled(json.dumps(document), document["inputs"], values))
    return replaced


def filled(text: str, declared: dict[str, Any], values: dict[str, str]) -> str:
    known = {name: literal(details.get("default", "")) for name, details in declared.items()} | values
    return re.sub(r"\binputs\.([\w-]+)", lambda match: json.dumps(known[match[1]])[1:-1], text)


def literal(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    expression = re.fullmatch(r"\$\{\{\s*(.*?)\s*\}\}\s*", str(value), re.DOTALL)
    return f"({expression[1]})" if expression else f"'{value}'"


class GitHub(Work):
    """Runs workflows of a project."""

    def __init__(self, runner: Path, github: Path, folder: Path) -> None:
        super().__init__(folder, github.parent)
        self.runner, self.github = runner, github

    def run(
        self,
        name: str,
        *,
        fail: str = "",
        cancel: str = "",
        outputs: dict[str, dict[str, str]] | None = None,
        **context: Any,
    ) -> dict[str, Any]:
        """Run a workflow.

        Args:
            name: Its file.
            fail: A command line that fails.
            cancel: A command line in whose midst the run is cancelled.
            outputs: What some verbs hand on instead.
            context: The event, the variables and the inputs.
        """
        self.prepare(fail or cancel, outputs)
        login = {"required": ["client-id", "tenant-id", "subscription-id"]}
        actions: dict[str, Any] = {
            "actions/checkout": {},
            "astral-sh/setup-uv": {},
            "hashicorp/setup-terraform": {},
            "azure/login": login,
            "actions/upload-artifact": {"run": 'test -e "$GITHUB_WORKSPACE/$INPUT_PATH"'},
            "actions/download-artifact": {"run": DOWNLOAD},
            "actions/create-github-app-token": {
                "required": ["client-id", "private-key"],
                "run": 'echo "token=of-the-app" >> "$GITHUB_OUTPUT"',
            },
        }
        fixture = {"cwd": str(self.work), "path": [str(self.programs)], "actions": actions} | context
        workflow = expand(self.github, name)
        if fixture.get("github", {}).get("event_name") == "workflow_dispatch":
            declared = (workflow["true"]["workflow_dispatch"] or {}).get("inputs") or {}
            defaults = {key: each.get("default", "") for key, each in declared.items()}
            fixture["inputs"] = defaults | context.get("inputs", {})
        text = json.dumps(workflow)
        if cancel:
            # The runner knows failures only; nothing that needs a failure may run after a cancelled step.
            for old, new in (("failure()", "false"), ("!cancelled()", "success()"), ("cancelled()", "!success()")):
                text = text.replace(old, new)
        for file, content in (("workflow.json", text), ("fixture.json", json.dumps(fixture))):
            (self.folder / file).write_text(content, encoding="utf-8")
        files = [str(self.folder / "workflow.json"), str(self.folder / "fixture.json")]
        question = json.dumps({"files": files, "variables": dict(os.environ)})
        answered = resident(self.runner).ask(question, timeout=120)
        assert answered, "the workflow runner takes too long, or has ended"
        answer = json.loads(answered)
        assert answer["output"], answer["errors"]
        outcome: dict[str, Any] = json.loads(answer["output"])
        return outcome


def results(outcome: dict[str, Any]) -> dict[str, str]:
    return {job: details["result"] for job, details in outcome["results"].items()}


def output(outcome: dict[str, Any]) -> str:
    return "\n".join(entry.get("out", "") for entry in outcome["log"])


def begun(outcome: dict[str, Any]) -> dict[str, list[str]]:
    """Name, machine and environment of each job that ran."""
    first: dict[str, str] = {}
    for entry in outcome["log"]:
        first.setdefault(entry["job"], entry.get("out", ""))
    return {job: json.loads(text) for job, text in first.items() if text.startswith("[")}


def machines(outcome: dict[str, Any]) -> dict[str, str]:
    """The machine of each job that ran."""
    return {job: machine for job, (_, machine, _) in begun(outcome).items()}


def environments(outcome: dict[str, Any]) -> dict[str, str]:
    """The environment of each job that ran in one."""
    return {job: environment for job, (_, _, environment) in begun(outcome).items() if environment}


class GitHubRuns:
    """Runs workflows as pipelines of either system are run."""

    job = ""

    def __init__(self, runner: Path, project: Path, folder: Path) -> None:
        self.work = GitHub(runner, project / ".github", folder)

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
    ) -> Outcome:
        """Run a workflow; see `Runs`."""
        context = json.loads(json.dumps(EVENTS[event]))
        context["github"]["run_attempt"] = attempt
        if event.startswith("manual"):
            context["inputs"] = dict(inputs or {})
        runners = {"MLOPS_RUNNER": network, "MLOPS_PROVISION_RUNNER": building}
        variables = AZURE | {name: value for name, value in runners.items() if value}
        outcome = self.work.run(
            f"{pipeline}.yml", fail=fail, cancel=cancel, outputs=dict(outputs or {}), vars=variables, **context
        )
        return Outcome(short(results(outcome)), short(environments(outcome)), short(machines(outcome)), output(outcome))


def short(values: Mapping[str, str]) -> dict[str, str]:
    """Values by job, without the names of the jobs that call its workflow."""
    return {re.sub(r"^(?:train_|deliver_)+", "", job).replace("-", "_"): value for job, value in values.items()}
