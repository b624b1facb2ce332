# Add-on "data-lake": a second datastore with real folders, for data that several projects or tools share.
module "data_lake" {
  source = "./modules/data-lake"

  name             = local.names.data_lake
  place            = local.place
  redundancy       = local.storage.redundancy
  workspace_id     = azurerm_machine_learning_workspace.this.id
  log_analytics_id = local.log_analytics_id
  log_categories   = local.log_categories.data_lake_blobs
  assignments      = { for key, assignment in local.assignments : key => assignment if assignment.on == "data_lake" }
  customer_key     = local.customer_key == null ? null : { name = local.customer_key_name, identity_id = local.customer_key.identity_id }
}
