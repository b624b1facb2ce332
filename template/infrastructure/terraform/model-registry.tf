# Add-on "model-registry": the registry that carries models from dev to test and prod is built with the environment
# whose config has a section `model_registry`, and serves all of them.
module "model_registry" {
  source = "./modules/model-registry"
  count  = try(local.config.model_registry, null) == null ? 0 : 1

  name                  = local.names.registry
  place                 = local.place
  resource_group_id     = azurerm_resource_group.this.id
  locations             = local.config.model_registry.locations
  public_network_access = local.config.model_registry.public_network_access
  assignments           = { for key, assignment in local.assignments : key => assignment if assignment.on == "model_registry" }
}
