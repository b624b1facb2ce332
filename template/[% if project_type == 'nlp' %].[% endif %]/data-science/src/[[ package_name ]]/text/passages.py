"""What a reader sees of single texts: where each of them is from, and its beginning."""

from collections.abc import Sequence

from ..core.modality import Examples
from ..core.panels import Passage
from . import data

CHARACTERS = 900
"""So much of a text is shown."""


def names(examples: Examples) -> list[str]:
    """Return the file of each text and its row there, or its row here: nothing of the text."""
    frame = examples.frame
    if data.SOURCE in frame:
        return frame[data.SOURCE].astype(str).tolist()
    return [f"row {row}" for row in range(len(frame))]


def passages(examples: Examples, captions: Sequence[str]) -> list[Passage]:
    """Return the beginning of each text with its caption."""
    texts = examples.frame[data.TEXT]
    return [Passage([(shortened(text), 0.0)], caption) for text, caption in zip(texts, captions, strict=True)]


def shortened(text: str) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= CHARACTERS else f"{text[:CHARACTERS].rstrip()} ..."
