"""The step evaluate and its report: who is compared with whom, what it writes, and how it fails."""

import json
import re
import shutil
from dataclasses import replace
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise

import mlflow
import numpy as np
import pandas as pd
import pytest
import yaml
from samples import CLASSIFICATION, REGRESSION, SETTINGS, flights, module

# --- The step evaluate: who is compared with whom, what it writes, and how it fails.


evaluate = module("evaluate")
register = module("register")
tabular = module("tabular.model")
Schema, validate = module("data").Schema, module("data").validate
NAME = "delays"
OPTIONS = ("model", "train-data", "test-data", "schema", "settings", "evaluation")
OUTPUTS = ["decision.json", "drift.json", "metrics.json", "report.html"]


def save(folder, document, iterations):
    """Train a model of some strength on the first 400 flights and write it to `folder`."""
    path = folder.with_suffix(".yml")
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    schema = Schema.load(path)
    frame = validate(flights(700), schema).iloc[:400]
    folder.mkdir()
    options = {"max_iter": iterations, "min_samples_leaf": 5}
    tabular.save(tabular.fit(frame, schema, options, seed=0), frame, schema, folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A strong and a weak model of the delay, one that needs a column that is gone, and one that tells who is late."""
    root = tmp_path_factory.mktemp("models")
    older = REGRESSION | {"columns": REGRESSION["columns"] | {"gate": {"type": "number", "missing": 1.0}}}
    frame = flights(700).assign(gate=1.0).iloc[:400]
    path = root / "older.yml"
    path.write_text(yaml.safe_dump(older, sort_keys=False), encoding="utf-8")
    schema = Schema.load(path)
    (root / "older").mkdir()
    typed = validate(frame, schema)
    tabular.save(tabular.fit(typed, schema, {"max_iter": 2}, seed=0), typed, schema, root / "older")
    return {
        "strong": save(root / "strong", REGRESSION, 60),
        "weak": save(root / "weak", REGRESSION, 3),
        "older": root / "older",
        "classes": save(root / "classes", CLASSIFICATION, 20),
    }


@pytest.fixture
def project(folders, models):
    """Training and held-out rows on disk, and the strong model as the challenger."""
    return lay_out(folders, models["strong"])


def lay_out(folders, model):
    frame = validate(flights(700), Schema.load(folders.schema))
    for folder, part in ((folders.train, frame.iloc[:400]), (folders.test, frame.iloc[400:])):
        folder.mkdir(parents=True)
        part.to_parquet(folder / "rows.parquet")
    shutil.copytree(model, folders.model)
    return folders


@pytest.fixture
def late(folders, models):
    """The same of a classification: who is late."""
    folders.schema.write_text(yaml.safe_dump(CLASSIFICATION, sort_keys=False), encoding="utf-8")
    return lay_out(folders, models["classes"])


def run(folders, *more):
    evaluate.main([*folders.arguments(*OPTIONS), "--model-name", NAME, *more])
    assert sorted(path.name for path in folders.evaluation.iterdir()) == OUTPUTS
    return {name: read(folders.evaluation / f"{name}.json") for name in ("metrics", "decision", "drift")}


def read(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def fails(folders, capsys, *more):
    with pytest.raises(SystemExit) as stop:
        evaluate.main([*folders.arguments(*OPTIONS), "--model-name", NAME, *more])
    assert stop.value.code == 1
    assert not list(folders.evaluation.rglob("*"))
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def set_champion(model):
    return register.create_version(mlflow.MlflowClient(), NAME, model, "0" * 64)


def settings(folders, **sections):
    merged = SETTINGS | {name: SETTINGS.get(name, {}) | section for name, section in sections.items()}
    folders.settings.write_text(yaml.safe_dump(merged), encoding="utf-8")


def write_production(folder, frame):
    folder.mkdir()
    frame.to_csv(folder / "rows.csv", index=False)
    return "--production-data", str(folder)


def test_the_first_model_is_promoted_by_the_floor_alone(project):
    written = run(project)
    assert written["decision"]["promote"] is True
    assert "no version of delays is registered" in written["decision"]["note"]
    assert written["metrics"]["champion"] is None
    assert written["metrics"]["gain"] is None


def test_the_challenger_and_the_baselines_have_every_metric_on_the_same_rows(project):
    settings(project, evaluation={"baselines": ["mean", "wind"]})
    metrics = run(project)["metrics"]
    assert metrics["rows"] == 300
    assert list(metrics["baselines"]) == ["mean", "wind"]
    assert metrics["challenger"]["mae"] < min(each["mae"] for each in metrics["baselines"].values())
    train, test = pd.read_parquet(project.train)["delay"], pd.read_parquet(project.test)["delay"]
    assert metrics["baselines"]["mean"]["mae"] == pytest.approx((test - train.mean()).abs().mean())


def test_a_better_challenger_replaces_the_champion(project, models):
    set_champion(models["weak"])
    written = run(project)
    assert written["decision"]["promote"] is True
    assert written["decision"]["champion"] == "champion v1"
    assert written["metrics"]["gain"]["lower"] > 0


def test_a_worse_challenger_does_not_and_that_is_no_fault(project, models):
    set_champion(models["strong"])
    shutil.rmtree(project.model)
    shutil.copytree(models["weak"], project.model)
    written = run(project)
    assert written["decision"]["promote"] is False
    assert "not surely more than 0" in " ".join(written["decision"]["reasons"])


def test_the_same_model_again_keeps_the_champion(project, models):
    set_champion(models["strong"])
    written = run(project)
    assert written["decision"]["promote"] is False
    assert written["metrics"]["gain"] == {"gain": 0.0, "lower": 0.0, "upper": 0.0, "confidence": 0.95}


def test_a_model_that_misses_the_floor_is_not_promoted(project):
    settings(project, promotion={"floor": 0.001})
    decision = run(project)["decision"]
    assert decision["promote"] is False
    assert "misses the floor" in decision["reasons"][0]


def test_a_champion_that_needs_a_column_that_is_gone_is_left_out_and_named(project, models, capsys):
    set_champion(models["older"])
    decision = run(project)["decision"]
    assert decision["promote"] is True
    assert decision["champion"] is None
    assert "champion v1 cannot score these rows" in decision["note"]
    assert "gate" in decision["note"]
    assert "gate" in capsys.readouterr().out


def test_a_champion_whose_files_are_lost_stops_the_step_with_the_cure(project, models, capsys, tmp_path):
    set_champion(models["weak"])
    shutil.rmtree(tmp_path / "artifacts")
    line = fails(project, capsys)
    assert "version 1 of delays cannot be fetched" in line
    assert "rejected=true" in line


def test_the_slices_hold_all_rows_once_and_both_models(project, models):
    settings(project, evaluation={"slices": ["carrier", "wind"]})
    set_champion(models["weak"])
    slices = run(project)["metrics"]["slices"]
    for column in ("carrier", "wind"):
        assert sum(each["rows"] for each in slices if each["column"] == column) == 300
    assert all(each["champion"] > each["challenger"] for each in slices)


def test_the_feature_that_makes_the_delay_is_the_most_important_one(project):
    importance = run(project)["metrics"]["importance"]
    assert {each["feature"] for each in importance} == {"hour", "carrier", "wind"}
    assert importance[0]["feature"] == "hour"
    assert importance[0]["mean"] > importance[1]["mean"] > 0


def test_production_rows_that_moved_are_reported_as_drift(project, tmp_path):
    moved = flights(300, seed=5).assign(wind=lambda frame: frame["wind"] + 50)
    drift = run(project, *write_production(tmp_path / "production", moved))["drift"]
    assert drift["drifted"] == ["wind"]
    assert drift["rows"] == {"reference": 400, "production": 300}


def test_production_rows_like_those_of_training_are_no_drift(project, tmp_path):
    drift = run(project, *write_production(tmp_path / "production", flights(300, seed=5)))["drift"]
    assert drift["checked"] is True
    assert drift["drifted"] == []


def test_production_rows_without_a_feature_and_without_the_target_are_compared_all_the_same(project, tmp_path):
    settings(project, drift={"numerical": {"normalized_wasserstein_distance": 0.2}})
    less = flights(300, seed=5).drop(columns=["delay", "wind"])
    drift = run(project, *write_production(tmp_path / "production", less))["drift"]
    assert drift["drifted"] == ["wind"]
    assert [each["value"] for each in drift["results"] if each["feature"] == "wind"] == [None]


def test_without_production_rows_drift_is_not_checked(project):
    assert run(project)["drift"]["checked"] is False


def test_an_empty_folder_of_production_rows_is_as_good_as_none(project, tmp_path):
    (tmp_path / "production").mkdir()
    (tmp_path / "production" / ".gitkeep").touch()
    assert run(project, "--production-data", str(tmp_path / "production"))["drift"]["checked"] is False


BALANCED = {"metric": "balanced_accuracy", "baselines": ["most_frequent"], "slices": ["weekend"]}


def test_a_classification_is_evaluated_by_the_same_step(late):
    settings(late, evaluation=BALANCED, promotion={"floor": 0.6})
    written = run(late)
    assert written["decision"]["promote"] is True
    assert written["metrics"]["challenger"]["balanced_accuracy"] > 0.8
    assert written["metrics"]["baselines"]["most_frequent"]["balanced_accuracy"] == 0.5
    assert "Right and wrong classes" in (late.evaluation / "report.html").read_text(encoding="utf-8")


def spoil(folders, carrier, minutes):
    """Make the held-out flights of a carrier later than any model could know."""
    path = folders.test / "rows.parquet"
    frame = pd.read_parquet(path)
    frame.assign(delay=frame["delay"] + minutes * (frame["carrier"] == carrier)).to_parquet(path)


def test_one_bad_cohort_turns_the_promotion_red_although_the_average_is_good_enough(project):
    settings(project, fairness={"cohorts": ["carrier"], "worst": 30.0})
    assert run(project)["decision"]["promote"] is True
    spoil(project, "CC", 60)
    written = run(project)
    assert written["metrics"]["challenger"]["mae"] < SETTINGS["promotion"]["floor"]
    [fair] = written["metrics"]["fairness"]
    assert fair["worst"]["value"] == "CC"
    assert fair["worst"]["score"] > 50
    assert written["decision"]["promote"] is False
    [reason] = written["decision"]["reasons"]
    assert reason == (
        f"cohort carrier=CC ({fair['worst']['rows']} rows) has mae {fair['worst']['score']:.4g}, beyond the limit of 30"
    )
    assert reason in Page((project.evaluation / "report.html").read_text(encoding="utf-8")).text("li")


def test_cohorts_that_differ_too_much_turn_the_promotion_red(project):
    settings(project, fairness={"cohorts": ["carrier"], "max_ratio": 2.0})
    spoil(project, "AA", 30)
    decision = run(project)["decision"]
    assert decision["promote"] is False
    assert "carrier=" in decision["reasons"][0]
    assert "beyond the limit of 2" in decision["reasons"][0]


def test_each_cohort_is_scored_by_itself_and_small_ones_are_not_judged(project):
    settings(project, fairness={"cohorts": [["carrier", "hour"], "carrier"], "minimum_rows": 40})
    crossed, plain = run(project)["metrics"]["fairness"]
    assert [each["value"] for each in plain["cohorts"]] == ["AA", "BB", "CC"]
    assert crossed["column"] == "carrier/hour"
    assert [each["value"] for each in crossed["cohorts"]][1:3] == ["AA/1", "AA/2"]
    assert sum(each["rows"] for each in crossed["cohorts"]) == sum(each["rows"] for each in plain["cohorts"]) == 300
    assert all(each["judged"] for each in plain["cohorts"])
    assert not any(each["judged"] for each in crossed["cohorts"])
    assert crossed["worst"] is crossed["gap"] is crossed["ratio"] is None
    scores = [each["score"] for each in plain["cohorts"]]
    assert (plain["best"]["score"], plain["worst"]["score"]) == (min(scores), max(scores))
    assert plain["gap"] == pytest.approx(max(scores) - min(scores))
    assert plain["ratio"] == pytest.approx(max(scores) / min(scores))


def test_settings_without_cohorts_measure_none(project):
    assert run(project)["metrics"]["fairness"] == []
    assert "Fairness" not in (project.evaluation / "report.html").read_text(encoding="utf-8")


def outcomes(folders, positive="yes"):
    """Recompute the shares by carrier: of all rows and of the late ones, how many are predicted as late."""
    frame = pd.read_parquet(folders.test)
    frame["given"] = mlflow.pyfunc.load_model(str(folders.model)).predict(frame.drop(columns="late")) == positive
    late = frame[frame["late"] == positive]
    return [each.groupby("carrier")["given"].mean().to_dict() for each in (frame, late)]


def test_a_classification_also_says_who_gets_which_class(late):
    settings(late, evaluation=BALANCED, promotion={"floor": 0.6}, fairness={"cohorts": ["carrier"], "minimum_rows": 9})
    written = run(late)
    shares = {each["metric"]: each for each in written["metrics"]["fairness"]}
    assert list(shares) == ["balanced_accuracy", "demographic_parity", "equal_opportunity"]
    assert shares["equal_opportunity"]["label"] == "share of yes predicted as yes"
    for name, expected in zip(("demographic_parity", "equal_opportunity"), outcomes(late), strict=True):
        found = {each["value"]: each["score"] for each in shares[name]["cohorts"] if each["value"] != "missing"}
        assert found == pytest.approx(expected)
        assert shares[name]["gap"] == pytest.approx(max(expected.values()) - min(expected.values()))
    assert written["decision"]["promote"] is True


@pytest.mark.parametrize("name", ["demographic_parity", "equal_opportunity"])
def test_a_limit_on_the_difference_of_outcomes_turns_the_promotion_red(late, name):
    limit = {"cohorts": ["carrier"], "minimum_rows": 9, f"max_{name}_difference": 0.001}
    settings(late, evaluation=BALANCED, promotion={"floor": 0.6}, fairness=limit)
    decision = run(late)["decision"]
    assert decision["promote"] is False
    assert decision["reasons"][0].startswith(f"{name} (share of ")
    assert "beyond the limit of 0.001" in decision["reasons"][0]


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ({"positive": True}, "fairness.positive: 'True' is no class; choose one of no, yes"),
        ({"cohorts": ["gate"]}, "fairness.cohorts: the data have no column 'gate'"),
    ],
)
def test_cohorts_that_the_data_do_not_have_stop_the_step_in_one_line(late, capsys, section, line):
    settings(late, evaluation=BALANCED, fairness={"cohorts": ["carrier"]} | section)
    assert line in fails(late, capsys)


def test_equal_opportunity_of_three_classes_needs_the_one_that_is_the_good_outcome():
    names, rows = ["a", "b", "c"], np.array(["a", "b", "c"] * 4)
    limited = promotion.Fairness((("carrier",),), max_equal_opportunity_difference=0.1)
    with pytest.raises(module("step").StepError, match=r"fairness\.positive: missing; name the good outcome, one of a"):
        evaluate._outcomes(limited, names, rows, rows)
    assert len(evaluate._outcomes(replace(limited, positive="b"), names, rows, rows)) == 2
    without = evaluate._outcomes(promotion.Fairness((("carrier",),)), names, rows, rows)
    assert [each.metric.label for each in without] == [f"share of rows predicted as {name}" for name in names]


def test_metrics_and_the_report_are_in_mlflow(project, models):
    set_champion(models["weak"])
    settings(project, fairness={"cohorts": ["carrier", "hour"], "minimum_rows": 30})
    worst = run(project)["metrics"]["fairness"][0]["worst"]["score"]
    named = {"experiment_names": ["tests"], "filter_string": "run_name = 'evaluate'"}
    [found] = mlflow.search_runs(**named, output_format="list")
    assert found.data.metrics["worst_cohort_mae"] == pytest.approx(worst)
    assert {"mae", "rmse", "r2", "champion_mae", "gain"} <= set(found.data.metrics)
    assert found.data.tags["promote"] == "true"
    assert [each.path for each in mlflow.MlflowClient().list_artifacts(found.info.run_id)] == ["report.html"]


def test_the_summary_on_the_console_is_a_table_with_the_decision(project, capsys):
    run(project)
    lines = capsys.readouterr().out.splitlines()
    assert any(line.split() == ["mae", "rmse", "r2"] for line in lines)
    assert any(line.startswith("challenger") for line in lines)
    assert lines[-1].startswith("mae 3.")
    assert ": promote" in lines[-1]
    assert f"report: {project.evaluation / 'report.html'}" in lines
    assert all(line.isascii() for line in lines)


def test_the_same_inputs_give_the_same_files(project, models, tmp_path):
    set_champion(models["weak"])
    production = write_production(tmp_path / "production", flights(300, seed=5))

    def files():
        run(project, *production)
        written = {name: (project.evaluation / name).read_text(encoding="utf-8") for name in OUTPUTS}
        head, _, tail = written["report.html"].partition("held-out rows &middot;")
        return written | {"report.html": head + tail.partition("</p>")[2]}

    assert files() == files()


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"evaluation": {"baselines": ["gate"]}}, "evaluation.baselines: 'gate' is neither mean nor a fitting feature"),
        ({"evaluation": {"baselines": ["carrier"]}}, "'carrier' is neither mean nor a fitting feature"),
        ({"evaluation": {"slices": ["gate"]}}, "evaluation.slices: the data have no column 'gate'"),
        ({"evaluation": {"slices": "carrier"}}, "evaluation.slices: must be a list"),
        ({"evaluation": {"metric": "accuracy"}}, "'accuracy' is no regression metric"),
        ({"promotion": {"confidence": 2}}, "promotion.confidence: 2 must be a number between 0 and 1"),
        ({"drift": {"numeric": {}}}, "drift.numeric: unknown"),
    ],
)
def test_wrong_settings_stop_the_step_in_one_line_and_nothing_is_written(project, capsys, tmp_path, change, line):
    settings(project, **change)
    assert line in fails(project, capsys, *write_production(tmp_path / "production", flights(50)))


def test_a_folder_without_a_model_stops_the_step_in_one_line(project, capsys):
    shutil.rmtree(project.model)
    assert "there is no MLflow model here" in fails(project, capsys)


def test_a_number_with_few_values_is_sliced_by_value_and_one_with_many_into_fifths():
    frame = pd.DataFrame({"month": [2, 10, 1, 2] * 25, "delay": np.arange(100.0)})
    assert list(evaluate.slice_groups(frame, "month").unique().sort_values()) == ["1", "2", "10"]
    assert evaluate.slice_groups(frame, "delay").value_counts().loc[lambda rows: rows > 0].to_list() == [20] * 5


def test_rows_without_a_value_are_a_slice_of_their_own():
    frame = pd.DataFrame({"carrier": ["AA", None, "AA"], "wind": [1.5, np.nan, 2.5]})
    assert evaluate.slice_groups(frame, "carrier").to_list() == ["AA", "missing", "AA"]
    assert evaluate.slice_groups(frame, "wind").to_list() == ["1.5", "missing", "2.5"]


# --- The report: complete, readable by everyone, and one file.


charts = module("charts")
Column, Schema = module("data").Column, module("data").Schema
DriftResult, MINIMUM_ROWS = module("drift").DriftResult, module("drift").MINIMUM_ROWS
metric, scores = module("metrics").metric, module("metrics").scores
promotion, report = module("promotion"), module("report")
Importance = module("tabular.model").Importance
NASTY = "<script>alert('&')</script>"
VOID = {"meta", "link", "br", "img", "input", "hr", "wbr"}


class Page(HTMLParser):
    """The elements of a page, in order; unclosed or crossed elements are a fault."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), [name for name, _ in self.open]))
        if tag not in VOID:
            self.open.append((tag, len(self.texts)))

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), [name for name, _ in self.open]))

    def handle_endtag(self, tag):
        opened, start = self.open.pop()
        assert opened == tag, f"</{tag}> closes <{opened}>"
        self.texts.append((tag, "".join(text for name, text in self.texts[start:] if name == "")))

    def handle_data(self, data):
        self.texts.append(("", data))

    def all(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]

    def text(self, tag):
        return [" ".join(text.split()) for name, text in self.texts if name == tag]


