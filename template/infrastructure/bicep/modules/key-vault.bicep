import { environmentNames } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Whether the vault is reached through the private network only.')
param closed bool

@description('Whether a deleted vault can always be recovered. Once on, it stays on.')
param purgeProtection bool

@description('Logs that go to Log Analytics.')
param vaultLogs string[]

resource logAnalytics 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = {
  name: names.log_analytics
  scope: resourceGroup(
    names.?log_analytics_subscription ?? subscription().subscriptionId,
    names.?log_analytics_group ?? resourceGroup().name
  )
}

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' = {
  name: names.key_vault
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: {
      family: 'A'
      name: 'standard'
    }
    enableRbacAuthorization: true
    // Azure refuses the value false, even for a vault that never had it on.
    enablePurgeProtection: purgeProtection ? true : null
    enableSoftDelete: true
    softDeleteRetentionInDays: 90
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: closed ? 'Deny' : 'Allow'
      // The workspace reaches a closed vault as a trusted Azure service.
      bypass: 'AzureServices'
    }
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(vaultLogs)) {
  name: 'log-analytics'
  scope: vault
  properties: {
    workspaceId: logAnalytics.id
    logs: [
      for category in vaultLogs: {
        category: category
        enabled: true
      }
    ]
  }
}
