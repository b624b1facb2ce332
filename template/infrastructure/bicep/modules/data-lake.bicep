import { customerKeySettings, environmentNames, right, storageSettings } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Name of the storage account that is the data lake.')
param lakeName string

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Whether the data lake is reached through the private network only.')
param closed bool

@description('Redundancy and keys; no key opens the data lake.')
param settings storageSettings

@description('The role assignments on the data lake.')
param rights right[]

@description('Object id of the identity that runs the mlops verbs.')
param deployerPrincipalId string

@description('The setting that requires a lock against deletion; if empty, there is no lock.')
param lockNotes string

@description('A key of the company, if it has one.')
param customerKey customerKeySettings?

@description('Logs of the files that go to Log Analytics.')
param lakeLogs string[]

resource workspace 'Microsoft.MachineLearningServices/workspaces@2026-05-01' existing = {
  name: names.workspace
}

resource logAnalytics 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = {
  name: names.log_analytics
  scope: resourceGroup(
    names.?log_analytics_subscription ?? subscription().subscriptionId,
    names.?log_analytics_group ?? resourceGroup().name
  )
}

resource workspaceIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: names.workspace_identity
}

resource computeIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: names.compute_identity
}

resource endpointIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' existing = {
  name: names.endpoint_identity
}

var principals = {
  workspace: workspaceIdentity.properties.principalId
  compute: computeIdentity.properties.principalId
  endpoint: endpointIdentity.properties.principalId
  deployer: deployerPrincipalId
}

resource lake 'Microsoft.Storage/storageAccounts@2026-04-01' = {
  name: lakeName
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
    // Folders with rights of their own, as Spark and the studio know them.
    isHnsEnabled: true
    allowSharedKeyAccess: false
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
      bypass: 'AzureServices'
    }
  }
}

// Azure has no versions of files in a data lake, so a wrong overwrite is final; a wrong delete is not.
resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2026-04-01' = {
  parent: lake
  name: 'default'
  properties: {
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

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2026-04-01' = {
  parent: blobs
  name: 'data'
  properties: {
    publicAccess: 'None'
  }
}

resource lakeRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for each in rights: {
    name: guid(lake.id, each.name, each.role)
    scope: lake
    properties: {
      roleDefinitionId: each.role
      principalId: contains(principals, each.identity) ? principals[each.identity] : each.name
      principalType: each.kind
    }
  }
]

// Without a credential: jobs read and write under their own identity, the studio shows files under the workspace's.
resource datastore 'Microsoft.MachineLearningServices/workspaces/datastores@2026-05-01' = {
  parent: workspace
  name: 'datalake'
  properties: {
    datastoreType: 'AzureDataLakeGen2'
    accountName: lake.name
    filesystem: container.name
    protocol: 'https'
    endpoint: environment().suffixes.storage
    subscriptionId: subscription().subscriptionId
    resourceGroup: resourceGroup().name
    serviceDataAccessAuthIdentity: 'WorkspaceUserAssignedIdentity'
    credentials: {
      credentialsType: 'None'
    }
  }
  dependsOn: [
    lakeRights
  ]
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(lakeLogs)) {
  name: 'log-analytics'
  scope: blobs
  properties: {
    workspaceId: logAnalytics.id
    logs: [
      for category in lakeLogs: {
        category: category
        enabled: true
      }
    ]
  }
}

resource lock 'Microsoft.Authorization/locks@2020-05-01' = if (!empty(lockNotes)) {
  name: 'cannot-delete'
  scope: lake
  properties: {
    level: 'CanNotDelete'
    notes: lockNotes
  }
  dependsOn: [
    container
    lakeRights
    logs
  ]
}
