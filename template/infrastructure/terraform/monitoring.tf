resource "azurerm_log_analytics_workspace" "this" {
  name                = local.names.log_analytics
  resource_group_name = azurerm_resource_group.this.name
  location            = local.location
  tags                = local.tags

  sku                          = "PerGB2018"
  retention_in_days            = local.config.retention.log_days
  local_authentication_enabled = false
}

resource "azurerm_application_insights" "this" {
  name                = local.names.application_insights
  resource_group_name = azurerm_resource_group.this.name
  location            = local.location
  tags                = local.tags

  application_type = "web"
  workspace_id     = azurerm_log_analytics_workspace.this.id

  # Telemetry needs an Entra ID token. Azure's inference server sends with the instrumentation key only (1.5.1), so
  # deployments leave app_insights_enabled off and are watched through the data collector and the platform metrics.
  local_authentication_enabled = false
}

# Who read a secret, who pulled an image, who deleted data, which job failed. These categories are few and small;
# the chatty ones (every blob read, CPU use per node) would cost more than they tell.
locals {
  diagnostics = {
    workspace = {
      target     = azurerm_machine_learning_workspace.this.id
      categories = ["AmlComputeClusterEvent", "AmlComputeJobEvent", "AmlRunStatusChangedEvent"]
    }
    key_vault = {
      target     = azurerm_key_vault.this.id
      categories = ["AuditEvent"]
    }
    container_registry = {
      target     = azurerm_container_registry.this.id
      categories = ["ContainerRegistryLoginEvents", "ContainerRegistryRepositoryEvents"]
    }
    blob = {
      target     = "${azurerm_storage_account.this.id}/blobServices/default"
      categories = ["StorageDelete"]
    }
  }
}

resource "azurerm_monitor_diagnostic_setting" "this" {
  for_each = local.diagnostics

  name                       = "log-analytics"
  target_resource_id         = each.value.target
  log_analytics_workspace_id = azurerm_log_analytics_workspace.this.id

  dynamic "enabled_log" {
    for_each = each.value.categories
    content {
      category = enabled_log.value
    }
  }
}
