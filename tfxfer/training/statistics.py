"""Watches the statistics of batch norm while a stage moves them, and measures them anew behind it."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import keras

from tfxfer import models
from tfxfer.callbacks.batch_norm_drift import BatchNormDrift, Drift
from tfxfer.data import batches
from tfxfer.models.batch_norm import moving_batch_norms
from tfxfer.models.statistics import refresh_statistics
from tfxfer.plans import StagePlan
from tfxfer.training.records import DriftRecord, RefreshRecord


def drift_callback(stage: StagePlan, examples: Iterable, note: Callable[[str], None]) -> BatchNormDrift | None:
    """Returns what compares stored statistics with those of batches after each epoch; None where none move.

    Args:
        stage: what to do.
        examples: a few batches (inputs, labels) that it trains on; they are kept.
        note: called with a warning, at most once in a `fit`.
    """
    return BatchNormDrift(examples, tell=note) if stage.batch_norm == "train" and stage.trained else None


def drift_records(measured: Sequence[Drift]) -> tuple[DriftRecord, ...]:
    """Returns the measurements of the `fit` of a stage."""
    return tuple(
        DriftRecord(epoch=drift.epoch + 1, batch_loss=drift.train_loss, stored_loss=drift.eval_loss)
        for drift in measured
    )


@contextlib.contextmanager
def together(trainee: keras.Model, *, synchronised: bool) -> Iterator[None]:
    """Lets replicas normalise by the whole batch within a block, as one device does, so that all store the same.

    Keras keeps statistics of each replica, and saves those of the first. Not synchronised, each normalises by its
    share, and a `Trainee` stores the mean of their statistics.
    """
    layers = moving_batch_norms(trainee) if trainee.distribute_strategy.num_replicas_in_sync > 1 else []
    before = [layer.synchronized for layer in layers]
    try:
        for layer in layers:
            layer.synchronized = synchronised
        yield
    finally:
        for layer, value in zip(layers, before, strict=True):
            layer.synchronized = value


def refreshed(trainee: keras.Model, whole: keras.Model, examples: Iterable, held_out) -> RefreshRecord:
    """Measures the statistics that moved anew, proves that nothing else changed, and looks at validation again.

    Args:
        trainee: compiled, frozen as it trained.
        whole: the network from its input on, of the same variables.
        examples: batches (inputs, labels) of the training split, each example once, as they are trained on.
        held_out: a dataset of batches of the validation split.

    Raises:
        DataError: statistics would be NaN or infinite; they stay as they were then.
        VerificationError: a weight has moved meanwhile.
    """
    before = models.Proof(whole)
    done = refresh_statistics(trainee, examples)
    before.check_weights()
    if not done.layers:
        return RefreshRecord()
    shares = batches.shared(held_out.repeat(), trainee.distribute_strategy)
    result = trainee.evaluate(shares, steps=len(held_out), verbose=0, return_dict=True)
    return RefreshRecord(
        layers=len(done.layers),
        examples=done.examples,
        shift=done.shift,
        validation_loss=float(result["loss"]),
        validation_accuracy=float(result.get("accuracy", 0.0)),
    )
