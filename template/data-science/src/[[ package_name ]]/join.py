"""What became of the requests? Join those that an endpoint collected with outcomes that became known later.

The result is a file of training data: the columns of the schema, one row for each request whose outcome is known. What
was collected are the inputs of the model; of a picture or a text only numbers that describe it, so there the outcomes
bring the input as well.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from . import conversion, table_file
from .core.schema import Schema
from .core.step import StepError, run
from .modality import MODALITY

# What the answer of the endpoint tells its caller, and the place of a row in the request, counted from 0.
REQUEST, ROW = "request_id", "request_row"


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="join", description="What became of the requests?")
    arguments.add_argument("--collected", type=Path, help="folder with what the endpoint collected, as JSON lines")
    arguments.add_argument("--outcomes", type=Path, required=True, help="file with the target: a table, or JSON lines")
    arguments.add_argument("--on", nargs="+", help=f"columns that both have; if left out {REQUEST} and {ROW}")
    arguments.add_argument("--schema", type=Path, required=True, help="data/schema.yml")
    arguments.add_argument("--output", type=Path, required=True, help="file of training data, which ends in .jsonl")
    return arguments


def join(arguments: argparse.Namespace) -> None:
    """Write the rows whose outcome is known.

    Raises:
        StepError: a file cannot be read, a column is missing, or nothing fits together.
    """
    schema = Schema.load(arguments.schema, MODALITY.tasks)
    if arguments.output.suffix != ".jsonl":
        raise StepError(f"{arguments.output}: end its name in .jsonl: it has one JSON object on each line")
    try:
        outcomes = table_file.read(arguments.outcomes, list(schema.raw_columns))
    except ValueError as error:
        raise StepError(f"{arguments.outcomes}: {error}") from error
    collected = read_collected(arguments.collected) if arguments.collected else None
    rows = labelled_rows(schema, collected, outcomes, arguments.on)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    unfinished = arguments.output.with_suffix(".part")
    lines = rows.to_json(orient="records", lines=True, force_ascii=False)
    unfinished.write_text(f"{lines.rstrip()}\n", encoding="utf-8")
    unfinished.replace(arguments.output)
    print(f"{len(rows):,} rows are in {arguments.output}; prep checks them", flush=True)


def read_collected(folder: Path) -> pd.DataFrame:
    """Return the rows that Azure ML's data collector wrote, with the id of their request and their place in it.

    Args:
        folder: the files `*.jsonl`, at any depth; each line is an event whose `data` is a list of rows.

    Raises:
        StepError: there is no such file, or a line is something else.
    """
    files = sorted(folder.rglob("*.jsonl"))
    if not files:
        raise StepError(f"{folder} has no file that ends in .jsonl: name the folder model_inputs that you downloaded")
    rows, apart = [], 0
    for file in files:
        for place, event in _events(file):
            if event.get("data") is None and "dataref" in event:
                apart += 1  # larger than 4 MB
                continue
            if not isinstance(event.get("data"), list) or "correlationid" not in event:
                raise StepError(f"{place}: this is no event of the data collector, with `data` and `correlationid`")
            for number, row in enumerate(event["data"]):
                rows.append({**row, REQUEST: event["correlationid"], ROW: number})
    if apart:
        print(f"{apart:,} of the requests are left out: they are large, so the collector stored them apart", flush=True)
    # As objects, so that integers stay integers beside missing values.
    return pd.DataFrame(rows, dtype=object)


def _events(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        place = f"{file}, line {number}"
        try:
            event = json.loads(line) if line.strip() else None
        except ValueError as error:
            raise StepError(f"{place}: this is not valid JSON ({error}): download the file again") from error
        if event is not None and not isinstance(event, dict):
            raise StepError(f"{place}: this is no event of the data collector")
        if event is not None:
            yield place, event


def labelled_rows(
    schema: Schema, collected: pd.DataFrame | None, outcomes: pd.DataFrame, on: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return the columns of the schema, and what else the outcomes have, for each outcome that is known.

    Args:
        schema: the schema.
        collected: rows of requests, as `read_collected` returns them; None where the outcomes have all columns.
        outcomes: the target, the keys, and each column that was not collected. Its values win over collected ones.
        on: the keys. If left out, the id of the request, and the row in it where the outcomes have that column.

    Raises:
        StepError: a key or a column is missing, a key is there twice, or no row is left.
    """
    if schema.target not in outcomes:
        raise StepError(f"the outcomes lack the column {schema.target}, the target of {schema.source}")
    rows, unknown = outcomes, 0
    if collected is not None:
        keys = list(on or [REQUEST, ROW])
        if not on and ROW not in outcomes:
            ids = outcomes.get(REQUEST, pd.Series(dtype=object))
            if ids.duplicated().any():
                twice = ids[ids.duplicated()].iloc[0]
                raise StepError(
                    f"several outcomes have the {REQUEST} {twice}: add the column {ROW}, the place of the row in its "
                    "request, from 0"
                )
            outcomes = outcomes.assign(**{ROW: 0})
        rows = _matched(schema, collected, outcomes, keys)
        unknown = len(outcomes) - len(rows)
    known = rows[schema.target].map(lambda value: not (pd.isna(value) or str(value).strip() in conversion.MISSING))
    late = int((~known).sum())
    rows = rows[known]
    if collected is not None:
        print(f"{len(collected):,} collected rows, {len(outcomes):,} outcomes, {len(rows):,} joined", flush=True)
    if unknown:
        print(f"{unknown:,} of the outcomes are left out: no request with their keys was collected", flush=True)
    if late:
        print(f"{late:,} of the rows are left out: their outcome is not known yet", flush=True)
    if rows.empty:
        raise StepError("no row is left: compare the keys of the outcomes with those of what was collected")
    needed = [name for name, column in schema.raw_columns.items() if column.missing < 1 and name not in rows]
    if needed:
        where = "outcomes" if collected is None else "collected rows and the outcomes"
        raise StepError(f"the {where} lack {', '.join(needed)}, which {schema.source} needs: add it to the outcomes")
    # All files of the raw data have the same columns, also those that the schema does not list.
    others = [name for name in outcomes if name not in (*schema.raw_columns, REQUEST, ROW)]
    return rows.reindex(columns=[*schema.raw_columns, *others]).reset_index(drop=True)


