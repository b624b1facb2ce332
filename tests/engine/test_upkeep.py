"""The one issue of a workflow, and what is said of newer packages. Real Git, uv and Copier: tests of the template."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path

import pytest
from recorded_azure import Recorded, Refusal
from small_project import create_project

from mlops.upkeep.freshness import Packages, describe
from mlops.upkeep.scratch import Attempt

TITLE = "The project has aged"
LIST = "gh issue list --app github-actions --state open"
OURS = [{"number": 3, "title": "another"}, {"number": 7, "title": TITLE}]


@pytest.fixture
def text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the issue's text, in a project."""
    monkeypatch.chdir(create_project(tmp_path / "project").root)
    return tmp_path / "issue.md"


CLOSE = "gh issue close 7 --comment Nothing is left of this."


@pytest.mark.parametrize(
    ("content", "open_issues", "changes"),
    [
        ("old\n", [], [f"gh issue create --title {TITLE} --body-file FILE"]),
        ("old\n", OURS, ["gh issue edit 7 --body-file FILE"]),
        ("", OURS, [CLOSE]),
        (" \n", OURS, [CLOSE]),
        ("", OURS[:1], []),
    ],
    ids=["opened", "updated", "closed", "closed by empty lines", "nothing to report"],
)
def test_there_is_one_issue_as_long_as_there_is_something_to_report(
    text: Path, content: str, open_issues: list[Mapping[str, object]], changes: list[str]
) -> None:
    text.write_text(content, encoding="utf-8")
    recorded = Recorded({LIST: open_issues})
    assert recorded.run("issue", "--title", TITLE, "--file", str(text)) == 0
    listed, *changed = recorded.ran("gh")
    assert listed.startswith(LIST)
    assert changed == [change.replace("FILE", str(text)) for change in changes]


def test_a_text_that_was_never_written_closes_no_issue(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = Recorded({LIST: OURS})
    assert recorded.run("issue", "--title", TITLE, "--file", str(text)) == 1
    assert recorded.log == []
    assert "issue.md is missing" in capsys.readouterr().err


def test_a_refusal_of_github_is_one_line(text: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text.write_text("old\n", encoding="utf-8")
    recorded = Recorded({LIST: Refusal("HTTP 410: Issues are disabled for this repository")})
    assert recorded.run("issue", "--title", TITLE, "--file", str(text)) == 1
    assert capsys.readouterr().err == (
        "error: `gh issue list` failed: HTTP 410: Issues are disabled for this repository\n"
    )


def test_a_dry_run_only_shows_what_it_would_ask(text: Path) -> None:
    text.write_text("old\n", encoding="utf-8")
    recorded = Recorded({})
    assert recorded.run("issue", "--title", TITLE, "--file", str(text), "--dry-run") == 0
    assert recorded.log == []


@pytest.mark.parametrize("verb", ["template-update", "freshness"])
def test_a_missing_program_is_named_with_where_to_get_it(
    verb: str, text: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(".copier-answers.yml").write_text("_commit: v1\n_src_path: gh:o/r\n", encoding="utf-8")
    recorded = Recorded({"git rev-parse": "/top\n\nabc\n", "git status": "", "git clone": "", "git ls-files": ""})
    recorded.missing = {"uv", "uvx"}
    assert recorded.run(verb) == 1
    assert "is not installed: see https://docs.astral.sh/uv" in capsys.readouterr().err


def test_a_program_that_says_nothing_is_described_by_its_exit_code() -> None:
    assert Attempt(3, "", "").last_line == "it ended with exit code 3"
    assert Attempt(3, "a\nb\n", "").last_line == "b"
    assert Attempt(3, "a\n", "first\nlast\n").last_line == "last"


def test_a_long_list_of_newer_packages_is_cut() -> None:
    changes = [f"package-{number} 1 → 2" for number in range(300)]
    shown = describe(Packages(changes, {}), [], date(2026, 11, 28))
    assert "- package-199 1 → 2\n- and 100 more" in shown
    assert "None is near its end." in shown
