"""simplejpeg and numba come to the bytes of Pillow; what they cannot do is left to it, and a difference is found."""

import io

import numpy as np
import PIL.Image
import pytest

from tfxfer import decoders
from tfxfer.data import fast_jpegs, images, pictures
from tfxfer.data.images import UnreadableImageError
from tfxfer.framing import Framing

pytest.importorskip("simplejpeg", reason="needs the extra [fast]")
numba = pytest.importorskip("numba", reason="needs the extra [fast]")

PADDED = Framing(resize="pad", background="#102030")


@pytest.fixture(scope="module")
def fast() -> fast_jpegs.FastJpegs:
    return fast_jpegs.load(images.render)


@pytest.fixture
def hastened(monkeypatch, fast):
    hurry(monkeypatch, fast)


def hurry(monkeypatch, fast: fast_jpegs.FastJpegs | None, *, is_wanted: bool = True) -> None:
    """Lets `images` find this where it looks for what is fast."""
    monkeypatch.setattr(images, "_fast", images._Fast())
    monkeypatch.setattr(images.fast_jpegs, "load", lambda usual: fast)
    images._fast.is_wanted = is_wanted


def waves(height: int, width: int) -> np.ndarray:
    across, down = np.meshgrid(np.arange(width), np.arange(height))
    return np.uint8(128 + 100 * np.stack([np.sin(across / 7 + down / place) for place in (3, 11, 23)], axis=-1))


def jpeg(height: int, width: int, mode: str = "RGB", **settings) -> bytes:
    stream = io.BytesIO()
    PIL.Image.fromarray(waves(height, width)).convert(mode).save(stream, "JPEG", **{"quality": 90, **settings})
    return stream.getvalue()


def one_by_four() -> bytes:
    """Returns a JPEG whose luma has 1×4 samples for each of a colour, which few libraries have a word for."""
    content = bytearray(jpeg(128, 128, subsampling="4:2:0"))
    content[content.index(b"\xff\xc0") + 11] = 0x14
    return bytes(content)


def test_pixels_of_all_sizes_are_those_of_pillow(fast):
    """To squares of 8 to 256 pixels, from an eighth of that up to what has too many weights."""
    generator = np.random.default_rng(0)
    framings = [Framing(), Framing(resize="crop"), PADDED]
    compared = 0
    for number in range(1_000):
        size = int(2 ** generator.uniform(3, 8))
        height, width = (max(1, int(size * 2 ** generator.uniform(-3, 1.9))) for _ in range(2))
        framing = framings[number % 3]
        shrink = fast.shrinking(height, width, size, framing)
        if shrink is None:  # to less than a third, or few rows
            assert max(height, width) > 3 * size or min(height, width) < 16
            continue
        pixels = generator.integers(0, 256, (height, width, 4), np.uint8)
        assert np.array_equal(shrink(pixels), images.resize(pixels[..., :3], size, framing)), (height, width, size)
        compared += 1
    assert compared > 500


