# The only input is config/<environment>.yml, which the Python verbs and the workflows read too.
locals {
  config   = yamldecode(file("${path.module}/../../config/${var.environment}.yml"))
  names    = local.config.names
  location = local.config.location
  tags     = local.config.tags

  public_access = local.config.security.public_network_access
}

data "azurerm_client_config" "current" {}

resource "azurerm_resource_group" "this" {
  name     = local.names.resource_group
  location = local.location
  tags     = local.tags
}

resource "azurerm_key_vault" "this" {
  name                = local.names.key_vault
  resource_group_name = azurerm_resource_group.this.name
  location            = local.location
  tags                = local.tags

  tenant_id = data.azurerm_client_config.current.tenant_id
  sku_name  = "standard"

  rbac_authorization_enabled = true
  purge_protection_enabled   = local.config.security.purge_protection
  soft_delete_retention_days = 90

  public_network_access_enabled = local.public_access

  network_acls {
    default_action = local.public_access ? "Allow" : "Deny"
    # The workspace reaches a closed vault as a trusted Azure service.
    bypass = "AzureServices"
  }
}

resource "azurerm_container_registry" "this" {
  name                = local.names.container_registry
  resource_group_name = azurerm_resource_group.this.name
  location            = local.location
  tags                = local.tags

  # Only Premium can be closed to the public network; it costs several times as much.
  sku                           = local.public_access ? "Standard" : "Premium"
  public_network_access_enabled = local.public_access
  network_rule_bypass_option    = "AzureServices"

  admin_enabled          = false
  anonymous_pull_enabled = false
}
