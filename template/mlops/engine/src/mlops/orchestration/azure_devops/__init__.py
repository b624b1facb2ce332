"""Azure DevOps: project, repository, pipelines and what they may use, made and checked; and a run from within."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlops.config import EnvironmentConfig, read_environment
from mlops.definitions.base import Finding as LintFinding
from mlops.errors import UserError
from mlops.orchestration.azure_devops import checks, run
from mlops.orchestration.azure_devops.calls import call_findings
from mlops.orchestration.azure_devops.names import NAMES, Names
from mlops.orchestration.azure_devops.repository import AzureRepos
from mlops.orchestration.comment import keep_comment
from mlops.project import Project
from mlops.subscription.checks import Check
from mlops.subscription.checks.tools import Tool
from mlops.subscription.choices import Gap
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
            "environments of the pipelines": checks.check_environments,
            "agents": checks.check_agents,
            "runs": checks.check_runs,
        }

    def find_gap(self, project: Project, environment: str) -> Gap | None:
        """Return that the pipelines may not name the environment, if it is so."""
        names = Names(project)
        if environment in names.listed:
            return None
        return Gap(f"it is not in `environments` of {NAMES}", f", then {names.edit(environment)}")

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

    def findings(self, project: Project) -> list[LintFinding]:
        """Return where the pipelines do not fit each other, or the environments that they name the configuration."""
        return call_findings(project) + self._list_findings(project)

    def _list_findings(self, project: Project) -> list[LintFinding]:
        names, file = Names(project), Path(NAMES)
        alone = ""
        if names.misplaced:
            alone = (
                f"it is no key beside `variables`, but one of the names below it: delete it here, and {names.edit()}"
            )
        elif not names.listed:
            alone = f"the key is missing: {names.edit()}"
        elif names.misspelt:
            alone = f"the names have spaces between them, and nothing else: {names.edit()}"
        if alone:
            return [LintFinding(file, "environments", alone)]
        found = [
            LintFinding(file, "environments", f"there is no config/{each}.yml: take {each} out, or restore that file")
            for each in names.unknown
        ]
        if (first := project.first_environment) not in names.listed:
            found.append(LintFinding(file, "environments", f"models are trained in {first}: {names.edit(first)}"))
        for each in project.environments:
            # An error in the file is a finding of its own.
            with contextlib.suppress(UserError):
                config, _ = read_environment(project, each)
                following = config.delivery.next if config else ""
                if following and following in project.environments and following not in names.listed:
                    text = (
                        f"the pipelines do not name {following} yet: once `uv run mlops bootstrap --environment "
                        f"{following}` has made it, {names.edit(following)}; until then this is empty"
                    )
                    found.append(LintFinding(Path("config", f"{each}.yml"), "delivery.next", text))
        return found
