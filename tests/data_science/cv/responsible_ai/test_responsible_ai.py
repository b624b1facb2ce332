"""Responsible AI of images: what is measured of pictures names the groups, and typical errors are seen."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import Page, module, write_schema
from PIL import Image

step, dashboard = module("responsible_ai.__main__"), module("responsible_ai.dashboard")
Examples, Predictions = module("core.modality").Examples, module("core.predictions").Predictions

SCHEMA = {
    "target": "digit",
    "task": "classification",
    "columns": {
        "image": {"type": "text"},
        "digit": {"type": "category", "values": ["one", "seven"]},
        "pen": {"type": "category", "role": "ignore"},
    },
}
POLICY = {
    "evaluation": {"metric": "accuracy"},
    "promotion": {"floor": 0.5},
    "fairness": {"cohorts": ["pen"], "worst": 0.8, "minimum_rows": 20},
}


def picture(brightness: float, random: np.random.Generator) -> bytes:
    content = io.BytesIO()
    pixels = np.clip(random.normal(255 * brightness, 20, (8, 8)), 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def insights(tmp_path: Path):
    """What the step finds in 200 pictures, half of the dark ones with the wrong class."""
    random = np.random.default_rng(0)
    dark = random.random(200) < 0.3
    frame = pd.DataFrame(
        {
            "image": [picture(0.2 if each else 0.7, random) for each in dark],
            "digit": random.choice(["one", "seven"], 200),
            "pen": random.choice(["blue", "red"], 200),
        }
    )
    schema = write_schema(SCHEMA, tmp_path)
    files = [tmp_path / f"{number}.png" for number in range(200)]
    for path, content in zip(files, frame["image"], strict=True):
        path.write_bytes(content)
    named = Examples(frame.assign(image=[path.name for path in files]), tmp_path)
    checked = step.MODALITY.check(named, schema)
    wrong = random.random(200) < np.where(dark, 0.6, 0.02)
    said = np.where(wrong, np.where(frame["digit"] == "one", "seven", "one"), frame["digit"])
    scored = step.Scored(Predictions(said), np.column_stack([said == "one", random.random(200)]).astype(float))
    policy = module("core.promotion").Policy.from_settings(POLICY, "classification")
    options = step.Options(rows=1000, cohort_depth=2, minimum_rows=20, heat_map=("pen", "brightness"))
    return step._insights("digits version 1", schema, policy, options, checked, scored, 13)


def test_dark_pictures_with_wrong_labels_are_found_by_their_brightness_and_shown(insights) -> None:
    first = insights.groups[0]
    assert first.confirmed
    assert first.rule.startswith("brightness up to 0.")
    assert insights.components == 2
    page = Page(dashboard.build(insights))
    shown = [each for each in page.all("image") if each["href"].startswith("data:image/png;base64,")]
    assert len(shown) == len(insights.typical) == 8
    assert {"one, predicted as seven", "seven, predicted as one"} >= set(page.text("figcaption")[:8])


def test_only_what_is_known_of_pictures_moves_the_errors_not_their_names(insights) -> None:
    blocks = {each.block for each in insights.mistakes.importance}
    assert {"brightness", "pen", "embedding (all 2)"} <= blocks
    assert not blocks & {"image", "digit", "file", "thumbnail", "original"}
