"""What `mlops bootstrap` makes in Azure DevOps; a step looks there for its own state."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from mlops.errors import CommandError, UserError
from mlops.orchestration.azure_devops.api import AREA_NAMESPACE, ENVIRONMENT_ROLES, GIT_NAMESPACE
from mlops.orchestration.azure_devops.names import FOLDER
from mlops.orchestration.checkout import BRANCH
from mlops.subscription.account import write_document
from mlops.subscription.steps import (
    ATTEMPTS,
    BOOTSTRAP_TAGS,
    PAUSE_SECONDS,
    Credential,
    Identity,
    RemovableStep,
    SkippedError,
    Step,
)

if TYPE_CHECKING:
    from mlops.orchestration.azure_devops.repository import AzureRepos

# There are no tags: the description records that `bootstrap` made something.
MARK = BOOTSTRAP_TAGS["created_by"]

NOT_PUSHED = f"{BRANCH} is not in Azure DevOps yet: push it and run this again"
GATE, FIRST = "pull-request", "infrastructure"
WAIT_DAYS = 30
ABSENT = (
    r"could not be found\. The (environment|service connection|pool)|has not been authorized|not authorized for use"
)
"""The words with which a run is refused that names what is not there, or what it may not use."""


class Kind(NamedTuple):
    """A kind of thing that a pipeline may or may not use: what the API calls it, and what people do."""

    api: str
    word: str


ENVIRONMENT, CONNECTION, POOL = (
    Kind("environment", "environment"),
    Kind("endpoint", "connection"),
    Kind("queue", "pool"),
)


class Guard(NamedTuple):
    """A check that a run must pass before it may use something: its name in the plan, its type, its definition."""

    word: str
    type: str
    definition: str = ""


APPROVAL = Guard("approval by you", "8c6f20a7-a545-4486-9777-f762fafe0d4d")
BRANCHES = Guard(f"{BRANCH} only", "fe1de3ee-a436-41b4-bb20-f6eb4cb879a7", "86b05a0c-73e6-4f7d-b3cf-e38f3b39a75b")
LOCK = Guard("one run at a time", "2ef31ad6-baa0-403a-8b45-2cbc9b4e5563")
BUILD_POLICY = "0609b952-1397-4640-95ec-e00a01b2c241"

# Rights on a repository: contribute, make a branch, contribute to pull requests.
PUSH_AND_COMMENT = 4 + 16 + 16384
# Rights on an area: read it, read and write the work items in it.
WRITE_WORK_ITEMS = 1 + 16 + 32


def guards(*, approved: bool) -> tuple[Guard, ...]:
    """Return the checks of an environment."""
    return (BRANCHES, *((APPROVAL,) if approved else ()), LOCK)


def credential_name(connection: str) -> str:
    """Return the name of the federated credential for a service connection."""
    return f"azure-devops-{connection}"


@dataclass
class DevOpsProject(Step):
    """The project of Azure DevOps, which may hold other repositories; it stays."""

    devops: "AzureRepos"

    @property
    def name(self) -> str:
        """The project's name."""
        return f"project {self.devops.address.project} in {self.devops.address.organisation}"

    def done(self) -> bool:
        """Return whether there is such a project."""
        return self.devops.project is not None

    def make(self) -> None:
        """Create it."""
        address = self.devops.address
        more = ("--source-control", "git", "--visibility", "private", "--output", "none")
        place = ("--name", address.project, "--organization", address.organisation_url)
        self.devops.run("az", "devops", "project", "create", *place, *more)


@dataclass
class Repository(Step):
    """The repository, as the remote `origin`; it stays."""

    devops: "AzureRepos"

    @property
    def name(self) -> str:
        """The repository's name."""
        return f"repository {self.devops.name}"

    def done(self) -> bool:
        """Return whether it exists and is the remote."""
        return bool(self.devops.remote) and self.devops.repository is not None

    def make(self) -> None:
        """Create what is missing: the repository, the remote."""
        devops = self.devops
        if devops.repository is None:
            devops.run("az", "repos", "create", "--name", devops.address.repository, *devops.scope, "--output", "none")
        if not devops.remote:
            devops.run("git", "remote", "add", "origin", devops.address.clone_url)
            devops.forget_remote()


