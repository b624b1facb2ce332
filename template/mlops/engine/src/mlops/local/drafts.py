"""A draft of data/schema.yml and config/model.yml from a person's files, and how it takes the place of what is there.

A draft is in `data/draft/`, with a list of the files that it is for, until it is accepted. What it takes the place of
is kept in `data/before/`: nothing is overwritten.
"""

import json
import os
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from mlops.config import load_environment
from mlops.errors import UserError, first_line
from mlops.local.runner import local_folder, local_variables, preserved_process, say
from mlops.local.store import STORE
from mlops.project import Project, load_yaml
from mlops.yaml_text import edited, first_anchor

SCHEMA, SETTINGS, FILES = "schema.yml", "model.yml", "files.json"
_ACCEPT, _LOCAL = "`uv run mlops schema --accept`", "`uv run mlops local`"
_REPLACE = "uv run mlops local --overrides promotion.incomparable_champion=replace"
# GitHub refuses a larger file.
_LARGE = 100 * 2**20
_WIDEST_NAME = 28


def write_draft(
    project: Project,
    paths: Sequence[Path],
    *,
    target: str = "",
    task: str = "",
    encoding: str = "",
    accepted: bool = False,
) -> None:
    """Draft schema and settings for files, write both into data/draft, and show what was guessed.

    Args:
        project: The project.
        paths: Files, or folders with files.
        target: The column to predict, if it is known.
        task: What is predicted, if it is known.
        encoding: That of the files, if it cannot be seen.
        accepted: Whether the draft is accepted at once, so that nothing is said about how.

    Raises:
        UserError: A file cannot be read, or no target is to be seen.
    """
    settings = load_yaml(project.settings)
    with preserved_process():
        draft = _drafted(project, paths, settings, target or None, task or None, encoding or None)
        text = project.settings.read_text(encoding="utf-8")
        for key, value in draft.settings.items():
            text = edited(text, key, value)
        files = {str(path.resolve()): name for path, name in draft.places.items()}
        contents = {SCHEMA: draft.schema, SETTINGS: text, FILES: json.dumps(files, indent=2) + "\n"}
        folder = _folder(project)
        if folder.is_dir() and any(_read(folder / name) not in ("", content) for name, content in contents.items()):
            _keep(project, folder)
        folder.mkdir(exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_text(content, encoding="utf-8")
        check = project.module("core.consistency").check_settings
        problems = check(project.module("modality").MODALITY, folder / SCHEMA, folder / SETTINGS)
    for line in draft.about:
        say(line)
    say("")
    for line in _table(draft.table):
        say(line)
    say("")
    for line in [*draft.warnings, *map(str, problems)]:
        say(f"look at: {line}")
    for path in draft.places:
        if path.is_file() and path.stat().st_size > _LARGE:
            large = f"{path.name} has more than 100 MB, which hosts of Git refuse"
            say(f"look at: {large}: keep it out of Git, as data/README.md says")
    say(f"draft: {_name(project, folder / SCHEMA)} and {SETTINGS} beside it; edit them as you like")
    if not accepted:
        say(f"next: {_ACCEPT} puts both and your files in place and keeps what is there; then {_LOCAL}")


def accept(project: Project) -> None:
    """Put a draft and its files in place, and move what was there to data/before.

    Raises:
        UserError: There is no draft, it is not valid, or its files are gone.
    """
    folder = _folder(project)
    if not (folder / SCHEMA).is_file() or not (folder / SETTINGS).is_file() or not (folder / FILES).is_file():
        raise UserError("there is no draft in data/draft: `uv run mlops schema FILES` makes one")
    with preserved_process():
        modality, step = project.module("modality").MODALITY, project.module("core.step")
        try:
            schema = project.module("core.schema").Schema.load(folder / SCHEMA, modality.tasks)
            load_yaml(folder / SETTINGS)
        except step.StepError as error:
            raise UserError(str(error)) from error
        files = {Path(path): name for path, name in json.loads(_read(folder / FILES)).items()}
        if gone := [path for path in files if not path.exists()]:
            raise UserError(f"{gone[0]}: no such file any more: make the draft again, with `uv run mlops schema FILES`")
        raw, production = project.data / "raw", project.data / "production"
        copies = _copied(files, raw, folder / "raw")
        present = {path.resolve() for path in files}
        others = [path for path in _entries(raw) if path.resolve() not in present]
        before = _before(project)
        kept = [_move(project, path, before) for path in others]
        if kept or not _fits(project, modality, schema, step.StepError):
            kept += [_move(project, path, before) for path in _entries(production)]
            production.mkdir(exist_ok=True)
            (production / ".gitkeep").touch()
        for copy in copies:
            raw.mkdir(exist_ok=True)
            shutil.move(copy, raw / copy.name)
        for source, place in ((folder / SCHEMA, project.schema), (folder / SETTINGS, project.settings)):
            if place.is_file() and _read(place) != _read(source):
                kept.append(_move(project, place, before))
            shutil.copyfile(source, place)
        shutil.rmtree(folder)
        written = [project.schema, project.settings]
        pipeline = project.definitions / "pipeline.yml"
        remarks = _adapt_pipeline(project, modality, schema, before, step.StepError)
        if (before / _name(project, pipeline)).is_file():
            written.append(pipeline)
            kept.append(_name(project, pipeline))
        replaced = _is_other_champion(project, schema)
    say(f"in place: {', '.join(_name(project, path) for path in written)}" + _counted(copies))
    if kept:
        say(f"kept: {', '.join(kept)} in {_name(project, before)}")
    for remark in remarks:
        say(f"look at: {remark}")
    if replaced:
        say(f"next: `{_REPLACE}`, once: the champion of before knows other data, so no model can be compared with it")
    else:
        say(f"next: {_LOCAL}")


def _adapt_pipeline(project: Project, modality: Any, schema: Any, before: Path, error: type[Exception]) -> list[str]:
    """Write what the Responsible AI components of a pipeline ask for; return what a person should look at.

    The pipeline of before is copied into the folder `before` if it changes.
    """
    path = project.definitions / "pipeline.yml"
    if "train_rows" not in (load_yaml(project.settings).get("responsible_ai") or {}) or not path.is_file():
        return []
    from mlops.lint.checks import relative
    from mlops.lint.responsible_ai import value_findings
    from mlops.local.adaptation import adapted

    values: dict[str, list[object]] = {}
    with suppress(error):
        frame = project.module("core.tables").convert(modality.read(project.data / "raw", schema).frame, schema)
        values = {name: frame[name].dropna().tolist() for name in frame}
    remarks, anchor = [], None
    try:
        jobs = {*load_yaml(path)["jobs"]}
        anchor = first_anchor(path.read_text(encoding="utf-8"))
        text = adapted(path, values)
    except (UserError, yaml.YAMLError, LookupError, AttributeError) as problem:
        # What a person wrote may be beyond an edit of the text.
        return [_without_edit(path, anchor, first_line(problem))]
    if text.encode() != path.read_bytes():
        if anchor:
            return [_without_edit(path, anchor)]  # an edit at one place would change the others
        kept = before / _name(project, path)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, kept)
        path.write_bytes(text.encode())
        if gone := sorted(jobs - {*load_yaml(path)["jobs"]}):
            remarks.append(f"{path.name}: {', '.join(gone)} are left out, because they know two classes at most")
        remarks.append(
            f"{path.name}: which features Responsible AI may vary, and take for causes, is for you to choose"
        )
    return remarks + [str(relative(each, project)) for each in value_findings(path)]


