"""A messy file becomes a first promoted model by two commands, in at most three; another one ends in one line.

Which files are tried is in messy_files.py. All are drafted, accepted and prepared by draft_messy_files.py, in the
environment of a project; here three of them, and texts and pictures, go through the whole loop.
"""

import csv
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from combinations import ROOT
from conftest import Render, Run
from messy_files import Content, changed, customers, day, german, text

MAIN = {"mlops_version": "aml-cli-v2"}


def test_messy_files_are_drafted_accepted_and_prepared_or_refused_in_one_line(
    render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    project = render(**MAIN)
    config = ["-c", str(ROOT / "tests" / "engine" / "pytest.ini")]
    suite = str(ROOT / "tests" / "draft_messy_files.py")
    variables = {"MLOPS_TEST_PROJECT": str(project), "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    result = run_with_others(project, "pytest", "-q", *config, suite, cwd=tmp_path, timeout=1200, **variables)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert int(re.findall(r"(\d+) passed", result.stdout)[0]) > 60


def prices(count: int, seed: int) -> list[dict]:
    """Rows with a number to predict."""
    rows = customers(count, seed)
    return [{**row, "price": round(20 + row["calls per month"] + row["fee"] / 50, 2)} for row in rows]


def spanish(rows: list[dict]) -> Content:
    """A table as a spreadsheet of another country saves it."""
    rows = changed(rows, fee=german, since=day("D/M/Y"), is_member={"yes": "sí", "no": "no"}.get)
    return "Clientes\n\n".encode("cp1252") + text(rows, ";").encode("cp1252")


def american(rows: list[dict]) -> Content:
    """A table with dollars, dates with the month first, and words for missing values."""
    rows = changed(
        rows, fee=lambda fee: f"${fee:,.2f}", since=day("M/D/y"), region=lambda name: name.replace("east", "?")
    )
    return text(rows, "\t", quoting=csv.QUOTE_ALL, end="\r\n").encode("utf-16")


def german_prices(rows: list[dict]) -> Content:
    """A table with a number to predict, with decimal commas."""
    return text(changed(rows, fee=german, price=lambda price: f"{german(price)} €", since=day("D.M.Y")), ";")


TABLES: dict[str, tuple[Callable[[list[dict]], Content], Callable[[int, int], list[dict]]]] = {
    "spanish": (spanish, customers),
    "american": (american, customers),
    "german": (german_prices, prices),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_messy_table_becomes_a_promoted_model_by_two_commands_and_later_files_are_scored_likewise(
    name: str, render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    write, rows = TABLES[name]
    project = shutil.copytree(render(**MAIN), tmp_path / "project")
    (tmp_path / "hers.csv").write_bytes(content(write(rows(600, 1))))
    drafted = run_with_others(project, "mlops.cli", "schema", str(tmp_path / "hers.csv"), "--accept")
    assert drafted.returncode == 0, drafted.stdout + drafted.stderr
    # What arrives later is written in the same way; a request has plain values.
    (project / "data" / "production" / "later.csv").write_bytes(content(write(rows(80, 2))))
    looped = run_with_others(project, "mlops.cli", "local", *(["--skip-lint"] if name != "spanish" else []))
    assert looped.returncode == 0, looped.stdout[-3000:] + looped.stderr[-3000:]
    assert "registered version 1" in looped.stdout
    assert re.search(r"batch .* 80 rows in 1 files", looped.stdout)
    assert re.search(r"^drift +\d+ of \d+ columns drifted", looped.stdout, re.MULTILINE)
    batch = next((project / ".local" / "runs").rglob("predictions.csv")).read_text(encoding="utf-8")
    assert len(batch.splitlines()) == 81
    assert decision(project)["promote"] is True


@pytest.mark.about(mlops_version="rai-aml-cli-v2")
def test_responsible_ai_analyses_the_model_of_a_messy_table_without_an_edit(
    render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    project = shutil.copytree(render(mlops_version="rai-aml-cli-v2"), tmp_path / "project")
    (tmp_path / "hers.csv").write_bytes(content(spanish(customers(300, 1))))
    # A few rows are enough: each takes seconds.
    settings = project / "config" / "model.yml"
    settings.write_text(
        settings.read_text(encoding="utf-8").replace("test_rows: 60", "test_rows: 10"), encoding="utf-8"
    )
    drafted = run_with_others(project, "mlops.cli", "schema", str(tmp_path / "hers.csv"), "--accept")
    assert drafted.returncode == 0, drafted.stdout + drafted.stderr
    looped = run_with_others(project, "mlops.cli", "local")
    assert looped.returncode == 0, looped.stdout[-3000:] + looped.stderr[-3000:]
    assert "registered version 1" in looped.stdout
    assert (project / ".local" / "report" / "score_card" / "score-card.html").is_file()


def test_a_champion_of_other_data_gives_way_by_the_command_that_is_shown(
    render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    """As after a first run with the sample: its model and a new one can never be compared."""
    project = shutil.copytree(render(**MAIN), tmp_path / "project")
    for number, name in enumerate(("german", "spanish"), 1):
        write, rows = TABLES[name]
        (tmp_path / f"{name}.csv").write_bytes(content(write(rows(600, 1))))
        drafted = run_with_others(project, "mlops.cli", "schema", str(tmp_path / f"{name}.csv"), "--accept")
        (shown,) = re.findall(r"next: `uv run mlops (local.*?)`", drafted.stdout)
        assert ("incomparable_champion=replace" in shown) == (number == 2)
        looped = run_with_others(project, "mlops.cli", *shown.split(), "--skip-lint")
        assert looped.returncode == 0, looped.stdout[-3000:] + looped.stderr[-3000:]
        assert f"registered version {number}" in looped.stdout
    # The champion is of these data now, whatever else was edited in the files that a new draft takes the place of.
    schema = project / "data" / "schema.yml"
    edited = re.sub("minimum: ", "description: mine, minimum: ", schema.read_text(encoding="utf-8"), count=1)
    schema.write_text(edited, encoding="utf-8")
    drafted = run_with_others(project, "mlops.cli", "schema", "--accept", "--target", "churned")
    assert "kept: data/schema.yml" in drafted.stdout
    assert drafted.stdout.splitlines()[-1] == "next: `uv run mlops local`"


def content(given: Content) -> bytes:
    return given.encode() if isinstance(given, str) else given


def decision(project: Path) -> dict:
    """The newest decision about a promotion."""
    found = sorted((project / ".local" / "runs").rglob("decision.json"), key=lambda path: path.stat().st_mtime)
    document: dict = json.loads(found[-1].read_text(encoding="utf-8"))
    return document


def sample_texts(project: Path) -> list[dict[str, str]]:
    (table,) = (project / "data" / "raw").glob("*.csv")
    return list(csv.DictReader(io.StringIO(table.read_text(encoding="utf-8"))))


def test_texts_in_a_messy_table_become_a_promoted_model(render: Render, run_with_others: Run, tmp_path: Path) -> None:
    project = shutil.copytree(render(project_type="nlp", **MAIN), tmp_path / "project")
    rows = [{"No": n, "Review": row["text"], "stars": row["topic"]} for n, row in enumerate(sample_texts(project))]
    (tmp_path / "reviews.csv").write_bytes(text(rows, ";").encode("utf-16"))
    drafted = run_with_others(project, "mlops.cli", "schema", str(tmp_path / "reviews.csv"), "--accept")
    assert drafted.returncode == 0, drafted.stdout + drafted.stderr
    looped = run_with_others(project, "mlops.cli", "local", "--skip-lint")
    assert looped.returncode == 0, looped.stdout[-3000:] + looped.stderr[-3000:]
    assert decision(project)["promote"] is True


FORMS = ["class folders", "a table beside the pictures", "an archive", "an archive with its table"]


@pytest.mark.parametrize("form", FORMS)
def test_pictures_are_drafted_and_prepared(form: str, render: Render, run_with_others: Run, tmp_path: Path) -> None:
    project = shutil.copytree(render(project_type="cv", **MAIN), tmp_path / "project")
    hers, tabled = tmp_path / "hers", "table" in form
    with zipfile.ZipFile(project / "data" / "raw" / "digits.zip") as archive:
        rows = list(csv.DictReader(io.StringIO(archive.read("labels.csv").decode())))[:400]
        for row in rows:
            path = hers / ("" if tabled else f"digit {row['digit']}") / row["image"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(archive.read(row["image"]))
    if tabled:
        listed = [{"file name": row["image"], "who": "?", "": "x", "class": f"ziffer {row['digit']}"} for row in rows]
        (hers / "list.csv").write_bytes(text(listed, ";").encode("utf-16"))
    if form.startswith("an archive"):
        hers = Path(shutil.make_archive(str(hers), "zip", hers))
    drafted = run_with_others(project, "mlops.cli", "schema", str(hers), "--accept")
    assert drafted.returncode == 0, drafted.stdout + drafted.stderr
    unnamed = "look at: list.csv: column 3 has no name and 400 values; it is left out: name it in the header"
    assert (unnamed in drafted.stdout) == tabled
    folders = ("--raw-data", "data/raw", "--schema", "data/schema.yml", "--settings", "config/model.yml")
    outputs = ("--train-data", str(tmp_path / "train"), "--test-data", str(tmp_path / "test"))
    (package,) = (path.name for path in (project / "data-science" / "src").iterdir() if path.is_dir())
    variables = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}"}
    prepared = run_with_others(project, f"{package}.prep", *folders, *outputs, **variables)
    assert prepared.returncode == 0, prepared.stdout + prepared.stderr
    assert "read 400 rows" in prepared.stdout
