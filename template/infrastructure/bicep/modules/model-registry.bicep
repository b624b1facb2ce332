import { environmentNames, right } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Regions in which workspaces read models from the registry; the first one is its own.')
@minLength(1)
param locations string[]

@description('Tags of every resource.')
param tags object

@description('Whether the internet reaches the registry, or a private endpoint alone.')
param publicNetworkAccess bool

@description('The role assignments on the registry; the name is an object id.')
param rights right[]

resource registry 'Microsoft.MachineLearningServices/registries@2026-05-01' = {
  name: names.registry
  location: locations[0]
  tags: tags
  identity: {
    type: 'SystemAssigned'
  }
  properties: {
    publicNetworkAccess: publicNetworkAccess ? 'Enabled' : 'Disabled'
    // In each region Azure creates a container registry and a storage account, in a resource group of its own.
    regionDetails: [
      for location in locations: {
        location: location
        acrDetails: [
          {
            systemCreatedAcrAccount: {
              acrAccountSku: 'Premium'
            }
          }
        ]
        storageAccountDetails: [
          {
            systemCreatedStorageAccount: {
              storageAccountType: 'Standard_LRS'
              storageAccountHnsEnabled: false
              allowBlobPublicAccess: false
            }
          }
        ]
      }
    ]
  }
}

resource registryRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for each in rights: {
    name: guid(registry.id, each.name, each.role)
    scope: registry
    properties: {
      roleDefinitionId: each.role
      principalId: each.name
      principalType: each.kind
    }
  }
]
