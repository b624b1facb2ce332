"""The step register: what was promoted becomes a version, all or nothing."""

import errno
import json
import os

import mlflow
import pytest
from helpers import module
from mlflow import MlflowClient

register = module("register")
champion, model_hash = module("core.champion").champion, module("core.champion").model_hash
OPTIONS = ("model", "evaluation", "registration")
NAME = "a-model"


@pytest.fixture
def candidate(folders):
    """A folder that stands for a model (registering reads no weights), and a decision for it."""
    (folders.model / "data").mkdir(parents=True)
    (folders.model / "MLmodel").write_text("flavors: {}\n", encoding="utf-8")
    (folders.model / "data" / "weights.bin").write_bytes(b"1234")
    decide(folders, True)
    return folders


def decide(folders, promote, reasons=("no champion yet",), met=None):
    folders.evaluation.mkdir(parents=True, exist_ok=True)
    document = {"promote": promote, "reasons": list(reasons), "champion_version": met}
    (folders.evaluation / "decision.json").write_text(json.dumps(document), encoding="utf-8")


def run(folders):
    register.main([*folders.arguments(*OPTIONS), "--model-name", NAME])
    return json.loads((folders.registration / "registration.json").read_text(encoding="utf-8"))


def versions():
    return MlflowClient().search_model_versions(f"name = '{NAME}'")


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_promoted_model_becomes_a_version_with_its_hash(candidate, capsys):
    result = run(candidate)
    [version] = versions()
    sha256 = model_hash(candidate.model)
    assert result == {
        "registered": True,
        "name": NAME,
        "version": "1",
        "sha256": sha256,
        "reasons": ["no champion yet"],
    }
    assert str(version.version) == "1"
    assert version.tags == {"sha256": sha256, "reasons": "no champion yet"}
    assert capsys.readouterr().out.endswith("promoted, because\n  - no champion yet\na-model: registered version 1\n")


def test_a_version_tells_its_scores_and_why_it_was_promoted(candidate):
    scored = {"metric": "mae", "challenger": {"r2": 0.91234, "mae": 8.12345, "loss": None}}
    (candidate.evaluation / "metrics.json").write_text(json.dumps(scored), encoding="utf-8")
    decide(candidate, True, ["the floor is reached", "the champion is beaten" + " by far" * 200])
    run(candidate)
    [version] = versions()
    assert version.tags["metrics"] == "mae=8.123 r2=0.9123"
    assert version.tags["reasons"].startswith("the floor is reached; the champion is beaten by far")
    assert version.tags["reasons"].endswith(" ...")
    assert len(version.tags["reasons"]) <= 1000


def test_the_registered_files_are_those_of_the_model(candidate, tmp_path):
    run(candidate)
    client = MlflowClient()
    [version] = versions()
    copy = client.download_artifacts(version.run_id, "model", str(tmp_path))
    assert model_hash(type(tmp_path)(copy)) == version.tags["sha256"]
    assert client.get_model_version_download_uri(NAME, version.version).endswith("/model")


def test_a_model_that_was_not_promoted_is_not_registered(candidate, capsys):
    decide(candidate, False, ["worse than the champion"])
    result = run(candidate)
    assert versions() == []
    assert (result["registered"], result["version"]) == (False, None)
    assert result["reasons"] == ["worse than the champion"]
    assert "not promoted, because\n  - worse than the champion\na-model: not registered\n" in capsys.readouterr().out


@pytest.mark.parametrize("text", [None, "{", "[]", '{"reasons": []}', '{"promote": "yes"}'])
def test_without_a_clear_decision_nothing_is_registered(candidate, capsys, text):
    path = candidate.evaluation / "decision.json"
    path.unlink() if text is None else path.write_text(text, encoding="utf-8")
    with pytest.raises(SystemExit):
        run(candidate)
    assert versions() == []
    [line] = capsys.readouterr().err.splitlines()
    assert "decision.json" in line
    assert "evaluate" in line


def test_a_folder_without_a_model_is_not_registered(candidate, capsys):
    (candidate.model / "MLmodel").unlink()
    with pytest.raises(SystemExit):
        run(candidate)
    assert versions() == []
    assert "there is no MLflow model" in capsys.readouterr().err


