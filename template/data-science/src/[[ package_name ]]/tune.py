"""Look for better hyperparameters, by scores on parts of the training rows; the held-out rows are never seen."""

import argparse
import contextlib
import hashlib
import io
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import mlflow

from .core import pipeline_run
from .core.consistency import load_training
from .core.folds import folds
from .core.metrics import metric
from .core.modality import load_examples
from .core.panels import number
from .core.schema import Schema
from .core.settings import load_settings, section
from .core.step import StepError, is_main_process, output_folder, run, step_run
from .core.trials import COMPLETE, FAILED, PRUNED, Judge, Search, Trial
from .core.tuning import NEVER, Candidate, Tuning, flat, primary_metric, problems, words
from .modality import MODALITY
from .report.documents import write_json
from .report.search import build

# A trial that takes longer says after each fold how it is doing.
_LONG = 20.0


def parser() -> argparse.ArgumentParser:
    """Return the arguments of this step."""
    arguments = argparse.ArgumentParser(prog="tune", description=__doc__)
    arguments.add_argument("--train-data", type=Path, required=True, help="folder with the training rows")
    arguments.add_argument("--schema", type=Path, required=True, help="data/schema.yml")
    arguments.add_argument("--settings", type=Path, required=True, help="config/model.yml")
    arguments.add_argument("--overrides", default="", help='"tuning.trials=50 training.seed=7"')
    arguments.add_argument("--candidate", help='score these hyperparameters only: "C=3.2 augment.rotation=12"')
    arguments.add_argument("--state", type=Path, help="folder that keeps a search, to go on with it after a stop")
    arguments.add_argument("--search", type=Path, required=True, help="output folder: search.json, report.html")
    return arguments


def tune(arguments: argparse.Namespace) -> None:
    """Score one candidate, as a sweep of Azure ML asks for it, or search for the best one.

    Raises:
        StepError: data or settings are wrong, or no candidate can be scored.
    """
    schema = Schema.load(arguments.schema, MODALITY.tasks)
    settings = load_settings(arguments.settings, arguments.overrides)
    training = load_training(MODALITY, schema, arguments.settings, arguments.overrides)
    tuning = Tuning.from_settings(settings)
    if wrong := problems(settings, schema, MODALITY.check_hyperparameters):
        raise StepError("; ".join(wrong))
    chosen = metric(str(section(settings, "evaluation").get("metric")), schema.task)
    confidence = float(section(settings, "promotion").get("confidence", 0.95))
    candidate = tuning.read_candidate(arguments.candidate) if arguments.candidate else None
    if candidate is None and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise StepError(
            "tune: several processes cannot search together: start it without torchrun; on Azure ML "
            "tuning.concurrent_trials tries several candidates at once"
        )
    examples = load_examples(MODALITY, arguments.train_data, schema)
    parts = folds(MODALITY, examples, schema, tuning.folds)
    judge = Judge(MODALITY, schema, training, examples, parts, chosen)
    if candidate is None:
        _search(arguments, tuning, judge, confidence)
    else:
        _score(arguments, tuning, judge, candidate, confidence)


def _score(
    arguments: argparse.Namespace, tuning: Tuning, judge: Judge, candidate: Candidate, confidence: float
) -> None:
    """Score one candidate; of several processes that train it together, the first one alone logs and writes."""
    if not is_main_process():
        for _ in judge.scores(candidate):
            pass
        return
    print(f"scoring {words(candidate)} on {_amount(judge)}", flush=True)
    started, found = time.monotonic(), []
    with step_run("tune"):
        mlflow.log_params(_parameters(judge, candidate))
        for score in judge.scores(candidate):
            found.append(score)
            # Azure ML may take the best logged value for that of the trial, and a first fold may be a lucky one.
            if tuning.early_termination.type != NEVER or len(found) == len(judge.folds):
                _log_fold(judge, found)
            print(f"fold {len(found)} of {len(judge.folds)}: {judge.metric.name} {number(score)}", flush=True)
        trial = Trial(1, candidate, COMPLETE, found, time.monotonic() - started)
        _log_end(judge, trial)
        own = tuning.candidate(judge.training["hyperparameters"])
        search = Search(judge.metric, own, [trial], judge.share, confidence)
        document = search.document(judge.training["hyperparameters"])
        with output_folder(arguments.search) as folder:
            write_json(document | {"settings": None, "improved": None}, folder / "search.json")
    print(f"{judge.metric.name} {number(trial.score)}: {words(candidate)}", flush=True)