@dataclass
class Environment(RemovableStep):
    """What the approvals and the lock of an environment belong to, and the history of its deployments."""

    devops: "AzureRepos"
    environment: str

    @property
    def name(self) -> str:
        """The environment's name."""
        return f"Azure DevOps environment {self.environment}"

    def done(self) -> bool:
        """Return whether there is such an environment."""
        return self.devops.find_environment(self.environment) is not None

    def make(self) -> None:
        """Create it: a run fails that names what is not there."""
        document = {"name": self.environment, "description": MARK}
        self.devops.change("post", "_apis/pipelines/environments", document, title=f"environment {self.environment}")

    def removable(self) -> bool:
        """Return whether `bootstrap` made it."""
        return (self.devops.find_environment(self.environment) or {}).get("description") == MARK

    def remove(self) -> None:
        """Delete it, and its checks and permissions with it."""
        found = self.devops.find_environment(self.environment) or {"id": "ENVIRONMENT_ID"}
        self.devops.change("delete", f"_apis/pipelines/environments/{found['id']}")


@dataclass
class Connection(RemovableStep):
    """A service connection: the name under which pipelines sign in to Azure as an identity, without a secret."""

    devops: "AzureRepos"
    connection: str
    identity: Identity

    @property
    def name(self) -> str:
        """The connection and the identity."""
        return f"service connection {self.connection} for {self.identity.name}"

    def done(self) -> bool:
        """Return whether it exists and signs in as the identity."""
        found = self._find()
        if found is None or self._fits(found):
            return found is not None
        if found.get("description") != MARK:
            raise UserError(
                f"the service connection {self.connection} signs in as another identity: delete it in the settings of "
                f"{self.devops.address.project}, or rename it"
            )
        return False

    def make(self) -> None:
        """Create it, or let it sign in as the identity that there is now; its own id, which is trusted, stays."""
        found = self._find()
        if found is None:
            file = write_document(self.devops.cloud.shell, f"connection-{self.connection}", self._document())
            create = ("az", "devops", "service-endpoint", "create", "--service-endpoint-configuration", file)
            self.devops.run(*create, *self.devops.scope, "--output", "none")
            return
        path = f"_apis/serviceendpoint/endpoints/{found['id']}"
        document = {"id": found["id"], **self._document()}
        self.devops.change("put", path, document, title=f"connection {self.connection}", of="organisation")

    def removable(self) -> bool:
        """Return whether `bootstrap` made it."""
        return (self._find() or {}).get("description") == MARK

    def remove(self) -> None:
        """Delete it."""
        found = self._find() or {"id": "CONNECTION_ID"}
        delete = ("az", "devops", "service-endpoint", "delete", "--id", found["id"], "--yes")
        self.devops.run(*delete, *self.devops.scope, "--output", "none")

    def credentials(self) -> Mapping[str, Credential]:
        """Return what it signs in with; a connection that does not exist yet has nothing that is trusted.

        Raises:
            UserError: It signs in in another way.
        """
        name = credential_name(self.connection)
        if self.devops.undo or self.devops.cloud.dry_run:
            return {name: Credential("ISSUER_OF_THE_CONNECTION", "SUBJECT_OF_THE_CONNECTION")}
        found = self._find()
        if found is None:
            return {name: Credential("", "")}
        return {name: federation(found)}

    def _find(self) -> Any:
        return self.devops.find_connection(self.connection)

    def _fits(self, found: dict[str, Any]) -> bool:
        own = self.devops.cloud.account.subscription
        if (other := (found.get("data") or {}).get("subscriptionId", own)) != own:
            raise UserError(
                f"the service connection {self.connection} is for subscription {other}, and you are in {own}: run "
                f"`az account set --subscription {other}`, or delete the connection first"
            )
        # It holds the id of the identity that it was made for, which another identity of that name does not have.
        return parameters(found).get("serviceprincipalid") == self.identity.client

    def _document(self) -> dict[str, Any]:
        account, address = self.devops.cloud.account, self.devops.address
        project = {"id": self.devops.ids[0], "name": address.project}
        return {
            "name": self.connection,
            "description": MARK,
            "type": "AzureRM",
            "url": "https://management.azure.com/",
            "authorization": {
                "scheme": "WorkloadIdentityFederation",
                "parameters": {"tenantid": account.tenant, "serviceprincipalid": self.identity.client},
            },
            "data": {
                "subscriptionId": account.subscription,
                "subscriptionName": account.name,
                "environment": "AzureCloud",
                "scopeLevel": "Subscription",
                "creationMode": "Manual",
            },
            "isShared": False,
            "isReady": True,
            "serviceEndpointProjectReferences": [
                {"projectReference": project, "name": self.connection, "description": MARK}
            ],
        }


