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

# azurerm 5.2 knows no event subscription that raises an alert, so Terraform hands Azure the same definitions that Bicep
# would. One for each, so that the subscription is deleted before the topic.
resource "azurerm_resource_group_template_deployment" "events" {
  name                = "evgt-${var.workspace_name}"
  resource_group_name = var.place.resource_group
  deployment_mode     = "Incremental"
  tags                = var.place.tags

  template_content = jsonencode({
    "$schema"      = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
    contentVersion = "1.0.0.0"
    resources = [{
      type       = "Microsoft.EventGrid/systemTopics"
      apiVersion = "2025-02-15"
      name       = "evgt-${var.workspace_name}"
      location   = var.place.location
      tags       = var.place.tags
      properties = {
        source    = var.workspace_id
        topicType = "Microsoft.MachineLearningServices.Workspaces"
      }
    }]
  })
}

resource "azurerm_resource_group_template_deployment" "drift" {
  name                = "evgt-${var.workspace_name}-alert-drift"
  resource_group_name = var.place.resource_group
  deployment_mode     = "Incremental"
  tags                = var.place.tags

  template_content = jsonencode({
    "$schema"      = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
    contentVersion = "1.0.0.0"
    resources = [{
      type       = "Microsoft.EventGrid/systemTopics/eventSubscriptions"
      apiVersion = "2025-02-15"
      name       = "evgt-${var.workspace_name}/alert-drift"
      properties = {
        destination = {
          endpointType = "MonitorAlert"
          properties = {
            severity     = "Sev${var.drift.severity}"
            description  = var.drift.title
            actionGroups = [var.action_group_id]
          }
        }
        # The only schema that such an alert takes.
        eventDeliverySchema = "CloudEventSchemaV1_0"
        filter = {
          includedEventTypes = [var.drift.event]
          advancedFilters    = [{ operatorType = "StringContains", key = var.drift.mark, values = [var.drift.words] }]
        }
      }
    }]
  })

  depends_on = [azurerm_resource_group_template_deployment.events]
}

resource "azurerm_monitor_diagnostic_setting" "online_endpoint" {
  count = var.endpoint_id == null ? 0 : 1

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
