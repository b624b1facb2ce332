"""What the lint catches outside of the definitions: in config/, in the schema, and in the settings held against it."""

import re
import shutil
import time
from typing import Any

import pytest
import yaml
from command_line import run
from rendered import ROOT, TORCH
from seeded import assert_named, edited
from small_project import set_key, write_yaml

from mlops.config import Project, load_environment
from mlops.definitions.base import Finding
from mlops.errors import UserError
from mlops.lint import configuration, lint, pins
from mlops.removed_keys import REMOVED_KEYS


def lines(project: Project) -> list[str]:
    """The findings of the lint, as lines."""
    return [str(finding) for finding in findings(project)]


def findings(project: Project) -> list[Finding]:
    """The findings of the lint, but those in the definitions, which are made for clusters of other names."""
    with pytest.MonkeyPatch.context() as patch:
        # It would take most of the time to check definitions with azure-ai-ml that are the same in each test.
        patch.setattr("mlops.lint.sdk.check", lambda document: [])
        return [finding for finding in lint(project) if finding.path.parts[0] != "mlops"]


def test_the_small_project_has_no_finding(project: Project) -> None:
    assert lines(project) == []


def wait_for_the_other_process(project: Project) -> list[Finding]:
    """Find nothing, as soon as the other process goes on."""
    end = time.monotonic() + 60
    while not (project.root / "meanwhile").exists():
        if time.monotonic() > end:
            return [Finding(project.root, "", "the other process has only waited")]
        time.sleep(0.01)
    return []


def test_a_run_prepares_itself_while_another_process_checks_the_definitions(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.lint._other_findings", wait_for_the_other_process)
    found = lint(project, parallel=True, meanwhile=(project.root / "meanwhile").touch)
    assert "the other process has only waited" not in [finding.message for finding in found]


# The environments.


@pytest.mark.parametrize("environment", ["dev", "test", "prod"])
@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("names.workspce", "w", "names.workspce: unknown key"),
        ("names.workspace", None, "names.workspace: the key is missing"),
        ("compute.online.instance_count", "two", "compute.online.instance_count: input should be a valid integer"),
        ("security", None, "security: the key is missing"),
        ("environment", "stage", "environment: is 'stage', but must be"),
    ],
)
def test_the_file_of_each_environment_is_read(
    project: Project, environment: str, key: str, value: object, words: str
) -> None:
    set_key(project.root / "config" / f"{environment}.yml", key, value)
    [line] = lines(project)
    assert line.startswith(f"config/{environment}.yml: {words}")


def test_all_mistakes_of_all_environments_are_named_at_once(project: Project) -> None:
    set_key(project.root / "config" / "dev.yml", "colour", "red")
    set_key(project.root / "config" / "dev.yml", "rollout.canary_percent", 100)
    set_key(project.root / "config" / "test.yml", "names.key_vault", None)
    set_key(project.root / "config" / "test.yml", "budget", None)
    places = [line.rsplit(": ", 1)[0] for line in lines(project)]
    assert places == [
        "config/dev.yml: colour",
        "config/dev.yml: rollout.canary_percent",
        "config/test.yml: budget",
        "config/test.yml: names.key_vault",
    ]


