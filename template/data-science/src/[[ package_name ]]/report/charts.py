"""The charts of the report: inline SVG that follows the reader's light or dark mode; equal data give equal bytes.

The clean-up of matplotlib's SVG relies on how matplotlib writes it; the version that is tested is the one in
`data-science/environment/train.yml`.
"""

import io
import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

# Drawn in these colours, then replaced by the style sheet's variables, which follow dark mode.
INK, MUTED, GRID, SURFACE = "#010101", "#020202", "#030303", "#040404"
CHALLENGER, CHAMPION = "#050505", "#060606"
_VARIABLES = {
    INK: "ink",
    MUTED: "muted",
    GRID: "line",
    SURFACE: "surface",
    CHALLENGER: "challenger",
    CHAMPION: "champion",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.5,
    "legend.fontsize": 10.5,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": INK,
    "grid.color": GRID,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
}
# Inches: at this width the text keeps its size on a phone. Rows of a chart with one line per item, likewise.
WIDTH, ROW = 4.4, 0.26
_POINTS = 800
# The classes of a confusion matrix up to which there is room to write the counts into it.
COUNTED = 12
# Colour, dashes and width of the lines of up to three models.
_LINES: Sequence[tuple[str, Any, float]] = (
    (CHALLENGER, "solid", 2.2),
    (CHAMPION, (0, (5, 2)), 1.8),
    (MUTED, (0, (1, 1.5)), 1.8),
)


