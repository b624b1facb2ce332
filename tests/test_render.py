"""Each combination on the menu renders to a complete, valid project. The checks do not know how many there are."""

import ast
import itertools
import json
import re
import sys
import tomllib
from collections.abc import Callable
from functools import cache, lru_cache
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import yaml
from combinations import (
    AXES,
    EXISTING,
    ROOT,
    add_on_answers,
    add_on_sets,
    add_ons,
    combinations,
    flavours,
    label,
    questions,
    with_add_ons,
)
from conftest import Render, Run, answers_of

# What a generated project reads its own configuration with.
sys.path.insert(0, str(ROOT / "template" / "mlops" / "engine" / "src"))
from mlops import config

LEFT_OVER = re.compile(r"(?<!\$)\[\[ |\[% |%\]|^\s*#% |\[## ", re.M)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
EXTENDED = {"aml-cli-v2": {"rai-aml-cli-v2"}}  # the second is the first and more
PATH = re.compile(r"`([\w.-]+(?:/[\w.<>*-]+)+/?)`")


GPU = [with_add_ons("gpu-cluster", **flavour) for flavour in flavours() if flavour["project_type"] == "cv"]
RENDERINGS = [*combinations(), *add_on_answers(), *({**flavour, **EXISTING} for flavour in flavours()), *GPU]


@pytest.fixture(scope="session", params=RENDERINGS, ids=label)
def project(request: pytest.FixtureRequest, render: Render) -> Path:
    """A rendered project of each combination, each set of add-ons, and with existing workspaces; read it only."""
    return render(**request.param)


def texts(project: Path, *suffixes: str) -> dict[Path, str]:
    """Contents of the project's text files with one of these suffixes (all text files without one)."""
    return {path: text for path, text in all_texts(project).items() if not suffixes or path.suffix in suffixes}


@lru_cache(maxsize=2)  # the tests of a project follow each other, and two compare it with another
def all_texts(project: Path) -> dict[Path, str]:
    """Contents of the project's text files."""
    paths = sorted(path for path in project.rglob("*") if path.suffix != ".zip" and path.is_file())
    return {path: path.read_text(encoding="utf-8") for path in paths}


def test_nothing_is_left_unrendered(project: Path) -> None:
    assert [path for path in project.rglob("*") if path.suffix == ".jinja" or "[[" in path.name] == []
    assert [path.name for path, text in texts(project).items() if has_left_over(text)] == []


@cache
def has_left_over(text: str) -> bool:
    """Whether Jinja left something. Most files are the same in all projects and looked at once."""
    return bool(LEFT_OVER.search(text))


@pytest.mark.parametrize("answers", GPU, ids=label)
def test_with_a_gpu_cluster_the_containers_see_the_driver_and_onnx_runtime_is_the_build_for_it(
    answers: dict[str, Any], render: Render
) -> None:
    plain = {name: value for name, value in answers.items() if name != "add_ons"}
    for project, gpu in ((render(**answers), True), (render(**plain), False)):
        conda = (project / "data-science/environment/inference.yml").read_text(encoding="utf-8")
        requirements = {re.split(r"[\[=]", each)[0] for each in yaml.safe_load(conda)["dependencies"][-1]["pip"]}
        assert requirements & {"onnxruntime", "onnxruntime-gpu"} == {"onnxruntime-gpu" if gpu else "onnxruntime"}
        layer = texts(project / "mlops", ".yml", ".py").items()
        definitions = [text for path, text in layer if "engine" not in path.parts]
        images = re.findall(r"(?:image: |IMAGE = \")(mcr\.\S+)", "\n".join(definitions))
        assert len(images) in {1, 2}
        assert ["cuda" in image for image in images] == [gpu] * len(images)


def test_no_folder_is_empty(project: Path) -> None:
    assert [path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir())] == []


def test_a_project_is_small_enough_to_read(project: Path) -> None:
    # Copier spends some milliseconds on each file. Responsible AI is an analysis of its own beside the rest; a network
    # is more code than a model of a library, and so is what reads files in folders and archives; a search for
    # hyperparameters is a step, a page and what chooses candidates; what tests of all types do with steps is a file;
    # each way round the outer loop is a workflow; the join of requests and outcomes is a step with tests; several
    # projects in one repository are a page; stages that pipelines of Azure DevOps share are templates; the engine is
    # the template's, and no user needs to read it.
    engine = project / "mlops" / "engine"
    files = [path for path in texts(project) if not path.is_relative_to(engine)]
    extra = 12 if answers_of(project)["mlops_version"] == "rai-aml-cli-v2" else 0
    extra += 30 if answers_of(project)["project_type"] != "classical" else 0
    extra += 6 * len(answers_of(project).get("add_ons", []))
    extra += 4 if answers_of(project)["orchestration"] == "azure-devops" else 0
    built = 20 if answers_of(project)["infrastructure_version"] != "existing" else 0
    assert len(files) <= 143 + built + extra


