"""Azure Pipelines of a rendered project: the schema, the rules beyond it, and the same pipelines as on GitHub."""

import itertools
import json
import pickle
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from azure_pipelines import AzureRuns
from azure_runs import REASONS, PipelineRun
from azure_templates import ALL_ENVIRONMENTS, PipelineError, connections, expanded, jobs, name_of, script, steps
from combinations import EXISTING, combinations
from combinations import tools as infrastructures
from conftest import Render, Run, answers_of, git, make_once, refused_commands
from github_workflows import expand
from json_schemas import schema_errors
from pipeline_rules import FEWER_ENVIRONMENTS, choices, every_choice, findings, has_findings
from pipeline_table import TABLE, azure_pipeline, azure_scripts, commands, github_pipeline, github_scripts
from workflow_runs import HASH, OUTPUTS, delivery

ON_AZURE = {"orchestration": "azure-devops"}
pytestmark = pytest.mark.about(**ON_AZURE)


@pytest.fixture(scope="session", params=[*infrastructures(), "existing"])
def built(request: pytest.FixtureRequest, render: Render) -> Path:
    """A project on Azure DevOps with each infrastructure."""
    answers = EXISTING if request.param == "existing" else {"infrastructure_version": request.param}
    return render(**ON_AZURE, **answers)


@pytest.fixture(scope="session")
def azure(render: Render) -> Path:
    """A project on Azure DevOps."""
    return render(**ON_AZURE)


@pytest.fixture(scope="session")
def github(render: Render) -> Path:
    """The same project on GitHub."""
    return render(orchestration="github-actions")


@pytest.fixture
def pipelines(azure: Path, tmp_path: Path) -> AzureRuns:
    return AzureRuns(azure, tmp_path)


def files(project: Path) -> list[Path]:
    return sorted((project / ".azuredevops").glob("*.yml"))


# Each rendering.


def test_the_pipelines_of_each_combination_keep_all_rules(project: Path, tmp_path: Path) -> None:
    if answers_of(project)["orchestration"] != "azure-devops":
        pytest.skip("this project has another orchestration")
    assert len(files(project)) == len(TABLE)
    # With the same name for all, there are four of them.
    shutil.copytree(project / ".azuredevops", tmp_path / ".azuredevops")
    names = tmp_path / ".azuredevops" / "templates" / "names.yml"
    text, slug = names.read_text(encoding="utf-8"), answers_of(project)["project_slug"]
    assert f"value: {slug}\n" in text
    names.write_text(text.replace(slug, "flight-delays"), encoding="utf-8")
    assert list(findings(tmp_path)) == []


def test_there_are_24_combinations_with_azure_devops() -> None:
    assert len([each for each in combinations() if each["orchestration"] == "azure-devops"]) == 24


def test_pipelines_differ_in_the_names_and_answers_of_one_file_alone(render: Render) -> None:
    text = {
        **{tool: render(**ON_AZURE, infrastructure_version=tool) for tool in infrastructures()},
        "sdk": render(**ON_AZURE, mlops_version="python-sdk-v2"),
        "name": render(**ON_AZURE, project_name="Other Thing"),
        "type": render(**ON_AZURE, project_type="cv"),
    }
    found = [
        {path.relative_to(each).as_posix(): path.read_text("utf-8") for path in (each / ".azuredevops").rglob("*.*")}
        for each in text.values()
    ]
    for other in found[1:]:
        assert {name for name in found[0] if found[0][name] != other.get(name)} == {".azuredevops/templates/names.yml"}


def test_a_project_has_the_pipelines_of_its_own_system_alone(azure: Path, github: Path) -> None:
    assert not (azure / ".github").exists()
    assert not (github / ".azuredevops").exists()


# The schema, with every value of each parameter.


def as_strings(node: Any) -> Any:
    """A pipeline as the schema wants it: numbers and some booleans as texts, where Azure DevOps takes either."""
    if isinstance(node, dict):
        words = ("always", "persistCredentials")
        return {key: str(value).lower() if key in words else as_strings(value) for key, value in node.items()}
    if isinstance(node, list):
        return [as_strings(value) for value in node]
    return str(node) if isinstance(node, int | float) and not isinstance(node, bool) else node


