"""What may be written for devices, and which strategy fits devices, workers and the machine."""

import pytest

from tfxfer.clusters import Cluster
from tfxfer.devices import Choice, Devices, choose_strategy, parse_devices
from tfxfer.errors import ConfigError

TWO = Cluster(workers=("a:1", "b:2"))


def choice(asked="auto", devices="auto", cluster=None, gpus=0, **settings) -> Choice:
    return choose_strategy(asked, parse_devices(devices), cluster, gpus=range(gpus), **settings)


def refusal(*arguments, **settings) -> str:
    with pytest.raises(ConfigError) as caught:
        choice(*arguments, **settings)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("auto", Devices("auto")),
        ("cpu", Devices("cpu", (0,))),
        ("cpu:1", Devices("cpu", (0,))),
        ("cpu:4", Devices("cpu", (0, 1, 2, 3))),
        ("gpu:all", Devices("gpu")),
        ("gpu:0", Devices("gpu", (0,))),
        ("gpu:0, 1", Devices("gpu", (0, 1))),
        (" gpu:3,1 ", Devices("gpu", (1, 3))),
    ],
)
def test_devices_are_read(text, devices):
    assert parse_devices(text) == devices


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "devices='' is none of auto, cpu, cpu:4 (so many logical devices), gpu:all, gpu:0 or gpu:0,1."),
        ("gpus", "devices='gpus' is none of auto, cpu, "),
        ("auto:1", "devices='auto:1' is none of auto, cpu, "),
        ("cpu:0", "devices='cpu:0': behind cpu: stands how many logical devices, 1 to 64."),
        ("cpu:65", "behind cpu: stands how many logical devices, 1 to 64."),
        ("cpu:-1", "behind cpu: stands how many logical devices, 1 to 64."),
        ("cpu:0,1", "behind cpu: stands how many logical devices, 1 to 64."),
        ("gpu", "devices='gpu' does not say which GPUs; write gpu:all, gpu:0 or gpu:0,1."),
        ("gpu:", "does not say which GPUs"),
        ("gpu:0,", "does not say which GPUs"),
        ("gpu:-1", "does not say which GPUs"),
        ("gpu:1,1", "devices='gpu:1,1' names a GPU twice."),
    ],
)
def test_devices_that_cannot_be_read(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_devices(text)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, Choice("one_device", "cpu", (0,), "no GPU is there")),
        ({"gpus": 1}, Choice("one_device", "gpu", (0,), "one GPU is there")),
        ({"gpus": 4}, Choice("mirrored", "gpu", (0, 1, 2, 3), "4 GPUs are there")),
        ({"gpus": 4, "visible": (2, 3)}, Choice("mirrored", "gpu", (2, 3), "2 GPUs are there")),
        ({"gpus": 4, "visible": ()}, Choice("one_device", "cpu", (0,), "no GPU is there")),
        ({"gpus": 4, "devices": "gpu:3"}, Choice("one_device", "gpu", (3,), "gpu:3 is asked for")),
        ({"gpus": 4, "devices": "gpu:1,2"}, Choice("mirrored", "gpu", (1, 2), "gpu:1,2 are asked for")),
        ({"gpus": 2, "devices": "gpu:all"}, Choice("mirrored", "gpu", (0, 1), "2 GPUs are there")),
        ({"gpus": 2, "devices": "cpu"}, Choice("one_device", "cpu", (0,), "the CPU is asked for")),
        ({"devices": "cpu:2"}, Choice("mirrored", "cpu", (0, 1), "the CPU is asked for as 2 logical devices")),
        ({"asked": "one_device", "gpus": 4}, Choice("one_device", "gpu", (0,), "given")),
        ({"asked": "mirrored"}, Choice("mirrored", "cpu", (0,), "given")),
        ({"asked": "mirrored", "gpus": 2}, Choice("mirrored", "gpu", (0, 1), "given")),
        ({"cluster": TWO}, Choice("multi_worker_mirrored", "cpu", (0,), "2 workers are given")),
        ({"cluster": TWO, "gpus": 2}, Choice("multi_worker_mirrored", "gpu", (0, 1), "2 workers are given")),
        ({"asked": "multi_worker_mirrored", "cluster": TWO}, Choice("multi_worker_mirrored", "cpu", (0,), "given")),
        (
            {"cluster": Cluster(workers=("a:1",))},
            Choice("multi_worker_mirrored", "cpu", (0,), "one worker is given"),
        ),
        ({"asked": "mirrored", "cluster": Cluster(workers=("a:1",))}, Choice("mirrored", "cpu", (0,), "given")),
        ({"asked": "tpu"}, Choice("tpu", "tpu", (), "given; experimental")),
    ],
)
def test_what_is_there_and_asked_for_decides_the_strategy(settings, expected):
    assert choice(**settings) == expected


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"devices": "gpu:0"},
            "devices=gpu:0, but TensorFlow finds no GPU on this machine. Write --devices=cpu, or --devices=auto.",
        ),
        ({"devices": "gpu:all"}, "devices=gpu:all, but TensorFlow finds no GPU on this machine."),
        (
            {"devices": "gpu:0,2", "gpus": 2},
            "devices=gpu:0,2, but there is only gpu:0, gpu:1 on this machine. Write --devices=gpu:all, or ",
        ),
        (
            {"asked": "one_device", "devices": "gpu:0,1", "gpus": 2},
            "strategy=one_device, but devices=gpu:0,1 are 2. Write --strategy=mirrored, or --devices=gpu:0.",
        ),
        (
            {"asked": "one_device", "devices": "gpu:all", "gpus": 2},
            "strategy=one_device, but devices=gpu:all are 2. Write --devices=gpu:0.",
        ),
        (
            {"asked": "one_device", "devices": "cpu:2"},
            "strategy=one_device, but devices=cpu:2 are 2. Write --strategy=mirrored, or --devices=cpu.",
        ),
        (
            {"asked": "multi_worker_mirrored"},
            "strategy=multi_worker_mirrored, and no workers are given. Write --workers=10.0.0.1:2222,10.0.0.2:2222 "
            "--task_index=0, or set the variable TF_CONFIG.",
        ),
        (
            {"asked": "mirrored", "cluster": TWO},
            "strategy=mirrored trains in one process, and 2 workers (a:1, b:2) are given. Write "
            "--strategy=multi_worker_mirrored, or leave out the workers and unset TF_CONFIG.",
        ),
        ({"asked": "tpu", "cluster": TWO}, "strategy=tpu trains in one process, and 2 workers (a:1, b:2) are given."),
        (
            {"devices": "cpu:2", "cluster": TWO},
            "devices=cpu:2 with several workers: each uses one CPU. Write --devices=cpu.",
        ),
        ({"asked": "tpu", "devices": "cpu"}, "strategy=tpu, but devices=cpu:1 are none of a TPU. Leave out devices."),
    ],
)
def test_what_does_not_go_together_is_refused(settings, message):
    assert message in refusal(**settings)