def test_every_file_parses(project: Path) -> None:
    for path, text in texts(project).items():
        try:
            parse(path.suffix, text)
        except (SyntaxError, ValueError, yaml.YAMLError) as error:
            pytest.fail(f"{path}: {error}")


@cache
def parse(suffix: str, text: str) -> object:
    """Read a file of this kind. Most files are the same in all projects and read once."""
    readers: dict[str, Callable[[str], object]] = {
        ".py": ast.parse,
        ".yml": yaml.safe_load,
        ".yaml": yaml.safe_load,
        ".json": json.loads,
        ".ipynb": json.loads,
        ".toml": tomllib.loads,
    }
    return readers.get(suffix, str)(text)


def test_text_files_end_in_one_newline_and_have_no_trailing_space(project: Path) -> None:
    for path, text in texts(project).items():
        if path.suffix not in {".csv", ".ipynb"} and text:
            assert text.endswith("\n"), path
            assert not text.endswith("\n\n"), path
            assert not re.search(r"[ \t]+$", text, re.M) or path.suffix == ".md", path


def test_no_heading_or_table_runs_into_the_text_above_it(project: Path) -> None:
    # Jinja's line statements swallow the empty line after them.
    for path, text in texts(project, ".md").items():
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
        assert re.findall(r"^[^#\n].*\n#+ .*", prose, re.M) == [], path
        assert re.findall(r"^[^|\n].*\n\|.*", prose, re.M) == [], path


MADE = (".local", ".terraform", "data/draft", "data/before")
"""What only commands make."""


def test_every_link_and_path_in_the_documents_leads_somewhere(project: Path) -> None:
    for path, text in texts(project, ".md").items():
        for target in LINK.findall(text):
            if "://" not in target and not target.startswith("mailto:"):
                assert (path.parent / target).exists(), f"{path.relative_to(project)}: {target}"
        for target in PATH.findall(text):
            head = target.split("/")[0]
            if (project / head).exists() and not set("<>*") & set(target):
                exists = (project / target).exists() or target.startswith(MADE)
                assert exists, f"{path.relative_to(project)}: {target}"


def test_every_file_path_in_yaml_leads_somewhere(project: Path) -> None:
    def strings(node: object) -> list[str]:
        if isinstance(node, dict):
            return [text for value in node.values() for text in strings(value)]
        if isinstance(node, list):
            return [text for value in node for text in strings(value)]
        return [node] if isinstance(node, str) else []

    for path, text in texts(project, ".yml").items():
        for value in strings(parse(path.suffix, text)):
            if re.fullmatch(r"(file:)?\.{1,2}/[\w./-]+", value) and ".github" not in path.parts:
                assert (path.parent / value.removeprefix("file:")).exists(), f"{path.relative_to(project)}: {value}"


def test_what_was_not_chosen_is_not_there(project: Path) -> None:
    chosen = answers_of(project)
    folders = {
        "infrastructure_version": {"terraform": "infrastructure/terraform", "bicep": "infrastructure/bicep"},
        "mlops_version": {
            "aml-cli-v2": "mlops/aml-cli-v2/components",
            "python-sdk-v1": "mlops/python-sdk-v1",
            "python-sdk-v2": "mlops/python-sdk-v2/components.py",
            "rai-aml-cli-v2": "mlops/aml-cli-v2/components/responsible_ai.yml",
        },
        "orchestration": {"github-actions": ".github", "azure-devops": ".azuredevops"},
    }
    for axis, by_choice in folders.items():
        assert axis in AXES
        for choice, folder in by_choice.items():
            if choice in questions()[axis]["choices"].values():
                wanted = {choice, *EXTENDED.get(choice, ())}
                assert (project / folder).exists() == (chosen.get(axis) in wanted), folder
            else:
                assert not (project / folder).exists(), folder


def test_any_two_add_ons_meet_in_each_way() -> None:
    for first, second in itertools.combinations(add_ons(), 2):
        met = {(first in chosen, second in chosen) for chosen in add_on_sets()}
        assert met == {(False, False), (False, True), (True, False), (True, True)}


def test_a_configuration_has_the_sections_of_the_chosen_add_ons_and_no_others(project: Path) -> None:
    chosen = answers_of(project).get("add_ons", [])
    assert tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mlops"]["add_ons"] == chosen
    for environment in ("dev", "test", "prod"):
        # Complains of each section without its add-on, and of an add-on without its section.
        loaded = config.load_environment(config.Project.load(project), environment)
        for add_on, paths in config.ADD_ONS.items():
            if environment == "dev":
                assert [path for path in paths if (attrgetter(path)(loaded) is None) == (add_on in chosen)] == []


