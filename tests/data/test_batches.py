"""The order of examples is a function of seed, stage and epoch, and every example comes once an epoch."""

import numpy as np

from tfxfer.data import batches
from tfxfer.data.rows import Rows

PLACES = np.array([9, 7, 5, 3, 1])
ROWS = Rows(np.arange(10, dtype=np.float32)[:, None], (PLACES % 3).astype(np.int32), PLACES, 3)


def drawn(**changes):
    settings = {"batch_size": 2, "start": 0, "steps": 6, "seed": 0, "stage": 0} | changes
    return [(x.numpy()[:, 0].tolist(), y.numpy()) for x, y in batches.training_batches(ROWS, **settings)]


def test_each_epoch_has_every_example_once_in_an_order_of_its_own():
    rows = [row for row, _ in drawn()]
    assert [len(row) for row in rows] == [2, 2, 1, 2, 2, 1]
    first, second = ([row for batch in epoch for row in batch] for epoch in (rows[:3], rows[3:]))
    assert sorted(first) == sorted(second) == [1, 3, 5, 7, 9]
    assert first != second


def test_labels_stay_with_their_rows():
    for rows, labels in drawn():
        assert labels.argmax(1).tolist() == [int(row) % 3 for row in rows]
        assert labels.shape[1] == 3


def test_the_order_depends_on_seed_and_stage_alone():
    assert [r for r, _ in drawn()] == [r for r, _ in drawn()]
    assert [r for r, _ in drawn()] != [r for r, _ in drawn(seed=1)]
    assert [r for r, _ in drawn()] != [r for r, _ in drawn(stage=1)]


def test_starting_later_gives_what_would_have_come():
    assert [r for r, _ in drawn(start=2, steps=4)] == [r for r, _ in drawn()][2:]


def test_rows_in_order_come_once():
    rows = [x.numpy()[:, 0].tolist() for x, _ in batches.ordered_batches(ROWS, batch_size=2)]
    assert rows == [[9, 7], [5, 3], [1]]


def test_padded_batches_have_one_size_and_say_how_many_count():
    got = [(batch[:, 0].tolist(), count) for batch, count in ROWS.padded_batches(2)]
    assert got == [([9, 7], 2), ([5, 3], 2), ([1, 1], 1)]
