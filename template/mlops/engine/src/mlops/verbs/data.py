"""The data assets on Azure ML."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from mlops.azureml.storage import files_at, listing_version, locate
from mlops.errors import UserError
from mlops.pipeline import DataAsset, Pipeline, data_asset
from mlops.verbs.session import Session


def ensure_data(session: Session, pipeline: Pipeline | None = None) -> dict[str, str]:
    """Create the data assets that a pipeline (default: the training) names, unless they exist with the present content.

    The version is a hash of the content, so the same data is never uploaded twice, and going back to older data goes
    back to its version. Of data that is only in Azure it is a hash of the list of the files.

    Returns:
        The asset ("name:version") for each of the pipeline's inputs.

    Raises:
        UserError: There are no files, or those in Azure cannot be listed.
    """
    assets = {}
    for name, asset, version, known in data_versions(session, pipeline):
        if known:
            session.say(f"Data {asset.name}: unchanged, version {version}.")
        else:
            session.backend.create_data(asset, version)
            session.say(f"Data {asset.name}: new version {version}.", f"Data {asset.name}: will get version {version}.")
        assets[name] = f"{asset.name}:{version}"
    return assets


def data_versions(session: Session, pipeline: Pipeline | None = None) -> Iterator[tuple[str, DataAsset, str, bool]]:
    """Give each input of a pipeline that is a data asset: its name, the asset, its version, whether Azure has that.

    Raises:
        UserError: There are no files, or those in Azure cannot be listed.
    """
    pipeline = pipeline or session.pipeline
    for name, value in pipeline.inputs.items():
        asset = data_asset(value, pipeline)
        if asset is not None:
            version = stored_version(session, asset) if asset.path is None else content_version(asset, asset.path)
            yield name, asset, version, version in session.backend.data_versions(asset.name)


def content_version(asset: DataAsset, path: Path) -> str:
    """Return a version for a data asset: a hash of its files on this machine.

    Raises:
        UserError: There are no files.
    """
    content, local = hashlib.sha256(), path.resolve()
    files = sorted(file for file in (local, *local.rglob("*")) if file.is_file())
    if not files:
        raise UserError(f"{asset.source.name} names {local}, where there is no data: put files there")
    for file in files:
        content.update(file.relative_to(local.parent).as_posix().encode())
        with file.open("rb") as stream:
            content.update(hashlib.file_digest(stream, "sha256").digest())
    return content.hexdigest()[:16]


def stored_version(session: Session, asset: DataAsset) -> str:
    """Return a version for a data asset whose files are only in Azure: a hash of their names, sizes and tags.

    Raises:
        UserError: There are no files, or they cannot be listed.
    """
    backend, address = session.backend, asset.address
    try:
        place = locate(address, session.config, backend.container)
        if place is None:
            session.say(
                f"Data {asset.name}: {address} is no place whose files can be listed: no version shows new data."
            )
            return listing_version(address, [])
        container, path = place
        files = files_at(path, backend.list_files(container, path))
    except UserError as error:
        raise UserError(f"{asset.source.name}: {address} cannot be listed: {error}") from error
    if not files and not session.dry_run:
        raise UserError(f"{asset.source.name} names {address}, where there is no data: put files there")
    return listing_version(address, files)
