"""What the lint knows of Azure ML's Responsible AI components: seeded errors in copies of the shipped pipeline."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from seeded import ROOT, assert_named, copied

from mlops.config import Project
from mlops.lint import Finding, lint_files
from mlops.local import drafts
from mlops.local.adaptation import adapted
from mlops.responsible_ai.components import COMPONENTS, VERSION
from mlops.yaml_text import removed

GATHERED = "insight_4: ${{parent.jobs.causes.outputs.causal}}"
RANGE = "desired_range: ${{parent.inputs.desired_range}}"
UX = "      ux_json:\n        mode: upload\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A copy of the project's definitions and of what they refer to."""
    return copied(tmp_path / "project", "mlops/aml-cli-v2")


def edit(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text, f"{old!r} no longer stands in {path.name}"
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")


def findings(project: Project) -> list[Finding]:
    return lint_files([project.definitions / "pipeline.yml"], project)


def classified(project: Project, *classes: str) -> None:
    """Turn the example into a classification, with all that the lint then asks for."""
    edit(
        project.schema,
        ("task: regression", "task: classification"),
        (
            "arr_delay: {type: integer, minimum: -120, maximum: 1500",
            f"arr_delay: {{type: category, values: {[*classes]}",
        ),
    )
    edit(
        project.definitions / "pipeline.yml",
        ("task_type: regression", "task_type: classification"),
        ("  desired_range: '[-60, 15]'\n", ""),
        (RANGE, "desired_class: opposite"),
    )


SEEDS = [
    # The address of the component.
    (
        "an older version",
        "rai_tabular_causal/versions/0.22.0",
        "rai_tabular_causal/versions/0.21.0",
        f"write {VERSION}",
    ),
    ("no version", "rai_tabular_causal/versions/0.22.0", "rai_tabular_causal/labels/latest", f"write {VERSION}"),
    ("a wrong name", "rai_tabular_erroranalysis", "rai_tabular_error_analysis", "component rai_tabular_erroranalysis"),
    (
        "the old prefix",
        "rai_tabular_explanation",
        "microsoft_azureml_rai_tabular_explanation",
        "explain.component write",
    ),
    (
        "the old registry",
        "registries/azureml/components/rai_tabular_causal",
        "registries/AzureML-RAI-preview/components/rai_tabular_causal",
        "causes.component write",
    ),
    (
        "another registry",
        "registries/azureml/components/rai_tabular_score",
        "registries/mine/components/rai_tabular_score",
        "score_card.component write",
    ),
    ("an image component", "rai_tabular_explanation", "rai_vision_insights", "explain.component removed 2025"),
    # Inputs and outputs.
    ("an unknown input", "treatment_features: $", "treatments: $", "causes.inputs.treatments has no input"),
    (
        "a missing input",
        "      treatment_features: ${{parent.inputs.treatments}}\n",
        "",
        "causes.inputs treatment_features missing",
    ),
    (
        "a missing comment",
        "      comment: How much each feature moves the prediction\n",
        "",
        "explain.inputs comment missing",
    ),
    (
        "a missing constructor",
        "      constructor: ${{parent.jobs.insights.outputs.rai_insights_dashboard}}\n",
        "",
        "gather.inputs constructor",
    ),
    ("a wrong choice", "random_state: '13'", "nuisance_model: forest", "causes.inputs.nuisance_model linear, automl"),
    ("a wrong task", "task_type: regression", "task_type: forecast", "task_type not one of"),
    ("text for a number", "min_child_samples: 5", "min_child_samples: few", "min_child_samples integer is expected"),
    ("a fraction of a row", "min_child_samples: 5", "min_child_samples: 2.5", "min_child_samples integer is expected"),
    ("a tree without depth", "min_child_samples: 5", "max_depth: 0", "max_depth less than the minimum 1"),
    ("a confidence above one", "random_state: '13'", "alpha: 5", "causes.inputs.alpha greater than the maximum 1"),
    ("text for a switch", "random_state: '13'", "skip_cat_limit_checks: sometimes", "boolean is expected"),
    (
        "text for a folder",
        "model_info_path: ${{parent.jobs.analysis.outputs.model_info}}",
        "model_info_path: flight-delays:1",
        "model_info_path path is expected",
    ),
    (
        "an unknown output of ours",
        "analysis.outputs.train_sample",
        "analysis.outputs.train_rows",
        "train_dataset no output train_sample",
    ),
    (
        "an unknown output of theirs",
        "explain.outputs.explanation",
        "explain.outputs.explanations",
        "insight_1 no output explanation",
    ),
    (
        "an output that it does not write",
        "      scorecard: $",
        "      score_card: $",
        "score_card.outputs.score_card no output scorecard",
    ),
    (
        "a model by its version alone",
        "model_info_path: ${{parent.jobs.analysis.outputs.model_info}}",
        "model_info: flight-delays:1",
        "model_info_path bind",
    ),
    (
        "another model for the tools",
        "model_info_path: ${{parent.jobs.analysis.outputs.model_info}}",
        "model_info: flight-delays:1\n      model_input: ${{parent.jobs.train.outputs.model}}",
        "model_info_path bind",
    ),
    # Values that have to fit the data.
    ("the task of other data", "task_type: regression", "task_type: classification", "inputs.task_type regression"),
    ("an unknown target", "target: arr_delay", "target: delay", "inputs.target arr_delay"),
    ("a category that is none", '"origin", "dest"]', '"origin", "hour"]', "inputs.categories are to be named dest"),
    ("a category left out", '"origin", "dest"]', '"origin"]', "inputs.categories are to be named dest"),
    (
        "categories left out",
        "      categorical_column_names: ${{parent.inputs.categories}}\n",
        "",
        "categorical_column_names are to be named",
    ),
    (
        "categories that are no JSON",
        """'["carrier", "origin", "dest"]'""",
        "carrier, origin",
        "inputs.categories are to be named",
    ),
    (
        "a treatment that is no column",
        """treatments: '["dep_delay"]'""",
        """treatments: '["departure_delay"]'""",
        "inputs.treatments no feature dep_delay",
    ),
    (
        "a treatment that is ignored",
        """treatments: '["dep_delay"]'""",
        """treatments: '["tailnum"]'""",
        "inputs.treatments no feature",
    ),
    (
        "the target as its own treatment",
        """treatments: '["dep_delay"]'""",
        """treatments: '["arr_delay"]'""",
        "inputs.treatments no feature",
    ),
    (
        "a treatment that is no JSON",
        """treatments: '["dep_delay"]'""",
        "treatments: dep_delay",
        "inputs.treatments JSON",
    ),
    ("no treatment", """treatments: '["dep_delay"]'""", "treatments: '[]'", "inputs.treatments JSON"),
    ("a treatment twice", """'["dep_delay"]'""", """'["dep_delay", "dep_delay"]'""", "inputs.treatments twice"),
    (
        "an effect by an unknown column",
        "random_state: '13'",
        """heterogeneity_features: '["altitude"]'""",
        "heterogeneity_features no feature",
    ),
    ("a seed in words", "random_state: '13'", "random_state: thirteen", "random_state integer"),
    ("a cost in words", "random_state: '13'", "treatment_cost: cheap", "treatment_cost number"),
    (
        "categories on the command line",
        "random_state: '13'",
        """categories: '["a"]'""",
        "causes.inputs.categories auto",
    ),
    ("a range that is no JSON", "'[-60, 15]'", "-60 to 15", "inputs.desired_range two numbers"),
    ("a range upside down", "'[-60, 15]'", "'[15, -60]'", "inputs.desired_range smaller one first"),
    ("no range", f"      {RANGE}\n", "", "what_if.inputs.desired_range a regression needs"),
    (
        "a class of a regression",
        RANGE,
        "desired_class: opposite",
        "what_if.inputs.desired_range a regression needs not desired_class",
    ),
    (
        "a class beside the range",
        RANGE,
        f"{RANGE}\n      desired_class: opposite",
        "desired_class is not for a regression",
    ),
    ("an unknown feature to vary", '"hour", "dep_delay"]', '"hour", "delay"]', "inputs.features_to_vary no feature"),
    (
        "a limit for an unknown feature",
        RANGE,
        RANGE + """\n      permitted_range: '{"hours": [6, 20]}'""",
        "permitted_range no feature hour",
    ),
    ("a limit that is a list", RANGE, f"{RANGE}\n      permitted_range: '[6, 20]'", "permitted_range mapping in JSON"),
    ("too few counterfactuals", RANGE, f"{RANGE}\n      total_CFs: 5", "what_if.inputs.total_CFs 10 or more"),
    (
        "three features of a heat map",
        "min_child_samples: 5",
        """filter_features: '["hour", "origin", "dest"]'""",
        "filter_features two",
    ),
    (
        "an apostrophe",
        "How much each feature moves the prediction",
        "The model's reasons",
        "explain.inputs.comment apostrophe",
    ),
    # How they are put together.
    ("an insight that is not gathered", f"      {GATHERED}\n", "", "jobs.causes nothing gathers"),
    (
        "an insight twice",
        GATHERED,
        "insight_4: ${{parent.jobs.explain.outputs.explanation}}",
        "insight_4 insight_1 already",
    ),
    (
        "a constructor as an insight",
        GATHERED,
        "insight_4: ${{parent.jobs.insights.outputs.rai_insights_dashboard}}",
        "insight_4 an output of",
    ),
    (
        "rows as an insight",
        "rai_insights_dashboard: ${{parent.jobs.insights.outputs.rai_insights_dashboard}}",
        "rai_insights_dashboard: ${{parent.jobs.analysis.outputs.test_sample}}",
        "explain.inputs.rai_insights_dashboard insight_constructor is expected",
    ),
    (
        "the data of the studio as a dashboard",
        "gather.outputs.dashboard",
        "gather.outputs.ux_json",
        "score_card.inputs.dashboard not ux_json",
    ),
    (
        "a mounted dashboard",
        "  dashboard:\n    type: uri_folder\n    mode: upload",
        "  dashboard:\n    type: uri_folder",
        "outputs.dashboard mode: upload",
    ),
    (
        "a mounted score card",
        "  score_card:\n    type: uri_folder\n    mode: upload",
        "  score_card:\n    type: uri_folder\n    mode: rw_mount",
        "outputs.score_card mode: upload",
    ),
    ("mounted data of the studio", UX, "", "gather.outputs.ux_json mode: upload"),
]


@pytest.mark.parametrize(("old", "new", "words"), [pytest.param(*seed, id=name) for name, *seed in SEEDS])
def test_the_lint_names(old: str, new: str, words: str, project: Project) -> None:
    edit(project.definitions / "pipeline.yml", (old, new))
    assert_named(findings(project), words.split())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([], "desired_class of more than two classes it is a number: 1 for late"),
        ([("desired_class: opposite", "desired_class: late")], "desired_class 0 for early"),
        ([("desired_class: opposite", "desired_class: '3'")], "desired_class 2 for on time"),
        ([], "jobs.causes: two classes at most"),
        ([], "jobs.score_card: more than two classes"),
    ],
)
def test_more_than_two_classes_are_beyond_some_components(
    changes: list[tuple[str, str]], words: str, project: Project
) -> None:
    classified(project, "early", "on time", "late")
    edit(project.definitions / "pipeline.yml", *changes)
    lines = [str(finding) for finding in findings(project)]
    assert any(all(word in line for word in words.split()) for line in lines), lines


