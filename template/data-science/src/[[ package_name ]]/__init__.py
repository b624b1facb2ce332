"""The steps of the model's life: prep, train, evaluate, register, score."""

import os
from importlib import import_module
from importlib.util import find_spec

# skops, where it saves and loads models, looks for each function of SciPy in all modules that were imported before it:
# behind the thousand of MLflow that takes a second.
if find_spec("skops"):
    import_module("scipy.special")

# MLflow sends telemetry on import; this project does not.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
