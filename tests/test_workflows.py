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
READ, WRITE = ("contents", "read"), {("contents", "write"), ("pull-requests", "write")}
SIGN_IN, REVIEWERS, ISSUES = ("id-token", "write"), ("actions", "read"), ("issues", "write")
OPEN_MACHINE = "ubuntu-24.04"
# These reach data, endpoints and the registry of a workspace, which a private network closes to GitHub's machines.
IN_THE_NETWORK = {
    "deliver-environment.yml: deliver",
    "deliver-environment.yml: look",
    "deliver.yml: choose",
    "monitor.yml: drift",
    "rollback.yml: look",
    "rollback.yml: rollback",
    "teardown.yml: teardown",
    "train.yml: train",
}
# A run of these must not be dropped for a newer one; a teardown waits as a whole.
QUEUED = IN_THE_NETWORK | {"infrastructure.yml: apply", "infrastructure.yml: plan"}
# They may do no more than read, so that no approval is needed, and pull requests may run them.
READING = {
    "deliver-environment.yml: look",
    "deliver.yml: choose",
    "infrastructure.yml: plan",
    "monitor.yml: drift",
    "pull-request.yml: plan",
    "rollback.yml: look",
}
UPKEEP = {"freshness.yml: issue", "template-update.yml: issue"}
COMMENT = "pull-request.yml: comment"
# A managed network and its firewall may take 90 minutes each.
LONG = {"infrastructure.yml: apply", "teardown.yml: teardown"}
# Whatever the other jobs uploaded.
DOWNLOAD = """
to="$GITHUB_WORKSPACE/$INPUT_PATH"
mkdir -p "$to"
for file in .local/report/metrics.md .local/plan.md; do cp $file "$to" || true; done
"""
METRICS = {
    "metric": "mae",
    "higher_is_better": False,
    "rows": 400,
    "notes": [],
    "challenger": {"mae": 8.1234567, "r2": 0.9},
    "champion": {"mae": 9.5, "r2": 0.8},
    "baselines": {"mean": {"mae": 20.0, "r2": -8.8e-06}},
}
DECISION = {
    "promote": True,
    "reasons": ["the gain is significant"],
    "champion": "champion",
    "champion_version": 3,
    "note": None,
    "better_baselines": [],
}
HASH = "1a2b3c4d5e6f" + "0" * 52
LABEL = "version 7, sha256 1a2b3c4d5e6f"
# What the verbs hand on; a name with an environment counts for that one.
OUTPUTS = {
    "models": {"model_version": "7", "sha256": HASH, "label": LABEL},
    "rollback": {"bad": "7", "label": "from version 7 to 6, sha256 0123456789ab"},
    "train": {"registered": "true", "started": "true", "model_version": "7", "sha256": HASH},
    "look": {"deliver": "true", "delivered": "false", "next": ""},
    "deliver-dev": {"delivered": "true", "next": "test"},
    "deliver-test": {"delivered": "true", "next": "prod"},
    "deliver-prod": {"delivered": "true", "next": ""},
    "drift": {"retrain": "true", "job": "model-drift-0123456789ab"},
    "provision": {"train": "false"},
}
# The verbs that are the project's own code here, not a stand-in: all that they need is on this machine.
DRIVER = """
import argparse, sys
from pathlib import Path
sys.path.insert(0, "SOURCE")
from mlops.errors import UserError
from mlops.outputs import add_summary, annotate

parser = argparse.ArgumentParser()
parser.add_argument("verb")
for option in ("--environment", "--file", "--folder", "--address", "--jobs"):
    parser.add_argument(option, default="")
parser.add_argument("--required", action="store_true")
given = parser.parse_args(sys.argv[3:])
try:
    if given.verb == "connected":
        from mlops.subscription.connected import connected
        connected(given.environment, required=given.required)
    else:
        from mlops.project import Project
        project = Project(Path.cwd(), "package", "aml-cli-v2", "bicep")
        if given.verb == "summary":
            from mlops.local.summary import summary
            Path(given.file).write_text(summary(project), encoding="utf-8")
            add_summary(summary(project))
        elif given.verb == "comment":
            from mlops.orchestration.comment import comment_text, keep_comment
            texts = [path.read_text(encoding="utf-8") for path in sorted(Path(given.folder).glob("*.md"))]
            keep_comment(project, comment_text(given.jobs, texts))
        else:
            from mlops.subscription.button import write_button
            write_button(project, Path(given.folder), given.address)
except UserError as error:
    annotate("error", f"mlops {given.verb}", str(error))
    sys.exit(1)
"""
STAND_IN = """#!/bin/sh
echo "{program} $*" >> "{folder}/calls.log"
if grep -qxF "{program} $*" "{folder}/failing"; then exit 1; fi
case "{program} $3" in
"uv connected" | "uv summary" | "uv button" | "uv comment") exec "{python}" -B "{folder}/driver.py" "$@";;
esac
case "$*" in
*"--summary .local/plan.md"*) printf '## Infrastructure\\n\\nPlan: 42 to add\\n' > .local/plan.md;;
*" --file "*/issue.md*) mkdir -p update freshness;; # where `mlops template-update` and `mlops freshness` write
*" --input "*) cp "${{*##* --input }}" "{folder}/comment.json"; echo "{{}}";; # the body of a comment
*" --outfile "*) echo "{{}}" > "${{*##* --outfile }}";; # what `az bicep build` writes
esac
if [ "{program} $2" = "uv mlops" ]; then
  verb="$3"
  case "$*" in *" deliver "*" --look "*) verb=look;; esac
  for name in "$verb" "$verb-$5"; do
    if [ -f "{folder}/outputs/$name" ]; then cat "{folder}/outputs/$name" >> "$GITHUB_OUTPUT"; fi
  done
fi
"""


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
    examples = {"ENVIRONMENT": "dev", "MODEL_VERSION": "7", "SHA256": HASH, "OPTION": "--force", "JOB": "x"}
    examples |= {"JOBS": "{}", "CONFIRM": "dev", "OVERRIDES": "training.seed=7", "ADDRESS": "https://example.com"}
    examples |= {"UNPIN": "--unpin", "BAD": "6"}
    texts = [step["run"] for _, step in scripts(github)]
    found = re.findall(r"uv run mlops ([^|&>\n#]+)", "\n".join(texts))
    # Each option that is there only sometimes is there.
    found = [re.sub(r"\$\{\w+:\+([^}]*)\}", r"\1", command) for command in found]
    return {re.sub(r'"\$(\w+)"', lambda match: examples[match[1]], command).strip() for command in found}


