terraform {
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.2"
    }
  }
}

# As tight as the storage account of the workspace. Versioning is not possible with a hierarchical namespace.
resource "azurerm_storage_account" "this" {
  name                = var.name
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags

  account_kind             = "StorageV2"
  account_tier             = "Standard"
  account_replication_type = var.redundancy
  is_hns_enabled           = true

  shared_access_key_enabled       = false
  default_to_oauth_authentication = true
  local_user_enabled              = false

  allow_nested_items_to_be_public  = false
  cross_tenant_replication_enabled = false
  https_traffic_only_enabled       = true
  min_tls_version                  = "TLS1_2"

  # With a key of the company, where it has one.
  dynamic "identity" {
    for_each = var.customer_key[*]
    content {
      type         = "UserAssigned"
      identity_ids = [identity.value.identity_id]
    }
  }

  dynamic "customer_managed_key" {
    for_each = var.customer_key[*]
    content {
      key_vault_key_id          = customer_managed_key.value.name
      user_assigned_identity_id = customer_managed_key.value.identity_id
    }
  }

  public_network_access_enabled = !var.place.closed

  network_rules {
    default_action = var.place.closed ? "Deny" : "Allow"
    # As that of the workspace's account, and for the same reason.
    bypass = var.place.closed ? ["AzureServices"] : ["AzureServices", "Logging", "Metrics"]
  }

  blob_properties {
    delete_retention_policy {
      days = 14
    }

    container_delete_retention_policy {
      days = 14
    }
  }

  lifecycle {
    # Defender for Storage writes the way for its scanner here.
    ignore_changes = [network_rules[0].private_link_access]
  }
}

resource "azurerm_storage_container" "data" {
  name                  = "data"
  storage_account_id    = azurerm_storage_account.this.id
  container_access_type = "private"
}

resource "azurerm_role_assignment" "this" {
  for_each = var.assignments

  scope                            = azurerm_storage_account.this.id
  role_definition_id               = each.value.role_definition_id
  principal_id                     = each.value.principal_id
  principal_type                   = each.value.principal_type
  skip_service_principal_aad_check = each.value.skip_service_principal_aad_check
}

# Without a credential: jobs read and write under their own identity, and the studio shows data under the workspace's.
resource "azurerm_machine_learning_datastore_datalake_gen2" "this" {
  name                  = "datalake"
  workspace_id          = var.workspace_id
  storage_container_id  = azurerm_storage_container.data.id
  service_data_identity = "WorkspaceUserAssignedIdentity"

  depends_on = [azurerm_role_assignment.this]

  lifecycle {
    # azurerm replaces a datastore for another tag, and a job that runs in between finds none. So it has no tags; one from
    # before release 0.12 keeps those that it has.
    ignore_changes = [tags]
  }
}

resource "azurerm_monitor_diagnostic_setting" "this" {
  count = length(var.log_categories) > 0 ? 1 : 0

  name                       = "log-analytics"
  target_resource_id         = "${azurerm_storage_account.this.id}/blobServices/default"
  log_analytics_workspace_id = var.log_analytics_id

  dynamic "enabled_log" {
    for_each = var.log_categories
    content {
      category = enabled_log.value
    }
  }
}
