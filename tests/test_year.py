"""A simulated year: sequences of events over the real verbs (tests/engine/year.py), and errors that they must find."""

import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from combinations import ROOT, part_of_menu, questions
from conftest import Render, Run
from engine.year_bugs import BUGS
from test_engine import assert_passes, run_suite
from test_template import TEMPLATE

PARTS = 1 if "MLOPS_WRITE_YEAR" in os.environ else 2
"""Processes at a time: one for each core, but for what writes files."""

MEMORY = Path("/dev/shm")
"""A file system in memory, where there is one: a year writes and deletes small files all the time."""

SEQUENCES, REPLAY = os.environ.get("SEQUENCES", "300"), os.environ.get("REPLAY", "")


def part_of(axis: str) -> list[str]:
    """Return the choices that `make year ONLY=...` leaves of an axis."""
    names = list(questions()[axis]["choices"].values())
    left = part_of_menu(os.environ.get("ONLY", "")).get(axis, set(names))
    return [name for name in names if name in left]


TYPES, SYSTEMS = part_of("project_type"), part_of("orchestration")
LESS = {"cv": "training.hyperparameters.epochs=1 promotion.floor=0.01 promotion.beat_baselines=false"}
"""Settings with which a model of a type is trained in seconds; it need not be a good one."""

SDKS = tuple(each for each in ("python-sdk-v2", "python-sdk-v1") if each in part_of("mlops_version"))
WAYS = {
    "memory": "no client",
    "aml_cli_v2": "the Azure CLI",
    "python_sdk_v2": "SDK v2",
    "python_sdk_v1": "SDK v1",
    "github": "the workflows of GitHub",
    "azure_devops": "the pipelines of Azure DevOps",
}
"""What runs the verbs of a sequence. The client of rai-aml-cli-v2 is that of aml-cli-v2, which is never left out."""

LINE, FAILURES = ROOT / ".venvs" / "year.txt", ROOT / ".venvs" / "year-failures.txt"


@pytest.fixture
def quick_folder(tmp_path: Path) -> Iterator[Path]:
    """Give a folder in memory, or else an ordinary one."""
    folder = Path(tempfile.mkdtemp(dir=MEMORY)) if os.access(MEMORY, os.W_OK) else tmp_path
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_each_seeded_error_changes_one_place() -> None:
    found = {bug: source_of(bug.module).read_text(encoding="utf-8").count(bug.old) for bug in BUGS.values()}
    assert {bug: count for bug, count in found.items() if count != 1} == {}


def source_of(module: str) -> Path:
    """Return where the text of a module, a workflow or a pipeline is in the template."""
    kind, _, name = module.partition("/")
    if kind == "pipelines":
        return TEMPLATE / ".azuredevops" / name
    if kind == "workflows":
        return TEMPLATE / ".github" / module
    source = TEMPLATE / "mlops" / "engine" / "src" / "mlops"
    if kind == "science":
        source, module = TEMPLATE / "data-science" / "src" / "[[ package_name ]]", name
    return source / f"{module.replace('.', '/')}.py"


def keep_failures(results: Iterable[CompletedProcess], file: Path) -> None:
    """Write all that the parts which failed have said, of which an assertion shows the end."""
    file.unlink(missing_ok=True)
    if said := [f"{result.stdout}{result.stderr}" for result in results if result.returncode]:
        file.write_text("\n".join(said), encoding="utf-8")
        print("the whole stories of what failed:", file)


def test_each_part_that_fails_leaves_its_whole_story(tmp_path: Path) -> None:
    file, story = tmp_path / "year-failures.txt", "".join(f"{number}. an event\n" for number in range(9999))
    held, failed = CompletedProcess([], 0, "all held", ""), CompletedProcess([], 1, story, "an error")
    keep_failures([failed, held, CompletedProcess([], 1, "another story", "")], file)
    assert file.read_text(encoding="utf-8") == f"{story}an error\nanother story"
    keep_failures([held], file)
    assert not file.exists(), "what failed the last time is read as if it failed now"


