"""Drafts of messy files, in the environment of a rendered project; test_messy_files.py runs them.

What is drafted is accepted, and `prep` reads it: what comes after it has the same rows as of any other file.
"""

import importlib
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from messy_files import FILES

from mlops.errors import UserError
from mlops.local import drafts
from mlops.project import Project

RENDERED = Path(os.environ["MLOPS_TEST_PROJECT"])
FITTING = [name for name, messy in FILES.items() if not messy.refused]
# Of which a training would stop, as is said with the draft.
STOPPED = [name for name in FITTING if any("a training would stop" in word for word in FILES[name].words)]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with the sample: what a draft changes, and nothing else."""
    root = tmp_path / "project"
    for name in ("data", "config", "mlops"):
        shutil.copytree(RENDERED / name, root / name, ignore=shutil.ignore_patterns("engine"))
    shutil.copy(RENDERED / "pyproject.toml", root)
    monkeypatch.chdir(root)
    monkeypatch.setenv("COLUMNS", "200")
    return Project.load(root)


def module(project: Project, name: str) -> Any:
    return importlib.import_module(f"{project.package}.{name}")


@pytest.mark.parametrize("name", FITTING)
def test_a_messy_file_becomes_a_schema_that_prep_reads_it_with(
    name: str, project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messy = FILES[name]
    paths = messy.write(tmp_path / "hers")
    drafts.write_draft(project, paths, accepted=True, **messy.options)
    shown = capsys.readouterr().out
    drafts.accept(project)
    document = yaml.load(project.schema.read_text(encoding="utf-8"), yaml.BaseLoader)
    for column, entry in messy.columns.items():
        assert {key: document["columns"][column].get(key) for key in entry} == entry
    assert {key: document.get(key) for key in messy.head} == messy.head
    assert not set(messy.absent) & set(document["columns"])
    for word in messy.words:
        assert word in shown
    assert len(list((project.data / "raw").iterdir())) == len(paths)
    check = module(project, "core.consistency").check_settings
    assert check(module(project, "modality").MODALITY, project.schema, project.settings) == []
    if name not in STOPPED:
        assert prepared(project, tmp_path) > 200


def prepared(project: Project, folder: Path) -> int:
    """Run `prep`, and return the number of rows that it makes."""
    import pandas as pd

    outputs = [folder / each for each in ("train", "test")]
    arguments = ["--raw-data", "data/raw", "--schema", "data/schema.yml", "--settings", "config/model.yml"]
    arguments += ["--train-data", str(outputs[0]), "--test-data", str(outputs[1])]
    module(project, "prep").main(arguments)
    return sum(len(pd.read_parquet(file)) for output in outputs for file in output.glob("*.parquet"))


@pytest.mark.parametrize("name", set(FILES) - set(FITTING))
def test_what_cannot_be_read_is_refused_in_one_line_with_the_file_and_the_remedy(
    name: str, project: Project, tmp_path: Path
) -> None:
    messy = FILES[name]
    before = {path: path.read_bytes() for path in project.root.rglob("*") if path.is_file()}
    with pytest.raises(UserError) as error:
        drafts.write_draft(project, messy.write(tmp_path / "hers"), **messy.options)
    assert messy.refused in str(error.value)
    assert "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in project.root.rglob("*") if path.is_file()} == before
