"""A draft of the schema and of the settings, from the files that a person has, with the reasons for each guess.

What is guessed is for a person to read, so each column has a line that says why. A draft fits the files that it is made
from: `prep` reads them with it.
"""

import math
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from sklearn.model_selection import cross_val_score
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from .. import conversion, table_file
from . import features, new_table_file, tables
from .baselines import CONSTANTS
from .guesses import ID, OWNER, Guess, guess, made
from .metrics import METRICS
from .modality import Modality, passed_over
from .schema import TASKS, Column, Schema
from .split import MINIMUM_GROUPS, MINIMUM_ROWS, split
from .step import StepError

_TARGETS = ("target", "label", "labels", "class", "y", "outcome", "response", "category", "topic", "sentiment")
_SUMMARIES = ("summary", "summaries", "highlights", "headline", "abstract", "title")
_INPUTS = [
    *("text", "image", "review", "message", "content", "body", "description", "comment", "document", "article"),
    *("file", "filename", "filepath", "imagepath", "path", "picture", "photo", "sentence", "tweet", "question"),
]
_NO_FEATURE = {
    "text": "no feature of a table: features.py can compute some",
    "category": "no feature: most rows have a value of their own",
}
_TIME = re.compile(r"\d{1,4}(:[0-5]\d){1,2}")
_TIMES = "times such as 1:30 are read as names: write numbers, such as minutes"
_TIMES_IN_A_TABLE = f"{_TIMES}, or use features.py"
_GOOD_NEWS = ("yes", "true", "1", "y", "t", "positive", "pos")
# An integer with more values is not a class, unless the task says so; and a class is not as rare as this.
_MOST_CLASSES = 10
_MOST_NAMES = 100
# So many classes are usual; a column with more is rather a note on each example.
_FEW_NAMES = 20
# More values than this are listed for no feature, and a rarer one may have relatives that are not in these files.
_MOST_LISTED, _LEAST_SHARE = 10, 0.01
# A category with more values, in this share of the rows, is a name and not a category.
_MOST_VALUES, _MOST_DIFFERENT = 50, 0.5
# What a command line takes as it is.
_PLAIN = re.compile(r"[\w.:@%+=,-]+")
# Groups, of which a fifth is held out, so that enough are.
_LEAST_GROUPS = 5 * MINIMUM_GROUPS
# What one column alone predicts as well as this is hardly known before the target is.
_LEAK = 0.99
_ROWS_FOR_LEAKS, _LEAST_ROWS = 5000, 50
_SHORT, _LONG = 62, 730
_SLICES = 2
# So many lines below the header may name units and the like.
_MOST_LINES_OF_UNITS = 3
# What moves the cursor of a terminal, or ends a line for some.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# What a comment shows of another schema.
_ENTRY = re.compile(r"#\s*((split|features)\s*:|\w+:\s*\{)")


@dataclass(frozen=True)
class Draft:
    """What `draft` found.

    Attributes:
        schema: the text of data/schema.yml.
        settings: what config/model.yml should have, by key, such as `evaluation.metric`.
        about: a line on the files, and one on the target.
        table: a row for each column: its name, type, role, share of missing values, and why.
        warnings: what will stop a training, or what a person should look at, a line each.
        places: where each file belongs, below data/raw.
    """

    schema: str
    settings: dict[str, Any]
    about: list[str]
    table: list[tuple[str, str, str, str, str]]
    warnings: list[str]
    places: dict[Path, str]


@dataclass(frozen=True)
class _Data:
    frame: pd.DataFrame
    files: dict[str, Any]
    places: dict[Path, str]
    about: str
    input: str | None = None
    others: tuple[str, ...] = ()
    unnamed: tuple[str, ...] = ()
    rows: Mapping[Path, int] = field(default_factory=dict)
    """How many rows are of each table, in their order; nothing where examples are files of their own."""


