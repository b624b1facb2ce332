"""What Azure Monitor counts of the requests that a deployment behind an online endpoint answers.

Names and dimensions are those of Microsoft's table of metrics of `Microsoft.MachineLearningServices/workspaces/
onlineEndpoints`; what a status code means is on Azure ML's page about errors of online endpoints.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlops.azureml.monitor_runs import moment
from mlops.config import EnvironmentConfig

REQUESTS, LATENCY = "RequestsPerMinute", "RequestLatency_P95"

AGGREGATION, INTERVAL = "Average", "PT1M"
"""Of the number of requests in a minute Azure offers the average alone, which over one minute is the number."""

MOST_SERIES = "100"
"""How many series a query returns, one for each status code: Azure stops at ten unless it is told otherwise."""

MODEL_ERROR = "424"
"""What Azure answers when the scoring script has answered anything but 200."""

OVERLOAD = ("408", "429")
"""The answers when the scoring script takes too long, and when more requests come than it can hold."""

Query = Callable[[str, str], Mapping[str, Any]]
"""Returns what Azure Monitor answers, given the name of a metric and a filter of its dimensions."""


@dataclass(frozen=True)
class RequestMetrics:
    """How many requests a deployment had to answer, with how many it failed, and how slow it was.

    Requests that it refused, as mistakes of the callers, are not among them: `refused` has their number. 95 % of the
    requests of a minute are faster than `latency_ms`, which is averaged over the minutes by their number of requests;
    None when Azure has no latency.
    """

    requests: int
    failed: int
    latency_ms: float | None
    refused: int = 0

    @property
    def error_percent(self) -> float:
        """The share of the requests that failed, in percent."""
        return 100 * self.failed / self.requests if self.requests else 0.0

    @property
    def refused_percent(self) -> float:
        """The share of all that came, in percent, that was refused as a mistake of the caller."""
        return 100 * self.refused / (self.requests + self.refused) if self.refused else 0.0


def read_requests(query: Query, deployment: str, since: datetime) -> RequestMetrics:
    """Read how a deployment has answered its requests since a full minute."""
    here = f"deployment eq '{deployment}'"
    by_code, by_minute = defaultdict[str, float](float), defaultdict[datetime, float](float)
    for code, minute, number in _values(query(REQUESTS, f"{here} and statusCode eq '*'"), "statusCode", since):
        by_code[code] += number
        by_minute[minute] += number
    refused = 0.0
    if by_code[MODEL_ERROR]:
        # The scoring script answers 400 to a request that cannot be scored, and the caller gets 424 for that, too.
        model = f"{here} and statusCode eq '{MODEL_ERROR}' and modelStatusCode eq '*'"
        answers = _values(query(REQUESTS, model), "modelStatusCode", since)
        refused = sum(number for code, _, number in answers if is_mistake(code))
        by_code[MODEL_ERROR] -= refused
    failed = sum(number for code, number in by_code.items() if is_failure(code))
    served = sum(number for code, number in by_code.items() if code[:1] in ("2", "3"))
    latency = [(value, by_minute[minute]) for _, minute, value in _values(query(LATENCY, here), "deployment", since)]
    total = sum(number for _, number in latency)
    slow = sum(value * number for value, number in latency) / total if total else None
    refused += sum(number for code, number in by_code.items() if is_mistake(code))
    return RequestMetrics(round(served + failed), round(failed), slow, round(refused))


def is_failure(code: str) -> bool:
    """Return whether a status code says that the deployment failed."""
    return code.startswith("5") or code == MODEL_ERROR or code in OVERLOAD


def is_mistake(code: str) -> bool:
    """Return whether a status code says that the caller made a mistake, such as a request that cannot be scored."""
    return code.startswith("4") and not is_failure(code)


def endpoint_id(config: EnvironmentConfig, subscription: str) -> str:
    """Return the Azure resource id of the online endpoint, given that of the subscription."""
    names = config.names
    return (
        f"/subscriptions/{subscription}/resourceGroups/{names.resource_group}/providers/"
        f"Microsoft.MachineLearningServices/workspaces/{names.workspace}/onlineEndpoints/{names.online_endpoint}"
    )


def time_text(moment: datetime) -> str:
    """Return a time of UTC as queries have it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _values(answer: Mapping[str, Any], dimension: str, since: datetime) -> Iterator[tuple[str, datetime, float]]:
    """Give each value of a metric, with its minute and the value that a dimension has in its series."""
    for series in (series for metric in answer["value"] for series in metric.get("timeseries") or ()):
        # Azure writes the name of a dimension in small letters.
        labels = {label["name"]["value"].lower(): str(label["value"]) for label in series.get("metadatavalues") or ()}
        for point in series.get("data") or ():
            minute, value = moment(point["timeStamp"]), point.get(AGGREGATION.lower())
            if value is not None and minute >= since:
                yield labels.get(dimension.lower(), ""), minute, float(value)
