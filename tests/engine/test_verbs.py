"""The command lines of the verbs: each fits the real `az`, and what it prints for an error is explained.

What the verbs leave in Azure is in test_every_version.py.
"""

import importlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_az import TABLE, FakeAzure, mistakes
from rendered import TORCH
from small_project import create_project

from mlops import verbs
from mlops.azureml.storage import Container, locate
from mlops.config import Project
from mlops.errors import UserError
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
    closed = create_project(tmp_path / "closed", "closed")
    verbs.promote(Session.open("dev", root=closed.root), "test", model_version="1")
    assert [mistake for line in azure.log for mistake in mistakes(line)] == []
    # The identity of an endpoint whose requests may name files.
    unused = set() if TORCH else {"az identity show"}
    assert {name for name in TABLE if not azure.ran(name)} == unused, "in the table, but never used"


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("az ml job creat --file f", "misspelled"),
        ("az ml job show --name n --resource-group g --workspace-name w --wait", "unrecognized arguments: --wait"),
        ("az ml job show --resource-group g --workspace-name w", "required: --name"),
        ("az ml job show --name a b --resource-group g --workspace-name w", "unexpected number of values"),
        ("az ml batch-endpoint delete --name n --yes true --resource-group g --workspace-name w", "argument --yes"),
    ],
)
def test_a_command_line_that_the_real_az_refuses_is_found(line: str, mistake: str) -> None:
    assert mistake in mistakes(line.split())[0]


@pytest.mark.parametrize("project", ["new", "closed"], indirect=True)
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
    if dev.config.closed:
        # Its registry is not one that `promote` creates.
        azure.load()["registries"] = {dev.config.names.registry: {}}
        azure.save()
    play_everything(dev, azure, tmp_path)
    for command, load in loaders.items():
        for line in azure.ran(f"az ml {command}"):
            words = line[line.index("--set") + 1 : line.index("--output")] if "--set" in line else []
            overrides = [dict([word.split("=", 1)]) for word in words]
            load(dev.project.root / line[line.index("--file") + 1], params_override=overrides)


def play_everything(dev: Session, azure: FakeAzure, folder: Path) -> None:
    """Run each verb in an order in which all of them have something to do."""
    root = dev.project.root
    azure.load()["registration"] = {"registered": False, "reasons": ["the champion is better"]}
    azure.state["schedules"] = {"a-model-retraining": {"enabled": True, "file": ""}}
    azure.state["files"] = {"stdev/azureml-blobstore/flights/a.csv": {"size": 3, "etag": "one"}}
    azure.save()
    verbs.train(dev, overrides="training.seed=7")
    verbs.train(dev)
    data = dev.project.definitions / "data" / "training-data.yml"
    text = data.read_text(encoding="utf-8")
    address = "azureml://datastores/workspaceblobstore/paths/flights"
    data.write_text(text.replace("../../../data/raw", address), encoding="utf-8")
    verbs.train(Session.open("dev", root=root))
    data.write_text(text, encoding="utf-8")
    register(azure, "1", "2", "3", sha256=model_copies(dev, azure, folder))
    verbs.deploy_online(dev, model_version="1")
    azure.fail("az ml online-deployment create", after=True)
    failure(lambda: verbs.deploy_online(dev, model_version="2"))
    azure.works_again()
    azure.load()["callers"] = {"green": {"codes": {"424 500": 30}, "latency": 100, "late": 0}}
    azure.save()
    failure(lambda: verbs.deploy_online(dev, model_version="2", bake_minutes=1, sleep=lambda seconds: None))
    verbs.deploy_online(dev, model_version="2", hold=True)
    verbs.shift_traffic(dev, 50)
    verbs.smoke_test(dev)
    verbs.monitor(dev)
    dev.backend.disable_schedule(dev.monitor_name)
    verbs.monitor(dev)
    verbs.drift(dev)
    verbs.rollback(dev)
    verbs.deploy_batch(dev, model_version="1")
    verbs.deploy_batch(dev, model_version="3")
    verbs.teardown(dev)
    verbs.promote(dev, "test")
    verbs.deploy_online(Session.open("test", root=root))


def model_copies(session: Session, azure: FakeAzure, folder: Path) -> str:
    """Make a model whose copy in the registry is the same; return its hash."""
    model = folder / "a-trained-model"
    model.mkdir()
    (model / "MLmodel").write_text("flavors: {}\n", encoding="utf-8")
    (model / "model.bin").write_bytes(b"weights")
    azure.load()["copies"] = {"": str(model)}
    azure.save()
    sha256: str = importlib.import_module(f"{session.project.package}.register").model_hash(model)
    return sha256


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
        lambda: verbs.drift(session) and None,
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