@pytest.mark.parametrize("name", ["config/test.yml", "config/model.yml", "data/schema.yml"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: {b\n", "line 2: not valid YAML"),
        ("", "keys and values are expected"),
        ("a: 1\na: 2\n", 'line 2: the key "a" stands here twice'),
    ],
)
def test_a_file_that_is_no_yaml_is_named_with_its_line(project: Project, name: str, text: str, words: str) -> None:
    (project.root / name).write_text(text, encoding="utf-8")
    assert_named(findings(project), [f"{name}:", *words.split()])


# What two environments must not share.


@pytest.mark.parametrize("project", ["new", "existing"], indirect=True)
def test_two_environments_with_one_workspace_are_refused(project: Project) -> None:
    test = project.root / "config" / "test.yml"
    set_key(test, "names.resource_group", "RG-dev")
    set_key(test, "names.workspace", "mlw-dev")
    [line] = lines(project)
    assert line.startswith("config/test.yml: names.workspace: mlw-dev is the workspace of dev too")


@pytest.mark.parametrize(
    ("project", "count"), [("new", 1), ("existing", 0)], ids=["built here", "of others"], indirect=["project"]
)
def test_a_resource_group_that_a_teardown_would_delete_belongs_to_one_environment(project: Project, count: int) -> None:
    set_key(project.root / "config" / "prod.yml", "names.resource_group", "rg-test")
    found = lines(project)
    assert len(found) == count
    assert all("prod.yml: names.resource_group: rg-test is the resource group of test too" in line for line in found)


def test_two_environments_with_one_state_are_refused(project: Project) -> None:
    set_key(project.root / "config" / "prod.yml", "terraform_state.key", "test")
    [line] = lines(project)
    assert line.startswith("config/prod.yml: terraform_state: this is the state of test too")


# Keys that a release removed.


def add_removed(project: Project, key: str, value: object = "any") -> list[str]:
    set_key(project.root / "config" / "dev.yml", key, value)
    return lines(project)


@pytest.mark.parametrize("key", REMOVED_KEYS)
def test_a_removed_key_is_refused_with_its_successor_and_its_consequence(project: Project, key: str) -> None:
    removed = REMOVED_KEYS[key]
    [line] = add_removed(project, key)
    assert line.startswith(f"config/dev.yml: {key}: {removed.release} removed this key, and {removed.now}")
    assert removed.consequence in line
    with pytest.raises(UserError, match=f"{removed.release} removed this key"):
        load_environment(project, "dev")


def test_the_key_that_closed_an_environment_is_refused_with_the_command_that_closes_it(project: Project) -> None:
    [line] = add_removed(project, "security.public_network_access", False)
    assert (
        "commit the update, then choose the add-on private-network with `uvx --with copier-template-extensions copier "
        "update --trust --vcs-ref=:current: --data 'add_ons=[private-network]'`; a workspace that is deployed must be "
        "torn down before (docs/update.md); without the add-on, deleting this key opens the environment to the internet"
    ) in line


def test_an_environment_that_was_open_stays_open_without_the_key(project: Project) -> None:
    [line] = add_removed(project, "security.public_network_access", True)
    assert line.endswith("delete this key, which changes nothing here")


@pytest.mark.parametrize("project", ["closed"], indirect=True)
def test_an_environment_that_is_closed_by_the_add_on_needs_the_key_no_more(project: Project) -> None:
    [line] = add_removed(project, "security.public_network_access", False)
    assert line.endswith("delete this key, which changes nothing here")


# Conflicts of an update.

CONFLICT = "<<<<<<< before updating\n{}\n=======\n{}\n>>>>>>> after updating\n"


def first_definition(project: Project) -> str:
    files = sorted(path for path in project.definitions.rglob("*") if path.suffix in {".yml", ".py"})
    return files[0].relative_to(project.root).as_posix()


@pytest.mark.parametrize("name", ["config/dev.yml", "config/prod.yml", "config/model.yml", "data/schema.yml", ""])
def test_a_conflict_is_named_with_its_file_and_its_lines(project: Project, name: str) -> None:
    path = project.root / (name or first_definition(project))
    text = path.read_text(encoding="utf-8")
    path.write_text(text + CONFLICT.format("a: 1", "a: 2"), encoding="utf-8")
    count, place = len(text.splitlines()), path.relative_to(project.root).as_posix()
    assert [str(finding).split(": a conflict marker")[0] for finding in lint(project)] == [
        f"{place}: line {count + 1}",
        f"{place}: line {count + 5}",
    ]


def test_a_removed_key_in_a_conflict_is_explained_before_a_side_is_chosen(project: Project) -> None:
    path = project.root / "config" / "dev.yml"
    mine, theirs = "  public_network_access: false # private endpoints only", "  delete_lock: true"
    text = path.read_text(encoding="utf-8")
    path.write_text(text + CONFLICT.format(mine, theirs), encoding="utf-8")
    first, second, third = lines(project)
    assert "a conflict marker" in first
    assert "security.public_network_access: v0.3.0 removed this key" in second
    assert second.endswith("without the add-on, deleting this key opens the environment to the internet")
    assert "a conflict marker" in third


def test_a_verb_names_the_conflict_too(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    path = project.root / "config" / "dev.yml"
    path.write_text(CONFLICT.format("a: 1", "a: 2") + path.read_text(encoding="utf-8"), encoding="utf-8")
    assert run("train", "--dry-run") == 1
    error = capsys.readouterr().err
    assert f"{path}:1: a conflict marker: choose between the two sides" in error
    assert error.count("\n") == 1


def test_a_conflict_in_the_choices_of_the_project_is_one_line(project: Project) -> None:
    path = project.root / "pyproject.toml"
    path.write_text(path.read_text(encoding="utf-8") + CONFLICT.format("a = 1", "a = 2"), encoding="utf-8")
    with pytest.raises(UserError, match=r"pyproject\.toml:\d+: a conflict marker: "):
        Project.load(project.root)


def test_a_table_that_looks_like_a_conflict_is_none(project: Project) -> None:
    path = project.root / "config" / "model.yml"
    path.write_text(path.read_text(encoding="utf-8") + "# =======\n#\n# <<<<<<<< not seven\n", encoding="utf-8")
    assert lines(project) == []


# The settings and the schema.


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("evaluation.metric", "f1_macro", "evaluation.metric: 'f1_macro' is not a regression metric"),
        ("evaluation.slices", ["regoin"], "evaluation.slices: the data have no column 'regoin'"),
        ("promotion.floor", -1.0, "promotion.floor: no model can reach -1"),
        ("training.hyperparameters", None, "the section training needs"),
        ("training.hyperparameters.rte", 0.1, "training.hyperparameters.rte: unknown; the nearest is rate"),
        ("training.hyperparameters.rate", "fast", "training.hyperparameters.rate: 'fast' must be a number"),
        ("extra", {}, "unknown key 'extra'"),
    ],
)
def test_the_settings_are_held_against_the_data(project: Project, key: str, value: object, words: str) -> None:
    set_key(project.settings, key, value)
    [line] = lines(project)
    assert line.startswith("config/model.yml: ")
    assert words in line


