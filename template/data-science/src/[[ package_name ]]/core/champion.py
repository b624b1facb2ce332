"""The champion: which registered version it is, what its files are, and what it predicts."""

import hashlib
import tempfile
from pathlib import Path

import mlflow
import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PyFuncModel, load_model

from .modality import Examples, Modality
from .step import StepError


def champion(client: MlflowClient, name: str) -> ModelVersion | None:
    """Return the version of the model to beat: the highest one that has no tag `rejected=true`.

    Versions compare as numbers, so 10 is higher than 9. The result is None if the model has no such version.
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


def predict(model: PyFuncModel, modality: Modality, examples: Examples) -> np.ndarray:
    """Return predictions of shape (examples,), from the columns that this model was trained with.

    Raises:
        KeyError: the examples do not have one of them.
    """
    signature = model.metadata.get_input_schema()
    columns = signature.input_names() if signature else list(map(str, examples.frame))
    predicted = np.asarray(model.predict(modality.inputs(examples, columns))).ravel()
    if len(predicted) != len(examples.frame):
        raise ValueError(f"the model gave {len(predicted)} predictions for {len(examples.frame)} rows")
    return predicted


def champion_predictions(name: str, modality: Modality, examples: Examples) -> tuple[dict[str, np.ndarray], str]:
    """Return the champion's predictions by its name; or nothing, and why.

    Raises:
        StepError: there is a champion, and its files cannot be fetched.
    """
    version = champion(MlflowClient(), name)
    if version is None:
        return {}, f"no version of {name} is registered yet"
    called = f"champion v{version.version}"
    with tempfile.TemporaryDirectory() as temporary:
        # Apart from loading: an unreachable registry must stop the step, or the floor alone would decide by accident.
        source = _fetch(name, str(version.version), temporary)
        # Any library may fail here, in its own way: an old model meets new columns and new packages.
        try:
            return {called: predict(load_model(source), modality, examples)}, ""
        except Exception as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            return {}, f"{called} cannot score these rows, so it is not compared: {reason}"


def _fetch(name: str, version: str, folder: str) -> str:
    error: object = "its folder has no file MLmodel"
    try:
        source = mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=folder)
        # MLflow gives an empty folder, and no error, for files that are gone.
        if (Path(source) / "MLmodel").is_file():
            return source
    except (MlflowException, OSError) as caught:
        error = caught
    remedy = "bring its files back, or tag the version rejected=true to leave it out"
    raise StepError(f"version {version} of {name} cannot be fetched ({error}): {remedy}")
