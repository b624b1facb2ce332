# The add-on "user-with-compute-instance": one machine for one user, off when it is idle.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

# What is applied keeps the values that it got.
mock_provider "azurerm" {
  alias  = "applied"
  source = "./tests/mocks"
}

variables {
  user = {
    name      = "ada"
    object_id = "00000000-0000-0000-0000-00000000000a"
    instance  = "ci-ada-a1b2c3"
  }
  place = {
    resource_group = "rg-test"
    location       = "westeurope"
    tags           = { project = "test" }
    closed         = false
  }
  workspace = "mlw-test"
  tenant_id = "00000000-0000-0000-0000-000000000002"
  machine = {
    vm_size      = "Standard_D4as_v4"
    idle_minutes = 60
    start_cron   = "0 8 * * 1-5"
    stop_cron    = "0 18 * * 1-5"
    time_zone    = "UTC"
  }
  assignments = {
    files = {
      scope              = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test/providers/Microsoft.Storage/storageAccounts/sttest"
      role_definition_id = "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.Authorization/roleDefinitions/69566ab7-960f-475b-8e7c-b3118f30c6bd"
    }
  }
}

run "an_instance_is_for_one_person_and_stops_when_idle" {
  command = plan

  module {
    source = "./modules/compute-instance"
  }

  assert {
    condition = [
      for each in jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources : [each.type, each.apiVersion, each.name, each.location]
    ] == [["Microsoft.MachineLearningServices/workspaces/computes", "2026-05-01", "mlw-test/ci-ada-a1b2c3", "westeurope"]]
    error_message = "There is one instance, in the workspace."
  }

  assert {
    condition     = jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.properties.personalComputeInstanceSettings.assignedUser == { objectId = "00000000-0000-0000-0000-00000000000a", tenantId = "00000000-0000-0000-0000-000000000002" }
    error_message = "The instance is assigned to the user."
  }

  assert {
    condition = alltrue([
      jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.properties.computeInstanceAuthorizationType == "personal",
      jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.properties.applicationSharingPolicy == "Personal",
    ])
    error_message = "No other user can open it."
  }

  assert {
    condition = alltrue([
      jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.properties.sshSettings.sshPublicAccess == "Disabled",
      jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.disableLocalAuth == true,
    ])
    error_message = "The instance has no SSH."
  }

  assert {
    condition     = jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.properties.idleTimeBeforeShutdown == "PT60M"
    error_message = "An idle instance stops."
  }

  assert {
    condition = [
      for each in jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.properties.schedules.computeStartStop :
      [each.action, each.status, each.triggerType, each.cron.expression, each.cron.timeZone]
      ] == [
      ["Start", "Enabled", "Cron", "0 8 * * 1-5", "UTC"],
      ["Stop", "Enabled", "Cron", "0 18 * * 1-5", "UTC"],
    ]
    error_message = "The instance starts and stops at the hours of the config."
  }

  assert {
    condition     = jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.properties.enableNodePublicIp == true
    error_message = "Without a private network the instance has a public address."
  }

  assert {
    condition     = [for each in azurerm_role_assignment.this : [each.scope, each.principal_id, each.principal_type]] == [[var.assignments.files.scope, var.user.object_id, "User"]]
    error_message = "The user has the rights that are listed, and no others."
  }
}

run "an_instance_is_made" {
  command   = apply
  state_key = "existing"
  providers = { azurerm = azurerm.applied }

  module {
    source = "./modules/compute-instance"
  }
}

run "an_instance_that_exists_stays_as_it_is" {
  command   = plan
  state_key = "existing"
  providers = { azurerm = azurerm.applied }

  module {
    source = "./modules/compute-instance"
  }

  variables {
    place   = { resource_group = "rg-test", location = "westeurope", tags = { project = "renamed" }, closed = false }
    machine = { vm_size = "Standard_D4as_v4", idle_minutes = 90, start_cron = "0 8 * * 1-5", stop_cron = "0 18 * * 1-5", time_zone = "UTC" }
  }

  assert {
    condition     = jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.properties.idleTimeBeforeShutdown == "PT60M"
    error_message = "Azure would refuse to create the instance again."
  }

  assert {
    condition     = azurerm_resource_group_template_deployment.this.tags == tomap({ project = "test" })
    error_message = "Other tags would deploy it again too."
  }
}

run "a_closed_instance_has_no_public_address" {
  command = plan

  module {
    source = "./modules/compute-instance"
  }

  variables {
    place = { resource_group = "rg-test", location = "westeurope", tags = {}, closed = true }
  }

  assert {
    condition     = jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.properties.enableNodePublicIp == false
    error_message = "The instance is closed to the public network."
  }
}

run "a_user_without_an_object_id_is_refused" {
  command = plan

  module {
    source = "./modules/compute-instance"
  }

  variables {
    user = { name = "ada", object_id = "ada@example.com", instance = "ci-ada-a1b2c3" }
  }

  expect_failures = [var.user]
}

run "a_name_that_azure_does_not_accept_is_refused" {
  command = plan

  module {
    source = "./modules/compute-instance"
  }

  variables {
    user = { name = "ada", object_id = "00000000-0000-0000-0000-00000000000a", instance = "ci-ada-1" }
  }

  expect_failures = [var.user]
}

run "an_idle_time_that_azure_does_not_accept_is_refused" {
  command = plan

  module {
    source = "./modules/compute-instance"
  }

  variables {
    machine = {
      vm_size      = "Standard_D4as_v4"
      idle_minutes = 5
      start_cron   = "0 8 * * 1-5"
      stop_cron    = "0 18 * * 1-5"
      time_zone    = "UTC"
    }
  }

  expect_failures = [var.machine]
}

run "every_user_of_dev_gets_one" {
  command = plan

  variables {
    environment = "dev"
  }

  assert {
    condition     = { for name, each in module.compute_instance : name => each.instance } == { for each in yamldecode(file("../../config/dev.yml")).compute.instances.users : each.name => each.instance }
    error_message = "Every user in the config has an instance."
  }
}

run "the_other_environments_have_none" {
  command = plan

  variables {
    environment = "test"
  }

  assert {
    condition     = length(module.compute_instance) == 0
    error_message = "Only dev has compute instances."
  }
}
