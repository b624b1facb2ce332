# The add-on "private-network": no way in from the internet, and one known way out.

mock_provider "azurerm" {
  source          = "./tests/mocks"
  override_during = plan
}

variables {
  name = "vnet-test"
  workspace = {
    name = "mlw-test"
    id   = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test/providers/Microsoft.MachineLearningServices/workspaces/mlw-test"
  }
  place = {
    resource_group = "rg-test"
    location       = "westeurope"
    tags           = { project = "test" }
  }
  network = {
    address_space    = "10.80.0.0/18"
    endpoints_subnet = "10.80.0.0/24"
    runners_subnet   = "10.80.1.0/24"
    outbound         = "internet"
    outbound_hosts   = ["index.example.com"]
  }
  subnets           = yamldecode(file("../shared/private-network.yml")).subnets
  endpoints         = yamldecode(file("../shared/private-network.yml")).endpoints
  managed_endpoints = yamldecode(file("../shared/private-network.yml")).managed_endpoints
  resources = {
    storage_account    = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test/providers/Microsoft.Storage/storageAccounts/sttest"
    key_vault          = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test/providers/Microsoft.KeyVault/vaults/kv-test"
    container_registry = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test/providers/Microsoft.ContainerRegistry/registries/crtest"
  }
  assignments = {
    files = {
      on                               = "file_endpoint"
      role_definition_id               = "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.Authorization/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7"
      principal_id                     = "00000000-0000-0000-0000-0000000000a1"
      principal_type                   = "ServicePrincipal"
      skip_service_principal_aad_check = true
    }
  }
}

run "nothing_gets_in_and_only_https_gets_out" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  assert {
    condition     = azurerm_virtual_network.this[0].name == "vnet-test" && azurerm_virtual_network.this[0].address_space == toset(["10.80.0.0/18"])
    error_message = "The network has the range of the config."
  }

  assert {
    condition     = length(azurerm_virtual_network.this[0].dns_servers) == 0
    error_message = "Names are resolved by Azure, unless the config says otherwise."
  }

  assert {
    condition     = { for subnet in azurerm_virtual_network.this[0].subnet : subnet.name => subnet.address_prefixes } == { endpoints = tolist(["10.80.0.0/24"]), runners = tolist(["10.80.1.0/24"]) }
    error_message = "The subnets have the ranges of the config."
  }

  assert {
    condition     = alltrue([for subnet in azurerm_virtual_network.this[0].subnet : subnet.default_outbound_access_enabled == false])
    error_message = "No machine gets out by default."
  }

  assert {
    condition     = alltrue([for subnet in azurerm_virtual_network.this[0].subnet : subnet.private_endpoint_network_policies == "Enabled"])
    error_message = "The rules apply to private endpoints too."
  }

  assert {
    condition = {
      for key, group in azurerm_network_security_group.this : group.name => sort([
        for rule in group.security_rule :
        "${rule.direction} ${rule.priority} ${rule.access} ${rule.protocol} ${rule.source_address_prefix} ${rule.destination_port_range}"
      ])
      } == {
      nsg-endpoints = sort(["Inbound 100 Allow Tcp VirtualNetwork 443", "Inbound 4096 Deny * * *"])
      nsg-runners   = sort(["Inbound 4096 Deny * * *", "Outbound 100 Allow Tcp VirtualNetwork 443", "Outbound 4096 Deny * * *"])
    }
    error_message = "The rules of the subnets differ from this list."
  }

  assert {
    condition     = alltrue([for subnet in azurerm_virtual_network.this[0].subnet : try(subnet.security_group == azurerm_network_security_group.this[subnet.name].id, false)])
    error_message = "Both subnets have rules from their first moment on."
  }

  assert {
    condition     = azurerm_public_ip.nat[0].name == "pip-vnet-test" && azurerm_public_ip.nat[0].sku == "Standard" && azurerm_public_ip.nat[0].allocation_method == "Static" && azurerm_nat_gateway.this[0].name == "nat-vnet-test" && endswith(azurerm_subnet_nat_gateway_association.runners[0].subnet_id, "/subnets/runners")
    error_message = "Runners get out through one fixed address."
  }
}

