"""One thing that is wrong with a set of pictures, or may be."""

import dataclasses
from typing import Literal

SHOWN = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding.

    Attributes:
        severity: "error": training refuses the set as it is; "warning": it may learn or measure something else than is
            meant; "note": to be known.
        what: in a sentence.
        where: names of pictures or classes, the first ones.
        fix: what to do; "" for nothing.
    """

    severity: Literal["error", "warning", "note"]
    what: str
    where: tuple[str, ...] = ()
    fix: str = ""


def first(names: list[str] | tuple[str, ...], count: int) -> tuple[str, ...]:
    """Returns the first of some names, and how many more of `count` there are."""
    rest = (f"and {count - min(len(names), SHOWN):,} more",) if count > min(len(names), SHOWN) else ()
    return (*names[:SHOWN], *rest)
