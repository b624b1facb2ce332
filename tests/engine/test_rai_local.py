"""What stands in for Azure ML's Responsible AI components on this machine: on data of which the truth is known."""

import contextlib
import io
import json
import os
import re
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from dice_ml.explainer_interfaces.explainer_base import ExplainerBase
from rendered import HERE, without_shapes
from responsibleai import RAIInsights
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

import mlops
from mlops.local import run as local
from mlops.local.runner import LONGEST_SUMMARY
from mlops.responsible_ai.components import COMPONENTS, PREFIX
from mlops.responsible_ai.local import FOLDERS, main

# The libraries warn of each other.
pytestmark = pytest.mark.filterwarnings("ignore")

FEATURES = ["age", "noise", "place"]
HOSTILE = 'a "tall" </script> `${house}` \\ é'


def rows(count: int, seed: int) -> pd.DataFrame:
    """Make rows whose target grows by 3 a year of age and by 20 in the city, whatever the noise."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": random.uniform(0, 100, count).round(),
            "noise": random.uniform(0, 1, count).round(2),
            "place": random.choice(["city", "village", HOSTILE], count),
        }
    )
    exact = 3 * frame["age"] + 20 * (frame["place"] == "city")
    return frame.assign(cost=exact + random.normal(0, 5, count), dear=np.where(exact > 160, "yes", "no"))


@dataclass(frozen=True)
class Analysis:
    """A finished analysis, its folder, and the last line that each component printed."""

    folder: Path
    insights: Any
    lines: dict[str, str]

    @property
    def dashboard(self) -> str:
        return (self.folder / "insight_gather" / "dashboard" / "dashboard.html").read_text(encoding="utf-8")

    @property
    def score_card(self) -> str:
        return (self.folder / "score_card" / "scorecard" / "score-card.html").read_text(encoding="utf-8")


def run(kind: str, folder: Path, **inputs: object) -> str:
    """Run a component with its defaults and some inputs; return the last line that it prints."""
    component = next(each for each in COMPONENTS.values() if each.name == PREFIX + kind)
    values = {name: port.default for name, port in component.inputs.items() if port.default is not None} | inputs
    for output in component.outputs:
        values[output] = folder / kind / output
        (folder / kind / output).mkdir(parents=True)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main([kind, *(word for name, value in values.items() for word in (f"--{name}", str(value)))])
    return printed.getvalue().splitlines()[-1]


def analyse(folder: Path, task: str, wanted: dict[str, object], desired: dict[str, str]) -> Analysis:
    """Train and register a model, and run all components on it."""
    target = "cost" if task == "regression" else "dear"
    # Counterfactuals are searched for each held-out row.
    held_out = 20 if task == "regression" else 10
    train, test = (rows(count, seed)[[*FEATURES, target]] for count, seed in ((300, 1), (held_out, 2)))
    if task == "regression":
        # What the model cannot know: in the held-out rows it is wrong for the old.
        test.loc[test["age"] > 60, "cost"] += 50
    encoder = ColumnTransformer([("places", OneHotEncoder(), ["place"])], remainder="passthrough")
    estimator = LinearRegression() if task == "regression" else LogisticRegression(max_iter=2000)
    model = make_pipeline(encoder, estimator).fit(train[FEATURES], train[target])
    mlflow.sklearn.save_model(model, folder / "model", pip_requirements=[], serialization_format="cloudpickle")
    client = mlflow.MlflowClient()
    client.create_registered_model(task)
    version = client.create_model_version(task, (folder / "model").as_uri()).version
    for name, content in {"train": train, "test": test}.items():
        (folder / name).mkdir()
        content.to_parquet(folder / name / "rows.parquet", index=False)
    (folder / "model_info.json").write_text(json.dumps({"id": f"{task}:{version}"}), encoding="utf-8")
    (folder / "wanted.json").write_text(json.dumps(wanted), encoding="utf-8")
    cohorts = [{"name": "the old", "cohort_filter_list": [{"method": "greater", "arg": [60], "column": "age"}]}]
    (folder / "cohorts.json").write_text(json.dumps(cohorts), encoding="utf-8")

    lines = {}
    constructor = folder / "insight_constructor" / "rai_insights_dashboard"
    lines["insight_constructor"] = run(
        "insight_constructor",
        folder,
        title="A test",
        task_type=task,
        model_info_path=folder,
        train_dataset=folder / "train",
        test_dataset=folder / "test",
        target_column_name=target,
        categorical_column_names='["place"]',
    )
    inputs: dict[str, dict[str, object]] = {
        "explanation": {"comment": "why"},
        "erroranalysis": {"min_child_samples": 5},
        "counterfactual": {**desired, "features_to_vary": '["age"]'},
    }
    if task == "regression":  # of classes, the penguins of test_project.py have it
        inputs["causal"] = {"treatment_features": '["age", "noise"]', "random_state": 1}
    for kind, values in inputs.items():
        lines[kind] = run(kind, folder, rai_insights_dashboard=constructor, **values)
    insights = {f"insight_{number}": next((folder / kind).iterdir()) for number, kind in enumerate(inputs, start=1)}
    lines["insight_gather"] = run("insight_gather", folder, constructor=constructor, **insights)
    dashboard = folder / "insight_gather" / "dashboard"
    lines["score_card"] = run(
        "score_card",
        folder,
        dashboard=dashboard,
        pdf_generation_config=folder / "wanted.json",
        predefined_cohorts_json=folder / "cohorts.json",
    )
    return Analysis(folder, RAIInsights.load(dashboard), lines)


@pytest.fixture(scope="module", autouse=True)
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    database = tmp_path_factory.mktemp("store") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{database.as_posix()}")
        yield


@pytest.fixture(scope="module")
def regression(tmp_path_factory: pytest.TempPathFactory, store: None) -> Analysis:
    wanted = {
        "Model": {"ModelName": "m", "ModelType": "Regression", "ModelSummary": "Predicts <cost>"},
        "Metrics": {"mean_absolute_error": {"threshold": "<=10"}, "r2_score": {}},
        "Fairness": {"metric": ["r2_score"], "sensitive_features": ["place"], "fairness_evaluation_kind": "difference"},
        "Cohorts": ["the old"],
    }
    return analyse(tmp_path_factory.mktemp("regression"), "regression", wanted, {"desired_range": "[0, 50]"})


@pytest.fixture(scope="module")
def classification(tmp_path_factory: pytest.TempPathFactory, store: None) -> Analysis:
    wanted = {
        "Model": {"ModelName": "m", "ModelType": "Classification", "ModelSummary": "Predicts dear"},
        "Metrics": {"accuracy_score": {"threshold": ">= 0.8"}, "precision_score": {}},
    }
    return analyse(tmp_path_factory.mktemp("classes"), "classification", wanted, {"desired_class": "opposite"})


def test_the_feature_that_matters_comes_first(regression: Analysis, classification: Analysis) -> None:
    for analysis in (regression, classification):
        assert analysis.lines["explanation"].startswith("the prediction depends most on age ")


def test_the_error_tree_finds_the_rows_that_the_model_is_wrong_for(regression: Analysis) -> None:
    report = regression.insights.error_analysis.get()[0]
    root, worst = report.tree[0], max(report.tree[1:], key=lambda node: node["metricValue"])
    assert root["metricName"] == "Mean squared error"
    assert worst["metricValue"] > 2 * root["metricValue"]
    assert "age > " in regression.lines["erroranalysis"]


def test_a_counterfactual_reaches_the_desired_range_by_what_may_change(regression: Analysis) -> None:
    model, test = regression.insights.model, regression.insights.test
    found = 0
    for number, example in enumerate(regression.insights.counterfactual.get()[0].cf_examples_list):
        if example.final_cfs_df is not None and len(example.final_cfs_df):
            changed = example.final_cfs_df[FEATURES].astype({"age": float, "noise": float})
            assert (changed["place"] == test.iloc[number]["place"]).all()
            assert np.allclose(changed["noise"], test.iloc[number]["noise"])
            assert np.all((model.predict(changed) >= -1) & (model.predict(changed) <= 51))
            found += len(changed)
    assert found > 100
    assert regression.lines["counterfactual"].startswith(f"{found:,} changed rows")


def test_a_counterfactual_changes_the_class(classification: Analysis) -> None:
    model, test = classification.insights.model, classification.insights.test
    examples = classification.insights.counterfactual.get()[0].cf_examples_list
    for number, example in enumerate(examples):
        before = model.predict(test.iloc[[number]][FEATURES])[0]
        changed = example.final_cfs_df[FEATURES].astype({"age": float, "noise": float})
        assert len(changed)
        assert set(model.predict(changed)) == {"yes", "no"} - {before}


def test_the_causal_effect_is_the_one_that_made_the_data(regression: Analysis) -> None:
    effects = regression.insights.causal.get()[0].global_effects.droplevel([0, 2])
    assert effects.loc["age", "point"] == pytest.approx(3, abs=0.1)
    assert effects.loc["noise", "ci_lower"] < 0 < effects.loc["noise", "ci_upper"]
    assert regression.lines["causal"].startswith("mean effect on cost: age +")


def test_each_tool_passes_on_its_own_result_only(regression: Analysis) -> None:
    for kind, name in FOLDERS.items():
        output = next((regression.folder / kind).iterdir())
        assert sorted(path.name for path in output.iterdir()) == sorted([name, "rai_insights.json"])


class Page(HTMLParser):
    """The tags of a page that a browser would fetch something for, and how many scripts it ends."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]


