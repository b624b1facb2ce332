"""The one comment under a pull request: made, updated, never doubled, and never in the way of a fork."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from small_project import create_project

MARK = "<!-- mlops: comment -->\n"
JOBS = json.dumps({"project": {"result": "success", "outputs": {}}, "plan": {"result": "skipped", "outputs": {}}})
BOT, PERSON = {"login": "github-actions[bot]", "type": "Bot"}, {"login": "ada", "type": "User"}


class Comments:
    """The endpoints of GitHub's API for the comments under pull request 12 of o/r, as `gh api` calls them."""

    def __init__(self) -> None:
        self.comments: list[dict[str, Any]] = []
        self.refusal = ""
        self.changes: list[str] = []

    def add(self, body: str, user: dict[str, str] | None = BOT) -> dict[str, Any]:
        comment = {"id": 100 + len(self.comments), "body": body, "user": user}
        self.comments.append(comment)
        return comment

    def execute(
        self, command: list[str], folder: Path, variables: Mapping[str, str], *, captured: bool
    ) -> tuple[int, str, str]:
        """Do what `mlops.shell.execute` does."""
        program, api, *words = command
        assert (program, api) == ("gh", "api")
        method = words[words.index("--method") + 1] if "--method" in words else "GET"
        (address,) = [word for word in words if word.startswith("repos/")]
        path, _, query = address.partition("?")
        if self.refusal and (method != "GET" or "rate limit" in self.refusal):
            return 1, json.dumps({"message": self.refusal}), f"gh: {self.refusal} (HTTP 403)\n"
        if method == "GET":
            assert path == "repos/o/r/issues/12/comments"
            size = int(query.removeprefix("per_page=") or 30)
            assert size <= 100
            pages = [self.comments[start : start + size] for start in range(0, len(self.comments), size)] or [[]]
            return 0, json.dumps(pages if {"--paginate", "--slurp"} <= {*words} else pages[0]), ""
        self.changes.append(f"{method} {path}")
        number = int(path.rpartition("/")[2]) if "/comments/" in path else 0
        if method == "DELETE":
            self.comments = [each for each in self.comments if each["id"] != number]
            return 0, "", ""
        sent = json.loads(Path(words[words.index("--input") + 1]).read_text(encoding="utf-8"))
        assert sent.keys() == {"body"}
        if not 0 < len(sent["body"]) <= 65_536:
            return 1, "", "gh: Validation Failed (HTTP 422)\nBody is too long (maximum is 65536 characters)\n"
        if method == "POST":
            assert path == "repos/o/r/issues/12/comments"
            return 0, json.dumps(self.add(sent["body"])), ""
        assert method == "PATCH"
        (found,) = [each for each in self.comments if each["id"] == number]
        found["body"] = sent["body"]
        return 0, json.dumps(found), ""


