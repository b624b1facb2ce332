"""Images: finding the files and their labels, decoding each once, and fingerprints.

A frame has a row per picture. After `read` its column `image` is the path of the file below the root; an archive in it
is like a folder (`digits.zip/3/1.png`). After `check` it is a hash of the pixels, so that the split is by content: a
copy in another file, or in another lossless format, is the same image. Then these columns are there besides those of
the schema:

- `FILE`: where the bytes are, below the root; `NAME`: where they were in the raw data.
- those of `data_file.DESCRIPTIONS`, and `THUMBNAIL`: the pixels of a small copy. So each picture is decoded once.
"""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, overload

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial import KDTree

from .. import archive_file, data_file, image_model, table_file
from ..core import tables
from ..core.class_folders import (
    classes_by_folder,
    refuse_missing_labels,
    refuse_nested_folders,
    refuse_two_labels,
    report_unreadable,
)
from ..core.modality import Examples
from ..core.schema import Schema
from ..core.step import StepError

IMAGE = data_file.IMAGE
FILE, NAME, THUMBNAIL = "file", "original", "thumbnail"
ADDED = (FILE, NAME, *data_file.DESCRIPTIONS, THUMBNAIL)
SUFFIXES = (*data_file.PICTURES, data_file.ARCHIVE)

# What `write` makes.
EXAMPLES, IMAGES = "examples.parquet", "images.zip"

SIDE = 16
"""Of a thumbnail, in pixels."""

# Of so many pictures or more, the progress of the decoding is printed.
_LONG = 2000
# So many are decoded in one task of a thread.
_AT_ONCE = 16


class Contents(Sequence[bytes]):
    """The bytes of files, each read when it is asked for; it can be pickled, and used by threads and processes."""

    def __init__(self, root: Path, files: Sequence[str | bytes]) -> None:
        """Take paths below `root`, where an archive is like a folder; or bytes, which stay as they are."""
        self._root, self._files = root, files
        self._archives: dict[tuple[int, str], zipfile.ZipFile] = {}

    def __len__(self) -> int:
        """Return the number of files."""
        return len(self._files)

    @overload
    def __getitem__(self, place: int) -> bytes: ...

    @overload
    def __getitem__(self, place: slice) -> "Contents": ...

    def __getitem__(self, place: int | slice) -> "bytes | Contents":
        """Return the bytes of one file, or the files of a slice.

        Raises:
            ValueError: the file cannot be read; in one line.
        """
        if isinstance(place, slice):
            return Contents(self._root, self._files[place])
        file = self._files[place]
        if isinstance(file, bytes):
            return file
        if file is None:
            raise ValueError("no file is named")
        if ".." in PurePosixPath(file).parts or PurePosixPath(file).is_absolute():
            raise ValueError("it is outside of the folder of the data")
        archive, member = _parted(file)
        if not archive or not (self._root / archive).is_file():
            return data_file.read_picture(self._root / file)
        # A process that was forked would share the position in an open file.
        key = (os.getpid(), archive)
        if key not in self._archives:
            self._archives[key] = archive_file.open_archive(self._root / archive)
        return data_file.read_member(self._archives[key], member)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the open archives."""
        return {**self.__dict__, "_archives": {}}


def contents(examples: Examples) -> Contents:
    """Return the files of examples; a cell of the column `image` may be bytes already: those of a changed picture."""
    images = examples.frame[IMAGE]
    pairs = zip(images, examples.frame.get(FILE, images), strict=True)
    return Contents(examples.root, [image if isinstance(image, bytes) else file for image, file in pairs])


def _parted(file: str) -> tuple[str, str]:
    """Return the archive in a path and the rest; an empty text if there is none."""
    place = file.lower().find(f"{data_file.ARCHIVE}/")
    end = place + len(data_file.ARCHIVE)
    return ("", file) if place < 0 else (file[:end], file[end + 1 :])


# --- reading


def read_folder(folder: Path, schema: Schema) -> pd.DataFrame:
    """Return a row for each picture: as `write` left it, or as the tables name it, or by the folder that it is in.

    Raises:
        StepError: there is no picture, or a file cannot be read.
    """
    if not folder.is_dir():
        raise StepError(f"{folder}: no such folder; give the folder that holds the pictures")
    if (folder / IMAGES).is_file() and (folder / EXAMPLES).is_file():
        return tables.read(folder / EXAMPLES, schema)
    names = list(_files(folder))
    pictures = data_file.picture_names(names)
    found = data_file.picture_names(names, data_file.TABLES)
    if not pictures:
        raise StepError(f"{folder}: there is no picture; the suffixes are {', '.join(SUFFIXES)}")
    if found:
        return _by_tables(folder, found, pictures, schema)
    return pd.DataFrame({IMAGE: pictures, schema.target: classes_by_folder(pictures)}, dtype=object)


def _files(folder: Path) -> Iterator[str]:
    """Yield the paths of all files below a folder, those in archives too."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        if path.suffix.lower() != data_file.ARCHIVE:
            if path.is_file():
                yield name
            continue
        try:
            with archive_file.open_archive(path) as archive:
                yield from (f"{name}/{member}" for member in archive.namelist() if not member.startswith("__MACOSX/"))
        except ValueError as error:
            raise StepError(f"{path}: {error}") from error


