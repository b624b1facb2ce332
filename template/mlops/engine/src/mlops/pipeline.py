"""The Azure ML pipeline definition as plain data, shared by the lint and the local runner.

Every mlops version brings its pipeline into this form. YAML files are read with PyYAML alone: importing azure-ai-ml
takes seconds, and neither the runner nor the graph checks need it. Loading is lenient on purpose. What cannot be
resolved stays as it is written, so that the lint can report every mistake of a file at once instead of stopping at the
first.
"""

import graphlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Self

from mlops.errors import UserError
from mlops.project import load_yaml

LITERAL_TYPES = ("string", "integer", "number", "boolean")
PATH_TYPES = ("uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model", "path")
"""Types of files and folders; components of registries may have inputs of type `path`, which accept any of them."""

REFERENCE = re.compile(r"\$\{\{\s*(inputs|outputs)\.([^\s{}]+?)\s*\}\}")
"""A placeholder of a component's command, such as `${{inputs.data}}`: groups are the side and the name."""

OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
"""The part of a command that Azure ML drops when an optional input in it has no value: `$[[--x ${{inputs.x}}]]`."""

SAMPLES = {"raw_data": "raw", "production_data": "production"}
"""The folders in `data/` with examples of inputs whose data is only in Azure, for the local loop and smoke tests."""

_BINDING = re.compile(
    r"^\$\{\{\s*parent\.(?:(?P<side>inputs|outputs)\.(?P<port>[^\s{}.]+)"
    r"|jobs\.(?P<job>[^\s{}.]+)\.outputs\.(?P<output>[^\s{}.]+))\s*\}\}$"
)
_ASSET = re.compile(r"^azureml:(?!//)(?P<name>[^:@/]+)(?:@(?P<label>[^:@/]+)|:(?P<version>[^:@/]+))?$")


@dataclass(frozen=True)
class Port:
    """One input or output of a component; an empty `type` is that of what is bound to it."""

    name: str
    type: str
    optional: bool = False
    default: object = None
    minimum: float | None = None
    maximum: float | None = None
    enum: tuple[object, ...] = ()
    mode: str | None = None


@dataclass(frozen=True)
class Component:
    """A step: a command with its ports, read from a component file or written inline in a pipeline."""

    name: str
    command: str
    code: Path | None
    environment: object
    inputs: dict[str, Port]
    outputs: dict[str, Port]
    source: Path
    environment_variables: dict[str, str] = field(default_factory=dict)
    document: dict[str, object] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a component file.

        Raises:
            UserError: It is missing, or holds no YAML mapping.
        """
        return cls.from_dict(load_yaml(path), path)

    @classmethod
    def from_dict(cls, document: Mapping[str, object], source: Path) -> Self:
        """Build a component from its YAML document; relative paths start at the folder of `source`."""
        code = document.get("code")
        return cls(
            name=str(document.get("name", "")),
            command=str(document.get("command") or ""),
            code=source.parent / code if isinstance(code, str) and is_local(code) else None,
            environment=document.get("environment"),
            inputs={name: _port(name, spec) for name, spec in mapping(document.get("inputs")).items()},
            outputs={name: _port(name, spec) for name, spec in mapping(document.get("outputs")).items()},
            source=source,
            environment_variables={
                name: str(value) for name, value in mapping(document.get("environment_variables")).items()
            },
            document=dict(document),
        )

    @classmethod
    def inline(cls, job: Mapping[str, object], source: Path) -> Self:
        """Build a component from a job with a command of its own: its ports are known from the given values alone."""
        component = cls.from_dict({**job, "inputs": {}, "outputs": {}}, source)
        component.inputs.update({name: _guess_port(name, value) for name, value in mapping(job.get("inputs")).items()})
        for name, value in mapping(job.get("outputs")).items():
            port = _port(name, value)
            # Without a type, a bound output takes that of the pipeline's output; any other is a folder.
            component.outputs[name] = port if port.type or binding(value) else replace(port, type="uri_folder")
        component.document.update({key: job[key] for key in ("inputs", "outputs") if key in job})
        return component


@dataclass(frozen=True)
class Node:
    """A job of the pipeline. `component` stays text when it is not in the project: a registry's, or a wrong path."""

    name: str
    component: Component | str
    inputs: dict[str, object]
    outputs: dict[str, object]


