"""How the learning rate goes through a stage: one schedule for all kinds that a recipe can ask for."""

import math
import typing
from collections.abc import Sequence
from typing import Any

import keras

from tfxfer import recipes
from tfxfer.errors import ConfigError, suggest

# fastai's `fit_one_cycle` begins at 1/25 of the peak and ends at 1/100000 of it.
_ONE_CYCLE_START, _ONE_CYCLE_END = 1 / 25, 1 / 100_000
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
    - "one_cycle" (fastai): along a cosine from peak / 25 to the peak, and along another one to peak / 100,000;
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
    ):
        """Makes a schedule.

        Args:
            kind: one of those above.
            peak: the highest rate, > 0.
            steps: of the stage, ≥ 1; behind them the rate stays.
            warmup_steps: in which the rate rises, 0 to `steps`.
            decay_steps: for "staircase".

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
        self.decay_steps = tuple(decay_steps)
        self._cosine = _warmup_cosine(peak, steps, warmup_steps)

    def __call__(self, step):
        """Returns the rate at a step, counted from 0, as a float32 scalar."""
        if self.kind == "cosine":
            return self._cosine(step)
        now = keras.ops.minimum(keras.ops.cast(step, "float32"), float(self.steps))
        # Neither is divided by 0: `where` computes both sides.
        rise = now / max(1, self.warmup_steps)
        fall = (now - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        line = self.peak * (now + 1.0) / (self.warmup_steps + 1)
        before, after = {
            "constant": lambda: (line, keras.ops.full_like(now, self.peak)),
            "one_cycle": lambda: (
                _cosine_between(_ONE_CYCLE_START * self.peak, self.peak, rise),
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
        }

    def _slanted(self, share):
        """Returns the rate at a share of the way from the foot of the triangle to its top."""
        return self.peak * (1.0 + share * (_SLANTED_RATIO - 1)) / _SLANTED_RATIO

    def _stairs(self, now):
        """Returns how many stairs were taken, float32."""
        passed = [keras.ops.cast(stair < now, "float32") for stair in self.decay_steps]
        return sum(passed, keras.ops.zeros_like(now))


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
