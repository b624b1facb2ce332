"""The verbs against a fake Azure: what is there afterwards, also when a command fails on the way."""

import importlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_az import TABLE, FakeAzure, faults
from small_project import DRIFT, configuration, write_yaml

from mlops import UserError, verbs
from mlops.config import Project
from mlops.verbs import Session


@pytest.fixture
def dev(project: Project, azure: FakeAzure) -> Session:
    """The environment in which models are trained."""
    return Session.open("dev", root=project.root)


def register(azure: FakeAzure, *versions: str, **tags: str) -> None:
    """Put model versions into the workspace."""
    azure.load()["models"].update({version: dict(tags) for version in versions})
    azure.save()


def failure(action: Callable[[], None]) -> str:
    """Run what must fail and return its one line."""
    with pytest.raises(UserError) as error:
        action()
    assert "\n" not in str(error.value)
    return str(error.value)


def online(azure: FakeAzure) -> tuple[dict[str, int], dict[str, str]]:
    """The traffic, and the model version of each deployment."""
    endpoint = azure.load()["online"]
    deployments = {name: content["model"].rsplit("/", 1)[-1] for name, content in endpoint["deployments"].items()}
    return {name: share for name, share in endpoint["traffic"].items() if share}, deployments


@pytest.fixture
def serving(dev: Session, azure: FakeAzure) -> Session:
    """Version 1 is served by blue, and version 2 is registered."""
    register(azure, "1")
    verbs.deploy_online(dev)
    register(azure, "2")
    return dev


# The command lines.


def test_each_command_in_the_table_is_one_that_the_fake_can_answer() -> None:
    methods = {name.removeprefix("az ").removeprefix("ml ").replace(" ", "_").replace("-", "_") for name in TABLE}
    assert methods <= set(dir(importlib.import_module("fake_az").Commands))


def test_every_command_line_fits_the_table(dev: Session, azure: FakeAzure, tmp_path: Path) -> None:
    play_everything(dev, azure, tmp_path)
    assert [fault for line in azure.log for fault in faults(line)] == []
    assert {name for name in TABLE if not azure.ran(name)} == set(), "in the table, but never used"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("az ml job creat --file f", "misspelled"),
        ("az ml job show --name n --resource-group g --workspace-name w --wait", "unrecognized arguments: --wait"),
        ("az ml job show --resource-group g --workspace-name w", "required: --name"),
        ("az ml job show --name a b --resource-group g --workspace-name w", "unexpected number of values"),
        ("az ml batch-endpoint delete --name n --yes true --resource-group g --workspace-name w", "argument --yes"),
    ],
)
def test_a_command_line_that_the_real_az_refuses_is_found(line: str, fault: str) -> None:
    assert fault in faults(line.split())[0]


def test_every_value_that_is_set_suits_the_azure_ml_schemas(dev: Session, azure: FakeAzure, tmp_path: Path) -> None:
    entities = pytest.importorskip("azure.ai.ml.entities._load_functions")
    loaders = {
        "job create": entities.load_job,
        "data create": entities.load_data,
        "registry create": entities.load_registry,
        "online-endpoint create": entities.load_online_endpoint,
        "online-deployment create": entities.load_online_deployment,
        "batch-endpoint create": entities.load_batch_endpoint,
        "batch-deployment create": entities.load_model_batch_deployment,
        "schedule create": entities.load_schedule,
    }
    play_everything(dev, azure, tmp_path)
    for command, load in loaders.items():
        for line in azure.ran(f"az ml {command}"):
            words = line[line.index("--set") + 1 : line.index("--output")] if "--set" in line else []
            overrides = [dict([word.split("=", 1)]) for word in words]
            load(dev.project.root / line[line.index("--file") + 1], params_override=overrides)


