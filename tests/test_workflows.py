"""GitHub workflows of a rendered project: checked by the linters of the field, and their steps really run.

The runner executes the bash steps; actions, `uv`, `az` and `gh` are answered by stand-ins that log their call.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import yaml
from combinations import EXISTING, combinations, label
from conftest import ROOT, Render, Run, answers_of, git, refused_commands
from filelock import FileLock

AZURE = {"AZURE_CLIENT_ID": "client", "AZURE_TENANT_ID": "tenant", "AZURE_SUBSCRIPTION_ID": "subscription"}
EVERYWHERE = AZURE | {"PROMOTE_TO": "test prod"}
READ, WRITE = ("contents", "read"), {("contents", "write"), ("pull-requests", "write")}
SIGN_IN, ISSUES = ("id-token", "write"), ("issues", "write")
OPEN_MACHINE = "ubuntu-24.04"
# These reach data, endpoints and the registry of a workspace, which a private network closes to GitHub's machines.
IN_THE_NETWORK = {"deploy-environment.yml: deploy", "teardown.yml: teardown", "train.yml: train"}
UPKEEP = {"freshness.yml: issue", "template-update.yml: issue"}
# A managed network and its firewall may take 90 minutes each.
LONG = {"infrastructure.yml: provision", "teardown.yml: teardown"}
ROLLOUT = ["deploy-online", "smoke-test", "deploy-batch", "monitor"]
# Whatever the other jobs uploaded.
DOWNLOAD = "mkdir -p results; for file in .local/report/metrics.md plan.md; do cp $file results/ || true; done"
METRICS = {"challenger": {"mae": 8.1234567, "r2": 0.9}, "baselines": {"mean": {"mae": 20.0, "r2": -8.8e-06}}}
DECISION = {"promote": True, "reasons": ["no champion yet"]}


def kinds() -> list[dict[str, str]]:
    """One combination for each infrastructure: other choices have no part in the workflows, as a test below shows."""
    on_github = [each for each in combinations() if each["orchestration"] == "github-actions"]
    return list({each["infrastructure_version"]: each for each in reversed(on_github)}.values())


@pytest.fixture(scope="session", params=kinds(), ids=label)
def github(request: pytest.FixtureRequest, render: Render) -> Path:
    return render(**request.param) / ".github"


@pytest.fixture(scope="session")
def existing(render: Render) -> Path:
    """The workflows of a project with existing workspaces."""
    return render(**EXISTING) / ".github"


@pytest.fixture(scope="session")
def button(github: Path) -> Path:
    """The workflows of a project with the Deploy to Azure button, which needs Bicep."""
    if not (github.parent / "infrastructure" / "bicep").is_dir():
        pytest.skip("only Bicep has a Deploy to Azure button")
    return github


@pytest.fixture(scope="session")
def checkout(github: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workflows as a repository of their own, which actionlint needs to find the local actions."""
    return repository(github, tmp_path_factory.mktemp("checkout"))


def repository(github: Path, folder: Path) -> Path:
    shutil.copytree(github, folder / ".github")
    subprocess.run(["git", "init", "--quiet", folder], check=True)
    return folder


def tool(*command: str, cwd: Path) -> subprocess.CompletedProcess:
    scripts = Path(sys.executable).parent
    program = shutil.which(command[0], path=str(scripts))
    assert program, f"{command[0]} is missing: run `make test`, which installs it"
    path = f"{scripts}:{os.environ['PATH']}"  # actionlint looks for shellcheck there
    environment = {"PATH": path, "HOME": str(Path.home()), "NO_COLOR": "1"}
    return subprocess.run([program, *command[1:]], cwd=cwd, capture_output=True, text=True, env=environment)


