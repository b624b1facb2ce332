output "name" {
  description = "Name of the virtual network."
  value       = local.own ? azurerm_virtual_network.this[0].name : basename(local.network_id)
}

output "endpoints" {
  description = "Resource ids of the private endpoints that the workspace needs, once the workspace may see them."
  value       = local.endpoint_ids

  depends_on = [azurerm_role_assignment.this]
}
