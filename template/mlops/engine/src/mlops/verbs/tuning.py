"""The search for better hyperparameters on Azure ML, and the training with what it found."""

from mlops import definitions, hyperparameters
from mlops.config import Sweep
from mlops.errors import UserError
from mlops.hyperparameters import Search, with_trials
from mlops.lint.configuration import check_tuning
from mlops.pipeline import reads_azure
from mlops.verbs.data import ensure_data
from mlops.verbs.session import Session
from mlops.verbs.training import CLOSED_STATUSES, new_job, say_started, train, wait_for

OUTPUT = "search"
"""The output of the tuning pipeline: what the best trial wrote."""


def tune(
    session: Session,
    *,
    overrides: str = "",
    trials: int | None = None,
    job: str = "",
    wait: bool = True,
    save: bool = False,
    then_train: bool = True,
) -> None:
    """Search hyperparameters on Azure ML, then train with the best ones.

    Args:
        session: The environment.
        overrides: Other settings for the search and the training, such as `training.seed=7`.
        trials: In the place of `tuning.trials`.
        job: A search that was started before, and whose result is wanted; no other is started.
        wait: Whether to wait for a search that runs.
        save: Whether config/model.yml keeps what was found, once a model that was trained with it is registered:
            Azure ML does not try the hyperparameters of the settings, so the best trial may be worse than those.
        then_train: Whether a training follows.

    Raises:
        UserError: A setting is wrong, the search does not complete, or the job is no search.
    """
    if save and not then_train:
        raise UserError("--save needs the training, which tells whether they are better: leave out --no-train")
    if save:
        hyperparameters.check_save(overrides)
    check_tuning(session.project, with_trials(overrides, trials))
    if not job:
        job = _start(session, with_trials(overrides, trials))
    if not wait and session.backend.job(job).status not in CLOSED_STATUSES:
        session.say(f"When it has ended, `{session.command('tune', '--job', job)}` goes on from it.")
        return
    try:
        wait_for(session, job)
    except UserError as error:
        hint = "of a search that does not complete nothing is kept; if its time was over, lower tuning.trials or raise"
        raise UserError(f"{error}; {hint} tuning.minutes, and start another") from error
    found = _result(session, job)
    if found is None:
        if then_train:
            session.say("Then it will train, with the best hyperparameters among the overrides.")
    elif hyperparameters.is_kept(session.project, found.best):
        session.say(f"The best are those of config/model.yml, so nothing is trained: {found.words}")
        return
    else:
        session.say(f"The best trial has {found.metric} {found.score:.4g} in cross-validation: {found.words}")
        overrides = f"{overrides} {found.overrides}".strip()
    registered = then_train and train(session, overrides=overrides)
    if not save or found is None:
        return
    if registered:
        hyperparameters.keep(session.project, found.best)
        session.say("config/model.yml has these hyperparameters now, for each training from now on.")
    else:
        session.say("config/model.yml stays as it is: no model with these hyperparameters was registered.")


def _start(session: Session, overrides: str) -> str:
    """Start a search; return the name of its job."""
    sweep = hyperparameters.sweep(session.project, overrides)
    pipeline = definitions.of(session.project).tuning()
    _say_concurrency(session, sweep)
    data = ensure_data(session, pipeline)
    job = session.backend.submit_tuning(new_job(session), data, overrides, sweep, rerun=reads_azure(pipeline))
    say_started(session, job)
    return job


def _say_concurrency(session: Session, sweep: Sweep) -> None:
    """Print how many trials run at a time, if the cluster has fewer nodes than the settings want."""
    compute, wanted = session.config.compute, sweep.limits["max_concurrent_trials"]
    cluster = next(
        each for each in (compute.cluster, compute.gpu_cluster) if each and each.name == compute.training_cluster
    )
    at_once = (cluster.max_nodes or wanted * compute.training.nodes) // compute.training.nodes
    if at_once < wanted:
        session.say(
            f"{at_once} trials will run at a time, not {wanted}: {cluster.name} has at most {cluster.max_nodes} nodes "
            "(max_nodes in the configuration; tuning.concurrent_trials)."
        )


def _result(session: Session, job: str) -> Search | None:
    """Return what the best trial of a search found; None in a dry run.

    Raises:
        UserError: The job is no search, or no trial was completed.
    """
    folder = session.folder / job
    no_search = f"job {job} has no output {OUTPUT}: name a job that `{session.command('tune')}` started"
    try:
        session.backend.download_output(job, OUTPUT, folder)
    except UserError as error:
        raise UserError(f"{no_search} ({error})") from error
    if session.dry_run:
        return None
    found = sorted(folder.rglob("search.json"))
    if not found:
        raise UserError(no_search)
    # SDK v1 has the results of all trials, the others that of the best one.
    return Search.best_of(session.project, found)