def test_all_that_is_wrong_in_the_settings_is_named_at_once(project: Project) -> None:
    wrong = {"evaluation.metric": "f1_macro", "evaluation.slices": ["regoin"], "training.seed": -1}
    for key, value in wrong.items():
        set_key(project.settings, key, value)
    found = lines(project)
    assert len(found) == len(wrong)
    assert all(any(key in line for line in found) for key in wrong)


def test_a_hyperparameter_that_the_file_leaves_out_can_be_set_for_one_run(project: Project) -> None:
    assert "rate" not in yaml.safe_load(project.settings.read_text(encoding="utf-8"))["training"]["hyperparameters"]
    configuration.check_overrides(project, "training.hyperparameters.rate=0.5")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ("training.seed", "write it as a.b.c=value"),
        ("training.sed=7", "has no setting 'training.sed'; the nearest: training.seed"),
        ("tuning.trails=7", "has no setting 'tuning.trails'; the nearest: tuning.trials"),
        ("training.hyperparameters.rate=1e-3", "YAML takes it for a text, write 1.0e-3"),
        ("training.seed=often", "training.seed is an integer"),
        ("training.hyperparameters.rte=0.1", "training.hyperparameters.rte: unknown; the nearest is rate"),
        ("training.seed=7 evaluation.metric=f1_macro", "evaluation.metric: 'f1_macro' is not a regression metric"),
    ],
)
def test_a_wrong_override_is_one_line_with_the_problem(project: Project, overrides: str, words: str) -> None:
    with pytest.raises(UserError) as error:
        configuration.check_overrides(project, overrides)
    assert str(error.value).startswith(f"--overrides {overrides}: ")
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_overrides_answer_only_for_what_they_make_wrong(project: Project) -> None:
    set_key(project.settings, "evaluation.slices", ["regoin"])
    for overrides in ("", " ", "training.seed=7 training.hyperparameters.rate=0.5", "evaluation.slices=[x]"):
        configuration.check_overrides(project, overrides)
    with pytest.raises(UserError, match=r"^--overrides promotion.floor=-1: promotion.floor: [^;]*$"):
        configuration.check_overrides(project, "promotion.floor=-1")


def test_overrides_are_held_against_the_files_of_the_run(project: Project) -> None:
    other = project.root / "other.yml"
    write_yaml(other, {**yaml.safe_load(project.settings.read_text(encoding="utf-8")), "extra": {"key": 1}})
    with pytest.raises(UserError, match=r"has no setting 'extra\.key'"):
        configuration.check_overrides(project, "extra.key=2")
    configuration.check_overrides(project, "extra.key=2", settings=other)


