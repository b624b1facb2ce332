"""Checks of Azure ML's Responsible AI components: what they would refuse, or silently do wrong, minutes later.

They find out only when they run that a list is no JSON or that a feature is no column.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.definitions.base import Document, Finding
from mlops.errors import UserError, did_you_mean
from mlops.pipeline import Component, Node, Pipeline, binding, local_path, mapping
from mlops.project import load_yaml
from mlops.responsible_ai.components import ADDRESS, COMPONENTS, PREFIX, TOOLS, VERSION


@dataclass(frozen=True)
class Data:
    """The content of data/schema.yml. `classes` are those that it lists, in the order that the library gives them.

    Of the features, `names` are those whose values are names, `numbers` those that are numbers, and `parts` those that
    are parts of a date.
    """

    target: str
    task: str
    features: list[str]
    names: list[str]
    numbers: list[str]
    parts: list[str]
    classes: list[str]
    target_type: str

    @classmethod
    def load(cls, pipeline: Pipeline) -> "Data | None":
        """Read the schema that the pipeline passes to its steps; None where there is none that can be read."""
        path = local_path(pipeline.inputs.get("schema"), pipeline)
        try:
            document = load_yaml(path) if path else {}
        except UserError:
            return None
        listed = {**mapping(document.get("columns")), **mapping(document.get("features"))}
        columns = {name: mapping(column) for name, column in listed.items()}
        target = str(document.get("target"))
        if target not in columns:
            return None
        features: dict[str, object] = {}
        for name, column in columns.items():
            if name != target and column.get("role") not in ("ignore", "input"):
                parts = column.get("derive")
                derived: dict[str, object] = (
                    {f"{name}_{part}": "date" for part in parts} if isinstance(parts, list) else {}
                )
                features |= derived or {name: column.get("type")}
        classes = columns[target].get("values")
        return cls(
            target=target,
            task=str(document.get("task")),
            features=list(features),
            names=[name for name, kind in features.items() if kind in ("category", "text")],
            numbers=[name for name, kind in features.items() if kind in ("integer", "number")],
            parts=[name for name, kind in features.items() if kind == "date"],
            classes=sorted(str(value) for value in classes) if isinstance(classes, list) else [],
            target_type=str(columns[target].get("type")),
        )


class Use:
    """One job that uses a component, with the values of its inputs as far as they are written in the pipeline."""

    def __init__(self, node: Node, pipeline: Pipeline) -> None:
        """Look at a node whose component is one of COMPONENTS."""
        assert isinstance(node.component, Component)
        self.name, self.node, self.component = node.name, node, node.component
        self.kind = node.component.name.removeprefix(PREFIX)
        self._inputs = pipeline.inputs

    def text(self, port: str) -> str | None:
        """Return the value of an input as text; None when it is not given, or comes from another job."""
        value = self.node.inputs.get(port)
        found = binding(value)
        if found and found.kind == "input":
            value = self._inputs.get(found.name)
        elif found:
            return None
        return None if value is None or isinstance(value, Mapping) else str(value)

    def where(self, port: str) -> str:
        """Return where the value of an input is in the file: at the job, or at the pipeline's input bound to it.

        Without an input it is the job.
        """
        if not port:
            return f"jobs.{self.name}"
        found = binding(self.node.inputs.get(port))
        return f"inputs.{found.name}" if found and found.kind == "input" else f"jobs.{self.name}.inputs.{port}"

    def source(self, port: str) -> tuple[str, str] | None:
        """Return the job and the output that an input is bound to."""
        found = binding(self.node.inputs.get(port))
        return (str(found.job), found.name) if found and found.kind == "job" else None


def check(pipeline: Pipeline, document: Document) -> Iterator[Finding]:
    """Find what the components would refuse, or silently do wrong, in a pipeline that uses them.

    Their names, types and required inputs are checked with those of all other components, from COMPONENTS.
    """
    for name, job in mapping(pipeline.document.get("jobs")).items():
        reference = mapping(job).get("component")
        if isinstance(reference, str) and (message := _reference_problem(reference)):
            yield document.finding(f"jobs.{name}.component", message)
    uses = uses_of(pipeline)
    yield from (document.finding(where, message) for where, message in _all_value_problems(pipeline, uses))
    yield from (document.finding(where, message) for where, message in _graph_problems(uses, pipeline))


def value_findings(path: Path) -> list[Finding]:
    """Find values in a pipeline's file that its components would refuse, or that do not fit the schema.

    Raises:
        UserError: The file is missing, or holds no YAML mapping.
    """
    pipeline = Pipeline.load(path, COMPONENTS)
    return [Finding(path, where, message) for where, message in _all_value_problems(pipeline, uses_of(pipeline))]


def _all_value_problems(pipeline: Pipeline, uses: Mapping[str, Use]) -> "Problems":
    data = Data.load(pipeline) if uses else None
    for use in uses.values():
        for port in use.component.inputs:
            if "'" in (use.text(port) or ""):
                # The component puts each text between apostrophes on a command line.
                yield use.where(port), "an apostrophe breaks the component's command: leave it out"
        if data:
            yield from ((use.where(port), message) for port, message in value_problems(use, data))


def uses_of(pipeline: Pipeline) -> dict[str, Use]:
    """Return the jobs of a pipeline that use a component, by name."""
    known = {component.name for component in COMPONENTS.values()}
    return {
        node.name: Use(node, pipeline)
        for node in pipeline.nodes.values()
        if isinstance(node.component, Component) and node.component.name in known
    }


_REFERENCE = re.compile(
    r"^azureml://registries/(?P<registry>[^/]+)/components/(?P<name>[^/]+)/(?:versions/(?P<version>.+)|labels/.+)$"
)


def _reference_problem(reference: str) -> str | None:
    match = _REFERENCE.match(reference)
    name = match["name"].removeprefix("microsoft_azureml_") if match else ""
    if not match or not name.startswith("rai_"):
        return None
    address = ADDRESS.format(name)
    if address in COMPONENTS:
        return None if reference == address else f"write {address}"
    if name.startswith(("rai_text_", "rai_vision_")):
        gone = f"{name} was removed from the registry in August 2025"
        return f"{gone}: a project of images has ./components/responsible_ai.yml, a component of its own, instead"
    known = [component.name for component in COMPONENTS.values()]
    return f"the registry azureml has no component {name}{did_you_mean(name, known)}"


Problems = Iterator[tuple[str, str]]
"""The input (or the place in the file) and what is wrong with it."""


def _json(text: str) -> Any:
    """Return the value of JSON text, or None when it is not JSON."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _list_problem(text: str, known: Iterable[str], example: str) -> str | None:
    """Return what is wrong with a list of columns, written in JSON."""
    names = _json(text)
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        return f"a list in JSON is expected, such as '[\"{example}\"]', not {text!r}"
    known = list(known)
    unknown = [name for name in names if name not in known]
    if unknown:
        return f'"{unknown[0]}" is no feature of data/schema.yml{did_you_mean(unknown[0], known)}'
    return "a feature is listed twice" if len(set(names)) < len(names) else None