def draft(
    modality: Modality,
    paths: Sequence[Path],
    schema_path: Path,
    settings: Mapping[str, Any],
    target: str | None = None,
    task: str | None = None,
    encoding: str | None = None,
) -> Draft:
    """Draft a schema and settings for files.

    Args:
        modality: the type of data.
        paths: files, or folders with files.
        schema_path: the schema of the project, whose comments the draft keeps.
        settings: those of the project.
        target: its name, if it is known.
        task: likewise.
        encoding: that of the files, likewise.

    Raises:
        StepError: a file cannot be read, or no target is to be seen; with the remedy.
    """
    if task and task not in modality.tasks:
        raise StepError(f"--task {task}: choose one of {', '.join(modality.tasks)}")
    data = _renamed(_read(modality, paths, target, encoding), _in_one_line)
    for_components = "train_rows" in (settings.get("responsible_ai") or {})
    if for_components:
        data = _renamed(data, _plain_name)
    renamed = data.files.get("rename", {})
    target = renamed.get(target, target)
    guesses = _guess_all(data)
    name, why = _target(guesses, data, modality, target)
    labels, kind, why_task = _labels(guesses[name], data.frame[name], modality, task)
    guesses[name] = labels
    rule, notes = _roles(guesses, name, kind, data.input, data.unnamed)
    notes += _units_below_the_header(data, guesses)
    columns = {each.name: each.entry for each in guesses.values() if each.entry}
    head: dict[str, Any] = {"target": name, "task": kind}
    if positive := _positive(labels, kind):
        head["positive"] = positive
    if data.files:
        head["files"] = data.files
    text = _schema_text(schema_path, head, rule, columns, guesses)
    schema = _loaded(text, modality)
    others = [f"passed over {name}, which is no table ({', '.join(table_file.SUFFIXES)})" for name in data.others]
    if data.input is None and renamed:
        shown = table_file.column_list([f"{_in_a_line(old)} -> {new}" for old, new in renamed.items()])
        why_renamed = "Azure ML's Responsible AI components break at spaces and quotes in a name"
        notes.append(f"{why_renamed if for_components else 'a name has one line here'}: {shown}")
    warnings = [*others, *data.unnamed, *notes, *_problems(data, schema, settings)]
    about = [data.about, f"target: {name} ({why}); {why_task}"]
    if rule:
        about.append(f"held out: {_held_out(rule)}")
    elif data.input is None:
        about.append(
            "held out: by the values of all features; another feature moves rows, unless `split.key` has a key"
        )
    table = [_row(each, name, rule, data.input) for each in guesses.values()]
    usable = [guesses[each] for each in (_features(guesses, name) if data.input is None else guesses) if each != name]
    changes = _settings(schema, labels, usable, settings)
    return Draft(text, changes, [*map(_in_a_line, about)], table, [*map(_in_a_line, warnings)], data.places)


# --- files


def _read(modality: Modality, paths: Sequence[Path], target: str | None, encoding: str | None) -> _Data:
    for path in paths:
        if not path.exists():
            raise StepError(f"{path}: no such file or folder: check the path")
    folder = paths[0] if len(paths) == 1 and paths[0].is_dir() else None
    files = [file for path in paths for file in (new_table_file.tables_below(path) if path.is_dir() else [path])]
    wanted = modality.input_column
    if wanted is not None and (folder or not all(map(new_table_file.is_table, files))):
        return _read_examples(modality, paths, folder, target, encoding, wanted)
    if wanted is not None and files and not {*table_file.SUFFIXES} & {*modality.suffixes}:
        raise StepError(f"{files[0]}: a table alone has no {wanted}s: give the folder that it is in with them")
    new_table_file.refuse_others(files, paths)
    written = new_table_file.written_as(files, encoding)
    frames = {file: tables.read(file, new_table_file.schema_of(written)) for file in files}
    frame, rows = tables.joined(frames), {file: len(each) for file, each in frames.items()}
    unnamed = tuple(new_table_file.columns_without_name(files, written, named=len(files) > 1))
    chosen = None
    if wanted is not None:
        chosen = wanted if wanted in frame else _input_in(frame, wanted, files[0])
        if chosen != wanted:
            written["rename"] = {chosen: wanted}
            frame = frame.rename(columns={chosen: wanted})
    about = new_table_file.about(files, len(frame), frame.shape[1], written)
    others = passed_over(folder, table_file.SUFFIXES) if folder else []
    places = new_table_file.places(files)
    return _Data(frame, written, places, about, wanted, tuple(others), unnamed, rows if wanted is None else {})


def _plain_name(name: str) -> str:
    """Return a name of letters, digits and underscores, unless it is plain enough."""
    return name if _PLAIN.fullmatch(name) else re.sub(r"\W", "_", name)


def _in_one_line(name: str) -> str:
    return " ".join(name.split()) if len(name.splitlines()) > 1 else name


