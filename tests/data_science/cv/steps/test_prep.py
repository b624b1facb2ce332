"""The step prep: from raw pictures to those for training and for testing."""

import json
import re

import mlflow
import pytest
from helpers import module, write_archive
from PIL import Image
from samples import SCHEMA, encoded, labelled, labels, make_folders, picture, pictures
from step_runs import change_settings, prep_error, run_prep, sides

decode = module("image_model").decode


def replace_raw(folders, files):
    for path in folders.raw.iterdir():
        path.unlink()
    write_archive(folders.raw / "pictures.zip", files)


def test_each_picture_is_either_for_training_or_for_testing(folders):
    train, test = run_prep(folders)
    assert 15 < len(test) < 50
    assert sorted([*train["original"], *test["original"]]) == [f"pictures.zip/{name}" for name in pictures()]
    assert [sorted(path.name for path in folder.iterdir()) for folder in (folders.train, folders.test)] == [
        ["_split.json", "examples.parquet", "images.zip"]
    ] * 2


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [("epoch", 20, "epoch: unknown; the nearest is epochs"), ("backbone", "smal_cnn", "backbone: 'smal_cnn' is unk")],
)
def test_a_wrong_hyperparameter_stops_before_a_picture_is_read(folders, capsys, name, value, complaint):
    change_settings(folders, "training", hyperparameters={name: value})
    replace_raw(folders, {"1.png": b"no picture"})
    assert prep_error(folders, capsys).startswith(f"error: training.hyperparameters.{complaint}")


def test_another_seed_other_pictures_and_other_names_move_no_picture(folders):
    before = sides(folders, "image")
    change_settings(folders, "training", seed=14)
    assert sides(folders, "image") == before
    files = dict(list(pictures().items())[9:])
    more = {f"{int(name[:4]) + 300:04}.png": content for name, content in pictures(30, seed=5).items()}
    replace_raw(folders, labelled(files | more))
    after = sides(folders, "image")
    assert len(after) == 141
    assert all(after.get(name, side) == side for name, side in before.items())
    header, *rows = labels(list(pictures())).splitlines()
    renamed = {f"x{name}": content for name, content in pictures().items()}
    replace_raw(folders, {"labels.csv": "\n".join([header, *(f"x{row}" for row in reversed(rows))]), **renamed})
    assert sides(folders, "image") == before


def test_a_copy_in_another_lossless_format_is_on_the_same_side(folders):
    before = sides(folders, "image")
    files = {name.replace("png", "bmp"): encoded(decode(content), "BMP") for name, content in pictures().items()}
    replace_raw(folders, labelled(files))
    assert sides(folders, "image") == before
    copies = {f"{int(name[:4]) + 300:04}.bmp": content for name, content in files.items()}
    replace_raw(folders, labelled(pictures() | copies))
    train, test = run_prep(folders)
    assert len(train) + len(test) == 240
    assert dict.fromkeys(train["image"], "train") | dict.fromkeys(test["image"], "test") == before
    assert not set(train["image"]) & set(test["image"])


def compressed(files, names):
    return {f"{int(name[:4]) + 300:04}.jpg": encoded(decode(files[name]), "JPEG", quality=75) for name in names}


def test_a_compressed_copy_of_a_training_picture_leaves_the_test_pictures(folders, capsys):
    files = pictures(side=32)
    replace_raw(folders, labelled(files | compressed(files, sorted(files)[:40])))
    train, test = run_prep(folders)
    numbers = [{int(name[-8:-4]) % 300 for name in each["original"]} for each in (train, test)]
    assert not numbers[0] & numbers[1]
    left_out = len(files) + 40 - len(train) - len(test)
    assert left_out > 0
    assert f"left out {left_out} held-out rows, near duplicates of training rows" in capsys.readouterr().out


def test_pictures_that_are_nearly_all_copies_stop_prep(folders, capsys):
    files = pictures(side=32)
    replace_raw(folders, labelled(files | compressed(files, files)))
    line = prep_error(folders, capsys)
    assert re.search(r"\d+ of \d+ held-out rows are near duplicates .* delete the copies, or name", line)


def test_what_was_held_out_is_recorded_beside_the_pictures(folders):
    run_prep(folders)
    for folder in (folders.train, folders.test):
        record = json.loads((folder / "_split.json").read_text(encoding="utf-8"))
        assert (record["by"], record["columns"], record["types"]) == ("hash", ["image"], ["text"])


def test_a_group_stays_on_one_side(tmp_path, folders):
    (tmp_path / "groups").mkdir()
    files = pictures(240)
    rows = [
        f"{line.rsplit(',', 1)[0]},{number % 24}" for number, line in enumerate(labels(list(files)).splitlines()[1:])
    ]
    table = "\n".join(["image,place,camera", *rows])
    grouped = make_folders(
        tmp_path / "groups", {**SCHEMA, "split": {"group": "camera"}}, {"labels.csv": table, **files}
    )
    train, test = run_prep(grouped)
    assert set(train["camera"]) | set(test["camera"]) == {str(number) for number in range(24)}
    assert not set(train["camera"]) & set(test["camera"])


def test_counts_are_logged(folders):
    run_prep(folders)
    [logged] = mlflow.search_runs(output_format="list")
    train, test = logged.data.metrics["train_rows"], logged.data.metrics["test_rows"]
    assert logged.data.metrics == {"raw_rows": 120, "train_rows": train, "test_rows": test}
    assert train + test == 120
    assert logged.data.params["split"] == "by a hash of image (text) with salt 'mlops', 25% held out"


def test_a_corrupt_picture_is_named_and_stops_prep(folders, capsys):
    replace_raw(folders, labelled(pictures() | {"0120.png": b"no picture"}))
    assert "image: 1 of 121 pictures cannot be read: pictures.zip/0120.png (it is not a picture" in prep_error(
        folders, capsys
    )


def test_one_class_stops_prep(folders, capsys):
    files = {f"left/{name}": content for name, content in pictures().items()}
    text = folders.schema.read_text(encoding="utf-8")
    folders.schema.write_text(text[: text.index("  camera:")], encoding="utf-8")
    replace_raw(folders, files)
    assert "place is left in each of 120 rows, so there is nothing to learn" in prep_error(folders, capsys)


def test_too_few_pictures_stop_prep(folders, capsys):
    replace_raw(folders, labelled(pictures(49)))
    assert "49 usable rows are too few; give at least 50" in prep_error(folders, capsys)


def test_pictures_without_a_label_are_left_out_where_the_schema_allows_them(folders, capsys):
    text = folders.schema.read_text(encoding="utf-8")
    folders.schema.write_text(text.replace("  place:\n", "  place:\n    missing: 0.1\n"), encoding="utf-8")
    files = {**labelled(pictures()), "1.png": encoded(Image.new("L", (9, 9))), "2.png": encoded(picture(9, 9))}
    files["labels.csv"] += "1.png,,a\n2.png,,a\n"
    replace_raw(folders, files)
    train, test = run_prep(folders)
    assert len(train) + len(test) == 120
    assert "left out 2 rows without place" in capsys.readouterr().out
