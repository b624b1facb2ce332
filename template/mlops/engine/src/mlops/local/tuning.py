"""The search for better hyperparameters on this machine, and the training with what it found."""

import os
import time
from contextlib import ExitStack
from pathlib import Path

from mlops import definitions
from mlops.config import load_environment
from mlops.errors import UserError
from mlops.hyperparameters import Search, check_save, keep, require_section, with_trials
from mlops.lint.configuration import check_overrides
from mlops.local.experiments import beginning
from mlops.local.run import checked_and_held, parent_run, run_local
from mlops.local.runner import (
    input_path,
    local_folder,
    local_variables,
    new_run_folder,
    preserved_process,
    run_pipeline,
    say,
    say_step,
    with_inputs,
)
from mlops.local.store import write_whole
from mlops.pipeline import samples
from mlops.project import Project

STATE = "tuning"
"""The folder in `.local/` that has what was tried, so that a search that was stopped goes on."""

LINES = ("trial ", "  trial ", "going on after", "stopped after")
"""How those lines of the step begin that say how the search goes."""


def tune_local(
    project: Project,
    *,
    overrides: str = "",
    trials: int | None = None,
    train: bool = True,
    save: bool = False,
    port: int | None = None,
    skip_lint: bool = False,
    wait: bool = True,
) -> Search:
    """Search hyperparameters on the training data, and train with them if they are better than those of the settings.

    Args:
        project: The project.
        overrides: Other settings for this run, such as `training.seed=7`.
        trials: In the place of `tuning.trials`.
        train: Whether a training follows.
        save: Whether config/model.yml keeps what is better.
        port: As in `run_local`.
        skip_lint: Whether the definitions are not checked first.
        wait: As in `run_local`.

    Raises:
        UserError: As in `run_local`, and when the settings have no section `tuning`.
    """
    started = time.perf_counter()
    require_section(project)
    if save:
        check_save(overrides)
    again = "uv run mlops tune" + (f" --trials {trials}" if trials else "")
    again += f' --overrides "{overrides}"' if overrides else ""
    search, report = _search(project, with_trials(overrides, trials), again, skip_lint=skip_lint, wait=wait)
    say_result(search)
    say(f"report     {report}")
    if search.improved and save:
        keep(project, search.best)
        say(f"saved      config/model.yml has these hyperparameters now: {search.words}")
    elif search.improved:
        say(f"keep       `{again} --save` writes them into config/model.yml, for each training from now on")
    if search.improved and train:
        run_local(project, overrides=f"{overrides} {search.overrides}".strip(), port=port, skip_lint=True, wait=wait)
    else:
        say(f"done in {time.perf_counter() - started:.1f} s: no training")
    return search


def say_result(search: Search) -> None:
    """Print what a search found."""
    counts = ", ".join(f"{number} {state}" for state, number in search.trials.items())
    score = f"{search.metric} {search.score:.4g}"
    former = f"{search.former:.4g}" if search.former is not None else "none"
    say(f"trials     {counts}")
    if search.improved:
        say(f"better     {search.words} ({score} in cross-validation; the settings' own: {former})")
    else:
        say(f"no better  the settings' own hyperparameters stay ({search.metric} {former} in cross-validation)")


def _search(project: Project, overrides: str, again: str, *, skip_lint: bool, wait: bool) -> tuple[Search, Path]:
    """Run the pipeline of the search; return what was found, and its report. The command `again` goes on with it."""
    experiment = load_environment(project, project.first_environment).model.experiment
    pipeline = definitions.of(project).tuning()
    local = local_folder(project)
    values = {"state": str(local / STATE)} | ({"overrides": overrides} if overrides else {})
    pipeline = with_inputs(pipeline, values | {name: str(folder) for name, folder in samples(pipeline).items()})
    with preserved_process(), ExitStack() as stack:
        # Before the lint, which imports the project's code: libraries read the number of their threads when imported.
        os.environ.update(local_variables(project))
        if overrides:
            check_overrides(project, overrides, input_path(pipeline, "schema"), input_path(pipeline, "settings"))
        stack.enter_context(checked_and_held(project, local, skip_lint=skip_lint, wait=wait))
        folder = new_run_folder(local / "runs")
        begun = time.perf_counter()
        try:
            with parent_run(local, experiment, beginning(project, folder, overrides, kind="search")) as variables:
                say_step("tracking", time.perf_counter() - begun, f"MLflow experiment {experiment}")
                steps = run_pipeline(pipeline, folder, environment=variables, watch=LINES)
        except KeyboardInterrupt:
            say(f"kept       what was tried: `{again}` goes on from there")
            raise
        if "search" not in steps.outputs:
            raise UserError("the tuning pipeline has no output 'search': bind the output of the step tune to it")
        search = Search.read(project, steps.outputs["search"] / "search.json")
    report = local / "report" / "search.html"
    write_whole(report, (steps.outputs["search"] / "report.html").read_text(encoding="utf-8"))
    return search, report
