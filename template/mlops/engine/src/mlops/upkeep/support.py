"""What a project stands on ages: images, Python, machines, runners and components that are near their end.

The tables say until when each thing is supported, and who says so. They are the template's: an update brings newer
ones.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from pathlib import PurePosixPath
from typing import NamedTuple

from packaging.specifiers import SpecifierSet


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
# No version has an end of support: those that are listed work, and another one is a reason to look at its changes.
EXTENSIONS = (
    Line(r"2\.44\.1", None, "Azure/azure-cli-extensions, src/machinelearningservices/CHANGELOG.rst, 16 July 2026"),
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
    "extension of az": Kind(re.compile(r"extension add --name ml --version ([\d.]+)"), EXTENSIONS, NEVER),
    # Of an expression, what it falls back on.
    "runner": Kind(re.compile(r"(?:runs-on|vmImage):\s*(?:\$\{\{.*\|\|\s*)?[\"']?([\w.-]+)"), RUNNERS, NEVER),
}

# Azure ML patches an image only under new tags, within 30 days of a fix (README of Azure/AzureML-Containers), and
# supports a dated tag of its inference images for six months after a newer one came (Microsoft Learn, prebuilt images
# for inference). Base images have no such promise, so they get no more time than that.
TAG = re.compile(r"mcr\.microsoft\.com/azureml/([\w./-]+)(?::([\w.-]+))?")
OLD_TAG = timedelta(days=183)

UNLISTED = "is in no table"
PROSE = {".md", ".csv", ".ipynb", ".html", ".zip"}
TABLES = "mlops/engine/src/mlops/upkeep/support.py"  # this file, which names what is gone


def uses(name: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield kind and name of all that a file stands on."""
    for kind, (pattern, *_) in KINDS.items():
        for found in pattern.finditer(text):
            yield kind, "@".join(filter(None, found.groups()))
    if name == "pyproject.toml":
        admitted = SpecifierSet(tomllib.loads(text)["project"]["requires-python"])
        yield from (("Python", f"3.{minor}") for minor in range(30) if f"3.{minor}" in admitted)


def finding(kind: str, name: str, today: date, margin: timedelta | None = None) -> str:
    """Return what is wrong with a thing on this day, or nothing; `margin` replaces that of a new project."""
    _, table, usual = KINDS[kind]
    line = next((line for line in table if re.fullmatch(line.name, name, re.I)), None)
    if line is None:
        return f"{kind} {name} {UNLISTED}: look up whether it is supported, and add a line with the source"
    if line.end is None or line.end - today >= (usual if margin is None else margin):
        return ""
    return f"{kind} {name} {'ended' if line.end < today else 'ends'} on {line.end} ({line.source})"


def tag_finding(name: str, tag: str, today: date) -> str:
    """Return what is wrong with the tag of an image on this day, or nothing."""
    dated = re.fullmatch(r"(\d{4})(\d\d)(\d\d)\.v\d+", tag)
    if not dated:
        return f"image {name}:{tag} has no dated tag, so each build may differ"
    age = today - date(*map(int, dated.groups()))
    return f"image {name}:{tag} is {age.days} days old and no longer patched: take a newer tag" if age > OLD_TAG else ""


def findings(files: Mapping[str, str], today: date, margin: timedelta | None = None) -> list[str]:
    """Return all that is wrong with what these files stand on, each with the file that says it."""
    found = []
    for name, text in files.items():
        lines = [finding(kind, what, today, margin) for kind, what in uses(name, text)]
        lines += [tag_finding(image, tag, today) for image, tag in TAG.findall(text)]
        found += [f"{name}: {line}" for line in dict.fromkeys(lines) if line]
    return found


def read_by_machines(name: str) -> bool:
    """Return whether a machine reads a file, and not people alone."""
    return PurePosixPath(name).suffix not in PROSE and name != TABLES
