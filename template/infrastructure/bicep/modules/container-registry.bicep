import { customerKeySettings, environmentNames } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Whether the registry is reached through the private network only.')
param closed bool

@description('A key of the company, if it has one.')
param customerKey customerKeySettings?

@description('Logs that go to Log Analytics.')
param registryLogs string[]

resource logAnalytics 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = {
  name: names.log_analytics
  scope: resourceGroup(
    names.?log_analytics_subscription ?? subscription().subscriptionId,
    names.?log_analytics_group ?? resourceGroup().name
  )
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  name: names.container_registry
  location: location
  tags: tags
  sku: {
    // Only Premium can be closed to the public network; it costs several times as much.
    name: closed ? 'Premium' : 'Standard'
  }
  // Only Premium takes a key, and only when it is made.
  identity: empty(customerKey) || !closed
    ? null
    : {
        type: 'UserAssigned'
        userAssignedIdentities: {
          '${customerKey.?identity_id}': {}
        }
      }
  properties: {
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    networkRuleBypassOptions: 'AzureServices'
    encryption: empty(customerKey) || !closed
      ? null
      : {
          status: 'enabled'
          keyVaultProperties: {
            identity: customerKey.?identity_client_id
            keyIdentifier: join(take(split(customerKey.?key_id ?? '', '/'), 5), '/')
          }
        }
    adminUserEnabled: false
    anonymousPullEnabled: false
    // The other mode, with conditions for repositories, does not know the roles of infrastructure/shared/roles.yml.
    roleAssignmentMode: 'LegacyRegistryPermissions'
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(registryLogs)) {
  name: 'log-analytics'
  scope: registry
  properties: {
    workspaceId: logAnalytics.id
    logs: [
      for category in registryLogs: {
        category: category
        enabled: true
      }
    ]
  }
}