def check_schema(documents: dict[str, dict[str, Any]], folder: Path) -> str:
    """What the published schema says about expanded pipelines."""
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(as_strings(document)), encoding="utf-8")
    return schema_errors("vendor.azure-pipelines", folder.glob("*.json"), "--regex-variant", "nonunicode")


def parts_of(document: dict[str, Any]) -> tuple[list[Any], list[list[Any]]]:
    """The stages or jobs of a pipeline, and the steps of each job."""
    (key,) = document.keys() & {"stages", "jobs"}
    return document[key], [steps(job) for _, job in jobs(document)]


def each_part_once(documents: Iterable[dict[str, Any]], known: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
    """One pipeline that has each stage, job and step of several: the schema judges each of them for itself.

    Those of pipelines that are known to be right are left out, but for one where there must be one.
    """
    first, *others = (json.loads(json.dumps(each)) for each in documents)
    (parts,) = first.keys() & {"stages", "jobs"}
    seen: set[str] = set()

    def is_new(part: dict[str, Any]) -> bool:
        text = json.dumps(part)
        return text not in seen and not seen.add(text)  # type: ignore[func-returns-value]

    for each in known:
        outer, inner = parts_of(each)
        seen |= {json.dumps(part) for part in itertools.chain(outer, *inner)}
    for other in others:
        assert {**other, parts: []} == {**first, parts: []}
        first[parts] += other[parts]
    first[parts] = list(filter(is_new, first[parts])) or first[parts][:1]
    for own in parts_of(first)[1]:
        own[:] = list(filter(is_new, own)) or own[:1]
    return first


def test_pipelines_match_the_published_schema_with_every_value_of_their_parameters(built: Path, tmp_path: Path) -> None:
    documents = {
        file.stem: [expanded(file, values) for values in choices(yaml.safe_load(file.read_text(encoding="utf-8")))]
        + [expanded(file, environments=few) | {"variables": expanded(file)["variables"]} for few in FEWER_ENVIRONMENTS]
        for file in files(built)
    }
    assert sum(map(len, documents.values())) > 20
    said = check_schema({name: each_part_once(each) for name, each in documents.items()}, tmp_path)
    assert said == "", said[-3000:]


def test_the_schema_sees_a_key_that_no_job_has(azure: Path, tmp_path: Path) -> None:
    usual, document = (expanded(azure / ".azuredevops" / "train.yml") for _ in range(2))
    document["stages"][0]["jobs"][0]["timeoutMinutes"] = 60
    assert "Schema validation errors" in check_schema({"train": each_part_once([usual, document])}, tmp_path)


def test_another_checker_expands_the_same_and_finds_nothing(built: Path, tools: Path, tmp_path: Path) -> None:
    paths = files(built)
    for listed in ("dev prod", ALL_ENVIRONMENTS):
        paths += files(with_environments(built, tmp_path / listed, listed))
    command = [sys.executable, "-c", OTHER, str(tools), *map(str, paths)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert found == [[[], json.loads(json.dumps(expanded(file, environments="")))] for file in paths]


def with_environments(project: Path, folder: Path, listed: str) -> Path:
    """The pipelines of a project, in another folder, where a model may go to other environments."""
    shutil.copytree(project / ".azuredevops", folder / ".azuredevops")
    names = folder / ".azuredevops" / "templates" / "names.yml"
    text = names.read_text(encoding="utf-8")
    text, times = re.subn(r"(- name: environments\n    value: ).*", rf"\g<1>{listed}", text)
    assert times == 1
    names.write_text(text, encoding="utf-8")
    return folder


OTHER = """
import json, sys
import yaml
yaml.SafeLoader = yaml.CSafeLoader
sys.path.insert(0, sys.argv[1])
import azp_check
found = []
for file in sys.argv[2:]:
    checker = azp_check.Expander()
    document = checker.pipeline(file, {})
    azp_check.check(document, checker.errs)
    found.append([checker.errs, document])
print(json.dumps(found))
"""


# The same as on GitHub.


@pytest.mark.parametrize("pipeline", TABLE)
@pytest.mark.parametrize("find", [azure_pipeline, github_pipeline])
def test_both_systems_have_the_pipelines_of_one_table(
    pipeline: str, find: Callable[[Path, str], Any], azure: Path, github: Path
) -> None:
    found = find(azure if find is azure_pipeline else github, pipeline)
    assert found == TABLE[pipeline]


def test_the_table_has_every_pipeline_of_both_systems(azure: Path, github: Path) -> None:
    assert {file.stem for file in files(azure)} == set(TABLE)
    workflows = {file.stem for file in (github / ".github" / "workflows").glob("*.yml")}
    # One is called by another, which Azure Pipelines have as a template.
    assert workflows - {"deliver-environment"} == set(TABLE)


@pytest.mark.parametrize("pipeline", TABLE)
def test_both_systems_call_the_same_verbs_with_the_same_options(pipeline: str, azure: Path, github: Path) -> None:
    file = azure / ".azuredevops" / f"{pipeline}.yml"
    mine = {
        command
        for values in every_choice(yaml.safe_load(file.read_text(encoding="utf-8")))
        for _, job in jobs(expanded(file, values))
        for command in commands(azure_scripts(job))
    }
    theirs = expand(github / ".github", f"{pipeline}.yml")["jobs"].values()
    assert mine == {command for job in theirs for command in commands(github_scripts(job))}


PINS = {
    "Terraform": (r"terraform_version: (\S+)", r"VERSION: ([\d.]+)"),
    "Bicep": (r"az bicep install --version (\S+)", r"az bicep install --version (\S+)"),
    "the ml extension": (r"--name ml --version (\S+)", r"--name ml --version (\S+)"),
    "the image": (r"'(ubuntu-\d\S+)'", r"vmImage: (\S+)"),
}


def pins(github: Path, azure: Path) -> dict[str, tuple[set[str], set[str]]]:
    """The releases of each tool that both systems install."""
    github_text, azure_text = [
        "\n".join(path.read_text(encoding="utf-8") for path in folder.rglob("*.yml"))
        for folder in (github / ".github", azure / ".azuredevops")
    ]
    return {
        tool: (set(re.findall(one, github_text)), set(re.findall(other, azure_text)))
        for tool, (one, other) in PINS.items()
    }


@pytest.mark.parametrize("tool", PINS)
def test_both_systems_have_the_same_release_of(tool: str, azure: Path, github: Path) -> None:
    one, other = pins(github, azure)[tool]
    assert len(one) == 1
    assert one == other


def test_uv_is_a_fixed_release_with_hashes(azure: Path) -> None:
    text = (azure / ".azuredevops" / "uv.txt").read_text(encoding="utf-8")
    (release, *others) = re.findall(r"^[^#\s]\S*", text, flags=re.MULTILINE)
    assert re.fullmatch(r"uv==\d+\.\d+\.\d+", release)
    assert not others
    assert len(re.findall(r"--hash=sha256:[0-9a-f]{64}\b", text)) == 2  # for both kinds of machine


# Scripts.


def scripts(project: Path) -> dict[str, str]:
    """Each script of the pipelines, by what is shown for it."""
    return {
        f"{file.stem}: {step['displayName']}": script(step)
        for file in files(project)
        for _, job in jobs(expanded(file))
        for step in steps(job)
        if script(step)
    }


def test_shellcheck_finds_nothing_in_the_scripts(built: Path, tmp_path: Path) -> None:
    program = shutil.which("shellcheck", path=str(Path(sys.executable).parent))
    assert program
    for number, text in enumerate(sorted(set(scripts(built).values()))):
        # The agent puts values where a script has $(one).
        (tmp_path / f"{number}.sh").write_text(f"#!/bin/bash\n{text}\n", encoding="utf-8")
    result = subprocess.run([program, *tmp_path.glob("*.sh")], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_pipelines_call_verbs_that_exist_with_options_that_exist(azure: Path, run_with_others: Run) -> None:
    examples = {"ENVIRONMENT": "dev", "MODEL_VERSION": "7", "SHA256": HASH, "OPTION": "--force", "JOB": "x"}
    examples |= {
        "JOBS": "{}",
        "CONFIRM": "dev",
        "OVERRIDES": "training.seed=7",
        "UNPIN": "--unpin",
        "BAD": "6",
        "EXPECTED": "5",
    }
    found = [re.sub(r"\$\{\w+:\+([^}]*)\}", r"\1", each) for each in commands(list(scripts(azure).values()))]
    found = [re.sub(r'"\$(\w+)"', lambda match: examples[match[1]], each).strip() for each in found]
    assert {"lint", "local", "deliver --environment dev --abort"} <= set(found)
    assert refused_commands(azure, run_with_others, set(found)) == ""


# What Azure DevOps alone does.


def test_a_training_that_is_run_again_waits_for_the_job_that_was_started(pipelines: AzureRuns) -> None:
    verbs = []
    for attempt in (1, 2):
        pipelines.run("train", "push", attempt=attempt)
        verbs += [verb for verb in pipelines.work.verbs if verb.startswith("train ")]
    assert verbs[0] == verbs[1] == "train --environment dev --overrides  --job flight-delays-20"


def named(document: dict[str, Any]) -> set[str]:
    """The environments whose connections a pipeline names, whether it would reach them or not."""
    found = {each.removesuffix("-read") for _, job in jobs(document) for each in connections(job)}
    return {each.removeprefix("flight-delays-") for each in found}


@pytest.mark.parametrize("listed", [*FEWER_ENVIRONMENTS, ALL_ENVIRONMENTS])
def test_what_no_person_asked_for_is_not_named_before_bootstrap_has_made_it(azure: Path, listed: str) -> None:
    for file in files(azure):
        for reason in REASONS.values():
            assert named(expanded(file, reason=reason, environments=listed)) <= set(listed.split()), file.stem
    assert named(expanded(azure / ".azuredevops" / "train.yml", environments=listed)) == set(listed.split())


def test_a_new_project_names_dev_alone(azure: Path) -> None:
    assert [named(expanded(file, environments="")) for file in files(azure) if file.stem == "train"] == [{"dev"}]


@pytest.mark.parametrize("pipeline", ["deliver", "monitor", "rollback"])
def test_a_run_for_an_environment_that_the_pipelines_do_not_name_says_what_to_do(
    pipeline: str, pipelines: AzureRuns
) -> None:
    outcome = pipelines.run(pipeline, inputs={"environment": "prod"}, environments="dev test")
    assert outcome.results == {"connected": "failure"}
    assert (
        "prod is not connected to Azure: it is not in `environments` of .azuredevops/templates/names.yml: run `uv run "
        "mlops bootstrap --environment prod`, then write `dev prod` as `environments` into "
        ".azuredevops/templates/names.yml, in a pull request, see docs/operate.md\n"
    ) in outcome.log
    assert pipelines.work.verbs == ["connected --environment prod --required"]


def test_the_daily_look_has_nothing_to_do_before_prod_is_there(pipelines: AzureRuns) -> None:
    outcome = pipelines.run("monitor", "schedule", environments="dev")
    assert outcome.results == {"connected": "success"}
    assert pipelines.work.verbs == ["connected --environment prod"]


def test_a_rollback_waits_for_no_delivery(azure: Path) -> None:
    locks = {
        job["environment"]
        for name in ("deliver", "rollback")
        for _, job in jobs(expanded(azure / ".azuredevops" / f"{name}.yml", {"environment": "prod"}))
        if "environment" in job
    }
    assert {"flight-delays-prod", "flight-delays-prod-rollback"} <= locks


def test_terraform_signs_in_with_the_connection_of_its_task_alone(pipelines: AzureRuns, tmp_path: Path) -> None:
    names = ["ARM_CLIENT_ID", "ARM_TENANT_ID", "ARM_SUBSCRIPTION_ID", "ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID"]
    names += ["ARM_USE_OIDC", "SYSTEM_ACCESSTOKEN", "SYSTEM_OIDCREQUESTURI"]
    (pipelines.work.programs / "az").write_text("#!/bin/sh\necho subscription\n", encoding="utf-8")
    uv = pipelines.work.programs / "uv"
    shown = "".join(f'echo "{name}=${name}" >> {tmp_path}/found\n' for name in names)
    uv.write_text(f'#!/bin/sh\ncase "$3" in provision)\n{shown};; esac\n', encoding="utf-8")
    pipelines.run("infrastructure")
    assert (tmp_path / "found").read_text(encoding="utf-8").splitlines() == [
        "ARM_CLIENT_ID=id",
        "ARM_TENANT_ID=id",
        "ARM_SUBSCRIPTION_ID=subscription",
        "ARM_ADO_PIPELINE_SERVICE_CONNECTION_ID=flight-delays-dev-read",
        "ARM_USE_OIDC=true",
        "SYSTEM_ACCESSTOKEN=secret-token",
        "SYSTEM_OIDCREQUESTURI=https://dev.azure.com/oidc",
    ]


def test_terraform_is_installed_where_the_project_uses_it(built: Path, tmp_path: Path) -> None:
    runs = AzureRuns(built, tmp_path)
    runs.run("pull-request", "pull request")
    downloads = [call for call in runs.work.calls if call.startswith("curl ")]
    checks = [call for call in runs.work.calls if call.startswith("sha256sum ")]
    uses_it = (built / "infrastructure" / "terraform").is_dir()
    assert len(downloads) == len(checks) == (2 if uses_it else 0)


def test_a_tool_whose_hash_is_another_one_is_not_used(pipelines: AzureRuns) -> None:
    outcome = pipelines.run("infrastructure", fail="sha256sum --check --quiet")
    assert outcome.results["plan"] == "failure"
    assert not [call for call in pipelines.work.calls if call.startswith("unzip ")]
    assert pipelines.work.verbs == []


def test_what_was_not_written_stops_no_comment(pipelines: AzureRuns) -> None:
    outcome = pipelines.run("pull-request", "pull request", fail="uv run ruff check")
    assert (outcome.results["project"], outcome.results["comment"]) == ("failure", "success")
    assert "Plan: 42" in pipelines.work.comment
    assert "## Model" not in pipelines.work.comment


def test_a_comment_without_any_result_names_what_failed(pipelines: AzureRuns) -> None:
    document = expanded(pipelines.pipelines / "pull-request.yml", reason="PullRequest")
    for _, job in jobs(document):
        steps(job)[:] = [step for step in steps(job) if "publish" not in step]
    pipelines.work.prepare("uv run mypy", {})
    pipelines.merge()
    outcome = pipelines.outcome(pipelines.machines.run(document, "pull request"))
    assert outcome.results["comment"] == "success", outcome.log
    assert "| project | Failed |" in pipelines.work.comment
    assert "Nothing was measured." in pipelines.work.comment


def test_the_code_that_comments_is_that_of_the_target_branch(pipelines: AzureRuns) -> None:
    pipelines.run("pull-request", "pull request")
    merge, target = git(pipelines.work.work, "log", "--all", "--reflog", "--format=%H").split()[:2]
    assert git(pipelines.work.work, "rev-parse", "HEAD").strip() in (merge, target)
    assert git(pipelines.work.work, "rev-parse", "--abbrev-ref", "HEAD").strip() == "HEAD"


# Each step that fails, or in which the run is cancelled.

STARTED = {
    "deliver": "manual",
    "infrastructure": "push",
    "monitor": "schedule",
    "pull-request": "pull request",
    "rollback": "manual",
    "teardown": "manual",
    "train": "push",
    "freshness": "schedule",
    "template-update": "schedule",
}
CLEAN = {"update": "true", "version": "v9.0.0", "clean": "true"}
NEW = {"provision": {"train": "true"}, "template-update": CLEAN}


def broken_runs(
    runs: AzureRuns, pipeline: str, ending: str
) -> Iterator[tuple[dict[str, Any], dict[str, Any], PipelineRun]]:
    """Each job of a pipeline and each step of it that runs when all is well, with the run in which that one is broken.

    Stages that a pipeline shares with another one are run there.
    """
    uv = runs.work.programs / "uv"
    text = uv.read_text(encoding="utf-8")
    assert "own() {" in text
    uv.write_text(text.replace("own() {", "own() {\n  return"), encoding="utf-8")  # no verb really runs
    event = STARTED[pipeline]
    document = expanded(runs.pipelines / f"{pipeline}.yml", reason=REASONS[event])
    shared = {"monitor": ("drift", "train"), "infrastructure": ("plan", "apply"), "train": ("train",)}
    for stage, job in jobs(document):
        if stage["stage"] not in shared.get(pipeline, (stage["stage"],)):
            continue
        prepare(runs, event)
        before = runs.machines.run(document, event, until=job)
        artifacts = shutil.copytree(runs.machines.artifacts, runs.work.folder / "before" / name_of(job))
        for step in steps(job):
            if step.get("name") == "undo" or "download" in step:
                continue
            prepare(runs, event)
            yield job, step, runs.machines.branch_off(before, artifacts, step, ending)


def prepare(runs: AzureRuns, event: str) -> None:
    """Forget what was called and downloaded."""
    shutil.rmtree(runs.work.work / "results", ignore_errors=True)
    runs.work.prepare("", NEW)
    if event == "pull request":
        runs.merge()


@pytest.mark.parametrize("ending", ["Failed", "Canceled"])
@pytest.mark.parametrize("stage", ["train", "test"])
def test_a_stage_that_is_run_again_has_what_the_others_handed_on_and_delivers(
    stage: str, ending: str, pipelines: AzureRuns
) -> None:
    trained_before = {"train": OUTPUTS["train"] | {"started": "false"}} if stage == "train" else {}
    pipelines.work.prepare("", trained_before)
    document = pipelines.document("train", "schedule")
    (job,) = [job for _, job in jobs(document) if name_of(job) == stage]
    (last,) = [step for step in steps(job) if step.get("name") in ("train", "deliver")]
    run = pipelines.machines.run(document, "schedule", broken=last, ending=ending)
    assert run.stage_results[stage] == ending
    assert run.stage_results["prod"] == "Skipped"
    pipelines.machines.run_failed_jobs_again(run)
    assert set(run.stage_results.values()) == {"Succeeded"}
    verbs = [
        verb for verb in pipelines.work.verbs if not verb.startswith(("approval", "lint")) and "--abort" not in verb
    ]
    assert len(verbs) == len(set(verbs)), "what had succeeded was run again"


@pytest.mark.parametrize("ending", ["Failed", "Canceled"])
@pytest.mark.parametrize("pipeline", TABLE)
def test_a_step_that_fails_or_is_cancelled_lets_nothing_be_changed_after_it(
    pipeline: str, ending: str, pipelines: AzureRuns, tmp_path: Path
) -> None:
    number = 0
    if pipeline == "template-update":
        updated(pipelines, tmp_path)
    for job, step, run in broken_runs(pipelines, pipeline, ending):
        number += 1
        where = f"{name_of(job)}: {step['displayName']}"
        results = {stage or name: each.result for (stage, name), each in run.runs.items()}
        expected = "SucceededWithIssues" if step.get("continueOnError") and ending == "Failed" else ending
        assert results[name_of(job)] == expected, where
        # A comment says what failed; nothing else comes after a failure.
        after = [name for name, stage in TABLE[pipeline].stages.items() if name_of(job) in stage.after]
        allowed = {"comment"} if ending == "Failed" else set()
        if expected != "SucceededWithIssues":
            assert {results[name] for name in after if name not in allowed} <= {"Skipped"}, where
        # What had not begun is not undone.
        assert not [verb for verb in pipelines.work.verbs if "--abort" in verb], where
    assert number > 3


BRANCH = "template-update/flight-delays-v9.0.0"


def updated(pipelines: AzureRuns, folder: Path, branch: str = "") -> Path:
    """A repository with a change that an update has written, and perhaps with a branch that has it already."""
    work, remote = pipelines.work.work, folder / "remote"
    git(folder, "init", "--quiet", "--bare", str(remote))
    git(work, "init", "--quiet", "--initial-branch", "main")
    (work / "README.md").write_text("old\n", encoding="utf-8")
    git(work, "add", "README.md")
    git(work, "commit", "--quiet", "--message", "project")
    git(work, "remote", "add", "origin", str(remote))
    if branch:
        git(work, "push", "--quiet", "origin", f"main:{branch}")
    (work / "README.md").write_text("new\n", encoding="utf-8")
    (work / "update").mkdir()
    (work / "update" / "update.patch").write_text(git(work, "diff"), encoding="utf-8")
    git(work, "checkout", "--quiet", ".")
    return remote


@pytest.mark.parametrize(
    ("decided", "opened"),
    [
        (CLEAN, True),
        (CLEAN | {"clean": "false"}, False),
        ({"update": "false", "version": "v8.0.0", "clean": "false"}, False),
    ],
    ids=["update", "conflicts", "no update"],
)
def test_an_update_without_conflicts_becomes_a_pull_request(
    pipelines: AzureRuns, tmp_path: Path, decided: dict[str, str], opened: bool
) -> None:
    remote = updated(pipelines, tmp_path)
    outcome = pipelines.run("template-update", "schedule", outputs={"template-update": decided})
    assert outcome.results["pull_request"] == ("success" if opened else "skipped"), outcome.log
    created = [call for call in pipelines.work.calls if call.startswith("az repos pr create ")]
    assert len(created) == opened
    branches = git(remote, "branch", "--list", "--format", "%(refname:short)").split()
    assert branches == ([BRANCH] if opened else [])
    if opened:
        assert f"--source-branch {BRANCH}" in created[0]
        assert git(remote, "show", f"{BRANCH}:README.md") == "new\n"
        assert git(remote, "ls-tree", "--name-only", BRANCH).split() == ["README.md"]


def test_a_branch_with_an_update_keeps_what_was_pushed_to_it_since(pipelines: AzureRuns, tmp_path: Path) -> None:
    remote = updated(pipelines, tmp_path, BRANCH)
    outcome = pipelines.run("template-update", "schedule", outputs={"template-update": CLEAN})
    assert outcome.results["pull_request"] == "success", outcome.log
    assert git(remote, "show", f"{BRANCH}:README.md") == "old\n"


def test_a_second_pull_request_is_not_opened(pipelines: AzureRuns, tmp_path: Path) -> None:
    updated(pipelines, tmp_path, BRANCH)
    az = pipelines.work.programs / "az"
    listed = 'case "$*" in "repos pr list "*) echo 7;; esac\n'
    az.write_text(az.read_text(encoding="utf-8") + listed, encoding="utf-8")
    outcome = pipelines.run("template-update", "schedule", outputs={"template-update": CLEAN})
    assert outcome.results["pull_request"] == "success", outcome.log
    assert not [call for call in pipelines.work.calls if call.startswith("az repos pr create ")]


# Seeded errors.

SEEDS = yaml.safe_load(Path(__file__).with_name("pipeline_seeds.yml").read_text(encoding="utf-8"))

RUNS: list[dict[str, Any]] = [
    {"pipeline": "deliver"},
    {"pipeline": "deliver", "inputs": {"environment": "test", "option": "--hold"}},
    {"pipeline": "deliver", "inputs": {"environment": "dev", "option": "--pin"}},
    {"pipeline": "deliver", "inputs": {"environment": "prod", "model-version": "7", "sha256": "f" * 64}},
    {"pipeline": "deliver", "inputs": {"environment": "prod", "model-version": "7"}},
    {"pipeline": "deliver", "outputs": {"look-dev": {"deliver": "false", "delivered": "false", "next": ""}}},
    {"pipeline": "deliver", "fail": f"uv run mlops {delivery('dev')[-1]}"},
    {"pipeline": "deliver", "fail": f"uv run mlops {delivery('prod')[1]}"},
    {"pipeline": "deliver", "cancel": f"uv run mlops {delivery('test')[-1]}"},
    {"pipeline": "train", "event": "schedule", "outputs": {"train": OUTPUTS["train"] | {"started": "false"}}},
    {
        "pipeline": "train",
        "event": "schedule",
        "outputs": {"train": OUTPUTS["train"] | {"started": "false"}},
        "attempt": 2,
    },
    {"pipeline": "monitor", "event": "schedule", "outputs": {"drift": {"retrain": "false", "job": ""}}},
    {"pipeline": "monitor", "event": "schedule", "environments": "dev"},
    {"pipeline": "rollback", "network": "ml"},
    {"pipeline": "infrastructure"},
    {"pipeline": "infrastructure", "event": "push"},
    {"pipeline": "teardown", "inputs": {"everything": True, "confirm": "dev"}, "network": "ml"},
    {"pipeline": "pull-request", "event": "pull request"},
    {"pipeline": "pull-request", "event": "pull request", "fail": "uv run mypy"},
    {"pipeline": "pull-request", "event": "fork"},
    {"pipeline": "freshness"},
    {"pipeline": "freshness", "fail": "uv run mlops freshness --file freshness/issue.md"},
    {"pipeline": "template-update", "outputs": {"template-update": CLEAN | {"clean": "false"}}},
]


def ran(runs: AzureRuns, run: dict[str, Any]) -> object:
    """What a run did, to be compared."""
    outcome = runs.run(**run)
    calls = [call.replace(str(runs.work.folder), "") for call in runs.work.calls]
    return outcome.results, outcome.identities, outcome.machines, calls


def document(runs: AzureRuns, run: dict[str, Any]) -> dict[str, Any]:
    """What a run runs."""
    asked = ("pipeline", "event", "inputs", "network", "environments")
    return runs.document(**{key: value for key, value in run.items() if key in asked})


@pytest.fixture(scope="session")
def usual(azure: Path, shared_folder: Path) -> list[tuple[dict[str, Any], object]]:
    """What the runs run, and do, without an error."""

    def make(folder: Path) -> None:
        found = []
        for number, run in enumerate(RUNS):
            (folder / str(number)).mkdir(parents=True)
            runs = AzureRuns(azure, folder / str(number))
            found.append((document(runs, run), ran(runs, run)))
        (folder / "found.pickle").write_bytes(pickle.dumps(found))

    folder = make_once(shared_folder / "usual-runs", make)
    known: list[tuple[dict[str, Any], object]] = pickle.loads((folder / "found.pickle").read_bytes())
    return known


def noticed(project: Path, azure: Path, github: Path, usual: list[tuple[dict[str, Any], object]], folder: Path) -> str:
    """What notices an error, the quickest first; empty if nothing does."""
    if has_findings(project):
        return "a rule"
    if any(azure_pipeline(project, name) != TABLE[name] for name in TABLE):
        return "the table"
    if any(one != other for one, other in pins(github, project).values()):
        return "the releases of tools"
    (folder / "schema").mkdir()
    right = {file.stem: expanded(file) for file in files(azure)}  # test_pipelines_match_the_published_schema
    found = {file.stem: expanded(file) for file in files(project)}
    new = {name: each_part_once([each], right.values()) for name, each in found.items() if each != right.get(name)}
    if new and check_schema(new, folder / "schema"):
        return "the schema"
    for number, (run, (known, expected)) in enumerate(zip(RUNS, usual, strict=True)):
        (folder / str(number)).mkdir()
        runs = AzureRuns(project, folder / str(number))
        try:
            if document(runs, run) != known and ran(runs, run) != expected:
                return "a run"
        except PipelineError:
            return "a run"
    return ""


def test_a_run_is_the_same_in_another_folder(
    azure: Path, usual: list[tuple[dict[str, Any], object]], tmp_path: Path
) -> None:
    """The first of each pipeline, and those with a network."""
    first = {run["pipeline"]: number for number, run in reversed([*enumerate(RUNS)])}
    for number in {*first.values(), *(number for number, run in enumerate(RUNS) if "network" in run)}:
        (tmp_path / str(number)).mkdir()
        assert ran(AzureRuns(azure, tmp_path / str(number)), RUNS[number]) == usual[number][1]


@pytest.mark.parametrize("title", SEEDS)
def test_an_error_is_noticed(
    title: str,
    azure: Path,
    github: Path,
    usual: list[tuple[dict[str, Any], object]],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for path in azure.iterdir():
        if path.name == ".azuredevops":
            shutil.copytree(path, project / path.name)
        else:
            (project / path.name).symlink_to(path)
    seed = SEEDS[title]
    file = project / ".azuredevops" / seed["file"]
    text = file.read_text(encoding="utf-8")
    assert text.count(seed["old"]) == 1, f"{seed['file']} has it {text.count(seed['old'])} times"
    file.write_text(text.replace(seed["old"], seed["new"]), encoding="utf-8")
    assert noticed(project, azure, github, usual, tmp_path_factory.mktemp("seed"))
