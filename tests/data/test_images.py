"""Pictures in all their kinds become upright uint8 RGB; what is no picture is named with its reason."""

import io
import os
import struct
import threading
import warnings
import zlib

import numpy as np
import PIL.Image
import pytest

from tfxfer.data import images
from tfxfer.data.images import UnreadableImageError
from tfxfer.framing import Framing

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: PIL.Image.Image, kind: str = "PNG", **settings) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


def picture(*rows) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.array(rows, np.uint8))


def noise(height: int, width: int) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def turned(orientation: int) -> PIL.Image.Exif:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    return exif


def refusal(content: bytes, read=images.decode) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        read(content)
    return str(caught.value)


def test_a_png_is_what_it_was():
    decoded = images.decode(encoded(picture([RED, GREEN], [BLUE, WHITE], [WHITE, RED])))
    assert (decoded.dtype, decoded.shape) == (np.uint8, (3, 2, 3))
    assert decoded.tolist() == [[[*RED], [*GREEN]], [[*BLUE], [*WHITE]], [[*WHITE], [*RED]]]


@pytest.mark.parametrize(
    ("orientation", "rows"),
    [
        (1, [[RED, BLUE]]),
        (2, [[BLUE, RED]]),  # mirrored
        (3, [[BLUE, RED]]),  # upside down
        (6, [[RED], [BLUE]]),  # a quarter turn clockwise
        (8, [[BLUE], [RED]]),  # and the other way
    ],
)
def test_a_picture_taken_sideways_is_set_upright(orientation, rows):
    content = encoded(picture([RED, BLUE]), exif=turned(orientation))
    assert images.decode(content).tolist() == np.array(rows).tolist()
    assert images.check(content) == np.array(rows).shape[:2]


def test_grey_is_all_three_colours():
    assert images.decode(encoded(picture([0, 100, 255]))).tolist() == [[[0] * 3, [100] * 3, [255] * 3]]


def test_16_bit_grey_is_scaled_to_8():
    image = PIL.Image.fromarray(np.array([[0, 257, 200 * 257, 65_535]], np.uint16))
    assert image.mode == "I;16"
    assert images.decode(encoded(image))[0, :, 0].tolist() == [0, 1, 200, 255]


def test_black_and_white_bits():
    assert images.decode(encoded(picture([0, 255]).convert("1"))).tolist() == [[[0] * 3, [255] * 3]]


def test_palettes_are_looked_up():
    image = picture([RED, BLUE]).quantize(4)
    assert image.mode == "P"
    assert images.decode(encoded(image)).tolist() == [[[*RED], [*BLUE]]]


def test_transparency_is_laid_on_white():
    image = picture([(*RED, 255), (*RED, 128), (0, 0, 0, 0)])
    assert image.mode == "RGBA"
    assert images.decode(encoded(image)).tolist() == [[[*RED], [255, 127, 127], [*WHITE]]]


def test_grey_with_transparency_is_laid_on_white():
    image = PIL.Image.merge("LA", [picture([0, 0]), picture([255, 0])])
    assert images.decode(encoded(image)).tolist() == [[[0] * 3, [255] * 3]]


def test_a_transparent_colour_of_a_palette_is_white():
    image = picture([RED, BLUE]).quantize(4)
    transparent = image.getpixel((1, 0))
    assert images.decode(encoded(image, transparency=transparent)).tolist() == [[[*RED], [*WHITE]]]
    # As many bytes as colours: Pillow warns about these.
    several = bytes(0 if index == transparent else 255 for index in range(4))
    assert images.decode(encoded(image, transparency=several)).tolist() == [[[*RED], [*WHITE]]]


def test_printers_colours_are_turned_into_light():
    cyan = PIL.Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    decoded = images.decode(encoded(cyan, "JPEG", quality=95))
    np.testing.assert_allclose(decoded[8, 8], (0, 255, 255), atol=3)


def test_of_an_animation_the_first_frame_is_taken():
    content = encoded(picture([RED]), "GIF", save_all=True, append_images=[picture([BLUE])], duration=100)
    assert PIL.Image.open(io.BytesIO(content)).n_frames == 2
    assert images.decode(content).tolist() == [[[*RED]]]


