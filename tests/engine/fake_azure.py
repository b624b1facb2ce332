"""A stand-in for Azure at the level of HTTP: the real SDKs talk to it, and no request leaves the machine.

azure-core, azure-storage, msrest and mlflow all send through `requests.adapters.HTTPAdapter`, which `FakeAzure.running`
replaces. What Azure keeps is in `resources` (by path), in `blobs`, and, for services that have no resources, in `kept`.
What Azure refuses is refused here with its status, code and kind of message; what it does in the background is done at
once, and still has to be polled for.

A route is a small function that stands under its method and path in the table of its service, so another module adds
routes to a service, or a service, without a change here. A request that has no route fails the test by name.
"""

import base64
import contextlib
import copy
import hashlib
import io
import json
import os
import re
import socket
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock
from xml.sax.saxutils import escape

import fake_az
import requests
import urllib3

# azure-ai-ml waits this many seconds between two looks at a running job; it reads them when it is imported.
os.environ.setdefault("AZUREML_RUN_POLLING_INTERVAL_MIN", "0")
os.environ.setdefault("AZUREML_RUN_POLLING_INTERVAL_MAX", "0")

SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"
TENANT = "11111111-1111-1111-1111-111111111111"
EXPIRY = 4102444800  # of each token: the year 2100, so that no clock is read
ML = "https://ml.azure.com"
ARM = "https://management.azure.com"
PROVIDER = "/providers/Microsoft.MachineLearningServices"
GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
WORKSPACE = f"{GROUP}{PROVIDER}/workspaces/{{workspace}}"
REGISTRY = f"{GROUP}{PROVIDER}/registries/{{registry}}"
ASSETS = "(?:models|data|codes|components|environments)"

Document = dict[str, Any]


@dataclass(frozen=True)
class Call:
    """A request as the routes see it; `names` has the values of the placeholders in the route's path."""

    method: str
    host: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, request: requests.PreparedRequest) -> "Call":
        """Read a request of the library."""
        url = urllib.parse.urlsplit(request.url or "")
        body: Any = request.body or b""
        body = body.read() if hasattr(body, "read") else body
        return cls(
            request.method or "",
            url.netloc.removesuffix(":443"),
            urllib.parse.unquote(url.path),
            dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True)),
            request.headers,
            body.encode() if isinstance(body, str) else bytes(body),
        )

    @property
    def json(self) -> Any:
        """The decoded body."""
        return json.loads(self.body) if self.body else {}

    @property
    def workspace(self) -> str:
        """The path of the workspace that the request is about."""
        return WORKSPACE.format(**self.names)


