"""The steps of the model's life: prep, train, evaluate, register, score."""

import os

# skops, which saves and loads models, looks for each function of SciPy in all modules that were imported before it:
# behind the thousand of MLflow that takes a second.
import scipy.special  # noqa: F401

# MLflow sends telemetry on import; this project does not.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
