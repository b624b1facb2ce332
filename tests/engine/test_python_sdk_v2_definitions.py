"""The definitions of python-sdk-v2: the pipeline that they build, and what the lint names in them."""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.identity import CredentialUnavailableError
from expected_pipeline import EXPECTED, facts
from rendered import TORCH
from seeded import (
    Edit,
    all_edited,
    assert_named,
    copied,
    edited,
    forget_definitions,
    pin_findings_once,
    settings_results_once,
    together,
)

from mlops import cli, definitions
from mlops.azureml.python_sdk_v2 import PythonSdk, credential, subscription
from mlops.config import load_environment
from mlops.definitions.base import Document, line
from mlops.definitions.python_sdk_v2 import MODULES, PythonSdkDefinitions, folder
from mlops.errors import UserError
from mlops.lint import Finding, lint
from mlops.lint.python_sdk_v2 import keyword_findings
from mlops.lint.sdk import check as check_document
from mlops.lint.sdk import check_structure
from mlops.project import Project

documents = PythonSdkDefinitions.documents

CHECKED: dict[tuple[object, ...], list[Finding]] = {}
STRUCTURE: dict[tuple[object, ...], list[Finding]] = {}
KEYWORDS: dict[tuple[Path, str], list[Finding]] = {}
DOCUMENTS: dict[tuple[str, ...], list[Document]] = {}
BOTH = ["AzureCliCredential", "ManagedIdentityCredential"]

