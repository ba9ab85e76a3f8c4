"""What a step takes of a device's memory, and a batch that fits where one did not: pure arithmetic on facts."""

import math
from collections.abc import Sequence

from tfxfer.facts import GroupFacts
from tfxfer.recipes import ComputePrecision

_FLOAT = 4
_HALF = 2


def step_bytes(
    groups: Sequence[GroupFacts],
    *,
    first: int,
    start: int,
    examples: int,
    pixels: int,
    precision: ComputePrecision,
    norms_move: bool,
    trainable_weights: int,
    slot_bytes: int,
) -> int:
    """Returns about how many bytes a step holds at its peak, at the end of its forward pass.

    That is what the backward pass needs from the first layer on that trains; the largest group below it, whose tensors
    go again; inputs, weights, gradients and slots. What an operation takes for itself while it runs is not in it, and
    neither is what TensorFlow holds for other things. On a CPU the memory of a process grew by 0.7 to 1.3 times as much
    (EfficientNet-Lite0, 64 pictures of 128×128; all or five groups training, batch norm frozen or moving, float32 or
    bfloat16).

    Args:
        groups: of the backbone, input first.
        first: position of the first that trains; their number where only the head does.
        start: position of the first that is computed, behind what is kept from before.
        examples: on a device.
        pixels: numbers in a picture.
        precision: of the layers.
        norms_move: whether batch norm trains, or moves its statistics.
        trainable_weights: numbers that the optimizer moves; `slot_bytes` what it keeps for them.
        slot_bytes: see there.
    """
    size = _FLOAT if precision == "float32" else _HALF
    kept = sum(group.activations + norms_move * group.norm_inputs for group in groups[first:])
    passing = max((group.activations + group.norm_inputs for group in groups[start:first]), default=0)
    weights = sum(group.parameters + group.statistics for group in groups)
    lower = 0 if precision == "float32" else weights * size
    return (
        examples * ((kept + passing) * size + pixels * _FLOAT)
        + weights * _FLOAT
        + lower
        + (trainable_weights * _FLOAT + slot_bytes)
    )


def smaller_batch(batch_size: int, *, estimate: int = 0, limit: int = 0) -> int:
    """Returns a batch that should fit where one of `batch_size` did not: a power of two, at most half as large.

    Args:
        batch_size: that was tried, ≥ 2.
        estimate: bytes that it was to take; `limit` bytes that there were. 0 where one is not known.
        limit: see there.
    """
    share = min(0.5, limit / estimate) if estimate and limit else 0.5
    return 1 << max(0, math.floor(math.log2(max(1, batch_size * share))))