def evaluation(task="regression", champion=True, production=True, name="delays", label="AA", rows=120):
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "wind": random.gamma(4, 3, rows),
            "month": random.integers(1, 13, rows),
            "carrier": random.choice([label, "BB"], rows),
        }
    )
    if task == "regression":
        frame["delay"] = frame["wind"] * 3 + random.normal(0, 4, rows)
        target, deciding, floor = Column("delay", "number", unit="minutes"), metric("mae", task), 15.0
        new, old = frame["delay"] + random.normal(0, 3, rows), frame["delay"] + random.normal(0, 6, rows)
    else:
        frame["delay"] = np.where(frame["wind"] > 12, "late", label)
        target, deciding, floor = Column("delay", "category"), metric("accuracy", task), 0.5
        new = frame["delay"].where(random.random(rows) < 0.9, label)
        old = frame["delay"].where(random.random(rows) < 0.7, "late")
    columns = [
        target,
        Column("wind", "number", unit="knots"),
        Column("month", "integer"),
        Column("carrier", "category"),
    ]
    predictions = {"challenger": new.to_numpy(), "baseline mean": np.full(rows, frame["delay"].iloc[0])}
    if champion:
        predictions["champion v9"] = old.to_numpy()
    policy = promotion.Policy(deciding, floor)
    interval = promotion.paired_bootstrap(deciding, frame["delay"], new, old) if champion else None
    scored = {who: scores(task, frame["delay"], what) for who, what in predictions.items()}
    best = {who: values[deciding.name] for who, values in scored.items()}
    groups = frame["carrier"].astype("category")
    slices = [
        promotion.SliceScore(
            "carrier", value, int((groups == value).sum()), best["challenger"], best.get("champion v9")
        )
        for value in groups.cat.categories
    ]
    cohorts = [
        promotion.Cohorts("carrier", deciding, (*slices, replace(slices[0], value="CC", rows=3)), 9, worst=floor)
    ]
    if task == "classification":
        parity = module("metrics").demographic_parity(label)
        shares = tuple(replace(each, challenger=number / 4) for number, each in enumerate(slices))
        cohorts.append(promotion.Cohorts("carrier", parity, shares, 9))
    return report.Evaluation(
        model_name=name,
        created="22 November 2026, 02:00 UTC",
        schema=Schema("delay", task, {column.name: column for column in columns}),
        policy=policy,
        decision=promotion.decide(policy, best["challenger"], best.get("champion v9"), interval, slices),
        test=frame,
        predictions=predictions,
        scores=scored,
        champion="champion v9" if champion else None,
        champion_note="" if champion else "no version is registered yet",
        interval=interval,
        slices=slices,
        cohorts=cohorts,
        groups={"carrier": groups},
        importance=[Importance("wind", 3.2, 0.1), Importance("carrier", 0.4, 0.1), Importance("month", 0.0, 0.0)],
        train=frame,
        production=frame.assign(wind=frame["wind"] + 9, carrier="BB", month=12) if production else None,
        drift=[
            DriftResult("wind", "jensen_shannon_distance", 0.6, 0.2, True),
            DriftResult("month", "two_sample_kolmogorov_smirnov_test", 0.0, 0.01, True),
            DriftResult("carrier", "jensen_shannon_distance", 0.9, 0.2, True),
        ]
        if production
        else None,
    )