@dataclass(frozen=True)
class Answer:
    """What goes back: bytes as they are, None as nothing, and anything else as JSON."""

    body: object = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class RefusedError(Exception):
    """Azure refuses the request with this status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """Keep what the answer is made of."""
        super().__init__(f"({code}) {message}")
        self.status, self.code, self.message = status, code, message

    @property
    def document(self) -> "Document":
        """The body of an answer that says what is wrong."""
        return {"error": {"code": self.code, "message": self.message, "details": []}}


class LateError(RefusedError):
    """Azure has done the work and says all the same that it failed."""


class UnknownRequestError(AssertionError):
    """The code under test asked for something that is not faked, or that is outside the fake."""


Handler = Callable[["FakeAzure", Call], object]


@dataclass(frozen=True)
class Route:
    """A handler with the requests that it answers.

    `lasting` is for what Azure does in the background: the answer then only says where to ask for the outcome. An
    `anonymous` request needs no token.
    """

    method: str
    path: re.Pattern[str]
    handler: Handler
    lasting: bool = False
    anonymous: bool = False


class Service:
    """A group of routes on one kind of host; `audience` is for whom a token must be made, None where none is needed."""

    def __init__(self, name: str, host: str, *, audience: tuple[str, ...] | None) -> None:
        """Make a service without routes; `host` is a regular expression."""
        self.name, self.host, self.audience = name, re.compile(host), audience
        self.routes: list[Route] = []

    def route(
        self, method: str, path: str, *, lasting: bool = False, anonymous: bool = False
    ) -> Callable[[Handler], Handler]:
        """Put a function into the table. `{name}` stands for one part of the path, `{name*}` for all the rest.

        Where two routes fit, the one that came first answers. Azure's paths do not care for upper and lower case.
        """
        pattern = re.sub(r"\{(\w+)\*\}", r"(?P<\1>.*)", path)
        pattern = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern), re.IGNORECASE)

        def add(handler: Handler) -> Handler:
            self.routes.append(Route(method, pattern, handler, lasting, anonymous))
            return handler

        return add


MANAGEMENT = Service("management", r"management\.azure\.com", audience=(ARM, "https://management.core.windows.net"))
REGION = Service("region", r"[a-z0-9]+\.(api\.azureml\.ms|experiments\.azureml\.net)", audience=(ML, ARM))
STORAGE = Service("storage", r"[a-z0-9]+\.blob\.core\.windows\.net", audience=("https://storage.azure.com",))
SCORING = Service("scoring", r"[a-z0-9-]+\.[a-z0-9]+\.inference\.ml\.azure\.com", audience=(ML,))
SERVICES = [MANAGEMENT, REGION, STORAGE, SCORING]


def azure_cli_token(azure: "FakeAzure", command: list[str] | str, timeout: int) -> str:
    """Answer `az account get-access-token`, which azure-identity runs for each token; fail as it does then."""
    from azure.core.exceptions import ClientAuthenticationError
    from azure.identity import CredentialUnavailableError

    if azure.login == "missing":
        raise CredentialUnavailableError(message="Please run 'az login' to set up an account")
    if azure.login == "expired":
        text = "ERROR: AADSTS70043: The refresh token has expired or is invalid due to sign-in frequency checks."
        raise ClientAuthenticationError(message=text)
    words = command.split() if isinstance(command, str) else command
    resource = words[words.index("--resource") + 1]
    return json.dumps({"accessToken": token(resource.rstrip("/")), "expires_on": EXPIRY})


def token(audience: str) -> str:
    """Return a token as Microsoft Entra ID makes them, but for its signature."""
    claims = {"aud": audience, "tid": TENANT, "oid": str(uuid.UUID(int=2)), "exp": EXPIRY}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in ({}, claims, {})]
    return ".".join(parts)


class FakeAzure:
    """Azure as one person with one subscription sees it, and a test's way to steer it.

    `login` is "fine", "missing" or "expired"; `rights` says whether the person may do anything here, and `readable`
    whether the storage may be listed, and `watchable` whether the metrics may be read. `callers` is what
    `fake_az.metric` takes. `answers` has what a deployment predicts for every row, `prediction` what others predict.
    `next_status` is how jobs end, `registration` and `evaluation` what their steps write, and `search` what the best
    trial of a search writes. `runs` are those of the monitor, as `monitor_runs` makes them. `copied` is what arrives in
    a registry instead of the model.
    `shares` has what online traffic was set to, one time after the other. The next `throttled` requests are refused
    with 429 and the time to wait, and a list of the management plane brings `page` items at a time.
    """

    def __init__(self, services: list[Service] | None = None) -> None:
        """Make a subscription without any resource."""
        self.services = services or SERVICES
        self.resources: dict[str, Document] = {}
        self.kept: dict[str, Any] = {}
        self.shares: list[str] = []
        self.blobs: dict[str, Blob] = {}
        self.operations: dict[str, LateError | None] = {}
        self.calls: list[tuple[str, str, int]] = []
        self.unknown: list[str] = []
        self.groups: set[str] = set()
        self.login, self.rights, self.readable, self.watchable = "fine", True, True, True
        self.callers: dict[str, Document] = {}
        self.answers: dict[str, object] = {}
        self.prediction: object = 5.0
        self.next_status = "Completed"
        self.registration: Document = {}
        self.evaluation: Document = {}
        self.search: Document = {}
        self.runs: dict[str, Document] = {}
        self.copied: Path | None = None
        self.throttled, self.page = 0, 50
        self._failures: list[tuple[str, str, bool]] = []
        self._lock = threading.RLock()

    # What a test does.

    def add_workspace(self, group: str, name: str, location: str, *, cluster: str, closed: bool = False) -> str:
        """Make a resource group and a workspace with its datastores and a compute cluster; return its path.

        The workspace and its storage are `closed` when nothing reaches them from the internet.
        """
        self.groups.add(group.lower())
        path = WORKSPACE.format(subscription=SUBSCRIPTION, group=group, workspace=name)
        account = re.sub("[^a-z0-9]", "", f"st{name}".lower())
        region = f"{location}.api.azureml.ms"
        properties = {
            "workspaceId": str(uuid.uuid5(uuid.NAMESPACE_URL, path)),
            "discoveryUrl": f"https://{region}/discovery",
            "mlFlowTrackingUri": f"azureml://{region}/mlflow/v1.0{path}",
            "publicNetworkAccess": "Disabled" if closed else "Enabled",
            "storageAccount": f"{path.rsplit('/', 4)[0]}/Microsoft.Storage/storageAccounts/{account}",
        }
        self.put(path, {"location": location, "identity": {"type": "UserAssigned"}, "properties": properties})
        containers = {"workspaceblobstore": "azureml-blobstore", "workspaceartifactstore": "azureml"}
        for datastore, container in containers.items():
            blob = {"accountName": account, "containerName": container, "endpoint": "core.windows.net"}
            blob |= {"protocol": "https", "datastoreType": "AzureBlob", "credentials": {"credentialsType": "None"}}
            self.put(
                f"{path}/datastores/{datastore}",
                {"properties": {**blob, "isDefault": datastore == "workspaceblobstore"}},
            )
        compute = {"computeType": "AmlCompute", "properties": {}}
        self.put(f"{path}/computes/{cluster}", {"location": location, "properties": compute})
        return path

    def fail(self, operation: str, subject: str = "", *, after: bool = False) -> None:
        """Fail each operation of a kind, or those on one subject; with `after` only when its work is done."""
        self._failures.append((operation, subject, after))

    def works_again(self) -> None:
        """Forget all failures."""
        self._failures.clear()

    @contextlib.contextmanager
    def running(self) -> Iterator["FakeAzure"]:
        """Be the cloud for every SDK; at the end fail when anything was asked for that is not faked."""

        def send(adapter: object, request: requests.PreparedRequest, **options: object) -> requests.Response:
            return self.send(request)

        def resolve(host: Any, *arguments: object, **options: object) -> Any:
            if host not in (None, "", "localhost", "127.0.0.1", "::1"):
                raise self.not_faked(f"a connection to {host}")
            return original(host, *arguments, **options)

        original: Any = socket.getaddrinfo
        with (
            mock.patch("requests.adapters.HTTPAdapter.send", send),
            # Whatever does not send through requests has to find an address first.
            mock.patch("socket.getaddrinfo", resolve),
            mock.patch("azure.identity._credentials.azure_cli._run_command", partial(azure_cli_token, self)),
            # Whether to warn of a preview is found out by reading source files, a third of all the time here.
            mock.patch("azure.ai.ml._utils._experimental._should_skip_warning", return_value=True),
        ):
            yield self
        if self.unknown:
            raise UnknownRequestError(f"not faked: {self.unknown}")

    def contents(self) -> dict[str, Any]:
        """Return a copy of all that is in it, and of how it behaves."""
        return copy.deepcopy({name: value for name, value in vars(self).items() if name not in ("services", "_lock")})

    def put_back(self, contents: Mapping[str, Any]) -> None:
        """Bring it into the state in which it had these contents."""
        vars(self).update(copy.deepcopy(dict(contents)))

    # What routes do.

    def get(self, path: str) -> Document:
        """Return a resource, or refuse the request as Azure does for what does not exist."""
        found = self.resources.get(path.lower())
        if found is None:
            raise missing(path)
        return found

    def put(self, path: str, document: Document) -> Document:
        """Keep a resource with what Azure adds to each."""
        moment = "2026-01-01T00:00:00.000000Z"
        made = {"createdAt": moment, "lastModifiedAt": moment, "createdBy": "me", "createdByType": "User"}
        # What lies in a registry has an address of its own kind.
        identity = re.sub(r".+/registries/([^/]+/.+)", r"azureml://registries/\1", path)
        document = {**document, "id": identity, "name": path.rsplit("/", 1)[1], "systemData": made}
        document["properties"] = {"provisioningState": "Succeeded", **document.get("properties", {})}
        self.resources[path.lower()] = document
        return document

    def children(self, path: str) -> list[Document]:
        """Return the resources directly below a path."""
        start = path.lower() + "/"
        return [item for key, item in self.resources.items() if key.startswith(start) and "/" not in key[len(start) :]]

    def remove(self, path: str) -> None:
        """Delete a resource and all below it; what does not exist is no error, as in Azure."""
        for key in [key for key in self.resources if f"{key}/".startswith(f"{path.lower()}/")]:
            del self.resources[key]

    @contextlib.contextmanager
    def doing(self, operation: str, subject: str = "") -> Iterator[None]:
        """Fail before or after the work inside when the test has asked for it."""
        failures = [
            after for known, part, after in self._failures if known == operation and (not part or part == subject)
        ]
        status = 424 if operation == "invoke" else 409
        if False in failures:
            raise RefusedError(status, "Conflict", f"not now: {operation}")
        yield
        if failures:
            raise LateError(status, "Conflict", f"not now: {operation}")

    def write_files(self, folder: Path, place: str) -> None:
        """Put the files of a folder into the storage below `place` ("account/container/path")."""
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.blobs[f"{place}/{file.relative_to(folder).as_posix()}"] = Blob(file.read_bytes())

    def files(self, place: str) -> dict[str, bytes]:
        """Return the content of the blobs below `place`, by the rest of their path."""
        start = f"{place}/"
        return {key.removeprefix(start): blob.content for key, blob in self.blobs.items() if key.startswith(start)}

    def storage_place(self, uri: str) -> str:
        """Return the place of `write_files` for an address, of a blob or of a path in a workspace's datastore."""
        match = re.fullmatch(r"azureml:/{1,2}(subscriptions/.+)/datastores/([^/]+)/paths/(.+?)/?", uri)
        if match is None:
            url = urllib.parse.urlsplit(uri)
            return f"{url.netloc.split('.')[0]}{url.path.rstrip('/')}"
        # Long addresses of Azure ML leave the provider out.
        workspace = re.sub("(?i)(/resourcegroups/[^/]+)/workspaces/", rf"\1{PROVIDER}/workspaces/", f"/{match[1]}")
        store = self.get(f"{workspace}/datastores/{match[2]}")["properties"]
        return f"{store['accountName']}/{store['containerName']}/{match[3]}"

    # Requests.

    def send(self, request: requests.PreparedRequest) -> requests.Response:
        """Answer a request as the library's adapter would."""
        call = Call.of(request)
        with self._lock:
            answer = self._answer(call)
            self.calls.append((call.method, f"{call.host}{call.path}", answer.status))
        body = answer.body
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        response = requests.Response()
        response.status_code, response.request, response.url = answer.status, request, str(request.url)
        response.headers.update({"Content-Type": "application/json", "x-ms-request-id": "1"})
        response.headers.update({"Content-Length": str(len(content)), **answer.headers})
        response.raw = urllib3.HTTPResponse(
            io.BytesIO(b"" if call.method == "HEAD" else content),
            headers=response.headers,
            status=answer.status,
            preload_content=False,
            request_method=call.method,
        )
        return response

    def not_faked(self, what: str) -> UnknownRequestError:
        """Remember a request that has no answer: the code under test may swallow the error."""
        self.unknown.append(what)
        return UnknownRequestError(f"not faked: {what}")

    def _answer(self, call: Call) -> Answer:
        service = next((service for service in self.services if service.host.fullmatch(call.host)), None)
        for route in service.routes if service else []:
            match = route.path.fullmatch(call.path)
            if service and match and route.method == call.method and self.throttled:
                self.throttled -= 1
                refusal = RefusedError(429, "TooManyRequests", "The limit of requests is reached.")
                # Azure says integers; the client takes this as well, and 0 as "not said".
                return Answer(refusal.document, 429, {"Retry-After": "0.001"})
            if service and match and route.method == call.method:
                call = Call(**{**vars(call), "names": match.groupdict()})
                try:
                    if not route.anonymous:
                        authorise(self, service, call)
                    return self._carried_out(route, call)
                except RefusedError as error:
                    return Answer(error.document, error.status, {"x-ms-error-code": error.code})
        raise self.not_faked(f"{call.method} {call.host}{call.path} {dict(call.query)} {call.body[:500]!r}")

    def _carried_out(self, route: Route, call: Call) -> Answer:
        failure = None
        try:
            result = route.handler(self, call)
        except LateError as error:
            if not route.lasting:
                raise
            failure, result = error, None
        if not route.lasting:
            found = result if isinstance(result, Answer) else Answer(result, 200 if result is not None else 204)
            return self._in_pages(call, found)
        operation = uuid.uuid4().hex
        self.operations[operation] = failure
        where = f"{ARM}/subscriptions/{SUBSCRIPTION}{PROVIDER}/locations/any"
        # Azure says how long to wait. In seconds 0 would count as "not said".
        headers = {"Azure-AsyncOperation": f"{where}/operations/{operation}", "retry-after-ms": "1"}
        if call.method != "PUT":
            return Answer(None, 202, {**headers, "Location": f"{where}/results/{operation}"})
        document = self.resources.get(call.path.lower(), {})
        properties = {**document.get("properties", {}), "provisioningState": "Creating"}
        return Answer({**document, "properties": properties}, 201, headers)

    def _in_pages(self, call: Call, answer: Answer) -> Answer:
        """Cut a list, and say where the rest is."""
        items = answer.body.get("value") if isinstance(answer.body, dict) else None
        if not isinstance(items, list) or len(items) <= self.page or PROVIDER.lower() not in call.path.lower():
            return answer
        start = int(call.query.get("$skip", 0))
        more = {**call.query, "$skip": str(start + self.page)}
        link = f"https://{call.host}{urllib.parse.quote(call.path)}?{urllib.parse.urlencode(more)}"
        rest = {"nextLink": link} if len(items) > start + self.page else {}
        return Answer({"value": items[start : start + self.page], **rest})