run "what_the_environment_has_gets_a_private_endpoint_and_nothing_else" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  assert {
    condition = toset([
      for each in merge(azurerm_private_endpoint.this, azurerm_private_endpoint.workspace) :
      "${each.name} ${basename(each.private_service_connection[0].private_connection_resource_id)} ${join(",", each.private_service_connection[0].subresource_names)} ${length(each.private_dns_zone_group[0].private_dns_zone_ids)}"
      ]) == toset([
      "pe-workspace mlw-test amlworkspace 2",
      "pe-blob sttest blob 1",
      "pe-file sttest file 1",
      "pe-queue sttest queue 1",
      "pe-table sttest table 1",
      "pe-vault kv-test vault 1",
      "pe-container-registry crtest registry 1",
    ])
    error_message = "The private endpoints differ from this list."
  }

  assert {
    condition     = alltrue([for each in merge(azurerm_private_endpoint.this, azurerm_private_endpoint.workspace) : each.private_service_connection[0].is_manual_connection == false])
    error_message = "No endpoint waits for an approval."
  }

  assert {
    condition = toset(keys(azurerm_private_dns_zone.this)) == toset([
      "privatelink.api.azureml.ms",
      "privatelink.notebooks.azure.net",
      "privatelink.blob.core.windows.net",
      "privatelink.file.core.windows.net",
      "privatelink.queue.core.windows.net",
      "privatelink.table.core.windows.net",
      "privatelink.vaultcore.azure.net",
      "privatelink.azurecr.io",
    ])
    error_message = "The DNS zones differ from this list."
  }

  assert {
    condition     = keys(azurerm_private_dns_zone_virtual_network_link.this) == keys(azurerm_private_dns_zone.this) && alltrue([for each in azurerm_private_dns_zone_virtual_network_link.this : each.name == "link-vnet-test"])
    error_message = "The network resolves names in every zone."
  }

  assert {
    condition     = { for key, each in azurerm_machine_learning_workspace_network_outbound_rule_private_endpoint.this : key => [basename(each.service_resource_id), each.sub_resource_target] } == { storage-queue = ["sttest", "queue"], storage-table = ["sttest", "table"] }
    error_message = "Batch jobs reach queues and tables."
  }

  assert {
    condition     = length(azurerm_machine_learning_workspace_network_outbound_rule_fqdn.this) == 0
    error_message = "With the way to the internet open there is no list of hosts."
  }

  assert {
    condition     = [for each in azurerm_role_assignment.this : [each.scope, each.principal_id, each.principal_type]] == [[azurerm_private_endpoint.this["file"].id, "00000000-0000-0000-0000-0000000000a1", "ServicePrincipal"]]
    error_message = "The workspace sees the endpoint to its files."
  }
}

run "a_data_lake_and_a_model_registry_get_theirs" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    resources = {
      storage_account = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test/providers/Microsoft.Storage/storageAccounts/sttest"
      data_lake       = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test/providers/Microsoft.Storage/storageAccounts/sttestdl"
      model_registry  = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-test/providers/Microsoft.MachineLearningServices/registries/mlr-test"

      model_registry_storage = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg-managed/providers/Microsoft.Storage/storageAccounts/stmanaged"
    }
  }

  assert {
    condition = toset([
      for key in ["lake-blob", "lake-dfs", "model-registry", "model-registry-blob"] :
      "${azurerm_private_endpoint.this[key].name} ${basename(azurerm_private_endpoint.this[key].private_service_connection[0].private_connection_resource_id)} ${azurerm_private_endpoint.this[key].private_service_connection[0].subresource_names[0]}"
    ]) == toset(["pe-lake-blob sttestdl blob", "pe-lake-dfs sttestdl dfs", "pe-model-registry mlr-test amlregistry", "pe-model-registry-blob stmanaged blob"])
    error_message = "Data lake and model registry have private endpoints."
  }

  assert {
    condition     = toset(keys(azurerm_machine_learning_workspace_network_outbound_rule_private_endpoint.this)) == toset(["storage-queue", "storage-table", "lake-blob", "lake-dfs", "model-registry-blob"])
    error_message = "Jobs reach the data lake."
  }

  assert {
    condition     = azurerm_machine_learning_workspace_network_outbound_rule_private_endpoint.this["model-registry-blob"].sub_resource_target == "blob" && keys(azurerm_resource_group_template_deployment.rule) == ["model-registry"]
    error_message = "Jobs and endpoints reach the model registry and its models."
  }
}

run "dns_servers_of_the_company_resolve_names" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    network = {
      address_space    = "10.80.0.0/18"
      endpoints_subnet = "10.80.0.0/24"
      runners_subnet   = "10.80.1.0/24"
      dns_servers      = ["10.0.0.4", "10.0.0.5"]
      outbound         = "internet"
      outbound_hosts   = []
    }
  }

  assert {
    condition     = azurerm_virtual_network.this[0].dns_servers == tolist(["10.0.0.4", "10.0.0.5"])
    error_message = "The network has the DNS servers of the config, in their order."
  }
}

