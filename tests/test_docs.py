"""The documents of a rendered project: every command in them exists, and few of them have to be run manually."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from combinations import EXISTING, ROOT, add_ons, label, tools, with_add_ons
from conftest import Render, Run, answers_of, refused_commands

MOST_STEPS = 5
TEXTS = (".md", ".yml", ".yaml", ".toml", ".py", ".tf", ".bicep", ".json", ".ipynb", "")
# In the reference of the Azure CLI, but not in the table that the commands are compared with.
NOT_LISTED = (
    "az ad user show",
    "az deployment group delete",
    "az identity show",
    "az resource show",
    "az storage blob download-batch",
    "az storage blob list",
    "az storage blob upload",
)
EVERYTHING = [with_add_ons(*add_ons(), infrastructure_version=tool) for tool in tools()]
KINDS = [{}, *EVERYTHING, EXISTING]
ON_AZURE = {"orchestration": "azure-devops"}


@pytest.fixture(scope="session", params=[*KINDS, *(ON_AZURE | kind for kind in KINDS)], ids=label)
def documented(request: pytest.FixtureRequest, render: Render) -> Path:
    """A rendered project of each kind that the documents distinguish; read it, do not write to it."""
    return render(**request.param)


def documents(project: Path) -> list[Path]:
    return sorted((project / "docs").glob("*.md"))


def on_azure(project: Path) -> bool:
    return answers_of(project)["orchestration"] == "azure-devops"


def shell_lines(path: Path) -> list[str]:
    """The `az` and `gh` commands in the bash blocks of a Markdown file, also those inside `$(...)`."""
    blocks = re.findall(r"```bash\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    text = "\n".join(blocks).replace("\\\n", " ")
    inner = re.findall(r"\$\(((?:az|gh) [^()]*(?:\([^()]*\)[^()]*)*)\)", text)
    outer = re.sub(r"\$\((?:az|gh) [^\n]*?\)(?=[\"\s]|$)", "VALUE", text, flags=re.MULTILINE)
    inline = re.findall(r"`((?:az|gh) [^`\n]+)`", re.sub(r"```.*?```", "", path.read_text("utf-8"), flags=re.DOTALL))
    return [line for line in [*outer.splitlines(), *inner, *inline] if line.startswith(("az ", "gh "))]


def errors(lines: list[str], tools: Path, folder: Path) -> str:
    """The errors in these command lines by a table of facts about the Azure CLI and the GitHub CLI."""
    log = folder / "commands.log"
    listed = [shlex.split(line, comments=True) for line in lines if not line.startswith(NOT_LISTED)]
    log.write_text("\n".join(map(json.dumps, listed)), encoding="utf-8")
    script, table = tools / "cli_check.py", tools / "schemas" / "cli-commands.json"
    command = [sys.executable, str(script), "--strict", str(table), str(log)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert bool(result.stdout) == bool(result.returncode), result.stdout + result.stderr
    return result.stdout


def test_the_commands_of_the_documentation_exist(documented: Path, tools: Path, tmp_path: Path) -> None:
    lines = [line for path in documents(documented) for line in shell_lines(path)]
    assert len(lines) >= 8, "the documents have no commands any more, or they are not found"
    assert errors(lines, tools, tmp_path) == ""


def test_a_misspelt_command_of_the_documentation_is_noticed(tools: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("`gh workflow rum`\n```bash\ngh variable set A --boddy b\nID=$(az acount show)\n```\n", "utf-8")
    found = errors(shell_lines(page), tools, tmp_path)
    assert [word for word in ("rum", "--boddy", "acount") if word not in found] == []


def test_the_verbs_of_the_documentation_exist(documented: Path, run_with_others: Run) -> None:
    texts = "\n".join(path.read_text(encoding="utf-8") for path in documents(documented))
    found = {command.strip() for command in re.findall(r"uv run mlops ([^|&>\n`#]+)", texts)}
    assert {"doctor --environment dev", "bootstrap --environment dev --create-repository"} <= found
    assert refused_commands(documented, run_with_others, found) == ""


def test_few_steps_lead_from_nothing_to_an_environment(documented: Path) -> None:
    text = (documented / "docs" / "operate.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", text, flags=re.MULTILINE)[1].split("Nothing else is manual")[0]
    steps = re.findall(r"^(\d+)\. ", section, flags=re.MULTILINE)
    assert steps == [str(number) for number in range(1, len(steps) + 1)]
    assert len(steps) <= MOST_STEPS
    (block,) = re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)
    # The first step, `copier copy`, is what made the documents.
    assert len(block.splitlines()) == len(steps) - 1


def test_no_command_follows_the_steps_to_a_live_endpoint(documented: Path) -> None:
    text = (documented / "docs" / "operate.md").read_text(encoding="utf-8")
    section = re.split(r"^## ", text, flags=re.MULTILINE)[1]
    blocks = re.findall(r"```bash\n(.*?)```", section, flags=re.DOTALL)
    settings = (documented / "pyproject.toml").read_text(encoding="utf-8")
    # A runner has to come into a private network first, and a workspace that is there may have a model.
    if "private-network" in settings or 'infrastructure = "existing"' in settings:
        starts = [line for line in blocks[1].splitlines() if re.match(r"gh workflow run|az pipelines run ", line)]
        folder = answers_of(documented)["project_slug"]
        by_hand = f"az pipelines run --name train --folder-path {folder}"
        assert starts == [by_hand if on_azure(documented) else "gh workflow run train.yml"]
    else:
        assert len(blocks) == 1


def test_the_documentation_says_what_each_workflow_is_for(documented: Path) -> None:
    text = (documented / "docs" / "operate.md").read_text(encoding="utf-8")
    if on_azure(documented):
        pipelines = {path.stem for path in (documented / ".azuredevops").glob("*.yml")}
        assert set(re.findall(r"^\|[^|]*\| `([\w-]+)` \|", text, flags=re.MULTILINE)) == pipelines
        return
    named = set(re.findall(r"^\|[^|]*\| ([A-Z][\w ]*\w) \|", text, flags=re.MULTILINE)) - {"Azure", "GitHub"}
    files = [yaml.safe_load(path.read_text("utf-8")) for path in (documented / ".github" / "workflows").glob("*.yml")]
    # One that others call alone is not started by anyone.
    assert named == {file["name"] for file in files if set(file[True]) != {"workflow_call"}}


# What a file says of the system that the project does not use; the engine knows both.
OTHERS = {
    "azure-devops": r"(?i)git\s?hub(?!\.com)|\bgh\b|dependabot",
    "github-actions": r"(?i)azure\s*-?devops|az pipelines",
}


def test_a_project_names_no_system_but_its_own(documented: Path) -> None:
    other = OTHERS[answers_of(documented)["orchestration"]]
    found = []
    for path in sorted(documented.rglob("*")):
        name = path.relative_to(documented).as_posix()
        if path.is_file() and not name.startswith(("mlops/engine/", "data/")) and path.suffix in TEXTS:
            lines = path.read_text(encoding="utf-8").splitlines()
            found += [f"{name}:{number}: {line}" for number, line in enumerate(lines, 1) if re.search(other, line)]
    assert found == []


def check_parameters(project: Path, text: str) -> None:
    """Compare the commands in a text that start pipelines with the pipelines of a project."""
    found = re.findall(r"az pipelines run --name ([\w-]+) --folder-path [\w-]+(?: --parameters ([^`\n#|]+))?", text)
    assert len(found) > 3
    for name, given in found:
        file = yaml.safe_load((project / ".azuredevops" / f"{name}.yml").read_text(encoding="utf-8"))
        known = {each["name"] for each in file.get("parameters", [])}
        assert {pair.split("=")[0] for pair in given.split()} <= known, name


def test_parameters_of_the_documentation_are_those_of_the_pipelines(documented: Path) -> None:
    if on_azure(documented):
        check_parameters(documented, "\n".join(path.read_text(encoding="utf-8") for path in documents(documented)))


# Each system has words of its own.

WORDS = {
    "github-actions": r"GitHub|\.github/|\bgh (?:run|workflow|api|auth)\b|GITHUB_",
    "azure-devops": r"Azure (?:DevOps|Pipelines|Repos)|\.azuredevops|\baz (?:pipelines|repos|devops)\b",
}


def test_what_a_user_reads_in_a_project_names_its_own_system_alone(documented: Path) -> None:
    own = answers_of(documented)["orchestration"]
    (others,) = [words for system, words in WORDS.items() if system != own]
    found = []
    for path in documented.rglob("*"):
        place = path.relative_to(documented)
        # Its modules are the same in all projects: tests/engine/test_environments.py looks at what they say.
        if path.is_file() and path.suffix in TEXTS and not place.is_relative_to("mlops/engine/src"):
            lines = path.read_text(encoding="utf-8", errors="ignore").splitlines()
            found += [f"{place}:{number}" for number, line in enumerate(lines, 1) if re.search(others, line)]
    assert found == []


def test_the_help_of_the_verbs_names_no_system(render: Render, run_with_others: Run) -> None:
    result = run_with_others(render(), "-c", HELP)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("Usage: ") > 30
    assert re.findall("|".join(WORDS.values()), result.stdout) == []


HELP = """
import click, typer
from mlops.cli import app

