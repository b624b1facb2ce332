"""What is rendered works: linters, lint, notebook and local loop; also on data that is not ours."""

import json
import os
import re
import shutil
import tomllib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import yaml
from combinations import ROOT, flavours, label, summaries
from conftest import Render, Run, answers_of, environment_of
from own_data import use_images, use_penguins

# Responsible AI for tables has older libraries. The other versions of a project type share data science, environment
# and so the tests of both; Responsible AI of texts is that of images. What makes that true is tested below.
RAI = {"mlops_version": "rai-aml-cli-v2"}
TESTED = [each for each in flavours() if each["mlops_version"] in ("aml-cli-v2", "rai-aml-cli-v2")]
TESTED = [each for each in TESTED if each != {"project_type": "nlp", **RAI}]
TABLES = [each for each in TESTED if each["project_type"] == "classical"]
FIRST = {"mlops_version": "aml-cli-v2"}
OWN = ("data-science", "data", "config/model.yml")
# Summaries of texts share the mlops layer with classes: one version runs, all are linted.
SUMMARIES = next(each for each in summaries() if each["mlops_version"] == FIRST["mlops_version"])


def sdk(answers: dict[str, str]) -> bool:
    """Whether Python defines what runs on Azure ML."""
    return answers["mlops_version"].startswith("python-sdk")


def only_in(chosen: list[dict[str, str]], group: Callable[[dict[str, str]], str] | None = None) -> pytest.MarkDecorator:
    """Run a test in these flavours; those of one group, which share a folder, one after the other in one worker."""
    params = [
        pytest.param(each, id=label(each), marks=[pytest.mark.xdist_group(group(each))] if group else [])
        for each in chosen
    ]
    return pytest.mark.parametrize("flavour", params, indirect=True)


def looped_as(answers: dict[str, str]) -> str:
    """Group the tests that use the same run of `mlops local`."""
    return f"looped-{label(answers)}"


def type_checked_in(answers: dict[str, str]) -> dict[str, str]:
    """The answers of the project in whose environment mypy runs; that of SDK v1 with texts has all that tables need."""
    texts = {"project_type": "nlp", "mlops_version": "python-sdk-v1"}
    return texts if answers["mlops_version"] == texts["mlops_version"] else environment_of(answers)


def type_checked_as(answers: dict[str, str]) -> str:
    """Group the flavours whose libraries mypy reads from one cache: reading them anew is most of its time."""
    return f"mypy-{label(type_checked_in(answers))}"


@pytest.fixture
def workspace(flavour: Path, tmp_path: Path) -> Path:
    """A copy of the rendered project that may be written to."""
    return shutil.copytree(flavour, tmp_path / "project")


@pytest.fixture
def project(render: Render, tmp_path: Path) -> Path:
    """A project with default answers that one test may write to."""
    return shutil.copytree(render(), tmp_path / "project")


@pytest.mark.parametrize("answers", [each for each in (*flavours(), *summaries()) if sdk(each)], ids=label)
def test_what_is_tested_in_one_mlops_version_is_the_same_in_the_others(answers: dict[str, str], render: Render) -> None:
    mine, tested = render(**answers), render(**answers | FIRST)
    for name in OWN:
        for path in [tested / name, *(tested / name).rglob("*")]:
            if path.is_file() and path.name not in ("train.yml", "inference.yml"):
                assert path.read_bytes() == (mine / path.relative_to(tested)).read_bytes(), path
        assert len(list((mine / name).rglob("*"))) == len(list((tested / name).rglob("*")))
    first, second = (tomllib.loads((each / "pyproject.toml").read_text(encoding="utf-8")) for each in (mine, tested))
    assert libraries(first) == libraries(second) >= {"mlflow", "numpy", "pandas", "scikit-learn"}
    assert first["tool"]["pytest"] == second["tool"]["pytest"]


def libraries(project: dict) -> set[str]:
    """The libraries of a pyproject.toml, with their versions, but for those that depend on the mlops version."""
    pins = {pin for pin in project["project"]["dependencies"] if not pin.startswith(("azure", "setuptools"))}
    return pins | {re.split("[<>=]", pin)[0] for pin in pins}


