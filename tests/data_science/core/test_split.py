"""Which rows are held out: a property of each row, whatever else is in the data."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import CLASSIFICATION, REGRESSION, module, write_schema
from hypothesis import given
from hypothesis import strategies as st

split_module = module("core.split")
Split, SplitRule, hash_shares, split = (
    split_module.Split,
    split_module.SplitRule,
    split_module.hash_shares,
    split_module.split,
)
StepError = module("core.step").StepError

RULE = SplitRule("hash", ("carrier", "hour"))
CELLS = st.tuples(st.sampled_from(["AA", "A\0A", "A\0B", "", None]), st.integers(-3, 1000))
TABLES = st.lists(CELLS, min_size=1, max_size=60)


def table(rows, columns=("carrier", "hour")):
    return pd.DataFrame(rows, columns=list(columns))


def many(rows=400):
    return pd.DataFrame({"carrier": [f"{number % 7}" for number in range(rows)], "hour": range(rows)})


def sides(frame, test_size=0.3, rule=RULE):
    """Return the side of each distinct key."""
    held_out = hash_shares(frame, rule.columns, rule.salt) < test_size
    keys = frame[list(rule.columns)].itertuples(index=False, name=None)
    return dict(zip([tuple(map(str, key)) for key in keys], held_out.tolist(), strict=True))


@given(rows=TABLES, more=TABLES)
def test_added_rows_move_no_row(rows, more):
    before, after = sides(table(rows)), sides(table([*more, *rows]))
    assert before.items() <= after.items()


@given(rows=TABLES, data=st.data())
def test_removed_and_reordered_rows_move_no_row(rows, data):
    kept = data.draw(st.permutations(rows))[: max(1, len(rows) // 2)]
    assert sides(table(kept)).items() <= sides(table(rows)).items()


@given(rows=TABLES)
def test_the_type_in_memory_moves_no_row(rows):
    frame = table(rows)
    floats = frame.assign(hour=frame["hour"].astype(float), carrier=frame["carrier"].astype("string"))
    assert hash_shares(frame, RULE.columns, "x").tolist() == hash_shares(floats, RULE.columns, "x").tolist()


@given(values=st.lists(st.integers(-(2**52), 2**52), min_size=1))
def test_an_integer_as_a_number_and_as_text_is_the_same_key(values):
    forms = [pd.Series(values), pd.Series(values, dtype=float), pd.Series([str(each) for each in values])]
    assert len({tuple(hash_shares(each.to_frame("id"), ("id",), "x")) for each in forms}) == 1


def test_a_champion_whose_key_had_another_type_is_not_compared():
    assert record().difference(record(types=("category",))).startswith("its data were split by a hash of id (category)")


def test_fewer_than_5_held_out_groups_are_refused():
    frame = many(400).assign(month=[number // 50 for number in range(400)])
    with pytest.raises(StepError, match="groups of month would be held out, and fewer than 5 cannot judge a model"):
        split(frame, SplitRule("time", ("month",), group="month"), 0.25)


def test_copies_of_a_row_are_one_unit_of_the_bootstrap():
    frame = pd.concat([many(30)] * 2, ignore_index=True)
    units = split_module.bootstrap_units(frame, RULE)
    assert units[:30].tolist() == units[30:].tolist()
    assert len(set(units)) == 30
    assert split_module.bootstrap_units(frame, SplitRule("time", ("hour",))) is None


@given(rows=TABLES)
def test_equal_keys_are_on_the_same_side(rows):
    frame = table([*rows, *rows])
    shares = hash_shares(frame, RULE.columns, "x")
    assert shares[: len(rows)].tolist() == shares[len(rows) :].tolist()


@given(first=st.floats(0.01, 0.99), second=st.floats(0.01, 0.99))
def test_a_smaller_share_holds_out_a_part_of_the_same_rows(first, second):
    frame = many(100)
    small, large = (sides(frame, share) for share in sorted((first, second)))
    assert all(large[key] for key, held_out in small.items() if held_out)


def test_the_hash_of_a_key_is_the_same_in_each_release():
    # A change of these numbers would put rows of every project on another side.
    frame = pd.DataFrame({"carrier": ["AA", None], "hour": [7, -0.0], "late": [True, False]})
    shares = hash_shares(frame, ("carrier", "hour", "late"), "mlops")
    assert shares.tolist() == [0.3622798556629402, 0.32671880040773654]


def test_the_share_of_held_out_rows_is_close_to_the_setting():
    train, test, made = split(many(4000), RULE, 0.2)
    assert len(test) / 4000 == pytest.approx(0.2, abs=0.03)
    assert len(train) + len(test) == 4000
    assert made == Split("hash", ("carrier", "hour"), (), "mlops", 0.2)


def test_another_salt_is_another_draw():
    frame = many()
    first, second = (split(frame, replace(RULE, salt=salt), 0.2)[1] for salt in ("a", "b"))
    assert set(first["hour"]) != set(second["hour"])


def test_the_rows_of_a_group_are_on_one_side():
    frame = many(700).assign(day=[f"day {number // 10}" for number in range(700)])
    train, test, _ = split(frame, SplitRule("hash", ("day",), group="day"), 0.2)
    assert not set(train["day"]) & set(test["day"])
    assert len(test)


def test_by_time_the_newest_rows_are_held_out_and_no_date_is_cut():
    frame = many(300).assign(date=[f"2013-01-{1 + number % 10:02}" for number in range(300)])
    train, test, made = split(frame, SplitRule("time", ("date",)), 0.2)
    assert made.cut == "2013-01-09"
    assert train["date"].max() < "2013-01-09" <= test["date"].min()
    assert len(test) == 60


def test_by_time_a_group_on_both_sides_is_refused():
    frame = many(300).assign(date=[f"2013-01-{1 + number % 10:02}" for number in range(300)], person="always")
    with pytest.raises(StepError, match=r"split.group: 1 groups \(such as always\) have rows before and after 2013"):
        split(frame, SplitRule("time", ("date",), group="person"), 0.2)


# Small data


def test_too_few_rows_are_refused():
    with pytest.raises(StepError, match="49 usable rows are too few; give at least 50"):
        split(many(49), RULE, 0.2)


def rare(rows=150, of_rare=5):
    classes = ["rare"] * of_rare + ["usual"] * (rows - of_rare)
    return many(rows).assign(kind=classes)


@given(salt=st.integers(0, 60))
def test_each_class_of_150_rows_has_examples_on_both_sides_or_the_split_is_refused_with_a_salt_that_does(salt):
    frame, rule = rare(), replace(RULE, salt=f"draw {salt}")
    complaint = ""
    try:
        train, test, _ = split(frame, rule, 0.2, "kind")
    except StepError as error:
        complaint = str(error)
        other = complaint.split('salt: "')[1].split('"')[0]
        train, test, _ = split(frame, replace(rule, salt=other), 0.2, "kind")
    assert re.match("|class rare of kind .5 rows. would have no test example|.* would be held out", complaint)
    assert set(train["kind"]) == set(test["kind"]) == {"rare", "usual"}


def test_a_class_of_one_row_is_refused_with_the_remedy():
    with pytest.raises(
        StepError, match=r"class rare of kind \(1 rows\) would have no .* leave out or join rare classes"
    ):
        split(rare(of_rare=1), RULE, 0.2, "kind")


def test_rows_that_hardly_differ_are_refused_with_the_remedy():
    frame = pd.DataFrame({"carrier": ["AA"] * 100, "hour": [1] * 100})
    with pytest.raises(StepError, match=r"of the rows would be held out.*name columns .* in split.key"):
        split(frame, RULE, 0.2)


# What a champion was trained on


def record(**changes):
    return replace(Split("hash", ("id",), ("text",), "mlops", 0.2), **changes)


def test_the_same_split_has_no_difference():
    assert record().difference(record()) == ""


def test_a_split_by_other_columns_names_the_key_that_splits_as_before(tmp_path):
    before, now = record(columns=("hour", "carrier")), record(columns=("hour", "carrier", "id"))
    assert now.difference(before).endswith("; `split: {key: [hour, carrier]}` in the schema keeps rows where they were")
    made = write_schema(REGRESSION | {"split": {"key": ["hour", "carrier"]}}, tmp_path).split
    assert made.columns == before.columns
    assert "keeps rows" not in record(salt="other").difference(before)


def test_a_champion_that_held_out_more_was_not_trained_on_these_rows():
    assert record(test_size=0.1).difference(record(test_size=0.2)) == ""


@pytest.mark.parametrize(
    "trained", [record(test_size=0.1), record(salt="b"), record(columns=("id", "day")), record(by="time", cut="2013")]
)
def test_a_champion_of_another_split_may_have_been_trained_on_these_rows(trained):
    assert record().difference(trained).startswith("its data were split by ")


def test_a_champion_without_a_record_is_not_compared():
    assert "does not record" in record().difference(None)


@pytest.mark.parametrize(
    ("trained", "now", "comparable"),
    [("2013-05", "2013-06", True), ("2013-06", "2013-05", False), (9, 10, True), (10, 9, False)],
)
def test_by_time_a_champion_may_be_older_than_the_held_out_rows_and_not_newer(trained, now, comparable):
    made = [Split("time", ("date",), ("date",), "", 0.2, cut) for cut in (now, trained)]
    assert (made[0].difference(made[1]) == "") is comparable


def test_a_record_is_read_as_it_was_written(tmp_path):
    for made in (record(), Split("time", ("date",), ("date",), "", 0.2, "2013-05-01")):
        made.write(tmp_path)
        assert Split.read(tmp_path) == made


@pytest.mark.parametrize("text", [None, "{", "[]", '{"by": "hash"}', '{"salt": 1, "columns": []}'])
def test_a_folder_without_a_valid_record_is_refused(tmp_path, text):
    if text is not None:
        (tmp_path / "_split.json").write_text(text)
    with pytest.raises(StepError, match=r"no valid _split.json, .*; run prep again"):
        Split.read(tmp_path)


# In the schema


def test_without_a_section_the_key_are_all_features(tmp_path):
    assert write_schema(REGRESSION, tmp_path).split.columns == ("hour", "carrier", "wind")


def test_a_group_is_the_key_and_may_not_be_missing(tmp_path):
    schema = write_schema(REGRESSION | {"split": {"group": "id"}}, tmp_path)
    assert schema.split == SplitRule("hash", ("id",), ("text",), group="id")
    assert schema.columns["id"].missing == 0


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("hash", "split: write `by: hash` or `by: time`"),
        ({"by": "size"}, "split.by: 'size' is unknown; choose one of hash, time"),
        ({"key": ["nowhere"]}, "split.key: 'nowhere' is not one of the columns id, hour"),
        ({"key": ["delay"]}, "split.key: the target cannot decide"),
        ({"key": ["wind"]}, "split.key: wind may be missing"),
        ({"by": "time", "column": "id"}, "split.column: the order of a text is no time; give it the type date"),
        ({"by": "time"}, "split.column: missing; name the column with the date"),
        ({"by": "time", "column": "id", "salt": "x"}, "split.salt: has no meaning with `by: time`"),
        ({"column": "id"}, "split.column: has no meaning with `by: hash`"),
        ({"key": "id", "group": "hour"}, "split: give a key or a group"),
        ({"group": ["id", "hour"]}, "split.group: name one column"),
        ({"seed": 3}, "split: unknown key 'seed'"),
    ],
)
def test_a_section_that_decides_nothing_is_refused_in_one_line(section, message, tmp_path):
    with pytest.raises(StepError) as error:
        write_schema(REGRESSION | {"split": section}, tmp_path)
    assert message in str(error.value)


def test_the_positive_class_is_the_last_of_two(tmp_path):
    assert write_schema(CLASSIFICATION, tmp_path).classes == ("no", "yes")
    assert write_schema(CLASSIFICATION | {"positive": "no"}, tmp_path).classes == ("yes", "no")
    with pytest.raises(StepError, match="positive: 'late' is not one of the classes no, yes"):
        write_schema(CLASSIFICATION | {"positive": "late"}, tmp_path)


def part_of(rows, left, **columns):
    frame = many(rows).assign(**columns)
    return frame, np.arange(rows) < left


@pytest.mark.parametrize(("rows", "left"), [(400, 50), (30, 15)])
def test_a_part_of_the_held_out_rows_compares_models_if_it_is_50_rows_or_half_of_them(rows, left):
    assert split_module.comparison_problem(*part_of(rows, left), RULE, None) == ""
    assert split_module.comparison_problem(*part_of(rows, left - 1), RULE, None) == f"the other {left - 1} are too few"


def test_a_part_of_the_held_out_rows_needs_groups_and_classes_to_compare_models():
    grouped = part_of(400, 100, day=[number // 25 for number in range(400)])
    by_day = replace(RULE, group="day")
    problem = split_module.comparison_problem
    assert problem(*grouped, by_day, None) == "the others are of 4 groups of day, fewer than 5"
    assert problem(grouped[0], np.arange(400) < 101, by_day, None) == ""
    classes = part_of(400, 100, late=["yes"] * 100 + ["no"] * 300)
    assert problem(*classes, RULE, "late") == "class no of late has none of the others"
    assert problem(classes[0], np.arange(400) < 101, RULE, "late") == ""
