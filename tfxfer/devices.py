"""Which devices a run asks for, as values, and which strategy fits them and its workers. No TensorFlow here."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from tfxfer.clusters import Cluster
from tfxfer.errors import ConfigError

StrategyName = Literal["one_device", "mirrored", "multi_worker_mirrored", "tpu"]

# Logical devices of one processor are for trying a strategy; more would only be slower.
_MOST_CPUS = 64
_DEVICES = "auto, cpu, cpu:4 (so many logical devices), gpu:all, gpu:0 or gpu:0,1"


@dataclasses.dataclass(frozen=True)
class Devices:
    """Devices of this machine by kind and number.

    Attributes:
        kind: "auto": what is there.
        numbers: of GPUs, () being all of them, or of logical devices of the CPU.
    """

    kind: Literal["auto", "cpu", "gpu"]
    numbers: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Choice:
    """A strategy and the devices of this machine that it gets.

    Attributes:
        strategy: which.
        kind: of the devices; "tpu": what the TPU's own resolver finds.
        numbers: of the devices.
        reason: why, in words.
    """

    strategy: StrategyName
    kind: Literal["cpu", "gpu", "tpu"]
    numbers: tuple[int, ...]
    reason: str


def parse_devices(text: str) -> Devices:
    """Returns what `text` means: `auto`, `cpu`, `cpu:4`, `gpu:all`, `gpu:0` or `gpu:0,1`.

    Raises:
        ConfigError: it is none of these; the message says what may be written.
    """
    kind, colon, rest = text.strip().partition(":")
    if kind in ("auto", "cpu") and not colon:
        return Devices("auto") if kind == "auto" else Devices("cpu", (0,))
    if kind == "cpu" and rest.isdecimal() and 1 <= int(rest) <= _MOST_CPUS:
        return Devices("cpu", tuple(range(int(rest))))
    if kind == "gpu" and rest == "all":
        return Devices("gpu")
    numbers = [number.strip() for number in rest.split(",")]
    if kind == "gpu" and all(number.isdecimal() for number in numbers):
        if len(set(map(int, numbers))) < len(numbers):
            raise ConfigError(f"devices={text!r} names a GPU twice.")
        return Devices("gpu", tuple(sorted(map(int, numbers))))
    if kind == "cpu":
        raise ConfigError(f"devices={text!r}: behind cpu: stands how many logical devices, 1 to {_MOST_CPUS}.")
    if kind == "gpu":
        raise ConfigError(f"devices={text!r} does not say which GPUs; write gpu:all, gpu:0 or gpu:0,1.")
    raise ConfigError(f"devices={text!r} is none of {_DEVICES}.")


def check_strategy(asked: str, devices: Devices, cluster: Cluster | None) -> None:
    """Refuses a strategy that cannot be on devices or workers, whatever there is on this machine.

    Raises:
        ConfigError: with what does not go together, and what to write.
    """
    if asked == "multi_worker_mirrored" and cluster is None:
        raise ConfigError(
            "strategy=multi_worker_mirrored, and no workers are given. Write "
            "--workers=10.0.0.1:2222,10.0.0.2:2222 --task_index=0, or set the variable TF_CONFIG."
        )
    if cluster and len(cluster.addresses) > 1 and asked not in ("auto", "multi_worker_mirrored"):
        raise ConfigError(
            f"strategy={asked} trains in one process, and {cluster} are given. Write "
            "--strategy=multi_worker_mirrored, or leave out the workers and unset TF_CONFIG."
        )
    across = asked == "multi_worker_mirrored" or (asked == "auto" and cluster is not None)
    if across and devices.kind == "cpu" and len(devices.numbers) > 1:
        raise ConfigError(
            f"devices=cpu:{len(devices.numbers)} with several workers: each uses one CPU. Write --devices=cpu."
        )
    if asked == "one_device" and len(devices.numbers) > 1:
        raise ConfigError(
            f"strategy=one_device, but devices={_text(devices)} are {len(devices.numbers)}. Write --strategy=mirrored, "
            f"or --devices={devices.kind}{':0' if devices.kind == 'gpu' else ''}."
        )
    if asked == "tpu" and devices.kind != "auto":
        raise ConfigError(f"strategy=tpu, but devices={_text(devices)} are none of a TPU. Leave out devices.")


def choose_strategy(
    asked: str, devices: Devices, cluster: Cluster | None, *, gpus: Sequence[int], visible: Sequence[int] | None = None
) -> Choice:
    """Returns the strategy and its devices, and why.

    Args:
        asked: a strategy, or "auto".
        devices: that are asked for.
        cluster: of several processes, or None.
        gpus: numbers of those of this machine; `visible`: which of them "auto" and "gpu:all" mean, if not all.
        visible: see there.

    Raises:
        ConfigError: what `check_strategy` refuses, or a GPU that is not there.
    """
    check_strategy(asked, devices, cluster)
    if asked == "tpu":
        return Choice("tpu", "tpu", (), "given; experimental")
    kind, numbers, found = _found(devices, tuple(gpus), tuple(gpus if visible is None else visible))
    if asked == "one_device" and len(numbers) > 1:
        if devices.kind != "auto":
            raise ConfigError(
                f"strategy=one_device, but devices={_text(devices)} are {len(numbers)}. Write --devices=gpu:0."
            )
        numbers = numbers[:1]
    if asked != "auto":
        return Choice(asked, kind, numbers, "given")
    if cluster is not None:
        count = len(cluster.addresses)
        text = f"{count} workers are given" if count > 1 else "one worker is given"
        return Choice("multi_worker_mirrored", kind, numbers, text)
    return Choice("mirrored" if len(numbers) > 1 else "one_device", kind, numbers, found)


def _found(
    devices: Devices, gpus: tuple[int, ...], visible: tuple[int, ...]
) -> tuple[Literal["cpu", "gpu"], tuple[int, ...], str]:
    """Returns kind and numbers of the devices that are meant, and what was found, in words."""
    if devices.kind == "cpu":
        count = len(devices.numbers)
        return "cpu", devices.numbers, "the CPU is asked for" + f" as {count} logical devices" * (count > 1)
    if devices.kind == "auto" and not visible:
        return "cpu", (0,), "no GPU is there"
    if not visible or not set(devices.numbers) <= set(gpus):
        there = f"there is only {', '.join(f'gpu:{number}' for number in gpus)}" if gpus else "TensorFlow finds no GPU"
        hint = "devices=gpu:all" if visible else "devices=cpu"
        raise ConfigError(f"devices={_text(devices)}, but {there} on this machine. Write --{hint}, or --devices=auto.")
    if devices.numbers:
        return "gpu", devices.numbers, f"{_text(devices)} {'is' if len(devices.numbers) == 1 else 'are'} asked for"
    return "gpu", visible, "one GPU is there" if len(visible) == 1 else f"{len(visible)} GPUs are there"


def _text(devices: Devices) -> str:
    """Returns how these devices are written."""
    if devices.kind == "cpu":
        return f"cpu:{len(devices.numbers)}"
    return devices.kind if devices.kind == "auto" else f"gpu:{','.join(map(str, devices.numbers)) or 'all'}"
