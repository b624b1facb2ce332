"""The steps of the model's life: prep, train, evaluate, register, score."""

import os

# MLflow reports its use to its makers when it is imported; this project calls nobody.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
