"""A simulated year: sequences of events over the real verbs (tests/engine/year.py), and errors that they must find."""

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from combinations import ROOT
from conftest import Render, Run
from test_engine import assert_passes, run_suite

PARTS = 1 if "MLOPS_WRITE_YEAR" in os.environ else 2
"""Processes at a time: one for each core, but for what writes files."""

MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one: a year writes and deletes small files all the time."""

SEQUENCES, REPLAY = os.environ.get("SEQUENCES", "300"), os.environ.get("REPLAY", "")
LINE = ROOT / ".venvs" / "year.txt"


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder in memory, or else an ordinary one."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY)) if os.access(MEMORY, os.W_OK) else tmp_path
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.year
def test_nothing_that_a_year_brings_breaks_a_promise_and_each_seeded_error_does(
    render: Render, run_in: Run, quick_folder: Path
) -> None:
    project = render(mlops_version="aml-cli-v2")

    def live(part: int) -> CompletedProcess:
        folder = quick_folder / str(part)
        folder.mkdir()
        settings = {"SEQUENCES": SEQUENCES, "PART": f"{part}/{PARTS}", "REPLAY": REPLAY, "TMPDIR": str(folder)}
        return run_suite(project, folder, run_in, "year", options=("-s", f"--basetemp={folder}/tests"), **settings)

    with ThreadPoolExecutor(PARTS) as pool:
        results = list(pool.map(live, range(1, PARTS + 1)))
    for result in results:
        assert_passes(result)
    output = "".join(result.stdout for result in results)
    found = re.findall(r"year by (\w+): (\d+) sequences, (\d+) events, (\d+) effective", output)
    by_way = Counter[str]()
    for way, sequences, *_ in found:
        by_way[way] += int(sequences)
    events, effective = (sum(int(each[place]) for each in found) for place in (2, 3))
    after = sorted(map(int, re.findall(r": broken after (\d+) sequences", output)))
    share = effective / events
    line = (
        f"{by_way.total()} sequences ({by_way['cli']} by the Azure CLI, {by_way['github']} by the workflows), {events} "
        f"events, {share:.0%} effective, 0 violations; {len(after)} seeded errors found, half of them within "
        f"{after[len(after) // 2]} sequences and the last after {after[-1]}"
    )
    LINE.write_text(f"{line}\n", encoding="utf-8")
    assert share > 0.8