def parameters(connection: Mapping[str, Any]) -> dict[str, str]:
    """Return the parameters of a service connection by their names in lower case, as their spelling varies."""
    found = (connection.get("authorization") or {}).get("parameters") or {}
    return {key.lower(): value for key, value in found.items()}


def federation(connection: Mapping[str, Any]) -> Credential:
    """Return issuer and subject of a service connection, which nothing but the connection itself can tell.

    Raises:
        UserError: It has none.
    """
    found = parameters(connection)
    issuer, subject = (found.get(f"workloadidentityfederation{each}", "") for each in ("issuer", "subject"))
    if not (issuer and subject):
        raise UserError(
            f"the service connection {connection['name']} has no workload identity federation: delete it in the "
            "settings of the project in Azure DevOps, and run `mlops bootstrap` again"
        )
    return Credential(issuer, subject)


@dataclass
class Pipelines(RemovableStep):
    """The pipelines, one for each file, in a folder of the project's own; none is run when it is made."""

    devops: "AzureRepos"

    @property
    def name(self) -> str:
        """The pipelines' names."""
        return f"pipelines {', '.join(self.devops.names.pipelines)} in folder {self.devops.names.prefix}"

    def done(self) -> bool:
        """Return whether there is one for each file."""
        return not self._missing()

    def make(self) -> None:
        """Create those that are missing."""
        devops, dry_run = self.devops, self.devops.cloud.dry_run
        if not dry_run and devops.branch(BRANCH) is None:
            raise SkippedError(f"there are no pipelines, because {NOT_PUSHED}")
        if dry_run or not self._folders():
            folder = ("--path", devops.folder, "--description", MARK)
            devops.run("az", "pipelines", "folder", "create", *folder, *devops.scope, "--output", "none")
        source = ("--repository", devops.address.repository, "--repository-type", "tfsgit", "--branch", BRANCH)
        more = ("--description", MARK, "--skip-first-run", "true", *devops.scope, "--output", "none")
        for name in self._missing():
            if name in devops.pipelines():  # of the repository that was here before
                self._delete(devops.pipelines()[name]["id"])
            place = ("--name", name, "--folder-path", devops.folder, "--yml-path", f"{FOLDER}/{name}.yml")
            devops.run("az", "pipelines", "create", *place, *source, *more)

    def removable(self) -> bool:
        """Return whether `bootstrap` made some, or their folder, and no other environment needs them."""
        return bool(self._own() or self._own_folder()) and not self.devops.used_elsewhere()

    def remove(self) -> None:
        """Delete those that `bootstrap` made, and their folder when nothing else is in it."""
        devops, kept = self.devops, []
        own = self._own() or ({"": "PIPELINE_ID"} if devops.cloud.dry_run else {})
        for name, number in own.items():
            try:
                self._delete(number)
            except CommandError as failure:
                if "retained" not in failure.output:
                    raise
                kept.append(name)
        if not devops.pipelines() and (self._own_folder() or devops.cloud.dry_run):
            delete = ("az", "pipelines", "folder", "delete", "--path", devops.folder, "--yes")
            devops.run(*delete, *devops.scope, "--output", "none")
        if kept:
            raise SkippedError(f"pipelines {', '.join(kept)} stay: some of their runs are retained")

    def _delete(self, number: object) -> None:
        delete = ("az", "pipelines", "delete", "--id", str(number), "--yes")
        self.devops.run(*delete, *self.devops.scope, "--output", "none")

    def _missing(self) -> list[str]:
        known = {} if self.devops.cloud.dry_run else own_pipelines(self.devops)
        return [name for name in self.devops.names.pipelines if name not in known]

    def _own(self) -> dict[str, Any]:
        return {name: each["id"] for name, each in self.devops.pipelines().items() if each.get("description") == MARK}

    def _folders(self) -> list[dict[str, Any]]:
        if self.devops.project is None:
            return []
        found = self.devops.api.items(f"_apis/build/folders/{quote(self.devops.folder)}")
        return [each for each in found if each["path"] == self.devops.folder]

    def _own_folder(self) -> bool:
        return any(each.get("description") == MARK for each in self._folders())


