"""A type of data that is not on the menu is one folder and one line in `copier.yml`, and everything works with it.

The type is in `toy_type`: series of numbers in JSON lines.
"""

import ast
import csv
import json
import re
import shutil
from importlib.util import resolve_name
from pathlib import Path

import copier
import pytest
from combinations import ROOT
from conftest import SUFFIX, Render, Run
from test_data_science import Row, run_row

TOY = ROOT / "tests" / "toy_type"
LINE = '    "Series of numbers in JSON lines": toy\n'

pytestmark = pytest.mark.xdist_group("toy")  # the tests share a project


def overlay(template: Path, kind: str) -> Path:
    """The folder of everything that one project type has and no other."""
    return template / f"[% if project_type == '{kind}' %].[% endif %]"


def files(folder: Path, package: str = "") -> dict[str, bytes]:
    """The content of every file in a folder by the path that it has in a project."""
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {
        name.replace("[[ package_name ]]", package).removesuffix(".jinja"): content
        for name, content in found.items()
        if "__pycache__" not in name
    }


@pytest.fixture(scope="session")
def toy(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of the toy type, from a template that has it on the menu."""
    template = shutil.copytree(source, tmp_path_factory.mktemp("template") / "template")
    shutil.copytree(TOY, overlay(template / "template", "toy"), ignore=shutil.ignore_patterns("__pycache__"))
    menu = (template / "copier.yml").read_text(encoding="utf-8")
    changed, count = re.subn(r"(?<=: nlp\n)(?=  default: classical)", LINE, menu)
    assert count == 1
    (template / "copier.yml").write_text(changed, encoding="utf-8")
    project = tmp_path_factory.mktemp("toy")
    answers = {"project_type": "toy", "name_suffix": SUFFIX}
    copier.run_copy(str(template), project, data=answers, defaults=True, quiet=True, unsafe=True)
    return project


def test_no_file_differs_but_those_of_the_two_types(toy: Path, render: Render) -> None:
    package = next((toy / "data-science" / "src").glob("*/score.py")).parent.name
    ours, tables = files(toy), files(render())
    own = files(TOY, package).keys() | files(overlay(ROOT / "template", "classical"), package).keys()
    different = {name for name in ours.keys() | tables.keys() if ours.get(name) != tables.get(name)}
    # A part is in no project: what it adds to pyproject.toml are the libraries of the type, to README.md its own pages.
    assert different - own == {".copier-answers.yml", "pyproject.toml", "README.md"}
    assert {name for name in files(TOY, package) if not name.endswith(".part")} <= ours.keys()


# Predictions are a csv file for every type. Azure ML's components for Responsible AI accept nothing but tables, so the
# files that have responsible_ai in their path do too. The last is a value of CSS. Examples of each type may be
# listed in a table, so its readers serve all.
NAMES = re.compile(r"csv|parquet|flight|tabular|\bvision\b|handwritten|pillow|project_type [=!]=", re.I)
ALLOWED = re.compile(r"predictions\.csv|\.to_csv\(output|rai_tabular_\w+|tabular-nums")


def test_no_shared_file_names_a_type_or_its_sample() -> None:
    types = sorted(path for path in (ROOT / "template").iterdir() if "project_type ==" in path.name)
    assert types == [overlay(ROOT / "template", kind) for kind in ("classical", "cv", "nlp")]
    for path in sorted((ROOT / "template").rglob("*")):
        shared = not any(path.is_relative_to(folder) for folder in types)
        # The table of what Azure ends has Azure's names.
        passed = re.search(r"responsible_ai|/tables\.py|table_file\.py|upkeep/support|__pycache__", path.as_posix())
        if path.is_file() and shared and not passed:
            text = ALLOWED.sub("", path.read_text(encoding="utf-8"))
            if found := NAMES.search(text):
                pytest.fail(f"{path}: line {text[: found.start()].count(chr(10)) + 1} has {found[0]!r}")


@pytest.fixture(scope="session")
def local(toy: Path, run_with_others: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy of the project after a local loop, and what the loop printed."""
    project = shutil.copytree(toy, tmp_path_factory.mktemp("local") / "project")
    result = run_with_others(project, "mlops.cli", "local")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return project, result.stdout


# Each type of data, and each task of one that has several.
EACH: tuple[dict[str, str], ...] = (
    {},
    {"project_type": "cv"},
    {"project_type": "nlp"},
    {"project_type": "nlp", "nlp_task": "summarization"},
)
OF_STEPS = {"core", "report", "modality", "added_features", "conversion", "model_output"}
ARROWS = {
    "core": {"core", "added_features", "archive_file", "conversion", "model_output", "table_file"},
    "report": {"core", "report"},
    "series": {"core", "report", "series", "data_file"},
    "neural": {"core", "neural"},
    "text": {"core", "neural", "report", "text", "archive_file", "data_file", "model_output", "text_model"},
    "vision": {"core", "neural", "report", "vision", "archive_file", "data_file", "image_model", "model_output"},
    "tabular": {"core", "report", "tabular", "conversion", "models", "table_file", "model_output"},
    "modality.py": {"series", "tabular", "text", "vision"},
    "added_features.py": {"conversion"},
    "archive_file.py": set(),
    "conversion.py": set(),
    "data_file.py": {"archive_file", "image_model", "table_file", "text_model"},
    "features.py": set(),
    "image_model.py": set(),
    "model_output.py": set(),
    "models.py": {"tabular"},
    "score.py": set(),
    "table_file.py": set(),
    "text_model.py": set(),
}


def test_no_import_points_back_and_no_step_names_the_type(toy: Path, render: Render) -> None:
    sources = [project / "data-science" / "src" for project in (toy, *(render(**answers) for answers in EACH))]
    for path in [path for source in sources for path in source.rglob("*.py")]:
        package = next(folder for folder in path.parents if folder.parent in sources)
        part = path.relative_to(package).parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level:
                name = "." * node.level + (node.module or node.names[0].name)
                target = resolve_name(name, ".".join(path.parent.relative_to(package.parent).parts)).split(".")[1]
                assert target in ARROWS.get(part, OF_STEPS), f"{path}: {name}"


def test_its_lint_finds_nothing(local: tuple[Path, str]) -> None:
    assert re.search(r"^lint +\d+\.\d s  no ", local[1], re.M)


def test_the_local_loop_ends_with_a_live_score_and_a_report(local: tuple[Path, str]) -> None:
    project, printed = local
    assert re.search(r"evaluate .* mae 0\.\d+: promote", printed)
    assert re.search(r"scored +\d+ rows by http://127\.0\.0\.1:\d+/score: \[-?\d", printed)
    assert re.search(r"new: mae 0\.\d+; mean baseline \d+\.\d+; last baseline 1\.\d+\n", printed)
    report = (project / ".local" / "report" / "index.html").read_text(encoding="utf-8")
    assert "What the model looks at" in report
    assert "By length" in report


def test_a_batch_of_files_of_the_type_is_scored(local: tuple[Path, str]) -> None:
    project, printed = local
    assert re.search(r"^batch +\d+\.\d s  20 rows in 1 files: predictions\.csv$", printed, re.M)
    [table] = (project / ".local" / "runs").glob("*/predictions.csv")
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = (project / "data" / "production" / "later.jsonl").read_text(encoding="utf-8").splitlines()
    expected = [json.loads(line)["next"] for line in lines]
    assert [float(row["prediction"]) for row in rows] == pytest.approx(expected, abs=1)


def test_the_drift_step_reads_the_files_of_the_type(
    local: tuple[Path, str], run_with_others: Run, tmp_path: Path
) -> None:
    project, _ = local
    package = next((project / "data-science" / "src").glob("*/score.py")).parent.name
    [train] = (project / ".local" / "runs").glob("*/prep/train_data")
    lines = [json.dumps({"id": f"{n}", "series": [90, 91, 90 + n / 100], "next": 91}) for n in range(50)]
    (tmp_path / "later.jsonl").write_text("\n".join(lines), encoding="utf-8")
    options = ["--schema", "data/schema.yml", "--settings", "config/model.yml", "--drift", str(tmp_path / "out")]
    folders = ["--train-data", str(train), "--production-data", str(tmp_path)]
    environment = {"MLFLOW_TRACKING_URI": f"sqlite:///{(project / '.local' / 'mlflow.db').as_posix()}"}
    result = run_with_others(project, f"{package}.drift", *folders, *options, **environment)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "error: 2 of 2 columns drifted: level, spread" in result.stderr


def test_its_own_tests_pass(toy: Path, run_with_others: Run, tmp_path: Path) -> None:
    project = shutil.copytree(toy, tmp_path / "project")
    result = run_with_others(project, "pytest", "-q", "-p", "no:cacheprovider")
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert re.search(r"^\d\d passed", result.stdout, re.M)


def test_the_shared_tests_of_the_gate_pass(toy: Path, run_with_others: Run, tmp_path: Path) -> None:
    run_row(Row({}, ("toy",), ("steps/test_gate.py",)), toy, run_with_others, tmp_path)


def test_a_task_that_the_type_does_not_have_is_refused_in_one_line(
    local: tuple[Path, str], run_with_others: Run, tmp_path: Path
) -> None:
    project, _ = local
    package = next((project / "data-science" / "src").glob("*/score.py")).parent.name
    schema = (project / "data" / "schema.yml").read_text(encoding="utf-8").replace("regression", "classification")
    (tmp_path / "schema.yml").write_text(schema, encoding="utf-8")
    options = ["--raw-data", "data/raw", "--schema", str(tmp_path / "schema.yml"), "--settings", "config/model.yml"]
    outputs = ["--train-data", str(tmp_path / "train"), "--test-data", str(tmp_path / "test")]
    result = run_with_others(project, f"{package}.prep", *options, *outputs)
    assert result.returncode == 1
    [line] = result.stderr.strip().splitlines()
    assert line.endswith("task 'classification' is unknown; choose one of regression")
