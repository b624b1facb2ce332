"""Azure ML's Responsible AI components: their inputs and outputs, and what does their work on this machine.

The registry shows them only to users who are signed in, so the specification is repeated here: the lint checks
pipelines against it, and the local runner reads from it how `mlops.responsible_ai.local` is called.

Source: github.com/Azure/azureml-assets, assets/responsibleai/tabular/components, version 0.22.0.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from mlops.pipeline import Component

VERSION = "0.22.0"
PREFIX = "rai_tabular_"
ADDRESS = "azureml://registries/azureml/components/{}/versions/" + VERSION

_ANY = {"type": "path"}  # a file, a folder or a table
_TEXT = {"type": "string"}


def _default(type_: str, value: object, **limits: object) -> dict[str, object]:
    return {"type": type_, "default": value, **limits}


def _choice(*values: str) -> dict[str, object]:
    return {"type": "string", "default": values[0], "enum": list(values)}


def _maybe(port: Mapping[str, object]) -> dict[str, object]:
    return {**port, "optional": True}


# Inputs and outputs by component. The limits of numbers are our own: values beyond them end in an error of the library.
_PORTS: dict[str, tuple[dict[str, Mapping[str, object]], tuple[str, ...]]] = {
    "insight_constructor": (
        {
            "title": _TEXT,
            "task_type": {"type": "string", "enum": ["classification", "regression", "forecasting"]},
            "model_info_path": _maybe(_ANY),
            "model_input": _maybe({"type": "mlflow_model"}),
            "model_info": _maybe(_TEXT),
            "train_dataset": _ANY,
            "test_dataset": _ANY,
            "target_column_name": _TEXT,
            "maximum_rows_for_test_dataset": _default("integer", 5000, min=1),
            "categorical_column_names": _default("string", "[]"),
            "classes": _default("string", "[]"),
            "feature_metadata": _default("string", "{}"),
            "use_model_dependency": _default("boolean", False),
        },
        ("rai_insights_dashboard",),
    ),
    "explanation": ({"comment": _TEXT, "rai_insights_dashboard": _ANY}, ("explanation",)),
    "causal": (
        {
            "rai_insights_dashboard": _ANY,
            "treatment_features": _TEXT,
            "heterogeneity_features": _default("string", "null"),
            "nuisance_model": _choice("linear", "automl"),
            "heterogeneity_model": _choice("linear", "forest"),
            "alpha": _default("number", 0.05, min=0, max=1),
            "upper_bound_on_cat_expansion": _default("integer", 50, min=1),
            "treatment_cost": _default("string", "0"),
            "min_tree_leaf_samples": _default("integer", 2, min=1),
            "max_tree_depth": _default("integer", 2, min=1),
            "skip_cat_limit_checks": _default("boolean", False),
            "categories": _default("string", "auto"),
            "n_jobs": _default("integer", 1, min=-1),
            "verbose": _default("integer", 1, min=0),
            "random_state": _default("string", "None"),
        },
        ("causal",),
    ),
    "counterfactual": (
        {
            "rai_insights_dashboard": _ANY,
            "total_CFs": _default("integer", 10, min=1),
            "method": _choice("random", "genetic", "kdtree"),
            "desired_class": _maybe(_TEXT),
            "desired_range": _maybe(_TEXT),
            "permitted_range": _maybe(_TEXT),
            "features_to_vary": _default("string", "all"),
            "feature_importance": _default("boolean", True),
        },
        ("counterfactual",),
    ),
    "erroranalysis": (
        {
            "rai_insights_dashboard": _ANY,
            "max_depth": _default("integer", 3, min=1),
            "num_leaves": _default("integer", 31, min=2),
            "min_child_samples": _default("integer", 20, min=1),
            "filter_features": _default("string", "null"),
        },
        ("error_analysis",),
    ),
    "insight_gather": (
        {"constructor": _ANY, **{f"insight_{number}": _maybe(_ANY) for number in range(1, 5)}},
        ("dashboard", "ux_json"),
    ),
    "score_card": (
        {"dashboard": _ANY, "pdf_generation_config": _ANY, "predefined_cohorts_json": _maybe(_ANY)},
        ("scorecard",),
    ),
}
TOOLS = ("explanation", "causal", "counterfactual", "erroranalysis")
"""The components that compute an insight."""


def _component(kind: str, inputs: Mapping[str, Mapping[str, object]], outputs: Iterable[str]) -> Component:
    """Describe a component, with the command that does its work on this machine."""
    options = [
        f"$[[--{name} ${{{{inputs.{name}}}}}]]" if port.get("optional") else f"--{name} ${{{{inputs.{name}}}}}"
        for name, port in inputs.items()
    ]
    options += [f"--{name} ${{{{outputs.{name}}}}}" for name in outputs]
    document = {
        "name": PREFIX + kind,
        "command": f"python -m mlops.responsible_ai.local {kind} {' '.join(options)}",
        "inputs": inputs,
        "outputs": {name: {"type": "uri_folder"} for name in outputs},
    }
    return Component.from_dict(document, Path(__file__))


COMPONENTS: dict[str, Component] = {
    ADDRESS.format(PREFIX + kind): _component(kind, *ports) for kind, ports in _PORTS.items()
}
"""The components by the address that a pipeline names them with."""
