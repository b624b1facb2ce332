"""The champion: which registered version it is, what its files are, and what it predicts."""

import hashlib
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.pyfunc import PyFuncModel, load_model
from numpy.typing import NDArray

from .. import added_features, conversion, model_output
from . import features
from .modality import Examples, Modality
from .predictions import Predictions
from .schema import Schema
from .split import METADATA, Split, comparison_problem
from .step import StepError

FINGERPRINTS = "fingerprints.npy"
"""What the training examples of a model are recognised by, beside its other files."""

NOTES = "notes"
"""The key of the metadata of a model for what the report should say of its training: a list of texts."""

_SOME = 500


def champion(client: MlflowClient, name: str, below: int | None = None) -> ModelVersion | None:
    """Return the version of the model to beat: the highest one that was not rejected.

    `rejected=true` is the tag of one that was, and `rejected_<environment>=true` that of a rollback there. Versions
    compare as numbers, so 10 is higher than 9. With `below` only smaller ones count. The result is None if the model
    has no such version.
    """
    versions: list[ModelVersion] = []
    token: str | None = ""
    while token is not None:
        page = client.search_model_versions(f"name = '{name}'", page_token=token or None)
        versions += page
        token = page.token or None
    kept = [version for version in versions if not _is_rejected(version)]
    kept = [version for version in kept if below is None or int(version.version) < below]
    return max(kept, key=lambda version: int(version.version), default=None)


def _is_rejected(version: ModelVersion) -> bool:
    return any(tag.partition("_")[0] == "rejected" and value == "true" for tag, value in version.tags.items())


def model_hash(folder: Path) -> str:
    """Return the SHA-256 of a model folder, as hex text: of all relative paths, in order, and the bytes of each file.

    Raises:
        StepError: the folder holds no MLflow model.
    """
    if not (folder / "MLmodel").is_file():
        raise StepError(f"{folder}: there is no MLflow model (no file MLmodel); run train first")
    total = hashlib.sha256()
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    # MLflow adds it to the files of a registered version that it downloads.
    files.pop("registered_model_meta", None)
    for name in sorted(files):
        with files[name].open("rb") as content:
            total.update(f"{hashlib.file_digest(content, 'sha256').hexdigest()}  {name}\n".encode())
    return total.hexdigest()


def model_predictions(model: PyFuncModel, modality: Modality, examples: Examples) -> Predictions:
    """Return what a model predicts from the columns that it was trained with.

    Raises:
        KeyError: the examples do not have one of them.
    """
    parts = [model_output.predict(model, inputs) for inputs in _model_inputs(model, modality, examples)]
    predicted = Predictions.of(model_output.joined(parts))
    if len(predicted) != len(examples.frame):
        raise ValueError(f"the model gave {len(predicted)} predictions for {len(examples.frame)} rows")
    return predicted


def model_embeddings(model: PyFuncModel, modality: Modality, examples: Examples) -> pd.DataFrame | None:
    """Return how a model sees the examples, one row each, as `model_output.embedding`; None if it has no embedding."""
    if not model_output.has_embedding(model):
        return None
    parts = [model_output.embedding(model, inputs) for inputs in _model_inputs(model, modality, examples)]
    return pd.concat(parts, ignore_index=True)


def _model_inputs(model: PyFuncModel, modality: Modality, examples: Examples) -> Iterator[pd.DataFrame]:
    """Yield the inputs of the model, so many examples at a time as the type of data allows."""
    signature, frame = model.metadata.get_input_schema(), _with_its_features(model, examples.frame)
    columns = signature.input_names() if signature else list(map(str, frame))
    rows = modality.rows_at_once or len(frame)
    for first in range(0, max(len(frame), 1), max(rows, 1)):
        yield modality.inputs(replace(examples, frame=frame.iloc[first : first + rows]), columns)


def _with_its_features(model: PyFuncModel, frame: pd.DataFrame) -> pd.DataFrame:
    """Return examples with the features of the model: those of this project, unless it was trained with others."""
    metadata = model.metadata.metadata or {}
    own = added_features.of_metadata(metadata)
    if own is None or (own.source == features.source() and set(own.columns) <= set(frame)):
        return frame
    return frame.assign(**own.compute(conversion.convert(frame, metadata[conversion.METADATA])))


def conda_environment(requirements: Sequence[str]) -> dict[str, Any]:
    """Return the environment that a model is loaded in: this Python, and packages in the versions that are here.

    MLflow would otherwise guess the packages in a slow child process. It takes them in this form and not as
    pip_requirements: those make it warn in every project of uv, which installs no pip.
    """
    pinned = [f"{name}=={version(name)}" for name in requirements]
    python = f"python={platform.python_version()}"
    return {"name": "model", "channels": ["conda-forge"], "dependencies": [python, "pip", {"pip": pinned}]}


