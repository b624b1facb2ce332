terraform {
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.2"
    }
  }
}

locals {
  id = "${var.resource_group_id}/providers/Microsoft.MachineLearningServices/registries/${var.name}"
}

# azurerm 5.2 has no resource for a registry, so Terraform sends Azure the same definition that Bicep would. It sees
# changes of this definition, but not what was changed in Azure since.
resource "azurerm_resource_group_template_deployment" "this" {
  name                = var.name
  resource_group_name = var.place.resource_group
  deployment_mode     = "Incremental"
  tags                = var.place.tags

  template_content = jsonencode({
    "$schema"      = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
    contentVersion = "1.0.0.0"
    resources = [{
      type       = "Microsoft.MachineLearningServices/registries"
      apiVersion = "2026-05-01"
      name       = var.name
      location   = var.locations[0]
      tags       = var.place.tags
      identity   = { type = "SystemAssigned" }
      properties = {
        publicNetworkAccess = var.public_network_access ? "Enabled" : "Disabled"
        # Azure creates and manages the storage account and the container registry of each region.
        regionDetails = [for location in var.locations : {
          location = location
          storageAccountDetails = [{
            systemCreatedStorageAccount = {
              storageAccountType       = "Standard_LRS"
              storageAccountHnsEnabled = false
              allowBlobPublicAccess    = false
            }
          }]
          acrDetails = [{ systemCreatedAcrAccount = { acrAccountSku = "Premium" } }]
        }]
      }
    }]
  })
}

resource "azurerm_role_assignment" "this" {
  for_each = var.assignments

  scope                            = local.id
  role_definition_id               = each.value.role_definition_id
  principal_id                     = each.value.principal_id
  principal_type                   = each.value.principal_type
  skip_service_principal_aad_check = each.value.skip_service_principal_aad_check

  depends_on = [azurerm_resource_group_template_deployment.this]
}
