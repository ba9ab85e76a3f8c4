"""Settings of Keras that are refused, devices as they are chosen, and strategies, each kind in a process of its own."""

import os
import pathlib
import socket
import subprocess
import sys
import textwrap

import keras
import pytest
import tensorflow as tf

from tfxfer import runtime
from tfxfer.devices import Choice
from tfxfer.errors import ConfigError
from tfxfer.recipes import Running
from tfxfer.runtime import hardware, strategies

ROOT = pathlib.Path(__file__).resolve().parent.parent
_BEGIN = """
import tensorflow as tf
from tfxfer import runtime
from tfxfer.errors import ConfigError
from tfxfer.recipes import Running

def refusal(running):
    try:
        runtime.strategy_for(running)
    except ConfigError as error:
        return str(error)
"""


def start(code: str, **environment: str) -> subprocess.Popen:
    """Runs code in a process that has not touched TensorFlow."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-c", _BEGIN + textwrap.dedent(code)]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def said_by(process: subprocess.Popen) -> list[str]:
    """Returns the lines that a process printed; it must end well."""
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err[-3000:]
    return out.splitlines()


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def test_the_usual_settings_pass():
    runtime.check_environment()


@pytest.mark.parametrize(
    ("function", "value", "message"),
    [
        ("image_data_format", "channels_first", "set image_data_format to channels_last"),
        ("floatx", "float16", "Keras is set to floatx float16; set it to float32"),
    ],
)
def test_other_settings_are_refused(monkeypatch, function, value, message):
    monkeypatch.setattr(keras.config, function, lambda: value)
    with pytest.raises(ConfigError, match=message):
        runtime.check_environment()


def test_a_global_policy_of_keras_is_refused_for_the_field_of_the_recipe():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        with pytest.raises(ConfigError) as caught:
            runtime.check_environment()
    finally:
        keras.config.set_dtype_policy("float32")
    assert "set to the dtype policy mixed_bfloat16; set it to float32, and write precision='mixed_bfloat16'" in str(
        caught.value
    )


def test_the_machine_has_a_device_cores_and_memory():
    facts = runtime.probe()
    assert len(facts.devices) == 1
    assert facts.strategy == "one_device"
    assert facts.cores >= 1
    assert facts.memory_bytes > 10**8
    assert {"tfxfer", "tensorflow", "keras", "numpy"} == {name for name, _ in facts.versions}


def test_a_strategy_of_one_s_own_is_taken_and_no_other_within_its_scope(mirrored, monkeypatch):
    monkeypatch.setattr(strategies, "_made", {})
    with mirrored.scope():
        assert runtime.strategy_for(Running()) is mirrored
        assert runtime.strategy_for(Running(devices="cpu:2")) is mirrored
        facts = runtime.probe(Running())
        assert (facts.strategy, facts.devices) == ("mirrored", ("cpu:0", "cpu:1"))
        assert facts.strategy_reason == "it is the one in whose scope this runs"
        for running in (Running(strategy="one_device"), Running(devices="cpu"), Running(devices="cpu:3")):
            with pytest.raises(ConfigError, match=r"in the scope of a MirroredStrategy over cpu:0, cpu:1, and asked"):
                runtime.strategy_for(running)


def test_an_unknown_strategy_is_refused():
    with (
        tf.distribute.experimental.CentralStorageStrategy(["/cpu:0"]).scope(),
        pytest.raises(ConfigError, match="scope of a CentralStorageStrategy, under which tfxfer does not train"),
    ):
        runtime.strategy_for(Running())


def test_auto_without_a_gpu_is_one_device_what_comes_too_late_is_refused_and_ops_become_deterministic_when_asked():
    """All in one: a process takes seconds to start."""
    said = said_by(
        start(
            """
            strategy = runtime.strategy_for(Running())
            assert strategy is tf.distribute.get_strategy()
            facts = runtime.probe(Running())
            print(facts.strategy, facts.devices, facts.strategy_reason)
            with runtime.scope(Running()), runtime.scope():
                tf.Variable(1.0)
            print(refusal(Running(devices="cpu:2")))
            print(refusal(Running(workers=("localhost:1",))))
            print(refusal(Running(devices="gpu:0")))

            import keras
            numbers = []
            for deterministic in (False, True):
                runtime.make_reproducible(3, deterministic=deterministic)
                numbers.append(float(keras.random.normal(())))
                print(runtime.probe().is_deterministic)
            print(numbers[0] == numbers[1])  # seeds are set anyway
            """,
            CUDA_VISIBLE_DEVICES="-1",
        )
    )
    late = (
        "TensorFlow has started in this process, and devices can only be chosen before. Call "
        "tfxfer.runtime.strategy_for before anything else of TensorFlow, or begin a new process."
    )
    assert said == [
        "one_device ('cpu:0',) no GPU is there",
        f"the CPU cannot become 2 logical devices any more (it is 1): {late}",
        f"workers cannot be joined any more: {late}",
        "devices=gpu:0, but TensorFlow finds no GPU on this machine. Write --devices=cpu, or --devices=auto.",
        *("False", "True", "True"),
    ]


def test_logical_devices_are_mirrored_by_one_object_and_others_refused():
    said = said_by(
        start(
            """
            strategy = runtime.strategy_for(Running(devices="cpu:3"))
            assert runtime.strategy_for(Running(devices="cpu:3", strategy="mirrored")) is strategy
            with runtime.scope(Running(devices="cpu:3")):
                assert tf.distribute.get_strategy() is strategy
                assert runtime.strategy_for(Running()) is strategy
            facts = runtime.probe(Running(devices="cpu:3"))
            print(facts.strategy, *facts.devices, facts.strategy_reason)
            print(strategy.num_replicas_in_sync)
            print(refusal(Running(devices="cpu:2")))
            assert runtime.strategy_for(Running(devices="cpu")) is tf.distribute.get_strategy()
            """
        )
    )
    assert said == [
        "mirrored cpu:0 cpu:1 cpu:2 the CPU is asked for as 3 logical devices",
        "3",
        "this process trains as mirrored over cpu:0, cpu:1, cpu:2, and two strategies in one process disturb each "
        "other. Begin a new process for other devices.",
    ]


@pytest.mark.slow
def test_two_workers_wait_for_each_other_and_see_both():
    one, two = free_ports(2)
    workers = f'("localhost:{one}", "localhost:{two}")'
    code = """
    running = Running({})
    strategy = runtime.strategy_for(running)
    assert runtime.strategy_for(running) is strategy
    facts = runtime.probe(running)
    print(facts.strategy, *facts.devices, strategy.num_replicas_in_sync, runtime.cluster_of(running).is_chief)
    total = strategy.run(lambda: tf.distribute.get_replica_context().all_reduce("sum", tf.constant(1.0)))
    print(float(total))
    """
    config = (
        f'{{"cluster": {{"worker": ["localhost:{one}", "localhost:{two}"]}}, "task": {{"type": "worker", "index": 1}}}}'
    )
    processes = [start(code.format(f"workers={workers}")), start(code.format(""), TF_CONFIG=config)]
    shown = f"multi_worker_mirrored cpu:0@localhost:{one} cpu:0@localhost:{two} 2"
    try:
        assert said_by(processes[0]) == [f"{shown} True", "2.0"]
        assert said_by(processes[1]) == [f"{shown} False", "2.0"]
    finally:
        for process in processes:
            process.kill()


@pytest.mark.slow
def test_a_port_in_use_is_named():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = said_by(start(f'print(refusal(Running(workers=("localhost:{port}",))))'))
    assert said == [
        f"port {port} of this worker (localhost:{port}) cannot be opened: something listens on it, perhaps an earlier "
        "run. End that, or give another port to all workers."
    ]


@pytest.mark.slow  # it is looked for during ten seconds
def test_no_tpu_is_told():
    (said,) = said_by(start('print(refusal(Running(strategy="tpu")))'))
    assert said.startswith("strategy=tpu, and TensorFlow finds no TPU 'local' (TPUs not found in the cluster.")
    assert said.endswith("). Set the variable TPU_NAME, or write --strategy=auto.")


class Gpus:
    """Stands in for `tf.config` on a machine with GPUs, which TensorFlow has started with or not yet."""

    def __init__(self, count: int, *, started: bool = False):
        self.there = [tf.config.PhysicalDevice(f"/physical_device:GPU:{n}", "GPU") for n in range(count)]
        self.visible, self.started, self.growing = list(self.there), started, []
        self.experimental = self

    def list_physical_devices(self, kind):
        return self.there if kind == "GPU" else ["cpu"]

    def get_visible_devices(self, kind):
        return self.visible

    def set_visible_devices(self, devices, kind):
        self._change()
        self.visible = devices

    def get_logical_device_configuration(self, device):
        return None

    def get_memory_growth(self, gpu):
        return gpu in self.growing

    def set_memory_growth(self, gpu, enable):
        self._change()
        self.growing.append(gpu)

    def _change(self):
        if self.started:
            raise RuntimeError("cannot be modified after being initialized")


@pytest.fixture
def gpus(monkeypatch):
    def make(*arguments, **settings) -> Gpus:
        fake = Gpus(*arguments, **settings)
        monkeypatch.setattr(hardware, "tf", type("tensorflow", (), {"config": fake}))
        return fake

    return make


def test_only_chosen_gpus_are_seen_and_their_memory_grows(gpus):
    machine = gpus(4)
    choice = Choice("mirrored", "gpu", (1, 3), "given")
    assert hardware.use(choice) == ""
    assert machine.visible == machine.growing == [machine.there[1], machine.there[3]]
    assert hardware.gpus() == ((0, 1, 2, 3), (1, 3))
    assert hardware.names(choice) == ["/gpu:0", "/gpu:1"]
    machine.started = True
    assert hardware.use(choice) == ""  # nothing is left to change


def test_short_names_of_gpus_have_their_numbers_in_the_machine(gpus):
    gpus(4).visible.pop(0)
    names = [f"/job:localhost/replica:0/task:0/device:GPU:{number}" for number in range(3)]
    assert strategies._numbered(names) == ["gpu:1", "gpu:2", "gpu:3"]


def test_the_cpu_alone_hides_gpus(gpus, monkeypatch):
    machine = gpus(2)
    assert hardware.use(Choice("one_device", "cpu", (0,), "given")) == ""
    assert machine.visible == []


def test_memory_that_cannot_grow_any_more_is_told(gpus):
    gpus(1, started=True)
    assert hardware.use(Choice("one_device", "gpu", (0,), "given")) == (
        "TensorFlow had started before and holds all GPU memory"
    )


def test_gpus_that_cannot_be_chosen_any_more_are_refused(gpus):
    gpus(2, started=True)
    with pytest.raises(ConfigError, match=r"^gpu:1 cannot be chosen any more: TensorFlow has started in this process"):
        hardware.use(Choice("one_device", "gpu", (1,), "given"))
    with pytest.raises(ConfigError, match=r"^the CPU alone cannot be chosen any more: "):
        hardware.use(Choice("one_device", "cpu", (0,), "given"))