CASES = {
    "regression": evaluation(),
    "classification": evaluation("classification"),
    "first model": evaluation(champion=False, production=False),
    "hostile names": evaluation(name=NASTY, label=NASTY),
    "hostile classes": evaluation("classification", name=NASTY, label="<b>&$x^2$\"'"),
}


@cache
def build(case):
    return report.build(CASES[case])


@pytest.fixture(params=CASES)
def built(request):
    return build(request.param)


@pytest.fixture
def page(built):
    return Page(built)


def test_the_page_names_its_language_its_title_and_its_width(page):
    assert page.all("html") == [{"lang": "en"}]
    [title] = page.text("title")
    assert title.startswith(("Promoted: ", "Not promoted: "))
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.all("meta")
    assert {"charset": "utf-8"} in page.all("meta")


def test_there_is_one_first_heading_and_no_level_is_skipped(page):
    levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_there_are_landmarks_and_each_section_has_a_name(page):
    assert [len(page.all(tag)) for tag in ("header", "main", "footer")] == [1, 1, 1]
    names = {attributes["aria-labelledby"] for attributes in page.all("section")}
    assert names == {attributes["id"] for attributes in page.all("h2")}


def test_every_chart_says_what_it_shows(page):
    drawings = page.all("svg")
    assert len(drawings) >= 4
    assert all(each["role"] == "img" and len(each["aria-label"]) > 20 for each in drawings)
    assert len(page.all("figcaption")) == len(page.all("figure")) == len(drawings)
    assert all(image.get("alt") for image in page.all("img"))


