"""Stand-ins for `az`, `gh`, `git` and `uv`, as far as `mlops bootstrap` uses them: a subscription, GitHub, a checkout.

Azure DevOps is in `fake_azure_devops`. They answer in this process, keep their state in plain dictionaries, refuse
what the real ones refuse (unknown options, a role for an identity that is not there, a name that is taken, a push over
another user's), and fail where a test wants it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import fake_az
import fake_azure_devops
from fake_azure_devops import FakeAzureDevOps

from mlops.subscription import account as azure

TABLE = json.loads((Path(__file__).parent / "az_core_commands.json").read_text(encoding="utf-8"))
IDENTITIES = "Microsoft.ManagedIdentity/userAssignedIdentities"
ACCOUNTS = "Microsoft.Storage/storageAccounts"
SUBSCRIPTION = "00000000-0000-0000-0000-00000000aaaa"
TENANT = "00000000-0000-0000-0000-00000000bbbb"
PERSON = "00000000-0000-0000-0000-00000000cccc"
READS = re.compile(
    r"az .*\b(show|list|check-name|list-locations)\b|az rest --method get|gh config get |gh api (--include )?[^-]\S*$"
    r"|git (remote get-url|rev-parse|symbolic-ref|ls-files)\b"
)
UPGRADE = "gh: Upgrade to GitHub Pro or make this repository public to enable this feature. (HTTP 403)"
REVIEWERS = "gh: Please ensure the billing plan supports the required reviewers protection rule. (HTTP 422)"
MORE = {"wait_timer", "prevent_self_review", "can_admins_bypass"}


class RefusedError(Exception):
    """The program ends with this on its error stream."""


@dataclass
class FakeCloud:
    """What is there, the command lines so far, and where it must fail."""

    root: Path
    folder: Path = Path()  # where the last command ran
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    identities: dict[str, dict[str, Any]] = field(default_factory=dict)
    credentials: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    accounts: dict[str, dict[str, Any]] = field(default_factory=dict)
    roles: list[dict[str, Any]] = field(default_factory=list)
    definitions: dict[str, dict[str, Any]] = field(default_factory=dict)  # of roles that are not Azure's own
    resources: list[dict[str, Any]] = field(default_factory=list)
    networks: dict[str, dict[str, Any]] = field(default_factory=dict)  # and subnets, by id
    deleted: list[dict[str, Any]] = field(default_factory=list)  # but still in the list of what a group holds
    registered: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    zones: list[dict[str, str]] = field(default_factory=list)  # of every region
    public_access: str = "Enabled"  # what a policy lets a storage account have
    user_type: str = "user"
    unknown_for: int = 0  # how often the directory does not know a new identity
    repository: dict[str, Any] | None = None
    branches: dict[str, str] = field(default_factory=dict)
    environments: dict[str, dict[str, Any]] = field(default_factory=dict)
    protection: dict[str, Any] | None = None
    rules: list[dict[str, Any]] = field(default_factory=list)
    subject: dict[str, Any] = field(default_factory=lambda: {"use_default": True})
    scopes: str | None = "gist, read:org, repo, workflow"
    protocol: str = "https"
    created_at: str = "2026-11-01T00:00:00Z"
    plan: str = "enterprise"  # or free, team
    top: str = ""  # the Git repository around the project
    branch: str = "main"
    head: str = ""
    tracking: str = ""  # what was pushed last
    origin: str = ""
    tracked: list[str] = field(default_factory=list)
    devops: FakeAzureDevOps = field(default_factory=FakeAzureDevOps)
    log: list[list[str]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  # words of a command line: what it says instead
    fail_at: int | None = None  # how many changes come before the one that fails
    fail_after: bool = False  # only when its work is done

    def execute(
        self, command: list[str], folder: Path, variables: Mapping[str, str], *, captured: bool
    ) -> tuple[int, str, str]:
        """Do what `mlops.shell.execute` does."""
        words = [Path(command[0]).name, *command[1:]]
        self.folder = self.devops.root = folder
        self.log.append(words)
        line = " ".join(words)
        fails = False
        if self.fail_at is not None and not READS.match(line):
            fails = self.fail_at == 0
            self.fail_at -= 1
        try:
            if wrong := problems(words):
                raise RefusedError(f"{line}: {'; '.join(wrong)}")
            for part, message in self.failures.items():
                if part in line:
                    raise RefusedError(message)
            if fails and not self.fail_after:
                raise RefusedError("ERROR: (Conflict) not now")
            answer = getattr(self, f"_{words[0]}")(words[1:])
            if fails:
                raise RefusedError("ERROR: connection lost")
        except (RefusedError, fake_azure_devops.RefusedError) as error:
            return 1, "", f"{error}\n"
        return 0, answer if isinstance(answer, str) else json.dumps(answer), ""

    @property
    def changes(self) -> list[list[str]]:
        """The command lines that change something."""
        return [line for line in self.log if not READS.match(" ".join(line))]

    def ran(self, words: str) -> list[str]:
        """The changes that contain `words`."""
        return [text for text in (" ".join(line) for line in self.changes) if words in text]

    def contents(self) -> dict[str, object]:
        """All that can be made and removed again."""
        return {
            "groups": self.groups,
            "identities": self.identities,
            "credentials": {name: each for name, each in self.credentials.items() if each},
            "accounts": self.accounts,
            "roles": [{key: value for key, value in role.items() if key != "id"} for role in self.roles],
            "definitions": self.definitions,
            "environments": self.environments,
            "protection": self.protection,
            **self.devops.contents(),
        }

    # Azure.

    def _az(self, words: list[str]) -> object:
        name = fake_az.command_in(TABLE, ["az", *words])
        assert name  # or it would be a problem
        given = fake_az.options(words[len(name.split()) - 1 :])
        first = {key: values[0] for key, values in given.items() if values}
        if name.startswith(("az devops ", "az pipelines ", "az repos ")):
            answer = self.devops.command(name, first, given, self._document(first))
        else:
            answer = getattr(self, name.replace(" ", "_").replace("-", "_"))(first, given)
        return "" if first.get("--output") == "none" else answer

    def az_account_show(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        user = {"name": "ada@example.com", "type": self.user_type}
        return {"id": SUBSCRIPTION, "tenantId": TENANT, "name": "Sandbox", "user": user}

    def az_account_list_locations(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        assert re.fullmatch(r"\[\?name=='\w+'\]\.availabilityZoneMappings\[\]", one["--query"])
        return self.zones

    def az_ad_signed_in_user_show(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        return {"id": PERSON}

    def az_provider_list(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        return sorted(self.registered)

    def az_provider_register(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        self.registered.add(one["--namespace"])
        return {}

    def az_group_show(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        return _there(self.groups, one["--name"], "(ResourceGroupNotFound) Resource group could not be found.")

    def az_group_create(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        return self.groups.setdefault(one["--name"], {"name": one["--name"], "tags": _tags(many)})

    def az_group_delete(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        _require(not self._inside(one["--name"]), "the test deletes a group with something in it")
        del self.groups[one["--name"]]
        self.deleted = [each for each in self.deleted if each["group"] != one["--name"]]
        return {}

    def az_resource_list(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        if "--resource-group" in one:
            gone = [each for each in self.deleted if each["group"] == one["--resource-group"]]
            return self._inside(one["--resource-group"]) + gone
        return [
            each for each in self.resources if each["name"] == one["--name"] and each["type"] == one["--resource-type"]
        ]

    def az_resource_show(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        if "--ids" in one:
            return _there(self.networks, one["--ids"], "(ResourceNotFound) The Resource was not found.")
        wanted = (one["--resource-group"], one["--name"], one["--resource-type"])
        _require(one["--resource-type"].count("/") == 1, "(NotFound) A child is found by its parent alone.")
        inside = self._inside(one["--resource-group"])
        found = [each for each in inside if (each["group"], each["name"], each["type"]) == wanted]
        _require(found, "(ResourceNotFound) The Resource was not found.")
        return found[0]

    def az_identity_show(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        return _there(self.identities, one["--name"], "(ResourceNotFound) The Resource was not found.")

    def az_identity_create(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        self._provider("Microsoft.ManagedIdentity")
        _require(one["--resource-group"] in self.groups, "(ResourceGroupNotFound) could not be found.")
        name = one["--name"]
        ids = {"clientId": f"client-of-{name}", "principalId": f"principal-of-{name}"}
        place = {"name": name, "group": one["--resource-group"], "type": IDENTITIES}
        new = {**place, **ids, "tags": _tags(many)}
        return self.identities.setdefault(name, new)

    def az_identity_delete(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        identity = self.identities.pop(one["--name"])
        self.credentials.pop(one["--name"], None)
        left = [role for role in self.roles if role["principalId"] == identity["principalId"]]
        _require(not left, f"the test leaves roles of a deleted identity: {left}")
        self.deleted.append(identity)
        return {}

    def az_identity_federated_credential_list(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        _there(self.identities, one["--identity-name"], "(ParentResourceNotFound) was not found.")
        return list(self.credentials.get(one["--identity-name"], {}).values())

    def az_identity_federated_credential_create(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        there = self.credentials.setdefault(one["--identity-name"], {})
        subjects = [each["subject"] for name, each in there.items() if name != one["--name"]]
        _require(one["--subject"] not in subjects, "(Conflict) Issuer and subject combination already exists")
        _require(one["--audiences"] == "api://AzureADTokenExchange", "AADSTS700212: no matching audience")
        new = {"name": one["--name"], "issuer": one["--issuer"], "subject": one["--subject"]}
        return there.setdefault(one["--name"], new)

    def az_identity_federated_credential_delete(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        return self.credentials[one["--identity-name"]].pop(one["--name"])

    def az_storage_account_check_name(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        return {"nameAvailable": one["--name"] not in self.taken | {*self.accounts}, "reason": "AlreadyExists"}

    def az_storage_account_show(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        return _there(self.accounts, one["--name"], "(ResourceNotFound) The Resource was not found.")

    def az_storage_account_create(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        self._provider("Microsoft.Storage")
        name = one["--name"]
        taken = f"(StorageAccountAlreadyTaken) The storage account named {name} is already taken."
        _require(name not in self.taken, taken)
        settings = {key: one[key] for key in one if key.startswith(("--allow", "--min", "--https", "--kind"))}
        place = {"name": name, "group": one["--resource-group"], "type": ACCOUNTS}
        rules = {"bypass": "AzureServices", "ipRules": [], "virtualNetworkRules": []}
        rules["defaultAction"] = one.get("--default-action", "Allow")
        properties = {"publicNetworkAccess": self.public_access, "networkAcls": rules}
        new = {**place, "tags": _tags(many), **settings, "containers": [], "properties": properties}
        return self.accounts.setdefault(name, new)

    def az_storage_account_delete(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        self.deleted.append(self.accounts.pop(one["--name"]))
        self.roles = [role for role in self.roles if not role["scope"].endswith(f"/{one['--name']}")]
        return {}

    def az_storage_account_blob_service_properties_show(
        self, one: dict[str, str], many: dict[str, list[str]]
    ) -> object:
        account = _there(self.accounts, one["--account-name"], "(ResourceNotFound) was not found.")
        return account.get("blobs", {"isVersioningEnabled": None, "deleteRetentionPolicy": {"enabled": False}})

    def az_storage_account_blob_service_properties_update(
        self, one: dict[str, str], many: dict[str, list[str]]
    ) -> object:
        kept = {"enabled": one["--enable-delete-retention"] == "true", "days": int(one["--delete-retention-days"])}
        self.accounts[one["--account-name"]]["blobs"] = {
            "isVersioningEnabled": one["--enable-versioning"] == "true",
            "deleteRetentionPolicy": kept,
            "containerDeleteRetentionPolicy": {"enabled": one["--enable-container-delete-retention"] == "true"},
        }
        return {}

    def az_storage_container_rm_show(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        account = _there(self.accounts, one["--storage-account"], "(ResourceNotFound) was not found.")
        _require(one["--name"] in account["containers"], "(ContainerNotFound) does not exist.")
        return {"name": one["--name"]}

    def az_storage_container_rm_create(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        self.accounts[one["--storage-account"]]["containers"].append(one["--name"])
        return {}

    def az_role_assignment_list(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        return [role for role in self.roles if role["scope"] == one["--scope"]]

    def az_role_assignment_create(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        principal = one["--assignee-object-id"]
        if self.unknown_for:
            self.unknown_for -= 1
            raise RefusedError(f"ERROR: (PrincipalNotFound) Principal {principal} does not exist in the directory.")
        known = {each["principalId"]: "ServicePrincipal" for each in self.identities.values()} | {PERSON: "User"}
        _require(known.get(principal) == one["--assignee-principal-type"], "(UnmatchedPrincipalType)")
        role = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{one['--role']}"
        there = {*azure.ROLES.values(), *self.definitions}
        _require(one["--role"] in there, "(RoleDefinitionDoesNotExist) The specified role definition does not exist.")
        key = (principal, role, one["--scope"])
        there = [(each["principalId"], each["roleDefinitionId"], each["scope"]) for each in self.roles]
        _require(key not in there, "ERROR: (RoleAssignmentExists) The role assignment already exists.")
        condition = one.get("--condition")
        _require(not condition or one["--condition-version"] == "2.0", "(ConditionVersion)")
        new = {"principalId": principal, "roleDefinitionId": role, "scope": one["--scope"], "condition": condition}
        self.roles.append({"id": f"{one['--scope']}/{principal}/{one['--role']}", **new})
        return {}

    def az_role_assignment_delete(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        _require(many["--ids"], "argument --ids: expected at least one argument")
        self.roles = [role for role in self.roles if role["id"] not in many["--ids"]]
        return {}

    def _document(self, one: dict[str, str]) -> Any:
        """Return the JSON document that a command reads from a file."""
        name = one.get("--body", one.get("--service-endpoint-configuration", "")).removeprefix("@")
        return json.loads((self.folder / name).read_text(encoding="utf-8")) if name else None

    def az_extension_show(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        _require(self.devops.extension, "ERROR: The extension azure-devops is not installed.")
        return {"name": one["--name"]}

    def az_rest(self, one: dict[str, str], many: dict[str, list[str]]) -> object:
        if one.get("--resource") == fake_azure_devops.RESOURCE:
            given = dict(pair.split("=", 1) for pair in many["--url-parameters"])
            return self.devops.call(one["--method"], one["--url"], given, self._document(one))
        place, _, number = one["--url"].rpartition("/")
        if place.endswith(ACCOUNTS):
            return self._patch_account(number, one)
        definitions = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions"
        _require(place == definitions, "(NotFound)")
        _require(one["--url-parameters"] == "api-version=2022-04-01", "(InvalidApiVersionParameter)")
        if one["--method"] == "put":
            document = self._document(one)
            _require(document["properties"]["assignableScopes"] == [f"/subscriptions/{SUBSCRIPTION}"], "(InvalidScope)")
            self.definitions[number] = document
        known = f"(RoleDefinitionDoesNotExist) The specified role definition with ID '{number}' does not exist."
        found = _there(self.definitions, number, known)
        if one["--method"] == "delete":
            users = [role for role in self.roles if role["roleDefinitionId"].endswith(number)]
            _require(not users, "(RoleDefinitionHasAssignments) There are existing role assignments")
            del self.definitions[number]
        return found

    def _patch_account(self, name: str, one: dict[str, str]) -> object:
        """Change the rules of a storage account's firewall, which replaces those that were there."""
        account = _there(self.accounts, name, "(ResourceNotFound) The Resource was not found.")
        _require((one["--method"], one["--url-parameters"]) == ("patch", "api-version=2025-08-01"), "(InvalidRequest)")
        properties = self._document(one)["properties"]
        rules = properties["networkAcls"]
        for rule in rules["ipRules"]:
            network = IPv4Network(rule["value"])
            _require("/" not in rule["value"] or network.prefixlen <= 30, "(InvalidValuesForRequestParameters) ipRules")
            _require(not network.overlaps(IPv4Network("10.0.0.0/8")), "(InvalidValuesForRequestParameters) ipRules")
        for rule in rules["virtualNetworkRules"]:
            found = _there(self.networks, rule["id"], "(NetworkAclsValidationFailure) no such subnet")
            _require(found["properties"].get("serviceEndpoints"), "(SubnetsHaveNoServiceEndpointsConfigured)")
        account["properties"] |= properties
        if self.public_access != "Enabled":
            account["properties"]["publicNetworkAccess"] = self.public_access
        return account

    def _inside(self, group: str) -> list[dict[str, Any]]:
        everything = [*self.identities.values(), *self.accounts.values(), *self.resources]
        return [each for each in everything if each["group"] == group]

    def _provider(self, namespace: str) -> None:
        _require(namespace in self.registered, f"(MissingSubscriptionRegistration) {namespace}")

    # GitHub.

    def _gh(self, words: list[str]) -> object:
        if words[0] == "api":
            return self._gh_api(words[1:])
        if words[:3] == ["config", "get", "git_protocol"]:
            return f"{self.protocol}\n"
        given = fake_az.options(words)
        if words[:2] == ["repo", "create"]:
            _require(self.repository is None, "GraphQL: Name already exists on this account (createRepository)")
            self.create_repository(words[2], private="--private" in given)
            if "--source" in given:
                _require(self.top, "current directory is not a git repository. Run `git init` to initialize it")
                start = "git@github.com:" if self.protocol == "ssh" else "https://github.com/"
                self.origin = f"{start}{words[2]}.git"
            return ""
        _require(words[0] == "variable" and given["--env"][0] in self.environments, "gh: Not Found (HTTP 404)")
        variables = self.environments[given["--env"][0]]["variables"]
        if words[1] == "set":
            variables[words[2]] = given["--body"][0]
        else:
            del variables[words[2]]
        return ""

    def create_repository(self, name: str, *, private: bool = True) -> None:
        """Make an empty repository."""
        owner, _, short = name.partition("/")
        self.repository = {
            "id": 202,
            "name": short,
            "full_name": name,
            "private": private,
            "owner": {"login": owner, "id": 101},
            "clone_url": f"https://github.com/{name}.git",
            "created_at": self.created_at,
            "permissions": {"admin": True, "push": True},
        }

    def _gh_api(self, words: list[str]) -> object:
        if words == ["--include", "user"]:
            scopes = "" if self.scopes is None else f"X-Oauth-Scopes: {self.scopes}\r\n"
            return f"HTTP/2.0 200 OK\r\nDate: today\r\n{scopes}\r\n" + json.dumps({"login": "ada", "id": 7})
        method = words[1] if words[0] == "--method" else "GET"
        path = (words[2] if words[0] == "--method" else words[0]).partition("?")[0]
        fields = sent_fields(words[3:])
        found = self.repository
        if found:  # gh puts the repository of the folder here
            path = path.replace("{owner}/{repo}", found["full_name"])
        _require(found and path.startswith(f"repos/{found['full_name']}"), "gh: Not Found (HTTP 404)")
        assert found is not None
        path = path.removeprefix(f"repos/{found['full_name']}").strip("/")
        if not path:
            return found
        if path == "actions/oidc/customization/sub":
            return self.subject
        if path.startswith("environments/"):
            return self._gh_environment(method, path.split("/")[1], path.split("/")[2:], fields)
        if path == "branches":
            return [{"name": name} for name in self.branches]
        if self.plan == "free" and path in ("branches/main/protection", "rules/branches/main"):
            raise RefusedError(UPGRADE)
        if path == "rules/branches/main":
            return self.rules
        _require("main" in self.branches, "gh: Branch not found (HTTP 404)")
        if path == "branches/main":
            return {"name": "main"}
        if method == "PUT":
            return self._protect(fields)
        _require(self.protection, "gh: Branch not protected (HTTP 404)")
        if method == "DELETE":
            self.protection = None
        return self.protection

    def _protect(self, fields: list[str]) -> object:
        contexts = [each.split("=")[1] for each in fields if each.startswith("required_status_checks[contexts]")]
        approvals = [each.split("=")[1] for each in fields if "approving_review_count" in each]
        parts = {re.split(r"[\[=]", each)[0] for each in fields}
        needed = {"required_status_checks", "required_pull_request_reviews", "enforce_admins", "restrictions"}
        _require(parts == needed, "gh: Invalid request. No subschema in anyOf matched. (HTTP 422)")
        self.protection = {
            "required_status_checks": {"contexts": contexts} if contexts else None,
            "required_pull_request_reviews": {"required_approving_review_count": int(approvals[0])},
        }
        return self.protection

    def _gh_environment(self, method: str, name: str, rest: list[str], fields: list[str]) -> object:
        if method == "PUT":
            return self._put_environment(name, fields)
        if rest == ["deployment-branch-policies"]:
            return self._gh_branch_policies(method, name, fields)
        found = _there(self.environments, name, "gh: Not Found (HTTP 404)")
        if method == "DELETE":
            del self.environments[name]
            return ""
        if rest == ["variables"]:
            listed = [{"name": key, "value": value} for key, value in found["variables"].items()]
            return {"total_count": len(listed), "variables": listed}
        if rest == ["secrets"]:
            secrets = [{"name": f"SECRET_{number}"} for number in range(found["secrets"])]
            return {"total_count": len(secrets), "secrets": secrets}
        more = found.get("more", {})
        people = [{"type": "User", "reviewer": {"id": int(each)}} for each in found["reviewers"]]
        rules: list[dict[str, Any]] = []
        if people:
            alone = more.get("prevent_self_review", False)
            rules.append({"type": "required_reviewers", "prevent_self_review": alone, "reviewers": people})
        if found["policy"]:
            rules.append({"type": "branch_policy"})
        if "wait_timer" in more:
            rules.append({"type": "wait_timer", "wait_timer": more["wait_timer"]})
        kind = found["policy"]
        policy = (
            {"protected_branches": kind == "protected", "custom_branch_policies": kind == "custom"} if kind else None
        )
        bypass = more.get("can_admins_bypass", True)
        shown = {"protection_rules": rules, "deployment_branch_policy": policy, "can_admins_bypass": bypass}
        return {"name": name, **shown}

    def _gh_branch_policies(self, method: str, name: str, fields: list[str]) -> object:
        """The branches that an environment names, which it can only while its policy is a custom one."""
        found = _there(self.environments, name, "gh: Not Found (HTTP 404)")
        _require(found["policy"] == "custom" or method == "GET", "gh: Not Found (HTTP 404)")
        if method == "POST":
            given = dict(each.split("=", 1) for each in fields)
            _require(given.keys() == {"name", "type"} and given["type"] == "branch", "gh: Invalid request. (HTTP 422)")
            _require(given["name"] not in found["branches"], "gh: See Other (HTTP 303)")
            found["branches"].append(given["name"])
        listed = [{"id": number, "name": each, "type": "branch"} for number, each in enumerate(found["branches"])]
        return {"total_count": len(listed), "branch_policies": listed}

    def _put_environment(self, name: str, fields: list[str]) -> object:
        """Make an environment, or set its rules anew: what the call does not name goes back to GitHub's default."""
        assert self.repository is not None
        people = elements(fields, "reviewers")
        whole = all(each.keys() == {"type", "id"} and each["type"] in ("User", "Team") for each in people)
        _require(whole, "gh: Invalid request. For 'anyOf/0', a reviewer is not complete. (HTTP 422)")
        reviewers = [each["id"] for each in people]
        flags = {key: value for key, _, value in (each.partition("=") for each in fields) if "[" not in key}
        known = r"(reviewers\[\]\[(type|id)\]|deployment_branch_policy\[(protected|custom)_branch\w*\])=.*"
        kinds = {"protected_branches": "protected", "custom_branch_policies": "custom"}
        chosen = [kind for key, kind in kinds.items() if f"deployment_branch_policy[{key}]=true" in fields]
        given = [each for each in fields if each.startswith("deployment_branch_policy")]
        _require(not given or (len(given) == 2 and len(chosen) == 1), "gh: Both cannot have the same value. (HTTP 422)")
        fits = all(re.fullmatch(known, each) for each in fields if "[" in each)
        _require(fits and {*flags} <= MORE, "gh: Invalid request. (HTTP 422)")
        empty = {"variables": {}, "secrets": 0, "reviewers": [], "policy": "", "branches": []}
        new = self.environments.setdefault(name, empty)
        # Named at all, even with its default, it is refused (alchemy-run/alchemy#1373).
        private = self.repository["private"]
        _require(not private or self.plan == "enterprise" or not (reviewers or flags), REVIEWERS)
        _require(not private or self.plan != "free" or not chosen, UPGRADE)
        new.pop("more", None)
        new.update(reviewers=reviewers, policy="".join(chosen))
        if chosen != ["custom"]:
            new["branches"] = []
        if flags:
            new["more"] = {key: json.loads(value) for key, value in flags.items()}
        return {}

    # The checkout.

    def _uv(self, words: list[str]) -> object:
        (self.root / "uv.lock").write_text("version = 1\n", encoding="utf-8")
        return ""

    def _git(self, words: list[str]) -> object:
        while words[0] == "-c":
            words = words[2:]
        if words[0] == "init":
            self.top = str(self.root)
            return ""
        _require(self.top, "fatal: not a git repository (or any of the parent directories): .git")
        if words[:2] == ["remote", "add"]:
            self.origin = words[3]
        elif words[:2] == ["remote", "get-url"]:
            _require(self.origin, "error: No such remote 'origin'")
            return self.origin
        elif words[:2] == ["rev-parse", "--show-toplevel"]:
            return self.top
        elif words[:2] == ["rev-parse", "--verify"] and words[2].startswith("refs/remotes/"):
            _require(self.tracking, "fatal: Needed a single revision")
            return self.tracking
        elif words[0] == "rev-parse":
            _require(self.head, "fatal: Needed a single revision")
            return self.head
        elif words[0] == "symbolic-ref":
            return self.branch
        elif words[0] == "ls-files":
            return "\n".join(each for each in self.tracked if each == words[1])
        elif words[0] == "add":
            everything = [each.name for each in self.root.iterdir()]
            self.tracked += [each for each in everything if words[1] in ("--all", each)]
        elif words[0] == "commit":
            self.head += "1"
        elif words[0] == "push" and "dev.azure.com" in self.origin:
            problem = self.devops.push(self.origin, self.head)
            _require(not problem, problem)
            self.tracking = self.head
        elif words[0] == "push":
            there = self.branches.get("main", "")
            _require(self.head.startswith(there), " ! [rejected] main -> main (fetch first)")
            self.branches["main"] = self.head
        return ""