def scripts(github: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every step with a script, of workflows and actions."""
    for name, job in jobs(github):
        for step in job.get("steps", []):
            if "run" in step:
                yield name, step
    for path in sorted((github / "actions").glob("*/action.yml")):
        for step in yaml.safe_load(path.read_text(encoding="utf-8"))["runs"]["steps"]:
            if "run" in step:
                yield path.parent.name, step


def test_actionlint_and_shellcheck_find_nothing(checkout: Path) -> None:
    result = tool("actionlint", "-no-color", "-oneline", cwd=checkout)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr


def test_actionlint_sees_a_misspelt_output_and_an_unquoted_variable(checkout: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkout, broken)
    train = broken / ".github" / "workflows" / "train.yml"
    text = train.read_text(encoding="utf-8")
    text = text.replace("steps.setup.outputs.azure ==", "steps.setup.outputs.azur ==").replace('"$JOB"', "$JOB y")
    train.write_text(text, encoding="utf-8")
    result = tool("actionlint", "-no-color", "-oneline", cwd=broken)
    assert 'property "azur" is not defined' in result.stdout
    assert "SC2086" in result.stdout


@pytest.fixture(scope="session")
def service(tools: Path) -> Path:
    """GitHub's own language service as one file."""
    packages = ["@actions/languageservice@0.3.61", "vscode-languageserver-textdocument@1.0.16"]
    return bundled(tools / "gha_validate.mjs", "workflow-validator", packages)


def language_service(service: Path, project: Path) -> str:
    files = [str(path) for path in sorted((project / ".github" / "workflows").glob("*.yml"))]
    result = subprocess.run(["node", str(service), str(project), *files], capture_output=True, text=True, timeout=120)
    assert bool(result.stdout) >= bool(result.returncode), result.stderr
    return result.stdout


def test_githubs_own_language_service_finds_nothing(service: Path, checkout: Path) -> None:
    assert language_service(service, checkout) == ""


@pytest.mark.parametrize(
    ("file", "old", "new", "found"),
    [
        ("train.yml", "      model-version: ${{", "      version: ${{", "version"),
        ("deliver.yml", "      environment: test\n", "", "environment"),
        ("infrastructure.yml", "needs.plan.outputs.azure ==", "needs.plann.outputs.azure ==", "plann"),
        ("monitor.yml", "    timeout-minutes: 30", "    timeout: 30", "timeout"),
    ],
)
def test_githubs_own_language_service_sees_a_wrong_input_of_a_called_workflow(
    service: Path, checkout: Path, tmp_path: Path, file: str, old: str, new: str, found: str
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkout, broken)
    path = broken / ".github" / "workflows" / file
    if not path.exists():
        pytest.skip("this project builds nothing")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    said = language_service(service, broken)
    assert f"{file}:" in said
    assert found in said


def test_zizmor_finds_nothing(checkout: Path) -> None:
    result = tool("zizmor", "--offline", "--persona", "pedantic", ".", cwd=checkout)
    assert result.returncode == 0, result.stdout + result.stderr


def test_zizmor_sees_a_script_injection(checkout: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(checkout, broken)
    deliver = broken / ".github" / "workflows" / "deliver-environment.yml"
    text = deliver.read_text(encoding="utf-8").replace('"$ENVIRONMENT"', '"${{ inputs.environment }}"')
    deliver.write_text(text, encoding="utf-8")
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
        assert permissions <= {READ, SIGN_IN, REVIEWERS, ISSUES, *WRITE}, name
        signs_in = "uses" in job or any((step.get("with") or {}).get("azure") for step in job["steps"])
        assert (SIGN_IN in permissions) == signs_in, f"{name}: id-token is for jobs that sign in to Azure"
        asks = "uses" in job or any("mlops approval" in step.get("run", "") for step in job["steps"])
        assert (REVIEWERS in permissions) <= asks, f"{name}: actions: read is for jobs that look for reviewers"
        pushing = [step for step in job.get("steps", []) if "git push" in step.get("run", "")]
        pushes = any(step["env"]["GH_TOKEN"] == "${{ github.token }}" for step in pushing)
        assert (("contents", "write") in permissions) == pushes, f"{name}: contents: write is for jobs that push"
        if permissions & WRITE:
            code = [step["with"].get("ref") for step in job["steps"] if "checkout" in step.get("uses", "")]
            reviewed = ["${{ github.event.pull_request.base.sha }}"] if name == COMMENT else []
            assert code == reviewed, f"{name}: a job that may write must not have the code of the branch"
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


def test_only_jobs_that_may_do_no_more_than_read_take_packages_from_a_cache(github: Path) -> None:
    action = yaml.safe_load((github / "actions" / "setup" / "action.yml").read_text(encoding="utf-8"))
    (cached,) = [step["with"]["enable-cache"] for step in action["runs"]["steps"] if "setup-uv" in step.get("uses", "")]
    assert (cached, action["inputs"]["cache"]["default"]) == ("${{ inputs.cache }}", "false")
    # Whatever ran in a job of main can change what it saves, whatever its token may do.
    found = {
        name: job["permissions"]
        for name, job in jobs(github)
        if any((step.get("with") or {}).get("cache") for step in job.get("steps", []))
    }
    assert "pull-request.yml: project" in found
    assert {name for name, permissions in found.items() if permissions != {"contents": "read"}} == set()


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


def prose(script: str) -> list[str]:
    """What a script has that belongs into a verb: text for people, JSON taken apart, decisions about results."""
    return re.findall(r"\b(?:echo|printf|jq)\b|::\w+ title|\bif \[|\[\[ |GITHUB_(?:STEP_SUMMARY|OUTPUT)", script)


def test_scripts_call_verbs_and_have_no_text_for_people_and_no_decisions(github: Path) -> None:
    assert [(name, prose(step["run"])) for name, step in scripts(github) if prose(step["run"])] == []


@pytest.mark.parametrize(
    "script",
    [
        'echo "::notice title=Here::text"',
        "jq -r .promote decision.json",
        'if [ "$A" = 1 ]; then x; fi',
        "printf '## Plan'",
    ],
)
def test_text_and_decisions_in_a_script_are_noticed(script: str) -> None:
    assert prose(f"uv run mlops lint\n{script}")


def test_a_condition_asks_for_a_name_or_for_true(github: Path) -> None:
    for name, job in jobs(github):
        for condition in [job.get("if", ""), *(step.get("if", "") for step in job.get("steps", []))]:
            for compared in re.findall(r"(?:steps|needs)\.[\w.]+ *[!=]= *('[^']*')", str(condition)):
                assert compared in ("'true'", "'success'", "'skipped'", "'test'", "'prod'", "''"), (
                    f"{name}: {condition}"
                )


def test_only_reading_identities_run_without_an_approval_or_for_a_branch(github: Path) -> None:
    for name, job in jobs(github):
        environment = str(job.get("environment", ""))
        signs_in = any((step.get("with") or {}).get("azure") for step in job.get("steps", []))
        # One environment holds a secret and signs in to nothing.
        assert bool(environment) == (signs_in or environment == "template-update"), name
        if signs_in:
            assert environment.endswith("-read") == (name in READING), f"{name}: {environment}"


def test_no_run_that_must_come_is_dropped_and_none_is_cancelled(github: Path) -> None:
    for name, job in jobs(github):
        queue = job.get("concurrency", {})
        assert (queue.get("queue") == "max") == (name in QUEUED), name
        assert not (queue and queue["cancel-in-progress"]), name


def test_plans_and_changes_wait_in_different_queues(github: Path) -> None:
    if not (github / "workflows" / "infrastructure.yml").exists():
        pytest.skip("this project builds nothing")
    groups = {name: job["concurrency"]["group"].partition("$")[0] for name, job in jobs(github) if name in QUEUED}
    assert groups["infrastructure.yml: plan"] == "plan-"
    assert groups["infrastructure.yml: apply"] == "infrastructure-"
    assert groups["rollback.yml: rollback"] != groups["deliver-environment.yml: deliver"]


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
    assert {"lint", "local", "deliver --environment dev --abort"} <= found
    assert refused_commands(github.parent, run_in, found) == ""


def test_an_option_that_does_not_exist_is_noticed(github: Path, run_in: Run) -> None:
    refused = refused_commands(github.parent, run_in, {"train --enviroment dev", "trane", "lint"})
    assert [line.split(":")[0] for line in refused.splitlines()] == ["mlops train --enviroment dev", "mlops trane"]


# What follows runs the steps.


@pytest.fixture(scope="session")
def runner(tools: Path) -> Path:
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
        source = github.parent / "mlops" / "engine" / "src"
        (folder / "driver.py").write_text(DRIVER.replace("SOURCE", str(source)), encoding="utf-8")
        (folder / "outputs").mkdir()
        (folder / "bin").mkdir()
        for program in ("uv", "az", "gh"):
            script = folder / "bin" / program
            script.write_text(STAND_IN.format(program=program, folder=folder, python=sys.executable), encoding="utf-8")
            script.chmod(0o755)

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
        self.log.write_text("", encoding="utf-8")
        self.failing.write_text(fail or cancel, encoding="utf-8")
        for verb, values in (OUTPUTS | (outputs or {})).items():
            text = "".join(f"{key}={value}\n" for key, value in values.items())
            (self.folder / "outputs" / verb).write_text(text, encoding="utf-8")
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
        fixture = {"cwd": str(self.work), "path": [str(self.folder / "bin")], "actions": actions} | context
        workflow = expand(self.github, name)
        if fixture.get("github") == BY_HAND["github"]:
            declared = workflow["true"]["workflow_dispatch"].get("inputs") or {}
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
        result = subprocess.run(["node", str(self.runner), *files], capture_output=True, text=True, timeout=120)
        assert result.stdout, result.stderr
        outcome: dict[str, Any] = json.loads(result.stdout)
        return outcome

    @property
    def comment(self) -> str:
        """The body of the comment that was sent last; empty without one."""
        sent = self.folder / "comment.json"
        return json.loads(sent.read_text(encoding="utf-8"))["body"] if sent.exists() else ""

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


def stages(run_workflow: GitHub) -> list[str]:
    """The verbs, without the look at the ids."""
    return [verb for verb in run_workflow.verbs if not verb.startswith("connected")]


def delivery(environment: str, *options: str) -> list[str]:
    """The verbs of the two jobs that look, and deliver."""
    named = f"--model-version 7 --sha256 {HASH}"
    return [
        " ".join([f"deliver --environment {environment} --look {named}", *options]),
        f"approval --environment {environment}",
        " ".join([f"deliver --environment {environment} {named}", *options]),
    ]


BY_HAND: dict[str, Any] = {"github": {"event_name": "workflow_dispatch"}}
ON_SCHEDULE: dict[str, Any] = {"github": {"event_name": "schedule"}}
PULL_REQUEST: dict[str, Any] = {
    "github": {"event_name": "pull_request", "ref": "refs/pull/1/merge"},
    "event": {"pull_request": {"head": {"repo": {"full_name": "o/r"}}, "user": {"login": "me"}}},
}
CHAIN = ("dev", "test", "prod")


def through(choose: str = "success", **others: str) -> dict[str, str]:
    """The results of a delivery's jobs: the others than success; an environment that is skipped is not looked at."""
    found = {name: others.get(name, "success") for name in CHAIN}
    looks = {f"{name}_look": "skipped" if found[name] == "skipped" else "success" for name in CHAIN}
    return {"choose": choose} | found | looks | {name: result for name, result in others.items() if "_" in name}


NOT_BEGUN = through("failure", dev="skipped", test="skipped", prod="skipped")
UNCHANGED = {"deliver": "false", "delivered": "true"}


# Deliveries.


def test_one_version_goes_from_dev_through_test_to_prod(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("deliver.yml", vars=AZURE, **BY_HAND)
    assert results(outcome) == through(), output(outcome)
    assert stages(run_workflow) == [
        "models --environment dev",
        *delivery("dev"),
        *delivery("test"),
        *delivery("prod"),
    ]


def test_who_approves_reads_version_and_hash_in_the_name_of_the_job(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("deliver.yml", vars=AZURE, **BY_HAND)
    names = {job: name for job, (name, _, _) in begun(outcome).items()}
    assert names == {
        "choose": "Choose the version for dev",
        **{f"{name}_look": f"Look at what {name} has" for name in CHAIN},
        **{name: f"{name}: {LABEL}" for name in CHAIN},
    }


def test_the_version_is_chosen_once_by_who_may_only_read_and_before_any_approval(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("deliver.yml", vars=AZURE, **BY_HAND)
    assert environments(outcome) == {
        "choose": "dev-read",
        **{f"{name}_look": f"{name}-read" for name in CHAIN},
        **{name: name for name in CHAIN},
    }
    assert len([verb for verb in run_workflow.verbs if verb.startswith("models")]) == 1


def test_version_and_hash_that_were_typed_are_delivered(run_workflow: GitHub) -> None:
    typed = {"environment": "dev", "model-version": "5", "sha256": "f" * 64}
    other = {"models": {"model_version": "5", "sha256": HASH, "label": "version 5"}}
    run_workflow.run("deliver.yml", vars=AZURE, inputs=typed, outputs=other, **BY_HAND)
    assert stages(run_workflow)[0] == "models --environment dev --model-version 5"
    assert f"deliver --environment prod --model-version 5 --sha256 {'f' * 64}" in run_workflow.verbs


def test_a_delivery_that_ends_a_pin_chooses_as_if_there_were_none(run_workflow: GitHub) -> None:
    run_workflow.run("deliver.yml", vars=AZURE, inputs={"environment": "dev", "option": "--unpin"}, **BY_HAND)
    assert stages(run_workflow)[0] == "models --environment dev --unpin"


@pytest.mark.parametrize(("stays_in", "last"), [("dev", "test"), ("test", "prod")])
def test_a_model_goes_no_further_than_the_configuration_says(run_workflow: GitHub, stays_in: str, last: str) -> None:
    outcome = run_workflow.run(
        "deliver.yml", vars=AZURE, outputs={f"deliver-{stays_in}": {"delivered": "true", "next": ""}}, **BY_HAND
    )
    assert results(outcome)[stays_in] == "success"
    assert results(outcome)[last] == results(outcome)["prod"] == "skipped"


def test_an_environment_can_be_left_out(run_workflow: GitHub) -> None:
    outcome = run_workflow.run(
        "deliver.yml", vars=AZURE, outputs={"deliver-dev": {"delivered": "true", "next": "prod"}}, **BY_HAND
    )
    assert results(outcome) == through(test="skipped")


@pytest.mark.parametrize("environment", ["dev", "test", "prod"])
def test_a_failed_delivery_returns_the_traffic_and_stops_all_later_ones(run_workflow: GitHub, environment: str) -> None:
    deliver = f"uv run mlops {delivery(environment)[-1]}"
    outcome = run_workflow.run("deliver.yml", vars=AZURE, fail=deliver, **BY_HAND)
    assert results(outcome)[environment] == "failure"
    assert run_workflow.verbs[-1] == f"deliver --environment {environment} --abort"
    later = ["dev", "test", "prod"][["dev", "test", "prod"].index(environment) + 1 :]
    assert {results(outcome)[name] for name in later} <= {"skipped"}


def test_a_cancelled_delivery_returns_the_traffic(run_workflow: GitHub) -> None:
    deliver = f"uv run mlops {delivery('test')[-1]}"
    outcome = run_workflow.run("deliver.yml", vars=AZURE, cancel=deliver, **BY_HAND)
    assert run_workflow.verbs[-1] == "deliver --environment test --abort"
    assert results(outcome)["prod"] == "skipped"


def test_a_delivery_that_was_completed_returns_nothing(run_workflow: GitHub) -> None:
    run_workflow.run("deliver.yml", vars=AZURE, **BY_HAND)
    assert not [verb for verb in run_workflow.verbs if "--abort" in verb]


def test_a_failed_sign_in_does_not_try_to_return_traffic(run_workflow: GitHub) -> None:
    fetch = "az account get-access-token --resource https://ml.azure.com --output none"
    outcome = run_workflow.run("deliver.yml", vars=AZURE, fail=fetch, **BY_HAND)
    assert results(outcome) == NOT_BEGUN
    assert stages(run_workflow) == []


def test_a_version_that_is_not_there_reaches_no_approval(run_workflow: GitHub) -> None:
    typed = {"model-version": "99"}
    models = "uv run mlops models --environment dev --model-version 99"
    outcome = run_workflow.run("deliver.yml", vars=AZURE, inputs=typed, fail=models, **BY_HAND)
    assert results(outcome) == NOT_BEGUN


@pytest.mark.parametrize("environment", ["test", "prod"])
def test_a_version_that_is_not_there_asks_no_user_where_a_delivery_begins(
    run_workflow: GitHub, environment: str
) -> None:
    typed = {"environment": environment, "model-version": "99"}
    models = f"uv run mlops models --environment {environment} --model-version 99"
    outcome = run_workflow.run("deliver.yml", vars=AZURE, inputs=typed, fail=models, **BY_HAND)
    assert results(outcome) == NOT_BEGUN


def test_without_reviewers_nothing_reaches_prod_by_itself(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("deliver.yml", vars=AZURE, fail="uv run mlops approval --environment prod", **BY_HAND)
    assert results(outcome) == through(prod="failure")
    assert delivery("prod")[-1] not in run_workflow.verbs


def test_a_delivery_without_an_approval_ends_no_rollout_of_another_one(run_workflow: GitHub) -> None:
    run_workflow.run("deliver.yml", vars=AZURE, fail="uv run mlops approval --environment prod", **BY_HAND)
    assert run_workflow.verbs[-1] == "approval --environment prod"


TYPED = {"environment": "prod", "model-version": "7", "sha256": HASH}


@pytest.mark.parametrize(
    ("inputs", "asked"),
    [(TYPED, False), (TYPED | {"sha256": ""}, True), (TYPED | {"model-version": ""}, True)],
    ids=["both", "no hash", "no version"],
)
def test_version_and_hash_typed_for_prod_are_an_approval(
    run_workflow: GitHub, inputs: dict[str, str], asked: bool
) -> None:
    outcome = run_workflow.run("deliver.yml", vars=AZURE, inputs=inputs, **BY_HAND)
    assert results(outcome) == through(dev="skipped", test="skipped")
    assert environments(outcome) == {"choose": "prod-read", "prod_look": "prod-read", "prod": "prod"}
    assert ("approval --environment prod" in run_workflow.verbs) == asked
    assert run_workflow.verbs[-1] == delivery("prod")[-1]


@pytest.mark.parametrize("environment", ["dev", "test", "prod"])
@pytest.mark.parametrize("option", ["--force", "--hold", "--pin", "--unpin"])
def test_an_option_counts_in_the_environment_that_was_chosen_alone(
    run_workflow: GitHub, environment: str, option: str
) -> None:
    run_workflow.run("deliver.yml", vars=AZURE, inputs={"environment": environment, "option": option}, **BY_HAND)
    deliveries = [verb.split() for verb in run_workflow.verbs if verb.startswith("deliver ")]
    assert deliveries[:2] == [verb.split() for verb in delivery(environment, option) if verb.startswith("deliver ")]
    assert not [verb for verb in deliveries[2:] if option in verb]


# The look before an approval.


@pytest.mark.parametrize("unchanged", [["dev"], ["test"], ["dev", "test"], ["dev", "test", "prod"]])
def test_no_user_approves_what_serves_completely_and_the_next_environment_gets_it(
    run_workflow: GitHub, unchanged: list[str]
) -> None:
    follows = dict(zip(CHAIN, (*CHAIN[1:], ""), strict=True))
    looks = {f"look-{name}": UNCHANGED | {"next": follows[name]} for name in unchanged}
    outcome = run_workflow.run("deliver.yml", vars=AZURE, outputs=looks, **BY_HAND)
    assert results(outcome) == through(**dict.fromkeys(unchanged, "skipped")) | {
        f"{name}_look": "success" for name in CHAIN
    }
    approved = [verb.split()[2] for verb in run_workflow.verbs if verb.startswith("approval")]
    assert approved == [name for name in CHAIN if name not in unchanged]


def test_where_nothing_is_to_be_done_and_none_follows_the_delivery_ends(run_workflow: GitHub) -> None:
    looks = {"look-dev": UNCHANGED | {"next": ""}}
    outcome = run_workflow.run("deliver.yml", vars=AZURE, outputs=looks, **BY_HAND)
    assert results(outcome) == through(dev="skipped", test="skipped", prod="skipped", dev_look="success")


@pytest.mark.parametrize("environment", CHAIN)
def test_what_a_look_refuses_asks_no_user(run_workflow: GitHub, environment: str) -> None:
    outcome = run_workflow.run("deliver.yml", vars=AZURE, fail=f"uv run mlops {delivery(environment)[0]}", **BY_HAND)
    later = CHAIN[CHAIN.index(environment) :]
    assert results(outcome) == through(**dict.fromkeys(later, "skipped")) | {f"{environment}_look": "failure"}
    assert f"approval --environment {environment}" not in run_workflow.verbs


def test_a_delivery_that_fails_hands_nothing_on_of_what_the_look_saw(run_workflow: GitHub) -> None:
    looks = {"look-dev": {"deliver": "true", "delivered": "false", "next": ""}, "deliver-dev": {}}
    verb = f"uv run mlops {delivery('dev')[-1]}"
    outcome = run_workflow.run("deliver.yml", vars=AZURE, outputs=looks, fail=verb, **BY_HAND)
    assert results(outcome) == through(dev="failure", test="skipped", prod="skipped")


# Trainings.


def test_retraining_has_one_schedule_beside_the_look_at_the_monitor(github: Path) -> None:
    files = [path for path in github.parent.rglob("*") if path.suffix in {".yml", ".py"} and "engine" not in path.parts]
    scheduled = sorted(path.name for path in files if "- cron:" in path.read_text(encoding="utf-8"))
    assert [name for name in scheduled if name in ("monitor.yml", "train.yml")] == ["monitor.yml", "train.yml"]
    assert not [path for path in files if re.search(r"create_job|JobSchedule", path.read_text(encoding="utf-8"))]


def test_what_decides_about_a_model_starts_a_training(github: Path) -> None:
    workflow = yaml.safe_load((github / "workflows" / "train.yml").read_text(encoding="utf-8"))
    assert workflow[True]["push"]["paths"] == [
        "data-science/**",
        "data/**",
        "mlops/**",
        "uv.lock",
        "config/dev.yml",
        "config/model.yml",
    ]


def test_a_training_hands_version_and_hash_to_the_delivery(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("train.yml", vars=AZURE)
    assert results(outcome) == {"train": "success"} | {f"deliver_{job}": "success" for job in through()}, output(
        outcome
    )
    assert stages(run_workflow) == [
        "lint",
        "train --environment dev --overrides  --job ",
        "models --environment dev --model-version 7",
        *delivery("dev"),
        *delivery("test"),
        *delivery("prod"),
    ]


def test_a_manual_training_can_have_other_settings(run_workflow: GitHub) -> None:
    run_workflow.run("train.yml", vars=AZURE, inputs={"overrides": "training.seed=7"}, **BY_HAND)
    assert "train --environment dev --overrides training.seed=7 --job " in run_workflow.verbs


STAYS = {"train": OUTPUTS["train"] | {"registered": "false"}}


@pytest.mark.parametrize(
    ("event", "outputs", "delivers"),
    [
        ("push", STAYS, True),
        ("schedule", {}, True),
        ("schedule", STAYS, False),
        ("schedule", {"train": OUTPUTS["train"] | {"started": "false"}}, False),
        ("push", {"train": OUTPUTS["train"] | {"model_version": "", "sha256": "", "registered": "false"}}, False),
    ],
    ids=["code changed", "new model", "champion stays", "answered before", "no model"],
)
def test_no_user_approves_the_same_model_again_because_of_a_schedule(
    run_workflow: GitHub, event: str, outputs: dict[str, dict[str, str]], delivers: bool
) -> None:
    outcome = run_workflow.run("train.yml", vars=AZURE, outputs=outputs, github={"event_name": event})
    assert results(outcome)["train"] == "success"
    assert (results(outcome)["deliver_dev"] == "success") == delivers


def test_a_training_that_is_run_again_delivers_also_what_was_trained_before(run_workflow: GitHub) -> None:
    outcome = run_workflow.run(
        "train.yml",
        vars=AZURE,
        outputs={"train": OUTPUTS["train"] | {"started": "false"}},
        github={"event_name": "schedule", "run_attempt": 2},
    )
    assert results(outcome)["deliver_dev"] == "success"


def test_wrong_settings_start_no_machine(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("train.yml", vars=AZURE, fail="uv run mlops lint")
    assert results(outcome)["train"] == "failure"
    assert set(results(outcome).values()) == {"failure", "skipped"}
    assert stages(run_workflow) == ["lint"]


def test_the_first_push_which_starts_to_build_the_workspace_trains_nothing(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("train.yml", vars=AZURE, event={"created": True})
    assert set(results(outcome).values()) == {"skipped"}
    outcome = run_workflow.run("train.yml", vars=AZURE, event={"created": False})
    assert set(results(outcome).values()) == {"success"}


def test_a_failed_training_delivers_nothing(run_workflow: GitHub) -> None:
    train = "uv run mlops train --environment dev --overrides  --job "
    outcome = run_workflow.run("train.yml", vars=AZURE, fail=train)
    assert results(outcome)["train"] == "failure"
    assert results(outcome)["deliver_choose"] == "skipped"


# From an alert of the monitor to production.


def test_an_alert_starts_one_training_whose_model_needs_the_approvals_of_every_other_one(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("monitor.yml", vars=AZURE, **ON_SCHEDULE)
    assert set(results(outcome).values()) == {"success"}, output(outcome)
    assert stages(run_workflow) == [
        "drift --environment prod",
        "lint",
        "train --environment dev --overrides  --job model-drift-0123456789ab",
        "models --environment dev --model-version 7",
        *delivery("dev"),
        *delivery("test"),
        *delivery("prod"),
    ]
    # Only where something changes, a reviewer can be asked.
    looked_at = ["prod-read", "dev", "dev-read", *(part for name in CHAIN for part in (f"{name}-read", name))]
    assert list(environments(outcome).values()) == looked_at


def test_without_drift_nothing_is_trained(run_workflow: GitHub) -> None:
    outcome = run_workflow.run(
        "monitor.yml", vars=AZURE, outputs={"drift": {"retrain": "false", "job": ""}}, **ON_SCHEDULE
    )
    assert results(outcome).pop("drift") == "success"
    assert stages(run_workflow) == ["drift --environment prod"]


def test_the_alert_of_yesterday_is_not_delivered_again(run_workflow: GitHub) -> None:
    outcome = run_workflow.run(
        "monitor.yml", vars=AZURE, outputs={"train": OUTPUTS["train"] | {"started": "false"}}, **ON_SCHEDULE
    )
    assert results(outcome)["train_train"] == "success"
    assert not [verb for verb in run_workflow.verbs if verb.startswith("deliver")]


def test_another_environment_can_be_looked_at_manually(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("monitor.yml", vars=AZURE, inputs={"environment": "dev"}, **BY_HAND)
    assert environments(outcome)["drift"] == "dev-read"
    assert stages(run_workflow)[0] == "drift --environment dev"


def test_a_monitor_without_an_answer_trains_nothing(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("monitor.yml", vars=AZURE, fail="uv run mlops drift --environment prod", **ON_SCHEDULE)
    assert results(outcome)["drift"] == "failure"
    assert stages(run_workflow) == ["drift --environment prod"]


# Back.


@pytest.mark.parametrize(
    ("inputs", "verb", "name"),
    [
        ({}, "rollback --environment prod --from 7", "prod: from version 7 to 6, sha256 0123456789ab"),
        (
            {"environment": "test", "model-version": "6"},
            "rollback --environment test --from 7 --model-version 6",
            "test: from version 7 to 6, sha256 0123456789ab",
        ),
    ],
)
def test_a_rollback_is_one_run_with_an_approval(
    run_workflow: GitHub, inputs: dict[str, str], verb: str, name: str
) -> None:
    outcome = run_workflow.run("rollback.yml", vars=AZURE, inputs=inputs, **BY_HAND)
    environment = verb.split()[2]
    assert results(outcome) == {"look": "success", "rollback": "success"}
    looked = verb.replace("--from 7", "--look")
    assert stages(run_workflow) == [looked, verb]
    assert begun(outcome)["rollback"][0] == name
    assert environments(outcome) == {"look": f"{environment}-read", "rollback": environment}


def test_a_rollback_that_fails_is_red(run_workflow: GitHub) -> None:
    verb = "uv run mlops rollback --environment prod --from 7"
    outcome = run_workflow.run("rollback.yml", vars=AZURE, fail=verb, **BY_HAND)
    assert results(outcome) == {"look": "success", "rollback": "failure"}
    assert run_workflow.verbs[-1] == "rollback --environment prod --abort --from 7"


def test_a_cancelled_rollback_is_ended(run_workflow: GitHub) -> None:
    verb = "uv run mlops rollback --environment prod --from 7"
    run_workflow.run("rollback.yml", vars=AZURE, cancel=verb, **BY_HAND)
    assert run_workflow.verbs[-1] == "rollback --environment prod --abort --from 7"


def test_a_rollback_that_was_completed_or_not_begun_is_not_ended(run_workflow: GitHub) -> None:
    run_workflow.run("rollback.yml", vars=AZURE, **BY_HAND)
    assert run_workflow.verbs[-1] == "rollback --environment prod --from 7"
    look = "uv run mlops rollback --environment prod --look"
    run_workflow.run("rollback.yml", vars=AZURE, fail=look, **BY_HAND)
    assert not [verb for verb in run_workflow.verbs if "--abort" in verb]


# Without Azure.

ON_AZURE = ["deliver.yml", "infrastructure.yml", "monitor.yml", "rollback.yml", "train.yml"]


@pytest.mark.parametrize("workflow", ["infrastructure.yml", "monitor.yml", "train.yml"])
def test_a_run_without_azure_does_nothing_and_says_how_to_connect_it(run_workflow: GitHub, workflow: str) -> None:
    outcome = run_workflow.run(workflow)
    assert set(results(outcome).values()) <= {"success", "skipped"}
    assert stages(run_workflow) == []
    assert not [call for call in run_workflow.calls if call.startswith("az ")]
    environment = "prod" if workflow == "monitor.yml" else "dev"
    assert f"::notice title={environment} is not connected to Azure%2C nothing to do::" in output(outcome)
    assert f"uv run mlops bootstrap --environment {environment}`, see docs/operate.md" in output(outcome)


@pytest.mark.parametrize("workflow", ON_AZURE)
def test_a_manual_run_without_azure_fails_with_the_remedy(run_workflow: GitHub, workflow: str) -> None:
    outcome = run_workflow.run(workflow, **BY_HAND)
    assert "failure" in results(outcome).values()
    assert stages(run_workflow) == []
    assert "AZURE_CLIENT_ID, AZURE_TENANT_ID, AZURE_SUBSCRIPTION_ID are missing: run `uv run mlops" in output(outcome)


@pytest.mark.parametrize("workflow", ["infrastructure.yml", "train.yml"])
def test_a_forgotten_id_is_an_error_even_on_a_push(run_workflow: GitHub, workflow: str) -> None:
    outcome = run_workflow.run(workflow, vars=AZURE | {"AZURE_TENANT_ID": ""})
    assert "failure" in results(outcome).values()
    assert "AZURE_TENANT_ID is missing: run" in output(outcome)


# Infrastructure.


@pytest.mark.parametrize("environment", ["dev", "test", "prod"])
def test_the_plan_is_shown_before_the_approval(run_workflow: GitHub, environment: str) -> None:
    inputs = {"environment": environment, "action": "apply"}
    outcome = run_workflow.run("infrastructure.yml", vars=AZURE, inputs=inputs, **BY_HAND)
    assert results(outcome)["plan"] == results(outcome)["apply"] == "success", output(outcome)
    assert environments(outcome) == {"plan": f"{environment}-read", "apply": environment}
    assert stages(run_workflow) == [
        f"provision --environment {environment} --plan --deployer workflows --summary .local/plan.md "
        "--retry-minutes 10",
        f"provision --environment {environment} --retry-minutes 10",
    ]


def test_a_plan_changes_nothing_and_needs_no_approval(run_workflow: GitHub) -> None:
    inputs = {"environment": "prod", "action": "plan"}
    outcome = run_workflow.run("infrastructure.yml", vars=AZURE, inputs=inputs, **BY_HAND)
    assert environments(outcome) == {"plan": "prod-read"}
    assert results(outcome)["apply"] == "skipped"


def test_a_push_is_applied_to_dev_and_trains_the_first_model(run_workflow: GitHub) -> None:
    new = {"provision": {"train": "true"}, "deliver-dev": {"delivered": "true", "next": ""}}
    outcome = run_workflow.run("infrastructure.yml", vars=AZURE, outputs=new, event={"created": True})
    assert results(outcome)["apply"] == results(outcome)["train_deliver_dev"] == "success", output(outcome)
    assert stages(run_workflow)[2:] == [
        "lint",
        "train --environment dev --overrides  --job ",
        "models --environment dev --model-version 7",
        *delivery("dev"),
    ]


def test_a_later_change_of_the_infrastructure_trains_nothing(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("infrastructure.yml", vars=AZURE)
    assert results(outcome)["apply"] == "success"
    assert results(outcome)["train_train"] == "skipped"


@pytest.mark.parametrize("part", [" --plan --deployer workflows --summary .local/plan.md", ""], ids=["plan", "apply"])
def test_infrastructure_that_fails_goes_no_further(run_workflow: GitHub, part: str) -> None:
    command = f"uv run mlops provision --environment dev{part} --retry-minutes 10"
    outcome = run_workflow.run("infrastructure.yml", vars=AZURE, fail=command, outputs={"provision": {"train": "true"}})
    assert results(outcome)["apply"] == ("skipped" if part else "failure")
    assert results(outcome)["train_train"] == "skipped"


# Pull requests.


def test_a_pull_request_is_checked_planned_and_commented(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("pull-request.yml", vars=AZURE, **PULL_REQUEST)
    assert set(results(outcome).values()) == {"success"}, output(outcome)
    checks = ["uv run mypy", "uv run pytest", "uv run mlops lint", "uv run mlops local"]
    assert [call for call in run_workflow.calls if call in checks] == checks
    assert "provision --check" in run_workflow.verbs
    plan, comment = run_workflow.verbs[-2:]
    assert plan == "provision --environment dev --plan --deployer workflows --summary .local/plan.md"
    assert comment.startswith("comment --folder results --jobs {")
    assert environments(outcome) == {"plan": "dev-read"}
    comment = run_workflow.comment
    assert comment.startswith("<!-- mlops: comment -->\n## Model\n")
    assert "| this model | 8.123 | 0.9 |" in comment
    assert "| champion, version 3 | 9.5 | 0.8 |" in comment
    assert "| baseline mean | 20 | -8.8e-06 |" in comment
    assert "**Promote:**\n\n- the gain is significant" in comment
    assert "Plan: 42 to add" in comment


def test_a_push_to_main_is_checked_too_and_comments_nowhere(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("pull-request.yml", vars=AZURE)
    assert results(outcome) == {
        "project": "success",
        "infrastructure": "success",
        "plan": "skipped",
        "comment": "skipped",
    }


def test_a_pull_request_is_of_use_without_azure(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("pull-request.yml", **PULL_REQUEST)
    assert set(results(outcome).values()) == {"success"}, output(outcome)
    assert "| this model | 8.123 | 0.9 |" in run_workflow.comment
    assert "Plan" not in run_workflow.comment


@pytest.mark.parametrize("check", ["ruff check", "mypy", "pytest", "mlops lint", "mlops local"])
def test_a_failing_check_turns_the_pull_request_red_and_is_commented(run_workflow: GitHub, check: str) -> None:
    outcome = run_workflow.run("pull-request.yml", vars=AZURE, fail=f"uv run {check}", **PULL_REQUEST)
    assert results(outcome)["project"] == "failure"
    assert "## Not passed\n\n| job | result |\n| --- | --- |\n| project | failure |\n" in run_workflow.comment
    assert "/o/r/actions/runs/1)" in run_workflow.comment


def test_a_failing_plan_turns_the_pull_request_red_and_is_not_shown(run_workflow: GitHub) -> None:
    plan = "uv run mlops provision --environment dev --plan --deployer workflows --summary .local/plan.md"
    outcome = run_workflow.run("pull-request.yml", vars=AZURE, fail=plan, **PULL_REQUEST)
    assert results(outcome)["plan"] == "failure"
    assert "| plan | failure |" in run_workflow.comment
    assert "Plan: 42" not in run_workflow.comment


def test_a_fork_gets_no_token_and_no_comment(run_workflow: GitHub) -> None:
    fork = {"pull_request": {"head": {"repo": {"full_name": "stranger/r"}}, "user": {"login": "stranger"}}}
    outcome = run_workflow.run("pull-request.yml", vars=AZURE, **(PULL_REQUEST | {"event": fork}))
    assert results(outcome) == {
        "project": "success",
        "infrastructure": "success",
        "plan": "skipped",
        "comment": "skipped",
    }
    assert not any(call.startswith("az ") and "bicep install" not in call for call in run_workflow.calls)


def test_infrastructure_that_is_not_valid_is_not_planned(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("pull-request.yml", vars=AZURE, fail="uv run mlops provision --check", **PULL_REQUEST)
    assert results(outcome) == {
        "project": "success",
        "infrastructure": "failure",
        "plan": "skipped",
        "comment": "success",  # the metrics
    }


# Setting up.


def test_terraform_is_installed_where_the_project_uses_it(run_workflow: GitHub, github: Path) -> None:
    outcome = run_workflow.run("pull-request.yml", vars=AZURE, **PULL_REQUEST)
    installing = {entry["job"] for entry in outcome["log"] if entry.get("uses") == "hashicorp/setup-terraform"}
    uses_it = (github.parent / "infrastructure" / "terraform").is_dir()
    assert installing == ({"infrastructure", "plan"} if uses_it else set())


def test_a_fixed_release_of_bicep_is_installed_where_the_project_uses_it(run_workflow: GitHub, github: Path) -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in github.rglob("*.yml"))
    releases = set(re.findall(r"az bicep install --version (\S+)", text))
    assert len(releases) == 1
    run_workflow.run("infrastructure.yml", vars=AZURE)
    uses_it = (github.parent / "infrastructure" / "bicep").is_dir()
    installing = [call for call in run_workflow.calls if call.startswith("az bicep install")]
    assert set(installing) == ({f"az bicep install --version {releases.pop()}"} if uses_it else set())


@pytest.mark.parametrize(("version", "calls_it"), [("aml-cli-v2", True), ("python-sdk-v2", False)])
def test_the_ml_extension_is_installed_where_the_verbs_call_it(
    version: str, calls_it: bool, render: Render, runner: Path, tmp_path: Path
) -> None:
    run_workflow = GitHub(runner, render(mlops_version=version) / ".github", tmp_path)
    run_workflow.run("train.yml", vars=AZURE)
    assert any(call.startswith("az extension add --name ml --version ") for call in run_workflow.calls) == calls_it


def test_tokens_that_a_long_job_needs_late_are_fetched_right_after_the_sign_in(run_workflow: GitHub) -> None:
    run_workflow.run("train.yml", vars=AZURE)
    tokens = [call for call in run_workflow.calls if "get-access-token" in call]
    services = [re.findall(r"--resource (\S+)", call)[0] for call in tokens[:2]]
    assert services == ["https://ml.azure.com", "https://storage.azure.com"]
    assert run_workflow.calls.index(tokens[0]) < run_workflow.calls.index(f"uv run mlops {stages(run_workflow)[0]}")


def test_jobs_that_need_the_private_network_run_in_the_one_of_their_environment(run_workflow: GitHub) -> None:
    inside = AZURE | {"MLOPS_RUNNER": "ml"}
    each = {"dev": "ml-dev", "test": "ml-test", "prod": "ml-prod"}
    looks = {f"{name}_look": machine for name, machine in each.items()}
    assert machines(run_workflow.run("deliver.yml", vars=inside, **BY_HAND)) == {"choose": "ml-dev"} | looks | each
    alerted = machines(run_workflow.run("monitor.yml", vars=inside, **ON_SCHEDULE))
    assert (alerted["drift"], alerted["train_train"]) == ("ml-prod", "ml-dev")
    assert machines(run_workflow.run("rollback.yml", vars=inside, **BY_HAND)) == {
        "look": "ml-prod",
        "rollback": "ml-prod",
    }
    built = machines(run_workflow.run("infrastructure.yml", vars=inside))
    assert built == {"plan": OPEN_MACHINE, "apply": OPEN_MACHINE}
    assert set(machines(run_workflow.run("pull-request.yml", vars=inside, **PULL_REQUEST)).values()) == {OPEN_MACHINE}


@pytest.mark.parametrize("workflow", ["deliver.yml", "monitor.yml", "rollback.yml", "train.yml"])
def test_without_a_runner_of_ones_own_every_job_runs_on_githubs(run_workflow: GitHub, workflow: str) -> None:
    assert set(machines(run_workflow.run(workflow, vars=AZURE, **BY_HAND)).values()) == {OPEN_MACHINE}


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
    context: dict[str, Any] = {
        "inputs": {"environment": "test"} | inputs,
        "github": {"event_name": "workflow_dispatch"},
    }
    outcome = run_workflow.run("teardown.yml", vars=AZURE, **context)
    assert results(outcome) == {"teardown": "success"}, output(outcome)
    assert stages(run_workflow) == [verb]


def test_a_teardown_is_requested_by_hand_and_waits_for_a_change_of_the_infrastructure(github: Path) -> None:
    document = yaml.safe_load((github / "workflows" / "teardown.yml").read_text(encoding="utf-8"))
    assert list(document[True]) == ["workflow_dispatch"]
    assert document[True]["workflow_dispatch"]["inputs"]["everything"]["default"] is False
    job = document["jobs"]["teardown"]
    assert job["concurrency"]["group"] == "infrastructure-${{ inputs.environment }}"
    assert job["environment"] == "${{ inputs.environment }}"


def test_endpoints_are_deleted_inside_the_private_network_and_the_network_from_outside(run_workflow: GitHub) -> None:
    inside, here = AZURE | {"MLOPS_RUNNER": "ml"}, {"event_name": "workflow_dispatch"}
    for everything, machine in ((False, "ml-test"), (True, OPEN_MACHINE)):
        inputs = {"environment": "test", "everything": everything, "confirm": "test"}
        outcome = run_workflow.run("teardown.yml", vars=inside, inputs=inputs, github=here)
        assert machines(outcome) == {"teardown": machine}


def test_a_teardown_without_azure_fails_with_the_remedy(run_workflow: GitHub) -> None:
    inputs = {"environment": "test", "everything": False}
    outcome = run_workflow.run("teardown.yml", inputs=inputs, github={"event_name": "workflow_dispatch"})
    assert results(outcome) == {"teardown": "failure"}
    assert stages(run_workflow) == []
    assert "AZURE_CLIENT_ID" in output(outcome)


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
    assert stages(run_workflow) == [verb, f"issue --title {title} --file {file}"]
    outcome = run_workflow.run(workflow, fail=f"uv run mlops {verb}")
    assert results(outcome)["check"] == "failure"
    assert results(outcome)["issue"] == "skipped"


@pytest.mark.parametrize(
    ("decided", "variables", "opened"),
    [
        ({"update": "true", "version": "v9.0.0", "clean": "true"}, APP, True),
        ({"update": "true", "version": "v9.0.0", "clean": "false"}, APP, False),
        ({"update": "false", "version": "v8.0.0", "clean": "false"}, APP, False),
        ({"update": "true", "version": "v9.0.0", "clean": "true"}, {}, False),
    ],
    ids=["update", "conflicts", "no update", "no app"],
)
def test_an_app_opens_a_pull_request_with_the_change_unless_it_has_conflicts(
    run_workflow: GitHub, tmp_path: Path, decided: dict[str, str], variables: dict[str, str], opened: bool
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
    secrets = {"TEMPLATE_APP_PRIVATE_KEY": "key"}
    missing = "gh pr view template-update/v9.0.0"
    outcome = run_workflow.run(
        "template-update.yml", vars=variables, secrets=secrets, fail=missing, outputs={"template-update": decided}
    )
    assert results(outcome)["pull-request"] == ("success" if opened else "skipped"), output(outcome)
    created = [call for call in run_workflow.calls if call.startswith("gh pr create --head template-update/v9.0.0 ")]
    assert len(created) == opened
    branches = git(remote, "branch", "--list", "--format", "%(refname:short)").split()
    assert branches == (["template-update/v9.0.0"] if opened else [])
    if opened:
        assert git(remote, "show", "template-update/v9.0.0:README.md") == "new\n"
        assert git(remote, "ls-tree", "--name-only", "template-update/v9.0.0").split() == ["README.md"]


def test_a_branch_with_an_update_keeps_what_was_pushed_to_it_since(run_workflow: GitHub, tmp_path: Path) -> None:
    work, remote, branch = run_workflow.work, tmp_path / "remote", "template-update/v9.0.0"
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(work, "init", "--quiet", "--initial-branch", branch)
    (work / "README.md").write_text("mended\n", encoding="utf-8")
    git(work, "add", "README.md")
    git(work, "commit", "--quiet", "--message", "project")
    git(work, "remote", "add", "origin", str(remote))
    git(work, "push", "--quiet", "origin", branch)
    git(work, "branch", "--quiet", "--move", "main")
    (work / "README.md").write_text("new\n", encoding="utf-8")
    (work / "update").mkdir()
    (work / "update" / "update.patch").write_text(git(work, "diff"), encoding="utf-8")
    git(work, "checkout", "--quiet", ".")
    decided = {"template-update": {"update": "true", "version": "v9.0.0", "clean": "true"}}
    secrets = {"TEMPLATE_APP_PRIVATE_KEY": "key"}
    outcome = run_workflow.run("template-update.yml", vars=APP, secrets=secrets, outputs=decided)
    assert results(outcome)["pull-request"] == "success", output(outcome)
    assert git(remote, "show", f"{branch}:README.md") == "mended\n"


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
    template = run_workflow.work / "button" / "template.json"
    build = f"az bicep build --file infrastructure/bicep/main.bicep --outfile {template}"
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
    run_workflow = GitHub(runner, existing, tmp_path)
    outcome = run_workflow.run("pull-request.yml", vars=AZURE, **PULL_REQUEST)
    assert results(outcome) == {"project": "success", "comment": "success"}, output(outcome)
    assert "| this model | 8.123 | 0.9 |" in run_workflow.comment
    assert "Infrastructure" not in run_workflow.comment


def test_a_model_goes_from_dev_through_test_to_prod_in_existing_workspaces(
    existing: Path, runner: Path, tmp_path: Path
) -> None:
    run_workflow = GitHub(runner, existing, tmp_path)
    outcome = run_workflow.run("deliver.yml", vars=AZURE, **BY_HAND)
    assert results(outcome) == through()
    assert run_workflow.verbs[-1] == delivery("prod")[-1]
