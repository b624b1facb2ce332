"""Which version of the model is used, and how one gets to another environment.

What is known of a version is in its tags, where the environment takes its models from. Those of one environment end in
its name: `promoted_<E>` is the sha256 of the files that it may take, `deployed_<E>` the time since which the version
has all its traffic. `rejected_<E>`, `pinned_<E>` and `held_<E>` are "true" or "false", because a tag can be set and not
removed; the last one says of a deployment of the version that was not completed that it was left so on purpose.
`leaving_<E>` is the version that a rollback in progress goes to from this one. `delivered_<E>` says with which
deployment and which definitions a delivery of the version has reached its end, `passed_<E>` with which code and
definitions the version was passed on to the environment, or delivered there, and by which run. Of no environment are
`metrics` and `reasons`, which its registration has noted for people, and `mlops_project`, the project whose training
made it.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from mlops.azureml.backend import ModelVersion, model_files
from mlops.config import EnvironmentConfig, choose, load_environment
from mlops.errors import UserError
from mlops.fingerprint import fingerprint, setup_fingerprint
from mlops.outputs import annotate, is_newer, run_key
from mlops.verbs.session import Session

OWNER = "mlops_project"
"""The tag of a version for the project whose training made it: two in one workspace may have a model of one name."""

NOTES = ("metrics", "reasons", OWNER)
"""The tags of a version that go along with its copy."""


class RejectedError(UserError):
    """An environment has rejected the model version."""


def choose_model(
    session: Session,
    version: str | None = None,
    *,
    pins: bool = True,
    models: Sequence[ModelVersion] | None = None,
) -> ModelVersion:
    """Return the model version to deploy or promote: the given one, or else the pinned or the newest that may be used.

    One that a person registered, and no training, is taken only where there is no other one, or when it is named, and
    from then on that it has served in this environment.
    A version that was rejected, everywhere or in this environment, may not be used; one in the registry only after its
    promotion to this environment. Without `pins` a pinned version is one like the others. Azure lists the versions,
    unless `models` are given.

    Raises:
        UserError: There is no such version, or it may not be used.
    """
    config, registry = session.config, session.registry
    models = session.backend.model_versions(registry) if models is None else models
    usable = [model for model in models if obstacle(session, model) is None]
    pinned = [model for model in usable if pins and is_set(model, f"pinned_{config.environment}")]
    if version is None and usable:
        newest, trained = max(usable, key=number), [model for model in usable if known_hash(session, model)]
        # What has served was named by a person, who would have to name it again in each delivery.
        known = [model for model in usable if model in trained or since(session, model)] if trained else usable
        if newest not in known and not pinned:
            session.say(f"Version {newest.version} is left out: no training registered it. Name it to use it.")
        return max(pinned or known, key=number)
    if version is None:
        command = f"uv run mlops promote --to {config.environment}" if registry else session.command("train")
        raise UserError(f"{place_of_models(session)} has no usable version of {config.model.name}: run `{command}`")
    chosen = find_version(session, models, version)
    if reason := obstacle(session, chosen):
        raise UserError(f"version {version} of {config.model.name} {reason}")
    return chosen


def find_version(session: Session, models: Sequence[ModelVersion], version: str) -> ModelVersion:
    """Return the version of a number.

    Raises:
        UserError: It is not there.
    """
    for model in models:
        if model.version == version:
            return model
    if session.dry_run:
        return replace(models[0], version=version)
    known = ", ".join(model.version for model in sorted(models, key=number)) or "none"
    raise UserError(
        f"{place_of_models(session)} has no version {version} of {session.config.model.name}: it has {known}"
    )


def place_of_models(session: Session) -> str:
    """Return the words for where the environment takes its models from."""
    return f"registry {session.registry}" if session.registry else f"workspace {session.config.names.workspace}"


def obstacle(session: Session, model: ModelVersion) -> str | None:
    """Return why a model version may not be used, or None when it may."""
    environment = session.config.environment
    if _is_of_another(session, model):
        return f"is of another project, {model.tags[OWNER]}: choose another one; {_if_own(model)}"
    if is_set(model, "rejected"):
        return "was rejected: choose another one"
    if is_set(model, f"rejected_{environment}"):
        command = session.command("models", "--accept", model.version)
        return f"was rejected in {environment}: choose another one, or take that back with `{command}`"
    if model.registry and f"promoted_{environment}" not in model.tags:
        command = f"uv run mlops promote --to {environment} --model-version {model.version}"
        return f"was not promoted to {environment}: run `{command}`"
    return None


def _is_of_another(session: Session, model: ModelVersion) -> bool:
    return model.tags.get(OWNER, "") not in ("", session.owner, *session.project.former_endpoints)


def _if_own(model: ModelVersion) -> str:
    return (
        f"if it is this one's, whose first endpoint had that name before, add former_endpoints = "
        f'["{model.tags[OWNER]}"] to [tool.mlops] in pyproject.toml'
    )


def check_owner(session: Session) -> None:
    """Check that the model of this name in the workspace is not another project's, before a training.

    The new model would be compared with that of the other project, and each would deliver what the other one trained.
    A version without the tag is from an earlier release, and may be this project's.

    Raises:
        UserError: The newest version with the tag is another project's.
    """
    tagged = [model for model in session.backend.model_versions(None) if model.tags.get(OWNER)]
    newest = max(tagged, key=number, default=None)
    if newest is not None and _is_of_another(session, newest):
        name, workspace = session.config.model.name, session.config.names.workspace
        raise UserError(
            f"model {name} in workspace {workspace} is that of another project, {newest.tags[OWNER]}: give model.name "
            f"in config/*.yml another value; {_if_own(newest)}"
        )


def note_owner(session: Session, version: str) -> None:
    """Note that a version of the model in the workspace is this project's."""
    try:
        session.backend.tag_model(ModelVersion(version), {OWNER: session.owner})
    except UserError as error:
        session.say(f"It could not be noted whose version {version} is: {error}")


