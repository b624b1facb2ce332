"""The year of a team whose verbs are run by the project's own GitHub workflows."""

import json
from collections.abc import Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import ClassVar

import year_upkeep
from github_runs import Job, Machine, Run, document, files_of
from rendered import HERE
from scripts import Mlops
from year_upkeep import YearWithUpkeep
from year_world import ADDED


def with_added(files: dict[str, str]) -> dict[str, str]:
    """Return the workflows as a person edits them for one more environment before the protected one."""
    edited = {
        name: text.replace("options: [dev, test, prod]", f"options: [dev, test, {ADDED}, prod]")
        for name, text in files.items()
    }
    head, mark, rest = edited["workflows/deliver.yml"].partition("  test:\n")
    job, end, last = rest.partition("\n  prod:\n")
    added = (mark + job).replace("test", ADDED).replace("[choose, dev]", "[choose, dev, test]")
    also = f"needs.dev.outputs.next == '{ADDED}'"
    added = added.replace(also, f"{also} || needs.test.outputs.next == '{ADDED}'")
    last = last.replace("[choose, dev, test]", f"[choose, dev, test, {ADDED}]")
    also = "needs.test.outputs.next == 'prod'"
    last = last.replace(also, f"{also} || needs.{ADDED}.outputs.next == 'prod'")
    return edited | {"workflows/deliver.yml": f"{head}{mark}{job}\n{added}{end}{last}"}


class Repository(year_upkeep.Repository):
    """A repository on GitHub, of which a script and the verb that keeps an issue ask `gh`."""

    commands: ClassVar[Mapping[str, str]] = {"push": "git push", "pull request": "gh pr create"}

    def __init__(self) -> None:
        """Begin with nothing."""
        super().__init__()
        self._issues: dict[str, dict[str, str]] = {}

    @property
    def issues(self) -> list[tuple[str, str]]:
        """The open issues: their titles and texts."""
        return [(each["title"], each["text"]) for each in self._issues.values()]

    def carry_out(self, words: list[str]) -> None:
        """Do what a script asked `git` or `gh` for."""
        if words[:2] == ["git", "push"]:
            self.branches.append(words[-1])
        elif words[:3] == ["gh", "pr", "create"]:
            self.pulls.append(words[words.index("--head") + 1])

    def execute(
        self, command: list[str], folder: Path, variables: Mapping[str, str], *, captured: bool
    ) -> tuple[int, str, str]:
        """Answer the `gh` of the verb that keeps the issue."""
        what, *words = command[2:]
        given = dict(zip(words[::2], words[1::2], strict=False)) if what in ("create", "list") else {}
        if command[:2] != ["gh", "issue"]:
            raise NotImplementedError(command)
        if what == "list":
            listed = [{"number": int(key), "title": each["title"]} for key, each in self._issues.items()]
            return 0, json.dumps(listed), ""
        if what == "create":
            text = (folder / given["--body-file"]).read_text(encoding="utf-8")
            self._issues[str(len(self._issues) + 7)] = {"title": given["--title"], "text": text}
        elif what == "edit":
            self._issues[words[0]]["text"] = (folder / words[2]).read_text(encoding="utf-8")
        elif what == "close":
            del self._issues[words[0]]
        else:
            raise NotImplementedError(command)
        return 0, "", ""


class YearOnGitHub(YearWithUpkeep):
    """A team, its project, and all that happens to it, by way of its workflows."""

    files: ClassVar[dict[str, str]] = files_of(HERE.root)
    repository: Repository

    def __init__(self) -> None:
        """Begin as every year."""
        self.workflows = self.files
        super().__init__()

    def _begin(self, pipeline: str, event: str, inputs: Mapping[str, str | bool]) -> Run:
        return Run(self.workflows, pipeline, event, inputs)

    def _machine(self, run: Run, job: Job, mlops: Mlops) -> Machine:
        return Machine(run, job, self.world.project.root, mlops)

    def _machine_with(self, run: Run, job: Job, mlops: Mlops) -> Machine:
        return Machine(run, job, self.world.project.root, mlops, self.repository.variables)

    def _repository(self) -> Repository:
        return Repository()

    def _only_reads_code(self, job: Job) -> bool:
        return bool(job.content["permissions"] == {"contents": "read"} and not job.environment)

    def _name(self, job: Job) -> str:
        return job.place.rpartition("/")[2]

    def _identity(self, job: Job) -> str:
        return job.environment

    def _given(self, job: Job) -> Mapping[str, str]:
        return job.variables

    def _group(self, job: Job) -> str:
        return job.group

    def _is_kept(self, job: Job) -> bool:
        return bool(job.filled("concurrency").get("queue") == "max")

    def _minutes(self, job: Job) -> int:
        return int(job.content["timeout-minutes"])

    def _starts_training(self, path: str) -> bool:
        paths = document(self.files["workflows/train.yml"])[True]["push"]["paths"]
        return any(fnmatch(path, each) for each in paths)

    def _knows(self, run: Run, environment: str) -> bool:
        return environment != ADDED or run.files == self.workflows

    def _edit_pipelines(self, *, added: bool) -> None:
        self.workflows = with_added(self.files) if added else self.files
