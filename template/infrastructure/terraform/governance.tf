# Who is notified of problems, what the environment may cost, and what cannot be deleted by accident.
locals {
  emails     = local.config.monitor.alert_emails
  lock_notes = local.config.security.delete_lock ? "Set by security.delete_lock in config/${var.environment}.yml." : null
}

resource "azurerm_monitor_action_group" "this" {
  name                = local.names.action_group
  resource_group_name = azurerm_resource_group.this.name
  short_name          = "mlops"
  tags                = local.tags

  dynamic "email_receiver" {
    for_each = local.emails
    content {
      name                    = "email-${email_receiver.key}"
      email_address           = email_receiver.value
      use_common_alert_schema = true
    }
  }

  # With no address, the owners of the subscription are notified. Their role is not in shared/roles.yml, whose roles the
  # deploying identity may grant.
  dynamic "arm_role_receiver" {
    for_each = length(local.emails) == 0 ? ["owners"] : []
    content {
      name                    = arm_role_receiver.value
      role_id                 = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
      use_common_alert_schema = true
    }
  }
}

resource "azurerm_consumption_budget_resource_group" "this" {
  name              = local.names.budget
  resource_group_id = azurerm_resource_group.this.id

  amount     = local.config.budget.monthly_amount
  time_grain = "Monthly"

  time_period {
    start_date = formatdate("YYYY-MM-'01T00:00:00Z'", plantimestamp())
  }

  dynamic "notification" {
    for_each = [
      { threshold = 80, type = "Actual" },
      { threshold = 100, type = "Actual" },
      { threshold = 100, type = "Forecasted" },
    ]
    content {
      operator       = "GreaterThanOrEqualTo"
      threshold      = notification.value.threshold
      threshold_type = notification.value.type
      contact_emails = local.emails
      contact_groups = [azurerm_monitor_action_group.this.id]
      contact_roles  = ["Owner"]
    }
  }

  lifecycle {
    # The budget starts in the month in which it is created; another start would be another budget.
    ignore_changes = [time_period]

    precondition {
      condition     = local.config.budget.monthly_amount > 0
      error_message = "budget.monthly_amount in config/${var.environment}.yml must be greater than 0."
    }
  }
}

# Not on the group or the workspace: what is in them inherits a lock, and a rollout could not delete the deployment that
# it replaced.
resource "azurerm_management_lock" "this" {
  for_each = { for key, id in {
    storage_account    = azurerm_storage_account.this.id
    key_vault          = azurerm_key_vault.this.id
    container_registry = azurerm_container_registry.this.id
    log_analytics      = one(azurerm_log_analytics_workspace.this[*].id)
  } : key => id if local.lock_notes != null && (key != "log_analytics" || local.own_logs) }

  name       = "cannot-delete"
  scope      = each.value
  lock_level = "CanNotDelete"
  notes      = local.lock_notes

  # A lock also keeps role assignments and diagnostic settings from being deleted, so it comes last and goes first. The
  # rights of the owners of compute instances are created in a module, and are not waited for: where there are locks,
  # remove a user after an apply with security.delete_lock: false.
  depends_on = [azurerm_role_assignment.resources, azurerm_monitor_diagnostic_setting.this]
}