def test_a_mistake_in_the_schema_is_named(project: Project) -> None:
    set_key(project.schema, "target", "z")
    assert "data/schema.yml: the target 'z' is not one of the columns" in lines(project)


# What Azure ML installs.

PROJECT = """
[project]
requires-python = ">=3.11,<3.13"
dependencies = ["PyYAML>=6.0,<7", "pandas>=2.2,<3", "numpy>=2", "jinja2>=3", "typer>=0.1", "pydantic>=2", "no-such>=1"]
"""
PINS = ["pyyaml==6.0.3", "pandas==2.3.3", "mlflow==3.15.0", "numpy", "-r more.txt", "jinja2>=4"]


def install(project: Project, *lines: str, python: str = "python=3.11") -> list[str]:
    """Let the training environment have these lines, and return the findings of the pins."""
    path = project.root / "pyproject.toml"
    if "[project]" not in (text := path.read_text(encoding="utf-8")):
        path.write_text(text + PROJECT, encoding="utf-8")
    dependencies = [python, "pip", {"pip": list(lines)}]
    train = project.root / "data-science" / "environment" / "train.yml"
    write_yaml(train, {"name": "training", "dependencies": dependencies})
    return [f"{each.path.name}: {each.message}" for each in pins.pin_findings(project)]


def test_pins_that_agree_with_the_project_are_accepted(project: Project) -> None:
    assert install(project, *PINS) == []
    assert install(project, *PINS[1:], "pyyaml==6.0.3+cpu", "another==1", python="python=3") == []


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("pandas==2.3.3", "pandas==3.0.1", "train.yml: pandas==3.0.1 is outside of <3,>=2.2 in pyproject.toml"),
        ("pyyaml==6.0.3", "PyYAML[fast]==5.4 # old", "train.yml: PyYAML==5.4 is outside of <7,>=6.0 in pyproject.toml"),
        ("numpy", "numpy===1.26.4", "train.yml: numpy==1.26.4 is outside of >=2 in pyproject.toml"),
    ],
)
def test_a_pin_outside_of_the_range_of_the_project_is_named(project: Project, old: str, new: str, line: str) -> None:
    [found] = install(project, *(new if each == old else each for each in PINS))
    assert found.startswith(line)


def test_a_python_that_the_project_does_not_support_is_named(project: Project) -> None:
    [found] = install(project, *PINS, python="python=3.13")
    assert found == "train.yml: python=3.13 is outside of requires-python >=3.11,<3.13 in pyproject.toml"


# What the code imports, held against what is installed.

ENVIRONMENTS = {
    "train.yml": ["mlflow==3.15.0", "pyyaml==6.0.3", "pydantic==2.11.0"],
    "inference.yml": ["mlflow-skinny==3.15.0", "pandas==2.3.3"],
}
LOCK = 'version = 1\n[[package]]\nname = "typer"\nversion = "9.8.7"\n'
LOCKED = ("pyyaml", "pandas", "numpy", "jinja2", "pydantic", "mlflow")


def imports(project: Project, **modules: str) -> list[str]:
    """Let the package of the project have these modules alone, and return what the lint finds in them."""
    path = project.root / "pyproject.toml"
    if "[project]" not in (text := path.read_text(encoding="utf-8")):
        path.write_text(text + PROJECT.replace("no-such", "mlflow"), encoding="utf-8")
    code = project.root / "data-science" / "src" / project.package
    shutil.rmtree(code, ignore_errors=True)
    for name, source in modules.items():
        module = code / f"{name.replace('__', '/')}.py"
        module.parent.mkdir(parents=True, exist_ok=True)
        module.write_text(source, encoding="utf-8")
    for name, lines in ENVIRONMENTS.items():
        document = {"dependencies": ["python=3.11", "pip", {"pip": lines}]}
        write_yaml(project.root / "data-science" / "environment" / name, document)
    found = pins.pin_findings(project)
    return [f"{each.path.name}: {each.where}: {each.message}" for each in found]


