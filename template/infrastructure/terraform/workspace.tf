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
  storage_account_access_type    = "Identity"
  primary_user_assigned_identity = azurerm_user_assigned_identity.workspace.id

  public_network_access_enabled = local.public_access

  # ACR Tasks, which normally build the images, cannot reach a closed registry: then the cluster builds them.
  image_build_compute_name = local.public_access ? null : local.config.compute.cluster.name

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.workspace.id]
  }

  # The workspace uses these rights while it is created. Azure grants them to a system-assigned identity only.
  depends_on = [azurerm_role_assignment.resources]
}

resource "azurerm_machine_learning_compute_cluster" "this" {
  name                          = local.config.compute.cluster.name
  location                      = local.location
  machine_learning_workspace_id = azurerm_machine_learning_workspace.this.id
  tags                          = local.tags

  vm_size = local.config.compute.cluster.vm_size
  # Azure retired low-priority machines for Azure ML on 2026-03-31.
  vm_priority = "Dedicated"

  local_auth_enabled        = false
  ssh_public_access_enabled = false

  scale_settings {
    min_node_count                       = local.config.compute.cluster.min_nodes
    max_node_count                       = local.config.compute.cluster.max_nodes
    scale_down_nodes_after_idle_duration = "PT${local.config.compute.cluster.idle_minutes}M"
  }

  identity {
    type         = "UserAssigned"
    identity_ids = [azurerm_user_assigned_identity.compute.id]
  }
}
