variable "user" {
  description = "User of the instance: name, object id in Entra ID, and the name of the instance."
  type = object({
    name      = string
    object_id = string
    instance  = string
  })

  validation {
    condition     = can(regex("^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$", var.user.object_id))
    error_message = "The object id of a user is a GUID: `az ad user show --id NAME@DOMAIN --query id` prints it."
  }

  validation {
    condition     = can(regex("^[a-zA-Z][a-zA-Z0-9-]{1,22}[a-zA-Z0-9]$", var.user.instance)) && !can(regex("-[0-9]+$", var.user.instance))
    error_message = "The name of an instance has 3 to 24 letters, digits and hyphens, begins with a letter and does not end with a hyphen and a number."
  }
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

variable "workspace" {
  description = "Name of the Azure ML workspace."
  type        = string
}

variable "tenant_id" {
  description = "Tenant of the user."
  type        = string
}

variable "machine" {
  description = "Size of the machine, and when it starts and stops."
  type = object({
    vm_size      = string
    idle_minutes = number
    start_cron   = string
    stop_cron    = string
    time_zone    = string
  })

  validation {
    condition     = var.machine.idle_minutes >= 15 && var.machine.idle_minutes <= 4320
    error_message = "Azure stops an idle instance after 15 minutes at the earliest and after 3 days (4320 minutes) at the latest."
  }
}

variable "assignments" {
  description = "The user's roles, and the resources that they are on."
  type = map(object({
    scope              = string
    role_definition_id = string
  }))
}
