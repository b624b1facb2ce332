"""`copier update`: an untouched project equals a fresh copy, edits survive, nothing is lost without a word.

`pytest tests/test_update.py -k every_edit -rP` prints what became of the edits of each release.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import copier
import pytest
import yaml
from combinations import EXISTING, ROOT, add_ons, questions, with_add_ons
from conftest import SUFFIX, Run, commit_all, connect, copy_template, git, make_once, short_hash

# What a generated project reads its own configuration with.
sys.path.insert(0, str(ROOT / "template" / "mlops" / "engine" / "src"))
from mlops import config

RELEASES = yaml.safe_load((ROOT / "releases.yml").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def released(shared_folder: Path) -> Path:
    """The template, released as v1000.0.0; read it, do not write to it."""

    def make(repository: Path) -> None:
        commit_all(copy_template(repository), "first", tag="v1000.0.0")
        git(repository, "repack", "-adq")  # a clone links each file of a repository

    return make_once(shared_folder / "released" / "template", make)


@pytest.fixture
def template(released: Path, tmp_path: Path) -> Path:
    """A copy of it, which is free to evolve."""
    return shutil.copytree(released, tmp_path / "template", symlinks=True)


@pytest.fixture(scope="session")
def quick_command(shared_folder: Path) -> Iterator[list[str]]:
    """What runs quick_copier.py in a fork of a process that has imported Copier, which takes half a second."""
    python, address = Path(sys.executable), shared_folder / "residents" / "copier.socket"
    with connect(python, address, dict(os.environ)):
        yield [str(python), "-IS", str(ROOT / "tests" / "fork.py"), str(address), "quick_copier"]


def new_project(template: Path, destination: Path, **answers: Any) -> Path:
    data = {"name_suffix": SUFFIX} | answers
    copier.run_copy(str(template), destination, data=data, defaults=True, quiet=True, unsafe=True)
    commit_all(destination, "new project")
    return destination


def untouched(template: Path, **answers: Any) -> Path:
    """A new project of a template that several tests share; read it, do not write to it."""
    return make_once(
        template.parent / f"fresh-{short_hash(answers)}", lambda folder: new_project(template, folder, **answers)
    )


def untouched_copy(template: Path, destination: Path, **answers: Any) -> Path:
    """A copy of that, which may be edited."""
    return shutil.copytree(untouched(template, **answers), destination, symlinks=True)


def update(project: Path, **options: Any) -> None:
    copier.run_update(project, defaults=True, overwrite=True, quiet=True, unsafe=True, **options)


def files(folder: Path) -> dict[str, bytes]:
    """Every file but Git's own, by relative path."""
    found = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def different(folder: Path, other: Path) -> set[str]:
    """The files that are not the same in both, or only in one of them."""
    mine, theirs = files(folder), files(other)
    return {name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name)}


def answers(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / ".copier-answers.yml").read_text(encoding="utf-8"))


def conflicts(project: Path) -> list[str]:
    return [
        line for line in git(project, "status", "--porcelain").splitlines() if line.startswith(("UU", "AA", "DU", "UD"))
    ]


