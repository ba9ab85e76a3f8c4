"""simplejpeg and numba come to the bytes of Pillow; what they cannot do is left to it, and a difference is found."""

import io

import numpy as np
import PIL.Image
import pytest

from tfxfer import decoders
from tfxfer.data import fast_jpegs, images, pictures, resampling
from tfxfer.data.images import UnreadableImageError
from tfxfer.framing import Framing

pytestmark = pytest.mark.skipif(not decoders.installed(), reason="needs the extra [fast]")

PADDED = Framing(resize="pad", background="#102030")


@pytest.fixture(scope="module")
def fast() -> fast_jpegs.FastJpegs:
    return fast_jpegs.load(images.render)


@pytest.fixture
def hastened(monkeypatch, fast):
    monkeypatch.setattr(images, "_fast", fast)


def waves(height: int, width: int) -> np.ndarray:
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    return np.uint8(128 + 100 * np.stack([np.sin(across / 7 + down / place) for place in (3, 11, 23)], axis=-1))


def jpeg(height: int, width: int, mode: str = "RGB", **settings) -> bytes:
    stream = io.BytesIO()
    PIL.Image.fromarray(waves(height, width)).convert(mode).save(stream, "JPEG", **{"quality": 90, **settings})
    return stream.getvalue()


def test_pixels_of_all_sizes_are_those_of_pillow(fast):
    """Each side 1 to 256 pixels, smaller and larger ones as often, to squares of 1 to 256."""
    generator = np.random.default_rng(0)
    framings = [Framing(), Framing(resize="crop"), PADDED]
    for number in range(600):
        height, width, size = (int(2 ** generator.uniform(0, 8)) for _ in range(3))
        pixels = generator.integers(0, 256, (height, width, 4), np.uint8)
        found = fast.framed(pixels, size, framings[number % 3])
        expected = images.resize(pixels[..., :3], size, framings[number % 3])
        assert np.array_equal(found, expected), (height, width, size, framings[number % 3])


@pytest.mark.parametrize("framing", [Framing(), Framing(resize="crop"), PADDED], ids=str)
@pytest.mark.parametrize("settings", [{"subsampling": kept} for kept in ("4:4:4", "4:2:2", "4:2:0")] + [{"mode": "L"}])
@pytest.mark.parametrize("scan", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_jpegs_are_those_of_pillow_at_each_scale(fast, settings, scan, framing):
    content = jpeg(203, 311, **settings, **scan)
    for scale, size in ((1, 150), (2, 100), (4, 50), (8, 20)):
        least = images.render(content, size, framing)  # not hastened
        if framing.resize == "pad":  # whose longer side decides
            scale = max(number for number in (1, 2, 4, 8) if number <= 311 // size)
        np.testing.assert_array_equal(fast.render(content, scale, size, framing), least)


def test_rendering_takes_it_once_many_pictures_are_to_come(monkeypatch, fast):
    content, seen = jpeg(100, 80), []
    expected = images.render(content, 40, Framing())
    monkeypatch.setattr(fast, "render", lambda *given: seen.append(given[1]) or type(fast).render(fast, *given))
    monkeypatch.setattr(images, "_fast", None)
    monkeypatch.setattr(images, "_loaded", lambda: fast)
    images.hasten(decoders.LEAST - 1)
    np.testing.assert_array_equal(images.render(content, 40, Framing()), expected)
    assert seen == []
    images.hasten(decoders.LEAST)
    np.testing.assert_array_equal(images.render(content, 40, Framing()), expected)
    assert seen == [2]  # 80 pixels on its shorter side: at a half


@pytest.mark.usefixtures("hastened")
def test_pictures_of_a_source_are_rendered_by_it(monkeypatch, tmp_path, fast):
    """The planted fault is seen: it is this that draws."""
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(100, 80))
    out = np.zeros((1, 24, 24, 3), np.uint8)
    monkeypatch.setattr(fast, "render", lambda content, scale, size, framing: np.full((size, size, 3), 7, np.uint8))
    pictures.render(pictures.Files(tmp_path, (path,)), 24, Framing(), out)
    assert (out == 7).all()


@pytest.mark.parametrize(
    "content",
    [
        jpeg(100, 90, "CMYK"),
        jpeg(63, 90),  # so small that scales of libjpeg may come to one size
        jpeg(100, 90)[:-400],  # damaged: the message is Pillow's
        b"\xff\xd8\xff no picture",
    ],
    ids=["CMYK", "small", "damaged", "none"],
)
def test_what_is_unusual_is_left_to_pillow(fast, content):
    assert fast.render(content, 1, 40, Framing()) is None


@pytest.mark.usefixtures("hastened")
def test_damage_is_named_as_ever():
    with pytest.raises(UnreadableImageError, match="cannot be decoded"):
        images.render(jpeg(100, 90)[:-400], 40, Framing())


@pytest.mark.usefixtures("hastened")
@pytest.mark.parametrize("orientation", [3, 6])
def test_what_lies_on_its_side_is_turned(monkeypatch, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    content = jpeg(100, 90, exif=exif)
    found = images.render(content, 40, Framing())
    monkeypatch.setattr(images, "_fast", None)
    np.testing.assert_array_equal(found, images.render(content, 40, Framing()))


def test_a_line_of_too_many_pixels_is_left_to_pillow(monkeypatch, fast):
    monkeypatch.setattr(resampling, "MOST_TAPS", 21)
    assert fast.framed(np.zeros((20, 1, 4), np.uint8), 2, Framing()) is None  # 10 pixels on either side, and 2
    assert fast.framed(np.zeros((18, 1, 4), np.uint8), 2, Framing()) is not None


def test_other_bytes_than_pillows_are_refused():
    def other(content: bytes, size: int, framing: Framing) -> np.ndarray:
        pixels = np.array(images.render(content, size, framing))
        pixels[-1, -1, 2] ^= 1
        return pixels

    with pytest.warns(UserWarning, match="Pillow decodes all images, .* other pixels than Pillow"):
        assert fast_jpegs.load(other) is None


def test_a_library_that_cannot_be_loaded_is_told(monkeypatch):
    def broken(*_args, **_settings):
        raise ImportError("Numba needs NumPy 2.3 or less")

    monkeypatch.setattr(fast_jpegs, "_compiled", broken)
    with pytest.warns(UserWarning, match=r"cannot be used here: Numba needs NumPy 2\.3 or less"):
        assert fast_jpegs.load(images.render) is None


def test_without_them_nothing_is_loaded(monkeypatch):
    monkeypatch.setattr(decoders, "installed", lambda: False)
    assert fast_jpegs.load(images.render) is None
