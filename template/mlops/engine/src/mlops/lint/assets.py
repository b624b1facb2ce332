"""Checks of data, models, endpoints, deployments, computes and registries."""

import ast
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from mlops.lint import references
from mlops.lint.documents import Catalogue, Document, Fault, did_you_mean, read
from mlops.lint.references import asset_faults, compute_faults, path_faults, value_faults
from mlops.lint.schedules import DURATION, trigger_faults
from mlops.pipeline import is_local, mapping

_NAMES = {  # what Azure ML accepts as a name, by kind of document
    "environment": (r"[A-Za-z0-9][\w.-]{0,254}", "up to 255 letters, digits, dots, dashes and underscores"),
    "data": (r"[A-Za-z0-9][\w.-]{0,254}", "up to 255 letters, digits, dots, dashes and underscores"),
    "model": (r"[A-Za-z0-9][\w.-]{0,254}", "up to 255 letters, digits, dots, dashes and underscores"),
    "onlineEndpoint": (r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]", "3 to 32 letters, digits and dashes, a letter first"),
    "batchEndpoint": (r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]", "3 to 32 letters, digits and dashes, a letter first"),
    "onlineDeployment": (
        r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]",
        "3 to 32 letters, digits and dashes, a letter first",
    ),
    "modelBatchDeployment": (
        r"[A-Za-z][A-Za-z0-9-]{1,30}[A-Za-z0-9]",
        "3 to 32 letters, digits and dashes, a letter first",
    ),
    "amlCompute": (r"[A-Za-z][A-Za-z0-9-]{0,30}[A-Za-z0-9]", "2 to 32 letters, digits and dashes, a letter first"),
    "computeInstance": (r"[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]", "3 to 24 letters, digits and dashes, a letter first"),
    "registry": (r"[A-Za-z0-9][\w-]{1,31}", "2 to 32 letters, digits, dashes and underscores"),
    "schedule": (r"[A-Za-z0-9][\w.-]{0,254}", "up to 255 letters, digits, dots, dashes and underscores"),
    "monitor": (r"[A-Za-z0-9][\w.-]{0,254}", "up to 255 letters, digits, dots, dashes and underscores"),
}
_NUMBERS = {  # keys with the smallest and the greatest number they take, wherever they stand
    "instance_count": (1, None),
    "mini_batch_size": (1, None),
    "max_concurrency_per_instance": (1, None),
    "max_concurrent_requests_per_instance": (1, None),
    "request_timeout_ms": (1, 180_000),
    "max_retries": (0, None),
    "timeout": (1, None),
    "period": (1, None),
    "initial_delay": (0, None),
    "success_threshold": (1, None),
    "failure_threshold": (1, None),
    "sampling_rate": (0, 1),
    "error_threshold": (-1, None),
    "mini_batch_error_threshold": (-1, None),
    "min_instances": (0, None),
    "max_instances": (1, None),
    "idle_time_before_scale_down": (0, None),
    "idle_time_before_shutdown_minutes": (15, 4320),
    "max_total_trials": (1, 1000),
    "max_concurrent_trials": (1, 1000),
    "trial_timeout": (1, None),
    "process_count_per_instance": (1, None),
    "replication_count": (1, None),
    "polling_interval": (1, None),
    "target_utilization_percentage": (1, 100),
}
_BOXES = {"inputs", "outputs", "tags", "properties", "environment_variables", "metric_thresholds", "search_space"}
_COLLECTIONS = ("model_inputs", "model_outputs", "model_inputs_outputs", "request", "response")
_LOG_LEVELS = ("debug", "info", "warning")
_ROLLOUT = {"blue", "green"}  # `mlops deploy-online` makes one deployment file into both
_MLTABLE = {"paths", "transformations", "type", "extra_properties", "metadata", "traits"}


def check(document: Document, catalogue: Catalogue) -> Iterator[Fault]:
    """Faults of an asset, by its kind."""
    yield from _name_faults(document)
    yield from _number_faults(document.content, document, "")
    yield from _twin_faults(document, catalogue)
    checks = {
        "data": _data_faults,
        "model": _data_faults,
        "onlineEndpoint": _online_endpoint_faults,
        "batchEndpoint": _batch_endpoint_faults,
        "onlineDeployment": _online_deployment_faults,
        "modelBatchDeployment": _batch_deployment_faults,
        "amlCompute": _compute_faults,
        "computeInstance": _compute_faults,
        "registry": _registry_faults,
    }
    if document.kind in checks:
        yield from checks[document.kind](document, catalogue)


