output "resource_group" {
  description = "Name of the resource group."
  value       = azurerm_resource_group.this.name
}

output "workspace" {
  description = "Name of the Azure ML workspace."
  value       = azurerm_machine_learning_workspace.this.name
}

output "workspace_id" {
  description = "Resource id of the Azure ML workspace."
  value       = azurerm_machine_learning_workspace.this.id
}

output "storage_account" {
  description = "Name of the storage account behind the workspace."
  value       = azurerm_storage_account.this.name
}

output "container_registry" {
  description = "Name of the container registry behind the workspace."
  value       = azurerm_container_registry.this.name
}

output "key_vault" {
  description = "Name of the key vault behind the workspace."
  value       = azurerm_key_vault.this.name
}

output "compute_cluster" {
  description = "Name of the compute cluster."
  value       = azurerm_machine_learning_compute_cluster.this["cluster"].name
}

output "compute_identity_id" {
  description = "Resource id of the identity that jobs run under."
  value       = azurerm_user_assigned_identity.compute.id
}

output "endpoint_identity_id" {
  description = "Resource id of the identity that endpoints run under."
  value       = azurerm_user_assigned_identity.endpoint.id
}
