terraform {
  required_version = ">= 1.11"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.2"
    }
  }

  # In the state store of the environment that builds the registry, as a state of its own: shared.tfstate.
  backend "azurerm" {
    use_azuread_auth = true
  }
}

provider "azurerm" {
  subscription_id     = var.subscription_id
  storage_use_azuread = true

  # `mlops bootstrap` registers them.
  resource_provider_registrations = "none"

  features {}
}