def number(model: ModelVersion) -> int:
    """Return a model's version as a number: as text, version 9 would be newer than version 10."""
    return int(model.version) if model.version.isdigit() else -1


def is_set(model: ModelVersion, tag: str) -> bool:
    """Return whether a tag of a model version says "true"."""
    return str(model.tags.get(tag, "")).lower() == "true"


def known_hash(session: Session, model: ModelVersion) -> str:
    """Return the sha256 that the tags have for the files of a model version, "" when they have none."""
    return model.tags.get(f"promoted_{session.config.environment}" if model.registry else "sha256") or ""


def check_named(session: Session, verb: str, version: str | None, sha256: str) -> None:
    """Check that the model of a deployment is named as the environment demands it: a protected one by version and hash.

    Raises:
        UserError: It is not.
    """
    environment = session.config.environment
    if session.config.protected and not (version and sha256):
        command = session.command(verb, "--model-version", "VERSION", "--sha256", "HASH")
        raise UserError(
            f"{environment} is protected, so `mlops {verb}` names its model: `{command}`; "
            f"`{session.command('models')}` shows both"
        )
    if sha256 and not re.fullmatch("[0-9a-f]{64}", sha256):
        raise UserError(f"--sha256 {sha256}: write all its 64 hexadecimal digits, as `mlops models` shows them")
    if sha256 and not version:
        raise UserError("--sha256 is the hash of one version: name it with --model-version")


def check_tag(session: Session, model: ModelVersion, sha256: str) -> None:
    """Compare the hash that was named with the tag of the model version.

    Raises:
        UserError: It contradicts the tag.
    """
    known = known_hash(session, model)
    if sha256 and known and sha256 != known:
        raise UserError(
            f"version {model.version} in {place_of_models(session)} is not the model that was named: its tag says "
            f"sha256 {known[:12]}, and --sha256 {sha256[:12]}: nothing was changed; `{session.command('models')}` "
            "shows the hashes"
        )


