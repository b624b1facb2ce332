import { environmentNames } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Tags of every resource.')
param tags object

@description('E-mail addresses to notify; if empty, the owners of the subscription.')
param emails string[]

@description('What the environment may cost a month, in the currency of the subscription.')
@minValue(1)
param monthlyAmount int

@description('First day of the month in which the budget was created, such as 2026-11-01.')
param budgetStart string

// Not in shared/roles.yml, whose roles the deploying identity may grant.
var ownerRole = '8e3af657-a8ff-443c-a75c-2fe8c4bcb635'

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: names.action_group
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'mlops'
    emailReceivers: [
      for (email, i) in emails: {
        name: 'email-${i}'
        emailAddress: email
        useCommonAlertSchema: true
      }
    ]
    armRoleReceivers: empty(emails)
      ? [
          {
            name: 'owners'
            roleId: ownerRole
            useCommonAlertSchema: true
          }
        ]
      : []
  }
}

// On everything in the resource group. It notifies, and switches nothing off.
resource budget 'Microsoft.Consumption/budgets@2026-06-01' = {
  name: names.budget
  properties: {
    category: 'Cost'
    amount: monthlyAmount
    timeGrain: 'Monthly'
    timePeriod: {
      startDate: budgetStart
    }
    notifications: {
      actual80: {
        enabled: true
        thresholdType: 'Actual'
        operator: 'GreaterThanOrEqualTo'
        threshold: 80
        contactEmails: emails
        contactGroups: [actionGroup.id]
        contactRoles: ['Owner']
      }
      actual100: {
        enabled: true
        thresholdType: 'Actual'
        operator: 'GreaterThanOrEqualTo'
        threshold: 100
        contactEmails: emails
        contactGroups: [actionGroup.id]
        contactRoles: ['Owner']
      }
      forecast100: {
        enabled: true
        thresholdType: 'Forecasted'
        operator: 'GreaterThanOrEqualTo'
        threshold: 100
        contactEmails: emails
        contactGroups: [actionGroup.id]
        contactRoles: ['Owner']
      }
    }
  }
}
