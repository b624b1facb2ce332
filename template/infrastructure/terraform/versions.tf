terraform {
  # 1.11 is the first release whose test mocks can fill in computed values during a plan (tests/mocks).
  required_version = ">= 1.11"

  required_providers {
    azurerm = {
      source = "hashicorp/azurerm"
      # A workspace without storage keys needs 4.77 or newer, and 5.0 changed arguments that 4.x still requires.
      version = "~> 5.2"
    }
  }

  # `mlops provision` fills in the rest from config/<environment>.yml. The state store has no keys: Entra ID only.
  backend "azurerm" {
    use_azuread_auth = true
  }
}

provider "azurerm" {
  # null falls back to ARM_SUBSCRIPTION_ID, which the workflows set.
  subscription_id     = var.subscription_id
  storage_use_azuread = true

  # azurerm 5 registers no resource provider by itself. These are the ones that the resources here need, and Azure ML for
  # online endpoints (Cdn, PolicyInsights: MicrosoftLearning/mslearn-azure-ml#106).
  resource_provider_registrations = "none"
  resource_providers_to_register = concat([
    "Microsoft.AlertsManagement",
    "Microsoft.Cdn",
    "Microsoft.Consumption",
    "Microsoft.ContainerRegistry",
    "Microsoft.Insights",
    "Microsoft.KeyVault",
    "Microsoft.MachineLearningServices",
    "Microsoft.ManagedIdentity",
    "Microsoft.OperationalInsights",
    "Microsoft.PolicyInsights",
    "Microsoft.Storage",
  ], local.closed ? ["Microsoft.Network"] : [])

  features {
    application_insights {
      # Azure adds a rule "Failure Anomalies" and its action group, as it does with Bicep. azurerm would wait for the rule
      # to switch it off: 30 minutes, and then fail, where Azure makes none (hashicorp/terraform-provider-azurerm#18026).
      # Both would block `destroy`; `mlops teardown` deletes them first.
      disable_generated_rule = false
    }

    key_vault {
      # Purge protection forbids it; a vault that is created again under the same name is recovered instead.
      purge_soft_delete_on_destroy    = false
      recover_soft_deleted_key_vaults = true
    }

    machine_learning {
      # A workspace that is only soft-deleted keeps its name for 14 days, so the next `apply` would fail.
      purge_soft_deleted_workspace_on_destroy = true
    }

    resource_group {
      # What this project did not put into the group is never deleted along with it.
      prevent_deletion_if_contains_resources = true
    }
  }
}
