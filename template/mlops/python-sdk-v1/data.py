"""The data: folders that become registered File datasets, by name.

The names are not those that SDK v2 would use: a name in Azure ML keeps its type, and SDK v2 has another one.
"""

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "data"

# `mlops train` uploads a folder when its content is new, and only then. SDK v1 numbers the versions of a dataset
# itself, so the hash of the content is a tag on each version. A folder may also be one in Azure that grows, as
# "azureml://datastores/NAME/paths/FOLDER": other files there are a new version.
DATASETS = {
    # The data the model learns from, in the form that data/README.md describes.
    "training_dataset": FOLDER / "raw",
    # What arrived after deployment, with the true outcomes where they are known. Drift is measured on it.
    "production_dataset": FOLDER / "production",
}
