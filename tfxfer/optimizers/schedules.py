"""How the learning rate, and momentum with it, goes through a stage: one schedule for all kinds of a recipe."""

import math
import typing
from collections.abc import Sequence
from typing import Any

import keras

from tfxfer import recipes
from tfxfer.errors import ConfigError, suggest

# fastai's `fit_one_cycle` ends at 1/100000 of the peak.
_ONE_CYCLE_END = 1 / 100_000
# Howard and Ruder 2018: the lowest rate of a slanted triangle is 1/32 of the peak.
_SLANTED_RATIO = 32
# BiT-HyperRule: at each stair the rate falls to a tenth.
_STAIR = 0.1


@keras.saving.register_keras_serializable("tfxfer")
class StageSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """The rate at each step of a stage; it is never 0 at the first one, so that no step is wasted.

    >>> rate = StageSchedule("staircase", 1.0, steps=10, warmup_steps=1, decay_steps=(4, 7))
    >>> [round(float(rate(step)), 6) for step in (0, 1, 4, 5, 7, 8)]
    [0.5, 1.0, 1.0, 0.1, 0.1, 0.01]

    In the warm-up the rate rises along a line, at step s to `peak · (s + 1) / (warmup_steps + 1)`, where the kind says
    nothing else. Kinds, with s counted from 0:

    - "cosine": from the peak along half a cosine, 0 at `steps`;
    - "constant": stays at the peak;
    - "one_cycle" (fastai): along a cosine from `cycle_start` of the peak to the peak, and along another one to
      peak / 100,000;
    - "slanted_triangular" (ULMFiT): along a line from peak / 32 to the peak, and along another one back;
    - "staircase" (BiT): the peak, times 0.1 for each of `decay_steps` that is below s.
    """

    def __init__(
        self,
        kind: recipes.Schedule,
        peak: float,
        *,
        steps: int,
        warmup_steps: int = 0,
        decay_steps: Sequence[int] = (),
        cycle_start: float = recipes.Stage.cycle_start,
    ):
        """Makes a schedule.

        Args:
            kind: one of those above.
            peak: the highest rate, > 0.
            steps: of the stage, ≥ 1; behind them the rate stays.
            warmup_steps: in which the rate rises, 0 to `steps`.
            decay_steps: for "staircase".
            cycle_start: for "one_cycle".

        Raises:
            ConfigError: there is no such kind.
        """
        super().__init__()
        kinds = typing.get_args(recipes.Schedule)
        if kind not in kinds:
            raise ConfigError(
                f"{kind!r} is no schedule, expected one of {', '.join(kinds)}.{suggest(str(kind), kinds)}"
            )
        self.kind, self.peak, self.steps, self.warmup_steps = kind, peak, steps, warmup_steps
        self.decay_steps, self.cycle_start = tuple(decay_steps), cycle_start
        self._cosine = _warmup_cosine(peak, steps, warmup_steps)

    def __call__(self, step):
        """Returns the rate at a step, counted from 0, as a float32 scalar."""
        if self.kind == "cosine":
            return self._cosine(step)
        now, rise, fall = _phase(step, self.steps, self.warmup_steps)
        line = self.peak * (now + 1.0) / (self.warmup_steps + 1)
        before, after = {
            "constant": lambda: (line, keras.ops.full_like(now, self.peak)),
            "one_cycle": lambda: (
                _cosine_between(self.cycle_start * self.peak, self.peak, rise),
                _cosine_between(self.peak, _ONE_CYCLE_END * self.peak, fall),
            ),
            "slanted_triangular": lambda: (self._slanted(rise), self._slanted(1.0 - fall)),
            "staircase": lambda: (line, self.peak * _STAIR ** self._stairs(now)),
        }[self.kind]()
        return keras.ops.where(now < self.warmup_steps, before, after)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {
            "kind": self.kind,
            "peak": self.peak,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
            "decay_steps": list(self.decay_steps),
            "cycle_start": self.cycle_start,
        }

    def _slanted(self, share):
        """Returns the rate at a share of the way from the foot of the triangle to its top."""
        return self.peak * (1.0 + share * (_SLANTED_RATIO - 1)) / _SLANTED_RATIO

    def _stairs(self, now):
        """Returns how many stairs were taken, float32."""
        passed = [keras.ops.cast(stair < now, "float32") for stair in self.decay_steps]
        return sum(passed, keras.ops.zeros_like(now))


@keras.saving.register_keras_serializable("tfxfer")
class MomentumCycle(keras.optimizers.schedules.LearningRateSchedule):
    """The momentum at each step of a "one_cycle" stage, in time with its rate: from `ends` to `at_peak` and back.

    Both along half a cosine, as fastai's `fit_one_cycle`; the other way about than the rate, as Smith 2018 has it
    (arXiv 1803.09820).

    >>> momentum = MomentumCycle(0.95, 0.85, steps=10, warmup_steps=2)
    >>> [round(float(momentum(step)), 3) for step in (0, 1, 2, 6, 10)]
    [0.95, 0.9, 0.85, 0.9, 0.95]
    """

    def __init__(self, ends: float, at_peak: float, *, steps: int, warmup_steps: int):
        """Makes a schedule.

        Args:
            ends: momentum at the first step and behind the last, in [0, 1).
            at_peak: where the rate is highest, in [0, 1).
            steps: of the stage, ≥ 1.
            warmup_steps: in which the rate rises, 0 to `steps`.
        """
        super().__init__()
        self.ends, self.at_peak, self.steps, self.warmup_steps = ends, at_peak, steps, warmup_steps

    def __call__(self, step):
        """Returns the momentum at a step, counted from 0, as a float32 scalar."""
        now, rise, fall = _phase(step, self.steps, self.warmup_steps)
        before = _cosine_between(self.ends, self.at_peak, rise)
        return keras.ops.where(now < self.warmup_steps, before, _cosine_between(self.at_peak, self.ends, fall))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments."""
        return {
            "ends": self.ends,
            "at_peak": self.at_peak,
            "steps": self.steps,
            "warmup_steps": self.warmup_steps,
        }


def _phase(step, steps: int, warmup_steps: int):
    """Returns the step, at most `steps`, and which share of the warm-up and of what follows lies behind it."""
    now = keras.ops.minimum(keras.ops.cast(step, "float32"), float(steps))
    # Neither is divided by 0: `where` computes both sides.
    return now, now / max(1, warmup_steps), (now - warmup_steps) / max(1, steps - warmup_steps)


def _warmup_cosine(peak: float, steps: int, warmup_steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns a rate that rises linearly for `warmup_steps` and falls along a half cosine to 0 at `steps`."""
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(peak, steps)
    return keras.optimizers.schedules.CosineDecay(
        peak / (warmup_steps + 1), max(1, steps - warmup_steps), warmup_target=peak, warmup_steps=warmup_steps
    )


def _cosine_between(first: float, last: float, share):
    """Returns what lies at a share of the way from `first` to `last`, along half a cosine."""
    return first + (last - first) * (1.0 - keras.ops.cos(math.pi * share)) / 2.0
