"""Drafts of messy files, in the environment of a rendered project; test_messy_files.py runs them.

What is drafted is accepted, and `prep` reads it: what comes after it has the same rows as of any other file.
"""

import importlib
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from messy_files import FILES, ROWS, text

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
    assert not [word for word in messy.silent if word in shown]
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


WRONG = {
    "files: [1]": "files: write how the files are written, such as `{delimiter:",
    "files: {sep: ';'}": "files: unknown key 'sep'; known are delimiter, encoding, skip_lines, rename",
    "files: {delimiter: '::'}": "files.delimiter: '::' is not one sign",
    "files: {delimiter: a}": "files.delimiter: 'a' is not one sign",
    "files: {encoding: ebcdic-x}": "files.encoding: Python knows no encoding 'ebcdic-x', such as cp1252",
    "files: {encoding: rot13}": "files.encoding: Python knows no encoding 'rot13'",
    "files: {skip_lines: two}": "files.skip_lines must be a number, not 'two'",
    "files: {skip_lines: -1}": "files.skip_lines: the number of lines before the header, not -1",
    "files: {rename: [a]}": "files.rename: write `name in the files: another name` for each",
    "files: {rename: {a: c, b: c}}": "files.rename: write `name in the files: another name` for each, which all differ",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_way_of_writing_files_is_refused_with_the_key(line: str, project: Project, tmp_path: Path) -> None:
    path = tmp_path / "schema.yml"
    path.write_text(f"{line}\n{project.schema.read_text(encoding='utf-8')}", encoding="utf-8")
    with pytest.raises(module(project, "core.step").StepError) as error:
        module(project, "core.schema").Schema.load(path)
    assert WRONG[line] in str(error.value)
    assert "\n" not in str(error.value)


OTHER: dict[str, tuple[dict[str, Any], str | bytes, str]] = {
    "other delimiters": (
        {},
        "a;b\n1;2\n",
        'save it with commas, or write `files: {delimiter: ";"}` into data/schema.yml',
    ),
    "UTF-16": ({}, "a,b\n1,2\n".encode("utf-16"), "such as `files: {encoding: utf-16}`"),
    "cp1252": ({}, "a,b\n1,é\n".encode("cp1252"), "line 2 has the byte 0xe9"),
    "commas where the schema says semicolons": ({"delimiter": ";"}, "a,b\n1,2\n", "save it with semicolons, or write"),
    "another encoding than the schema says": (
        {"encoding": "utf-16"},
        "a,b\n1,2\n",
        "it is not encoded in utf-16, as files.encoding of the schema says: save it so",
    ),
    "an empty value at the end": ({"delimiter": "\t"}, "a\tb\n1\t2\t\n", "line 2 has 3 values and the header 2"),
    "a line that is short": ({"skip_lines": 1}, "title\na,b\n1,2\n3\n", "line 4 has 1 value and the header 2"),
    "a name that is there twice then": ({"rename": {"a": "b"}}, "a,b\n1,2\n", "it has the column b more than once"),
}


@pytest.mark.parametrize("name", OTHER)
def test_a_later_file_that_is_written_otherwise_is_refused_with_what_the_schema_could_say(
    name: str, project: Project, tmp_path: Path
) -> None:
    files, content, complaint = OTHER[name]
    path = tmp_path / "later.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=r"^(it|line)") as error:
        module(project, "table_file").read(path, ["a", "b"], files)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("column", "given", "expected"),
    [
        ({"type": "number", "unit": "$", "thousands": ","}, ["$1,224.50", "-$5", "$ 7", "8"], [1224.5, -5, 7, 8]),
        ({"type": "number", "unit": "%"}, ["12 %", "12%", 12], [12, 12, 12]),
        ({"type": "integer", "na_values": ["-999", "?"]}, [-999, "-999", " ? ", "7"], [None, None, None, 7]),
        ({"type": "category", "na_values": ["-"]}, ["-", "a"], [None, "a"]),
        ({"type": "date", "na_values": ["never"], "format": "%d/%m/%Y"}, ["never", "31/01/2023"], [None, "2023-01-31"]),
        ({"type": "boolean", "na_values": ["?"]}, ["?", "yes"], [None, 1]),
    ],
)
def test_a_request_is_read_as_the_files_are(
    column: dict[str, Any], given: list[Any], expected: list[Any], project: Project
) -> None:
    import pandas as pd

    table = pd.DataFrame({"x": pd.Series(given, dtype=object)})
    found = module(project, "conversion").convert(table, {"x": {"missing": True, **column}})["x"]
    assert [None if pd.isna(each) else each for each in found] == expected


ODD = [
    *(
        "",
        "NA",
        "?",
        "-",
        "1e400",
        "inf",
        "nan",
        "1_0",
        "0x1F",
        "\u0661\u0662",
        "12:30",
        "2023-02-30",
        "9999-12-31",
        "0001-01-01",
    ),
    *(
        "1,2,3",
        "--5",
        "$",
        "\u20ac 5",
        "true",
        "None",
        "'",
        '"',
        "\x00",
        "\u2028",
        "\U0001f600",
        "a" * 3000,
        "1" * 400,
        ".",
    ),
    *("\ufeff", "2023-01-01T00:00:00+14:00", "20230101", "1/1/1", "[1]", "{}"),
]


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_in_a_file_it_is_drafted_or_refused_in_one_line(
    seed: int, project: Project, tmp_path: Path
) -> None:
    chance = random.Random(seed)
    rows = [dict(row) for row in ROWS[: chance.choice([1, 60, 80])]]
    for name in chance.sample(list(rows[0]), 3):
        pool, share = chance.sample(ODD, 4), chance.choice([0.01, 0.1, 0.6, 1])
        for row in rows:
            if chance.random() < share:
                row[name] = chance.choice(pool)
    content = bytearray(text(rows, chance.choice(",;\t|")).encode())
    for _ in range(chance.choice([0, 0, 3])):
        content[chance.randrange(len(content))] = chance.randrange(256)
    path = tmp_path / "odd.csv"
    path.write_bytes(content)
    line = ""
    try:
        drafts.write_draft(project, [path], target=chance.choice(["", "churned", "fee"]))
        drafts.accept(project)
    except UserError as error:
        line = str(error)
    assert "\n" not in line
    assert line or (project.data / "raw" / "odd.csv").is_file()
