"""What can stand on a backbone, as values: how features become one number for each class.

A head says nothing about a network; `tfxfer.swap_head(backbone, head)` builds it. Heads give logits:
softmax is applied by predictions and serving signatures only.
"""

import dataclasses
from typing import Literal

from tfxfer import values
from tfxfer.errors import ConfigError

Pooling = Literal["avg", "max", "both"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Linear:
    """One dense layer on pooled features, its kernel zero at the start.

    A zero kernel lets the first steps leave a trained backbone in peace: no gradient reaches it before the
    head has learned something (the default of BiT, SimCLR and big_vision).

    Attributes:
        outputs: number of logits, ≥ 1; "auto" in a recipe: the number of classes.
        pooling: over height and width: "avg", "max", or "both" (concatenated, twice as wide).
        dropout: share of features dropped in training, 0 ≤ dropout < 1.
        kernel: initial kernel, "zeros" or "glorot_uniform".
    """

    outputs: int | Literal["auto"] = "auto"
    pooling: Pooling = "avg"
    dropout: float = 0.0
    kernel: Literal["zeros", "glorot_uniform"] = "zeros"

    def __post_init__(self):
        """Refuses values outside their ranges."""
        _check(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class MLP:
    """Dense layers with ReLU on pooled features, then a linear one whose kernel is zero at the start.

    Attributes:
        outputs: number of logits, ≥ 1; "auto" in a recipe: the number of classes.
        hidden: units of each hidden layer, each ≥ 1.
        pooling: over height and width: "avg", "max", or "both" (concatenated, twice as wide).
        dropout: share of each layer's inputs dropped in training, 0 ≤ dropout < 1.
        kernel: initial kernel of the last layer, "zeros" or "glorot_uniform".
    """

    outputs: int | Literal["auto"] = "auto"
    hidden: tuple[int, ...] = (256,)
    pooling: Pooling = "avg"
    dropout: float = 0.2
    kernel: Literal["zeros", "glorot_uniform"] = "zeros"

    def __post_init__(self):
        """Takes a list for a tuple; refuses values outside their ranges."""
        if isinstance(self.hidden, list):
            object.__setattr__(self, "hidden", tuple(self.hidden))
        _check(self)


Head = Linear | MLP


def _check(head: Head) -> None:
    problems = values.check_fields(head)
    if not problems:
        if head.outputs != "auto" and head.outputs < 1:
            problems.append(f"outputs={head.outputs} must be at least 1")
        if not 0 <= head.dropout < 1:
            problems.append(f"dropout={head.dropout} must be at least 0 and below 1")
        if any(units < 1 for units in getattr(head, "hidden", ())):
            problems.append(f"hidden={head.hidden} must all be at least 1")
    if problems:
        raise ConfigError(f"{type(head).__name__}: {'; '.join(problems)}.")
