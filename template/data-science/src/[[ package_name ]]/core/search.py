"""The search of candidates with Optuna, which nothing else imports: it is not needed where Azure ML chooses them."""

import itertools
import threading
import warnings
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, PartialFixedSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from .metrics import Metric
from .step import StepError
from .trials import COMPLETE, FAILED, PRUNED, Trial
from .tuning import Candidate, Choice, Range, Tuning

_STATES = {COMPLETE: TrialState.COMPLETE, PRUNED: TrialState.PRUNED, FAILED: TrialState.FAIL}

# What a trial keeps in Optuna besides the values that were sampled, which lack those outside of the search space.
_CANDIDATE, _FOLDS, _SECONDS, _ERROR = "candidate", "folds", "seconds", "error"
_RULE = "early termination"

_SECONDS_IN_SILENCE = 2.0


class Study:
    """The candidates that were tried, and the next one; a folder keeps them.

    A trial that was killed has no end there, and counts as if it had not begun. Two processes may share a folder: each
    sees what the other one has finished.
    """

    def __init__(
        self, tuning: Tuning, seed: int, own: Candidate, metric: Metric, state: Path | None, identity: str
    ) -> None:
        """Begin a search, or go on with the one of this identity.

        Args:
            tuning: the settings of the search.
            seed: of the samples; those of a trial depend on its number too, so a search that goes on draws others.
            own: the candidate of the settings, which is the first one.
            metric: of the scores.
            state: the folder; without one nothing is kept.
            identity: of all that the scores depend on.

        Raises:
            StepError: what the folder keeps is damaged.
        """
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        self._tuning, self._seed, self._own = tuning, seed, own
        self._distributions = {name: _distribution(kind) for name, kind in tuning.space.items()}
        self._begun: dict[int, optuna.Trial] = {}
        storage: InMemoryStorage | JournalStorage = InMemoryStorage()
        path = None if state is None else state / f"{identity}.log"
        try:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                lock = _Lock(str(path))
                _drop_torn_line(path, lock)
                storage = JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
            self._study = optuna.create_study(
                storage=storage,
                study_name=identity,
                direction="maximize" if metric.higher_is_better else "minimize",
                load_if_exists=True,
            )
            self.trials()
        except (ValueError, KeyError, TypeError, AssertionError) as error:
            raise StepError(f"{path}: the state of the search is damaged; delete this file to start afresh") from error

    def trials(self) -> list[Trial]:
        """Return the trials that have ended; not those that another early termination than today's gave up."""
        ended = self._study.get_trials(deepcopy=False, states=tuple(_STATES.values()))
        rule = str(self._tuning.early_termination)
        same = [each for each in ended if each.state != TrialState.PRUNED or each.user_attrs.get(_RULE) == rule]
        return [_trial(each) for each in same if _CANDIDATE in each.user_attrs]

    def next(self) -> tuple[int, Candidate] | None:
        """Begin a trial, and return its number and its candidate; None if a grid has no other."""
        ended = self.trials()
        tried = [each.candidate for each in ended]
        if not any(each.candidate == self._own and each.state != PRUNED for each in ended):
            inside = self._own.keys() == self._tuning.space.keys() and all(
                value in self._tuning.space[name] for name, value in self._own.items()
            )
            return self._begin(self._own, sampled=inside)
        if self._tuning.sampling != "grid":
            return self._begin()
        left = [each for each in self._grid() if each not in tried]
        # Those that another process is at come last: it may have been killed.
        begun = [each.user_attrs.get(_CANDIDATE) for each in self._study.get_trials(deepcopy=False)]
        left.sort(key=lambda candidate: candidate in begun)
        return self._begin(left[0]) if left else None

    def end(self, trial: Trial) -> None:
        """Keep what came of a trial that `next` began."""
        begun = self._begun.pop(trial.number)
        for fold in range(1, len(trial.folds) + 1):
            begun.report(fmean(trial.folds[:fold]), fold)
        rule = str(self._tuning.early_termination)
        kept = ((_FOLDS, list(trial.folds)), (_SECONDS, trial.seconds), (_ERROR, trial.error), (_RULE, rule))
        for name, value in kept:
            begun.set_user_attr(name, value)
        self._study.tell(begun, trial.score, _STATES[trial.state])

    def _grid(self) -> list[Candidate]:
        space = self._tuning.space
        lists = [kind.values if isinstance(kind, Choice) else kind.ends for kind in space.values()]
        return [dict(zip(space, values, strict=True)) for values in itertools.product(*lists)]

    def _begin(self, fixed: Candidate | None = None, sampled: bool = True) -> tuple[int, Candidate]:
        """Begin a trial with a candidate, or with one that is sampled.

        Args:
            fixed: the candidate.
            sampled: whether it is a point of the search space, which Optuna may learn from.
        """
        space = self._distributions if sampled else {}
        if fixed is not None and sampled:
            values = {name: _value(kind, fixed[name]) for name, kind in self._tuning.space.items()}
            self._study.sampler = PartialFixedSampler(values, RandomSampler())
        else:
            self._study.sampler = self._sampler()
        trial = self._study.ask(space)
        candidate = fixed
        if candidate is None:
            candidate = {name: kind.value(trial.params[name]) for name, kind in self._tuning.space.items()}
        trial.set_user_attr(_CANDIDATE, candidate)
        self._begun[trial.number + 1] = trial
        return trial.number + 1, candidate

    def _sampler(self) -> BaseSampler:
        """Return what samples the next trial: with another seed than the one before, also where a search goes on."""
        begun = len(self._study.get_trials(deepcopy=False))
        seed = int(np.random.SeedSequence([self._seed, begun]).generate_state(1)[0])
        if self._tuning.sampling == "sobol":
            return _Sobol(self._distributions, self._seed)
        return TPESampler(seed=seed) if self._tuning.sampling == "bayesian" else RandomSampler(seed=seed)


