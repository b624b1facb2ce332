output "id" {
  description = "Resource id of the registry, once it exists."
  value       = local.id

  depends_on = [azurerm_resource_group_template_deployment.this]
}

output "closed_resources" {
  description = "Resource ids of the registry and of its storage account; nothing when the internet reaches them."
  value = { for key, id in {
    model_registry         = local.id
    model_registry_storage = one([for each in azurerm_resource_group_template_deployment.storage : tostring(jsondecode(each.output_content).id.value)])
  } : key => id if !var.public_network_access }
}
