// The registry that production reads: apart from every environment, locked, and with a log of who read and wrote models.
// `mlops bootstrap` makes its resource group, `mlops provision` builds this before the environment.
targetScope = 'subscription'

@description('Environment whose config has the section `model_registry`.')
param environment 'dev' | 'test' | 'prod'

@description('Object id of the identity that promotes models. When empty, it is the one that runs the deployment.')
param deployerPrincipalId string = ''

@description('What it is, ServicePrincipal or User. When empty, Azure looks it up.')
param deployerPrincipalType string = ''

// any(), because the three need not have the same keys.
var configs = {
  dev: any(loadYamlContent('../../config/dev.yml'))
  test: any(loadYamlContent('../../config/test.yml'))
  prod: any(loadYamlContent('../../config/prod.yml'))
}
var config = configs[environment]
var names = config.names
var tags = union(config.tags, { environment: 'shared' })

var roles = any(loadYamlContent('../shared/roles.yml'))
var ofDeployer = filter(items(roles.assignments), one => one.value.identity == 'deployer')
var onRegistry = filter(ofDeployer, one => one.value.on == 'model_registry')
var rights = map(onRegistry, one => {
  on: one.value.on
  role: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.roles[one.value.role])
  identity: one.value.identity
  name: empty(deployerPrincipalId) ? deployer().objectId : deployerPrincipalId
  kind: empty(deployerPrincipalType) ? null : deployerPrincipalType
})

var logs = any(loadYamlContent('../shared/diagnostics.yml'))

module registry 'modules/model-registry.bicep' = {
  name: 'model-registry'
  scope: resourceGroup(names.registry_resource_group)
  params: {
    names: names
    locations: config.model_registry.locations
    tags: tags
    publicNetworkAccess: config.model_registry.public_network_access
    rights: []
  }
}

// A lock also keeps diagnostic settings from being deleted, so it comes last.
module protection 'modules/model-registry-protection.bicep' = {
  name: 'model-registry-protection'
  scope: resourceGroup(names.registry_resource_group)
  params: {
    registryName: names.registry
    logAnalyticsName: names.registry_log_analytics
    location: config.model_registry.locations[0]
    tags: tags
    logDays: config.model_registry.log_days
    logCategories: logs.model_registry
    rights: rights
  }
  dependsOn: [
    registry
  ]
}
