# The add-on "data-lake": as tight as the storage account of the workspace.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name = "sttestdldev"
  place = {
    resource_group = "rg-test"
    location       = "westeurope"
    tags           = { project = "test" }
    closed         = false
  }
  redundancy       = "ZRS"
  workspace_id     = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test/providers/Microsoft.MachineLearningServices/workspaces/mlw-test"
  log_analytics_id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test/providers/Microsoft.OperationalInsights/workspaces/log-test"
  log_categories   = ["StorageDelete"]
  assignments = {
    jobs = {
      role_definition_id               = "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.Authorization/roleDefinitions/ba92f5b4-2d11-453d-a403-e96b0029c9fe"
      principal_id                     = "00000000-0000-0000-0000-0000000000a2"
      principal_type                   = "ServicePrincipal"
      skip_service_principal_aad_check = true
    }
  }
}

run "the_lake_needs_an_identity_and_keeps_what_was_deleted" {
  command = plan

  module {
    source = "./modules/data-lake"
  }

  assert {
    condition     = azurerm_storage_account.this.name == var.name && azurerm_storage_account.this.location == "westeurope" && azurerm_storage_account.this.tags == tomap({ project = "test" })
    error_message = "The lake has its name, region and tags."
  }

  assert {
    condition     = azurerm_storage_account.this.account_replication_type == "ZRS"
    error_message = "The lake keeps its copies as it is told."
  }

  assert {
    condition     = !can(azurerm_machine_learning_datastore_datalake_gen2.this.tags["project"])
    error_message = "Another tag does not replace the datastore."
  }

  assert {
    condition     = azurerm_storage_account.this.is_hns_enabled == true && azurerm_storage_account.this.account_kind == "StorageV2"
    error_message = "The lake has real folders."
  }

  assert {
    condition     = azurerm_storage_account.this.shared_access_key_enabled == false && azurerm_storage_account.this.default_to_oauth_authentication == true
    error_message = "Account keys of the lake are off."
  }

  assert {
    condition     = azurerm_storage_account.this.local_user_enabled == false
    error_message = "Local users of the lake are off."
  }

  assert {
    condition     = azurerm_storage_account.this.allow_nested_items_to_be_public == false && azurerm_storage_container.data.container_access_type == "private"
    error_message = "Nothing in the lake is public."
  }

  assert {
    condition     = azurerm_storage_account.this.cross_tenant_replication_enabled == false
    error_message = "Data of the lake stays in the tenant."
  }

  assert {
    condition     = azurerm_storage_account.this.https_traffic_only_enabled == true && azurerm_storage_account.this.min_tls_version == "TLS1_2"
    error_message = "Traffic of the lake is encrypted with TLS 1.2."
  }

  assert {
    condition     = azurerm_storage_account.this.blob_properties[0].delete_retention_policy[0].days >= 7 && azurerm_storage_account.this.blob_properties[0].container_delete_retention_policy[0].days >= 7
    error_message = "What was deleted from the lake can be restored."
  }

  assert {
    condition     = azurerm_storage_account.this.public_network_access_enabled == true && azurerm_storage_account.this.network_rules[0].default_action == "Allow"
    error_message = "Without a private network the lake is reached from everywhere, with an identity."
  }

  assert {
    condition     = [for each in azurerm_role_assignment.this : [each.scope, each.principal_id, each.principal_type]] == [[azurerm_storage_account.this.id, var.assignments.jobs.principal_id, "ServicePrincipal"]]
    error_message = "The lake has the rights that it was given, and no others."
  }

  assert {
    condition = alltrue([
      azurerm_machine_learning_datastore_datalake_gen2.this.name == "datalake",
      azurerm_machine_learning_datastore_datalake_gen2.this.storage_container_id == azurerm_storage_container.data.id,
      azurerm_machine_learning_datastore_datalake_gen2.this.service_data_identity == "WorkspaceUserAssignedIdentity",
      azurerm_machine_learning_datastore_datalake_gen2.this.client_secret == null,
    ])
    error_message = "The datastore holds no credential."
  }

  assert {
    condition     = [for each in azurerm_monitor_diagnostic_setting.this[0].enabled_log : each.category] == ["StorageDelete"] && endswith(azurerm_monitor_diagnostic_setting.this[0].target_resource_id, "/blobServices/default")
    error_message = "What is deleted from the lake is logged."
  }
}

run "a_closed_lake_is_reached_through_private_endpoints_only" {
  command = plan

  module {
    source = "./modules/data-lake"
  }

  variables {
    place = { resource_group = "rg-test", location = "westeurope", tags = {}, closed = true }
  }

  assert {
    condition     = azurerm_storage_account.this.public_network_access_enabled == false && azurerm_storage_account.this.network_rules[0].default_action == "Deny"
    error_message = "The lake is closed to the public network."
  }

  assert {
    condition     = contains(azurerm_storage_account.this.network_rules[0].bypass, "AzureServices")
    error_message = "The workspace can reach a closed lake."
  }
}