def test_the_dashboard_is_one_page_that_needs_nothing_else(regression: Analysis) -> None:
    page = Page(regression.dashboard)
    assert page.addresses == []
    assert not {"base", "link", "iframe", "img"} & set(page.tags)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', regression.dashboard)
    assert policy is not None
    assert unescape(policy[1]).startswith("default-src 'none'; ")
    assert "http" not in policy[1]
    assert "__rai_" not in regression.dashboard


def test_the_dashboard_holds_the_analysis_whatever_letters_it_has(regression: Analysis) -> None:
    literals = re.findall(r"\.parse\(`((?:[^`\\]|\\.)*)`\)", regression.dashboard)
    (literal,) = [literal for literal in literals if "causalAnalysisData" in literal]
    data = json.loads(re.sub(r"\\(.)", r"\1", literal))
    assert data["dataset"]["feature_names"] == FEATURES
    assert HOSTILE in {row[2] for row in data["dataset"]["features"]}
    for part in ("modelExplanationData", "errorAnalysisData", "causalAnalysisData", "counterfactualData"):
        assert data[part], part
    assert regression.dashboard.count("</script>") == 3


def test_the_dashboard_starts_no_server(regression: Analysis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a port was opened")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    monkeypatch.setattr(socket.socket, "listen", refuse)
    constructor = regression.folder / "insight_constructor" / "rai_insights_dashboard"
    assert run("insight_gather", tmp_path, constructor=constructor).startswith("0 insights in dashboard.html")


def test_the_score_card_turns_red_when_a_threshold_is_missed(regression: Analysis) -> None:
    assert "Missed: mean_absolute_error" in regression.score_card
    assert regression.lines["score_card"].startswith("Missed: mean_absolute_error; mean_absolute_error ")


def test_the_score_card_stays_green_when_all_are_reached(classification: Analysis) -> None:
    assert "No threshold is missed" in classification.score_card
    assert "Missed" not in classification.score_card
    assert Page(classification.score_card).addresses == []


def test_the_score_card_has_the_metrics_of_all_rows_and_of_each_cohort(regression: Analysis) -> None:
    test = regression.insights.test
    error = (test["cost"] - regression.insights.model.predict(test[FEATURES])).abs()
    table = re.search(r"<tbody>(.*?)</tbody>", regression.score_card, re.DOTALL)
    assert table is not None
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in table[1].split("</tr>")]
    shown = {row[0]: row[1:] for row in cells if row}
    assert shown["all rows"][:2] == [str(len(test)), f"{error.mean():.4g}"]
    assert shown["the old"][:2] == [str((test["age"] > 60).sum()), f"{error[test['age'] > 60].mean():.4g}"]
    city = test["place"] == "city"
    assert shown["place = city"][:2] == [str(city.sum()), f"{error[city].mean():.4g}"]
    assert "<cost>" not in regression.score_card


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        ("causal", {"treatment_features": '["height"]'}, "height"),
        ("counterfactual", {"desired_range": "[0, 50]", "total_CFs": 5}, "at least 10"),
        ("counterfactual", {}, "desired_range"),
    ],
)
def test_a_wrong_value_ends_in_one_line(
    kind: str, values: dict[str, object], words: str, regression: Analysis, tmp_path: Path
) -> None:
    constructor = regression.folder / "insight_constructor" / "rai_insights_dashboard"
    with pytest.raises(SystemExit, match=words) as stopped:
        run(kind, tmp_path, rai_insights_dashboard=constructor, **values)
    assert str(stopped.value).startswith("error: ")
    assert "\n" not in str(stopped.value)


