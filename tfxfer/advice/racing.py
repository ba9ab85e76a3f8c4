"""A race of networks: `contest` holds it, `entrant` trains, and what came of it is told as a value."""

import contextlib
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence

from tfxfer import pipeline
from tfxfer.advice import contest
from tfxfer.advice.candidates import Strategy
from tfxfer.advice.entrant import Entrant
from tfxfer.advice.result import Candidate, LeftOut, Race
from tfxfer.advice.track import Track, lay_out
from tfxfer.errors import BackboneError, ConfigError
from tfxfer.scores import intervals


def race(
    prepared: pipeline.Prepared,
    strategies: Sequence[Strategy],
    *,
    budget: float,
    left_out: Sequence[LeftOut] = (),
    workdir: pathlib.Path | None = None,
    clock: Callable[[], float] = time.monotonic,
    show: Callable[[str], None] = lambda line: None,
) -> Race | None:
    """Trains several strategies for a while, compares them on the same validation examples, and returns the winner.

    Nothing of what is prepared changes. Without `workdir` nothing stays on disk.

    Args:
        prepared: data and backbone.
        strategies: at least one.
        budget: seconds for all of it, > 0; what it takes beyond is what one rung takes longer than foretold.
        left_out: strategies that were not to run.
        workdir: of the run that is to follow: what that uses again stays for it, decoded pictures in the folder's
            cache and activations that are kept on disk among those of all runs; None: all is in a temporary folder.
        clock: tells the time in seconds.
        show: called with a line before what takes a while.

    Returns:
        What was measured; None where the seconds of this network cannot be foretold.

    Raises:
        ConfigError: the budget is too small for a single candidate.
        TrainingError: no candidate can be trained.
    """
    began = clock()
    with contextlib.ExitStack() as ending:
        folder = ending.enter_context(_folder(workdir))
        track = lay_out(prepared, len(strategies), folder, workdir)
        if track is None:
            return None
        entrants, refused = [], []
        for strategy in strategies:
            try:
                entrants.append(ending.enter_context(Entrant(strategy, track, show)))
            except (BackboneError, ConfigError) as error:
                refused.append(LeftOut(name=strategy.name, reason=str(error)))
        if not entrants:
            raise ConfigError("; ".join(f"{one.name}: {one.reason}" for one in refused))
        ending.callback(track.put_back)
        found = contest.run(entrants, budget=budget, clock=clock, began=began, show=show)
        return _told(found, (*left_out, *refused, *found.left_out), track, budget, clock() - began)


@contextlib.contextmanager
def _folder(workdir: pathlib.Path | None):
    """Gives a folder for checkpoints, which is gone afterwards; one that a kill has left in a workdir, too."""
    if workdir is None:
        with tempfile.TemporaryDirectory(prefix="tfxfer-race-") as name:
            yield pathlib.Path(name)
        return
    folder = workdir / "cache" / "race"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _told(found: contest.Result, left_out: Sequence[LeftOut], track: Track, budget: float, seconds: float) -> Race:
    """Returns the race as a value."""
    first, second = found.standings[0], next(iter(found.standings[1:]), None)
    common = min(len(first.right), len(second.right)) - 1 if second else 0
    examples = track.examples.facts
    return Race(
        candidates=tuple(_candidate(one) for one in found.standings),
        left_out=tuple(left_out),
        winner=first.name,
        runner_up=second.name if second else "",
        runner_up_is_better=intervals.paired(first.right[common], second.right[common]).second_is_better
        if second
        else 0.0,
        examples=examples.validation_examples,
        trained_on=examples.train_examples,
        shares=found.shares,
        budget=float(budget),
        seconds=seconds,
        predicted_seconds=found.predicted_seconds,
        ended=found.ended,
        borrowed=examples.validation_examples - track.prepared.examples.facts.validation_examples,
    )


def _candidate(one: contest.Standing) -> Candidate:
    right = one.right[-1]
    entrant = one.entrant
    return Candidate(
        name=one.name,
        words=entrant.strategy.words,
        change=entrant.strategy.change,
        accuracy=intervals.share(int(right.sum()), right.size),
        seconds=one.seconds,
        whole_seconds=entrant.whole_seconds,
        share=one.share,
        rung=len(one.right),
        reason=entrant.strategy.reason,
        why_not=one.why_not,
        failed=one.failed,
    )
