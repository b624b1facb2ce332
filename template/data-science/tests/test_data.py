"""The data of this project fit its schema, and no held-out row is known from training."""

from conftest import MODALITY, PRODUCTION, RAW, SCHEMA, SETTINGS, module


def test_the_raw_data_fit_the_schema(schema):
    assert len(MODALITY.check(MODALITY.read(RAW, schema), schema).frame)


def test_the_production_data_have_what_the_model_needs(schema):
    """There may be none yet, and their outcome may not be known yet."""
    modality = module("core.modality")
    arrived = modality.arrived_examples(MODALITY, PRODUCTION, schema)
    if arrived is not None:
        assert len(modality.unlabelled_examples(MODALITY, arrived, schema).frame)


def test_the_settings_fit_the_schema():
    assert module("core.consistency").check_settings(MODALITY, SCHEMA, SETTINGS) == []


def test_what_belongs_together_is_on_one_side_of_the_split(schema, train, test):
    """The rows of a group, or with the same key; of a split by time, those of the same date."""
    rule = schema.split
    for columns in ([*rule.columns], [rule.group] if rule.group else []):
        sides = [set(map(tuple, each.frame[columns].astype(str).to_numpy())) for each in (train, test)]
        assert not columns or sides[0].isdisjoint(sides[1]), columns


def test_the_held_out_rows_are_the_newest_if_time_splits_them(schema, train, test):
    if schema.split.by == "time":
        [column] = schema.split.columns
        assert train.frame[column].max() < test.frame[column].min()


def test_no_held_out_row_is_a_copy_of_a_row_to_train_with(train, test):
    copies = MODALITY.alike(MODALITY.fingerprints(train), MODALITY.fingerprints(test))
    assert not copies.any()
