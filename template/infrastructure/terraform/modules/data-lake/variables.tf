variable "name" {
  description = "Name of the storage account."
  type        = string
}

variable "place" {
  description = "Resource group, region and tags of everything in this module, and whether only private endpoints lead to it."
  type = object({
    resource_group = string
    location       = string
    tags           = map(string)
    closed         = bool
  })
}

variable "redundancy" {
  description = "How the account keeps its copies: LRS in one zone, ZRS in three."
  type        = string

  validation {
    condition     = contains(["LRS", "ZRS"], var.redundancy)
    error_message = "storage.redundancy is \"LRS\" or \"ZRS\"."
  }
}

variable "workspace_id" {
  description = "Resource id of the Azure ML workspace that gets the datastore."
  type        = string
}

variable "log_analytics_id" {
  description = "Resource id of the Log Analytics workspace."
  type        = string
}

variable "log_categories" {
  description = "Log categories of the blobs."
  type        = list(string)
}

variable "assignments" {
  description = "The role assignments on the account."
  type = map(object({
    role_definition_id               = string
    principal_id                     = string
    principal_type                   = string
    skip_service_principal_aad_check = bool
  }))
}

variable "customer_key" {
  description = "The key of the company, without its version, and the identity that may use it; when null, Azure has the key."
  type = object({
    name        = string
    identity_id = string
  })
  default = null
}