def _in_a_line(text: str) -> str:
    """Return a text as a terminal can show it, with names of signs such as line breaks in their place."""
    return _CONTROLS.sub(lambda found: repr(found[0])[1:-1], text)


def _renamed(data: _Data, rename: Callable[[str], str]) -> _Data:
    """Return data whose columns have other names, no two of them the same one."""
    renamed: dict[str, str] = {}
    for name in map(str, data.frame.columns):
        if (new := rename(name)) != name:
            while new in data.frame or new in renamed.values():
                new += "_"
            renamed[name] = new
    if not renamed:
        return data
    before = data.files.get("rename", {})
    names = {old: renamed.get(new, new) for old, new in before.items()}
    files = {
        **data.files,
        "rename": {**names, **{old: new for old, new in renamed.items() if old not in before.values()}},
    }
    return replace(data, frame=data.frame.rename(columns=renamed), files=files)


def _input_in(frame: pd.DataFrame, wanted: str, file: Path) -> str:
    """Return the column that holds, or names, the examples where it is called otherwise."""
    plain = {re.sub(r"[\W_]", "", str(name).lower()): str(name) for name in frame.columns}
    for name in _INPUTS:
        if name in plain:
            return plain[name]
    lengths = {name: frame[name].map(lambda each: len(str(each))).mean() for name in frame.columns}
    longest = max(lengths, key=lambda name: lengths[name])
    if lengths[longest] < 20:
        has = table_file.column_list(frame.columns)
        raise StepError(
            f"{file}: it has no column {wanted} (its columns: {has}): call the column with the {wanted}s so"
        )
    return str(longest)


def _read_examples(
    modality: Modality,
    paths: Sequence[Path],
    folder: Path | None,
    target: str | None,
    encoding: str | None,
    wanted: str,
) -> _Data:
    """Read pictures or texts in folders or archives, with a table or with folders that are classes."""
    if folder is None:
        archives = [path for path in paths if path.is_file() and path.suffix.lower() in modality.suffixes]
        if len(paths) != 1 or not archives:
            raise StepError(f"{paths[0]}: give one folder, or one archive, in which all examples and their table are")
    written, unnamed = _labels_beside(modality, folder or paths[0], encoding, wanted)
    label = target or "label"
    known = new_table_file.schema_of(written, label, {wanted: Column(wanted, "text"), label: Column(label, "category")})
    if folder is not None:
        examples = modality.read(folder, known)
        places = {path: path.name for path in sorted(folder.iterdir()) if not path.name.startswith(".")}
    else:
        with tempfile.TemporaryDirectory() as temporary:
            shutil.copyfile(paths[0], Path(temporary) / paths[0].name)
            try:
                examples = modality.read(Path(temporary), known)
            except StepError as error:
                raise StepError(str(error).replace(temporary, str(paths[0].parent))) from error
        places = {paths[0]: paths[0].name}
    frame = examples.frame
    hidden = [name for name in frame.columns if str(name).startswith("_")]
    frame = frame.drop(columns=hidden)
    about = f"{paths[0].name}: {len(frame):,} {wanted}s, {frame.shape[1]} columns"
    return _Data(frame, written, places, about, wanted, unnamed=unnamed)


