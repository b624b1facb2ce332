"""Checks of schedules and monitors: cron expressions, recurrences, time zones, windows, and what they start."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

from mlops import cron, limits
from mlops.definitions.base import Document, Finding
from mlops.errors import UserError, did_you_mean
from mlops.lint.documents import Catalogue
from mlops.lint.graph import literal_problems, type_of_input, type_problem
from mlops.lint.references import asset_findings, value_findings
from mlops.pipeline import Pipeline, Port, is_local, mapping

DURATION = re.compile(r"^P(?=\d|T\d)(?:\d+Y)?(?:\d+M)?(?:\d+W)?(?:\d+D)?(?:T(?:\d+H)?(?:\d+M)?(?:\d+S)?)?$")
_TARGET = re.compile(r"^azureml:(?P<endpoint>[^:/\s]+):(?P<deployment>[^:/\s]+)$")
_SPARK = ("standard_e4s_v3", "standard_e8s_v3", "standard_e16s_v3", "standard_e32s_v3", "standard_e64s_v3")
_CONTEXTS = {"model_inputs", "model_outputs", "training", "test", "validation", "ground_truth"}
_WATCHED = {"data_drift": "model_inputs", "data_quality": "model_inputs", "prediction_drift": "model_outputs"}


def check(document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    """Check a schedule of a job or of a monitor."""
    content = document.content
    if not isinstance(content.get("trigger"), Mapping):
        yield document.finding("trigger", "a trigger is missing: cron or recurrence")
    yield from trigger_findings(mapping(content.get("trigger")), document, "trigger")
    if document.kind == "monitor":
        yield from _monitor_findings(mapping(content.get("create_monitor")), document, catalogue)
    elif "create_job" not in content:
        yield document.finding("create_job", "this key is missing: a schedule needs create_job or create_monitor")
    else:
        yield from _job_findings(content["create_job"], document, catalogue)


def trigger_findings(trigger: Mapping[str, Any], document: Document, where: str) -> Iterator[Finding]:
    """Check a cron or recurrence trigger."""
    if "expression" in trigger:
        yield from (document.finding(f"{where}.expression", text) for text in cron.problems(str(trigger["expression"])))
    interval = trigger.get("interval")
    if isinstance(interval, int) and interval < 1:
        yield document.finding(f"{where}.interval", f"{interval} is less than 1")
    schedule = mapping(trigger.get("schedule"))
    for key, low, high in (("hours", 0, 23), ("minutes", 0, 59), ("month_days", 1, 31)):
        values = schedule.get(key)
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, int) and not low <= value <= high:
                yield document.finding(f"{where}.schedule.{key}", f"{value} is not between {low} and {high}")
    frequency = str(trigger.get("frequency", "")).lower()
    for key, needed in (("week_days", "week"), ("month_days", "month")):
        if key in schedule and frequency != needed:
            yield document.finding(
                f"{where}.schedule.{key}", f'works with frequency "{needed}" only, not "{frequency}"'
            )
    yield from _time_findings(trigger, document, where)


def _time_findings(trigger: Mapping[str, Any], document: Document, where: str) -> Iterator[Finding]:
    zone = trigger.get("time_zone")
    if isinstance(zone, str) and (problem := limits.time_zone_problem(zone)):
        yield document.finding(f"{where}.time_zone", problem)
    times = {}
    for key in ("start_time", "end_time"):
        if key in trigger and trigger[key] is not None:
            try:
                times[key] = _time(trigger[key])
            except ValueError:
                message = f"{trigger[key]!r} is not a date and time such as 2026-01-31T04:00:00"
                yield document.finding(f"{where}.{key}", message)
    if len(times) == 2 and times["end_time"] <= times["start_time"]:
        yield document.finding(f"{where}.end_time", "the end is not after the start")


def _time(value: object) -> datetime:
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    return datetime.fromisoformat(str(value)).replace(tzinfo=None)


def _job_findings(job: object, document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    is_long = isinstance(job, Mapping)
    where, reference = ("create_job.job", mapping(job).get("job")) if is_long else ("create_job", job)
    if not isinstance(reference, str) or not is_local(reference):
        return
    path = document.folder / reference.removeprefix("file:")
    if not path.is_file():
        names = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
        yield document.finding(where, f"no such file: {reference}{did_you_mean(path.name, names)}")
        return
    kind = catalogue.kind_in(path)
    if kind and not kind.endswith("Job"):
        yield document.finding(where, f"{reference} defines a {kind}, but a job is expected")
        return
    try:
        pipeline = Pipeline.load(path)
    except UserError:
        return  # reported for that file
    for name, value in mapping(mapping(job).get("inputs")).items():
        place = f"create_job.inputs.{name}"
        if name not in pipeline.inputs:
            message = f'{reference} has no input "{name}"{did_you_mean(name, pipeline.inputs)}'
            yield document.finding(place, message)
            continue
        wanted = type_of_input(pipeline.inputs[name])
        if isinstance(value, Mapping):
            if text := type_problem(str(value.get("type") or "uri_folder"), wanted):
                yield document.finding(place, text)
            yield from value_findings(value, wanted, document, place, catalogue)
        else:
            yield from (document.finding(place, text) for text in literal_problems(value, Port(name, wanted)))
    for name in mapping(mapping(job).get("outputs")):
        if name not in pipeline.outputs:
            message = f'{reference} has no output "{name}"{did_you_mean(name, pipeline.outputs)}'
            yield document.finding(f"create_job.outputs.{name}", message)


def _monitor_findings(monitor: Mapping[str, Any], document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    yield from _monitor_compute_findings(mapping(monitor.get("compute")), document)
    target = mapping(monitor.get("monitoring_target"))
    yield from _target_findings(target, document, catalogue)
    signals = mapping(monitor.get("monitoring_signals"))
    if not signals and not target.get("endpoint_deployment_id"):
        yield document.finding(
            "create_monitor.monitoring_signals", "without signals a deployment must be named as target"
        )
    for name, signal in signals.items():
        where = f"create_monitor.monitoring_signals.{name}"
        data = [("reference_data", mapping(signal).get("reference_data"))]
        production = mapping(signal).get("production_data")
        data += [
            (f"production_data[{number}]" if isinstance(production, list) else "production_data", item)
            for number, item in enumerate(production if isinstance(production, list) else [production])
        ]
        for key, item in data:
            if isinstance(item, Mapping):
                yield from _signal_data_findings(mapping(signal), item, document, f"{where}.{key}", catalogue)
        yield from _threshold_findings(mapping(signal).get("metric_thresholds"), document, f"{where}.metric_thresholds")
        if mapping(signal).get("type") in ("data_drift", "prediction_drift"):
            for kind, metrics in mapping(mapping(signal).get("metric_thresholds")).items():
                if len(mapping(metrics)) > 1:
                    message = f"Azure ML ignores all but one of {', '.join(mapping(metrics))}: give one"
                    yield document.finding(f"{where}.metric_thresholds.{kind}", message)
    notification = mapping(monitor.get("alert_notification"))
    emails = notification.get("emails")
    for number, mail in enumerate(emails if isinstance(emails, list) else []):
        if problem := limits.mail_problem(str(mail)):
            yield document.finding(f"create_monitor.alert_notification.emails[{number}]", problem)


def _monitor_compute_findings(compute: Mapping[str, Any], document: Document) -> Iterator[Finding]:
    if not compute:
        yield document.finding("create_monitor.compute", "this key is missing")
        return
    machine, runtime = compute.get("instance_type"), compute.get("runtime_version")
    if machine is not None and str(machine).lower() not in _SPARK:
        message = f"{machine!r} is not one of the machines of serverless Spark: {', '.join(_SPARK)}"
        yield document.finding("create_monitor.compute.instance_type", message)
    if runtime is not None and str(runtime) != "3.4":
        message = f'Spark "{runtime}" is not supported: the monitoring components run on "3.4"'
        yield document.finding("create_monitor.compute.runtime_version", message)


def _target_findings(target: Mapping[str, Any], document: Document, catalogue: Catalogue) -> Iterator[Finding]:
    where = "create_monitor.monitoring_target.endpoint_deployment_id"
    reference = target.get("endpoint_deployment_id")
    if isinstance(target.get("model_id"), str):
        place = "create_monitor.monitoring_target.model_id"
        yield from asset_findings(target["model_id"], "models", document, place, catalogue)
    if not isinstance(reference, str) or reference.startswith(("azureml:/", "/")):
        return
    match = _TARGET.match(reference)
    if not match:
        yield document.finding(where, f"{reference!r} is not azureml:<endpoint>:<deployment>")
        return
    deployments = {
        (str(item.content.get("endpoint_name")), str(item.content.get("name")))
        for item in catalogue.of_kind("onlineDeployment")
    }
    if deployments and (match["endpoint"], match["deployment"]) not in deployments:
        known = [":".join(pair) for pair in deployments]
        hint = did_you_mean(f"{match['endpoint']}:{match['deployment']}", known)
        yield document.finding(where, f"no file of the project defines this deployment{hint}")


def _signal_data_findings(
    signal: Mapping[str, Any], data: Mapping[str, Any], document: Document, where: str, catalogue: Catalogue
) -> Iterator[Finding]:
    if "input_data" not in data:
        yield document.finding(
            where, "input_data is missing; leave the whole key out to take what the deployment collects"
        )
    yield from value_findings(data.get("input_data"), "uri_folder", document, f"{where}.input_data", catalogue)
    window = mapping(data.get("data_window"))
    for key in ("lookback_window_size", "lookback_window_offset"):
        if key in window and window[key] != "default" and not DURATION.match(str(window[key])):
            yield document.finding(f"{where}.data_window.{key}", f"{window[key]!r} is not a duration such as P7D")
    if "lookback_window_offset" in window and "lookback_window_size" not in window:
        yield document.finding(f"{where}.data_window", "lookback_window_size is missing")
    if ("window_start" in window) != ("window_end" in window):
        yield document.finding(f"{where}.data_window", "window_start and window_end need each other")
    wanted, context = _WATCHED.get(str(signal.get("type"))), data.get("data_context")
    if wanted and where.endswith("production_data") and context in _CONTEXTS - {wanted}:
        yield document.finding(f"{where}.data_context", f"{signal['type']} watches {wanted}, not {context}")


def _threshold_findings(thresholds: object, document: Document, where: str) -> Iterator[Finding]:
    for key, value in mapping(thresholds).items():
        if isinstance(value, Mapping):
            yield from _threshold_findings(value, document, f"{where}.{key}")
        elif isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
            yield document.finding(f"{where}.{key}", f"{value} is negative")
        elif key.endswith("_rate") and isinstance(value, int | float) and value > 1:
            yield document.finding(f"{where}.{key}", f"{value} is greater than 1, but a rate is a share")