group = typer.main.get_command(app)
context = click.Context(group, info_name="mlops")
print(group.get_help(context))
for name, command in group.commands.items():
    print(command.get_help(click.Context(command, parent=context, info_name=name)))
"""

# What a comment in YAML may point to, by the folders of a project.
FOLDERS = r"(?:docs|config|data|data-science|infrastructure|mlops|\.github|\.azuredevops)"


def dangling(project: Path) -> list[str]:
    """The paths that comments of YAML files name and that are not there."""
    found = []
    for path in [*project.rglob("*.yml"), *project.rglob("*.yaml")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            comment = re.search(r"(?:^|\s)#(.*)", line)
            for name in re.findall(rf"(?<![\w./-]){FOLDERS}/[\w./-]*\w", comment[1] if comment else ""):
                if not (project / name).exists():
                    found.append(f"{path.relative_to(project)}: {name}")
    return found


def test_what_a_comment_points_to_is_there(documented: Path) -> None:
    assert dangling(documented) == []


def test_what_a_comment_points_to_is_there_in_each_combination(project: Path) -> None:
    assert dangling(project) == []


# The story and what is there, of the template's own documents.

STORY = ROOT / "docs" / "outer-loop.md"
STORIES = {"github-actions": STORY, "azure-devops": ROOT / "docs" / "azure-devops.md"}
every_story = pytest.mark.parametrize("system", STORIES)


def cells(part: str) -> list[list[str]]:
    """The rows of the table in a part of the story, without its head."""
    lines = [line for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@every_story
def test_the_story_has_the_steps_of_the_documentation_and_five_to_a_live_endpoint(system: str, render: Render) -> None:
    story = cells(STORIES[system].read_text(encoding="utf-8").split("\n## ")[1])
    before = story[: next(number for number, row in enumerate(story) if "a live endpoint in dev" in row[2])]
    text = (render(orchestration=system) / "docs" / "operate.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```bash\n(.*?)```", re.split(r"^## ", text, flags=re.MULTILINE)[1], flags=re.DOTALL)
    assert [row[1].strip("`") for row in before] == ["copier copy", *block.splitlines()]
    assert len(before) == MOST_STEPS
    numbers = [row[0] for row in story if row[0]]
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)]


@every_story
def test_the_commands_of_the_story_exist(
    system: str, render: Render, run_with_others: Run, tools: Path, tmp_path: Path
) -> None:
    text, project = STORIES[system].read_text(encoding="utf-8"), render(orchestration=system)
    assert errors(shell_lines(STORIES[system]), tools, tmp_path) == ""
    found = {command.strip() for command in re.findall(r"`uv run mlops ([^`\n]+)`", text)}
    assert "bootstrap --environment dev --create-repository" in found
    assert refused_commands(project, run_with_others, found) == ""
    if system == "azure-devops":
        check_parameters(project, text)
    else:
        named = set(re.findall(r"gh workflow run ([\w-]+\.yml)", text))
        assert named <= {path.name for path in (project / ".github" / "workflows").iterdir()}


def test_nothing_that_was_planned_is_missing_and_each_row_names_tests_that_are_there() -> None:
    rows = cells(STORY.read_text(encoding="utf-8").split("\n## ")[2])
    folders = (ROOT / "tests", ROOT / "template")
    there = {name for folder in folders for path in folder.rglob("test_*.py") for name in defined(path)}
    assert len(rows) >= 20
    # Where a row promises several things it names several tests, and nothing else.
    named = {row[0]: {name.strip("`") for name in row[2].split(", ")} for row in rows}
    assert [row[0] for row in rows if row[1] != "yes" or not named[row[0]] <= there] == []


def defined(path: Path) -> list[str]:
    return re.findall(r"^def (test_\w+)\(", path.read_text(encoding="utf-8"), flags=re.MULTILINE)


def test_each_finding_about_the_infrastructure_has_a_row_and_names_tests_that_are_there() -> None:
    text = (ROOT / "docs" / "infrastructure.md").read_text(encoding="utf-8")
    rows = " ".join(re.findall(r"^\| ([^|]*) \|", text, re.M))
    found = {"B1", *(f"D{n}" for n in range(1, 13)), *(f"M{n}" for n in range(1, 10)), *(f"n{n}" for n in range(1, 15))}
    assert found <= set(re.findall(r"\w+", rows))
    named = {each.removesuffix(".py") for each in re.findall(r"\b((?:engine/)?test_\w+(?:\.py)?)\b", text)}
    assert len(named) > 15
    assert [each for each in sorted(named) if not (ROOT / "tests" / f"{each}.py").is_file()] == []
    modules = ROOT / "template" / "infrastructure" / "terraform"
    there = {path.name for path in modules.rglob("*.tftest.hcl")}
    assert set(re.findall(r"[\w-]+\.tftest\.hcl", text)) <= there