def own_pipelines(devops: "AzureRepos") -> dict[str, dict[str, Any]]:
    """Return the pipelines in the project's folder that run the project's repository, by name."""
    return {name: each for name, each in devops.pipelines().items() if other_repository(devops, each) is None}


def other_repository(devops: "AzureRepos", pipeline: Mapping[str, Any]) -> str | None:
    """Return the name of the repository that a pipeline runs, empty for one that is gone; None if it is the project's.

    A repository that was deleted and made again has the same name and another id.
    """
    number = str((pipeline.get("repository") or {}).get("id") or "")
    if not number or not devops.repository or number.lower() == devops.ids[1].lower():
        return None
    return str((devops.api.get(f"_apis/git/repositories/{number}") or {"name": ""})["name"])


@dataclass
class Permission(Step):
    """The right of pipelines to use something; without it a run stops and waits for a click."""

    devops: "AzureRepos"
    kind: Kind
    resource: str
    pipelines: Sequence[str]

    @property
    def name(self) -> str:
        """What is used, and by which pipelines."""
        return f"use of {self.kind.word} {self.resource}: {', '.join(self._wanted)}"

    def done(self) -> bool:
        """Return whether all may use it."""
        number = identifier(self.devops, self.kind, self.resource)
        if not number:
            return False
        known = own_pipelines(self.devops)
        if any(name not in known for name in self._wanted):
            return False
        found = permitted(self.devops, self.kind, number)
        return found is None or all(known[name]["id"] in found for name in self._wanted)

    def make(self) -> None:
        """Permit it to each of them."""
        devops = self.devops
        number = identifier(devops, self.kind, self.resource)
        known = devops.pipelines()
        if not devops.cloud.dry_run:
            if not number:
                raise SkippedError(f"no pipeline may use {self.kind.word} {self.resource}, because there is none")
            if missing := [name for name in self._wanted if name not in known]:
                raise SkippedError(f"{', '.join(missing)} may not use {self.kind.word} {self.resource}: {NOT_PUSHED}")
        ids = [known[name]["id"] if name in known else f"ID_OF_{name.upper()}" for name in self._wanted]
        document = {"pipelines": [{"id": each, "authorized": True} for each in ids]}
        place = f"{self.kind.api}/{number or f'{self.kind.word.upper()}_ID'}"
        title = f"use of {self.kind.word} {self.resource}"
        devops.change("patch", f"_apis/pipelines/pipelinepermissions/{place}", document, title=title)

    def waiting(self) -> list[str]:
        """Return the pipelines that are there and may not use it."""
        number, known = identifier(self.devops, self.kind, self.resource), self.devops.pipelines()
        found = permitted(self.devops, self.kind, number) if number else set()
        return [name for name in self._wanted if found is not None and name in known and known[name]["id"] not in found]

    @property
    def _wanted(self) -> list[str]:
        return [name for name in self.pipelines if name in self.devops.names.pipelines]


