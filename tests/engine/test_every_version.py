"""The same verb leaves the same in Azure, in every mlops version: also when it fails, and when it runs twice.

Each case says what is there before, what is done, and all that is in Azure afterwards. The words are those of `clouds`.
"""

import copy
import hashlib
import importlib.util
import json
import math
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial, wraps
from pathlib import Path
from typing import Any
from unittest import mock

import fake_azure
import pytest
from clouds import PROBLEMS, Cloud, HttpCloud, State
from fake_azure import SUBSCRIPTION
from rendered import ANSWERS, TORCH
from small_project import DRIFT, Kind, rename_environments, set_key, write_yaml

from mlops import cli, definitions, verbs
from mlops.azureml.backend import ModelVersion
from mlops.config import Project, load_yaml
from mlops.errors import UserError
from mlops.fingerprint import fingerprint
from mlops.lint import lint
from mlops.pipeline import samples
from mlops.verbs import Session
from mlops.verbs import models as model_verbs
from mlops.verbs.canary import LATE_MINUTES
from mlops.verbs.candidate import Options, find_candidate, left_to_do
from mlops.verbs.models import OWNER

# What is in Azure, in the words of `clouds`.

# The versions are hashes of the small project's rows: every version must come to the same.
TRAINING, PRODUCTION = "414e4ed608a1a241", "a15d578e6bd86d24"
DATA = {"training-data": [TRAINING], "production-data": [PRODUCTION]}
EMPTY: State = {"data": {}, "jobs": [], "models": {}, "registries": {}, "online": {}, "batch": {}, "schedules": {}}

IMAGE = "mcr.microsoft.com/azureml/openmpi5.0-ubuntu24.04:20260715.v1"
CODE = [f"package/{name}.py" for name in ("__init__", "evaluate", "prep", "register", "score", "train", "tune")]
INPUTS = {
    "prep": ["raw_data", "schema", "settings"],
    "train": ["prep.train_data", "schema", "settings"],
    "evaluate": [
        "train.model",
        "model_name",
        "prep.train_data",
        "prep.test_data",
        "production_data",
        "schema",
        "settings",
    ],
    "register": ["train.model", "model_name", "evaluate.evaluation"],
}


def step(name: str, overrides: str = "") -> State:
    """One step of the training pipeline, with its inputs by the last word of where they come from."""
    inputs = {source.rsplit(".", 1)[-1]: source for source in INPUTS[name]}
    if overrides and name != "register":
        inputs["overrides"] = overrides
    return {
        "runs": f"python -m package.{name}",
        "reused": name in ("prep", "train"),
        "inputs": inputs,
        "code": CODE,
        "environment": f"train on {IMAGE}",
        **({"spread": ["cluster", 2, 4]} if TORCH and name == "train" else {}),
    }


def pipeline(overrides: str = "") -> State:
    """The training pipeline as it goes to Azure."""
    return {
        "experiment": "an-experiment",
        "compute": "cluster",
        "inputs": {
            "raw_data": f"training-data:{TRAINING}",
            "production_data": f"production-data:{PRODUCTION}",
            "schema": "schema.yml",
            "settings": "model.yml",
            "model_name": "a-model",
        },
        "outputs": ["evaluation", "model", "registration"],
        "steps": {name: step(name, overrides) for name in INPUTS},
    }


def job(status: str = "Completed", overrides: str = "") -> State:
    """A run of the training pipeline."""
    return {**pipeline(overrides), "status": status}


def tuning(status: str = "Completed", overrides: str = "", trials: int = 6) -> State:
    """A run of the pipeline that searches hyperparameters."""
    found = job(status, overrides)
    inputs = {"train_data": "prep.train_data", "schema": "schema", "settings": "settings"}
    search = {
        "space": {
            "rate": ["loguniform", math.log(0.01), 0.0],
            "kind": ["choice", "a", "b"],
            "tree__depth": ["quniform", 1, 9, 1],
        },
        "for": "minimize validation_mae",
        "sampling": "random",
        "stops": "medianstopping",
        "trials": trials,
        "at once": 2,
        "minutes": 10,
        "candidate": "kind={kind} rate={rate} tree.depth={tree__depth}",
    }
    tune = {
        **step("train", overrides),
        "runs": "python -m package.tune",
        "reused": False,
        "inputs": {**inputs, **({"overrides": overrides} if overrides else {})},
        "search": search,
    }
    kept = {name: found["inputs"][name] for name in ("raw_data", "schema", "settings")}
    steps = {"prep": step("prep", overrides), "tune": tune}
    return {**found, "inputs": kept, "outputs": ["search"], "steps": steps}


def result(score: float, **hyperparameters: object) -> State:
    """What a trial writes."""
    return {
        "metric": "mae",
        "goal": "minimize",
        "settings": None,
        "best": {"number": 1, "hyperparameters": hyperparameters, "score": score, "sd": 0.1},
        "improved": None,
        "trials": [{"number": 1, "state": "complete", "hyperparameters": hyperparameters, "error": None}],
    }


SCORING = {"runs": "package/score.py", "code": CODE, "environment": f"inference on {IMAGE}"}


def variables(environment: str) -> State:
    """The variables of an online deployment: its workers, the places of files, and the identity that reads those."""
    names = {
        "MLOPS_STORAGE_HOSTS": f"storageaccount{environment}.blob.core.windows.net",
        "AZURE_CLIENT_ID": f"client-of-endpoint_identity-{environment}",
    }
    return {"WORKER_COUNT": "2", **(names if TORCH else {})}


def served(model: str, generation: int, environment: str = "dev") -> State:
    """A deployment behind the online endpoint."""
    return {
        "model": model,
        "generation": str(generation),
        "machines": "Standard_D2as_v4 x 3",
        "at once": 2,
        "collects": [f"online-{environment}-model_inputs", f"online-{environment}-model_outputs"],
        "variables": variables(environment),
        **SCORING,
    }


def online(traffic: Mapping[str, int], environment: str = "dev", **deployments: State) -> State:
    """The online endpoint of an environment."""
    group = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/rg-{environment}"
    identity = f"{group}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/endpoint_identity-{environment}"
    endpoint = {
        "callers": "aad_token",
        "public": True,
        "identity": [identity],
        "traffic": dict(traffic),
        "deployments": deployments,
    }
    return {"online": {f"online-{environment}": endpoint}}


def batch(*versions: str) -> State:
    """The batch endpoint, whose default is the last of the versions."""
    deployment = {
        "compute": "cluster",
        "machines": 2,
        "files at a time": 7,
        "workers": 4,
        "writes": "predictions.csv",
        "failures allowed": 0,
        "variables": {"MLOPS_BAD_FILES": "report"},
        **SCORING,
    }
    deployments = {f"model-{version}": {"model": version, **deployment} for version in versions}
    default = f"model-{versions[-1]}" if versions else None
    return {"batch": {"batch-dev": {"default": default, "deployments": deployments}}}


def monitor(deployment: str, alerts: object = "azmonitoring", features: object = "all_features") -> State:
    """The monitor of a deployment, with the thresholds of the small project."""

    def watched(context: str) -> State:
        asset = f"online-dev-{context}"
        return {"production": [asset, "P5D", "P0D"], "reference": [asset, "P5D", "P5D"]}

    quality = {"null_value_rate": 0.05, "data_type_error_rate": 0.01, "out_of_bounds_rate": 0.05}
    return {
        "enabled": True,
        "cron": "0 6 * * *",
        "time zone": "UTC",
        "watches": f"online-dev:{deployment}",
        "task": "regression",
        "machine": "standard_e4s_v3",
        "alerts": alerts,
        "signals": {
            "data_drift": {**DRIFT, "features": features, **watched("model_inputs")},
            "prediction_drift": {**DRIFT, **watched("model_outputs")},
            "data_quality": {
                "numerical": quality,
                "categorical": quality,
                "features": "all_features",
                **watched("model_inputs"),
            },
        },
    }


def models(*versions: str, **tags: str) -> State:
    """The models of the workspace, all with the same tags."""
    return {"models": {version: dict(tags) for version in versions}}


OLD_SERVES = {**models("1", "2"), **online({"blue": 100}, blue=served("1", 1))}
NEW_SERVES = {**models("1", "2"), **online({"green": 100}, green=served("2", 2))}
BACK_TO_1 = {
    "models": {"1": {}, "2": {"rejected_dev": "true"}},
    **online({"blue": 100}, blue=served("1", 3)),
}
BOTH = {"blue": served("1", 1), "green": served("2", 2)}

# What a test does.


@dataclass(frozen=True)
class Play:
    """A small project, its cloud, and how to run a verb in it."""

    project: Project
    cloud: Cloud
    folder: Path

    def session(self, environment: str) -> Session:
        """Open an environment."""
        return Session.open(environment, root=self.project.root)

    @cached_property
    def dev(self) -> Session:
        """The environment in which models are trained."""
        return self.session("dev")

    @cached_property
    def sha256(self) -> str:
        """Write the files of a model, say that it arrives in the registry as it is, and return its hash."""
        model = self.folder / "a-trained-model"
        model.mkdir()
        (model / "MLmodel").write_text("flavors: {}\n", encoding="utf-8")
        (model / "model.bin").write_bytes(b"weights")
        self.cloud.copies(model)
        sha256: str = importlib.import_module(f"{self.project.package}.core.endpoint").model_hash(model)
        return sha256

    def configure(self, environment: str, section: str, **values: object) -> None:
        """Change values in the configuration of an environment."""
        file = self.project.root / "config" / f"{environment}.yml"
        document = load_yaml(file)
        document[section].update(values)
        write_yaml(file, document)


@pytest.fixture
def play(project: Project, cloud: Cloud, tmp_path: Path) -> Play:
    """The stage."""
    return Play(project, cloud, tmp_path)


Action = Callable[[Play], None]


def registered(*versions: str, **tags: str) -> Action:
    """Model versions are in the workspace."""
    return lambda play: play.cloud.register(*versions, **tags)


KNOWN: dict[tuple[Action, bytes], tuple[State, State, str]] = {}
"""What was in Azure before an action and after it, and the time then, by the action and all files of the project."""


def once(action: Action) -> Action:
    """Do something once; where an SDK would do the same in the same state, what is in Azure then is put there.

    An SDK takes a third of a second for what the Azure CLI of these tests does at once.
    """

    @wraps(action)
    def act(play: Play) -> None:
        if not isinstance(play.cloud, HttpCloud):
            action(play)
            return
        files = (path for path in sorted(play.project.root.rglob("*")) if path.is_file())
        texts = b"".join(str(path.relative_to(play.project.root)).encode() + path.read_bytes() for path in files)
        key, before = (action, hashlib.sha256(texts).digest()), play.cloud.contents()
        if key in KNOWN and KNOWN[key][0] == before:
            assert play.dev  # opened with the configuration of this moment
            play.cloud.put_back(KNOWN[key][1])
            while model_verbs.now() < KNOWN[key][2]:
                pass
            return
        action(play)
        KNOWN.setdefault(key, (before, play.cloud.contents(), model_verbs.now()))

    return act


