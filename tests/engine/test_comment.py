"""The one comment under a pull request: made, updated, never doubled, and never in the way of a fork."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from command_line import run
from fake_azure_devops import ACCOUNT, ME, REPOSITORY, RUN, FakeAzureDevOps
from small_project import create_project

MARK = "<!-- mlops: comment -->\n"
JOBS = json.dumps({"project": {"result": "success", "outputs": {}}, "plan": {"result": "skipped", "outputs": {}}})
BOT, PERSON = {"login": "github-actions[bot]", "type": "Bot"}, {"login": "ada", "type": "User"}


class OnGitHub:
    """The endpoints of GitHub's API for the comments under pull request 12 of o/r, as `gh api` calls them."""

    run = "https://github.com/o/r/actions/runs/5"
    bot, person = BOT, PERSON

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

    def bodies(self) -> list[str]:
        """The comments that are there."""
        return [each["body"] for each in self.comments]

    def delete_all(self) -> None:
        """A person deletes what is there."""
        self.comments.clear()

    def refuse(self, code: int, text: str) -> None:
        """Refuse each call that changes something."""
        self.refusal = text

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Answer instead of GitHub."""
        monkeypatch.setattr("mlops.shell.execute", self.execute)
        monkeypatch.setattr("mlops.shell.shutil.which", lambda program: program)
        variables = {"GITHUB_ACTIONS": "true", "GITHUB_REF": "refs/pull/12/merge", "GITHUB_REPOSITORY": "o/r"}
        variables |= {"GITHUB_RUN_ID": "5", "GITHUB_SERVER_URL": "https://github.com"}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)


class OnAzureDevOps:
    """The same in Azure DevOps, where each comment begins a thread."""

    run = "https://dev.azure.com/my-org/Data%20Science/_build/results?buildId=5"
    bot, person = ACCOUNT, ME

    def __init__(self) -> None:
        self.devops = FakeAzureDevOps()
        self.devops.create_project()
        self.devops.create_repository(REPOSITORY)

    def add(self, body: str, user: str | None = ACCOUNT) -> None:
        self.devops.comment(body, user)

    def bodies(self) -> list[str]:
        """The comments that are there."""
        first = [each["comments"][0] for each in self.devops.threads]
        return [each["content"] for each in first if not each.get("isDeleted")]

    @property
    def changes(self) -> list[str]:
        """The calls that changed something."""
        return [each for each in self.devops.asked if not each.startswith("GET")]

    def delete_all(self) -> None:
        """A person deletes what is there, of which Azure DevOps keeps the threads."""
        for each in self.devops.threads:
            each["comments"][0] |= {"isDeleted": True, "content": None}

    def refuse(self, code: int, text: str) -> None:
        """Refuse each call."""
        self.devops.refusal = (code, text)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Answer instead of Azure DevOps."""
        monkeypatch.setattr("mlops.orchestration.azure_devops.run.urlopen", self.devops.urlopen)
        for name, value in RUN.items():
            monkeypatch.setenv(name, value)


@pytest.fixture(params=[OnGitHub, OnAzureDevOps], ids=["github-actions", "azure-devops"])
def comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Any:
    """A run for pull request 12, in a project with metrics."""
    fake = request.param()
    fake.install(monkeypatch)
    project = create_project(tmp_path / "project")
    monkeypatch.chdir(project.root)
    if request.param is OnAzureDevOps:
        settings = project.root / "pyproject.toml"
        text = settings.read_text(encoding="utf-8")
        settings.write_text(text.replace("[tool.mlops]\n", '[tool.mlops]\norchestration = "azure-devops"\n'), "utf-8")
    Path("results").mkdir()
    Path("results/metrics.md").write_text("## Model\n\nmae 8\n", encoding="utf-8")
    return fake


def comment(jobs: str = JOBS) -> int:
    return run("comment", "--folder", "results", "--jobs", jobs)


def test_a_second_run_updates_the_comment_of_the_first(comments: Any) -> None:
    assert comment() == 0
    Path("results/metrics.md").write_text("## Model\n\nmae 7\n", encoding="utf-8")
    assert comment() == 0
    assert comments.bodies() == [f"{MARK}## Model\n\nmae 7\n\n[All of this run]({comments.run})\n"]
    assert [each.split()[0] for each in comments.changes] == ["POST", "PATCH"]