def identifier(devops: "AzureRepos", kind: Kind, name: str) -> str:
    """Return the id of what a pipeline may use, empty when there is no such thing."""
    find = {ENVIRONMENT: devops.find_environment, CONNECTION: devops.find_connection, POOL: devops.find_pool}
    return str((find[kind](name) or {"id": ""})["id"])


def permitted(devops: "AzureRepos", kind: Kind, number: str) -> set[int] | None:
    """Return the pipelines that may use something, None when all may."""
    found = devops.api.get(f"_apis/pipelines/pipelinepermissions/{kind.api}/{number}") or {}
    if (found.get("allPipelines") or {}).get("authorized"):
        return None
    return {each["id"] for each in found.get("pipelines") or () if each.get("authorized")}


@dataclass
class Checks(Step):
    """What a run has to pass before it may use something; what a person set there stays."""

    devops: "AzureRepos"
    kind: Kind
    resource: str
    wanted: Sequence[Guard]

    @property
    def name(self) -> str:
        """What is guarded, and how."""
        return f"checks of {self.kind.word} {self.resource}: {', '.join(guard.word for guard in self.wanted)}"

    def done(self) -> bool:
        """Return whether each kind of check is there."""
        missing = self._missing()
        if missing == [APPROVAL] and not self._is_person:
            raise SkippedError(self._unapproved)
        return not missing

    def make(self) -> None:
        """Add those that are missing."""
        devops = self.devops
        number = identifier(devops, self.kind, self.resource) or f"{self.kind.word.upper()}_ID"
        resource = {"type": self.kind.api, "id": number, "name": self.resource}
        missing = self._missing()
        for guard in missing:
            if guard == APPROVAL and not self._is_person:
                continue
            document = {
                "type": {"id": guard.type},
                "settings": self._settings(guard),
                "resource": resource,
                "timeout": 60 * 24 * WAIT_DAYS,
            }
            title = f"check of {self.kind.word} {self.resource} {guard.word}"
            devops.change("post", "_apis/pipelines/checks/configurations", document, title=title)
        if APPROVAL in missing and not self._is_person:
            raise SkippedError(self._unapproved)

    @property
    def _is_person(self) -> bool:
        return self.devops.cloud.account.user_type == "user"

    @property
    def _unapproved(self) -> str:
        return (
            f"{self.resource} is changed without approval, because a service is signed in and cannot approve: add an "
            "approval in the environment's settings, or let a person run this. Until then a model reaches a protected "
            "environment only by a manual run of deliver with its version and hash typed"
        )

    def _missing(self) -> list[Guard]:
        number = identifier(self.devops, self.kind, self.resource)
        found = guards_of(self.devops, self.kind, number) if number else []
        return [guard for guard in self.wanted if guard not in found]

    def _settings(self, guard: Guard) -> dict[str, Any]:
        if guard == APPROVAL:
            return {
                "approvers": [{"id": self.devops.user["id"]}],
                "minRequiredApprovers": 1,
                "requesterCannotBeApprover": False,
                "instructions": "The name and the summary of the run have version and hash of the model.",
            }
        if guard == BRANCHES:
            return {
                "displayName": f"{BRANCH} only",
                "definitionRef": {"id": guard.definition, "name": "evaluatebranchProtection", "version": "0.0.1"},
                "inputs": {
                    "allowedBranches": f"refs/heads/{BRANCH}",
                    "ensureProtectionOfBranch": "true",
                    "allowUnknownStatusBranch": "false",
                },
            }
        return {}