def test_every_table_has_a_caption_and_its_headers_have_a_scope(page):
    assert len(page.all("caption")) == len(page.all("table")) >= 3
    assert all(page.text("caption"))
    assert {attributes.get("scope") for attributes in page.all("th")} == {"col", "row"}
    assert all("table" in parents and "div" in parents for tag, _, parents in page.elements if tag == "caption")


def test_nothing_is_asked_of_the_network_and_nothing_is_run(built, page):
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", built)
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {tag for tag, _, _ in page.elements}
    assert not [name for _, attributes, _ in page.elements for name in attributes if name.startswith("on")]


def test_the_file_is_small(built):
    assert len(built.encode()) < 1_000_000


def test_no_id_appears_twice_and_every_reference_has_its_target(built):
    names = re.findall(r'\sid="([^"]+)"', built)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', built)) <= set(names)


def test_charts_follow_the_dark_mode_of_the_reader(built):
    assert "prefers-color-scheme: dark" in built
    for drawing in re.findall(r"<svg.*?</svg>", built, flags=re.DOTALL):
        assert "var(--ink)" in drawing
        assert not re.search(r"(?:fill|stroke): #", drawing)


def test_the_same_evaluation_gives_the_same_bytes():
    assert report.build(CASES["regression"]) == build("regression")


