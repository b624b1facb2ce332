"""Which version of the model is used, and how one gets to another environment."""

from dataclasses import replace

from mlops.azureml.backend import ModelVersion, model_files
from mlops.config import choose, load_environment
from mlops.errors import UserError
from mlops.verbs.session import Session


def choose_model(session: Session, version: str | None = None) -> ModelVersion:
    """Return the model version to deploy or promote: the given one, or else the newest that may be used.

    A version tagged `rejected=true` may not be used; one in the registry only after its promotion to this environment.

    Raises:
        UserError: There is no such version, or it may not be used.
    """
    config, registry = session.config, session.registry
    place = f"registry {registry}" if registry else f"workspace {config.names.workspace}"
    models = session.backend.model_versions(registry)
    usable = [model for model in models if obstacle(session, model) is None]
    if version is None and usable:
        return max(usable, key=number)
    if version is None:
        command = f"uv run mlops promote --to {config.environment}" if registry else session.command("train")
        raise UserError(f"{place} has no usable version of {config.model.name}: run `{command}`")
    chosen = next((model for model in models if model.version == version), None)
    if session.dry_run and chosen is None:
        return replace(models[0], version=version)
    if chosen is None:
        known = ", ".join(model.version for model in sorted(models, key=number)) or "none"
        raise UserError(f"{place} has no version {version} of {config.model.name}: it has {known}")
    if reason := obstacle(session, chosen):
        raise UserError(f"version {version} of {config.model.name} {reason}")
    return chosen


def obstacle(session: Session, model: ModelVersion) -> str | None:
    """Return why a model version may not be used, or None when it may."""
    environment = session.config.environment
    if model.tags.get("rejected") == "true":
        return "was rejected: choose another one"
    if model.registry and f"promoted_{environment}" not in model.tags:
        command = f"uv run mlops promote --to {environment} --model-version {model.version}"
        return f"was not promoted to {environment}: run `{command}`"
    return None


def number(model: ModelVersion) -> int:
    """Return a model's version as a number: as text, version 9 would be newer than version 10."""
    return int(model.version) if model.version.isdigit() else -1


def promote(session: Session, target: str, *, model_version: str | None = None) -> None:
    """Bring a model version, as it is, from the session's environment within reach of the `target` environment.

    Copies it to the registry if it is not there yet, compares the copy with the original by hash, and only then marks
    it for the target.

    Raises:
        UserError: The hashes differ, and the copy is rejected; or the environments do not fit together.
    """
    config = load_environment(session.project, target)
    registry = config.names.registry
    if config.model.source != "registry" or target == session.config.environment:
        raise UserError(f"{target} takes no models from a registry: choose an environment with model.source registry")
    if registry != session.config.names.registry:
        raise UserError(f"config/{target}.yml names another registry than the environment to promote from: use one")
    model = choose_model(session, model_version)
    expected = model.tags.get(f"promoted_{session.config.environment}" if model.registry else "sha256")
    if expected is None:
        raise UserError(f"version {model.version} has no tag sha256: promote one that the pipeline registered")
    if model.registry is None:
        model = _copy_to_registry(session, model, registry)
    actual = _hash(session, model)
    if actual != expected and not session.dry_run:
        session.backend.tag_model(model, {"rejected": "true"})
        raise UserError(
            f"version {model.version} in registry {registry} is not the model that was trained (sha256 {actual[:12]}, "
            f"expected {expected[:12]}): it is rejected and will not be used; train again and promote the new version"
        )
    session.backend.tag_model(model, {f"promoted_{target}": expected})
    name = session.config.model.name
    session.say(f"Promoted {name} version {model.version} to {target}: the same files, sha256 {expected[:12]}.")


def _copy_to_registry(session: Session, model: ModelVersion, registry: str) -> ModelVersion:
    backend = session.backend
    # The registry of existing workspaces may be in another subscription, so only its use shows whether it is there.
    if session.config.provisioned and registry not in backend.registries():
        _create_registry(session, registry)
    copies = {copy.version: copy for copy in backend.model_versions(registry)}
    copy = copies.get(model.version)
    if copy is None or session.dry_run:
        copy = ModelVersion(model.version, registry=registry)
        if session.config.closed:
            # Azure shares nothing out of a storage account that is closed to the internet, whatever the registry
            # (Microsoft's how-to-registry-network-isolation), so this machine, which reaches both, carries the files.
            with model_files(backend, model, dry_run=session.dry_run) as folder:
                backend.create_model(copy, folder)
        else:
            backend.share_model(model.version, registry)
        return copy
    if copy.tags.get("rejected") == "true":
        raise UserError(f"version {model.version} was rejected in registry {registry}: train and promote a new version")
    session.say(f"Version {model.version} is in registry {registry} already.")
    return copy


def _create_registry(session: Session, registry: str) -> None:
    configs = [load_environment(session.project, name) for name in session.project.environments]
    builder = next((config.environment for config in configs if config.model_registry), None)
    closed = [config.environment for config in configs if config.closed]
    if session.dry_run and (builder or closed):
        return  # what the infrastructure builds is taken to be there
    if builder:
        raise UserError(f"there is no registry {registry} yet: run `uv run mlops provision --environment {builder}`")
    if closed:
        remedy = choose(session.project, "model-registry")
        raise UserError(f"{', '.join(closed)} cannot reach a registry that promote would create: {remedy}")
    locations = [session.config.location, *(config.location for config in configs)]
    session.backend.create_registry(registry, list(dict.fromkeys(locations)))
    session.say(f"Created registry {registry}.")


def _hash(session: Session, model: ModelVersion) -> str:
    with model_files(session.backend, model, dry_run=session.dry_run) as folder:
        return "" if session.dry_run else str(session.project.module("register").model_hash(folder))