def test_a_target_of_true_and_false_has_no_counterfactuals(project: Project) -> None:
    classified(project, "early", "late")
    edit(project.schema, ("arr_delay: {type: category, values: ['early', 'late']", "arr_delay: {type: boolean"))
    assert [finding.where for finding in findings(project)] == ["jobs.what_if.inputs.desired_class"]


def test_a_target_with_a_space_breaks_the_command(project: Project) -> None:
    edit(project.schema, ("target: arr_delay", "target: arr delay"), ("  arr_delay:", "  arr delay:"))
    edit(project.definitions / "pipeline.yml", ("target: arr_delay", "target: arr delay"))
    assert [finding.where for finding in findings(project)] == ["inputs.target"]


@pytest.mark.parametrize(
    "changes",
    [
        [],
        [("      random_state: '13'\n", "")],
        [('features_to_vary: \'["carrier", "hour", "dep_delay"]\'', "features_to_vary: all")],
        [(RANGE, RANGE + "\n      total_CFs: 4\n      feature_importance: false")],
        [(RANGE, RANGE + "\n      permitted_range: '{\"hour\": [6, 20]}'")],
        [("min_child_samples: 5", 'filter_features: \'["origin", "hour"]\'')],
        [("random_state: '13'", "heterogeneity_features: 'null'\n      treatment_cost: '[1, 2]'")],
        [("title: ${{parent.inputs.title}}", "title: What it does"), ("  title: ", "  # title: ")],
        [
            ("rai_tabular_score_card", "some_other_card"),
            ("registries/azureml/components/some", "registries/us/components/some"),
        ],
    ],
    ids=lambda changes: changes[0][1][:30].strip() if changes else "as shipped",
)
def test_what_is_right_passes(changes: list[tuple[str, str]], project: Project) -> None:
    edit(project.definitions / "pipeline.yml", *changes)
    assert findings(project) == []


