"""The definitions of python-sdk-v1: the pipelines that they build, what the lint names in them, what goes to Azure."""

import contextlib
import importlib
import json
import pkgutil
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import pandas as pd
import pytest
import yaml
from expected_pipeline import EXPECTED, facts
from fake_azure_v1 import V1Cloud, stored
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from rendered import ROOT, TORCH
from seeded import (
    Edit,
    all_edited,
    assert_named,
    copied,
    edited,
    forget_definitions,
    pin_findings_once,
    settings_results_once,
    together,
)
from sklearn.linear_model import LinearRegression

from mlops import cli, definitions, verbs
from mlops.azureml.python_sdk_v1 import fingerprint, sdk_errors
from mlops.config import load_environment, load_yaml
from mlops.definitions.base import load_module
from mlops.definitions.python_sdk_v1 import NOTICE, build, plain_pipeline, recurrence, snapshot, stand_alone_steps
from mlops.errors import UserError
from mlops.hyperparameters import sweep
from mlops.lint import Finding, lint
from mlops.project import Project
from mlops.verbs import Session

PIPELINES, DATA, IGNORED = "pipelines.py", "data.py", "../../.amlignore"

# Edits of the definitions: what is wrong then, the text, what stands in its place, words of the line that names it.
SEEDS = {
    PIPELINES: [
        ("a missing module", '{PACKAGE}.{name}"', '{PACKAGE}.{name}s"', "jobs.prep.component.command no module preps"),
        ("a missing package", '{PACKAGE}.{name}"', 'packge.{name}"', "jobs.prep.component.command no module packge"),
        ("a missing script", "run_step.py", "run_steps.py", "jobs.prep.component.command run_steps.py"),
        ("an unknown option", '"raw-data": raw', '"raw-dta": raw', "jobs.prep.component.command --raw-dta"),
        ("a missing option", '            "schema": SCHEMA,\n', "", "jobs.prep.component.command --schema"),
        ("a missing file", "data/schema.yml", "data/schem.yml", "prep.command no such file: data/schem.yml"),
        ("a missing settings file", "config/model.yml", "model.yml", "prep.command no such file: model.yml"),
        ("an unknown dataset", 'data["training_dataset"]', 'data["training"]', "line KeyError 'training'"),
        (
            "a dataset from elsewhere",
            'data["training_dataset"]',
            'FileDataset._create(definition="")',
            "prep: take the dataset of raw_data out of `data`",
        ),
        ("text for a dataset", 'data["training_dataset"]))', '"rows"))', "line Invalid PipelineParameter"),
        ("a dataset that is no folder", "source).as_mount()", "source)", "raw_data would be an id and no folder"),
        (
            "a pinned name for the newest data",
            'dataset("training_dataset"',
            'dataset("raw_data"',
            "the input raw_data is no parameter, so call it training_dataset",
        ),
        ("a bad name of an input", 'dataset("raw_data"', 'dataset("raw data"', "line raw data"),
        ("a bad name of an output", 'output("test_data")', 'output("test data")', "line test data"),
        ("an output that no step writes", '            "test-data": test_data,\n', "", "no step writes test_data"),
        ("a circle", '"raw-data": raw_data', '"raw-data": model.as_input("model")', "jobs circle"),
        ("two steps of one name", '        "train",\n', '        "prep",\n', "prep: another step has this name too"),
        ("a wrong keyword", "allow_reuse=allow_reuse", "alow_reuse=allow_reuse", "line TypeError 'alow_reuse'"),
        ("an unknown class", "import PipelineParameter", "import PipelineParam", "line ImportError PipelineParam"),
        ("an unknown name", "return [prep, train,", "return [prep, tran,", "line NameError 'tran'"),
        ("broken Python", "return [score]", "return [score", "line SyntaxError"),
        ("no list", "    return [prep, check]\n", "", "drift must return a list of PythonScriptStep"),
        (
            "a name for a step",
            "return [prep, check]",
            'return ["prep"]',
            "drift must return a list of PythonScriptStep",
        ),
        ("a missing pipeline", "def drift(", "def drfit(", "drift must return a list of PythonScriptStep"),
        (
            "an unknown compute",
            "config.compute.cluster.name,\n        runconfig",
            '"gpu",\n        runconfig',
            'training.jobs.prep.compute no compute "gpu"',
        ),
        ("a missing conda file", 'environment("train")', 'environment("training")', "line No such file training.yml"),
        ("the tag latest", "base_image = IMAGE", 'base_image = "openmpi:latest"', "prep image tag latest"),
        ("no image", "base_image = IMAGE", "base_image = None", "prep image missing"),
        (
            "a missing folder",
            "source_directory=str(ROOT),\n        allow",
            'source_directory="src",\n        allow',
            "src",
        ),
        (
            "data of SDK v1's older kind",
            "return OutputFileDatasetConfig(name).as_upload()",
            'from azureml.pipeline.core import PipelineData; return PipelineData(name, datastore="any")',
            "line ValueError Input/Output train_data",
        ),
        (
            "the older kind in an argument",
            "arguments=words(name, options),",
            'outputs=[old := __import__("azureml.pipeline.core").pipeline.core.PipelineData("old", datastore="any")],'
            ' arguments=[*words(name, options), "--old", old],',
            "prep: old is PipelineData: use OutputFileDatasetConfig instead",
        ),
        ("a missing entry script", "batch_score.py", "score_batch.py", "line score_batch.py"),
        ("an argument left out", ', "--model-version", model_version', "", "batch.jobs.score needs --model-version"),
        ("an unknown argument", '"--model-name"', '"--model"', "jobs.score.component.command no option --model"),
        ("an argument of the driver", '"--model-name"', '"--output"', "line 'output' is a reserved argument"),
        ("a number of files that is text", "str(sizes.mini_batch_size)", '"ten"', "line mini_batch_size"),
        ("an unknown action", '"append_row"', '"append"', "line output_action"),
        ("a negative threshold", "error_threshold=0", "error_threshold=-2", "line error_threshold"),
        ("no row for a file's name", "predictions.csv", "pre/dictions.csv", "line append_row_file_name"),
        ("no tries", "run_max_try=3", "run_max_try=0", "line run_max_try"),
    ],
    DATA: [
        ("a missing folder", '"raw"', '"raws"', "training_dataset no such folder"),
        ("a bad name", '"training_dataset"', '"training dataset!"', "training dataset! a name has letters"),
        (
            "an address of no datastore",
            'FOLDER / "raw"',
            '"https://any.blob.core.windows.net/flights"',
            "training_dataset is not azureml://datastores/NAME/paths/FOLDER",
        ),
        ("no folder", 'FOLDER / "raw"', "5", "DATASETS must have a folder for each name"),
        ("no datasets", "DATASETS =", "DATASET =", "DATASETS must have a folder for each name"),
        ("broken Python", "DATASETS = {", "DATASETS = {{", "line SyntaxError"),
    ],
    "run_step.py": [("another constant", 'NO_VALUE = "none"', 'NOTHING = "none"', "line ImportError NO_VALUE")],
    IGNORED: [
        ("the package", "!/data-science/src\n", "", ".amlignore leaves out data-science/src"),
        ("the starter", "!/mlops/python-sdk-v1/run_step.py\n", "", ".amlignore leaves out run_step.py, step prep"),
        ("the settings", "!/config/model.yml\n", "", ".amlignore leaves out config/model.yml, step prep"),
        ("the entry script", "!/mlops/python-sdk-v1/batch_score.py\n", "", ".amlignore leaves out step score"),
    ],
    "../../config/dev.yml": [
        (
            "a cron text without recurrence",
            '"0 6 * * *"',
            '"0 6 1-7 * *"',
            "config/dev.yml schedule.monitor_cron SDK v1",
        ),
        (
            "no time zone of Azure",
            'time_zone: "UTC"',
            'time_zone: "Europe/Paris"',
            "config/dev.yml schedule.time_zone Europe/Paris",
        ),
    ],
    "../../data-science/environment/train.yml": [
        ("no package", "- pandas==", "- pandas=", "train.yml dependencies pandas"),
    ],
    "../python-sdk-v2/environments.py": [("the tag latest", ":20260715.v1", ":latest", "environments.py tag latest")],
    "../python-sdk-v2/online.py": [("a wrong keyword", "auth_mode=", "auth_mod=", 'online.py keyword "auth_mod"')],
    "../python-sdk-v2/registry.py": [("no storage", "Standard_LRS", "Standard_XRS", "registry.py Standard_XRS")],
}