@pytest.mark.parametrize("framing", [Framing(), Framing(resize="crop"), PADDED], ids=str)
@pytest.mark.parametrize("settings", [{"subsampling": kept} for kept in ("4:4:4", "4:2:2", "4:2:0")] + [{"mode": "L"}])
@pytest.mark.parametrize("scan", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_jpegs_are_those_of_pillow_at_each_scale(fast, settings, scan, framing):
    content = jpeg(203, 311, **settings, **scan)
    for size in (150, 100, 50, 25):  # at 1, ½, ¼ and ⅛; padded to 150 already at ½
        np.testing.assert_array_equal(fast.render(content, size, framing), images.render(content, size, framing))


def test_rendering_takes_it_once_many_pictures_are_to_come(monkeypatch, fast):
    content, seen = jpeg(100, 80), []
    expected = images.render(content, 40, Framing())
    monkeypatch.setattr(fast, "render", lambda *given: seen.append(given[1:]) or type(fast).render(fast, *given))
    hurry(monkeypatch, fast, is_wanted=False)
    images.hasten(decoders.LEAST - 1)
    np.testing.assert_array_equal(images.render(content, 40, Framing()), expected)
    assert seen == []
    images.hasten(decoders.LEAST)
    np.testing.assert_array_equal(images.render(content, 40, Framing()), expected)
    assert seen == [(40, Framing())]


@pytest.mark.usefixtures("hastened")
def test_pictures_of_a_source_are_rendered_by_it(monkeypatch, tmp_path, fast):
    """The planted fault is seen: it is this that draws."""
    path = tmp_path / "a.jpg"
    path.write_bytes(jpeg(100, 80))
    out = np.zeros((1, 24, 24, 3), np.uint8)
    monkeypatch.setattr(fast, "render", lambda content, size, framing: np.full((size, size, 3), 7, np.uint8))
    pictures.render(pictures.Files(tmp_path, (path,)), 24, Framing(), out)
    assert (out == 7).all()


@pytest.mark.parametrize(
    "content",
    [
        jpeg(100, 90, "CMYK"),
        jpeg(63, 90),  # so small that scales of libjpeg may come to one size
        jpeg(100, 90)[:-400],  # damaged: the message is Pillow's
        b"\xff\xd8\xff no picture",
        one_by_four(),
    ],
    ids=["CMYK", "small", "damaged", "none", "sampled 1×4"],
)
def test_what_is_unusual_is_left_to_pillow(fast, content):
    assert fast.render(content, 40, Framing()) is None


@pytest.mark.usefixtures("hastened")
def test_what_is_larger_than_is_read_at_all_is_refused_as_ever(fast):
    """Of 6 million pixels, so that it is the side that is refused."""
    stream = io.BytesIO()
    PIL.Image.new("RGB", (60_000, 100)).save(stream, "JPEG")
    assert fast.render(stream.getvalue(), 40, Framing(resize="crop")) is None
    with pytest.raises(UnreadableImageError, match="60000"):
        images.render(stream.getvalue(), 40, Framing(resize="crop"))
    assert fast_jpegs._MOST_SIDE <= images.MOST_SIDE
    assert fast_jpegs._MOST_PIXELS <= images.MOST_PIXELS


def test_whatever_is_damaged_is_read_as_pillow_reads_it_or_left_to_it(fast):
    generator, read = np.random.default_rng(0), 0
    for number in range(300):
        content = bytearray(jpeg(90, 120, subsampling=("4:4:4", "4:2:2", "4:2:0")[number % 3]))
        at = int(generator.integers(2, 700 if number % 2 else len(content)))
        if number % 5:
            content[at] = generator.integers(256)
        else:
            del content[at : at + int(generator.integers(1, 30))]
        found = fast.render(bytes(content), 60, Framing()) if fast_jpegs.is_bare(bytes(content)) else None
        if found is not None:
            np.testing.assert_array_equal(found, images.render(bytes(content), 60, Framing()))
            read += 1
    assert read > 30


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
    images._fast.is_wanted = False
    np.testing.assert_array_equal(found, images.render(content, 40, Framing()))


def test_what_would_need_more_weights_is_left_to_pillow(fast):
    """A pixel of the result takes those within the scale on either side of it, up to 8 at 3½."""
    assert fast.shrinking(35, 30, 10, Framing()) is not None
    assert fast.shrinking(46, 30, 10, Framing()) is None
    assert fast.shrinking(30, 46, 10, Framing()) is None
    assert fast.render(jpeg(100, 400), 60, Framing()) is None


def test_fewer_rows_than_go_together_are_left_to_pillow(fast):
    assert fast.shrinking(15, 20, 15, Framing()) is None
    assert fast.shrinking(16, 20, 15, Framing()) is not None


@pytest.mark.parametrize(
    ("content", "is_bare"),
    [
        (jpeg(80, 80), True),
        (jpeg(80, 80, comment=b"0" * 70), True),
        (jpeg(80, 80, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"), False),
        (b"\xff\xd8\xff\xe0\0\x04\0\0\xff\xff\xda\0", False),  # padded
        (b"\xff\xd8\xff\xe0\0\0", False),  # a length that does not count itself
        (b"\xff\xd8\xff\xe0", False),
        (b"\xff\xd8\xff", False),
    ],
)
def test_what_could_say_how_it_lies_is_seen(content, is_bare):
    assert fast_jpegs.is_bare(content) == is_bare


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


def test_where_nothing_can_be_kept_it_is_compiled_each_time(monkeypatch):
    def njit(function, **settings):
        if settings.get("cache"):
            raise RuntimeError("cannot cache function: no locator available")
        return function, settings

    monkeypatch.setattr(numba, "njit", njit)
    assert fast_jpegs._compiled(len) == (len, {"nogil": True})


def test_without_them_nothing_is_loaded(monkeypatch):
    monkeypatch.setattr(decoders, "installed", lambda: False)
    assert fast_jpegs.load(images.render) is None
