"""Images as a model sees them: decoding, and the model itself, which ONNX Runtime computes.

MLflow copies this file into each model, and `data_file.py` loads it as a lone file, so it imports nothing from its own
package, and only what the environment `inference` has.
"""

import io
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# Larger ones are refused, by their header: a small file can hold a picture that does not fit into memory.
MAXIMUM_PIXELS = 50_000_000
MAXIMUM_BYTES = 20 * 2**20
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")

# Pillow warns above this limit, and stops a reader that finds twice as many pixels in a later part of the file.
Image.MAX_IMAGE_PIXELS = MAXIMUM_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `decode` refuses such a picture itself


def decode(content: bytes) -> Image.Image:
    """Return the picture in a file, upright, in the mode L (grey) or RGB with 8 bits per channel.

    The orientation that a camera notes (EXIF) is applied. Transparent parts become white; of 16 bits the upper 8 are
    kept; of several frames or pages the first one is taken.

    Raises:
        ValueError: it is not a picture, is damaged, or is too large; in one line.
    """
    if not content:
        raise ValueError("it is empty (0 bytes); write the file again")
    if len(content) > MAXIMUM_BYTES:
        raise ValueError(f"it has {len(content):,} bytes; make it smaller, at most {MAXIMUM_BYTES:,} are read")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAXIMUM_PIXELS:
                raise Image.DecompressionBombError(f"{image.width:,} x {image.height:,}")
            image.load()
            return _plain(_upright(image))
    except Image.UnidentifiedImageError as error:
        raise ValueError(f"it is not a picture in one of the formats {', '.join(FORMATS)}") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"it has too many pixels; make it smaller, at most {MAXIMUM_PIXELS:,} are read") from error
    except _UnsupportedError as error:
        raise ValueError(str(error)) from error
    # Pillow's readers meet damaged files with errors of many kinds.
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"it is a damaged picture ({reason}); write the file again") from error


class _UnsupportedError(Exception):
    """Values that have no one meaning as grey or colour; the text says which, and the remedy."""


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    # Damaged notes of a camera; the picture itself has been read.
    except Exception:
        return image


def _plain(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        # As Pillow reads 16 bits of a colour.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise _UnsupportedError("its pixels are 32-bit numbers without a range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        visible = image.convert("RGBA")
        image_on_white = Image.new("RGBA", image.size, "white")
        image_on_white.alpha_composite(visible)
        return image_on_white.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def pixels(image: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """Return an image as a network takes it, of shape (channels, size, size), values 0 to 255."""
    converted = image.convert("L" if channels == 1 else "RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(converted, dtype=np.uint8).reshape(size, size, channels).transpose(2, 0, 1)
