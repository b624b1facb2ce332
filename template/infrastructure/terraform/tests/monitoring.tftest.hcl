# The add-on "monitoring": the alerts use the thresholds of the config.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  title = "test dev"
  place = {
    resource_group = "rg-test"
    location       = "westeurope"
    tags           = { project = "test" }
  }
  log_analytics_id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test/providers/Microsoft.OperationalInsights/workspaces/log-test"
  action_group_id  = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test/providers/Microsoft.Insights/actionGroups/ag-test"
  alerts = {
    error_percent = { title = "Failed requests", severity = 1, every = "PT5M", window = "PT15M", query = "Requests | where failed > 5" }
  }
  endpoint_logs = ["AmlOnlineEndpointTrafficLog"]
  workbook      = "{\"ask\":\"LOG_ANALYTICS_ID\"}"
}

run "an_alert_notifies_the_action_group" {
  command = plan

  module {
    source = "./modules/monitoring"
  }

  assert {
    condition = {
      for key, alert in azurerm_monitor_scheduled_query_rules_alert_v2.this : alert.name => [alert.display_name, alert.severity, alert.evaluation_frequency, alert.window_duration, alert.criteria[0].query]
      } == {
      alert-error-percent = ["Failed requests", 1, "PT5M", "PT15M", "Requests | where failed > 5"]
    }
    error_message = "The alert runs the query that it was given."
  }

  assert {
    condition = alltrue([
      for alert in azurerm_monitor_scheduled_query_rules_alert_v2.this : alltrue([
        alert.criteria[0].time_aggregation_method == "Count",
        alert.criteria[0].operator == "GreaterThan",
        alert.criteria[0].threshold == 0,
      ])
    ])
    error_message = "An alert fires when its query returns a row."
  }

  assert {
    condition     = alltrue([for alert in azurerm_monitor_scheduled_query_rules_alert_v2.this : alert.action[0].action_groups == tolist([var.action_group_id]) && alert.scopes == tolist([var.log_analytics_id])])
    error_message = "The alert queries these logs and notifies this group."
  }

  assert {
    condition     = alltrue([for alert in azurerm_monitor_scheduled_query_rules_alert_v2.this : alert.skip_query_validation == true])
    error_message = "A table without logs does not stop the first apply."
  }

  assert {
    condition     = azurerm_application_insights_workbook.this.display_name == "test dev" && can(regex("^[0-9a-f-]{36}$", azurerm_application_insights_workbook.this.name))
    error_message = "There is a dashboard."
  }

  assert {
    condition     = jsondecode(azurerm_application_insights_workbook.this.data_json).ask == var.log_analytics_id
    error_message = "The dashboard queries the logs of this environment."
  }

  assert {
    condition     = length(azurerm_monitor_diagnostic_setting.online_endpoint) == 0
    error_message = "Nothing is logged of an endpoint that does not exist yet."
  }
}

run "requests_are_logged_once_there_is_an_endpoint" {
  command = plan

  module {
    source = "./modules/monitoring"
  }

  variables {
    endpoint_id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test/providers/Microsoft.MachineLearningServices/workspaces/mlw-test/onlineEndpoints/oe-test"
  }

  assert {
    condition = [
      for each in azurerm_monitor_diagnostic_setting.online_endpoint : [each.name, each.target_resource_id, [for log in each.enabled_log : log.category]]
    ] == [["log-analytics", var.endpoint_id, ["AmlOnlineEndpointTrafficLog"]]]
    error_message = "The requests are logged."
  }
}

run "an_alert_without_a_threshold_is_refused" {
  command = plan

  module {
    source = "./modules/monitoring"
  }

  variables {
    alerts = {
      error_percent = { title = "Failed requests", severity = 1, every = "PT5M", window = "PT15M", query = "Requests | where failed > THRESHOLD" }
    }
  }

  expect_failures = [var.alerts]
}

run "every_environment_has_its_thresholds" {
  command = plan

  variables {
    environment            = "prod"
    online_endpoint_exists = true
  }

  assert {
    condition     = alltrue([for key, number in yamldecode(file("../../config/prod.yml")).alerts : can(regex("[>=] ${number}\\b", module.monitoring.queries[key]))])
    error_message = "The thresholds come from the config."
  }
}
