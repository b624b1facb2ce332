locals {
  own_logs         = try(local.config.retention.log_analytics_id, null) == null
  log_analytics_id = local.own_logs ? one(azurerm_log_analytics_workspace.this[*].id) : local.config.retention.log_analytics_id
}

# Where the company has one that everything is logged to, there is none of one's own.
resource "azurerm_log_analytics_workspace" "this" {
  count = local.own_logs ? 1 : 0

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
  workspace_id     = local.log_analytics_id

  # Telemetry needs an Entra ID token. Azure's inference server sends with the instrumentation key only (1.5.1), so
  # deployments leave app_insights_enabled off and are monitored through the data collector and the platform metrics.
  local_authentication_enabled = false
}

locals {
  # What goes to Log Analytics is in shared/diagnostics.yml, by resource.
  log_categories = yamldecode(file("${path.module}/../shared/diagnostics.yml"))
  logged = {
    workspace          = azurerm_machine_learning_workspace.this.id
    key_vault          = azurerm_key_vault.this.id
    container_registry = azurerm_container_registry.this.id
    storage_blobs      = "${azurerm_storage_account.this.id}/blobServices/default"
  }
}

resource "azurerm_monitor_diagnostic_setting" "this" {
  # Azure takes no setting without a category: an empty list means none, as where a policy of the company sends these logs.
  for_each = { for key, id in local.logged : key => id if length(local.log_categories[key]) > 0 }

  name                       = "log-analytics"
  target_resource_id         = each.value
  log_analytics_workspace_id = local.log_analytics_id

  dynamic "enabled_log" {
    for_each = local.log_categories[each.key]
    content {
      category = enabled_log.value
    }
  }
}
