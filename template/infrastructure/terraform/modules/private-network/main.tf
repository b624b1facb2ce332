terraform {
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.2"
    }
  }
}

locals {
  # A subnet of the company's network has rules and a way out of its own, which are not ours to change.
  own     = var.network.existing_subnet_id == null
  subnets = { for key, rules in var.subnets : key => rules if local.own }
  ranges  = { endpoints = var.network.endpoints_subnet, runners = var.network.runners_subnet }
  nat     = local.own && var.network.nat

  network_id = local.own ? one(azurerm_virtual_network.this[*].id) : split("/subnets/", var.network.existing_subnet_id)[0]
  subnet_id  = local.own ? "${local.network_id}/subnets/endpoints" : var.network.existing_subnet_id
}

# With its subnets and their security groups in one request: a policy of Azure's landing zones refuses a subnet that has
# no group even for a moment.
resource "azurerm_virtual_network" "this" {
  count = local.own ? 1 : 0

  name                = var.name
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags
  address_space       = [var.network.address_space]
  dns_servers         = var.network.dns_servers

  dynamic "subnet" {
    for_each = local.subnets
    content {
      name             = subnet.key
      address_prefixes = [local.ranges[subnet.key]]
      security_group   = azurerm_network_security_group.this[subnet.key].id

      default_outbound_access_enabled = false
      # Otherwise the rules of the group would not apply to private endpoints.
      private_endpoint_network_policies = "Enabled"
    }
  }
}

# Until v0.11 the subnets and their groups were resources of their own; in Azure they stay as they are.
removed {
  from = azurerm_subnet.this

  lifecycle {
    destroy = false
  }
}

removed {
  from = azurerm_subnet_network_security_group_association.this

  lifecycle {
    destroy = false
  }
}

resource "azurerm_network_security_group" "this" {
  for_each = local.subnets

  name                = "nsg-${each.key}"
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags

  dynamic "security_rule" {
    for_each = each.value
    content {
      name                       = security_rule.key
      priority                   = security_rule.value.priority
      direction                  = security_rule.value.direction
      access                     = security_rule.value.access
      protocol                   = security_rule.value.protocol
      source_address_prefix      = security_rule.value.source
      source_port_range          = "*"
      destination_address_prefix = "*"
      destination_port_range     = security_rule.value.port
    }
  }
}

# Runners reach the code host and the package index through one fixed address, which others can put on an allowlist.
resource "azurerm_public_ip" "nat" {
  count = local.nat ? 1 : 0

  name                = "pip-${var.name}"
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags
  sku                 = "Standard"
  allocation_method   = "Static"
}

resource "azurerm_nat_gateway" "this" {
  count = local.nat ? 1 : 0

  name                = "nat-${var.name}"
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags
  sku_name            = "Standard"
}

resource "azurerm_nat_gateway_public_ip_association" "this" {
  count = local.nat ? 1 : 0

  nat_gateway_id       = azurerm_nat_gateway.this[0].id
  public_ip_address_id = azurerm_public_ip.nat[0].id
}

resource "azurerm_subnet_nat_gateway_association" "runners" {
  count = local.nat ? 1 : 0

  subnet_id      = "${local.network_id}/subnets/runners"
  nat_gateway_id = azurerm_nat_gateway.this[0].id
}

locals {
  # That of the workspace is apart from the others, which are there before it.
  endpoints          = { for key, endpoint in var.endpoints : key => endpoint if contains(keys(var.resources), endpoint.on) }
  workspace_endpoint = { for key, endpoint in var.endpoints : key => endpoint if endpoint.on == "workspace" }

  managed_endpoints = { for key, endpoint in var.managed_endpoints : key => endpoint if contains(keys(var.resources), endpoint.on) }

  # Named by the host, so that one more or one less is no other rule: Azure takes minutes for each. No host has a "_".
  hosts = {
    for host in var.network.outbound == "approved" ? var.network.outbound_hosts : [] :
    "host-${replace(trimprefix(host, "*"), ".", "_")}" => host
  }
}

