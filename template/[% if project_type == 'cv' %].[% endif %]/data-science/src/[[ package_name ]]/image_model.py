"""Images as a model sees them: decoding, and the model itself, which ONNX Runtime computes.

MLflow copies this file into each model, so it imports nothing from its own package, and only what the environment
`inference` has.
"""

import io
import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from numpy.typing import NDArray
from PIL import Image, ImageOps, TiffImagePlugin

# Larger ones are refused, by their header: a small file can hold a picture that does not fit into memory.
MAXIMUM_PIXELS = 50_000_000
MAXIMUM_BYTES = 20 * 2**20
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF")
EMPTY = "it is empty (0 bytes); write the file again"
_BITS_PER_SAMPLE, _MAXIMUM_SAMPLE = 258, 281  # tags of TIFF

# Pillow warns above this limit, and stops a reader that finds twice as many pixels in a later part of the file.
Image.MAX_IMAGE_PIXELS = MAXIMUM_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # `decode` refuses such a picture itself

# So many images are decoded and computed at a time.
ROWS_AT_ONCE = 64


def decode(content: bytes) -> Image.Image:
    """Return the picture in a file, upright, in the mode L (grey) or RGB with 8 bits per channel.

    The orientation that a camera notes (EXIF) is applied. Transparent parts become white; of 16 bits the upper 8 are
    kept, or of those that a TIFF file names as used; of several frames or pages the first one is taken.

    Raises:
        ValueError: it is not a picture, is damaged, or is too large; in one line.
    """
    if not content:
        raise ValueError(EMPTY)
    if len(content) > MAXIMUM_BYTES:
        raise ValueError(f"it has {len(content):,} bytes; make it smaller, at most {MAXIMUM_BYTES:,} are read")
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > MAXIMUM_PIXELS:
                raise Image.DecompressionBombError(f"{image.width:,} x {image.height:,}")
            image.load()
            bits = _bits(image)
            return _plain(_upright(image), bits)
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


def _bits(image: Image.Image) -> int:
    """Return how many bits of 16 have values, by the tags of a TIFF file; of a PNG file all have."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or not image.mode.startswith("I;16"):
        return 16
    highest = int(np.max(image.tag_v2.get(_MAXIMUM_SAMPLE, 0xFFFF)))
    stored = int(np.max(image.tag_v2.get(_BITS_PER_SAMPLE, 16)))
    bits = max(8, min(highest.bit_length(), stored))
    return bits if np.asarray(image).max() < 1 << bits else 16  # a note that the pixels contradict does not count


def _plain(image: Image.Image, bits: int) -> Image.Image:
    if image.mode.startswith("I;16"):
        # As Pillow reads 16 bits of a colour.
        return Image.fromarray((np.asarray(image) >> (bits - 8)).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise _UnsupportedError("its pixels are 32-bit numbers without a range; save it with 8 or 16 bits")
    if image.has_transparency_data:
        visible = image.convert("RGBA")
        image_on_white = Image.new("RGBA", image.size, "white")
        image_on_white.alpha_composite(visible)
        return image_on_white.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB")
    if image.mode == "P":
        colours = image.convert("RGB")
        values = np.asarray(colours)
        return colours.convert("L") if (values == values[:, :, :1]).all() else colours
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def pixels(image: Image.Image, size: int, channels: int) -> NDArray[np.uint8]:
    """Return an image as a network takes it, of shape (channels, size, size), values 0 to 255.

    Its proportions stay: what is missing to a square gets the mean colour of its border.
    """
    converted = image.convert("L" if channels == 1 else "RGB")
    scale = size / max(converted.size)
    width, height = (max(1, round(side * scale)) for side in converted.size)
    values = np.asarray(converted.resize((width, height), Image.Resampling.BILINEAR)).reshape(height, width, channels)
    if (width, height) != (size, size):
        border = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
        square = np.empty((size, size, channels), dtype=np.uint8)
        square[:] = border.mean(axis=0).round()
        top, left = (size - height) // 2, (size - width) // 2
        square[top : top + height, left : left + width] = values
        values = square
    return np.ascontiguousarray(values.transpose(2, 0, 1))


class ImageClassifier(PythonModel):
    """Classes of images, with a probability each; or, with the parameter `embedding`, how the network sees them."""

    def load_context(self, context: Any) -> None:
        """Start a session of ONNX Runtime, on a GPU where there is one and the package for it."""
        import onnxruntime  # here: who only decodes images does not need it

        options = onnxruntime.SessionOptions()
        # As other numerical libraries do it; 0 is one thread for each core.
        options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS") or 0)
        known = onnxruntime.get_available_providers()
        providers = [name for name in ("CUDAExecutionProvider", "CPUExecutionProvider") if name in known]
        if providers[0] != "CPUExecutionProvider":
            onnxruntime.preload_dlls()  # the packages of CUDA lie beside its own, where the loader does not look
        self.session = onnxruntime.InferenceSession(context.artifacts["model"], options, providers=providers)
        if self.session.get_providers()[0] != providers[0]:
            print("no GPU can be used here: the model is computed by the processor", flush=True)
        about = json.loads(Path(context.artifacts["description"]).read_text(encoding="utf-8"))
        self.classes = about["classes"]
        self.values = np.array([int(name) for name in self.classes] if about["integers"] else self.classes)
        self.size, self.channels = about["size"], about["channels"]

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Return a row for each image.

        Args:
            context: of MLflow.
            model_input: the column `image` has the content of the files.
            params: with `embedding` true the result is the embedding.

        Returns:
            The column `prediction` and, named like the classes, their probabilities; or columns of the embedding.

        Raises:
            ValueError: a file is no image that can be decoded; the line names its row.
        """
        output = "embedding" if (params or {}).get("embedding") else "probabilities"
        contents = list(model_input["image"])
        parts = [self._run(output, contents, first) for first in range(0, len(contents), ROWS_AT_ONCE)]
        # Without rows there are columns all the same.
        columns = {each.name: each.shape[1] for each in self.session.get_outputs()}[output]
        values = np.concatenate([np.empty((0, columns)), *parts])
        if output == "embedding":
            return pd.DataFrame(values, columns=[f"component_{place}" for place in range(1, values.shape[1] + 1)])
        table = pd.DataFrame(values, columns=self.classes)
        table.insert(0, "prediction", self.values[values.argmax(axis=1)])
        return table

    def _run(self, output: str, contents: Sequence[bytes], first: int) -> NDArray[np.float32]:
        part = contents[first : first + ROWS_AT_ONCE]
        images = np.empty((len(part), self.channels, self.size, self.size), dtype=np.uint8)
        for row, content in enumerate(part):
            try:
                images[row] = pixels(decode(content), self.size, self.channels)
            except ValueError as error:
                raise ValueError(f"row {first + row}: {error}") from error
        values: NDArray[np.float32] = self.session.run([output], {"images": images})[0]
        return values


set_model(ImageClassifier())
