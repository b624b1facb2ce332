"""Decoded images for training: each is decoded once, as long as a temporary file has room for it."""

import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..core.step import StepError
from ..image_model import decode, pixels
from ..neural.processes import processors
from .networks import Look

# So many batches are prepared while the network computes.
_BATCHES_AHEAD = 2
# The look of images is that of so many, spread over all of them.
_LOOKED_AT = 200
_SMALLEST, _LARGEST = 8, 128
_THUMBNAIL = 64


class Pictures:
    """Images of one size, by their place among the examples.

    They are decoded when they are needed, by several threads: Pillow works outside of Python's lock. What was decoded
    goes to a file and not into memory, which stays small however many there are.
    """

    def __init__(
        self, contents: Sequence[bytes], size: int, channels: int, cache: float = 0.0, workers: int | None = None
    ) -> None:
        """Prepare to decode.

        Args:
            contents: of the files.
            size: width and height of the results, in pixels.
            channels: 1 for grey, 3 for colour.
            cache: the decoded images are kept if they need at most so many megabytes, in a file of each process.
            workers: threads; None are as many as processors.
        """
        self._contents, self._shape = contents, (channels, size, size)
        self._workers = workers or processors()
        self._bytes = channels * size * size
        fits = len(contents) * self._bytes <= cache * 2**20
        # Unbuffered: each image is one read. Nothing is mapped into memory, where it would count as used.
        self._file = tempfile.TemporaryFile(buffering=0) if fits else None  # noqa: SIM115  # it lives as long as this
        self._kept = np.zeros(len(contents), dtype=bool)

    def __len__(self) -> int:
        """Return how many images there are."""
        return len(self._contents)

    def batches(self, parts: Iterable[NDArray[Any]]) -> Iterator[tuple[NDArray[np.uint8]]]:
        """Yield the images at each of `parts`, of shape (images, channels, size, size); the next ones are under way.

        Raises:
            StepError: a file is no image that can be decoded.
        """
        waiting: deque[Future[NDArray[np.uint8]]] = deque()
        with ThreadPoolExecutor(self._workers) as decoders, ThreadPoolExecutor(1) as ahead:
            for part in parts:
                waiting.append(ahead.submit(self._take, part, decoders))
                if len(waiting) > _BATCHES_AHEAD:
                    yield (waiting.popleft().result(),)
            while waiting:
                yield (waiting.popleft().result(),)

    def _take(self, places: NDArray[Any], decoders: ThreadPoolExecutor) -> NDArray[np.uint8]:
        images = np.empty((len(places), *self._shape), dtype=np.uint8)
        absent: list[int] = []
        for row, place in enumerate(places.tolist()):
            if self._file is not None and self._kept[place]:
                self._file.seek(place * self._bytes)
                self._file.readinto(images[row])
            else:
                absent.append(row)
        # A part for each thread: handing over single images takes as long as decoding small ones.
        shares = [absent[first :: self._workers] for first in range(min(self._workers, len(absent)))]
        list(decoders.map(lambda rows: self._decode(images, places, rows), shares))
        for row in absent:
            self._keep(int(places[row]), images[row])
        return images

    def _decode(self, images: NDArray[np.uint8], places: NDArray[Any], rows: Iterable[int]) -> None:
        channels, size, _ = self._shape
        for row in rows:
            place = int(places[row])
            image = decoded(content_at(self._contents, place), place)
            images[row] = pixels(image, size, channels)

    def _keep(self, place: int, image: NDArray[np.uint8]) -> None:
        if self._file is None:
            return
        try:
            self._file.seek(place * self._bytes)
            self._kept[place] = self._file.write(image.data) == self._bytes
        except OSError as error:
            print(f"decoded images are not kept any longer ({error}): each epoch decodes them", flush=True)
            self._file.close()
            self._file = None


def look(contents: Sequence[bytes], size: int | None = None, workers: int | None = None) -> Look:
    """Return what images look like, by some of them.

    Args:
        contents: of the files.
        size: width and height in pixels; None is the median of the longer sides, 8 to 128.
        workers: threads; None are as many as processors.

    Raises:
        StepError: a file is no image that can be decoded.
    """
    places = np.unique(np.linspace(0, len(contents) - 1, _LOOKED_AT).astype(int)).tolist()

    def small(item: tuple[int, bytes]) -> tuple[int, Image.Image]:
        image = decoded(item[1], item[0])
        longest = max(image.size)
        image.thumbnail((_THUMBNAIL, _THUMBNAIL))
        return longest, image

    sides, images = [], []
    with ThreadPoolExecutor(workers or processors()) as pool:
        # A few at a time, because the files may be large.
        for first in range(0, len(places), 16):
            items = [(place, content_at(contents, place)) for place in places[first : first + 16]]
            for side, image in pool.map(small, items):
                sides.append(side)
                images.append(image)
    channels = 1 if all(image.mode == "L" for image in images) else 3
    flat = [pixels(image, max(image.size), channels).reshape(channels, -1) for image in images]
    values = np.concatenate(flat, axis=1)
    mean, deviation = values.mean(axis=1) / 255, values.std(axis=1) / 255
    suitable = int(np.clip(np.median(sides), _SMALLEST, _LARGEST))
    return Look(size or suitable, channels, tuple(mean.tolist()), tuple(np.maximum(deviation, 0.01).tolist()))


def content_at(contents: Sequence[bytes], place: int) -> bytes:
    """Return the content of a file.

    Raises:
        StepError: it cannot be read any more.
    """
    try:
        return contents[place]
    except ValueError as error:
        raise StepError(f"image {place + 1} of the training data cannot be read: {error}; run prep again") from error


def decoded(content: bytes, place: int) -> Image.Image:
    """Return the image in a file.

    Raises:
        StepError: there is none that can be decoded; `prep` would have found that.
    """
    try:
        return decode(content)
    except ValueError as error:
        raise StepError(f"image {place + 1} of the training data: {error}; run prep again") from error
