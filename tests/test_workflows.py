"""GitHub workflows of a rendered project: checked by the linters of the field, and their steps really run.

The runner executes the bash steps; actions, `uv`, `az` and `gh` are answered by stand-ins that log their call.
"""

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
from conftest import Render, Run, answers_of, git, refused_commands
from github_workflows import (
    AZURE,
    BY_HAND,
    PULL_REQUEST,
    GitHub,
    begun,
    bundled,
    output,
    results,
    workflow_runner,
)
from json_schemas import schema_errors
from workflow_runs import CHAIN, HASH, LABEL, OUTPUTS

pytestmark = pytest.mark.about(orchestration="github-actions")

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
# These read or change Terraform's state, which may be behind a firewall.
CHANGING_THE_STATE = {"infrastructure.yml: apply", "infrastructure.yml: plan", "teardown.yml: teardown"}
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
def complete(render: Render) -> Path:
    """All workflows that there are: with the Deploy to Azure button, which needs Bicep."""
    return render(infrastructure_version="bicep") / ".github"


@pytest.fixture(scope="session")
def complete_checkout(complete: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a repository of their own."""
    return repository(complete, tmp_path_factory.mktemp("complete"))


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
    examples |= {"UNPIN": "--unpin", "BAD": "6", "EXPECTED": "5"}
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


def test_actionlint_sees_a_misspelt_output_and_an_unquoted_variable(complete_checkout: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(complete_checkout, broken)
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


def language_service(service: Path, project: Path, *names: str) -> str:
    """What it says about workflows: all of them, or those with these names."""
    folder = project / ".github" / "workflows"
    files = [str(path) for path in sorted(folder.glob("*.yml")) if not names or path.name in names]
    result = subprocess.run(["node", str(service), str(project), *files], capture_output=True, text=True, timeout=120)
    assert bool(result.stdout) >= bool(result.returncode), result.stderr
    return result.stdout


def test_githubs_own_language_service_finds_nothing(service: Path, complete_checkout: Path) -> None:
    assert language_service(service, complete_checkout) == ""


WRONG = {
    "train.yml": ("      model-version: ${{", "      version: ${{", "version"),
    "deliver.yml": ("      environment: test\n", "", "environment"),
    "infrastructure.yml": ("needs.plan.outputs.azure ==", "needs.plann.outputs.azure ==", "plann"),
    "monitor.yml": ("    timeout-minutes: 30", "    timeout: 30", "timeout"),
}
"""An error in each of these workflows, and the word with which it is named."""


def test_githubs_own_language_service_sees_a_wrong_input_of_a_called_workflow(
    service: Path, complete_checkout: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(complete_checkout, broken)
    for file, (old, new, _) in WRONG.items():
        path = broken / ".github" / "workflows" / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
    said = language_service(service, broken, *WRONG).splitlines()
    for file, (_, _, word) in WRONG.items():
        assert [line for line in said if f"{file}:" in line and word in line], said


def test_zizmor_finds_nothing(checkout: Path) -> None:
    result = tool("zizmor", "--offline", "--persona", "pedantic", ".", cwd=checkout)
    assert result.returncode == 0, result.stdout + result.stderr


def test_zizmor_sees_a_script_injection(complete_checkout: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(complete_checkout, broken)
    deliver = broken / ".github" / "workflows" / "deliver-environment.yml"
    text = deliver.read_text(encoding="utf-8").replace('"$ENVIRONMENT"', '"${{ inputs.environment }}"')
    deliver.write_text(text, encoding="utf-8")
    result = tool("zizmor", "--offline", ".", cwd=broken)
    assert "template-injection" in result.stdout


def test_dependabot_moves_actions_and_packages_in_two_pull_requests_a_week(github: Path) -> None:
    file = github / "dependabot.yml"
    assert schema_errors("vendor.dependabot", [file]) == ""
    updates = yaml.safe_load(file.read_text(encoding="utf-8"))["updates"]
    assert [each["package-ecosystem"] for each in updates] == ["github-actions", "uv"]
    for each in updates:
        assert each["schedule"]["interval"] == "weekly"
        assert [group["patterns"] for group in each["groups"].values()] == [["*"]]
    # Dependabot reads workflows by itself, but an action only where it is told to.
    actions = {f"/{path.parent.relative_to(github.parent).as_posix()}" for path in github.rglob("action.yml")}
    assert actions <= set(updates[0]["directories"])


def test_files_match_the_published_schemas(complete: Path) -> None:
    workflows, actions = [*(complete / "workflows").glob("*.yml")], [*(complete / "actions").glob("*/action.yml")]
    assert schema_errors("vendor.github-workflows", workflows) == ""
    assert schema_errors("vendor.github-actions", actions) == ""
    assert schema_errors("custom.github-workflows-require-timeout", workflows) == ""


def test_an_unknown_key_and_a_missing_timeout_are_no_match(complete: Path, tmp_path: Path) -> None:
    text = (complete / "workflows" / "monitor.yml").read_text(encoding="utf-8")
    broken = tmp_path / "monitor.yml"
    broken.write_text(re.sub(r"timeout-minutes: \d+", "timeout: 30", text), encoding="utf-8")
    for schema in ("vendor.github-workflows", "custom.github-workflows-require-timeout"):
        assert "Schema validation errors" in schema_errors(schema, [broken])


def check_pins(github: Path) -> None:
    """Check that each action is one of the repository's own, or a commit with its release beside it."""
    for path in sorted(github.rglob("*.yml")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.match(r"\s*(- )?uses:", line):
                assert re.search(r"uses: (\$/\.github/\S+$|[\w./-]+@[0-9a-f]{40} # v\d)", line), f"{path.name}: {line}"


def test_every_action_is_pinned_by_commit_with_its_release_beside_it(github: Path) -> None:
    check_pins(github)


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
        of_ones_own = {
            "vars.MLOPS_RUNNER": name in IN_THE_NETWORK,
            "vars.MLOPS_PROVISION_RUNNER": name in CHANGING_THE_STATE,
        }
        assert {variable: variable in job["runs-on"] for variable in of_ones_own} == of_ones_own, name
        assert any(of_ones_own.values()) or job["runs-on"] == OPEN_MACHINE, name
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


def test_workflows_call_verbs_that_exist_with_options_that_exist(github: Path, run_with_others: Run) -> None:
    found = commands(github)
    assert {"lint", "local", "deliver --environment dev --abort"} <= found
    assert refused_commands(github.parent, run_with_others, found) == ""


def test_an_option_that_does_not_exist_is_noticed(complete: Path, run_with_others: Run) -> None:
    refused = refused_commands(complete.parent, run_with_others, {"train --enviroment dev", "trane", "lint"})
    assert [line.split(":")[0] for line in refused.splitlines()] == ["mlops train --enviroment dev", "mlops trane"]


# What follows runs the steps.


@pytest.fixture(scope="session")
def runner(tools: Path) -> Path:
    return workflow_runner(tools)


@pytest.fixture
def run_workflow(runner: Path, complete: Path, tmp_path: Path) -> GitHub:
    return GitHub(runner, complete, tmp_path)


# Deliveries.


def test_who_approves_reads_version_and_hash_in_the_name_of_the_job(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("deliver.yml", vars=AZURE, **BY_HAND)
    names = {job: name for job, (name, _, _) in begun(outcome).items()}
    assert names == {
        "choose": "Choose the version for dev",
        **{f"{name}_look": f"Look at what {name} has" for name in CHAIN},
        **{name: f"{name}: {LABEL}" for name in CHAIN},
    }


TYPED = {"environment": "prod", "model-version": "7", "sha256": HASH}


@pytest.mark.parametrize("environment", ["test", "prod"])
def test_who_approves_a_rollback_reads_both_versions_in_the_name_of_the_job(
    run_workflow: GitHub, environment: str
) -> None:
    outcome = run_workflow.run("rollback.yml", vars=AZURE, inputs={"environment": environment}, **BY_HAND)
    assert begun(outcome)["rollback"][0] == f"{environment}: from version 7 to 6, sha256 0123456789ab"


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


STAYS = {"train": OUTPUTS["train"] | {"registered": "false"}}


def test_the_first_push_which_starts_to_build_the_workspace_trains_nothing(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("train.yml", vars=AZURE, event={"created": True})
    assert set(results(outcome).values()) == {"skipped"}
    outcome = run_workflow.run("train.yml", vars=AZURE, event={"created": False})
    assert set(results(outcome).values()) == {"success"}


# From an alert of the monitor to production.


# Back.


# Without Azure.

ON_AZURE = ["deliver.yml", "infrastructure.yml", "monitor.yml", "rollback.yml", "train.yml"]


@pytest.mark.parametrize("workflow", ["infrastructure.yml", "monitor.yml", "train.yml"])
def test_a_run_without_azure_does_nothing_and_says_how_to_connect_it(run_workflow: GitHub, workflow: str) -> None:
    outcome = run_workflow.run(workflow)
    assert set(results(outcome).values()) <= {"success", "skipped"}
    assert run_workflow.stages == []
    assert not [call for call in run_workflow.calls if call.startswith("az ")]
    environment = "prod" if workflow == "monitor.yml" else "dev"
    assert f"::notice title={environment} is not connected to Azure%2C nothing to do::" in output(outcome)
    assert f"uv run mlops bootstrap --environment {environment}`, see docs/operate.md" in output(outcome)


@pytest.mark.parametrize("workflow", ON_AZURE)
def test_a_manual_run_without_azure_fails_with_the_remedy(run_workflow: GitHub, workflow: str) -> None:
    outcome = run_workflow.run(workflow, **BY_HAND)
    assert "failure" in results(outcome).values()
    assert run_workflow.stages == []
    assert "AZURE_CLIENT_ID, AZURE_TENANT_ID, AZURE_SUBSCRIPTION_ID are missing: run `uv run mlops" in output(outcome)


@pytest.mark.parametrize("workflow", ["infrastructure.yml", "train.yml"])
def test_a_forgotten_id_is_an_error_even_on_a_push(run_workflow: GitHub, workflow: str) -> None:
    outcome = run_workflow.run(workflow, vars=AZURE | {"AZURE_TENANT_ID": ""})
    assert "failure" in results(outcome).values()
    assert "AZURE_TENANT_ID is missing: run" in output(outcome)


# Infrastructure.


# Pull requests.


def test_a_pull_request_is_of_use_without_azure(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("pull-request.yml", **PULL_REQUEST)
    assert set(results(outcome).values()) == {"success"}, output(outcome)
    assert "| this model | 8.123 | 0.9 |" in run_workflow.comment
    assert "Plan" not in run_workflow.comment


# Setting up.


def test_terraform_is_installed_where_the_project_uses_it(runner: Path, github: Path, tmp_path: Path) -> None:
    outcome = GitHub(runner, github, tmp_path).run("pull-request.yml", vars=AZURE, **PULL_REQUEST)
    installing = {entry["job"] for entry in outcome["log"] if entry.get("uses") == "hashicorp/setup-terraform"}
    uses_it = (github.parent / "infrastructure" / "terraform").is_dir()
    assert installing == ({"infrastructure", "plan"} if uses_it else set())


# Teardown.


def test_a_teardown_is_requested_by_hand_and_waits_for_a_change_of_the_infrastructure(github: Path) -> None:
    document = yaml.safe_load((github / "workflows" / "teardown.yml").read_text(encoding="utf-8"))
    assert list(document[True]) == ["workflow_dispatch"]
    assert document[True]["workflow_dispatch"]["inputs"]["everything"]["default"] is False
    job = document["jobs"]["teardown"]
    assert job["concurrency"]["group"] == "infrastructure-${{ inputs.environment }}"
    assert job["environment"] == "${{ inputs.environment }}"


def test_a_teardown_without_azure_fails_with_the_remedy(run_workflow: GitHub) -> None:
    inputs = {"environment": "test", "everything": False}
    outcome = run_workflow.run("teardown.yml", inputs=inputs, github={"event_name": "workflow_dispatch"})
    assert results(outcome) == {"teardown": "failure"}
    assert run_workflow.stages == []
    assert "AZURE_CLIENT_ID" in output(outcome)


# Upkeep.

APP = {"TEMPLATE_APP_CLIENT_ID": "client"}


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
    complete: Path, runner: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet", "--bare", str(tmp_path / "o" / "r"))
    here = {"event_name": "push", "server_url": tmp_path.as_uri()}
    outcome = GitHub(runner, complete, tmp_path / "run").run("deploy-to-azure.yml", github=here, event=PUBLIC)
    assert results(outcome) == {"compile": "success", "publish": "success"}, output(outcome)
    published = tmp_path / "published"
    git(tmp_path, "clone", "--quiet", "--branch", "deploy-to-azure", str(tmp_path / "o" / "r"), str(published))
    files = {path.name for path in published.iterdir()} - {".git"}
    assert files == {"template.json", "uiFormDefinition.json", "README.md"}
    (link,) = re.findall(r"\((https://portal\S+)\)", (published / "README.md").read_text(encoding="utf-8"))
    raw = "https://raw.githubusercontent.com/o/r/deploy-to-azure"
    assert [unquote(part) for part in re.findall(r"(?:uri|uiFormDefinitionUri)/([^/]+)", link)] == [
        f"{raw}/template.json",
        f"{raw}/uiFormDefinition.json",
    ]


def test_a_second_template_replaces_the_first(complete: Path, runner: Path, tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--bare", str(tmp_path / "o" / "r"))
    for run in ("first", "second"):
        here = {"event_name": "push", "server_url": tmp_path.as_uri(), "sha": run}
        outcome = GitHub(runner, complete, tmp_path / run).run("deploy-to-azure.yml", github=here, event=PUBLIC)
        assert results(outcome)["publish"] == "success", output(outcome)
    history = git(tmp_path / "o" / "r", "log", "--format=%s", "deploy-to-azure")
    assert history.splitlines() == ["Template of second"]


def test_a_private_repository_keeps_the_template_and_says_why_there_is_no_button(run_workflow: GitHub) -> None:
    outcome = run_workflow.run("deploy-to-azure.yml", event=PRIVATE)
    assert results(outcome) == {"compile": "success", "publish": "skipped"}
    assert "::notice title=There is no button::The portal cannot read a private repository" in output(outcome)
    assert (run_workflow.work / "button" / "template.json").exists()
    assert not (run_workflow.work / "button" / "README.md").exists()


def test_the_template_is_compiled_by_a_fixed_release_of_bicep(run_workflow: GitHub) -> None:
    run_workflow.run("deploy-to-azure.yml", event=PUBLIC)
    install, build = [call for call in run_workflow.calls if call.startswith("az bicep ")]
    assert re.fullmatch(r"az bicep install --version v\d+\.\d+\.\d+", install)
    assert build.startswith("az bicep build ")


def test_a_template_that_does_not_compile_is_not_published(run_workflow: GitHub) -> None:
    template = run_workflow.work / "button" / "template.json"
    build = f"az bicep build --file infrastructure/bicep/main.bicep --outfile {template}"
    outcome = run_workflow.run("deploy-to-azure.yml", event=PUBLIC, fail=build)
    assert results(outcome) == {"compile": "failure", "publish": "skipped"}


def test_only_bicep_has_a_button_and_all_other_workflows_are_those_of_terraform(
    complete: Path, existing: Path, render: Render
) -> None:
    """So the steps are run in one of the two."""
    bicep, terraform = (
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (complete, render(infrastructure_version="terraform") / ".github")
    )
    button = Path("workflows", "deploy-to-azure.yml")
    assert bicep.pop(button)
    assert bicep == terraform
    assert not (existing / button).exists()


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
