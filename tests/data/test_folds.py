"""Folds for cross-validation, and what shares are of: of a class, of all, of the range of hashes."""

import itertools

import numpy as np
import pytest

from tfxfer import data
from tfxfer.data import splits
from tfxfer.data.splits import Rule, assign
from tfxfer.errors import ConfigError, DataError
from tfxfer.recipes import Data

CLASSES = ("a", "b", "c")


def keys(count, salt=""):
    return [f"{salt}{number}" for number in range(count)]


def split(count, sizes, rule, *, seed=0, validation=0.1, test=0.2, groups=None):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    names = [f"c{label}" for label in range(len(sizes))]
    settings = {"seed": seed, "validation_fraction": validation, "test_fraction": test, "groups": groups, "rule": rule}
    return assign(keys(count), labels, names, **settings), labels


def folds_of(sizes, folds, **settings):
    return [split(sum(sizes), sizes, Rule(folds=folds, fold=fold), **settings)[0] for fold in range(folds)]


def test_each_example_is_validated_in_one_fold_and_the_test_stays():
    each = folds_of((50, 30, 20), 5)
    assert all(np.array_equal(one == splits.TEST, each[0] == splits.TEST) for one in each)
    validated = sum((one == splits.VALIDATION).astype(int) for one in each)
    assert np.array_equal(validated, (each[0] != splits.TEST).astype(int))


def test_the_test_is_that_of_a_run_without_folds():
    plain, _ = split(100, (50, 30, 20), splits.STRATIFIED)
    folded, _ = split(100, (50, 30, 20), Rule(folds=4))
    assert np.array_equal(plain == splits.TEST, folded == splits.TEST)


def test_folds_are_stratified_to_one_example():
    labels = np.repeat(np.arange(3), (50, 30, 20))
    counts = [np.bincount(labels[one == splits.VALIDATION], minlength=3).tolist() for one in folds_of((50, 30, 20), 5)]
    assert counts == [[8, 5, 4], [8, 5, 3], [8, 5, 3], [8, 5, 3], [8, 4, 3]]  # of 40, 24 and 16


def test_folds_of_all_are_of_one_size_on_request():
    # 29 examples behind the test, 7 or 8 of each class: dealt out class by class the first fold would get 12.
    sizes = (9, 9, 9, 9)
    rules = [Rule(folds=3, fold=fold, proportions="total") for fold in range(3)]
    each = [split(36, sizes, rule)[0] for rule in rules]
    assert [int((one == splits.VALIDATION).sum()) for one in each] == [10, 10, 9]
    assert sum(int((one == splits.TEST).sum()) for one in each) == 3 * 7


def test_groups_stay_in_one_fold():
    groups = [f"g{number // 4}" for number in range(120)]
    each = folds_of((120,), 5, groups=groups)
    for one in each:
        for group in set(groups):
            assert len({code for code, name in zip(one.tolist(), groups, strict=True) if name == group}) == 1
    assert np.array_equal(sum((one == 1).astype(int) for one in each), (each[0] != splits.TEST).astype(int))


def test_a_copy_in_two_classes_is_validated_once():
    labels = np.array([0] * 30 + [1] * 30)
    same = [*keys(30), *keys(5), *keys(25, "b")]  # five pictures stand in both classes
    each = [
        assign(same, labels, "ab", seed=3, validation_fraction=0.1, test_fraction=0.2, rule=Rule(folds=3, fold=fold))
        for fold in range(3)
    ]
    assert np.array_equal(sum((one == 1).astype(int) for one in each), (each[0] != splits.TEST).astype(int))
    assert all(np.array_equal(one[:5], one[30:35]) for one in each)