def _constructor_values(use: Use, data: Data) -> Problems:
    task, target, names = (use.text(port) for port in ("task_type", "target_column_name", "categorical_column_names"))
    if task is not None and task != data.task:
        yield "task_type", f"data/schema.yml has a {data.task}: write {data.task}"
    if target is not None and target != data.target:
        yield "target_column_name", f"the target of data/schema.yml is {data.target}: write {data.target}"
    elif target is not None and not re.fullmatch(r"[\w.:@%+=,-]+", target):
        yield "target_column_name", f"the component's command breaks at {target!r}: name the column without spaces"
    # Left out, it is an empty list; from another job, it is unknown here.
    given = _json(names or "[]") if use.source("categorical_column_names") is None else data.names
    if not isinstance(given, list) or sorted(map(str, given)) != sorted(data.names):
        wanted = json.dumps(data.names, ensure_ascii=False)
        yield "categorical_column_names", f"the categories of data/schema.yml are to be named: write '{wanted}'"
    classes = use.text("classes")
    if classes is not None and not isinstance(_json(classes), list):
        yield "classes", f"a list in JSON is expected, not {classes!r}: leave it out, the data has the classes"
    metadata = use.text("feature_metadata")
    if metadata is not None and not isinstance(_json(metadata), dict):
        yield "feature_metadata", f"a mapping in JSON is expected, not {metadata!r}"
    if "model_info_path" not in use.node.inputs:
        # With model_input and model_info, the constructor loads one model and all others what model_info names.
        yield "model_info_path", "bind the folder of model_info.json here: each component loads the model that it names"


