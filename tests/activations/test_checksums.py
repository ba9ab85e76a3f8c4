"""A checksum finds what a disk does to a row."""

import numpy as np
import pytest

from tfxfer.activations.checksums import _factors, checksums


@pytest.fixture
def one():
    """A row of 5 × 8 bytes and its fingerprint."""
    return np.arange(5, dtype=np.uint64)[None] * 3, np.array([b"0123456789abcdef"])


def test_every_single_flipped_bit_is_found(one):
    words, names = one
    whole = checksums(words, names)
    for bit in range(words.nbytes * 8):
        data = bytearray(words.tobytes())
        data[bit // 8] ^= 1 << bit % 8
        assert checksums(np.frombuffer(data, np.uint64)[None], names) != whole


def test_every_changed_byte_of_the_fingerprint_is_found(one):
    words, names = one
    whole = checksums(words, names)
    for position in range(16):
        other = bytearray(names.tobytes())
        other[position] ^= 0x80
        assert checksums(words, np.frombuffer(other, "S16")) != whole


def test_the_top_bits_of_two_words_do_not_cancel(one):
    """They would if words of 64 bits were multiplied by odd numbers: 2^63 · odd is 2^63, twice that is 0."""
    words, names = one
    flipped = words.copy()
    flipped[0, [0, 3]] ^= np.uint64(1 << 63)
    assert checksums(flipped, names) != checksums(words, names)
    assert (flipped * np.uint64(7)).sum() == (words * np.uint64(7)).sum()


def test_two_words_in_each_other_s_place_are_found(one):
    words, names = one
    assert checksums(words[:, [1, 0, 2, 3, 4]], names) != checksums(words, names)


def test_a_hole_is_no_valid_row():
    assert checksums(np.zeros((1, 5), np.uint64), np.array([bytes(16)], "S16")) != 0


def test_rows_are_summed_alike_alone_and_among_many():
    """More of them than are summed at a time."""
    generator = np.random.default_rng(0)
    words = generator.integers(0, 2**63, (300, 1000)).astype(np.uint64)
    names = np.frombuffer(generator.bytes(16 * 300), "S16")
    together = checksums(words, names)
    for row in (0, 1, 64, 65, 66, 299):
        assert checksums(words[row : row + 1], names[row : row + 1]) == together[row]
    assert len(set(together.tolist())) == 300


def test_the_factors_are_odd_and_those_of_splitmix64():
    """The first two outputs for seed 0 (Vigna's splitmix64.c), made odd: other factors would void every store."""
    assert _factors(2).tolist() == [0xE220A8397B1DCDAF | 1, 0x6E789E6AA1B965F4 | 1]
    assert (_factors(1000) % np.uint64(2) == 1).all()
