"""Images as a model sees them: decoding, and the model itself, which ONNX Runtime computes.

MLflow copies this file into each model, and `data_file.py` loads it as a lone file, so it imports nothing from its own
package, and only what the environment `inference` has.
"""

import io
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel
from numpy.typing import NDArray
from PIL import Image, ImageOps

# Larger ones are refused: a small file can hold a picture that does not fit into memory.
MAXIMUM_PIXELS = 50_000_000
MAXIMUM_BYTES = 20 * 2**20

# So many images are decoded and computed at a time.
ROWS_AT_ONCE = 64


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
        self.session = onnxruntime.InferenceSession(context.artifacts["model"], options, providers=providers)
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
            The columns `prediction` and, named like the classes, their probabilities; or the components of the embedding.

        Raises:
            ValueError: a file is no image that can be decoded; the line names its row.
        """
        output = "embedding" if (params or {}).get("embedding") else "probabilities"
        contents = list(model_input["image"])
        parts = [self._run(output, contents, first) for first in range(0, len(contents), ROWS_AT_ONCE)]
        # Without rows there are columns all the same.
        values = np.concatenate(parts) if parts else self._run(output, [], 0)
        if output == "embedding":
            return pd.DataFrame(values, columns=[f"component_{place}" for place in range(1, values.shape[1] + 1)])
        table = pd.DataFrame(values.astype(float), columns=self.classes)
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