def sent_fields(words: list[str]) -> list[str]:
    """Return the fields in the order in which gh reads them: all with -f, and then all with -F."""
    pairs = list(zip(words[::2], words[1::2], strict=True))
    return [text for option in ("-f", "-F") for kind, text in pairs if kind == option]


def elements(fields: list[str], name: str) -> list[dict[str, str]]:
    """Return the elements of a list as gh puts them together: a key that the last one has begins the next."""
    found: list[dict[str, str]] = []
    for text in fields:
        if part := re.fullmatch(rf"{name}\[\]\[(\w+)\]=(.*)", text):
            if not found or part[1] in found[-1]:
                found.append({})
            found[-1][part[1]] = part[2]
    return found


def problems(words: list[str]) -> list[str]:
    """Return what is wrong with a command line of `az` or `gh` according to the table of commands."""
    if words[0] not in ("az", "gh"):
        return []
    name = fake_az.command_in(TABLE, words)
    if name is None:
        return ["not in az_core_commands.json"]
    entry, rest = TABLE[name], words[len(name.split()) :]
    if words[0] == "gh":
        given = {word for word in rest if word.startswith("-")}
        return [f"unknown option {option}" for option in given if option not in entry["options"]]
    given = fake_az.options(rest)
    wrong = [f"unrecognized arguments: {option}" for option in given if option not in entry["options"]]
    wrong += [f"the following arguments are required: {option}" for option in entry["required"] if option not in given]
    for option, values in given.items():
        flag, several = option in entry.get("flags", []), option in entry.get("several", [])
        if (flag and values) or (not flag and not values) or (len(values) > 1 and not several):
            wrong.append(f"argument {option}: unexpected number of values: {values}")
    return wrong


def _tags(given: dict[str, list[str]]) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in given["--tags"])


def _there(things: Mapping[str, dict[str, Any]], name: str, message: str) -> dict[str, Any]:
    _require(name in things, f"ERROR: {message}")
    return things[name]


def _require(condition: object, message: str) -> None:
    if not condition:
        raise RefusedError(message)
