"""The year of a team whose verbs are run by the project's own GitHub workflows."""

from collections.abc import Mapping
from fnmatch import fnmatch
from typing import ClassVar

from github_runs import Job, Machine, Run, document, files_of
from rendered import HERE
from scripts import Mlops
from troubles import Trouble
from year_pipelines import YearByPipelines
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


class YearOnGitHub(YearByPipelines):
    """A team, its project, and all that happens to it, by way of its workflows."""

    files: ClassVar[dict[str, str]] = files_of(HERE.root)

    def __init__(self) -> None:
        """Begin as every year."""
        self.workflows = self.files
        super().__init__()

    def _begin(self, pipeline: str, event: str, inputs: Mapping[str, str | bool]) -> Run:
        return Run(self.workflows, pipeline, event, inputs)

    def _machine(self, run: Run, job: Job, mlops: Mlops) -> Machine:
        return Machine(run, job, self.world.project.root, mlops)

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
        return environment != ADDED or run.files is self.workflows

    def _add_or_remove_environment(self, trouble: Trouble | None) -> None:
        """Change the workflows, too, which name the environments; the teardown is a run of one of them."""
        super()._add_or_remove_environment(trouble)
        added = ADDED in self.people.chain
        self.workflows = with_added(self.files) if added else self.files
        # What could be run again has the workflows of its commit, and is about what there was then.
        self.failed_runs.clear()