# Edits of the definitions: what is wrong then, the text, what stands in its place, words of the line that names it.
SEEDS = {
    "environments.py": [
        ("no image", "    image=IMAGE,\n", "", "training.image an image is missing"),
        ("the tag latest", ":20260715.v1", ":latest", "training.image tag latest"),
        ("no tag", ":20260715.v1", "", "training.image no tag"),
        ("no image's name", "openmpi5.0-ubuntu24.04", "openmpi 5", "training.image not the name of an image"),
        ("a missing conda file", '"train.yml"', '"training.yml"', "line No such file training.yml"),
        ("a wrong keyword", "conda_file=", "conda_fil=", 'line no keyword "conda_fil" mean "conda_file"'),
        ("an unknown class", "import Environment", "import Enviroment", "line ImportError Enviroment"),
        ("an unknown name", "image=IMAGE", "image=IMAG", "line NameError 'IMAG'"),
        ("broken Python", "training = Environment(", "training = Environment((", "line SyntaxError"),
        ("image and build", "image=IMAGE,", "image=IMAGE,\n    build=BUILD,", "line NameError 'BUILD'"),
    ],
    "data.py": [
        ("a missing folder", '"raw"', '"raws"', 'training_data.path no such file or folder mean "raw"'),
        ("a folder as a file", "uri_folder", "uri_file", "training_data.path is a folder, but uri_file"),
        ("an unknown type", "uri_folder", "uri_foldr", "training_data.type 'uri_foldr' not one of"),
        ("a bad name", '"training-data"', '"training data!"', 'training_data.name "training data!" is no name'),
        ("no name", '    name="training-data",\n', "", "training_data.name missing"),
        ("no path", '    path=FOLDER / "raw",\n', "", "training_data.path missing"),
        ("a table without MLTable", "uri_folder", "mltable", "training_data.path MLTable"),
        ("a wrong keyword", "description=", "descripton=", 'line no keyword "descripton" mean "description"'),
    ],
    "components.py": [
        (
            "a missing module of the search",
            "{PACKAGE}.tune",
            "{PACKAGE}.tunes",
            "pipeline.py tuning.jobs.tune no module tunes",
        ),
        (
            "a search that cannot go on",
            """inputs = {"state": Input(type="string", optional=True)}
        option = ' $[[--state "${{inputs.state}}"]]'""",
            'inputs = {}\n        option = ""',
            'pipeline.py tuning.jobs.tune.component needs the input "state"',
        ),
        ("a missing module", "{PACKAGE}.prep", "{PACKAGE}.prepare", "prep.command no module prepare"),
        ("a missing package", "-m {PACKAGE}.prep", "-m fligths.prep", "prep.command no module fligths.prep"),
        ("an unknown option", " --raw-data $", " --raw-dta $", "prep.command no option --raw-dta mean --raw-data"),
        ("a missing option", '    " --schema ${{inputs.schema}}"\n', "", "prep.command needs the option --schema"),
        ("an unused input", '    " --schema ${{inputs.schema}}"\n', "", "prep.inputs.schema never uses this input"),
        ("an unwritten output", "${{outputs.test_data}}", "test", "prep.outputs.test_data never writes"),
        (
            "an unknown input",
            "${{inputs.schema}}",
            "${{inputs.shema}}",
            "prep.command no input 'shema' mean \"schema\"",
        ),
        ("an unknown output", "${{outputs.train_data}}", "${{outputs.train}}", "prep.command no output 'train'"),
        ("an unknown expression", "${{inputs.schema}}", "${{input.schema}}", "prep.command unknown expression"),
        ("half a placeholder", "${{inputs.schema}}", "${inputs.schema}", "prep.command left as it stands"),
        (
            "no brackets",
            '$[[--overrides "${{inputs.overrides}}"]]',
            '--overrides "${{inputs.overrides}}"',
            "'overrides' is optional",
        ),
        (
            "an open bracket",
            '${{inputs.overrides}}"]]',
            '${{inputs.overrides}}"]',
            "prep.command $[[ has no matching ]]",
        ),
        (
            "open quotes",
            "--schema ${{inputs.schema}}",
            "--schema '${{inputs.schema}}",
            "prep.command quotes do not match",
        ),
        ("an unknown program", "python -m", "pythn -m", 'prep.command no program "pythn" mean "python"'),
        ("a missing code folder", '"src"', '"sources"', "prep Can't find directory sources"),
        (
            "an environment unknown",
            "environment=training",
            'environment="azureml:training@latest"',
            'prep.environment no file environment "training"',
        ),
        (
            "a path for an environment",
            "environment=training",
            'environment="training"',
            'prep.environment no file environment "training"',
        ),
        (
            "an unknown label",
            "environment=training",
            'environment="azureml://registries/azureml/environments/sklearn-1.5/labels/newest"',
            'prep.environment only label is "latest"',
        ),
        ("no environment", "    environment=training,\n", "", "prep.environment missing"),
        ("a bad name", 'name="prep"', 'name="Prep Step"', "Prep Step"),
        ("a wrong keyword", "is_deterministic=True", "is_determinstic=True", 'line no keyword "is_determinstic"'),
        (
            "an unknown type",
            'Input(type="uri_folder", description="Data',
            'Input(type="uri_dir", description="Data',
            "uri_dir",
        ),
        (
            "another type of input",
            'Input(type="uri_folder", description="Data',
            'Input(type="uri_file", description="Data',
            "pipeline.py jobs.prep.inputs.raw_data uri_folder uri_file",
        ),
        (
            "another type of output",
            'Output(type="mlflow_model")',
            'Output(type="uri_folder")',
            "pipeline.py jobs.evaluate.inputs.model uri_folder mlflow_model",
        ),
        (
            "a new required input",
            '"overrides": OVERRIDES',
            '"extra": Input(type="string"),\n        "overrides": OVERRIDES',
            'pipeline.py jobs.prep.inputs required input "extra"',
        ),
        (
            "a default out of range",
            '"overrides": OVERRIDES',
            '"rate": Input(type="number", min=0, max=1, default=2),\n        "overrides": OVERRIDES',
            "prep.inputs.rate greater than the maximum",
        ),
        ("a wrong keyword of a port", "optional=True", "optonal=True", 'line no keyword "optonal" mean "optional"'),
    ],
    "pipeline.py": [
        ("an unknown input", "prep(raw_data=", "prep(raw=", "line unexpected keyword argument 'raw'"),
        ("an unknown output", "prep.outputs.test_data", "prep.outputs.test_dat", "test_dat"),
        ("an unknown step", "components.prep(", "components.prepare(", "line AttributeError prepare"),
        (
            "a step before its time",
            "train_data=prep.outputs.train_data, schema",
            "train_data=evaluate.outputs.evaluation, schema",
            "line evaluate",
        ),
        (
            "a circle",
            "    return {\n",
            "    train.inputs.train_data = evaluate.outputs.evaluation\n    return {\n",
            "jobs circle train evaluate",
        ),
        (
            "a required input left out",
            "        test_data=prep.outputs.test_data,\n",
            "",
            'jobs.evaluate.inputs required input "test_data"',
        ),
        ("a folder for a file", "schema=schema", "schema=raw_data", "jobs.prep.inputs.schema uri_folder uri_file"),
        (
            "text for a folder",
            "raw_data=raw_data",
            'raw_data="data/raw"',
            "jobs.prep.inputs.raw_data.path no such file or folder: data/raw",
        ),
        (
            "an unused input",
            "        production_data=production_data,\n        schema=schema",
            "        schema=schema",
            "inputs.production_data no job uses",
        ),
        (
            "an unknown data asset",
            'f"azureml:{training_data.name}@latest"',
            '"azureml:train-data@latest"',
            'inputs.raw_data.path no file data "train-data"',
        ),
        (
            "an unknown label",
            "{training_data.name}@latest",
            "{training_data.name}@newest",
            'inputs.raw_data.path only label is "latest"',
        ),
        ("a missing file", '"schema.yml"', '"schemas.yml"', 'inputs.schema.path no such file mean "schema.yml"'),
        ("a folder as a file", ' / "schema.yml"', "", "inputs.schema is a folder, but uri_file"),
        (
            "an unknown compute",
            "config.compute.cluster.name",
            '"cpu-clusters"',
            'settings.default_compute no compute "cpu-clusters" mean "cpu-cluster"',
        ),
        ("a bad experiment", "config.model.experiment", '"my training!"', "experiment_name is no name"),
        ("an unknown mode", 'mode="ro_mount"', 'mode="ro_mont"', "inputs.raw_data ro_mont"),
        ("an unknown mode of outputs", '"upload"', '"uplod"', "uplod not one of"),
        (
            "a wrong keyword of the pipeline",
            "continue_on_step_failure=",
            "continue_on_failure=",
            'line no keyword "continue_on_failure"',
        ),
        ("a wrong argument", "model_name=config.model.name", "model_nam=config.model.name", "line model_nam"),
        ("a missing argument", "        model_name=config.model.name,\n", "", "inputs.model_name"),
        (
            "an unknown attribute",
            "prep.outputs.train_data",
            "prep.output.train_data",
            'jobs.train.inputs required input "train_data"',
        ),
        (
            "an unknown key of the configuration",
            "config.compute.cluster.name",
            "config.compute.cluster.nam",
            "line AttributeError nam",
        ),
        ("no such function", "def training_job", "def job", "training_job"),
    ],
    "online.py": [
        ("an unknown sign-in", '"aad_token"', '"aad_tokens"', "endpoint.auth_mode 'aad_tokens' not one of"),
        ("a wrong keyword", "auth_mode=", "auth_mod=", 'line no keyword "auth_mod" mean "auth_mode"'),
        ("an unknown identity", '"user_assigned"', '"user_asigned"', "endpoint.identity.type user_asigned"),
        ("an identity too many", '"user_assigned"', '"system_assigned"', "endpoint.identity.user_assigned_identities"),
        (
            "traffic that is no whole",
            'auth_mode="aad_token"',
            'traffic={"blue": 90}, auth_mode="aad_token"',
            "endpoint.traffic 90 percent",
        ),
        (
            "traffic to no deployment",
            'auth_mode="aad_token"',
            'traffic={"blu": 100}, auth_mode="aad_token"',
            'endpoint.traffic.blu no deployment "blu"',
        ),
        ("no machine", "config.compute.online.vm_size", '"Standard-D2"', "deployment.instance_type no size"),
        ("no instance", "config.compute.online.instance_count", "0", "deployment.instance_count less than 1"),
        (
            "a missing script",
            "/score.py",
            "/scores.py",
            "deployment.code_configuration.scoring_script no script score.py",
        ),
        ("a missing code folder", '"src"', '"sources"', "deployment.code_configuration.code no such folder"),
        (
            "a collection of nothing",
            '("model_inputs", ',
            '("model_input", ',
            "deployment.data_collector.collections.model_input nothing",
        ),
        (
            "true as a boolean",
            'enabled="true"',
            "enabled=True",
            "deployment.data_collector.collections.model_inputs.enabled True not one of",
        ),
        (
            "a sampling rate above 1",
            "sampling_rate=1.0",
            "sampling_rate=10",
            "deployment.data_collector.sampling_rate greater than 1",
        ),
        ("an unknown rolling rate", '"hour"', '"week"', "deployment.data_collector.rolling_rate 'week' not one of"),
        (
            "too long a timeout",
            "request_timeout_ms=10000",
            "request_timeout_ms=1000000",
            "deployment.request_settings.request_timeout_ms greater than 180000",
        ),
        ("a probe without period", "period=10", "period=0", "deployment.liveness_probe.period less than 1"),
        ("an unknown model", "model=model", 'model="azureml:other:1"', 'deployment.model no file model "other"'),
        (
            "a bad name",
            "name=config.names.online_endpoint,\n        desc",
            'name="my_endpoint",\n        desc',
            'endpoint.name "my_endpoint" is no name',
        ),
        (
            "another endpoint",
            "endpoint_name=config.names.online_endpoint",
            'endpoint_name="other"',
            'deployment.endpoint_name no file endpoint "other"',
        ),
        ("no environment", "        environment=inference,\n", "", "deployment.environment missing"),
        (
            "an environment unknown",
            "environment=inference",
            'environment="azureml:inference:1"',
            'deployment.environment no file environment "inference"',
        ),
    ],
    "batch.py": [
        ("a key to sign in", '"aad_token"', '"key"', "endpoint.auth_mode aad_token only"),
        ("an unknown output", '"append_row"', '"append_rows"', "append_rows"),
        (
            "a file name for no file",
            '"append_row"',
            '"summary_only"',
            "deployment.settings.output_file_name summary_only",
        ),
        ("an unknown level", '"info"', '"information"', "deployment.settings.logging_level 'information' not one of"),
        (
            "no files per call",
            "config.compute.batch.mini_batch_size",
            "0",
            "deployment.settings.mini_batch_size less than 1",
        ),
        (
            "an unknown compute",
            "compute=config.compute.batch_cluster",
            'compute="gpu"',
            'deployment.compute no compute "gpu"',
        ),
        (
            "a threshold below -1",
            "error_threshold=0",
            "error_threshold=-2",
            "deployment.settings.error_threshold less than -1",
        ),
        (
            "no machine",
            "instance_count=config.compute.batch.instance_count",
            "instance_count=0",
            "deployment.resources.instance_count less than 1",
        ),
        (
            "less than no retry",
            "max_retries=3",
            "max_retries=-1",
            "deployment.settings.retry_settings.max_retries less than 0",
        ),
    ],
    "schedules.py": [
        ("an hour too late", "config.schedule.monitor_cron", '"0 25 * * 1"', "monitor.trigger.expression no hour"),
        ("six fields", "config.schedule.monitor_cron", '"0 6 * * * *"', "monitor.trigger.expression 6 fields"),
        (
            "no time zone of Azure",
            "time_zone=config.schedule.time_zone",
            'time_zone="Europe/Berlin"',
            "monitor.trigger.time_zone no time zone",
        ),
        (
            "an old Spark",
            'runtime_version="3.4"',
            'runtime_version="3.3"',
            'monitor.create_monitor.compute.runtime_version "3.3"',
        ),
        (
            "an unknown machine",
            "config.monitor.vm",
            '"standard_d4s_v3"',
            "monitor.create_monitor.compute.instance_type not one of",
        ),
        ("an unknown metric", "null_value_rate=", "null_values_rate=", "line null_values_rate"),
        (
            "a rate above 1",
            "null_value_rate=0.05",
            "null_value_rate=5",
            "data_quality.metric_thresholds.numerical.null_value_rate greater than 1",
        ),
        (
            "another deployment",
            '{endpoint}:{deployment}"',
            '{endpoint}:other"',
            "monitor.create_monitor.monitoring_target.endpoint_deployment_id no file deployment",
        ),
        (
            "the wrong side",
            'latest("model_inputs")',
            'latest("model_outputs")',
            "data_drift.production_data.data_context data_drift watches model_inputs",
        ),
        ("no duration", 'days = f"P{', 'days = f"{', "data_drift lookback_window_size not a duration"),
        ("an unknown task", "ml_task=task", 'ml_task="regresion"', "monitoring_target.ml_task regresion"),
        (
            "no mail address",
            "emails=list(emails)) if emails else",
            'emails=["me"]) if True else',
            "alert_notification.emails[0] no mail address",
        ),
        (
            "data that is not collected",
            "collection_name(context)}:1",
            "collection_name(context)}s:1",
            "input_data.path no file data",
        ),
        ("a wrong keyword", "expression=", "expresion=", 'line no keyword "expresion" mean "expression"'),
        (
            "no trigger",
            "trigger=CronTrigger(expression=config.schedule.monitor_cron, time_zone=config.schedule.time_zone)",
            "trigger=None",
            "monitor.trigger missing",
        ),
    ],
    "registry.py": [
        (
            "its own region left out",
            "in locations",
            'in ["northeurope"]',
            "registry.replication_locations own location",
        ),
        (
            "no region",
            "location=location,",
            'location="the moon!",',
            "registry.replication_locations[0].location no region",
        ),
        (
            "an unknown storage",
            "Standard_LRS",
            "Standard_XRS",
            "registry.replication_locations[0] Standard_XRS not one of",
        ),
        ("an unknown access", '"Enabled"', '"On"', "registry.public_network_access 'On' not one of"),
        ("no regions", "for location in locations", "for location in []", "registry.replication_locations"),
    ],
    "../../data-science/environment/train.yml": [
        ("no package", "- pandas==", "- pandas=", "train.yml dependencies pandas"),
        ("no dependencies", "dependencies:", "dependencys:", "train.yml dependencies"),
    ],
    "../../config/model.yml": [
        (
            "an unknown metric",
            "normalized_wasserstein_distance",
            "normalised_wasserstein_distance",
            "schedules.py line normalised_wasserstein_distance",
        ),
    ],
}