# Zones of one's own, those that the company has in a central place, or none here: then a policy of the company adds them
# to the endpoints.
resource "azurerm_private_dns_zone" "this" {
  for_each = var.network.dns == "own" ? toset(flatten([for endpoint in merge(local.endpoints, local.workspace_endpoint) : endpoint.zones])) : []

  name                = each.value
  resource_group_name = var.place.resource_group
  tags                = var.place.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "this" {
  for_each = azurerm_private_dns_zone.this

  name                 = "link-${var.name}"
  private_dns_zone_id  = each.value.id
  virtual_network_id   = local.network_id
  registration_enabled = false
  tags                 = var.place.tags
}

locals {
  zones = merge(
    { for name, zone in azurerm_private_dns_zone.this : name => zone.id },
    { for id in var.network.dns == "central" ? var.network.dns_zone_ids : [] : basename(id) => id },
  )
}

resource "azurerm_private_endpoint" "this" {
  for_each = var.network.dns == "policy" ? {} : local.endpoints

  name                = "pe-${each.key}"
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags
  subnet_id           = local.subnet_id

  private_service_connection {
    name                           = "pe-${each.key}"
    private_connection_resource_id = var.resources[each.value.on]
    subresource_names              = [each.value.group]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = "default"
    private_dns_zone_ids = [for zone in each.value.zones : local.zones[zone]]
  }
}

# The same, but their zones are the policy's: Terraform would plan to remove them, and cannot be told so by a condition.
resource "azurerm_private_endpoint" "policy" {
  for_each = var.network.dns == "policy" ? local.endpoints : {}

  name                = "pe-${each.key}"
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags
  subnet_id           = local.subnet_id

  private_service_connection {
    name                           = "pe-${each.key}"
    private_connection_resource_id = var.resources[each.value.on]
    subresource_names              = [each.value.group]
    is_manual_connection           = false
  }

  lifecycle {
    ignore_changes = [private_dns_zone_group]
  }
}

locals {
  endpoint_ids = { for key, endpoint in merge(azurerm_private_endpoint.this, azurerm_private_endpoint.policy) : key => endpoint.id }
}

resource "azurerm_role_assignment" "this" {
  for_each = var.assignments

  scope                            = local.endpoint_ids[trimsuffix(each.value.on, "_endpoint")]
  role_definition_id               = each.value.role_definition_id
  principal_id                     = each.value.principal_id
  principal_type                   = each.value.principal_type
  skip_service_principal_aad_check = each.value.skip_service_principal_aad_check
}

resource "azurerm_private_endpoint" "workspace" {
  for_each = var.network.dns == "policy" ? {} : local.workspace_endpoint

  name                = "pe-${each.key}"
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags
  subnet_id           = local.subnet_id

  private_service_connection {
    name                           = "pe-${each.key}"
    private_connection_resource_id = var.workspace.id
    subresource_names              = [each.value.group]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = "default"
    private_dns_zone_ids = [for zone in each.value.zones : local.zones[zone]]
  }
}

resource "azurerm_private_endpoint" "workspace_policy" {
  for_each = var.network.dns == "policy" ? local.workspace_endpoint : {}

  name                = "pe-${each.key}"
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags
  subnet_id           = local.subnet_id

  private_service_connection {
    name                           = "pe-${each.key}"
    private_connection_resource_id = var.workspace.id
    subresource_names              = [each.value.group]
    is_manual_connection           = false
  }

  lifecycle {
    ignore_changes = [private_dns_zone_group]
  }
}

moved {
  from = azurerm_private_endpoint.this["workspace"]
  to   = azurerm_private_endpoint.workspace["workspace"]
}

moved {
  from = azurerm_private_endpoint.policy["workspace"]
  to   = azurerm_private_endpoint.workspace_policy["workspace"]
}

# The way out of the network in which the workspace runs jobs and endpoints. Azure was seen to lose rules that are
# created at the same time (Azure/terraform-provider-azapi#453); `terraform apply -parallelism=1` creates them in turn.
# The rules of hosts with a number in place of a name, as before v0.14, go first: docs/infrastructure.md, "More ways out".
resource "azurerm_machine_learning_workspace_network_outbound_rule_private_endpoint" "this" {
  for_each = { for key, endpoint in local.managed_endpoints : key => endpoint if endpoint.group != "amlregistry" }

  name                = each.key
  workspace_id        = var.workspace.id
  service_resource_id = var.resources[each.value.on]
  sub_resource_target = each.value.group
}

resource "azurerm_machine_learning_workspace_network_outbound_rule_fqdn" "this" {
  for_each = local.hosts

  name             = each.key
  workspace_id     = var.workspace.id
  destination_fqdn = each.value

  # With the first host Azure creates a firewall, and may remove it with the last: azurerm's 30 minutes can be too short.
  timeouts {
    create = "90m"
    update = "90m"
    delete = "90m"
  }

  depends_on = [azurerm_machine_learning_workspace_network_outbound_rule_private_endpoint.this]
}

# azurerm 5.2 knows some targets of an endpoint and no other, such as a registry: these rules are in Azure's own words. One
# deployment for each, because Terraform deletes what a deployment made only together with the deployment.
locals {
  rules = merge(
    {
      for key, endpoint in local.managed_endpoints : key => {
        type        = "PrivateEndpoint"
        category    = "UserDefined"
        destination = { serviceResourceId = var.resources[endpoint.on], subresourceTarget = endpoint.group }
      } if endpoint.group == "amlregistry"
    },
    {
      for name, rule in var.network.outbound_rules : "rule-${name}" => {
        type        = "PrivateEndpoint"
        category    = "UserDefined"
        destination = { serviceResourceId = rule.resource_id, subresourceTarget = rule.group }
      } if rule.resource_id != null
    },
    {
      for name, rule in var.network.outbound_rules : "rule-${name}" => {
        type        = "ServiceTag"
        category    = "UserDefined"
        destination = { serviceTag = rule.service_tag, protocol = rule.protocol, portRanges = rule.ports }
      } if rule.service_tag != null
    },
  )
}

resource "azurerm_resource_group_template_deployment" "rule" {
  for_each = local.rules

  name                = "outbound-${each.key}"
  resource_group_name = var.place.resource_group
  deployment_mode     = "Incremental"
  tags                = var.place.tags

  template_content = jsonencode({
    "$schema"      = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
    contentVersion = "1.0.0.0"
    resources = [{
      type       = "Microsoft.MachineLearningServices/workspaces/outboundRules"
      apiVersion = "2026-05-01"
      name       = "${var.workspace.name}/${each.key}"
      properties = each.value
    }]
  })

  depends_on = [azurerm_machine_learning_workspace_network_outbound_rule_fqdn.this]
}
