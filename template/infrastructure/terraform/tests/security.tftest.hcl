# What keeps the platform closed. Each assertion fails when its setting is loosened or removed.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  environment = "dev"
}

run "storage_needs_an_identity_and_keeps_what_was_deleted" {
  command = plan

  assert {
    condition     = azurerm_storage_account.this.shared_access_key_enabled == false
    error_message = "Account keys are off."
  }

  assert {
    condition     = azurerm_storage_account.this.default_to_oauth_authentication == true
    error_message = "The portal uses Entra ID."
  }

  assert {
    condition     = azurerm_storage_account.this.local_user_enabled == false
    error_message = "Local users are off."
  }

  assert {
    condition     = azurerm_storage_account.this.allow_nested_items_to_be_public == false
    error_message = "No blob is public."
  }

  assert {
    condition     = azurerm_storage_account.this.cross_tenant_replication_enabled == false
    error_message = "Data stays in the tenant."
  }

  assert {
    condition     = azurerm_storage_account.this.https_traffic_only_enabled == true && azurerm_storage_account.this.min_tls_version == "TLS1_2"
    error_message = "Traffic is encrypted with TLS 1.2."
  }

  assert {
    condition     = azurerm_storage_account.this.account_kind == "StorageV2" && azurerm_storage_account.this.account_tier == "Standard"
    error_message = "The account is of the kind that a workspace accepts."
  }

  assert {
    condition     = azurerm_storage_account.this.blob_properties[0].versioning_enabled == true
    error_message = "Overwritten blobs can be restored."
  }

  assert {
    condition     = azurerm_storage_account.this.blob_properties[0].delete_retention_policy[0].days >= 7
    error_message = "Deleted blobs can be restored."
  }

  assert {
    condition     = azurerm_storage_account.this.blob_properties[0].container_delete_retention_policy[0].days >= 7
    error_message = "Deleted containers can be restored."
  }

  assert {
    condition     = azurerm_storage_account.this.share_properties[0].retention_policy[0].days >= 7
    error_message = "Deleted file shares can be restored."
  }

  assert {
    condition = alltrue([for rule in concat(azurerm_storage_account.this.blob_properties[0].cors_rule, azurerm_storage_account.this.share_properties[0].cors_rule) :
      contains(rule.allowed_origins, "https://ml.azure.com") && contains(rule.allowed_methods, "GET")
    ]) && length(azurerm_storage_account.this.blob_properties[0].cors_rule) + length(azurerm_storage_account.this.share_properties[0].cors_rule) == 2
    error_message = "The studio reads blobs and files from a browser."
  }

  assert {
    condition = toset([
      for rule in azurerm_storage_management_policy.this.rule :
      join(" ", concat([rule.name], rule.actions[0].version[*].delete_after_days_since_creation, rule.actions[0].base_blob[*].delete_after_days_since_modification_greater_than))
      ]) == toset([
      "end-of-versions ${try(yamldecode(file("../../config/dev.yml")).retention.version_days, 30)}",
      "end-of-collected-requests ${try(yamldecode(file("../../config/dev.yml")).retention.collected_days, 90)}",
    ])
    error_message = "Versions and collected requests end after the days of the config."
  }

  assert {
    condition = alltrue([
      for rule in azurerm_storage_management_policy.this.rule :
      rule.name == "end-of-versions" || alltrue([for prefix in rule.filters[0].prefix_match : endswith(prefix, "/modelDataCollector/")])
    ])
    error_message = "Only what was collected ends; training data and models do not."
  }
}

run "the_key_vault_uses_roles_and_keeps_what_was_deleted" {
  command = plan

  assert {
    condition     = azurerm_key_vault.this.rbac_authorization_enabled == true
    error_message = "Access is by role."
  }

  assert {
    condition     = azurerm_key_vault.this.soft_delete_retention_days == 90
    error_message = "Deleted secrets are kept for 90 days."
  }
}

run "the_registry_has_no_admin_and_no_anonymous_reader" {
  command = plan

  assert {
    condition     = azurerm_container_registry.this.admin_enabled == false
    error_message = "The admin user is off."
  }

  assert {
    condition     = azurerm_container_registry.this.anonymous_pull_enabled == false
    error_message = "Anonymous pull is off."
  }

  assert {
    condition     = azurerm_container_registry.this.role_assignment_mode == "LegacyRegistryPermissions"
    error_message = "The roles to pull and push count."
  }
}

run "logs_need_an_identity_and_are_kept" {
  command = plan

  assert {
    condition     = azurerm_application_insights.this.local_authentication_enabled == false
    error_message = "Instrumentation keys are refused."
  }

  assert {
    condition     = azurerm_application_insights.this.workspace_id == azurerm_log_analytics_workspace.this[0].id
    error_message = "Application Insights writes to Log Analytics."
  }

  assert {
    condition     = azurerm_log_analytics_workspace.this[0].local_authentication_enabled == false
    error_message = "Log Analytics keys are off."
  }

  assert {
    condition     = toset(keys(azurerm_monitor_diagnostic_setting.this)) == toset([for each in ["workspace", "key_vault", "container_registry", "storage_blobs"] : each if length(local.log_categories[each]) > 0])
    error_message = "These resources are logged."
  }

  assert {
    condition     = alltrue([for setting in azurerm_monitor_diagnostic_setting.this : length(setting.enabled_log) > 0])
    error_message = "Every diagnostic setting logs something."
  }
}