DISTRIBUTED = {
    "components.py": [
        ("no process", "instance=1)", "instance=0)", "train.distribution.process_count_per_instance 0 is less than 1"),
        ("no nodes", "    instance_count=1,\n", "", "pipeline.py line no attribute 'instance_count'"),
        ("a wrong keyword", "process_count_per_instance=1", "process_count=1", 'line no keyword "process_count"'),
        ("an unknown option", " --checkpoints ", " --checkpoint ", "train.command no option --checkpoint"),
        ("an unused output", '    " --checkpoints ${{outputs.checkpoints}}"\n', "", "train.outputs.checkpoints never"),
    ],
    "pipeline.py": [
        ("no node", "config.compute.training.nodes", "0", "jobs.train.resources.instance_count 0 is less than 1"),
        ("no processes", "config.compute.training.processes_per_node", "0", "jobs.train.distribution 0 is less than 1"),
        ("an unknown cluster", "config.compute.training_cluster", '"gpu"', 'jobs.train.compute no compute "gpu"'),
        (
            "checkpoints that are uploaded at the end",
            '"rw_mount"',
            '"upload"',
            "train.outputs.checkpoints written when the step ends rw_mount",
        ),
        ("an unknown mode of an output", '"rw_mount"', '"rw_mont"', "rw_mont"),
        ("an unknown output", "outputs.checkpoints =", "outputs.checkpoint =", "checkpoint"),
    ],
    "online.py": [
        ("variables by another name", "environment_variables=", "environment_variable=", 'no keyword "environment_var'),
    ],
    "../../config/dev.yml": [
        (
            "more nodes than there are",
            "    nodes: 1",
            "    nodes: 9",
            "compute.training.nodes 9 max_nodes of cpu-cluster, 2",
        ),
        ("no process", "_node: 1", "_node: 0", "config/dev.yml compute.training.processes_per_node greater than"),
    ],
}
"""More of them where a training is distributed."""

