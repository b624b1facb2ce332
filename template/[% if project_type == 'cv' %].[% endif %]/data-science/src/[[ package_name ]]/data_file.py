"""How one file of pictures becomes rows, and how a request names or encodes pictures. See `core.modality`.

The scoring script loads it without its package, so it imports nothing but lone files that are beside it.

A value of the column `image` is the text of a file in base64, also as a data URL (`data:image/png;base64,...`); in a
request also the URL of a blob, `https://<host>/<container>/<blob>`. The environment variable `MLOPS_STORAGE_HOSTS`
lists the hosts of such URLs, separated by commas; without it none is accepted. A blob is read with the identity of the
deployment, whose token goes to these hosts alone: list only storage accounts of your own.
"""

import base64
import binascii
import functools
import http.client
import math
import os
import re
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from PIL import Image

from . import archive_file, image_model, table_file

IMAGE = "image"
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
ARCHIVE = archive_file.ARCHIVE
TABLES = table_file.SUFFIXES

# Of one request: as many pictures, and as many bytes and pixels in all of them together.
REQUEST_PICTURES = 64
REQUEST_BYTES = 64 * 2**20
REQUEST_PIXELS = 200_000_000

HOSTS = "MLOPS_STORAGE_HOSTS"
_SCOPE = "https://storage.azure.com/.default"
# Seconds: without an answer, and for all pictures of a request.
_TIMEOUT, _DEADLINE = 10.0, 30.0
_BLOCK = 2**16

# What `describe` measures. Large pictures are reduced to about this side first; sharpness takes the middle instead.
_SIDE = 512
DESCRIPTIONS = {
    "width": "pixels",
    "height": "pixels",
    "brightness": "mean of the grey values, 0 (black) to 1 (white)",
    "contrast": "standard deviation of the grey values",
    "sharpness": "standard deviation of the Laplacian of the grey values: how much changes from pixel to pixel",
    "saturation": "mean difference of the largest and the smallest colour channel; 0 is grey",
    "uprightness": "of the edges: 1 if all are vertical, -1 if all are horizontal",
    "slant": "of the edges: 1 if all lean to the right as /, -1 if all lean to the left",
}


def read(path: Path, columns: Collection[str], files: Mapping[str, Any] | None = None) -> pd.DataFrame | None:
    """Return a picture as one row, or the pictures in a zip archive as many, with base64 text in the column `image`.

    Args:
        path: the file. The index of the pictures of an archive is their names in it.
        columns: names of the columns that are needed; this one is all that there is.
        files: how tables are written; none is read here.

    Returns:
        None for a table: it has the labels of pictures that are read themselves.

    Raises:
        ValueError: the file cannot be read, or has no pictures; in one line.
    """
    suffix = path.suffix.lower()
    if suffix in TABLES:
        return None
    if suffix != ARCHIVE:
        return pd.DataFrame({IMAGE: [encode(read_picture(path))]})
    with archive_file.open_archive(path) as archive:
        names = picture_names(archive.namelist())
        if not names:
            raise ValueError(f"there is no picture in this archive; the suffixes are {', '.join(PICTURES)}")
        return pd.DataFrame({IMAGE: [encode(read_member(archive, name)) for name in names]}, index=names)


def load(inputs: pd.DataFrame, request: bool = False) -> pd.DataFrame:
    """Return the files of the pictures as bytes, each of which can be decoded.

    Args:
        inputs: texts in the column `image`.
        request: whether they came in a request: only that may have URLs, and has limits of its own.

    Raises:
        ValueError: a picture cannot be read or decoded, or they are too many or too large; names its row.
    """
    if request and len(inputs) > REQUEST_PICTURES:
        raise ValueError(f"{len(inputs)} pictures are too many for one request; send at most {REQUEST_PICTURES}")
    left, pixels = REQUEST_BYTES, REQUEST_PIXELS
    deadline = time.monotonic() + _DEADLINE
    contents = []
    for row, value in inputs[IMAGE].items():
        try:
            content = _content(value, request, deadline)
            image = image_model.decode(content)
        except ValueError as error:
            raise ValueError(f"{IMAGE} of row {row}: {error}") from error
        left, pixels = left - len(content), pixels - image.width * image.height
        if request and min(left, pixels) < 0:
            limits = f"{REQUEST_BYTES:,} bytes and {REQUEST_PIXELS:,} pixels"
            raise ValueError(f"the pictures up to row {row} have more than {limits} together; send fewer at once")
        contents.append(content)
    return inputs.assign(**{IMAGE: pd.Series(contents, index=inputs.index, dtype=object)})


