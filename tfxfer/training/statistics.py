"""Watches the statistics of batch norm while a stage moves them, and measures them anew behind it."""

from collections.abc import Callable, Iterable, Sequence

import keras

from tfxfer import models
from tfxfer.callbacks.batch_norm_drift import BatchNormDrift, Drift
from tfxfer.models.statistics import refresh_statistics
from tfxfer.plans import StagePlan
from tfxfer.training.records import DriftRecord, RefreshRecord


def drift_callback(stage: StagePlan, batches: Iterable, note: Callable[[str], None]) -> BatchNormDrift | None:
    """Returns what compares stored statistics with those of batches after each epoch; None where none move.

    Args:
        stage: what to do.
        batches: a few of (inputs, labels) that it trains on; they are kept.
        note: called with a warning, at most once in a `fit`.
    """
    return BatchNormDrift(batches, tell=note) if stage.batch_norm == "train" and stage.trained else None


def drift_records(measured: Sequence[Drift], epochs_before: int) -> tuple[DriftRecord, ...]:
    """Returns the measurements of one `fit`, before which a stage has made so many epochs."""
    return tuple(
        DriftRecord(epoch=epochs_before + drift.epoch + 1, batch_loss=drift.train_loss, stored_loss=drift.eval_loss)
        for drift in measured
    )


def refreshed(trainee: keras.Model, whole: keras.Model, batches: Iterable, held_out: Iterable) -> RefreshRecord:
    """Measures the statistics that moved anew, proves that nothing else changed, and looks at validation again.

    Args:
        trainee: compiled, frozen as it trained.
        whole: the network from its input on, of the same variables.
        batches: (inputs, labels) of the training split, each example once, as they are trained on.
        held_out: batches of the validation split.

    Raises:
        DataError: statistics would be NaN or infinite; they stay as they were then.
        VerificationError: a weight has moved meanwhile.
    """
    before = models.Proof(whole)
    done = refresh_statistics(trainee, batches)
    before.check_weights()
    if not done.layers:
        return RefreshRecord()
    result = trainee.evaluate(held_out, verbose=0, return_dict=True)
    return RefreshRecord(
        layers=len(done.layers),
        examples=done.examples,
        shift=done.shift,
        validation_loss=float(result["loss"]),
        validation_accuracy=float(result["accuracy"]),
    )