DISTRIBUTED = {
    PIPELINES: [
        ("no process", "processes = distribution.nodes", "processes = 0", "train.distribution 0 is less than 1"),
        (
            "other nodes",
            "node_count = distribution.nodes",
            "node_count = 3",
            "train: 3 nodes, and PyTorchConfiguration 1",
        ),
        (
            "a missing number of processes",
            '"Gloo", processes',
            '"Gloo", None',
            "train: None processes cannot be shared",
        ),
        ("an unknown backend", '"Gloo"', '"Glo"', "line Glo is not a supported backend"),
        ("another framework", '= "PyTorch",', '= "TensorFlow",', "train: framework TensorFlow use PyTorch"),
        ("an unknown option", '"checkpoints": check', '"checkpoint": check', "train.component.command --checkpoint"),
        (
            "lost checkpoints",
            '            "checkpoints": checkpoints,\n',
            "",
            "train.command --checkpoints with",
        ),
        (
            "checkpoints that are uploaded at the end",
            '"checkpoints").as_mount()',
            '"checkpoints").as_upload()',
            "train.outputs.checkpoints written when the step ends rw_mount",
        ),
        ("an unknown cluster", "config.compute.training_cluster", '"gpu"', 'train.compute no compute "gpu"'),
    ],
    "../../config/dev.yml": [
        (
            "more nodes than there are",
            "    nodes: 1",
            "    nodes: 9",
            "compute.training.nodes 9 max_nodes of cpu-cluster, 2",
        ),
        (
            "no nodes",
            "    nodes: 1",
            "    nodes: 0",
            "config/dev.yml compute.training.nodes greater than or equal to 1",
        ),
        ("no process", "_node: 1", "_node: 0", "config/dev.yml compute.training.processes_per_node greater than"),
    ],
}
"""More of them where a training is distributed."""

SEEDS[PIPELINES] += [
    (
        "a search without a result",
        '        "search": search,\n',
        "",
        "tuning.jobs.tune.component.command tune.py needs the option --search",
    ),
    (
        "another name of the result",
        'output("search")',
        'output("result")',
        'tuning.outputs "search" missing `mlops tune`',
    ),
    (
        "a search that cannot go on",
        '{**options, "state": state}',
        "options",
        'tuning.jobs.tune.component needs the input "state"',
    ),
    (
        "an unknown distribution",
        "parameter_expressions, distribution",
        'parameter_expressions, "any" + distribution',
        "line any",
    ),
]