def test_a_new_release_reaches_an_untouched_project_and_equals_a_fresh_copy(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project")
    (template / "template" / "docs" / "news.md").write_text("news\n", encoding="utf-8")
    (template / "template" / ".pre-commit-config.yaml").unlink()
    commit_all(template, "second", tag="v1001.0.0")
    update(project)
    fresh = new_project(template, tmp_path / "fresh")
    assert files(project) == files(fresh)
    assert "docs/news.md" in files(project)
    assert ".pre-commit-config.yaml" not in files(project)
    assert answers(project)["_commit"] == "v1001.0.0"


def shipped_settings(template: Path) -> Path:
    """The settings of the project type that `new_project` chooses."""
    (found,) = [path for path in template.rglob("model.yml.jinja") if "'classical'" in path.as_posix()]
    return found


def test_the_users_edits_survive_next_to_the_releases(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project")
    schema, settings = project / "data" / "schema.yml", project / "config" / "model.yml"
    schema.write_text("# mine\n" + schema.read_text(encoding="utf-8"), encoding="utf-8")
    (project / "data-science" / "mine.py").write_text("print('mine')\n", encoding="utf-8")
    commit_all(project, "my edits")
    shipped = shipped_settings(template)
    shipped.write_text(shipped.read_text(encoding="utf-8") + "# from the release\n", encoding="utf-8")
    commit_all(template, "second", tag="v1001.0.0")
    update(project)
    assert schema.read_text(encoding="utf-8").startswith("# mine\n")
    assert (project / "data-science" / "mine.py").exists()
    assert "# from the release" in settings.read_text(encoding="utf-8")
    assert conflicts(project) == []


def test_an_edit_of_the_same_line_is_a_visible_conflict(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project")
    for path, word in (
        (project / "config" / "model.yml", "mine"),
        (shipped_settings(template), "theirs"),
    ):
        _, rest = path.read_text(encoding="utf-8").split("\n", 1)
        path.write_text(f"# {word}\n{rest}", encoding="utf-8")
    commit_all(project, "my edit")
    commit_all(template, "second", tag="v1001.0.0")
    update(project)
    merged = (project / "config" / "model.yml").read_text(encoding="utf-8")
    assert "# mine" in merged
    assert "# theirs" in merged
    assert conflicts(project) == ["UU config/model.yml"]


def test_deployed_names_stay_when_a_release_changes_the_formula(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project")
    before = answers(project)["resource_names"]
    formula = template / "extensions" / "naming.py"
    formula.write_text(formula.read_text(encoding="utf-8").replace('f"st{compact', 'f"sa{compact'), encoding="utf-8")
    commit_all(template, "second", tag="v1001.0.0")
    update(project)
    assert answers(project)["resource_names"] == before
    assert "staflight" not in (project / "config" / "dev.yml").read_text(encoding="utf-8")


STRICTER = {
    "a stricter check": (
        "extensions/naming.py",
        ('location_error = _error(r"', 'location_error = _error(r"(?!uk)'),
        {"location": "uksouth"},
        {"location": "northeurope"},
        ('"uksouth" any more (Use a name like westeurope.)', '"westeurope"'),
    ),
    "a choice less": (
        "copier.yml",
        ('    "Data lake (Storage with a hierarchical namespace) as a second datastore": data-lake\n', ""),
        {"add_ons": ["monitoring", "data-lake"]},
        {"add_ons": ["monitoring"]},
        ('["monitoring", "data-lake"] any more (Invalid choice for ', "[]"),
    ),
    "a name that is never asked": (
        "extensions/naming.py",
        ('suffix_error = _error(r"', 'suffix_error = _error(r"(?!q1)'),
        {"name_suffix": "q1w2e3"},
        {"name_suffix": "w2e3r4"},
        ('"q1w2e3" any more (Use 6 of a-z and 0-9.)', '"'),
    ),
}
"""What a release changes in which file, the answer that it refuses then, one that it takes, and what is said."""


@pytest.mark.parametrize("case", STRICTER.values(), ids=STRICTER)
def test_an_answer_that_the_new_release_refuses_stops_the_update_before_it_begins(
    case: tuple[str, tuple[str, str], dict[str, Any], dict[str, Any], tuple[str, str]],
    template: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Copier would take the default, without a word: another region, other names, an add-on less."""
    name, (old, new), recorded, chosen, said = case
    project = new_project(template, tmp_path / "project", **recorded)
    text = (template / name).read_text(encoding="utf-8")
    assert old in text
    (template / name).write_text(text.replace(old, new), encoding="utf-8")
    commit_all(template, "second", tag="v1001.0.0")
    before = files(project)
    with pytest.raises(copier.errors.TaskError):
        update(project)
    [line] = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    [question] = recorded
    assert line.startswith(f"error: this release does not take your answer {question}: {said[0]}")
    assert f") and would use {said[1]}" in line
    assert line.endswith(f"add --data '{question}=ANSWER' with one that it takes, or stay at v1000.0.0")
    assert files(project) == before
    assert git(project, "status", "--porcelain") == ""

    update(project, data=chosen)
    assert answers(project)["_commit"] == "v1001.0.0"
    assert {**answers(project), **chosen} == answers(project)
    assert {key for key, value in answers(project).items() if answers_of(before).get(key) != value} <= {
        "_commit",
        question,
    }


REQUIRED = """\
cost_center:
  type: str
  help: Which cost center pays?
  validator: "[% if not cost_center.isdigit() %]A number.[% endif %]"

payer:
  type: str
  help: Which department?
  choices: {Research: research, Sales: sales}
  default: "[[ UNSET ]]"

payers_budget:
  type: str
  default: "[[ {'research': 1, 'sales': 2}[payer] ]]"

"""


@pytest.mark.parametrize("way", ["defaults", "a terminal", "data"])
def test_a_question_without_a_default_keeps_no_refused_answer_from_being_seen(
    way: str, template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], asked: dict[str, Any]
) -> None:
    project = new_project(template, tmp_path / "project", location="uksouth")
    for name, (old, new) in {
        "copier.yml": ("project_name:\n", f"{REQUIRED}project_name:\n"),
        "extensions/naming.py": STRICTER["a stricter check"][1],
    }.items():
        text = (template / name).read_text(encoding="utf-8")
        (template / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    commit_all(template, "second", tag="v1001.0.0")
    before = files(project)
    data = {"cost_center": "4711", "payer": "sales"} if way == "data" else {}
    with pytest.raises(copier.errors.TaskError):
        copier.run_update(project, data, defaults=way != "a terminal", overwrite=True, quiet=True, unsafe=True)
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    *missing, refused = lines
    assert refused.startswith('error: this release does not take your answer location: "uksouth" any more (')
    assert missing == [
        f"error: this release asks for {name}, which has no default: add --data '{name}=ANSWER', or update without "
        "--defaults"
        for name in ("cost_center", "payer")
        if way == "defaults"
    ]
    assert files(project) == before
    assert git(project, "status", "--porcelain") == ""
    if way == "data":
        update(project, data=data | {"location": "northeurope"})
        assert answers(project).items() >= (data | {"payers_budget": "2", "location": "northeurope"}).items()


def test_a_refused_answer_to_a_question_without_a_default_is_named(
    template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = new_project(template, tmp_path / "project", **EXISTING)
    naming = template / "extensions" / "naming.py"
    text = naming.read_text(encoding="utf-8")
    naming.write_text(text.replace('registry_error = _error(r"', 'registry_error = _error(r"(?!mlr)'), encoding="utf-8")
    commit_all(template, "second", tag="v1001.0.0")
    with pytest.raises(copier.errors.TaskError):
        update(project)
    assert [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")] == [
        'error: this release does not take your answer existing_registry: "mlr-shared" any more (Use 3-33 letters, '
        "digits, -_) and has no other: add --data 'existing_registry=ANSWER' with one that it takes, or stay at "
        "v1000.0.0"
    ]
    assert git(project, "status", "--porcelain") == ""


def answers_of(project: dict[str, bytes]) -> dict[str, Any]:
    return yaml.safe_load(project[".copier-answers.yml"])


def test_an_answer_that_is_not_asked_any_more_is_none_that_is_refused(released: Path, tmp_path: Path) -> None:
    project = untouched_copy(released, tmp_path / "project", add_ons=["gpu-cluster"])
    assert "gpu_vm_size" in answers(project)
    update(project, data={"add_ons": []}, vcs_ref=copier.VcsRef.CURRENT)
    assert "gpu_vm_size" not in answers(project)


def test_a_new_answer_that_is_refused_is_one_line_and_leaves_the_project_as_it_is(
    released: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = untouched_copy(released, tmp_path / "project")
    with pytest.raises(copier.errors.TaskError):
        update(project, data={"location": "West Europe"}, vcs_ref=copier.VcsRef.CURRENT)
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert errors == ["error: Validation error for question 'location': Use a name like westeurope."]
    assert git(project, "status", "--porcelain") == ""


def test_another_project_name_changes_only_what_people_read(released: Path, tmp_path: Path) -> None:
    project = untouched_copy(released, tmp_path / "project")
    before = files(project)
    update(project, data={"project_name": "Late Trains"}, vcs_ref=copier.VcsRef.CURRENT)
    changed = {name for name, content in files(project).items() if before.get(name) != content}
    assert changed == {".copier-answers.yml", "README.md", "pyproject.toml"}
    assert answers(project)["resource_names"] == yaml.safe_load(before[".copier-answers.yml"])["resource_names"]


def test_a_changed_answer_is_an_update_too(released: Path, tmp_path: Path) -> None:
    project = untouched_copy(released, tmp_path / "project")
    update(project, data={"location": "northeurope"}, vcs_ref=copier.VcsRef.CURRENT)
    assert "location: northeurope" in (project / "config" / "dev.yml").read_text(encoding="utf-8").replace('"', "")
    assert conflicts(project) == []


VERSIONS = list(questions()["mlops_version"]["choices"].values())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A person at a terminal who takes what each question suggests; what was asked, with the suggestion."""
    seen: dict[str, Any] = {}

    def prompt(structure: list[dict[str, Any]], answers: dict[str, Any]) -> dict[str, Any]:
        if structure[0]["when"](answers):
            seen.update(answers)
        return answers

    monkeypatch.setattr("copier._main.unsafe_prompt", prompt)
    return seen


QUICK, ALWAYS = {"questions": "few"}, ["project_type", "project_name"]
LATER = {
    "orchestration": "azure-devops",
    "azure_devops_organisation": "acme",
    "location": "northeurope",
    "mlops_version": "python-sdk-v2",
    "add_ons": ["monitoring"],
}


@pytest.mark.parametrize(("data", "more"), [({}, []), ({"project_type": "nlp"}, ["nlp_task"])], ids=["tables", "texts"])
def test_the_quick_path_asks_for_a_type_and_a_name_that_the_folder_suggests(
    released: Path, tmp_path: Path, asked: dict[str, Any], data: dict[str, str], more: list[str]
) -> None:
    given = QUICK | data
    copier.run_copy(str(released), tmp_path / "churn-model", data=given, quiet=True, unsafe=True)
    assert asked.keys() == {*ALWAYS, *more} - given.keys()
    assert asked["project_name"] == "Churn Model"
    assert (tmp_path / "churn-model" / "data-science" / "src" / "churn_model" / "train.py").exists()


def test_what_the_quick_path_does_not_ask_has_its_default(released: Path, tmp_path: Path) -> None:
    quick, usual = untouched(released, **QUICK), untouched(released)
    assert different(quick, usual) == {".copier-answers.yml", "pyproject.toml", "README.md"}
    assert answers(quick) == answers(usual) | QUICK


def test_the_open_questions_are_asked_later_and_the_result_equals_a_fresh_copy(
    released: Path, tmp_path: Path, asked: dict[str, Any]
) -> None:
    """By the data of an answer here, and each of the others by the person, who is shown what the project has."""
    project = untouched_copy(released, tmp_path / "project", **QUICK)
    mine = project / "config" / "model.yml"
    mine.write_text("# mine\n" + mine.read_text(encoding="utf-8"), encoding="utf-8")
    (project / "notes.md").write_text("mine\n", encoding="utf-8")
    commit_all(project, "my edits")
    data = {"questions": "all"} | LATER
    copier.run_update(project, data=data, overwrite=True, quiet=True, unsafe=True)
    always_there = {name for name, each in questions().items() if each.get("ask") is not False and "when" not in each}
    assert always_there - data.keys() <= asked.keys()
    assert asked["azure_devops_repository"] == "flight-delays"
    assert asked["project_name"] == "Flight Delays"
    fresh = untouched(released, **data)
    assert different(project, fresh) == {"config/model.yml", "notes.md"}
    assert mine.read_text(encoding="utf-8").startswith("# mine\n")
    assert answers(project) == answers(fresh)
    assert conflicts(project) == []


def test_the_quick_path_forgets_no_answer_that_was_given(released: Path, tmp_path: Path) -> None:
    """Neither one that is given with it, nor those of a project that goes back to it, nor in an update."""
    given = {"infrastructure_version": "bicep", "location": "northeurope"}
    early = untouched_copy(released, tmp_path / "early", **QUICK, **given)
    update(early)
    assert answers(early).items() >= given.items()
    late = untouched_copy(released, tmp_path / "late", **given)
    update(late, data=QUICK)
    assert different(early, late) == set()


def test_an_update_by_defaults_leaves_the_open_questions_open(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project", **QUICK)
    (template / "template" / "docs" / "news.md").write_text("news\n", encoding="utf-8")
    commit_all(template, "second", tag="v1001.0.0")
    update(project)
    assert answers(project)["questions"] == "few"
    assert 'questions = "few"' in (project / "pyproject.toml").read_text(encoding="utf-8")


def round_trip(versions: list[str]) -> list[str]:
    """Go from the first version to each other one and back, and around the others.

    Whether a file comes, goes or changes depends on whether it is in the old version and in the new one: each does all
    of it between its version and the first.
    """
    first, *others = versions
    visits = [version for other in others[:-1] for version in (first, other)]
    return [*visits, first, others[-1], *others, first]


def test_another_mlops_version_is_an_update_and_equals_a_fresh_copy(released: Path, tmp_path: Path) -> None:
    path = round_trip(VERSIONS)
    pairs = set(pairwise(path))
    assert pairs >= {pair for other in VERSIONS[1:] for pair in ((VERSIONS[0], other), (other, VERSIONS[0]))}
    fresh = {version: untouched(released, mlops_version=version) for version in VERSIONS}
    project = untouched_copy(released, tmp_path / "project", mlops_version=path[0])
    for old, new in pairwise(path):
        update(project, data={"mlops_version": new}, vcs_ref=copier.VcsRef.CURRENT)
        assert conflicts(project) == []
        assert files(project) == files(fresh[new]), f"{old} to {new}"
        commit_all(project, new)


def test_another_task_of_texts_is_an_update_and_equals_a_fresh_copy(released: Path, tmp_path: Path) -> None:
    texts = {"project_type": "nlp", "project_name": "Some Texts"}
    project = untouched_copy(released, tmp_path / "project", **texts)
    for task in ("summarization", "classification"):
        update(project, data={"nlp_task": task}, vcs_ref=copier.VcsRef.CURRENT)
        assert conflicts(project) == []
        assert files(project) == files(untouched(released, nlp_task=task, **texts))
        commit_all(project, task)


PRIVATE, DAILY = "private-network", "user-with-compute-instance"
SWITCHES: dict[str, list[dict[str, Any]]] = {
    "from Terraform to Bicep and back": [{"infrastructure_version": "bicep"}, {"infrastructure_version": "terraform"}],
    "add-ons in Terraform": [with_add_ons(PRIVATE), with_add_ons(*add_ons()), with_add_ons(DAILY), with_add_ons()],
    "add-ons in Bicep": [
        {"infrastructure_version": "bicep"},
        with_add_ons("monitoring", "gpu-cluster"),
        with_add_ons(*add_ons()),
        with_add_ons(),
    ],
    "add-ons and another tool at once": [
        with_add_ons(*add_ons()),
        with_add_ons("data-lake", infrastructure_version="bicep"),
    ],
    "to existing workspaces and back": [EXISTING, {"infrastructure_version": "terraform"}],
    "from add-ons to existing workspaces": [with_add_ons(*add_ons()), EXISTING],
    "from GitHub to Azure DevOps and back": [{"orchestration": "azure-devops"}, {"orchestration": "github-actions"}],
    "to Azure DevOps and Bicep at once": [{"orchestration": "azure-devops", "infrastructure_version": "bicep"}],
}


@pytest.mark.parametrize("steps", SWITCHES.values(), ids=SWITCHES)
def test_another_infrastructure_or_orchestration_is_an_update_and_equals_a_fresh_copy(
    steps: list[dict[str, Any]], released: Path, tmp_path: Path
) -> None:
    project = untouched_copy(released, tmp_path / "project")
    given: dict[str, Any] = {}
    for number, step in enumerate(steps):
        # Questions about what the project builds are not asked then.
        given = step if step == EXISTING else given | step
        update(project, data=step, vcs_ref=copier.VcsRef.CURRENT)
        assert conflicts(project) == []
        fresh = untouched(released, **given)
        assert different(project, fresh) == set(), step
        commit_all(project, str(number))


def test_the_command_that_the_configuration_names_chooses_an_add_on(
    released: Path, tmp_path: Path, quick_command: list[str]
) -> None:
    project = untouched_copy(released, tmp_path / "project")
    command = config.choose(config.Project.load(project), "data-lake")
    words = shlex.split(command.partition("`")[2].rstrip("`"))
    assert words[:5] == ["uvx", "--with", "copier-template-extensions", "copier", "update"]
    subprocess.run([*quick_command, *words[4:], "--defaults", "--quiet"], cwd=project, check=True)
    assert answers(project)["add_ons"] == ["data-lake"]
    assert config.load_environment(config.Project.load(project), "dev").names.data_lake


def test_an_update_leads_out_of_sdk_v1_with_the_same_data_and_model(
    released: Path, tmp_path: Path, run_with_others: Run
) -> None:
    project = untouched_copy(released, tmp_path / "project", mlops_version="python-sdk-v1")
    settings = project / "config" / "model.yml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("seed: 13", "seed: 14"), encoding="utf-8")
    commit_all(project, "my seed")
    before = run_with_others(project, "mlops.cli", "local", "--skip-lint")
    assert before.returncode == 0, before.stdout[-3000:] + before.stderr[-3000:]
    assert "python-sdk-v2" in before.stderr, "the start-up line names the way out"
    data, names = hashes(project / "data"), answers(project)["resource_names"]

    update(project, data={"mlops_version": "python-sdk-v2"}, vcs_ref=copier.VcsRef.CURRENT)
    assert conflicts(project) == []
    assert "seed: 14" in settings.read_text(encoding="utf-8")
    assert hashes(project / "data") == data
    assert answers(project)["resource_names"] == names
    # But for the seed it is a fresh copy (test_another_mlops_version...), whose lint is green (tests/test_project.py).
    after = run_with_others(project, "mlops.cli", "local", "--skip-lint")
    assert after.returncode == 0, after.stdout[-3000:] + after.stderr[-3000:]
    assert "SDK v1" not in after.stderr
    # Same data, same settings: the model of before is the champion, and the new one ties with it.
    assert re.search(r"model +flight-delays version 1 stays the champion", after.stdout), after.stdout[-1500:]


def hashes(folder: Path) -> dict[str, str]:
    """The content of each file, in short."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files(folder).items()}


def test_releases_are_listed_oldest_first_and_name_their_commits() -> None:
    assert RELEASES, "releases.yml lists no release"
    versions = [tuple(map(int, release["version"].removeprefix("v").split("."))) for release in RELEASES]
    assert versions == sorted(versions)
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for release in RELEASES:
        assert f"## {release['version']}" in changelog


# ----------------------------------------------------------------------------------------------------------------------
# From each release to this commit.


@pytest.fixture(scope="session")
def history(shared_folder: Path) -> Path:
    """The template with its releases, and the working tree as the next one, so that a change is tested early."""
    if git(ROOT, "rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("a shallow clone does not hold the releases: git fetch --unshallow")

    def make(template: Path) -> None:
        git(template.parent, "clone", "--quiet", "--no-tags", ROOT.as_posix(), template.as_posix())
        for each in RELEASES:
            git(template, "tag", each["version"], each["commit"])
        for name in filter(None, git(template, "ls-files", "-z").split("\0")):
            (template / name).unlink()
        copy_template(template)
        commit_all(template, "now", tag="v1000.0.0")

    return make_once(shared_folder / "history" / "template", make)


class Start(NamedTuple):
    """A project of a release, with some answers of then."""

    release: str
    answers: dict[str, Any]

    def __str__(self) -> str:
        choice = next((self.answers[key] for key in ("mlops_version", "workspaces") if key in self.answers), "")
        choice = choice or self.answers.get("project_type", "")
        return f"{self.release} {choice}".strip()

    def project(self, template: Path, destination: Path) -> Path:
        """Give a copy that may be edited."""
        folder = template.parent / f"{self.release}-{short_hash(self.answers)}"
        made = make_once(folder, lambda folder: self.render(template, folder))
        return shutil.copytree(made, destination, symlinks=True)

    def render(self, template: Path, folder: Path) -> None:
        data = {"name_suffix": SUFFIX} | self.answers
        options: dict[str, Any] = {"defaults": True, "quiet": True, "unsafe": True, "vcs_ref": self.release}
        copier.run_copy(str(template), folder, data=data, **options)
        assert answers(folder)["_commit"] == self.release
        commit_all(folder, "new project")


def fresh_copy(template: Path, project: Path) -> Path:
    """A new project of today with the answers of a project; read it, do not write to it."""
    return untouched(template, **{name: answer for name, answer in answers(project).items() if name[0] != "_"})


NAMES = ".azuredevops/templates/names.yml"
LISTED = "- name: environments\n    value: {}\n"


def test_pipelines_that_named_all_environments_go_on_and_those_of_a_new_project_name_dev(
    history: Path, tmp_path: Path
) -> None:
    project = Start("v0.14.0", {"orchestration": "azure-devops"}).project(history, tmp_path / "project")
    assert LISTED.partition("\n")[0] not in (project / NAMES).read_text(encoding="utf-8")
    update(project)
    assert conflicts(project) == []
    assert LISTED.format("dev test prod") in (project / NAMES).read_text(encoding="utf-8")
    assert different(project, fresh_copy(history, project)) == set()
    new = untouched(history, orchestration="azure-devops")
    assert LISTED.format("dev") in (new / NAMES).read_text(encoding="utf-8")


def test_an_environment_that_a_team_lets_models_go_to_survives_an_update(released: Path, tmp_path: Path) -> None:
    project = shutil.copytree(untouched(released, orchestration="azure-devops"), tmp_path / "project", symlinks=True)
    text = (project / NAMES).read_text(encoding="utf-8")
    (project / NAMES).write_text(text.replace(LISTED.format("dev"), LISTED.format("dev test")), encoding="utf-8")
    commit_all(project, "test is there")
    update(project, data={"infrastructure_version": "bicep"}, vcs_ref=copier.VcsRef.CURRENT)
    assert conflicts(project) == []
    assert LISTED.format("dev test") + "  - name: infrastructure\n    value: bicep\n" in (project / NAMES).read_text(
        encoding="utf-8"
    )


def test_agents_in_a_private_network_stay_at_an_update_from_before_those_that_provision(
    history: Path, tmp_path: Path
) -> None:
    """Every pipeline includes this file, so that a conflict in it stops all of them."""
    start = Start("v0.16.0", {"orchestration": "azure-devops", "add_ons": ["private-network"]})
    project = start.project(history, tmp_path / "project")
    pool = "  - name: pool\n    value: {}\n"
    text = (project / NAMES).read_text(encoding="utf-8")
    assert pool.format('""') in text
    (project / NAMES).write_text(text.replace(pool.format('""'), pool.format("mlops")), encoding="utf-8")
    commit_all(project, "agents in the network")
    update(project)
    assert conflicts(project) == []
    variables = yaml.safe_load((project / NAMES).read_text(encoding="utf-8"))["variables"]
    values = {each["name"]: each["value"] for each in variables}
    assert (values["pool"], values["provision_pool"]) == ("mlops", "")


# Until v0.3.0 existing workspaces were a question of their own.
THEN_EXISTING = {name: answer for name, answer in EXISTING.items() if name != "infrastructure_version"} | {
    "workspaces": "existing"
}
BEFORE_THE_MOVE = ("v0.1.0", "v0.1.1", "v0.2.0", "v0.3.0")
BEFORE_MEMBERSHIP = (*BEFORE_THE_MOVE, "v0.4.0")
# v0.7.0 took what all torch types share out of its folder.
IMAGES = Start("v0.6.0", {"project_type": "cv", "project_name": "Flight Delays"})
# What became one of two tasks of texts: an answer that this release did not know.
TEXTS = Start("v0.7.0", {"project_type": "nlp"})
RELEASED = [Start(each["version"], {}) for each in RELEASES]
CHOICES = [
    *(Start("v0.3.0", {"mlops_version": version}) for version in VERSIONS if version != "aml-cli-v2"),
    Start("v0.3.0", THEN_EXISTING),
    IMAGES,
]


@pytest.mark.parametrize("start", [*RELEASED, IMAGES, TEXTS], ids=str)
def test_each_release_updates_to_this_commit_and_equals_a_fresh_copy(
    start: Start, history: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = start.project(history, tmp_path / "project")
    note = project / "README.md"
    note.write_text("Mine.\n\n" + note.read_text(encoding="utf-8"), encoding="utf-8")
    commit_all(project, "one edit")
    update(project)
    printed = capfd.readouterr().err
    assert "moved in this release" not in printed
    # The champion of an older release cannot be compared: what to do about it.
    assert ("--overrides promotion.incomparable_champion=replace" in printed) is (start.release in BEFORE_MEMBERSHIP)
    fresh = fresh_copy(history, project)
    assert conflicts(project) == []
    assert note.read_text(encoding="utf-8").startswith("Mine.\n\n")
    note.write_text(note.read_text(encoding="utf-8").removeprefix("Mine.\n\n"), encoding="utf-8")
    assert different(project, fresh) == set()


@pytest.mark.parametrize("tool", ["terraform", "bicep"])
def test_an_update_leaves_the_registry_where_the_release_built_it(history: Path, tmp_path: Path, tool: str) -> None:
    """Azure moves no registry to another group: without the key that a new project has, it stays in that of dev."""
    start = Start("v0.9.0", {"add_ons": ["model-registry"], "infrastructure_version": tool})
    project = start.project(history, tmp_path / "project")
    before = answers(project)["resource_names"]
    update(project)
    assert conflicts(project) == []
    assert answers(project)["resource_names"] == before
    for name in ("dev", "test", "prod"):
        names = yaml.safe_load((project / "config" / f"{name}.yml").read_text(encoding="utf-8"))["names"]
        assert "registry" in names
        assert not names.keys() & {"registry_resource_group", "registry_log_analytics"}
    fresh = new_project(history, tmp_path / "fresh", add_ons=["model-registry"], infrastructure_version=tool)
    names = yaml.safe_load((fresh / "config" / "dev.yml").read_text(encoding="utf-8"))["names"]
    assert names["registry_resource_group"] == "rg-flight-delays-shared"


def test_an_update_leaves_the_redundancy_of_storage_as_the_release_built_it(history: Path, tmp_path: Path) -> None:
    """Another one would be another account, and an empty one."""
    project = Start("v0.11.0", {}).project(history, tmp_path / "project")
    update(project)
    assert conflicts(project) == []
    fresh = new_project(history, tmp_path / "fresh")
    for root, wanted in ((project, ["LRS", "LRS", "LRS"]), (fresh, ["LRS", "LRS", "ZRS"])):
        files = [root / "config" / f"{name}.yml" for name in ("dev", "test", "prod")]
        found = [yaml.safe_load(file.read_text(encoding="utf-8"))["storage"]["redundancy"] for file in files]
        assert found == wanted


# ----------------------------------------------------------------------------------------------------------------------
# Files that a release moved.


def table() -> dict[str, list[str]]:
    """Where the files of older releases are today, in a project with the default name; nowhere if they are gone."""
    lines = (ROOT / "migrations" / "moves.tsv").read_text(encoding="utf-8").replace("<package>", "flight_delays")
    rows = (line.split("\t") for line in lines.splitlines() if not line.startswith("#"))
    return {old: [] if new == "-" else new.split(",") for old, new, _ in rows}


def rendered(names: Iterable[str]) -> set[str]:
    """The paths of the template's files in the projects that have them."""
    found = set()
    for name in names:
        if name.startswith("template/"):
            path = name.removeprefix("template/").removesuffix(".jinja").replace("[[ package_name ]]", "flight_delays")
            path = re.sub(r"\[% if .*? %\](.*?)\[% endif %\]", r"\1", path)
            path = re.sub(r"^(\./)+", "", path)
            found |= {
                re.sub(r"\[% yield .* endyield %\]", environment, path) for environment in ("dev", "test", "prod")
            }
    return found


def test_every_file_of_a_release_is_still_there_or_in_the_table_of_moves() -> None:
    present = rendered(git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"))
    releases = [rendered(git(ROOT, "ls-tree", "-rz", "--name-only", each["commit"]).split("\0")) for each in RELEASES]
    for listed in releases:
        assert listed - present - table().keys() == set()
    assert {new for parts in table().values() for new in parts} - present == set()
    assert table().keys() - set().union(*releases) == set()


EDIT = re.compile(r"my edit [0-9]+ of [^\s\"]+")


class Removal(NamedTuple):
    """A line that a file no longer has, and the line that shows its place: the new one, or else the one above."""

    file: str
    line: str
    shows: str


def edit_every_file(project: Path) -> tuple[dict[str, str], list[Removal]]:
    """Insert two lines into every file of the folders that are edited, replace one and delete one.

    Give the file of each line that is new, and each line that is no longer there.
    """
    edits: dict[str, str] = {}
    removed: list[Removal] = []
    for name in files(project):
        if name.split("/")[0] in {".github", "config", "data-science", "mlops"}:
            lines = (project / name).read_text(encoding="utf-8").splitlines()
            once = {line for line, count in Counter(lines).items() if count == 1 and line.strip()}
            quarter = len(lines) // 4
            # From the end to the start, so that the places of the others stay.
            for kind, place in (
                ("insert", len(lines)),
                ("delete", 3 * quarter),
                ("insert", 2 * quarter),
                ("replace", quarter),
            ):
                edit = f"my edit {len(edits)} of {name}"
                if kind == "insert":
                    lines.insert(place, f"# {edit}")
                else:
                    block = range(place + 1, place + quarter - 1)
                    # A short line may be in the release for another reason.
                    place = next((n for n in block if {lines[n - 1], lines[n]} <= once and len(lines[n]) > 35), 0)
                    if not place:
                        continue
                    above, line = lines[place - 1 : place + 1]
                    lines[place : place + 1] = [f"# {edit}"] if kind == "replace" else []
                    removed.append(Removal(name, line, edit if kind == "replace" else above))
                if kind != "delete":
                    edits[edit] = name
            (project / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    commit_all(project, "my edits")
    return edits, removed


CONFLICT = re.compile(r"^<{7} .*?^>{7} .*?$", re.M | re.S)


@pytest.mark.parametrize("start", RELEASED + CHOICES, ids=str)
def test_every_edit_is_in_the_new_file_or_in_a_visible_conflict(
    start: Start, history: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = start.project(history, tmp_path / "project")
    edits, removed = edit_every_file(project)
    update(project)
    printed = capfd.readouterr().err
    commit = git(project, "rev-parse", "--short", "HEAD").strip()
    unmerged = {line[3:] for line in conflicts(project)}
    found: dict[str, set[str]] = {}
    for name, content in files(project).items():
        for edit in EDIT.findall(content.decode(errors="ignore")):
            found.setdefault(edit, set()).add(name)
    results: Counter[str] = Counter()
    lost = []
    for edit, old in edits.items():
        places = found.get(edit, set())
        if places & unmerged:
            results["in a conflict"] += 1
        elif places == {old}:
            results["in the same file"] += 1
        elif places:
            assert len(places) == 1
            assert places <= set(table()[old]), edit
            results["in the moved file"] += 1
        elif f"git show {commit}:./{old}`" in printed:
            results["named"] += 1
        else:
            lost.append(edit)
    fresh = fresh_copy(history, project)
    gone: dict[str, set[str]] = {}
    for old, line, shows in removed:
        parts = [new for new in table().get(old, [old]) if (fresh / new).exists()]
        for new in parts:
            gone.setdefault(new, set()).add(line)
        texts = [(project / new).read_text(encoding="utf-8") for new in parts]
        mine = "\n".join(CONFLICT.sub("", text) for text in texts).splitlines()
        theirs = "\n".join((fresh / new).read_text(encoding="utf-8") for new in parts).splitlines()
        if line not in theirs:
            results["removed by the release too"] += 1
        elif any(shows in conflict for text in texts for conflict in CONFLICT.findall(text)):
            results["removed in a conflict"] += 1
        elif mine.count(line) < theirs.count(line):
            results["removed"] += 1
        elif f"git show {commit}:./{old}`" in printed:
            results["named"] += 1
        else:
            lost.append(f"{old} without {line!r}")
    print(
        f"{start}: {len(edits)} new lines, {len(removed)} replaced or deleted,",
        ", ".join(f"{n} {result}" for result, n in results.items()),
        f"{len(lost)} lost",
    )
    assert lost == []
    if start.release in BEFORE_THE_MOVE or start is IMAGES:
        assert results["in the moved file"]
    for name in unmerged:
        markers = re.findall(r"^(<{7}|>{7}) ", (project / name).read_text(encoding="utf-8"), re.M)
        assert markers == ["<" * 7, ">" * 7] * (len(markers) // 2), f"conflicts within a conflict: {name}"
        if table().get(name) != []:  # an edited file that is gone
            assert "<<<<<<< " not in git(project, "show", f":3:./{name}"), name

    # But for the edits, what is in no conflict equals a fresh copy.
    for name in different(project, fresh) - unmerged:
        mine = re.sub(r"# my edit [0-9]+ of .*\n", "", (project / name).read_text(encoding="utf-8")).splitlines()
        theirs = (fresh / name).read_text(encoding="utf-8").splitlines()
        assert mine == [line for line in theirs if line not in gone.get(name, set()) or line in mine], name
    if start.answers == THEN_EXISTING:
        assert answers(project)["infrastructure_version"] == "existing"
        assert not (project / "infrastructure").exists()


PACKAGE = "data-science/src/flight_delays"


def test_files_that_are_gone_vanish_and_edited_ones_are_a_visible_conflict(
    history: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Start("v0.12.0", {}).project(history, tmp_path / "project")
    tests = project / "data-science" / "tests"
    edited, own = tests / "core" / "test_split.py", tests / "core" / "test_mine.py"
    mine = edited.read_text(encoding="utf-8") + "# mine\n"
    edited.write_text(mine, encoding="utf-8")
    own.write_text("from helpers import module\n", encoding="utf-8")
    (tests / "core" / "test_folds.py").unlink()
    commit_all(project, "my tests")
    update(project)
    printed = capfd.readouterr().err
    name = "data-science/tests/core/test_split.py"
    assert conflicts(project) == [f"UD {name}"]
    assert edited.read_text(encoding="utf-8") == mine
    assert f"{name} is gone, and has edits of yours: `git add` keeps it, `git rm` lets it go\n" in printed
    assert "data-science/tests/core/test_mine.py: helpers.module is gone\n" in printed
    fresh = fresh_copy(history, project)
    assert different(project, fresh) == {name, own.relative_to(project).as_posix()}
    git(project, "rm", "--quiet", name)
    assert not edited.exists()
    assert conflicts(project) == []


@pytest.fixture(scope="session")
def rearranged(history: Path) -> tuple[Path, str]:
    """A project of v0.3.0 whose owner moved, renamed and deleted what the release moves, updated; what was printed."""
    printed = history.parent / "rearranged.txt"
    project = make_once(
        history.parent / "rearranged", lambda folder: printed.write_text(rearrange(history, folder), "utf-8")
    )
    return project, printed.read_text(encoding="utf-8")


def rearrange(history: Path, project: Path) -> str:
    Start("v0.3.0", {}).project(history, project)
    engine = "mlops/src/mlops"
    git(project, "mv", "data-science/tests", "data-science/checks")
    git(project, "mv", f"{engine}/rollout.py", f"{engine}/strategy.py")
    git(project, "rm", "--quiet", "-r", f"{engine}/lint")
    git(project, "mv", f"{PACKAGE}/prep.py", f"{PACKAGE}/preprocess.py")
    git(project, "rm", "--quiet", f"{PACKAGE}/register.py", f"{PACKAGE}/charts.py")
    (project / PACKAGE / "report").mkdir()
    git(project, "mv", f"{PACKAGE}/report.py", f"{PACKAGE}/report/page.py")
    (project / "mlops/engine/src/mlops").mkdir(parents=True)
    for name, text in (
        (f"{engine}/mine.py", "from mlops import azure\nimport flight_delays.charts\n"),
        (f"{engine}/cli.py", "# mine\n" + (project / engine / "cli.py").read_text(encoding="utf-8")),
        ("mlops/engine/src/mlops/cli.py", "print('my own engine')\n"),
        (f"{engine}/strategy.py", "# mine\n" + (project / engine / "strategy.py").read_text(encoding="utf-8")),
        (f"{PACKAGE}/report/charts.py", "print('my own charts')\n"),
        (f"{PACKAGE}/report/page.py", (project / PACKAGE / "report/page.py").read_text(encoding="utf-8") + "# mine\n"),
        (f"{PACKAGE}/train.py", (project / PACKAGE / "train.py").read_text(encoding="utf-8") + USE),
        (".gitignore", (project / ".gitignore").read_text(encoding="utf-8") + "local/\n"),
    ):
        (project / name).write_text(text, encoding="utf-8")
    commit_all(project, "everything elsewhere")
    run = subprocess.run(
        [sys.executable, "-m", "copier", "update", "--trust", "--defaults"],
        cwd=project,
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stderr


USE = """

def mine() -> None:
    from flight_delays import promotion

    promotion.Policy
"""


def test_a_folder_that_its_owner_moved_is_no_silent_second_copy(rearranged: tuple[Path, str]) -> None:
    project, output = rearranged
    name = "mlops/src/mlops/rollout.py"
    [new] = table()[name]
    assert (project / new).exists()
    copy = name.replace("rollout", "strategy")
    assert f"{copy} is your copy of what is now {new}: keep your edits in one place" in output
    old = "data-science/tests/test_promotion.py"
    copy = old.replace("/tests/", "/checks/")
    assert f"{copy} is your copy of {old}, which is gone: keep what you need of it" in output
    assert (project / copy).exists()
    assert not (project / old).exists()
    assert (project / "mlops/src/mlops/strategy.py").read_text(encoding="utf-8").startswith("# mine\n")


def test_what_its_owner_deleted_is_not_brought_back_at_another_place(rearranged: tuple[Path, str]) -> None:
    project, output = rearranged
    deleted = [new[0] for old, new in table().items() if new and old.startswith("mlops/src/mlops/lint/")]
    assert len(deleted) > 2
    for new in deleted:
        if f"{new} was left out, because you had deleted mlops/src/mlops/lint/" in output:
            assert not (project / new).exists()
    assert "/lint/graph.py was left out" in output


def test_a_file_of_ones_own_in_a_folder_that_moved_is_named_with_its_old_imports(rearranged: tuple[Path, str]) -> None:
    project, output = rearranged
    assert (project / "mlops/src/mlops/mine.py").exists()
    assert (
        "mlops/src/mlops/mine.py is yours and stays, but mlops/src/mlops/ moved: `git mv` it to mlops/engine" in output
    )
    assert f"mlops/src/mlops/mine.py: mlops.azure is now {module('mlops/src/mlops/azure.py')}" in output
    assert f"mlops/src/mlops/mine.py: flight_delays.charts is now {module(f'{PACKAGE}/charts.py')}" in output


def test_a_file_of_ones_own_at_the_new_place_is_a_visible_conflict(rearranged: tuple[Path, str]) -> None:
    project, output = rearranged
    assert any(line.endswith(" mlops/engine/src/mlops/cli.py") for line in conflicts(project))
    assert "my own engine" in (project / "mlops/engine/src/mlops/cli.py").read_text(encoding="utf-8")
    commit = git(project, "rev-parse", "--short", "HEAD").strip()
    assert f"your edits are in `git show {commit}:./mlops/src/mlops/cli.py`" in output


def test_a_split_file_that_its_owner_renamed_is_no_silent_second_copy(rearranged: tuple[Path, str]) -> None:
    project, output = rearranged
    assert not (project / PACKAGE / "prep.py").exists()
    assert (
        f"{PACKAGE}/preprocess.py is your copy of what is now {PACKAGE}/prep.py (left out), {PACKAGE}/core/split.py: "
        in output
    )


def test_the_parts_of_a_split_file_that_its_owner_deleted_are_named(rearranged: tuple[Path, str]) -> None:
    project, output = rearranged
    assert not (project / PACKAGE / "register.py").exists()
    assert f"{PACKAGE}/register.py stays deleted, but {PACKAGE}/core/champion.py has parts of it" in output


def test_a_file_of_ones_own_where_a_deleted_one_would_be_now_stays(rearranged: tuple[Path, str]) -> None:
    project, output = rearranged
    assert "my own charts" in (project / PACKAGE / "report/charts.py").read_text(encoding="utf-8")
    assert f"UU {PACKAGE}/report/charts.py" in conflicts(project)
    assert f"{PACKAGE}/report/charts.py is yours, and the new release has another one" in output
    assert f"{PACKAGE}/report/charts.py was left out" not in output


def test_a_file_that_its_owner_moved_to_the_same_new_place_is_merged(rearranged: tuple[Path, str]) -> None:
    project, output = rearranged
    page = (project / PACKAGE / "report/page.py").read_text(encoding="utf-8")
    assert page.endswith("# mine\n")
    assert "<<<<<<<" not in page
    assert f"{PACKAGE}/report/page.py has your edits of {PACKAGE}/report.py\n" in output
    assert f"{PACKAGE}/report/page.py is your copy" not in output
    assert not any(line.endswith("report/page.py") and line[:2] == "UU" for line in conflicts(project))


def test_old_imports_in_an_edited_file_that_did_not_move_are_named(rearranged: tuple[Path, str]) -> None:
    _, output = rearranged
    assert f"{PACKAGE}/train.py: flight_delays.promotion.Policy is now flight_delays.core.promotion.Policy\n" in output


def module(old: str) -> str:
    """How a module of an older release is called today."""
    return ", ".join(sorted(new.partition("/src/")[2].removesuffix(".py").replace("/", ".") for new in table()[old]))


def test_new_code_that_a_rule_of_the_owner_hides_from_git_is_named(rearranged: tuple[Path, str]) -> None:
    project, output = rearranged
    line = len((project / ".gitignore").read_text(encoding="utf-8").splitlines())
    [named] = [line for line in output.splitlines() if "would not be committed" in line]
    assert named.strip().startswith("mlops/engine/src/mlops/local/")
    assert named.endswith(f"narrow the rule `local/` in line {line} of .gitignore")


def test_a_project_with_files_that_git_does_not_show_is_not_updated(history: Path, tmp_path: Path) -> None:
    project = Start("v0.3.0", {}).project(history, tmp_path / "project")
    git(project, "config", "status.showUntrackedFiles", "no")
    (project / "mine.txt").write_text("not committed\n", encoding="utf-8")
    before = files(project)
    run = subprocess.run(
        [sys.executable, "-m", "copier", "update", "--trust", "--defaults"], cwd=project, capture_output=True, text=True
    )
    assert run.returncode != 0
    assert "error: commit, ignore or move what Git does not have: mine.txt (1 in all)\n" in run.stderr
    assert files(project) == before


def test_a_project_that_knows_its_template_by_a_relative_path_is_updated_from_there(
    history: Path, tmp_path: Path, quick_command: list[str]
) -> None:
    project = Start("v0.3.0", {}).project(history, tmp_path / "project")
    recorded, charts = project / ".copier-answers.yml", project / PACKAGE / "charts.py"
    recorded.write_text(
        re.sub("(?m)^_src_path: .*$", "_src_path: ./template", recorded.read_text(encoding="utf-8")), encoding="utf-8"
    )
    charts.write_text(charts.read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    commit_all(project, "my edit")
    command = [*quick_command, "update", "--trust", "--defaults", str(project)]
    run = subprocess.run(command, cwd=history.parent, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (project / table()[f"{PACKAGE}/charts.py"][0]).read_text(encoding="utf-8").endswith("# mine\n")


@pytest.mark.parametrize("fits", [True, False])
def test_two_files_that_became_one_are_no_conflict_within_a_conflict(
    fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "migrations"))
    from moves import Change, Update, mark

    monkeypatch.chdir(tmp_path)
    new = Path("new.py")
    new.write_text("one\n1\n1\n1\ntwo of the release\n", encoding="utf-8")
    commit = commit_all(tmp_path, "before")
    update = Update.__new__(Update)
    update.commit, update.code, update.unmerged, update.conflicts = commit, set(), set(), []
    update.release = SimpleNamespace(blob=lambda blob: git(tmp_path, "cat-file", "blob", blob).encode())

    def carry(old: str, base: str, mine: str) -> list[str]:
        blobs = []
        for text in (base, mine):
            (tmp_path / old).write_text(text, encoding="utf-8")
            blobs.append(git(tmp_path, "hash-object", "-w", old).strip())
        return list(update.carry(Change("M", ("100644",) * 2, (blobs[0], blobs[1]), old, old), ["new.py"]))

    first = (
        ("one\n1\n1\n1\n", "one of mine\n1\n1\n1\n") if fits else ("one before\n1\n1\n1\n", "one of mine\n1\n1\n1\n")
    )
    [line] = carry("one.py", *first)
    assert line.startswith(
        "new.py has your edits of one.py" if fits else "new.py is in conflict with your edits of one.py"
    )
    [line] = carry("two.py", "1\n1\n1\ntwo before\n", "1\n1\n1\ntwo of mine\n")
    assert new.read_text(encoding="utf-8").count("<<<<<<< before updating") == 1
    mark(update.conflicts)
    theirs = git(tmp_path, "show", ":3:new.py")
    assert "<<<<<<<" not in theirs
    assert "two of the release" in theirs
    if fits:
        assert line == "new.py is in conflict with your edits of two.py: resolve it like a merge"
        assert "one of mine" in theirs
    else:
        show = f"your edits are in `git show {commit}:./two.py`"
        assert line == f"new.py is in conflict already, and has parts of two.py: {show}"


def test_rejected_edits_of_files_that_moved_are_carried_and_of_split_ones_named(
    history: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    project = Start("v0.3.0", {}).project(history, tmp_path / "project")
    for name, line in (("charts.py", "import"), ("prep.py", "def split")):
        file = project / PACKAGE / name
        text = file.read_text(encoding="utf-8")
        assert f"\n{line}" in text
        file.write_text(text.replace(f"\n{line}", f"\n# mine\n{line}"), encoding="utf-8")
    (project / PACKAGE / "step.py").unlink()
    (project / PACKAGE / "step.py").symlink_to("train.py")
    commit_all(project, "my edits")
    update(project, conflict="rej")
    printed = capfd.readouterr().err
    assert "\n# mine\n" in (project / PACKAGE / "report/charts.py").read_text(encoding="utf-8")
    assert {name for name in files(project) if name.endswith(".rej")} == {f"{PACKAGE}/prep.py.rej"}
    assert f"{PACKAGE}/prep.py.rej has edits that may belong in {PACKAGE}/core/split.py\n" in printed
    commit = git(project, "rev-parse", "--short", "HEAD").strip()
    now = f"{PACKAGE}/step.py is now {PACKAGE}/core/step.py: your edits are in `git show {commit}:./{PACKAGE}/step.py`"
    assert now in printed


def test_an_error_while_edits_are_carried_is_one_line_that_names_the_way_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "migrations"))
    import moves

    monkeypatch.chdir(tmp_path)
    Path("answers.yml").write_text("_commit: v0.3.0\n", encoding="utf-8")
    commit_all(tmp_path, "answers")
    monkeypatch.setenv("VERSION_FROM", "v0.3.0")
    monkeypatch.setattr(moves, "Update", lambda *_: 1 / 0)
    with pytest.raises(
        SystemExit, match=r"^error: .*division by zero; go back with `git reset --hard && git clean -fd`$"
    ):
        moves.main("answers.yml")


def test_the_old_answers_become_the_new_ones() -> None:
    sys.path.insert(0, str(ROOT / "migrations"))
    from answers import migrate

    kept = {"location": "uksouth", "infrastructure_version": "bicep"}
    assert migrate(kept) == kept
    assert migrate(kept | {"workspaces": "new"}) == kept
    assert migrate({"workspaces": "existing", "existing_cluster": "c"}) == {
        "existing_cluster": "c",
        "infrastructure_version": "existing",
    }
    on_azure = kept | {"orchestration": "azure-devops"}
    assert migrate(on_azure) == on_azure | {"pipeline_environments": "dev test prod"}
    assert migrate(on_azure | {"pipeline_environments": "dev"}) == on_azure | {"pipeline_environments": "dev"}


# ----------------------------------------------------------------------------------------------------------------------
# Old imports.


@pytest.fixture
def outdated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """What is reported of a file of the user's, in a small project."""
    monkeypatch.syspath_prepend(str(ROOT / "migrations"))
    import imports

    monkeypatch.chdir(tmp_path)
    imports.source.cache_clear()
    imports.names.cache_clear()
    package, tests = "data-science/src/pkg", "data-science/tests"
    moved = {
        f"{package}/charts.py": [f"{package}/report/charts.py"],
        f"{package}/data.py": [f"{package}/tabular/data.py", f"{package}/core/schema.py"],
        f"{package}/prep.py": [f"{package}/prep.py", f"{package}/core/split.py"],
        f"{tests}/samples.py": [f"{tests}/samples.py", f"{tests}/helpers.py"],
    }
    code = {
        f"{package}/__init__.py": "",
        f"{package}/report/__init__.py": "",
        f"{package}/report/charts.py": "def bars(): ...",
        f"{package}/tabular/data.py": "from pkg.core.schema import Schema\ndef read(): ...",
        f"{package}/core/schema.py": "class Schema: ...",
        f"{package}/core/split.py": "if True:\n    def split(): ...",
        f"{package}/prep.py": "from .core import split as splitting\nROWS, _ = 1, 2\n",
        f"{tests}/samples.py": "from helpers import SEED",
        f"{tests}/helpers.py": "SEED: int = 1\ndef module(): ...",
    }

    def report(text: str, path: str = f"{package}/mine.py") -> list[str]:
        for name, content in (code | {path: text}).items():
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(content, encoding="utf-8")
        return imports.outdated(path, imports.modules(moved))

    return report


SCHEMA, READ = "pkg.data.Schema is now pkg.core.schema.Schema", "pkg.data.read is now pkg.tabular.data.read"
CHARTS = "pkg.charts is now pkg.report.charts"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("from .data import read", [READ]),
        ("from . import charts", [CHARTS]),
        ("from pkg import (\n    charts,\n    prep,\n)", [CHARTS]),
        ("def f():\n    from pkg.data import Schema, read", [SCHEMA, READ]),
        ("import pkg.charts as drawing", [CHARTS]),
        ("from pkg import data\ndata.read()", [READ]),
        ("import pkg.data\npkg.data.Schema.load", [SCHEMA]),
        ("from pkg import data", ["pkg.data is now pkg.tabular.data, pkg.core.schema"]),
        ("from pkg.data import lost", ["pkg.data.lost is gone, and in none of pkg.tabular.data, pkg.core.schema"]),
        ("from pkg.prep import split", ["pkg.prep.split is now pkg.core.split.split"]),
        ("from pkg import prep\nprep.split(prep.ROWS)", ["pkg.prep.split is now pkg.core.split.split"]),
        ("from pkg.unknown import name", ["pkg.unknown is gone"]),
        ("from pkg.prep import ROWS, splitting, __doc__\nfrom pkg.report.charts import bars", []),
        ("from pkg import prep\ndef f(prep):\n    return prep.shape", []),
        ("import numpy\nfrom charts import bars\nnumpy.data.read", []),
        ("<<<<<<< before updating\nfrom .data import read\n", []),
    ],
)
def test_old_imports_are_named_with_their_names_of_today(
    text: str, lines: list[str], outdated: Callable[..., list[str]]
) -> None:
    assert outdated(text) == lines


def test_old_imports_are_found_in_tests_notebooks_and_subpackages(outdated: Callable[..., list[str]]) -> None:
    moved = ["samples.module is now helpers.module"]
    assert outdated("from samples import SEED, module", "data-science/tests/test_mine.py") == moved
    assert outdated("from ..charts import bars", "data-science/src/pkg/own/mine.py") == [CHARTS]
    assert outdated("from ..charts import bars", "data-science/src/pkg/own/__init__.py") == [CHARTS]
    cells = [
        {"cell_type": "markdown", "source": ["from pkg.data import read"]},
        {"cell_type": "code", "source": ["%matplotlib inline\n", "from pkg.charts import bars"]},
    ]
    assert outdated(json.dumps({"cells": cells}), "data-science/notebooks/mine.ipynb") == [CHARTS]


def test_a_module_beside_a_file_is_the_one_that_it_imports(outdated: Callable[..., list[str]]) -> None:
    outdated("def module(): ...", "data-science/checks/samples.py")
    assert outdated("from samples import module", "data-science/checks/test_mine.py") == []


# ----------------------------------------------------------------------------------------------------------------------
# An update that is interrupted.

# Copier as users have it while it writes files; the scripts of a release are the same in both.
REAL, QUICK_ONE = [sys.executable, "-m", "copier"], None
STOPS = {
    "when the answers are migrated": (QUICK_ONE, "write-tree", 1),
    "while files are written": (REAL, "config", 60),
    "while edits are carried to moved files": (QUICK_ONE, "merge-file -p", 8),
    "while a conflict is recorded": (QUICK_ONE, "update-index", 1),
}
SHIM = """#!/bin/sh
case "$*" in *write-tree*) touch "$0.armed" ;; esac
case " $* " in *" $STOP_AT "*)
    if [ -e "$0.armed" ]; then
        echo >> "$0.count"
        [ "$(wc -l < "$0.count")" -ne "$STOP_NTH" ] || kill -9 $PPID
    fi ;;
esac
exec "$REAL_GIT" "$@"
"""


@pytest.fixture(scope="session")
def edited(history: Path) -> Path:
    """A project of v0.3.0 with edits in every file, and files that Git ignores."""

    def make(folder: Path) -> None:
        project = Start("v0.3.0", {}).project(history, folder)
        promotion = project / PACKAGE / "promotion.py"
        promotion.write_text(
            promotion.read_text(encoding="utf-8").replace("import math", "import math  # mine"), encoding="utf-8"
        )
        edit_every_file(project)
        (project / ".local").mkdir()
        (project / ".local" / "run.txt").write_text("ignored by Git\n", encoding="utf-8")

    return make_once(history.parent / "edited", make)


@pytest.mark.parametrize("stop", STOPS.values(), ids=STOPS)
def test_an_interrupted_update_says_how_to_go_back_and_that_restores_every_bit(
    stop: tuple[list[str] | None, str, int], edited: Path, tmp_path: Path, quick_command: list[str]
) -> None:
    project = tmp_path / "project"
    shutil.copytree(edited, project)
    before = snapshot(project)
    (tmp_path / "bin").mkdir()
    shim = tmp_path / "bin" / "git"
    shim.write_text(SHIM, encoding="utf-8")
    shim.chmod(0o755)
    program, where, count = stop
    run = subprocess.run(
        [*(program or quick_command), "update", "--trust", "--defaults"],
        cwd=project,
        env=os.environ
        | {
            "PATH": f"{shim.parent}{os.pathsep}{os.environ['PATH']}",
            "REAL_GIT": shutil.which("git") or "",
            "STOP_AT": where,
            "STOP_NTH": str(count),
            "TMPDIR": str(tmp_path),
        },
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0, run.stderr
    assert snapshot(project) != before, "it was stopped before it had done anything"
    [command] = re.findall(r"^ +(git reset .*)$", run.stderr, re.M)
    subprocess.run(command, shell=True, cwd=project, check=True, capture_output=True)
    assert snapshot(project) == before
    assert git(project, "status", "--porcelain") == ""


def snapshot(project: Path) -> dict[str, tuple[int, bytes]]:
    """Every file with its mode and content, and every folder."""
    return {name: ((project / name).stat().st_mode, content) for name, content in files(project).items()} | {
        path.relative_to(project).as_posix(): (path.stat().st_mode, b"")
        for path in project.rglob("*")
        if path.is_dir() and ".git" not in path.relative_to(project).parts
    }
