"""The step evaluate on images: the shared gate promotes a model that is better, and refuses one that is worse."""

import json
import shutil

import mlflow
import pandas as pd
import pytest
import yaml
from helpers import module, write_archive
from PIL import ImageOps
from samples import CLASSES, SCHEMA, SETTINGS, encoded, labelled, make_folders, picture, pictures

prep, evaluate, register = module("prep"), module("evaluate"), module("register")
champion, modality, decode = module("core.champion"), module("modality").MODALITY, module("image_model").decode
Examples = module("core.modality").Examples
NAME = "places"
GATE = {"floor": 0.6, "beat_baselines": True}


def write_model(folders, folder, examples, schema, **hyperparameters):
    settings = SETTINGS["training"]["hyperparameters"] | {"learning_rate": 0.01} | hyperparameters
    folder.mkdir()
    modality.fit(examples, schema, SETTINGS["training"] | {"hyperparameters": settings}).save(examples, folder)
    held_out = module("core.split").Split.read(folders.train)
    champion.write_metadata(folder, {"split": held_out.document(), "classes": list(schema.classes)})
    champion.write_fingerprints(folder, modality.fingerprints(examples))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A project after prep, with a model that was trained on all examples and one that learned next to nothing."""
    root = tmp_path_factory.mktemp("project")
    settings = SETTINGS | {
        "promotion": SETTINGS["promotion"] | GATE,
        "evaluation": SETTINGS["evaluation"] | {"baselines": ["most_frequent"]},
    }
    made = make_folders(root, SCHEMA, labelled(pictures(200)), settings)
    prep.main(made.arguments("raw-data", "schema", "settings", "train-data", "test-data"))
    schema = module("core.schema").Schema.load(made.schema)
    examples = module("core.modality").load_examples(modality, made.train, schema)
    write_model(made, root / "strong", examples, schema, epochs=6)
    write_model(made, root / "weak", examples, schema, epochs=1, learning_rate=1e-6)
    return root


@pytest.fixture
def project(folders, root):
    """The same in the folders of this test."""
    for path in (folders.schema, folders.settings):
        shutil.copyfile(root / path.name, path)
    for path in (folders.train, folders.test):
        shutil.copytree(root / "out" / path.name, path)
    return folders


def judged(project, model):
    """Evaluate a model; return the decision and the report."""
    shutil.copytree(model, project.model, dirs_exist_ok=True)
    names = ("model", "train-data", "test-data", "schema", "settings", "evaluation")
    evaluate.main([*project.arguments(*names), "--model-name", NAME])
    decision = json.loads((project.evaluation / "decision.json").read_text(encoding="utf-8"))
    return decision, (project.evaluation / "report.html").read_text(encoding="utf-8")


def set_champion(folder):
    return register.create_version(mlflow.MlflowClient(), NAME, folder, champion.model_hash(folder))


@pytest.mark.usefixtures("drawn")
def test_the_first_model_is_promoted_by_floor_and_baselines_and_has_a_report(project, root):
    decision, report = judged(project, root / "strong")
    assert decision["promote"] is True, decision
    assert "so the floor and the baselines decide" in " ".join(decision["reasons"])
    assert "<path" in report
    assert "data:image/" in report


def test_a_better_model_replaces_the_champion(project, root):
    set_champion(root / "weak")
    decision, _ = judged(project, root / "strong")
    assert (decision["promote"], decision["champion"]) == (True, "champion v1")


def test_a_worse_model_is_refused_and_that_is_no_error(project, root):
    set_champion(root / "strong")
    settings = yaml.safe_load(project.settings.read_text(encoding="utf-8"))
    settings["promotion"] |= {"floor": 0.01, "beat_baselines": False}
    project.settings.write_text(yaml.safe_dump(settings), encoding="utf-8")
    decision, _ = judged(project, root / "weak")
    assert decision["promote"] is False
    assert "not significantly above 0" in " ".join(decision["reasons"])


def test_a_model_that_learned_nothing_misses_the_floor(project, root):
    decision, _ = judged(project, root / "weak")
    assert decision["promote"] is False
    assert "misses the floor" in decision["reasons"][0]


def doubled(image):
    return image.resize((image.width * 2, image.height * 2))


def write_pictures_again(project, share, change=doubled):
    """Change this share of the pictures, which deals them out anew, and run prep."""
    files = pictures(200)
    for name in [name for name in files if int(name[:4]) % 10 < 10 * share]:
        files[name] = encoded(change(decode(files[name])))
    write_archive(project.raw / "pictures.zip", labelled(files))
    prep.main(project.arguments("raw-data", "schema", "settings", "train-data", "test-data"))


def test_a_champion_is_compared_on_pictures_that_it_was_not_trained_on_in_another_size(project, root, capsys):
    set_champion(root / "strong")
    before = pd.read_parquet(project.train / "examples.parquet")["original"]
    write_pictures_again(project, 0.5)
    held_out = pd.read_parquet(project.test / "examples.parquet")["original"]
    seen = int(held_out.isin(before).sum())
    assert 5 < seen < len(held_out) / 2
    _, report = judged(project, root / "weak")
    line = f"champion v1 was trained on copies of {seen} of the {len(held_out)} held-out rows, so it is compared on the"
    assert line in capsys.readouterr().out
    assert line in report
    metrics = json.loads((project.evaluation / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["rows"], metrics["compared_rows"]) == (len(held_out), len(held_out) - seen)
    assert sum(each["rows"] for each in metrics["slices"]) == len(held_out) - seen
    assert f"challenger on {len(held_out) - seen} rows" in report
    assert "All are scored on the same rows" not in report


def test_a_champion_that_was_trained_on_most_held_out_pictures_is_not_compared(project, root, capsys):
    set_champion(root / "strong")
    write_pictures_again(project, 1)
    with pytest.raises(SystemExit):
        judged(project, root / "strong")
    error = capsys.readouterr().err.splitlines()[-1]
    assert "error: champion v1 cannot be compared: it was trained on copies of" in error
    assert "are too few. It stays the champion." in error


def test_pictures_that_were_all_changed_beyond_recognition_are_named_where_models_are_compared(project, root):
    set_champion(root / "strong")
    write_pictures_again(project, 1, ImageOps.invert)
    decision, report = judged(project, root / "weak")
    line = "none of the training examples of champion v1 is found again in the data: if they were changed as a whole"
    assert line in decision["note"]
    assert line in report
    write_pictures_again(project, 0.9, ImageOps.invert)
    assert "found again" not in judged(project, root / "weak")[0]["note"]


def test_a_champion_without_fingerprints_is_compared_on_all_held_out_pictures(project, root, tmp_path):
    old = shutil.copytree(root / "weak", tmp_path / "old")
    (old / "fingerprints.npy").unlink()
    set_champion(old)
    write_pictures_again(project, 0.5)
    decision, report = judged(project, root / "strong")
    assert (decision["promote"], decision["note"]) == (True, "")
    assert "All are scored on the same rows" in report


def replace_data(project, files, schema=SCHEMA):
    """Give the project other pictures and another schema, and run prep."""
    project.schema.write_text(yaml.safe_dump(schema, sort_keys=False), encoding="utf-8")
    write_archive(project.raw / "pictures.zip", files)
    prep.main(project.arguments("raw-data", "schema", "settings", "train-data", "test-data"))


def of_classes(*names):
    """Return the schema of a project with these classes."""
    place = {"type": "category", "values": list(names)}
    return SCHEMA | {"columns": SCHEMA["columns"] | {"place": place}}


def test_a_class_that_came_after_the_champion_counts_against_it_and_is_named(project, root, capsys):
    set_champion(root / "strong")
    files = labelled(pictures(200))
    more = {f"{300 + number:04}.png": encoded(picture(7, number)) for number in range(60)}
    files["labels.csv"] += "".join(f"{name},far,a\n" for name in more)
    replace_data(project, files | more, of_classes(*CLASSES, "far"))
    count = (pd.read_parquet(project.test / "examples.parquet")["place"] == "far").sum()
    decision, report = judged(project, root / "strong")
    line = f"champion v1 does not know far, so it is wrong in the {count} held-out rows of this class"
    assert decision["note"] == line
    assert line in capsys.readouterr().out
    assert line in report
    assert decision["champion"] == "champion v1"


def test_a_class_that_is_gone_from_the_data_leaves_the_champion_comparable(project, root):
    set_champion(root / "weak")
    files = {name: content for name, content in pictures(200).items() if int(name[:4]) % 3 < 2}
    replace_data(project, labelled(files))
    decision, _ = judged(project, root / "strong")
    assert (decision["champion"], decision["note"]) == ("champion v1", "")


def test_a_class_that_is_gone_from_the_schema_makes_the_champion_incomparable_in_one_line(project, root, capsys):
    set_champion(root / "weak")
    files = {name: content for name, content in pictures(200).items() if int(name[:4]) % 3 < 2}
    replace_data(project, labelled(files), of_classes(*CLASSES[:2]))
    with pytest.raises(SystemExit):
        judged(project, root / "strong")
    error = capsys.readouterr().err.splitlines()[-1]
    assert "champion v1 cannot be compared: it predicts left, middle, right, and place has left, middle." in error


def test_a_champion_of_another_size_and_of_colour_is_compared(project, root, tmp_path):
    schema = module("core.schema").Schema.load(project.schema)
    files = [encoded(picture(number % 3, number, 20, 3)) for number in range(60)]
    place = [CLASSES[number % 3] for number in range(60)]
    colour = Examples(pd.DataFrame({"image": files, "place": place, "camera": "a"}), tmp_path)
    write_model(project, tmp_path / "colour", colour, schema, epochs=1, size=20, learning_rate=1e-6)
    set_champion(tmp_path / "colour")
    decision, _ = judged(project, root / "strong")
    assert (decision["promote"], decision["champion"]) == (True, "champion v1")
    assert decision["note"].startswith("none of the training examples of champion v1 is found again in the data")
