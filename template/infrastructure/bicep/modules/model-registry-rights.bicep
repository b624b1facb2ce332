import { right } from '../types.bicep'

@description('Subscription of the environment that reads the registry.')
param environmentSubscription string

@description('Resource group of the environment that reads the registry.')
param environmentGroup string

@description('The role assignments on the registry; the name is that of an identity of the environment.')
param rights right[]

resource identities 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = [
  for each in rights: {
    name: each.name
    scope: resourceGroup(environmentSubscription, environmentGroup)
  }
]

// On the group of the registry and not on the registry, whose lock would keep it when the environment is deleted.
resource groupRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (each, i) in rights: {
    name: guid(resourceGroup().id, each.name, each.role)
    properties: {
      roleDefinitionId: each.role
      principalId: identities[i].properties.principalId
      principalType: each.kind
    }
  }
]