def write_metadata(folder: Path, metadata: Mapping[str, Any]) -> None:
    """Add `metadata` to that of the MLflow model in `folder`."""
    model = Model.load(str(folder))
    model.metadata = {**(model.metadata or {}), **metadata}
    model.save(str(folder / MLMODEL_FILE_NAME))


def model_notes(model: PyFuncModel) -> tuple[str, ...]:
    """Return what a model says of its training."""
    return tuple((model.metadata.metadata or {}).get(NOTES, ()))


def write_fingerprints(folder: Path, fingerprints: NDArray[Any]) -> None:
    """Add those of its training examples to the MLflow model in `folder`, if the type of data has any."""
    if fingerprints.shape[1]:
        np.save(folder / FINGERPRINTS, fingerprints, allow_pickle=False)


@dataclass(frozen=True)
class Champion:
    """The champion as the gate met it.

    Attributes:
        version: its number in the registry; None if no version is registered.
        predictions: for each of the examples that it was to score, one after the other, of the held-out ones for the
            `unseen`; empty if there is nothing to compare with.
        embeddings: likewise how it sees the examples, as `model_output.embedding`; empty if it has no embedding.
        unseen: which of the held-out examples it was not trained on, of shape (examples,); None if all.
        note: why there is nothing to compare with, or what limits the comparison; or empty.
    """

    version: str | None
    predictions: tuple[Predictions, ...] = ()
    note: str = ""
    embeddings: tuple[pd.DataFrame, ...] = ()
    unseen: NDArray[np.bool_] | None = None

    @property
    def name(self) -> str | None:
        """Return what the report calls its predictions; None if there are none."""
        return f"champion v{self.version}" if self.predictions else None


def meet_champion(
    name: str,
    modality: Modality,
    schema: Schema,
    held_out: Split,
    *examples: Examples,
    train: Examples | None = None,
    replace: bool = False,
    embed: bool = False,
    experiment: bool = False,
) -> Champion:
    """Return the champion with its predictions for the held-out examples, and for others.

    Args:
        name: of the registered model.
        modality: the type of data.
        schema: of the data.
        held_out: the split that the held-out examples come from.
        examples: what it is to score, the held-out examples first.
        train: what its challenger was trained on; None if that plays no part.
        replace: whether a champion that cannot be compared may be replaced without a comparison.
        embed: whether its embeddings are needed too.
        experiment: whether no challenger takes its place, so that one without a comparison stops nothing.

    Raises:
        StepError: its files cannot be fetched; or it cannot be compared, without `replace` and `experiment`.
    """
    version = champion(MlflowClient(), name)
    if version is None:
        return Champion(None, note=f"no version of {name} is registered yet")
    with tempfile.TemporaryDirectory() as temporary:
        # Apart from comparing: an unreachable registry stops the step, whatever may be replaced.
        source = Path(_fetch(name, str(version.version), temporary))
        try:
            model = _intact_model(source, version)
            if reason := held_out.difference(_recorded_split(model)):
                raise _IncomparableError(reason)
            known = _recorded_fingerprints(source, modality, examples[0])
            unseen = None if known is None else _unseen(known, modality, schema, examples[0])
            chosen = examples if unseen is None else (examples[0].take(unseen), *examples[1:])
            scored = tuple(_scored(model, modality, schema, each) for each in chosen)
            embedded = [_embedded(model, modality, each) for each in chosen] if embed else []
            found = tuple(each for each in embedded if each is not None)
            strange = unseen is None and train is not None and _is_strange(known, modality, train)
            notes = (
                _part(version, unseen),
                _strange_training(version) if strange else "",
                _unknown_classes(version, schema, scored[0], chosen[0]),
            )
            return Champion(str(version.version), scored, "; ".join(filter(None, notes)), found, unseen)
        except _IncomparableError as error:
            note = f"champion v{version.version} cannot be compared: {error}"
    if experiment and not replace:
        return Champion(str(version.version), note=f"{note}; this is an experiment, and it stays the champion")
    if not replace:
        raise StepError(
            f"{note}. It stays the champion. Restore what it needs, if possible; or let a model that passes all "
            "other conditions take its place without a comparison: --overrides promotion.incomparable_champion=replace"
        )
    return Champion(str(version.version), note=f"{note}; promotion.incomparable_champion lets another take its place")


def may_be_compared(metadata: Mapping[str, Any], schema: Schema) -> bool:
    """Return whether a model with this metadata can be compared with one of a schema, as far as that tells.

    The rows tell the rest: `meet_champion`.
    """
    trained, rule = Split.from_document(metadata.get(METADATA)), schema.split
    if trained is None:
        return False
    rows = (rule.by, rule.columns, rule.types, rule.salt if rule.by == "hash" else "")
    known, given = {*metadata.get("classes", ())}, {*schema.classes}
    return (
        (trained.by, trained.columns, trained.types, trained.salt) == rows
        and {*metadata.get(conversion.METADATA, ())} <= {*schema.columns}
        and bool(known) == bool(given)
        and known <= given
    )


class _IncomparableError(Exception):
    """Why a champion cannot be compared, in words."""


