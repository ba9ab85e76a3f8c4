"""Splits: by content and seed, the same for every class, never by where files lie."""

import hashlib
import itertools

import numpy as np
import pytest

from tfxfer.data import splits
from tfxfer.errors import DataError

TRAIN, VALIDATION, TEST = splits.TRAIN, splits.VALIDATION, splits.TEST


def assign(keys, labels, *, seed=0, validation_fraction=0.1, test_fraction=0.2):
    labels = np.asarray(labels)
    names = [f"class{label}" for label in range(labels.max() + 1)]
    return splits.assign(
        keys, labels, names, seed=seed, validation_fraction=validation_fraction, test_fraction=test_fraction
    )


def pictures(*counts: int) -> tuple[list[str], np.ndarray]:
    """Returns made-up content keys and labels of classes with so many examples."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return [f"picture {number}" for number in range(len(labels))], labels


def counts_of(decided, labels, label) -> tuple[int, int, int]:
    return tuple(np.bincount(decided[labels == label], minlength=3).tolist())


def test_the_shares_are_met_to_one_example_in_every_class():
    keys, labels = pictures(10, 23, 57)
    decided = assign(keys, labels)
    assert counts_of(decided, labels, 0) == (7, 1, 2)
    assert counts_of(decided, labels, 1) == (16, 2, 5)  # 2.3 and 4.6
    assert counts_of(decided, labels, 2) == (40, 6, 11)  # 5.7 and 11.4


def test_the_lowest_hashes_of_a_class_are_for_the_test_and_the_next_for_validation():
    keys, labels = pictures(10)
    order = sorted(range(10), key=lambda index: hashlib.sha256(f"0:{keys[index]}".encode()).digest())
    decided = assign(keys, labels)
    assert decided[order].tolist() == [TEST, TEST, VALIDATION, *[TRAIN] * 7]


def test_every_example_is_in_exactly_one_split():
    keys, labels = pictures(40, 40)
    decided = assign(keys, labels)
    assert decided.dtype == np.int8
    assert sum(np.count_nonzero(decided == split) for split in (TRAIN, VALIDATION, TEST)) == 80


def test_the_order_of_listing_changes_nothing():
    keys, labels = pictures(30, 50)
    shuffled = np.random.default_rng(0).permutation(80)
    decided = assign(keys, labels)
    again = assign([keys[index] for index in shuffled], labels[shuffled])
    assert again.tolist() == decided[shuffled].tolist()


def test_the_seed_changes_who_but_not_how_many():
    keys, labels = pictures(50, 50)
    one, other = assign(keys, labels), assign(keys, labels, seed=1)
    assert one.tolist() != other.tolist()
    assert counts_of(one, labels, 0) == counts_of(other, labels, 0) == (35, 5, 10)


def test_copies_of_a_picture_stay_together():
    keys, _ = pictures(20)
    keys = [*keys, *[keys[3]] * 4, *[keys[11]] * 6]
    decided = assign(keys, np.zeros(30, int))
    for original in (3, 11):
        assert len({decided[index] for index, key in enumerate(keys) if key == keys[original]}) == 1
    splits.check_no_leak(keys, keys.__getitem__, decided)


def test_copies_count_as_examples():
    """Of 30 examples a fifth is for the test: eleven copies of the picture with the lowest hash are enough."""
    keys, _ = pictures(20)
    lowest = min(keys, key=lambda key: hashlib.sha256(f"0:{key}".encode()).digest())
    keys += [lowest] * 10
    decided = assign(keys, np.zeros(30, int))
    assert [key for key, split in zip(keys, decided, strict=True) if split == TEST] == [lowest] * 11


def test_what_is_added_to_one_class_moves_nothing_in_another():
    keys, labels = pictures(20, 20)
    decided = assign(keys, labels)
    more = assign([*keys, "new 1", "new 2"], np.append(labels, [1, 1]))
    assert more[:20].tolist() == decided[:20].tolist()


def test_the_smallest_class_has_one_example_in_each_split():
    keys, labels = pictures(3, 100)
    assert counts_of(assign(keys, labels), labels, 0) == (1, 1, 1)


def test_large_fractions_leave_something_to_train_on():
    keys, labels = pictures(4)
    decided = assign(keys, labels, validation_fraction=0.45, test_fraction=0.5)
    assert counts_of(decided, labels, 0) == (1, 1, 2)
    keys, labels = pictures(3)
    decided = assign(keys, labels, validation_fraction=0.05, test_fraction=0.9)
    assert counts_of(decided, labels, 0) == (1, 1, 1)


def test_a_fraction_of_nothing_leaves_its_split_empty():
    keys, labels = pictures(10)
    assert counts_of(assign(keys, labels, validation_fraction=0.0), labels, 0) == (8, 0, 2)
    assert counts_of(assign(keys, labels, test_fraction=0.0), labels, 0) == (9, 1, 0)
    assert counts_of(assign(keys, labels, validation_fraction=0.0, test_fraction=0.0), labels, 0) == (10, 0, 0)


def test_a_class_that_is_too_small_is_named_with_its_number_of_different_images():
    keys, labels = pictures(5, 2, 3)
    keys[8] = keys[7]  # of the three of class2 two are equal
    with pytest.raises(DataError) as caught:
        assign(keys, labels)
    assert str(caught.value) == (
        "too few different images to split, at least 3 a class are needed: class1 (2), class2 (2). Add images, or "
        "remove the class."
    )


def test_fewer_splits_need_fewer_images():
    keys, labels = pictures(2)
    assert counts_of(assign(keys, labels, validation_fraction=0.0), labels, 0) == (1, 0, 1)


def test_a_long_list_of_small_classes_is_cut_short():
    keys, labels = pictures(*[1] * 7)
    with pytest.raises(DataError, match=r"class0 \(1\), class1 \(1\), .*class4 \(1\) and 2 more\."):
        assign(keys, labels)


def test_one_picture_in_two_splits_is_a_leak_and_both_are_named():
    keys, names = ["a", "b", "a", "b"], ["train/x.png", "train/y.png", "test/z.png", "train/y2.png"]
    with pytest.raises(DataError) as caught:
        splits.check_no_leak(keys, names.__getitem__, np.array([TRAIN, TRAIN, TEST, TRAIN]))
    assert str(caught.value).startswith(
        "1 image(s) stand in two splits, so the measured accuracy would be too high: train/x.png (train) = "
        "test/z.png (test). Remove one of each pair"
    )
    assert "--config.data.on_duplicate=drop" in str(caught.value)


def test_copies_within_one_split_are_no_leak():
    keys, decided = ["a", "a", "b"], np.array([TEST, TEST, TRAIN])
    splits.check_no_leak(keys, str, decided)
    assert splits.without_leaks(keys, decided).tolist() == [0, 1, 2]


def test_of_copies_in_different_splits_those_for_the_test_remain_else_those_for_validation():
    keys = ["a", "a", "a", "b", "b", "c", "d", "d"]
    decided = np.array([TRAIN, TEST, TEST, VALIDATION, TRAIN, TRAIN, TEST, VALIDATION])
    remain = splits.without_leaks(keys, decided)
    assert remain.tolist() == [1, 2, 3, 5, 6]
    splits.check_no_leak([keys[i] for i in remain], str, decided[remain])


def draw(keys, labels, each, seed=0) -> list[int]:
    names = [f"class{label}" for label in range(labels.max() + 1)]
    return splits.draw(keys, labels, names, seed=seed, each=each).tolist()


def test_so_many_of_each_class_are_drawn_by_seed_and_content_alone():
    keys, labels = pictures(30, 50)
    drawn = draw(keys, labels, 5)
    assert drawn == sorted(drawn)
    assert np.bincount(labels[drawn]).tolist() == [5, 5]
    order = np.random.default_rng(0).permutation(80)
    again = draw([keys[index] for index in order], labels[order], 5)
    assert sorted(order[again].tolist()) == drawn
    assert draw(keys, labels, 5, seed=1) != drawn


def test_a_smaller_draw_is_part_of_a_larger_one():
    keys, labels = pictures(30, 50)
    draws = [set(draw(keys, labels, each)) for each in (1, 5, 20, 30)]
    assert all(smaller < larger for smaller, larger in itertools.pairwise(draws))


def test_what_is_drawn_is_not_what_stands_next_to_the_test():
    """The hash of the draw is another than that of the splits, whose lowest are in the test and the next left over."""
    keys, labels = pictures(200)
    order = sorted(range(200), key=lambda index: hashlib.sha256(f"0:{keys[index]}".encode()).digest())
    assert not set(draw(keys, labels, 20)) <= set(order[:60])


def test_of_copies_one_is_drawn():
    keys, labels = pictures(8)
    keys = [*keys[:4], *keys[:4]]
    assert len({keys[index] for index in draw(keys, labels, 4)}) == 4


def test_classes_with_fewer_than_are_to_be_drawn_are_listed():
    keys, labels = pictures(5, 20, 3)
    keys[1] = keys[0]
    with pytest.raises(DataError) as caught:
        draw(keys, labels, 10)
    assert str(caught.value) == (
        "examples_per_class=10, but these classes have fewer different images to train on: class0 (4), class2 (3). Ask "
        "for fewer, or add some."
    )


def test_ten_thousand_classes_are_split_in_no_time():
    """A look at all labels for each class took a minute here."""
    labels = np.arange(100_000) % 10_000
    decided = assign([str(number) for number in range(100_000)], labels)
    assert np.bincount(decided).tolist() == [70_000, 10_000, 20_000]


def test_ten_thousand_examples_are_split_in_no_time():
    """A loop over all pairs took seconds here."""
    keys, labels = pictures(10_000)
    assert counts_of(assign(keys, labels), labels, 0) == (7000, 1000, 2000)


def test_a_picture_in_two_classes_is_in_one_split():
    """Thresholds of classes differ, so for some seeds a shared picture would fall on both sides."""
    keys = [f"cat{n}" for n in range(10)] + [f"dog{n}" for n in range(7)] + ["shared", "shared"]
    labels = np.array([0] * 10 + [1] * 7 + [0, 1])
    for seed in range(60):
        decided = splits.assign(keys, labels, ("cat", "dog"), seed=seed, validation_fraction=0.2, test_fraction=0.3)
        assert decided[-1] == decided[-2]
