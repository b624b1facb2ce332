"""A small project with real Azure ML definitions, and with data and names of its own."""

import json
import re
import shutil
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from rendered import HERE, TORCH

from mlops.project import Project

SCHEMA = {
    "target": "y",
    "task": "regression",
    "columns": {"y": {"type": "number", "minimum": 0, "maximum": 10}, "x": {"type": "number"}},
}
Kind = Literal["new", "existing", "closed", "with a registry"]
"""The workspaces are of another owner (existing), or the project builds them, perhaps with one of two add-ons."""

# On libyaml, ten times as fast.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

DRIFT = {"numerical": {"jensen_shannon_distance": 0.3}, "categorical": {"population_stability_index": 0.4}}
SETTINGS = {
    "training": {"test_size": 0.2, "seed": 1, "hyperparameters": {}},
    "tuning": {
        "trials": 6,
        "minutes": 10,
        "folds": 2,
        "early_termination": "median_stopping",
        "concurrent_trials": 2,
        "space": {
            "rate": {"from": 0.01, "to": 1.0, "log": True},
            "kind": ["a", "b"],
            "tree.depth": {"from": 1, "to": 9},
        },
    },
    "evaluation": {"metric": "mae"},
    "promotion": {"floor": 1.0},
    "drift": DRIFT,
}


def configuration(environment: str, source: str, kind: Kind = "new") -> dict[str, Any]:
    """The content of config/<environment>.yml."""
    document = _configuration(environment, source)
    if kind == "existing":
        kept = ("resource_group", "workspace", "registry", "online_endpoint", "batch_endpoint")
        document["names"] = {name: document["names"][name] for name in kept}
        for section in ("terraform_state", "budget", "retention", "security"):
            del document[section]
        document["compute"]["cluster"] = {"name": "cluster"}
    if kind == "with a registry" and environment == "dev":
        document["model_registry"] = {"locations": ["westeurope"], "public_network_access": True}
    if kind == "closed":
        document["names"]["virtual_network"] = f"vnet-{environment}"
        document["network"] = {
            "address_space": "10.80.0.0/20",
            "endpoints_subnet": "10.80.0.0/24",
            "runners_subnet": "10.80.1.0/24",
            "outbound": "internet",
            "outbound_hosts": [],
        }
    return document


def _configuration(environment: str, source: str) -> dict[str, Any]:
    others = ["application_insights", "workspace_identity", "compute_identity", "endpoint_identity"]
    return {
        "environment": environment,
        "protected": environment == "prod",
        "location": "westeurope" if source == "workspace" else "northeurope",
        "tags": {"project": "a-project"},
        "names": {
            **{name: f"{name.replace('_', '-')}-{environment}" for name in ("key_vault", "log_analytics")},
            **{name: f"{name.replace('_', '')}{environment}" for name in ("storage_account", "container_registry")},
            **{name: f"{name}-{environment}" for name in [*others, "action_group", "budget"]},
            "resource_group": f"rg-{environment}",
            "workspace": f"mlw-{environment}",
            "registry": "the-registry",
            "online_endpoint": f"online-{environment}",
            "batch_endpoint": f"batch-{environment}",
        },
        "deployer": {"resource_group": "rg-state", "identity": f"id-deploy-{environment}"},
        "terraform_state": {
            "resource_group": "rg-state",
            "storage_account": "ststate",
            "container": "tfstate",
            "key": environment,
        },
        "compute": {
            "cluster": {"name": "cluster", "vm_size": "V", "min_nodes": 0, "max_nodes": 2, "idle_minutes": 15},
            **({"training": {"nodes": 2, "processes_per_node": 4}} if TORCH else {}),
            "online": {"vm_size": "Standard_D2as_v4", "instance_count": 3, "workers": 2},
            "batch": {
                "instance_count": 2,
                "mini_batch_size": 7,
                "max_concurrency_per_instance": 4,
                "bad_files": "report",
            },
        },
        "model": {"name": "a-model", "experiment": "an-experiment", "source": source},
        "rollout": {"canary_percent": 10, "canary_minutes": 0},
        "schedule": {"monitor_cron": "0 6 * * *", "time_zone": "UTC"},
        "monitor": {"lookback_days": 5, "alert_emails": [], "vm": "standard_e4s_v3"},
        "budget": {"monthly_amount": 300},
        "retention": {"log_days": 30},
        "security": {"purge_protection": True, "delete_lock": environment == "prod"},
    }


