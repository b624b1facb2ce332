"""What must hold for the Azure Pipelines of a rendered project, beyond the schema that Azure DevOps publishes."""

import itertools
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from azure_runs import PREDEFINED, Outputs
from azure_templates import (
    ALL_ENVIRONMENTS,
    Expression,
    Knowledge,
    Known,
    PipelineError,
    connections,
    depends_on,
    expanded,
    name_of,
    script,
    stages,
    steps,
    text_of,
)

OPEN_MACHINE = "ubuntu-24.04"
POOL = "inside"
TASKS = {"AzureCLI@2", "Cache@2", "DownloadPipelineArtifact@2"}
NUMBER = "$(Date:yyyyMMdd)$(Rev:.r)"
NAMES = {"template": "templates/names.yml"}
# With a key that is not here, something is left out, waits for a click, is tried again or multiplied, runs in another
# machine's image, or fails without stopping anything.
PIPELINE = {"jobs", "name", "schedules", "stages", "trigger", "variables"}
STAGE = {"condition", "dependsOn", "displayName", "jobs", "lockBehavior", "stage"}
JOB = {"condition", "dependsOn", "displayName", "job", "pool", "steps", "timeoutInMinutes", "variables"}
DEPLOYMENT = JOB - {"job", "steps"} | {"cancelTimeoutInMinutes", "deployment", "environment", "strategy"}
STEP = {"bash", "condition", "displayName", "env", "name", "workingDirectory"}
STEPS = {
    "AzureCLI@2": STEP | {"inputs", "task"},
    "Cache@2": {"displayName", "inputs", "task"},
    # What another job has not written stops no comment.
    "DownloadPipelineArtifact@2": {"continueOnError", "displayName", "inputs", "task"},
}
# With one that is not here, the sign-in is in reach of every script, or a warning fails the task.
SIGN_IN = {"azureSubscription", "inlineScript", "scriptLocation", "scriptType", "workingDirectory"}
# Otherwise Terraform signs in as on GitHub, and finds nothing.
TERRAFORM = {"ARM_USE_OIDC", "SYSTEM_ACCESSTOKEN", "SYSTEM_OIDCREQUESTURI"}
TERRAFORM_SCRIPT = ("ARM_CLIENT_ID", "ARM_TENANT_ID", "ARM_SUBSCRIPTION_ID", "ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID")
LONGEST_CANCEL = 60
CODE = "$(System.DefaultWorkingDirectory)"
# A managed network and its firewall may take 90 minutes each.
LONG = {"apply", "teardown"}
# The steps that get the token of the run, and what each does with it.
TOKENS = {
    "mlops approval": "asks for the checks of an environment",
    "mlops comment": "comments",
    "mlops issue": "keeps a work item",
    "mlops provision": "lets Terraform sign in",
    "mlops teardown": "lets Terraform sign in",
    "az repos pr create": "opens a pull request",
}
TOKEN_NAMES = ("SYSTEM_ACCESSTOKEN", "AZURE_DEVOPS_EXT_PAT")
AGENT = {
    "Agent.TempDirectory",
    "Build.SourcesDirectory",
    "Pipeline.Workspace",
    "System.AccessToken",
    "System.DefaultWorkingDirectory",
}
COMMANDS = r'echo "##vso\[task\.(?:prependpath\][\w$/.]+|setvariable variable=\w+(?:;isOutput=true)?\][\w$]+)"'


# Also with these, a pipeline names no stage that is not there.
FEWER_ENVIRONMENTS = ("dev", "dev test", "dev prod")


class UniqueKeys(yaml.CSafeLoader):
    """A loader that refuses a key that is there twice, of which YAML keeps the last one."""


def unique(loader: UniqueKeys, node: yaml.MappingNode) -> dict[Any, Any]:
    keys = [loader.construct_object(key) for key, _ in node.value]  # type: ignore[no-untyped-call]
    if double := {key for key in keys if keys.count(key) > 1}:
        raise PipelineError(f"{sorted(double)[0]} is there twice, in line {node.start_mark.line + 1}")
    return loader.construct_mapping(node, deep=True)


UniqueKeys.add_constructor("tag:yaml.org,2002:map", unique)


@cache
def parsed(text: str) -> dict[str, Any]:
    """A file, which nothing changes afterwards."""
    document: dict[str, Any] = yaml.load(text, Loader=UniqueKeys)
    return document


FOUND = Knowledge()