@pytest.mark.parametrize("kind", ["BMP", "GIF", "TIFF", "WEBP", "JPEG"])
def test_every_kind_that_we_say_we_read(kind):
    decoded = images.decode(encoded(PIL.Image.new("RGB", (8, 8), RED), kind))
    np.testing.assert_allclose(decoded, np.broadcast_to(RED, (8, 8, 3)), atol=2)


def drafted(content: bytes, size: int, policy: str) -> tuple[int, int]:
    """Returns width and height that a picture is decoded at."""
    with PIL.Image.open(io.BytesIO(content)) as image:
        images._draft(image, size, Framing(resize=policy))
        return image.size


@pytest.mark.parametrize(
    ("size", "policy", "sides"),
    [
        (24, "squash", (32, 24)),
        (24, "crop", (32, 24)),
        (25, "squash", (64, 48)),
        (1, "crop", (8, 6)),
        (32, "pad", (32, 24)),  # of the longer side
        (33, "pad", (64, 48)),
    ],
)
def test_a_jpeg_may_be_decoded_smaller_but_never_below_what_is_asked(size, policy, sides):
    assert drafted(encoded(noise(48, 64), "JPEG"), size, policy) == sides
    upright = (sides[1], sides[0])
    assert drafted(encoded(noise(64, 48), "JPEG"), size, policy) == upright


def test_a_narrow_jpeg_that_is_padded_keeps_a_pixel_of_its_width():
    assert drafted(encoded(noise(64, 3), "JPEG"), 8, "pad") == (2, 32)  # by two, since three do not go into eight


def test_other_kinds_are_always_decoded_in_full():
    assert drafted(encoded(noise(48, 64)), 1, "squash") == (64, 48)


def test_what_is_rendered_is_what_is_decoded_and_resized():
    for content in (encoded(noise(40, 60)), encoded(noise(40, 60), "JPEG", exif=turned(6))):
        for framing in (Framing(), Framing(resize="crop"), Framing(resize="pad", background="#0080ff")):
            expected = images.resize(images.decode(content, framing), 32, framing)
            np.testing.assert_array_equal(images.render(content, 32, framing), expected)


def test_the_check_gives_the_full_size_of_a_jpeg_although_it_decodes_less():
    assert images.check(encoded(noise(48, 64), "JPEG")) == (48, 64)
    assert images.check(encoded(noise(48, 64), "JPEG", exif=turned(6))) == (64, 48)


@pytest.mark.parametrize("read", [images.decode, images.check])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"<!DOCTYPE html><html>404</html>", "no picture of a known format"),
        (b"\xff\xd8\xff\xe0 a JPEG in its first bytes only", "cannot be decoded (Truncated File Read)"),
    ],
)
def test_what_is_no_picture(content, reason, read):
    assert refusal(content, read) == reason


@pytest.mark.parametrize("read", [images.decode, images.check])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_truncated_picture(kind, share, read):
    """At nine tenths only the last rows are missing, which the decoding at an eighth must notice too."""
    content = encoded(noise(64, 64), kind)
    assert refusal(content[: int(share * len(content))], read).startswith(("cannot be decoded (", "no picture"))


