"""The step evaluate: which models are compared, what it writes, and how it fails."""

import json
import shutil

import mlflow
import pandas as pd
import pytest
import yaml
from helpers import CLASSIFICATION, REGRESSION, Page, module
from samples import SETTINGS, flights
from step_runs import EVALUATE, MODEL_NAME

evaluate = module("evaluate")
register = module("register")
model = module("tabular.model")
champion = module("core.champion")
Split = module("core.split").Split
Schema, validate = module("core.schema").Schema, module("tabular.data").validate
OUTPUTS = ["decision.json", "drift.json", "metrics.json", "report.html"]
HELD_OUT = Split("hash", ("id",), ("text",), "mlops", 0.4)
REPLACE = ("--overrides", "promotion.incomparable_champion=replace")


def save(folder, document, iterations):
    """Train a model of some strength on the first 400 flights and write it to `folder`."""
    path = folder.with_suffix(".yml")
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    schema = Schema.load(path)
    frame = validate(flights(700), schema).iloc[:400]
    return write_model(folder, frame, schema, {"max_iter": iterations, "min_samples_leaf": 5})


def write_model(folder, frame, schema, hyperparameters, held_out=HELD_OUT):
    folder.mkdir()
    model.save(model.fit(frame, schema, {"hyperparameters": hyperparameters, "seed": 0}), frame, schema, folder)
    champion.write_metadata(folder, {"split": held_out.document()} if held_out else {})
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Models of the delay: strong, weak, of missing columns, of other splits; and one that predicts who is late."""
    root = tmp_path_factory.mktemp("models")
    older = REGRESSION | {"columns": REGRESSION["columns"] | {"gate": {"type": "number", "missing": 1.0}}}
    frame = flights(700).assign(gate=1.0).iloc[:400]
    path = root / "older.yml"
    path.write_text(yaml.safe_dump(older, sort_keys=False), encoding="utf-8")
    schema = Schema.load(path)
    write_model(root / "older", validate(frame, schema), schema, {"max_iter": 2})
    other = {"unrecorded": None, "other salt": Split("hash", ("id",), ("text",), "other", 0.4).document()}
    for name, record in other.items():
        champion.write_metadata(save(root / name, REGRESSION, 3), {"split": record})
    return {
        **{name: root / name for name in other},
        "strong": save(root / "strong", REGRESSION, 60),
        "weak": save(root / "weak", REGRESSION, 3),
        "older": root / "older",
        "classes": save(root / "classes", CLASSIFICATION, 20),
    }


@pytest.fixture
def project(folders, models):
    """Training and held-out rows on disk, and the strong model as the challenger."""
    return lay_out(folders, models["strong"])


def lay_out(folders, challenger):
    frame = validate(flights(700), Schema.load(folders.schema))
    for folder, part in ((folders.train, frame.iloc[:400]), (folders.test, frame.iloc[400:])):
        folder.mkdir(parents=True)
        part.to_parquet(folder / "rows.parquet")
        HELD_OUT.write(folder)
    shutil.copytree(challenger, folders.model)
    return folders


@pytest.fixture
def late(folders, models):
    """The same of a classification: who is late."""
    folders.schema.write_text(yaml.safe_dump(CLASSIFICATION, sort_keys=False), encoding="utf-8")
    return lay_out(folders, models["classes"])


def run(folders, *more):
    evaluate.main([*folders.arguments(*EVALUATE), "--model-name", MODEL_NAME, *more])
    assert sorted(path.name for path in folders.evaluation.iterdir()) == OUTPUTS
    return {name: read(folders.evaluation / f"{name}.json") for name in ("metrics", "decision", "drift")}


def read(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


def fails(folders, capsys, *more):
    with pytest.raises(SystemExit) as stop:
        evaluate.main([*folders.arguments(*EVALUATE), "--model-name", MODEL_NAME, *more])
    assert stop.value.code == 1
    assert not list(folders.evaluation.rglob("*"))
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def set_champion(folder, sha256=None):
    return register.create_version(mlflow.MlflowClient(), MODEL_NAME, folder, sha256 or champion.model_hash(folder))


def settings(folders, **sections):
    merged = SETTINGS | {name: SETTINGS.get(name, {}) | section for name, section in sections.items()}
    folders.settings.write_text(yaml.safe_dump(merged), encoding="utf-8")


def write_production(folder, frame):
    folder.mkdir()
    frame.to_csv(folder / "rows.csv", index=False)
    return "--production-data", str(folder)


def test_without_a_champion_the_page_says_so(project):
    written = run(project)
    assert "no version of a-model is registered" in written["decision"]["note"]
    assert written["decision"]["note"] in (project.evaluation / "report.html").read_text(encoding="utf-8")


def test_the_challenger_and_the_baselines_have_every_metric_on_the_same_rows(project):
    settings(project, evaluation={"baselines": ["mean", "wind"]})
    metrics = run(project)["metrics"]
    assert metrics["rows"] == 300
    assert list(metrics["baselines"]) == ["mean", "wind"]
    assert metrics["challenger"]["mae"] < min(each["mae"] for each in metrics["baselines"].values())
    train, test = (pd.read_parquet(folder / "rows.parquet")["delay"] for folder in (project.train, project.test))
    assert metrics["baselines"]["mean"]["mae"] == pytest.approx((test - train.mean()).abs().mean())


def test_the_same_model_again_keeps_the_champion(project, models):
    set_champion(models["strong"])
    written = run(project)
    assert written["decision"]["promote"] is False
    assert written["metrics"]["gain"] == {"gain": 0.0, "lower": 0.0, "upper": 0.0, "confidence": 0.95}


def test_a_first_model_that_is_not_better_than_a_baseline_is_refused(project, models):
    shutil.rmtree(project.model)
    shutil.copytree(models["weak"], project.model)
    frame = pd.read_parquet(project.test / "rows.parquet")
    # A feature that knows the delay nearly: no model of 3 trees is better.
    frame.assign(wind=frame["delay"].clip(lower=0) + 1).to_parquet(project.test / "rows.parquet")
    settings(project, evaluation={"baselines": ["mean", "wind"]})
    written = run(project)
    assert written["decision"]["promote"] is False
    [reason] = written["decision"]["reasons"]
    assert reason.startswith("the gain in mae over the baseline wind is -")
    assert reason.endswith("not significantly above 0")
    [better] = written["decision"]["better_baselines"]
    assert better.startswith("baseline wind is better than the challenger in mae (")
    page = Page((project.evaluation / "report.html").read_text(encoding="utf-8")).text("li")
    assert {reason, better} <= set(page)


def test_a_baseline_decides_nothing_where_the_settings_do_not_ask_for_it(project):
    frame = pd.read_parquet(project.test / "rows.parquet")
    frame.assign(wind=frame["delay"].clip(lower=0)).to_parquet(project.test / "rows.parquet")
    settings(project, evaluation={"baselines": ["wind"]}, promotion={"beat_baselines": False, "floor": 500})
    assert run(project)["decision"]["promote"] is True


INCOMPARABLE = {
    "older": "it cannot score these rows",
    "unrecorded": "it does not record which examples were held out from its training",
    "other salt": "its data were split by a hash of id (text) with salt 'other', 40% held out, and these by a hash of",
}


@pytest.mark.parametrize("which", INCOMPARABLE)
def test_a_champion_that_cannot_be_compared_stops_the_step_and_serves_on(project, models, capsys, which):
    set_champion(models[which])
    line = fails(project, capsys)
    assert f"champion v1 cannot be compared: {INCOMPARABLE[which]}" in line
    assert "It stays the champion." in line
    assert line.endswith("--overrides promotion.incomparable_champion=replace")


def test_an_experiment_goes_on_beside_a_champion_that_cannot_be_compared_and_says_so(project, models, monkeypatch):
    monkeypatch.setenv("MLOPS_EXPERIMENT", "true")
    set_champion(models["other salt"])
    decision = run(project)["decision"]
    assert (decision["champion"], decision["champion_version"]) == (None, "1")
    assert decision["note"].startswith(f"champion v1 cannot be compared: {INCOMPARABLE['other salt']}")
    assert decision["note"].endswith("; this is an experiment, and it stays the champion")


@pytest.mark.parametrize("which", INCOMPARABLE)
def test_by_a_setting_for_one_run_it_is_replaced_without_a_comparison(project, models, which):
    set_champion(models[which])
    decision = run(project, *REPLACE)["decision"]
    assert decision["promote"] is True
    assert (decision["champion"], decision["champion_version"]) == (None, "1")
    assert INCOMPARABLE[which] in decision["note"]
    page = Page((project.evaluation / "report.html").read_text(encoding="utf-8")).text("li")
    assert decision["note"] in page


def test_even_then_a_model_that_loses_to_a_baseline_replaces_no_champion(project, models):
    set_champion(models["older"])
    settings(project, promotion={"floor": 0.001})
    assert run(project, *REPLACE)["decision"]["promote"] is False


def test_a_champion_whose_files_are_damaged_stops_the_step(project, models, capsys):
    set_champion(models["weak"], "0" * 64)
    line = fails(project, capsys)
    assert (
        f"its files are damaged, their sha256 is {champion.model_hash(models['weak'])[:12]} and was 000000000000"
        in line
    )


def test_a_champion_that_no_hash_was_recorded_for_is_compared(project, models):
    version = set_champion(models["weak"])
    mlflow.MlflowClient().delete_model_version_tag(MODEL_NAME, version, "sha256")
    assert run(project)["decision"]["champion"] == "champion v1"


def test_a_champion_whose_files_are_lost_stops_the_step_with_the_remedy(project, models, capsys, store):
    set_champion(models["weak"])
    shutil.rmtree(store.artifacts)
    line = fails(project, capsys)
    assert "version 1 of a-model cannot be fetched" in line
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
    assert drift["drifted"] == ["wind", "prediction"]
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
    assert "prediction" not in {each["feature"] for each in drift["results"]}


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


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "log_loss", "brier"])
def test_a_metric_of_probabilities_decides(late, name):
    settings(late, evaluation=BALANCED | {"metric": name}, promotion={"floor": 0.7 if "_loss" not in name else 0.5})
    if name == "brier":
        settings(late, evaluation=BALANCED | {"metric": name}, promotion={"floor": 0.25})
    written = run(late)
    assert written["decision"]["promote"] is True
    assert written["metrics"]["baselines"]["most_frequent"]["roc_auc"] == 0.5
    page = (late.evaluation / "report.html").read_text(encoding="utf-8")
    assert all(chart in page for chart in ("ROC curve of yes", "Precision and recall of yes", "Calibration of yes"))


def test_the_threshold_of_the_model_moves_its_classes_and_not_its_probabilities(late):
    settings(late, evaluation=BALANCED, promotion={"floor": 0.1})
    usual = run(late)["metrics"]["challenger"]
    champion.write_metadata(late.model, {"threshold": 0.999, "classes": ["no", "yes"]})
    strict = run(late)["metrics"]["challenger"]
    assert strict["roc_auc"] == usual["roc_auc"]
    assert strict["accuracy"] < usual["accuracy"]


@pytest.mark.parametrize("classes", [["on time", "delayed"], ["no", "late"]])
def test_a_champion_of_other_classes_stops_the_step(late, models, capsys, classes):
    set_champion(models["classes"])
    columns = CLASSIFICATION["columns"] | {"late": {"type": "category", "values": classes}}
    late.schema.write_text(yaml.safe_dump(CLASSIFICATION | {"columns": columns}, sort_keys=False), encoding="utf-8")
    settings(late, evaluation=BALANCED)
    for folder in (late.train, late.test):
        path = folder / "rows.parquet"
        frame = pd.read_parquet(path)
        renamed = frame["late"].map(dict(zip(["no", "yes"], classes, strict=True)))
        frame.assign(late=renamed).to_parquet(path)
    line = fails(late, capsys)
    assert f"champion v1 cannot be compared: it predicts no, yes, and late has {', '.join(classes)}" in line


def test_a_baseline_that_predicts_no_class_is_refused(late, capsys):
    settings(late, evaluation=BALANCED | {"baselines": ["weekend"]})
    assert "'weekend' has the value 'False', and late has the classes no, yes" in fails(late, capsys)


def test_the_report_names_the_threshold(late):
    settings(late, evaluation=BALANCED, promotion={"floor": 0.1}, training={"threshold": 0.3})
    run(late)
    page = (late.evaluation / "report.html").read_text(encoding="utf-8")
    assert "yes is predicted from a probability of 0.3 on (training.threshold)" in page


def test_rows_of_a_group_count_as_one_so_the_interval_is_wider(project, models):
    set_champion(models["weak"])
    single = run(project)["metrics"]["gain"]
    text = project.schema.read_text(encoding="utf-8")
    project.schema.write_text(text + "split: {group: hour}\n", encoding="utf-8")
    grouped = run(project)["metrics"]["gain"]
    assert grouped["gain"] == single["gain"]
    assert grouped["upper"] - grouped["lower"] > 1.5 * (single["upper"] - single["lower"])
    page = (project.evaluation / "report.html").read_text(encoding="utf-8")
    assert "from resampled groups of hour" in page


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
    frame = pd.read_parquet(folders.test / "rows.parquet")
    frame["given"] = mlflow.pyfunc.load_model(str(folders.model)).predict(frame.drop(columns="late")) == positive
    late = frame[frame["late"] == positive]
    return [each.groupby("carrier")["given"].mean().to_dict() for each in (frame, late)]


def test_a_classification_also_reports_who_gets_which_class(late):
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
        ({"positive": True}, "fairness.positive: 'True' is not a class; choose one of no, yes"),
        ({"cohorts": ["gate"]}, "fairness.cohorts: the data have no column 'gate'"),
    ],
)
def test_cohorts_that_the_data_do_not_have_stop_the_step_in_one_line(late, capsys, section, line):
    settings(late, evaluation=BALANCED, fairness={"cohorts": ["carrier"]} | section)
    assert line in fails(late, capsys)


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


@pytest.mark.usefixtures("drawn")
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
        (
            {"evaluation": {"baselines": ["gate"]}},
            "evaluation.baselines: 'gate' is neither mean, a suitable feature, nor a model of models.py",
        ),
        (
            {"evaluation": {"baselines": ["carrier"]}},
            "'carrier' is neither mean, a suitable feature, nor a model of models.py",
        ),
        ({"evaluation": {"slices": ["gate"]}}, "evaluation.slices: the data have no column 'gate'"),
        ({"evaluation": {"slices": "carrier"}}, "evaluation.slices: must be a list"),
        ({"evaluation": {"metric": "accuracy"}}, "'accuracy' is not a regression metric"),
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
