"""What every store does, in memory and on disk."""

import contextlib

import numpy as np
import pytest

from tfxfer.activations import store as stores
from tfxfer.activations.disk import DiskStore
from tfxfer.activations.encoding import CacheRangeError
from tfxfer.activations.store import CacheFullError, MemoryStore
from tfxfer.errors import CacheError


@pytest.fixture(params=["memory", "disk"])
def make(request, key, tmp_path):
    """Opens stores: `make(row_shape, precision, …)`; they are closed at the end of the test."""
    with contextlib.ExitStack() as opened:

        def make(row_shape=(2, 2, 3), precision="float32", **settings):
            if request.param == "memory":
                return opened.enter_context(MemoryStore(precision, row_shape, **settings))
            return opened.enter_context(DiskStore(key(row_shape, precision), tmp_path, **settings))

        yield make


def test_rows_come_back_in_any_order_and_number(make, names, floats):
    rows, fingerprints = floats(10), names(10)
    store = make()
    with store.filling(fingerprints) as missing:
        assert missing.tolist() == list(range(10))
        for start in (0, 4, 8):
            store.append(fingerprints[start : start + 4], rows[start : start + 4])
    assert store.missing(fingerprints).tolist() == []
    places = store.places(fingerprints)
    assert places.dtype == np.int64
    for order in ([3], [9, 0, 4], [5, 5, 5], range(10), []):
        gathered = store.gather(places[list(order)])
        assert gathered.dtype == np.float32
        np.testing.assert_array_equal(gathered, rows[list(order)])
    assert (store.rows, store.row_bytes, store.bytes) == (10, 48, 480)


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "uint8", "float32"])
@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (2, 2, 3), (8,)])
def test_each_precision_and_shape_even_where_rows_are_no_whole_words(make, names, floats, precision, shape):
    rows, fingerprints = floats(6, *shape), names(6)
    store = make(shape, precision)
    with store.filling(fingerprints):
        store.append(fingerprints, rows)
    gathered = store.gather(store.places(fingerprints))
    assert gathered.dtype == store.encoding.dtype
    assert gathered.shape == rows.shape
    assert store.row_bytes % 8 == 0
    assert store.row_bytes - gathered[0].nbytes < 8
    np.testing.assert_array_equal(gathered, store.encoding.encode(rows))


def test_of_equal_fingerprints_the_first_is_missing_and_one_row_serves_all(make, names, floats):
    fingerprints = names(3)[[0, 1, 0, 2, 1]]
    store = make()
    assert store.missing(fingerprints).tolist() == [0, 1, 3]
    with store.filling(fingerprints) as missing:
        store.append(fingerprints[missing], floats(3))
    np.testing.assert_array_equal(store.gather(store.places(fingerprints)), floats(3)[[0, 1, 0, 2, 1]])


def test_a_row_that_is_appended_again_replaces_the_first(make, names, floats):
    store = make()
    with store.filling(names(4)):
        store.append(names(3), floats(3))
        store.append(names(3)[:1], floats(1))
    np.testing.assert_array_equal(store.gather(store.places(names(3)[:1])), floats(1))


def test_rows_that_are_not_there_have_no_place(make, names):
    with pytest.raises(CacheError, match=r"5 of 5 rows are missing\. Append those of missing\(\) first\."):
        make().places(names(5))


def test_many_blocks_or_shards(make, names, floats, monkeypatch):
    monkeypatch.setattr(stores, "_BLOCK_BYTES", 48 * 3)
    monkeypatch.setattr("tfxfer.activations.segments._SHARD_BYTES", 48 * 3)
    rows, fingerprints = floats(20), names(20)
    store = make()
    with store.filling(fingerprints):
        store.append(fingerprints[:2], rows[:2])
        store.append(fingerprints[2:13], rows[2:13])
        store.append(fingerprints[13:], rows[13:])
    order = np.random.default_rng(0).permutation(20)
    np.testing.assert_array_equal(store.gather(store.places(fingerprints)[order]), rows[order])
    assert store.damaged(store.places(fingerprints)).tolist() == []


def test_what_does_not_fit_the_precision_leaves_the_store_as_it_was(make, names, floats):
    store = make(precision="float16")
    with store.filling(names(6)):
        store.append(names(6)[:3], floats(3))
        with pytest.raises(CacheRangeError, match="magnitude 1e\\+06"):
            store.append(names(6)[3:], floats(3) + 1e6)
    assert store.missing(names(6)).tolist() == [3, 4, 5]


def test_the_limit_counts_what_is_missing_and_is_named(make, names, floats):
    store = make((2500,), limit_bytes=45_000)
    with store.filling(names(4)):
        store.append(names(4), floats(4, 2500))
    with store.filling(names(4)) as missing:  # nothing to add
        assert len(missing) == 0
    with pytest.raises(CacheFullError, match=r"40\.\d kB.*45\.0 kB"), store.filling(names(5, seed=1)):
        pass
    np.testing.assert_array_equal(store.gather(store.places(names(4))), floats(4, 2500))


def test_append_is_for_the_block_of_filling(make, names, floats):
    store = make()
    with pytest.raises(RuntimeError, match="for the block of filling"):
        store.append(names(3), floats(3))
    with store.filling(names(3)), pytest.raises(RuntimeError, match="already"), store.filling(names(3)):
        pass


def test_rows_of_another_shape_are_refused(make, names, floats):
    store = make()
    with store.filling(names(3)), pytest.raises(CacheError, match=r"rows \(2, 2, 2, 3\) for 3 fingerprints"):
        store.append(names(3), floats(2))
    with pytest.raises(CacheError, match="hold nothing"):
        make((0, 3))


def test_what_was_gathered_is_the_caller_s_own_and_outlives_the_store(make, names, floats):
    store = make()
    with store.filling(names(3)):
        store.append(names(3), floats(3))
    places = store.places(names(3))
    first = store.gather(places)
    first[:] = 0
    kept = store.gather(places)
    store.close()
    np.testing.assert_array_equal(kept, floats(3))
