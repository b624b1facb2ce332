# An invalid environment is refused before anything is planned, and a valid one reports what it built.

mock_provider "azurerm" {
  source = "./tests/mocks"
}

run "an_environment_without_a_config_file_is_refused" {
  command = plan

  variables {
    environment = "staging"
  }

  expect_failures = [var.environment]
}

run "the_model_settings_are_not_an_environment" {
  command = plan

  variables {
    environment = "model"
  }

  expect_failures = [var.environment]
}

run "a_path_is_not_an_environment" {
  command = plan

  variables {
    environment = "../config/dev"
  }

  expect_failures = [var.environment]
}

run "outputs_name_what_was_built" {
  command = apply

  variables {
    environment = "dev"
  }

  assert {
    condition = {
      resource_group     = output.resource_group
      workspace          = output.workspace
      storage_account    = output.storage_account
      container_registry = output.container_registry
      key_vault          = output.key_vault
      } == { for key in ["resource_group", "workspace", "storage_account", "container_registry", "key_vault"] :
      key => yamldecode(file("../../config/dev.yml")).names[key]
    }
    error_message = "The outputs are the names in the config."
  }

  assert {
    condition     = output.compute_cluster == yamldecode(file("../../config/dev.yml")).compute.cluster.name
    error_message = "The cluster is named."
  }

  assert {
    condition     = output.workspace_id == azurerm_machine_learning_workspace.this.id
    error_message = "The id of the workspace is given."
  }

  assert {
    condition     = output.compute_identity_id == azurerm_user_assigned_identity.compute.id && output.endpoint_identity_id == azurerm_user_assigned_identity.endpoint.id
    error_message = "The identities for jobs and endpoints are given."
  }
}
