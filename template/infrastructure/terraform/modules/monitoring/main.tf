terraform {
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.2"
    }
  }
}

resource "azurerm_monitor_scheduled_query_rules_alert_v2" "this" {
  for_each = var.alerts

  name                = "alert-${replace(each.key, "_", "-")}"
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags

  display_name = each.value.title
  severity     = each.value.severity

  scopes               = [var.log_analytics_id]
  evaluation_frequency = each.value.every
  window_duration      = each.value.window

  # Until the first log arrives there is no table to check the query against.
  skip_query_validation   = true
  auto_mitigation_enabled = true

  criteria {
    query                   = each.value.query
    time_aggregation_method = "Count"
    operator                = "GreaterThan"
    threshold               = 0
  }

  action {
    action_groups = [var.action_group_id]
  }
}

resource "azurerm_monitor_diagnostic_setting" "online_endpoint" {
  count = var.endpoint_id != null && length(var.endpoint_logs) > 0 ? 1 : 0

  name                       = "log-analytics"
  target_resource_id         = var.endpoint_id
  log_analytics_workspace_id = var.log_analytics_id

  dynamic "enabled_log" {
    for_each = var.endpoint_logs
    content {
      category = enabled_log.value
    }
  }
}

resource "azurerm_application_insights_workbook" "this" {
  # Azure wants a GUID; this one is the same in every run.
  name                = uuidv5("oid", "${var.log_analytics_id}/workbook")
  resource_group_name = var.place.resource_group
  location            = var.place.location
  tags                = var.place.tags

  display_name = var.title
  category     = "workbook"
  source_id    = lower(var.log_analytics_id)
  data_json    = replace(var.workbook, "LOG_ANALYTICS_ID", var.log_analytics_id)
}