@once
def serving(play: Play) -> None:
    """Version 1 is served by blue, and version 2 is registered."""
    play.cloud.register("1")
    verbs.deploy_online(play.dev)
    play.cloud.register("2")


def with_a_calendar(play: Play) -> None:
    """The schema has a column that follows the date, and the settings have a second metric for numbers."""
    schema, settings = load_yaml(play.project.schema), load_yaml(play.project.settings)
    schema["columns"]["month"] = {"type": "integer", "role": "calendar"}
    settings["drift"]["numerical"]["population_stability_index"] = 0.2
    write_yaml(play.project.schema, schema)
    write_yaml(play.project.settings, settings)


@once
def held(play: Play) -> None:
    """Version 1 is served by blue; green is ready with version 2."""
    serving(play)
    verbs.deploy_online(play.dev, hold=True)


def sharing(**shares: int) -> Action:
    """Another user has given the deployments these shares."""
    return lambda play: play.cloud.share_traffic(**shares)


def killed_rollout(play: Play) -> None:
    """The machine is gone when green is there with the newest version."""
    with mock.patch("mlops.verbs.online.smoke_test", side_effect=SystemExit), pytest.raises(SystemExit):
        verbs.deploy_online(play.dev)


@once
def killed(play: Play) -> None:
    """Version 1 is served by blue; green has version 2, and its rollout was not completed."""
    serving(play)
    killed_rollout(play)


def trained(play: Play) -> None:
    """Version 1 is registered with the hash of its files."""
    sha256 = play.sha256
    play.cloud.register("1", sha256=sha256)


def promoted(play: Play) -> None:
    """The same, and version 1 may be used in test."""
    trained(play)
    verbs.promote(play.dev, "test")


def another_copy(play: Play) -> None:
    """What arrives in the registry is another model than the one that was trained."""
    trained(play)
    other = play.folder / "another-model"
    shutil.copytree(play.folder / "a-trained-model", other)
    (other / "model.bin").write_bytes(b"wEights")
    play.cloud.copies(play.folder / "a-trained-model", other)


def everything(play: Play) -> None:
    """Each kind of thing is there."""
    verbs.train(play.dev, wait=False)
    play.cloud.schedule_retraining()
    serving(play)
    verbs.monitor(play.dev)
    verbs.deploy_batch(play.dev)


def train(**options: Any) -> Action:
    return lambda play: verbs.train(play.dev, **options)


def deploy(environment: str = "dev", **options: Any) -> Action:
    """Roll a model out; `sha256=True` names the hash of its files."""
    return lambda play: verbs.deploy_online(play.session(environment), **with_hash(play, options))


def with_hash(play: Play, options: Mapping[str, Any]) -> dict[str, Any]:
    return {**options, "sha256": play.sha256} if options.get("sha256") is True else dict(options)


def deploy_batch(**options: Any) -> Action:
    return lambda play: verbs.deploy_batch(play.dev, **options)


def shift(percent: int) -> Action:
    return lambda play: verbs.shift_traffic(play.dev, percent)


def promote(source: str, target: str) -> Action:
    return lambda play: verbs.promote(play.session(source), target)


def scheduled_before(play: Play) -> None:
    """Releases until v0.4.0 made a schedule of retraining in Azure ML."""
    play.cloud.schedule_retraining()


def switched_off(play: Play) -> None:
    """A teardown was cancelled before it had deleted the monitor."""
    play.dev.backend.disable_schedule(play.dev.monitor_name)


def in_dev(verb: Callable[[Session], None]) -> Action:
    """Run a verb in dev, as it is."""
    return lambda play: verb(play.dev)


def predicting(value: object, deployment: str | None = None) -> Action:
    """A deployment, or each of them, predicts this."""
    return lambda play: play.cloud.predict(value, deployment)


def failing(operation: str, subject: str = "", *, after: bool = False) -> Action:
    """Azure fails at this, before or after it has done it."""
    return lambda play: play.cloud.fail(operation, subject, after=after)


def job_ends(status: str = "Completed", **registration: object) -> Action:
    """Jobs end so, and their step `register` writes this."""
    return lambda play: play.cloud.next_job(status, **registration)


BETTER = job_ends(registered=True, name="a-model", version="4", reasons=["it is better"])
WORSE = job_ends(registered=False, reasons=["the champion is better"])

# The table.


@dataclass(frozen=True)
class Case:
    """What is there before, what is done, and what is in Azure then: all that is not named is empty.

    `says` are words of the output, `fails` words of the one-line error. `again` is False where a second run is meant to
    do something else than the first one.
    """

    does: Action
    leaves: Mapping[str, Any] | Callable[["Play"], State] = field(default_factory=dict)
    given: tuple[Action, ...] = ()
    says: str = ""
    fails: str = ""
    again: bool = True


TRAINING_CASES = {
    "training pins the data and says what became of the model": Case(
        train(),
        {"data": DATA, "jobs": [job()]},
        given=(BETTER,),
        says="Registered a-model version 4: it is better",
        again=False,
    ),
    "training says when the champion stays": Case(
        train(),
        {"data": DATA, "jobs": [job()]},
        given=(WORSE,),
        says="No new version, the champion stays: the champion is better",
        again=False,
    ),
    "overrides reach the steps that know settings": Case(
        train(overrides="training.seed=7"),
        {"data": DATA, "jobs": [job(overrides="training.seed=7")]},
        given=(WORSE,),
        again=False,
    ),
    "a wrong override sends nothing": Case(
        train(overrides="training.hyperparameters.rte=0.1"),
        fails="training.hyperparameters.rte: unknown; the nearest is rate",
    ),
    "training without waiting ends after the start": Case(
        train(wait=False), {"data": DATA, "jobs": [job("Running")]}, again=False
    ),
    "a second training uploads no data": Case(
        train(), {"data": DATA, "jobs": [job(), job()]}, given=(WORSE, train()), says="unchanged", again=False
    ),
    "a failed job is a failed verb": Case(
        train(),
        {"data": DATA, "jobs": [job("Failed")]},
        given=(job_ends("Failed"),),
        fails="ended as Failed: see its log at https://",
        again=False,
    ),
    "a canceled job is a failed verb": Case(
        train(),
        {"data": DATA, "jobs": [job("Canceled")]},
        given=(job_ends("Canceled"),),
        fails="ended as Canceled: see its log at https://",
        again=False,
    ),
    "a lost connection is not taken for a failed job": Case(
        train(),
        {"data": DATA, "jobs": [job("Running")]},
        given=(failing("stream job"),),
        fails="only its log was lost",
        again=False,
    ),
    "a job that cannot be started leaves none": Case(
        train(), {"data": DATA}, given=(failing("create job"),), fails="not now"
    ),
    "without data nothing is sent": Case(
        train(),
        given=(lambda play: shutil.rmtree(play.project.root / "data" / "raw"),),
        fails="where there is no data: put files there",
    ),
}

BEST = "training.hyperparameters.rate=0.05 training.hyperparameters.kind=b training.hyperparameters.tree.depth=3"


def finds(play: Play) -> None:
    """The best trial of a search has other hyperparameters than the settings."""
    play.cloud.next_search(
        result(0.5, rate=0.05, kind="b", **{"tree.depth": 3}), result(0.7, rate=0.5, kind="a", **{"tree.depth": 3})
    )


def tune(**options: Any) -> Action:
    return lambda play: verbs.tune(play.dev, **options)


TUNING_CASES = {
    "a search is followed by a training with its best hyperparameters": Case(
        tune(),
        {"data": DATA, "jobs": [tuning(), job(overrides=BEST)]},
        given=(WORSE, finds),
        says="The best trial has mae 0.5 in cross-validation: rate=0.05 kind=b tree.depth=3",
        again=False,
    ),
    "overrides and another number of trials reach a search, and the overrides the training": Case(
        tune(overrides="training.seed=7", trials=3),
        {
            "data": DATA,
            "jobs": [
                tuning(overrides="training.seed=7 tuning.trials=3", trials=3),
                job(overrides=f"training.seed=7 {BEST}"),
            ],
        },
        given=(WORSE, finds),
        again=False,
    ),
    "a search without a training trains nothing": Case(
        tune(then_train=False),
        {"data": {"training-data": [TRAINING]}, "jobs": [tuning()]},
        given=(finds,),
        again=False,
    ),
    "a search without waiting ends after the start": Case(
        tune(wait=False),
        {"data": {"training-data": [TRAINING]}, "jobs": [tuning("Running")]},
        says="When it has ended, `uv run mlops tune --environment dev --job ",
        again=False,
    ),
    "a search that fails trains nothing": Case(
        tune(),
        {"data": {"training-data": [TRAINING]}, "jobs": [tuning("Failed")]},
        given=(job_ends("Failed"),),
        fails="ended as Failed: see its log at https://",
        again=False,
    ),
    "a search that runs out of time trains nothing": Case(
        tune(),
        {"data": {"training-data": [TRAINING]}, "jobs": [tuning("Canceled")]},
        given=(job_ends("Canceled"),),
        fails="lower tuning.trials or raise tuning.minutes",
        again=False,
    ),
    "a search that cannot be started leaves none": Case(
        tune(), {"data": {"training-data": [TRAINING]}}, given=(failing("create job"),), fails="not now"
    ),
    "a wrong override starts no search": Case(tune(overrides="tuning.trils=3"), fails="tuning.trils"),
    "a wrong search space starts no search": Case(
        tune(),
        given=(lambda play: set_key(play.project.settings, "tuning.space", {"rats": [0.1, 0.2]}),),
        fails="tuning.space.rats: unknown",
    ),
    "what is saved has to be trained": Case(tune(save=True, then_train=False), fails="leave out --no-train"),
    "hyperparameters whose model is registered are saved": Case(
        tune(save=True),
        {"data": DATA, "jobs": [tuning(), job(overrides=BEST)]},
        given=(BETTER, finds),
        says="config/model.yml has these hyperparameters now",
        again=False,
    ),
    "hyperparameters whose model is not registered are not saved": Case(
        tune(save=True),
        {"data": DATA, "jobs": [tuning(), job(overrides=BEST)]},
        given=(WORSE, finds),
        says="config/model.yml stays as it is",
        again=False,
    ),
}