def _labels_beside(
    modality: Modality, given: Path, encoding: str | None, wanted: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return how the tables with the labels of examples are written, and what to do about columns without a name.

    They are in the folder of the examples, or in the archive that these are in.
    """
    folder = given if given.is_dir() else given.parent
    files = new_table_file.tables_below(given) if given.is_dir() else []
    with tempfile.TemporaryDirectory() as temporary:
        if not {*table_file.SUFFIXES} & {*modality.suffixes}:  # else a table has examples of its own, and no labels
            files += new_table_file.unpacked(given, folder, Path(temporary))
        if not files:
            return {}, ()
        try:
            written = new_table_file.written_as(files, encoding)
            found = tables.read(files[0], new_table_file.schema_of(written))
            if wanted not in found:
                written["rename"] = {_input_in(found, wanted, files[0]): wanted}
            return written, tuple(new_table_file.columns_without_name(files, written, named=True))
        except StepError as error:
            raise StepError(str(error).replace(temporary, str(folder))) from error


# --- target and task


def _guess_all(data: _Data) -> dict[str, Guess]:
    raw = {str(name): data.frame[name] for name in data.frame.columns if name != data.input}
    guesses = {name: guess(name, values) for name, values in raw.items()}
    writings = {each.writing for each in guesses.values()}
    # A comma that can only be decimal tells what the others are, and so does such a point.
    if "comma decimals" in writings and not writings & {"point decimals", "comma thousands"}:
        guesses = {
            name: each if each.writing else guess(name, raw[name], decimal_comma=True) for name, each in guesses.items()
        }
    if data.input is not None:
        values = data.frame[data.input].to_numpy(dtype=object)
        entry = {"type": "text"}
        found = Guess(data.input, entry, values, (f"the {data.input} of each example",), len({*values}))
        if renamed := data.files.get("rename"):
            found = found.noted(f"the column {next(iter(renamed))} of the files")
        guesses = {data.input: found} | guesses
    return guesses


def _target(guesses: Mapping[str, Guess], data: _Data, modality: Modality, given: str | None) -> tuple[str, str]:
    others = [name for name in guesses if name != data.input]
    if given is not None:
        if given in others and guesses[given].entry:
            return given, "as --target says"
        alike = [name for name in others if name.lower() == given.lower() and name != given]
        remedy = f"write {alike[0]}" if alike else f"choose one of {table_file.column_list(others)}"
        empty = "is empty in each row" if given in others else "is no column"
        raise StepError(f"--target {given}: {empty}: {remedy}")
    if not others:
        raise StepError("there is no column that could be the target: add one with the label of each row")
    usable = [name for name in others if _may_be_target(guesses[name], modality)]
    names = _TARGETS if modality.tasks[0] in TASKS else _SUMMARIES
    for name in names:
        if found := [each for each in usable if each.lower() == name]:
            return found[0], "its name says so"
    if modality.input_column is not None:
        few = [name for name in usable if guesses[name].different <= _FEW_NAMES] or usable
        if len(few) == 1:
            return few[0], "no other column could be it"
    elif usable and usable[-1] == others[-1]:
        return usable[-1], "it is the last column; --target names another one"
    raise StepError(f"no column is clearly the target: name it with --target; the columns are {', '.join(others)}")


def _may_be_target(each: Guess, modality: Modality) -> bool:
    if modality.tasks[0] not in TASKS:
        return each.type in ("text", "category")
    if each.type not in ("integer", "number", "boolean", "category") or each.different < 2 or each.missing > 0.5:
        return False
    if ID.search(each.name) or OWNER.search(each.name):
        return False
    if "regression" not in modality.tasks or each.type in ("category", "boolean"):
        return each.type != "number" and each.different <= _MOST_NAMES
    return True


def _labels(each: Guess, raw: pd.Series, modality: Modality, task: str | None) -> tuple[Guess, str, str]:
    """Return the target as the schema has it, the task, and why."""
    if modality.tasks[0] not in TASKS:
        kind = task or modality.tasks[0]
        return made(each.name, raw, {"type": "text"}), kind, kind
    why = "as --task says" if task else ""
    if task is None:
        task, why = _task(each, modality)
    if task == "regression":
        if not each.is_number:
            raise StepError(
                f"{each.name} has other values than numbers: choose --task classification, or another --target"
            )
        return each, task, f"a regression ({why})"
    if each.type in ("date", "text", "number", "boolean"):
        each = _classes(each, raw)
    if each.different < 2:
        raise StepError(f"{each.name} has one value in all rows, so there is nothing to learn: choose another target")
    if each.different > _MOST_NAMES:
        count = f"{each.different:,} different values"
        times = f"; {_TIMES}" if _are_times(each) else ""
        raise StepError(f"{each.name} has {count}, too many for classes: choose another target with --target{times}")
    counts = each.counts()
    listed = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:6])
    more = ", ..." if len(counts) > 6 else ""
    return each.noted(values=list(counts)), task, f"a classification ({why}): {listed}{more}"


def _classes(each: Guess, raw: pd.Series) -> Guess:
    """Return a target that is no category as one: 0 and 1 are integers, yes and no keep their names."""
    words = {key: value for key, value in each.entry.items() if key == "na_values"}
    category = made(each.name, raw, {"type": "category", **words}, *each.reasons)
    if each.type != "boolean":
        return category
    if set(category.counts()) == {"0", "1"}:
        return made(each.name, raw, {"type": "integer", **words})
    # With names that are written in capitals and without, a boolean is the same for both.
    return category if category.different == 2 else each


def _task(each: Guess, modality: Modality) -> tuple[str, str]:
    if "regression" not in modality.tasks:
        return modality.tasks[0], "the only task of this type of data"
    if each.type in ("category", "boolean", "text"):
        return "classification", "its values are names"
    if each.type == "integer" and each.different <= _MOST_CLASSES and each.different < len(each.values) / 10:
        return "classification", f"{each.different} different integers; --task regression takes them for numbers"
    return "regression", f"{each.different:,} different numbers"


def _positive(labels: Guess, task: str) -> str | None:
    names = labels.entry.get("values", [])
    if task != "classification" or len(names) != 2:
        return None
    good = [name for name in names if name.lower() in _GOOD_NEWS]
    counts = labels.counts()
    return str(good[0]) if len(good) == 1 else min(counts, key=lambda name: counts[name])


# --- roles


def _roles(
    guesses: dict[str, Guess], target: str, task: str, example: str | None, unnamed: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Give each guess its role, limits and allowed share of missing values; return the split, and what to look at."""
    notes: list[str] = []
    rows = len(guesses[target].values)
    groups = [name for name, each in guesses.items() if name not in (target, example) and _is_group(each, rows)]
    keys = [name for name, each in guesses.items() if name not in (target, example) and _is_key(each)]
    rule = {"group": groups[0]} if groups else {"key": keys[0]} if keys else {}
    for name, each in guesses.items():
        if name == example or not each.entry:
            continue
        if name == target:
            guesses[name] = _limited(each)
            continue
        if name in groups:
            each = each.noted(
                f"{each.different:,} values that repeat: what belongs together is held out together", role="ignore"
            )
        elif name in keys:
            each = each.noted("another value in each row: an identifier", role="ignore")
        elif each.different == 1:
            each = each.noted("the same in each row", role="ignore")
        elif example is not None:
            each = each.noted(f"not for the model, which sees the {example} alone", role="ignore")
        elif each.type == "date":
            each = _dated(each, guesses)
        elif each.type == "text" or _is_name(each, rows):
            why = f"no feature: {_TIMES_IN_A_TABLE}" if _are_times(each) else _NO_FEATURE[each.type]
            each = each.noted(why, role="ignore")
        guesses[name] = _limited(each)
    if example is None:
        for name in _features(guesses, target):
            score = _alone(guesses[name], guesses[target], task)
            if score >= _LEAK:
                same = (
                    "a copy of the target"
                    if _is_copy(guesses[name], guesses[target])
                    else f"it predicts the target alone ({score:.3g})"
                )
                guesses[name] = _ignored(guesses[name], f"leak? {same}")
                notes.append(
                    f"{name}: {same}, so it is no feature; if it is known before the target is, delete `role: ignore`"
                )
        if not _features(guesses, target):
            raise StepError(_no_feature([each for name, each in guesses.items() if name != target], unnamed))
    if rule and (each := guesses[next(iter(rule.values()))]).missing:
        guesses[each.name] = each.noted("misses values, so it cannot decide what is held out")
        rule = {}
    return rule, notes


def _no_feature(others: Sequence[Guess], unnamed: Sequence[str]) -> str:
    names = ", ".join(each.name for each in others)
    why = f"{names} are identifiers, dates, constants, or tell the target" if others else "the target is alone"
    advice = [_TIMES_IN_A_TABLE] if any(map(_are_times, others)) else []
    return "; ".join([f"no column is left that could be a feature: {why}: give more columns", *advice, *unnamed])


def _is_group(each: Guess, rows: int) -> bool:
    named = bool(ID.search(each.name) or OWNER.search(each.name))
    return named and each.type in ("integer", "category", "text") and _LEAST_GROUPS <= each.different <= 0.9 * rows


def _is_key(each: Guess) -> bool:
    if not each.is_unique or len(each.values) < 20:
        return False
    if each.type in ("category", "text"):
        return (each.type == "category" and not _are_times(each)) or bool(ID.search(each.name))
    numbers = each.values.astype(float) if each.type == "integer" else np.array([])
    named = bool(ID.search(each.name) or OWNER.search(each.name))
    return each.type == "integer" and (named or bool((np.diff(numbers) == 1).all()))


def _is_name(each: Guess, rows: int) -> bool:
    return each.type == "category" and each.different > _MOST_VALUES and each.different > _MOST_DIFFERENT * rows


def _are_times(each: Guess) -> bool:
    return bool(each.entry) and all(_TIME.fullmatch(str(value)) for value in each.values[~pd.isna(each.values)])


def _units_below_the_header(data: _Data, guesses: Mapping[str, Guess]) -> Iterator[str]:
    """Yield for each file what to do about first rows that have words, such as units, in place of all numbers."""
    numbers = {name: each for name, each in guesses.items() if each.is_number}
    first = 0
    for file, count in data.rows.items():
        found: list[str] = []
        places = new_table_file.first_lines(file, data.files, min(_MOST_LINES_OF_UNITS, count))
        for row, place in enumerate(places, first):
            if not all(pd.isna(each.values[row]) for each in numbers.values()):
                break
            given = {name: conversion.label(data.frame[name].iloc[row]) for name in numbers}
            words = [word for name, word in given.items() if word in numbers[name].entry.get("na_values", ())]
            if len(words) < 2:
                break
            found.append(f"{place} has {', '.join(words)}")
        first += count
        if found:
            where = f"{file.name}: " if len(data.rows) > 1 else ""
            them = "that line" if len(found) == 1 else "these lines"
            yield (
                f"{where}{' and '.join(found)} in place of numbers: if these are units, delete {them} of the file and "
                "repeat this"
            )


def _dated(each: Guess, guesses: Mapping[str, Guess]) -> Guess:
    dates = [text for text in each.values if text is not None]
    days = (datetime.fromisoformat(max(dates)) - datetime.fromisoformat(min(dates))).days
    parts = ["month"] * (days > _SHORT) + ["day_of_week"] + ["hour"] * any("T" in text for text in dates)
    parts = [part for part in parts if f"{each.name}_{part}" not in guesses]
    span = f"{min(dates)[:10]} to {max(dates)[:10]}"
    if each.missing > 0.5 or not parts:
        return each.noted(span, "no feature", role="ignore")
    return each.noted(span, f"features: {', '.join(parts)}", derive=parts)


def _limited(each: Guess) -> Guess:
    """Return a guess with plausible limits, the usual values, and the share that may be missing."""
    entry: dict[str, Any] = {}
    ignored = each.entry.get("role") == "ignore"
    if each.is_number and not ignored and "values" not in each.entry:
        numbers = each.values[~pd.isna(each.values)].astype(float)
        entry["minimum"], entry["maximum"] = _range(float(numbers.min()), float(numbers.max()), each.type)
    if each.type == "category" and not ignored and "values" not in each.entry:
        counts = each.counts()
        if len(counts) <= _MOST_LISTED and min(counts.values()) >= _LEAST_SHARE * len(each.values):
            entry["values"] = list(counts)
    if each.missing and not ignored:
        entry["missing"] = min(1.0, math.ceil(200 * each.missing) / 100)
    return each.noted(**entry)


def _range(low: float, high: float, kind: str) -> tuple[float, float]:
    """Return limits that are as far away again as the values are from each other, and 0 where there is none below."""
    width = high - low or abs(high) or 1.0
    place = 10.0 ** math.floor(math.log10(width))
    smallest, largest = (math.floor((low - width) / place) * place, math.ceil((high + width) / place) * place)
    smallest = 0.0 if low >= 0 else smallest
    found = [float(f"{number:.10g}") for number in (smallest, largest)]
    return (
        (int(found[0]), int(found[1]))
        if kind == "integer" or all(map(float.is_integer, found))
        else (found[0], found[1])
    )


def _features(guesses: Mapping[str, Guess], target: str) -> list[str]:
    return [
        name for name, each in guesses.items() if each.entry and name != target and each.entry.get("role") != "ignore"
    ]


def _ignored(each: Guess, reason: str) -> Guess:
    kept = {
        key: value
        for key, value in each.entry.items()
        if key not in ("derive", "missing", "minimum", "maximum", "values")
    }
    guess_ = Guess(
        each.name, {**kept, "role": "ignore"}, each.values, (reason, *each.reasons), each.different, each.writing
    )
    return guess_


# --- leaks


def _codes(each: Guess) -> np.ndarray:
    """Return values as numbers with NaN where they are missing, in the order of numbers and dates."""
    if each.type == "date":
        return np.array([np.nan if text is None else _days(text) for text in each.values])
    if each.type in ("integer", "number", "boolean"):
        return each.values.astype(float)
    codes = pd.factorize(pd.Series(each.values, dtype=object), sort=True)[0].astype(float)
    return np.where(codes < 0, np.nan, codes)


def _days(text: str) -> float:
    moment = datetime.fromisoformat(text)
    return moment.toordinal() + (moment.hour * 60 + moment.minute) / 1440


def _alone(each: Guess, target: Guess, task: str) -> float:
    """Return how well a column alone predicts the target, 0 to 1, in examples that it was not learned from."""
    known = ~pd.isna(target.values)
    values, labels = _codes(each)[known], target.values[known]
    places = np.random.default_rng(0).permutation(len(values))[:_ROWS_FOR_LEAKS]
    if len(places) < _LEAST_ROWS:
        return 0.0
    inputs = values[places].reshape(-1, 1)
    # Older trees take no missing values: they are a value below all others here.
    present = inputs[~np.isnan(inputs)]
    inputs = np.where(np.isnan(inputs), (present.min() if len(present) else 0.0) - 1.0, inputs)
    settings: dict[str, Any] = {"max_leaf_nodes": 100, "min_samples_leaf": 3, "random_state": 0}
    if task == "regression":
        numbers = labels[places].astype(float)
        ranks = np.corrcoef(pd.Series(inputs[:, 0]).rank(), pd.Series(numbers).rank())[0, 1]
        if abs(ranks) > 0.9995:
            return float(abs(ranks))
        scores = cross_val_score(DecisionTreeRegressor(**settings), inputs, numbers, cv=3, scoring="r2")
        return float(np.mean(scores))
    names = labels[places].astype(str)
    if min(np.unique(names, return_counts=True)[1]) < 3:
        return 0.0
    scores = cross_val_score(
        DecisionTreeClassifier(**settings, class_weight="balanced"), inputs, names, cv=3, scoring="balanced_accuracy"
    )
    return float(np.mean(scores))


def _is_copy(each: Guess, target: Guess) -> bool:
    if each.different != target.different or (target.is_number and "values" not in target.entry and each.is_number):
        # One number may follow from another; that says the score.
        return each.is_number and np.allclose(each.values.astype(float), target.values.astype(float), equal_nan=True)
    pairs = pd.DataFrame({"a": _codes(each), "b": _codes(target)}).drop_duplicates()
    return len(pairs.dropna()) == each.different and len(pairs) <= each.different + 1


# --- what is written


def _schema_text(
    path: Path,
    head: Mapping[str, Any],
    rule: Mapping[str, str],
    columns: Mapping[str, Any],
    guesses: Mapping[str, Guess],
) -> str:
    """Return the text of a schema, with the comments that the present one has above its columns."""
    above, between = _comments(path)
    lines = [*above, *(_line({key: value}) for key, value in head.items()), *between]
    while lines and not lines[-1]:
        lines.pop()
    lines += [_line({"split": dict(rule)})] if rule else []
    lines += ["", "columns:"]
    for name, entry in columns.items():
        lines.append(f"  {_line({name: entry})}")
    return "\n".join(lines) + "\n"


def _comments(path: Path) -> tuple[list[str], list[str]]:
    """Return the comments above the target and those between the target and the columns."""
    above: list[str] = []
    between: list[str] = []
    place = above
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    for line in text.splitlines():
        if line.startswith("columns:"):
            break
        if re.match(r"(target|task|positive)\s*:", line):
            place = between
        elif (line.startswith("#") and not _ENTRY.match(line)) or not line.strip():
            place.append(line)
    return above, between


class _Dumper(yaml.SafeDumper):
    """Writes each text in one line."""


def _text_in_one_line(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = '"' if len(text.splitlines()) > 1 else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text_in_one_line)


def _line(document: Mapping[str, Any]) -> str:
    text: str = yaml.dump(
        _plain(document), Dumper=_Dumper, default_flow_style=True, width=10_000_000, allow_unicode=True, sort_keys=False
    )
    return text.strip()[1:-1]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.item() if isinstance(value, np.generic) else value


def _loaded(text: str, modality: Modality) -> Schema:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "schema.yml"
        path.write_text(text, encoding="utf-8")
        try:
            return Schema.load(path, modality.tasks)
        except StepError as error:
            raise StepError(str(error).replace(f"{path}: ", "").replace(str(path), "the schema")) from error


def _problems(data: _Data, schema: Schema, settings: Mapping[str, Any]) -> Iterator[str]:
    """Yield what would stop `prep`: that these rows do not fit, or cannot be split."""
    typed = (
        tables.validate(data.frame, schema, added=False) if data.input is None else tables.convert(data.frame, schema)
    )
    # What features.py computes may be of other data: that stops a training, and no draft.
    if data.input is None and features.is_used(schema):
        yield from (line.replace(str(schema.source), "the draft") for line in features.problems(typed, schema))
    labelled = typed.dropna(subset=[schema.target])
    if dropped := len(typed) - len(labelled):
        yield f"{dropped:,} rows have no {schema.target}: they are left out of the training"
    size = settings.get("training", {}).get("test_size", 0.2)
    if data.input is not None and not (schema.split.group or schema.split.by == "time"):
        if len(labelled) < MINIMUM_ROWS:
            yield f"{len(labelled)} usable rows are too few for a training: give at least {MINIMUM_ROWS}"
        return
    try:
        split(labelled, schema.split, size, schema.target if schema.task == "classification" else None)
    except StepError as error:
        yield f"a training would stop: {error}"


def _held_out(rule: Mapping[str, str]) -> str:
    (kind, name), *_ = rule.items()
    return (
        f"by {name}: rows of one {name} stay together" if kind == "group" else f"by {name}, which tells the rows apart"
    )


def _row(each: Guess, target: str, rule: Mapping[str, str], example: str | None) -> tuple[str, str, str, str, str]:
    role = each.entry.get("role", "feature") if each.entry else "left out"
    if each.name == target:
        role = "target"
    elif each.name in rule.values():
        role = next(key for key, name in rule.items() if name == each.name)
    missing = f"{each.missing:.1%}" if each.missing else ""
    reasons = list(each.reasons)
    if each.is_number and each.entry.get("role") != "ignore" and "values" not in each.entry:
        numbers = each.values[~pd.isna(each.values)].astype(float)
        reasons.insert(0, f"{conversion.label(float(numbers.min()))} to {conversion.label(float(numbers.max()))}")
    elif each.type == "category" and each.entry.get("role") != "ignore":
        names = list(each.counts())
        more = f", ... ({len(names)} values)" if len(names) > 4 else ""
        reasons.insert(0, ", ".join(names[:4]) + more)
    return each.name, each.type or "-", role, missing, _in_a_line("; ".join(reasons))


# --- settings


def _settings(schema: Schema, labels: Guess, usable: Sequence[Guess], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the settings should have; the usable columns may tell slices apart."""
    changes: dict[str, Any] = {}
    for key in ("offset", "threshold"):
        if settings.get("training", {}).get(key) is not None:
            changes[f"training.{key}"] = None
    kinds = [each for each in usable if each.type in ("category", "boolean")]
    categories = [each.name for each in kinds if 2 <= each.different <= _MOST_LISTED][:_SLICES]
    changes["evaluation.slices"] = categories
    if schema.task in TASKS:
        metric, floor = _first_metric(schema, labels)
        changes |= {"evaluation.metric": metric, "promotion.floor": floor}
        changes["evaluation.baselines"] = [CONSTANTS[schema.task]]
    else:
        chosen = next(each for each in METRICS[schema.task] if each.name == settings["evaluation"]["metric"])
        changes["promotion.floor"] = 0.0 if chosen.higher_is_better else settings["promotion"]["floor"]
    if settings.get("fairness") is not None:
        changes["fairness"] = {"cohorts": categories, "minimum_rows": 50} if categories else None
    if "heat_map" in (settings.get("responsible_ai") or {}):
        changes["responsible_ai.heat_map"] = categories or None
    return changes


def _first_metric(schema: Schema, labels: Guess) -> tuple[str, float]:
    """Return a metric in which a first model can be judged, and what is reached without a model."""
    if schema.task == "regression":
        numbers = labels.values[~pd.isna(labels.values)].astype(float)
        error = float(np.abs(numbers - numbers.mean()).mean())
        return "mae", float(f"{error * 1.0005:.3g}") if error else 0.0
    classes = len(schema.classes)
    return ("roc_auc", 0.5) if classes == 2 else ("balanced_accuracy", math.ceil(1000 / classes) / 1000)
