import { environmentNames, networkSettings, right } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Name of the virtual network.')
param virtualNetworkName string

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('The subnet of the private endpoints, and whose DNS zones resolve them.')
param network networkSettings

@description('What gets a private endpoint here, as shared/private-network.yml names it.')
param reached string[]

@description('The role assignments on private endpoints, by key in shared/private-network.yml, then _endpoint.')
param rights right[]

@description('Resource group of the model registry, if it is reached through private endpoints.')
param registryGroup string = resourceGroup().name

@description('Subscription of that registry.')
param registrySubscription string = subscription().subscriptionId

resource virtualNetwork 'Microsoft.Network/virtualNetworks@2025-09-01' existing = if (own) {
  name: virtualNetworkName
}

var hasModelRegistry = contains(reached, 'model_registry')

resource modelRegistry 'Microsoft.MachineLearningServices/registries@2026-05-01' existing = if (hasModelRegistry) {
  name: names.registry
  scope: resourceGroup(registrySubscription, registryGroup)
}

// By the key that shared/private-network.yml has for them.
var resourceIds = {
  workspace: resourceId('Microsoft.MachineLearningServices/workspaces', names.workspace)
  storage_account: resourceId('Microsoft.Storage/storageAccounts', names.storage_account)
  key_vault: resourceId('Microsoft.KeyVault/vaults', names.key_vault)
  container_registry: resourceId('Microsoft.ContainerRegistry/registries', names.container_registry)
  data_lake: resourceId('Microsoft.Storage/storageAccounts', names.?data_lake ?? names.storage_account)
  model_registry: hasModelRegistry ? modelRegistry.id : ''
}
// Azure created this account, and chose its name. Among the others it would keep what-if from predicting any of them.
var registryStorage = modelRegistry!.properties.regionDetails[0].storageAccountDetails[0].systemCreatedStorageAccount

var private = any(loadYamlContent('../../shared/private-network.yml'))
var endpoints = filter(items(private.endpoints), one => contains(reached, one.value.on))
var endpointKeys = map(endpoints, one => one.key)

// A subnet of the company's network, or that of private-network.bicep.
var existingSubnetId = network.?existing_subnet_id ?? ''
var own = empty(existingSubnetId)

// Zones of one's own, those that the company has in a central place, or none here: then a policy of the company adds them
// to the endpoints.
var dns = network.?dns ?? 'own'
var centralZones = toObject(network.?dns_zone_ids ?? [], id => last(split(id, '/')))

// A storage account accepts one new connection at a time.
@batchSize(1)
resource privateEndpoints 'Microsoft.Network/privateEndpoints@2025-09-01' = [
  for each in endpoints: {
    name: 'pe-${each.key}'
    location: location
    tags: tags
    properties: {
      subnet: {
        id: own ? '${virtualNetwork.id}/subnets/endpoints' : existingSubnetId
      }
      privateLinkServiceConnections: [
        {
          name: 'pe-${each.key}'
          properties: {
            privateLinkServiceId: each.value.on == 'model_registry_storage'
              ? registryStorage.armResourceId.resourceId
              : resourceIds[each.value.on]
            groupIds: [each.value.group]
          }
        }
      ]
    }
  }
]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2025-09-01' = [
  for (each, i) in endpoints: if (dns != 'policy') {
    parent: privateEndpoints[i]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [
        for zone in each.value.zones: {
          name: replace(zone, '.', '-')
          properties: {
            privateDnsZoneId: dns == 'own' ? resourceId('Microsoft.Network/privateDnsZones', zone) : centralZones[zone]
          }
        }
      ]
    }
  }
]

resource readers 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = [
  for each in rights: {
    name: each.name
  }
]

resource endpointRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (each, i) in rights: {
    name: guid(resourceGroup().id, each.on, each.name, each.role)
    scope: privateEndpoints[indexOf(endpointKeys, replace(each.on, '_endpoint', ''))]
    properties: {
      roleDefinitionId: each.role
      principalId: readers[i].properties.principalId
      principalType: 'ServicePrincipal'
    }
  }
]