ONLINE_CASES = {
    "the first deployment creates the endpoint and gets all traffic": Case(
        deploy(), {**models("1"), **online({"blue": 100}, blue=served("1", 1))}, given=(registered("1"),)
    ),
    "a rollout replaces the old deployment": Case(
        deploy(), NEW_SERVES, given=(serving,), says="green serves version 2 with all traffic"
    ),
    "a version that is served is not deployed again": Case(
        deploy(model_version="1"), OLD_SERVES, given=(serving,), says="blue already serves version 1"
    ),
    "a served version is deployed again by force": Case(
        deploy(model_version="1", force=True),
        {**models("1", "2"), **online({"green": 100}, green=served("1", 2))},
        given=(serving,),
        again=False,
    ),
    "a held rollout moves no traffic": Case(
        deploy(hold=True), {**models("1", "2"), **online({"blue": 100}, **BOTH)}, given=(serving,), again=False
    ),
    "a held rollout is replaced by a second one": Case(
        deploy(hold=True),
        {**models("1", "2"), **online({"blue": 100}, blue=served("1", 1), green=served("2", 3))},
        given=(held,),
        again=False,
    ),
    "the newest version is the highest number that is not rejected": Case(
        deploy(),
        {
            "models": {"9": {}, "10": {}, "11": {"rejected": "true"}},
            **online({"blue": 100}, blue=served("10", 1)),
        },
        given=(registered("9", "10"), registered("11", rejected="true")),
    ),
    "an unknown version is answered with the known ones": Case(
        deploy(model_version="7"), OLD_SERVES, given=(serving,), fails="has no version 7 of a-model: it has 1, 2"
    ),
    "a rejected version is refused": Case(
        deploy(model_version="2"),
        {"models": {"1": {}, "2": {"rejected": "true"}}, **online({"blue": 100}, blue=served("1", 1))},
        given=(serving, registered("2", rejected="true")),
        fails="version 2 of a-model was rejected: choose another one",
    ),
    "without a model the remedy is to train": Case(deploy(), fails="run `uv run mlops train --environment dev`"),
    "a rollout that was killed is cleared first": Case(
        deploy(),
        {**models("1", "2"), **online({"green": 100}, green=served("2", 3))},
        given=(held, lambda play: play.cloud.share_traffic(blue=90, green=10)),
    ),
    "traffic is shared between two deployments": Case(
        shift(40), {**models("1", "2"), **online({"blue": 60, "green": 40}, **BOTH)}, given=(held,)
    ),
    "all traffic goes to the newer one": Case(
        shift(100), {**models("1", "2"), **online({"green": 100}, **BOTH)}, given=(held,)
    ),
    "traffic cannot be shared with one deployment": Case(
        shift(40), OLD_SERVES, given=(serving,), fails="run `uv run mlops deploy-online --environment dev --hold`"
    ),
    "a rollback gives the older one all traffic and rejects the newer model": Case(
        in_dev(verbs.rollback),
        {"models": {"1": {}, "2": {"rejected_dev": "true"}}, **online({"blue": 100}, blue=served("1", 1))},
        given=(held, shift(100)),
        again=False,
    ),
    "a rollback goes to the older one whatever its colour": Case(
        in_dev(verbs.rollback),
        {"models": {"1": {}, "2": {}, "3": {"rejected_dev": "true"}}, **online({"green": 100}, green=served("2", 2))},
        given=(serving, deploy(), registered("3"), deploy(hold=True), sharing(green=90, blue=10)),
        again=False,
    ),
    "a rollback of the same version rejects no model": Case(
        in_dev(verbs.rollback),
        {**models("1"), **online({"blue": 100}, blue=served("1", 1))},
        given=(registered("1"), deploy(), deploy(force=True, hold=True), sharing(blue=90, green=10)),
        again=False,
    ),
    "a rollback after a completed rollout deploys the version before it again": Case(
        in_dev(verbs.rollback),
        BACK_TO_1,
        given=(serving, deploy()),
        says="Version 1 serves again, in the place of version 2",
        again=False,
    ),
    "a rollback with nothing before says so": Case(
        in_dev(verbs.rollback), OLD_SERVES, given=(serving,), fails="no earlier version of the model that may be used"
    ),
    "a rollback without any deployment says so": Case(
        in_dev(verbs.rollback), fails="there is no deployment to go back from"
    ),
    "a smoke test of valid predictions passes": Case(
        in_dev(verbs.smoke_test), OLD_SERVES, given=(serving,), says="Smoke test passed: 5 rows"
    ),
    "a smoke test of nonsense fails": Case(
        in_dev(verbs.smoke_test),
        OLD_SERVES,
        given=(serving, predicting(-1e6)),
        fails="the smoke test of online-dev failed: 5 of 5 predictions",
    ),
    "a smoke test of NaN fails": Case(
        in_dev(verbs.smoke_test),
        OLD_SERVES,
        given=(serving, predicting(float("nan"))),
        fails="the smoke test of online-dev failed: 5 of 5 predictions",
    ),
    "the log of the serving deployment is shown": Case(
        in_dev(verbs.logs), OLD_SERVES, given=(serving,), says="log of blue"
    ),
    "a log needs a deployment": Case(in_dev(verbs.logs), fails="there is no deployment with a log"),
}

BATCH_CASES = {
    "a batch deployment becomes the default": Case(
        deploy_batch(), {**models("1"), **batch("1")}, given=(registered("1"),)
    ),
    "a batch deployment replaces the one before": Case(
        deploy_batch(), {**models("1", "2"), **batch("2")}, given=(registered("1"), deploy_batch(), registered("2"))
    ),
    "a failed batch deployment leaves the default alone": Case(
        deploy_batch(),
        {**models("1", "2"), **batch("1")},
        given=(registered("1"), deploy_batch(), registered("2"), failing("create batch deployment")),
        fails="not now",
    ),
    "a failed batch endpoint leaves none": Case(
        deploy_batch(),
        models("1"),
        given=(registered("1"), failing("create batch endpoint")),
        fails="not now",
    ),
}


def registry(**versions: State) -> State:
    """The registry, which is there for all regions of the configuration."""
    regions = ["westeurope", "northeurope"]
    return {"registries": {"the-registry": {"home": "westeurope", "regions": regions, "versions": versions}}}


def in_registry(play: Play, **tags: str) -> State:
    """The registry with version 1 in it, and the workspace that it came from."""
    return {**models("1", sha256=play.sha256), **registry(**{"1": tags})}


PROMOTION_CASES = {
    "a promotion copies the model and lets the target use it": Case(
        promote("dev", "test"), given=(trained,), leaves=lambda play: in_registry(play, promoted_test=play.sha256)
    ),
    "what was promoted is deployed from the registry": Case(
        deploy("test"),
        given=(promoted,),
        leaves=lambda play: {
            **in_registry(play, promoted_test=play.sha256),
            **online({"blue": 100}, "test", blue=served("the-registry/1", 1, "test")),
        },
    ),
    "a model reaches prod from test": Case(
        promote("test", "prod"),
        given=(promoted,),
        leaves=lambda play: in_registry(play, promoted_test=play.sha256, promoted_prod=play.sha256),
    ),
    "what was promoted to prod is deployed there": Case(
        deploy("prod", model_version="1", sha256=True),
        given=(promoted, promote("test", "prod")),
        leaves=lambda play: {
            **in_registry(play, promoted_test=play.sha256, promoted_prod=play.sha256),
            **online({"blue": 100}, "prod", blue=served("the-registry/1", 1, "prod")),
        },
    ),
    "a copy that was never compared is not deployed": Case(
        deploy("test", model_version="1"),
        given=(trained, failing("download model"), lambda play: failure(play, promote("dev", "test"))),
        leaves=lambda play: in_registry(play),
        fails="was not promoted to test: run `uv run mlops promote --to test --model-version 1`",
    ),
    "an environment that takes no models from a registry is no target": Case(
        promote("dev", "dev"), models("1"), given=(registered("1"),), fails="takes no models from a registry"
    ),
    "an unknown environment is no target": Case(
        promote("dev", "up"), models("1"), given=(registered("1"),), fails="unknown environment 'up'"
    ),
    "both sides of a promotion use one registry": Case(
        promote("dev", "test"),
        models("1"),
        given=(registered("1"), lambda play: play.configure("test", "names", registry="another")),
        fails="names another registry",
    ),
    "what was not promoted is not deployed": Case(
        deploy("prod", model_version="1", sha256=True),
        given=(promoted,),
        leaves=lambda play: in_registry(play, promoted_test=play.sha256),
        fails="was not promoted to prod: run `uv run mlops promote --to prod --model-version 1`",
    ),
    "a copy with other files is rejected": Case(
        promote("dev", "test"),
        given=(another_copy,),
        leaves=lambda play: in_registry(play, rejected="true"),
        fails="is not the model that was trained",
        again=False,
    ),
    "a rejected copy is not promoted again": Case(
        promote("dev", "test"),
        given=(another_copy, lambda play: failure(play, promote("dev", "test"))),
        leaves=lambda play: in_registry(play, rejected="true"),
        fails="was rejected in registry the-registry",
    ),
    "a copy that cannot be compared is not usable": Case(
        promote("dev", "test"),
        given=(trained, failing("download model")),
        leaves=lambda play: in_registry(play),
        fails="not now",
    ),
    "a copy that failed at the end is found by the next promotion": Case(
        promote("dev", "test"),
        given=(
            trained,
            failing("share model", after=True),
            lambda play: failure(play, promote("dev", "test")),
            lambda play: play.cloud.works_again(),
        ),
        leaves=lambda play: in_registry(play, promoted_test=play.sha256),
        says="is in registry the-registry already",
    ),
    "a model without a hash is not promoted": Case(
        promote("dev", "test"), models("1"), given=(registered("1"),), fails="has no tag sha256"
    ),
    "a rollback in test rejects the copy in the registry": Case(
        lambda play: verbs.rollback(play.session("test")),
        given=(
            promoted,
            deploy("test"),
            lambda play: play.cloud.register("2", sha256=play.sha256),
            promote("dev", "test"),
            deploy("test"),
        ),
        leaves=lambda play: {
            **models("1", "2", sha256=play.sha256),
            **registry(
                **{"1": {"promoted_test": play.sha256}, "2": {"promoted_test": play.sha256, "rejected_test": "true"}}
            ),
            **online({"blue": 100}, "test", blue=served("the-registry/1", 3, "test")),
        },
        again=False,
    ),
}

