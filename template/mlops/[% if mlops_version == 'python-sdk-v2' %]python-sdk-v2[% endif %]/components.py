"""The steps of the training pipeline: each one is a module of the data-science package with its inputs and outputs."""

from pathlib import Path

from azure.ai.ml import Input, Output, command

from environments import training
from mlops.project import Project

CODE = Path(__file__).parents[2] / "data-science" / "src"
PACKAGE = Project.load(Path(__file__).parent).package

# Azure ML drops the bracketed part of a command when the optional input in it has no value.
OVERRIDES = Input(
    type="string",
    optional=True,
    description="Settings to change for this run only, such as training.hyperparameters.max_iter=50.",
)

# Checks the raw data against its schema, then splits it into training and test data.
prep = command(
    name="prep",
    display_name="Prepare data",
    description="Validates the raw data and splits it. A violation of the schema stops the pipeline here.",
    inputs={
        "raw_data": Input(type="uri_folder", description="Data files in the form that data/README.md describes."),
        "schema": Input(type="uri_file", description="data/schema.yml, the columns with their types and limits."),
        "settings": Input(type="uri_file", description="config/model.yml, the share of test data and the seed."),
        "overrides": OVERRIDES,
    },
    outputs={
        "train_data": Output(type="uri_folder"),
        "test_data": Output(type="uri_folder"),
    },
    # No version: Azure ML gives such components a hash of their content, so an unchanged step is reused, not run again.
    is_deterministic=True,
    code=CODE,
    environment=training,
    command=f"python -m {PACKAGE}.prep"
    " --raw-data ${{inputs.raw_data}}"
    " --schema ${{inputs.schema}}"
    " --settings ${{inputs.settings}}"
    " $[[--overrides ${{inputs.overrides}}]]"
    " --train-data ${{outputs.train_data}}"
    " --test-data ${{outputs.test_data}}",
)

# Trains the model on the training data alone.
train = command(
    name="train",
    display_name="Train model",
    description="Fits the model and saves it in MLflow's format.",
    inputs={
        "train_data": Input(type="uri_folder", description="The training data that prep wrote."),
        "schema": Input(
            type="uri_file", description="data/schema.yml, which columns are features and which one is the target."
        ),
        "settings": Input(type="uri_file", description="config/model.yml, the hyperparameters."),
        "overrides": OVERRIDES,
    },
    outputs={"model": Output(type="mlflow_model")},
    is_deterministic=True,
    code=CODE,
    environment=training,
    command=f"python -m {PACKAGE}.train"
    " --train-data ${{inputs.train_data}}"
    " --schema ${{inputs.schema}}"
    " --settings ${{inputs.settings}}"
    " $[[--overrides ${{inputs.overrides}}]]"
    " --model ${{outputs.model}}",
)

# Scores the new model and the champion on the same held-out data and decides which one is better.
evaluate = command(
    name="evaluate",
    display_name="Evaluate model",
    description="Writes metrics.json, decision.json, drift.json and report.html.",
    inputs={
        "model": Input(type="mlflow_model", description="The challenger."),
        "model_name": Input(type="string", description="The registered model whose newest version is the champion."),
        "train_data": Input(type="uri_folder", description="The reference of the drift metrics."),
        "test_data": Input(type="uri_folder", description="The held-out data that both models are scored on."),
        "production_data": Input(
            type="uri_folder",
            optional=True,
            description="Data that arrived after deployment; without it there is no drift section.",
        ),
        "schema": Input(type="uri_file", description="data/schema.yml."),
        "settings": Input(
            type="uri_file", description="config/model.yml, the metric, the gates and the drift thresholds."
        ),
        "overrides": OVERRIDES,
    },
    outputs={"evaluation": Output(type="uri_folder")},
    # The champion may have changed since the last run with the same inputs, so an earlier result must never be reused.
    is_deterministic=False,
    code=CODE,
    environment=training,
    command=f"python -m {PACKAGE}.evaluate"
    " --model ${{inputs.model}}"
    " --model-name ${{inputs.model_name}}"
    " --train-data ${{inputs.train_data}}"
    " --test-data ${{inputs.test_data}}"
    " --schema ${{inputs.schema}}"
    " --settings ${{inputs.settings}}"
    " $[[--overrides ${{inputs.overrides}}]]"
    " $[[--production-data ${{inputs.production_data}}]]"
    " --evaluation ${{outputs.evaluation}}",
)

# Registers the model if the decision is to promote it; otherwise prints the reason and succeeds.
register = command(
    name="register",
    display_name="Register model",
    description="Carries out decision.json and writes registration.json.",
    inputs={
        "model": Input(type="mlflow_model", description="The challenger."),
        "model_name": Input(type="string", description="The name to register it under."),
        "evaluation": Input(type="uri_folder", description="The folder with decision.json that evaluate wrote."),
    },
    outputs={"registration": Output(type="uri_folder")},
    # Registering is a side effect: it must happen again even when nothing but the registry has changed.
    is_deterministic=False,
    code=CODE,
    environment=training,
    command=f"python -m {PACKAGE}.register"
    " --model ${{inputs.model}}"
    " --model-name ${{inputs.model_name}}"
    " --evaluation ${{inputs.evaluation}}"
    " --registration ${{outputs.registration}}",
)