def test_a_pipeline_with_fewer_insights_passes(project: Project) -> None:
    path = project.definitions / "pipeline.yml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    for job, insight in {"causes": "insight_4", "what_if": "insight_3"}.items():
        del document["jobs"][job], document["jobs"]["gather"]["inputs"][insight]
    for name in ("treatments", "desired_range", "features_to_vary"):
        del document["inputs"][name]
    path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    assert findings(project) == []


@pytest.mark.parametrize("desired", ["opposite", "1"])
def test_a_classification_passes(desired: str, project: Project) -> None:
    classified(project, "early", "late")
    edit(project.definitions / "pipeline.yml", ("desired_class: opposite", f"desired_class: '{desired}'"))
    assert findings(project) == []


def test_the_shipped_pipeline_uses_every_component() -> None:
    text = (ROOT / "mlops" / "aml-cli-v2" / "pipeline.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"azureml://registries/\S+", text)) == set(COMPONENTS)


def test_the_analysis_has_the_columns_that_features_adds_and_not_what_they_are_made_of(project: Project) -> None:
    edit(project.schema, ("tailnum: {type: text, role: ignore", "tailnum: {type: text, role: input"))
    added = "features:\n  weekday: {type: category}\n  load: {type: number}\n"
    project.schema.write_text(project.schema.read_text(encoding="utf-8") + added, encoding="utf-8")
    [found] = findings(project)
    assert "the categories of data/schema.yml are to be named: write " in found.message
    assert "weekday" in found.message
    assert "tailnum" not in found.message
    assert "load" not in found.message


# --- what `mlops schema --accept` writes


def bills(path: Path, target: str, value: Callable[[int], object]) -> Path:
    """Write a table of other columns than those of the sample, the last of which follows from the others."""
    rows = (
        f"{n},{1 + n % 28}.{1 + n % 12}.2023,{'ab'[n % 2]},{n % 7},{n % 13},{value(n % 7 + n % 13)}\n"
        for n in range(200)
    )
    path.write_text(f"id,since,sort,amount,weight,{target}\n" + "".join(rows), encoding="utf-8")
    return path


def accepted(project: Project, file: Path) -> tuple[dict[str, Any], str]:
    """Draft the schema of a file and accept it; return the pipeline, and as text."""
    drafts.write_draft(project, [file], accepted=True)
    drafts.accept(project)
    text = (project.definitions / "pipeline.yml").read_text(encoding="utf-8")
    return yaml.safe_load(text), text


@pytest.fixture
def whole(project: Project) -> Project:
    """The project with its data."""
    for name in ("raw", "production"):
        shutil.copytree(ROOT / "data" / name, project.data / name)
    return project


def test_an_accepted_regression_needs_no_edit_of_the_pipeline(
    whole: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (whole.definitions / "pipeline.yml").read_bytes()
    document, text = accepted(whole, bills(tmp_path / "bills.csv", "paid", lambda n: n + 0.5))
    assert findings(whole) == []
    inputs = document["inputs"]
    assert (inputs["task_type"], inputs["target"], inputs["categories"]) == ("regression", "paid", '["sort"]')
    assert (inputs["desired_range"], inputs["treatments"]) == ("[0.5, 9.5]", '["amount"]')
    assert (whole.data / "before" / "1" / "mlops" / "aml-cli-v2" / "pipeline.yml").read_bytes() == before
    assert [line for line in before.decode().splitlines() if "# " in line] == [
        line for line in text.splitlines() if "# " in line
    ]
    assert "mlops/aml-cli-v2/pipeline.yml" in capsys.readouterr().out


def test_an_accepted_classification_asks_what_would_change_the_class(whole: Project, tmp_path: Path) -> None:
    document, _ = accepted(whole, bills(tmp_path / "bills.csv", "paid", lambda n: "late" if n > 9 else "soon"))
    assert findings(whole) == []
    assert "desired_range" not in document["inputs"]
    assert document["jobs"]["what_if"]["inputs"]["desired_class"] == "opposite"


def test_what_knows_two_classes_at_most_is_left_out_for_three_and_named(
    whole: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = bills(tmp_path / "bills.csv", "paid", lambda n: ["early", "soon", "late"][n // 7])
    document, _ = accepted(whole, file)
    assert findings(whole) == []
    assert set(document["jobs"]) & {"causes", "score_card"} == set()
    assert "score_card" not in document["outputs"]
    assert "pipeline.yml: causes, score_card are left out" in capsys.readouterr().out


def test_accepting_the_schema_of_the_sample_changes_no_line_of_the_pipeline(whole: Project) -> None:
    path = whole.definitions / "pipeline.yml"
    before = path.read_bytes()
    assert adapted(path, [1.0, 2.0]).encode() == before


def test_a_pipeline_that_cannot_be_edited_stays_and_the_schema_is_accepted(
    whole: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> str:
        raise yaml.YAMLError("an anchor")

    path = whole.definitions / "pipeline.yml"
    before = path.read_bytes()
    monkeypatch.setattr("mlops.local.adaptation.adapted", broken)
    accepted(whole, bills(tmp_path / "bills.csv", "paid", lambda n: n + 0.5))
    assert path.read_bytes() == before
    line = "look at: pipeline.yml: cannot be edited for you (an anchor): `uv run mlops lint` says what to edit"
    assert line in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("shared", ["{target}", "*column"])
def test_a_pipeline_with_an_anchor_stays_and_the_remark_names_the_line_and_what_to_do(
    whole: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str], shared: str
) -> None:
    path = whole.definitions / "pipeline.yml"
    text = path.read_text(encoding="utf-8")
    target = yaml.safe_load(text)["inputs"]["target"]
    text = text.replace(f"  target: {target}\n", f"  target: &column {target}\n")
    text = text.replace("target_column_name: ${{parent.inputs.target}}", f"target_column_name: {shared}", 1)
    path.write_text(text.replace("{target}", target), encoding="utf-8")
    before, number = path.read_bytes(), text[: text.index("&column")].count("\n") + 1
    accepted(whole, bills(tmp_path / "bills.csv", "paid", lambda n: n + 0.5))
    assert path.read_bytes() == before
    remark = (
        f"look at: pipeline.yml: line {number}: cannot be edited for you, because several places may share &column: "
        "write its value into each of them and repeat this, or edit what `uv run mlops lint` names"
    )
    assert remark in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("a: 1\n# of b\nb: 2\n\n# of c\nc: 3\n", "b", "a: 1\n\n# of c\nc: 3\n"),
        ("# of both\na: 1\nb: 2\n", "a", "# of both\nb: 2\n"),
        ("s:\n  a: {x: 1, y: 2}\n  b: 2\n", "s.a.x", "s:\n  a: {y: 2}\n  b: 2\n"),
        ("s:\n  # of a\n  a:\n    - 1\n    - 2\nt: 1", "s.a", "t: 1"),
        ("a: 1\nb: |\n  text\n  more\nc: 3", "b", "a: 1\nc: 3"),
        ("a: 1\nb: 2 # here", "b", "a: 1\n"),
    ],
)
def test_a_key_is_removed_with_what_is_about_it(text: str, key: str, expected: str, newline: str) -> None:
    assert removed(text.replace("\n", newline), key) == expected.replace("\n", newline)


def test_another_target_comes_back_to_a_regression(whole: Project, tmp_path: Path) -> None:
    accepted(whole, bills(tmp_path / "one.csv", "paid", lambda n: "late" if n > 9 else "soon"))
    document, _ = accepted(whole, bills(tmp_path / "two.csv", "cost", lambda n: n * 2.5))
    assert findings(whole) == []
    assert "desired_class" not in document["jobs"]["what_if"]["inputs"]
    assert json.loads(document["jobs"]["what_if"]["inputs"]["desired_range"]) == [0.0, 22.5]


@pytest.mark.parametrize("target", ["paid at last", "customer's bill"])
def test_a_target_that_breaks_the_command_gets_another_name(whole: Project, tmp_path: Path, target: str) -> None:
    document, _ = accepted(whole, bills(tmp_path / "bills.csv", target, lambda n: n + 0.5))
    assert findings(whole) == []
    assert document["inputs"]["target"] == re.sub(r"\W", "_", target)
    schema = yaml.safe_load(whole.schema.read_text(encoding="utf-8"))
    assert schema["files"]["rename"] == {target: re.sub(r"\W", "_", target)}


def test_a_part_of_a_date_is_a_feature_and_the_date_is_none(whole: Project, tmp_path: Path) -> None:
    accepted(whole, bills(tmp_path / "bills.csv", "paid", lambda n: n + 0.5))
    path = whole.definitions / "pipeline.yml"
    edit(path, ('features_to_vary: \'["sort", "amount", "weight"]\'', "features_to_vary: '[\"since_month\"]'"))
    assert findings(whole) == []
    edit(path, ("since_month", "since"))
    assert [finding.where for finding in findings(whole)] == ["inputs.features_to_vary"]