def describe(inputs: pd.DataFrame) -> pd.DataFrame:
    """Return what is measured of each picture, as floats: the columns of `DESCRIPTIONS`.

    Raises:
        ValueError: a picture cannot be decoded.
    """
    rows = [measures(image_model.decode(content)) for content in inputs[IMAGE]]
    return pd.DataFrame(np.array(rows, dtype=float).reshape(-1, len(DESCRIPTIONS)), inputs.index, list(DESCRIPTIONS))


def measures(image: Image.Image) -> tuple[float, ...]:
    """Return what `DESCRIPTIONS` lists of a picture in the mode L or RGB.

    Contrast is the root mean square contrast; sharpness is the square root of the variance of the Laplacian
    (Pech-Pacheco et al., International Conference on Pattern Recognition, 2000). Uprightness and slant are the two
    numbers of the structure tensor that tell the direction of the edges and turn with the picture (Bigün and Granlund,
    International Conference on Computer Vision, 1987): with the gradient (x, y) of each pixel, sum(x² - y²) and
    2 sum(xy), each divided by sum(x² + y²).
    """
    width, height = image.size
    step = max(1, math.ceil(max(width, height) / _SIDE))
    small = image.reduce((min(step, width), min(step, height))) if step > 1 else image
    grey = _grey(small)
    x, y = (grey[1:-1, 2:] - grey[1:-1, :-2]).ravel(), (grey[2:, 1:-1] - grey[:-2, 1:-1]).ravel()
    xx, yy, xy = float(x @ x), float(y @ y), float(x @ y)
    energy = xx + yy or 1.0
    middle = grey if step == 1 else _grey(_middle(image))
    laplacian = middle[1:-1, 2:] + middle[1:-1, :-2] + middle[2:, 1:-1] + middle[:-2, 1:-1] - 4 * middle[1:-1, 1:-1]
    sharpness = float(laplacian.std()) if laplacian.size else 0.0
    saturation = 0.0
    if small.mode == "RGB":
        colours = np.asarray(small)
        saturation = float((colours.max(axis=2) - colours.min(axis=2)).mean()) / 255
    numbers = float(grey.mean()), float(grey.std()), sharpness, saturation, (xx - yy) / energy, 2 * xy / energy
    return float(width), float(height), *numbers


def _middle(image: Image.Image) -> Image.Image:
    left, upper = (max(0, side - _SIDE) // 2 for side in image.size)
    return image.crop((left, upper, min(image.width, left + _SIDE), min(image.height, upper + _SIDE)))


def _grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), dtype=np.float32) / np.float32(255)


# --- files


def encode(content: bytes) -> str:
    """Return the bytes of a file as base64 text."""
    return base64.b64encode(content).decode("ascii")


def picture_names(names: Iterable[str], suffixes: Collection[str] = PICTURES) -> list[str]:
    """Return the names of pictures, in order; hidden files, and what macOS adds to an archive, are none."""
    return archive_file.visible_names(names, suffixes)


