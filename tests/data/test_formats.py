"""Every format, mode and orientation of the lists in README, against pixels worked out by hand."""

import io
import struct
import zlib

import numpy as np
import PIL.Image
import pytest

from tfxfer.data import images
from tfxfer.framing import Framing

RED, GREEN, BLUE, WHITE, BLACK = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)
ON_BLUE = Framing(background="#0000ff")
# Two colours above three: no turn or mirror image of it is the same.
CORNERS = [[RED, GREEN, BLUE], [WHITE, BLACK, RED]]
# What a camera writes that is held in each of the eight ways, by its EXIF number (EXIF 2.32, tag 0x0112): how that
# comes of the upright picture, in the words of NumPy.
AS_STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: upright.transpose(1, 0, 2)[::-1],  # the first row is the right side: row 0 is seen last
    7: lambda upright: upright[::-1, ::-1].transpose(1, 0, 2),
    8: lambda upright: upright.transpose(1, 0, 2)[:, ::-1],
}


def encoded(image: PIL.Image.Image, kind: str, **settings) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **settings)
    return stream.getvalue()


def of(rows, dtype=np.uint8) -> PIL.Image.Image:
    return PIL.Image.fromarray(np.array(rows, dtype))


def png(depth: int, kind: int, rows: list[bytes], width: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Returns a PNG, byte by byte (ISO/IEC 15948), of depths and types that Pillow does not write."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


def wide(*numbers: int) -> bytes:
    return struct.pack(f">{len(numbers)}H", *numbers)


def frames(kind: str, **settings) -> bytes:
    return encoded(of([[RED, RED]]), kind, save_all=True, append_images=[of([[BLUE, BLUE]])], duration=100, **settings)


def palette(**settings) -> bytes:
    image = PIL.Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLACK])
    image.putdata([0, 1, 2])
    return encoded(image, "PNG", **settings)


# On blue: half of red, 128/255 of it, is (128, 0, 127).
HALF_RED = (128, 0, 127)
FORMATS = {
    "BMP": (encoded(of(CORNERS), "BMP"), CORNERS),
    "PNG": (encoded(of(CORNERS), "PNG"), CORNERS),
    "TIFF": (encoded(of(CORNERS), "TIFF"), CORNERS),
    "TIFF, LZW": (encoded(of(CORNERS), "TIFF", compression="tiff_lzw"), CORNERS),
    "WebP, lossless": (encoded(of(CORNERS), "WEBP", lossless=True), CORNERS),
    "GIF": (encoded(of(CORNERS), "GIF"), CORNERS),
    "grey PNG": (encoded(of([[0, 100, 255]]), "PNG"), [[[0] * 3, [100] * 3, [255] * 3]]),
    "grey TIFF of 16 bits": (encoded(of([[0, 257, 65_535]], np.uint16), "TIFF"), [[[0] * 3, [1] * 3, [255] * 3]]),
    # 128 and 129 257ths are nearer to 0 and to 1.
    "grey PNG of 16 bits": (
        png(16, 0, [wide(0, 128, 129, 51_400, 65_535)], 5),
        [[[0] * 3, [0] * 3, [1] * 3, [200] * 3, [255] * 3]],
    ),
    "grey PNG of 16 bits, one level of them transparent": (
        png(16, 0, [wide(0, 51_400, 51_401)], 3, (b"tRNS", wide(51_400))),
        [[[0] * 3, BLUE, [200] * 3]],
    ),
    "grey PNG of 16 bits with alpha": (
        png(16, 4, [wide(51_400, 65_535, 51_400, 0)], 2),
        [[[200] * 3, BLUE]],
    ),
    "RGB PNG of 16 bits": (png(16, 2, [wide(0, 51_400, 65_535)], 1), [[(0, 200, 255)]]),
    "RGBA PNG of 16 bits": (
        png(16, 6, [wide(65_535, 0, 0, 65_535, 65_535, 0, 0, 128 * 257, 0, 0, 0, 0)], 3),
        [[RED, HALF_RED, BLUE]],
    ),
    "PNG of 1 bit": (encoded(of([[0, 255]]).convert("1"), "PNG"), [[BLACK, WHITE]]),
    "grey PNG of 2 bits": (png(2, 0, [bytes([0b00011011])], 4), [[[0] * 3, [85] * 3, [170] * 3, [255] * 3]]),
    "TIFF of 1 bit": (encoded(of([[0, 255]]).convert("1"), "TIFF"), [[BLACK, WHITE]]),
    "palette": (palette(), [[RED, GREEN, BLACK]]),
    "palette with a transparent colour": (palette(transparency=1), [[RED, BLUE, BLACK]]),
    "palette with alpha": (palette(transparency=bytes([128, 255, 0])), [[HALF_RED, GREEN, BLUE]]),
    "GIF with a transparent colour": (
        encoded(of([[RED, GREEN]]).quantize(2), "GIF", transparency=of([[RED, GREEN]]).quantize(2).getpixel((0, 0))),
        [[BLUE, GREEN]],
    ),
    "grey with alpha": (
        encoded(PIL.Image.merge("LA", [of([[100, 100]]), of([[255, 0]])]), "PNG"),
        [[[100] * 3, BLUE]],
    ),
    "RGB with alpha": (encoded(of([[(*RED, 255), (*RED, 128), (*RED, 0)]]), "PNG"), [[RED, HALF_RED, BLUE]]),
    "RGB PNG, one colour of it transparent": (encoded(of([[RED, GREEN]]), "PNG", transparency=RED), [[BLUE, GREEN]]),
    "WebP with alpha": (
        encoded(of([[(*RED, 255), (*RED, 0)]]), "WEBP", lossless=True, exact=True),
        [[RED, BLUE]],
    ),
    "TIFF with alpha": (encoded(of([[(*RED, 255), (*RED, 0)]]), "TIFF"), [[RED, BLUE]]),
    "CMYK TIFF": (  # cyan takes red away, black all light
        encoded(PIL.Image.fromarray(np.array([[(255, 0, 0, 0), (0, 0, 0, 255)]], np.uint8), "CMYK"), "TIFF"),
        [[(0, 255, 255), BLACK]],
    ),
    "animated GIF": (frames("GIF"), [[RED, RED]]),
    "animated WebP": (frames("WEBP", lossless=True), [[RED, RED]]),
    "animated PNG": (frames("PNG"), [[RED, RED]]),
}


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated")
@pytest.mark.parametrize("name", FORMATS)
def test_each_format_comes_out_as_the_pixels_that_were_meant(name):
    content, expected = FORMATS[name]
    assert images.decode(content, ON_BLUE).tolist() == np.array(expected).tolist()
    assert images.check(content) == np.array(expected).shape[:2]