@dataclass
class PoolChecks(Checks, RemovableStep):
    """The checks of a pool of agents, which stays when they go; other things take theirs with them."""

    def make(self) -> None:
        """Add those that are missing; that there is no pool, the permission to use it says."""
        if self.devops.cloud.dry_run or self.devops.find_pool(self.resource):
            super().make()

    def removable(self) -> bool:
        """Return whether there are some as `bootstrap` adds them."""
        return bool(self._own())

    def remove(self) -> None:
        """Delete these."""
        own = ["CHECK_ID"] if self.devops.cloud.dry_run else self._own()
        for number in own:
            self.devops.change("delete", f"_apis/pipelines/checks/configurations/{number}")

    def _own(self) -> list[object]:
        number = identifier(self.devops, self.kind, self.resource)
        found = configurations(self.devops, self.kind, number) if number else []
        names = [self._settings(guard).get("displayName") for guard in known_guards(found) if guard in self.wanted]
        return [each["id"] for each in found if (each.get("settings") or {}).get("displayName", "") in names]


def guards_of(devops: "AzureRepos", kind: Kind, number: str) -> list[Guard]:
    """Return which of our kinds of checks something has."""
    return known_guards(configurations(devops, kind, number))


def configurations(devops: "AzureRepos", kind: Kind, number: str) -> list[dict[str, Any]]:
    """Return all checks of something."""
    wanted = {"resourceType": kind.api, "resourceId": number, "$expand": "settings"}
    return devops.api.items("_apis/pipelines/checks/configurations", wanted)


def known_guards(configurations: Sequence[Mapping[str, Any]]) -> list[Guard]:
    """Return which of our kinds of checks are among those of an answer; one that is switched off lets all pass."""
    found = []
    for each in configurations:
        if each.get("isDisabled"):
            continue
        definition = ((each.get("settings") or {}).get("definitionRef") or {}).get("id", "")
        found += [
            guard
            for guard in (APPROVAL, BRANCHES, LOCK)
            if each["type"]["id"] == guard.type and guard.definition in ("", definition)
        ]
    return found


@dataclass
class Policy(RemovableStep):
    """The policy of main: a pull request, whose pipeline has passed."""

    devops: "AzureRepos"
    name = f"policy of {BRANCH}: a pull request, and its pipeline passed"

    def done(self) -> bool:
        """Return whether the pipeline has to pass."""
        return bool(self._find())

    def make(self) -> None:
        """Add the policy, or switch it on again; any policy lets changes in through pull requests alone."""
        devops = self.devops
        if off := self._all():
            document = {"isEnabled": True, "isBlocking": True, "type": off[0]["type"], "settings": off[0]["settings"]}
            devops.change("put", f"_apis/policy/configurations/{off[0]['id']}", document, title=self.name)
            return
        known = devops.pipelines()
        if not devops.cloud.dry_run and GATE not in known:
            raise SkippedError(f"{BRANCH} has no policy, because {NOT_PUSHED}")
        number = str(known[GATE]["id"]) if GATE in known else "ID_OF_PULL_REQUEST"
        rules = {
            "--repository-id": devops.ids[1],
            "--branch": BRANCH,
            "--build-definition-id": number,
            "--display-name": f"{devops.names.prefix}: {GATE}",
            "--blocking": "true",
            "--enabled": "true",
            "--manual-queue-only": "false",
            "--queue-on-source-update-only": "true",
            "--valid-duration": "720",
        }
        options = [word for pair in rules.items() for word in pair]
        devops.run("az", "repos", "policy", "build", "create", *options, *devops.scope, "--output", "none")

    def removable(self) -> bool:
        """Return whether there is one that no other environment needs."""
        return bool(self._all()) and not self.devops.used_elsewhere()

    def remove(self) -> None:
        """Delete it, switched on or off: its pipeline goes, and without it no request would ever pass."""
        devops = self.devops
        for each in self._all() or [{"id": "POLICY_ID"}]:
            delete = ("az", "repos", "policy", "delete", "--policy-id", str(each["id"]), "--yes")
            devops.run(*delete, *devops.scope, "--output", "none")

    def _find(self) -> Any:
        gate = self.devops.pipelines().get(GATE)
        return policy(self.devops, gate["id"]) if gate else None

    def _all(self) -> list[dict[str, Any]]:
        gate = self.devops.pipelines().get(GATE)
        return policies(self.devops, gate["id"]) if gate else []


