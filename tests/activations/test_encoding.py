"""Every precision gives back what it can hold, and says no to what it cannot."""

import itertools

import ml_dtypes
import numpy as np
import pytest

from tfxfer.activations.encoding import CacheRangeError, Encoding
from tfxfer.errors import CacheError

NOT_FINITE = (np.inf, -np.inf, np.nan)


def test_float32_keeps_every_bit_even_of_what_is_no_number():
    rows = np.array([[1e-40, -0.0, 3.4e38, *NOT_FINITE]], np.float32)
    encoding = Encoding.of("float32", rows)
    assert encoding.decode(encoding.encode(rows)).tobytes() == rows.tobytes()


@pytest.mark.parametrize(("precision", "relative"), [("float16", 2.0**-11), ("bfloat16", 2.0**-8)])
def test_halves_round_to_the_nearest(precision, relative):
    rows = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    encoding = Encoding.of(precision, rows)
    stored = encoding.encode(rows)
    assert stored.dtype == encoding.dtype
    assert stored.itemsize == 2
    np.testing.assert_allclose(encoding.decode(stored), rows, rtol=relative, atol=2.0**-25)


def test_the_bits_of_bfloat16_are_those_of_everyone_else():
    values = np.array([[1.0, -2.5, 3.14159, 1e38, 1e-38, 65504.0]], np.float32)
    stored = Encoding("bfloat16").encode(values)
    np.testing.assert_array_equal(stored.view(ml_dtypes.bfloat16), values.astype(ml_dtypes.bfloat16))


@pytest.mark.parametrize(("precision", "dtype"), [("float16", np.float16), ("bfloat16", ml_dtypes.bfloat16)])
def test_rows_that_a_graph_has_cast_are_kept_as_they_are(precision, dtype):
    rows = np.array([[1.5, -2.25, 60000.0]], dtype)
    assert Encoding(precision).encode(rows).tobytes() == rows.tobytes()


def test_the_largest_float16_is_kept():
    rows = np.array([[65504.0, -65504.0]], np.float32)
    np.testing.assert_array_equal(Encoding("float16").decode(Encoding("float16").encode(rows)), rows)


@pytest.mark.parametrize("value", [65505.0, -1e9, *NOT_FINITE])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_what_float16_cannot_hold_is_never_stored(value, dtype):
    with np.errstate(over="ignore"):
        rows = np.array([[0.0, 1.0], [2.0, 66000.0 if value == 65505.0 else value]], np.float32).astype(dtype)
    with pytest.raises(CacheRangeError, match="Fill the cache with precision='float32'") as caught:
        Encoding("float16").encode(rows)
    assert isinstance(caught.value, CacheError)


def test_uint8_has_a_range_for_each_channel():
    """By hand: channel 0 from 0 to 255, channel 1 from −1 to 1.55, channel 2 constant."""
    rows = np.array([[[0.0, -1.0, 7.0]], [[255.0, 1.55, 7.0]], [[100.0, 0.0, 7.0]]], np.float32)
    encoding = Encoding.of("uint8", rows)
    np.testing.assert_allclose(encoding.scale, (1.0, 0.01, 1.0), rtol=1e-6)
    assert encoding.offset == (0.0, -1.0, 7.0)
    stored = encoding.encode(rows)
    assert stored.dtype == np.uint8
    assert stored[2].tolist() == [[100, 100, 0]]
    np.testing.assert_allclose(encoding.decode(stored), rows, atol=0.005)


def test_what_is_beyond_the_first_rows_is_clipped_by_uint8():
    encoding = Encoding.of("uint8", np.array([[0.0], [1.0]], np.float32))
    stored = encoding.encode(np.array([[-5.0], [0.6], [9.0]], np.float32))
    assert stored.tolist() == [[0], [153], [255]]


@pytest.mark.parametrize("value", [*NOT_FINITE, 3e38])
def test_uint8_refuses_what_is_not_finite_at_first_and_later(value):
    rows = np.array([[value], [-value]], np.float32)
    with pytest.raises(CacheRangeError):
        Encoding.of("uint8", rows)
    if np.isfinite(value):  # but too far apart for a range
        return
    with pytest.raises(CacheRangeError):
        Encoding("uint8", (1.0,), (0.0,)).encode(rows)


@pytest.mark.parametrize(
    ("encoding", "is_valid"),
    [
        (Encoding("uint8", (1.0, 2.0), (0.0, 0.0)), True),
        (Encoding("uint8", (1.0,), (0.0,)), False),
        (Encoding("uint8", (1.0, 0.0), (0.0, 0.0)), False),
        (Encoding("uint8", (1.0, float("nan")), (0.0, 0.0)), False),
        (Encoding("uint8", (1.0, 1.0), (0.0, float("inf"))), False),
        (Encoding("float16"), False),
    ],
)
def test_a_range_of_unknown_origin_is_looked_at(encoding, is_valid):
    assert encoding.is_valid("uint8", 2) is is_valid


def test_floats_have_no_range():
    for precision, scale in itertools.product(("float16", "bfloat16", "float32"), ((), (1.0,))):
        assert Encoding(precision, scale, scale).is_valid(precision, 1) == (not scale)
