"""What can stand on a backbone, as values: how features become one number for each class.

A head says nothing about a network; `tfxfer.swap_head(backbone, head)` builds it, and several of them from a dict of
names. Heads give logits: softmax is applied by predictions and serving signatures only.
"""

import dataclasses
from typing import Literal

from tfxfer import values

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

    With batch norm, each hidden layer is a dense one without bias, batch norm, ReLU. This batch norm is new, so it
    trains and moves its statistics whenever the head trains, in every mode of the backbone's batch norm.

    Attributes:
        outputs: number of logits, ≥ 1; "auto" in a recipe: the number of classes.
        hidden: units of each hidden layer, each ≥ 1.
        pooling: over height and width: "avg", "max", or "both" (concatenated, twice as wide).
        dropout: share of each layer's inputs dropped in training, 0 ≤ dropout < 1; with batch norm of the last
            layer's only: dropout before a batch norm gives it another variance in training than in use (Li et al.
            2019, "Understanding the Disharmony between Dropout and Batch Normalization by Variance Shift").
        kernel: initial kernel of the last layer, "zeros" or "glorot_uniform".
        batch_norm: whether batch norm stands between each hidden layer and its ReLU.
    """

    outputs: int | Literal["auto"] = "auto"
    hidden: tuple[int, ...] = (256,)
    pooling: Pooling = "avg"
    dropout: float = 0.2
    kernel: Literal["zeros", "glorot_uniform"] = "zeros"
    batch_norm: bool = False

    def __post_init__(self):
        """Takes a list for a tuple; refuses values outside their ranges."""
        if isinstance(self.hidden, list):
            object.__setattr__(self, "hidden", tuple(self.hidden))
        _check(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cosine:
    """Logits are scale × the cosine between pooled features and the weights of a class: lengths say nothing.

    Classes with few examples are not drowned by others whose weights grew longer, which makes this head one for few
    examples a class. Features and the weights of each class have length 1; as cosines lie in [−1, 1], a softmax needs
    them scaled. Sources: Gidaris & Komodakis 2018, "Dynamic Few-Shot Visual Learning without Forgetting", whose scale
    starts at 10 and is learned; Chen et al. 2019, "A Closer Look at Few-shot Classification" (Baseline++), whose
    program fixes it at 2, or at 10 above 200 classes, and then learns a length for each class.

    A constraint of the kernel gives weights their length back after each step of any Keras optimizer. Averaged weights
    are a little shorter (`use_ema`), and a SavedModel has the weights without the constraint.

    The initial kernel is not zero, since a vector without length has no direction; so gradients reach the backbone
    from the first step on. Train the head alone first where that could do harm.

    Attributes:
        outputs: number of logits, ≥ 1; "auto" in a recipe: the number of classes.
        pooling: over height and width: "avg", "max", or "both" (concatenated, twice as wide).
        dropout: share of features dropped in training, 0 ≤ dropout < 1.
        scale: of the cosines, > 0; where it is learned, at the start.
        learn_scale: whether the scale trains with the head.
        kernel: initial directions of the classes: "orthogonal" (at right angles, as far as there are so many
            features) or "glorot_uniform" (at random).
    """

    outputs: int | Literal["auto"] = "auto"
    pooling: Pooling = "avg"
    dropout: float = 0.0
    scale: float = 10.0
    learn_scale: bool = True
    kernel: Literal["orthogonal", "glorot_uniform"] = "orthogonal"

    def __post_init__(self):
        """Refuses values outside their ranges."""
        _check(self)


Head = Linear | MLP | Cosine


def _check(head: Head) -> None:
    problems = values.check_fields(head)
    if not problems:
        hidden, scale = getattr(head, "hidden", ()), getattr(head, "scale", 1.0)
        if head.outputs != "auto" and head.outputs < 1:
            problems.append(f"outputs={head.outputs} must be at least 1")
        if not 0 <= head.dropout < 1:
            problems.append(f"dropout={head.dropout} must be at least 0 and below 1")
        if any(units < 1 for units in hidden):
            problems.append(f"hidden={hidden} must all be at least 1")
        if not hidden and getattr(head, "batch_norm", False):
            problems.append("batch_norm=True needs a hidden layer to stand behind: hidden=(256,)")
        if not 0 < scale < float("inf"):
            problems.append(f"scale={scale} must be above 0 and finite")
    values.refuse(head, problems)