def policy(devops: "AzureRepos", pipeline: int) -> Any:
    """Return the policy of main that requires a pipeline to pass, None without one."""
    return next((each for each in policies(devops, pipeline) if each["isEnabled"] and each["isBlocking"]), None)


def policies(devops: "AzureRepos", pipeline: int) -> list[dict[str, Any]]:
    """Return the policies of main that name a pipeline, those that are switched off, too."""
    wanted = {"repositoryId": devops.ids[1], "refName": f"refs/heads/{BRANCH}", "policyType": BUILD_POLICY}
    found = devops.api.items("_apis/git/policy/configurations", wanted) if devops.repository else []
    return [each for each in found if str(each["settings"].get("buildDefinitionId")) == str(pipeline)]


def has_run(devops: "AzureRepos", pipeline: str = "") -> bool:
    """Return whether a pipeline of the project has run, or any of them."""
    ids = [str(each["id"]) for name, each in own_pipelines(devops).items() if pipeline in ("", name)]
    wanted = {"definitions": ",".join(ids), "$top": 1}
    return bool(ids) and bool(devops.api.items("_apis/build/builds", wanted))


@dataclass
class FirstRun(Step):
    """The first run, which builds the first environment, and without which the account of the pipelines is missing."""

    devops: "AzureRepos"

    @property
    def name(self) -> str:
        """The pipeline that is started."""
        return f"first run: {' '.join((self._pipeline, *self._parameters))}"

    def done(self) -> bool:
        """Return whether it has run; where it changes nothing, whether any pipeline has."""
        return has_run(self.devops, FIRST if self._pipeline == FIRST else "")

    def make(self) -> None:
        """Start it."""
        devops = self.devops
        devops.started = False
        if not devops.cloud.dry_run and (obstacle := devops.obstacle()):
            raise SkippedError(f"nothing was started, because {obstacle}")
        known = devops.pipelines()
        number = str(known[self._pipeline]["id"]) if known else f"ID_OF_{self._pipeline.upper()}"
        more = ("--parameters", *self._parameters) if self._parameters else ()
        start = ("az", "pipelines", "run", "--id", number, "--branch", BRANCH, *more)
        devops.run(*start, *devops.scope, "--output", "none")
        devops.started = self._pipeline == FIRST

    @property
    def _pipeline(self) -> str:
        builds = self.devops.create and FIRST in self.devops.names.pipelines and self._is_first
        return FIRST if builds else GATE

    @property
    def _parameters(self) -> tuple[str, ...]:
        first = self.devops.cloud.project.first_environment
        return (f"environment={first}", "action=apply") if self._pipeline == FIRST else ()

    @property
    def _is_first(self) -> bool:
        return self.devops.cloud.project.first_environment in self.devops.environments


@dataclass
class _Rights(Step):
    """Rights of the account under which pipelines run."""

    devops: "AzureRepos"

    def _account(self) -> dict[str, Any]:
        """Return the account, which is there soon after the first run was started.

        Raises:
            SkippedError: It is still missing.
        """
        if self.devops.cloud.dry_run:
            return {"id": "ID_OF_THE_PIPELINES_ACCOUNT", "descriptor": "PIPELINES_ACCOUNT"}
        for attempt in range(ATTEMPTS):
            if account := self.devops.account():
                return dict(account)
            if attempt == 0:
                print("  the account of the pipelines is not there yet: waiting, some minutes at most", flush=True)
            if not has_run(self.devops):
                break
            time.sleep(PAUSE_SECONDS)
            self.devops.forget_answers()
        raise SkippedError(
            f"missing: {self.name}; the account of the pipelines appears with their first run: run this again then"
        )

    def _allowed(self, namespace: str, token: str) -> int:
        """Return the rights that the account has at a place itself, as bits."""
        account = self.devops.account()
        if account is None:
            return 0
        wanted = {"token": token, "descriptors": account["descriptor"]}
        found = self.devops.api.items(f"_apis/accesscontrollists/{namespace}", wanted, of="organisation")
        entries = [each for each in found if each["token"] == token]
        return sum(entry["allow"] for each in entries for entry in each["acesDictionary"].values())

    def _allow(self, namespace: str, token: str, bits: int) -> None:
        entry = {"descriptor": self._account()["descriptor"], "allow": bits, "deny": 0, "extendedInfo": {}}
        document = {"token": token, "merge": True, "accessControlEntries": [entry]}
        path = f"_apis/accesscontrolentries/{namespace}"
        self.devops.change("post", path, document, title=self.name, of="organisation")


