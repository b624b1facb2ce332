# What release 0.2 had under another address: moved within the state, and left unchanged in Azure.
moved {
  from = azurerm_machine_learning_compute_cluster.this
  to   = azurerm_machine_learning_compute_cluster.this["cluster"]
}

moved {
  from = azurerm_monitor_diagnostic_setting.this["blob"]
  to   = azurerm_monitor_diagnostic_setting.this["storage_blobs"]
}

moved {
  from = azurerm_role_assignment.resources["compute_registry"]
  to   = azurerm_role_assignment.resources["compute_pulls"]
}

moved {
  from = azurerm_role_assignment.resources["endpoint_registry"]
  to   = azurerm_role_assignment.resources["endpoint_pulls"]
}

moved {
  from = azurerm_role_assignment.workspace["workspace"]
  to   = azurerm_role_assignment.workspace["workspace_itself"]
}

moved {
  from = azurerm_role_assignment.workspace["endpoint"]
  to   = azurerm_role_assignment.workspace["endpoint_metrics"]
}

moved {
  from = azurerm_role_assignment.workspace["deployer"]
  to   = azurerm_role_assignment.workspace["deployer_workspace"]
}

# Until release 0.11 the lock of the data lake was in its module.
moved {
  from = module.data_lake.azurerm_management_lock.this[0]
  to   = azurerm_management_lock.this["data_lake"]
}