def _without_edit(path: Path, anchor: tuple[int, str] | None, problem: str = "") -> str:
    """Say why a pipeline stays as it is, and what to do."""
    if anchor is None:
        return f"{path.name}: cannot be edited for you ({problem}): `uv run mlops lint` says what to edit"
    line, name = anchor
    return (
        f"{path.name}: line {line}: cannot be edited for you, because several places may share &{name}: write its "
        "value into each of them and repeat this, or edit what `uv run mlops lint` names"
    )


def _is_other_champion(project: Project, schema: Any) -> bool:
    """Return whether a champion is registered on this machine that no model of this schema can be compared with."""
    if not (local_folder(project) / STORE).is_file():
        return False
    os.environ.update(local_variables(project))
    import mlflow
    from sqlalchemy.exc import SQLAlchemyError

    name, champion = load_environment(project, project.first_environment).model.name, project.module("core.champion")
    try:
        version = champion.champion(mlflow.MlflowClient(), name)
        if version is None:
            return False
        metadata = mlflow.models.Model.load(f"models:/{name}/{version.version}").metadata
        return not champion.may_be_compared(metadata or {}, schema)
    except (mlflow.MlflowException, SQLAlchemyError, OSError):
        return False  # the next training says what is wrong with the store, or with the model


def _drafted(
    project: Project,
    paths: Sequence[Path],
    settings: Mapping[str, Any],
    target: str | None,
    task: str | None,
    encoding: str | None,
) -> Any:
    modality, step = project.module("modality").MODALITY, project.module("core.step")
    try:
        return project.module("core.draft").draft(modality, paths, project.schema, settings, target, task, encoding)
    except step.StepError as error:
        raise UserError(" ".join(str(error).split())) from error
    except OSError as error:
        raise UserError(f"{error.filename}: it cannot be read: {error.strerror}") from error


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return rows as lines of equal columns, no wider than the terminal."""
    head = ("column", "type", "role", "missing", "why")
    cells = [(textwrap.shorten(row[0], _WIDEST_NAME, placeholder="...") or "...", *row[1:]) for row in rows]
    widths = [max(len(row[place]) for row in (head, *cells)) for place in range(4)]
    total = shutil.get_terminal_size().columns
    left = max(30, total - sum(widths) - 8)
    lines = []
    for row in (head, *cells):
        start = "  ".join(cell.ljust(width) for cell, width in zip(row[:4], widths, strict=True))
        reason = row[4] if len(row[4]) <= left else textwrap.shorten(row[4], left, placeholder=" ...")
        lines.append(f"{start}  {reason}".rstrip())
    return lines


def _folder(project: Project) -> Path:
    return project.data / "draft"


def _before(project: Project) -> Path:
    """Return a folder for what goes out of the way, which is not there yet."""
    number = 1
    while (folder := project.data / "before" / str(number)).exists():
        number += 1
    return folder


def _keep(project: Project, folder: Path) -> None:
    before = _before(project)
    before.parent.mkdir(exist_ok=True)
    shutil.move(folder, before)
    say(f"kept: the draft of before in {_name(project, before)}")


def _name(project: Project, path: Path) -> str:
    return path.relative_to(project.root).as_posix()


def _move(project: Project, path: Path, before: Path) -> str:
    name = _name(project, path)
    (before / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, before / name)
    return name


def _entries(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.glob("*")) if path.name != ".gitkeep"]


def _copied(files: Mapping[Path, str], raw: Path, folder: Path) -> list[Path]:
    """Copy files that are not in the raw data yet into a folder beside those, so that a full disk changes nothing."""
    shutil.rmtree(folder, ignore_errors=True)
    copies = []
    for path, name in files.items():
        if path.resolve() != (raw / name).resolve():
            folder.mkdir(exist_ok=True)
            copies.append(folder / name)
            if path.is_dir():
                shutil.copytree(path, folder / name)
            else:
                shutil.copyfile(path, folder / name)
    return copies


def _counted(copies: Sequence[Path]) -> str:
    return f", and {len(copies)} file{'s' if len(copies) > 1 else ''} in data/raw" if copies else ""


def _fits(project: Project, modality: Any, schema: Any, error: type[Exception]) -> bool:
    """Return whether the data that arrived later, if there are some, can be read by a schema."""
    contract, production = project.module("core.modality"), project.data / "production"
    if not production.is_dir() or not contract.data_files(production, modality.suffixes):
        return True
    try:
        contract.unlabelled_examples(modality, modality.read(production, schema), schema)
    except error:
        return False
    return True


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
