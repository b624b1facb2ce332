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

# Built-in roles by id: Azure renames roles now and then, and some display names carry "(preview)".
# infrastructure/role-condition.txt lets the deploying identity grant these roles and no others: keep the lists equal.
locals {
  roles = {
    acr_pull                  = "7f951dda-4ed3-4680-a7ca-43fe172d538d"
    acr_push                  = "8311e382-0749-4cb8-b61a-304f252e45ec"
    azureml_data_scientist    = "f6c7c914-8db3-469d-8ca1-694a8f32e121"
    azureml_metrics_writer    = "635dd51f-9968-44d3-b7fb-6d9a6bd613ae"
    contributor               = "b24988ac-6180-42a0-ab88-20f7382dd24c"
    key_vault_administrator   = "00482a5a-887f-4fb3-b363-3b7fe8e74483"
    managed_identity_operator = "f1a07417-d97a-45cb-824c-7a7467783830"
    storage_blob_contributor  = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
    storage_file_contributor  = "69566ab7-960f-475b-8e7c-b3118f30c6bd"
    storage_queue_contributor = "974c5e8b-45b9-4653-ba55-5f855dd0fb88"
    storage_table_contributor = "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"
  }

  # With the subscription in front, as Azure returns it: the short form would be a change in every plan.
  role_prefix = "/subscriptions/${data.azurerm_client_config.current.subscription_id}/providers/Microsoft.Authorization/roleDefinitions"

  deployer_id = coalesce(var.deployer_principal_id, data.azurerm_client_config.current.object_id)

  # Needed before the workspace exists.
  resource_roles = {
    # What Azure asks of a workspace identity that is user-assigned.
    workspace_storage      = { role = "contributor", identity = "workspace", scope = azurerm_storage_account.this.id }
    workspace_blobs        = { role = "storage_blob_contributor", identity = "workspace", scope = azurerm_storage_account.this.id }
    workspace_key_vault    = { role = "contributor", identity = "workspace", scope = azurerm_key_vault.this.id }
    workspace_secrets      = { role = "key_vault_administrator", identity = "workspace", scope = azurerm_key_vault.this.id }
    workspace_registry     = { role = "contributor", identity = "workspace", scope = azurerm_container_registry.this.id }
    workspace_app_insights = { role = "contributor", identity = "workspace", scope = azurerm_application_insights.this.id }

    # Jobs read data, write models and pull their image; on a closed network they build and push it as well.
    # Batch jobs keep their work list in queues and tables.
    compute_blobs    = { role = "storage_blob_contributor", identity = "compute", scope = azurerm_storage_account.this.id }
    compute_queues   = { role = "storage_queue_contributor", identity = "compute", scope = azurerm_storage_account.this.id }
    compute_tables   = { role = "storage_table_contributor", identity = "compute", scope = azurerm_storage_account.this.id }
    compute_registry = { role = local.public_access ? "acr_pull" : "acr_push", identity = "compute", scope = azurerm_container_registry.this.id }

    # Endpoints pull the image, read the model and let the data collector write what they answered.
    endpoint_blobs    = { role = "storage_blob_contributor", identity = "endpoint", scope = azurerm_storage_account.this.id }
    endpoint_registry = { role = "acr_pull", identity = "endpoint", scope = azurerm_container_registry.this.id }

    # The verbs upload code and data under their own identity, and hand the other two identities to what they create.
    deployer_blobs    = { role = "storage_blob_contributor", identity = "deployer", scope = azurerm_storage_account.this.id }
    deployer_files    = { role = "storage_file_contributor", identity = "deployer", scope = azurerm_storage_account.this.id }
    deployer_compute  = { role = "managed_identity_operator", identity = "deployer", scope = azurerm_user_assigned_identity.compute.id }
    deployer_endpoint = { role = "managed_identity_operator", identity = "deployer", scope = azurerm_user_assigned_identity.endpoint.id }
  }

  # Possible only once the workspace exists.
  workspace_roles = {
    workspace = { role = "contributor", identity = "workspace" }
    endpoint  = { role = "azureml_metrics_writer", identity = "endpoint" }
    deployer  = { role = "azureml_data_scientist", identity = "deployer" }
  }

  principals = {
    workspace = azurerm_user_assigned_identity.workspace.principal_id
    compute   = azurerm_user_assigned_identity.compute.principal_id
    endpoint  = azurerm_user_assigned_identity.endpoint.principal_id
    deployer  = local.deployer_id
  }
}

resource "azurerm_role_assignment" "resources" {
  for_each = local.resource_roles

  scope              = each.value.scope
  role_definition_id = "${local.role_prefix}/${local.roles[each.value.role]}"
  principal_id       = local.principals[each.value.identity]

  # A new identity takes minutes to reach the directory, and the check would fail until then. The deployer is older,
  # and may be a person.
  skip_service_principal_aad_check = each.value.identity != "deployer"
}

resource "azurerm_role_assignment" "workspace" {
  for_each = local.workspace_roles

  scope              = azurerm_machine_learning_workspace.this.id
  role_definition_id = "${local.role_prefix}/${local.roles[each.value.role]}"
  principal_id       = local.principals[each.value.identity]

  skip_service_principal_aad_check = each.value.identity != "deployer"
}
