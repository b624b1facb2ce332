"""Two projects in one repository: each has its own workflows, names and queues, and is updated by itself."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml
from combinations import EXISTING
from conftest import SUFFIX, Render, Run, commit_all, git, make_once
from github_workflows import (
    AZURE,
    BY_HAND,
    ON_SCHEDULE,
    PULL_REQUEST,
    GitHub,
    environments,
    machines,
    output,
    results,
)
from json_schemas import schema_errors
from test_update import conflicts, files, history, released, update
from test_workflows import language_service, runner, service, tool

pytestmark = pytest.mark.about(orchestration="github-actions")

__all__ = ["history", "released", "runner", "service"]  # fixtures

PROJECTS: dict[str, dict[str, str]] = {
    "flights": {},
    "teams/topics": {"project_name": "Topics", "project_type": "nlp", "infrastructure_version": "bicep"},
}
PREFIXES = {"flights": "flights", "teams/topics": "teams-topics"}


@pytest.fixture(scope="session")
def repository(render: Render, run_with_others: Run, shared_folder: Path) -> Path:
    """A repository of two projects, with a workflow and settings of its owner; read it, do not write to it."""

    def make(top: Path) -> None:
        (top / ".github" / "workflows").mkdir(parents=True)
        (top / ".github" / "workflows" / "own.yml").write_text(OWN, encoding="utf-8")
        (top / ".github" / "dependabot.yml").write_text(DEPENDABOT, encoding="utf-8")
        for folder, answers in PROJECTS.items():
            shutil.copytree(render(**answers), top / folder)
        commit_all(top, "two projects")
        for folder in PROJECTS:
            result = run_with_others(top / folder, "mlops.cli", "workflows")
            assert result.returncode == 0, result.stderr
        commit_all(top, "their workflows")

    return make_once(shared_folder / "monorepo" / "repository", make)


OWN = """name: Own
on: push
permissions: {}
concurrency: {group: own, cancel-in-progress: true}
jobs:
  own:
    name: Own
    runs-on: ubuntu-24.04
    timeout-minutes: 5
    permissions: {}
    steps:
      - run: "true"
"""
DEPENDABOT = """# the owner's
version: 2
updates:
- package-ecosystem: npm # a page
  directory: /page
  schedule:
    interval: weekly
  cooldown:
    default-days: 7
