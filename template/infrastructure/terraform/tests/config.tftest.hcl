# Names, sizes and retention come from config/<environment>.yml and from nowhere else.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

run "dev_is_built_from_its_config" {
  command = plan

  variables {
    environment = "dev"
  }

  assert {
    condition = alltrue([for key, name in {
      resource_group       = azurerm_resource_group.this.name
      workspace            = azurerm_machine_learning_workspace.this.name
      storage_account      = azurerm_storage_account.this.name
      key_vault            = azurerm_key_vault.this.name
      container_registry   = azurerm_container_registry.this.name
      log_analytics        = azurerm_log_analytics_workspace.this[0].name
      application_insights = azurerm_application_insights.this.name
      workspace_identity   = azurerm_user_assigned_identity.workspace.name
      compute_identity     = azurerm_user_assigned_identity.compute.name
      endpoint_identity    = azurerm_user_assigned_identity.endpoint.name
      action_group         = azurerm_monitor_action_group.this.name
      budget               = azurerm_consumption_budget_resource_group.this.name
    } : name == yamldecode(file("../../config/dev.yml")).names[key]])
    error_message = "Every resource takes its name from the config."
  }

  assert {
    condition     = azurerm_resource_group.this.location == yamldecode(file("../../config/dev.yml")).location
    error_message = "The location comes from the config."
  }

  assert {
    condition     = azurerm_machine_learning_workspace.this.tags == tomap(yamldecode(file("../../config/dev.yml")).tags)
    error_message = "The tags come from the config."
  }

  assert {
    condition     = azurerm_log_analytics_workspace.this[0].retention_in_days == yamldecode(file("../../config/dev.yml")).retention.log_days
    error_message = "The retention of logs comes from the config."
  }

  assert {
    condition     = azurerm_storage_account.this.account_replication_type == try(yamldecode(file("../../config/dev.yml")).storage.redundancy, "LRS")
    error_message = "The redundancy of storage comes from the config."
  }

  assert {
    condition     = azurerm_key_vault.this.purge_protection_enabled == yamldecode(file("../../config/dev.yml")).security.purge_protection
    error_message = "Purge protection comes from the config."
  }

  assert {
    condition     = length(setsubtract(keys(azurerm_management_lock.this), ["data_lake"])) == (yamldecode(file("../../config/dev.yml")).security.delete_lock ? 4 : 0)
    error_message = "Locks come from the config."
  }

  assert {
    condition     = azurerm_consumption_budget_resource_group.this.amount == yamldecode(file("../../config/dev.yml")).budget.monthly_amount
    error_message = "The budget comes from the config."
  }

  assert {
    condition     = [for each in azurerm_monitor_action_group.this.email_receiver : each.email_address] == yamldecode(file("../../config/dev.yml")).monitor.alert_emails
    error_message = "The recipients of alerts come from the config."
  }

  assert {
    condition = {
      for key, cluster in azurerm_machine_learning_compute_cluster.this :
      key => [cluster.name, cluster.vm_size, cluster.scale_settings[0].max_node_count]
      } == {
      for key, cluster in yamldecode(file("../../config/dev.yml")).compute :
      key => [cluster.name, cluster.vm_size, cluster.max_nodes] if endswith(key, "cluster")
    }
    error_message = "The clusters, their machines and sizes come from the config."
  }
}

