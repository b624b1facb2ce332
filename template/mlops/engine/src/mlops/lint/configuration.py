"""What the lint finds in `config/`, and in `config/model.yml` held against `data/schema.yml`."""

import itertools
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from mlops import definitions
from mlops.config import EnvironmentConfig, Sweep, TrainingCompute, load_environment, read_environment, successor
from mlops.definitions.base import Finding, error_line, quiet
from mlops.errors import UserError
from mlops.hyperparameters import sweep
from mlops.lint.documents import read
from mlops.project import CONFLICT, Project, conflict_markers
from mlops.removed_keys import REMOVED_KEYS


def conflict_findings(project: Project) -> list[Finding]:
    """Find the conflicts that an update has left: in the configuration, the schema and the definitions."""
    definitions = (folder for folder in (project.root / "mlops").iterdir() if folder.name != "engine")
    files = [*(project.root / "config").glob("*.yml"), project.schema]
    files += [path for folder in definitions for path in folder.rglob("*") if path.suffix in {".yml", ".yaml", ".py"}]
    findings = []
    for path in filter(Path.is_file, files):
        text = path.read_text(encoding="utf-8", errors="replace")
        markers = conflict_markers(text)
        findings += [Finding(path, f"line {number}", CONFLICT) for number in markers]
        if markers and path.parent == project.root / "config":
            findings += _lost_keys(project, path, text.splitlines(), markers)
    return findings


def _lost_keys(project: Project, path: Path, lines: list[str], markers: list[int]) -> Iterator[Finding]:
    """Find removed keys in conflicts: a user who chooses the other side would lose what they meant without a word."""
    inside = [number for start, end in zip(markers[::2], markers[1::2], strict=False) for number in range(start, end)]
    for number, key in itertools.product(inside, REMOVED_KEYS):
        name, _, value = lines[number].strip().partition(":")
        if name == key.rpartition(".")[2]:
            text = successor(project, key, value.partition("#")[0].strip() == "true")
            yield Finding(path, f"line {number + 1}", f"{key}: {text}")


def environment_findings(project: Project) -> list[Finding]:
    """Find what is wrong in each `config/<environment>.yml`, and what two of them must not share."""
    findings, configs = [], []
    for name in project.environments:
        path = project.root / "config" / f"{name}.yml"
        content, unreadable = read(path)
        findings += unreadable
        if content is not None and not unreadable:
            config, problems = read_environment(project, name)
            findings += [Finding(path, *problem) for problem in problems]
            configs += [config] if config else []
    for one, other in itertools.combinations(configs, 2):
        path = project.root / "config" / f"{other.environment}.yml"
        findings += [Finding(path, key, text) for key, text in _shared(one, other)]
    return [*findings, *_registry_findings(project, configs)]


def _registry_findings(project: Project, configs: list[EnvironmentConfig]) -> Iterator[Finding]:
    """Find environments in a region that the registry which the project builds has no copy in."""
    for builder in (config for config in configs if config.model_registry):
        path = project.root / "config" / f"{builder.environment}.yml"
        for config in configs:
            near = builder.model_registry is None or config.location in builder.model_registry.locations
            if config.names.registry == builder.names.registry and not near:
                problem = f"{config.environment} is in {config.location}, where the registry is not: add that region"
                yield Finding(path, "model_registry.locations", problem)


def training_findings(project: Project) -> list[Finding]:
    """Find environments that spread a training over nodes or processes, which no step of the pipeline does.

    Raises:
        UserError: The pipeline cannot be built.
    """
    configs = [load_environment(project, name) for name in project.environments]
    spread = [config for config in configs if config.compute.training != TrainingCompute()]
    if not spread or definitions.of(project).pipeline().distributed:
        return []
    problem = "no step of the training pipeline has a distribution: delete this key, or give a step one"
    folder = project.root / "config"
    return [Finding(folder / f"{config.environment}.yml", "compute.training", problem) for config in spread]


def _shared(one: EnvironmentConfig, other: EnvironmentConfig) -> Iterator[tuple[str, str]]:
    """Find what both environments name, although a verb for one of them would then change the other."""
    first, second, name = one.names, other.names, one.environment
    if first.resource_group.casefold() == second.resource_group.casefold():
        if first.workspace.casefold() == second.workspace.casefold():
            yield (
                "names.workspace",
                f"{second.workspace} is the workspace of {name} too: each environment needs its own",
            )
        elif one.provisioned and other.provisioned:
            group = f"{second.resource_group} is the resource group of {name} too"
            yield (
                "names.resource_group",
                f"{group}, and a teardown deletes it as a whole: each environment needs its own",
            )
    if one.terraform_state and other.terraform_state and one.terraform_state.place == other.terraform_state.place:
        yield "terraform_state", f"this is the state of {name} too, which would be overwritten: choose another key"


