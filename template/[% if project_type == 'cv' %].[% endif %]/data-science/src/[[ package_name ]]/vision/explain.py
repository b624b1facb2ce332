"""How a model of images comes to its classes: its worst errors, what it is least sure of, and what it looks at."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from html import escape
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..core.answers import Answer, Answers, choose_answers, effects, errors_panel, unsure_panel
from ..core.metrics import Metric
from ..core.modality import Examples, Predict
from ..core.panels import Figure, Panel, Table
from ..core.schema import Schema
from ..image_model import decode
from . import data
from .data import IMAGE, contents

_SHOWN, _COVERED = 12, 6
_LOOK_FOR = "wrong labels, poor pictures, and classes that look alike"
# Pixels: the longer side of a picture in the report, up to which one has its pixels drawn as squares, and the longer
# side of one that is covered, because each of its copies becomes a file for the model.
_THUMBNAIL, _TINY, _LARGEST = 96, 48, 128
# Of a side: a patch is a fourth of it long, and moves in six steps.
_PATCH, _PLACES = 4, 7
# The loss of probability that gets the deepest colour, unless a picture has a larger one.
_DEEPEST = 0.1
# So the colours show on every picture.
_PALE = "filter:grayscale(1) opacity(.6)"
_REGIONS = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")


class Occlusion(NamedTuple):
    """What covering parts of one picture does to its prediction.

    Attributes:
        picture: what was covered; at most 128 pixels a side.
        corners: the left upper corners of the patch, of shape (places, 2), in pixels from the left and from the top.
        patch: its width and height.
        probability: of the predicted class, uncovered.
        losses: how much of it each place of the patch costs, of shape (places,).
        switches: how many places switch the predicted class.
    """

    picture: Image.Image
    corners: NDArray[np.int64]
    patch: tuple[int, int]
    probability: float
    losses: NDArray[np.float64]
    switches: int

    @property
    def region(self) -> str:
        """Return where the patch costs most, in words."""
        centre = self.corners[self.losses.argmax()] + np.array(self.patch) / 2
        column, row = np.minimum(3 * centre // np.array(self.picture.size), 2).astype(int)
        return _REGIONS[3 * row + column]


def explain(predict: Predict, test: Examples, schema: Schema, metric: Metric, seed: int) -> list[Panel]:
    """Return panels of the worst errors, of the least certain predictions, and of what matters in a few pictures.

    They need the probabilities of the classes; a model without them has none. `metric` plays no part.
    """
    predicted = predict(test)
    if predicted.probabilities is None:
        return []
    names = data.names(test.frame)
    answers = choose_answers(predicted, test.frame[schema.target], names, _SHOWN, seed)
    explained = answers.mixture(_COVERED)
    print(f"covering parts of {len(explained)} pictures, to see what the model looks at", flush=True)
    pictures = _Pictures(contents(test))
    return [
        errors_panel(answers, "picture", _errors(answers, pictures), _LOOK_FOR),
        unsure_panel(answers, "picture", _unsure(answers, pictures)),
        _occlusion_panel(explained, occlusions(predict, test, [pictures[each] for each in explained], explained)),
    ]


def figures(examples: Examples, captions: Sequence[str]) -> list[Figure]:
    """Return each picture as a figure with its caption, which describes it to readers who do not see it too."""
    both = zip(contents(examples), examples.frame["image"], captions, strict=True)
    return [Figure(picture_svg(decode(content), caption, str(name)), caption) for content, name, caption in both]


class _Pictures:
    """The pictures of answers, decoded when they are needed."""

    def __init__(self, files: Sequence[bytes]) -> None:
        self._files = files

    def __getitem__(self, answer: Answer) -> Image.Image:
        return decode(self._files[answer.position])


def occlusions(
    predict: Predict, test: Examples, pictures: Sequence[Image.Image], answers: Sequence[Answer]
) -> list[Occlusion]:
    """Cover each picture place by place with a patch of its mean colour, and predict all copies at once.

    Source: Zeiler and Fergus, "Visualizing and Understanding Convolutional Networks", ECCV (2014), section 4.2.
    """
    small = [_reduced(picture, _LARGEST) for picture in pictures]
    moves = [_moves(picture.size) for picture in small]
    copies = [
        copy
        for picture, (patch, corners) in zip(small, moves, strict=True)
        for copy in (picture, *(_covered(picture, patch, corner) for corner in corners))
    ]
    if not copies:
        return []
    rows = [each.position for each, (_, corners) in zip(answers, moves, strict=True) for _ in range(len(corners) + 1)]
    frame = test.frame.iloc[rows].reset_index(drop=True)
    predicted = predict(replace(test, frame=frame.assign(**{IMAGE: [_file(each, "PNG") for each in copies]})))
    counts = [len(corners) for _, corners in moves]
    return [
        Occlusion(picture, corners, patch, *effect)
        for picture, (patch, corners), effect in zip(small, moves, effects(predicted, answers, counts), strict=True)
    ]


def _moves(size: tuple[int, int]) -> tuple[tuple[int, int], NDArray[np.int64]]:
    """Return width and height of the patch, and its left upper corners, of shape (places, 2)."""
    width, height = (max(1, round(side / _PATCH)) for side in size)
    across, down = (
        np.unique(np.linspace(0, side - length, _PLACES).round().astype(int))
        for side, length in zip(size, (width, height), strict=True)
    )
    return (width, height), np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)


def _covered(picture: Image.Image, patch: tuple[int, int], corner: NDArray[np.int64]) -> Image.Image:
    pixels = np.array(picture)
    mean = pixels.mean(axis=(0, 1)).round().astype(np.uint8)
    left, top = corner
    pixels[top : top + patch[1], left : left + patch[0]] = mean
    return Image.fromarray(pixels)


def heat(occlusion: Occlusion) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return the mean loss of the places that cover a cell, between these edges: (across, down, cells)."""
    width, height = occlusion.picture.size
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for (left, top), loss in zip(occlusion.corners, occlusion.losses, strict=True):
        part = (slice(top, top + occlusion.patch[1]), slice(left, left + occlusion.patch[0]))
        total[part] += loss
        count[part] += 1
    across, down = (
        np.unique([occlusion.corners[:, axis], occlusion.corners[:, axis] + occlusion.patch[axis]]) for axis in (0, 1)
    )
    return across, down, (total / np.maximum(count, 1))[np.ix_(down[:-1], across[:-1])]