@pytest.mark.year
def test_nothing_that_a_year_brings_breaks_a_promise_and_each_seeded_error_does(
    render: Render, run_in: Run, quick_folder: Path
) -> None:
    pipelines = render(mlops_version="aml-cli-v2", orchestration="azure-devops")
    # Copier changes the working directory and more of its process, so that threads cannot render.
    projects = {version: render(mlops_version=version) for version in (*SDKS, "aml-cli-v2")}

    def live(case: tuple[str, int]) -> CompletedProcess:
        version, part = case
        project, folder = projects[version], quick_folder / f"{version}-{part}"
        folder.mkdir()
        settings = {
            "SEQUENCES": SEQUENCES,
            "PART": f"{part}/{1 if version in SDKS else PARTS}",
            "REPLAY": REPLAY,
            "TMPDIR": str(folder),
            "SYSTEMS": " ".join(SYSTEMS),
        }
        settings["MLOPS_TEST_AZURE_DEVOPS"] = str(pipelines)
        chosen = ("-k", "nothing_that and python") if version in SDKS else ()
        options = ("-s", f"--basetemp={folder}/tests", *chosen)
        # Also where other processes have the cores most of the time.
        patience = max(1800, 5 * int(SEQUENCES))
        return run_suite(project, folder, run_in, "year", options=options, timeout=patience, **settings)

    cases = [*((version, 1) for version in SDKS), *(("aml-cli-v2", part + 1) for part in range(PARTS))]
    with ThreadPoolExecutor(PARTS) as pool:
        results = list(pool.map(live, cases))
    output = "".join(result.stdout for result in results)
    # A part that fails takes with it hours of what the others found.
    print(*re.findall(r"^.*(?:year by |: broken ).*$", output, re.M), sep="\n")
    keep_failures(results, FAILURES)
    for result in results:
        assert_passes(result)
    found = re.findall(r"year by ([\w-]+): (\d+) sequences, (\d+) events, (\d+) effective", output)
    by_way = Counter[str]()
    for way, sequences, *_ in found:
        by_way[way] += int(sequences)
    events, effective = (sum(int(each[place]) for each in found) for place in (2, 3))
    broken = re.findall(r": broken (?:after (\d+) sequences|by events that a person wrote)", output)
    after = sorted(int(each) for each in broken if each)
    share = effective / events
    wanted = {"memory", "aml_cli_v2", *(each.replace("-actions", "").replace("-", "_") for each in (*SDKS, *SYSTEMS))}
    ways = ", ".join(f"{by_way[way]} by {name}" for way, name in WAYS.items() if way in wanted)
    line = (
        f"{by_way.total()} sequences ({ways}), {events} events, {share:.0%} effective, 0 violations; {len(broken)} "
        f"seeded errors found; a search has half of them within {after[len(after) // 2]} sequences and the last after "
        f"{after[-1]}"
    )
    LINE.write_text(f"{line}\n", encoding="utf-8")
    assert REPLAY or by_way.keys() == wanted
    assert REPLAY or wanted < WAYS.keys() or by_way.total() >= int(SEQUENCES)
    assert REPLAY or min(count for way, count in by_way.items() if "sdk" not in way) >= 20
    assert share > 0.8


@pytest.mark.year
def test_a_model_of_each_type_that_was_trained_goes_its_way(render: Render, run_in: Run, quick_folder: Path) -> None:
    pipelines = render(mlops_version="aml-cli-v2", orchestration="azure-devops")
    projects = {kind: render(project_type=kind) for kind in TYPES}  # not in the threads, as above

    def live(kind: str) -> CompletedProcess:
        project = projects[kind]
        trained = shutil.copytree(project, quick_folder / kind / "project")
        words = ["local", "--skip-lint", *(["--overrides", LESS[kind]] if kind in LESS else [])]
        result = run_in(trained, "mlops.cli", *words)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-2000:]
        folder = quick_folder / kind / "year"
        folder.mkdir()
        options = ("-k", "was_trained", f"--basetemp={folder}/tests")
        settings = {"TRAINED": str(trained), "MLOPS_TEST_AZURE_DEVOPS": str(pipelines)}
        return run_suite(project, folder, run_in, "year", options=options, **settings)

    with ThreadPoolExecutor(PARTS) as pool:
        for result in pool.map(live, TYPES):
            assert_passes(result)
