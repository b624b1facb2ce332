"""Checks of data, models, endpoints, deployments, computes and registries."""

import ast
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from mlops.definitions.base import Document, Finding
from mlops.errors import did_you_mean
from mlops.lint import references
from mlops.lint.documents import Catalogue, read
from mlops.lint.references import asset_findings, compute_findings, path_findings, value_findings
from mlops.lint.schedules import DURATION, trigger_findings
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
_NUMBERS = {  # keys with the smallest and the greatest number they accept, wherever they stand
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


def check(document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    """Check an asset, by its kind."""
    yield from _name_findings(document)
    yield from _number_findings(document.content, document, "")
    yield from _twin_findings(document, catalogue)
    checks = {
        "data": _data_findings,
        "model": _data_findings,
        "onlineEndpoint": _online_endpoint_findings,
        "batchEndpoint": _batch_endpoint_findings,
        "onlineDeployment": _online_deployment_findings,
        "modelBatchDeployment": _batch_deployment_findings,
        "amlCompute": _compute_findings,
        "computeInstance": _compute_findings,
        "registry": _registry_findings,
    }
    if document.kind in checks:
        yield from checks[document.kind](document, catalogue)


def _name_findings(document: Document) -> Iterator[Finding]:
    name = document.content.get("name")
    if isinstance(name, str) and document.kind in _NAMES:
        pattern, words = _NAMES[document.kind]
        if not re.fullmatch(pattern, name):
            yield document.finding("name", f'"{name}" is no name for this: use {words}')
    if name is None and document.kind in {
        "data",
        "model",
    }:  # the schema lets nameless ones pass, for use inside of jobs
        yield document.finding("name", "this key is missing")
    experiment = document.content.get("experiment_name")
    if isinstance(experiment, str) and not re.fullmatch(r"[A-Za-z0-9][\w-]{0,254}", experiment):
        yield document.finding("experiment_name", f'"{experiment}" is no name: letters, digits, dashes and underscores')


def _twin_findings(document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    keys = ("name", "version", "endpoint_name")
    identity = [document.content.get(key) for key in keys]
    for other in catalogue.of_kind(document.kind):
        same = identity == [other.content.get(key) for key in keys] and identity[0] is not None
        if same and other.path < document.path:
            yield document.finding("name", f'"{identity[0]}" is defined in {other.path.name} already')


def _number_findings(value: object, document: Document, where: str) -> Iterator[Finding]:
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _number_findings(item, document, f"{where}[{number}]")
    for key, item in mapping(value).items():
        place = f"{where}.{key}" if where else key
        low, high = _NUMBERS.get(key, (None, None))
        if isinstance(item, int | float) and not isinstance(item, bool):
            if low is not None and item < low:
                yield document.finding(place, f"{item} is less than {low}")
            if high is not None and item > high:
                yield document.finding(place, f"{item} is greater than {high}")
        elif key not in _BOXES:
            yield from _number_findings(item, document, place)


def _data_findings(document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    path, type_ = document.content.get("path"), str(document.content.get("type") or "uri_folder")
    if path is None:
        yield document.finding("path", "this key is missing")
    elif isinstance(path, str):
        findings = list(path_findings(path, type_, document, "path", catalogue))
        yield from findings
        if type_ == "mltable" and is_local(path) and not findings:
            yield from _mltable_findings(document, path)


def _mltable_findings(document: Document, path: str) -> Iterator[Finding]:
    file = document.folder / path.removeprefix("file:") / "MLTable"
    content, findings = read(file)
    yield from findings
    for key in content or {}:
        if key not in _MLTABLE and key != "$schema":
            yield Finding(file, key, f"unknown key of an MLTable{did_you_mean(key, _MLTABLE)}")
    paths = (content or {}).get("paths")
    if content is not None and (not isinstance(paths, list) or not paths):
        yield Finding(file, "paths", "a list of file:, folder: or pattern: is expected")
        return
    for number, item in enumerate(paths or []):
        for key, value in mapping(item).items():
            if key not in {"file", "folder", "pattern"}:
                yield Finding(file, f"paths[{number}].{key}", "file, folder or pattern is expected")
            elif key != "pattern" and is_local(str(value)) and not (file.parent / str(value)).exists():
                yield Finding(file, f"paths[{number}].{key}", f"no such file or folder: {value}")


def _online_endpoint_findings(document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    content = document.content
    traffic = mapping(content.get("traffic"))
    shares = [share for share in traffic.values() if isinstance(share, int) and not isinstance(share, bool)]
    if any(share < 0 for share in shares):
        yield document.finding("traffic", "a share is negative")
    elif len(shares) == len(traffic) and sum(shares) not in {0, 100}:
        yield document.finding("traffic", f"the shares add up to {sum(shares)} percent, not to 100")
    deployments = [item.content for item in catalogue.of_kind("onlineDeployment")]
    known = {str(item.get("name")) for item in deployments if item.get("endpoint_name") == content.get("name")}
    mirror = mapping(content.get("mirror_traffic"))
    for key, names in (("traffic", traffic), ("mirror_traffic", mirror)):
        for name in names:
            if name not in known | _ROLLOUT:
                yield document.finding(f"{key}.{name}", f'no deployment "{name}"{did_you_mean(name, known | _ROLLOUT)}')
    if len(mirror) > 1:
        yield document.finding("mirror_traffic", "only one deployment can get mirrored traffic")
    for name, share in mirror.items():
        if isinstance(share, int) and not 0 <= share <= 50:
            yield document.finding(f"mirror_traffic.{name}", f"{share} is not between 0 and 50 percent")
    yield from _identity_findings(document)


def _identity_findings(document: Document) -> Iterator[Finding]:
    identity = mapping(document.content.get("identity"))
    users = identity.get("user_assigned_identities")
    if str(identity.get("type", "")) == "user_assigned" and not users:
        yield document.finding("identity.user_assigned_identities", "a user-assigned identity needs its resource_id")
    if str(identity.get("type", "")) == "system_assigned" and users:
        yield document.finding(
            "identity.user_assigned_identities", "the type is system_assigned: drop this, or change it"
        )
    if isinstance(users, list) and len(users) > 1 and "Endpoint" in document.kind:
        yield document.finding(
            "identity.user_assigned_identities", "an endpoint accepts one user-assigned identity at most"
        )


def _batch_endpoint_findings(document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    mode = document.content.get("auth_mode")
    if mode in {"key", "aml_token"}:
        yield document.finding("auth_mode", f"a batch endpoint accepts aad_token only, not {mode}")
    name = mapping(document.content.get("defaults")).get("deployment_name")
    known = {
        str(item.content.get("name"))
        for item in catalogue.of_kind("modelBatchDeployment", "pipelineBatchDeployment")
        if item.content.get("endpoint_name") == document.content.get("name")
    }
    if name is not None and str(name) not in known:
        yield document.finding("defaults.deployment_name", f'no deployment "{name}"{did_you_mean(name, known)}')
    yield from _identity_findings(document)


def _deployment_findings(document: Document, catalogue: Catalogue, endpoint_kind: str) -> Iterator[Finding]:
    content = document.content
    endpoint, known = content.get("endpoint_name"), catalogue.names(endpoint_kind)
    if endpoint is not None and str(endpoint) not in known and known:
        yield document.finding(
            "endpoint_name", f'no file defines the endpoint "{endpoint}"{did_you_mean(endpoint, known)}'
        )
    for key, asset in (("model", "models"), ("environment", "environments")):
        value = content.get(key)
        if isinstance(value, str):
            yield from asset_findings(value, asset, document, key, catalogue)
    if isinstance(content.get("environment"), Mapping):
        yield from references.environment_findings(content["environment"], document, "environment.")
    yield from value_findings(content.get("model"), "custom_model", document, "model", catalogue)
    if "code_configuration" in content:
        for key in ("model", "environment"):
            if key not in content:
                yield document.finding(key, "this key is missing: a scoring script needs it")
        yield from _scoring_findings(mapping(content["code_configuration"]), document)


def _scoring_findings(configuration: Mapping[str, Any], document: Document) -> Iterator[Finding]:
    code, script = configuration.get("code"), configuration.get("scoring_script")
    for key in ("code", "scoring_script"):
        if key not in configuration:
            yield document.finding(f"code_configuration.{key}", "this key is missing")
    if not isinstance(code, str) or not isinstance(script, str) or not is_local(code):
        return
    folder = document.folder / code.removeprefix("file:")
    path = folder / script
    if not folder.is_dir():
        yield document.finding("code_configuration.code", f"no such folder: {code}")
    elif not path.is_file():
        near = [item.relative_to(folder).as_posix() for item in folder.rglob("*.py")]
        message = f"no script {script} in the code folder{did_you_mean(script, near)}"
        yield document.finding("code_configuration.scoring_script", message)
    else:
        yield from _entry_findings(document, path.read_text(encoding="utf-8"), script)


def _entry_findings(document: Document, text: str, script: str) -> Iterator[Finding]:
    try:
        body = ast.parse(text).body
    except SyntaxError as error:
        yield document.finding(
            "code_configuration.scoring_script", f"{script} is not valid Python: line {error.lineno}"
        )
        return
    defined = {node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    defined |= {alias.asname or alias.name for node in body if isinstance(node, ast.ImportFrom) for alias in node.names}
    for name in ("init", "run"):
        if name not in defined and body:
            yield document.finding("code_configuration.scoring_script", f"{script} has no function {name}()")


def _online_deployment_findings(document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    yield from _deployment_findings(document, catalogue, "onlineEndpoint")
    content = document.content
    yield from _machine_findings(content.get("instance_type"), document, "instance_type")
    for name in mapping(mapping(content.get("data_collector")).get("collections")):
        if name not in _COLLECTIONS and get_close_matches(name, _COLLECTIONS, cutoff=0.85):
            place = f"data_collector.collections.{name}"
            yield document.finding(place, f'score.py collects nothing as "{name}"{did_you_mean(name, _COLLECTIONS)}')
    scale = mapping(content.get("scale_settings"))
    if str(scale.get("type", "")).lower() == "target_utilization":
        message = "a managed deployment accepts the type default only: scale it with az monitor autoscale"
        yield document.finding("scale_settings.type", message)
    low, high = scale.get("min_instances"), scale.get("max_instances")
    if isinstance(low, int) and isinstance(high, int) and low > high:
        yield document.finding("scale_settings.min_instances", f"{low} is greater than max_instances {high}")


def _batch_deployment_findings(document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    yield from _deployment_findings(document, catalogue, "batchEndpoint")
    content = document.content
    settings = mapping(content.get("settings"))
    yield from compute_findings(content.get("compute"), document, "compute", catalogue)
    if "settings" in content and "environment_variables" in content:
        message = "azure-ai-ml drops this key beside settings: move it to settings.environment_variables"
        yield document.finding("environment_variables", message)
    level = settings.get("logging_level")
    if level is not None and str(level).lower() not in _LOG_LEVELS:
        yield document.finding("settings.logging_level", f"{level!r} is not one of: {', '.join(_LOG_LEVELS)}")
    if settings.get("output_action") == "summary_only" and "output_file_name" in settings:
        yield document.finding(
            "settings.output_file_name", "summary_only writes no file: drop this key, or use append_row"
        )
    if "type" not in content:
        yield document.finding("type", "this key is missing: type: model")


def _compute_findings(document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    content = document.content
    low, high = content.get("min_instances"), content.get("max_instances")
    if isinstance(low, int) and isinstance(high, int) and low > high:
        yield document.finding("min_instances", f"{low} is greater than max_instances {high}")
    if "size" not in content:
        yield document.finding("size", "this key is missing")
    yield from _machine_findings(content.get("size"), document, "size")
    yield from _identity_findings(document)
    idle = content.get("idle_time_before_shutdown")
    if isinstance(idle, str) and not DURATION.match(idle):
        yield document.finding("idle_time_before_shutdown", f"{idle!r} is not a duration such as PT30M")
    entries = mapping(content.get("schedules")).get("compute_start_stop")
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        trigger = mapping(mapping(entry).get("trigger"))
        yield from trigger_findings(trigger, document, f"schedules.compute_start_stop[{number}].trigger")


def _machine_findings(size: object, document: Document, where: str) -> Iterator[Finding]:
    if isinstance(size, str) and not re.fullmatch(r"standard_[a-z]+\d[a-z0-9_-]*", size, re.IGNORECASE):
        yield document.finding(where, f"{size!r} is no size of a virtual machine, such as Standard_D2as_v4")


def _registry_findings(document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    location, copies = document.content.get("location"), document.content.get("replication_locations")
    places = [str(mapping(copy).get("location", "")) for copy in copies] if isinstance(copies, list) else []
    if not places:
        yield document.finding("replication_locations", "at least the registry's own location must be listed")
    elif location is not None and _plain(location) not in {_plain(place) for place in places}:
        yield document.finding("replication_locations", f'the registry\'s own location "{location}" must be listed')
    for number, place in enumerate(places):
        if not re.fullmatch(r"[a-z]+[0-9]*", _plain(place)):
            yield document.finding(
                f"replication_locations[{number}].location", f'"{place}" is no region, such as westeurope'
            )
        if _plain(place) in {_plain(other) for other in places[:number]}:
            yield document.finding(f"replication_locations[{number}].location", f'"{place}" is listed twice')


def _plain(location: object) -> str:
    return str(location).lower().replace(" ", "")