SCHEDULE_CASES = {
    "the monitor watches what serves with the thresholds of the project": Case(
        in_dev(verbs.monitor),
        {**NEW_SERVES, "schedules": {"a-model-monitor": monitor("green")}},
        given=(serving, deploy()),
    ),
    "the monitor leaves out the calendar and a second metric": Case(
        in_dev(verbs.monitor),
        {**OLD_SERVES, "schedules": {"a-model-monitor": monitor("blue", features=["x"])}},
        given=(serving, with_a_calendar),
    ),
    "alerts go to the configured addresses": Case(
        lambda play: verbs.monitor(play.session("dev")),
        {
            **OLD_SERVES,
            "schedules": {"a-model-monitor": monitor("blue", ["a@example.com", "b@example.com"])},
        },
        given=(
            serving,
            lambda play: play.configure("dev", "monitor", alert_emails=["a@example.com", "b@example.com"]),
        ),
    ),
    "a monitor that a broken teardown has switched off watches again": Case(
        in_dev(verbs.monitor),
        {**OLD_SERVES, "schedules": {"a-model-monitor": monitor("blue")}},
        given=(serving, in_dev(verbs.monitor), switched_off),
    ),
    "there is nothing to watch before a deployment": Case(
        in_dev(verbs.monitor), fails="run `uv run mlops deploy-online --environment dev` first"
    ),
    "a monitor that cannot be created leaves none": Case(
        in_dev(verbs.monitor), OLD_SERVES, given=(serving, failing("create schedule")), fails="not now"
    ),
    "training deletes the schedule that an older release made in Azure": Case(
        train(),
        {"data": DATA, "jobs": [job(), job()]},
        given=(WORSE, train(), scheduled_before),
        says="Deleted schedule a-model-retraining",
        again=False,
    ),
    "a teardown deletes endpoints and schedules and keeps data, jobs and models": Case(
        in_dev(verbs.teardown), {"data": DATA, "jobs": [job("Running")], **models("1", "2")}, given=(everything,)
    ),
    "a teardown of nothing deletes nothing": Case(in_dev(verbs.teardown)),
}

CASES = {**TRAINING_CASES, **TUNING_CASES, **ONLINE_CASES, **BATCH_CASES, **PROMOTION_CASES, **SCHEDULE_CASES}


def failure(play: Play, action: Action) -> str:
    """Run what must fail and return its one line."""
    with pytest.raises(UserError) as error:
        action(play)
    assert "\n" not in str(error.value)
    return str(error.value)


def left(play: Play, case: Case) -> State:
    """What is in Azure after a case."""
    leaves = case.leaves(play) if callable(case.leaves) else case.leaves
    return {**EMPTY, **leaves}


# Where a version does it in its own way.


@dataclass(frozen=True)
class Difference:
    """Why a version differs: its names for what others call so, what its pipelines have more, and cases of its own."""

    why: str
    names: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, set[str]] = field(default_factory=dict)
    cases: Mapping[str, Case] = field(default_factory=dict)


COMPARING = {
    "a-model-monitor": {
        "enabled": True,
        "cron": "0 6 * * *",
        "time zone": "UTC",
        "compares the newest": ["production-data", "training-data"],
        "runs": ["python -m package.prep", "python -m package.drift"],
    }
}
DIFFERENCES = {
    "rai-aml-cli-v2": Difference(
        why="Responsible AI analyses the registered model, in steps after those that all versions have",
        more={"steps": {"responsible_ai"}, "outputs": {"dashboard"}}
        if TORCH
        else {
            "steps": {"analysis", "insights", "explain", "errors", "what_if", "causes", "gather", "score_card"},
            "inputs": {
                "title",
                "task_type",
                "target",
                "categories",
                "desired_range",
                "features_to_vary",
                "treatments",
            },
            "outputs": {"dashboard", "score_card"},
        },
    ),
    "python-sdk-v1": Difference(
        why="SDK v1 has File datasets, under names that SDK v2 leaves free; its pipelines have no outputs of their "
        "own, so those of all steps count; it cannot watch a deployment, so its monitor compares datasets",
        names={"training_dataset": "training-data", "production_dataset": "production-data"},
        more={"outputs": {"train_data", "test_data", *({"checkpoints"} if TORCH else set())}},
        cases={
            name: replace(SCHEDULE_CASES[name], leaves={**serves, "data": DATA, "schedules": COMPARING})
            for name, serves in {
                "the monitor watches what serves with the thresholds of the project": NEW_SERVES,
                "the monitor leaves out the calendar and a second metric": OLD_SERVES,
                "alerts go to the configured addresses": OLD_SERVES,
                "a monitor that a broken teardown has switched off watches again": OLD_SERVES,
            }.items()
        }
        | {
            name: replace(SCHEDULE_CASES[name], leaves={**OLD_SERVES, "data": DATA})
            for name in ["a monitor that cannot be created leaves none"]
        },
    ),
}
# A project with Responsible AI calls its version aml-cli-v2, because its commands are the same.
VERSION = ANSWERS["mlops_version"]
DIFFERENCE = DIFFERENCES.get(VERSION, Difference(why=""))


# The delivery of a model, and the way back.


def watching(deployment: str) -> State:
    """The monitor of a deployment, with what it needs."""
    if "python-sdk-v1" in VERSION:
        return {"data": DATA, "schedules": COMPARING}
    return {"schedules": {"a-model-monitor": monitor(deployment)}}


def deliver(environment: str = "dev", **options: Any) -> Action:
    """Deliver a model; `sha256=True` names the hash of its files."""
    return lambda play: verbs.deliver(play.session(environment), **with_hash(play, options))


def then(target: str) -> Action:
    """Dev passes its models on."""
    return lambda play: set_section(play.project.root / "config" / "dev.yml", "delivery", {"next": target})


def set_section(file: Path, name: str, section: object) -> None:
    write_yaml(file, {**load_yaml(file), name: section})


def other_code(play: Play) -> None:
    """The scoring script is another one."""
    file = play.project.root / "data-science" / "src" / play.project.package / "score.py"
    file.write_text(file.read_text(encoding="utf-8") + "CHANGED = True\n", encoding="utf-8")


def deployed_by_an_older_release(play: Play) -> None:
    """Version 1 is served by a deployment without a fingerprint."""
    play.cloud.register("1")
    with mock.patch("mlops.verbs.online.fingerprint", return_value=""):
        verbs.deploy_online(play.dev)


def rolled_back(play: Play) -> None:
    """Version 2 served, and version 1 serves again."""
    serving(play)
    verbs.deploy_online(play.dev)
    verbs.rollback(play.dev)


def sharing(**shares: int) -> Action:
    return lambda play: play.cloud.share_traffic(**shares)


def failed(action: Action) -> Action:
    """This fails, and then Azure works again."""

    def act(play: Play) -> None:
        failure(play, action)
        play.cloud.works_again()

    return act


def delivered(play: Play, **tags: str) -> State:
    """Version 1 is delivered to dev."""
    return {
        **models("1", sha256=play.sha256, **tags),
        **online({"blue": 100}, blue=served("1", 1)),
        **batch("1"),
        **watching("blue"),
    }