"""


@pytest.fixture
def monorepo(repository: Path, tmp_path: Path) -> Path:
    """A copy of it, which may be edited."""
    return shutil.copytree(repository, tmp_path / "repository", symlinks=True)


@pytest.fixture(params=PROJECTS)
def project(request: pytest.FixtureRequest, monorepo: Path) -> Path:
    """One of the two projects of a copy."""
    return monorepo / request.param


# GitHub reads the copies.


def test_the_linters_find_nothing(repository: Path) -> None:
    zizmor = ["zizmor", "--offline", "--persona", "pedantic", ".github"]
    for linter in (["actionlint", "-no-color", "-oneline"], zizmor):
        result = tool(*linter, cwd=repository)
        assert result.returncode == 0, result.stdout + result.stderr


def test_githubs_own_language_service_finds_nothing(service: Path, repository: Path) -> None:
    assert language_service(service, repository) == ""


def test_dependabot_and_pre_commit_read_the_parts_of_both_and_the_owners_own(repository: Path) -> None:
    file = repository / ".github" / "dependabot.yml"
    assert schema_errors("vendor.dependabot", [file]) == ""
    updates = yaml.safe_load(file.read_text(encoding="utf-8"))["updates"]
    folders = [each.get("directories") or [each["directory"]] for each in updates]
    assert folders == [
        ["/teams/topics/.github/workflows", "/teams/topics/.github/actions/setup"],
        ["/teams/topics"],
        ["/flights/.github/workflows", "/flights/.github/actions/setup"],
        ["/flights"],
        ["/page"],
    ]
    for folder in [folder for each in folders[:-1] for folder in each]:
        assert (repository / folder[1:]).is_dir()
    assert file.read_text(encoding="utf-8").startswith("# the owner's\n")
    hooks = yaml.safe_load((repository / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"]
    found = [hook for each in hooks for hook in each["hooks"]]
    assert len({hook["id"] for hook in found}) == len(found) == 8
    own = [hook for hook in found if hook["id"].startswith("flights-")]
    assert {hook["files"].partition("/")[0] for hook in own} == {"^flights"}
    assert {re.match(r"uv run --(project|directory) flights ", hook["entry"]) is not None for hook in own} == {True}


def of_project(top: Path, prefix: str) -> Iterator[tuple[Path, dict[Any, Any]]]:
    for path in sorted((top / ".github" / "workflows").glob("*.yml")):
        if path.name.startswith(f"{prefix}-"):
            yield path, yaml.safe_load(path.read_text(encoding="utf-8"))


def names(top: Path, prefix: str) -> dict[str, set[str]]:
    """What GitHub knows by name in a whole repository: an expression counts by what stands before it."""
    found: dict[str, set[str]] = {"workflow": set(), "group": set(), "environment": set(), "artifact": set()}
    found |= {"branch": set(), "runner": set()}
    for _, workflow in of_project(top, prefix):
        found["workflow"].add(workflow["name"])
        found["branch"].add((workflow.get("env") or {}).get("BRANCH", ""))
        for job in workflow["jobs"].values():
            for holder in (workflow, job):
                found["group"].add(str((holder.get("concurrency") or {}).get("group", "")).partition("$")[0])
            found["environment"].add(str(job.get("environment", "")))
            found["branch"].add(str((job.get("env") or {}).get("BRANCH", "")).partition("$")[0])
            found["runner"] |= set(re.findall(r"'\{0\}-([^{']*)", job.get("runs-on", "")))
            for step in job.get("steps", []):
                if "artifact@" in step.get("uses", ""):
                    found["artifact"].add(step["with"].get("name", ""))
    assert found["workflow"], f"no workflow of {prefix}"
    return {kind: each - {""} for kind, each in found.items()}


def test_no_name_queue_environment_artifact_branch_or_runner_is_that_of_both(repository: Path) -> None:
    one, other = (names(repository, prefix) for prefix in PREFIXES.values())
    for kind in one:
        assert one[kind] & other[kind] == set(), kind
    for prefix in PREFIXES.values():
        for kind, found in names(repository, prefix).items():
            assert {each for each in found if not each.startswith((f"{prefix}-", f"{prefix}: "))} == set(), kind


def test_two_projects_without_the_verb_would_share_all_of_them(repository: Path, tmp_path: Path) -> None:
    for folder, prefix in PREFIXES.items():
        (tmp_path / ".github" / "workflows").mkdir(parents=True, exist_ok=True)
        for path in (repository / folder / ".github" / "workflows").glob("*.yml"):
            shutil.copy2(path, tmp_path / ".github" / "workflows" / f"{prefix}-{path.name}")
    one, other = (names(tmp_path, prefix) for prefix in PREFIXES.values())
    assert {kind for kind in one if one[kind] & other[kind]} >= {"workflow", "group", "artifact", "branch"}


def matches(path: str, patterns: list[str]) -> bool:
    """Whether GitHub's filter lets a path through: the last pattern that fits decides."""
    decided = False
    for pattern in patterns:
        wanted = pattern.removeprefix("!")
        expression = re.escape(wanted).replace(r"\*\*", ".*").replace(r"\*", "[^/]*")
        if re.fullmatch(expression, path):
            decided = not pattern.startswith("!")
    return decided


def started(top: Path, event: str, path: str) -> set[str]:
    """The workflows that a change of one file starts."""
    found = set()
    for file in sorted((top / ".github" / "workflows").glob("*.yml")):
        events = yaml.safe_load(file.read_text(encoding="utf-8"))[True]
        if isinstance(events, dict) and event in events and matches(path, (events[event] or {}).get("paths", ["**"])):
            found.add(file.name)
    return found