def findings(project: Path) -> Iterator[str]:
    """What is wrong, file by file; nothing if all is well."""
    folder = project / ".azuredevops"
    for file in sorted(folder.rglob("*.yml")):
        for each in known_findings(file, file.parent == folder):
            yield f"{file.relative_to(folder).as_posix()}: {each}"


def has_findings(project: Path) -> bool:
    """Whether something is wrong: the first finding of a file is enough, and templates are looked at first."""
    folder = project / ".azuredevops"
    files = sorted(folder.rglob("*.yml"), key=lambda file: (file.parent == folder, file))
    return any(first_findings(file, file.parent == folder) for file in files)


def first_findings(file: Path, is_pipeline: bool) -> list[str]:
    """The first finding, or all of them where they are known."""
    found: list[str] | None = FOUND.recall(file, str(is_pipeline))
    if found is None:
        found = FOUND.of(file, f"first {is_pipeline}", lambda: [*itertools.islice(file_findings(file, is_pipeline), 1)])
    return found


def known_findings(file: Path, is_pipeline: bool) -> list[str]:
    found: list[str] = FOUND.of(file, str(is_pipeline), lambda: list(dict.fromkeys(file_findings(file, is_pipeline))))
    return found


def file_findings(file: Path, is_pipeline: bool) -> Iterator[str]:
    try:
        document = parsed(text_of(file) or "")
        yield from raw_findings(file, document)
        if is_pipeline:
            for values in choices(document):
                yield from expanded_findings(file, values)
            for listed in FEWER_ENVIRONMENTS:
                yield from expanded_findings(file, {}, listed)
    except (PipelineError, yaml.YAMLError) as error:
        yield str(error)