def test_images_are_trained_and_judged_alike_with_responsible_ai(render: Render) -> None:
    plain, analysed = (render(project_type="cv", **version) for version in (FIRST, RAI))
    settings, more = (yaml.safe_load((each / "config" / "model.yml").read_text("utf-8")) for each in (plain, analysed))
    assert settings.items() < more.items()
    for path in [*(plain / "data-science" / "src").rglob("*.py"), *(plain / "data").rglob("*.*")]:
        assert not differ(path, analysed / path.relative_to(plain)), path


def test_responsible_ai_of_texts_is_that_of_images(render: Render) -> None:
    """The step and the libraries of both."""
    images, texts = (render(project_type=kind, **RAI) for kind in ("cv", "nlp"))
    contents = []
    for each in (images, texts):
        [folder] = (each / "data-science").glob("src/*/responsible_ai")
        files = [path for path in folder.iterdir() if path.is_file()]
        contents.append({path.name: path.read_text(encoding="utf-8") for path in files})
    assert contents[0] == contents[1]
    pins = [tomllib.loads((each / "pyproject.toml").read_text(encoding="utf-8")) for each in (images, texts)]
    mine, other = ({re.split("[<>=]", pin)[0]: pin for pin in sorted(libraries(each))} for each in pins)
    shared = mine.keys() & other.keys()
    assert shared >= {"jinja2", "matplotlib", "mlflow", "numpy", "pandas", "scikit-learn"}
    assert all(mine[name] == other[name] for name in shared)


@only_in([*flavours(), SUMMARIES])
def test_ruff_finds_nothing(workspace: Path, run_in: Run) -> None:
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."]):
        result = run_in(workspace, *command)
        assert result.returncode == 0, " ".join(command) + "\n" + result.stdout[-5000:] + result.stderr[-2000:]


@pytest.fixture(scope="session")
def torch_types_checked(render: Render, run_in: Run) -> Callable[[], CompletedProcess]:
    """Run mypy in the projects that PyTorch trains, all at once: most of its time are the libraries that they share.

    Their packages have other names. Images with Responsible AI have all files of those without.
    """

    @cache
    def run() -> CompletedProcess:
        projects = [render(**each) for each in TORCH]
        packages = {answers_of(each)["package_name"] for each in projects}
        assert len(packages) == len(projects)
        sources = [str(each / "data-science" / "src") for each in projects]
        texts = TORCH[1]
        cache = ROOT / ".mypy_cache" / type_checked_as(texts)
        command = ("mypy", "--cache-dir", str(cache), *sources)
        path = os.pathsep.join(sources)
        return run_in(render(**type_checked_in(texts)), *command, cwd=render(**texts), PYTHONPATH="", MYPYPATH=path)

    return run


TORCH = [{"project_type": "cv", **RAI}, {"project_type": "nlp", **FIRST}, SUMMARIES]
IMAGES = {"project_type": "cv", **FIRST}


@only_in([*(each for each in flavours() if each != {"project_type": "nlp", **RAI}), SUMMARIES], type_checked_as)
def test_mypy_finds_nothing(
    workspace: Path, flavour: Path, render: Render, run_in: Run, torch_types_checked: Callable[[], CompletedProcess]
) -> None:
    """In all files of one mlops version, and in those of the others that are not the same there.

    Responsible AI of texts is that of images, see above.
    """
    answers = answers_of(flavour)
    first = render(**{"project_type": answers["project_type"], **FIRST})
    own = [path.relative_to(flavour) for path in flavour.rglob("*.py") if not {"engine", "tests"} & set(path.parts)]
    changed = [str(name) for name in own if not (first / name).exists() or differ(first / name, flavour / name)]
    together = [render(**each) for each in (*TORCH, IMAGES)]
    if flavour in together:
        checked = together[0] if flavour == render(**IMAGES) else flavour
        assert [name for name in own if differ(checked / name, flavour / name)] == []
        assert {name.parts[:2] for name in own} == {("data-science", "src")}
        result = torch_types_checked()
        assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
        assert re.search(r"no issues found in \d\d+ source files", result.stdout)
    elif flavour == first or changed:
        # What mypy keeps is of a file's content, wherever it lies.
        cache = ROOT / ".mypy_cache" / type_checked_as(answers)
        command = ("mypy", "--cache-dir", str(cache), *changed)
        result = run_in(render(**type_checked_in(answers)), *command, cwd=workspace, PYTHONPATH="")
        assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]


def differ(first: Path, second: Path) -> bool:
    """Whether the content of two files differs."""
    return first.read_bytes() != second.read_bytes()