def settings_results(project: Project) -> tuple[list[Finding], Sweep | None]:
    """Return what is wrong in `config/model.yml`, and the search for hyperparameters that it asks for, if any."""
    findings = settings_findings(project)
    if findings or "tuning" not in (read(project.settings)[0] or {}):
        return findings, None
    try:
        with quiet():
            return findings, sweep(project)
    except Exception as error:  # code of the project, which may have any mistake in it
        package = project.root / "data-science" / "src" / project.package
        return [Finding(package, "", f"it cannot read the section tuning: {error_line(error)}")], None


def settings_findings(project: Project) -> list[Finding]:
    """Find what is wrong in `config/model.yml` by itself and with the data that `data/schema.yml` describes."""
    read_files = [read(path) for path in (project.schema, project.settings)]
    findings = [finding for _, unreadable in read_files for finding in unreadable]
    if any(content is None for content, _ in read_files):
        return findings
    try:
        problems = _settings_problems(project, project.schema, project.settings)
    except Exception as error:  # code of the project, which may have any mistake in it
        package = project.root / "data-science" / "src" / project.package
        return [*findings, Finding(package, "", f"it cannot check the settings: {error_line(error)}")]
    for problem in problems:
        file, _, text = problem.partition(": ")
        findings.append(Finding(Path(file), "", text))
    return findings


def check_overrides(project: Project, overrides: str, schema: Path | None = None, settings: Path | None = None) -> None:
    """Check overrides of single settings, before anything runs with them.

    What is wrong without them too is not their problem: the lint names it. Neither is a search space for another model
    than theirs, unless they change the search: a training needs none.

    Args:
        project: The project.
        overrides: Words of the form `a.b.c=value`; without any, the project's code is not loaded.
        schema: In the place of data/schema.yml.
        settings: In the place of config/model.yml.

    Raises:
        UserError: One is malformed, names an unknown setting, or makes the settings wrong.
    """
    if overrides.strip():
        files = schema or project.schema, settings or project.settings
        _refuse_new_problems(project, files, overrides, _problems_with(project, files, overrides))


def check_tuning(project: Project, overrides: str) -> None:
    """Check the overrides of a search, and the section `tuning` with them, before anything is sent.

    Raises:
        UserError: An override is wrong, or the section.
    """
    files = project.schema, project.settings
    problems = _problems_with(project, files, overrides)
    if overrides.strip():
        _refuse_new_problems(project, files, overrides, problems)
    if wrong := [problem for problem in problems if _is_of(problem, "tuning")]:
        raise UserError("; ".join(problem.removeprefix(f"{project.settings}: ") for problem in wrong))


def _problems_with(project: Project, files: tuple[Path, Path], overrides: str) -> list[Any]:
    try:
        return _settings_problems(project, *files, overrides)
    except Exception as error:  # code of the project, which may have any mistake in it
        place = f"--overrides {overrides}: they" if overrides.strip() else "config/model.yml: it"
        raise UserError(f"{place} cannot be checked: {error_line(error)}") from error


def _refuse_new_problems(project: Project, files: tuple[Path, Path], overrides: str, problems: list[Any]) -> None:
    known = _problems_with(project, files, "") if problems else []
    searched = any(word.startswith("tuning.") for word in overrides.split())
    new = [each for each in problems if each not in known and (searched or not _is_of(each, "tuning.space"))]
    if new:
        lines = _together(problem.removeprefix(f"{files[1]}: ") for problem in new)
        raise UserError(f"--overrides {overrides}: {'; '.join(lines)}{_other_model(overrides, new)}")


def _together(lines: Iterable[str]) -> list[str]:
    """Name the keys together of which the same is wrong, such as those of another model."""
    keys: dict[str, list[str]] = {}
    for line in lines:
        key, _, text = line.partition(": ")
        keys.setdefault(text, []).append(key)
    return [": ".join(filter(None, (", ".join(names), text))) for text, names in keys.items()]


def _other_model(overrides: str, problems: list[Any]) -> str:
    """Say how to take another model without the hyperparameters that the file has for its own."""
    section = "training.hyperparameters"
    words = (word.partition("=") for word in overrides.split())
    given = {key.removeprefix(f"{section}."): value for key, _, value in words if _is_in(key, section)}
    of_file = (
        each for each in problems if _is_in(each.key, section) and each.key.removeprefix(f"{section}.") not in given
    )
    if "model" not in given or not any(of_file):
        return ""
    written = json.dumps({key: yaml.safe_load(value) for key, value in given.items()}, separators=(",", ":"))
    # The command of a step on Azure ML has the overrides in double quotes.
    all_of_it = f"{section}={written}".replace('"', "'")
    return f'; to leave out what the file has for another model, give all at once: --overrides "{all_of_it}"'


def _is_of(problem: Any, key: str) -> bool:
    return _is_in(problem.key, key)


def _is_in(key: str, section: str) -> bool:
    return f"{key}.".startswith(f"{section}.")


def _settings_problems(project: Project, schema: Path, settings: Path, overrides: str = "") -> list[Any]:
    """Return lines, each of which has the `key` that it is about; see `core.endpoint` of the project."""
    with quiet():
        check = project.module("core.endpoint").check_settings
        found: list[Any] = check(project.module("modality").MODALITY, schema, settings, overrides)
    return found