def check_model(session: Session, model: ModelVersion, sha256: str) -> None:
    """Compare the files of a model version, where the environment takes it from, with the hash that was named.

    Where none was, those of a registry are compared with the tag of the promotion. A hash that contradicts the tag is
    refused, whatever the files are: they are others then than those that were trained or promoted.

    Raises:
        UserError: They have another one, or it contradicts the tag.
    """
    check_tag(session, model, sha256)
    if expected := sha256 or (known_hash(session, model) if session.registry else ""):
        check_files(session, model, expected)


def check_files(session: Session, model: ModelVersion, expected: str) -> None:
    """Compare the files of a model version, where the environment takes it from, with a hash.

    Raises:
        UserError: They have another one.
    """
    actual = _hash(session, model)
    if actual != expected and not session.dry_run:
        command = session.command("models")
        raise UserError(
            f"version {model.version} in {place_of_models(session)} is not the model that was named (sha256 "
            f"{actual[:12]}, expected {expected[:12]}): nothing was changed; `{command}` shows the hashes"
        )
    if not session.dry_run:
        session.say(f"Version {model.version} is the model that was named: sha256 {expected[:12]}.")


def pinned_versions(session: Session, models: Sequence[ModelVersion] | None = None) -> list[ModelVersion]:
    """Return the versions that the environment is pinned to: one, or two while a pin is moved."""
    tag = f"pinned_{session.config.environment}"
    listed = session.backend.model_versions(session.registry) if models is None else models
    return [model for model in listed if is_set(model, tag)]


def set_pin(session: Session, models: Iterable[ModelVersion], *, on: bool) -> None:
    """Pin the environment to model versions, or end the pins to them."""
    for model in models:
        session.backend.tag_model(model, {f"pinned_{session.config.environment}": str(on).lower()})


def is_held(session: Session, model: ModelVersion) -> bool:
    """Return whether the last rollout of a model version in the environment stopped on purpose, before any traffic."""
    return is_set(model, f"held_{session.config.environment}")


def set_held(session: Session, model: ModelVersion, *, on: bool) -> None:
    """Note whether a deployment of a model version is held, unless that is known."""
    if is_held(session, model) != on:
        session.backend.tag_model(model, {f"held_{session.config.environment}": str(on).lower()})


def since(session: Session, model: ModelVersion) -> str:
    """Return the time at which a model version last got all traffic of the environment, "" if it never did."""
    return model.tags.get(f"deployed_{session.config.environment}") or ""


def short_time(time: str) -> str:
    """Return a time of a tag as people read it, to the minute."""
    return time[:16].replace("T", " ")


def record_deployment(session: Session, model: ModelVersion, models: Sequence[ModelVersion] | None = None) -> None:
    """Note that a model version has all traffic of the environment, with the time, unless that is known."""
    listed = session.backend.model_versions(session.registry) if models is None else models
    for other in ended_rollbacks(session, model, listed):
        session.backend.tag_model(other, {f"leaving_{session.config.environment}": "false"})
    _record_time(session, model, listed)


def record_before(session: Session, version: str, models: Sequence[ModelVersion]) -> None:
    """Note of the version that a rollout replaces that it served last: a run that was lost may have put it there."""
    for model in models:
        if model.version == version:
            _record_time(session, model, models)


def _record_time(session: Session, model: ModelVersion, models: Sequence[ModelVersion]) -> None:
    if not is_last(session, model, models):
        session.backend.tag_model(model, {f"deployed_{session.config.environment}": now()})


def last_served(session: Session, models: Sequence[ModelVersion]) -> ModelVersion | None:
    """Return that of the versions which had all traffic of the environment last, None when none ever had."""
    served = [model for model in models if since(session, model)]
    return max(served, key=lambda model: since(session, model), default=None)


def is_last(session: Session, model: ModelVersion, models: Sequence[ModelVersion]) -> bool:
    """Return whether the tags know that this version was the last one to get all traffic."""
    last = last_served(session, models)
    return last is not None and last.version == model.version


