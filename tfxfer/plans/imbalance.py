"""What an imbalance of classes comes to in numbers: weights, draws and shares of each class. Pure."""

import dataclasses
import math
from collections.abc import Sequence

from tfxfer.errors import ConfigError
from tfxfer.facts import DataFacts
from tfxfer.imbalance import Imbalance, Sampling
from tfxfer.tasks import Kind, Task

# From so many times as many examples of one class as of another on, a plan in which nothing is done about it says so.
_CLEARLY = 10
# A weight above this makes the loss of a step with one such example look like one that is no number.
_MOST = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImbalancePlan:
    """What is done about classes with few examples, in the order of the classes; the default is nothing.

    Attributes:
        class_weights: of the loss of an example of each class; the mean over training examples is 1. Empty: all 1.
        drawn: how many examples of each class an epoch shows, as many in all as there are. Empty: each once.
        focal_gamma: of the focal loss; 0 for none.
        logit_adjustment: how many times the logarithms of `priors` are added to logits in the loss; 0 for none.
        priors: share of each class in the training examples, by their weights where they have some; empty where
            nothing is added.
    """

    class_weights: tuple[float, ...] = ()
    drawn: tuple[int, ...] = ()
    focal_gamma: float = 0.0
    logit_adjustment: float = 0.0
    priors: tuple[float, ...] = ()

    def turns(self, counts: Sequence[int], epochs: int) -> int:
        """Returns how often the example that is shown most often is shown in so many epochs.

        Args:
            counts: of the training examples of each class.
            epochs: whole ones.
        """
        pairs = zip(self.drawn, counts, strict=True) if self.drawn else ()
        return max((-(-epochs * drawn // count) for drawn, count in pairs), default=epochs)

    @property
    def shifts(self) -> tuple[float, ...]:
        """What is added to the logits of each class in the loss; empty for nothing."""
        return tuple(self.logit_adjustment * math.log(prior) for prior in self.priors)


# Every example counts alike.
NOTHING = ImbalancePlan()


def resolve_imbalance(asked: Imbalance, data: DataFacts) -> tuple[ImbalancePlan, tuple[str, ...]]:
    """Returns the numbers for what is asked, and what is to be said of it.

    Raises:
        ConfigError: a class has no training example, or so few that its weight would be beyond all bounds.
    """
    counts = data.train_counts
    if not asked.is_asked:
        return NOTHING, _hint(data) if data.task.kind == "single_label" else ()
    check_kind(asked, data.task.kind)
    if empty := [name for name, count in zip(data.class_names, counts, strict=True) if count == 0]:
        raise ConfigError(
            f"{', '.join(asked.corrections) or 'imbalance'} needs training examples of each class, and there is none "
            f"of {', '.join(empty)}. Add some, or remove the class."
        )
    masses = data.train_weights or counts
    planned = ImbalancePlan(
        class_weights=_class_weights(asked, data, masses),
        drawn=() if asked.sampling == "natural" else draws(counts, asked.sampling),
        focal_gamma=float(asked.focal_gamma),
        logit_adjustment=float(asked.logit_adjustment),
        priors=tuple(mass / sum(masses) for mass in masses) if asked.logit_adjustment else (),
    )
    return planned, ()


def check_kind(asked: Imbalance, kind: Kind) -> None:
    """Refuses corrections that are of classes where there are none, or of the softmax where there is none.

    Raises:
        ConfigError: says what can be asked for.
    """
    if not asked.is_asked:
        return
    if not Task(kind=kind).has_classes:
        what = asked.corrections or (f"focal_gamma={asked.focal_gamma:g}",)
        raise ConfigError(
            f"{', '.join(what)} is about classes, of which each example has one, and task={kind}. Leave it out; a "
            "column of weights counts for every task."
        )
    if kind == "ordinal" and (asked.focal_gamma or asked.logit_adjustment):
        raise ConfigError(
            "focal_gamma and logit_adjustment are of the softmax, which task=ordinal has not. Write "
            "--config.imbalance.class_weights=inverse, or sampling=balanced."
        )


def draws(counts: Sequence[int], sampling: Sampling) -> tuple[int, ...]:
    """Returns how many examples of each class an epoch shows: as many in all as there are, each class at least 1.

    Shares are met to one example; those that are left over go to the largest remainders, the first class of equal ones.

    Args:
        counts: of the training examples of each class, ≥ 1.
        sampling: "balanced" or "square_root".
    """
    total = sum(counts)
    shares = [1.0 if sampling == "balanced" else math.sqrt(count) for count in counts]
    exact = [total * share / sum(shares) for share in shares]
    whole = [max(1, math.floor(number)) for number in exact]
    order = sorted(range(len(exact)), key=lambda at: whole[at] - exact[at])
    for at in order[: total - sum(whole)]:
        whole[at] += 1
    return tuple(whole)


def _class_weights(asked: Imbalance, data: DataFacts, masses: Sequence[float]) -> tuple[float, ...]:
    """Returns the weight of each class; of examples with weights, "inverse" evens out the sums of these."""
    if asked.class_weights == "none":
        return ()
    if asked.class_weights == "inverse":
        weights = [1 / mass for mass in masses]
    else:
        # The share that is 1 − betaⁿ, without the rounding that a beta near 1 would leave.
        weights = [1 / -math.expm1(count * math.log(asked.beta)) for count in data.train_counts]
    scale = sum(masses) / sum(mass * weight for mass, weight in zip(masses, weights, strict=True))
    weights = [scale * weight for weight in weights]
    if max(weights) > _MOST:
        at = weights.index(max(weights))
        raise ConfigError(
            f"class_weights={asked.class_weights} would let an example of {data.class_names[at]} count "
            f"{weights[at]:,.0f} times as much as others do on average ({data.train_counts[at]:,} of "
            f"{data.train_examples:,} training examples), at most {_MOST:,} can be. Write imbalance.logit_adjustment=1 "
            "or imbalance.sampling=square_root instead, or add examples of it."
        )
    return tuple(weights)


def _hint(data: DataFacts) -> tuple[str, ...]:
    """Returns what is said of an imbalance about which nothing is done."""
    most, least = max(data.train_counts), min(data.train_counts)
    if most < _CLEARLY * least or least == 0:
        return ()
    names = [data.class_names[data.train_counts.index(count)] for count in (most, least)]
    return (
        f"imbalance: {most / least:.0f} times as many training examples of {names[0]} ({most:,}) as of {names[1]} "
        f"({least:,}), and each counts alike. What is rare is then missed more often; if it matters as much, write "
        "--config.imbalance.logit_adjustment=1",
    )