SEEDS = {file: SEEDS.get(file, []) + (DISTRIBUTED.get(file, []) if TORCH else []) for file in {**SEEDS, **DISTRIBUTED}}

ACCEPTED = [
    (PIPELINES, "source).as_mount()", "source).as_download()"),
    (PIPELINES, "OutputFileDatasetConfig(name).as_upload()", "OutputFileDatasetConfig(name).as_mount()"),
    (PIPELINES, 'PipelineParameter("overrides", NO_VALUE)', 'PipelineParameter("overrides", "training.seed=7")'),
    (PIPELINES, '            "overrides": overrides,\n', ""),
    (PIPELINES, "        allow_reuse=False,\n    )\n\n    return [prep, check]", "    )\n\n    return [prep, check]"),
    (
        PIPELINES,
        "config.compute.cluster.name,\n        runconfig",
        '("cpu-cluster", "AmlCompute"),\n        runconfig',
    ),
    (PIPELINES, "base_image = IMAGE", f'base_image = IMAGE.rpartition(":")[0] + "@sha256:{"0" * 64}"'),
    (PIPELINES, "return [prep, train, evaluate, register]", "return [register, train, evaluate, prep]"),
    (PIPELINES, 'logging_level="INFO"', 'logging_level="DEBUG", description="any"'),
    (PIPELINES, "error_threshold=0", "error_threshold=-1"),
    (DATA, 'FOLDER / "raw"', '"../../data/raw"'),
    (DATA, 'FOLDER / "raw"', '"azureml://datastores/workspaceblobstore/paths/flights"'),
    (DATA, "DATASETS = {", 'DATASETS = {"another-dataset": FOLDER / "raw",'),
    (IGNORED, "__pycache__", "*.ipynb\n__pycache__"),
    ("../../config/dev.yml", '"0 6 * * *"', '"*/15 0-6,22 * * MON-FRI"'),
    ("../../config/dev.yml", 'time_zone: "UTC"', 'time_zone: "W. Europe Standard Time"'),
]


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project's definitions and all they refer to."""
    root = tmp_path_factory.mktemp("sdk") / "project"
    return copied(root, "mlops/python-sdk-v1", "mlops/python-sdk-v2", "data/raw", "data/production", ".amlignore")


@pytest.fixture(autouse=True)
def _fresh_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Import the definitions anew in each test, from their source: they are edited within a second."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr("mlops.lint.configuration.settings_results", settings_results_once)
    monkeypatch.setattr("mlops.lint.pins.pin_findings", pin_findings_once)
    yield
    forget_definitions()


def findings_after(project: Project, file: str, old: str, new: str) -> list[Finding]:
    with edited(project.definitions / file, old, new):
        return lint(project)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [pytest.param(file, *seed, id=f"{file}: {name}") for file, seeds in SEEDS.items() for name, *seed in seeds],
)
def test_the_lint_names(file: str, old: str, new: str, words: str, shipped: Project) -> None:
    wanted = words.split() if "/" in file else [file, *words.split()] if file != "run_step.py" else words.split()
    assert_named(findings_after(shipped, file, old, new), wanted)


@pytest.mark.parametrize("edits", together(ACCEPTED))
def test_the_lint_accepts(edits: list[Edit], shipped: Project) -> None:
    with all_edited(shipped.definitions, edits):
        assert lint(shipped) == []


def test_the_shipped_definitions_have_no_finding(shipped: Project) -> None:
    assert lint(shipped) == []


# The plain form.


def as_sdk_v1_says(expected: Mapping[str, Any]) -> dict[str, Any]:
    """The pipeline of the other versions, as far as SDK v1 can say the same.

    Its datasets have names of their own; it has no types of data, no optional datasets, and each output of a step is
    one of the pipeline.
    """
    found = deepcopy(dict(expected))
    found["data"] = {"training_dataset": "data/raw", "production_dataset": "data/production"}
    folder = ("uri_folder", "upload")
    found["outputs"] = dict.fromkeys(("train_data", "test_data", "model", "evaluation", "registration"), folder)
    found["outputs"] |= {"checkpoints": ("uri_folder", "mount")} if TORCH else {}
    for step in found["steps"].values():
        for name, (kind, source) in step["inputs"].items():
            plain_kind = "uri_folder" if kind in ("mlflow_model", "uri_folder?") else kind
            # In YAML only `evaluation` and its like are named twice; here every output is.
            step["inputs"][name] = (plain_kind, source)
        step["outputs"] = {name: ("uri_folder", name) for name in step["outputs"]}
        # Azure ML gives the values of SDK v1 to the script as they are, not to a shell.
        step["command"] = (
            step["command"]
            .replace('"', "")
            .replace(
                "$[[--production-data ${{inputs.production_data}}]]", "--production-data ${{inputs.production_data}}"
            )
        )
    return found


def test_the_pipeline_is_that_of_the_other_versions_port_by_port(shipped: Project) -> None:
    found = facts(definitions.of(shipped).pipeline(), shipped.root)
    expected = as_sdk_v1_says(EXPECTED)
    for name, step in found["steps"].items():
        assert sorted(step["command"].split("--")) == sorted(expected["steps"][name]["command"].split("--"))
        step["command"] = expected["steps"][name]["command"]
    assert found == expected
    assert list(found["steps"]) == ["prep", "train", "evaluate", "register"]


