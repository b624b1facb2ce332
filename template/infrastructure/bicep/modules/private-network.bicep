import { environmentNames, networkSettings, right } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Name of the virtual network.')
param virtualNetworkName string

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Address ranges, and where jobs and endpoints may go.')
param network networkSettings

@description('The role assignments on private endpoints, by key in shared/private-network.yml, then _endpoint.')
param rights right[]

@description('Whether there is an Azure ML registry that is reached through private endpoints alone.')
param hasModelRegistry bool

@description('Resource group of that registry.')
param registryGroup string

@description('Subscription of that registry.')
param registrySubscription string

resource workspace 'Microsoft.MachineLearningServices/workspaces@2026-05-01' existing = {
  name: names.workspace
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

resource lake 'Microsoft.Storage/storageAccounts@2026-04-01' existing = if (contains(names, 'data_lake')) {
  name: names.?data_lake ?? names.storage_account
}

resource modelRegistry 'Microsoft.MachineLearningServices/registries@2026-05-01' existing = if (hasModelRegistry) {
  name: names.registry
  scope: resourceGroup(registrySubscription, registryGroup)
}

// By the key that shared/private-network.yml has for them.
var resourceIds = {
  workspace: workspace.id
  storage_account: storage.id
  key_vault: vault.id
  container_registry: containerRegistry.id
  data_lake: lake.id
  model_registry: modelRegistry.id
}
// Azure created this account, and chose its name. Among the others it would keep what-if from predicting any of them.
var registryStorage = modelRegistry!.properties.regionDetails[0].storageAccountDetails[0].systemCreatedStorageAccount
var built = union(
  ['workspace', 'storage_account', 'key_vault', 'container_registry'],
  contains(names, 'data_lake') ? ['data_lake'] : [],
  hasModelRegistry ? ['model_registry', 'model_registry_storage'] : []
)

var private = any(loadYamlContent('../../shared/private-network.yml'))
var endpoints = filter(items(private.endpoints), one => contains(built, one.value.on))
var endpointKeys = map(endpoints, one => one.key)
var managedEndpoints = filter(items(private.managed_endpoints), one => contains(built, one.value.on))

var hosts = network.outbound == 'approved' ? network.outbound_hosts : []

// Each zone once: the workspace and a registry share one, as do the blobs of two accounts.
var zoneNames = reduce(map(endpoints, one => one.value.zones), [], (known, more) => union(known, more))

// Azure's default rules, which apply beside these, allow all traffic within the network and out to the internet.
// A subnet of the company's network has rules and a way out of its own, which are not ours to change.
var existingSubnetId = network.?existing_subnet_id ?? ''
var own = empty(existingSubnetId)
var subnets = own ? items(private.subnets) : []
var ranges = {
  endpoints: network.?endpoints_subnet
  runners: network.?runners_subnet
}
var nat = own && (network.?nat ?? true)

resource securityGroups 'Microsoft.Network/networkSecurityGroups@2025-09-01' = [
  for subnet in subnets: {
    name: 'nsg-${subnet.key}'
    location: location
    tags: tags
    properties: {
      securityRules: [
        for rule in items(subnet.value): {
          name: rule.key
          properties: {
            priority: rule.value.priority
            direction: rule.value.direction
            access: rule.value.access
            protocol: rule.value.protocol
            sourceAddressPrefix: rule.value.source
            sourcePortRange: '*'
            destinationAddressPrefix: '*'
            destinationPortRange: rule.value.port
          }
        }
      ]
    }
  }
]

// Runners reach the code host and the package index through one fixed address, which others can put on an allowlist.
resource natPublicIp 'Microsoft.Network/publicIPAddresses@2025-09-01' = if (nat) {
  name: 'pip-${virtualNetworkName}'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIPAllocationMethod: 'Static'
  }
}

resource natGateway 'Microsoft.Network/natGateways@2025-09-01' = if (nat) {
  name: 'nat-${virtualNetworkName}'
  location: location
  tags: tags
  sku: {
    name: 'Standard'
  }
  properties: {
    publicIpAddresses: [
      {
        id: natPublicIp.id
      }
    ]
  }
}

// The subnets are declared here and not on their own: Azure deletes those that a network does not list, and a policy of
// its landing zones refuses a subnet that has no security group even for a moment.
resource virtualNetwork 'Microsoft.Network/virtualNetworks@2025-09-01' = if (own) {
  name: virtualNetworkName
  location: location
  tags: tags
  properties: {
    addressSpace: {
      addressPrefixes: [network.?address_space ?? '']
    }
    subnets: [
      for (subnet, i) in subnets: {
        name: subnet.key
        properties: {
          addressPrefix: ranges[subnet.key]
          defaultOutboundAccess: false
          // Otherwise the rules of the security group do not apply to the endpoints.
          privateEndpointNetworkPolicies: 'Enabled'
          networkSecurityGroup: {
            id: securityGroups[i].id
          }
          natGateway: nat && subnet.key == 'runners'
            ? {
                id: natGateway.id
              }
            : null
        }
      }
    ]
  }
}

// Zones of one's own, those that the company has in a central place, or none here: then a policy of the company adds them
// to the endpoints.
var dns = network.?dns ?? 'own'
var centralZones = toObject(network.?dns_zone_ids ?? [], id => last(split(id, '/')))

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zone in zoneNames: if (dns == 'own') {
    name: zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zone, i) in zoneNames: if (dns == 'own') {
    parent: zones[i]
    name: 'link-${virtualNetworkName}'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: {
        id: own ? virtualNetwork.id : split(existingSubnetId, '/subnets/')[0]
      }
    }
  }
]

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
            privateDnsZoneId: dns == 'own' ? zones[indexOf(zoneNames, zone)].id : centralZones[zone]
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

@batchSize(1)
resource hostRules 'Microsoft.MachineLearningServices/workspaces/outboundRules@2026-05-01' = [
  for (host, i) in hosts: {
    parent: workspace
    name: 'host-${i}'
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
