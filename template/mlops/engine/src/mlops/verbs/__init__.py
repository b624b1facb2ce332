"""The verbs: what each does, whatever backend carries it out. All can be repeated; a second run finds nothing to do."""

from mlops.verbs.batch import deploy_batch
from mlops.verbs.candidate import Options, preview
from mlops.verbs.data import ensure_data
from mlops.verbs.delivery import deliver
from mlops.verbs.drift import drift
from mlops.verbs.models import promote
from mlops.verbs.online import SMOKE_TEST_ROWS, deploy_online, logs, shift_traffic, smoke_test
from mlops.verbs.recovery import abort, end_rollback, look, rollback
from mlops.verbs.removal import remains, teardown
from mlops.verbs.schedules import monitor
from mlops.verbs.session import Session
from mlops.verbs.training import train
from mlops.verbs.tuning import tune
from mlops.verbs.versions import list_models

__all__ = [
    "SMOKE_TEST_ROWS",
    "Options",
    "Session",
    "abort",
    "deliver",
    "deploy_batch",
    "deploy_online",
    "drift",
    "end_rollback",
    "ensure_data",
    "list_models",
    "logs",
    "look",
    "monitor",
    "preview",
    "promote",
    "remains",
    "rollback",
    "shift_traffic",
    "smoke_test",
    "teardown",
    "train",
    "tune",
]
