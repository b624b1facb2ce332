resource "azurerm_storage_account" "this" {
  name                = local.names.storage_account
  resource_group_name = azurerm_resource_group.this.name
  location            = local.location
  tags                = local.tags

  account_kind             = "StorageV2"
  account_tier             = "Standard"
  account_replication_type = "LRS"

  # A leaked key gives no access: every caller needs an Entra ID role.
  shared_access_key_enabled       = false
  default_to_oauth_authentication = true
  local_user_enabled              = false

  allow_nested_items_to_be_public  = false
  cross_tenant_replication_enabled = false
  https_traffic_only_enabled       = true
  min_tls_version                  = "TLS1_2"

  # With a key of the company, where it has one.
  dynamic "identity" {
    for_each = local.customer_key[*]
    content {
      type         = "UserAssigned"
      identity_ids = [identity.value.identity_id]
    }
  }

  dynamic "customer_managed_key" {
    for_each = local.customer_key[*]
    content {
      key_vault_key_id          = local.customer_key_name
      user_assigned_identity_id = customer_managed_key.value.identity_id
    }
  }

  public_network_access_enabled = !local.closed

  network_rules {
    default_action = local.closed ? "Deny" : "Allow"
    # The workspace reaches a closed account as a trusted Azure service.
    bypass = ["AzureServices"]
  }

  # Training data and models can be restored after a wrong delete or overwrite.
  blob_properties {
    versioning_enabled = true

    delete_retention_policy {
      days = 14
    }

    container_delete_retention_policy {
      days = 14
    }
  }

  share_properties {
    retention_policy {
      days = 14
    }
  }
}