SEEDS["pipeline.py"] += [
    (
        "no output of the search",
        '{"search": tune.outputs.search}',
        '{"result": tune.outputs.search}',
        "line unexpected 'search'",
    ),
    ("an unknown output of the trial", "tune.outputs.search}", "tune.outputs.found}", "line unexpected 'found'"),
    (
        "an unknown input of the trial",
        '"train_data": prep.outputs.train_data, "schema": schema, "settings"',
        '"rows": prep.outputs.train_data, "schema": schema, "settings"',
        "line rows",
    ),
    ("an unknown limit", "tune.set_limits(**sweep.limits)", "tune.set_limits(trials=3)", "line trials"),
    ("an unknown goal", 'goal=sweep.objective["goal"]', 'goal="biggest"', "biggest"),
]
SEEDS["batch.py"].append(("variables by another name", "environment_variables=", "env_variables=", "no keyword"))
SEEDS = {file: SEEDS.get(file, []) + (DISTRIBUTED.get(file, []) if TORCH else []) for file in {**SEEDS, **DISTRIBUTED}}

CURATED = "azureml://registries/azureml/environments/sklearn-1.5/labels/latest"
ACCEPTED = [
    ("pipeline.py", 'f"azureml:{training_data.name}@latest"', '"azureml:training-data:3"'),
    ("pipeline.py", 'f"azureml:{training_data.name}@latest"', '"azureml://datastores/workspaceblobstore/paths/rows/"'),
    ("pipeline.py", 'f"azureml:{training_data.name}@latest"', 'str(ROOT / "data" / "raw")'),
    ("pipeline.py", 'str(ROOT / "data" / "schema.yml")', '"../../data/schema.yml"'),
    ("pipeline.py", 'mode="ro_mount"', 'mode="download"'),
    ("pipeline.py", "config.compute.cluster.name", '"serverless"'),
    ("pipeline.py", "settings=settings)\n\n    train", 'settings=settings, overrides="training.seed=1")\n\n    train'),
    ("pipeline.py", "    train = ", '    prep.compute = "cpu-cluster"\n    train = '),
    ("components.py", "environment=training", f'environment="{CURATED}"'),
    ("components.py", "environment=training", 'environment="azureml:AzureML-acpt-pytorch-2.8-cuda12.6@latest"'),
    ("components.py", 'f"python -m', 'f"python -m pip list && python -u -m'),
    ("components.py", "is_deterministic=True", 'version="3", instance_count=2, environment_variables={"A": "1"}'),
    ("components.py", "code=CODE", 'code="../../data-science/src"'),
    ("environments.py", ":20260715.v1", "@sha256:" + "0" * 64),
    ("environments.py", "    description=", '    name="training",\n    description='),
    ("data.py", 'FOLDER / "raw"', '"../../data/raw"'),
    ("online.py", 'auth_mode="aad_token"', 'auth_mode="aad_token", traffic={"blue": 90, "green": 10}'),
    ("online.py", "model=model", 'model="azureml://registries/team/models/model/versions/4"'),
    ("batch.py", "error_threshold=0", "error_threshold=-1"),
    ("schedules.py", "config.schedule.monitor_cron", '"*/15 0-6,22 * * MON-FRI"'),
    ("schedules.py", "time_zone=config.schedule.time_zone", 'time_zone="W. Europe Standard Time"'),
    ("schedules.py", "emails=list(emails)) if emails else", 'emails=["me@example.com"]) if True else'),
    ("schedules.py", 'features="all_features"', 'features=["carrier", "distance"]'),
    ("registry.py", '"Enabled"', '"Disabled"'),
]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the project's definitions and all they refer to."""
    root = tmp_path_factory.mktemp("sdk") / "project"
    return copied(root, "mlops/python-sdk-v2", "data/raw", "data/production")


