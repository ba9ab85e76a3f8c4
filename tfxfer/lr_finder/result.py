"""What a sweep over learning rates measured and suggests, and how that reads on a terminal. Values only."""

import dataclasses

from tfxfer.lr_finder.suggestions import RULES, Suggestion

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 60


@dataclasses.dataclass(frozen=True, kw_only=True)
class RateSweep:
    """Losses at growing learning rates.

    Attributes:
        rates: of each step, rising by one factor.
        losses: of the batch of each step, before its update; all finite.
        smoothed: a running mean of them that forgets.
        suggestions: of the rules, in order of preference.
        ended: why it ended, in words.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]
    suggestions: tuple[Suggestion, ...]
    ended: str

    @property
    def chosen(self) -> Suggestion | None:
        """That of `valley`, or of the first rule that has an answer; None where none has."""
        return next((suggestion for suggestion in self.suggestions if suggestion.rate is not None), None)

    @property
    def rate(self) -> float | None:
        """The learning rate to take; None where the curve gives none."""
        return self.chosen.rate if self.chosen else None

    def by_rule(self, rule: str) -> Suggestion:
        """Returns what one rule says: "valley", "slide", "minimum" or "steep"."""
        return self.suggestions[list(RULES).index(rule)]

    def __str__(self) -> str:
        lines = [f"learning rates {_span(self.rates)}, {len(self.rates)} steps; {self.ended}"]
        if self.smoothed:
            lines.append(
                f"smoothed loss {sparkline(self.smoothed)}  from {self.smoothed[0]:.4g} down to "
                f"{min(self.smoothed):.4g}, at last {self.smoothed[-1]:.4g}"
            )
        for suggestion in self.suggestions:
            rate = "–" if suggestion.rate is None else f"{suggestion.rate:.2g}"
            mark = "take this one" if suggestion is self.chosen else ""
            lines.append(
                f"  {suggestion.rule:<8} {rate:<8} {'; '.join(filter(None, (mark, suggestion.note)))}".rstrip()
            )
        return "\n".join(lines)


def sparkline(values: tuple[float, ...]) -> str:
    """Returns finite numbers as a line of bars, of at most 60 characters.

    What comes after the lowest is cut off at the highest that came before, for an explosion would press the rest flat.
    """
    shown = [values[index * len(values) // _WIDTH] for index in range(_WIDTH)] if len(values) > _WIDTH else values
    low = min(shown)
    high = max(shown[: shown.index(low) + 1])
    if low == high:
        high = max(shown)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0
    return "".join(_BARS[int((min(value, high) - low) * scale)] for value in shown)


def _span(rates: tuple[float, ...]) -> str:
    return f"{rates[0]:.2g} to {rates[-1]:.2g}" if rates else "–"
