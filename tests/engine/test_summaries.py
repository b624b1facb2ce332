"""What the page of each workflow's run shows: the verbs against a fake Azure, and docs/summaries.md is what they write.

`MLOPS_WRITE_SUMMARIES=1` writes that document anew; look at it as one who has to approve something.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from clouds import Cloud
from command_line import run
from rendered import ANSWERS
from small_project import write_yaml
from test_closed_loop import Page, page
from test_connected import DECISION, METRICS, leave
from test_every_version import Play, play

from mlops import verbs
from mlops.azureml.request_metrics import RequestMetrics
from mlops.config import load_yaml
from mlops.infrastructure.summary import plan_summary
from mlops.orchestration.comment import comment_text
from mlops.outputs import add_summary
from mlops.upkeep import freshness, template
from mlops.verbs import canary

__all__ = ["page", "play"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "summaries.md"
HEAD = """# What the pages of the workflows show

Written by `tests/engine/test_summaries.py`, with the verbs of the workflows against a fake Azure and small numbers:
change the verbs, not this file."""
REASONS = [
    "mae 8.123 reaches the floor 15",
    "better than each baseline",
    "gain 1.377 over the champion, 95 % of resamples between 0.92 and 1.81: significantly above 0",
]
# What Terraform prints, shortened.
PLAN = """Terraform will perform the following actions:

  # azurerm_machine_learning_compute_cluster.cpu will be updated in-place
  ~ resource "azurerm_machine_learning_compute_cluster" "cpu" {
      ~ scale_settings {
          ~ max_node_count = 2 -> 4
        }
    }

Plan: 0 to add, 1 to change, 0 to destroy."""
CHANGES = template.Update(
    old="v0.9.0",
    new="v0.10.0",
    conflicts=["config/model.yml"],
    lost=[],
    printed="",
    changelog="### v0.10.0\n\n- What is new.",
)

pytestmark = pytest.mark.skipif(
    ANSWERS["mlops_version"] != "aml-cli-v2" or ANSWERS["project_type"] != "classical",
    reason="the document is of one combination",
)


@pytest.fixture
def loop(play: Play, page: Page, monkeypatch: pytest.MonkeyPatch) -> Play:
    """A run of GitHub Actions, in a project whose models go from dev to test to prod."""
    for name, value in {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "ada/flight-delays",
        "GITHUB_RUN_ID": "1",
    }.items():
        monkeypatch.setenv(name, value)
    # Its minutes take as long as they say.
    seen = canary.describe(RequestMetrics(412, 1, 84))
    monkeypatch.setattr("mlops.verbs.online.watch", lambda *arguments: seen)
    for name, target in (("dev", "test"), ("test", "prod")):
        file = play.project.root / "config" / f"{name}.yml"
        write_yaml(file, {**load_yaml(file), "delivery": {"next": target}})
    return play


def shown(page: Page) -> str:
    """Take what the page shows now."""
    text = page.summary
    page.summary_file.write_text("", encoding="utf-8")
    # The name of a job has the time.
    return re.sub(r"\ba-model-\d{8}-\d{6}-[0-9a-f]{4}\b", "a-model-20260101-030000-1a2b", text).strip()


def part(title: str, text: str, *more: str) -> str:
    """A section: who reads it when, then the page, one level deeper."""
    deeper = re.sub(r"^(?=#+ )", "##", text, flags=re.MULTILINE)
    return "\n\n".join([f"## {title}", *more, deeper])


def sections(loop: Play, page: Page) -> Iterator[str]:
    """Run the verbs of each workflow, one after the other, as in the life of a project."""
    cloud: Cloud = loop.cloud
    metrics: Mapping[str, Any] = METRICS | {"notes": []}
    leave(loop.project.root, "20260101-000000", metrics, DECISION | {"promote": True, "reasons": REASONS, "note": None})
    assert run("summary") == 0
    checked = shown(page)
    yield part("Pull request", checked, "The job Project; the comment under the pull request has it and the plan.")
    jobs = {name: {"result": result} for name, result in (("project", "failure"), ("infrastructure", "success"))}
    yield part(
        "Comment under a pull request with a problem",
        comment_text(json.dumps(jobs), [plan_summary("dev", PLAN)]),
        "One comment, which the next run updates.",
    )
    add_summary(plan_summary("prod", PLAN))
    yield part("Infrastructure", shown(page), "The job Plan for prod, before the approval of the job Apply to prod.")

    sha256 = loop.sha256
    cloud.register("1", sha256=sha256)
    verbs.deliver(loop.dev, model_version="1", sha256=sha256)
    cloud.register("2", sha256=sha256)
    shown(page)
    cloud.next_job("Completed", registered=True, name="a-model", version="2", sha256=sha256, reasons=REASONS)
    cloud.next_evaluation(**metrics)
    verbs.train(loop.dev)
    yield part("Train", shown(page), "The job Train in dev.")

    verbs.list_models(loop.dev)
    verbs.deliver(loop.session("dev"), model_version="2", sha256=sha256)
    yield part(
        "Deliver",
        shown(page),
        "The job Choose the version for dev, before any approval, and the job that delivers to dev. The approver of a "
        "later environment reads version and hash in the name of the job, too.",
    )

    verbs.monitor(loop.dev)
    cloud.monitor_ran("run-1", "2026-01-18T06:00:00Z")
    verbs.drift(loop.session("dev"), now=datetime(2026, 1, 18, 12, tzinfo=UTC))
    quiet = shown(page)
    cloud.monitor_ran("run-2", "2026-01-19T06:00:00Z", "data_drift", "prediction_drift")
    verbs.drift(loop.session("dev"), now=datetime(2026, 1, 20, 12, tzinfo=UTC))
    yield part("Monitor", f"{quiet}\n\n{shown(page)}", "A morning without drift, and one with an alert.")

    verbs.rollback(loop.session("dev"))
    yield part("Roll back", shown(page), "The job that goes back.")
    verbs.teardown(loop.session("dev"))
    yield part("Teardown", shown(page), "Endpoints and schedules; with everything, what stays is listed too.")
    packages = freshness.Packages(["ruff 0.17.1 -> 0.17.2"], {})
    near_end = ["pyproject.toml: Python 3.11 ends on 2027-10-31 (PEP 664)"]
    add_summary(freshness.describe(packages, near_end, date(2027, 8, 2)))
    yield part("Freshness", shown(page), "The same text is the issue.")
    add_summary(template.describe(CHANGES))
    yield part("Template update", shown(page), "The same text is the issue.")


def test_the_document_has_what_each_workflow_shows_on_its_page(loop: Play, page: Page) -> None:
    text = "\n\n".join([HEAD, *(each.strip() for each in sections(loop, page))]) + "\n"
    if os.environ.get("MLOPS_WRITE_SUMMARIES"):
        DOCUMENT.write_text(text, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == text, "docs/summaries.md is not what the verbs write"
