@description('Name of the registry, which exists.')
param registryName string

@description('Name of the Log Analytics workspace of the registry.')
param logAnalyticsName string

@description('Azure region of the workspace.')
param location string

@description('Tags of every resource.')
param tags object

@description('Days that Log Analytics keeps what it receives.')
param logDays int

@description('What the registry logs.')
param logCategories string[]

resource registry 'Microsoft.MachineLearningServices/registries@2026-05-01' existing = {
  name: registryName
}

// Not that of an environment: an identity that may delete that one could delete the record of what it did here.
resource logAnalytics 'Microsoft.OperationalInsights/workspaces@2026-03-01' = {
  name: logAnalyticsName
  location: location
  tags: tags
  properties: {
    sku: {
      name: 'PerGB2018'
    }
    retentionInDays: logDays
    features: {
      disableLocalAuth: true
      enableLogAccessUsingOnlyResourcePermissions: true
    }
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'log-analytics'
  scope: registry
  properties: {
    workspaceId: logAnalytics.id
    logs: [
      for category in logCategories: {
        category: category
        enabled: true
      }
    ]
  }
}

var notes = 'Production deploys models from here. `mlops teardown --all` removes this lock once no other environment reads them.'

resource registryLock 'Microsoft.Authorization/locks@2020-05-01' = {
  name: 'cannot-delete'
  scope: registry
  properties: {
    level: 'CanNotDelete'
    notes: notes
  }
  dependsOn: [
    diagnostics
  ]
}

resource logAnalyticsLock 'Microsoft.Authorization/locks@2020-05-01' = {
  name: 'cannot-delete'
  scope: logAnalytics
  properties: {
    level: 'CanNotDelete'
    notes: notes
  }
}