def _intact_model(folder: Path, version: ModelVersion) -> PyFuncModel:
    registered, found = version.tags.get("sha256"), model_hash(folder)
    if registered is not None and registered != found:
        raise _IncomparableError(f"its files are damaged, their sha256 is {found[:12]} and was {registered[:12]}")
    try:
        return load_model(str(folder))
    # Any library may fail here, in its own way: an old model meets new packages.
    except Exception as error:
        raise _IncomparableError(f"it cannot be loaded ({_first_words(error)})") from error


def _recorded_split(model: PyFuncModel) -> Split | None:
    return Split.from_document((model.metadata.metadata or {}).get(METADATA))


def _recorded_fingerprints(source: Path, modality: Modality, examples: Examples) -> NDArray[Any] | None:
    """Return those of the examples that the model in `source` was trained on; None if it has none."""
    if not (source / FINGERPRINTS).is_file():
        return None
    try:
        known: NDArray[Any] = np.load(source / FINGERPRINTS, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _IncomparableError(f"its {FINGERPRINTS} cannot be read") from error
    none = modality.fingerprints(examples.take(np.zeros(len(examples.frame), dtype=bool)))
    if known.shape[1:] != none.shape[1:] or known.dtype != none.dtype:
        raise _IncomparableError("its training examples were recorded in another way, so copies cannot be found")
    return known


def _unseen(known: NDArray[Any], modality: Modality, schema: Schema, examples: Examples) -> NDArray[np.bool_] | None:
    """Return which held-out examples are no copies of the known ones; None if none is.

    They are where all were written in another way, such as pictures that were compressed, and dealt out anew.
    """
    new = modality.fingerprints(examples)
    seen = modality.alike(known, new)
    if not seen.any():
        return None
    classes = schema.target if schema.task == "classification" else None
    if problem := comparison_problem(examples.frame, ~seen, schema.split, classes):
        copies = f"copies of {seen.sum():,} of the {len(seen):,} held-out rows"
        raise _IncomparableError(f"it was trained on {copies}, and {problem}")
    return ~seen


def _is_strange(known: NDArray[Any] | None, modality: Modality, train: Examples) -> bool:
    """Return whether none of the known examples is found again in those that a challenger was trained on."""
    if known is None or not len(known) or not len(train.frame):
        return False
    trained = modality.fingerprints(train)
    # Mostly a few are enough to find one.
    some = known[:: -(-len(known) // _SOME)]
    return not modality.alike(trained, some).any() and not modality.alike(trained, known).any()


def _strange_training(version: ModelVersion) -> str:
    return (
        f"none of the training examples of champion v{version.version} is found again in the data: if they were "
        "changed as a whole, it may have been trained on some of the held-out rows, and the comparison favours it"
    )


def _part(version: ModelVersion, unseen: NDArray[np.bool_] | None) -> str:
    if unseen is None:
        return ""
    rows, left = len(unseen), int(unseen.sum())
    seen = f"champion v{version.version} was trained on copies of {rows - left:,} of the {rows:,} held-out rows"
    return f"{seen}, so it is compared on the other {left:,}"


def _unknown_classes(version: ModelVersion, schema: Schema, predicted: Predictions, examples: Examples) -> str:
    if not predicted.classes or schema.target not in examples.frame:
        return ""
    counts = examples.frame[schema.target].astype(str).value_counts()
    unknown = sorted(set(counts.index) - set(predicted.classes))
    if not unknown:
        return ""
    return (
        f"champion v{version.version} does not know {', '.join(unknown)}, so it is wrong in the "
        f"{counts[unknown].sum():,} held-out rows of {'this class' if len(unknown) == 1 else 'these classes'}"
    )


def _scored(model: PyFuncModel, modality: Modality, schema: Schema, examples: Examples) -> Predictions:
    try:
        predicted = model_predictions(model, modality, examples)
    # An old model may also meet columns that have changed.
    except Exception as error:
        raise _IncomparableError(f"it cannot score these rows ({_first_words(error)})") from error
    if schema.task == "classification":
        _refuse_other_classes(predicted, schema, examples)
    return predicted


def _embedded(model: PyFuncModel, modality: Modality, examples: Examples) -> pd.DataFrame | None:
    try:
        return model_embeddings(model, modality, examples)
    except Exception as error:
        raise _IncomparableError(f"it cannot embed these rows ({_first_words(error)})") from error


def _refuse_other_classes(predicted: Predictions, schema: Schema, examples: Examples) -> None:
    # Production rows may have no target.
    known = schema.class_names(*([examples.frame[schema.target]] if schema.target in examples.frame else []))
    given = predicted.classes or tuple(sorted({str(value) for value in predicted.values}))
    if not known:
        return
    if not set(given) & set(known) or (schema.columns[schema.target].values and set(given) - set(known)):
        raise _IncomparableError(f"it predicts {', '.join(given)}, and {schema.target} has {', '.join(known)}")


def _first_words(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


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
