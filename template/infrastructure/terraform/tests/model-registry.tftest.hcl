# The add-on "model-registry": the registry itself, and what an environment has of it.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name                  = "mlr-test"
  resource_group_id     = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test"
  locations             = ["westeurope", "northeurope"]
  public_network_access = true
  place = {
    resource_group = "rg-test"
    location       = "westeurope"
    tags           = { project = "test" }
  }
  assignments = {
    verbs = {
      role_definition_id               = "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.Authorization/roleDefinitions/1823dd4f-9b8c-4ab6-ab4e-7397a3684615"
      principal_id                     = "00000000-0000-0000-0000-0000000000d1"
      principal_type                   = "ServicePrincipal"
      skip_service_principal_aad_check = false
    }
  }
}

run "the_registry_is_in_every_region_of_the_list" {
  command = plan

  module {
    source = "./modules/model-registry"
  }

  assert {
    condition = [
      for each in jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources : [each.type, each.apiVersion, each.name, each.location]
    ] == [["Microsoft.MachineLearningServices/registries", "2026-05-01", "mlr-test", "westeurope"]]
    error_message = "There is one registry, in the first region."
  }

  assert {
    condition     = jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.regionDetails[*].location == ["westeurope", "northeurope"]
    error_message = "Every region can read from it."
  }

  assert {
    condition     = alltrue([for each in jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.regionDetails : each.storageAccountDetails[0].systemCreatedStorageAccount.allowBlobPublicAccess == false])
    error_message = "No blob of the registry is public."
  }

  assert {
    condition     = jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].identity.type == "SystemAssigned"
    error_message = "The registry has an identity of its own."
  }

  assert {
    condition     = azurerm_resource_group_template_deployment.this.deployment_mode == "Incremental"
    error_message = "Nothing else in the resource group is deleted for it."
  }

  assert {
    condition     = [for each in azurerm_role_assignment.this : [each.scope, each.principal_id, each.principal_type]] == [[output.id, "00000000-0000-0000-0000-0000000000d1", "ServicePrincipal"]]
    error_message = "The verbs may use the registry."
  }

  assert {
    condition     = jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.publicNetworkAccess == "Enabled"
    error_message = "The internet reaches an open registry."
  }
}

run "a_closed_registry_is_closed_to_the_public_network" {
  command = plan

  module {
    source = "./modules/model-registry"
  }

  variables {
    public_network_access = false
  }

  assert {
    condition     = jsondecode(azurerm_resource_group_template_deployment.this.template_content).resources[0].properties.publicNetworkAccess == "Disabled"
    error_message = "The model registry is closed to the public network."
  }
}

run "a_registry_without_a_region_is_refused" {
  command = plan

  module {
    source = "./modules/model-registry"
  }

  variables {
    locations = []
  }

  expect_failures = [var.locations]
}

run "an_environment_that_is_deleted_leaves_the_registry" {
  command = plan

  variables {
    environment = "dev"
  }

  assert {
    condition     = length(module.model_registry) == (can(yamldecode(file("../../config/dev.yml")).names.registry_resource_group) ? 0 : 1)
    error_message = "A registry with a resource group of its own is not in the state of an environment."
  }

  assert {
    condition = keys(local.closed_registry_resources) == (
      yamldecode(file("../../config/dev.yml")).model_registry.public_network_access ? [] : ["model_registry", "model_registry_storage"]
    )
    error_message = "A closed registry and its models are to be reached by private endpoints, an open one by none."
  }

  assert {
    condition     = !local.closed_registry || strcontains(try(azurerm_resource_group_template_deployment.registry_storage[0].template_content, ""), "[reference('${local.registry_id}', '2026-05-01').regionDetails[0].storageAccountDetails[0].systemCreatedStorageAccount.armResourceId.resourceId]")
    error_message = "The account that Azure created is looked up."
  }

  assert {
    condition = [split("/", local.registry_id)[4], basename(local.registry_id)] == [
      try(yamldecode(file("../../config/dev.yml")).names.registry_resource_group, yamldecode(file("../../config/dev.yml")).names.resource_group),
      yamldecode(file("../../config/dev.yml")).names.registry,
    ]
    error_message = "The registry has its name and its resource group from the config."
  }
}

run "the_other_environments_reach_the_registry_that_they_read" {
  command = plan

  variables {
    environment = "test"
  }

  assert {
    condition     = length(module.model_registry) == 0
    error_message = "There is one registry for all environments."
  }

  assert {
    condition = keys(local.closed_registry_resources) == (
      yamldecode(file("../../config/dev.yml")).model_registry.public_network_access ? [] : ["model_registry", "model_registry_storage"]
    )
    error_message = "A closed registry gets private endpoints in each environment that reads it."
  }

  assert {
    condition     = split("/", local.registry_id)[4] == try(yamldecode(file("../../config/dev.yml")).names.registry_resource_group, yamldecode(file("../../config/dev.yml")).names.resource_group)
    error_message = "The registry is where dev builds it."
  }

  assert {
    condition = toset([for each in azurerm_role_assignment.model_registry : "${each.principal_id} ${basename(each.role_definition_id)} on ${each.scope}"]) == toset(concat(
      local.closed_registry ? ["${azurerm_user_assigned_identity.workspace.principal_id} b556d68e-0be0-4f35-a333-ad7ee1ce17ea on ${local.registry_group_id}"] : [],
      [for each in local.registry_home.apart ? [azurerm_user_assigned_identity.compute, azurerm_user_assigned_identity.endpoint] : [] : "${each.principal_id} acdd72a7-3385-48ef-bd42-f606fba81ae7 on ${local.registry_group_id}"],
    ))
    error_message = "What loads models may read the registry; the managed network may connect to a closed one; nothing else has a right."
  }
}
