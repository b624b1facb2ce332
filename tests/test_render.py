"""Each combination on the menu renders to a complete, valid project. The checks do not know how many there are."""

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml
from combinations import AXES, label, questions
from conftest import Render

LEFT_OVER = re.compile(r"(?<!\$)\[\[ |\[% |%\]|^\s*#% |\[## ", re.M)
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
EXTENDED = {"aml-cli-v2": {"rai-aml-cli-v2"}}  # the second is the first and more
PATH = re.compile(r"`([\w.-]+(?:/[\w.<>*-]+)+/?)`")


def texts(project: Path, *suffixes: str) -> dict[Path, str]:
    """Contents of the project's text files with one of these suffixes (all text files without one)."""
    found = {}
    for path in sorted(path for path in project.rglob("*") if path.is_file()):
        if not suffixes or path.suffix in suffixes:
            found[path] = path.read_text(encoding="utf-8")
    return found


def test_nothing_is_left_unrendered(project: Path) -> None:
    assert [path for path in project.rglob("*") if path.suffix == ".jinja" or "[[" in path.name] == []
    assert [path.name for path, text in texts(project).items() if LEFT_OVER.search(text)] == []


def test_no_folder_is_empty(project: Path) -> None:
    assert [path for path in project.rglob("*") if path.is_dir() and not any(path.iterdir())] == []


def test_a_project_is_small_enough_to_read(project: Path) -> None:
    # Copier spends some milliseconds on each file. Responsible AI is an analysis of its own beside the rest.
    extra = 5 if (project / "mlops" / "src" / "mlops" / "responsible_ai.py").exists() else 0
    assert len(texts(project)) <= 100 + extra


def test_every_file_parses(project: Path) -> None:
    for path, text in texts(project, ".py").items():
        ast.parse(text, str(path))
    for text in texts(project, ".yml", ".yaml").values():
        yaml.safe_load(text)
    for text in texts(project, ".json", ".ipynb").values():
        json.loads(text)
    for text in texts(project, ".toml").values():
        tomllib.loads(text)


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


def test_every_link_and_path_in_the_documents_leads_somewhere(project: Path) -> None:
    for path, text in texts(project, ".md").items():
        for target in LINK.findall(text):
            if "://" not in target and not target.startswith("mailto:"):
                assert (path.parent / target).exists(), f"{path.relative_to(project)}: {target}"
        for target in PATH.findall(text):
            head = target.split("/")[0]
            if (project / head).exists() and not set("<>*") & set(target):
                exists = (project / target).exists() or target.startswith((".local", ".terraform"))
                assert exists, f"{path.relative_to(project)}: {target}"


def test_every_file_path_in_yaml_leads_somewhere(project: Path) -> None:
    def strings(node: object) -> list[str]:
        if isinstance(node, dict):
            return [text for value in node.values() for text in strings(value)]
        if isinstance(node, list):
            return [text for value in node for text in strings(value)]
        return [node] if isinstance(node, str) else []

    for path, text in texts(project, ".yml").items():
        for value in strings(yaml.safe_load(text)):
            if re.fullmatch(r"(file:)?\.{1,2}/[\w./-]+", value) and ".github" not in path.parts:
                assert (path.parent / value.removeprefix("file:")).exists(), f"{path.relative_to(project)}: {value}"


def test_what_was_not_chosen_is_not_there(project: Path, request: pytest.FixtureRequest) -> None:
    chosen = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    assert label(chosen) in request.node.name
    folders = {
        "infrastructure_version": {"terraform": "infrastructure/terraform", "bicep": "infrastructure/bicep"},
        "mlops_version": {
            "aml-cli-v2": "mlops/aml-cli-v2/components",
            "python-sdk-v1": "mlops/python-sdk-v1",
            "python-sdk-v2": "mlops/python-sdk-v2/components.py",
            "rai-aml-cli-v2": "mlops/src/mlops/responsible_ai.py",
        },
        "orchestration": {"github-actions": ".github", "azure-devops": ".azuredevops"},
    }
    for axis, by_choice in folders.items():
        assert axis in AXES
        for choice, folder in by_choice.items():
            if choice in questions()[axis]["choices"].values():
                wanted = {choice, *EXTENDED.get(choice, ())}
                assert (project / folder).exists() == (chosen[axis] in wanted), folder
            else:
                assert not (project / folder).exists(), folder


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
