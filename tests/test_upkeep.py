"""`mlops template-update` and `mlops freshness`, with a real Copier, Git and uv, and no network."""

import base64
import hashlib
import os
import shlex
import shutil
import sys
import zipfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from combinations import ROOT
from conftest import Render, commit_all, git
from test_update import different, files, new_project, quick_command, released, shipped_settings, template

# What a generated project runs.
sys.path.insert(0, str(ROOT / "template" / "mlops" / "engine" / "src"))
from mlops.errors import UserError
from mlops.orchestration.monorepo import stale_copies, write_copies
from mlops.project import Project
from mlops.upkeep import freshness
from mlops.upkeep.freshness import report_freshness
from mlops.upkeep.template import changes_between, report_update

__all__ = ["quick_command", "released", "template"]  # fixtures

DOCS = "template/docs/update.md.jinja"


@pytest.fixture(autouse=True)
def uvx(quick_command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A uvx that has Copier and its extension already; `calls` has what it was called with."""
    folder = tmp_path / "bin"
    folder.mkdir()
    calls = folder / "calls"
    calls.touch()
    script = folder / "uvx"
    script.write_text(f'#!/bin/sh\necho "$*" >> {calls}\nshift 3\nexec {shlex.join(quick_command)} "$@"\n', "utf-8")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return calls


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], dict[str, str]]:
    """What was handed on to the later steps of a workflow."""
    file = tmp_path / "outputs"
    file.touch()
    monkeypatch.setenv("GITHUB_OUTPUT", str(file))
    return lambda: dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines())


def release(template: Path, version: str, **texts: str) -> None:
    """Write files of the template, by path, and release them with a section in the changelog."""
    changelog = template / "CHANGELOG.md"
    before = changelog.read_text(encoding="utf-8").partition("\n## ")
    section = f"\n## {version} (2027-01-01)\n\n### You must do\n\n- What {version} says.\n"
    changelog.write_text(f"{before[0]}{section}\n## {before[2]}", encoding="utf-8")
    for path, text in texts.items():
        (template / path).write_text(text, encoding="utf-8")
    commit_all(template, version, tag=version)


def test_an_untouched_project_gets_the_changelog_and_the_command_and_stays_as_it_is(
    template: Path, tmp_path: Path, outputs: Callable[[], dict[str, str]], uvx: Path
) -> None:
    project = new_project(template, tmp_path / "project")
    release(template, "v1001.0.0")
    release(template, "v1002.0.0")
    before, file, patch = files(project), tmp_path / "texts" / "issue.md", tmp_path / "update.patch"
    report_update(Project.load(project), file, patch)
    assert files(project) == before
    assert git(project, "status", "--porcelain") == ""
    assert outputs() == {"update": "true", "version": "v1002.0.0", "clean": "true"}
    text = file.read_text(encoding="utf-8")
    assert "newer release: v1002.0.0\n\nThis project follows v1000.0.0." in text
    (command,) = [line for line in text.splitlines() if line.startswith("uvx ")]
    assert command in (ROOT / DOCS).read_text(encoding="utf-8")
    assert command.removeprefix("uvx ") in uvx.read_text(encoding="utf-8")
    assert text.count("None.") == 2
    changelog = text.partition("### Changelog")[2]
    assert changelog.index("#### v1002.0.0") < changelog.index("- What v1002.0.0 says.")
    assert changelog.index("- What v1002.0.0 says.") < changelog.index("#### v1001.0.0")
    assert "## v0.8.0" not in changelog
    # The patch is the update.
    git(project, "apply", "--index", str(patch))
    assert different(project, new_project(template, tmp_path / "fresh")) == set()


@pytest.fixture
def engine(python_of: Callable[[Path], Path], render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a project, in which its engine runs."""
    monkeypatch.setattr(sys, "executable", str(python_of(render())))


@pytest.mark.usefixtures("engine")
def test_beside_other_projects_the_text_says_how_the_copies_at_the_top_follow(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "repository" / "flights")
    shutil.rmtree(project / ".git")
    commit_all(tmp_path / "repository", "one of several")
    alone = new_project(template, tmp_path / "alone")
    release(template, "v1001.0.0")
    texts = []
    for folder in (project, alone):
        report_update(Project.load(folder), tmp_path / "issue.md")
        texts.append((tmp_path / "issue.md").read_text(encoding="utf-8"))
    assert "Run `uv run mlops workflows` in `flights` on the branch of the update" in texts[0]
    assert "has that already" in texts[0]
    assert "mlops workflows" not in texts[1]


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("copied", [True, False], ids=["with copies", "without copies"])
def test_the_change_of_a_project_in_a_folder_has_the_copies_at_the_top_that_it_had(
    template: Path, tmp_path: Path, copied: bool
) -> None:
    repository = tmp_path / "repository"
    project = new_project(template, repository / "flights")
    shutil.rmtree(project / ".git")
    (repository / ".git").mkdir()
    if copied:
        write_copies(Project.load(project))
    shutil.rmtree(repository / ".git")
    commit_all(repository, "one of several")
    workflow = "template/.github/workflows/train.yml"
    later = (template / workflow).read_text(encoding="utf-8").replace("23 3 * * 6", "24 3 * * 6")
    release(template, "v1001.0.0", **{workflow: later})
    patch = tmp_path / "update.patch"
    report_update(Project.load(project), tmp_path / "issue.md", patch)
    git(repository, "apply", "--index", str(patch))
    assert "24 3 * * 6" in (project / ".github/workflows/train.yml").read_text(encoding="utf-8")
    assert (repository / ".github").exists() == copied
    if copied:
        assert "24 3 * * 6" in (repository / ".github/workflows/flights-train.yml").read_text(encoding="utf-8")
    assert stale_copies(Project.load(project)) == [], "the lint of the pull request is green"


@pytest.mark.usefixtures("engine")
def test_copies_that_cannot_be_written_are_said_and_the_change_is_there(template: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    project = new_project(template, repository / "flights")
    shutil.rmtree(project / ".git")
    commit_all(repository, "one of several")
    cli = "template/mlops/engine/src/mlops/cli.py"
    release(template, "v1001.0.0", **{cli: "raise ImportError('no package new')\n"})
    patch = tmp_path / "update.patch"
    report_update(Project.load(project), tmp_path / "issue.md", patch)
    assert "could not be done: ImportError: no package new." in (tmp_path / "issue.md").read_text(encoding="utf-8")
    git(repository, "apply", "--index", str(patch))


def test_the_change_has_the_lock_file_of_the_new_packages(template: Path, tmp_path: Path, uvx: Path) -> None:
    project = new_project(template, tmp_path / "project")
    (project / "uv.lock").write_text("old packages\n", encoding="utf-8")
    commit_all(project, "locked")
    release(template, "v1001.0.0")
    uv, patch = uvx.with_name("uv"), tmp_path / "update.patch"
    uv.write_text('#!/bin/sh\n[ "$*" = lock ] && echo "new packages" > uv.lock\n', encoding="utf-8")
    uv.chmod(0o755)
    report_update(Project.load(project), tmp_path / "issue.md", patch)
    git(project, "apply", "--index", str(patch))
    assert (project / "uv.lock").read_text(encoding="utf-8") == "new packages\n"


def test_conflicts_and_edited_files_that_go_are_named_and_moved_edits_are_not_among_them(
    template: Path, tmp_path: Path, outputs: Callable[[], dict[str, str]]
) -> None:
    project = new_project(template, tmp_path / "project")
    for path, word in ((project / "config" / "model.yml", "mine"), (shipped_settings(template), "theirs")):
        path.write_text(f"# {word}\n{path.read_text(encoding='utf-8').partition(chr(10))[2]}", encoding="utf-8")
    for name in (".pre-commit-config.yaml", "docs/monitor.md"):
        (project / name).write_text((project / name).read_text(encoding="utf-8") + "# mine\n", encoding="utf-8")
    commit_all(project, "my edits")
    (template / "template" / ".pre-commit-config.yaml").unlink()
    (template / "template" / ".gitattributes").unlink()
    monitor = template / "template" / "docs" / "monitor.md.jinja"
    monitor.rename(monitor.with_name("watch.md.jinja"))
    table = template / "migrations" / "moves.tsv"
    moved = "docs/monitor.md\tdocs/watch.md\t1001.0.0\n"
    table.write_text(table.read_text(encoding="utf-8") + moved, encoding="utf-8")
    settings = template / "copier.yml"
    text = settings.read_text(encoding="utf-8")
    # The migration that carries edits along has the version of the last release that moved a file.
    before, carries, after = text.partition("migrations/moves.py")
    head, _, tail = before.rpartition("version: v")
    settings.write_text(f"{head}version: v1001.0.0\n{tail.partition(chr(10))[2]}{carries}{after}", encoding="utf-8")
    release(template, "v1001.0.0")
    file, patch = tmp_path / "issue.md", tmp_path / "update.patch"
    report_update(Project.load(project), file, patch)
    assert outputs() == {"update": "true", "version": "v1001.0.0", "clean": "false"}
    assert not patch.exists()
    text = file.read_text(encoding="utf-8")
    conflicts, lost = text.partition("### Conflicts")[2].split("### Files with edits of yours that it would delete")
    assert "- `config/model.yml`" in conflicts
    assert [line for line in lost.partition("###")[0].splitlines() if line[:2] == "- "] == [
        "- `.pre-commit-config.yaml`"
    ]
    assert "docs/watch.md has your edits of docs/monitor.md" in text.partition("### What the update prints")[2]


def test_without_a_newer_release_there_is_no_update_and_the_text_is_empty(
    template: Path, tmp_path: Path, outputs: Callable[[], dict[str, str]], uvx: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project = new_project(template, tmp_path / "project")
    file = tmp_path / "issue.md"
    report_update(Project.load(project), file, tmp_path / "update.patch")
    assert outputs() == {"update": "false", "version": "v1000.0.0", "clean": "false"}
    assert file.read_text(encoding="utf-8") == ""
    assert "v1000.0.0 is the newest release" in capsys.readouterr().out
    assert "copier update" not in uvx.read_text(encoding="utf-8")
    assert not (tmp_path / "update.patch").exists()


def test_a_template_that_cannot_be_reached_is_one_line_with_the_reason(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project")
    recorded = project / ".copier-answers.yml"
    text = recorded.read_text(encoding="utf-8")
    nowhere = (tmp_path / "nowhere.git").as_uri()
    recorded.write_text(text.replace(f"_src_path: {template}", f"_src_path: git+{nowhere}"), encoding="utf-8")
    commit_all(project, "a template that is gone")
    with pytest.raises(UserError) as error:
        report_update(Project.load(project))
    assert f"the template at git+{nowhere} cannot be reached: " in str(error.value)
    assert "\n" not in str(error.value)
    assert "does not appear to be a git repository" in str(error.value) or "does not exist" in str(error.value)


def test_a_release_whose_update_fails_is_one_line_with_the_command_to_try(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project")
    release(template, "v1001.0.0", **{"template/README.md.jinja": "[[ no_such_answer ]]\n"})
    with pytest.raises(UserError, match=r"^the update fails: .*no_such_answer.*; try it by hand: `uvx .*`$"):
        report_update(Project.load(project))


def test_an_answer_that_the_release_refuses_is_one_line_that_names_it(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project", location="uksouth")
    naming = (template / "extensions" / "naming.py").read_text(encoding="utf-8")
    stricter = naming.replace('location_error = _error(r"', 'location_error = _error(r"(?!uk)')
    release(template, "v1001.0.0", **{"extensions/naming.py": stricter})
    with pytest.raises(UserError) as error:
        report_update(Project.load(project))
    line = 'the update fails: this release does not take your answer location: "uksouth" any more (Use a name like '
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_a_project_without_answers_or_without_git_is_refused(template: Path, tmp_path: Path) -> None:
    project = new_project(template, tmp_path / "project")
    release(template, "v1001.0.0")
    shutil.rmtree(project / ".git")
    with pytest.raises(UserError):
        report_update(Project.load(project))
    (project / ".copier-answers.yml").unlink()
    with pytest.raises(UserError, match=r"copier-answers\.yml is missing"):
        report_update(Project.load(project))


def test_the_changelog_has_what_came_after_the_projects_release() -> None:
    changelog = "# Changelog\n\n## Unreleased\n\n- soon\n\n## v2.0.0\n\n- two\n\n## v1.1.0 (2026)\n\n- one\n"
    assert changes_between(changelog, "v1.1.0", "v2.0.0") == "#### v2.0.0\n\n- two"
    assert changes_between(changelog, "v1.0.0-3-gabcdef", "v1.1.0") == "#### v1.1.0 (2026)\n\n- one"
    assert changes_between(changelog, "abcdef", "v2.0.0").endswith("- one")
    assert changes_between(changelog, "v2.0.0", "v3.0.0") == "The template's changelog says nothing about v3.0.0."


# Freshness.


def wheel(folder: Path, name: str, version: str, *requires: str) -> None:
    """Build an empty package."""
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    content = {
        f"{name}.py": f"version = '{version}'\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    digests = {
        path: base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        for path, text in content.items()
    }
    record = "".join(f"{path},sha256={digest},{len(content[path])}\n" for path, digest in digests.items())
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        for path, text in (*content.items(), (f"{info}/RECORD", f"{record}{info}/RECORD,,\n")):
            archive.writestr(path, text)


@pytest.fixture
def locked(tmp_path: Path, uv: str, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that is locked to version 1.0 of its only package; `wheels` is the index."""
    wheels, root = tmp_path / "wheels", tmp_path / "project"
    wheel(wheels, "alpha", "1.0")
    for name in list(os.environ):
        if name.startswith("UV_") or name == "VIRTUAL_ENV":
            monkeypatch.delenv(name)
    for name, value in {"NO_INDEX": "1", "OFFLINE": "1", "FIND_LINKS": str(wheels), "PYTHON": sys.executable}.items():
        monkeypatch.setenv(f"UV_{name}", value)
    monkeypatch.setenv("PATH", f"{Path(uv).parent}{os.pathsep}{os.environ['PATH']}")
    table = '[tool.mlops]\npackage = "p"\nversion = "aml-cli-v2"\ninfrastructure = "existing"\n'
    needs = '[project]\nname = "p"\nversion = "1"\nrequires-python = ">=3.11"\ndependencies = ["alpha>=1,<2"]\n\n'
    (root / "mlops" / "aml-cli-v2").mkdir(parents=True)
    (root / "pyproject.toml").write_text(needs + table, encoding="utf-8")
    (root / "mlops" / "aml-cli-v2" / "pipeline.yml").write_text("image: none\n", encoding="utf-8")
    os.spawnl(os.P_WAIT, uv, "uv", "lock", "--quiet", "--project", str(root))
    commit_all(root, "a project")
    # The checks of a generated project need packages that are not here.
    test = "import alpha; assert alpha.version != '1.2', 'alpha 1.2 does not work'"
    monkeypatch.setattr(freshness, "CHECKS", (("uv", "sync", "--locked"), ("uv", "run", "python", "-c", test)))
    return Project.load(root)


def check(project: Project, tmp_path: Path, day: date = date(2026, 11, 28)) -> str:
    """Return the text of the issue."""
    before, file = files(project.root), tmp_path / "issue.md"
    report_freshness(project, file, day)
    assert files(project.root) == before
    return file.read_text(encoding="utf-8")


def test_newest_packages_that_work_leave_nothing_to_report(
    locked: Project, tmp_path: Path, outputs: Callable[[], dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    wheel(tmp_path / "wheels", "alpha", "1.1")
    wheel(tmp_path / "wheels", "alpha", "2.0")  # not within the range
    assert check(locked, tmp_path) == ""
    assert outputs() == {"fresh": "true"}
    assert "- alpha 1.0 → 1.1" in capsys.readouterr().out


def test_a_newest_package_that_breaks_a_check_is_reported_with_the_output(
    locked: Project, tmp_path: Path, outputs: Callable[[], dict[str, str]]
) -> None:
    wheel(tmp_path / "wheels", "alpha", "1.2")
    text = check(locked, tmp_path)
    assert outputs() == {"fresh": "false"}
    assert "one command does not work" in text
    assert "AssertionError: alpha 1.2 does not work" in text
    assert "- alpha 1.0 → 1.2" in text


def test_a_resolution_that_fails_is_reported(
    locked: Project, tmp_path: Path, outputs: Callable[[], dict[str, str]]
) -> None:
    for file in (tmp_path / "wheels").iterdir():
        file.unlink()
    wheel(tmp_path / "wheels", "alpha", "1.3", "beta>=1")
    text = check(locked, tmp_path)
    assert outputs() == {"fresh": "false"}
    assert "`uv lock --upgrade`:" in text
    assert "beta" in text


def test_an_image_near_its_end_is_reported_and_what_only_the_user_knows_is_not(
    locked: Project, tmp_path: Path, outputs: Callable[[], dict[str, str]]
) -> None:
    definition = locked.definitions / "pipeline.yml"
    image, machine = "mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:20260715.v1", "Standard_X1"
    definition.write_text(f"image: {image}\nsize: {machine}\n", encoding="utf-8")
    commit_all(locked.root, "an old image")
    text = check(locked, tmp_path)
    assert outputs() == {"fresh": "false"}
    ended = "image azureml/openmpi4.1.0-ubuntu20.04 ended on 2025-05-31"
    assert f"- mlops/aml-cli-v2/pipeline.yml: {ended}" in text
    assert machine not in text
    assert "template-update" in text


def test_a_python_is_reported_half_a_year_before_its_end(locked: Project, tmp_path: Path) -> None:
    project = locked.root / "pyproject.toml"
    text = project.read_text(encoding="utf-8").replace(">=3.11", ">=3.11,<3.12")
    project.write_text(text, encoding="utf-8")
    os.spawnlp(os.P_WAIT, "uv", "uv", "lock", "--quiet", "--project", str(locked.root))
    commit_all(locked.root, "one Python")
    assert check(locked, tmp_path, date(2027, 4, 1)) == ""
    assert "Python 3.11 ends on 2027-10-31" in check(locked, tmp_path, date(2027, 5, 2))


def test_an_index_that_cannot_be_reached_is_an_error_and_no_finding(
    locked: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("UV_NO_INDEX")
    monkeypatch.delenv("UV_OFFLINE")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:9/simple")
    shutil.rmtree(tmp_path / "wheels")
    monkeypatch.delenv("UV_FIND_LINKS")
    with pytest.raises(UserError, match=r"^the package index cannot be reached: "):
        check(locked, tmp_path)
    assert not (tmp_path / "issue.md").exists()
