"""What a project stands on ages: images, Python, machines, runners, components and pins that are near their end.

The tables say until when each thing is supported, and who says so. A thing that is in no table is a finding as well:
look it up and add a line. A finding is the moment to move on, not to extend a date.

The tests judge as of the reference date, so they turn red when a change brings something stale in, and not because time
passes. `make freshness` judges as of today; the nightly workflow runs it and keeps an issue with what it finds.
"""

import json
import re
import tomllib
import warnings
from collections.abc import Iterator
from datetime import date, timedelta
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from combinations import ROOT
from conftest import Render, run_uv
from local_wheels import without_own_index
from packaging.specifiers import SpecifierSet
from reference_date import TODAY


class Line(NamedTuple):
    """What a name matches as a whole, the day its support ends (None: none is announced), and who says so."""

    name: str
    end: date | None
    source: str


LISTED = "Azure/AzureML-Containers, README, 16 March 2026: the supported base images"
CURATED = "Azure/azureml-assets, branch release, 23 July 2026"
FROZEN = "Azure/azureml-assets: published, but unchanged since May 2024"
SIZES = "Microsoft Learn, managed online endpoints, list of sizes; no end in Azure/EOL of 18 December 2025"
GONE = "Microsoft Learn, machine-learning/includes/retiring-vms.md"

IMAGES = (
    Line(r"azureml/.*ubuntu18\.04.*", date(2023, 5, 31), "Ubuntu release cycle: end of standard support"),
    Line(r"azureml/.*ubuntu20\.04.*", date(2025, 5, 31), "Ubuntu release cycle: end of standard support"),
    Line(r"azureml/openmpi4\.1\.0-ubuntu22\.04", None, LISTED),
    Line(r"azureml/openmpi5\.0-ubuntu24\.04", None, LISTED),
    Line(r"azureml/openmpi5\.0-cuda12\.[45]-ubuntu22\.04", None, LISTED),
    Line(r"azureml/openmpi5\.0-cuda(12\.[68]|13\.1)-ubuntu24\.04", None, LISTED),
    Line(r"azureml/inference-base-(2204|cuda12\.4-ubuntu22\.04)", None, CURATED),
    Line(r"azureml/minimal-py312-inference", None, "Microsoft Learn, prebuilt images for inference, September 2025"),
)
ENVIRONMENTS = (
    Line(r"responsibleai-(vision|text)", date(2025, 8, 6), "Azure/azureml-assets #4376: removed"),
    Line(r"(minimal|mlflow)-ubuntu20\.04-.*", date(2025, 2, 4), "Azure/azureml-assets #3795: removed"),
    Line(r"tensorflow-2\.1[12]-cuda11", date(2024, 9, 6), "Azure/azureml-assets, commit b8adff8afd: removed"),
    Line(r"acpt-pytorch-2\.[01]-.*", date(2024, 7, 31), "Azure/azureml-assets: removed"),
    Line(r"sklearn-1\.[01]|acpt-pytorch-1\.13-cuda11\.7", date(2024, 7, 31), FROZEN),
    Line(r"tensorflow-2\.16-cuda11", date(2026, 3, 31), "Azure/azureml-assets: published, but frozen since March 2026"),
    Line(r"AzureML-.*", date(2024, 7, 31), "the old names; current ones are in the registry azureml"),
    Line(r"sklearn-1\.5|lightgbm-3\.3|ai-ml-automl.*", None, CURATED),
    Line(r"acpt-pytorch-2\.8-cuda12\.6|acft-.*-gpu|tensorflow-2\.16-cuda12", None, CURATED),
    Line(r"(minimal-py311|minimal-py312-cuda12\.4|mlflow-py312|mlflow-model)-inference", None, CURATED),
    Line(r"responsibleai-tabular", None, CURATED),
)
COMPONENTS = (
    Line(r"rai_tabular_\w+@0\.22\.0", None, "Azure/azureml-assets #4670, unchanged on 23 July 2026"),
    Line(r"rai_tabular_\w+@.*", date(2025, 12, 8), "Azure/azureml-assets #4670: 0.22.0 came after it"),
)
PYTHON = (
    Line(r"3\.9", date(2025, 10, 31), "PEP 596"),
    Line(r"3\.10", date(2026, 10, 31), "PEP 619"),
    Line(r"3\.11", date(2027, 10, 31), "PEP 664"),
    Line(r"3\.12", date(2028, 10, 31), "PEP 693"),
    Line(r"3\.13", date(2029, 10, 31), "PEP 719"),
    Line(r"3\.14", date(2030, 10, 31), "PEP 745"),
)
MACHINES = (
    Line(r"standard_(nc\d+r?|nc\d+r?s_v2|nd\d+r?s)(_promo)?", date(2023, 8, 31), GONE),
    Line(r"standard_nv\d+(_promo)?", date(2023, 9, 6), GONE),
    Line(r"standard_(a\d+|hb60rs)", date(2024, 8, 31), GONE),
    Line(r"standard_nc24rs_v3", date(2025, 3, 31), "Azure/EOL: NCv3"),
    Line(r"standard_nc(6|12|24)s_v3", date(2025, 9, 30), "Azure/EOL: NCv3"),
    Line(r"standard_nv\d+(s_v3|as_v4)", date(2026, 9, 30), "Azure/EOL 500573, 500578: NVv3, NVv4"),
    Line(r"standard_(ds?\d+(-\d+)?(_v2)?|l\d+s)", date(2028, 5, 1), "Azure/EOL 485569: D, Ds, Dv2, DSv2, Ls"),
    Line(r"standard_(f\d+s?(_v2)?|l\d+s_v2|gs?\d+|a\d+m?_v2|b\d+l?m?s)", date(2028, 11, 15), "Azure/EOL 500682"),
    Line(r"standard_(d\d+as_v4|e\d+s_v3|l\d+a?s_v3)", None, SIZES),
    Line(r"standard_(nc\d+as_t4_v3|nc\d+ads_a100_v4|nc40ads_h100_v5|nv\d+ads_a10_v5)", None, SIZES),
)
RUNNERS = (
    Line(r"ubuntu-20\.04", date(2025, 4, 15), "actions/runner-images #11101"),
    Line(r"windows-2019", date(2025, 6, 30), "actions/runner-images #12045"),
    Line(r"macos-13", date(2025, 12, 4), "actions/runner-images #13046"),
    Line(r"ubuntu-22\.04", date(2027, 4, 17), "actions/runner-images #14254"),
    Line(r"ubuntu-24\.04", None, "actions/runner-images, README, 21 August 2026"),
)