def test_a_package_that_the_nodes_lack_is_named_with_the_file_the_line_and_what_to_add(project: Project) -> None:
    (project.root / "uv.lock").write_text(
        LOCK + "".join(f'[[package]]\nname = "{name}"\nversion = "1"\n' for name in LOCKED), encoding="utf-8"
    )
    [found] = imports(project, train="import yaml\nimport mlflow\nimport typer\n")
    assert found == (
        "train.py: line 3: it imports typer, which train.yml lacks: add the line `- typer==9.8.7` to "
        "data-science/environment/train.yml, below `pip:`"
    )


@pytest.mark.parametrize("module", ["models", "features"])
def test_a_package_of_the_model_or_of_its_features_is_needed_for_training_and_endpoint(
    project: Project, module: str
) -> None:
    [found] = imports(project, **{module: "def model():\n    import typer\n"})
    assert found.startswith(f"{module}.py: line 2: it imports typer, which train.yml and inference.yml lack: add the ")
    assert found.endswith(
        " to data-science/environment/train.yml and data-science/environment/inference.yml, below `pip:`"
    )


def test_a_package_that_nothing_names_is_to_be_added_to_the_project_first(project: Project) -> None:
    [found] = imports(project, models="import not_there.part as part\n")
    assert found == (
        "models.py: line 1: it imports not_there, which pyproject.toml, train.yml and inference.yml lack: run "
        "`uv add not_there`; then add the line `- not_there==` with its version to "
        "data-science/environment/train.yml and data-science/environment/inference.yml, below `pip:`"
    )


def test_a_copy_of_a_module_in_a_hidden_folder_needs_no_package(project: Project) -> None:
    assert imports(project, **{".ipynb_checkpoints/train-checkpoint": "import not_there\n"}) == []


def test_the_name_of_a_package_is_that_of_its_distribution(project: Project) -> None:
    assert imports(project, features="from dateutil import parser\nimport dotenv\n") == []  # of pandas and MLflow
    [found] = imports(project, features="import azureml.ai.monitoring\n")
    assert "run `uv add azureml-ai-monitoring`; then add the line `- azureml-ai-monitoring==" in found


def test_the_endpoint_needs_what_the_scoring_script_and_the_files_that_it_loads_import(project: Project) -> None:
    score = 'from importlib import import_module\nimport typer\nfound = import_module("pkg." + "data_file")\n'
    modules = {"data_file": "from . import table\nimport pandas", "table": "import yaml", "other": "import yaml"}
    found = imports(project, score=score, **modules)
    assert [line.partition(": it ")[0] for line in found] == ["score.py: line 2"]
    assert "which inference.yml lacks" in found[0]


@pytest.mark.parametrize(
    "source",
    [
        "import os, json\nimport {package}.core\nfrom . import other\n",
        "from jinja2 import Template\n",  # MLflow brings it along
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import typer\n",
        "try:\n    import typer\nexcept ImportError:\n    typer = None\n",
        "def f():\n    import pandas\n",  # perhaps for another environment, and one has it
        "def broken(:\n",
    ],
)
def test_what_is_there_or_not_needed_is_no_finding(project: Project, source: str) -> None:
    assert imports(project, train=source.replace("{package}", project.package)) == []


def test_a_module_that_the_code_can_do_without_needs_no_package(project: Project) -> None:
    guarded = (
        "try:\n    from .core.search import Study\nexcept ImportError as error:\n    raise SystemExit from error\n"
    )
    assert imports(project, tune=guarded, core__search="import typer\n") == []
    assert imports(project, tune="from .core.search import Study\n", core__search="import typer\n") != []


def test_a_lock_without_a_package_of_the_project_is_named(project: Project) -> None:
    (project.root / "uv.lock").write_text(LOCK, encoding="utf-8")
    [found] = imports(project, train="import yaml\n")
    lost = "jinja2, mlflow, numpy, pandas, pydantic, pyyaml"
    assert found == f"uv.lock: : it lacks {lost}, which pyproject.toml names: run `uv lock`"


def test_what_the_nodes_of_this_project_install_fits_what_it_asks_for() -> None:
    shipped = Project.load(ROOT)
    assert pins.pin_findings(shipped) == []
    train = ROOT / "data-science" / "environment" / "train.yml"
    package = "torch" if TORCH else "skops"
    [pin] = [line for line in train.read_text(encoding="utf-8").splitlines() if line.startswith(f"      - {package}==")]
    for new, words in (
        (f"      - {package}==0.1.0", "is outside of"),
        ("", f"imports {package}, which train.yml lacks"),
    ):
        if TORCH or new:  # skops is imported in a function, and inference.yml has it
            with edited(train, pin, new):
                [finding] = pins.pin_findings(shipped)
            assert words in str(finding)


