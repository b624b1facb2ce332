import { environmentNames } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('The setting that requires the locks; Azure shows it to the user whose deletion they block.')
param notes string

// On what cannot be created again. Not on the group or the workspace: what they contain would inherit the lock, and a
// rollout could no longer delete the deployment that it replaces.
resource storage 'Microsoft.Storage/storageAccounts@2026-04-01' existing = {
  name: names.storage_account
}

resource vault 'Microsoft.KeyVault/vaults@2026-02-01' existing = {
  name: names.key_vault
}

resource containerRegistry 'Microsoft.ContainerRegistry/registries@2025-11-01' existing = {
  name: names.container_registry
}

resource logAnalytics 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = {
  name: names.log_analytics
}

resource storageLock 'Microsoft.Authorization/locks@2020-05-01' = {
  name: 'cannot-delete'
  scope: storage
  properties: {
    level: 'CanNotDelete'
    notes: notes
  }
}

resource vaultLock 'Microsoft.Authorization/locks@2020-05-01' = {
  name: 'cannot-delete'
  scope: vault
  properties: {
    level: 'CanNotDelete'
    notes: notes
  }
}

resource containerRegistryLock 'Microsoft.Authorization/locks@2020-05-01' = {
  name: 'cannot-delete'
  scope: containerRegistry
  properties: {
    level: 'CanNotDelete'
    notes: notes
  }
}

resource logAnalyticsLock 'Microsoft.Authorization/locks@2020-05-01' = if (!contains(names, 'log_analytics_group')) {
  name: 'cannot-delete'
  scope: logAnalytics
  properties: {
    level: 'CanNotDelete'
    notes: notes
  }
}
