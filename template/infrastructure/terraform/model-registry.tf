# Add-on "model-registry": the registry that carries models from dev to test and prod serves all of them. The folder
# model-registry builds it, in a resource group and a state of its own, so that no environment can delete it. Where the
# config has no `registry_resource_group`, as in projects from before that key, it stays in the environment's own group.
locals {
  model_registry = try(local.config.model_registry, null)
  registry_group = try(local.names.registry_resource_group, null)

  # The section is in the file of the environment that builds the registry; the others read it from there.
  registry_homes = [
    for each in [for file in fileset("${path.module}/../../config", "*.yml") : yamldecode(file("${path.module}/../../config/${file}"))] :
    {
      group  = try(each.names.registry_resource_group, each.names.resource_group)
      closed = !each.model_registry.public_network_access
      apart  = try(each.names.registry_resource_group, each.names.resource_group) != each.names.resource_group
    } if try(each.model_registry, null) != null && try(each.names.registry, null) == local.names.registry
  ]
  registry_home         = try(local.registry_homes[0], { group = local.names.resource_group, closed = false, apart = false })
  registry_subscription = coalesce(try(local.names.registry_subscription, null), data.azurerm_client_config.current.subscription_id)
  registry_group_id     = "/subscriptions/${local.registry_subscription}/resourceGroups/${local.registry_home.group}"
  registry_id           = "${local.registry_group_id}/providers/Microsoft.MachineLearningServices/registries/${local.names.registry}"

  # What the internet does not reach needs private endpoints in the network of each environment that reads it.
  closed_registry = local.closed && local.registry_home.closed
  closed_registry_resources = local.closed_registry ? {
    model_registry         = try(module.model_registry[0].id, local.registry_id)
    model_registry_storage = jsondecode(azurerm_resource_group_template_deployment.registry_storage[0].output_content).id.value
  } : {}

  # Deployments and batch jobs load models under their own identities. In a group that holds more than the registry that
  # would be a right to all of it, and in another subscription it is for the owner of an open registry to give.
  reads_registry = local.config.model.source == "registry" && local.registry_home.apart && (local.closed_registry || try(local.names.registry_subscription, null) == null)

  registry_rights = { for key, assignment in local.assignments : key => assignment if assignment.on == "model_registry" }
  registry_users  = concat(local.closed_registry ? ["workspace"] : [], local.reads_registry ? ["compute", "endpoint"] : [])
}

module "model_registry" {
  source = "./modules/model-registry"
  count  = local.model_registry != null && local.registry_group == null ? 1 : 0

  name                  = local.names.registry
  place                 = local.place
  resource_group_id     = azurerm_resource_group.this.id
  locations             = local.model_registry.locations
  public_network_access = local.model_registry.public_network_access
  assignments           = { for key, assignment in local.registry_rights : key => assignment if local.rights.assignments[key].identity == "deployer" }
}

# On the group of the registry and not on the registry, whose lock would keep it when the environment is deleted.
resource "azurerm_role_assignment" "model_registry" {
  for_each = { for key, assignment in local.registry_rights : key => assignment if contains(local.registry_users, local.rights.assignments[key].identity) }

  scope                            = local.registry_group_id
  role_definition_id               = each.value.role_definition_id
  principal_id                     = each.value.principal_id
  principal_type                   = each.value.principal_type
  skip_service_principal_aad_check = each.value.skip_service_principal_aad_check

  depends_on = [module.model_registry]
}

# Models get into the registry, and out of it, through a storage account that Azure created, in a group of its own. A
# separate deployment looks it up: azurerm forgets what a deployment returned as soon as its definition changes, and
# would replace the private endpoint to the account.
resource "azurerm_resource_group_template_deployment" "registry_storage" {
  count = local.closed_registry ? 1 : 0

  name                = "${local.names.registry}-storage"
  resource_group_name = azurerm_resource_group.this.name
  deployment_mode     = "Incremental"

  template_content = jsonencode({
    "$schema"      = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
    contentVersion = "1.0.0.0"
    resources      = []
    outputs = {
      id = {
        type  = "string"
        value = "[reference('${local.registry_id}', '2026-05-01').regionDetails[0].storageAccountDetails[0].systemCreatedStorageAccount.armResourceId.resourceId]"
      }
    }
  })

  depends_on = [module.model_registry]
}

moved {
  from = module.model_registry[0].azurerm_resource_group_template_deployment.storage[0]
  to   = azurerm_resource_group_template_deployment.registry_storage[0]
}
