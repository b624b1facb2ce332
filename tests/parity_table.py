"""One table of what Terraform builds and what Bicep builds: each resource with its settings, in the same words.

Nothing is left out silently: a type of resource that is not in KINDS, or a value that no setting reads, is an error.
"""

import copy
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from bicep_eval import SUBSCRIPTION, Deployment, resource_id
from terraform_plan import Environment

Values = dict[str, Any]


class Read(NamedTuple):
    """Where values stand (a list of one block is passed through), and how they are put into the common words."""

    paths: tuple[str, ...]
    change: Callable[..., Any]
    parts: tuple[str, ...] = ()  # what of a list of blocks is read; everything if empty

    def __call__(self, values: Values) -> Any:
        return self.change(*(at(values, path) for path in self.paths))

    def covers(self, path: str) -> bool:
        """Whether this reads the value at a path."""
        whole = [f"{own}.{part}" for own in self.paths for part in self.parts] or self.paths
        return any(path == own or path.startswith(f"{own}.") for own in whole)


def at(values: Any, path: str) -> Any:
    """The value at a path with dots; nothing where there is none."""
    for part in path.split("."):
        if isinstance(values, list):
            assert len(values) < 2, f"{path} is there {len(values)} times, and only one is read"
            values = values[0] if values else None
        values = values.get(part) if isinstance(values, dict) else None
    return values


def read(path: str, change: Callable[[Any], Any] = lambda value: value) -> Read:
    return Read((path,), change)


def unless(path: str, usual: Any) -> Read:
    """A value that is left out is the same as Azure's default, written out."""
    return read(path, lambda value: usual if value is None else value)


def enabled(path: str) -> Read:
    return read(path, lambda value: {"Enabled": True, "Disabled": False}.get(value, value))


def negated(path: str) -> Read:
    return read(path, lambda value: not value if isinstance(value, bool) else value)


def ordered(path: str) -> Read:
    """A list whose order has no meaning."""
    return read(path, lambda value: sorted(value or [], key=str))


def one(path: str) -> Read:
    """A list of one."""
    return read(path, lambda value: value[0] if isinstance(value, list) and len(value) == 1 else value)


def lower(path: str) -> Read:
    return read(path, lambda value: value and value.lower())


def content(path: str) -> Read:
    return read(path, json.loads)


def days(path: str) -> Read:
    """The days of a retention policy that is on."""
    return Read((f"{path}.enabled", f"{path}.days"), lambda on, number: number if on else on)


def blocks(path: str, *parts: str, **usual: Any) -> Read:
    """Some values of each block of a list whose order has no meaning."""

    def change(value: Any) -> list[list[Any]]:
        rows = [
            [usual.get(part) if at(each, part) is None else at(each, part) for part in parts] for each in value or []
        ]
        return sorted(rows, key=str)

    return Read((path,), change, parts)


def fixed(value: Any) -> Read:
    """What the other tool has no word for, because it is never otherwise."""
    return Read((), lambda: value)


def one_of(found: list[Any], key: str) -> Any:
    """The value that all blocks of a list have."""
    [value] = {each[key] for each in found}
    return value


Settings = dict[str, tuple[str | Read, str | Read]]


class Kind(NamedTuple):
    """A kind of resource: its type in Terraform and in Azure, its settings, and what it is called if not by its name.

    A type in Azure may carry the value that distinguishes two kinds (KIND_IN). Without a type in Terraform, which then
    passes Azure's own definition on, every value is a setting.
    """

    terraform: str
    azure: str
    settings: Settings
    called: tuple[Read, Read] = (read("name"), read("name"))


def on(*paths: str) -> Read:
    return Read(paths, lambda *values: " ".join(("on", *map(str, values))))


TAGS: Settings = {"tags": ("tags", "tags")}
PLACE: Settings = {**TAGS, "resource group": ("resource_group_name", "group"), "location": ("location", "location")}
IDENTITY: Settings = {
    "identity type": ("identity.type", "identity.type"),
    "identities": (ordered("identity.identity_ids"), ordered("identity.userAssignedIdentities")),
}
ACCESS: Settings = {
    "public access": ("public_network_access_enabled", enabled("properties.publicNetworkAccess")),
}

