"""From an alert of the monitor to one training, in every mlops version: `drift`, and `train --job`."""

import itertools
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from clouds import MONITOR, Cloud
from small_project import write_yaml
from test_every_version import BETTER, VERSION, WORSE, Play, deploy, failure, job_ends, of_client, play, seen, serving

from mlops import verbs
from mlops.azureml.monitor_runs import Breach, find_breaches, is_of_schedule, read_breaches
from mlops.config import load_yaml
from mlops.verbs import Session
from mlops.verbs.drift import job_name
from mlops.verbs.training import JOB_NAME

__all__ = ["play"]

NOW = datetime(2026, 1, 20, 12, tzinfo=UTC)
DAYS = 10
"""Twice the `lookback_days` of the small project."""

of_the_verb = pytest.mark.skipif(VERSION != "aml-cli-v2", reason="the verb decides it, whatever client reads for it")
"""For tests of what follows from runs, versions and tags: that each client reads these is in the tests beside them."""


class Page:
    """What a verb hands on to the workflow: its outputs and its part of the run's page."""

    def __init__(self, folder: Path) -> None:
        """Keep the files that GitHub would read."""
        self.outputs_file, self.summary_file = folder / "outputs", folder / "summary"

    @property
    def outputs(self) -> dict[str, str]:
        """The outputs, of which the last one of a name counts."""
        text = self.outputs_file.read_text(encoding="utf-8") if self.outputs_file.exists() else ""
        return dict(line.split("=", 1) for line in text.splitlines())

    @property
    def summary(self) -> str:
        """The Markdown of the run's page."""
        return self.summary_file.read_text(encoding="utf-8") if self.summary_file.exists() else ""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    """A run of GitHub Actions."""
    found = Page(tmp_path)
    monkeypatch.setenv("GITHUB_OUTPUT", str(found.outputs_file))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(found.summary_file))
    return found


@pytest.fixture
def watched(play: Play) -> Play:
    """Version 1 is served, and its monitor is there."""
    serving(play)
    verbs.monitor(play.dev)
    return play


def day(number: int) -> str:
    """A morning in January, when the monitor runs."""
    return f"2026-01-{number:02}T06:00:00Z"


def look(play: Play, page: Page, now: datetime = NOW, days: int | None = None) -> str:
    """Look for drift; return the name of the training, "" when none is to start."""
    found = verbs.drift(play.session("dev"), days=days, now=now)
    assert page.outputs["retrain"] == str(found).lower()
    assert bool(page.outputs["job"]) == found
    return page.outputs["job"]


# Alerts.


def test_an_alert_is_found_by_the_tag_of_a_step_and_named_with_what_was_measured(watched: Play, page: Page) -> None:
    watched.cloud.monitor_ran("run-1", day(19), "data_drift")
    assert re.fullmatch(r"a-model-drift-[0-9a-f]{12}", look(watched, page))
    signal = "drift" if VERSION == "python-sdk-v1" else "data_drift"
    metric = "normalized_wasserstein_distance" if VERSION == "python-sdk-v1" else "NormalizedWassersteinDistance"
    assert f"| {signal} | x | {metric} | 0.75 | 0.2 |" in page.summary
    assert "run run-1 of 2026-01-19 06:00 UTC" in page.summary
    assert "| y |" not in page.summary


def test_a_second_look_finds_the_same_training(watched: Play, page: Page) -> None:
    watched.cloud.monitor_ran("run-1", day(19), "data_drift")
    assert look(watched, page) == look(watched, page)


@of_the_verb
def test_the_same_change_in_tomorrows_run_is_the_same_training(watched: Play, page: Page) -> None:
    watched.cloud.monitor_ran("run-0", day(17))
    watched.cloud.monitor_ran("run-1", day(18), "data_drift")
    first = look(watched, page)
    watched.cloud.monitor_ran("run-2", day(19), status="Failed")
    watched.cloud.monitor_ran("run-3", day(20), "prediction_drift")
    assert look(watched, page) == first


@of_the_verb
def test_drift_after_a_run_without_it_is_another_training(watched: Play, page: Page) -> None:
    watched.cloud.monitor_ran("run-1", day(17), "data_drift")
    first = look(watched, page)
    watched.cloud.monitor_ran("run-2", day(18))
    assert look(watched, page) == first, "its training may not have been started yet"
    watched.cloud.monitor_ran("run-3", day(19), "data_drift")
    assert look(watched, page) not in ("", first)