def _by_tables(folder: Path, found: Sequence[str], pictures: Sequence[str], schema: Schema) -> pd.DataFrame:
    frames = {}
    for name in found:
        frame = _table(folder, name, schema)
        if IMAGE not in frame:
            has = f"its columns: {table_file.column_list(frame.columns)}"
            raise StepError(f"{folder / name}: it has no column {IMAGE} with the path of each picture ({has})")
        parent = PurePosixPath(name).parent
        paths = [_normal(parent, each) for each in frame[IMAGE]]
        frames[folder / name] = frame.assign(**{IMAGE: pd.Series(paths, index=frame.index, dtype=object)})
    joined = tables.joined(frames)
    named = set(joined[IMAGE])
    if spare := [name for name in pictures if name not in named]:
        print(f"left out {len(spare):,} pictures that no table names (such as {spare[0]})", flush=True)
    return joined


def _normal(parent: PurePosixPath, cell: object) -> str | None:
    """Return the path of a picture below the root from that in a table, which starts from the table's folder."""
    if cell is None or cell != cell or not str(cell).strip():
        return None
    return os.path.normpath(parent / str(cell).strip().replace("\\", "/")).replace("\\", "/")


def _table(folder: Path, name: str, schema: Schema) -> pd.DataFrame:
    archive, member = _parted(name)
    if not archive:
        return tables.read(folder / name, schema)
    with tempfile.TemporaryDirectory() as temporary, archive_file.open_archive(folder / archive) as opened:
        copy = Path(temporary) / PurePosixPath(member).name
        copy.write_bytes(opened.read(member))
        return tables.read(copy, schema, str(folder / name))


# --- checking


class Picture(NamedTuple):
    """What is known of a picture that was decoded.

    Attributes:
        content: a hash of size and pixels, in which grey and a colour without saturation are the same.
        measures: in the order of `data_file.DESCRIPTIONS`.
        thumbnail: the RGB values of a copy of `SIDE` x `SIDE` pixels, line by line.
    """

    content: str
    measures: tuple[float, ...]
    thumbnail: bytes


def examine(content: bytes) -> Picture:
    """Decode a picture.

    Raises:
        ValueError: it cannot be decoded.
    """
    image = image_model.decode(content)
    colours = image.convert("RGB")
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    digest.update(colours.tobytes())
    small = colours.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return Picture(digest.hexdigest()[:32], data_file.measures(image), small.tobytes())