def play_everything(dev: Session, azure: FakeAzure, folder: Path) -> None:
    """Run each verb in an order in which all of them have something to do."""
    root = dev.project.root
    for kind in ("train", "inference"):
        environment = {"name": kind, "dependencies": ["python=3.11"]}
        write_yaml(root / "data-science" / "environment" / f"{kind}.yml", environment)
    (root / "data-science" / "src" / dev.project.package).mkdir(parents=True)
    (root / "data-science" / "src" / dev.project.package / "score.py").touch()
    azure.load()["registration"] = {"registered": False, "reasons": ["the champion is better"]}
    azure.save()
    verbs.train(dev, overrides="training.seed=7")
    verbs.train(dev)
    register(azure, "1", "2", "3", sha256=model_copies(dev, azure, folder))
    verbs.deploy_online(dev, model_version="1")
    azure.fail("az ml online-deployment create", after=True)
    failure(lambda: verbs.deploy_online(dev, model_version="2"))
    azure.works_again()
    verbs.deploy_online(dev, model_version="2", hold=True)
    verbs.shift_traffic(dev, 50)
    verbs.smoke_test(dev)
    verbs.monitor(dev)
    verbs.rollback(dev)
    verbs.deploy_batch(dev, model_version="1")
    verbs.deploy_batch(dev, model_version="3")
    verbs.schedule(dev)
    verbs.schedule(dev, enabled=False)
    verbs.schedule(dev)
    verbs.teardown(dev)
    verbs.promote(dev, "test")
    verbs.deploy_online(Session.open("test", root=root))


def test_a_dry_run_runs_nothing(project: Project, azure: FakeAzure, capfd: pytest.CaptureFixture[str]) -> None:
    session = Session.open("dev", dry_run=True, root=project.root)
    actions: list[Callable[[], None]] = [
        lambda: verbs.train(session),
        lambda: verbs.deploy_online(session, model_version="9"),
        lambda: verbs.smoke_test(session),
        lambda: verbs.shift_traffic(session, 20),
        lambda: verbs.rollback(session),
        lambda: verbs.deploy_batch(session),
        lambda: verbs.promote(session, "test"),
        lambda: verbs.monitor(session),
        lambda: verbs.schedule(session),
        lambda: verbs.schedule(session, enabled=False),
        lambda: verbs.teardown(session),
    ]
    for action in actions:
        action()
    assert azure.log == []
    shown = capfd.readouterr().out.splitlines()
    assert all(line.startswith(("# ", "az ")) for line in shown)
    assert any("--traffic 'blue=90 green=10'" in line for line in shown)
    assert any("az ml model share" in line for line in shown)


def test_each_command_is_shown_before_it_runs(serving: Session, capfd: pytest.CaptureFixture[str]) -> None:
    capfd.readouterr()
    verbs.smoke_test(serving)
    assert capfd.readouterr().out.startswith("az ml online-endpoint invoke --name online-dev --request-file")


def test_a_rollout_works_with_az_as_a_program_of_its_own(
    project: Project, az_program: FakeAzure, capfd: pytest.CaptureFixture[str]
) -> None:
    session = Session.open("dev", root=project.root)
    register(az_program, "1")
    verbs.deploy_online(session)
    assert online(az_program) == ({"blue": 100}, {"blue": "1"})
    register(az_program, "2")
    az_program.fail("online-deployment create --file", "(OutOfQuota) no machine is free")
    assert "(OutOfQuota) no machine is free" in failure(lambda: verbs.deploy_online(session))
    assert online(az_program) == ({"blue": 100}, {"blue": "1"})
    assert "ERROR: (OutOfQuota) no machine is free" in capfd.readouterr().err


# Faults that every verb can meet.


