"""Responsible AI of images: a component of our own in place of those that Azure ML's registry no longer has."""

import json
from pathlib import Path

import pytest
import yaml
from rendered import HERE
from seeded import assert_named, copied, edited

from mlops.lint import lint_files
from mlops.local.run import _publish
from mlops.local.runner import with_inputs
from mlops.pipeline import Pipeline
from mlops.project import Project

PIPELINE = HERE.definitions / "pipeline.yml"
STEP = "responsible_ai"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A copy of the project's definitions and of what they refer to."""
    return copied(tmp_path / "project", "mlops/aml-cli-v2")


def test_the_shipped_pipeline_has_no_finding_and_no_component_of_a_registry() -> None:
    assert lint_files([PIPELINE, HERE.definitions / "components" / f"{STEP}.yml"], HERE) == []
    assert "azureml://registries" not in PIPELINE.read_text(encoding="utf-8")


def test_the_step_analyses_what_was_registered_and_its_dashboard_is_an_output_of_the_pipeline() -> None:
    job = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))["jobs"][STEP]
    assert job["inputs"]["registration"] == "${{parent.jobs.register.outputs.registration}}"
    assert job["outputs"] == {"dashboard": "${{parent.outputs.dashboard}}"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("./components/responsible_ai.yml", "./components/responsible_a1.yml", "responsible_ai.component"),
        (
            "./components/responsible_ai.yml",
            "azureml://registries/azureml/components/rai_vision_insights/versions/0.0.10",
            "rai_vision_insights removed 2025 ./components/responsible_ai.yml",
        ),
        ("      registration: ${{parent.jobs.register.outputs.registration}}\n", "", "responsible_ai registration"),
        (
            "      dashboard: ${{parent.outputs.dashboard}}",
            "      page: ${{parent.outputs.dashboard}}",
            "page dashboard",
        ),
    ],
)
def test_a_wrong_job_is_named(old: str, new: str, words: str, project: Project) -> None:
    path = project.definitions / "pipeline.yml"
    text = path.read_text(encoding="utf-8")
    head, tail = text[: text.index(f"  {STEP}:")], text[text.index(f"  {STEP}:") :]
    assert old in tail
    path.write_text(head + tail.replace(old, new, 1), encoding="utf-8")
    assert_named(lint_files([path], project), words.split())


def test_an_option_that_the_step_lacks_is_named(project: Project) -> None:
    path = project.definitions / "components" / f"{STEP}.yml"
    with edited(path, "--dashboard ", "--dashbord "):
        assert_named(lint_files([path], project), ["--dashbord"])


def test_overrides_reach_the_step() -> None:
    pipeline = with_inputs(Pipeline.load(PIPELINE), {"overrides": "responsible_ai.rows=100"})
    assert "overrides" in pipeline.nodes[STEP].inputs


def test_the_report_links_the_dashboard(tmp_path: Path) -> None:
    (tmp_path / "dashboard").mkdir()
    (tmp_path / "report.html").write_text("<header>\n</header>", encoding="utf-8")
    title = "<title>Responsible AI: digits version 1</title>"
    (tmp_path / "dashboard" / "dashboard.html").write_text(title, encoding="utf-8")
    (tmp_path / "dashboard" / "insights.json").write_text(json.dumps({}), encoding="utf-8")
    index = _publish(tmp_path / "report.html", {"dashboard": tmp_path / "dashboard"}, tmp_path / "published")
    link = '<a href="dashboard/dashboard.html">Responsible AI: digits version 1</a>'
    assert link in index.read_text(encoding="utf-8")
