"""What a run of Azure ML's monitor leaves behind, for the fakes: a run, a pipeline for each signal, and its steps.

As in azureml-assets, the step that compares the metrics with the thresholds tags its own run alone. The run at the top
gets a tag only when its windows have no data.
"""

from typing import Any

Runs = dict[str, dict[str, Any]]
SIGNALS = ("data_drift", "prediction_drift", "data_quality")


def monitor_runs(
    schedule: str, name: str, time: str, signals: tuple[str, ...], status: str = "Completed", problem: str = ""
) -> Runs:
    """Return a run of the monitor and all runs below it, by name; `signals` are those above a threshold."""
    moment = time.replace("-", "").replace(":", "")
    top = {"display_name": f"{schedule}-{moment}", "status": status, "created": time, "parent": None}
    tags = {"azureml.modelmonitor.error": problem} if problem else {}
    runs: Runs = {name: {**top, "tags": tags, "children": [f"{name}-{signal}" for signal in SIGNALS]}}
    for signal in SIGNALS:
        pipeline = f"{name}-{signal}"
        steps = [f"{pipeline}-{step}" for step in ("compute_drift_metrics", "evaluate_metric_thresholds")]
        common = {**top, "display_name": signal, "tags": {}, "children": []}
        runs[pipeline] = {**common, "parent": name, "children": steps}
        runs |= {step: {**common, "display_name": step, "parent": pipeline} for step in steps}
        if signal in signals:
            runs[steps[1]]["tags"] = {"azureml_modelmonitor_threshold_breached": threshold_text(signal)}
    return {key: {**run, "properties": {}, "studio": f"https://ml.example.com/runs/{key}"} for key, run in runs.items()}


def threshold_text(signal: str) -> str:
    """Return the text of the tag of a signal, in which the feature x has moved."""
    row = '{"group":"x","metric_value":0.75,"metric_name":"NormalizedWassersteinDistance","threshold_value":0.2}'
    return (
        f"The signal '{signal}' has failed due to one or more features violating metric thresholds.\n"
        f"The feature names and their corresponding computed metric values violating the threshold are \n{[row]}\n"
    )