def test_what_is_added_to_a_class_moves_no_fold_of_another():
    labels = np.repeat(np.arange(2), (30, 40))
    more = np.concatenate([labels, np.ones(1, int)])
    for fold in range(5):
        rule = Rule(folds=5, fold=fold)
        settings = {"seed": 0, "validation_fraction": 0.1, "test_fraction": 0.2, "rule": rule}
        before = assign(keys(70), labels, "ab", **settings)
        after = assign([*keys(70), "new"], more, "ab", **settings)
        assert np.array_equal(before[:30], after[:30])


def test_a_class_too_small_for_the_folds_is_named():
    with pytest.raises(DataError, match=r"at least 6 a class are needed: c1 \(5\)"):
        split(25, (20, 5), Rule(folds=5))


def test_exact_shares_of_all():
    # 5 examples a class: each alone would give one to the test, a fifth of all where a tenth was asked for.
    sizes = (5,) * 10 + (50,)
    of_class, labels = split(100, sizes, splits.STRATIFIED, test=0.1, validation=0.1)
    of_all, _ = split(100, sizes, Rule(proportions="total"), test=0.15, validation=0.14)
    assert int((of_class == splits.TEST).sum()) == 15
    assert [int((of_all == code).sum()) for code in (splits.VALIDATION, splits.TEST)] == [14, 15]
    for code in (splits.TRAIN, splits.VALIDATION, splits.TEST):
        assert (np.bincount(labels[of_all == code], minlength=11) > 0).all()


@pytest.mark.parametrize("sizes", [(7, 11, 13), (100, 3, 3), (3, 3, 3), (33, 34, 35, 36)])
@pytest.mark.parametrize(("validation", "test"), [(0.1, 0.2), (0.15, 0.15), (0.3, 0.3)])
def test_exact_shares_of_all_are_met_to_one_wherever_classes_allow_it(sizes, validation, test):
    total = sum(sizes)
    decided, labels = split(total, sizes, Rule(proportions="total"), validation=validation, test=test)
    for code, share in ((splits.VALIDATION, validation), (splits.TEST, test)):
        assert int((decided == code).sum()) == max(round(share * total), len(sizes))
        counts = np.bincount(labels[decided == code], minlength=len(sizes))
        assert (np.abs(counts - share * np.array(sizes)) < 2).all()


def test_shares_of_hashes_never_move_an_example_whatever_is_added():
    rule = Rule(proportions="hash")
    few, _ = split(400, (200, 200), rule)
    labels = np.array([0, 1] * 200)
    extended = assign(
        [*keys(400), *keys(3000, "new")], np.concatenate([np.repeat([0, 1], 200), np.zeros(3000, int)]), "ab",
        seed=0, validation_fraction=0.1, test_fraction=0.2, rule=rule,
    )  # fmt: skip
    assert np.array_equal(few, extended[:400])
    assert abs((extended == splits.TEST).mean() - 0.2) < 0.02
    assert abs((extended == splits.VALIDATION).mean() - 0.1) < 0.02
    assert len(labels) == 400


def test_shares_of_classes_would_move_some():
    few, _ = split(400, (200, 200), splits.STRATIFIED)
    extended, _ = split(420, (200, 220), splits.STRATIFIED)
    assert not np.array_equal(few[200:400], extended[200:400])


def test_folds_of_hashes_never_move_either_and_cover_all():
    each = [split(300, (300,), Rule(proportions="hash", folds=4, fold=fold))[0] for fold in range(4)]
    more = [split(500, (500,), Rule(proportions="hash", folds=4, fold=fold))[0][:300] for fold in range(4)]
    assert all(itertools.starmap(np.array_equal, zip(each, more, strict=True)))
    assert np.array_equal(sum((one == 1).astype(int) for one in each), (each[0] != splits.TEST).astype(int))


