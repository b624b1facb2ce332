"""What each worker of the local endpoint needs, imported once by the process that all of them are forks of."""

import os
from contextlib import suppress

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # MLflow decides on it when it is imported

with suppress(ImportError):  # each worker says for itself what it lacks
    import azureml_inference_server_http.server.create_app  # noqa: F401
    import mlflow.pyfunc  # noqa: F401

    import mlops.local.serving  # noqa: F401
