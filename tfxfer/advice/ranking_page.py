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


def columns(ranking: Ranking) -> tuple[str, ...]:
    """Returns the headings of `cells`."""
    scores = (_SCORES[name] for name in ranking.scores)
    return ("", "backbone", "linear, expected (95 %)", "features of", "top-1", "MB", "s/1,000", "pixels", *scores)


def cells(ranking: Ranking, row: Ranked) -> tuple[str, ...]:
    """Returns what stands in the line of one backbone."""
    return (
        _TIED if row.is_tied else "",
        clean(row.handle),
        str(row.accuracy),
        clean(row.measured.best),
        _number(row.top1 or None, 1),
        f"{row.megabytes:.1f}",
        f"{row.seconds:.2g}",
        str(row.measured.image_size),
        *(_number(getattr(row.scores, name), 3) for name in ranking.scores),
    )


def _table(ranking: Ranking) -> list[str]:
    rows = [columns(ranking), *(cells(ranking, row) for row in ranking.rows)]
    handle, depth = (max(len(row[at]) for row in rows) + 2 for at in (1, 3))
    widths = (2, handle, 27, depth, -5, -8, -9, -8, *(-9 for _ in ranking.scores))
    return [
        "".join(
            f"{text:<{width}}" if width > 0 else f"{text:>{-width}}" for text, width in zip(row, widths, strict=True)
        )
        for row in rows
    ]


def _legend(ranking: Ranking) -> list[str]:
    return [
        line
        for number, text in enumerate(legend(ranking))
        for line in textwrap.wrap(text, _WIDTH, subsequent_indent="  " if number else "")
    ]


def legend(ranking: Ranking) -> list[str]:
    """Returns what the order means, how far behind those are that are no tie, and which scores there are not."""
    return [
        f"{_TIED} tied: none is better than the other for certain on these examples, so they stand in the order of "
        "published ImageNet top-1, which orders networks about as well as any score, then of size."
        if len(ranking.tied) > 1
        else f"{_TIED} better than each other one on the same examples with a probability of 0.975 or more.",
        *(
            f"{clean(row.handle)}: {_points(row.against_best.difference)} points less than the most accurate, on the "
            "same examples"
            for row in ranking.rows
            if not row.is_tied
        ),
        *(
            f"{clean(row.handle)} has not all scores: {clean(row.scores.why_none)}"
            for row in ranking.rows
            if row.scores.why_none
        ),
    ]


def _left_out(ranking: Ranking) -> list[str]:
    lines = ["not ranked:"] if ranking.left_out else []
    for one in ranking.left_out:
        told = f"{clean(one.handle)}: {clean(' '.join(one.reason.split()))}"
        lines += textwrap.wrap(told, _WIDTH, initial_indent="  ", subsequent_indent="    ")
    return lines


def _choice(ranking: Ranking) -> list[str]:
    return textwrap.wrap(choice(ranking), _WIDTH)


def choice(ranking: Ranking) -> str:
    """Returns which one to take, and why; "" where nothing can be learned."""
    chosen, first = ranking.chosen, ranking.rows[0]
    if chosen.verdict == "nothing_learnable":
        return ""
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
    return text


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