@pytest.fixture(autouse=True)
def _fresh_modules(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Import the definitions anew in each test, from their source: they are edited within a second."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield
    forget_definitions()


@pytest.fixture(autouse=True)
def _checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have azure-ai-ml make and check only what a test changes: by another text, or in a file of another text."""
    monkeypatch.setattr("mlops.lint.sdk.check", check_once)
    monkeypatch.setattr("mlops.lint.sdk.check_structure", check_structure_once)
    monkeypatch.setattr("mlops.lint.python_sdk_v2.keyword_findings", keyword_findings_once)
    monkeypatch.setattr(PythonSdkDefinitions, "documents", documents_once)
    monkeypatch.setattr("mlops.lint.configuration.settings_results", settings_results_once)
    monkeypatch.setattr("mlops.lint.pins.pin_findings", pin_findings_once)


def check_once(document: Document) -> list[Finding]:
    key = (document.path, document.path.read_text(encoding="utf-8"), document.place, json.dumps(document.content))
    if key not in CHECKED:
        CHECKED[key] = check_document(document)
    return CHECKED[key]


def check_structure_once(document: Document) -> list[Finding]:
    key = (document.path, document.kind, document.place, json.dumps(document.content, default=repr))
    if key not in STRUCTURE:
        STRUCTURE[key] = check_structure(document)
    return STRUCTURE[key]


def keyword_findings_once(path: Path) -> list[Finding]:
    key = (path, path.read_text(encoding="utf-8"))
    if key not in KEYWORDS:
        KEYWORDS[key] = list(keyword_findings(path))
    return KEYWORDS[key]


def documents_once(found: PythonSdkDefinitions, module: str) -> list[Document]:
    """Make the objects of a module once with the same text of it, of those that it imports, and of what they read."""
    needed, waiting = {module}, [module]
    while waiting:
        text = found.file(waiting.pop()).read_text(encoding="utf-8")
        new = {each for each in MODULES if re.search(rf"^(from|import) {each}\b", text, re.M)} - needed
        needed |= new
        waiting += new
    root = found.project.root
    read = [*root.glob("config/*.yml"), found.project.schema, *root.glob("data-science/environment/*.yml")]
    files = [*map(found.file, sorted(needed)), *sorted(read)]
    key = (str(Path.cwd()), str(root), module, *(path.read_text(encoding="utf-8") for path in files))
    if key not in DOCUMENTS:
        DOCUMENTS[key] = documents(found, module)
    return DOCUMENTS[key]


def findings_after(project: Project, file: str, old: str, new: str) -> list[Finding]:
    with edited(folder(project) / file, old, new):
        return lint(project)


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [pytest.param(file, *seed, id=f"{file}: {name}") for file, seeds in SEEDS.items() for name, *seed in seeds],
)
def test_the_lint_names(file: str, old: str, new: str, words: str, project: Project) -> None:
    wanted = [*([file] if file.endswith(".py") and ".py" not in words else []), *words.split()]
    assert_named(findings_after(project, file, old, new), wanted)


@pytest.mark.parametrize("edits", together(ACCEPTED))
def test_the_lint_accepts(edits: list[Edit], project: Project) -> None:
    with all_edited(folder(project), edits):
        assert lint(project) == []


def test_the_shipped_definitions_have_no_finding(project: Project) -> None:
    assert lint(project) == []


def test_the_pipeline_is_that_of_the_other_versions_port_by_port(project: Project) -> None:
    found = facts(definitions.of(project).pipeline(), project.root)
    assert found == EXPECTED
    assert list(found["steps"]) == ["prep", "train", "evaluate", "register"]


def test_relative_paths_start_at_the_definitions(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.data)
    edits = [
        ("pipeline.py", 'str(ROOT / "data" / "schema.yml")', '"../../data/schema.yml"'),
        ("components.py", 'Path(__file__).parents[2] / "data-science" / "src"', '"../../data-science/src"'),
        ("data.py", 'FOLDER / "raw"', '"../../data/raw"'),
    ]
    with all_edited(folder(project), edits):
        assert facts(definitions.of(project).pipeline(), project.root) == EXPECTED
        code = definitions.of(project).pipeline().nodes["prep"].component.code  # type: ignore[union-attr]
        assert code is not None
        assert code.resolve() == project.root.resolve() / "data-science" / "src"


@pytest.mark.parametrize(
    ("file", "old", "new", "line"),
    [
        ("pipeline.py", "prep(raw_data=", "prep(raw=", r"pipeline.py: line \d+: .* unexpected keyword argument 'raw'"),
        ("components.py", "import training", "import trainig", "components.py: line .*: ImportError: .*trainig"),
        ("data.py", "training_data =", "training_data = =", "data.py: line 11: SyntaxError: invalid syntax"),
        ("pipeline.py", '"upload"', '"uplod"', "pipeline.py: ValidationError: Value 'uplod' passed is not in set"),
    ],
)
def test_a_definition_that_cannot_be_built_is_one_line_with_its_place(
    file: str, old: str, new: str, line: str, project: Project
) -> None:
    with edited(folder(project) / file, old, new), pytest.raises(UserError, match=line):
        definitions.of(project).pipeline()


VERBS = {
    "train": ["data.create_or_update(training-data:", "jobs.create_or_update(", "jobs.stream(", "jobs.download("],
    "train --overrides training.seed=7 --no-wait": ["overrides=training.seed=7)"],
    "deploy-online": [
        "online_deployments.begin_create_or_update(green: {model}:1, Standard_",
        "online_endpoints.invoke({online}: green)",
        "online_endpoints.begin_create_or_update({online}: green=100)",
        "online_deployments.begin_delete(blue)",
    ],
    "deploy-batch": ["batch_deployments.begin_create_or_update(model-1: {model}:1)", "({batch}: default model-1)"],
    "smoke-test": ["online_endpoints.invoke({online})"],
    "shift-traffic --percent 30": ["online_endpoints.begin_create_or_update({online}: blue=70 green=30)"],
    "rollback": ["({online}: blue=100)", "models.create_or_update({model}:1, rejected_dev=true"],
    "models": [],
    "deliver": [
        "online_deployments.begin_create_or_update(green: {model}:1, Standard_",
        "models.create_or_update({model}:1, deployed_dev=",
        "({batch}: default model-1)",
        "schedules.begin_delete({model}-monitor)",
    ],
    "deliver --model-version 1 --pin": ["models.create_or_update({model}:1, pinned_dev=true)"],
    "deliver --abort": ["({online}: blue=100)", "online_deployments.begin_delete(green)"],
    "promote --to test": [
        "registries.begin_create({registry} in ",
        "models.share({model}:1 to {registry})",
        "models.download({model}:1 in {registry})",
        "models.create_or_update({model}:1, promoted_test=",
    ],
    "logs": ["online_deployments.get_logs(blue: "],
    "monitor --environment prod": ["schedules.begin_create_or_update({model}-monitor: blue)"],
    "monitor": ["schedules.begin_delete({model}-monitor)", "monitor.enabled is false in config/dev.yml"],
    "drift": ["an alert of the last 14 days"],
    "teardown": ["schedules.begin_delete({model}-monitor)", "online_endpoints.begin_delete({online})"],
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_dry_run_shows_each_call_and_makes_none(
    verb: str, project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project.root)
    for name in ("client", "credential", "subscription"):
        monkeypatch.setattr(f"mlops.azureml.python_sdk_v2.{name}", lambda *_: pytest.fail("Azure was asked"))
    config = load_environment(project, "dev")
    values = {"model": config.model.name, "online": config.names.online_endpoint, "batch": config.names.batch_endpoint}
    with pytest.raises(SystemExit) as end:
        cli.main([*verb.split(), "--dry-run"])
    assert end.value.code == 0
    shown = capsys.readouterr().out.splitlines()
    assert all(line.startswith(("MLClient.", "# ")) for line in shown if line)
    for call in VERBS[verb]:
        wanted = call.format(**values, registry=config.names.registry)
        assert any(wanted in line for line in shown), (wanted, shown)


def test_a_job_with_overrides_has_them_in_the_name_that_people_see(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr(PythonSdk, "_change", lambda self, call, job, shown: sent.append(job.display_name))
    client = PythonSdk(project, load_environment(project, "dev"), dry_run=False)
    for overrides in ("", "training.hyperparameters.rate=0.1 training.seed=7"):
        client.submit_pipeline("a-job", {}, overrides, rerun=False)
    assert sent[1].removeprefix(sent[0]) == " rate=0.1 training.seed=7"


def refused(code: str, message: str) -> str:
    """The text of an error as azure-core makes it from Azure's answer."""
    return f"({code}) {message}\nCode: {code}\nMessage: {message}"


ERRORS = {
    "no login": (
        CredentialUnavailableError(message="Please run 'az login' to set up an account"),
        "you are not signed in to Azure: run `az login`",
    ),
    "a login that expired": (
        ClientAuthenticationError(message="ERROR: AADSTS70043: The refresh token has expired."),
        "you are not signed in to Azure: run `az login`",
    ),
    "no Azure CLI": (
        ClientAuthenticationError(message="AzureCliCredential: Azure CLI not found on path"),
        "az is not installed: .* `az login`",
    ),
    "no subscription": (
        HttpResponseError(message=refused("SubscriptionNotFound", "The subscription 'x' could not be found.")),
        "no such subscription for you: .*AZURE_SUBSCRIPTION_ID",
    ),
    "no workspace": (
        ResourceNotFoundError(
            message=refused("ParentResourceNotFound", "the parent resource '/x/workspaces/{w}' could not be found.")
        ),
        "there is no workspace {w} .*`uv run mlops provision --environment dev`",
    ),
    "no rights": (
        HttpResponseError(message=refused("AuthorizationFailed", "The client does not have authorization.")),
        "you may not do this in {w}: ask for the role AzureML Data Scientist",
    ),
    "no rights on the storage": (
        HttpResponseError(message="This request is not authorized. ErrorCode:AuthorizationPermissionMismatch"),
        "you may not write to storage account .*: ask for the role Storage Blob Data Contributor",
    ),
    "an unknown component": (
        ResourceNotFoundError(message=refused("UserError", "Component prep:99 was not found.")),
        r"\(UserError\) Component prep:99 was not found: check its name and version in the definitions",
    ),
    "a model name that Azure refuses": (
        HttpResponseError(message=refused("UserError", "Model name must only consist of letters, numbers, dashes.")),
        "Azure ML does not accept the model name .*: in config/dev.yml, use letters, digits",
    ),
    "anything else": (
        HttpResponseError(message=refused("Teapot", "Short and\nstout.")),
        r"\(Teapot\) Short and stout$",
    ),
}


@pytest.mark.parametrize("case", ERRORS)
def test_an_error_of_azure_is_one_line_with_its_remedy(
    case: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    error, line = ERRORS[case]
    config = load_environment(project, "dev")
    workspace = config.names.workspace
    error.message = error.message.replace("{w}", workspace)
    error.args = (error.message,)
    azure = mock.MagicMock()
    azure.models.list.side_effect = error
    monkeypatch.setattr("mlops.azureml.python_sdk_v2.client", lambda *_: azure)
    with pytest.raises(UserError, match=line.replace("{w}", workspace)) as caught:
        PythonSdk(project, config, dry_run=False).model_versions(None)
    assert "\n" not in str(caught.value)


def test_an_environment_without_image_is_one_line_with_its_remedy(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What azure-ai-ml says here is a page with colours."""
    from azure.ai.ml.entities import Environment

    azure = mock.MagicMock()
    azure.jobs.create_or_update.side_effect = lambda job: Environment(name="any")._to_rest_object()
    monkeypatch.setattr("mlops.azureml.python_sdk_v2.client", lambda *_: azure)
    backend = PythonSdk(project, load_environment(project, "dev"), dry_run=False)
    with pytest.raises(UserError, match=r"^an environment has no image: name one in its definition"):
        backend.submit_pipeline("a-job", {}, "", rerun=False)


def test_a_page_of_azure_ai_ml_becomes_its_message() -> None:
    marked = "\x1b[31m(x) no name\x1b[39m"
    page = f"\n\x1b[30m\n1) A parameter is missing\x1b[39m\n\nDetails: \n\n{marked}\n\nResolutions: \n1) Add one"
    assert line(page) == "no name"


@pytest.mark.parametrize(
    ("variables", "executed", "expected"),
    [
        ({"AZURE_SUBSCRIPTION_ID": "one"}, None, "one"),
        ({}, (0, '{"id": "two"}', ""), "two"),
    ],
)
def test_the_subscription_is_that_of_the_environment_or_else_of_az(
    variables: dict[str, str],
    executed: tuple[int, str, str] | None,
    expected: str,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepare_az(monkeypatch, variables, executed)
    assert subscription(load_environment(project, "dev")) == expected


@pytest.mark.parametrize(
    ("executed", "message"),
    [
        ((1, "", "ERROR: Please run 'az login' to setup account."), "run `az login`"),
        ((1, "", "ERROR: Run 'az account set' to select a subscription."), "or name its id in AZURE_SUBSCRIPTION_ID"),
        (None, "az is not installed: .*or set AZURE_SUBSCRIPTION_ID"),
    ],
)
def test_a_missing_subscription_is_one_line_with_its_remedy(
    executed: tuple[int, str, str] | None, message: str, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare_az(monkeypatch, {}, executed)
    with pytest.raises(UserError, match=message):
        subscription(load_environment(project, "dev"))


def prepare_az(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], executed: tuple[int, str, str] | None
) -> None:
    """Let every command end as `executed` says: exit code, output, errors; None for no Azure CLI."""
    monkeypatch.delenv("AZURE_SUBSCRIPTION_ID", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("shutil.which", lambda name: name if executed else None)
    monkeypatch.setattr("mlops.shell.execute", lambda *_, **__: executed)


@pytest.mark.parametrize(("variables", "kinds"), [({}, ["AzureCliCredential"]), ({"MSI_ENDPOINT": "http://x"}, BOTH)])
def test_the_identity_of_a_compute_instance_comes_after_that_of_az(
    variables: dict[str, str], kinds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MSI_ENDPOINT", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert [type(item).__name__ for item in credential().credentials] == kinds  # type: ignore[attr-defined]