@pytest.mark.parametrize(
    ("event", "path", "expected"),
    [
        ("push", "flights/data/raw/flights.csv", {"flights-pull-request.yml", "flights-train.yml"}),
        (
            "push",
            "flights/config/dev.yml",
            {"flights-pull-request.yml", "flights-train.yml", "flights-infrastructure.yml"},
        ),
        ("push", "flights/config/model.yml", {"flights-pull-request.yml", "flights-train.yml"}),
        ("push", "flights/uv.lock", {"flights-pull-request.yml", "flights-train.yml"}),
        ("pull_request", "flights/README.md", {"flights-pull-request.yml"}),
        ("pull_request", "teams/topics/config/prod.yml", {"teams-topics-pull-request.yml"}),
        (
            "push",
            "teams/topics/infrastructure/bicep/main.bicep",
            {"teams-topics-pull-request.yml", "teams-topics-infrastructure.yml", "teams-topics-deploy-to-azure.yml"},
        ),
        ("push", "page/index.html", set()),
        ("pull_request", "flights-old/README.md", set()),
    ],
)
def test_a_change_starts_the_workflows_of_its_project_alone(
    repository: Path, event: str, path: str, expected: set[str]
) -> None:
    assert started(repository, event, path) == expected


def test_every_job_works_in_the_folder_of_its_project(repository: Path) -> None:
    for folder, prefix in PREFIXES.items():
        for path, workflow in of_project(repository, prefix):
            for job in workflow["jobs"].values():
                steps = job.get("steps", [])
                code = any("checkout@" in step.get("uses", "") for step in steps)
                assert ((job.get("defaults") or {}).get("run", {}).get("working-directory") == folder) == code, path
                for step in steps if code else []:
                    if "artifact@" in step.get("uses", ""):
                        assert step["with"]["path"].startswith(f"{folder}/"), path
        action = repository / ".github" / "actions" / f"{prefix}-setup" / "action.yml"
        for step in yaml.safe_load(action.read_text(encoding="utf-8"))["runs"]["steps"]:
            if "run" in step:
                assert step["working-directory"] == folder, step
        looked_for = re.findall(r"hashFiles\('([^']+)'\)", action.read_text(encoding="utf-8"))
        assert looked_for
        assert all(each.startswith(f"{folder}/") for each in looked_for)


# The steps of the copies really run.


class Together(GitHub):
    """Runs the workflows at the top for one of the projects, whose folder it fills."""

    def __init__(self, runner: Path, repository: Path, folder: str, tmp_path: Path) -> None:
        super().__init__(runner, repository / folder / ".github", tmp_path)
        inner = self.work / folder
        inner.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(self.work, tmp_path / "moved")
        inner.parent.mkdir(parents=True)
        shutil.move(tmp_path / "moved", inner)
        (self.work / ".git").mkdir()
        self.github = repository / ".github"


@pytest.fixture(params=PROJECTS)
def together(request: pytest.FixtureRequest, runner: Path, repository: Path, tmp_path: Path) -> tuple[Together, str]:
    """The workflows of one of the two, and the prefix of its names."""
    return Together(runner, repository, request.param, tmp_path), PREFIXES[request.param]


def test_a_pull_request_is_checked_planned_and_commented_for_its_project(together: tuple[Together, str]) -> None:
    run_workflow, prefix = together
    outcome = run_workflow.run(f"{prefix}-pull-request.yml", vars=AZURE, **PULL_REQUEST)
    assert set(results(outcome).values()) == {"success"}, output(outcome)
    assert environments(outcome) == {"plan": f"{prefix}-dev-read"}
    (folder,) = [each for each, name in PREFIXES.items() if name == prefix]
    assert run_workflow.comment.startswith(f"<!-- mlops: {folder} -->\n## Model\n")
    assert "Plan: 42 to add" in run_workflow.comment


def test_an_alert_leads_through_the_environments_of_the_project(together: tuple[Together, str]) -> None:
    run_workflow, prefix = together
    outcome = run_workflow.run(f"{prefix}-monitor.yml", vars=AZURE | {"MLOPS_RUNNER": "ml"}, **ON_SCHEDULE)
    assert set(results(outcome).values()) == {"success"}, output(outcome)
    delivered = [f"{name}{kind}" for name in ("dev", "test", "prod") for kind in ("-read", "")]
    expected = ["prod-read", "dev", "dev-read", *delivered]
    assert list(environments(outcome).values()) == [f"{prefix}-{name}" for name in expected]
    assert set(machines(outcome).values()) == {f"ml-{prefix}-{name}" for name in ("dev", "test", "prod")}
    # The verbs know their environments by the names of the files in config/.
    assert "drift --environment prod" in run_workflow.verbs


