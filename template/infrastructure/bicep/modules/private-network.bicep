import { networkSettings } from '../types.bicep'

@description('Name of the virtual network.')
param virtualNetworkName string

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Address ranges, and whose DNS zones resolve the private endpoints.')
param network networkSettings

@description('What gets a private endpoint, as shared/private-network.yml names it.')
param reached string[]

var private = any(loadYamlContent('../../shared/private-network.yml'))
var endpoints = filter(items(private.endpoints), one => contains(reached, one.value.on))

// Zones of one's own, each once: the workspace and a registry share one, as do the blobs of two accounts. Those that the
// company has in a central place, or that its policy adds to the endpoints, are there.
var ownZones = (network.?dns ?? 'own') == 'own'
var zoneNames = ownZones ? reduce(map(endpoints, one => one.value.zones), [], (known, more) => union(known, more)) : []

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
    dhcpOptions: {
      dnsServers: network.?dns_servers ?? []
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

resource zones 'Microsoft.Network/privateDnsZones@2024-06-01' = [
  for zone in zoneNames: {
    name: zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2024-06-01' = [
  for (zone, i) in zoneNames: {
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
