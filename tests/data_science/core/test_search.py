"""Which candidates a search takes, and what it keeps of them; Optuna samples."""

import threading
from statistics import median

import pytest
from helpers import module

Study = module("core.search").Study
Tuning = module("core.tuning").Tuning
trials = module("core.trials")
StepError = module("core.step").StepError
MAE, R2 = (module("core.metrics").metric(name, "regression") for name in ("mae", "r2"))

SPACE = {"rate": {"from": 0.0, "to": 1.0}, "width": {"from": 1, "to": 9}, "order": ["first", "last", None]}
OWN = {"rate": 0.9, "width": 3, "order": "last"}


def study(state=None, sampling="random", space=SPACE, own=OWN, seed=13, metric=MAE):
    section = Tuning.from_settings({"tuning": {"sampling": sampling, "space": space}})
    return Study(section, seed, own, metric, state, "same")


def go_on(searched, count):
    """Try so many candidates more, whose score is how far their rate is from 0.3."""
    found = []
    for _ in range(count):
        number, candidate = searched.next()
        found.append(candidate)
        searched.end(trials.Trial(number, candidate, "complete", [abs(candidate.get("rate", 0) - 0.3)]))
    return found


@pytest.mark.parametrize("sampling", ["random", "sobol", "bayesian"])
def test_the_same_seed_samples_the_same_candidates_within_the_space_and_another_one_others(sampling):
    first, again, other = (go_on(study(sampling=sampling, seed=seed), 14) for seed in (1, 1, 2))
    assert first == again
    assert first[0] == other[0] == OWN
    assert len({each["rate"] for each in first}) == 14
    assert not {each["rate"] for each in first[1:]} & {each["rate"] for each in other}
    assert all(0 <= each["rate"] <= 1 and type(each["width"]) is int and 1 <= each["width"] <= 9 for each in first)
    assert {each["order"] for each in first} == {"first", "last", None}


@pytest.mark.parametrize("sampling", ["random", "sobol", "bayesian"])
def test_settings_outside_of_the_space_are_the_first_candidate_all_the_same(sampling):
    own = {"rate": 7.5}
    found = go_on(study(sampling=sampling, own=own), 12)
    assert found[0] == own
    assert len({each["rate"] for each in found}) == 12
    assert all(each.keys() == SPACE.keys() for each in found[1:])


def test_bayesian_sampling_looks_where_the_scores_are_good():
    for metric, best in ((MAE, 0.3), (R2, 0.9)):
        random, bayesian = (go_on(study(sampling=each, metric=metric), 40)[20:] for each in ("random", "bayesian"))
        far, near = (median(abs(each["rate"] - best) for each in found) for found in (random, bayesian))
        assert near < 0.6 * far


def test_sobol_fills_the_space_evenly():
    rates = [each["rate"] for each in go_on(study(sampling="sobol"), 17)[1:]]
    assert sorted(int(8 * rate) for rate in rates) == sorted(2 * list(range(8)))


def test_a_grid_tries_each_combination_once():
    space = {"rate": [0.1, 0.9], "width": [3, 4], "order": ["last", None]}
    searched = study(sampling="grid", space=space)
    found = go_on(searched, 8)
    assert found[0] == OWN
    assert len({str(each) for each in found}) == 8
    assert searched.next() is None


@pytest.mark.parametrize("sampling", ["random", "sobol", "grid", "bayesian"])
def test_a_search_that_goes_on_is_the_one_that_was_never_stopped(tmp_path, sampling):
    space = {"rate": [0.1, 0.2, 0.4, 0.35]} if sampling == "grid" else SPACE
    own = {"rate": 0.2} if sampling == "grid" else OWN
    given = {"sampling": sampling, "space": space, "own": own}
    halves = [*go_on(study(tmp_path, **given), 2), *go_on(study(tmp_path, **given), 2)]
    assert halves == go_on(study(**given), 4)
    assert [each.candidate for each in study(tmp_path, **given).trials()] == halves


def test_a_trial_that_was_killed_leaves_a_gap_and_its_candidate_of_a_grid_is_tried(tmp_path):
    given = {"state": tmp_path, "sampling": "grid", "space": {"rate": [0.9, 0.1, 0.2]}, "own": {"rate": 0.9}}
    killed = study(**given)
    go_on(killed, 1)
    assert killed.next() == (2, {"rate": 0.1})
    assert go_on(study(**given), 2) == [{"rate": 0.2}, {"rate": 0.1}]
    assert [each.number for each in study(**given).trials()] == [1, 3, 4]


