"""Register the model in the MLflow registry, if the evaluation has promoted it."""

import argparse
import json
import math
from collections.abc import Mapping
from pathlib import Path
from textwrap import shorten
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from .core import pipeline_run
from .core.champion import champion, model_hash
from .core.step import StepError, output_folder, run, step_run

_LONGEST_TAG = 1000
"""What Azure ML keeps of the value of a tag, in characters."""


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="register", description=__doc__)
    arguments.add_argument("--model", type=Path, required=True, help="folder of the MLflow model")
    arguments.add_argument("--model-name", required=True, help="name in the registry")
    arguments.add_argument("--evaluation", type=Path, required=True, help="folder with decision.json")
    arguments.add_argument("--registration", type=Path, required=True, help="output folder of registration.json")
    return arguments


def register(arguments: argparse.Namespace) -> None:
    """Register the model if decision.json promotes it, and write the result to registration.json.

    Raises:
        StepError: there is no model, or no decision, or the registry has another champion than the decision met.
    """
    decision = _decision(arguments.evaluation / "decision.json")
    sha256 = model_hash(arguments.model)
    promoted = decision["promote"]
    result = {"registered": promoted, "name": arguments.model_name, "version": None, "sha256": sha256}
    result["reasons"] = decision["reasons"]
    client = MlflowClient()
    try:
        with output_folder(arguments.registration) as folder:
            if promoted:
                _refuse_another_champion(client, arguments.model_name, decision["champion_version"])
                notes = {"reasons": "; ".join(decision["reasons"]), "metrics": _scores(arguments.evaluation)}
                result["version"] = create_version(client, arguments.model_name, arguments.model, sha256, notes)
                # Two runs may both have come this far; of them the one with the lower number stays.
                own = int(result["version"])
                _refuse_another_champion(client, arguments.model_name, decision["champion_version"], below=own)
            (folder / "registration.json").write_text(json.dumps(result, indent=2), encoding="utf-8")
    except BaseException:
        if result["version"] is not None:
            client.delete_model_version(arguments.model_name, result["version"])
        raise
    if promoted:
        pipeline_run.log(tags={"version": str(result["version"])})
    print(f"{'promoted' if promoted else 'not promoted'}, because", *decision["reasons"], sep="\n  - ")
    done = f"registered version {result['version']}" if promoted else "not registered"
    print(f"{arguments.model_name}: {done}", flush=True)


def create_version(
    client: MlflowClient, name: str, model: Path, sha256: str, notes: Mapping[str, str] | None = None
) -> str:
    """Upload the folder `model` and register it as a new version, which has the tag `sha256`.

    Args:
        client: The registry.
        name: The model's name there.
        model: The folder.
        sha256: The hash of its files.
        notes: More tags, which tell a person about the version; a long text is cut, and an empty one left out.

    Returns:
        The number of the new version. If anything fails there is no new version.
    """
    with step_run("register") as active:
        print(f"uploading the model to run {active.info.run_id}", flush=True)
        # Azure ML's server knows only MLflow's older requests: log_model and logged models would fail there.
        mlflow.log_artifacts(str(model), "model")
        source = mlflow.get_artifact_uri("model")
    if not _exists(client, name):
        client.create_registered_model(name)
    told = {tag: shorten(text, _LONGEST_TAG, placeholder=" ...") for tag, text in (notes or {}).items() if text}
    tags = {"sha256": sha256, **told}
    # With its tags at once: a process that is killed after this leaves no version without a hash.
    created = client.create_model_version(name, source, run_id=active.info.run_id, tags=tags)
    version = str(created.version)
    try:
        for tag in [tag for tag in tags if tag not in created.tags]:  # where a registry has dropped them
            client.set_model_version_tag(name, version, tag, tags[tag])
    except BaseException:
        client.delete_model_version(name, version)
        raise
    return version


def _refuse_another_champion(client: MlflowClient, name: str, met: str | None, below: int | None = None) -> None:
    found = champion(client, name, below)
    if found is not None and int(found.version) > int(met or 0):
        compared = f"version {met}" if met else "no champion"
        raise StepError(
            f"{name}: version {found.version} was registered while this model was compared with {compared}: "
            "nothing is registered; run the pipeline again, which compares with that version"
        )


def _exists(client: MlflowClient, name: str) -> bool:
    try:
        client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False
    return True


def _decision(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise StepError(f"{path}: there is no decision; run evaluate first")
    try:
        decision = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise StepError(f"{path} is not valid JSON; run evaluate again") from error
    if not isinstance(decision, dict) or not isinstance(decision.get("promote"), bool):
        raise StepError(f"{path} does not state `promote: true` or `false`; run evaluate again")
    met = decision.get("champion_version")
    return {
        "promote": decision["promote"],
        "reasons": [str(reason) for reason in decision.get("reasons", [])],
        "champion_version": None if met is None else str(met),
    }


def _scores(evaluation: Path) -> str:
    """Return the scores of the model on the held-out rows, as "mae=8.123 r2=0.9"; the one that decides is the first."""
    path = evaluation / "metrics.json"
    if not path.is_file():
        return ""
    document = json.loads(path.read_text(encoding="utf-8"))
    scores = sorted(document["challenger"].items(), key=lambda item: item[0] != document["metric"])
    return " ".join(f"{name}={value:.4g}" for name, value in scores if value is not None and math.isfinite(value))


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(register, parser(), argv)


if __name__ == "__main__":
    main()
