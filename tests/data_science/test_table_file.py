"""Files of rows: what is read as it is, and what is refused with the line and the remedy."""

import json

import pytest
from helpers import module

table_file = module("table_file")


def read(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return table_file.read(path, ["id", "text"])


# --- JSON lines


def test_each_line_is_a_row_and_a_key_that_it_lacks_is_a_missing_value(tmp_path):
    lines = [
        '\ufeff{"id": 7, "text": "a\\nb, \\"c\\""}\r',
        "",
        '{"text": "\u00e9\u2028\U0001f600", "share": 0.5, "open": true}',
        '{"id": null}',
    ]
    frame = read(tmp_path, "a.jsonl", "\n".join(lines))
    assert frame.to_dict("list") == {
        "id": [7, None, None],
        "text": ['a\nb, "c"', "\u00e9\u2028\U0001f600", None],
        "share": [None, 0.5, None],
        "open": [None, True, None],
    }
    assert frame.index.tolist() == [0, 1, 2]


def test_the_suffix_may_be_in_upper_case(tmp_path):
    assert read(tmp_path, "A.JSONL", '{"id": 1}\n')["id"].tolist() == [1]


GOOD = '{"id": 1, "text": "secret"}\n'
REFUSED = {
    "empty": ("", "it is empty; it needs a JSON object on each line"),
    "blank": ("\n \n", "it is empty"),
    "no JSON": (GOOD + "id,text\n", "line 2 cannot be read as JSON (Expecting value"),
    "a line that breaks off": (GOOD + '{"id": 2, "te', "line 2 cannot be read as JSON (Unterminated string"),
    "a list": (GOOD + "[1, 2]\n", "line 2 cannot be read as JSON (it is not an object): write one object with"),
    "one document": (json.dumps([{"id": 1}, {"id": 2}], indent=1), "line 1 cannot be read as JSON (Expecting value"),
    "a list of all rows": (json.dumps([{"id": 1}, {"id": 2}]), "line 1 cannot be read as JSON (it is not an object)"),
    "two objects": (GOOD + '{"id": 1} {"id": 2}\n', "line 2 cannot be read as JSON (Extra data"),
    "a repeated key": (GOOD + '{"id": 1, "id": 2}\n', "line 2 cannot be read as JSON (it has a key more than once)"),
    "NaN": (GOOD + '{"id": NaN}\n', "line 2 cannot be read as JSON (NaN is no JSON; a missing value is null)"),
    "nested too deeply": (GOOD + '{"id": ' + "[" * 100_000, "line 2 cannot be read as JSON (it is nested too deeply)"),
    "half of a pair": (GOOD + '{"text": "\\uD83D"}\n', "line 2 cannot be read as JSON (it has half of a surrogate"),
    "Latin-1": (GOOD.encode() + b'{"text": "\xe4"}\n', "it is not encoded in UTF-8: line 2 has the byte 0xe4: save"),
    "UTF-16": (GOOD.encode("utf-16"), "it is encoded in UTF-16: save it in UTF-8"),
    "UTF-16 without a mark": (GOOD.encode("utf-16-be"), "it is encoded in UTF-16: save it in UTF-8"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_line_of_another_kind_is_refused_with_its_number_and_without_its_content(tmp_path, name):
    content, complaint = REFUSED[name]
    with pytest.raises(ValueError, match=r"^(it|line)") as error:
        read(tmp_path, "a.jsonl", content)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_an_escaped_pair_is_one_character(tmp_path):
    assert read(tmp_path, "a.jsonl", '{"text": "\\ud83d\\ude00"}\n')["text"].tolist() == ["\U0001f600"]


# --- csv


def test_values_of_a_csv_may_hold_lines_quotes_and_commas(tmp_path):
    texts = ['a "b", c', "first\nsecond\r\nthird\rfourth", ' "" ', "\u0645\u0631\u062d\u0628\u0627, \u4f60\u597d"]
    rows = "".join('{},"{}"\n'.format(number, text.replace('"', '""')) for number, text in enumerate(texts))
    assert read(tmp_path, "a.csv", f"id,text\n{rows}")["text"].tolist() == texts


def test_a_nul_byte_in_a_csv_is_refused_because_the_rest_of_its_value_would_be_lost(tmp_path):
    with pytest.raises(ValueError, match=r"^line 3 has a NUL byte \(its columns: id, text\): write the file again$"):
        read(tmp_path, "a.csv", "id,text\n1,a\n2,b\x00c\n")


def test_a_message_shows_no_long_value_of_a_file_without_a_header(tmp_path):
    value = "a private sentence that goes on and on, far beyond a name"
    with pytest.raises(ValueError, match="separated by semicolons") as error:
        read(tmp_path, "a.csv", f'text;"{value}"\n')
    assert value[:41] not in str(error.value)