# --- panels


def _errors(answers: Answers, pictures: _Pictures) -> list[Figure]:
    return [
        Figure(
            picture_svg(pictures[each], f"A picture of {each.truth}, predicted as {each.prediction}", each.name),
            each.verdict,
        )
        for each in answers.worst
    ]


def _unsure(answers: Answers, pictures: _Pictures) -> list[Figure]:
    figures = []
    for each in answers.unsure:
        alt = f"A picture of {each.truth}, predicted as {each.options}"
        figures.append(Figure(picture_svg(pictures[each], alt, each.name), f"{each.options}; it is {each.truth}"))
    return figures


def _occlusion_panel(explained: Sequence[Answer], found: Sequence[Occlusion]) -> Panel:
    both = list(zip(explained, found, strict=True))
    fragile = sum(bool(each.switches) for each in found)
    captions = [f"{answer.verdict}: {_finding(each)}" for answer, each in both]
    table = Table(
        title="what matters in a few pictures",
        caption="Covering a fourth of each side: the largest loss of probability of the predicted class, where it is, "
        "and how many places of the patch change the prediction",
        header=("picture", "truth", "prediction", "probability", "largest loss", "where", "changes"),
        rows=[
            (
                answer.name,
                answer.truth,
                answer.prediction,
                f"{each.probability:.1%}",
                f"{100 * each.losses.max():.1f}",
                each.region,
                f"{each.switches} of {len(each.losses)}",
            )
            for answer, each in both
        ],
        texts=("truth", "prediction", "where"),
    )
    return Panel(
        name="occlusion",
        title="What the model looks at",
        intro="A patch covers each place of a picture in turn. Where that costs the predicted class most of its "
        "probability, the model looks: orange there, and blue where covering helps. The deepest colour is the largest "
        f"change, or {100 * _DEEPEST:.0f} points if none is as large. In {fragile} of {len(found)} pictures a patch "
        "changes the prediction. A model that looks at the background has learned the wrong thing.",
        figures=[],
        table=table,
        records=[
            answer.record("picture")
            | {"largest_loss": float(each.losses.max()), "where": each.region, "changes": each.switches}
            for answer, each in both
        ],
        gallery=[
            Figure(heat_svg(each, f"What matters in a picture of {answer.truth}: {caption}", answer.name), caption)
            for (answer, each), caption in zip(both, captions, strict=True)
        ],
        examples=True,
    )


