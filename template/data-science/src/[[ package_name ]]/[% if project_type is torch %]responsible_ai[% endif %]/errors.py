"""Error analysis: groups of rows in which a model is wrong more often, found on one half and confirmed on the other.

A tree that looks for the worst group finds one in noise too, and its error rate there is too high by construction. So a
shallow tree chooses the groups on one half of the held-out rows, and the other half, which had no part in that, tests
them (data splitting: Cox 1975, A note on data-splitting for the evaluation of significance levels, Biometrika 62).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from sklearn.tree import DecisionTreeClassifier

from ..core.cohorts import slice_groups
from ..core.panels import number
from .table import Condition, Table

Mask = NDArray[np.bool_]

# So little of an error is a matter of rounding.
_NONE = 1e-9


@dataclass(frozen=True)
class Halves:
    """The rows in two halves: one to find something, the other to confirm it.

    Attributes:
        finding: which rows are for finding, of shape (rows,).
        units: the number of what each row belongs to, of shape (rows,); the rows of a unit share their errors.
        seed: of the draw, and of all that is drawn later.
    """

    finding: Mask
    units: NDArray[np.intp]
    seed: int

    @classmethod
    def of(cls, units: ArrayLike, wrong: Mask, seed: int) -> "Halves":
        """Draw the halves; the rows of a unit stay together.

        Each half has as many units with an error as the other, give or take one.

        Args:
            units: what each row belongs to, of shape (rows,).
            wrong: which rows are wrong, of shape (rows,).
            seed: of the draw.
        """
        codes = pd.factorize(np.asarray(units))[0]
        with_error = np.bincount(codes, weights=wrong) > 0
        order = np.lexsort((np.random.default_rng(seed).random(len(with_error)), with_error))
        finding = np.zeros(len(order), dtype=bool)
        finding[order[::2]] = True
        return cls(finding[codes], codes, seed)

    @property
    def confirming(self) -> Mask:
        """Return which rows are for confirming."""
        return ~self.finding


@dataclass(frozen=True)
class ErrorCohort:
    """A group of rows, and how often the model is wrong in it.

    The numbers are those of the half of the rows that had no part in finding the group.

    Attributes:
        rule: which rows, in words.
        members: which of all analysed rows, of shape (rows,).
        rows: how many.
        errors: how many of them are wrong.
        lower: the lower end of the interval of the error rate.
        upper: its upper end.
        others: the error rate of all other rows.
        share: of all errors.
        p_value: the probability of such a difference by chance, corrected for the number of groups.
        confirmed: whether the error rate is higher than that of the others.
    """

    rule: str
    members: Mask
    rows: int
    errors: int
    lower: float
    upper: float
    others: float
    share: float
    p_value: float
    confirmed: bool

    @property
    def rate(self) -> float:
        """Return the error rate; NaN without rows."""
        return self.errors / self.rows if self.rows else math.nan


def error_cohorts(
    table: Table, wrong: Mask, halves: Halves, depth: int, minimum_rows: int, confidence: float
) -> list[ErrorCohort]:
    """Return the groups that a tree found on some rows, those first that are confirmed on the others.

    Of the nodes of the tree those are chosen, without overlap, that have the most errors above the average rate. Each
    is tested by Fisher's exact test, one-sided, and the p-values are corrected by the method of Holm (1979, A simple
    sequentially rejective multiple test procedure): where no group is worse than the rest, at most a share of
    1 - confidence of all analyses confirms one. Of rows of the same unit, which share their errors, no more counts than
    one: the largest design effect there can be (Kish 1965, Survey Sampling). The interval of an error rate is that of
    Clopper and Pearson (1934), with these counts (Korn and Graubard 1998, Survey Methodology 24).

    Args:
        table: what is known of the rows.
        wrong: which rows are wrong, of shape (rows,).
        halves: the tree sees those for finding.
        depth: of the tree: how many conditions a group may have.
        minimum_rows: the fewest rows of a group, in both halves together.
        confidence: between 0 and 1.
    """
    finding, confirming = halves.finding, halves.confirming
    if not table.conditions or not wrong[finding].any() or wrong[finding].all():
        return []
    tree = DecisionTreeClassifier(max_depth=depth, min_samples_leaf=minimum_rows // 2, random_state=halves.seed)
    tree.fit(table.values[finding], wrong[finding])
    nodes = tree.decision_path(table.values).toarray().astype(bool)
    excess = (wrong[finding] - wrong[finding].mean()) @ nodes[finding]
    chosen: list[int] = []
    for node in np.argsort(-excess, kind="stable"):
        # Less than one error too many is not worth a test, and each test makes all others stricter.
        if excess[node] >= 1 and not any((nodes[:, node] & nodes[:, other]).any() for other in chosen):
            chosen.append(int(node))
    tests = [_test(wrong, nodes[:, node], halves, confidence) for node in chosen]
    corrected = holm([p_value for p_value, _, _ in tests])
    rules = _rules(tree, table.conditions)
    found = []
    for node, (_, lower, upper), p_value in zip(chosen, tests, corrected, strict=True):
        inside, outside = nodes[:, node] & confirming, ~nodes[:, node] & confirming
        found.append(
            ErrorCohort(
                rule=rules[node],
                members=nodes[:, node],
                rows=int(inside.sum()),
                errors=int(wrong[inside].sum()),
                lower=lower,
                upper=upper,
                others=float(wrong[outside].mean()) if outside.any() else math.nan,
                share=float(wrong[inside].sum() / max(1, wrong[confirming].sum())),
                p_value=p_value,
                confirmed=p_value <= 1 - confidence,
            )
        )
    return sorted(found, key=lambda each: not each.confirmed)


def _test(wrong: Mask, members: Mask, halves: Halves, confidence: float) -> tuple[float, float, float]:
    """Return the p-value of a group of rows, and the ends of the interval of its error rate."""
    inside, outside = (_counts(wrong, halves.confirming & part, halves.units) for part in (members, ~members))
    errors, rows = inside
    lower, upper = clopper_pearson(errors, rows, confidence)
    # Fractions of errors, which come from units with several rows, are rounded to the side of the null hypothesis.
    few, many = math.floor(errors + _NONE), math.ceil(outside[0] - _NONE)
    counts = [[few, rows - few], [many, outside[1] - many]]
    return float(stats.fisher_exact(counts, alternative="greater").pvalue), lower, upper


def _counts(wrong: Mask, part: Mask, units: NDArray[np.intp]) -> tuple[float, int]:
    """Return how many errors and rows count in a part of the rows, of each unit at most one."""
    rows = len(np.unique(units[part]))
    return (float(wrong[part].mean()) * rows if rows else 0.0), rows


def clopper_pearson(errors: float, rows: int, confidence: float) -> tuple[float, float]:
    """Return the exact central interval of a share, 0 to 1; `errors` may be a fraction."""
    tail = (1 - confidence) / 2
    lower = stats.beta.ppf(tail, errors, rows - errors + 1) if errors > _NONE else 0.0
    upper = stats.beta.isf(tail, errors + 1, rows - errors) if errors < rows - _NONE else 1.0
    return float(lower), float(upper)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values, each corrected for the number of tests."""
    order = np.argsort(p_values)
    corrected = np.empty(len(order))
    corrected[order] = np.maximum.accumulate(np.sort(p_values) * np.arange(len(order), 0, -1))
    return [float(each) for each in np.minimum(corrected, 1.0)]


