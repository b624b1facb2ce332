"""A stand-in for Azure DevOps, as far as the engine uses it: its REST API, and the extension azure-devops of `az`.

It keeps its state in plain dictionaries and refuses what the real one refuses: a name that is taken, a check of what is
not there, a pipeline without a branch, a delete of what is retained, a right for an account that does not exist yet.
"""

import contextlib
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qsl, unquote

from azure_templates import connections, expanded, jobs, name_of

RESOURCE = "499b84ac-1321-427f-aa17-267ca6975798"
ORGANISATION, PROJECT, REPOSITORY = "my-org", "Data Science", "a-project"
HOST, ME, ACCOUNT = "organisation-id", "person-id", "account-id"
RUN = {
    "TF_BUILD": "True",
    "SYSTEM_COLLECTIONURI": "https://dev.azure.com/my-org/",
    "SYSTEM_TEAMPROJECT": PROJECT,
    "SYSTEM_ACCESSTOKEN": "token-of-the-run",
    "BUILD_REPOSITORY_ID": f"id-of-{REPOSITORY}",
    "BUILD_BUILDID": "5",
    "SYSTEM_PULLREQUEST_PULLREQUESTID": "12",
}
"""The variables of a run for a pull request."""

SETTINGS = {
    # What each kind of check must have in its settings; other spellings are ignored by the real one.
    "8c6f20a7-a545-4486-9777-f762fafe0d4d": {
        "approvers", "minRequiredApprovers", "requesterCannotBeApprover", "instructions",
    },
    "fe1de3ee-a436-41b4-bb20-f6eb4cb879a7": {"displayName", "definitionRef", "inputs"},
    "2ef31ad6-baa0-403a-8b45-2cbc9b4e5563": set(),
}  # fmt: skip
GATES = "0609b952-1397-4640-95ec-e00a01b2c241"
# As the reference of the REST API has them; without its flag, a call of what is in preview is refused.
PREVIEW = {
    "build/folders": "7.1-preview.2",
    "build/generalsettings": "7.1-preview.1",
    "connectionData": "7.1-preview.1",
    "git/policy": "7.1-preview.1",
    "pipelines/checks": "7.1-preview.1",
    "pipelines/environments": "7.2-preview.1",
    "pipelines/pipelinepermissions": "7.1-preview.1",
    "securityroles": "7.1-preview.1",
}


class RefusedError(Exception):
    """The REST API answers with this: a code, and a sentence."""

    def __init__(self, code: int, message: str) -> None:
        """Keep both."""
        super().__init__(message)
        self.code, self.message = code, message

    def __str__(self) -> str:
        """Return what `az rest` prints."""
        reason = {400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 409: "Conflict"}
        text = json.dumps({"$id": "1", "innerException": None, "message": self.message, "errorCode": 0})
        return f"ERROR: {reason[self.code]}({text})"


def refuse(condition: object, code: int, message: str) -> None:
    """Refuse a call when something is so."""
    if condition:
        raise RefusedError(code, message)


