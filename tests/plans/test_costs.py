"""Seconds of a stage, worked out by hand."""

import pytest

from tfxfer.facts import Costs
from tfxfer.plans import costs
from tfxfer.plans.costs import Forecast, StageWork

# Three groups and a head; milliseconds.
NOTHING = {"step": 0.0, "update": 0.0, "trace": 0.0, "gather": 0.0}
FORWARD, BACKWARD = (4e-3, 2e-3, 1e-3, 1e-4), (8e-3, 4e-3, 2e-3, 2e-4)


@pytest.fixture(autouse=True)
def no_constants(monkeypatch):
    """Leaves what was measured for this network alone."""
    for name in ("_EPOCH_SECONDS", "_LEAST_LAYERS", "_LEAST_FILL"):
        monkeypatch.setattr(costs, name, 0.0)


def seconds(depth=None, row_bytes=0, fills=None, measured=None, **changes) -> float:
    work = {
        "train_examples": 100,
        "validation_examples": 10,
        "epochs": 5.0,
        "steps": 50,
        "views": 1,
        "weights": 1000,
        "first": 3,
        "trained": (),
    }
    found = Costs(forward=FORWARD, backward=BACKWARD, layers=(5, 3, 1, 1), **(NOTHING | (measured or {})))
    return Forecast(found, 10).seconds(StageWork(**(work | changes)), depth, row_bytes, fills)


def test_without_a_cache_every_epoch_computes_everything():
    assert seconds() == pytest.approx(5 * 100 * (7.1e-3 + 0.2e-3) + 5 * 10 * 7.1e-3)


def test_with_one_what_is_frozen_is_computed_once_for_each_view_and_the_rest_in_every_epoch():
    behind = 5 * 100 * (0.1e-3 + 0.2e-3) + 5 * 10 * 0.1e-3
    assert seconds(3) == pytest.approx(behind + 110 * 7e-3)
    assert seconds(3, views=4) == pytest.approx(behind + 410 * 7e-3)
    assert seconds(3, fills=[(2, 3)]) == pytest.approx(behind + 110 * 1e-3)
    assert seconds(3, fills=[]) == pytest.approx(behind)


def test_what_trains_has_gradients_of_inputs_and_weights_and_what_is_frozen_between_half_of_them():
    assert seconds(1, fills=[], first=1, trained=(1, 2), validation_examples=0) == pytest.approx(
        500 * (3.1e-3 + 6.2e-3)
    )
    assert seconds(1, fills=[], first=1, trained=(1,), validation_examples=0) == pytest.approx(500 * (3.1e-3 + 5.2e-3))


def test_what_normalises_by_batches_takes_longer_where_it_trains_and_not_in_validation():
    measured = {"batch_statistics": 3.0}
    plain = seconds(1, fills=[], first=2, trained=(2,))
    assert seconds(1, fills=[], first=2, trained=(2,), measured=measured) == pytest.approx(plain)
    found = seconds(1, fills=[], first=2, trained=(2,), measured=measured, by_batches=True)
    assert found - plain == pytest.approx(500 * 2 * (1e-3 + 2e-3))


def test_statistics_that_are_measured_anew_are_a_pass_and_a_graph():
    changes = {"first": 1, "trained": (1, 2), "by_batches": True, "measured": {"batch_statistics": 3.0}}
    found = seconds(1, fills=[], refreshes=True, **changes) - seconds(1, fills=[], **changes)
    assert found == pytest.approx(100 * (3 * 3e-3 + 0.1e-3) + 10 * 3.1e-3)
    traced = {"measured": {"trace": 1.0}, "first": 1, "trained": (1, 2)}
    plain = seconds(1, fills=[], **traced)
    assert seconds(1, fills=[], refreshes=True, **traced) - plain == pytest.approx(110 * 3.1e-3 + 0.5)


def test_a_cut_below_the_first_group_that_trains_computes_the_rest_anew():
    deep, early = (seconds(depth, fills=[], first=2, trained=(2,)) for depth in (2, 1))
    assert early - deep == pytest.approx(5 * 110 * 2e-3)


def test_each_step_moves_weights_and_each_row_is_gathered():
    plain = seconds(3)
    assert seconds(3, measured={"step": 1e-3}) - plain == pytest.approx(50 * 1e-3)
    assert seconds(3, measured={"update": 1e-6}) - plain == pytest.approx(50 * 1000 * 1e-6)
    assert seconds(3, 2000, measured={"gather": 1e-6}) - plain == pytest.approx(5 * 110 * 2000 * 1e-6 * costs._READING)
    assert seconds(measured={"gather": 1e-6}) == pytest.approx(seconds())


def test_graphs_are_made_of_what_trains_of_what_lies_before_it_and_of_what_is_filled():
    measured = {"trace": 1.0}
    training, frozen, filled = costs._TRAINING_TRACE, costs._FROZEN_TRACE, costs._FILL_TRACE
    traced = {
        (None, 3): 0.9 * frozen + 0.1 * training,
        (3, 3): 0.1 * training + 0.9 * filled,
        (1, 1): 0.5 * training + 0.5 * filled,
        (None, 0): 1.0 * training,
    }
    for (depth, first), expected in traced.items():
        changes = {"first": first, "trained": tuple(range(first, 3))}
        assert seconds(depth, measured=measured, **changes) - seconds(depth, **changes) == pytest.approx(expected)


def test_what_every_stage_has_takes_as_long_as_the_graphs_of_so_many_layers(monkeypatch):
    plain = seconds(3, measured={"trace": 1.0})
    monkeypatch.setattr(costs, "_LEAST_LAYERS", 20)  # of 10 that the network has
    assert seconds(3, measured={"trace": 1.0}) - plain == pytest.approx(2.0)
