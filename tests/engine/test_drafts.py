"""`mlops schema`: where a draft goes, how it is accepted, and that nothing is overwritten."""

from pathlib import Path

import pytest
import yaml
from command_line import run

from mlops.config import Project, load_yaml
from mlops.errors import UserError
from mlops.local import drafts

HEADER = "id;since;kind;amount;paid\n"


def lines(count: int = 60, *, kinds: str = "ab") -> str:
    rows = (f"{n};{n % 28 + 1}.{n % 12 + 1}.2023;{kinds[n % 2]};{n % 7},5;{n % 13},25\n" for n in range(count))
    return HEADER + "".join(rows)


@pytest.fixture
def hers(tmp_path: Path) -> Path:
    """A file that the project has never seen."""
    path = tmp_path / "hers" / "bills.csv"
    path.parent.mkdir()
    path.write_text(lines(), encoding="utf-8")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_draft_is_written_beside_what_is_there_and_says_how_to_accept_it(
    project: Project, hers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(project.root)
    assert run("schema", str(hers)) == 0
    after = contents(project.root)
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) == {f"data/draft/{name}" for name in ("schema.yml", "model.yml", "files.json")}
    shown = capsys.readouterr().out
    assert "bills.csv: 60 rows, 5 columns; csv with semicolons, utf-8" in shown
    assert "target: paid (it is the last column; --target names another one); a regression" in shown
    assert "next: `uv run mlops schema --accept`" in shown


def test_each_column_has_a_line_with_the_type_the_role_and_the_reason(
    project: Project, hers: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    run("schema", str(hers))
    table = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert [line.split()[:3] for line in table[:4]] == [
        ["column", "type", "role"],
        ["id", "integer", "key"],
        ["since", "date", "feature"],
        ["kind", "category", "feature"],
    ]
    assert all(len(line) <= 80 for line in table)


def test_an_accepted_draft_takes_the_place_of_files_that_are_kept(project: Project, hers: Path) -> None:
    before = contents(project.root)
    assert run("schema", str(hers), "--target", "paid") == 0
    assert run("schema", "--accept") == 0
    schema = yaml.safe_load(project.schema.read_text(encoding="utf-8"))
    assert (schema["target"], schema["files"]) == ("paid", {"delimiter": ";"})
    assert load_yaml(project.settings)["evaluation"]["metric"] == "mae"
    raw = contents(project.data / "raw")
    assert raw == {"bills.csv": hers.read_bytes()}
    assert contents(project.data / "production") == {".gitkeep": b""}
    kept = contents(project.data / "before" / "1")
    assert kept == {
        name: content
        for name, content in before.items()
        if name.startswith(("data/raw/", "data/production/")) or name in ("data/schema.yml", "config/model.yml")
    }
    assert not (project.data / "draft").exists()


def test_a_draft_that_was_edited_is_accepted_as_it_is(project: Project, hers: Path) -> None:
    run("schema", str(hers))
    draft = project.data / "draft" / "schema.yml"
    edited = draft.read_text(encoding="utf-8").replace(
        "  kind: {type: category", "  kind: {role: ignore, type: category"
    )
    draft.write_text(edited, encoding="utf-8")
    assert run("schema", "--accept") == 0
    assert project.schema.read_text(encoding="utf-8") == edited


def test_another_draft_keeps_the_one_that_was_edited(
    project: Project, hers: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("schema", str(hers))
    draft = project.data / "draft" / "schema.yml"
    draft.write_text("# mine\n", encoding="utf-8")
    assert run("schema", str(hers), "--target", "amount") == 0
    assert (project.data / "before" / "1" / "schema.yml").read_text(encoding="utf-8") == "# mine\n"
    assert "kept: the draft of before in data/before/1" in capsys.readouterr().out
    run("schema", str(hers), "--target", "amount")
    assert not (project.data / "before" / "2").exists()


def test_files_that_are_in_the_raw_data_already_stay_there(project: Project, hers: Path) -> None:
    raw = project.data / "raw"
    mine = raw / "bills.csv"
    mine.write_bytes(hers.read_bytes())
    others = [path.name for path in raw.iterdir() if path != mine]
    assert run("schema", str(mine), "--accept") == 0
    assert [path.name for path in raw.iterdir()] == ["bills.csv"]
    assert {path.name for path in (project.data / "before" / "1" / "data" / "raw").iterdir()} == {*others}


def test_production_data_that_fit_stay_and_others_are_kept_aside(project: Project, hers: Path) -> None:
    assert run("schema", str(hers), "--accept") == 0
    (project.data / "production" / "later.csv").write_text(lines(10), encoding="utf-8")
    assert run("schema", "--target", "amount", "--accept") == 0
    assert "later.csv" in contents(project.data / "production")


def test_accepting_the_same_again_moves_nothing(project: Project, hers: Path) -> None:
    run("schema", str(hers), "--accept")
    before = contents(project.root)
    assert run("schema", "--accept", str(project.data / "raw" / "bills.csv")) == 0
    assert contents(project.root) == before


def test_without_a_draft_there_is_a_remedy(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("schema", "--accept") == 1
    expected = "error: there is no draft in data/draft: `uv run mlops schema FILES` makes one\n"
    assert capsys.readouterr().err == expected


def test_a_draft_whose_files_are_gone_changes_nothing(project: Project, hers: Path) -> None:
    run("schema", str(hers))
    before = contents(project.root)
    hers.unlink()
    with pytest.raises(UserError, match=r"bills\.csv: no such file any more: make the draft again"):
        drafts.accept(project)
    assert contents(project.root) == before


def test_a_draft_that_was_broken_by_hand_changes_nothing(project: Project, hers: Path) -> None:
    run("schema", str(hers))
    draft = project.data / "draft" / "schema.yml"
    draft.write_text(draft.read_text(encoding="utf-8").replace("type: date", "type: day"), encoding="utf-8")
    before = contents(project.root)
    with pytest.raises(UserError, match="column 'since': type 'day' is unknown"):
        drafts.accept(project)
    assert contents(project.root) == before


def test_a_file_that_cannot_be_read_is_named_in_one_line(
    project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bills.xlsx"
    path.write_bytes(b"PK")
    assert run("schema", str(path)) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(f"error: {path}: a file with the suffix .xlsx cannot be read: save each sheet as csv")
    assert shown.count("\n") == 1
    assert not (project.data / "draft").exists()


def test_the_comments_of_the_settings_stay(project: Project, hers: Path) -> None:
    text = project.settings.read_text(encoding="utf-8")
    project.settings.write_text(f"# ours\n{text}", encoding="utf-8")
    run("schema", str(hers), "--accept")
    assert project.settings.read_text(encoding="utf-8").startswith("# ours\n")


def test_features_of_other_data_stop_no_draft_and_are_named(
    project: Project, hers: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = hers.parent / "features.py"
    path.write_text('def add_features(frame):\n    return frame.assign(twice=frame["amount"] * 2)\n', encoding="utf-8")
    monkeypatch.setattr(project.module("core.features"), "PATH", path)
    assert run("schema", str(hers)) == 0
    (line,) = (each for each in capsys.readouterr().out.splitlines() if "features.py" in each)
    assert line.startswith("look at: ")
    assert line.endswith(
        "it adds twice, which the draft does not list: write `twice: {type: number}` under `features:`"
    )
