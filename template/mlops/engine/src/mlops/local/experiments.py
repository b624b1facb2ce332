"""The runs of this machine as MLflow keeps them: how each is named when it begins, and what is known of it later."""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from mlops.config import load_environment
from mlops.errors import UserError
from mlops.hyperparameters import LONGEST_NAME, run_name, shortened
from mlops.local.runner import local_folder, local_variables, preserved_process
from mlops.local.store import PROCESS_TAG
from mlops.project import Project

NUMBER, OVERRIDES, FOLDER, ERROR, WITHOUT_REGISTRY = "number", "overrides", "folder", "error", "no_register"
"""The tags of a run of this machine; those of the steps are in `pipeline_run.py` of the project's package."""

SETTINGS = "as in model.yml"
_COMMIT, _CHANGED = "mlflow.source.git.commit", "uncommitted"
_OTHER = {"code": "other code", "data": "other data", "schema": "other data/schema.yml"}
_IDENTITIES = (*_OTHER, "held_out")
_NONE = "no run is recorded yet: run `uv run mlops local` first"
_PAGE = 1000


@dataclass(frozen=True)
class Beginning:
    """What is known of a run before its first step: its name without the number, and its tags."""

    name: str
    tags: Mapping[str, str]


def beginning(
    project: Project, folder: Path, overrides: str = "", *, name: str = "", kind: str = "", registers: bool = True
) -> Beginning:
    """Describe a run that begins now.

    Args:
        project: The project.
        folder: Where its outputs go.
        overrides: The settings that are different from those of the files, by which it is named.
        name: What the user calls it instead.
        kind: What its name begins with, when it is no training.
        registers: Whether it may register a model.
    """
    shown = name or " ".join(filter(None, (kind, run_name(overrides, "" if kind else SETTINGS))))
    tags = {
        FOLDER: folder.name,
        PROCESS_TAG: str(os.getpid()),
        **({OVERRIDES: overrides} if overrides else {}),
        **_commit(project),
    }
    return Beginning(shown, tags if registers else {**tags, WITHOUT_REGISTRY: "true"})