def survey(files: Contents) -> list[Picture | str]:
    """Return what is known of each picture, or why it cannot be decoded; progress is printed if there are many."""
    total = len(files)
    starts = range(0, total, _AT_ONCE)
    found: list[Picture | str] = []
    printed = 0

    def block(start: int) -> list[Picture | str]:
        return [_attempt(files, place) for place in range(start, min(start + _AT_ONCE, total))]

    # Pillow lets other threads work while it decodes.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        for part in pool.map(block, starts):
            found += part
            if total >= _LONG and (tenths := 10 * len(found) // total) > printed:
                printed = tenths
                print(f"decoded {len(found):,} of {total:,} pictures", flush=True)
    return found


def _attempt(files: Contents, place: int) -> Picture | str:
    try:
        return examine(files[place])
    except ValueError as error:
        return str(error)


def check(examples: Examples, schema: Schema) -> pd.DataFrame:
    """Return the rows whose pictures can be decoded, with the columns that the module names.

    Raises:
        StepError: pictures cannot be decoded, more than the share that may be missing; the class folders are nested; a
            label is missing or unknown; or a picture has two labels.
    """
    if schema.target in examples.frame:
        names, labels = list(examples.frame[IMAGE]), examples.frame[schema.target]
        refuse_nested_folders(names, list(labels), schema)
        refuse_missing_labels(names, labels, "picture", schema)
    typed = tables.validate(examples.frame, schema)
    typed[NAME] = typed[FILE] = typed[IMAGE]
    found = survey(contents(replace(examples, frame=typed)))
    bad = {place: each for place, each in enumerate(found) if isinstance(each, str)}
    report_unreadable([name or "a row without a path" for name in typed[NAME]], bad, IMAGE, "picture", schema)
    typed = typed.drop(index=list(bad)).reset_index(drop=True)
    pictures = [each for each in found if isinstance(each, Picture)]
    typed[IMAGE] = pd.Series([each.content for each in pictures], dtype=object)
    refuse_two_labels(typed, IMAGE, NAME, "picture", schema)
    return _with_pictures(typed, pictures)


def _with_pictures(frame: pd.DataFrame, pictures: Sequence[Picture]) -> pd.DataFrame:
    names = list(data_file.DESCRIPTIONS)
    table = np.array([each.measures for each in pictures], dtype=float).reshape(-1, len(names))
    thumbnails = pd.Series([each.thumbnail for each in pictures], index=frame.index, dtype=object)
    return frame.assign(**dict(zip(names, table.T, strict=True)), **{THUMBNAIL: thumbnails})


def describe(examples: Examples, schema: Schema) -> pd.DataFrame:
    """Return target, metadata and measures of each picture; NaN for one that cannot be decoded."""
    frame = examples.frame
    others = tables.convert_where_possible(frame, schema).drop(columns=IMAGE, errors="ignore")
    names = list(data_file.DESCRIPTIONS)
    if set(names) <= set(frame):
        return others.assign(**{name: frame[name] for name in names})
    found = survey(contents(examples))
    if bad := [place for place, each in enumerate(found) if isinstance(each, str)]:
        first = f"{frame[IMAGE].iloc[bad[0]]}: {found[bad[0]]}"
        print(f"{len(bad):,} of {len(frame):,} pictures cannot be read (such as {first})", flush=True)
    nothing = (np.nan,) * len(names)
    rows = [each.measures if isinstance(each, Picture) else nothing for each in found]
    table = np.array(rows, dtype=float).reshape(-1, len(names))
    return others.assign(**{name: pd.Series(table[:, place], frame.index) for place, name in enumerate(names)})


def names(frame: pd.DataFrame) -> list[str]:
    """Return where each picture was in the raw data, or what the column `image` has if that is unknown."""
    return frame[NAME if NAME in frame else IMAGE].astype(str).tolist()


def thumbnails(examples: Examples) -> NDArray[np.uint8]:
    """Return a small copy of each picture, of shape (pictures, SIDE, SIDE, 3).

    Raises:
        StepError: a picture cannot be decoded.
    """
    frame = examples.frame
    if THUMBNAIL not in frame:
        found = survey(contents(examples))
        for name, each in zip(frame[IMAGE], found, strict=True):
            if isinstance(each, str):
                raise StepError(f"{examples.root}: {name} cannot be read: {each}")
        frame = _with_pictures(frame, [each for each in found if isinstance(each, Picture)])
    return np.frombuffer(b"".join(frame[THUMBNAIL]), dtype=np.uint8).reshape(-1, SIDE, SIDE, 3)


# --- writing


def write(examples: Examples, folder: Path) -> None:
    """Write the files as they are into an archive, named by their content, and the rows with their new place.

    Raises:
        StepError: a file cannot be read any more.
    """
    frame, files = examples.frame, contents(examples)
    members = [
        f"{image}{PurePosixPath(name).suffix.lower()}" for image, name in zip(frame[IMAGE], frame[NAME], strict=True)
    ]
    written: set[str] = set()
    # Stored, because pictures are compressed already.
    with zipfile.ZipFile(folder / IMAGES, "w", zipfile.ZIP_STORED) as archive:
        for place, member in enumerate(members):
            if member in written:
                continue
            written.add(member)
            try:
                archive.writestr(zipfile.ZipInfo(member), files[place])
            except ValueError as error:
                raise StepError(f"{examples.root}: {frame[FILE].iloc[place]} cannot be read: {error}") from error
    places = pd.Series([f"{IMAGES}/{member}" for member in members], index=frame.index, dtype=object)
    frame.assign(**{FILE: places}).to_parquet(folder / EXAMPLES, index=False)


# --- fingerprints

# Each is a sum of all values of the thumbnail with random signs: such sums keep distances (Johnson and Lindenstrauss)
# and show no picture. They are as many as the values of 4 x 4 pixels.
_SUMS = 48
# Of the integers that they are stored as.
_STEPS = 8
# Two pictures are the same, written in another way, if their thumbnails differ by at most so many of 255 levels (the
# root of the mean square), and by at most this share of what tells the picture from the mean of all: pictures of one
# camera, or flat ones, have most in common without being copies. Measured on digits, photographs and textures of 20 to
# 160 pixels: JPEG of quality 70 makes up to 3.9; the nearest different digits of the sample and of MNIST differ by 4.8.
_MOST_LEVELS, _MOST_SHARE = 4.0, 0.3
# So many pictures at a time.
_SUMMED_AT_ONCE = 1024


def fingerprints(small: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Return what `alike` recognises pictures by, of shape (pictures, numbers).

    Args:
        small: thumbnails, of shape (pictures, SIDE, SIDE, 3).
    """
    values = SIDE * SIDE * 3
    # Those of a hash are the same in each release of each library.
    bits = np.frombuffer(hashlib.shake_256(b"fingerprint").digest(values * _SUMS // 8), dtype=np.uint8)
    signs = np.unpackbits(bits).reshape(values, _SUMS) * np.float32(2) - 1
    found = np.empty((len(small), _SUMS), dtype=np.int16)
    for first in range(0, len(small), _SUMMED_AT_ONCE):
        part = small[first : first + _SUMMED_AT_ONCE].reshape(-1, values).astype(np.float32) - 128
        found[first : first + _SUMMED_AT_ONCE] = np.rint(part @ signs * (_STEPS / values**0.5))
    return found


def alike(known: NDArray[np.int16], new: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Return which new pictures are known ones that were compressed or scaled again.

    Args:
        known: fingerprints.
        new: likewise.

    Returns:
        Of shape (new pictures,).
    """
    if not len(known) or not len(new):
        return np.zeros(len(new), dtype=bool)
    usual = known.mean(axis=0)
    before, after = ((each - usual) / (_STEPS * _SUMS**0.5) for each in (known, new))
    limits = np.minimum(_MOST_LEVELS, _MOST_SHARE * np.linalg.norm(after, axis=1))
    # The same distances along the axes in which the pictures differ most: the search is several times as fast.
    axes = np.linalg.eigh(before.T @ before)[1][:, ::-1]
    limits += 1e-6  # for the rounding of that
    nearest, _ = KDTree(before @ axes).query(after @ axes, distance_upper_bound=limits.max())
    return np.asarray(nearest <= limits)