@pytest.mark.parametrize(
    ("message", "cure"),
    [
        ("Please run 'az login' to setup account.", "run `az login`"),
        ("AADSTS70043: The refresh token has expired", "run `az login`"),
        ("'ml' is misspelled or not recognized by the system.", "run `az extension add --name ml`"),
        ("(ResourceGroupNotFound) Resource group 'rg-dev' could not be found.", "mlops provision --environment dev"),
        ("The Resource 'X/workspaces/mlw-dev' under resource group 'rg-dev' was not found", "mlops provision"),
        ("(AuthorizationFailed) The client does not have authorization", "role AzureML Data Scientist"),
        ("(Teapot) short and stout", "`az ml model list` failed: (Teapot) short and stout"),
    ],
)
def test_a_fault_of_azure_is_one_line_with_its_cure(dev: Session, azure: FakeAzure, message: str, cure: str) -> None:
    azure.fail("az ml", message)
    assert cure in failure(lambda: verbs.deploy_online(dev))


def test_a_missing_azure_cli_is_one_line_with_its_cure(
    dev: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert failure(lambda: verbs.deploy_online(dev)).startswith("az is not installed: see https://learn.microsoft.com")


# train


def test_training_pins_the_data_and_takes_names_from_the_configuration(dev: Session, azure: FakeAzure) -> None:
    azure.state["registration"] = {"registered": True, "name": "a-model", "version": "4", "reasons": ["it is better"]}
    azure.save()
    verbs.train(dev, overrides="training.seed=7")
    (job,) = azure.load()["jobs"].values()
    versions = {name: found[0] for name, found in azure.state["data"].items()}
    assert job["set"] == {
        "experiment_name": "an-experiment",
        "settings.default_compute": "azureml:cluster",
        "inputs.model_name": "a-model",
        "inputs.raw_data.path": f"azureml:training-data:{versions['training-data']}",
        "inputs.production_data.path": f"azureml:production-data:{versions['production-data']}",
        **{f"jobs.{step}.inputs.overrides": "training.seed=7" for step in ("prep", "train", "evaluate")},
    }


def test_the_same_data_is_never_uploaded_twice(dev: Session, azure: FakeAzure) -> None:
    first = verbs.ensure_data(dev)
    assert verbs.ensure_data(dev) == first
    assert len(azure.ran("az ml data create")) == 2


def test_changed_data_is_a_new_version_and_old_data_its_old_one(dev: Session, azure: FakeAzure) -> None:
    file = dev.project.root / "data" / "raw" / "rows.csv"
    first, content = verbs.ensure_data(dev), file.read_text(encoding="utf-8")
    file.write_text(content + "1,2\n", encoding="utf-8")
    second = verbs.ensure_data(dev)
    file.write_text(content, encoding="utf-8")
    assert second["raw_data"] != first["raw_data"]
    assert second["production_data"] == first["production_data"]
    assert verbs.ensure_data(dev) == first


def test_training_without_data_says_where_to_put_some(dev: Session) -> None:
    shutil.rmtree(dev.project.root / "data" / "raw")
    assert "training-data.yml names" in failure(lambda: verbs.train(dev))


@pytest.mark.parametrize(
    ("registration", "said"),
    [
        ({"registered": True, "name": "a-model", "version": "4", "reasons": ["x"]}, "Registered a-model version 4: x"),
        ({"registered": False, "reasons": ["too bad"]}, "No new version, the champion stays: too bad"),
    ],
)
def test_training_says_what_became_of_the_model(
    dev: Session, azure: FakeAzure, capfd: pytest.CaptureFixture[str], registration: dict[str, Any], said: str
) -> None:
    azure.state["registration"] = registration
    azure.save()
    verbs.train(dev)
    assert said in capfd.readouterr().out


def test_a_failed_job_is_a_failed_verb(dev: Session, azure: FakeAzure) -> None:
    azure.state["next_status"] = "Failed"
    azure.save()
    assert "ended as Failed: see its log at https://ml.example.com/runs/a-model-" in failure(lambda: verbs.train(dev))


def test_a_broken_connection_is_not_taken_for_a_failed_job(dev: Session, azure: FakeAzure) -> None:
    azure.fail("az ml job stream", "connection reset")
    assert "is still Running, only its log was lost" in failure(lambda: verbs.train(dev))


def test_training_without_waiting_ends_after_the_start(dev: Session, azure: FakeAzure) -> None:
    verbs.train(dev, wait=False)
    assert not azure.ran("job stream")


# deploy-online


def test_the_first_deployment_creates_an_endpoint_with_the_configured_identity(dev: Session, azure: FakeAzure) -> None:
    register(azure, "1")
    verbs.deploy_online(dev)
    settings = azure.load()["online"]["set"]
    assert settings["identity.type"] == "user_assigned"
    assert settings["identity.user_assigned_identities[0].resource_id"].endswith(
        "/resourceGroups/rg-dev/providers/Microsoft.ManagedIdentity/userAssignedIdentities/endpoint_identity-dev"
    )
    assert online(azure) == ({"blue": 100}, {"blue": "1"})


def test_a_rollout_replaces_the_old_deployment_by_way_of_a_canary(serving: Session, azure: FakeAzure) -> None:
    verbs.deploy_online(serving)
    assert online(azure) == ({"green": 100}, {"green": "2"})
    shares = [line[line.index("--traffic") + 1] for line in azure.ran("--traffic")]
    assert shares == ["blue=100", "blue=90 green=10", "green=100"]
    settings = azure.state["online"]["deployments"]["green"]["set"]
    assert (settings["instance_type"], settings["instance_count"]) == ("Standard_D2as_v4", "3")


def test_the_newest_version_is_the_highest_number_that_is_not_rejected(dev: Session, azure: FakeAzure) -> None:
    register(azure, "9", "10")
    register(azure, "11", rejected="true")
    assert verbs.choose_model(dev).version == "10"


def test_a_version_that_is_served_is_not_deployed_again(serving: Session, azure: FakeAzure) -> None:
    before = len(azure.ran("online-deployment create"))
    verbs.deploy_online(serving, model_version="1")
    assert len(azure.ran("online-deployment create")) == before


def test_a_served_version_is_deployed_again_by_force(serving: Session, azure: FakeAzure) -> None:
    verbs.deploy_online(serving, model_version="1", force=True)
    assert online(azure) == ({"green": 100}, {"green": "1"})


@pytest.mark.parametrize(
    ("version", "cure"), [("7", "has no version 7 of a-model: it has 1, 2"), ("2", "was rejected: choose another one")]
)
def test_a_version_that_cannot_be_used_is_refused(serving: Session, azure: FakeAzure, version: str, cure: str) -> None:
    register(azure, "2", rejected="true")
    assert cure in failure(lambda: verbs.deploy_online(serving, model_version=version))
    assert online(azure) == ({"blue": 100}, {"blue": "1"})


def test_without_a_model_the_cure_is_to_train(dev: Session) -> None:
    assert "run `uv run mlops train --environment dev`" in failure(lambda: verbs.deploy_online(dev))


FAILING = {
    "creation": ("online-deployment create", False),
    "creation, half done": ("online-deployment create", True),
    "smoke test": ("online-endpoint invoke", False),
    "canary": ("--traffic blue=90 green=10", False),
    "canary, half done": ("--traffic blue=90 green=10", True),
    "full traffic": ("--traffic green=100", False),
    "full traffic, half done": ("--traffic green=100", True),
}


@pytest.mark.parametrize(("words", "after"), FAILING.values(), ids=FAILING.keys())
def test_whichever_command_fails_the_old_deployment_has_all_traffic(
    serving: Session, azure: FakeAzure, words: str, after: bool
) -> None:
    azure.fail(words, after=after)
    assert "version 2 was not deployed, blue still has all traffic" in failure(lambda: verbs.deploy_online(serving))
    assert online(azure) == ({"blue": 100}, {"blue": "1"})


@pytest.mark.parametrize("prediction", [1e9, float("nan"), "late", None], ids=str)
def test_a_model_that_predicts_nonsense_never_gets_traffic(
    serving: Session, azure: FakeAzure, prediction: object
) -> None:
    azure.load()["answers"] = {"green": prediction}
    azure.save()
    assert "the smoke test of green failed" in failure(lambda: verbs.deploy_online(serving))
    assert online(azure) == ({"blue": 100}, {"blue": "1"})
    assert not azure.ran("green=10")


def test_a_model_that_goes_wrong_as_a_canary_loses_its_traffic(serving: Session, azure: FakeAzure) -> None:
    def break_it(seconds: float) -> None:
        azure.load()["answers"] = {"green": 1e9}
        azure.save()

    message = failure(lambda: verbs.deploy_online(serving, bake_minutes=1, sleep=break_it))
    assert "blue still has all traffic: the smoke test of green failed" in message
    assert online(azure) == ({"blue": 100}, {"blue": "1"})


def test_an_interrupted_rollout_goes_back(serving: Session, azure: FakeAzure) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    message = failure(lambda: verbs.deploy_online(serving, bake_minutes=1, sleep=interrupt))
    assert "blue still has all traffic: interrupted" in message
    assert online(azure) == ({"blue": 100}, {"blue": "1"})


def test_the_canary_stage_lasts_as_long_as_asked(serving: Session) -> None:
    slept: list[float] = []
    verbs.deploy_online(serving, bake_minutes=2.5, sleep=slept.append)
    assert slept == [60, 60, 30]


def test_an_old_deployment_that_cannot_be_removed_is_removed_by_the_next_run(
    serving: Session, azure: FakeAzure
) -> None:
    azure.fail("online-deployment delete --name blue")
    assert "run `uv run mlops deploy-online --environment dev" in failure(lambda: verbs.deploy_online(serving))
    assert online(azure) == ({"green": 100}, {"blue": "1", "green": "2"})
    azure.works_again()
    verbs.deploy_online(serving)
    assert online(azure) == ({"green": 100}, {"green": "2"})


def test_a_rollout_that_was_killed_is_cleared_by_the_next_run(serving: Session, azure: FakeAzure) -> None:
    azure.fail("invoke")
    azure.fail("online-deployment delete --name green")
    assert "mlops rollback --environment dev" in failure(lambda: verbs.deploy_online(serving))
    azure.works_again()
    azure.load()["online"]["traffic"] = {"blue": 90, "green": 10}
    azure.save()
    verbs.deploy_online(serving)
    assert online(azure) == ({"green": 100}, {"green": "2"})


def test_a_failed_first_deployment_leaves_an_empty_endpoint(dev: Session, azure: FakeAzure) -> None:
    register(azure, "1")
    azure.fail("invoke")
    assert "the endpoint has no deployment" in failure(lambda: verbs.deploy_online(dev))
    assert online(azure) == ({}, {})


# smoke-test, shift-traffic, rollback


def test_the_smoke_test_sends_real_rows_and_accepts_sound_predictions(serving: Session, azure: FakeAzure) -> None:
    verbs.smoke_test(serving)
    request = json.loads((serving.folder / "smoke-test.json").read_text(encoding="utf-8"))
    assert request["input_data"]["columns"] == ["x"]
    assert len(request["input_data"]["data"]) == verbs.SMOKE_TEST_ROWS


def test_the_smoke_test_is_red_for_nonsense(serving: Session, azure: FakeAzure) -> None:
    azure.load()["prediction"] = -1e6
    azure.save()
    assert "the smoke test of online-dev failed: 5 of 5 predictions" in failure(lambda: verbs.smoke_test(serving))


def test_a_held_rollout_is_carried_on_by_hand(serving: Session, azure: FakeAzure) -> None:
    verbs.deploy_online(serving, hold=True)
    assert online(azure) == ({"blue": 100}, {"blue": "1", "green": "2"})
    verbs.shift_traffic(serving, 40)
    assert online(azure)[0] == {"blue": 60, "green": 40}


def test_traffic_cannot_be_shared_with_one_deployment(serving: Session) -> None:
    assert "mlops deploy-online --environment dev --hold" in failure(lambda: verbs.shift_traffic(serving, 40))


def test_a_rollback_gives_the_older_deployment_all_traffic_and_rejects_the_newer_model(
    serving: Session, azure: FakeAzure
) -> None:
    verbs.deploy_online(serving, hold=True)
    verbs.shift_traffic(serving, 100)
    verbs.rollback(serving)
    assert online(azure) == ({"blue": 100}, {"blue": "1"})
    assert azure.state["models"] == {"1": {}, "2": {"rejected": "true"}}
    assert verbs.choose_model(serving).version == "1"


def test_the_older_deployment_is_known_whatever_its_colour(serving: Session, azure: FakeAzure) -> None:
    verbs.deploy_online(serving)
    register(azure, "3")
    verbs.deploy_online(serving, hold=True)
    verbs.rollback(serving)
    assert online(azure) == ({"green": 100}, {"green": "2"})


def test_a_rollback_of_the_same_version_rejects_no_model(serving: Session, azure: FakeAzure) -> None:
    verbs.deploy_online(serving, model_version="1", hold=True, force=True)
    verbs.rollback(serving)
    assert azure.load()["models"]["1"] == {}


def test_a_rollback_without_an_older_deployment_names_the_previous_version(serving: Session, azure: FakeAzure) -> None:
    verbs.deploy_online(serving)
    assert "run `uv run mlops deploy-online --environment dev --model-version 1`" in failure(
        lambda: verbs.rollback(serving)
    )
    assert online(azure) == ({"green": 100}, {"green": "2"})


def test_a_rollback_with_nothing_before_says_so(serving: Session) -> None:
    assert "no earlier version of the model either" in failure(lambda: verbs.rollback(serving))


# promote, and deployment from the registry


def model_copies(session: Session, azure: FakeAzure, folder: Path) -> str:
    """Make a model whose copy in the registry is the same; return its hash."""
    model = folder / "a-trained-model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {}\n", encoding="utf-8")
    (model / "model.bin").write_bytes(b"weights")
    azure.load()["copies"] = {"": str(model), "the-registry": str(model)}
    azure.save()
    sha256: str = importlib.import_module(f"{session.project.package}.register").model_hash(model)
    return sha256


