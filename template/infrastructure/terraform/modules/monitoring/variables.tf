variable "title" {
  description = "Name of the dashboard."
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

variable "log_analytics_id" {
  description = "Resource id of the Log Analytics workspace that is queried."
  type        = string
}

variable "action_group_id" {
  description = "Resource id of the action group that is notified."
  type        = string
}

variable "alerts" {
  description = "Queries, how often they run, over which time; an alert fires when its query returns a row."
  type = map(object({
    title    = string
    severity = number
    every    = string
    window   = string
    query    = string
  }))

  validation {
    condition     = alltrue([for alert in var.alerts : !strcontains(alert.query, "THRESHOLD")])
    error_message = "Each alert needs its threshold, in `alerts` of the environment's config."
  }
}

variable "endpoint_id" {
  description = "Resource id of the online endpoint whose requests are logged; null while there is none."
  type        = string
  default     = null
}

variable "endpoint_logs" {
  description = "Log categories of the online endpoint."
  type        = list(string)
}

variable "workbook" {
  description = "Content of the dashboard as JSON, in which LOG_ANALYTICS_ID stands for the resource id of Log Analytics."
  type        = string
}
