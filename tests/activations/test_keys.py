"""What decides rows decides the folder; fingerprints are 16 bytes in whatever array they come."""

import dataclasses

import numpy as np
import pytest

from tfxfer.activations.keys import as_fingerprints
from tfxfer.errors import CacheError

OTHERS = {
    "network": "keras:VGG16", "cut": "stem", "prefix": "f", "pixels": "crop", "image_size": 64, "views": "2",
    "precision": "float16", "row_shape": (12,), "versions": ("tensorflow 2.20.0",), "worker": 1,
}  # fmt: skip


def test_whatever_changes_in_a_key_gives_another_folder(key):
    fields = [field.name for field in dataclasses.fields(key())]
    assert sorted(OTHERS) == sorted(fields)
    digests = {key().digest, *(key(**{name: value}).digest for name, value in OTHERS.items())}
    assert len(digests) == 1 + len(fields)
    assert all(len(digest) == 16 for digest in digests)


def test_fingerprints_in_any_array():
    raw = bytes(range(1, 17)) + bytes(16)
    given = [
        np.frombuffer(raw, np.uint64).reshape(2, 2),
        np.frombuffer(raw, np.uint8).reshape(2, 16),
        np.frombuffer(raw, "V16"),
        np.frombuffer(raw, "S16"),
        [raw[:16], raw[16:]],
    ]
    for fingerprints in given:
        assert as_fingerprints(fingerprints).tobytes() == raw
        assert as_fingerprints(fingerprints).dtype == "S16"
    assert as_fingerprints([]).shape == (0,)


@pytest.mark.parametrize(
    "given", [np.zeros(3), np.zeros((2, 3), np.uint64), np.zeros(2, "S8"), [b"short"], np.zeros((0, 3), np.uint8)]
)
def test_what_is_not_16_bytes_is_refused(given):
    with pytest.raises(CacheError, match="16 bytes"):
        as_fingerprints(given)
