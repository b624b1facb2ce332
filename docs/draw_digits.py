"""Draw the sample of handwritten digits that is committed in the overlay of the project type `cv`.

    uv run --no-project --python 3.11 --with "scikit-learn>=1.9,<1.10" docs/draw_digits.py

The digits are those of scikit-learn's `load_digits`. What is drawn depends on no random generator: noise, paper and
angle of a picture are bytes of a hash of its number. The files are the same, byte for byte, with zlib 1.2 and 1.3,
which compress the pictures; with another library the pixels are.
"""

import csv
import hashlib
import io
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

DATA = Path(__file__).parents[1] / "template" / "[% if project_type == 'cv' %].[% endif %]" / "data"
# Part, archive, digits, degrees clockwise, levels of noise.
PARTS = (
    ("raw", "digits.zip", range(1437), 0.0, 8),
    ("production", "later.zip", range(1437, 1797), 20.0, 32),
)
SIDE, MARGIN, INK = 20, 2, 40
PAPER = {"white": 255, "grey": 200}


def number(index: int, purpose: str) -> float:
    """Return a number from 0 to below 1 for one purpose of a picture."""
    return int.from_bytes(hashlib.sha256(f"{purpose} {index}".encode()).digest()[:4]) / 2**32


def picture(index: int, ink: np.ndarray, paper: str, degrees: float, noise: int) -> np.ndarray:
    """Return a picture of SIDE x SIDE pixels with 256 levels.

    Args:
        index: the number of the digit, which decides the noise.
        ink: the digit as it is in the data set, of shape (8, 8), 0 to 16.
        paper: its name.
        degrees: how far the digit is turned clockwise.
        noise: how many levels the pixels of grey paper vary.
    """
    turn = np.deg2rad(degrees)
    centre = (SIDE - 1) / 2
    y, x = np.mgrid[0:SIDE, 0:SIDE] - centre
    scale = 8 / (SIDE - 2 * MARGIN)
    # Where each pixel was before the turn, on the grid of the digit.
    column = (x * np.cos(turn) + y * np.sin(turn)) * scale + 3.5
    row = (y * np.cos(turn) - x * np.sin(turn)) * scale + 3.5
    padded = np.pad(ink / 16, 8)
    left, upper = np.floor(column).astype(int), np.floor(row).astype(int)
    right, lower = column - left, row - upper
    share = sum(
        padded[upper + i + 8, left + j + 8] * (lower if i else 1 - lower) * (right if j else 1 - right)
        for i in (0, 1)
        for j in (0, 1)
    )
    level = PAPER[paper] - share * (PAPER[paper] - INK)
    grain = np.frombuffer(hashlib.shake_256(f"noise {index}".encode()).digest(SIDE * SIDE), dtype=np.uint8)
    if paper == "grey" or degrees:
        level = level + (grain.reshape(SIDE, SIDE) / 255 - 0.5) * noise
    # Steps of 8 levels compress better.
    return (np.clip(np.round(level / 8), 0, 31) * 8).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """Return an image of shape (height, width) as a PNG with 8 bits of grey."""
    height, width = pixels.shape
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    )
    parts = [
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def main(data: Path = DATA) -> None:
    """Write one archive for each part."""
    digits = load_digits()
    for part, name, indices, degrees, noise in PARTS:
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["image", "digit", "paper"])
        files = {}
        for index in indices:
            paper = "grey" if number(index, "paper") < 0.4 else "white"
            # Five degrees more or less.
            angle = degrees and degrees - 5 + 10 * number(index, "angle")
            files[f"{index:04}.png"] = png(picture(index, digits.images[index], paper, angle, noise))
            rows.writerow([f"{index:04}.png", digits.target[index], paper])
        path = data / part / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
            for member, content in {"labels.csv": table.getvalue().encode(), **files}.items():
                archive.writestr(zipfile.ZipInfo(member), content)
        print(f"{part}/{name}: {len(files):,} pictures, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
