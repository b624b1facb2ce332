output "name" {
  description = "Name of the virtual network."
  value       = azurerm_virtual_network.this.name
}