@pytest.mark.parametrize(
    ("workflow", "context"),
    [("infrastructure", BY_HAND), ("rollback", BY_HAND), ("teardown", BY_HAND), ("freshness", ON_SCHEDULE)],
)
def test_the_other_workflows_run_too(together: tuple[Together, str], workflow: str, context: dict[str, Any]) -> None:
    run_workflow, prefix = together
    outcome = run_workflow.run(f"{prefix}-{workflow}.yml", vars=AZURE, **context)
    assert "failure" not in results(outcome).values(), output(outcome)


def test_the_pull_request_of_a_template_update_changes_the_project_and_its_copies(
    together: tuple[Together, str], tmp_path: Path
) -> None:
    run_workflow, prefix = together
    (folder,) = [each for each, name in PREFIXES.items() if name == prefix]
    work, remote = run_workflow.work, tmp_path / "remote"
    shutil.rmtree(work / ".git")
    git(tmp_path, "init", "--quiet", "--bare", str(remote))
    git(work, "init", "--quiet", "--initial-branch", "main")
    (work / folder / "README.md").write_text("old\n", encoding="utf-8")
    copy = f".github/workflows/{prefix}-train.yml"
    (work / copy).parent.mkdir(parents=True, exist_ok=True)
    (work / copy).write_text("old\n", encoding="utf-8")
    git(work, "add", f"{folder}/README.md", copy)
    git(work, "commit", "--quiet", "--message", "project")
    git(work, "remote", "add", "origin", str(remote))
    (work / folder / "README.md").write_text("new\n", encoding="utf-8")
    (work / copy).write_text("new\n", encoding="utf-8")
    (work / folder / "update").mkdir()
    (work / folder / "update" / "update.patch").write_text(git(work / folder, "diff"), encoding="utf-8")
    git(work, "checkout", "--quiet", ".")
    branch = f"{prefix}-template-update/v9.0.0"
    outcome = run_workflow.run(
        f"{prefix}-template-update.yml",
        vars={"TEMPLATE_APP_CLIENT_ID": "client"},
        secrets={"TEMPLATE_APP_PRIVATE_KEY": "key"},
        fail=f"gh pr view {branch}",
        outputs={"template-update": {"update": "true", "version": "v9.0.0", "clean": "true"}},
    )
    assert results(outcome)["pull-request"] == "success", output(outcome)
    for changed in (f"{folder}/README.md", copy):
        assert git(remote, "show", f"{branch}:{changed}") == "new\n"
    assert git(remote, "ls-tree", "-r", "--name-only", branch).split() == sorted([copy, f"{folder}/README.md"])


# The copies follow their sources.


def stale(project: Path, run: Run) -> list[str]:
    """What the lint says about the copies."""
    script = "from mlops import orchestration; from mlops.project import Project; p = Project.load()\n"
    script += "print(*orchestration.of(p).findings(p), sep='\\n')"
    result = run(project, "-c", script)
    assert result.returncode == 0, result.stderr
    return result.stdout.split("\n")[:-1] if result.stdout.strip() else []


def test_an_edit_of_a_workflow_is_stale_at_the_top_until_the_verb_runs_again(
    project: Path, run_with_others: Run
) -> None:
    top = next(folder for folder in project.parents if (folder / ".git").exists())
    prefix = PREFIXES[project.relative_to(top).as_posix()]
    assert stale(project, run_with_others) == []
    train = project / ".github" / "workflows" / "train.yml"
    train.write_text(train.read_text(encoding="utf-8").replace("23 3 * * 6", "24 3 * * 6"), encoding="utf-8")
    (project / ".github" / "workflows" / "rollback.yml").unlink()
    copies = [f".github/workflows/{prefix}-{name}.yml" for name in ("train", "rollback")]
    lines = stale(project, run_with_others)
    assert len(lines) == 2
    for line, copy in zip(lines, copies, strict=True):
        assert copy in line
        assert line.endswith("run `uv run mlops workflows`")
    lint = run_with_others(project, "mlops.cli", "lint")
    assert lint.returncode == 1
    assert copies[0] in lint.stdout
    result = run_with_others(project, "mlops.cli", "workflows")
    assert result.stdout.splitlines() == [f"wrote {copies[0]}", f"deleted {copies[1]}, whose source is gone"]
    assert stale(project, run_with_others) == []
    assert "24 3 * * 6" in (top / copies[0]).read_text(encoding="utf-8")
    assert not (top / copies[1]).exists()


