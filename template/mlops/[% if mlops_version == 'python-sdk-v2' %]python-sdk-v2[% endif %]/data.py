"""The data assets: folders of this project that get a version in Azure ML, so that each run records what it saw."""

from pathlib import Path

from azure.ai.ml.entities import Data

FOLDER = Path(__file__).parents[2] / "data"

# The data the model learns from. `mlops train` uploads the folder when its content is new, and only then. The path may
# also be a folder in Azure that grows, `azureml://datastores/NAME/paths/FOLDER`: other files there are a new version.
training_data = Data(
    name="training-data",
    description="Raw training data in the form that data/README.md describes.",
    type="uri_folder",
    path=FOLDER / "raw",
)

# What arrived after deployment, with the true outcomes where they are known. Drift is measured on it.
production_data = Data(
    name="production-data",
    description="Data that arrived after deployment in the form that data/README.md describes.",
    type="uri_folder",
    path=FOLDER / "production",
)
