"""Checksums of records, against published values and a loop over bytes."""

import numpy as np
import pytest

from tfxfer.data import crc32c


@pytest.mark.parametrize(
    ("content", "checksum"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),
        # RFC 3720, appendix B.4
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_published_values(content, checksum):
    assert crc32c.crc32c(content) == checksum


def test_what_is_long_is_computed_in_parts_and_comes_to_the_same():
    content = np.random.default_rng(0).integers(0, 256, 5000, dtype=np.uint8).tobytes()
    for length in (*range(60, 140), 255, 256, 257, 1023, 1024, 1025, 4999):
        assert crc32c.crc32c(content[:length]) == crc32c._bytewise(content[:length]), length