def test_shares_of_hashes_that_leave_a_class_out_are_refused():
    with pytest.raises(
        DataError, match=r"leave these classes without an example in a split: c1 \(\w+\).*proportions=cl"
    ):
        split(203, (200, 3), Rule(proportions="hash"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folds": 1}, "folds=1 must be 2 to 100, or none"),
        ({"folds": 101}, "folds=101 must be 2 to 100"),
        ({"folds": 5, "fold": 5}, "fold=5 must be 0 to 4, the folds being counted from 0"),
        ({"folds": 5, "fold": -1}, "fold=-1 must be 0 to 4"),
        ({"fold": 1}, "fold=1 is one of folds, and folds is not given; write folds=5"),
        ({"proportions": "exact"}, "proportions='exact'"),
    ],
)
def test_folds_that_cannot_be(settings, message):
    with pytest.raises(ConfigError, match=message):
        Data(source="folder:x", **settings)


def opened(**settings):
    images = np.random.default_rng(0).integers(0, 256, (60, 2, 2, 3), dtype=np.uint8)
    return data.open_data(Data(**settings), seed=0, data=(images, [0, 1] * 30))


def test_a_recipe_says_the_fold_and_the_plan_tells_it():
    facts = [opened(folds=3, fold=fold).facts for fold in range(3)]
    assert facts[1].split == (
        "by content hash with seed 0, stratified; validation is fold 1 of 3 of what is not for the test"
    )
    assert [one.validation_counts for one in facts] == [(8, 8)] * 3
    assert len({one.fingerprint for one in facts}) == 3
    assert (
        opened(proportions="total").facts.split == "by content hash with seed 0, stratified, with exact shares of all"
    )


def test_ready_validation_goes_into_the_folds_and_a_ready_test_stays(tmp_path):
    names = {splits.TRAIN: "train", splits.VALIDATION: "val", splits.TEST: "test"}
    generator = np.random.default_rng(0)
    arrays = {}
    for code, count in ((splits.TRAIN, 20), (splits.VALIDATION, 10), (splits.TEST, 6)):
        arrays[f"x_{names[code]}"] = generator.integers(0, 256, (count, 2, 2, 3), dtype=np.uint8)
        arrays[f"y_{names[code]}"] = np.arange(count) % 2
    np.savez(tmp_path / "a.npz", **arrays)
    each = [data.open_data(Data(source=f"npz:{tmp_path}/a.npz", folds=3, fold=fold), seed=0) for fold in range(3)]
    assert all(one.splits[30:].tolist() == [splits.TEST] * 6 for one in each)
    validated = sum((one.splits[:30] == splits.VALIDATION).astype(int) for one in each)
    assert validated.tolist() == [1] * 30
    assert each[2].facts.split == (
        "the source's own; validation taken from train by content hash with seed 0; validation is fold 2 of 3 of what "
        "is not for the test"
    )


def test_a_ready_split_without_a_class_is_told_with_what_to_do(tmp_path):
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (12, 2, 2, 3), dtype=np.uint8)
    np.savez(
        tmp_path / "a.npz",
        x_train=pictures[:6], y_train=[0, 1] * 3, x_val=pictures[6:8], y_val=[0, 1],
        x_test=pictures[8:], y_test=[1] * 4, class_names=["cat", "dog"],
    )  # fmt: skip
    facts = data.open_data(Data(source=f"npz:{tmp_path}/a.npz"), seed=0).facts
    assert facts.split == "the source's own; no test example of class cat: add some, or nothing is measured of it"


@pytest.mark.parametrize("proportions", ["class", "total"])
def test_a_small_class_gives_the_test_what_the_folds_can_spare(proportions):
    # A fifth of 22 would be 4, and 18 are too few for 20 folds.
    each = [split(322, (22, 300), Rule(folds=20, fold=fold, proportions=proportions))[0] for fold in range(20)]
    labels = np.repeat([0, 1], (22, 300))
    counts = {tuple(np.bincount(one[labels == 0], minlength=3).tolist()) for one in each}
    assert counts == {(19, 1, 2)}
    assert all(np.array_equal(one == splits.TEST, each[0] == splits.TEST) for one in each)
