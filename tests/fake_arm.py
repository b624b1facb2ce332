"""An Azure Resource Manager on the loopback, in which Terraform with the real azurerm provider builds an environment.

It keeps what is sent, answers what Azure adds to it, and refuses what Azure refuses of our resources. It knows Azure
from its specifications and from recorded requests, so a finding against it is a question to Azure, not yet an answer.
`WRITTEN` is what Azure and Azure ML change in our resources afterwards, by themselves (azure_writes.yml has the
decision about each).

One server answers as Resource Manager, Entra ID and cloud metadata; a proxy leads the vault's host there, too.
"""

import base64
import copy
import http.server
import ipaddress
import json
import os
import re
import socket
import socketserver
import ssl
import subprocess
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

TENANT = "00000000-0000-0000-0000-00000000aaaa"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
DEPLOYER = "00000000-0000-0000-0000-00000000bbbb"
USERS = {"00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"}
MOMENT = "2026-01-01T00:00:00Z"

ML = "microsoft.machinelearningservices/workspaces"
REGISTRY = "microsoft.machinelearningservices/registries"
STORAGE = "microsoft.storage/storageaccounts"
ACR = "microsoft.containerregistry/registries"
VAULT = "microsoft.keyvault/vaults"
LOGS = "microsoft.operationalinsights/workspaces"
IDENTITY = "microsoft.managedidentity/userassignedidentities"
ASSIGNMENT, LOCK = "microsoft.authorization/roleassignments", "microsoft.authorization/locks"
SUBNET, ENDPOINT = "microsoft.network/virtualnetworks/subnets", "microsoft.network/privateendpoints"
ZONE = "microsoft.network/privatednszones"
LINK = f"{ZONE}/virtualnetworklinks"

CONTRIBUTOR, APPROVER = "b24988ac-6180-42a0-ab88-20f7382dd24c", "b556d68e-0be0-4f35-a333-ad7ee1ce17ea"
PARTS = {
    ML: {"amlworkspace"},
    REGISTRY: {"amlregistry"},
    STORAGE: {"blob", "file", "queue", "table", "dfs"},
    VAULT: {"vault"},
    ACR: {"registry"},
}
STUDIO = [
    "https://mlworkspace.azure.ai",
    "https://ml.azure.com",
    "https://*.ml.azure.com",
    "https://ai.azure.com",
    "https://*.ai.azure.com",
    "https://mlworkspacecanary.azure.ai",
]
"""Where the pages come from that Azure ML lets read its storage account: another list than ours (shared/studio.yml)."""

Body = dict[str, Any]


class RefusalError(Exception):
    """An error of Azure: status, code and message."""

    def __init__(self, status: int, code: str, message: str) -> None:
        """Keep the three."""
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


def kind_and_scope(path: str) -> tuple[str, str]:
    """The type of a resource in lower case, and what it is on or in."""
    scope, found, rest = path.rpartition("/providers/")
    if not found:
        return ("group" if "/resourcegroups/" in path.lower() else "subscription"), ""
    words = rest.split("/")
    return "/".join([words[0], *words[1::2]]).lower(), scope


def last(path: str) -> str:
    return path.rpartition("/")[2]


def container_of(path: str) -> str:
    """The resource that this one is a part of: /a/b in /a/b/type/name."""
    return path.rsplit("/", 2)[0]


def stable(*words: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "/".join(words).lower()))


