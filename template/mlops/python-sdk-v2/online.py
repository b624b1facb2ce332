"""Single requests, answered at once: the endpoint whose address callers know, and the deployments behind it."""

from pathlib import Path

from azure.ai.ml.entities import (
    CodeConfiguration,
    DataCollector,
    DeploymentCollection,
    IdentityConfiguration,
    ManagedIdentityConfiguration,
    ManagedOnlineDeployment,
    ManagedOnlineEndpoint,
    OnlineRequestSettings,
    ProbeSettings,
)

from environments import inference
from mlops.config import EnvironmentConfig
from mlops.project import Project

CODE = Path(__file__).parents[2] / "data-science" / "src"
PACKAGE = Project.load(Path(__file__).parent).package


def endpoint(config: EnvironmentConfig, identity: str | None) -> ManagedOnlineEndpoint:
    """Return the stable address for callers.

    Deployments behind it come and go; `mlops shift-traffic` moves the traffic between them, so no traffic is set here:
    that would move it back on each deployment.

    Args:
        config: The environment to deploy to.
        identity: Azure resource id of a user-assigned identity, if there is one.
    """
    return ManagedOnlineEndpoint(
        name=config.names.online_endpoint,
        description="Scores single requests.",
        # Callers sign in with Microsoft Entra ID; there is no key to leak or to rotate.
        auth_mode="aad_token",
        # With a private network, only from inside it.
        public_network_access="Disabled" if config.closed else "Enabled",
        # The identity can never change after creation. One that the infrastructure created has its roles already. In an
        # existing workspace the endpoint gets its own, and Azure gives that its roles.
        identity=IdentityConfiguration(
            type="user_assigned", user_assigned_identities=[ManagedIdentityConfiguration(resource_id=identity)]
        )
        if identity
        else IdentityConfiguration(type="system_assigned"),
    )


def deployment(config: EnvironmentConfig, name: str, model: str, generation: int) -> ManagedOnlineDeployment:
    """Return one deployment behind the endpoint.

    `mlops deploy-online` creates it under the free name of blue and green: the running one keeps all traffic until the
    new one has passed its smoke test.

    Args:
        config: The environment to deploy to.
        name: Name of the deployment.
        model: Id of the model, such as "azureml:name:7".
        generation: Order of the deployments: the newer one has the higher number.
    """
    return ManagedOnlineDeployment(
        name=name,
        endpoint_name=config.names.online_endpoint,
        model=model,
        instance_type=config.compute.online.vm_size,
        instance_count=config.compute.online.instance_count,
        environment=inference,
        # A string: begin_create_or_update of azure-ai-ml 1.35 accepts no `Path` here.
        code_configuration=CodeConfiguration(code=str(CODE), scoring_script=f"{PACKAGE}/score.py"),
        # Application Insights accepts Entra ID tokens only (infrastructure); the inference server sends none (1.5.1).
        app_insights_enabled=False,
        # `mlops monitor` compares what is collected here with earlier data. Needs a role on the storage account for the
        # endpoint's identity. "true" is a string: Azure ML accepts no boolean here.
        data_collector=DataCollector(
            collections={
                "model_inputs": DeploymentCollection(enabled="true"),
                "model_outputs": DeploymentCollection(enabled="true"),
            },
            sampling_rate=1.0,
            rolling_rate="hour",
        ),
        request_settings=OnlineRequestSettings(
            request_timeout_ms=10000,
            # Python scores one request at a time per worker; more at once only moves the queue into the container.
            max_concurrent_requests_per_instance=1,
        ),
        # The first start loads MLflow and the model, which takes longer than a probe waits by default.
        liveness_probe=ProbeSettings(initial_delay=30, period=10, timeout=5, failure_threshold=30, success_threshold=1),
        readiness_probe=ProbeSettings(
            initial_delay=10, period=10, timeout=5, failure_threshold=30, success_threshold=1
        ),
        tags={"generation": str(generation)},
    )
