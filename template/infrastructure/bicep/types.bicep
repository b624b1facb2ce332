// The parts of config/<environment>.yml that modules use. Azure checks them when a deployment starts.

@export()
@description('Names of the resources: `names` of the environment.')
type environmentNames = {
  workspace: string
  storage_account: string
  key_vault: string
  container_registry: string
  log_analytics: string

  @description('Subscription and resource group of a Log Analytics workspace of the company.')
  log_analytics_subscription: string?
  log_analytics_group: string?
  application_insights: string
  workspace_identity: string
  compute_identity: string
  endpoint_identity: string
  action_group: string
  budget: string
  registry: string

  @description('Resource group of the registry; without it the registry is in the group of its environment.')
  registry_resource_group: string?

  @description('Subscription of the registry; without it, it is in that of its environment.')
  registry_subscription: string?

  @description('Where the log of the registry goes.')
  registry_log_analytics: string?
  online_endpoint: string

  @description('Only with the add-on data-lake.')
  data_lake: string?
}

@export()
@description('A cluster: one of `compute` of the environment.')
type clusterSettings = {
  name: string
  vm_size: string
  @minValue(0)
  min_nodes: int
  @minValue(1)
  max_nodes: int
  @minValue(1)
  idle_minutes: int
}

@export()
@description('Compute instances and their users: `compute.instances` of the environment.')
type instanceSettings = {
  vm_size: string
  @description('Azure stops an idle instance after 15 minutes at the earliest and after 3 days at the latest.')
  @minValue(15)
  @maxValue(4320)
  idle_minutes: int
  start_cron: string
  stop_cron: string
  time_zone: string
  users: {
    name: string
    @minLength(36)
    @maxLength(36)
    object_id: string
    @minLength(3)
    @maxLength(24)
    instance: string
  }[]
}

@export()
@description('A key of the company: `security.customer_key` of the environment.')
type customerKeySettings = {
  @description('With its version.')
  key_id: string
  vault_id: string

  @description('An identity of the company that may use the key.')
  identity_id: string
  identity_client_id: string
}

@export()
@description('The private network: `network` of the environment.')
type networkSettings = {
  @description('The ranges are of a network that is built; they are not there with existing_subnet_id.')
  address_space: string?
  endpoints_subnet: string?
  runners_subnet: string?

  @description('A subnet of a network that exists, for the private endpoints.')
  existing_subnet_id: string?

  @description('Whether the runners get a way out to the internet; they do by default.')
  nat: bool?

  @description('Whose DNS zones resolve the private endpoints; own is the default.')
  dns: ('own' | 'central' | 'policy')?

  @description('For central: the resource ids of the zones.')
  dns_zone_ids: string[]?

  @description('Addresses of the DNS servers of a network that is built; without any, those of Azure.')
  dns_servers: string[]?
  outbound: 'internet' | 'approved'
  outbound_hosts: string[]

  @description('More ways out, by name: a private endpoint to a resource, or a service tag.')
  outbound_rules: object?
}

@export()
@description('Redundancy of the storage accounts, and whether keys open that of the workspace.')
type storageSettings = {
  redundancy: 'LRS' | 'ZRS'
  shared_keys: bool
}

@export()
@description('What the pages of the studio may do from a browser: shared/studio.yml.')
type studioSettings = {
  origins: string[]
  methods: ('GET' | 'HEAD' | 'PUT' | 'DELETE' | 'OPTIONS' | 'POST' | 'PATCH')[]
  headers: string[]
  max_age_seconds: int
}

@export()
@description('One line of shared/roles.yml: a role for an identity on a resource.')
type right = {
  @description('The resource, by its key in the names of the environment.')
  on: string

  @description('Resource id of the role.')
  role: string

  @description('workspace, compute, endpoint, deployer or user.')
  identity: string

  @description('What identifies the identity: its name, or its object id.')
  name: string

  @description('ServicePrincipal or User, as the condition of the deploying identity wants it; null where it is not known.')
  kind: string?
}
