"""The year of a team whose verbs are run by the project's own GitHub workflows."""

from collections.abc import Mapping
from fnmatch import fnmatch
from typing import ClassVar

from github_runs import Job, Machine, Run, document, files_of
from rendered import HERE
from scripts import Mlops
from year_pipelines import YearByPipelines


class YearOnGitHub(YearByPipelines):
    """A team, its project, and all that happens to it, by way of its workflows."""

    files: ClassVar[dict[str, str]] = files_of(HERE.root)

    def _begin(self, pipeline: str, event: str, inputs: Mapping[str, str | bool]) -> Run:
        return Run(self.files, pipeline, event, inputs)

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
