"""What is to be told of a picture, as a value: one class, some labels, numbers, or a class of several in order.

Pure: which targets examples have (`data`), what becomes small (`training.objectives`), what a network's outputs mean
(`answers`) and what is measured (`evaluation`) each follow from it, in their own places.
"""

import dataclasses
import math
import typing
from typing import Literal

from tfxfer import values

Kind = Literal["single_label", "multi_label", "regression", "ordinal"]
KINDS: tuple[Kind, ...] = typing.get_args(Kind)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """What a network is to tell of a picture.

    | kind | targets of n examples | a network's outputs | what they mean |
    |---|---|---|---|
    | single_label | int32 `[n]`, a class | logits of the classes | softmax: probabilities of the classes |
    | multi_label | uint8 `[n, labels]`, 0 or 1 | a logit for each label | sigmoid: probability of each label |
    | regression | float32 `[n, targets]`, the user's units | (target − mean) / deviation | times deviation, plus mean |
    | ordinal | int32 `[n]`, a class, the lowest being 0 | a logit for each class but the last | see `answers` |

    Attributes:
        kind: see there.
        means: for regression, of each target over the training examples, in the user's units.
        deviations: likewise, standard deviations, > 0.
    """

    kind: Kind = "single_label"
    means: tuple[float, ...] = ()
    deviations: tuple[float, ...] = ()

    def __post_init__(self):
        """Refuses numbers that nothing can be standardised by."""
        problems = values.check_fields(self)
        if not problems:
            if len(self.means) != len(self.deviations):
                problems.append(f"{len(self.means)} means and {len(self.deviations)} deviations must be as many")
            if self.kind != "regression" and self.means:
                problems.append(f"means and deviations are of regression, and the kind is {self.kind}")
            if not all(map(math.isfinite, (*self.means, *self.deviations))) or min(self.deviations, default=1) <= 0:
                problems.append("means must be finite, and deviations above 0 too")
        values.refuse(self, problems)

    @property
    def has_classes(self) -> bool:
        """Whether each example is of just one class."""
        return self.kind in ("single_label", "ordinal")

    def outputs(self, names: int) -> int:
        """Returns how many numbers a network gives for so many classes, labels or targets."""
        return names - 1 if self.kind == "ordinal" else names

    def answers(self, names: int) -> str:
        """Returns what those are called, with the number of classes, labels or targets, for messages."""
        return f"{names} {'labels' if self.kind == 'multi_label' else 'classes' if self.has_classes else 'targets'}"


SINGLE_LABEL = Task()
