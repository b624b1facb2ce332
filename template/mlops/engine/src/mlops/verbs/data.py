"""The data assets on Azure ML."""

import hashlib

from mlops import definitions
from mlops.errors import UserError
from mlops.pipeline import DataAsset, data_asset
from mlops.verbs.session import Session


def ensure_data(session: Session) -> dict[str, str]:
    """Create the data assets that the pipeline names, unless they exist with the present content.

    The version is a hash of the content, so the same data is never uploaded twice, and going back to older data goes
    back to its version.

    Returns:
        The asset ("name:version") for each of the pipeline's inputs.
    """
    assets = {}
    pipeline = definitions.of(session.project).pipeline()
    for name, value in pipeline.inputs.items():
        asset = data_asset(value, pipeline)
        if asset is None:
            continue
        version = content_version(asset)
        if version in session.backend.data_versions(asset.name):
            session.say(f"Data {asset.name}: unchanged, version {version}.")
        else:
            session.backend.create_data(asset, version)
            session.say(f"Data {asset.name}: new version {version}.")
        assets[name] = f"{asset.name}:{version}"
    return assets


def content_version(asset: DataAsset) -> str:
    """Return a version for a data asset: a hash of its local files, or of its definition when they are in Azure.

    Raises:
        UserError: There are no files.
    """
    if asset.path is None:
        return hashlib.sha256(asset.source.read_bytes()).hexdigest()[:16]
    content, local = hashlib.sha256(), asset.path.resolve()
    files = sorted(file for file in (local, *local.rglob("*")) if file.is_file())
    if not files:
        raise UserError(f"{asset.source.name} names {local}, where there is no data: put files there")
    for file in files:
        content.update(file.relative_to(local.parent).as_posix().encode())
        with file.open("rb") as stream:
            content.update(hashlib.file_digest(stream, "sha256").digest())
    return content.hexdigest()[:16]
