"""What a project stands on ages: images, Python, machines, runners, components and pins that are near their end.

The tables (`mlops.upkeep.support` of the engine) say until when each thing is supported, and who says so. A thing that
is in no table is a finding as well: look it up and add a line. A finding is the moment to move on, not to extend a
date.

The tests judge as of the reference date, so they turn red when a change brings something stale in, and not because time
passes. `make freshness` judges as of today; the nightly workflow runs it and keeps an issue with what it finds.
"""

import json
import re
import sys
import warnings
from datetime import date
from functools import cache
from pathlib import Path

import pytest
import yaml
from combinations import ROOT
from conftest import Render, run_uv
from local_wheels import without_own_index
from reference_date import TODAY

# What `mlops freshness` of a project judges with.
sys.path.insert(0, str(ROOT / "template" / "mlops" / "engine" / "src"))
from mlops.upkeep.support import KINDS, MOVE, finding, findings, read_by_machines, tag_finding, uses

OURS = ("copier.yml", "pyproject.toml", "Makefile", ".ci/run", ".github/workflows/*.yml")


def texts(root: Path, patterns: tuple[str, ...] = ("**/*",)) -> dict[str, str]:
    """Contents of the files that a machine reads, by name."""
    paths = sorted({path for pattern in patterns for path in root.glob(pattern)})
    names = {path.relative_to(root).as_posix(): path for path in paths if path.is_file()}
    return {name: path.read_text(encoding="utf-8") for name, path in names.items() if read_by_machines(name)}


@cache
def findings_in(name: str, text: str, today: date) -> list[str]:
    """What is wrong with one file. Most files are the same in all projects and judged once."""
    return findings({name: text}, today)


def all_findings(files: dict[str, str], today: date) -> list[str]:
    """What is wrong with a project."""
    return [line for name, text in files.items() for line in findings_in(name, text, today)]


def test_no_project_starts_on_what_is_retired_or_near_its_end(project: Path) -> None:
    assert not (stale := all_findings(texts(project), TODAY)), "\n".join(stale)
    if soon := all_findings(texts(project), TODAY + MOVE):
        warnings.warn(f"in three months: {'; '.join(soon)}", stacklevel=1)


def test_nor_does_the_template(source: Path) -> None:
    assert not (stale := findings(texts(source, OURS), TODAY)), "\n".join(stale)


def test_every_kind_of_thing_is_found_where_it_is_used(responsible: Path, source: Path) -> None:
    used = {kind for name, text in texts(responsible).items() for kind, _ in uses(name, text)}
    assert used == {"image", "component", "Python", "machine", "runner", "extension of az"}
    used = {kind for name, text in texts(source, OURS).items() for kind, _ in uses(name, text)}
    assert used == {"Python", "machine", "runner", "extension of az"}


def test_the_extension_of_az_is_pinned_to_one_version_wherever_it_is_named(responsible: Path) -> None:
    found = {
        (path.name, line)
        for path in responsible.rglob("*")
        if path.suffix in (".py", ".yml", ".md") and ".venv" not in path.parts
        for line in re.findall(r"az extension add --name ml(?: --version [\d.]+)?", path.read_text(encoding="utf-8"))
    }
    assert {name for name, _ in found} >= {"action.yml", "remedies.py", "operate.md"}
    assert {line for _, line in found} == {"az extension add --name ml --version 2.44.1"}


@pytest.fixture(scope="session")
def responsible(render: Render) -> Path:
    """A project with Responsible AI, which stands on all kinds of things; read it, do not write to it."""
    return render(mlops_version="rai-aml-cli-v2")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("openmpi5.0-ubuntu24.04", "openmpi4.1.0-ubuntu20.04", "azureml/openmpi4.1.0-ubuntu20.04 ended on 2025-05-31"),
        ("openmpi5.0-ubuntu24.04", "openmpi3.1.2-ubuntu22.04", "azureml/openmpi3.1.2-ubuntu22.04 is in no table"),
        ("24.04:20260715.v1", "24.04:20260522.v1", "is 184 days old and no longer patched"),
        ("24.04:20260715.v1", "24.04:latest", "has no dated tag"),
        ("24.04:20260715.v1", "24.04", "has no dated tag"),
        ("- python=3.11", "- python=3.10", "train.yml: Python 3.10 ended on 2026-10-31 (PEP 619)"),
        ('requires-python = ">=3.11', 'requires-python = ">=3.9', "pyproject.toml: Python 3.9 ended on 2025-10-31"),
        ("Standard_D4as_v4", "Standard_DS3_v2", "config/dev.yml: machine Standard_DS3_v2 ends on 2028-05-01"),
        ("Standard_D2as_v4", "Standard_NC6", "machine Standard_NC6 ended on 2023-08-31"),
        ("Standard_D2as_v4", "Standard_X1", "machine Standard_X1 is in no table"),
        ("ubuntu-24.04", "ubuntu-22.04", "workflows/train.yml: runner ubuntu-22.04 ends on 2027-04-17"),
        ("ubuntu-24.04", "ubuntu-latest", "runner ubuntu-latest is in no table"),
        ("--name ml --version 2.44.1", "--name ml --version 2.45.0", "extension of az 2.45.0 is in no table"),
        ("versions/0.22.0", "versions/0.21.0", "component rai_tabular_causal@0.21.0 ended on 2025-12-08"),
        ("components/rai_tabular_causal", "environments/sklearn-1.0", "environment sklearn-1.0 ended on 2024-07-31"),
    ],
)
def test_what_is_retired_or_unlisted_is_named(old: str, new: str, words: str, responsible: Path) -> None:
    today, files = date(2026, 11, 22), texts(responsible)
    before = all_findings(files, today)
    after = all_findings({name: text.replace(old, new) for name, text in files.items()}, today)
    assert any(words in line for line in set(after) - set(before)), after