@pytest.fixture
def trained(dev: Session, azure: FakeAzure, tmp_path: Path) -> Session:
    """Version 1 is registered with the hash of its files."""
    register(azure, "1", sha256=model_copies(dev, azure, tmp_path))
    return dev


def test_a_promotion_copies_the_model_and_lets_the_target_use_it(
    trained: Session, azure: FakeAzure, project: Project
) -> None:
    verbs.promote(trained, "test")
    sha256 = azure.load()["models"]["1"]["sha256"]
    assert azure.state["registries"] == {"the-registry": {"1": {"promoted_test": sha256}}}
    verbs.deploy_online(Session.open("test", root=project.root))
    deployment = azure.load()["online"]["deployments"]["blue"]
    assert deployment["set"]["model"] == "azureml://registries/the-registry/models/a-model/versions/1"
    assert not azure.state["jobs"], "nothing may be trained on the way"


def test_the_registry_is_created_for_the_regions_of_all_environments(trained: Session, azure: FakeAzure) -> None:
    verbs.promote(trained, "test")
    (line,) = azure.ran("registry create")
    assert line[line.index("--set") + 1 : line.index("--output")] == [
        "location=westeurope",
        "replication_locations[0].location=westeurope",
        "replication_locations[1].location=northeurope",
    ]


