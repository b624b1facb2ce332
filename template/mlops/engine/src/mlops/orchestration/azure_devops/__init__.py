"""Azure DevOps: project, repository, pipelines and what they may use, made and checked; and a run from within."""

from collections.abc import Mapping, Sequence

from mlops.config import EnvironmentConfig
from mlops.definitions.base import Finding as LintFinding
from mlops.orchestration.azure_devops import checks, run
from mlops.orchestration.azure_devops.repository import AzureRepos
from mlops.orchestration.comment import keep_comment
from mlops.project import Project
from mlops.subscription.checks import Check
from mlops.subscription.checks.tools import Tool
from mlops.subscription.steps import Cloud


class AzureDevOps:
    """The orchestration `azure-devops`."""

    def connect(
        self, cloud: Cloud, configs: Sequence[EnvironmentConfig], *, create_repository: bool, undo: bool
    ) -> AzureRepos:
        """Return the project's repository; with `create_repository` it is made and the project pushed to it."""
        return AzureRepos(cloud, configs, create_repository, undo)

    def tools(self) -> list[Tool]:
        """Return the extension of `az`."""
        return [checks.EXTENSION]

    def checks(self) -> Mapping[str, Check]:
        """Return the checks of what connects the pipelines with Azure."""
        return {
            "project in Azure DevOps": checks.check_project,
            "trust in Azure DevOps": checks.check_trust,
            "approvals and branches": checks.check_guards,
            "pipelines": checks.check_pipelines,
            "agents": checks.check_agents,
            "runs": checks.check_runs,
        }

    def check_approval(self, project: Project, environment: str) -> None:
        """Look whether the environment has an approval, as a run of Azure Pipelines.

        Raises:
            UserError: It has none, or Azure DevOps gives no answer.
        """
        run.require_approval(project, environment)

    def comment(self, project: Project, markdown: str) -> None:
        """Keep one comment under the pull request, as a run of Azure Pipelines."""
        keep_comment(run.DevOpsComments(), project, markdown)

    def issues(self, project: Project, *, dry_run: bool) -> run.DevOpsIssues:
        """Return the open work items that pipelines opened."""
        return run.DevOpsIssues(project, dry_run=dry_run)

    def write_copies(self, project: Project) -> None:
        """Say that there is nothing to copy: a pipeline is made for the file where it is."""
        print("Azure Pipelines runs the files where they are: nothing is copied.", flush=True)

    def stale_copies(self, project: Project) -> list[LintFinding]:
        """Return none, as there are no copies."""
        return []
