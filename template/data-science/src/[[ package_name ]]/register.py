"""Register the model in the MLflow registry, if the evaluation has promoted it."""

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from .step import StepError, run, staged, tracked


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="register", description=__doc__)
    arguments.add_argument("--model", type=Path, required=True, help="folder of the MLflow model")
    arguments.add_argument("--model-name", required=True, help="name in the registry")
    arguments.add_argument("--evaluation", type=Path, required=True, help="folder with decision.json")
    arguments.add_argument("--registration", type=Path, required=True, help="output folder of registration.json")
    return arguments


def register(arguments: argparse.Namespace) -> None:
    """Register the model if decision.json promotes it, and write what was done to registration.json.

    Raises:
        StepError: there is no model, or no decision.
    """
    decision = _decision(arguments.evaluation / "decision.json")
    sha256 = model_hash(arguments.model)
    promoted = decision["promote"]
    result = {"registered": promoted, "name": arguments.model_name, "version": None, "sha256": sha256}
    result["reasons"] = decision["reasons"]
    client = MlflowClient()
    try:
        with staged(arguments.registration) as folder:
            if promoted:
                result["version"] = create_version(client, arguments.model_name, arguments.model, sha256)
            (folder / "registration.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    except BaseException:
        if result["version"] is not None:
            client.delete_model_version(arguments.model_name, result["version"])
        raise
    done = f"registered version {result['version']}" if promoted else "not registered"
    print(f"{arguments.model_name}: {done}: {'; '.join(decision['reasons'])}", flush=True)


def create_version(client: MlflowClient, name: str, model: Path, sha256: str) -> str:
    """Upload the folder ``model`` and register it as a new version, which carries the tag ``sha256``.

    Returns:
        The number of the new version. If anything fails there is no new version.
    """
    with tracked("register") as active:
        print(f"uploading the model to run {active.info.run_id}", flush=True)
        # Azure ML's server knows only MLflow's older requests: log_model and logged models would fail there.
        mlflow.log_artifacts(str(model), "model")
        source = mlflow.get_artifact_uri("model")
    if not _exists(client, name):
        client.create_registered_model(name)
    version = str(client.create_model_version(name, source, run_id=active.info.run_id).version)
    try:
        client.set_model_version_tag(name, version, "sha256", sha256)
    except BaseException:
        client.delete_model_version(name, version)
        raise
    return version


def _exists(client: MlflowClient, name: str) -> bool:
    try:
        client.get_registered_model(name)
    except MlflowException as fault:
        if fault.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def champion(client: MlflowClient, name: str) -> ModelVersion | None:
    """Return the version of the model to beat: the highest one that has no tag ``rejected=true``.

    Versions compare as numbers, so 10 is higher than 9. None means that the model has no such version.
    """
    versions: list[ModelVersion] = []
    token: str | None = ""
    while token is not None:
        page = client.search_model_versions(f"name = '{name}'", page_token=token or None)
        versions += page
        token = page.token or None
    kept = [version for version in versions if version.tags.get("rejected") != "true"]
    return max(kept, key=lambda version: int(version.version), default=None)


def model_hash(folder: Path) -> str:
    """Return the SHA-256 of a model folder, as hex text: of all relative paths, in order, and the bytes of each file.

    Raises:
        StepError: the folder holds no MLflow model.
    """
    if not (folder / "MLmodel").is_file():
        raise StepError(f"{folder}: there is no MLflow model (no file MLmodel); run train first")
    total = hashlib.sha256()
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name in sorted(files):
        with files[name].open("rb") as content:
            total.update(f"{hashlib.file_digest(content, 'sha256').hexdigest()}  {name}\n".encode())
    return total.hexdigest()


def _decision(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise StepError(f"{path}: there is no decision; run evaluate first")
    try:
        decision = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise StepError(f"{path} is not valid JSON; run evaluate again") from fault
    if not isinstance(decision, dict) or not isinstance(decision.get("promote"), bool):
        raise StepError(f"{path} does not say `promote: true` or `false`; run evaluate again")
    return {"promote": decision["promote"], "reasons": [str(reason) for reason in decision.get("reasons", [])]}


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(register, parser(), argv)


if __name__ == "__main__":
    main()