CORS = (
    ("allowed_origins", "allowed_methods", "allowed_headers", "exposed_headers", "max_age_in_seconds"),
    ("allowedOrigins", "allowedMethods", "allowedHeaders", "exposedHeaders", "maxAgeInSeconds"),
)
ENCRYPTION = "properties.encryption"
KEY_OF = f"{ENCRYPTION}.keyvaultproperties"
STORAGE: Settings = {
    **PLACE,
    **ACCESS,
    **IDENTITY,
    "key of the company": (
        "customer_managed_key.key_vault_key_id",
        Read((f"{KEY_OF}.keyvaulturi", f"{KEY_OF}.keyname"), lambda vault, name: vault and f"{vault}/keys/{name}"),
    ),
    "who uses the key": (
        "customer_managed_key.user_assigned_identity_id",
        f"{ENCRYPTION}.identity.userAssignedIdentity",
    ),
    "where the key is": (
        read("customer_managed_key", lambda value: "Microsoft.Keyvault" if value else None),
        f"{ENCRYPTION}.keySource",
    ),
    "kind": ("account_kind", "kind"),
    "sku": (Read(("account_tier", "account_replication_type"), "{}_{}".format), "sku.name"),
    "hierarchical namespace": (unless("is_hns_enabled", False), unless("properties.isHnsEnabled", False)),
    "shared keys": ("shared_access_key_enabled", "properties.allowSharedKeyAccess"),
    "OAuth by default": ("default_to_oauth_authentication", "properties.defaultToOAuthAuthentication"),
    "local users": ("local_user_enabled", "properties.isLocalUserEnabled"),
    "public blobs": ("allow_nested_items_to_be_public", "properties.allowBlobPublicAccess"),
    "replication to other tenants": ("cross_tenant_replication_enabled", "properties.allowCrossTenantReplication"),
    "https only": ("https_traffic_only_enabled", "properties.supportsHttpsTrafficOnly"),
    "TLS": ("min_tls_version", "properties.minimumTlsVersion"),
    "firewall": ("network_rules.default_action", "properties.networkAcls.defaultAction"),
    "addresses let in": (ordered("network_rules.ip_rules"), ordered("properties.networkAcls.ipRules")),
    "subnets let in": (
        ordered("network_rules.virtual_network_subnet_ids"),
        ordered("properties.networkAcls.virtualNetworkRules"),
    ),
    # Where the firewall stops nothing, what passes it counts for nothing, and azurerm needs more there.
    "bypass": (
        Read(
            ("network_rules.default_action", "network_rules.bypass"),
            lambda action, names: ", ".join(names) if action == "Deny" else "everything",
        ),
        Read(
            ("properties.networkAcls.defaultAction", "properties.networkAcls.bypass"),
            lambda action, names: names if action == "Deny" else "everything",
        ),
    ),
    "what a browser may do with blobs": (
        blocks("blob_properties.cors_rule", *CORS[0]),
        blocks("blobServices.properties.cors.corsRules", *CORS[1]),
    ),
    "what a browser may do with files": (
        blocks("share_properties.cors_rule", *CORS[0]),
        blocks("fileServices.properties.cors.corsRules", *CORS[1]),
    ),
    "versioning": (
        unless("blob_properties.versioning_enabled", False),
        unless("blobServices.properties.isVersioningEnabled", False),
    ),
    "days to undelete blobs": (
        "blob_properties.delete_retention_policy.days",
        days("blobServices.properties.deleteRetentionPolicy"),
    ),
    "days to undelete containers": (
        "blob_properties.container_delete_retention_policy.days",
        days("blobServices.properties.containerDeleteRetentionPolicy"),
    ),
    "days to undelete shares": (
        "share_properties.retention_policy.days",
        days("fileServices.properties.shareDeleteRetentionPolicy"),
    ),
}
ENDS = "definition.actions"
RETENTION: Settings = {
    "account": ("storage_account_id", "parent"),
    "rules": (
        blocks(
            "rule",
            *("name", "enabled", "filters.blob_types", "filters.prefix_match"),
            "actions.version.delete_after_days_since_creation",
            "actions.base_blob.delete_after_days_since_modification_greater_than",
        ),
        blocks(
            "properties.policy.rules",
            *("name", "enabled", "definition.filters.blobTypes", "definition.filters.prefixMatch"),
            f"{ENDS}.version.delete.daysAfterCreationGreaterThan",
            f"{ENDS}.baseBlob.delete.daysAfterModificationGreaterThan",
        ),
    ),
    "kind of rules": (fixed("Lifecycle"), read("properties.policy.rules", lambda rules: one_of(rules, "type"))),
}
KEY_VAULT: Settings = {
    **PLACE,
    **ACCESS,
    "tenant": ("tenant_id", "properties.tenantId"),
    "sku": ("sku_name", "properties.sku.name"),
    "family": (fixed("A"), "properties.sku.family"),
    "roles": ("rbac_authorization_enabled", "properties.enableRbacAuthorization"),
    "purge protection": ("purge_protection_enabled", unless("properties.enablePurgeProtection", False)),
    "soft delete": (unless("soft_delete", True), unless("properties.enableSoftDelete", True)),
    "days to undelete": ("soft_delete_retention_days", "properties.softDeleteRetentionInDays"),
    "firewall": ("network_acls.default_action", "properties.networkAcls.defaultAction"),
    "bypass": ("network_acls.bypass", "properties.networkAcls.bypass"),
}
CONTAINER_REGISTRY: Settings = {
    **PLACE,
    **ACCESS,
    **IDENTITY,
    "encryption": (read("encryption", lambda value: "enabled" if value else None), f"{ENCRYPTION}.status"),
    "key of the company": ("encryption.key_vault_key_id", f"{ENCRYPTION}.keyVaultProperties.keyIdentifier"),
    "who uses the key": ("encryption.identity_client_id", f"{ENCRYPTION}.keyVaultProperties.identity"),
    "sku": ("sku", "sku.name"),
    "bypass": ("network_rule_bypass_option", "properties.networkRuleBypassOptions"),
    "admin": ("admin_enabled", "properties.adminUserEnabled"),
    "roles count": ("role_assignment_mode", "properties.roleAssignmentMode"),
    "anonymous pull": ("anonymous_pull_enabled", "properties.anonymousPullEnabled"),
}
LOG_ANALYTICS: Settings = {
    **PLACE,
    "sku": ("sku", "properties.sku.name"),
    "days": ("retention_in_days", "properties.retentionInDays"),
    "keys": ("local_authentication_enabled", negated("properties.features.disableLocalAuth")),
    "rights of a resource show its logs": (
        unless("allow_resource_only_permissions", True),
        unless("properties.features.enableLogAccessUsingOnlyResourcePermissions", True),
    ),
}
APPLICATION_INSIGHTS: Settings = {
    **PLACE,
    "type": ("application_type", "properties.Application_Type"),
    "kind": (fixed("web"), "kind"),
    "workspace": ("workspace_id", "properties.WorkspaceResourceId"),
    "keys": ("local_authentication_enabled", negated("properties.DisableLocalAuth")),
}
WORKSPACE: Settings = {
    **PLACE,
    **ACCESS,
    **IDENTITY,
    "name shown": (Read(("friendly_name", "name"), lambda shown, name: shown or name), "properties.friendlyName"),
    "sku": (unless("sku_name", "Basic"), "sku.name"),
    "tier": (fixed("Basic"), "sku.tier"),
    "kind": (unless("kind", "Default"), unless("kind", "Default")),
    "storage account": ("storage_account_id", "properties.storageAccount"),
    "key vault": ("key_vault_id", "properties.keyVault"),
    "container registry": ("container_registry_id", "properties.containerRegistry"),
    "application insights": ("application_insights_id", "properties.applicationInsights"),
    "primary identity": ("primary_user_assigned_identity", "properties.primaryUserAssignedIdentity"),
    "datastores sign in with": ("storage_account_access_type", "properties.systemDatastoresAuthMode"),
    "images are built on": ("image_build_compute_name", "properties.imageBuildCompute"),
    "encryption": (read("encryption", lambda value: "Enabled" if value else None), f"{ENCRYPTION}.status"),
    "key of the company": ("encryption.key_id", f"{ENCRYPTION}.keyVaultProperties.keyIdentifier"),
    "vault of the key": ("encryption.key_vault_id", f"{ENCRYPTION}.keyVaultProperties.keyVaultArmId"),
    "who uses the key": ("encryption.user_assigned_identity_id", f"{ENCRYPTION}.identity.userAssignedIdentity"),
    "managed network": ("managed_network.isolation_mode", "properties.managedNetwork.isolationMode"),
    "own id": ("workspace_id", read("id", "{}.properties.workspaceId".format)),
    # `mlops provision` asks for Spark in a network that Terraform has made.
    "Spark": (
        fixed("is asked for"),
        read("properties.managedNetwork.status.sparkReady", lambda ready: "no" if ready is False else "is asked for"),
    ),
    "network at once": ("managed_network.provision_on_creation_enabled", "properties.provisionNetworkNow"),
}
CLUSTER: Settings = {
    **TAGS,
    **IDENTITY,
    "location": ("location", "location"),
    "workspace": ("machine_learning_workspace_id", "parent"),
    "machine": ("vm_size", "properties.properties.vmSize"),
    "priority": ("vm_priority", "properties.properties.vmPriority"),
    "local users": ("local_auth_enabled", negated("properties.disableLocalAuth")),
    "SSH": ("ssh_public_access_enabled", enabled("properties.properties.remoteLoginPortPublicAccess")),
    "public addresses": ("node_public_ip_enabled", "properties.properties.enableNodePublicIp"),
    "fewest nodes": ("scale_settings.min_node_count", "properties.properties.scaleSettings.minNodeCount"),
    "most nodes": ("scale_settings.max_node_count", "properties.properties.scaleSettings.maxNodeCount"),
    "idle": (
        "scale_settings.scale_down_nodes_after_idle_duration",
        "properties.properties.scaleSettings.nodeIdleTimeBeforeScaleDown",
    ),
}
ROLE_ASSIGNMENT: Settings = {
    "is in the directory already": (
        read("skip_service_principal_aad_check", lambda value: not value),
        read("properties.principalType", lambda value: value != "ServicePrincipal"),
    ),
    # Terraform's mock has some text where Azure looks it up.
    "kind": (
        read("principal_type", lambda value: value if value in ("ServicePrincipal", "User", "Group") else None),
        read("properties.principalType"),
    ),
}
DIAGNOSTICS: Settings = {
    "name": ("name", "name"),
    "sent to": ("log_analytics_workspace_id", "properties.workspaceId"),
    "logs": (blocks("enabled_log", "category"), blocks("properties.logs", "category")),
    "on": (blocks("enabled_log", "enabled", enabled=True), blocks("properties.logs", "enabled")),
}
ACTION_GROUP: Settings = {
    **TAGS,
    "location": (unless("location", "global"), "location"),
    "resource group": ("resource_group_name", "group"),
    "short name": ("short_name", "properties.groupShortName"),
    "on": (unless("enabled", True), unless("properties.enabled", True)),
    "e-mails": (
        blocks("email_receiver", "name", "email_address", "use_common_alert_schema"),
        blocks("properties.emailReceivers", "name", "emailAddress", "useCommonAlertSchema"),
    ),
    "roles": (
        blocks("arm_role_receiver", "name", "role_id", "use_common_alert_schema"),
        blocks("properties.armRoleReceivers", "name", "roleId", "useCommonAlertSchema"),
    ),
}
PARTS_OF_A_NOTICE = ("operator", "threshold")
BUDGET: Settings = {
    "on": ("resource_group_id", "scope"),
    "amount": ("amount", "properties.amount"),
    "of what": (unless("category", "Cost"), "properties.category"),
    "per": ("time_grain", "properties.timeGrain"),
    "from": (
        read("time_period.start_date", lambda value: value[:10]),
        read("properties.timePeriod.startDate", lambda value: value[:10]),
    ),
    "notices": (
        blocks("notification", "threshold_type", *PARTS_OF_A_NOTICE, "enabled", enabled=True),
        blocks("properties.notifications", "thresholdType", *PARTS_OF_A_NOTICE, "enabled"),
    ),
    "recipients": (
        blocks("notification", "contact_emails", "contact_groups", "contact_roles"),
        blocks("properties.notifications", "contactEmails", "contactGroups", "contactRoles"),
    ),
}
LOCK: Settings = {
    "name": ("name", "name"),
    "level": ("lock_level", "properties.level"),
    "notes": ("notes", "properties.notes"),
}
CONTAINER: Settings = {
    "account": ("storage_account_id", read("parent", lambda value: value.removesuffix("/blobServices/default"))),
    "public": (
        read("container_access_type", lambda value: {"private": "None"}.get(value, value)),
        "properties.publicAccess",
    ),
}
DATASTORE: Settings = {
    "workspace": ("workspace_id", "parent"),
    "container": (
        "storage_container_id",
        Read(
            tuple(f"properties.{name}" for name in ("subscriptionId", "resourceGroup", "accountName", "filesystem")),
            lambda subscription, group, account, name: resource_id(
                f"/subscriptions/{subscription}/resourceGroups/{group}",
                "Microsoft.Storage/storageAccounts/blobServices/containers",
                *(account, "default", name),
            ),
        ),
    ),
    "the studio signs in as": ("service_data_identity", "properties.serviceDataAccessAuthIdentity"),
    "credential": (
        Read(("client_id", "client_secret"), lambda *secrets: "Some" if any(secrets) else "None"),
        "properties.credentials.credentialsType",
    ),
    "type": (unless("type", "AzureDataLakeGen2"), "properties.datastoreType"),
    "protocol": (unless("protocol", "https"), "properties.protocol"),
    "endpoint": (unless("endpoint", "core.windows.net"), "properties.endpoint"),
}
ALERT: Settings = {
    **PLACE,
    "kind": (unless("kind", "LogAlert"), "kind"),
    "on": (unless("enabled", True), unless("properties.enabled", True)),
    "title": ("display_name", "properties.displayName"),
    "severity": ("severity", "properties.severity"),
    "scopes": (one("scopes"), one("properties.scopes")),
    "every": ("evaluation_frequency", "properties.evaluationFrequency"),
    "window": ("window_duration", "properties.windowSize"),
    "query": ("criteria.query", "properties.criteria.allOf.query"),
    "counts": ("criteria.time_aggregation_method", "properties.criteria.allOf.timeAggregation"),
    "operator": ("criteria.operator", "properties.criteria.allOf.operator"),
    "threshold": ("criteria.threshold", "properties.criteria.allOf.threshold"),
    "of so many periods": (
        unless("criteria.failing_periods.number_of_evaluation_periods", 1),
        unless("properties.criteria.allOf.failingPeriods.numberOfEvaluationPeriods", 1),
    ),
    "so many fail": (
        unless("criteria.failing_periods.minimum_failing_periods_to_trigger_alert", 1),
        unless("properties.criteria.allOf.failingPeriods.minFailingPeriodsToAlert", 1),
    ),
    "ends by itself": ("auto_mitigation_enabled", "properties.autoMitigate"),
    "before the table exists": ("skip_query_validation", "properties.skipQueryValidation"),
    "calls": ("action.action_groups", "properties.actions.actionGroups"),
}
WORKBOOK: Settings = {
    **PLACE,
    "kind": (unless("kind", "shared"), "kind"),
    "category": ("category", "properties.category"),
    "about": (lower("source_id"), lower("properties.sourceId")),
    "content": (content("data_json"), content("properties.serializedData")),
}
NETWORK: Settings = {
    **PLACE,
    "range": (one("address_space"), one("properties.addressSpace.addressPrefixes")),
    "DNS servers": ("dns_servers", "properties.dhcpOptions.dnsServers"),
}
SUBNET: Settings = {
    "resource group": ("resource_group_name", "group"),
    "network": ("virtual_network_name", read("parent", lambda value: value.rpartition("/")[2])),
    "range": (one("address_prefixes"), "properties.addressPrefix"),
    "way out by default": ("default_outbound_access_enabled", "properties.defaultOutboundAccess"),
    "rules for private endpoints": (
        "private_endpoint_network_policies",
        "properties.privateEndpointNetworkPolicies",
    ),
    "security group": ("security_group", "properties.networkSecurityGroup.id"),
    "NAT gateway": ("nat_gateway_id", "properties.natGateway.id"),
}
RULE = ("priority", "direction", "access", "protocol")
SECURITY_GROUP: Settings = {
    **PLACE,
    "rules": (
        blocks(
            "security_rule",
            *("name", *RULE, "source_address_prefix", "source_port_range"),
            *("destination_address_prefix", "destination_port_range"),
        ),
        blocks(
            "properties.securityRules",
            *("name", *(f"properties.{part}" for part in RULE)),
            *("properties.sourceAddressPrefix", "properties.sourcePortRange"),
            *("properties.destinationAddressPrefix", "properties.destinationPortRange"),
        ),
    ),
}
PUBLIC_IP: Settings = {
    **PLACE,
    "sku": ("sku", "sku.name"),
    "allocation": ("allocation_method", "properties.publicIPAllocationMethod"),
}
NAT_GATEWAY: Settings = {
    **PLACE,
    "sku": ("sku_name", "sku.name"),
    "address": ("public_ip_address_id", "properties.publicIpAddresses.id"),
}
DNS_ZONE: Settings = {
    **TAGS,
    "resource group": ("resource_group_name", "group"),
    "location": (fixed("global"), "location"),
}
DNS_LINK: Settings = {
    **TAGS,
    "location": (fixed("global"), "location"),
    "network": ("virtual_network_id", "properties.virtualNetwork.id"),
    "registers machines": ("registration_enabled", "properties.registrationEnabled"),
}
CONNECTION, LINKED = "private_service_connection", "properties.privateLinkServiceConnections"
PRIVATE_ENDPOINT: Settings = {
    **PLACE,
    "subnet": ("subnet_id", "properties.subnet.id"),
    "connection": (f"{CONNECTION}.name", f"{LINKED}.name"),
    "leads to": (f"{CONNECTION}.private_connection_resource_id", f"{LINKED}.properties.privateLinkServiceId"),
    "part": (f"{CONNECTION}.subresource_names", f"{LINKED}.properties.groupIds"),
    # Bicep has another property for connections that need an approval.
    "approval": (f"{CONNECTION}.is_manual_connection", read(LINKED, lambda value: not value)),
    # With a policy that adds it there is none.
    "zone group": (
        "private_dns_zone_group.name",
        read("privateDnsZoneGroups", lambda value: "default" if value else None),
    ),
    "zones": (
        ordered("private_dns_zone_group.private_dns_zone_ids"),
        read(
            "privateDnsZoneGroups.properties.privateDnsZoneConfigs",
            lambda value: sorted(at(each, "properties.privateDnsZoneId") for each in value or []),
        ),
    ),
}
OUTBOUND_ENDPOINT: Settings = {
    "workspace": ("workspace_id", "parent"),
    "leads to": ("service_resource_id", "properties.destination.serviceResourceId"),
    "part": ("sub_resource_target", "properties.destination.subresourceTarget"),
    "for Spark": (unless("spark_enabled", False), unless("properties.destination.sparkEnabled", False)),
    "category": (unless("category", "UserDefined"), "properties.category"),
}
OUTBOUND_HOST: Settings = {
    "workspace": ("workspace_id", "parent"),
    "host": ("destination_fqdn", "properties.destination"),
    "category": (unless("category", "UserDefined"), "properties.category"),
}

