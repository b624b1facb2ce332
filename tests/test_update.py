"""`copier update`: an untouched project equals a fresh copy, edits survive, nothing is lost without a word."""

import hashlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import copier
import pytest
import yaml
from combinations import EXISTING, ROOT, add_ons, questions, with_add_ons
from conftest import SUFFIX, Run, commit_all, copy_template, git

# What a generated project reads its own configuration with.
sys.path.insert(0, str(ROOT / "template" / "mlops" / "src"))
from mlops import config

RELEASES = yaml.safe_load((ROOT / "releases.yml").read_text(encoding="utf-8"))


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A private copy of the template, released as v1000.0.0 and free to evolve."""
    repository = copy_template(tmp_path / "template")
    commit_all(repository, "first", tag="v1000.0.0")
    return repository


def new_project(template: Path, destination: Path, **answers: Any) -> Path:
    data = {"name_suffix": SUFFIX} | answers
    copier.run_copy(str(template), destination, data=data, defaults=True, quiet=True, unsafe=True)
    commit_all(destination, "new project")
    return destination


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


def test_the_users_edits_survive_next_to_the_releases(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project")
    schema, settings = project / "data" / "schema.yml", project / "config" / "model.yml"
    schema.write_text("# mine\n" + schema.read_text(encoding="utf-8"), encoding="utf-8")
    (project / "data-science" / "mine.py").write_text("print('mine')\n", encoding="utf-8")
    commit_all(project, "my edits")
    shipped = template / "template" / "config" / "model.yml.jinja"
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
        (template / "template" / "config" / "model.yml.jinja", "theirs"),
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


def test_another_project_name_changes_only_what_people_read(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project")
    before = files(project)
    update(project, data={"project_name": "Late Trains"}, vcs_ref=copier.VcsRef.CURRENT)
    changed = {name for name, content in files(project).items() if before.get(name) != content}
    assert changed == {".copier-answers.yml", "README.md", "pyproject.toml"}
    assert answers(project)["resource_names"] == yaml.safe_load(before[".copier-answers.yml"])["resource_names"]


def test_a_changed_answer_is_an_update_too(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project")
    update(project, data={"location": "northeurope"}, vcs_ref=copier.VcsRef.CURRENT)
    assert "location: northeurope" in (project / "config" / "dev.yml").read_text(encoding="utf-8").replace('"', "")
    assert conflicts(project) == []


VERSIONS = list(questions()["mlops_version"]["choices"].values())


@pytest.mark.parametrize("old", VERSIONS)
def test_another_mlops_version_is_an_update_and_equals_a_fresh_copy(old: str, template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project", mlops_version=old)
    for new in [version for version in VERSIONS if version != old] + [old]:
        update(project, data={"mlops_version": new}, vcs_ref=copier.VcsRef.CURRENT)
        assert conflicts(project) == []
        fresh = new_project(template, tmp_path / new, mlops_version=new)
        assert files(project) == files(fresh), new
        commit_all(project, new)


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
}


@pytest.mark.parametrize("steps", SWITCHES.values(), ids=SWITCHES)
def test_another_infrastructure_is_an_update_and_equals_a_fresh_copy(
    steps: list[dict[str, Any]], template: Path, tmp_path: Path
) -> None:
    project = new_project(template, tmp_path / "project")
    given: dict[str, Any] = {}
    for number, step in enumerate(steps):
        # Questions about what the project builds are not asked then.
        given = step if step == EXISTING else given | step
        update(project, data=step, vcs_ref=copier.VcsRef.CURRENT)
        assert conflicts(project) == []
        fresh = new_project(template, tmp_path / str(number), **given)
        assert different(project, fresh) == set(), step
        commit_all(project, str(number))


def test_the_command_that_the_configuration_names_chooses_an_add_on(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project")
    command = config.choose(config.Project.load(project), "data-lake")
    words = shlex.split(command.partition("`")[2].rstrip("`"))
    assert words[:2] == ["copier", "update"]
    subprocess.run([sys.executable, "-m", *words, "--defaults", "--quiet"], cwd=project, check=True)
    assert answers(project)["add_ons"] == ["data-lake"]
    assert config.load_environment(config.Project.load(project), "dev").names.data_lake


@pytest.mark.xdist_group("classical-python-sdk-v2")
def test_an_update_leads_out_of_sdk_v1_with_the_same_data_and_model(
    template: Path, tmp_path: Path, run_in: Run
) -> None:
    project = new_project(template, tmp_path / "project", mlops_version="python-sdk-v1")
    settings = project / "config" / "model.yml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("seed: 13", "seed: 14"), encoding="utf-8")
    commit_all(project, "my seed")
    before = run_in(project, "mlops.cli", "local")
    assert before.returncode == 0, before.stdout[-3000:] + before.stderr[-3000:]
    assert "python-sdk-v2" in before.stderr, "the start-up line names the way out"
    data, names = hashes(project / "data"), answers(project)["resource_names"]

    update(project, data={"mlops_version": "python-sdk-v2"}, vcs_ref=copier.VcsRef.CURRENT)
    assert conflicts(project) == []
    assert "seed: 14" in settings.read_text(encoding="utf-8")
    assert hashes(project / "data") == data
    assert answers(project)["resource_names"] == names
    after = run_in(project, "mlops.cli", "local")
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


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release["version"])
def test_each_release_updates_to_this_commit_and_equals_a_fresh_copy(release: dict, tmp_path: Path) -> None:
    if git(ROOT, "rev-parse", "--is-shallow-repository").strip() == "true":
        pytest.skip("a shallow clone does not hold the releases: git fetch --unshallow")
    template = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", "--no-tags", ROOT.as_posix(), template.as_posix())
    for each in RELEASES:
        git(template, "tag", each["version"], each["commit"])
    project = tmp_path / "project"
    data = {"name_suffix": SUFFIX}
    copier.run_copy(
        str(template), project, data=data, defaults=True, quiet=True, unsafe=True, vcs_ref=release["version"]
    )
    assert answers(project)["_commit"] == release["version"]
    note = project / "README.md"
    note.write_text(note.read_text(encoding="utf-8") + "\nMine.\n", encoding="utf-8")
    commit_all(project, "new project, one edit")

    # The working tree becomes the next release, so that a change is tested before it is committed.
    for name in git(template, "ls-files").splitlines():
        (template / name).unlink()
    copy_template(template)
    commit_all(template, "now", tag="v1000.0.0")
    update(project)
    fresh = new_project(template, tmp_path / "fresh", **{k: v for k, v in answers(project).items() if k[0] != "_"})
    assert conflicts(project) == []
    assert note.read_text(encoding="utf-8").endswith("\nMine.\n")
    note.write_text(note.read_text(encoding="utf-8").removesuffix("\nMine.\n"), encoding="utf-8")
    assert different(project, fresh) == set()