run "test_is_built_from_its_config" {
  command = plan

  variables {
    environment = "test"
  }

  assert {
    condition = alltrue([for key, name in {
      resource_group       = azurerm_resource_group.this.name
      workspace            = azurerm_machine_learning_workspace.this.name
      storage_account      = azurerm_storage_account.this.name
      key_vault            = azurerm_key_vault.this.name
      container_registry   = azurerm_container_registry.this.name
      log_analytics        = azurerm_log_analytics_workspace.this[0].name
      application_insights = azurerm_application_insights.this.name
      workspace_identity   = azurerm_user_assigned_identity.workspace.name
      compute_identity     = azurerm_user_assigned_identity.compute.name
      endpoint_identity    = azurerm_user_assigned_identity.endpoint.name
      action_group         = azurerm_monitor_action_group.this.name
      budget               = azurerm_consumption_budget_resource_group.this.name
    } : name == yamldecode(file("../../config/test.yml")).names[key]])
    error_message = "Every resource takes its name from the config."
  }

  assert {
    condition     = azurerm_resource_group.this.location == yamldecode(file("../../config/test.yml")).location
    error_message = "The location comes from the config."
  }

  assert {
    condition     = azurerm_machine_learning_workspace.this.tags == tomap(yamldecode(file("../../config/test.yml")).tags)
    error_message = "The tags come from the config."
  }

  assert {
    condition     = azurerm_log_analytics_workspace.this[0].retention_in_days == yamldecode(file("../../config/test.yml")).retention.log_days
    error_message = "The retention of logs comes from the config."
  }

  assert {
    condition     = azurerm_storage_account.this.account_replication_type == try(yamldecode(file("../../config/test.yml")).storage.redundancy, "LRS")
    error_message = "The redundancy of storage comes from the config."
  }

  assert {
    condition     = azurerm_key_vault.this.purge_protection_enabled == yamldecode(file("../../config/test.yml")).security.purge_protection
    error_message = "Purge protection comes from the config."
  }

  assert {
    condition     = length(setsubtract(keys(azurerm_management_lock.this), ["data_lake"])) == (yamldecode(file("../../config/test.yml")).security.delete_lock ? 4 : 0)
    error_message = "Locks come from the config."
  }

  assert {
    condition     = azurerm_consumption_budget_resource_group.this.amount == yamldecode(file("../../config/test.yml")).budget.monthly_amount
    error_message = "The budget comes from the config."
  }

  assert {
    condition     = [for each in azurerm_monitor_action_group.this.email_receiver : each.email_address] == yamldecode(file("../../config/test.yml")).monitor.alert_emails
    error_message = "The recipients of alerts come from the config."
  }

  assert {
    condition = {
      for key, cluster in azurerm_machine_learning_compute_cluster.this :
      key => [cluster.name, cluster.vm_size, cluster.scale_settings[0].max_node_count]
      } == {
      for key, cluster in yamldecode(file("../../config/test.yml")).compute :
      key => [cluster.name, cluster.vm_size, cluster.max_nodes] if endswith(key, "cluster")
    }
    error_message = "The clusters, their machines and sizes come from the config."
  }
}

run "prod_is_built_from_its_config" {
  command = plan

  variables {
    environment = "prod"
  }

  assert {
    condition = alltrue([for key, name in {
      resource_group       = azurerm_resource_group.this.name
      workspace            = azurerm_machine_learning_workspace.this.name
      storage_account      = azurerm_storage_account.this.name
      key_vault            = azurerm_key_vault.this.name
      container_registry   = azurerm_container_registry.this.name
      log_analytics        = azurerm_log_analytics_workspace.this[0].name
      application_insights = azurerm_application_insights.this.name
      workspace_identity   = azurerm_user_assigned_identity.workspace.name
      compute_identity     = azurerm_user_assigned_identity.compute.name
      endpoint_identity    = azurerm_user_assigned_identity.endpoint.name
      action_group         = azurerm_monitor_action_group.this.name
      budget               = azurerm_consumption_budget_resource_group.this.name
    } : name == yamldecode(file("../../config/prod.yml")).names[key]])
    error_message = "Every resource takes its name from the config."
  }

  assert {
    condition     = azurerm_resource_group.this.location == yamldecode(file("../../config/prod.yml")).location
    error_message = "The location comes from the config."
  }

  assert {
    condition     = azurerm_machine_learning_workspace.this.tags == tomap(yamldecode(file("../../config/prod.yml")).tags)
    error_message = "The tags come from the config."
  }

  assert {
    condition     = azurerm_log_analytics_workspace.this[0].retention_in_days == yamldecode(file("../../config/prod.yml")).retention.log_days
    error_message = "The retention of logs comes from the config."
  }

  assert {
    condition     = azurerm_storage_account.this.account_replication_type == try(yamldecode(file("../../config/prod.yml")).storage.redundancy, "LRS")
    error_message = "The redundancy of storage comes from the config."
  }

  assert {
    condition     = azurerm_key_vault.this.purge_protection_enabled == yamldecode(file("../../config/prod.yml")).security.purge_protection
    error_message = "Purge protection comes from the config."
  }

  assert {
    condition     = length(setsubtract(keys(azurerm_management_lock.this), ["data_lake"])) == (yamldecode(file("../../config/prod.yml")).security.delete_lock ? 4 : 0)
    error_message = "Locks come from the config."
  }

  assert {
    condition     = azurerm_consumption_budget_resource_group.this.amount == yamldecode(file("../../config/prod.yml")).budget.monthly_amount
    error_message = "The budget comes from the config."
  }

  assert {
    condition     = [for each in azurerm_monitor_action_group.this.email_receiver : each.email_address] == yamldecode(file("../../config/prod.yml")).monitor.alert_emails
    error_message = "The recipients of alerts come from the config."
  }

  assert {
    condition = {
      for key, cluster in azurerm_machine_learning_compute_cluster.this :
      key => [cluster.name, cluster.vm_size, cluster.scale_settings[0].max_node_count]
      } == {
      for key, cluster in yamldecode(file("../../config/prod.yml")).compute :
      key => [cluster.name, cluster.vm_size, cluster.max_nodes] if endswith(key, "cluster")
    }
    error_message = "The clusters, their machines and sizes come from the config."
  }
}
