"""The Azure ML registry: models go through it from dev to test and prod, by version, without being trained again."""

from azure.ai.ml.entities import Registry, RegistryRegionDetails, SystemCreatedStorageAccount


def registry(name: str, locations: list[str]) -> Registry:
    """Return the registry in the first of the Azure regions.

    A workspace can use it only when its own region is among them.
    """
    return Registry(
        name=name,
        description="Carries models from one environment to the next.",
        location=locations[0],
        # `mlops promote` creates it only where every environment is open.
        public_network_access="Enabled",
        replication_locations=[
            RegistryRegionDetails(
                location=location,
                storage_config=SystemCreatedStorageAccount(
                    storage_account_type="Standard_LRS", storage_account_hns=False
                ),
            )
            for location in locations
        ],
    )