def png_that_claims(width: int, height: int) -> bytes:
    """Returns the few bytes of a PNG whose header promises that many pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("read", [images.decode, images.check])
def test_a_small_file_that_would_unpack_to_gigabytes_is_refused_by_its_header(read):
    assert refusal(png_that_claims(12_000, 10_000), read) == "12000×10000 pixels are beyond the limit"
    # Pillow's own limit comes first.
    assert refusal(png_that_claims(60_000, 60_000), read) == "it says it has more than 100,000,000 pixels, the limit"


def test_a_file_beyond_the_limit_is_not_opened(monkeypatch):
    monkeypatch.setattr(images, "MOST_BYTES", 3 << 20)
    assert refusal(bytes((3 << 20) + 1)) == "larger than 3 MiB"


def test_warnings_of_decoders_do_not_reach_the_user():
    """Tests turn warnings into errors, so this one would fail: bytes of transparency, a large picture."""
    image = picture([RED, BLUE]).quantize(4)
    images.decode(encoded(image, transparency=b"\0\xff\xff\xff"))
    with pytest.raises(UnreadableImageError, match="cannot be decoded"):
        images.decode(png_that_claims(9_900, 9_900))  # Pillow warns above 89 million pixels


def test_decoding_in_two_threads_leaves_warnings_as_they_were(monkeypatch):
    """Two that overlap: the first to come is the first to go."""
    entered = {b"one": threading.Event(), b"two": threading.Event()}
    leave = {b"one": threading.Event(), b"two": threading.Event()}

    def open_slowly(stream):
        name = stream.getvalue()
        entered[name].set()
        leave[name].wait(10)
        raise ValueError(f"nothing in {name}")

    monkeypatch.setattr(PIL.Image, "open", open_slowly)
    before = list(warnings.filters)
    threads = {name: threading.Thread(target=refusal, args=(name,)) for name in entered}
    for name, thread in threads.items():
        thread.start()
        assert entered[name].wait(10)
    assert warnings.filters[0][0] == "ignore"
    for name, thread in threads.items():
        leave[name].set()
        thread.join(10)
    assert warnings.filters == before


def ramp(*levels) -> np.ndarray:
    """Returns a row of grey pixels."""
    return np.repeat(np.array([levels], np.uint8)[..., None], 3, axis=-1)


def test_squashing_weighs_all_pixels_by_a_triangle():
    """Two pixels from four: weights ¾ ¾ ¼ over their sum, (¾·0 + ¾·70 + ¼·140) / 1¾ = 50, and 210 − 50."""
    small = images.resize(np.repeat(ramp(0, 70, 140, 210), 2, axis=0), 2, Framing(resize="squash"))
    assert (small.dtype, small.shape) == (np.uint8, (2, 2, 3))
    assert small[..., 0].tolist() == [[50, 160], [50, 160]]


def test_cropping_keeps_the_middle_of_the_longer_side():
    wide = np.repeat(ramp(0, 70, 140, 210), 2, axis=0)
    assert images.resize(wide, 2, Framing(resize="crop"))[..., 0].tolist() == [[70, 140], [70, 140]]
    tall = wide.transpose(1, 0, 2)
    assert images.resize(tall, 2, Framing(resize="crop"))[..., 0].tolist() == [[70, 70], [140, 140]]


def test_cropping_an_uneven_rest_takes_half_pixels():
    assert images.resize(ramp(100, 200), 1, Framing(resize="crop"))[..., 0].tolist() == [[150]]


def test_a_square_of_the_right_size_stays_as_it_is():
    pixels = np.asarray(noise(8, 8))
    for policy in ("squash", "crop", "pad"):
        np.testing.assert_array_equal(images.resize(pixels, 8, Framing(resize=policy)), pixels)


def test_only_regular_files_of_bearable_size_are_read(tmp_path, monkeypatch):
    """A pipe would be waited for, and a device read, for ever."""
    (tmp_path / "a.jpg").write_bytes(b"12345")
    assert images.read(tmp_path / "a.jpg") == b"12345"
    os.mkfifo(tmp_path / "pipe.jpg")
    with (tmp_path / "sparse.jpg").open("wb") as stream:
        stream.truncate(images.MOST_BYTES + 1)
    found = {name: refusal(tmp_path / name, images.read) for name in ("pipe.jpg", "none.jpg", "sparse.jpg", ".")}
    assert found == {
        "pipe.jpg": "no regular file",
        "none.jpg": "cannot be read (No such file or directory)",
        "sparse.jpg": "larger than 256 MiB",
        ".": "a folder",
    }
    assert refusal("/dev/zero", images.read) == "no regular file"


@pytest.mark.parametrize("sides", [(1, 60_000), (60_000, 1)])
def test_a_narrow_picture_that_would_take_gigabytes_to_resize_is_refused(sides):
    stream = io.BytesIO()
    PIL.Image.new("L", sides).save(stream, "PNG")
    with pytest.raises(images.UnreadableImageError, match="beyond the limit"):
        images.decode(stream.getvalue())