def test_an_unknown_metric_of_the_score_card_ends_in_one_line(regression: Analysis, tmp_path: Path) -> None:
    wanted = {"Model": {"ModelSummary": ""}, "Metrics": {"mae": {}}}
    (tmp_path / "wanted.json").write_text(json.dumps(wanted), encoding="utf-8")
    dashboard = regression.folder / "insight_gather" / "dashboard"
    with pytest.raises(SystemExit, match="no metric 'mae': choose one of"):
        run("score_card", tmp_path, dashboard=dashboard, pdf_generation_config=tmp_path / "wanted.json")


def test_insights_of_two_constructors_are_not_mixed(
    regression: Analysis, classification: Analysis, tmp_path: Path
) -> None:
    constructor = regression.folder / "insight_constructor" / "rai_insights_dashboard"
    stranger = classification.folder / "explanation" / "explanation"
    with pytest.raises(SystemExit, match="another constructor"):
        run("insight_gather", tmp_path, constructor=constructor, insight_1=stranger)
    twice = regression.folder / "explanation" / "explanation"
    with pytest.raises(SystemExit, match="two insights"):
        run("insight_gather", tmp_path / "again", constructor=constructor, insight_1=twice, insight_2=twice)


@dataclass(frozen=True)
class Loop:
    """A run of the whole loop on this very project."""

    result: local.LocalResult
    lines: list[str]


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Loop:
    few = "responsible_ai.train_rows=200 responsible_ai.test_rows=10"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLOPS_LOCAL_DIR", str(tmp_path_factory.mktemp("a user's folder") / ".local"))
        # DiCE's last and longest step, which makes the changed rows more like the first ones; `regression` has it.
        patch.setattr(ExplainerBase, "do_posthoc_sparsity_enhancement", lambda _, rows, *__, **___: rows)
        with contextlib.redirect_stdout(io.StringIO()) as printed, without_shapes():
            result = local.run_local(HERE, overrides=few, skip_lint=True)
    return Loop(result, printed.getvalue().splitlines())


