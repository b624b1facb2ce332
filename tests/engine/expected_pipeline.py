"""What the training pipeline is, whichever way it is written: a table, and a pipeline's facts in the same form."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rendered import HERE, TORCH

from mlops.pipeline import Binding, Component, Pipeline, Port, binding, local_path

PACKAGE = HERE.package
OVERRIDES = {"overrides": ("string?", None)}
FILES = {"schema": ("uri_file", "schema"), "settings": ("uri_file", "settings")}
CHALLENGER = {"model": ("mlflow_model", "train.model"), "model_name": ("string", "model_name")}

EXPECTED: dict[str, Any] = {
    "inputs": {
        "raw_data": ("uri_folder", "ro_mount", "data/raw"),
        "production_data": ("uri_folder", "ro_mount", "data/production"),
        "schema": ("uri_file", None, "data/schema.yml"),
        "settings": ("uri_file", None, "config/model.yml"),
        "model_name": ("text", None, None),
    },
    "outputs": {
        "model": ("mlflow_model", "upload"),
        "evaluation": ("uri_folder", "upload"),
        "registration": ("uri_folder", "upload"),
    },
    "data": {"training-data": "data/raw", "production-data": "data/production"},
    "continue_on_step_failure": False,
    "steps": {
        "prep": {
            "inputs": {"raw_data": ("uri_folder", "raw_data"), **FILES, **OVERRIDES},
            "outputs": {"train_data": ("uri_folder", None), "test_data": ("uri_folder", None)},
            "is_deterministic": True,
            "command": f"python -m {PACKAGE}.prep --raw-data ${{{{inputs.raw_data}}}} --schema ${{{{inputs.schema}}}} "
            '--settings ${{inputs.settings}} $[[--overrides "${{inputs.overrides}}"]] '
            "--train-data ${{outputs.train_data}} --test-data ${{outputs.test_data}}",
        },
        "train": {
            "inputs": {"train_data": ("uri_folder", "prep.train_data"), **FILES, **OVERRIDES},
            "outputs": {"model": ("mlflow_model", "model"), **({"checkpoints": ("uri_folder", None)} if TORCH else {})},
            "is_deterministic": True,
            "command": f"python -m {PACKAGE}.train --train-data ${{{{inputs.train_data}}}} "
            '--schema ${{inputs.schema}} --settings ${{inputs.settings}} $[[--overrides "${{inputs.overrides}}"]] '
            + ("--checkpoints ${{outputs.checkpoints}} " if TORCH else "")
            + "--model ${{outputs.model}}",
        },
        "evaluate": {
            "inputs": {
                **CHALLENGER,
                "train_data": ("uri_folder", "prep.train_data"),
                "test_data": ("uri_folder", "prep.test_data"),
                "production_data": ("uri_folder?", "production_data"),
                **FILES,
                **OVERRIDES,
            },
            "outputs": {"evaluation": ("uri_folder", "evaluation")},
            "is_deterministic": False,
            "command": f"python -m {PACKAGE}.evaluate --model ${{{{inputs.model}}}} "
            "--model-name ${{inputs.model_name}} --train-data ${{inputs.train_data}} --test-data ${{inputs.test_data}} "
            '--schema ${{inputs.schema}} --settings ${{inputs.settings}} $[[--overrides "${{inputs.overrides}}"]] '
            "$[[--production-data ${{inputs.production_data}}]] --evaluation ${{outputs.evaluation}}",
        },
        "register": {
            "inputs": {**CHALLENGER, "evaluation": ("uri_folder", "evaluate.evaluation")},
            "outputs": {"registration": ("uri_folder", "registration")},
            "is_deterministic": False,
            "command": f"python -m {PACKAGE}.register --model ${{{{inputs.model}}}} "
            "--model-name ${{inputs.model_name}} --evaluation ${{inputs.evaluation}} "
            "--registration ${{outputs.registration}}",
        },
    },
}
"""Types end in "?" where an input is optional; what an input or output is bound to is "job.output" or a name."""


def facts(pipeline: Pipeline, root: Path) -> dict[str, Any]:
    """Return what EXPECTED says of a pipeline; paths start at the project's `root`."""
    settings: Any = pipeline.document["settings"]
    return {
        "inputs": {name: _input(value, pipeline, root) for name, value in pipeline.inputs.items()},
        "outputs": {name: (value["type"], value["mode"]) for name, value in pipeline.outputs.items()},  # type: ignore[index]
        "data": {name: _short(asset.path, root) for name, asset in pipeline.data.items()},
        "continue_on_step_failure": settings["continue_on_step_failure"],
        "steps": {name: _step(pipeline, name) for name in pipeline.order()},
    }


def _input(value: object, pipeline: Pipeline, root: Path) -> tuple[str, str | None, str | None]:
    if not isinstance(value, Mapping):
        return "text", None, None
    return value["type"], value.get("mode"), _short(local_path(value, pipeline), root)


def _step(pipeline: Pipeline, name: str) -> dict[str, Any]:
    node = pipeline.nodes[name]
    component = node.component
    assert isinstance(component, Component)
    return {
        "inputs": {key: (_type(port), _bound(node.inputs.get(key))) for key, port in component.inputs.items()},
        "outputs": {key: (_type(port), _bound(node.outputs.get(key))) for key, port in component.outputs.items()},
        "is_deterministic": component.document["is_deterministic"],
        "command": " ".join(component.command.split()),
    }


def _type(port: Port) -> str:
    return port.type + ("?" if port.optional else "")


def _bound(value: object) -> str | None:
    found = binding(value)
    if not isinstance(found, Binding):
        return None
    return f"{found.job}.{found.name}" if found.job else found.name


def _short(path: Path | None, root: Path) -> str | None:
    return path.resolve().relative_to(root.resolve()).as_posix() if path else None
