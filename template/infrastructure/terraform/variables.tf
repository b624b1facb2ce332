variable "environment" {
  description = "Environment to build: the name of a file in the config folder, without .yml."
  type        = string

  validation {
    # config/model.yml is not an environment, hence the look inside.
    condition = try(
      yamldecode(file("${path.module}/../../config/${var.environment}.yml")).environment == var.environment,
      false,
    )
    error_message = "There is no config/<environment>.yml for this environment, or its key 'environment' has another value. config/ holds ${join(", ", setsubtract(fileset("${path.module}/../../config", "*.yml"), ["model.yml"]))}: use one of them, or add the file."
  }
}

variable "subscription_id" {
  description = "Subscription to build in. When null, ARM_SUBSCRIPTION_ID or the default of the Azure CLI is used."
  type        = string
  default     = null
}

variable "deployer_principal_id" {
  description = "Object id of the identity that runs the mlops verbs. When null, it is the one that runs Terraform."
  type        = string
  default     = null
}

variable "deployer_principal_type" {
  description = "What it is, ServicePrincipal or User. When null, Azure looks it up; that is enough for a deployer who may grant to anything."
  type        = string
  default     = null
}

variable "online_endpoint_exists" {
  description = "Whether the online endpoint was deployed; only then can its requests be logged. `mlops provision` checks it."
  type        = bool
  default     = false
}