def read_picture(path: Path) -> bytes:
    """Return the bytes of a file.

    Raises:
        ValueError: there is no such file, or it is too large to be read.
    """
    return archive_file.read_file(path, image_model.MAXIMUM_BYTES)


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return the bytes of a file in an archive.

    Raises:
        ValueError: there is no such file, it is too large, encrypted, or damaged.
    """
    return archive_file.read_member(archive, name, image_model.MAXIMUM_BYTES)


def _check_size(size: int) -> None:
    archive_file.check_size(size, image_model.MAXIMUM_BYTES)


# --- values of a request


def _content(value: object, request: bool, deadline: float) -> bytes:
    if not isinstance(value, str):
        wrong = "it is missing or empty; it must be the bytes of a file, in base64"
        raise ValueError(wrong if request else image_model.EMPTY)
    text = value.strip()
    if re.match(r"[a-z][a-z0-9+.-]*://", text, re.IGNORECASE):
        if not request:
            raise ValueError("it is a URL, and a batch is made of files")
        return _fetched(text, deadline)
    if text[:5].lower() == "data:":
        head, comma, text = text.partition(",")
        if not comma or not head.lower().endswith(";base64"):
            raise ValueError("it is a data URL of another kind than data:image/png;base64,...")
    # Four characters of base64 are three bytes.
    _check_size(len(text) * 3 // 4 - 2)
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        what = "base64 text, or https://<host>/<container>/<blob>" if request else "base64 text"
        raise ValueError(f"it is not valid base64 ({error}); send the bytes of the file as {what}") from error


def _fetched(url: str, deadline: float) -> bytes:
    host = _allowed_host(url)
    headers = {"Authorization": f"Bearer {_token()}", "x-ms-version": "2021-12-02"}
    content = bytearray()
    try:
        with _opened(urllib.request.Request(url, headers=headers)) as answer:
            if answer.status != 200:
                raise ValueError(f"{host} answers with status {answer.status}")
            while block := answer.read1(_BLOCK):
                content += block
                _check_size(len(content))
                if time.monotonic() > deadline:
                    raise ValueError(f"{host} takes too long; all pictures of a request have {_DEADLINE:g} seconds")
            if str(len(content)) != answer.headers.get("Content-Length", str(len(content))):
                raise ValueError(f"{host} sent a part of the file; send the request again")
    except urllib.error.HTTPError as error:
        remedy = "give the identity of the deployment the role Storage Blob Data Reader there"
        hint = f": {remedy}, or correct the URL" if error.code in (401, 403, 404) else ""
        raise ValueError(f"{host} answers with status {error.code}{hint}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{host} cannot be read ({reason})") from error
    return bytes(content)


def _allowed_host(url: str) -> str:
    """Return the host of a URL, which must be one that is listed, by https and nothing else in its place."""
    hosts = [host.strip().lower() for host in os.environ.get(HOSTS, "").split(",") if host.strip()]
    if not hosts:
        raise ValueError(f"it is a URL, and no host is allowed: {HOSTS} of the deployment is empty; send base64 text")
    try:
        # Programs differ in how they read other characters.
        if re.search(r"[^!-~]|[\\#]", url):
            raise ValueError("it has a character that does not belong there")
        parts = urlsplit(url)
        if parts.scheme.lower() != "https":
            raise ValueError("its scheme is not https")
        # The whole of it, so that neither a user nor a port is there.
        if parts.netloc.lower() not in hosts:
            raise ValueError(f"its host is not one of {', '.join(hosts)}")
    except ValueError as error:
        raise ValueError(f"the URL is refused, {error}") from error
    return parts.netloc.lower()


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Answers a redirect as an error: it could lead to a host that is not allowed, and the token with it."""

    def redirect_request(self, *arguments: Any, **others: Any) -> None:
        """Follow none."""


def _opened(request: urllib.request.Request) -> AbstractContextManager[Any]:
    return urllib.request.build_opener(_NoRedirects).open(request, timeout=_TIMEOUT)


def _token() -> str:
    try:
        return _credential().get_token(_SCOPE).token
    # Each kind of identity fails in its own way.
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"the deployment has no identity that reads it ({reason}); send base64 text") from error


@functools.cache
def _credential() -> Any:
    # A second of imports that only URLs need.
    from azure.identity import DefaultAzureCredential

    return DefaultAzureCredential()
