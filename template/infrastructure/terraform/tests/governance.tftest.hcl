# Who is notified of costs and problems, and what cannot be deleted by accident.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

run "alerts_are_sent" {
  command = plan

  variables {
    environment = "dev"
  }

  assert {
    condition     = azurerm_monitor_action_group.this.short_name == "mlops"
    error_message = "Messages begin with the short name."
  }

  assert {
    condition = length(yamldecode(file("../../config/dev.yml")).monitor.alert_emails) > 0 ? length(azurerm_monitor_action_group.this.arm_role_receiver) == 0 : (
      [for each in azurerm_monitor_action_group.this.arm_role_receiver : each.role_id] == ["8e3af657-a8ff-443c-a75c-2fe8c4bcb635"]
    )
    error_message = "With no address in the config, the owners are notified of alerts."
  }

  assert {
    condition = alltrue([
      for each in concat(azurerm_monitor_action_group.this.email_receiver[*].use_common_alert_schema, azurerm_monitor_action_group.this.arm_role_receiver[*].use_common_alert_schema) : each
    ])
    error_message = "All messages have the same form."
  }
}

run "costs_are_monitored_from_the_first_day_of_the_month" {
  command = plan

  variables {
    environment = "dev"
  }

  assert {
    condition     = azurerm_consumption_budget_resource_group.this.resource_group_id == azurerm_resource_group.this.id && azurerm_consumption_budget_resource_group.this.time_grain == "Monthly"
    error_message = "The budget is that of a month, for this resource group."
  }

  assert {
    condition     = can(regex("^20[0-9]{2}-[01][0-9]-01T00:00:00Z$", azurerm_consumption_budget_resource_group.this.time_period[0].start_date))
    error_message = "Azure accepts the first day of a month."
  }

  assert {
    condition = toset([
      for each in azurerm_consumption_budget_resource_group.this.notification : "${each.threshold_type} ${each.operator} ${each.threshold}"
    ]) == toset(["Actual GreaterThanOrEqualTo 80", "Actual GreaterThanOrEqualTo 100", "Forecasted GreaterThanOrEqualTo 100"])
    error_message = "There is a message at 80 %, at all of the budget, and when a forecast exceeds it."
  }

  assert {
    condition = alltrue([
      for each in azurerm_consumption_budget_resource_group.this.notification :
      each.contact_groups == tolist([azurerm_monitor_action_group.this.id]) && each.contact_roles == tolist(["Owner"])
    ])
    error_message = "The action group and the owners are notified of costs."
  }
}

run "locks_are_set_where_data_would_be_lost" {
  command = plan

  variables {
    environment = "prod"
  }

  assert {
    condition = { for key, lock in azurerm_management_lock.this : key => [lock.name, lock.lock_level, lock.scope] if key != "data_lake" } == {
      for key, scope in {
        storage_account    = azurerm_storage_account.this.id
        key_vault          = azurerm_key_vault.this.id
        container_registry = azurerm_container_registry.this.id
        log_analytics      = azurerm_log_analytics_workspace.this[0].id
      } : key => ["cannot-delete", "CanNotDelete", scope] if yamldecode(file("../../config/prod.yml")).security.delete_lock
    }
    error_message = "Storage, vault, registry and logs of prod cannot be deleted."
  }

  assert {
    condition = contains(keys(azurerm_management_lock.this), "data_lake") == (
      can(yamldecode(file("../../config/prod.yml")).names.data_lake) && yamldecode(file("../../config/prod.yml")).security.delete_lock
    )
    error_message = "The data lake of prod, where there is one, cannot be deleted."
  }
}