def test_the_check_for_drift_compares_the_training_rows_with_the_newest_data(shipped: Project) -> None:
    found = facts(plain_pipeline(shipped, "drift"), shipped.root)
    assert {name: value[2] for name, value in found["inputs"].items() if "dataset" in name} == {
        "training_dataset": "data/raw",
        "production_dataset": "data/production",
    }
    assert list(found["steps"]) == ["prep", "drift"]
    assert found["steps"]["drift"]["inputs"]["train_data"] == ("uri_folder", "prep.train_data")
    assert found["steps"]["drift"]["is_deterministic"] is False
    # An upload would be left out when the step fails, and drift is a failed step.
    assert found["outputs"]["drift"] == ("uri_folder", "mount")


@pytest.mark.parametrize(
    ("file", "old", "new", "line"),
    [
        (PIPELINES, "return [prep, train,", "return [prep, tran,", r"pipelines.py: line \d+: NameError: name 'tran'"),
        (DATA, "DATASETS = {", "DATASETS = = {", r"data.py: line \d+: SyntaxError: invalid syntax"),
    ],
)
def test_a_definition_that_cannot_be_built_is_one_line_with_its_place(
    file: str, old: str, new: str, line: str, shipped: Project
) -> None:
    with edited(shipped.definitions / file, old, new), pytest.raises(UserError, match=line):
        definitions.of(shipped).pipeline()


def test_building_steps_leaves_the_import_path_alone(shipped: Project) -> None:
    before = list(sys.path)
    plain_pipeline(shipped, "batch")
    assert str(shipped.root) not in sys.path
    assert [path for path in sys.path if not path.endswith(("python-sdk-v1", "python-sdk-v2"))] == [
        path for path in before if not path.endswith(("python-sdk-v1", "python-sdk-v2"))
    ]


# What goes to Azure with a step.


def test_a_step_gets_the_package_and_its_settings_and_nothing_else(shipped: Project) -> None:
    files = {file.relative_to(shipped.root).as_posix() for file in snapshot(shipped.root)}
    package = f"data-science/src/{shipped.package}/"
    assert {file for file in files if not file.startswith(package)} == {
        "config/model.yml",
        "data/schema.yml",
        "mlops/python-sdk-v1/batch_score.py",
        "mlops/python-sdk-v1/run_step.py",
    }
    assert f"{package}report/page.html" in files


@pytest.mark.parametrize("ignored", ["", ".ipynb_checkpoints\n.DS_Store\n"])
def test_files_of_an_editor_are_neither_sent_nor_missed(ignored: str, shipped: Project) -> None:
    package = shipped.root / "data-science" / "src" / shipped.package
    strangers = [package / name for name in (".DS_Store", ".ipynb_checkpoints/train.py", "x.egg-info/PKG-INFO")]
    file = shipped.root / ".amlignore"
    before = file.read_text(encoding="utf-8")
    try:
        for stranger in strangers:
            stranger.parent.mkdir(exist_ok=True)
            stranger.write_text("", encoding="utf-8")
        assert not {*strangers} & {*snapshot(shipped.root)}
        # As a team may have it from before.
        file.write_text(before.replace(".*\n", ignored).replace("*.egg-info\n", ""), encoding="utf-8")
        assert lint(shipped) == []
    finally:
        file.write_text(before, encoding="utf-8")
        for stranger in strangers:
            stranger.unlink()
            if stranger.parent != package:
                stranger.parent.rmdir()


def training_hash(project: Project) -> str:
    """The fingerprint of the training pipeline."""
    data = dict.fromkeys(("training_dataset", "production_dataset"))
    from azureml.core import Dataset

    made = {name: Dataset.File.from_files(f"https://localhost/{name}", validate=False) for name in data}
    return fingerprint(build(project, "training", load_environment(project, "dev"), made))


def test_a_pipeline_has_the_same_fingerprint_as_long_as_nothing_of_it_changes(shipped: Project) -> None:
    assert training_hash(shipped) == training_hash(shipped)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (PIPELINES, "base_image = IMAGE", 'base_image = IMAGE + "x"'),
        (PIPELINES, 'PipelineParameter("overrides", NO_VALUE)', 'PipelineParameter("overrides", "a=1")'),
        (PIPELINES, "allow_reuse=False", "allow_reuse=True"),
        ("../../config/model.yml", "seed:", "seed : "),
        ("../../data-science/environment/train.yml", "python=3.11", "python=3.12"),
    ],
)
def test_another_pipeline_has_another_fingerprint(file: str, old: str, new: str, shipped: Project) -> None:
    before = training_hash(shipped)
    with edited(shipped.definitions / file, old, new):
        for name in ("pipelines", "environments", "run_step"):
            sys.modules.pop(name, None)
        assert training_hash(shipped) != before


def test_the_hyperparameters_of_a_trial_become_its_candidate(shipped: Project) -> None:
    given = load_module(shipped.definitions, "run_step").options_with_value
    candidate = ["--candidate", "rate={rate} tree.depth={tree__depth}"]
    chosen = ["--rate", "0.1", "--tree__depth", "3.0"]
    expected = ["--overrides", "a=1", "--candidate", "rate=0.1 tree.depth=3.0"]
    assert given(["--overrides", "a=1", "--state", "none", *candidate, *chosen]) == expected


def test_a_search_is_built_for_azure_with_what_the_settings_say(shipped: Project) -> None:
    steps, _ = stand_alone_steps(shipped, "tuning", sweep(shipped, "tuning.minutes=45"))
    found = steps[1]._hyperdrive_config  # type: ignore[attr-defined]
    wanted = load_yaml(shipped.settings)["tuning"]
    assert found._max_total_runs == wanted["trials"]
    assert found._max_duration_minutes == 45
    space = wanted["space"].get("boosted_trees", wanted["space"])  # tables have a space for each model
    assert set(found._generator_config["parameter_space"]) == {f"--{name.replace('.', '__')}" for name in space}