def test_python_may_stay_until_three_months_before_its_end() -> None:
    assert finding("Python", "3.11", date(2027, 8, 1)) == ""
    assert finding("Python", "3.11", date(2027, 8, 2)) == "Python 3.11 ends on 2027-10-31 (PEP 664)"


def test_a_tag_may_stay_for_six_months() -> None:
    assert tag_finding("openmpi5.0-ubuntu24.04", "20260715.v1", date(2027, 1, 14)) == ""
    assert "184 days old" in tag_finding("openmpi5.0-ubuntu24.04", "20260715.v1", date(2027, 1, 15))


def test_every_line_of_every_table_names_its_source() -> None:
    assert [line.name for kind in KINDS.values() for line in kind.table if not line.source] == []


# --- Pins: what a project asks for can still be had, and together. This asks the package index that uv is set up for.


@pytest.fixture(scope="session")
def index(uv: str) -> None:
    """Skip where no package index answers."""
    result = run_uv(uv, ROOT, "pip", "compile", "--quiet", "--no-cache", "-", input="packaging\n")
    if "Failed to fetch" in result.stderr or "the network was disabled" in result.stderr:
        pytest.skip(f"no package index can be reached: {' '.join(result.stderr.split())[:300]}")
    assert result.returncode == 0, result.stderr


def conda_files(files: dict[str, str]) -> dict[str, tuple[str, list[str]]]:
    """The Python and the pip requirements of each environment that Azure ML builds, by file."""
    found = {}
    for name, text in files.items():
        if name.endswith((".yml", ".yaml")) and re.search(r"^dependencies:", text, re.M):
            dependencies = yaml.safe_load(text)["dependencies"]
            (python,) = [each.split("=", 1)[1] for each in dependencies if str(each).startswith("python=")]
            (pins,) = [each["pip"] for each in dependencies if isinstance(each, dict)]
            found[name] = python, pins
    return found


@cache
def cannot_install(uv: str, python: str, pins: tuple[str, ...]) -> str:
    """Why Azure ML's Linux cannot install these together; nothing if it can. The versions share most of them."""
    options = ("--quiet", "--python-version", python, "--python-platform", "linux")
    result = run_uv(uv, ROOT, "pip", "compile", *options, "-", input="\n".join(pins))
    return result.stderr if result.returncode else ""


PROJECT, ENGINE = "pyproject.toml", "mlops/engine/pyproject.toml"  # two members of one workspace


def cannot_lock(uv: str, files: dict[str, str], pins: list[str], folder: Path) -> str:
    """Why the project's own environment cannot be had with these versions; nothing if it can."""
    held = f"[tool.uv]\nconstraint-dependencies = {json.dumps(pins)}\n"
    project = without_own_index(files[PROJECT])  # which not every machine reaches, and which has the same versions
    text = project.replace("[tool.uv]\n", held) if "[tool.uv]\n" in project else f"{project}\n{held}"
    for name, content in ((PROJECT, text), (ENGINE, files[ENGINE])):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    result = run_uv(uv, folder, "lock", "--quiet")
    return result.stderr if result.returncode else ""


def pin_findings(uv: str, files: dict[str, str], folder: Path) -> list[str]:
    """What Azure ML cannot install; and if it can, whether the project's tests can run with the same versions."""
    environments = conda_files(files)
    if loose := [f"{name}: {pin}" for name, (_, pins) in environments.items() for pin in pins if "==" not in pin]:
        return [f"{each} is not exact" for each in loose]
    reasons = {name: cannot_install(uv, python, tuple(pins)) for name, (python, pins) in environments.items()}
    if not any(reasons.values()):
        everything = sorted({pin for _, pins in environments.values() for pin in pins})
        together = f"pyproject.toml with {', '.join(environments)}"
        reasons[together] = cannot_lock(uv, files, everything, folder)
    return [f"{name}: {reason}" for name, reason in reasons.items() if reason]


@pytest.mark.big
@pytest.mark.usefixtures("index")
def test_what_azure_installs_can_be_had_and_is_what_the_project_is_tested_with(
    flavour: Path, uv: str, tmp_path: Path
) -> None:
    assert {Path(name).name for name in conda_files(texts(flavour))} >= {"train.yml", "inference.yml"}
    assert not (broken := pin_findings(uv, texts(flavour), tmp_path)), "\n".join(broken)


@pytest.mark.big
@pytest.mark.usefixtures("index")
def test_the_lock_file_of_the_template_fits_its_ranges(uv: str) -> None:
    result = run_uv(uv, ROOT, "lock", "--check", "--quiet")
    assert result.returncode == 0, result.stderr


@pytest.mark.big
@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("pin", "words"),
    [
        ("matplotlib==3.11.999", "train.yml: error: No solution found"),
        ("matplotlib==3.8.4", "pyproject.toml with data-science/environment/train.yml: error: No solution found"),
        ("matplotlib>=3.11", "train.yml: matplotlib>=3.11 is not exact"),
    ],
)
def test_a_pin_that_cannot_be_had_or_was_not_tested_or_is_open_is_named(
    pin: str, words: str, responsible: Path, uv: str, tmp_path: Path
) -> None:
    name = "data-science/environment/train.yml"
    files = {each: (responsible / each).read_text(encoding="utf-8") for each in (name, PROJECT, ENGINE)}
    files[name] = re.sub(r"matplotlib==[\d.]+", pin, files[name])
    (found,) = pin_findings(uv, files, tmp_path)
    assert words in found
    assert "matplotlib" in found