ML = "Microsoft.MachineLearningServices/workspaces"
KINDS = {
    "resource group": Kind(
        "azurerm_resource_group",
        "Microsoft.Resources/resourceGroups",
        TAGS | {"location": ("location", "location")},
    ),
    "identity": Kind(
        "azurerm_user_assigned_identity",
        "Microsoft.ManagedIdentity/userAssignedIdentities",
        PLACE,
    ),
    "storage account": Kind("azurerm_storage_account", "Microsoft.Storage/storageAccounts", STORAGE),
    "retention": Kind(
        "azurerm_storage_management_policy",
        "Microsoft.Storage/storageAccounts/managementPolicies",
        RETENTION,
        (on("storage_account_id"), on("parent")),
    ),
    "key vault": Kind("azurerm_key_vault", "Microsoft.KeyVault/vaults", KEY_VAULT),
    "container registry": Kind(
        "azurerm_container_registry", "Microsoft.ContainerRegistry/registries", CONTAINER_REGISTRY
    ),
    "Log Analytics": Kind("azurerm_log_analytics_workspace", "Microsoft.OperationalInsights/workspaces", LOG_ANALYTICS),
    "Application Insights": Kind("azurerm_application_insights", "Microsoft.Insights/components", APPLICATION_INSIGHTS),
    "workspace": Kind("azurerm_machine_learning_workspace", ML, WORKSPACE),
    "cluster": Kind("azurerm_machine_learning_compute_cluster", f"{ML}/computes AmlCompute", CLUSTER),
    "compute instance": Kind("", f"{ML}/computes ComputeInstance", {}),
    "role assignment": Kind(
        "azurerm_role_assignment",
        "Microsoft.Authorization/roleAssignments",
        ROLE_ASSIGNMENT,
        (
            on("scope", "role_definition_id", "principal_id"),
            on("scope", "properties.roleDefinitionId", "properties.principalId"),
        ),
    ),
    "diagnostic setting": Kind(
        "azurerm_monitor_diagnostic_setting",
        "Microsoft.Insights/diagnosticSettings",
        DIAGNOSTICS,
        (on("target_resource_id"), on("scope")),
    ),
    "action group": Kind("azurerm_monitor_action_group", "Microsoft.Insights/actionGroups", ACTION_GROUP),
    "budget": Kind("azurerm_consumption_budget_resource_group", "Microsoft.Consumption/budgets", BUDGET),
    "lock": Kind("azurerm_management_lock", "Microsoft.Authorization/locks", LOCK, (on("scope"), on("scope"))),
    "container": Kind(
        "azurerm_storage_container", "Microsoft.Storage/storageAccounts/blobServices/containers", CONTAINER
    ),
    "datastore": Kind("azurerm_machine_learning_datastore_datalake_gen2", f"{ML}/datastores", DATASTORE),
    "model registry": Kind("", "Microsoft.MachineLearningServices/registries", {}),
    "alert": Kind("azurerm_monitor_scheduled_query_rules_alert_v2", "Microsoft.Insights/scheduledQueryRules", ALERT),
    "workbook": Kind(
        "azurerm_application_insights_workbook",
        "Microsoft.Insights/workbooks",
        WORKBOOK,
        # Its own name is a GUID, which each tool makes in its own way.
        (read("display_name"), read("properties.displayName")),
    ),
    "network": Kind("azurerm_virtual_network", "Microsoft.Network/virtualNetworks", NETWORK),
    "subnet": Kind("azurerm_subnet", "Microsoft.Network/virtualNetworks/subnets", SUBNET),
    "security group": Kind("azurerm_network_security_group", "Microsoft.Network/networkSecurityGroups", SECURITY_GROUP),
    "public address": Kind("azurerm_public_ip", "Microsoft.Network/publicIPAddresses", PUBLIC_IP),
    "NAT gateway": Kind("azurerm_nat_gateway", "Microsoft.Network/natGateways", NAT_GATEWAY),
    "DNS zone": Kind("azurerm_private_dns_zone", "Microsoft.Network/privateDnsZones", DNS_ZONE),
    "DNS link": Kind(
        "azurerm_private_dns_zone_virtual_network_link",
        "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
        DNS_LINK,
        (on("private_dns_zone_id", "name"), on("parent", "name")),
    ),
    "private endpoint": Kind("azurerm_private_endpoint", "Microsoft.Network/privateEndpoints", PRIVATE_ENDPOINT),
    "outbound endpoint": Kind(
        "azurerm_machine_learning_workspace_network_outbound_rule_private_endpoint",
        f"{ML}/outboundRules PrivateEndpoint",
        OUTBOUND_ENDPOINT,
    ),
    "outbound service tag": Kind("", f"{ML}/outboundRules ServiceTag", {}),
    "outbound host": Kind(
        "azurerm_machine_learning_workspace_network_outbound_rule_fqdn", f"{ML}/outboundRules FQDN", OUTBOUND_HOST
    ),
}