def missing(path: str) -> RefusedError:
    """Return the refusal of a request for what does not exist."""
    name = re.split(r"/(?:workspaces|registries)/[^/]+/", path)[-1]
    return RefusedError(404, "ResourceNotFound", f"The specified resource was not found: {name}")


def authorise(azure: FakeAzure, service: Service, call: Call) -> None:
    """Refuse a request without the right token, without rights, or below what does not exist."""
    signed = service is STORAGE and "sig" in call.query
    if service.audience and not signed:
        claims = _claims(call.headers.get("Authorization", ""))
        if claims.get("aud") not in service.audience:
            code = "InvalidAuthenticationTokenAudience" if claims else "AuthenticationFailed"
            raise RefusedError(401, code, f"A token for {service.audience[0]} is needed, got {claims.get('aud')}.")
    names = call.names
    if "group" in names and names["group"].lower() not in azure.groups:
        raise RefusedError(404, "ResourceGroupNotFound", f"Resource group '{names['group']}' could not be found.")
    if "workspace" in names and (workspace := call.workspace).lower() not in azure.resources:
        if call.path.lower() == workspace.lower():
            kind = "Microsoft.MachineLearningServices/workspaces"
            text = f"The Resource '{kind}/{names['workspace']}' under resource group '{names['group']}' was not found."
            raise RefusedError(404, "ResourceNotFound", text)
        text = f"Failed to perform 'read' on resource(s), because the parent resource '{workspace}' could not be found."
        raise RefusedError(404, "ParentResourceNotFound", text)
    if not azure.rights and "group" in names:
        raise RefusedError(
            403,
            "AuthorizationFailed",
            "The client 'me@example.com' does not have authorization to perform action "
            f"'Microsoft.MachineLearningServices/workspaces/read' over scope '{call.path}' or the scope is invalid.",
        )


def _claims(authorization: str) -> dict[str, Any]:
    scheme, _, text = authorization.partition(" ")
    if scheme != "Bearer" or text.count(".") != 2:
        return {}
    part = text.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return claims


def bad_request(message: str) -> RefusedError:
    """Return the refusal of a request whose content is wrong."""
    return RefusedError(400, "BadRequest", message)


# The workspace and what lies in it.


@MANAGEMENT.route("GET", f"/subscriptions/{{subscription}}{PROVIDER}/locations/any/operations/{{operation}}")
def operation_status(azure: FakeAzure, call: Call) -> object:
    """How something in the background has ended."""
    failure = azure.operations[call.names["operation"]]
    if failure is None:
        return {"status": "Succeeded"}
    return {"status": "Failed", **failure.document}


@MANAGEMENT.route("GET", "/metadata/endpoints", anonymous=True)
def list_clouds(azure: FakeAzure, call: Call) -> object:
    """The clouds beside those that the SDKs know: none."""
    return []


@MANAGEMENT.route("GET", f"/subscriptions/{{subscription}}{PROVIDER}/locations/any/results/{{operation}}")
def operation_result(azure: FakeAzure, call: Call) -> object:
    """What something in the background has given: nothing, where this is asked for."""
    return None


@MANAGEMENT.route("GET", f"{WORKSPACE}/jobs")
def list_jobs(azure: FakeAzure, call: Call) -> object:
    """The jobs, and of the runs of the monitor those that have no parent."""
    tops = {name: run for name, run in azure.runs.items() if not run["parent"]}
    return {"value": [*azure.children(call.path), *(monitor_job(call, name, run) for name, run in tops.items())]}


