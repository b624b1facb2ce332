"""Azure ML's Responsible AI components on this machine: `python -m mlops.responsible_ai.local <component> <options>`.

Each does what the component of that name does on Azure, with the library that Microsoft's are made of and with the same
inputs and outputs. In place of the studio, the dashboard becomes one HTML file, and the score card another.
"""

import argparse
import contextlib
import json
import operator
import os
import random
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from mlops.responsible_ai.components import ADDRESS, COMPONENTS, PREFIX

INFO = "rai_insights.json"
FOLDERS = {
    "causal": "causal",
    "counterfactual": "counterfactual",
    "erroranalysis": "error_analysis",
    "explanation": "explainer",
}
"""Where the library keeps the result of each tool."""

_SHOWN = 10
_THRESHOLD = re.compile(r"^\s*(<=|>=|<|>)\s*([0-9.]+)\s*$")
_COMPARE = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}
_TYPES: dict[str, Callable[[str], object]] = {
    "integer": int,
    "number": float,
    "boolean": lambda text: text.lower() == "true",
}
_POSITIVE = ("f1_score", "precision_score", "recall_score")

# Nothing from outside the page: the dashboard would fetch its icon fonts from the web.
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' blob:; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:"
)

_DASHBOARD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{{ policy }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
</head>
<body>
<div id="rai"></div>
{% for script in scripts %}
<script>{{ script | safe }}</script>
{% endfor %}
</body>
</html>
"""

_SCORE_CARD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Score card of {{ id }}: {{ verdict }}</title>
<style>
:root { color-scheme: light dark; --good: #00634a; --bad: #a32a00; --line: #c3ccd5; }
@media (prefers-color-scheme: dark) { :root { --good: #7fd8b8; --bad: #f7a48a; --line: #3a4653; } }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem 0 .3rem 1rem; border-bottom: 1px solid var(--line); text-align: right; font-weight: 400; }
th:first-child { padding-left: 0; text-align: left; }
.true { color: var(--good); }
.false { color: var(--bad); font-weight: 600; }
</style>
</head>
<body>
{% macro table(title, heads, rows) %}
{% if rows %}
<h2>{{ title }}</h2>
<table>
<thead><tr>{% for head in heads %}<th scope="col">{{ head }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in rows %}
<tr><th scope="row">{{ row[0] }}</th>{% for value in row[1:] %}<td>{{ value | number }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
{% endif %}
{% endmacro %}
<h1>Score card of {{ id }}</h1>
<p>{{ model.ModelSummary }}. Measured on {{ all.rows }} held-out rows.</p>
<h2 class="{{ 'false' if verdict.startswith('Missed') else 'true' }}">{{ verdict }}</h2>
<table>
<thead><tr><th scope="col">rows</th><th scope="col">number</th>
{% for score in all.scores %}<th scope="col">{{ score.name }} {{ score.threshold or "" }}</th>{% endfor %}</tr></thead>
<tbody>
{% for group in [all] + groups %}
<tr><th scope="row">{{ group.name }}</th><td>{{ group.rows }}</td>
{% for score in group.scores %}<td class="{{ score.reached | lower }}">{{ score.value | number }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table>
{{ table("Where the errors are", ["rows with", "number", "metric", "value"], errors) }}
{{ table("What moves the prediction", ["feature", "mean effect"], importance) }}
{{ table("What changes the target", ["treatment", "mean effect", "at least", "at most"], effects) }}
</body>
</html>
"""

_PAGES = jinja2.Environment(
    loader=jinja2.DictLoader({"dashboard": _DASHBOARD, "score card": _SCORE_CARD}), autoescape=True, trim_blocks=True
)
_PAGES.filters["number"] = lambda value: f"{value:.4g}" if isinstance(value, float) else value


def insight_constructor(options: Any) -> str:
    """Note what is analysed, and take along the rows; fail early when model and rows do not go together."""
    info = {
        "id": uuid.uuid4().hex,
        "title": options.title,
        "model": _model_id(options),
        "arguments": {
            "target_column": options.target_column_name,
            "task_type": options.task_type,
            "maximum_rows_for_test": options.maximum_rows_for_test_dataset,
            "classes": json.loads(options.classes) or None,
        },
        "features": {
            **json.loads(options.feature_metadata),
            "categorical_features": json.loads(options.categorical_column_names),
        },
    }
    folder = Path(options.rai_insights_dashboard)
    for side in ("train", "test"):
        source = Path(getattr(options, f"{side}_dataset"))
        shutil.copytree(source if source.is_dir() else source.parent, folder / side)
    (folder / INFO).write_text(json.dumps(info), encoding="utf-8")
    analysis = _analysis(folder)
    return f"{info['model']}: {len(analysis.train):,} training and {len(analysis.test):,} held-out rows"


def _model_id(options: Any) -> str:
    if options.model_info_path:
        return str(json.loads((Path(options.model_info_path) / "model_info.json").read_text(encoding="utf-8"))["id"])
    if options.model_input and options.model_info:
        return str(options.model_info)
    raise _InputError("give model_info_path, or model_input and model_info")


def explanation(options: Any) -> str:
    """Measure how much each feature moves the prediction."""
    analysis = _analysis(Path(options.rai_insights_dashboard))
    analysis.explainer.add()
    _finish(analysis, options, "explanation")
    leading = ", ".join(f"{name} {value:.3g}" for name, value in _importance(analysis)[:3])
    return f"the prediction depends most on {leading}"


def erroranalysis(options: Any) -> str:
    """Find groups of rows with larger errors than the others."""
    with tempfile.TemporaryDirectory() as temporary:
        # In a new analysis, responsibleai 0.36 treats each model as a classifier here, so that all rows of a regression
        # are errors. In a loaded one it looks at the model.
        _analysis(Path(options.rai_insights_dashboard)).save(temporary)
        analysis = _load(Path(temporary))
    analysis.error_analysis.add(
        max_depth=options.max_depth,
        num_leaves=options.num_leaves,
        min_child_samples=options.min_child_samples,
        filter_features=json.loads(options.filter_features) or None,
    )
    _finish(analysis, options, "erroranalysis")
    groups = _error_groups(analysis)
    return f"{len(groups)} groups of rows" + (f"; the worst: {groups[0][0]}" if groups else "")


def counterfactual(options: Any) -> str:
    """Look for small changes of a row with which the model predicts the desired outcome."""
    analysis = _analysis(Path(options.rai_insights_dashboard))
    vary, desired = options.features_to_vary, options.desired_class
    analysis.counterfactual.add(
        total_CFs=options.total_CFs,
        method=options.method,
        desired_class=int(desired) if desired and desired.isdigit() else desired,
        desired_range=json.loads(options.desired_range or "[]") or None,
        permitted_range=json.loads(options.permitted_range or "{}") or None,
        features_to_vary=vary if vary == "all" else json.loads(vary),
        feature_importance=options.feature_importance,
    )
    _finish(analysis, options, "counterfactual")
    rows = [row.final_cfs_df for row in analysis.counterfactual.get()[0].cf_examples_list]
    found = [row for row in rows if row is not None and len(row)]
    return f"{sum(map(len, found)):,} changed rows; they are found for {len(found)} of {len(rows)}"


def causal(options: Any) -> str:
    """Estimate what a change of a feature does to the target, with all others held fixed."""
    analysis = _analysis(Path(options.rai_insights_dashboard))
    state = options.random_state
    analysis.causal.add(
        treatment_features=json.loads(options.treatment_features),
        heterogeneity_features=json.loads(options.heterogeneity_features) or None,
        nuisance_model=options.nuisance_model,
        heterogeneity_model=options.heterogeneity_model,
        alpha=options.alpha,
        upper_bound_on_cat_expansion=options.upper_bound_on_cat_expansion,
        treatment_cost=json.loads(options.treatment_cost),
        min_tree_leaf_samples=options.min_tree_leaf_samples,
        max_tree_depth=options.max_tree_depth,
        skip_cat_limit_checks=options.skip_cat_limit_checks,
        categories=options.categories,
        n_jobs=options.n_jobs,
        verbose=options.verbose,
        random_state=None if state == "None" else int(state),
    )
    _finish(analysis, options, "causal")
    effects = [f"{treatment} {effect:+.3g}" for treatment, effect, *_ in _effects(analysis)[:3]]
    return f"mean effect on {analysis.target_column}: {', '.join(effects)}"


def insight_gather(options: Any) -> str:
    """Put the insights of one constructor together, and write the dashboard."""
    constructor = Path(options.constructor)
    info = json.loads((constructor / INFO).read_text(encoding="utf-8"))
    found = [Path(path) for number in range(1, 5) if (path := getattr(options, f"insight_{number}"))]
    with tempfile.TemporaryDirectory() as temporary:
        _analysis(constructor).save(temporary)
        seen: set[str] = set()
        for insight in found:
            if json.loads((insight / INFO).read_text(encoding="utf-8")) != info:
                raise _InputError(f"{insight.name} was computed from another constructor")
            tool = next(path.name for path in insight.iterdir() if path.is_dir())
            if tool in seen:
                raise _InputError(f"there are two insights of the kind {tool}")
            seen.add(tool)
            shutil.copytree(insight / tool, Path(temporary) / tool, dirs_exist_ok=True)
        analysis = _load(Path(temporary))
        dashboard = Path(options.dashboard)
        analysis.save(dashboard)
    (dashboard / INFO).write_text(json.dumps(info), encoding="utf-8")
    page = dashboard / "dashboard.html"
    page.write_text(dashboard_page(analysis, f"Responsible AI: {info['title']}"), encoding="utf-8")
    from responsibleai.serialization_utilities import serialize_json_safe

    content = json.dumps(serialize_json_safe(analysis.get_data()))
    (Path(options.ux_json) / "dashboard.json").write_text(content, encoding="utf-8")
    return f"{len(found)} insights in {page.name}, {page.stat().st_size / 1e6:.0f} MB"


def score_card(options: Any) -> str:
    """Check the model's metrics against their thresholds, for all rows and for each cohort, on one page."""
    folder = Path(options.dashboard)
    info = json.loads((folder / INFO).read_text(encoding="utf-8"))
    wanted = json.loads(Path(options.pdf_generation_config).read_text(encoding="utf-8"))
    cohorts = json.loads(Path(options.predefined_cohorts_json or os.devnull).read_text(encoding="utf-8") or "[]")
    card = measure(_load(folder), wanted, cohorts)
    scores = card["all"]["scores"]
    missed = [score["name"] for score in scores if score["reached"] is False]
    verdict = f"Missed: {', '.join(missed)}" if missed else "No threshold is missed"
    page = _PAGES.get_template("score card").render(**card, id=info["model"], model=wanted["Model"], verdict=verdict)
    (Path(options.scorecard) / "score-card.html").write_text(page, encoding="utf-8")
    return f"{verdict}; " + ", ".join(f"{each['name']} {each['value']:.4g}" for each in scores)


class _InputError(Exception):
    """An error in the pipeline; its text is one line."""


def _analysis(folder: Path) -> Any:
    """Return the library's analysis, without results, of what a constructor noted."""
    import mlflow
    import pandas as pd
    from responsibleai import FeatureMetadata, RAIInsights

    info = json.loads((folder / INFO).read_text(encoding="utf-8"))
    name, version = info["model"].rsplit(":", 1)
    model = mlflow.pyfunc.load_model(f"models:/{name}/{version}")._model_impl
    return RAIInsights(
        model=getattr(model, "sklearn_model", model),
        train=pd.read_parquet(folder / "train"),
        test=pd.read_parquet(folder / "test"),
        feature_metadata=FeatureMetadata(**info["features"]),
        **info["arguments"],
    )


def _load(folder: Path) -> Any:
    from responsibleai import RAIInsights

    # The library needs a folder of each tool, and writes none for a tool without a result.
    for name in FOLDERS.values():
        (folder / name).mkdir(exist_ok=True)
    return RAIInsights.load(folder)


def _finish(analysis: Any, options: Any, tool: str) -> None:
    """Compute what was added, and write it, and only it, with the notes of the constructor."""
    analysis.compute()
    output = Path(getattr(options, next(iter(COMPONENTS[ADDRESS.format(PREFIX + tool)].outputs))))
    with tempfile.TemporaryDirectory() as temporary:
        analysis.save(temporary)
        shutil.copytree(Path(temporary) / FOLDERS[tool], output / FOLDERS[tool])
    shutil.copyfile(Path(options.rai_insights_dashboard) / INFO, output / INFO)


def _importance(analysis: Any) -> list[tuple[str, float]]:
    """Return the features with their mean absolute effect on the prediction, the largest first."""
    import numpy as np

    pairs: list[tuple[str, float]] = []
    for found in analysis.explainer.get():
        # Shape (rows, features), and of a classification one such array for each class.
        effects = np.abs(np.asarray(found.local_importance_values, dtype=float))
        pairs += zip(found.features, effects.mean(axis=tuple(range(effects.ndim - 1))).tolist(), strict=True)
    return sorted(pairs, key=lambda pair: -pair[1])


def _error_groups(analysis: Any) -> list[tuple[str, int, str, float]]:
    """Return the leaves of the error tree, the worst first: which rows, how many, the metric and its value."""
    reports = analysis.error_analysis.get()
    tree = {node["id"]: node for node in reports[0].tree or []} if reports else {}
    parents = {node["parentId"] for node in tree.values()}
    groups = []
    for leaf in (node for node in tree.values() if node["id"] not in parents and node["parentId"] is not None):
        node, conditions = leaf, list[str]()
        while node["parentId"] is not None:
            conditions.insert(0, str(node["condition"]))
            node = tree[node["parentId"]]
        value = float(leaf["metricValue"] or 0)
        groups.append((" and ".join(conditions), int(leaf["size"]), str(leaf["metricName"]), value))
    return sorted(groups, key=lambda group: -group[-1])


def _effects(analysis: Any) -> list[tuple[str, float, float, float]]:
    """Return the mean effect of each treatment, and the ends of its confidence interval.

    A category has an effect for each of its values but one, written as "AvB": A instead of B.
    """
    return [
        (feature if value == "num" else f"{feature} {value}", row["point"], row["ci_lower"], row["ci_upper"])
        for result in analysis.causal.get()
        for (_, feature, value), row in result.global_effects.iterrows()
    ]


def dashboard_page(analysis: Any, title: str) -> str:
    """Return the dashboard of raiwidgets as one HTML text that needs no server and no network.

    Its own class starts a web server, and a name with a backtick or with HTML in it breaks the script of its page.
    """
    import raiwidgets
    from raiutils.data_processing import serialize_json_safe
    from raiwidgets.responsibleai_dashboard_input import ResponsibleAIDashboardInput

    folder = Path(raiwidgets.__file__).parent / "widget"
    config = {"dashboardType": "ResponsibleAI", "id": "rai", "baseUrl": None, "withCredentials": False, "locale": None}
    content = ResponsibleAIDashboardInput(analysis).dashboard_input
    values = {
        "__rai_app_id__": "rai",
        '"__rai_config__"': _template_literal(json.dumps(config)),
        '"__rai_model_data__"': _template_literal(json.dumps(content, default=serialize_json_safe)),
    }
    scripts = []
    for name in re.findall(r'<script[^>]* src="([^"]+)"', (folder / "index.html").read_text(encoding="utf-8")):
        script = (folder / name).read_text(encoding="utf-8")
        for placeholder, value in values.items():
            script = script.replace(placeholder, value)
        scripts.append(script)
    return _PAGES.get_template("dashboard").render(title=title, policy=_POLICY, scripts=scripts)


def _template_literal(text: str) -> str:
    """Return text as a JavaScript template literal, for which serialize_json_safe has doubled the backslashes."""
    for special, escaped in {"`": r"\`", "${": r"\${", "</": r"<\/"}.items():
        text = text.replace(special, escaped)
    return f"`{text}`"


def measure(analysis: Any, wanted: Mapping[str, Any], cohorts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Compute what the score card shows.

    `wanted` is the content of the component's pdf_generation_config, `cohorts` that of its predefined_cohorts_json.
    """
    from erroranalysis._internal.cohort_filter import filter_from_cohort
    from erroranalysis._internal.constants import ROW_INDEX

    features = analysis.test.drop(columns=[analysis.target_column])
    actual, predicted = analysis.test[analysis.target_column].to_numpy(), analysis.model.predict(features)

    def scores_of(name: str, rows: Any) -> dict[str, Any]:
        scores = []
        for metric, spec in wanted["Metrics"].items():
            value, limit = _score(metric, actual[rows], predicted[rows], analysis._classes), spec.get("threshold")
            scores.append({"name": metric, "value": value, "threshold": limit, "reached": _is_within(value, limit)})
        return {"name": name, "rows": len(actual[rows]), "scores": scores}

    groups = []
    for feature in wanted.get("Fairness", {}).get("sensitive_features", []):
        for value in sorted(features[feature].unique()):
            groups.append(scores_of(f"{feature} = {value}", (features[feature] == value).to_numpy()))
    filters = {cohort["name"]: cohort["cohort_filter_list"] for cohort in cohorts}
    for name in wanted.get("Cohorts", []):
        kept = filter_from_cohort(analysis.error_analysis._analyzer, filters[name], [])[ROW_INDEX].to_numpy()
        groups += [scores_of(name, kept)] if len(kept) else []
    return {
        "all": scores_of("all rows", slice(None)),
        "groups": groups,
        "errors": _error_groups(analysis)[:_SHOWN],
        "importance": _importance(analysis)[:_SHOWN],
        "effects": _effects(analysis),
    }


def _score(name: str, actual: Any, predicted: Any, classes: Any) -> float:
    from erroranalysis._internal.metrics import metric_to_func

    if name not in metric_to_func:
        raise _InputError(f"there is no metric {name!r}: choose one of {', '.join(metric_to_func)}")
    options = {"pos_label": classes[1]} if name in _POSITIVE else {}
    return float(metric_to_func[name](actual, predicted, **options))


def _is_within(value: float, threshold: str | None) -> bool | None:
    """Whether a value is within a threshold such as "<= 15"; None when there is none."""
    match = _THRESHOLD.match(threshold or "")
    return _COMPARE[match[1]](value, float(match[2])) if match else None


_RUN: dict[str, Callable[[Any], str]] = {
    "insight_constructor": insight_constructor,
    "explanation": explanation,
    "erroranalysis": erroranalysis,
    "counterfactual": counterfactual,
    "causal": causal,
    "insight_gather": insight_gather,
    "score_card": score_card,
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one component; its last line on stdout sums up what it found."""
    parser = argparse.ArgumentParser(prog="responsible_ai_local", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for component in COMPONENTS.values():
        command = kinds.add_parser(component.name.removeprefix(PREFIX), allow_abbrev=False)
        for name, port in {**component.inputs, **component.outputs}.items():
            command.add_argument(f"--{name}", type=_TYPES.get(port.type, str))
    options = parser.parse_args(arguments)
    # Progress bars, and hundreds of warnings that the libraries switch on again when they are imported.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        try:
            import numpy as np
            from raiutils.exceptions import UserConfigValidationException
        except ModuleNotFoundError:
            raise SystemExit("error: responsibleai is not installed: projects of rai-aml-cli-v2 have it") from None

        random.seed(0)
        np.random.seed(0)
        try:
            summary = _RUN[options.kind](options)
        except (_InputError, UserConfigValidationException) as error:
            raise SystemExit(f"error: {' '.join(str(error).split())}") from None
    print(summary, flush=True)


if __name__ == "__main__":
    main()
