"""The template repository keeps its own rules."""

import re
import tomllib

import pytest
import yaml
from combinations import AXES, ROOT, add_ons, questions

TEMPLATE = ROOT / "template"
CACHES = {"__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".hypothesis", ".local", ".terraform"}
FILES = [path for path in TEMPLATE.rglob("*") if path.is_file() and not CACHES & set(path.parts)]
SETTINGS = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
BRACKET = re.compile(r"\[\[ .*? -?\]\]|^\s*#% |\[% .*? %\]", re.M)


def test_a_file_is_rendered_only_if_it_has_something_to_render() -> None:
    idle = [
        path.name for path in FILES if path.suffix == ".jinja" and not BRACKET.search(path.read_text(encoding="utf-8"))
    ]
    assert idle == []


def test_a_static_file_names_no_answer() -> None:
    answers = "|".join(questions())
    pattern = re.compile(rf"\[\[ *({answers})\b|^\s*#% (if|for|endif)", re.M)
    plain = [path for path in FILES if path.suffix not in (".jinja", ".part")]
    texts = {path: path.read_bytes().decode("utf-8", errors="ignore") for path in plain}
    assert [str(path) for path, text in texts.items() if pattern.search(text)] == []


def test_most_files_are_plain() -> None:
    rendered = [path for path in FILES if path.suffix in (".jinja", ".part")]
    assert len(rendered) / len(FILES) < 0.15


def test_no_file_name_has_a_quote_which_windows_refuses() -> None:
    assert [str(path) for path in FILES if set(path.name) & set('"<>|?*:')] == []


def test_every_variable_in_exclude_has_a_default_because_updates_render_it_with_old_answers() -> None:
    for rule in SETTINGS["_exclude"]:
        for expression in re.findall(r"\[%-? *if (.*?) *-?%\]", rule):
            for name in set(re.findall(r"[a-z_]+", expression)) & set(questions()):
                default = f"{name} | default({questions()[name]['default']!r})"
                assert default in expression or f"{name} is defined and" in expression, rule


def test_every_choice_of_the_menu_names_what_it_keeps() -> None:
    rules = "\n".join(SETTINGS["_exclude"])
    for axis in AXES:
        for choice in questions()[axis]["choices"].values():
            rule = re.compile(rf"{axis} \| default\('[\w-]+'\) ([!=]=|not in \[[^\]]*?) ?'{choice}'")
            own = [path for path in FILES if f"[% if {axis} == '{choice}' %]" in path.as_posix()]
            assert rule.search(rules) or own, f"{axis}: nothing depends on {choice}"


def test_every_add_on_names_what_it_drops() -> None:
    rules = "\n".join(SETTINGS["_exclude"])
    for add_on in set(add_ons()) - {"gpu-cluster"}:
        assert f"'{add_on}' not in add_ons %]/**/*{add_on.removeprefix('user-with-')}*" in rules


def test_a_file_outside_the_infrastructure_has_no_add_ons_name_which_would_drop_it() -> None:
    names = [add_on.removeprefix("user-with-") for add_on in add_ons() if add_on != "gpu-cluster"]
    found = [path.relative_to(TEMPLATE) for path in FILES if any(name in path.as_posix() for name in names)]
    assert found
    assert [path for path in found if path.parts[0] != "infrastructure"] == []


def test_the_rules_are_few_and_short() -> None:
    assert len(SETTINGS["_exclude"]) <= 30
    assert [rule for rule in SETTINGS["_exclude"] if len(rule) > 120] == []


def test_every_rule_drops_something() -> None:
    for rule in SETTINGS["_exclude"]:
        if path := re.search(r"%\]/(.+?)\[%", rule):
            folders = [TEMPLATE, *TEMPLATE.glob("*project_type ==*")]
            assert [found for folder in folders for end in ("", ".jinja") for found in folder.glob(path[1] + end)], rule


@pytest.mark.parametrize("name", questions())
def test_each_question_teaches_and_checks_free_text(name: str) -> None:
    details = questions()[name]
    assert "default" in details
    if details.get("ask", True):
        assert 30 < len(details["help"]) <= 76, "longer help is cut off in a terminal of 80 columns"
        assert details["help"].rstrip()[-1] in "?.;" or "?" in details["help"]
        assert max(map(len, details.get("choices", [""]))) <= 75, "a mark of five columns stands before each choice"
    assert details["type"] in ("str", "yaml"), "an answer of another type that cannot be read is shown as a traceback"
    if details["type"] == "str" and "choices" not in details:
        assert f"{name} | " in details["validator"]


def test_names_are_frozen_so_that_a_better_formula_renames_nothing() -> None:
    computed = [
        name for name, details in questions().items() if "[[" in str(details["default"]).replace("[[ UNSET", "")
    ]
    assert {"project_slug", "package_name", "resource_names", "name_suffix"} <= set(computed)
    # Those that are asked for: the answer is kept, and another one before it changes only what a new project suggests.
    asked = [name for name in computed if questions()[name].get("ask") is not False]
    assert asked == ["project_name", "azure_devops_project", "azure_devops_repository"]


def test_the_changelog_the_template_and_the_engine_are_of_one_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## v([\d.]+) \(\d{4}-\d{2}-\d{2}\)$", changelog, re.M)
    assert newest
    for folder in (ROOT, TEMPLATE / "mlops" / "engine"):
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        assert project["version"] == newest[1], folder


def test_no_registry_host_is_written_down() -> None:
    hosts = re.compile(
        "|".join(["pypi" + r"\.org", "python" + r"hosted\.org", "npmjs" + r"\.(org|com)", "deb" + r"\.debian"])
    )
    repository = [path for path in ROOT.glob("*") if path.is_file() and path.name != "uv.lock"]
    for path in FILES + repository + list((ROOT / "docs").rglob("*.*")) + list((ROOT / "tests").glob("*.py")):
        assert not hosts.search(path.read_bytes().decode("utf-8", errors="ignore")), path