class _Lock(JournalFileOpenLock):  # links, which Optuna would lock with by default, need rights on Windows
    """The lock of a file, which tells why nothing goes on while it waits."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = path

    def acquire(self) -> bool:
        timer = threading.Timer(_SECONDS_IN_SILENCE, _tell, (self._path, self.grace_period))
        timer.daemon = True
        timer.start()
        try:
            return super().acquire()
        finally:
            timer.cancel()


def _tell(path: str, seconds: int | None) -> None:
    why = f"another search writes there, or one was killed while it did; after {seconds} seconds this one goes on"
    print(f"waiting for {path}.lock: {why}", flush=True)


def _drop_torn_line(path: Path, lock: JournalFileOpenLock) -> None:
    """Cut off a last line that a full disk or a loss of power left incomplete: the next one would be joined to it."""
    if not path.is_file():
        return
    lock.acquire()
    try:
        content = path.read_bytes()
        if not content.endswith(b"\n"):
            with path.open("r+b") as file:
                file.truncate(content.rfind(b"\n") + 1)
    finally:
        lock.release()


class _Sobol(QMCSampler):
    """The sequence over all of the search space: Optuna's own takes the space from the first trial, which may lack it.

    How far the sequence is, the study knows.
    """

    def __init__(self, space: Mapping[str, BaseDistribution], seed: int) -> None:
        super().__init__(scramble=True, seed=seed)
        self._space = dict(space)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return self._space


def _distribution(kind: Range | Choice) -> BaseDistribution:
    if isinstance(kind, Choice):
        return CategoricalDistribution(kind.texts)
    if kind.is_integer:
        return IntDistribution(int(kind.low), int(kind.high), log=kind.log)
    return FloatDistribution(kind.low, kind.high, log=kind.log)


def _value(kind: Range | Choice, value: Any) -> Any:
    """Return a value as Optuna knows it."""
    return kind.texts[kind.values.index(kind.value(value))] if isinstance(kind, Choice) else value


def _trial(found: FrozenTrial) -> Trial:
    state = next(name for name, state in _STATES.items() if state == found.state)
    known: Mapping[str, Any] = found.user_attrs
    return Trial(
        found.number + 1,
        known[_CANDIDATE],
        state,
        known.get(_FOLDS, ()),
        known.get(_SECONDS, 0.0),
        known.get(_ERROR, ""),
    )
