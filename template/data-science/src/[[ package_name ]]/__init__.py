"""The steps of the model's life: prep, train, evaluate, register, score."""

import os

# MLflow sends telemetry on import; this project does not.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