@of_the_verb
def test_drift_that_stays_is_trained_on_again_after_the_days_of_an_alert(watched: Play, page: Page) -> None:
    names = {}
    for number in range(1, 2 * DAYS + 5):
        watched.cloud.monitor_ran(f"run-{number}", day(number), "data_drift")
        names[number] = look(watched, page, now=datetime(2026, 1, number, 12, tzinfo=UTC))
    days = list(names)
    changes = [later for earlier, later in itertools.pairwise(days) if names[earlier] != names[later]]
    assert changes == [DAYS + 1, 2 * DAYS + 1]
    assert len(set(names.values())) == 3


@of_the_verb
def test_drift_after_weeks_without_a_run_is_none_of_the_series_before_them(watched: Play, page: Page) -> None:
    """Counted from the first run, a training would be due on the 21st."""
    watched.cloud.monitor_ran("run-1", day(1), "data_drift")
    names = set()
    for number in (20, 21, 22):
        watched.cloud.monitor_ran(f"run-{number}", day(number), "data_drift")
        names.add(look(watched, page, now=datetime(2026, 1, number, 12, tzinfo=UTC)))
    assert len(names) == 1


@of_the_verb
def test_an_alert_of_last_month_starts_nothing(watched: Play, page: Page) -> None:
    watched.cloud.monitor_ran("run-1", day(1), "data_drift")
    watched.cloud.monitor_ran("run-2", day(19))
    assert look(watched, page) == ""
    assert look(watched, page, days=30) != ""


def not_watched(play: Play) -> None:
    """There is no monitor."""


def switched_off(play: Play) -> None:
    """The monitor is switched off in the configuration."""
    play.configure("dev", "monitor", enabled=False)


def ran(*runs: tuple[int, str, str]) -> Callable[[Play], None]:
    """The monitor ran on these days, with this end and this problem."""

    def run(play: Play) -> None:
        serving(play)
        verbs.monitor(play.dev)
        for number, status, problem in runs:
            play.cloud.monitor_ran(f"run-{number}", day(number), status=status, problem=problem)

    return run


NO_DATA = "No data found for the given time window."


REASONS: dict[str, tuple[Callable[[Play], None], str]] = {
    "no monitor": (not_watched, "There is no monitor in dev: run `uv run mlops monitor --environment dev`"),
    "switched off": (switched_off, "Nothing watches dev: monitor.enabled is false in config/dev.yml"),
    "not run yet": (ran(), "The monitor of dev has not run yet"),
    "running for the first time": (ran((20, "Running", "")), "The monitor of dev has not run yet"),
    "stopped": (ran((2, "Completed", "")), "has not run in the last 10 days (the last run was on 2026-01-02 06:00"),
    "no data": (ran((18, "Completed", ""), (19, "Completed", NO_DATA)), "The monitor of dev has no data to judge"),
    "failed": (
        ran((18, "Completed", ""), (19, "Failed", "")),
        "The monitor of dev failed: run run-19 of 2026-01-1",
    ),
    "no alert": (ran((19, "Completed", "")), "No drift in dev in the last 10 days; the last run is run-19 of 2026"),
    "the next one is running": (ran((19, "Completed", ""), (20, "Running", "")), "No drift in dev in the last 10"),
}