def _name_faults(document: Document) -> Iterator[Fault]:
    name = document.content.get("name")
    if isinstance(name, str) and document.kind in _NAMES:
        pattern, words = _NAMES[document.kind]
        if not re.fullmatch(pattern, name):
            yield document.fault("name", f'"{name}" is no name for this: use {words}')
    if name is None and document.kind in {
        "data",
        "model",
    }:  # the schema lets nameless ones pass, for use inside of jobs
        yield document.fault("name", "this key is missing")
    experiment = document.content.get("experiment_name")
    if isinstance(experiment, str) and not re.fullmatch(r"[A-Za-z0-9][\w-]{0,254}", experiment):
        yield document.fault("experiment_name", f'"{experiment}" is no name: letters, digits, dashes and underscores')


def _twin_faults(document: Document, catalogue: Catalogue) -> Iterator[Fault]:
    keys = ("name", "version", "endpoint_name")
    identity = [document.content.get(key) for key in keys]
    for other in catalogue.of_kind(document.kind):
        same = identity == [other.content.get(key) for key in keys] and identity[0] is not None
        if same and other.path < document.path:
            yield document.fault("name", f'"{identity[0]}" is defined in {other.path.name} already')


def _number_faults(value: object, document: Document, where: str) -> Iterator[Fault]:
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _number_faults(item, document, f"{where}[{number}]")
    for key, item in mapping(value).items():
        place = f"{where}.{key}" if where else key
        low, high = _NUMBERS.get(key, (None, None))
        if isinstance(item, int | float) and not isinstance(item, bool):
            if low is not None and item < low:
                yield document.fault(place, f"{item} is less than {low}")
            if high is not None and item > high:
                yield document.fault(place, f"{item} is greater than {high}")
        elif key not in _BOXES:
            yield from _number_faults(item, document, place)


def _data_faults(document: Document, catalogue: Catalogue) -> Iterator[Fault]:
    path, type_ = document.content.get("path"), str(document.content.get("type") or "uri_folder")
    if path is None:
        yield document.fault("path", "this key is missing")
    elif isinstance(path, str):
        faults = list(path_faults(path, type_, document, "path", catalogue))
        yield from faults
        if type_ == "mltable" and is_local(path) and not faults:
            yield from _mltable_faults(document, path)


def _mltable_faults(document: Document, path: str) -> Iterator[Fault]:
    file = document.folder / path.removeprefix("file:") / "MLTable"
    content, faults = read(file)
    yield from faults
    for key in content or {}:
        if key not in _MLTABLE and key != "$schema":
            yield Fault(file, key, f"unknown key of an MLTable{did_you_mean(key, _MLTABLE)}")
    paths = (content or {}).get("paths")
    if content is not None and (not isinstance(paths, list) or not paths):
        yield Fault(file, "paths", "a list of file:, folder: or pattern: is expected")
        return
    for number, item in enumerate(paths or []):
        for key, value in mapping(item).items():
            if key not in {"file", "folder", "pattern"}:
                yield Fault(file, f"paths[{number}].{key}", "file, folder or pattern is expected")
            elif key != "pattern" and is_local(str(value)) and not (file.parent / str(value)).exists():
                yield Fault(file, f"paths[{number}].{key}", f"no such file or folder: {value}")


def _online_endpoint_faults(document: Document, catalogue: Catalogue) -> Iterator[Fault]:
    content = document.content
    traffic = mapping(content.get("traffic"))
    shares = [share for share in traffic.values() if isinstance(share, int) and not isinstance(share, bool)]
    if any(share < 0 for share in shares):
        yield document.fault("traffic", "a share is negative")
    elif len(shares) == len(traffic) and sum(shares) not in {0, 100}:
        yield document.fault("traffic", f"the shares add up to {sum(shares)} percent, not to 100")
    deployments = [item.content for item in catalogue.of_kind("onlineDeployment")]
    known = {str(item.get("name")) for item in deployments if item.get("endpoint_name") == content.get("name")}
    mirror = mapping(content.get("mirror_traffic"))
    for key, names in (("traffic", traffic), ("mirror_traffic", mirror)):
        for name in names:
            if name not in known | _ROLLOUT:
                yield document.fault(f"{key}.{name}", f'no deployment "{name}"{did_you_mean(name, known | _ROLLOUT)}')
    if len(mirror) > 1:
        yield document.fault("mirror_traffic", "only one deployment can get mirrored traffic")
    for name, share in mirror.items():
        if isinstance(share, int) and not 0 <= share <= 50:
            yield document.fault(f"mirror_traffic.{name}", f"{share} is not between 0 and 50 percent")
    yield from _identity_faults(document)