def _rules(tree: DecisionTreeClassifier, conditions: Sequence[Condition]) -> dict[int, str]:
    """Return in words which rows are in each node of a tree."""
    nodes, rules = tree.tree_, {}
    paths: list[tuple[int, list[tuple[Condition, float, bool]]]] = [(0, [])]
    while paths:
        node, path = paths.pop()
        rules[node] = _words(path)
        if nodes.children_left[node] != nodes.children_right[node]:
            condition, threshold = conditions[nodes.feature[node]], float(nodes.threshold[node])
            paths.append((int(nodes.children_left[node]), [*path, (condition, threshold, False)]))
            paths.append((int(nodes.children_right[node]), [*path, (condition, threshold, True)]))
    return rules


def _words(path: Sequence[tuple[Condition, float, bool]]) -> str:
    """Return a path as words: the bounds of a number together, and no value excluded where another one is named."""
    above: dict[Condition, float] = {}
    below: dict[Condition, float] = {}
    for condition, threshold, is_above in path:
        if is_above:
            above[condition] = max(threshold, above.get(condition, -math.inf))
        else:
            below[condition] = min(threshold, below.get(condition, math.inf))
    named = {each.column for each in above if each.value is not None}
    words = []
    for condition in dict.fromkeys(each for each, _, _ in path):
        column, value = condition
        if value is not None and (condition in above or column not in named):
            words.append(f"{column} {'is' if condition in above else 'is not'} {value}")
        elif value is None and condition in above and condition in below:
            words.append(f"{column} from {number(above[condition])} to {number(below[condition])}")
        elif value is None:
            side, end = ("above", above[condition]) if condition in above else ("up to", below[condition])
            words.append(f"{column} {side} {number(end)}")
    return " and ".join(words)


@dataclass(frozen=True)
class HeatMap:
    """The errors in each cell of two columns.

    Attributes:
        columns: their names; the first is from top to bottom.
        rows: the groups of the first.
        across: the groups of the second.
        cells: (rows, errors) of each cell, of shape (groups of the first, groups of the second).
    """

    columns: tuple[str, str]
    rows: list[str]
    across: list[str]
    cells: list[list[tuple[int, int]]]


def heat_map(frame: pd.DataFrame, columns: tuple[str, str], wrong: Mask) -> HeatMap:
    """Count the errors of each cell of two columns; numbers with many values are cut into fifths of the rows.

    Raises:
        StepError: there is no such column.
    """
    down, across = (slice_groups(frame, column, "responsible_ai.heat_map") for column in columns)
    names = [[name for name in each.cat.categories if (each == name).any()] for each in (down, across)]

    def counts(first: str, second: str) -> tuple[int, int]:
        cell = ((down == first) & (across == second)).to_numpy()
        return int(cell.sum()), int(wrong[cell].sum())

    return HeatMap(columns, names[0], names[1], [[counts(one, two) for two in names[1]] for one in names[0]])
