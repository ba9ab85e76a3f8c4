"""Trains a recipe as the pipeline does, stops it behind a checkpoint, and compares two that should end alike."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator

import pytest

import tfxfer
from tfxfer import pipeline, training
from tfxfer.framing import Framing
from tfxfer.training import checkpoints


def fitted(
    recipe: tfxfer.Recipe,
    folder: pathlib.Path,
    strategy=None,
    *,
    data=None,
    note: Callable[[str], None] = lambda _: None,
):
    """Trains all stages of a recipe, on pictures of 24×24 pixels; returns the model and its history.

    Args:
        recipe: for pictures that it names, or for `data`.
        folder: of checkpoints; a run that was stopped there goes on.
        strategy: whose replicas share each batch; None: one device.
        data: pictures with labels, and weights where there are some.
        note: called with what happens besides epochs.
    """
    with strategy.scope() if strategy else contextlib.nullcontext():
        ready = pipeline.prepare(recipe, data=data, with_seconds=False)
        pixels = ready.examples.pixels(24, Framing())
        quiet = {"tell": lambda *_: None, "note": note}
        history = training.fit(ready.model, ready.examples, pixels, ready.plan, folder, **quiet)
    return ready.model, history


@contextlib.contextmanager
def stopped_behind(count: int) -> Iterator[None]:
    """Within it a run is stopped as by Ctrl-C behind so many checkpoints; fails where it never comes to that."""
    write, written = checkpoints.StageCheckpoints.write, []

    def write_and_stop(self, checkpoint):
        write(self, checkpoint)
        written.append(checkpoint)
        if len(written) == count:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(checkpoints.StageCheckpoints, "write", write_and_stop)
        with pytest.raises(KeyboardInterrupt):
            yield


def assert_epochs_alike(one: training.History, other: training.History) -> None:
    """Loss and accuracy of the first stage are the same after each epoch."""
    for first, second in zip(one.stages[0].epochs, other.stages[0].epochs, strict=True):
        for name in ("loss", "accuracy", "validation_loss", "validation_accuracy"):
            assert getattr(first, name) == pytest.approx(getattr(second, name), abs=1e-5), name
