"""Fingerprints are found exactly, whatever their bytes, in few bytes of memory each."""

import numpy as np

from tfxfer.activations.table import CHECKED, DAMAGED, UNCHECKED, Table


def names(*texts: bytes) -> np.ndarray:
    return np.frombuffer(b"".join(text.ljust(16, b"\0") for text in texts), "S16")


def fill(table: Table, *texts: bytes) -> None:
    table.append(fingerprint=names(*texts), shard=0, row=0, checksum=0, state=UNCHECKED)


def test_what_is_there_is_found_and_nothing_else():
    table = Table()
    assert table.find(names(b"a")).tolist() == [-1]
    fill(table, b"b", b"a", b"\xff", b"", b"a\0b")
    assert table.find(names(b"a", b"b", b"a\0b", b"", b"\xff", b"a\0", b"c")).tolist() == [1, 0, 4, 3, 2, 1, -1]


def test_the_last_of_several_rows_counts_until_it_is_damaged():
    table = Table()
    fill(table, b"a", b"b")
    fill(table, b"a")
    assert table.find(names(b"a")).tolist() == [2]
    table.mark(np.array([2]), DAMAGED)
    assert table.find(names(b"a", b"b")).tolist() == [0, 1]
    table.mark(np.array([0]), DAMAGED)
    assert table.find(names(b"a", b"b")).tolist() == [-1, 1]
    assert (table.healthy, len(table)) == (1, 3)


def test_places_stay_when_more_rows_come():
    table = Table()
    for number in range(3000):
        fill(table, b"%d" % number)
    table.mark(np.array([7]), CHECKED)
    assert table.find(names(b"0", b"2999", b"1024")).tolist() == [0, 2999, 1024]
    assert table.column("state")[7] == CHECKED


def test_a_row_takes_at_most_100_bytes():
    table = Table()
    table.append(
        fingerprint=np.frombuffer(np.random.default_rng(0).bytes(16 * 10_000), "S16"),
        shard=0, row=0, checksum=0, state=0,
    )  # fmt: skip
    table.find(names(b"a"))
    held = sum(column.nbytes for column in table._columns.values()) + sum(part.nbytes for part in table._sorted)
    assert held / 10_000 <= 100