@dataclass
class RepositoryRights(_Rights, RemovableStep):
    """The right to comment on a pull request, and to push a branch with an update of the template."""

    name = "rights of the pipelines: comment on pull requests, push a branch"

    def done(self) -> bool:
        """Return whether the account has them."""
        return self._allowed(GIT_NAMESPACE, self._token) & PUSH_AND_COMMENT == PUSH_AND_COMMENT

    def make(self) -> None:
        """Grant them, in this repository alone."""
        self._allow(GIT_NAMESPACE, self._token, PUSH_AND_COMMENT)

    def removable(self) -> bool:
        """Return whether the account has exactly these, and no other environment needs them."""
        return self._allowed(GIT_NAMESPACE, self._token) == PUSH_AND_COMMENT and not self.devops.used_elsewhere()

    def remove(self) -> None:
        """Take them back."""
        place = {"token": self._token, "descriptors": self._account()["descriptor"]}
        self.devops.change("delete", f"_apis/accesscontrolentries/{GIT_NAMESPACE}", of="organisation", place=place)

    @property
    def _token(self) -> str:
        return "repoV2/{}/{}".format(*self.devops.ids)


@dataclass
class WorkItemRights(_Rights):
    """The right to keep a work item about what has aged; it stays, since other projects here need it, too."""

    name = "rights of the pipelines: keep a work item"

    def done(self) -> bool:
        """Return whether the account has it."""
        token = self._token
        return bool(token) and self._allowed(AREA_NAMESPACE, token) & WRITE_WORK_ITEMS == WRITE_WORK_ITEMS

    def make(self) -> None:
        """Grant it."""
        self._allow(AREA_NAMESPACE, self._token, WRITE_WORK_ITEMS)

    @property
    def _token(self) -> str:
        if self.devops.cloud.dry_run:
            return "vstfs:///Classification/Node/AREA_ID"
        area = self.devops.api.get("_apis/wit/classificationnodes/areas") if self.devops.project else None
        return f"vstfs:///Classification/Node/{area['identifier']}" if area else ""


@dataclass
class ReadingRights(_Rights):
    """The right to look whether an environment has an approval; it goes with the environment."""

    environment: str

    @property
    def name(self) -> str:
        """The environment's name."""
        return f"rights of the pipelines: look at the checks of {self.environment}"

    def done(self) -> bool:
        """Return whether the account has a role there."""
        found, account = self.devops.find_environment(self.environment), self.devops.account()
        if found is None or account is None:
            return False
        roles = self.devops.api.items(self._path(found["id"]), of="organisation")
        return any(each["identity"]["id"] == account["id"] for each in roles)

    def make(self) -> None:
        """Grant the role Reader."""
        found = self.devops.find_environment(self.environment) or {"id": "ENVIRONMENT_ID"}
        document = [{"roleName": "Reader", "userId": self._account()["id"]}]
        self.devops.change("put", self._path(found["id"]), document, title=self.name, of="organisation")

    def _path(self, number: object) -> str:
        scope = f"_apis/securityroles/scopes/{ENVIRONMENT_ROLES}/roleassignments/resources"
        return f"{scope}/{self.devops.ids[0]}_{number}"
