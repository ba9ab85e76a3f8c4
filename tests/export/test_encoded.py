"""Pictures that are decoded in a graph have the bytes that training sees."""

import io
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tfxfer.data import images
from tfxfer.export import encoded
from tfxfer.framing import Framing

SIZE = 24
GENERATOR = np.random.default_rng(0)
FRAMINGS = {
    "squash": Framing(),
    "crop": Framing(resize="crop", background="black"),
    "pad": Framing(resize="pad", background="#1080f0"),
}
SIDES = [(300, 200), (60, 77), (24, 24), (193, 48), (50, 400), (11, 9), (1, 1), (96, 192), (200, 7)]


def picture(height, width, mode="RGB"):
    """Soft blobs with some noise, as photographs have both."""
    blobs = GENERATOR.normal(128, 60, (height // 8 + 2, width // 8 + 2, len(mode))).clip(0, 255).astype(np.uint8)
    soft = PIL.Image.fromarray(blobs.squeeze(), mode).resize((width, height), PIL.Image.Resampling.BICUBIC)
    noise = GENERATOR.integers(-9, 10, (height, width, len(mode))).squeeze(-1 if len(mode) == 1 else ())
    return PIL.Image.fromarray((np.asarray(soft).astype(int) + noise).clip(0, 255).astype(np.uint8), mode)


def coded(image, **how):
    stream = io.BytesIO()
    image.save(stream, **how)
    return stream.getvalue()


@pytest.fixture(scope="module")
def decode():
    """Functions of encoded pictures, traced once, by policy."""
    spec = [tf.TensorSpec([None], tf.string)]
    return {
        policy: tf.function(lambda c, f=framing: encoded.decoded_batch(c, SIZE, f), input_signature=spec)
        for policy, framing in FRAMINGS.items()
    }


@pytest.mark.parametrize("policy", ["squash", "crop", "pad"])
@pytest.mark.parametrize(
    ("mode", "how"),
    [
        ("RGB", {"format": "JPEG", "quality": 90}),
        ("RGB", {"format": "JPEG", "quality": 55, "subsampling": 0, "progressive": True}),
        ("RGB", {"format": "JPEG", "quality": 75, "subsampling": 1}),
        ("L", {"format": "JPEG", "quality": 80}),
        ("RGB", {"format": "PNG"}),
        ("L", {"format": "PNG"}),
        ("RGBA", {"format": "PNG"}),
        ("LA", {"format": "PNG"}),
    ],
)
def test_they_are_those_that_training_sees(decode, policy, mode, how):
    contents = [coded(picture(*sides, mode), **how) for sides in SIDES]
    expected = [images.render(c, SIZE, FRAMINGS[policy]) for c in contents]
    np.testing.assert_array_equal(decode[policy](tf.constant(contents)), expected)


def test_what_tensorflow_does_by_itself_would_be_noticed():
    """Canaries: its own resizing, its default transform, and height before width are near, and not the same."""
    content = coded(picture(300, 200), format="JPEG")
    exact = tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_ACCURATE")
    assert np.array_equal(exact, images.decode(content))
    assert not np.array_equal(tf.io.decode_jpeg(content, channels=3, dct_method="INTEGER_FAST"), exact)
    expected = images.resize(exact.numpy(), SIZE, FRAMINGS["squash"])
    resized = np.round(tf.image.resize(exact, (SIZE, SIZE), antialias=True))
    turned = images.resize(exact.numpy().transpose(1, 0, 2), SIZE, FRAMINGS["squash"]).transpose(1, 0, 2)
    for other in (resized, turned):
        assert 0 < np.abs(other.astype(int) - expected).max() <= 2


@pytest.mark.parametrize(("mode", "clear"), [("RGB", (9, 9, 9)), ("L", 9)])
def test_one_colour_that_is_transparent_is_white(decode, mode, clear):
    image = picture(40, 30, mode)
    image.paste(clear, (5, 5, 20, 20))
    content = coded(image, format="PNG", transparency=clear)
    expected = images.render(content, SIZE, FRAMINGS["squash"])
    assert (expected == 255).any()
    np.testing.assert_array_equal(decode["squash"](tf.constant([content]))[0], expected)


def test_what_phones_call_a_jpeg_is_one(decode):
    """MPO: several JPEGs in one file, of which the first is the picture."""
    content = coded(picture(300, 200), format="MPO", save_all=True, append_images=[picture(300, 200)])
    expected = images.render(content, SIZE, FRAMINGS["squash"])
    np.testing.assert_array_equal(decode["squash"](tf.constant([content]))[0], expected)


def wide_png(channels: int, kind: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """Returns a PNG of 16 bits, which Pillow writes of grey alone."""

    def chunk(name, body):
        return len(body).to_bytes(4) + name + body + zlib.crc32(name + body).to_bytes(4)

    rows = GENERATOR.integers(0, 1 << 16, (31, 43 * channels)).astype(">u2")
    rows[:, : 8 * channels] = np.resize([7] * channels, 8 * channels)  # the level that may be transparent
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = (43).to_bytes(4) + (31).to_bytes(4) + bytes([16, kind, 0, 0, 0])
    parts = ((b"IHDR", header), *chunks, (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


PALETTE, FEW = picture(70, 50).quantize(16), picture(70, 50).quantize(4)
PNGS = {
    "palette": coded(PALETTE, format="PNG"),
    "palette of 2 bits": coded(FEW, format="PNG", bits=2),
    "palette, a colour of it transparent": coded(PALETTE, format="PNG", transparency=3),
    "palette of 2 bits, with alpha": coded(FEW, format="PNG", bits=2, transparency=bytes([0, 100, 200, 255])),
    "1 bit": coded(picture(70, 50, "L").convert("1"), format="PNG"),
    "1 bit, black transparent": coded(picture(70, 50, "L").convert("1"), format="PNG", transparency=0),
    "16 bits, grey": wide_png(1, 0),
    "16 bits, grey, a level of it transparent": wide_png(1, 0, (b"tEXt", b"a\0b"), (b"tRNS", b"\0\7")),
    "16 bits, grey with alpha": wide_png(2, 4),
    "16 bits, RGB": wide_png(3, 2),
    "16 bits, RGBA": wide_png(4, 6),
}


@pytest.mark.parametrize("name", PNGS)
@pytest.mark.parametrize("policy", FRAMINGS)
def test_each_kind_of_png_has_the_bytes_of_training(decode, policy, name):
    expected = images.render(PNGS[name], SIZE, FRAMINGS[policy])
    np.testing.assert_array_equal(decode[policy](tf.constant([PNGS[name]]))[0], expected)


def test_the_background_is_seen_where_it_is_meant():
    """A canary for the test above: transparent and grey pixels differ between backgrounds, those of others do not."""
    seen = {name: images.render(content, SIZE, FRAMINGS["squash"]) for name, content in PNGS.items()}
    on_blue = {name: images.render(content, SIZE, Framing(background="#0000ff")) for name, content in PNGS.items()}
    differ = {name for name in PNGS if not np.array_equal(seen[name], on_blue[name])}
    assert differ == {name for name in PNGS if "transparent" in name or "alpha" in name or "RGBA" in name}


def test_a_png_that_is_nothing_but_small_chunks_ends(decode):
    """Going from chunk to chunk ends with the file, however long they say they are."""
    chunk = b"\0\0\0\0tEXt" + zlib.crc32(b"tEXt").to_bytes(4)
    for content in (PNGS["palette"][:33] + 1_000 * chunk, PNGS["palette"][:33] + b"\xff\xff\xff\xfftEXt" + bytes(99)):
        # TensorFlow quotes the bytes in its message, which Python does not always take for text.
        with pytest.raises((tf.errors.InvalidArgumentError, UnicodeDecodeError)):
            decode["squash"](tf.constant([content]))


def bomb(form, sides=(20_000, 20_000)):
    """A file of a few bytes that says it has so many columns and rows."""
    content = bytearray(coded(picture(8, 8), format=form))
    if form == "PNG":
        content[16:24] = b"".join(side.to_bytes(4) for side in sides)
    else:
        at = content.index(b"\xff\xc0") + 5
        content[at : at + 4] = b"".join(side.to_bytes(2) for side in sides[::-1])
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "neither JPEG nor PNG"),
        (b"<html>", "neither JPEG nor PNG"),
        (coded(picture(8, 8), format="GIF"), "neither JPEG nor PNG"),
        (coded(picture(80, 80), format="JPEG")[:300], "(?i)jpeg"),
        (coded(picture(80, 80), format="PNG")[:300], "(?i)png"),
        (bomb("JPEG"), "beyond the limit of pixels"),
        (bomb("PNG", (1, 60_000)), "beyond the limit of pixels"),
        (bomb("PNG", (60_000, 1)), "beyond the limit of pixels"),
        (bomb("PNG"), "beyond the limit of pixels"),
    ],
)
def test_what_is_no_picture_is_answered(decode, content, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode["squash"](tf.constant([content]))