def _matched(schema: Schema, collected: pd.DataFrame, outcomes: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    for name, frame in (("the outcomes", outcomes), ("the collected rows", collected)):
        if missing := [key for key in keys if key not in frame]:
            raise StepError(f"{name} lack the column {missing[0]}, a key: name columns that both have, with --on")
    mine, theirs = (_as_keys(schema, frame, keys) for frame in (outcomes, collected))
    if len(twice := mine[mine.duplicated()]):
        shown = ", ".join(f"{key} {value}" for key, value in zip(keys, twice.iloc[0], strict=True))
        raise StepError(f"two outcomes have the same keys ({shown}): delete one, or name more columns with --on")
    # Of a request that was sent again, the last one counts.
    last = ~theirs.duplicated(keep="last")
    if repeated := int((~last).sum()):
        print(f"{repeated:,} of the collected rows are left out: a later one has the same keys", flush=True)
    right = collected[last].drop(columns=[name for name in collected if name in outcomes])
    numbers = theirs[last].assign(_place=range(int(last.sum()))).merge(mine.assign(_row=range(len(mine))), on=keys)
    left = outcomes.iloc[numbers["_row"]].reset_index(drop=True)
    return pd.concat([left, right.iloc[numbers["_place"]].reset_index(drop=True)], axis=1)


def _as_keys(schema: Schema, frame: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return the keys as texts, which are the same for 7 and "7.0" of a column of numbers."""
    found = {}
    for key in keys:
        values = frame[key]
        if key in schema.raw_columns:
            typed, _ = conversion.convert_column(values, schema.columns[key].document())
            values = pd.Series(typed, dtype=object)
        found[key] = values.map(lambda value: str(int(value)) if _is_integer(value) else str(value).strip())
    return pd.DataFrame(found).reset_index(drop=True)


def _is_integer(value: Any) -> bool:
    try:
        return float(value).is_integer() and not isinstance(value, str)
    except (TypeError, ValueError):
        return False


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(join, parser(), argv, MODALITY.threads)


if __name__ == "__main__":
    main()
