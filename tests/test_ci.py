"""The CI of this repository on GitHub: its workflows are valid, run all tests, and call what there is."""

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from combinations import AXES, ROOT, questions, tools, with_add_ons
from conftest import Render
from real_tools import findings
from release_notes import notes
from test_workflows import check_pins, repository, tool

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
JOBS = {
    f"{path.name}: {name}": job
    for path in WORKFLOWS
    for name, job in yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].items()
}
PYTHON = sys.executable


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workflows as a repository of their own."""
    return repository(ROOT / ".github", tmp_path_factory.mktemp("checkout"))


def test_actionlint_and_zizmor_find_nothing(checkout: Path) -> None:
    result = tool("actionlint", "-no-color", "-oneline", cwd=checkout)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr
    result = tool("zizmor", "--offline", ".", cwd=checkout)
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_action_is_pinned_by_commit_with_its_release_beside_it() -> None:
    check_pins(ROOT / ".github")


def test_a_job_may_write_only_where_it_keeps_an_issue_or_makes_a_release() -> None:
    writing = {
        name: permissions
        for name, job in JOBS.items()
        if (permissions := {key for key, value in job.get("permissions", {}).items() if value == "write"})
    }
    assert writing == {
        "live.yml: live": {"id-token"},
        "nightly.yml: report": {"issues"},
        "release.yml: release": {"contents"},
    }
    assert JOBS["live.yml: live"]["environment"] == "live", "its approval and its branches are set there"


def test_every_job_ends_by_itself() -> None:
    assert [name for name, job in JOBS.items() if not ("uses" in job or 0 < job["timeout-minutes"] <= 240)] == []


def test_the_parts_of_the_tests_are_all_of_them_and_each_test_is_in_one() -> None:
    parts = JOBS["ci.yml: test"]["strategy"]["matrix"]["part"]
    commands = {part: dry_run(f"test-{part}") for part in parts}
    for mark in ("big", "year", "failures"):
        command = commands.pop(mark)
        assert f"-m {mark} " in command
        texts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("test_*.py")}
        marked = {name for name, text in texts.items() if f"pytest.mark.{mark}" in text}
        assert set(re.findall(r"tests/(test_\w+\.py)", command)) == marked != set()
    files: dict[str, list[str]] = {}
    for command in commands.values():
        assert '-m "not big and not year and not failures"' in command
        words = re.search(r'-k "(.*?)"', command)
        for name in re.findall(r"tests/test_\w+\.py", command):
            files.setdefault(name, []).append(words[1] if words else "True")
    assert set(files) == {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").glob("test_*.py")}
    for name, chosen in files.items():
        for cv, nlp in ((True, True), (True, False), (False, True), (False, False)):
            count = sum(eval(words, {"cv": cv, "nlp": nlp}) for words in chosen)
            assert count == 1, f"{name}: {chosen}"


def test_what_a_workflow_makes_is_in_the_makefile() -> None:
    for path in WORKFLOWS:
        for target in re.findall(r"(?:run: |^ *)make (?:-\S+ )*([a-z]+)", path.read_text(encoding="utf-8"), re.M):
            assert dry_run(target), f"{path.name}: make {target}"
    for script in re.findall(r"\btests/\w+\.py", "".join(path.read_text(encoding="utf-8") for path in WORKFLOWS)):
        assert (ROOT / script).exists(), script


def dry_run(target: str) -> str:
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_live_workflow_and_the_tools_offer_the_menu() -> None:
    trigger = yaml.safe_load((ROOT / ".github" / "workflows" / "live.yml").read_text(encoding="utf-8"))[True]
    inputs = trigger["workflow_dispatch"]["inputs"]
    for axis in ("project_type", "mlops_version"):
        assert inputs[axis.replace("_", "-")]["options"] == list(questions()[axis]["choices"].values())
    assert (
        inputs["infrastructure"]["options"] == tools() == JOBS["ci.yml: infrastructure"]["strategy"]["matrix"]["tool"]
    )
    named = " ".join(step.get("run", "") for step in JOBS["live.yml: live"]["steps"])
    assert set(re.findall(r"--data \"?(\w+)=", named)) <= set(questions())


# The scripts.


def test_the_notes_of_a_release_are_those_of_its_tag(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.10.0"\n', encoding="utf-8")
    text = "# Changelog\n\n## v0.10.0 (2026-11-29)\n\nNew.\n\n### You must do\n\n- It.\n\n## v0.1.0\n\nOld.\n"
    (tmp_path / "CHANGELOG.md").write_text(text, encoding="utf-8")
    assert notes("v0.10.0", tmp_path) == "New.\n\n### You must do\n\n- It."


@pytest.mark.parametrize(
    ("tag", "text", "said"),
    [
        ("v0.1.0", "## v0.1.0\n\nOld.\n", "tag its commit v0.10.0"),
        ("v0.10.0", "## v0.1.0\n\nOld.\n", "no notes under `## v0.10.0`"),
        ("v0.10.0", "## v0.10.0\n\n## v0.1.0\n\nOld.\n", "no notes under `## v0.10.0`"),
        ("v0.10.0", "## v0.10.01\n\nNew.\n", "no notes under `## v0.10.0`"),
    ],
)
def test_a_tag_on_the_wrong_commit_makes_no_release(tmp_path: Path, tag: str, text: str, said: str) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nversion = "0.10.0"\n', encoding="utf-8")
    (tmp_path / "CHANGELOG.md").write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit, match=said):
        notes(tag, tmp_path)


PROGRAM = """#!{python}
import json, os, sys
name = os.path.basename(sys.argv[0])
line = " ".join([name, *sys.argv[1:]])
with open({log!r}, "a") as log:
    log.write(line + "\\n")