def monitor_job(call: Call, name: str, run: Document) -> Document:
    """Return a run of the monitor as the management plane shows it, which knows no more of a child than its name."""
    identity = {"id": f"{call.workspace}/jobs/{name}", "name": name, "type": "jobs"}
    if run["parent"]:
        return {**identity, "properties": None}
    properties = {"jobType": "Pipeline", "displayName": run["display_name"], "experimentName": "a-monitor"}
    services = {"Studio": {"endpoint": run["studio"], "jobServiceType": "Studio"}}
    properties |= {"status": run["status"], "tags": run["tags"], "properties": run["properties"], "services": services}
    return {**identity, "properties": properties, "systemData": {"createdAt": run["created"]}}


@MANAGEMENT.route("GET", f"{WORKSPACE}/jobs/{{name}}")
def get_job(azure: FakeAzure, call: Call) -> object:
    """One job, or one run of the monitor."""
    name = call.names["name"]
    return monitor_job(call, name, azure.runs[name]) if name in azure.runs else azure.get(call.path)


@MANAGEMENT.route("GET", WORKSPACE)
@MANAGEMENT.route("GET", f"{WORKSPACE}/(?:datastores|computes|jobs|schedules|onlineEndpoints|batchEndpoints)/{{name}}")
@MANAGEMENT.route("GET", f"{WORKSPACE}/(?:onlineEndpoints|batchEndpoints)/{{name}}/deployments/{{deployment}}")
@MANAGEMENT.route("GET", f"{WORKSPACE}/{ASSETS}/{{name}}/versions/{{version}}")
def get_resource(azure: FakeAzure, call: Call) -> object:
    """Anything that is kept as it was put there."""
    return azure.get(call.path)


@MANAGEMENT.route("GET", f"{WORKSPACE}/(?:datastores|computes|jobs|onlineEndpoints|batchEndpoints)")
def list_resources(azure: FakeAzure, call: Call) -> object:
    """All of a kind."""
    items = azure.children(call.path)
    if call.query.get("isDefault", "").lower() == "true":
        items = [item for item in items if item["properties"].get("isDefault")]
    return {"value": items}


@MANAGEMENT.route("GET", f"{WORKSPACE}/{ASSETS}")
def list_assets(azure: FakeAzure, call: Call) -> object:
    """The assets of a kind, each with its newest version."""
    return {"value": containers(azure, call.path)}


@MANAGEMENT.route("GET", f"{WORKSPACE}/{ASSETS}/{{name}}/versions")
def list_versions(azure: FakeAzure, call: Call) -> object:
    """The versions of an asset, the newest first."""
    items = azure.children(call.path)
    if not items and "/codes/" not in call.path:
        raise RefusedError(404, "UserError", f"Could not find asset with name {call.names['name']}")
    items = [item for item in items if call.query.get("hash") in (None, item["properties"].get("hash"))]
    return {"value": items[::-1][: int(call.query.get("$top") or len(items))]}


def containers(azure: FakeAzure, path: str) -> list[Document]:
    """Return the assets below a path, which exist by their versions alone."""
    latest: dict[str, str] = {}
    for key, item in azure.resources.items():
        if re.fullmatch(re.escape(path.lower()) + r"/[^/]+/versions/[^/]+", key):
            latest[item["id"].split("/")[-3]] = item["name"]
    moment = {"createdAt": "2026-01-01T00:00:00Z", "lastModifiedAt": "2026-01-01T00:00:00Z"}
    return [
        {
            "id": f"{path}/{name}",
            "name": name,
            "systemData": moment,
            "properties": {"latestVersion": version, "nextVersion": None, "tags": {}, "isArchived": False},
        }
        for name, version in latest.items()
    ]


@MANAGEMENT.route("POST", f"{WORKSPACE}/codes/{{name}}/versions/{{version}}/startPendingUpload")
def start_upload(azure: FakeAzure, call: Call) -> object:
    """A container of its own for each code asset."""
    account = azure.get(f"{call.workspace}/datastores/workspaceblobstore")["properties"]["accountName"]
    container = f"https://{account}.blob.core.windows.net/code-{uuid.uuid4().hex[:8]}"
    return {"pendingUploadType": "TemporaryBlobReference", "blobReferenceForConsumption": blob_reference(container)}


def blob_reference(container: str) -> Document:
    """Return an address in the storage together with a signature that opens it for a while."""
    credential = {"credentialType": "SAS", "sasUri": f"{container}?sv=2025-01-05&sig=fake"}
    return {"blobUri": container, "storageAccountArmId": "any", "credential": credential}


@MANAGEMENT.route("PUT", f"{WORKSPACE}/(?P<kind>codes|environments|components)/{{name}}/versions/{{version}}")
def put_asset(azure: FakeAzure, call: Call) -> object:
    """A version that may be put again as long as it is the same."""
    body = call.json
    if call.names["kind"].lower() == "components":
        specification = body["properties"]["componentSpec"]
        for key in ("code", "environment"):
            if reference := specification.get(key):
                azure.get(asset_path(azure, call, reference))
    return azure.put(call.path, body)


@MANAGEMENT.route("PUT", f"{WORKSPACE}/data/{{name}}/versions/{{version}}")
def put_data(azure: FakeAzure, call: Call) -> object:
    """A version of data, whose place cannot be changed."""
    with azure.doing("create data", call.names["name"]):
        return put_version(azure, call, "dataUri")


@MANAGEMENT.route("PUT", f"{WORKSPACE}/models/{{name}}/versions/{{version}}")
def put_model(azure: FakeAzure, call: Call) -> object:
    """A version of a model, whose tags alone can be changed."""
    known = call.path.lower() in azure.resources
    with azure.doing("tag model" if known else "register model", call.names["version"]):
        return put_version(azure, call, "modelUri")


def put_version(azure: FakeAzure, call: Call, place: str) -> Document:
    """Keep a version of an asset, unless it exists with other content."""
    body, old = call.json, azure.resources.get(call.path.lower())
    # azure-ai-ml sends `resourcegroups` where Azure has `resourceGroups`.
    if old and old["properties"][place].lower() != body["properties"][place].lower():
        text = "A version with this name already exists, and its asset path cannot be changed."
        raise RefusedError(409, "UserError", text)
    body["properties"] = {"flavors": {}, "tags": {}, **body["properties"]}
    return azure.put(call.path, body)


def asset_path(azure: FakeAzure, call: Call, reference: str) -> str:
    """Return the path of the resource that a reference names, of the workspace or of a registry."""
    if match := re.fullmatch(r"azureml://registries/([^/]+)/(.+)", reference):
        return f"{registry_path(azure, match[1])}/{match[2]}"
    if match := re.fullmatch(r"azureml:([^/:]+):([^/:]+)", reference):
        return f"{call.workspace}/models/{match[1]}/versions/{match[2]}"
    return reference.removeprefix("azureml:")


# Jobs.


@MANAGEMENT.route("PUT", f"{WORKSPACE}/jobs/{{name}}")
def put_job(azure: FakeAzure, call: Call) -> object:
    """A job, which starts when all that it names exists."""
    body = call.json
    with azure.doing("create job", call.names["name"]):
        check_job(azure, call, body["properties"])
        if call.path.lower() in azure.resources:
            raise RefusedError(409, "UserError", f"A job with the name {call.names['name']} already exists.")
        if body["properties"]["jobType"] == "Pipeline" and not call.headers.get("x-azureml-token"):
            raise bad_request("A pipeline needs a token of the person who starts it.")
        page = f"https://ml.azure.com/runs/{call.names['name']}?wsid={call.workspace}"
        body["properties"] |= {"status": "NotStarted", "services": {"Studio": {"endpoint": page}}}
        return azure.put(call.path, body)