def write_yaml(path: Path, document: object) -> None:
    """Write a YAML file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump(document, Dumper=DUMPER), encoding="utf-8")


@cache
def _files(kind: Kind) -> dict[str, str]:
    """The YAML files of the project: each text is the same in each test."""
    sources = {"dev": "workspace", "test": "registry", "prod": "registry"}
    documents: dict[str, object] = {
        "config/model.yml": SETTINGS,
        "data/schema.yml": SCHEMA,
        **{f"config/{name}.yml": configuration(name, source, kind) for name, source in sources.items()},
        **{
            f"data-science/environment/{name}.yml": {"name": name, "dependencies": ["python=3.11"]}
            for name in ("train", "inference")
        },
    }
    return {name: yaml.dump(document, Dumper=DUMPER) for name, document in documents.items()}


def create_project(root: Path, kind: Kind = "new") -> Project:
    """Make the project in a new folder; it uses the package and the definitions of the project around this file."""
    here = HERE
    root.mkdir()
    choices = {
        "package": here.package,
        "version": here.version,
        "infrastructure": "existing" if kind == "existing" else "terraform",
        "environments": ["dev", "test", "prod"],
        "add_ons": {"closed": ["private-network"], "with a registry": ["model-registry"]}.get(kind, []),
    }
    table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in choices.items())
    (root / "pyproject.toml").write_text(f"[tool.mlops]\n{table}", encoding="utf-8")
    for name, text in _files(kind).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    for folder in ("raw", "production"):
        (root / "data" / folder).mkdir()
        rows = "".join(f"{row},{row}.5\n" for row in range(9))
        (root / "data" / folder / "rows.csv").write_text(f"y,x\n{rows}", encoding="utf-8")
    code = root / "data-science" / "src" / here.package
    code.mkdir(parents=True)
    for step in ("__init__", "prep", "train", "evaluate", "register", "score", "tune"):
        # What goes to Azure. The modules that are imported on this machine are those of the surrounding project.
        (code / f"{step}.py").write_text(f'"""{step}"""\n', encoding="utf-8")
    for folder in (here.root / "mlops").iterdir():
        if folder.is_dir() and folder.name != "engine":
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(folder, root / "mlops" / folder.name, ignore=ignored)
    if (ignored := here.root / ".amlignore").is_file():
        shutil.copy(ignored, root)
    return Project.load(root)


def set_key(path: Path, key: str, value: object) -> None:
    """Set one key of a YAML file, with dots between its parts; None removes it."""
    document = section = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    *parents, last = key.split(".")
    for parent in parents:
        section = section[parent]
    section[last] = value
    if value is None:
        del section[last]
    write_yaml(path, document)


def rename_environments(project: Project) -> Project:
    """Give the project two environments of other names, which pass a model on in the order of the list."""
    for path in (project.root / "config").glob("*.yml"):
        if path != project.settings:
            path.unlink()
    for name, source in {"sandbox": "workspace", "live": "registry"}.items():
        document = configuration(name, source) | {"protected": name == "live"}
        write_yaml(project.root / "config" / f"{name}.yml", document)
    choices = project.root / "pyproject.toml"
    text = choices.read_text(encoding="utf-8")
    choices.write_text(re.sub("(?m)^environments = .*", 'environments = ["sandbox", "live"]', text), encoding="utf-8")
    return Project.load(project.root)