def test_names_from_the_data_cannot_become_markup():
    assert "&lt;script&gt;" in build("hostile names")
    assert "<b>" not in build("hostile classes")
    for case in ("hostile names", "hostile classes"):
        assert "<script" not in build(case)


def test_the_decision_comes_first_with_its_reasons():
    case = CASES["regression"]
    page = Page(build("regression"))
    assert page.text("h2")[0] == "✓ Promoted"
    assert set(case.decision.reasons) <= set(page.text("li"))


def test_a_refusal_says_that_the_model_in_service_stays():
    refused = promotion.Decision(False, ("the gain is too small",))
    page = Page(report.build(replace(CASES["regression"], decision=refused)))
    assert page.text("h2")[0] == "✗ Not promoted"
    assert "The model in service stays, because" in page.text("p")
    assert "the gain is too small" in page.text("li")


def test_scores_are_given_in_the_unit_of_the_target():
    case = CASES["regression"]
    text = build("regression")
    assert f"mean absolute error {report.number(case.scores['challenger']['mae'])} minutes" in text


def test_the_report_shows_the_limit_and_says_which_cohort_is_worst_and_within_it():
    case = CASES["regression"]
    worst = report.number(case.cohorts[0].judged[0].challenger)
    page = Page(build("regression"))
    assert "Fairness by cohort" in page.text("h2")
    [caption] = [text for text in page.text("figcaption") if "within the limit" in text]
    assert caption.startswith(
        f"By carrier: mae is worst for AA ({worst} minutes), within the limit of 15 minutes, and best"
    )
    assert caption.endswith(". Ring: fewer than 9 rows.")
    assert "dashed: the limit, 15<" in build("regression")
    assert page.text("td").count("too few rows") == 1
    beyond = report.build(replace(case, cohorts=[replace(case.cohorts[0], worst=0.5)]))
    assert "beyond the limit of 0.5 minutes" in beyond
    assert "dashed: the limit, 0.5; diamond: beyond<" in beyond


