"""The tests that a project has itself: they pass on its data and its model, whatever these are, and find what breaks.

Template and project share no test: what guards the template's code is in tests/data_science.
"""

import csv
import io
import json
import re
import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml
from combinations import ROOT, flavours, label, summaries
from conftest import Render, Run
from own_data import (
    PENGUINS_SCHEMA,
    change_settings,
    empty_folder,
    set_schema,
    use_extra_trees,
    use_features,
    use_images,
    use_penguins,
    use_ridge,
    use_summaries,
    use_texts,
)

TESTS = ROOT / "template" / "data-science" / "tests"
# The other mlops versions of a type have the same data, model and libraries, but for tables with Responsible AI, whose
# libraries are older: test_project.py compares them.
TABLES, OLDER, IMAGES, TEXTS = (
    {"project_type": kind, "mlops_version": version}
    for kind, version in (
        ("classical", "aml-cli-v2"),
        ("classical", "rai-aml-cli-v2"),
        ("cv", "aml-cli-v2"),
        ("nlp", "aml-cli-v2"),
    )
)
SUMMARIES = TEXTS | {"nlp_task": "summarization"}
PYTEST = ("pytest", "-q", "-p", "no:cacheprovider")


def names_of_tests() -> set[str]:
    """The tests, by their functions."""
    return {name for path in TESTS.glob("test_*.py") for name in re.findall(r"^def (test_\w+)", path.read_text(), re.M)}