answers = {{
    "az account show": {{"id": "SUB", "user": {{"type": "servicePrincipal"}}}},
    "az account get-access-token": {{"accessToken": "x.eyJvaWQiOiAiT0lEIn0.y"}},
}}
for start, answer in answers.items():
    if line.startswith(start):
        print(json.dumps(answer))
if os.environ.get("FAILS", "nothing") in line:
    print("infrastructure/main.bicep(1,2) : Error BCP001", file=sys.stderr)
    sys.exit(1)
print(os.environ.get("SAYS", "") if "lint" in line else "")
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins that log how they were called."""
    log, folder = tmp_path / "log.txt", tmp_path / "programs"
    folder.mkdir()
    log.touch()
    for name in ("uv", "az", "terraform"):
        program = folder / name
        program.write_text(PROGRAM.format(python=PYTHON, log=str(log)), encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return log


def run_live(project: Path, *options: str) -> subprocess.CompletedProcess:
    command = [PYTHON, str(ROOT / "tests" / "live.py"), str(project), *options]
    return subprocess.run(command, capture_output=True, text=True)


VERBS = ["provision", "train", "models", "deliver", "smoke-test", "deliver"]


def test_live_builds_trains_serves_scores_and_deletes(render: Render, programs: Path) -> None:
    done = run_live(render(infrastructure_version="bicep"))
    assert done.returncode == 0, done.stderr
    verbs = [line.split()[3] for line in programs.read_text(encoding="utf-8").splitlines()]
    assert verbs == [*VERBS, "teardown"]


def test_live_keeps_terraforms_state_as_closed_as_bootstrap_does_and_deletes_it(render: Render, programs: Path) -> None:
    assert run_live(render(infrastructure_version="terraform")).returncode == 0
    lines = [line for line in programs.read_text(encoding="utf-8").splitlines() if " account " not in line[:11]]
    assert [" ".join(line.split()[:3]) for line in lines[:4]] == [
        "az group create",
        "az storage account",
        "az role assignment",
        "az storage container",
    ]
    assert "--allow-shared-key-access false" in lines[1]
    assert "--assignee-object-id OID" in lines[2]
    assert lines[-1].startswith("az group delete")


@pytest.mark.parametrize("failing", VERBS)
def test_live_deletes_what_it_built_whatever_fails(
    render: Render, programs: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    monkeypatch.setenv("FAILS", f"mlops {failing}")
    done = run_live(render(infrastructure_version="bicep"))
    assert done.returncode == 1
    assert f"error: `uv run mlops {failing}" in done.stderr
    lines = programs.read_text(encoding="utf-8").splitlines()
    assert [line.split()[3] for line in lines] == [*VERBS[: VERBS.index(failing) + 1], "teardown"]


def test_live_says_what_may_be_left_when_deleting_fails(
    render: Render, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "teardown")
    done = run_live(render(infrastructure_version="terraform"))
    assert done.returncode == 1
    assert "may be left and be billed: run `uv run mlops teardown --environment dev --all --yes`" in done.stderr
    assert programs.read_text(encoding="utf-8").splitlines()[-1].startswith("az group delete")


def test_live_keeps_everything_on_request(render: Render, programs: Path) -> None:
    assert run_live(render(infrastructure_version="bicep"), "--keep").returncode == 0
    assert "teardown" not in programs.read_text(encoding="utf-8")


def test_one_version_of_bicep_runs_here_and_in_projects() -> None:
    """The one that was seen to compile everything without a warning; an older one may lack a type."""
    folders = (ROOT / ".github", ROOT / "template" / ".github", ROOT / "template" / ".azuredevops")
    texts = [path.read_text(encoding="utf-8") for folder in folders for path in folder.rglob("*.yml")]
    assert re.findall(r"az bicep install --version (\S+)", "".join(texts)) == ["v0.49.2"] * 6
    steps = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))["jobs"]["test"]["steps"]
    [install] = [step for step in steps if "az bicep" in step.get("run", "")]
    assert (install["if"], "GITHUB_PATH" in install["run"]) == ("matrix.part == 'infrastructure'", True)
    assert (
        "test_bicep_snapshot" in (ROOT / "Makefile").read_text(encoding="utf-8").split("PART_infrastructure")[1][:400]
    )


@pytest.mark.parametrize("add_on", [[], ["model-registry"]])
def test_the_real_tools_read_every_module(render: Render, programs: Path, add_on: list[str]) -> None:
    for name in tools():
        assert findings(name, render(**with_add_ons(*add_on, infrastructure_version=name))) == []
    lines = programs.read_text(encoding="utf-8").splitlines()
    # The registry is a root module of its own.
    assert [lines.count(f"terraform {verb}") for verb in ("validate", "test")] == [1 + len(add_on)] * 2
    assert lines.count("az bicep lint --file main.bicep") == 1
    built = {line.split()[4] for line in lines if line.startswith("az bicep build --file")}
    folder = render(**with_add_ons(*add_on, infrastructure_version="bicep")) / "infrastructure" / "bicep"
    assert built == {path.relative_to(folder).as_posix() for path in folder.rglob("*.bicep")}


@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [
        ("terraform", "FAILS", "terraform validate"),
        ("bicep", "FAILS", "bicep build --file main.bicep"),
        ("bicep", "SAYS", "main.bicep(1,2) : Warning no-unused-params"),
    ],
)
def test_what_a_real_tool_finds_is_an_error(
    render: Render, programs: Path, monkeypatch: pytest.MonkeyPatch, name: str, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert findings(name, render(infrastructure_version=name))


COLLECT = """
import os, sys
import pytest

