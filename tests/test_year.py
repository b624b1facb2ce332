"""A simulated year: sequences of events over the real verbs (tests/engine/year.py), and errors that they must find."""

import os
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from combinations import ROOT
from conftest import Render, Run
from test_engine import assert_passes, run_suite

PARTS = 2
"""Processes at a time: one for each core."""

SEQUENCES, REPLAY = os.environ.get("SEQUENCES", "300"), os.environ.get("REPLAY", "")
LINE = ROOT / ".venvs" / "year.txt"


@pytest.mark.year
def test_nothing_that_a_year_brings_breaks_a_promise_and_each_seeded_error_does(
    render: Render, run_in: Run, tmp_path: Path
) -> None:
    project = render(mlops_version="aml-cli-v2")
    pipelines = render(mlops_version="aml-cli-v2", orchestration="azure-devops")

    def live(part: int) -> CompletedProcess:
        folder = tmp_path / str(part)
        folder.mkdir()
        settings = {"SEQUENCES": SEQUENCES, "PART": f"{part}/{PARTS}", "REPLAY": REPLAY}
        settings["MLOPS_TEST_AZURE_DEVOPS"] = str(pipelines)
        return run_suite(project, folder, run_in, "year", options=("-s", f"--basetemp={folder}/tests"), **settings)

    with ThreadPoolExecutor(PARTS) as pool:
        results = list(pool.map(live, range(1, PARTS + 1)))
    for result in results:
        assert_passes(result)
    output = "".join(result.stdout for result in results)
    found = re.findall(r"year by ([\w-]+): (\d+) sequences, (\d+) events, (\d+) effective", output)
    by_way = Counter[str]()
    for way, sequences, *_ in found:
        by_way[way] += int(sequences)
    events, effective = (sum(int(each[place]) for each in found) for place in (2, 3))
    after = sorted(map(int, re.findall(r": broken after (\d+) sequences", output)))
    share = effective / events
    line = (
        f"{by_way.total()} sequences ({by_way['cli']} by the Azure CLI, {by_way['github']} by the workflows of GitHub, "
        f"{by_way['azure-devops']} by the pipelines of Azure DevOps), {events} events, {share:.0%} effective, "
        f"0 violations; {len(after)} seeded errors found, half of them within {after[len(after) // 2]} sequences and "
        f"the last after {after[-1]}"
    )
    LINE.write_text(f"{line}\n", encoding="utf-8")
    assert REPLAY or min(by_way[way] for way in ("memory", "cli", "github", "azure-devops")) >= 20
    assert share > 0.8