def choices(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Values of the parameters: the usual ones, each other one, and all texts that a person can type."""
    yield {}
    typed = {}
    for each in document.get("parameters", []):
        others = each.get("values") or ([True, False] if each["type"] == "boolean" else [])
        yield from ({each["name"]: value} for value in others if value != each.get("default"))
        if not others:
            typed[each["name"]] = "typed"
    yield typed
    if any("prod" in each.get("values", []) for each in document.get("parameters", [])):
        yield typed | {"environment": "prod"}


def every_choice(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """All values of the parameters with each other."""
    values = {
        each["name"]: each.get("values") or ([True, False] if each["type"] == "boolean" else ["none", "typed"])
        for each in document.get("parameters", [])
    }
    for found in itertools.product(*values.values()):
        yield dict(zip(values, found, strict=True))


# Files as they are.


def raw_findings(file: Path, document: dict[str, Any]) -> Iterator[str]:
    is_pipeline = file.parent.name == ".azuredevops"
    if is_pipeline:
        yield from (f"{key} is missing" for key in ("name", "trigger", "variables") if key not in document)
        for each in document.get("parameters", []):
            yield from (
                f"parameter {each['name']} has no {key}" for key in ("displayName", "default") if key not in each
            )
            if each.get("default") == "":
                yield f"parameter {each['name']}: who starts a run can leave no text empty: it needs another default"
        if document.get("name") != NUMBER:
            yield f"name: {document.get('name')} is not the number {NUMBER} that each run has for itself"
        yield from trigger_findings(document.get("trigger"))
        if NAMES not in document.get("variables", []):
            yield f"variables: {NAMES['template']} is missing"
        if len(document.get("schedules", [])) > 1:
            yield "schedules: one says when it runs"
        for schedule in document.get("schedules", []):
            if len(schedule["cron"].split()) != 5:
                yield f"schedule {schedule['cron']}: it has five fields"
            if schedule.get("always") is not True:
                yield f"schedule {schedule['cron']}: without `always: true` it waits for new commits"
            if schedule["branches"] != {"include": ["main"]}:
                yield f"schedule {schedule['cron']}: it runs for another branch than main"
            if schedule["cron"].split()[0] in ("0", "00"):
                yield f"schedule {schedule['cron']}: all the world starts on the hour"
        if "pr" in document:
            yield "pr: Azure Repos knows no such key"
    for each in document.get("parameters", []):
        if "type" not in each:
            yield f"parameter {each['name']} has no type"
    for key in ("extends", "resources"):
        if key in document:
            yield f"{key}: nothing comes from another repository"
    for key, value in values_in(document):
        if key == "template" and "@" in str(value):
            yield f"template {value}: nothing comes from another repository"
        if (
            key in ("bash", "inlineScript", "run", "undo")
            and re.sub(r"\$\{\{ parameters\.(run|undo) \}\}", "", value) != value
        ):
            continue
        if key in ("bash", "script", "inlineScript", "run", "undo") and "${{" in value:
            yield f"a script has a template expression, by which a person's text becomes code: {value.strip()[:60]}"


def trigger_findings(trigger: Any) -> Iterator[str]:
    if trigger == "none":
        return
    if not isinstance(trigger, dict):
        yield f"trigger: {trigger}: write none, or branches and paths"
    elif trigger.get("branches") != {"include": ["main"]}:
        yield "trigger: another branch than main starts it"
    elif more := trigger.keys() - {"branches", "paths"}:
        yield f"trigger: {sorted(more)[0]}: each merge has a run of its own"


def values_in(node: Any) -> Iterator[tuple[str, Any]]:
    """Each key with its value, at any depth."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key), value
            yield from values_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from values_in(value)


# Pipelines, with the values of their parameters.


def expanded_findings(file: Path, given: dict[str, Any], listed: str = ALL_ENVIRONMENTS) -> Iterator[str]:
    pipeline = expanded(file, given, environments=listed)
    variables = {each["name"]: each["value"] for each in pipeline["variables"]}
    yield from key_findings("pipeline", pipeline, PIPELINE)
    names = [stage["stage"] for stage in stages(pipeline)]
    for index, stage in enumerate(stages(pipeline)):
        where = stage["stage"]
        needs = depends_on(stage, names[:index])
        yield from (
            f"{where}: depends on {need}, which does not come before it" for need in set(needs) - set(names[:index])
        )
        yield from key_findings(where, stage, STAGE)
        yield from name_findings("stage", where or "jobs")
        yield from condition_findings(where, stage.get("condition", ""), pipeline, stage_contexts(pipeline, needs))
        yield from result_findings(where, stage.get("condition", ""))
        for job in stage["jobs"]:
            yield from job_findings(file.stem, pipeline, stage, job, variables)
            if not given and (name := of(job, variables)) and name not in listed.split():
                yield f"{where}: it names {name}, which is not there and which was not asked for"


def stage_contexts(pipeline: dict[str, Any], needs: list[str]) -> dict[str, Any]:
    """What the condition of a stage may name."""
    known = {
        stage["stage"]: {
            "result": "",
            "outputs": Outputs({}, {f"{name_of(job)}.{key}" for job in stage["jobs"] for key in keys(job)}),
        }
        for stage in stages(pipeline)
        if stage["stage"] in needs
    }
    return {"dependencies": Known("dependency", known)}


def job_contexts(pipeline: dict[str, Any], stage: dict[str, Any], job: dict[str, Any]) -> dict[str, Any]:
    """What the condition and the variables of a job may name."""
    names = [each["stage"] for each in stages(pipeline)]
    needs = depends_on(stage, names[: names.index(stage["stage"])])
    others = {
        each["stage"]: Known(
            "job", {name_of(one): {"result": "", "outputs": Outputs({}, keys(one))} for one in each["jobs"]}
        )
        for each in stages(pipeline)
        if each["stage"] in needs
    }
    own = {
        name_of(each): {"result": "", "outputs": Outputs({}, keys(each))}
        for each in stage["jobs"]
        if name_of(each) in depends_on(job, [])
    }
    return {"dependencies": Known("dependency", own), "stageDependencies": Known("stage", others)}


def keys(job: dict[str, Any]) -> set[str]:
    """How the outputs of a job's steps begin."""
    prefix = f"{name_of(job)}." if "deployment" in job else ""
    return {prefix + step["name"] for step in steps(job) if "name" in step}


def key_findings(where: str, found: dict[str, Any], known: set[str]) -> Iterator[str]:
    yield from (f"{where}: {key}: these pipelines use no such key here" for key in sorted(found.keys() - known))


def name_findings(kind: str, name: str) -> Iterator[str]:
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        yield f"{name}: the name of a {kind} has letters, digits and _ alone"


def result_findings(where: str, condition: str) -> Iterator[str]:
    """A stage or a job begins after a success, or looks at results itself; none begins after a cancel."""
    text = condition.replace(" ", "")
    if found := re.search(r"\b(always|failed|succeededOrFailed)\(", text):
        yield f"{where}: condition: with {found[1]}() it begins after a failure"
    elif text and "succeeded()" not in text and "not(canceled())" not in text:
        yield f"{where}: condition: without succeeded() or not(canceled()) it begins after a failure or a cancel"


STATUS: dict[str, Any] = {
    f"{name}()": lambda *_: True for name in ("always", "canceled", "failed", "succeeded", "succeededOrFailed")
}
ASKED = {"Build.Reason": "Manual", "System.PullRequest.IsFork": ""}


def condition_findings(where: str, condition: str, pipeline: dict[str, Any], contexts: dict[str, Any]) -> Iterator[str]:
    if not condition:
        return
    variables = ASKED | {each["name"]: each["value"] for each in pipeline.get("variables", [])}
    try:
        Expression(condition, {"variables": Known("variable", variables), **STATUS, **contexts}).value()
    except PipelineError as error:
        yield f"{where}: condition: {error}"
    compared = set(re.findall(r"'((?:[^']|'')*)'", re.sub(r"\[[^\]]*\]", "", condition)))
    allowed = {"true", "", "dev", "test", "prod", "plan", "apply", "Succeeded", "SucceededWithIssues", "1", "True"}
    allowed |= {"Schedule", "PullRequest", "IndividualCI", "BatchedCI"}
    yield from (f"{where}: condition: {each!r} is no name and not true" for each in sorted(compared - allowed))


def job_findings(
    name: str, pipeline: dict[str, Any], stage: dict[str, Any], job: dict[str, Any], variables: dict[str, str]
) -> Iterator[str]:
    where = name_of(job)
    yield from key_findings(where, job, DEPLOYMENT if "deployment" in job else JOB)
    yield from name_findings("job", where)
    timeout = job.get("timeoutInMinutes", 0)
    if not 0 < timeout <= (240 if where in LONG else 120):
        yield f"{where}: timeoutInMinutes: {timeout}"
    own = [{"name": f"{variables[pool]}-{of(job, variables)}"} for pool in ("pool", "provision_pool")]
    if job["pool"] not in ({"vmImage": OPEN_MACHINE}, *own):
        yield f"{where}: pool: {job['pool']}"
    contexts = job_contexts(pipeline, stage, job)
    yield from condition_findings(where, job.get("condition", ""), pipeline, contexts)
    yield from result_findings(where, job.get("condition", ""))
    yield from artifact_findings(where, stage, job)
    named = {**variables, **(job.get("variables") or {})}
    for key, value in (job.get("variables") or {}).items():
        if "$[" in str(value):
            try:
                whole = re.fullmatch(r"\$\[(.*)\]", str(value), re.DOTALL)
                if not whole:
                    raise PipelineError(f"{value}: an expression must be all of a value")
                Expression(whole[1], contexts).value()
            except PipelineError as error:
                yield f"{where}: variable {key}: {error}"
    yield from identity_findings(name, where, stage, job, variables)
    done: list[str] = []
    for step in steps(job):
        if step.get("name") in done:
            yield f"{where}: two steps have the name {step['name']}"
        done.append(step.get("name", ""))
        yield from (f"{where}: {each}" for each in step_findings(step, named, job))
    yield from order_findings(where, job)


def artifact_findings(where: str, stage: dict[str, Any], job: dict[str, Any]) -> Iterator[str]:
    """What a job downloads, one that it waits for has published."""
    needs = depends_on(job, [])
    published = {step.get("artifact") for each in stage["jobs"] if name_of(each) in needs for step in steps(each)}
    for step in steps(job):
        name = step.get("inputs", {}).get("artifactName")
        if name and name not in published:
            yield f"{where}: no job that it waits for publishes {name}"
        if not step.get("inputs", {}).get("targetPath", CODE).startswith(CODE):
            yield f"{where}: it downloads to another folder than that of the code"


def of(job: dict[str, Any], variables: dict[str, str]) -> str:
    """The environment that a job works on; empty without one."""
    found = {each.removeprefix(f"{variables['project']}-").removesuffix("-read") for each in connections(job)}
    return found.pop() if len(found) == 1 else ""


def identity_findings(
    name: str, where: str, stage: dict[str, Any], job: dict[str, Any], variables: dict[str, str]
) -> Iterator[str]:
    """Whatever changes an environment waits for its approval and its lock, and whatever looks waits for none."""
    found = set(connections(job))
    if len(found) > 1:
        yield f"{where}: more than one service connection: {sorted(found)}"
    for connection in found:
        environment = connection.removeprefix(f"{variables['project']}-").removesuffix("-read")
        if environment not in ("dev", "test", "prod") or not connection.startswith(f"{variables['project']}-"):
            yield f"{where}: {connection} is no service connection of this project"
        expected = f"{variables['project']}-{environment}" + ("-rollback" if where == "rollback" else "")
        if connection.endswith("-read") and "deployment" in job:
            yield f"{where}: it changes {environment} with an identity that may only read"
        if not connection.endswith("-read") and job.get("environment") != expected:
            yield f"{where}: it signs in as {connection} without the environment {expected} and its approval"
        if name == "pull-request" and connection != f"{variables['project']}-dev-read":
            yield f"{where}: a pull request signs in as {connection}"
    if "deployment" in job:
        if not found:
            yield f"{where}: it waits for an approval and changes nothing"
        if stage.get("lockBehavior") != "sequential":
            yield f"{where}: without `lockBehavior: sequential`, all that wait are cancelled for the newest one"
        if not 30 <= job.get("cancelTimeoutInMinutes", 5) <= LONGEST_CANCEL:
            yield f"{where}: a cancelled job has no time to return the traffic, or more than there is"
        if len(stage["jobs"]) != 1:
            yield f"{where}: another job of this stage waits for its approval"


def step_findings(step: dict[str, Any], variables: dict[str, str], job: dict[str, Any]) -> Iterator[str]:
    label = step.get("displayName") or next(iter(step.values()))
    if not ({"checkout", "bash", "publish", "download"} & step.keys() or step.get("task") in TASKS):
        yield f"{label}: {next(iter(step))} {next(iter(step.values()))} is no step of these pipelines"
    if "displayName" not in step and "download" not in step:
        yield f"{label}: no displayName"
    known = STEP if "bash" in step else STEPS.get(step.get("task", ""), set(step))
    yield from key_findings(label, step, known)
    yield from name_findings("step", step.get("name", "step"))
    if "checkout" in step:
        if step["checkout"] != "self":
            yield f"{label}: checkout: {step['checkout']}: the job has no code"
        pushes = any("git push" in script(each) for each in steps(job))
        if step.get("persistCredentials") is not pushes:
            yield f"{label}: persistCredentials: {step.get('persistCredentials')}"
        back = any("HEAD^1" in script(each) for each in steps(job))
        if step.get("fetchDepth") != (2 if back else 1):
            yield f"{label}: fetchDepth: {step.get('fetchDepth')}"
    text = script(step)
    yield from task_findings(label, step)
    folders = (step.get("workingDirectory"), step.get("inputs", {}).get("workingDirectory"))
    if "deployment" in job and re.search(r"\buv (run|sync)\b", text) and "$(Build.SourcesDirectory)" not in folders:
        yield f"{label}: a deployment job may begin elsewhere than in the code: it needs a workingDirectory"
    yield from script_findings(label, text)
    texts = [*step.get("env", {}).values(), *step.get("inputs", {}).values(), step.get("workingDirectory", "")]
    for found in re.findall(r"\$\(([\w.]+)\)", " ".join(map(str, texts)).replace(text, "")):
        if found not in {*variables, *PREDEFINED, *AGENT}:
            yield f"{label}: $({found}) is no variable"
    if any("$[" in str(each) for each in texts):
        yield f"{label}: an expression of the run has a value in the variables of a job, and nowhere else"
    if "az extension add" in text and "AZURE_EXTENSION_DIR" not in variables:
        yield f"{label}: a task with a sign-in looks for extensions elsewhere without AZURE_EXTENSION_DIR"
    tokens = [key for key, value in step.get("env", {}).items() if "System.AccessToken" in str(value)]
    if tokens and not any(each in text for each in TOKENS):
        yield f"{label}: it gets the token of the run"
    yield from (f"{label}: nothing looks for a token in {key}" for key in tokens if key not in TOKEN_NAMES)
    if not tokens and any(each in text for each in TOKENS if each.split()[1] not in ("provision", "teardown")):
        yield f"{label}: it needs the token of the run"
    # What undoes a step gets its variables.
    read = "".join(script(each) for each in steps(job)) if step.get("name") == "undo" else text
    for key in step.get("env", {}).keys() - {*tokens, "ENVIRONMENT"}:
        if not re.search(rf"\$\{{?{key}\b", read) and not key.startswith(("ARM_", "SYSTEM_")):
            yield f"{label}: nothing reads {key}"
    if "condition" in step:
        yield from condition_findings(label, step["condition"], {}, {"variables": Known("variable", {"begun": ""})})


def task_findings(label: str, step: dict[str, Any]) -> Iterator[str]:
    inputs = step.get("inputs", {})
    if step.get("task") == "AzureCLI@2":
        if inputs.keys() != SIGN_IN or (inputs["scriptType"], inputs["scriptLocation"]) != ("bash", "inlineScript"):
            yield f"{label}: a sign-in has other inputs: {sorted(SIGN_IN)}"
        if "ARM_USE_OIDC" in step.get("env", {}):
            missing = [key for key in TERRAFORM if key not in step["env"]]
            missing += [key for key in TERRAFORM_SCRIPT if f"{key}=" not in script(step)]
            yield from (f"{label}: Terraform cannot sign in without {key}" for key in sorted(missing))
    if step.get("task") == "Cache@2" and "uv.lock" not in inputs.get("key", ""):
        yield f"{label}: the key does not change with uv.lock"


def script_findings(label: str, text: str) -> Iterator[str]:
    """A script calls verbs and tools: it holds no values, no text for people and no decisions about results."""
    for line in text.splitlines():
        if "##vso[" in line and not re.fullmatch(COMMANDS, line.strip()):
            yield f"{label}: {line.strip()} is no command of these pipelines"
    rest = re.sub(COMMANDS, "", text)
    rest = rest.replace('echo "$SHA256  terraform.zip" | sha256sum', "")
    for found in re.findall(r"\b(?:echo|printf|jq)\b|\bif \[|\[\[ ", rest):
        yield f"{label}: {found} belongs into a verb"
    for found in re.findall(r"\$\([\w.]+\)", text):
        yield f"{label}: {found} in a script, which becomes a part of it: use env"
    for found in re.findall(r"\|\| *(?:true|:|exit 0)\b|\bset \+(?:e\b|o errexit)", text):
        yield f"{label}: {found}: a failure is not noticed"
    if re.search(r"\bgit push\b.*(?: -f\b| --force| \+)", text):
        yield f"{label}: it overwrites what another one pushed"
    if re.search(r"pip3? install\b.*--target|\bunzip\b|az bicep install", text) and "task.prependpath" not in text:
        yield f"{label}: the steps after it do not find what it installs"
    lines = [line for line in re.sub(r"(\\|&&|\|\|)\n", " ", text).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0] != "set -o errexit":
        yield f"{label}: it goes on after a failure"
    if len(text) > 5000:
        yield f"{label}: an inline script has at most 5,000 characters"
    for tool, pin in {
        r"\baz extension add\b": r"--version \d+\.\d+\.\d+",
        r"\baz bicep install\b": r"--version v\d+\.\d+\.\d+",
        r"\bpip3? install\b": r"--require-hashes",
        r"\b(?:curl|wget)\b": r"sha256sum --check",
    }.items():
        if re.search(tool, text) and not re.search(pin, text):
            yield f"{label}: no fixed release, or no hash of it"


def order_findings(where: str, job: dict[str, Any]) -> Iterator[str]:
    """A job checks out first, and what may run code of others keeps nothing for the next run."""
    kinds = [each for each in steps(job) if "download" not in each]
    if "checkout" not in kinds[0]:
        yield f"{where}: it does not check out first"
    if "deployment" in job and {"download": "none"} not in steps(job):
        yield f"{where}: a deployment job gets all artifacts unless it has `download: none`"
    cached = any(step.get("task") == "Cache@2" for step in steps(job))
    tokens = "System.AccessToken" in str(job)
    if cached and (connections(job) or tokens):
        yield f"{where}: it takes packages from a cache, which a job that only reads can change"
    if any("mlops comment" in script(step) for step in steps(job)):
        target = any("git switch --quiet --detach HEAD^1" in script(step) for step in steps(job))
        if not target:
            yield f"{where}: the code of a pull request gets the token"
    undone = [step for step in steps(job) if step.get("name") == "undo"]
    if where in ("dev", "test", "prod", "rollback") and not undone:
        yield f"{where}: a rollout that stops half-way is not ended"
    for step in undone:
        if step["condition"] != "and(or(failed(), canceled()), eq(variables['begun'], 'true'))":
            yield f"{where}: {step['displayName']}: it must run after a failure and a cancel, once the delivery began"