# Where Azure has two kinds in one type, and where it has a resource of its own that Terraform has inside another.
KIND_IN = {f"{ML}/computes": "properties.computeType", f"{ML}/outboundRules": "properties.type"}
INSIDE = {
    "Microsoft.Storage/storageAccounts/blobServices",
    "Microsoft.Storage/storageAccounts/fileServices",
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups",
}
# The other way round: the owner of the value, and the value.
ASSOCIATIONS = {
    "azurerm_subnet_nat_gateway_association": ("subnet_id", "nat_gateway_id"),
    "azurerm_nat_gateway_public_ip_association": ("nat_gateway_id", "public_ip_address_id"),
}
HANDED_ON = "azurerm_resource_group_template_deployment"

# No settings: what a resource's id has already, what follows from it, and how long Terraform waits.
PLACES = {"apiVersion", "id", "name", "principal_id", "timeouts", "scope", "group", "parent", *KIND_IN.values()}


class Found(NamedTuple):
    """A resource as a tool describes it: its type, and its values in that tool's words."""

    type: str
    values: Values


Table = dict[tuple[str, str], Values]


def terraform_table(environment: Environment) -> Table:
    """What Terraform builds."""
    found = [Found(each.type, dict(each.values)) for each in environment.resources]
    found += [subnet for each in found if each.type == "azurerm_virtual_network" for subnet in subnets(each.values)]
    by_id = {each.values["id"]: each.values for each in found if each.type not in ASSOCIATIONS}
    for each in found:
        if each.type in ASSOCIATIONS:
            owner, value = ASSOCIATIONS[each.type]
            by_id[each.values[owner]][value] = each.values[value]
    handed_on = [one for each in found if each.type == HANDED_ON for one in opened(each.values)]
    own = [each for each in found if each.type not in (*ASSOCIATIONS, HANDED_ON)]
    kinds = {kind.terraform: name for name, kind in KINDS.items() if kind.terraform}
    return table(own, kinds, 0) | azure_table(handed_on) | outputs(environment.outputs)


