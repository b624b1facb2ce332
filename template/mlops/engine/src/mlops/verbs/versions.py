"""The list of the model's versions, and which of them an environment may use."""

from mlops.azureml.backend import ModelVersion
from mlops.errors import UserError
from mlops.outputs import add_summary, name_run, set_outputs, table
from mlops.verbs.models import choose_model, find_version, is_set, known_hash, number, short_time
from mlops.verbs.session import Session


def list_models(
    session: Session, *, model_version: str | None = None, unpin: bool = False, accept: str | None = None
) -> None:
    """Show the model's versions and which one is chosen, with its hash: what `deliver` has to be told.

    They are those of the environment's workspace or, where it takes its models from a registry, of that.

    Args:
        session: The environment.
        model_version: The version to choose; by default the pinned one, or else the newest that may be used.
        unpin: Choose as if no version were pinned, for a delivery that ends the pin.
        accept: A version whose rejection in this environment is taken back first.

    Raises:
        UserError: There is no such version, or it may not be used.
    """
    if accept is not None:
        _accept(session, accept)
    models = sorted(session.backend.model_versions(session.registry), key=number, reverse=True)
    head = ["version", "sha256", "serves since", "promoted to", "rejected in", "pinned in"]
    rows = [_row(session, model) for model in models]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, *rows]:
        session.say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    chosen = choose_model(session, model_version, pins=not unpin)
    sha256 = known_hash(session, chosen)
    options = ("--model-version", chosen.version, *(["--sha256", sha256] if sha256 else []))
    session.say(f"Chosen: version {chosen.version}. `{session.command('deliver', *options)}`")
    label = f"version {chosen.version}, sha256 {sha256[:12] or 'unknown'}"
    set_outputs(model_version=chosen.version, sha256=sha256, label=label)
    name_run(label)
    title = f"## Chosen for {session.config.environment}: {session.config.model.name} {label}"
    add_summary(f"{title}\n\n{table(head, rows)}")


def _row(session: Session, model: ModelVersion) -> list[str]:
    """Return the cells of a version: what its tags say about each environment."""
    named: dict[str, dict[str, str]] = {"deployed": {}, "promoted": {}, "rejected": {}, "pinned": {}}
    for tag, value in sorted(model.tags.items()):
        kind, _, environment = tag.partition("_")
        if environment and kind in named and (kind in ("deployed", "promoted") or is_set(model, tag)):
            named[kind][environment] = str(value)
    served = [f"{environment}: {short_time(since)}" for environment, since in named["deployed"].items()]
    promoted, rejected, pinned = (", ".join(named[kind]) for kind in ("promoted", "rejected", "pinned"))
    if is_set(model, "rejected"):
        rejected = "all"
    return [model.version, known_hash(session, model)[:12], ", ".join(served), promoted, rejected, pinned]


def _accept(session: Session, version: str) -> None:
    environment = session.config.environment
    model = find_version(session, session.backend.model_versions(session.registry), version)
    if is_set(model, "rejected"):
        raise UserError(
            f"version {version} has the tag rejected=true, which holds everywhere: its copy in a registry had other "
            "files, or a release until v0.8.0 went back from it; train a new version"
        )
    if not is_set(model, f"rejected_{environment}") and not session.dry_run:
        session.say(f"Version {version} is not rejected in {environment}.")
        return
    session.backend.tag_model(model, {f"rejected_{environment}": "false"})
    session.say(
        f"Version {version} may be used in {environment} again.",
        f"Version {version} will be usable in {environment} again.",
    )