run "the_workspace_uses_identities_only" {
  command = plan

  assert {
    condition     = azurerm_machine_learning_workspace.this.storage_account_access_type == "Identity"
    error_message = "The datastores hold no key."
  }

  assert {
    condition     = azurerm_machine_learning_workspace.this.identity[0].type == "UserAssigned"
    error_message = "The identity is user-assigned."
  }

  assert {
    condition     = azurerm_machine_learning_workspace.this.identity[0].identity_ids == toset([azurerm_user_assigned_identity.workspace.id])
    error_message = "The workspace runs under its own identity."
  }

  assert {
    condition     = azurerm_machine_learning_workspace.this.primary_user_assigned_identity == azurerm_user_assigned_identity.workspace.id
    error_message = "Its own identity is the primary one."
  }
}

run "no_cluster_costs_anything_when_idle_or_has_a_login" {
  command = plan

  assert {
    condition     = alltrue([for cluster in azurerm_machine_learning_compute_cluster.this : cluster.scale_settings[0].min_node_count == 0])
    error_message = "The clusters scale to zero."
  }

  assert {
    condition = alltrue([
      for key, cluster in azurerm_machine_learning_compute_cluster.this :
      cluster.scale_settings[0].scale_down_nodes_after_idle_duration == "PT${yamldecode(file("../../config/dev.yml")).compute[key].idle_minutes}M"
    ])
    error_message = "Idle minutes become an ISO 8601 duration."
  }

  assert {
    condition     = alltrue([for cluster in azurerm_machine_learning_compute_cluster.this : cluster.vm_priority == "Dedicated"])
    error_message = "Low-priority machines were retired."
  }

  assert {
    condition     = alltrue([for cluster in azurerm_machine_learning_compute_cluster.this : cluster.local_auth_enabled == false])
    error_message = "Local users are off."
  }

  assert {
    condition     = alltrue([for cluster in azurerm_machine_learning_compute_cluster.this : cluster.ssh_public_access_enabled == false])
    error_message = "There is no SSH port."
  }

  assert {
    condition = alltrue([
      for cluster in azurerm_machine_learning_compute_cluster.this :
      cluster.identity[0].type == "UserAssigned" && cluster.identity[0].identity_ids == toset([azurerm_user_assigned_identity.compute.id])
    ])
    error_message = "Jobs run under their own identity."
  }
}

run "a_network_in_the_config_closes_everything_at_once" {
  command = plan

  assert {
    condition = alltrue([for open in [
      azurerm_machine_learning_workspace.this.public_network_access_enabled,
      azurerm_storage_account.this.public_network_access_enabled,
      azurerm_key_vault.this.public_network_access_enabled,
      azurerm_container_registry.this.public_network_access_enabled,
    ] : open == !contains(keys(yamldecode(file("../../config/dev.yml"))), "network")])
    error_message = "Workspace, storage, vault and registry follow the config."
  }

  assert {
    condition = alltrue([for action in [
      azurerm_storage_account.this.network_rules[0].default_action,
      azurerm_key_vault.this.network_acls[0].default_action,
    ] : action == (contains(keys(yamldecode(file("../../config/dev.yml"))), "network") ? "Deny" : "Allow")])
    error_message = "The firewalls of storage and vault follow the config."
  }

  assert {
    condition     = contains(azurerm_storage_account.this.network_rules[0].bypass, "AzureServices") && azurerm_key_vault.this.network_acls[0].bypass == "AzureServices" && azurerm_container_registry.this.network_rule_bypass_option == "AzureServices"
    error_message = "The workspace can reach a closed storage account, vault and registry."
  }

  assert {
    condition     = azurerm_container_registry.this.sku == (contains(keys(yamldecode(file("../../config/dev.yml"))), "network") ? "Premium" : "Standard")
    error_message = "Only a Premium registry can be closed."
  }

  assert {
    condition     = azurerm_machine_learning_workspace.this.image_build_compute_name == (contains(keys(yamldecode(file("../../config/dev.yml"))), "network") ? azurerm_machine_learning_compute_cluster.this["cluster"].name : null)
    error_message = "The cluster builds the images when the registry is closed."
  }

  assert {
    condition     = alltrue([for cluster in azurerm_machine_learning_compute_cluster.this : cluster.node_public_ip_enabled == !contains(keys(yamldecode(file("../../config/dev.yml"))), "network")])
    error_message = "No machine of a closed workspace has a public address."
  }

  assert {
    condition = join(", ", [for each in azurerm_machine_learning_workspace.this.managed_network : "${each.isolation_mode} ${each.provision_on_creation_enabled}"]) == (
      contains(keys(yamldecode(file("../../config/dev.yml"))), "network") ? "${yamldecode(file("../../config/dev.yml")).network.outbound == "approved" ? "AllowOnlyApprovedOutbound" : "AllowInternetOutbound"} true" : ""
    )
    error_message = "Jobs of a closed workspace run in a network that exists from the start."
  }

  assert {
    condition     = azurerm_machine_learning_workspace.this.timeouts.create == "90m" && azurerm_machine_learning_workspace.this.timeouts.update == "90m"
    error_message = "There is time to create that network."
  }
}