def ended_rollbacks(session: Session, model: ModelVersion, models: Sequence[ModelVersion]) -> list[ModelVersion]:
    """Return the versions from which a rollback to another one than the present, whose end was not noted, is over."""
    leaving = f"leaving_{session.config.environment}"
    return [other for other in models if other.tags.get(leaving, "false") not in ("false", model.version)]


def left_for(session: Session, version: str, models: Sequence[ModelVersion] | None = None) -> str | None:
    """Return the version from which a rollback to this one has not reached its end, None when there is none."""
    listed = session.backend.model_versions(session.registry) if models is None else models
    environment = session.config.environment
    rejected = [each for each in listed if is_set(each, f"rejected_{environment}")]
    left = [each for each in rejected if each.tags.get(f"leaving_{environment}") == version]
    return max(left, key=number).version if left else None


def note_end(session: Session, bad: str) -> None:
    """Note that a rollback from a version has reached its end."""
    try:
        session.backend.tag_model(
            ModelVersion(bad, registry=session.registry), {f"leaving_{session.config.environment}": "false"}
        )
    except UserError as error:
        # All is done: if the rollback failed here, who repeats it would go back once more.
        session.say(f"The end of the rollback could not be noted, so the next one only completes this one: {error}")


def now() -> str:
    """Return the present time in UTC, as tags have it: texts of it are in the order of the times."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


def promote(
    session: Session,
    target: str,
    *,
    model_version: str | None = None,
    sha256: str = "",
    models: Sequence[ModelVersion] | None = None,
) -> None:
    """Bring a model version, as it is, from the session's environment within reach of the `target` environment.

    Copies it to the registry if it is not there yet, compares the copy with the original by hash, and only then marks
    it for the target. The mark is a record: a delivery to a protected environment names version and hash all the same.

    Args:
        session: The environment that the model comes from.
        target: The environment that may take it from then on.
        model_version: The version; by default the pinned one, or else the newest that may be used.
        sha256: The hash of its files, if they were compared with it already; by default that of its tags.
        models: The versions, if they were listed already.

    Raises:
        RejectedError: The target has rejected the version.
        UserError: The hashes differ, and the copy is rejected; or the environments do not fit together.
    """
    config = load_environment(session.project, target)
    registry = config.names.registry
    if config.model.source != "registry" or target == session.config.environment:
        raise UserError(f"{target} takes no models from a registry: choose an environment with model.source registry")
    if registry != session.config.names.registry:
        raise UserError(f"config/{target}.yml names another registry than the environment to promote from: use one")
    model = choose_model(session, model_version, models=models)
    notes = {tag: model.tags[tag] for tag in NOTES if model.tags.get(tag)}
    expected = sha256 or known_hash(session, model)
    if not expected and not session.dry_run:
        raise UserError(f"version {model.version} has no tag sha256: promote one that the pipeline registered")
    if model.registry is None:
        model = _copy_to_registry(session, model, registry)
    if is_set(model, f"rejected_{target}"):
        command = f"uv run mlops models --environment {target} --accept {model.version}"
        raise RejectedError(f"version {model.version} was rejected in {target}: `{command}` takes that back")
    actual = _hash(session, model)
    if actual != expected and not session.dry_run:
        session.backend.tag_model(model, {"rejected": "true"})
        raise UserError(
            f"version {model.version} in registry {registry} is not the model that was trained (sha256 {actual[:12]}, "
            f"expected {expected[:12]}): it is rejected and will not be used; train again and promote the new version"
        )
    # What is known of the copy is not known of one that Azure has made just now.
    session.backend.tag_model(model, {f"promoted_{target}": expected, **passing_note(session, model, config), **notes})
    name = session.config.model.name
    session.say(
        f"Promoted {name} version {model.version} to {target}: the same files, sha256 {expected[:12]}.",
        f"Will promote {name} version {model.version} to {target}, if the files are the same by their sha256.",
    )


def passing_note(session: Session, model: ModelVersion, target: EnvironmentConfig) -> dict[str, str]:
    """Return the tag that says what a version is passed on with, none where it says so or a newer run has set it.

    A delivery that waited for an approval finds there that what it brings is not the newest: the newest run may have
    had nothing to do where this one goes.
    """
    made, run = passed_with(model, target.environment)
    current = _beside(session, target)
    if made == current or is_newer(run, run_key()):
        return {}
    # What a person does at a terminal is no run: the newest one is still the newest.
    return {f"passed_{target.environment}": f"{current} {run_key() or run}".rstrip()}


def passed_with(model: ModelVersion, environment: str) -> tuple[str, str]:
    """Return the hash of what a version was passed on to an environment with, and the run; "" where it is not noted."""
    made, _, run = model.tags.get(f"passed_{environment}", "").partition(" ")
    return made, run


def check_newest(session: Session, versions: Iterable[ModelVersion]) -> None:
    """Check that the newest run did not bring one of some versions with other code or definitions than this older one.

    An old run of which all jobs run again may train a version that no newer run has had.

    Args:
        session: The environment.
        versions: That of this run, and those that serve there or did once.

    Raises:
        UserError: One has.
    """
    environment = session.config.environment
    notes = [(*passed_with(each, environment), each.version) for each in versions]
    newer = [
        (int(run.rpartition("#")[2]), run, made, version) for made, run, version in notes if is_newer(run, run_key())
    ]
    # Of them the newest alone: what it has may be what this run has, after a commit was reverted.
    for _, run, made, version in sorted(newer)[-1:]:
        if made != _beside(session, session.config):
            raise UserError(
                f"run {run.rpartition('#')[2]} is newer than this one, and has passed version {version} on to "
                f"{environment} with other code, definitions or sizes: nothing was changed; approve that run or, if it "
                "is over or was rejected, start a new delivery, which takes what the branch has now; what is to go "
                "back, a commit reverts"
            )


def _beside(session: Session, target: EnvironmentConfig) -> str:
    """Return the hashes of all that this checkout brings into an environment beside the model."""
    return f"{fingerprint(session.project, target)}-{setup_fingerprint(session.project, target)}"


def promotion(session: Session, model: ModelVersion, sha256: str, models: Sequence[ModelVersion]) -> tuple[str, str]:
    """Return how far a model version has come on its way to the environment that follows; nothing is changed.

    Args:
        session: The environment that it comes from.
        model: The version.
        sha256: The hash of its files.
        models: All versions, where the environment takes them from.

    Returns:
        The environment that has it within reach already, "" when none has; and what a promotion has to do, "" when
        there is nothing, because it is done, because no environment follows, or because that has rejected the version.
    """
    target, registry = session.config.delivery.next, session.config.names.registry
    if not target:
        return "", ""
    copies = models
    if model.registry is None:
        try:
            there = not session.config.provisioned or registry in session.backend.registries()
            copies = session.backend.model_versions(registry) if there else []
        except UserError as error:
            # The identity that looks may have no right in the registry, which the one that delivers has.
            annotate(
                "warning", "mlops deliver", f"Registry {registry} cannot be read, so it is promoted again: {error}"
            )
            return "", f"version {model.version} is promoted to {target}"
    copy = next((each for each in copies if each.version == model.version), None)
    if copy is not None and is_set(copy, f"rejected_{target}"):
        return "", ""
    if copy is None or is_set(copy, "rejected") or copy.tags.get(f"promoted_{target}") != sha256:
        return "", f"version {model.version} is promoted to {target}"
    if passing_note(session, copy, load_environment(session.project, target)):
        return "", f"version {model.version} is passed on to {target} with other code, definitions or sizes there"
    return target, ""


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
    if is_set(copy, "rejected"):
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
    session.say(f"Created registry {registry}.", f"Will create registry {registry}.")


def _hash(session: Session, model: ModelVersion) -> str:
    with model_files(session.backend, model, dry_run=session.dry_run) as folder:
        return "" if session.dry_run else str(session.project.module("core.endpoint").model_hash(folder))