@pytest.fixture
def github(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Comments:
    """A run of GitHub Actions for pull request 12, in a project with metrics."""
    fake = Comments()
    monkeypatch.setattr("mlops.shell.execute", fake.execute)
    monkeypatch.setattr("mlops.shell.shutil.which", lambda program: program)
    variables = {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/pull/12/merge", "GITHUB_REPOSITORY": "o/r"}
    variables |= {"GITHUB_RUN_ID": "5", "GITHUB_SERVER_URL": "https://github.com"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    project = create_project(tmp_path / "project")
    monkeypatch.chdir(project.root)
    Path("results").mkdir()
    Path("results/metrics.md").write_text("## Model\n\nmae 8\n", encoding="utf-8")
    return fake


def comment(jobs: str = JOBS) -> int:
    return run("comment", "--folder", "results", "--jobs", jobs)


def test_a_second_run_updates_the_comment_of_the_first(github: Comments) -> None:
    assert comment() == 0
    Path("results/metrics.md").write_text("## Model\n\nmae 7\n", encoding="utf-8")
    assert comment() == 0
    assert [each["body"] for each in github.comments] == [
        f"{MARK}## Model\n\nmae 7\n\n[All of this run](https://github.com/o/r/actions/runs/5)\n"
    ]
    assert github.changes == ["POST repos/o/r/issues/12/comments", "PATCH repos/o/r/issues/comments/100"]


def test_the_same_text_again_changes_nothing(github: Comments, capsys: pytest.CaptureFixture[str]) -> None:
    assert comment() == comment() == 0
    assert len(github.changes) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "The comment under pull request 12 is up to date."


def test_the_comment_is_found_behind_a_hundred_others(github: Comments) -> None:
    for number in range(130):
        github.add(f"comment {number}", PERSON)
    github.add(f"{MARK}old\n")
    assert comment() == 0
    assert len(github.comments) == 131
    assert "mae 8" in github.comments[-1]["body"]


def test_of_two_comments_that_two_runs_made_at_once_one_is_left(github: Comments) -> None:
    github.add(f"{MARK}one\n")
    github.add(f"{MARK}two\n")
    assert comment() == 0
    assert [each["id"] for each in github.comments] == [100]


def test_what_a_person_wrote_and_what_another_project_keeps_stay(github: Comments) -> None:
    kept = [(f"{MARK}quoted\n", PERSON), (f"> {MARK}", BOT), ("<!-- mlops: topics -->\nx", BOT), (f"{MARK}", None)]
    for body, user in kept:
        github.add(body, user)
    assert comment() == 0
    assert [(each["body"], each["user"]) for each in github.comments[:-1]] == kept
    assert github.comments[-1]["body"].startswith(f"{MARK}## Model")


@pytest.mark.parametrize(
    "refusal", ["Resource not accessible by integration", "Unable to create comment because issue is locked."]
)
def test_a_run_that_may_not_comment_is_green_and_one_line_names_the_reason(
    github: Comments, capsys: pytest.CaptureFixture[str], refusal: str
) -> None:
    github.refusal = refusal
    assert comment() == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("::notice title=No comment::this run may not comment, as one for a fork may not: gh: ")
    assert refusal in line


def test_another_refusal_is_an_error(github: Comments, capsys: pytest.CaptureFixture[str]) -> None:
    github.refusal = "You have exceeded a secondary rate limit"
    assert comment() == 1
    assert "secondary rate limit" in capsys.readouterr().err


def test_a_job_that_failed_comes_first(github: Comments) -> None:
    jobs = {"project": {"result": "failure"}, "infrastructure": {"result": "success"}, "plan": {"result": "cancelled"}}
    assert comment(json.dumps(jobs)) == 0
    rows = "| job | result |\n| --- | --- |\n| project | failure |\n| plan | cancelled |"
    assert github.comments[0]["body"].startswith(f"{MARK}## Not passed\n\n{rows}\n\n## Model")


def test_without_any_result_the_comment_says_so(github: Comments) -> None:
    Path("results/metrics.md").unlink()
    assert comment() == 0
    assert "Nothing was measured." in github.comments[0]["body"]


def test_a_text_that_is_too_long_is_cut_and_its_code_block_closed(github: Comments) -> None:
    Path("results/plan.md").write_text("## Plan\n\n```text\n" + "+ resource\n" * 8000 + "```\n", encoding="utf-8")
    assert comment() == 0
    body = github.comments[0]["body"]
    end = "[All of this run](https://github.com/o/r/actions/runs/5)\n"
    assert body.endswith(f"+ resource\n```\n\n(cut here: the page of the run has all of it)\n\n{end}")
    assert body.count("```") == 2


def test_a_run_for_no_pull_request_fails_with_the_reason(
    github: Comments, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_REF", "refs/heads/main")
    assert comment() == 1
    assert "GITHUB_REF names no pull request" in capsys.readouterr().err
    assert github.changes == []


@pytest.mark.parametrize("jobs", ["[]", "no json", '{"project": "success"}', '{"project": {}}'])
def test_results_of_another_form_are_one_line(github: Comments, capsys: pytest.CaptureFixture[str], jobs: str) -> None:
    assert comment(jobs) == 1
    assert "error: --jobs takes the JSON of a workflow's `needs`" in capsys.readouterr().err