class Kind(NamedTuple):
    """Where a kind of thing is used in a text, its table, and how long before its end it must be replaced."""

    uses: re.Pattern[str]
    table: tuple[Line, ...]
    margin: timedelta


# A new project lives for years, so it does not start on what has an announced end. Every Python has one: then three
# months are enough to move.
NEVER, MOVE = timedelta.max, timedelta(days=91)
KINDS = {
    "image": Kind(re.compile(r"mcr\.microsoft\.com/([\w./-]+)(?=[:@\s\"']|$)", re.M), IMAGES, NEVER),
    "environment": Kind(
        re.compile(r"registries/azureml/environments/([\w.-]+)|\b(AzureML-[\w.-]+)"), ENVIRONMENTS, NEVER
    ),
    "component": Kind(
        re.compile(r"registries/azureml/components/(\w+)/(?:versions|labels)/([\w.]+)"), COMPONENTS, NEVER
    ),
    "Python": Kind(re.compile(r"python(?:[-_]version)?[\"']?(?:\s*[=:]=?\s*|\s)[\"']?(3\.\d+)", re.I), PYTHON, MOVE),
    "machine": Kind(re.compile(r"\b(standard_[a-z]+\d\w*(?:-\d\w*)?)", re.I), MACHINES, NEVER),
    # Of an expression, what it falls back on.
    "runner": Kind(re.compile(r"(?:runs-on|vmImage):\s*(?:\$\{\{.*\|\|\s*)?[\"']?([\w.-]+)"), RUNNERS, NEVER),
}

