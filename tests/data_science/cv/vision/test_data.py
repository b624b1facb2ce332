"""Images: decoding, requests, reading, checks, near duplicates, and what describes a picture."""

import base64
import json
import multiprocessing
import pickle
import struct
import threading
import urllib.error
import zlib
from dataclasses import replace
from email.message import Message

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT, module, write_archive, write_files, write_schema
from PIL import Image, ImageFile, ImageFilter
from samples import HOST, SCHEMA, Answer, allowed_storage, encoded, labelled, labels, picture, pictures

data, data_file, image_model = module("vision.data"), module("data_file"), module("image_model")
archive_file = module("archive_file")
MODALITY, StepError = module("modality").MODALITY, module("core.step").StepError
Examples, load_examples = module("core.modality").Examples, module("core.modality").load_examples
unlabelled_examples = module("core.modality").unlabelled_examples
Schema, split = module("core.schema").Schema, module("core.split").split
endpoint, as_predictions = module("core.endpoint"), module("core.metrics").as_predictions
decode, MAXIMUM_BYTES = image_model.decode, image_model.MAXIMUM_BYTES

GREY = Image.fromarray(np.arange(0, 240, 4, dtype=np.uint8).reshape(6, 10))
COLOUR = Image.fromarray(np.arange(180, dtype=np.uint8).reshape(6, 10, 3))


