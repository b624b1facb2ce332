"""Many files at once: an endpoint, and the deployment that defines how a batch job scores."""

from pathlib import Path

from azure.ai.ml.entities import (
    BatchEndpoint,
    BatchRetrySettings,
    CodeConfiguration,
    ModelBatchDeployment,
    ModelBatchDeploymentSettings,
    ResourceConfiguration,
)

from environments import inference
from mlops.config import EnvironmentConfig
from mlops.project import Project

CODE = Path(__file__).parents[2] / "data-science" / "src"
PACKAGE = Project.load(Path(__file__).parent).package


def endpoint(config: EnvironmentConfig) -> BatchEndpoint:
    """Return the address for scoring many files at once.

    A job on the cluster does the work, so nothing runs, or costs, in between.
    """
    return BatchEndpoint(
        name=config.names.batch_endpoint,
        description="Scores folders of files.",
        # Microsoft Entra ID is the only way in for batch endpoints. They have no switch for public access: the endpoint
        # is as open as its workspace was when it was created.
        auth_mode="aad_token",
    )


def deployment(config: EnvironmentConfig, name: str, model: str) -> ModelBatchDeployment:
    """Return the deployment that scores a batch: the same score.py as online, called with a list of files at a time.

    Args:
        config: The environment to deploy to.
        name: Name of the deployment.
        model: Id of the model, such as "azureml:name:7".
    """
    return ModelBatchDeployment(
        name=name,
        endpoint_name=config.names.batch_endpoint,
        description="Scores data files row by row.",
        model=model,
        environment=inference,
        # A string: begin_create_or_update of azure-ai-ml 1.35 accepts no `Path` here.
        code_configuration=CodeConfiguration(code=str(CODE), scoring_script=f"{PACKAGE}/score.py"),
        compute=config.compute.batch_cluster,
        resources=ResourceConfiguration(instance_count=config.compute.batch.instance_count),
        settings=ModelBatchDeploymentSettings(
            # Files per call of run(): large enough to pay for the call, small enough to lose little when it fails.
            mini_batch_size=config.compute.batch.mini_batch_size,
            max_concurrency_per_instance=config.compute.batch.max_concurrency_per_instance,
            output_action="append_row",
            output_file_name="predictions.csv",
            retry_settings=BatchRetrySettings(max_retries=3, timeout=300),
            # What becomes of a file that cannot be scored. Anything else that still fails after the retries, such as a
            # mini batch that needs too much memory, fails the job.
            environment_variables={"MLOPS_BAD_FILES": config.compute.batch.bad_files},
            error_threshold=0,
            logging_level="info",
        ),
    )
