"""The target that a draft guesses for texts: a column with few values, or the question which one it is."""

import pandas as pd
import pytest
import yaml
from helpers import module
from samples import SETTINGS, table

draft, StepError, MODALITY = module("core.draft").draft, module("core.step").StepError, module("modality").MODALITY


def drafted(tmp_path, frame: pd.DataFrame, **options) -> dict:
    path = tmp_path / "reviews.csv"
    frame.to_csv(path, index=False)
    return yaml.safe_load(draft(MODALITY, [path], tmp_path / "schema.yml", SETTINGS, **options).schema)


@pytest.fixture
def votes() -> pd.DataFrame:
    """Texts with a label, and with a column of many values behind it."""
    return table().drop(columns="channel").assign(votes=[number * 7 % 60 for number in range(120)])


def test_a_column_with_few_values_is_the_target_wherever_it_is(tmp_path, votes):
    assert drafted(tmp_path, votes)["target"] == "place"


def test_two_columns_with_few_values_are_a_question(tmp_path):
    with pytest.raises(StepError, match=r"no column is clearly the target: name it with --target; .* place, channel"):
        drafted(tmp_path, table())
    assert drafted(tmp_path, table(), target="place")["target"] == "place"


def test_the_only_column_that_could_be_a_label_is_the_target_with_many_values_too(tmp_path, votes):
    assert drafted(tmp_path, votes.drop(columns="place"))["target"] == "votes"
