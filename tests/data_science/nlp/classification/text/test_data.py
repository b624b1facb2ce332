"""Texts: reading, checks, measures, fingerprints and baselines, in any language and script."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT, module, write_archive, write_files, write_schema
from samples import SCHEMA, table, texts
from text_samples import lexicon

data, data_file = module("text.data"), module("data_file")
MODALITY, StepError = module("modality").MODALITY, module("core.step").StepError
Examples, load_examples = module("core.modality").Examples, module("core.modality").load_examples
unlabelled_examples = module("core.modality").unlabelled_examples
Schema, split = module("core.schema").Schema, module("core.split").split
endpoint, as_predictions = module("core.endpoint"), module("core.metrics").as_predictions
MOST = data_file.MAXIMUM_CHARACTERS


# --- what is read as a text


NOT_TEXTS = {
    "missing": (None, "it is missing or empty; write something, or leave it out"),
    "a number": (7.0, "it is missing or empty"),
    "empty": ("", "it is missing or empty"),
    "spaces alone": (" \n\t\u00a0\u3000", "it is missing or empty"),
    "a mark alone": ("\ufeff", "it is missing or empty"),
    "too long": ("a" * 1_000_000, f"it has 1,000,000 characters; divide or shorten it, at most {MOST:,} are read"),
    "just too long": ("a" * (MOST + 1), f"divide or shorten it, at most {MOST:,} are read"),
    "a NUL byte": ("secret\x00", "it has a NUL byte, so it is no text, or encoded in UTF-16; save it in UTF-8"),
    "half of a pair": ("secret \ud83d", "it has half of a surrogate pair; write it again in UTF-8"),
}


@pytest.mark.parametrize("name", NOT_TEXTS)
def test_what_is_no_text_is_refused_in_one_line_without_any_of_it(name):
    text, complaint = NOT_TEXTS[name]
    assert complaint in data_file.problem(text)
    assert "secret" not in data_file.problem(text)
    with pytest.raises(ValueError, match=r"^text of row 3: it ") as error:
        data_file.load(pd.DataFrame({"text": ["good", text]}, index=[2, 3]))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["a", "7", "\U0001f600", "\u4f60", "None", "?!", "a" * MOST, "\u0645\u0631 abc"])
def test_any_text_of_any_script_may_be_used(text):
    assert data_file.problem(text) == ""
    inputs = pd.DataFrame({"text": [text]})
    assert data_file.load(inputs, request=True) is inputs


ENCODED = {
    "Latin-1": ("caf\u00e9".encode("latin-1"), "it is not encoded in UTF-8 (the byte 0xe9); save it in UTF-8"),
    "UTF-16": ("caf\u00e9".encode("utf-16"), "it is encoded in UTF-16; save it in UTF-8"),
    "UTF-16 without a mark": ("abc".encode("utf-16-le"), "it has a NUL byte"),
    "Shift JIS": ("\u30c6\u30ad\u30b9\u30c8".encode("shift-jis"), "it is not encoded in UTF-8 (the byte 0x83)"),
    "empty": (b"", "it is missing or empty"),
}


@pytest.mark.parametrize("name", ENCODED)
def test_a_file_in_another_encoding_is_named_with_the_remedy(tmp_path, name):
    content, complaint = ENCODED[name]
    path = write_files(tmp_path, {"a.txt": content}) / "a.txt"
    assert complaint in data_file.problem(data_file.read_text(path))


def test_a_file_in_utf_8_is_its_text_with_its_lines_and_without_a_mark(tmp_path):
    text = "a\r\nb \U0001f600 \u05e9\u05dc\u05d5\u05dd\n"
    path = write_files(tmp_path, {"a.txt": b"\xef\xbb\xbf" + text.encode()}) / "a.txt"
    assert data_file.read_text(path) == text
    assert data_file.read(path, ["text"])["text"].tolist() == [text]


def test_a_file_that_is_far_too_large_is_not_read(tmp_path):
    path = tmp_path / "a.txt"
    with path.open("wb") as file:
        file.truncate(4 * MOST + 1)
    with pytest.raises(ValueError, match=r"it has 2,000,001 bytes; make it smaller, at most 2,000,000 are read"):
        data_file.read_text(path)


def test_a_request_has_limits_of_its_own():
    many = pd.DataFrame({"text": ["a"] * 257})
    assert len(data_file.load(many)) == 257
    with pytest.raises(ValueError, match="257 texts are too many for one request; send at most 256"):
        data_file.load(many, request=True)
    long = pd.DataFrame({"text": ["a" * MOST] * 5})
    assert len(data_file.load(long)) == 5
    with pytest.raises(ValueError, match="the texts up to row 4 have more than 2,000,000 characters together"):
        data_file.load(long, request=True)


# --- measures


def measured(text):
    [row] = data_file.describe(pd.DataFrame({"text": [text]})).to_dict("records")
    return row


SCRIPTS = {
    "Latin": ("The caf\u00e9 opens at 7.", "LATIN", 5),
    "Cyrillic": ("\u0421\u044a\u0435\u0448\u044c \u0436\u0435 \u0435\u0449\u0451", "CYRILLIC", 3),
    "Arabic with marks": ("\u0645\u064e\u0631\u0652\u062d\u064e\u0628\u064b\u0627 \u0628\u0643", "ARABIC", 2),
    "Hebrew": ("\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "HEBREW", 2),
    "Hindi": ("\u092e\u0948\u0902 \u0915\u093e\u0901\u091a \u0916\u093e", "DEVANAGARI", 3),
    "Chinese": ("\u6211\u80fd\u541e\u4e0b\u73bb\u7483\u3002", "CJK", 6),
    "Japanese": ("\u79c1\u306f\u30ac\u30e9\u30b9\u3092\u98df\u3079\u3089\u308c\u307e\u3059", "JAPANESE", 12),
    "Korean": ("\ub098\ub294 \uc720\ub9ac\ub97c", "HANGUL", 2),
    "Greek": ("\u039c\u03c0\u03bf\u03c1\u03ce \u03bd\u03b1", "GREEK", 2),
    "full width": ("\uff21\uff22\uff23", "LATIN", 1),
    "no letters": ("2026 + 7 = \U0001f600", "none", 3),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_and_words_of_any_text_are_known(name):
    text, script, words = SCRIPTS[name]
    row = measured(text)
    assert row["script"] == script
    assert row["other_scripts"] == 0
    assert row["words"] == words or name == "no letters"
    assert row["characters"] == len(text)


def test_measures_are_shares_of_letters_and_of_characters():
    row = measured("AB cd, 12! \U0001f600")
    assert row["characters"] == 12
    assert row["upper_case"] == 2 / 4
    assert (row["digits"], row["punctuation"], row["symbols"]) == (2 / 9, 2 / 9, 1 / 9)
    assert (row["script"], row["other_scripts"]) == ("LATIN", 0)


def test_a_text_of_two_scripts_has_that_of_most_letters_and_the_share_of_the_other():
    row = measured("\u043f\u0440\u0438\u0432\u0435\u0442 abc")
    assert (row["script"], row["other_scripts"]) == ("CYRILLIC", pytest.approx(3 / 9))
    assert measured("ab \u043f\u0440")["script"] == "CYRILLIC"  # as many of both: by name
    assert measured("\u4e2d\u6587" * 30 + "\u306e")["script"] == "CJK"


def test_letters_of_both_directions_and_emoji_are_measured():
    row = measured("\u200f\u05e9\u05dc\u05d5\u05dd\u200f \U0001f468\u200d\U0001f469\u200d\U0001f467 ok\ufe0f")
    assert row["script"] == "HEBREW"
    assert row["other_scripts"] == pytest.approx(2 / 6)
    assert row["symbols"] > 0


def test_all_measures_are_floats_but_the_script_and_missing_ones_stay_missing():
    frame = data_file.describe(pd.DataFrame({"text": ["a b", None]}, index=["x", "y"]))
    assert list(frame) == list(data_file.DESCRIPTIONS)
    assert set(frame.drop(columns="script").dtypes.astype(str)) == {"float64"}
    assert frame["script"].tolist() == ["LATIN", None]
    assert frame.loc["y"].isna().all()
    assert list(data_file.describe(pd.DataFrame({"text": []}))) == list(data_file.DESCRIPTIONS)


# --- reading


@pytest.fixture
def schema(tmp_path):
    return write_schema(SCHEMA, tmp_path)


def plain_schema(folder, **entry):
    columns = {"text": {"type": "text", **entry}, "place": {"type": "category"}}
    return write_schema({"target": "place", "task": "classification", "columns": columns}, folder)


def write_table(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        rows.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        rows.to_parquet(path)
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows.to_dict("records")), encoding="utf-8")
    return path.parent


WRITTEN = ['a "quoted", text', "two\nlines", "\u0645\u0631\u062d\u0628\u0627, \U0001f600", " spaces stay "]


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.jsonl"])
def test_texts_of_a_table_stay_as_they_are_written(tmp_path, schema, name):
    rows = pd.DataFrame({"text": WRITTEN, "place": "sea", "channel": "a", "note": "left out"})
    frame = MODALITY.check(MODALITY.read(write_table(tmp_path / "raw" / name, rows), schema), schema).frame
    assert frame["text"].tolist() == WRITTEN
    assert frame["_source"].tolist() == [f"{name}[{row}]" for row in range(4)]
    assert list(frame) == ["text", "place", "channel", *data.ADDED]


def test_all_tables_of_a_folder_are_joined(tmp_path, schema):
    write_table(tmp_path / "raw" / "2026" / "b.jsonl", table(2, seed=1))
    raw = write_table(tmp_path / "raw" / "a.csv", table(3))
    frame = MODALITY.read(raw, schema).frame
    assert frame["text"].tolist() == [*table(2, seed=1)["text"], *table(3)["text"]]
    assert frame["_source"].tolist() == ["2026/b.jsonl[0]", "2026/b.jsonl[1]", "a.csv[0]", "a.csv[1]", "a.csv[2]"]


def by_folder(raw, folder):
    schema = plain_schema(folder)
    frame = MODALITY.check(MODALITY.read(raw, schema), schema).frame
    return dict(zip(frame["_source"], frame["place"], strict=True))


FILES = {"news/sea/1.txt": "a wave", "news/sea/2.TXT": "a tide", "news/wood/1.txt": "a tree", "news/sea/.x.txt": ""}


def test_text_files_have_the_class_of_their_folder(tmp_path):
    found = by_folder(write_files(tmp_path / "raw", FILES), tmp_path)
    assert found == {"news/sea/1.txt": "sea", "news/sea/2.TXT": "sea", "news/wood/1.txt": "wood"}


def test_an_archive_is_like_its_folder(tmp_path):
    write_files(tmp_path / "raw", {"sea/3.txt": "a shore"})
    write_archive(
        tmp_path / "raw" / "more.zip", {"sea/1.txt": "a wave", "wood/1.txt": "a tree", "__MACOSX/sea/1.txt": ""}
    )
    found = by_folder(tmp_path / "raw", tmp_path)
    assert found == {"more.zip/sea/1.txt": "sea", "more.zip/wood/1.txt": "wood", "sea/3.txt": "sea"}


def test_text_files_beside_a_table_are_left_out_and_counted(tmp_path, schema, capsys):
    raw = write_table(tmp_path / "raw" / "a.csv", table(3))
    write_files(raw, {"README.txt": "about it", "b.zip": b"not opened"})
    assert len(MODALITY.read(raw, schema).frame) == 3
    assert capsys.readouterr().out == "left out 2 files beside the tables (such as README.txt)\n"


UNREADABLE = {
    "no texts": ({"a.pdf": "x"}, "there is no text; the suffixes are .txt, .zip, .csv, .parquet, .jsonl"),
    "an empty archive": ({"a.zip": "PK\x05\x06" + "\x00" * 18}, "there is no text in the archives; put files with"),
    "no archive": (
        {"a.zip": "nothing"},
        "a.zip: it cannot be read as a zip archive (File is not a zip file): write it",
    ),
    "no column text": (
        {"a.csv": "body,place\nsecret,sea\n"},
        "a.csv: it has no column text (its columns: body, place)",
    ),
    "no rows": ({"a.jsonl": ""}, "a.jsonl: it is empty; it needs a JSON object on each line"),
    "a csv that is open": ({"a.csv": 'text,place\n"secret,sea\n'}, "line 2 cannot be read (unexpected end of data"),
    "a csv in Latin-1": (
        {"a.csv": b"text,place\ncaf\xe9,sea\n"},
        "it is not encoded in UTF-8: line 2 has the byte 0xe9",
    ),
    "a csv with a NUL byte": ({"a.csv": "text,place\nsecret\x00,sea\n"}, "line 2 has a NUL byte"),
    "a text in no folder": (
        {"sea/1.txt": "a", "notes.txt": "b", "wood/2.txt": "c"},
        "place: 1 of 3 texts have no label (such as notes.txt): put them into the folder of their class or name it in",
    ),
    "a nested folder": (
        {"a/b/1.txt": "x", "c/2.txt": "y"},
        "a/b/1.txt is in the folder a/b, and a class is one folder",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_one_line_with_the_remedy(tmp_path, name):
    files, complaint = UNREADABLE[name]
    raw, schema = write_files(tmp_path / "raw", files), plain_schema(tmp_path)
    with pytest.raises(StepError) as error:
        MODALITY.check(MODALITY.read(raw, schema), schema)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(StepError, match="nowhere: no such folder; give the folder that holds the texts"):
        MODALITY.read(tmp_path / "nowhere", plain_schema(tmp_path))


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"text": {"type": "text"}, "hour": {"type": "integer"}}, "hour is a feature, too: a model sees `text` alone"),
        ({"body": {"type": "text"}}, "body is a feature, too: a model sees `text` alone; give others `role: ignore`"),
        ({"text": {"type": "category"}}, "there is no column `text: {type: text}`"),
        ({"text": {"type": "text"}, "words": {"type": "integer", "role": "ignore"}}, "column words is needed for what"),
    ],
)
def test_a_schema_without_the_text_as_its_only_feature_is_refused(tmp_path, columns, complaint):
    document = {"target": "place", "task": "classification", "columns": {**columns, "place": {"type": "category"}}}
    schema = write_schema(document, tmp_path)
    with pytest.raises(StepError, match=re.escape(complaint)):
        MODALITY.read(tmp_path, schema)


# --- checking


def checked(folder, rows, **entry):
    schema = plain_schema(folder, **entry)
    return MODALITY.check(MODALITY.read(write_table(folder / "raw" / "a.jsonl", rows), schema), schema).frame


BAD = ["", "secret\x00", "secret " * 150_000, None]


def test_texts_that_cannot_be_used_are_named_by_their_rows_and_stop_prep(tmp_path):
    rows = pd.DataFrame({"text": [*table(96)["text"], *BAD], "place": "sea"})
    with pytest.raises(StepError) as error:
        checked(tmp_path, rows)
    message = str(error.value)
    assert "text: 4 of 100 texts cannot be read: a.jsonl[96] (it is missing or empty; write something" in message
    assert "a.jsonl[97] (it has a NUL byte" in message
    assert "a.jsonl[98] (it has 1,050,000 characters; divide or shorten it" in message
    assert message.endswith(", and 1 more: replace or delete them; `missing: 0.04` of the column would leave them out")
    assert "secret" not in message
    assert "\n" not in message


def test_texts_that_cannot_be_used_are_left_out_where_the_schema_allows_their_share(tmp_path, capsys):
    rows = pd.DataFrame({"text": [*table(96)["text"], *BAD], "place": "sea"})
    frame = checked(tmp_path, rows, missing=0.04)
    assert frame["text"].tolist() == table(96)["text"].tolist()
    assert frame.index.tolist() == list(range(96))
    out = capsys.readouterr().out
    assert out.startswith("left out 4 of 100 texts, which cannot be read: a.jsonl[96] (it is missing")
    assert "secret" not in out


def test_a_bad_text_file_is_named(tmp_path):
    schema = plain_schema(tmp_path)
    raw = write_files(tmp_path / "raw", {"sea/1.txt": b"caf\xe9", "wood/1.txt": "good"})
    with pytest.raises(StepError, match=r"sea/1\.txt \(it is not encoded in UTF-8 \(the byte 0xe9\); save it"):
        MODALITY.check(MODALITY.read(raw, schema), schema)


def test_the_same_text_under_two_labels_is_refused_with_both_rows(tmp_path):
    rows = pd.DataFrame({"text": ["secret", "b", "secret", "b", "c"], "place": ["sea", "sea", "wood", "field", "sea"]})
    with pytest.raises(StepError) as error:
        checked(tmp_path, rows)
    complaint = "the same text has two labels: a.jsonl[0] (sea) and a.jsonl[2] (wood); 1 more texts have two: delete"
    assert complaint in str(error.value)
    assert "secret" not in str(error.value)
    assert len(checked(tmp_path, rows.assign(place="sea"))) == 5


def test_labels_that_are_missing_or_unknown_are_refused(tmp_path, schema):
    rows = table(4)
    for label, complaint in (
        (None, "place: 1 of 4 texts have no label (such as a.jsonl[3]): put them into the folder of their class"),
        ("moor", "1 value not listed in the schema (such as 'moor')"),
    ):
        rows.loc[3, "place"] = label
        raw = write_table(tmp_path / "raw" / "a.jsonl", rows)
        with pytest.raises(StepError) as error:
            MODALITY.check(MODALITY.read(raw, schema), schema)
        assert complaint in str(error.value)
        assert rows["text"][3][:20] not in str(error.value)


def test_a_table_without_labels_names_the_missing_column(tmp_path, schema):
    raw = write_table(tmp_path / "raw" / "a.csv", table(4)[["text"]])
    with pytest.raises(StepError, match=r"missing columns: place, channel"):
        MODALITY.check(MODALITY.read(raw, schema), schema)


def test_the_progress_of_many_texts_is_printed_and_of_few_is_not(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(data, "_LONG", 100)
    schema = write_schema(SCHEMA, tmp_path)
    MODALITY.check(MODALITY.read(write_table(tmp_path / "raw" / "a.csv", table(100)), schema), schema)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "measured 100 of 100 texts"
    MODALITY.check(MODALITY.read(write_table(tmp_path / "raw" / "a.csv", table(99)), schema), schema)
    assert capsys.readouterr().out == ""


# --- what prep writes


def written(examples, folder):
    folder.mkdir()
    MODALITY.write(examples, folder, "train")
    return folder


def test_what_was_written_is_read_again_and_not_measured_again(tmp_path, schema, monkeypatch):
    raw = write_table(tmp_path / "raw" / "a.csv", table())
    examples = MODALITY.check(MODALITY.read(raw, schema), schema)
    folder = written(examples, tmp_path / "train")
    assert [path.name for path in folder.iterdir()] == ["examples.parquet"]
    monkeypatch.setattr(data_file, "measures", lambda text: pytest.fail("it was measured again"))
    monkeypatch.setattr(data, "fingerprint", lambda text: pytest.fail("it was measured again"))
    read = load_examples(MODALITY, folder, schema)
    pd.testing.assert_frame_equal(read.frame, examples.frame)
    assert MODALITY.describe(read, schema).frame["words"].notna().all()
    assert MODALITY.fingerprints(read).shape == (120, 64)
    pd.testing.assert_frame_equal(MODALITY.convert(read, schema).frame, read.frame)


OWN = {
    "a handful of words in Cyrillic, two classes, csv": ("cyrillic", 30, 2, "a.csv"),
    "long texts in Chinese, two classes, folders": ("chinese", 3000, 2, "folders"),
    "Arabic, twenty classes, JSON lines": ("arabic", 30, 20, "a.jsonl"),
    "long texts, twenty classes, parquet": ("latin", 3000, 20, "a.parquet"),
}


@pytest.mark.parametrize("name", OWN)
def test_other_texts_need_a_schema_alone(tmp_path, name):
    script, words, count, form = OWN[name]
    labels = [f"{place % count:02}" for place in range(max(60, 20 * count) if words < 100 else 4 * count + 52)]
    made = texts(labels, seed=5, words=words, script=script, own=0.4)
    # A text with everything that a csv has to quote.
    made[0] = f'"{made[0]}",\r\n\n{made[0]}"'
    if form == "folders":
        files = {f"{label}/{place}.txt": text for place, (label, text) in enumerate(zip(labels, made, strict=True))}
        raw = write_files(tmp_path / "raw", files)
    else:
        raw = write_table(tmp_path / "raw" / form, pd.DataFrame({"text": made, "place": labels, "who": labels}))
    # Text files have no metadata.
    more = {} if form == "folders" else {"who": {"type": "category", "role": "ignore"}}
    columns = {"text": {"type": "text"}, "place": {"type": "integer" if count == 2 else "category"}, **more}
    schema = write_schema({"target": "place", "task": "classification", "columns": columns}, tmp_path)
    examples = MODALITY.check(MODALITY.read(raw, schema), schema)
    assert sorted(examples.frame["text"]) == sorted(made)
    assert set(examples.frame["script"]) == {{"chinese": "CJK"}.get(script, script.upper())}
    train, test, made_split = split(examples.frame, schema.split, 0.25, None)
    assert made_split.columns == ("text",)
    known, new = (MODALITY.fingerprints(replace(examples, frame=frame)) for frame in (train, test))
    assert not MODALITY.alike(known, new).any()
    read = load_examples(MODALITY, written(replace(examples, frame=train), tmp_path / "train"), schema)
    assert read.frame["text"].tolist() == train["text"].tolist()
    for baseline in ("naive_bayes", "nearest_centroid"):
        predicted = as_predictions(MODALITY.baseline(baseline, read, replace(examples, frame=test), schema, {}))
        assert (predicted.values == test["place"].to_numpy()).mean() > 0.9, baseline
        assert (predicted.probabilities is None) == (baseline == "nearest_centroid")


def test_texts_of_a_group_are_held_out_together_and_a_key_decides_where_it_is_named(tmp_path):
    rows = table(240).assign(channel=[str(row // 4) for row in range(240)])
    raw = write_table(tmp_path / "raw" / "a.csv", rows)
    for rule in ({"group": "channel"}, {"key": "channel"}):
        schema = write_schema({**SCHEMA, "split": rule}, tmp_path)
        examples = MODALITY.check(MODALITY.read(raw, schema), schema)
        train, test, _ = split(examples.frame, schema.split, 0.25, schema.target)
        assert not set(train["channel"]) & set(test["channel"])


# --- near duplicates


def prints(texts):
    return np.array([data.fingerprint(text) for text in texts])


def alike(known, new):
    return data.alike(prints(known), prints(new))


@pytest.mark.parametrize("script", ["latin", "cyrillic", "arabic", "chinese"])
def test_a_text_that_was_changed_a_little_is_found_again_and_another_one_is_not(script):
    some = texts(["sea"] * 40, words=60, script=script)
    assert alike(some, [text.upper() for text in some]).all()
    assert alike(some, ["\u2026 " + text.replace(".", " !").replace("\u3002", "\uff1f") for text in some]).all()
    assert alike(some, [text[:-4] for text in some]).mean() > 0.9
    assert not alike(some, texts(["sea"] * 40, seed=1, words=60, script=script)).any()


def test_short_texts_are_found_by_all_of_their_words():
    assert alike(["Yes, please!"], ["yes please", "no please", "please", "yes"]).tolist() == [True, False, False, False]
    assert alike(["\U0001f600\U0001f600"], ["\U0001f600 \U0001f600", "\U0001f622"]).tolist() == [True, False]
    assert alike(["?!"], ["?!", "!!!"]).tolist() == [True, False]


def test_a_fingerprint_is_the_same_on_every_machine():
    assert data.fingerprint("The same numbers, whatever the library.")[:3].tolist() == [186334921, 257725377, 31477792]


def test_without_texts_there_are_no_near_duplicates():
    some, none = prints(["a b c"] * 3), data.fingerprints(pd.DataFrame({"text": []}))
    assert data.alike(none, some).tolist() == [False] * 3
    assert data.alike(some, none).tolist() == []


def test_the_search_finds_what_comparing_all_pairs_finds():
    random = np.random.default_rng(1)
    known = random.integers(0, 2**32, (300, data.NUMBERS), dtype=np.uint32)
    new = known.copy()
    for row, others in enumerate(random.integers(0, 25, len(new))):
        new[row, random.permutation(data.NUMBERS)[:others]] += 1
    expected = (known[None] == new[:, None]).sum(axis=2).max(axis=1) >= 52
    assert 0 < expected.sum() < 300
    assert data.alike(known, new).tolist() == expected.tolist()


def test_the_similarity_of_fingerprints_is_that_of_the_texts():
    words = lexicon("latin", "any", 400)
    for first in (20, 60, 150):
        pair = words[:300], words[first : 300 + first]
        runs = [set(zip(each, each[1:], each[2:], strict=False)) for each in pair]
        expected = len(runs[0] & runs[1]) / len(runs[0] | runs[1])
        found = prints([" ".join(each) for each in pair])
        assert (found[0] == found[1]).mean() == pytest.approx(expected, abs=0.15)


def test_a_book_is_fingerprinted_in_blocks():
    text = "".join(chr(0x4E00 + place * 7919 % 20_000) for place in range(MOST))
    assert data.fingerprint(text).shape == (data.NUMBERS,)


# --- inputs, descriptions and baselines


def test_a_model_takes_texts_and_what_arrives_without_one_is_empty(tmp_path):
    frame = pd.DataFrame({"text": ["a", None, "\udce9b"], "place": "sea"})
    examples = Examples(frame, tmp_path)
    assert MODALITY.inputs(examples, ["text"])["text"].tolist() == ["a", "", "b"]
    with pytest.raises(KeyError):
        MODALITY.inputs(examples, ["text", "nowhere"])


def test_a_request_has_the_beginning_of_a_long_text(tmp_path):
    raw = write_table(tmp_path / "raw" / "a.csv", pd.DataFrame({"text": ["a" * 50_000, "b"], "place": "sea"}))
    plain_schema(tmp_path)
    request = endpoint.sample_request(MODALITY, tmp_path / "schema.yml", raw, 2)
    assert request["input_data"]["columns"] == ["text"]
    assert [len(text) for [text] in request["input_data"]["data"]] == [20_000, 1]


def test_drift_compares_what_describes_a_text_and_slices_may_name_metadata_too(tmp_path, schema):
    examples = MODALITY.read(write_table(tmp_path / "raw" / "a.csv", table(12)), schema)
    frame, columns = MODALITY.describe(examples, schema)
    assert list(columns) == list(data_file.DESCRIPTIONS)
    assert [name for name in columns if not columns[name].is_numerical] == ["script"]
    assert list(frame) == ["place", "channel", *columns]
    pd.testing.assert_frame_equal(MODALITY.describe(MODALITY.check(examples, schema), schema).frame, frame)
    nothing = MODALITY.describe(Examples(pd.DataFrame(columns=list(schema.columns)), tmp_path), schema)
    assert list(nothing.frame) == list(frame)


def test_production_data_need_no_labels_and_no_valid_texts(tmp_path, schema, capsys):
    files = {"2026-11/1.txt": "good", "2026-12/x/2.txt": b"\xff\xfea\x00", "3.txt": "fine"}
    folder = write_files(tmp_path / "production", files)
    examples = MODALITY.read(folder, schema)
    frame = MODALITY.describe(examples, schema).frame
    assert frame["words"].notna().tolist() == [True, False, True]
    printed = capsys.readouterr().out
    assert (
        printed == "1 of 3 texts cannot be used (such as 2026-12/x/2.txt: it is encoded in UTF-16; save it in UTF-8)\n"
    )
    assert len(unlabelled_examples(MODALITY, examples, schema).frame) == 3


def test_an_unknown_baseline_is_one_line(tmp_path, schema):
    nothing = Examples(pd.DataFrame(columns=list(schema.columns)), tmp_path)
    with pytest.raises(StepError, match="'forest' is unknown; choose from most_frequent, naive_bayes"):
        MODALITY.baseline("forest", nothing, nothing, schema, {})


# --- the data of this project


@pytest.mark.parametrize("part", ["raw", "production"])
def test_the_data_of_this_project_fit_its_schema(part):
    schema = Schema.load(ROOT / "data" / "schema.yml", MODALITY.tasks)
    examples = MODALITY.check(MODALITY.read(ROOT / "data" / part, schema), schema)
    assert set(schema.columns) <= set(examples.frame)


def test_hardly_any_two_texts_of_the_sample_are_near_duplicates():
    schema = Schema.load(ROOT / "data" / "schema.yml", MODALITY.tasks)
    if "module" not in schema.columns:
        pytest.skip("this project has data of its own")
    every = data.fingerprints(MODALITY.read(ROOT / "data" / "raw", schema).frame)
    assert data.alike(every[::2], every[1::2]).mean() < 0.01
