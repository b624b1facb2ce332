"""The step drift: pictures that drifted are a failed run. And the check itself, on the data of this project."""

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import ROOT, module, write_archive
from PIL import Image, ImageFilter
from samples import encoded, labelled, pictures

distances = module("core.distances")
MODALITY, decode = module("modality").MODALITY, module("image_model").decode
data, Examples = module("vision.data"), module("core.modality").Examples
exporting, loop, Pictures = module("neural.exporting"), module("neural.loop"), module("vision.pictures").Pictures


def check(production, files):
    write_archive(production.folder / "later.zip", files)
    production.check()


def changed(change, count=100):
    return {name: encoded(change(decode(content))) for name, content in pictures(count, seed=3).items()}


def test_the_step_passes_when_production_looks_like_training(production, capsys):
    check(production, labelled(pictures(100, seed=3)))
    assert production.found["checked"]
    assert production.found["drifted"] == []
    assert "no drift in 100 rows" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("brightness", lambda image: image.point(lambda value: value * 0.8)),
        ("contrast", lambda image: image.point(lambda value: 70 + value * 0.2)),
        ("sharpness", lambda image: image.filter(ImageFilter.GaussianBlur(1))),
        ("width", lambda image: image.resize((16, 12))),
        ("slant", lambda image: image.resize((48, 48)).rotate(30, fillcolor=70).resize((12, 12))),
        ("saturation", lambda image: Image.merge("RGB", [image, image, image.point(lambda value: value // 2)])),
    ],
)
def test_pictures_of_another_look_are_drift_although_they_have_no_labels(production, capsys, name, change):
    with pytest.raises(SystemExit) as stop:
        check(production, changed(change))
    assert stop.value.code == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "columns drifted: " in line
    assert name in production.found["drifted"]


def test_the_step_passes_over_missing_production_data(production, capsys):
    production.check()
    assert production.found["checked"] is False
    assert "to compare" in capsys.readouterr().out


def test_a_corrupt_picture_of_production_is_counted_and_no_drift(production, capsys):
    check(production, {**pictures(100, seed=3), "0100.png": b"no picture"})
    assert production.found["drifted"] == []
    assert "1 of 101 pictures cannot be read (such as later.zip/0100.png: it is not" in capsys.readouterr().out


def test_pictures_that_cannot_be_read_any_more_are_drift(production):
    files = {
        name: content[:60] if place % 2 else content
        for place, (name, content) in enumerate(pictures(100, seed=3).items())
    }
    with pytest.raises(SystemExit):
        check(production, files)
    assert {"brightness", "width"} <= set(production.found["drifted"])


# --- the data of this project


@pytest.mark.parametrize("count", [50, 200, 718])
def test_at_most_5_percent_of_checks_of_random_pictures_report_drift(own_data, count):
    own_data.assert_few_alarms(count, checks=40)


TO_TRAIN, PICTURES = 200, 1000


@pytest.fixture(scope="module")
def seen(own_data):
    """Up to 800 pictures of this project as a model sees them that was trained on others, row by row.

    What describes them, what the model predicts and its embedding.
    """
    schema = own_data.schema
    examples = MODALITY.check(MODALITY.read(ROOT / "data" / "raw", schema), schema)
    order = np.random.default_rng(0).permutation(len(examples.frame))
    if len(order) < PICTURES:
        pytest.skip("this project has fewer pictures")
    train, unseen = (
        examples.take(np.isin(np.arange(len(order)), part)) for part in (order[:TO_TRAIN], order[TO_TRAIN:PICTURES])
    )
    hyperparameters = {"epochs": 2, "batch_size": 16, "size": 16, "validation": 0, "device": "cpu"}
    trained = MODALITY.fit(train, schema, {"seed": 0, "hyperparameters": hyperparameters})
    # Without the detour of a saved model, whose equality has tests of its own.
    network, rows = trained.network, exporting.ROWS_AT_ONCE
    graph = exporting.Graph(network, trained.pictures.batches(loop.chunks(TO_TRAIN, rows)))
    later = Pictures(data.contents(unseen), network.size, network.channels)
    with torch.inference_mode():
        made = [graph(*map(torch.from_numpy, each)) for each in later.batches(loop.chunks(len(later), rows))]
    embeddings = pd.DataFrame(np.concatenate([embedding for _, embedding in made])).add_prefix("embedding ")
    return MODALITY.describe(unseen, schema), trained.predict(unseen), embeddings, schema


def test_at_most_5_percent_of_checks_report_drift_with_all_that_a_model_makes_of_the_pictures_too(seen, own_data):
    described, predictions, embeddings, schema = seen
    random, checks, found = np.random.default_rng(0), 40, []
    for _ in range(checks):
        past, held_out, arrived = np.split(random.permutation(len(described.frame)), [400, 600])
        outputs = [
            distances.prediction_samples(schema, predictions.take(held_out), predictions.take(arrived)),
            *distances.embedding_samples(embeddings.iloc[held_out], embeddings.iloc[arrived]),
        ]
        found.append(own_data.drifted(*(described.frame.iloc[rows] for rows in (past, arrived)), outputs))
    assert len(outputs) == 9
    assert sum(map(bool, found)) <= distances.ALPHA * checks


@pytest.fixture
def sample(own_data):
    """The same, if these are the pictures that came with the template."""
    if "paper" not in own_data.raw:
        pytest.skip("this project has data of its own")
    return own_data


@pytest.mark.parametrize("count", [100, 360])
def test_production_is_turned_and_noisy(sample, count):
    found = sample.drifted(sample.raw, sample.later.sample(count, random_state=0))
    assert {"sharpness", "slant"} <= set(found) <= {"contrast", "sharpness", "uprightness", "slant"}


def test_digits_that_are_turned_by_15_degrees_are_drift(sample):
    examples = MODALITY.read(ROOT / "data" / "raw", sample.schema)
    arrived = Examples(examples.frame.iloc[::4].reset_index(drop=True), examples.root)
    images = [decode(content) for content in data.contents(arrived)]
    turned = [
        encoded(image.rotate(-15, Image.Resampling.BILINEAR, fillcolor=image.getpixel((0, 0)))) for image in images
    ]
    frame = arrived.frame.assign(image=np.array(turned, dtype=object))
    later = MODALITY.describe(Examples(frame, arrived.root), sample.schema).frame
    past = sample.raw.drop(index=range(0, len(sample.raw), 4))
    assert "slant" in sample.drifted(past, later)