def _search(arguments: argparse.Namespace, tuning: Tuning, judge: Judge, confidence: float) -> None:
    """Try candidates, each in a run of its own, until there are enough or the time is up."""
    try:
        from .core.search import Study  # Optuna, which a single candidate does not need
    except ImportError as error:
        raise StepError(f"tune: a whole search needs Optuna ({error}): run `uv sync`") from error
    hyperparameters = judge.training["hyperparameters"]
    own = tuning.candidate(hyperparameters)
    identity = _identity(arguments, tuning, judge)
    study = Study(tuning, judge.training["seed"], own, judge.metric, arguments.state, identity)

    def found() -> Search:
        return Search(judge.metric, own, study.trials(), judge.share, confidence)

    print(_plan(tuning, judge), flush=True)
    if before := study.trials():
        print(f"going on after {len(before)} candidates of this search: {_best(found())}", flush=True)
    started = time.monotonic()
    goal = "maximize" if judge.metric.higher_is_better else "minimize"
    pipeline_run.log(tags={"search": judge.metric.name, "goal": goal})
    with step_run("tune"):
        mlflow.log_params({"folds": tuning.folds, "sampling": tuning.sampling, "space": str(_space(tuning))[:500]})
        while not (so_far := found()).settings_tried or len(so_far.trials) < tuning.trials:
            minutes = (time.monotonic() - started) / 60
            if so_far.settings_tried and tuning.minutes is not None and minutes >= tuning.minutes:
                again = "the same search goes on next time"
                print(f"stopped after {tuning.minutes:g} minutes (tuning.minutes); {again}", flush=True)
                break
            begun = study.next()
            if begun is None:
                print("the grid has no other candidate", flush=True)
                break
            trial = _try(*begun, tuning, judge, so_far)
            study.end(trial)
            print(_line(trial, found(), own), flush=True)
        search = found()
        if search.best is None:
            failed = next((each for each in search.trials if each.state == FAILED), None)
            why = f"{words(failed.candidate)}: {failed.error}" if failed else "none was tried"
            raise StepError(f"tune: no candidate of {len(search.trials)} could be scored: {why}")
        document = search.document(hyperparameters)
        best = {primary_metric(judge.metric.name): search.best.score or 0.0}
        mlflow.log_metrics(best)
        pipeline_run.log(metrics=best)
        mlflow.set_tag("improved", str(search.improved).lower())
        with output_folder(arguments.search) as folder:
            write_json(document, folder / "search.json")
            page = build(search, tuning, judge.schema, len(judge.examples.frame))
            (folder / "report.html").write_text(page, encoding="utf-8")
            mlflow.log_artifact(str(folder / "report.html"))
    print(f"report: {arguments.search / 'report.html'}")
    print(_summary(search), flush=True)


def _try(place: int, candidate: Candidate, tuning: Tuning, judge: Judge, so_far: Search) -> Trial:
    """Score a candidate in a run of its own; one that fails, or has no prospect, is a result too."""
    started, found, state, error = time.monotonic(), [], COMPLETE, ""
    try:
        with mlflow.start_run(run_name=f"trial {place}", nested=True):
            mlflow.log_params(_parameters(judge, candidate))
            scores = judge.scores(candidate)
            for fold in range(1, len(judge.folds) + 1):
                # What a training prints, a line for each epoch, would hide the lines of the trials.
                with contextlib.redirect_stdout(io.StringIO()):
                    found.append(next(scores))
                _log_fold(judge, found)
                seconds, mean = time.monotonic() - started, fmean(found)
                if fold == len(judge.folds):
                    break
                if candidate != so_far.own and tuning.early_termination.gives_up(
                    judge.metric, fold, mean, so_far.running_means(fold)
                ):
                    state = PRUNED
                    break
                if seconds > _LONG:
                    progress = f"fold {fold} of {len(judge.folds)}, {judge.metric.name} {number(mean)} so far"
                    print(f"  trial {place}: {progress}, {seconds:.0f} s", flush=True)
            trial = Trial(place, candidate, state, found, time.monotonic() - started)
            mlflow.set_tag("state", state)
            _log_end(judge, trial)
            return trial
    except OSError:
        raise
    # Any library may refuse a candidate in its own way; the others should be tried all the same.
    except Exception as problem:
        error = f"{'' if isinstance(problem, StepError) else f'{type(problem).__name__}: '}{problem}"
        return Trial(place, candidate, FAILED, found, time.monotonic() - started, " ".join(error.split()))


