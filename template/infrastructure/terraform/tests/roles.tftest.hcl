# The role assignments. The list is complete: one more or one less fails here.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  environment = "dev"
}

run "every_identity_has_the_rights_it_needs_and_no_other" {
  command = plan

  assert {
    condition = toset([
      for a in values(azurerm_role_assignment.resources) :
      "${substr(a.principal_id, -2, 2)} ${basename(a.role_definition_id)} ${basename(a.scope)} of ${basename(dirname(a.scope))}"
      ]) == setunion([
      "a1 b24988ac-6180-42a0-ab88-20f7382dd24c mock of storageAccounts",
      "a1 ba92f5b4-2d11-453d-a403-e96b0029c9fe mock of storageAccounts",
      "a1 b24988ac-6180-42a0-ab88-20f7382dd24c mock of vaults",
      "a1 00482a5a-887f-4fb3-b363-3b7fe8e74483 mock of vaults",
      "a1 b24988ac-6180-42a0-ab88-20f7382dd24c mock of registries",
      "a1 b24988ac-6180-42a0-ab88-20f7382dd24c mock of components",
      "a2 ba92f5b4-2d11-453d-a403-e96b0029c9fe mock of storageAccounts",
      "a2 974c5e8b-45b9-4653-ba55-5f855dd0fb88 mock of storageAccounts",
      "a2 0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3 mock of storageAccounts",
      "a2 7f951dda-4ed3-4680-a7ca-43fe172d538d mock of registries",
      "a3 ba92f5b4-2d11-453d-a403-e96b0029c9fe mock of storageAccounts",
      "a3 7f951dda-4ed3-4680-a7ca-43fe172d538d mock of registries",
      "d1 ba92f5b4-2d11-453d-a403-e96b0029c9fe mock of storageAccounts",
      "d1 69566ab7-960f-475b-8e7c-b3118f30c6bd mock of storageAccounts",
      "d1 f1a07417-d97a-45cb-824c-7a7467783830 compute of userAssignedIdentities",
      "d1 f1a07417-d97a-45cb-824c-7a7467783830 endpoint of userAssignedIdentities",
      ], [
      for each in contains(keys(yamldecode(file("../../config/dev.yml"))), "network") ? ["storageAccounts", "vaults", "registries"] : [] :
      "a1 b556d68e-0be0-4f35-a333-ad7ee1ce17ea mock of ${each}"
      ], [
      for each in contains(keys(yamldecode(file("../../config/dev.yml"))), "network") ? ["registries"] : [] :
      "a2 8311e382-0749-4cb8-b61a-304f252e45ec mock of ${each}"
    ])
    error_message = "Rights on storage, vault, registry, insights and identities differ from this list."
  }

  assert {
    condition = toset([
      for a in values(azurerm_role_assignment.workspace) :
      "${substr(a.principal_id, -2, 2)} ${basename(a.role_definition_id)} on ${a.scope == azurerm_machine_learning_workspace.this.id}"
      ]) == toset([
      "a1 b24988ac-6180-42a0-ab88-20f7382dd24c on true",
      "a3 635dd51f-9968-44d3-b7fb-6d9a6bd613ae on true",
      "d1 f6c7c914-8db3-469d-8ca1-694a8f32e121 on true",
    ])
    error_message = "Rights on the workspace differ from this list."
  }

  assert {
    condition     = alltrue([for a in values(azurerm_role_assignment.resources) : startswith(a.role_definition_id, "/subscriptions/")])
    error_message = "A role id without its subscription would be a change in every plan."
  }

  assert {
    condition = alltrue([
      for a in concat(values(azurerm_role_assignment.resources), values(azurerm_role_assignment.workspace)) :
      a.skip_service_principal_aad_check == !endswith(a.principal_id, "d1")
    ])
    error_message = "New identities skip the directory check; the deployer, who may be a person, must not."
  }

  assert {
    condition = alltrue([
      for a in concat(values(azurerm_role_assignment.resources), values(azurerm_role_assignment.workspace)) :
      a.principal_type == "ServicePrincipal" || endswith(a.principal_id, "d1")
    ])
    error_message = "The deploying identity may grant to services alone, and Azure looks at the request for the type."
  }
}

run "the_deployer_can_be_named" {
  command = plan

  variables {
    deployer_principal_id = "00000000-0000-0000-0000-0000000000d2"
  }

  assert {
    condition = alltrue([
      for key in ["deployer_blobs", "deployer_files", "deployer_compute", "deployer_endpoint"] :
      azurerm_role_assignment.resources[key].principal_id == var.deployer_principal_id
    ])
    error_message = "The named identity gets the rights of the deployer."
  }
}

run "the_deployers_type_is_part_of_the_request" {
  command = plan

  variables {
    deployer_principal_type = "ServicePrincipal"
  }

  assert {
    condition = alltrue([
      for a in concat(values(azurerm_role_assignment.resources), values(azurerm_role_assignment.workspace)) :
      a.principal_type == "ServicePrincipal"
    ])
    error_message = "A deployer that may grant to services alone is one itself."
  }
}
