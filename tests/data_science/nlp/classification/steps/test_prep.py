"""The step prep: from raw texts to those for training and for testing."""

import json
import re

import mlflow
import pandas as pd
from helpers import write_files
from samples import SCHEMA, SETTINGS, table
from step_runs import change_settings, prep_error, run_prep, sides
from text_samples import replace_raw, write_texts


def test_each_text_is_either_for_training_or_for_testing(folders):
    train, test = run_prep(folders)
    assert 15 < len(test) < 50
    assert sorted([*train["_source"], *test["_source"]]) == sorted(f"texts.csv[{row}]" for row in range(120))
    assert [sorted(path.name for path in folder.iterdir()) for folder in (folders.train, folders.test)] == [
        ["_split.json", "examples.parquet"]
    ] * 2


def test_another_seed_other_texts_and_another_order_move_no_text(folders):
    before = sides(folders, "text")
    change_settings(folders, "training", seed=14)
    assert sides(folders, "text") == before
    replace_raw(folders, pd.concat([table(30, seed=5), table().iloc[:8:-1]]))
    after = sides(folders, "text")
    assert len(after) == 141
    assert all(after.get(text, side) == side for text, side in before.items())


def test_a_copy_is_on_the_same_side(folders):
    before = sides(folders, "text")
    write_files(folders.raw, {"more.jsonl": table().to_json(orient="records", lines=True)})
    train, test = run_prep(folders)
    assert len(train) + len(test) == 240
    assert dict.fromkeys(train["text"], "train") | dict.fromkeys(test["text"], "test") == before
    assert not set(train["text"]) & set(test["text"])


def changed(rows):
    return rows.assign(text=[text.upper().replace(".", "!") for text in rows["text"]])


def test_a_training_text_in_other_capitals_leaves_the_test_texts(folders, capsys):
    replace_raw(folders, pd.concat([table(), changed(table(40))]))
    train, test = run_prep(folders)
    plain = [{text.lower().replace("!", ".") for text in each["text"]} for each in (train, test)]
    assert not plain[0] & plain[1]
    left_out = 160 - len(train) - len(test)
    assert left_out > 0
    assert f"left out {left_out} held-out rows, near duplicates of training rows" in capsys.readouterr().out


def test_texts_that_are_nearly_all_copies_stop_prep(folders, capsys):
    replace_raw(folders, pd.concat([table(), changed(table())]))
    line = prep_error(folders, capsys)
    assert re.search(r"\d+ of \d+ held-out rows are near duplicates .* delete the copies, or name", line)


def test_what_was_held_out_is_recorded_beside_the_texts(folders):
    run_prep(folders)
    for folder in (folders.train, folders.test):
        record = json.loads((folder / "_split.json").read_text(encoding="utf-8"))
        assert (record["by"], record["columns"], record["types"]) == ("hash", ["text"], ["text"])


def test_a_group_stays_on_one_side(tmp_path, folders):
    (tmp_path / "groups").mkdir()
    rows = table(240).assign(channel=[str(row % 24) for row in range(240)])
    grouped = write_texts(tmp_path / "groups", {**SCHEMA, "split": {"group": "channel"}}, rows, SETTINGS)
    train, test = run_prep(grouped)
    assert set(train["channel"]) | set(test["channel"]) == {str(number) for number in range(24)}
    assert not set(train["channel"]) & set(test["channel"])


def test_counts_are_logged(folders):
    run_prep(folders)
    [logged] = mlflow.search_runs(output_format="list")
    train, test = logged.data.metrics["train_rows"], logged.data.metrics["test_rows"]
    assert logged.data.metrics == {"raw_rows": 120, "train_rows": train, "test_rows": test}
    assert train + test == 120
    assert logged.data.params["split"] == "by a hash of text (text) with salt 'mlops', 25% held out"


def test_no_message_of_a_good_run_has_a_text_in_it(folders, capsys):
    run_prep(folders)
    printed = capsys.readouterr()
    words = set(" ".join(table()["text"]).lower().replace(".", " ").split())
    assert not words & set((printed.out + printed.err).lower().split())


def test_a_text_of_a_million_characters_is_named_and_stops_prep(folders, capsys):
    replace_raw(folders, pd.concat([table(), table(1).assign(text="long " * 200_000)]))
    line = prep_error(folders, capsys)
    assert "text: 1 of 121 texts cannot be read: texts.csv[120] (it has 1,000,000 characters; divide or" in line
    assert "long" not in line


def test_one_class_stops_prep(folders, capsys):
    replace_raw(folders, table().assign(place="sea"))
    assert "place is sea in each of 120 rows, so there is nothing to learn" in prep_error(folders, capsys)


def test_a_class_with_too_few_texts_to_be_on_both_sides_is_named(tmp_path, folders, capsys):
    (tmp_path / "rare").mkdir()
    columns = {**SCHEMA["columns"], "place": {"type": "category"}}
    rows = pd.concat([table(), table(1, seed=3).assign(place="moor")])
    made = write_texts(tmp_path / "rare", {**SCHEMA, "columns": columns}, rows, SETTINGS)
    line = prep_error(made, capsys)
    assert re.search(r"class moor of place \(1 rows\) would have no (test|training) example: add examples, or", line)


def test_too_few_texts_stop_prep(folders, capsys):
    replace_raw(folders, table(49))
    assert "49 usable rows are too few; give at least 50" in prep_error(folders, capsys)


def test_texts_without_a_label_are_left_out_where_the_schema_allows_them(folders, capsys):
    text = folders.schema.read_text(encoding="utf-8")
    folders.schema.write_text(text.replace("  place:\n", "  place:\n    missing: 0.1\n"), encoding="utf-8")
    replace_raw(folders, pd.concat([table(), table(2, seed=9).assign(place=None)]))
    train, test = run_prep(folders)
    assert len(train) + len(test) == 120
    assert "left out 2 rows without place" in capsys.readouterr().out


def test_class_folders_in_an_archive_are_a_project_too(tmp_path, folders):
    (tmp_path / "files").mkdir()
    columns = {name: SCHEMA["columns"][name] for name in ("text", "place")}
    settings = {**SETTINGS, "evaluation": {**SETTINGS["evaluation"], "slices": []}}
    made = write_texts(tmp_path / "files", {**SCHEMA, "columns": columns}, table(3), settings)
    (made.raw / "texts.csv").unlink()
    rows = table()
    write_files(made.raw, {f"{place}/{row}.txt": text for row, (text, place) in enumerate(rows.iloc[:, :2].to_numpy())})
    train, test = run_prep(made)
    assert dict.fromkeys(train["text"], "train") | dict.fromkeys(test["text"], "test") == sides(folders, "text")