def _counterfactual_values(use: Use, data: Data) -> Problems:
    wanted = "desired_range" if data.task == "regression" else "desired_class"
    other = "desired_class" if data.task == "regression" else "desired_range"
    if wanted not in use.node.inputs:
        yield wanted, f"a {data.task} needs this input" + (f", not {other}" if other in use.node.inputs else "")
    elif other in use.node.inputs:
        yield other, f"is not for a {data.task}: leave it out"
    elif (text := use.text(wanted)) is not None:
        problem = _range_problem(text) if data.task == "regression" else _class_problem(text, data.classes)
        if problem:
            yield wanted, problem
    if data.task == "classification" and data.target_type == "boolean":
        yield wanted, "counterfactuals need classes that are text or numbers: make the target a category in the schema"
    vary = use.text("features_to_vary")
    if vary not in (None, "all") and (problem := _list_problem(str(vary), data.features, "hour")):
        yield "features_to_vary", problem
    permitted = use.text("permitted_range")
    if permitted is not None:
        ranges = _json(permitted)
        if not isinstance(ranges, dict):
            example = '{"hour": [6, 20]}'
            yield "permitted_range", f"a mapping in JSON is expected, such as '{example}', not {permitted!r}"
        elif problem := _list_problem(json.dumps(list(ranges)), data.features, "hour"):
            yield "permitted_range", problem
    total, importance = use.text("total_CFs") or "10", use.text("feature_importance") or "True"
    if total.isdigit() and int(total) < 10 and importance.lower() == "true":
        yield "total_CFs", "feature_importance needs 10 or more; or set it to false"


def _range_problem(text: str) -> str | None:
    ends = _json(text)
    numbers = isinstance(ends, list) and all(isinstance(end, int | float) and end is not True for end in ends)
    if not isinstance(ends, list) or not numbers or len(ends) != 2 or ends[0] >= ends[1]:
        return f"two numbers in JSON are expected, the smaller one first, such as '[0, 15]', not {text!r}"
    return None


def _class_problem(text: str, classes: list[str]) -> str | None:
    if len(classes) <= 2:
        return None if text in ("opposite", "0", "1") else f"of two classes it is opposite, 0 or 1, not {text!r}"
    if text.isdigit() and int(text) < len(classes):
        return None
    numbers = ", ".join(f"{number} for {name}" for number, name in enumerate(classes))
    return f"of more than two classes it is a number: {numbers}, not {text!r}"


def _causal_values(use: Use, data: Data) -> Problems:
    if len(data.classes) > 2:
        yield "", "the causal analysis supports two classes at most: leave this job out"
    text = use.text("treatment_features")
    if text is not None and (problem := _list_problem(text, data.features, "hour")):
        yield "treatment_features", problem
    text = use.text("heterogeneity_features")
    if text not in (None, "null", "[]") and (problem := _list_problem(str(text), data.features, "hour")):
        yield "heterogeneity_features", problem
    text = use.text("treatment_cost")
    if text is not None and not isinstance(_json(text), int | float | list):
        yield "treatment_cost", f"a number, or a list of them in JSON, is expected, not {text!r}"
    text = use.text("random_state")
    if text not in (None, "None") and not str(text).isdigit():
        yield "random_state", f"an integer or None is expected, not {text!r}"
    if (text := use.text("categories")) not in (None, "auto"):
        yield "categories", f"the component's command breaks at anything but auto, so at {text!r}"


