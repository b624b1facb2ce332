# Everything comes from config/<environment>.yml, which the Python verbs and the workflows read too.
locals {
  config   = yamldecode(file("${path.module}/../../config/${var.environment}.yml"))
  names    = local.config.names
  location = local.config.location
  tags     = local.config.tags

  # With a private network nothing here is open to the internet, without one everything is, behind Entra ID.
  closed = try(local.config.network, null) != null

  # Files from before the last two keys have none of them.
  retention = merge({ version_days = 30, collected_days = 90 }, local.config.retention)

  # Nor of these.
  storage = merge({ redundancy = "LRS", shared_keys = false }, try(local.config.storage, {}))

  # A key of the company, in its own vault, and the identity that may use it. The last part of the key's id is its version,
  # which storage and registry follow by themselves.
  customer_key      = try(local.config.security.customer_key, null)
  customer_key_name = local.customer_key == null ? null : regex("^(https://[^/]+/keys/[^/]+)/", local.customer_key.key_id)[0]

  # What every add-on needs to know.
  place = {
    resource_group = azurerm_resource_group.this.name
    location       = local.location
    tags           = local.tags
    closed         = local.closed
  }
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

  public_network_access_enabled = !local.closed

  network_acls {
    default_action = local.closed ? "Deny" : "Allow"
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
  sku                           = local.closed ? "Premium" : "Standard"
  public_network_access_enabled = !local.closed
  network_rule_bypass_option    = "AzureServices"

  # Only Premium takes a key, and only when it is made.
  dynamic "identity" {
    for_each = local.closed ? local.customer_key[*] : []
    content {
      type         = "UserAssigned"
      identity_ids = [identity.value.identity_id]
    }
  }

  dynamic "encryption" {
    for_each = local.closed ? local.customer_key[*] : []
    content {
      key_vault_key_id   = local.customer_key_name
      identity_client_id = encryption.value.identity_client_id
    }
  }

  admin_enabled          = false
  anonymous_pull_enabled = false

  # The other mode, with conditions for repositories, does not know the roles of infrastructure/shared/roles.yml.
  role_assignment_mode = "LegacyRegistryPermissions"
}
