# Add-on "monitoring": alerts on what the online endpoint and the jobs report, and a dashboard.
locals {
  monitoring = yamldecode(file("${path.module}/../shared/monitoring.yml"))
}

module "monitoring" {
  source = "./modules/monitoring"

  title            = "${local.tags.project} ${var.environment}"
  place            = local.place
  log_analytics_id = local.log_analytics_id
  action_group_id  = azurerm_monitor_action_group.this.id

  alerts = {
    for key, alert in local.monitoring.alerts : key => merge(alert, {
      query = replace(alert.query, "THRESHOLD", try(local.config.alerts[key], "THRESHOLD"))
    })
  }

  endpoint_id = (
    var.online_endpoint_exists
    ? "${azurerm_machine_learning_workspace.this.id}/onlineEndpoints/${local.names.online_endpoint}"
    : null
  )
  endpoint_logs = local.monitoring.endpoint_logs

  workbook = file("${path.module}/../shared/monitoring-workbook.json")
}