@dataclass
class FakeAzureDevOps:
    """One organisation with one project."""

    root: Path = Path()  # where the last command ran: what it pushed are the files there
    organisation: str = ORGANISATION
    project: dict[str, Any] | None = None
    repositories: dict[str, dict[str, Any]] = field(default_factory=dict)
    environments: dict[int, dict[str, Any]] = field(default_factory=dict)
    connections: dict[str, dict[str, Any]] = field(default_factory=dict)
    folders: dict[str, dict[str, Any]] = field(default_factory=dict)
    pipelines: dict[int, dict[str, Any]] = field(default_factory=dict)
    permissions: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    checks: list[dict[str, Any]] = field(default_factory=list)
    policies: dict[int, dict[str, Any]] = field(default_factory=dict)
    runs: list[dict[str, Any]] = field(default_factory=list)
    has_run: bool = False  # whether some pipeline ever ran, which its deletion does not change
    rights: dict[tuple[str, str], int] = field(default_factory=dict)  # by namespace and token
    roles: dict[str, dict[str, str]] = field(default_factory=dict)  # by environment: role by account
    pools: dict[str, list[dict[str, Any]]] = field(default_factory=dict)  # agents by pool
    timelines: dict[int, list[str]] = field(default_factory=dict)  # messages by run
    approvals: list[str | None] = field(default_factory=list)  # how those of the newest run ended
    extension: bool = True
    signed_in: bool = True
    limited: bool = True  # whether jobs may do no more than their project allows
    account_after: int = 0  # how often the account is looked for in vain once a pipeline has run
    retained: set[str] = field(default_factory=set)  # pipelines that cannot be deleted
    denied: str = ""  # a part of a path that the user may not change
    refusal: tuple[int, str] = (0, "")  # what each call of a run gets
    asked: list[str] = field(default_factory=list)  # method and path of each call
    number: int = 0
    person: str = ME  # who calls
    threads: list[dict[str, Any]] = field(default_factory=list)
    work_items: dict[int, dict[str, Any]] = field(default_factory=dict)
    states: tuple[tuple[str, str], ...] = (("To Do", "Proposed"), ("Doing", "InProgress"), ("Done", "Completed"))

    def contents(self) -> dict[str, object]:
        """Return all that can be made and removed again, without the numbers of things."""
        named = {each["name"]: key for key, each in self.environments.items()}
        names = {str(key): name for name, key in named.items()}
        names |= {each["id"]: each["name"] for each in self.connections.values()}
        pipelines = {key: each["name"] for key, each in self.pipelines.items()}
        return {
            "DevOps environments": {each["name"]: each["description"] for each in self.environments.values()},
            "connections": {
                each["name"]: each["authorization"]["parameters"]["serviceprincipalid"]
                for each in self.connections.values()
            },
            "folders": sorted(self.folders),
            "pipelines": sorted(each["name"] for each in self.pipelines.values()),
            "permissions": {
                f"{kind} {names.get(key, key)}": sorted(pipelines[each] for each in found["pipelines"])
                for (kind, key), found in self.permissions.items()
            },
            "checks": sorted(f"{each['resource']['name']} {each['type']['id']}" for each in self.checks),
            "policies": [each["settings"]["displayName"] for each in self.policies.values()],
            "repository rights": {key: bits for key, bits in self.rights.items() if key[1].startswith("repoV2")},
            "environment roles": {names[key.split("_")[1]]: roles for key, roles in self.roles.items()},
        }

    def take_number(self) -> int:
        """Return a new number."""
        self.number += 1
        return self.number

    # What the tests set up.

    def create_project(self) -> None:
        """Make the project, with the repository that comes with it."""
        self.project = {"id": "project-id", "name": PROJECT, "state": "wellFormed"}
        self.create_repository(PROJECT)

    def create_repository(self, name: str) -> dict[str, Any]:
        """Make a repository."""
        refuse(name in self.repositories, 409, f"TF400948: A Git repository with the name {name} already exists.")
        found = {"id": f"id-of-{name}", "name": name, "branches": {}}
        return self.repositories.setdefault(name, found)

    def push(self, remote: str, head: str) -> str:
        """Push main; return an error of Git, empty without one."""
        name = unquote(remote.rsplit("/", 1)[1])
        if name not in self.repositories:
            return "TF401019: The Git repository does not exist"
        branches = self.repositories[name]["branches"]
        if not head.startswith(branches.get("main", "")):
            return " ! [rejected] main -> main (fetch first)"
        branches["main"] = head
        return ""

    # The REST API.

    def call(self, method: str, url: str, parameters: Mapping[str, str], document: Any) -> Any:
        """Answer a call.

        Raises:
            RefusedError: As the real one would.
        """
        host, organisation, path = re.fullmatch(r"https://([\w.]+)/([^/]+)/(.*)", url).groups()  # type: ignore[union-attr]
        self.asked.append(f"{method.upper()} {unquote(path)}")
        refuse(organisation != self.organisation, 404, "The resource cannot be found.")
        if not self.signed_in:
            return "<html>Sign in</html>"
        scope, _, rest = path.rpartition("_apis/")
        version = next((each for start, each in PREVIEW.items() if rest.startswith(start)), "7.1")
        refuse(parameters["api-version"] != version, 400, "The requested version of the resource is under preview.")
        refuse(host != ("vssps.dev.azure.com" if rest == "identities" else "dev.azure.com"), 404, "no such host")
        refuse(self.denied and self.denied in rest and method != "get", 403, "TF401027: You need a permission.")
        if scope:
            missing = (
                f"TF200016: The following project does not exist: {unquote(scope)}. Verify that the name is right."
            )
            refuse(self.project is None or unquote(scope.strip("/")) != PROJECT, 404, missing)
        parts = [unquote(part) for part in rest.split("/")]
        for size in (3, 2, 1):
            name = "_".join(parts[:size]).replace("-", "_").lower()
            answer: Callable[..., Any] | None = getattr(self, f"on_{name}", None)
            if answer:
                return answer(method, parts[size:], parameters, document)
        raise RefusedError(404, f"no such path: {rest}")

    def on_connectiondata(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        return {"instanceId": HOST, "authenticatedUser": {"id": self.person, "providerDisplayName": "Ada Lovelace"}}

    def on_projects(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        missing = f"TF200016: The following project does not exist: {rest[0]}."
        refuse(self.project is None or rest[0] != PROJECT, 404, missing)
        return self.project

    def on_git_repositories(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        found = next((each for each in self.repositories.values() if rest[0] in (each["id"], each["name"])), None)
        refuse(found is None, 404, f"TF401019: The Git repository with name or identifier {rest[0]} does not exist.")
        assert found is not None
        if rest[1:] == ["refs"]:
            return {"value": [{"name": f"refs/heads/{name}"} for name in found["branches"]]}
        if rest[1:2] == ["pullRequests"]:
            assert rest[2:4] == ["12", "threads"]
            return self.answer_threads(method, rest[4:], document)
        return {key: found[key] for key in ("id", "name")}

    def answer_threads(self, method: str, rest: list[str], document: Any) -> Any:
        """Answer a call about the threads of comments under pull request 12."""
        if method == "get":
            return {"value": self.threads}
        if method == "post":
            assert document.keys() == {"comments", "status"}
            (comment,) = document["comments"]
            return self.comment(comment["content"], self.person)
        thread, what, number = rest
        assert what == "comments"
        (found,) = [
            each
            for there in self.threads
            for each in there["comments"]
            if (str(there["id"]), str(each["id"])) == (thread, number)
        ]
        if method == "delete":
            found["isDeleted"], found["content"] = True, None
            return None
        assert document.keys() == {"content"}
        refuse(len(document["content"]) > 150_000, 400, "The comment is too long.")
        found["content"] = document["content"]
        return found

    def comment(self, text: str, author: str | None) -> dict[str, Any]:
        """Begin a thread with a comment."""
        refuse(not 0 < len(text) <= 150_000, 400, "The comment is too long.")
        first = {"id": 1, "content": text, "author": {"id": author} if author else None}
        self.threads.append({"id": self.take_number(), "comments": [first]})
        return self.threads[-1]

    def on_git_policy_configurations(
        self, method: str, rest: list[str], given: Mapping[str, str], document: Any
    ) -> Any:
        wanted = (given["repositoryId"], given["refName"], given["policyType"])
        found = []
        for each in self.policies.values():
            (scope,) = each["settings"]["scope"]
            if (scope["repositoryId"], scope["refName"], each["type"]["id"]) == wanted:
                found.append(each)
        return {"value": found}

    def on_policy_configurations(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        assert method == "put"
        assert document.keys() == {"isEnabled", "isBlocking", "type", "settings"}
        refuse(int(rest[0]) not in self.policies, 404, "The policy does not exist.")
        self.policies[int(rest[0])] |= document
        return self.policies[int(rest[0])]

    def on_pipelines_environments(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        if method == "post":
            assert document.keys() == {"name", "description"}
            taken = [each["name"] for each in self.environments.values()]
            refuse(document["name"] in taken, 409, "Environment with the name already exists.")
            number = self.take_number()
            self.environments[number] = {"id": number, **document}
            return self.environments[number]
        if method == "delete":
            number = int(rest[0])
            refuse(number not in self.environments, 404, "Environment with the ID does not exist.")
            del self.environments[number]
            self.forget("environment", rest[0])
            self.roles.pop(f"project-id_{number}", None)
            return None
        return {"value": [each for each in self.environments.values() if given["name"] in each["name"]]}

    def forget(self, kind: str, number: str) -> None:
        """Delete what belongs to a resource."""
        self.permissions.pop((kind, number), None)
        self.checks = [each for each in self.checks if each["resource"]["id"] != number]

    def on_serviceendpoint_endpoints(
        self, method: str, rest: list[str], given: Mapping[str, str], document: Any
    ) -> Any:
        if method == "put":
            refuse(rest[0] not in self.connections, 404, "The service connection does not exist.")
            return self.save_connection(rest[0], document)
        return {"value": [each for each in self.connections.values() if each["name"] == given["endpointNames"]]}

    def save_connection(self, number: str, document: Any) -> Any:
        """Keep a connection as it was sent, with what Azure DevOps adds to it."""
        (reference,) = document["serviceEndpointProjectReferences"]
        assert reference["projectReference"] == {"id": "project-id", "name": PROJECT}
        assert document["authorization"]["scheme"] == "WorkloadIdentityFederation"
        assert document["data"]["creationMode"] == "Manual"
        known = document["authorization"]["parameters"]
        assert known.keys() == {"tenantid", "serviceprincipalid"}
        added = {
            "workloadIdentityFederationIssuer": f"https://login.microsoftonline.com/{known['tenantid']}/v2.0",
            "workloadIdentityFederationSubject": f"/eid1/c/pub/t/x/a/y/sc/{HOST}/{number}",
        }
        authorization = {**document["authorization"], "parameters": {**known, **added}}
        self.connections[number] = {**document, "id": number, "authorization": authorization}
        return self.connections[number]

    def on_distributedtask_queues(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        pools = list(self.pools)
        return {
            "value": [
                {"id": 100 + pools.index(name), "name": name, "pool": {"id": 200 + pools.index(name)}}
                for name in pools
                if name == given["queueName"]
            ]
        }

    def on_distributedtask_pools(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        number, what = rest
        assert what == "agents"
        return {"value": list(self.pools.values())[int(number) - 200]}

    def on_build_definitions(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        assert given["includeAllProperties"] == "true"
        return {"value": [each for each in self.pipelines.values() if each["path"] == given["path"]]}

    def on_build_folders(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        return {"value": [each for path, each in self.folders.items() if path == rest[0]]}

    def on_build_builds(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        if rest[1:] == ["timeline"]:
            issues = [{"message": text} for text in self.timelines.get(int(rest[0]), ())]
            waits = [{"type": "Checkpoint.Approval", "result": each} for each in self.approvals]
            return {"records": [{"issues": None}, {"issues": issues}, *waits]}
        wanted = [int(each) for each in given["definitions"].split(",")]
        return {"value": [each for each in self.runs if each["definition"]["id"] in wanted]}

    def on_build_generalsettings(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        return {"enforceJobAuthScope": self.limited}

    def on_pipelines_pipelinepermissions(
        self, method: str, rest: list[str], given: Mapping[str, str], document: Any
    ) -> Any:
        kind, number = rest
        known = {
            "environment": {str(each) for each in self.environments},
            "endpoint": {*self.connections},
            "queue": {str(100 + index) for index in range(len(self.pools))},
        }
        refuse(number not in known[kind], 404, f"The {kind} does not exist.")
        found = self.permissions.setdefault((kind, number), {"all": False, "pipelines": []})
        if method == "patch":
            for each in document["pipelines"]:
                refuse(each["id"] not in self.pipelines, 404, "The pipeline does not exist.")
                if each["authorized"] and each["id"] not in found["pipelines"]:
                    found["pipelines"].append(each["id"])
        elif not found["pipelines"] and not found["all"]:
            del self.permissions[kind, number]
        listed = [{"id": each, "authorized": True} for each in found["pipelines"]]
        return {"allPipelines": {"authorized": True} if found["all"] else None, "pipelines": listed}

    def on_pipelines_checks_configurations(
        self, method: str, rest: list[str], given: Mapping[str, str], document: Any
    ) -> Any:
        if method == "post":
            assert document.keys() == {"type", "settings", "resource", "timeout"}
            kind, number = document["resource"]["type"], document["resource"]["id"]
            there = {**{str(key): each for key, each in self.environments.items()}, **self.connections}
            there |= {str(100 + index): {"name": name} for index, name in enumerate(self.pools)}
            refuse(number not in there, 404, f"The {kind} does not exist.")
            assert there[number]["name"] == document["resource"]["name"]
            assert document["settings"].keys() == SETTINGS[document["type"]["id"]]
            added = {"retryInterval": 5} if "inputs" in document["settings"] else {}
            self.checks.append({"id": self.take_number(), **document, "settings": document["settings"] | added})
            return self.checks[-1]
        if method == "delete":
            self.checks = [each for each in self.checks if str(each["id"]) != rest[0]]
            return None
        wanted = (given["resourceType"], given["resourceId"])
        found = [each for each in self.checks if (each["resource"]["type"], each["resource"]["id"]) == wanted]
        if given.get("$expand") != "settings":
            found = [{key: value for key, value in each.items() if key != "settings"} for each in found]
        return {"value": found}

    def account(self) -> dict[str, Any] | None:
        """Return the account of the pipelines, which the first run makes."""
        if not self.has_run:
            return None
        if self.account_after:
            self.account_after -= 1
            return None
        scope = "project-id" if self.limited else HOST
        return {"id": ACCOUNT, "descriptor": f"Microsoft.TeamFoundation.ServiceIdentity;{HOST}:Build:{scope}"}

    def on_identities(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        assert given["searchFilter"] == "AccountName"
        found = self.account()
        return {"value": [found] if found and found["descriptor"].endswith(f":{given['filterValue']}") else []}

    def on_accesscontrollists(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        bits = self.rights.get((rest[0], given["token"]))
        if bits is None:
            return {"value": []}
        entry = {"descriptor": given["descriptors"], "allow": bits, "deny": 0}
        return {"value": [{"token": given["token"], "acesDictionary": {given["descriptors"]: entry}}]}

    def on_accesscontrolentries(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        found = self.account()
        assert found is not None
        if method == "delete":
            assert given["descriptors"] == found["descriptor"]
            del self.rights[rest[0], given["token"]]
            return True
        (entry,) = document["accessControlEntries"]
        refuse(entry["descriptor"] != found["descriptor"], 400, "The identity cannot be resolved.")
        assert document["merge"] is True
        key = (rest[0], document["token"])
        self.rights[key] = self.rights.get(key, 0) | entry["allow"]
        return None

    def on_securityroles_scopes(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        scope, assignments, resources, key = rest
        assert (scope, assignments, resources) == (
            "distributedtask.environmentreferencerole", "roleassignments", "resources",
        )  # fmt: skip
        assert key.startswith("project-id_")
        if method == "put":
            refuse(int(key.split("_")[1]) not in self.environments, 404, "The environment does not exist.")
            for each in document:
                assert each.keys() == {"roleName", "userId"}
                self.roles.setdefault(key, {})[each["userId"]] = each["roleName"]
        known = self.roles.get(key, {}).items()
        return {"value": [{"identity": {"id": who}, "role": {"name": role}} for who, role in known]}

    def on_wit_classificationnodes(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        assert rest == ["areas"]
        return {"identifier": "area-id"}

    def on_wit_workitemtypes(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        assert rest == ["Task", "states"]
        return {"value": [{"name": name, "category": category} for name, category in self.states]}

    def on_wit_wiql(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        query = document["query"]
        title = re.search(r"\[System\.Title\] = '((?:[^']|'')*)'", query)
        closed = re.search(r"\[System\.State\] <> '([^']*)'", query)
        assert title
        assert closed
        assert "[System.CreatedBy] = @Me" in query
        assert "[System.TeamProject] = @project" in query
        found = [
            number
            for number, each in self.work_items.items()
            if each["System.Title"] == title[1].replace("''", "'")
            and each["System.State"] != closed[1]
            and each["System.CreatedBy"] == self.person
        ]
        return {"workItems": [{"id": number} for number in found]}

    def on_wit_workitems(self, method: str, rest: list[str], given: Mapping[str, str], document: Any) -> Any:
        if method == "post":
            assert rest == ["$Task"]
            number = self.take_number()
            self.work_items[number] = {"System.State": self.states[0][0], "System.CreatedBy": self.person}
        else:
            number = int(rest[0])
        for each in document:
            assert each["op"] == "add"
            self.work_items[number][each["path"].removeprefix("/fields/").strip("/")] = each["value"]
        return {"id": number, "fields": self.work_items[number]}

    # From within a run.

    def urlopen(self, request: Any, timeout: float) -> contextlib.AbstractContextManager[io.BytesIO]:
        """Answer as `urllib.request.urlopen`, for the account of the pipelines."""
        assert request.get_header("Authorization") == "Bearer token-of-the-run"
        url, _, query = request.full_url.partition("?")
        document = json.loads(request.data) if request.data else None
        patch = request.get_header("Content-type") == "application/json-patch+json"
        assert patch == ("/wit/workitems" in url)
        self.person = ACCOUNT
        try:
            refuse(self.refusal[0], self.refusal[0] or 400, self.refusal[1])
            answer = self.call(request.get_method().lower(), url, dict(parse_qsl(query)), document)
        except RefusedError as error:
            body = io.BytesIO(json.dumps({"message": error.message}).encode())
            raise HTTPError(url, error.code, "refused", Message(), body) from error
        return contextlib.nullcontext(io.BytesIO(b"" if answer is None else json.dumps(answer).encode()))

    # The extension of `az`.

    def command(self, name: str, one: Mapping[str, str], many: Mapping[str, list[str]], document: Any) -> Any:
        """Do what a command of the extension does."""
        missing = "The command requires the extension azure-devops. Unable to prompt for extension install confirmation"
        refuse(not self.extension, 400, missing)
        assert one["--organization"] == f"https://dev.azure.com/{self.organisation}"
        words = name.removeprefix("az ").replace(" ", "_").replace("-", "_")
        refuse(self.denied and self.denied in name, 403, "TF401027: You need a permission.")
        if words != "devops_project_create":
            refuse(self.project is None or one["--project"] != PROJECT, 404, "TF200016: The project does not exist.")
        return getattr(self, f"az_{words}")(one, many, document)

    def az_devops_project_create(self, one: Mapping[str, str], many: Mapping[str, list[str]], document: Any) -> Any:
        refuse(self.project is not None, 409, "TF200019: The project already exists.")
        assert (one["--name"], one["--visibility"], one["--source-control"]) == (PROJECT, "private", "git")
        self.create_project()
        return self.project

    def az_repos_create(self, one: Mapping[str, str], many: Mapping[str, list[str]], document: Any) -> Any:
        return self.create_repository(one["--name"])

    def az_devops_service_endpoint_create(
        self, one: Mapping[str, str], many: Mapping[str, list[str]], document: Any
    ) -> Any:
        taken = [each["name"] for each in self.connections.values()]
        refuse(document["name"] in taken, 409, "Service connection with the name already exists.")
        return self.save_connection(f"connection-{self.take_number()}", document)

    def az_devops_service_endpoint_delete(
        self, one: Mapping[str, str], many: Mapping[str, list[str]], document: Any
    ) -> Any:
        refuse(one["--id"] not in self.connections, 404, "The service connection does not exist.")
        del self.connections[one["--id"]]
        self.forget("endpoint", one["--id"])
        return None

    def az_pipelines_folder_create(self, one: Mapping[str, str], many: Mapping[str, list[str]], document: Any) -> Any:
        refuse(one["--path"] in self.folders, 409, "The folder already exists.")
        self.folders[one["--path"]] = {"path": one["--path"], "description": one["--description"]}
        return self.folders[one["--path"]]

    def az_pipelines_folder_delete(self, one: Mapping[str, str], many: Mapping[str, list[str]], document: Any) -> Any:
        assert not [each for each in self.pipelines.values() if each["path"] == one["--path"]]
        del self.folders[one["--path"]]
        return None

    def az_pipelines_create(self, one: Mapping[str, str], many: Mapping[str, list[str]], document: Any) -> Any:
        assert one["--skip-first-run"] == "true"
        assert one["--repository-type"] == "tfsgit"
        refuse(one["--folder-path"] not in self.folders, 404, "The folder does not exist.")
        taken = [(each["path"], each["name"]) for each in self.pipelines.values()]
        key = (one["--folder-path"], one["--name"])
        refuse(key in taken, 409, f"Pipeline with name {one['--name']} already exists.")
        repository = self.repositories[one["--repository"]]
        branches = repository["branches"]
        refuse(one["--branch"] not in branches, 404, "The branch does not exist.")
        number = self.take_number()
        process = {"yamlFilename": one["--yml-path"], "type": 2}
        place = {"id": number, "name": one["--name"], "path": one["--folder-path"]}
        source = {"id": repository["id"], "name": repository["name"], "type": "TfsGit"}
        more = {"description": one["--description"], "process": process, "repository": source, "queueStatus": "enabled"}
        self.pipelines[number] = {**place, **more}
        return self.pipelines[number]

    def az_pipelines_delete(self, one: Mapping[str, str], many: Mapping[str, list[str]], document: Any) -> Any:
        number = int(one["--id"])
        name = self.pipelines[number]["name"]
        refuse(name in self.retained, 400, "One or more builds of the pipeline are retained and cannot be deleted.")
        used = [each for each in self.policies.values() if each["settings"]["buildDefinitionId"] == number]
        assert not used, "the test leaves a policy of a pipeline that is gone"
        del self.pipelines[number]
        self.runs = [each for each in self.runs if each["definition"]["id"] != number]
        for found in self.permissions.values():
            found["pipelines"] = [each for each in found["pipelines"] if each != number]
        return None

    def az_pipelines_run(self, one: Mapping[str, str], many: Mapping[str, list[str]], document: Any) -> Any:
        number = int(one["--id"])
        assert one["--branch"] == "main"
        given = dict(pair.split("=", 1) for pair in many.get("--parameters", []))
        self.check_resources(self.pipelines[number], given)
        self.has_run = True
        self.runs.append(
            {"id": self.take_number(), "buildNumber": "1", "definition": {"id": number}, "parameters": given}
        )
        return self.runs[-1]

    def check_resources(self, pipeline: dict[str, Any], given: Mapping[str, str]) -> None:
        """Refuse a run that names what is not there, or what its pipeline may not use, in any of its stages.

        Stages that a condition skips are among them: what counts is what is left once the templates are expanded.
        """
        document = expanded(self.root / pipeline["process"]["yamlFilename"], given, environments="")
        pools = {str(100 + index): {"name": name} for index, name in enumerate(self.pools)}
        environments = {str(key): each for key, each in self.environments.items()}
        there = {"endpoint": self.connections, "environment": environments, "queue": pools}
        for _, job in jobs(document):
            named = [("endpoint", name, "service connection") for name in connections(job)]
            named += [("environment", job["environment"], "environment")] if "environment" in job else []
            named += [("queue", job["pool"]["name"], "pool")] if "name" in job["pool"] else []
            for kind, name, word in named:
                number = next((key for key, each in there[kind].items() if each["name"] == name), "")
                allowed = self.permissions.get((kind, number), {"all": False, "pipelines": []})
                missing = (
                    f"The pipeline is not valid. Job {name_of(job)}: {word} {name} could not be found. The {word} does "
                    "not exist or has not been authorized for use. For authorization details, refer to "
                    "https://aka.ms/yamlauthz."
                )
                refuse(not number or not (allowed["all"] or pipeline["id"] in allowed["pipelines"]), 400, missing)

    def az_repos_policy_build_create(self, one: Mapping[str, str], many: Mapping[str, list[str]], document: Any) -> Any:
        number = self.take_number()
        scope = {"repositoryId": one["--repository-id"], "refName": f"refs/heads/{one['--branch']}"}
        pipeline = int(one["--build-definition-id"])
        refuse(pipeline not in self.pipelines, 400, "The pipeline does not exist.")
        settings = {"buildDefinitionId": pipeline, "displayName": one["--display-name"], "scope": [scope]}
        flags = {"isEnabled": one["--enabled"] == "true", "isBlocking": one["--blocking"] == "true"}
        self.policies[number] = {"id": number, "type": {"id": GATES}, **flags, "settings": settings}
        return self.policies[number]

    def az_repos_policy_delete(self, one: Mapping[str, str], many: Mapping[str, list[str]], document: Any) -> Any:
        return self.policies.pop(int(one["--policy-id"]))
