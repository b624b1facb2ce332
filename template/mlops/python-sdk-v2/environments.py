"""The environments of steps and deployments. Azure ML builds an image once per content and keeps it."""

from pathlib import Path

from azure.ai.ml.entities import Environment

CONDA_FILES = Path(__file__).parents[2] / "data-science" / "environment"

# A dated tag: with `latest` the same commit would build something else next month.
# Renew it together with the pins of the conda files; Azure patches new tags only.
IMAGE = "mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04:20260715.v1"

# Neither has a name: Azure ML names such an environment by its content. Each job then runs in what this checkout
# defines, not in what was registered last, and a step whose environment has not changed can be reused.
training = Environment(
    description="Training, evaluation and registration.",
    image=IMAGE,
    conda_file=CONDA_FILES / "train.yml",
)

# What the online and the batch deployment run in: the training pins that the model needs, and the inference server.
inference = Environment(
    description="Online and batch scoring.",
    image=IMAGE,
    conda_file=CONDA_FILES / "inference.yml",
)