modules = ["tests/test_engine.py", "tests/test_render.py", "tests/test_pipelines.py"]
folder, *parts = sys.argv[1:]
for only in parts:
    os.environ["ONLY"] = only
    pytest.main(["--collect-only", "-q", f"--basetemp={folder}", *modules])
    print("COLLECTED")
"""


def collected(folder: Path, *only: str) -> subprocess.CompletedProcess:
    """The tests of some modules that `make test ONLY=...` runs, of each part of the menu, one after the other."""
    command = [sys.executable, "-c", COLLECT, str(folder), *only]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_part_of_the_menu_is_tested_without_what_is_about_the_rest(tmp_path: Path) -> None:
    both = collected(tmp_path, "", "project_type=classical orchestration=github-actions").stdout
    everything, part, _ = both.split("COLLECTED\n")
    for name in ("azure_devops_run]", "test_pipelines.py", "[cv-", "[nlp-", "distributed_training["):
        assert name in everything
        assert name not in part
    for name in (
        "-bootstrap]",
        "[python-sdk-v1-",
        "[rai-aml-cli-v2-",
        "[classical-python-sdk-v2-github-actions-bicep]",
    ):
        assert name in part


def test_a_part_of_the_menu_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    first = f"ERROR: ONLY has type=cv: expected one of {', '.join(AXES)} before the =\n\n"
    second = "ERROR: ONLY has 'vc' for project_type: expected classical, cv, nlp\n\n"
    assert collected(tmp_path, "type=cv", "project_type=classical,vc").stderr == first + second