# Runs the cells of a notebook as its kernel does.
CELLS = """
import json, sys
from pathlib import Path
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["cells"]:
    if cell["cell_type"] == "code":
        shell.run_cell("".join(cell["source"])).raise_error()
"""


@only_in([*(each for each in TESTED if each["mlops_version"] == FIRST["mlops_version"]), SUMMARIES])
def test_its_notebook_runs(workspace: Path, run_in: Run, run_with_others: Run) -> None:
    """That of tables by Jupyter, which starts a kernel; the others by what runs cells in a kernel."""
    (notebook,) = (workspace / "data-science" / "notebooks").glob("*.ipynb")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert any(cell["cell_type"] == "code" for cell in cells)
    if answers_of(workspace)["project_type"] == "classical":
        result = run_in(workspace, "jupyter", "execute", str(notebook))
    else:
        result = run_cells(notebook, workspace, run_with_others)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


def run_cells(notebook: Path, project: Path, run_with_others: Run) -> CompletedProcess:
    """Run the cells of a notebook without Jupyter."""
    folder = str(project / ".ipython")
    return run_with_others(project, "-c", CELLS, str(notebook), cwd=notebook.parent, IPYTHONDIR=folder)


def test_its_notebook_stops_at_a_cell_that_fails(project: Path, run_in: Run, run_with_others: Run) -> None:
    (notebook,) = (project / "data-science" / "notebooks").glob("*.ipynb")
    document = json.loads(notebook.read_text(encoding="utf-8"))
    next(cell for cell in document["cells"] if cell["cell_type"] == "code")["source"] = ["1 / 0\n"]
    notebook.write_text(json.dumps(document), encoding="utf-8")
    assert "ZeroDivisionError" in run_in(project, "jupyter", "execute", str(notebook)).stderr
    result = run_cells(notebook, project, run_with_others)
    assert (result.returncode, "ZeroDivisionError" in result.stderr) == (1, True)


def less_work(answers: dict[str, str]) -> str:
    """Overrides of the settings of a project whose model another mlops version trains as it is shipped."""
    if answers["project_type"] == "classical":
        return "responsible_ai.train_rows=200 responsible_ai.test_rows=10" if RAI.items() <= answers.items() else ""
    # With Responsible AI images have the settings of the other versions, see above, and more gates.
    return FEW_EPOCHS if answers["project_type"] == "cv" and not RAI.items() <= answers.items() else ""


FEW_EPOCHS = "training.hyperparameters.epochs=1 promotion.floor=0.01 promotion.beat_baselines=false"


@pytest.fixture(scope="session")
def loop(
    tmp_path_factory: pytest.TempPathFactory, render: Render, run_in: Run, run_with_others: Run
) -> Callable[[Path], tuple[Path, str]]:
    """Run `mlops local` in a copy of a rendered project, once; give the copy and what was printed.

    It is a process of its own for each project type, as it is for users: that lacks no import.
    """

    @cache
    def run(project: Path) -> tuple[Path, str]:
        folder = shutil.copytree(project, tmp_path_factory.mktemp("looped") / "project")
        is_first = project == render(project_type=answers_of(project)["project_type"], **FIRST)
        overrides = less_work(answers_of(project))
        words = ["local", *(["--overrides", overrides] if overrides else [])]
        result = (run_in if is_first else run_with_others)(folder, "mlops.cli", *words)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        return folder, result.stdout

    return run


@pytest.fixture
def looped(flavour: Path, loop: Callable[[Path], tuple[Path, str]]) -> tuple[Path, str]:
    """A copy of the rendered project in which `mlops local` has run once, and what it printed."""
    return loop(flavour)


# How the definitions of each mlops version ask for the folder of the checkpoints, up to the end of what they say of it.
CHECKPOINTS = (
    "      checkpoints:\n        mode: rw_mount\n\n",
    'train.outputs.checkpoints = Output(type="uri_folder", mode="rw_mount")\n',
    'checkpoints = OutputFileDatasetConfig("checkpoints").as_mount()\n',
)


@pytest.mark.parametrize("answers", [each for each in flavours() if each["project_type"] != "classical"], ids=label)
def test_each_job_keeps_its_checkpoints_in_a_folder_of_its_own(answers: dict[str, str], render: Render) -> None:
    """Azure names it by the job, if no path is given: next month's training meets no state of this month's."""
    (text,) = [path.read_text(encoding="utf-8") for path in (render(**answers) / "mlops").glob("*/pipeline*.*")]
    assert any(each in text for each in CHECKPOINTS)