def check_job(azure: FakeAzure, call: Call, properties: Document) -> None:
    """Refuse a job whose compute, components or data do not exist."""
    for reference in [properties.get("computeId"), (properties.get("settings") or {}).get("default_compute")]:
        if reference and "/computes/" in reference:
            azure.get(reference.removeprefix("azureml:"))
    for node in (properties.get("jobs") or {}).values():
        azure.get(asset_path(azure, call, trial_or_step(node)["componentId"]))
    for value in (properties.get("inputs") or {}).values():
        if "/versions/" in str(value.get("uri")):
            azure.get(asset_path(azure, call, value["uri"]))


def trial_or_step(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part of a job's node that names its component."""
    part: Mapping[str, Any] = node["trial"] if node.get("type") == "sweep" else node
    return part


@REGION.route("GET", "/discovery", anonymous=True)
def discover(azure: FakeAzure, call: Call) -> object:
    """Where the services of a region are."""
    services = ("api", "history", "modelmanagement", "pipelines", "mlflow", "datastore", "notebooks")
    services += ("experimentation", "hyperdrive", "studio")  # SDK v1 looks for these too
    return dict.fromkeys(services, f"https://{call.host}")


@REGION.route("GET", f"/history/v1.0{WORKSPACE}/runs/{{name}}")
def get_monitor_run(azure: FakeAzure, call: Call) -> object:
    """A run of the monitor, as the run history knows it."""
    return monitor_history(call.names["name"], azure.runs[call.names["name"]])


@REGION.route("GET", f"/history/v1.0{WORKSPACE}/runs/{{name}}/children")
def list_monitor_children(azure: FakeAzure, call: Call) -> object:
    """The runs directly below a run of the monitor."""
    names = azure.runs[call.names["name"]]["children"]
    return {"value": [monitor_history(name, azure.runs[name]) for name in names]}


def monitor_history(name: str, run: Document) -> Document:
    """Return a run of the monitor in the words of the run history."""
    known = {"displayName": run["display_name"], "createdUtc": run["created"]}
    return {"runId": name, **known, **{key: run[key] for key in ("status", "tags", "properties")}}


@REGION.route("GET", f"/history/v1.0{WORKSPACE}/runs/{{name}}/details")
def run_details(azure: FakeAzure, call: Call) -> object:
    """A job's state and its logs: running at the first request, ended at the next."""
    with azure.doing("stream job", call.names["name"]):
        path = f"{call.workspace}/jobs/{call.names['name']}"
        properties = azure.get(path)["properties"]
        if properties["status"] == "NotStarted":
            properties["status"] = "Running"
        elif properties["status"] == "Running":
            end_job(azure, call, path)
        log = "user_logs/std_log.txt"
        place = f"{default_store(azure, call.workspace)}/logs/{call.names['name']}.txt"
        azure.blobs[place] = Blob(f"log of {call.names['name']}\n".encode())
        account, _, rest = place.partition("/")
        failed = {"error": {"error": {"code": "UserError", "message": "a step failed"}}}
        return {
            "runId": call.names["name"],
            "status": properties["status"],
            "logFiles": {log: f"https://{account}.blob.core.windows.net/{rest}?sig=fake"},
            **(failed if properties["status"] == "Failed" else {}),
        }


def end_job(azure: FakeAzure, call: Call, path: str) -> None:
    """Let a job end as the test wants it; a completed one has written its registration, or what it found."""
    properties = azure.get(path)["properties"]
    properties["status"] = azure.next_status
    files = {"registration": azure.registration, "search": azure.search, "evaluation": azure.evaluation}
    for output, content in files.items():
        if azure.next_status == "Completed" and output in (properties.get("outputs") or {}):
            place = f"{default_store(azure, call.workspace)}/azureml/{call.names['name']}/{output}"
            name = {"evaluation": "metrics"}.get(output, output)
            if content or output != "evaluation":
                azure.blobs[f"{place}/{name}.json"] = Blob(json.dumps(content).encode())


def default_store(azure: FakeAzure, workspace: str) -> str:
    """Return the place of a workspace's default datastore in the storage."""
    store = azure.get(f"{workspace}/datastores/workspaceblobstore")["properties"]
    return f"{store['accountName']}/{store['containerName']}"


@REGION.route("POST", f"/history/v1.0{WORKSPACE}/rundata")
def run_data(azure: FakeAzure, call: Call) -> object:
    """What a job has produced: an asset for each output that its steps have written."""
    name = call.json["runId"]
    properties = azure.get(f"{call.workspace}/jobs/{name}")["properties"]
    written = azure.files(f"{default_store(azure, call.workspace)}/azureml/{name}")
    outputs = {
        output: {"assetId": f"azureml://outputs/{name}/{output}", "type": "uri_folder"}
        for output in properties.get("outputs") or {}
        if any(file.startswith(f"{output}/") for file in written)
    }
    return {"runMetadata": {"runId": name, "outputs": outputs}}


@REGION.route("POST", f"/data/v1.0{WORKSPACE}/dataversion/batchGetResolvedUris")
def resolve_outputs(azure: FakeAzure, call: Call) -> object:
    """Where the outputs of a job are."""
    start = f"azureml:/{call.workspace.replace(PROVIDER, '')}/datastores/workspaceblobstore/paths/azureml"
    uris = {item: f"{start}/{item.removeprefix('azureml://outputs/')}/" for item in call.json["values"]}
    return {"values": {item: {"uri": uri, "type": "uri_folder"} for item, uri in uris.items()}}


# Online endpoints.

ONLINE = f"{WORKSPACE}/onlineEndpoints/{{endpoint}}"


@MANAGEMENT.route("PUT", ONLINE, lasting=True)
def put_online_endpoint(azure: FakeAzure, call: Call) -> object:
    """A new endpoint, or other traffic for one that is there."""
    body, name, old = call.json, call.names["endpoint"], azure.resources.get(call.path.lower())
    properties, location = body["properties"], azure.get(call.workspace)["location"]
    traffic = {name: share for name, share in (properties.get("traffic") or {}).items() if share}
    shares = " ".join(f"{name}={share}" for name, share in traffic.items())
    with azure.doing("set traffic" if old else "create endpoint", shares if old else name):
        taken = [
            key for key, item in azure.resources.items() if item["name"] == name and item.get("location") == location
        ]
        if not old and any("/onlineendpoints/" in key and "/deployments/" not in key for key in taken):
            raise RefusedError(409, "UserError", f"The name {name} is taken by another endpoint in {location}.")
        if old and old["properties"]["authMode"] != properties["authMode"]:
            raise bad_request("The authentication mode of an endpoint cannot be changed.")
        kind = (body.get("identity") or {}).get("type", "")
        if old and kind.lower() != old["identity"]["type"].lower():
            raise bad_request("The identity of an endpoint cannot be changed.")
        if sum(traffic.values()) not in (0, 100):
            raise bad_request("The traffic of all deployments must sum to 0 or 100 percent.")
        known = [deployment["name"] for deployment in azure.children(f"{call.path}/deployments")]
        if unknown := traffic.keys() - known:
            raise bad_request(f"Traffic is for deployments that do not exist: {', '.join(sorted(unknown))}")
        for resource, found in ((body.get("identity") or {}).get("userAssignedIdentities") or {}).items():
            found["clientId"] = f"client-of-{resource.rsplit('/', 1)[-1]}"
        address = f"https://{name}.{location}.inference.ml.azure.com"
        addresses = {"scoringUri": f"{address}/score", "swaggerUri": f"{address}/swagger.json"}
        if old:
            azure.shares.append(shares)
        azure.put(call.path, {**body, "properties": {**properties, "traffic": traffic, **addresses}})


@MANAGEMENT.route("DELETE", ONLINE, lasting=True)
def delete_online_endpoint(azure: FakeAzure, call: Call) -> object:
    """The end of an endpoint and of all behind it."""
    with azure.doing("delete endpoint", call.names["endpoint"]):
        azure.remove(call.path)


@MANAGEMENT.route("GET", f"{WORKSPACE}/(?:onlineEndpoints|batchEndpoints)/{{endpoint}}/deployments")
def list_deployments(azure: FakeAzure, call: Call) -> object:
    """The deployments behind an endpoint."""
    azure.get(call.path.rsplit("/", 1)[0])
    return {"value": azure.children(call.path)}


@MANAGEMENT.route("PUT", f"{ONLINE}/deployments/{{deployment}}", lasting=True)
def put_online_deployment(azure: FakeAzure, call: Call) -> object:
    """A deployment without traffic, when all that it names exists."""
    body = call.json
    properties = body["properties"]
    with azure.doing("create deployment", call.names["deployment"]):
        check_deployment(azure, call, properties)
        collections = (properties.get("dataCollector") or {}).get("collections") or {}
        for collection in collections.values():
            azure.get(collection["dataId"].removeprefix("azureml:"))
            # Azure spells the mode in its own way, whatever it was sent.
            collection["dataCollectionMode"] = collection.get("dataCollectionMode", "Disabled").title()
        if not properties.get("instanceType"):
            raise bad_request("A managed deployment needs an instance type.")
        properties.setdefault("scaleSettings", {"scaleType": "Default"})
        azure.put(call.path, body)


def check_deployment(azure: FakeAzure, call: Call, properties: Document) -> None:
    """Refuse a deployment whose endpoint, model, environment or code does not exist."""
    azure.get(call.path.rsplit("/", 2)[0])
    model = properties.get("model")
    references = [model.get("assetId") if isinstance(model, dict) else model, properties.get("environmentId")]
    references.append((properties.get("codeConfiguration") or {}).get("codeId"))
    for reference in references:
        if reference:
            azure.get(asset_path(azure, call, reference))


@MANAGEMENT.route("DELETE", f"{ONLINE}/deployments/{{deployment}}", lasting=True)
def delete_online_deployment(azure: FakeAzure, call: Call) -> object:
    """The end of a deployment without traffic."""
    with azure.doing("delete deployment", call.names["deployment"]):
        endpoint = azure.get(call.path.rsplit("/", 2)[0])
        if endpoint["properties"]["traffic"].get(call.names["deployment"]):
            raise bad_request("A deployment with traffic cannot be deleted: set its traffic to 0 first.")
        azure.remove(call.path)


@MANAGEMENT.route("POST", f"{ONLINE}/deployments/{{deployment}}/getLogs")
def deployment_log(azure: FakeAzure, call: Call) -> object:
    """The end of a deployment's log."""
    with azure.doing("read log", call.names["deployment"]):
        azure.get(call.path.rsplit("/", 1)[0])
        return {"content": f"log of {call.names['deployment']}"}


@MANAGEMENT.route("POST", f"{ONLINE}/listKeys")
def list_keys(azure: FakeAzure, call: Call) -> object:
    """The keys of an endpoint that works with keys."""
    if azure.get(call.path.rsplit("/", 1)[0])["properties"]["authMode"] != "Key":
        raise bad_request("The endpoint has no keys: it takes tokens of Microsoft Entra ID.")
    return {"primaryKey": "key", "secondaryKey": "key"}


@MANAGEMENT.route("GET", f"{ONLINE}/providers/Microsoft.Insights/metrics")
def list_metrics(azure: FakeAzure, call: Call) -> object:
    """What Azure Monitor has counted of the requests."""
    with azure.doing("read metrics"):
        azure.get(call.path.rsplit("/providers/", 1)[0])
        if not azure.watchable:
            action = "Microsoft.Insights/metrics/read"
            text = f"The client 'me@example.com' does not have authorization to perform action '{action}' over scope"
            raise RefusedError(403, "AuthorizationFailed", text)
        given = call.query
        if (given["api-version"], given["aggregation"], given["interval"]) != ("2023-10-01", "Average", "PT1M"):
            raise bad_request("Another version, or an aggregation or interval that the metric does not have.")
        start, end = given["timespan"].split("/")
        try:
            return fake_az.metric(azure.callers, given["metricnames"], given["$filter"], start, end, given.get("top"))
        except fake_az.RefusedError as error:
            raise bad_request(str(error)) from error


@SCORING.route("POST", "/score")
def score(azure: FakeAzure, call: Call) -> object:
    """The predictions of one deployment: the named one, or the one with the most traffic."""
    address = f"https://{call.host}/score"
    endpoints = [item for item in azure.resources.values() if item["properties"].get("scoringUri") == address]
    if not endpoints:
        raise RefusedError(404, "NotFound", "There is no endpoint at this address.")
    traffic = endpoints[0]["properties"]["traffic"]
    name = call.headers.get("azureml-model-deployment") or max(traffic, key=traffic.__getitem__, default="")
    with azure.doing("invoke", name):
        azure.get(f"{endpoints[0]['id']}/deployments/{name}")
        rows = len(call.json["input_data"]["data"])
        # Python's servers write NaN although JSON has no such number, and so does this.
        return {"predictions": [azure.answers.get(name, azure.prediction)] * rows}


# Batch endpoints.

BATCH = f"{WORKSPACE}/batchEndpoints/{{endpoint}}"


@MANAGEMENT.route("PUT", BATCH, lasting=True)
def put_batch_endpoint(azure: FakeAzure, call: Call) -> object:
    """A new endpoint, or another default for one that is there."""
    body, old = call.json, azure.resources.get(call.path.lower())
    properties = {**(old["properties"] if old else {}), **(body.get("properties") or {})}
    default = (properties.get("defaults") or {}).get("deploymentName")
    with azure.doing("set default" if old else "create batch endpoint", default or ""):
        if default and f"{call.path}/deployments/{default}".lower() not in azure.resources:
            raise bad_request(f"The default deployment {default} does not exist.")
        azure.put(call.path, {**(old or {}), **body, "properties": properties})


@MANAGEMENT.route("DELETE", BATCH, lasting=True)
def delete_batch_endpoint(azure: FakeAzure, call: Call) -> object:
    """The end of an endpoint and of all behind it."""
    with azure.doing("delete batch endpoint", call.names["endpoint"]):
        azure.remove(call.path)


@MANAGEMENT.route("PUT", f"{BATCH}/deployments/{{deployment}}", lasting=True)
def put_batch_deployment(azure: FakeAzure, call: Call) -> object:
    """A deployment, when all that it names exists."""
    body = call.json
    with azure.doing("create batch deployment", call.names["deployment"]):
        check_deployment(azure, call, body["properties"])
        azure.get(body["properties"]["compute"].removeprefix("azureml:"))
        azure.put(call.path, body)


@MANAGEMENT.route("DELETE", f"{BATCH}/deployments/{{deployment}}", lasting=True)
def delete_batch_deployment(azure: FakeAzure, call: Call) -> object:
    """The end of a deployment that is not the default."""
    with azure.doing("delete batch deployment", call.names["deployment"]):
        endpoint = azure.get(call.path.rsplit("/", 2)[0])
        if (endpoint["properties"].get("defaults") or {}).get("deploymentName") == call.names["deployment"]:
            raise bad_request("The default deployment cannot be deleted: choose another default first.")
        azure.remove(call.path)


# Schedules and monitors.

SCHEDULE = f"{WORKSPACE}/schedules/{{name}}"


@MANAGEMENT.route("GET", f"{WORKSPACE}/schedules")
def list_schedules(azure: FakeAzure, call: Call) -> object:
    """The schedules: only those that are on, unless all are asked for."""
    views = {"EnabledOnly": (True,), "DisabledOnly": (False,), "All": (True, False)}
    states = views[call.query.get("listViewType", "EnabledOnly")]
    return {"value": [item for item in azure.children(call.path) if item["properties"]["isEnabled"] in states]}


@MANAGEMENT.route("PUT", SCHEDULE, lasting=True)
def put_schedule(azure: FakeAzure, call: Call) -> object:
    """A schedule or a monitor, on unless it was switched off."""
    body, old = call.json, azure.resources.get(call.path.lower())
    properties = body["properties"]
    was = old["properties"]["isEnabled"] if old else True
    enabled = was if properties.get("isEnabled") is None else properties["isEnabled"]
    with azure.doing("switch schedule" if old and was != enabled else "create schedule", call.names["name"]):
        action = properties["action"]
        if action["actionType"] == "CreateJob":
            check_job(azure, call, action["jobDefinition"])
        else:
            azure.get(action["monitorDefinition"]["monitoringTarget"]["deploymentId"].removeprefix("azureml:"))
        azure.put(call.path, {**body, "properties": {**properties, "isEnabled": enabled}})


@MANAGEMENT.route("DELETE", SCHEDULE, lasting=True)
def delete_schedule(azure: FakeAzure, call: Call) -> object:
    """The end of a schedule that is off."""
    with azure.doing("delete schedule", call.names["name"]):
        if azure.get(call.path)["properties"]["isEnabled"]:
            raise bad_request("An enabled schedule cannot be deleted: disable it first.")
        azure.remove(call.path)


# Registries: they are made through the management plane, and their assets are at home in a region.


def registries(azure: FakeAzure) -> dict[str, Document]:
    """Return the registries by their names, which are unique."""
    found = [item for key, item in azure.resources.items() if re.fullmatch(r".+/registries/[^/]+", key)]
    return {item["name"]: item for item in found}


def registry_path(azure: FakeAzure, name: str) -> str:
    """Return the path of a registry."""
    if name not in registries(azure):
        raise RefusedError(404, "RegistryNotFound", f"Registry {name} was not found.")
    return str(registries(azure)[name]["id"])


@MANAGEMENT.route("GET", f"/subscriptions/{{subscription}}{PROVIDER}/registries")
def list_registries(azure: FakeAzure, call: Call) -> object:
    """The registries of the subscription."""
    if not azure.rights:
        raise RefusedError(403, "AuthorizationFailed", "The client does not have authorization to list registries.")
    return {"value": list(registries(azure).values())}


@MANAGEMENT.route("GET", REGISTRY)
def get_registry(azure: FakeAzure, call: Call) -> object:
    """One registry."""
    return azure.get(call.path)


@MANAGEMENT.route("PUT", REGISTRY, lasting=True)
def put_registry(azure: FakeAzure, call: Call) -> object:
    """A registry, usable in the regions that it names."""
    with azure.doing("create registry", call.names["registry"]):
        body = call.json
        if body["location"] not in [item["location"] for item in body["properties"]["regionDetails"]]:
            raise bad_request("The registry's own region is missing from its regions.")
        azure.put(call.path, body)


@REGION.route("GET", "/registrymanagement/v1.0/registries/{registry}/discovery")
def discover_registry(azure: FakeAzure, call: Call) -> object:
    """Where a registry's assets are."""
    path = registry_path(azure, call.names["registry"])
    location = azure.get(path)["location"]
    return {
        "registryName": call.names["registry"],
        "primaryRegion": location,
        "primaryRegionResourceProviderUri": f"https://{location}.api.azureml.ms/",
        "resourceGroup": path.split("/")[4],
        "subscriptionId": SUBSCRIPTION,
    }


HOME = f"/mferp/managementfrontend{REGISTRY}"


def at_home(call: Call) -> str:
    """Return the path that the management plane would have for a registry's asset."""
    return call.path.removeprefix("/mferp/managementfrontend")


@REGION.route("GET", f"{HOME}/models")
def list_registry_models(azure: FakeAzure, call: Call) -> object:
    """The models of a registry."""
    azure.get(REGISTRY.format(**call.names))
    return {"value": containers(azure, at_home(call))}


@REGION.route("GET", f"{HOME}/models/{{name}}/versions")
def list_registry_versions(azure: FakeAzure, call: Call) -> object:
    """The versions of a registry's model, none for an unknown one: azure-ai-ml asks so before it shares the first."""
    return {"value": azure.children(at_home(call))[::-1]}


@REGION.route("GET", f"{HOME}/models/{{name}}/versions/{{version}}")
def get_registry_model(azure: FakeAzure, call: Call) -> object:
    """One version of a registry's model."""
    return azure.get(at_home(call))


@REGION.route("POST", f"{HOME}/import", lasting=True)
def import_model(azure: FakeAzure, call: Call) -> object:
    """A copy of a workspace's model, with its files."""
    body, path = call.json["properties"], REGISTRY.format(**call.names)
    name, version = body["destinationName"], body["destinationVersion"]
    with azure.doing("share model", version):
        home = azure.get(path)
        source = source_model(azure, body["sourceAssetId"])
        target = f"{path}/models/{name}/versions/{version}"
        if target.lower() in azure.resources:
            raise RefusedError(409, "UserError", "A model with this name and version already exists in the registry.")
        workspace = azure.get(source["id"].split("/models/")[0])
        if workspace["properties"]["publicNetworkAccess"] == "Disabled":
            # What Azure says then is written nowhere, so no code may depend on it.
            raise RefusedError(403, "UserError", "The storage account is closed.")
        if workspace["location"] not in [item["location"] for item in home["properties"]["regionDetails"]]:
            raise bad_request(f"The registry cannot be used in the region {workspace['location']}.")
        address = f"https://registry.blob.core.windows.net/{name}-{version}/model"
        for file, content in azure.files(azure.storage_place(source["properties"]["modelUri"])).items():
            azure.blobs[f"{azure.storage_place(address)}/{file}"] = Blob(content)
        arrive(azure, target, {**source["properties"], "modelUri": address, "tags": {}})


def arrive(azure: FakeAzure, path: str, properties: Document) -> None:
    """Keep a new version of a registry's model, with the files that a test wants to arrive instead of its own."""
    if azure.copied:
        azure.write_files(azure.copied, azure.storage_place(properties["modelUri"]))
    azure.put(path, {"properties": properties})


def source_model(azure: FakeAzure, asset: str) -> Document:
    """Return the workspace's model that an asset id names by the workspace's own id."""
    match = re.fullmatch(r"azureml://locations/[^/]+/workspaces/([^/]+)/models/([^/]+)/versions/([^/]+)", asset)
    for item in azure.resources.values():
        if match and item["properties"].get("workspaceId") == match[1]:
            return azure.get(f"{item['id']}/models/{match[2]}/versions/{match[3]}")
    raise missing(asset)


@REGION.route("PUT", f"{HOME}/models/{{name}}/versions/{{version}}", lasting=True)
def put_registry_model(azure: FakeAzure, call: Call) -> object:
    """A new version of a registry's model, whose files have arrived, or one with other tags: all else never changes."""
    path, body = at_home(call), call.json
    properties, known = {"flavors": {}, "tags": {}, **body["properties"]}, azure.resources.get(path.lower())
    with azure.doing("tag model" if known else "create model", call.names["version"]):
        if known and known["properties"]["modelUri"] != properties["modelUri"]:
            raise RefusedError(409, "UserError", "The path of a model in a registry cannot be changed.")
        if known:
            azure.put(path, {**body, "properties": properties})
            return
        if "MLmodel" not in azure.files(azure.storage_place(properties["modelUri"])):
            raise bad_request("There is no MLmodel file at the path of the model.")
        arrive(azure, path, properties)


@REGION.route("PUT", f"{HOME}/tempdatarefs/{{name}}/versions/{{version}}")
def upload_place(azure: FakeAzure, call: Call) -> object:
    """A place for the files of a new version; one that exists gets none."""
    azure.get(REGISTRY.format(**call.names))
    if f"{REGISTRY}/models/{{name}}/versions/{{version}}".format(**call.names).lower() in azure.resources:
        raise RefusedError(409, "UserError", "This version already exists.")
    container = "https://registry.blob.core.windows.net/{name}-{version}".format(**call.names)
    return {"blobReferenceForConsumption": blob_reference(container)}


@REGION.route("POST", f"{HOME}/datarefs/{{name}}/versions/{{version}}")
def download_place(azure: FakeAzure, call: Call) -> object:
    """The address of a version's files, opened for a while."""
    with azure.doing("download model", call.names["version"]):
        model = azure.get(f"{REGISTRY}/models/{{name}}/versions/{{version}}".format(**call.names))
        return {"blobReferenceForConsumption": blob_reference(model["properties"]["modelUri"].rsplit("/", 1)[0])}


# Storage: one file, one blob, kept under "account/container/path".


@dataclass
class Blob:
    """The content of a blob and its metadata."""

    content: bytes
    metadata: dict[str, str] = field(default_factory=dict)

    @property
    def etag(self) -> str:
        """What changes with the content."""
        return f'"0x{hashlib.sha256(self.content).hexdigest()[:16]}"'

    @property
    def headers(self) -> dict[str, str]:
        """The headers of an answer that is about this blob."""
        moment = "Thu, 01 Jan 2026 00:00:00 GMT"
        kept = {f"x-ms-meta-{key}": value for key, value in self.metadata.items()}
        return {"ETag": self.etag, "Last-Modified": moment, "x-ms-blob-type": "BlockBlob", **kept}


def blob_key(call: Call) -> str:
    """Return the key of the blob that a request is about."""
    return f"{call.host.split('.')[0]}/{call.names['blob']}"


@STORAGE.route("PUT", "/{blob*}")
def put_blob(azure: FakeAzure, call: Call) -> object:
    """The content of a blob, or its metadata alone."""
    metadata = {
        key.lower().removeprefix("x-ms-meta-"): value
        for key, value in call.headers.items()
        if key.lower().startswith("x-ms-meta-")
    }
    if call.query.get("comp") not in (None, "metadata"):
        raise azure.not_faked(f"PUT {call.host}{call.path} {dict(call.query)}")
    if call.headers.get("If-None-Match") == "*" and blob_key(call) in azure.blobs:
        raise RefusedError(409, "BlobAlreadyExists", "The specified blob already exists.")
    blob = found_blob(azure, call) if "comp" in call.query else Blob(call.body)
    azure.blobs[blob_key(call)] = Blob(blob.content, metadata)
    return Answer(b"", 200 if "comp" in call.query else 201, blob.headers)


def found_blob(azure: FakeAzure, call: Call) -> Blob:
    """Return a blob, or refuse the request when there is none."""
    if blob_key(call) not in azure.blobs:
        raise RefusedError(404, "BlobNotFound", "The specified blob does not exist.")
    return azure.blobs[blob_key(call)]


@STORAGE.route("DELETE", "/{blob*}")
def delete_blob(azure: FakeAzure, call: Call) -> object:
    """The end of a blob."""
    found_blob(azure, call)
    del azure.blobs[blob_key(call)]
    return Answer(b"", 202)


@STORAGE.route("HEAD", "/{blob*}")
@STORAGE.route("GET", "/{blob*}")
def get_blob(azure: FakeAzure, call: Call) -> object:
    """The list of a container, a blob, or a part of one."""
    if call.query.get("comp") == "list":
        return list_blobs(azure, call)
    blob = found_blob(azure, call)
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", call.headers.get("x-ms-range", call.headers.get("Range", "")))
    if asked is None or call.method == "HEAD":
        return Answer(blob.content, 200, blob.headers)
    if int(asked[1]) >= len(blob.content):
        raise RefusedError(416, "InvalidRange", "The range specified is invalid for the current size of the resource.")
    part = blob.content[int(asked[1]) : int(asked[2] or len(blob.content)) + 1]
    extent = f"bytes {asked[1]}-{int(asked[1]) + len(part) - 1}/{len(blob.content)}"
    return Answer(part, 206, {**blob.headers, "Content-Range": extent})


def list_blobs(azure: FakeAzure, call: Call) -> Answer:
    """Return the names in a container that start as asked; with a delimiter the folders among them."""
    if not azure.readable:
        raise RefusedError(
            403,
            "AuthorizationPermissionMismatch",
            "This request is not authorized to perform this operation using this permission.",
        )
    container, start, delimiter = f"{blob_key(call)}/", call.query.get("prefix", ""), call.query.get("delimiter")
    names = [key.removeprefix(container) for key in sorted(azure.blobs) if key.startswith(container + start)]
    folders: list[str] = []
    if delimiter:
        heads = [name[: name.find(delimiter, len(start)) + 1] for name in names]
        folders = sorted({head for head in heads if head})
        names = [name for name, head in zip(names, heads, strict=True) if not head]
    items = "".join(
        f"<Blob><Name>{escape(name)}</Name><Properties><Content-Length>{len(azure.blobs[container + name].content)}"
        f"</Content-Length><Etag>{escape(azure.blobs[container + name].etag)}</Etag><BlobType>BlockBlob</BlobType>"
        "</Properties><Metadata/></Blob>"
        for name in names
    ) + "".join(f"<BlobPrefix><Name>{escape(name)}</Name></BlobPrefix>" for name in folders)
    text = (
        f'<?xml version="1.0" encoding="utf-8"?><EnumerationResults ContainerName="{container[:-1]}">'
        f"<Blobs>{items}</Blobs><NextMarker/></EnumerationResults>"
    )
    return Answer(text.encode(), 200, {"Content-Type": "application/xml"})