PINNED = {
    "models": {"1": {"pinned_dev": "true"}, "2": {}},
    **online({"blue": 100}, blue=served("1", 3)),
    **batch("1"),
}
DELIVERY_CASES = {
    "a delivery deploys for single requests and for files and sets up the monitor": Case(
        deliver(), delivered, given=(trained,)
    ),
    "a delivery compares the files with the hash that was named": Case(
        deliver(model_version="1", sha256=True), delivered, given=(trained,), says="is the model that was named"
    ),
    "a delivery of other files than those that were named changes nothing": Case(
        deliver(model_version="1", sha256="0" * 64),
        lambda play: models("1", sha256=play.sha256),
        given=(trained,),
        fails="is not the model that was named",
    ),
    "a tag alone opens nothing": Case(
        deliver("test", model_version="1"),
        lambda play: in_registry(play, promoted_test="0" * 64),
        given=(
            promoted,
            lambda play: play.session("test").backend.tag_model(
                ModelVersion("1", registry="the-registry"), {"promoted_test": "0" * 64}
            ),
        ),
        fails="is not the model that was named",
    ),
    "a protected environment is told which model it gets": Case(
        deliver("prod"),
        lambda play: in_registry(play, promoted_prod=play.sha256, promoted_test=play.sha256),
        given=(promoted, promote("test", "prod")),
        fails="`uv run mlops models --environment prod` shows both",
    ),
    "a delivery that broke off is completed by the next one": Case(
        deliver(),
        delivered,
        given=(trained, failing("create batch deployment"), failed(deliver())),
        says="blue already serves version 1: nothing to deploy",
    ),
    "a delivery deletes a monitor that the configuration has switched off": Case(
        deliver(),
        lambda play: {name: state for name, state in delivered(play).items() if name != "schedules"},
        given=(trained, deliver(), lambda play: play.configure("dev", "monitor", enabled=False)),
        says="Deleted schedule",
    ),
    "a delivery passes the model on to the next environment": Case(
        deliver(),
        lambda play: {**delivered(play), **in_registry(play, promoted_test=play.sha256)},
        given=(trained, then("test")),
    ),
    "a promotion that failed is completed by the next delivery": Case(
        deliver(),
        lambda play: {**delivered(play), **in_registry(play, promoted_test=play.sha256)},
        given=(trained, then("test"), failing("share model"), failed(deliver())),
    ),
    "what the next environment has rejected stays here": Case(
        deliver(),
        lambda play: {**delivered(play), **in_registry(play, promoted_test=play.sha256, rejected_test="true")},
        given=(
            promoted,
            then("test"),
            lambda play: play.session("test").backend.tag_model(
                ModelVersion("1", registry="the-registry"), {"rejected_test": "true"}
            ),
        ),
        says="The model stays in dev: version 1 was rejected in test",
    ),
    "a late delivery does not go back to an older version": Case(
        deliver(model_version="1"),
        NEW_SERVES,
        given=(serving, deploy()),
        fails="dev serves version 2, which is newer than 1",
    ),
    "a pin keeps an older version": Case(
        deliver(model_version="1", pin=True), {**PINNED, **watching("blue")}, given=(serving, deploy())
    ),
    "a delivery changes nothing where another version is pinned": Case(
        deliver(model_version="2"),
        {**PINNED, **watching("blue")},
        given=(serving, deploy(), deliver(model_version="1", pin=True)),
        says="dev is pinned to version 1",
    ),
    "a pin moves to another version": Case(
        deliver(model_version="2", pin=True),
        {
            "models": {"1": {"pinned_dev": "false"}, "2": {"pinned_dev": "true"}},
            **online({"green": 100}, green=served("2", 4)),
            **batch("2"),
            **watching("green"),
        },
        given=(serving, deploy(), deliver(model_version="1", pin=True)),
    ),
    "a pin ends": Case(
        deliver(unpin=True),
        {
            "models": {"1": {"pinned_dev": "false"}, "2": {}},
            **online({"green": 100}, green=served("2", 4)),
            **batch("2"),
            **watching("green"),
        },
        given=(serving, deploy(), deliver(model_version="1", pin=True)),
        says="dev is not pinned to a version",
    ),
    "a rollout that fails leaves no pin": Case(
        deliver(model_version="1", pin=True),
        {"models": {"1": {"pinned_dev": "false"}, "2": {}}, **online({"green": 100}, green=served("2", 2))},
        given=(serving, deploy(), failing("create deployment", "blue")),
        fails="version 1 was not deployed, green still has all traffic",
    ),
    "a held delivery moves no traffic and says how it goes on": Case(
        deliver(hold=True),
        {**models("1", "2"), **online({"blue": 100}, **BOTH)},
        given=(serving,),
        says="`uv run mlops deliver --environment dev --abort --hold` ends it",
        again=False,
    ),
    "a held delivery is completed when it has all traffic": Case(
        deliver(),
        {**NEW_SERVES, **batch("2"), **watching("green")},
        given=(serving, deliver(hold=True), shift(100)),
        says="green already serves version 2",
    ),
    "an end of a rollout removes what was held when that is meant": Case(
        lambda play: verbs.abort(play.dev, held=True), OLD_SERVES, given=(held,)
    ),
    "an end of a rollout leaves what another one holds": Case(
        in_dev(verbs.abort),
        {**models("1", "2"), **online({"blue": 100}, **BOTH)},
        given=(held,),
        says="green is held with version 2: `uv run mlops deliver --environment dev --abort --hold` removes it",
    ),
    "a delivery of what serves leaves what is held": Case(
        deploy(model_version="1"),
        {**models("1", "2"), **online({"blue": 90, "green": 10}, **BOTH)},
        given=(held, shift(10)),
        says="green stays as it is: it is held with version 2",
    ),
    "an end of a rollout returns all traffic": Case(
        in_dev(verbs.abort), OLD_SERVES, given=(killed, sharing(blue=90, green=10)), says="blue has all traffic"
    ),
    "an end of a rollout returns all traffic of a canary with most of it": Case(
        in_dev(verbs.abort), OLD_SERVES, given=(killed, sharing(blue=40, green=60)), says="blue has all traffic"
    ),
    "a rollout begins at what served before a canary with most of the traffic": Case(
        deploy(),
        {**models("1", "2"), **online({"green": 100}, green=served("2", 3))},
        given=(killed, sharing(blue=40, green=60)),
    ),
    "a rollout of what was held before is none that is held": Case(
        in_dev(verbs.abort),
        OLD_SERVES,
        given=(held, lambda play: verbs.abort(play.dev, held=True), killed_rollout),
        says="blue has all traffic; green, whose rollout was not completed, is removed",
    ),
    "an end of a rollout leaves a completed one": Case(
        in_dev(verbs.abort),
        {**models("1", "2"), **online({"green": 100}, **BOTH)},
        given=(held, shift(100)),
        says="No rollout is in progress",
    ),
    "an end of no rollout changes nothing": Case(
        in_dev(verbs.abort), OLD_SERVES, given=(serving,), says="No rollout is in progress"
    ),
    "an end where there is no endpoint changes nothing": Case(in_dev(verbs.abort), says="No rollout is in progress"),
    "an end of a first rollout leaves an empty endpoint": Case(
        in_dev(verbs.abort), {**models("1"), **online({})}, given=(registered("1"), deploy(), sharing(blue=0))
    ),
    "an end of a rollout that cannot remove the new deployment returns the traffic": Case(
        in_dev(verbs.abort),
        {**models("1", "2"), **online({"blue": 100}, **BOTH)},
        given=(killed, sharing(blue=90, green=10), failing("delete deployment")),
        fails="blue has all traffic, but green could not be removed",
    ),
    "other scoring code is a deployment of the same version": Case(
        deploy(),
        {**models("1"), **online({"green": 100}, green=served("1", 2))},
        given=(registered("1"), deploy(), other_code),
    ),
    "what an older release deployed is deployed once more": Case(
        deploy(),
        {**models("1"), **online({"green": 100}, green=served("1", 2))},
        given=(deployed_by_an_older_release,),
        says="is of a release that did not note what it deployed",
    ),
    "a rolled back version is not delivered again": Case(
        deliver(model_version="2"),
        BACK_TO_1,
        given=(rolled_back,),
        fails="was rejected in dev: choose another one, or take that back with `uv run mlops models",
    ),
    "a rolled back version is not the newest one": Case(
        deliver(), {**BACK_TO_1, **batch("1"), **watching("blue")}, given=(rolled_back,)
    ),
    "a second rollback goes one version further back": Case(
        in_dev(verbs.rollback),
        {
            "models": {"1": {}, "2": {"rejected_dev": "true"}, "3": {"rejected_dev": "true"}},
            **online({"blue": 100}, blue=served("1", 5)),
        },
        given=(serving, deploy(), registered("3"), deploy(), in_dev(verbs.rollback)),
        again=False,
    ),
    "a rollback goes to what served before and not to the number before": Case(
        in_dev(verbs.rollback),
        {
            "models": {"1": {}, "2": {}, "3": {}, "4": {"rejected_dev": "true"}},
            **online({"green": 100}, green=served("2", 4)),
        },
        given=(
            serving,
            deploy(),
            registered("3", "4"),
            deploy(),
        ),
        again=False,
    ),
    "a rollback goes to the version that was named": Case(
        lambda play: verbs.rollback(play.dev, model_version="1"),
        {
            "models": {"1": {}, "2": {"rejected_dev": "true"}, "3": {"rejected_dev": "true"}},
            **online({"green": 100}, green=served("1", 4)),
        },
        given=(serving, deploy(), registered("3"), deploy()),
    ),
    "a rollback that broke off is completed and does not turn round": Case(
        in_dev(verbs.rollback),
        BACK_TO_1,
        given=(serving, deploy(), failing("delete deployment", "green"), failed(in_dev(verbs.rollback))),
        again=False,
    ),
    "a rollback takes the batch endpoint and the monitor along": Case(
        in_dev(verbs.rollback),
        {**BACK_TO_1, **batch("1"), **watching("blue")},
        given=(serving, deliver()),
        again=False,
    ),
    "a rejection is taken back": Case(
        lambda play: verbs.list_models(play.dev, accept="2"),
        {**BACK_TO_1, "models": {"1": {}, "2": {"rejected_dev": "false"}}},
        given=(rolled_back,),
        says="Version 2 may be used in dev again",
    ),
    "a rejection that holds everywhere is not taken back": Case(
        lambda play: verbs.list_models(play.dev, accept="1"),
        models("1", rejected="true"),
        given=(registered("1", rejected="true"),),
        fails="which holds everywhere",
    ),
}

CASES |= DELIVERY_CASES

# A delivery, its way back and its end are made of the operations that the other cases try in each version; how they
# are put together is the same in all, and tried where a command of Azure takes no time.
OF_OTHER_OPERATIONS = [
    "a delivery deploys for single requests and for files and sets up the monitor",
    "a delivery of other files than those that were named changes nothing",
    "a delivery deletes a monitor that the configuration has switched off",
    "a delivery passes the model on to the next environment",
    "a pin moves to another version",
    "a rollout that fails leaves no pin",
    "an end of a rollout returns all traffic",
    "an end of a first rollout leaves an empty endpoint",
    "a rollback takes the batch endpoint and the monitor along",
]
"""The cases of deliveries for the clients that take half a second for what `az` of these tests does at once."""


def seen(play: Play) -> State:
    """What is in Azure, in the common names and without what only this version has."""
    text = json.dumps(play.cloud.state())
    for own, common in DIFFERENCE.names.items():
        text = text.replace(f'"{own}', f'"{common}')
    state: State = json.loads(text)
    for versions in [state["models"], *(each["versions"] for each in state["registries"].values())]:
        for version, tags in versions.items():
            # When a version was deployed, how far its delivery came, with what it was passed on, and which rollback is
            # in progress have tests of their own; what is held is seen by what becomes of it.
            ends = ("deployed_", "delivered_", "held_", "leaving_", "passed_")
            kept = {tag: value for tag, value in tags.items() if not tag.startswith(ends) and tag != OWNER}
            versions[version] = kept
    for found in state["jobs"]:
        for kind, names in DIFFERENCE.more.items():
            # A search has only some of what a training has more.
            assert "tune" in found["steps"] or names <= set(found[kind]), f"the {kind} lack some of {names}"
            kept = [name for name in found[kind] if name not in names]
            found[kind] = kept if isinstance(found[kind], list) else {name: found[kind][name] for name in kept}
    return state


def test_each_difference_is_one_of_a_case_in_the_table() -> None:
    assert {name for difference in DIFFERENCES.values() for name in difference.cases} <= CASES.keys()


# What a verb sends is made of the definitions; what it does with Azure's answers is the same for all of a version.
OF_DEFINITIONS = [
    "training pins the data and says what became of the model",
    "overrides reach the steps that know settings",
    "a search is followed by a training with its best hyperparameters",
    "overrides and another number of trials reach a search, and the overrides the training",
    "a search without a training trains nothing",
    "the first deployment creates the endpoint and gets all traffic",
    "a rollout replaces the old deployment",
    "a held rollout moves no traffic",
    "a smoke test of valid predictions passes",
    "a batch deployment replaces the one before",
    "what was promoted is deployed from the registry",
    "what was promoted to prod is deployed there",
    "the monitor watches what serves with the thresholds of the project",
    "the monitor leaves out the calendar and a second metric",
    "a teardown deletes endpoints and schedules and keeps data, jobs and models",
]
"""The cases for projects of a version whose client the other cases try with other definitions."""

ALIKE_FOR_TORCH = {
    "a search without a training trains nothing",
    "a held rollout moves no traffic",
    "a smoke test of valid predictions passes",
    "what was promoted is deployed from the registry",
    "the monitor watches what serves with the thresholds of the project",
    "the monitor leaves out the calendar and a second metric",
    "a teardown deletes endpoints and schedules and keeps data, jobs and models",
}
"""Those of them in which no definition, or none that another case tries, depends on whether PyTorch trains."""

DECIDED_BY_THE_VERB = {
    "training says when the champion stays",
    "a second training uploads no data",
    "a failed job is a failed verb",
    "a canceled job is a failed verb",
    "training without waiting ends after the start",
    "a search without waiting ends after the start",
    "hyperparameters whose model is not registered are not saved",
    "a served version is deployed again by force",
    "a held rollout is replaced by a second one",
    "the newest version is the highest number that is not rejected",
    "an unknown version is answered with the known ones",
    "a rejected version is refused",
    "all traffic goes to the newer one",
    "traffic cannot be shared with one deployment",
    "a rollback goes to the older one whatever its colour",
    "a rollback of the same version rejects no model",
    "a rollback after a completed rollout deploys the version before it again",
    "a rollback with nothing before says so",
    "a smoke test of nonsense fails",
}
"""The cases in which a client is asked for nothing, and answers nothing, that it does not in another case.

What a verb makes of the answers does not depend on who brings them: `az`, which takes no time here, tries these.
"""

SAME_CLIENT = TORCH or ANSWERS["mlops_version"] == "rai-aml-cli-v2"


def test_each_case_of_definitions_is_one_of_the_table() -> None:
    assert set(OF_DEFINITIONS) <= CASES.keys()
    assert set(OF_DEFINITIONS) > ALIKE_FOR_TORCH
    assert set(OF_OTHER_OPERATIONS) <= DELIVERY_CASES.keys()
    assert CASES.keys() > DECIDED_BY_THE_VERB
    assert not DECIDED_BY_THE_VERB & {*OF_DEFINITIONS}


