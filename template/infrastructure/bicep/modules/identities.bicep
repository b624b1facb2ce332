import { environmentNames } from '../types.bicep'

@description('Names of the resources.')
param names environmentNames

@description('Azure region.')
param location string

@description('Tags of every resource.')
param tags object

// Three identities, because each of them needs rights that the other two must not have.
resource workspaceIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: names.workspace_identity
  location: location
  tags: tags
}

resource computeIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: names.compute_identity
  location: location
  tags: tags
}

resource endpointIdentity 'Microsoft.ManagedIdentity/userAssignedIdentities@2024-11-30' = {
  name: names.endpoint_identity
  location: location
  tags: tags
}

@description('Resource id of the identity that jobs run under.')
output computeIdentityId string = computeIdentity.id

@description('Resource id of the identity that endpoints run under.')
output endpointIdentityId string = endpointIdentity.id