@pytest.mark.parametrize(
    "place",
    ["mlflow.log_artifacts", "mlflow.MlflowClient.create_model_version", "shutil.copyfile", "pathlib.Path.write_text"],
)
def test_a_failure_at_any_point_leaves_no_registration(candidate, monkeypatch, capsys, place):
    with monkeypatch.context() as broken:
        broken.setattr(place, full)
        with pytest.raises(SystemExit) as stop:
            run(candidate)
    assert stop.value.code == 1
    assert "no space left" in capsys.readouterr().err
    assert versions() == []
    assert champion(MlflowClient(), NAME) is None
    assert not (candidate.registration / "registration.json").exists()
    assert run(candidate)["registered"]


def refused(folders, capsys):
    with pytest.raises(SystemExit) as stop:
        run(folders)
    assert stop.value.code == 1
    return capsys.readouterr().err


def test_of_two_runs_that_met_no_champion_one_registers(candidate, capsys):
    assert run(candidate)["version"] == "1"
    line = refused(candidate, capsys)
    assert "version 1 was registered while this model was compared with no champion: nothing is registered" in line
    assert [str(each.version) for each in versions()] == ["1"]


def test_a_champion_that_is_newer_than_the_compared_one_stops_the_registration(candidate, capsys):
    run(candidate)
    decide(candidate, True, met="1")
    assert run(candidate)["version"] == "2"
    assert "version 2 was registered while this model was compared with version 1" in refused(candidate, capsys)
    assert champion(MlflowClient(), NAME).version in (2, "2")


def test_a_run_that_registers_a_moment_later_withdraws_its_version(candidate, monkeypatch, capsys):
    create = register.create_version

    def create_second(client, *arguments):
        # Another run registers between the check and the upload of this one.
        create(client, *arguments)
        return create(client, *arguments)

    monkeypatch.setattr(register, "create_version", create_second)
    assert "version 1 was registered while" in refused(candidate, capsys)
    assert [str(each.version) for each in versions()] == ["1"]
    assert not (candidate.registration / "registration.json").exists()


def test_a_compared_champion_that_was_rejected_meanwhile_stops_nothing(candidate):
    run(candidate)
    MlflowClient().set_model_version_tag(NAME, "1", "rejected", "true")
    decide(candidate, True, met="1")
    assert run(candidate)["version"] == "2"


def test_the_champion_is_the_highest_number_and_not_the_last_in_the_alphabet(candidate):
    for version in range(10):
        decide(candidate, True, met=version or None)
        run(candidate)
    assert str(champion(MlflowClient(), NAME).version) == "10"


def test_a_rejected_version_is_no_champion(candidate):
    run(candidate)
    decide(candidate, True, met="1")
    run(candidate)
    client = MlflowClient()
    client.set_model_version_tag(NAME, "2", "rejected", "true")
    assert str(champion(client, NAME).version) == "1"
    client.set_model_version_tag(NAME, "1", "rejected", "true")
    assert champion(client, NAME) is None


def test_a_version_that_a_rollback_rejected_is_no_champion_until_it_is_accepted(candidate):
    run(candidate)
    decide(candidate, True, met="1")
    run(candidate)
    registry = MlflowClient()
    for rejected, newest in (("true", "1"), ("false", "2")):
        registry.set_model_version_tag(NAME, "2", "rejected_dev", rejected)
        assert str(champion(registry, NAME).version) == newest


def test_an_unknown_model_has_no_champion(folders):
    assert champion(MlflowClient(), NAME) is None


def test_the_champions_of_two_models_are_kept_apart(candidate):
    run(candidate)
    assert champion(MlflowClient(), "a") is None


def test_the_hash_of_a_downloaded_version_is_that_of_its_tag(candidate, tmp_path):
    run(candidate)
    [version] = versions()
    copy = mlflow.artifacts.download_artifacts(f"models:/{NAME}/1", dst_path=str(tmp_path / "copy"))
    assert model_hash(type(tmp_path)(copy)) == version.tags["sha256"]


def test_the_hash_sees_names_and_bytes_and_nothing_else(candidate, tmp_path):
    first = model_hash(candidate.model)
    weights = candidate.model / "data" / "weights.bin"
    os.utime(weights, (0, 0))
    assert model_hash(candidate.model) == first
    weights.write_bytes(b"1235")
    changed = model_hash(candidate.model)
    weights.write_bytes(b"1234")
    weights.rename(weights.with_name("w.bin"))
    assert len({first, changed, model_hash(candidate.model)}) == 3


def test_only_requests_that_azure_ml_knows_are_made(candidate, monkeypatch):
    def unknown(*_, **__):
        raise AssertionError("Azure ML answers 404 to this")

    for name in ("create_logged_model", "log_model_artifacts", "set_registered_model_alias", "search_logged_models"):
        monkeypatch.setattr(MlflowClient, name, unknown)
    assert run(candidate)["version"]
