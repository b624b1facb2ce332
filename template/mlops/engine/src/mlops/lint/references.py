"""Checks of what a file points at: assets (`azureml:...`), files and folders, environments with their conda files."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mlops.definitions.base import Document, Finding
from mlops.errors import did_you_mean
from mlops.lint.documents import Catalogue, read
from mlops.pipeline import is_local, mapping

_IMAGE = re.compile(
    r"^[a-z0-9][\w.-]*(?::\d+)?(?:/[a-z0-9][a-z0-9._-]*)*(?::(?P<tag>[\w][\w.-]*))?(?P<digest>@sha256:[0-9a-f]{64})?$"
)
_CONDA = re.compile(
    r"^(?:[\w./-]+::)?[\w.-]+(?:\s*(?:[=<>!~]=?|=)\s*[\w.*+!-]+(?:\s*[,|]\s*(?:[<>!~]=?|==?)?\s*[\w.*+!-]+)*(?:=[\w.*]+)?)?$"
)
_KEYS = ("name", "channels", "dependencies", "variables", "prefix")


def check(document: Document) -> Iterator[Finding]:
    """Check an environment file."""
    yield from environment_findings(document.content, document, "")


def environment_findings(content: Mapping[str, object], document: Document, prefix: str) -> Iterator[Finding]:
    """Check an environment, in a file of its own or written inline."""
    image, build, conda_file = content.get("image"), content.get("build"), content.get("conda_file")
    if image is None and build is None:
        missing = "an image is missing" + (": conda_file alone gives no environment" if conda_file is not None else "")
        yield document.finding(f"{prefix}image", f"{missing}; name an image, or a build context")
    if image is not None and build is not None:
        yield document.finding(f"{prefix}build", "image and build exclude each other")
    if conda_file is not None and build is not None and image is None:
        yield document.finding(
            f"{prefix}conda_file", "a build context ignores it: install the packages in the Dockerfile"
        )
    if isinstance(image, str):
        yield from (document.finding(f"{prefix}image", text) for text in _image_problems(image))
    if isinstance(build, Mapping):
        yield from _build_findings(build, document, f"{prefix}build")
    if isinstance(conda_file, str) and is_local(conda_file):
        path = document.folder / conda_file.removeprefix("file:")
        if not path.is_file():
            names = [item.name for item in path.parent.iterdir()] if path.parent.is_dir() else []
            message = f"no such file: {conda_file}{did_you_mean(path.name, names)}"
            yield document.finding(f"{prefix}conda_file", message)
        else:
            yield from conda_findings(path)
    elif isinstance(conda_file, Mapping):
        yield from _conda_findings(conda_file, document.path, document.folder, f"{prefix}conda_file.")


def conda_findings(path: Path) -> list[Finding]:
    """Check a conda file."""
    content, findings = read(path)
    return findings if content is None else [*findings, *_conda_findings(content, path, path.parent, "")]


def packages(environment: object, folder: Path, catalogue: Catalogue) -> set[str] | None:
    """Return the canonical names of what an environment installs, or None when it is not in the project."""
    if isinstance(environment, Mapping):
        return _packages_of(environment, folder)
    if not isinstance(environment, str):
        return None
    match = _ASSET.match(environment)
    for document in catalogue.of_kind(*KINDS["environments"]):
        is_file = (
            environment.startswith("file:")
            and document.path.resolve() == (folder / environment.removeprefix("file:")).resolve()
        )
        is_named = match and document.content.get("name") == match["name"]
        if is_named and match:
            is_named = match["version"] in {None, str(document.content.get("version", match["version"]))}
        if is_file or is_named:
            return _packages_of(document.content, document.folder)
    return None


def _packages_of(content: Mapping[str, object], folder: Path) -> set[str] | None:
    conda_file = content.get("conda_file")
    if isinstance(conda_file, str):
        conda_file = read(folder / conda_file.removeprefix("file:"))[0]
    if not isinstance(conda_file, Mapping):
        return None
    lines = []
    dependencies = conda_file.get("dependencies")
    for item in dependencies if isinstance(dependencies, list) else []:
        pip = mapping(item).get("pip")
        lines += [item] if isinstance(item, str) else list(pip) if isinstance(pip, list) else []
    return {canonicalize_name(match[0]) for line in lines if (match := re.match(r"[\w.-]+", str(line)))}


def _image_problems(image: str) -> Iterator[str]:
    if image.startswith("azureml://registries/"):
        return
    match = _IMAGE.match(image)
    if not match:
        yield f"{image!r} is not the name of an image"
    elif not match["digest"] and match["tag"] in {None, "latest"}:
        yield f"{image!r} has {'the tag latest' if match['tag'] else 'no tag'}: name a version, or it changes unseen"


def _build_findings(build: Mapping[str, object], document: Document, where: str) -> Iterator[Finding]:
    path = build.get("path")
    if path is None:
        yield document.finding(f"{where}.path", "the folder of the build context is missing")
    elif isinstance(path, str) and is_local(path):
        folder = document.folder / path.removeprefix("file:")
        name = str(build.get("dockerfile_path") or "Dockerfile")
        if not folder.is_dir():
            yield document.finding(f"{where}.path", f"no such folder: {path}")
        elif not (folder / name).is_file():
            names = [item.name for item in folder.iterdir()]
            yield document.finding(f"{where}.dockerfile_path", f"no {name} in {path}{did_you_mean(name, names)}")


def _conda_findings(content: Mapping[str, object], path: Path, folder: Path, prefix: str) -> Iterator[Finding]:
    for key in content:
        if key not in _KEYS:
            yield Finding(path, f"{prefix}{key}", f"unknown key of a conda file{did_you_mean(key, _KEYS)}")
    channels, dependencies = content.get("channels"), content.get("dependencies")
    if channels is not None and (not isinstance(channels, list) or not all(isinstance(item, str) for item in channels)):
        yield Finding(path, f"{prefix}channels", "a list of channel names is expected")
    if not isinstance(dependencies, list) or not dependencies:
        yield Finding(path, f"{prefix}dependencies", "a list of packages is expected")
        return
    seen: set[str] = set()
    for number, item in enumerate(dependencies):
        where = f"{prefix}dependencies[{number}]"
        if isinstance(item, Mapping) and set(item) == {"pip"}:
            yield from _pip_findings(item["pip"], path, folder, f"{where}.pip")
        elif not isinstance(item, str):
            yield Finding(path, where, f"a package such as python=3.11, or a pip list, is expected, not {item!r}")
        elif not _CONDA.match(item.strip()):
            yield Finding(path, where, f"{item!r} is not a conda package: write name=version")
        else:
            name = re.split(r"[=<>!~\s]", item.strip())[0].lower()
            if name in seen:
                yield Finding(path, where, f'"{name}" is listed twice')
            seen.add(name)


def _pip_findings(lines: object, path: Path, folder: Path, where: str) -> Iterator[Finding]:
    if not isinstance(lines, list):
        yield Finding(path, where, "a list of requirements is expected")
        return
    seen: set[str] = set()
    for number, line in enumerate(lines):
        place = f"{where}[{number}]"
        if not isinstance(line, str):
            yield Finding(path, place, f"a requirement such as numpy==2.3.4 is expected, not {line!r}")
            continue
        text = line.split(" #")[0].strip()
        if text.startswith(("-r", "--requirement", "-c", "--constraint")):
            name = re.split(r"[\s=]+", text, maxsplit=1)[-1]
            if not (folder / name).is_file():
                yield Finding(path, place, f"no such file: {name}")
        elif text.startswith("-") or "://" in text.split("@")[0] or text.endswith(".whl"):
            continue  # an option, a repository, a file
        else:
            try:
                requirement = Requirement(text)
            except InvalidRequirement:
                yield Finding(path, place, f"{text!r} is not a pip requirement: write name==version")
                continue
            name = canonicalize_name(requirement.name)
            if name in seen and not requirement.marker:
                yield Finding(path, place, f'"{name}" is listed twice')
            seen.add(name)


KINDS = {
    "environments": ("environment",),
    "components": ("commandComponent", "pipelineComponent", "parallelComponent", "sparkComponent"),
    "data": ("data",),
    "models": ("model",),
}
"""Kinds of documents that define an asset, by the name that registry addresses use for it."""

_ASSET = re.compile(r"^azureml:(?P<name>[^:@/\s]+)(?:@(?P<label>[^:@/\s]+)|:(?P<version>[^:@/\s]+))?$")
_REGISTRY = re.compile(
    r"^azureml://registries/[\w-]+/(?P<asset>\w+)/[\w.-]+/(?:versions/[\w.-]+|labels/(?P<label>\w+))$"
)
_DATASTORE = re.compile(r"^azureml://(?:subscriptions/.+/)?datastores/[\w.${}]+(?:/paths/.*)?$")
_ADDRESS = re.compile(r"^(https?|wasbs?|abfss?|adl)://[^\s/]+")
_ANONYMOUS = "CliV2AnonymousEnvironment"  # what azure-ai-ml calls environments without a name
_CURATED = re.compile(r"^AzureML-", re.IGNORECASE)  # Microsoft's environments, also known without the registry


def asset_findings(value: str, asset: str, document: Document, where: str, catalogue: Catalogue) -> Iterator[Finding]:
    """Check a reference (`azureml:name@latest`, a registry's address, or `file:`) to an asset of a kind."""
    if "${{" in value:
        return
    if value.startswith("azureml://"):
        yield from _registry_findings(value, asset, document, where)
    elif value.startswith("azureml:/subscriptions/"):
        return
    elif value.startswith("azureml:"):
        yield from _name_findings(value, asset, document, where, catalogue)
    elif value.startswith("file:"):
        yield from file_findings(value, asset, document, where, catalogue)
    elif asset != "components":
        yield document.finding(where, f"write azureml:{value}@latest, or file:<path> for a file of the project")


def file_findings(value: str, asset: str, document: Document, where: str, catalogue: Catalogue) -> Iterator[Finding]:
    """Check a path to a file that must define an asset of a kind."""
    path = document.folder / value.removeprefix("file:")
    if not path.is_file():
        yield document.finding(where, f"no such file: {value}{_similar_file(path)}")
        return
    kind = catalogue.kind_in(path)
    if kind and kind not in KINDS[asset]:
        yield document.finding(where, f"{value} defines a {kind}, but {_one(asset)} is expected")


def path_findings(value: str, type_: str, document: Document, where: str, catalogue: Catalogue) -> Iterator[Finding]:
    """Check a data path: an asset, a datastore's address, or something on this machine that must exist."""
    if "${{" in value:
        return
    asset = "models" if type_.endswith("_model") else "data"
    if re.match(r"^azureml:(?!//)", value):
        yield from asset_findings(value, asset, document, where, catalogue)
        yield from _defined_type_problems(value, asset, type_, document, where, catalogue)
    elif value.startswith("azureml://registries/"):
        yield from _registry_findings(value, asset, document, where)
    elif value.startswith("azureml://"):
        if not _DATASTORE.match(value) and "/jobs/" not in value:
            yield document.finding(where, f"{value!r} is not azureml://datastores/<datastore>/paths/<path>")
    elif not is_local(value):
        if not _ADDRESS.match(value):
            yield document.finding(where, f"{value!r} is not an address that Azure ML can read")
    else:
        yield from _local_findings(value, type_, document, where)


def compute_findings(value: object, document: Document, where: str, catalogue: Catalogue) -> Iterator[Finding]:
    """Check a compute: `serverless`, `local`, or `azureml:<name>` of a file or of `config/`."""
    if not isinstance(value, str) or "${{" in value or value in {"serverless", "local"}:
        return
    name = value.removeprefix("azureml:")
    if value == name:
        yield document.finding(where, f"write azureml:{value}, or serverless")
    elif not name.startswith("/") and catalogue.computes and name not in catalogue.computes:
        yield document.finding(
            where, f'no compute "{name}" in config/ or in a file{did_you_mean(name, catalogue.computes)}'
        )


def _registry_findings(value: str, asset: str, document: Document, where: str) -> Iterator[Finding]:
    match = _REGISTRY.match(value)
    if not match:
        pattern = f"azureml://registries/<registry>/{asset}/<name>/versions/<version>, or .../labels/latest"
        yield document.finding(where, f"{value!r} is not {pattern}")
    elif match["asset"] != asset:
        yield document.finding(where, f"{_one(asset)} is expected here, but the address has {match['asset']!r}")
    elif match["label"] not in {None, "latest"}:
        yield document.finding(where, f'the only label is "latest", not "{match["label"]}"')


def _name_findings(value: str, asset: str, document: Document, where: str, catalogue: Catalogue) -> Iterator[Finding]:
    match = _ASSET.match(value)
    if not match:
        yield document.finding(where, f"{value!r} is not azureml:<name>@latest or azureml:<name>:<version>")
        return
    name = match["name"]
    if match["label"] not in {None, "latest"}:
        yield document.finding(where, f'the only label is "latest", not "{match["label"]}"')
    known = catalogue.models if asset == "models" else catalogue.names(*KINDS[asset])
    if asset == "data" and name in catalogue.collected_assets:
        if not catalogue.collected_assets[name]:
            yield document.finding(where, f'the deployment does not collect "{name}": set enabled: "true" there')
    elif name not in known and not (asset == "environments" and _CURATED.match(name)):
        known = known | set(catalogue.collected_assets) if asset == "data" else known - {_ANONYMOUS}
        yield document.finding(
            where, f'no file of the project defines {_one(asset)} "{name}"{did_you_mean(name, known)}'
        )
    else:
        versions = {
            str(item.content["version"])
            for item in catalogue.of_kind(*KINDS[asset])
            if item.content.get("name") == name and "version" in item.content
        }
        if match["version"] and versions and match["version"] not in versions:
            yield document.finding(where, f'"{name}" has version {", ".join(sorted(versions))}, not {match["version"]}')


def _defined_type_problems(
    value: str, asset: str, type_: str, document: Document, where: str, catalogue: Catalogue
) -> Iterator[Finding]:
    match = _ASSET.match(value)
    for item in catalogue.of_kind(*KINDS[asset]):
        defined = item.content.get("type")
        if match and item.content.get("name") == match["name"] and type_ and defined and defined != type_:
            yield document.finding(where, f'"{match["name"]}" is a {defined}, but {type_} is expected')


def _local_findings(value: str, type_: str, document: Document, where: str) -> Iterator[Finding]:
    path = document.folder / value.removeprefix("file:")
    if not path.exists():
        yield document.finding(where, f"no such file or folder: {value}{_similar_file(path)}")
    elif type_ == "uri_file" and path.is_dir():
        yield document.finding(where, f"{value} is a folder, but uri_file needs a file")
    elif type_ == "uri_folder" and path.is_file():
        yield document.finding(where, f"{value} is a file, but uri_folder needs a folder")
    elif type_ == "mltable" and not (path / "MLTable").is_file():
        yield document.finding(where, f"an mltable needs a file named MLTable in the folder {value}")
    elif type_ == "mlflow_model" and not (path / "MLmodel").is_file():
        yield document.finding(where, f"an mlflow_model needs a file named MLmodel in the folder {value}")


def value_findings(
    value: object, default: str, document: Document, where: str, catalogue: Catalogue
) -> Iterator[Finding]:
    """Check an input or data written as `{type, path}`; `default` is the type when none is given."""
    spec = mapping(value)
    path, type_ = spec.get("path"), str(spec.get("type") or default)
    if isinstance(path, str):
        yield from path_findings(path, type_, document, f"{where}.path", catalogue)


def _similar_file(path: Path) -> str:
    if not path.parent.is_dir():
        return f" (there is no folder {path.parent.name} either)"
    return did_you_mean(path.name, (item.name for item in path.parent.iterdir()))


def _one(asset: str) -> str:
    return {"environments": "an environment", "components": "a component", "data": "data", "models": "a model"}[asset]