def _draw(height: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.add_subplot()


def _rows(labels: Sequence[str], extra: float = 0.75) -> tuple[Figure, Axes]:
    """Return axes with one horizontal row for each label, the first on top, and a grid from left to right."""
    figure, axes = _draw(ROW * len(labels) + extra)
    axes.set_yticks(range(len(labels)), _short(labels))
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    return figure, axes


def _value(axes: Axes, row: int, value: float, digits: int = 3) -> None:
    """Write the value to the right of its row, where it covers nothing."""
    axes.text(1.02, row, f"{value:.{digits}g}", transform=axes.get_yaxis_transform(), va="center")


def _short(labels: Sequence[str], length: int = 22) -> list[str]:
    """Return labels of at most so many characters, for one axis: those that are different stay different.

    A long one loses its end, or its middle if another one begins like it; what is still the same gets a number.
    """
    shown: dict[str, str] = {}
    for tail in (0, (length - 3) // 2):
        cut = {label: _cut(label, length, tail) for label in labels if label not in shown}
        counts = Counter([*cut.values(), *shown.values()])
        shown |= {label: text for label, text in cut.items() if counts[text] == 1}
    for label in labels:
        if label not in shown:
            numbered = (f"{label[: length - 6]}... {number}" for number in itertools.count(1))
            shown[label] = next(text for text in numbered if text not in shown.values())
    # matplotlib reads text between two dollar signs as a formula.
    return [shown[label].replace("$", r"\$") for label in labels]


def _cut(label: str, length: int, tail: int) -> str:
    if len(label) <= length:
        return label
    return f"{label[: length - 3 - tail]}...{label[len(label) - tail :]}"


def _svg(figure: Figure, name: str, alt: str) -> str:
    _lay_out(figure)
    buffer = io.StringIO()
    # The salt makes the ids of the parts stable, and different from those of the other charts on the page.
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawing = buffer.getvalue()
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing[drawing.index("<svg") :], flags=re.DOTALL)
    drawing = re.sub(r' xmlns(:xlink)?="[^"]*"', "", drawing)
    # A style element inside a drawing would apply to the whole page.
    drawing = re.sub(r"<style.*?</style>", "", drawing, flags=re.DOTALL)
    used = set(re.findall(r"#([\w.-]+)", drawing))
    drawing = re.sub(r' id="([^"]*)"', lambda found: found.group() if found.group(1) in used else "", drawing)
    # Two decimals of a point are enough for a place on the page; text between the tags keeps its digits.
    drawing = re.sub(r"<[^>]+>", lambda tag: re.sub(r"(\d+\.\d{2})\d+", r"\1", tag.group()), drawing)
    drawing = re.sub(r'<svg width="[^"]*" height="[^"]*"', "<svg", drawing, count=1)
    drawing = drawing.replace("<svg", f'<svg role="img" aria-label="{escape(alt)}"', 1)
    for colour, variable in _VARIABLES.items():
        drawing = drawing.replace(colour, f"var(--{variable})")
    return drawing


def _lay_out(figure: Figure) -> None:
    """Find the places of all parts; savefig would draw the whole chart for that, and then once more."""
    figure.set_dpi(FigureCanvasSVG(figure).fixed_dpi)
    if engine := figure.get_layout_engine():
        engine.execute(figure)
        figure.set_layout_engine(None)


def predicted_against_actual(actual: ArrayLike, predicted: ArrayLike, unit: str, alt: str, seed: int = 0) -> str:
    """Draw a point for each row, at most 800 random ones, and the line of perfect predictions."""
    truth, guess = np.asarray(actual, dtype=float), np.asarray(predicted, dtype=float)
    if len(truth) > _POINTS:
        chosen = np.random.default_rng(seed).choice(len(truth), _POINTS, replace=False)
        truth, guess = truth[chosen], guess[chosen]
    with matplotlib.rc_context(_STYLE):
        figure, axes = _draw(4.3)
        low, high = min(truth.min(), guess.min()), max(truth.max(), guess.max())
        axes.grid(linewidth=0.7)
        axes.set_axisbelow(True)
        axes.plot([low, high], [low, high], color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.scatter(truth, guess, s=9, color=CHALLENGER, alpha=0.45, linewidths=0)
        axes.annotate(
            "perfect",
            (high, high),
            xytext=(-14, 0),
            textcoords="offset points",
            ha="right",
            va="center",
        )
        axes.set_xlabel(f"actual{_in(unit)}")
        axes.set_ylabel(f"predicted{_in(unit)}")
        axes.tick_params(axis="y", labelcolor=MUTED)
        return _svg(figure, "predicted", alt)


def error_shares(errors: Sequence[tuple[str, ArrayLike]], unit: str, alt: str) -> str:
    """Draw for up to three models which share of the rows has an absolute error below each size."""
    shares = np.linspace(0, 0.98, 99)
    with matplotlib.rc_context(_STYLE):
        figure, axes = _draw(4.3)
        axes.grid(linewidth=0.7)
        names = _short([name for name, _ in errors])
        for name, (_, values), (colour, dashes, width) in zip(names, errors, _LINES, strict=False):
            sizes = np.quantile(np.asarray(values, dtype=float), shares)
            axes.plot(sizes, shares, color=colour, linestyle=dashes, linewidth=width, label=name)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.set_xlabel(f"absolute error{_in(unit)}, left is better")
        axes.set_ylabel("rows with a smaller error")
        axes.legend(loc="lower right")
        return _svg(figure, "errors", alt)


def curves(
    name: str,
    lines: Sequence[tuple[str, ArrayLike, ArrayLike]],
    xlabel: str,
    ylabel: str,
    alt: str,
    diagonal: bool = True,
    dots: bool = False,
) -> str:
    """Draw (model, x, y) of up to three models within 0 and 1, and the diagonal from 0 to 1 as a reference."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _draw(4.3)
        axes.grid(linewidth=0.7)
        axes.set_axisbelow(True)
        if diagonal:
            axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (4, 3)))
        names = _short([label for label, _, _ in lines])
        for label, (_, x, y), (colour, dashes, width) in zip(names, lines, _LINES, strict=False):
            marker = "o" if dots else "None"
            axes.plot(x, y, color=colour, linestyle=dashes, linewidth=width, label=label, marker=marker, ms=5)
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.set_xlabel(xlabel)
        axes.set_ylabel(ylabel)
        axes.legend(loc="best")
        return _svg(figure, f"curve-{name}", alt)


def residuals(groups: Sequence[tuple[str, ArrayLike]], unit: str, name: str, alt: str) -> str:
    """Draw the spread of predicted minus actual for each group: 10 to 90 %, 25 to 75 % and the median."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _rows([label for label, _ in groups])
        axes.axvline(0, color=INK, linewidth=1)
        for row, (_, values) in enumerate(groups):
            p10, p25, p50, p75, p90 = np.quantile(np.asarray(values, dtype=float), [0.1, 0.25, 0.5, 0.75, 0.9])
            axes.plot([p10, p90], [row, row], color=CHALLENGER, linewidth=1.3, solid_capstyle="butt")
            axes.plot([p25, p75], [row, row], color=CHALLENGER, linewidth=6, solid_capstyle="butt", alpha=0.55)
            axes.plot([p50], [row], marker="o", markersize=5.5, color=SURFACE, markeredgecolor=CHALLENGER)
        axes.set_xlabel(f"predicted minus actual{_in(unit)}")
        return _svg(figure, f"residuals-{name}", alt)


def slice_scores(rows: Sequence[tuple[str, float, float | None]], metric: str, name: str, alt: str) -> str:
    """Draw the score of the challenger (disc) and the champion (ring) for each (label, challenger, champion)."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _rows([label for label, _, _ in rows], extra=1.0)
        places = np.arange(len(rows))
        old = np.array([math.nan if champion is None else champion for _, _, champion in rows])
        if np.isfinite(old).any():
            axes.scatter(old, places, s=62, facecolors="none", edgecolors=CHAMPION, linewidths=1.7, label="champion")
        axes.scatter([score for _, score, _ in rows], places, s=26, color=CHALLENGER, label="challenger")
        axes.set_xlabel(metric)
        figure.legend(loc="outside upper left", ncols=2, handletextpad=0.1)
        return _svg(figure, f"slices-{name}", alt)


def cohort_scores(
    rows: Sequence[tuple[str, float, bool | None]], limit: float | None, metric: str, name: str, alt: str
) -> str:
    """Draw the limit, if there is one, and for each (label, score, good) whether it is within; None is not judged."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _rows([label for label, _, _ in rows], extra=1.0)
        ends = [score for _, score, good in rows if good is not None] or [score for _, score, _ in rows]
        ends += [] if limit is None else [limit]
        # The score of a few rows may lie far away; the others should not be squeezed for it.
        low, high = min(ends), max(ends)
        edges = (low - 0.05 * (high - low), high + 0.05 * (high - low))
        styles = {True: ("o", CHALLENGER, CHALLENGER), False: ("D", CHAMPION, CHAMPION), None: ("o", SURFACE, MUTED)}
        for row, (_, score, good) in enumerate(rows):
            marker, fill, edge = styles[good]
            place = float(np.clip(score, *edges))
            axes.plot([place], [row], marker=marker, markersize=7, color=fill, markeredgecolor=edge)
            _value(axes, row, score)
        axes.margins(x=0.08)
        if limit is not None:
            axes.axvline(limit, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
            beyond = "; diamond: beyond" if any(good is False for _, _, good in rows) else ""
            axes.set_title(f"dashed: the limit, {limit:g}{beyond}", loc="left", color=MUTED)
        axes.set_xlabel(metric)
        return _svg(figure, f"cohorts-{name}", alt)


def scoreboard(scores: Sequence[tuple[str, float]], floor: float, higher_is_better: bool, label: str, alt: str) -> str:
    """Draw one score for each model and the floor that a model must reach."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _rows([name for name, _ in scores], extra=1.0)
        axes.axvline(floor, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        for row, (name, value) in enumerate(scores):
            colour = CHAMPION if name.startswith("champion") else MUTED
            colour = CHALLENGER if row == 0 else colour
            axes.plot([value], [row], marker="o" if row == 0 else "D", markersize=7, color=colour)
            _value(axes, row, value)
        axes.margins(x=0.08)
        axes.set_title(f"dashed: the floor, {floor:g}", loc="left", color=MUTED)
        axes.set_xlabel(f"{label} ({'higher' if higher_is_better else 'lower'} is better)")
        return _svg(figure, "scoreboard", alt)


def run_scores(name: str, points: Sequence[tuple[str, float, str]], label: str, alt: str) -> str:
    """Draw one score for each run.

    Args:
        name: of the chart, one of its own on the page.
        points: title, score, and "best", "champion" or "run".
        label: of the axis.
        alt: the finding.
    """
    colours = {"best": CHALLENGER, "champion": CHAMPION, "run": MUTED}
    with matplotlib.rc_context(_STYLE):
        figure, axes = _rows([title for title, _, _ in points], extra=1.0)
        for row, (_, value, kind) in enumerate(points):
            axes.plot([value], [row], marker="o" if kind == "best" else "D", markersize=7, color=colours[kind])
            _value(axes, row, value, digits=4)
        axes.margins(x=0.08)
        axes.set_xlabel(label)
        return _svg(figure, name, alt)


def gain(value: float, lower: float, upper: float, minimum: float, label: str, alt: str) -> str:
    """Draw the gain over the champion with its interval, and the gain that it must exceed."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _rows(["gain"], extra=0.85)
        axes.axvline(minimum, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        axes.plot([lower, upper], [0, 0], color=CHALLENGER, linewidth=2, marker="|", markersize=11, markeredgewidth=2)
        axes.plot([value], [0], marker="o", markersize=8, color=CHALLENGER)
        axes.margins(x=0.15)
        axes.set_title(f"all of it must lie right of {minimum:g} (dashed)", loc="left", color=MUTED)
        axes.set_xlabel(label)
        return _svg(figure, "gain", alt)


def importance(rows: Sequence[tuple[str, float, float]], label: str, alt: str, name: str = "importance") -> str:
    """Draw a bar with its deviation for each (feature, mean, deviation)."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _rows([feature for feature, _, _ in rows])
        places = np.arange(len(rows))
        means, deviations = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
        axes.barh(places, means, height=0.62, color=CHALLENGER)
        axes.errorbar(means, places, xerr=deviations, fmt="none", ecolor=INK, elinewidth=1)
        for row, mean in enumerate(means):
            _value(axes, row, mean)
        axes.set_xlabel(label)
        return _svg(figure, name, alt)


def drift(rows: Sequence[tuple[str, float, bool]], alt: str) -> str:
    """Draw how far each (column, severity, drifted) is from its threshold, which is 1; a logarithmic axis to 100."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _rows([feature for feature, _, _ in rows], extra=1.0)
        axes.axvline(1, color=INK, linewidth=1.2, linestyle=(0, (4, 3)))
        for row, (_, severity, drifted) in enumerate(rows):
            place = float(np.clip(severity, 0.02, 100))
            axes.plot([0.02, place], [row, row], color=GRID, linewidth=1.5)
            marker, colour = ("D", CHAMPION) if drifted else ("o", CHALLENGER)
            axes.plot([place], [row], marker=marker, markersize=6.5, color=colour)
        axes.set_xscale("log")
        axes.set_xlim(0.018, max(3.0, min(140.0, 1.6 * max(severity for _, severity, _ in rows))))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
        axes.minorticks_off()
        axes.set_title("diamond: drifted, disc: stable", loc="left", color=MUTED)
        axes.set_xlabel("excess over chance, in thresholds")
        return _svg(figure, "drift", alt)


def confusion(matrix: ArrayLike, classes: Sequence[str], alt: str) -> str:
    """Draw counts of shape (classes, classes), actual in rows, shaded by the share of the row."""
    counts = np.asarray(matrix, dtype=float)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    # Of many classes the cells are squares as wide as the page has room for.
    size = min(0.42, 3.4 / len(classes))
    names = _short(classes, 12)
    with matplotlib.rc_context(_STYLE):
        figure, axes = _draw(size * len(names) + 1.3)
        for row, column in np.ndindex(counts.shape):
            corner = (column - 0.47, row - 0.47)
            cell = matplotlib.patches.Rectangle(corner, 0.94, 0.94, color=CHALLENGER, linewidth=0)
            cell.set_alpha(0.06 + 0.5 * float(shares[row, column]))
            axes.add_patch(cell)
            if len(names) <= COUNTED:
                axes.text(column, row, f"{counts[row, column]:.0f}", ha="center", va="center", color=INK)
        axes.set_xticks(range(len(names)), names, rotation=0 if len(names) <= 4 else 90, color=INK)
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(length=0)
        axes.set_xlim(-0.5, len(names) - 0.5)
        axes.set_ylim(len(names) - 0.5, -0.5)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("actual class")
        return _svg(figure, "confusion", alt)


def distributions(
    before: ArrayLike, after: ArrayLike, labels: Sequence[str] | None, rows: str, name: str, xlabel: str, alt: str
) -> str:
    """Draw the shares of the rows before (outline), which `rows` names, and of the production rows (filled).

    Without `labels` the arrays are numbers and are put into 20 bins; with them, they are shares of shape (labels,).
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _draw(2.3)
        if labels is None:
            old, new = np.asarray(before, dtype=float), np.asarray(after, dtype=float)
            # The tails hide what happened to the bulk.
            low, high = np.quantile(np.concatenate([old, new]), [0.005, 0.995])
            edges = np.histogram_bin_edges(np.array([low, high]), bins=20)
            for values, label in ((new, "production"), (old, rows)):
                shares = np.histogram(np.clip(values, low, high), edges)[0] / max(1, len(values))
                _stairs(axes, shares, edges, label)
        else:
            names = _short(labels, 10)
            edges = np.arange(len(labels) + 1) - 0.5
            _stairs(axes, np.asarray(after, dtype=float), edges, "production")
            _stairs(axes, np.asarray(before, dtype=float), edges, rows)
            axes.set_xticks(range(len(labels)), names, rotation=90 if max(map(len, names)) > 3 else 0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.set_ylim(bottom=0)
        axes.set_xlabel(xlabel)
        figure.legend(loc="outside upper left", ncols=2)
        return _svg(figure, f"distribution-{name}", alt)


def progress(
    numbers: Sequence[int], scores: Sequence[float], best: Sequence[float], own: float | None, label: str, alt: str
) -> str:
    """Draw the score of each trial of a search, the best one so far, and that of the settings.

    Args:
        numbers: of the trials.
        scores: theirs.
        best: the best of each trial and those before.
        own: that of the settings; None if there is none.
        label: what the scores are.
        alt: the finding.
    """
    with matplotlib.rc_context(_STYLE):
        figure, axes = _draw(3.2)
        axes.grid(linewidth=0.7)
        axes.set_axisbelow(True)
        if own is not None:
            axes.axhline(own, color=INK, linewidth=1.2, linestyle=(0, (4, 3)), label="settings")
        axes.plot(numbers, best, color=CHALLENGER, linewidth=1.8, drawstyle="steps-post", label="best so far")
        axes.scatter(numbers, scores, s=22, color=MUTED, label="trial")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.set_xlabel("trial")
        axes.set_ylabel(label)
        figure.legend(loc="outside upper left", ncols=3, handletextpad=0.4)
        return _svg(figure, "progress", alt)


def scores_by_value(
    name: str,
    points: Sequence[tuple[Any, float, str]],
    categories: Sequence[str] | None,
    log: bool,
    label: str,
    alt: str,
) -> str:
    """Draw the score of each trial of a search over the value of one hyperparameter.

    Args:
        name: of the hyperparameter.
        points: for each trial its value, a number or one of `categories`, its score, and what it is: "trial",
            "settings" or "best".
        categories: the values from left to right, if they are texts; None for numbers.
        log: whether the axis of the numbers is logarithmic.
        label: what the scores are.
        alt: the finding.
    """
    styles = {"trial": ("o", 22, MUTED), "settings": ("D", 46, CHAMPION), "best": ("o", 60, CHALLENGER)}
    with matplotlib.rc_context(_STYLE):
        figure, axes = _draw(2.9)
        axes.grid(linewidth=0.7)
        axes.set_axisbelow(True)
        for kind, (marker, size, colour) in styles.items():
            chosen = [(value, score) for value, score, mark in points if mark == kind]
            places = [value if categories is None else categories.index(value) for value, _ in chosen]
            if chosen:
                scores = [score for _, score in chosen]
                axes.scatter(places, scores, s=size, marker=marker, color=colour, label=kind)
        if categories is not None:
            axes.set_xticks(range(len(categories)), _short(categories, 10))
            axes.set_xlim(-0.5, len(categories) - 0.5)
        elif log:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.xaxis.set_minor_formatter(NullFormatter())
        else:
            axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.tick_params(axis="y", labelcolor=MUTED)
        axes.set_xlabel(_cut(name, 40, 0))
        axes.set_ylabel(label)
        figure.legend(loc="outside upper left", ncols=3, handletextpad=0.1)
        return _svg(figure, f"search-{name}", alt)


def _stairs(axes: Axes, shares: ArrayLike, edges: ArrayLike, label: str) -> None:
    if label == "production":
        axes.stairs(shares, edges, fill=True, color=CHAMPION, alpha=0.5, label=label)
    else:
        axes.stairs(shares, edges, fill=False, color=CHALLENGER, linewidth=1.6, label=label)


def _in(unit: str) -> str:
    return f" ({unit})" if unit else ""