def step(lines: list[str], name: str) -> str:
    return next(line for line in lines if line.startswith(f"{name} "))


def test_the_report_links_the_dashboard_and_the_score_card(loop: Loop) -> None:
    report = loop.result.report
    links = re.findall(r'<a href="([^"]+\.html)">([^<]+)</a>', report.read_text(encoding="utf-8"))
    assert [address for address, _ in links] == ["dashboard/dashboard.html", "score_card/score-card.html"]
    assert all((report.parent / address).is_file() for address, _ in links)
    assert "Responsible AI" in links[0][1]
    assert "Score card of flight-delays:1" in links[1][1]


def test_the_loop_analyses_the_model_that_it_has_registered(loop: Loop) -> None:
    """Which model the step analyses without a promotion is in tests/data_science."""
    assert loop.result.served is not None
    assert loop.result.served.registered
    assert "flight-delays version 1, on 200 training and 10 held-out rows" in step(loop.lines, "analysis")


def test_each_component_says_in_one_line_what_it_found(loop: Loop) -> None:
    for name in ("insights", "explain", "errors", "what_if", "causes", "gather", "score_card"):
        line = step(loop.lines, name)
        assert re.fullmatch(rf"{name} +\d+\.\d s  \S.{{1,{LONGEST_SUMMARY}}}", line), line
    assert "dep_delay" in step(loop.lines, "explain")


def test_the_logs_of_the_components_are_free_of_bars_and_warnings(loop: Loop) -> None:
    for name in ("insights", "explain", "errors", "what_if", "causes", "gather", "score_card"):
        log = (loop.result.run / name / "log.txt").read_text(encoding="utf-8")
        assert "Warning" not in log
        assert "it/s" not in log


@pytest.fixture
def quick_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have modules run in forks of a process without this project, but with the libraries, if there is one."""
    if fork := os.environ.get("FORK"):
        program = tmp_path / "python"
        program.write_text(f'#!/bin/sh\n[ "$1" = -m ] && shift && exec {fork} "$@"\n', encoding="utf-8")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))


@pytest.mark.usefixtures("quick_python")
def test_a_component_runs_in_an_interpreter_of_its_own_too(regression: Analysis, tmp_path: Path) -> None:
    from mlops.local.runner import run_pipeline
    from mlops.pipeline import Pipeline

    address = next(address for address, each in COMPONENTS.items() if each.name == f"{PREFIX}explanation")
    constructor = {"type": "uri_folder", "path": str(regression.folder / "insight_constructor/rai_insights_dashboard")}
    job = {"type": "command", "component": address, "inputs": {"comment": "", "rai_insights_dashboard": constructor}}
    document = {"type": "pipeline", "jobs": {"explain": job}}
    pipeline = Pipeline.from_dict(document, tmp_path / "pipeline.yml", components=COMPONENTS)
    variables = {"MLFLOW_TRACKING_URI": mlflow.get_tracking_uri(), "PYTHONPATH": os.pathsep.join(_path())}
    run_pipeline(pipeline, tmp_path / "run", isolated=True, environment=variables, announce=lambda text: None)
    assert (tmp_path / "run" / "explain" / "explanation" / "explainer").is_dir()


def _path() -> list[str]:
    return [str(Path(mlops.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