run "only_approved_hosts_are_reached_when_the_way_out_is_closed_too" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    network = {
      address_space    = "10.80.0.0/18"
      endpoints_subnet = "10.80.0.0/24"
      runners_subnet   = "10.80.1.0/24"
      outbound         = "approved"
      outbound_hosts   = ["index.example.com", "*.example.org"]
    }
  }

  assert {
    condition     = { for each in azurerm_machine_learning_workspace_network_outbound_rule_fqdn.this : each.name => each.destination_fqdn } == { host-index_example_com = "index.example.com", host-_example_org = "*.example.org" }
    error_message = "A rule has the name of its host."
  }

  assert {
    condition     = toset([for each in azurerm_machine_learning_workspace_network_outbound_rule_fqdn.this : each.timeouts.create]) == toset(["90m"])
    error_message = "There is time to create the firewall."
  }
}

run "a_subnet_of_the_company_is_used_as_it_is" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    network = {
      existing_subnet_id = "/subscriptions/00000000-0000-0000-0000-000000000009/resourceGroups/rg-hub/providers/Microsoft.Network/virtualNetworks/vnet-spoke/subnets/snet-ml"
      outbound           = "internet"
      outbound_hosts     = []
    }
  }

  assert {
    condition     = alltrue([for each in merge(azurerm_private_endpoint.this, azurerm_private_endpoint.workspace) : each.subnet_id == var.network.existing_subnet_id])
    error_message = "The private endpoints are in the subnet of the company."
  }

  assert {
    condition     = length(azurerm_virtual_network.this) + length(azurerm_network_security_group.this) + length(azurerm_nat_gateway.this) + length(azurerm_public_ip.nat) == 0
    error_message = "Beside a subnet of the company no network is built."
  }

  assert {
    condition     = alltrue([for each in azurerm_private_dns_zone_virtual_network_link.this : each.virtual_network_id == split("/subnets/", var.network.existing_subnet_id)[0]]) && output.name == "vnet-spoke"
    error_message = "The network of the company resolves the names."
  }
}

run "without_nat_there_is_no_public_address" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    network = {
      address_space    = "10.80.0.0/18"
      endpoints_subnet = "10.80.0.0/24"
      runners_subnet   = "10.80.1.0/24"
      nat              = false
      outbound         = "internet"
      outbound_hosts   = []
    }
  }

  assert {
    condition     = length(azurerm_public_ip.nat) + length(azurerm_nat_gateway.this) + length(azurerm_subnet_nat_gateway_association.runners) == 0
    error_message = "With nat false there is neither gateway nor address."
  }
}

run "central_zones_are_used_by_their_ids" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    network = {
      address_space    = "10.80.0.0/18"
      endpoints_subnet = "10.80.0.0/24"
      runners_subnet   = "10.80.1.0/24"
      dns              = "central"
      dns_zone_ids = [for zone in toset(flatten([for each in yamldecode(file("../shared/private-network.yml")).endpoints : each.zones])) :
        "/subscriptions/00000000-0000-0000-0000-000000000009/resourceGroups/rg-dns/providers/Microsoft.Network/privateDnsZones/${zone}"
      ]
      outbound       = "internet"
      outbound_hosts = []
    }
  }

  assert {
    condition     = alltrue([for key, each in merge(azurerm_private_endpoint.this, azurerm_private_endpoint.workspace) : join(",", [for id in each.private_dns_zone_group[0].private_dns_zone_ids : basename(id)]) == join(",", var.endpoints[key].zones)])
    error_message = "Each endpoint is registered in the central zones of its kind."
  }

  assert {
    condition     = length(azurerm_private_dns_zone.this) + length(azurerm_private_dns_zone_virtual_network_link.this) == 0
    error_message = "Beside central zones there are none of one's own."
  }
}

