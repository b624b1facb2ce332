variable "name" {
  description = "Name of the virtual network."
  type        = string
}

variable "workspace" {
  description = "Name and resource id of the Azure ML workspace, which is made after what it needs has private endpoints."
  type        = object({ name = string, id = string })
}

variable "place" {
  description = "Resource group, region and tags of everything in this module."
  type = object({
    resource_group = string
    location       = string
    tags           = map(string)
  })
}

variable "network" {
  description = "The section `network` of the environment's config: ranges of one's own, or a subnet that exists."
  type = object({
    address_space      = optional(string)
    endpoints_subnet   = optional(string)
    runners_subnet     = optional(string)
    existing_subnet_id = optional(string)
    nat                = optional(bool, true)
    dns                = optional(string, "own")
    dns_zone_ids       = optional(list(string), [])
    dns_servers        = optional(list(string), [])
    outbound           = string
    outbound_hosts     = list(string)
    outbound_rules = optional(map(object({
      resource_id = optional(string)
      group       = optional(string)
      service_tag = optional(string)
      protocol    = optional(string, "TCP")
      ports       = optional(string)
    })), {})
  })

  validation {
    # A range is inside another when it is no larger, and both begin with the same bits.
    condition = var.network.existing_subnet_id != null || try(alltrue([
      for subnet in [var.network.endpoints_subnet, var.network.runners_subnet] :
      tonumber(split("/", subnet)[1]) >= tonumber(split("/", var.network.address_space)[1]) &&
      cidrhost("${cidrhost(subnet, 0)}/${split("/", var.network.address_space)[1]}", 0) == cidrhost(var.network.address_space, 0)
    ]), false)
    error_message = "network.endpoints_subnet and network.runners_subnet must be ranges such as 10.80.0.0/24, inside network.address_space."
  }

  validation {
    # Two ranges overlap when they begin with the same bits, as many as the larger range has.
    condition = var.network.existing_subnet_id != null || try(length(distinct([
      for subnet in [var.network.endpoints_subnet, var.network.runners_subnet] :
      cidrhost("${cidrhost(subnet, 0)}/${min(split("/", var.network.endpoints_subnet)[1], split("/", var.network.runners_subnet)[1])}", 0)
    ])) == 2, false)
    error_message = "network.endpoints_subnet and network.runners_subnet must not overlap."
  }

  validation {
    condition     = contains(["internet", "approved"], var.network.outbound)
    error_message = "network.outbound must be \"internet\" or \"approved\"."
  }

  validation {
    condition     = contains(["own", "central", "policy"], var.network.dns)
    error_message = "network.dns must be \"own\", \"central\" or \"policy\"."
  }
}

variable "subnets" {
  description = "The subnets of one's own network, each with the rules of its security group."
  type = map(map(object({
    priority  = number
    direction = string
    access    = string
    protocol  = string
    source    = string
    port      = string
  })))
}

variable "endpoints" {
  description = "What gets a private endpoint: the resource, the part of it, the DNS zones that resolve to its private address."
  type = map(object({
    on    = string
    group = string
    zones = list(string)
  }))
}

variable "managed_endpoints" {
  description = "What the compute of the workspace reaches beside what Azure connects automatically."
  type = map(object({
    on    = string
    group = string
  }))
}

variable "resources" {
  description = "Resource ids of what this environment has beside the workspace; endpoints of other resources are left out."
  type        = map(string)
}

variable "assignments" {
  description = "The role assignments on private endpoints: the key in `endpoints`, then _endpoint."
  type = map(object({
    on                               = string
    role_definition_id               = string
    principal_id                     = string
    principal_type                   = string
    skip_service_principal_aad_check = bool
  }))
}
