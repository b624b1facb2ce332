import { environmentNames, networkSettings } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Where jobs and endpoints may go.')
param network networkSettings

@description('What there is to be reached, as shared/private-network.yml names it.')
param reached string[]

@description('Resource group of the model registry, if it is reached through private endpoints.')
param registryGroup string = resourceGroup().name

@description('Subscription of that registry.')
param registrySubscription string = subscription().subscriptionId

resource workspace 'Microsoft.MachineLearningServices/workspaces@2026-05-01' existing = {
  name: names.workspace
}

var hasModelRegistry = contains(reached, 'model_registry')

resource modelRegistry 'Microsoft.MachineLearningServices/registries@2026-05-01' existing = if (hasModelRegistry) {
  name: names.registry
  scope: resourceGroup(registrySubscription, registryGroup)
}

// By the key that shared/private-network.yml has for them.
var resourceIds = {
  storage_account: resourceId('Microsoft.Storage/storageAccounts', names.storage_account)
  data_lake: resourceId('Microsoft.Storage/storageAccounts', names.?data_lake ?? names.storage_account)
  model_registry: hasModelRegistry ? modelRegistry.id : ''
}
// Azure created this account, and chose its name. Among the others it would keep what-if from predicting any of them.
var registryStorage = modelRegistry!.properties.regionDetails[0].storageAccountDetails[0].systemCreatedStorageAccount

var private = any(loadYamlContent('../../shared/private-network.yml'))
var managedEndpoints = filter(items(private.managed_endpoints), one => contains(reached, one.value.on))
var hosts = network.outbound == 'approved' ? network.outbound_hosts : []

// The way out of the network in which the workspace runs jobs and endpoints. Azure loses rules that are created
// at the same time.
@batchSize(1)
resource managedEndpointRules 'Microsoft.MachineLearningServices/workspaces/outboundRules@2026-05-01' = [
  for each in managedEndpoints: {
    parent: workspace
    name: each.key
    properties: {
      type: 'PrivateEndpoint'
      category: 'UserDefined'
      destination: {
        serviceResourceId: each.value.on == 'model_registry_storage'
          ? registryStorage.armResourceId.resourceId
          : resourceIds[each.value.on]
        subresourceTarget: each.value.group
      }
    }
  }
]

// Named by the host, so that one more or one less is no other rule: Azure takes minutes for each. No host has a "_".
@batchSize(1)
resource hostRules 'Microsoft.MachineLearningServices/workspaces/outboundRules@2026-05-01' = [
  for host in hosts: {
    parent: workspace
    name: 'host-${replace(replace(host, '*', ''), '.', '_')}'
    properties: {
      type: 'FQDN'
      category: 'UserDefined'
      destination: host
    }
    dependsOn: [
      managedEndpointRules
    ]
  }
]

var rules = items(network.?outbound_rules ?? {})

@batchSize(1)
resource endpointRules 'Microsoft.MachineLearningServices/workspaces/outboundRules@2026-05-01' = [
  for rule in filter(rules, one => contains(one.value, 'resource_id')): {
    parent: workspace
    name: 'rule-${rule.key}'
    properties: {
      type: 'PrivateEndpoint'
      category: 'UserDefined'
      destination: {
        serviceResourceId: rule.value.resource_id
        subresourceTarget: rule.value.group
      }
    }
    dependsOn: [
      hostRules
    ]
  }
]

@batchSize(1)
resource serviceTagRules 'Microsoft.MachineLearningServices/workspaces/outboundRules@2026-05-01' = [
  for rule in filter(rules, one => contains(one.value, 'service_tag')): {
    parent: workspace
    name: 'rule-${rule.key}'
    properties: {
      type: 'ServiceTag'
      category: 'UserDefined'
      destination: {
        serviceTag: rule.value.service_tag
        protocol: rule.value.?protocol ?? 'TCP'
        portRanges: rule.value.ports
      }
    }
    dependsOn: [
      endpointRules
    ]
  }
]