def test_the_same_text_again_changes_nothing(comments: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert comment() == comment() == 0
    assert len(comments.changes) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "The comment under pull request 12 is up to date."


def test_the_comment_is_found_behind_a_hundred_others(comments: Any) -> None:
    for number in range(130):
        comments.add(f"comment {number}", comments.person)
    comments.add(f"{MARK}old\n")
    assert comment() == 0
    assert len(comments.bodies()) == 131
    assert "mae 8" in comments.bodies()[-1]


def test_of_two_comments_that_two_runs_made_at_once_one_is_left(comments: Any) -> None:
    comments.add(f"{MARK}one\n")
    comments.add(f"{MARK}two\n")
    assert comment() == 0
    (body,) = comments.bodies()
    assert "mae 8" in body
    assert [each.split()[0] for each in comments.changes] == ["PATCH", "DELETE"]


def test_a_comment_that_was_deleted_is_made_again(comments: Any) -> None:
    assert comment() == 0
    comments.delete_all()
    assert comment() == 0
    assert len(comments.bodies()) == 1


def test_what_a_person_wrote_and_what_another_project_keeps_stay(comments: Any) -> None:
    bot, person = comments.bot, comments.person
    kept = [(f"{MARK}quoted\n", person), (f"> {MARK}", bot), ("<!-- mlops: topics -->\nx", bot), (f"{MARK}", None)]
    for body, user in kept:
        comments.add(body, user)
    assert comment() == 0
    assert comments.bodies()[:-1] == [body for body, _ in kept]
    assert comments.bodies()[-1].startswith(f"{MARK}## Model")


FORK = "this run may not comment, as one for a fork may not: gh: "
NO_RIGHT = "this run may not comment: Azure DevOps refuses it: "


@pytest.mark.parametrize(
    ("comments", "code", "refusal", "start"),
    [
        (OnGitHub, 403, "Resource not accessible by integration", f"::notice title=No comment::{FORK}"),
        (OnGitHub, 403, "Unable to create comment because issue is locked.", f"::notice title=No comment::{FORK}"),
        (OnAzureDevOps, 403, "TF401027: You need the Git 'PullRequestContribute' permission.", NO_RIGHT),
        (OnAzureDevOps, 401, "TF400813: The user is not authorized to access this resource.", NO_RIGHT),
    ],
    indirect=["comments"],
)
def test_a_run_that_may_not_comment_is_green_and_one_line_names_the_reason(
    comments: Any, capsys: pytest.CaptureFixture[str], code: int, refusal: str, start: str
) -> None:
    comments.refuse(code, refusal)
    assert comment() == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(start)
    assert refusal in line


def test_another_refusal_is_an_error(comments: Any, capsys: pytest.CaptureFixture[str]) -> None:
    comments.refuse(400, "You have exceeded a secondary rate limit")
    assert comment() == 1
    assert "secondary rate limit" in capsys.readouterr().err


def test_a_job_that_failed_comes_first(comments: Any) -> None:
    jobs = {"project": {"result": "failure"}, "infrastructure": {"result": "success"}, "plan": {"result": "cancelled"}}
    assert comment(json.dumps(jobs)) == 0
    rows = "| job | result |\n| --- | --- |\n| project | failure |\n| plan | cancelled |"
    assert comments.bodies()[0].startswith(f"{MARK}## Not passed\n\n{rows}\n\n## Model")


def test_without_any_result_the_comment_says_so(comments: Any) -> None:
    Path("results/metrics.md").unlink()
    assert comment() == 0
    assert "Nothing was measured." in comments.bodies()[0]


def test_a_text_that_is_too_long_is_cut_and_its_code_block_closed(comments: Any) -> None:
    Path("results/plan.md").write_text("## Plan\n\n```text\n" + "+ resource\n" * 8000 + "```\n", encoding="utf-8")
    assert comment() == 0
    (body,) = comments.bodies()
    end = f"[All of this run]({comments.run})\n"
    assert body.endswith(f"+ resource\n```\n\n(cut here: the page of the run has all of it)\n\n{end}")
    assert body.count("```") == 2


@pytest.mark.parametrize(
    ("comments", "variable", "value"),
    [
        (OnGitHub, "GITHUB_REF", "refs/heads/main"),
        (OnAzureDevOps, "SYSTEM_PULLREQUEST_PULLREQUESTID", ""),
    ],
    indirect=["comments"],
)
def test_a_run_for_no_pull_request_fails_with_the_reason(
    comments: Any, variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(variable, value)
    assert comment() == 1
    assert f"{variable} names no pull request" in capsys.readouterr().err
    assert comments.changes == []


@pytest.mark.parametrize("comments", [OnAzureDevOps], indirect=True)
def test_a_step_without_the_token_says_how_to_give_it(
    comments: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SYSTEM_ACCESSTOKEN")
    assert comment() == 1
    assert "SYSTEM_ACCESSTOKEN is not set: this runs in Azure Pipelines, with `SYSTEM_ACC" in capsys.readouterr().err


@pytest.mark.parametrize("jobs", ["[]", "no json", '{"project": "success"}', '{"project": {}}'])
def test_results_of_another_form_are_one_line(comments: Any, capsys: pytest.CaptureFixture[str], jobs: str) -> None:
    assert comment(jobs) == 1
    assert "error: --jobs takes the JSON of a workflow's `needs`" in capsys.readouterr().err
