import { environmentNames } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

var monitoring = loadYamlContent('../../shared/monitoring.yml')

// A module of its own, because it can only be deployed once `mlops deploy-online` has created the endpoint.
resource workspace 'Microsoft.MachineLearningServices/workspaces@2026-05-01' existing = {
  name: names.workspace
}

resource onlineEndpoint 'Microsoft.MachineLearningServices/workspaces/onlineEndpoints@2026-05-01' existing = {
  parent: workspace
  name: names.online_endpoint
}

resource logAnalytics 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = {
  name: names.log_analytics
  scope: resourceGroup(
    names.?log_analytics_subscription ?? subscription().subscriptionId,
    names.?log_analytics_group ?? resourceGroup().name
  )
}

resource logs 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = if (!empty(monitoring.endpoint_logs)) {
  name: 'log-analytics'
  scope: onlineEndpoint
  properties: {
    workspaceId: logAnalytics.id
    logs: [
      for category in monitoring.endpoint_logs: {
        category: category
        enabled: true
      }
    ]
  }
}
