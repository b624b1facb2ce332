"""Which examples are held out: a property of each example, so a champion never meets rows that it was trained on.

Whether an example belongs to the test rows depends on a hash of its key, or on its date, and not on the other
examples: added, removed or reordered rows, another seed and another checkout leave it where it is. That makes a model
that was trained months ago comparable with one of today.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .step import StepError

MINIMUM_ROWS = 50

# A model that is judged by fewer groups may win or lose by the luck of one.
MINIMUM_GROUPS = 5

FILE = "_split.json"
"""The record of the split, beside the rows that `prep` writes; readers of a folder pass over the underscore."""

METADATA = "split"
"""The key of that record in the metadata of a model."""

METHODS = ("hash", "time")
_SALT = "mlops"
# So many salts are tried to name one that would do.
_OTHER_SALTS = 100


@dataclass(frozen=True)
class SplitRule:
    """How the schema tells held-out examples from the others.

    Attributes:
        by: "hash" of the key, or "time": the newest examples.
        columns: whose values are the key, with equal values on the same side; for "time" the column of the date.
        types: the types of these columns, because another type may write a value in another way.
        salt: another salt is another draw.
        group: the column of the examples that belong together, such as a patient or a day; they stay on one side, and
            their errors are not independent. None if each example stands for itself.
    """

    by: str = "hash"
    columns: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    salt: str = _SALT
    group: str | None = None


@dataclass(frozen=True)
class Split:
    """A split that was made: what decides which examples it held out.

    Attributes:
        by, columns, types, salt: see `SplitRule`; a group is its key.
        test_size: the share of the examples that are held out, as the settings have it.
        cut: for "time" the first date of the held-out examples.
    """

    by: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    salt: str
    test_size: float
    cut: str | float | None = None

    def document(self) -> dict[str, Any]:
        """Return the record for JSON."""
        return asdict(self) | {"columns": list(self.columns), "types": list(self.types)}

    @classmethod
    def from_document(cls, document: object) -> "Split | None":
        """Return the split of a record; None if it is not one that this version wrote."""
        if not isinstance(document, Mapping):
            return None
        try:
            return cls(**{**document, **{key: tuple(document[key]) for key in ("columns", "types")}})
        except (TypeError, KeyError):
            return None

    @classmethod
    def read(cls, folder: Path) -> "Split":
        """Read the record beside the rows that `prep` wrote.

        Raises:
            StepError: there is none.
        """
        try:
            found = cls.from_document(json.loads((folder / FILE).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            found = None
        if found is None:
            raise StepError(f"{folder}: there is no valid {FILE}, which tells how the rows were split; run prep again")
        return found

    def write(self, folder: Path) -> None:
        """Write the record into `folder`."""
        (folder / FILE).write_text(json.dumps(self.document(), indent=2) + "\n", encoding="utf-8")

    def __str__(self) -> str:
        """Return it in words."""
        names = ", ".join(self.columns)
        if self.types:
            kinds = ", ".join(dict.fromkeys(self.types))
            names += f" ({kinds})"
        if self.by == "time":
            return f"by time, {names} before {self.cut}"
        return f"by a hash of {names} with salt {self.salt!r}, {self.test_size:.0%} held out"

    def difference(self, trained: "Split | None") -> str:
        """Return why a model of the split `trained` may have been trained on the examples that this one holds out.

        The result is empty if it has not: it held out the same examples, or more.
        """
        if trained is None:
            return "it does not record which examples were held out from its training"
        keys = [(each.by, each.columns, each.types, each.salt) for each in (self, trained)]
        if keys[0] != keys[1]:
            same = False
        elif self.by == "time":
            same = trained.cut is not None and self.cut is not None and str(trained.cut) <= str(self.cut)
            if isinstance(trained.cut, int | float) and isinstance(self.cut, int | float):
                same = trained.cut <= self.cut
        else:
            same = trained.test_size >= self.test_size
        if same:
            return ""
        other = self.by == trained.by == "hash" and self.salt == trained.salt and self.columns != trained.columns
        keep = f"; `split: {{key: [{', '.join(trained.columns)}]}}` in the schema keeps rows where they were"
        return f"its data were split {trained}, and these {self}{keep if other else ''}"


def split(
    frame: pd.DataFrame, rule: SplitRule, test_size: float, classes: str | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, Split]:
    """Split `frame` into training and test rows.

    Args:
        frame: rows that fit the schema, without missing targets.
        rule: names the columns that decide.
        test_size: share of the test rows, between 0 and 1; the rows of a hash come close to it, those of a date too.
        classes: the column whose values all need examples on both sides.

    Returns:
        Training rows, test rows and the record of the split.

    Raises:
        StepError: there are too few rows, or a class has none on one side; with what to change.
    """
    if len(frame) < MINIMUM_ROWS:
        raise StepError(f"{len(frame)} usable rows are too few; give at least {MINIMUM_ROWS}")
    if rule.by == "time":
        held_out, cut = _newest(frame, rule, test_size)
    else:
        held_out, cut = hash_shares(frame, rule.columns, rule.salt) < test_size, None
    if problem := _problem(frame, held_out, rule, test_size, classes):
        by_time = "change training.test_size or add examples"
        remedy = by_time if rule.by == "time" else _other_salt(frame, rule, test_size, classes)
        raise StepError(f"{problem}: {remedy}")
    made = Split(rule.by, rule.columns, rule.types, rule.salt if rule.by == "hash" else "", test_size, cut)
    return frame[~held_out].reset_index(drop=True), frame[held_out].reset_index(drop=True), made


def refuse_poor_test(
    train: pd.DataFrame, test: pd.DataFrame, rule: SplitRule, test_size: float, classes: str | None, left_out: int
) -> None:
    """Check that the test rows can still judge a model after copies of training rows were left out.

    Raises:
        StepError: too few are left, or a class has none.
    """
    frame = pd.concat([train, test], ignore_index=True)
    held_out = np.arange(len(frame)) >= len(train)
    if problem := _problem(frame, held_out, rule, test_size, classes):
        raise StepError(
            f"{left_out:,} of {left_out + len(test):,} held-out rows are near duplicates of training rows, and without "
            f"them {problem}: delete the copies, or name the column of what belongs together in split.group"
        )


def comparison_problem(frame: pd.DataFrame, unseen: NDArray[np.bool_], rule: SplitRule, classes: str | None) -> str:
    """Return why two models cannot be compared on a part of the held-out rows; empty if they can.

    Args:
        frame: the held-out rows.
        unseen: which of them neither model was trained on, of shape (rows,).
        rule: of the split.
        classes: the column whose values all need an example.
    """
    left = frame[unseen]
    if len(left) < min(MINIMUM_ROWS, len(frame) / 2):
        return f"the other {len(left)} are too few"
    if rule.group is not None and (groups := left[rule.group].nunique()) < MINIMUM_GROUPS:
        return f"the others are of {groups} groups of {rule.group}, fewer than {MINIMUM_GROUPS}"
    if classes is not None and (gone := sorted(set(frame[classes].astype(str)) - set(left[classes].astype(str)))):
        return f"class {gone[0]} of {classes} has none of the others"
    return ""


def hash_shares(frame: pd.DataFrame, columns: tuple[str, ...], salt: str) -> NDArray[np.float64]:
    """Return a number for each row, 0 to below 1, of shape (rows,), that depends on its key and the salt alone.

    The key are the values of these columns. Equal values are equal whatever their type in memory: 7 is 7.0.
    """
    keys = ["\x1f".join(row) for row in zip(*(_texts(frame[name]) for name in columns), strict=True)]
    # A dictionary and not pandas.factorize, which reads a text only up to a null character.
    shares = {key: hashlib.sha256(f"{salt}\x1e{key}".encode()).digest()[:8] for key in dict.fromkeys(keys)}
    return np.array([int.from_bytes(shares[key]) / 2**64 for key in keys], dtype=float)


def _texts(values: pd.Series) -> list[str]:
    missing = values.isna()
    if pd.api.types.is_numeric_dtype(values):
        texts = {value: f"={_number_text(float(value))}" for value in values[~missing].unique()}
    else:
        texts = {value: f"={value}" for value in dict.fromkeys(values[~missing])}
    return ["" if gone else texts[value] for value, gone in zip(values, missing, strict=True)]


def _number_text(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)


def bootstrap_units(frame: pd.DataFrame, rule: SplitRule) -> NDArray[Any] | None:
    """Return what each row belongs to when rows are resampled: its group, or its key, so that copies count once.

    The result has shape (rows,); None if each row stands for itself.
    """
    if rule.group is not None:
        return frame[rule.group].to_numpy()
    return hash_shares(frame, rule.columns, rule.salt) if rule.by == "hash" else None


def _newest(frame: pd.DataFrame, rule: SplitRule, test_size: float) -> tuple[NDArray[np.bool_], str | float]:
    """Return the rows from the date on that leaves about `test_size` of them, and this date; a date is never cut."""
    (column,) = rule.columns
    dates = frame[column]
    counts = dates.value_counts().sort_index(ascending=False).cumsum()
    nearest = (counts - test_size * len(frame)).abs().to_numpy().argmin()
    cut = counts.index[int(nearest)]
    held_out = (dates >= cut).to_numpy(dtype=bool)
    if rule.group is not None:
        sides = pd.Series(held_out).groupby(frame[rule.group].to_numpy()).nunique()
        if len(both := sides[sides > 1]):
            raise StepError(
                f"split.group: {len(both)} groups (such as {both.index[0]}) have rows before and after {cut}: "
                "split by hash, or choose groups that do not last"
            )
    return held_out, cut.item() if isinstance(cut, np.generic) else cut


def _problem(
    frame: pd.DataFrame, held_out: NDArray[np.bool_], rule: SplitRule, test_size: float, classes: str | None
) -> str:
    share = float(held_out.mean())
    if not test_size / 2 <= share <= min(2 * test_size, (1 + test_size) / 2):
        return f"{share:.0%} of the rows would be held out, far from the test_size of {test_size:.0%}"
    if rule.group is not None and (groups := frame.loc[held_out, rule.group].nunique()) < MINIMUM_GROUPS:
        return (
            f"{groups} groups of {rule.group} would be held out, and fewer than {MINIMUM_GROUPS} cannot judge a model; "
            "choose smaller groups or a larger training.test_size"
        )
    if classes is None:
        return ""
    for name, rows in frame.groupby(classes, sort=True).indices.items():
        for side, there in (("test", held_out[rows].any()), ("training", not held_out[rows].all())):
            if not there:
                return f"class {name} of {classes} ({len(rows)} rows) would have no {side} example"
    return ""


def _other_salt(frame: pd.DataFrame, rule: SplitRule, test_size: float, classes: str | None) -> str:
    for number in range(1, _OTHER_SALTS + 1):
        shares = hash_shares(frame, rule.columns, str(number))
        if not _problem(frame, shares < test_size, rule, test_size, classes):
            return (
                f'set `salt: "{number}"` in the section split of the schema, which has enough on both sides, or add '
                "examples (a model that is registered already cannot be compared after that)"
            )
    return (
        "add examples, or leave out or join rare classes; or, if too few values of "
        f"{', '.join(rule.columns)} differ, name columns that tell the examples apart in split.key of the schema"
    )
