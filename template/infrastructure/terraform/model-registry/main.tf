# The registry that production reads: apart from every environment, locked, and with a log of who read and wrote models.
# `mlops bootstrap` makes its resource group, `mlops provision` builds this before the environment.
locals {
  config = yamldecode(file("${path.module}/../../../config/${var.environment}.yml"))
  names  = local.config.names
  rights = yamldecode(file("${path.module}/../../shared/roles.yml"))

  place = {
    resource_group = local.names.registry_resource_group
    location       = local.config.model_registry.locations[0]
    tags           = merge(local.config.tags, { environment = "shared" })
  }

  subscription_id = "/subscriptions/${data.azurerm_client_config.current.subscription_id}"
}

data "azurerm_client_config" "current" {}

module "model_registry" {
  source = "../modules/model-registry"

  name                  = local.names.registry
  place                 = local.place
  resource_group_id     = "${local.subscription_id}/resourceGroups/${local.place.resource_group}"
  locations             = local.config.model_registry.locations
  public_network_access = local.config.model_registry.public_network_access

  assignments = {
    for key, assignment in local.rights.assignments : key => {
      role_definition_id               = "${local.subscription_id}/providers/Microsoft.Authorization/roleDefinitions/${local.rights.roles[assignment.role]}"
      principal_id                     = coalesce(var.deployer_principal_id, data.azurerm_client_config.current.object_id)
      principal_type                   = var.deployer_principal_type
      skip_service_principal_aad_check = false
    }
    if assignment.identity == "deployer" && assignment.on == "model_registry"
  }
}

# Not that of an environment: an identity that may delete that one could delete the record of what it did here.
resource "azurerm_log_analytics_workspace" "this" {
  name                = local.names.registry_log_analytics
  resource_group_name = local.place.resource_group
  location            = local.place.location
  tags                = local.place.tags

  sku                          = "PerGB2018"
  retention_in_days            = local.config.model_registry.log_days
  local_authentication_enabled = false
}

resource "azurerm_monitor_diagnostic_setting" "this" {
  name                       = "log-analytics"
  target_resource_id         = module.model_registry.id
  log_analytics_workspace_id = azurerm_log_analytics_workspace.this.id

  dynamic "enabled_log" {
    for_each = yamldecode(file("${path.module}/../../shared/diagnostics.yml")).model_registry
    content {
      category = enabled_log.value
    }
  }
}

resource "azurerm_management_lock" "this" {
  for_each = {
    registry      = module.model_registry.id
    log_analytics = azurerm_log_analytics_workspace.this.id
  }

  name       = "cannot-delete"
  scope      = each.value
  lock_level = "CanNotDelete"
  notes      = "Production deploys models from here. `mlops teardown --all` removes this lock once no other environment reads them."

  # A lock also keeps role assignments and diagnostic settings from being deleted, so it comes last and goes first.
  depends_on = [module.model_registry, azurerm_monitor_diagnostic_setting.this]
}
