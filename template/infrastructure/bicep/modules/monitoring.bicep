import { environmentNames } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Name of the workbook in the portal.')
param workbookTitle string

@description('Alert thresholds: `alerts` of the environment.')
param thresholds object

var monitoring = any(loadYamlContent('../../shared/monitoring.yml'))
var workbookContent = loadTextContent('../../shared/monitoring-workbook.json')

resource logAnalytics 'Microsoft.OperationalInsights/workspaces@2026-03-01' existing = {
  name: names.log_analytics
  scope: resourceGroup(
    names.?log_analytics_subscription ?? subscription().subscriptionId,
    names.?log_analytics_group ?? resourceGroup().name
  )
}

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' existing = {
  name: names.action_group
}

resource alerts 'Microsoft.Insights/scheduledQueryRules@2026-03-01' = [
  for alert in items(monitoring.alerts): {
    name: 'alert-${replace(alert.key, '_', '-')}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      enabled: true
      displayName: alert.value.title
      severity: alert.value.severity
      scopes: [logAnalytics.id]
      evaluationFrequency: alert.value.every
      windowSize: alert.value.window
      criteria: {
        allOf: [
          {
            query: replace(alert.value.query, 'THRESHOLD', string(thresholds[alert.key]))
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: {
              numberOfEvaluationPeriods: 1
              minFailingPeriodsToAlert: 1
            }
          }
        ]
      }
      autoMitigate: true
      // The tables appear with the first row; until then Azure would refuse a query that names them.
      skipQueryValidation: true
      actions: {
        actionGroups: [actionGroup.id]
      }
    }
  }
]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(logAnalytics.id, 'workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: workbookTitle
    category: 'workbook'
    sourceId: toLower(logAnalytics.id)
    serializedData: replace(workbookContent, 'LOG_ANALYTICS_ID', logAnalytics.id)
  }
}