def test_a_second_promotion_copies_nothing(trained: Session, azure: FakeAzure) -> None:
    verbs.promote(trained, "test")
    verbs.promote(trained, "test")
    assert len(azure.ran("model share")) == 1
    assert len(azure.ran("registry create")) == 1


def test_a_copy_with_other_files_is_rejected_and_never_deployed(
    trained: Session, azure: FakeAzure, project: Project, tmp_path: Path
) -> None:
    other = tmp_path / "another-model"
    shutil.copytree(tmp_path / "a-trained-model", other)
    (other / "model.bin").write_bytes(b"wEights")
    azure.load()["copies"]["the-registry"] = str(other)
    azure.save()
    assert "is not the model that was trained" in failure(lambda: verbs.promote(trained, "test"))
    assert azure.load()["registries"]["the-registry"]["1"] == {"rejected": "true"}
    assert "no usable version" in failure(lambda: verbs.deploy_online(Session.open("test", root=project.root)))
    assert "was rejected in registry" in failure(lambda: verbs.promote(trained, "test"))


def test_a_copy_that_was_never_compared_is_not_deployed(trained: Session, azure: FakeAzure, project: Project) -> None:
    azure.load()["registries"] = {"the-registry": {"1": {}}}
    azure.save()
    session = Session.open("test", root=project.root)
    assert "was not promoted to test" in failure(lambda: verbs.deploy_online(session, model_version="1"))