def _erroranalysis_values(use: Use, data: Data) -> Problems:
    text = use.text("filter_features")
    if text in (None, "null", "[]"):
        return
    if problem := _list_problem(str(text), data.features, "hour"):
        yield "filter_features", problem
    elif len(_json(str(text))) > 2:
        yield "filter_features", "the heat map has two features at most"


def _score_card_values(use: Use, data: Data) -> Problems:
    if len(data.classes) > 2:
        yield "", f"the score card of {VERSION} stops at more than two classes: leave this job out"


_VALUES: dict[str, Callable[[Use, Data], Problems]] = {
    "insight_constructor": _constructor_values,
    "counterfactual": _counterfactual_values,
    "causal": _causal_values,
    "erroranalysis": _erroranalysis_values,
    "score_card": _score_card_values,
}


def value_problems(use: Use, data: Data) -> Problems:
    """Check the values that a job gives to its component against the schema."""
    check_values = _VALUES.get(use.kind)
    return check_values(use, data) if check_values else iter(())


def _graph_problems(uses: Mapping[str, Use], pipeline: Pipeline) -> Problems:
    """Check how the components are put together: each insight once into the gathering, all of one constructor."""
    gathered: set[str] = set()
    for use in uses.values():
        if use.kind in TOOLS:
            yield from _source_problems(use, "rai_insights_dashboard", uses, ("insight_constructor",))
        elif use.kind == "insight_gather":
            yield from _source_problems(use, "constructor", uses, ("insight_constructor",))
            yield from _gather_problems(use, uses)
            gathered |= {source[0] for port in _insights(use) if (source := use.source(port))}
        elif use.kind == "score_card":
            yield from _source_problems(use, "dashboard", uses, ("insight_gather",))
        if use.kind in ("insight_gather", "score_card"):
            yield from _mode_problems(use, pipeline)
    for use in uses.values():
        if use.kind in TOOLS and use.name not in gathered:
            yield f"jobs.{use.name}", "nothing gathers this insight, so no dashboard shows it: bind an insight_<n>"


def _insights(use: Use) -> list[str]:
    return [port for port in use.component.inputs if port.startswith("insight_") and port in use.node.inputs]


def _source_problems(use: Use, port: str, uses: Mapping[str, Use], kinds: tuple[str, ...]) -> Problems:
    """Check that an input is bound to the first output of a component of one of these kinds."""
    if port not in use.node.inputs:
        return
    source = use.source(port)
    job = uses.get(source[0]) if source else None
    expected = " or ".join(f"{PREFIX}{kind}" for kind in kinds)
    if job is None or job.kind not in kinds:
        yield use.where(port), f"an output of {expected} is expected"
    elif source and source[1] in job.component.outputs and source[1] != next(iter(job.component.outputs)):
        yield use.where(port), f"the output {next(iter(job.component.outputs))} is expected, not {source[1]}"


def _gather_problems(use: Use, uses: Mapping[str, Use]) -> Problems:
    ports = _insights(use)
    if not ports:
        yield f"jobs.{use.name}.inputs", "there is no insight to gather: bind insight_1"
    seen: dict[str, str] = {}
    for port in ports:
        yield from _source_problems(use, port, uses, TOOLS)
        source = use.source(port)
        tool = uses.get(source[0]) if source else None
        if tool is None or tool.kind not in TOOLS:
            continue
        if tool.kind in seen:
            yield use.where(port), f"{seen[tool.kind]} has an insight of {PREFIX}{tool.kind} already"
        seen.setdefault(tool.kind, port)
        if tool.source("rai_insights_dashboard") != use.source("constructor"):
            yield use.where(port), f"the job {tool.name} has another constructor than this gathering"


def _mode_problems(use: Use, pipeline: Pipeline) -> Problems:
    for name in use.component.outputs:
        value = use.node.outputs.get(name)
        found = binding(value)
        spec = pipeline.outputs.get(found.name) if found else value
        if mapping(spec).get("mode") != "upload":
            where = f"outputs.{found.name}" if found else f"jobs.{use.name}.outputs.{name}"
            yield where, "folders are copied into it, which a mount refuses: set mode: upload"
