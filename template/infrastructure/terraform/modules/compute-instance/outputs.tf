output "instance" {
  description = "Name of the compute instance."
  value       = azurerm_resource_group_template_deployment.this.name
}