@only_in([each for each in summaries() if each != SUMMARIES])
def test_the_lint_finds_nothing_in_summaries(workspace: Path, run_with_others: Run) -> None:
    result = run_with_others(workspace, "mlops.cli", "lint")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert "No errors" in result.stdout


@only_in([*flavours(), SUMMARIES], looped_as)
def test_the_local_loop_ends_with_a_live_score_and_a_report(looped: tuple[Path, str]) -> None:
    folder, output = looped
    last = output.splitlines()[-16:]
    assert any(re.search(r"scored +\d+ rows by http://127\.0\.0\.1:\d+/score: \[", line) for line in last), last
    assert any(line.startswith("report") for line in last), last
    report = (folder / ".local" / "report" / "index.html").read_text(encoding="utf-8")
    assert "</html>" in report
    if less_work(answers_of(folder)) != FEW_EPOCHS:
        # The shipped settings are better than each baseline in each metric.
        assert newest(folder, "decision.json")["better_baselines"] == []
    assert not re.search(r'(src|href)="https?://', report)
    assert_mailable(report)


def assert_mailable(report: str) -> None:
    """A report of one file is sent to people, whose mail has limits, and read on phones."""
    assert len(report.encode()) < 5_000_000


# Images in a version whose model is trained for few epochs: those that are shipped take several times as long.
TIED = [{"project_type": "cv", "mlops_version": "python-sdk-v2"}, {"project_type": "nlp", **FIRST}, SUMMARIES]


@only_in(TIED, looped_as)
def test_a_second_run_keeps_the_champion_that_ties(looped: tuple[Path, str], run_with_others: Run) -> None:
    """Of tables tests/engine/test_local.py has it."""
    folder, _ = looped
    overrides = less_work(answers_of(folder))
    words = ["--overrides", overrides] if overrides else []
    second = run_with_others(folder, "mlops.cli", "local", "--skip-lint", *words)  # as the first run left it
    assert second.returncode == 0, second.stdout[-3000:] + second.stderr[-3000:]
    assert newest(folder, "decision.json")["promote"] is False
    assert newest(folder, "registration.json")["registered"] is False


# Runs the loop on the first pictures of the sample, as files of a type: three times, in a process that imports once.
LOOPS = """
import io, zipfile
from mlops.cli import app
from PIL import Image

def write(count, suffix):
    with zipfile.ZipFile("data/raw/sample.zip", "w") as archive:
        archive.writestr("labels.csv", "\\n".join([header, *(row.replace(".png", suffix) for row in rows[:count])]))
        for row in rows[:count]:
            name, written = row.split(",")[0], io.BytesIO()
            Image.open(io.BytesIO(files[name])).save(written, Image.registered_extensions()[suffix], quality=85)
            archive.writestr(name.replace(".png", suffix), written.getvalue())

with zipfile.ZipFile("digits.zip") as archive:
    header, *rows = archive.read("labels.csv").decode().splitlines()
    files = {name: archive.read(name) for name in archive.namelist()}
gates = "training.test_size=0.4 promotion.floor=0.05 promotion.beat_baselines=false"
for epochs, count, suffix in ((1, 300, ".png"), (8, 600, ".png"), (1, 600, ".jpg")):
    write(count, suffix)
    overrides = f"{gates} training.hyperparameters.epochs={epochs}"
    app(["local", "--skip-lint", "--overrides", overrides], standalone_mode=False)
"""


@only_in([each for each in TESTED if each == FIRST | {"project_type": "cv"}])
def test_images_are_added_and_then_all_compressed_again(workspace: Path, run_with_others: Run) -> None:
    """A better challenger is promoted, a worse one is not; the champion meets no picture that it was trained on."""
    shutil.move(workspace / "data" / "raw" / "digits.zip", workspace)
    result = run_with_others(workspace, "-c", LOOPS)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    first, better, worse = written(workspace, "decision.json")
    _, all_rows, part = written(workspace, "metrics.json")
    assert (first["promote"], first["champion"]) == (True, None)
    assert (better["promote"], better["champion"], better["note"]) == (True, "champion v1", "")
    assert all_rows["compared_rows"] == all_rows["rows"]
    assert (worse["promote"], worse["champion"]) == (False, "champion v2")
    assert "not significantly above 0" in " ".join(worse["reasons"])
    seen, rows, left = map(int, re.findall(r"(\d+) of the (\d+) held-out rows, .* other (\d+)$", worse["note"])[0])
    assert (rows, left) == (part["rows"], part["compared_rows"])
    # They are the share of the pictures that were for training, because all were dealt out anew.
    assert abs(seen / rows - 0.6) < 0.1


