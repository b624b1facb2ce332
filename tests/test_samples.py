"""The committed samples: the scripts in docs/ draw them again."""

import csv
import zipfile
import zlib
from pathlib import Path

import pytest
from conftest import ROOT, Render, Run

DRAW = "import runpy, sys; from pathlib import Path; runpy.run_path(sys.argv[1])['main'](Path(sys.argv[2]))"


@pytest.mark.big
def test_the_digits_are_drawn_again_byte_for_byte(render: Render, run_in: Run, tmp_path: Path) -> None:
    project = render(project_type="cv")
    result = run_in(project, "-c", DRAW, str(ROOT / "docs" / "draw_digits.py"), str(tmp_path))
    assert result.returncode == 0, result.stderr
    size = 0
    for name in ("raw/digits.zip", "production/later.zip"):
        committed, drawn = project / "data" / name, tmp_path / name
        size += committed.stat().st_size
        with zipfile.ZipFile(committed) as old, zipfile.ZipFile(drawn) as new:
            assert old.namelist() == new.namelist()
            assert old.read("labels.csv") == new.read("labels.csv")
        # Another library compresses in another way.
        if zlib.ZLIB_RUNTIME_VERSION[:4] in ("1.2.", "1.3.") and "ng" not in zlib.ZLIB_RUNTIME_VERSION:
            assert committed.read_bytes() == drawn.read_bytes(), name
    assert size < 700_000


@pytest.mark.big
@pytest.mark.parametrize(("task", "name"), [("classification", "topics"), ("summarization", "summaries")])
def test_the_texts_are_written_again(task: str, name: str, render: Render, run_in: Run, tmp_path: Path) -> None:
    project = render(project_type="nlp", nlp_task=task)
    # One script uses another.
    code = f"import sys; sys.path.insert(0, {str(ROOT / 'docs')!r}); {DRAW}; print('%d.%d.%d' % sys.version_info[:3])"
    result = run_in(project, "-c", code, str(ROOT / "docs" / f"write_{name}.py"), str(tmp_path))
    assert result.returncode == 0, result.stderr
    size = 0
    for part in (f"raw/{name}.csv", "production/later.csv"):
        committed, again = project / "data" / part, tmp_path / part
        size += committed.stat().st_size
        rows = [set(map(tuple, csv.reader(path.open(encoding="utf-8", newline="")))) for path in (committed, again)]
        # Each release of Python changes a few of its texts.
        assert len(rows[0] & rows[1]) > 0.8 * len(rows[0])
        if result.stdout.split()[-1] == "3.11.7":
            assert committed.read_bytes() == again.read_bytes(), part
    assert size < 700_000
