"""A small project with real Azure ML definitions, and with data and names of its own."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from mlops.config import Project

SCHEMA = {
    "target": "y",
    "task": "regression",
    "columns": {"y": {"type": "number", "minimum": 0, "maximum": 10}, "x": {"type": "number"}},
}
DRIFT = {"numerical": {"jensen_shannon_distance": 0.3}, "categorical": {"population_stability_index": 0.4}}


def configuration(environment: str, source: str) -> dict[str, Any]:
    """The content of config/<environment>.yml."""
    names = ["storage_account", "key_vault", "container_registry", "log_analytics", "application_insights"]
    identities = ["workspace_identity", "compute_identity", "endpoint_identity"]
    return {
        "environment": environment,
        "location": "westeurope" if environment == "dev" else "northeurope",
        "tags": {"project": "a-project"},
        "names": {
            **{name: f"{name}-{environment}" for name in [*names, *identities]},
            "resource_group": f"rg-{environment}",
            "workspace": f"mlw-{environment}",
            "registry": "the-registry",
            "online_endpoint": f"online-{environment}",
            "batch_endpoint": f"batch-{environment}",
        },
        "terraform_state": {"resource_group": "rg-state", "storage_account": "st", "container": "c", "key": "k"},
        "compute": {
            "cluster": {"name": "cluster", "vm_size": "V", "min_nodes": 0, "max_nodes": 2, "idle_minutes": 15},
            "online": {"vm_size": "Standard_D2as_v4", "instance_count": 3},
            "batch": {"instance_count": 2, "mini_batch_size": 7, "max_concurrency_per_instance": 4},
        },
        "model": {"name": "a-model", "experiment": "an-experiment", "source": source},
        "rollout": {"canary_percent": 10, "canary_minutes": 0},
        "schedule": {"retrain_cron": "0 4 * * 1", "monitor_cron": "0 6 * * *", "time_zone": "UTC"},
        "monitor": {"lookback_days": 5, "alert_emails": [], "vm": "standard_e4s_v3"},
        "retention": {"log_days": 30},
        "security": {"purge_protection": True, "public_network_access": True},
    }


def write_yaml(path: Path, document: object) -> None:
    """Write a YAML file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(document), encoding="utf-8")


def create_project(root: Path) -> Project:
    """Make the project in a new folder; it uses the package and the definitions of the project around this file."""
    here = Project.load(Path(__file__).parent)
    root.mkdir()
    (root / "pyproject.toml").write_text(
        f'[tool.mlops]\npackage = "{here.package}"\nversion = "{here.version}"\ninfrastructure = "terraform"\n',
        encoding="utf-8",
    )
    for environment, source in {"dev": "workspace", "test": "registry", "prod": "registry"}.items():
        write_yaml(root / "config" / f"{environment}.yml", configuration(environment, source))
    write_yaml(root / "config" / "model.yml", {"drift": DRIFT})
    write_yaml(root / "data" / "schema.yml", SCHEMA)
    for folder in ("raw", "production"):
        (root / "data" / folder).mkdir()
        rows = "".join(f"{row},{row}.5\n" for row in range(9))
        (root / "data" / folder / "rows.csv").write_text(f"y,x\n{rows}", encoding="utf-8")
    for kind in ("train", "inference"):
        environment = {"name": kind, "dependencies": ["python=3.11"]}
        write_yaml(root / "data-science" / "environment" / f"{kind}.yml", environment)
    code = root / "data-science" / "src" / here.package
    code.mkdir(parents=True)
    for step in ("__init__", "prep", "train", "evaluate", "register", "score"):
        # What goes to Azure. The modules that are imported on this machine are those of the surrounding project.
        (code / f"{step}.py").write_text(f'"""{step}"""\n', encoding="utf-8")
    for folder in (here.root / "mlops").iterdir():
        if folder.is_dir() and folder.name not in ("src", "tests"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(folder, root / "mlops" / folder.name, ignore=ignored)
    if (ignored := here.root / ".amlignore").is_file():
        shutil.copy(ignored, root)
    return Project.load(root)
