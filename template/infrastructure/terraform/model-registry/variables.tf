variable "environment" {
  description = "Environment whose config has the section `model_registry`."
  type        = string

  validation {
    condition = try(
      yamldecode(file("${path.module}/../../../config/${var.environment}.yml")).model_registry != null,
      false,
    )
    error_message = "config/<environment>.yml has no section model_registry: use the environment that has it."
  }
}

variable "subscription_id" {
  description = "Subscription to build in. When null, ARM_SUBSCRIPTION_ID or the default of the Azure CLI is used."
  type        = string
  default     = null
}

variable "deployer_principal_id" {
  description = "Object id of the identity that promotes models. When null, it is the one that runs Terraform."
  type        = string
  default     = null
}

variable "deployer_principal_type" {
  description = "What it is, ServicePrincipal or User. When null, Azure looks it up."
  type        = string
  default     = null
}
