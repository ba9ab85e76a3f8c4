"""What is done about classes that have few examples beside others that have many, as a value."""

import dataclasses
from typing import Literal

from tfxfer import values

ClassWeights = Literal["none", "inverse", "effective"]
Sampling = Literal["natural", "square_root", "balanced"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Imbalance:
    """How classes with few training examples are made to count; by default every example counts alike.

    `class_weights`, `sampling` and `logit_adjustment` all correct the shares of the classes, so one of them is used at
    a time; `focal_gamma` weighs examples by how hard they are, and goes with each. Validation loss is what training
    makes small, on other examples: with the same weights and the same loss. Accuracy always counts examples alike, and
    the report has recall and precision of each class, balanced accuracy and macro F1.

    Measured with a head on digits of which the most frequent has 300 training examples and the rarest 3
    (`tools/bench_imbalance.py`, mean of three draws): balanced accuracy 66.4 % with nothing, 68.1 % with focal_gamma=2,
    73.2 % with sampling="square_root", 75.6 % with class_weights="effective", 75.8 % with "inverse", 76.2 % with
    sampling="balanced", 79.5 % with logit_adjustment=1.

    Attributes:
        class_weights: of the loss of an example, by its class of n training examples: "none"; "inverse": in proportion
            to 1 / n; "effective": to (1 − beta) / (1 − betaⁿ), the inverse of the effective number of examples (Cui et
            al. 2019, arXiv 1901.05555). Their mean over the training examples is 1, so that rates keep their meaning.
        beta: of "effective", 0 < beta < 1: near 1 it is "inverse", near 0 "none". The paper's range is 0.9 to 0.9999.
        sampling: how many examples of each class an epoch shows, as many in all as there are: "natural": each once;
            "balanced": as many of each class; "square_root": in proportion to √n (Mahajan et al. 2018, arXiv
            1805.00932). Within a class every example comes again only when all others have come as often.
        focal_gamma: of the focal loss, which weighs by (1 − p)ᵞ, p being the probability of the right class (Lin et
            al. 2017, arXiv 1708.02002), 0 to 10; 2 is the paper's, 0 for none.
        logit_adjustment: τ of the adjustment of logits by τ · log(share of the class) in the loss (Menon et al. 2021,
            arXiv 2007.07314), 0 to 4; 1 makes balanced accuracy largest, 0 for none. The network itself gives logits
            without it.
    """

    class_weights: ClassWeights = "none"
    beta: float = 0.999
    sampling: Sampling = "natural"
    focal_gamma: float = 0.0
    logit_adjustment: float = 0.0

    def __post_init__(self):
        """Refuses values outside their ranges, and two corrections of one thing."""
        problems = values.check_fields(self)
        if not problems:
            if not 0 < self.beta < 1:
                problems.append(f"beta={self.beta} must be above 0 and below 1")
            elif self.beta != Imbalance.beta and self.class_weights != "effective":
                problems.append(f"beta={self.beta} belongs to class_weights='effective', not {self.class_weights!r}")
            for name, most in {"focal_gamma": 10, "logit_adjustment": 4}.items():
                if not 0 <= getattr(self, name) <= most:
                    problems.append(f"{name}={getattr(self, name)} must be 0 to {most}")
            if len(self.corrections) > 1:
                problems.append(
                    f"{' and '.join(self.corrections)} each correct the shares of the classes, and together would "
                    "correct them twice, so that rare classes are predicted too often; leave one of them"
                )
        values.refuse(self, problems)

    @property
    def corrections(self) -> tuple[str, ...]:
        """What is asked that corrects the shares of the classes, as it is written."""
        asked = {
            f"class_weights={self.class_weights}": self.class_weights != "none",
            f"sampling={self.sampling}": self.sampling != "natural",
            f"logit_adjustment={self.logit_adjustment:g}": self.logit_adjustment != 0,
        }
        return tuple(text for text, is_asked in asked.items() if is_asked)

    @property
    def is_asked(self) -> bool:
        """Whether anything is to be done."""
        return bool(self.corrections) or self.focal_gamma > 0
