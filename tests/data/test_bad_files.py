"""Files that are no pictures, whatever they are instead: each is named with its reason, and the others are read."""

import io
import os
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from tfxfer.data import folder, images, pictures
from tfxfer.data.examples import settle
from tfxfer.errors import DataError
from tfxfer.framing import Framing


def picture(kind: str, sides=(40, 30), **settings) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (sides[1], sides[0], 3), dtype=np.uint8)
    stream = io.BytesIO()
    PIL.Image.fromarray(noise).save(stream, kind, **settings)
    return stream.getvalue()


def flat(sides) -> bytes:
    """A PNG of one colour: a few bytes, however large it is."""
    stream = io.BytesIO()
    PIL.Image.new("1", sides).save(stream, "PNG")
    return stream.getvalue()


def claims(width: int, height: int) -> bytes:
    """A JPEG that says it has so many columns and rows."""
    content = bytearray(picture("JPEG"))
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def many_frames() -> bytes:
    """An animation of few bytes: only the first frame is unpacked."""
    frames = [PIL.Image.new("L", (500, 500), level) for level in range(50)]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


def long_text() -> bytes:
    """A PNG whose text unpacks to 200 MB."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    content = picture("PNG")
    packed = zlib.compressobj(9)
    bomb = b"".join(packed.compress(bytes(1 << 20)) for _ in range(200)) + packed.flush()
    return content[:33] + chunk(b"zTXt", b"a\0\0" + bomb) + content[33:]


JPEG, PNG = picture("JPEG"), picture("PNG")
GOOD = {
    "a.jpg": JPEG,
    "wrong extension.jpg": PNG,  # what counts is what is in it
    "no extension": JPEG,
    "1x1.png": flat((1, 1)),
    "animation.gif": many_frames(),
    os.fsdecode(b"caf\xe9.jpg"): JPEG,  # no UTF-8
    "line\nbreak.jpg": JPEG,
    "x" * 251 + ".jpg": JPEG,
}
BAD = {
    "zero bytes.jpg": (b"", "empty file"),
    "page.jpg": (b"<!DOCTYPE html><html>404</html>", "no picture of a known format"),
    "text.png": (b"not a picture", "no picture of a known format"),
    "cut.jpg": (JPEG[: len(JPEG) // 2], "cannot be decoded (image file is truncated"),
    "cut.png": (PNG[: len(PNG) // 2], "cannot be decoded ("),
    "header only.jpg": (JPEG[:10], "cannot be decoded ("),
    "20000x20000.png": (flat((20_000, 20_000)), "more than 100,000,000 pixels, the limit"),
    "20000x20000.jpg": (claims(20_000, 20_000), "more than 100,000,000 pixels, the limit"),
    "12000x10000.jpg": (claims(12_000, 10_000), "12000×10000 pixels are beyond the limit"),
    "65535x65535.jpg": (claims(65_535, 65_535), "more than 100,000,000 pixels, the limit"),
    "long.png": (flat((1, 60_000)), "1×60000 pixels are beyond the limit"),
    "text bomb.png": (long_text(), "cannot be decoded ("),
    os.fsdecode(b"\xff broken.jpg"): (b"", "empty file"),
}


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos" / "cat").mkdir(parents=True)
    return tmp_path / "photos" / "cat"


def surveyed(photos) -> tuple[list[str], dict[str, str]]:
    """Returns the names of those that can be read, and the reasons of the others, by name."""
    found = folder.find(str(photos.parent))
    seen = pictures.survey(found.pictures)
    good = [found.pictures.file_name(i) for i in range(len(found.pictures)) if i not in seen.bad]
    return good, {bad.name.removeprefix("cat/"): bad.reason for bad in seen.bad.values()}


def test_what_can_be_read_is_read_whatever_its_name_says(photos):
    for name, content in GOOD.items():
        (photos / name).write_bytes(content)
    good, bad = surveyed(photos)
    assert (sorted(good), bad) == (sorted(GOOD), {})
    assert all(len(images.render(content, 8, Framing())) == 8 for content in GOOD.values())


@pytest.mark.parametrize("name", BAD)
def test_each_bad_file_is_named_with_its_reason(photos, name):
    content, reason = BAD[name]
    (photos / name).write_bytes(content)
    (photos / "good.jpg").write_bytes(JPEG)
    good, bad = surveyed(photos)
    assert good == ["good.jpg"]
    ((named, said),) = bad.items()
    assert reason in said
    named.encode("utf-8")  # so that any file can hold it
    assert named == name.replace("\udcff", "�")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_bytes_missing_anywhere_are_noticed_before_training(kind):
    content = picture(kind)
    for share in (0.05, 0.35, 0.65, 0.95):
        for read in (images.check, lambda cut: images.render(cut, 8, Framing())):
            with pytest.raises(images.UnreadableImageError):
                read(content[: int(share * len(content))])


def test_a_file_that_may_not_be_read(photos, monkeypatch):
    """Tests may run as root, who may read everything."""
    (photos / "secret.jpg").write_bytes(JPEG)
    opened = os.open

    def refused(path, *arguments, **settings):
        if str(path).endswith("secret.jpg"):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, *arguments, **settings)

    monkeypatch.setattr(os, "open", refused)
    assert surveyed(photos) == ([], {"secret.jpg": "cannot be read (Permission denied)"})


def test_a_link_to_itself_and_one_to_nothing(photos):
    (photos / "loop.jpg").symlink_to(photos / "loop.jpg")
    (photos / "gone.jpg").symlink_to(photos / "nowhere.jpg")
    (photos / "up").symlink_to(photos.parent)  # a folder: not followed, so never round in circles
    _, bad = surveyed(photos)
    assert bad == {
        "loop.jpg": "cannot be read (Too many levels of symbolic links)",
        "gone.jpg": "cannot be read (No such file or directory)",
    }


def test_a_pipe_is_not_waited_for(photos):
    os.mkfifo(photos / "pipe.jpg")
    assert surveyed(photos) == ([], {"pipe.jpg": "no regular file"})


def test_each_file_is_read_once_by_the_survey(photos, monkeypatch):
    for number in range(20):
        (photos / f"{number}.jpg").write_bytes(JPEG)
    read, count = images.read, []

    def counted(path):
        count.append(path)
        return read(path)

    monkeypatch.setattr(images, "read", counted)
    surveyed(photos)
    assert len(count) == len(set(count)) == 20


def test_one_that_vanishes_behind_the_survey_is_named(photos):
    for label in ("cat", "dog"):
        (photos.parent / label).mkdir(exist_ok=True)
        for number in range(6):
            (photos.parent / label / f"{number}.jpg").write_bytes(picture("PNG", (20 + number, 9 + (label == "cat"))))
    how = {"on_bad_image": "skip", "seed": 0, "validation_fraction": 0.2, "test_fraction": 0.2}
    examples = settle(folder.find(str(photos.parent)), **how)
    (photos / "3.jpg").unlink()
    with pytest.raises(DataError) as caught:
        examples.pixels(8, Framing())
    assert str(caught.value) == (
        "an image changed since it was checked: cat/3.jpg: cannot be read (No such file or directory). Run the command "
        "again."
    )