run "a_policy_may_register_the_endpoints" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    network = {
      address_space    = "10.80.0.0/18"
      endpoints_subnet = "10.80.0.0/24"
      runners_subnet   = "10.80.1.0/24"
      dns              = "policy"
      outbound         = "internet"
      outbound_hosts   = []
    }
  }

  assert {
    condition = toset([
      for each in merge(azurerm_private_endpoint.policy, azurerm_private_endpoint.workspace_policy) :
      "${each.name} ${basename(each.private_service_connection[0].private_connection_resource_id)} ${join(",", each.private_service_connection[0].subresource_names)} ${each.private_service_connection[0].is_manual_connection}"
      ]) == toset([
      "pe-workspace mlw-test amlworkspace false",
      "pe-blob sttest blob false",
      "pe-file sttest file false",
      "pe-queue sttest queue false",
      "pe-table sttest table false",
      "pe-vault kv-test vault false",
      "pe-container-registry crtest registry false",
    ])
    error_message = "The endpoints that a policy registers differ from this list."
  }

  assert {
    condition     = length(azurerm_private_dns_zone.this) == 0 && alltrue([for each in merge(azurerm_private_endpoint.policy, azurerm_private_endpoint.workspace_policy) : length(each.private_dns_zone_group) == 0])
    error_message = "The zones are left to the policy."
  }

  assert {
    condition     = azurerm_role_assignment.this["files"].scope == azurerm_private_endpoint.policy["file"].id
    error_message = "The workspace sees the endpoint that a policy registers."
  }
}

run "more_ways_out_are_rules_in_the_words_of_azure" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    network = {
      address_space    = "10.80.0.0/18"
      endpoints_subnet = "10.80.0.0/24"
      runners_subnet   = "10.80.1.0/24"
      outbound         = "internet"
      outbound_hosts   = []
      outbound_rules = {
        database = { resource_id = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/sql", group = "sqlServer" }
        packages = { service_tag = "AzureDevOps", ports = "443" }
      }
    }
  }

  assert {
    condition = { for key, each in azurerm_resource_group_template_deployment.rule : jsondecode(each.template_content).resources[0].name => values(jsondecode(each.template_content).resources[0].properties.destination) } == {
      "mlw-test/rule-database" = ["/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/sql", "sqlServer"]
      "mlw-test/rule-packages" = ["443", "TCP", "AzureDevOps"]
    }
    error_message = "The rules differ from the config."
  }

  assert {
    condition     = alltrue([for each in azurerm_resource_group_template_deployment.rule : each.deployment_mode == "Incremental"])
    error_message = "No rule deletes anything else in the resource group."
  }
}

run "an_unknown_place_of_the_zones_is_refused" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    network = {
      address_space    = "10.80.0.0/18"
      endpoints_subnet = "10.80.0.0/24"
      runners_subnet   = "10.80.1.0/24"
      dns              = "hub"
      outbound         = "internet"
      outbound_hosts   = []
    }
  }

  expect_failures = [var.network]
}

run "a_subnet_outside_the_network_is_refused" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    network = {
      address_space    = "10.80.0.0/18"
      endpoints_subnet = "10.80.0.0/24"
      runners_subnet   = "10.81.0.0/24"
      outbound         = "internet"
      outbound_hosts   = []
    }
  }

  expect_failures = [var.network]
}

run "a_subnet_larger_than_the_network_is_refused" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    network = {
      address_space    = "10.80.0.0/18"
      endpoints_subnet = "10.80.0.0/16"
      runners_subnet   = "10.80.1.0/24"
      outbound         = "internet"
      outbound_hosts   = []
    }
  }

  expect_failures = [var.network]
}

run "subnets_that_overlap_are_refused" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    network = {
      address_space    = "10.80.0.0/18"
      endpoints_subnet = "10.80.0.0/24"
      runners_subnet   = "10.80.0.128/25"
      outbound         = "internet"
      outbound_hosts   = []
    }
  }

  expect_failures = [var.network]
}

run "a_malformed_range_is_refused" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    network = {
      address_space    = "10.80.0.0"
      endpoints_subnet = "10.80.0.0/24"
      runners_subnet   = "10.80.1.0/24"
      outbound         = "internet"
      outbound_hosts   = []
    }
  }

  expect_failures = [var.network]
}

run "an_unknown_way_out_is_refused" {
  command = plan

  module {
    source = "./modules/private-network"
  }

  variables {
    network = {
      address_space    = "10.80.0.0/18"
      endpoints_subnet = "10.80.0.0/24"
      runners_subnet   = "10.80.1.0/24"
      outbound         = "everything"
      outbound_hosts   = []
    }
  }

  expect_failures = [var.network]
}

run "every_environment_has_its_own_network" {
  command = plan

  variables {
    environment = "test"
  }

  assert {
    condition     = module.private_network.name == yamldecode(file("../../config/test.yml")).names.virtual_network
    error_message = "The network takes its name from the config."
  }
}
