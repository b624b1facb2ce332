import { environmentNames } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Whether the registry is reached through the private network only.')
param closed bool

@description('Logs that go to Log Analytics.')
param registryLogs string[]

resource logAnalytics 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = {
  name: names.log_analytics
}

resource registry 'Microsoft.ContainerRegistry/registries@2025-11-01' = {
  name: names.container_registry
  location: location
  tags: tags
  sku: {
    // Only Premium can be closed to the public network; it costs several times as much.
    name: closed ? 'Premium' : 'Standard'
  }
  properties: {
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    networkRuleBypassOptions: 'AzureServices'
    adminUserEnabled: false
    anonymousPullEnabled: false
    // The other mode, with conditions for repositories, does not know the roles of infrastructure/shared/roles.yml.
    roleAssignmentMode: 'LegacyRegistryPermissions'
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
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