def subnets(network: Values) -> Iterator[Found]:
    """The subnets that Terraform makes with their network, taken out of its values."""
    place = {"resource_group_name": network["resource_group_name"], "virtual_network_name": network["name"]}
    for each in network.pop("subnet"):
        yield Found("azurerm_subnet", {**each, **place, "id": f"{network['id']}/subnets/{each['name']}"})


def bicep_table(deployment: Deployment) -> Table:
    """What Bicep builds."""
    found = [
        azure(each.type, each.id, each.scope, {**copy.deepcopy(each.body), "apiVersion": each.version})
        for each in deployment.resources
    ]
    named = {re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", k): v for k, v in deployment.outputs.items()}
    return azure_table(found) | outputs(named)


def opened(deployment: Values) -> Iterator[Found]:
    """The resources that Terraform hands on to Azure in Azure's own words."""
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{deployment['resource_group_name']}"
    template = json.loads(deployment["template_content"])
    assert deployment["deployment_mode"] == "Incremental", "another mode deletes what the template does not name"
    # What a template without resources returns is read in terraform_plan.py.
    known = {"$schema", "contentVersion", "resources"} | ({"outputs"} if not template["resources"] else set())
    assert template.keys() == known, "parameters and the like are not read here"
    for each in template["resources"]:
        kind, name = each.pop("type"), each.pop("name")
        yield azure(kind, resource_id(group, kind, *name.split("/")), group, each)


def azure(kind: str, own: str, scope: str, body: Values) -> Found:
    """A resource in Azure's words, with the parts of its id."""
    parent, _, name = own.rpartition("/")
    places = {
        "id": own,
        "name": name,
        "scope": scope,
        "parent": parent.rpartition("/")[0],
        "group": (re.findall("/resourceGroups/([^/]+)", own) or [""])[0],
    }
    if kind_of := at(body, KIND_IN.get(kind, "")):
        kind = f"{kind} {kind_of}"
    return Found(kind, body | places)


def azure_table(found: list[Found]) -> Table:
    """What is requested from Azure; parts are where Terraform has them."""
    by_id = {each.values["id"]: each.values for each in found}
    inline = []
    for each in found:
        if each.type in INSIDE:
            assert each.values["name"] == "default", "the only name that these have in Terraform too"
            inside = {key: value for key, value in each.values.items() if key not in PLACES}
            by_id[each.values["parent"]][each.type.rpartition("/")[2]] = inside
        if at(each.values, "properties.notifications"):
            each.values["properties"]["notifications"] = list(each.values["properties"]["notifications"].values())
        if each.type == "Microsoft.Network/virtualNetworks":
            for subnet in each.values["properties"].pop("subnets", []):
                own = f"{each.values['id']}/subnets/{subnet.pop('name')}"
                inline.append(azure(f"{each.type}/subnets", own, each.values["scope"], subnet))
    kinds = {kind.azure: name for name, kind in KINDS.items()}
    return table([each for each in found if each.type not in INSIDE] + inline, kinds, 1)


def table(resources: list[Found], kinds: dict[str, str], side: int) -> Table:
    """The resources in common words; ``side`` is 0 for Terraform's own and 1 for Azure's."""
    rows: Table = {}
    errors = {f"{each.type} is not a kind" for each in resources if each.type not in kinds}
    for each in (each for each in resources if each.type in kinds):
        name = kinds[each.type]
        kind = KINDS[name]
        readers = {
            setting: reader if isinstance(reader := pair[side], Read) else read(reader)
            for setting, pair in kind.settings.items()
        }
        leaves = {path: value for path, value in flat(each.values) if PLACES.isdisjoint((path, path.split(".")[0]))}
        called = kind.called[side]
        if kind.terraform:
            known = [*readers.values(), called]
            paths = {re.sub(r"\.\d+", "", path) for path in leaves}
            unread = sorted(path for path in paths if not any(reader.covers(path) for reader in known))
            errors |= {f"no setting of {name!r} reads {path}" for path in unread}
            row = {setting: reader(each.values) for setting, reader in readers.items()}
        else:
            row = {**leaves, "API version": each.values["apiVersion"]}
        key = (name, called(each.values))
        errors |= {f"{key} is there twice"} if key in rows else set()
        rows[key] = row
    assert not errors, "\n".join(["tests/parity_table.py:", *sorted(errors)])
    return rows


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each value that is there, with its path."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield from flat(each, f"{path}.{key}" if path else str(key))
    if not isinstance(value, dict | list) and value is not None:
        yield path, value


def outputs(values: Values) -> Table:
    return {("output", name): {"value": value} for name, value in values.items()}


def differences(terraform: Table, bicep: Table) -> list[str]:
    """A line for each setting that is not the same, and for each resource that only one of the two has."""
    lines = []
    for kind, name in sorted(terraform.keys() | bicep.keys()):
        ours, theirs = terraform.get((kind, name)), bicep.get((kind, name))
        if ours is None or theirs is None:
            lines.append(f"{kind} {short_ids(name)}: only in {'Bicep' if ours is None else 'Terraform'}")
            continue
        for setting in sorted(ours.keys() | theirs.keys()):
            values = ours.get(setting), theirs.get(setting)
            if values[0] != values[1]:
                shown = [short_ids(repr(value)) for value in values]
                shown = shown if shown[0] != shown[1] else [repr(value) for value in values]
                lines.append(f"{kind} {short_ids(name)}: {setting}: Terraform {shown[0]}, Bicep {shown[1]}")
    return lines


def short_ids(text: str) -> str:
    return re.sub(r"/subscriptions/[\w-]+/(resourceGroups/[^/]+/)?providers/", "", text)
