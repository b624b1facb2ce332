import { environmentNames, instanceSettings, right } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

@description('Whether the instances are reached through the workspace only, without a public address.')
param closed bool

@description('The instances and their users.')
param instances instanceSettings

@description('Names of the instances that exist. They are left as they are.')
param existingInstances string[]

@description('The role assignments on the workspace, the storage account and the data lake; the name is an object id.')
param rights right[]

resource workspace 'Microsoft.MachineLearningServices/workspaces@2026-05-01' existing = {
  name: names.workspace
}

resource storage 'Microsoft.Storage/storageAccounts@2026-04-01' existing = {
  name: names.storage_account
}

resource lake 'Microsoft.Storage/storageAccounts@2026-04-01' existing = if (contains(names, 'data_lake')) {
  name: names.?data_lake ?? names.storage_account
}

// Azure accepts the schedules of an instance while it creates it, and refuses them afterwards
// (Azure/azure-quickstart-templates#11830).
//
// No identity of its own: its owner signs in, and the idle shutdown needs none.
resource computeInstances 'Microsoft.MachineLearningServices/workspaces/computes@2026-05-01' = [
  for user in filter(instances.users, one => !contains(existingInstances, one.instance)): {
    parent: workspace
    name: user.instance
    location: location
    tags: tags
    properties: {
      computeType: 'ComputeInstance'
      computeLocation: location
      disableLocalAuth: true
      properties: {
        vmSize: instances.vm_size
        applicationSharingPolicy: 'Personal'
        computeInstanceAuthorizationType: 'personal'
        personalComputeInstanceSettings: {
          assignedUser: {
            objectId: user.object_id
            tenantId: tenant().tenantId
          }
        }
        enableSSO: true
        enableNodePublicIp: !closed
        sshSettings: {
          sshPublicAccess: 'Disabled'
        }
        idleTimeBeforeShutdown: 'PT${instances.idle_minutes}M'
        schedules: {
          computeStartStop: [
            {
              action: 'Start'
              status: 'Enabled'
              triggerType: 'Cron'
              cron: {
                expression: instances.start_cron
                timeZone: instances.time_zone
              }
            }
            {
              action: 'Stop'
              status: 'Enabled'
              triggerType: 'Cron'
              cron: {
                expression: instances.stop_cron
                timeZone: instances.time_zone
              }
            }
          ]
        }
      }
    }
    // Without account keys the file share is mounted as the user, when the instance is set up.
    dependsOn: [
      storageRights
    ]
  }
]

resource workspaceRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for each in filter(rights, one => one.on == 'workspace'): {
    name: guid(workspace.id, each.name, each.role)
    scope: workspace
    properties: {
      roleDefinitionId: each.role
      principalId: each.name
      principalType: each.kind
    }
  }
]

resource storageRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for each in filter(rights, one => one.on == 'storage_account'): {
    name: guid(storage.id, each.name, each.role)
    scope: storage
    properties: {
      roleDefinitionId: each.role
      principalId: each.name
      principalType: each.kind
    }
  }
]

resource lakeRights 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for each in filter(rights, one => one.on == 'data_lake'): {
    name: guid(lake.id, each.name, each.role)
    scope: lake
    properties: {
      roleDefinitionId: each.role
      principalId: each.name
      principalType: each.kind
    }
  }
]
