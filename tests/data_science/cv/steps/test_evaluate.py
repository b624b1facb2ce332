"""The step evaluate on images: champions that know some of the pictures, or other ones, other classes and sizes."""

import shutil

import pandas as pd
import pytest
import yaml
from helpers import module, write_archive
from PIL import ImageOps
from samples import CLASSES, SCHEMA, encoded, labelled, picture, pictures
from step_runs import run_prep, write_model

decode, Examples = module("image_model").decode, module("core.modality").Examples


def doubled(image):
    return image.resize((image.width * 2, image.height * 2))


def write_pictures_again(gate, share, change=doubled):
    """Change this share of the pictures, which deals them out anew; return where those of both sides come from."""
    files = pictures(200)
    for name in [name for name in files if int(name[:4]) % 10 < 10 * share]:
        files[name] = encoded(change(decode(files[name])))
    write_archive(gate.folders.raw / "pictures.zip", labelled(files))
    return [frame["original"] for frame in run_prep(gate.folders)]


def test_a_champion_is_compared_on_pictures_that_it_was_not_trained_on_in_another_size(gate, capsys):
    gate.set_champion(gate.strong)
    before = pd.read_parquet(gate.folders.train / "examples.parquet")["original"]
    _, held_out = write_pictures_again(gate, 0.5)
    seen = int(held_out.isin(before).sum())
    assert 5 < seen < len(held_out) / 2
    _, report = gate.judge(gate.weak)
    line = f"champion v1 was trained on copies of {seen} of the {len(held_out)} held-out rows, so it is compared on the"
    assert line in capsys.readouterr().out
    assert line in report
    metrics = gate.written("metrics")
    assert (metrics["rows"], metrics["compared_rows"]) == (len(held_out), len(held_out) - seen)
    assert sum(each["rows"] for each in metrics["slices"]) == len(held_out) - seen
    assert f"challenger on {len(held_out) - seen} rows" in report
    assert "All are scored on the same rows" not in report


def test_a_champion_that_was_trained_on_most_held_out_pictures_is_not_compared(gate, capsys):
    gate.set_champion(gate.strong)
    write_pictures_again(gate, 1)
    with pytest.raises(SystemExit):
        gate.judge(gate.strong)
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: champion v1 cannot be compared: it was trained on copies of" in error
    assert "are too few. It stays the champion." in error


def test_pictures_that_were_all_changed_beyond_recognition_are_named_where_models_are_compared(gate):
    gate.set_champion(gate.strong)
    write_pictures_again(gate, 1, ImageOps.invert)
    decision, report = gate.judge(gate.weak)
    line = "none of the training examples of champion v1 is found again in the data: if they were changed as a whole"
    assert line in decision["note"]
    assert line in report
    write_pictures_again(gate, 0.9, ImageOps.invert)
    assert "found again" not in gate.judge(gate.weak)[0]["note"]


def test_a_champion_without_fingerprints_is_compared_on_all_held_out_pictures(gate, tmp_path):
    old = shutil.copytree(gate.weak, tmp_path / "old")
    (old / "fingerprints.npy").unlink()
    gate.set_champion(old)
    write_pictures_again(gate, 0.5)
    decision, report = gate.judge(gate.strong)
    assert (decision["promote"], decision["note"]) == (True, "")
    assert "All are scored on the same rows" in report


def replace_data(gate, files, schema=SCHEMA):
    """Give the project other pictures and another schema; return the held-out rows."""
    gate.folders.schema.write_text(yaml.safe_dump(schema, sort_keys=False), encoding="utf-8")
    write_archive(gate.folders.raw / "pictures.zip", files)
    return run_prep(gate.folders)[1]


def of_classes(*names):
    """Return the schema of a project with these classes."""
    place = {"type": "category", "values": list(names)}
    return SCHEMA | {"columns": SCHEMA["columns"] | {"place": place}}


def test_a_class_that_came_after_the_champion_counts_against_it_and_is_named(gate, capsys):
    gate.set_champion(gate.strong)
    files = labelled(pictures(200))
    more = {f"{300 + number:04}.png": encoded(picture(7, number)) for number in range(60)}
    files["labels.csv"] += "".join(f"{name},far,a\n" for name in more)
    count = (replace_data(gate, files | more, of_classes(*CLASSES, "far"))["place"] == "far").sum()
    decision, report = gate.judge(gate.strong)
    line = f"champion v1 does not know far, so it is wrong in the {count} held-out rows of this class"
    assert decision["note"] == line
    assert line in capsys.readouterr().out
    assert line in report
    assert decision["champion"] == "champion v1"


def test_a_class_that_is_gone_from_the_data_leaves_the_champion_comparable(gate):
    gate.set_champion(gate.weak)
    files = {name: content for name, content in pictures(200).items() if int(name[:4]) % 3 < 2}
    replace_data(gate, labelled(files))
    decision, _ = gate.judge(gate.strong)
    assert (decision["champion"], decision["note"]) == ("champion v1", "")


def test_a_class_that_is_gone_from_the_schema_makes_the_champion_incomparable_in_one_line(gate, capsys):
    gate.set_champion(gate.weak)
    files = {name: content for name, content in pictures(200).items() if int(name[:4]) % 3 < 2}
    replace_data(gate, labelled(files), of_classes(*CLASSES[:2]))
    with pytest.raises(SystemExit):
        gate.judge(gate.strong)
    error = capsys.readouterr().err.splitlines()[-1]
    assert "champion v1 cannot be compared: it predicts left, middle, right, and place has left, middle." in error


def test_a_champion_of_another_size_and_of_colour_is_compared(gate, tmp_path):
    files = [encoded(picture(number % 3, number, 20, 3)) for number in range(60)]
    place = [CLASSES[number % 3] for number in range(60)]
    colour = Examples(pd.DataFrame({"image": files, "place": place, "camera": "a"}), tmp_path)
    write_model(gate.folders, tmp_path / "colour", colour, epochs=1, size=20, learning_rate=1e-6)
    gate.set_champion(tmp_path / "colour")
    decision, _ = gate.judge(gate.strong)
    assert (decision["promote"], decision["champion"]) == (True, "champion v1")
    assert decision["note"].startswith("none of the training examples of champion v1 is found again in the data")