@of_client(REASONS, "no monitor", "no data", "failed", "the next one is running")
def test_each_reason_for_no_training_has_a_line_of_its_own(
    play: Play, page: Page, given: Callable[[Play], None], expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    given(play)
    capfd.readouterr()
    assert look(play, page) == ""
    assert expected in page.summary
    shown = capfd.readouterr()
    assert expected in shown.out + shown.err


def test_looking_starts_and_changes_nothing(watched: Play, page: Page) -> None:
    watched.cloud.monitor_ran("run-1", day(19), "data_drift")
    if VERSION == "python-sdk-v1":  # the runs of its monitor are jobs like others
        before = len(seen(watched)["jobs"])
        assert look(watched, page)
        assert len(seen(watched)["jobs"]) == before
        return
    state = seen(watched)
    assert look(watched, page)
    assert seen(watched) == state


def test_the_rows_of_a_tag_are_read_and_a_text_that_was_cut_off_still_names_the_signal() -> None:
    row = '{"group":"x","metric_value":1.5,"metric_name":"m","threshold_value":1}'
    text = f"The signal 'a' has failed due to ...\n{[row]}"
    assert read_breaches(text) == [Breach("a", "x", "m", 1.5, 1)]
    assert read_breaches(text[:-20]) == [Breach("a")]
    assert read_breaches("another text\nof another release") == [Breach("another text")]


def test_the_tags_of_steps_are_found_whether_the_runs_lie_flat_or_nested() -> None:
    tags = {"azureml_modelmonitor_threshold_breached": "The signal 'a' has failed"}
    flat = {"run": [("step", tags)], "step": []}
    nested = {"run": [("signal", None)], "signal": [("step", tags)]}
    assert find_breaches("run", flat.__getitem__) == find_breaches("run", nested.__getitem__) == [Breach("a")]


@pytest.mark.parametrize(
    ("names", "properties", "is_one"),
    [
        (("a-guid", "a-model-monitor-20260101T060000Z"), {}, True),
        (("a-model-monitor_1", None), {}, True),
        (("a-guid", None), {"scheduleId": "/subscriptions/s/schedules/a-model-monitor"}, True),
        (("a-model-monitoring-1", "sky"), {"other": None}, False),
        (("a-model-20260101", "another-model-monitor-1"), {}, False),
    ],
)
def test_the_jobs_of_the_monitor_are_told_from_others(
    names: tuple[str | None, ...], properties: dict[str, str | None], is_one: bool
) -> None:
    assert is_of_schedule(MONITOR, names, properties) is is_one


# One training for each alert.

JOB = "a-model-drift-0123456789ab"


def train(play: Play, **options: object) -> bool:
    """Train in a process of its own, under the name of an alert."""
    return verbs.train(play.session("dev"), job=JOB, **options)


def test_a_name_is_started_once_and_its_result_is_reported_each_time(
    play: Play, page: Page, capfd: pytest.CaptureFixture[str]
) -> None:
    BETTER(play)
    assert train(play)
    assert (page.outputs["registered"], page.outputs["model_version"]) == ("true", "4")
    capfd.readouterr()
    assert train(play)
    assert "was started before and is Completed" in capfd.readouterr().out
    assert (page.outputs["registered"], page.outputs["started"]) == ("true", "false")
    assert [job["status"] for job in seen(play)["jobs"]] == ["Completed"]


def test_a_job_that_runs_is_waited_for(play: Play, page: Page, capfd: pytest.CaptureFixture[str]) -> None:
    BETTER(play)
    train(play, wait=False)
    assert page.outputs == {}
    assert train(play)
    assert "was started before and is" in capfd.readouterr().out
    assert page.outputs["model_version"] == "4"
    assert [job["status"] for job in seen(play)["jobs"]] == ["Completed"]


@pytest.mark.parametrize("status", ["Failed", "Canceled"])
def test_a_job_that_failed_is_not_started_again_and_the_error_names_how(play: Play, status: str) -> None:
    job_ends(status)(play)
    failure(play, train)
    message = failure(play, train)
    assert f"ended as {status}: see its log at https://" in message
    assert f"`uv run mlops train --environment dev --job {JOB}-2`" in message
    assert len(seen(play)["jobs"]) == 1


@of_the_verb
@pytest.mark.parametrize("attempt", ["SYSTEM_STAGEATTEMPT", "GITHUB_RUN_ATTEMPT"])
def test_a_person_who_runs_it_again_trains_again_after_a_failure(
    play: Play, page: Page, monkeypatch: pytest.MonkeyPatch, attempt: str
) -> None:
    job_ends("Failed")(play)
    failure(play, train)
    play.cloud.works_again()
    BETTER(play)
    monkeypatch.setenv(attempt, "2")
    assert train(play)
    assert (page.outputs["registered"], page.outputs["started"]) == ("true", "true")
    assert [job["status"] for job in seen(play)["jobs"]] == ["Failed", "Completed"]
    # From then on that job is the answer, also to who looks the next day.
    monkeypatch.setenv(attempt, "1")
    assert train(play)
    assert page.outputs["started"] == "false"
    assert len(seen(play)["jobs"]) == 2


@of_the_verb
def test_after_a_second_failure_the_error_names_the_job_that_later_looks_find(
    play: Play, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_ends("Failed")(play)
    failure(play, train)
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "2")
    failure(play, train)
    monkeypatch.setenv("GITHUB_RUN_ATTEMPT", "1")
    assert f"`uv run mlops train --environment dev --job {JOB}-3`" in failure(play, train)


def test_of_two_starts_at_once_one_trains_and_both_report_it(
    play: Play, page: Page, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    BETTER(play)
    backend, looked = play.dev.backend, []
    find_job = backend.find_job

    def find(name: str) -> object:
        found = find_job(name)
        looked.append(name)
        if len(looked) == 1:  # the other one starts between this look and the start that follows
            train(play, wait=False)
        return found

    monkeypatch.setattr(backend, "find_job", find)
    assert verbs.train(play.dev, job=JOB)
    assert "was started by another at the same time" in capfd.readouterr().out
    assert len(seen(play)["jobs"]) == 1
    assert page.outputs["model_version"] == "4"


def test_a_start_that_azure_refuses_leaves_the_name_free(play: Play) -> None:
    WORSE(play)
    play.cloud.fail("create job")
    assert "not now" in failure(play, train)
    play.cloud.works_again()
    assert train(play) is False
    assert len(seen(play)["jobs"]) == 1


@pytest.mark.parametrize("name", ["a job", "-a", "a" * 251, "a/b"])
def test_a_name_that_azure_does_not_accept_starts_nothing(play: Play, name: str) -> None:
    message = failure(play, lambda play: verbs.train(play.dev, job=name) and None)
    assert "use up to 250 letters, digits, dashes and underscores" in message
    assert seen(play)["jobs"] == []


@of_the_verb
def test_the_name_that_drift_gives_is_one_that_azure_accepts(watched: Play, page: Page) -> None:
    watched.configure("dev", "model", name="a.model")
    watched.cloud.monitor_ran("run-1", day(19), "data_drift")
    session = watched.session("dev")
    [run] = [each for each in session.backend.monitor_runs(MONITOR) if each.name == "run-1"]
    assert re.fullmatch(JOB_NAME, job_name(session, run))


@pytest.mark.skipif(VERSION != "python-sdk-v1", reason="only there a file says which run a name has")
def test_a_start_that_broke_off_is_one_line_with_the_remedy(play: Play) -> None:
    play.cloud.put_file(f"started-jobs/{JOB}", "")
    message = failure(play, train)
    assert f"delete the file started-jobs/{JOB} from the default datastore" in message
    assert seen(play)["jobs"] == []


# What a training hands on.


def test_a_new_version_is_handed_on_with_the_hash_of_its_registration(play: Play, page: Page) -> None:
    job_ends(registered=True, name="a-model", version="4", sha256="abc", reasons=[])(play)
    verbs.train(play.dev)
    assert page.outputs == {"registered": "true", "started": "true", "model_version": "4", "sha256": "abc"}


@of_the_verb
def test_without_a_hash_in_the_registration_that_of_the_tag_is_handed_on(play: Play, page: Page) -> None:
    play.cloud.register("4", sha256="of the tag")
    BETTER(play)
    verbs.train(play.dev)
    assert page.outputs["sha256"] == "of the tag"


@of_the_verb
def test_when_the_champion_stays_the_newest_usable_version_is_handed_on(play: Play, page: Page) -> None:
    play.cloud.register("2", sha256="two")
    play.cloud.register("3", sha256="three", rejected="true")
    WORSE(play)
    verbs.train(play.dev)
    assert page.outputs == {"registered": "false", "started": "true", "model_version": "2", "sha256": "two"}


@of_the_verb
def test_a_pin_of_the_training_environment_is_not_handed_on_to_the_others(play: Play, page: Page) -> None:
    play.cloud.register("1", sha256="one", pinned_dev="true")
    play.cloud.register("2", sha256="two")
    WORSE(play)
    verbs.train(play.dev)
    assert (page.outputs["model_version"], page.outputs["sha256"]) == ("2", "two")


@of_the_verb
@pytest.mark.parametrize("versions", [(), ("1",)], ids=["no version", "only a rejected one"])
def test_when_there_is_no_usable_version_nothing_is_handed_on(
    play: Play, page: Page, versions: tuple[str, ...]
) -> None:
    play.cloud.register(*versions, rejected="true")
    WORSE(play)
    verbs.train(play.dev)
    assert page.outputs == {"registered": "false", "started": "true", "model_version": "", "sha256": ""}


@of_the_verb
def test_a_job_of_some_time_ago_hands_on_the_newest_version_and_not_its_own(play: Play, page: Page) -> None:
    play.cloud.register("4", sha256="four")
    BETTER(play)
    train(play)
    assert page.outputs["model_version"] == "4"
    play.cloud.register("5", sha256="five")
    train(play)
    assert (page.outputs["model_version"], page.outputs["sha256"]) == ("5", "five")


def test_the_summary_has_the_decision_its_reasons_the_scores_and_the_job(play: Play, page: Page) -> None:
    BETTER(play)
    play.cloud.next_evaluation(
        metric="rmse",
        challenger={"rmse": 1.25, "r2": 0.5},
        champion={"rmse": 1.5, "r2": None},
        baselines={"mean": {"rmse": 2}},
    )
    verbs.train(play.dev)
    assert "## a-model: version 4 is registered" in page.summary
    assert "- it is better" in page.summary
    assert "| model | rmse | r2 |  |" in page.summary
    assert "| this model | 1.25 | 0.5 | ████████████ |" in page.summary
    assert "| champion | 1.5 | - | ███████████████ |" in page.summary
    assert "| baseline mean | 2 | - | ████████████████████ |" in page.summary
    assert re.search(r"Job \[\S+\]\(https://", page.summary)


def test_without_metrics_the_summary_still_has_the_decision(play: Play, page: Page) -> None:
    WORSE(play)
    verbs.train(play.dev)
    assert "## a-model: nothing is registered" in page.summary
    assert "- the champion is better" in page.summary


# The monitor.


def test_the_windows_of_the_monitor_reach_across_a_rollout(watched: Play) -> None:
    if VERSION == "python-sdk-v1":
        pytest.skip("its monitor compares datasets")

    def windows() -> set[str]:
        signals = seen(watched)["schedules"][MONITOR]["signals"].values()
        return {signal[side][0] for signal in signals for side in ("production", "reference")}

    before = windows()
    verbs.deploy_online(watched.dev, hold=True)
    deployments = seen(watched)["online"]["online-dev"]["deployments"]
    assert deployments.keys() == {"blue", "green"}
    assert {name for deployment in deployments.values() for name in deployment["collects"]} == before
    verbs.shift_traffic(watched.dev, 100)
    deploy()(watched)
    verbs.monitor(watched.dev)
    assert windows() == before


@pytest.mark.skipif(not VERSION.startswith("aml-cli"), reason="only there the engine puts the assets into a file")
def test_a_deployment_file_without_assets_for_its_collections_keeps_a_monitor_of_its_own_assets(play: Play) -> None:
    file = play.project.definitions / "online" / "deployment.yml"
    document = load_yaml(file)
    for collection in document["data_collector"]["collections"].values():
        del collection["data"]
    write_yaml(file, document)
    play.cloud.register("1")
    verbs.deploy_online(play.dev)
    verbs.monitor(play.dev)
    content = (play.dev.folder / "monitor.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"azureml:(online-dev-\S+):1", content)) == {
        "online-dev-blue-model_inputs",
        "online-dev-blue-model_outputs",
    }


def test_a_monitor_that_is_switched_off_is_deleted(watched: Play, capfd: pytest.CaptureFixture[str]) -> None:
    switched_off(watched)
    verbs.monitor(watched.session("dev"))
    assert MONITOR not in seen(watched)["schedules"]
    capfd.readouterr()
    verbs.monitor(watched.session("dev"))
    shown = capfd.readouterr().out
    assert "Nothing is watched: monitor.enabled is false in config/dev.yml." in shown
    assert "Deleted" not in shown


def test_where_the_monitor_is_switched_off_nothing_has_to_serve(play: Play) -> None:
    switched_off(play)
    verbs.monitor(play.session("dev"))
    assert seen(play)["schedules"] == {}


def test_a_dry_run_of_drift_names_what_it_reads(cloud: Cloud, play: Play, capfd: pytest.CaptureFixture[str]) -> None:
    cloud.break_down("not signed in")
    verbs.drift(Session.open("dev", dry_run=True, root=play.project.root))
    shown = capfd.readouterr().out
    assert "alert of the last 10 days" in shown
    if VERSION not in ("python-sdk-v1", "python-sdk-v2"):
        assert "az ml job list --parent-job-name a-model-monitor-RUN" in shown
    assert cloud.asked == 0