def merged(old: Any, new: Any) -> Any:
    """What PATCH makes of two bodies."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return copy.deepcopy(new)
    kept = {key: value for key, value in old.items() if key not in new}
    return kept | {key: merged(old.get(key), value) for key, value in new.items()}


class Azure:
    """What is built, by id, and the rules for it."""

    def __init__(self) -> None:
        """Begin with an empty subscription."""
        self.resources: dict[str, Body] = {}
        self.deleted_vaults: dict[str, Body] = {}
        self.registered = {"microsoft.authorization", "microsoft.resources"}
        self.requests: list[tuple[str, str, int]] = []
        self.puts: list[tuple[str, Body]] = []
        self.generation = 0
        self.lock = threading.RLock()

    # Look.

    def find(self, path: str) -> Body | None:
        return self.resources.get(path.lower())

    def need(self, path: str, kind: str = "") -> Body:
        found = self.find(path)
        if found is None or (kind and kind_and_scope(path)[0] != kind):
            raise RefusalError(400, "ValidationError", f"{path} is no {kind or 'resource'}")
        return found

    def of(self, kind: str, below: str = "") -> Iterator[Body]:
        for key, each in list(self.resources.items()):
            if kind_and_scope(key)[0] == kind and key.startswith(below.lower()):
                yield each

    def granted(self, principal: str, role: str, scope: str) -> bool:
        return any(
            each["properties"]["principalId"] == principal
            and each["properties"]["roleDefinitionId"].endswith(role)
            and f"{scope}/".lower().startswith(f"{each['properties']['scope']}/".lower())
            for each in self.of(ASSIGNMENT)
        )

    def shown(self, body: Body) -> Body:
        """A resource with what is kept elsewhere: its parts, and the connections to it."""
        answer, path = copy.deepcopy(body), body["id"]
        kind, properties = kind_and_scope(path)[0], answer.setdefault("properties", {})
        if kind in PARTS:
            properties["privateEndpointConnections"] = [
                {"id": f"{path}/privateEndpointConnections/{each['name']}", "properties": {"privateEndpoint": each}}
                for each in self.of(ENDPOINT)
                if any(
                    one["properties"]["privateLinkServiceId"].lower() == path.lower()
                    for one in each["properties"]["privateLinkServiceConnections"]
                )
            ]
        if kind == "microsoft.network/virtualnetworks":
            properties["subnets"] = [self.shown(each) for each in self.of(SUBNET, f"{path}/")]
        if kind == ML and properties.get("managedNetwork"):
            rules = {each["name"]: each["properties"] for each in self.of(f"{ML}/outboundrules", f"{path}/")}
            properties["managedNetwork"]["outboundRules"] = rules
        for owner, key in (("networksecuritygroups", "networkSecurityGroup"), ("natgateways", "natGateway")):
            if kind == f"microsoft.network/{owner}":
                properties["subnets"] = [
                    {"id": each["id"]}
                    for each in self.of(SUBNET)
                    if each["properties"].get(key, {}).get("id", "").lower() == path.lower()
                ]
        return {key: value for key, value in answer.items() if not key.startswith("_")}

    # Change.

    def put(self, path: str, sent: Body) -> Body:
        """Create or replace."""
        kind, scope = kind_and_scope(path)
        parent = container_of(path) if kind.count("/") > 1 else scope
        namespace = kind.partition("/")[0]
        if "/" in kind and namespace not in self.registered:
            raise RefusalError(409, "MissingSubscriptionRegistration", f"not registered to use namespace '{namespace}'")
        if "/" in kind and parent.count("/") > 2 and self.find(parent) is None:
            raise RefusalError(404, "ParentResourceNotFound", f"{parent} was not found")
        old = self.find(path)
        if old and old.get("location") and sent.get("location", old["location"]) != old["location"]:
            raise RefusalError(409, "InvalidResourceLocation", f"{path} is in another location")
        path = old["id"] if old else path
        spelled = path.rpartition("/providers/")[2].split("/")
        body = {
            **copy.deepcopy(sent),
            "id": path,
            "name": last(path),
            "type": "/".join([spelled[0], *spelled[1::2]]) if "/" in kind else "Microsoft.Resources/resourceGroups",
        }
        body.setdefault("properties", {})
        rule = RULES.get(kind)
        body = rule(self, path, body, copy.deepcopy(old)) if rule else body
        if kind not in (ASSIGNMENT, LOCK):
            body["properties"].setdefault("provisioningState", "Succeeded")
        self.resources[path.lower()] = body
        if kind in AFTERWARDS and old is None:
            AFTERWARDS[kind](self, body)
        return body

    def delete(self, path: str, query: dict[str, str]) -> bool:
        """Delete with all parts; returns whether there was something."""
        found = self.find(path)
        if found is None:
            return False
        kind = kind_and_scope(path)[0]
        if kind != LOCK:
            for each in self.of(LOCK):
                held = kind_and_scope(each["id"])[1].lower()
                if path.lower() == held or path.lower().startswith(f"{held}/") or held.startswith(f"{path.lower()}/"):
                    raise RefusalError(409, "ScopeLocked", f"'{path}' cannot perform delete: locked: {held}")
        if kind == f"{ML}/computes" and "underlyingResourceAction" not in query:
            raise RefusalError(400, "BadArgument", "underlyingResourceAction is required")
        self._refuse_used(path, kind)
        if kind == VAULT:
            self.deleted_vaults[last(path).lower()] = copy.deepcopy(found)
        for key in [key for key in self.resources if key == path.lower() or key.startswith(f"{path.lower()}/")]:
            del self.resources[key]
        return True

    def _refuse_used(self, path: str, kind: str) -> None:
        low = path.lower()
        uses = {
            "microsoft.network/networksecuritygroups": (SUBNET, "networkSecurityGroup"),
            "microsoft.network/natgateways": (SUBNET, "natGateway"),
            SUBNET: (ENDPOINT, "subnet"),
        }
        user, key = uses.get(kind, ("", ""))
        for each in self.of(user) if user else ():
            if (each["properties"].get(key) or {}).get("id", "").lower() == low:
                raise RefusalError(400, "InUse", f"{path} is used by {each['id']}")
        if kind == ZONE and any(self.of(LINK, f"{low}/")):
            raise RefusalError(409, "CannotDeleteResource", "nested resources exist: virtual network links")
        if kind == "group" and (left := self.tracked(path)):
            raise RefusalError(409, "Fake", f"what is left in the group would go, too: {left}")

    def tracked(self, group: str) -> list[str]:
        """What a group lists: no parts of resources, rights and settings."""
        return [
            each["id"]
            for key, each in self.resources.items()
            if key.startswith(f"{group.lower()}/providers/")
            and key.count("/providers/") == 1
            and kind_and_scope(key)[0].count("/") == 1
            and not key.rpartition("/providers/")[2].startswith(("microsoft.authorization", "microsoft.resources"))
            and "microsoft.consumption" not in key
        ]


# What Azure makes of each type: (azure, path, sent, old) -> body. Only what the provider reads, or what Azure refuses.

Rule = Callable[[Azure, str, Body, Body | None], Body]


def user_identities(azure: Azure, body: Body) -> None:
    for key in (body.get("identity") or {}).get("userAssignedIdentities") or {}:
        found = azure.need(key, IDENTITY)["properties"]
        body["identity"]["userAssignedIdentities"][key] = {name: found[name] for name in ("principalId", "clientId")}


def identity(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    azure.generation += 1
    new = {name: stable(path, name, str(azure.generation)) for name in ("principalId", "clientId")}
    body["properties"] = old["properties"] if old else {"tenantId": TENANT, **new}
    return body


def storage_account(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    if any(last(each["id"]) == last(path) and each["id"].lower() != path.lower() for each in azure.of(STORAGE)):
        raise RefusalError(409, "StorageAccountAlreadyTaken", f"{last(path)} is taken")
    properties = body["properties"] = {**(old or {}).get("properties", {}), **body["properties"]}
    if old:
        body = {**{key: old[key] for key in ("sku", "kind", "tags", "location") if key in old}, **body}
    acls = properties.setdefault("networkAcls", {"bypass": "AzureServices", "defaultAction": "Allow"})
    for key in ("ipRules", "virtualNetworkRules", "resourceAccessRules"):
        acls[key] = acls.get(key) or []
    services = {name: {"enabled": True, "keyType": "Account"} for name in ("blob", "file")}
    encryption = {"keySource": "Microsoft.Storage", "services": services}
    properties["encryption"] = merged(encryption, properties.get("encryption") or {})
    user_identities(azure, body)
    properties["primaryLocation"] = body["location"]
    properties["primaryEndpoints"] = {
        name: f"https://{last(path)}.{name}.core.windows.net/"
        for name in ("blob", "file", "queue", "table", "dfs", "web")
    }
    body["sku"]["tier"] = "Standard"
    return body


def fill_storage(azure: Azure, account: Body) -> None:
    for name in ("blobServices", "fileServices", "queueServices", "tableServices"):
        own = {"fileServices": {"shareDeleteRetentionPolicy": {"enabled": True, "days": 7}}}.get(name, {})
        azure.put(f"{account['id']}/{name}/default", {"properties": {"cors": {"corsRules": []}, **own}})


def blob_service(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    """Set Service Properties: what is not sent stays, and CORS rules that are sent replace all."""
    account = azure.need(container_of(path), STORAGE)
    properties = {**(old or {}).get("properties", {}), **body["properties"]}
    if account["properties"].get("isHnsEnabled") and properties.get("isVersioningEnabled"):
        raise RefusalError(400, "FeatureNotSupportedForAccount", "no versions with a hierarchical namespace")
    properties["cors"] = {"corsRules": (properties.get("cors") or {}).get("corsRules") or []}
    return {**body, "properties": properties}


def file_service(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    """As that of blobs; an empty setting of SMB is the default again."""
    body = blob_service(azure, path, body, old)
    smb = (body["properties"].get("protocolSettings") or {}).get("smb") or {}
    body["properties"]["protocolSettings"] = {"smb": {key: value for key, value in smb.items() if value}}
    return body


def container(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    defaults = {"publicAccess": "None", "defaultEncryptionScope": "$account-encryption-key", "metadata": {}}
    body["properties"] = {**defaults, "denyEncryptionScopeOverride": False, **body["properties"]}
    return body


def vault(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    properties, binned = body["properties"], azure.deleted_vaults.get(last(path).lower())
    recovers = properties.pop("createMode", "default") == "recover"
    if properties.get("enablePurgeProtection") is False:
        raise RefusalError(400, "BadRequest", 'The property "enablePurgeProtection" cannot be set to false.')
    if old is None and binned and not recovers:
        raise RefusalError(409, "ConflictError", "A vault with the same name already exists in deleted state.")
    if old is None and recovers:
        if not binned:
            raise RefusalError(404, "DeletedVaultNotFound", last(path))
        body = {**azure.deleted_vaults.pop(last(path).lower()), "tags": body.get("tags")}
        properties = body["properties"]
    for key in ("ipRules", "virtualNetworkRules"):
        properties["networkAcls"][key] = properties["networkAcls"].get(key) or []
    properties |= {"vaultUri": f"https://{last(path)}.vault.azure.net/", "enableSoftDelete": True}
    return body


def container_registry(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    premium = body["sku"]["name"] == "Premium"
    if body["properties"].get("publicNetworkAccess") == "Disabled" and not premium:
        raise RefusalError(400, "PublicNetworkAccessNotSupported", "for Premium alone")
    off = {"status": "disabled"}
    defaults = {
        "adminUserEnabled": False,
        "anonymousPullEnabled": False,
        "dataEndpointEnabled": False,
        "encryption": off,
        "networkRuleBypassOptions": "AzureServices",
        "publicNetworkAccess": "Enabled",
        "zoneRedundancy": "Disabled",
        "roleAssignmentMode": "LegacyRegistryPermissions",
        "policies": {
            "quarantinePolicy": off,
            "trustPolicy": {"type": "Notary", **off},
            "exportPolicy": {"status": "enabled"},
            "retentionPolicy": {"days": 7, **off},
            "azureADAuthenticationAsArmPolicy": {"status": "enabled"},
        },
    }
    body["properties"] = merged(defaults, body["properties"]) | {"loginServer": f"{last(path)}.azurecr.io"}
    if premium:
        body["properties"].setdefault("networkRuleSet", {"defaultAction": "Allow", "ipRules": []})
    body["sku"]["tier"] = body["sku"]["name"]
    return body


def log_analytics(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    properties = body["properties"]
    properties["features"] = {
        "enableLogAccessUsingOnlyResourcePermissions": True,
        "legacy": 0,
        "searchVersion": 1,
        **(properties.get("features") or {}),
    }
    properties.setdefault("workspaceCapping", {"dailyQuotaGb": -1.0})
    properties.setdefault("publicNetworkAccessForIngestion", "Enabled")
    properties.setdefault("publicNetworkAccessForQuery", "Enabled")
    properties["customerId"] = stable(path, "customer")
    return body


def component(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    azure.need(body["properties"]["WorkspaceResourceId"], LOGS)
    key = stable(path, "key")
    body["properties"] |= {
        "AppId": stable(path, "app"),
        "ApplicationId": last(path),
        "Name": last(path),
        "InstrumentationKey": key,
        "ConnectionString": f"InstrumentationKey={key}",
        "Flow_Type": "Bluefield",
        "Request_Source": "rest",
        "IngestionMode": "LogAnalytics",
        "RetentionInDays": body["properties"].get("RetentionInDays", 90),
        "SamplingPercentage": body["properties"].get("SamplingPercentage", 100),
    }
    return body


def add_smart_detection(azure: Azure, made: Body) -> None:
    """The rule, and its action group, which our definitions do not have."""
    group = kind_and_scope(made["id"])[1]
    actions = f"{group}/providers/microsoft.insights/actionGroups/Application Insights Smart Detection"
    azure.resources[actions.lower()] = {"id": actions, "name": last(actions), "properties": {"enabled": True}}
    rule = f"{group}/providers/microsoft.alertsManagement/smartDetectorAlertRules/Failure Anomalies - {made['name']}"
    detector = {"id": "FailureAnomaliesDetector", "name": "Failure Anomalies"}
    azure.resources[rule.lower()] = {
        "id": rule,
        "name": last(rule),
        "location": "global",
        "properties": {
            "state": "Enabled",
            "severity": "Sev3",
            "frequency": "PT1M",
            "detector": detector,
            "scope": [made["id"].lower()],
            "actionGroups": {"groupIds": [actions.lower()]},
        },
    }


def action_group(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    kinds = ("email", "sms", "webhook", "armRole", "itsm", "azureAppPush", "automationRunbook", "voice", "logicApp")
    for name in (*kinds, "azureFunction", "eventHub"):
        body["properties"][f"{name}Receivers"] = body["properties"].get(f"{name}Receivers") or []
    return body


def budget(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    start = body["properties"]["timePeriod"]["startDate"]
    if old and start[:10] != old["properties"]["timePeriod"]["startDate"][:10]:
        raise RefusalError(400, "400", "the start date of a budget cannot be changed")
    body["properties"]["timePeriod"].setdefault("endDate", f"{int(start[:4]) + 10}{start[4:]}")
    for each in body["properties"]["notifications"].values():
        each.setdefault("locale", "en-us")
    return body


def role_assignment(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    sent, scope = body["properties"], kind_and_scope(path)[1]
    principal, role = sent["principalId"], last(sent["roleDefinitionId"])
    known = {each["properties"]["principalId"] for each in azure.of(IDENTITY)}
    kind = "ServicePrincipal" if principal in known | {DEPLOYER} else "User" if principal in USERS else None
    if kind is None or (principal in known and sent.get("principalType") is None):
        raise RefusalError(400, "PrincipalNotFound", f"{principal} is not in the directory")
    if (sent.get("principalType") or kind) != kind:
        raise RefusalError(400, "UnmatchedPrincipalType", f"{principal} is a {kind}")
    for each in azure.of(ASSIGNMENT):
        other = each["properties"]
        same = other["principalId"] == principal and other["roleDefinitionId"].endswith(role)
        if same and other["scope"].lower() == scope.lower() and each["id"].lower() != path.lower():
            raise RefusalError(409, "RoleAssignmentExists", "The role assignment already exists.")
    definition = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    body["properties"] = {
        "roleDefinitionId": definition,
        "principalId": principal,
        "principalType": kind,
        "scope": scope,
    }
    return body


def diagnostics(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    azure.need(body["properties"]["workspaceId"], LOGS)
    metrics = body["properties"].get("metrics") or [{"category": "AllMetrics", "enabled": False}]
    body["properties"]["metrics"] = metrics
    return body


def workspace(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    properties = body["properties"]
    uses = {"storageAccount": STORAGE, "keyVault": VAULT, "containerRegistry": ACR}
    primary = azure.need(properties["primaryUserAssignedIdentity"], IDENTITY)["properties"]["principalId"]
    for key, kind in (uses | {"applicationInsights": "microsoft.insights/components"}).items():
        azure.need(properties[key], kind)
        if not old and not azure.granted(primary, CONTRIBUTOR, properties[key]):
            raise RefusalError(400, "FailedIdentityOperation", f"its identity has no Contributor on {properties[key]}")
    user_identities(azure, body)
    now, before = (
        properties.pop("provisionNetworkNow", None),
        (old or {}).get("properties", {}).get("managedNetwork", {}),
    )
    mode = (properties.get("managedNetwork") or before or {}).get("isolationMode", "Disabled")
    if before.get("isolationMode", "Disabled") not in ("Disabled", mode) and mode != "AllowOnlyApprovedOutbound":
        raise RefusalError(400, "ValidationError", "the managed network of a workspace cannot be opened again")
    made = before.get("status", {}).get("status") == "Active" or (bool(now) and not old)
    properties["managedNetwork"] = {
        "isolationMode": mode,
        "status": {"status": "Active" if made else "Inactive", "sparkReady": False},
    }
    properties |= {
        "workspaceId": stable(path, "workspace"),
        "hbiWorkspace": False,
        "friendlyName": properties.get("friendlyName") or "",
        "description": properties.get("description") or "",
        "imageBuildCompute": properties.get("imageBuildCompute") or "",
        "discoveryUrl": f"https://{body['location']}.api.azureml.ms/discovery",
        # As Azure spells them.
        "keyVault": properties["keyVault"].replace("Microsoft.KeyVault", "Microsoft.Keyvault"),
        "applicationInsights": properties["applicationInsights"].replace("Microsoft.Insights", "Microsoft.insights"),
    }
    body.setdefault("kind", "Default")
    body["sku"] = {"name": body["sku"]["name"], "tier": body["sku"].get("tier") or "Basic"}
    return body


def compute(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    inner = body["properties"].setdefault("properties", {})
    network = azure.need(container_of(path), ML)["properties"]["managedNetwork"]
    user_identities(azure, body)
    if inner.get("enableNodePublicIp") is False and network["status"]["status"] != "Active":
        raise RefusalError(400, "BadArgument", "no public address without a managed network that is provisioned")
    if body["properties"]["computeType"] == "ComputeInstance":
        if old:
            raise RefusalError(400, "BadArgument", "an instance that exists cannot be sent again")
        if inner["personalComputeInstanceSettings"]["assignedUser"]["objectId"] not in USERS:
            raise RefusalError(400, "BadArgument", "the user is not in the directory")
    elif old:
        for key in ("vmSize", "vmPriority", "enableNodePublicIp", "remoteLoginPortPublicAccess"):
            if inner.get(key) != old["properties"]["properties"].get(key):
                raise RefusalError(400, "BadArgument", f"{key} of a cluster cannot be changed")
    inner |= {"osType": "Linux", "isolatedNetwork": False, "allocationState": "Steady", "currentNodeCount": 0}
    body.setdefault("location", azure.need(container_of(path), ML)["location"])
    return body


def datastore(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    kept = {key: value for key, value in body["properties"].items() if value is not None}
    defaults = {"tags": {}, "protocol": "https", "endpoint": "core.windows.net", "isDefault": False}
    body["properties"] = {**defaults, **kept}
    return body


def outbound_rule(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    owner, properties = azure.need(container_of(path), ML), body["properties"]
    mode = owner["properties"]["managedNetwork"]["isolationMode"]
    if mode == "Disabled":
        raise RefusalError(400, "ValidationError", "the workspace has no managed network")
    if properties["type"] == "FQDN" and mode != "AllowOnlyApprovedOutbound":
        raise RefusalError(400, "ValidationError", "FQDN rules are for AllowOnlyApprovedOutbound alone")
    for other in azure.of(f"{ML}/outboundrules", f"{owner['id']}/"):  # not documented, and not left to chance
        same = properties["type"] == "FQDN" and other["properties"]["destination"] == properties["destination"]
        if same and last(other["id"]).lower() != last(path).lower():
            raise RefusalError(400, "ValidationError", f"{last(other['id'])} has that destination")
    if properties["type"] == "PrivateEndpoint":
        target = properties["destination"]["serviceResourceId"]
        part = properties["destination"]["subresourceTarget"]
        # Who may approve connections to an account that Azure keeps for a registry is not documented.
        approved = azure.need(target).get("managedBy", target)
        if part not in PARTS.get(kind_and_scope(target)[0], ()):
            raise RefusalError(400, "ValidationError", f"{target} has no {part}")
        primary = azure.need(owner["properties"]["primaryUserAssignedIdentity"])["properties"]["principalId"]
        if not azure.granted(primary, APPROVER, approved):
            raise RefusalError(400, "ValidationError", f"the workspace may not approve connections to {target}")
        properties["destination"].setdefault("sparkEnabled", False)
    properties |= {"category": "UserDefined", "status": "Active"}
    return body


def network(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    sent = body["properties"].pop("subnets", None)
    names = {each["name"].lower() for each in sent or ()}
    for each in list(azure.of(SUBNET, f"{path}/")):
        if sent is not None and each["name"].lower() not in names:
            azure.delete(each["id"], {})
    azure.resources[path.lower()] = body
    for each in sent or ():
        azure.put(f"{path}/subnets/{each['name']}", {"properties": each.get("properties", {})})
    return body


def subnet(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    properties, owner = body["properties"], azure.need(container_of(path))
    prefixes = properties.get("addressPrefixes") or [properties["addressPrefix"]]
    mine = ipaddress.ip_network(prefixes[0])
    spaces = [ipaddress.ip_network(each) for each in owner["properties"]["addressSpace"]["addressPrefixes"]]
    if not any(mine.subnet_of(each) for each in spaces):  # type: ignore[arg-type]
        raise RefusalError(400, "NetcfgSubnetRangeOutsideVnet", f"{mine} is not inside the network")
    properties["addressPrefix"] = prefixes[0]
    for key, value in (
        ("privateEndpointNetworkPolicies", "Disabled"),
        ("privateLinkServiceNetworkPolicies", "Enabled"),
    ):
        properties.setdefault(key, value)
    properties |= {"delegations": properties.get("delegations") or [], "serviceEndpoints": []}
    return body


def security_group(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    for each in body["properties"].get("securityRules") or ():
        for key in ("sourceAddressPrefixes", "destinationAddressPrefixes", "sourcePortRanges", "destinationPortRanges"):
            each["properties"][key] = each["properties"].get(key) or []
    return body


def public_address(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    body["properties"] = {"idleTimeoutInMinutes": 4, "publicIPAddressVersion": "IPv4", **body["properties"]}
    body["properties"]["ipAddress"] = "203.0.113.7"
    body["sku"].setdefault("tier", "Regional")
    return body


def nat_gateway(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    body["properties"].setdefault("idleTimeoutInMinutes", 4)
    return body


def zone(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    body["properties"] = {"maxNumberOfRecordSets": 25000, "numberOfRecordSets": 1}
    return body


def fill_zone(azure: Azure, made: Body) -> None:
    record = {"email": "azureprivatedns-host.microsoft.com", "host": "azureprivatedns.net", "serialNumber": 1}
    times = {"expireTime": 2419200, "minimumTtl": 10, "refreshTime": 3600, "retryTime": 300}
    path = f"{made['id']}/SOA/@"
    fqdn = f"{made['name']}."
    properties = {"fqdn": fqdn, "ttl": 3600, "metadata": {}, "soaRecord": record | times}
    azure.resources[path.lower()] = {"id": path, "name": "@", "etag": "1", "properties": properties}


def zone_link(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    body["properties"].setdefault("resolutionPolicy", "Default")
    return body


def private_endpoint(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    azure.need(body["properties"]["subnet"]["id"], SUBNET)
    for each in body["properties"]["privateLinkServiceConnections"]:
        target, parts = each["properties"]["privateLinkServiceId"], each["properties"]["groupIds"]
        found = azure.need(target)
        if len(parts) != 1 or parts[0] not in PARTS.get(kind_and_scope(target)[0], ()):
            raise RefusalError(400, "PrivateLinkServiceInvalidGroupId", f"{target} has no {parts}")
        if kind_and_scope(target)[0] == ACR and found["sku"]["name"] != "Premium":
            raise RefusalError(400, "PrivateEndpointFeatureNotSupported", "for a Premium registry alone")
        each["properties"]["privateLinkServiceConnectionState"] = {"status": "Approved", "description": ""}
    card = f"{kind_and_scope(path)[1]}/providers/Microsoft.Network/networkInterfaces/{last(path)}.nic"
    ip = {"name": "ip", "properties": {"privateIPAddress": "10.80.0.5", "subnet": body["properties"]["subnet"]}}
    # Azure lists it, but it goes with its endpoint.
    azure.resources[f"{path}/_nic".lower()] = {"id": f"{path}/_nic", "name": last(card)}
    body["_nic"] = {"id": card, "name": last(card), "properties": {"ipConfigurations": [ip]}}
    body["properties"] |= {"networkInterfaces": [{"id": card}], "customDnsConfigs": [], "ipConfigurations": []}
    body["properties"].setdefault("manualPrivateLinkServiceConnections", [])
    body["properties"].setdefault("customNetworkInterfaceName", "")
    return body


def zone_group(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    for each in body["properties"]["privateDnsZoneConfigs"]:
        azure.need(each["properties"]["privateDnsZoneId"], ZONE)
        each["properties"]["recordSets"] = []
    return body


def query_rule(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    for each in body["properties"]["scopes"]:
        azure.need(each)
    for each in body["properties"]["criteria"]["allOf"]:
        each.setdefault("dimensions", [])
    body["kind"] = "LogAlert"
    return body


def model_registry(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    regions = body["properties"]["regionDetails"]
    if old and len(old["properties"]["regionDetails"]) > len(regions):
        raise RefusalError(400, "ValidationError", "regions of a registry cannot be removed")
    managed = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/azureml-rg-{last(path)}"
    for number, region in enumerate(regions):
        account = f"{managed}/providers/Microsoft.Storage/storageAccounts/{stable(path, str(number))[:8]}"
        made_by = {"id": account, "name": last(account), "managedBy": path, "properties": {}}
        azure.resources.setdefault(account.lower(), made_by)
        made = region["storageAccountDetails"][0]["systemCreatedStorageAccount"]
        made["armResourceId"] = {"resourceId": account}
    return body


def deployment(azure: Azure, path: str, body: Body, old: Body | None) -> Body:
    """A template: each resource is a request of its own."""
    template, group = body["properties"]["template"], kind_and_scope(path)[1]
    made = []
    for each in template.get("resources", ()):
        namespace, *kinds = each["type"].split("/")
        names = each["name"].split("/")
        own = f"{group}/providers/{namespace}" + "".join(f"/{k}/{n}" for k, n in zip(kinds, names, strict=True))
        own = f"/{each['scope']}/providers/{namespace}/{kinds[0]}/{names[0]}" if "scope" in each else own
        known = {key: value for key, value in each.items() if key not in ("type", "apiVersion", "name", "scope")}
        azure.put(own, {key: value for key, value in known.items() if key not in ("dependsOn", "copy")})
        made.append({"id": own})
    outputs = {
        name: {"type": "String", "value": azure_value(azure, each["value"])}
        for name, each in (template.get("outputs") or {}).items()
    }
    properties = {"mode": body["properties"]["mode"], "outputs": outputs, "outputResources": made, "providers": []}
    namespaces = sorted({each["type"].partition("/")[0] for each in template.get("resources", ())})
    for namespace in namespaces:
        of = {each["type"].partition("/")[2] for each in template["resources"] if each["type"].startswith(namespace)}
        kinds_of = [{"resourceType": each} for each in sorted(of)]
        properties["providers"].append({"namespace": namespace, "resourceTypes": kinds_of})
    return {**body, "_template": template, "properties": properties}


def azure_value(azure: Azure, text: str) -> Any:
    """The value of an expression with one reference."""
    found = re.fullmatch(r"\[reference\('([^']+)', '[^']+'\)(.*)\]", text)
    if not found:
        return text
    value: Any = azure.need(found[1])["properties"]
    for name, number in re.findall(r"\.(\w+)|\[(\d+)\]", found[2]):
        value = value[int(number)] if number else value[name]
    return value


RULES: dict[str, Rule] = {
    IDENTITY: identity,
    STORAGE: storage_account,
    f"{STORAGE}/blobservices": blob_service,
    f"{STORAGE}/fileservices": file_service,
    f"{STORAGE}/blobservices/containers": container,
    VAULT: vault,
    ACR: container_registry,
    LOGS: log_analytics,
    "microsoft.insights/components": component,
    "microsoft.insights/actiongroups": action_group,
    "microsoft.insights/diagnosticsettings": diagnostics,
    "microsoft.insights/scheduledqueryrules": query_rule,
    "microsoft.consumption/budgets": budget,
    ASSIGNMENT: role_assignment,
    ML: workspace,
    f"{ML}/computes": compute,
    f"{ML}/datastores": datastore,
    f"{ML}/outboundrules": outbound_rule,
    REGISTRY: model_registry,
    "microsoft.network/virtualnetworks": network,
    SUBNET: subnet,
    "microsoft.network/networksecuritygroups": security_group,
    "microsoft.network/publicipaddresses": public_address,
    "microsoft.network/natgateways": nat_gateway,
    ZONE: zone,
    LINK: zone_link,
    ENDPOINT: private_endpoint,
    f"{ENDPOINT}/privatednszonegroups": zone_group,
    "microsoft.resources/deployments": deployment,
}
AFTERWARDS: dict[str, Callable[[Azure, Body], None]] = {
    STORAGE: fill_storage,
    ZONE: fill_zone,
}


# What Azure and Azure ML change afterwards in what we have built: the keys of azure_writes.yml.


def studio_rules(azure: Azure) -> None:
    """Azure ML lets its studio read the storage account of each workspace."""
    rule = {
        "allowedOrigins": STUDIO,
        "allowedMethods": ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "POST", "PATCH"],
        "allowedHeaders": ["*"],
        "exposedHeaders": ["*"],
        "maxAgeInSeconds": 1800,
    }
    for each in azure.of(ML):
        for service in ("blobServices", "fileServices"):
            found = azure.need(f"{each['properties']['storageAccount']}/{service}/default")
            found["properties"]["cors"] = {"corsRules": [copy.deepcopy(rule)]}


def defender_scan(azure: Azure) -> None:
    """Defender for Storage lets its scanner through the firewall of each account."""
    scanner = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Security/datascanners/StorageDataScanner"
    for each in azure.of(STORAGE):
        if "networkAcls" in each["properties"]:
            each["properties"]["networkAcls"]["resourceAccessRules"] = [{"tenantId": TENANT, "resourceId": scanner}]


def policy_tags(azure: Azure) -> None:
    """A policy with the effect `modify` puts a tag of the company on each resource."""
    for each in azure.resources.values():
        if each.get("tags") and "location" in each:
            each["tags"]["costCenter"] = "42"


def workspace_containers(azure: Azure) -> None:
    """Azure ML keeps code, artifacts and notebooks in containers and shares of its own, and has datastores for them."""
    for each in azure.of(ML):
        account = each["properties"]["storageAccount"]
        azure.put(f"{account}/blobServices/default/containers/azureml", {"properties": {}})
        azure.put(f"{each['id']}/datastores/workspaceblobstore", {"properties": {"datastoreType": "AzureBlob"}})


def managed_connections(azure: Azure) -> None:
    """The managed network connects to what the workspace is built on."""
    for each in azure.of(ML):
        for key in ("storageAccount", "keyVault", "containerRegistry"):
            target = each["properties"][key]
            link = {"name": "managed", "properties": {"privateLinkServiceId": target}}
            path = f"/subscriptions/of-azure/providers/Microsoft.Network/privateEndpoints/managed-{key}"
            properties = {"subnet": {"id": "/of-azure"}, "privateLinkServiceConnections": [link]}
            azure.resources[path.lower()] = {"id": path, "name": last(path), "properties": properties}


def required_rules(azure: Azure) -> None:
    """The managed network has rules of its own."""
    for each in azure.of(ML):
        if each["properties"]["managedNetwork"]["isolationMode"] != "Disabled":
            path = f"{each['id']}/outboundRules/__SYS_PE_vault"
            target = {"serviceResourceId": each["properties"]["keyVault"], "subresourceTarget": "vault"}
            properties = {"type": "PrivateEndpoint", "category": "Required", "status": "Active", "destination": target}
            azure.resources[path.lower()] = {"id": path, "name": last(path), "properties": properties}


def spark_readiness(azure: Azure) -> None:
    """`mlops provision` enables Spark in the managed network, which Azure then reports."""
    for each in azure.of(ML):
        each["properties"]["managedNetwork"]["status"]["sparkReady"] = True


def workspace_details(azure: Azure) -> None:
    """Azure ML writes the addresses of its services into the workspace."""
    for each in azure.of(ML):
        each["properties"] |= {
            "notebookInfo": {"fqdn": "ml.westeurope.notebooks.azure.net"},
            "mlFlowTrackingUri": "azureml://x",
            "privateLinkCount": 1,
            "storageHnsEnabled": False,
            "provisionNetworkNow": True,
        }


def cluster_state(azure: Azure) -> None:
    """A cluster grows and shrinks."""
    for each in azure.of(f"{ML}/computes"):
        if each["properties"]["computeType"] == "AmlCompute":
            more = {"currentNodeCount": 2, "targetNodeCount": 2, "allocationState": "Resizing"}
            each["properties"]["properties"] |= more


def instance_changes(azure: Azure) -> None:
    """Its owner sets other hours in the studio."""
    for each in azure.of(f"{ML}/computes"):
        if each["properties"]["computeType"] == "ComputeInstance":
            each["properties"]["properties"] |= {"idleTimeBeforeShutdown": "PT3H", "schedules": {}}


def log_categories(azure: Azure) -> None:
    """Azure lists the categories that are off, too."""
    for each in azure.of("microsoft.insights/diagnosticsettings"):
        off = {"category": "SomethingElse", "enabled": False, "retentionPolicy": {"enabled": False, "days": 0}}
        each["properties"]["logs"] = [*each["properties"]["logs"], off]


def smart_detection(azure: Azure) -> None:
    """Application Insights gets its rule some time later."""
    for each in azure.of("microsoft.insights/components"):
        add_smart_detection(azure, each)


def costs(azure: Azure) -> None:
    """Costs come to the budget."""
    for each in azure.of("microsoft.consumption/budgets"):
        each["properties"] |= {"currentSpend": {"amount": 12.5, "unit": "EUR"}, "forecastSpend": {"amount": 40.0}}


def endpoint_records(azure: Azure) -> None:
    """Azure writes the addresses of private endpoints into the zones, and counts them."""
    for each in azure.of(ZONE):
        each["properties"] |= {"numberOfRecordSets": 3, "numberOfVirtualNetworkLinks": 1}


def policy_zone_groups(azure: Azure) -> None:
    """A policy writes the address of each private endpoint that has no zone of ours into a central zone."""
    for each in list(azure.of(ENDPOINT)):
        if not list(azure.of(f"{ENDPOINT}/privatednszonegroups", f"{each['id']}/")):
            path = f"{each['id']}/privateDnsZoneGroups/deployedByPolicy"
            azure.resources[path.lower()] = {
                "id": path,
                "name": last(path),
                "properties": {"privateDnsZoneConfigs": []},
            }


WRITTEN: dict[str, Callable[[Azure], None]] = {
    each.__name__: each
    for each in (
        studio_rules,
        defender_scan,
        policy_tags,
        workspace_containers,
        managed_connections,
        required_rules,
        spark_readiness,
        workspace_details,
        cluster_state,
        instance_changes,
        log_categories,
        smart_detection,
        costs,
        endpoint_records,
        policy_zone_groups,
    )
}


# HTTP.


def token() -> str:
    def part(value: Body) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"oid": DEPLOYER, "appid": DEPLOYER, "tid": TENANT, "idtyp": "app", "aud": "fake", "exp": 4102444800}
    return f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims)}.fake"


def metadata(base: str) -> Body:
    return {
        "name": "AzureCloud",
        "portal": "https://portal.azure.com",
        "resourceManager": base,
        "authentication": {
            "loginEndpoint": base,
            "audiences": [base, "https://management.azure.com"],
            "tenant": "common",
            "identityProvider": "AAD",
        },
        "microsoftGraphResourceId": f"{base}/graph",
        "suffixes": {
            "storage": "core.windows.net",
            "keyVaultDns": "vault.azure.net",
            "acrLoginServer": "azurecr.io",
        },
    }


def answer(azure: Azure, base: str, method: str, path: str, query: dict[str, str], sent: Any, host: str) -> Any:
    """What the request gets; None where there is no body."""
    low = path.lower()
    if ".vault.azure.net" in host:
        raise RefusalError(403, "Forbidden", "Caller is not authorized to perform action on resource.")
    if low == "/metadata/endpoints":
        return metadata(base)
    if "/oauth2/" in low:
        return {"access_token": token(), "token_type": "Bearer", "expires_in": 86399}
    if low.endswith("/.well-known/openid-configuration"):
        return {"issuer": base, "token_endpoint": f"{base}/{TENANT}/oauth2/v2.0/token"}
    if "api-version" not in query:
        raise RefusalError(400, "MissingApiVersionParameter", "api-version is required")
    if re.fullmatch(r"/subscriptions/[^/]+", low):
        return {"id": path, "subscriptionId": SUBSCRIPTION, "tenantId": TENANT, "state": "Enabled"}
    if found := re.fullmatch(r"/subscriptions/[^/]+/providers(?:/([^/]+))?(/register)?", low):
        if found[2]:
            azure.registered.add(found[1])
        return provider(azure, found[1]) if found[1] else {"value": [provider(azure, each) for each in NAMESPACES]}
    if re.fullmatch(r"/subscriptions/[^/]+/resources", low):  # azurerm looks for vaults, which it has listed before
        return {"value": []}
    if found := re.search(r"/deletedvaults/([^/]+)$", low):
        if found[1] not in azure.deleted_vaults:
            raise RefusalError(404, "DeletedVaultNotFound", "The specified deleted vault does not exist")
        properties = {"vaultId": azure.deleted_vaults[found[1]]["id"], "location": "westeurope"}
        return {"id": path, "name": found[1], "properties": properties}
    if low.endswith("checknameavailability"):
        return {"nameAvailable": True}
    if "/roledefinitions/" in low:
        return {"id": path, "name": last(path), "properties": {"roleName": last(path), "type": "BuiltInRole"}}
    special = special_answer(azure, method, path, sent)
    if special is not None:
        return special
    if "/networkinterfaces/" in low:
        [card] = [each["_nic"] for each in azure.of(ENDPOINT) if each["_nic"]["id"].lower() == low]
        return card
    if method in ("GET", "HEAD"):
        return found_or_listed(azure, path)
    if method in ("PUT", "PATCH"):
        if method == "PATCH":
            old = azure.find(path)
            if old is None:
                raise RefusalError(404, "ResourceNotFound", path)
            sent = merged(old, sent)
        azure.puts.append((path, sent))
        return azure.shown(azure.put(path, sent))
    if method == "DELETE":
        found_one = azure.find(path)
        if not azure.delete(path, query):
            return None
        return found_one if ASSIGNMENT in low else {}
    raise RefusalError(405, "MethodNotAllowed", f"{method} {path}")


def special_answer(azure: Azure, method: str, path: str, sent: Any) -> Any:
    """What no resource answers: keys, features, and the parts of a deployment."""
    owner, action = path.rpartition("/")[0], last(path).lower()
    if action == "listkeys":
        return {"keys": [{"keyName": "key1", "value": base64.b64encode(b"no-key" * 8).decode(), "permissions": "FULL"}]}
    if action == "sharedkeys":
        return {"primarySharedKey": "none", "secondarySharedKey": "none"}
    if action == "currentbillingfeatures":
        cap = {"Cap": 100.0, "WarningThreshold": 90, "ResetTime": 24, "StopSendNotificationWhenHitCap": False}
        usual = {"CurrentBillingFeatures": ["Basic"], "DataVolumeCap": cap}
        features: Body = azure.need(owner).setdefault("_billing", usual)
        if method == "PUT":
            azure.need(owner)["_billing"] = merged(features, sent)
        return azure.need(owner)["_billing"]
    if action == "validate":
        return {"properties": {"mode": sent["properties"]["mode"], "provisioningState": "Succeeded"}}
    if action == "exporttemplate":
        return {"template": azure.need(owner)["_template"]}
    if action == "resources" and kind_and_scope(owner)[0] == "group":
        return {"value": [{"id": each, "name": last(each)} for each in azure.tracked(owner)]}
    return None


def found_or_listed(azure: Azure, path: str) -> Body:
    """A resource, or all of a type: a path of the second kind ends with the type."""
    rest = path.rpartition("/providers/")[2] if "/providers/" in path else ""
    if rest and rest.count("/") % 2:  # namespace/type[/name/type]
        wanted, below = kind_and_scope(path)[0], path.lower()
        listed = [each for each in azure.of(wanted) if each["id"].lower().startswith(f"{below}/")]
        if path.count("/") == 5:  # of the subscription
            listed = list(azure.of(wanted))
        if wanted in (ASSIGNMENT, LOCK):
            listed = list(azure.of(wanted, kind_and_scope(path)[1]))
        return {"value": [azure.shown(each) for each in listed]}
    body = azure.find(path)
    if body is None:
        code = "ResourceGroupNotFound" if kind_and_scope(path)[0] == "group" else "ResourceNotFound"
        raise RefusalError(404, code, f"{path} was not found")
    return azure.shown(body)


NAMESPACES = (
    *("AlertsManagement", "Authorization", "Cdn", "Consumption", "ContainerRegistry", "Insights", "KeyVault"),
    *("MachineLearningServices", "ManagedIdentity", "Network", "OperationalInsights", "PolicyInsights", "Resources"),
    "Storage",
)
# azurerm asks for the newest version of these types before it deletes what a deployment made.
TYPES = {"MachineLearningServices": ["workspaces", "workspaces/computes", "registries"], "Resources": ["deployments"]}


def provider(azure: Azure, name: str) -> Body:
    [spelled] = [each for each in NAMESPACES if each.lower() == name.lower().removeprefix("microsoft.")]
    namespace = f"Microsoft.{spelled}"
    types = [{"resourceType": each, "locations": [], "apiVersions": ["2026-05-01"]} for each in TYPES.get(spelled, ())]
    state = "Registered" if namespace.lower() in azure.registered else "NotRegistered"
    return {"namespace": namespace, "registrationState": state, "resourceTypes": types}


class FakeArm:
    """The servers, while the `with` lasts; `variables` leads Terraform to them."""

    def __init__(self, folder: Path) -> None:
        """Keep certificates in the folder."""
        self.azure, self.folder = Azure(), folder
        self.variables: dict[str, str] = {}

    def __enter__(self) -> Self:
        """Start both servers."""
        make_certificates(self.folder)
        server = Server(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        port = server.server_address[1]
        server.azure, server.base = self.azure, f"https://localhost:{port}"
        proxy = Proxy(("127.0.0.1", 0), Tunnel)
        proxy.target = port
        self.servers = [server, proxy]
        for each in self.servers:
            threading.Thread(target=each.serve_forever, daemon=True).start()
        self.variables = {
            "SSL_CERT_FILE": str(self.folder / "ca.pem"),
            "ARM_METADATA_HOSTNAME": f"localhost:{port}",
            "HTTPS_PROXY": f"http://127.0.0.1:{proxy.server_address[1]}",
            "NO_PROXY": "localhost",
            "ARM_TENANT_ID": TENANT,
            "ARM_CLIENT_ID": DEPLOYER,
            "ARM_CLIENT_SECRET": "of-a-fake",
            "ARM_SUBSCRIPTION_ID": SUBSCRIPTION,
        }
        return self

    def __exit__(self, *error: object) -> None:
        """Stop them."""
        for each in self.servers:
            each.shutdown()
            each.server_close()

    def let_azure_write(self, *names: str) -> None:
        """Change what Azure changes by itself: all of WRITTEN, or these."""
        with self.azure.lock:
            for name in names or WRITTEN:
                WRITTEN[name](self.azure)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """The server of TLS."""

    daemon_threads = True
    request_queue_size = 128
    azure: Azure
    base: str

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that ends a connection is no news."""


