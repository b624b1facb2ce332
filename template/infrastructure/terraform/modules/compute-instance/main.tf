terraform {
  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = "~> 5.2"
    }
  }
}

# azurerm 5.2 supports neither the shutdown of an idle compute instance nor its schedules, so Terraform sends Azure the
# same definition that Bicep would. It creates an instance, and leaves one that exists as it is.
resource "azurerm_resource_group_template_deployment" "this" {
  name                = var.user.instance
  resource_group_name = var.place.resource_group
  deployment_mode     = "Incremental"
  tags                = var.place.tags

  template_content = jsonencode({
    "$schema"      = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
    contentVersion = "1.0.0.0"
    resources = [{
      type       = "Microsoft.MachineLearningServices/workspaces/computes"
      apiVersion = "2026-05-01"
      name       = "${var.workspace}/${var.user.instance}"
      location   = var.place.location
      tags       = var.place.tags
      properties = {
        computeType      = "ComputeInstance"
        computeLocation  = var.place.location
        disableLocalAuth = true
        properties = {
          vmSize = var.machine.vm_size

          # Only this user can open it, and signs in to Azure from it as themselves. No identity of its own is needed.
          applicationSharingPolicy         = "Personal"
          computeInstanceAuthorizationType = "personal"
          enableSSO                        = true
          personalComputeInstanceSettings = {
            assignedUser = { objectId = var.user.object_id, tenantId = var.tenant_id }
          }

          sshSettings        = { sshPublicAccess = "Disabled" }
          enableNodePublicIp = !var.place.closed

          idleTimeBeforeShutdown = "PT${var.machine.idle_minutes}M"
          schedules = {
            computeStartStop = [for action, cron in { Start = var.machine.start_cron, Stop = var.machine.stop_cron } : {
              action      = action
              status      = "Enabled"
              triggerType = "Cron"
              cron        = { expression = cron, timeZone = var.machine.time_zone }
            }]
          }
        }
      }
    }]
  })

  lifecycle {
    # Azure accepts the schedules of an instance while it creates it, and refuses them afterwards
    # (Azure/azure-quickstart-templates#11830). Another machine is another instance: delete it first.
    ignore_changes = [template_content, tags]
  }

  # Without account keys the file share is mounted as the user, when the instance is set up.
  depends_on = [azurerm_role_assignment.this]
}

resource "azurerm_role_assignment" "this" {
  for_each = var.assignments

  scope              = each.value.scope
  role_definition_id = each.value.role_definition_id
  principal_id       = var.user.object_id
  principal_type     = "User"
}
