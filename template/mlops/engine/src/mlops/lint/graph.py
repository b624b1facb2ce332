"""Checks of a pipeline as a graph: what azure-ai-ml lets pass until the service refuses it, minutes later."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from mlops.definitions.base import Document, Finding
from mlops.errors import UserError, did_you_mean
from mlops.lint import commands, references
from mlops.lint.documents import Catalogue, same_but_for_case
from mlops.lint.references import asset_findings, compute_findings, file_findings, value_findings
from mlops.pipeline import (
    LITERAL_TYPES,
    OPTIONAL,
    PATH_TYPES,
    REFERENCE,
    Component,
    Node,
    Pipeline,
    Port,
    binding,
    is_local,
    mapping,
)

_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_COMPONENT = re.compile(r"^[a-z][a-z0-9_]*$")
_UNBOUND = re.compile(r"\bparent\.(inputs|outputs|jobs)\.")
_BOOLEANS = {"true", "false"}
CHECKPOINTS = "--checkpoints"
"""The option of a training that goes on from the state in a folder."""


def declaration_findings(component: Component, document: Document, prefix: str) -> Iterator[Finding]:
    """Check what a component declares: its name, and the names, ranges and defaults of its ports."""
    if component.name and not _COMPONENT.match(component.name):
        message = f'"{component.name}" is no name: small letters, digits and underscores, a letter first'
        yield document.finding(f"{prefix}name", message)
    for side, ports in (("inputs", component.inputs), ("outputs", component.outputs)):
        yield from name_findings(ports, document, f"{prefix}{side}")
    for name, port in component.inputs.items():
        where = f"{prefix}inputs.{name}"
        if port.type in PATH_TYPES:
            if port.default is not None:
                yield document.finding(
                    f"{where}.default", f"an input of type {port.type} has no default: mark it optional"
                )
            continue
        if port.minimum is not None and port.maximum is not None and port.minimum > port.maximum:
            yield document.finding(where, f"min {port.minimum:g} is greater than max {port.maximum:g}")
        elif port.default is not None:
            yield from (document.finding(f"{where}.default", text) for text in literal_problems(port.default, port))
        for item in port.enum:
            if text := _type_problem(item, port.type):
                yield document.finding(f"{where}.enum", text)
        if port.enum and port.type == "boolean":
            yield document.finding(f"{where}.enum", "a boolean is true or false and needs no enum")
    spec = component.document.get("inputs")
    for name, item in spec.items() if isinstance(spec, Mapping) else ():
        limits = [key for key in ("min", "max") if isinstance(item, Mapping) and item.get(key) is not None]
        type_ = item.get("type") if isinstance(item, Mapping) else None
        for key in limits:
            if type_ not in {"integer", "number"}:
                yield document.finding(f"{prefix}inputs.{name}.{key}", f"an input of type {type_} has no {key}")
            elif text := _type_problem(item[key], str(type_)):
                yield document.finding(f"{prefix}inputs.{name}.{key}", text)


def name_findings(names: Iterable[str], document: Document, where: str) -> Iterator[Finding]:
    """Check the names of inputs or outputs."""
    names = list(names)
    for name in names:
        if not _NAME.match(name):
            message = "a name has letters, digits and underscores only, and starts with no digit"
            yield document.finding(f"{where}.{name}", message)
    for first, second in same_but_for_case(names):
        yield document.finding(f"{where}.{second}", f'"{first}" and "{second}" differ only in upper and lower case')


def literal_problems(value: object, port: Port) -> Iterator[str]:
    """Give what is wrong with a literal value for a port, in words."""
    if value is None:
        yield "a value is missing"
        return
    if port.type in PATH_TYPES:
        hint = f"{{type: {port.type}, path: ...}}"
        yield f"a {port.type} is expected, not the value {value!r}: write {hint}"
        return
    if isinstance(value, str) and _UNBOUND.search(value):
        yield f"{value!r} is left as it stands: a binding is ${{{{parent.inputs.<name>}}}}"
        return
    if text := _type_problem(value, port.type):
        yield text
        return
    if port.type in {"integer", "number"}:
        number = float(str(value))
        if port.minimum is not None and number < port.minimum:
            yield f"{value} is less than the minimum {port.minimum:g}"
        if port.maximum is not None and number > port.maximum:
            yield f"{value} is greater than the maximum {port.maximum:g}"
    if port.enum and str(value) not in {str(item) for item in port.enum}:
        yield f"{value!r} is not one of: {', '.join(str(item) for item in port.enum)}"


def type_problem(given: str, wanted: str) -> str | None:
    """Return why an output or input of one type cannot be bound to another, or None when it can."""
    if not given or not wanted or given == wanted or "path" in {given, wanted}:
        return None
    if (
        given in LITERAL_TYPES
        and wanted in LITERAL_TYPES
        and (wanted == "string" or (given, wanted) == ("integer", "number"))
    ):
        return None
    return f"a {given} is bound to an input of type {wanted}"


def _type_problem(value: object, type_: str) -> str | None:
    text = str(value).strip()
    if isinstance(value, Mapping | list):
        return f"a {type_} is expected, not {value!r}"
    if type_ == "boolean" and text.lower() not in _BOOLEANS:
        return f"a boolean is expected, not {value!r}"
    if type_ in {"integer", "number"}:
        pattern = r"[+-]?\d+" if type_ == "integer" else r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?"
        if isinstance(value, bool) or not re.fullmatch(pattern, text):
            return f"{'an' if type_ == 'integer' else 'a'} {type_} is expected, not {value!r}"
    return None


_USE = re.compile(r"parent\.inputs\.([A-Za-z0-9_]+)")


def check(pipeline: Pipeline, document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    """Check a pipeline's inputs, outputs, jobs and the bindings between them."""
    yield from name_findings(pipeline.inputs, document, "inputs")
    yield from name_findings(pipeline.outputs, document, "outputs")
    if document.kind == "pipelineJob" and "type" not in pipeline.document:
        yield document.finding("type", "this key is missing: type: pipeline")
    if not pipeline.nodes and "component" not in pipeline.document:
        yield document.finding("jobs", "a pipeline needs at least one job")
    for name, value in pipeline.inputs.items():
        if isinstance(value, Mapping) and not value.keys() & {"path", "value"} and document.kind == "pipelineJob":
            yield document.finding(f"inputs.{name}", "a path, or a plain value, is missing")
        yield from value_findings(value, "uri_folder", document, f"inputs.{name}", catalogue)
    yield from compute_findings(pipeline.document.get("compute"), document, "compute", catalogue)
    settings = mapping(pipeline.document.get("settings"))
    yield from compute_findings(settings.get("default_compute"), document, "settings.default_compute", catalogue)
    for node in pipeline.nodes.values():
        yield from _node_findings(node, pipeline, document, catalogue)
    yield from _output_findings(pipeline, document)
    used = set(_USE.findall(json.dumps(pipeline.document.get("jobs"), default=str)))
    for name in pipeline.inputs:
        if name not in used and pipeline.nodes:
            yield document.finding(f"inputs.{name}", "no job uses this input")
    try:
        pipeline.order()
    except UserError as error:
        yield document.finding("jobs", str(error).partition(": ")[2])


