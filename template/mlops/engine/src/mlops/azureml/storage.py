"""Data that is only in Azure's storage: which files an address means, and a version that changes when they do."""

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from mlops.config import EnvironmentConfig

_DATASTORE = re.compile(
    r"azureml://(?:subscriptions/[^/]+/resourcegroups/(?P<group>[^/]+)/(?:providers/[^/]+/)?"
    r"workspaces/(?P<workspace>[^/]+)/)?datastores/(?P<store>[^/]+)/paths/(?P<path>.*)",
    re.IGNORECASE,
)
_BLOB = re.compile(
    r"https://(?P<account>[a-z0-9]+)\.(?:blob|dfs)\.core\.windows\.net/(?P<container>[^/?]+)(?P<path>/.*)?"
)
_HADOOP = re.compile(
    r"(?:abfss?|wasbs?)://(?P<container>[^@/]+)@(?P<account>[a-z0-9]+)\.(?:blob|dfs)\.core\.windows\.net(?P<path>/.*)?"
)


class Container(NamedTuple):
    """A container of a storage account, or a file system of a data lake, which is the same."""

    account: str
    name: str


class StoredFile(NamedTuple):
    """A file in a container: its whole path, its size in bytes, and the tag that each change of it replaces."""

    name: str
    size: int
    etag: str


def locate(
    address: str, config: EnvironmentConfig, container_of: Callable[[str], Container | None]
) -> tuple[Container, str] | None:
    """Return the container and the path in it that an address means, or None when its files cannot be listed.

    Args:
        address: Of a path in a datastore of the environment's workspace, or in a container.
        config: The environment.
        container_of: Returns where a datastore of the workspace is, None if that is no container.
    """
    if match := _DATASTORE.fullmatch(address):
        own = (config.names.resource_group.casefold(), config.names.workspace.casefold())
        if match["workspace"] and (match["group"].casefold(), match["workspace"].casefold()) != own:
            return None
        container = container_of(match["store"])
        return (container, match["path"].strip("/")) if container else None
    if match := _BLOB.fullmatch(address.partition("?")[0]) or _HADOOP.fullmatch(address):
        return Container(match["account"], match["container"]), (match["path"] or "").strip("/")
    return None


def files_at(path: str, found: Iterable[StoredFile]) -> list[StoredFile]:
    """Return the files at a path and below it, of those whose names begin so, in the order of their names.

    Empty ones are left out: they bring no data, and a data lake lists its folders as such.
    """
    below = f"{path}/" if path else ""
    return sorted(file for file in found if file.size and (file.name == path or file.name.startswith(below)))


def listing_version(address: str, files: Iterable[StoredFile]) -> str:
    """Return a version for these files: a hash of where they are, their names, sizes and tags."""
    content = hashlib.sha256(address.encode())
    for file in files:
        content.update("\0".join(map(str, file)).encode() + b"\n")
    return content.hexdigest()[:16]