def _commit(project: Project) -> dict[str, str]:
    """Return the commit that is checked out, and whether files are different from it; nothing outside of Git."""
    try:
        commit, changes = (
            subprocess.run(["git", *words], cwd=project.root, capture_output=True, text=True, timeout=20)
            for words in (("rev-parse", "--short=12", "HEAD"), ("status", "--porcelain", "--", "."))
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    if commit.returncode:
        return {}
    return {_COMMIT: commit.stdout.strip(), **({_CHANGED: "true"} if changes.stdout.strip() else {})}


def create_run(client: Any, experiment: str, beginning: Beginning) -> str:
    """Create the run in MLflow, with the next number in its name; return its id."""
    newest = client.search_runs([experiment], f"tags.{NUMBER} != ''", order_by=["start_time DESC"], max_results=1)
    number = 1 + max((int(run.data.tags[NUMBER]) for run in newest), default=0)
    tags = {**beginning.tags, NUMBER: str(number)}
    return str(client.create_run(experiment, tags=tags, run_name=f"{number} {beginning.name}").info.run_id)


def end_run(client: Any, run: str, error: BaseException | None = None) -> None:
    """Write down that a run has ended, and why, if by an error; by now it is known what it may be named by."""
    if name := _edited_name(client, client.get_run(run)):
        client.update_run(run, name=name)
    if error is None:
        client.set_terminated(run, "FINISHED")
        return
    stopped = isinstance(error, KeyboardInterrupt)
    reason = "stopped" if stopped else " ".join(str(error).split()) or type(error).__name__
    client.set_tag(run, ERROR, reason[:1000])
    client.set_terminated(run, "KILLED" if stopped else "FAILED")


def _edited_name(client: Any, run: Any) -> str:
    """Return a name that tells what was edited since the last run with the settings of the files; empty for none.

    A run with overrides, or with a name of its own, keeps that.
    """
    number, name = run.data.tags.get(NUMBER), run.info.run_name
    if name != f"{number} {SETTINGS}" or not run.data.params:
        return ""
    newest = client.search_runs([run.info.experiment_id], f"tags.{NUMBER} != ''", order_by=["start_time DESC"])
    former = [each for each in newest if each.info.run_id != run.info.run_id and each.data.params]
    last = next((each for each in former if not {OVERRIDES, "search"} & {*each.data.tags}), None)
    if last is None:
        return ""
    before, now = last.data.params, run.data.params
    edited = [key for key in keys_of(now) if before.get(key) != now[key] and key != "held_out"]
    words = [_OTHER.get(key, f"{key}={now[key]}") for key in edited]
    words += [f"no {key}" for key in keys_of(before) if key not in now and key not in _IDENTITIES]
    if words:
        return f"{number} {shortened(' '.join(words), LONGEST_NAME)}"
    same = re.search(r"\(same as \d+\)$", last.info.run_name)
    return f"{number} {same[0] if same else same_as(last.data.tags[NUMBER])}"


def same_as(number: object) -> str:
    """Return the name of a run that differs in nothing from the one of this number."""
    return f"(same as {number})"


@dataclass(frozen=True)
class Score:
    """A metric on the held-out examples."""

    name: str
    higher_is_better: bool


@dataclass(frozen=True)
class Trial:
    """A candidate of a search."""

    name: str
    params: Mapping[str, str]
    score: float | None
    failed: bool


@dataclass(frozen=True)
class Experiment:
    """A run of the loop, or of a search, on this machine.

    Attributes:
        identity: Its id in MLflow.
        number: Its place among the runs, from 1 on.
        name: What it is called beside that.
        began: When.
        status: RUNNING, FINISHED, FAILED or KILLED.
        params: Settings, and the hashes of what else decides.
        metrics: All that the steps measured.
        tags: What the run and its steps noted.
        trials: The candidates, if it is a search.
    """

    identity: str
    number: int
    name: str
    began: datetime
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    trials: Sequence[Trial] = field(default=())

    @property
    def title(self) -> str:
        """Number and name."""
        return f"{self.number} {self.name}"

    @property
    def scores(self) -> list[Score]:
        """The metrics on the held-out examples, the one that decided first; none if it did not come so far."""
        words = (word.partition(":") for word in self.tags.get("scores", "").split())
        return [Score(name, direction == "higher") for name, _, direction in words]

    @property
    def searched(self) -> str:
        """The metric of a search; empty for a training."""
        return self.tags.get("search", "")

    @property
    def problem(self) -> str:
        """Why it has no score; empty if it has one."""
        if self.status in ("FAILED", "KILLED"):
            return self.tags.get(ERROR) or ("stopped" if self.status == "KILLED" else "failed")
        return "is not at its end yet, or was killed" if self.status == "RUNNING" else ""

    def get(self, key: str) -> str | None:
        """Return what a comparison needs: a parameter, or the commit."""
        if key == "commit" and _COMMIT in self.tags:
            return self.tags[_COMMIT] + (" with changes" if self.tags.get(_CHANGED) else "")
        return self.params.get(key)


@dataclass(frozen=True)
class History:
    """The runs that were asked for, the oldest first, and which of them is the champion's.

    Attributes:
        runs: They.
        champion: The registered version that serves; None if there is none.
        champion_run: The id of its run; None if it is not on record.
    """

    runs: Sequence[Experiment]
    champion: int | None
    champion_run: str | None


def require_store(project: Project) -> None:
    """Check that there are runs.

    Raises:
        UserError: There is no database of them.
    """
    if not (local_folder(project) / "mlflow.db").is_file():
        raise UserError(_NONE)


def read_history(project: Project, last: int, chosen: Sequence[str] = ()) -> History:
    """Read runs of this machine: the chosen ones, or the last ones and that of the champion.

    Args:
        project: The project.
        last: How many.
        chosen: Numbers, or parts of names.

    Raises:
        UserError: There is none, one that was chosen is not there, or the database cannot be read.
    """
    folder = local_folder(project)
    require_store(project)
    with preserved_process():
        os.environ.update(local_variables(project))
        import mlflow
        from sqlalchemy.exc import SQLAlchemyError

        try:
            return _read(mlflow.MlflowClient(), project, last, chosen)
        except (mlflow.MlflowException, SQLAlchemyError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{folder / 'mlflow.db'} cannot be read ({reason}): restore it, or delete {folder} to start over, "
                "without the runs and models of before"
            ) from error


def _read(client: Any, project: Project, last: int, chosen: Sequence[str]) -> History:
    model = load_environment(project, project.first_environment).model
    experiment = client.get_experiment_by_name(model.experiment)
    found = _search(client, experiment.experiment_id, f"tags.{NUMBER} != ''") if experiment else []
    found = sorted(found, key=lambda run: int(run.data.tags[NUMBER]))
    if not found:
        raise UserError(_NONE)
    version = project.module("core.endpoint").champion(client, model.name)
    champion = _pipeline_of(client, version)
    if chosen:
        kept = _chosen(found, chosen)
    else:
        newest = {run.info.run_id for run in found[-last:]} | {champion}
        kept = [run for run in found if run.info.run_id in newest]
    runs = [_experiment(client, experiment.experiment_id, run) for run in kept]
    return History(runs, version and int(version.version), champion)


def _pipeline_of(client: Any, version: Any) -> str | None:
    """Return the id of the run that has registered a version; None if a person has, or if it was deleted."""
    if version is None or not version.run_id:
        return None
    from mlflow import MlflowException

    try:
        tags: Mapping[str, str] = client.get_run(version.run_id).data.tags
    except MlflowException:
        return None
    return tags.get("mlflow.parentRunId")


def _search(client: Any, experiment: str, condition: str) -> list[Any]:
    found, token = [], None
    while True:
        page = client.search_runs([experiment], condition, max_results=_PAGE, page_token=token)
        found += page
        if not (token := page.token):
            return found


def _chosen(found: Sequence[Any], words: Sequence[str]) -> list[Any]:
    """Return the runs of which each word is the number, or a part of the name."""
    kept = []
    for word in words:
        numbers = [run for run in found if run.data.tags[NUMBER] == word]
        named = numbers or [run for run in found if not word.isdigit() and word in run.info.run_name]
        if not named:
            known = "; ".join(run.info.run_name for run in found[-5:])
            raise UserError(f"there is no run {word!r}: name a number, or a part of a name; the last are {known}")
        kept += named
    return sorted(dict.fromkeys(kept), key=lambda run: int(run.data.tags[NUMBER]))


def _experiment(client: Any, experiment: str, run: Any) -> Experiment:
    data, info = run.data, run.info
    number = int(data.tags[NUMBER])
    searched = data.tags.get("search")
    return Experiment(
        identity=info.run_id,
        number=number,
        name=info.run_name.removeprefix(f"{number} "),
        began=datetime.fromtimestamp(info.start_time / 1000),
        status=info.status,
        params=data.params,
        metrics=data.metrics,
        tags=data.tags,
        trials=_trials(client, experiment, info.run_id, searched) if searched else (),
    )


def _trials(client: Any, experiment: str, run: str, metric: str) -> list[Trial]:
    steps = _search(client, experiment, _below(run))
    children = [each for step in steps for each in _search(client, experiment, _below(step.info.run_id))]
    return [_trial(each, metric) for each in sorted(children, key=_place)]


def _below(run: str) -> str:
    return f"tags.mlflow.parentRunId = '{run}'"


def _place(run: Any) -> tuple[int, int]:
    number = re.search(r"\d+", run.info.run_name)
    return int(number[0]) if number else 0, run.info.start_time


def _trial(run: Any, metric: str) -> Trial:
    score = run.data.metrics.get(f"validation_{metric}")
    return Trial(run.info.run_name, run.data.params, score, run.info.status == "FAILED")


def keys(runs: Iterable[Experiment]) -> list[str]:
    """Return what can be different from one run to another, in the order in which it is shown."""
    return [*keys_of(key for run in runs for key in run.params), "commit"]


def keys_of(params: Iterable[str]) -> list[str]:
    """Return the keys of parameters in the order in which they are shown: hyperparameters first."""
    return sorted(dict.fromkeys(params), key=lambda key: ("." in key, key in _IDENTITIES))
