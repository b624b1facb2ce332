"""Images as a model sees them: decoding, and the model itself, which ONNX Runtime computes.

MLflow copies this file into each model, and `data_file.py` loads it as a lone file, so it imports nothing from its own
package, and only what the environment `inference` has.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

# Larger ones are refused: a small file can hold a picture that does not fit into memory.
MAXIMUM_PIXELS = 50_000_000
MAXIMUM_BYTES = 20 * 2**20


def decode(content: bytes) -> Image.Image:
    """Return the picture in a file, upright, in the mode L (grey) or RGB.

    Raises:
        ValueError: it is not a picture, is damaged, or is too large; in one line.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.width * image.height > MAXIMUM_PIXELS:
                raise ValueError(f"{image.width} x {image.height} pixels are too many; at most {MAXIMUM_PIXELS:,}")
            upright = ImageOps.exif_transpose(image)
            return upright.convert("L" if upright.mode in ("1", "L") else "RGB")
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"it is not a readable image: {error}") from error


def pixels(image: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """Return an image as a network takes it, of shape (channels, size, size), values 0 to 255."""
    converted = image.convert("L" if channels == 1 else "RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(converted, dtype=np.uint8).reshape(size, size, channels).transpose(2, 0, 1)