def test_an_option_without_a_value_is_left_out(shipped: Project) -> None:
    given = load_module(shipped.definitions, "run_step").options_with_value
    assert given(["--raw-data", "rows", "--overrides", "none", "--train-data", "out"]) == [
        "--raw-data",
        "rows",
        "--train-data",
        "out",
    ]
    assert (
        given(["--overrides", "training.seed=7 training.test_size=0.3"])[1] == "training.seed=7 training.test_size=0.3"
    )


def test_the_starter_runs_a_module_of_the_package(shipped: Project, tmp_path: Path) -> None:
    """In a process of its own, in a copy of what goes to Azure, where nothing is installed."""
    for file in snapshot(shipped.root):
        target = tmp_path / file.relative_to(shipped.root)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    package = tmp_path / "data-science" / "src" / shipped.package
    (package / "show.py").write_text(
        "import sys\nfrom . import __name__ as name\nprint(name, *sys.argv[1:])\n", encoding="utf-8"
    )
    (package / "__init__.py").write_text("", encoding="utf-8")
    words = [f"{shipped.package}.show", "--raw-data", "rows", "--overrides", "none"]
    command = [sys.executable, "-I", "mlops/python-sdk-v1/run_step.py", *words]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [shipped.package, "--raw-data", "rows"]


# Batch scoring.


