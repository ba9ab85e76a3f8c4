"""Pictures that are nearly the same: which are found, that none is missed, and in what time."""

import io
import time

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tfxfer.data import images, near_duplicates
from tfxfer.data.near_duplicates import fingerprint, pairs
from tfxfer.framing import Framing


def scene(number: int) -> np.ndarray:
    """Returns a smooth picture of its own, uint8 `[96, 128, 3]`."""
    coarse = np.random.default_rng(number).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((128, 96), Image.Resampling.BICUBIC))


def seen(picture) -> tuple[int, np.ndarray]:
    small = images.resize(np.asarray(Image.fromarray(np.asarray(picture)).convert("RGB")), 32, Framing())
    return fingerprint(np.asarray(Image.fromarray(small).convert("L")))


def found(pictures) -> list[list[int]]:
    hashes, levels = zip(*map(seen, pictures), strict=True)
    near, is_complete = pairs(np.array(hashes, np.uint64), np.stack(levels))
    assert is_complete
    return near.tolist()


def jpeg(picture: np.ndarray) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=40)
    return np.asarray(Image.open(stream))


@pytest.mark.parametrize(
    "change",
    [
        jpeg,
        lambda picture: Image.fromarray(picture).resize((64, 48)),
        lambda picture: Image.fromarray(picture).convert("L"),
        lambda picture: ImageEnhance.Contrast(Image.fromarray(picture)).enhance(0.7),
        lambda picture: picture // 2 + 40,
        lambda picture: picture[1:-1, 1:-1],
    ],
    ids=["jpeg", "resized", "grey", "contrast", "darker", "cropped a little"],
)
def test_what_is_found(change):
    for number in range(5):
        assert found([scene(number), scene(number + 100), change(scene(number))]) == [[0, 2]]


def test_different_pictures_are_not_alike():
    assert found([scene(number) for number in range(200)]) == []


def test_mirrored_pictures_are_not_found():
    assert found([scene(0), scene(0)[:, ::-1]]) == []


def test_pictures_of_one_colour_are_like_nothing():
    assert found([np.full((9, 9, 3), level, np.uint8) for level in (0, 0, 200, 201)]) == []


def test_of_many_equal_ones_each_is_found_with_the_first():
    assert found([scene(1), scene(2), scene(1), scene(1)]) == [[0, 2], [0, 3]]


def test_no_pair_within_the_bound_is_missed():
    # Bits that differ are spread over the parts in every way that 7 of them can be.
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 1 << 63, 500, dtype=np.uint64)
    changed = hashes.copy()
    for index in range(500):
        for bit in generator.choice(64, index % 9, replace=False):
            changed[index] ^= np.uint64(1) << np.uint64(bit)
    levels = generator.integers(0, 256, (500, 16, 16), dtype=np.uint8)
    near, _ = pairs(np.concatenate([hashes, changed]), np.concatenate([levels, levels]))
    assert near.tolist() == [[index, index + 500] for index in range(500) if index % 9 <= near_duplicates.MOST_BITS]


def test_levels_that_do_not_correlate_are_not_alike_whatever_the_hash():
    levels = np.random.default_rng(0).integers(0, 256, (2, 16, 16), dtype=np.uint8)
    assert pairs(np.zeros(2, np.uint64), levels)[0].tolist() == []


def test_nothing_at_all():
    near, is_complete = pairs(np.empty(0, np.uint64), np.empty((0, 16, 16), np.uint8))
    assert (near.shape, is_complete) == ((0, 2), True)


def test_sets_that_look_all_alike_are_given_up(monkeypatch):
    monkeypatch.setattr(near_duplicates, "MOST_CANDIDATES", 10)
    levels = np.random.default_rng(0).integers(0, 256, (50, 16, 16), dtype=np.uint8)
    assert pairs(np.arange(50, dtype=np.uint64), levels)[1] is False


def _frames(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Hashes and levels of pictures that are all alike, as frames of a video are: six bits vary."""
    generator = np.random.default_rng(0)
    number = np.arange(count, dtype=np.uint64)
    levels = np.tile(np.arange(256, dtype=np.uint8).reshape(16, 16) // 2, (count, 1, 1))
    varied = sum(((number >> np.uint64(bit)) & np.uint64(1)) << np.uint64(10 * bit) for bit in range(6))
    return varied, levels + generator.integers(0, 2, levels.shape, dtype=np.uint8)


def test_pairs_end_where_there_are_enough(monkeypatch):
    hashes, levels = _frames(64)
    near, is_complete = pairs(hashes, levels)
    assert (len(near), is_complete) == (64 * 63 // 2, True)
    assert len(np.unique(near, axis=0)) == len(near)
    monkeypatch.setattr(near_duplicates, "MOST_PAIRS", 100)
    monkeypatch.setattr(near_duplicates, "_AT_ONCE", 50)
    some, is_complete = pairs(hashes, levels)
    assert not is_complete
    assert 100 <= len(some) <= 100 + 64  # the limit and what is compared at a time
    assert set(map(tuple, some)) <= set(map(tuple, near))


def test_a_hundred_thousand_pictures_take_seconds():
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 1 << 63, 100_000, dtype=np.uint64)
    levels = generator.integers(0, 256, (100_000, 16, 16), dtype=np.uint8)
    hashes[50_000:50_100], levels[50_000:50_100] = hashes[:100] ^ np.uint64(0b101), levels[:100]
    start = time.perf_counter()
    near, _ = pairs(hashes, levels)
    assert near.tolist() == [[index, index + 50_000] for index in range(100)]
    assert time.perf_counter() - start < 20  # 2 on two cores