def test_a_model_reaches_prod_only_by_its_own_promotion(trained: Session, azure: FakeAzure, project: Project) -> None:
    verbs.promote(trained, "test")
    prod = Session.open("prod", root=project.root)
    assert "mlops promote --to prod" in failure(lambda: verbs.deploy_online(prod))
    verbs.promote(Session.open("test", root=project.root), "prod")
    verbs.deploy_online(prod)
    assert online(azure) == ({"blue": 100}, {"blue": "1"})


def test_a_rollback_in_test_rejects_the_copy_in_the_registry(
    trained: Session, azure: FakeAzure, project: Project
) -> None:
    verbs.promote(trained, "test")
    test = Session.open("test", root=project.root)
    verbs.deploy_online(test)
    register(azure, "2", sha256=azure.load()["models"]["1"]["sha256"])
    verbs.promote(trained, "test")
    verbs.deploy_online(test, hold=True)
    verbs.rollback(test)
    assert azure.load()["registries"]["the-registry"]["2"]["rejected"] == "true"
    assert online(azure) == ({"blue": 100}, {"blue": "1"})


def test_a_model_without_a_hash_is_not_promoted(dev: Session, azure: FakeAzure) -> None:
    register(azure, "1")
    assert "has no tag sha256" in failure(lambda: verbs.promote(dev, "test"))