def jobs(github: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in sorted((github / "workflows").glob("*.yml")):
        for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items():
            yield f"{path.name}: {name}", job


def commands(github: Path) -> set[str]:
    """Every `uv run mlops ...` in a workflow, with example values for its variables."""
    examples = {"ENVIRONMENT": "dev", "NEXT": "test", "CONFIRM": "dev"}
    texts = [step.get("run", "") for _, job in jobs(github) for step in job.get("steps", [])]
    found = re.findall(r"uv run mlops ([^|&>\n#]+)", "\n".join(texts))
    return {re.sub(r'"\$(\w+)"', lambda match: examples[match[1]], command).strip() for command in found}


def test_actionlint_and_shellcheck_find_nothing(checkout: Path) -> None:
    result = tool("actionlint", "-no-color", "-oneline", cwd=checkout)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr


def test_actionlint_sees_a_misspelt_output_and_an_unquoted_variable(checkout: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkout, broken)
    train = broken / ".github" / "workflows" / "train.yml"
    text = train.read_text(encoding="utf-8")
    text = text.replace("steps.setup.outputs.azure ==", "steps.setup.outputs.azur ==").replace("dev\n", "$X y\n")
    train.write_text(text, encoding="utf-8")
    result = tool("actionlint", "-no-color", "-oneline", cwd=broken)
    assert 'property "azur" is not defined' in result.stdout
    assert "SC2086" in result.stdout


def test_zizmor_finds_nothing(checkout: Path) -> None:
    result = tool("zizmor", "--offline", "--persona", "pedantic", ".", cwd=checkout)
    assert result.returncode == 0, result.stdout + result.stderr


def test_zizmor_sees_a_script_injection(checkout: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkout, broken)
    deploy = broken / ".github" / "workflows" / "deploy-environment.yml"
    text = deploy.read_text(encoding="utf-8").replace('"$ENVIRONMENT"', '"${{ inputs.environment }}"')
    deploy.write_text(text, encoding="utf-8")
    result = tool("zizmor", "--offline", ".", cwd=broken)
    assert "template-injection" in result.stdout


def test_dependabot_moves_actions_and_packages_in_two_pull_requests_a_week(github: Path) -> None:
    file = github / "dependabot.yml"
    result = tool("check-jsonschema", "--builtin-schema", "vendor.dependabot", str(file), cwd=github)
    assert result.returncode == 0, result.stdout
    updates = yaml.safe_load(file.read_text(encoding="utf-8"))["updates"]
    assert [each["package-ecosystem"] for each in updates] == ["github-actions", "uv"]
    for each in updates:
        assert each["schedule"]["interval"] == "weekly"
        assert [group["patterns"] for group in each["groups"].values()] == [["*"]]
    # Dependabot reads workflows by itself, but an action only where it is told to.
    actions = {f"/{path.parent.relative_to(github.parent).as_posix()}" for path in github.rglob("action.yml")}
    assert actions <= set(updates[0]["directories"])


def test_files_match_the_published_schemas(github: Path) -> None:
    workflows = [str(path) for path in (github / "workflows").glob("*.yml")]
    actions = [str(path) for path in (github / "actions").glob("*/action.yml")]
    for schema, files in {
        "vendor.github-workflows": workflows,
        "vendor.github-actions": actions,
        "custom.github-workflows-require-timeout": workflows,
    }.items():
        result = tool("check-jsonschema", "--builtin-schema", schema, *files, cwd=github)
        assert result.returncode == 0, result.stdout


def test_every_action_is_pinned_by_commit_with_its_release_beside_it(github: Path) -> None:
    for path in sorted(github.rglob("*.yml")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.match(r"\s*(- )?uses:", line):
                assert re.search(r"uses: (\$/\.github/\S+$|[\w./-]+@[0-9a-f]{40} # v\d)", line), f"{path.name}: {line}"


def test_permissions_are_given_job_by_job_and_are_minimal(github: Path) -> None:
    for path in (github / "workflows").glob("*.yml"):
        assert yaml.safe_load(path.read_text(encoding="utf-8"))["permissions"] == {}, path.name
    for name, job in jobs(github):
        permissions = set(job["permissions"].items())
        assert permissions <= {READ, SIGN_IN, ISSUES, *WRITE}, name
        signs_in = "uses" in job or any((step.get("with") or {}).get("azure") for step in job["steps"])
        assert (SIGN_IN in permissions) == signs_in, f"{name}: id-token is for jobs that sign in to Azure"
        pushing = [step for step in job.get("steps", []) if "git push" in step.get("run", "")]
        pushes = any(step["env"]["GH_TOKEN"] == "${{ github.token }}" for step in pushing)
        assert (("contents", "write") in permissions) == pushes, f"{name}: contents: write is for jobs that push"
        if permissions & WRITE:
            code = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
            assert not code, f"{name}: a job that may write must not have the code of the branch"
        if ISSUES in permissions:
            verbs = [step["run"] for step in job["steps"] if "mlops" in step.get("run", "")]
            assert [verb.split()[:4] for verb in verbs] == [["uv", "run", "mlops", "issue"]], name
            assert name in UPKEEP, f"{name}: only what has read the code of the main branch may write an issue"


def test_what_runs_new_packages_or_a_new_release_may_only_read(github: Path) -> None:
    found = dict(jobs(github))
    for name in ("freshness.yml: check", "template-update.yml: check"):
        assert found[name]["permissions"] == {"contents": "read"}
        assert "environment" not in found[name]
    for path in (github / "workflows" / "freshness.yml", github / "workflows" / "template-update.yml"):
        assert set(yaml.safe_load(path.read_text(encoding="utf-8"))[True]) == {"schedule", "workflow_dispatch"}


def test_every_job_has_a_timeout_a_fixed_image_and_keeps_no_token(github: Path) -> None:
    for name, job in jobs(github):
        if "uses" in job:
            continue
        assert 0 < job["timeout-minutes"] <= (240 if name in LONG else 120), name
        in_the_network = "vars.MLOPS_RUNNER" in job["runs-on"]
        assert in_the_network == (name in IN_THE_NETWORK), name
        assert in_the_network or job["runs-on"] == OPEN_MACHINE, name
        for step in job["steps"]:
            if "checkout" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False, name


def test_the_only_secret_is_the_key_of_an_optional_app_in_an_environment_of_its_own(github: Path) -> None:
    uses = {path.name: re.findall(r"secrets\.\w+", path.read_text(encoding="utf-8")) for path in github.rglob("*.yml")}
    assert {name: found for name, found in uses.items() if found} == {
        "template-update.yml": ["secrets.TEMPLATE_APP_PRIVATE_KEY"]
    }
    job = dict(jobs(github))["template-update.yml: pull-request"]
    assert job["environment"] == "template-update"
    assert "vars.TEMPLATE_APP_CLIENT_ID != ''" in job["if"]
    assert not [step for step in job["steps"] if "uv run" in step.get("run", "")], "no code of the release gets the key"


def test_the_workflows_of_all_combinations_with_one_infrastructure_are_the_same(project: Path, render: Render) -> None:
    if answers_of(project)["orchestration"] != "github-actions":
        pytest.skip("this project has another orchestration")
    other = render(infrastructure_version=answers_of(project)["infrastructure_version"])
    mine, others = [
        {path.relative_to(folder): path.read_text("utf-8") for path in (folder / ".github").rglob("*.yml")}
        for folder in (project, other)
    ]
    assert mine == others


def test_workflows_call_verbs_that_exist_with_options_that_exist(github: Path, run_in: Run) -> None:
    found = commands(github)
    assert {"lint", "local", "train --environment dev"} <= found
    assert refused_commands(github.parent, run_in, found) == ""


def test_an_option_that_does_not_exist_is_noticed(github: Path, run_in: Run) -> None:
    refused = refused_commands(github.parent, run_in, {"train --enviroment dev", "trane", "lint"})
    assert [line.split(":")[0] for line in refused.splitlines()] == ["mlops train --enviroment dev", "mlops trane"]


# What follows runs the steps.


@pytest.fixture(scope="session")
def runner(tools: Path) -> Path:
    """The workflow runner as one file."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("jq"):
        pytest.skip("no Node.js or no jq, which GitHub's images have: the workflow runner needs them")
    folder = ROOT / ".venvs" / "workflow-runner"
    bundle = folder / "runner.cjs"
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / "workflow-runner.lock"):
        if not bundle.exists():
            shutil.copy2(tools / "gha_run.mjs", folder)
            packages = ["yaml@2.9.1", "@actions/expressions@0.3.61", "esbuild@0.28.2"]
            installed = subprocess.run([npm, "install", "--silent", "--no-fund", *packages], cwd=folder, check=False)
            if installed.returncode:
                pytest.skip("the workflow runner cannot be installed without a network")
            esbuild = str(folder / "node_modules" / ".bin" / "esbuild")
            options = ["--bundle", "--platform=node", "--format=cjs", f"--outfile={bundle}", "--log-level=error"]
            subprocess.run([esbuild, "gha_run.mjs", *options], cwd=folder, check=True)
    return bundle


def expand(github: Path, name: str) -> dict[str, Any]:
    """A workflow with the local action and the called workflows written out, as GitHub runs it.

    The first step of a job prints the machine that it runs on.
    """
    workflow = yaml.safe_load((github / "workflows" / name).read_text(encoding="utf-8"))
    for job_id, job in workflow["jobs"].items():
        called = str(job.get("uses", "")).rpartition("/")[2]
        if called == "deploy-environment.yml":
            values = {key: literal(value) for key, value in job["with"].items()}
            (inner,) = with_inputs(github / "workflows" / called, values)["jobs"].values()
            workflow["jobs"][job_id] = inner | {key: job[key] for key in ("needs", "if") if key in job}
        elif called:
            steps = [{"run": f"uv run workflow {called}"}]
            workflow["jobs"][job_id] = {"steps": steps} | {key: job[key] for key in ("needs", "if") if key in job}
    for job in workflow["jobs"].values():
        job["steps"] = [inner for step in job["steps"] for inner in local_action(github, step)]
        if "runs-on" in job:
            job["steps"].insert(0, {"run": f"echo 'runs on {job['runs-on']}'"})
    text = json.dumps(workflow, default=str).replace("steps.setup.outputs.azure", "steps.azure.outputs.ready")
    # The workflow runner has no files to hash, so the project answers.
    text = re.sub(r"hashFiles\('([^']+)'\)", lambda found: f"'{'hash' * any(github.parent.glob(found[1]))}'", text)
    expanded: dict[str, Any] = json.loads(text)
    return expanded


def local_action(github: Path, step: dict[str, Any]) -> list[dict[str, Any]]:
    if not step.get("uses", "").startswith("$/"):
        return [step]
    values = {key: literal(value) for key, value in (step.get("with") or {}).items()}
    path = github.parent / step["uses"].removeprefix("$/") / "action.yml"
    steps: list[dict[str, Any]] = with_inputs(path, values)["runs"]["steps"]
    return steps


def with_inputs(path: Path, values: dict[str, str]) -> dict[str, Any]:
    """A called workflow or action in which each input is replaced by its value, or else by its default."""
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    # YAML 1.1 reads the key `on` as true.
    declared = document.get("inputs") or document[True]["workflow_call"]["inputs"]
    known = {name: literal(details.get("default", "")) for name, details in declared.items()} | values
    text = re.sub(r"\binputs\.([\w-]+)", lambda match: known[match[1]], json.dumps(document))
    replaced: dict[str, Any] = json.loads(text)
    return replaced


def literal(value: object) -> str:
    expression = re.fullmatch(r"\$\{\{\s*(.*?)\s*\}\}", str(value))
    return f"({expression[1]})" if expression else f"'{value}'"


class GitHub:
    """Runs workflows of a project; `calls` has the calls of the jobs to uv, az and gh, in order."""

    def __init__(self, runner: Path, github: Path, folder: Path) -> None:
        self.runner, self.github, self.folder = runner, github, folder
        self.work = folder / "work"
        result = self.work / ".local" / "runs" / "20260102" / "evaluate" / "evaluation"
        result.mkdir(parents=True)
        (result / "metrics.json").write_text(json.dumps(METRICS), encoding="utf-8")
        (result / "decision.json").write_text(json.dumps(DECISION), encoding="utf-8")
        (self.work / ".local" / "report").mkdir()
        if (github.parent / "infrastructure").is_dir():
            shutil.copytree(github.parent / "infrastructure", self.work / "infrastructure")
        self.log, self.failing = folder / "calls.log", folder / "failing"
        self.log.touch()
        self.failing.touch()
        (folder / "decided").touch()
        (folder / "bin").mkdir()
        for program in ("uv", "az", "gh"):
            script = folder / "bin" / program
            script.write_text(
                f'#!/bin/sh\necho "{program} $*" >> "{self.log}"\n'
                f'if grep -qxF "{program} $*" "{self.failing}"; then exit 1; fi\n'
                'case "$*" in\n*--plan) echo "Plan: 42 to add";;\n'
                # The files of `mlops template-update` and `mlops freshness`, and what the test lets them decide.
                f'*" --file "*/issue.md*) mkdir -p update freshness; cat "{folder}/decided" >> "$GITHUB_OUTPUT";;\n'
                # The file that `az bicep build` writes.
                '*" --outfile "*) echo "{}" > "${*##* --outfile }";;\nesac\n',
                encoding="utf-8",
            )
            script.chmod(0o755)

    def run(self, name: str, *, fail: str = "", **context: Any) -> dict[str, Any]:
        self.log.write_text("", encoding="utf-8")
        self.failing.write_text(fail, encoding="utf-8")
        login = {"required": ["client-id", "tenant-id", "subscription-id"]}
        actions: dict[str, Any] = {
            "actions/checkout": {},
            "astral-sh/setup-uv": {},
            "hashicorp/setup-terraform": {},
            "azure/login": login,
            "actions/upload-artifact": {"run": 'test -e "$INPUT_PATH"'},
            "actions/download-artifact": {"run": DOWNLOAD},
            "actions/create-github-app-token": {
                "required": ["client-id", "private-key"],
                "run": 'echo "token=of-the-app" >> "$GITHUB_OUTPUT"',
            },
            "marocchino/sticky-pull-request-comment": {"required": ["path"], "run": 'cat "$INPUT_PATH"'},
        }
        fixture = {"cwd": str(self.work), "path": [str(self.folder / "bin")], "actions": actions} | context
        for file, content in (("workflow.json", expand(self.github, name)), ("fixture.json", fixture)):
            (self.folder / file).write_text(json.dumps(content), encoding="utf-8")
        files = [str(self.folder / "workflow.json"), str(self.folder / "fixture.json")]
        result = subprocess.run(["node", str(self.runner), *files], capture_output=True, text=True, timeout=120)
        assert result.stdout, result.stderr
        outcome: dict[str, Any] = json.loads(result.stdout)
        return outcome

    @property
    def calls(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()

    @property
    def verbs(self) -> list[str]:
        return [call.removeprefix("uv run mlops ") for call in self.calls if call.startswith("uv run mlops")]


@pytest.fixture
def run_workflow(runner: Path, github: Path, tmp_path: Path) -> GitHub:
    return GitHub(runner, github, tmp_path)


def results(outcome: dict[str, Any]) -> dict[str, str]:
    return {job: details["result"] for job, details in outcome["results"].items()}


def output(outcome: dict[str, Any]) -> str:
    return "\n".join(entry.get("out", "") for entry in outcome["log"])


def machines(outcome: dict[str, Any]) -> dict[str, str]:
    """The machine of each job that ran."""
    first = {entry["job"]: entry.get("out", "") for entry in reversed(outcome["log"])}
    return {job: said[1] for job, text in first.items() if (said := re.fullmatch(r"runs on (.+)\n", text))}


def deployment(environment: str) -> list[str]:
    return [f"{verb} --environment {environment}" for verb in ROLLOUT]


PULL_REQUEST: dict[str, Any] = {
    "github": {"event_name": "pull_request", "ref": "refs/pull/1/merge"},
    "event": {"pull_request": {"head": {"repo": {"full_name": "o/r"}}, "user": {"login": "me"}}},
}


def test_a_model_goes_from_dev_through_test_to_prod(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("deploy.yml", vars=EVERYWHERE)
    assert results(outcome) == {"dev": "success", "test": "success", "prod": "success"}
    assert run_workflow.verbs == [
        *deployment("dev"),
        "promote --environment dev --to test",
        *deployment("test"),
        "promote --environment test --to prod",
        *deployment("prod"),
    ]


@pytest.mark.parametrize("verb", deployment("test"))
def test_a_failing_verb_stops_its_job_and_all_later_ones(run_workflow: GitHub, verb: str) -> None:
    outcome = run_workflow.run("deploy.yml", vars=EVERYWHERE, fail=f"uv run mlops {verb}")
    assert results(outcome) == {"dev": "success", "test": "failure", "prod": "skipped"}
    assert run_workflow.verbs[-1] == verb


def test_without_a_request_no_model_leaves_dev(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("deploy.yml", vars=AZURE)
    assert results(outcome) == {"dev": "success", "test": "skipped", "prod": "skipped"}
    assert run_workflow.verbs == deployment("dev")
    assert "::notice title=The model stays in dev::" in output(outcome)


def test_retraining_has_one_schedule(github: Path) -> None:
    files = [path for path in github.parent.rglob("*") if path.suffix in {".yml", ".py"} and "engine" not in path.parts]
    scheduled = [path for path in files if "- cron:" in path.read_text(encoding="utf-8")]
    assert [path.name for path in scheduled if "mlops train" in path.read_text(encoding="utf-8")] == ["train.yml"]
    assert not [path for path in files if re.search(r"create_job|JobSchedule", path.read_text(encoding="utf-8"))]


def test_a_scheduled_training_deploys_too(run_workflow: GitHub) -> None:
    run_workflow.run("train.yml", vars=AZURE, github={"event_name": "schedule"}, event={})
    assert run_workflow.calls[-2:] == ["uv run mlops train --environment dev", "uv run workflow deploy.yml"]


def test_wrong_settings_start_no_machine(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("train.yml", vars=AZURE, fail="uv run mlops lint")
    assert results(outcome) == {"train": "failure", "deploy": "skipped"}
    assert run_workflow.verbs == ["lint"]


def test_training_is_followed_by_the_deployment(run_workflow: GitHub) -> None:
    run_workflow.run("train.yml", vars=AZURE)
    assert run_workflow.calls[-2:] == ["uv run mlops train --environment dev", "uv run workflow deploy.yml"]


def test_the_first_push_which_starts_to_build_the_workspace_trains_nothing(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("train.yml", vars=AZURE, event={"created": True})
    assert results(outcome) == {"train": "skipped", "deploy": "skipped"}
    outcome = run_workflow.run("train.yml", vars=AZURE, event={"created": False})
    assert results(outcome) == {"train": "success", "deploy": "success"}


def test_a_failed_training_deploys_nothing(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("train.yml", vars=AZURE, fail="uv run mlops train --environment dev")
    assert results(outcome) == {"train": "failure", "deploy": "skipped"}


@pytest.mark.parametrize("workflow", ["train.yml", "deploy.yml", "infrastructure.yml"])
def test_a_push_without_azure_does_nothing_and_says_how_to_connect_it(run_workflow: GitHub, workflow: str) -> None:
    outcome = run_workflow.run(workflow)
    assert set(results(outcome).values()) <= {"success", "skipped"}
    assert run_workflow.calls == []
    assert "::notice title=Azure is not connected" in output(outcome)
    assert "docs/operate.md" in output(outcome)


@pytest.mark.parametrize("workflow", ["train.yml", "deploy.yml", "infrastructure.yml"])
def test_a_manual_run_without_azure_fails_with_the_remedy(run_workflow: GitHub, workflow: str) -> None:
    outcome = run_workflow.run(workflow, github={"event_name": "workflow_dispatch"})
    assert "failure" in results(outcome).values()
    assert run_workflow.calls == []
    assert "::error title=Azure is not connected::Set AZURE_CLIENT_ID" in output(outcome)


def test_a_forgotten_id_is_an_error_even_on_a_push(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("train.yml", vars=AZURE | {"AZURE_TENANT_ID": ""})
    assert results(outcome)["train"] == "failure"


@pytest.mark.parametrize(
    ("inputs", "verbs"),
    [
        ({}, ["provision --environment dev"]),
        ({"environment": "prod", "action": "plan"}, ["provision --environment prod --plan"]),
        ({"environment": "test", "action": "apply"}, ["provision --environment test"]),
        (
            {"environment": "dev", "action": "destroy", "confirm": "dev"},
            ["teardown --environment dev --all --yes --confirm dev"],
        ),
    ],
    ids=["push", "plan", "apply", "destroy"],
)
def test_infrastructure_does_what_was_requested(run_workflow: GitHub, inputs: dict[str, str], verbs: list[str]) -> None:
    event = "workflow_dispatch" if inputs else "push"
    outcome = run_workflow.run("infrastructure.yml", vars=AZURE, inputs=inputs, github={"event_name": event})
    assert results(outcome) == {"provision": "success"}
    assert run_workflow.verbs == verbs


def test_a_pull_request_is_checked_planned_and_commented(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("pull-request.yml", vars=AZURE, **PULL_REQUEST)
    assert set(results(outcome).values()) == {"success"}, output(outcome)
    checks = ["uv run mypy", "uv run pytest", "uv run mlops lint", "uv run mlops local"]
    assert [call for call in run_workflow.calls if call in checks] == checks
    assert "provision --check" in run_workflow.verbs
    assert run_workflow.verbs[-1] == "provision --environment dev --plan"
    comment = outcome["log"][-1]["out"]
    assert "| this model | 8.123 | 0.9 |" in comment
    assert re.search(r"\| baseline mean \| 20(\.0)? \| -?0(\.0)? \|", comment)
    assert "- no champion yet" in comment
    assert "Plan: 42 to add" in comment


@pytest.mark.parametrize("check", ["ruff check", "mypy", "pytest", "mlops lint", "mlops local"])
def test_a_failing_check_turns_the_pull_request_red(run_workflow: GitHub, check: str) -> None:
    outcome = run_workflow.run("pull-request.yml", vars=AZURE, fail=f"uv run {check}", **PULL_REQUEST)
    assert results(outcome)["project"] == "failure"
    assert results(outcome)["comment"] == "skipped"


def test_a_failing_plan_is_not_hidden_by_the_pipe(run_workflow: GitHub) -> None:
    plan = "uv run mlops provision --environment dev --plan"
    outcome = run_workflow.run("pull-request.yml", vars=AZURE, fail=plan, **PULL_REQUEST)
    assert results(outcome)["plan"] == "failure"


def test_a_fork_gets_no_token_and_no_comment(run_workflow: GitHub) -> None:
    fork = {"pull_request": {"head": {"repo": {"full_name": "stranger/r"}}, "user": {"login": "stranger"}}}
    outcome = run_workflow.run("pull-request.yml", vars=AZURE, **(PULL_REQUEST | {"event": fork}))
    assert results(outcome) == {
        "project": "success",
        "infrastructure": "success",
        "plan": "skipped",
        "comment": "skipped",
    }
    assert not any(call.startswith("az ") for call in run_workflow.calls)


def test_infrastructure_that_is_not_valid_is_not_planned(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("pull-request.yml", vars=AZURE, fail="uv run mlops provision --check", **PULL_REQUEST)
    assert results(outcome) == {
        "project": "success",
        "infrastructure": "failure",
        "plan": "skipped",
        "comment": "success",  # the metrics
    }


def test_terraform_is_installed_where_the_project_uses_it(run_workflow: GitHub, github: Path) -> None:
    outcome = run_workflow.run("pull-request.yml", vars=AZURE, **PULL_REQUEST)
    installing = {entry["job"] for entry in outcome["log"] if entry.get("uses") == "hashicorp/setup-terraform"}
    uses_it = (github.parent / "infrastructure" / "terraform").is_dir()
    assert installing == ({"infrastructure", "plan"} if uses_it else set())


@pytest.mark.parametrize(("version", "calls_it"), [("aml-cli-v2", True), ("python-sdk-v2", False)])
def test_the_ml_extension_is_installed_where_the_verbs_call_it(
    version: str, calls_it: bool, render: Render, runner: Path, tmp_path: Path
) -> None:
    run_workflow = GitHub(runner, render(mlops_version=version) / ".github", tmp_path)
    run_workflow.run("train.yml", vars=AZURE)
    assert ("az extension add --name ml --yes" in run_workflow.calls) == calls_it


def test_tokens_that_a_long_job_needs_late_are_fetched_right_after_the_sign_in(run_workflow: GitHub) -> None:
    run_workflow.run("train.yml", vars=AZURE)
    tokens = [call for call in run_workflow.calls if "get-access-token" in call]
    services = [re.findall(r"--resource (\S+)", call)[0] for call in tokens]
    assert services == ["https://ml.azure.com", "https://storage.azure.com"]
    assert run_workflow.calls.index(tokens[0]) < run_workflow.calls.index(f"uv run mlops {run_workflow.verbs[0]}")


def test_jobs_that_need_the_private_network_run_in_the_one_of_their_environment(run_workflow: GitHub) -> None:
    inside = EVERYWHERE | {"MLOPS_RUNNER": "ml"}
    each = {"dev": "ml-dev", "test": "ml-test", "prod": "ml-prod"}
    assert machines(run_workflow.run("deploy.yml", vars=inside)) == each
    assert machines(run_workflow.run("train.yml", vars=inside)) == {"train": "ml-dev"}
    assert machines(run_workflow.run("infrastructure.yml", vars=inside)) == {"provision": OPEN_MACHINE}
    assert set(machines(run_workflow.run("pull-request.yml", vars=inside, **PULL_REQUEST)).values()) == {OPEN_MACHINE}


def test_without_a_runner_of_ones_own_every_job_runs_on_githubs(run_workflow: GitHub) -> None:
    assert set(machines(run_workflow.run("deploy.yml", vars=EVERYWHERE)).values()) == {OPEN_MACHINE}
    assert machines(run_workflow.run("train.yml", vars=AZURE)) == {"train": OPEN_MACHINE}


# Teardown.


@pytest.mark.parametrize(
    ("inputs", "verb"),
    [
        ({"everything": False, "confirm": ""}, "teardown --environment test --yes --confirm "),
        ({"everything": True, "confirm": "test"}, "teardown --environment test --all --yes --confirm test"),
        ({"everything": True, "confirm": ""}, "teardown --environment test --all --yes --confirm "),
    ],
    ids=["endpoints", "everything", "everything without its name, which the verb refuses"],
)
def test_a_teardown_deletes_the_endpoints_alone_unless_everything_is_requested(
    run_workflow: GitHub, inputs: dict[str, Any], verb: str
) -> None:
    context = {"inputs": {"environment": "test"} | inputs, "github": {"event_name": "workflow_dispatch"}}
    outcome = run_workflow.run("teardown.yml", vars=AZURE, **context)
    assert results(outcome) == {"teardown": "success"}, output(outcome)
    assert run_workflow.verbs == [verb]


def test_a_teardown_is_requested_by_hand_and_waits_for_a_change_of_the_infrastructure(github: Path) -> None:
    document = yaml.safe_load((github / "workflows" / "teardown.yml").read_text(encoding="utf-8"))
    assert list(document[True]) == ["workflow_dispatch"]
    assert document[True]["workflow_dispatch"]["inputs"]["everything"]["default"] is False
    assert document["concurrency"]["group"] == "infrastructure-${{ inputs.environment }}"
    assert "cancel-in-progress" not in document["concurrency"]
    assert document["jobs"]["teardown"]["environment"] == "${{ inputs.environment }}"


def test_endpoints_are_deleted_inside_the_private_network_and_the_network_from_outside(run_workflow: GitHub) -> None:
    inside, here = AZURE | {"MLOPS_RUNNER": "ml"}, {"event_name": "workflow_dispatch"}
    for everything, machine in ((False, "ml-test"), (True, OPEN_MACHINE)):
        inputs = {"environment": "test", "everything": everything, "confirm": "test"}
        outcome = run_workflow.run("teardown.yml", vars=inside, inputs=inputs, github=here)
        assert machines(outcome) == {"teardown": machine}


def test_a_teardown_without_azure_fails_with_the_remedy(run_workflow: GitHub) -> None:
    context = {"inputs": {"environment": "test", "everything": False}, "github": {"event_name": "workflow_dispatch"}}
    outcome = run_workflow.run("teardown.yml", **context)
    assert results(outcome) == {"teardown": "failure"}
    assert run_workflow.calls == []
    assert "::error title=Azure is not connected::" in output(outcome)


# Upkeep.

APP = {"TEMPLATE_APP_CLIENT_ID": "client"}


@pytest.mark.parametrize(
    ("workflow", "verb", "title"),
    [
        ("freshness.yml", "freshness --file freshness/issue.md", "The project has aged"),
        (
            "template-update.yml",
            "template-update --file update/issue.md --patch update/update.patch",
            "Update to the newest template",
        ),
    ],
)
def test_what_was_found_is_kept_in_one_issue_and_what_could_not_be_checked_changes_none(
    run_workflow: GitHub, workflow: str, verb: str, title: str
) -> None:
    file = verb.split()[2]
    outcome = run_workflow.run(workflow)
    assert {job for job, result in results(outcome).items() if result == "success"} == {"check", "issue"}
    assert run_workflow.verbs == [verb, f"issue --title {title} --file {file}"]
    outcome = run_workflow.run(workflow, fail=f"uv run mlops {verb}")
    assert results(outcome)["check"] == "failure"
    assert results(outcome)["issue"] == "skipped"


@pytest.mark.parametrize(
    ("decided", "variables", "opened"),
    [
        ("update=true\nversion=v9.0.0\nconflicts=false\n", APP, True),
        ("update=true\nversion=v9.0.0\nconflicts=true\n", APP, False),
        ("update=false\nversion=v8.0.0\nconflicts=false\n", APP, False),
        ("update=true\nversion=v9.0.0\nconflicts=false\n", {}, False),
    ],
    ids=["update", "conflicts", "no update", "no app"],
)
def test_an_app_opens_a_pull_request_with_the_change_unless_it_has_conflicts(
    run_workflow: GitHub, tmp_path: Path, decided: str, variables: dict[str, str], opened: bool
) -> None:
    work, remote = run_workflow.work, tmp_path / "remote"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(work, "init", "--quiet", "--initial-branch", "main")
    (work / "README.md").write_text("old\n", encoding="utf-8")
    git(work, "add", "README.md")
    git(work, "commit", "--quiet", "--message", "project")
    git(work, "remote", "add", "origin", str(remote))
    (work / "README.md").write_text("new\n", encoding="utf-8")
    (work / "update").mkdir()
    (work / "update" / "update.patch").write_text(git(work, "diff"), encoding="utf-8")
    git(work, "checkout", "--quiet", ".")
    (tmp_path / "decided").write_text(decided, encoding="utf-8")
    secrets = {"TEMPLATE_APP_PRIVATE_KEY": "key"}
    missing = "gh pr view template-update/v9.0.0"
    outcome = run_workflow.run("template-update.yml", vars=variables, secrets=secrets, fail=missing)
    assert results(outcome)["pull-request"] == ("success" if opened else "skipped"), output(outcome)
    created = [call for call in run_workflow.calls if call.startswith("gh pr create --head template-update/v9.0.0 ")]
    assert len(created) == opened
    branches = git(remote, "branch", "--list", "--format", "%(refname:short)").split()
    assert branches == (["template-update/v9.0.0"] if opened else [])
    if opened:
        assert git(remote, "show", "template-update/v9.0.0:README.md") == "new\n"
        assert git(remote, "ls-tree", "--name-only", "template-update/v9.0.0").split() == ["README.md"]


# The Deploy to Azure button.

PUBLIC = {"repository": {"visibility": "public"}}
PRIVATE = {"repository": {"visibility": "private"}}


def test_the_button_leads_to_the_template_and_the_form_that_were_published(
    button: Path, runner: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet", "--bare", str(tmp_path / "o" / "r"))
    here = {"event_name": "push", "server_url": tmp_path.as_uri()}
    outcome = GitHub(runner, button, tmp_path / "run").run("deploy-to-azure.yml", github=here, event=PUBLIC)
    assert results(outcome) == {"compile": "success", "publish": "success"}, output(outcome)
    published = tmp_path / "published"
    git(tmp_path, "clone", "--quiet", "--branch", "deploy-to-azure", str(tmp_path / "o" / "r"), str(published))
    files = {path.name for path in published.iterdir()} - {".git"}
    assert files == {"template.json", "createUiDefinition.json", "README.md"}
    (link,) = re.findall(r"\((https://portal\S+)\)", (published / "README.md").read_text(encoding="utf-8"))
    raw = "https://raw.githubusercontent.com/o/r/deploy-to-azure"
    assert [unquote(part) for part in re.findall(r"(?:uri|createUIDefinitionUri)/([^/]+)", link)] == [
        f"{raw}/template.json",
        f"{raw}/createUiDefinition.json",
    ]


def test_a_second_template_replaces_the_first(button: Path, runner: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", str(tmp_path / "o" / "r"))
    for run in ("first", "second"):
        here = {"event_name": "push", "server_url": tmp_path.as_uri(), "sha": run}
        outcome = GitHub(runner, button, tmp_path / run).run("deploy-to-azure.yml", github=here, event=PUBLIC)
        assert results(outcome)["publish"] == "success", output(outcome)
    history = git(tmp_path / "o" / "r", "log", "--format=%s", "deploy-to-azure")
    assert history.splitlines() == ["Template of second"]


def test_a_private_repository_keeps_the_template_and_says_why_there_is_no_button(
    button: Path, run_workflow: GitHub
) -> None:
    outcome = run_workflow.run("deploy-to-azure.yml", event=PRIVATE)
    assert results(outcome) == {"compile": "success", "publish": "skipped"}
    assert "::notice title=There is no button::The portal cannot read a private repository" in output(outcome)
    assert (run_workflow.work / "button" / "template.json").exists()
    assert not (run_workflow.work / "button" / "README.md").exists()


def test_the_template_is_compiled_by_a_fixed_release_of_bicep(button: Path, run_workflow: GitHub) -> None:
    run_workflow.run("deploy-to-azure.yml", event=PUBLIC)
    install, build = [call for call in run_workflow.calls if call.startswith("az bicep ")]
    assert re.fullmatch(r"az bicep install --version v\d+\.\d+\.\d+", install)
    assert build.startswith("az bicep build ")


def test_a_template_that_does_not_compile_is_not_published(button: Path, run_workflow: GitHub) -> None:
    build = "az bicep build --file infrastructure/bicep/main.bicep --outfile button/template.json"
    outcome = run_workflow.run("deploy-to-azure.yml", event=PUBLIC, fail=build)
    assert results(outcome) == {"compile": "failure", "publish": "skipped"}


def test_only_bicep_has_a_button(github: Path, existing: Path) -> None:
    uses_it = (github.parent / "infrastructure" / "bicep").is_dir()
    assert (github / "workflows" / "deploy-to-azure.yml").exists() == uses_it
    assert not (existing / "workflows" / "deploy-to-azure.yml").exists()


# Existing workspaces.


def test_workflows_without_infrastructure_pass_the_linters(existing: Path, tmp_path: Path) -> None:
    folder = repository(existing, tmp_path / "checkout")
    for linter in (["actionlint", "-no-color", "-oneline"], ["zizmor", "--offline", "--persona", "pedantic", "."]):
        result = tool(*linter, cwd=folder)
        assert result.returncode == 0, result.stdout + result.stderr


def test_existing_workspaces_are_never_provisioned(existing: Path) -> None:
    assert not (existing / "workflows" / "infrastructure.yml").exists()
    for path in existing.rglob("*.yml"):
        assert "uv run mlops provision" not in path.read_text(encoding="utf-8"), path.name


def test_a_pull_request_to_a_project_with_existing_workspaces_is_checked_and_commented(
    existing: Path, runner: Path, tmp_path: Path
) -> None:
    outcome = GitHub(runner, existing, tmp_path).run("pull-request.yml", vars=AZURE, **PULL_REQUEST)
    assert results(outcome) == {"project": "success", "comment": "success"}, output(outcome)
    comment = outcome["log"][-1]["out"]
    assert "| this model | 8.123 | 0.9 |" in comment
    assert "Infrastructure" not in comment


def test_a_model_goes_from_dev_through_test_to_prod_in_existing_workspaces(
    existing: Path, runner: Path, tmp_path: Path
) -> None:
    run_workflow = GitHub(runner, existing, tmp_path)
    outcome = run_workflow.run("deploy.yml", vars=EVERYWHERE)
    assert results(outcome) == {"dev": "success", "test": "success", "prod": "success"}
    assert run_workflow.verbs[-len(ROLLOUT) :] == deployment("prod")