def png_header(width, height):
    """Return a PNG that claims a size and has one line of pixels."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")):
        parts.append(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
    return b"".join(parts)


# --- decoding


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF"])
def test_grey_pictures_stay_as_they_are(kind):
    image = decode(encoded(GREY, kind))
    assert image.mode == "L"
    assert np.array_equal(np.asarray(image), np.asarray(GREY))


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True}), ("TIFF", {})])
def test_colours_stay_as_they_are(kind, options):
    image = decode(encoded(COLOUR, kind, **options))
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.asarray(COLOUR))


def test_a_jpeg_is_read():
    image = decode(encoded(COLOUR, "JPEG", quality=95))
    assert (image.mode, image.size) == ("RGB", (10, 6))
    assert np.abs(np.asarray(image).astype(int) - np.asarray(COLOUR)).mean() < 10


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(kind):
    values = np.array([[0, 255, 256, 32768, 65535]], dtype=np.uint16)
    image = decode(encoded(Image.fromarray(values), kind))
    assert image.mode == "L"
    assert np.asarray(image).tolist() == [[0, 0, 1, 128, 255]]


@pytest.mark.parametrize(
    ("highest", "values", "expected"),
    [
        (4095, [0, 16, 2048, 4095], [0, 1, 128, 255]),
        (255, [0, 16, 128, 255], [0, 16, 128, 255]),
        (4095, [0, 256, 4096, 65535], [0, 1, 16, 255]),  # the pixels contradict the tag
        (65535, [0, 16, 2048, 4095], [0, 0, 8, 15]),
    ],
)
def test_of_sixteen_bits_those_are_scaled_that_a_tiff_file_names_as_used(highest, values, expected):
    picture = Image.fromarray(np.array([values], dtype=np.uint16))
    assert np.asarray(decode(encoded(picture, "TIFF", tiffinfo={281: highest}))).tolist() == [expected]


def test_black_and_white_is_grey():
    image = decode(encoded(Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1")))
    assert image.mode == "L"
    assert np.asarray(image).tolist() == [[0, 255]]


def test_a_palette_becomes_its_colours():
    image = decode(encoded(COLOUR.quantize(60)))
    assert image.mode == "RGB"
    assert np.array_equal(np.asarray(image), np.asarray(COLOUR.quantize(60).convert("RGB")))


def test_transparent_parts_become_white():
    clear = Image.fromarray(np.array([[[9, 9, 9, 0], [0, 0, 0, 255], [0, 0, 0, 51]]], dtype=np.uint8))
    assert np.asarray(decode(encoded(clear))).tolist() == [[[255] * 3, [0] * 3, [204] * 3]]
    image = decode(encoded(clear.convert("LA")))
    assert image.mode == "L"
    assert np.asarray(image).tolist() == [[255, 0, 204]]
    palette = COLOUR.quantize(4)
    transparent = encoded(palette, transparency=palette.getpixel((0, 0)))
    assert decode(transparent).getpixel((0, 0)) == (255, 255, 255)


def test_the_colours_of_print_become_those_of_a_screen():
    image = decode(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert image.mode == "RGB"
    red, green, blue = image.getpixel((4, 4))
    assert red > 200
    assert max(green, blue) < 60


def with_orientation(image, orientation, kind="JPEG"):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(image, kind, exif=exif)


def test_a_picture_is_turned_as_its_camera_was():
    upright = decode(with_orientation(GREY, 6))
    assert upright.size == (6, 10)
    turned = np.rot90(np.asarray(decode(encoded(GREY, "JPEG"))), -1)
    assert np.array_equal(np.asarray(upright), turned)


def test_damaged_notes_of_a_camera_do_not_matter():
    content = with_orientation(GREY, 6)
    place = content.index(b"Exif")
    assert decode(content[: place + 6] + b"\xff" * 10 + content[place + 16 :]).size == (10, 6)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF", "PNG"])
def test_of_several_frames_the_first_is_taken(kind):
    frames = [Image.new("L", (8, 8), value) for value in (10, 250)]
    image = decode(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert np.asarray(image.convert("L")).mean() == pytest.approx(10, abs=2)


def test_a_picture_may_be_one_pixel():
    assert decode(encoded(Image.new("RGB", (1, 1), (3, 2, 1)))).getpixel((0, 0)) == (3, 2, 1)


NOT_PICTURES = {
    "empty": (b"", "it is empty (0 bytes); write the file again"),
    "text": (b"not an image, whatever its name\n", "it is not a picture in one of the formats PNG, JPEG, BMP, GIF"),
    "another format": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "it is not a picture in one of the formats"),
    "bomb": (png_header(30_000, 30_000), "it has too many pixels; make it smaller, at most 50,000,000 are read"),
    "just too large": (png_header(50_000_001, 1), "it has too many pixels"),
    "too many bytes": (bytes(MAXIMUM_BYTES + 1), "it has 20,971,521 bytes; make it smaller, at most 20,971,520 are"),
    "truncated png": (encoded(picture(0, 0, 64))[:-2000], "it is a damaged picture ("),
    "truncated jpeg": (encoded(picture(0, 0, 96), "JPEG")[:-900], "it is a damaged picture ("),
    "changed": (encoded(GREY)[:45] + b"\x00\x00" + encoded(GREY)[47:], "it is a damaged picture ("),
    "without a range": (encoded(GREY.convert("F"), "TIFF"), "its pixels are 32-bit numbers without a range; save it"),
}


@pytest.mark.parametrize("name", NOT_PICTURES)
def test_what_is_no_picture_is_refused_in_one_line(name):
    content, complaint = NOT_PICTURES[name]
    with pytest.raises(ValueError, match=r"^it") as error:
        decode(content)
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    for width, height in ((30_000, 30_000), (9_000, 9_000)):
        with pytest.raises(ValueError, match="too many pixels"):
            decode(png_header(width, height))


def test_the_largest_size_is_decoded():
    side = 7071
    assert side**2 <= image_model.MAXIMUM_PIXELS < (side + 1) ** 2
    assert decode(encoded(Image.new("1", (side, side)))).size == (side, side)


# --- what describes a picture


def described(image):
    [row] = data_file.describe(pd.DataFrame({"image": [encoded(image)]})).to_dict("records")
    return row


def test_all_descriptions_are_floats_and_the_same_each_time():
    frame = pd.DataFrame({"image": [encoded(picture(1, 2)), encoded(picture(3, 4, channels=3))]}, index=["a", "b"])
    found = data_file.describe(frame)
    assert list(found) == list(data_file.DESCRIPTIONS)
    assert set(found.dtypes.astype(str)) == {"float64"}
    assert found.index.tolist() == ["a", "b"]
    pd.testing.assert_frame_equal(found, data_file.describe(frame))
    assert list(data_file.describe(frame.head(0))) == list(data_file.DESCRIPTIONS)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 3), (9000, 1)])
def test_a_picture_of_any_shape_is_described(size):
    row = described(Image.new("RGB", size, "white"))
    assert (row["width"], row["height"]) == size
    assert row["brightness"] == 1
    assert all(row[name] == 0 for name in ("contrast", "sharpness", "saturation", "uprightness", "slant"))


def test_brightness_and_contrast_are_mean_and_deviation():
    values = np.array([[0, 255], [0, 255]], dtype=np.uint8)
    row = described(Image.fromarray(values))
    assert (row["brightness"], row["contrast"]) == (0.5, 0.5)


def test_noise_sharpens_and_a_lens_out_of_focus_does_the_opposite():
    image = picture(2, 0, 64)
    noise = np.random.default_rng(0).integers(-40, 40, (64, 64))
    noisy = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
    blurred = image.filter(ImageFilter.GaussianBlur(2))
    assert described(blurred)["sharpness"] < described(image)["sharpness"] / 2 < described(noisy)["sharpness"] / 2


def test_saturation_tells_colours_from_grey():
    assert described(Image.new("RGB", (8, 8), (200, 100, 49)))["saturation"] == pytest.approx(151 / 255)
    assert described(Image.new("RGB", (8, 8), (90, 90, 90)))["saturation"] == 0


def stripes(degrees, side=96):
    y, x = np.mgrid[0:side, 0:side]
    turn = np.deg2rad(degrees)
    return Image.fromarray((127 + 120 * np.sin((x * np.cos(turn) + y * np.sin(turn)) / 4)).astype(np.uint8))


@pytest.mark.parametrize(
    ("degrees", "uprightness", "slant"), [(0, 1, 0), (90, -1, 0), (45, 0, 1), (-45, 0, -1), (22.5, 0.707, 0.707)]
)
def test_uprightness_and_slant_tell_the_direction_of_edges(degrees, uprightness, slant):
    row = described(stripes(degrees))
    assert (row["uprightness"], row["slant"]) == pytest.approx((uprightness, slant), abs=0.03)


def test_a_large_picture_is_described_like_a_smaller_one():
    image = picture(2, 0, 400, channels=3).filter(ImageFilter.GaussianBlur(4))
    small, large = described(image), described(image.resize((1600, 1600)))
    for name in ("brightness", "contrast", "saturation", "uprightness", "slant"):
        assert large[name] == pytest.approx(small[name], abs=0.03)
    assert large["sharpness"] < small["sharpness"]


# --- files of a batch


def test_a_picture_file_is_one_row_and_an_archive_many(tmp_path):
    files = pictures(3)
    write_files(tmp_path, files)
    read = data_file.read(tmp_path / "0001.png", ["image"])
    assert read["image"].tolist() == [base64.b64encode(files["0001.png"]).decode()]
    path = write_archive(tmp_path / "a.zip", {**labelled(files), "b/2.JPG": encoded(GREY, "JPEG")})
    read = data_file.read(path, ["image"])
    assert read.index.tolist() == ["0000.png", "0001.png", "0002.png", "b/2.JPG"]
    assert data_file.load(read)["image"].tolist()[:3] == list(files.values())


def test_hidden_files_of_an_archive_are_no_pictures(tmp_path):
    path = write_archive(
        tmp_path / "a.zip", {"a.png": b"1", "__MACOSX/._a.png": b"2", ".b.png": b"3", "c/._d.png": b"4"}
    )
    assert data_file.read(path, ["image"]).index.tolist() == ["a.png"]


def test_a_table_beside_pictures_has_no_examples_of_its_own(tmp_path):
    assert data_file.read(tmp_path / "labels.csv", ["image"]) is None


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.zip", b"no archive", "it cannot be read as a zip archive (File is not a zip file): write it again"),
        ("a.png", bytes(MAXIMUM_BYTES + 1), "it has 20,971,521 bytes"),
        ("nowhere.png", None, "there is no such file"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path, name, content, complaint):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"^(it|there)") as error:
        data_file.read(tmp_path / name, ["image"])
    assert complaint in str(error.value)


def test_an_archive_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="there is no picture in this archive"):
        data_file.read(write_archive(tmp_path / "a.zip", {"a.txt": b"1"}), ["image"])


def test_a_damaged_member_of_an_archive_is_refused(tmp_path):
    path = write_archive(tmp_path / "a.zip", pictures(1))
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cannot be read from its archive \(Bad CRC-32"):
        data_file.read(path, ["image"])


def test_a_member_that_is_too_large_is_not_unpacked(tmp_path, monkeypatch):
    path = write_archive(tmp_path / "a.zip", {"a.png": bytes(MAXIMUM_BYTES + 1)})
    monkeypatch.setattr("zipfile.ZipFile.open", lambda *_, **__: pytest.fail("it was unpacked"))
    with pytest.raises(ValueError, match="it has 20,971,521 bytes"):
        data_file.read(path, ["image"])


# --- requests

FILE = encoded(GREY)
TEXT = base64.b64encode(FILE).decode()


def load(*values, request=True):
    return data_file.load(pd.DataFrame({"image": list(values)}, dtype=object), request)["image"].tolist()


def refused(*values, request=True):
    with pytest.raises(ValueError, match=r"\S") as error:
        load(*values, request=request)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_pictures_come_as_base64_and_as_data_urls():
    broken = "\n".join(TEXT[place : place + 76] for place in range(0, len(TEXT), 76))
    assert load(TEXT, broken, f"data:image/png;base64,{TEXT}", f" {TEXT}") == [FILE] * 4


def test_a_request_of_this_project_is_read_again(project):
    folder, schema = project
    examples = load_examples(MODALITY, folder, schema)
    request = MODALITY.request(replace(examples, frame=examples.frame.head(3)), schema.inputs)
    sent = json.loads(request.to_json(orient="split"))
    assert load(*[row[0] for row in sent["data"]]) == MODALITY.inputs(examples, ["image"])["image"].tolist()[:3]


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("abc$", "image of row 1: it is not valid base64 ("),
        ("raw/3.png", "image of row 1: it is not valid base64 ("),
        (base64.b64encode(b"no image").decode(), "image of row 1: it is not a picture in one of the formats"),
        ("", "image of row 1: it is empty (0 bytes)"),
        (None, "image of row 1: it is missing or empty; it must be the bytes of a file, in base64"),
        ("data:image/png,abc", "image of row 1: it is a data URL of another kind"),
        ("A" * (MAXIMUM_BYTES * 4 // 3 + 8), "image of row 1: it has 20,971,52"),
        (
            "https://a.blob.core.windows.net/c/x.png",
            "no host is allowed: MLOPS_STORAGE_HOSTS of the deployment is empty",
        ),
    ],
)
def test_a_bad_picture_of_a_request_is_named_with_its_row(monkeypatch, value, complaint):
    monkeypatch.delenv("MLOPS_STORAGE_HOSTS", raising=False)
    assert complaint in refused(TEXT, value)


def test_a_request_has_at_most_64_pictures_and_a_file_any_number():
    assert len(load(*[TEXT] * 64)) == 64
    assert refused(*[TEXT] * 65) == "65 pictures are too many for one request; send at most 64"
    assert len(load(*[TEXT] * 65, request=False)) == 65


@pytest.mark.parametrize(("limit", "value"), [("REQUEST_BYTES", 2 * len(FILE)), ("REQUEST_PIXELS", 130)])
def test_the_pictures_of_a_request_have_limits_together(monkeypatch, limit, value):
    monkeypatch.setattr(data_file, limit, value)
    assert len(load(TEXT, TEXT)) == 2
    assert refused(TEXT, TEXT, TEXT).startswith("the pictures up to row 2 have more than")
    assert len(load(TEXT, TEXT, TEXT, request=False)) == 3


BLOB = f"https://{HOST}/c/a.png"


@pytest.fixture
def storage(monkeypatch):
    """A storage that is allowed, and the requests that it got."""
    return allowed_storage(monkeypatch, data_file, FILE)


def test_a_url_of_an_allowed_storage_is_read_with_the_identity_of_the_deployment(storage):
    assert load(BLOB, TEXT) == [FILE, FILE]
    [request] = storage.requests
    assert request.full_url == BLOB
    assert request.get_header("Authorization") == "Bearer secret"
    assert request.get_header("X-ms-version") >= "2017-11-09"


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        (f"http://{HOST}/c/a.png", "its scheme is not https"),
        ("file:///etc/passwd", "its scheme is not https"),
        (f"ftp://{HOST}/a.png", "its scheme is not https"),
        ("https://evil.example/c/a.png", "its host is not one of"),
        (f"https://{HOST}.evil.example/a.png", "its host is not one of"),
        (f"https://evil.example/{HOST}/a.png", "its host is not one of"),
        (f"https://{HOST}@evil.example/a.png", "its host is not one of"),
        (f"https://user:key@{HOST}/a.png", "its host is not one of"),
        (f"https://{HOST}:8443/a.png", "its host is not one of"),
        (f"https://{HOST}:443/a.png", "its host is not one of"),
        (f"https://{HOST}./a.png", "its host is not one of"),
        (f"https://x.{HOST}/a.png", "its host is not one of"),
        (f"https://evil.example\\@{HOST}/a.png", "a character that does not belong there"),
        (f"https://{HOST}#@evil.example/a.png", "a character that does not belong there"),
        (f"https://{HOST}/a\tb.png", "a character that does not belong there"),
        (f"https://{HOST}/ä.png", "a character that does not belong there"),
        ("https://169.254.169.254/metadata/identity", "its host is not one of"),
        ("https://[::1]/a.png", "its host is not one of"),
        ("https://[/a.png", "the URL is refused, "),
    ],
)
def test_no_other_host_is_asked(storage, url, complaint):
    assert complaint in refused(url)
    assert storage.requests == []


def test_the_url_of_a_batch_is_refused(storage):
    assert "it is a URL, and a batch is made of files" in refused(BLOB, request=False)
    assert storage.requests == []


def test_a_blob_is_read_up_to_the_limit_alone(storage):
    answer = Answer(bytes(MAXIMUM_BYTES + 10 * 2**20))
    storage.answers.append(lambda: answer)
    assert "image of row 0: it has" in refused(BLOB)
    assert answer.tell() <= MAXIMUM_BYTES + 2**20


def http_error(status):
    def fail():
        raise urllib.error.HTTPError(BLOB, status, "no", Message(), None)

    return fail


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (http_error(403), f"{HOST} answers with status 403: give the identity of the deployment the role Storage Blob"),
        (http_error(500), f"{HOST} answers with status 500"),
        (lambda: Answer(FILE, 206), f"{HOST} answers with status 206"),
        (lambda: (_ for _ in ()).throw(TimeoutError("timed\nout")), f"{HOST} cannot be read (timed out)"),
        (lambda: Answer(b"<Error/>"), "it is not a picture in one of the formats"),
    ],
)
def test_what_goes_wrong_at_a_storage_is_one_line(storage, answer, complaint):
    storage.answers.append(answer)
    assert complaint in refused(BLOB)


def test_a_slow_storage_is_left(storage, monkeypatch):
    monkeypatch.setattr(data_file, "_DEADLINE", -1.0)
    assert f"{HOST} takes too long" in refused(BLOB)


def test_redirects_are_not_followed():
    assert data_file._NoRedirects().redirect_request(None, None, 302, "Found", {}, "https://evil.example/") is None


def test_without_an_identity_a_url_is_refused(storage, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setenv("MLOPS_STORAGE_HOSTS", HOST)

    class Credential:
        def get_token(self, scope):
            assert scope == "https://storage.azure.com/.default"
            raise RuntimeError("no identity\nat all")

    monkeypatch.setattr(data_file, "_credential", Credential)
    assert "the deployment has no identity that reads it (no identity); send base64 text" in refused(BLOB)


# --- reading


@pytest.fixture
def schema(tmp_path):
    return write_schema(SCHEMA, tmp_path)


@pytest.fixture
def project(tmp_path, schema):
    """The folder of a small data set, and its schema."""
    return write_archive(tmp_path / "raw" / "pictures.zip", labelled(pictures())).parent, schema


def plain_schema(folder, **image):
    """Return a schema without metadata, for class folders."""
    columns = {"image": {"type": "text", **image}, "place": {"type": "category"}}
    return write_schema({**SCHEMA, "columns": columns}, folder)


def read(folder, schema):
    return MODALITY.read(folder, schema).frame


def classes(folder, tmp_path):
    frame = read(folder, plain_schema(tmp_path))
    return dict(zip(frame["image"], frame["place"], strict=True))


def in_folders(*names):
    return {name: encoded(picture(0, number)) for number, name in enumerate(names)}


def test_a_request_has_small_copies_of_large_pictures(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (1500, 2000, 3), dtype=np.uint8)
    large, small = encoded(Image.fromarray(noise), "JPEG"), encoded(picture(0, 1))
    frame = pd.DataFrame({"image": [large, small]})
    first, second = MODALITY.request(Examples(frame, tmp_path), ["image"])["image"]
    assert len(large) > 1_500_000
    assert len(first) < 250_000
    assert decode(base64.b64decode(first)).size == (512, 384)
    assert base64.b64decode(second) == small


def test_the_name_of_a_folder_is_the_class(tmp_path):
    raw = write_files(tmp_path / "raw", in_folders("cat/1.png", "dog/1.png", "dog/2.JPEG", "dog/notes.txt"))
    assert classes(raw, tmp_path) == {"cat/1.png": "cat", "dog/1.png": "dog", "dog/2.JPEG": "dog"}


def test_an_archive_is_read_as_if_it_were_unpacked(tmp_path):
    raw = tmp_path / "raw"
    write_archive(raw / "a.zip", in_folders("cat/1.png"))
    write_archive(raw / "dog" / "more.ZIP", in_folders("2.png"))
    assert classes(raw, tmp_path) == {"a.zip/cat/1.png": "cat", "dog/more.ZIP/2.png": "dog"}
    examples = MODALITY.read(raw, plain_schema(tmp_path))
    assert list(data.contents(examples)) == [in_folders("1")["1"]] * 2


def test_a_folder_that_holds_all_classes_does_not_count(tmp_path):
    raw = tmp_path / "raw"
    write_archive(raw / "a.zip", in_folders("animals/cat/1.png", "animals/dog/2.png"))
    assert list(classes(raw, tmp_path).values()) == ["cat", "dog"]
    single = write_files(tmp_path / "single", in_folders("animals/cat/1.png", "animals/cat/2.png"))
    assert list(classes(single, tmp_path).values()) == ["cat", "cat"]


def test_nested_class_folders_are_refused_with_the_folder(tmp_path):
    raw = write_files(tmp_path / "raw", in_folders("cat/1.png", "dog/old/2.png"))
    schema = plain_schema(tmp_path)
    with pytest.raises(
        StepError, match=r"dog/old/2\.png is in the folder dog/old, and a class is one folder deep: move"
    ):
        MODALITY.check(MODALITY.read(raw, schema), schema)


def test_pictures_in_no_folder_have_no_label(tmp_path):
    raw = write_files(tmp_path / "raw", in_folders("1.png", "cat/2.png"))
    schema = plain_schema(tmp_path)
    assert classes(raw, tmp_path) == {"1.png": None, "cat/2.png": "cat"}
    with pytest.raises(StepError, match=r"place: 1 of 2 pictures have no label \(such as 1\.png\): put them into"):
        MODALITY.check(MODALITY.read(raw, schema), schema)
    columns = {"image": {"type": "text"}, "place": {"type": "category", "missing": 0.5}}
    allowing = write_schema({**SCHEMA, "columns": columns}, tmp_path)
    assert len(MODALITY.check(MODALITY.read(raw, allowing), allowing).frame) == 2


def test_hidden_files_are_passed_over(tmp_path):
    raw = write_files(tmp_path / "raw", in_folders("cat/1.png", "cat/._1.png", ".cache/2.png"))
    write_archive(raw / "a.zip", in_folders("dog/3.png", "__MACOSX/dog/._3.png"))
    assert list(classes(raw, tmp_path)) == ["a.zip/dog/3.png", "cat/1.png"]


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_table_names_pictures_from_where_it_is(tmp_path, schema, suffix):
    files = pictures(3)
    raw = write_files(tmp_path / "raw" / "one", {f"files/{name}": content for name, content in files.items()}).parent
    rows = pd.DataFrame(
        {"image": ["files/0000.png", "./files\\0001.png"], "place": ["left", "middle"], "camera": ["a", "b"]}
    )
    path = raw / "one" / f"t.{suffix}"
    write = {"csv": rows.to_csv, "parquet": rows.to_parquet}.get(suffix)
    write(path, index=False) if write else rows.to_json(path, orient="records", lines=True)
    frame = read(raw, schema)
    assert frame["image"].tolist() == ["one/files/0000.png", "one/files/0001.png"]
    checked = MODALITY.check(Examples(frame, raw), schema).frame
    assert checked[["place", "camera"]].to_numpy().tolist() == [["left", "a"], ["middle", "b"]]
    assert checked["original"].tolist() == frame["image"].tolist()


def test_pictures_without_a_row_are_left_out_and_counted(tmp_path, schema, capsys):
    files = {**labelled(pictures(4)), "more/1.png": FILE, "more/2.png": FILE}
    raw = write_archive(tmp_path / "raw" / "a.zip", files).parent
    assert len(read(raw, schema)) == 4
    assert capsys.readouterr().out == "left out 2 pictures that no table names (such as a.zip/more/1.png)\n"


def test_all_tables_are_joined_and_must_have_the_same_columns(tmp_path, schema):
    raw = tmp_path / "raw"
    write_archive(raw / "a.zip", labelled(pictures(2)))
    write_archive(raw / "b.zip", labelled(pictures(3, seed=1)))
    assert len(read(raw, schema)) == 5
    write_archive(raw / "c.zip", {"labels.csv": "image,place\n1.png,left\n", "1.png": FILE})
    with pytest.raises(
        StepError, match=r"c\.zip/labels\.csv and .*a\.zip/labels\.csv do not have the same columns; .*camera"
    ):
        read(raw, schema)


def test_a_table_is_read_strictly(tmp_path, schema):
    raw = write_archive(tmp_path / "raw" / "a.zip", {"labels.csv": "image,place\n1.png,left,x\n", "1.png": FILE}).parent
    with pytest.raises(StepError, match=r"a\.zip/labels\.csv: line 2 has 3 values and the header 2"):
        read(raw, schema)
    write_archive(raw / "a.zip", {"labels.csv": "file,place\n1.png,left\n", "1.png": FILE})
    with pytest.raises(
        StepError, match=r"labels\.csv: it has no column image with the path .*its columns: file, place"
    ):
        read(raw, schema)


@pytest.mark.parametrize(
    ("cell", "complaint"),
    [
        ("nowhere.png", "a.zip/nowhere.png (there is no such file in the archive)"),
        ("../nowhere.png", "nowhere.png (there is no such file)"),
        ("../../schema.yml", "../schema.yml (it is outside of the folder of the data)"),
        ("/etc/hostname", "/etc/hostname (it is outside of the folder of the data)"),
    ],
)
def test_a_file_of_a_table_that_does_not_exist_is_named(tmp_path, schema, cell, complaint):
    files = labelled(pictures(3))
    files["labels.csv"] += f"{cell},left,a\n"
    raw = write_archive(tmp_path / "raw" / "a.zip", files).parent
    with pytest.raises(StepError) as error:
        MODALITY.check(MODALITY.read(raw, schema), schema)
    assert f"image: 1 of 4 pictures cannot be read: {complaint}: replace or delete them" in str(error.value)


def test_a_folder_without_pictures_is_named(tmp_path, schema):
    with pytest.raises(StepError, match="no such folder; give the folder that holds the pictures"):
        read(tmp_path / "nowhere", schema)
    raw = write_files(tmp_path / "raw", {"notes.txt": "x"})
    with pytest.raises(StepError, match=r"there is no picture; the suffixes are \.png, .*\.zip"):
        read(raw, schema)
    write_files(raw, {"a.zip": "no archive"})
    with pytest.raises(StepError, match=r"a\.zip: it cannot be read as a zip archive"):
        read(raw, schema)


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        (
            {"width_cm": {"type": "number"}},
            "width_cm is a feature, too: a model sees `image` alone; give others `role:",
        ),
        ({"image": {"type": "category"}}, "there is no column `image: {type: text}`: a model sees"),
        ({"width": {"type": "number", "role": "ignore"}}, "the name of the column width is needed for what is added"),
    ],
)
def test_a_schema_that_does_not_fit_images_is_refused_by_prep_and_by_the_lint(tmp_path, columns, complaint):
    document = {**SCHEMA, "columns": {**SCHEMA["columns"], **columns}}
    schema = write_schema(document, tmp_path)
    for problem in (
        lambda: MODALITY.read(tmp_path, schema),
        lambda: MODALITY.describe(Examples(pd.DataFrame(), tmp_path), schema),
    ):
        with pytest.raises(StepError) as error:
            problem()
        assert complaint in str(error.value)
    found = endpoint.check_settings(MODALITY, tmp_path / "schema.yml", ROOT / "config" / "model.yml")
    assert any(complaint in line for line in found)


def test_a_regression_is_no_task_of_images(tmp_path):
    columns = {**SCHEMA["columns"], "place": {"type": "integer"}}
    write_schema({**SCHEMA, "task": "regression", "columns": columns}, tmp_path)
    with pytest.raises(StepError, match="task 'regression' is unknown; choose one of classification"):
        Schema.load(tmp_path / "schema.yml", MODALITY.tasks)


# --- files that are read when they are needed


def take(contents, places):
    return [contents[place] for place in places]


def test_contents_are_the_same_after_pickling_in_slices_and_in_threads(project):
    folder, schema = project
    contents = data.contents(MODALITY.read(folder, schema))
    expected = list(pictures().values())
    assert list(contents) == list(pickle.loads(pickle.dumps(contents))) == expected
    assert list(contents[5:9]) == expected[5:9]
    found = {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: list(contents)})) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(found.values()) == [expected] * 4


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system forks no processes")
def test_a_forked_process_reads_beside_its_parent(project):
    folder, schema = project
    contents = data.contents(MODALITY.read(folder, schema))
    assert contents[0]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        parts = pool.starmap(take, [(contents, range(start, 120, 4)) for start in range(4)])
    expected = list(pictures().values())
    assert parts == [expected[start::4] for start in range(4)]


def test_a_changed_picture_is_its_bytes(project):
    folder, schema = project
    examples = MODALITY.check(MODALITY.read(folder, schema), schema)
    images = pd.Series([b"changed", *examples.frame["image"][1:]], dtype=object)
    changed = data.contents(replace(examples, frame=examples.frame.assign(image=images)))
    assert (changed[0], changed[1]) == (b"changed", pictures()["0001.png"])


# --- the check


def checked(tmp_path, files, **image):
    """Return the checked examples of class folders."""
    schema = plain_schema(tmp_path, **image)
    raw = write_archive(tmp_path / "raw" / "a.zip", files).parent
    return MODALITY.check(MODALITY.read(raw, schema), schema).frame


def test_the_image_becomes_a_hash_of_its_pixels(tmp_path):
    image = picture(0, 0)
    copies = {f"a/1.{kind.lower()}": encoded(image, kind) for kind in ("PNG", "BMP", "GIF", "TIFF")}
    copies["a/2.png"] = encoded(image.convert("RGB"))
    others = {"a/3.png": encoded(image.resize((12, 11))), "a/4.png": encoded(image.point(lambda v: v + (v == 60)))}
    frame = checked(tmp_path, {**copies, **others})
    names = dict(zip(frame["original"], frame["image"], strict=True))
    assert len({names[f"a.zip/{name}"] for name in copies}) == 1
    assert len(set(names.values())) == 3


BAD = {"a/bad1.png": b"", "a/bad2.png": b"text", "a/bad3.png": encoded(GREY)[:50], "b/bad4.png": png_header(9**5, 9**5)}


def test_corrupt_pictures_are_named_and_counted_and_stop_prep(tmp_path):
    files = {f"{'ab'[number % 2]}/{name}": content for number, (name, content) in enumerate(pictures(96).items())}
    with pytest.raises(StepError) as error:
        checked(tmp_path, {**files, **BAD})
    message = str(error.value)
    assert "image: 4 of 100 pictures cannot be read: a.zip/a/bad1.png (it is empty (0 bytes)" in message
    assert "a.zip/a/bad3.png (it is a damaged picture" in message
    assert message.endswith(", and 1 more: replace or delete them; `missing: 0.04` of the column would leave them out")
    assert "bad4" not in message
    assert "\n" not in message


def test_corrupt_pictures_are_left_out_where_the_schema_allows_their_share(tmp_path, capsys):
    files = {f"{'ab'[number % 2]}/{name}": content for number, (name, content) in enumerate(pictures(96).items())}
    frame = checked(tmp_path, {**files, **BAD}, missing=0.04)
    assert sorted(frame["original"]) == sorted(f"a.zip/{name}" for name in files)
    assert frame.index.tolist() == list(range(96))
    out = capsys.readouterr().out
    assert out.startswith("left out 4 of 100 pictures, which cannot be read: a.zip/a/bad1.png (it is empty")
    with pytest.raises(StepError, match=r"`missing: 0\.04`"):
        checked(tmp_path, {**files, **BAD}, missing=0.039)


def test_one_bad_file_in_10000_is_within_a_share_of_as_much(tmp_path, monkeypatch):
    good = data.examine(FILE)
    monkeypatch.setattr(data, "survey", lambda files: [good] * (len(files) - 1) + ["it is empty"])
    names = [f"a/{number}.png" for number in range(10_000)]
    frame = pd.DataFrame({"image": names, "place": "a"}, dtype=object)
    for missing, stops in ((0.0001, False), (0.0, True)):
        schema = plain_schema(tmp_path, missing=missing)
        if stops:
            with pytest.raises(
                StepError, match=r"1 of 10,000 pictures .*a/9999\.png \(it is empty\).*`missing: 0\.0001`"
            ):
                MODALITY.check(Examples(frame, tmp_path), schema)
        else:
            assert len(MODALITY.check(Examples(frame, tmp_path), schema).frame) == 9999


def test_a_row_without_a_path_is_a_missing_picture(tmp_path, schema):
    files = labelled(pictures(3))
    files["labels.csv"] += ",left,a\n"
    raw = write_archive(tmp_path / "raw" / "a.zip", files).parent
    with pytest.raises(StepError, match="image: 1 missing value"):
        MODALITY.check(MODALITY.read(raw, schema), schema)


def test_the_same_picture_in_two_classes_is_refused_with_both_files(tmp_path):
    copy = encoded(picture(0, 0), "BMP")
    files = {"cat/1.png": encoded(picture(0, 0)), "dog/9.bmp": copy, "dog/2.png": encoded(picture(0, 2))}
    with pytest.raises(StepError) as error:
        checked(tmp_path, files)
    assert "the same picture has two labels: a.zip/cat/1.png (cat) and a.zip/dog/9.bmp (dog): delete the one" in str(
        error.value
    )
    assert len(checked(tmp_path, {"cat/1.png": files["cat/1.png"], "cat/9.bmp": copy})) == 2


def test_labels_that_are_missing_or_unknown_are_refused(tmp_path, schema):
    files = labelled(pictures(4))
    for table, complaint in (
        (
            labels(["0000.png", "0001.png"]) + "0002.png,,a\n",
            "place: 1 of 3 pictures have no label (such as a.zip/0002.png): put them into the folder of their class",
        ),
        (
            labels(["0000.png", "0001.png"]) + "0002.png,above,a\n",
            "place: 1 value not listed in the schema (such as 'above')",
        ),
    ):
        raw = write_archive(tmp_path / "raw" / "a.zip", {**files, "labels.csv": table}).parent
        with pytest.raises(StepError) as error:
            MODALITY.check(MODALITY.read(raw, schema), schema)
        assert complaint in str(error.value)


def test_the_progress_of_many_pictures_is_printed_and_of_few_is_not(monkeypatch, capsys):
    files = data.Contents(ROOT, list(pictures(40).values()) * 50)
    found = data.survey(files)
    assert [each.content for each in found[:40]] == [data.examine(each).content for each in pictures(40).values()]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    assert lines[-1] == "decoded 2,000 of 2,000 pictures"
    data.survey(files[:1000])
    assert capsys.readouterr().out == ""


# --- what prep writes


def written(examples, folder):
    folder.mkdir()
    MODALITY.write(examples, folder, "train")
    return folder


def test_what_was_written_is_read_again_without_decoding(project, tmp_path, monkeypatch):
    folder, schema = project
    examples = MODALITY.check(MODALITY.read(folder, schema), schema)
    again = written(examples, tmp_path / "train")
    assert sorted(path.name for path in again.iterdir()) == ["examples.parquet", "images.zip"]
    monkeypatch.setattr(image_model, "decode", lambda content: pytest.fail("it was decoded again"))
    read = load_examples(MODALITY, again, schema)
    assert list(data.contents(read)) == list(pictures().values())
    pd.testing.assert_frame_equal(
        read.frame.drop(columns="file"), examples.frame[list(read.frame)].drop(columns="file")
    )
    assert MODALITY.describe(read, schema).frame["sharpness"].notna().all()
    assert len(data.thumbnails(read)) == 120
    pd.testing.assert_frame_equal(MODALITY.convert(read, schema).frame, read.frame)


def test_the_archive_has_each_file_once_as_it_was_and_the_same_bytes_each_time(tmp_path):
    schema = plain_schema(tmp_path)
    files = {"a/1.jpg": encoded(COLOUR, "JPEG"), "a/2.jpg": encoded(COLOUR, "JPEG"), "b/3.png": FILE}
    raw = write_archive(tmp_path / "raw" / "x.zip", files).parent
    examples = MODALITY.check(MODALITY.read(raw, schema), schema)
    folders = [written(examples, tmp_path / name) for name in ("one", "two")]
    assert (folders[0] / "images.zip").read_bytes() == (folders[1] / "images.zip").read_bytes()
    with archive_file.open_archive(folders[0] / "images.zip") as archive:
        assert sorted(archive.namelist()) == sorted(
            {f"{examples.frame['image'][0]}.jpg", f"{examples.frame['image'][2]}.png"}
        )
        assert archive.read(archive.namelist()[0]) == files["a/1.jpg"]
    assert list(data.contents(MODALITY.read(folders[0], schema))) == list(files.values())


@pytest.mark.parametrize(("side", "channels", "count"), [(28, 1, 3), (96, 3, 20)])
def test_other_images_need_a_schema_alone(tmp_path, side, channels, count):
    names = [f"{number:02}" for number in range(count)]
    columns = {"image": {"type": "text"}, "kind": {"type": "integer" if channels == 1 else "category"}}
    schema = write_schema({"target": "kind", "task": "classification", "columns": columns}, tmp_path)
    files = {
        f"{name}/{seed}.png": encoded(picture(place, seed, side, channels))
        for place, name in enumerate(names)
        for seed in range(120 // count if count < 20 else 12)
    }
    raw = write_archive(tmp_path / "raw" / "own.zip", files).parent
    examples = MODALITY.check(MODALITY.read(raw, schema), schema)
    train, test, made = split(examples.frame, schema.split, 0.25, None)
    assert made.columns == ("image",)
    known, new = (MODALITY.fingerprints(replace(examples, frame=each)) for each in (train, test))
    assert not MODALITY.alike(known, new).any()
    read = load_examples(MODALITY, written(replace(examples, frame=train), tmp_path / "train"), schema)
    assert read.frame["kind"].tolist() == train["kind"].tolist()
    assert read.frame["kind"].dtype == ("int64" if channels == 1 else object)
    assert (read.frame["width"] == side).all()
    predicted = MODALITY.baseline("nearest_centroid", read, replace(examples, frame=test), schema, {})
    assert (predicted == test["kind"].to_numpy()).mean() > 0.9


# --- fingerprints


def fingerprints(images):
    small = [data.examine(content).thumbnail for content in images]
    return data.fingerprints(np.frombuffer(b"".join(small), dtype=np.uint8).reshape(-1, data.SIDE, data.SIDE, 3))


@pytest.fixture(scope="module")
def sample():
    """The pictures of the sample."""
    schema = Schema.load(ROOT / "data" / "schema.yml", MODALITY.tasks)
    if "paper" not in schema.columns:
        pytest.skip("this project has data of its own")
    return list(data.contents(MODALITY.read(ROOT / "data" / "raw", schema)))


COPIES = {
    "JPEG 70": lambda image: encoded(image, "JPEG", quality=70),
    "JPEG 90": lambda image: encoded(image, "JPEG", quality=90),
    "WebP 75": lambda image: encoded(image, "WEBP", quality=75),
    "PNG": encoded,
    "a little larger": lambda image: encoded(image.resize((image.width + 2, image.height + 2))),
    "twice as large": lambda image: encoded(image.resize((image.width * 2, image.height * 2))),
    "larger and JPEG": lambda image: encoded(image.resize((image.width * 3 // 2,) * 2), "JPEG", quality=80),
}


@pytest.mark.parametrize("name", COPIES)
def test_pictures_that_were_compressed_or_scaled_again_are_alike(sample, name):
    some = sample[::7]
    copies = fingerprints([COPIES[name](decode(content)) for content in some])
    assert data.alike(fingerprints(some), copies).mean() > 0.99


def test_no_two_pictures_of_the_sample_are_alike(sample):
    every = fingerprints(sample)
    assert not data.alike(every[::2], every[1::2]).any()
    assert not data.alike(every[: len(every) // 2], every[len(every) // 2 :]).any()


def test_a_photograph_is_recognised_at_three_quarters_of_its_size():
    random = np.random.default_rng(5)
    rough = [Image.fromarray(random.integers(0, 256, (9, 9, 3), dtype=np.uint8)) for _ in range(60)]
    photographs = [image.resize((96, 96), Image.Resampling.BICUBIC) for image in rough]
    every = fingerprints([encoded(image) for image in photographs])
    smaller = fingerprints([encoded(image.resize((72, 72)), "JPEG", quality=70) for image in photographs])
    assert data.alike(every, smaller).all()
    assert not data.alike(every[:30], smaller[30:]).any()


def test_flat_pictures_and_textures_are_told_apart():
    random = np.random.default_rng(0)
    noise = [encoded(Image.fromarray(random.integers(0, 256, (96, 96), dtype=np.uint8))) for _ in range(40)]
    faint = [encoded(Image.fromarray(random.integers(120, 132, (16, 16), dtype=np.uint8))) for _ in range(40)]
    for images in (noise, faint):
        every = fingerprints(images)
        assert not data.alike(every[:20], every[20:]).any()
        assert data.alike(every, every[5:6]).all()


def test_pictures_of_one_camera_are_told_apart():
    random = np.random.default_rng(3)
    scene = np.outer(np.linspace(40, 220, 128), np.linspace(0.4, 1, 128))
    images = []
    for _ in range(60):
        image = scene + random.normal(0, 4, scene.shape)
        down, across = random.integers(10, 110, 2)
        image[down : down + 6, across : across + 6] -= 60
        images.append(encoded(Image.fromarray(image.clip(0, 255).astype(np.uint8))))
    every = fingerprints(images)
    assert not data.alike(every[:30], every[30:]).any()
    assert data.alike(every, every[30:]).all()


def test_flat_pages_with_one_mark_are_told_apart():
    random = np.random.default_rng(4)
    places = random.permutation(64)[:50]
    images = []
    for place in places:
        image = np.full((256, 256), 255, dtype=np.uint8)
        image[32 * (place // 8) + 10 :, 32 * (place % 8) + 10 :][:8, :8] = 0
        images.append(encoded(Image.fromarray(image)))
    every = fingerprints(images)
    assert not data.alike(every[:25], every[25:]).any()


def test_without_pictures_none_is_alike():
    some, none = fingerprints(pictures(3).values()), fingerprints([])
    assert data.alike(none, some).tolist() == [False] * 3
    assert data.alike(some, none).tolist() == []


def test_pictures_that_are_all_the_same_are_alike():
    same = fingerprints([encoded(picture(0, 0))] * 5)
    assert data.alike(same, same).all()


def test_the_search_finds_what_comparing_all_pairs_finds():
    random = np.random.default_rng(1)
    known = random.integers(0, 256, (300, data.SIDE, data.SIDE, 3), dtype=np.uint8)
    noise = random.normal(0, 1, known[:100].shape) * np.linspace(2, 6, 100).reshape(-1, 1, 1, 1)
    both = [data.fingerprints(each) for each in (known, (known[:100] + noise).clip(0, 255).astype(np.uint8))]
    before, after = (each.astype(float) / data._STEPS for each in both)
    distances = np.sqrt(((after[:, None] - before[None]) ** 2).mean(axis=2))
    expected = (distances <= data._MOST_LEVELS).any(axis=1)
    assert 20 < expected.sum() < 80
    assert data.alike(*both).tolist() == expected.tolist()


def test_fingerprints_take_100_bytes_and_stay_as_they_are():
    """A registered model has them: other numbers would leave its training pictures unknown."""
    ramp = np.linspace(0, 255, data.SIDE * data.SIDE * 3).astype(np.uint8).reshape(1, data.SIDE, data.SIDE, 3)
    [found] = data.fingerprints(ramp)
    assert found.nbytes < 100
    assert found[:6].tolist() == [432, -273, -669, -1846, 999, 25]


# --- inputs, descriptions and baselines


def test_a_model_takes_the_bytes_of_the_files(project):
    folder, schema = project
    examples = MODALITY.read(folder, schema)
    assert MODALITY.inputs(examples, ["image"])["image"].tolist() == list(pictures().values())
    with pytest.raises(KeyError):
        MODALITY.inputs(examples, ["image", "nowhere"])


def test_a_request_of_a_few_rows_opens_no_other_file(project, monkeypatch):
    folder, _ = project
    reads = []
    original = data_file.read_member
    monkeypatch.setattr(data_file, "read_member", lambda *given: reads.append(given) or original(*given))
    request = endpoint.sample_request(MODALITY, folder.parent / "schema.yml", folder, 2)
    assert request["input_data"]["columns"] == ["image"]
    assert len(reads) == 2


def test_drift_compares_what_describes_a_picture_and_slices_may_name_metadata_too(project):
    folder, schema = project
    examples = MODALITY.read(folder, schema)
    frame, columns = MODALITY.describe(examples, schema)
    assert list(columns) == list(data_file.DESCRIPTIONS)
    assert list(frame) == ["place", "camera", *columns]
    check = MODALITY.check(examples, schema)
    pd.testing.assert_frame_equal(MODALITY.describe(check, schema).frame, frame)
    nothing = MODALITY.describe(Examples(pd.DataFrame(columns=list(schema.columns)), folder), schema)
    assert list(nothing.frame) == list(frame)


def test_production_data_need_no_labels_and_no_valid_pictures(tmp_path, schema, capsys):
    files = {"2026-11/1.png": encoded(picture(0, 0)), "2026-12/x/2.png": b"", "3.png": encoded(picture(1, 0))}
    folder = write_files(tmp_path / "production", files)
    examples = MODALITY.read(folder, schema)
    frame = MODALITY.describe(examples, schema).frame
    assert frame["brightness"].notna().tolist() == [True, False, True]
    assert "1 of 3 pictures cannot be read (such as 2026-12/x/2.png: it is empty" in capsys.readouterr().out
    assert len(unlabelled_examples(MODALITY, examples, schema).frame) == 3


@pytest.mark.parametrize("name", ["nearest_centroid", "linear"])
def test_a_baseline_predicts_from_the_pixels(project, name):
    folder, schema = project
    examples = MODALITY.check(MODALITY.read(folder, schema), schema)
    train, test = (
        replace(examples, frame=examples.frame[part].reset_index(drop=True)) for part in (slice(90), slice(90, None))
    )
    predicted = as_predictions(MODALITY.baseline(name, train, test, schema, {}))
    assert (predicted.values == test.frame["place"].to_numpy()).mean() > 0.9
    assert (predicted.probabilities is None) == (name == "nearest_centroid")


def test_an_unknown_baseline_is_one_line(project):
    folder, schema = project
    nothing = Examples(pd.DataFrame(columns=list(schema.columns)), folder)
    with pytest.raises(StepError, match="'forest' is unknown; choose from most_frequent, nearest_centroid, linear"):
        MODALITY.baseline("forest", nothing, nothing, schema, {})


# --- the data of this project


@pytest.mark.parametrize("part", ["raw", "production"])
def test_the_data_of_this_project_fit_its_schema(part):
    schema = Schema.load(ROOT / "data" / "schema.yml", MODALITY.tasks)
    examples = MODALITY.check(MODALITY.read(ROOT / "data" / part, schema), schema)
    assert set(schema.columns) <= set(examples.frame)
