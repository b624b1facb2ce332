"""A pipeline with Responsible AI components, adapted to another schema: the values that the lint would name."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from mlops.lint.responsible_ai import Data, Use, uses_of, value_problems
from mlops.pipeline import Pipeline, binding, mapping
from mlops.responsible_ai.components import COMPONENTS
from mlops.yaml_text import edited, removed

_MOST_EDITS = 100
# The library changes a number step by step, in steps of its last decimal: with more values, for minutes.
_MOST_DIFFERENT = 100

Values = Mapping[str, Sequence[object]]


def adapted(path: Path, values: Values) -> str:
    """Return the text of a pipeline whose components fit the schema that it passes to its steps.

    Only what the lint would name is edited, so a value that fits stays. What a component cannot do with this target,
    such as the causal analysis of three classes, is left out with the job.

    Args:
        path: The pipeline.
        values: Those of the columns, as far as they are known: counterfactuals look for a prediction in the lower half
            of a target that is a number, by other values of features that have few.
    """
    text = path.read_bytes().decode("utf-8")
    for number in range(_MOST_EDITS):
        pipeline = Pipeline.from_dict(yaml.safe_load(text), path, components=COMPONENTS)
        data = Data.load(pipeline)
        if data is None:
            return text
        if number == 0:
            text = _without_former_range(text, pipeline, data)
            continue
        if (found := _edited_once(text, pipeline, data, values)) == text:
            return text
        text = found
    return text


def _without_former_range(text: str, pipeline: Pipeline, data: Data) -> str:
    """Return a text without the range that counterfactuals look for, if that is of another target."""
    uses = uses_of(pipeline).values()
    targets = {use.text("target_column_name") for use in uses if use.kind == "insight_constructor"}
    if targets <= {data.target, None}:
        return text
    for use in uses:
        if use.text("desired_range") is not None:
            text = edited(text, use.where("desired_range"), "")
    return text


def _edited_once(text: str, pipeline: Pipeline, data: Data, values: Values) -> str:
    for use in uses_of(pipeline).values():
        for port, _ in value_problems(use, data):
            found = _repaired(text, pipeline, use, port, data, values) if port else _without_job(text, use)
            if (found := _without_unused(found, pipeline)) != text:
                return found
    return text


def _repaired(text: str, pipeline: Pipeline, use: Use, port: str, data: Data, values: Values) -> str:
    place = f"jobs.{use.name}.inputs"
    for other in {"desired_range", "desired_class"} - {port} if port.startswith("desired_") else set():
        if other in use.node.inputs:
            text = removed(text, f"{place}.{other}")
    value = _value(port, data, values)
    if value is not None:
        return edited(text, use.where(port), value)
    return removed(text, f"{place}.{port}") if port in use.node.inputs else text


def _value(port: str, data: Data, values: Values) -> str | None:
    """Return what belongs into an input; None for nothing."""
    if port == "desired_range":
        numbers = [float(each) for each in values.get(data.target, ()) if isinstance(each, int | float)] or [0.0, 1.0]
        low, middle = min(numbers), statistics.median(numbers)
        return json.dumps([float(f"{each:.3g}") for each in (low, middle if middle > low else max(numbers))])
    usable = [name for name in data.features if name not in data.parts] or data.features
    different = {name: len({*values.get(name, ())}) for name in usable}
    few = [name for name in usable if 1 < different[name] <= _MOST_DIFFERENT]
    fewest = sorted(usable, key=lambda name: different[name])[:1]
    lists = {
        "categorical_column_names": data.names,
        "features_to_vary": few or fewest,
        "treatment_features": (data.numbers or usable)[:1],
    }
    if port in lists:
        return json.dumps(lists[port], ensure_ascii=False)
    texts = {
        "task_type": data.task,
        "target_column_name": data.target,
        "desired_class": "opposite" if len(data.classes) <= 2 else "0",
    }
    return texts.get(port)


def _without_job(text: str, use: Use) -> str:
    """Return a text without a job, and without what is bound to its outputs."""
    document = yaml.safe_load(text)
    bound = [found.name for value in use.node.outputs.values() if (found := binding(value)) and found.kind == "output"]
    for name in bound:
        text = removed(text, f"outputs.{name}")
    for name, job in mapping(document.get("jobs")).items():
        for port, value in mapping(mapping(job).get("inputs")).items():
            if (found := binding(value)) and found.kind == "job" and found.job == use.name:
                text = removed(text, f"jobs.{name}.inputs.{port}")
    return removed(text, f"jobs.{use.name}")


def _without_unused(text: str, before: Pipeline) -> str:
    """Return a text without the inputs of the pipeline that were of use before, and are no more."""
    after = Pipeline.from_dict(yaml.safe_load(text), before.source, components=COMPONENTS)
    for name in _used(before) - _used(after):
        text = removed(text, f"inputs.{name}")
    return text


def _used(pipeline: Pipeline) -> set[str]:
    values = (value for node in pipeline.nodes.values() for value in node.inputs.values())
    return {found.name for value in values if (found := binding(value)) and found.kind == "input"}