def written(project: Path, name: str) -> list[dict]:
    """The JSON outputs of this name below .local/runs, the newest last."""
    found = sorted((project / ".local" / "runs").rglob(name), key=lambda path: path.stat().st_mtime)
    return [json.loads(path.read_text(encoding="utf-8")) for path in found]


def newest(project: Path, name: str) -> dict:
    """The newest of them."""
    return written(project, name)[-1]


@only_in(TABLES)
def test_another_data_set_works_by_editing_config_and_schema_only(workspace: Path, run_with_others: Run) -> None:
    use_penguins(workspace)
    overrides = less_work(answers_of(workspace))
    result = run_with_others(workspace, "mlops.cli", "local", *(["--overrides", overrides] if overrides else []))
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert re.search(r"scored +\d+ rows .*(Adelie|Chinstrap|Gentoo)", result.stdout)
    assert newest(workspace, "registration.json")["registered"] is True


@only_in([each for each in TESTED if each == FIRST | {"project_type": "cv"}])
def test_other_images_work_by_editing_config_and_schema_only(workspace: Path, run_with_others: Run) -> None:
    use_images(workspace)
    result = run_with_others(workspace, "mlops.cli", "local")
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    decision = newest(workspace, "decision.json")
    assert (decision["promote"], decision["better_baselines"]) == (True, [])
    assert newest(workspace, "registration.json")["registered"] is True
    assert re.search(r"^scored +\d+ rows by http://127\.0\.0\.1:\d+/score: \[place \d\d", result.stdout, re.MULTILINE)
    assert re.search(r"^batch .* 200 rows in 1 files: predictions\.csv$", result.stdout, re.MULTILINE)
    report = (workspace / ".local" / "report" / "index.html").read_text(encoding="utf-8")
    assert "place 19" in report
    assert_mailable(report)


MISTAKES = {
    "a broken CSV": lambda data: data.write_bytes(b'a,b\n"1,2\n3,4,5,6\n\x00'),
    "an empty file": lambda data: data.write_bytes(b""),
    "a header without rows": lambda data: data.write_text(data.read_text(encoding="utf-8").split("\n")[0] + "\n"),
    "a missing column": lambda data: edit(data, lambda row: row.split(",", 1)[1]),
    "a column of another type": lambda data: edit(data, lambda row: re.sub(r"[^,]*$", "late", row), header=False),
}


def edit(data: Path, change: Callable[[str], str], header: bool = True) -> None:
    """Change each line of a file."""
    head, *rows = data.read_text(encoding="utf-8").splitlines()
    data.write_text("\n".join([change(head) if header else head, *map(change, rows)]) + "\n", encoding="utf-8")


@pytest.mark.parametrize("mistake", MISTAKES)
def test_bad_data_stops_the_loop_with_one_line_and_no_model(mistake: str, project: Path, run_with_others: Run) -> None:
    (data,) = (project / "data" / "raw").iterdir()
    MISTAKES[mistake](data)
    result = run_with_others(project, "mlops.cli", "local", "--skip-lint")
    assert result.returncode == 1, result.stdout
    errors = [line for line in result.stderr.splitlines() if line.strip()]
    assert len([line for line in errors if line.startswith("error: ")]) == 1, result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert not list((project / ".local").rglob("MLmodel"))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("promotion.floor=0.001 promotion.beat_baselines=false training.hyperparameters.max_iter=5", "floor"),
        ("promotion.metric_typo=1", "metric_typo"),
    ],
    ids=["floor", "metric_typo"],
)
def test_a_gate_that_is_not_met_registers_nothing(
    setting: str, words: str, project: Path, run_with_others: Run
) -> None:
    result = run_with_others(project, "mlops.cli", "local", "--skip-lint", "--overrides", setting)
    assert result.returncode == 1
    assert words in result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    registrations = list((project / ".local").rglob("registration.json"))
    assert all(json.loads(path.read_text(encoding="utf-8"))["registered"] is False for path in registrations)
