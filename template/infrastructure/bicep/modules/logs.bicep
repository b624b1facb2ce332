import { environmentNames } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Days that Log Analytics keeps what it receives.')
param logDays int

// Where the company has one that everything is logged to, there is none of one's own.
var own = !contains(names, 'log_analytics_group')

resource logAnalytics 'Microsoft.OperationalInsights/workspaces@2026-03-01' = if (own) {
  name: names.log_analytics
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

resource companyLogs 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = if (!own) {
  name: names.log_analytics
  scope: resourceGroup(
    names.?log_analytics_subscription ?? subscription().subscriptionId,
    names.?log_analytics_group ?? resourceGroup().name
  )
}

resource applicationInsights 'Microsoft.Insights/components@2020-02-02' = {
  name: names.application_insights
  location: location
  tags: tags
  kind: 'web'
  properties: {
    Application_Type: 'web'
    WorkspaceResourceId: own ? logAnalytics.id : companyLogs.id
    // Telemetry needs an Entra ID token. Azure's inference server sends with the instrumentation key only (1.5.1), so
    // deployments leave app_insights_enabled off and are monitored through the data collector and the platform metrics.
    DisableLocalAuth: true
  }
}
