import { environmentNames } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Days after which an earlier version of a blob ends.')
@minValue(1)
param versionDays int

@description('Days after which a collected request ends.')
@minValue(1)
param collectedDays int

resource storage 'Microsoft.Storage/storageAccounts@2026-04-01' existing = {
  name: names.storage_account
}

resource workspace 'Microsoft.MachineLearningServices/workspaces@2026-05-01' existing = {
  name: names.workspace
}

// Each write makes a version of the blob, and a deletion makes one of the last: without an end nothing would ever go.
resource ends 'Microsoft.Storage/storageAccounts/managementPolicies@2026-04-01' = {
  parent: storage
  name: 'default'
  properties: {
    policy: {
      rules: [
        {
          name: 'end-of-versions'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['appendBlob', 'blockBlob']
            }
            actions: {
              version: {
                delete: {
                  daysAfterCreationGreaterThan: versionDays
                }
              }
            }
          }
        }
        {
          name: 'end-of-collected-requests'
          enabled: true
          type: 'Lifecycle'
          definition: {
            filters: {
              blobTypes: ['appendBlob', 'blockBlob']
              prefixMatch: ['azureml-blobstore-${workspace.properties.workspaceId}/modelDataCollector/']
            }
            actions: {
              baseBlob: {
                delete: {
                  daysAfterModificationGreaterThan: collectedDays
                }
              }
            }
          }
        }
      ]
    }
  }
}
