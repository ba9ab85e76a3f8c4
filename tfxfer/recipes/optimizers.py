"""Optimizers as values; rates, weight decay and clipping are the stage's."""

import dataclasses
from typing import Literal

from tfxfer import values


@dataclasses.dataclass(frozen=True, kw_only=True)
class SGD:
    """Stochastic gradient descent with momentum; how much weight decay, and clipping, are the stage's.

    0.9 is what BiT, LP-FT, TLLib, torchvision and Caffe fine-tune with; Nesterov's form is Kornblith et al. 2019.

    Attributes:
        momentum: share of the last step that is made again, 0 ≤ momentum < 1.
        nesterov: whether the gradient counts as if it were taken a step ahead.
        decay_in_gradient: whether weight decay is a part of the gradient, behind clipping, so that momentum carries it
            on, as in Caffe and PyTorch; apart from it (decoupled) otherwise.
    """

    momentum: float = 0.9
    nesterov: bool = True
    decay_in_gradient: bool = False

    def __post_init__(self):
        """Refuses values outside their ranges."""
        problems = values.check_fields(self)
        if not problems and not 0 <= self.momentum < 1:
            problems.append(f"momentum={self.momentum} must be at least 0 and below 1")
        if not problems and self.nesterov and self.momentum == 0:
            problems.append("nesterov=true looks ahead by momentum, and momentum=0; write nesterov=false")
        values.refuse(self, problems)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam; with weight decay in the stage it is AdamW, since that is always decoupled (Loshchilov and Hutter 2019).

    The numbers are those of Kingma and Ba 2015, but for epsilon, which is that of Keras.

    Attributes:
        beta_1: decay of the mean of gradients, 0 ≤ beta_1 < 1.
        beta_1_at_peak: what it goes to and comes back from as the rate rises and falls, under the stage's schedule
            "one_cycle"; "same": it stays.
        beta_2: decay of the mean of their squares, 0 ≤ beta_2 < 1.
        epsilon: what is added to the root of that, > 0.
        epsilon_of: where it is added: "keras": before the root is corrected for its start from 0; "pytorch": behind
            that, as also in fastai, so that it counts less in the first steps.
    """

    beta_1: float = 0.9
    beta_1_at_peak: float | Literal["same"] = "same"
    beta_2: float = 0.999
    epsilon: float = 1e-7
    epsilon_of: Literal["keras", "pytorch"] = "keras"

    def __post_init__(self):
        """Refuses values outside their ranges."""
        problems = values.check_fields(self)
        if not problems:
            for name in ("beta_1", "beta_1_at_peak", "beta_2"):
                if getattr(self, name) != "same" and not 0 <= getattr(self, name) < 1:
                    problems.append(f"{name}={getattr(self, name)} must be at least 0 and below 1")
            if not 0 < self.epsilon <= 1:
                problems.append(f"epsilon={self.epsilon} must be above 0 and at most 1")
        values.refuse(self, problems)


Optimizer = SGD | Adam
