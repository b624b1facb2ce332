output "queries" {
  description = "Query of each alert."
  value       = { for key, alert in azurerm_monitor_scheduled_query_rules_alert_v2.this : key => alert.criteria[0].query }
}
