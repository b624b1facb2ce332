output "id" {
  description = "Resource id of the registry, once it exists."
  value       = local.id

  depends_on = [azurerm_resource_group_template_deployment.this]
}