def _node_findings(node: Node, pipeline: Pipeline, document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    prefix = f"jobs.{node.name}."
    job = mapping(mapping(pipeline.document.get("jobs")).get(node.name))
    yield from compute_findings(job.get("compute"), document, f"{prefix}compute", catalogue)
    if isinstance(job.get("environment"), str):
        yield from asset_findings(str(job["environment"]), "environments", document, f"{prefix}environment", catalogue)
    yield from distribution_findings(job, document, prefix)
    yield from _checkpoint_findings(node, pipeline, document, prefix)
    component = node.component
    key = "trial" if "trial" in job else "component"
    if isinstance(component, str):
        check_reference = file_findings if is_local(component) else asset_findings
        yield from check_reference(component, "components", document, f"{prefix}{key}", catalogue)
    elif isinstance(job.get(key), str):
        if is_local(str(job[key])):
            yield from file_findings(str(job[key]), "components", document, f"{prefix}{key}", catalogue)
    elif component.document.get("type", "command") == "command":
        inline = f"{prefix}{key}." if key in job else prefix
        yield from inline_findings(component, document, inline, catalogue, is_job="component" not in job)
    for name, value in node.inputs.items():
        port = _port(node, name)
        where = f"{prefix}inputs.{name}"
        if port is None:
            known = component.inputs if isinstance(component, Component) else {}
            yield document.finding(where, f'the component has no input "{name}"{did_you_mean(name, known)}')
        yield from _input_findings(value, port or Port(name, ""), node, pipeline, document, where, catalogue)
    for name, value in node.outputs.items():
        yield from _node_output_findings(name, value, node, pipeline, document)
    if isinstance(component, Component):
        given = node.inputs.keys() | mapping(job.get("search_space")).keys()
        for name, port in component.inputs.items():
            if name not in given and not port.optional and port.default is None:
                yield document.finding(f"{prefix}inputs", f'the required input "{name}" of the component is missing')
        for name in mapping(job.get("search_space")):
            if name not in component.inputs:
                message = f'the component has no input "{name}"{did_you_mean(name, component.inputs)}'
                yield document.finding(f"{prefix}search_space.{name}", message)


def inline_findings(
    component: Component, document: Document, prefix: str, catalogue: Catalogue, is_job: bool
) -> Iterator[Finding]:
    """Check a component: in a file of its own, written inline, or a plain command job (`is_job`)."""
    if is_job:
        for side, ports in (("inputs", component.inputs), ("outputs", component.outputs)):
            yield from name_findings(ports, document, f"{prefix}{side}")
    else:
        yield from declaration_findings(component, document, prefix)
    if not prefix:  # what stands inline in a pipeline is checked as a part of its job
        yield from distribution_findings(component.document, document, prefix)
    environment = component.environment
    if isinstance(environment, str):
        yield from asset_findings(environment, "environments", document, f"{prefix}environment", catalogue)
    elif isinstance(environment, Mapping):
        yield from references.environment_findings(environment, document, f"{prefix}environment.")
    packages = references.packages(environment, document.folder, catalogue)
    yield from commands.check(component, document, prefix, packages)
    yield from commands.code_findings(component, document, prefix)


def distribution_findings(job: Mapping[str, object], document: Document, prefix: str) -> Iterator[Finding]:
    """Check over which nodes and processes a job or a component is spread."""
    if "distribution" not in job:
        return
    distribution, resources = mapping(job["distribution"]), mapping(job.get("resources"))
    kind = str(distribution.get("type", "")).lower()
    numbers = [(f"{prefix}resources.instance_count", resources.get("instance_count"), "the number of nodes")]
    if kind in {"pytorch", "mpi"}:
        processes = distribution.get("process_count_per_instance")
        numbers.append((f"{prefix}distribution.process_count_per_instance", processes, "one per GPU of a node"))
    for where, number, meaning in numbers:
        if number is None:
            yield document.finding(where, f"this key is missing: {meaning}")
        elif isinstance(number, int) and number < 1:
            yield document.finding(where, f"{number} is less than 1")


def _checkpoint_findings(node: Node, pipeline: Pipeline, document: Document, prefix: str) -> Iterator[Finding]:
    """Check that a training that is spread over nodes keeps its state where it outlives a node."""
    component = node.component
    if isinstance(component, str) or not (node.name in pipeline.distributed or "distribution" in component.document):
        return
    if script := commands.missing_option(component, CHECKPOINTS):
        problem = f"{script} starts anew when a node is lost: give it {CHECKPOINTS} with an output of the step"
        yield document.finding(f"{prefix}command", problem)
    command = OPTIONAL.sub(r" \1 ", component.command)
    for side, name in REFERENCE.findall(" ".join(re.findall(rf"{CHECKPOINTS}[\s=]+(\$\{{\{{.*?\}}\}})", command))):
        found = binding(node.outputs.get(name))
        places = [node.outputs.get(name), pipeline.outputs.get(found.name) if found else None]
        modes = [mapping(place).get("mode") for place in places]
        port = component.outputs.get(name)
        mode = next(filter(None, [*modes, port.mode if port else None]), None)
        if side == "inputs":
            yield document.finding(f"{prefix}command", f"{CHECKPOINTS} is an output of the step, not an input")
        elif mode == "upload":
            problem = "written when the step ends, and a lost node never gets there: use the mode of a mount, rw_mount"
            yield document.finding(f"{prefix}outputs.{name}", problem)


def _port(node: Node, name: str) -> Port | None:
    """Return the port of a node's input; an unknown component accepts anything."""
    if isinstance(node.component, str):
        return Port(name, "")
    return node.component.inputs.get(name)


def _input_findings(
    value: object, port: Port, node: Node, pipeline: Pipeline, document: Document, where: str, catalogue: Catalogue
) -> Iterator[Finding]:
    text = mapping(value).get("path", value) if isinstance(value, Mapping) else value
    found = binding(value)
    if found is None and isinstance(text, str) and "${{" in text:
        yield document.finding(
            where,
            f"{text!r} is no binding: use ${{{{parent.inputs.<name>}}}} or ${{{{parent.jobs.<job>.outputs.<name>}}}}",
        )
    elif found is None and isinstance(value, Mapping):
        if port.type and port.type not in PATH_TYPES and port.type != "path":
            yield document.finding(where, f"a plain {port.type} is expected, not a path")
        elif "type" in value and (text := type_problem(str(value["type"]), port.type)):
            yield document.finding(where, text)
        yield from value_findings(value, port.type, document, where, catalogue)
    elif found is None:
        yield from (document.finding(where, text) for text in literal_problems(value, port))
    elif found.kind == "output":
        yield document.finding(
            where, f'the pipeline\'s output "{found.name}" cannot be read: bind the job that writes it'
        )
    elif found.kind == "input":
        yield from _from_pipeline(found.name, port, pipeline, document, where)
    else:
        yield from _from_job(str(found.job), found.name, port, node, pipeline, document, where)


def _from_pipeline(name: str, port: Port, pipeline: Pipeline, document: Document, where: str) -> Iterator[Finding]:
    if name not in pipeline.inputs:
        yield document.finding(where, f'the pipeline has no input "{name}"{did_you_mean(name, pipeline.inputs)}')
        return
    value = pipeline.inputs[name]
    if not isinstance(value, Mapping):
        yield from (document.finding(where, f'input "{name}": {text}') for text in literal_problems(value, port))
    elif text := type_problem(str(value.get("type") or "uri_folder"), port.type):
        yield document.finding(where, f'input "{name}": {text}')


def _from_job(
    job: str, name: str, port: Port, node: Node, pipeline: Pipeline, document: Document, where: str
) -> Iterator[Finding]:
    if job not in pipeline.nodes:
        yield document.finding(where, f'the pipeline has no job "{job}"{did_you_mean(job, pipeline.nodes)}')
        return
    source = pipeline.nodes[job].component
    if job == node.name or isinstance(source, str):
        return  # the order reports a circle; nothing is known of a component outside the project
    if name not in source.outputs:
        yield document.finding(where, f'the job "{job}" has no output "{name}"{did_you_mean(name, source.outputs)}')
    elif text := type_problem(source.outputs[name].type, port.type):
        yield document.finding(where, text)


def _node_output_findings(
    name: str, value: object, node: Node, pipeline: Pipeline, document: Document
) -> Iterator[Finding]:
    where = f"jobs.{node.name}.outputs.{name}"
    found = binding(value)
    text = mapping(value).get("path", value) if isinstance(value, Mapping) else value
    outputs = node.component.outputs if isinstance(node.component, Component) else None
    if outputs is not None and name not in outputs:
        yield document.finding(where, f'the component has no output "{name}"{did_you_mean(name, outputs)}')
        return
    given = str(mapping(value).get("type") or "")
    if outputs is not None and given and outputs[name].type and given != outputs[name].type:
        yield document.finding(where, f"the component writes a {outputs[name].type}, not a {given}")
    if found is None:
        if isinstance(text, str) and "${{parent" in text.replace(" ", ""):
            yield document.finding(where, f"{text!r} is no binding: use ${{{{parent.outputs.<name>}}}}")
        return
    if found.kind != "output":
        yield document.finding(
            where, "an output can be bound to an output of the pipeline only: ${{parent.outputs.<name>}}"
        )
    elif found.name not in pipeline.outputs:
        message = f'the pipeline has no output "{found.name}"{did_you_mean(found.name, pipeline.outputs)}'
        yield document.finding(where, message)
    elif outputs is not None:
        wanted = str(mapping(pipeline.outputs[found.name]).get("type") or "")
        if wanted and outputs[name].type and wanted != outputs[name].type:
            yield document.finding(
                where, f'a {outputs[name].type} is bound to the output "{found.name}" of type {wanted}'
            )


def _output_findings(pipeline: Pipeline, document: Document) -> Iterator[Finding]:
    writers: dict[str, list[str]] = {name: [] for name in pipeline.outputs}
    for node in pipeline.nodes.values():
        for value in node.outputs.values():
            found = binding(value)
            if found and found.kind == "output":
                writers.setdefault(found.name, []).append(node.name)
    for name in pipeline.outputs:
        if not writers[name] and pipeline.nodes:
            yield document.finding(f"outputs.{name}", "no job writes this output")
        elif len(writers[name]) > 1:
            yield document.finding(f"outputs.{name}", f"only one job can write it, not {' and '.join(writers[name])}")


def type_of_input(value: object) -> str:
    """Return the type of a pipeline's input: as declared, or that of its plain value."""
    if isinstance(value, Mapping):
        return str(value.get("type") or "uri_folder")
    return {bool: "boolean", int: "integer", float: "number"}.get(type(value), "string")


def job_findings(document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    """Check a command or sweep job that stands alone."""
    content = document.content
    yield from compute_findings(content.get("compute"), document, "compute", catalogue)
    for name, value in mapping(content.get("inputs")).items():
        yield from value_findings(value, "uri_folder", document, f"inputs.{name}", catalogue)
    if document.kind == "commandJob":
        component = Component.inline(content, document.path)
        yield from inline_findings(component, document, "", catalogue, is_job=True)
        return
    search = mapping(content.get("search_space"))
    trial = content.get("trial")
    yield from _search_findings(search, document)
    limits = mapping(content.get("limits"))
    total, parallel = limits.get("max_total_trials"), limits.get("max_concurrent_trials")
    if isinstance(total, int) and isinstance(parallel, int) and parallel > total:
        yield document.finding("limits.max_concurrent_trials", f"{parallel} is more than max_total_trials {total}")
    if isinstance(trial, Mapping):
        outer: dict[str, object] = {key: content[key] for key in ("inputs", "outputs") if key in content}
        component = Component.inline({**trial, **outer}, document.path)
        packages = references.packages(component.environment, document.folder, catalogue)
        yield from commands.check(component, document, "trial.", packages, set(search))
        if isinstance(component.environment, str):
            yield from asset_findings(component.environment, "environments", document, "trial.environment", catalogue)
        for name in search:
            if not re.search(rf"search_space\.{re.escape(name)}\b", component.command):
                yield document.finding(f"search_space.{name}", "the command never uses this parameter")
    elif isinstance(trial, str) and is_local(trial):
        yield from file_findings(trial, "components", document, "trial", catalogue)


def _search_findings(search: Mapping[str, object], document: Document) -> Iterator[Finding]:
    for name, space in search.items():
        low, high = mapping(space).get("min_value"), mapping(space).get("max_value")
        if isinstance(low, int | float) and isinstance(high, int | float) and low >= high:
            yield document.finding(f"search_space.{name}", f"min_value {low} is not less than max_value {high}")
        values = mapping(space).get("values")
        if mapping(space).get("type") == "choice" and not values:
            yield document.finding(f"search_space.{name}.values", "a list of values is missing")


def parallel_findings(document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    """Check a parallel component: its task, and the input it is spread over."""
    content = document.content
    component = Component.from_dict(content, document.path)
    yield from declaration_findings(component, document, "")
    source = str(content.get("input_data") or "")
    match = re.fullmatch(r"\$\{\{\s*inputs\.([^\s{}]+?)\s*\}\}", source)
    if not match:
        yield document.finding("input_data", f"{source!r} is not ${{{{inputs.<name>}}}}")
    elif match[1] not in component.inputs:
        message = f"there is no input {match[1]!r}{did_you_mean(match[1], component.inputs)}"
        yield document.finding("input_data", message)
    size = content.get("mini_batch_size")
    if size is not None and not re.fullmatch(r"[1-9]\d*\s*([kKmMgG][bB])?", str(size)):
        yield document.finding("mini_batch_size", f'{size!r} is not a number of files, or a size such as "10kb"')
    task = mapping(content.get("task"))
    code, script = task.get("code"), task.get("entry_script")
    if isinstance(task.get("environment"), str):
        yield from asset_findings(str(task["environment"]), "environments", document, "task.environment", catalogue)
    if isinstance(code, str) and is_local(code):
        folder = document.folder / code
        if not folder.is_dir():
            yield document.finding("task.code", f"no such folder: {code}")
        elif isinstance(script, str) and not (folder / script).is_file():
            near = [path.relative_to(folder).as_posix() for path in folder.rglob("*.py")]
            yield document.finding("task.entry_script", f"no script {script} in {code}{did_you_mean(script, near)}")
    for key in ("program_arguments", "append_row_to"):
        for side, name in REFERENCE.findall(str(task.get(key) or "")):
            ports = component.inputs if side == "inputs" else component.outputs
            if name not in ports:
                message = f"there is no {side[:-1]} {name!r}{did_you_mean(name, ports)}"
                yield document.finding(f"task.{key}", message)
