"""A ranking as text of a terminal's width: what was looked at, a line for each backbone, which one to take and why."""

import textwrap

from tfxfer.advice.page import conclusions
from tfxfer.advice.ranking_result import Ranked, Ranking
from tfxfer.display import clean, duration_text

_WIDTH = 100
_TIED = "="
_SCORES = {"logme": "LogME", "hscore": "H-score", "leep": "LEEP", "nce": "NCE"}
_UNKNOWN = "–"


def page(ranking: Ranking) -> str:
    """Returns the page that `tfxfer advise --backbones=…` prints."""
    parts = [
        _facts(ranking),
        _table(ranking),
        _legend(ranking),
        _left_out(ranking),
        _choice(ranking),
        [f"with {clean(ranking.chosen.handle)}:", *conclusions(ranking.advice)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _facts(ranking: Ranking) -> list[str]:
    data, measured = ranking.advice.data, ranking.chosen.measured
    return [
        f"data        {clean(data.source)}: {data.train_examples:,} training examples, {len(data.class_names)} "
        f"classes; each backbone saw the same {measured.examples:,}",
        f"without it  most frequent class {100 * measured.frequent:.1f} %, 16×16 pixels {measured.pixels}",
        f"seconds     {duration_text(ranking.seconds)} for all of it",
    ]


def _table(ranking: Ranking) -> list[str]:
    handles = [clean(row.handle) for row in ranking.rows]
    depths = [clean(row.measured.best) for row in ranking.rows]
    first, second = (max(map(len, column)) + 2 for column in ([*handles, "backbone"], [*depths, "features of"]))
    scores = "".join(f"{_SCORES[name]:>9}" for name in ranking.scores)
    lines = [
        f"  {'backbone':<{first}}{'linear, left out (95 %)':<25}{'features of':<{second}}{'top-1':>5}{'MB':>8}"
        f"{'s/1,000':>9}{'pixels':>8}{scores}"
    ]
    for row, handle, depth in zip(ranking.rows, handles, depths, strict=True):
        lines.append(
            f"{_TIED if row.is_tied else ' '} {handle:<{first}}{row.accuracy!s:<25}{depth:<{second}}"
            f"{_number(row.top1 or None, 1):>5}{row.megabytes:>8.1f}{row.seconds:>9.2g}{row.measured.image_size:>8}"
            + "".join(f"{_number(getattr(row.scores, name), 3):>9}" for name in ranking.scores)
        )
    return lines


def _legend(ranking: Ranking) -> list[str]:
    """Returns what the order means, and how far behind those are that are no tie."""
    text = (
        f"{_TIED} tied: none is better than the other for certain on these examples, so they stand in the order of "
        "published ImageNet top-1, which orders networks about as well as any score, then of size."
        if len(ranking.tied) > 1
        else f"{_TIED} better than each other one on the same examples with a probability of 0.975 or more."
    )
    lines = textwrap.wrap(text, _WIDTH)
    for row in ranking.rows:
        if not row.is_tied:
            less = row.against_best.difference
            told = f"{clean(row.handle)}: {_points(less)} points less than the most accurate, on the same examples"
            lines += textwrap.wrap(told, _WIDTH, subsequent_indent="  ")
    for row in ranking.rows:
        if row.scores.why_none:
            told = f"{clean(row.handle)} has not all scores: {clean(row.scores.why_none)}"
            lines += textwrap.wrap(told, _WIDTH, subsequent_indent="  ")
    return lines


def _left_out(ranking: Ranking) -> list[str]:
    lines = ["not ranked:"] if ranking.left_out else []
    for one in ranking.left_out:
        told = f"{clean(one.handle)}: {clean(' '.join(one.reason.split()))}"
        lines += textwrap.wrap(told, _WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines


def _choice(ranking: Ranking) -> list[str]:
    chosen, first = ranking.chosen, ranking.rows[0]
    if chosen.verdict == "nothing_learnable":
        return []
    if len(ranking.rows) == 1:
        text = f"{clean(chosen.handle)} is the only one that was ranked."
    elif len(ranking.tied) == 1:
        text = f"Take {clean(chosen.handle)} (--backbone={clean(chosen.handle)}): no other one is as accurate."
    else:
        is_smallest = chosen.megabytes == min(row.megabytes for row in ranking.tied)
        of_which = "" if is_smallest else " of those for which the measurements say most"
        text = (
            f"Take {clean(chosen.handle)} (--backbone={clean(chosen.handle)}): of {len(ranking.tied)} that are tied "
            f"it is the smallest{of_which}, {chosen.megabytes:.1f} MB."
        )
        text += _rather(first) if first.top1 > chosen.top1 else ""
    return textwrap.wrap(text, _WIDTH)


def _rather(first: Ranked) -> str:
    return (
        f" Where size does not matter, rather {clean(first.handle)}: its published top-1 of {first.top1:.1f} % is the "
        "highest among them."
    )


def _points(difference) -> str:
    """Returns points of accuracy that the best one has more, with their interval."""
    return f"{100 * difference.value:.1f} ({100 * difference.low:.1f} to {100 * difference.high:.1f})"


def _number(value: float | None, digits: int) -> str:
    return _UNKNOWN if value is None else f"{value:.{digits}f}"
