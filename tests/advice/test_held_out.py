"""What a race borrows from the training examples, so that there is enough to compare on."""

import numpy as np
import sample_facts

from tfxfer.advice import held_out
from tfxfer.data import TRAIN, VALIDATION, Examples


def _borrowed(labels, together=None, wanted: int = 1000, is_trained=None) -> np.ndarray:
    labels = np.array(labels)
    trained = np.ones(len(labels), bool) if is_trained is None else np.array(is_trained)
    return held_out.borrowed(labels, trained, together or list(map(str, range(len(labels)))), wanted, seed=0)


def test_a_quarter_is_borrowed_in_proportion_of_classes():
    labels = np.repeat([0, 1], [60, 20])
    assert np.bincount(labels[_borrowed(labels)]).tolist() == [15, 5]
    assert len(_borrowed(labels, wanted=8)) == 8


def test_no_class_loses_its_last_example():
    assert len(_borrowed([0, 1, 2, 3])) == 0
    labels = np.array([0] * 20 + [1])
    assert 20 not in _borrowed(labels)


def test_copies_and_groups_go_together():
    labels = np.zeros(40, int)
    together = [str(at // 4) for at in range(40)]
    taken = _borrowed(labels, together)
    assert len(taken) == 8
    assert sorted({at // 4 for at in taken.tolist()}) == sorted({at // 4 for at in taken.tolist() if at % 4 == 0})
    assert len(_borrowed(labels, ["all"] * 40)) == 0  # one group is more than a quarter


def test_only_training_examples_are_borrowed():
    labels = np.zeros(20, int)
    is_trained = np.arange(20) >= 10
    assert (_borrowed(labels, is_trained=is_trained) >= 10).all()
    assert len(_borrowed(labels, is_trained=np.zeros(20, bool))) == 0


def test_behind_an_epoch_one_batch_is_looked_at_and_the_rest_is_for_nothing():
    facts = sample_facts.data_facts(
        class_names=("a", "b"), train_counts=(50, 50), validation_counts=(50, 50), test_counts=(0, 0)
    )
    splits = np.repeat(np.array([TRAIN, VALIDATION], np.int8), 100)
    keys = tuple(f"{at:064x}" for at in range(200))
    examples = Examples(facts, None, np.tile([0, 1], 100).astype(np.int32), splits, keys)
    found = held_out.looked_at_less(examples)
    assert np.bincount(found.splits).tolist() == [100, 32, 68]
    assert (found.facts.train_counts, sum(found.facts.validation_counts)) == ((50, 50), 32)
    assert found.facts.test_examples == 0