@dataclass(frozen=True)
class Binding:
    """What `${{parent...}}` points at: a pipeline `input` or `output`, or an output of `job`."""

    kind: Literal["input", "output", "job"]
    name: str
    job: str | None = None


@dataclass(frozen=True)
class DataAsset:
    """A data asset that the project defines: where its content lies on this machine, and the file that defines it.

    `path` is None for content that is only in Azure, at `address`; `version` is None when each new content gets the
    next one.
    """

    name: str
    path: Path | None
    source: Path
    version: str | None = None
    address: str = ""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline with its jobs; values of `inputs` and `outputs` are as written in the YAML.

    `data` has the data assets that the project defines, by name.
    """

    source: Path
    document: dict[str, object]
    inputs: dict[str, object]
    outputs: dict[str, object]
    nodes: dict[str, Node]
    data: dict[str, DataAsset] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, components: Mapping[str, Component] | None = None) -> Self:
        """Read a pipeline file; `components` as in `from_dict`.

        Raises:
            UserError: It is missing, or holds no YAML mapping.
        """
        return cls.from_dict(load_yaml(path), path, data_assets(path.parent / "data"), components)

    @classmethod
    def from_dict(
        cls,
        document: Mapping[str, object],
        source: Path,
        data: Mapping[str, DataAsset] | None = None,
        components: Mapping[str, Component] | None = None,
    ) -> Self:
        """Build a pipeline from its YAML document; relative paths start at the folder of `source`.

        `components` are those that stand in no file of their own, by the text that jobs name them with.
        """
        jobs = {name: job for name, job in mapping(document.get("jobs")).items() if isinstance(job, Mapping)}
        return cls(
            source=source,
            document=dict(document),
            inputs=mapping(document.get("inputs")),
            outputs=mapping(document.get("outputs")),
            nodes={
                name: Node(
                    name=name,
                    component=_component(job, source, components or {}),
                    inputs=mapping(job.get("inputs")),
                    outputs=mapping(job.get("outputs")),
                )
                for name, job in jobs.items()
            },
            data=dict(data or {}),
        )

    @property
    def distributed(self) -> list[str]:
        """The names of the jobs that run as several processes in Azure ML."""
        jobs = mapping(self.document.get("jobs"))
        return [name for name in self.nodes if "distribution" in mapping(jobs.get(name))]

    def order(self) -> list[str]:
        """Return the names of the jobs, each after the jobs it reads from.

        Raises:
            UserError: The jobs read from each other in a cycle.
        """
        try:
            return list(graphlib.TopologicalSorter({name: self.needs(name) for name in self.nodes}).static_order())
        except graphlib.CycleError as error:
            raise UserError(
                f"{self.source.name}: the jobs wait for each other in a circle: {' -> '.join(error.args[1])}"
            ) from None

    def needs(self, node: str) -> list[str]:
        """Return the names of the existing jobs whose outputs the job reads, in the order of its inputs."""
        found = (binding(value) for value in self.nodes[node].inputs.values())
        return list(dict.fromkeys(item.job for item in found if item and item.job in self.nodes))


def binding(value: object) -> Binding | None:
    """Return the binding in a value (text, or the `path` of a mapping), or None for a literal or a path."""
    text = value.get("path") if isinstance(value, Mapping) else value
    match = _BINDING.match(text.strip()) if isinstance(text, str) else None
    if not match:
        return None
    if match["job"]:
        return Binding("job", match["output"], match["job"])
    return Binding("input" if match["side"] == "inputs" else "output", match["port"])


def local_path(value: object, pipeline: Pipeline) -> Path | None:
    """Return where an input's data is on this machine, or None for a literal, a binding and what is only in Azure.

    A data asset (`azureml:<name>@latest`) stands for the content that the project defines under that name.
    """
    if (asset := data_asset(value, pipeline)) is not None:
        return asset.path
    text = value.get("path") if isinstance(value, Mapping) else None
    if not isinstance(text, str) or "${{" in text:
        return None
    return pipeline.source.parent / text.removeprefix("file:") if text and is_local(text) else None


def samples(pipeline: Pipeline) -> dict[str, Path]:
    """Return the folders with examples of those inputs whose data is only in Azure, by the input's name."""
    inputs = pipeline.inputs
    remote = [name for name in SAMPLES if name in inputs and _is_in_azure(inputs[name], pipeline)]
    return {name: pipeline.source.parents[2] / "data" / SAMPLES[name] for name in remote}


