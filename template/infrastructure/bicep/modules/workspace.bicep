import { clusterSettings, customerKeySettings, environmentNames, networkSettings, right } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('The clusters; the first one builds the images where the container registry is closed.')
@minLength(1)
param clusters clusterSettings[]

@description('The private network, if there is one.')
param network networkSettings?

@description('Whether account keys open the storage account.')
param sharedKeys bool

@description('The role assignments on the workspace.')
param rights right[]

@description('Object id of the identity that runs the mlops verbs.')
param deployerPrincipalId string

@description('A key of the company, if it has one.')
param customerKey customerKeySettings?

@description('Logs that go to Log Analytics.')
param workspaceLogs string[]

resource storage 'Microsoft.Storage/storageAccounts@2026-04-01' existing = {
  name: names.storage_account
}

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' existing = {
  name: names.key_vault
}

resource containerRegistry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: names.container_registry
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: names.application_insights
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

var closed = !empty(network)

resource workspace 'Microsoft.MachineLearningServices/workspaces@2026-05-01' = {
  name: names.workspace
  location: location
  tags: tags
  kind: 'Default'
  sku: {
    name: 'Basic'
    tier: 'Basic'
  }
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: union(
      {
        '${workspaceIdentity.id}': {}
      },
      empty(customerKey)
        ? {}
        : {
            '${customerKey.?identity_id}': {}
          }
    )
  }
  properties: {
    // A key can be chosen only when the workspace is made.
    encryption: empty(customerKey)
      ? null
      : {
          status: 'Enabled'
          identity: {
            userAssignedIdentity: customerKey.?identity_id
          }
          keyVaultProperties: {
            keyVaultArmId: customerKey!.vault_id
            keyIdentifier: customerKey!.key_id
          }
        }
    friendlyName: names.workspace
    storageAccount: storage.id
    keyVault: vault.id
    containerRegistry: containerRegistry.id
    applicationInsights: applicationInsights.id
    primaryUserAssignedIdentity: workspaceIdentity.id
    // The system datastores read and write with the identity of the caller, not with the account key.
    systemDatastoresAuthMode: sharedKeys ? 'AccessKey' : 'Identity'
    publicNetworkAccess: closed ? 'Disabled' : 'Enabled'
    // ACR Tasks, which normally build the images, cannot reach a closed registry: then the cluster builds them.
    imageBuildCompute: closed ? clusters[0].name : null
    // A closed workspace has a network of its own, in which Azure runs jobs and endpoints. Created at once, and not
    // with the first job, because a cluster without public addresses can only be created in a network that exists.
    managedNetwork: closed
      ? {
          isolationMode: network.?outbound == 'approved' ? 'AllowOnlyApprovedOutbound' : 'AllowInternetOutbound'
          // The monitor runs on serverless Spark. Terraform's provider cannot ask for it: `mlops provision` does.
          status: {
            sparkReady: true
          }
        }
      : null
    provisionNetworkNow: closed ? true : null
  }
}

resource computes 'Microsoft.MachineLearningServices/workspaces/computes@2026-05-01' = [
  for cluster in clusters: {
    parent: workspace
    name: cluster.name
    location: location
    tags: tags
    identity: {
      type: 'UserAssigned'
      userAssignedIdentities: {
        '${computeIdentity.id}': {}
      }
    }
    properties: {
      computeType: 'AmlCompute'
      disableLocalAuth: true
      properties: {
        vmSize: cluster.vm_size
        // Azure retired low-priority machines for Azure ML on 2026-03-31.
        vmPriority: 'Dedicated'
        scaleSettings: {
          minNodeCount: cluster.min_nodes
          maxNodeCount: cluster.max_nodes
          nodeIdleTimeBeforeScaleDown: 'PT${cluster.idle_minutes}M'
        }
        enableNodePublicIp: !closed
        remoteLoginPortPublicAccess: 'Disabled'
      }
    }
  }
]

resource workspaceRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for each in rights: {
    name: guid(workspace.id, each.name, each.role)
    scope: workspace
    properties: {
      roleDefinitionId: each.role
      principalId: contains(principals, each.identity) ? principals[each.identity] : each.name
      principalType: each.kind
    }
  }
]

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(workspaceLogs)) {
  name: 'log-analytics'
  scope: workspace
  properties: {
    workspaceId: logAnalytics.id
    logs: [
      for category in workspaceLogs: {
        category: category
        enabled: true
      }
    ]
  }
}

@description('Resource id of the workspace.')
output workspaceId string = workspace.id