def test_a_second_run_of_the_verb_changes_nothing(monorepo: Path, run_with_others: Run) -> None:
    for folder in [*PROJECTS, *PROJECTS]:
        result = run_with_others(monorepo / folder, "mlops.cli", "workflows")
        assert result.stdout == f"The copies of {folder}/.github at the top of the repository are up to date.\n"
    assert git(monorepo, "status", "--porcelain") == ""


def test_a_file_of_another_origin_is_not_overwritten(project: Path, run_with_others: Run) -> None:
    top = next(folder for folder in project.parents if (folder / ".git").exists())
    copy = top / ".github" / "workflows" / f"{PREFIXES[project.relative_to(top).as_posix()]}-train.yml"
    copy.write_text("name: mine\n", encoding="utf-8")
    result = run_with_others(project, "mlops.cli", "workflows")
    assert result.returncode == 1
    assert "-train.yml is not a copy of a file in" in result.stderr
    assert copy.read_text(encoding="utf-8") == "name: mine\n"


def test_a_project_that_is_its_repository_has_no_copies(render: Render, run_with_others: Run, tmp_path: Path) -> None:
    project = shutil.copytree(render(), tmp_path / "project")
    git(project, "init", "--quiet")
    before = files(project)
    result = run_with_others(project, "mlops.cli", "workflows")
    assert result.stdout == "The project is the top of its repository: GitHub reads its workflows where they are.\n"
    assert files(project) == before