def test_an_add_on_that_was_not_chosen_has_no_file(project: Path) -> None:
    names = {add_on: add_on.removeprefix("user-with-") for add_on in add_ons()}
    files = [path.relative_to(project).as_posix() for path in (project / "infrastructure").rglob("*")]
    for add_on, name in names.items():
        found = [file for file in files if name in file]
        own = add_on in answers_of(project).get("add_ons", []) and add_on != "gpu-cluster"
        assert bool(found) == own, (add_on, found)


def test_every_file_that_the_infrastructure_reads_is_there(project: Path) -> None:
    before = [
        r'file\("\$\{path\.module\}/',
        r'\bsource\s*=\s*"(?=\.)',
        r"load\w+Content\('",
        r"^(?:module \w+|using|import .*from) '",
    ]
    reads = re.compile(rf"(?:{'|'.join(before)})([^\"'$]+)", re.M)
    found = set()
    for path, text in texts(project / "infrastructure", ".tf", ".bicep", ".bicepparam").items():
        for target in reads.findall(text):
            found.add(Path(target).name)
            assert (path.parent / target).exists(), f"{path.relative_to(project)}: {target}"
    assert answers_of(project)["infrastructure_version"] == "existing" or {"roles.yml", "diagnostics.yml"} <= found


@pytest.mark.parametrize("flavour", flavours(), ids=label)
def test_a_project_for_existing_workspaces_is_complete_without_infrastructure(
    flavour: dict[str, str], render: Render
) -> None:
    folder = render(**flavour, **EXISTING)
    assert not (folder / "infrastructure").exists()
    for environment in ("dev", "test", "prod"):
        loaded = config.load_environment(config.Project.load(folder), environment)
        assert (loaded.names.resource_group, loaded.names.workspace) == (f"rg-ml-{environment}", f"mlw-{environment}")
        assert (loaded.names.registry, loaded.compute.cluster.name) == ("mlr-shared", "big-cluster")
        assert not loaded.provisioned


@pytest.mark.parametrize("flavour", flavours(), ids=label)
def test_a_project_for_existing_workspaces_has_the_definitions_and_the_code_of_any_other(
    flavour: dict[str, str], render: Render
) -> None:
    mine, other = (_read_by_lint_and_loop(render(**each)) for each in ({**flavour, **EXISTING}, flavour))
    assert mine.keys() == other.keys()
    for name, text in mine.items():
        assert text.replace(EXISTING["existing_cluster"], "cpu-cluster") == other[name], name


def _read_by_lint_and_loop(project: Path) -> dict[str, str]:
    found = {path.relative_to(project): text for path, text in texts(project).items()}
    return {path.as_posix(): text for path, text in found.items() if path.parts[0] in ("data", "data-science", "mlops")}


def test_the_lint_of_a_project_for_existing_workspaces_finds_nothing(render: Render, run_with_others: Run) -> None:
    result = run_with_others(render(**EXISTING), "mlops.cli", "lint")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_tags_of_the_company_are_in_each_configuration(render: Render) -> None:
    project = render(extra_tags="owner=data science, cost_center=4711")
    for environment in ("dev", "test", "prod"):
        config = yaml.safe_load((project / "config" / f"{environment}.yml").read_text(encoding="utf-8"))
        expected = {"managed_by": "mlops-template", "owner": "data science", "cost_center": "4711"}
        assert config["tags"].items() >= expected.items()


def test_the_answers_file_lets_the_project_be_updated(project: Path) -> None:
    recorded = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert {name for name in questions() if "when" not in questions()[name]} <= recorded.keys()
    assert {"_src_path", "project_name", "resource_names"} <= recorded.keys()


@pytest.mark.parametrize(
    "name",
    [
        "Ærø Fjord Zürich Wärmepumpen Vorhersage Übersicht",
        "x0123456789-0123456789_0123456789 0123456789",
        "ABX",
        "no 0x1F or 1e5",
    ],
)
def test_the_longest_accented_and_numeric_names_render_valid_projects(name: str, render: Render) -> None:
    folder = render(project_name=name)
    test_nothing_is_left_unrendered(folder)
    test_every_file_parses(folder)
    for environment in ("dev", "test", "prod"):
        config = yaml.safe_load((folder / "config" / f"{environment}.yml").read_text(encoding="utf-8"))
        assert all(isinstance(value, str) for value in config["names"].values())
        assert isinstance(config["model"]["name"], str)
    assert tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["description"].startswith(
        name
    )
