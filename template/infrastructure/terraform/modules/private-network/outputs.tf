output "name" {
  description = "Name of the virtual network."
  value       = local.own ? azurerm_virtual_network.this[0].name : basename(local.network_id)
}
