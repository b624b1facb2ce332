output "id" {
  description = "Resource id of the storage account, once its roles are assigned."
  value       = azurerm_storage_account.this.id

  depends_on = [azurerm_role_assignment.this]
}
