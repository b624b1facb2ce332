variable "name" {
  description = "Name of the registry."
  type        = string
}

variable "place" {
  description = "Resource group, region and tags of everything in this module."
  type = object({
    resource_group = string
    location       = string
    tags           = map(string)
  })
}

variable "resource_group_id" {
  description = "Resource id of the resource group."
  type        = string
}

variable "locations" {
  description = "Regions in which workspaces use the registry; the first is its own."
  type        = list(string)

  validation {
    condition     = length(var.locations) > 0 && length(distinct(var.locations)) == length(var.locations)
    error_message = "A registry needs at least one region, and each of them once."
  }
}

variable "public_network_access" {
  description = "Whether the internet reaches the registry, or private endpoints alone."
  type        = bool
}

variable "assignments" {
  description = "The role assignments on the registry."
  type = map(object({
    role_definition_id               = string
    principal_id                     = string
    principal_type                   = string
    skip_service_principal_aad_check = bool
  }))
}
