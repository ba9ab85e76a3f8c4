"""Prepares the devices that a strategy gets; TensorFlow allows that only before it has started in a process."""

from collections.abc import Sequence

import tensorflow as tf

from tfxfer.devices import Choice
from tfxfer.errors import ConfigError

LATE = (
    "TensorFlow has started in this process, and devices can only be chosen before. Call "
    "tfxfer.runtime.strategy_for before anything else of TensorFlow, or begin a new process."
)


def gpus() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Returns the numbers of the GPUs of this machine, and of those that TensorFlow may see."""
    there = tf.config.list_physical_devices("GPU")
    visible = tf.config.get_visible_devices("GPU")
    return tuple(range(len(there))), tuple(number for number, gpu in enumerate(there) if gpu in visible)


def use(choice: Choice) -> str:
    """Makes TensorFlow see just the devices of a choice, and take memory of GPUs only as it needs it.

    Returns:
        What could not be done for the memory since TensorFlow had started, in words; "" if nothing.

    Raises:
        ConfigError: other devices are to be used than those that TensorFlow has started with.
    """
    if choice.kind == "tpu":
        return ""
    _show(choice.numbers if choice.kind == "gpu" else ())
    if choice.kind == "cpu":
        _split_cpu(len(choice.numbers))
        return ""
    return grow_memory()


def names(choice: Choice) -> list[str]:
    """Returns what TensorFlow calls the devices of a choice once they are prepared: it counts those that it sees."""
    return [f"/{choice.kind}:{place}" for place in range(len(choice.numbers))]


def _show(numbers: Sequence[int]) -> None:
    there = tf.config.list_physical_devices("GPU")
    wanted = [there[number] for number in sorted(numbers)]
    if tf.config.get_visible_devices("GPU") == wanted:
        return
    try:
        tf.config.set_visible_devices(wanted, "GPU")
    except RuntimeError as error:
        asked = ", ".join(f"gpu:{number}" for number in numbers) or "the CPU alone"
        raise ConfigError(f"{asked} cannot be chosen any more: {LATE}") from error


def _split_cpu(count: int) -> None:
    cpu, *_ = tf.config.list_physical_devices("CPU")
    now = len(tf.config.get_logical_device_configuration(cpu) or [None])
    if now >= count:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * count)
    except RuntimeError as error:
        raise ConfigError(f"the CPU cannot become {count} logical devices any more (it is {now}): {LATE}") from error


def grow_memory() -> str:
    """Makes TensorFlow take memory of GPUs only as it needs it, so that others can use them too.

    Returns:
        "", or in words why that cannot be.
    """
    try:
        for gpu in tf.config.get_visible_devices("GPU"):
            # Where the user has cut a GPU into logical ones, each has its own limit of memory.
            if not tf.config.get_logical_device_configuration(gpu) and not tf.config.experimental.get_memory_growth(
                gpu
            ):
                tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        return "TensorFlow had started before and holds all GPU memory"
    return ""
