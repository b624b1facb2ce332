import { environmentNames, right } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('The role assignments on the resources that the workspace is built on.')
param rights right[]

@description('Object id of the identity that runs the mlops verbs.')
param deployerPrincipalId string

resource workspaceIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: names.workspace_identity
}

resource computeIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: names.compute_identity
}

resource endpointIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: names.endpoint_identity
}

resource storage 'Microsoft.Storage/storageAccounts@2026-04-01' existing = {
  name: names.storage_account
}

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' existing = {
  name: names.key_vault
}

resource containerRegistry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: names.container_registry
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: names.application_insights
}

var principals = {
  workspace: workspaceIdentity.properties.principalId
  compute: computeIdentity.properties.principalId
  endpoint: endpointIdentity.properties.principalId
  deployer: deployerPrincipalId
}

// Bicep creates an assignment on a resource that the file declares, hence one loop for each of them.
//
// The name of an assignment is a hash of its content, known before Azure has created the identities; so what-if can
// show the assignments beforehand, and the same right is never granted twice. A new identity takes minutes to reach the
// directory, where Azure looks for it unless the type is given.
resource storageRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for each in filter(rights, one => one.on == 'storage_account'): {
    name: guid(storage.id, each.name, each.role)
    scope: storage
    properties: {
      roleDefinitionId: each.role
      principalId: contains(principals, each.identity) ? principals[each.identity] : each.name
      principalType: each.kind
    }
  }
]

resource vaultRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for each in filter(rights, one => one.on == 'key_vault'): {
    name: guid(vault.id, each.name, each.role)
    scope: vault
    properties: {
      roleDefinitionId: each.role
      principalId: principals[each.identity]
      principalType: each.kind
    }
  }
]

resource containerRegistryRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for each in filter(rights, one => one.on == 'container_registry'): {
    name: guid(containerRegistry.id, each.name, each.role)
    scope: containerRegistry
    properties: {
      roleDefinitionId: each.role
      principalId: principals[each.identity]
      principalType: each.kind
    }
  }
]

resource applicationInsightsRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for each in filter(rights, one => one.on == 'application_insights'): {
    name: guid(applicationInsights.id, each.name, each.role)
    scope: applicationInsights
    properties: {
      roleDefinitionId: each.role
      principalId: principals[each.identity]
      principalType: each.kind
    }
  }
]

resource computeIdentityRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for each in filter(rights, one => one.on == 'compute_identity'): {
    name: guid(computeIdentity.id, each.name, each.role)
    scope: computeIdentity
    properties: {
      roleDefinitionId: each.role
      principalId: principals[each.identity]
      principalType: each.kind
    }
  }
]

resource endpointIdentityRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for each in filter(rights, one => one.on == 'endpoint_identity'): {
    name: guid(endpointIdentity.id, each.name, each.role)
    scope: endpointIdentity
    properties: {
      roleDefinitionId: each.role
      principalId: principals[each.identity]
      principalType: each.kind
    }
  }
]
