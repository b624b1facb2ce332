"""Deliveries and rollbacks: what they hand on, what they remember in tags, and what happens with two at once.

What they leave in Azure is in test_every_version.py.
"""

import importlib
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import run
from fake_az import FakeAzure
from small_project import set_key, write_yaml

from mlops import verbs
from mlops.config import Project, load_yaml
from mlops.errors import UserError
from mlops.verbs import Session
from mlops.verbs.online import Endpoint, roll_out


@pytest.fixture
def dev(project: Project, azure: FakeAzure) -> Session:
    """The environment in which models are trained."""
    return Session.open("dev", root=project.root)


@pytest.fixture
def sha256(project: Project, azure: FakeAzure, tmp_path: Path) -> str:
    """The hash of version 1, which is registered."""
    model = tmp_path / "a-trained-model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {}\n", encoding="utf-8")
    azure.load()["copies"] = {"": str(model)}
    azure.save()
    found: str = importlib.import_module(f"{project.package}.core.endpoint").model_hash(model)
    register(azure, "1", sha256=found)
    return found


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """GitHub runs the verbs; the page of the run, beside which the outputs are."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    return tmp_path / "summary"


def outputs(page: Path) -> dict[str, str]:
    """What the verbs handed on, the last value of each output."""
    lines = (page.parent / "outputs").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines)


def register(azure: FakeAzure, *versions: str, **tags: str) -> None:
    """Put model versions into the workspace."""
    azure.load()["models"].update({version: dict(tags) for version in versions})
    azure.save()


def deploy_each(session: Session, azure: FakeAzure, versions: str) -> None:
    """Register versions and deploy each of them, one after the other."""
    for version in versions:
        register(azure, version)
        verbs.deploy_online(session, model_version=version)


def pass_on(session: Session, target: str) -> None:
    """Name the environment that gets the model afterwards."""
    file = session.project.root / "config" / f"{session.config.environment}.yml"
    write_yaml(file, {**load_yaml(file), "delivery": {"next": target}})


def serves(session: Session) -> tuple[dict[str, int], dict[str, str]]:
    """The traffic, and the model version of each deployment."""
    endpoint = Endpoint.look(session)
    traffic = {name: share for name, share in (endpoint.traffic or {}).items() if share}
    return traffic, {name: each.model_version for name, each in endpoint.deployments.items()}


def failure(action: Callable[[], None]) -> str:
    """Run what must fail and return its one line."""
    with pytest.raises(UserError) as error:
        action()
    assert "\n" not in str(error.value)
    return str(error.value)


def problem(action: Callable[[], None]) -> str:
    """Run what may fail and return its error, "" when there is none."""
    try:
        action()
    except UserError as error:
        return str(error)
    return ""


class KilledError(BaseException):
    """The machine that ran the verb is gone."""


def kill(session: Session, version: str) -> None:
    """Roll out until the new deployment is a canary, when nothing of the verb runs any more."""

    def die(seconds: float) -> None:
        raise KilledError

    with pytest.raises(KilledError):
        verbs.deploy_online(session, model_version=version, bake_minutes=1, sleep=die)


# What is handed on.


def test_a_delivery_hands_on_what_it_did_and_who_has_the_model_now(
    dev: Session, sha256: str, page: Path, azure: FakeAzure
) -> None:
    pass_on(dev, "test")
    verbs.deliver(Session.open("dev"), model_version="1", sha256=sha256)
    assert outputs(page) == {"delivered": "true", "next": "test", "model_version": "1", "sha256": sha256}
    azure.load()["online"] = None  # it knows one endpoint
    azure.save()
    verbs.deliver(Session.open("test"), model_version="1", sha256=sha256)
    assert outputs(page) == {"delivered": "true", "next": "", "model_version": "1", "sha256": sha256}
    text = page.read_text(encoding="utf-8")
    assert text.count("## ") == 2
    for line in [
        "## dev: delivered",
        "| Model | a-model version 1 |",
        f"| sha256 | `{sha256}` |",
        "| Decision | delivered |",
        "| Changed | version 1, and nothing serves yet |",
        "| Traffic | blue: 100 % |",
        "| Endpoint | https://online-dev.westeurope.inference.ml.azure.com/score |",
        "| Next environment | test |",
        "| Next environment | none: the model stays here |",
    ]:
        assert line in text.splitlines()


def test_a_protected_environment_gets_the_version_and_the_hash_that_were_approved(
    dev: Session, sha256: str, page: Path, azure: FakeAzure
) -> None:
    for source, target in (("dev", "test"), ("test", "prod")):
        verbs.promote(Session.open(source), target)
    prod = Session.open("prod")
    for given in ({}, {"model_version": "1"}, {"sha256": sha256}):
        assert "prod is protected, so `mlops deliver` names its model" in failure(
            lambda given=given: verbs.deliver(prod, **given)
        )
    assert "is not the model that was named" in failure(
        lambda: verbs.deliver(prod, model_version="1", sha256=sha256[::-1])
    )
    assert azure.load()["online"] is None
    verbs.deliver(prod, model_version="1", sha256=sha256)
    assert serves(prod) == ({"blue": 100}, {"blue": "1"})


@pytest.mark.parametrize("verb", [verbs.deploy_online, verbs.deploy_batch, verbs.deliver])
def test_each_verb_that_deploys_to_a_protected_environment_wants_version_and_hash(
    dev: Session, sha256: str, azure: FakeAzure, verb: Callable[..., None]
) -> None:
    for source, target in (("dev", "test"), ("test", "prod")):
        verbs.promote(Session.open(source), target)
    prod = Session.open("prod")
    for given in ({}, {"model_version": "1"}, {"sha256": sha256}):
        assert "prod is protected, so `mlops" in failure(lambda given=given: verb(prod, **given))
    assert "write all its 64" in failure(lambda: verb(prod, model_version="1", sha256="abc"))
    azure.load()["registries"]["the-registry"]["1"]["promoted_prod"] = "0" * 64
    azure.save()
    named = {"model_version": "1", "sha256": sha256}
    assert "its tag says sha256 000000000000, and --sha256" in failure(lambda: verb(prod, **named))
    named["sha256"] = "0" * 64
    assert f"(sha256 {sha256[:12]}, expected 000000000000)" in failure(lambda: verb(prod, **named))
    assert (azure.load()["online"], azure.load()["batch"]) == (None, None)
    azure.load()["registries"]["the-registry"]["1"]["promoted_prod"] = sha256
    azure.save()
    verb(prod, model_version="1", sha256=sha256)
    assert azure.load()["online"] or azure.load()["batch"]


def test_a_deployment_from_a_registry_is_of_the_files_that_were_promoted(
    dev: Session, sha256: str, azure: FakeAzure, tmp_path: Path
) -> None:
    verbs.promote(dev, "test")
    other = tmp_path / "other"
    other.mkdir()
    (other / "MLmodel").write_text("flavors: {other: {}}\n", encoding="utf-8")
    azure.load()["copies"]["the-registry"] = str(other)
    azure.save()
    for verb in (verbs.deploy_online, verbs.deploy_batch):
        assert "is not the model that was named" in failure(lambda verb=verb: verb(Session.open("test")))
    assert (azure.load()["online"], azure.load()["batch"]) == (None, None)


def test_a_hash_that_contradicts_the_tag_is_refused_although_the_files_have_it(
    dev: Session, sha256: str, azure: FakeAzure
) -> None:
    register(azure, "1", sha256="1" * 64)
    message = failure(lambda: verbs.deliver(dev, model_version="1", sha256=sha256))
    assert "its tag says sha256 111111111111" in message
    assert azure.load()["online"] is None


def test_a_delivery_that_ends_a_pin_is_of_the_newest_version(
    dev: Session, azure: FakeAzure, page: Path, sha256: str
) -> None:
    register(azure, "2", sha256="2" * 64)
    register(azure, "1", sha256=sha256, pinned_dev="true")
    assert run("models") == 0
    assert outputs(page)["model_version"] == "1"
    assert run("models", "--unpin") == 0
    assert outputs(page)["model_version"] == "2"


def test_the_page_of_a_run_says_how_the_canary_did(dev: Session, azure: FakeAzure, page: Path, sha256: str) -> None:
    set_key(dev.project.root / "config" / "dev.yml", "rollout.canary_minutes", 1)
    session = Session.open("dev")
    verbs.deliver(session, model_version="1")
    assert "| Canary |" not in page.read_text(encoding="utf-8"), "the first deployment has none"
    register(azure, "2", "3", sha256="2" * 64)
    verbs.deliver(session, model_version="2", sleep=lambda seconds: None)
    text = "no request reached the canary in 1 minute: nothing is known of it under load"
    assert f"| Canary | {text} |" in page.read_text(encoding="utf-8")
    azure.load()["callers"] = {"blue": {"codes": {"200": 10}, "latency": 90, "late": 0}}
    azure.save()
    verbs.deliver(session, model_version="3", sleep=lambda seconds: None)
    assert "| Canary | 30 requests, 0 failed (0.0 %), 95 % faster than 90 ms |" in page.read_text(encoding="utf-8")


def test_a_delivery_that_changes_nothing_says_why(dev: Session, azure: FakeAzure, page: Path, sha256: str) -> None:
    register(azure, "2", sha256=sha256)
    verbs.deliver(dev, model_version="1", pin=True)
    verbs.deliver(dev, model_version="2")
    assert outputs(page) == {"delivered": "false", "next": "", "model_version": "2", "sha256": sha256}
    assert "| Decision | nothing was done: the environment is pinned to version 1 |" in page.read_text(encoding="utf-8")


def test_a_held_delivery_is_none_yet(dev: Session, page: Path, sha256: str) -> None:
    pass_on(dev, "test")
    verbs.deliver(Session.open("dev"), hold=True)
    assert outputs(page)["delivered"] == "false"
    assert outputs(page)["next"] == ""


def test_a_pin_is_a_notice_on_the_page_of_the_run(
    dev: Session, azure: FakeAzure, page: Path, sha256: str, capfd: pytest.CaptureFixture[str]
) -> None:
    verbs.deliver(dev, pin=True)
    register(azure, "2")
    verbs.deliver(dev, model_version="2")
    assert "::notice title=mlops deliver::dev is pinned to version 1" in capfd.readouterr().out


def test_what_is_approved_is_in_the_name_of_a_run_of_azure_pipelines(
    dev: Session, azure: FakeAzure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy_each(dev, azure, "12")
    monkeypatch.setenv("TF_BUILD", "True")
    monkeypatch.setenv("BUILD_BUILDNUMBER", "20261129.1")
    verbs.list_models(dev, model_version="1")
    verbs.look(dev)
    assert [line for line in capsys.readouterr().out.splitlines() if "updatebuildnumber" in line] == [
        "##vso[build.updatebuildnumber]20261129.1 version 1, sha256 unknown",
        "##vso[build.updatebuildnumber]20261129.1 rollback of dev from version 2 to 1, sha256 unknown",
    ]


def test_the_list_of_models_hands_on_the_chosen_one_and_shows_what_the_tags_tell(
    dev: Session, azure: FakeAzure, page: Path, sha256: str, capfd: pytest.CaptureFixture[str]
) -> None:
    verbs.deploy_online(dev)
    register(azure, "2", sha256="2" * 64, rejected_dev="true")
    register(azure, "3", sha256="3" * 64, rejected_dev="false", pinned_dev="true")
    capfd.readouterr()
    verbs.list_models(dev)
    assert outputs(page) == {
        "model_version": "3",
        "sha256": "3" * 64,
        "label": "version 3, sha256 333333333333",
    }
    lines = [line.split() for line in capfd.readouterr().out.splitlines() if not line.startswith("az ")]
    assert lines[:4] == [
        ["version", "sha256", "serves", "since", "promoted", "to", "rejected", "in", "pinned", "in"],
        ["3", "333333333333", "dev"],
        ["2", "222222222222", "dev"],
        ["1", sha256[:12], "dev:", "2026-01-01", "00:00"],
    ]
    assert "3" * 64 in " ".join(lines[4])
    table = page.read_text(encoding="utf-8")
    assert "| 3 | 333333333333 |  |  |  | dev |" in table
    assert "| 2 | 222222222222 |  |  | dev |  |" in table
    verbs.list_models(dev, model_version="1")
    assert outputs(page)["sha256"] == sha256
    assert "was rejected in dev" in failure(lambda: verbs.list_models(dev, model_version="2"))


def test_a_rollback_hands_on_what_serves_now(dev: Session, azure: FakeAzure, page: Path, sha256: str) -> None:
    verbs.deploy_online(dev)
    register(azure, "2", sha256="2" * 64)
    verbs.deploy_online(dev)
    verbs.rollback(dev)
    assert outputs(page) == {"model_version": "1", "sha256": sha256}
    text = page.read_text(encoding="utf-8")
    assert "| Changed | version 1 is deployed again in the place of version 2 |" in text


def test_an_error_is_on_the_page_of_a_run_too(dev: Session, page: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run("deliver", "--environment", "prod") == 1
    shown = capfd.readouterr()
    assert shown.err.startswith("error: prod is protected")
    assert "::error title=mlops deliver::prod is protected" in shown.out


# The look before an approval.


def look(environment: str = "dev", **options: str) -> None:
    verbs.preview(Session.open(environment), **options)


def delivered_through(azure: FakeAzure, sha256: str) -> None:
    """Version 1 serves in dev, and test may take it."""
    pass_on(Session.open("dev"), "test")
    verbs.deliver(Session.open("dev"), model_version="1", sha256=sha256)


def test_an_unchanged_model_that_serves_completely_leaves_nothing_to_do_and_is_handed_on(
    dev: Session, azure: FakeAzure, page: Path, sha256: str
) -> None:
    delivered_through(azure, sha256)
    before = azure.load()
    look(model_version="1", sha256=sha256)
    assert azure.load() == before
    expected = {"deliver": "false", "delivered": "true", "next": "test", "model_version": "1", "sha256": sha256}
    assert outputs(page) == expected
    verbs.deliver(Session.open("dev"), model_version="1", sha256=sha256)
    assert azure.load() == before, "and a delivery changes nothing"


def other_sizes(azure: FakeAzure) -> None:
    set_key(Path("config/dev.yml"), "compute.online.instance_count", 5)


def other_batch_sizes(azure: FakeAzure) -> None:
    set_key(Path("config/dev.yml"), "compute.batch.mini_batch_size", 9)


def other_batch_definition(azure: FakeAzure) -> None:
    file = Path("mlops/aml-cli-v2/batch/deployment.yml")
    file.write_text(file.read_text(encoding="utf-8").replace("max_retries: 3", "max_retries: 4"), encoding="utf-8")


def another_threshold(azure: FakeAzure) -> None:
    set_key(Path("config/model.yml"), "drift.numerical.jensen_shannon_distance", 0.9)


def no_monitor(azure: FakeAzure) -> None:
    set_key(Path("config/dev.yml"), "monitor.enabled", False)


def another_next_environment(azure: FakeAzure) -> None:
    pass_on(Session.open("dev"), "prod")


def an_older_batch_deployment(azure: FakeAzure) -> None:
    batch = azure.load()["batch"]
    batch["deployments"]["model-0"] = batch["deployments"]["model-1"]
    azure.save()


def a_deleted_monitor(azure: FakeAzure) -> None:
    azure.load()["schedules"].clear()
    azure.save()


def a_monitor_that_is_off(azure: FakeAzure) -> None:
    """A teardown was cancelled before it had deleted it."""
    (schedule,) = azure.load()["schedules"].values()
    schedule["enabled"] = False
    azure.save()


def an_unwanted_monitor_that_is_off(azure: FakeAzure) -> None:
    a_monitor_that_is_off(azure)
    no_monitor(azure)


def a_canary_that_was_killed(azure: FakeAzure) -> None:
    register(azure, "2")
    kill(Session.open("dev"), "2")
    azure.load()["models"].pop("2")
    azure.save()


def another_deployment_of_the_same(azure: FakeAzure) -> None:
    """The monitor is of the one before."""
    verbs.deploy_online(Session.open("dev"), model_version="1", force=True)


def a_delivery_that_was_killed_after_other_definitions(azure: FakeAzure) -> None:
    file = Path("config/dev.yml")
    before = file.read_text(encoding="utf-8")
    other_batch_sizes(azure)
    azure.fail("az ml schedule create")
    failure(lambda: verbs.deliver(Session.open("dev"), model_version="1"))
    azure.works_again()
    file.write_text(before, encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (other_sizes, "other scoring code, environment, definition, size or number of machines"),
        (other_batch_sizes, "batch endpoint and monitor have other definitions or sizes"),
        (other_batch_definition, "batch endpoint and monitor have other definitions or sizes"),
        (another_threshold, "batch endpoint and monitor have other definitions or sizes"),
        (another_deployment_of_the_same, "batch endpoint and monitor have other definitions or sizes"),
        (a_delivery_that_was_killed_after_other_definitions, "batch endpoint and monitor have other definitions"),
        (no_monitor, "the monitor is set up as the configuration says"),
        (a_deleted_monitor, "the monitor is set up as the configuration says"),
        (a_monitor_that_is_off, "the monitor is set up as the configuration says"),
        (an_unwanted_monitor_that_is_off, "the monitor is set up as the configuration says"),
        (another_next_environment, "version 1 is promoted to prod"),
        (an_older_batch_deployment, "the batch endpoint scores with version 1"),
        (a_canary_that_was_killed, "all traffic to blue"),
    ],
)
def test_whatever_a_delivery_would_change_is_to_be_done(
    dev: Session, azure: FakeAzure, page: Path, sha256: str, change: Callable[[FakeAzure], None], words: str
) -> None:
    delivered_through(azure, sha256)
    change(azure)
    look(model_version="1", sha256=sha256)
    assert f"- {words}" in page.read_text(encoding="utf-8")
    assert outputs(page) | {"deliver": "true", "delivered": "false", "next": ""} == outputs(page)
    verbs.deliver(Session.open("dev"), model_version="1", sha256=sha256)
    look(model_version="1", sha256=sha256)
    assert outputs(page)["deliver"] == "false", "the delivery has done it"


@pytest.mark.parametrize("option", ["--force", "--hold", "--pin", "--unpin"])
def test_with_an_option_there_is_something_to_do(
    dev: Session, azure: FakeAzure, page: Path, sha256: str, option: str
) -> None:
    delivered_through(azure, sha256)
    assert run("deliver", "--look", option) == 0
    assert outputs(page)["deliver"] == "true"


def test_where_another_version_is_pinned_or_the_next_environment_has_rejected_it_nothing_is_to_be_done(
    dev: Session, azure: FakeAzure, page: Path, sha256: str, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered_through(azure, sha256)
    azure.load()["registries"]["the-registry"]["1"]["rejected_test"] = "true"
    azure.save()
    look(model_version="1", sha256=sha256)
    assert outputs(page) | {"deliver": "false", "delivered": "true", "next": ""} == outputs(page)
    assert (
        "::notice title=mlops deliver::The model stays in dev: test has rejected version 1" in capsys.readouterr().out
    )
    register(azure, "1", sha256=sha256, pinned_dev="true")
    register(azure, "2")
    look(model_version="2")
    assert outputs(page) | {"deliver": "false", "delivered": "false", "next": ""} == outputs(page)
    assert "::notice title=mlops deliver::dev is pinned to version 1" in capsys.readouterr().out


def test_an_approver_reads_what_the_model_replaces_and_why_it_was_registered(
    dev: Session, azure: FakeAzure, page: Path, sha256: str
) -> None:
    notes = {"metrics": "mae=9.5 r2=0.8", "reasons": "no champion yet"}
    register(azure, "1", sha256=sha256, **notes)
    for source, target in (("dev", "test"), ("test", "prod")):
        verbs.promote(Session.open(source), target)
    prod = Session.open("prod")
    verbs.preview(prod, model_version="1", sha256=sha256)
    assert "Nothing serves yet." in page.read_text(encoding="utf-8")
    verbs.deliver(prod, model_version="1", sha256=sha256)
    better = {"metrics": "mae=8.123", "reasons": "the floor is reached; the champion is beaten"}
    register(azure, "2", sha256=sha256, **better)
    for source, target in (("dev", "test"), ("test", "prod")):
        verbs.promote(Session.open(source), target)
    verbs.preview(prod, model_version="2", sha256=sha256)
    lines = page.read_text(encoding="utf-8").splitlines()
    for line in [
        "## prod: version 2 is delivered next",
        "|  | version 2 | serves now: version 1 |",
        f"| sha256 | `{sha256[:12]}` | `{sha256[:12]}` |",
        "| had all traffic since | never | 2026-01-01 00:00 |",
        "| mae | 8.123 | 9.5 |",
        "| r2 | unknown | 0.8 |",
        "- version 2 in the place of version 1",
        "- the floor is reached",
        "- the champion is beaten",
    ]:
        assert line in lines
    assert "prod is protected, so `mlops deliver` names its model" in failure(lambda: verbs.preview(prod))


def test_a_look_refuses_what_the_delivery_would_refuse(dev: Session, azure: FakeAzure, sha256: str) -> None:
    register(azure, "2", sha256="2" * 64)
    verbs.deliver(dev, model_version="1")
    register(azure, "3", sha256="3" * 64)
    for given in ({"model_version": "9"}, {"model_version": "3", "sha256": "0" * 64}):
        words = failure(lambda given=given: look(**given))
        assert words == failure(lambda given=given: verbs.deliver(dev, **given))
    verbs.deploy_online(dev, model_version="2")
    older = {"model_version": "1", "sha256": sha256}
    assert failure(lambda: look(**older)) == failure(lambda: verbs.deliver(dev, **older))


@pytest.mark.parametrize("serves_before", [False, True])
def test_a_delivery_lists_the_versions_once_and_after_a_rollout_once_more(
    dev: Session, azure: FakeAzure, sha256: str, serves_before: bool
) -> None:
    if serves_before:
        delivered_through(azure, sha256)
    before = len(azure.ran("model list --name a-model --resource-group"))
    delivered_through(azure, sha256)
    assert len(azure.ran("model list --name a-model --resource-group")) == before + (1 if serves_before else 2)


def test_a_page_names_what_is_held_what_is_a_canary_and_what_served_before(
    dev: Session, azure: FakeAzure, page: Path
) -> None:
    def shown() -> str:
        page.unlink(missing_ok=True)
        look()
        return page.read_text(encoding="utf-8")

    deploy_each(dev, azure, "1")
    register(azure, "2")
    verbs.deploy_online(dev, hold=True)
    assert "- green is removed: it is held with version 2" in shown().splitlines(), "by the delivery of version 2"
    register(azure, "2", rejected_dev="true", held_dev="true")
    assert "green is held with version 2, and stays." in shown().splitlines()
    verbs.abort(dev, held=True)
    register(azure, "3", "4")
    kill(dev, "3")
    words = "- green is removed: it is the canary of version 3, with 10 % of the traffic; its rollout is in progress"
    assert words in shown()
    verbs.abort(dev)
    azure.fail("online-deployment delete --name blue")
    failure(lambda: verbs.deploy_online(dev, model_version="3"))
    azure.works_again()
    assert "- blue is removed: it is what served before, version 1, without traffic" in shown().splitlines()


def test_a_registry_that_the_look_cannot_read_is_one_to_promote_to(
    dev: Session, azure: FakeAzure, page: Path, sha256: str, capsys: pytest.CaptureFixture[str]
) -> None:
    delivered_through(azure, sha256)
    azure.fail("az ml model list --name a-model --registry-name", "(AuthorizationFailed) no right")
    capsys.readouterr()
    look(model_version="1", sha256=sha256)
    assert outputs(page)["deliver"] == "true"
    assert "- version 1 is promoted to test" in page.read_text(encoding="utf-8").splitlines()
    assert "::warning title=mlops deliver::Registry the-registry cannot be read" in capsys.readouterr().out


# A run that waited while a newer one passed.


class Runs:
    """Two environments whose endpoints are apart, and the runs of a system of workflows."""

    def __init__(self, azure: FakeAzure, monkeypatch: pytest.MonkeyPatch, system: str) -> None:
        self._azure, self._patch, self._variable = azure, monkeypatch, system
        self._parts: dict[str, dict[str, object]] = {}
        self._at = "dev"

    def begin(self, number: int, machines: int) -> None:
        """A run, whose commit has this number of machines in test."""
        self._patch.setenv(self._variable, str(number))
        set_key(Path("config/test.yml"), "compute.online.instance_count", machines)

    def at(self, environment: str) -> Session:
        """Open an environment, with the endpoints that it has."""
        state, keys = self._azure.load(), ("online", "batch", "schedules")
        self._parts[self._at] = {key: state[key] for key in keys}
        self._at = environment
        state.update(self._parts.get(environment, {"online": None, "batch": None, "schedules": {}}))
        self._azure.save()
        return Session.open(environment)


@pytest.fixture(params=["GITHUB_RUN_ID", "BUILD_BUILDID"])
def runs(
    request: pytest.FixtureRequest, dev: Session, azure: FakeAzure, monkeypatch: pytest.MonkeyPatch, sha256: str
) -> Runs:
    """Version 1 serves in dev and test, by run 9."""
    runs = Runs(azure, monkeypatch, request.param)
    runs.begin(9, 1)
    pass_on(dev, "test")
    for environment in ("dev", "test"):
        verbs.deliver(runs.at(environment), model_version="1", sha256=sha256)
    return runs


def older_run_waits(runs: Runs, page: Path) -> None:
    """Run 10 of a push waits for its approval in test; run 11, of its revert, finds all there."""
    for number, machines, expected in ((10, 5, "true"), (11, 1, "false")):
        runs.begin(number, machines)
        session = runs.at("dev")
        look(model_version="1")
        assert outputs(page)["deliver"] == "true"
        assert "version 1 is passed on to test with other code" in page.read_text(encoding="utf-8")
        verbs.deliver(session, model_version="1")
        look(model_version="1")
        assert outputs(page) | {"deliver": "false", "next": "test"} == outputs(page)
        runs.at("test")
        look("test", model_version="1")
        assert outputs(page)["deliver"] == expected


def train_again(runs: Runs, azure: FakeAzure, version: str, sha256: str) -> None:
    """All jobs of a run that has begun run again: there is another version, and it serves in dev."""
    if version != "1":
        register(azure, version, sha256=sha256)
        verbs.deliver(runs.at("dev"), model_version=version)


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_run_that_waited_while_a_newer_one_found_all_there_is_refused(
    runs: Runs, azure: FakeAzure, page: Path, sha256: str, version: str
) -> None:
    """Also with a version that no newer run has had: it would bring its old code, too."""
    older_run_waits(runs, page)
    runs.begin(10, 5)
    train_again(runs, azure, version, sha256)
    session, before = runs.at("test"), azure.load()
    words = failure(lambda: verbs.deliver(session, model_version=version, sha256=sha256))
    assert words.startswith("run 11 is newer than this one, and has passed version 1 on to test with other code")
    assert "approve that run or, if it is over or was rejected, start a new delivery" in words
    assert failure(lambda: look("test", model_version=version)) == words
    assert azure.load() == before
    # What it would pass on again is not newer, either.
    verbs.deliver(runs.at("dev"), model_version=version)
    assert words == failure(lambda: verbs.deliver(runs.at("test"), model_version=version, sha256=sha256))


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize(
    ("number", "machines", "options"),
    [
        (11, 1, {}),  # the newest run again
        (10, 1, {}),  # an older one that brings the same
        (12, 5, {}),  # a new delivery by hand
        (10, 5, {"pin": True}),
        (10, 5, {"force": True}),
        (0, 5, {}),  # from a terminal
    ],
)
def test_a_delivery_that_is_meant_is_not_refused_because_a_newer_run_passed(
    runs: Runs,
    azure: FakeAzure,
    page: Path,
    monkeypatch: pytest.MonkeyPatch,
    sha256: str,
    number: int,
    machines: int,
    options: dict,
    version: str,
) -> None:
    older_run_waits(runs, page)
    runs.begin(number, machines)
    train_again(runs, azure, version, sha256)
    if not number:
        for name in ("GITHUB_RUN_ID", "BUILD_BUILDID"):
            monkeypatch.delenv(name, raising=False)
    session = runs.at("test")
    verbs.deliver(session, model_version=version, **options)
    assert list(serves(session)[1].values()) == [version]


def test_a_repository_that_moved_to_where_runs_are_counted_anew_delivers(
    runs: Runs, azure: FakeAzure, monkeypatch: pytest.MonkeyPatch, sha256: str
) -> None:
    for name in ("GITHUB_SERVER_URL", "SYSTEM_COLLECTIONURI"):
        monkeypatch.setenv(name, "https://dev.azure.com/another/")
    for number, machines in ((3, 5), (4, 6)):
        runs.begin(number, machines)
        for environment in ("dev", "test"):
            verbs.deliver(runs.at(environment), model_version="1", sha256=sha256)
    assert azure.load()["online"]["deployments"]["blue"]["set"]["instance_count"] == "6"
    runs.begin(3, 5)
    assert "run 4 is newer" in failure(lambda: verbs.deliver(runs.at("test"), model_version="1", sha256=sha256))


def test_a_run_that_is_older_than_one_that_delivered_is_refused_where_both_began(
    runs: Runs, azure: FakeAzure, sha256: str
) -> None:
    """Both were started by hand, for that environment alone."""
    runs.begin(11, 5)
    verbs.deliver(runs.at("test"), model_version="1", sha256=sha256)
    runs.begin(10, 1)
    words = failure(lambda: verbs.deliver(runs.at("test"), model_version="1", sha256=sha256))
    assert words.startswith("run 11 is newer than this one")


# Two projects with a model of one name in one workspace.


def test_a_version_of_another_project_is_neither_chosen_nor_delivered_nor_gone_back_to(
    dev: Session, azure: FakeAzure
) -> None:
    register(azure, "1", mlops_project="online-dev")
    register(azure, "2", mlops_project="online-of-another-team")
    register(azure, "3")  # of an earlier release
    verbs.deliver(dev)
    verbs.rollback(dev)
    assert list(serves(dev)[1].values()) == ["1"]
    words = (
        "version 2 of a-model is of another project, online-of-another-team: choose another one; if it is this one's"
    )
    assert words in failure(lambda: verbs.deliver(dev, model_version="2"))


def test_nothing_is_trained_where_another_project_has_a_model_of_this_name(dev: Session, azure: FakeAzure) -> None:
    register(azure, "1", mlops_project="online-dev")
    register(azure, "2", mlops_project="online-of-another-team")
    words = failure(lambda: verbs.train(dev))
    assert "model a-model in workspace mlw-dev is that of another project, online-of-another-team" in words
    assert "give model.name in config/*.yml another value" in words
    assert not azure.ran("az ml job create")
    assert azure.load()["data"] == {}


def test_a_project_whose_endpoint_was_renamed_keeps_its_versions(dev: Session, azure: FakeAzure) -> None:
    register(azure, "1", mlops_project="the-name-before")
    words = failure(lambda: verbs.deliver(dev))
    assert words == "workspace mlw-dev has no usable version of a-model: run `uv run mlops train --environment dev`"
    words = failure(lambda: verbs.deliver(dev, model_version="1"))
    remedy = 'former_endpoints = ["the-name-before"]'
    assert f"add {remedy} to [tool.mlops] in pyproject.toml" in words
    assert f"add {remedy} to [tool.mlops] in pyproject.toml" in failure(lambda: verbs.train(dev))
    file = dev.project.root / "pyproject.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("[tool.mlops]\n", f"[tool.mlops]\n{remedy}\n"), encoding="utf-8")
    verbs.deliver(Session.open("dev"))
    assert list(serves(dev)[1].values()) == ["1"]


def test_what_a_person_registered_is_delivered_when_it_is_named(
    dev: Session, azure: FakeAzure, sha256: str, capsys: pytest.CaptureFixture[str]
) -> None:
    register(azure, "2")
    verbs.deliver(dev)
    assert list(serves(dev)[1].values()) == ["1"]
    assert "Version 2 is left out: no training registered it. Name it to use it." in capsys.readouterr().out
    verbs.deliver(dev, model_version="2")
    assert list(serves(dev)[1].values()) == ["2"]
    # The next push names none, and keeps it.
    verbs.deliver(dev)
    assert list(serves(dev)[1].values()) == ["2"]


def test_a_shift_of_all_traffic_says_what_is_still_billed(
    dev: Session, azure: FakeAzure, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy_each(dev, azure, "1")
    register(azure, "2")
    verbs.deploy_online(dev, hold=True)
    verbs.shift_traffic(dev, 100)
    said = capsys.readouterr().out
    words = "blue has no traffic and is billed all the same, for `uv run mlops rollback --environment dev`"
    assert words in said
    assert "such as `uv run mlops deliver --environment dev --model-version 2`" in said
    verbs.deliver(dev, model_version="2")
    assert list(serves(dev)[1].values()) == ["2"]


def test_a_registered_version_is_noted_as_this_projects_and_so_is_its_copy(
    dev: Session, azure: FakeAzure, sha256: str
) -> None:
    result = {"registered": True, "name": "a-model", "version": "1", "sha256": sha256, "reasons": []}
    azure.load()["registration"] = result
    azure.save()
    verbs.train(dev)
    assert azure.load()["models"]["1"]["mlops_project"] == "online-dev"
    verbs.train(dev)
    verbs.promote(dev, "test")
    assert azure.load()["registries"]["the-registry"]["1"]["mlops_project"] == "online-dev"


# What cannot be meant.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model_version": "1", "sha256": "abc"}, "write all its 64 hexadecimal digits"),
        ({"sha256": "0" * 64}, "name it with --model-version"),
        ({"pin": True, "unpin": True}, "--pin and --unpin exclude each other"),
        ({"pin": True, "hold": True}, "--hold and --pin exclude each other"),
    ],
)
def test_options_that_contradict_each_other_change_nothing(
    dev: Session, azure: FakeAzure, options: dict[str, object], words: str
) -> None:
    assert words in failure(lambda: verbs.deliver(dev, **options))  # type: ignore[arg-type]
    assert azure.log == []


def test_the_end_of_a_rollout_takes_no_other_options(project: Project, azure: FakeAzure) -> None:
    assert run("deliver", "--abort", "--force") == 1
    assert azure.log == []


def test_a_rollback_goes_to_no_version_that_never_served_or_is_bad(dev: Session, azure: FakeAzure) -> None:
    register(azure, "1")
    verbs.deploy_online(dev)
    register(azure, "2")
    assert "version 2 is newer than 1, which serves, and never served in dev" in failure(
        lambda: verbs.rollback(dev, model_version="2")
    )
    kill(dev, "2")
    assert "version 2 is what a rollback rejects now" in failure(lambda: verbs.rollback(dev, model_version="2"))
    assert "has no version 9" in failure(lambda: verbs.rollback(dev, model_version="9"))
    assert serves(dev) == ({"blue": 90, "green": 10}, {"blue": "1", "green": "2"})


def test_a_rollback_to_a_named_version_is_not_undone_by_the_next_delivery(dev: Session, azure: FakeAzure) -> None:
    for version in "123":
        register(azure, version)
        verbs.deliver(dev, model_version=version)
    register(azure, "4")
    verbs.rollback(dev, model_version="1")
    tags = azure.load()["models"]
    assert [tags[version].get("rejected_dev") for version in "1234"] == [None, "true", "true", None]
    azure.load()["models"].pop("4")
    azure.save()
    verbs.deliver(dev)
    assert list(serves(dev)[1].values()) == ["1"]


def test_a_rollback_during_a_rollout_can_go_further_back(dev: Session, azure: FakeAzure) -> None:
    deploy_each(dev, azure, "12")
    register(azure, "3")
    kill(dev, "3")
    verbs.rollback(dev, model_version="1")
    assert serves(dev) == ({"blue": 100}, {"blue": "1"})
    rejected = {version: tags.get("rejected_dev") for version, tags in azure.load()["models"].items()}
    assert rejected == {"1": None, "2": "true", "3": "true"}


def test_a_rollback_compares_the_files_before_it_deploys(dev: Session, azure: FakeAzure, sha256: str) -> None:
    verbs.deploy_online(dev)
    deploy_each(dev, azure, "2")
    azure.load()["models"]["1"]["sha256"] = "0" * 64
    azure.save()
    assert "version 1 in workspace mlw-dev is not the model that was named" in failure(lambda: verbs.rollback(dev))
    assert "rejected_dev" not in azure.load()["models"]["2"]
    assert serves(dev) == ({"green": 100}, {"green": "2"})


def test_a_rollback_waits_for_no_canary(dev: Session, azure: FakeAzure) -> None:
    file = dev.project.root / "config" / "dev.yml"
    write_yaml(file, {**load_yaml(file), "rollout": {"canary_percent": 10, "canary_minutes": 30}})
    session, slept = Session.open("dev"), []
    for version in "12":
        register(azure, version)
        verbs.deploy_online(session, sleep=slept.append)
    assert slept
    slept.clear()
    verbs.rollback(session, sleep=slept.append)
    assert slept == []


def test_a_rollback_to_a_version_that_never_served_waits_for_its_canary(dev: Session, azure: FakeAzure) -> None:
    file = dev.project.root / "config" / "dev.yml"
    write_yaml(file, {**load_yaml(file), "rollout": {"canary_percent": 10, "canary_minutes": 30}})
    session, slept = Session.open("dev"), []
    register(azure, "1")
    register(azure, "2")
    verbs.deploy_online(session, model_version="2", sleep=slept.append)
    slept.clear()
    verbs.rollback(session, model_version="1", sleep=slept.append)
    assert sum(slept) >= 30 * 60
    assert serves(dev) == ({"green": 100}, {"green": "1"})


def test_what_is_rejected_in_one_environment_may_be_used_in_the_others(
    dev: Session, azure: FakeAzure, sha256: str
) -> None:
    register(azure, "2", sha256=sha256)
    for version in "12":
        for source, target in (("dev", "test"), ("test", "prod")):
            verbs.promote(Session.open(source), target, model_version=version)
        verbs.deploy_online(Session.open("test"), model_version=version)
    verbs.rollback(Session.open("test"))
    assert "was rejected in test" in failure(lambda: verbs.deliver(Session.open("test"), model_version="2"))
    azure.load()["online"] = None
    azure.save()
    verbs.deliver(Session.open("prod"), model_version="2", sha256=sha256)


@pytest.mark.parametrize(
    "words",
    [
        "az ml model update --name a-model --version 2",
        "az ml batch-endpoint list",
        "az ml batch-deployment create",
        "az ml batch-deployment delete",
    ],
)
def test_a_rollback_that_broke_off_is_completed_and_goes_no_further_back(
    dev: Session, azure: FakeAzure, words: str
) -> None:
    for version in "123":
        register(azure, version)
        verbs.deliver(dev, model_version=version)
    azure.fail(words)
    failure(lambda: verbs.rollback(dev))
    azure.works_again()
    verbs.rollback(dev)
    found = azure.load()
    assert list(serves(dev)[1].values()) == ["2"]
    assert found["batch"]["default"] == "model-2"
    assert "rejected_dev" not in found["models"]["2"]
    verbs.rollback(dev)
    assert list(serves(dev)[1].values()) == ["1"], "the next one goes further back"


@pytest.mark.parametrize("bad", ["3", None])
def test_a_rollback_whose_end_cannot_be_noted_is_done(dev: Session, azure: FakeAzure, bad: str | None) -> None:
    deploy_each(dev, azure, "123")
    azure.fail("tags.leaving_dev=false")
    verbs.rollback(dev)
    azure.works_again()
    verbs.rollback(dev, bad=bad)
    assert list(serves(dev)[1].values()) == ["2"], "the repeated one only completes it"
    assert azure.load()["models"]["3"]["leaving_dev"] == "false"


def test_a_rollback_that_names_the_bad_version_can_be_repeated_after_its_end(dev: Session, azure: FakeAzure) -> None:
    deploy_each(dev, azure, "123")
    for _ in range(2):
        verbs.rollback(dev, bad="3")
        assert list(serves(dev)[1].values()) == ["2"]
    assert "version 1 does not serve in dev, version 2 does" in failure(lambda: verbs.rollback(dev, bad="1"))
    assert "no version 9" in failure(lambda: verbs.rollback(dev, bad="9"))
    assert list(serves(dev)[1].values()) == ["2"]


def test_what_only_describes_a_delivery_turns_no_run_red(
    dev: Session, sha256: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    verbs.deliver(dev)
    monkeypatch.setattr("mlops.azureml.aml_cli_v2.AzureCli.online_address", refuse)
    verbs.deliver(dev)
    assert "The endpoint cannot be described: Azure does not answer" in capsys.readouterr().out


def refuse(_: object) -> str:
    raise UserError("Azure does not answer")


def test_a_rollback_whose_deployment_went_although_azure_says_no_is_none_that_broke_off(
    dev: Session, azure: FakeAzure
) -> None:
    deploy_each(dev, azure, "12")
    register(azure, "3")
    kill(dev, "3")
    azure.fail("az ml online-deployment delete", after=True)
    verbs.rollback(dev)
    assert list(serves(dev)[1].values()) == ["2"]


def test_a_version_whose_predecessor_could_not_be_removed_is_what_a_rollback_comes_back_to(
    dev: Session, azure: FakeAzure
) -> None:
    deploy_each(dev, azure, "12")
    azure.fail("az ml online-deployment delete")
    failure(lambda: verbs.deliver(dev, model_version="1", pin=True))
    azure.works_again()
    register(azure, "3")
    verbs.deliver(dev, model_version="3", unpin=True)
    verbs.rollback(dev)
    assert list(serves(dev)[1].values()) == ["1"]


# What the tags remember.


def test_a_version_has_the_time_since_which_it_has_all_traffic(dev: Session, azure: FakeAzure) -> None:
    def times() -> dict[str, str | None]:
        return {version: tags.get("deployed_dev") for version, tags in azure.load()["models"].items()}

    register(azure, "1")
    verbs.deploy_online(dev, hold=True)
    assert times() == {"1": None}
    verbs.deploy_online(dev)
    verbs.deploy_online(dev)
    assert times() == {"1": "2026-01-01T00:00:00Z"}
    register(azure, "2")
    verbs.deploy_online(dev)
    verbs.deploy_online(dev, model_version="1")
    assert times() == {"1": "2026-01-01T00:00:02Z", "2": "2026-01-01T00:00:01Z"}


def test_a_time_that_could_not_be_noted_is_noted_by_the_next_delivery(dev: Session, azure: FakeAzure) -> None:
    register(azure, "1")
    azure.fail("az ml model update")
    failure(lambda: verbs.deliver(dev))
    azure.works_again()
    verbs.deliver(dev)
    assert azure.load()["models"]["1"]["deployed_dev"] == "2026-01-01T00:00:01Z"


def test_the_new_pin_of_a_rollout_that_was_killed_ends_with_it(dev: Session, azure: FakeAzure) -> None:
    deploy_each(dev, azure, "12")
    kill(dev, "1")
    azure.load()["models"]["1"]["pinned_dev"] = "true"
    azure.save()
    verbs.abort(dev)
    assert azure.load()["models"]["1"]["pinned_dev"] == "false"
    assert serves(dev) == ({"green": 100}, {"green": "2"})


def test_a_pin_stays_when_only_the_old_deployment_could_not_be_removed(dev: Session, azure: FakeAzure) -> None:
    deploy_each(dev, azure, "12")
    azure.fail("az ml online-deployment delete")
    assert "could not be removed" in failure(lambda: verbs.deliver(dev, model_version="1", pin=True))
    assert azure.load()["models"]["1"]["pinned_dev"] == "true"
    azure.works_again()
    verbs.abort(dev)
    assert serves(dev)[0] == {"blue": 100}
    verbs.deliver(dev)
    assert serves(dev) == ({"blue": 100}, {"blue": "1"})


@pytest.mark.parametrize(("old", "new"), [("1", "2"), ("2", "1")])
def test_the_end_of_a_rollout_leaves_no_pin_to_a_version_that_does_not_serve(
    dev: Session, azure: FakeAzure, old: str, new: str
) -> None:
    register(azure, "1", "2")
    verbs.deliver(dev, model_version=old, pin=True)
    azure.fail("az ml online-deployment delete")
    assert "could not be removed" in failure(lambda: verbs.deliver(dev, model_version=new, pin=True))
    azure.works_again()
    verbs.abort(dev)
    assert [azure.load()["models"][version]["pinned_dev"] for version in (old, new)] == ["false", "true"]
    verbs.deliver(dev, model_version=new)
    assert list(serves(dev)[1].values()) == [new], "the delivery is completed"


def test_where_nothing_serves_any_more_a_pin_stays_to_what_served_last_alone(dev: Session, azure: FakeAzure) -> None:
    register(azure, "1", "2")
    verbs.deliver(dev, model_version="1", pin=True)
    verbs.teardown(dev)
    # A delivery of version 2 set its pin, and Azure answered no more.
    azure.load()["models"]["2"]["pinned_dev"] = "true"
    azure.save()
    verbs.abort(dev)
    assert [azure.load()["models"][version]["pinned_dev"] for version in "12"] == ["true", "false"]


# What is not completed.


@pytest.mark.parametrize("percent", [10, 60])
def test_a_canary_that_was_killed_is_none_that_serves(dev: Session, azure: FakeAzure, percent: int) -> None:
    set_key(dev.project.root / "config" / "dev.yml", "rollout.canary_percent", percent)
    session = Session.open("dev")
    register(azure, "1", "2")
    verbs.deploy_online(session, model_version="1")
    kill(session, "2")
    assert serves(session)[0] == {"blue": 100 - percent, "green": percent}
    assert Endpoint.look(session).serving.model_version == "1"  # type: ignore[union-attr]
    verbs.deliver(session, model_version="1")
    assert serves(session) == ({"blue": 100}, {"blue": "1"})
    kill(session, "2")
    verbs.abort(session)
    assert serves(session) == ({"blue": 100}, {"blue": "1"})


def test_a_run_that_fails_leaves_what_an_earlier_one_holds(dev: Session, azure: FakeAzure) -> None:
    register(azure, "1")
    verbs.deploy_online(dev)
    register(azure, "2")
    verbs.deliver(dev, model_version="2", hold=True)
    failure(lambda: verbs.deliver(dev, model_version="9"))
    verbs.abort(dev)
    assert serves(dev) == ({"blue": 100}, {"blue": "1", "green": "2"})
    assert run("deliver", "--abort", "--hold") == 0
    assert serves(dev) == ({"blue": 100}, {"blue": "1"})
    kill(dev, "2")
    verbs.abort(dev)
    assert serves(dev) == ({"blue": 100}, {"blue": "1"}), "what was held before is not held now"


def test_what_is_to_be_held_and_was_killed_before_is_not_held(dev: Session, azure: FakeAzure) -> None:
    register(azure, "1", "2")
    verbs.deploy_online(dev, model_version="1")
    azure.fail("az ml model update")
    failure(lambda: verbs.deliver(dev, model_version="2", hold=True))
    azure.works_again()
    verbs.abort(dev)
    assert serves(dev) == ({"blue": 100}, {"blue": "1"})


# Two at once: the workflow keeps them apart; a terminal does not.


def test_a_second_rollout_that_fails_leaves_the_old_deployment_serving(dev: Session, azure: FakeAzure) -> None:
    for version in "12":
        register(azure, version)
        verbs.deploy_online(dev, hold=version == "2")
    register(azure, "3")

    def second(seconds: float) -> None:
        azure.load()["answers"] = {"green": 1e9}
        azure.save()
        failure(lambda: verbs.deploy_online(dev, model_version="3"))
        azure.load()["answers"] = {}
        azure.save()

    failure(lambda: verbs.deploy_online(dev, model_version="2", bake_minutes=1, sleep=second))
    assert serves(dev) == ({"blue": 100}, {"blue": "1"})


def test_a_rollout_gives_no_traffic_to_what_another_one_has_put_in_the_place_of_its_own(
    dev: Session, azure: FakeAzure
) -> None:
    register(azure, "1")
    verbs.deploy_online(dev)
    register(azure, "2", "3")

    def second(seconds: float) -> None:
        verbs.deploy_online(dev, model_version="3", hold=True)

    message = failure(lambda: verbs.deploy_online(dev, model_version="2", bake_minutes=1, sleep=second))
    assert "blue still has all traffic: another rollout has replaced green meanwhile" in message
    assert serves(dev)[0] == {"blue": 100}
    assert "deployed_dev" not in azure.load()["models"]["2"]


# Two at once, and what is held.


def test_a_rollback_goes_back_from_what_serves_while_a_newer_version_is_held(dev: Session, azure: FakeAzure) -> None:
    for version in "123":
        register(azure, version)
        verbs.deploy_online(dev, hold=version == "3")
    verbs.rollback(dev)
    assert list(serves(dev)[1].values()) == ["1"]
    tags = azure.load()["models"]
    assert tags["2"]["rejected_dev"] == "true"
    assert "rejected_dev" not in tags["3"]


def test_a_rollback_that_names_the_older_of_two_rejects_that_one(dev: Session, azure: FakeAzure) -> None:
    """Its look was before the rollout of a correction began."""
    deploy_each(dev, azure, "12")
    register(azure, "3")
    kill(dev, "3")
    verbs.rollback(dev, bad="2")
    assert list(serves(dev)[1].values()) == ["1"]
    assert "rejected_dev" not in azure.load()["models"]["3"]


def test_a_look_names_what_a_rollback_does_and_changes_nothing(
    dev: Session, azure: FakeAzure, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy_each(dev, azure, "123")
    before = azure.load()
    verbs.look(dev)
    assert azure.load() == before
    label = "from version 3 to 2, sha256 unknown"
    assert outputs(page) == {"bad": "3", "model_version": "2", "sha256": "", "label": label}
    verbs.look(dev, model_version="1")
    assert outputs(page)["model_version"] == "1"
    assert "## dev: a rollback goes from version 3 to 1" in page.read_text(encoding="utf-8")
    azure.fail("az ml schedule list")
    failure(lambda: verbs.rollback(dev, bad="3"))
    azure.works_again()
    verbs.look(dev)
    assert outputs(page)["bad"] == "3", "a new run completes the one that broke off"
    verbs.rollback(dev, bad="3")
    assert list(serves(dev)[1].values()) == ["2"]


def canary_of_3(dev: Session, azure: FakeAzure) -> None:
    deploy_each(dev, azure, "12")
    register(azure, "3")
    kill(dev, "3")


def rejected_beside_a_canary(dev: Session, azure: FakeAzure) -> None:
    """A rollback from version 2 was killed when the deployment of version 1 was a canary."""
    canary_of_3(dev, azure)
    register(azure, "2", rejected_dev="true")


def held_beside_what_serves(dev: Session, azure: FakeAzure) -> None:
    deploy_each(dev, azure, "12")
    register(azure, "3")
    verbs.deploy_online(dev, hold=True)


def broken_off_before_its_end(dev: Session, azure: FakeAzure) -> None:
    deploy_each(dev, azure, "123")
    azure.fail("az ml schedule list")
    failure(lambda: verbs.rollback(dev))
    azure.works_again()


@pytest.mark.parametrize("model_version", [None, "1", "2", "3"])
@pytest.mark.parametrize(
    "given",
    [
        lambda dev, azure: deploy_each(dev, azure, "123"),
        canary_of_3,
        rejected_beside_a_canary,
        held_beside_what_serves,
        broken_off_before_its_end,
    ],
)
def test_a_look_and_a_rollback_go_the_same_way(
    dev: Session, azure: FakeAzure, page: Path, given: Callable[..., None], model_version: str | None
) -> None:
    given(dev, azure)
    refused = problem(lambda: verbs.look(dev, model_version=model_version))
    looked = {} if refused else outputs(page)
    assert problem(lambda: verbs.rollback(dev, model_version=model_version)) == refused
    if refused:
        return
    assert serves(dev)[1][next(iter(serves(dev)[0]))] == looked["model_version"]
    if looked["bad"] == looked["model_version"]:
        return
    assert azure.load()["models"][looked["bad"]]["rejected_dev"] == "true"
    assert f"| Rejected | version {looked['bad']}, until" in page.read_text(encoding="utf-8")


def test_a_look_asks_once_what_is_deployed(dev: Session, azure: FakeAzure) -> None:
    deploy_each(dev, azure, "12")
    before = len(azure.ran("online-endpoint list"))
    verbs.look(dev)
    assert len(azure.ran("online-endpoint list")) == before + 1


def test_a_look_during_a_rollback_names_the_same_version(
    dev: Session, azure: FakeAzure, page: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy_each(dev, azure, "123")
    seen = []

    def test(session: Session, deployment: str | None = None) -> None:
        verbs.look(Session.open("dev"))
        seen.append(outputs(page)["bad"])

    monkeypatch.setattr("mlops.verbs.online.smoke_test", test)
    verbs.rollback(dev, bad="3")
    assert set(seen) == {"3"}


def test_the_last_step_of_a_delivery_leaves_a_rollback_in_progress_alone(
    dev: Session, azure: FakeAzure, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy_each(dev, azure, "12")

    def test(session: Session, deployment: str | None = None) -> None:
        verbs.abort(Session.open("dev"))

    monkeypatch.setattr("mlops.verbs.online.smoke_test", test)
    verbs.rollback(dev, bad="2")
    assert list(serves(dev)[1].values()) == ["1"]
    assert "is that of a rollback from version 2" in capsys.readouterr().out


def test_a_rollout_takes_no_traffic_from_what_another_one_has_put_in_the_place_of_its_own(
    dev: Session, azure: FakeAzure
) -> None:
    register(azure, "1")
    verbs.deploy_online(dev)
    register(azure, "2", "3")

    def second(_: float) -> None:
        azure.fail("az ml online-deployment delete --name blue")
        failure(lambda: verbs.deploy_online(dev, model_version="3", bake_minutes=0))
        azure.works_again()

    words = failure(lambda: verbs.deploy_online(dev, model_version="2", bake_minutes=1, sleep=second))
    assert "another rollout has replaced green" in words
    traffic, versions = serves(dev)
    assert (traffic["green"], versions["green"]) == (100, "3")


def test_of_two_rollouts_that_began_together_the_second_one_leaves_the_first_alone(
    dev: Session, azure: FakeAzure
) -> None:
    register(azure, "1")
    verbs.deploy_online(dev)
    register(azure, "2", "3")
    stale = Endpoint.look(dev)
    models = {each.version: each for each in dev.backend.model_versions(None)}
    words = []

    def second(_: float) -> None:
        if not words:
            words.append(failure(lambda: roll_out(Session.open("dev"), models["3"], stale)))

    roll_out(dev, models["2"], stale, bake_minutes=1, sleep=second)
    assert "another rollout has made green meanwhile" in words[0]
    assert list(serves(dev)[1].values()) == ["2"]


def version_2_is_back_beside_3(dev: Session, azure: FakeAzure) -> None:
    """A rollback to the named version 2 could neither remove version 3 nor note anything; 1 served last before 3."""
    register(azure, "1", "2", "3")
    for version in "213":
        verbs.deploy_online(dev, model_version=version)
    for words in ("online-deployment delete", "tags.deployed_dev"):
        azure.fail(words)
    failure(lambda: verbs.rollback(dev, bad="3", model_version="2"))
    azure.works_again()
    assert sorted(serves(dev)[1].values()) == ["2", "3"]


@pytest.mark.parametrize(
    "complete", [lambda dev: verbs.end_rollback(dev, "3"), lambda dev: verbs.rollback(dev, bad="3"), verbs.rollback]
)
def test_a_rollback_whose_bad_deployment_is_left_is_completed_and_goes_nowhere_else(
    dev: Session, azure: FakeAzure, complete: Callable[[Session], None]
) -> None:
    version_2_is_back_beside_3(dev, azure)
    before = len(azure.ran("online-deployment create"))
    complete(dev)
    assert list(serves(dev)[1].values()) == ["2"]
    assert len(azure.ran("online-deployment create")) == before
    tags = azure.load()["models"]
    assert (tags["3"]["leaving_dev"], tags["3"]["rejected_dev"]) == ("false", "true")
    assert "rejected_dev" not in tags["1"]


def test_a_rollback_to_a_named_version_that_broke_off_goes_there_although_it_is_not_named_again(
    dev: Session, azure: FakeAzure, page: Path
) -> None:
    register(azure, "1", "2", "3")
    for version in "213":
        verbs.deploy_online(dev, model_version=version)
    azure.fail("online-deployment create")
    failure(lambda: verbs.rollback(dev, model_version="2"))
    azure.works_again()
    verbs.look(dev)
    assert (outputs(page)["bad"], outputs(page)["model_version"]) == ("3", "2")
    verbs.rollback(dev, bad="3")
    assert list(serves(dev)[1].values()) == ["2"]


def test_the_end_of_a_rollback_leaves_the_delivery_of_another_run_alone(
    dev: Session, azure: FakeAzure, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy_each(dev, azure, "12")
    azure.fail("online-deployment create")
    failure(lambda: verbs.rollback(dev, bad="2"))
    azure.works_again()
    register(azure, "3")
    kill(dev, "3")
    before = serves(dev)
    assert len(before[0]) == 2
    verbs.end_rollback(dev, "2")
    assert serves(dev) == before
    assert azure.load()["models"]["2"]["leaving_dev"] == "false"
    assert "is of another run, which decides about the traffic" in capsys.readouterr().out


def test_a_delivery_and_its_look_leave_a_rollback_in_progress_alone(
    dev: Session, azure: FakeAzure, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy_each(dev, azure, "12")
    register(azure, "3")
    said = []

    def test(session: Session, deployment: str | None = None) -> None:
        for verb in (verbs.preview, verbs.deliver, verbs.deploy_online):
            said.append(failure(lambda verb=verb: verb(Session.open("dev"), model_version="3")))

    monkeypatch.setattr("mlops.verbs.online.smoke_test", test)
    verbs.rollback(dev, bad="2")
    assert list(serves(dev)[1].values()) == ["1"]
    assert len(said) == 6
    assert {"a rollback from version 2 is in progress in dev: nothing was changed" in each for each in said} == {True}
    assert "`uv run mlops rollback --environment dev --abort --from 2`" in said[0]


def test_a_delivery_of_what_a_rollback_without_a_noted_end_went_to_is_no_rollback(
    dev: Session, azure: FakeAzure, page: Path
) -> None:
    deploy_each(dev, azure, "12")
    azure.fail("tags.leaving_dev=false")
    verbs.rollback(dev, bad="2")
    azure.works_again()
    assert azure.load()["models"]["2"]["leaving_dev"] == "1"
    set_key(Path("config/dev.yml"), "compute.online.instance_count", 5)
    session = Session.open("dev")
    kill(session, "1")
    assert serves(session) == ({"blue": 90, "green": 10}, {"blue": "1", "green": "1"})
    verbs.abort(session)
    assert serves(session) == ({"blue": 100}, {"blue": "1"})
    # Its end is the end of the rollback, so that the next one goes back from version 1.
    register(azure, "0")
    verbs.deliver(session, model_version="1")
    assert azure.load()["models"]["2"]["leaving_dev"] == "false"
    verbs.look(session)
    assert (outputs(page)["bad"], outputs(page)["model_version"]) == ("1", "0")


def test_a_rollback_that_is_run_again_leaves_a_version_that_came_later_alone(dev: Session, azure: FakeAzure) -> None:
    deploy_each(dev, azure, "123")
    verbs.rollback(dev, bad="3", model_version="1", expected="1")
    deploy_each(dev, azure, "4")
    before = azure.load()
    words = failure(lambda: verbs.rollback(dev, bad="3", model_version="1", expected="1"))
    assert words.startswith("version 3 does not serve in dev, version 4 does")
    assert azure.load() == before


def test_after_a_rollback_nothing_is_left_to_do_for_a_delivery_of_what_serves(
    dev: Session, azure: FakeAzure, page: Path, sha256: str
) -> None:
    verbs.deliver(dev)
    register(azure, "2")
    verbs.deliver(dev, model_version="2")
    verbs.rollback(dev)
    assert serves(dev)[1] == {"blue": "1"}
    look(model_version="1")
    assert outputs(page)["deliver"] == "false"


def test_the_look_of_a_rollback_announces_a_canary_of_what_never_served(
    dev: Session, azure: FakeAzure, page: Path
) -> None:
    register(azure, "1")
    deploy_each(dev, azure, "23")
    set_key(Path("config/dev.yml"), "rollout.canary_minutes", 7)
    verbs.look(Session.open("dev"), model_version="1")
    words = "Version 1 never had all traffic in dev: it is a canary for 7 minutes first"
    assert words in page.read_text(encoding="utf-8")
    page.unlink()
    for named in ("2", None):
        verbs.look(Session.open("dev"), model_version=named)
    assert "canary" not in page.read_text(encoding="utf-8")


def test_the_end_of_a_rollback_says_what_stays_rejected_and_how_to_go_on(
    dev: Session, azure: FakeAzure, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy_each(dev, azure, "1234")
    azure.fail("online-deployment create")
    failure(lambda: verbs.rollback(dev, bad="4", model_version="1"))
    verbs.end_rollback(dev, "4")
    said = capsys.readouterr().out
    assert "Version 4 stays rejected, and so does 2 and 3 in between: `uv run mlops rollback --environment dev" in said
    # Without its name the next rollback would find the same version, because those in between are rejected.
    assert "--from 4` goes back once more" in said


def test_the_end_of_a_rollback_names_where_it_went_when_another_one_would_go_elsewhere(
    dev: Session, azure: FakeAzure, capsys: pytest.CaptureFixture[str]
) -> None:
    register(azure, "1", "2", "3")
    for version in "213":
        verbs.deploy_online(dev, model_version=version)
    azure.fail("online-deployment create")
    failure(lambda: verbs.rollback(dev, model_version="2"))
    verbs.end_rollback(dev, "3")
    assert "rollback --environment dev --from 3 --model-version 2` goes back once more" in capsys.readouterr().out


def test_the_end_of_a_rollback_where_nothing_serves_names_the_delivery_that_brings_the_earlier_version(
    dev: Session, azure: FakeAzure, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy_each(dev, azure, "12")
    dev.backend.set_traffic(dict.fromkeys(serves(dev)[0], 0))
    azure.fail("online-deployment create")
    failure(lambda: verbs.rollback(dev))
    azure.works_again()
    verbs.end_rollback(dev, "2")
    said = capsys.readouterr().out
    assert "Version 2 stays rejected: `uv run mlops deliver --environment dev --model-version 1" in said
    verbs.deliver(dev, model_version="1")
    assert list(serves(dev)[1].values()) == ["1"]


def test_a_rollback_that_ended_before_it_rejected_says_that_the_version_may_come_back(
    dev: Session, azure: FakeAzure, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy_each(dev, azure, "12")
    register(azure, "3")
    kill(dev, "3")
    azure.fail("tags.rejected_dev=true")
    failure(lambda: verbs.rollback(dev, bad="3"))
    verbs.end_rollback(dev, "3")
    assert "It is not rejected, so a delivery may bring it: `uv run mlops rollback --environment dev --from 3`" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"expected": "2"},
            "goes to version 1 by now, and 2 was approved: nothing was changed; `uv run mlops rollback",
        ),
        ({"expected": "1", "sha256": "b" * 64}, "its tag says sha256 aaaaaaaaaaaa, and --sha256 bbbbbbbbbbbb"),
    ],
)
def test_a_rollback_goes_to_what_was_approved_or_nowhere(
    dev: Session, azure: FakeAzure, given: dict[str, str], words: str
) -> None:
    register(azure, "1", sha256="a" * 64)
    verbs.deploy_online(dev)
    deploy_each(dev, azure, "23")
    azure.load()["models"]["2"]["rejected_dev"] = "true"  # since the look
    azure.save()
    before = azure.load()
    assert words in failure(lambda: verbs.rollback(dev, bad="3", **given))
    assert azure.load() == before


def test_the_look_of_a_rollback_hands_on_what_the_rollback_is_told_to_expect(
    dev: Session, azure: FakeAzure, page: Path, sha256: str
) -> None:
    verbs.deploy_online(dev)
    deploy_each(dev, azure, "2")
    verbs.look(dev)
    looked = outputs(page)
    assert run("rollback", "--from", "2", "--expected", looked["model_version"], "--sha256", looked["sha256"]) == 0
    assert list(serves(dev)[1].values()) == ["1"]
    # The job runs again, which completes it.
    assert run("rollback", "--from", "2", "--expected", looked["model_version"], "--sha256", looked["sha256"]) == 0


def test_a_deployment_of_another_origin_is_none_of_a_rollback(dev: Session, azure: FakeAzure) -> None:
    deploy_each(dev, azure, "12")
    azure.load()["online"]["deployments"]["shadow"] = {"model": "azureml:a-model:1", "tags": {}, "set": {}}
    azure.save()
    verbs.rollback(dev)
    assert sorted(serves(dev)[1].values()) == ["1", "1"]
    assert serves(dev)[0].get("shadow", 0) == 0


def test_an_end_that_was_not_noted_ends_with_the_next_version(dev: Session, azure: FakeAzure) -> None:
    deploy_each(dev, azure, "123")
    azure.fail("tags.leaving_dev=false")
    verbs.rollback(dev)
    azure.works_again()
    register(azure, "4")
    verbs.deploy_online(dev)
    verbs.rollback(dev)
    verbs.rollback(dev)
    assert list(serves(dev)[1].values()) == ["1"]


def test_the_commands_of_a_rollback_are_the_same_when_the_bad_version_is_named(
    project: Project, azure: FakeAzure, capsys: pytest.CaptureFixture[str]
) -> None:
    session = Session.open("dev", dry_run=True)
    capsys.readouterr()
    verbs.rollback(session)
    shown = capsys.readouterr().out
    verbs.rollback(session, bad="1")
    assert capsys.readouterr().out == shown