# Errors that every verb can meet.


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("Please run 'az login' to setup account.", "run `az login`"),
        ("AADSTS70043: The refresh token has expired", "run `az login`"),
        (
            "AADSTS700024: Client assertion is not within its valid time range.\n"
            "Run the command below to authenticate interactively:\naz login",
            "the workflow's sign-in has expired: run the job again",
        ),
        ("'ml' is misspelled or not recognized by the system.", "run `az extension add --name ml --version "),
        ("(ResourceGroupNotFound) Resource group 'rg-dev' could not be found.", "mlops provision --environment dev"),
        ("The Resource 'X/workspaces/mlw-dev' under resource group 'rg-dev' was not found", "mlops provision"),
        ("(AuthorizationFailed) The client does not have authorization", "role AzureML Data Scientist"),
        (
            "(UserError) User is not authorized to access provided resources due to none of the workspaces/registries "
            "are accessible from outside of the designated private link..",
            "run this on a machine in its private network",
        ),
        (
            "(UserError) Access to workspace was denied based on workspace private link configuration.",
            "run this on a machine in its private network",
        ),
        (
            "(AuthorizationFailure) This request is not authorized to perform this operation.",
            "run this on a machine in its private network",
        ),
        (
            "(AuthorizationPermissionMismatch) This request is not authorized to perform this operation using this "
            "permission.",
            "you may not write to storage account storageaccountdev: ask for the role Storage Blob Data Contributor",
        ),
        ("(Teapot) short and stout", "`az ml model list` failed: (Teapot) short and stout"),
    ],
)
def test_an_error_of_azure_is_one_line_with_its_remedy(
    dev: Session, azure: FakeAzure, message: str, remedy: str
) -> None:
    azure.fail("az ml", message)
    assert remedy in failure(lambda: verbs.deploy_online(dev))


def test_a_missing_azure_cli_is_one_line_with_its_remedy(
    dev: Session, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert failure(lambda: verbs.deploy_online(dev)).startswith("az is not installed: see https://learn.microsoft.com")


# Values.


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
        # What a person finds it by, among jobs whose names are dates.
        "display_name": "training training.seed=7",
    }


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
        "settings.environment_variables.MLOPS_BAD_FILES": "report",
    }


# Data that are only in Azure. What each version makes of a folder there is in test_every_version.py.

LONG = "azureml://subscriptions/s/resourcegroups/{}/workspaces/{}/datastores/lake/paths/flights/"
FLIGHTS = (Container("anaccount", "acontainer"), "flights")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("azureml://datastores/lake/paths/flights", FLIGHTS),
        ("azureml://datastores/lake/paths/flights/", FLIGHTS),
        (LONG.format("RG-dev", "mlw-dev"), FLIGHTS),
        (LONG.format("rg-dev", "mlw-other"), None),
        ("azureml://datastores/share/paths/flights", None),
        ("https://anaccount.blob.core.windows.net/acontainer/flights?sv=1&sig=2", FLIGHTS),
        ("https://anaccount.dfs.core.windows.net/acontainer/flights/", FLIGHTS),
        ("https://anaccount.blob.core.windows.net/acontainer", (FLIGHTS[0], "")),
        ("abfss://acontainer@anaccount.dfs.core.windows.net/flights", FLIGHTS),
        ("wasbs://acontainer@anaccount.blob.core.windows.net/flights/", FLIGHTS),
        ("https://example.com/flights", None),
    ],
)
def test_an_address_in_azure_is_a_path_in_a_container(
    dev: Session, address: str, place: tuple[Container, str] | None
) -> None:
    assert locate(address, dev.config, {"lake": FLIGHTS[0], "share": None}.get) == place


def give_address(session: Session, address: str, name: str = "data/training-data.yml") -> None:
    """Name another place of the training data, in the definition of the asset or in the pipeline."""
    file = session.project.definitions / name
    text = re.sub(r"\.\./\.\./\.\./data/raw|azureml:training-data@latest", address, file.read_text(encoding="utf-8"))
    file.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("data/training-data.yml", "https://example.com/flights"),
        ("pipeline.yml", "azureml://datastores/workspaceblobstore/paths/flights"),
        ("pipeline.yml", "azureml:data-of-others@latest"),
    ],
)
def test_where_no_version_can_show_new_data_each_step_runs_anew(
    dev: Session, azure: FakeAzure, name: str, address: str, capfd: pytest.CaptureFixture[str]
) -> None:
    give_address(dev, address, name)
    verbs.train(dev, wait=False)
    (job,) = azure.load()["jobs"].values()
    assert job["set"]["settings.force_rerun"] == "true"
    assert ("is no place whose files can be listed" in capfd.readouterr().out) == (name != "pipeline.yml")


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        (
            "You do not have the required permissions needed to perform this operation.\n"
            "ErrorCode:AuthorizationPermissionMismatch",
            "only for the role Storage Blob Data Reader",
        ),
        ("The request may be blocked by network rules.\nErrorCode:AuthorizationFailure", "a machine that its network"),
        ("The specified container does not exist.\nErrorCode:ContainerNotFound", "no such container: correct the addr"),
        ("Please run 'az login' to setup account.", "you are not signed in to Azure: run `az login`"),
        ("Failed to resolve 'anaccount.blob.core.windows.net'", "check the address, and that this machine reaches it"),
    ],
)
def test_files_in_azure_that_cannot_be_listed_are_one_line_with_the_remedy(
    dev: Session, azure: FakeAzure, message: str, remedy: str
) -> None:
    give_address(dev, "abfss://acontainer@anaccount.dfs.core.windows.net/flights")
    azure.fail("az storage blob list", message)
    error = failure(lambda: verbs.train(dev))
    assert error.startswith("training-data.yml: abfss://acontainer@anaccount.dfs.core.windows.net/flights cannot be ")
    assert remedy in error
    assert azure.load()["jobs"] == {}