def test_a_folder_whose_name_a_filter_would_misread_is_refused(
    render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet")
    project = shutil.copytree(render(), tmp_path / "my [project]")
    result = run_with_others(project, "mlops.cli", "workflows")
    assert result.returncode == 1
    assert result.stderr == (
        "error: the project's folder is my [project]: use letters, digits, '.', '-' and '_' alone in its name\n"
    )


def test_the_lint_of_a_project_without_copies_says_nothing_of_its_folder(
    render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet")
    project = shutil.copytree(render(), tmp_path / "Ablage für Modelle" / "flights")
    assert stale(project, run_with_others) == []


# Names in Azure.


def placed(top: Path, **projects: Path) -> None:
    """Put copies of renderings into folders of one repository."""
    (top / ".git").mkdir(parents=True)
    for folder, rendering in projects.items():
        shutil.copytree(rendering, top / folder)


def second(top: Path, run: Run) -> str:
    """What `mlops workflows` says in the second project after that of the first."""
    assert run(top / "one", "mlops.cli", "workflows").returncode == 0
    return run(top / "two", "mlops.cli", "workflows").stderr


AGAIN = "in Azure, too: before its bootstrap, create this project again with another project_name\n"


def test_a_second_project_of_the_same_name_is_refused_in_one_line(
    render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    placed(tmp_path, one=render(), two=render(name_suffix="d4e5f6"))
    assert second(tmp_path, run_with_others) == f"error: one has resource_group rg-flight-delays-dev {AGAIN}"
    assert list((tmp_path / ".github" / "workflows").glob("two-*")) == []


def test_names_that_become_the_same_later_are_a_finding_of_the_lint_of_both(
    monorepo: Path, run_with_others: Run
) -> None:
    theirs, own = (monorepo / folder / "config" / "prod.yml" for folder in PROJECTS)
    endpoint = yaml.safe_load(theirs.read_text(encoding="utf-8"))["names"]["online_endpoint"]
    text = own.read_text(encoding="utf-8")
    own.write_text(re.sub(r"(?m)^  online_endpoint: .*", f'  online_endpoint: "{endpoint}"', text), encoding="utf-8")
    for folder, other in zip(PROJECTS, reversed(PROJECTS), strict=True):
        (line,) = stale(monorepo / folder, run_with_others)
        assert line.endswith(f"config/prod.yml: names: {other} has online_endpoint {endpoint} {AGAIN.strip()}")
    theirs.write_text("names: [", encoding="utf-8")
    assert stale(monorepo / "teams/topics", run_with_others) == []


def test_projects_in_workspaces_of_another_owner_may_share_the_group_but_no_endpoint(
    render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    one, other = (render(**EXISTING, name_suffix=suffix) for suffix in (SUFFIX, "d4e5f6"))
    groups = {
        yaml.safe_load((each / "config/dev.yml").read_text("utf-8"))["names"]["resource_group"] for each in (one, other)
    }
    assert len(groups) == 1
    placed(tmp_path / "group", one=one, two=other)
    assert second(tmp_path / "group", run_with_others) == ""
    placed(tmp_path / "endpoint", one=one, two=one)
    refusal = second(tmp_path / "endpoint", run_with_others)
    assert refusal.startswith("error: one has online_endpoint flight-delays-")
    assert refusal.endswith(AGAIN)


# Updates, lint and the local loop.


def test_each_project_is_updated_by_itself(released: Path, run_with_others: Run, tmp_path: Path) -> None:
    template = shutil.copytree(released, tmp_path / "template", symlinks=True)
    top = tmp_path / "repository"
    for folder, answers in PROJECTS.items():
        data = {"name_suffix": SUFFIX} | answers
        copier.run_copy(str(template), top / folder, data=data, defaults=True, quiet=True, unsafe=True)
    commit_all(top, "two projects")
    for folder in PROJECTS:
        assert run_with_others(top / folder, "mlops.cli", "workflows").returncode == 0
    note = top / "flights" / "README.md"
    note.write_text("Mine.\n\n" + note.read_text(encoding="utf-8"), encoding="utf-8")
    commit_all(top, "their workflows, and an edit")
    train = template / "template" / ".github" / "workflows" / "train.yml"
    train.write_text(train.read_text(encoding="utf-8").replace("23 3 * * 6", "24 3 * * 6"), encoding="utf-8")
    (template / "template" / "docs" / "news.md").write_text("news\n", encoding="utf-8")
    commit_all(template, "second", tag="v1001.0.0")
    before = files(top / "teams/topics")
    update(top / "flights")
    assert conflicts(top) == []
    assert files(top / "teams/topics") == before
    assert (top / "flights/docs/news.md").exists()
    assert note.read_text(encoding="utf-8").startswith("Mine.\n\n")
    (line,) = stale(top / "flights", run_with_others)
    assert "flights-train.yml" in line
    assert stale(top / "teams/topics", run_with_others) == []
    assert run_with_others(top / "flights", "mlops.cli", "workflows").returncode == 0
    commit_all(top, "flights is of the new release")
    update(top / "teams/topics")
    assert (top / "teams/topics/docs/news.md").exists()
    assert git(top, "status", "--porcelain", "flights") == ""


def test_edits_of_files_that_moved_are_carried_in_a_folder_too(history: Path, tmp_path: Path) -> None:
    top = tmp_path / "repository"
    data = {"name_suffix": SUFFIX}
    options: dict[str, Any] = {"defaults": True, "quiet": True, "unsafe": True, "vcs_ref": "v0.3.0"}
    copier.run_copy(str(history), top / "flights", data=data, **options)
    (top / "README.md").write_text("two projects\n", encoding="utf-8")
    old = top / "flights" / "mlops" / "src" / "mlops" / "cli.py"
    old.write_text(old.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    commit_all(top, "an older project with an edit")
    update(top / "flights")
    assert not old.exists()
    assert (top / "flights/mlops/engine/src/mlops/cli.py").read_text(encoding="utf-8").rstrip().endswith("# mine")
    assert (top / "README.md").read_text(encoding="utf-8") == "two projects\n"


@pytest.mark.parametrize("folder", PROJECTS)
def test_the_lint_finds_nothing(repository: Path, run_with_others: Run, folder: str) -> None:
    result = run_with_others(repository / folder, "mlops.cli", "lint")
    assert (result.returncode, result.stdout) == (0, "No errors in configuration and definitions.\n"), result.stderr


def test_the_local_loop_of_one_is_green_and_leaves_nothing_at_the_top(monorepo: Path, run_with_others: Run) -> None:
    result = run_with_others(monorepo / "flights", "mlops.cli", "local", "--skip-lint")
    assert result.returncode == 0, result.stderr
    assert git(monorepo, "status", "--porcelain", "--", ":!*uv.lock") == ""