def _identity_faults(document: Document) -> Iterator[Fault]:
    identity = mapping(document.content.get("identity"))
    users = identity.get("user_assigned_identities")
    if str(identity.get("type", "")) == "user_assigned" and not users:
        yield document.fault("identity.user_assigned_identities", "a user-assigned identity needs its resource_id")
    if str(identity.get("type", "")) == "system_assigned" and users:
        yield document.fault(
            "identity.user_assigned_identities", "the type is system_assigned: drop this, or change it"
        )
    if isinstance(users, list) and len(users) > 1 and "Endpoint" in document.kind:
        yield document.fault(
            "identity.user_assigned_identities", "an endpoint takes one user-assigned identity at most"
        )


def _batch_endpoint_faults(document: Document, catalogue: Catalogue) -> Iterator[Fault]:
    mode = document.content.get("auth_mode")
    if mode in {"key", "aml_token"}:
        yield document.fault("auth_mode", f"a batch endpoint takes aad_token only, not {mode}")
    name = mapping(document.content.get("defaults")).get("deployment_name")
    known = {
        str(item.content.get("name"))
        for item in catalogue.of_kind("modelBatchDeployment", "pipelineBatchDeployment")
        if item.content.get("endpoint_name") == document.content.get("name")
    }
    if name is not None and str(name) not in known:
        yield document.fault("defaults.deployment_name", f'no deployment "{name}"{did_you_mean(name, known)}')
    yield from _identity_faults(document)


def _deployment_faults(document: Document, catalogue: Catalogue, endpoint_kind: str) -> Iterator[Fault]:
    content = document.content
    endpoint, known = content.get("endpoint_name"), catalogue.names(endpoint_kind)
    if endpoint is not None and str(endpoint) not in known and known:
        yield document.fault(
            "endpoint_name", f'no file defines the endpoint "{endpoint}"{did_you_mean(endpoint, known)}'
        )
    for key, asset in (("model", "models"), ("environment", "environments")):
        value = content.get(key)
        if isinstance(value, str):
            yield from asset_faults(value, asset, document, key, catalogue)
    if isinstance(content.get("environment"), Mapping):
        yield from references.environment_faults(content["environment"], document, "environment.")
    yield from value_faults(content.get("model"), "custom_model", document, "model", catalogue)
    if "code_configuration" in content:
        for key in ("model", "environment"):
            if key not in content:
                yield document.fault(key, "this key is missing: a scoring script needs it")
        yield from _scoring_faults(mapping(content["code_configuration"]), document)


def _scoring_faults(configuration: Mapping[str, Any], document: Document) -> Iterator[Fault]:
    code, script = configuration.get("code"), configuration.get("scoring_script")
    for key in ("code", "scoring_script"):
        if key not in configuration:
            yield document.fault(f"code_configuration.{key}", "this key is missing")
    if not isinstance(code, str) or not isinstance(script, str) or not is_local(code):
        return
    folder = document.folder / code.removeprefix("file:")
    path = folder / script
    if not folder.is_dir():
        yield document.fault("code_configuration.code", f"no such folder: {code}")
    elif not path.is_file():
        near = [item.relative_to(folder).as_posix() for item in folder.rglob("*.py")]
        message = f"no script {script} in the code folder{did_you_mean(script, near)}"
        yield document.fault("code_configuration.scoring_script", message)
    else:
        yield from _entry_faults(document, path.read_text(encoding="utf-8"), script)


