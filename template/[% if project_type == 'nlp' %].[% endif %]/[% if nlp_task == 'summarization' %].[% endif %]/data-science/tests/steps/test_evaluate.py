"""The step evaluate: the shared gate promotes a better model of summaries, refuses a worse one, and reports both."""

import json
import re
import shutil
from dataclasses import replace

import mlflow
import pytest
import yaml
from helpers import Page, module
from samples import LETTERS, SCHEMA, SETTINGS, make_folders, table

prep, evaluate, register = module("prep"), module("evaluate"), module("register")
champion, modality = module("core.champion"), module("modality").MODALITY
NAME = "gists"


def write_model(folders, folder, examples, schema):
    folder.mkdir()
    modality.fit(examples, schema, SETTINGS["training"]).save(examples, folder)
    held_out = module("core.split").Split.read(folders.train)
    champion.write_metadata(folder, {"split": held_out.document(), "texts": True})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project after prep, with a model that learned its texts, and one that learned to take the first sentences."""
    root = tmp_path_factory.mktemp("project")
    settings = SETTINGS | {"promotion": SETTINGS["promotion"] | {"floor": 0.3, "beat_baselines": True}}
    settings["evaluation"] = SETTINGS["evaluation"] | {"slices": ["channel", "words"]}
    settings["fairness"] = {"cohorts": ["channel"], "worst": 0.2, "minimum_rows": 10}
    made = make_folders(root, SCHEMA, table(300), settings)
    prep.main(made.arguments("raw-data", "schema", "settings", "train-data", "test-data"))
    schema = module("core.schema").Schema.load(made.schema, modality.tasks)
    examples = module("core.modality").load_examples(modality, made.train, schema)
    write_model(made, root / "strong", examples, schema)
    first = examples.frame.assign(gist=[text.split(".")[0] for text in examples.frame["text"]])
    write_model(made, root / "weak", replace(examples, frame=first), schema)
    return root


@pytest.fixture
def project(folders, root):
    """The same in the folders of this test."""
    for path in (folders.schema, folders.settings):
        shutil.copyfile(root / path.name, path)
    for path in (folders.train, folders.test):
        shutil.copytree(root / "out" / path.name, path)
    return folders


def change(project, section, **values):
    settings = yaml.safe_load(project.settings.read_text(encoding="utf-8"))
    settings[section] |= values
    project.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")


def judged(project, model, *options):
    """Evaluate a model; return the decision and the report."""
    shutil.copytree(model, project.model, dirs_exist_ok=True)
    names = ("model", "train-data", "test-data", "schema", "settings", "evaluation")
    evaluate.main([*project.arguments(*names), "--model-name", NAME, *options])
    decision = json.loads((project.evaluation / "decision.json").read_text(encoding="utf-8"))
    return decision, (project.evaluation / "report.html").read_text(encoding="utf-8")


def metrics(project):
    return json.loads((project.evaluation / "metrics.json").read_text(encoding="utf-8"))


def set_champion(folder):
    return register.create_version(mlflow.MlflowClient(), NAME, folder, champion.model_hash(folder))


def test_the_first_model_is_promoted_by_floor_lead_and_cohorts(project, root):
    decision, report = judged(project, root / "strong")
    assert decision["promote"] is True, decision
    assert "the floor, the baselines and the limits on cohorts decide" in " ".join(decision["reasons"])
    found = metrics(project)
    assert found["metric"] == "rougeL"
    assert set(found["challenger"]) == {"rouge1", "rouge2", "rougeL"}
    assert found["challenger"]["rougeL"] > found["baselines"]["lead"]["rougeL"]
    assert {each["column"] for each in found["slices"]} == {"channel", "words"}
    page = Page(report)
    assert "Scores of the rows" in page.text("h2")
    assert "Right and wrong classes" not in page.text("h2")
    assert "Summaries by length of the text" in page.text("h2")


def test_a_model_that_is_no_better_than_the_first_sentences_is_refused(project, root):
    change(project, "promotion", floor=0.0)
    decision, _ = judged(project, root / "weak")
    assert decision["promote"] is False
    assert "over the baseline lead" in " ".join(decision["reasons"])


def test_a_better_model_replaces_the_champion(project, root):
    set_champion(root / "weak")
    decision, _ = judged(project, root / "strong")
    assert (decision["promote"], decision["champion"]) == (True, "champion v1")


def test_a_worse_model_is_refused_and_that_is_no_error(project, root):
    set_champion(root / "strong")
    change(project, "promotion", floor=0.0, beat_baselines=False)
    decision, _ = judged(project, root / "weak")
    assert decision["promote"] is False
    assert "the gain in rougeL over the champion is -0." in " ".join(decision["reasons"])


def test_a_cohort_whose_summaries_are_bad_stops_a_model(project, root):
    change(project, "fairness", worst=0.99)
    decision, _ = judged(project, root / "strong")
    assert decision["promote"] is False
    assert "cohort channel=" in " ".join(decision["reasons"])


def test_the_length_of_the_summaries_joins_the_drift(project, root, tmp_path):
    production = tmp_path / "production"
    production.mkdir()
    rows = table(80, seed=5)[["text"]]
    rows["text"] = [" ".join(text.split(". ")[0] for text in rows["text"][:9])] * 80
    rows.to_csv(production / "later.csv", index=False)
    judged(project, root / "strong", "--production-data", str(production))
    found = json.loads((project.evaluation / "drift.json").read_text(encoding="utf-8"))
    assert "length of prediction" in found["drifted"]
    assert "prediction" not in {each["feature"] for each in found["results"]}


@pytest.mark.parametrize("shown", [True, False])
def test_no_text_leaves_the_step_where_examples_are_switched_off(project, root, shown, capsys):
    change(project, "evaluation", examples=shown)
    _, report = judged(project, root / "strong")
    found = (project.evaluation / "metrics.json").read_text(encoding="utf-8")
    assert ("Examples of summaries" in report) is shown
    schema = module("core.schema").Schema.load(project.schema, modality.tasks)
    frame = module("core.modality").load_examples(modality, project.test, schema).frame
    for texts in (frame["text"], frame["gist"]):
        beginnings = [text[:30] for text in texts]
        assert any(text in re.sub("<[^>]+>", "", report) for text in beginnings) is shown
        printed = capsys.readouterr()
        assert not any(text in found + printed.out + printed.err for text in beginnings)


def test_own_texts_in_another_script_need_nothing_but_schema_and_settings(tmp_path, folders):
    (tmp_path / "own").mkdir()
    names = {"gist": "abstract", "channel": "desk"}
    columns = {names.get(name, name): column for name, column in SCHEMA["columns"].items()}
    settings = SETTINGS | {"promotion": SETTINGS["promotion"] | {"beat_baselines": True}}
    settings["evaluation"] = SETTINGS["evaluation"] | {"slices": ["desk"]}
    schema = {**SCHEMA, "target": "abstract", "columns": columns}
    for script in set(LETTERS) - {"latin"}:
        shutil.rmtree(tmp_path / "own")
        (tmp_path / "own").mkdir()
        made = make_folders(tmp_path / "own", schema, table(200, script=script).rename(columns=names), settings)
        prep.main(made.arguments("raw-data", "schema", "settings", "train-data", "test-data"))
        module("train").main(made.arguments("train-data", "schema", "settings", "model"))
        options = made.arguments("model", "train-data", "test-data", "schema", "settings", "evaluation")
        evaluate.main([*options, "--model-name", NAME])
        decision = json.loads((made.evaluation / "decision.json").read_text(encoding="utf-8"))
        assert decision["promote"] is True, (script, decision)