@pytest.mark.parametrize(
    ("target", "fault"), [("dev", "takes no models from a registry"), ("up", "unknown environment")]
)
def test_a_promotion_needs_a_target_that_takes_models(trained: Session, target: str, fault: str) -> None:
    assert fault in failure(lambda: verbs.promote(trained, target))


def test_a_registry_in_use_by_one_side_only_is_refused(trained: Session, project: Project) -> None:
    document = configuration("test", "registry")
    document["names"]["registry"] = "another"
    write_yaml(project.root / "config" / "test.yml", document)
    assert "names another registry" in failure(lambda: verbs.promote(trained, "test"))


# deploy-batch


def test_a_batch_deployment_becomes_the_default_and_replaces_the_others(dev: Session, azure: FakeAzure) -> None:
    register(azure, "1")
    verbs.deploy_batch(dev)
    register(azure, "2")
    verbs.deploy_batch(dev)
    verbs.deploy_batch(dev)
    batch = azure.load()["batch"]
    assert (batch["default"], list(batch["deployments"])) == ("model-2", ["model-2"])
    assert batch["deployments"]["model-2"]["set"] == {
        "model": "azureml:a-model:2",
        "compute": "azureml:cluster",
        "resources.instance_count": "2",
        "settings.mini_batch_size": "7",
        "settings.max_concurrency_per_instance": "4",
    }


