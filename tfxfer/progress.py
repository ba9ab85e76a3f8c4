"""Progress on anything that takes more than a few seconds: a bar with time left on a terminal, else nothing."""

import contextlib
import sys
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def bar(text: str, total: int | None, *, kind: str = "") -> Iterator[Callable[[int, str], None]]:
    """Shows a bar on standard error while the block runs, if that is a terminal.

    Args:
        text: what is going on.
        total: number of units that make the whole; None where nobody knows.
        kind: the unit in words, shown behind the count.

    Yields:
        A function to call with the number of units done since the last call, and a text to show at the end of
        the line.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _text="": None
        return
    import rich.console
    from rich import progress

    columns = (
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=30),
        progress.MofNCompleteColumn(),
        progress.TextColumn(kind),
        progress.TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        progress.TextColumn("{task.fields[note]}"),
    )
    console = rich.console.Console(stderr=True)
    # Else rich sends all that is printed meanwhile to standard error, out of the file that it was meant for.
    shares_terminal = sys.stdout.isatty()
    with progress.Progress(*columns, console=console, transient=True, redirect_stdout=shares_terminal) as display:
        task = display.add_task(text, total=total, note="")
        yield lambda done, note="": display.update(task, advance=done, note=note)
