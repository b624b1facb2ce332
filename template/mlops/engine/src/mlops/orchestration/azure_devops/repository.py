"""The project's repository in Azure Repos, as `az` and `git` see it, and the steps that connect it with Azure."""

import re
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any
from urllib.parse import quote

from mlops.config import EnvironmentConfig
from mlops.errors import CommandError, UserError
from mlops.orchestration.azure_devops import steps
from mlops.orchestration.azure_devops.api import RESOURCE, Api, Parameters, message
from mlops.orchestration.azure_devops.names import NAMES, PLANNING, Address, Names
from mlops.orchestration.checkout import BRANCH, Checkout, FirstCommit, FirstPush, LockFile
from mlops.orchestration.checkout import REMEDIES as GIT_REMEDIES
from mlops.subscription.account import body
from mlops.subscription.steps import Cloud, Credential, Identity, Step, Trust

INSTALL_EXTENSION = "az extension add --name azure-devops"
NO_AGENTS = (
    "a new organisation has no agents of Microsoft's until it asks for them, which takes some days: "
    "https://aka.ms/azpipelines-parallelism-request"
)


class AzureRepos(Checkout):
    """The project's repository, and the project of Azure DevOps around it."""

    def __init__(self, cloud: Cloud, configs: Sequence[EnvironmentConfig], create_repository: bool, undo: bool) -> None:
        """Keep what is to be connected, or disconnected."""
        super().__init__(cloud, configs, create_repository, undo)
        self.names = Names(cloud.project)
        self.started: bool | None = None
        """Whether this run started the one that builds the first environment; None where none was to be started."""
        self._found: dict[str, Any] = {}
        self._answers: dict[tuple[str, ...], str | CommandError] = {}

    def describe(self) -> list[str]:
        """Return repository, user and connections.

        Raises:
            UserError: Program, sign-in, organisation, project or repository is missing.
        """
        self.run("az", "extension", "show", "--name", "azure-devops", "--output", "none")
        user, made = self.user, self.create or self.undo
        pushed = self.git("rev-parse", "--verify", f"refs/remotes/origin/{BRANCH}")
        if self.project is None and pushed and not self.undo:
            where = f"{self.address.project} in {self.address.organisation}"
            raise UserError(
                f"{BRANCH} was pushed to the project {where}, and there is none that you can see: if it was renamed, "
                "run `git remote set-url origin URL` with its new URL"
            )
        if self.project is None and not made:
            raise UserError(
                f"there is no project {self.address.project} in {self.address.organisation} that you can see: "
                "`uv run mlops bootstrap --create-repository` makes it"
            )
        if self.repository is None and not made:
            raise UserError(
                f"there is no repository {self.name} that you can see: "
                "`uv run mlops bootstrap --create-repository` makes it"
            )
        if self.place.shared and not self.undo:
            raise UserError(
                f"the project lies in {self.place.folder} of the repository {self.place.top}: with Azure DevOps it has "
                "to be the top of a repository of its own, of which a project of Azure DevOps holds several"
            )
        self._check_pipelines()
        if self.undo:
            self._check_undo()
        if self.create:
            self._check_git()
            self._check_names()
        new = "" if self.repository or self.undo else ", new and private"
        lines = [f"Azure DevOps: {self.name}{new}, {user['providerDisplayName']}"]
        if not self.undo:
            names = [self.names.connection(each) for each in self.environments]
            both = [f"{name} and {name}-read" for name in names]
            lines.append(f"Pipelines sign in to Azure through the service connections {', '.join(both)}")
            closed = [config.environment for config in self.configs if config.closed]
            if any(not self.names.pool(name) for name in closed):
                lines.append(
                    "Microsoft's agents do not reach the private network: put agents into it, in a pool for each "
                    f"environment, {', '.join(f'mlops-{name}' for name in closed)}, and write mlops as `pool` into "
                    f"{NAMES}"
                )
            closed = [config.environment for config in self.configs if config.closed_state]
            if missing := [name for name in closed if not self.names.provision_pool(name)]:
                pools = ", ".join(f"build-{name}" for name in self.cloud.project.environments)
                lines.append(
                    f"Terraform's state of {' and '.join(missing)} is behind a firewall that keeps Microsoft's agents "
                    f"out: put agents that it admits into a pool for each environment, {pools}, and write build as "
                    f"`provision_pool` into {NAMES}, which counts for all of them"
                )
        return lines

    def conditions(self) -> list[str]:
        """Return what Azure DevOps has to have, or not to have, for the commands of a dry run."""
        listed, first = self.names.listed, self.cloud.project.first_environment
        if not self.undo:
            more = self._unmade()
            text = "nothing is pushed or started while the pipelines name {}, unless it is there"
            return [f"{NAMES}: {text.format(' and '.join(more))}"] if more else []
        held = [name for name in self.environments if name == first or name in listed]
        left = [name for name in self.cloud.project.environments if name not in self.environments]
        text = "nothing is removed while the pipelines name {} and {} is there"
        return [f"{NAMES}: {text.format(' and '.join(held), ' or '.join(left))}"] if held and left else []

    def before(self) -> list[Step]:
        """Return the repository, the first commit and its push: a pipeline is made for a file that is there."""
        if not self.create:
            return []
        own = [steps.DevOpsProject(self), LockFile(self), FirstCommit(self), steps.Repository(self)]
        return [*own, FirstPush(self)]

    def environment(self, config: EnvironmentConfig, identity: Identity, reader: Identity) -> list[Step]:
        """Return an environment with its two connections, and what the identities behind them trust."""
        name = config.environment
        return [
            *(steps.Environment(self, each) for each in self.names.environments(name)),
            *self._connected(self.names.connection(name), identity),
            *self._connected(self.names.connection(name, reads=True), reader),
        ]

    def _connected(self, name: str, identity: Identity) -> list[Step]:
        connection = steps.Connection(self, name, identity)
        pipelines = f"pipelines of {self.name} through {name}"
        trust = Trust(self.cloud, identity, pipelines, connection.credentials, partial(_is_own_credential, name))
        return [connection, trust]

    def after(self) -> list[Step]:
        """Return the pipelines, what each may use and under which conditions, and the first run.

        The account of the pipelines exists once one has run, so its rights come last.
        """
        guarded = [step for name in self.environments for step in self._guarded(name)]
        environments = [self.names.environment(name) for name in self.environments]
        return [
            steps.Pipelines(self),
            *guarded,
            steps.Policy(self),
            steps.FirstRun(self),
            steps.RepositoryRights(self),
            steps.WorkItemRights(self),
            *(steps.ReadingRights(self, name) for name in environments),
        ]

    def _guarded(self, name: str) -> list[Step]:
        """Return which pipelines may use an environment, its connections and its agents, and under which conditions."""
        is_first = name == self.cloud.project.first_environment
        environments, connections = self.names.environments(name), self.names.connections(name, is_first=is_first)
        guarded: list[Step] = []
        # The checks come first: a run of bootstrap that stops between the two leaves nothing open.
        for each, pipelines in environments.items():
            guarded.append(steps.Checks(self, steps.ENVIRONMENT, each, steps.guards(approved=not is_first)))
            guarded.append(steps.Permission(self, steps.ENVIRONMENT, each, pipelines))
        for each, pipelines in connections.items():
            # A pull request shows its plan through one of them, so its branch has to get there.
            if PLANNING not in pipelines:
                guarded.append(steps.Checks(self, steps.CONNECTION, each, (steps.BRANCHES,)))
            guarded.append(steps.Permission(self, steps.CONNECTION, each, pipelines))
        for each, pipelines in self.names.pools(name).items():
            # What another branch left on an agent would be there when the next run signs in.
            guarded.append(steps.PoolChecks(self, steps.POOL, each, (steps.BRANCHES,)))
            guarded.append(steps.Permission(self, steps.POOL, each, pipelines))
        return guarded

    def advice(self, *, provisions: bool) -> list[str]:
        """Return the next commands; the first run builds the first environment, the rest is started manually."""
        lines = ["New rights need some minutes to arrive: repeat a run that stops with 403 or AADSTS."] * provisions
        if self.cloud.dry_run:
            if self._unmade():  # what it depends on is said before
                return [*lines, *self._advice_on_models()]
        elif obstacle := self.obstacle():
            # The step of the first run has said the same.
            lines += [] if self.started is False else [f"No run starts yet, because {obstacle}"]
            return [*lines, *self._advice_on_models()]
        if not provisions:
            return [*lines, f"Next: `{self.run_command('train')}`", *self._advice_on_models()]
        for name in self.environments:
            if name == self.cloud.project.first_environment and self.started:
                lines.append(
                    f"Azure Pipelines builds {name} now, trains and deploys the first model: `az pipelines runs list`. "
                    f"If nothing starts: {NO_AGENTS}"
                )
            else:
                lines.append(f"Next: `{self.run_command('infrastructure', environment=name, action='apply')}`")
        return [*lines, *self._advice_on_models()]

    def _advice_on_models(self) -> list[str]:
        """Return how to let models go to what is new."""
        new = [name for name in self.environments if name not in self.names.listed]
        edit = f"Then, to let models go there, {self.names.edit(*new)}, beside `delivery.next` in config/"
        return [edit] if new else []

    def run_command(self, pipeline: str, **parameters: str) -> str:
        """Return the command that starts a pipeline; in the project's folder `az` finds the organisation itself."""
        given = "".join(f" {key}={value}" for key, value in parameters.items())
        more = f" --parameters{given}" if given else ""
        return f"az pipelines run --name {pipeline} --folder-path {self.names.prefix}{more}"

    # The repository.

    @cached_property
    def address(self) -> Address:
        """Where the repository is, or will be.

        Raises:
            UserError: Neither `origin` nor pyproject.toml says.
        """
        return Address.of(self.remote, self.cloud.project.repository)

    @property
    def name(self) -> str:
        """ORGANISATION/PROJECT/REPOSITORY."""
        return str(self.address)

    @cached_property
    def api(self) -> Api:
        """The REST API, with remedies for what it refuses."""
        return Api(self.address, self.run)

    @property
    def scope(self) -> tuple[str, ...]:
        """The options of `az` that name the project."""
        return ("--organization", self.address.organisation_url, "--project", self.address.project)

    @property
    def project(self) -> Any:
        """The project of Azure DevOps, None while there is none."""
        return self._once("project", f"_apis/projects/{quote(self.address.project)}", of="organisation")

    @property
    def repository(self) -> Any:
        """The repository, None while there is none."""
        path = f"_apis/git/repositories/{quote(self.address.repository)}"
        return self._once("repository", path) if self.project else None

    @property
    def ids(self) -> tuple[str, str]:
        """The ids of project and repository."""
        return (self.project or {"id": "PROJECT_ID"})["id"], (self.repository or {"id": "REPOSITORY_ID"})["id"]

    def _once(self, key: str, path: str, of: str = "project") -> Any:
        if not self._found.get(key) and not self.cloud.dry_run:
            self._found[key] = self.api.get(path, of=of)
        return self._found.get(key)

    @cached_property
    def user(self) -> dict[str, Any]:
        """The person who is signed in, with the id by which Azure DevOps knows people.

        Raises:
            UserError: There is no such organisation.
        """
        return dict(self.organisation["authenticatedUser"])

    @cached_property
    def organisation(self) -> dict[str, Any]:
        """The organisation's own id, and the user there.

        Raises:
            UserError: There is no such organisation.
        """
        if self.cloud.dry_run:
            return {
                "instanceId": "ORGANISATION_ID",
                "authenticatedUser": {"id": "YOUR_ID", "providerDisplayName": "YOU"},
            }
        found = self.api.get("_apis/connectionData", of="organisation")
        if found is None:
            raise UserError(
                f"there is no organisation {self.address.organisation} in Azure DevOps that you can see: make it at "
                "https://dev.azure.com and connect it to the tenant of the subscription (Organization settings, "
                "Microsoft Entra), or name another one in [tool.mlops] of pyproject.toml"
            )
        return dict(found)

    @property
    def ssh(self) -> bool:
        """Whether a push goes over SSH."""
        return "@ssh.dev.azure.com" in self.remote or "@vs-ssh.visualstudio.com" in self.remote

    @property
    def sign_in(self) -> tuple[str, ...]:
        """The sign-in of `az`: an empty helper forgets those of the machine."""
        helper = "credential.https://dev.azure.com.helper="
        token = f"az account get-access-token --resource {RESOURCE} --query accessToken --output tsv"
        script = f'!f() {{ test "$1" = get && echo username=az && echo "password=$({token})"; }}; f'
        return ("-c", helper, "-c", f"{helper}{script}")

    def _check_git(self) -> None:
        self.check_git()
        if not self.remote and self.repository and self.branches():
            raise UserError(
                f"{self.name} is in Azure DevOps already, with commits of its own: name another one in [tool.mlops] of "
                f"pyproject.toml, or connect it with `git remote add origin {self.address.clone_url}`"
            )

    def _check_pipelines(self) -> None:
        known = self.pipelines() if self.repository else {}
        for name in self.names.pipelines:
            other = steps.other_repository(self, known[name]) if name in known else None
            # What `bootstrap` made for a repository that is gone, it makes again.
            if other or (other is not None and not self.undo and known[name].get("description") != steps.MARK):
                where = f"folder {self.names.prefix} of {self.address.project}"
                what = f"the repository {other or 'that was here before'}"
                raise UserError(
                    f"the pipeline {name} in {where} runs {what}: delete it if it is of no use, or give this project "
                    f"names of its own (`project` in {NAMES})"
                )

    def _check_names(self) -> None:
        """Look whether the first run would be refused, while an edit needs no pull request yet."""
        if not (more := self._unmade()) or self.branch(BRANCH) is not None:
            return
        environments, first = self.cloud.project.environments, self.cloud.project.first_environment
        edit = self.names.value(without=[name for name in environments if name not in (first, *self.environments)])
        if self.git("rev-parse", "--verify", "HEAD"):
            edit += " and commit it"
        if known := [name for name in more if name in environments]:
            edit += f", or bootstrap {' and '.join(known)} with it: `{self._command(first, *known)}`"
        raise UserError(
            f"no first run would start, because {NAMES} has {' and '.join(more)} in `environments` beside "
            f"{' and '.join(self.environments)}: {edit}"
        )

    def _unmade(self) -> list[str]:
        """Return what the pipelines name and this run does not make; what is there, it does not ask."""
        made = (self.cloud.project.first_environment, *self.environments)
        return [name for name in self.names.listed if name not in made]

    def _check_undo(self) -> None:
        """Look whether what is to go is named by pipelines that stay."""
        first, stay = self.cloud.project.first_environment, self._others()
        if not stay:
            return
        if first in self.environments:
            raise UserError(
                f"Azure DevOps would refuse each run, because the pipelines name {first} and stay for "
                f"{' and '.join(stay)}: undo {first} last, or all at once: `{self._command(*stay)} --undo`"
            )
        if gone := [name for name in self.names.listed if name in self.environments]:
            raise UserError(
                f"Azure DevOps would refuse each run, because the pipelines name {' and '.join(gone)}: first "
                f"{self.names.edit(without=gone)}"
            )

    def _command(self, *more: str) -> str:
        """Return this command for more environments."""
        names = [name for name in self.cloud.project.environments if name in (*self.environments, *more)]
        options = [f"--environment {name}" for name in names] + ["--create-repository"] * self.create
        return f"uv run mlops bootstrap {' '.join(options)}"

    def branches(self) -> list[str]:
        """Return the names of the branches in Azure DevOps."""
        if self.repository is None:
            return []
        found = self.api.items(f"_apis/git/repositories/{self.ids[1]}/refs", {"filter": "heads/"})
        return [each["name"].removeprefix("refs/heads/") for each in found]

    def branch(self, name: str) -> Any:
        """Return a branch in Azure DevOps, None when there is none."""
        return name if name in self.branches() else None

    # The pipelines.

    def pipelines(self) -> dict[str, dict[str, Any]]:
        """Return the pipelines in the project's folder, by name."""
        if self.project is None:
            return {}
        wanted = {"path": self.folder, "includeAllProperties": "true"}
        found = self.api.items("_apis/build/definitions", wanted)
        return {each["name"]: each for each in found}

    @property
    def folder(self) -> str:
        """The folder of the pipelines."""
        return f"\\{self.names.prefix}"

    def used_elsewhere(self) -> bool:
        """Return whether an environment that this run is not about needs the pipelines, too."""
        return bool(self._others())

    def _others(self) -> list[str]:
        others = [name for name in self.cloud.project.environments if name not in self.environments]
        return [name for name in others if self.find_environment(self.names.environment(name))]

    def find_environment(self, name: str) -> Any:
        """Return an environment of the project of Azure DevOps, None when there is none."""
        found = self.api.items("_apis/pipelines/environments", {"name": name}) if self.project else []
        return next((each for each in found if each["name"] == name), None)

    def obstacle(self) -> str:
        """Return why Azure DevOps would refuse each run for what the pipelines name, and the remedy; empty if not."""
        if not self.pipelines():
            return steps.NOT_PUSHED
        first = self.cloud.project.first_environment
        text = "Azure DevOps refuses each run while the pipelines name {}, {}"
        if unknown := self.names.unknown:
            return f"{self.names.strange(unknown)}: {self.names.edit()}"
        for name in dict.fromkeys((first, *self.names.listed)):
            if gap := self.gap(name):
                more = "" if name == first else f", or {self.names.edit(without=[name])}"
                again = f"{more}, then run this again" if name not in self.environments or more else ""
                return f"{text.format(name, gap)}: {self.remedy(name)}{again}"
        return ""

    def remedy(self, name: str) -> str:
        """Return what closes the gap of an environment."""
        create = " --create-repository" * (self.create and name == self.cloud.project.first_environment)
        command = f"run `uv run mlops bootstrap --environment {name}{create}`"
        if missing := [pool for pool in self.names.pools(name) if not self.find_pool(pool)]:
            return f"add {missing[0]} in the project's settings, under Agent pools, and {command}"
        return command

    def gap(self, name: str) -> str:
        """Return what keeps the pipelines from naming an environment, empty if nothing does."""
        connections = (self.names.connection(name), self.names.connection(name, reads=True))
        there = [*map(self.find_environment, self.names.environments(name)), *map(self.find_connection, connections)]
        if not all(there):
            return "which is not there"
        if missing := [pool for pool in self.names.pools(name) if not self.find_pool(pool)]:
            return f"whose pool {missing[0]} is not there"
        for step in self._guarded(name):
            if isinstance(step, steps.Permission) and (waiting := step.waiting()):
                return f"which {', '.join(waiting)} may not use"
        return ""

    def find_connection(self, name: str) -> Any:
        """Return a service connection, None when there is none."""
        found = self.api.items("_apis/serviceendpoint/endpoints", {"endpointNames": name}) if self.project else []
        return next((each for each in found if each["name"] == name), None)

    def find_pool(self, name: str) -> Any:
        """Return a pool of agents, as the project sees it; None when there is none."""
        found = self.api.items("_apis/distributedtask/queues", {"queueName": name}) if self.project else []
        return next((each for each in found if each["name"] == name), None)

    def account(self) -> Any:
        """Return the account under which pipelines run, None before the first one has."""
        if self.project is None:
            return None
        settings = self.api.get("_apis/build/generalsettings") or {}
        # Jobs are limited to their project, unless the organisation says otherwise.
        limited = settings.get("enforceJobAuthScope", True)
        number = self.ids[0] if limited else self.organisation["instanceId"]
        wanted = {"searchFilter": "AccountName", "filterValue": number}
        found = self.api.items("_apis/identities", wanted, of="directory")
        return next((each for each in found if ":Build:" in str(each.get("descriptor"))), None)

    # Commands.

    def change(
        self,
        method: str,
        path: str,
        document: object = None,
        *,
        title: str = "",
        of: str = "project",
        place: Parameters | None = None,
    ) -> None:
        """Change something through the REST API.

        Args:
            method: That of HTTP.
            path: From `_apis` on.
            document: What is sent, if anything.
            title: What the file with the document is called.
            of: As in `Api.get`.
            place: Parameters of the query.
        """
        name = re.sub(r"[^a-z0-9]+", "-", title.lower())
        file = () if document is None else body(self.cloud.shell, name, document)
        self.run(*self.api.command(method, path, place, of=of), *file, "--output", "none")

    def run(self, *command: str) -> str:
        """Run a command and return its output.

        Raises:
            UserError: The command fails with an error that has a known remedy.
            CommandError: It fails with another one.
        """
        try:
            return self._answer(command) if command[:4] == ("az", "rest", "--method", "get") else self._change(command)
        except CommandError as failure:
            for pattern, remedy in self._remedies.items():
                if re.search(pattern, failure.output):
                    raise UserError(f"{remedy}{_because(failure)}") from failure
            raise

    def _change(self, command: tuple[str, ...]) -> str:
        self.forget_answers()
        return self.cloud.change(*command)

    def _answer(self, command: tuple[str, ...]) -> str:
        """Return the answer to a query, which each step of a plan would ask again: a call takes about a second."""
        if command not in self._answers:
            try:
                self._answers[command] = self.cloud.change(*command)
            except CommandError as failure:
                self._answers[command] = failure
        answer = self._answers[command]
        if isinstance(answer, CommandError):
            raise answer
        return answer

    def forget_answers(self) -> None:
        """Query Azure DevOps again next time."""
        self._answers.clear()

    @property
    def _remedies(self) -> dict[str, str]:
        where = f"{self.address.organisation}/{self.address.project}"
        return {
            r"extension azure-devops|is misspelled or not recognized": (
                f"the extension azure-devops of az is not installed: run `{INSTALL_EXTENSION}`"
            ),
            steps.ABSENT: (
                f"Azure DevOps refuses the run, because {NAMES} on {BRANCH} names what is not there: your edit of it "
                "counts once it is merged; then run this again"
            ),
            r"Unauthorized\(|TF400813|TF30063": (
                f"you may not use the organisation {self.address.organisation}: ask its owner for access, or run "
                "`az login` with another account"
            ),
            r"TF50309|TF200019": (
                f"you may not make the project {where}: you need to be a Project Collection Administrator, or let one "
                "make it"
            ),
            r"Forbidden\(|Access denied|TF401027|VS403|needs the following permission": (
                f"you may not set up {where}: you need to be its Project Administrator"
            ),
            r"terms of service|Authentication failed for|could not read Username": (
                f"Git cannot sign in to {where}: run `az login`, or push once by hand with `git push origin {BRANCH}`"
            ),
            **GIT_REMEDIES,
        }


def _because(failure: CommandError) -> str:
    text = message(failure)
    return f" ({text.rstrip('.')})" if text else ""


def _is_own_credential(connection: str, name: str, credential: Credential) -> bool:
    """Return whether a credential is one that trusts a service connection of Azure DevOps, under our name for it."""
    return name == steps.credential_name(connection) and bool(re.search(r"/sc/|^sc://", credential.subject))
