"""What runs of the monitor leave behind in Azure ML, in one form for every mlops version."""

import ast
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

THRESHOLD_TAG = "azureml_modelmonitor_threshold_breached"
"""The tag of the step that found a threshold exceeded. Its run has no tag, unless mail is sent."""

ERROR_TAG = "azureml.modelmonitor.error"
"""The tag of a run whose windows have no data, or that Azure ML could not evaluate for another reason."""

LEVELS = 2
"""How deep a step with the tag lies: the run has a pipeline for each signal, and that has the step."""


@dataclass(frozen=True)
class Breach:
    """A threshold that was exceeded: of which signal, and, where Azure tells, of which feature and by what."""

    signal: str
    feature: str = ""
    metric: str = ""
    value: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class MonitorRun:
    """A run of the monitor: its name, when it was created, how far it is, and why it compared nothing, if it says."""

    name: str
    time: datetime
    status: str
    problem: str = ""
    studio: str = ""


def is_of_schedule(schedule: str, names: Iterable[str | None], properties: Mapping[str, str | None]) -> bool:
    """Return whether a schedule has created a job, by the job's names and properties.

    The display name of what a schedule creates is its own name and a time (Microsoft's how-to-schedule-pipeline-job).
    For monitors no document says so; a job that names the schedule in a property counts too.
    """
    if any(name == schedule or str(name).startswith((f"{schedule}-", f"{schedule}_")) for name in names):
        return True
    return any(str(value).rsplit("/", 1)[-1] == schedule for value in properties.values())


def find_breaches(run: str, children: Callable[[str], Iterable[tuple[str, Mapping[str, str] | None]]]) -> list[Breach]:
    """Return what the steps of a run of the monitor found; `children` gives the names and tags of a run's children."""
    texts: dict[str, None] = {}
    level = [run]
    for _ in range(LEVELS):
        found = [child for parent in level for child in children(parent)]
        texts |= {str(tags[THRESHOLD_TAG]): None for _, tags in found if tags and tags.get(THRESHOLD_TAG)}
        level = [name for name, _ in found]
    return [breach for text in texts for breach in read_breaches(text)]


def read_breaches(text: str) -> list[Breach]:
    """Return what the text of the tag says: a sentence with the signal's name, then the rows as a list of JSON texts.

    Where the rows cannot be read, such as after their end was cut off, the signal alone is returned.
    """
    named = re.search(r"signal '([^']*)'", text)
    signal = named[1] if named else text.splitlines()[0].strip()
    listed = re.search(r"\[.*\]", text, re.DOTALL)
    try:
        rows = [json.loads(row) for row in ast.literal_eval(listed[0])] if listed else []
        found = [
            Breach(signal, str(row["group"]), str(row["metric_name"]), row["metric_value"], row["threshold_value"])
            for row in rows
        ]
    except (ValueError, SyntaxError, KeyError, TypeError):
        found = []
    return found or [Breach(signal)]


def moment(value: object) -> datetime:
    """Return a time of Azure, which is a text or a datetime, with its time zone (UTC where it has none)."""
    time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return time if time.tzinfo else time.replace(tzinfo=UTC)