def _finding(found: Occlusion) -> str:
    points = round(100 * float(found.losses.max()))
    if points < 1:
        return "no place costs a point"
    return f"covering the {found.region} costs {points} point{'s' if points > 1 else ''}"


# --- drawings


def picture_svg(picture: Image.Image, alt: str, name: str) -> str:
    """Return a picture as an inline SVG; `alt` is for readers who do not see it, `name` that of the file."""
    image, box = _image(picture)
    return _svg(image, box, alt, name)


def heat_svg(occlusion: Occlusion, alt: str, name: str) -> str:
    """Return a picture beside its copy in grey, on which the places that matter are coloured."""
    (image, (width, height)), (grey, _) = _image(occlusion.picture), _image(occlusion.picture, _PALE)
    across, down, cells = heat(occlusion)
    deepest = max(_DEEPEST, float(np.abs(cells).max()))
    scale = height / occlusion.picture.height
    left, boxes = (width - scale * occlusion.picture.width) / 2, []
    for row, column in np.ndindex(cells.shape):
        opacity = 0.85 * min(1.0, abs(float(cells[row, column])) / deepest)
        if opacity >= 0.03:
            x, y = left + scale * across[column], scale * down[row]
            wide, high = scale * (across[column + 1] - across[column]), scale * (down[row + 1] - down[row])
            colour = "champion" if cells[row, column] > 0 else "challenger"
            boxes.append(
                f'<rect x="{x:.2f}" y="{y:.2f}" width="{wide:.2f}" height="{high:.2f}" '
                f'fill="var(--{colour})" fill-opacity="{opacity:.2f}"/>'
            )
    gap = width / 16
    beside = f'<g transform="translate({width + gap:g} 0)" shape-rendering="crispEdges">{grey}{"".join(boxes)}</g>'
    return _svg(image + beside, (2 * width + gap, height), alt, name, ' class="wide"')


def _svg(content: str, box: tuple[float, float], alt: str, name: str, attributes: str = "") -> str:
    width, height = box
    # The outline is in the colour of the text, so that a black picture shows in the dark mode of the page too.
    frame = (
        f'<rect width="{width:g}" height="{height:g}" fill="none" stroke="var(--ink)" stroke-opacity=".25" '
        'vector-effect="non-scaling-stroke"/>'
    )
    return (
        f'<svg role="img" aria-label="{escape(alt)}"{attributes} viewBox="0 0 {width:g} {height:g}">'
        f"<title>{escape(name)}</title>{content}{frame}</svg>"
    )


def _image(picture: Image.Image, style: str = "") -> tuple[str, tuple[float, float]]:
    """Return the picture as an element in this style, and its box, which is at most twice as high as it is wide."""
    small = _reduced(picture, _THUMBNAIL)
    width, height = max(small.width, small.height / 2), small.height
    # A photograph is much smaller as JPEG; of a few pixels each counts.
    kind, sharp = ("PNG", "image-rendering:pixelated;") if max(small.size) <= _TINY else ("JPEG", "")
    data = base64.b64encode(_file(small, kind)).decode("ascii")
    return (
        f'<image width="{width:g}" height="{height}" style="{sharp}{style}" '
        f'href="data:image/{kind.lower()};base64,{data}"/>'
    ), (width, height)


def _reduced(picture: Image.Image, longest: int) -> Image.Image:
    """Return a copy with at most so many pixels a side, without what else its file tells, such as the place."""
    share = min(1.0, longest / max(picture.size))
    width, height = (max(1, math.floor(share * side)) for side in picture.size)
    return Image.fromarray(np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)))


def _file(picture: Image.Image, kind: str) -> bytes:
    buffer = io.BytesIO()
    options: dict[str, Any] = {"compress_level": 1} if kind == "PNG" else {"quality": 80}
    picture.save(buffer, kind, **options)
    return buffer.getvalue()