@pytest.mark.parametrize(
    ("kind", "settings", "image", "colour"),
    [
        ("JPEG", {"quality": 95}, PIL.Image.new("RGB", (16, 16), RED), RED),
        ("JPEG", {"quality": 95, "progressive": True}, PIL.Image.new("RGB", (16, 16), RED), RED),
        ("JPEG", {"quality": 95}, PIL.Image.new("L", (16, 16), 100), (100, 100, 100)),
        ("JPEG", {"quality": 95}, PIL.Image.new("CMYK", (16, 16), (255, 0, 0, 0)), (0, 255, 255)),
        ("WEBP", {"quality": 95}, PIL.Image.new("RGB", (16, 16), RED), RED),
    ],
)
def test_lossy_formats_come_near(kind, settings, image, colour):
    decoded = images.decode(encoded(image, kind, **settings))
    np.testing.assert_allclose(decoded, np.broadcast_to(colour, (16, 16, 3)), atol=3)


def test_of_several_jpegs_in_one_file_the_first_is_taken():
    """MPO: what many phones call .jpg."""
    other = PIL.Image.new("RGB", (16, 16), BLUE)
    content = encoded(PIL.Image.new("RGB", (16, 16), RED), "MPO", save_all=True, append_images=[other])
    assert PIL.Image.open(io.BytesIO(content)).format == "MPO"
    np.testing.assert_allclose(images.decode(content), np.broadcast_to(RED, (16, 16, 3)), atol=3)
    assert images.check(content) == (16, 16)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", AS_STORED)
def test_each_orientation_is_set_upright(kind, orientation):
    upright = np.array(CORNERS, np.uint8)
    stored = np.ascontiguousarray(AS_STORED[orientation](upright))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(PIL.Image.fromarray(stored), kind, exif=exif, **lossless)
    np.testing.assert_array_equal(images.decode(content), upright)
    assert images.check(content) == (2, 3)


@pytest.mark.parametrize("orientation", AS_STORED)
def test_each_orientation_of_a_jpeg_that_is_decoded_smaller(orientation):
    """Blocks of 32 pixels, of which the middles keep their colours."""
    upright = np.array(CORNERS, np.uint8).repeat(32, axis=0).repeat(32, axis=1)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(AS_STORED[orientation](upright))
    content = encoded(PIL.Image.fromarray(stored), "JPEG", exif=exif, quality=95)
    assert images.check(content) == (64, 96)
    rendered = images.render(content, 24, Framing())  # from 32 rows of 48
    np.testing.assert_allclose(rendered[6::12, 4::8], CORNERS, atol=6)


def test_fractions_are_refused_since_nobody_knows_their_scale():
    for read in (images.check, images.decode):
        with pytest.raises(images.UnreadableImageError, match=r"its pixels are fractions, and nothing says on which"):
            read(encoded(of([[0.0, 0.5, 1.0]], np.float32), "TIFF"))


def test_padding_keeps_the_whole_picture_in_the_middle_of_the_background():
    """Four by two to four: a row of background above and below, none where it is as wide as high."""
    rows = [[RED, RED, GREEN, GREEN]] * 2
    framing = Framing(resize="pad", background="#010203")
    ground = [[[1, 2, 3]] * 4]
    assert images.render(encoded(of(rows), "PNG"), 4, framing).tolist() == [
        *ground, *np.array(rows).tolist(), *ground
    ]  # fmt: skip
    turned = np.array(rows, np.uint8).transpose(1, 0, 2)
    np.testing.assert_array_equal(
        images.resize(turned, 4, framing), images.resize(turned.transpose(1, 0, 2), 4, framing).transpose(1, 0, 2)
    )


@pytest.mark.parametrize(
    ("sides", "size", "inside"),
    [
        ((8, 6), 4, (0, 4, 0, 3)),  # three rows of four: half a row of background is none above, one below
        ((8, 5), 4, (0, 4, 0, 3)),  # 2.5 rows are three
        ((8, 3), 4, (0, 4, 1, 3)),  # 1.5 rows are two
        ((1, 50), 4, (1, 2, 0, 4)),  # never less than one
        ((2, 2), 5, (0, 5, 0, 5)),
    ],
)
def test_where_a_padded_picture_lies(sides, size, inside):
    left, right, top, bottom = inside
    square = images.resize(
        np.full((sides[1], sides[0], 3), 255, np.uint8), size, Framing(resize="pad", background="black")
    )
    expected = np.zeros((size, size, 3), np.uint8)
    expected[top:bottom, left:right] = 255
    np.testing.assert_array_equal(square, expected)
