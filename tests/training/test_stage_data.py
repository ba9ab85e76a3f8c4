"""What a stage trains on is augmented and mixed, the same from any step on; what it is measured on never is."""

import types

import numpy as np
import pytest

from tfxfer.augmentation import Augment, settled
from tfxfer.data import views
from tfxfer.data.rows import Rows
from tfxfer.plans import ImbalancePlan
from tfxfer.training.stage_data import StageData

PIXELS = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3), dtype=np.uint8)
STRONG = settled(Augment(preset="strong", erasing=1.0))


def stage_data(augment=STRONG) -> StageData:
    keys = tuple(f"{number:016x}" for number in range(10))
    rows = Rows(PIXELS, np.arange(10, dtype=np.int32) % 2, np.arange(10), 2, keys)
    return StageData(
        number=1,
        stage=types.SimpleNamespace(steps_per_epoch=3),
        what=types.SimpleNamespace(augment=augment, seed=5, batch_size=4, imbalance=ImbalancePlan()),
        train=views.with_views(rows, 6, augment, seed=5),
        validation=rows,
        cached=False,
    )


def test_validation_is_seen_as_it_is():
    got = list(stage_data().held_out())
    np.testing.assert_array_equal(np.concatenate([pixels for pixels, _ in got]), PIXELS)
    labels = np.concatenate([labels for _, labels in got])
    np.testing.assert_array_equal(labels, np.eye(2)[np.arange(10) % 2])


def test_training_sees_other_pixels_in_range_and_shares_of_labels():
    for pixels, labels in stage_data().batches(0, 9):
        assert pixels.dtype == "float32"
        assert 0 <= pixels.numpy().min() <= pixels.numpy().max() <= 255
        np.testing.assert_allclose(labels.numpy().sum(axis=1), 1, rtol=1e-5)
        assert not any(np.array_equal(picture, one) for picture in pixels.numpy() for one in PIXELS[:1])


def test_what_is_measured_in_training_is_not_mixed():
    for _, labels in stage_data().one_pass():
        np.testing.assert_array_equal(np.sort(labels.numpy(), axis=1)[:, -1], 1)


@pytest.mark.parametrize("start", [1, 3, 7])
def test_from_any_step_on_the_same_batches_come(start):
    whole = list(stage_data().batches(0, 9))
    for one, other in zip(whole[start:], stage_data().batches(start, 9), strict=True):
        for own, again in zip(one, other, strict=True):
            np.testing.assert_array_equal(own, again)  # to the bit, though other pictures were made with it