class Proxy(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """The proxy, to which Terraform sends what is not for localhost."""

    daemon_threads = True
    target: int


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, *words: Any) -> None:
        """Write nothing."""

    def serve(self) -> None:
        """Answer one request."""
        split = urllib.parse.urlsplit(self.path)
        path = re.sub("//+", "/", urllib.parse.unquote(split.path)).rstrip("/")
        query = dict(urllib.parse.parse_qsl(split.query, keep_blank_values=True))
        raw, host = self.rfile.read(int(self.headers.get("Content-Length") or 0)), self.headers.get("Host", "")
        azure = self.server.azure
        extra = {"X-Go-Azure-Sdk-Skip-Polling-Delay": "true"}
        status, document = 200, None
        with azure.lock:
            try:
                sent = json.loads(raw) if raw.lstrip().startswith((b"{", b"[")) else None
                if ".vault.azure.net" in host and "Authorization" not in self.headers:
                    status = 401
                    where = f'authorization="{self.server.base}/{TENANT}", resource="https://vault.azure.net"'
                    extra["WWW-Authenticate"] = f"Bearer {where}"
                else:
                    document = answer(azure, self.server.base, self.command, path, query, sent, host)
                    if document is None and self.command == "DELETE":
                        status = 204
            except RefusalError as refusal:
                status = refusal.status
                document = {"error": {"code": refusal.code, "message": refusal.message}}
            except Exception as error:
                status, document = 400, {"error": {"code": "FakeFault", "message": f"{error!r} at {path}"}}
            azure.requests.append((self.command, path, status))
        data = b"" if document is None or self.command == "HEAD" else json.dumps(document).encode()
        self.send_response(status)
        for key, value in {**extra, "Content-Type": "application/json", "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = serve  # noqa: N815 the names of http.server


class Tunnel(socketserver.StreamRequestHandler):
    """CONNECT to any host leads to the server."""

    server: Proxy

    def handle(self) -> None:
        """Copy both ways until one side ends."""
        while self.rfile.readline() not in (b"\r\n", b"\n", b""):
            pass
        upstream = socket.create_connection(("127.0.0.1", self.server.target))
        self.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        back = threading.Thread(target=copy_all, args=(upstream, self.connection), daemon=True)
        back.start()
        copy_all(self.connection, upstream)


def copy_all(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def make_certificates(folder: Path) -> None:
    """A certificate authority and a certificate for localhost and the vaults."""

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "rsa:2048", "-nodes")
    openssl("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "7", "-subj", "/CN=fake ARM")
    openssl("req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1,DNS:*.vault.azure.net"
    (folder / "names.txt").write_text(f"{names}{os.linesep}", encoding="utf-8")
    signer = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial")
    openssl("x509", "-req", "-in", "server.csr", *signer, "-out", "server.pem", "-days", "7", "-extfile", "names.txt")
