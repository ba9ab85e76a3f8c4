"""Splits in proportion where examples are of no single class, and facts about their targets."""

import collections
import tracemalloc

import numpy as np
import pytest

from tfxfer.data import TEST, TRAIN, VALIDATION, examples, strata
from tfxfer.data.arrays import find
from tfxfer.data.found import Found
from tfxfer.data.groups import Groups
from tfxfer.data.pictures import Arrays
from tfxfer.data.splits import Rule
from tfxfer.errors import DataError
from tfxfer.framing import Framing
from tfxfer.tasks import Task

RANDOM = np.random.default_rng(0)


def pictures(count: int) -> Arrays:
    """Returns so many different pictures of one pixel."""
    return Arrays([np.array([[[n % 256, n // 256, 0]]], np.uint8) for n in range(count)])


def found(labels: np.ndarray, kind: str, **more) -> Found:
    names = tuple(f"n{place}" for place in range(labels.shape[1]))
    return Found("arrays:", pictures(len(labels)), labels, names, kind=kind, **more)


def settle(given: Found, **changes):
    settings = {"on_bad_image": "error", "seed": 0, "validation_fraction": 0.1, "test_fraction": 0.2, **changes}
    return examples.settle(given, **settings)


def tags(count: int, *shares: float) -> np.ndarray:
    return (np.random.default_rng(1).random((count, len(shares))) < shares).astype(np.uint8)


def keys(count: int) -> list[str]:
    return [f"{number:04}" for number in range(count)]


def test_an_example_is_in_the_stratum_of_its_rarest_label():
    labels = np.array([[1, 0, 0]] * 9 + [[1, 1, 0]] * 5 + [[0, 1, 1]] * 3 + [[0, 0, 0]] * 4, np.uint8)
    of, names = strata.strata(labels, ("a", "b", "c"), "multi_label", keys(21))
    assert [names[stratum] for stratum in of] == ["a"] * 9 + ["b"] * 5 + ["c"] * 3 + ["no label"] * 4


def test_strata_too_small_for_three_splits_are_put_together():
    labels = np.array([[1, 0]] * 9 + [[0, 1]] * 2, np.uint8)
    of, names = strata.strata(labels, ("a", "b"), "multi_label", keys(11))
    assert (set(of), names) == ({0}, ("a",))


def test_labels_are_shared_out_in_proportion():
    labels = tags(1000, 0.5, 0.3, 0.05, 0.02)
    facts = settle(found(labels, "multi_label")).facts
    assert facts.sizes == (facts.train_examples, facts.validation_examples, facts.test_examples)
    assert sum(facts.sizes) == 1000
    for of_split, share in ((facts.validation_counts, 0.1), (facts.test_counts, 0.2)):
        for count, total in zip(of_split, labels.sum(axis=0), strict=True):
            assert count == pytest.approx(share * total, rel=0.35, abs=3)
    assert facts.unlabelled == int((labels.sum(axis=1) == 0).sum()) > 0
    assert facts.split.endswith("stratified by the rarest label of each image")


@pytest.mark.parametrize("seed", range(5))
def test_a_label_that_chance_leaves_out_of_a_split_is_brought_there(seed):
    labels = tags(200, 0.5, 0.3, 0.3)
    labels[:, 2] = 0
    labels[np.flatnonzero(labels[:, 1])[:6], 2] = 1  # six in all
    labels[:6, 0] = 0
    settled = settle(found(labels, "multi_label"), seed=seed)
    for split in (TRAIN, VALIDATION, TEST):
        assert settled.labels[settled.splits == split].any(axis=0).all()


def test_what_moves_for_a_label_takes_what_belongs_to_it_along():
    decided = np.array([TRAIN] * 6, np.int8)
    labels = np.array([[1], [1], [0], [1], [0], [0]], np.uint8)
    moved = strata.with_every_label(decided, labels, ["p", "q", "p", "r", "q", "s"], [TEST], seed=0)
    groups = collections.defaultdict(set)
    for name, split in zip("pqprqs", moved.tolist(), strict=True):
        groups[name].add(split)
    assert all(len(inside) == 1 for inside in groups.values())
    assert sorted(labels[moved == TEST].sum(axis=0)) == [1]
    assert decided.tolist() == [TRAIN] * 6


def test_a_label_with_too_few_examples_for_the_splits_is_told():
    labels = np.column_stack([tags(60, 0.5), np.arange(60) < 2]).astype(np.uint8)
    with pytest.raises(DataError, match=r"labels without an example in a split.*: n1 \(2 in all, none in "):
        settle(found(labels, "multi_label"))


def test_a_label_that_is_in_no_training_example_of_ready_splits_is_told():
    labels = tags(60, 0.5, 0.5)
    ready = np.where(labels[:, 1] == 1, TEST, TRAIN).astype(np.int8)
    with pytest.raises(DataError, match="has no image to train on for label n1"):
        settle(found(labels, "multi_label", splits=ready))


def test_a_label_that_nothing_has_is_told():
    with pytest.raises(DataError, match="has no image of label n1"):
        settle(found(tags(60, 0.5, 0.0), "multi_label"))


def test_numbers_are_shared_out_by_bins():
    values = np.sort(RANDOM.lognormal(0, 1, 500)).astype(np.float32)[:, None]
    settled = settle(found(values, "regression"))
    assert settled.facts.sizes == (350, 50, 100)
    middle = np.median(values)
    for split, size in ((VALIDATION, 50), (TEST, 100)):
        assert (settled.labels[settled.splits == split] < middle).sum() == pytest.approx(size / 2, abs=1)
    assert settled.facts.split.endswith("stratified by bins of the targets")


def test_numbers_are_standardised_by_the_training_split_alone():
    values = RANDOM.normal(5, 3, (200, 2)).astype(np.float32)
    settled = settle(found(values, "regression"))
    train = settled.labels[settled.splits == TRAIN].astype(np.float64)
    assert settled.facts.task.means == pytest.approx(train.mean(axis=0))
    assert settled.facts.task.deviations == pytest.approx(train.std(axis=0))
    rows = settled.rows(settled.pixels(16, Framing()), TEST)
    assert rows.task == settled.facts.task


def test_groups_stay_together_for_any_task():
    for labels, kind in ((tags(300, 0.4, 0.2), "multi_label"), (RANDOM.normal(size=(300, 1)), "regression")):
        groups = Groups([f"g{number // 5}" for number in range(300)], "the column 'patient'")
        settled = settle(found(labels.astype(np.uint8 if kind == "multi_label" else np.float32), kind, groups=groups))
        for group in range(60):
            assert len(set(settled.splits[5 * group : 5 * group + 5])) == 1
        assert np.bincount(settled.splits)[1:] == pytest.approx([30, 60], abs=12)


def test_copies_stay_together_whatever_they_are_labelled():
    labels = tags(120, 0.4, 0.3)
    given = found(labels, "multi_label")
    copies = Arrays([*given.pictures.pixels[:60], *given.pictures.pixels[:60]])
    settled = settle(Found("arrays:", copies, labels, given.class_names, kind="multi_label"))
    assert (settled.splits[:60] == settled.splits[60:]).all()


@pytest.mark.parametrize("where", ["everywhere", "in training"])
def test_a_constant_target_is_refused(where):
    values = np.column_stack([RANDOM.normal(size=60), np.full(60, 3.0)]).astype(np.float32)
    ready = None
    if where == "in training":
        ready = (np.arange(60) % 3).astype(np.int8)
        values[ready == TEST, 1] = 4
    with pytest.raises(DataError, match=r"the target 'n1' is 3 in every example"):
        settle(found(values, "regression", splits=ready))


def test_the_fingerprint_stands_for_the_targets():
    values = RANDOM.normal(size=(60, 1)).astype(np.float32)
    one = settle(found(values, "regression")).facts.fingerprint
    assert one == settle(found(values.copy(), "regression")).facts.fingerprint
    values[0] += 1e-3
    assert one != settle(found(values, "regression")).facts.fingerprint
    labels = tags(60, 0.5, 0.5)
    assert (
        settle(found(labels, "multi_label")).facts.fingerprint
        != settle(found(1 - labels, "multi_label")).facts.fingerprint
    )


def test_arrays_of_several_columns():
    images = np.zeros((3, 8, 8), np.uint8)
    given = find((images, np.array([[0, 1], [1, 1], [0, 0]])), kind="multi_label", class_names=("a", "b"))
    assert (given.kind, given.class_names, given.labels.dtype) == ("multi_label", ("a", "b"), np.uint8)
    given = find((images, [1.5, 2.5, 3.5]), kind="regression")
    assert (given.class_names, given.labels.tolist()) == (("target",), [[1.5], [2.5], [3.5]])


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        ([[0, 1], [1, 2], [0, 0]], "multi_label", "the label of example 1, column 1 is 2, expected 0 or 1"),
        ([0, 1, 1], "multi_label", r"shape \(3,\) and type int64, expected 0 and 1 as \[examples, labels\]"),
        ([1.0, np.nan, 2.0], "regression", "the label of example 1, column 0 is nan, expected a finite number"),
        ([1.0, 2.0, np.inf], "regression", "example 2, column 0 is inf"),
        (["a", "b", "c"], "regression", "expected numbers"),
        ([[1.0, 2.0]] * 3, "regression", "class_names has 1 names, and labels have 2 columns"),
    ],
)
def test_arrays_that_are_no_targets_are_refused(labels, kind, message):
    names = ("one",) if "class_names" in message else None
    with pytest.raises(DataError, match=message):
        find((np.zeros((3, 8, 8), np.uint8), labels), names, kind)


class Elements:
    """Stands in for a `tf.data.Dataset`, of which only `as_numpy_iterator` is used."""

    def __init__(self, *elements):
        self.as_numpy_iterator = lambda: iter(elements)


def test_datasets_give_vectors_one_by_one_or_in_batches():
    image, images = np.zeros((8, 8, 3), np.uint8), np.zeros((2, 8, 8, 3), np.uint8)
    for kind, one in (("multi_label", np.array([0, 1, 1])), ("regression", np.array([0.5, 1.0, 2.0]))):
        single = find(Elements((image, one), (image, one)), kind=kind)
        batch = find(Elements((images, np.stack([one, one]))), kind=kind)
        assert single.labels.tolist() == batch.labels.tolist() == [one.tolist()] * 2
    several = find(Elements((images, np.array([1.0, 2.0]))), kind="regression")
    assert several.labels.tolist() == [[1.0], [2.0]]


def test_a_test_set_is_put_in_the_order_of_the_network():
    labels = np.array([[1, 0], [0, 1]], np.uint8)
    given = Found("csv:t", pictures(2), labels, ("dog", "cat"), kind="multi_label")
    task = Task(kind="multi_label")
    settled = examples.for_test(given, ("cat", "dog", "fox"), on_bad_image="error", task=task)
    assert settled.labels.tolist() == [[0, 1, 0], [1, 0, 0]]
    with pytest.raises(DataError, match="has labels that the network does not know: dog"):
        examples.for_test(given, ("cat", "fox"), on_bad_image="error", task=task)


def test_targets_of_a_test_set_are_those_of_the_network():
    task = Task(kind="regression", means=(0.0, 0.0), deviations=(1.0, 1.0))
    given = Found("csv:t", pictures(2), np.array([[1], [2]], np.float32), ("x",), kind="regression")
    with pytest.raises(DataError, match=r"lacks targets that the network tells: y\. Name all in label_column"):
        examples.for_test(given, ("x", "y"), on_bad_image="error", task=task)
    one = Task(kind="regression", means=(7.0,), deviations=(2.0,))
    settled = examples.for_test(given, ("age",), on_bad_image="error", task=one)
    assert (settled.facts.class_names, settled.facts.task) == (("age",), one)


@pytest.mark.parametrize("kind", ["multi_label", "regression"])
def test_weights_are_of_any_task(kind):
    labels = tags(60, 0.5, 0.4) if kind == "multi_label" else RANDOM.normal(size=(60, 2)).astype(np.float32)
    weights = RANDOM.uniform(0.5, 2, 60)
    settled = settle(find((list(pictures(60).pixels), labels, weights), kind=kind))
    train = settled.indices(TRAIN)
    assert settled.weights[train].mean() == pytest.approx(1, rel=1e-5)
    own = settled.weights[train].astype(np.float64)
    expected = own @ labels[train] if kind == "multi_label" else [own.sum()] * 2
    assert settled.facts.train_weights == pytest.approx(expected)


def folds_of(given: Found, folds: int, **changes) -> list[np.ndarray]:
    return [settle(given, rule=Rule(folds=folds, fold=fold), **changes).splits for fold in range(folds)]


@pytest.mark.parametrize("seed", range(40))
def test_folds_of_labels_are_a_partition_with_one_test(seed):
    labels = np.zeros((200, 5), np.uint8)
    labels[:, :2] = np.random.default_rng(seed).random((200, 2)) < 0.5
    labels[0:7, 2] = labels[7:14, 3] = 1
    labels[3:11, 4] = 1  # of eight images, each in the stratum of a rarer label
    each = folds_of(found(labels, "multi_label"), 5, seed=seed)
    assert all(np.array_equal(one == TEST, each[0] == TEST) for one in each)
    validated = sum((one == VALIDATION).astype(int) for one in each)
    assert np.array_equal(validated, (each[0] != TEST).astype(int))
    assert labels[each[0] == TEST].any(axis=0).all()


def test_a_label_on_fewer_images_than_folds_is_shared_out_and_told_of_where_it_lacks():
    labels = tags(200, 0.5, 0.4, 0.0)
    labels[[3, 50, 90, 160], 2] = 1
    told = [settle(found(labels, "multi_label"), rule=Rule(folds=5, fold=fold)).facts for fold in range(5)]
    lacking = [facts.validation_counts[2] == 0 for facts in told]
    assert all(facts.train_counts[2] and facts.test_counts[2] for facts in told)
    assert any(lacking)
    assert [("; no validation example of label n2" in facts.split) for facts in told] == lacking


def test_bins_are_enough_for_many_folds():
    values = RANDOM.normal(size=(110, 1)).astype(np.float32)
    each = folds_of(found(values, "regression"), 20)
    assert np.array_equal(sum((one == VALIDATION).astype(int) for one in each), (each[0] != TEST).astype(int))
    barely = folds_of(found(values[:22], "regression"), 20)
    assert np.array_equal(sum((one == VALIDATION).astype(int) for one in barely), (barely[0] != TEST).astype(int))
    with pytest.raises(DataError, match="at least 21 a class are needed"):
        folds_of(found(values[:20], "regression"), 20)


@pytest.mark.parametrize("seed", range(10))
def test_shares_of_hashes_need_no_example_of_each_stratum(seed):
    rule = Rule(proportions="hash")
    values = RANDOM.normal(size=(100, 1)).astype(np.float32)
    sizes = settle(found(values, "regression"), rule=rule, seed=seed).facts.sizes
    assert min(sizes) > 0
    settled = settle(found(tags(100, 0.5, 0.3, 0.1), "multi_label"), rule=rule, seed=seed)
    assert all(settled.labels[settled.splits == split].any(axis=0).all() for split in (TRAIN, VALIDATION, TEST))


def test_shares_of_hashes_that_leave_a_split_empty():
    values = RANDOM.normal(size=(4, 1)).astype(np.float32)
    with pytest.raises(DataError, match="shares of the range of hashes leave no example for validation"):
        settle(found(values, "regression"), rule=Rule(proportions="hash"), validation_fraction=0.001)


def test_the_rarest_label_takes_one_number_for_each_image():
    has = np.random.default_rng(2).random((4000, 500)) < 0.02
    counts = has.sum(axis=0)
    expected = np.where(has, counts[None], len(has) + 1).argmin(axis=1)
    tracemalloc.start()
    rarest = strata._rarest(has, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(rarest[has.any(axis=1)], expected[has.any(axis=1)])
    assert set(rarest[~has.any(axis=1)].tolist()) <= {500}
    assert peak < has.nbytes
