"""What prepares, trains, judges and scores in the projects, by the tests in tests/data_science.

Those are of this repository alone: a project has tests of its data and its model. They run in the environment of a
rendered project, on its code and its sample: what knows no type of data runs once, the steps with each type.
"""

import re
import shlex
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from combinations import ROOT, label
from conftest import DEFAULTS, Render, Run

SUITE = ROOT / "tests" / "data_science"
CORE = ("core", "report", "test_conversion.py", "test_model_output.py", "test_table_file.py")
# What these steps do depends on the type of data and its models; what the others do does not.
STEPS = ("steps/test_gate.py", "steps/test_join.py", "steps/test_tune.py", "test_lone_files.py")


class Row(NamedTuple):
    """Tests that run in one process.

    Attributes:
        answers: those of the project.
        samples: the folders with `samples.py`, which has the small projects of a type, and what that imports.
        tests: files and folders.
        chosen: an expression of pytest's option `-k`.
    """

    answers: dict[str, str]
    samples: tuple[str, ...]
    tests: tuple[str, ...]
    chosen: str = ""


RAI = {"mlops_version": "rai-aml-cli-v2"}
IMAGES = {"project_type": "cv"}
TEXTS = {"project_type": "nlp"}
SUMMARIES_OF_TEXTS = TEXTS | {"nlp_task": "summarization"}
CLASSES, SUMMARIES = ("nlp", "nlp/classification"), ("nlp", "nlp/summarization")
# Most tests of the search have a model of a known score, and none of the type.
SEARCHES = "not test_tune or search_improves or finds_nothing_better"
OLDER = (*CORE[2:], *STEPS, "classical")
# What Python of ours decides and says with any libraries, once these have read, trained and scored as the others test.
OURS = """
    test_tune or full_disk or test_drift and (passes or demands or champion)
    or test_evaluate and (champion or replaced or cohort or limit or a_baseline or settings or report or summary)
    or test_features and (what_is_wrong or wrong_list or limits or lint or named or champion or moves_no_row
    or when_the_file or no_file)
"""
ROWS = (
    Row({}, ("classical",), (*CORE, "steps", "test_lone_files.py", "classical/steps", "classical/tabular")),
    # With older libraries. How often chance is drift is counted once; what a page says of odd values is Python of ours,
    # and the loop of test_project.py draws its charts with these libraries, too.
    Row(RAI, ("classical",), OLDER, f"not at_most_5_percent and not ({OURS})"),
    Row(IMAGES, ("cv",), (*STEPS, "neural", "cv/steps", "cv/vision"), SEARCHES),
    # That of texts is the same; a test in test_project.py compares them.
    Row(IMAGES | RAI, ("cv",), ("responsible_ai", "cv/responsible_ai")),
    Row(TEXTS, CLASSES, (*STEPS, "neural", "nlp/classification"), SEARCHES),
    Row(SUMMARIES_OF_TEXTS, SUMMARIES, (*STEPS, "nlp/summarization"), SEARCHES),
)


def test_each_file_with_tests_is_in_a_row() -> None:
    named = {path for row in ROWS for name in row.tests for path in [SUITE / name, *(SUITE / name).rglob("*")]}
    assert set(SUITE.rglob("test_*.py")) - named == set()


def test_what_reads_and_draws_has_the_same_libraries_with_each_type_of_data(render: Render) -> None:
    """What knows no type is tested with those of tables."""
    names = ("jinja2", "matplotlib", "numpy", "pandas", "pyarrow")
    found = []
    for answers in ({}, IMAGES, TEXTS, SUMMARIES_OF_TEXTS):
        project = tomllib.loads((render(**answers) / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        found.append({pin for pin in project["dependencies"] if re.split("[<>=]", pin)[0] in names})
    assert len(found[0]) == len(names)
    assert all(each == found[0] for each in found)


def options(row: Row, suite: Path) -> list[str]:
    """The arguments of pytest, with the folder of all these tests."""
    config = ["-c", (suite / "pytest.ini").as_posix(), "-o", f"pythonpath={' '.join(row.samples)}"]
    return [*config, *((suite / name).as_posix() for name in row.tests)]


def run_row(row: Row, project: Path, run: Run, folder: Path) -> None:
    """Run the tests of a row on a project, in an empty folder, and check that all pass."""
    chosen = ["-k", " ".join(row.chosen.split())] if row.chosen else []
    command = ["pytest", "-q", *options(row, SUITE), *chosen]
    result = run(project, *command, timeout=1800, cwd=folder, MLOPS_TEST_PROJECT=str(project))
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert re.search(r"\d+ passed", result.stdout)
    assert "skipped" not in result.stdout.splitlines()[-1]


def test_ci_runs_those_of_tables_on_other_systems_too() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    [step] = [each for each in workflow["jobs"]["platforms"]["steps"] if "data_science" in each.get("run", "")]
    assert step["env"] == {"MLOPS_TEST_PROJECT": "demo"}
    command = ["uv", "run", "--project", "demo", "pytest", *options(ROWS[0], SUITE.relative_to(ROOT))]
    assert shlex.split(step["run"]) == command


@pytest.mark.parametrize("row", ROWS, ids=[label(DEFAULTS | row.answers) for row in ROWS])
def test_the_steps_of_the_projects_pass(row: Row, render: Render, run_with_others: Run, tmp_path: Path) -> None:
    run_row(row, render(**row.answers), run_with_others, tmp_path)


@pytest.mark.big
@pytest.mark.about(project_type="classical", mlops_version="rai-aml-cli-v2")
def test_what_is_ours_passes_with_older_libraries_too(render: Render, run_with_others: Run, tmp_path: Path) -> None:
    """What their row leaves out."""
    run_row(Row(RAI, ("classical",), OLDER, OURS), render(**RAI), run_with_others, tmp_path)
