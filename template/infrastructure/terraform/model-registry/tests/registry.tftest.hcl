# The registry of all environments: in a group of its own, locked, and with a log.

mock_provider "azurerm" {
  source          = "../tests/mocks"
  override_during = plan
}

variables {
  environment = "dev"
}

run "it_is_apart_from_every_environment" {
  command = plan

  assert {
    condition = [split("/", module.model_registry.id)[4], basename(module.model_registry.id)] == [
      yamldecode(file("../../../config/dev.yml")).names.registry_resource_group, yamldecode(file("../../../config/dev.yml")).names.registry,
    ]
    error_message = "The registry has its name and its own resource group from the config."
  }

  assert {
    condition     = azurerm_log_analytics_workspace.this.resource_group_name == yamldecode(file("../../../config/dev.yml")).names.registry_resource_group
    error_message = "The log is not in the resource group of an environment."
  }

  assert {
    condition     = azurerm_log_analytics_workspace.this.tags.environment == "shared"
    error_message = "The tags name no environment."
  }
}

run "it_cannot_be_deleted_by_accident" {
  command = plan

  assert {
    condition = { for key, lock in azurerm_management_lock.this : key => [lock.name, lock.lock_level, lock.scope] } == {
      registry      = ["cannot-delete", "CanNotDelete", module.model_registry.id]
      log_analytics = ["cannot-delete", "CanNotDelete", azurerm_log_analytics_workspace.this.id]
    }
    error_message = "The registry and its log cannot be deleted before their locks are."
  }
}

run "who_wrote_a_model_is_known" {
  command = plan

  assert {
    condition     = [azurerm_monitor_diagnostic_setting.this.target_resource_id, azurerm_monitor_diagnostic_setting.this.log_analytics_workspace_id] == [module.model_registry.id, azurerm_log_analytics_workspace.this.id]
    error_message = "The log of the registry goes to its own workspace."
  }

  assert {
    condition     = toset([for each in azurerm_monitor_diagnostic_setting.this.enabled_log : each.category]) == toset(["RegistryAssetReadEvent", "RegistryAssetWriteEvent"])
    error_message = "The registry logs who read and who wrote a model."
  }

  assert {
    condition     = azurerm_log_analytics_workspace.this.retention_in_days == yamldecode(file("../../../config/dev.yml")).model_registry.log_days
    error_message = "The log is kept as long as the config says."
  }

  assert {
    condition     = azurerm_log_analytics_workspace.this.local_authentication_enabled == false
    error_message = "The log takes no keys."
  }
}

run "an_environment_that_builds_no_registry_is_refused" {
  command = plan

  variables {
    environment = "test"
  }

  expect_failures = [var.environment]
}
