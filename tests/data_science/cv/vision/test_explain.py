"""What the report shows of a model of images: errors, doubts, and what it looks at."""

import base64
import io
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import Page, module
from PIL import Image

explain, report = module("vision.explain"), module("report.page")
Examples, Predictions = module("core.modality").Examples, module("core.predictions").Predictions
Column, Schema = module("core.schema").Column, module("core.schema").Schema
metrics, promotion = module("core.metrics"), module("core.promotion")
decode = module("image_model").decode
SCHEMA = Schema(
    "side",
    "classification",
    {"image": Column("image", "text"), "side": Column("side", "category", values=("left", "right"))},
)
ACCURACY = metrics.metric("accuracy", "classification")


def png(values):
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(values, dtype=np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def bright(left, right, shape=(16, 16)):
    """Return a dark picture with a square in the upper left and one in the lower right corner of these values."""
    values = np.zeros(shape)
    height, width = shape[0] // 4, shape[1] // 4
    values[:height, :width], values[-height:, -width:] = left, right
    return png(values)


class Sides:
    """A model that knows which corner is brighter; it counts its calls and what it was asked."""

    def __init__(self, probabilities=True):
        self.calls, self.probabilities = [], probabilities

    def __call__(self, examples):
        self.calls.append(len(examples.frame))
        right = []
        for content in examples.frame["image"]:
            values = np.asarray(decode(content).convert("L"), dtype=float)
            height, width = values.shape[0] // 4, values.shape[1] // 4
            gap = values[-height:, -width:].mean() - values[:height, :width].mean()
            right.append(1 / (1 + np.exp(-gap / 40)))
        found = np.column_stack([1 - np.array(right), right])
        values = np.array(["left", "right"], dtype=object)[found.argmax(axis=1)]
        return Predictions(values, found, ("left", "right")) if self.probabilities else Predictions(values)


def examples(pictures, truth):
    names = [f"raw/{place}.png" for place in range(len(pictures))]
    return Examples(pd.DataFrame({"image": pictures, "side": truth, "original": names}), Path())


def panels(test, predict=None, seed=0):
    found = explain.explain(predict or Sides(), test, SCHEMA, ACCURACY, seed)
    return {panel.name: panel for panel in found}


@pytest.fixture
def mixed():
    """Six pictures: two errors, of which the last is the most certain one, and one that is undecided."""
    pictures = [bright(200, 0), bright(0, 200), bright(0, 60), bright(100, 105), bright(150, 0), bright(0, 250)]
    return examples(pictures, ["left", "right", "left", "right", "left", "left"])


def test_the_worst_errors_are_the_wrong_predictions_that_the_model_is_most_certain_of(mixed):
    panel = panels(mixed)["errors"]
    assert panel.intro.startswith("2 of 6 held-out pictures are wrong. These are those")
    assert [row[:3] for row in panel.table.rows] == [("raw/5.png", "left", "right"), ("raw/2.png", "left", "right")]
    assert panel.table.rows[0][3:] == ("99.8%", "0.2%")
    assert [figure.caption for figure in panel.gallery] == [
        "left, predicted as right (99.8%)",
        "left, predicted as right (81.8%)",
    ]
    assert panel.records[0]["picture"] == "raw/5.png"
    assert panel.records[0]["probability"] == pytest.approx(0.998, abs=0.001)


def test_the_picture_between_two_classes_comes_first_among_the_least_certain(mixed):
    panel = panels(mixed)["uncertain"]
    assert [row[0] for row in panel.table.rows][:2] == ["raw/3.png", "raw/2.png"]
    assert panel.gallery[0].caption == "right (53.1%) or left (46.9%); it is right"
    assert "4 of the predictions are right" in panel.intro


@pytest.mark.parametrize(
    ("threshold", "first", "words"),
    [
        (0.5, {"raw/3.png", "raw/2.png"}, "closest to each other: they differ by"),
        (0.9, {"raw/2.png", "raw/1.png"}, "closest to the threshold between the classes: "),
        (0.02, {"raw/4.png", "raw/0.png"}, "closest to the threshold between the classes: "),
    ],
)
def test_of_two_classes_the_pictures_beside_the_threshold_are_the_least_certain(mixed, threshold, first, words):
    def predict(test):
        found = Sides()(test)
        values = np.array(["left", "right"], dtype=object)[(found.probabilities[:, 1] >= threshold).astype(int)]
        return Predictions(values, found.probabilities, found.classes)

    panel = panels(mixed, predict)["uncertain"]
    assert {row[0] for row in panel.table.rows[:2]} == first
    assert words in panel.intro


@pytest.mark.parametrize("shape", [(16, 16), (60, 90), (300, 200), (8, 8)])
def test_covering_what_the_model_looks_at_costs_most_and_the_rest_nothing(shape):
    pictures = [bright(250, 0, shape), bright(0, 250, shape)]
    panel = panels(examples(pictures, ["left", "right"]))["occlusion"]
    assert {(record["prediction"], record["where"]) for record in panel.records} == {
        ("left", "top left"),
        ("right", "bottom right"),
    }
    assert all(record["largest_loss"] > 0.3 for record in panel.records)
    answer = explain.Answer(1, "raw/1.png", "right", "right", 0.99, [("right", 0.99), ("left", 0.01)])
    [found] = explain.occlusions(Sides(), examples(pictures, ["left", "right"]), [decode(pictures[1])], [answer])
    _, _, cells = explain.heat(found)
    assert np.unravel_index(cells.argmax(), cells.shape) == (cells.shape[0] - 1, cells.shape[1] - 1)
    assert abs(cells[0, -1]) < 0.01


def test_all_copies_of_all_pictures_are_predicted_at_once(mixed):
    model = Sides()
    panels(mixed, model)
    assert model.calls == [6, 6 * (1 + 7 * 7)]


def test_errors_and_right_predictions_are_explained_and_each_class_is_shown():
    pictures = [bright(200, 0)] * 40 + [bright(0, 200)] * 3 + [bright(0, 90)] * 5
    records = panels(examples(pictures, ["left"] * 40 + ["right"] * 3 + ["left"] * 5))["occlusion"].records
    assert [each["truth"] == each["prediction"] for each in records] == [False] * 3 + [True] * 3
    assert {each["prediction"] for each in records[3:]} == {"left", "right"}


def test_a_model_without_errors_has_none_to_show():
    panel = panels(examples([bright(200, 0), bright(0, 200)], ["left", "right"]))["errors"]
    assert panel.intro == "None of 2 held-out pictures is wrong."
    assert not panel.gallery
    assert not panel.table.rows


def test_a_model_that_is_always_wrong_is_explained_too():
    found = panels(examples([bright(200, 0), bright(0, 200)], ["right", "left"]))
    assert len(found["occlusion"].records) == 2


def test_a_model_without_probabilities_has_no_panels(mixed):
    assert panels(mixed, Sides(probabilities=False)) == {}


def test_the_same_seed_gives_the_same_panels(mixed):
    many = examples([*mixed.frame["image"]] * 5, [*mixed.frame["side"]] * 5)
    assert panels(many) == panels(many)
    assert panels(many, seed=1)["occlusion"].records != panels(many)["occlusion"].records


def embedded(svg):
    [(kind, data), *_] = re.findall(r'href="data:image/(\w+);base64,([^"]+)"', svg)
    return kind, base64.b64decode(data)


def test_a_tiny_picture_keeps_its_pixels_and_a_photograph_becomes_a_small_jpeg():
    random = np.random.default_rng(0)
    tiny = random.integers(0, 256, (9, 12, 3))
    kind, content = embedded(explain.picture_svg(decode(png(tiny)), "alt", "name"))
    assert kind == "png"
    assert (np.asarray(Image.open(io.BytesIO(content))) == tiny).all()
    kind, content = embedded(explain.picture_svg(decode(png(random.integers(0, 256, (600, 800, 3)))), "alt", "name"))
    assert kind == "jpeg"
    assert Image.open(io.BytesIO(content)).size == (96, 72)
    assert len(content) < 8000


def test_where_and_how_a_photograph_was_taken_stays_out_of_the_report():
    photo = Image.fromarray(np.zeros((40, 40, 3), dtype=np.uint8))
    photo.info |= {"exif": b"Exif\0\0secret place", "icc_profile": b"secret place", "comment": b"secret place"}
    _, content = embedded(explain.picture_svg(photo, "alt", "name"))
    assert b"secret" not in content


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_a_picture_of_any_shape_is_covered_and_drawn(shape):
    pictures = [png(np.full(shape, value)) for value in (10, 200)]

    def predict(test):
        bright = np.array([np.asarray(decode(each)).mean() / 255 for each in test.frame["image"]])
        values = np.where(bright > 0.5, "right", "left").astype(object)
        return Predictions(values, np.column_stack([1 - bright, bright]), ("left", "right"))

    for panel in panels(examples(pictures, ["left", "right"]), predict).values():
        for figure in panel.gallery:
            [box] = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', figure.svg)
            assert all(float(side) > 0 for side in box)
            assert float(box[1]) <= 2 * float(box[0])


def page(panels, test, predicted):
    """Return the page of an evaluation with these panels and nothing else."""
    actual = test.frame["side"]
    decision = promotion.Decision(True, ("there is no champion yet",))
    classes = sorted(set(actual))
    columns = SCHEMA.columns | {"side": Column("side", "category", values=tuple(classes))}
    return report.build(
        report.Evaluation(
            model_name="sides",
            created="22 November 2026, 02:00 UTC",
            schema=Schema("side", "classification", columns),
            policy=promotion.Policy(ACCURACY, 0.5),
            decision=decision,
            actual=actual,
            predictions={"challenger": predicted},
            scores={"challenger": metrics.scores("classification", actual, predicted)},
            champion=None,
            champion_note="",
            interval=None,
            slices=[],
            groups={},
            panels=panels,
        )
    )


def noise(classes, side, count=24):
    """Return pictures that hardly compress, and a model of them that is often wrong and never certain."""
    random = np.random.default_rng(0)
    names = np.array([f"a class with the number {place}" for place in range(classes)], dtype=object)
    pictures = [png(random.integers(0, 256, (side, side, 3))) for _ in range(count)]
    test = examples(pictures, names[np.arange(count) % classes])

    def predict(asked):
        seeds = [int(np.asarray(decode(each), dtype=int).sum()) for each in asked.frame["image"]]
        weights = np.array([np.random.default_rng(seed).random(classes) for seed in seeds])
        return Predictions(names[weights.argmax(axis=1)], weights / weights.sum(axis=1, keepdims=True), tuple(names))

    return test, predict


@pytest.mark.parametrize(
    ("classes", "side", "most"), [(10, 8, 1_000_000), (20, 96, 5_000_000), (100, 96, 5_000_000), (2, 200, 5_000_000)]
)
def test_the_page_stays_small_whole_and_free_of_references(classes, side, most):
    test, predict = noise(classes, side)
    found = explain.explain(predict, test, SCHEMA, ACCURACY, 0)
    assert [len(panel.gallery) for panel in found] == [12, 12, 6]
    text = page(found, test, predict(test))
    assert len(text.encode()) < most
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#)", re.sub(r"base64,[^\"]+", "", text))
    drawings = Page(text).all("svg")
    assert all(each["role"] == "img" and len(each["aria-label"]) > 20 for each in drawings)
    assert all(re.match("data:image/(png|jpeg);base64,", each["href"]) for each in Page(text).all("image"))


def test_names_of_files_and_classes_cannot_become_markup():
    nasty = "<script>alert('\"&')</script>"
    test = examples([bright(0, 200)], [nasty])
    test.frame["original"] = nasty
    model = Sides()
    text = page(explain.explain(model, test, SCHEMA, ACCURACY, 0), test, model(test))
    assert "<script" not in text
    assert text.count("&lt;script&gt;") > 5


def test_pictures_follow_the_dark_mode_of_the_reader(mixed):
    for panel in panels(mixed).values():
        for figure in panel.gallery:
            assert "var(--ink)" in figure.svg
            assert not re.search(r"(?:fill|stroke)=\"#", figure.svg)
