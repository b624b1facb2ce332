"""What baselines predict, with probabilities where a metric needs them."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from helpers import CLASSIFICATION, module, write_schema

baselines = module("core.baselines").baselines
metric = module("core.metrics").metric
Examples, Predictions = module("core.modality").Examples, module("core.predictions").Predictions
paired_bootstrap = module("core.promotion").paired_bootstrap
StepError = module("core.step").StepError


def examples(folder, *guesses):
    """Return 100 examples for each (guess of the baseline, share of them that is late)."""
    parts = []
    for guess, share in guesses:
        late = ["yes"] * round(100 * share) + ["no"] * round(100 * (1 - share))
        parts.append(pd.DataFrame({"guess": guess, "late": late}))
    return Examples(pd.concat(parts, ignore_index=True), folder)


def predictions(name, folder, train, test, baseline):
    modality = SimpleNamespace(baseline=baseline)
    return baselines([name], modality, train, test, write_schema(CLASSIFICATION, folder), {})[f"baseline {name}"]


def classes_alone(name, train, test, schema, training):
    return test.frame["guess"].to_numpy()


def with_probabilities(name, train, test, schema, training):
    return Predictions(test.frame["guess"].to_numpy(), np.tile([0.3, 0.7], (len(test.frame), 1)), ("yes", "no"))


def test_the_most_frequent_class_has_the_shares_of_all_classes(tmp_path):
    train = examples(tmp_path, ("no", 0.25), ("no", 0.25))
    found = predictions("most_frequent", tmp_path, train, examples(tmp_path, ("yes", 1.0)), None)
    assert set(found.values) == {"no"}
    assert found.classes == ("no", "yes")
    assert found.probabilities == pytest.approx(np.tile([0.75, 0.25], (100, 1)))


def test_a_baseline_of_classes_alone_has_the_shares_of_the_rows_for_which_it_predicts_the_same(tmp_path):
    train = examples(tmp_path, ("no", 0.1), ("yes", 0.8))
    found = predictions("own", tmp_path, train, examples(tmp_path, ("no", 0.5), ("yes", 0.5)), classes_alone)
    assert found.values.tolist() == ["no"] * 100 + ["yes"] * 100
    # Those of all rows, 45 % late, count as one row more.
    assert found.probabilities[[0, 100], 1] == pytest.approx([10.45 / 101, 80.45 / 101])


def test_a_class_that_the_baseline_predicts_for_no_training_row_has_the_shares_of_all_rows(tmp_path):
    found = predictions(
        "own", tmp_path, examples(tmp_path, ("no", 0.2)), examples(tmp_path, ("yes", 0.2)), classes_alone
    )
    assert found.probabilities == pytest.approx(np.tile([0.8, 0.2], (100, 1)))


def test_the_probabilities_that_a_baseline_has_stay_as_they_are(tmp_path):
    found = predictions("own", tmp_path, *[examples(tmp_path, ("no", 0.2))] * 2, with_probabilities)
    assert found.probabilities == pytest.approx(np.tile([0.3, 0.7], (100, 1)))
    assert found.classes == ("yes", "no")


@pytest.mark.parametrize("name", ["log_loss", "brier"])
def test_a_model_whose_probabilities_are_worse_than_those_of_a_baseline_does_not_beat_it(tmp_path, name):
    """As certain answers, a baseline that errs in a tenth of the rows would lose against it."""
    train = examples(tmp_path, ("no", 0.1), ("yes", 0.9))
    rival = predictions("own", tmp_path, train, train, classes_alone)
    timid = np.where(rival.values == "yes", 0.7, 0.3)
    challenger = Predictions(rival.values, np.column_stack([1 - timid, timid]), ("no", "yes"))
    actual = train.frame["late"].to_numpy()
    assert paired_bootstrap(metric(name, "classification"), actual, challenger, rival).upper < 0


def test_what_is_no_class_is_refused(tmp_path):
    train = examples(tmp_path, ("perhaps", 0.5))
    with pytest.raises(StepError, match="'own' has the value 'perhaps', and late has the classes no, yes"):
        predictions("own", tmp_path, train, train, classes_alone)