def test_the_report_says_who_gets_which_class():
    text = " ".join(Page(build("classification")).text("figcaption"))
    assert "share of rows predicted as AA: from 0% (AA) to 25% (BB)" in text


def test_cohorts_that_are_all_too_small_are_said_to_be_so():
    case = CASES["regression"]
    small = report.build(replace(case, cohorts=[replace(case.cohorts[0], minimum_rows=1000, worst=None)]))
    assert any(
        "By carrier: no cohort has 1000 rows, so none is judged." in text for text in Page(small).text("figcaption")
    )


def test_the_report_names_the_features_that_drifted_and_how_they_moved():
    text = build("regression")
    assert "3 features drifted: wind, month, carrier" in text
    assert "wind: the median went from" in text
    assert re.search("carrier: AA went from [0-9]+% of the training rows to 0% of the production rows", text)


def test_too_few_production_rows_are_said_to_be_too_few():
    few = replace(CASES["regression"], production=CASES["regression"].test.head(MINIMUM_ROWS - 1))
    assert f"That is too few to judge: {MINIMUM_ROWS} are needed." in " ".join(Page(report.build(few)).text("p"))


def test_a_vanished_feature_and_an_infinite_distance_do_not_stop_the_report():
    case = CASES["regression"]
    gone = replace(
        case,
        production=case.production.drop(columns=["wind", "carrier"]),
        drift=[replace(each, value=float("inf")) for each in case.drift],
    )
    assert "infinite" in Page(report.build(gone)).text("td")


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_scores_that_are_not_finite_do_not_stop_the_report(task):
    case = evaluation(task, champion=False)
    broken = replace(
        case,
        scores={who: dict.fromkeys(values, float("nan")) for who, values in case.scores.items()},
        slices=[replace(each, challenger=float("nan")) for each in case.slices],
        cohorts=[
            replace(each, scores=tuple(replace(part, challenger=float("nan")) for part in each.scores))
            for each in case.cohorts
        ],
        importance=[Importance("wind", float("nan"), float("nan"))],
        predictions=case.predictions
        if task == "classification"
        else case.predictions | {"challenger": np.full(len(case.test), np.nan)},
    )
    Page(report.build(broken))


def test_a_p_value_far_below_its_threshold_is_severe_and_one_above_is_not():
    def severity(metric, value, threshold):
        return report.severity(DriftResult("wind", metric, value, threshold, False))

    assert severity("two_sample_kolmogorov_smirnov_test", 0.001, 0.01) == pytest.approx(10)
    assert severity("two_sample_kolmogorov_smirnov_test", 0.5, 0.01) < 1
    assert severity("jensen_shannon_distance", 0.4, 0.2) == pytest.approx(2)
    assert severity("jensen_shannon_distance", 0.0, 0.0) == 0


@pytest.mark.parametrize(
    ("value", "text"), [(12.3456, "12.35"), (0.00012345, "0.0001234"), (123456.7, "123,457"), (None, "-")]
)
def test_numbers_are_written_with_the_digits_that_count(value, text):
    assert report.number(value) == text
