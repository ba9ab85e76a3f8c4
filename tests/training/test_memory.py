"""A device whose memory is full names the batch that was tried and one that should fit, wherever it happens."""

import dataclasses

import pytest
import tensorflow as tf

import tfxfer
from tfxfer import pipeline, prediction, training
from tfxfer.activations import filling
from tfxfer.cli.main import main
from tfxfer.errors import OutOfMemoryError, TfxferError
from tfxfer.training import memory, trainees

STAGES = (tfxfer.Stage(epochs=1), tfxfer.Stage(train="all", epochs=1))


def full(*_, **__):
    raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape[64,112,112,32]")


PLACES = {
    "a step": (trainees.Trainee, "_move"),
    "an evaluation of training": (trainees.Trainee, "_test"),
    "filling": (filling, "_fill"),
    "measuring": (prediction, "logits"),
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_it_is_told_with_what_to_type(plugin, colours, tmp_path, monkeypatch, capsys, place):
    monkeypatch.setattr(*place, full)
    arguments = ["train", f"--data=folder:{colours}", "--backbone=tiny:cnn", "--stages=full", "--batch_size=12"]
    assert main([*arguments, f"--workdir={tmp_path / 'run'}"]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: a batch of 12 does not fit into the memory of cpu:0; the plan expected about ")
    assert error.endswith(" for a step on each. Write --batch_size=4.")


def planned(plugin, colours, **changes):
    recipe = tfxfer.Recipe(data=f"folder:{colours}", backbone="tiny:cnn", stages=STAGES, **changes)
    return pipeline.prepare(recipe, with_seconds=False).plan


def message(plan, error=None) -> str:
    with pytest.raises(OutOfMemoryError) as caught, training.explained_memory(plan):
        raise error or tf.errors.ResourceExhaustedError(None, None, "OOM")
    return str(caught.value)


def test_the_memory_of_a_gpu_decides_what_should_fit(plugin, colours, monkeypatch):
    plan = planned(plugin, colours, batch_size=512)
    plan = dataclasses.replace(plan, how=dataclasses.replace(plan.how, step_bytes=(10**9, 8 * 10**9)))
    monkeypatch.setattr(memory, "_peak", lambda: 10**9)
    assert message(plan) == (
        "a batch of 512 does not fit into the memory of cpu:0; the plan expected about 8.0 GB for a step on each, and "
        "1.0 GB were in use at most. Write --batch_size=64, or --precision=mixed_bfloat16."
    )


def test_the_share_of_each_device_is_told(plugin, colours):
    plan = planned(plugin, colours, batch_size=32)
    how = dataclasses.replace(plan.how, devices=("gpu:0", "gpu:1"), per_replica_batch=16, step_bytes=(0, 0))
    plan = dataclasses.replace(plan, how=how)
    assert message(plan) == (
        "a batch of 32 (16 on each of 2 devices) does not fit into the memory of gpu:0, gpu:1. Write --batch_size=16."
    )


def test_where_no_smaller_batch_is_left_other_ways_are_told(plugin, colours):
    assert "No smaller batch is left: write a smaller --image_size" in message(planned(plugin, colours, batch_size=1))


@pytest.mark.parametrize("words", ["RESOURCE_EXHAUSTED: Out of memory while trying to allocate", "CUDA: out of memory"])
def test_what_xla_and_drivers_say_is_understood(plugin, colours, words):
    assert "does not fit" in message(planned(plugin, colours), tf.errors.InternalError(None, None, words))


def test_another_error_stays_what_it_is(plugin, colours):
    error = tf.errors.InternalError(None, None, "the device is gone")
    with pytest.raises(tf.errors.InternalError), training.explained_memory(planned(plugin, colours)):
        raise error
    assert issubclass(OutOfMemoryError, TfxferError)
    assert OutOfMemoryError.exit_code == 1