# The client of SDK v1 is that of SDK v2 where online endpoints, models and registries are concerned.
OF_THE_OTHER_CLIENT = re.compile("online|traffic|invoke|metrics|log|model|registr|^_(list|change|call|management)$")
INHERITED = {*ONLINE_CASES, *PROMOTION_CASES} - {*OF_DEFINITIONS}
OF_OWN_OPERATIONS = [
    "a delivery deploys for single requests and for files and sets up the monitor",
    "a delivery deletes a monitor that the configuration has switched off",
    "a rollback takes the batch endpoint and the monitor along",
]
"""The cases of deliveries with what the client of SDK v1 does in its own way."""

inherited = pytest.mark.skipif(VERSION == "python-sdk-v1", reason="its online endpoints are those of SDK v2's client")


@pytest.mark.skipif(VERSION != "python-sdk-v1", reason="only its client is made of another one")
def test_the_operations_that_are_tried_with_the_other_client_are_those_of_the_other_client() -> None:
    client = importlib.import_module("mlops.azureml.python_sdk_v1").PythonSdkV1
    (parent,) = client.__bases__
    shared = {name for name in vars(parent) if OF_THE_OTHER_CLIENT.search(name)}
    assert {
        "set_traffic",
        "create_online_deployment",
        "request_metrics",
        "share_model",
        "registries",
        "_call",
    } <= shared
    assert not shared & vars(client).keys()


def chosen() -> list[str]:
    """The cases that a project of this version runs."""
    if SAME_CLIENT:
        return [name for name in OF_DEFINITIONS if not (TORCH and name in ALIKE_FOR_TORCH)]
    deliveries = {"aml-cli-v2": [*DELIVERY_CASES], "python-sdk-v1": OF_OWN_OPERATIONS}.get(VERSION, OF_OTHER_OPERATIONS)
    left_out = DELIVERY_CASES.keys() - {*deliveries} | (INHERITED if VERSION == "python-sdk-v1" else set())
    if VERSION != "aml-cli-v2":
        left_out |= DECIDED_BY_THE_VERB
    return [name for name in CASES if name not in left_out]


