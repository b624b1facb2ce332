terraform {
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.2"
    }
  }
}

resource "azurerm_virtual_network" "this" {
  name                = var.name
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags
  address_space       = [var.network.address_space]
}

locals {
  # Azure's default rules, which apply beside these, allow all traffic within the network and out to the internet.
  subnets = {
    endpoints = {
      range = var.network.endpoints_subnet
      rules = {
        https-in = { priority = 100, direction = "Inbound", access = "Allow", protocol = "Tcp", source = "VirtualNetwork", port = "443" }
        deny-in  = { priority = 4096, direction = "Inbound", access = "Deny", protocol = "*", source = "*", port = "*" }
      }
    }
    runners = {
      range = var.network.runners_subnet
      rules = {
        deny-in   = { priority = 4096, direction = "Inbound", access = "Deny", protocol = "*", source = "*", port = "*" }
        https-out = { priority = 100, direction = "Outbound", access = "Allow", protocol = "Tcp", source = "VirtualNetwork", port = "443" }
        deny-out  = { priority = 4096, direction = "Outbound", access = "Deny", protocol = "*", source = "*", port = "*" }
      }
    }
  }
}

resource "azurerm_subnet" "this" {
  for_each = local.subnets

  name                 = each.key
  resource_group_name  = var.place.resource_group
  virtual_network_name = azurerm_virtual_network.this.name
  address_prefixes     = [each.value.range]

  default_outbound_access_enabled = false
  # Otherwise the rules below would not apply to private endpoints.
  private_endpoint_network_policies = "Enabled"
}

resource "azurerm_network_security_group" "this" {
  for_each = local.subnets

  name                = "nsg-${each.key}"
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags

  dynamic "security_rule" {
    for_each = each.value.rules
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

resource "azurerm_subnet_network_security_group_association" "this" {
  for_each = local.subnets

  subnet_id                 = azurerm_subnet.this[each.key].id
  network_security_group_id = azurerm_network_security_group.this[each.key].id
}

# Runners reach the code host and the package index through one fixed address, which others can put on an allowlist.
resource "azurerm_public_ip" "nat" {
  name                = "pip-${var.name}"
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags
  sku                 = "Standard"
  allocation_method   = "Static"
}

resource "azurerm_nat_gateway" "this" {
  name                = "nat-${var.name}"
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags
  sku_name            = "Standard"
}

resource "azurerm_nat_gateway_public_ip_association" "this" {
  nat_gateway_id       = azurerm_nat_gateway.this.id
  public_ip_address_id = azurerm_public_ip.nat.id
}

resource "azurerm_subnet_nat_gateway_association" "runners" {
  subnet_id      = azurerm_subnet.this["runners"].id
  nat_gateway_id = azurerm_nat_gateway.this.id
}

locals {
  endpoints         = { for key, endpoint in var.endpoints : key => endpoint if contains(keys(var.resources), endpoint.on) }
  managed_endpoints = { for key, endpoint in var.managed_endpoints : key => endpoint if contains(keys(var.resources), endpoint.on) }
  hosts             = var.network.outbound == "approved" ? var.network.outbound_hosts : []
}

resource "azurerm_private_dns_zone" "this" {
  for_each = toset(flatten([for endpoint in local.endpoints : endpoint.zones]))

  name                = each.value
  resource_group_name = var.place.resource_group
  tags                = var.place.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "this" {
  for_each = azurerm_private_dns_zone.this

  name                 = "link-${var.name}"
  private_dns_zone_id  = each.value.id
  virtual_network_id   = azurerm_virtual_network.this.id
  registration_enabled = false
  tags                 = var.place.tags
}

resource "azurerm_private_endpoint" "this" {
  for_each = local.endpoints

  name                = "pe-${each.key}"
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags
  subnet_id           = azurerm_subnet.this["endpoints"].id

  private_service_connection {
    name                           = "pe-${each.key}"
    private_connection_resource_id = var.resources[each.value.on]
    subresource_names              = [each.value.group]
    is_manual_connection           = false
  }

  private_dns_zone_group {
    name                 = "default"
    private_dns_zone_ids = [for zone in each.value.zones : azurerm_private_dns_zone.this[zone].id]
  }
}

resource "azurerm_role_assignment" "this" {
  for_each = var.assignments

  scope                            = azurerm_private_endpoint.this[trimsuffix(each.value.on, "_endpoint")].id
  role_definition_id               = each.value.role_definition_id
  principal_id                     = each.value.principal_id
  principal_type                   = each.value.principal_type
  skip_service_principal_aad_check = each.value.skip_service_principal_aad_check
}

# The way out of the network in which the workspace runs jobs and endpoints. Azure was seen to lose rules that are
# created at the same time (Azure/terraform-provider-azapi#453); `terraform apply -parallelism=1` creates them in turn.
resource "azurerm_machine_learning_workspace_network_outbound_rule_private_endpoint" "this" {
  for_each = local.managed_endpoints

  name                = each.key
  workspace_id        = var.resources.workspace
  service_resource_id = var.resources[each.value.on]
  sub_resource_target = each.value.group
}

resource "azurerm_machine_learning_workspace_network_outbound_rule_fqdn" "this" {
  for_each = { for number, host in local.hosts : "host-${number}" => host }

  name             = each.key
  workspace_id     = var.resources.workspace
  destination_fqdn = each.value

  # With the first host Azure creates a firewall, for which azurerm's 30 minutes can be too short.
  timeouts {
    create = "90m"
    update = "90m"
  }

  depends_on = [azurerm_machine_learning_workspace_network_outbound_rule_private_endpoint.this]
}