class Line(str):
    """A problem as `check_settings` returns it: with the key that it is about."""

    @property
    def key(self) -> str:
        return self.partition(":")[0]


def test_a_problem_that_only_speaks_of_the_search_stops_no_search_and_the_settings_are_read_twice_at_most(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def problems(project: Project, schema: Any, settings: Any, overrides: str = "") -> list[str]:
        asked.append(overrides)
        return [Line("training.seed: must be an integer, as for tuning.space.alpha")]

    monkeypatch.setattr(configuration, "_settings_problems", problems)
    configuration.check_tuning(project, "tuning.folds=3")
    assert asked == ["tuning.folds=3", ""]


def test_a_search_space_for_another_model_stops_a_search_and_no_training(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def problems(project: Project, schema: Any, settings: Any, overrides: str = "") -> list[str]:
        return [Line("tuning.space.alpha: is of another model")] if "model=" in overrides else []

    monkeypatch.setattr(configuration, "_settings_problems", problems)
    configuration.check_overrides(project, "training.hyperparameters.model=b")
    for check, overrides in (
        (configuration.check_overrides, "training.hyperparameters.model=b tuning.folds=3"),
        (configuration.check_tuning, "training.hyperparameters.model=b"),
    ):
        with pytest.raises(UserError, match=r"tuning\.space\.alpha: is of another model"):
            check(project, overrides)


def test_an_override_of_the_model_says_how_to_leave_out_the_hyperparameters_of_the_one_in_the_file(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = "training.hyperparameters"

    def problems(project: Project, schema: Any, settings: Any, overrides: str = "") -> list[str]:
        wrong = [Line(f"{section}.{key}: unknown") for key in ("depth", "trees") if "model=" in overrides]
        return [*wrong, *([Line(f"{section}.rte: unknown")] if "rte=" in overrides else [])]

    monkeypatch.setattr(configuration, "_settings_problems", problems)
    remedy = f"""--overrides "{section}={{'model':'b','rate':0.1}}\""""
    once = rf": {section}\.depth, {section}\.trees: unknown; to leave out .*, give all at once: {re.escape(remedy)}$"
    with pytest.raises(UserError, match=once):
        configuration.check_overrides(project, f"training.seed=7 {section}.model=b {section}.rate=0.1")
    with pytest.raises(UserError, match=r"rte: unknown$"):
        configuration.check_overrides(project, f"{section}.rte=1")


def test_a_training_that_no_step_spreads_is_named(project: Project) -> None:
    set_key(project.root / "config" / "dev.yml", "compute.training", {"nodes": 2})
    found = configuration.training_findings(project)
    expected = [] if TORCH else ["compute.training: no step of the training pipeline has a distribution"]
    assert [f"{each.where}: {each.message.partition(':')[0]}" for each in found] == expected


def test_a_package_that_cannot_check_the_settings_is_one_line(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object, name: str) -> Any:
        raise SyntaxError(f"invalid syntax in {name}")

    monkeypatch.setattr(Project, "module", broken)
    [line] = lines(project)
    assert line.endswith("it cannot check the settings: SyntaxError: invalid syntax in core.endpoint")
    with pytest.raises(UserError, match=r"^--overrides training\.seed=7: they cannot be checked: SyntaxError: "):
        configuration.check_overrides(project, "training.seed=7")


def test_two_processes_find_the_same_as_one() -> None:
    project = Project.load(ROOT)
    metric = yaml.safe_load(project.settings.read_text(encoding="utf-8"))["evaluation"]["metric"]
    with edited(project.settings, f"metric: {metric}", "metric: mea"):
        found = lint(project)
        assert found == lint(project, parallel=True)
    assert_named(found, ["config/model.yml", "'mea'"])


def test_findings_of_the_settings_are_those_of_the_project_alone(project: Project) -> None:
    document = yaml.safe_load(project.settings.read_text(encoding="utf-8"))
    write_yaml(project.settings, {**document, "evaluation": {"metric": "mea"}})
    [finding] = configuration.settings_findings(project)
    assert isinstance(finding, Finding)
    assert finding.path == project.settings