@pytest.mark.parametrize("name", chosen())
def test_a_verb_leaves_in_azure_what_the_table_says_also_when_it_runs_again(
    play: Play, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    case = DIFFERENCE.cases.get(name, CASES[name])
    for action in case.given:
        action(play)
    capfd.readouterr()
    carry_out(play, case)
    assert case.says in capfd.readouterr().out
    assert seen(play) == left(play, case)
    if case.again:
        carry_out(play, case)
        assert seen(play) == left(play, case)


def carry_out(play: Play, case: Case) -> None:
    """Do what a case is about and look at its error."""
    if case.fails:
        assert case.fails in failure(play, case.does)
    else:
        case.does(play)


def test_what_was_delivered_completely_leaves_nothing_to_do(play: Play) -> None:
    trained(play)
    then("test")(play)
    deliver()(play)
    session = play.session("dev")
    assert left_to_do(session, find_candidate(session, None, "", Options())) == []
    rows = session.project.root / "data" / "raw" / "rows.csv"
    rows.write_text(rows.read_text(encoding="utf-8") + "1,1.5\n", encoding="utf-8")
    left = left_to_do(session, find_candidate(session, None, "", Options()))
    # Where the project's own data is compared, the monitor needs the newest.
    assert left == (["the monitor is set up as the configuration says"] if session.backend.monitors_data else [])


# Workspaces of another owner, and those behind a private network.

KINDS: dict[Kind, State] = {"existing": {"identity": ["system-assigned"]}, "closed": {"public": False}}
"""What the online endpoint has there instead."""

ELSEWHERE = [
    "training pins the data and says what became of the model",
    "the first deployment creates the endpoint and gets all traffic",
    "a rollout replaces the old deployment",
    "a rollback gives the older one all traffic and rejects the newer model",
    "a smoke test of valid predictions passes",
    "a batch deployment replaces the one before",
    "a promotion copies the model and lets the target use it",
    "what was promoted to prod is deployed there",
    "a copy with other files is rejected",
    "a rejected copy is not promoted again",
    "the monitor watches what serves with the thresholds of the project",
    "training deletes the schedule that an older release made in Azure",
    "a teardown deletes endpoints and schedules and keeps data, jobs and models",
]


OF_THE_VERB = {
    "a rollout replaces the old deployment",
    "a smoke test of valid predictions passes",
    "a rollback gives the older one all traffic and rejects the newer model",
    "a copy with other files is rejected",
    "a rejected copy is not promoted again",
    "training deletes the schedule that an older release made in Azure",
}
"""Those of them in which no client does anything that it does not do in another one."""


@pytest.mark.parametrize(
    "name", [name for name in ELSEWHERE if VERSION == "aml-cli-v2" or name in {*chosen()} - OF_THE_VERB]
)
@pytest.mark.parametrize(("project", "differs"), KINDS.items(), ids=KINDS, indirect=["project"])
def test_a_verb_does_the_same_in_the_workspaces_of_others_and_in_closed_ones(
    play: Play, name: str, differs: State
) -> None:
    case = DIFFERENCE.cases.get(name, CASES[name])
    play.cloud.build_registry()
    for action in case.given:
        action(play)
    carry_out(play, case)
    leaves = {**left(play, case), **({} if left(play, case)["registries"] else registry())}
    online = copy.deepcopy({endpoint: {**content, **differs} for endpoint, content in leaves["online"].items()})
    if "identity" in differs and TORCH:  # the storage account of others has no name in the configuration
        for deployment in (each for content in online.values() for each in content["deployments"].values()):
            deployment["variables"] = {"WORKER_COUNT": "2", "MLOPS_STORAGE_HOSTS": ""}
    assert seen(play) == {**leaves, "online": online}


def test_the_first_promotion_creates_the_registry_in_the_group_that_no_environment_deletes(
    play: Play, capsys: pytest.CaptureFixture[str]
) -> None:
    case = CASES["a promotion copies the model and lets the target use it"]
    for name in ("dev", "test"):
        play.configure(name, "names", registry_resource_group="rg-shared")
    for action in case.given:
        action(play)
    if azure := getattr(play.cloud, "azure", None):
        assert "run `uv run mlops bootstrap --environment dev`" in failure(play, case.does)
        azure.groups.add("rg-shared")
    carry_out(play, case)
    place = fake_azure.registries(azure)["the-registry"]["id"] if azure else capsys.readouterr().out
    assert ("/resourceGroups/rg-shared/" if azure else "--name the-registry --resource-group rg-shared") in place


@pytest.mark.parametrize("verb", ["train", "deploy-online", "deploy-batch", "promote", "monitor", "teardown"])
@pytest.mark.parametrize("project", ["existing"], indirect=True)
def test_a_workspace_of_others_that_is_not_there_is_not_to_be_provisioned(play: Play, verb: str) -> None:
    play.cloud.break_down("no workspace")
    message = failure(play, in_dev(VERBS[verb]))
    assert "correct names.workspace and names.resource_group in config/dev.yml" in message
    assert "provision" not in message


@pytest.mark.parametrize("project", ["existing"], indirect=True)
def test_a_registry_of_others_is_never_created(play: Play) -> None:
    trained(play)
    message = failure(play, promote("dev", "test"))
    assert "there is no registry the-registry for you: correct names.registry in config/dev.yml" in message
    assert seen(play)["registries"] == {}


CLOSED = pytest.mark.parametrize("project", ["closed"], indirect=True)


@CLOSED
def test_no_open_registry_is_created_for_a_closed_environment(play: Play) -> None:
    trained(play)
    message = failure(play, promote("dev", "test"))
    assert "dev, test, prod cannot reach a registry that promote would create: choose the add-on model-reg" in message
    assert "'add_ons=[private-network, model-registry]'" in message
    assert seen(play)["registries"] == {}


@CLOSED
def test_azure_shares_no_model_out_of_a_closed_workspace(play: Play) -> None:
    play.cloud.build_registry()
    trained(play)
    assert "closed" in failure(play, lambda play: play.dev.backend.share_model("1", "the-registry"))
    assert seen(play) == {**EMPTY, **models("1", sha256=play.sha256), **registry()}


@CLOSED
@pytest.mark.parametrize("after", [False, True], ids=["before it is there", "when it is there"])
def test_a_promotion_out_of_a_closed_workspace_that_broke_off_is_repeated(
    play: Play, after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = play.folder / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    play.cloud.build_registry()
    trained(play)
    play.cloud.fail("create model", after=after)
    assert "not now" in failure(play, promote("dev", "test"))
    assert seen(play) == {**EMPTY, **in_registry(play), **({} if after else registry())}
    play.cloud.works_again()
    verbs.promote(play.dev, "test")
    assert seen(play) == {**EMPTY, **in_registry(play, promoted_test=play.sha256)}
    assert not list(temporary.iterdir())


@CLOSED
def test_a_dry_run_shows_how_a_model_leaves_a_closed_workspace(
    project: Project, cloud: Cloud, capfd: pytest.CaptureFixture[str]
) -> None:
    VERBS["promote"](Session.open("dev", dry_run=True, root=project.root))
    calls = re.findall(r"models?[ .](share|download|create)\w*(.*)", capfd.readouterr().out)
    first, second, third, *_ = [(call, "the-registry" in where) for call, where in calls]
    assert (first, second, third) == (("download", False), ("create", True), ("download", True))


@pytest.mark.parametrize("project", ["with a registry"], indirect=True)
def test_a_registry_that_the_infrastructure_builds_is_not_created_by_a_promotion(play: Play) -> None:
    trained(play)
    message = failure(play, promote("dev", "test"))
    assert "there is no registry the-registry yet: run `uv run mlops provision --environment dev`" in message
    assert seen(play)["registries"] == {}


def of_client(cases: Mapping[str, tuple[Any, Any]], *names: str) -> pytest.MarkDecorator:
    """Run a test with all cases for `az`, and for another client with those of them that ask it for something else.

    What a verb makes of an answer or a failure does not depend on who brings it.
    """
    chosen = cases if VERSION == "aml-cli-v2" else {name: cases[name] for name in names}
    return pytest.mark.parametrize(("given", "expected"), chosen.values(), ids=chosen)


# A rollout that fails: at each step, before and after Azure has done what it was asked for.

BOTH_THERE = {**models("1", "2"), **online({"green": 100}, **BOTH)}
ROLLOUTS: dict[str, tuple[Action, State]] = {
    "creation": (failing("create deployment", "green"), OLD_SERVES),
    "creation, done all the same": (failing("create deployment", "green", after=True), OLD_SERVES),
    "smoke test": (failing("invoke"), OLD_SERVES),
    "smoke test, answered all the same": (failing("invoke", after=True), OLD_SERVES),
    "prediction out of range": (predicting(1e9, "green"), OLD_SERVES),
    "prediction not a number": (predicting(float("nan"), "green"), OLD_SERVES),
    "prediction of text": (predicting("late", "green"), OLD_SERVES),
    "prediction of nothing": (predicting(None, "green"), OLD_SERVES),
    "canary": (failing("set traffic", "blue=90 green=10"), OLD_SERVES),
    "canary, done all the same": (failing("set traffic", "blue=90 green=10", after=True), OLD_SERVES),
    "full traffic": (failing("set traffic", "green=100"), OLD_SERVES),
    "full traffic, done all the same": (failing("set traffic", "green=100", after=True), OLD_SERVES),
}


@of_client(ROLLOUTS, "creation", "smoke test", "prediction not a number", "canary, done all the same", "full traffic")
@inherited
def test_a_failed_rollout_leaves_the_old_deployment_with_all_traffic(
    play: Play, given: Action, expected: State
) -> None:
    serving(play)
    given(play)
    assert "version 2 was not deployed, blue still has all traffic" in failure(play, deploy())
    assert seen(play) == {**EMPTY, **expected}
    play.cloud.works_again()
    play.cloud.predict(5.0, "green")
    verbs.deploy_online(play.dev)
    assert seen(play) == {**EMPTY, **NEW_SERVES}


@inherited
def test_a_failed_creation_shows_the_log_of_the_new_deployment(play: Play, capfd: pytest.CaptureFixture[str]) -> None:
    serving(play)
    play.cloud.fail("create deployment", "green", after=True)
    failure(play, deploy())
    assert "log of green" in capfd.readouterr().out


def interrupted(play: Play) -> None:
    """Ctrl-C."""
    raise KeyboardInterrupt


BAKES: dict[str, tuple[Action, str]] = {
    "interrupted": (interrupted, "blue still has all traffic: interrupted"),
    "canary gone wrong": (predicting(1e9, "green"), "blue still has all traffic: the smoke test of green failed"),
    "canary out of reach": (failing("invoke"), "blue still has all traffic"),
}


@of_client(BAKES, "canary out of reach")
@inherited
def test_what_happens_to_the_canary_sends_traffic_back(play: Play, given: Action, expected: str) -> None:
    serving(play)
    options = {"bake_minutes": 1, "sleep": lambda seconds: given(play)}
    assert expected in failure(play, deploy(**options))
    assert seen(play) == {**EMPTY, **OLD_SERVES}


@pytest.mark.parametrize(
    ("after", "leaves"),
    [(False, BOTH_THERE), (True, NEW_SERVES)],
    ids=["before it is gone", "when it is gone"],
)
@inherited
def test_an_old_deployment_that_cannot_be_removed_is_removed_by_the_next_run(
    play: Play, after: bool, leaves: State
) -> None:
    serving(play)
    play.cloud.fail("delete deployment", "blue", after=after)
    assert "green serves version 2, but blue could not be removed" in failure(play, deploy())
    assert seen(play) == {**EMPTY, **leaves}
    play.cloud.works_again()
    verbs.deploy_online(play.dev)
    assert seen(play) == {**EMPTY, **NEW_SERVES}


@inherited
def test_when_clearing_up_fails_too_the_remedy_is_a_rollback(play: Play) -> None:
    serving(play)
    play.cloud.fail("invoke")
    play.cloud.fail("delete deployment", "green")
    message = failure(play, deploy())
    assert "clearing up failed too" in message
    assert "run `uv run mlops rollback --environment dev`" in message
    assert seen(play) == {**EMPTY, **models("1", "2"), **online({"blue": 100}, **BOTH)}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@inherited
def test_a_failed_first_deployment_leaves_an_empty_endpoint(play: Play, after: bool) -> None:
    play.cloud.register("1")
    play.cloud.fail("create deployment", after=after)
    assert "the endpoint has no deployment" in failure(play, deploy())
    assert seen(play) == {**EMPTY, **models("1"), **online({})}


@pytest.mark.parametrize(
    ("after", "leaves"), [(False, {}), (True, online({}))], ids=["before it is there", "when it is there"]
)
@inherited
def test_an_endpoint_that_cannot_be_created_is_no_obstacle_for_the_next_run(
    play: Play, after: bool, leaves: State
) -> None:
    play.cloud.register("1")
    play.cloud.fail("create endpoint", after=after)
    failure(play, deploy())
    assert seen(play) == {**EMPTY, **models("1"), **leaves}
    play.cloud.works_again()
    verbs.deploy_online(play.dev)
    assert seen(play) == {**EMPTY, **models("1"), **online({"blue": 100}, blue=served("1", 1))}


# On the way.


@inherited
def test_a_rollout_goes_by_way_of_a_canary(play: Play) -> None:
    serving(play)
    verbs.deploy_online(play.dev)
    assert play.cloud.shares == ["blue=100", "blue=90 green=10", "green=100"]


@inherited
def test_a_model_that_predicts_nonsense_never_gets_traffic(play: Play) -> None:
    serving(play)
    play.cloud.predict(1e9, "green")
    failure(play, deploy())
    assert play.cloud.shares == ["blue=100"]


@inherited
def test_the_canary_stage_lasts_as_long_as_asked_and_until_its_metrics_are_there(play: Play) -> None:
    serving(play)
    slept: list[float] = []
    verbs.deploy_online(play.dev, bake_minutes=2.5, sleep=slept.append)
    assert slept == [60, 60, 30, *[60] * LATE_MINUTES]


def calling(deployment: str, latency: float | None = 100, late: int = 0, **codes: int) -> Action:
    return lambda play: play.cloud.call(deployment, latency, late, **codes)


def limits(**values: object) -> Action:
    return lambda play: play.configure("dev", "rollout", canary_minutes=2, **values)


CANARIES: dict[str, tuple[tuple[Action, ...], str]] = {
    "too many errors": (
        (calling("green", _200=9, _500=1),),
        "2 of 20 requests to the canary failed, 10.0 % (rollout.max_",
    ),
    "errors of the model": ((calling("green", _200=9, _424_500=1),), "2 of 20 requests to the canary failed"),
    "too slow": (
        (calling("green", 900, _200=9), limits(max_latency_ms=800)),
        "one request in twenty to the canary took longer than 900 ms (rollout.max_latency_ms is 800)",
    ),
    "errors that Azure learns of late": (
        (calling("green", late=2, _200=9, _503=1),),
        "requests to the canary failed, 10.0 %",
    ),
    "no request, where that counts": (
        (limits(without_traffic="stop"),),
        "no request reached the canary in 2 minutes: nothing is known of it under load; repeat it",
    ),
    "only requests that cannot be scored, which the old deployment scores": (
        (calling("green", _424_400=9, _401=3),),
        "the canary refused 24 of 24 requests as mistakes of their callers, 100.0 % (the old deployment 0.0 %",
    ),
    "metrics that cannot be read": ((failing("read metrics"),), "the canary cannot be watched: "),
    "metrics that may not be read": (
        (lambda play: play.cloud.hide_metrics(),),
        "you may not read the metrics of online-dev: ask for the role Reader, or Monitoring Reader, on mlw-dev",
    ),
}


@of_client(CANARIES, "errors of the model", "too slow", "metrics that cannot be read", "metrics that may not be read")
@inherited
def test_a_canary_that_does_badly_under_load_sends_traffic_back(
    play: Play, given: tuple[Action, ...], expected: str
) -> None:
    for act in (serving, limits(), *given):
        act(play)
    message = failure(play, deploy(sleep=lambda seconds: None))
    assert "version 2 was not deployed, blue still has all traffic" in message
    assert expected in message
    assert seen(play) == {**EMPTY, **OLD_SERVES}


GOOD_CANARIES: dict[str, tuple[tuple[Action, ...], str]] = {
    "few errors": (
        (calling("green", 80, _200=39, _500=1), limits(max_latency_ms=80)),
        "160 requests, 4 failed (2.5 %), 95 % faster than 80 ms",
    ),
    "mistakes of the callers": (
        (
            calling("blue", _200=90, _424_400=90, _401=60),
            calling("green", _200=9, _424_400=5, _401=5, _404=5),
            limits(max_error_percent=0),
        ),
        "36 requests, 0 failed",
    ),
    "errors of the old deployment": ((calling("blue", _500=9), calling("green", _200=9)), "36 requests, 0 failed"),
    "slow where that is allowed": ((calling("green", 9000, _200=9),), "95 % faster than 9000 ms"),
    "more status codes than Azure shows unasked": (
        (calling("green", **{f"_2{code:02}": 1 for code in range(12)}),),
        "48 requests, 0 failed",
    ),
    "no request": ((), "no request reached the canary in 2 minutes: nothing is known of it under load"),
}


@of_client(GOOD_CANARIES, "mistakes of the callers", "more status codes than Azure shows unasked")
@inherited
def test_a_canary_that_does_well_under_load_gets_all_traffic(
    play: Play, given: tuple[Action, ...], expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    for act in (serving, limits(), *given):
        act(play)
    capfd.readouterr()
    verbs.deploy_online(play.session("dev"), sleep=lambda seconds: None)
    shown = capfd.readouterr()
    assert expected in shown.out + shown.err
    assert seen(play) == {**EMPTY, **NEW_SERVES}


def test_a_smoke_test_of_the_endpoint_goes_where_the_traffic_goes_after_one_of_a_deployment(play: Play) -> None:
    held(play)
    play.cloud.predict(1e9, "green")
    assert "the smoke test of green failed" in failure(
        play, lambda play: verbs.smoke_test(play.dev, deployment="green")
    )
    verbs.smoke_test(play.dev)


def test_the_smoke_test_sends_real_rows(play: Play) -> None:
    serving(play)
    verbs.smoke_test(play.dev)
    request = json.loads((play.dev.folder / "smoke-test.json").read_text(encoding="utf-8"))
    assert request["input_data"]["columns"] == ["x"]
    assert len(request["input_data"]["data"]) == verbs.SMOKE_TEST_ROWS


def test_nothing_is_trained_beside_a_schedule_that_cannot_be_deleted(play: Play) -> None:
    verbs.train(play.dev, wait=False)
    play.cloud.schedule_retraining()
    play.cloud.fail("delete schedule")
    assert "not now" in failure(play, train())
    assert (len(seen(play)["jobs"]), list(seen(play)["schedules"])) == (1, ["a-model-retraining"])


def test_changed_data_is_a_new_version_and_old_data_its_old_one(play: Play) -> None:
    file = play.project.root / "data" / "raw" / "rows.csv"
    first, content = verbs.ensure_data(play.dev), file.read_text(encoding="utf-8")
    file.write_text(content + "1,2\n", encoding="utf-8")
    second = verbs.ensure_data(play.dev)
    file.write_text(content, encoding="utf-8")
    assert second["raw_data"] != first["raw_data"]
    assert second["production_data"] == first["production_data"]
    assert verbs.ensure_data(play.dev) == first
    assert {name: len(versions) for name, versions in seen(play)["data"].items()} == {
        "training-data": 2,
        "production-data": 1,
    }


# Data that are only in Azure.

FOLDER = "azureml://datastores/workspaceblobstore/paths/flights"
LOCAL_PATHS = {"aml-cli-v2": ("data/training-data.yml", "../../../data/raw")}
IN_PYTHON = ("data.py", 'FOLDER / "raw"')


@pytest.fixture
def in_azure(play: Play) -> Play:
    """The training data are a folder of the default datastore."""
    name, local = LOCAL_PATHS.get(play.project.version, IN_PYTHON)
    file = play.project.definitions / name
    text = file.read_text(encoding="utf-8")
    assert local in text
    file.write_text(text.replace(local, FOLDER if name.endswith(".yml") else f'"{FOLDER}"'), encoding="utf-8")
    play.cloud.put_file("flights/2026-01.csv", "y,x\n1,2\n")
    return play


def training_version(play: Play) -> str:
    return verbs.ensure_data(play.dev)["raw_data"].partition(":")[2]


def test_one_more_file_in_azure_is_a_new_version_and_each_step_runs_again(in_azure: Play) -> None:
    first = training_version(in_azure)
    verbs.train(in_azure.dev, wait=False)
    assert training_version(in_azure) == first
    in_azure.cloud.put_file("flights/2026-02.csv", "y,x\n3,4\n")
    verbs.train(in_azure.dev, wait=False)
    state = seen(in_azure)
    second = state["data"]["training-data"][-1]
    assert state["data"] == {**DATA, "training-data": [first, second]}
    assert second != first
    assert [job["inputs"]["raw_data"] for job in state["jobs"]] == [f"training-data:{each}" for each in (first, second)]
    # Azure ML may take the same folder for the same data, whatever the version: no result of an earlier run is used.
    assert not any(step["reused"] for job in state["jobs"] for step in job["steps"].values())


def test_a_changed_file_in_azure_is_a_new_version_and_one_beside_the_folder_is_none(in_azure: Play) -> None:
    first = training_version(in_azure)
    in_azure.cloud.put_file("flights-of-others/2026-01.csv", "y,x\n1,2\n")
    in_azure.cloud.put_file("flights/folder", "")
    assert training_version(in_azure) == first
    in_azure.cloud.put_file("flights/2026-01.csv", "y,x\n1,3\n")
    assert training_version(in_azure) != first
    in_azure.cloud.put_file("flights/2026-01.csv", "y,x\n1,2\n")
    assert training_version(in_azure) == first


def test_examples_in_the_project_stand_for_data_in_azure_in_smoke_tests_and_on_this_machine(in_azure: Play) -> None:
    serving(in_azure)
    verbs.smoke_test(in_azure.dev)
    raw = in_azure.project.root / "data" / "raw"
    assert samples(definitions.of(in_azure.project).pipeline()) == {"raw_data": raw}
    shutil.rmtree(raw)
    assert "'raw_data' is not on this machine: keep examples in data/raw" in failure(in_azure, in_dev(verbs.smoke_test))


def test_data_in_azure_that_may_not_be_listed_are_one_line_and_start_nothing(in_azure: Play) -> None:
    in_azure.cloud.close_storage()
    message = failure(in_azure, train())
    assert f"{FOLDER} cannot be listed: Azure lists its files only for the role Storage Blob Data Reader" in message
    assert seen(in_azure) == EMPTY


def test_a_folder_in_azure_without_files_is_one_line_and_starts_nothing(in_azure: Play) -> None:
    in_azure.cloud.put_file("flights/2026-01.csv", "")
    assert f"names {FOLDER}, where there is no data: put files there" in failure(in_azure, train())
    assert seen(in_azure) == EMPTY


def test_without_a_sign_in_the_remedy_for_data_in_azure_is_to_sign_in(in_azure: Play) -> None:
    in_azure.cloud.break_down("not signed in")
    assert "run `az login`" in failure(in_azure, lambda play: verbs.ensure_data(play.dev) and None)


def test_a_dry_run_lists_no_data_in_azure(in_azure: Play, capfd: pytest.CaptureFixture[str]) -> None:
    in_azure.cloud.break_down("not signed in")
    verbs.train(Session.open("dev", dry_run=True, root=in_azure.project.root))
    assert in_azure.cloud.asked == 0
    assert "None" not in capfd.readouterr().out


# What is deployed beside the model.

ENVIRONMENTS = {"aml-cli-v2": "mlops/aml-cli-v2/environments/inference.yml"}
DEFINITIONS = {"aml-cli-v2": "mlops/aml-cli-v2/online/deployment.yml"}


def edit(play: Play, file: str, old: str, new: str) -> None:
    """Replace words of a file, each time they occur."""
    path = play.project.root / file.format(package=play.project.package)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def in_definition(play: Play) -> str:
    return DEFINITIONS.get(play.project.version, "mlops/python-sdk-v2/online.py")


ONLINE = {"vm_size": "Standard_D2as_v4", "instance_count": 3}
CHANGES: dict[str, Action] = {
    "scoring script": other_code,
    "another module": lambda play: edit(play, "data-science/src/{package}/prep.py", "prep", "preparation"),
    "package": lambda play: edit(play, "data-science/environment/inference.yml", "python=3.11", "python=3.12"),
    "image": lambda play: edit(
        play, ENVIRONMENTS.get(play.project.version, "mlops/python-sdk-v2/environments.py"), "20260715", "20260801"
    ),
    "probe": lambda play: edit(play, in_definition(play), "30", "31"),
    "size": lambda play: play.configure("dev", "compute", online={"vm_size": "Standard_D4as_v4", "instance_count": 3}),
    "count": lambda play: play.configure("dev", "compute", online={"vm_size": "Standard_D2as_v4", "instance_count": 4}),
    "workers": lambda play: play.configure("dev", "compute", online=ONLINE | {"workers": 4}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_whatever_changes_beside_the_model_changes_the_fingerprint(play: Play, change: Action) -> None:
    # In a copy, because a process imports the definitions of a folder once.
    root = play.folder / "changed"
    shutil.copytree(play.project.root, root)
    changed = replace(play, project=Project.load(root))
    change(changed)
    assert fingerprint(changed.project, changed.dev.config) != fingerprint(play.project, play.dev.config)


def test_the_fingerprint_is_the_same_on_each_machine_and_after_changes_elsewhere(play: Play) -> None:
    before = fingerprint(play.project, play.dev.config)
    root, code = play.project.root, play.project.root / "data-science" / "src" / play.project.package
    for name in ("__pycache__/score.cpython-311.pyc", ".DS_Store", "../a.egg-info/PKG-INFO"):
        (code / name).parent.mkdir(exist_ok=True)
        (code / name).write_bytes(b"anything")
    for file in code.glob("*.py"):
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    conda = root / "data-science" / "environment" / "inference.yml"
    conda.write_text(f"# A comment.\n{conda.read_text(encoding='utf-8')}", encoding="utf-8")
    (root / "data-science" / "environment" / "train.yml").write_text("name: other\n", encoding="utf-8")
    (root / "data" / "raw" / "rows.csv").write_text("y,x\n1,1\n", encoding="utf-8")
    play.configure("dev", "rollout", canary_percent=50)
    play.configure("dev", "model", name="another-model")
    assert fingerprint(play.project, play.session("dev").config) == before
    moved = play.folder / "moved"
    shutil.copytree(root, moved)
    assert fingerprint(Project.load(moved), play.session("dev").config) == before


# What is wrong with everything, and what asks for nothing.

VERBS: dict[str, Callable[[Session], None]] = {
    "models": verbs.list_models,
    "deliver": verbs.deliver,
    "train": verbs.train,
    "drift": verbs.drift,
    "tune": verbs.tune,
    "deploy-online": verbs.deploy_online,
    "smoke-test": verbs.smoke_test,
    "logs": verbs.logs,
    "shift-traffic": partial(verbs.shift_traffic, percent=10),
    "rollback": verbs.rollback,
    "deploy-batch": verbs.deploy_batch,
    "promote": partial(verbs.promote, target="test"),
    "monitor": verbs.monitor,
    "teardown": verbs.teardown,
}
REMEDIES = {
    "not signed in": "you are not signed in to Azure: run `az login`",
    "login expired": "you are not signed in to Azure: run `az login`",
    "no workspace": "there is no workspace mlw-dev in your subscription: run `uv run mlops provision --environment",
    "no resource group": "there is no workspace mlw-dev in your subscription: run `uv run mlops provision",
    "no rights": "you may not do this in mlw-dev: ask for the role AzureML Data Scientist",
}


def test_every_problem_has_a_remedy() -> None:
    assert REMEDIES.keys() == PROBLEMS.keys()


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_problem_of_everything_is_one_line_with_its_remedy(play: Play, problem: str, verb: str) -> None:
    play.cloud.break_down(problem)
    assert REMEDIES[problem] in failure(play, in_dev(VERBS[verb]))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("project", ["new", *KINDS], indirect=True)
def test_a_dry_run_asks_azure_for_nothing_and_names_all_that_it_shows(
    project: Project, cloud: Cloud, verb: str, capfd: pytest.CaptureFixture[str]
) -> None:
    cloud.break_down("not signed in")
    VERBS[verb](Session.open("dev", dry_run=True, root=project.root))
    assert cloud.asked == 0
    shown = capfd.readouterr().out
    assert shown
    assert "None" not in shown
    # Nothing has happened, so nothing is told as if it had.
    assert not re.findall(
        r"^# .*\b(?:Deleted|Created|Removed|Started|Promoted|is deleted|is gone|passed)\b.*", shown, re.M
    )


@pytest.mark.parametrize("project", ["new"], indirect=True)
def test_a_dry_run_of_the_end_of_a_rollout_says_what_will_be(
    project: Project, cloud: Cloud, capfd: pytest.CaptureFixture[str]
) -> None:
    cloud.break_down("not signed in")
    verbs.abort(Session.open("dev", dry_run=True, root=project.root))
    told = [line for line in capfd.readouterr().out.splitlines() if line.startswith("# ")]
    assert told == ["# blue will have all traffic; green, whose rollout was not completed, will be removed."]


def test_each_verb_of_the_command_line_is_tried() -> None:
    commands = [command for command in cli.app.registered_commands if command.rich_help_panel == cli.AZURE]
    names = {command.callback.__name__.replace("_", "-") for command in commands if command.callback}
    # `connected` and `approval` look at the pipeline that runs them, and at no workspace.
    assert (names | {"teardown", "tune"}) - {"approval", "connected"} == VERBS.keys()


def test_the_definitions_are_made_for_the_first_environment_whatever_its_name(project: Project) -> None:
    findings, pipeline = lint(project), definitions.of(project).pipeline()
    renamed = rename_environments(project)
    assert lint(renamed) == findings
    assert definitions.of(renamed).pipeline().order() == pipeline.order()