def test_there_are_few_and_the_same_in_each_project(render: Render) -> None:
    assert 10 <= len(names_of_tests()) <= 30
    shipped = {path.name: path.read_bytes() for path in TESTS.glob("*.py")}
    for answers in (*flavours(), *summaries()):
        folder = render(**answers) / "data-science" / "tests"
        assert {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")} == shipped


@pytest.fixture
def project(request: pytest.FixtureRequest, render: Render, tmp_path: Path) -> Path:
    """A project with the answers of a test, which may write to it."""
    return shutil.copytree(render(**request.param), tmp_path / "project")


def of(*chosen: dict[str, str]) -> pytest.MarkDecorator:
    """Run a test in projects with these answers."""
    return pytest.mark.parametrize("project", [pytest.param(each, id=label(each)) for each in chosen], indirect=True)


def assert_pass(project: Path, run: Run) -> None:
    """Check that each test passes, and that the notebook runs."""
    result = run(project, *PYTEST)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    assert f"{len(names_of_tests())} passed" in result.stdout.splitlines()[-1]


def assert_notebook_runs(project: Path, run: Run) -> None:
    """Run the cells of the notebook as one script; test_project.py runs it as a notebook."""
    [notebook] = (project / "data-science" / "notebooks").glob("*.ipynb")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    result = run(project, "-c", code, MPLBACKEND="agg")
    assert result.returncode == 0, result.stderr[-3000:]


@of(TABLES, OLDER, IMAGES, TEXTS, SUMMARIES)
def test_they_pass_on_the_sample_and_leave_nothing_behind(project: Path, run_with_others: Run) -> None:
    before = {path.name for path in project.iterdir()}
    assert_pass(project, run_with_others)
    assert {path.name for path in project.iterdir()} - before <= {".hypothesis"}


# ----------------------------------------------------------------------------------------------------------------------
# What a user changes, as the documents say.


def delete_production(project: Path) -> None:
    """Nothing has arrived yet."""
    (empty_folder(project, "production") / ".gitkeep").touch()


def forget_outcomes(project: Path) -> None:
    """What arrived has no outcome yet."""
    schema = yaml.safe_load((project / "data" / "schema.yml").read_text(encoding="utf-8"))
    [file] = (project / "data" / "production").iterdir()
    if file.suffix == ".zip":
        with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as old, zipfile.ZipFile(file, "w") as new:
            for name in old.namelist():
                if name != "labels.csv":
                    new.writestr(name, old.read(name))
        return
    with file.open(encoding="utf-8", newline="") as content:
        rows = list(csv.DictReader(content))
    assert schema["target"] in rows[0]
    with file.open("w", encoding="utf-8", newline="") as content:
        names = [name for name in rows[0] if name != schema["target"]]
        writer = csv.DictWriter(content, names, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def use_logistic_regression(project: Path) -> None:
    """Another model of tables."""
    chosen = {"model": "logistic_regression", "C": 0.5, "max_iter": 500}
    change_settings(project, lambda settings: settings["training"].update(hyperparameters=chosen))


def set_hyperparameters(project: Path, **hyperparameters: object) -> None:
    """Train with other ones."""
    change_settings(project, lambda settings: settings["training"]["hyperparameters"].update(hyperparameters))


def use_small_transformer(project: Path) -> None:
    """A network that learns from these texts alone."""
    tiny = {"model": "small_transformer", "width": 32, "layers": 1, "vocabulary": 400, "max_tokens": 32}
    change_settings(project, lambda settings: settings["training"].update(hyperparameters=tiny | {"epochs": 6}))
    change_settings(project, lambda settings: settings.pop("tuning"))  # of the other model


Change = Callable[[Path], None]
# Answers, and what is changed.
CHANGES: dict[str, tuple[dict[str, str], tuple[Change, ...]]] = {
    "another table, and nothing in production": (TABLES, (use_penguins, delete_production)),
    "another table and model, and outcomes that are not known yet": (
        TABLES,
        (use_penguins, use_logistic_regression, forget_outcomes),
    ),
    "features and another model": (TABLES, (use_features, use_ridge)),
    "features and a model of one's own, with older libraries": (OLDER, (use_features, use_extra_trees)),
    "other images, and nothing in production": (
        IMAGES,
        (use_images, partial(set_hyperparameters, epochs=5), delete_production),
    ),
    "another network, and outcomes that are not known yet": (
        IMAGES,
        (partial(set_hyperparameters, size=16, epochs=4), forget_outcomes),
    ),
    "other texts, and nothing in production": (TEXTS, (use_texts, delete_production)),
    "other texts, a network, and outcomes that are not known yet": (
        TEXTS,
        (use_texts, use_small_transformer, forget_outcomes),
    ),
    "other summaries, and nothing in production": (SUMMARIES, (use_summaries, delete_production)),
    "a more careful choice of sentences, and outcomes that are not known yet": (
        SUMMARIES,
        (partial(set_hyperparameters, alpha=300.0, max_features=2_000), forget_outcomes),
    ),
}


@pytest.mark.parametrize(
    ("project", "changes"),
    [pytest.param(*each, id=f"{label(each[0])}, {words}") for words, each in CHANGES.items()],
    indirect=["project"],
)
def test_they_and_the_notebook_pass_after(project: Path, changes: tuple[Change, ...], run_with_others: Run) -> None:
    for change in changes:
        change(project)
    assert_pass(project, run_with_others)
    assert_notebook_runs(project, run_with_others)


# ----------------------------------------------------------------------------------------------------------------------
# What breaks data or model.


def failures(project: Path, run: Run, *options: str) -> set[str]:
    """Run the tests; give the functions of those that failed."""
    result = run(project, *PYTEST, *options)
    assert result.returncode == 1, result.stdout[-3000:] + result.stderr[-3000:]
    assert not re.search(r"^ERROR", result.stdout, re.M), result.stdout[-3000:]
    return set(re.findall(r"^FAILED \S+::(test_\w+)", result.stdout, re.M))


def replace_once(project: Path, name: str, old: str, new: str) -> None:
    """Edit a file of the project's package."""
    [path] = (project / "data-science" / "src").glob(f"*/{name}")
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{name}: {old}"
    path.write_text(text.replace(old, new), encoding="utf-8")


def append(project: Path, name: str, code: str) -> None:
    """Add code to a file of the project's package."""
    [path] = (project / "data-science" / "src").glob(f"*/{name}")
    path.write_text(path.read_text(encoding="utf-8") + code, encoding="utf-8")


def train_with_held_out_rows(project: Path) -> None:
    """Let prep write all rows as those to train with."""
    replace_once(
        project, "prep.py", "replace(valid, frame=train), train_folder", "replace(valid, frame=labelled), train_folder"
    )


def spoil_data_and_settings(project: Path) -> None:
    """Let neither raw nor production data nor a slice fit the schema."""
    use_penguins(project)
    change_settings(project, lambda settings: settings["evaluation"].update(slices=["no such column"]))
    columns = PENGUINS_SCHEMA["columns"] | {"year": {"type": "integer", "role": "ignore", "maximum": 2000}}
    set_schema(project, PENGUINS_SCHEMA | {"columns": columns})
    later = project / "data" / "production" / "penguins.csv"
    later.write_text(re.sub(r",\d{4},", ",heavy,", later.read_text(encoding="utf-8")), encoding="utf-8")


def spoil_everything_later(project: Path) -> None:
    """Let rows that time holds out train too, a model learn nothing, and the endpoint always answer the same."""
    use_penguins(project)
    set_schema(project, PENGUINS_SCHEMA | {"split": {"by": "time", "column": "year"}})
    train_with_held_out_rows(project)
    set_hyperparameters(project, min_samples_leaf=10_000)
    append(project, "score.py", '\n\ndef run(request):\n    return {"predictions": ["Adelie"]}\n')


# A model that looks at what it should predict, and a feature that depends on all rows that are scored together.
LEAKS = """

from dataclasses import replace


class Peeking:
    def __init__(self, model, target):
        self.model, self.target, self.save = model, target, model.save

    def predict(self, examples):
        return replace(self.model.predict(examples), values=examples.frame[self.target].to_numpy())


class Leaking(type(MODALITY)):
    def fit(self, train, schema, *others):
        return Peeking(super().fit(train, schema, *others), schema.target)

    def inputs(self, examples, columns):
        inputs = super().inputs(examples, columns)
        return inputs.assign(bill_length_mm=45 + inputs["bill_length_mm"] - inputs["bill_length_mm"].mean())


MODALITY = Leaking()
"""


def let_it_see_what_it_should_not(project: Path) -> None:
    """Let a model of penguins do so."""
    use_penguins(project)
    append(project, "modality.py", LEAKS)


def rename_column(project: Path, old: str, new: str) -> None:
    """Let the schema call a column otherwise than the data do."""
    path = project / "data" / "schema.yml"
    path.write_text(
        re.sub(rf"^( *){old}:", rf"\1{new}:", path.read_text(encoding="utf-8"), flags=re.M), encoding="utf-8"
    )


RAW, SIDES = "test_the_raw_data_fit_the_schema", "test_what_belongs_together_is_on_one_side_of_the_split"
# Answers, what is broken, which tests run (`-k`; others cannot without data that fit), and those that have to fail.
BREAKS: dict[str, tuple[dict[str, str], Change, str, set[str]]] = {
    "data and settings": (
        TABLES,
        spoil_data_and_settings,
        "fit or need",
        {RAW, "test_the_production_data_have_what_the_model_needs", "test_the_settings_fit_the_schema"},
    ),
    "labels of images": (IMAGES, partial(rename_column, old="paper", new="sheet"), "raw", {RAW}),
    "summaries": (SUMMARIES, partial(rename_column, old="kind", new="sort"), "raw", {RAW}),
    "a split by time, a model that learns nothing, an endpoint": (
        TABLES,
        spoil_everything_later,
        "",
        {
            SIDES,
            "test_the_held_out_rows_are_the_newest_if_time_splits_them",
            "test_it_beats_the_baseline",
            "test_it_does_not_predict_the_same_for_each_row",
            "test_it_answers_a_request",
            "test_it_refuses_what_is_not_json",
            "test_it_refuses_a_request_without_rows",
            "test_it_names_the_columns_that_a_request_lacks",
            "test_files_of_a_batch_get_the_predictions_of_the_model",
        },
    ),
    "a model that sees the outcome and other rows": (
        TABLES,
        let_it_see_what_it_should_not,
        "",
        {
            "test_once_saved_and_loaded_it_predicts_the_same",
            "test_it_predicts_the_same_whatever_the_outcome_is",
            "test_what_it_predicts_for_a_row_does_not_depend_on_the_other_rows",
        },
    ),
    "copies of held-out texts": (
        TEXTS,
        train_with_held_out_rows,
        "copy or side",
        {SIDES, "test_no_held_out_row_is_a_copy_of_a_row_to_train_with"},
    ),
}


@pytest.mark.parametrize(
    ("project", "spoil", "chosen", "found"),
    [pytest.param(*each, id=f"{label(each[0])}, {words}") for words, each in BREAKS.items()],
    indirect=["project"],
)
def test_they_find_what_breaks(
    project: Path, spoil: Change, chosen: str, found: set[str], run_with_others: Run
) -> None:
    spoil(project)
    assert failures(project, run_with_others, "-k", chosen) == found


def test_each_of_them_finds_something() -> None:
    assert {name for *_, found in BREAKS.values() for name in found} == names_of_tests()


def test_a_model_that_is_worse_than_the_baseline_need_not_beat_it_if_the_settings_say_so(
    render: Render, run_with_others: Run, tmp_path: Path
) -> None:
    project = shutil.copytree(render(), tmp_path / "project")
    use_penguins(project)
    set_hyperparameters(project, min_samples_leaf=10_000)
    change_settings(project, lambda settings: settings["promotion"].update(beat_baselines=False))
    assert failures(project, run_with_others, "-k", "test_model") == {"test_it_does_not_predict_the_same_for_each_row"}
