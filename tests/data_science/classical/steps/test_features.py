"""A column that features.py adds: the same in training, evaluation, drift, requests and batches; what is refused."""

import json
import textwrap

import mlflow
import numpy as np
import pytest
import yaml
from azureml.ai.monitoring.payload import PandasFrameData
from helpers import PACKAGE, REGRESSION, module, write_schema
from samples import flights, make_folders
from step_runs import (
    EVALUATE,
    MODEL_NAME,
    Production,
    batch,
    collect,
    load_script,
    prep_error,
    prepare,
    refused,
    run_prep,
)

features, champion, conversion = module("core.features"), module("core.champion"), module("conversion")
added_features, modality = module("added_features"), module("core.modality")
StepError, MODALITY = module("core.step").StepError, module("modality").MODALITY
check_settings = module("core.endpoint").check_settings

# What is added tells the model what the rows do not: the days to a date, and the number in a text.
CODE = """
    day = pd.to_datetime(frame["left"].str[:10])
    return frame.assign(
        weekday=day.dt.day_name(),
        load=pd.to_numeric(frame["cargo"].str.removesuffix(" kg")),
    )
"""
COLUMNS = {
    **REGRESSION["columns"],
    "left": {"type": "date", "format": "%d.%m.%Y", "role": "input"},
    "cargo": {"type": "text", "role": "input", "missing": 0.5},
}
ADDED = {
    "weekday": {"type": "category", "values": [f"{day}day" for day in ("Mon", "Tues", "Wednes", "Thurs", "Fri")]},
    "load": {"type": "number", "minimum": 0, "missing": 0.5},
}
SCHEMA = {**REGRESSION, "columns": COLUMNS, "features": ADDED}


def with_cargo(rows=200, seed=0):
    """Rows whose delay follows the text of a column, and the weekday of another."""
    random = np.random.default_rng(seed)
    frame = flights(rows, seed)
    load, day = random.integers(0, 100, rows), random.integers(0, 5, rows)
    return frame.assign(
        left=[f"{7 + each:02}.01.2013" for each in day],
        cargo=np.where(load < 5, None, [f"{each} kg" for each in load]),
        delay=frame["delay"] + load + 20.0 * (day == 4),
    )


