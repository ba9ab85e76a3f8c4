"""How a run is carried out, as values: what may change when it goes on, and changes what is learned by rounding."""

import dataclasses
from typing import Literal

from tfxfer import clusters, values
from tfxfer import devices as devices_of
from tfxfer.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class Running:
    """How a run is carried out.

    Attributes:
        strategy: how devices share the work (`tf.distribute`): "one_device"; "mirrored": those of this machine;
            "multi_worker_mirrored": those of several machines; "tpu": a TPU, experimental; "auto": the last but one
            where workers are given, mirrored on several devices, else one_device.
        devices: of this machine: "auto": its GPUs, or its CPU if it has none; "gpu:all", "gpu:0", "gpu:0,1"; "cpu";
            "cpu:4": the CPU as four logical devices, for trying a strategy.
        workers: `host:port` of each process that trains along, the same in all of them; none: what the variable
            TF_CONFIG says, or this one alone. Ports are unauthenticated and belong in a private network.
        task_index: which of `workers` this process is, from 0. The first writes the files.
        checkpoint_seconds: from one checkpoint within a stage to the next, ≥ 0; the end of a stage always has one.
        checkpoints_kept: how many of a stage stay, ≥ 1; where the newest cannot be read, the one before serves.
        resume: "auto": a run that is there goes on, else one begins; "must": without one it is an error; "never": with
            one it is.
        jit_compile: whether XLA compiles the steps; "auto": on one GPU, where every layer can be compiled and ops need
            not be deterministic. On a CPU it makes training slower, up to ten times.
        deterministic: whether ops sum in the same order each time, so that a run can be had again bit for bit; "auto":
            on a CPU, where that costs nothing. Seeds are set in any case.
        profile_steps: "10:20": these optimizer steps of each stage are profiled for TensorBoard, from the first to the
            one before the last; "": none.
        validate_every: optimizer steps from one look at validation within an epoch to the next, ≥ 1, for finer curves;
            none: at ends of epochs only. Looks take their time, and change nothing else.
    """

    strategy: devices_of.StrategyName | Literal["auto"] = "auto"
    devices: str = "auto"
    workers: tuple[str, ...] = ()
    task_index: int = 0
    checkpoint_seconds: float = 60.0
    checkpoints_kept: int = 2
    resume: Literal["auto", "must", "never"] = "auto"
    jit_compile: bool | Literal["auto"] = "auto"
    deterministic: bool | Literal["auto"] = "auto"
    profile_steps: str = ""
    validate_every: int | None = None

    def __post_init__(self):
        """Refuses values outside their ranges, and devices that do not go with the strategy."""
        if isinstance(self.workers, list):
            object.__setattr__(self, "workers", tuple(self.workers))
        problems = values.check_fields(self)
        if not problems:
            if not 0 <= self.checkpoint_seconds < float("inf"):
                problems.append(f"checkpoint_seconds={self.checkpoint_seconds} must be at least 0")
            if self.checkpoints_kept < 1:
                problems.append(f"checkpoints_kept={self.checkpoints_kept} must be at least 1")
            if self.profile_steps and not _is_range(self.profile_steps):
                problems.append(f"profile_steps={self.profile_steps!r} must be two steps such as 10:20, the last above")
            if self.jit_compile is True and self.deterministic is True:
                problems.append(
                    "deterministic=true and jit_compile=true exclude each other in TensorFlow; write jit_compile=false "
                    "for the same bits each time, or deterministic=false for XLA"
                )
            if self.validate_every is not None and self.validate_every < 1:
                problems.append(f"validate_every={self.validate_every} must be at least 1, or none")
            problems += clusters.problems_of(self.workers, self.task_index)
            try:
                devices_of.parse_devices(self.devices)
            except ConfigError as error:
                problems.append(str(error).removesuffix("."))
        values.refuse(self, problems)

    @property
    def profiled(self) -> tuple[int, int]:
        """The first step that is profiled, and the one behind the last; twice 0 for none."""
        first, _, last = self.profile_steps.partition(":")
        return (int(first), int(last)) if last else (0, 0)


def _is_range(text: str) -> bool:
    first, _, last = text.partition(":")
    return first.isdecimal() and last.isdecimal() and int(first) < int(last)
