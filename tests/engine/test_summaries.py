"""What the page of each workflow's run shows: the verbs against a fake Azure, and docs/summaries.md is what they write.

`MLOPS_WRITE_SUMMARIES=1` writes that document anew; look at it as one who has to approve something.
"""

import importlib
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
from mlops.repository import place
from mlops.upkeep import freshness, template
from mlops.verbs import canary

__all__ = ["page", "play"]

DOCUMENT = Path(__file__).parents[2] / "docs" / "summaries.md"
HEAD = """# What the pages of the workflows show

Written by `tests/engine/test_summaries.py`, with the verbs of the workflows against a fake Azure and small numbers:
change the verbs, not this file."""
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
    monkeypatch.setattr("mlops.verbs.online.watch", lambda *arguments, **options: seen)
    for name, target in (("dev", "test"), ("test", "prod")):
        file = play.project.root / "config" / f"{name}.yml"
        write_yaml(file, {**load_yaml(file), "delivery": {"next": target}})
    return play


def shown(page: Page) -> str:
    """Take what the page shows now."""
    text = page.summary
    page.summary_file.write_text("", encoding="utf-8")
    # The name of a job has the time.
    return re.sub(r"\ba-model-\d{8}-\d{6}-[0-9a-f]{8}\b", "a-model-20260101-030000-1a2b3c4d", text).strip()


def reasons(package: str, metrics: Mapping[str, Any]) -> list[str]:
    """What the promotion says of these scores."""
    promotion = importlib.import_module(f"{package}.core.promotion")
    metric = importlib.import_module(f"{package}.core.metrics").metric("mae", "regression")
    new, old, mean = (metrics[name] for name in ("challenger", "champion", "baselines"))
    gain, over_mean = old["mae"] - new["mae"], mean["mean"]["mae"] - new["mae"]
    decision = promotion.decide(
        promotion.Policy(metric, floor=15),
        new["mae"],
        old["mae"],
        promotion.Interval(gain, gain - 0.45, gain + 0.43),
        baselines={"mean": promotion.Interval(over_mean, over_mean - 0.9, over_mean + 0.8)},
    )
    assert decision.promote
    return list(decision.reasons)


def files(loop: Play, version: str) -> str:
    """Have Azure hand out the files of this version from now on, and return their hash."""
    folder = loop.folder / f"model-{version}"
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text("flavors: {}\n", encoding="utf-8")
    (folder / "model.bin").write_bytes(f"weights {version}".encode())
    loop.cloud.copies(folder)
    sha256: str = importlib.import_module(f"{loop.project.package}.core.endpoint").model_hash(folder)
    return sha256


def part(title: str, text: str, *more: str) -> str:
    """A section: who reads it when, then the page, one level deeper."""
    deeper = re.sub(r"^(?=#+ )", "##", text, flags=re.MULTILINE)
    return "\n\n".join([f"## {title}", *more, deeper])


def sections(loop: Play, page: Page) -> Iterator[str]:
    """Run the verbs of each workflow, one after the other, as in the life of a project."""
    cloud: Cloud = loop.cloud
    metrics: Mapping[str, Any] = METRICS | {"notes": []}
    why = reasons(loop.project.package, metrics)
    leave(loop.project.root, "20260101-000000", metrics, DECISION | {"promote": True, "reasons": why, "note": None})
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

    first = files(loop, "1")
    cloud.register("1", sha256=first, metrics="mae=9.412 r2=0.81", reasons="there is no champion yet")
    verbs.deliver(loop.dev, model_version="1", sha256=first)
    sha256 = files(loop, "2")
    cloud.register("2", sha256=sha256, metrics="mae=8.123 r2=0.9", reasons="; ".join(why))
    shown(page)
    cloud.next_job("Completed", registered=True, name="a-model", version="2", sha256=sha256, reasons=why)
    cloud.next_evaluation(**metrics)
    verbs.train(loop.dev)
    yield part("Train", shown(page), "The job Train in dev.")

    verbs.list_models(loop.dev)
    verbs.preview(loop.session("dev"), model_version="2", sha256=sha256)
    verbs.deliver(loop.session("dev"), model_version="2", sha256=sha256)
    verbs.preview(loop.session("dev"), model_version="2", sha256=sha256)
    yield part(
        "Deliver",
        shown(page),
        "The job Choose the version for dev, before any approval; the job Look at what dev has, which is before the "
        "approval in each environment; and the job that delivers, which has version and hash in its name. The last "
        "page is the look when the same version comes again: no approval is asked for.",
    )

    cloud.register("3", sha256=files(loop, "3"))
    cloud.predict(99)
    assert run("deliver", "--environment", "dev", "--model-version", "3") == 1
    cloud.predict(5)
    yield part("A run that fails", shown(page), "Deliver, with a model whose smoke test fails.")

    # As generated. The fake Azure has one endpoint, that of dev, and shows its monitor in each environment.
    loop.configure("prod", "monitor", lookback_days=7)
    verbs.monitor(loop.dev)
    cloud.monitor_ran("run-1", "2026-01-18T06:00:00Z")
    verbs.drift(loop.session("prod"), now=datetime(2026, 1, 18, 12, tzinfo=UTC))
    quiet = shown(page)
    cloud.monitor_ran("run-2", "2026-01-19T06:00:00Z", "data_drift", "prediction_drift")
    verbs.drift(loop.session("prod"), now=datetime(2026, 1, 20, 12, tzinfo=UTC))
    yield part("Monitor", f"{quiet}\n\n{shown(page)}", "A morning without drift, and one with an alert.")

    verbs.look(loop.session("dev"))
    looked = shown(page)
    files(loop, "1")
    verbs.rollback(loop.session("dev"), bad="2")
    yield part(
        "Roll back",
        f"{looked}\n\n{shown(page)}",
        "The job Find the version to go back to, before the approval, and the job that goes back.",
    )
    verbs.teardown(loop.session("dev"))
    yield part("Teardown", shown(page), "Endpoints and schedules; with everything, what stays is listed too.")
    packages = freshness.Packages(["ruff 0.17.1 -> 0.17.2"], {})
    near_end = ["pyproject.toml: Python 3.11 ends on 2027-10-31 (PEP 664)"]
    add_summary(freshness.describe(packages, near_end, date(2027, 8, 2)))
    yield part("Freshness", shown(page), "The same text is the issue.")
    add_summary(template.describe(CHANGES, place(loop.project)))
    yield part("Template update", shown(page), "The same text is the issue.")


def test_the_document_has_what_each_workflow_shows_on_its_page(loop: Play, page: Page) -> None:
    text = "\n\n".join([HEAD, *(each.strip() for each in sections(loop, page))]) + "\n"
    if os.environ.get("MLOPS_WRITE_SUMMARIES"):
        DOCUMENT.write_text(text, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == text, "docs/summaries.md is not what the verbs write"
