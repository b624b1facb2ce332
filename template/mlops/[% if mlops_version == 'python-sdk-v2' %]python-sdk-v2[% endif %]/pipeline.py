"""The training pipeline: prepare the data, train, compare with the champion, register what is better.

`mlops local` runs this pipeline on your machine, `mlops train` sends the same one to Azure ML.
"""

from pathlib import Path

from azure.ai.ml import Input, dsl
from azure.ai.ml.entities import PipelineJob

import components
from data import production_data, training_data
from mlops.config import EnvironmentConfig

ROOT = Path(__file__).parents[2]


# The names of the variables are the names of the steps.
@dsl.pipeline(
    display_name="training",
    description="Trains a model and registers it when it beats the champion.",
    # A failed step must not let the rest continue: nothing may be registered after a failed evaluation.
    continue_on_step_failure=False,
)
def training(
    raw_data: Input, production_data: Input, schema: Input, settings: Input, model_name: str
) -> dict[str, object]:
    """Connect the steps and return the outputs of the pipeline.

    prep, train and evaluate also accept `overrides`, left out here: an optional input without a value drops out of the
    command. `mlops train --overrides "training.seed=7"` sets it in each of them for one run.
    """
    prep = components.prep(raw_data=raw_data, schema=schema, settings=settings)

    train = components.train(train_data=prep.outputs.train_data, schema=schema, settings=settings)

    evaluate = components.evaluate(
        model=train.outputs.model,
        model_name=model_name,
        train_data=prep.outputs.train_data,
        test_data=prep.outputs.test_data,
        production_data=production_data,
        schema=schema,
        settings=settings,
    )

    register = components.register(
        model=train.outputs.model, model_name=model_name, evaluation=evaluate.outputs.evaluation
    )

    return {
        "model": train.outputs.model,
        "evaluation": evaluate.outputs.evaluation,
        "registration": register.outputs.registration,
    }


def training_job(config: EnvironmentConfig) -> PipelineJob:
    """Build the pipeline for an environment."""
    job = training(
        # Data assets have versions, so that every run records exactly which data it saw.
        raw_data=Input(type="uri_folder", path=f"azureml:{training_data.name}@latest", mode="ro_mount"),
        # What arrived after deployment: `evaluate` measures drift on it.
        production_data=Input(type="uri_folder", path=f"azureml:{production_data.name}@latest", mode="ro_mount"),
        # Both files travel with the job: a step needs no setting of its own, and the run keeps a copy of what it used.
        schema=Input(type="uri_file", path=str(ROOT / "data" / "schema.yml")),
        settings=Input(type="uri_file", path=str(ROOT / "config" / "model.yml")),
        model_name=config.model.name,
    )
    job.experiment_name = config.model.experiment
    job.settings.default_compute = config.compute.cluster.name
    # A model folder is uploaded once when the step ends; a mount would pay for each small file.
    for output in job.outputs.values():
        output.mode = "upload"
    return job
