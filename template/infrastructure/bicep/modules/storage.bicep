import { customerKeySettings, environmentNames, storageSettings, studioSettings } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Whether the account is reached through the private network only.')
param closed bool

@description('Redundancy and keys.')
param settings storageSettings

@description('A key of the company, if it has one.')
param customerKey customerKeySettings?

@description('Logs of the blobs that go to Log Analytics.')
param blobLogs string[]

@description('What the pages of the studio may do from a browser: shared/studio.yml.')
param studio studioSettings

resource logAnalytics 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = {
  name: names.log_analytics
  scope: resourceGroup(
    names.?log_analytics_subscription ?? subscription().subscriptionId,
    names.?log_analytics_group ?? resourceGroup().name
  )
}

var cors = {
  corsRules: [
    {
      allowedOrigins: studio.origins
      allowedMethods: studio.methods
      allowedHeaders: studio.headers
      exposedHeaders: studio.headers
      maxAgeInSeconds: studio.max_age_seconds
    }
  ]
}

resource account 'Microsoft.Storage/storageAccounts@2026-04-01' = {
  name: names.storage_account
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: {
    name: 'Standard_${settings.redundancy}'
  }
  identity: empty(customerKey)
    ? null
    : {
        type: 'UserAssigned'
        userAssignedIdentities: {
          '${customerKey.?identity_id}': {}
        }
      }
  properties: {
    // A leaked key gives no access: every caller needs an Entra ID role. Azure ML has workspaces without keys as a
    // preview.
    allowSharedKeyAccess: settings.shared_keys
    defaultToOAuthAuthentication: true
    isLocalUserEnabled: false
    allowBlobPublicAccess: false
    allowCrossTenantReplication: false
    supportsHttpsTrafficOnly: true
    minimumTlsVersion: 'TLS1_2'
    // With a key of the company, where it has one; without a version it follows the newest.
    encryption: empty(customerKey)
      ? null
      : {
          keySource: 'Microsoft.Keyvault'
          identity: {
            userAssignedIdentity: customerKey.?identity_id
          }
          keyvaultproperties: {
            keyvaulturi: join(take(split(customerKey.?key_id ?? '', '/'), 3), '/')
            keyname: split(customerKey.?key_id ?? '', '/')[4]
          }
        }
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    networkAcls: {
      defaultAction: closed ? 'Deny' : 'Allow'
      // The workspace reaches a closed account as a trusted Azure service; nothing is stopped at an open one.
      bypass: 'AzureServices'
    }
  }
}

// Training data and models can be restored after a wrong delete or overwrite.
resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2026-04-01' = {
  parent: account
  name: 'default'
  properties: {
    cors: cors
    isVersioningEnabled: true
    deleteRetentionPolicy: {
      enabled: true
      days: 14
    }
    containerDeleteRetentionPolicy: {
      enabled: true
      days: 14
    }
  }
}

resource shares 'Microsoft.Storage/storageAccounts/fileServices@2026-04-01' = {
  parent: account
  name: 'default'
  properties: {
    cors: cors
    shareDeleteRetentionPolicy: {
      enabled: true
      days: 14
    }
  }
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(blobLogs)) {
  name: 'log-analytics'
  scope: blobs
  properties: {
    workspaceId: logAnalytics.id
    logs: [
      for category in blobLogs: {
        category: category
        enabled: true
      }
    ]
  }
}