@pytest.fixture
def batch_score(shipped: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The entry script beside a package whose score.py only says what it was asked."""
    root = tmp_path / "snapshot"
    package = root / "data-science" / "src" / "package_of_this_test"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "score.py").write_text(
        "import os\nasked = []\n"
        "def init():\n    asked.append(os.environ['AZUREML_MODEL_DIR'])\n"
        "def run(files):\n    asked.append(files)\n    return ['a row']\n",
        encoding="utf-8",
    )
    folder = root / "mlops" / "python-sdk-v1"
    folder.mkdir(parents=True)
    shutil.copy(shipped.definitions / "batch_score.py", folder)
    monkeypatch.setattr("azureml.core.Model.get_model_path", lambda name, version: f"models/{name}/{version}")
    monkeypatch.setenv("AZUREML_MODEL_DIR", "none yet")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    driver = ["--mini_batch_size", "10", "--output", "out"]
    own = ["--package", "package_of_this_test", "--model-name", "a-model", "--model-version", "7"]
    monkeypatch.setattr(sys, "argv", ["driver.py", *driver, *own, "--input_fds_0", "files"])
    sys.modules.pop("batch_score", None)
    return importlib.import_module("batch_score")


def test_the_entry_script_leaves_the_scoring_to_the_projects_own_script(batch_score: ModuleType) -> None:
    batch_score.init()
    assert batch_score.run(["one.csv", "two.csv"]) == ["a row"]
    score = sys.modules["package_of_this_test.score"]
    assert score.asked == ["models/a-model/7", ["one.csv", "two.csv"]]


@pytest.mark.skipif(TORCH, reason="rows in a csv file are what tables are made of")
def test_a_mini_batch_is_scored_with_the_registered_model(
    shipped: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the project's real score.py and a real model."""
    rows = pd.DataFrame({"distance": [0.0, 1.0, 2.0]})
    model = LinearRegression().fit(rows, [1.0, 3.0, 5.0])
    # Not as the project does: skops, by default, looks through all modules that the SDKs have imported.
    options = {"signature": mlflow.models.infer_signature(rows), "serialization_format": "cloudpickle"}
    mlflow.sklearn.save_model(model, tmp_path / "model", pip_requirements=[], **options)
    (tmp_path / "rows.csv").write_text("distance,ignored\n10,1\n20,2\n", encoding="utf-8")
    found = score_mini_batch(shipped, monkeypatch, tmp_path / "model", tmp_path / "rows.csv")
    assert list(found.columns) == ["file", "row", "prediction"]
    assert found["prediction"].tolist() == pytest.approx([21.0, 41.0])


# Gives each example the length of its input as its class; MLflow loads it from this text.
LENGTHS = """
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

class Lengths(PythonModel):
    def predict(self, context, model_input, params=None):
        return [len(each) for each in model_input.iloc[:, 0]]

set_model(Lengths())
"""


@pytest.mark.skipif(not TORCH, reason="tables are scored above")
def test_a_mini_batch_of_pictures_or_texts_is_scored_with_the_registered_model(
    shipped: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The files that the project ships as production data."""
    schema = yaml.safe_load((shipped.root / "data" / "schema.yml").read_text(encoding="utf-8"))
    (name,) = (key for key, each in schema["columns"].items() if key != schema["target"] and "role" not in each)
    (tmp_path / "lengths.py").write_text(LENGTHS, encoding="utf-8")
    signature = ModelSignature(Schema([ColSpec("string", name)]), Schema([ColSpec("long")]))
    mlflow.pyfunc.save_model(
        tmp_path / "model", python_model=str(tmp_path / "lengths.py"), signature=signature, pip_requirements=["mlflow"]
    )
    (file,) = (shipped.root / "data" / "production").iterdir()
    found = score_mini_batch(shipped, monkeypatch, tmp_path / "model", file)
    assert set(found["file"]) == {file.name}
    assert found["row"].is_unique
    assert len(found) > 100
    assert found["prediction"].min() > 1


def score_mini_batch(shipped: Project, monkeypatch: pytest.MonkeyPatch, model: Path, file: Path) -> pd.DataFrame:
    """Let the entry script score a file as a worker of Azure ML does."""
    monkeypatch.setattr("azureml.core.Model.get_model_path", lambda *_, **__: str(model))
    monkeypatch.setenv("AZUREML_MODEL_DIR", "none yet")
    monkeypatch.setattr(sys, "path", [str(shipped.definitions), *sys.path])
    own = ["--package", shipped.package, "--model-name", "a-model", "--model-version", "7"]
    monkeypatch.setattr(sys, "argv", ["driver.py", *own])
    sys.modules.pop("batch_score", None)
    script = importlib.import_module("batch_score")
    script.init()
    scored: pd.DataFrame = script.run([str(file)])
    return scored


def test_the_entry_script_demands_the_model(batch_score: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["driver.py", "--package", "package_of_this_test", "--model-name", "a-model"])
    with pytest.raises(SystemExit):
        batch_score.init()


# Cron texts.

WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]


@pytest.mark.parametrize(
    ("cron", "frequency", "interval", "hours", "minutes", "days", "start"),
    [
        ("0 4 * * *", "Day", 1, [4], [0], None, None),
        ("30 4,16 * * *", "Day", 1, [4, 16], [30], None, None),
        ("*/20 8-10 * * *", "Day", 1, [8, 9, 10], [0, 20, 40], None, None),
        ("5 */6 * * *", "Day", 1, [0, 6, 12, 18], [5], None, None),
        ("15 * * * *", "Day", 1, list(range(24)), [15], None, None),
        ("0 4 1-31 1-12 0-6", "Day", 1, [4], [0], None, None),
        ("0 4 * * 1", "Week", 1, [4], [0], ["Monday"], None),
        ("0 4 * * 0,6", "Week", 1, [4], [0], ["Sunday", "Saturday"], None),
        ("0 4 * * MON-FRI", "Week", 1, [4], [0], WEEKDAYS, None),
        ("0 4 1 * *", "Month", 1, None, None, None, "2026-01-01T04:00:00"),
        ("45 23 28 * *", "Month", 1, None, None, None, "2026-01-28T23:45:00"),
        ("0 4 1 */3 *", "Month", 3, None, None, None, "2026-01-01T04:00:00"),
        ("0 4 1 2,8 *", "Month", 6, None, None, None, "2026-02-01T04:00:00"),
        ("0 4 15 jun *", "Month", 12, None, None, None, "2026-06-15T04:00:00"),
    ],
)
def test_a_cron_text_becomes_a_recurrence(
    cron: str,
    frequency: str,
    interval: int,
    hours: list[int] | None,
    minutes: list[int] | None,
    days: list[str] | None,
    start: str | None,
) -> None:
    found = recurrence(cron, "W. Europe Standard Time")
    found.validate()
    assert (found.frequency, found.interval, found.hours, found.minutes) == (frequency, interval, hours, minutes)
    assert found.week_days == days
    assert found.time_zone.value == "W. Europe Standard Time"
    # Without a start in the past the first run would start at once.
    assert found.start_time == (start or "2026-01-01T00:00:00")


@pytest.mark.parametrize(
    "cron",
    [
        "0 4 1-7 * *",  # several days of the month
        "0 4 29 * *",  # a day that February has not
        "0 4,16 1 * *",  # twice on a day of the month
        "0 4 1 1,2 *",  # months without a rhythm
        "0 4 1 */5 *",
        "0 4 * 6 *",  # each day of one month
        "0 4 * 6 1",
        "0 4 1 * 1",  # to cron this is either day, not both
        "0 4 */2 * *",
    ],
)
def test_a_cron_text_that_has_no_recurrence_is_refused_with_those_that_have_one(cron: str) -> None:
    with pytest.raises(UserError, match=r"SDK v1 has no recurrence for .*\(every day\).*\(months\)$") as error:
        recurrence(cron, "UTC")
    assert cron in str(error.value)


@pytest.mark.parametrize(
    ("cron", "zone", "words"),
    [
        ("0 4 * *", "UTC", "five are needed"),
        ("0 25 * * *", "UTC", '"25" is no hour'),
        ("0 4 * * *", "Europe/Paris", '"Europe/Paris" is no time zone of Azure'),
    ],
)
def test_a_cron_text_that_is_none_is_one_line(cron: str, zone: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        recurrence(cron, zone)


# The verbs.

VERBS = {
    "train": [
        "Schedule.update({model}-retraining: off and renamed, SDK v1 deletes no schedule)",
        "Dataset.register(training_dataset, content=",
        "PipelineEndpoint.publish({experiment}: {experiment})",
        "PipelineEndpoint.submit({experiment}, training_dataset:",
        "PipelineRun.get_status(",
        "StepRun.download(",
    ],
    "train --overrides training.seed=7 --no-wait": ["overrides=training.seed=7)"],
    "deploy-online": [
        "MLClient.online_deployments.begin_create_or_update(green: {model}:1, Standard_",
        "MLClient.online_endpoints.begin_create_or_update({online}: green=100)",
    ],
    "deploy-batch": ["PipelineEndpoint.publish({batch}: model-1)", "PublishedPipeline.disable(model-0)"],
    "smoke-test": ["MLClient.online_endpoints.invoke({online})"],
    "logs": ["MLClient.online_deployments.get_logs(blue"],
    "shift-traffic --percent 30": ["MLClient.online_endpoints.begin_create_or_update({online}: blue=70 green=30)"],
    "rollback": ["({online}: blue=100)", "MLClient.models.create_or_update({model}:1, rejected_dev=true"],
    "models": [],
    "deliver": ["MLClient.models.create_or_update({model}:1, deployed_dev="],
    "promote --to test": ["MLClient.models.share({model}:1 to {registry})"],
    "drift": ["an alert of the last 14 days"],
    "monitor --environment prod": [
        "PipelineEndpoint.publish({model}-monitor: {model}-monitor)",
        "Schedule.create_for_pipeline_endpoint({model}-monitor: 0 6 * * *)",
        "because SDK v1 cannot watch blue; a run that finds drift fails.",
    ],
    "teardown": [
        "Schedule.update({model}-monitor: off and renamed, SDK v1 deletes no schedule)",
        "MLClient.online_endpoints.begin_delete({online})",
        "PipelineEndpoint.archive({batch}: off and renamed, SDK v1 deletes no endpoint)",
    ],
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_dry_run_shows_each_call_and_makes_none(
    verb: str, shipped: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(shipped.root)
    for module in ("python_sdk_v1", "python_sdk_v2"):
        for name in ("credential", "subscription"):
            monkeypatch.setattr(f"mlops.azureml.{module}.{name}", lambda *_: pytest.fail("Azure was asked"))
    config = load_environment(shipped, "dev")
    names = {"online": config.names.online_endpoint, "batch": config.names.batch_endpoint}
    names |= {"registry": config.names.registry, "model": config.model.name, "experiment": config.model.experiment}
    with pytest.raises(SystemExit) as end:
        cli.main([*verb.split(), "--dry-run"])
    assert end.value.code == 0
    shown = capsys.readouterr().out.splitlines()
    for call in VERBS[verb]:
        assert any(call.format(**names) in line for line in shown), (call.format(**names), shown)


@pytest.mark.parametrize(("words", "times"), [("lint", 1), ("monitor --dry-run", 1), ("lint --help", 0), ("--help", 0)])
def test_each_command_says_once_that_this_is_out_of_support(
    words: str, times: int, shipped: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(shipped.root)
    with contextlib.suppress(SystemExit):
        cli.main(words.split())
    captured = capsys.readouterr()
    assert captured.err.count(NOTICE) == times
    assert NOTICE not in captured.out
    assert "\n" not in NOTICE
    assert "copier update" in NOTICE


def answer(status: int, text: str) -> Exception:
    """An error of SDK v1's clients with Azure's answer in it."""
    from msrest.exceptions import HttpOperationError
    from requests import Response

    response = Response()
    response.status_code, response._content = status, text.encode()
    return HttpOperationError(lambda *_: None, response)


ERRORS = {
    "no login": ("azure.core.exceptions:ClientAuthenticationError", "Please run 'az login'", "run `az"),
    "no workspace": (
        "azureml.exceptions:WorkspaceException",
        "Workspace not found.",
        "there is no workspace .* run `uv run mlops provision",
    ),
    "no rights": (
        403,
        '{"error": {"code": "AuthorizationFailed", "message": "does not have authorization"}}',
        "you may not do this in .*: ask for the role AzureML Data Scientist",
    ),
    "an unknown dataset": (
        "azureml.exceptions:UserErrorException",
        "No dataset\nwith name x",
        "^No dataset with name x$",
    ),
    "an answer with a code": (
        400,
        '{"Error": {"Code": "UserError", "Message": "Short\\nand stout."}}',
        r"^\(UserError\) Short and stout\.$",
    ),
    "an answer without one": (502, "Bad\ngateway", "^Bad gateway$"),
    "no answer": ("requests:ConnectionError", "Max retries exceeded", "^Max retries exceeded$"),
    "anything else of SDK v1": ("azureml._common.exceptions:AzureMLException", "It\nfailed.", "^It failed.$"),
    "a value that it refuses": ("builtins:ValueError", "Invalid type: x", "^Invalid type: x$"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_of_sdk_v1_is_one_line_with_its_remedy(case: str, shipped: Project) -> None:
    kind, text, line = ERRORS[case]
    error = answer(kind, text) if isinstance(kind, int) else pkgutil.resolve_name(str(kind))(text)
    with pytest.raises(UserError, match=line) as caught, sdk_errors(load_environment(shipped, "dev")):
        raise error
    assert "\n" not in str(caught.value)


def test_nothing_is_reported_to_microsoft(shipped: Project) -> None:
    """In a process of its own: SDK v1 decides on it when it is imported, its native part by the constant HBI_MODE."""
    code = (
        "import logging, sys, mlops.definitions, mlops.project\n"
        "from pathlib import Path\n"
        "project = mlops.project.Project.load(Path(sys.argv[1]))\n"
        "mlops.definitions.of(project).pipeline()\n"
        "from azureml.dataprep.api import _rslex_executor\n"
        "loggers = [logging.getLogger(name) for name in logging.root.manager.loggerDict]\n"
        "handlers = {type(item).__name__ for logger in loggers for item in logger.handlers}\n"
        "print('AppInsightsLoggingHandler' in handlers, _rslex_executor.HBI_MODE)\n"
    )
    command = [sys.executable, "-c", code, str(shipped.root)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True"]


# Against Azure: what the table of test_every_version.py does not ask.


def published(cloud: V1Cloud) -> list[tuple[str, str]]:
    """The published pipelines of dev, with their state."""
    pipelines = stored(cloud.azure, cloud.workspaces["dev"], "pipelines").values()
    return [(pipeline["Name"], pipeline["EntityStatus"]) for pipeline in pipelines]


@pytest.fixture
def dev(project: Project, cloud: V1Cloud) -> Session:
    """The environment dev of the small project."""
    cloud.next_job(registered=False, reasons=["the champion is better"])
    return Session.open("dev", root=project.root)


def test_an_unchanged_pipeline_is_published_once(dev: Session, cloud: V1Cloud) -> None:
    verbs.train(dev)
    verbs.train(dev)
    assert published(cloud) == [("an-experiment", "Active")]
    assert len(cloud.state()["jobs"]) == 2


def test_a_changed_pipeline_replaces_the_one_before(dev: Session, cloud: V1Cloud) -> None:
    verbs.train(dev)
    (dev.project.root / "config" / "model.yml").write_text("drift: {}\n", encoding="utf-8")
    verbs.train(dev)
    assert published(cloud) == [("an-experiment", "Disabled"), ("an-experiment", "Active")]


def test_a_pipeline_that_cannot_be_put_behind_its_endpoint_is_switched_off(dev: Session, cloud: V1Cloud) -> None:
    cloud.fail("create batch endpoint")
    with pytest.raises(UserError, match="not now"):
        verbs.train(dev)
    assert published(cloud) == [("an-experiment", "Disabled")]


def test_the_progress_of_each_step_is_shown_once_and_no_address_of_a_log(
    dev: Session, cloud: V1Cloud, capfd: pytest.CaptureFixture[str]
) -> None:
    verbs.train(dev)
    shown = capfd.readouterr().out.splitlines()
    for step in ("prep", "train", "evaluate", "register"):
        assert [line for line in shown if line.startswith(f"{step}: ")] == [f"{step}: Running", f"{step}: Finished"]
    assert not any("sig=" in line for line in shown)


@pytest.mark.parametrize("operation", ["create data", "create batch deployment", "create batch endpoint", "create job"])
def test_the_libraries_print_nothing_beside_the_error(
    operation: str, dev: Session, cloud: V1Cloud, capfd: pytest.CaptureFixture[str]
) -> None:
    cloud.fail(operation)
    with pytest.raises(SystemExit):
        cli.main(["train"])
    shown = capfd.readouterr()
    assert [line[:7] for line in shown.err.splitlines() if line != NOTICE] == ["error: "]
    assert not any("rror" in line for line in shown.out.splitlines())


def test_overrides_need_a_parameter(dev: Session) -> None:
    file = dev.project.definitions / PIPELINES
    text = file.read_text(encoding="utf-8").replace('            "overrides": overrides,\n', "")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="training pipeline has no parameter overrides: add it"):
        verbs.train(dev, overrides="training.seed=7")


def test_only_the_newest_versions_of_a_dataset_are_compared(
    dev: Session, cloud: V1Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.azureml.python_sdk_v1.COMPARED", 2)
    file = dev.project.data / "raw" / "rows.csv"
    texts = [file.read_text(encoding="utf-8") + "5,5.5\n" * number for number in range(3)]
    for text in [*texts, texts[1], texts[0]]:
        file.write_text(text, encoding="utf-8")
        verbs.ensure_data(dev)
    versions = cloud.state()["data"]["training_dataset"]
    assert len(versions) == 4  # the second one was among the newest two, the first one no more
    assert versions[0] == versions[-1]


def test_a_teardown_leaves_nothing_that_runs(dev: Session, cloud: V1Cloud) -> None:
    cloud.register("1")
    verbs.train(dev, wait=False)
    cloud.schedule_retraining()
    verbs.deploy_batch(dev)
    verbs.teardown(dev)
    endpoints = stored(cloud.azure, cloud.workspaces["dev"], "endpoints").values()
    schedules = stored(cloud.azure, cloud.workspaces["dev"], "schedules").values()
    assert {item["EntityStatus"] for item in [*endpoints, *schedules]} == {"Disabled"}
    verbs.train(dev, wait=False)
    verbs.deploy_batch(dev)
    assert len(cloud.state()["jobs"]) == 2
    assert cloud.state()["batch"]["batch-dev"]["default"] == "model-1"


def test_a_model_of_the_registry_is_brought_into_the_workspace_for_batch_jobs(
    project: Project, cloud: V1Cloud, tmp_path: Path
) -> None:
    model = tmp_path / "a-trained-model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {}\n", encoding="utf-8")
    cloud.copies(model)
    sha256 = importlib.import_module(f"{project.package}.core.endpoint").model_hash(model)
    cloud.register("3", sha256=sha256)
    verbs.promote(Session.open("dev", root=project.root), "test")
    test = Session.open("test", root=project.root)
    verbs.deploy_batch(test)
    verbs.deploy_batch(test)
    assert test.backend.batch_default() == "model-3"
    assert [found.version for found in test.backend.model_versions(None)] == ["3"]
    assert list(cloud.state()["batch"]["batch-test"]["deployments"]) == ["model-3"]


def test_a_run_that_is_gone_is_one_line(dev: Session) -> None:
    with pytest.raises(UserError, match="runs/a-job"):
        dev.backend.job("a-job")


def test_all_that_was_written_of_an_output_is_downloaded(dev: Session, cloud: V1Cloud, tmp_path: Path) -> None:
    cloud.next_job(registered=True, name="a-model", version="1", reasons=["äöü"])
    verbs.train(dev)
    [run] = stored(cloud.azure, cloud.workspaces["dev"], "runs")
    dev.backend.download_output(run, "registration", tmp_path / "got")
    found = json.loads((tmp_path / "got" / "registration" / "registration.json").read_text(encoding="utf-8"))
    assert found["reasons"] == ["äöü"]
    with pytest.raises(UserError, match="writes an output 'report'"):
        dev.backend.download_output(run, "report", tmp_path)