def reads_azure(pipeline: Pipeline) -> bool:
    """Whether some input's content is only in Azure, where it can change under the same name."""
    values = [*pipeline.inputs.values(), *(value for node in pipeline.nodes.values() for value in node.inputs.values())]
    return any(_is_in_azure(value, pipeline) for value in values)


def _is_in_azure(value: object, pipeline: Pipeline) -> bool:
    is_path = isinstance(value, Mapping) and bool(value.get("path")) and binding(value) is None
    return is_path and local_path(value, pipeline) is None


def data_asset(value: object, pipeline: Pipeline) -> DataAsset | None:
    """Return the project's own data asset that an input names, as text or in the `path` of a mapping."""
    text = value.get("path") if isinstance(value, Mapping) else value
    match = _ASSET.match(text) if isinstance(text, str) else None
    asset = pipeline.data.get(match["name"]) if match else None
    if match and asset and match["version"] and asset.version and match["version"] != asset.version:
        return None
    return asset


def data_assets(folder: Path) -> dict[str, DataAsset]:
    """Return the data assets that the YAML files in `folder` define."""
    assets = {}
    for source, document in yaml_files(folder):
        name, path = document.get("name"), str(document.get("path", ""))
        local = source.parent / path.removeprefix("file:") if path and is_local(path) else None
        version = str(document["version"]) if "version" in document else None
        assets[str(name)] = DataAsset(str(name), local, source, version, path)
    return assets


def asset_file(reference: object, folder: Path) -> Path | None:
    """Return the file in `folder` that defines the asset `azureml:<name>@latest` or `azureml:<name>:<version>`."""
    match = _ASSET.match(reference) if isinstance(reference, str) else None
    if not match:
        return None
    for path, document in yaml_files(folder):
        version = str(document.get("version", match["version"]))
        if document.get("name") == match["name"] and match["version"] in (None, version):
            return path
    return None


def yaml_files(folder: Path) -> Iterator[tuple[Path, dict[str, object]]]:
    """Give each YAML file under `folder` that holds a mapping, in the order of names; unreadable ones are left out."""
    for path in sorted(p for p in folder.rglob("*") if p.suffix in {".yml", ".yaml"}):
        try:
            yield path, load_yaml(path)
        except UserError:
            continue


def is_local(text: str) -> bool:
    """Whether text names a path of this machine rather than an asset, a datastore or a web address."""
    return not text.startswith(("azureml:", "git+")) and "://" not in text


def mapping(value: object) -> dict[str, object]:
    """Return a mapping with text keys, empty when the value is something else."""
    return {str(key): item for key, item in value.items()} if isinstance(value, Mapping) else {}


def _component(job: Mapping[str, object], source: Path, known: Mapping[str, Component]) -> Component | str:
    named = job.get("component", job.get("trial"))
    if isinstance(named, Mapping):
        return Component.from_dict(mapping(named), source)
    if not isinstance(named, str):
        return Component.inline(job, source)
    if named in known:
        return known[named]
    path = asset_file(named, source.parent / "components")
    if path is None and is_local(named):
        path = source.parent / named.removeprefix("file:")
    try:
        return Component.load(path) if path else named
    except UserError:
        return named


def _guess_port(name: str, value: object) -> Port:
    if isinstance(value, Mapping):
        return _port(name, value)
    if binding(value):
        return Port(name, "")
    kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
    return Port(name, kinds.get(type(value), ""), default=value)


def _port(name: str, spec: object) -> Port:
    document = mapping(spec)
    enum = document.get("enum")
    return Port(
        name=name,
        type=str(document.get("type", "")),
        optional=document.get("optional") is True,
        default=document.get("default"),
        minimum=_number(document.get("min")),
        maximum=_number(document.get("max")),
        enum=tuple(enum) if isinstance(enum, list) else (),
        mode=str(document["mode"]) if document.get("mode") else None,
    )


def _number(value: object) -> float | None:
    try:
        return float(str(value)) if value is not None else None
    except ValueError:
        return None
