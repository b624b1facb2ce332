# Three identities, because each of them needs rights that the other two must not have.
resource "azurerm_user_assigned_identity" "workspace" {
  name                = local.names.workspace_identity
  resource_group_name = azurerm_resource_group.this.name
  location            = local.location
  tags                = local.tags
}

resource "azurerm_user_assigned_identity" "compute" {
  name                = local.names.compute_identity
  resource_group_name = azurerm_resource_group.this.name
  location            = local.location
  tags                = local.tags
}

resource "azurerm_user_assigned_identity" "endpoint" {
  name                = local.names.endpoint_identity
  resource_group_name = azurerm_resource_group.this.name
  location            = local.location
  tags                = local.tags
}

# The roles are in shared/roles.yml.
locals {
  rights = yamldecode(file("${path.module}/../shared/roles.yml"))
  access = local.closed ? "closed" : "open"

  # With the subscription in front, as Azure returns it: the short form would be a change in every plan.
  role_prefix = "/subscriptions/${data.azurerm_client_config.current.subscription_id}/providers/Microsoft.Authorization/roleDefinitions"

  principals = {
    workspace = azurerm_user_assigned_identity.workspace.principal_id
    compute   = azurerm_user_assigned_identity.compute.principal_id
    endpoint  = azurerm_user_assigned_identity.endpoint.principal_id
    deployer  = coalesce(var.deployer_principal_id, data.azurerm_client_config.current.object_id)
  }

  # The assignments of these four and of groups, each with the resource that it is on; the files of the add-ons read theirs
  # from here.
  assignments = merge(local.group_assignments, {
    for key, assignment in local.rights.assignments : key => {
      on                 = assignment.on
      role_definition_id = "${local.role_prefix}/${local.rights.roles[assignment.role]}"
      principal_id       = local.principals[assignment.identity]

      # The deploying identity may grant to services alone (`mlops bootstrap`), and Azure looks at the request for that.
      principal_type = assignment.identity == "deployer" ? var.deployer_principal_type : "ServicePrincipal"

      # A new identity takes minutes to reach the directory, and the check would fail until then. The deployer is older,
      # and may be a person.
      skip_service_principal_aad_check = assignment.identity != "deployer"
    }
    if contains(keys(local.principals), assignment.identity) && try(assignment.only, local.access) == local.access
  })

  # A group of data scientists has the rights of the owner of a compute instance, without an instance.
  group_assignments = merge([
    for group in try(local.config.access.data_scientists, []) : {
      for key, assignment in local.rights.assignments : "${key} ${group}" => {
        on                               = assignment.on
        role_definition_id               = "${local.role_prefix}/${local.rights.roles[assignment.role]}"
        principal_id                     = group
        principal_type                   = "Group"
        skip_service_principal_aad_check = false
      } if assignment.identity == "user"
    }
  ]...)

  # Rights that are needed before the workspace exists.
  scopes = {
    storage_account      = azurerm_storage_account.this.id
    key_vault            = azurerm_key_vault.this.id
    container_registry   = azurerm_container_registry.this.id
    application_insights = azurerm_application_insights.this.id
    compute_identity     = azurerm_user_assigned_identity.compute.id
    endpoint_identity    = azurerm_user_assigned_identity.endpoint.id
  }
}

resource "azurerm_role_assignment" "resources" {
  for_each = { for key, assignment in local.assignments : key => assignment if contains(keys(local.scopes), assignment.on) }

  scope                            = local.scopes[each.value.on]
  role_definition_id               = each.value.role_definition_id
  principal_id                     = each.value.principal_id
  principal_type                   = each.value.principal_type
  skip_service_principal_aad_check = each.value.skip_service_principal_aad_check
}

resource "azurerm_role_assignment" "workspace" {
  for_each = { for key, assignment in local.assignments : key => assignment if assignment.on == "workspace" }

  scope                            = azurerm_machine_learning_workspace.this.id
  role_definition_id               = each.value.role_definition_id
  principal_id                     = each.value.principal_id
  principal_type                   = each.value.principal_type
  skip_service_principal_aad_check = each.value.skip_service_principal_aad_check
}
