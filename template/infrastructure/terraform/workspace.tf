resource "azurerm_machine_learning_workspace" "this" {
  name                = local.names.workspace
  resource_group_name = azurerm_resource_group.this.name
  location            = local.location
  tags                = local.tags

  storage_account_id      = azurerm_storage_account.this.id
  key_vault_id            = azurerm_key_vault.this.id
  container_registry_id   = azurerm_container_registry.this.id
  application_insights_id = azurerm_application_insights.this.id

  # The system datastores read and write with the identity of the caller, not with the account key.
  storage_account_access_type    = local.storage.shared_keys ? "AccessKey" : "Identity"
  primary_user_assigned_identity = azurerm_user_assigned_identity.workspace.id

  public_network_access_enabled = !local.closed

  # ACR Tasks, which normally build the images, cannot reach a closed registry: then the cluster builds them.
  image_build_compute_name = local.closed ? local.config.compute.cluster.name : null

  # A closed workspace has a network of its own, in which Azure runs jobs and endpoints. Created at once, and not with
  # the first job, because a cluster without public addresses can only be created in a network that exists.
  dynamic "managed_network" {
    for_each = local.closed ? [local.config.network.outbound] : []
    content {
      isolation_mode                = managed_network.value == "approved" ? "AllowOnlyApprovedOutbound" : "AllowInternetOutbound"
      provision_on_creation_enabled = true
    }
  }

  identity {
    type         = "UserAssigned"
    identity_ids = concat([azurerm_user_assigned_identity.workspace.id], local.customer_key[*].identity_id)
  }

  # A key can be chosen only when the workspace is made.
  dynamic "encryption" {
    for_each = local.customer_key[*]
    content {
      key_vault_id              = encryption.value.vault_id
      key_id                    = encryption.value.key_id
      user_assigned_identity_id = encryption.value.identity_id
    }
  }

  # Azure creates the managed network with the workspace, for which azurerm's 30 minutes can be too short.
  timeouts {
    create = "90m"
    update = "90m"
  }

  # The workspace uses these rights while it is created. Azure grants them to a system-assigned identity only.
  depends_on = [azurerm_role_assignment.resources]

  lifecycle {
    # Otherwise the add-on "private-network" would delete a workspace that exists, with all that was tracked in it,
    # only to create its network at once: `az ml workspace provision-network` does that too.
    ignore_changes = [managed_network[0].provision_on_creation_enabled]
  }
}

resource "azurerm_machine_learning_compute_cluster" "this" {
  for_each = { for key, cluster in local.config.compute : key => cluster if endswith(key, "cluster") && cluster != null }

  name                          = each.value.name
  location                      = local.location
  machine_learning_workspace_id = azurerm_machine_learning_workspace.this.id
  tags                          = local.tags

  vm_size = each.value.vm_size
  # Azure retired low-priority machines for Azure ML on 2026-03-31.
  vm_priority = "Dedicated"

  local_auth_enabled        = false
  ssh_public_access_enabled = false
  node_public_ip_enabled    = !local.closed

  scale_settings {
    min_node_count                       = each.value.min_nodes
    max_node_count                       = each.value.max_nodes
    scale_down_nodes_after_idle_duration = "PT${each.value.idle_minutes}M"
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.compute.id]
  }
}