def test_a_failed_batch_deployment_leaves_the_default_alone(dev: Session, azure: FakeAzure) -> None:
    register(azure, "1")
    verbs.deploy_batch(dev)
    register(azure, "2")
    azure.fail("batch-deployment create")
    failure(lambda: verbs.deploy_batch(dev))
    assert azure.load()["batch"]["default"] == "model-1"


# monitor and schedule


def monitor_of(session: Session, azure: FakeAzure) -> dict[str, Any]:
    """Create the monitor and return what Azure got."""
    verbs.monitor(session)
    document: dict[str, Any] = yaml.safe_load(azure.load()["schedules"]["a-model-monitor"]["file"])
    return document


def test_the_monitor_watches_what_serves_with_the_thresholds_of_the_project(serving: Session, azure: FakeAzure) -> None:
    verbs.deploy_online(serving)
    document = monitor_of(serving, azure)
    monitor = document["create_monitor"]
    assert document["trigger"]["expression"] == "0 6 * * *"
    assert monitor["monitoring_target"]["endpoint_deployment_id"] == "azureml:online-dev:green"
    assert monitor["monitoring_target"]["ml_task"] == "regression"
    drift = monitor["monitoring_signals"]["data_drift"]
    assert drift["metric_thresholds"] == DRIFT
    assert drift["production_data"]["input_data"]["path"] == "azureml:online-dev-green-model_inputs:1"
    assert drift["production_data"]["data_window"]["lookback_window_size"] == "P5D"
    assert monitor["alert_notification"] == "azmonitoring"


def test_alerts_go_to_the_configured_addresses(serving: Session, azure: FakeAzure, project: Project) -> None:
    document = configuration("dev", "workspace")
    document["monitor"]["alert_emails"] = ["a@example.com", "b@example.com"]
    write_yaml(project.root / "config" / "dev.yml", document)
    monitor = monitor_of(Session.open("dev", root=project.root), azure)["create_monitor"]
    assert monitor["alert_notification"] == {"emails": ["a@example.com", "b@example.com"]}


def test_there_is_nothing_to_watch_before_a_deployment(dev: Session) -> None:
    assert "mlops deploy-online --environment dev" in failure(lambda: verbs.monitor(dev))


def test_a_schedule_is_created_switched_off_and_on_again(dev: Session, azure: FakeAzure) -> None:
    verbs.schedule(dev)
    schedules = azure.load()["schedules"]
    assert schedules["a-model-retraining"]["set"]["trigger.expression"] == "0 4 * * 1"
    assert re.fullmatch(
        r"azureml:training-data:\w+", schedules["a-model-retraining"]["set"]["create_job.inputs.raw_data.path"]
    )
    verbs.schedule(dev, enabled=False)
    assert not azure.load()["schedules"]["a-model-retraining"]["enabled"]
    verbs.schedule(dev)
    assert azure.load()["schedules"]["a-model-retraining"]["enabled"]


def test_switching_off_what_is_off_changes_nothing(dev: Session, azure: FakeAzure) -> None:
    verbs.schedule(dev, enabled=False)
    assert not azure.ran("schedule disable")


def test_nothing_is_trained_where_models_come_from_the_registry(project: Project, azure: FakeAzure) -> None:
    verbs.schedule(Session.open("prod", root=project.root))
    assert azure.log == []


# teardown


def test_a_teardown_deletes_endpoints_and_schedules_and_keeps_models(serving: Session, azure: FakeAzure) -> None:
    verbs.monitor(serving)
    verbs.schedule(serving)
    verbs.deploy_batch(serving)
    verbs.teardown(serving)
    state = azure.load()
    assert (state["online"], state["batch"], state["schedules"]) == (None, None, {})
    assert list(state["models"]) == ["1", "2"]


def test_a_second_teardown_deletes_nothing(dev: Session, azure: FakeAzure) -> None:
    verbs.teardown(dev)
    assert not azure.ran("delete")