def test_a_candidate_that_another_early_termination_gave_up_counts_as_not_tried(tmp_path):
    def grid(kind):
        section = {"sampling": "grid", "space": {"rate": [0.9, 0.1]}, "early_termination": kind}
        return Study(Tuning.from_settings({"tuning": section}), 13, {"rate": 0.9}, MAE, tmp_path, "same")

    searched = grid("median_stopping")
    go_on(searched, 1)
    number, candidate = searched.next()
    searched.end(trials.Trial(number, candidate, "pruned", [3.0]))
    assert grid("median_stopping").next() is None
    assert [each.candidate for each in grid("none").trials()] == [{"rate": 0.9}]
    assert grid("none").next() == (3, {"rate": 0.1})


def test_a_search_that_waits_for_a_lock_says_what_it_waits_for(tmp_path, monkeypatch, capsys):
    core, told = module("core.search"), threading.Event()
    tell, acquire = core._tell, core.JournalFileOpenLock.acquire

    def tell_once(*words):
        if not told.is_set():
            tell(*words)
        told.set()

    monkeypatch.setattr(core, "_SECONDS_IN_SILENCE", 0.0)
    monkeypatch.setattr(core, "_tell", tell_once)
    monkeypatch.setattr(core.JournalFileOpenLock, "acquire", lambda self: told.wait(60) and acquire(self))
    study(tmp_path)
    expected = f"waiting for {tmp_path / 'same.log'}.lock: another search writes there, or one was killed while it did"
    assert capsys.readouterr().out.startswith(expected)


def test_two_searches_at_once_share_what_they_find(tmp_path):
    first, second = study(tmp_path), study(tmp_path)
    # Neither can know whether the other one will end, so both score the settings.
    for expected in ([OWN, OWN], None):
        begun = [(each, *each.next()) for each in (first, second)]
        assert expected in (None, [candidate for _, _, candidate in begun])
        for searched, number, candidate in reversed(begun):
            searched.end(trials.Trial(number, candidate, "complete", [1.0]))
    assert [each.number for each in first.trials()] == [each.number for each in second.trials()] == [1, 2, 3, 4]
    assert len({each.candidate["rate"] for each in first.trials()}) == 3


def test_what_came_of_a_trial_is_kept(tmp_path):
    searched = study(tmp_path)
    for state, folds, error in (("complete", [1.0, 2.0], ""), ("pruned", [3.0], ""), ("failed", [], "too large")):
        number, candidate = searched.next()
        searched.end(trials.Trial(number, candidate, state, folds, 1.5, error))
    found = study(tmp_path).trials()
    assert [(each.state, each.score, each.folds, each.error) for each in found] == [
        ("complete", 1.5, [1.0, 2.0], ""),
        ("pruned", None, [3.0], ""),
        ("failed", None, [], "too large"),
    ]
    assert found[0].candidate == OWN


def search(*found, metric=MAE, own=None):
    made = [trials.Trial(place, {"rate": rate}, state, folds) for place, (rate, state, folds) in enumerate(found, 1)]
    return trials.Search(metric, own or {"rate": 0.9}, made, 0.25, 0.95)


def test_of_equal_scores_the_settings_are_the_best():
    tied = search((0.1, "complete", [1.0, 1.0]), (0.9, "complete", [1.0, 1.0]))
    assert (tied.best.number, tied.improved, tied.gain, tied.significant) == (2, False, None, None)
    better = search((0.1, "complete", [0.5, 1.0]), (0.9, "complete", [1.0, 1.0]), (0.2, "pruned", [0.1]))
    assert (better.best.number, better.improved) == (1, True)
    assert search((0.1, "complete", [0.5]), (0.9, "complete", [1.0]), metric=R2).improved is False
    assert (search((0.1, "pruned", [0.5])).best, search().improved) == (None, False)


def test_the_gain_is_significant_if_the_folds_agree_and_unknown_with_one():
    old = (0.9, "complete", [2.0, 2.1, 2.2, 1.9, 2.0])
    agree = search(old, (0.1, "complete", [1.5, 1.6, 1.8, 1.4, 1.4]))
    differ = search(old, (0.1, "complete", [0.1, 3.6, 1.8, 3.4, 0.4]))
    assert (agree.significant, differ.significant) == (True, False)
    assert agree.gain.gain == pytest.approx(0.5)
    assert agree.gain.lower < 0.5 < agree.gain.upper
    alone = search((0.9, "complete", [2.0]), (0.1, "complete", [1.0]))
    assert (alone.improved, alone.gain, alone.significant) == (True, None, None)


def test_the_interval_of_the_gain_is_wider_than_that_of_independent_folds():
    # By hand: differences 1, 2, 3 have variance 1, so the error is the root of 1/3 + 1/2; t with 2 degrees is 4.3027.
    found = trials.gain_interval(R2, [1, 2, 3], [0, 0, 0], 0.5, 0.95)
    assert (found.gain, found.upper - 2) == (2, pytest.approx(4.3027 * (5 / 6) ** 0.5, rel=1e-4))
