"""Decoded pictures on disk are taken again where they are the same, and made again where anything differs."""

import json

import numpy as np
import pytest

from tfxfer.data import pixel_store
from tfxfer.framing import Framing

KEYS = ("aa", "bb", "cc")
SHAPE = (3, 2, 2, 3)
PIXELS = np.arange(np.prod(SHAPE), dtype=np.uint8).reshape(SHAPE)


class Renderer:
    """Fills an array, and counts how often it did."""

    def __init__(self):
        self.times = 0

    def __call__(self, out: np.ndarray) -> None:
        self.times += 1
        out[:] = PIXELS


@pytest.fixture
def made(tmp_path):
    """Returns the path of a store that was filled once, and what filled it."""
    path, render = tmp_path / "pixels.npy", Renderer()
    pixel_store.stored(path, "made of this", SHAPE, render)
    assert render.times == 1
    return path, render


def test_what_lies_there_is_not_decoded_again(made):
    path, render = made
    again = pixel_store.stored(path, "made of this", SHAPE, render)
    assert render.times == 1
    assert isinstance(again, np.memmap)
    np.testing.assert_array_equal(again, PIXELS)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def of_another_sum(path):
    path.with_suffix(".json").write_text(json.dumps({"made_of": "made of this", "crc32": 0}))


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        of_another_sum,
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: np.save(path, PIXELS.astype(np.float32)),
        lambda path: np.save(path, PIXELS[:2]),
        lambda path: np.save(path, np.array([{}]), allow_pickle=True),  # never unpickled
        lambda path: path.with_suffix(".json").unlink(),
        lambda path: path.with_suffix(".json").write_text("{"),
        lambda path: path.with_suffix(".json").write_text("[]"),
    ],
)
def test_what_is_damaged_is_made_again(made, damage):
    path, render = made
    damage(path)
    np.testing.assert_array_equal(pixel_store.stored(path, "made of this", SHAPE, render), PIXELS)
    assert render.times == 2
    pixel_store.stored(path, "made of this", SHAPE, render)
    assert render.times == 2


def test_what_was_made_of_something_else_is_made_again(made):
    path, render = made
    pixel_store.stored(path, "made of that", SHAPE, render)
    assert render.times == 2


def test_a_kill_while_it_is_made_anew_leaves_nothing_that_passes_for_it(made):
    path, render = made

    def killed(_out):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pixel_store.stored(path, "made of that", SHAPE, killed)
    assert sorted(file.name for file in path.parent.iterdir()) == ["pixels.npy"]
    pixel_store.stored(path, "made of this", SHAPE, render)
    assert render.times == 2


def test_everything_that_decides_the_pixels_decides_the_origin(monkeypatch):
    usual = pixel_store.origin(KEYS, 24, Framing())
    assert usual == pixel_store.origin(list(KEYS), 24, Framing(background="#ffffff"))
    others = [
        pixel_store.origin(KEYS[::-1], 24, Framing()),  # rows lie in the order of the pictures
        pixel_store.origin(KEYS[:2], 24, Framing()),
        pixel_store.origin(("a", "abb", "cc"), 24, Framing()),
        pixel_store.origin(KEYS, 25, Framing()),
        pixel_store.origin(KEYS, 24, Framing(resize="pad")),
        pixel_store.origin(KEYS, 24, Framing(background="black")),
    ]
    monkeypatch.setattr(pixel_store.PIL, "__version__", "0.0")
    others.append(pixel_store.origin(KEYS, 24, Framing()))
    assert len({usual, *others}) == len(others) + 1
