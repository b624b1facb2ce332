"""Parts of the training rows that score candidates: nothing on both sides, later rows by time, rare classes."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers import module

folds_module = module("core.folds")
Examples = module("core.modality").Examples
SplitRule = module("core.split").SplitRule
StepError = module("core.step").StepError


def modality(alike=None):
    """Know each row by its column `hour`; a row is a copy if `alike` says so."""
    return SimpleNamespace(
        fingerprints=lambda examples: examples.frame[["hour"]].to_numpy(),
        alike=alike or (lambda known, new: np.zeros(len(new), dtype=bool)),
    )


def frame(rows=300, **columns):
    delay = np.random.default_rng(0).normal(size=rows)
    return pd.DataFrame({"hour": range(rows), "carrier": [f"{n % 7}" for n in range(rows)], "delay": delay}).assign(
        **columns
    )


def folds(rows, rule, count, target="delay", task="regression", alike=None):
    schema = SimpleNamespace(split=rule, target=target, task=task)
    return folds_module.folds(modality(alike), Examples(rows, Path()), schema, count)


KEY = SplitRule("hash", ("hour",))


def test_each_row_scores_in_one_fold_and_trains_in_the_others():
    found = folds(frame(), KEY, 5)
    assert np.sum([fold.validation for fold in found], axis=0).tolist() == [1] * 300
    assert all(not (fold.train & fold.validation).any() and (fold.train | fold.validation).all() for fold in found)
    assert [int(fold.validation.sum()) for fold in found] == [60] * 5


def test_one_fold_scores_on_a_fifth():
    [fold] = folds(frame(), KEY, 1)
    assert (fold.train.sum(), fold.validation.sum()) == (240, 60)


def test_the_folds_are_another_draw_than_the_held_out_rows():
    rows = frame(1000)
    held_out = module("core.split").hash_shares(rows, KEY.columns, KEY.salt) < 0.2
    assert all(0.1 < held_out[fold.validation].mean() < 0.3 for fold in folds(rows, KEY, 5))


def test_groups_and_copies_are_on_one_side():
    grouped = frame(day=[f"{n // 10}" for n in range(300)])
    for fold in folds(grouped, SplitRule("hash", ("day",), group="day"), 4):
        assert not set(grouped["day"][fold.train]) & set(grouped["day"][fold.validation])
    copies = pd.concat([frame(), frame()], ignore_index=True)
    for fold in folds(copies, KEY, 4):
        assert not set(copies["hour"][fold.train]) & set(copies["hour"][fold.validation])


def test_each_fold_has_its_share_of_each_class():
    late = ["rare"] * 10 + ["often"] * 290
    for fold in folds(frame(late=late), KEY, 5, "late", "classification"):
        assert (np.array(late)[fold.validation] == "rare").sum() == 2


def test_the_only_row_of_a_class_always_trains():
    late = ["once"] + ["no", "yes"] * 150
    rows = frame(301, late=late)
    assert all(fold.train[0] for fold in folds(rows, KEY, 5, "late", "classification"))


def test_near_duplicates_of_rows_that_train_score_nothing(capsys):
    def alike(known, new):
        return new[:, 0] < 10

    found = folds(frame(), KEY, 3, alike=alike)
    scored = np.sum([fold.validation for fold in found], axis=0)
    assert scored.tolist() == [0] * 10 + [1] * 290
    assert "10 near duplicates of rows that train score nothing" in capsys.readouterr().out


def test_by_time_later_rows_score_and_no_date_is_cut():
    rows = frame(date=[f"2013-01-{1 + n % 12:02}" for n in range(300)])
    found = folds(rows, SplitRule("time", ("date",)), 3)
    for fold in found:
        assert rows["date"][fold.train].max() < rows["date"][fold.validation].min()
    assert [int(fold.validation.sum()) for fold in found] == [75, 75, 75]
    assert [int(fold.train.sum()) for fold in found] == [75, 150, 225]
    [alone] = folds(rows, SplitRule("time", ("date",)), 1)
    assert 0.1 < alone.validation.mean() < 0.3


def test_by_time_a_group_does_not_train_and_score():
    rows = frame(date=[n // 10 for n in range(300)], person=[f"{n // 25}" for n in range(300)])
    for fold in folds(rows, SplitRule("time", ("date",), group="person"), 3):
        assert not set(rows["person"][fold.train]) & set(rows["person"][fold.validation])


@pytest.mark.parametrize(
    ("rows", "rule", "complaint"),
    [
        (frame(day=["a", "b", "c"] * 100), SplitRule("hash", ("day",), group="day"), "3 groups of day are too few for"),
        (frame(300).assign(hour=1), KEY, "1 different rows are too few for"),
        (frame(day=[1, 2, 3] * 100), SplitRule("time", ("day",)), "3 dates in day, .* are too few for 5"),
        (frame(delay=1.0), KEY, "delay is the same in all rows that train in fold 1 of 5"),
    ],
)
def test_rows_that_do_not_suffice_are_refused_with_the_remedy(rows, rule, complaint):
    with pytest.raises(StepError, match=rf"tuning\.folds: {complaint}.*choose fewer"):
        folds(rows, rule, 5)


def test_a_fold_of_copies_alone_is_refused():
    with pytest.raises(StepError, match=r"tuning\.folds: fold 1 of 3 has no row to score"):
        folds(frame(), KEY, 3, alike=lambda known, new: np.ones(len(new), dtype=bool))