def _entry_faults(document: Document, text: str, script: str) -> Iterator[Fault]:
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        yield document.fault("code_configuration.scoring_script", f"{script} is not valid Python: line {error.lineno}")
        return
    defined = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    defined |= {alias.asname or alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
    for name in ("init", "run"):
        if name not in defined and body:
            yield document.fault("code_configuration.scoring_script", f"{script} has no function {name}()")


def _online_deployment_faults(document: Document, catalogue: Catalogue) -> Iterator[Fault]:
    yield from _deployment_faults(document, catalogue, "onlineEndpoint")
    content = document.content
    yield from _machine_faults(content.get("instance_type"), document, "instance_type")
    for name in mapping(mapping(content.get("data_collector")).get("collections")):
        if name not in _COLLECTIONS and get_close_matches(name, _COLLECTIONS, cutoff=0.85):
            place = f"data_collector.collections.{name}"
            yield document.fault(place, f'score.py collects nothing as "{name}"{did_you_mean(name, _COLLECTIONS)}')
    scale = mapping(content.get("scale_settings"))
    if str(scale.get("type", "")).lower() == "target_utilization":
        message = "a managed deployment takes the type default only: scale it with az monitor autoscale"
        yield document.fault("scale_settings.type", message)
    low, high = scale.get("min_instances"), scale.get("max_instances")
    if isinstance(low, int) and isinstance(high, int) and low > high:
        yield document.fault("scale_settings.min_instances", f"{low} is greater than max_instances {high}")


def _batch_deployment_faults(document: Document, catalogue: Catalogue) -> Iterator[Fault]:
    yield from _deployment_faults(document, catalogue, "batchEndpoint")
    content = document.content
    settings = mapping(content.get("settings"))
    yield from compute_faults(content.get("compute"), document, "compute", catalogue)
    level = settings.get("logging_level")
    if level is not None and str(level).lower() not in _LOG_LEVELS:
        yield document.fault("settings.logging_level", f"{level!r} is not one of: {', '.join(_LOG_LEVELS)}")
    if settings.get("output_action") == "summary_only" and "output_file_name" in settings:
        yield document.fault(
            "settings.output_file_name", "summary_only writes no file: drop this key, or use append_row"
        )
    if "type" not in content:
        yield document.fault("type", "this key is missing: type: model")


def _compute_faults(document: Document, catalogue: Catalogue) -> Iterator[Fault]:
    content = document.content
    low, high = content.get("min_instances"), content.get("max_instances")
    if isinstance(low, int) and isinstance(high, int) and low > high:
        yield document.fault("min_instances", f"{low} is greater than max_instances {high}")
    if "size" not in content:
        yield document.fault("size", "this key is missing")
    yield from _machine_faults(content.get("size"), document, "size")
    yield from _identity_faults(document)
    idle = content.get("idle_time_before_shutdown")
    if isinstance(idle, str) and not DURATION.match(idle):
        yield document.fault("idle_time_before_shutdown", f"{idle!r} is not a duration such as PT30M")
    entries = mapping(content.get("schedules")).get("compute_start_stop")
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        trigger = mapping(mapping(entry).get("trigger"))
        yield from trigger_faults(trigger, document, f"schedules.compute_start_stop[{number}].trigger")


def _machine_faults(size: object, document: Document, where: str) -> Iterator[Fault]:
    if isinstance(size, str) and not re.fullmatch(r"standard_[a-z]+\d[a-z0-9_-]*", size, re.IGNORECASE):
        yield document.fault(where, f"{size!r} is no size of a virtual machine, such as Standard_D2as_v4")


def _registry_faults(document: Document, catalogue: Catalogue) -> Iterator[Fault]:
    location, copies = document.content.get("location"), document.content.get("replication_locations")
    places = [str(mapping(copy).get("location", "")) for copy in copies] if isinstance(copies, list) else []
    if not places:
        yield document.fault("replication_locations", "at least the registry's own location must be listed")
    elif location is not None and _plain(location) not in {_plain(place) for place in places}:
        yield document.fault("replication_locations", f'the registry\'s own location "{location}" must be listed')
    for number, place in enumerate(places):
        if not re.fullmatch(r"[a-z]+[0-9]*", _plain(place)):
            yield document.fault(
                f"replication_locations[{number}].location", f'"{place}" is no region, such as westeurope'
            )
        if _plain(place) in {_plain(other) for other in places[:number]}:
            yield document.fault(f"replication_locations[{number}].location", f'"{place}" is listed twice')


def _plain(location: object) -> str:
    return str(location).lower().replace(" ", "")
