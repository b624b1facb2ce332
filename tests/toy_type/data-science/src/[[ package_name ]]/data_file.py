"""How one file of JSON lines becomes series, in training and in batch scoring. See `core.modality`."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd


def read(path: Path, columns: Collection[str], files: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Return a row for each line; a model takes a series as the text of its JSON list.

    Raises:
        ValueError: a line is not a series.
    """
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = json.loads(line)
            records.append({**record, "series": json.dumps(record["series"])})
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"line {number} is not a series ({error!r})") from error
    return pd.DataFrame.from_records(records)


def load(inputs: pd.DataFrame, request: bool = False) -> pd.DataFrame:
    """Return the inputs as they are: the model reads the JSON."""
    return inputs


def describe(inputs: pd.DataFrame) -> pd.DataFrame:
    """Return the last value of each series, for Azure's monitor."""
    return pd.DataFrame({"last": [json.loads(text)[-1] for text in inputs["series"]]}, index=inputs.index)