def _parameters(judge: Judge, candidate: Candidate) -> dict[str, Any]:
    return {**flat(judge.training["hyperparameters"]), **candidate}


def _log_fold(judge: Judge, found: Sequence[float]) -> None:
    mlflow.log_metric(primary_metric(judge.metric.name), fmean(found), step=len(found))


def _log_end(judge: Judge, trial: Trial) -> None:
    metrics = {"tune_seconds": trial.seconds}
    if trial.sd is not None:
        metrics[f"{primary_metric(judge.metric.name)}_sd"] = trial.sd
    mlflow.log_metrics(metrics)


def _identity(arguments: argparse.Namespace, tuning: Tuning, judge: Judge) -> str:
    """Return the hash of all that scores depend on: rows, schema, code, settings; not of how many are looked for."""
    total = hashlib.sha256()
    package = Path(__file__).parent
    files = [path for path in arguments.train_data.rglob("*") if path.is_file()]
    for path in [*sorted(files), arguments.schema, *pipeline_run.code_files(package)]:
        with path.open("rb") as content:
            total.update(hashlib.file_digest(content, "sha256").digest())
    hyperparameters = flat(judge.training["hyperparameters"])
    fixed = {name: value for name, value in hyperparameters.items() if name not in tuning.space}
    training = {**judge.training, "hyperparameters": fixed}
    known = (training, judge.metric.name, tuning.folds, tuning.sampling, _space(tuning))
    total.update(json.dumps(known, sort_keys=True, default=str).encode())
    return total.hexdigest()[:16]


def _space(tuning: Tuning) -> dict[str, str]:
    return {name: str(kind) for name, kind in tuning.space.items()}


# --- what is printed


def _amount(judge: Judge) -> str:
    count = len(judge.folds)
    parts = f"{count} folds" if count > 1 else f"a part of {judge.folds[0].validation.sum():,}"
    return f"{parts} of {len(judge.examples.frame):,} training rows"


def _plan(tuning: Tuning, judge: Judge) -> str:
    limits = f"{tuning.trials} candidates" + (f" or {tuning.minutes:g} minutes" if tuning.minutes is not None else "")
    better = "higher" if judge.metric.higher_is_better else "lower"
    searched = "; ".join(f"{name} {kind}" for name, kind in tuning.space.items())
    return (
        f"searching, by {tuning.sampling} sampling, {limits} on {_amount(judge)}; {judge.metric.name}, {better} is "
        f"better; {searched}"
    )


def _line(trial: Trial, search: Search, own: Candidate) -> str:
    name, folds = search.metric.name, f"after fold {len(trial.folds)}"
    if trial.state == FAILED:
        found = f"failed: {trial.error}"
    elif trial.state == PRUNED:
        found = f"{name} {number(fmean(trial.folds))}, given up {folds}"
    else:
        found = f"{name} {number(trial.score)}"
    values = {key: value for key, value in trial.candidate.items() if key not in own or own[key] != value}
    what = "the settings" if trial.candidate == own else words(values)
    return f"trial {trial.number}: {found}; best {_best(search)}; {trial.seconds:.1f} s; {what}"


def _best(search: Search) -> str:
    return "none yet" if search.best is None else f"{number(search.best.score)} (trial {search.best.number})"


def _summary(search: Search) -> str:
    name, best, own = search.metric.name, search.best, search.settings
    assert best is not None
    if not search.improved:
        return f"{name} {number(best.score)}: no candidate of {len(search.trials)} is better than the settings"
    before = "the settings could not be scored" if own is None else f"{number(own.score)} of the settings"
    chance = {
        None: "",
        True: ", statistically significant over the folds",
        False: ", not statistically significant over the folds",
    }[search.significant]
    return f"{name} {number(best.score)} after {before}{chance}: {words(best.candidate)}"


def main(argv: list[str] | None = None) -> None:
    """Run this step from the command line."""
    run(tune, parser(), argv, MODALITY.threads)


if __name__ == "__main__":
    main()
