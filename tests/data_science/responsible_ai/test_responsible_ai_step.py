"""The step on a small type of data: which model it analyses, what it writes and logs, and what stops it."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pandas as pd
import pytest
import words_model
import yaml
from helpers import Folders, Page, module
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec
from mlflow.types import Schema as Columns

modality, split = module("core.modality"), module("core.split")
step = module("responsible_ai.__main__")

SCHEMA = {
    "target": "digit",
    "task": "classification",
    "columns": {
        "word": {"type": "text"},
        "digit": {"type": "category", "values": list(words_model.CLASSES)},
        "paper": {"type": "category", "role": "ignore"},
    },
}
SETTINGS = {
    "training": {"test_size": 0.5, "seed": 13, "hyperparameters": {}},
    "evaluation": {"metric": "accuracy"},
    "promotion": {"floor": 0.5, "confidence": 0.95},
    "fairness": {"cohorts": ["paper"], "worst": 0.7, "minimum_rows": 20},
    "responsible_ai": {"rows": 1000, "cohort_depth": 2, "minimum_rows": 20, "heat_map": ["paper", "number"]},
}


class Words:
    """A word per example, described by the number in it."""

    tasks = ("classification",)
    threads = rows_at_once = None
    suffixes = (".json",)

    def read(self, folder, schema):
        return modality.Examples(pd.read_json(folder / "words.json", dtype=False), folder)

    def convert(self, examples, schema):
        return examples

    def write(self, examples, folder, name):
        examples.frame.to_json(folder / "words.json", orient="records")

    def inputs(self, examples, columns):
        return examples.frame[list(columns)]

    def describe(self, examples, schema):
        frame = examples.frame
        return modality.Description(frame.assign(number=[float(word.split("-")[2]) for word in frame["word"]]), {})


def words(wrong: np.ndarray, seed: int = 0, paper: np.ndarray | None = None) -> pd.DataFrame:
    """Return rows in which the model is wrong where `wrong` says so."""
    random = np.random.default_rng(seed)
    actual = random.choice(words_model.CLASSES, len(wrong))
    said = np.where(wrong, np.where(actual == "one", "seven", "one"), actual)
    texts = [f"{a}-{b}-{x:.4f}" for a, b, x in zip(actual, said, random.random(len(wrong)), strict=True)]
    return pd.DataFrame({"word": texts, "digit": actual, "paper": papers(len(wrong)) if paper is None else paper})


def papers(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed + 99).choice(["white", "grey", "carbon"], rows, p=[0.5, 0.25, 0.25])


def planted(rows: int = 400) -> pd.DataFrame:
    """Return rows with the wrong labels on half of the carbon paper."""
    wrong = np.random.default_rng(3).random(rows) < np.where(papers(rows) == "carbon", 0.5, 0.03)
    return words(wrong)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folders:
    """The folders of a project of words, with planted errors."""
    outputs = ("train", "test", "model", "evaluation", "registration")
    made = Folders(tmp_path / "schema.yml", tmp_path / "model.yml", tmp_path, *(tmp_path / name for name in outputs))
    made.schema.write_text(yaml.safe_dump(SCHEMA, sort_keys=False), encoding="utf-8")
    set_up(made, planted())
    monkeypatch.setattr(step, "MODALITY", Words())
    return made


def set_up(folders: Folders, test: pd.DataFrame, **changes: object) -> None:
    """Write the rows and the settings, with other values in a section."""
    settings = {name: {**section, **(changes.get(name) or {})} for name, section in SETTINGS.items()}
    settings = {name: section for name, section in settings.items() if changes.get(name, {}) is not None}
    folders.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
    for folder, frame in ((folders.train, words(np.zeros(20, dtype=bool), 5)), (folders.test, test)):
        folder.mkdir(exist_ok=True)
        Words().write(modality.Examples(frame, folder), folder, "words")
    record().write(folders.test)


def record():
    return split.Split("hash", ("word",), ("text",), "mlops", 0.5)


def register(folders: Folders, promote: bool = True, embedding: bool = True, reason: str = "it is good") -> None:
    """Register a model, or refuse it."""
    params = ParamSchema([ParamSpec("embedding", "boolean", False)]) if embedding else None
    if not folders.model.exists():
        mlflow.pyfunc.save_model(
            str(folders.model),
            python_model=words_model.__file__,
            signature=ModelSignature(Columns([ColSpec("string", "word")]), params=params),
            metadata={split.METADATA: record().document(), "classes": list(words_model.CLASSES)},
            pip_requirements=["mlflow"],
        )
    met = module("core.champion").champion(mlflow.MlflowClient(), "digits")
    decision = {"promote": promote, "reasons": [reason], "champion_version": met and str(met.version)}
    folders.evaluation.mkdir(exist_ok=True)
    (folders.evaluation / "decision.json").write_text(json.dumps(decision), encoding="utf-8")
    module("register").main(["--model-name", "digits", *folders.arguments("model", "evaluation", "registration")])


def analyse(folders: Folders) -> dict:
    """Run the step; return its insights."""
    output = folders.model.parent / "dashboard"
    options = folders.arguments("registration", "train-data", "test-data", "schema", "settings")
    step.main([*options, "--dashboard", str(output)])
    assert (output / "dashboard.html").is_file()
    return json.loads((output / "insights.json").read_text(encoding="utf-8"))


def error_line(capsys: pytest.CaptureFixture[str], folders: Folders) -> str:
    with pytest.raises(SystemExit):
        analyse(folders)
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    return lines[0]


def test_a_group_with_wrong_labels_is_found_named_printed_and_logged(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    register(folders)
    found = analyse(folders)
    first = found["error_analysis"][0]
    assert first["rule"] == "paper is carbon"
    assert first["confirmed"]
    assert first["lower"] > first["others"]
    assert [each["name"].split("-")[0] for each in found["typical_errors"]] == [
        each["actual"] for each in found["typical_errors"]
    ]
    assert found["embedding"] == 3
    last = capsys.readouterr().out.strip().splitlines()[-1]
    assert last.startswith("digits version 1: ")
    assert last.endswith("rows are wrong; 1 group has more errors; 1 of 1 fairness limits broken")
    run = mlflow.search_runs(order_by=["start_time DESC"]).iloc[0]
    assert run["metrics.confirmed_cohorts"] == 1
    assert run["metrics.worst_cohort_error_rate"] == pytest.approx(first["rate"])
    files = [each.path for each in mlflow.MlflowClient().list_artifacts(run["run_id"])]
    assert sorted(files) == ["dashboard.html", "insights.json"]


def test_random_errors_are_not_reported_as_a_group(folders: Folders) -> None:
    set_up(folders, words(np.random.default_rng(8).random(400) < 0.1))
    register(folders)
    assert not any(each["confirmed"] for each in analyse(folders)["error_analysis"])
    page = Page((folders.model.parent / "dashboard" / "dashboard.html").read_text(encoding="utf-8"))
    assert "✓ No group stands out" in page.text("h2")


def test_the_same_rows_give_the_same_insights(folders: Folders) -> None:
    register(folders)
    assert analyse(folders) == analyse(folders)


@pytest.mark.parametrize("worst", [0.3, 0.7])
def test_fairness_is_what_the_gate_says_of_the_same_model(folders: Folders, worst: float) -> None:
    set_up(folders, planted(), fairness={"worst": worst})
    register(folders)
    found = analyse(folders)["fairness"]
    policy = module("core.promotion").Policy.from_settings(
        yaml.safe_load(folders.settings.read_text(encoding="utf-8")), "classification"
    )
    schema = module("core.schema").Schema.load(folders.schema)
    frame = planted()
    said = module("core.predictions").Predictions(np.array([word.split("-")[1] for word in frame["word"]]))
    cohorts = module("core.cohorts").score_cohorts(policy, schema, frame, frame["digit"].to_numpy(), said)
    checks = module("core.fairness").check_fairness
    decision = module("core.promotion").decide(policy, 0.9, cohorts=cohorts)
    assert found["holds"] is decision.promote is (worst == 0.3)
    assert found["reasons"] == [reason for each in cohorts for _, reason in checks(each)]
    assert [each["column"] for each in found["cohorts"]] == [each.column for each in cohorts]


def test_the_champion_is_analysed_when_the_challenger_was_refused(folders: Folders) -> None:
    register(folders)
    register(folders, promote=False)
    assert analyse(folders)["model"] == "digits version 1"
    register(folders)
    assert analyse(folders)["model"] == "digits version 2"
    mlflow.MlflowClient().set_model_version_tag("digits", "2", "rejected", "true")
    assert analyse(folders)["model"] == "digits version 1"


def test_without_a_registered_model_the_reason_is_one_line(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    register(folders, promote=False, reason="accuracy misses the floor")
    line = error_line(capsys, folders)
    wanted = "no version of digits is registered, so there is nothing to analyse: accuracy misses the floor"
    assert line == f"error: {wanted}"


def test_a_model_that_was_trained_on_held_out_rows_is_not_analysed(
    folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    register(folders)
    replace(record(), salt="another").write(folders.test)
    line = error_line(capsys, folders)
    assert line.startswith("error: there is nothing to analyse: champion v1 cannot be compared: its data were split")


def test_without_an_embedding_the_descriptions_are_analysed(folders: Folders) -> None:
    register(folders, embedding=False)
    found = analyse(folders)
    assert found["embedding"] == 0
    assert found["error_analysis"][0]["rule"] == "paper is carbon"
    assert {each["block"] for each in found["explanations"]["errors"]["importance"]} == {"paper", "number"}
    text = (folders.model.parent / "dashboard" / "dashboard.html").read_text(encoding="utf-8")
    assert "The model has no embedding" in text


def test_one_class_in_the_held_out_rows_is_analysed(folders: Folders) -> None:
    frame = planted()
    set_up(folders, frame[frame["digit"] == "one"].reset_index(drop=True))
    register(folders)
    assert analyse(folders)["error_analysis"]


@pytest.mark.parametrize("rows", [1, 2, 9])
def test_few_rows_confirm_nothing_and_are_no_error(folders: Folders, rows: int) -> None:
    set_up(folders, planted().head(rows))
    register(folders)
    found = analyse(folders)
    assert found["rows"] == rows
    assert not any(each["confirmed"] for each in found["error_analysis"])
    assert found["explanations"]["errors"]["note"]


def test_a_model_without_errors_has_nothing_to_look_for(folders: Folders) -> None:
    set_up(folders, words(np.zeros(100, dtype=bool)))
    register(folders)
    found = analyse(folders)
    assert found["error_analysis"] == found["typical_errors"] == []
    assert found["errors"] == 0


def test_the_number_of_rows_bounds_the_search_but_not_fairness(folders: Folders) -> None:
    set_up(folders, planted(), responsible_ai={"rows": 100})
    register(folders)
    found = analyse(folders)
    assert found["analysed"] == 100
    assert sum(each["rows"] for each in found["fairness"]["cohorts"][0]["cohorts"]) == 400


def test_without_limits_on_fairness_the_page_says_so(folders: Folders) -> None:
    set_up(folders, planted(), fairness=None)
    register(folders)
    assert analyse(folders)["fairness"] == {"holds": True, "reasons": [], "cohorts": []}
    text = (folders.model.parent / "dashboard" / "dashboard.html").read_text(encoding="utf-8")
    assert "The settings have no limits on fairness." in text


@pytest.mark.parametrize(
    ("section", "words"),
    [
        (None, "responsible_ai: this section is missing"),
        ({"rows": 10}, "responsible_ai.rows: 10 must be a number between 50 and 1e+06"),
        ({"cohort_depth": 9}, "responsible_ai.cohort_depth: 9 must be a number between 1 and 5"),
        ({"minimum_rows": "few"}, "responsible_ai.minimum_rows: 'few' must be a number between 4 and 100000"),
        ({"minimum_rows": 20.5}, "responsible_ai.minimum_rows: 20.5 must be an integer"),
        ({"depth": 3}, "responsible_ai.depth: unknown; the keys are heat_map, rows, cohort_depth, minimum_rows"),
        ({"heat_map": "paper"}, "responsible_ai.heat_map: must be two columns, such as [first, second], not 'paper'"),
        ({"heat_map": ["paper", "ink"]}, "responsible_ai.heat_map: the data have no column 'ink'"),
    ],
)
def test_a_wrong_setting_is_one_line(
    section: dict | None, words: str, folders: Folders, capsys: pytest.CaptureFixture[str]
) -> None:
    set_up(folders, planted(60), responsible_ai=section)
    register(folders)
    assert words in error_line(capsys, folders)


def test_of_predictions_that_are_texts_the_worst_quarter_counts_as_wrong():
    score = module("core.metrics").mean_metric("score", "score", True, lambda actual, given: given.values.astype(float))
    texts, predicted = SimpleNamespace(predicts_texts=True), module("core.predictions").Predictions(np.arange(8.0))
    wrong, meaning = step._errors(texts, score, np.zeros(8), predicted)
    assert wrong.tolist() == [True] * 2 + [False] * 6
    rows = "the 25% of the rows whose score is worst, 1.75 or worse"
    assert meaning == f"a prediction is a text, so {rows}, count as wrong"
    wrong, meaning = step._errors(SimpleNamespace(predicts_texts=False), score, np.arange(1, 9), predicted)
    assert (wrong.all(), meaning) == (True, "")
    with pytest.raises(module("core.step").StepError, match="score has no score for a single row; choose another one"):
        step._errors(texts, replace(score, rows=None), np.zeros(8), predicted)