def write_code(path, code):
    body = textwrap.indent(textwrap.dedent(code).strip("\n"), "    ")
    path.write_text(f"import pandas as pd\n\n\ndef add_features(frame):\n{body}\n", encoding="utf-8")


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write the features.py of the project."""
    monkeypatch.setattr(features, "PATH", tmp_path / "features.py")

    def write(code):
        write_code(features.PATH, code)

    write(CODE)
    return write


@pytest.fixture
def project(write, folders):
    """The small project with two added columns."""
    return make_folders_again(folders, SCHEMA, with_cargo())


@pytest.fixture(scope="module")
def learned_once(store, tmp_path_factory):
    """The same project after prep and train; to be copied."""
    root = tmp_path_factory.mktemp("learned")
    store.load()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "PATH", root / "features.py")
        write_code(features.PATH, CODE)
        made = make_folders(root, SCHEMA, with_cargo())
        prepare(made)
        train(made)
    store.save(root)
    return made


@pytest.fixture
def learned(project, learned_once, store):
    """The project with two added columns after prep and train."""
    store.load(learned_once.root)
    return learned_once.copy_to(project.root)


def make_folders_again(folders, schema, frame):
    for path in folders.raw.iterdir():
        path.unlink()
    folders.raw.rmdir()
    return make_folders(folders.root, schema, frame)


def train(project, model=None):
    module("train").main(project.arguments("train-data", "schema", "settings", "model"))
    return mlflow.pyfunc.load_model(str(project.model))


def schema_of(project):
    return module("core.schema").Schema.load(project.schema)


def request_of(frame):
    return json.dumps({"input_data": json.loads(frame.to_json(orient="split"))})


REQUEST = ["hour", "carrier", "wind", "left", "cargo"]


# --- everywhere


def test_prep_writes_the_added_columns_with_their_types(project):
    rows, _ = run_prep(project)
    assert set(rows["weekday"]) <= set(ADDED["weekday"]["values"])
    assert rows["load"].dtype == "float64"
    known = rows[rows["cargo"].notna()]
    assert (known["load"] == known["cargo"].str.split().str[0].astype(float)).all()
    assert rows["load"].isna().equals(rows["cargo"].isna())


def test_the_model_learns_from_the_added_columns_and_not_from_what_they_are_made_of(learned):
    model = mlflow.pyfunc.load_model(str(learned.model))
    assert model.metadata.get_input_schema().input_names() == ["hour", "carrier", "wind", "weekday", "load"]


def test_an_endpoint_takes_the_columns_of_the_files_and_answers_as_the_model_does_in_training(learned):
    model, script = mlflow.pyfunc.load_model(str(learned.model)), load_script(learned.model)
    rows = with_cargo(30, seed=3)
    examples = MODALITY.convert(modality.Examples(rows.astype({"wind": object}), learned.raw), schema_of(learned))
    expected = champion.model_predictions(model, MODALITY, examples).values.tolist()
    assert script.run(request_of(rows[REQUEST]))["predictions"] == pytest.approx(expected)
    alone = [script.run(request_of(rows[REQUEST].iloc[[place]]))["predictions"][0] for place in range(30)]
    assert alone == pytest.approx(expected)


def test_a_batch_scores_the_files_as_they_arrive(learned, tmp_path):
    script, rows = load_script(learned.model), with_cargo(30, seed=3)
    (tmp_path / "files").mkdir()
    rows.to_csv(tmp_path / "files" / "flights.csv", index=False)
    found = batch(script, tmp_path / "files")
    assert found["prediction"].tolist() == pytest.approx(script.run(request_of(rows[REQUEST]))["predictions"])


def test_the_request_of_the_smoke_test_has_the_columns_of_the_files(learned):
    request = module("core.endpoint").sample_request(MODALITY, learned.schema, learned.raw, 3)
    assert request["input_data"]["columns"] == REQUEST
    assert len(load_script(learned.model).run(json.dumps(request))["predictions"]) == 3


def test_a_request_whose_features_cannot_be_computed_is_refused_in_one_line(learned):
    script, rows = load_script(learned.model), with_cargo(3)[REQUEST]
    line = refused(script.run(request_of(rows.assign(cargo="much"))))
    assert line.startswith('features.py: line 8: ValueError: \'Unable to parse string "much"')
    assert refused(script.run(request_of(rows.drop(columns="cargo")))).startswith("missing columns: cargo (given: ")


def test_a_bad_row_of_a_batch_is_a_row_with_its_error(learned, tmp_path, monkeypatch):
    monkeypatch.setenv("MLOPS_BAD_FILES", "report")
    rows = with_cargo(4)
    rows.loc[2, "cargo"] = "much"
    (tmp_path / "files").mkdir()
    rows.to_csv(tmp_path / "files" / "flights.csv", index=False)
    found = batch(load_script(learned.model), tmp_path / "files").sort_values("row")
    assert found["error"].notna().tolist() == [False, False, True, False]
    assert "features.py: line 8" in found["error"].iloc[2]


def test_drift_compares_the_added_columns_and_not_what_they_are_made_of(project):
    prepare(project)
    production = Production(project)
    later = with_cargo(seed=1).assign(cargo="5000 kg")
    later.to_csv(production.folder / "flights.csv", index=False)
    with pytest.raises(SystemExit):
        production.check()
    assert {each["feature"] for each in production.found["results"]} == {"hour", "carrier", "wind", "weekday", "load"}
    assert production.found["drifted"] == ["load"]


def test_a_production_row_that_features_cannot_read_is_a_missing_value_and_no_alarm(project, capsys):
    prepare(project)
    production, later = Production(project), with_cargo(seed=1)
    later.loc[7, "cargo"] = "much"
    later.to_csv(production.folder / "flights.csv", index=False)
    production.check()
    assert production.found["drifted"] == []
    printed = capsys.readouterr().out
    assert f"the features of 1 row are missing: {features.PATH}: line 8: ValueError: 'Unable to parse" in printed


def test_production_rows_that_features_cannot_read_are_drift(project):
    prepare(project)
    production = Production(project)
    with_cargo(seed=1).assign(cargo="much").to_csv(production.folder / "flights.csv", index=False)
    with pytest.raises(SystemExit):
        production.check()
    assert production.found["drifted"] == ["weekday", "load"]


def test_slices_baselines_and_the_importance_know_the_added_columns(project):
    settings = yaml.safe_load(project.settings.read_text(encoding="utf-8"))
    settings["evaluation"] |= {"slices": ["weekday"], "baselines": ["load"]}
    settings["promotion"]["floor"] = 500.0
    project.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
    assert check_settings(MODALITY, project.schema, project.settings) == []
    prepare(project)
    train(project)
    module("evaluate").main([*project.arguments(*EVALUATE), "--model-name", MODEL_NAME])
    found = json.loads((project.evaluation / "metrics.json").read_text(encoding="utf-8"))
    assert list(found["baselines"]) == ["load"]
    assert {(each["column"], each["value"]) for each in found["slices"]} == {
        ("weekday", day) for day in ADDED["weekday"]["values"]
    }
    importance = {each["feature"]: each["mean"] for each in found["importance"]}
    assert importance["load"] > importance["wind"] > -1


def test_what_an_endpoint_collects_becomes_training_data_again(learned, monkeypatch, capsys):
    script, rows = load_script(learned.model), with_cargo(40, seed=5)
    _, inputs, _ = collect(script, monkeypatch, lambda: script.run(request_of(rows[REQUEST])))
    assert set(inputs) == {*REQUEST, "weekday", "load"}
    folder = learned.root / "collected"
    folder.mkdir()
    event = {"data": json.loads(PandasFrameData(inputs).to_json()), "correlationid": "one"}
    (folder / "instance.jsonl").write_text(f"{json.dumps(event)}\n", encoding="utf-8")
    outcomes = rows.drop(columns=REQUEST).assign(request_id="one", request_row=range(40))
    outcomes.to_csv(learned.root / "outcomes.csv", index=False)
    words = ["--outcomes", str(learned.root / "outcomes.csv"), "--schema", str(learned.schema)]
    module("join").main([*words, "--collected", str(folder), "--output", str(learned.raw / "later.jsonl")])
    assert sum(map(len, run_prep(learned))) == 240


# --- the next time


def test_a_model_keeps_its_features_when_the_file_is_another_one(learned, write):
    request = request_of(with_cargo(5)[REQUEST])
    before = load_script(learned.model).run(request)
    write("return frame.assign(weekday='Monday', load=0.0)")
    assert load_script(learned.model).run(request)["predictions"] == before["predictions"]
    features.PATH.unlink()
    assert load_script(learned.model).run(request)["predictions"] == before["predictions"]


def test_champion_and_challenger_are_compared_each_with_its_own_features(learned, write):
    old = mlflow.pyfunc.load_model(str(learned.model))
    examples = modality.load_examples(MODALITY, learned.test, schema_of(learned))
    before = champion.model_predictions(old, MODALITY, examples).values.tolist()
    module("register").create_version(
        mlflow.MlflowClient(), MODEL_NAME, learned.model, champion.model_hash(learned.model)
    )
    write('return frame.assign(weekday="Monday", distance=frame["cargo"].str.len().astype(float))')
    changed = {"weekday": {"type": "category"}, "distance": {"type": "number", "missing": 0.5}}
    document = {**SCHEMA, "features": changed}
    learned.schema.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    prepare(learned)
    new, schema = train(learned), schema_of(learned)
    examples = modality.load_examples(MODALITY, learned.test, schema)
    held_out = module("core.split").Split.read(learned.test)
    met = champion.meet_champion(MODEL_NAME, MODALITY, schema, held_out, examples)
    assert met.predictions[0].values.tolist() == before
    assert champion.model_predictions(new, MODALITY, examples).values.tolist() != before


def test_a_champion_whose_features_fail_on_new_rows_cannot_be_compared(learned, write):
    sha256 = champion.model_hash(learned.model)
    module("register").create_version(mlflow.MlflowClient(), MODEL_NAME, learned.model, sha256)
    document = {**REGRESSION, "columns": {**REGRESSION["columns"]}}
    schema = write_schema(document, learned.root)
    frame = module("tabular.data").convert(flights(50), schema)
    held_out = module("core.split").Split.read(learned.test)
    with pytest.raises(StepError, match=r"cannot score these rows \(.*left"):
        champion.meet_champion(MODEL_NAME, MODALITY, schema, held_out, modality.Examples(frame, learned.raw))


def test_a_new_feature_moves_no_row_between_training_and_test(project, write):
    before = run_prep(project)[1]["id"].tolist()
    write("return frame.assign(weekday='Monday', load=1.0, more=frame['hour'] * 2)")
    document = {**SCHEMA, "features": {**ADDED, "more": {"type": "integer"}}}
    project.schema.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    assert run_prep(project)[1]["id"].tolist() == before


@pytest.mark.parametrize(
    ("name", "column", "role"),
    [
        ("cargo", {"type": "text", "missing": 0.5}, "ignore"),
        ("left", {"type": "date", "format": "%d.%m.%Y"}, "ignore"),
        ("hour", REGRESSION["columns"]["hour"], "feature"),
    ],
)
def test_a_column_that_a_feature_is_made_of_moves_no_row_when_it_gets_that_role(project, write, name, column, role):
    write("return frame.assign(more=1 if len(frame) else 0)")
    found = []
    for each in (role, "input"):
        columns = {**REGRESSION["columns"], name: {**column, "role": each}}
        document = {**REGRESSION, "columns": columns, "features": {"more": {"type": "integer"}}}
        project.schema.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        found.append(schema_of(project).split)
    assert found[0] == found[1]


def test_rows_of_which_all_features_are_made_are_split_by_what_these_are_made_of(project, write):
    write("return frame.assign(load=frame['cargo'].str.len().astype(float))")
    columns = {name: SCHEMA["columns"][name] for name in ("left", "cargo", "delay")}
    document = {**SCHEMA, "columns": columns, "features": {"load": {"type": "number", "missing": 0.5}}}
    project.schema.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    train_rows, test_rows = run_prep(project)
    assert len(train_rows) > len(test_rows) > 0
    assert schema_of(project).split.columns == ("left", "cargo")


def test_a_model_without_added_columns_has_nothing_of_the_file(trained):
    metadata = mlflow.pyfunc.load_model(str(trained.model)).metadata.metadata
    assert added_features.METADATA not in metadata


def test_no_file_is_written_beside_a_model_that_runs_its_features(learned):
    before = champion.model_hash(learned.model)
    load_script(learned.model).run(request_of(with_cargo(2)[REQUEST]))
    assert champion.model_hash(learned.model) == before


# --- what is refused, by the lint and by prep alike

REFUSED = {
    "needs the target": (
        "return frame.assign(weekday='Monday', load=frame['delay'] / 2)",
        "line 5: KeyError: 'delay' is no column of a request: delay is what the model predicts",
    ),
    "needs the target as an attribute": (
        "return frame.assign(weekday='Monday', load=frame.delay / 2)",
        "line 5: AttributeError: ''DataFrame' object has no attribute 'delay'': delay is what the model predicts",
    ),
    "needs an ignored column": (
        "return frame.assign(weekday='Monday', load=frame['id'].str.len())",
        "line 5: KeyError: 'id' is no column of a request: give id the role input in ",
    ),
    "fewer rows": ("return frame.assign(weekday='Monday', load=1.0).head(3)", "must return the 200 rows that it gets"),
    "another order": (
        "return frame.assign(weekday='Monday', load=1.0).sort_values('hour')",
        "must return the 200 rows that it gets, in their order",
    ),
    "no table": ("return frame['hour']", "must return a DataFrame, not Series"),
    "nothing": ("frame['load'] = 1", "must return a DataFrame, not NoneType"),
    "an unlisted column": (
        CODE.replace("weekday=", "month=day.dt.month,\n        weekday="),
        "it adds month, which SCHEMA does not list: write `month: {type: integer}` under `features:`",
    ),
    "a column left out": ("return frame.assign(load=1.0)", "add_features does not return the column weekday"),
    "a changed column": (
        "return frame.assign(weekday='Monday', load=1.0, hour=frame['hour'] + 1)",
        "it changes or drops hour, a column of the data: give what it computes another name",
    ),
    "a dropped column": (
        "return frame.assign(weekday='Monday', load=1.0).drop(columns='hour')",
        "it changes or drops hour",
    ),
    "chance": (
        "import numpy as np\nreturn frame.assign(weekday='Monday', load=np.random.random(len(frame)))",
        "load: other values each time it is called",
    ),
    "the time": (
        "day = pd.to_datetime(frame['left'])\n"
        "return frame.assign(weekday='Monday', load=(pd.Timestamp.now() - day).dt.days.astype(float))",
        "line 6: now() makes another value in each request",
    ),
    "only NaN": ("return frame.assign(weekday='Monday', load=float('nan'))", "load: each value is missing"),
    "other rows": (
        "return frame.assign(weekday='Monday', load=frame['hour'] - frame['hour'].min())",
        "load: a row alone gets another value than among others",
    ),
    "the row before": (
        "return frame.assign(weekday='Monday', load=frame['hour'].shift(1))",
        "load: a row alone gets another value than among others",
    ),
    "the mean of all rows, kept from the first call": (
        "global mean\nmean = globals().get('mean', frame['hour'].mean())\n"
        "return frame.assign(weekday='Monday', load=frame['hour'] - mean)",
        "load: a row alone gets another value than among others",
    ),
    "a file of data": (
        "means = pd.read_csv('data/raw/flights.csv').groupby('carrier')['delay'].mean()\n"
        "return frame.assign(weekday='Monday', load=frame['carrier'].map(means))",
        "line 5: read_csv() reads what an endpoint does not have",
    ),
    "a file by its name": (
        "with open('means.txt') as file:\n    return frame.assign(weekday='Monday', load=float(file.read()))",
        "line 5: open() reads what an endpoint does not have",
    ),
    "another type": ("return frame.assign(weekday='Monday', load='much')", "load: 'much' is not a finite number"),
    "no function": ("return frame\n\ndel add_features", "there is no function add_features(frame)"),
    "code of the project": (
        f"from {PACKAGE}.core.step import StepError\n{textwrap.dedent(CODE).strip()}",
        f"it imports {PACKAGE}, of which an endpoint has nothing",
    ),
    "a file beside it": (
        "from . import conversion\nreturn frame",
        "ImportError: 'attempted relative import with no known",
    ),
    "a module that is not there": ("import not_there\nreturn frame", "ModuleNotFoundError: 'No module named"),
}


@pytest.mark.parametrize(("code", "line"), REFUSED.values(), ids=REFUSED)
def test_the_lint_and_prep_say_what_is_wrong_with_features(project, write, capsys, code, line):
    if code.endswith("del add_features"):
        features.PATH.write_text("def add(frame):\n    return frame\n", encoding="utf-8")
    else:
        write(code)
    line = line.replace("SCHEMA", str(project.schema))
    found = check_settings(MODALITY, project.schema, project.settings)
    assert [each for each in found if line in each], found
    assert all(each.startswith(f"{features.PATH}: ") for each in found)
    assert line in prep_error(project, capsys)


def test_features_that_fail_where_the_schema_allows_missing_values_are_named_although_the_data_have_none(
    project, write
):
    full = with_cargo().assign(cargo="3 kg", wind=1.0)
    full.to_csv(project.raw / "flights.csv", index=False)
    write("return frame.assign(weekday='Monday', load=[float(each.split()[0]) for each in frame['cargo']])")
    [line] = check_settings(MODALITY, project.schema, project.settings)
    assert f"where wind, cargo are missing, which {project.schema} allows: line 5: AttributeError" in line


@pytest.mark.parametrize(
    ("added", "line"),
    [
        ({"load": {"type": "number", "minimum": 50, "missing": 0.5}}, "load: "),
        ({"load": {"type": "number"}}, "load: "),
        ({"weekday": {"type": "category", "values": ["Monday"]}}, "weekday: "),
    ],
    ids=["too small", "missing", "not among the values"],
)
def test_the_lint_and_prep_hold_the_added_columns_to_their_limits(project, capsys, added, line):
    document = {**SCHEMA, "features": {**ADDED, **added}}
    project.schema.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    expected = f"{features.PATH}: what it adds does not fit {project.schema}: {line}"
    assert expected in prep_error(project, capsys)
    [found] = check_settings(MODALITY, project.schema, project.settings)
    assert found.startswith(expected)


def test_the_lint_which_reads_some_rows_leaves_a_share_of_missing_values_to_prep(project, capsys):
    document = {**SCHEMA, "features": {**ADDED, "load": {"type": "number", "missing": 0.0001}}}
    project.schema.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    assert "more than the allowed" in prep_error(project, capsys)
    assert check_settings(MODALITY, project.schema, project.settings) == []


def test_features_that_add_a_column_without_a_list_are_named(write, folders):
    write("return frame.assign(double=2 * frame['hour'])")
    [line] = check_settings(MODALITY, folders.schema, folders.settings)
    assert "it adds double, which" in line
    write("return frame")
    assert check_settings(MODALITY, folders.schema, folders.settings) == []


def test_the_lint_tries_no_features_on_data_that_are_not_here(project, write):
    for path in project.raw.iterdir():
        path.unlink()
    write("return None")
    assert check_settings(MODALITY, project.schema, project.settings) == []


def test_a_project_without_the_file_says_that_its_type_of_data_has_none(project):
    features.PATH.unlink()
    [line] = check_settings(MODALITY, project.schema, project.settings)
    assert "features: this type of data has no features.py; leave them out" in line


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"features": None}, "column 'left': an input is not for the model: list what features.py makes of it"),
        ({"features": []}, "features: give them as `name: {type: ...}` lines"),
        ({"features": {"hour": {"type": "integer"}}}, "features: 'hour': the data have a column of this name"),
        ({"features": {"load": {"type": "date", "role": "ignore"}}}, "features: 'load': it is for the model: no date"),
        ({"features": {"load": {"type": "number", "role": "ignore"}}}, "its role is feature or calendar"),
        ({"features": {"load": {"type": "number", "thousands": ","}}}, "thousands and decimal are for the files"),
        ({"features": {"load": {"type": "numbr"}}}, "column 'load': type 'numbr' is unknown"),
    ],
)
def test_a_wrong_list_of_features_is_named(tmp_path, change, line):
    with pytest.raises(StepError, match="schema") as error:
        write_schema({**SCHEMA, **change}, tmp_path)
    assert line in str(error.value)