# Azure ML patches an image only under new tags, within 30 days of a fix (README of Azure/AzureML-Containers), and
# supports a dated tag of its inference images for six months after a newer one came (Microsoft Learn, prebuilt images
# for inference). Base images have no such promise, so they get no more time than that.
TAG = re.compile(r"mcr\.microsoft\.com/azureml/([\w./-]+)(?::([\w.-]+))?")
OLD_TAG = timedelta(days=183)

OURS = ("copier.yml", "pyproject.toml", "Makefile", ".ci/run", ".github/workflows/*.yml")
PROSE = {".md", ".csv", ".ipynb", ".html", ".zip"}


def texts(root: Path, patterns: tuple[str, ...] = ("**/*",)) -> dict[str, str]:
    """Contents of the files that a machine reads, by name."""
    paths = sorted({path for pattern in patterns for path in root.glob(pattern)})
    read = [path for path in paths if path.is_file() and path.suffix not in PROSE]
    return {path.relative_to(root).as_posix(): path.read_text(encoding="utf-8") for path in read}


def uses(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Kind and name of all that this file stands on."""
    for kind, (pattern, *_) in KINDS.items():
        for found in pattern.finditer(text):
            yield kind, "@".join(filter(None, found.groups()))
    if name == "pyproject.toml":
        admitted = SpecifierSet(tomllib.loads(text)["project"]["requires-python"])
        yield from (("Python", f"3.{minor}") for minor in range(30) if f"3.{minor}" in admitted)


def finding(kind: str, name: str, today: date) -> str:
    """What is wrong with a thing on this day; nothing if it is fine."""
    _, table, margin = KINDS[kind]
    line = next((line for line in table if re.fullmatch(line.name, name, re.I)), None)
    if line is None:
        return f"{kind} {name} is in no table: look up whether it is supported, and add a line with the source"
    if line.end is None or line.end - today >= margin:
        return ""
    return f"{kind} {name} {'ended' if line.end < today else 'ends'} on {line.end} ({line.source})"


def tag_finding(name: str, tag: str, today: date) -> str:
    """What is wrong with the tag of an image on this day; nothing if it is fine."""
    dated = re.fullmatch(r"(\d{4})(\d\d)(\d\d)\.v\d+", tag)
    if not dated:
        return f"image {name}:{tag} has no dated tag, so each build may differ"
    age = today - date(*map(int, dated.groups()))
    return f"image {name}:{tag} is {age.days} days old and no longer patched: take a newer tag" if age > OLD_TAG else ""


def findings(files: dict[str, str], today: date) -> list[str]:
    """All that is stale on this day, with the file that says it."""
    found = []
    for name, text in files.items():
        lines = [finding(kind, what, today) for kind, what in uses(name, text)]
        lines += [tag_finding(image, tag, today) for image, tag in TAG.findall(text)]
        found += [f"{name}: {line}" for line in dict.fromkeys(lines) if line]
    return found


def test_no_project_starts_on_what_is_retired_or_near_its_end(project: Path) -> None:
    assert not (stale := findings(texts(project), TODAY)), "\n".join(stale)
    if soon := findings(texts(project), TODAY + MOVE):
        warnings.warn(f"in three months: {'; '.join(soon)}", stacklevel=1)


def test_nor_does_the_template(source: Path) -> None:
    assert not (stale := findings(texts(source, OURS), TODAY)), "\n".join(stale)


def test_every_kind_of_thing_is_found_where_it_is_used(responsible: Path, source: Path) -> None:
    used = {kind for name, text in texts(responsible).items() for kind, _ in uses(name, text)}
    assert used == {"image", "component", "Python", "machine", "runner"}
    used = {kind for name, text in texts(source, OURS).items() for kind, _ in uses(name, text)}
    assert used == {"Python", "machine", "runner"}


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
        ("versions/0.22.0", "versions/0.21.0", "component rai_tabular_causal@0.21.0 ended on 2025-12-08"),
        ("components/rai_tabular_causal", "environments/sklearn-1.0", "environment sklearn-1.0 ended on 2024-07-31"),
    ],
)
def test_what_is_retired_or_unlisted_is_named(old: str, new: str, words: str, responsible: Path) -> None:
    today, files = date(2026, 11, 22), texts(responsible)
    before = findings(files, today)
    after = findings({name: text.replace(old, new) for name, text in files.items()}, today)
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
