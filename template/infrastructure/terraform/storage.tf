locals {
  studio = yamldecode(file("${path.module}/../shared/studio.yml"))
}

resource "azurerm_storage_account" "this" {
  name                = local.names.storage_account
  resource_group_name = azurerm_resource_group.this.name
  location            = local.location
  tags                = local.tags

  account_kind             = "StorageV2"
  account_tier             = "Standard"
  account_replication_type = local.storage.redundancy

  # A leaked key gives no access: every caller needs an Entra ID role. Azure ML has workspaces without keys as a preview.
  shared_access_key_enabled       = local.storage.shared_keys
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
    # The workspace reaches a closed account as a trusted Azure service. Nothing is stopped at an open one; the longer
    # list is there because azurerm takes the shorter one for no rules at all, and would add them in each plan
    # (hashicorp/terraform-provider-azurerm#27860).
    bypass = local.closed ? ["AzureServices"] : ["AzureServices", "Logging", "Metrics"]
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

    cors_rule {
      allowed_origins    = local.studio.origins
      allowed_methods    = local.studio.methods
      allowed_headers    = local.studio.headers
      exposed_headers    = local.studio.headers
      max_age_in_seconds = local.studio.max_age_seconds
    }
  }

  share_properties {
    retention_policy {
      days = 14
    }

    cors_rule {
      allowed_origins    = local.studio.origins
      allowed_methods    = local.studio.methods
      allowed_headers    = local.studio.headers
      exposed_headers    = local.studio.headers
      max_age_in_seconds = local.studio.max_age_seconds
    }
  }

  lifecycle {
    # What Azure writes here by itself: Azure ML the rules of its studio, Defender for Storage the way for its scanner.
    ignore_changes = [
      blob_properties[0].cors_rule,
      share_properties[0].cors_rule,
      network_rules[0].private_link_access,
    ]
  }
}

# Each write makes a version of the blob, and a deletion makes one of the last: without an end nothing would ever go.
resource "azurerm_storage_management_policy" "this" {
  storage_account_id = azurerm_storage_account.this.id

  rule {
    name    = "end-of-versions"
    enabled = true

    filters {
      blob_types = ["appendBlob", "blockBlob"]
    }

    actions {
      version {
        delete_after_days_since_creation = local.retention.version_days
      }
    }
  }

  rule {
    name    = "end-of-collected-requests"
    enabled = true

    filters {
      blob_types   = ["appendBlob", "blockBlob"]
      prefix_match = ["azureml-blobstore-${azurerm_machine_learning_workspace.this.workspace_id}/modelDataCollector/"]
    }

    actions {
      base_blob {
        delete_after_days_since_modification_greater_than = local.retention.collected_days
      }
    }
  }
}
